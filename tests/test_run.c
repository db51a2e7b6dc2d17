/* SPDX-License-Identifier: MIT */
/*
 * Runs: search against a plain one, a kill after each store, and any words whatever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../src/run.h"

#define STREAMS 3u
#define CLASSES 5u
#define SPANS_MAX 40u
#define ROUNDS 20000

static uint64_t seed = 2463534242u;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint64_t below(uint64_t bound)
{
	return next_random() % bound;
}

/* A map's span words, in a heap block of exact size for the sanitizers. */
struct words {
	uint64_t *at;
	uint64_t count;
};

static struct words new_words(void)
{
	struct words w = {.count = 1 + below(SPANS_MAX)};

	w.at = calloc(w.count, sizeof(uint64_t));
	assert_non_null(w.at);
	return w;
}

/* Words that keep the rules of check.h: free, small and runs in any order. */
static struct words whole_words(void)
{
	struct words w = new_words();

	for (uint64_t i = 0; i < w.count;) {
		uint64_t len = 1 + below(w.count - i < 6 ? w.count - i : 6);
		uint64_t kind = below(3);

		for (uint64_t j = 0; j < len; j++) {
			uint64_t head = kind == 1 ? span_word_small(1, 2) : span_word_run(len);

			w.at[i + j] = kind == 0 ? SPAN_FREE : SPAN_TAIL;
			if (kind != 0 && j == 0)
				w.at[i] = head;
			else if (kind == 1)
				w.at[i + j] = span_word_small(2, 1);
		}
		i += len;
	}
	return w;
}

/* Words that are mostly near what is valid, so that every branch is met. */
static struct words any_words(void)
{
	struct words w = new_words();

	for (uint64_t i = 0; i < w.count; i++) {
		switch (below(8)) {
		case 0:
			w.at[i] = next_random();
			break;
		case 1:
			w.at[i] = span_word_run(below(w.count + 2));
			break;
		case 2:
			w.at[i] = SPAN_FREE;
			break;
		case 3:
			w.at[i] = span_word_small((uint32_t)below(5), (uint32_t)below(7));
			break;
		case 4:
			w.at[i] = span_word_run(UINT32_MAX);
			break;
		default:
			w.at[i] = SPAN_TAIL;
		}
	}
	return w;
}

/* Rules 1 and 2 of check.h, written anew. */
static bool is_whole(const uint64_t *at, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		if (!span_word_valid(at[i], STREAMS, CLASSES, count - i) || at[i] == SPAN_TAIL)
			return false;
		if (span_word_state(at[i]) != SPAN_RUN)
			continue;
		for (uint64_t left = span_word_length(at[i]) - 1; left > 0; left--) {
			if (at[++i] != SPAN_TAIL)
				return false;
		}
	}
	return true;
}

static bool same_words(const uint64_t *a, const uint64_t *b, uint64_t count)
{
	return memcmp(a, b, (size_t)count * sizeof(*a)) == 0;
}

static uint64_t slow_find(const struct words *w, uint64_t from, uint64_t to, uint64_t need)
{
	for (uint64_t p = from; need > 0 && p + need <= to; p++) {
		uint64_t n = 0;

		while (n < need && w->at[p + n] == SPAN_FREE)
			n++;
		if (n == need)
			return p;
	}
	return RUN_NONE;
}

static void the_first_free_run_is_found_or_there_is_none(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		struct words w = round % 2 == 0 ? whole_words() : any_words();
		uint64_t to = below(w.count + 1);
		uint64_t from = below(w.count + 1);
		uint64_t need = below(5);
		uint64_t first = run_find(w.at, from, to, need);

		assert_true(first == slow_find(&w, from, to, need));
		if (first != RUN_NONE)
			assert_true(run_is_free(w.at, first, need));
		free(w.at);
	}
}

static void a_need_without_bound_is_never_found(void **state)
{
	struct words w = new_words();

	(void)state;
	assert_true(run_find(w.at, 0, w.count, 0) == RUN_NONE);
	assert_true(run_find(w.at, 0, w.count, w.count + 1) == RUN_NONE);
	assert_true(run_find(w.at, 0, w.count, UINT64_MAX) == RUN_NONE);
	assert_true(run_find(w.at, 0, w.count, w.count) == 0);
	free(w.at);
}

static void a_run_taken_and_freed_leaves_the_words_as_they_were(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		struct words w = whole_words();
		uint64_t before[SPANS_MAX];
		uint64_t need = 1 + below(4);
		uint64_t first = run_find(w.at, 0, w.count, need);

		memcpy(before, w.at, (size_t)w.count * sizeof(*w.at));
		if (first != RUN_NONE) {
			run_take(w.at, first, need);
			assert_true(is_whole(w.at, w.count));
			assert_true(run_length(w.at, w.count, first) == need);
			assert_true(same_words(w.at, before, first));
			assert_true(same_words(&w.at[first + need], &before[first + need],
					       w.count - first - need));
			run_free(w.at, first, need);
		}
		assert_true(same_words(w.at, before, w.count));
		free(w.at);
	}
}

/*
 * The states that a dead holder can leave behind: in taking, tails from the last down,
 * then the head; in freeing, the head, then tails upwards.
 */
static void stop_take(uint64_t *at, uint64_t first, uint64_t len, uint64_t stores)
{
	for (uint64_t i = len - 1; i > 0 && stores > 0; i--, stores--)
		at[first + i] = SPAN_TAIL;
	if (stores > 0)
		at[first] = span_word_run(len);
}

static void stop_free(uint64_t *at, uint64_t first, uint64_t len, uint64_t stores)
{
	for (uint64_t i = 0; i < len && i < stores; i++)
		at[first + i] = SPAN_FREE;
}

static void a_take_that_is_killed_at_any_store_is_undone_or_finished(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		struct words w = whole_words();
		uint64_t before[SPANS_MAX];
		uint64_t len = 1 + below(6);
		uint64_t first = run_find(w.at, 0, w.count, len);
		uint64_t stores = below(len + 1);

		if (first != RUN_NONE) {
			memcpy(before, w.at, (size_t)w.count * sizeof(*w.at));
			stop_take(w.at, first, len, stores);
			run_repair(w.at, w.count, INTENT_RUN_TAKE, first, len);
			assert_true(is_whole(w.at, w.count));
			if (stores == len)
				assert_true(run_length(w.at, w.count, first) == len);
			else
				assert_true(same_words(w.at, before, w.count));
		}
		free(w.at);
	}
}

static void a_free_that_is_killed_at_any_store_is_finished_or_not_begun(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		struct words w = whole_words();
		uint64_t freed[SPANS_MAX];
		uint64_t first = below(w.count);
		uint64_t len = run_length(w.at, w.count, first);

		if (len != 0) {
			uint64_t stores = below(len + 1);

			memcpy(freed, w.at, (size_t)w.count * sizeof(*w.at));
			run_free(freed, first, len);
			stop_free(w.at, first, len, stores);
			run_repair(w.at, w.count, INTENT_RUN_FREE, first, len);
			assert_true(is_whole(w.at, w.count));
			if (stores == 0)
				assert_true(run_length(w.at, w.count, first) == len);
			else
				assert_true(same_words(w.at, freed, w.count));
		}
		free(w.at);
	}
}

static void a_repair_that_is_killed_at_any_store_can_be_repaired(void **state)
{
	(void)state;
	for (uint64_t len = 2; len <= SPANS_MAX; len++) {
		for (uint64_t left = 0; left < len; left++) {
			uint64_t at[SPANS_MAX + 2] = {span_word_run(1)};
			uint64_t none[SPANS_MAX + 2] = {span_word_run(1)};

			/* A repair frees upwards too, so this is also where it can stop. */
			for (uint64_t i = 0; i < left; i++)
				at[len - i] = SPAN_TAIL;
			run_repair(at, len + 2, INTENT_RUN_TAKE, 1, len);
			assert_true(same_words(at, none, len + 2));
		}
	}
}

static void an_intent_that_is_untrue_changes_nothing_in_a_whole_map(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		struct words w = whole_words();
		uint64_t before[SPANS_MAX];
		uint64_t shift = below(64);

		memcpy(before, w.at, (size_t)w.count * sizeof(*w.at));
		run_repair(w.at, w.count, below(4), below(w.count + 1), below(w.count + 2));
		run_repair(w.at, w.count, 1 + below(2), next_random() >> shift, below(9));
		run_repair(w.at, w.count, 1 + below(2), below(w.count), next_random() >> shift);
		assert_true(same_words(w.at, before, w.count));
		free(w.at);
	}
}

static void tails_without_a_head_at_the_end_of_an_intent_are_freed_and_nothing_else(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		struct words w = whole_words();
		uint64_t before[SPANS_MAX];
		uint64_t end = 1 + below(w.count);
		uint64_t from = end;

		memcpy(before, w.at, (size_t)w.count * sizeof(*w.at));
		/* The tails may stand behind a live run, and the intent may begin inside it. */
		while (from > 0 && w.at[from - 1] == SPAN_FREE && below(8) != 0)
			w.at[--from] = SPAN_TAIL;
		if (from < end) {
			uint64_t first = below(from + 1);

			run_repair(w.at, w.count, 1 + below(2), first, end - first);
		}
		assert_true(same_words(w.at, before, w.count));
		assert_true(is_whole(w.at, w.count));
		free(w.at);
	}
}

static void an_unknown_op_or_a_range_beyond_the_map_is_ignored(void **state)
{
	uint64_t at[4] = {SPAN_FREE, SPAN_TAIL, SPAN_TAIL, SPAN_TAIL};
	const uint64_t before[4] = {SPAN_FREE, SPAN_TAIL, SPAN_TAIL, SPAN_TAIL};

	(void)state;
	run_repair(at, 4, INTENT_NONE, 0, 4);
	run_repair(at, 4, 3, 0, 4);
	run_repair(at, 4, UINT64_MAX, 0, 4);
	run_repair(at, 4, INTENT_RUN_TAKE, 0, 0);
	run_repair(at, 4, INTENT_RUN_TAKE, 0, 5);
	run_repair(at, 4, INTENT_RUN_TAKE, 4, 1);
	run_repair(at, 4, INTENT_RUN_FREE, 3, UINT64_MAX);
	run_repair(at, 4, INTENT_RUN_FREE, UINT64_MAX, 3);
	assert_true(same_words(at, before, 4));
	run_repair(at, 4, INTENT_RUN_FREE, 2, 2);
	assert_true(at[1] == SPAN_TAIL && at[2] == SPAN_FREE && at[3] == SPAN_FREE);
}

static void any_words_with_any_intent_lose_only_tails_within_its_range(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < 4 * ROUNDS; round++) {
		struct words w = any_words();
		uint64_t before[SPANS_MAX];
		uint64_t first = below(w.count + 1);
		uint64_t len = below(w.count + 2);

		memcpy(before, w.at, (size_t)w.count * sizeof(*w.at));
		for (uint64_t i = 0; i < w.count + 3; i++)
			assert_true(run_length(w.at, w.count, i) + i <= w.count ||
				    run_length(w.at, w.count, i) == 0);
		run_repair(w.at, w.count, below(4), first, len);
		for (uint64_t i = 0; i < w.count; i++) {
			if (w.at[i] == before[i])
				continue;
			assert_true(before[i] == SPAN_TAIL && w.at[i] == SPAN_FREE);
			assert_true(i >= first && i < first + len);
		}
		free(w.at);
	}
}

static void freeing_a_run_of_a_false_length_stops_at_the_first_word_that_is_no_tail(void **state)
{
	uint64_t at[6] = {span_word_run(6), SPAN_TAIL, SPAN_TAIL,
			  span_word_run(2), SPAN_TAIL, SPAN_FREE};

	(void)state;
	run_free(at, 0, run_length(at, 6, 0));
	assert_true(at[0] == SPAN_FREE && at[1] == SPAN_FREE && at[2] == SPAN_FREE);
	assert_true(at[3] == span_word_run(2) && at[4] == SPAN_TAIL);
}

static void a_length_is_believed_only_from_a_head_that_fits(void **state)
{
	uint64_t at[3] = {span_word_run(3), span_word_run(3), SPAN_TAIL};

	(void)state;
	assert_true(run_length(at, 3, 0) == 3);
	assert_true(run_length(at, 3, 1) == 0);
	assert_true(run_length(at, 3, 2) == 0);
	assert_true(run_length(at, 3, 3) == 0);
	assert_true(run_length(at, 3, UINT64_MAX) == 0);
	at[0] |= 0x100;
	assert_true(run_length(at, 3, 0) == 0);
	at[0] = span_word_small(0, 0) | (UINT64_C(1) << 32);
	assert_true(run_length(at, 3, 0) == 0);
	at[0] = SPAN_RUN;
	assert_true(run_length(at, 3, 0) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_free_run_is_found_or_there_is_none),
		cmocka_unit_test(a_need_without_bound_is_never_found),
		cmocka_unit_test(a_run_taken_and_freed_leaves_the_words_as_they_were),
		cmocka_unit_test(a_take_that_is_killed_at_any_store_is_undone_or_finished),
		cmocka_unit_test(a_free_that_is_killed_at_any_store_is_finished_or_not_begun),
		cmocka_unit_test(a_repair_that_is_killed_at_any_store_can_be_repaired),
		cmocka_unit_test(an_intent_that_is_untrue_changes_nothing_in_a_whole_map),
		cmocka_unit_test(
			tails_without_a_head_at_the_end_of_an_intent_are_freed_and_nothing_else),
		cmocka_unit_test(an_unknown_op_or_a_range_beyond_the_map_is_ignored),
		cmocka_unit_test(any_words_with_any_intent_lose_only_tails_within_its_range),
		cmocka_unit_test(
			freeing_a_run_of_a_false_length_stops_at_the_first_word_that_is_no_tail),
		cmocka_unit_test(a_length_is_believed_only_from_a_head_that_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
