/* SPDX-License-Identifier: MIT */
/*
 * Files that were cut, grew, or were replaced before they are opened.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "support.h"
#include "works.h"

static void a_file_that_was_cut_is_refused_and_not_touched(void **state)
{
	static const off_t sizes[] = {1,     7,     8,     255,   256,        257,    4096,
				      61440, 65535, 65536, 65537, MIB - 4096, MIB - 1};
	const char *path = scratch("map");

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		make_small_closed(path);
		assert_int_equal(truncate(path, sizes[i]), 0);
		uint32_t before = file_checksum(path);
		int error = sizes[i] < 256 ? QALLOC_ESHORT : QALLOC_EFILESIZE;

		assert_refused(qalloc_loadmap(path), error);
		assert_true(says(path) && says_number((uint64_t)sizes[i]));
		/* Not for make to mend either: what is left is somebody's data. */
		assert_null(make_small(path));
		assert_true(qalloc_error() == error ||
			    (qalloc_error() == QALLOC_EMAGIC && sizes[i] < 8));
		struct qalloc_options options = options_for(QALLOC_READONLY);

		assert_refused(qalloc_openmap(path, &options), error);
		assert_int_equal(file_size(path), sizes[i]);
		assert_int_equal(file_checksum(path), before);
		assert_int_equal(unlink(path), 0);
	}
	/* Nothing left is an empty file like any other. */
	make_small_closed(path);
	assert_int_equal(truncate(path, 0), 0);
	assert_refused(qalloc_loadmap(path), QALLOC_ESHORT);
	void *map = make_small(path);

	assert_opened(map);
	assert_int_equal(count_live(map), 0);
}

static void a_file_that_grew_is_refused_until_it_is_cut_again(void **state)
{
	const char *path = scratch("map");

	(void)state;
	make_small_closed(path);
	assert_int_equal(truncate(path, (off_t)MIB + 1), 0);
	assert_refused(qalloc_loadmap(path), QALLOC_EFILESIZE);
	assert_true(says_number(MIB) && says_number(MIB + 1));
	assert_int_equal(truncate(path, (off_t)MIB), 0);
	void *map = qalloc_loadmap(path);

	assert_opened(map);
	assert_int_equal(count_live(map), 3);
	assert_whole(map);
}

/* Each opening sees what the path names then; who has a map open keeps the file that it had. */
static void a_path_that_names_another_file_opens_that(void **state)
{
	const char *path = scratch("map"), *other = scratch("other");

	(void)state;
	make_small_closed(other);
	void *old = make_small(path);

	assert_opened(old);
	assert_int_equal(rename(other, path), 0);
	void *now = qalloc_loadmap(path);

	assert_opened(now);
	assert_ptr_not_equal(now, old);
	assert_int_equal(count_live(now), 3);
	assert_int_equal(count_live(old), 0);
	assert_int_equal(works(old, 13, 300, 0), 0);
	assert_int_equal(works(now, 14, 300, 0), 0);
	assert_int_equal(qalloc_sync(old), 0);
	assert_int_equal(qalloc_closemap(old), 0);
	assert_int_equal(works(now, 15, 300, 0), 0);
	assert_whole(now);
	assert_int_equal(qalloc_closemap(now), 0);
	/* By something that is no map, and by something that is no file. */
	write_file(path, "something else, of somebody else", 32);
	assert_refused(qalloc_loadmap(path), QALLOC_ESHORT);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_refused(qalloc_loadmap(path), QALLOC_ENOTREGULAR);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused(qalloc_loadmap(path), QALLOC_ENOTREGULAR);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/dev/zero", path), 0);
	assert_refused(qalloc_loadmap(path), QALLOC_ESYMLINK);
	struct qalloc_options options = options_for(QALLOC_FOLLOW | QALLOC_FOREIGN_OWNER);

	assert_refused(qalloc_openmap(path, &options), QALLOC_ENOTREGULAR);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(a_file_that_was_cut_is_refused_and_not_touched),
		TEST(a_file_that_grew_is_refused_until_it_is_cut_again),
		TEST(a_path_that_names_another_file_opens_that),
	};
	int failed = cmocka_run_group_tests_name("replaced", tests, NULL, NULL);

	if (scratch_in("/dev/shm"))
		failed += cmocka_run_group_tests_name("replaced, on tmpfs", tests, NULL, NULL);
	return failed != 0;
}
