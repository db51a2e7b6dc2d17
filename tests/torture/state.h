/* SPDX-License-Identifier: MIT */
/*
 * A copy of a map's file, as a victim left it at one step, and what an heir will find in it.
 */
#ifndef QALLOC_TORTURE_STATE_H
#define QALLOC_TORTURE_STATE_H

#include "torture.h"

struct state {
	uint64_t hash;
	uint64_t step; /* at which it was first seen */
	size_t size;
	uint8_t *bytes; /* NULL: no file */
};

/* The caller frees s->bytes.  Left alone if there is no file. */
void state_read(struct state *s, const char *path);

/* Pages of zeros become holes, as they mostly were. */
void state_write(const struct state *s, const char *path);

/* Whether its creation was finished. */
bool state_is_complete(const struct state *s);

/* Whether whoever opens it has something to finish or to repair. */
bool state_needs_heir(const struct state *s, enum base base);

/* Who opens a map that was not closed repairs it at once; here it is to be found by and by. */
void state_mark_clean(const char *path);

#endif
