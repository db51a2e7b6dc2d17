/* SPDX-License-Identifier: MIT */
/*
 * The calls that change a block and the pointer to it together: pointers lie in live blocks, which
 * are filled again afterwards.
 */
#include "model.h"

#include <string.h>

#define FILLED_MAX ((uint64_t)64 << 10)

uint32_t take_host(uint32_t but)
{
	uint32_t from = model.count == 0 ? 0 : take_u8(model.in) % model.count;

	for (uint32_t k = 0; k < model.count; k++) {
		uint32_t i = (from + k) % model.count;

		if (i != but && model.live[i].usable >= sizeof(void *) &&
		    (uintptr_t)model.live[i].at % sizeof(void *) == 0)
			return i;
	}
	return model.count;
}

static uint64_t take_block_size(void)
{
	uint64_t size = take_size(model.in, model.m);

	return size > FILLED_MAX && size <= model.m->geo.data_end ? size % FILLED_MAX : size;
}

static void malloc_to(void)
{
	uint64_t size = take_block_size();
	uint32_t host = take_host(UINT32_MAX);
	void *before = (void *)(uintptr_t)0xABCD0, *after = NULL;

	if (host == model.count || model.count == LIVE_MAX)
		return;
	uint8_t *where = model.live[host].at;

	memcpy(where, &before, sizeof(before));
	call_enter(size);
	void *block = qalloc_malloc_to(model.map, size, (void **)(void *)where);

	memcpy(&after, where, sizeof(after));
	FUZZ_CHECK(after == (block == NULL ? before : block));
	if (block == NULL)
		live_refused(size, 1);
	else
		expect_success();
	live_fill(&model.live[host]);
	if (block != NULL) {
		live_add(block, size, qalloc_usable_size(model.map, block));
		expect_success();
	}
}

/* What *where points to afterwards, with the host's contents as they were. */
static void *point(uint32_t host, void *block)
{
	void *before = NULL;

	memcpy(&before, model.live[host].at, sizeof(before));
	memcpy(model.live[host].at, &block, sizeof(block));
	return before;
}

static void free_from(void)
{
	uint32_t i = model.count == 0 ? 0 : take_u8(model.in) % model.count;
	uint32_t host = take_host(i);

	if (model.count == 0 || host == model.count)
		return;
	void *block = model.live[i].at;

	FUZZ_CHECK(live_is_filled(&model.live[i], model.live[i].size));
	point(host, block);
	call_enter(0);
	int result = qalloc_free_from(model.map, (void **)(void *)model.live[host].at);

	FUZZ_CHECK(point(host, NULL) == (result == 0 ? NULL : block));
	live_fill(&model.live[host]);
	if (result != 0) {
		live_not_freed();
		return;
	}
	expect_success();
	live_remove(i);
}

static void realloc_to(void)
{
	uint64_t size = take_block_size();
	uint32_t i = model.count == 0 ? 0 : take_u8(model.in) % model.count;
	uint32_t host = take_host(i);

	if (model.count == 0 || host == model.count)
		return;
	struct live was = model.live[i];

	point(host, was.at);
	call_enter(size + was.size);
	uint8_t *block = qalloc_realloc_to(model.map, size, (void **)(void *)model.live[host].at);

	FUZZ_CHECK(point(host, NULL) == (block == NULL ? was.at : block));
	live_fill(&model.live[host]);
	if (block == NULL) {
		live_refused(size, 1);
		FUZZ_CHECK(live_is_filled(&was, was.size));
		return;
	}
	expect_success();
	was.at = block;
	FUZZ_CHECK(live_is_filled(&was, size < was.size ? size : was.size));
	live_remove(i);
	live_add(block, size, qalloc_usable_size(model.map, block));
	expect_success();
}

void op_publish(uint8_t op)
{
	switch (op & 3) {
	case 0:
		malloc_to();
		break;
	case 1:
		free_from();
		break;
	default:
		realloc_to();
		break;
	}
}
