/* SPDX-License-Identifier: MIT */
/*
 * The checker of spans (check.h has the rules).
 *
 *  - Trusts the geometry, and no word.
 *  - One finding for each span: that of the first rule that it breaks.
 */
#include "check.h"

/* Whether a pair differs in a bit that is not one of the `items` blocks. */
/*@ requires pairs: count <= ITEMS_PER_SPAN_MAX / 64 && \valid_read(pairs + (0 .. 2 * count - 1));
    terminates \true;
    assigns \nothing;
    ensures quiet: quiet ==> (\result <==> !none_beyond(pairs, count, items)); */
static bool live_beyond(const uint64_t *pairs, uint32_t count, uint32_t items)
{
	/*@ loop invariant bound: i <= count;
	    loop invariant none: quiet ==> none_beyond(pairs, i, items);
	    loop assigns i;
	    loop variant count - i; */
	for (uint32_t i = 0; i < count; i++) {
		uint64_t own = shared_load(&pairs[2 * i]);
		uint64_t rem = shared_load(&pairs[2 * i + 1]);
		uint64_t beyond = complement(valid_mask(items, i));
		uint64_t extra = (own ^ rem) & beyond;
		/*@ assert extra: \forall integer b; 0 <= b < 64 ==>
		      (bit(extra, b) <==> live(own, rem, b) && bit(beyond, b)); */
		uint32_t first = first_set(extra);

		if (first < 64) {
			/*@ assert block: (i * 64 + first) / 64 == i && (i * 64 + first) % 64 == first; */
			return true;
		}
	}
	return false;
}

enum check_finding check_span(struct check *c, const struct geo *g, uint64_t index, uint64_t word,
			      const uint64_t *pairs)
{
	uint64_t room = g->items == 0 ? g->spans - index : 0;
	uint64_t tails = c->tails;

	if (!span_word_valid(word, g->streams, g->classes, room)) {
		/* It stands for a tail where one is due: one bad word is one finding. */
		if (tails > 0)
			c->tails = tails - 1;
		return CHECK_WORD;
	}
	enum span_state state = span_word_state(word);

	if (state == SPAN_TAIL) {
		if (tails == 0)
			return CHECK_TAIL_ORPHAN;
		c->tails = tails - 1;
		return live_beyond(pairs, g->span_pairs, 0) ? CHECK_FREE_LIVE : CHECK_CLEAN;
	}

	bool small = state == SPAN_SMALL;
	uint32_t items = small ? geo_span_items(g, index, span_word_class(word)) : 0;

	c->tails = state == SPAN_RUN ? span_word_length(word) - 1 : 0;
	if (tails > 0)
		return CHECK_RUN_BROKEN;
	if (!live_beyond(pairs, g->span_pairs, items))
		return CHECK_CLEAN;
	return small ? CHECK_BITS_BEYOND : CHECK_FREE_LIVE;
}

enum check_finding check_gap(struct check *c)
{
	uint64_t tails = c->tails;

	c->tails = 0;
	return tails > 0 ? CHECK_RUN_BROKEN : CHECK_CLEAN;
}
