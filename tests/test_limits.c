/* SPDX-License-Identifier: MIT */
/*
 * Limits and permissions: what the system refuses is an error with a name, nothing is lost or
 * left behind, and it works once the system allows it.
 *
 *  - Every body that changes limits, users or mounts runs in a child of its own.
 */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "support.h"
#include "works.h"

#define NOBODY 65534
#define CANNOT 77 /* a child's status: this machine does not let it */

/* Paths that outlast many calls of scratch(). */
struct path {
	char text[1024];
};

static struct path kept(const char *name)
{
	struct path path;

	snprintf(path.text, sizeof(path.text), "%s", scratch(name));
	return path;
}

static int runs_or_skips(child_fn *body, const char *name)
{
	struct path path = kept(name);
	int status = in_child(body, path.text);

	if (status == CANNOT)
		skip();
	return status;
}

/* ---- What is held ---------------------------------------------------------------------- */

static unsigned descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Bytes of address space. */
static uint64_t address_space(void)
{
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (file == NULL || fscanf(file, "%lu", &pages) != 1)
		return 0;
	fclose(file);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int limit_soft(int resource, uint64_t value)
{
	struct rlimit limit;

	if (getrlimit((__rlimit_resource_t)resource, &limit) != 0)
		return -1;
	limit.rlim_cur = value < limit.rlim_max ? value : limit.rlim_max;
	return setrlimit((__rlimit_resource_t)resource, &limit);
}

/* ---- RLIMIT_AS --------------------------------------------------------------------------- */

static int opens_with_little_memory(void *path)
{
	unsigned refused = 0, opened = 0;

	/* What the library keeps for the thread is there already. */
	CHECK(qalloc_loadmap("/nowhere/map") == NULL);
	const uint64_t before = address_space();
	const unsigned files = descriptors();
	CHECK(before != 0);
	/* From nothing to more than enough: each step on the way fails once. */
	for (uint64_t more = 0; more < 4 * MIB; more += 4096 * 5) {
		CHECK(limit_soft(RLIMIT_AS, before + more) == 0);
		errno = 0;
		void *map = qalloc_loadmap(path);
		int number = errno;
		CHECK(limit_soft(RLIMIT_AS, UINT64_MAX) == 0);
		if (map == NULL) {
			refused++;
			CHECK(qalloc_error() == QALLOC_ESYSTEM && number == ENOMEM);
			CHECK(says("memory") || says("mmap") || says("pin"));
			CHECK(opened == 0);
		} else {
			opened++;
			CHECK(works(map, 2, 50, 0) == 0);
			CHECK(qalloc_closemap(map) == 0);
		}
		CHECK(descriptors() == files);
		/* A closed handle keeps a page. */
		CHECK(address_space() <= before + 4096 * (uint64_t)opened);
	}
	CHECK(refused > 0 && opened > 0);
	return 0;
}

static int makes_with_little_memory(void *path)
{
	CHECK(qalloc_loadmap("/nowhere/map") == NULL);
	const uint64_t before = address_space();
	CHECK(limit_soft(RLIMIT_AS, before + 64 * KIB) == 0);
	errno = 0;
	CHECK(make_small(path) == NULL && qalloc_error() == QALLOC_ESYSTEM && errno == ENOMEM);
	CHECK(!file_exists(path));
	CHECK(limit_soft(RLIMIT_AS, UINT64_MAX) == 0);
	CHECK(address_space() <= before);
	CHECK(make_small(path) != NULL);
	return 0;
}

static int uses_without_more_memory(void *path)
{
	void *map = qalloc_loadmap(path);
	CHECK(map != NULL);
	/* A map needs no more memory than it took when it was opened. */
	CHECK(limit_soft(RLIMIT_AS, address_space()) == 0);
	CHECK(works(map, 3, 500, 0) == 0);
	CHECK(qalloc_malloc(map, 200000) != NULL);
	CHECK(qalloc_setroot(map, "root", NULL) == 0);
	CHECK(qalloc_sync(map) == 0);
	/* Walks and checks take some, and say so. */
	errno = 0;
	CHECK(qalloc_check(map, NULL, NULL) == 0 ||
	      (qalloc_error() == QALLOC_ESYSTEM && errno == ENOMEM));
	CHECK(limit_soft(RLIMIT_AS, UINT64_MAX) == 0);
	CHECK(qalloc_check(map, NULL, NULL) == 0);
	return qalloc_cleanup();
}

static int child_without_memory(void *map)
{
	CHECK(limit_soft(RLIMIT_AS, address_space()) == 0);
	/* The page that keeps a slot's lock may be too much, or fit into what is left. */
	errno = 0;
	void *block = qalloc_malloc(map, 10);
	CHECK(block != NULL || (qalloc_error() == QALLOC_ESYSTEM && errno == ENOMEM));
	CHECK(limit_soft(RLIMIT_AS, UINT64_MAX) == 0);
	CHECK(block != NULL || (block = qalloc_malloc(map, 10)) != NULL);
	CHECK(qalloc_tryfree(block, map) == 0);
	return 0;
}

static void too_little_memory_is_an_error_and_leaves_nothing_behind(void **state)
{
	(void)state;
	if (under_sanitizer() || under_valgrind())
		skip(); /* they need terabytes themselves */
	make_small_closed(scratch("map"));
	assert_int_equal(runs_or_skips(opens_with_little_memory, "map"), 0);
	assert_int_equal(runs_or_skips(makes_with_little_memory, "new"), 0);
	assert_int_equal(runs_or_skips(uses_without_more_memory, "map"), 0);
	void *map = qalloc_loadmap(scratch("map"));

	assert_opened(map);
	assert_int_equal(in_child(child_without_memory, map), 0);
	assert_int_equal(count_live(map), 4);
	assert_whole(map);
}

/* ---- RLIMIT_NOFILE ------------------------------------------------------------------------ */

static void take_descriptors(unsigned count)
{
	while (count-- > 0)
		(void)open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Leaves `spare` numbers, whatever the caller had open. */
static int leave_descriptors(unsigned spare)
{
	unsigned top = 0;

	for (unsigned fd = 0; fd < 256; fd++)
		top = fcntl((int)fd, F_GETFD) >= 0 ? fd + 1 : top;
	take_descriptors(top - descriptors()); /* no gaps */
	return limit_soft(RLIMIT_NOFILE, top + spare);
}

static int opens_with_few_descriptors(void *path)
{
	unsigned refused[2] = {0, 0}, opened[2] = {0, 0};
	const struct path new_path = kept("new");
	const char *fresh = new_path.text;

	for (unsigned spare = 0; spare < 8; spare++) {
		CHECK(leave_descriptors(spare) == 0);
		const unsigned files = descriptors();
		for (int creates = 0; creates < 2; creates++) {
			errno = 0;
			void *map = creates ? make_small(fresh) : qalloc_loadmap(path);
			int number = errno;
			if (map == NULL) {
				refused[creates]++;
				CHECK(qalloc_error() == QALLOC_ESYSTEM && number == EMFILE);
				CHECK(says(creates ? fresh : path) && opened[creates] == 0);
				CHECK(!creates || !file_exists(fresh) || refused[1] > 1);
			} else {
				opened[creates]++;
				CHECK(works(map, 4, 50, 0) == 0);
				CHECK(qalloc_closemap(map) == 0);
				CHECK(!creates || unlink(fresh) == 0);
			}
			CHECK(descriptors() == files);
		}
		CHECK(limit_soft(RLIMIT_NOFILE, 256) == 0);
	}
	for (int creates = 0; creates < 2; creates++)
		CHECK(refused[creates] > 0 && opened[creates] > 0);
	return 0;
}

static int child_without_descriptors(void *map)
{
	CHECK(limit_soft(RLIMIT_NOFILE, 3) == 0);
	errno = 0;
	CHECK(qalloc_malloc(map, 10) == NULL);
	CHECK(qalloc_error() == QALLOC_ESYSTEM && errno == EMFILE);
	CHECK(count_live(map) == 4);
	CHECK(limit_soft(RLIMIT_NOFILE, 256) == 0);
	return works(map, 5, 200, 1);
}

static void too_few_descriptors_are_an_error_and_leave_nothing_behind(void **state)
{
	(void)state;
	make_small_closed(scratch("map"));
	if (!under_valgrind()) /* it has descriptors of its own */
		assert_int_equal(runs_or_skips(opens_with_few_descriptors, "map"), 0);
	void *map = qalloc_loadmap(scratch("map"));

	assert_opened(map);
	assert_non_null(qalloc_malloc(map, 10));
	if (!under_valgrind())
		assert_int_equal(in_child(child_without_descriptors, map), 0);
	/* Who is attached needs no more of them. */
	struct rlimit before;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(limit_soft(RLIMIT_NOFILE, 3), 0);
	int result = works(map, 6, 500, 0);
	void *large = qalloc_malloc(map, 300000);
	int others = qalloc_sync(map) | qalloc_trim(map) | qalloc_check(map, NULL, NULL) |
		     (large == NULL ? 1 : qalloc_tryfree(large, map));

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(result, 0);
	assert_int_equal(others, 0);
	assert_whole(map);
}

/* ---- RLIMIT_FSIZE -------------------------------------------------------------------------- */

/* Limits around the size of a map: none ends the process, each says what it allows. */
static int makes_under_each_limit(void *path)
{
	static const uint64_t limits[] = {0,     1,          255,     256, 4096,
					  65536, MIB - 4096, MIB - 1, MIB, MIB + 1};

	CHECK(signal(SIGXFSZ, SIG_DFL) != SIG_ERR);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		CHECK(limit_soft(RLIMIT_FSIZE, limits[i]) == 0);
		errno = 0;
		void *map = make_small(path);
		if (limits[i] < MIB) {
			CHECK(map == NULL && qalloc_error() == QALLOC_ELIMIT && errno == EFBIG);
			CHECK(says_number(limits[i]) && says_number(MIB));
			CHECK(!file_exists(path));
		} else {
			CHECK(map != NULL && works(map, 7, 100, 0) == 0);
			CHECK(qalloc_cleanup() == 0 && unlink(path) == 0);
		}
	}
	/* What is there already has its size: nothing is written beyond it. */
	CHECK(limit_soft(RLIMIT_FSIZE, UINT64_MAX) == 0);
	CHECK(make_small(path) != NULL && qalloc_cleanup() == 0);
	CHECK(limit_soft(RLIMIT_FSIZE, 0) == 0);
	void *map = qalloc_loadmap(path);
	CHECK(map != NULL && works(map, 8, 500, 0) == 0);
	void *large = qalloc_malloc(map, 300000);
	CHECK(large != NULL);
	memset(large, 1, 300000);
	CHECK(qalloc_sync(map) == 0 && qalloc_trim(map) == 0);
	CHECK(qalloc_check(map, NULL, NULL) == 0);
	return qalloc_cleanup();
}

static void a_limit_of_file_sizes_never_kills(void **state)
{
	(void)state;
	assert_int_equal(runs_or_skips(makes_under_each_limit, "map"), 0);
}

/* ---- Mounts and permissions --------------------------------------------------------------- */

static int mount_read_only(const char *directory, bool read_only)
{
	return mount("none", directory, "none",
		     MS_BIND | MS_REMOUNT | (read_only ? MS_RDONLY : 0UL), NULL);
}

/* In a mount namespace of its own: nobody else sees it, and it ends with the process. */
static int uses_a_read_only_mount(void *path)
{
	const struct path dir_path = kept("."), new_path = kept("new"), empty_path = kept("empty");
	const char *directory = dir_path.text, *fresh = new_path.text, *empty = empty_path.text;

	write_file(empty, "", 0);
	if (unshare(CLONE_NEWNS) != 0 ||
	    mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount(directory, directory, "none", MS_BIND, NULL) != 0 ||
	    mount_read_only(directory, true) != 0)
		return CANNOT;
	const char *paths[] = {path, fresh, empty};
	for (size_t i = 0; i < 3; i++) {
		errno = 0;
		CHECK(make_small(paths[i]) == NULL);
		CHECK(qalloc_error() == QALLOC_ESYSTEM && errno == EROFS && says(paths[i]));
	}
	CHECK(qalloc_loadmap(path) == NULL && errno == EROFS);
	CHECK(!file_exists(fresh) && file_size(empty) == 0);
	struct qalloc_options options = options_for(QALLOC_READONLY);
	void *map = qalloc_openmap(path, &options);
	CHECK(map != NULL && count_live(map) == 3);
	CHECK(qalloc_check(map, NULL, NULL) == 0);
	CHECK(qalloc_malloc(map, 1) == NULL && qalloc_error() == QALLOC_EREADONLY);
	CHECK(qalloc_closemap(map) == 0);
	/* Written again, opened, and then read-only: who has it open keeps it. */
	CHECK(mount_read_only(directory, false) == 0);
	map = qalloc_loadmap(path);
	CHECK(map != NULL);
	if (mount_read_only(directory, true) == 0) {
		CHECK(works(map, 9, 300, 0) == 0);
		closefrom(3);
		errno = 0;
		CHECK(qalloc_malloc(map, 400000) == NULL);
		CHECK(qalloc_error() == QALLOC_EREPLACED && errno == ESTALE);
		CHECK(says("Read-only") || says_number(EROFS));
	} else {
		CHECK(errno == EBUSY); /* the kernel does not do that to a writer */
	}
	CHECK(works(map, 10, 0, 1) == 0);
	return qalloc_cleanup();
}

static void a_read_only_mount_is_for_readers(void **state)
{
	(void)state;
	make_small_closed(scratch("map"));
	assert_int_equal(runs_or_skips(uses_a_read_only_mount, "map"), 0);
	void *map = qalloc_loadmap(scratch("map"));

	assert_opened(map);
	assert_int_equal(count_live(map), 4);
	assert_whole(map);
}

static bool refused_with(const char *path, void *map, int number)
{
	return map == NULL && qalloc_error() == QALLOC_ESYSTEM && errno == number && says(path);
}

/* Root may do everything: so as somebody else. */
static int has_no_permission(void *path)
{
	struct qalloc_options readonly = options_for(QALLOC_READONLY);
	const struct path new_path = kept("new"), hidden_path = kept("hidden/map");
	const char *fresh = new_path.text, *hidden = hidden_path.text;

	if (geteuid() != 0 || chown(path, NOBODY, NOBODY) != 0 || setgid(NOBODY) != 0 ||
	    setuid(NOBODY) != 0)
		return CANNOT;
	/* Ours, but not for writing; and for nothing. */
	CHECK(chmod(path, 0400) == 0);
	CHECK(refused_with(path, qalloc_loadmap(path), EACCES));
	CHECK(refused_with(path, make_small(path), EACCES));
	CHECK(qalloc_openmap(path, &readonly) != NULL && qalloc_cleanup() == 0);
	CHECK(chmod(path, 0000) == 0);
	CHECK(refused_with(path, qalloc_loadmap(path), EACCES));
	CHECK(refused_with(path, qalloc_openmap(path, &readonly), EACCES));
	CHECK(chmod(path, 0200) == 0);
	CHECK(refused_with(path, qalloc_loadmap(path), EACCES));
	CHECK(chmod(path, 0600) == 0);
	void *map = qalloc_loadmap(path);
	CHECK(map != NULL && works(map, 11, 100, 0) == 0);
	/* Taken away while it is open: who has it open keeps it, a new descriptor is refused. */
	CHECK(chmod(path, 0000) == 0);
	CHECK(works(map, 12, 100, 0) == 0);
	closefrom(3);
	CHECK(qalloc_malloc(map, 400000) == NULL);
	CHECK(qalloc_error() == QALLOC_EREPLACED && errno == ESTALE && says("Permission"));
	CHECK(chmod(path, 0600) == 0);
	void *large = qalloc_malloc(map, 400000);
	CHECK(large != NULL && qalloc_tryfree(large, map) == 0);
	CHECK(qalloc_cleanup() == 0);
	/* A directory that is not ours, and one that may not be entered. */
	CHECK(refused_with(fresh, make_small(fresh), EACCES));
	CHECK(!file_exists(fresh));
	CHECK(refused_with(hidden, make_small(hidden), EACCES));
	CHECK(refused_with(hidden, qalloc_loadmap(hidden), EACCES));
	return 0;
}

static void without_permission_it_is_an_error(void **state)
{
	(void)state;
	make_small_closed(scratch("map"));
	assert_int_equal(mkdir(scratch("hidden"), 0700), 0);
	assert_int_equal(chmod(scratch("."), 0755), 0);
	make_small_closed(scratch("hidden/map"));
	assert_int_equal(runs_or_skips(has_no_permission, "map"), 0);
	assert_int_equal(chown(scratch("map"), geteuid(), getegid()), 0);
	void *map = qalloc_loadmap(scratch("map"));

	assert_opened(map);
	assert_int_equal(count_live(map), 3);
	assert_whole(map);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(too_little_memory_is_an_error_and_leaves_nothing_behind),
		TEST(too_few_descriptors_are_an_error_and_leave_nothing_behind),
		TEST(a_limit_of_file_sizes_never_kills),
		TEST(a_read_only_mount_is_for_readers),
		TEST(without_permission_it_is_an_error),
	};
	int failed = cmocka_run_group_tests_name("limits", tests, NULL, NULL);

	if (scratch_in("/dev/shm"))
		failed += cmocka_run_group_tests_name("limits, on tmpfs", tests, NULL, NULL);
	return failed != 0;
}
