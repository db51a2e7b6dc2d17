/* SPDX-License-Identifier: MIT */
/*
 * The guard: what a map does, if its opener asked for it, when a page of its file cannot be had.
 *
 *  - The kernel says so with SIGBUS: the file was truncated, the disk failed, or a full disk
 *    had promised space.  The handler poisons the handle, so that its calls fail from then
 *    on, and puts a private page of zeros in that place, so that whoever touched it goes on.
 *  - Zeros mean "free" and "unlocked", and other pages are still shared.  So whoever has read
 *    that, and is about to act on it, asks map_intact() first: after each lock, and before
 *    a store that only a free span or an empty one allows.
 *  - Everything else goes to whoever handled SIGBUS before.
 *  - The handler goes with the last guarded map, unless the program put another in front of it.
 */
#ifndef QALLOC_GUARD_H
#define QALLOC_GUARD_H

#include "map.h"

/* Registry locked.  Watches the map from now on; 0, or -1 recorded.  Twice is once. */
int guard_begin(struct map *m);
void guard_end(struct map *m);

#endif
