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

/* Span words.  Decoding is total; span_word_valid says which words are. */
static inline uint64_t span_word_small(uint32_t stream, uint32_t cls)
{
	return (uint64_t)SPAN_SMALL + (uint64_t)cls * 0x100u + (uint64_t)stream * 0x10000u;
}

static inline uint64_t span_word_run(uint64_t length)
{
	return (uint64_t)SPAN_RUN + length * 0x100000000u;
}

/* Of a valid word. */
static inline enum span_state span_word_state(uint64_t word)
{
	return (enum span_state)(word & 0xFFu);
}

static inline uint32_t span_word_class(uint64_t word)
{
	return (uint32_t)(word >> 8 & 0xFFu);
}

static inline uint32_t span_word_stream(uint64_t word)
{
	return (uint32_t)(word >> 16 & 0xFFFFu);
}

static inline uint64_t span_word_length(uint64_t word)
{
	return word >> 32;
}

/*
 * Whether the word is one that a map with these streams and classes can hold.
 * `room`: spans from this one to the end; 0 where no run may be (static maps).
 */
bool span_word_valid(uint64_t word, uint32_t streams, uint32_t classes, uint64_t room);

/* The mask of block b; requires b < 64. */
static inline uint64_t mask_of(uint32_t b)
{
	return (uint64_t)1 << b;
}

/* The lowest set bit; 64: none. */
static inline uint32_t first_set(uint64_t w)
{
	return w != 0 ? trailing_zeros(w) : 64;
}

/* The mask of the blocks of word `word` that exist. */
static inline uint64_t valid_mask(uint32_t items, uint32_t word)
{
	uint64_t before = (uint64_t)word * 64;

	if (items <= before)
		return 0;
	if (items - before >= 64)
		return UINT64_MAX;
	return mask_of((uint32_t)(items - before)) - 1;
}

/* malloc's step: the first free block in words [from, ...) becomes live; ITEM_NONE: none there. */
uint32_t span_take(const struct span *s, uint32_t from);

/* The same for one block: true iff it was free, and now is live. */
bool span_take_item(const struct span *s, uint32_t item);

/* free's steps.  Local, by the holder of the stream: true iff it was live, and now is free. */
bool span_free_local(const struct span *s, uint32_t item);

/* Remote, by anyone.  BUSY: FREE_TRIES_MAX exchanges failed, the block is still live. */
enum free_result { FREE_DONE, FREE_NOT_LIVE, FREE_BUSY };
enum free_result span_free_remote(const struct span *s, uint32_t item);

/* Looking, by anyone: a block beyond `items` is never live. */
bool span_item_live(const struct span *s, uint32_t item);
bool span_is_empty(const struct span *s);
bool span_has_room(const struct span *s);
uint32_t span_live_count(const struct span *s);

/* The first live block at or after `from`; ITEM_NONE: none. */
uint32_t span_next_live(const struct span *s, uint32_t from);

/* Makes all `pairs` pairs equal (own := rem), so that the span is empty whatever it held. */
void span_reset(uint64_t *words, uint32_t pairs);

#endif
