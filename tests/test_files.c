/* SPDX-License-Identifier: MIT */
/*
 * Which files a map may live in: regular ones, ours, that nobody else writes; and
 * that a file with data of somebody else is never touched.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "support.h"
#include "works.h"

static void *open_with(const char *path, uint64_t flags)
{
	struct qalloc_options options = dynamic_options(flags, MIB, 2);
	return qalloc_openmap(path, &options);
}

static void make_closed(const char *path)
{
	assert_opened(make_small(path));
	assert_int_equal(qalloc_cleanup(), 0);
}

static void what_is_not_a_regular_file_is_refused_at_once(void **state)
{
	(void)state;
	assert_int_equal(mkdir(scratch("dir"), 0700), 0);
	assert_int_equal(mkfifo(scratch("fifo"), 0600), 0);
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", scratch("socket"));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	const char *paths[] = {scratch("dir"), scratch("fifo"), scratch("socket"), "/dev/null",
			       "/dev/zero",    "/dev/full",     "/dev/tty"};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		/* Without a terminal this one cannot even be opened. */
		if (strcmp(paths[i], "/dev/tty") == 0 && open(paths[i], O_RDWR | O_NOCTTY) < 0)
			continue;
		assert_refused(make_small(paths[i]), QALLOC_ENOTREGULAR);
		assert_true(says(paths[i]));
		assert_refused(qalloc_loadmap(paths[i]), QALLOC_ENOTREGULAR);
	}
	close(fd);
	int pipes[2];
	struct qalloc_options options = dynamic_options(QALLOC_CREATE, MIB, 2);
	assert_int_equal(pipe(pipes), 0);
	assert_refused(qalloc_openfd(pipes[1], &options), QALLOC_ENOTREGULAR);
	close(pipes[0]);
	close(pipes[1]);
}

static void a_symbolic_link_is_followed_only_if_allowed(void **state)
{
	(void)state;
	const char *real = scratch("real"), *link = scratch("link"),
		   *dangling = scratch("dangling");
	make_closed(real);
	assert_int_equal(symlink(real, link), 0);
	assert_int_equal(symlink(scratch("nowhere"), dangling), 0);
	assert_refused(qalloc_loadmap(link), QALLOC_ESYMLINK);
	assert_true(says(link));
	assert_refused(make_small(link), QALLOC_ESYMLINK);
	assert_refused(make_small(dangling), QALLOC_ESYMLINK);
	assert_false(file_exists(scratch("nowhere")));
	assert_opened(open_with(link, QALLOC_FOLLOW));
	/* Only the last component counts: a directory may be a link. */
	assert_int_equal(qalloc_cleanup(), 0);
	assert_int_equal(mkdir(scratch("dir"), 0700), 0);
	assert_int_equal(symlink(scratch("dir"), scratch("dirlink")), 0);
	assert_opened(make_small(scratch("dirlink/map")));
}

static void a_foreign_owner_is_refused_unless_allowed(void **state)
{
	(void)state;
	const char *path = scratch("map");
	make_closed(path);
	if (chown(path, 65534, 65534) != 0)
		skip(); /* only root can give files away */
	assert_refused(qalloc_loadmap(path), QALLOC_EOWNER);
	assert_true(says(path) && says_number(65534));
	assert_refused(make_small(path), QALLOC_EOWNER);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_refused(qalloc_openfd(fd, NULL), QALLOC_EOWNER);
	close(fd);
	assert_opened(open_with(path, QALLOC_FOREIGN_OWNER));
	assert_int_equal(qalloc_cleanup(), 0);
	/* An empty one neither becomes a map. */
	write_file(scratch("empty"), "", 0);
	assert_int_equal(chown(scratch("empty"), 65534, 65534), 0);
	assert_refused(make_small(scratch("empty")), QALLOC_EOWNER);
	assert_int_equal(file_size(scratch("empty")), 0);
}

static int looks_as_nobody(void *path)
{
	struct qalloc_options options = options_for(QALLOC_READONLY);
	CHECK(setgid(65534) == 0 && setuid(65534) == 0);
	CHECK(qalloc_openmap(path, &options) != NULL);
	CHECK(qalloc_cleanup() == 0);
	errno = 0;
	CHECK(qalloc_loadmap(path) == NULL && qalloc_error() == QALLOC_ESYSTEM && errno == EACCES);
	return 0;
}

static void a_file_of_root_that_all_may_read_opens_read_only(void **state)
{
	(void)state;
	char path[1024];
	if (geteuid() != 0)
		skip();
	snprintf(path, sizeof(path), "%s", scratch("map"));
	make_closed(path);
	assert_int_equal(chmod(path, 0644), 0);
	char dir[1024];
	snprintf(dir, sizeof(dir), "%s", path);
	*strrchr(dir, '/') = '\0';
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(in_child(looks_as_nobody, path), 0);
}

static void a_file_that_others_can_write_is_refused_unless_allowed(void **state)
{
	static const mode_t modes[] = {0660, 0606, 0620, 0602, 0666, 0777};
	(void)state;
	const char *path = scratch("map");
	make_closed(path);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(path, modes[i]), 0);
		assert_refused(qalloc_loadmap(path), QALLOC_EWRITABLE);
		assert_true(says(path));
		assert_refused(make_small(path), QALLOC_EWRITABLE);
		assert_opened(open_with(path, QALLOC_SHARED_WRITABLE));
		assert_int_equal(qalloc_cleanup(), 0);
	}
	assert_int_equal(chmod(path, 0644), 0);
	assert_opened(qalloc_loadmap(path));
}

static void a_new_file_has_mode_0600_whatever_the_umask(void **state)
{
	(void)state;
	struct stat st;
	mode_t old = umask(0);
	void *map = make_small(scratch("map"));
	umask(old);
	assert_opened(map);
	assert_int_equal(stat(scratch("map"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void descriptors_of_the_library_close_on_exec(void **state)
{
	(void)state;
	assert_opened(make_small(scratch("map")));
	struct stat map, st;
	assert_int_equal(stat(scratch("map"), &map), 0);
	int found = 0;
	for (int fd = 3; fd < 1024; fd++) {
		if (fstat(fd, &st) != 0 || st.st_ino != map.st_ino || st.st_dev != map.st_dev)
			continue;
		assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
		found++;
	}
	assert_true(found >= 1);
	assert_int_equal(qalloc_cleanup(), 0);
	for (int fd = 3; fd < 1024; fd++)
		assert_true(fstat(fd, &st) != 0 || st.st_ino != map.st_ino ||
			    st.st_dev != map.st_dev);
}

static void data_that_is_not_a_map_is_never_modified(void **state)
{
	(void)state;
	static uint8_t bytes[MIB];
	static const size_t sizes[] = {1, 7, 8, 255, 256, 257, 4096, 65536, 65537, MIB};
	const char *path = scratch("data");
	uint64_t seed = 42;
	for (int zeros = 0; zeros < 2; zeros++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			for (size_t k = 0; k < sizes[i]; k++)
				bytes[k] = zeros ? 0 : (uint8_t)(next_random(&seed) | 1);
			/* Written zeros are data, unless nobody can tell them from a hole. */
			if (zeros)
				bytes[sizes[i] - 1] = 1;
			write_file(path, bytes, sizes[i]);
			uint32_t before = file_checksum(path);
			/* Whether a short file is called short or not a map is all one. */
			assert_null(make_small(path));
			assert_true(qalloc_error() == QALLOC_EMAGIC ||
				    (qalloc_error() == QALLOC_ESHORT && sizes[i] < 256));
			assert_refused(qalloc_loadmap(path),
				       sizes[i] < 256 ? QALLOC_ESHORT : QALLOC_EMAGIC);
			assert_int_equal(file_size(path), sizes[i]);
			assert_int_equal(file_checksum(path), before);
		}
	}
}

static void a_sparse_file_with_one_foreign_byte_is_never_modified(void **state)
{
	(void)state;
	const char *path = scratch("data");
	static const uint64_t places[] = {0, 255, 256, 0xF000, 0xFFFF, 0x10000, 8 * MIB - 1};
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		write_file(path, "", 0);
		assert_int_equal(truncate(path, (off_t)(8 * MIB)), 0);
		patch_file(path, places[i], "x", 1);
		uint32_t before = file_checksum(path);
		assert_refused(make_small(path), QALLOC_EMAGIC);
		assert_int_equal(file_size(path), 8 * MIB);
		assert_int_equal(file_checksum(path), before);
	}
}

static void a_file_that_is_all_hole_becomes_a_map(void **state)
{
	(void)state;
	static const size_t sizes[] = {1, 4096, MIB - 1, MIB, 64 * MIB};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char name[16];
		snprintf(name, sizeof(name), "hole%zu", i);
		write_file(scratch(name), "", 0);
		assert_int_equal(truncate(scratch(name), (off_t)sizes[i]), 0);
		void *map = make_small(scratch(name));
		assert_opened(map);
		assert_int_equal(file_size(scratch(name)), MIB);
		assert_non_null(qalloc_malloc(map, 5000));
		assert_whole(map);
	}
}

static void paths_that_lead_nowhere_name_the_system_call_error(void **state)
{
	(void)state;
	static char longest[6000];
	memset(longest, 'a', sizeof(longest) - 1);
	assert_null(make_small(scratch("no/such/dir")));
	assert_int_equal(errno, ENOENT);
	assert_true(says("no/such/dir"));
	write_file(scratch("file"), "x", 1);
	assert_null(make_small(scratch("file/map")));
	assert_int_equal(errno, ENOTDIR);
	assert_null(make_small(longest));
	assert_int_equal(errno, ENAMETOOLONG);
	assert_null(qalloc_loadmap(longest));
	assert_int_equal(errno, ENAMETOOLONG);
}

/* The soft limit only: what measures coverage writes files when the child ends. */
static int limit_files(rlim_t bytes)
{
	struct rlimit limit;
	CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
	limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
	return setrlimit(RLIMIT_FSIZE, &limit);
}

static int creates_under_a_limit(void *path)
{
	CHECK(signal(SIGXFSZ, SIG_DFL) != SIG_ERR);
	CHECK(limit_files(512 * KIB) == 0);
	errno = 0;
	CHECK(make_small(path) == NULL);
	CHECK(errno == EFBIG && qalloc_error() == QALLOC_ELIMIT);
	CHECK(says(path) && says_number(MIB) && says_number(512 * KIB));
	CHECK(qalloc_makedynmap((off_t)(512 * KIB), NULL, scratch("small"), 2) != NULL);
	return limit_files(RLIM_INFINITY);
}

static void a_file_size_limit_is_an_error_and_not_a_signal(void **state)
{
	(void)state;
	assert_int_equal(in_child(creates_under_a_limit, (void *)(uintptr_t)scratch("map")), 0);
	assert_false(file_exists(scratch("map")));
	write_file(scratch("empty"), "", 0);
	assert_int_equal(in_child(creates_under_a_limit, (void *)(uintptr_t)scratch("empty")), 0);
	assert_int_equal(file_size(scratch("empty")), 0);
}

static int uses_under_a_limit(void *path)
{
	CHECK(limit_files(4096) == 0);
	void *map = make_small(path);
	CHECK(map != NULL);
	for (int i = 0; i < 50; i++) {
		void *block = qalloc_malloc(map, 10000);
		CHECK(block != NULL);
		memset(block, 1, 10000);
	}
	CHECK(qalloc_sync(map) == 0);
	return limit_files(RLIM_INFINITY);
}

static void a_map_that_exists_is_used_whatever_the_limit(void **state)
{
	(void)state;
	make_closed(scratch("map"));
	assert_int_equal(in_child(uses_under_a_limit, (void *)(uintptr_t)scratch("map")), 0);
}

static void a_descriptor_must_be_open_for_what_is_asked(void **state)
{
	(void)state;
	make_closed(scratch("map"));
	int fd = open(scratch("map"), O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	errno = 0;
	assert_null(qalloc_openfd(fd, NULL));
	assert_int_not_equal(qalloc_error(), QALLOC_OK);
	assert_true(errno == EBADF || errno == EACCES || errno == EINVAL);
	struct qalloc_options options = options_for(QALLOC_READONLY);
	assert_opened(qalloc_openfd(fd, &options));
	close(fd);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(what_is_not_a_regular_file_is_refused_at_once),
		TEST(a_symbolic_link_is_followed_only_if_allowed),
		TEST(a_foreign_owner_is_refused_unless_allowed),
		TEST(a_file_of_root_that_all_may_read_opens_read_only),
		TEST(a_file_that_others_can_write_is_refused_unless_allowed),
		TEST(a_new_file_has_mode_0600_whatever_the_umask),
		TEST(descriptors_of_the_library_close_on_exec),
		TEST(data_that_is_not_a_map_is_never_modified),
		TEST(a_sparse_file_with_one_foreign_byte_is_never_modified),
		TEST(a_file_that_is_all_hole_becomes_a_map),
		TEST(paths_that_lead_nowhere_name_the_system_call_error),
		TEST(a_file_size_limit_is_an_error_and_not_a_signal),
		TEST(a_map_that_exists_is_used_whatever_the_limit),
		TEST(a_descriptor_must_be_open_for_what_is_asked),
	};
	int failed = cmocka_run_group_tests_name("files", tests, NULL, NULL);
	if (scratch_in("/dev/shm"))
		failed += cmocka_run_group_tests_name("files, on tmpfs", tests, NULL, NULL);
	return failed != 0;
}
