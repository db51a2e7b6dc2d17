/* SPDX-License-Identifier: MIT */
/*
 * A block and the pointer to it, changed together: malloc_to, free_from, realloc_to, for pointers
 * in blocks and for roots.  What a kill leaves of them is in test_recover and the kill campaign.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "support.h"

#define SIZE (4 * MIB)
#define ITEM 256u
#define CELLS 4u

static void *dynamic_map(uint64_t flags)
{
	struct qalloc_options options = dynamic_options(QALLOC_CREATE | flags, SIZE, 3);
	void *map = qalloc_openmap(scratch("map"), &options);

	assert_opened(map);
	return map;
}

static void *static_map(void)
{
	struct qalloc_options options = static_options(QALLOC_CREATE, SIZE, ITEM, 3);
	void *map = qalloc_openmap(scratch("map"), &options);

	assert_opened(map);
	return map;
}

/* A block of pointers, all NULL. */
static void **cells_in(void *map)
{
	void **cells = qalloc_calloc(map, CELLS, sizeof(*cells));

	assert_non_null(cells);
	return cells;
}

/* ---- malloc_to --------------------------------------------------------------- */

static void malloc_to_stores_what_it_returns(void **state)
{
	static const size_t sizes[] = {0, 1, 16, 100, 4096, 20000, 300000};
	void *map = dynamic_map(0);
	void **cells = cells_in(map);

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		errno = 77;
		void *block = qalloc_malloc_to(map, sizes[i], &cells[1]);

		assert_non_null(block);
		assert_int_equal(errno, 77);
		assert_ptr_equal(cells[1], block);
		assert_true(qalloc_usable_size(map, block) >= sizes[i]);
		fill(block, sizes[i], i);
		assert_int_equal(count_live(map), 2 + i);
	}
	assert_null(cells[0]);
	assert_null(cells[2]);
	assert_whole(map);
}

static void malloc_to_in_a_static_map(void **state)
{
	void *map = static_map();
	void **cells = qalloc_malloc(map, ITEM);

	(void)state;
	assert_non_null(cells);
	void *item = qalloc_malloc_to(map, ITEM, &cells[0]);

	assert_non_null(item);
	assert_ptr_equal(cells[0], item);
	assert_refused(qalloc_malloc_to(map, ITEM + 1, &cells[1]), QALLOC_ESIZE);
	assert_int_equal(qalloc_free_from(map, &cells[0]), 0);
	assert_null(cells[0]);
	assert_int_equal(count_live(map), 1);
}

static void malloc_to_leaves_the_pointer_when_the_map_is_full(void **state)
{
	void *map = dynamic_map(0);
	void **cells = cells_in(map);
	void *before = &cells[0];

	(void)state;
	cells[0] = before;
	while (qalloc_malloc_to(map, 30000, &cells[1]) != NULL) {
	}
	assert_int_equal(qalloc_error(), QALLOC_EFULL);
	assert_refused(qalloc_malloc_to(map, 30000, &cells[0]), QALLOC_EFULL);
	assert_refused(qalloc_malloc_to(map, SIZE * 2, &cells[0]), QALLOC_ESIZE);
	assert_ptr_equal(cells[0], before);
	assert_whole(map);
}

/* The free block to which a forgotten pointer still refers comes again. */
static void a_stale_pointer_is_no_obstacle(void **state)
{
	static const size_t sizes[] = {24, 100000};
	void *map = dynamic_map(0);
	void **cells = cells_in(map);

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		cells[0] = qalloc_malloc(map, sizes[i]);
		qalloc_free(cells[0], map);
		void *stale = cells[0];

		assert_ptr_equal(qalloc_malloc_to(map, sizes[i], &cells[0]), stale);
		assert_ptr_equal(cells[0], stale);
		assert_int_equal(qalloc_free_from(map, &cells[0]), 0);
	}
	assert_int_equal(count_live(map), 1);
}

/* ---- Where the pointer is ---------------------------------------------------------- */

static void a_pointer_elsewhere_is_refused(void **state)
{
	void *map = dynamic_map(0);
	void **cells = cells_in(map);
	void *outside = NULL;
	struct qalloc_info info = info_of(map);
	char *base = info.base;
	void **metadata = (void **)(void *)(base + 0x2000);
	void **behind = (void **)(void *)(base + info.data_offset + info.data_bytes - 4);

	(void)state;
	assert_refused(qalloc_malloc_to(map, 8, &outside), QALLOC_EWILD);
	assert_refused(qalloc_malloc_to(map, 8, NULL), QALLOC_EWILD);
	assert_refused(qalloc_malloc_to(map, 8, metadata), QALLOC_EWILD);
	assert_refused(qalloc_malloc_to(map, 8, behind), QALLOC_EARGUMENT);
	assert_refused(qalloc_malloc_to(map, 8, (void **)(void *)((char *)cells + 4)),
		       QALLOC_EARGUMENT);
	assert_fails(qalloc_free_from(map, &outside), QALLOC_EWILD);
	assert_fails(qalloc_free_from(map, NULL), QALLOC_EWILD);
	assert_refused(qalloc_realloc_to(map, 8, &outside), QALLOC_EWILD);
	assert_int_equal(count_live(map), 1);
}

static void a_pointer_inside_its_own_block_is_refused(void **state)
{
	static const size_t sizes[] = {64, 100000};
	void *map = dynamic_map(0);

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		void **block = qalloc_malloc(map, sizes[i]);

		assert_non_null(block);
		for (size_t at = 0; at < 8; at += 7) {
			block[at] = block;
			assert_fails(qalloc_free_from(map, &block[at]), QALLOC_EARGUMENT);
			assert_refused(qalloc_realloc_to(map, 9000, &block[at]), QALLOC_EARGUMENT);
			assert_ptr_equal(block[at], block);
		}
	}
	assert_int_equal(count_live(map), 2);
}

static void handles_that_cannot_write_are_refused(void **state)
{
	const char *path = scratch("map");
	struct qalloc_options options = dynamic_options(QALLOC_CREATE, SIZE, 1);
	void *map = qalloc_openmap(path, &options);
	void **cells = cells_in(map);

	(void)state;
	assert_int_equal(qalloc_setroot(map, "root", cells), 0);
	assert_int_equal(qalloc_closemap(map), 0);
	assert_refused(qalloc_malloc_to(map, 8, cells), QALLOC_EHANDLE);
	assert_fails(qalloc_free_from(NULL, cells), QALLOC_EHANDLE);
	options = options_for(QALLOC_READONLY);
	map = qalloc_openmap(path, &options);
	assert_opened(map);
	assert_refused(qalloc_malloc_to(map, 8, cells), QALLOC_EREADONLY);
	assert_fails(qalloc_free_from(map, cells), QALLOC_EREADONLY);
	assert_refused(qalloc_realloc_to(map, 8, cells), QALLOC_EREADONLY);
	assert_refused(qalloc_malloc_toroot(map, 8, "root"), QALLOC_EREADONLY);
	assert_fails(qalloc_free_fromroot(map, "root"), QALLOC_EREADONLY);
	assert_fails(qalloc_recover(map), QALLOC_EREADONLY);
}

/* ---- free_from --------------------------------------------------------------------- */

static void free_from_frees_and_clears(void **state)
{
	static const size_t sizes[] = {1, 200, 5000, 50000};
	void *map = dynamic_map(QALLOC_ZERO_ON_FREE);
	void **cells = cells_in(map);

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		cells[2] = qalloc_malloc(map, sizes[i]);
		assert_non_null(cells[2]);
		char *block = cells[2];

		fill(block, sizes[i], i);
		errno = 77;
		assert_int_equal(qalloc_free_from(map, &cells[2]), 0);
		assert_int_equal(errno, 77);
		assert_null(cells[2]);
		assert_true(is_zero(block, sizes[i]));
		assert_int_equal(qalloc_free_from(map, &cells[2]), 0);
	}
	assert_int_equal(count_live(map), 1);
	assert_whole(map);
}

static void free_from_refuses_what_is_no_live_block(void **state)
{
	void *map = dynamic_map(0);
	void **cells = cells_in(map);
	char *small = qalloc_malloc(map, 100), *large = qalloc_malloc(map, 100000);
	struct {
		void *pointer;
		int error;
	} wrong[] = {
		{small + 8, QALLOC_EINTERIOR}, {large + 70000, QALLOC_EINTERIOR},
		{&wrong, QALLOC_EWILD},        {(void *)(uintptr_t)3, QALLOC_EWILD},
		{small, QALLOC_ENOTLIVE},      {large, QALLOC_ENOTLIVE},
	};

	(void)state;
	qalloc_free(qalloc_malloc(map, 100), map);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (wrong[i].error == QALLOC_ENOTLIVE) {
			(void)qalloc_tryfree(wrong[i].pointer, map);
		}
		cells[0] = wrong[i].pointer;
		assert_fails(qalloc_free_from(map, &cells[0]), wrong[i].error);
		assert_ptr_equal(cells[0], wrong[i].pointer);
		assert_refused(qalloc_realloc_to(map, 5000, &cells[0]), wrong[i].error);
		assert_ptr_equal(cells[0], wrong[i].pointer);
	}
	assert_whole(map);
}

/* ---- realloc_to -------------------------------------------------------------------- */

static void realloc_to_moves_between_all_kinds(void **state)
{
	static const size_t sizes[] = {10, 500, 3000, 40000, 400000, 90000, 2000, 16, 400000, 1};
	void *map = dynamic_map(0);
	void **cells = cells_in(map);
	size_t before = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t kept = before < sizes[i] ? before : sizes[i];
		char *block = qalloc_realloc_to(map, sizes[i], &cells[3]);

		assert_non_null(block);
		assert_ptr_equal(cells[3], block);
		assert_true(is_filled(block, kept, 5));
		fill(block, sizes[i], 5);
		before = sizes[i];
		assert_int_equal(count_live(map), 2);
	}
	assert_whole(map);
}

static void realloc_to_that_fails_changes_nothing(void **state)
{
	void *map = dynamic_map(0);
	void **cells = cells_in(map);
	void *block = qalloc_malloc_to(map, 1000, &cells[0]);

	(void)state;
	fill(block, 1000, 9);
	size_t live = count_live(map);

	assert_refused(qalloc_realloc_to(map, info_of(map).data_bytes, &cells[0]), QALLOC_EFULL);
	assert_refused(qalloc_realloc_to(map, SIZE * 3, &cells[0]), QALLOC_ESIZE);
	assert_ptr_equal(cells[0], block);
	assert_true(is_filled(block, 1000, 9));
	assert_int_equal(count_live(map), live);
	assert_whole(map);
}

/* Each move has a record while it lasts: more moves than there are records. */
static void records_come_back(void **state)
{
	void *map = dynamic_map(0);
	void **cells = cells_in(map);

	(void)state;
	for (size_t i = 0; i < 10000; i++) {
		assert_non_null(qalloc_realloc_to(map, i % 2 == 0 ? 100 : 5000, &cells[0]));
	}
	assert_int_equal(count_live(map), 2);
}

/* ---- Roots ------------------------------------------------------------------------- */

static void roots_can_hold_the_pointer(void **state)
{
	void *map = dynamic_map(0);

	(void)state;
	assert_null(qalloc_malloc(map, 2 * SIZE));
	errno = 77;
	char *block = qalloc_malloc_toroot(map, 100, "a");

	assert_non_null(block);
	assert_int_equal(errno, 77);
	assert_int_equal(qalloc_error(), QALLOC_ESIZE);
	assert_ptr_equal(qalloc_getroot(map, "a"), block);
	fill(block, 100, 1);
	block = qalloc_realloc_toroot(map, 100000, "a");
	assert_ptr_equal(qalloc_getroot(map, "a"), block);
	assert_true(is_filled(block, 100, 1));
	void *other = qalloc_realloc_toroot(map, 60, "b");

	assert_non_null(other);
	assert_ptr_equal(other, qalloc_getroot(map, "b"));
	assert_int_equal(count_live(map), 2);
	assert_int_equal(qalloc_free_fromroot(map, "a"), 0);
	assert_null(qalloc_getroot(map, "a"));
	assert_int_equal(qalloc_free_fromroot(map, "a"), 0);
	assert_fails(qalloc_free_fromroot(map, "c"), QALLOC_EROOTABSENT);
	assert_refused(qalloc_malloc_toroot(map, 8, ""), QALLOC_EROOTNAME);
	assert_int_equal(count_live(map), 1);
	assert_whole(map);
}

static void a_full_table_of_roots_takes_no_block(void **state)
{
	void *map = dynamic_map(0);

	(void)state;
	for (unsigned i = 0; i < QALLOC_ROOTS_MAX; i++) {
		char name[8] = {(char)('A' + i / 26), (char)('a' + i % 26)};

		assert_non_null(qalloc_malloc_toroot(map, 8, name));
	}
	assert_refused(qalloc_malloc_toroot(map, 8, "more"), QALLOC_EROOTFULL);
	assert_int_equal(count_live(map), QALLOC_ROOTS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_begin, scratch_end)
		TEST(malloc_to_stores_what_it_returns),
		TEST(malloc_to_in_a_static_map),
		TEST(malloc_to_leaves_the_pointer_when_the_map_is_full),
		TEST(a_stale_pointer_is_no_obstacle),
		TEST(a_pointer_elsewhere_is_refused),
		TEST(a_pointer_inside_its_own_block_is_refused),
		TEST(handles_that_cannot_write_are_refused),
		TEST(free_from_frees_and_clears),
		TEST(free_from_refuses_what_is_no_live_block),
		TEST(realloc_to_moves_between_all_kinds),
		TEST(realloc_to_that_fails_changes_nothing),
		TEST(records_come_back),
		TEST(roots_can_hold_the_pointer),
		TEST(a_full_table_of_roots_takes_no_block),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
