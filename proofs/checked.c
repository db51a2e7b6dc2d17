/* SPDX-License-Identifier: MIT */
/*
 * The checker over a whole map finds nothing if and only if the map is whole (checked.acsl).
 *
 *  - The functions have the names and the steps of those in verify.c, but for how they get at
 *    the file, and that findings are only counted: tables stand in memory, and what
 *    verify.c keeps in its struct is handed on by value.
 *  - Zero words are skipped in any stretch, and pairs where there are any holes.
 *  - Never compiled into the library.
 */
#include "../src/check.h"
#include "../src/run.h"

#include "checked.acsl"

struct verify {
	uint64_t taken;
	uint64_t intent_first, intent_end;
	uint64_t orphans_first, orphans_end;
	uint64_t findings;
};

/* pairs[k] are copies of the pairs of span k, as the shell has them; holes[k]: not in the file. */
#define map_mem(g, words)                                                                          \
	(\valid_read(g) && geo_valid(g) && \valid_read((words) + (0 .. (g)->spans - 1)))
#define pairs_mem(g, pairs)                                                                        \
	(\valid_read((pairs) + (0 .. (g)->spans - 1)) &&                                           \
	 \forall integer k; 0 <= k && k < (g)->spans ==>                                           \
	   \valid_read((pairs)[k] + (0 .. 2 * (g)->span_pairs - 1)))
#define holes_mem(g, pairs, holes)                                                                 \
	(\valid_read((holes) + (0 .. (g)->spans - 1)) &&                                           \
	 \forall integer k, integer i; 0 <= k && k < (g)->spans && (holes)[k] != 0 &&              \
	   0 <= i && i < 2 * (g)->span_pairs ==> (pairs)[k][i] == 0)

#define intent_in(v, spans) ((v).intent_first <= (v).intent_end && (v).intent_end <= (spans))
#define same_intent(v, w)                                                                          \
	((v).intent_first == (w).intent_first && (v).intent_end == (w).intent_end)
#define same_orphans(v, w)                                                                         \
	((v).orphans_first == (w).orphans_first && (v).orphans_end == (w).orphans_end)
#define for_writer(v, finding, span)                                                               \
	((finding) == CHECK_TAIL_ORPHAN && (v).intent_first <= (span) && (span) < (v).intent_end)

/*@ requires few: v.findings < UINT64_MAX;
    terminates \true;
    assigns \nothing;
    ensures one: \result.findings == v.findings + 1 && \result.taken == v.taken;
    ensures kept: same_intent(\result, v) && same_orphans(\result, v); */
static struct verify found(struct verify v)
{
	v.findings++;
	return v;
}

/*@ requires few: v.findings + v.orphans_end <= UINT64_MAX && v.orphans_first <= v.orphans_end;
    terminates \true;
    assigns \nothing;
    ensures same: same_intent(\result, v) && \result.taken == v.taken;
    ensures found: v.orphans_end != v.intent_end ==>
      \result.findings == v.findings + (v.orphans_end - v.orphans_first) &&
      \result.orphans_first == 0 && \result.orphans_end == 0;
    ensures left: v.orphans_end == v.intent_end ==>
      \result.findings == v.findings && same_orphans(\result, v); */
static struct verify orphans_settle(struct verify v)
{
	if (v.orphans_end == v.intent_end)
		return v;
	/*@ loop invariant bound: v.orphans_first <= i <= v.orphans_end;
	    loop invariant count: v.findings == \at(v.findings, Pre) + (i - v.orphans_first);
	    loop invariant same: same_intent(v, \at(v, Pre)) && same_orphans(v, \at(v, Pre)) &&
	      v.taken == \at(v.taken, Pre);
	    loop assigns i, v;
	    loop variant v.orphans_end - i; */
	for (uint64_t i = v.orphans_first; i < v.orphans_end; i++)
		v = found(v);
	v.orphans_first = v.orphans_end = 0;
	return v;
}

/*@ requires order: v.orphans_first <= v.orphans_end <= span < UINT64_MAX;
    requires few: v.findings + v.orphans_end < UINT64_MAX;
    terminates \true;
    assigns \nothing;
    ensures same: same_intent(\result, v) && \result.taken == v.taken;
    ensures clean: finding == CHECK_CLEAN ==> \result.findings == v.findings;
    ensures found: finding != CHECK_CLEAN && !for_writer(v, finding, span) ==>
      \result.findings == v.findings + 1;
    ensures kept: !for_writer(v, finding, span) ==> same_orphans(\result, v);
    ensures open: for_writer(v, finding, span) ==> \result.orphans_end == span + 1 &&
      \result.orphans_first == (span == v.orphans_end ? v.orphans_first : span);
    ensures settled: for_writer(v, finding, span) ==> \result.findings == v.findings +
      (span == v.orphans_end || v.orphans_end == v.intent_end
         ? 0 : v.orphans_end - v.orphans_first); */
static struct verify span_found(struct verify v, enum check_finding finding, uint64_t span)
{
	if (finding == CHECK_CLEAN)
		return v;
	if (finding != CHECK_TAIL_ORPHAN || span < v.intent_first || span >= v.intent_end)
		return found(v);
	if (span != v.orphans_end) {
		v = orphans_settle(v);
		v.orphans_first = span;
	}
	v.orphans_end = span + 1;
	return v;
}

/* scan_next(): the first word at or after `from` that is not zero; `spans`: none. */
/*@ requires words: from <= spans && \valid_read(words + (0 .. spans - 1));
    terminates \true;
    assigns \nothing;
    ensures bound: from <= \result <= spans;
    ensures gap: free_run(words, from, \result - from);
    ensures word: \result < spans ==> words[\result] != SPAN_FREE; */
static uint64_t scan_next(const uint64_t *words, uint64_t spans, uint64_t from)
{
	/*@ loop invariant bound: \at(from, Pre) <= from <= spans;
	    loop invariant gap: free_run(words, \at(from, Pre), from - \at(from, Pre));
	    loop assigns from;
	    loop variant spans - from; */
	while (from < spans && own_load(&words[from]) == 0)
		from++;
	return from;
}

/* The same for the pairs, which are skipped where the file has a hole. */
/*@ requires holes: from <= spans && \valid_read(holes + (0 .. spans - 1));
    terminates \true;
    assigns \nothing;
    ensures bound: from <= \result <= spans;
    ensures holes: \forall integer k; from <= k < \result ==> holes[k] != 0; */
static uint64_t scan_next_pairs(const bool *holes, uint64_t spans, uint64_t from)
{
	/*@ loop invariant bound: \at(from, Pre) <= from <= spans;
	    loop invariant holes: \forall integer k; \at(from, Pre) <= k < from ==> holes[k] != 0;
	    loop assigns from;
	    loop variant spans - from; */
	while (from < spans && holes[from])
		from++;
	return from;
}

/* Rules 1, 2 and 4: the spans whose words are not zero, and the gaps between them. */
/*@ requires map: map_mem(g, words) && pairs_mem(g, pairs);
    requires start: v.findings == 0 && v.orphans_first == 0 && v.orphans_end == 0;
    requires intent: intent_in(v, g->spans);
    terminates \true;
    assigns \nothing;
    ensures same: same_intent(\result, v) && \result.findings <= 3 * g->spans;
    ensures taken: \result.taken > 0 ==> words[\result.taken - 1] != SPAN_FREE;
    ensures behind: \result.taken <= g->spans && never_taken(words, \result.taken, g->spans);
    ensures clean: quiet && \result.findings == 0 ==>
      words_clean(g, words, pairs, v.intent_first, v.intent_end);
    ensures found: quiet && \result.findings > 0 ==>
      !words_clean(g, words, pairs, v.intent_first, v.intent_end);
    ensures left: quiet && \result.findings == 0 ==> \forall integer t; 0 <= t < g->spans ==>
      (left_over(words, g->spans, v.intent_first, v.intent_end, t) <==>
       \result.orphans_first <= t < \result.orphans_end);
    ensures order: \result.orphans_first <= \result.orphans_end <= g->spans; */
static struct verify verify_words(struct verify v, const struct geo *g, const uint64_t *words,
				  const uint64_t *const *pairs)
{
	struct check c = {.tails = 0};
	uint64_t expected = 0;
	uint64_t span = scan_next(words, g->spans, 0);
	/*@ ghost uint64_t head = 0; */

	/*@ loop invariant bound: expected <= span <= g->spans;
	    loop invariant gap: free_run{Pre}(words, expected, span - expected);
	    loop invariant word: span < g->spans ==> words[span] != SPAN_FREE;
	    loop invariant last: expected > 0 ==> words[expected - 1] != SPAN_FREE;
	    loop invariant same: same_intent(v, \at(v, Pre)) &&
	      v.orphans_first <= v.orphans_end <= expected;
	    loop invariant few: v.findings + (v.orphans_end - v.orphans_first) <= 2 * expected;
	    loop invariant seen: quiet && v.findings == 0 ==>
	      seen{Pre}(words, g->spans, expected, c.tails, head);
	    loop invariant open: quiet && v.findings == 0 ==>
	      open{Pre}(words, g->spans, expected, v.orphans_first, v.orphans_end,
	                v.intent_first, v.intent_end);
	    loop invariant clean: quiet && v.findings == 0 ==>
	      \forall integer i; 0 <= i < expected && words[i] != SPAN_FREE &&
	        !(v.orphans_first <= i < v.orphans_end) ==> span_ok_at(g, words, pairs, i);
	    loop invariant found: quiet && v.findings > 0 ==>
	      !words_clean(g, words, pairs, v.intent_first, v.intent_end);
	    loop assigns v, expected, span, head, c.tails;
	    loop variant g->spans - expected; */
	while (span < g->spans) {
		uint64_t word = own_load(&words[span]);
		enum check_finding finding = CHECK_CLEAN;

		if (span != expected) {
			finding = check_gap(&c);
			/*@ assert broken: quiet && v.findings == 0 && finding != CHECK_CLEAN ==>
			      !heads_whole{Pre}(words, g->spans); */
			v = span_found(v, finding, expected);
		}
		/*@ assert seen: quiet && v.findings == 0 ==>
		      seen{Pre}(words, g->spans, span, c.tails, head); */
		/*@ assert open: quiet && v.findings == 0 ==>
		      open{Pre}(words, g->spans, span, v.orphans_first, v.orphans_end,
		                v.intent_first, v.intent_end); */
		/*@ ghost uint64_t due = c.tails; */
		/*@ assert due: quiet && v.findings == 0 ==>
		      (covered{Pre}(words, g->spans, span) <==> due > 0); */
		finding = check_span(&c, g, span, word, pairs[span]);
		/*@ assert exact: quiet ==> (finding == CHECK_CLEAN <==>
		      span_ok_at(g, words, pairs, span) && tail_ok(word, due)); */
		/*@ assert kept: \let k = span; word == \at(words[k], Pre) && word == words[k]; */
		/*@ ghost uint64_t first = v.orphans_first, end = v.orphans_end; */
		/*@ assert gap: free_run(words, expected, span - expected); */
		/*@ assert before: quiet && v.findings == 0 ==>
		      \forall integer i; 0 <= i < expected && words[i] != SPAN_FREE &&
		        !(first <= i < end) ==> span_ok_at(g, words, pairs, i); */
		v = span_found(v, finding, span);
		/*@ ghost if (word % 0x100 == SPAN_RUN) head = span; */
		/*@ assert run: quiet && v.findings == 0 && word % 0x100 == SPAN_RUN ==> due == 0 &&
		      run_head{Pre}(words, g->spans, span) && c.tails == word_length(word) - 1; */
		/*@ assert tail: quiet && v.findings == 0 && word == SPAN_TAIL && due > 0 ==>
		      finding == CHECK_CLEAN && c.tails == due - 1; */
		/*@ assert orphan: quiet && v.findings == 0 && word == SPAN_TAIL && due == 0 ==>
		      finding == CHECK_TAIL_ORPHAN && c.tails == 0 && (first == end || end == span) &&
		      v.intent_first <= span < v.intent_end && v.orphans_end == span + 1; */
		/*@ assert other: quiet && v.findings == 0 && word % 0x100 != SPAN_RUN &&
		      word != SPAN_TAIL ==> due == 0 && c.tails == 0 && finding == CHECK_CLEAN &&
		      !run_head{Pre}(words, g->spans, span); */
		/*@ assert seen_now: quiet && v.findings == 0 ==>
		      seen{Pre}(words, g->spans, span + 1, c.tails, head); */
		/*@ assert until: quiet && v.findings == 0 ==>
		      open{Pre}(words, g->spans, span, first, end, v.intent_first, v.intent_end); */
		/*@ assert same: quiet && v.findings == 0 && (word != SPAN_TAIL || due > 0) ==>
		      v.orphans_first == first && v.orphans_end == end; */
		/*@ assert no_tail: quiet && v.findings == 0 && word != SPAN_TAIL ==>
		      open{Pre}(words, g->spans, span + 1, first, end, v.intent_first, v.intent_end); */
		/*@ assert is_due: quiet && v.findings == 0 && due > 0 ==>
		      open{Pre}(words, g->spans, span + 1, first, end, v.intent_first, v.intent_end); */
		/*@ assert bare: quiet && v.findings == 0 && word == SPAN_TAIL && due == 0 ==>
		      open{Pre}(words, g->spans, span + 1, span == end ? first : span, span + 1,
		                v.intent_first, v.intent_end); */
		/*@ assert open_now: quiet && v.findings == 0 ==>
		      open{Pre}(words, g->spans, span + 1, v.orphans_first, v.orphans_end,
		                v.intent_first, v.intent_end); */
		/*@ assert now: quiet && v.findings == 0 ==> span_ok_at(g, words, pairs, span) ||
		      v.orphans_first <= span < v.orphans_end; */
		/*@ assert wider: quiet && v.findings == 0 ==> \forall integer i;
		      0 <= i < span && first <= i < end ==> v.orphans_first <= i < v.orphans_end; */
		/*@ assert still: quiet && v.findings == 0 ==>
		      \forall integer i; 0 <= i < expected && words[i] != SPAN_FREE &&
		        !(v.orphans_first <= i < v.orphans_end) ==> span_ok_at(g, words, pairs, i); */
		/*@ assert clean_now: quiet && v.findings == 0 ==>
		      \forall integer i; 0 <= i < span + 1 && words[i] != SPAN_FREE &&
		        !(v.orphans_first <= i < v.orphans_end) ==> span_ok_at(g, words, pairs, i); */
		expected = span + 1;
		span = scan_next(words, g->spans, expected);
	}
	v.taken = expected;
	/*@ assert taken: never_taken(words, expected, g->spans); */
	/*@ ghost uint64_t rest = c.tails; */
	/*@ assert rest: quiet && v.findings == 0 && rest > 0 ==> expected < g->spans; */

	enum check_finding finding = check_gap(&c);
	/*@ assert broken: quiet && v.findings == 0 && finding != CHECK_CLEAN ==>
	      !heads_whole{Pre}(words, g->spans); */
	v = span_found(v, finding, expected);
	/*@ assert none: quiet && v.findings == 0 ==> rest == 0; */
	/*@ assert behind: never_taken(words, expected, g->spans); */
	/*@ assert last: expected > 0 ==> words[expected - 1] != SPAN_FREE; */
	/*@ assert seen: quiet && v.findings == 0 ==>
	      seen{Pre}(words, g->spans, g->spans, 0, head); */
	/*@ assert open: quiet && v.findings == 0 ==>
	      open{Pre}(words, g->spans, g->spans, v.orphans_first, v.orphans_end, v.intent_first,
	                v.intent_end); */
	return orphans_settle(v);
}

/* Rule 3: the free spans that have pairs in the file, and those that the next writer frees. */
/*@ requires map: map_mem(g, words) && pairs_mem(g, pairs) && holes_mem(g, pairs, holes);
    requires few: v.findings <= 3 * g->spans;
    requires order: v.orphans_first <= v.orphans_end <= g->spans;
    terminates \true;
    assigns \nothing;
    ensures same: same_intent(\result, v) && same_orphans(\result, v) && \result.taken == v.taken;
    ensures few: v.findings <= \result.findings <= v.findings + g->spans;
    ensures clean: quiet && \result.findings == v.findings ==>
      free_clean_to(g, words, pairs, v.orphans_first, v.orphans_end, g->spans);
    ensures found: quiet && \result.findings > v.findings ==>
      !free_clean_to(g, words, pairs, v.orphans_first, v.orphans_end, g->spans); */
static struct verify verify_free(struct verify v, const struct geo *g, const uint64_t *words,
				 const uint64_t *const *pairs, const bool *holes)
{
	uint64_t span = scan_next_pairs(holes, g->spans, 0);
	/*@ ghost uint64_t seen = 0; */

	/*@ loop invariant bound: seen <= span <= g->spans;
	    loop invariant holes: \forall integer k; seen <= k < span ==> holes[k] != 0;
	    loop invariant same: same_intent(v, \at(v, Pre)) && same_orphans(v, \at(v, Pre)) &&
	      v.taken == \at(v.taken, Pre);
	    loop invariant few: \at(v.findings, Pre) <= v.findings <= \at(v.findings, Pre) + seen;
	    loop invariant clean: quiet && v.findings == \at(v.findings, Pre) ==>
	      free_clean_to(g, words, pairs, v.orphans_first, v.orphans_end, seen);
	    loop invariant found: quiet && v.findings > \at(v.findings, Pre) ==>
	      !free_clean_to(g, words, pairs, v.orphans_first, v.orphans_end, g->spans);
	    loop assigns span, seen, v;
	    loop variant g->spans - span; */
	while (span < g->spans) {
		struct check c = {.tails = 0};

		/*@ assert hole: \forall integer k; seen <= k < span ==>
		      none_beyond(pairs[k], g->span_pairs, 0); */
		if (own_load(&words[span]) == 0 ||
		    (span >= v.orphans_first && span < v.orphans_end)) {
			enum check_finding finding = check_span(&c, g, span, 0, pairs[span]);

			/*@ assert exact: quiet ==> (finding == CHECK_CLEAN <==>
			      none_beyond(pairs[span], g->span_pairs, 0)); */
			if (finding != CHECK_CLEAN)
				v = found(v);
		}
		/*@ ghost seen = span + 1; */
		span = scan_next_pairs(holes, g->spans, span + 1);
	}
	/*@ assert hole: \forall integer k; seen <= k < g->spans ==>
	      none_beyond(pairs[k], g->span_pairs, 0); */
	return v;
}

/*@ requires map: map_mem(g, words) && pairs_mem(g, pairs) && holes_mem(g, pairs, holes);
    requires start: v.findings == 0 && v.orphans_first == 0 && v.orphans_end == 0;
    requires intent: intent_in(v, g->spans);
    terminates \true;
    assigns \nothing;
    ensures few: \result.findings <= 4 * g->spans;
    ensures taken: \result.taken > 0 ==> words[\result.taken - 1] != SPAN_FREE;
    ensures behind: \result.taken <= g->spans && never_taken(words, \result.taken, g->spans);
    ensures clean: quiet && \result.findings == 0 ==>
      runs_left(words, g->spans, v.intent_first, v.intent_end) &&
      spans_ok_to(g, words, pairs, g->spans);
    ensures found: quiet && \result.findings > 0 ==>
      !runs_left(words, g->spans, v.intent_first, v.intent_end) ||
      !spans_ok_to(g, words, pairs, g->spans); */
static struct verify verify_spans(struct verify v, const struct geo *g, const uint64_t *words,
				  const uint64_t *const *pairs, const bool *holes)
{
	v = verify_words(v, g, words, pairs);
	/*@ assert words: quiet && v.findings > 0 && runs_left(words, g->spans, v.intent_first,
	      v.intent_end) ==> !spans_ok_to(g, words, pairs, g->spans); */
	/*@ assert tails: quiet && v.findings == 0 ==> \forall integer t;
	      v.orphans_first <= t < v.orphans_end ==> words[t] == SPAN_TAIL; */
	/*@ assert free: quiet && v.findings == 0 && spans_ok_to(g, words, pairs, g->spans) ==>
	      free_clean_to(g, words, pairs, v.orphans_first, v.orphans_end, g->spans); */
	return verify_free(v, g, words, pairs, holes);
}

/* Rule 5: what is behind the last span that is taken tells of all. */
/*@ requires few: v.findings < UINT64_MAX;
    terminates \true;
    assigns \nothing;
    ensures found: \result.findings == v.findings + (v.taken > frontier ? 1 : 0); */
static struct verify verify_frontier(struct verify v, uint64_t frontier)
{
	if (v.taken > frontier)
		v = found(v);
	return v;
}

/* Every entry by itself, and so all of them. */
/*@ requires mem: \valid_read(g) && \valid_read(table + (0 .. ROOTS_BYTES - 1));
    requires few: v.findings <= UINT64_MAX - QALLOC_ROOTS_MAX;
    terminates \true;
    assigns \nothing;
    ensures few: v.findings <= \result.findings;
    ensures clean: \result.findings == v.findings ==> roots_whole(g, table);
    ensures found: \result.findings > v.findings ==> !roots_whole(g, table); */
static struct verify verify_roots(struct verify v, const struct geo *g, const uint8_t *table)
{
	/*@ loop invariant bound: 0 <= i <= QALLOC_ROOTS_MAX;
	    loop invariant few: \at(v.findings, Pre) <= v.findings <= \at(v.findings, Pre) + i;
	    loop invariant clean: v.findings == \at(v.findings, Pre) ==>
	      \forall integer j; 0 <= j < i && published(table, j) ==>
	      root_good(table, j, g->data_off, g->data_end);
	    loop invariant first: v.findings == \at(v.findings, Pre) ==>
	      \forall integer j; 0 <= j < i && published(table, j) ==> root_first(table, j);
	    loop invariant found: v.findings > \at(v.findings, Pre) ==> !roots_whole(g, table);
	    loop assigns i, v;
	    loop variant QALLOC_ROOTS_MAX - i; */
	for (uint32_t i = 0; i < QALLOC_ROOTS_MAX; i++) {
		if (check_root(g, table, i) != CHECK_CLEAN) {
			/*@ assert broken: !root_first(table, i) ==> !names_apart(table); */
			v = found(v);
		}
		/*@ assert good: v.findings == \at(v.findings, Pre) && published(table, i) ==>
		      root_good(table, i, g->data_off, g->data_end); */
	}
	/*@ assert below: v.findings == \at(v.findings, Pre) ==>
	      \forall integer i, j; 0 <= i < j < QALLOC_ROOTS_MAX &&
	      published(table, i) && published(table, j) ==>
	      !same_name(root_at(table, i), root_at(table, j)); */
	/*@ assert above: v.findings == \at(v.findings, Pre) ==>
	      \forall integer i, j; 0 <= j < i < QALLOC_ROOTS_MAX &&
	      published(table, i) && published(table, j) ==>
	      !same_name(root_at(table, i), root_at(table, j)); */
	/*@ assert apart: v.findings == \at(v.findings, Pre) ==> names_apart(table); */
	/*@ assert values: v.findings == \at(v.findings, Pre) ==>
	      \forall integer i; 0 <= i < QALLOC_ROOTS_MAX && published(table, i) ==>
	      name_whole(root_at(table, i)) && root_value_ok(g, root_at(table, i)); */
	return v;
}

/*
 * The intent of a read-only map; what a repair ignores excuses nothing.  In a writable map
 * `op` counts as INTENT_NONE.
 */
/*@ terminates \true;
    assigns \nothing;
    ensures fresh: \result.findings == 0 && \result.orphans_first == 0 && \result.orphans_end == 0;
    ensures inside: intent_in(\result, spans);
    ensures repairs: repairs(op, first, len, spans) ==>
      \result.intent_first == first && \result.intent_end == first + len;
    ensures none: !repairs(op, first, len, spans) ==>
      \result.intent_first == \result.intent_end; */
static struct verify intent_read(uint64_t spans, uint64_t op, uint64_t first, uint64_t len)
{
	struct verify v = {.findings = 0, .orphans_first = 0, .orphans_end = 0};

	v.intent_first = v.intent_end = 0;
	if ((op == INTENT_RUN_TAKE || op == INTENT_RUN_FREE) && first < spans &&
	    len <= spans - first) {
		v.intent_first = first;
		v.intent_end = first + len;
	}
	return v;
}

/* qalloc_check(): finds nothing if and only if the map is whole, or will be when it is repaired. */
/*@ requires map: map_mem(g, words) && pairs_mem(g, pairs) && holes_mem(g, pairs, holes);
    requires table: \valid_read(table + (0 .. ROOTS_BYTES - 1));
    terminates \true;
    assigns \nothing;
    ensures clean: quiet && !repairs(op, first, len, g->spans) && \result == 0 ==>
      map_whole(g, words, pairs, frontier, table);
    ensures found: quiet && !repairs(op, first, len, g->spans) && \result > 0 ==>
      !map_whole(g, words, pairs, frontier, table);
    ensures left: quiet && repairs(op, first, len, g->spans) && \result == 0 ==>
      map_left(g, words, pairs, frontier, table, first, first + len);
    ensures broken: quiet && repairs(op, first, len, g->spans) && \result > 0 ==>
      !map_left(g, words, pairs, frontier, table, first, first + len); */
uint64_t verify_all(const struct geo *g, const uint64_t *words, const uint64_t *const *pairs,
		    const bool *holes, uint64_t frontier, const uint8_t *table, uint64_t op,
		    uint64_t first, uint64_t len)
{
	struct verify v = intent_read(g->spans, op, first, len);

	v = verify_spans(v, g, words, pairs, holes);
	v = verify_frontier(v, frontier);
	v = verify_roots(v, g, table);
	return v.findings;
}
