/* SPDX-License-Identifier: MIT */
/*
 * Loading: from checked parameters to an open map.  Geometry, private memory, the
 * mapping with its guards, attachment.  Whatever fails, all before it is undone.
 */
#include <errno.h>
#include <string.h>

#include "guard.h"
#include "publish.h"
#include "reserve.h"

_Static_assert(sizeof(struct map) <= 4096,
	       "a handle is one page, so that it can stay as a tombstone");

static uint64_t map_serial;

/* The private memory of a map: handle, path, hints, reservations. */
static struct map *map_allocate(const struct request *req, const struct params *p,
				const struct geo *g)
{
	uint64_t path_off = page_up(sizeof(struct map));
	uint64_t views_off = path_off + page_up(strlen(req->path) + 1);
	uint64_t seen_off = views_off + page_up(g->streams * sizeof(struct view));
	uint64_t ready_off = seen_off + page_up(g->spans / 8 + 8);
	uint64_t bytes = ready_off + page_up(g->meta_end / GRANULE / 8 + 8);
	char *memory = os_map_private(bytes);

	if (memory == NULL) {
		return NULL;
	}
	struct map *m = (struct map *)(void *)memory;

	m->self = os_map_wiped(os_page());
	if (m->self == NULL) {
		os_unmap(memory, bytes);
		return NULL;
	}
	m->path = memory + path_off;
	memcpy(m->path, req->path, strlen(req->path) + 1);
	m->views = (struct view *)(void *)(memory + views_off);
	m->seen = (uint64_t *)(void *)(memory + seen_off);
	m->ready = (uint64_t *)(void *)(memory + ready_off);
	m->memory_bytes = bytes;
	m->params = *p;
	m->geo = *g;
	m->base = p->base;
	m->flags = p->flags;
	m->reserves = 1;
	m->opens = 1;
	m->serial = ++map_serial;
	m->readonly = asked(req, QALLOC_READONLY);
	return m;
}

static void map_release(struct map *m)
{
	os_unmap(m->self, os_page());
	os_unmap(m, m->memory_bytes);
}

static int map_bytes(struct request *req, struct map *m, int fd)
{
	uint64_t size = m->geo.file_size;
	char line[256];

	if (base_allowed(req->path, m->base, size) != 0) {
		return -1;
	}
	if (req->held_base == m->base && req->held_size == size) {
		req->held_base = 0; /* Creation has mapped it already. */
	} else if (os_map_file(fd, m->base, size, GUARD_BYTES, !m->readonly) != 0) {
		if (errno != EEXIST) {
			return err_fail(QALLOC_ESYSTEM, "%s: mmap of %u bytes at %x: %e", req->path,
					size, m->base);
		}
		os_mapping_at(m->base, page_up(size) + GUARD_BYTES, line, sizeof(line));
		return err_fail(QALLOC_ETAKEN,
				"%s: address: %x is taken, wanted %u free bytes there; found: %s",
				req->path, m->base, page_up(size) + GUARD_BYTES, line);
	}
	if (os_protect_none(m->base + m->geo.meta_end, m->geo.data_off - m->geo.meta_end) != 0) {
		int saved = errno;

		base_unmap(m->base, size);
		errno = saved;
		return err_fail(QALLOC_ESYSTEM, "%s: mprotect of the guard: %e", req->path);
	}
	return 0;
}

/* How the map was left; called before this process attaches. */
static uint64_t left_before(struct map *m, const uint64_t boot[2])
{
	uint64_t *stored = map_word(m, STATE_BOOT_ID);

	if (shared_load(map_word(m, STATE_DIRTY)) == 0) {
		return QALLOC_LEFT_CLEAN;
	}
	/* Not known: then nothing of a process that may live is forgotten. */
	if (map_processes(m, 1) > 0) {
		return QALLOC_LEFT_RUNNING;
	}
	return shared_load(stored) == boot[0] && shared_load(stored + 1) == boot[1]
		       ? QALLOC_LEFT_KILLED
		       : QALLOC_LEFT_CRASHED;
}

static int map_enter(struct map *m, bool verify)
{
	if (m->readonly) {
		uint64_t dirty = 0;
		size_t got = 0;

		(void)os_read_at(m->fd, &dirty, sizeof(dirty), STATE_DIRTY, &got);
		m->left = dirty == 0                ? QALLOC_LEFT_CLEAN
			  : map_processes(m, 1) > 0 ? QALLOC_LEFT_RUNNING
						    : QALLOC_LEFT_KILLED;
		return 0;
	}
	/* There a reservation is no promise: qalloc_mapinfo() says so; no calls are wasted. */
	m->reserves = os_copies_on_write(m->fd) ? 0 : 1;
	if (reserve_meta(m, 0, m->geo.words_off) != 0) {
		return reserve_fail(m);
	}
	uint64_t boot[2];

	os_boot_id(boot);
	m->left = left_before(m, boot);
	if (map_owner(m) == 0) {
		return -1;
	}
	own_store(map_word(m, STATE_BOOT_ID), boot[0]);
	own_store(map_word(m, STATE_BOOT_ID + 8), boot[1]);
	if (m->left == QALLOC_LEFT_CRASHED) {
		publish_forget(m);
	} else if (m->left != QALLOC_LEFT_CLEAN && !verify) {
		/* What cannot be settled now stays for later: that keeps nobody from using it. */
		(void)publish_recover_quietly(m);
	}
	return 0;
}

struct map *map_open(struct request *req, int fd, const struct os_file *file,
		     const struct params *p)
{
	struct geo g;

	if (geo_compute(p, &g) != QALLOC_OK) {
		err_fail(QALLOC_ECORRUPT, "%s: parameters without a geometry", req->path);
		return NULL;
	}
	struct map *m = map_allocate(req, p, &g);

	if (m == NULL) {
		err_fail(QALLOC_ESYSTEM, "%s: private memory: %e", req->path);
		return NULL;
	}
	m->file = *file;
	m->fd = fd;
	if (map_bytes(req, m, fd) != 0) {
		map_release(m);
		return NULL;
	}
	m->magic = MAP_OPEN ^ map_secret;
	if ((asked(req, QALLOC_GUARD) && guard_begin(m) != 0) ||
	    map_enter(m, asked(req, QALLOC_VERIFY)) != 0 || map_intact(m) != 0) {
		int saved = errno;

		if (!m->readonly) {
			map_detach(m);
		}
		base_unmap(m->base, g.file_size);
		if (m->guarded) {
			/* The handler may stand on it in another thread. */
			guard_end(m);
			os_unmap(m->self, os_page());
			registry_bury(m);
		} else {
			map_release(m);
		}
		errno = saved;
		return NULL;
	}
	registry_add(m);
	return m;
}
