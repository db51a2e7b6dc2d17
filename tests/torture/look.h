/* SPDX-License-Identifier: MIT */
/*
 * What a tracer sees of a victim's map: the words that the allocator keeps in it.
 */
#ifndef QALLOC_TORTURE_LOOK_H
#define QALLOC_TORTURE_LOOK_H

#include "torture.h"

#define RANGES_MAX 10u
#define WATCHED_MAX (16u << 10)

struct range {
	uint64_t off, len;
};

/* What the tracer sees of the file. */
struct look {
	struct range ranges[RANGES_MAX];
	unsigned count;
	int64_t room; /* bytes that more ranges may have */
	uint8_t *map; /* NULL: look at the file */
	size_t len;   /* of what was seen last */
	uint8_t seen[WATCHED_MAX];
};

/* `opens`: the map is not there yet. */
void look_begin(struct look *l, const struct world *w, bool opens);
void look_end(struct look *l);

/* Whether anything differs from the last look; at first it does. */
bool look_changed(struct look *l, const char *path);
uint64_t look_hash(const struct look *l);

#endif
