/* SPDX-License-Identifier: MIT */
/*
 * Programs against a model.
 *
 *  - Blocks never overlap, keep their contents, and have the alignment that was promised.
 *  - "No room" is only said when looking at the whole map finds none.
 *  - A pointer that is not the start of a live block is refused, with the right name.
 *  - Walk, numbers and check agree with the model whenever they are asked.
 */
#include "model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define EDGE 64u
#define STEPS_MAX 200u
#define LOADS_MAX (fuzz_repeats ? 2000000u : 40000u)
#define FILLED_MAX ((uint64_t)64 << 10)

struct model model;
static int misuse_seen;

/* Pattern bytes at the beginning and the end: enough to notice, little enough to be fast. */
void live_fill(const struct live *l)
{
	uint64_t edge = l->size < EDGE ? l->size : EDGE;

	memset(l->at, l->seed, edge);
	memset(l->at + l->size - edge, l->seed, edge);
}

bool live_is_filled(const struct live *l, uint64_t size)
{
	uint64_t edge = size < EDGE ? size : EDGE;

	for (uint64_t i = 0; i < edge; i++) {
		if (l->at[i] != l->seed)
			return false;
	}
	for (uint64_t i = l->size - edge; size == l->size && i < l->size; i++) {
		if (l->at[i] != l->seed)
			return false;
	}
	return true;
}

bool live_overlaps(const void *block, uint64_t size)
{
	const uint8_t *at = block;

	for (uint32_t i = 0; i < model.count; i++) {
		const struct live *l = &model.live[i];

		if (at < l->at + l->usable && l->at < at + size)
			return true;
	}
	return false;
}

void live_add(void *block, uint64_t size, uint64_t usable)
{
	uint64_t rel = (uint64_t)(uintptr_t)block - (model.m->base + model.m->geo.data_off);
	struct live *l = &model.live[model.count];

	answer(rel);
	answer(usable);
	FUZZ_CHECK(rel < model.m->geo.data_end - model.m->geo.data_off);
	FUZZ_CHECK(size <= usable && usable <= model.m->geo.data_end - model.m->geo.data_off - rel);
	FUZZ_CHECK(rel % (model.m->geo.items == 0 || model.m->geo.item_bytes % 16 == 0 ? 16 : 8) ==
		   0);
	FUZZ_CHECK(!live_overlaps(block, usable));
	*l = (struct live){.at = block,
			   .size = size,
			   .usable = usable,
			   .seed = (uint8_t)(fake.chance++ * 37 + 1)};
	live_fill(l);
	model.count++;
}

void live_remove(uint32_t i)
{
	model.gone[(model.count + i) % GONE_MAX] = model.live[i].at;
	model.live[i] = model.live[--model.count];
}

void live_refused(uint64_t size, uint64_t align)
{
	const struct geo *g = &model.m->geo;
	uint64_t most = g->items != 0 ? g->item_bytes : g->data_end - g->data_off;

	switch (expect_failure()) {
	case QALLOC_ESIZE:
		FUZZ_CHECK(size > most);
		break;
	case QALLOC_EFULL:
		FUZZ_CHECK(fake.ran_full || map_is_full(size, align));
		break;
	case QALLOC_EBUSY:
		FUZZ_CHECK(model.busy || model.held > 0);
		break;
	case QALLOC_ENOSPACE:
		FUZZ_CHECK(fake.ran_full);
		break;
	case QALLOC_EARGUMENT:
		FUZZ_CHECK(g->items != 0 && g->item_bytes % align != 0);
		break;
	default:
		fuzz_fail(__FILE__, __LINE__, "a reason that a whole map can give");
	}
}

static void op_allocate(uint8_t op)
{
	uint64_t size = take_size(model.in, model.m);
	uint64_t align = (op & 12) == 8 ? (uint64_t)1 << (op & 3) * 5 : 1;
	void *block;

	if (model.count == LIVE_MAX)
		return;
	if ((op & 12) == 4 && size > FILLED_MAX && size <= model.m->geo.data_end)
		size %= FILLED_MAX;
	call_enter(size + align);
	switch (op & 12) {
	case 4:
		block = qalloc_calloc(model.map, 1, size);
		break;
	case 8:
		block = qalloc_aligned_alloc(model.map, align, size);
		break;
	default:
		block = qalloc_malloc(model.map, size);
		break;
	}
	if (block == NULL) {
		live_refused(size, align);
		return;
	}
	expect_success();
	FUZZ_CHECK((uint64_t)(uintptr_t)block % align == 0);
	for (uint64_t i = 0; (op & 12) == 4 && i < size; i += 1 + i / 16)
		FUZZ_CHECK(((uint8_t *)block)[i] == 0);
	live_add(block, size, qalloc_usable_size(model.map, block));
	expect_success();
}

static void on_misuse(void *map, void *block, int error, void *arg)
{
	(void)arg;
	(void)block;
	FUZZ_CHECK(map == model.map && error == qalloc_error());
	misuse_seen++;
}

void live_not_freed(void)
{
	int error = expect_failure();

	FUZZ_CHECK((error == QALLOC_EBUSY && (model.busy || model.held > 0)) ||
		   (error == QALLOC_ENOSPACE && fake.ran_full));
}

static void op_free(uint8_t op)
{
	if (model.count == 0)
		return;
	uint32_t i = take_u8(model.in) % model.count;
	struct live was = model.live[i];

	FUZZ_CHECK(live_is_filled(&was, was.size));
	call_enter(0);
	misuse_seen = 0;
	if ((op & 1) != 0)
		qalloc_free(was.at, model.map);
	else if (qalloc_tryfree(was.at, model.map) != 0) {
		live_not_freed();
		return;
	}
	FUZZ_CHECK(misuse_seen == 0);
	if (errno == EAGAIN || errno == ENOSPC || errno == EDQUOT) {
		live_not_freed();
		return;
	}
	expect_success();
	for (uint64_t k = 0; (model.m->flags & MAP_FLAG_ZERO_ON_FREE) != 0 && k < was.size; k += 7)
		FUZZ_CHECK(was.at[k] == 0);
	live_remove(i);
}

static void must_refuse(void *block, int wanted)
{
	bool quiet = model.held == 0 && !model.busy;
	uint64_t before = quiet ? image_contents() : 0;

	call_enter(0);
	FUZZ_CHECK(qalloc_usable_size(model.map, block) == 0);
	int error = expect_failure();

	/* Then nobody can tell what is there. */
	if (error == QALLOC_ENOSPACE && fake.ran_full)
		return;
	FUZZ_CHECK(wanted == QALLOC_OK || error == wanted);
	call_enter(0);
	FUZZ_CHECK(qalloc_tryfree(block, model.map) == -1);
	FUZZ_CHECK(expect_failure() == error);
	misuse_seen = 0;
	call_enter(0);
	qalloc_free(block, model.map);
	FUZZ_CHECK(misuse_seen == 1 && expect_failure() == error);
	call_enter(0);
	FUZZ_CHECK(qalloc_realloc(model.map, block, 8) == NULL);
	FUZZ_CHECK(misuse_seen == 2 && expect_failure() == error);
	FUZZ_CHECK(!quiet || image_contents() == before);
}

static void op_misuse(uint8_t op)
{
	uint64_t at = take_bytes(model.in, 3);
	const struct geo *g = &model.m->geo;
	uint8_t *block = model.gone[at % GONE_MAX];
	int wanted = QALLOC_OK;

	switch (op & 3) {
	case 0:
		break;
	case 1:
		if (model.count == 0)
			return;
		block = model.live[at % model.count].at;
		block += 1 + at / 256 % (model.live[at % model.count].usable);
		/* Behind the last byte of the block another one may begin. */
		if (live_overlaps(block, 1))
			wanted = QALLOC_EINTERIOR;
		break;
	case 2:
		block = (uint8_t *)(uintptr_t)(model.m->base + ((at & 1) != 0
									? g->data_end + at / 2
									: at / 2 % g->data_off));
		wanted = QALLOC_EWILD;
		break;
	default:
		block = (uint8_t *)(uintptr_t)(model.m->base + g->data_off +
					       at * 8 % (g->data_end - g->data_off));
		break;
	}
	if (block == NULL)
		return;
	for (uint32_t i = 0; i < model.count; i++) {
		if (model.live[i].at == block)
			return;
	}
	must_refuse(block, wanted);
}

static void op_realloc(uint8_t op)
{
	uint64_t size = take_size(model.in, model.m);

	if (size > FILLED_MAX && size <= model.m->geo.data_end)
		size %= FILLED_MAX;
	if (model.count == 0 || (op & 7) == 0) {
		call_enter(size);
		FUZZ_CHECK(qalloc_tryfree(NULL, model.map) == 0);
		expect_success();
		return;
	}
	uint32_t i = take_u8(model.in) % model.count;
	struct live was = model.live[i];

	FUZZ_CHECK(live_is_filled(&was, was.size));
	misuse_seen = 0;
	call_enter(size + was.size);
	void *block = qalloc_realloc(model.map, was.at, size);

	FUZZ_CHECK(misuse_seen == 0);
	if (block == NULL) {
		live_refused(size, 1);
		FUZZ_CHECK(live_is_filled(&was, was.size));
		return;
	}
	expect_success();
	struct live now = was;

	now.at = block;
	FUZZ_CHECK(live_is_filled(&now, size < was.size ? size : was.size));
	if (block != was.at)
		FUZZ_CHECK(!live_overlaps(block, size));
	live_remove(i);
	live_add(block, size, qalloc_usable_size(model.map, block));
	expect_success();
}

/* ---- Agreement ------------------------------------------------------------ */

static struct {
	uint32_t seen;
	uint64_t bytes;
	const void *last;
} walk;

static int visit(void *block, size_t size, void *arg)
{
	(void)arg;
	FUZZ_CHECK(walk.last == NULL || walk.last < block);
	walk.last = block;
	walk.seen++;
	walk.bytes += size;
	answer(size);
	for (uint32_t i = 0; i < model.count; i++) {
		if (model.live[i].at == block) {
			FUZZ_CHECK(model.live[i].usable == size);
			errno = ERRNO_VISITOR;
			return 0;
		}
	}
	fuzz_fail(__FILE__, __LINE__, "a block that the walk shows is live");
}

static void report(const char *finding, void *arg)
{
	(void)arg;
	answer((uint64_t)finding[0]);
	fprintf(stderr, "finding: %s\n", finding);
}

void model_compare(void)
{
	struct qalloc_info info = {.size = sizeof(info)};

	memset(&walk, 0, sizeof(walk));
	call_enter(0);
	FUZZ_CHECK(qalloc_walk(model.map, visit, NULL) == 0);
	expect_success();
	FUZZ_CHECK(walk.seen == model.count);
	call_enter(0);
	FUZZ_CHECK(qalloc_mapinfo(model.map, &info) == 0);
	expect_success();
	answer(info.free_bytes);
	answer(info.largest_free);
	FUZZ_CHECK(info.live_blocks == model.count && info.live_bytes == walk.bytes);
	FUZZ_CHECK(info.live_bytes + info.free_bytes <= info.data_bytes);
	FUZZ_CHECK(info.largest_free <= info.free_bytes && info.fragmentation <= 1000);
	FUZZ_CHECK(info.processes == (model.readonly ? 0 : 1));
	call_enter(0);
	/* The check may want the pool, to see whether what it found was only under way. */
	if (qalloc_check(model.map, report, NULL) == 0)
		expect_success();
	else
		FUZZ_CHECK((model.busy || model.held > 0) && expect_failure() == QALLOC_EBUSY);
	for (uint32_t i = 0; i < model.count; i++)
		FUZZ_CHECK(live_is_filled(&model.live[i], model.live[i].size));
}

static void step(uint8_t op)
{
	trace(op, model.count);
	switch (op >> 5) {
	case 0:
	case 1:
		op_allocate(op);
		break;
	case 2:
		op_free(op);
		break;
	case 3:
		op_misuse(op);
		break;
	case 4:
		op_realloc(op);
		break;
	case 5:
		if ((op & 16) != 0)
			model_compare();
		else
			op_roots(op);
		break;
	default:
		op_world(op);
		break;
	}
}

/* A block that was live before the model was there. */
static int import(void *block, size_t size, void *arg)
{
	(void)arg;
	if (model.count == LIVE_MAX)
		return 1;
	live_add(block, size < EDGE ? size : EDGE, size);
	return 0;
}

void model_run(void *map, int fd, struct input *program, bool busy)
{
	uint32_t steps = 0;

	memset(&model, 0, sizeof(model));
	model.map = map;
	model.m = map;
	model.fd = fd;
	model.in = program;
	model.busy = busy;
	qalloc_onmisuse(on_misuse, NULL);
	if (qalloc_walk(map, import, NULL) == 0) {
		roots_forget();
		while (model.in->left > 0 && steps++ < STEPS_MAX && fake.loads < LOADS_MAX)
			step(take_u8(model.in));
		release_all();
		model_compare();
	}
	expect_initialized(model.m);
	call_enter(0);
	expect(qalloc_closemap(model.map) == 0);
	thread_become(0);
}
