/* SPDX-License-Identifier: MIT */
/*
 * The lock of a stream, of the pool, of the roots: an owner word in the file.
 *
 *  - Entry is a compare-and-swap from 0 to this thread's owner word, exit a store.
 *  - Waiting is bounded: a futex with a timeout, then a look whether the holder
 *    is dead.  Whoever takes a lock from a dead holder is told so, and
 *    repairs what that lock guards before anything else.
 *  - An owner word that is this thread's own means that a signal handler
 *    interrupted us inside.  Nobody waits then.
 *  - The "somebody waits" word only saves wake-up calls; a wake-up that is lost
 *    costs a waiter one timeout.
 */
#ifndef QALLOC_LOCK_H
#define QALLOC_LOCK_H

#include "map.h"

/* How long one attempt waits for a live holder, and all attempts of one call. */
#define LOCK_WAIT_USEC 10000u
#define CALL_WAIT_USEC 1000000u

struct lock {
	uint64_t *owner;
	uint32_t *waiters;
};

enum lock_result {
	LOCK_TAKEN,
	LOCK_INHERITED, /* taken from a dead holder: repair first */
	LOCK_BUSY,      /* held by somebody who lives */
	LOCK_MINE,      /* held by this very thread, which was interrupted */
	LOCK_LOST       /* a page of the map was lost: it cannot be known */
};

static inline struct lock lock_at(const struct map *m, uint64_t off)
{
	struct lock l = {.owner = map_word(m, off + LOCK_OWNER),
			 .waiters = (uint32_t *)map_word(m, off + LOCK_WAITERS)};

	return l;
}

static inline enum lock_result lock_lost(const struct lock *l)
{
	__atomic_store_n(l->owner, 0, __ATOMIC_RELEASE);
	return LOCK_LOST;
}

/* One attempt; TAKEN, BUSY, MINE or LOST. */
static inline enum lock_result lock_try(const struct map *m, const struct lock *l, uint64_t me)
{
	uint64_t found = 0;

	if (__atomic_compare_exchange_n(l->owner, &found, me, false, __ATOMIC_ACQUIRE,
					__ATOMIC_RELAXED)) {
		return __builtin_expect(m->poison == 0, 1) ? LOCK_TAKEN : lock_lost(l);
	}
	return found == me ? LOCK_MINE : LOCK_BUSY;
}

/* What one public call may still wait, over all the locks it needs. */
struct patience {
	uint64_t me;   /* this thread's owner word */
	uint64_t dead; /* from whom the last lock was inherited */
	uint32_t usec; /* left */
	bool busy;     /* some lock could not be had */
	bool no_space; /* some span could not be seen, the disk is full */
	/* Why what a dead holder left could not be repaired; not initialized. */
	int repair_error, repair_errno;
};

/* A fresh one.  False: this process cannot attach, the error is recorded. */
static inline bool patience_begin(struct map *m, struct patience *p)
{
	p->me = map_owner(m);
	p->dead = 0;
	p->usec = CALL_WAIT_USEC;
	p->busy = false;
	p->no_space = false;
	return p->me != 0;
}

/* Waits at most `usec`, and no longer than the call may. */
enum lock_result lock_enter(struct map *m, const struct lock *l, struct patience *p, uint32_t usec);

/* Whether it is held by somebody who can never come back. */
bool lock_is_dead(struct map *m, const struct lock *l);

/* Gives an inherited lock back as it was found, when it cannot be repaired now. */
void lock_disown(const struct lock *l, struct patience *p);

void lock_wake(const struct lock *l);

static inline void lock_leave(const struct lock *l)
{
	__atomic_store_n(l->owner, 0, __ATOMIC_RELEASE);
	if (__builtin_expect(__atomic_load_n(l->waiters, __ATOMIC_RELAXED) != 0, 0)) {
		lock_wake(l);
	}
}

#endif
