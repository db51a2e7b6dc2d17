/* SPDX-License-Identifier: MIT */
/*
 * What processes and threads do with a map while something happens around them: allocate, fill,
 * check, free; and threads that do so without pause.
 *
 *  - Nothing here calls malloc or stdio as long as all is well, so that it can run in a
 *    child whose libc was copied at any moment.
 */
#ifndef QALLOC_TEST_WORKS_H
#define QALLOC_TEST_WORKS_H

#include <pthread.h>

#include "support.h"

/* Leaves `keep` blocks of 10 bytes behind.  0, or 1 and a line on standard error. */
static inline int works(void *map, uint64_t seed, unsigned steps, unsigned keep)
{
	enum { HELD = 50 };
	void *blocks[HELD] = {NULL};
	size_t sizes[HELD] = {0};
	uint64_t random = seed * 2 + 1;

	for (unsigned i = 0; i < steps; i++) {
		size_t k = next_random(&random) % HELD;

		if (blocks[k] != NULL) {
			CHECK(is_filled(blocks[k], sizes[k], seed * 1000 + k));
			CHECK(qalloc_tryfree(blocks[k], map) == 0);
			blocks[k] = NULL;
		} else {
			sizes[k] = next_random(&random) % 1000;
			blocks[k] = patient_malloc(map, sizes[k]);
			CHECK(blocks[k] != NULL);
			fill(blocks[k], sizes[k], seed * 1000 + k);
		}
	}
	for (size_t k = 0; k < HELD; k++) {
		if (blocks[k] == NULL)
			continue;
		CHECK(is_filled(blocks[k], sizes[k], seed * 1000 + k));
		CHECK(qalloc_tryfree(blocks[k], map) == 0);
	}
	while (keep-- > 0)
		CHECK(patient_malloc(map, 10) != NULL);
	return 0;
}

/* A small map; and, of the second, closed again, with 3 blocks. */
static inline void *make_small(const char *path)
{
	return qalloc_makedynmap((off_t)MIB, NULL, path, 2);
}

static inline void make_small_closed(const char *path)
{
	void *map = make_small(path);

	assert_opened(map);
	assert_int_equal(works(map, 1, 10, 3), 0);
	assert_int_equal(qalloc_cleanup(), 0);
}

#define BUSY_THREADS 3

/* Threads that allocate until they are told to stop, and leave no block. */
struct busy {
	void *map;
	int stop, failed;
	pthread_t threads[BUSY_THREADS];
};

static inline void *is_busy(void *arg)
{
	struct busy *busy = arg;

	while (__atomic_load_n(&busy->stop, __ATOMIC_ACQUIRE) == 0) {
		if (works(busy->map, 12, 100, 0) != 0)
			__atomic_store_n(&busy->failed, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* 0, or an error number. */
static inline int busy_begin(struct busy *busy, void *map)
{
	*busy = (struct busy){.map = map};
	for (int i = 0; i < BUSY_THREADS; i++) {
		int error = pthread_create(&busy->threads[i], NULL, is_busy, busy);

		if (error != 0)
			return error;
	}
	return 0;
}

/* 0: all went well in every thread. */
static inline int busy_end(struct busy *busy)
{
	__atomic_store_n(&busy->stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < BUSY_THREADS; i++)
		pthread_join(busy->threads[i], NULL);
	return busy->failed;
}

#endif
