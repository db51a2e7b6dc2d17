/* SPDX-License-Identifier: MIT */
/*
 * From a pointer to the block that begins there.
 *
 *  - Nothing but the span's word and the geometry decides, and both are out of line.
 *  - What is found was so at one moment: whoever acts on it inside a stream looks again.
 */
#ifndef QALLOC_BLOCK_H
#define QALLOC_BLOCK_H

#include "map.h"

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
enum qalloc_err block_locate(struct map *m, const void *address, struct block *b);

/*
 * What begins at `rel`, and whether it is a live block, without touching the mapping: nothing that
 * is not there comes to be by looking.  0, or -1 with the error recorded.
 */
int block_peek(struct map *m, uint64_t rel, struct block *b, bool *live);

/* Bytes of the file; zeros where it has a hole, or ends.  0, or -1 with the error recorded. */
int map_peek(struct map *m, uint64_t off, void *buf, size_t len);

/* Whether the block was live when looked at. */
bool block_is_live(const struct map *m, const struct block *b);

/* A pointer that must be a live block, whole if it is a run.  0, or -1 with the error recorded. */
int block_resolve(struct map *m, const void *address, struct block *b);

/* The same for a map that is open read-only. */
int block_resolve_copy(struct map *m, const void *address, struct block *b);

/*
 * Makes the first `bytes` bytes of a run safe to read here: their disk space is reserved.
 * 0, or -1 recorded.
 */
int block_reserve(struct map *m, const struct block *b, uint64_t bytes);

#endif
