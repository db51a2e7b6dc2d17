/* SPDX-License-Identifier: MIT */
/*
 * Many at once: 300 programs attached to one map, the last slot taken, and fifty times as many
 * threads as streams.
 *
 *  - The programs are new process images, each with its own opening of the file; they meet at a
 *    gate in a block of the map, so that all are attached before any goes on.
 *  - What the 1024 slots lack of 300 processes is locked by the test itself.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "../src/format.h"
#include "support.h"
#include "works.h"

#define CROWD 300

struct gate {
	uint64_t arrived, open, finished, leave;
};

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void add(uint64_t *word)
{
	__atomic_fetch_add(word, 1, __ATOMIC_ACQ_REL);
}

/* The role: attaches, waits for all others, works among them, and leaves when told. */
static int is_one_of_many(const char *path)
{
	/* None is left over when the test fails. */
	CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
	void *map = qalloc_loadmap(path);
	CHECK(map != NULL);
	struct gate *gate = qalloc_getroot(map, "gate");
	CHECK(gate != NULL);
	void *block = patient_malloc(map, 64);
	CHECK(block != NULL);
	fill(block, 64, (uint64_t)getpid());
	add(&gate->arrived);
	while (load(&gate->open) == 0)
		rest_usec(2000);
	CHECK(works(map, (uint64_t)getpid(), 200, 2) == 0);
	CHECK(is_filled(block, 64, (uint64_t)getpid()));
	CHECK(qalloc_tryfree(block, map) == 0);
	add(&gate->finished);
	while (load(&gate->leave) == 0)
		rest_usec(2000);
	return qalloc_cleanup();
}

struct crowd {
	void *map;
	struct gate *gate;
	pid_t pids[CROWD];
};

static void wait_until(const uint64_t *word, uint64_t wanted)
{
	const uint64_t deadline = now_msec() + 60000;

	while (load(word) < wanted && now_msec() < deadline)
		rest_usec(2000);
	assert_int_equal(load(word), wanted);
}

/* All are attached, and wait. */
static void crowd_begin(struct crowd *c)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s", scratch("map"));
	c->map = qalloc_makedynmap((off_t)(16 * MIB), NULL, path, 4);
	assert_opened(c->map);
	c->gate = qalloc_calloc(c->map, 1, sizeof(*c->gate));
	assert_non_null(c->gate);
	assert_int_equal(qalloc_setroot(c->map, "gate", c->gate), 0);
	for (size_t i = 0; i < CROWD; i++)
		c->pids[i] = start_role("one-of-many", path);
	wait_until(&c->gate->arrived, CROWD);
}

static void crowd_works(struct crowd *c, uint64_t count)
{
	__atomic_store_n(&c->gate->open, 1, __ATOMIC_RELEASE);
	wait_until(&c->gate->finished, count);
}

/* Kills every third; the others leave as they should. */
static void crowd_ends(struct crowd *c)
{
	for (size_t i = 0; i < CROWD; i += 3)
		kill(c->pids[i], SIGKILL);
	__atomic_store_n(&c->gate->leave, 1, __ATOMIC_RELEASE);
	for (size_t i = 0; i < CROWD; i++)
		assert_int_equal(wait_bounded(c->pids[i]), i % 3 == 0 ? SIGNALLED + SIGKILL : 0);
}

static void three_hundred_programs_share_a_map(void **state)
{
	static struct crowd c;

	(void)state;
	crowd_begin(&c);
	assert_int_equal(info_of(c.map).processes, CROWD + 1);
	assert_int_equal(count_live(c.map), CROWD + 1);
	assert_int_equal(works(c.map, 1, 500, 0), 0);
	crowd_works(&c, CROWD);
	assert_int_equal(count_live(c.map), 2 * CROWD + 1);
	assert_int_equal(info_of(c.map).processes, CROWD + 1);
	crowd_ends(&c);
	assert_int_equal(info_of(c.map).processes, 1);
	assert_int_equal(count_live(c.map), 2 * CROWD + 1);
	assert_whole(c.map);
}

/* Killed where they are, among each other, and not at a gate. */
static void three_hundred_programs_that_are_killed_leave_a_whole_map(void **state)
{
	static struct crowd c;

	(void)state;
	crowd_begin(&c);
	__atomic_store_n(&c.gate->open, 1, __ATOMIC_RELEASE);
	for (size_t i = 0; i < CROWD; i++)
		kill(c.pids[i], SIGKILL);
	for (size_t i = 0; i < CROWD; i++)
		assert_int_equal(wait_bounded(c.pids[i]), SIGNALLED + SIGKILL);
	assert_int_equal(info_of(c.map).processes, 1);
	assert_true(count_live(c.map) <= 54 * CROWD);
	assert_int_equal(works(c.map, 2, 2000, 0), 0);
	assert_whole(c.map);
}

/* ---- The last slot -------------------------------------------------------------------- */

static int cannot_attach(void *map)
{
	struct gate *gate = qalloc_getroot(map, "gate");
	CHECK(gate != NULL);
	errno = 0;
	CHECK(qalloc_malloc(map, 10) == NULL);
	CHECK(qalloc_error() == QALLOC_ESLOTS && errno == EUSERS);
	CHECK(says_number(QALLOC_PROCESSES_MAX));
	errno = 0;
	CHECK(qalloc_tryfree(gate, map) == -1);
	CHECK(qalloc_error() == QALLOC_ESLOTS && errno == EUSERS);
	CHECK(qalloc_setroot(map, "new", NULL) == -1 && qalloc_error() == QALLOC_ESLOTS);
	/* What needs no slot goes on. */
	CHECK(count_live(map) >= 1);
	CHECK(qalloc_check(map, print_finding, NULL) == 0);
	CHECK(info_of(map).processes == QALLOC_PROCESSES_MAX);
	return 0;
}

static int cannot_load(const char *path)
{
	errno = 0;
	CHECK(qalloc_loadmap(path) == NULL);
	CHECK(qalloc_error() == QALLOC_ESLOTS && errno == EUSERS);
	CHECK(says(path) && says_number(QALLOC_PROCESSES_MAX));
	/* Readers attach nowhere. */
	struct qalloc_options options = options_for(QALLOC_READONLY);
	void *map = qalloc_openmap(path, &options);
	CHECK(map != NULL && count_live(map) >= 1);
	return qalloc_cleanup();
}

static int attaches_and_works(void *map)
{
	return works(map, 3, 300, 1);
}

/* Locks all that nobody else has; how many.  They are free again when fd is closed. */
static unsigned lock_slots(int fd)
{
	unsigned locked = 0;

	for (unsigned slot = 0; slot < QALLOC_PROCESSES_MAX; slot++) {
		struct flock lock = {.l_type = F_WRLCK,
				     .l_whence = SEEK_SET,
				     .l_start = (off_t)(SLOTS_OFF + slot * SLOT_BYTES),
				     .l_len = 1};

		locked += fcntl(fd, F_OFD_SETLK, &lock) == 0;
	}
	return locked;
}

static void the_slot_of_a_dead_process_is_the_next_ones(void **state)
{
	static struct crowd c;
	unsigned free_slots = QALLOC_PROCESSES_MAX - CROWD - 1;
	char path[1024];

	(void)state;
	crowd_begin(&c);
	snprintf(path, sizeof(path), "%s", scratch("map"));
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(lock_slots(fd), free_slots);
	assert_int_equal(in_child(cannot_attach, c.map), 0);
	assert_int_equal(in_role("cannot-load", path), 0);
	/* Who is attached does not notice. */
	assert_int_equal(works(c.map, 4, 300, 0), 0);
	for (size_t i = 1; i < CROWD; i += 100) {
		kill(c.pids[i], SIGKILL);
		assert_int_equal(wait_bounded(c.pids[i]), SIGNALLED + SIGKILL);
		/* One slot is free: for one process at a time, one after the other. */
		assert_int_equal(in_child(attaches_and_works, c.map), 0);
		assert_int_equal(in_child(attaches_and_works, c.map), 0);
		assert_int_equal(lock_slots(fd), ++free_slots);
		assert_int_equal(in_child(cannot_attach, c.map), 0);
	}
	close(fd);
	assert_int_equal(info_of(c.map).processes, CROWD + 1 - 3);
	crowd_works(&c, CROWD - 3);
	__atomic_store_n(&c.gate->leave, 1, __ATOMIC_RELEASE);
	for (size_t i = 0; i < CROWD; i++) {
		if (i % 100 != 1)
			assert_int_equal(wait_bounded(c.pids[i]), 0);
	}
	assert_int_equal(info_of(c.map).processes, 1);
	/* Of each that was killed the block it had, of each heir one, of each other two. */
	assert_int_equal(count_live(c.map), 1 + 3 + 6 + 2 * (CROWD - 3));
	assert_whole(c.map);
}

/* ---- Threads --------------------------------------------------------------------------- */

#define STREAMS 4
#define THREADS (50 * STREAMS)

struct thread_crowd {
	void *map;
	pthread_barrier_t barrier;
	uint64_t failed, seed;
};

static void *is_one_thread_of_many(void *arg)
{
	struct thread_crowd *c = arg;
	uint64_t seed = __atomic_add_fetch(&c->seed, 1, __ATOMIC_ACQ_REL);
	void *block = patient_malloc(c->map, 200);

	if (block == NULL) {
		add(&c->failed);
	} else {
		fill(block, 200, seed);
	}
	/* All have their block, and no thread has ended. */
	pthread_barrier_wait(&c->barrier);
	if (works(c->map, seed, under_valgrind() ? 20 : 300, 1) != 0)
		add(&c->failed);
	pthread_barrier_wait(&c->barrier);
	if (block != NULL && (!is_filled(block, 200, seed) || qalloc_tryfree(block, c->map) != 0))
		add(&c->failed);
	return NULL;
}

static void fifty_times_as_many_threads_as_streams_share_a_map(void **state)
{
	static pthread_t threads[THREADS];
	struct thread_crowd c = {.map = NULL};
	pthread_attr_t attributes;

	(void)state;
	c.map = qalloc_makedynmap((off_t)(32 * MIB), NULL, scratch("map"), STREAMS);
	assert_opened(c.map);
	assert_int_equal(pthread_barrier_init(&c.barrier, NULL, THREADS), 0);
	assert_int_equal(pthread_attr_init(&attributes), 0);
	assert_int_equal(pthread_attr_setstacksize(&attributes, 256 * KIB), 0);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], &attributes, is_one_thread_of_many, &c), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_attr_destroy(&attributes);
	pthread_barrier_destroy(&c.barrier);
	assert_int_equal(c.failed, 0);
	assert_int_equal(count_live(c.map), THREADS);
	assert_whole(c.map);
}

int main(int argc, char **argv)
{
	static const struct role table[] = {{"one-of-many", is_one_of_many},
					    {"cannot-load", cannot_load}};

	roles(argc, argv, table, sizeof(table) / sizeof(table[0]));
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(three_hundred_programs_share_a_map),
		TEST(three_hundred_programs_that_are_killed_leave_a_whole_map),
		TEST(the_slot_of_a_dead_process_is_the_next_ones),
		TEST(fifty_times_as_many_threads_as_streams_share_a_map),
	};
	return cmocka_run_group_tests_name("crowd", tests, NULL, NULL) != 0;
}
