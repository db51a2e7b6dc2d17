/* SPDX-License-Identifier: MIT */
/*
 * Roots, for the rest of the library; the public calls are in qalloc.h.
 */
#ifndef QALLOC_ROOTS_H
#define QALLOC_ROOTS_H

#include "intent.h"

/* The cell that is the root's value, created as NULL if asked; CELL_NONE with the error recorded. */
uint64_t root_cell(struct map *m, const char *name, bool create);

#endif
