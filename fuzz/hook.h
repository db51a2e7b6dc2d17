/* SPDX-License-Identifier: MIT */
/*
 * Put in front of every source of the library when it is built for fuzzing (-include): the
 * accessors of word.h, each of which first asks word_hook() whether an adversary stores
 * something now.  The accessors themselves are the shipped ones.
 */
#ifndef QALLOC_FUZZ_HOOK_H
#define QALLOC_FUZZ_HOOK_H

#define own_load word_own_load
#define shared_load word_shared_load
#define shared_cas word_shared_cas
#include "../src/word.h"
#undef own_load
#undef shared_load
#undef shared_cas

void word_hook(const void *word);

static inline uint64_t own_load(const uint64_t *w)
{
	word_hook(w);
	return word_own_load(w);
}

static inline uint64_t shared_load(const uint64_t *w)
{
	word_hook(w);
	return word_shared_load(w);
}

static inline bool shared_cas(uint64_t *w, uint64_t expected, uint64_t desired)
{
	word_hook(w);
	return word_shared_cas(w, expected, desired);
}

#endif
