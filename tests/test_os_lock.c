/* SPDX-License-Identifier: MIT */
/*
 * Locks on bytes and pins, against the real kernel: whose they are, and how long they live.
 */
#include "os_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

static void a_byte_has_one_holder_and_neighbours_are_free(void **state)
{
	int a = new_file(100), b;
	bool locked = true;

	(void)state;
	b = os_reopen(a, true);
	assert_int_equal(os_lock_byte(a, 7), 0);
	assert_int_equal(os_lock_byte(b, 7), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(os_byte_locked(a, 7, &locked), 0);
	assert_false(locked);
	assert_int_equal(os_byte_locked(b, 7, &locked), 0);
	assert_true(locked);
	assert_int_equal(os_byte_locked(b, 6, &locked), 0);
	assert_false(locked);
	assert_int_equal(os_lock_byte(b, 8), 0);
	assert_int_equal(os_unlock_byte(a, 7), 0);
	assert_int_equal(os_lock_byte(b, 7), 0);
	assert_int_equal(os_lock_byte(b, UINT64_MAX), -1);
	assert_int_equal(errno, EOVERFLOW);
	os_close(b);
	os_close(a);
	assert_int_equal(os_byte_locked(a, 7, &locked), -1);
}

static void the_first_lock_in_a_range_is_found(void **state)
{
	int a = new_file(100), b;
	bool locked = true;
	uint64_t where = 99;

	(void)state;
	b = os_reopen(a, true);
	assert_int_equal(os_lock_byte(b, 50), 0);
	assert_int_equal(os_locked_in(a, 0, 50, &locked, &where), 0);
	assert_false(locked);
	assert_int_equal(os_locked_in(a, 51, 49, &locked, &where), 0);
	assert_false(locked);
	assert_int_equal(os_locked_in(b, 0, 100, &locked, &where), 0);
	assert_false(locked);
	assert_int_equal(os_locked_in(a, 10, 90, &locked, &where), 0);
	assert_true(locked);
	assert_int_equal(where, 50);
	/* Locks side by side may be one for the kernel, which begins before the range. */
	assert_int_equal(os_lock_byte(b, 51), 0);
	assert_int_equal(os_locked_in(a, 51, 1, &locked, &where), 0);
	assert_true(locked);
	assert_int_equal(where, 51);
	assert_int_equal(os_locked_in(a, 1, UINT64_MAX, &locked, &where), -1);
	assert_int_equal(errno, EOVERFLOW);
	os_close(b);
	os_close(a);
}

static void a_reader_sees_locks_too(void **state)
{
	int a = new_file(100), b;
	bool locked = false;

	(void)state;
	b = os_reopen(a, false);
	assert_int_equal(os_lock_byte(a, 7), 0);
	assert_int_equal(os_byte_locked(b, 7, &locked), 0);
	assert_true(locked);
	os_close(b);
	os_close(a);
}

static void a_pinned_lock_outlives_its_descriptor_and_ends_with_the_pin(void **state)
{
	int fd = new_file(100), own;
	bool locked = false;
	void *pin;

	(void)state;
	own = os_reopen(fd, true);
	assert_int_equal(os_lock_byte(own, 3), 0);
	pin = os_pin_locks(own);
	assert_non_null(pin);
	os_close(own);
	assert_int_equal(os_byte_locked(fd, 3, &locked), 0);
	assert_true(locked);
	os_unmap(pin, os_page());
	assert_int_equal(os_byte_locked(fd, 3, &locked), 0);
	assert_false(locked);
	os_close(fd);
	assert_null(os_pin_locks(fd));
	assert_int_equal(errno, EBADF);
}

static void a_child_does_not_inherit_a_pinned_lock(void **state)
{
	int fd = new_file(100), own, gate[2];
	bool locked = true;
	void *pin;
	pid_t child;
	char c;

	(void)state;
	assert_int_equal(pipe(gate), 0);
	own = os_reopen(fd, true);
	assert_int_equal(os_lock_byte(own, 3), 0);
	pin = os_pin_locks(own);
	os_close(own);
	child = fork();
	if (child == 0) {
		close(gate[1]);
		_exit((int)read(gate[0], &c, 1));
	}
	os_unmap(pin, os_page());
	assert_int_equal(os_byte_locked(fd, 3, &locked), 0);
	assert_false(locked);
	close(gate[1]);
	assert_int_equal(status_of(child), 0);
	close(gate[0]);
	os_close(fd);
}

/* A child that pins byte 3, says so, and does `then`: 'k' waits for a kill, 'x' execs. */
static pid_t pinning_child(int fd, char then, int ready)
{
	char name[] = "sleep", seconds[] = "20", *argv[] = {name, seconds, NULL};
	pid_t child = fork();
	int own;

	if (child != 0)
		return child;
	own = os_reopen(fd, true);
	if (os_lock_byte(own, 3) || !os_pin_locks(own))
		_exit(1);
	os_close(own);
	if (write(ready, "!", 1) != 1)
		_exit(2);
	if (then == 'x')
		execv("/bin/sleep", argv);
	for (;;)
		pause();
}

static void a_pinned_lock_dies_with_its_process(void **state)
{
	int fd = new_file(100), ready[2];
	bool locked = false;
	pid_t child;
	char c;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	child = pinning_child(fd, 'k', ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(os_byte_locked(fd, 3, &locked), 0);
	assert_true(locked);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(status_of(child), 128 + SIGKILL);
	assert_int_equal(os_byte_locked(fd, 3, &locked), 0);
	assert_false(locked);
	close(ready[0]);
	close(ready[1]);
	os_close(fd);
}

static void a_pinned_lock_ends_at_exec(void **state)
{
	int fd = new_file(100), ready[2];
	bool locked = true;
	pid_t child;
	char c;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	child = pinning_child(fd, 'x', ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	for (int i = 0; locked && i < 1000; i++) {
		assert_int_equal(os_byte_locked(fd, 3, &locked), 0);
		os_sleep(10000);
	}
	assert_false(locked);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(status_of(child), 128 + SIGKILL);
	close(ready[0]);
	close(ready[1]);
	os_close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIR(a_byte_has_one_holder_and_neighbours_are_free),
		IN_DIR(the_first_lock_in_a_range_is_found),
		IN_DIR(a_reader_sees_locks_too),
		IN_DIR(a_pinned_lock_outlives_its_descriptor_and_ends_with_the_pin),
		IN_DIR(a_child_does_not_inherit_a_pinned_lock),
		IN_DIR(a_pinned_lock_dies_with_its_process),
		IN_DIR(a_pinned_lock_ends_at_exec),
	};

	return cmocka_run_group_tests_name("os_lock", tests, NULL, NULL);
}
