/* SPDX-License-Identifier: MIT */
/*
 * The registry: all maps that this process has open, and handles.
 *
 *  - A handle is the address of a struct map.  Closing leaves its first page as a
 *    tombstone, so that a later use is noticed; the oldest of TOMBSTONES is unmapped
 *    when another comes.
 *  - The list changes by single pointer stores, and its lock lies in memory that a
 *    forked child finds zeroed: the child of a process in any state has a
 *    whole list and a free lock.
 */
#include <errno.h>

#include "guard.h"

#define TOMBSTONES 64u

uint64_t map_secret;

static struct map *registry_first;
static uint32_t *registry_word;
static struct map *tombstones[TOMBSTONES];
static uint32_t tombstone_next;

static uint32_t *lock_get(void)
{
	uint32_t *word = __atomic_load_n(&registry_word, __ATOMIC_ACQUIRE);

	if (word != NULL) {
		return word;
	}
	uint32_t *mine = os_map_wiped(os_page());
	uint32_t *expected = NULL;

	if (mine == NULL) {
		return NULL;
	}
	uint64_t secret = 0, none = 0;

	/* Once for the process, before there is any handle. */
	os_random(&secret, sizeof(secret));
	(void)__atomic_compare_exchange_n(&map_secret, &none, secret, false, __ATOMIC_RELAXED,
					  __ATOMIC_RELAXED);
	if (!__atomic_compare_exchange_n(&registry_word, &expected, mine, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE)) {
		os_unmap(mine, os_page());
		return expected;
	}
	return mine;
}

int registry_lock(void)
{
	uint32_t *lock = lock_get();

	if (lock == NULL) {
		return err_fail(QALLOC_ESYSTEM, "private memory: %e");
	}
	if (!thread_lock(lock)) {
		return err_fail(QALLOC_EBUSY,
				"a signal handler interrupted the opening or closing of a "
				"map, and opens or closes one");
	}
	return 0;
}

void registry_unlock(void)
{
	thread_unlock(lock_get());
}

struct map *registry_next(const struct map *m)
{
	return m == NULL ? registry_first : m->next;
}

struct map *registry_find(const struct os_file *file)
{
	for (struct map *m = registry_first; m != NULL; m = m->next) {
		if (same_identity(&m->file, file)) {
			return m;
		}
	}
	return NULL;
}

void registry_add(struct map *m)
{
	m->next = registry_first;
	__atomic_store_n(&registry_first, m, __ATOMIC_RELEASE);
}

static void registry_remove(struct map *m)
{
	struct map **link = &registry_first;

	while (*link != NULL && *link != m) {
		link = &(*link)->next;
	}
	if (*link == m) {
		__atomic_store_n(link, m->next, __ATOMIC_RELEASE);
	}
}

int map_lost(const struct map *m)
{
	return err_fail(QALLOC_EPOISONED,
			"%s: poisoned: the file could not give the page at %x (truncated, an I/O "
			"error, or no disk space)",
			m->path, m->poison);
}

/* The map behind a handle, poisoned or not. */
static struct map *map_known(void *handle)
{
	struct map *m = handle;

	if (__builtin_expect(m != NULL && ((uintptr_t)m & 4095) == 0, 1)) {
		uint64_t magic = __atomic_load_n(&m->magic, __ATOMIC_RELAXED);

		if (magic == (MAP_OPEN ^ map_secret) || magic == (MAP_POISONED ^ map_secret)) {
			return m;
		}
		if (magic == (MAP_CLOSED ^ map_secret)) {
			err_fail(QALLOC_EHANDLE, "handle %x: this map was closed",
				 (uint64_t)(uintptr_t)handle);
			return NULL;
		}
	}
	err_fail(QALLOC_EHANDLE, "handle %x: not a map", (uint64_t)(uintptr_t)handle);
	return NULL;
}

static inline bool is_open(const struct map *m)
{
	return m != NULL && ((uintptr_t)m & 4095) == 0 &&
	       __atomic_load_n(&m->magic, __ATOMIC_RELAXED) == (MAP_OPEN ^ map_secret);
}

static struct map *refuse(void *handle)
{
	struct map *m = map_known(handle);

	return m == NULL || map_intact(m) != 0 ? NULL : m;
}

struct map *map_of(void *handle)
{
	return __builtin_expect(is_open(handle), 1) ? handle : refuse(handle);
}

struct map *map_writable(void *handle)
{
	struct map *m = __builtin_expect(is_open(handle), 1) ? handle : refuse(handle);

	if (m != NULL && m->readonly) {
		err_fail(QALLOC_EREADONLY, "%s: the map was opened read-only", m->path);
		return NULL;
	}
	return m;
}

/* Unmaps all but the first page of the private memory, which stays as a tombstone. */
void registry_bury(struct map *m)
{
	size_t page = os_page();
	uint64_t rest = m->memory_bytes - page;
	struct map *oldest = tombstones[tombstone_next];

	__atomic_store_n(&m->magic, MAP_CLOSED ^ map_secret, __ATOMIC_RELAXED);
	os_unmap((char *)m + page, rest);
	tombstones[tombstone_next] = m;
	tombstone_next = (tombstone_next + 1) % TOMBSTONES;
	if (oldest != NULL) {
		os_unmap(oldest, page);
	}
}

/* Locked.  The map's memory, descriptor and slot are given back. */
static int map_close(struct map *m)
{
	int failed = 0;

	if (!m->readonly) {
		map_detach(m);
	}
	registry_remove(m);
	guard_end(m);
	if (base_unmap(m->base, m->geo.file_size) != 0) {
		failed = err_fail(QALLOC_ESYSTEM, "%s: munmap: %e", m->path);
	}
	/* The program may have closed our descriptor and reused its number. */
	struct os_file now;
	int saved = errno;

	if (os_identify(m->fd, &now) == 0 && same_identity(&now, &m->file) &&
	    now.writable == !m->readonly) {
		os_close(m->fd);
	}
	errno = saved;
	os_unmap(m->self, os_page());
	registry_bury(m);
	return failed;
}

int qalloc_closemap(void *map)
{
	if (registry_lock() != 0) {
		return -1;
	}
	struct map *m = map_known(map); /* A poisoned one can be closed. */
	int result = m == NULL ? -1 : 0;

	if (m != NULL && --m->opens == 0) {
		result = map_close(m);
	}
	registry_unlock();
	return result;
}

static int map_sync(struct map *m)
{
	int fd = m->readonly ? m->fd : map_fd(m);

	if (fd < 0 || map_intact(m) != 0) {
		return -1;
	}
	if (m->readonly) {
		return 0;
	}
	if (os_sync_mapping(m->base, m->geo.meta_end) != 0 ||
	    os_sync_mapping(m->base + m->geo.data_off, m->geo.file_size - m->geo.data_off) != 0) {
		return err_fail(QALLOC_ESYSTEM, "%s: msync: %e", m->path);
	}
	if (os_sync_file(fd) != 0) {
		return err_fail(QALLOC_ESYSTEM, "%s: fsync: %e", m->path);
	}
	return 0;
}

int qalloc_sync(void *map)
{
	struct map *m = map_of(map);

	return m == NULL ? -1 : map_sync(m);
}

int qalloc_checkpoint(void)
{
	int result = 0;

	if (registry_lock() != 0) {
		return -1;
	}
	for (struct map *m = registry_first; m != NULL; m = m->next) {
		if (map_sync(m) != 0) {
			result = -1;
		}
	}
	registry_unlock();
	return result;
}

int qalloc_cleanup(void)
{
	int result = 0;

	if (registry_lock() != 0) {
		return -1;
	}
	while (registry_first != NULL) {
		struct map *m = registry_first;

		if (map_sync(m) != 0) {
			result = -1;
		}
		if (map_close(m) != 0) {
			result = -1;
		}
	}
	registry_unlock();
	return result;
}
