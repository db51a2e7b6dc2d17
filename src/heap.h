/* SPDX-License-Identifier: MIT */
/*
 * The heap: from a size to a block and back.
 */
#ifndef QALLOC_HEAP_H
#define QALLOC_HEAP_H

#include "map.h"
#include "scan.h"

/* A pointer, resolved. */
struct block {
	uint64_t rel; /* from the data area's start */
	uint64_t span;
	uint64_t bytes; /* usable */
	uint32_t item;
	uint32_t cls;
	uint32_t stream;
	bool run; /* a run, else a small block */
};

/* Finds what begins at `address`.  QALLOC_OK, EWILD, EINTERIOR, ENOTLIVE, ECORRUPT, or what
   reserving says; nothing is recorded. */
enum qalloc_err heap_locate(struct map *m, const void *address, struct block *b);

/* Whether the block was live when looked at. */
bool heap_is_live(const struct map *m, const struct block *b);

/* The same on copies, liveness included, for a map that is open read-only. */
enum qalloc_err heap_locate_copy(struct scan *s, const void *address, struct block *b);

/*
 * Makes the first `bytes` bytes of a run safe to read here: their disk space is reserved.
 * 0, or -1 recorded.
 */
int heap_reserve(struct map *m, const struct block *b, uint64_t bytes);

/* A block of `bytes` bytes, aligned; NULL with the error recorded. */
void *heap_take(struct map *m, uint64_t bytes, uint64_t align);

/* Frees a located block.  0, or -1 with the error recorded. */
int heap_free(struct map *m, const struct block *b);

#endif
