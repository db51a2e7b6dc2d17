/* SPDX-License-Identifier: MIT */
/*
 * Creation when it does not go smoothly: several creators at once, creators that
 * die, files somebody left unfinished, and files far larger than the disk.
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

#include "../src/format.h"
#include "support.h"

#define SIZE MIB

static void *make(const char *path)
{
	return qalloc_makedynmap((off_t)SIZE, NULL, path, 3);
}

/* ---- Several creators ------------------------------------------------------ */

struct race {
	const char *path;
	uint64_t *words; /* 0: go, 1: how many are ready, 2..: each one's address */
	size_t index;
};

/* Creates the map and pushes a block on the list at its root. */
static int creates_and_pushes(void *arg)
{
	struct race *race = arg;
	__atomic_fetch_add(&race->words[1], 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&race->words[0], __ATOMIC_ACQUIRE) == 0)
		sched_yield();
	void *map = NULL;
	/* A creator may be kept from its work, on a busy machine, for longer than others wait. */
	do {
		map = make(race->path);
	} while (map == NULL && qalloc_error() == QALLOC_EINUSE);
	CHECK(map != NULL);
	race->words[2 + race->index] = (uint64_t)(uintptr_t)info_of(map).base;
	void **block = qalloc_malloc(map, 64);
	CHECK(block != NULL);
	for (;;) {
		void *head = qalloc_getroot(map, "head");
		block[0] = head;
		if (qalloc_casroot(map, "head", head, block) == 0)
			break;
		CHECK(qalloc_error() == QALLOC_EROOTVALUE || qalloc_error() == QALLOC_EBUSY);
	}
	CHECK(qalloc_closemap(map) == 0);
	return 0;
}

static void creators_at_once_end_in_one_map(size_t creators, bool empty_file)
{
	enum { MANY = 8 };
	pid_t pids[MANY];
	struct race races[MANY];
	const char *path = scratch("map");
	unlink(path);
	if (empty_file)
		write_file(path, "", 0);
	uint64_t *words = shared_words(2 + MANY);
	for (size_t i = 0; i < creators; i++) {
		races[i] = (struct race){path, words, i};
		pids[i] = start_child(creates_and_pushes, &races[i]);
	}
	while (__atomic_load_n(&words[1], __ATOMIC_ACQUIRE) < creators)
		sched_yield();
	__atomic_store_n(&words[0], 1, __ATOMIC_RELEASE);
	for (size_t i = 0; i < creators; i++)
		assert_int_equal(wait_child(pids[i]), 0);
	for (size_t i = 1; i < creators; i++)
		assert_int_equal(words[2 + i], words[2]);
	release_shared_words(words, 2 + MANY);
	void *map = qalloc_loadmap(path);
	assert_opened(map);
	size_t length = 0;
	for (void **block = qalloc_getroot(map, "head"); block != NULL; block = block[0])
		length++;
	assert_int_equal(length, creators);
	assert_int_equal(count_live(map), creators);
	assert_whole(map);
	assert_int_equal(qalloc_cleanup(), 0);
}

static void two_processes_that_create_one_file_share_one_map(void **state)
{
	(void)state;
	for (int round = 0; round < 20; round++)
		creators_at_once_end_in_one_map(2, round % 2 == 1);
}

static void eight_processes_that_create_one_file_share_one_map(void **state)
{
	(void)state;
	for (int round = 0; round < 10; round++)
		creators_at_once_end_in_one_map(8, round % 2 == 1);
}

/* ---- Creators that die ------------------------------------------------------ */

static int creates(void *path)
{
	return make(path) == NULL;
}

/* Kills a creator at some moment of its work; a loop is a finer clock than a timer. */
static void a_killed_creator_leaves_what_the_next_make_completes(void **state)
{
	(void)state;
	const char *path = scratch("map");
	volatile unsigned spin;
	unsigned rounds = under_valgrind() ? 5 : 150, killed = 0;
	for (unsigned round = 0; round < rounds; round++) {
		unlink(path);
		if (round % 3 != 0)
			write_file(path, "", 0);
		if (round % 3 == 2)
			assert_int_equal(truncate(path, (off_t)(100 * KIB)), 0);
		pid_t pid = start_child(creates, (void *)(uintptr_t)path);
		for (spin = 0; spin < round * 20000; spin++)
			;
		kill(pid, SIGKILL);
		killed += wait_child(pid) == SIGNALLED + SIGKILL;
		void *map = qalloc_loadmap(path);
		if (map == NULL) {
			int error = qalloc_error();
			assert_true(error == QALLOC_EMISSING || error == QALLOC_ESHORT ||
				    error == QALLOC_ECREATING ||
				    (round % 3 == 2 && error == QALLOC_EMAGIC));
			map = make(path);
		}
		assert_opened(map);
		assert_int_equal(file_size(path), SIZE);
		assert_non_null(qalloc_malloc(map, 100));
		assert_whole(map);
		assert_int_equal(qalloc_cleanup(), 0);
	}
	assert_true(killed > 0);
}

/* The states that build() passes through, made by hand. */
enum stage { HEADER_ONLY, SIZED, BACKED_UP, STAGES };

static void write_unfinished(const char *path, enum stage stage)
{
	uint8_t header[HDR_BYTES];
	unlink(path);
	assert_opened(make(path));
	assert_int_equal(qalloc_cleanup(), 0);
	read_file(path, 0, header, sizeof(header));
	memcpy(header, HDR_MAGIC_CREATING, 8);
	write_file(path, header, sizeof(header));
	if (stage >= SIZED)
		assert_int_equal(truncate(path, (off_t)SIZE), 0);
	if (stage >= BACKED_UP) {
		memcpy(header, HDR_MAGIC_DONE, 8);
		patch_file(path, HDR_BACKUP_OFF, header, sizeof(header));
	}
}

static void an_unfinished_map_is_named_by_load_and_completed_by_make(void **state)
{
	(void)state;
	const char *path = scratch("map");
	for (enum stage stage = HEADER_ONLY; stage < STAGES; stage++) {
		write_unfinished(path, stage);
		uint32_t before = file_checksum(path);
		assert_refused(qalloc_loadmap(path), QALLOC_ECREATING);
		assert_true(says(path));
		struct qalloc_options options = options_for(QALLOC_READONLY);
		assert_refused(qalloc_openmap(path, &options), QALLOC_ECREATING);
		assert_int_equal(file_checksum(path), before);
		void *map = make(path);
		assert_opened(map);
		assert_non_null(qalloc_malloc(map, 1000));
		assert_whole(map);
		assert_int_equal(qalloc_cleanup(), 0);
		assert_opened(qalloc_loadmap(path));
		assert_int_equal(qalloc_cleanup(), 0);
	}
}

static void any_make_completes_an_unfinished_map_with_its_own_parameters(void **state)
{
	(void)state;
	const char *path = scratch("map");
	for (enum stage stage = HEADER_ONLY; stage < STAGES; stage++) {
		write_unfinished(path, stage);
		void *map = qalloc_makestatmap((off_t)(2 * MIB + 1), NULL, path, 100, 7);
		assert_opened(map);
		assert_int_equal(file_size(path), 2 * MIB + 1);
		assert_int_equal(info_of(map).itemsize, 100);
		assert_non_null(qalloc_malloc(map, 100));
		assert_whole(map);
		assert_int_equal(qalloc_cleanup(), 0);
	}
}

static void an_unfinished_mark_before_foreign_data_does_not_cost_the_data(void **state)
{
	(void)state;
	const char *path = scratch("map");
	write_unfinished(path, SIZED);
	patch_file(path, 300000, "precious", 8);
	uint32_t before = file_checksum(path);
	assert_null(make(path));
	assert_true(qalloc_error() == QALLOC_EMAGIC || qalloc_error() == QALLOC_ECREATING);
	assert_int_equal(file_checksum(path), before);
}

/* Holds the creation byte and never finishes, like a creator that was stopped. */
static int holds_the_creation_lock(void *arg)
{
	struct race *race = arg;
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	int fd = open(race->path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK(fcntl(fd, F_OFD_SETLK, &lock) == 0);
	__atomic_store_n(&race->words[0], 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

static void nobody_waits_long_for_a_stopped_creator(void **state)
{
	(void)state;
	const char *path = scratch("map");
	struct race race = {path, shared_words(1), 0};
	write_file(path, "", 0);
	pid_t pid = start_child(holds_the_creation_lock, &race);
	while (__atomic_load_n(race.words, __ATOMIC_ACQUIRE) == 0)
		sched_yield();
	assert_refused(make(path), QALLOC_EINUSE);
	assert_true(says(path));
	assert_int_equal(file_size(path), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(wait_child(pid), SIGNALLED + SIGKILL);
	assert_opened(make(path));
	release_shared_words(race.words, 1);
}

/* ---- Far larger than the disk ------------------------------------------------ */

static void a_sparse_map_of_1_tib_costs_less_than_1_mib_of_disk(void **state)
{
	(void)state;
	const char *path = scratch("large");
	if (under_valgrind())
		skip(); /* its own address space is too small */
	struct qalloc_options options = dynamic_options(QALLOC_CREATE, (size_t)1 << 40, 4);
	void *map = qalloc_openmap(path, &options);
	assert_opened(map);
	assert_true(file_disk_bytes(path) < MIB);
	assert_int_equal(qalloc_cleanup(), 0);
	map = qalloc_loadmap(path);
	assert_opened(map);
	assert_true(file_disk_bytes(path) < MIB);
	assert_int_equal(file_size(path), (uint64_t)1 << 40);
	char *block = qalloc_malloc(map, 100);
	assert_non_null(block);
	fill(block, 100, 3);
	assert_true(file_disk_bytes(path) < 2 * MIB);
	assert_int_equal(count_live(map), 1);
	assert_whole(map);
	assert_int_equal(qalloc_tryfree(block, map), 0);
	assert_whole(map);
	assert_true(file_disk_bytes(path) < 2 * MIB);
}

static void a_static_map_of_1_tib_serves_its_first_items(void **state)
{
	(void)state;
	const char *path = scratch("large");
	if (under_valgrind())
		skip();
	void *map = qalloc_makestatmap((off_t)1 << 40, NULL, path, 64, 16);
	assert_opened(map);
	for (int i = 0; i < 1000; i++) {
		void *item = qalloc_malloc(map, 64);
		assert_non_null(item);
		memset(item, 1, 64);
	}
	assert_true(file_disk_bytes(path) < 4 * MIB);
	assert_int_equal(count_live(map), 1000);
	assert_whole(map);
	assert_true(info_of(map).metadata_bytes * 100 < info_of(map).filesize);
}

static void metadata_of_a_large_dynamic_map_is_under_3_percent(void **state)
{
	(void)state;
	void *map = qalloc_makedynmap((off_t)1 << 30, NULL, scratch("map"), 4);
	assert_opened(map);
	assert_true(info_of(map).metadata_bytes * 100 < info_of(map).filesize * 3);
	map = qalloc_makestatmap((off_t)1 << 30, NULL, scratch("static"), 64, 4);
	assert_opened(map);
	assert_true(info_of(map).metadata_bytes * 100 < info_of(map).filesize);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(two_processes_that_create_one_file_share_one_map),
		TEST(eight_processes_that_create_one_file_share_one_map),
		TEST(a_killed_creator_leaves_what_the_next_make_completes),
		TEST(an_unfinished_map_is_named_by_load_and_completed_by_make),
		TEST(any_make_completes_an_unfinished_map_with_its_own_parameters),
		TEST(an_unfinished_mark_before_foreign_data_does_not_cost_the_data),
		TEST(nobody_waits_long_for_a_stopped_creator),
		TEST(a_sparse_map_of_1_tib_costs_less_than_1_mib_of_disk),
		TEST(a_static_map_of_1_tib_serves_its_first_items),
		TEST(metadata_of_a_large_dynamic_map_is_under_3_percent),
	};
	int failed = cmocka_run_group_tests_name("create", tests, NULL, NULL);
	if (scratch_in("/dev/shm"))
		failed += cmocka_run_group_tests_name("create, on tmpfs", tests, NULL, NULL);
	return failed != 0;
}
