/* SPDX-License-Identifier: MIT */
/*
 * Children that are made in other ways than fork(2), while threads allocate: posix_spawn and
 * vfork with exec, and a raw clone(2) that no handler of the library sees.
 *
 *  - A new program inherits no descriptor of the library, no mapping and no life: its
 *    parent counts as gone as soon as it is.
 *  - Who lives and who dies first makes no difference to the one who stays.
 */
#include <dirent.h>
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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "support.h"
#include "works.h"

extern char **environ;

static char program[4096];

static void *dynamic_map(size_t streams)
{
	void *map = qalloc_makedynmap((off_t)(8 * MIB), NULL, scratch("map"), streams);

	assert_opened(map);
	return map;
}

static unsigned rounds(unsigned wanted)
{
	return under_valgrind() ? wanted / 10 + 1 : wanted;
}

/* ---- New programs ------------------------------------------------------------------ */

/* Nothing that is open here lies in the directory of the map: neither it nor its like. */
static int has_none_of_the_files(const char *path)
{
	size_t len = (size_t)(strrchr(path, '/') - path);
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	char target[4096];
	int seen = 0;

	CHECK(dir != NULL);
	while ((entry = readdir(dir)) != NULL) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		if (n < 0)
			continue;
		target[n] = '\0';
		seen++;
		CHECK(strncmp(target, path, len) != 0);
		CHECK(strstr(target, "boot_id") == NULL && strstr(target, "/maps") == NULL);
	}
	closedir(dir);
	CHECK(seen > 0);
	return 0;
}

static int has_no_mapping(const char *path)
{
	char line[4096];
	FILE *maps = fopen("/proc/self/maps", "re");

	CHECK(maps != NULL);
	while (fgets(line, sizeof(line), maps) != NULL)
		CHECK(strstr(line, path) == NULL);
	fclose(maps);
	return 0;
}

/* The role: looks at what it inherited, then joins the map by its path, and keeps 2 blocks. */
static int looks_and_joins(const char *path)
{
	CHECK(has_none_of_the_files(path) == 0);
	CHECK(has_no_mapping(path) == 0);
	void *map = qalloc_loadmap(path);
	CHECK(map != NULL);
	CHECK(works(map, 9, 200, 2) == 0);
	return qalloc_cleanup();
}

/* Beside the threads that allocate: descriptors and locks come and go all the time. */
struct opener {
	char path[1024];
	int stop, failed;
	pthread_t thread;
};

static void *opens_and_closes(void *arg)
{
	struct opener *o = arg;

	while (__atomic_load_n(&o->stop, __ATOMIC_ACQUIRE) == 0) {
		void *map = qalloc_makedynmap((off_t)MIB, NULL, o->path, 2);

		if (map == NULL || qalloc_malloc(map, 100) == NULL || qalloc_closemap(map) != 0 ||
		    unlink(o->path) != 0)
			__atomic_store_n(&o->failed, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void opener_begin(struct opener *o)
{
	*o = (struct opener){.stop = 0};
	snprintf(o->path, sizeof(o->path), "%s", scratch("other"));
	assert_int_equal(pthread_create(&o->thread, NULL, opens_and_closes, o), 0);
}

static int opener_end(struct opener *o)
{
	__atomic_store_n(&o->stop, 1, __ATOMIC_RELEASE);
	pthread_join(o->thread, NULL);
	return o->failed;
}

static pid_t spawned(const char *role, const char *path)
{
	char name[] = "--role", which[32], where[1024];
	char *args[] = {program, name, which, where, NULL};
	pid_t pid;

	snprintf(which, sizeof(which), "%s", role);
	snprintf(where, sizeof(where), "%s", path);
	return posix_spawn(&pid, program, NULL, NULL, args, environ) == 0 ? pid : -1;
}

/* Of its own, since what vfork() returns to twice must not have variables that change. */
__attribute__((noinline)) static pid_t vforked(const char *role, const char *path)
{
	char name[] = "--role", which[32], where[1024];
	char *args[] = {program, name, which, where, NULL};

	snprintf(which, sizeof(which), "%s", role);
	snprintf(where, sizeof(where), "%s", path);
	pid_t pid = vfork();

	if (pid == 0) {
		execv(program, args);
		_exit(127);
	}
	return pid;
}

typedef pid_t starts_fn(const char *role, const char *path);

static void joins_while_others_allocate(starts_fn *start)
{
	const unsigned count = rounds(60);
	char path[1024];
	struct busy busy;
	struct opener opener;
	void *map = dynamic_map(2);

	snprintf(path, sizeof(path), "%s", scratch("map"));
	opener_begin(&opener);
	assert_int_equal(busy_begin(&busy, map), 0);
	for (unsigned i = 0; i < count; i++) {
		pid_t pid = start("joins", path);

		assert_true(pid > 0);
		assert_int_equal(works(map, 10, 50, 0), 0);
		assert_int_equal(wait_bounded(pid), 0);
	}
	assert_int_equal(busy_end(&busy), 0);
	assert_int_equal(opener_end(&opener), 0);
	assert_int_equal(count_live(map), 2 * count);
	assert_int_equal(info_of(map).processes, 1);
	assert_whole(map);
}

static void spawned_programs_inherit_nothing_and_join(void **state)
{
	(void)state;
	joins_while_others_allocate(spawned);
}

static void vforked_programs_inherit_nothing_and_join(void **state)
{
	(void)state;
	joins_while_others_allocate(vforked);
}

/* ---- Who keeps whom alive ------------------------------------------------------------ */

/* The role: knows nothing of the map, and lives until its standard input ends. */
static int lives(const char *arg)
{
	char byte;

	(void)arg;
	return read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 1;
}

struct parent {
	void *map;
	starts_fn *start;
	uint64_t *words; /* 0: the child's process id, 1: go on, 2: the child's result */
	int pipes[2];
};

static int starts_one_and_allocates_for_ever(void *arg)
{
	struct parent *p = arg;
	struct busy busy;

	CHECK(dup2(p->pipes[0], STDIN_FILENO) == STDIN_FILENO);
	CHECK(close(p->pipes[0]) == 0 && close(p->pipes[1]) == 0);
	CHECK(busy_begin(&busy, p->map) == 0);
	CHECK(works(p->map, 14, 100, 0) == 0);
	pid_t pid = p->start("lives", scratch("map"));
	CHECK(pid > 0);
	__atomic_store_n(&p->words[0], (uint64_t)pid, __ATOMIC_RELEASE);
	for (;;)
		CHECK(works(p->map, 13, 100, 0) == 0);
}

static void wait_for_word(const uint64_t *word)
{
	const uint64_t deadline = now_msec() + 60000;

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == 0 && now_msec() < deadline)
		rest_usec(500);
	assert_int_not_equal(__atomic_load_n(word, __ATOMIC_ACQUIRE), 0);
}

/* A program that goes on does not keep the slot of the one that started it. */
static void a_parent_that_is_killed_is_gone_though(starts_fn *start)
{
	struct parent p = {.map = dynamic_map(1), .start = start, .words = shared_words(3)};

	assert_int_equal(pipe(p.pipes), 0);
	pid_t parent = start_child(starts_one_and_allocates_for_ever, &p);

	wait_for_word(&p.words[0]);
	pid_t child = (pid_t)p.words[0];

	assert_int_equal(info_of(p.map).processes, 2);
	kill(parent, SIGKILL);
	assert_int_equal(wait_child(parent), SIGNALLED + SIGKILL);
	assert_int_equal(kill(child, 0), 0);
	assert_int_equal(info_of(p.map).processes, 1);
	/* What it held in its only stream and in the pool is there for us at once. */
	const uint64_t before = now_msec();

	assert_int_equal(works(p.map, 15, 500, 0), 0);
	assert_true(now_msec() - before < 1000 || under_valgrind());
	assert_true(count_live(p.map) <= 51 * (BUSY_THREADS + 1));
	assert_whole(p.map);
	close(p.pipes[0]);
	close(p.pipes[1]); /* and the program ends */
	release_shared_words(p.words, 3);
}

static void a_spawned_program_does_not_keep_its_parent_alive(void **state)
{
	(void)state;
	a_parent_that_is_killed_is_gone_though(spawned);
}

static void a_vforked_program_does_not_keep_its_parent_alive(void **state)
{
	(void)state;
	a_parent_that_is_killed_is_gone_though(vforked);
}

/* ---- Without libc -------------------------------------------------------------------- */

/* As fork(2), but no handler runs, and libc knows nothing of it. */
static pid_t cloned(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void raw_clones_work_while_others_allocate(void **state)
{
	const unsigned count = rounds(40);
	struct busy busy;
	struct opener opener;
	void *map = dynamic_map(2);

	(void)state;
	opener_begin(&opener);
	assert_int_equal(busy_begin(&busy, map), 0);
	for (unsigned i = 0; i < count; i++) {
		pid_t pid = cloned();

		assert_true(pid >= 0);
		if (pid == 0)
			_exit(works(map, 16, 200, 3));
		assert_int_equal(works(map, 17, 50, 0), 0);
		assert_int_equal(wait_bounded(pid), 0);
	}
	assert_int_equal(busy_end(&busy), 0);
	assert_int_equal(opener_end(&opener), 0);
	assert_int_equal(count_live(map), 3 * count);
	assert_int_equal(info_of(map).processes, 1);
	assert_whole(map);
}

/* The child's own child, made with fork: its handlers find whatever state was copied. */
static void a_raw_clone_may_fork(void **state)
{
	struct opener opener;
	void *map = dynamic_map(2);

	(void)state;
	opener_begin(&opener);
	for (unsigned i = 0; i < rounds(10); i++) {
		const uint64_t before = now_msec();
		pid_t pid = cloned();

		assert_true(pid >= 0);
		if (pid == 0) {
			pid_t inner = fork();
			int status = 0;

			if (inner == 0)
				_exit(works(map, 18, 100, 0));
			_exit(inner < 0 || waitpid(inner, &status, 0) != inner || status != 0 ||
			      works(map, 19, 100, 0) != 0);
		}
		assert_int_equal(wait_bounded(pid), 0);
		assert_true(now_msec() - before < 10000);
	}
	assert_int_equal(opener_end(&opener), 0);
	assert_int_equal(count_live(map), 0);
	assert_whole(map);
}

/* ---- Who outlives whom ------------------------------------------------------------------ */

typedef pid_t child_maker_fn(void);

struct family {
	void *map;
	child_maker_fn *make;
	uint64_t *
		words; /* 0: the child is there, 1: the parent is gone, 2: 1 + the child's result */
};

static int has_a_child_and_allocates(void *arg)
{
	struct family *f = arg;
	struct busy busy;

	CHECK(works(f->map, 20, 100, 0) == 0);
	CHECK(busy_begin(&busy, f->map) == 0);
	rest_usec(2000);
	pid_t pid = f->make();
	CHECK(pid >= 0);
	if (pid == 0) {
		/* While the parent's threads allocate, and then when there is no parent. */
		uint64_t result = (uint64_t)works(f->map, 21, 200, 0);

		__atomic_store_n(&f->words[0], 1, __ATOMIC_RELEASE);
		while (__atomic_load_n(&f->words[1], __ATOMIC_ACQUIRE) == 0)
			sched_yield();
		result |= (uint64_t)works(f->map, 22, 1000, 7);
		__atomic_store_n(&f->words[2], 1 + result, __ATOMIC_RELEASE);
		_exit(0);
	}
	for (;;)
		CHECK(works(f->map, 23, 100, 0) == 0);
}

static void a_child_outlives_a_busy_parent(child_maker_fn *make)
{
	for (unsigned i = 0; i < rounds(10); i++) {
		struct family f = {dynamic_map(2), make, shared_words(3)};
		pid_t parent = start_child(has_a_child_and_allocates, &f);

		wait_for_word(&f.words[0]);
		kill(parent, SIGKILL);
		assert_int_equal(wait_child(parent), SIGNALLED + SIGKILL);
		/* The child is a process of its own, and does not keep its parent's slot. */
		assert_int_equal(info_of(f.map).processes, 2);
		__atomic_store_n(&f.words[1], 1, __ATOMIC_RELEASE);
		wait_for_word(&f.words[2]);
		assert_int_equal(f.words[2], 1);
		/* What the killed one's threads had, and the 7. */
		assert_true(count_live(f.map) >= 7);
		assert_true(count_live(f.map) <= 7 + 51 * (BUSY_THREADS + 1));
		assert_whole(f.map);
		assert_int_equal(qalloc_cleanup(), 0);
		assert_int_equal(unlink(scratch("map")), 0);
		release_shared_words(f.words, 3);
	}
}

static void a_busy_parent_outlives_children(child_maker_fn *make)
{
	struct busy busy;
	void *map = dynamic_map(2);
	unsigned killed = 0;

	assert_int_equal(busy_begin(&busy, map), 0);
	for (unsigned i = 0; i < rounds(40); i++) {
		pid_t pid = make();

		assert_true(pid >= 0);
		if (pid == 0) {
			for (;;) {
				if (works(map, 24, 100, 0) != 0)
					_exit(1);
			}
		}
		assert_int_equal(works(map, i, 50 + i * 10, 0), 0);
		kill(pid, SIGKILL);
		killed += wait_child(pid) == SIGNALLED + SIGKILL;
		assert_int_equal(works(map, i, 50, 0), 0);
	}
	assert_int_equal(busy_end(&busy), 0);
	assert_int_equal(killed, rounds(40));
	assert_true(count_live(map) <= 51 * killed);
	assert_int_equal(info_of(map).processes, 1);
	assert_whole(map);
}

static void a_forked_child_outlives_a_parent_whose_threads_allocate(void **state)
{
	(void)state;
	a_child_outlives_a_busy_parent(fork);
}

static void a_raw_clone_outlives_a_parent_whose_threads_allocate(void **state)
{
	(void)state;
	a_child_outlives_a_busy_parent(cloned);
}

static void a_parent_whose_threads_allocate_outlives_forked_children(void **state)
{
	(void)state;
	a_busy_parent_outlives_children(fork);
}

static void a_parent_whose_threads_allocate_outlives_raw_clones(void **state)
{
	(void)state;
	a_busy_parent_outlives_children(cloned);
}

int main(int argc, char **argv)
{
	static const struct role table[] = {{"joins", looks_and_joins}, {"lives", lives}};

	roles(argc, argv, table, sizeof(table) / sizeof(table[0]));
	if (realpath(argv[0], program) == NULL)
		return 1;
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(spawned_programs_inherit_nothing_and_join),
		TEST(vforked_programs_inherit_nothing_and_join),
		TEST(a_spawned_program_does_not_keep_its_parent_alive),
		TEST(a_vforked_program_does_not_keep_its_parent_alive),
		TEST(raw_clones_work_while_others_allocate),
		TEST(a_raw_clone_may_fork),
		TEST(a_forked_child_outlives_a_parent_whose_threads_allocate),
		TEST(a_raw_clone_outlives_a_parent_whose_threads_allocate),
		TEST(a_parent_whose_threads_allocate_outlives_forked_children),
		TEST(a_parent_whose_threads_allocate_outlives_raw_clones),
	};
	return cmocka_run_group_tests_name("exec", tests, NULL, NULL) != 0;
}
