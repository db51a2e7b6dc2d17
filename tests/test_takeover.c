/* SPDX-License-Identifier: MIT */
/*
 * What a dead or stopped process leaves behind, made by hand: lock words of every kind of
 * holder, work begun in the pool, slots without end, files replaced.  The words are
 * written into the file of a map in use, so nothing depends on when somebody was killed.
 */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "layout.h"
#include "support.h"

#define SIZE (4 * MIB)
#define STREAMS 3u

static const char *path;

static void *dynamic_map(void)
{
	path = scratch("map");
	void *map = qalloc_makedynmap((off_t)SIZE, NULL, path, STREAMS);
	assert_opened(map);
	return map;
}

static uint64_t owner_word(uint32_t epoch, uint64_t slot, uint64_t thread)
{
	return (uint64_t)epoch << 32 | slot << OWNER_THREAD_BITS | thread;
}

static void write_all_streams(uint64_t owner)
{
	for (uint64_t s = 0; s < STREAMS; s++)
		write_word(path, STREAMS_OFF + s * STREAM_BYTES + STREAM_LOCK + LOCK_OWNER, owner);
}

/* ---- Locks of the dead --------------------------------------------------------- */

static const struct {
	const char *what;
	uint32_t epoch;
	uint64_t slot;
} dead[] = {
	{"a slot that nobody ever had", 1, 500},
	{"an earlier epoch of our own slot", 0x7FFFFFFF, 0},
	{"the epoch that no process has", 0, 3},
	{"a slot beyond the last", 1, 4095},
};

static void streams_of_the_dead_are_taken_over(void **state)
{
	(void)state;
	void *map = dynamic_map();
	for (size_t i = 0; i < sizeof(dead) / sizeof(dead[0]); i++) {
		print_message("           %s\n", dead[i].what);
		write_all_streams(owner_word(dead[i].epoch, dead[i].slot, 7));
		void *block = qalloc_malloc(map, 100);
		assert_non_null(block);
		write_all_streams(owner_word(dead[i].epoch, dead[i].slot, 7));
		assert_int_equal(qalloc_tryfree(block, map), 0);
		assert_whole(map);
	}
}

static void the_pool_of_the_dead_is_taken_over(void **state)
{
	(void)state;
	void *map = dynamic_map();
	for (size_t i = 0; i < sizeof(dead) / sizeof(dead[0]); i++) {
		write_word(path, STATE_POOL, owner_word(dead[i].epoch, dead[i].slot, 7));
		void *block = qalloc_malloc(map, 100000);
		assert_non_null(block);
		write_word(path, STATE_POOL, owner_word(dead[i].epoch, dead[i].slot, 7));
		assert_int_equal(qalloc_tryfree(block, map), 0);
		assert_whole(map);
	}
}

static void the_roots_of_the_dead_are_taken_over(void **state)
{
	(void)state;
	void *map = dynamic_map();
	for (size_t i = 0; i < sizeof(dead) / sizeof(dead[0]); i++) {
		write_word(path, STATE_ROOTS, owner_word(dead[i].epoch, dead[i].slot, 7));
		assert_int_equal(qalloc_setroot(map, "root", NULL), 0);
	}
}

/* Every point at which taking or freeing a run of spans can stop. */
static void work_that_the_dead_began_in_the_pool_is_undone(void **state)
{
	enum { LENGTH = 5 };
	(void)state;
	void *map = dynamic_map();
	struct geo g = geometry_of(map);
	/* A neighbour on the left, which must survive all of it. */
	char *neighbour = qalloc_malloc(map, 3 * g.span_bytes);
	assert_non_null(neighbour);
	uint64_t first = span_of(&g, qalloc_offset(map, neighbour)) + 3;
	fill(neighbour, 3 * g.span_bytes, 1);
	for (uint64_t op = INTENT_RUN_TAKE; op <= INTENT_RUN_FREE; op++) {
		for (uint64_t tails = 0; tails < LENGTH; tails++) {
			/* TAIL is written from the end and the head last; freed from the head. */
			for (uint64_t i = 0; i < tails; i++)
				write_word(path, g.words_off + 8 * (first + LENGTH - 1 - i),
					   SPAN_TAIL);
			write_word(path, STATE_FRONTIER, first + LENGTH);
			write_word(path, STATE_INTENT + 8, first);
			write_word(path, STATE_INTENT + 16, LENGTH);
			write_word(path, STATE_INTENT, op);
			write_word(path, STATE_POOL, owner_word(1, 500, 7));
			/* Only who needs the pool repairs it; a look is enough if it finds fault. */
			assert_whole(map);
			assert_int_equal(count_live(map), 1);
			assert_int_equal(qalloc_tryfree(qalloc_malloc(map, 100000), map), 0);
			assert_int_equal(read_word(path, STATE_INTENT), INTENT_NONE);
			void *rest = qalloc_malloc(map, info_of(map).largest_free);
			assert_non_null(rest);
			assert_int_equal(qalloc_tryfree(rest, map), 0);
			assert_whole(map);
		}
	}
	assert_true(is_filled(neighbour, 3 * g.span_bytes, 1));
	assert_int_equal(qalloc_tryfree(neighbour, map), 0);
	assert_non_null(qalloc_malloc(map, info_of(map).data_bytes));
}

static void an_intent_that_makes_no_sense_costs_nothing(void **state)
{
	static const uint64_t odd[] = {0,         1, 3, 1000000, UINT64_MAX / 2, UINT64_MAX - 1,
				       UINT64_MAX};
	(void)state;
	void *map = dynamic_map();
	char *run = qalloc_malloc(map, 300000), *small = qalloc_malloc(map, 100);
	assert_non_null(run);
	assert_non_null(small);
	fill(run, 300000, 1);
	for (size_t op = 0; op < 7; op++) {
		for (size_t first = 0; first < 7; first++) {
			for (size_t count = 0; count < 7; count++) {
				write_word(path, STATE_INTENT, odd[op]);
				write_word(path, STATE_INTENT + 8, odd[first]);
				write_word(path, STATE_INTENT + 16, odd[count]);
				write_word(path, STATE_POOL, owner_word(1, 500, 7));
				void *block = qalloc_malloc(map, 100000);
				assert_non_null(block);
				assert_int_equal(qalloc_tryfree(block, map), 0);
			}
		}
	}
	assert_whole(map);
	assert_true(is_filled(run, 300000, 1));
	assert_int_equal(qalloc_tryfree(run, map), 0);
	assert_int_equal(qalloc_tryfree(small, map), 0);
}

/* ---- Locks of the living --------------------------------------------------------- */

struct holder {
	void *map;
	uint64_t *words; /* 0: it is attached */
};

static int attaches_and_stays(void *arg)
{
	struct holder *h = arg;
	CHECK(qalloc_setroot(h->map, "here", NULL) == 0);
	__atomic_store_n(&h->words[0], 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

/* The owner word of somebody who lives, and never leaves what he holds: stopped, say. */
static uint64_t start_holder(struct holder *h, pid_t *pid)
{
	*pid = start_child(attaches_and_stays, h);
	while (__atomic_load_n(&h->words[0], __ATOMIC_ACQUIRE) == 0)
		sched_yield();
	return owner_word((uint32_t)read_word(path, SLOTS_OFF + SLOT_BYTES + SLOT_EPOCH), 1, 9);
}

static void end_holder(struct holder *h, pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(wait_child(pid), SIGNALLED + SIGKILL);
	release_shared_words(h->words, 1);
}

static void who_lives_keeps_what_he_holds_and_nobody_waits_for_ever(void **state)
{
	(void)state;
	struct holder h = {dynamic_map(), shared_words(1)};
	pid_t pid;
	char *small = qalloc_malloc(h.map, 100), *large = qalloc_malloc(h.map, 100000);
	assert_non_null(small);
	assert_non_null(large);
	uint64_t living = start_holder(&h, &pid);

	write_all_streams(living);
	assert_refused(qalloc_malloc(h.map, 100), QALLOC_EBUSY);
	assert_int_equal(read_word(path, STREAMS_OFF), living);
	/* A free does not need the stream. */
	assert_int_equal(qalloc_tryfree(small, h.map), 0);
	write_word(path, STATE_POOL, living);
	assert_refused(qalloc_malloc(h.map, 100000), QALLOC_EBUSY);
	assert_fails(qalloc_tryfree(large, h.map), QALLOC_EBUSY);
	write_word(path, STATE_ROOTS, living);
	assert_fails(qalloc_setroot(h.map, "root", NULL), QALLOC_EBUSY);
	assert_fails(qalloc_casroot(h.map, "root", NULL, NULL), QALLOC_EBUSY);
	assert_fails(qalloc_delroot(h.map, "here"), QALLOC_EBUSY);
	/* Looking needs no lock. */
	assert_null(qalloc_getroot(h.map, "here"));
	assert_int_equal(count_live(h.map), 1);

	/* He dies: all of it is free at once, for who asks. */
	end_holder(&h, pid);
	assert_non_null(qalloc_malloc(h.map, 100));
	assert_non_null(qalloc_malloc(h.map, 100000));
	assert_int_equal(qalloc_tryfree(large, h.map), 0);
	assert_int_equal(qalloc_setroot(h.map, "root", NULL), 0);
	assert_whole(h.map);
}

static void a_stopped_holder_of_one_stream_costs_that_stream_only(void **state)
{
	(void)state;
	struct holder h = {dynamic_map(), shared_words(1)};
	pid_t pid;
	uint64_t living = start_holder(&h, &pid);
	for (uint64_t s = 0; s < STREAMS; s++) {
		write_all_streams(0);
		write_word(path, STREAMS_OFF + s * STREAM_BYTES, living);
		for (int i = 0; i < 50; i++) {
			void *block = qalloc_malloc(h.map, 100);
			assert_non_null(block);
			if (i % 2 == 0)
				assert_int_equal(qalloc_tryfree(block, h.map), 0);
		}
		assert_int_equal(read_word(path, STREAMS_OFF + s * STREAM_BYTES), living);
	}
	end_holder(&h, pid);
	assert_int_equal(count_live(h.map), 25 * STREAMS);
	assert_whole(h.map);
}

/* ---- Slots and files ---------------------------------------------------------------- */

static int cannot_attach(void *map)
{
	errno = 0;
	CHECK(qalloc_malloc(map, 1) == NULL);
	CHECK(qalloc_error() == QALLOC_ESLOTS && errno == EUSERS);
	CHECK(says_number(QALLOC_PROCESSES_MAX));
	/* What needs no slot goes on. */
	CHECK(count_live(map) == 1);
	return 0;
}

static void a_map_with_1024_processes_takes_no_more_and_says_so(void **state)
{
	(void)state;
	void *map = dynamic_map();
	assert_non_null(qalloc_malloc(map, 1));
	/* One description may lock the slots of all the others. */
	struct flock lock = {.l_type = F_WRLCK,
			     .l_whence = SEEK_SET,
			     .l_start = SLOTS_OFF + SLOT_BYTES,
			     .l_len = (QALLOC_PROCESSES_MAX - 1) * SLOT_BYTES};
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_int_equal(in_child(cannot_attach, map), 0);
	assert_int_equal(info_of(map).processes, QALLOC_PROCESSES_MAX);
	assert_non_null(qalloc_malloc(map, 1));
	close(fd);
	assert_int_equal(info_of(map).processes, 1);
}

static int misses_its_file(void *map)
{
	char other[1024];
	snprintf(other, sizeof(other), "%s.other", path);
	closefrom(3);
	CHECK(unlink(path) == 0);
	errno = 0;
	CHECK(qalloc_malloc(map, 1) == NULL);
	CHECK(qalloc_error() == QALLOC_EREPLACED && errno == ESTALE && says(path));
	write_file(path, "something else", 14);
	CHECK(qalloc_malloc(map, 1) == NULL);
	CHECK(qalloc_error() == QALLOC_EREPLACED && says(path));
	CHECK(qalloc_sync(map) == -1 && qalloc_error() == QALLOC_EREPLACED);
	return 0;
}

static void a_file_that_was_replaced_under_a_closed_descriptor_is_noticed(void **state)
{
	(void)state;
	void *map = dynamic_map();
	assert_non_null(qalloc_malloc(map, 1));
	assert_int_equal(in_child(misses_its_file, map), 0);
	/* Who still has the descriptor goes on, whatever happened to the name. */
	assert_non_null(qalloc_malloc(map, 300000));
	assert_int_equal(qalloc_sync(map), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(streams_of_the_dead_are_taken_over),
		TEST(the_pool_of_the_dead_is_taken_over),
		TEST(the_roots_of_the_dead_are_taken_over),
		TEST(work_that_the_dead_began_in_the_pool_is_undone),
		TEST(an_intent_that_makes_no_sense_costs_nothing),
		TEST(who_lives_keeps_what_he_holds_and_nobody_waits_for_ever),
		TEST(a_stopped_holder_of_one_stream_costs_that_stream_only),
		TEST(a_map_with_1024_processes_takes_no_more_and_says_so),
		TEST(a_file_that_was_replaced_under_a_closed_descriptor_is_noticed),
	};
	return cmocka_run_group_tests_name("takeover", tests, NULL, NULL) != 0;
}
