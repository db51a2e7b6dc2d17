/* SPDX-License-Identifier: MIT */
/*
 * The checker over a whole map: clean if and only if rules 1 to 4 of check.h hold of all its
 * words and pairs, no span beyond the frontier is taken, and the roots are whole.  Never compiled
 * into the library, where verify.c makes the same calls and comparison, but leaves out
 * stretches of zeros: for those check_gap() stands.
 */
#include "../src/check.h"
#include "../src/run.h"

/* pairs[k] are copies of the pairs of span k, as the shell has them. */
/*@ requires map: \valid_read(g) && geo_valid(g) && \valid_read(words + (0 .. g->spans - 1));
    requires pairs: \valid_read(pairs + (0 .. g->spans - 1)) &&
      \forall integer k; 0 <= k < g->spans ==>
        \valid_read(pairs[k] + (0 .. 2 * g->span_pairs - 1));
    terminates \true;
    assigns \nothing;
    ensures clean: quiet && \result ==>
      runs_whole(words, g->spans) && spans_ok_to(g, words, pairs, g->spans);
    ensures found: quiet && !\result ==>
      !runs_whole(words, g->spans) || !spans_ok_to(g, words, pairs, g->spans); */
bool check_map(const struct geo *g, const uint64_t *words, const uint64_t *const *pairs)
{
	struct check c = {.tails = 0};
	/*@ ghost uint64_t head = 0; */

	/*@ loop invariant bound: 0 <= k <= g->spans;
	    loop invariant spans: quiet ==> spans_ok_to(g, words, pairs, k);
	    loop invariant due: c.tails > 0 ==> head < k && run_head(words, g->spans, head) &&
	      head + word_length(words[head]) == k + c.tails && all_tail(words, head + 1, k);
	    loop invariant heads: \forall integer h; h < k && run_head(words, g->spans, h) ==>
	      h + word_length(words[h]) <= k + c.tails &&
	      \forall integer t; h < t < k && t < h + word_length(words[h]) ==> words[t] == SPAN_TAIL;
	    loop invariant tails: \forall integer t; 0 <= t < k && words[t] == SPAN_TAIL ==>
	      covered(words, g->spans, t);
	    loop assigns k, c.tails, head;
	    loop variant g->spans - k; */
	for (uint64_t k = 0; k < g->spans; k++) {
		uint64_t word = own_load(&words[k]);
		/*@ ghost uint64_t due = c.tails; */
		enum check_finding finding = CHECK_CLEAN;

		/*@ assert covers: due > 0 ==>
		      covers(words, g->spans, head, k) && covered(words, g->spans, k); */
		/*@ assert cut: due > 0 && word != SPAN_TAIL ==> !heads_whole(words, g->spans); */
		/*@ assert bare: due == 0 ==> !covered(words, g->spans, k); */
		finding = check_span(&c, g, k, word, pairs[k]);
		/*@ assert clean: quiet ==> (finding == CHECK_CLEAN <==>
		      span_ok_at(g, words, pairs, k) && tail_ok(word, due)); */
		/*@ assert whole: quiet && runs_whole(words, g->spans) ==> tail_ok(word, due); */
		if (finding != CHECK_CLEAN)
			return false;
		/*@ assert run: word % 0x100 == SPAN_RUN ==>
		      run_head(words, g->spans, k) && c.tails == word_length(word) - 1; */
		/*@ assert tail: word == SPAN_TAIL ==> c.tails == due - 1; */
		/*@ assert none: word % 0x100 != SPAN_RUN && word != SPAN_TAIL ==> c.tails == 0; */
		/*@ ghost if (word % 0x100 == SPAN_RUN) head = k; */
	}
	/*@ assert over: c.tails == 0; */
	/*@ assert heads: heads_whole(words, g->spans); */
	return check_gap(&c) == CHECK_CLEAN;
}

/* Rule 5: what is behind the last span that is taken tells of all. */
/*@ requires words: \valid_read(words + (0 .. spans - 1)) && spans < 0x100000000;
    terminates \true;
    assigns \nothing;
    ensures iff: \result <==> never_taken(words, frontier, spans); */
bool check_frontier(const uint64_t *words, uint64_t spans, uint64_t frontier)
{
	uint64_t taken = 0;

	/*@ loop invariant bound: taken <= k <= spans;
	    loop invariant behind: never_taken(words, taken, k);
	    loop invariant last: taken > 0 ==> words[taken - 1] != SPAN_FREE;
	    loop assigns k, taken;
	    loop variant spans - k; */
	for (uint64_t k = 0; k < spans; k++) {
		if (own_load(&words[k]) != SPAN_FREE)
			taken = k + 1;
	}
	return taken <= frontier;
}

/* Every entry by itself, and so all of them. */
/*@ requires mem: \valid_read(g) && \valid_read(table + (0 .. ROOTS_BYTES - 1));
    terminates \true;
    assigns \nothing;
    ensures clean: \result ==> roots_whole(g, table);
    ensures found: !\result ==> !roots_whole(g, table); */
bool check_roots(const struct geo *g, const uint8_t *table)
{
	/*@ loop invariant bound: 0 <= k <= QALLOC_ROOTS_MAX;
	    loop invariant clean: \forall integer i; 0 <= i < k ==> root_clean(g, table, i);
	    loop assigns k;
	    loop variant QALLOC_ROOTS_MAX - k; */
	for (uint32_t k = 0; k < QALLOC_ROOTS_MAX; k++) {
		if (check_root(g, table, k) != CHECK_CLEAN) {
			/*@ assert broken: !root_first(table, k) ==> !names_apart(table); */
			return false;
		}
	}
	/*@ assert first: \forall integer j; 0 <= j < QALLOC_ROOTS_MAX && published(table, j) ==>
	      root_first(table, j); */
	/*@ assert below: \forall integer i, j; 0 <= i < j < QALLOC_ROOTS_MAX &&
	      published(table, i) && published(table, j) ==>
	      !same_name(root_at(table, i), root_at(table, j)); */
	/*@ assert above: \forall integer i, j; 0 <= j < i < QALLOC_ROOTS_MAX &&
	      published(table, i) && published(table, j) ==>
	      !same_name(root_at(table, i), root_at(table, j)); */
	/*@ assert apart: names_apart(table); */
	return true;
}
