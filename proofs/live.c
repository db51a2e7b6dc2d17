/* SPDX-License-Identifier: MIT */
/*
 * The steps by which a map's spans and blocks change, as the shell makes them, and that
 * each keeps the invariant of live.acsl.  Nothing here is compiled into the library.
 *
 *  - Steps on bits touch no span word: with any bits whatever live blocks are apart, as only
 *    the words say where a block can be.
 *  - Steps on words keep heads_whole(), from which live_apart() follows, and runs_whole().
 */
#include "../src/geo.h"
#include "../src/run.h"
#include "../src/span.h"

#include "number_ghost.acsl"
#include "geo_ghost.acsl"
#include "live.acsl"

/* Each class of each span fits: blocks_fit(), for all of them. */
/*@ requires geo: \valid_read(g) && geo_valid(g);
    terminates \true;
    assigns \nothing;
    ensures fit: fit(g); */
static void all_fit(const struct geo *g)
{
	/*@ loop invariant bound: 0 <= k <= g->spans;
	    loop invariant fit: \forall integer m, c; 0 <= m < k && 0 <= c < g->classes ==>
	      fits(block_bytes(g, c), block_count(g, m, c), g->span_bytes, data_bytes(g), m);
	    loop assigns k;
	    loop variant g->spans - k; */
	for (uint64_t k = 0; k < g->spans; k++) {
		/*@ loop invariant bound: 0 <= cls <= g->classes;
		    loop invariant fit: \forall integer c; 0 <= c < cls ==>
		      fits(block_bytes(g, c), block_count(g, k, c), g->span_bytes, data_bytes(g), k);
		    loop assigns cls;
		    loop variant g->classes - cls; */
		for (uint32_t cls = 0; cls < g->classes; cls++) {
			uint64_t bytes = geo_block_bytes(g, cls);
			(void)bytes;
			/*@ ghost uint64_t count = blocks_fit(g, k, cls, bytes); */
			/*@ assert fits: fits(block_bytes(g, cls), block_count(g, k, cls),
			                      g->span_bytes, data_bytes(g), k); */
		}
	}
	/*@ assert spans: g->item_bytes == 0 ==> g->spans * g->span_bytes <= data_bytes(g); */
	/*@ ghost if (g->item_bytes != 0) product_grows(1, g->span_items, g->item_bytes); */
	/*@ assert static: g->item_bytes != 0 ==> spans_static(g) && g->item_bytes <= g->span_bytes; */
	/*@ assert some: 1 <= g->span_bytes; */
}

/* The invariant, for any bits. */
/*@ requires map: map_mem(g, words);
    terminates \true;
    assigns \nothing;
    ensures apart: heads_whole(words, g->spans) ==> apart(g, words, pairs); */
static void stay_apart(const struct geo *g, const uint64_t *words, const uint64_t *pairs)
{
	(void)words;
	(void)pairs;
	all_fit(g);
}

/* A span comes from the pool, to hold small blocks. */
/*@ requires map: map_apart(g, words);
    requires fields: k < g->spans && stream < g->streams && cls < g->classes;
    terminates \true;
    assigns words[k];
    ensures taken: \result ==> is_small_at(g, words, k);
    ensures kept: kept(g, words, pairs); */
bool step_take_span(const struct geo *g, uint64_t *words, const uint64_t *pairs, uint64_t k,
		    uint32_t stream, uint32_t cls)
{
	if (own_load(&words[k]) != SPAN_FREE) {
		stay_apart(g, words, pairs);
		return false;
	}

	uint64_t word = span_word_small(stream, cls);

	/*@ assert state: word_state(word) == SPAN_SMALL; */
	/*@ assert class: word_class(word) == cls; */
	/*@ assert stream: word_stream(word) == stream; */
	/*@ assert length: word_length(word) == 0; */
	own_store(&words[k], word);
	/*@ assert same: same_runs{Pre, Here}(words, g->spans, k); */
	stay_apart(g, words, pairs);
	return true;
}

/* ... and goes back. */
/*@ requires map: map_apart(g, words);
    requires small: is_small_at(g, words, k);
    terminates \true;
    assigns words[k];
    ensures kept: kept(g, words, pairs); */
void step_release_span(const struct geo *g, uint64_t *words, const uint64_t *pairs, uint64_t k)
{
	own_store(&words[k], SPAN_FREE);
	/*@ assert same: same_runs{Pre, Here}(words, g->spans, k); */
	stay_apart(g, words, pairs);
}

/*@ requires map: map_apart(g, words);
    requires range: 1 <= len < 0x100000000 && first + len <= g->spans;
    terminates \true;
    assigns words[first .. first + len - 1];
    ensures kept: quiet ==> kept(g, words, pairs); */
bool step_take_run(const struct geo *g, uint64_t *words, const uint64_t *pairs, uint64_t first,
		   uint64_t len)
{
	bool taken = run_is_free(words, first, len);

	if (taken)
		run_take(words, first, len);
	stay_apart(g, words, pairs);
	return taken;
}

/*@ requires map: map_apart(g, words);
    terminates \true;
    assigns words[0 .. g->spans - 1];
    ensures kept: quiet ==> kept(g, words, pairs); */
void step_free_run(const struct geo *g, uint64_t *words, const uint64_t *pairs, uint64_t first)
{
	uint64_t len = run_length(words, g->spans, first);

	if (len > 0)
		run_free(words, first, len);
	stay_apart(g, words, pairs);
}

/* After a holder of the pool died: any bytes in the intent; by his own, runs become whole. */
/*@ requires map: map_apart(g, words);
    terminates \true;
    assigns words[0 .. g->spans - 1];
    ensures kept: quiet ==> kept(g, words, pairs);
    ensures repaired: quiet && repairs(op, first, len, g->spans) &&
      runs_left{Pre}(words, g->spans, first, first + len) ==> runs_whole(words, g->spans); */
void step_repair(const struct geo *g, uint64_t *words, const uint64_t *pairs, uint64_t op,
		 uint64_t first, uint64_t len)
{
	run_repair(words, g->spans, op, first, len);
	stay_apart(g, words, pairs);
}

/* The pairs of span k, and how many blocks the span has. */
/*@ requires map: map_mem(g, words) && bits_mem(g, words, pairs);
    requires small: is_small_at(g, words, k);
    terminates \true;
    assigns \nothing;
    ensures items: \result.items == block_count(g, k, word_class(words[k]));
    ensures pairs: \result.pairs == pairs + 2 * (g->span_pairs * k);
    ensures some: 1 <= \result.items <= 64 * g->span_pairs <= ITEMS_PER_SPAN_MAX;
    ensures room: \valid(pairs + (2 * (g->span_pairs * k) ..
                                  2 * (g->span_pairs * k) + 2 * g->span_pairs - 1)); */
static struct span span_of(const struct geo *g, const uint64_t *words, uint64_t *pairs, uint64_t k)
{
	struct span s;

	/*@ ghost product_grows(k + 1, g->spans, g->span_pairs); */
	s.items = geo_span_items(g, k, span_word_class(words[k]));
	s.pairs = &pairs[2 * (g->span_pairs * k)];
	return s;
}

/* malloc: the block was free, and is live. */
/*@ requires map: map_apart(g, words);
    requires span: is_own_span(g, words, pairs, k, s);
    terminates \true;
    assigns s->pairs[0 .. 2 * span_words(s) - 1];
    ensures exists: \result != ITEM_NONE ==>
      \result < block_count(g, k, word_class(words[k]));
    ensures taken: quiet && \result != ITEM_NONE ==>
      !small_live{Pre}(pairs, g->span_pairs, k, \result) &&
      small_live(pairs, g->span_pairs, k, \result);
    ensures kept: kept(g, words, pairs); */
uint32_t step_malloc(const struct geo *g, const uint64_t *words, const uint64_t *pairs, uint64_t k,
		     const struct span *s, uint32_t from)
{
	uint32_t result = span_take(s, from);

	(void)k;
	/*@ assert same: same_runs{Pre, Here}(words, g->spans, -1); */
	stay_apart(g, words, pairs);
	return result;
}

/* free by the holder of the stream: what is not live is refused. */
/*@ requires map: map_apart(g, words);
    requires span: is_own_span(g, words, pairs, k, s);
    terminates \true;
    assigns s->pairs[0 .. 2 * span_words(s) - 1];
    ensures freed: quiet && \result && item < s->items ==>
      small_live{Pre}(pairs, g->span_pairs, k, item) &&
      !small_live(pairs, g->span_pairs, k, item);
    ensures refused: quiet && item < s->items &&
      !small_live{Pre}(pairs, g->span_pairs, k, item) ==> !(\result);
    ensures kept: kept(g, words, pairs); */
bool step_free_local(const struct geo *g, const uint64_t *words, const uint64_t *pairs, uint64_t k,
		     const struct span *s, uint32_t item)
{
	bool result = span_free_local(s, item);

	(void)k;
	/*@ assert same: same_runs{Pre, Here}(words, g->spans, -1); */
	stay_apart(g, words, pairs);
	return result;
}

/* free from afar. */
/*@ requires map: map_apart(g, words);
    requires span: is_own_span(g, words, pairs, k, s);
    terminates \true;
    assigns s->pairs[0 .. 2 * span_words(s) - 1];
    ensures freed: quiet && \result == FREE_DONE && item < s->items ==>
      small_live{Pre}(pairs, g->span_pairs, k, item) &&
      !small_live(pairs, g->span_pairs, k, item);
    ensures refused: quiet && item < s->items &&
      !small_live{Pre}(pairs, g->span_pairs, k, item) ==> !(\result == FREE_DONE);
    ensures kept: kept(g, words, pairs); */
enum free_result step_free_remote(const struct geo *g, const uint64_t *words, const uint64_t *pairs,
				  uint64_t k, const struct span *s, uint32_t item)
{
	enum free_result result = span_free_remote(s, item);

	(void)k;
	/*@ assert same: same_runs{Pre, Here}(words, g->spans, -1); */
	stay_apart(g, words, pairs);
	return result;
}
