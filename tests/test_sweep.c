/* SPDX-License-Identifier: MIT */
/*
 * qalloc_sweep(): what the program reaches stays, all else goes; and what it gets wrong
 * costs nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "support.h"

#define SIZE (4 * MIB)

struct node {
	struct node *left, *right;
	uint64_t seed;
	char text[80];
};

static void *dynamic_map(void)
{
	void *map = qalloc_makedynmap((off_t)SIZE, NULL, scratch("map"), 3);

	assert_opened(map);
	return map;
}

static struct node *node_new(void *map, uint64_t seed, struct node *left, struct node *right)
{
	struct node *n = qalloc_malloc(map, sizeof(*n));

	assert_non_null(n);
	*n = (struct node){.left = left, .right = right, .seed = seed};
	fill(n->text, sizeof(n->text), seed);
	return n;
}

/* What `reach` was called for. */
struct visits {
	unsigned count;
	const void *last;
	size_t size;
};

static int reach_node(void *block, size_t size, struct qalloc_marks *marks, void *arg)
{
	struct visits *v = arg;
	struct node *n = block;

	v->count++;
	v->last = block;
	v->size = size;
	return qalloc_mark(marks, n->left) != 0 || qalloc_mark(marks, n->right) != 0 ? -1 : 0;
}

static int reach_nothing(void *block, size_t size, struct qalloc_marks *marks, void *arg)
{
	(void)block;
	(void)size;
	(void)marks;
	(void)arg;
	return 0;
}

static void blocks_out_of_reach_are_freed(void **state)
{
	void *map = dynamic_map();
	struct visits v = {0};
	size_t freed = 77;
	struct node *leaf = node_new(map, 1, NULL, NULL);
	/* The leaf is shared, and there is a cycle. */
	struct node *a = node_new(map, 2, leaf, NULL), *b = node_new(map, 3, leaf, a);

	(void)state;
	a->right = b;
	assert_int_equal(qalloc_setroot(map, "tree", b), 0);
	assert_int_equal(qalloc_setroot(map, "again", a), 0);
	assert_int_equal(qalloc_setroot(map, "none", NULL), 0);
	for (unsigned i = 0; i < 300; i++) {
		assert_non_null(qalloc_malloc(map, i * 40));
	}
	(void)node_new(map, 9, leaf, b);
	errno = 77;
	assert_int_equal(qalloc_sweep(map, reach_node, &v, &freed), 0);
	assert_int_equal(errno, 77);
	assert_int_equal(freed, 301);
	assert_int_equal(v.count, 3);
	assert_true(v.size >= sizeof(struct node));
	assert_int_equal(count_live(map), 3);
	assert_true(is_filled(leaf->text, sizeof(leaf->text), 1));
	assert_true(is_filled(a->text, sizeof(a->text), 2));
	assert_true(is_filled(b->text, sizeof(b->text), 3));
	assert_int_equal(qalloc_sweep(map, reach_node, &v, NULL), 0);
	assert_int_equal(count_live(map), 3);
	assert_whole(map);
}

static void without_roots_everything_goes(void **state)
{
	struct qalloc_options options = static_options(QALLOC_CREATE, SIZE, 40, 2);
	void *map = qalloc_openmap(scratch("static"), &options);
	size_t freed = 0;

	(void)state;
	assert_opened(map);
	for (unsigned i = 0; i < 1000; i++) {
		assert_non_null(qalloc_malloc(map, 0));
	}
	assert_int_equal(qalloc_sweep(map, reach_nothing, NULL, &freed), 0);
	assert_int_equal(freed, 1000);
	assert_int_equal(count_live(map), 0);
	assert_int_equal(qalloc_sweep(map, reach_nothing, NULL, &freed), 0);
	assert_int_equal(freed, 0);
}

/* Deep structures need room for what is still to be looked at, not a deep stack. */
static void long_lists_and_wide_trees_are_followed(void **state)
{
	void *map = dynamic_map();
	struct visits v = {0};
	struct node *list = NULL, *fan = NULL;

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		list = node_new(map, i, list, NULL);
		fan = node_new(map, i, fan, list);
	}
	assert_int_equal(qalloc_setroot(map, "list", fan), 0);
	assert_non_null(qalloc_malloc(map, 100000));
	assert_int_equal(qalloc_sweep(map, reach_node, &v, NULL), 0);
	assert_int_equal(v.count, 20000);
	assert_int_equal(count_live(map), 20000);
}

/* ---- What goes wrong costs nothing --------------------------------------------------- */

static int reach_wrongly(void *block, size_t size, struct qalloc_marks *marks, void *arg)
{
	void **wrong = arg;

	(void)block;
	(void)size;
	assert_int_equal(qalloc_mark(marks, *wrong), -1);
	/* Whoever does not look at the result cannot lose anything either. */
	return 0;
}

static void a_pointer_that_is_no_block_ends_the_sweep(void **state)
{
	void *map = dynamic_map();
	struct node *root = node_new(map, 1, NULL, NULL);
	char *freed_block = qalloc_malloc(map, 100);
	char *large = qalloc_malloc(map, 100000);
	struct {
		void *pointer;
		int error;
	} wrong[] = {
		{(char *)root + 8, QALLOC_EINTERIOR},
		{large + 70000, QALLOC_EINTERIOR},
		{freed_block, QALLOC_ENOTLIVE},
		{&root, QALLOC_EWILD},
	};

	(void)state;
	qalloc_free(freed_block, map);
	assert_int_equal(qalloc_setroot(map, "root", root), 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		size_t freed = 77;

		assert_fails(qalloc_sweep(map, reach_wrongly, &wrong[i].pointer, &freed),
			     wrong[i].error);
		assert_int_equal(freed, 0);
		assert_int_equal(count_live(map), 2);
	}
	assert_int_equal(qalloc_setroot(map, "inside", (char *)root + 8), 0);
	assert_fails(qalloc_sweep(map, reach_nothing, NULL, NULL), QALLOC_EINTERIOR);
	assert_int_equal(count_live(map), 2);
}

static int reach_and_stop(void *block, size_t size, struct qalloc_marks *marks, void *arg)
{
	(void)block;
	(void)size;
	(void)marks;
	(void)arg;
	return 5;
}

static void the_program_can_end_it(void **state)
{
	void *map = dynamic_map();

	(void)state;
	assert_int_equal(qalloc_setroot(map, "root", node_new(map, 1, NULL, NULL)), 0);
	assert_non_null(qalloc_malloc(map, 100));
	assert_int_equal(qalloc_sweep(map, reach_and_stop, NULL, NULL), 5);
	assert_int_equal(count_live(map), 2);
}

static void *map_of_child;

static int hold_open(void *arg)
{
	const int *pipes = arg;
	char byte = 0;

	CHECK(qalloc_tryfree(qalloc_malloc(map_of_child, 10), map_of_child) == 0);
	CHECK(write(pipes[1], &byte, 1) == 1);
	CHECK(read(pipes[2], &byte, 1) == 1);
	return 0;
}

static void others_who_use_the_map_are_noticed(void **state)
{
	void *map = dynamic_map();
	int pipes[4];
	char byte = 0;

	(void)state;
	assert_non_null(qalloc_malloc(map, 100));
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(pipe(pipes + 2), 0);
	map_of_child = map;
	pid_t child = start_child(hold_open, pipes);

	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_fails(qalloc_sweep(map, reach_nothing, NULL, NULL), QALLOC_EINUSE);
	assert_int_equal(count_live(map), 1);
	assert_int_equal(write(pipes[3], &byte, 1), 1);
	assert_int_equal(wait_child(child), 0);
	assert_int_equal(qalloc_sweep(map, reach_nothing, NULL, NULL), 0);
	assert_int_equal(count_live(map), 0);
}

static void wrong_arguments_are_refused(void **state)
{
	const char *path = scratch("map");
	void *map = dynamic_map();
	struct qalloc_options options = options_for(QALLOC_READONLY);

	(void)state;
	assert_fails(qalloc_sweep(map, NULL, NULL, NULL), QALLOC_EARGUMENT);
	assert_fails(qalloc_mark(NULL, map), QALLOC_EARGUMENT);
	assert_fails(qalloc_sweep(NULL, reach_nothing, NULL, NULL), QALLOC_EHANDLE);
	assert_int_equal(qalloc_closemap(map), 0);
	map = qalloc_openmap(path, &options);
	assert_opened(map);
	assert_fails(qalloc_sweep(map, reach_nothing, NULL, NULL), QALLOC_EREADONLY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_begin, scratch_end)
		TEST(blocks_out_of_reach_are_freed),
		TEST(without_roots_everything_goes),
		TEST(long_lists_and_wide_trees_are_followed),
		TEST(a_pointer_that_is_no_block_ends_the_sweep),
		TEST(the_program_can_end_it),
		TEST(others_who_use_the_map_are_noticed),
		TEST(wrong_arguments_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
