/* SPDX-License-Identifier: MIT */
/*
 * Where a switch between two processes can matter: before the instructions that touch the
 * metadata of the map, and before system calls that others can see.
 *
 *  - A trail is what one victim did from where it stood: each such point, the words that it
 *    touched, and those that it changed.
 *  - A point is named by an address and how often execution came by there, so that a
 *    breakpoint finds it again in a victim that has done the same so far.
 */
#ifndef QALLOC_TORTURE_POINTS_H
#define QALLOC_TORTURE_POINTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define POINTS_MAX 4000u
#define META_BYTES ((size_t)128 << 10)
#define META_WORDS (META_BYTES / 8)

/* In `what`: a system call, and its number; else the word of the metadata. */
#define POINT_CALL ((uint32_t)1 << 31)

struct point {
	uint64_t rip;
	uint32_t hits; /* the hits-th time at rip, from 1 */
	uint32_t what;
	bool changes; /* the map is another after it */
};

struct trail {
	unsigned count, steps;
	bool waits; /* it came to a point where it waits for another process */
	struct point point[POINTS_MAX];
	uint8_t touched[META_WORDS], changed[META_WORDS];
};

/*
 * Runs a victim, at a stop, until *inside is 0 or it waits; `path` names its map.  Who looks at one
 * word more than `looks` times in a row, and nobody changes it, spins: that is waiting, too.
 */
void trail_record(pid_t victim, volatile const int *inside, const char *path, unsigned looks,
		  struct trail *t);

/* Runs a victim up to the point, counted from where the trail began.  False: it ended before. */
bool trail_run_to(pid_t victim, const struct point *p);

/* Adds what one trail touched and changed to another's. */
void trail_merge(struct trail *to, const struct trail *from);

/* Whether two may conflict in this word: both touch it, and one changes it. */
bool trail_conflict(const struct trail *a, const struct trail *b, uint32_t word);

#endif
