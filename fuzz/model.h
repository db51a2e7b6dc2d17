/* SPDX-License-Identifier: MIT */
/*
 * The model: what is live in a map, what it holds, and which roots there are, kept beside a map
 * that is whole.  Everything that the library answers is compared with it.
 */
#ifndef QALLOC_FUZZ_MODEL_H
#define QALLOC_FUZZ_MODEL_H

#include "fuzz.h"

#define LIVE_MAX 2048u
#define GONE_MAX 16u
#define ROOTS_KNOWN 72u

struct live {
	uint8_t *at;
	uint64_t size; /* asked for, and filled */
	uint64_t usable;
	uint8_t seed;
};

struct model {
	void *map;
	struct map *m;
	int fd;
	struct input *in;
	struct live live[LIVE_MAX];
	uint32_t count;
	void *gone[GONE_MAX];       /* freed some time ago */
	uint64_t root[ROOTS_KNOWN]; /* 0: absent, 1: NULL, else an address */
	uint32_t roots;
	bool busy;     /* a lock may be held for ever, from the beginning */
	uint32_t held; /* locks that the program made somebody hold */
	uint64_t held_at[4];
	bool readonly;
};
extern struct model model;

/* ---- model.c: blocks ----------------------------------------------------- */

void live_add(void *block, uint64_t size, uint64_t usable);
void live_remove(uint32_t i);
bool live_overlaps(const void *block, uint64_t size);
void live_fill(const struct live *l);
bool live_is_filled(const struct live *l, uint64_t size);
/* An allocation failed: for a reason that there is? */
void live_refused(uint64_t size, uint64_t align);
/* A free failed: the pool may be held, which a run needs; the disk may be full, where metadata was a hole. */
void live_not_freed(void);
/* Everything that the library says about the whole map is what the model says. */
void model_compare(void);

/* ---- model_publish.c: a block and the pointer to it, together -------------- */

void op_publish(uint8_t op);
/* A live block that has room for a pointer, other than `but`; model.count: none. */
uint32_t take_host(uint32_t but);

/* ---- model_dead.c: between the two, and what nobody can reach -------------- */

void op_die_publishing(void);
void op_sweep(uint8_t op);

/* ---- model_roots.c ------------------------------------------------------- */

void op_roots(uint8_t op);
/* Removes the roots that a map came with. */
void roots_forget(void);
/* Makes root i refer to the block, or to NULL.  The offset of its cell; 0: it cannot now. */
uint64_t root_refer(uint32_t i, void *block);

/* ---- model_world.c: what happens to a map besides calls ------------------- */

void op_world(uint8_t op);
/* Whether the map has no room for such a block, by looking at all of it. */
bool map_is_full(uint64_t size, uint64_t align);
void release_all(void);

#endif
