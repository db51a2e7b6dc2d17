/* SPDX-License-Identifier: MIT */
/*
 * Property: the checker and the walker end in bounded time on any bytes, and agree: a map that
 * qalloc_check() calls whole behaves as the model says from then on, and is whole in the end.
 *
 *   make fuzz HARNESSES=check FUZZ_SECONDS=60
 */
#include "fuzz.h"

#include <string.h>

#define SPANS_LOOKED_AT 512u
#define RECORDS_LOOKED_AT 256u

static uint64_t findings;

static void report(const char *finding, void *arg)
{
	(void)arg;
	FUZZ_CHECK(strlen(finding) > 0);
	for (size_t i = 0; finding[i] != '\0'; i++)
		answer((uint64_t)finding[i]);
	findings++;
}

static int visit(void *block, size_t size, void *arg)
{
	const struct map *m = arg;
	uint64_t rel = 0;

	answer((uint64_t)(uintptr_t)block - m->base);
	answer(size);
	FUZZ_CHECK(map_rel(m, block, &rel) && size <= m->geo.data_end - m->geo.data_off - rel);
	return 0;
}

static bool somebody_inside(const struct map *m)
{
	bool inside = file_get(STATE_POOL) != 0 || file_get(STATE_ROOTS) != 0;

	for (uint32_t i = 0; i < m->geo.streams; i++)
		inside = inside || file_get(STREAMS_OFF + i * STREAM_BYTES) != 0;
	return inside;
}

/* Whether a dead thread left a block that the next one settles: what is live then is not what is now. */
static bool somebody_left(const struct map *m)
{
	bool left = false;

	for (uint32_t i = 0; i < m->geo.streams; i++)
		left = left || file_get(STREAMS_OFF + i * STREAM_BYTES + STREAM_INTENT) != 0;
	for (uint32_t i = 0; i < m->geo.records && i < RECORDS_LOOKED_AT; i++)
		left = left || file_get(m->geo.records_off + i * RECORD_BYTES) != 0;
	return left || file_get(STATE_INTENT + 24) != 0 || m->geo.records > RECORDS_LOOKED_AT;
}

/* The rules of qalloc(5) on a span word, written a second time; *tails: how many must follow. */
static bool word_is_whole(const struct geo *g, uint64_t span, uint64_t word, uint64_t *tails)
{
	uint64_t state = word & 0xFF, cls = word >> 8 & 0xFF, stream = word >> 16 & 0xFFFF;
	uint64_t length = word >> 32, due = *tails;

	*tails = due > 0 ? due - 1 : 0;
	if (state == SPAN_TAIL)
		return word == SPAN_TAIL && due > 0;
	if (due > 0)
		return false;
	if (state == SPAN_FREE)
		return word == 0;
	if (state == SPAN_SMALL)
		return cls < g->classes && stream < g->streams && length == 0;
	*tails = length - 1;
	return state == SPAN_RUN && g->items == 0 && (word & 0xFFFFFF00) == 0 && length >= 1 &&
	       length <= g->spans - span;
}

/* Live bits only where there are blocks. */
static bool bits_are_whole(const struct geo *g, uint64_t span, uint64_t word)
{
	bool is_small = (word & 0xFF) == SPAN_SMALL;
	uint64_t blocks = !is_small       ? 0
			  : g->items == 0 ? g->span_bytes / class_bytes(word >> 8 & 0xFF)
			  : g->items - span * g->span_items < g->span_items
				  ? g->items - span * g->span_items
				  : g->span_items;

	for (uint64_t b = 0; b < g->span_pairs * 64; b += 64) {
		uint64_t at = g->pairs_off + (span * g->span_pairs + b / 64) * PAIR_BYTES;
		uint64_t live = file_get(at) ^ file_get(at + 8);

		if (b + 64 > blocks && (b >= blocks ? live : live >> (blocks - b)) != 0)
			return false;
	}
	return true;
}

static void whole_is_whole(const struct map *m)
{
	const struct geo *g = &m->geo;
	uint64_t tails = 0;

	for (uint64_t i = 0; i < g->spans && g->spans <= SPANS_LOOKED_AT; i++) {
		uint64_t word = file_get(g->words_off + i * 8);

		FUZZ_CHECK(word_is_whole(g, i, word, &tails));
		FUZZ_CHECK((word & 0xFF) == SPAN_RUN || word == SPAN_TAIL ||
			   bits_are_whole(g, i, word));
	}
	FUZZ_CHECK(tails == 0 || g->spans > SPANS_LOOKED_AT);
	for (uint64_t i = 0; i < QALLOC_ROOTS_MAX; i++) {
		uint64_t at = ROOTS_OFF + i * ROOT_BYTES, value = file_get(at + ROOT_VALUE);

		if ((file_get(at + ROOT_STATE) & 1) == 0)
			continue;
		FUZZ_CHECK(value == 0 || (value >= g->data_off && value < g->data_end));
		FUZZ_CHECK((file_get(at) & 0xFF) != 0 && file_get(at + 40) >> 56 == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image image = image_parse(input_copy(data, size));
	struct qalloc_options options = {
		.size = sizeof(options),
		.flags = (image.options & OPEN_READONLY) != 0 ? QALLOC_READONLY : 0};
	struct qalloc_info info = {.size = sizeof(info)};
	int fd = image_build(&image);

	thread_become(0);
	fake_begin((image.control & CONTROL_NO_SPACE) != 0, DISK_MODEL);
	call_enter(0);
	void *map = qalloc_openfd(fd, &options);

	if (map == NULL) {
		answer((uint64_t)qalloc_error());
		return 0;
	}
	bool busy = somebody_inside(map), left = somebody_left(map);

	findings = 0;
	call_enter(0);
	int result = qalloc_check(map, report, NULL);

	FUZZ_CHECK((result == 0) == (findings == 0) || qalloc_error() == QALLOC_EBUSY);
	expect(result == 0);
	if (result == 0 && !busy)
		whole_is_whole(map);
	call_enter(0);
	FUZZ_CHECK(qalloc_walk(map, visit, map) == 0);
	expect_success();
	call_enter(0);
	FUZZ_CHECK(qalloc_mapinfo(map, &info) == 0);
	expect_success();
	answer(info.live_bytes);
	answer(info.free_bytes);
	answer(info.largest_free);
	answer(info.left);
	if (result == 0 && !left && (options.flags & QALLOC_READONLY) == 0) {
		model_run(map, fd, &image.program, busy);
		return 0;
	}
	call_enter(0);
	FUZZ_CHECK(qalloc_closemap(map) == 0);
	expect_success();
	return 0;
}
