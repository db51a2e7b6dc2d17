/* SPDX-License-Identifier: MIT */
/*
 * The guard.  See guard.h.
 *
 *  - The handler runs at any instruction of any thread.  It reads a list that changes by
 *    single pointer stores, and the first page of a map, which outlives it as a tombstone.
 */
#include "guard.h"

static struct map *guarded_first;
static uint64_t page_bytes; /* sysconf(3) is not for handlers */

/* In the handler.  Whether the address is that of a page of ours, which is replaced now. */
static bool claim(uint64_t address)
{
	struct map *m = __atomic_load_n(&guarded_first, __ATOMIC_ACQUIRE);

	while (m != NULL && address - m->base >= m->mapped_bytes) {
		m = __atomic_load_n(&m->next_guarded, __ATOMIC_ACQUIRE);
	}
	if (m == NULL) {
		return false;
	}
	uint64_t none = 0, open = MAP_OPEN ^ map_secret;
	uint64_t page = address / page_bytes * page_bytes;

	/* Before there are zeros that somebody could take for what the file says. */
	(void)__atomic_compare_exchange_n(&m->poison, &none, page, false, __ATOMIC_ACQ_REL,
					  __ATOMIC_ACQUIRE);
	(void)__atomic_compare_exchange_n(&m->magic, &open, MAP_POISONED ^ map_secret, false,
					  __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
	return os_replace_page(page, page_bytes, !m->readonly) == 0;
}

int guard_begin(struct map *m)
{
	if (m->guarded) {
		return 0;
	}
	page_bytes = os_page();
	if (guarded_first == NULL && os_bus_catch(claim) != 0) {
		return err_fail(QALLOC_ESYSTEM, "%s: handling SIGBUS: %e", m->path);
	}
	m->guarded = true;
	m->mapped_bytes = page_up(m->geo.file_size);
	m->next_guarded = guarded_first;
	__atomic_store_n(&guarded_first, m, __ATOMIC_RELEASE);
	return 0;
}

void guard_end(struct map *m)
{
	struct map **link = &guarded_first;

	if (!m->guarded) {
		return;
	}
	while (*link != m) {
		link = &(*link)->next_guarded;
	}
	__atomic_store_n(link, m->next_guarded, __ATOMIC_RELEASE);
	m->guarded = false;
	if (guarded_first == NULL) {
		os_bus_release();
	}
}
