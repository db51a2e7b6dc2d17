/* SPDX-License-Identifier: MIT */
/*
 * No call is a cancellation point: a thread that is cancelled before a call comes back from
 * it, and leaves nothing held.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

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

static void fails(void)
{
	qalloc_loadmap(scratch("absent"));
	qalloc_tryfree(&map, map);
}

struct errand {
	void (*call)(void);
	bool returned;
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

static void every_call_of_a_cancelled_thread_returns(void **state)
{
	void (*const calls[])(void) = {opens, makes, allocates, syncs, looks, roots, fails};

	(void)state;
	path = scratch("map");
	map = qalloc_makedynmap((off_t)(8 * MIB), NULL, path, 2);
	assert_opened(map);
	block = qalloc_malloc(map, 300 * KIB);
	assert_non_null(block);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		expect_return(calls[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_call_of_a_cancelled_thread_returns,
						scratch_begin, scratch_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
