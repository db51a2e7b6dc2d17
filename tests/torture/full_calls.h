/* SPDX-License-Identifier: MIT */
/*
 * The calls that take, move and give back, on a disk that is full.
 */
#ifndef QALLOC_TORTURE_FULL_CALLS_H
#define QALLOC_TORTURE_FULL_CALLS_H

#include "shape.h"
#include "torture.h"

struct block {
	char *at;
	size_t size;
	uint64_t seed;
};

/* A failure must be that of a full disk, or of a full map; else it is a finding. */
bool is_full(const char *what, bool map_may_be_full);

/*
 * Each works, or says that there is no space and has changed nothing.  `blocks` are all that are
 * live; the map has no others afterwards.  False: a finding.
 */
bool full_calls(void *map, const struct shape *shape, const struct block *blocks, unsigned count);

#endif
