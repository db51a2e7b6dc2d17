/* SPDX-License-Identifier: MIT */
/*
 * Disk space: nothing of the mapping is touched before it is known to be there,
 * so that a full disk is an error and never SIGBUS.
 *
 *  - Metadata is reserved by the granule, once for each process.
 *  - A span is "seen" when its word, its pairs and, if it was not free, its data
 *    are reserved.  Whoever takes a span has reserved it, so a span that was
 *    seen stays safe until it is taken again.
 *  - Where the file system cannot reserve (EOPNOTSUPP) all of this is a no-op
 *    and qalloc_mapinfo() says so.
 *
 * None of these functions is called inside a stream or the pool, but where what a dead holder
 * left is repaired.
 */
#ifndef QALLOC_RESERVE_H
#define QALLOC_RESERVE_H

#include "map.h"

/* Reserves metadata [off, off + len).  0, or -1 with errno and no message. */
int reserve_meta(struct map *m, uint64_t off, uint64_t len);

/* Whether the byte of metadata at `off` was reserved by this process. */
bool meta_is_ready(const struct map *m, uint64_t off);

/* Reserves the words of these spans, and the pairs of the first: of a run no others are touched. */
int reserve_tables(struct map *m, uint64_t first, uint64_t count);

/* Reserves data and metadata of the spans [first, first + count), which are about to be taken. */
int reserve_spans(struct map *m, uint64_t first, uint64_t count);

/* Reserves any bytes of the data area, anew each time. */
int reserve_data(struct map *m, uint64_t off, uint64_t len);

/* Records errno as the failure of a reservation.  Returns -1. */
int reserve_fail(struct map *m);

static inline bool span_seen(const struct map *m, uint64_t span)
{
	return ((__atomic_load_n(&m->seen[span / 64], __ATOMIC_RELAXED) >> (span % 64)) & 1) != 0;
}

void span_mark_seen(struct map *m, uint64_t span);

/* Makes a span that this process did not take safe to touch. 0, or -1 with errno. */
int span_see(struct map *m, uint64_t span);

/*
 * Brings m->top up to the frontier, as far as the file has span words there.  0, or -1: a system
 * call failed, and there may be more; errno says why.
 */
int reserve_top(struct map *m);

#endif
