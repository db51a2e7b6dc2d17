/* SPDX-License-Identifier: MIT */
/*
 * Going through all spans of a map, on copies.
 *
 *  - Span words and bit pairs are read with pread(2), by the piece, into private
 *    memory: what was looked at cannot change under the looker, and holes in the
 *    file are skipped, so the cost is bounded by what is allocated.
 *  - A copy is a hint about a live map: whoever acts on it enters the stream and
 *    looks again.
 */
#ifndef QALLOC_SCAN_H
#define QALLOC_SCAN_H

#include "map.h"

/* A table of the file, one piece of which is in memory. */
struct table {
	uint64_t off; /* of its first entry */
	uint64_t entry_bytes;
	uint64_t count; /* entries [first, first + count) are in memory */
	uint64_t first;
	char *bytes;
	uint64_t room; /* bytes */
};

struct scan {
	struct map *m;
	struct table words;
	struct table pairs;
	uint64_t next; /* span */
	char *memory;
	uint64_t memory_bytes;
	bool failed; /* a read failed; the error is recorded */
};

/* 0, or -1 with the error recorded. */
int scan_begin(struct scan *s, struct map *m);
void scan_end(struct scan *s);

/* The next span whose word is not zero.  False at the end, or if a read failed. */
bool scan_next(struct scan *s, uint64_t *span, uint64_t *word);

/* The next span, at or after *span, whose pairs are in the file at all. */
bool scan_next_pairs(struct scan *s, uint64_t *span);

/* The word, and the bit pairs, of any span: zeros where the file has a hole. */
uint64_t scan_word(struct scan *s, uint64_t span);
uint64_t *scan_pairs(struct scan *s, uint64_t span);

#endif
