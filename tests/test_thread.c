/* SPDX-License-Identifier: MIT */
/*
 * What the library keeps for each thread, and its private locks.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "../src/map.h"
#include "../src/os.h"
#include "../src/thread.h"
#include "support.h"

#define THREADS 4
#define ROUNDS 2000

struct counted {
	uint32_t *lock;
	uint64_t count;
	int inside;
	bool crowded;
};

static void *counts(void *arg)
{
	struct counted *c = arg;

	for (int i = 0; i < ROUNDS; i++) {
		if (!thread_lock(c->lock))
			return NULL;
		c->count++;
		if (c->inside++)
			c->crowded = true;
		if (i % 64 == 0)
			sched_yield();
		c->inside--;
		thread_unlock(c->lock);
	}
	return c;
}

static void a_lock_lets_one_in_at_a_time(void **state)
{
	struct counted c = {.lock = os_map_wiped(os_page())};
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, counts, &c), 0);
	for (int i = 0; i < THREADS; i++) {
		void *result = NULL;

		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_ptr_equal(result, &c);
	}
	assert_int_equal(c.count, THREADS * ROUNDS);
	assert_false(c.crowded);
	assert_int_equal(*c.lock, 0);
	os_unmap(c.lock, os_page());
}

static int takes_it(void *arg)
{
	CHECK(thread_lock(arg));
	thread_unlock(arg);
	return 0;
}

static void a_child_finds_a_held_lock_free(void **state)
{
	uint32_t *lock = os_map_wiped(os_page());

	(void)state;
	assert_true(thread_lock(lock));
	assert_int_equal(in_child(takes_it, lock), 0);
	thread_unlock(lock);
	os_unmap(lock, os_page());
}

static uint32_t *interrupted;
static volatile sig_atomic_t refused;

static void on_signal(int number)
{
	(void)number;
	refused = !thread_lock(interrupted);
}

static void a_handler_that_interrupts_the_holder_is_refused(void **state)
{
	(void)state;
	interrupted = os_map_wiped(os_page());
	assert_true(signal(SIGUSR1, on_signal) != SIG_ERR);
	assert_true(thread_lock(interrupted));
	assert_int_equal(raise(SIGUSR1), 0);
	assert_true(refused);
	thread_unlock(interrupted);
	signal(SIGUSR1, SIG_DFL);
	os_unmap(interrupted, os_page());
}

static void *interrupted_map;
static volatile sig_atomic_t passed;

static bool is_busy(bool failed)
{
	bool busy = failed && qalloc_error() == QALLOC_EBUSY && errno == EAGAIN;

	errno = 0;
	return busy;
}

static void opens_and_closes(int number)
{
	(void)number;
	passed = is_busy(qalloc_loadmap(scratch("map")) == NULL) &&
		 is_busy(qalloc_makedynmap((off_t)MIB, NULL, scratch("other"), 2) == NULL) &&
		 is_busy(qalloc_closemap(interrupted_map) == -1) &&
		 is_busy(qalloc_checkpoint() == -1) && is_busy(qalloc_cleanup() == -1) &&
		 qalloc_malloc(interrupted_map, 24) != NULL;
}

static void a_handler_that_interrupts_an_opening_is_told_so(void **state)
{
	(void)state;
	interrupted_map = qalloc_makedynmap((off_t)MIB, NULL, scratch("map"), 2);
	assert_opened(interrupted_map);
	assert_true(signal(SIGUSR1, opens_and_closes) != SIG_ERR);
	/* As if in the middle of it. */
	assert_int_equal(registry_lock(), 0);
	assert_int_equal(raise(SIGUSR1), 0);
	registry_unlock();
	signal(SIGUSR1, SIG_DFL);
	assert_true(passed);
	assert_int_equal(access(scratch("other"), F_OK), -1);
	assert_ptr_equal(qalloc_loadmap(scratch("map")), interrupted_map);
	assert_int_equal(qalloc_cleanup(), 0);
}

static void *tells_its_number(void *arg)
{
	struct thread *t = thread_self();

	*(uint32_t *)arg = t->number;
	return t == thread_self() ? arg : NULL;
}

static void threads_have_different_numbers(void **state)
{
	uint32_t numbers[THREADS];
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, tells_its_number, &numbers[i]),
				 0);
	for (int i = 0; i < THREADS; i++) {
		void *result = NULL;

		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_ptr_equal(result, &numbers[i]);
		assert_int_not_equal(numbers[i], 0);
		for (int j = 0; j < i; j++)
			assert_int_not_equal(numbers[i], numbers[j]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lock_lets_one_in_at_a_time),
		cmocka_unit_test(a_child_finds_a_held_lock_free),
		cmocka_unit_test(a_handler_that_interrupts_the_holder_is_refused),
		cmocka_unit_test_setup_teardown(a_handler_that_interrupts_an_opening_is_told_so,
						scratch_begin, scratch_end),
		cmocka_unit_test(threads_have_different_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
