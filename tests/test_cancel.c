/* SPDX-License-Identifier: MIT */
/*
 * No call is a cancellation point: a thread that is cancelled before a call, or while it waits in
 * one, comes back from it, and leaves nothing held.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../src/format.h"
#include "support.h"

static const char *path;
static void *map;
static void *block;

static int visits(void *visited, size_t size, void *arg)
{
	(void)visited;
	(void)size;
	(void)arg;
	return 0;
}

static void opens(void)
{
	void *again = qalloc_loadmap(path);

	qalloc_closemap(again);
}

static void makes(void)
{
	qalloc_closemap(qalloc_makedynmap(MIB, NULL, scratch("new"), 2));
}

static void allocates(void)
{
	void *runs[80];

	/* Spans, runs, a full map, and back. */
	for (int i = 0; i < 80; i++)
		runs[i] = qalloc_malloc(map, 200 * KIB);
	for (int i = 0; i < 80; i++)
		qalloc_free(runs[i], map);
	block = qalloc_realloc(map, block, 100);
}

static void syncs(void)
{
	qalloc_sync(map);
	qalloc_checkpoint();
	qalloc_trim(map);
}

static void looks(void)
{
	struct qalloc_info info = {.size = sizeof(info)};

	qalloc_mapinfo(map, &info);
	qalloc_walk(map, visits, NULL);
	qalloc_check(map, NULL, NULL);
	qalloc_usable_size(map, block);
}

static void roots(void)
{
	qalloc_setroot(map, "root", block);
	qalloc_getroot(map, "root");
	qalloc_delroot(map, "root");
}

static void **cell;

static void publishes(void)
{
	qalloc_malloc_to(map, 100, cell);
	qalloc_realloc_to(map, 300 * KIB, cell);
	qalloc_realloc_to(map, 50, cell);
	qalloc_free_from(map, cell);
	qalloc_malloc_toroot(map, 100, "published");
	qalloc_realloc_toroot(map, 300 * KIB, "published");
	qalloc_free_fromroot(map, "published");
	qalloc_delroot(map, "published");
}

static int reaches(void *reached, size_t size, struct qalloc_marks *marks, void *arg)
{
	(void)reached;
	(void)size;
	(void)arg;
	return qalloc_mark(marks, block) != 0 || qalloc_mark(marks, cell) != 0;
}

static void repairs(void)
{
	qalloc_recover(map);
	qalloc_setroot(map, "reached", block);
	qalloc_sweep(map, reaches, NULL, NULL);
	qalloc_delroot(map, "reached");
}

static int descriptor;

static void opens_a_descriptor(void)
{
	struct qalloc_options options = options_for(QALLOC_READONLY);

	qalloc_closemap(qalloc_openfd(descriptor, &options));
	options.flags = QALLOC_VERIFY | QALLOC_GUARD;
	qalloc_closemap(qalloc_openmap(scratch("other"), &options));
}

/* All maps are closed: others than the one of this test are opened for it. */
static void cleans_up(void)
{
	qalloc_loadmap(scratch("other"));
	qalloc_cleanup();
	map = qalloc_loadmap(path);
}

static void fails(void)
{
	qalloc_loadmap(scratch("absent"));
	qalloc_tryfree(&map, map);
}

struct errand {
	void (*call)(void);
	bool begun, returned;
};

static void *runs_an_errand_cancelled(void *arg)
{
	struct errand *e = arg;

	pthread_cancel(pthread_self());
	e->call();
	e->returned = true;
	pthread_testcancel();
	return NULL;
}

static void expect_return(void (*call)(void))
{
	struct errand e = {.call = call};
	pthread_t thread;
	void *result = NULL;

	assert_int_equal(pthread_create(&thread, NULL, runs_an_errand_cancelled, &e), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_true(e.returned);
	assert_ptr_equal(result, PTHREAD_CANCELED);

	/* Nothing is held: opening, the pool, the roots. */
	opens();
	void *run = qalloc_malloc(map, 300 * KIB);

	assert_non_null(run);
	qalloc_free(run, map);
	assert_int_equal(qalloc_setroot(map, "free", run = NULL), 0);
	assert_whole(map);
}

static void make_map(size_t stream_count)
{
	path = scratch("map");
	map = qalloc_makedynmap((off_t)(8 * MIB), NULL, path, stream_count);
	assert_opened(map);
	block = qalloc_malloc(map, 300 * KIB);
	cell = qalloc_calloc(map, 1, sizeof(*cell));
	assert_non_null(block);
	assert_non_null(cell);
}

static void every_call_of_a_cancelled_thread_returns(void **state)
{
	void (*const calls[])(void) = {
		opens,     makes,   allocates,          syncs,     looks, roots, fails,
		publishes, repairs, opens_a_descriptor, cleans_up,
	};

	(void)state;
	make_map(2);
	void *other = qalloc_makedynmap((off_t)MIB, NULL, scratch("other"), 1);

	assert_opened(other);
	assert_int_equal(qalloc_closemap(other), 0);
	descriptor = open(scratch("other"), O_RDONLY | O_CLOEXEC);
	assert_true(descriptor >= 0);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		expect_return(calls[i]);
	close(descriptor);
}

/* ---- While it waits --------------------------------------------------------------------------- */

#define STREAMS 2u

static const uint64_t streams[] = {STREAMS_OFF, STREAMS_OFF + STREAM_BYTES, 0};
static const uint64_t pool[] = {STATE_POOL, 0};
static const uint64_t table_of_roots[] = {STATE_ROOTS, 0};
static bool worked;

static void waits_for_a_stream(void)
{
	worked = qalloc_malloc(map, 100) != NULL;
}

static void waits_for_a_stream_to_publish(void)
{
	worked = qalloc_malloc_to(map, 100, cell) != NULL;
}

static void waits_for_the_pool(void)
{
	worked = qalloc_malloc(map, 500 * KIB) != NULL;
}

static void waits_to_free_a_run(void)
{
	worked = qalloc_tryfree(block, map) == 0;
}

static void waits_for_the_roots(void)
{
	worked = qalloc_setroot(map, "root", cell) == 0;
}

/* In a process of its own: it lives, so what it holds is waited for. */
static int attaches_and_stays(void *arg)
{
	alarm(100); /* Should the test fail. */
	CHECK(qalloc_setroot(map, "here", NULL) == 0);
	__atomic_store_n((uint64_t *)arg, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

static void hold(const uint64_t *locks, uint64_t owner)
{
	for (; *locks != 0; locks++)
		write_word(path, *locks + LOCK_OWNER, owner);
}

static void *runs_an_errand(void *arg)
{
	struct errand *e = arg;

	__atomic_store_n(&e->begun, true, __ATOMIC_RELEASE);
	e->call();
	e->returned = true;
	pthread_testcancel();
	return NULL;
}

/* The wait ends because the lock is let go, or, if it never is, after its second. */
static void expect_return_from_wait(void (*call)(void), const uint64_t *locks, uint64_t owner,
				    bool let_go)
{
	struct errand e = {.call = call};
	pthread_t thread;
	void *result = NULL;

	worked = false;
	hold(locks, owner);
	assert_int_equal(pthread_create(&thread, NULL, runs_an_errand, &e), 0);
	while (!__atomic_load_n(&e.begun, __ATOMIC_ACQUIRE))
		rest_usec(1000);
	rest_usec(50000);
	assert_int_equal(pthread_cancel(thread), 0);
	rest_usec(50000);
	if (let_go) {
		hold(locks, 0);
	}
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_true(e.returned);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	assert_int_equal(worked, let_go);
	hold(locks, 0);
	assert_whole(map);
}

static void a_thread_that_is_cancelled_while_it_waits_returns(void **state)
{
	uint64_t *ready = shared_words(1);

	(void)state;
	make_map(STREAMS);
	pid_t pid = start_child(attaches_and_stays, ready);

	while (__atomic_load_n(ready, __ATOMIC_ACQUIRE) == 0)
		rest_usec(1000);
	uint64_t epoch = (uint32_t)read_word(path, SLOTS_OFF + SLOT_BYTES + SLOT_EPOCH);
	uint64_t owner = epoch << 32 | (uint64_t)1 << OWNER_THREAD_BITS | 9;

	for (int i = 0; i < 2; i++) {
		bool let_go = i == 1;

		expect_return_from_wait(waits_for_a_stream, streams, owner, let_go);
		expect_return_from_wait(waits_for_a_stream_to_publish, streams, owner, let_go);
		expect_return_from_wait(waits_for_the_pool, pool, owner, let_go);
		expect_return_from_wait(waits_to_free_a_run, pool, owner, let_go);
		expect_return_from_wait(waits_for_the_roots, table_of_roots, owner, let_go);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(wait_child(pid), SIGNALLED + SIGKILL);
	release_shared_words(ready, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_begin, scratch_end)
		TEST(every_call_of_a_cancelled_thread_returns),
		TEST(a_thread_that_is_cancelled_while_it_waits_returns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
