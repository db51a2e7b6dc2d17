/* SPDX-License-Identifier: MIT */
/*
 * The accessors through which the core touches words of the map: the whole
 * trusted base of the proofs for memory.
 *
 *  - own_load/own_store: a word with one writer, which is the caller.
 *  - shared_load: a word that anyone may write.  The proofs may assume nothing
 *    about what it returns, unless nobody writes, so neither may the code.
 *  - shared_cas: the one way to write such a word.
 *
 * Compiled, they are relaxed or acquire/release atomics; read by Frama-C they
 * are prototypes with contracts.
 */
#ifndef QALLOC_WORD_H
#define QALLOC_WORD_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __FRAMAC__

/*
 * Nothing defines this: what a contract says if quiet holds when nobody else
 * writes meanwhile, and all else that it says holds whatever others write to words
 * that are read by shared_load.
 */
extern const int others_write;
/*@ predicate quiet = others_write == 0; */

/*@ requires valid: \valid_read(w);
    terminates \true;
    assigns \nothing;
    ensures value: \result == *w; */
uint64_t own_load(const uint64_t *w);

/*@ requires valid: \valid(w);
    terminates \true;
    assigns *w \from v;
    ensures value: *w == v; */
void own_store(uint64_t *w, uint64_t v);

/* The value is anything: no ensures beside quiet, on purpose. */
/*@ requires valid: \valid_read(w);
    terminates \true;
    assigns \result \from *w;
    ensures quiet: quiet ==> \result == *w; */
uint64_t shared_load(const uint64_t *w);

/*@ requires valid: \valid(w);
    terminates \true;
    assigns *w, \result \from *w, expected, desired;
    ensures done: \result ==> *w == desired;
    ensures quiet: quiet ==> (\result <==> \old(*w) == expected);
    ensures kept: quiet && !\result ==> *w == \old(*w); */
bool shared_cas(uint64_t *w, uint64_t expected, uint64_t desired);

/* The compiler vouches for this, and a test: words of one bit or two, and UINT64_MAX << a. */
/*@ requires some: w != 0;
    terminates \true;
    assigns \nothing;
    ensures range: 0 <= \result < 64;
    ensures set: ((w >> \result) & 1) != 0;
    ensures first: \forall integer i; 0 <= i < \result ==> ((w >> i) & 1) == 0; */
uint32_t trailing_zeros(uint64_t w);

#else

static inline uint64_t own_load(const uint64_t *w)
{
	return __atomic_load_n(w, __ATOMIC_RELAXED);
}

static inline void own_store(uint64_t *w, uint64_t v)
{
	__atomic_store_n(w, v, __ATOMIC_RELEASE);
}

static inline uint64_t shared_load(const uint64_t *w)
{
	return __atomic_load_n(w, __ATOMIC_ACQUIRE);
}

static inline bool shared_cas(uint64_t *w, uint64_t expected, uint64_t desired)
{
	return __atomic_compare_exchange_n(w, &expected, desired, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

static inline uint32_t trailing_zeros(uint64_t w)
{
	return (uint32_t)__builtin_ctzll(w);
}

#endif
#endif
