/* SPDX-License-Identifier: MIT */
/*
 * The recorded answers of the corpus.  See answers.c.
 */
#ifndef QALLOC_FUZZ_ANSWERS_H
#define QALLOC_FUZZ_ANSWERS_H

#include <stdbool.h>
#include <stdint.h>

/* At the end of an input: its number.  The next one begins. */
uint32_t answers_end(void);

/* Lines of a number and the name of an input. */
bool answers_read(const char *path);

/* What is recorded for an input; NULL: nothing. */
const uint32_t *answers_of(const char *path);

#endif
