/* SPDX-License-Identifier: MIT */
/*
 * Dynamic maps: every size from 0 to the whole data area, alignment, calloc, realloc,
 * and that what was freed can be allocated again in any shape.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support.h"

#define BLOCKS_MAX 300000

static void *blocks[BLOCKS_MAX];

static void *dynamic_map(size_t size, size_t streams)
{
	void *map = qalloc_makedynmap((off_t)size, NULL, scratch("map"), streams);
	assert_opened(map);
	return map;
}

static uint64_t address(const void *block)
{
	return (uint64_t)(uintptr_t)block;
}

static int by_address(const void *a, const void *b)
{
	uint64_t x = address(*(void *const *)a), y = address(*(void *const *)b);
	return (x > y) - (x < y);
}

/* Blocks of at least `size` until the map is full; how many. */
static size_t fill_map(void *map, size_t size)
{
	size_t n = 0;
	while (n < BLOCKS_MAX && (blocks[n] = qalloc_malloc(map, size)) != NULL)
		n++;
	assert_true(n < BLOCKS_MAX);
	assert_int_equal(qalloc_error(), QALLOC_EFULL);
	assert_int_equal(errno, ENOMEM);
	return n;
}

static void free_all(void *map, size_t count, uint64_t seed)
{
	for (size_t n = count; n > 0; n--) {
		size_t i = next_random(&seed) % n;
		assert_int_equal(qalloc_tryfree(blocks[i], map), 0);
		blocks[i] = blocks[n - 1];
	}
}

/* All of the data area can be had as one block, as it could when the map was new. */
static void assert_all_is_free(void *map)
{
	struct qalloc_info info = info_of(map);
	assert_int_equal(info.live_blocks, 0);
	void *all = qalloc_malloc(map, info.data_bytes);
	assert_non_null(all);
	assert_int_equal(qalloc_tryfree(all, map), 0);
	assert_whole(map);
}

static void one_mib_and_4_streams_serve_100_sizes_up_to_4_kib(void **state)
{
	(void)state;
	void *map = dynamic_map(MIB, 4);
	for (size_t i = 0; i < 100; i++) {
		blocks[i] = qalloc_malloc(map, (i + 1) * 41);
		assert_non_null(blocks[i]);
		fill(blocks[i], (i + 1) * 41, i);
	}
	for (size_t i = 0; i < 100; i++)
		assert_true(is_filled(blocks[i], (i + 1) * 41, i));
	assert_int_equal(count_live(map), 100);
	assert_whole(map);
	free_all(map, 100, 1);
	assert_all_is_free(map);
}

static void sizes_from_0_to_the_whole_data_area_are_served(void **state)
{
	(void)state;
	void *map = dynamic_map(4 * MIB + 123, 2);
	size_t all = (size_t)info_of(map).data_bytes;
	for (size_t size = 0; size <= all; size = size < 300 ? size + 1 : size + size / 7) {
		char *block = qalloc_malloc(map, size);
		assert_non_null(block);
		assert_int_equal(address(block) % 16, 0);
		assert_true(qalloc_usable_size(map, block) >= size);
		fill(block, size, size);
		assert_true(is_filled(block, size, size));
		assert_int_equal(qalloc_tryfree(block, map), 0);
	}
	assert_all_is_free(map);
}

static void sizes_beyond_the_data_area_are_refused_with_enomem(void **state)
{
	(void)state;
	void *map = dynamic_map(MIB, 2);
	const size_t sizes[] = {(size_t)info_of(map).data_bytes + 1,
				MIB,
				MIB + 1,
				SIZE_MAX,
				SIZE_MAX - 15,
				SIZE_MAX / 2,
				(size_t)1 << 32,
				(size_t)1 << 48};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_refused(qalloc_malloc(map, sizes[i]), QALLOC_ESIZE);
		assert_int_equal(errno, ENOMEM);
		assert_refused(qalloc_dynmalloc(map, sizes[i]), QALLOC_ESIZE);
	}
	assert_all_is_free(map);
}

static void malloc_of_0_gives_unique_blocks(void **state)
{
	(void)state;
	void *map = dynamic_map(MIB, 3);
	for (size_t i = 0; i < 1000; i++) {
		blocks[i] = qalloc_malloc(map, 0);
		assert_non_null(blocks[i]);
	}
	qsort(blocks, 1000, sizeof(blocks[0]), by_address);
	for (size_t i = 1; i < 1000; i++)
		assert_true(address(blocks[i]) >= address(blocks[i - 1]) + 16);
	free_all(map, 1000, 2);
	assert_all_is_free(map);
}

static void all_usable_bytes_of_a_block_are_its_own(void **state)
{
	(void)state;
	void *map = dynamic_map(4 * MIB, 3);
	size_t n = 0;
	uint64_t seed = 99;
	while ((blocks[n] = qalloc_malloc(map, next_random(&seed) % (1u << seed % 16))) != NULL)
		n++;
	for (size_t i = 0; i < n; i++)
		fill(blocks[i], qalloc_usable_size(map, blocks[i]), i);
	for (size_t i = 0; i < n; i++)
		assert_true(is_filled(blocks[i], qalloc_usable_size(map, blocks[i]), i));
	qsort(blocks, n, sizeof(blocks[0]), by_address);
	struct qalloc_info info = info_of(map);
	assert_true(address(blocks[0]) >= address(info.base) + info.data_offset);
	for (size_t i = 1; i < n; i++)
		assert_true(address(blocks[i]) >=
			    address(blocks[i - 1]) + qalloc_usable_size(map, blocks[i - 1]));
	assert_true(address(blocks[n - 1]) + qalloc_usable_size(map, blocks[n - 1]) <=
		    address(info.base) + info.filesize);
	assert_int_equal(info.live_blocks, n);
	free_all(map, n, 3);
	assert_all_is_free(map);
}

static void a_full_map_says_enomem_and_works_again_after_one_free(void **state)
{
	static const size_t sizes[] = {16, 48, 500, 4096, 20000, 65536, 100000};
	(void)state;
	void *map = dynamic_map(MIB, 3);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = fill_map(map, sizes[i]);
		assert_true(n * sizes[i] <= info_of(map).data_bytes);
		assert_true(n > 0);
		assert_int_equal(qalloc_tryfree(blocks[n / 2], map), 0);
		void *again = qalloc_malloc(map, sizes[i]);
		assert_non_null(again);
		blocks[n / 2] = again;
		assert_refused(qalloc_malloc(map, sizes[i]), QALLOC_EFULL);
		assert_whole(map);
		free_all(map, n, i + 1);
		assert_all_is_free(map);
	}
}

static void a_map_full_of_small_blocks_wastes_little(void **state)
{
	(void)state;
	void *map = dynamic_map(4 * MIB, 3);
	size_t data = (size_t)info_of(map).data_bytes;
	size_t n = fill_map(map, 16);
	assert_true(n * 16 >= data - data / 50);
	free_all(map, n, 5);
	n = fill_map(map, 64);
	assert_true(n * 64 >= data - data / 50);
	free_all(map, n, 6);
	assert_all_is_free(map);
}

static void runs_that_were_freed_in_any_order_merge(void **state)
{
	(void)state;
	void *map = dynamic_map(8 * MIB, 2);
	uint64_t seed = 1234;
	for (int round = 0; round < 10; round++) {
		size_t n = 0;
		for (;;) {
			void *block = qalloc_malloc(map, 33000 + next_random(&seed) % 400000);
			if (block == NULL)
				break;
			blocks[n++] = block;
		}
		assert_true(n >= 15);
		free_all(map, n, seed);
		assert_all_is_free(map);
	}
}

static void a_class_without_room_takes_a_block_of_a_larger_class(void **state)
{
	(void)state;
	void *map = dynamic_map(MIB, 2);
	size_t n = fill_map(map, 512);
	assert_refused(qalloc_malloc(map, 16), QALLOC_EFULL);
	assert_int_equal(qalloc_tryfree(blocks[7], map), 0);
	blocks[7] = qalloc_malloc(map, 16);
	assert_non_null(blocks[7]);
	assert_true(qalloc_usable_size(map, blocks[7]) >= 16);
	assert_refused(qalloc_malloc(map, 16), QALLOC_EFULL);
	free_all(map, n, 8);
	assert_all_is_free(map);
}

struct passing {
	void *map;
	size_t from, to;
	int failures;
};

static void *frees_in_another_thread(void *arg)
{
	struct passing *p = arg;
	for (size_t i = p->from; i < p->to; i++)
		p->failures += qalloc_tryfree(blocks[i], p->map) != 0;
	return NULL;
}

static void what_other_threads_freed_can_be_allocated_in_another_shape(void **state)
{
	static const size_t sizes[] = {16, 100, 3000, 40000, 200000};
	(void)state;
	void *map = dynamic_map(2 * MIB, 4);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = fill_map(map, sizes[i]);
		struct passing half[2] = {{map, 0, n / 2, 0}, {map, n / 2, n, 0}};
		pthread_t threads[2];
		for (int t = 0; t < 2; t++)
			assert_int_equal(pthread_create(&threads[t], NULL, frees_in_another_thread,
							&half[t]),
					 0);
		for (int t = 0; t < 2; t++)
			pthread_join(threads[t], NULL);
		assert_int_equal(half[0].failures + half[1].failures, 0);
		assert_all_is_free(map);
	}
}

static void calloc_clears_what_others_left_behind(void **state)
{
	static const size_t sizes[] = {1, 16, 100, 4096, 32768, 70000, 300000};
	(void)state;
	void *map = dynamic_map(MIB, 1);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = fill_map(map, sizes[i]);
		for (size_t k = 0; k < n; k++)
			memset(blocks[k], 0xAA, qalloc_usable_size(map, blocks[k]));
		free_all(map, n, 3);
		char *block = qalloc_calloc(map, sizes[i], 1);
		assert_non_null(block);
		assert_true(is_zero(block, sizes[i]));
		assert_int_equal(qalloc_tryfree(block, map), 0);
	}
	assert_non_null(qalloc_calloc(map, 0, 8));
	assert_non_null(qalloc_calloc(map, 8, 0));
}

static void calloc_refuses_a_product_that_overflows(void **state)
{
	(void)state;
	void *map = dynamic_map(MIB, 1);
	assert_refused(qalloc_calloc(map, SIZE_MAX, 2), QALLOC_ESIZE);
	assert_int_equal(errno, ENOMEM);
	assert_refused(qalloc_calloc(map, (size_t)1 << 32, (size_t)1 << 32), QALLOC_ESIZE);
	assert_refused(qalloc_calloc(map, ((size_t)1 << 63) + 8, 2), QALLOC_ESIZE);
	assert_all_is_free(map);
}

static void realloc_keeps_the_contents_whichever_way_it_goes(void **state)
{
	(void)state;
	void *map = dynamic_map(4 * MIB, 2);
	uint64_t seed = 77;
	size_t size = 10;
	char *block = qalloc_realloc(map, NULL, size);
	assert_non_null(block);
	fill(block, size, 0);
	for (uint64_t i = 1; i < 500; i++) {
		size_t wanted = next_random(&seed) % ((size_t)1 << next_random(&seed) % 20);
		char *moved = qalloc_realloc(map, block, wanted);
		assert_non_null(moved);
		assert_true(is_filled(moved, size < wanted ? size : wanted, i - 1));
		assert_true(qalloc_usable_size(map, moved) >= wanted);
		assert_int_equal(count_live(map), 1);
		fill(moved, wanted, i);
		block = moved;
		size = wanted;
	}
	assert_int_equal(qalloc_tryfree(block, map), 0);
	assert_all_is_free(map);
}

static void a_realloc_that_fails_leaves_the_old_block(void **state)
{
	(void)state;
	void *map = dynamic_map(MIB, 2);
	char *block = qalloc_malloc(map, 1000);
	assert_non_null(block);
	fill(block, 1000, 5);
	assert_refused(qalloc_realloc(map, block, 2 * MIB), QALLOC_ESIZE);
	assert_refused(qalloc_realloc(map, block, SIZE_MAX), QALLOC_ESIZE);
	assert_refused(qalloc_realloc(map, block, (size_t)info_of(map).data_bytes), QALLOC_EFULL);
	assert_true(is_filled(block, 1000, 5));
	assert_int_equal(count_live(map), 1);
	assert_int_equal(qalloc_tryfree(block, map), 0);
	assert_all_is_free(map);
}

static void a_realloc_to_0_bytes_is_not_a_free(void **state)
{
	(void)state;
	void *map = dynamic_map(MIB, 1);
	void *block = qalloc_malloc(map, 100);
	block = qalloc_realloc(map, block, 0);
	assert_non_null(block);
	assert_int_equal(count_live(map), 1);
	assert_int_equal(qalloc_tryfree(block, map), 0);
}

static void aligned_blocks_are_aligned_up_to_2_mib(void **state)
{
	static const size_t sizes[] = {0, 1, 100, 5000, 70000, 1000000};
	(void)state;
	void *map = dynamic_map(32 * MIB, 2);
	for (size_t align = 1; align <= QALLOC_ALIGN_MAX; align *= 2) {
		size_t n = 0;
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			for (int twice = 0; twice < 2; twice++) {
				char *block = qalloc_aligned_alloc(map, align, sizes[i]);
				assert_non_null(block);
				assert_int_equal(address(block) % align, 0);
				assert_true(qalloc_usable_size(map, block) >= sizes[i]);
				fill(block, sizes[i], n);
				blocks[n++] = block;
			}
		}
		for (size_t i = 0; i < n; i++)
			assert_true(is_filled(blocks[i], sizes[i / 2], i));
		assert_whole(map);
		free_all(map, n, align);
	}
	assert_all_is_free(map);
}

static void what_is_no_alignment_is_refused(void **state)
{
	static const size_t wrong[] = {0,
				       3,
				       24,
				       100,
				       QALLOC_ALIGN_MAX * 2,
				       QALLOC_ALIGN_MAX + 1,
				       SIZE_MAX,
				       (size_t)1 << 63};
	(void)state;
	void *map = dynamic_map(8 * MIB, 1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_refused(qalloc_aligned_alloc(map, wrong[i], 100), QALLOC_EARGUMENT);
	assert_refused(qalloc_aligned_alloc(map, 4096, SIZE_MAX), QALLOC_ESIZE);
	assert_refused(qalloc_aligned_alloc(map, 4096, SIZE_MAX - 4095), QALLOC_ESIZE);
	assert_all_is_free(map);
}

static void *frees_one(void *arg)
{
	struct passing *p = arg;
	p->failures = qalloc_tryfree(blocks[p->from], p->map) != 0;
	return NULL;
}

static void zero_on_free_leaves_nothing_readable(void **state)
{
	static const size_t sizes[] = {1, 100, 4000, 40000, 300000};
	(void)state;
	struct qalloc_options options =
		dynamic_options(QALLOC_CREATE | QALLOC_ZERO_ON_FREE, MIB, 3);
	void *map = qalloc_openmap(scratch("map"), &options);
	assert_opened(map);
	assert_true((info_of(map).flags & QALLOC_ZERO_ON_FREE) != 0);
	for (size_t i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (i == 5) {
			/* The flag is the map's, not the open's. */
			assert_int_equal(qalloc_cleanup(), 0);
			map = qalloc_loadmap(scratch("map"));
			assert_opened(map);
		}
		size_t size = sizes[i / 2];
		char *block = qalloc_malloc(map, size);
		assert_non_null(block);
		size_t usable = qalloc_usable_size(map, block);
		memset(block, 0x77, usable);
		blocks[0] = block;
		if (i % 2 == 0) {
			assert_int_equal(qalloc_tryfree(block, map), 0);
		} else {
			struct passing p = {map, 0, 1, 0};
			pthread_t thread;
			assert_int_equal(pthread_create(&thread, NULL, frees_one, &p), 0);
			pthread_join(thread, NULL);
			assert_int_equal(p.failures, 0);
		}
		assert_true(is_zero(block, usable));
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(one_mib_and_4_streams_serve_100_sizes_up_to_4_kib),
		TEST(sizes_from_0_to_the_whole_data_area_are_served),
		TEST(sizes_beyond_the_data_area_are_refused_with_enomem),
		TEST(malloc_of_0_gives_unique_blocks),
		TEST(all_usable_bytes_of_a_block_are_its_own),
		TEST(a_full_map_says_enomem_and_works_again_after_one_free),
		TEST(a_map_full_of_small_blocks_wastes_little),
		TEST(runs_that_were_freed_in_any_order_merge),
		TEST(a_class_without_room_takes_a_block_of_a_larger_class),
		TEST(what_other_threads_freed_can_be_allocated_in_another_shape),
		TEST(calloc_clears_what_others_left_behind),
		TEST(calloc_refuses_a_product_that_overflows),
		TEST(realloc_keeps_the_contents_whichever_way_it_goes),
		TEST(a_realloc_that_fails_leaves_the_old_block),
		TEST(a_realloc_to_0_bytes_is_not_a_free),
		TEST(aligned_blocks_are_aligned_up_to_2_mib),
		TEST(what_is_no_alignment_is_refused),
		TEST(zero_on_free_leaves_nothing_readable),
	};
	return cmocka_run_group_tests_name("alloc", tests, NULL, NULL) != 0;
}
