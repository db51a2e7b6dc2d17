/* SPDX-License-Identifier: MIT */
/*
 * The guard: what a map does, if its opener asked for it, when a page of its file cannot be had.
 *
 *  - The kernel says so with SIGBUS: the file was truncated, the disk failed, or a full disk
 *    had promised space.  The handler puts a private page of zeros in that place, so
 *    that whoever touched it goes on, and poisons the handle: from then on its calls fail.
 *  - Everything else goes to whoever handled SIGBUS before.
 *  - The handler is there as long as a guarded map is open, and not a moment longer.
 */
#ifndef QALLOC_GUARD_H
#define QALLOC_GUARD_H

#include "map.h"

/* Registry locked.  Watches the map from now on; 0, or -1 recorded.  Twice is once. */
int guard_begin(struct map *m);
void guard_end(struct map *m);

#endif
