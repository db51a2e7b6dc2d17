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
#ifdef __FRAMAC__
#include "../proofs/run.acsl"
#endif

#define RUN_NONE UINT64_MAX

/* The first of `need` consecutive FREE words within [from, to); RUN_NONE: there are none. */
/*@ requires words: \valid_read(words + (from .. to - 1));
    terminates \true;
    assigns \nothing;
    ensures bound: \result != RUN_NONE ==>
      need >= 1 && from <= \result && \result + need <= to;
    ensures run: quiet && \result != RUN_NONE ==> free_run(words, \result, need);
    ensures first: quiet && \result != RUN_NONE ==>
      \forall integer p; from <= p < \result ==> !free_run(words, p, need);
    ensures none: quiet && need >= 1 && \result == RUN_NONE ==>
      \forall integer p; from <= p && p + need <= to ==> !free_run(words, p, need); */
uint64_t run_find(const uint64_t *words, uint64_t from, uint64_t to, uint64_t need);

/* Whether words [first, first + len) are all FREE. */
/*@ requires words: first + len <= UINT64_MAX && \valid_read(words + (first .. first + len - 1));
    terminates \true;
    assigns \nothing;
    ensures quiet: quiet ==> (\result <==> free_run(words, first, len)); */
bool run_is_free(const uint64_t *words, uint64_t first, uint64_t len);

/*
 * Turns [first, first + len), which is free, into a run; and back, where the first word
 * behind the head that is not TAIL ends the run, whatever `len` says.  Requires 1 <= len < 2^32.
 */
/*@ requires len: 1 <= len < 0x100000000 && first + len <= UINT64_MAX;
    requires words: \valid(words + (first .. first + len - 1));
    terminates \true;
    assigns words[first .. first + len - 1];
    ensures head: words[first] == run_word(len);
    ensures tails: all_tail(words, first + 1, first + len);
    ensures whole: \forall integer spans; free_in{Pre}(words, spans, first, first + len) ==>
      stays_whole{Pre, Post}(words, spans); */
void run_take(uint64_t *words, uint64_t first, uint64_t len);

/*@ requires len: 1 <= len && first + len <= UINT64_MAX;
    requires words: \valid(words + (first .. first + len - 1));
    terminates \true;
    assigns words[first .. first + len - 1];
    ensures head: words[first] == SPAN_FREE;
    ensures tails: freed_only{Pre, Post}(words, first + 1, first + len);
    ensures whole: quiet && all_tail{Pre}(words, first + 1, first + len) ==>
      free_run(words, first, len);
    ensures kept: quiet ==> \forall integer spans;
      taken{Pre}(words, spans, first, first + len) ==> stays_whole{Pre, Post}(words, spans); */
void run_free(uint64_t *words, uint64_t first, uint64_t len);

/* The length of the run whose head is `first`, in a map of `spans` spans; 0: there is no valid head. */
/*@ requires words: \valid_read(words + (0 .. spans - 1));
    terminates \true;
    assigns \nothing;
    ensures bound: \result == 0 || first + \result <= spans;
    ensures none: quiet && \result == 0 ==> !run_head(words, spans, first);
    ensures head: quiet && \result != 0 ==>
      run_head(words, spans, first) && \result == word_length(words[first]); */
uint64_t run_length(const uint64_t *words, uint64_t spans, uint64_t first);

/*
 * Undoes, or leaves finished, what a dead holder began; any bytes may be in the
 * intent.  Of the TAIL words that fill the end of [first, first + len) it frees those
 * that no run covers, and nothing else.  A repair that is killed can be repaired.
 */
/*@ requires words: \valid(words + (0 .. spans - 1));
    terminates \true;
    assigns words[0 .. spans - 1];
    ensures outside: \forall integer i; 0 <= i < spans && !(first <= i < first + len) ==>
      words[i] == \old(words[i]);
    ensures inside: freed_only{Pre, Post}(words, 0, spans);
    ensures ignored: !repairs(op, first, len, spans) ==>
      \forall integer i; 0 <= i < spans ==> words[i] == \old(words[i]);
    ensures exact: quiet && repairs(op, first, len, spans) ==>
      repaired{Pre, Post}(words, spans, first, first + len, first + len);
    ensures repaired: quiet && repairs(op, first, len, spans) &&
      runs_left{Pre}(words, spans, first, first + len) ==> runs_whole(words, spans);
    ensures whole: quiet ==> stays_whole{Pre, Post}(words, spans);
    ensures still: quiet && runs_whole{Pre}(words, spans) ==>
      \forall integer i; 0 <= i < spans ==> words[i] == \old(words[i]); */
void run_repair(uint64_t *words, uint64_t spans, uint64_t op, uint64_t first, uint64_t len);

#endif
