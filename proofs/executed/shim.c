/* SPDX-License-Identifier: MIT */
/*
 * What the core is linked with when E-ACSL has instrumented it: bodies for the accessors of
 * word.h, whose contracts are checked around each call, and what annotations call (shim.h).
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <gmp.h>

#include "shim.h"

#define NESTED_MAX 8

uint64_t own_load(const uint64_t *w)
{
	return *w;
}

void own_store(uint64_t *w, uint64_t v)
{
	*w = v;
}

uint64_t shared_load(const uint64_t *w)
{
	return *w;
}

bool shared_cas(uint64_t *w, uint64_t expected, uint64_t desired)
{
	if (*w != expected)
		return false;
	*w = desired;
	return true;
}

uint32_t trailing_zeros(uint64_t w)
{
	return (uint32_t)__builtin_ctzll(w);
}

uint64_t number(uint64_t n)
{
	return n;
}

static struct memory {
	const uint64_t *from;
	uint64_t count;
	uint64_t *words;
} memories[NESTED_MAX];
static int nested;

int64_t remember(const uint64_t *from, int64_t count)
{
	struct memory *m = &memories[nested++];

	if (nested > NESTED_MAX)
		abort();
	m->from = from;
	m->count = count > 0 ? (uint64_t)count : 0;
	m->words = malloc((m->count + 1) * sizeof(*m->words));
	if (m->words == NULL)
		abort();
	memcpy(m->words, from, m->count * sizeof(*m->words));
	return 1;
}

/* Of a word that the function may not change, what it is. */
uint64_t before(const uint64_t *word)
{
	const struct memory *m = &memories[nested - 1];

	if (word >= m->from && word < m->from + m->count)
		return m->words[word - m->from];
	return *word;
}

int64_t forget(int64_t result)
{
	free(memories[--nested].words);
	return result;
}

/* What E-ACSL calls to make a number of 64 bits out of one of GMP: it must be one. */
unsigned long __wrap___gmpz_get_ui(mpz_srcptr n)
{
	if (!mpz_fits_ulong_p(n))
		abort();
	return mpz_getlimbn(n, 0);
}

uint32_t broken(uint32_t unit)
{
	const char *name = getenv("BROKEN");

	return name != NULL && (uint32_t)atoi(name) == unit;
}
