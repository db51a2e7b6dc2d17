/* SPDX-License-Identifier: MIT */
/*
 * The checker: one span at a time, nothing trusted, always advancing.
 *
 * A map's spans are whole iff, going through all words from the first to the last:
 *  1. every word is valid (span_word_valid);
 *  2. behind a head of length n stand exactly n - 1 TAIL words, and no TAIL stands elsewhere; a
 *     static map has no run;
 *  3. a FREE, RUN or TAIL span has own == rem in every pair: it was free before it became part
 *     of a run, and will be free again;
 *  4. a SMALL span has own == rem in every bit that is not one of its blocks.
 * The roots are whole iff, for each published entry:
 *  1. its name has 1 to 47 bytes that are not NUL, and all behind them are NUL;
 *  2. its value is 0 or an offset in the data area;
 *  3. no published entry before it has the same name.
 */
#ifndef QALLOC_CHECK_H
#define QALLOC_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "geo.h"
#include "span.h"
#ifdef __FRAMAC__
#include "../proofs/check.acsl"
#endif

enum check_finding {
	CHECK_CLEAN = 0,
	CHECK_WORD,        /* not a valid span word */
	CHECK_TAIL_ORPHAN, /* TAIL that belongs to no run */
	CHECK_RUN_BROKEN,  /* a run's tail is not TAIL */
	CHECK_FREE_LIVE,   /* a span without small blocks has live bits */
	CHECK_BITS_BEYOND, /* live bits beyond the span's blocks */
	CHECK_ROOT_NAME,   /* not 1 to 47 bytes padded with NUL */
	CHECK_ROOT_VALUE,  /* not 0, and outside the data area */
	CHECK_ROOT_TWICE   /* an earlier root has the same name */
};

struct check {
	uint64_t tails; /* how many TAIL words must follow */
};

/*
 * Checks span `index`, whose word is `word` and whose bit pairs are at `pairs`
 * (g->span_pairs of them).  Returns the first rule that the span breaks, and goes on
 * after it.  Requires index < g->spans.
 */
/*@ requires mem: \valid(c) && \valid_read(g) && \separated(c, g) && geo_valid(g);
    requires span: index < g->spans;
    requires pairs: \valid_read(pairs + (0 .. 2 * g->span_pairs - 1));
    terminates \true;
    assigns c->tails;
    ensures clean: quiet ==>
      (\result == CHECK_CLEAN <==> span_clean(g, index, word, pairs, \old(c->tails)));
    ensures word: \result == CHECK_WORD <==> !span_word_ok(g, index, word);
    ensures orphan: \result == CHECK_TAIL_ORPHAN <==> word == SPAN_TAIL && \old(c->tails) == 0;
    ensures broken: \result == CHECK_RUN_BROKEN <==>
      span_word_ok(g, index, word) && word != SPAN_TAIL && \old(c->tails) > 0;
    ensures live: \result == CHECK_FREE_LIVE ==> !is_small(word);
    ensures beyond: \result == CHECK_BITS_BEYOND ==> is_small(word);
    ensures finding: CHECK_CLEAN <= \result <= CHECK_BITS_BEYOND;
    ensures bad: !span_word_ok(g, index, word) || word == SPAN_TAIL ==>
      c->tails == \max(0, \old(c->tails) - 1);
    ensures run: word_run(word, span_room(g, index)) ==> c->tails == word_length(word) - 1;
    ensures none: word == SPAN_FREE || is_small(word) && span_word_ok(g, index, word) ==>
      c->tails == 0; */
enum check_finding check_span(struct check *c, const struct geo *g, uint64_t index, uint64_t word,
			      const uint64_t *pairs);

/* At a stretch of zero words (a hole in the file) of any length, or at the end of the map. */
/*@ requires mem: \valid(c);
    terminates \true;
    assigns c->tails;
    ensures none: c->tails == 0;
    ensures finding: \result == (\old(c->tails) > 0 ? CHECK_RUN_BROKEN : CHECK_CLEAN); */
enum check_finding check_gap(struct check *c);

/* Root `index` in the table of all: the first rule that it breaks. */
/*@ requires mem: \valid_read(g) && \valid_read(table + (0 .. ROOTS_BYTES - 1));
    requires root: index < QALLOC_ROOTS_MAX;
    terminates \true;
    assigns \nothing;
    ensures clean: \result == CHECK_CLEAN <==> root_clean(g, table, index);
    ensures name: \result == CHECK_ROOT_NAME <==>
      published(table, index) && !name_whole(root_at(table, index));
    ensures value: \result == CHECK_ROOT_VALUE ==> !root_value_ok(g, root_at(table, index));
    ensures twice: \result == CHECK_ROOT_TWICE ==> !root_first(table, index);
    ensures finding: \result == CHECK_CLEAN || CHECK_ROOT_NAME <= \result <= CHECK_ROOT_TWICE; */
enum check_finding check_root(const struct geo *g, const uint8_t *table, uint32_t index);

#endif
