/* SPDX-License-Identifier: MIT */
/*
 * Named roots: set, get, compare-and-set, delete, iterate; their limits; and that
 * processes which race for one lose no step.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "support.h"

static void *dynamic_map(void)
{
	void *map = qalloc_makedynmap((off_t)MIB, NULL, scratch("map"), 3);
	assert_opened(map);
	return map;
}

static void a_root_has_the_value_it_was_set_to(void **state)
{
	(void)state;
	void *map = dynamic_map();
	char *a = qalloc_malloc(map, 100), *b = qalloc_malloc(map, 100);
	assert_refused(qalloc_getroot(map, "one"), QALLOC_EROOTABSENT);
	assert_int_equal(qalloc_setroot(map, "one", a), 0);
	assert_ptr_equal(qalloc_getroot(map, "one"), a);
	assert_int_equal(qalloc_setroot(map, "one", b), 0);
	assert_ptr_equal(qalloc_getroot(map, "one"), b);
	assert_refused(qalloc_getroot(map, "on"), QALLOC_EROOTABSENT);
	assert_refused(qalloc_getroot(map, "one "), QALLOC_EROOTABSENT);
	/* Any address in the data area will do, not only the start of a block. */
	assert_int_equal(qalloc_setroot(map, "two", a + 50), 0);
	assert_ptr_equal(qalloc_getroot(map, "two"), a + 50);
	assert_ptr_equal(qalloc_getroot(map, "one"), b);
}

static void a_null_root_differs_from_an_absent_one_by_errno(void **state)
{
	(void)state;
	void *map = dynamic_map();
	assert_int_equal(qalloc_setroot(map, "null", NULL), 0);
	errno = 99;
	assert_null(qalloc_getroot(map, "null"));
	assert_int_equal(errno, 0);
	assert_refused(qalloc_getroot(map, "absent"), QALLOC_EROOTABSENT);
	assert_true(says("absent"));
}

static void casroot_replaces_only_what_was_expected(void **state)
{
	(void)state;
	void *map = dynamic_map();
	void *a = qalloc_malloc(map, 8), *b = qalloc_malloc(map, 8);
	assert_fails(qalloc_casroot(map, "r", a, b), QALLOC_EROOTVALUE);
	assert_refused(qalloc_getroot(map, "r"), QALLOC_EROOTABSENT);
	assert_int_equal(qalloc_casroot(map, "r", NULL, a), 0); /* absent counts as NULL */
	assert_ptr_equal(qalloc_getroot(map, "r"), a);
	assert_fails(qalloc_casroot(map, "r", NULL, b), QALLOC_EROOTVALUE);
	assert_fails(qalloc_casroot(map, "r", b, b), QALLOC_EROOTVALUE);
	assert_ptr_equal(qalloc_getroot(map, "r"), a);
	assert_int_equal(qalloc_casroot(map, "r", a, b), 0);
	assert_ptr_equal(qalloc_getroot(map, "r"), b);
	assert_int_equal(qalloc_casroot(map, "r", b, NULL), 0);
	assert_null(qalloc_getroot(map, "r"));
	assert_int_equal(qalloc_casroot(map, "r", NULL, a), 0);
}

static void a_deleted_root_is_absent_and_its_place_is_free(void **state)
{
	(void)state;
	void *map = dynamic_map();
	void *a = qalloc_malloc(map, 8);
	assert_fails(qalloc_delroot(map, "r"), QALLOC_EROOTABSENT);
	for (int i = 0; i < 1000; i++) {
		char name[16];
		snprintf(name, sizeof(name), "r%d", i);
		assert_int_equal(qalloc_setroot(map, name, a), 0);
		assert_int_equal(qalloc_delroot(map, name), 0);
		assert_refused(qalloc_getroot(map, name), QALLOC_EROOTABSENT);
		assert_fails(qalloc_delroot(map, name), QALLOC_EROOTABSENT);
	}
}

static void names_have_1_to_47_bytes(void **state)
{
	(void)state;
	char name[49];
	void *map = dynamic_map();
	void *a = qalloc_malloc(map, 8);
	memset(name, 'n', 48);
	name[48] = '\0';
	assert_fails(qalloc_setroot(map, name, a), QALLOC_EROOTNAME);
	assert_refused(qalloc_getroot(map, name), QALLOC_EROOTNAME);
	assert_fails(qalloc_casroot(map, name, NULL, a), QALLOC_EROOTNAME);
	assert_fails(qalloc_delroot(map, name), QALLOC_EROOTNAME);
	name[47] = '\0';
	assert_int_equal(qalloc_setroot(map, name, a), 0);
	assert_ptr_equal(qalloc_getroot(map, name), a);
	name[46] = '\0';
	assert_refused(qalloc_getroot(map, name), QALLOC_EROOTABSENT);
	assert_int_equal(qalloc_setroot(map, "x", a), 0);
	assert_fails(qalloc_setroot(map, "", a), QALLOC_EROOTNAME);
	assert_refused(qalloc_getroot(map, ""), QALLOC_EROOTNAME);
	assert_fails(qalloc_setroot(map, NULL, a), QALLOC_EROOTNAME);
	/* Bytes, not letters. */
	assert_int_equal(qalloc_setroot(map, "\xFF\x01/\n ", a), 0);
	assert_ptr_equal(qalloc_getroot(map, "\xFF\x01/\n "), a);
}

static void a_value_outside_the_data_area_is_refused(void **state)
{
	(void)state;
	int local;
	void *map = dynamic_map();
	struct qalloc_info info = info_of(map);
	char *base = info.base;
	char *data = base + info.data_offset;
	void *wild[] = {&local,     (void *)1,          base, base + 0x2000, data - 1,
			base + MIB, (void *)UINTPTR_MAX};
	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		assert_fails(qalloc_setroot(map, "r", wild[i]), QALLOC_EWILD);
		assert_fails(qalloc_casroot(map, "r", NULL, wild[i]), QALLOC_EWILD);
	}
	assert_refused(qalloc_getroot(map, "r"), QALLOC_EROOTABSENT);
	assert_int_equal(qalloc_setroot(map, "first", data), 0);
	assert_int_equal(qalloc_setroot(map, "last", data + info.data_bytes - 1), 0);
	assert_ptr_equal(qalloc_getroot(map, "last"), data + info.data_bytes - 1);
}

struct seen {
	uint64_t names; /* bit i: "root i" was seen */
	int calls, stop;
	void *map;
};

static int see(const char *name, void *value, void *arg)
{
	struct seen *seen = arg;
	unsigned i = (unsigned)atoi(name + 5);
	if (strncmp(name, "root ", 5) != 0 || i >= 64 || *(const unsigned *)value != i * 1000)
		return -99;
	seen->names |= (uint64_t)1 << i;
	return ++seen->calls == seen->stop ? 42 : 0;
}

static void sixty_four_roots_fit_and_not_one_more(void **state)
{
	(void)state;
	char name[16];
	void *map = dynamic_map();
	struct seen seen = {0};
	assert_int_equal(qalloc_roots(map, see, &seen), 0);
	assert_int_equal(seen.calls, 0);
	for (unsigned i = 0; i < QALLOC_ROOTS_MAX; i++) {
		unsigned *value = qalloc_malloc(map, sizeof(*value));
		*value = i * 1000;
		snprintf(name, sizeof(name), "root %u", i);
		assert_int_equal(qalloc_setroot(map, name, value), 0);
	}
	assert_fails(qalloc_setroot(map, "one more", NULL), QALLOC_EROOTFULL);
	assert_fails(qalloc_casroot(map, "one more", NULL, NULL), QALLOC_EROOTFULL);
	assert_int_equal(qalloc_setroot(map, "root 5", qalloc_getroot(map, "root 5")), 0);
	for (int round = 0; round < 2; round++) {
		seen = (struct seen){0};
		assert_int_equal(qalloc_roots(map, see, &seen), 0);
		assert_int_equal(seen.calls, QALLOC_ROOTS_MAX);
		assert_true(seen.names == UINT64_MAX);
		seen = (struct seen){.stop = 7};
		assert_int_equal(qalloc_roots(map, see, &seen), 42);
		assert_int_equal(seen.calls, 7);
		/* All of it is there after a reload. */
		assert_int_equal(qalloc_cleanup(), 0);
		map = qalloc_loadmap(scratch("map"));
		assert_opened(map);
	}
	assert_int_equal(qalloc_delroot(map, "root 63"), 0);
	assert_int_equal(qalloc_setroot(map, "one more", NULL), 0);
	assert_fails(qalloc_roots(map, NULL, NULL), QALLOC_EARGUMENT);
}

/* ---- Races ----------------------------------------------------------------------- */

#define STEPS 2000

struct race {
	void *map;
	uint64_t *gate;
	uint64_t serial;
};

struct counter {
	uint64_t sum, by[8];
};

/* Replaces the counter by one that is higher by 1, as a lock-free program would. */
static int counts_by_casroot(void *arg)
{
	struct race *race = arg;
	open_gate(race->gate);
	for (unsigned i = 0; i < STEPS; i++) {
		struct counter *next = patient_malloc(race->map, sizeof(*next));
		CHECK(next != NULL);
		for (;;) {
			struct counter *now = qalloc_getroot(race->map, "counter");
			CHECK(now != NULL);
			/* Counters are not freed before the end: `now` stays readable. */
			*next = *now;
			next->sum++;
			next->by[race->serial]++;
			if (qalloc_casroot(race->map, "counter", now, next) == 0)
				break;
			CHECK(qalloc_error() == QALLOC_EROOTVALUE ||
			      qalloc_error() == QALLOC_EBUSY);
		}
	}
	return 0;
}

static void processes_that_race_for_a_root_lose_no_step(void **state)
{
	(void)state;
	enum { RACERS = 4 };
	void *map = qalloc_makedynmap((off_t)(8 * MIB), NULL, scratch("map"), 3);
	assert_opened(map);
	assert_int_equal(qalloc_setroot(map, "counter", qalloc_calloc(map, 1, 72)), 0);
	uint64_t *gate = shared_words(1);
	*gate = RACERS;
	struct race races[RACERS];
	pid_t pids[RACERS];
	for (uint64_t i = 0; i < RACERS; i++) {
		races[i] = (struct race){map, gate, i};
		pids[i] = start_child(counts_by_casroot, &races[i]);
	}
	for (int i = 0; i < RACERS; i++)
		assert_int_equal(wait_child(pids[i]), 0);
	const struct counter *counter = qalloc_getroot(map, "counter");
	assert_int_equal(counter->sum, RACERS * STEPS);
	for (int i = 0; i < RACERS; i++)
		assert_int_equal(counter->by[i], STEPS);
	assert_int_equal(count_live(map), RACERS * STEPS + 1);
	assert_whole(map);
	release_shared_words(gate, 1);
}

/* Creates and deletes names; a reader must never see one with the value of another. */
static int renames_for_ever(void *arg)
{
	struct race *race = arg;
	uint64_t i = 0;
	for (;;) {
		char name[48];
		memset(name, (int)('a' + i++ % 26), 47);
		name[47] = '\0';
		char *value = qalloc_address(race->map, race->serial + (uint64_t)name[0]);
		/* The name may be there already: a dead writer's. */
		CHECK(qalloc_setroot(race->map, name, value) == 0 ||
		      qalloc_error() == QALLOC_EBUSY);
		CHECK(qalloc_delroot(race->map, name) == 0 || qalloc_error() != QALLOC_EROOTNAME);
	}
}

static int fits(const char *name, void *value, void *arg)
{
	struct race *race = arg;
	uint64_t offset = qalloc_offset(race->map, value);
	for (size_t i = 0; i < 47; i++) {
		if (name[i] != name[0])
			return 1;
	}
	return offset != race->serial + (uint64_t)name[0];
}

static void readers_see_whole_entries_while_writers_die(void **state)
{
	(void)state;
	void *map = dynamic_map();
	struct race race = {map, NULL, info_of(map).data_offset};
	for (int round = 0; round < 20; round++) {
		pid_t pids[2] = {start_child(renames_for_ever, &race),
				 start_child(renames_for_ever, &race)};
		for (int i = 0; i < (under_valgrind() ? 50 : 2000); i++)
			assert_int_equal(qalloc_roots(map, fits, &race), 0);
		for (int i = 0; i < 2; i++) {
			kill(pids[i], SIGKILL);
			assert_int_equal(wait_child(pids[i]), SIGNALLED + SIGKILL);
		}
		/* The lock of the dead is free, and so are the places of withdrawn names. */
		assert_int_equal(qalloc_roots(map, fits, &race), 0);
		assert_int_equal(qalloc_setroot(map, "alive", NULL), 0);
		assert_int_equal(qalloc_delroot(map, "alive"), 0);
	}
	assert_whole(map);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(a_root_has_the_value_it_was_set_to),
		TEST(a_null_root_differs_from_an_absent_one_by_errno),
		TEST(casroot_replaces_only_what_was_expected),
		TEST(a_deleted_root_is_absent_and_its_place_is_free),
		TEST(names_have_1_to_47_bytes),
		TEST(a_value_outside_the_data_area_is_refused),
		TEST(sixty_four_roots_fit_and_not_one_more),
		TEST(processes_that_race_for_a_root_lose_no_step),
		TEST(readers_see_whole_entries_while_writers_die),
	};
	return cmocka_run_group_tests_name("roots", tests, NULL, NULL) != 0;
}
