/* SPDX-License-Identifier: MIT */
/*
 * Geometry over thousands of pseudo-random parameters with fixed seeds: it is
 * valid, a block's address leads back to the block, nothing overlaps, and the sizes that are
 * promised are enough.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "../src/geo.h"
#include "../src/size.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define ROUNDS 20000

static uint64_t seed;

static uint64_t chance(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* A number in [1, 2^bits], small ones as likely as large ones. */
static uint64_t skewed(uint32_t bits)
{
	return 1 + chance() % ((uint64_t)1 << chance() % (bits + 1));
}

static struct params params_of(enum qalloc_kind kind, uint64_t size, uint64_t item,
			       uint32_t streams)
{
	struct params p = {
		.file_size = size,
		.base = 0x510000000000,
		.item_size = item,
		.kind = kind,
		.streams = streams,
	};

	return p;
}

static struct params random_params(void)
{
	enum qalloc_kind kind = chance() % 2 ? QALLOC_STATIC : QALLOC_DYNAMIC;
	uint64_t item = kind == QALLOC_DYNAMIC ? 0 : skewed(chance() % 8 ? 14 : 46);

	return params_of(kind, skewed(46), item, (uint32_t)skewed(12));
}

static uint32_t blocks_of(const struct geo *g, uint64_t span, uint32_t cls, uint32_t item)
{
	uint32_t items = geo_span_items(g, span, cls);

	assert_true(items >= 1 && items <= ITEMS_PER_SPAN_MAX && items <= g->span_pairs * 64);
	return item % items;
}

static void every_geometry_is_valid(void **state)
{
	uint32_t computed = 0;

	(void)state;
	seed = 1;
	for (int round = 0; round < ROUNDS * 10; round++) {
		struct params p = random_params();
		struct geo g;

		memset(&g, 0xAA, sizeof(g));
		if (geo_compute(&p, &g) != QALLOC_OK)
			continue;
		computed++;
		assert_true(geo_is_valid(&g));
		assert_true(g.data_end <= p.file_size);
		assert_true(g.spans <= UINT32_MAX);
		/* What is left at the end would not hold one more. */
		assert_true(p.file_size - g.data_end <
			    (g.item_bytes ? g.item_bytes : g.span_bytes));
		assert_int_equal(geo_span_at(&g, g.data_end - g.data_off - 1), g.spans - 1);
	}
	assert_true(computed > ROUNDS);
}

static void a_file_one_byte_too_small_names_the_rule(void **state)
{
	struct geo g;
	struct params p;
	uint64_t size = geo_dynamic_size(1, 1);

	(void)state;
	p = params_of(QALLOC_DYNAMIC, size - 1, 0, 1);
	assert_int_equal(geo_compute(&p, &g), QALLOC_EFILESIZE);
	p.file_size = size;
	assert_int_equal(geo_compute(&p, &g), QALLOC_OK);
	p = params_of(QALLOC_STATIC, geo_static_size(8, 1, 1) - 1, 8, 1);
	assert_int_equal(geo_compute(&p, &g), QALLOC_EFILESIZE);
	p = params_of(QALLOC_STATIC, geo_static_size(16, 1, 1) - 1, 16, 1);
	assert_int_equal(geo_compute(&p, &g), QALLOC_EITEMSIZE);
	p = params_of(QALLOC_STATIC, QALLOC_FILESIZE_MAX, QALLOC_FILESIZE_MAX, 1);
	assert_int_equal(geo_compute(&p, &g), QALLOC_EITEMSIZE);
}

static void an_address_leads_back_to_its_block(void **state)
{
	(void)state;
	seed = 2;
	for (int round = 0; round < ROUNDS;) {
		struct params p = random_params();
		struct geo g;

		if (geo_compute(&p, &g) != QALLOC_OK)
			continue;
		round++;
		for (int i = 0; i < 50; i++) {
			uint64_t span = i == 0 ? g.spans - 1 : chance() % g.spans;
			uint32_t cls = (uint32_t)(chance() % g.classes);
			uint32_t item = blocks_of(&g, span, cls, (uint32_t)chance());
			uint64_t block = geo_block_bytes(&g, cls);
			uint64_t rel = geo_item_rel(&g, span, cls, item);
			uint64_t inside = rel + chance() % block;
			struct place at = geo_place(&g, rel, span, cls);

			assert_true(rel + block <= g.data_end - g.data_off);
			assert_int_equal(geo_span_at(&g, rel), span);
			assert_true(at.span == span && at.item == item && at.start);
			assert_int_equal(geo_span_at(&g, inside), span);
			at = geo_place(&g, inside, span, cls);
			assert_true(at.span == span && at.item == item &&
				    at.start == (inside == rel));
		}
	}
}

/* Every byte of the data area, in small maps of many shapes. */
static void blocks_are_disjoint_and_nothing_else_is_a_start(void **state)
{
	(void)state;
	seed = 3;
	for (int round = 0; round < 100;) {
		struct params p = random_params();
		struct geo g;
		uint64_t free_from = 0;
		uint32_t next = 0;

		p.file_size = 150 * KIB + chance() % (200 * KIB);
		if (geo_compute(&p, &g) != QALLOC_OK)
			continue;
		round++;
		for (uint64_t rel = 0; rel < g.data_end - g.data_off; rel++) {
			uint64_t span = geo_span_at(&g, rel);
			uint32_t cls = (uint32_t)(span % g.classes);
			struct place at = geo_place(&g, rel, span, cls);

			if (rel % g.span_bytes == 0)
				next = 0;
			assert_true(at.item < g.span_pairs * 64);
			if (!at.start)
				continue;
			assert_int_equal(at.item, next++);
			assert_true(rel >= free_from);
			assert_true(at.item < geo_span_items(&g, span, cls));
			free_from = rel + geo_block_bytes(&g, cls);
			assert_true((free_from - 1) / g.span_bytes == span);
			assert_true(next < geo_span_items(&g, span, cls) || g.item_bytes != 0 ||
				    g.span_bytes - free_from % g.span_bytes <
					    geo_block_bytes(&g, cls) ||
				    free_from % g.span_bytes == 0);
		}
		assert_true(free_from <= g.data_end - g.data_off);
	}
}

static void all_items_of_a_static_map_are_in_its_spans(void **state)
{
	(void)state;
	seed = 4;
	for (int round = 0; round < 500;) {
		struct params p =
			params_of(QALLOC_STATIC, skewed(26), skewed(14), (uint32_t)skewed(6));
		struct geo g;
		uint64_t items = 0;

		if (geo_compute(&p, &g) != QALLOC_OK)
			continue;
		round++;
		for (uint64_t span = 0; span < g.spans; span++)
			items += geo_span_items(&g, span, 0);
		assert_int_equal(items, g.items);
	}
}

static void items_are_aligned_as_promised(void **state)
{
	(void)state;
	seed = 5;
	for (int round = 0; round < ROUNDS;) {
		struct params p = random_params();
		struct geo g;
		uint64_t align;

		if (geo_compute(&p, &g) != QALLOC_OK)
			continue;
		round++;
		align = g.item_bytes == 0 || g.item_bytes % 16 == 0 ? 16 : 8;
		for (uint32_t cls = 0; cls < g.classes; cls++) {
			uint64_t span = chance() % g.spans;
			uint32_t item = blocks_of(&g, span, cls, (uint32_t)chance());

			assert_int_equal((g.data_off + geo_item_rel(&g, span, cls, item)) % align,
					 0);
		}
		if (g.item_bytes != 0)
			assert_true(g.item_bytes >= p.item_size && g.item_bytes < p.item_size + 8);
	}
}

static void a_dynamic_map_of_1_mib_has_small_spans(void **state)
{
	struct params p = params_of(QALLOC_DYNAMIC, MIB, 0, 4);
	struct geo g;

	(void)state;
	assert_int_equal(geo_compute(&p, &g), QALLOC_OK);
	assert_int_equal(g.span_bytes, 4096);
	assert_int_equal(g.data_end - g.data_off, 832 * KIB);
	assert_int_equal(g.classes, 24);
}

static void span_size_follows_file_size_and_streams(void **state)
{
	struct geo g;

	(void)state;
	for (uint32_t streams = 1; streams <= QALLOC_STREAMS_MAX; streams *= 3) {
		for (uint64_t span = 4096; span <= 65536; span *= 2) {
			struct params p =
				params_of(QALLOC_DYNAMIC, span * 64 * streams, 0, streams);
			struct params q = params_of(QALLOC_STATIC, p.file_size * 2 - 1, 8, streams);

			/* Of 4 KiB and many streams there may be too little left for data. */
			if (geo_compute(&p, &g) == QALLOC_OK)
				assert_int_equal(g.span_bytes, span);
			assert_int_equal(geo_compute(&q, &g), QALLOC_OK);
			assert_int_equal(g.span_bytes, span);
		}
	}
}

static void metadata_of_big_maps_is_small(void **state)
{
	(void)state;
	for (uint64_t size = 128 * MIB; size <= QALLOC_FILESIZE_MAX; size *= 2) {
		struct params s = params_of(QALLOC_STATIC, size, 64, 8);
		struct params d = params_of(QALLOC_DYNAMIC, size, 0, 8);
		struct geo g;

		assert_int_equal(geo_compute(&s, &g), QALLOC_OK);
		assert_true((size - (g.data_end - g.data_off)) * 100 < size);
		assert_int_equal(geo_compute(&d, &g), QALLOC_OK);
		assert_true((size - (g.data_end - g.data_off)) * 100 < size * 3);
	}
}

static void the_largest_map_has_its_geometry(void **state)
{
	struct geo g;

	(void)state;
	for (uint64_t item = 1; item <= QALLOC_FILESIZE_MAX / 2; item = item * 3 + 1) {
		struct params p =
			params_of(QALLOC_STATIC, QALLOC_FILESIZE_MAX, item, QALLOC_STREAMS_MAX);

		assert_int_equal(geo_compute(&p, &g), QALLOC_OK);
		assert_true(geo_is_valid(&g));
		assert_true(g.spans <= UINT32_MAX);
		assert_int_equal(geo_span_at(&g, g.data_end - g.data_off - 1), g.spans - 1);
	}
}

static bool has_tables_of(uint64_t size, uint64_t other, uint32_t streams)
{
	struct params a = params_of(QALLOC_DYNAMIC, size, 0, streams);
	struct params b = params_of(QALLOC_DYNAMIC, other, 0, streams);
	struct geo of_a, of_b;

	geo_compute(&a, &of_a);
	geo_compute(&b, &of_b);
	return of_a.span_bytes == of_b.span_bytes && of_a.records == of_b.records;
}

static void the_sizes_with_the_same_tables_are_a_range(void **state)
{
	(void)state;
	seed = 9;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t size = skewed(46);
		uint32_t streams = (uint32_t)skewed(12);
		uint64_t last = geo_same_until(size, streams);

		assert_true(size <= last && last <= QALLOC_FILESIZE_MAX);
		assert_true(has_tables_of(size, last, streams));
		assert_true(has_tables_of(size, size + chance() % (last - size + 1), streams));
		assert_true(last == QALLOC_FILESIZE_MAX || !has_tables_of(size, last + 1, streams));
	}
}

static uint64_t static_items(uint64_t size, uint64_t item, uint32_t streams)
{
	struct params p = params_of(QALLOC_STATIC, size, item, streams);
	struct geo g;

	return geo_compute(&p, &g) == QALLOC_OK ? g.items : 0;
}

static uint64_t dynamic_bytes(uint64_t size, uint32_t streams)
{
	struct params p = params_of(QALLOC_DYNAMIC, size, 0, streams);
	struct geo g;

	return geo_compute(&p, &g) == QALLOC_OK ? g.data_end - g.data_off : 0;
}

static void a_static_size_serves_exactly_the_items(void **state)
{
	uint32_t exact = 0;

	(void)state;
	seed = 6;
	for (int round = 0; round < ROUNDS * 5; round++) {
		uint64_t item = skewed(chance() % 4 ? 13 : 30);
		uint64_t items = skewed(chance() % 2 ? 16 : 30);
		uint32_t streams = (uint32_t)skewed(12);
		uint64_t size = geo_static_size(item, items, streams);
		uint64_t found;

		if (size == 0) {
			assert_true((item + 7) * items > QALLOC_FILESIZE_MAX / 100 * 90);
			continue;
		}
		assert_true(size <= QALLOC_FILESIZE_MAX);
		found = static_items(size, item, streams);
		assert_true(found >= items);
		exact += found == items;
		assert_true(static_items(size - 1, item, streams) < items);
	}
	assert_true(exact > ROUNDS * 5 / 100 * 97);
}

/* Spans double at 8192 * 64 * 5 bytes, so that the tables shrink and 28 items more fit at once. */
static void a_number_that_is_skipped_gets_the_next_size(void **state)
{
	(void)state;
	assert_int_equal(geo_static_size(2358, 1024, 5), 2621440);
	assert_int_equal(static_items(2621440, 2358, 5), 1027);
	assert_int_equal(static_items(2621439, 2358, 5), 999);
}

/* All counts up to some, so that every boundary of the tables is crossed. */
static void small_static_maps_are_exact_for_every_count(void **state)
{
	static const uint64_t item_sizes[] = {1, 8, 24, 64, 100, 2056, 4096, 70000};

	(void)state;
	for (size_t i = 0; i < sizeof(item_sizes) / sizeof(item_sizes[0]); i++) {
		for (uint64_t items = 1; items < 20000; items++) {
			uint64_t size = geo_static_size(item_sizes[i], items, 4);

			assert_int_equal(static_items(size, item_sizes[i], 4), items);
		}
	}
}

static void a_dynamic_size_is_the_smallest_that_holds_the_bytes(void **state)
{
	(void)state;
	seed = 7;
	for (int round = 0; round < ROUNDS * 5; round++) {
		uint64_t bytes = skewed(chance() % 2 ? 24 : 45);
		uint32_t streams = (uint32_t)skewed(12);
		uint64_t size = geo_dynamic_size(bytes, streams);

		assert_true(size != 0 && size <= QALLOC_FILESIZE_MAX);
		assert_true(dynamic_bytes(size, streams) >= bytes);
		assert_true(dynamic_bytes(size - 1, streams) < bytes);
		assert_true(dynamic_bytes(size - 1 - chance() % size, streams) < bytes);
	}
}

static void sizes_that_no_file_has_are_0(void **state)
{
	(void)state;
	assert_int_equal(geo_static_size(0, 1, 1), 0);
	assert_int_equal(geo_static_size(1, 0, 1), 0);
	assert_int_equal(geo_static_size(1, 1, 0), 0);
	assert_int_equal(geo_static_size(1, 1, QALLOC_STREAMS_MAX + 1), 0);
	assert_int_equal(geo_static_size(UINT64_MAX, 1, 1), 0);
	assert_int_equal(geo_static_size(1, UINT64_MAX, 1), 0);
	assert_int_equal(geo_static_size(QALLOC_FILESIZE_MAX, 1, 1), 0);
	assert_int_equal(geo_static_size(QALLOC_FILESIZE_MAX / 2, 2, 1), 0);
	assert_int_equal(geo_dynamic_size(1, 0), 0);
	assert_int_equal(geo_dynamic_size(1, QALLOC_STREAMS_MAX + 1), 0);
	assert_int_equal(geo_dynamic_size(QALLOC_FILESIZE_MAX, 1), 0);
	assert_int_equal(geo_dynamic_size(UINT64_MAX, 1), 0);
	assert_int_not_equal(geo_dynamic_size(0, 1), 0);
}

static void each_broken_invariant_is_noticed(void **state)
{
	struct params shapes[] = {params_of(QALLOC_DYNAMIC, 8 * MIB, 0, 4),
				  params_of(QALLOC_STATIC, 8 * MIB + 5, 40, 4)};

	(void)state;
	for (int shape = 0; shape < 2; shape++) {
		struct geo sound;
		uint64_t words[sizeof(struct geo) / 8];

		memset(&sound, 0, sizeof(sound));
		assert_int_equal(geo_compute(&shapes[shape], &sound), QALLOC_OK);
		/* file_size may grow, and the number of streams may shrink, without harm. */
		for (size_t i = 1; i < offsetof(struct geo, item_bytes) / 8 + 1; i++) {
			for (int way = 0; way < 4; way++) {
				static const uint64_t wrong[] = {1, UINT64_MAX, 0x4000000000000000,
								 0};
				struct geo broken;

				memcpy(words, &sound, sizeof(words));
				words[i] = way == 3 ? 0 : words[i] + wrong[way];
				memcpy(&broken, words, sizeof(broken));
				if (words[i] != ((uint64_t *)&sound)[i])
					assert_false(geo_is_valid(&broken));
			}
		}
		for (size_t i = 0; i < 3; i++) {
			struct geo broken = sound;
			uint32_t *field[] = {&broken.span_pairs, &broken.classes,
					     &broken.span_shift};

			(*field[i])++;
			assert_false(geo_is_valid(&broken));
			*field[i] = UINT32_MAX;
			assert_false(geo_is_valid(&broken));
		}
	}
}

static void a_predicate_on_noise_does_no_harm(void **state)
{
	(void)state;
	seed = 8;
	for (int round = 0; round < ROUNDS * 10; round++) {
		struct geo g;
		struct params p = random_params();
		uint64_t words[sizeof(struct geo) / 8];

		memset(&g, 0, sizeof(g));
		if (geo_compute(&p, &g) != QALLOC_OK)
			continue;
		memcpy(words, &g, sizeof(words));
		for (int i = 0; i < 3; i++)
			words[chance() % (sizeof(words) / 8)] =
				chance() % 2 ? chance() : chance() % 9;
		memcpy(&g, words, sizeof(g));
		if (geo_is_valid(&g))
			assert_true(g.spans >= 1 && g.data_end <= g.file_size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_geometry_is_valid),
		cmocka_unit_test(a_file_one_byte_too_small_names_the_rule),
		cmocka_unit_test(an_address_leads_back_to_its_block),
		cmocka_unit_test(blocks_are_disjoint_and_nothing_else_is_a_start),
		cmocka_unit_test(all_items_of_a_static_map_are_in_its_spans),
		cmocka_unit_test(items_are_aligned_as_promised),
		cmocka_unit_test(a_dynamic_map_of_1_mib_has_small_spans),
		cmocka_unit_test(span_size_follows_file_size_and_streams),
		cmocka_unit_test(metadata_of_big_maps_is_small),
		cmocka_unit_test(the_largest_map_has_its_geometry),
		cmocka_unit_test(the_sizes_with_the_same_tables_are_a_range),
		cmocka_unit_test(a_static_size_serves_exactly_the_items),
		cmocka_unit_test(a_number_that_is_skipped_gets_the_next_size),
		cmocka_unit_test(small_static_maps_are_exact_for_every_count),
		cmocka_unit_test(a_dynamic_size_is_the_smallest_that_holds_the_bytes),
		cmocka_unit_test(sizes_that_no_file_has_are_0),
		cmocka_unit_test(each_broken_invariant_is_noticed),
		cmocka_unit_test(a_predicate_on_noise_does_no_harm),
	};

	return cmocka_run_group_tests_name("geo", tests, NULL, NULL);
}
