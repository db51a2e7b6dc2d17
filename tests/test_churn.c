/* SPDX-License-Identifier: MIT */
/*
 * Random churn against a model: an array that knows which blocks live, how long they
 * are and what is in them.  The map is closed and loaded in the middle.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support.h"

#define LIVE_MAX 3000

struct block {
	void *address; /* NULL: none */
	size_t size;
	uint64_t seed; /* of its pattern */
};

struct model {
	void *map;
	uint64_t random;
	uint64_t serial; /* of the last pattern */
	size_t itemsize; /* 0: dynamic */
	size_t live, refused;
	struct block blocks[LIVE_MAX];
};

static struct model model;

static size_t any_size(struct model *m)
{
	if (m->itemsize != 0)
		return m->itemsize;
	switch (next_random(&m->random) % 20) {
	case 0:
		return next_random(&m->random) % 200000;
	case 1:
	case 2:
		return next_random(&m->random) % 20000;
	default:
		return next_random(&m->random) % 400;
	}
}

static void give_pattern(struct model *m, struct block *b, void *address, size_t size)
{
	b->address = address;
	b->size = size;
	b->seed = ++m->serial;
	fill(address, size, b->seed);
}

static void assert_intact(const struct block *b)
{
	if (!is_filled(b->address, b->size, b->seed))
		fail_msg("block %p of %zu bytes was overwritten", b->address, b->size);
}

static void add(struct model *m, struct block *b)
{
	size_t size = any_size(m);
	bool clear = next_random(&m->random) % 8 == 0;
	void *address = clear ? qalloc_calloc(m->map, 1, size) : qalloc_malloc(m->map, size);
	if (address == NULL) {
		assert_int_equal(qalloc_error(), QALLOC_EFULL);
		m->refused++;
		return;
	}
	if (clear)
		assert_true(is_zero(address, size));
	give_pattern(m, b, address, size);
	m->live++;
}

static void resize(struct model *m, struct block *b)
{
	size_t size = any_size(m);
	void *address = qalloc_realloc(m->map, b->address, size);
	if (address == NULL) {
		assert_int_equal(qalloc_error(), QALLOC_EFULL);
		assert_intact(b);
		m->refused++;
		return;
	}
	assert_true(is_filled(address, size < b->size ? size : b->size, b->seed));
	give_pattern(m, b, address, size);
}

static void drop(struct model *m, struct block *b)
{
	assert_int_equal(qalloc_usable_size(m->map, b->address) >= b->size, 1);
	assert_int_equal(qalloc_tryfree(b->address, m->map), 0);
	assert_int_equal(qalloc_tryfree(b->address, m->map), -1);
	b->address = NULL;
	m->live--;
}

static void step(struct model *m)
{
	struct block *b = &m->blocks[next_random(&m->random) % LIVE_MAX];
	if (b->address == NULL) {
		add(m, b);
		return;
	}
	assert_intact(b);
	if (next_random(&m->random) % 5 == 0)
		resize(m, b);
	else
		drop(m, b);
}

static void assert_agreement(struct model *m)
{
	assert_whole(m->map);
	assert_int_equal(count_live(m->map), m->live);
	assert_int_equal(info_of(m->map).live_blocks, m->live);
	for (size_t i = 0; i < LIVE_MAX; i++) {
		if (m->blocks[i].address != NULL)
			assert_intact(&m->blocks[i]);
	}
}

static void churn(struct model *m, void *map, uint64_t seed, unsigned steps)
{
	assert_opened(map);
	m->map = map;
	m->random = seed;
	if (under_valgrind())
		steps /= 20;
	for (unsigned i = 1; i <= steps; i++) {
		step(m);
		if (i % (steps / 4) != 0)
			continue;
		assert_agreement(m);
		assert_int_equal(qalloc_closemap(m->map), 0);
		m->map = qalloc_loadmap(scratch("map"));
		assert_opened(m->map);
		assert_agreement(m);
	}
	/* Empty it: all of it is there again. */
	for (size_t i = 0; i < LIVE_MAX; i++) {
		if (m->blocks[i].address != NULL)
			drop(m, &m->blocks[i]);
	}
	assert_agreement(m);
	assert_int_equal(m->live, 0);
	if (m->itemsize == 0) {
		assert_non_null(qalloc_malloc(m->map, info_of(m->map).data_bytes));
		return;
	}
	for (uint64_t i = info_of(m->map).blocks_max; i > 0; i--)
		assert_non_null(qalloc_statmalloc(m->map));
	assert_refused(qalloc_statmalloc(m->map), QALLOC_EFULL);
}

static void a_dynamic_map_with_room_agrees_with_the_model(void **state)
{
	(void)state;
	memset(&model, 0, sizeof(model));
	churn(&model, qalloc_makedynmap((off_t)(64 * MIB), NULL, scratch("map"), 4), 1, 60000);
	assert_int_equal(model.refused, 0);
}

static void a_dynamic_map_that_is_mostly_full_agrees_with_the_model(void **state)
{
	(void)state;
	for (uint64_t seed = 2; seed < 5; seed++) {
		memset(&model, 0, sizeof(model));
		remove(scratch("map"));
		churn(&model,
		      qalloc_makedynmap((off_t)(3 * MIB), NULL, scratch("map"), (size_t)seed), seed,
		      20000);
		assert_true(model.refused > 0 || under_valgrind());
		assert_int_equal(qalloc_cleanup(), 0);
	}
}

static void static_maps_agree_with_the_model(void **state)
{
	static const struct {
		size_t itemsize, items, streams;
	} maps[] = {{1, 2000, 1}, {24, 5000, 3}, {64, 1000, 16}, {5000, 1400, 4}, {70000, 30, 2}};
	(void)state;
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		memset(&model, 0, sizeof(model));
		model.itemsize = maps[i].itemsize;
		remove(scratch("map"));
		off_t size =
			qalloc_statmap_filesize(maps[i].itemsize, maps[i].items, maps[i].streams);
		churn(&model,
		      qalloc_makestatmap(size, NULL, scratch("map"), maps[i].itemsize,
					 maps[i].streams),
		      i + 10, 20000);
		assert_int_equal(qalloc_cleanup(), 0);
	}
}

static void a_map_that_zeroes_on_free_agrees_with_the_model(void **state)
{
	(void)state;
	struct qalloc_options options =
		dynamic_options(QALLOC_CREATE | QALLOC_ZERO_ON_FREE, 8 * MIB, 3);
	memset(&model, 0, sizeof(model));
	churn(&model, qalloc_openmap(scratch("map"), &options), 20, 20000);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(a_dynamic_map_with_room_agrees_with_the_model),
		TEST(a_dynamic_map_that_is_mostly_full_agrees_with_the_model),
		TEST(static_maps_agree_with_the_model),
		TEST(a_map_that_zeroes_on_free_agrees_with_the_model),
	};
	int failed = cmocka_run_group_tests_name("churn", tests, NULL, NULL);
	if (scratch_in("/dev/shm"))
		failed += cmocka_run_group_tests_name("churn, on tmpfs", tests, NULL, NULL);
	return failed != 0;
}
