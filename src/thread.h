/* SPDX-License-Identifier: MIT */
/*
 * What the library keeps for each thread: a number, a stream for each map, and
 * the last error.  One private mapping, made at the thread's first need and gone
 * with the thread.
 *
 *  - Numbers grow without reuse, modulo 2^OWNER_THREAD_BITS.  Two live threads
 *    of one process that share a number only make each other take detours:
 *    each believes that a signal handler interrupted it.
 */
#ifndef QALLOC_THREAD_H
#define QALLOC_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#define THREAD_HOMES 32u
#define MESSAGE_BYTES 4608u /* a path of PATH_MAX and a sentence */

struct home {
	uint64_t serial; /* of the map; 0: unused */
	uint32_t stream;
};

/* The last failure. */
struct failure {
	int error; /* enum qalloc_err */
	char message[MESSAGE_BYTES];
};

struct thread {
	uint32_t number; /* 1 .. 2^OWNER_THREAD_BITS - 1 */
	struct home homes[THREAD_HOMES];
	struct failure last;
};

/* What a caller would see of an attempt that is nobody's business: the failure, and errno. */
struct kept {
	struct failure last;
	int number;
};
void kept_take(struct kept *k);
void kept_put_back(const struct kept *k);

/* The calling thread's; never NULL.  Where memory is refused, threads share one. */
struct thread *thread_self(void);

/*
 * A lock of this process for its slow paths, in memory that a forked child finds zeroed: the
 * number of the thread that holds it.  False: this very thread holds it, and a
 * signal handler has interrupted it there.
 */
bool thread_lock(uint32_t *word);
void thread_unlock(uint32_t *word);

#endif
