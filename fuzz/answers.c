/* SPDX-License-Identifier: MIT */
/*
 * What the library answered to an input, folded into one number: every error's name and number, every
 * block's place, how long a call waited, what it reserved, and the file that is left in the end.
 *
 *  - The numbers of the corpus are recorded in corpus/answers.  The replay compares: a rule that is
 *    gone without breaking any property still answers something else.
 *  - Nothing goes in that differs from run to run, or from compiler to compiler: no address of
 *    private memory, no descriptor, no sentence, no count of loads.
 */
#include "answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define NAME_MAX_BYTES 64u

struct recorded {
	char name[NAME_MAX_BYTES];
	uint32_t number;
};

static uint64_t folded = 1;
static struct recorded *records;
static size_t count, next;

void answer(uint64_t value)
{
	folded = (folded ^ value) * UINT64_C(0x9E3779B97F4A7C15);
	folded ^= folded >> 29;
}

uint32_t answers_end(void)
{
	answer(image_digest());
	uint64_t whole = folded;

	folded = 1;
	/* Whether such an address is taken depends on the sanitizer. */
	if (!image_is_portable())
		return 0;
	return (uint32_t)(whole ^ whole >> 32);
}

bool answers_read(const char *path)
{
	FILE *f = fopen(path, "r");
	struct recorded one;

	if (f == NULL) {
		perror(path);
		return false;
	}
	while (fscanf(f, "%8x %63s", &one.number, one.name) == 2) {
		struct recorded *more = realloc(records, (count + 1) * sizeof(*records));

		FUZZ_CHECK(more != NULL);
		records = more;
		records[count++] = one;
	}
	fclose(f);
	return true;
}

const uint32_t *answers_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash == NULL ? path : slash + 1;

	/* They are recorded in the order in which they are asked for. */
	for (size_t i = 0; i < count; i++, next = (next + 1) % count) {
		if (strncmp(records[next].name, name, NAME_MAX_BYTES - 1) == 0)
			return &records[next].number;
	}
	return NULL;
}
