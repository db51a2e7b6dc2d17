/* SPDX-License-Identifier: MIT */
/*
 * Files, against the real kernel.  A test that needs O_TMPFILE or
 * fallocate() skips where the file system of the directory does not have it.
 */
#include "os_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

static void a_new_file_is_private_and_close_on_exec(void **state)
{
	int fd = os_open(path, OS_WRITE | OS_CREATE_NEW);
	struct os_file f;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(os_identify(fd, &f), 0);
	assert_int_equal(f.mode, 0600);
	assert_int_equal(f.kind, OS_REGULAR);
	assert_int_equal(f.size, 0);
	assert_int_equal(f.owner, os_user());
	assert_true(f.writable && f.readable);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(os_open(path, OS_WRITE | OS_CREATE_NEW), -1);
	assert_int_equal(errno, EEXIST);
	os_close(fd);
}

static void open_refuses_a_symlink_unless_told_to_follow(void **state)
{
	char other[512];
	int fd;

	(void)state;
	os_close(new_file(1));
	snprintf(other, sizeof(other), "%s/link", dir);
	assert_int_equal(symlink(path, other), 0);
	assert_int_equal(os_open(other, 0), -1);
	assert_int_equal(errno, ELOOP);
	fd = os_open(other, OS_FOLLOW);
	assert_true(fd >= 0);
	os_close(fd);
}

static void open_does_not_hang_on_a_fifo(void **state)
{
	struct os_file f;
	int fd;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	fd = os_open(path, 0);
	assert_true(fd >= 0);
	assert_int_equal(os_identify(fd, &f), 0);
	assert_int_equal(f.kind, OS_OTHER);
	os_close(fd);
}

static void identify_tells_how_the_descriptor_was_opened(void **state)
{
	struct os_file a, b;
	int fd = new_file(100), other;

	(void)state;
	other = os_open(path, 0);
	assert_int_equal(os_identify(fd, &a), 0);
	assert_int_equal(os_identify(other, &b), 0);
	assert_true(a.device == b.device && a.inode == b.inode && a.size == 100 && b.size == 100);
	assert_true(b.readable && !b.writable);
	os_close(other);
	other = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(os_identify(other, &b), 0);
	assert_true(!b.readable && b.writable);
	os_close(other);
	other = open(path, O_PATH | O_CLOEXEC);
	assert_int_equal(os_identify(other, &b), 0);
	assert_true(!b.readable && !b.writable);
	os_close(other);
	assert_int_equal(os_identify(other, &b), -1);
	assert_int_equal(errno, EBADF);
	os_close(fd);
}

static void close_keeps_errno(void **state)
{
	(void)state;
	errno = ENODATA;
	os_close(-1);
	os_close(1000000);
	assert_int_equal(errno, ENODATA);
}

static void an_unnamed_file_gets_its_name_once(void **state)
{
	int fd = os_open_unnamed(path), again, second;
	struct os_file a, b;
	size_t got;
	char text[8];

	(void)state;
	if (fd < 0)
		skip();
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(os_write_at(fd, "whole", 5, 0), 0);
	assert_int_equal(os_identify(fd, &a), 0);
	assert_int_equal(a.mode, 0600);
	assert_int_equal(os_link_unnamed(fd, path), 0);
	again = os_open(path, 0);
	assert_int_equal(os_identify(again, &b), 0);
	assert_true(a.inode == b.inode);
	assert_int_equal(os_read_at(again, text, sizeof(text), 0, &got), 0);
	assert_int_equal(got, 5);
	assert_memory_equal(text, "whole", 5);
	second = os_open_unnamed(path);
	assert_int_equal(os_link_unnamed(second, path), -1);
	assert_int_equal(errno, EEXIST);
	os_close(second);
	os_close(again);
	os_close(fd);
}

static void a_path_without_a_directory_means_the_working_directory(void **state)
{
	char here[4096];
	int fd;

	(void)state;
	assert_non_null(getcwd(here, sizeof(here)));
	assert_int_equal(chdir(dir), 0);
	fd = os_open_unnamed("file");
	if (fd >= 0)
		assert_int_equal(os_link_unnamed(fd, "file"), 0);
	assert_int_equal(os_sync_dir("file"), 0);
	assert_int_equal(chdir(here), 0);
	assert_int_equal(os_sync_dir("/file"), 0);
	if (fd >= 0)
		assert_int_equal(access(path, F_OK), 0);
	os_close(fd);
}

static void a_directory_that_is_absent_or_too_long_is_an_error(void **state)
{
	static char longer[8192];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[5000] = '/';
	assert_int_equal(os_open_unnamed(longer), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(os_sync_dir(longer), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(os_sync_dir("/nowhere/at/all"), -1);
	assert_int_equal(errno, ENOENT);
}

static void reopen_is_a_description_of_its_own_even_when_unlinked(void **state)
{
	struct os_file a, b;
	int fd = new_file(10), other;
	bool locked = false;

	(void)state;
	assert_int_equal(unlink(path), 0);
	other = os_reopen(fd, true);
	assert_true(other >= 0);
	assert_int_equal(os_identify(fd, &a), 0);
	assert_int_equal(os_identify(other, &b), 0);
	assert_true(a.inode == b.inode && b.writable);
	assert_int_equal(os_lock_byte(other, 5), 0);
	assert_int_equal(os_byte_locked(fd, 5, &locked), 0);
	assert_true(locked);
	os_close(other);
	other = os_reopen(fd, false);
	assert_int_equal(os_identify(other, &b), 0);
	assert_false(b.writable);
	os_close(other);
	os_close(fd);
	assert_int_equal(os_reopen(1000000, true), -1);
	assert_int_equal(errno, ENOENT);
}

static void a_local_file_is_not_on_the_network(void **state)
{
	int fd = os_open("/proc/self/maps", 0);
	bool network = true;

	(void)state;
	assert_int_equal(os_is_network(fd, &network), 0);
	assert_false(network);
	assert_false(os_copies_on_write(fd));
	os_close(fd);
	/* When nobody knows, the worse is true. */
	assert_true(os_copies_on_write(fd));
	assert_int_equal(os_is_network(fd, &network), -1);
}

static void reads_are_short_only_at_the_end(void **state)
{
	unsigned char buf[64];
	int fd = new_file(0);
	size_t got = 99;

	(void)state;
	memset(buf, 'a', sizeof(buf));
	assert_int_equal(os_write_at(fd, buf, 40, 10), 0);
	assert_int_equal(os_read_at(fd, buf, 64, 0, &got), 0);
	assert_int_equal(got, 50);
	assert_int_equal(buf[9], 0);
	assert_int_equal(buf[10], 'a');
	assert_int_equal(os_read_at(fd, buf, 64, 50, &got), 0);
	assert_int_equal(got, 0);
	assert_int_equal(os_read_at(fd, buf, 64, UINT64_MAX, &got), -1);
	assert_int_equal(errno, EOVERFLOW);
	assert_int_equal(os_write_at(fd, buf, 1, INT64_MAX), -1);
	assert_int_equal(os_set_size(fd, UINT64_MAX), -1);
	os_close(fd);
	assert_int_equal(os_read_at(fd, buf, 64, 0, &got), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(os_write_at(fd, buf, 64, 0), -1);
	assert_int_equal(os_set_size(fd, 0), -1);
}

static void the_size_limit_is_that_of_the_process(void **state)
{
	struct rlimit before, small;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 4096;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(os_size_limit(), 4096);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	if (before.rlim_cur == RLIM_INFINITY)
		assert_true(os_size_limit() == UINT64_MAX);
}

static void reserve_takes_space_and_keeps_the_size(void **state)
{
	struct os_file f;
	int fd = new_file(1000);

	(void)state;
	if (os_reserve(fd, 0, 1 << 20)) {
		assert_int_equal(errno, EOPNOTSUPP);
		skip();
	}
	assert_int_equal(os_identify(fd, &f), 0);
	assert_int_equal(f.size, 1000);
	assert_true(f.disk_bytes >= 1 << 20);
	assert_int_equal(os_reserve(fd, INT64_MAX, 2), -1);
	assert_int_equal(errno, EOVERFLOW);
	os_close(fd);
	assert_int_equal(os_reserve(fd, 0, 1), -1);
	assert_int_equal(errno, EBADF);
}

static void ignore_signal(int number)
{
	(void)number;
}

static void reserve_ends_while_signals_keep_coming(void **state)
{
	struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
	struct sigaction on = {.sa_handler = ignore_signal};
	int fd = new_file(64 << 20), rc;

	(void)state;
	assert_int_equal(sigaction(SIGALRM, &on, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	rc = os_reserve(fd, 0, 64 << 20);
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	/* The handler stays: under valgrind a last signal may come late. */
	assert_true(rc == 0 || errno == EOPNOTSUPP || errno == ENOSPC);
	os_close(fd);
}

static void data_and_holes_are_found(void **state)
{
	int fd = new_file(4 << 20);
	uint64_t at = 0;

	(void)state;
	assert_int_equal(os_write_at(fd, "x", 1, 2 << 20), 0);
	assert_int_equal(os_next_data(fd, 0, &at), 0);
	assert_true(at <= 2 << 20);
	assert_int_equal(os_next_hole(fd, 2 << 20, &at), 0);
	assert_true(at > 2 << 20 && at <= 4 << 20);
	errno = EDOM;
	assert_int_equal(os_next_data(fd, 4 << 20, &at), 0);
	assert_true(at == UINT64_MAX);
	assert_int_equal(errno, EDOM);
	assert_int_equal(os_next_hole(fd, UINT64_MAX, &at), -1);
	assert_int_equal(os_sync_file(fd), 0);
	os_close(fd);
	assert_int_equal(os_sync_file(fd), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIR(a_new_file_is_private_and_close_on_exec),
		IN_DIR(open_refuses_a_symlink_unless_told_to_follow),
		IN_DIR(open_does_not_hang_on_a_fifo),
		IN_DIR(identify_tells_how_the_descriptor_was_opened),
		cmocka_unit_test(close_keeps_errno),
		IN_DIR(an_unnamed_file_gets_its_name_once),
		IN_DIR(a_path_without_a_directory_means_the_working_directory),
		cmocka_unit_test(a_directory_that_is_absent_or_too_long_is_an_error),
		IN_DIR(reopen_is_a_description_of_its_own_even_when_unlinked),
		cmocka_unit_test(a_local_file_is_not_on_the_network),
		IN_DIR(reads_are_short_only_at_the_end),
		cmocka_unit_test(the_size_limit_is_that_of_the_process),
		IN_DIR(reserve_takes_space_and_keeps_the_size),
		IN_DIR(reserve_ends_while_signals_keep_coming),
		IN_DIR(data_and_holes_are_found),
	};

	return cmocka_run_group_tests_name("os_file", tests, NULL, NULL);
}
