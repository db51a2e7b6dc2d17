/* SPDX-License-Identifier: MIT */
/*
 * Calls on a full disk.  See full_calls.h.
 *
 *  - What a call returns is written to its end: a page without disk space is SIGBUS.
 *  - What was not moved keeps its contents, and a pointer that was not changed its value.
 */
#include "full_calls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../support.h"

static void *map;
static const struct shape *shape;

bool is_full(const char *what, bool map_may_be_full)
{
	int number = errno;

	if (qalloc_error() == QALLOC_ENOSPACE && number == ENOSPC) {
		return true;
	}
	if (map_may_be_full && qalloc_error() == QALLOC_EFULL && number == ENOMEM) {
		return true;
	}
	finding("%s: error %d, errno %d (%s): %s", what, qalloc_error(), number, strerror(number),
		qalloc_errmsg());
	return false;
}

static bool works(const char *what, bool worked)
{
	if (!worked) {
		finding("%s on a full disk: %s", what, qalloc_errmsg());
	}
	return worked;
}

static bool gives_back(char *block)
{
	return works("free", qalloc_tryfree(block, map) == 0);
}

static bool takes(void)
{
	size_t size = shape_size(shape, 300);
	char *block = qalloc_calloc(map, 1, size);

	if (block == NULL) {
		return is_full("calloc", true);
	}
	if (!is_zero(block, size)) {
		finding("calloc on a full disk: not zero");
		return false;
	}
	fill(block, size, 3);
	if (!gives_back(block)) {
		return false;
	}
	size = shape_size(shape, 9000);
	block = qalloc_aligned_alloc(map, 8, size);
	if (block == NULL) {
		return is_full("aligned_alloc", true);
	}
	fill(block, size, 4);
	return gives_back(block);
}

/* As far as the items of a static map go. */
static bool moves(size_t from, size_t to)
{
	size_t before = shape_size(shape, from), after = shape_size(shape, to);
	char *block = qalloc_malloc(map, before);

	if (block == NULL) {
		return is_full("malloc", true);
	}
	fill(block, before, 5);
	char *moved = qalloc_realloc(map, block, after);
	size_t kept = moved == NULL || before < after ? before : after;

	if (moved == NULL && !is_full("realloc", true)) {
		return false;
	}
	block = moved == NULL ? block : moved;
	if (!is_filled(block, kept, 5)) {
		finding("realloc from %zu to %zu on a full disk: the contents have changed", from,
			to);
		return false;
	}
	fill(block, moved == NULL ? before : after, 6);
	return gives_back(block);
}

/* The cell gets a block of `size` bytes, or stays what it was. */
static bool publishes(void **cell, size_t size, bool may_move)
{
	size_t bytes = shape_size(shape, size);
	void *before = *cell;
	void *block =
		may_move ? qalloc_realloc_to(map, bytes, cell) : qalloc_malloc_to(map, bytes, cell);

	if (block == NULL && !is_full("publishing", true)) {
		return false;
	}
	if (*cell != (block == NULL ? before : block)) {
		finding("publishing on a full disk: the pointer is neither the old nor the new");
		return false;
	}
	if (block != NULL) {
		fill(block, bytes, 7);
	}
	return true;
}

static bool publishes_in_the_map(void)
{
	void **cell = qalloc_calloc(map, 1, sizeof(*cell));

	if (cell == NULL) {
		return is_full("calloc", true);
	}
	return publishes(cell, 48, false) && publishes(cell, 2000, true) &&
	       publishes(cell, 20000, true) && publishes(cell, 100, true) &&
	       works("free_from", qalloc_free_from(map, cell) == 0 && *cell == NULL) &&
	       gives_back((char *)cell);
}

static bool publishes_in_a_root(void)
{
	size_t small = shape_size(shape, 300), large = shape_size(shape, 20000);
	void *block = qalloc_malloc_toroot(map, small, "full");

	if (block == NULL && !is_full("malloc_toroot", true)) {
		return false;
	}
	if (block != NULL) {
		fill(block, small, 8);
		void *moved = qalloc_realloc_toroot(map, large, "full");

		if (moved == NULL && !is_full("realloc_toroot", true)) {
			return false;
		}
		block = moved == NULL ? block : moved;
		fill(block, moved == NULL ? small : large, 9);
	}
	if (qalloc_getroot(map, "full") != block) {
		finding("publishing on a full disk: the root is neither the old nor the new");
		return false;
	}
	return works("free_fromroot", qalloc_free_fromroot(map, "full") == 0) &&
	       works("delroot", qalloc_delroot(map, "full") == 0);
}

struct keep {
	const struct block *blocks;
	unsigned count;
};

static int reach_all(void *block, size_t size, struct qalloc_marks *marks, void *arg)
{
	const struct keep *k = arg;

	(void)size;
	for (unsigned i = 0; block == k->blocks[0].at && i < k->count; i++) {
		if (qalloc_mark(marks, k->blocks[i].at) != 0) {
			return -1;
		}
	}
	return 0;
}

/* Only the stray is out of reach. */
static bool sweeps(const struct block *blocks, unsigned count)
{
	struct keep k = {.blocks = blocks, .count = count};
	bool has_stray = qalloc_malloc(map, shape_size(shape, 100)) != NULL;
	size_t freed = 0;

	if (!has_stray && !is_full("malloc", true)) {
		return false;
	}
	if (!works("recover", qalloc_recover(map) == 0) ||
	    !works("setroot", qalloc_setroot(map, "root", count > 0 ? blocks[0].at : NULL) == 0) ||
	    !works("sweep", qalloc_sweep(map, reach_all, &k, &freed) == 0)) {
		return false;
	}
	if (freed != has_stray) {
		finding("sweep on a full disk freed %zu blocks", freed);
		return false;
	}
	return true;
}

bool full_calls(void *m, const struct shape *s, const struct block *blocks, unsigned count)
{
	static const size_t sizes[][2] = {
		{300, 2000}, {2000, 100}, {48, 20000}, {5000, 65536}, {65536, 5000}, {20000, 24},
	};

	map = m;
	shape = s;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (!moves(sizes[i][0], sizes[i][1])) {
			return false;
		}
	}
	return takes() && publishes_in_the_map() && publishes_in_a_root() &&
	       sweeps(blocks, count) && works("check", qalloc_check(map, NULL, NULL) == 0);
}
