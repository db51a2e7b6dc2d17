/* SPDX-License-Identifier: MIT */
/*
 * What both storms do to their processes from outside: stop them, and tell how far they are.
 */
#ifndef QALLOC_TEST_STORM_MASTER_H
#define QALLOC_TEST_STORM_MASTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* All threads of a child stand still when this returns, or it has ended. */
void stop(pid_t pid);

struct stops {
	unsigned all;
	unsigned longs;  /* longer than anybody waits */
	unsigned inside; /* of these, with a thread that held a stream or the pool */
};

/*
 * Stops a child, one in `one_in` times for long and inside if it comes there soon.  It comes
 * back when that is over; the child is still stopped, or has ended.
 */
void stop_child(pid_t pid, const char *path, size_t streams, uint64_t one_in, uint64_t *random,
		struct stops *stops);

/* So many long stops that one at least must have caught a holder, and none has. */
bool stops_miss(const struct stops *stops);

/* A line every half a minute: "storm: 30 s, ...". */
void progress(const char *name, uint64_t steps, unsigned kills, unsigned failures);

#endif
