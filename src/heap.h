/* SPDX-License-Identifier: MIT */
/*
 * The heap: from a size to a block, and back to free.
 */
#ifndef QALLOC_HEAP_H
#define QALLOC_HEAP_H

#include "block.h"
#include "intent.h"
#include "lock.h"

/* Whether a realloc to `size` bytes leaves the block where it is. */
bool heap_stays(const struct map *m, const struct block *b, uint64_t size);

/*
 * A block of `bytes` bytes, aligned; NULL with the error recorded.  Unless CELL_NONE, the
 * cell refers to it from the moment on in which it is live, whoever is killed when.
 */
void *heap_take(struct map *m, uint64_t bytes, uint64_t align, uint64_t cell);

/* Frees a located block.  0, or -1 with the error recorded. */
int heap_free(struct map *m, const struct block *b);

/* The same two for a call that does both: they wait no longer than `p` lasts. */
void *heap_take_within(struct map *m, struct patience *p, uint64_t bytes, uint64_t cell);
int heap_free_within(struct map *m, struct patience *p, const struct block *b);

/*
 * The same for a block that is handed over; waits for its stream as long as `p` lasts.  -1: nothing
 * has changed, unless a page was lost.
 */
int heap_free_from(struct map *m, const struct block *b, const struct handover *h,
		   struct patience *p);

#endif
