/* SPDX-License-Identifier: MIT */
/*
 * Looking at a map: numbers, walks, checks, offsets, sizes, versions, errors.
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

static void *dynamic_map(void)
{
	void *map = qalloc_makedynmap((off_t)MIB, NULL, scratch("map"), 4);
	assert_opened(map);
	return map;
}

static void mapinfo_tells_what_the_map_was_created_with(void **state)
{
	(void)state;
	void *map = qalloc_makestatmap((off_t)(MIB + 77), NULL, scratch("map"), 44, 5);
	assert_opened(map);
	struct qalloc_info info = info_of(map);
	assert_int_equal(info.size, sizeof(info));
	assert_int_equal(info.kind, QALLOC_STATIC);
	assert_int_equal(info.version, 1);
	assert_int_equal(info.flags, 0);
	assert_int_equal(info.filesize, MIB + 77);
	assert_int_equal(info.itemsize, 44);
	assert_int_equal(info.streams, 5);
	assert_int_equal(info.live_blocks, 0);
	assert_int_equal(info.live_bytes, 0);
	assert_int_equal(info.processes, 1);
	assert_int_equal(info.left, QALLOC_LEFT_CLEAN);
	assert_true(info.data_offset > 0 && info.data_offset + info.data_bytes <= MIB + 77);
	assert_true(info.blocks_max * 48 <= info.data_bytes);
	assert_true((info.blocks_max + 1) * 48 > MIB + 77 - info.data_offset);
	assert_true(info.metadata_bytes <= info.data_offset);
	assert_true(info.disk_bytes <= info.filesize + 65536);
}

static void mapinfo_counts_live_and_free_bytes(void **state)
{
	(void)state;
	void *map = dynamic_map();
	struct qalloc_info info = info_of(map);
	assert_int_equal(info.kind, QALLOC_DYNAMIC);
	assert_int_equal(info.itemsize, 0);
	assert_int_equal(info.blocks_max, 0);
	assert_int_equal(info.free_bytes, info.data_bytes);
	assert_int_equal(info.largest_free, info.data_bytes);
	assert_int_equal(info.fragmentation, 0);
	size_t bytes = 0;
	void *blocks[20];
	for (size_t i = 0; i < 20; i++) {
		blocks[i] = qalloc_malloc(map, 100 * i);
		assert_non_null(blocks[i]);
		bytes += qalloc_usable_size(map, blocks[i]);
	}
	info = info_of(map);
	assert_int_equal(info.live_blocks, 20);
	assert_int_equal(info.live_bytes, bytes);
	assert_true(info.free_bytes < info.data_bytes);
	assert_true(info.largest_free <= info.free_bytes);
	assert_int_equal(info.fragmentation, 1000 - 1000 * info.largest_free / info.free_bytes);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(qalloc_tryfree(blocks[i], map), 0);
	assert_int_equal(info_of(map).live_blocks, 0);
	assert_int_equal(info_of(map).live_bytes, 0);
	/* The whole area as one block: nothing is free, and that is not fragmentation. */
	assert_non_null(qalloc_malloc(map, info.data_bytes));
	info = info_of(map);
	assert_int_equal(info.live_blocks, 1);
	assert_int_equal(info.live_bytes, info.data_bytes);
	assert_int_equal(info.free_bytes, 0);
	assert_int_equal(info.largest_free, 0);
	assert_int_equal(info.fragmentation, 0);
}

static void mapinfo_refuses_a_struct_that_is_too_short(void **state)
{
	(void)state;
	void *map = dynamic_map();
	struct qalloc_info info = {.size = 0};
	assert_fails(qalloc_mapinfo(map, &info), QALLOC_EARGUMENT);
	info.size = sizeof(info) - 1;
	assert_fails(qalloc_mapinfo(map, &info), QALLOC_EARGUMENT);
	assert_fails(qalloc_mapinfo(map, NULL), QALLOC_EARGUMENT);
	/* A later, longer struct: what we do not know of it stays as it is. */
	struct {
		struct qalloc_info known;
		uint64_t unknown;
	} longer = {.known = {.size = sizeof(longer)}, .unknown = 5};
	assert_int_equal(qalloc_mapinfo(map, &longer.known), 0);
	assert_int_equal(longer.known.filesize, MIB);
	assert_int_equal(longer.unknown, 5);
}

static int count_processes(void *map)
{
	void *block = qalloc_malloc(map, 1);
	CHECK(block != NULL);
	CHECK(info_of(map).processes == 2);
	CHECK(info_of(map).left == QALLOC_LEFT_CLEAN);
	return 0;
}

static int sees_it_running(const char *path)
{
	void *map = qalloc_loadmap(path);
	CHECK(map != NULL);
	CHECK(info_of(map).left == QALLOC_LEFT_RUNNING);
	CHECK(info_of(map).processes == 2);
	return 0;
}

static int sees_it_killed(const char *path)
{
	void *map = qalloc_loadmap(path);
	CHECK(map != NULL);
	CHECK(info_of(map).left == QALLOC_LEFT_KILLED);
	CHECK(info_of(map).processes == 1);
	CHECK(qalloc_closemap(map) == 0);
	return 0;
}

static int sees_it_clean(const char *path)
{
	void *map = qalloc_loadmap(path);
	CHECK(map != NULL);
	CHECK(info_of(map).left == QALLOC_LEFT_CLEAN);
	CHECK(qalloc_cleanup() == 0);
	return 0;
}

static void mapinfo_tells_how_the_map_was_left(void **state)
{
	(void)state;
	const char *path = scratch("map");
	void *map = dynamic_map();
	assert_non_null(qalloc_malloc(map, 1));
	assert_int_equal(in_child(count_processes, map), 0);
	assert_int_equal(info_of(map).processes, 1);
	assert_int_equal(in_role("running", path), 0); /* exits without closing */
	assert_int_equal(qalloc_cleanup(), 0);
	assert_int_equal(in_role("clean", path), 0);
	assert_int_equal(in_role("clean", path), 0);
	map = qalloc_loadmap(path);
	assert_opened(map);
	assert_int_equal(in_role("running", path), 0);
	assert_int_equal(qalloc_closemap(map), 0);
	pid_t pid = start_role("leave", path);
	assert_int_equal(wait_child(pid), 0);
	assert_int_equal(in_role("killed", path), 0);
	assert_int_equal(in_role("clean", path), 0);
}

static int leaves_it(const char *path)
{
	void *map = qalloc_loadmap(path);
	CHECK(map != NULL && qalloc_malloc(map, 1) != NULL);
	_exit(0);
}

/* ---- Walking ----------------------------------------------------------------- */

struct seen {
	size_t count, stop;
	uint64_t last;
	void *map;
	bool free_it;
};

static int visit(void *block, size_t size, void *arg)
{
	struct seen *seen = arg;
	assert_true((uint64_t)(uintptr_t)block > seen->last);
	seen->last = (uint64_t)(uintptr_t)block;
	if (!seen->free_it)
		assert_int_equal(qalloc_usable_size(seen->map, block), size);
	else
		assert_int_equal(qalloc_tryfree(block, seen->map), 0);
	return ++seen->count == seen->stop ? 17 : 0;
}

static void walk_visits_each_live_block_once_in_address_order(void **state)
{
	(void)state;
	void *map = dynamic_map(), *blocks[100];
	struct seen none = {.map = map};
	assert_int_equal(qalloc_walk(map, visit, &none), 0);
	assert_int_equal(none.count, 0);
	for (size_t i = 0; i < 100; i++) {
		blocks[i] = qalloc_malloc(map, i * 97 % 5000);
		assert_non_null(blocks[i]);
	}
	for (size_t i = 0; i < 100; i += 3)
		assert_int_equal(qalloc_tryfree(blocks[i], map), 0);
	struct seen all = {.map = map};
	assert_int_equal(qalloc_walk(map, visit, &all), 0);
	assert_int_equal(all.count, 66);
	struct seen some = {.map = map, .stop = 10};
	assert_int_equal(qalloc_walk(map, visit, &some), 17);
	assert_int_equal(some.count, 10);
}

static int fails(void *block, size_t size, void *arg)
{
	(void)block, (void)size, (void)arg;
	errno = EDOM;
	return -1;
}

static void walk_leaves_errno_as_the_visitor_that_stops_it_did(void **state)
{
	(void)state;
	void *map = dynamic_map();
	assert_non_null(qalloc_malloc(map, 1));
	errno = 0;
	assert_int_equal(qalloc_walk(map, fails, NULL), -1);
	assert_int_equal(errno, EDOM);
}

static void walk_allows_to_free_the_visited_block(void **state)
{
	(void)state;
	void *map = dynamic_map();
	for (size_t i = 0; i < 60; i++)
		assert_non_null(qalloc_malloc(map, i % 2 == 0 ? i : i * 500));
	struct seen all = {.map = map, .free_it = true};
	assert_int_equal(qalloc_walk(map, visit, &all), 0);
	assert_int_equal(all.count, 60);
	assert_int_equal(count_live(map), 0);
	assert_whole(map);
}

/* ---- Checking ---------------------------------------------------------------- */

static void count_finding(const char *finding, void *arg)
{
	assert_true(finding[0] != '\0');
	++*(size_t *)arg;
}

static void check_reports_scribbled_tables_and_survives_them(void **state)
{
	(void)state;
	static const int fills[] = {0x01, 0x02, 0x03, 0x55, 0x80, 0xFF};
	for (size_t i = 0; i < sizeof(fills) / sizeof(fills[0]); i++) {
		void *map = dynamic_map();
		void *block = qalloc_malloc(map, 100);
		assert_non_null(block);
		size_t findings = 0, len = (size_t)info_of(map).data_offset - 2 * 65536;
		assert_int_equal(qalloc_check(map, count_finding, &findings), 0);
		assert_int_equal(findings, 0);
		uint8_t *junk = malloc(len);
		assert_non_null(junk);
		memset(junk, fills[i], len);
		/* Behind the library's back, while the map is in use. */
		patch_file(scratch("map"), 65536, junk, len);
		free(junk);
		assert_fails(qalloc_check(map, count_finding, &findings), QALLOC_ECORRUPT);
		assert_true(findings >= 1);
		assert_fails(qalloc_check(map, NULL, NULL), QALLOC_ECORRUPT);
		/* Whatever these answer, they end and stay within the map. */
		for (int k = 0; k < 20; k++) {
			char *other = qalloc_malloc(map, 100);
			assert_true(other == NULL || qalloc_offset(map, other) != 0);
			qalloc_tryfree(other, map);
		}
		qalloc_tryfree(block, map);
		count_live(map);
		assert_int_equal(qalloc_cleanup(), 0);
		unlink(scratch("map"));
	}
}

/* ---- Offsets and sizes --------------------------------------------------------- */

static void offsets_and_addresses_are_inverse(void **state)
{
	(void)state;
	void *map = dynamic_map();
	char *base = info_of(map).base;
	char *block = qalloc_malloc(map, 100);
	assert_non_null(block);
	uint64_t offset = qalloc_offset(map, block);
	assert_int_equal(offset, (uint64_t)(block - base));
	assert_ptr_equal(qalloc_address(map, offset), block);
	assert_ptr_equal(qalloc_address(map, offset + 5), block + 5);
	assert_int_equal(qalloc_offset(map, NULL), 0);
	assert_null(qalloc_address(map, 0));
	assert_failure(qalloc_offset(map, base - 1) == 0, QALLOC_EWILD);
	assert_failure(qalloc_offset(map, base + MIB) == 0, QALLOC_EWILD);
	assert_failure(qalloc_offset(map, &offset) == 0, QALLOC_EWILD);
	assert_refused(qalloc_address(map, MIB), QALLOC_EWILD);
	assert_refused(qalloc_address(map, UINT64_MAX), QALLOC_EWILD);
}

static void a_static_map_of_the_told_size_has_exactly_the_wanted_items(void **state)
{
	(void)state;
	static const struct {
		size_t itemsize, items, streams;
	} wishes[] = {
		{1, 1, 1},       {1, 100000, 3}, {8, 8191, 1},     {24, 1000, 16}, {64, 65537, 4},
		{100, 333, 7},   {4096, 100, 2}, {65536, 9, 1},    {65537, 9, 5},  {100000, 20, 3},
		{1000000, 1, 1}, {64, 1, 4096},  {3000000, 7, 50},
	};
	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		off_t size = qalloc_statmap_filesize(wishes[i].itemsize, wishes[i].items,
						     wishes[i].streams);
		assert_true(size > 0);
		void *map = qalloc_makestatmap(size, NULL, scratch("map"), wishes[i].itemsize,
					       wishes[i].streams);
		assert_opened(map);
		assert_int_equal(info_of(map).blocks_max, wishes[i].items);
		assert_int_equal(qalloc_cleanup(), 0);
		unlink(scratch("map"));
		/* One byte less does not do. */
		map = qalloc_makestatmap(size - 1, NULL, scratch("map"), wishes[i].itemsize,
					 wishes[i].streams);
		assert_true(map == NULL || info_of(map).blocks_max < wishes[i].items);
		qalloc_cleanup();
		unlink(scratch("map"));
	}
}

static void a_dynamic_map_of_the_told_size_has_the_wanted_room(void **state)
{
	(void)state;
	static const size_t bytes[] = {1, 4096, 100000, MIB, 5 * MIB + 1};
	for (size_t i = 0; i < 2 * sizeof(bytes) / sizeof(bytes[0]); i++) {
		size_t wanted = bytes[i / 2], streams = i % 2 == 0 ? 1 : 50;
		off_t size = qalloc_dynmap_filesize(wanted, streams);
		assert_true(size > 0);
		void *map = qalloc_makedynmap(size, NULL, scratch("map"), streams);
		assert_opened(map);
		assert_true(info_of(map).data_bytes >= wanted);
		assert_non_null(qalloc_malloc(map, wanted));
		assert_int_equal(qalloc_cleanup(), 0);
		unlink(scratch("map"));
	}
}

static void sizes_that_no_file_has_are_refused(void **state)
{
	(void)state;
	assert_failure(qalloc_statmap_filesize(0, 1, 1) == 0, QALLOC_EARGUMENT);
	assert_failure(qalloc_statmap_filesize(1, 0, 1) == 0, QALLOC_EARGUMENT);
	assert_failure(qalloc_statmap_filesize(1, 1, 0) == 0, QALLOC_EARGUMENT);
	assert_failure(qalloc_statmap_filesize(1, 1, 4097) == 0, QALLOC_EARGUMENT);
	assert_failure(qalloc_statmap_filesize(SIZE_MAX, 1, 1) == 0, QALLOC_EARGUMENT);
	assert_failure(qalloc_statmap_filesize(1, SIZE_MAX, 1) == 0, QALLOC_EARGUMENT);
	assert_failure(qalloc_statmap_filesize((size_t)1 << 33, (size_t)1 << 33, 1) == 0,
		       QALLOC_EARGUMENT);
	assert_failure(qalloc_dynmap_filesize(1, 0) == 0, QALLOC_EARGUMENT);
	assert_failure(qalloc_dynmap_filesize(1, 4097) == 0, QALLOC_EARGUMENT);
	assert_failure(qalloc_dynmap_filesize(SIZE_MAX, 1) == 0, QALLOC_EARGUMENT);
	assert_failure(qalloc_dynmap_filesize((size_t)QALLOC_FILESIZE_MAX, 1) == 0,
		       QALLOC_EARGUMENT);
}

/* ---- Errors --------------------------------------------------------------------- */

static void every_error_has_a_text_of_its_own(void **state)
{
	(void)state;
	for (int i = 0; i < QALLOC_ERR_COUNT; i++) {
		assert_true(strlen(qalloc_strerror(i)) > 3);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(qalloc_strerror(i), qalloc_strerror(k));
	}
	assert_non_null(qalloc_strerror(-1));
	assert_non_null(qalloc_strerror(QALLOC_ERR_COUNT));
	assert_non_null(qalloc_strerror(INT32_MAX));
}

static void success_changes_neither_errno_nor_the_last_error(void **state)
{
	(void)state;
	char sentence[512];
	assert_null(qalloc_loadmap(scratch("missing")));
	snprintf(sentence, sizeof(sentence), "%s", qalloc_errmsg());
	errno = 12345;
	void *map = dynamic_map();
	void *block = qalloc_malloc(map, 100);
	block = qalloc_realloc(map, block, 5000);
	qalloc_free(block, map);
	qalloc_free(NULL, map);
	assert_int_equal(qalloc_setroot(map, "a", NULL), 0);
	assert_non_null(qalloc_calloc(map, 3, 3));
	assert_whole(map);
	info_of(map);
	assert_int_equal(qalloc_checkpoint(), 0);
	assert_int_equal(qalloc_cleanup(), 0);
	assert_opened(qalloc_loadmap(scratch("map")));
	assert_int_equal(qalloc_cleanup(), 0);
	assert_int_equal(errno, 12345);
	assert_int_equal(qalloc_error(), QALLOC_EMISSING);
	assert_string_equal(qalloc_errmsg(), sentence);
}

static void *other_thread(void *arg)
{
	(void)arg;
	if (qalloc_error() != QALLOC_OK || qalloc_errmsg()[0] != '\0')
		return (void *)1;
	if (qalloc_malloc(NULL, 1) != NULL || qalloc_error() != QALLOC_EHANDLE)
		return (void *)2;
	return NULL;
}

static void each_thread_has_its_own_last_error(void **state)
{
	(void)state;
	pthread_t thread;
	void *result;
	assert_refused(qalloc_loadmap(scratch("missing")), QALLOC_EMISSING);
	assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_null(result);
	assert_int_equal(qalloc_error(), QALLOC_EMISSING);
	assert_true(says("missing"));
}

static void the_version_of_the_library_is_that_of_the_header(void **state)
{
	(void)state;
	char version[32];
	snprintf(version, sizeof(version), "%d.%d.%d", QALLOC_VERSION_MAJOR, QALLOC_VERSION_MINOR,
		 QALLOC_VERSION_PATCH);
	assert_string_equal(qalloc_version(), version);
}

int main(int argc, char **argv)
{
	static const struct role table[] = {{"running", sees_it_running},
					    {"killed", sees_it_killed},
					    {"clean", sees_it_clean},
					    {"leave", leaves_it}};
	roles(argc, argv, table, 4);
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(mapinfo_tells_what_the_map_was_created_with),
		TEST(mapinfo_counts_live_and_free_bytes),
		TEST(mapinfo_refuses_a_struct_that_is_too_short),
		TEST(mapinfo_tells_how_the_map_was_left),
		TEST(walk_visits_each_live_block_once_in_address_order),
		TEST(walk_leaves_errno_as_the_visitor_that_stops_it_did),
		TEST(walk_allows_to_free_the_visited_block),
		TEST(check_reports_scribbled_tables_and_survives_them),
		TEST(offsets_and_addresses_are_inverse),
		TEST(a_static_map_of_the_told_size_has_exactly_the_wanted_items),
		TEST(a_dynamic_map_of_the_told_size_has_the_wanted_room),
		TEST(sizes_that_no_file_has_are_refused),
		TEST(every_error_has_a_text_of_its_own),
		TEST(success_changes_neither_errno_nor_the_last_error),
		TEST(each_thread_has_its_own_last_error),
		TEST(the_version_of_the_library_is_that_of_the_header),
	};
	return cmocka_run_group_tests_name("api", tests, NULL, NULL) != 0;
}
