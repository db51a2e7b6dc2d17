/* SPDX-License-Identifier: MIT */
/*
 * Waiting for a lock.  See lock.h.
 */
#include "lock.h"

#define SPINS 200u
#define NAP_USEC 1000u

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

void lock_wake(const struct lock *l)
{
	__atomic_store_n(l->waiters, 0, __ATOMIC_RELAXED);
	os_wake_word((const uint32_t *)l->owner);
}

static enum lock_result lock_wait(struct map *m, const struct lock *l, struct patience *p,
				  uint64_t deadline)
{
	uint64_t me = p->me;

	for (;;) {
		uint64_t holder = shared_load(l->owner);

		if (holder == me) {
			return LOCK_MINE;
		}
		if (holder == 0) {
			enum lock_result result = lock_try(m, l, me);

			if (result == LOCK_TAKEN || result == LOCK_LOST) {
				return result;
			}
		} else if (owner_is_dead(m, holder)) {
			if (shared_cas(l->owner, holder, me)) {
				p->dead = holder;
				return m->poison == 0 ? LOCK_INHERITED : lock_lost(l);
			}
		} else {
			uint64_t now = os_now_usec();

			if (now >= deadline) {
				return LOCK_BUSY;
			}
			__atomic_store_n(l->waiters, 1, __ATOMIC_RELAXED);
			os_wait_word((const uint32_t *)l->owner, (uint32_t)holder,
				     (uint32_t)min_u64(NAP_USEC, deadline - now));
			continue;
		}
		/* Others are quicker, or the word is scribbled on: that is bounded as well. */
		if (os_now_usec() >= deadline) {
			return LOCK_BUSY;
		}
	}
}

bool lock_is_dead(struct map *m, const struct lock *l)
{
	uint64_t holder = shared_load(l->owner);

	return holder != 0 && owner_is_dead(m, holder);
}

void lock_disown(const struct lock *l, struct patience *p)
{
	own_store(l->owner, p->dead);
	p->busy = true;
	/* As if it had been waited for: who tries again comes to an end. */
	p->usec -= (uint32_t)min_u64(LOCK_WAIT_USEC, p->usec);
	if (__atomic_load_n(l->waiters, __ATOMIC_RELAXED) != 0) {
		lock_wake(l);
	}
}

enum lock_result lock_enter(struct map *m, const struct lock *l, struct patience *p, uint32_t usec)
{
	enum lock_result result = lock_try(m, l, p->me);

	for (uint32_t i = 0; result == LOCK_BUSY && i < SPINS; i++) {
		relax();
		result = lock_try(m, l, p->me);
	}
	if (result == LOCK_BUSY) {
		uint64_t start = os_now_usec();

		result = lock_wait(m, l, p, start + min_u64(usec, p->usec));
		p->usec -= (uint32_t)min_u64(os_now_usec() - start, p->usec);
	}
	if (result == LOCK_BUSY || result == LOCK_MINE) {
		p->busy = true;
	}
	if (result == LOCK_LOST) {
		p->usec = 0; /* Nothing is worth waiting for. */
	}
	return result;
}
