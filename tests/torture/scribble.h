/* SPDX-License-Identifier: MIT */
/*
 * Who writes over the metadata of a map: random and chosen values, wherever somebody reads.
 */
#ifndef QALLOC_TORTURE_SCRIBBLE_H
#define QALLOC_TORTURE_SCRIBBLE_H

#include <stdint.h>

#include "../../src/geo.h"

/*
 * Without pause until *stop; how many words.  The header gets its bytes back at once: else nobody
 * could open the map any more.
 */
uint64_t scribble(const char *path, const struct geo *geo, uint64_t seed, const volatile int *stop);

/* The first span's word becomes one that no map can hold; nobody holds the pool. */
void scribble_violation(const char *path, const struct geo *geo);

#endif
