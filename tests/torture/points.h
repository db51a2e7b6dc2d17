/* SPDX-License-Identifier: MIT */
/*
 * Where a switch between two processes can matter: at the instructions that touch the
 * metadata of the map, and at system calls.
 */
#ifndef QALLOC_TORTURE_POINTS_H
#define QALLOC_TORTURE_POINTS_H

#include <sys/types.h>

#define POINTS_MAX 2000u

/*
 * Runs a victim that stands at its step_begin() until *inside is 0.  Fills `points` with the numbers
 * of steps before which it should be interrupted, the last one being all.  How many.
 */
unsigned find_points(pid_t victim, volatile const int *inside, unsigned *points);

#endif
