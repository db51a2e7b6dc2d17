/* SPDX-License-Identifier: MIT */
/*
 * Intents: how a block and the pointer to it change together, whoever is killed when.
 *
 *  - A cell is 8 bytes of the map that refer to a block: a pointer somewhere in the data area,
 *    the value of a root, or the block of a thread record.  It is named by its offset in the file.
 *  - One rule decides for all who were killed: *a block that an intent names is kept iff its
 *    cell refers to it*; else it is freed if it is live.
 *  - The intent of a stream {block, cell} is written inside the stream, before the first of the
 *    two changes, and cleared after the second.  Whoever takes the stream from a dead
 *    holder settles it first, so until then the block can neither be taken nor freed with its span.
 *    The pool's intent has a cell as well, for runs.
 *  - A thread record holds a new block for as long as it takes to fill it, outside every lock.
 *  - Of an intent nothing is believed: it names a live block of this stream and a
 *    valid cell, or it is ignored.
 */
#ifndef QALLOC_INTENT_H
#define QALLOC_INTENT_H

#include "block.h"
#include "map.h"

/* No cell: an ordinary malloc or free. */
#define CELL_NONE 0u

/* A cell that gives up a block, all in file offsets. */
struct handover {
	uint64_t cell;
	uint64_t fresh;  /* the block that it refers to afterwards; 0: NULL */
	uint64_t record; /* the cell that held `fresh` until now; CELL_NONE: none */
};

/* Whether `off` can be a cell at all. */
bool cell_valid(const struct map *m, uint64_t off);

/* Makes a cell in the data area safe to touch here.  0, or -1 with errno. */
int cell_see(struct map *m, uint64_t cell);

/* The block to which the cell refers, as an offset that may be anything; 0: none. */
uint64_t cell_get(const struct map *m, uint64_t cell);
void cell_set(const struct map *m, uint64_t cell, uint64_t block);

/*
 * Whether a live block, then in *b, begins at `off` to which the cell does not refer.  Both come from
 * the file: so the mapping is not touched, and nothing that is not there comes to be by looking.
 * 0, or -1 with the error recorded.
 */
int orphan_peek(struct map *m, uint64_t off, uint64_t cell, struct block *b, bool *orphan);

/* Gives the new block to the cell, or the old one back to it. */
void handover_do(const struct map *m, const struct handover *h);
void handover_undo(const struct map *m, const struct handover *h, uint64_t block);

/* The following are called inside the stream. */

/* Makes a free block live and the cell refer to it.  False: it is not free. */
bool intent_take(struct map *m, uint32_t stream, const struct span *s, uint32_t item, uint64_t rel,
		 uint64_t cell);

/* Around a free of a live block: between the two the caller hands over, and frees. */
void intent_begin(struct map *m, uint32_t stream, uint64_t block, uint64_t cell);
void intent_end(struct map *m, uint32_t stream);

/* What a dead holder left.  -1 recorded: not now, it stays for whoever comes next. */
int intent_settle(struct map *m, uint32_t stream);

/* A record of the calling thread, for the time of one call; CELL_NONE: all are in use. */
uint64_t record_claim(struct map *m, uint64_t me, uint64_t cell);
void record_release(struct map *m, uint64_t record); /* it names nothing any more */
/* Leaves what the record names to whoever recovers next. */
void record_abandon(struct map *m, uint64_t record);

/* Goes through the records of dead threads: claims one at or after *i for `me`. */
uint64_t record_next_dead(struct map *m, uint64_t me, uint32_t *i, uint64_t *cell);

/* Clears every intent and record, and frees nothing.  Nobody else may be attached. */
void intents_forget(struct map *m);

#endif
