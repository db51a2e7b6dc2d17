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

	switch (word & 0xFFu) {
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

static inline uint32_t word_count(const struct span *s)
{
	return s->items / 64 + (s->items % 64 != 0);
}

static inline bool is_live(uint64_t own, uint64_t rem, uint32_t b)
{
	return ((own ^ rem) & mask_of(b)) != 0;
}

static inline uint64_t flip(uint64_t own, uint32_t b)
{
	return own ^ mask_of(b);
}

/* The lowest block that exists and is free; 64: none. */
static inline uint32_t first_free(uint64_t own, uint64_t rem, uint64_t valid)
{
	return first_set(valid & ~(own ^ rem));
}

uint32_t span_take(const struct span *s, uint32_t from)
{
	uint32_t words = word_count(s);

	for (uint32_t w = from; w < words; w++) {
		uint64_t own = own_load(&s->pairs[2 * w]);
		uint64_t rem = shared_load(&s->pairs[2 * w + 1]);
		uint32_t b = first_free(own, rem, valid_mask(s->items, w));

		if (b < 64) {
			own_store(&s->pairs[2 * w], flip(own, b));
			return w * 64 + b;
		}
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

/* The blocks of word w that are live and exist. */
static inline uint64_t live_blocks(const struct span *s, uint32_t w)
{
	uint64_t own = shared_load(&s->pairs[2 * w]);
	uint64_t rem = shared_load(&s->pairs[2 * w + 1]);

	return (own ^ rem) & valid_mask(s->items, w);
}

bool span_item_live(const struct span *s, uint32_t item)
{
	if (item >= s->items)
		return false;
	return (live_blocks(s, item / 64) & mask_of(item % 64)) != 0;
}

bool span_is_empty(const struct span *s)
{
	uint32_t words = word_count(s);

	for (uint32_t w = 0; w < words; w++) {
		if (live_blocks(s, w) != 0)
			return false;
	}
	return true;
}

bool span_has_room(const struct span *s)
{
	uint32_t words = word_count(s);

	for (uint32_t w = 0; w < words; w++) {
		if (live_blocks(s, w) != valid_mask(s->items, w))
			return true;
	}
	return false;
}

/* Sums of neighbours, of 1, 2, 4, ... bits: no field can overflow. */
static uint32_t count_set(uint64_t w)
{
	w = (w & 0x5555555555555555u) + (w >> 1 & 0x5555555555555555u);
	w = (w & 0x3333333333333333u) + (w >> 2 & 0x3333333333333333u);
	w = (w & 0x0F0F0F0F0F0F0F0Fu) + (w >> 4 & 0x0F0F0F0F0F0F0F0Fu);
	w = (w & 0x00FF00FF00FF00FFu) + (w >> 8 & 0x00FF00FF00FF00FFu);
	w = (w & 0x0000FFFF0000FFFFu) + (w >> 16 & 0x0000FFFF0000FFFFu);
	w = (w & 0x00000000FFFFFFFFu) + (w >> 32);
	return (uint32_t)(w & 0x7Fu);
}

uint32_t span_live_count(const struct span *s)
{
	uint32_t words = word_count(s);
	uint32_t count = 0;

	for (uint32_t w = 0; w < words; w++)
		count += count_set(live_blocks(s, w));
	return count;
}

uint32_t span_next_live(const struct span *s, uint32_t from)
{
	if (from >= s->items)
		return ITEM_NONE;

	uint32_t words = word_count(s);
	uint32_t w = from / 64;
	uint32_t b = first_set(live_blocks(s, w) & ~(mask_of(from % 64) - 1));

	while (b == 64 && ++w < words)
		b = first_set(live_blocks(s, w));
	return b < 64 ? w * 64 + b : ITEM_NONE;
}

void span_reset(uint64_t *words, uint32_t pairs)
{
	for (uint32_t i = 0; i < pairs; i++) {
		uint64_t rem = shared_load(&words[2 * i + 1]);

		/* A store only where needed: it dirties a page. */
		if (own_load(&words[2 * i]) != rem)
			own_store(&words[2 * i], rem);
	}
}
