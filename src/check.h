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
 */
#ifndef QALLOC_CHECK_H
#define QALLOC_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "geo.h"
#include "span.h"

enum check_finding {
	CHECK_CLEAN = 0,
	CHECK_WORD,        /* not a valid span word */
	CHECK_TAIL_ORPHAN, /* TAIL that belongs to no run */
	CHECK_RUN_BROKEN,  /* a run's tail is not TAIL */
	CHECK_FREE_LIVE,   /* a span without small blocks has live bits */
	CHECK_BITS_BEYOND  /* live bits beyond the span's blocks */
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
    ensures finding: CHECK_CLEAN <= \result <= CHECK_BITS_BEYOND;
    ensures tails: c->tails < \max(0x100000000, \old(c->tails));
    ensures tail: word == SPAN_TAIL && \old(c->tails) > 0 ==>
      (\result == CHECK_CLEAN || \result == CHECK_FREE_LIVE) && c->tails == \old(c->tails) - 1;
    ensures orphan: word == SPAN_TAIL && \old(c->tails) == 0 ==> \result == CHECK_TAIL_ORPHAN;
    ensures broken: \old(c->tails) > 0 && word != SPAN_TAIL ==>
      \result == CHECK_WORD || \result == CHECK_RUN_BROKEN;
    ensures state: (word & 0xFF) > SPAN_TAIL ==> \result == CHECK_WORD; */
enum check_finding check_span(struct check *c, const struct geo *g, uint64_t index, uint64_t word,
			      const uint64_t *pairs);

/* At a stretch of zero words (a hole in the file) of any length, or at the end of the map. */
/*@ requires mem: \valid(c);
    terminates \true;
    assigns c->tails;
    ensures none: c->tails == 0;
    ensures finding: \result == (\old(c->tails) > 0 ? CHECK_RUN_BROKEN : CHECK_CLEAN); */
enum check_finding check_gap(struct check *c);

#endif
