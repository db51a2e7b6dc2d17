/* SPDX-License-Identifier: MIT */
/*
 * What programs do with descriptors that they did not open: close them all, become a daemon,
 * and use the numbers for something else, while a map is open.
 *
 *  - The map goes on as long as its path leads to it, and fails with a name otherwise.
 *  - A descriptor of the program is never written to, changed or closed.
 */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "support.h"
#include "works.h"

#define NUMBERS 40 /* descriptors looked at */

static void *dynamic_map(size_t bytes)
{
	void *map = qalloc_makedynmap((off_t)bytes, NULL, scratch("map"), 2);

	assert_opened(map);
	return map;
}

static bool is_file(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino &&
	       a.st_dev == b.st_dev;
}

/* The one that the library keeps for the map. */
static int kept_descriptor(const char *path)
{
	int found = -1;

	for (int fd = 3; fd < NUMBERS; fd++) {
		if (is_file(fd, path)) {
			assert_int_equal(found, -1);
			found = fd;
		}
	}
	assert_int_not_equal(found, -1);
	return found;
}

/* ---- Daemons ------------------------------------------------------------------------- */

struct daemon {
	void *map;
	uint64_t *words; /* 0: the parents are gone, 1: 1 + the result */
	child_fn *body;
	bool attached; /* the process that becomes one has used the map */
};

/* As in every textbook; in each step the process is another one. */
static int becomes_a_daemon(void *arg)
{
	struct daemon *d = arg;

	if (d->attached)
		CHECK(works(d->map, 30, 100, 0) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid > 0)
		return 0;
	CHECK(setsid() > 0);
	if (d->attached)
		CHECK(works(d->map, 31, 100, 0) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid > 0)
		_exit(0);
	CHECK(chdir("/") == 0);
	umask(0);
	closefrom(0);
	CHECK(open("/dev/null", O_RDWR) == 0 && dup(0) == 1 && dup(0) == 2);
	while (__atomic_load_n(&d->words[0], __ATOMIC_ACQUIRE) == 0)
		sched_yield();
	int result = d->body(d->map);
	__atomic_store_n(&d->words[1], 1 + (uint64_t)result, __ATOMIC_RELEASE);
	_exit(result);
}

/* The result of the body in a daemon. */
static int in_daemon(void *map, child_fn *body, bool attached)
{
	struct daemon d = {map, shared_words(2), body, attached};
	const uint64_t deadline = now_msec() + 60000;

	assert_int_equal(in_child(becomes_a_daemon, &d), 0);
	__atomic_store_n(&d.words[0], 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&d.words[1], __ATOMIC_ACQUIRE) == 0 && now_msec() < deadline)
		rest_usec(500);
	int result = (int)d.words[1] - 1;

	release_shared_words(d.words, 2);
	return result;
}

static int works_as_a_daemon(void *map)
{
	CHECK(works(map, 32, 1000, 5) == 0);
	CHECK(qalloc_malloc(map, 2 * MIB) != NULL);
	CHECK(qalloc_sync(map) == 0);
	CHECK(qalloc_check(map, NULL, NULL) == 0);
	/* Its own standard descriptors are what they were. */
	for (int fd = 0; fd < 3; fd++)
		CHECK(is_file(fd, "/dev/null"));
	CHECK(qalloc_cleanup() == 0);
	for (int fd = 0; fd < 3; fd++)
		CHECK(is_file(fd, "/dev/null"));
	CHECK(fcntl(3, F_GETFD) == -1);
	return 0;
}

static void a_daemon_goes_on_with_its_map(void **state)
{
	(void)state;
	for (int attached = 0; attached < 2; attached++) {
		void *map = dynamic_map(8 * MIB);

		assert_int_equal(in_daemon(map, works_as_a_daemon, attached != 0), 0);
		assert_int_equal(count_live(map), 6);
		assert_whole(map);
		assert_int_equal(qalloc_cleanup(), 0);
		assert_int_equal(unlink(scratch("map")), 0);
	}
}

/* Its path led there from another directory. */
static int has_lost_its_path(void *map)
{
	errno = 0;
	CHECK(qalloc_malloc(map, 10) == NULL);
	CHECK(qalloc_error() == QALLOC_EREPLACED && errno == ESTALE && says("relative"));
	CHECK(qalloc_sync(map) == -1 && qalloc_error() == QALLOC_EREPLACED);
	CHECK(qalloc_closemap(map) == 0);
	return 0;
}

static void a_daemon_with_a_relative_path_is_told_so(void **state)
{
	char before[4096];

	(void)state;
	assert_non_null(getcwd(before, sizeof(before)));
	char directory[1024];

	snprintf(directory, sizeof(directory), "%s", scratch("x"));
	*strrchr(directory, '/') = '\0';
	assert_int_equal(chdir(directory), 0);
	void *map = qalloc_makedynmap((off_t)MIB, NULL, "relative", 2);

	assert_opened(map);
	assert_non_null(qalloc_malloc(map, 10));
	assert_int_equal(in_daemon(map, has_lost_its_path, false), 0);
	assert_int_equal(count_live(map), 1);
	assert_whole(map);
	assert_int_equal(chdir(before), 0);
}

/* ---- closefrom() in an attached process ------------------------------------------------ */

static int closes_all_and_goes_on(void *map)
{
	void *block = qalloc_malloc(map, 100);
	CHECK(block != NULL);
	for (int i = 0; i < 5; i++) {
		closefrom(3);
		CHECK(works(map, 33, 300, 0) == 0);
		closefrom(3);
		CHECK(qalloc_malloc(map, 300000) != NULL);
		closefrom(3);
		CHECK(qalloc_check(map, NULL, NULL) == 0);
		closefrom(3);
		CHECK(info_of(map).processes == 2);
		closefrom(3);
		CHECK(qalloc_sync(map) == 0 && qalloc_trim(map) == 0);
	}
	CHECK(qalloc_tryfree(block, map) == 0);
	closefrom(3);
	return qalloc_cleanup();
}

static int closes_all_in_a_directory_that_is_gone(void *map)
{
	void *block = qalloc_malloc(map, 100);
	CHECK(block != NULL);
	CHECK(unlink(scratch("map")) == 0);
	closefrom(3);
	/* What needs no descriptor goes on; what needs one says so, and loses nothing. */
	CHECK(qalloc_tryfree(block, map) == 0);
	CHECK(qalloc_malloc(map, 100) == block);
	errno = 0;
	CHECK(qalloc_malloc(map, 2 * MIB) == NULL);
	CHECK(qalloc_error() == QALLOC_EREPLACED && errno == ESTALE && says(scratch("map")));
	CHECK(qalloc_malloc(map, 2 * MIB) == NULL && qalloc_error() == QALLOC_EREPLACED);
	CHECK(qalloc_tryfree(block, map) == 0);
	return qalloc_closemap(map);
}

static void a_process_that_closed_all_descriptors_goes_on(void **state)
{
	(void)state;
	void *map = dynamic_map(8 * MIB);

	assert_non_null(qalloc_malloc(map, 10));
	assert_int_equal(in_child(closes_all_and_goes_on, map), 0);
	assert_int_equal(count_live(map), 6);
	assert_int_equal(in_child(closes_all_in_a_directory_that_is_gone, map), 0);
	assert_int_equal(count_live(map), 6);
	assert_int_equal(info_of(map).processes, 1);
	assert_whole(map);
}

/* A call may find that its descriptor is gone; it says so, and the next one has another. */
static void *allocates_meanwhile(void *arg)
{
	struct busy *busy = arg;
	uint64_t random = 77;

	while (__atomic_load_n(&busy->stop, __ATOMIC_ACQUIRE) == 0) {
		size_t size = next_random(&random) % 40000;
		unsigned char *block = qalloc_malloc(busy->map, size);

		if (block == NULL) {
			if (qalloc_error() != QALLOC_EREPLACED && qalloc_error() != QALLOC_EBUSY &&
			    (qalloc_error() != QALLOC_ESYSTEM || errno != EBADF))
				busy->failed = check_failed(__FILE__, __LINE__, "a named error");
			continue;
		}
		fill(block, size, size);
		if (!is_filled(block, size, size))
			busy->failed = check_failed(__FILE__, __LINE__, "is_filled");
		while (qalloc_tryfree(block, busy->map) != 0) {
			if (qalloc_error() != QALLOC_EBUSY && qalloc_error() != QALLOC_EREPLACED &&
			    (qalloc_error() != QALLOC_ESYSTEM || errno != EBADF)) {
				busy->failed = check_failed(__FILE__, __LINE__, "a free");
				break;
			}
		}
	}
	return NULL;
}

static int closes_all_while_threads_allocate(void *map)
{
	struct busy busy = {.map = map};

	for (int i = 0; i < BUSY_THREADS; i++)
		CHECK(pthread_create(&busy.threads[i], NULL, allocates_meanwhile, &busy) == 0);
	for (int i = 0; i < (under_valgrind() ? 20 : 300); i++) {
		closefrom(3);
		rest_usec(200);
	}
	CHECK(busy_end(&busy) == 0);
	CHECK(works(map, 34, 300, 2) == 0);
	CHECK(qalloc_check(map, print_finding, NULL) == 0);
	return qalloc_cleanup();
}

static void closing_all_while_threads_allocate_loses_nothing(void **state)
{
	(void)state;
	void *map = dynamic_map(8 * MIB);

	assert_int_equal(in_child(closes_all_while_threads_allocate, map), 0);
	assert_int_equal(count_live(map), 2);
	assert_int_equal(info_of(map).processes, 1);
	assert_whole(map);
}

/* ---- Numbers that the program uses again ------------------------------------------------ */

/* Everything that takes a descriptor. */
static int needs_its_descriptor(void *map)
{
	CHECK(works(map, 35, 300, 0) == 0);
	void *large = qalloc_malloc(map, 3 * MIB);
	CHECK(large != NULL);
	memset(large, 1, 3 * MIB);
	CHECK(qalloc_sync(map) == 0);
	CHECK(qalloc_check(map, print_finding, NULL) == 0);
	CHECK(qalloc_tryfree(large, map) == 0);
	CHECK(qalloc_trim(map) == 0);
	CHECK(info_of(map).processes == 1);
	return 0;
}

static void a_number_that_names_another_file_is_not_touched(void **state)
{
	static uint8_t bytes[4096];
	struct stat before, after;

	(void)state;
	void *map = dynamic_map(8 * MIB);
	int fd = kept_descriptor(scratch("map"));

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + 1);
	write_file(scratch("innocent"), bytes, sizeof(bytes));
	assert_int_equal(truncate(scratch("innocent"), (off_t)(8 * MIB)), 0);
	int mine = open(scratch("innocent"), O_RDWR | O_CLOEXEC);

	assert_true(mine >= 0);
	assert_int_equal(dup2(mine, fd), fd);
	assert_int_equal(fstat(fd, &before), 0);
	assert_int_equal(needs_its_descriptor(map), 0);
	assert_int_equal(qalloc_closemap(map), 0);
	assert_true(is_file(fd, scratch("innocent")));
	assert_int_equal(fstat(fd, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	assert_int_equal(after.st_blocks, before.st_blocks);
	assert_int_equal(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
	assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
	/* Nothing of ours holds a lock on it. */
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	close(mine);
	mine = open(scratch("innocent"), O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(mine, F_OFD_GETLK, &lock), 0);
	assert_int_equal(lock.l_type, F_UNLCK);
	close(mine);
	close(fd);
	/* And nothing else of the map is left open. */
	for (int i = 3; i < NUMBERS; i++)
		assert_false(is_file(i, scratch("map")));
}

/* Where the library cannot open its file once more, or has no need to. */
static void closing_a_map_closes_no_number_of_the_program(void **state)
{
	(void)state;
	for (int readonly = 0; readonly < 2; readonly++) {
		struct qalloc_options options = options_for(QALLOC_READONLY);
		void *map = dynamic_map(8 * MIB);

		if (readonly) {
			assert_int_equal(qalloc_closemap(map), 0);
			map = qalloc_openmap(scratch("map"), &options);
			assert_opened(map);
		}
		int fd = kept_descriptor(scratch("map"));

		assert_int_equal(unlink(scratch("map")), 0);
		write_file(scratch("innocent"), "x", 1);
		int mine = open(scratch("innocent"), O_RDWR | O_CLOEXEC);

		assert_true(mine >= 0);
		assert_int_equal(dup2(mine, fd), fd);
		assert_int_equal(qalloc_closemap(map), 0);
		assert_true(is_file(fd, scratch("innocent")));
		close(mine);
		close(fd);
	}
}

static void a_number_that_names_another_map_is_not_confused(void **state)
{
	(void)state;
	void *map = dynamic_map(8 * MIB);
	int fd = kept_descriptor(scratch("map"));

	close(fd);
	/* The library itself gets the number again, for its next map. */
	void *other = qalloc_makedynmap((off_t)(8 * MIB), NULL, scratch("other"), 2);

	assert_opened(other);
	assert_int_equal(kept_descriptor(scratch("other")), fd);
	assert_int_equal(needs_its_descriptor(map), 0);
	assert_int_equal(needs_its_descriptor(other), 0);
	void *block = qalloc_malloc(map, 100), *block2 = qalloc_malloc(other, 100);

	assert_true(block != NULL && block2 != NULL);
	assert_int_equal(qalloc_tryfree(block, other), -1);
	assert_int_equal(qalloc_closemap(map), 0);
	assert_int_equal(kept_descriptor(scratch("other")), fd);
	assert_int_equal(needs_its_descriptor(other), 0);
	assert_int_equal(qalloc_closemap(other), 0);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

/* A program that copies the map file gets the number: the right file, and not for writing. */
static void a_number_that_names_the_map_for_reading_is_not_used_for_writing(void **state)
{
	(void)state;
	void *map = dynamic_map(8 * MIB);
	int fd = kept_descriptor(scratch("map"));
	int mine = open(scratch("map"), O_RDONLY | O_CLOEXEC);

	assert_true(mine >= 0);
	assert_int_equal(dup2(mine, fd), fd);
	assert_int_equal(needs_its_descriptor(map), 0);
	close(mine);
	assert_int_equal(qalloc_closemap(map), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(a_daemon_goes_on_with_its_map),
		TEST(a_daemon_with_a_relative_path_is_told_so),
		TEST(a_process_that_closed_all_descriptors_goes_on),
		TEST(closing_all_while_threads_allocate_loses_nothing),
		TEST(a_number_that_names_another_file_is_not_touched),
		TEST(closing_a_map_closes_no_number_of_the_program),
		TEST(a_number_that_names_another_map_is_not_confused),
		TEST(a_number_that_names_the_map_for_reading_is_not_used_for_writing),
	};
	return cmocka_run_group_tests_name("daemon", tests, NULL, NULL) != 0;
}
