/* SPDX-License-Identifier: MIT */
/*
 * The state of one thread.  See thread.h.
 */
#include "thread.h"

#include <errno.h>

#include "format.h"
#include "os.h"

/* A wake-up that is lost costs this. */
#define LOCK_NAP_USEC 1000u

static uint32_t thread_counter;

/* For a process that cannot even map a page: errors are then told, but perhaps mixed. */
static struct thread thread_shared = {.number = 1};

/* Not interrupted: a handler that came here in between would wait for what it interrupted. */
static struct thread *thread_create(void)
{
	struct os_signals signals;
	int saved = errno;

	os_signals_off(&signals);
	struct thread *t = os_map_private(sizeof(*t));

	if (t == NULL) {
		os_signals_restore(&signals);
		errno = saved; /* Which may be what the caller is about to tell. */
		return &thread_shared;
	}
	do {
		t->number = __atomic_add_fetch(&thread_counter, 1, __ATOMIC_RELAXED) &
			    ((1u << OWNER_THREAD_BITS) - 1);
	} while (t->number == 0);
	os_thread_set(t, sizeof(*t));
	os_signals_restore(&signals);
	return t;
}

struct thread *thread_self(void)
{
	struct thread *t = os_thread_get();

	return __builtin_expect(t != NULL, 1) ? t : thread_create();
}

void kept_take(struct kept *k)
{
	k->last = thread_self()->last;
	k->number = errno;
}

void kept_put_back(const struct kept *k)
{
	thread_self()->last = k->last;
	errno = k->number;
}

bool thread_lock(uint32_t *word)
{
	uint32_t me = thread_self()->number;

	for (;;) {
		uint32_t found = 0;

		if (__atomic_compare_exchange_n(word, &found, me, false, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED)) {
			return true;
		}
		if (found == me) {
			return false;
		}
		os_wait_word(word, found, LOCK_NAP_USEC);
	}
}

void thread_unlock(uint32_t *word)
{
	__atomic_store_n(word, 0, __ATOMIC_RELEASE);
	os_wake_word(word);
}
