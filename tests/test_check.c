/* SPDX-License-Identifier: MIT */
/*
 * The checker of spans: each rule broken, each finding expected, and any words whatever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../src/check.h"

#define STREAMS 4u

static uint64_t seed = 1181783497276652981u;

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

/* The words and pairs of a whole map, empty, in heap blocks of exact size. */
struct map_image {
	struct geo g;
	uint64_t *words;
	uint64_t *pairs;
};

static struct map_image new_image(uint32_t kind, uint64_t file_size, uint64_t item_size)
{
	struct params p = {.file_size = file_size,
			   .base = UINT64_C(0x550000000000),
			   .item_size = item_size,
			   .kind = kind,
			   .streams = STREAMS};
	struct map_image m = {.words = NULL};

	assert_int_equal(geo_compute(&p, &m.g), QALLOC_OK);
	m.words = calloc(m.g.spans, sizeof(uint64_t));
	m.pairs = calloc(m.g.spans * m.g.span_pairs, PAIR_BYTES);
	assert_non_null(m.words);
	assert_non_null(m.pairs);
	return m;
}

static struct map_image dynamic_image(void)
{
	return new_image(QALLOC_DYNAMIC, 1 << 20, 0);
}

static struct map_image static_image(void)
{
	return new_image(QALLOC_STATIC, 1 << 20, 24);
}

static void drop_image(struct map_image *m)
{
	free(m->words);
	free(m->pairs);
}

static uint64_t *pairs_of(const struct map_image *m, uint64_t span)
{
	return &m->pairs[span * m->g.span_pairs * 2];
}

/* Goes through the whole map; counts findings, and expects the first to be `wanted` at `where`. */
static uint64_t count_findings(const struct map_image *m, enum check_finding wanted, uint64_t where)
{
	struct check c = {0};
	uint64_t findings = 0;

	for (uint64_t i = 0; i < m->g.spans; i++) {
		enum check_finding f = check_span(&c, &m->g, i, m->words[i], pairs_of(m, i));

		if (f != CHECK_CLEAN && findings++ == 0) {
			assert_int_equal(f, wanted);
			assert_true(i == where);
		}
	}
	if (check_gap(&c) != CHECK_CLEAN && findings++ == 0) {
		assert_int_equal(wanted, CHECK_RUN_BROKEN);
		assert_true(where == m->g.spans);
	}
	assert_int_equal(check_gap(&c), CHECK_CLEAN);
	return findings;
}

static void expect_whole(const struct map_image *m)
{
	assert_int_equal(count_findings(m, CHECK_CLEAN, 0), 0);
}

static void expect_one(const struct map_image *m, enum check_finding wanted, uint64_t where)
{
	assert_int_equal(count_findings(m, wanted, where), 1);
}

static void put_run(struct map_image *m, uint64_t first, uint64_t length)
{
	m->words[first] = span_word_run(length);
	for (uint64_t i = 1; i < length; i++)
		m->words[first + i] = SPAN_TAIL;
}

static void an_empty_map_and_a_used_one_are_whole(void **state)
{
	struct map_image d = dynamic_image();
	struct map_image s = static_image();

	(void)state;
	expect_whole(&d);
	expect_whole(&s);
	put_run(&d, 0, 3);
	put_run(&d, 3, 1);
	put_run(&d, d.g.spans - 2, 2);
	d.words[5] = span_word_small(STREAMS - 1, d.g.classes - 1);
	pairs_of(&d, 5)[0] = 1;
	s.words[0] = span_word_small(0, 0);
	pairs_of(&s, 0)[1] = 1;
	expect_whole(&d);
	expect_whole(&s);
	drop_image(&d);
	drop_image(&s);
}

static void a_word_that_is_not_valid_is_found(void **state)
{
	struct map_image m = dynamic_image();
	const uint64_t bad[] = {
		4,
		UINT64_MAX,
		SPAN_FREE | 0x100,
		SPAN_TAIL | 0x100,
		span_word_small(STREAMS, 0),
		span_word_small(0, m.g.classes),
		span_word_run(0),
		span_word_run(m.g.spans - 6),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		m.words[7] = bad[i];
		expect_one(&m, CHECK_WORD, 7);
	}
	/* In the place of a tail it stands for that tail. */
	put_run(&m, 6, 4);
	m.words[7] = UINT64_MAX;
	expect_one(&m, CHECK_WORD, 7);
	drop_image(&m);
}

static void a_tail_without_a_head_is_found(void **state)
{
	struct map_image m = dynamic_image();

	(void)state;
	put_run(&m, 2, 3);
	m.words[5] = SPAN_TAIL;
	expect_one(&m, CHECK_TAIL_ORPHAN, 5);
	m.words[5] = SPAN_FREE;
	m.words[0] = SPAN_TAIL;
	expect_one(&m, CHECK_TAIL_ORPHAN, 0);
	drop_image(&m);
}

static void a_run_that_lacks_a_tail_is_found(void **state)
{
	struct map_image m = dynamic_image();

	(void)state;
	put_run(&m, 2, 3);
	m.words[4] = SPAN_FREE;
	expect_one(&m, CHECK_RUN_BROKEN, 4);
	m.words[4] = span_word_small(0, 0);
	expect_one(&m, CHECK_RUN_BROKEN, 4);
	/* What breaks one run may begin another. */
	put_run(&m, 4, 3);
	expect_one(&m, CHECK_RUN_BROKEN, 4);
	drop_image(&m);
}

static void a_run_that_ends_in_a_hole_is_found_at_the_hole(void **state)
{
	struct map_image m = dynamic_image();
	struct check c = {0};

	(void)state;
	assert_int_equal(check_gap(&c), CHECK_CLEAN);
	assert_int_equal(check_span(&c, &m.g, 0, span_word_run(9), pairs_of(&m, 0)), CHECK_CLEAN);
	assert_int_equal(check_span(&c, &m.g, 1, SPAN_TAIL, pairs_of(&m, 1)), CHECK_CLEAN);
	assert_int_equal(check_gap(&c), CHECK_RUN_BROKEN);
	assert_int_equal(check_gap(&c), CHECK_CLEAN);
	drop_image(&m);
}

static void a_static_map_has_no_run(void **state)
{
	struct map_image m = static_image();

	(void)state;
	m.words[1] = span_word_run(1);
	expect_one(&m, CHECK_WORD, 1);
	m.words[1] = SPAN_TAIL;
	expect_one(&m, CHECK_TAIL_ORPHAN, 1);
	drop_image(&m);
}

static void a_live_bit_without_a_small_block_is_found_wherever_it_is(void **state)
{
	struct map_image m = dynamic_image();

	(void)state;
	put_run(&m, 3, 5);
	for (uint32_t bit = 0; bit < m.g.span_pairs * 64; bit++) {
		uint64_t span = below(m.g.spans);
		uint64_t *word = &pairs_of(&m, span)[2 * (bit / 64) + below(2)];

		*word = mask_of(bit % 64);
		expect_one(&m, CHECK_FREE_LIVE, span);
		*word = 0;
	}
	drop_image(&m);
}

static void a_live_bit_is_found_iff_it_is_beyond_the_blocks_of_its_span(void **state)
{
	(void)state;
	for (uint32_t kind = QALLOC_STATIC; kind <= QALLOC_DYNAMIC; kind++) {
		struct map_image m = kind == QALLOC_STATIC ? static_image() : dynamic_image();
		uint64_t last = m.g.spans - 1;

		for (uint32_t cls = 0; cls < m.g.classes; cls++) {
			uint64_t span = cls % 2 == 0 ? last : 0;
			uint32_t items = geo_span_items(&m.g, span, cls);

			m.words[span] = span_word_small(0, cls);
			for (uint32_t bit = 0; bit < m.g.span_pairs * 64; bit++) {
				uint64_t *word = &pairs_of(&m, span)[2 * (bit / 64) + bit % 2];

				*word = mask_of(bit % 64);
				if (bit < items)
					expect_whole(&m);
				else
					expect_one(&m, CHECK_BITS_BEYOND, span);
				*word = 0;
			}
			m.words[span] = SPAN_FREE;
		}
		drop_image(&m);
	}
}

static void any_words_and_any_pairs_are_gone_through_to_the_end(void **state)
{
	struct map_image m = dynamic_image();

	(void)state;
	for (uint32_t round = 0; round < 500; round++) {
		struct check c = {.tails = round % 3 == 0 ? next_random() : 0};

		for (uint64_t i = 0; i < m.g.spans; i++) {
			uint64_t word = below(3) == 0 ? next_random() : next_random() & 0x20FF01;

			for (uint32_t p = 0; p < 2 * m.g.span_pairs; p++)
				pairs_of(&m, i)[p] = next_random();
			(void)check_span(&c, &m.g, i, word, pairs_of(&m, i));
		}
		(void)check_gap(&c);
		assert_int_equal(c.tails, 0);
	}
	drop_image(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_map_and_a_used_one_are_whole),
		cmocka_unit_test(a_word_that_is_not_valid_is_found),
		cmocka_unit_test(a_tail_without_a_head_is_found),
		cmocka_unit_test(a_run_that_lacks_a_tail_is_found),
		cmocka_unit_test(a_run_that_ends_in_a_hole_is_found_at_the_hole),
		cmocka_unit_test(a_static_map_has_no_run),
		cmocka_unit_test(a_live_bit_without_a_small_block_is_found_wherever_it_is),
		cmocka_unit_test(a_live_bit_is_found_iff_it_is_beyond_the_blocks_of_its_span),
		cmocka_unit_test(any_words_and_any_pairs_are_gone_through_to_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
