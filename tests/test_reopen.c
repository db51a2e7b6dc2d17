/* SPDX-License-Identifier: MIT */
/*
 * Programs that come and go: each opens the map, stores a little and leaves.  What they
 * leave has room, and the next one finds it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "support.h"

#define RUNS 40

static int stores_a_little(const char *path)
{
	void *map = qalloc_loadmap(path);

	CHECK(map != NULL);
	for (int i = 0; i < 3; i++)
		CHECK(qalloc_malloc(map, 64) != NULL);
	CHECK(qalloc_cleanup() == 0);
	return 0;
}

static const struct role table[] = {{"stores-a-little", stores_a_little}};

static void programs_that_come_and_go_share_the_spans_of_those_before(void **state)
{
	const char *path = scratch("map");
	void *map = qalloc_makedynmap((off_t)(16 * MIB), NULL, path, 1);

	(void)state;
	assert_opened(map);
	assert_int_equal(qalloc_cleanup(), 0);
	assert_int_equal(in_role("stores-a-little", path), 0);
	map = qalloc_loadmap(path);
	uint64_t before = info_of(map).free_bytes;

	assert_int_equal(qalloc_cleanup(), 0);
	for (int i = 0; i < RUNS; i++)
		assert_int_equal(in_role("stores-a-little", path), 0);
	map = qalloc_loadmap(path);
	assert_int_equal(info_of(map).free_bytes, before);
	assert_int_equal(info_of(map).live_blocks, 3 * (RUNS + 1));
	assert_whole(map);
}

static void a_process_uses_room_beyond_the_frontier_that_it_knew(void **state)
{
	const char *path = scratch("map");
	void *map = qalloc_makedynmap((off_t)(16 * MIB), NULL, path, 1);

	(void)state;
	assert_opened(map);
	assert_non_null(qalloc_malloc(map, 64));
	/* Another process takes spans of another class; its room is ours, too: one stream. */
	assert_int_equal(in_role("stores-a-little", path), 0);
	uint64_t before = info_of(map).free_bytes;

	for (int i = 0; i < 100; i++)
		assert_non_null(qalloc_malloc(map, 64));
	assert_int_equal(info_of(map).free_bytes, before);
}

int main(int argc, char **argv)
{
	roles(argc, argv, table, sizeof(table) / sizeof(table[0]));
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			programs_that_come_and_go_share_the_spans_of_those_before, scratch_begin,
			scratch_end),
		cmocka_unit_test_setup_teardown(
			a_process_uses_room_beyond_the_frontier_that_it_knew, scratch_begin,
			scratch_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
