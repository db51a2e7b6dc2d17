/* SPDX-License-Identifier: MIT */
/*
 * Damaged tables: every rule that qalloc_check() knows is broken by hand in a map that is in
 * use.  The check says where, and every other call ends with an answer, touches no
 * live block, and leaves a process that goes on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../src/span.h"
#include "layout.h"
#include "support.h"

#define SIZE (2 * MIB)
#define STREAMS 2u
#define SMALL_SIZE 100

static const char *path;
static struct geo g;
static void *map;
static char *small, *large; /* a block of a class, and one of several spans */
static uint64_t small_span, large_span;

static void build(void)
{
	path = scratch("map");
	unlink(path);
	map = qalloc_makedynmap((off_t)SIZE, NULL, path, STREAMS);
	assert_opened(map);
	g = geometry_of(map);
	small = qalloc_malloc(map, SMALL_SIZE);
	large = qalloc_malloc(map, 3 * g.span_bytes);
	assert_non_null(small);
	assert_non_null(large);
	assert_int_equal(qalloc_setroot(map, "small", small), 0);
	assert_int_equal(qalloc_setroot(map, "large", large), 0);
	small_span = span_of(&g, qalloc_offset(map, small));
	large_span = span_of(&g, qalloc_offset(map, large));
	fill(small, SMALL_SIZE, 1);
	fill(large, 3 * g.span_bytes, 2);
	assert_whole(map);
}

static void write_span(uint64_t span, uint64_t word)
{
	write_word(path, g.words_off + span * 8, word);
}

static uint64_t pair_off(uint64_t span, uint64_t pair)
{
	return g.pairs_off + (span * g.span_pairs + pair) * PAIR_BYTES;
}

static void keep_text(const char *finding, void *arg)
{
	char *text = arg;
	strncat(text, finding, 1000 - strlen(text));
	strcat(text, "\n");
}

/* Whatever they say: they return, and what they return lies in the map. */
static void use_everything(void)
{
	void *blocks[60];
	static const size_t sizes[] = {1, SMALL_SIZE, 5000, 40000, 300000};
	struct qalloc_info info = {.size = sizeof(info)};
	for (size_t i = 0; i < 60; i++) {
		blocks[i] = qalloc_malloc(map, sizes[i % 5]);
		if (blocks[i] == NULL)
			continue;
		assert_int_not_equal(qalloc_offset(map, blocks[i]), 0);
		assert_true(qalloc_offset(map, blocks[i]) + sizes[i % 5] <= SIZE);
	}
	for (size_t i = 0; i < 60; i++)
		qalloc_tryfree(blocks[i], map);
	qalloc_usable_size(map, small);
	qalloc_usable_size(map, large);
	qalloc_mapinfo(map, &info);
	count_live(map);
	qalloc_getroot(map, "small");
	qalloc_setroot(map, "other", NULL);
	qalloc_trim(map);
	qalloc_sync(map);
}

static void expect_finding(const char *expected, uint64_t index)
{
	char text[2048] = "", where[32];
	snprintf(where, sizeof(where), " %llu:", (unsigned long long)index);
	assert_fails(qalloc_check(map, keep_text, text), QALLOC_ECORRUPT);
	if (strstr(text, expected) == NULL || strstr(text, where) == NULL)
		print_error("wanted \"%s\" at%s found:\n%s\n", expected, where, text);
	assert_non_null(strstr(text, expected));
	assert_non_null(strstr(text, where));
	assert_fails(qalloc_check(map, NULL, NULL), QALLOC_ECORRUPT);
	use_everything();
	assert_int_equal(qalloc_cleanup(), 0);
}

static void a_word_that_is_none_is_found(void **state)
{
	(void)state;
	const uint64_t words[] = {
		4,
		0xFF,
		UINT64_MAX,
		SPAN_TAIL | (uint64_t)1 << 32,
		SPAN_RUN,
		span_word_run(g.spans + 1000000),
		span_word_small(STREAMS, 0),
		span_word_small(0, 200),
		span_word_small(0, 1) | (uint64_t)5 << 32,
	};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		build();
		write_span(small_span, words[i]);
		assert_int_equal(qalloc_tryfree(small, map), -1);
		expect_finding("word", small_span);
	}
}

static void a_tail_without_a_run_is_found(void **state)
{
	(void)state;
	build();
	write_span(large_span + 3, SPAN_TAIL);
	expect_finding("tail", large_span + 3);
	build();
	write_span(large_span, SPAN_FREE);
	expect_finding("tail", large_span + 1);
}

static void a_run_that_is_not_whole_is_found_and_not_freed(void **state)
{
	(void)state;
	const uint64_t words[] = {SPAN_FREE, span_word_small(0, 0), span_word_run(1)};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		build();
		write_span(large_span + 1, words[i]);
		assert_fails(qalloc_tryfree(large, map), QALLOC_ECORRUPT);
		expect_finding("shorter than its head says", large_span + 1);
	}
	/* Longer than it was: over what is free, and over a neighbour. */
	build();
	write_span(large_span, span_word_run(20));
	assert_fails(qalloc_tryfree(large, map), QALLOC_ECORRUPT);
	expect_finding("shorter than its head says", large_span + 3);
}

static void a_free_span_with_live_bits_is_found(void **state)
{
	(void)state;
	build();
	write_word(path, pair_off(g.spans - 1, 0), 4);
	expect_finding("live bits, and no small blocks", g.spans - 1);
	build();
	write_span(small_span, SPAN_FREE);
	assert_fails(qalloc_tryfree(small, map), QALLOC_ENOTLIVE);
	expect_finding("live bits, and no small blocks", small_span);
}

/* What the check of a read-only map finds, as the next writer would after he repaired. */
static void expect_read_only(const char *expected, uint64_t index)
{
	char text[2048] = "";
	struct qalloc_options options = options_for(QALLOC_READONLY);
	map = qalloc_openmap(path, &options);
	assert_opened(map);
	assert_int_equal(qalloc_check(map, keep_text, text), expected == NULL ? 0 : -1);
	if (expected != NULL)
		assert_non_null(strstr(text, expected));
	assert_int_equal(qalloc_cleanup(), 0);
	map = qalloc_loadmap(path);
	assert_opened(map);
	write_word(path, STATE_POOL, (uint64_t)1 << 32 | 500 << OWNER_THREAD_BITS | 7);
	if (expected == NULL)
		assert_whole(map);
	else
		expect_finding(expected, index);
}

static void a_read_only_map_excuses_what_the_next_writer_repairs_and_nothing_else(void **state)
{
	(void)state;
	static const struct {
		uint64_t before, count; /* the intent begins so many spans before the last */
		uint64_t bits, found;   /* found so many spans before it */
		const char *expected;
	} cases[] = {
		{3, 4, 0, 0, NULL},
		{1, 2, 0, 0, NULL},
		{3, 5, 0, 0, "belongs to no run"},
		{3, UINT64_MAX, 0, 0, "belongs to no run"},
		{3, 3, 0, 0, "belongs to no run"},
		{0, 1, 0, 1, "belongs to no run"},
		{3, 0, 0, 0, "belongs to no run"},
		{3, 4, 1, 0, "live bits, and no small blocks"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		build();
		assert_int_equal(qalloc_cleanup(), 0);
		write_span(g.spans - 2, SPAN_TAIL);
		write_span(g.spans - 1, SPAN_TAIL);
		write_word(path, pair_off(g.spans - 1, 0), cases[i].bits);
		write_word(path, STATE_FRONTIER, g.spans);
		write_word(path, STATE_INTENT + 8, g.spans - 1 - cases[i].before);
		write_word(path, STATE_INTENT + 16, cases[i].count);
		write_word(path, STATE_INTENT, INTENT_RUN_TAKE);
		expect_read_only(cases[i].expected, g.spans - 1 - cases[i].found);
	}
}

static void bits_beyond_the_blocks_of_a_span_are_found(void **state)
{
	(void)state;
	build();
	write_word(path, pair_off(small_span, g.span_pairs - 1) + 8, (uint64_t)1 << 63);
	expect_finding("beyond", small_span);
}

static void damaged_roots_are_found_and_not_followed(void **state)
{
	static const uint64_t outside[] = {1, 8, 0x10000, SIZE, SIZE + 1, UINT64_MAX};
	(void)state;
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		build();
		write_word(path, ROOTS_OFF + ROOT_VALUE, outside[i]);
		assert_refused(qalloc_getroot(map, "small"), QALLOC_ECORRUPT);
		assert_ptr_equal(qalloc_getroot(map, "large"), large);
		expect_finding("outside the data area", 0);
	}
	build();
	patch_file(path, ROOTS_OFF + ROOT_BYTES, "small", 6);
	expect_finding("same name", 1);
	build();
	patch_file(path, ROOTS_OFF + ROOT_NAME + 20, "junk", 4);
	expect_finding("not a string", 0);
	build();
	char full[ROOT_VALUE];
	memset(full, 'x', sizeof(full));
	patch_file(path, ROOTS_OFF, full, sizeof(full));
	expect_finding("not a string", 0);
}

static void a_frontier_below_what_is_taken_is_found(void **state)
{
	(void)state;
	build();
	write_word(path, STATE_FRONTIER, 0);
	expect_finding("never was", large_span + 2);
}

static void hints_and_marks_may_say_anything(void **state)
{
	static const uint64_t values[] = {0, 1, 0xFFFF, UINT32_MAX, UINT64_MAX};
	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		build();
		for (uint64_t s = 0; s < STREAMS; s++) {
			for (uint64_t off = STREAM_CURSORS; off < STREAM_BYTES; off += 8)
				write_word(path, STREAMS_OFF + s * STREAM_BYTES + off, values[i]);
		}
		write_word(path, STATE_FREE_HINT, values[i]);
		write_word(path, STATE_TRIMS, values[i]);
		write_word(path, STATE_POOL + LOCK_WAITERS, values[i]);
		assert_whole(map);
		use_everything();
		assert_true(is_filled(small, SMALL_SIZE, 1));
		assert_true(is_filled(large, 3 * g.span_bytes, 2));
		assert_int_equal(count_live(map), 2);
		assert_int_equal(qalloc_tryfree(small, map), 0);
		assert_int_equal(qalloc_tryfree(large, map), 0);
		assert_whole(map);
		/* Loaded anew, too. */
		write_word(path, STATE_DIRTY, values[i]);
		assert_int_equal(qalloc_cleanup(), 0);
		map = qalloc_loadmap(path);
		assert_opened(map);
		assert_non_null(qalloc_malloc(map, info_of(map).data_bytes));
		assert_int_equal(qalloc_cleanup(), 0);
	}
}

/* Random bytes in all tables, many times: nothing is promised but an end. */
static void random_damage_never_ends_the_process(void **state)
{
	(void)state;
	uint64_t random = 4711;
	unsigned rounds = under_valgrind() ? 5 : 60;
	for (unsigned round = 0; round < rounds; round++) {
		build();
		for (int i = 0; i < 200; i++) {
			uint64_t end =
				next_random(&random) % 4 == 0 ? g.meta_end : g.pairs_off + 4096;
			uint64_t off = 0x1000 + next_random(&random) % (end - 0x1000 - 8);
			uint64_t value = next_random(&random) >> next_random(&random) % 64;
			/* Owners that seem to live would only cost time. */
			if (off / 0x1000 == 1 || off / 0x10000 == 1)
				value &= 0xFFFF;
			write_word(path, off, value);
		}
		qalloc_check(map, NULL, NULL);
		use_everything();
		qalloc_cleanup();
		map = qalloc_loadmap(path);
		assert_opened(map);
		use_everything();
		qalloc_cleanup();
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(a_word_that_is_none_is_found),
		TEST(a_tail_without_a_run_is_found),
		TEST(a_run_that_is_not_whole_is_found_and_not_freed),
		TEST(a_free_span_with_live_bits_is_found),
		TEST(a_read_only_map_excuses_what_the_next_writer_repairs_and_nothing_else),
		TEST(bits_beyond_the_blocks_of_a_span_are_found),
		TEST(damaged_roots_are_found_and_not_followed),
		TEST(a_frontier_below_what_is_taken_is_found),
		TEST(hints_and_marks_may_say_anything),
		TEST(random_damage_never_ends_the_process),
	};
	/* Each round makes a map, and a disk would be waited for each time. */
	if (!scratch_in("/dev/shm"))
		scratch_in(NULL);
	return cmocka_run_group_tests_name("damage", tests, NULL, NULL) != 0;
}
