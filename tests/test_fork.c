/* SPDX-License-Identifier: MIT */
/*
 * Processes that come from one another, and signal handlers that come between: the map
 * is usable at once, by whoever lives, and no block goes to two.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "support.h"
#include "works.h"

extern char **environ;

static void *dynamic_map(size_t streams)
{
	void *map = qalloc_makedynmap((off_t)(8 * MIB), NULL, scratch("map"), streams);
	assert_opened(map);
	return map;
}

static int works_and_keeps_3(void *map)
{
	return works(map, 1, 500, 3);
}

static void a_child_uses_the_map_at_once(void **state)
{
	(void)state;
	void *map = dynamic_map(2);
	assert_int_equal(in_child(works_and_keeps_3, map), 0);
	assert_int_equal(count_live(map), 3);
	/* Also when the parent used it before, and while it goes on. */
	assert_non_null(qalloc_malloc(map, 10));
	pid_t pid = start_child(works_and_keeps_3, map);
	assert_int_equal(works(map, 2, 500, 3), 0);
	assert_int_equal(wait_child(pid), 0);
	assert_int_equal(count_live(map), 10);
	assert_whole(map);
}

static int grandchild_works(void *map)
{
	CHECK(works(map, 3, 300, 1) == 0);
	CHECK(in_child(works_and_keeps_3, map) == 0);
	return works(map, 4, 300, 1);
}

static void a_grandchild_uses_the_map_too(void **state)
{
	(void)state;
	void *map = dynamic_map(1);
	assert_int_equal(in_child(grandchild_works, map), 0);
	assert_int_equal(count_live(map), 5);
	assert_whole(map);
}

/* ---- Who outlives whom ------------------------------------------------------------ */

struct family {
	void *map;
	uint64_t *words;
};

static int works_when_the_parent_is_gone(void *arg)
{
	struct family *family = arg;
	while (__atomic_load_n(&family->words[0], __ATOMIC_ACQUIRE) == 0)
		sched_yield();
	/* The parent's slot is free now, its streams were left by a dead one. */
	int result = works(family->map, 5, 2000, 7);
	__atomic_store_n(&family->words[1], result == 0 ? 1 : 2, __ATOMIC_RELEASE);
	return result;
}

static int forks_and_leaves(void *arg)
{
	struct family *family = arg;
	CHECK(works(family->map, 6, 100, 2) == 0);
	start_child(works_when_the_parent_is_gone, family);
	return 0;
}

static void a_child_outlives_its_parent(void **state)
{
	(void)state;
	struct family family = {dynamic_map(1), shared_words(2)};
	assert_int_equal(in_child(forks_and_leaves, &family), 0);
	__atomic_store_n(&family.words[0], 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&family.words[1], __ATOMIC_ACQUIRE) == 0)
		sched_yield();
	assert_int_equal(family.words[1], 1);
	assert_int_equal(count_live(family.map), 9);
	assert_whole(family.map);
	release_shared_words(family.words, 2);
}

static int allocates_for_ever(void *map)
{
	for (;;)
		CHECK(qalloc_tryfree(patient_malloc(map, 100), map) == 0);
}

static void a_parent_outlives_children_that_are_killed(void **state)
{
	(void)state;
	void *map = dynamic_map(1);
	size_t killed = 0;
	for (unsigned round = 0; round < 30; round++) {
		pid_t pid = start_child(allocates_for_ever, map);
		assert_int_equal(works(map, round, 200 + round * 20, 0), 0);
		kill(pid, SIGKILL);
		killed += wait_child(pid) == SIGNALLED + SIGKILL;
		assert_int_equal(works(map, round, 100, 0), 0);
	}
	assert_int_equal(killed, 30);
	assert_true(count_live(map) <= killed);
	assert_whole(map);
}

static int allocates_and_stores(void *arg)
{
	struct family *family = arg;
	for (int i = 0; i < 100; i++) {
		void *block = qalloc_malloc(family->map, (size_t)i * 40);
		CHECK(block != NULL);
		fill(block, (size_t)i * 40, 1);
		family->words[i] = (uint64_t)(uintptr_t)block;
	}
	return 0;
}

static int frees_what_is_stored(void *arg)
{
	struct family *family = arg;
	for (int i = 0; i < 100; i++) {
		void *block = (void *)(uintptr_t)family->words[i];
		CHECK(is_filled(block, (size_t)i * 40, 1));
		CHECK(qalloc_tryfree(block, family->map) == 0);
		CHECK(qalloc_tryfree(block, family->map) == -1);
	}
	return 0;
}

static void a_block_of_one_process_is_freed_in_another(void **state)
{
	(void)state;
	struct family family = {dynamic_map(3), shared_words(100)};
	assert_int_equal(in_child(allocates_and_stores, &family), 0);
	assert_int_equal(frees_what_is_stored(&family), 0);
	assert_int_equal(count_live(family.map), 0);
	assert_int_equal(allocates_and_stores(&family), 0);
	assert_int_equal(in_child(frees_what_is_stored, &family), 0);
	assert_int_equal(count_live(family.map), 0);
	assert_int_equal(in_child(allocates_and_stores, &family), 0);
	assert_int_equal(in_child(frees_what_is_stored, &family), 0);
	assert_int_equal(count_live(family.map), 0);
	assert_whole(family.map);
	release_shared_words(family.words, 100);
}

struct one_of_many {
	void *map;
	uint64_t seed;
};

static int works_with_its_seed(void *arg)
{
	struct one_of_many *one = arg;
	return works(one->map, one->seed, 300, 2);
}

static void fifty_children_work_at_once(void **state)
{
	(void)state;
	enum { CHILDREN = 50 };
	pid_t pids[CHILDREN];
	struct one_of_many ones[CHILDREN];
	void *map = dynamic_map(4);
	for (uint64_t i = 0; i < CHILDREN; i++) {
		ones[i] = (struct one_of_many){map, i};
		pids[i] = start_child(works_with_its_seed, &ones[i]);
	}
	for (int i = 0; i < CHILDREN; i++)
		assert_int_equal(wait_child(pids[i]), 0);
	assert_int_equal(count_live(map), 2 * CHILDREN);
	assert_whole(map);
	assert_int_equal(info_of(map).processes, 1);
}

/* ---- Descriptors and exec ----------------------------------------------------------- */

static int works_without_descriptors(void *map)
{
	closefrom(3);
	CHECK(works(map, 7, 500, 1) == 0);
	/* And when the numbers belong to something else. */
	closefrom(3);
	for (int i = 3; i < 20; i++)
		CHECK(open("/dev/null", O_RDWR) == i);
	CHECK(works(map, 8, 500, 1) == 0);
	CHECK(qalloc_malloc(map, 3 * MIB) != NULL);
	CHECK(qalloc_sync(map) == 0);
	CHECK(qalloc_cleanup() == 0);
	for (int i = 3; i < 20; i++)
		CHECK(fcntl(i, F_GETFD) >= 0); /* not the library's to close */
	return 0;
}

static void a_child_that_closed_all_descriptors_goes_on(void **state)
{
	(void)state;
	void *map = dynamic_map(2);
	assert_int_equal(in_child(works_without_descriptors, map), 0);
	assert_non_null(qalloc_malloc(map, 10));
	assert_int_equal(in_child(works_without_descriptors, map), 0);
	assert_whole(map);
}

static int loads_and_works(const char *path)
{
	void *map = qalloc_loadmap(path);
	CHECK(map != NULL);
	CHECK(works(map, 9, 300, 4) == 0);
	return qalloc_cleanup();
}

static char program[4096];

static void a_spawned_program_joins_the_map(void **state)
{
	(void)state;
	char path[1024];
	void *map = dynamic_map(2);
	snprintf(path, sizeof(path), "%s", scratch("map"));
	char name[] = "--role", role[] = "join";
	char *args[] = {program, name, role, path, NULL};
	assert_non_null(qalloc_malloc(map, 10));
	for (int i = 0; i < 3; i++) {
		pid_t pid;
		assert_int_equal(posix_spawn(&pid, program, NULL, NULL, args, environ), 0);
		assert_int_equal(works(map, 10, 300, 0), 0);
		assert_int_equal(wait_child(pid), 0);
	}
	assert_int_equal(count_live(map), 13);
	assert_whole(map);
	/* vfork's child shares our memory until it execs: nothing of ours may end with it. */
	assert_int_equal(info_of(map).processes, 1);
	assert_int_equal(works(map, 11, 300, 0), 0);
}

/* ---- Threads that fork --------------------------------------------------------------- */

static void a_fork_while_other_threads_allocate_leaves_both_sides_usable(void **state)
{
	(void)state;
	struct busy busy;
	void *map = dynamic_map(2);
	assert_int_equal(busy_begin(&busy, map), 0);
	for (int i = 0; i < 40; i++)
		assert_int_equal(in_child(works_and_keeps_3, map), 0);
	assert_int_equal(busy_end(&busy), 0);
	assert_int_equal(count_live(map), 120);
	assert_whole(map);
}

/* ---- Signal handlers ------------------------------------------------------------------ */

static void *signal_map;
static volatile sig_atomic_t signals, signal_failures, signal_refusals;

static void allocates_in_a_handler(int number)
{
	(void)number;
	int saved = errno;
	unsigned char *block = qalloc_malloc(signal_map, 48);
	signals++;
	if (block == NULL) {
		signal_refusals++;
		/* Only this may happen to a handler. */
		if (errno != EAGAIN)
			signal_failures++;
	} else {
		fill(block, 48, (uint64_t)signals);
		if (!is_filled(block, 48, (uint64_t)signals) ||
		    qalloc_tryfree(block, signal_map) != 0)
			signal_failures++;
	}
	errno = saved;
}

static void a_handler_that_interrupts_a_call_may_allocate(size_t streams)
{
	signal_map = dynamic_map(streams);
	signals = signal_failures = signal_refusals = 0;
	struct sigaction action = {.sa_handler = allocates_in_a_handler, .sa_flags = SA_RESTART};
	sigemptyset(&action.sa_mask);
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	const struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	const int wanted = under_valgrind() ? 50 : 3000;
	int result = 0;
	while (signals < wanted && result == 0)
		result = works(signal_map, 13, 200, 0);
	setitimer(ITIMER_REAL, &never, NULL);
	/* One may be on its way still. */
	assert_true(signal(SIGALRM, SIG_IGN) != SIG_ERR);
	assert_int_equal(result, 0);
	assert_int_equal(signal_failures, 0);
	/* With a stream to spare most succeed. */
	if (streams > 1)
		assert_true(signal_refusals < signals / 2);
	assert_int_equal(count_live(signal_map), 0);
	assert_whole(signal_map);
	assert_int_equal(qalloc_cleanup(), 0);
	assert_int_equal(unlink(scratch("map")), 0);
}

static void signal_handlers_may_allocate_while_the_program_does(void **state)
{
	(void)state;
	a_handler_that_interrupts_a_call_may_allocate(2);
	a_handler_that_interrupts_a_call_may_allocate(1);
}

int main(int argc, char **argv)
{
	static const struct role table[] = {{"join", loads_and_works}};
	roles(argc, argv, table, 1);
	if (realpath(argv[0], program) == NULL)
		return 1;
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(a_child_uses_the_map_at_once),
		TEST(a_grandchild_uses_the_map_too),
		TEST(a_child_outlives_its_parent),
		TEST(a_parent_outlives_children_that_are_killed),
		TEST(a_block_of_one_process_is_freed_in_another),
		TEST(fifty_children_work_at_once),
		TEST(a_child_that_closed_all_descriptors_goes_on),
		TEST(a_spawned_program_joins_the_map),
		TEST(a_fork_while_other_threads_allocate_leaves_both_sides_usable),
		TEST(signal_handlers_may_allocate_while_the_program_does),
	};
	return cmocka_run_group_tests_name("fork", tests, NULL, NULL) != 0;
}
