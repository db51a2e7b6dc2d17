/* SPDX-License-Identifier: MIT */
/*
 * Runs of whole spans (run.h says what they are).
 *
 *  - The caller holds the pool's lock, or only looks.
 *  - Time is bounded by what the caller asks for, and, where a length comes from the
 *    file, by the TAIL words that are really there.
 */
#include "run.h"

uint64_t run_find(const uint64_t *words, uint64_t from, uint64_t to, uint64_t need)
{
	uint64_t len = 0; /* FREE words that end before i */

	if (need == 0)
		return RUN_NONE;
	/*@ loop invariant bound: from <= i && (i <= to || i == from) && len <= i - from && len < need;
	    loop invariant tail: quiet ==> free_run(words, i - len, len);
	    loop invariant edge: quiet && from + len < i ==> words[i - len - 1] != SPAN_FREE;
	    loop invariant none: quiet ==>
	      \forall integer p; from <= p && p + need <= i ==> !free_run(words, p, need);
	    loop invariant none2: quiet ==>
	      \forall integer p; from <= p < i - len ==> !free_run(words, p, need);
	    loop assigns i, len;
	    loop variant to - i; */
	for (uint64_t i = from; i < to; i++) {
		if (shared_load(&words[i]) == SPAN_FREE)
			len++;
		else
			len = 0;
		if (len == need)
			return i + 1 - need;
	}
	return RUN_NONE;
}

bool run_is_free(const uint64_t *words, uint64_t first, uint64_t len)
{
	/*@ loop invariant bound: i <= len;
	    loop invariant free: quiet ==> free_run(words, first, i);
	    loop assigns i;
	    loop variant len - i; */
	for (uint64_t i = 0; i < len; i++) {
		if (shared_load(&words[first + i]) != SPAN_FREE)
			return false;
	}
	return true;
}

void run_take(uint64_t *words, uint64_t first, uint64_t len)
{
	/*@ loop invariant bound: i < len;
	    loop invariant tails: all_tail(words, first + i + 1, first + len);
	    loop invariant step: \forall integer spans;
	      free_in{Pre}(words, spans, first, first + len) ==>
	      step{Pre, Here}(words, spans, first, first + i + 1, first + len);
	    loop assigns i, words[first + 1 .. first + len - 1];
	    loop variant i; */
	for (uint64_t i = len - 1; i > 0; i--) {
		own_store(&words[first + i], SPAN_TAIL);
		/*@ assert stretch: \forall integer spans;
		      free_in{Pre}(words, spans, first, first + len) ==>
		      stretch(words, first, first + i, first + len); */
		/*@ assert killed: \forall integer spans;
		      free_in{Pre}(words, spans, first, first + len) ==>
		      step{Pre, Here}(words, spans, first, first + i, first + len) &&
		      mendable{Pre, Here}(words, spans, first, first + len); */
	}
	own_store(&words[first], span_word_run(len));
	/*@ assert step: \forall integer spans;
	      free_in{Pre}(words, spans, first, first + len) ==>
	      step{Pre, Here}(words, spans, first, first + len, first + len); */
}

/*
 * Frees TAIL words from `from` upwards, to the first word before `to` that is none.  So what is
 * left over fills the end after each store, if it did so before, as left_from() says.
 */
/*@ requires words: from < to ==> \valid(words + (from .. to - 1));
    terminates \true;
    assigns words[from .. to - 1];
    ensures tails: freed_only{Pre, Post}(words, from, to);
    ensures whole: quiet && all_tail{Pre}(words, from, to) ==>
      \forall integer i; from <= i < to ==> words[i] == SPAN_FREE; */
static void free_tails(uint64_t *words, uint64_t from, uint64_t to)
{
	/*@ loop invariant bound: from <= i && (i <= to || i == from);
	    loop invariant tails: freed_only{Pre, Here}(words, from, i);
	    loop invariant rest: \forall integer k; i <= k < to ==> words[k] == \at(words[k], Pre);
	    loop invariant freed: \forall integer k; from <= k < i ==> words[k] == SPAN_FREE;
	    loop assigns i, words[from .. to - 1];
	    loop variant to - i; */
	for (uint64_t i = from; i < to; i++) {
		if (shared_load(&words[i]) != SPAN_TAIL)
			return;
		own_store(&words[i], SPAN_FREE);
		/*@ assert killed: \forall integer spans, integer first;
		      left_from{Pre}(words, spans, first, from, to) ==>
		      repaired{Pre, Here}(words, spans, first, i + 1, to) &&
		      mendable{Pre, Here}(words, spans, first, to); */
	}
}

void run_free(uint64_t *words, uint64_t first, uint64_t len)
{
	own_store(&words[first], SPAN_FREE);
	/*@ assert killed: \forall integer spans;
	      taken{Pre}(words, spans, first, first + len) ==>
	      step{Pre, Here}(words, spans, first, first + 1, first + len) &&
	      mendable{Pre, Here}(words, spans, first, first + len) &&
	      left_from(words, spans, first, first + 1, first + len); */
	free_tails(words, first + 1, first + len);
	/*@ assert step: quiet ==> \forall integer spans;
	      taken{Pre}(words, spans, first, first + len) ==>
	      step{Pre, Here}(words, spans, first, first + len, first + len); */
}

uint64_t run_length(const uint64_t *words, uint64_t spans, uint64_t first)
{
	if (first >= spans)
		return 0;

	uint64_t word = shared_load(&words[first]);

	if (span_word_state(word) != SPAN_RUN || !span_word_valid(word, 0, 0, spans - first))
		return 0;
	return span_word_length(word);
}

/*
 * The first TAIL word that no run covers, of those that fill the end of [0, end).  Before them stands
 * the head of the run that covers them, if there is one.  end or more: all are covered.
 */
/*@ requires words: end <= spans && \valid_read(words + (0 .. spans - 1));
    terminates \true;
    assigns \nothing;
    ensures bound: \result <= spans;
    ensures tails: quiet && \result <= end ==> all_tail(words, \result, end);
    ensures left: quiet ==> \forall integer t; 0 <= t < spans ==>
      (bare_tail(words, spans, end, t) <==> \result <= t < end); */
static uint64_t uncovered_from(const uint64_t *words, uint64_t spans, uint64_t end)
{
	uint64_t from = end;

	/*@ loop invariant bound: from <= end;
	    loop invariant tails: quiet ==> all_tail(words, from, end);
	    loop assigns from;
	    loop variant from; */
	while (from > 0 && shared_load(&words[from - 1]) == SPAN_TAIL)
		from--;
	/*@ assert edge: quiet && from > 0 ==> words[from - 1] != SPAN_TAIL; */
	/*@ assert above: quiet ==> \forall integer t; 0 <= t < from ==> !all_tail(words, t, end); */
	/*@ assert heads: quiet ==> \forall integer t, integer h; from <= t < end &&
	      covers(words, spans, h, t) ==> h == from - 1; */

	uint64_t covered = from > 0 ? run_length(words, spans, from - 1) : 0;
	uint64_t bare = covered > 0 ? from - 1 + covered : from;

	/*@ assert below: quiet ==> \forall integer t; from <= t < bare && t < end ==>
	      covers(words, spans, from - 1, t) && covered(words, spans, t); */
	/*@ assert rest: quiet ==> \forall integer t; bare <= t < end ==>
	      all_tail(words, t, end) && !covered(words, spans, t); */
	return bare;
}

void run_repair(uint64_t *words, uint64_t spans, uint64_t op, uint64_t first, uint64_t len)
{
	if (op != INTENT_RUN_TAKE && op != INTENT_RUN_FREE)
		return;
	if (len == 0 || first >= spans || len > spans - first)
		return;

	uint64_t end = first + len;
	uint64_t from = uncovered_from(words, spans, end);
	uint64_t begin = from > first ? from : first;

	/*@ assert left: quiet ==> left_from(words, spans, first, begin, end); */
	/*@ assert tails: quiet ==> all_tail(words, begin, end); */
	/* Upwards, so that a repair that is killed leaves TAIL words at the end, too. */
	free_tails(words, begin, end);
	/*@ assert repaired: quiet ==> repaired{Pre, Here}(words, spans, first, end, end); */
}
