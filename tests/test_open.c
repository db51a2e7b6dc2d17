/* SPDX-License-Identifier: MIT */
/*
 * The life of a map as a program sees it: made, used, closed, loaded again, here and
 * in another process, with the same bytes at the same addresses.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "support.h"

struct node {
	struct node *next;
	uint64_t value;
	char text[40];
};

#define NODES 100

static void build_list(void *map)
{
	struct node *head = NULL;
	for (uint64_t i = 0; i < NODES; i++) {
		struct node *n = qalloc_malloc(map, sizeof(*n));
		assert_non_null(n);
		n->next = head;
		n->value = i;
		snprintf(n->text, sizeof(n->text), "node %d", (int)i);
		head = n;
	}
	assert_int_equal(qalloc_setroot(map, "list", head), 0);
}

/* 0 if the list is whole; a child's body. */
static int list_is_whole(void *map)
{
	uint64_t expected = NODES;
	for (const struct node *n = qalloc_getroot(map, "list"); n != NULL; n = n->next) {
		char text[sizeof(n->text)];
		expected--;
		snprintf(text, sizeof(text), "node %d", (int)expected);
		CHECK(n->value == expected);
		CHECK(strcmp(n->text, text) == 0);
	}
	CHECK(expected == 0);
	return 0;
}

static int role_read_list(const char *path)
{
	void *map = qalloc_loadmap(path);
	CHECK(map != NULL);
	int result = list_is_whole(map);
	CHECK(qalloc_closemap(map) == 0);
	return result;
}

static int role_build_list(const char *path)
{
	void *map = qalloc_makedynmap((off_t)MIB, NULL, path, 4);
	CHECK(map != NULL);
	build_list(map);
	_exit(0); /* without closing, as a killed process would */
}

static void a_map_file_has_exactly_the_size_asked_for(void **state)
{
	static const size_t sizes[] = {MIB, MIB + 1, MIB - 1, 999999, 3 * MIB + 4097, 16 * MIB};
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char name[32];
		snprintf(name, sizeof(name), "dyn%zu", sizes[i]);
		void *dyn = qalloc_makedynmap((off_t)sizes[i], NULL, scratch(name), 2);
		assert_opened(dyn);
		assert_int_equal(file_size(scratch(name)), sizes[i]);
		assert_int_equal(info_of(dyn).filesize, sizes[i]);
		snprintf(name, sizeof(name), "stat%zu", sizes[i]);
		void *stat = qalloc_makestatmap((off_t)sizes[i], NULL, scratch(name), 24, 2);
		assert_opened(stat);
		assert_int_equal(file_size(scratch(name)), sizes[i]);
		/* The last byte of the file is usable when it belongs to an item. */
		void *item;
		while ((item = qalloc_malloc(stat, 24)) != NULL)
			memset(item, 0x5A, 24);
		assert_int_equal(qalloc_error(), QALLOC_EFULL);
		assert_whole(stat);
		assert_int_equal(file_size(scratch(name)), sizes[i]);
	}
}

static void raw_pointers_are_valid_after_close_and_load(void **state)
{
	(void)state;
	const char *path = scratch("map");
	void *map = qalloc_makedynmap((off_t)MIB, NULL, path, 4);
	assert_opened(map);
	build_list(map);
	void *base = info_of(map).base;
	assert_int_equal(qalloc_closemap(map), 0);
	for (int round = 0; round < 3; round++) {
		map = qalloc_loadmap(path);
		assert_opened(map);
		assert_ptr_equal(info_of(map).base, base);
		assert_int_equal(list_is_whole(map), 0);
		assert_int_equal(count_live(map), NODES);
		assert_whole(map);
		assert_int_equal(qalloc_closemap(map), 0);
	}
}

static void make_of_an_existing_map_loads_it(void **state)
{
	(void)state;
	const char *path = scratch("map");
	void *map = qalloc_makedynmap((off_t)MIB, NULL, path, 4);
	assert_opened(map);
	build_list(map);
	void *base = info_of(map).base;
	assert_int_equal(qalloc_cleanup(), 0);
	map = qalloc_makedynmap((off_t)MIB, NULL, path, 4);
	assert_opened(map);
	assert_int_equal(list_is_whole(map), 0);
	assert_int_equal(qalloc_cleanup(), 0);
	map = qalloc_makedynmap((off_t)MIB, base, path, 4);
	assert_opened(map);
	assert_int_equal(list_is_whole(map), 0);
}

static void another_process_finds_the_data(void **state)
{
	(void)state;
	const char *path = scratch("map");
	void *map = qalloc_makedynmap((off_t)MIB, NULL, path, 4);
	assert_opened(map);
	build_list(map);
	assert_int_equal(in_role("read-list", path), 0); /* while it is open here */
	assert_int_equal(in_child(list_is_whole, map), 0);
	assert_int_equal(qalloc_cleanup(), 0);
	assert_int_equal(in_role("read-list", path), 0);
}

static void data_of_a_process_that_did_not_close_is_there(void **state)
{
	(void)state;
	const char *path = scratch("map");
	assert_int_equal(in_role("build-list", path), 0);
	void *map = qalloc_loadmap(path);
	assert_opened(map);
	assert_int_equal(list_is_whole(map), 0);
	assert_whole(map);
	assert_int_equal(info_of(map).left, QALLOC_LEFT_KILLED);
}

static void mkstemp_habit_an_empty_file_becomes_a_map(void **state)
{
	(void)state;
	char path[1024];
	snprintf(path, sizeof(path), "%s", scratch("XXXXXX"));
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	void *map = qalloc_makestatmap((off_t)(4 * MIB), NULL, path, 64, 3);
	assert_opened(map);
	assert_int_equal(close(fd), 0);
	assert_int_equal(file_size(path), 4 * MIB);
	assert_non_null(qalloc_statmalloc(map));
	assert_int_equal(qalloc_cleanup(), 0);
	map = qalloc_loadmap(path);
	assert_opened(map);
	assert_int_equal(count_live(map), 1);
}

static void opening_twice_gives_one_handle_counted(void **state)
{
	(void)state;
	const char *path = scratch("map"), *other = scratch("link");
	void *map = qalloc_makedynmap((off_t)MIB, NULL, path, 2);
	assert_opened(map);
	assert_int_equal(link(path, other), 0);
	struct qalloc_options options = dynamic_options(QALLOC_CREATE, MIB, 2);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_ptr_equal(qalloc_loadmap(path), map);
	assert_ptr_equal(qalloc_makedynmap((off_t)MIB, NULL, path, 2), map);
	assert_ptr_equal(qalloc_openmap(other, &options), map);
	assert_ptr_equal(qalloc_openfd(fd, NULL), map);
	close(fd);
	for (int opens = 5; opens > 1; opens--) {
		assert_int_equal(qalloc_closemap(map), 0);
		void *block = qalloc_malloc(map, 10);
		assert_non_null(block);
		assert_int_equal(qalloc_tryfree(block, map), 0);
	}
	assert_int_equal(qalloc_closemap(map), 0);
	assert_refused(qalloc_malloc(map, 10), QALLOC_EHANDLE);
}

static void an_open_map_is_compared_with_the_wish_too(void **state)
{
	(void)state;
	void *map = qalloc_makedynmap((off_t)MIB, NULL, scratch("map"), 2);
	assert_opened(map);
	assert_refused(qalloc_makedynmap((off_t)MIB, NULL, scratch("map"), 3), QALLOC_EPARAMS);
	/* The refused open was not counted. */
	assert_int_equal(qalloc_closemap(map), 0);
	assert_fails(qalloc_closemap(map), QALLOC_EHANDLE);
}

static int visit_nothing(void *block, size_t size, void *arg)
{
	(void)block;
	(void)size;
	(void)arg;
	return 0;
}

static int root_nothing(const char *name, void *value, void *arg)
{
	(void)name;
	(void)value;
	(void)arg;
	return 0;
}

static void refuses_everything(void *handle, void *block)
{
	struct qalloc_info info = {.size = sizeof(info)};
	assert_refused(qalloc_malloc(handle, 1), QALLOC_EHANDLE);
	assert_refused(qalloc_statmalloc(handle), QALLOC_EHANDLE);
	assert_refused(qalloc_dynmalloc(handle, 1), QALLOC_EHANDLE);
	assert_refused(qalloc_calloc(handle, 1, 1), QALLOC_EHANDLE);
	assert_refused(qalloc_aligned_alloc(handle, 16, 1), QALLOC_EHANDLE);
	assert_refused(qalloc_realloc(handle, NULL, 1), QALLOC_EHANDLE);
	assert_fails(qalloc_tryfree(block, handle), QALLOC_EHANDLE);
	assert_fails(qalloc_closemap(handle), QALLOC_EHANDLE);
	assert_fails(qalloc_sync(handle), QALLOC_EHANDLE);
	assert_fails(qalloc_setroot(handle, "a", NULL), QALLOC_EHANDLE);
	assert_refused(qalloc_getroot(handle, "a"), QALLOC_EHANDLE);
	assert_fails(qalloc_casroot(handle, "a", NULL, NULL), QALLOC_EHANDLE);
	assert_fails(qalloc_delroot(handle, "a"), QALLOC_EHANDLE);
	assert_fails(qalloc_roots(handle, root_nothing, NULL), QALLOC_EHANDLE);
	assert_fails(qalloc_walk(handle, visit_nothing, NULL), QALLOC_EHANDLE);
	assert_fails(qalloc_mapinfo(handle, &info), QALLOC_EHANDLE);
	assert_fails(qalloc_check(handle, NULL, NULL), QALLOC_EHANDLE);
	assert_failure(qalloc_usable_size(handle, block) == 0, QALLOC_EHANDLE);
	assert_failure(qalloc_offset(handle, block) == 0, QALLOC_EHANDLE);
	assert_refused(qalloc_address(handle, 1), QALLOC_EHANDLE);
}

static void what_is_not_a_handle_is_refused_by_every_call(void **state)
{
	(void)state;
	static _Alignas(65536) char page[65536];
	char local[64] = {0};
	void *map = qalloc_makedynmap((off_t)MIB, NULL, scratch("map"), 2);
	assert_opened(map);
	void *block = qalloc_malloc(map, 10);
	assert_non_null(block);
	refuses_everything(NULL, block);
	refuses_everything(local, block);
	refuses_everything(page, block);
	refuses_everything(info_of(map).base, block);
	assert_int_equal(qalloc_closemap(map), 0);
	refuses_everything(map, block);
}

static void the_last_64_closed_handles_are_remembered(void **state)
{
	(void)state;
	void *handles[64];
	for (int i = 0; i < 64; i++) {
		handles[i] = qalloc_makedynmap((off_t)MIB, NULL, scratch("map"), 1);
		assert_opened(handles[i]);
		assert_int_equal(qalloc_closemap(handles[i]), 0);
	}
	for (int i = 0; i < 64; i++)
		assert_refused(qalloc_malloc(handles[i], 1), QALLOC_EHANDLE);
}

static void cleanup_closes_every_map_however_often_opened(void **state)
{
	(void)state;
	void *a = qalloc_makedynmap((off_t)MIB, NULL, scratch("a"), 1);
	void *b = qalloc_makestatmap((off_t)MIB, NULL, scratch("b"), 8, 1);
	assert_opened(a);
	assert_opened(b);
	assert_ptr_equal(qalloc_loadmap(scratch("a")), a);
	assert_int_equal(qalloc_cleanup(), 0);
	assert_refused(qalloc_malloc(a, 1), QALLOC_EHANDLE);
	assert_refused(qalloc_malloc(b, 1), QALLOC_EHANDLE);
	assert_int_equal(qalloc_cleanup(), 0);
}

static void checkpoint_and_sync_return_0_on_open_maps_and_on_none(void **state)
{
	(void)state;
	assert_int_equal(qalloc_checkpoint(), 0);
	void *a = qalloc_makedynmap((off_t)MIB, NULL, scratch("a"), 1);
	void *b = qalloc_makestatmap((off_t)(MIB + 5), NULL, scratch("b"), 8, 1);
	assert_opened(a);
	assert_opened(b);
	void *block = qalloc_malloc(a, 100);
	assert_non_null(block);
	memset(block, 'x', 100);
	assert_int_equal(qalloc_checkpoint(), 0);
	assert_int_equal(qalloc_sync(a), 0);
	assert_int_equal(qalloc_sync(b), 0);
	/* What was stored can be read from the file by plain means. */
	char copy[100];
	read_file(scratch("a"), qalloc_offset(a, block), copy, sizeof(copy));
	assert_memory_equal(copy, block, sizeof(copy));
}

static void a_memfd_serves_as_a_map_and_stays_the_callers(void **state)
{
	(void)state;
	int fd = memfd_create("qalloc-test", MFD_CLOEXEC);
	assert_true(fd >= 0);
	struct qalloc_options options = dynamic_options(QALLOC_CREATE, 2 * MIB + 3, 3);
	void *map = qalloc_openfd(fd, &options);
	assert_opened(map);
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 2 * MIB + 3);
	build_list(map);
	assert_int_equal(qalloc_closemap(map), 0);
	map = qalloc_openfd(fd, NULL);
	assert_opened(map);
	assert_int_equal(list_is_whole(map), 0);
	/* The library works with its own descriptor. */
	assert_int_equal(close(fd), 0);
	assert_non_null(qalloc_malloc(map, MIB));
	assert_int_equal(qalloc_sync(map), 0);
	assert_whole(map);
	assert_int_equal(in_child(list_is_whole, map), 0);
}

static void a_bad_descriptor_is_named_by_its_number(void **state)
{
	(void)state;
	struct qalloc_options options = dynamic_options(QALLOC_CREATE, MIB, 1);
	assert_refused(qalloc_openfd(-1, &options), QALLOC_EARGUMENT);
	assert_refused(qalloc_openfd(987654, NULL), QALLOC_ESYSTEM);
	assert_int_equal(errno, EBADF);
	assert_true(says("fd:987654"));
}

static void an_unlinked_file_stays_a_map_while_open(void **state)
{
	(void)state;
	void *map = qalloc_makedynmap((off_t)MIB, NULL, scratch("map"), 2);
	assert_opened(map);
	assert_int_equal(unlink(scratch("map")), 0);
	build_list(map);
	assert_int_equal(in_child(list_is_whole, map), 0);
	/* The name is free for another map, which is another one. */
	void *other = qalloc_makedynmap((off_t)MIB, NULL, scratch("map"), 2);
	assert_opened(other);
	assert_ptr_not_equal(other, map);
	assert_int_equal(count_live(other), 0);
	assert_int_equal(qalloc_cleanup(), 0);
}

int main(int argc, char **argv)
{
	static const struct role table[] = {{"read-list", role_read_list},
					    {"build-list", role_build_list}};
	roles(argc, argv, table, 2);
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(a_map_file_has_exactly_the_size_asked_for),
		TEST(raw_pointers_are_valid_after_close_and_load),
		TEST(make_of_an_existing_map_loads_it),
		TEST(another_process_finds_the_data),
		TEST(data_of_a_process_that_did_not_close_is_there),
		TEST(mkstemp_habit_an_empty_file_becomes_a_map),
		TEST(opening_twice_gives_one_handle_counted),
		TEST(an_open_map_is_compared_with_the_wish_too),
		TEST(what_is_not_a_handle_is_refused_by_every_call),
		TEST(the_last_64_closed_handles_are_remembered),
		TEST(cleanup_closes_every_map_however_often_opened),
		TEST(checkpoint_and_sync_return_0_on_open_maps_and_on_none),
		TEST(a_memfd_serves_as_a_map_and_stays_the_callers),
		TEST(a_bad_descriptor_is_named_by_its_number),
		TEST(an_unlinked_file_stays_a_map_while_open),
	};
	int failed = cmocka_run_group_tests_name("open", tests, NULL, NULL);
	if (scratch_in("/dev/shm"))
		failed += cmocka_run_group_tests_name("open, on tmpfs", tests, NULL, NULL);
	return failed != 0;
}
