/* SPDX-License-Identifier: MIT */
/*
 * What happens to a map besides calls: threads come and go and are interrupted inside, processes die
 * at any store, the disk fills, the map is closed and opened again.  None of this changes
 * what is live.
 */
#include "model.h"

#include <errno.h>

/* A word of the map, without a system call. */
static uint64_t word_at(uint64_t off)
{
	return __atomic_load_n(map_word(model.m, off), __ATOMIC_RELAXED);
}

static uint64_t word_off(uint64_t span)
{
	return model.m->geo.words_off + span * 8;
}

static bool span_has_place(uint64_t span, uint64_t word)
{
	const struct geo *g = &model.m->geo;
	uint32_t items = geo_span_items(g, span, span_word_class(word));

	for (uint32_t i = 0; i < items; i++) {
		uint64_t pair = g->pairs_off + (span * g->span_pairs + i / 64) * PAIR_BYTES;

		if (((word_at(pair) ^ word_at(pair + 8)) >> i % 64 & 1) == 0)
			return true;
	}
	return false;
}

bool map_is_full(uint64_t size, uint64_t align)
{
	const struct geo *g = &model.m->geo;
	uint64_t spans = (size + g->span_bytes - 1) / g->span_bytes, run = 0;
	bool large = g->items == 0 &&
		     (align <= 16 ? class_of(size) : class_aligned(size, align, g->classes)) >=
			     g->classes;

	if (g->items != 0)
		return model.count == g->items;
	for (uint64_t i = 0; i < g->spans; i++) {
		uint64_t word = word_at(word_off(i));

		run = word == 0 ? run + 1 : 0;
		if (run >= (large ? spans : 1) && (!large || align <= g->span_bytes))
			return false;
		if (!large && span_word_state(word) == SPAN_SMALL &&
		    class_bytes(span_word_class(word)) >= size &&
		    class_bytes(span_word_class(word)) % (align < 16 ? 16 : align) == 0 &&
		    span_has_place(i, word))
			return false;
	}
	return true;
}

/* ---- Locks ----------------------------------------------------------------- */

static uint64_t take_lock_place(void)
{
	uint8_t which = take_u8(model.in);

	switch (which & 7) {
	case 0:
		return STATE_POOL;
	case 1:
		return STATE_ROOTS;
	default:
		return STREAMS_OFF + which / 8 % model.m->geo.streams * STREAM_BYTES;
	}
}

/* Some thread is inside, and stays there: a signal handler runs, or it is stopped. */
static void hold(void)
{
	uint64_t place = take_lock_place();

	if (model.held < sizeof(model.held_at) / sizeof(model.held_at[0]) && file_get(place) == 0) {
		file_put(place, thread_owner(model.m, take_u8(model.in)));
		model.held_at[model.held++] = place;
	}
}

void release_all(void)
{
	while (model.held > 0)
		file_put(model.held_at[--model.held], 0);
	fake.disk_left = 0;
	fake.ran_full = false;
}

/* A process died inside, before or after it had done what it came for. */
static void die(void)
{
	uint64_t place = take_lock_place();

	if (file_get(place) == 0)
		file_put(place, dead_owner(take_u8(model.in)));
}

/* The holder of the pool died while it took a run: the stores up to the n-th were made. */
static void die_taking(void)
{
	const struct geo *g = &model.m->geo;
	uint64_t length = 1 + take_u8(model.in) % 4, stores = take_u8(model.in) % (length + 2);
	uint64_t first = take_u8(model.in) % g->spans;
	uint64_t frontier = file_get(STATE_FRONTIER);

	if (g->items != 0 || g->spans - first < length || file_get(STATE_POOL) != 0 ||
	    model.count == LIVE_MAX)
		return;
	for (uint64_t i = 0; i < length; i++) {
		if (file_get(word_off(first + i)) != 0)
			return;
	}
	file_put(STATE_POOL, dead_owner(0));
	file_put(STATE_INTENT + 8, first);
	file_put(STATE_INTENT + 16, length);
	file_put(STATE_INTENT + 24, 0);
	file_put(STATE_INTENT, INTENT_RUN_TAKE);
	if (stores == 0)
		return;
	file_put(STATE_FRONTIER, frontier > first + length ? frontier : first + length);
	for (uint64_t i = length - 1; i > 0 && --stores > 0; i--)
		file_put(word_off(first + i), SPAN_TAIL);
	if (stores > 0) {
		/* It was complete: a block that nobody knows of, but live. */
		file_put(word_off(first), span_word_run(length));
		live_add((void *)(uintptr_t)(model.m->base + g->data_off + first * g->span_bytes),
			 64, length * g->span_bytes);
	}
}

/* The same while it freed one. */
static void die_freeing(void)
{
	const struct geo *g = &model.m->geo;
	uint32_t i = model.count == 0 ? 0 : take_u8(model.in) % model.count;
	uint64_t stores = take_u8(model.in) % 6;
	uint64_t first, length;

	if (g->items != 0 || model.count == 0 || file_get(STATE_POOL) != 0)
		return;
	first = (uint64_t)(model.live[i].at - (uint8_t *)(uintptr_t)(model.m->base + g->data_off)) /
		g->span_bytes;
	length = span_word_length(file_get(word_off(first)));
	if (length == 0)
		return;
	file_put(STATE_POOL, dead_owner(1));
	file_put(STATE_INTENT + 8, first);
	file_put(STATE_INTENT + 16, length);
	file_put(STATE_INTENT + 24, 0);
	file_put(STATE_INTENT, INTENT_RUN_FREE);
	for (uint64_t k = 0; k < length && k < stores; k++)
		file_put(word_off(first + k), 0);
	if (stores > 0)
		live_remove(i);
}

/* ---- Opening ---------------------------------------------------------------- */

static void open_again(uint64_t flags)
{
	struct qalloc_options options = {.size = sizeof(options), .flags = flags};

	call_enter(0);
	model.map = qalloc_openfd(model.fd, &options);
	expect(model.map != NULL);
	FUZZ_CHECK(model.map != NULL);
	model.m = model.map;
	model.readonly = (flags & QALLOC_READONLY) != 0;
}

static void close_now(void)
{
	call_enter(0);
	FUZZ_CHECK(qalloc_closemap(model.map) == 0);
	expect_success();
}

/* Holders are threads of this process: none of them outlives its map. */
static void reopen(uint8_t op)
{
	struct qalloc_info info = {.size = sizeof(info)};
	uint32_t streams = model.m->geo.streams;

	release_all();
	if ((op & 1) != 0) {
		/* Twice open is the same handle, and still open when closed once. */
		call_enter(0);
		FUZZ_CHECK(qalloc_openfd(model.fd, NULL) == model.map);
		expect_success();
		close_now();
	}
	close_now();
	FUZZ_CHECK(file_get(STATE_DIRTY) == 0);
	/* Who opens it next finds nothing to settle. */
	FUZZ_CHECK(model.busy || file_get(STATE_INTENT) == INTENT_NONE);
	for (uint32_t i = 0; !model.busy && i < streams; i++)
		FUZZ_CHECK(file_get(STREAMS_OFF + i * STREAM_BYTES + STREAM_INTENT) == 0);
	if ((op & 2) != 0) {
		open_again(QALLOC_READONLY);
		model_compare();
		call_enter(0);
		FUZZ_CHECK(qalloc_malloc(model.map, 1) == NULL);
		FUZZ_CHECK(expect_failure() == QALLOC_EREADONLY);
		close_now();
	}
	open_again((op & 4) != 0 ? QALLOC_VERIFY : 0);
	FUZZ_CHECK(qalloc_mapinfo(model.map, &info) == 0 && info.left == QALLOC_LEFT_CLEAN);
}

void op_world(uint8_t op)
{
	switch (op & 31) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		reopen(op);
		break;
	case 8:
	case 9:
		hold();
		break;
	case 10:
	case 11:
		release_all();
		break;
	case 12:
	case 13:
		die();
		break;
	case 14:
	case 15:
		die_taking();
		break;
	case 16:
	case 17:
		die_freeing();
		break;
	case 18:
		fake.disk_left = 1 + take_u8(model.in) % 8;
		fake.full_errno = (op & 32) != 0 ? EDQUOT : ENOSPC;
		break;
	case 19:
		fake.disk_left = 0;
		fake.ran_full = false;
		break;
	case 20:
	case 21:
	case 22:
	case 23:
		op_publish(op);
		break;
	case 24:
	case 25:
		op_die_publishing();
		break;
	case 26:
	case 27:
		op_sweep(op);
		break;
	default:
		thread_become(op);
		break;
	}
}
