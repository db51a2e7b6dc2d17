/* SPDX-License-Identifier: MIT */
/*
 * A stream: a sequential allocator of small blocks with one holder at a time.
 *
 *  - A thread has a home stream in each map.  It moves to another when it finds its
 *    home held by somebody else.
 *  - The stream's spans are those whose words name it.  A cursor in the file for each
 *    size class says "no room below this span"; a process also remembers where
 *    it found room last and which blocks it freed last.  All of these are hints:
 *    the words and the bits are the truth, and the last resort (heap.c) looks
 *    at everything.
 *  - Inside a stream there is no system call and no callback, but where a dead holder is repaired.
 */
#ifndef QALLOC_STREAM_H
#define QALLOC_STREAM_H

#include "lock.h"

#define STREAM_NONE UINT32_MAX

enum stream_take {
	STREAM_TAKEN, /* *rel is the block */
	STREAM_EMPTY, /* no room that the hints know of */
	STREAM_UNSEEN /* *rel is a span to be seen (reserve.h) first */
};

uint32_t stream_home(const struct map *m);

/* Enters the home stream, or moves house, or waits.  The stream held, or STREAM_NONE. */
uint32_t stream_enter_any(struct map *m, struct patience *p);

/* Enters this stream, waiting a little.  False: busy, or ours already. */
bool stream_enter(struct map *m, uint32_t stream, struct patience *p);
/* Enters this stream if it is free at once. */
bool stream_enter_now(struct map *m, uint32_t stream, uint64_t me);
void stream_leave(struct map *m, uint32_t stream);
/* Whether the thread holds it already: a call that this one interrupted does. */
bool stream_is_mine(const struct map *m, uint32_t stream, uint64_t me);

/* Whether its holder can never come back. */
bool stream_is_dead(struct map *m, uint32_t stream);

/* The following are called inside the stream. */

/* A block of class `cls`, which becomes live, and to which the cell refers unless CELL_NONE. */
enum stream_take stream_take(struct map *m, uint32_t stream, uint32_t cls, uint64_t cell,
			     uint64_t *rel);

/* A block of class `cls` of this one span, if it is the stream's and has room. */
bool stream_take_from(struct map *m, uint32_t stream, uint64_t span, uint32_t cls, uint64_t cell,
		      uint64_t *rel);

/* Frees a block of the stream's own span.  The span goes back to the pool when it is empty.
   False: it is not a live block of that class any more. */
bool stream_free(struct map *m, uint32_t stream, uint32_t cls, uint64_t span, uint32_t item);

/* Gives the span back to the pool if it is the stream's and empty.  Its tables are reserved. */
bool stream_release(struct map *m, uint32_t stream, uint64_t span);

/* Tells a stream, from outside, that one of its spans may have room again. */
void stream_hint(struct map *m, uint32_t stream, uint32_t cls, uint64_t span);

#endif
