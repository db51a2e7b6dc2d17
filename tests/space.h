/* SPDX-License-Identifier: MIT */
/*
 * Whether what is in use in a map has its disk space: contents do not tell, since a hole reads as
 * zeros, and a store to it succeeds as long as the disk is not full.
 */
#ifndef QALLOC_TEST_SPACE_H
#define QALLOC_TEST_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "../src/geo.h"

/*
 * Each span of small blocks, or each that is not free, has its space, in the file of a map where
 * nobody is at work.  If not, *span is the first without.  True also on any file system
 * but tmpfs.
 */
bool spans_have_space(int fd, const struct geo *g, bool only_small, uint64_t *span);

#endif
