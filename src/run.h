/* SPDX-License-Identifier: MIT */
/*
 * Runs: blocks larger than a size class, as whole consecutive spans.
 *
 *  - The truth of a run is its head word {RUN, length}; the other words are TAIL.
 *  - Words change only under the pool's lock, except that the holder of a stream
 *    may turn its own SMALL into FREE.
 *  - Taking writes the tails from the last to the first and the head at the end; freeing
 *    writes the head first.  So whatever a dead holder left of either is a stretch of
 *    FREE and then TAIL words without a head, which fill the end of its intent's range.
 *  - Every read is checked anew: the words are shared and may say anything.
 *  - A length that comes from the file costs no time or disk space of its own: what is read
 *    and written because of it is only TAIL words that are there, and one word more.
 */
#ifndef QALLOC_RUN_H
#define QALLOC_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "span.h"

#define RUN_NONE UINT64_MAX

/* The first of `need` consecutive FREE words within [from, to); RUN_NONE: there are none. */
uint64_t run_find(const uint64_t *words, uint64_t from, uint64_t to, uint64_t need);

/* Whether words [first, first + len) are all FREE. */
bool run_is_free(const uint64_t *words, uint64_t first, uint64_t len);

/*
 * Turns [first, first + len), which is free, into a run; and back, where the first word
 * behind the head that is not TAIL ends the run, whatever `len` says.  Requires 1 <= len < 2^32.
 */
void run_take(uint64_t *words, uint64_t first, uint64_t len);
void run_free(uint64_t *words, uint64_t first, uint64_t len);

/* The length of the run whose head is `first`, in a map of `spans` spans; 0: there is no valid head. */
uint64_t run_length(const uint64_t *words, uint64_t spans, uint64_t first);

/*
 * Undoes, or leaves finished, what a dead holder began; any bytes may be in the
 * intent.  Of the TAIL words that fill the end of [first, first + len) it frees those
 * that no run covers, and nothing else.  A repair that is killed can be repaired.
 */
void run_repair(uint64_t *words, uint64_t spans, uint64_t op, uint64_t first, uint64_t len);

#endif
