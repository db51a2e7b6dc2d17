/* SPDX-License-Identifier: MIT */
/*
 * The pool: the owner of free spans and of runs.
 *
 *  - Free spans are found without the lock, their disk space is reserved, and only
 *    then the lock is taken to see whether they are still free: no system
 *    call happens inside.
 *  - One span changes hands with one store.  A run is many words, so an
 *    intent {op, first, count, cell} is written before and cleared after; whoever
 *    inherits the lock repairs from it.
 *  - The hint where to begin searching may be wrong: then searching starts over
 *    from the first span, so that "none" is true.
 */
#ifndef QALLOC_POOL_H
#define QALLOC_POOL_H

#include "intent.h"
#include "lock.h"

enum pool_result {
	POOL_OK,
	POOL_EMPTY, /* no free span, or no run that long */
	POOL_FAILED /* the error is recorded: ENOSPACE, EBUSY, ... */
};

/* Gives a free span to a stream, as blocks of class `cls`. */
enum pool_result pool_take_span(struct map *m, struct patience *p, uint32_t stream, uint32_t cls,
				uint64_t *span);

/* Takes `count` spans whose first address is a multiple of `align` bytes, for the cell if any. */
enum pool_result pool_take_run(struct map *m, struct patience *p, uint64_t count, uint64_t align,
			       uint64_t cell, uint64_t *first);

/* Makes the words of a run safe to touch.  0, or -1: it is not whole, recorded as ECORRUPT. */
int pool_see_run(struct map *m, uint64_t first, uint64_t count);

/* Frees the run that begins at `first`, and hands it over unless NULL.  0, or -1 recorded. */
int pool_free_run(struct map *m, struct patience *p, uint64_t first, const struct handover *h);

/* Zeroes [at, end) of the file where it has data.  0, or -1 recorded. */
int pool_wipe(struct map *m, uint64_t at, uint64_t end);

/* Inside the pool: drops whole pages, after telling who has reserved them meanwhile. */
int pool_drop(struct map *m, uint64_t addr, uint64_t bytes);

/* Inside the pool: no pages were dropped since STATE_TRIMS had that value. */
bool pool_space_kept(struct map *m, uint64_t trims);

/* Tells the pool that a span has become free. */
void pool_hint(struct map *m, uint64_t span);

/*
 * `count` free spans, as a look from outside found them: from the hint on, then everywhere;
 * `skip` is where an earlier look gave up.  Aligned: the first address is a multiple of `align`.
 */
enum pool_result pool_search(struct map *m, uint64_t skip, uint64_t count, uint64_t *found);
enum pool_result pool_search_aligned(struct map *m, uint64_t count, uint64_t align,
				     uint64_t *found);

/* Inside the pool: before a word below `end` is written. */
void pool_raise_frontier(struct map *m, uint64_t end);

/* Inside the pool, which has an intent.  0, or -1 recorded: not now, the intent stays. */
int pool_repair(struct map *m);

/* Whether a dead holder left it, or something in it. */
bool pool_is_dead(struct map *m);

/* Keeps a run that was in flight, whatever its cell says.  Nobody else may be attached. */
void pool_forget(struct map *m);

/* Enters the pool, repairing it if its holder died; FAILED if it stays busy. */
enum pool_result pool_enter(struct map *m, struct patience *p, struct lock *l);

#endif
