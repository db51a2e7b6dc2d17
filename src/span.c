/* SPDX-License-Identifier: MIT */
/*
 * Spans: the steps on words and bits (span.h says what they mean).
 *
 *  - Trusts `items` and `pairs` of struct span, which come from the geometry, and
 *    nothing that a word says.
 *  - The steps of the stream's holder read `own` as theirs; whoever only looks, or frees
 *    from afar, reads both words as shared.
 *  - Each step reads each word once and ends in at most one store.
 */
#include "span.h"

bool span_word_valid(uint64_t word, uint32_t streams, uint32_t classes, uint64_t room)
{
	uint64_t length = span_word_length(word);

	switch (span_word_state(word)) {
	case SPAN_FREE:
		return word == 0;
	case SPAN_SMALL:
		return span_word_class(word) < classes && span_word_stream(word) < streams &&
		       length == 0;
	case SPAN_RUN:
		return span_word_class(word) == 0 && span_word_stream(word) == 0 && length >= 1 &&
		       length <= room;
	case SPAN_TAIL:
		return word == SPAN_TAIL;
	default:
		return false;
	}
}

/*@ requires items: s->items <= ITEMS_PER_SPAN_MAX && \valid_read(s);
    terminates \true;
    assigns \nothing;
    ensures value: \result == span_words(s); */
static inline uint32_t word_count(const struct span *s)
{
	return (s->items + 63) / 64;
}

/*@ requires block: b < 64;
    terminates \true;
    assigns \nothing;
    ensures value: \result <==> live(own, rem, b); */
static inline bool is_live(uint64_t own, uint64_t rem, uint32_t b)
{
	return ((own ^ rem) >> b & 1) != 0;
}

/* The word after block b changed its state. */
/*@ requires block: b < 64;
    terminates \true;
    assigns \nothing;
    ensures value: \result == (word ^ (1 << b));
    ensures flip: \forall uint64_t o; live(\result, o, b) <==> !live(word, o, b);
    ensures keep: \forall uint64_t o, integer i; 0 <= i < 64 && i != b ==>
      (live(\result, o, i) <==> live(word, o, i)); */
static inline uint64_t flip(uint64_t word, uint32_t b)
{
	return word ^ mask_of(b);
}

/* The lowest block that is free, whether it exists or not; 64: none. */
/*@ terminates \true;
    assigns \nothing;
    ensures bound: \result <= 64;
    ensures free: \result < 64 ==> !live(own, rem, \result);
    ensures first: \forall integer i; 0 <= i < \result ==> live(own, rem, i); */
static inline uint32_t first_free(uint64_t own, uint64_t rem)
{
	return first_set(complement(own ^ rem));
}

uint32_t span_take(const struct span *s, uint32_t from)
{
	uint32_t words = word_count(s);

	/*@ loop invariant bound: w >= from;
	    loop invariant same: same_pairs{Pre, Here}(s);
	    loop invariant live: quiet ==>
	      \forall integer i; from * 64 <= i < w * 64 && i < s->items ==> item_live{Pre}(s, i);
	    loop assigns w;
	    loop variant words - w; */
	for (uint32_t w = from; w < words; w++) {
		uint64_t own = own_load(&s->pairs[2 * w]);
		uint64_t rem = shared_load(&s->pairs[2 * w + 1]);
		uint32_t b = first_free(own, rem);

		if (b >= 64)
			continue;
		/* Behind the last block every bit of a whole span is free. */
		if (w * 64 + b >= s->items)
			break;
		own_store(&s->pairs[2 * w], flip(own, b));
		return w * 64 + b;
	}
	return ITEM_NONE;
}

uint32_t span_find(const struct span *s, uint32_t from)
{
	uint32_t words = word_count(s);

	/*@ loop invariant bound: w >= from;
	    loop invariant live: quiet ==>
	      \forall integer i; from * 64 <= i < w * 64 && i < s->items ==> item_live(s, i);
	    loop assigns w;
	    loop variant words - w; */
	for (uint32_t w = from; w < words; w++) {
		uint64_t own = own_load(&s->pairs[2 * w]);
		uint64_t rem = shared_load(&s->pairs[2 * w + 1]);
		uint32_t b = first_free(own, rem);

		if (b < 64)
			return w * 64 + b < s->items ? w * 64 + b : ITEM_NONE;
	}
	return ITEM_NONE;
}

bool span_take_item(const struct span *s, uint32_t item)
{
	if (item >= s->items)
		return false;

	uint64_t *pair = &s->pairs[2 * (item / 64)];
	uint64_t own = own_load(&pair[0]);
	uint64_t rem = shared_load(&pair[1]);

	if (is_live(own, rem, item % 64))
		return false;
	own_store(&pair[0], flip(own, item % 64));
	return true;
}

bool span_free_local(const struct span *s, uint32_t item)
{
	if (item >= s->items)
		return false;

	uint64_t *pair = &s->pairs[2 * (item / 64)];
	uint64_t own = own_load(&pair[0]);
	uint64_t rem = shared_load(&pair[1]);

	if (!is_live(own, rem, item % 64))
		return false;
	own_store(&pair[0], flip(own, item % 64));
	return true;
}

enum free_result span_free_remote(const struct span *s, uint32_t item)
{
	if (item >= s->items)
		return FREE_NOT_LIVE;

	uint64_t *pair = &s->pairs[2 * (item / 64)];

	/*@ loop invariant quiet: quiet ==> tries == 0;
	    loop invariant bound: tries <= FREE_TRIES_MAX;
	    loop invariant kept: \forall integer w; 0 <= w < 2 * span_words(s) &&
	      w != 2 * (item / 64) + 1 ==> s->pairs[w] == \at(s->pairs[w], Pre);
	    loop invariant quiet_kept: quiet ==> same_pairs{Pre, Here}(s);
	    loop assigns tries, pair[1];
	    loop variant FREE_TRIES_MAX - tries; */
	for (uint32_t tries = 0; tries < FREE_TRIES_MAX; tries++) {
		uint64_t own = shared_load(&pair[0]);
		uint64_t rem = shared_load(&pair[1]);

		if (!is_live(own, rem, item % 64))
			return FREE_NOT_LIVE;
		if (shared_cas(&pair[1], rem, flip(rem, item % 64)))
			return FREE_DONE;
	}
	return FREE_BUSY;
}

/* Which blocks of word w are live, whether they exist or not. */
/*@ requires span: span_ok(s);
    requires word: w < span_words(s);
    terminates \true;
    assigns \nothing;
    ensures quiet: quiet ==> \result == (s->pairs[2 * w] ^ s->pairs[2 * w + 1]); */
static inline uint64_t live_bits(const struct span *s, uint32_t w)
{
	uint64_t own = shared_load(&s->pairs[2 * w]);
	uint64_t rem = shared_load(&s->pairs[2 * w + 1]);

	return own ^ rem;
}

bool span_item_live(const struct span *s, uint32_t item)
{
	if (item >= s->items)
		return false;
	return (live_bits(s, item / 64) >> (item % 64) & 1) != 0;
}

bool span_is_empty(const struct span *s)
{
	return span_next_live(s, 0) == ITEM_NONE;
}

bool span_has_room(const struct span *s)
{
	uint32_t words = word_count(s);

	/*@ loop invariant bound: w <= words;
	    loop invariant live: quiet ==>
	      \forall integer i; 0 <= i < w * 64 && i < s->items ==> item_live(s, i);
	    loop assigns w;
	    loop variant words - w; */
	for (uint32_t w = 0; w < words; w++) {
		uint64_t own = shared_load(&s->pairs[2 * w]);
		uint64_t rem = shared_load(&s->pairs[2 * w + 1]);

		uint32_t b = first_free(own, rem);

		if (b < 64 && w * 64 + b < s->items) {
			/*@ assert room: quiet ==> !item_live(s, w * 64 + b); */
			return true;
		}
	}
	return false;
}

/* A live bit behind the last block means nothing. */
/*@ requires span: \valid_read(s);
    terminates \true;
    assigns \nothing;
    ensures value: \result == (item < s->items ? item : ITEM_NONE); */
static inline uint32_t if_exists(const struct span *s, uint32_t item)
{
	return item < s->items ? item : ITEM_NONE;
}

/* The lowest set bit of w from bit k on; 64: none. */
/*@ requires block: k < 64;
    terminates \true;
    assigns \nothing;
    ensures bound: k <= \result <= 64;
    ensures set: \result < 64 ==> bit(w, \result);
    ensures first: \forall integer i; k <= i < \result ==> !bit(w, i); */
static inline uint32_t first_set_from(uint64_t w, uint32_t k)
{
	uint64_t rest = w >> k;
	/*@ assert moved: \forall integer i; 0 <= i < 64 - k ==> (bit(rest, i) <==> bit(w, i + k)); */
	/*@ assert back: \forall integer i; k <= i < 64 ==> (bit(w, i) <==> bit(rest, i - k)); */
	/*@ assert gone: \forall integer i; 64 - k <= i < 64 ==> !bit(rest, i); */
	uint32_t b = first_set(rest);

	return b < 64 ? k + b : 64;
}

uint32_t span_next_live(const struct span *s, uint32_t from)
{
	uint32_t words = word_count(s);
	uint32_t k = from % 64;

	/*@ loop invariant bound: from / 64 <= w && (w > from / 64 ? k == 0 : k == from % 64);
	    loop invariant none: quiet ==>
	      \forall integer i; from <= i < w * 64 && i < s->items ==> !item_live(s, i);
	    loop assigns w, k;
	    loop variant words - w; */
	for (uint32_t w = from / 64; w < words; w++) {
		uint32_t b = first_set_from(live_bits(s, w), k);

		if (b < 64)
			return if_exists(s, w * 64 + b);
		k = 0;
	}
	return ITEM_NONE;
}

/*@ ghost
  /@ requires span: span_ok(s);
     requires range: from <= to <= s->items;
     requires none: quiet ==> none_live(s, from, to);
     terminates \true;
     assigns \nothing;
     ensures same: quiet ==> live_count(s, to) == live_count(s, from); @/
  void count_none(const struct span *s, uint32_t from, uint32_t to)
  {
	/@ loop invariant bound: from <= i <= to;
	   loop invariant same: quiet ==> live_count(s, i) == live_count(s, from);
	   loop assigns i;
	   loop variant to - i; @/
	for (uint32_t i = from; i < to; i++) {
		/@ assert dead: quiet ==> item_count(s, i) == 0; @/
		/@ assert step: live_count(s, i + 1) == live_count(s, i) + item_count(s, i); @/
	}
  }
*/

uint32_t span_live_count(const struct span *s)
{
	uint32_t count = 0;
	uint32_t from = 0;
	uint32_t item = span_next_live(s, 0);

	/*@ loop invariant bound: count <= from <= s->items;
	    loop invariant item: item != ITEM_NONE ==> from <= item < s->items;
	    loop invariant live: quiet && item != ITEM_NONE ==>
	      item_live(s, item) && none_live(s, from, item);
	    loop invariant none: quiet && item == ITEM_NONE ==> none_live(s, from, s->items);
	    loop invariant count: quiet ==> count == live_count(s, from);
	    loop assigns count, from, item;
	    loop variant s->items - from; */
	while (item != ITEM_NONE) {
		/*@ ghost count_none(s, from, item); */
		count++;
		from = item + 1;
		item = span_next_live(s, from);
	}
	/*@ ghost count_none(s, from, s->items); */
	return count;
}

void span_reset(uint64_t *words, uint32_t pairs)
{
	/*@ loop invariant bound: i <= pairs;
	    loop invariant rem: \forall integer w; 0 <= w < 2 * pairs && w % 2 == 1 ==>
	      words[w] == \at(words[w], Pre);
	    loop invariant empty: quiet ==> \forall integer w; 0 <= w < 2 * i && w % 2 == 0 ==>
	      words[w] == \at(words[w + 1], Pre);
	    loop assigns i, words[0 .. 2 * pairs - 1];
	    loop variant pairs - i; */
	for (uint32_t i = 0; i < pairs; i++) {
		uint64_t own = own_load(&words[2 * i]);
		uint64_t rem = shared_load(&words[2 * i + 1]);

		/* A store only where needed: it dirties a page. */
		if (own != rem)
			own_store(&words[2 * i], rem);
	}
}
