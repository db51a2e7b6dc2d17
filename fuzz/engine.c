/* SPDX-License-Identifier: MIT */
/*
 * The mutator, as the engines want it: for libFuzzer the LLVMFuzzerCustom functions, for AFL++ (with
 * -DFUZZ_AFL, as a shared object) the afl_custom ones.
 */
#include <stdlib.h>
#include <string.h>

#include "mutator.h"

#ifndef FUZZ_AFL

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
				 uint8_t *out, size_t room, unsigned seed);

const char *__asan_default_options(void);

/* The library never calls malloc(): what there is to find is not in the heap. */
const char *__asan_default_options(void)
{
	return "malloc_context_size=1:quarantine_size_mb=4";
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed)
{
	return mutate_input(data, size, room, seed, LLVMFuzzerMutate);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
				 uint8_t *out, size_t room, unsigned seed)
{
	return splice_inputs(a, a_size, b, b_size, out, room, seed);
}

#else

#define AFL_ROOM ((size_t)64 << 10)

struct afl_state {
	uint64_t chance;
	uint8_t buffer[AFL_ROOM];
};

static struct afl_state *current;

void *afl_custom_init(void *afl, unsigned seed);
void afl_custom_deinit(void *data);
size_t afl_custom_fuzz(void *data, uint8_t *buf, size_t size, uint8_t **out, uint8_t *add,
		       size_t add_size, size_t room);

static uint32_t next(void)
{
	current->chance = current->chance * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(current->chance >> 33);
}

/* AFL++ does its own havoc between calls: here a byte or two is enough. */
static size_t small_havoc(uint8_t *data, size_t size, size_t room)
{
	if (size == 0 || (next() % 4 == 0 && size < room)) {
		if (size < room)
			data[size++] = (uint8_t)next();
		return size;
	}
	data[next() % size] ^= (uint8_t)(1u << next() % 8);
	data[next() % size] = (uint8_t)next();
	return size;
}

void *afl_custom_init(void *afl, unsigned seed)
{
	(void)afl;
	current = calloc(1, sizeof(*current));
	if (current != NULL)
		current->chance = seed;
	return current;
}

void afl_custom_deinit(void *data)
{
	free(data);
}

size_t afl_custom_fuzz(void *data, uint8_t *buf, size_t size, uint8_t **out, uint8_t *add,
		       size_t add_size, size_t room)
{
	struct afl_state *s = data;
	size_t most = room < AFL_ROOM ? room : AFL_ROOM;

	*out = s->buffer;
	if (add != NULL && next() % 16 == 0) {
		size_t spliced = splice_inputs(buf, size, add, add_size, s->buffer, most, next());

		if (spliced > 0)
			return spliced;
	}
	size = size < most ? size : most;
	memcpy(s->buffer, buf, size);
	return mutate_input(s->buffer, size, most, next(), small_havoc);
}

#endif
