/* SPDX-License-Identifier: MIT */
/*
 * Static maps: N items, exactly N, each of them whole, aligned and apart, whoever asks.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "support.h"

#define THREADS_MAX 50
#define ITEMS_MAX 20000

static void *items[ITEMS_MAX + 1];

struct worker {
	void *map;
	uint64_t *next; /* where the next item goes */
	int failures;
};

static void *takes_all_it_gets(void *arg)
{
	struct worker *w = arg;
	void *item;
	while ((item = patient_malloc(w->map, 0)) != NULL) {
		uint64_t i = __atomic_fetch_add(w->next, 1, __ATOMIC_RELAXED);
		if (i >= ITEMS_MAX) {
			w->failures++;
			break;
		}
		items[i] = item;
	}
	w->failures += qalloc_error() != QALLOC_EFULL;
	return NULL;
}

static int by_address(const void *a, const void *b)
{
	uint64_t x = (uint64_t)(uintptr_t) * (void *const *)a;
	uint64_t y = (uint64_t)(uintptr_t) * (void *const *)b;
	return (x > y) - (x < y);
}

static void assert_apart(void *map, size_t count, size_t itemsize)
{
	struct qalloc_info info = info_of(map);
	size_t stride = (itemsize + 7) / 8 * 8;
	uint64_t low = (uint64_t)(uintptr_t)info.base + info.data_offset;
	qsort(items, count, sizeof(items[0]), by_address);
	for (size_t i = 0; i < count; i++) {
		uint64_t item = (uint64_t)(uintptr_t)items[i];
		assert_int_equal(item % (stride % 16 == 0 ? 16 : 8), 0);
		assert_true(item >= low);
		low = item + stride;
	}
	assert_true(low <= (uint64_t)(uintptr_t)info.base + info.filesize);
}

static void exactly_n(size_t itemsize, size_t count, size_t streams, size_t threads)
{
	pthread_t ids[THREADS_MAX];
	struct worker workers[THREADS_MAX];
	uint64_t next = 0;
	void *map = qalloc_makestatmap(qalloc_statmap_filesize(itemsize, count, streams), NULL,
				       scratch("map"), itemsize, streams);
	assert_opened(map);
	assert_int_equal(info_of(map).blocks_max, count);
	for (size_t t = 0; t < threads; t++) {
		workers[t] = (struct worker){map, &next, 0};
		if (threads == 1)
			takes_all_it_gets(&workers[0]);
		else
			assert_int_equal(
				pthread_create(&ids[t], NULL, takes_all_it_gets, &workers[t]), 0);
	}
	for (size_t t = 0; t < threads; t++) {
		if (threads > 1)
			pthread_join(ids[t], NULL);
		assert_int_equal(workers[t].failures, 0);
	}
	assert_int_equal(next, count);
	assert_apart(map, count, itemsize);
	assert_int_equal(count_live(map), count);
	assert_whole(map);

	/* Full it stays, until one is freed: then there is room for one. */
	assert_refused(qalloc_malloc(map, itemsize), QALLOC_EFULL);
	assert_refused(qalloc_statmalloc(map), QALLOC_EFULL);
	for (size_t i = 0; i < count; i += count / 5 + 1) {
		assert_int_equal(qalloc_tryfree(items[i], map), 0);
		assert_ptr_equal(qalloc_statmalloc(map), items[i]);
		assert_refused(qalloc_statmalloc(map), QALLOC_EFULL);
	}
	for (size_t i = 0; i < count; i++)
		assert_int_equal(qalloc_tryfree(items[i], map), 0);
	assert_int_equal(count_live(map), 0);
	size_t again = 0;
	while (qalloc_statmalloc(map) != NULL)
		again++;
	assert_int_equal(again, count);
	assert_whole(map);
	assert_int_equal(qalloc_cleanup(), 0);
	assert_int_equal(unlink(scratch("map")), 0);
}

static void n_items_are_handed_out_to_one_thread_whatever_the_streams(void **state)
{
	static const size_t streams[] = {1, 3, 16};
	(void)state;
	for (size_t s = 0; s < 3; s++) {
		exactly_n(1, 1, streams[s], 1);
		exactly_n(1, 1000, streams[s], 1);
		exactly_n(8, 8193, streams[s], 1);
		exactly_n(24, 777, streams[s], 1);
		exactly_n(64, 15000, streams[s], 1);
		exactly_n(100, 65, streams[s], 1);
		exactly_n(4096, 100, streams[s], 1);
		exactly_n(65536, 17, streams[s], 1);
		exactly_n(70001, 9, streams[s], 1);
		exactly_n(2000000, 2, streams[s], 1);
	}
}

static void n_items_are_handed_out_to_50_threads_whatever_the_streams(void **state)
{
	static const size_t streams[] = {1, 3, 16};
	(void)state;
	for (size_t s = 0; s < 3; s++) {
		exactly_n(1, 10000, streams[s], THREADS_MAX);
		exactly_n(64, 3000, streams[s], THREADS_MAX);
		exactly_n(100, 10, streams[s], THREADS_MAX);
		exactly_n(10000, 64, streams[s], THREADS_MAX);
	}
}

static void neighbouring_items_do_not_touch(void **state)
{
	static const size_t sizes[] = {1, 7, 8, 9, 16, 17, 100, 4095, 66000};
	(void)state;
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		void *map = qalloc_makestatmap((off_t)(2 * MIB + 13), NULL, scratch("map"),
					       sizes[s], 3);
		assert_opened(map);
		size_t count = 0;
		while (count < 5000 && (items[count] = qalloc_statmalloc(map)) != NULL) {
			assert_true(qalloc_usable_size(map, items[count]) >= sizes[s]);
			fill(items[count], qalloc_usable_size(map, items[count]), count);
			count++;
		}
		for (size_t i = 0; i < count; i++)
			assert_true(is_filled(items[i], qalloc_usable_size(map, items[i]), i));
		assert_int_equal(qalloc_cleanup(), 0);
		assert_int_equal(unlink(scratch("map")), 0);
	}
}

static void one_item_may_fill_the_whole_data_area(void **state)
{
	(void)state;
	for (size_t streams = 1; streams <= 16; streams *= 4) {
		off_t size = qalloc_statmap_filesize(5 * MIB, 1, streams);
		void *map = qalloc_makestatmap(size, NULL, scratch("map"), 5 * MIB, streams);
		assert_opened(map);
		char *item = qalloc_statmalloc(map);
		assert_non_null(item);
		fill(item, 5 * MIB, 1);
		assert_refused(qalloc_statmalloc(map), QALLOC_EFULL);
		assert_int_equal(qalloc_cleanup(), 0);
		map = qalloc_loadmap(scratch("map"));
		assert_opened(map);
		assert_true(is_filled(item, 5 * MIB, 1));
		assert_int_equal(qalloc_tryfree(item, map), 0);
		assert_ptr_equal(qalloc_statmalloc(map), item);
		assert_int_equal(qalloc_cleanup(), 0);
		assert_int_equal(unlink(scratch("map")), 0);
	}
}

static void a_size_that_fits_is_ignored_and_a_larger_one_refused(void **state)
{
	(void)state;
	void *map = qalloc_makestatmap((off_t)MIB, NULL, scratch("map"), 44, 2);
	assert_opened(map);
	for (size_t size = 0; size <= 44; size++) {
		void *item = qalloc_malloc(map, size);
		assert_non_null(item);
		assert_int_equal(qalloc_usable_size(map, item),
				 qalloc_usable_size(map, qalloc_statmalloc(map)));
	}
	static const size_t sizes[] = {49, 100, MIB, SIZE_MAX};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_refused(qalloc_malloc(map, sizes[i]), QALLOC_ESIZE);
		assert_int_equal(errno, EINVAL);
		assert_refused(qalloc_calloc(map, 1, sizes[i]), QALLOC_ESIZE);
		assert_refused(qalloc_aligned_alloc(map, 8, sizes[i]), QALLOC_ESIZE);
	}
	void *item = qalloc_statmalloc(map);
	fill(item, 44, 1);
	assert_refused(qalloc_realloc(map, item, 49), QALLOC_ESIZE);
	assert_true(is_filled(item, 44, 1));
	item = qalloc_realloc(map, item, 30);
	assert_non_null(item);
	assert_true(is_filled(item, 30, 1));
	item = qalloc_calloc(map, 11, 4);
	assert_non_null(item);
	assert_true(is_zero(item, 44));
}

static void only_an_alignment_that_every_item_has_is_granted(void **state)
{
	(void)state;
	void *odd = qalloc_makestatmap((off_t)MIB, NULL, scratch("odd"), 24, 2);
	void *even = qalloc_makestatmap((off_t)MIB, NULL, scratch("even"), 48, 2);
	assert_opened(odd);
	assert_opened(even);
	assert_non_null(qalloc_aligned_alloc(odd, 1, 10));
	assert_non_null(qalloc_aligned_alloc(odd, 8, 24));
	assert_refused(qalloc_aligned_alloc(odd, 16, 24), QALLOC_EARGUMENT);
	for (int i = 0; i < 10; i++)
		assert_int_equal((uint64_t)(uintptr_t)qalloc_aligned_alloc(even, 16, 48) % 16, 0);
	assert_refused(qalloc_aligned_alloc(even, 32, 48), QALLOC_EARGUMENT);
	assert_refused(qalloc_aligned_alloc(even, 12, 48), QALLOC_EARGUMENT);
	assert_refused(qalloc_aligned_alloc(even, 0, 48), QALLOC_EARGUMENT);
}

static void each_kind_of_call_serves_only_its_kind_of_map(void **state)
{
	(void)state;
	void *fixed = qalloc_makestatmap((off_t)MIB, NULL, scratch("static"), 24, 2);
	void *dynamic = qalloc_makedynmap((off_t)MIB, NULL, scratch("dynamic"), 2);
	assert_opened(fixed);
	assert_opened(dynamic);
	void *a = qalloc_statmalloc(fixed), *b = qalloc_dynmalloc(dynamic, 24);
	assert_non_null(a);
	assert_non_null(b);
	qalloc_statfree(a, fixed);
	qalloc_dynfree(b, dynamic);
	qalloc_statfree(NULL, fixed);
	qalloc_dynfree(NULL, dynamic);
	assert_int_equal(count_live(fixed) + count_live(dynamic), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(n_items_are_handed_out_to_one_thread_whatever_the_streams),
		TEST(n_items_are_handed_out_to_50_threads_whatever_the_streams),
		TEST(neighbouring_items_do_not_touch),
		TEST(one_item_may_fill_the_whole_data_area),
		TEST(a_size_that_fits_is_ignored_and_a_larger_one_refused),
		TEST(only_an_alignment_that_every_item_has_is_granted),
		TEST(each_kind_of_call_serves_only_its_kind_of_map),
	};
	return cmocka_run_group_tests_name("static", tests, NULL, NULL) != 0;
}
