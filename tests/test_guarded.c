/* SPDX-License-Identifier: MIT */
/*
 * QALLOC_GUARD, and a call that meets a page which is gone: it is the first that fails, whichever it
 * is, in several threads at once, and in a forked child.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

#include "support.h"

#define SIZE (4 * MIB)
#define ROUNDS 30

static const char *path;
static void *map;
static void *block; /* with a pointer to `other` */
static void *other;

static void map_with_blocks(void)
{
	struct qalloc_options options = dynamic_options(QALLOC_CREATE | QALLOC_GUARD, SIZE, 3);

	path = scratch("map");
	map = qalloc_openmap(path, &options);
	assert_opened(map);
	block = qalloc_calloc(map, 1, 100);
	other = qalloc_malloc_to(map, 100, block);
	assert_non_null(other);
	assert_int_equal(qalloc_setroot(map, "root", other), 0);
}

static void unmap_and_remove(void)
{
	assert_int_equal(qalloc_closemap(map), 0);
	assert_int_equal(unlink(path), 0);
}

static int call_malloc(void)
{
	return qalloc_malloc(map, 100) == NULL ? -1 : 0;
}

static int call_malloc_run(void)
{
	return qalloc_malloc(map, 100000) == NULL ? -1 : 0;
}

static int call_calloc(void)
{
	return qalloc_calloc(map, 3, 100) == NULL ? -1 : 0;
}

static int call_aligned_alloc(void)
{
	return qalloc_aligned_alloc(map, 4096, 100) == NULL ? -1 : 0;
}

static int call_realloc(void)
{
	return qalloc_realloc(map, other, 3000) == NULL ? -1 : 0;
}

static int call_free(void)
{
	return qalloc_tryfree(block, map);
}

static int call_usable_size(void)
{
	return qalloc_usable_size(map, block) == 0 ? -1 : 0;
}

static int call_malloc_to(void)
{
	return qalloc_malloc_to(map, 100, block) == NULL ? -1 : 0;
}

static int call_realloc_to(void)
{
	return qalloc_realloc_to(map, 3000, block) == NULL ? -1 : 0;
}

static int call_free_from(void)
{
	return qalloc_free_from(map, block);
}

static int call_malloc_toroot(void)
{
	return qalloc_malloc_toroot(map, 100, "root") == NULL ? -1 : 0;
}

static int call_realloc_toroot(void)
{
	return qalloc_realloc_toroot(map, 3000, "root") == NULL ? -1 : 0;
}

static int call_free_fromroot(void)
{
	return qalloc_free_fromroot(map, "root");
}

static int call_recover(void)
{
	return qalloc_recover(map);
}

static int reach(void *reached, size_t size, struct qalloc_marks *marks, void *arg)
{
	(void)reached;
	(void)size;
	(void)arg;
	return qalloc_mark(marks, block);
}

static int call_sweep(void)
{
	return qalloc_sweep(map, reach, NULL, NULL);
}

static int call_trim(void)
{
	return qalloc_trim(map);
}

static int call_setroot(void)
{
	return qalloc_setroot(map, "root", block);
}

static int call_casroot(void)
{
	return qalloc_casroot(map, "root", other, block);
}

static int call_getroot(void)
{
	return qalloc_getroot(map, "root") == NULL ? -1 : 0;
}

static int call_delroot(void)
{
	return qalloc_delroot(map, "root");
}

static int visit_root(const char *name, void *value, void *arg)
{
	(void)name;
	(void)value;
	(void)arg;
	return 0;
}

static int call_roots(void)
{
	return qalloc_roots(map, visit_root, NULL);
}

static int visit(void *visited, size_t size, void *arg)
{
	(void)visited;
	(void)size;
	(void)arg;
	return 0;
}

static int call_walk(void)
{
	return qalloc_walk(map, visit, NULL);
}

static int call_mapinfo(void)
{
	struct qalloc_info info = {.size = sizeof(info)};

	return qalloc_mapinfo(map, &info);
}

static int call_check(void)
{
	return qalloc_check(map, NULL, NULL);
}

static int call_sync(void)
{
	return qalloc_sync(map);
}

static int call_checkpoint(void)
{
	return qalloc_checkpoint();
}

/* Those that read and write nothing but the file do not meet what is gone from the mapping. */
static const struct {
	const char *what;
	int (*call)(void);
	bool only_file;
} calls[] = {
	{"malloc", call_malloc, false},
	{"malloc of a run", call_malloc_run, false},
	{"calloc", call_calloc, false},
	{"aligned_alloc", call_aligned_alloc, false},
	{"realloc", call_realloc, false},
	{"free", call_free, false},
	{"usable_size", call_usable_size, false},
	{"malloc_to", call_malloc_to, false},
	{"realloc_to", call_realloc_to, false},
	{"free_from", call_free_from, false},
	{"malloc_toroot", call_malloc_toroot, false},
	{"realloc_toroot", call_realloc_toroot, false},
	{"free_fromroot", call_free_fromroot, false},
	{"recover", call_recover, false},
	{"sweep", call_sweep, false},
	{"trim", call_trim, true},
	{"setroot", call_setroot, false},
	{"casroot", call_casroot, false},
	{"getroot", call_getroot, false},
	{"delroot", call_delroot, false},
	{"roots", call_roots, false},
	{"walk", call_walk, true},
	{"mapinfo", call_mapinfo, true},
	{"check", call_check, true},
	{"sync", call_sync, true},
	{"checkpoint", call_checkpoint, true},
};
#define CALLS (sizeof(calls) / sizeof(calls[0]))

static void expect_poisoned(size_t i)
{
	errno = 0;
	int result = calls[i].call(), number = errno;

	if (result != -1 || qalloc_error() != QALLOC_EPOISONED) {
		print_error("%s: %d, %s\n", calls[i].what, result, qalloc_errmsg());
	}
	assert_int_equal(result, -1);
	assert_int_equal(qalloc_error(), QALLOC_EPOISONED);
	assert_int_equal(number, EIO);
}

static void the_interrupted_call_fails(void **state)
{
	(void)state;
	for (size_t i = 0; i < CALLS; i++) {
		if (calls[i].only_file) {
			continue;
		}
		map_with_blocks();
		assert_int_equal(truncate(path, 0), 0);
		expect_poisoned(i);
		unmap_and_remove();
	}
}

static void so_does_every_later_one(void **state)
{
	(void)state;
	map_with_blocks();
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(*(volatile char *)other, 0);
	for (size_t i = 0; i < CALLS; i++) {
		expect_poisoned(i);
	}
}

/* ---- The page is lost in the program's own function -------------------------------------- */

static int visit_and_read(void *visited, size_t size, void *arg)
{
	(void)size;
	++*(int *)arg;
	return *(volatile char *)visited;
}

static int reach_and_read(void *reached, size_t size, struct qalloc_marks *marks, void *arg)
{
	(void)size;
	(void)marks;
	++*(int *)arg;
	return *(volatile char *)reached;
}

static void lose_data(void)
{
	map_with_blocks();
	assert_int_equal(truncate(path, (off_t)info_of(map).data_offset), 0);
}

static void a_walk_or_sweep_that_loses_a_page_fails(void **state)
{
	int called = 0;

	(void)state;
	lose_data();
	assert_fails(qalloc_walk(map, visit_and_read, &called), QALLOC_EPOISONED);
	assert_true(called > 0);
	unmap_and_remove();
	called = 0;
	lose_data();
	assert_fails(qalloc_sweep(map, reach_and_read, &called, NULL), QALLOC_EPOISONED);
	assert_true(called > 0);
}

/* ---- Threads and processes ------------------------------------------------------------------ */

static uint64_t gate;

struct task {
	size_t page; /* of `other` that it reads; SIZE_MAX: it allocates */
	bool fails;  /* its next call on the map */
};

static void *runs_a_task(void *arg)
{
	struct task *t = arg;

	open_gate(&gate);
	if (t->page != SIZE_MAX && ((volatile char *)other)[t->page * 4096] != 0) {
		return NULL;
	}
	t->fails = qalloc_malloc(map, 100) == NULL && qalloc_error() == QALLOC_EPOISONED;
	return NULL;
}

/* The same page, another one, and one of the metadata. */
static void threads_fault_at_once(void **state)
{
	static const size_t pages[][2] = {{3, 3}, {3, 70}, {3, SIZE_MAX}, {SIZE_MAX, SIZE_MAX}};

	(void)state;
	for (size_t i = 0; i < ROUNDS; i++) {
		struct task tasks[2];
		pthread_t threads[2];

		map_with_blocks();
		other = qalloc_malloc(map, MIB);
		assert_non_null(other);
		assert_int_equal(truncate(path, 0), 0);
		gate = 2;
		for (size_t t = 0; t < 2; t++) {
			tasks[t] = (struct task){.page = pages[i % 4][t]};
			assert_int_equal(pthread_create(&threads[t], NULL, runs_a_task, &tasks[t]),
					 0);
		}
		for (size_t t = 0; t < 2; t++) {
			assert_int_equal(pthread_join(threads[t], NULL), 0);
			assert_true(tasks[t].fails);
		}
		unmap_and_remove();
	}
}

static int loses_the_map(bool reads)
{
	CHECK(!reads || *(volatile char *)other == 0);
	CHECK(qalloc_malloc(map, 100) == NULL && qalloc_error() == QALLOC_EPOISONED);
	CHECK(qalloc_closemap(map) == 0);
	return 0;
}

/* It inherits the guard; and what it poisons is its own handle. */
static void a_forked_child_is_guarded(void **state)
{
	bool reads = true;

	(void)state;
	for (int i = 0; i < 2; i++, reads = false) {
		map_with_blocks();
		fill(other, 100, 1);
		assert_int_equal(truncate(path, 0), 0);
		pid_t pid = fork(); /* start_child() would take the handler away. */

		if (pid == 0) {
			_exit(loses_the_map(reads));
		}
		assert_int_equal(wait_child(pid), 0);
		assert_fails(call_check(), QALLOC_ECORRUPT); /* Not poisoned yet, but too short. */
		assert_true(is_zero(other, 100));
		assert_fails(call_check(), QALLOC_EPOISONED);
		unmap_and_remove();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_begin, scratch_end)
		TEST(the_interrupted_call_fails),
		TEST(so_does_every_later_one),
		TEST(a_walk_or_sweep_that_loses_a_page_fails),
		TEST(threads_fault_at_once),
		TEST(a_forked_child_is_guarded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
