/* SPDX-License-Identifier: MIT */
/*
 * What the dead left of calls that change a block and the pointer to it together.
 */
#ifndef QALLOC_PUBLISH_H
#define QALLOC_PUBLISH_H

#include "map.h"

/* Settles all of it.  0, or -1 with the error recorded: some of it could not be settled now. */
int publish_recover(struct map *m);

/* The same where that is nobody's error: errno and the last failure stay.  True: all of it. */
bool publish_recover_quietly(struct map *m);

/*
 * After a power loss the pages of the file are of different ages, and the rule could free what is
 * in use.  So what was in flight is kept, and may be lost to the program.
 */
void publish_forget(struct map *m);

#endif
