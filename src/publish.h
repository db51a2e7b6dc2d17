/* SPDX-License-Identifier: MIT */
/*
 * What the dead left of calls that change a block and the pointer to it together.
 */
#ifndef QALLOC_PUBLISH_H
#define QALLOC_PUBLISH_H

#include "map.h"

/* Settles all of it.  0, or -1 with the error recorded: some of it could not be settled now. */
int publish_recover(struct map *m);

#endif
