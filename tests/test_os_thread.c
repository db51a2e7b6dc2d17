/* SPDX-License-Identifier: MIT */
/*
 * Waiting, time, the pointer of a thread, and what fork() does to them.
 */
#include "os_dir.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

static void a_wait_is_bounded_and_leaves_errno_alone(void **state)
{
	uint32_t *word =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t start = os_now_usec();

	(void)state;
	assert_ptr_not_equal(word, MAP_FAILED);
	errno = ENODATA;
	os_wait_word(word, 0, 20000);
	assert_true(os_now_usec() - start >= 15000);
	start = os_now_usec();
	os_wait_word(word, 1, 20000000);
	assert_true(os_now_usec() - start < 10000000);
	start = os_now_usec();
	os_sleep(20000);
	assert_true(os_now_usec() - start >= 20000);
	assert_int_equal(errno, ENODATA);
	munmap(word, 4096);
}

static void a_waiter_in_another_process_is_woken(void **state)
{
	uint32_t *word =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t start = os_now_usec();
	pid_t child;

	(void)state;
	child = fork();
	if (child == 0) {
		while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == 0)
			os_wait_word(word, 0, 60000000);
		_exit(0);
	}
	os_sleep(50000);
	__atomic_store_n(word, 1, __ATOMIC_RELEASE);
	os_wake_word(word);
	assert_int_equal(status_of(child), 0);
	assert_true(os_now_usec() - start < 30000000);
	munmap(word, 4096);
}

static void time_chance_and_identity(void **state)
{
	unsigned char a[300] = {0}, b[300] = {0};
	uint64_t boot[2], again[2];

	(void)state;
	assert_true(os_clock_sec() > 1600000000);
	os_random(a, sizeof(a));
	os_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	os_boot_id(boot);
	os_boot_id(again);
	assert_memory_equal(boot, again, sizeof(boot));
	assert_true(boot[0] != 0 || boot[1] != 0);
	assert_int_equal(os_pid(), getpid());
}

/* ---- Threads ------------------------------------------------------------ */

static void *thread_with_pointer(void *arg)
{
	uint64_t *p = os_map_private(4096);

	(void)arg;
	if (os_thread_get() != NULL)
		return NULL;
	os_thread_set(p, 4096);
	*p = 0x6f75727320737461;
	return os_thread_get() == p ? p : NULL;
}

static void the_pointer_is_the_threads_own_and_unmapped_at_its_end(void **state)
{
	pthread_t thread;
	void *result;
	char line[64];

	(void)state;
	assert_null(os_thread_get());
	assert_int_equal(pthread_create(&thread, NULL, thread_with_pointer, NULL), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_non_null(result);
	assert_null(os_thread_get());
	/* Another mapping may have moved in. */
	os_mapping_at((uintptr_t)result, 4096, line, sizeof(line));
	if (strstr(line, " rw-p "))
		assert_true(*(volatile uint64_t *)result != 0x6f75727320737461);
}

static void *thread_that_unsets(void *arg)
{
	void *p = os_map_private(4096);

	os_thread_set(p, 4096);
	os_thread_set(NULL, 0);
	*(volatile char *)p = 1;
	(void)arg;
	return p;
}

static void a_pointer_that_was_unset_is_not_unmapped(void **state)
{
	pthread_t thread;
	void *result;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, thread_that_unsets, NULL), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_int_equal(*(volatile char *)result, 1);
	os_unmap(result, 4096);
}

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

static void signals_wait_until_they_are_restored(void **state)
{
	struct sigaction on = {.sa_handler = count_signal}, before;
	struct os_signals saved;

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &on, &before), 0);
	os_signals_off(&saved);
	raise(SIGUSR1);
	assert_int_equal(signals, 0);
	os_signals_restore(&saved);
	assert_int_equal(signals, 1);
	assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

static void *cancelled(void *arg)
{
	int before = os_cancel_off();

	pthread_testcancel();
	*(int *)arg = 1;
	os_cancel_restore(before);
	pthread_testcancel();
	*(int *)arg = 2;
	return NULL;
}

static void *cancels_itself(void *arg)
{
	pthread_cancel(pthread_self());
	return cancelled(arg);
}

static void cancellation_waits_until_it_is_restored(void **state)
{
	pthread_t thread;
	void *result;
	int reached = 0;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, cancels_itself, &reached), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	assert_int_equal(reached, 1);
}

static void *forks(void *arg)
{
	uint64_t start = os_now_usec();
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	*(uint64_t *)arg = os_now_usec() - start;
	return status_of(child) == 0 ? arg : NULL;
}

static void fork_waits_for_holders_but_not_for_ever(void **state)
{
	uint64_t took = 0, start;
	pthread_t thread;
	void *result;
	pid_t child;

	(void)state;
	os_fork_hold();
	assert_int_equal(pthread_create(&thread, NULL, forks, &took), 0);
	os_sleep(100000);
	os_fork_release();
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_non_null(result);
	assert_true(took >= 50000);

	os_fork_hold();
	assert_int_equal(pthread_create(&thread, NULL, forks, &took), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_non_null(result);
	/* The holder itself does not wait, and its child holds too. */
	start = os_now_usec();
	child = fork();
	if (child == 0) {
		os_fork_release();
		os_fork_hold();
		os_fork_release();
		_exit(0);
	}
	assert_true(os_now_usec() - start < 900000);
	os_fork_release();
	assert_int_equal(status_of(child), 0);
}

static void die_writes_the_text_and_aborts(void **state)
{
	int out[2];
	char text[64] = {0};
	pid_t child;

	(void)state;
	assert_int_equal(pipe(out), 0);
	child = fork();
	if (child == 0) {
		struct rlimit none = {0, 0};

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		dup2(out[1], STDERR_FILENO);
		os_die("the last words\n");
	}
	assert_int_equal(status_of(child), 128 + SIGABRT);
	assert_int_equal(read(out[0], text, sizeof(text) - 1), 15);
	assert_string_equal(text, "the last words\n");
	close(out[0]);
	close(out[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wait_is_bounded_and_leaves_errno_alone),
		cmocka_unit_test(a_waiter_in_another_process_is_woken),
		cmocka_unit_test(time_chance_and_identity),
		cmocka_unit_test(the_pointer_is_the_threads_own_and_unmapped_at_its_end),
		cmocka_unit_test(a_pointer_that_was_unset_is_not_unmapped),
		cmocka_unit_test(signals_wait_until_they_are_restored),
		cmocka_unit_test(cancellation_waits_until_it_is_restored),
		cmocka_unit_test(fork_waits_for_holders_but_not_for_ever),
		cmocka_unit_test(die_writes_the_text_and_aborts),
	};

	return cmocka_run_group_tests_name("os_thread", tests, NULL, NULL);
}
