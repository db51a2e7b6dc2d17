/* SPDX-License-Identifier: MIT */
/*
 * A pointer that is not the start of a block that lives at that moment is refused by
 * name, whatever it points to, and the map is as it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "support.h"

static void *dynamic_map(const char *name)
{
	void *map = qalloc_makedynmap((off_t)(2 * MIB), NULL, scratch(name), 3);
	assert_opened(map);
	return map;
}

static void assert_refuses(void *map, void *pointer, int error)
{
	assert_fails(qalloc_tryfree(pointer, map), error);
	assert_failure(qalloc_usable_size(map, pointer) == 0, error);
}

static const size_t sizes[] = {0, 1, 16, 48, 100, 1000, 5000, 20000, 40000, 70000, 300000};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void a_second_free_is_refused_for_every_size(void **state)
{
	(void)state;
	void *map = dynamic_map("map");
	for (size_t i = 0; i < SIZES; i++) {
		void *block = qalloc_malloc(map, sizes[i]), *other = qalloc_malloc(map, sizes[i]);
		assert_non_null(block);
		assert_non_null(other);
		assert_int_equal(qalloc_tryfree(block, map), 0);
		assert_refuses(map, block, QALLOC_ENOTLIVE);
		assert_int_equal(qalloc_tryfree(other, map), 0);
		assert_fails(qalloc_tryfree(other, map), qalloc_error());
	}
	assert_int_equal(count_live(map), 0);
	assert_whole(map);
}

static void every_interior_pointer_is_refused(void **state)
{
	(void)state;
	void *map = dynamic_map("map");
	for (size_t i = 0; i < SIZES; i++) {
		char *block = qalloc_malloc(map, sizes[i]);
		assert_non_null(block);
		size_t usable = qalloc_usable_size(map, block);
		for (size_t k = 1; k < usable; k = k < 300 ? k + 1 : k + k / 5)
			assert_refuses(map, block + k, QALLOC_EINTERIOR);
		assert_refuses(map, block + usable - 1, QALLOC_EINTERIOR);
		assert_int_equal(qalloc_usable_size(map, block), usable);
		assert_int_equal(qalloc_tryfree(block, map), 0);
	}
	assert_whole(map);
}

static void wild_pointers_are_refused(void **state)
{
	(void)state;
	char local[64];
	char *heap = malloc(64);
	void *map = dynamic_map("map");
	struct qalloc_info info = info_of(map);
	char *base = info.base;
	assert_refuses(map, local, QALLOC_EWILD);
	assert_refuses(map, heap, QALLOC_EWILD);
	assert_refuses(map, (void *)1, QALLOC_EWILD);
	assert_refuses(map, (void *)UINTPTR_MAX, QALLOC_EWILD);
	assert_refuses(map, (void *)(uintptr_t)0x8000000000000000, QALLOC_EWILD);
	/* Header, state, tables, guards, and what is behind the file. */
	for (uint64_t off = 0; off < info.data_offset; off += 4096)
		assert_refuses(map, base + off, QALLOC_EWILD);
	assert_refuses(map, base + info.data_offset - 1, QALLOC_EWILD);
	assert_refuses(map, base - 16, QALLOC_EWILD);
	assert_refuses(map, base + info.filesize, QALLOC_EWILD);
	assert_refuses(map, base + info.filesize + 65536, QALLOC_EWILD);
	assert_whole(map);
	free(heap);
}

static void data_that_was_never_allocated_is_refused(void **state)
{
	(void)state;
	void *map = dynamic_map("map");
	struct qalloc_info info = info_of(map);
	char *data = (char *)info.base + info.data_offset;
	for (uint64_t off = 0; off < info.data_bytes; off += 1600)
		assert_int_equal(qalloc_tryfree(data + off, map), -1);
	assert_refuses(map, data, QALLOC_ENOTLIVE);
	assert_whole(map);
	assert_non_null(qalloc_malloc(map, info.data_bytes));
}

static void a_block_of_another_map_is_wild(void **state)
{
	(void)state;
	void *a = dynamic_map("a"), *b = dynamic_map("b");
	void *block = qalloc_malloc(a, 100);
	assert_non_null(block);
	assert_refuses(b, block, QALLOC_EWILD);
	assert_int_equal(qalloc_tryfree(block, a), 0);
	assert_refuses(b, block, QALLOC_EWILD);
}

static void a_block_after_its_map_was_closed_is_refused(void **state)
{
	(void)state;
	void *map = dynamic_map("map");
	void *block = qalloc_malloc(map, 100);
	assert_int_equal(qalloc_closemap(map), 0);
	assert_refuses(map, block, QALLOC_EHANDLE);
	/* Closed and opened again, the block lives on. */
	map = dynamic_map("map");
	assert_int_equal(qalloc_tryfree(block, map), 0);
}

static void null_is_no_misuse(void **state)
{
	(void)state;
	void *map = dynamic_map("map");
	assert_int_equal(qalloc_tryfree(NULL, map), 0);
	qalloc_free(NULL, map);
	assert_failure(qalloc_usable_size(map, NULL) == 0, QALLOC_EWILD);
}

static void items_of_a_static_map_obey_the_same_rules(void **state)
{
	static const size_t itemsizes[] = {1, 24, 64, 100, 5000, 70000};
	(void)state;
	for (size_t s = 0; s < sizeof(itemsizes) / sizeof(itemsizes[0]); s++) {
		void *map = qalloc_makestatmap((off_t)(2 * MIB + 5), NULL, scratch("map"),
					       itemsizes[s], 3);
		assert_opened(map);
		struct qalloc_info info = info_of(map);
		size_t stride = (itemsizes[s] + 7) / 8 * 8;
		char *data = (char *)info.base + info.data_offset;
		char *item = qalloc_statmalloc(map);
		assert_non_null(item);
		assert_int_equal((size_t)(item - data) % stride, 0);
		for (size_t k = 1; k < stride; k = k < 100 ? k + 1 : k + k / 5)
			assert_refuses(map, item + k, QALLOC_EINTERIOR);
		assert_int_equal(qalloc_tryfree(item, map), 0);
		assert_refuses(map, item, QALLOC_ENOTLIVE);
		assert_refuses(map, data - stride, QALLOC_EWILD);
		/* The last item is one, and what is left behind it is none. */
		char *last = data + (info.blocks_max - 1) * stride;
		assert_refuses(map, last, QALLOC_ENOTLIVE);
		assert_refuses(map, last + stride, QALLOC_EWILD);
		assert_whole(map);
		assert_int_equal(qalloc_cleanup(), 0);
		assert_int_equal(unlink(scratch("map")), 0);
	}
}

/* ---- The handler --------------------------------------------------------------- */

struct calls {
	int count, error;
	void *map, *block;
	jmp_buf *escape;
};

static void note(void *map, void *block, int error, void *arg)
{
	struct calls *calls = arg;
	calls->count++;
	calls->map = map;
	calls->block = block;
	calls->error = error;
	/* It may call the library. */
	void *other = qalloc_malloc(map, 64);
	if (other != NULL)
		qalloc_free(other, map);
	if (calls->escape != NULL)
		longjmp(*calls->escape, 1);
}

static void the_handler_is_told_and_the_call_has_no_effect(void **state)
{
	(void)state;
	struct calls calls = {0};
	void *map = dynamic_map("map");
	char *block = qalloc_malloc(map, 100);
	assert_non_null(block);
	qalloc_onmisuse(note, &calls);
	qalloc_free(block + 1, map);
	assert_int_equal(calls.count, 1);
	assert_int_equal(calls.error, QALLOC_EINTERIOR);
	assert_ptr_equal(calls.block, block + 1);
	assert_ptr_equal(calls.map, map);
	qalloc_dynfree(&calls, map);
	assert_int_equal(calls.count, 2);
	assert_int_equal(calls.error, QALLOC_EWILD);
	assert_int_equal(count_live(map), 1);
	qalloc_free(block, map);
	assert_int_equal(calls.count, 2);
	qalloc_free(block, map);
	assert_int_equal(calls.count, 3);
	assert_int_equal(calls.error, QALLOC_ENOTLIVE);
	/* tryfree answers its caller alone. */
	assert_fails(qalloc_tryfree(block, map), QALLOC_ENOTLIVE);
	assert_int_equal(calls.count, 3);
	assert_int_equal(qalloc_closemap(map), 0);
	qalloc_free(block, map);
	assert_int_equal(calls.count, 4);
	assert_int_equal(calls.error, QALLOC_EHANDLE);
	qalloc_onmisuse(NULL, NULL);
}

static void the_handler_may_jump_out(void **state)
{
	(void)state;
	static jmp_buf escape;
	static struct calls calls;
	static void *map;
	static void *block;
	calls = (struct calls){.escape = &escape};
	map = dynamic_map("map");
	block = qalloc_malloc(map, 100);
	assert_non_null(block);
	qalloc_free(block, map);
	qalloc_onmisuse(note, &calls);
	for (volatile int i = 0; i < 5; i++) {
		if (setjmp(escape) == 0) {
			qalloc_free(block, map);
			fail_msg("the handler was not called");
		}
	}
	assert_int_equal(calls.count, 5);
	qalloc_onmisuse(NULL, NULL);
	/* No stream was left entered. */
	for (int i = 0; i < 10; i++)
		assert_non_null(qalloc_malloc(map, 100));
	assert_whole(map);
}

static void realloc_of_what_does_not_live_is_misuse(void **state)
{
	(void)state;
	struct calls calls = {0};
	void *map = dynamic_map("map");
	char *block = qalloc_malloc(map, 100);
	assert_non_null(block);
	qalloc_onmisuse(note, &calls);
	assert_null(qalloc_realloc(map, block + 16, 200));
	assert_int_equal(calls.error, QALLOC_EINTERIOR);
	assert_null(qalloc_realloc(map, &calls, 200));
	assert_int_equal(calls.error, QALLOC_EWILD);
	qalloc_free(block, map);
	assert_null(qalloc_realloc(map, block, 200));
	assert_int_equal(calls.error, QALLOC_ENOTLIVE);
	assert_null(qalloc_realloc(map, block, 0));
	assert_int_equal(calls.count, 4);
	qalloc_onmisuse(NULL, NULL);
	assert_int_equal(count_live(map), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(a_second_free_is_refused_for_every_size),
		TEST(every_interior_pointer_is_refused),
		TEST(wild_pointers_are_refused),
		TEST(data_that_was_never_allocated_is_refused),
		TEST(a_block_of_another_map_is_wild),
		TEST(a_block_after_its_map_was_closed_is_refused),
		TEST(null_is_no_misuse),
		TEST(items_of_a_static_map_obey_the_same_rules),
		TEST(the_handler_is_told_and_the_call_has_no_effect),
		TEST(the_handler_may_jump_out),
		TEST(realloc_of_what_does_not_live_is_misuse),
	};
	return cmocka_run_group_tests_name("misuse", tests, NULL, NULL) != 0;
}
