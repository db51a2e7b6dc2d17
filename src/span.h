/* SPDX-License-Identifier: MIT */
/*
 * A span: blocks of one size, two bits each.
 *
 *   live(block) == own(block) XOR rem(block)
 *
 *  - `own` is written only by whoever holds the span's stream (or the pool,
 *    while the span is free), with plain stores.
 *  - `rem` is written by anyone, with compare-and-swap, to free a block from afar.
 *  - Nothing is ever drained or merged; a kill before or after any one store
 *    leaves a valid state.  A span is empty iff own == rem.
 *  - Every loop is bounded by `items`, which comes from the geometry, whatever
 *    the words say.
 */
#ifndef QALLOC_SPAN_H
#define QALLOC_SPAN_H

#include <stdbool.h>
#include <stdint.h>

#include "format.h"
#include "word.h"

#define ITEM_NONE UINT32_MAX
#define FREE_TRIES_MAX 1000u

/* One span in memory: pairs[2 * i] is own word i, pairs[2 * i + 1] rem word i. */
struct span {
	uint64_t *pairs;
	uint32_t items; /* 1..ITEMS_PER_SPAN_MAX */
};
#ifdef __FRAMAC__
#include "../proofs/span.acsl"
#endif

/* Span words.  Decoding is total; span_word_valid says which words are. */
/*@ requires fields: stream < 0x10000 && cls < 0x100;
    terminates \true;
    assigns \nothing;
    ensures value: \result == SPAN_SMALL + cls * 0x100 + stream * 0x10000; */
static inline uint64_t span_word_small(uint32_t stream, uint32_t cls)
{
	return (uint64_t)SPAN_SMALL + (uint64_t)cls * 0x100u + (uint64_t)stream * 0x10000u;
}

/*@ requires length: length < 0x100000000;
    terminates \true;
    assigns \nothing;
    ensures value: \result == run_word(length); */
static inline uint64_t span_word_run(uint64_t length)
{
	return (uint64_t)SPAN_RUN + length * 0x100000000u;
}

/* Of a valid word. */
/*@ terminates \true;
    assigns \nothing;
    ensures value: \result == word_state(word); */
static inline enum span_state span_word_state(uint64_t word)
{
	return (enum span_state)(word % 0x100u);
}

/*@ terminates \true;
    assigns \nothing;
    ensures value: \result == word_class(word) && \result < 0x100; */
static inline uint32_t span_word_class(uint64_t word)
{
	return (uint32_t)(word / 0x100u % 0x100u);
}

/*@ terminates \true;
    assigns \nothing;
    ensures value: \result == word_stream(word) && \result < 0x10000; */
static inline uint32_t span_word_stream(uint64_t word)
{
	return (uint32_t)(word / 0x10000u % 0x10000u);
}

/*@ terminates \true;
    assigns \nothing;
    ensures value: \result == word_length(word) && \result < 0x100000000; */
static inline uint64_t span_word_length(uint64_t word)
{
	return word / 0x100000000u;
}

/*
 * Whether the word is one that a map with these streams and classes can hold.
 * `room`: spans from this one to the end; 0 where no run may be (static maps).
 */
/*@ terminates \true;
    assigns \nothing;
    ensures iff: \result <==> word_ok(word, streams, classes, room); */
bool span_word_valid(uint64_t word, uint32_t streams, uint32_t classes, uint64_t room);

/* The mask of block b. */
/*@ requires word: b < 64;
    terminates \true;
    assigns \nothing;
    ensures value: \result == 1 << b; */
static inline uint64_t mask_of(uint32_t b)
{
#ifdef __FRAMAC__
#include "../proofs/span_mask.acsl"
#endif
	return (uint64_t)1 << b;
}

/* The lowest set bit; 64: none. */
/*@ terminates \true;
    assigns \nothing;
    ensures bound: \result <= 64;
    ensures set: \result < 64 ==> bit(w, \result);
    ensures first: \forall integer i; 0 <= i < \result ==> !bit(w, i); */
static inline uint32_t first_set(uint64_t w)
{
	return w != 0 ? trailing_zeros(w) : 64;
}

/* The bits that w has not. */
/*@ terminates \true;
    assigns \nothing;
    ensures inverse: \forall integer i; 0 <= i < 64 ==> (bit(\result, i) <==> !bit(w, i)); */
static inline uint64_t complement(uint64_t w)
{
	return ~w;
}

/* The mask of the blocks of word `word` that exist. */
/*@ terminates \true;
    assigns \nothing;
    ensures exact: \forall integer i; 0 <= i < 64 ==>
      (bit(\result, i) <==> word * 64 + i < items); */
static inline uint64_t valid_mask(uint32_t items, uint32_t word)
{
	uint64_t before = (uint64_t)word * 64;
	uint64_t all = complement(0);

	if (items <= before)
		return 0;
	if (items - before >= 64)
		return all;

	uint64_t spare = 64 - (items - before);
	uint64_t mask = all >> spare;

	/*@ assert moved: \forall integer i; 0 <= i < 64 - spare ==>
	      (bit(mask, i) <==> bit(all, i + spare)); */
	/*@ assert gone: \forall integer i; 64 - spare <= i < 64 ==> !bit(mask, i); */
	return mask;
}

/* malloc's step: the first free block in words [from, ...) becomes live; ITEM_NONE: none there. */
/*@ requires span: span_ok(s);
    terminates \true;
    assigns s->pairs[0 .. 2 * span_words(s) - 1];
    ensures none: \result == ITEM_NONE ==> same_pairs{Pre, Post}(s);
    ensures range: \result != ITEM_NONE ==> from * 64 <= \result < s->items;
    ensures flipped: \result != ITEM_NONE ==> flipped_own{Pre, Post}(s, \result);
    ensures was_free: quiet && \result != ITEM_NONE ==> !item_live{Pre}(s, \result);
    ensures is_live: quiet && \result != ITEM_NONE ==> item_live(s, \result);
    ensures first: quiet && \result != ITEM_NONE ==>
      all_live{Pre}(s, from * 64, \result);
    ensures full: quiet && \result == ITEM_NONE ==> all_live{Pre}(s, from * 64, s->items); */
uint32_t span_take(const struct span *s, uint32_t from);

/* The same block, only found. */
/*@ requires span: span_ok(s);
    terminates \true;
    assigns \nothing;
    ensures range: \result != ITEM_NONE ==> from * 64 <= \result < s->items;
    ensures is_free: quiet && \result != ITEM_NONE ==> !item_live(s, \result);
    ensures first: quiet && \result != ITEM_NONE ==> all_live(s, from * 64, \result);
    ensures full: quiet && \result == ITEM_NONE ==> all_live(s, from * 64, s->items); */
uint32_t span_find(const struct span *s, uint32_t from);

/* The same for one block: true iff it was free, and now is live. */
/*@ requires span: span_ok(s);
    terminates \true;
    assigns s->pairs[0 .. 2 * span_words(s) - 1];
    ensures kept: !\result ==> same_pairs{Pre, Post}(s);
    ensures range: \result ==> item < s->items;
    ensures flipped: \result ==> flipped_own{Pre, Post}(s, item);
    ensures quiet: quiet && item < s->items ==> (\result <==> !item_live{Pre}(s, item));
    ensures is_live: quiet && item < s->items ==> item_live(s, item); */
bool span_take_item(const struct span *s, uint32_t item);

/* free's steps.  Local, by the holder of the stream: true iff it was live, and now is free. */
/*@ requires span: span_ok(s);
    terminates \true;
    assigns s->pairs[0 .. 2 * span_words(s) - 1];
    ensures kept: !\result ==> same_pairs{Pre, Post}(s);
    ensures range: \result ==> item < s->items;
    ensures flipped: \result ==> flipped_own{Pre, Post}(s, item);
    ensures quiet: quiet && item < s->items ==> (\result <==> item_live{Pre}(s, item));
    ensures is_free: quiet && item < s->items ==> !item_live(s, item); */
bool span_free_local(const struct span *s, uint32_t item);

/* Remote, by anyone.  BUSY: FREE_TRIES_MAX exchanges failed, the block is still live. */
enum free_result { FREE_DONE, FREE_NOT_LIVE, FREE_BUSY };
/*@ requires span: span_ok(s);
    terminates \true;
    assigns s->pairs[0 .. 2 * span_words(s) - 1];
    ensures own: same_own{Pre, Post}(s);
    ensures others: \forall integer w; 0 <= w < span_words(s) && w != item / 64 ==>
      s->pairs[2 * w + 1] == \old(s->pairs[2 * w + 1]);
    ensures beyond: item >= s->items ==> \result == FREE_NOT_LIVE;
    ensures quiet: quiet && item < s->items ==>
      (\result == FREE_DONE <==> item_live{Pre}(s, item)) && \result != FREE_BUSY;
    ensures is_free: quiet && item < s->items ==> !item_live(s, item);
    ensures others_live: quiet ==> \forall integer i; 0 <= i < s->items && i != item ==>
      (item_live(s, i) <==> item_live{Pre}(s, i)); */
enum free_result span_free_remote(const struct span *s, uint32_t item);

/* Looking, by anyone: a block beyond `items` is never live. */
/*@ requires span: span_ok(s);
    terminates \true;
    assigns \nothing;
    ensures quiet: quiet ==> (\result <==> item < s->items && item_live(s, item)); */
bool span_item_live(const struct span *s, uint32_t item);

/*@ requires span: span_ok(s);
    terminates \true;
    assigns \nothing;
    ensures quiet: quiet ==> (\result <==> none_live(s, 0, s->items)); */
bool span_is_empty(const struct span *s);

/*@ requires span: span_ok(s);
    terminates \true;
    assigns \nothing;
    ensures quiet: quiet ==> (\result <==> !all_live(s, 0, s->items)); */
bool span_has_room(const struct span *s);

/*@ requires span: span_ok(s);
    terminates \true;
    assigns \nothing;
    ensures bound: \result <= s->items;
    ensures quiet: quiet ==> \result == live_count(s, s->items); */
uint32_t span_live_count(const struct span *s);

/* The first live block at or after `from`; ITEM_NONE: none. */
/*@ requires span: span_ok(s);
    terminates \true;
    assigns \nothing;
    ensures range: \result != ITEM_NONE ==> from <= \result < s->items;
    ensures live: quiet && \result != ITEM_NONE ==> item_live(s, \result);
    ensures first: quiet && \result != ITEM_NONE ==> none_live(s, from, \result);
    ensures none: quiet && \result == ITEM_NONE ==> none_live(s, from, s->items); */
uint32_t span_next_live(const struct span *s, uint32_t from);

/* Makes all `pairs` pairs equal (own := rem), so that the span is empty whatever it held. */
/*@ requires room: pairs <= ITEMS_PER_SPAN_MAX / 64 && \valid(words + (0 .. 2 * pairs - 1));
    terminates \true;
    assigns words[0 .. 2 * pairs - 1];
    ensures rem: \forall integer i; 0 <= i < pairs ==>
      words[2 * i + 1] == \old(words[2 * i + 1]);
    ensures empty: quiet ==>
      \forall integer i; 0 <= i < pairs ==> words[2 * i] == words[2 * i + 1]; */
void span_reset(uint64_t *words, uint32_t pairs);

#endif
