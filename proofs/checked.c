/* SPDX-License-Identifier: MIT */
/*
 * The checker over a whole map: clean if and only if rules 1 to 4 of check.h hold of all its
 * words and pairs.  Never compiled into the library, where verify.c makes the same calls, but
 * leaves out stretches of zeros: for those check_gap() stands.
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
