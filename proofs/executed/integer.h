/* SPDX-License-Identifier: MIT */
/*
 * What logic functions and predicates are compiled with, as prepare.awk writes them in C.
 */
#include <stdlib.h>

#include "check.h"
#include "run.h"

/* Wide enough for every sum and product of the contracts; -ftrapv ends the run beyond that. */
typedef __int128 integer;

/* Of what an annotation gets: all numbers of the core are unsigned and have at most 64 bits. */
static uint64_t in_64_bits(integer n)
{
	if (n < 0 || n > UINT64_MAX)
		abort();
	return (uint64_t)n;
}

#define quiet 1
#define ALL(i, from, to, p)                                                                        \
	({                                                                                         \
		integer i = (from), end_ = (to);                                                   \
		while (i < end_ && (p))                                                            \
			i++;                                                                       \
		i >= end_;                                                                         \
	})
#define ANY(i, from, to, p) (!ALL(i, from, to, !(p)))
