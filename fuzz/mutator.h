/* SPDX-License-Identifier: MIT */
/*
 * A mutator that knows the inputs (fuzz.h) and the format (src/format.h).
 */
#ifndef QALLOC_FUZZ_MUTATOR_H
#define QALLOC_FUZZ_MUTATOR_H

#include <stddef.h>
#include <stdint.h>

/* Changes bytes without any knowledge; the engine's. */
typedef size_t havoc_fn(uint8_t *data, size_t size, size_t room);

/* Mutates data[0..size) in place, up to `room` bytes.  The new size. */
size_t mutate_input(uint8_t *data, size_t size, size_t room, uint32_t seed, havoc_fn *havoc);

/* The header and patches of one, and those and the program of the other.  The size. */
size_t splice_inputs(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out,
		     size_t room, uint32_t seed);

#endif
