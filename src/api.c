/* SPDX-License-Identifier: MIT */
/*
 * The public calls that allocate and free, and the one reporter of misuse.
 */
#include <errno.h>
#include <string.h>

#include "heap.h"
#include "pool.h"

static qalloc_misuse_fn *misuse_handler;
static void *misuse_arg;

void qalloc_onmisuse(qalloc_misuse_fn *handler, void *arg)
{
	__atomic_store_n(&misuse_arg, arg, __ATOMIC_RELEASE);
	__atomic_store_n(&misuse_handler, handler, __ATOMIC_RELEASE);
}

/* The error is recorded.  What only the map or the machine is to blame for ends no process. */
static void misuse(const char *call, void *map, void *block)
{
	int error = qalloc_error();
	char text[128];

	switch (error) {
	case QALLOC_EHANDLE:
	case QALLOC_EWILD:
	case QALLOC_EINTERIOR:
	case QALLOC_ENOTLIVE:
		break;
	default:
		return;
	}
	qalloc_misuse_fn *handler = __atomic_load_n(&misuse_handler, __ATOMIC_ACQUIRE);

	if (handler != NULL) {
		handler(map, block, error, __atomic_load_n(&misuse_arg, __ATOMIC_ACQUIRE));
		return;
	}
	err_format(text, sizeof(text), "qalloc: %s(): %s\n", call,
		   err_misuse_text((enum qalloc_err)error));
	os_die(text);
}

void *qalloc_malloc(void *map, size_t size)
{
	struct map *m = map_writable(map);

	return m == NULL ? NULL : heap_take(m, size, 1, CELL_NONE);
}

void *qalloc_statmalloc(mapinfo_t *map)
{
	return qalloc_malloc(map, 0);
}

void *qalloc_dynmalloc(dynmapinfo_t *map, size_t size)
{
	return qalloc_malloc(map, size);
}

void *qalloc_calloc(void *map, size_t count, size_t bytes)
{
	struct map *m = map_writable(map);
	size_t total = 0;

	if (m == NULL) {
		return NULL;
	}
	if (__builtin_mul_overflow(count, bytes, &total)) {
		err_fail_errno(QALLOC_ESIZE, ENOMEM, "%s: size: %u times %u overflows", m->path,
			       (uint64_t)count, (uint64_t)bytes);
		return NULL;
	}
	void *block = heap_take(m, total, 1, CELL_NONE);

	if (block == NULL) {
		return NULL;
	}
	memset(block, 0, total);
	return map_intact(m) == 0 ? block : NULL;
}

void *qalloc_aligned_alloc(void *map, size_t alignment, size_t size)
{
	struct map *m = map_writable(map);

	if (m == NULL) {
		return NULL;
	}
	if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > QALLOC_ALIGN_MAX) {
		err_fail(QALLOC_EARGUMENT, "alignment: %u, wanted a power of two up to %u",
			 (uint64_t)alignment, (uint64_t)QALLOC_ALIGN_MAX);
		return NULL;
	}
	if (m->geo.items != 0 && (alignment > GRANULE || m->geo.item_bytes % alignment != 0)) {
		err_fail(QALLOC_EARGUMENT,
			 "alignment: %u, wanted one that divides the item size %u of this static "
			 "map",
			 (uint64_t)alignment, m->geo.item_bytes);
		return NULL;
	}
	return heap_take(m, size, alignment, CELL_NONE);
}

int qalloc_tryfree(void *block, void *map)
{
	int saved = errno;

	if (block == NULL) {
		return 0;
	}
	struct map *m = map_writable(map);
	struct block b;

	if (m == NULL || block_resolve(m, block, &b) != 0 || heap_free(m, &b) != 0) {
		return -1;
	}
	errno = saved;
	return 0;
}

void qalloc_free(void *block, void *map)
{
	if (qalloc_tryfree(block, map) != 0) {
		misuse("qalloc_free", map, block);
	}
}

void qalloc_statfree(void *block, mapinfo_t *map)
{
	qalloc_free(block, map);
}

void qalloc_dynfree(void *block, dynmapinfo_t *map)
{
	qalloc_free(block, map);
}

/*
 * The new block is complete before the old one is freed: a kill leaves one or both.  All within
 * the patience of one call.
 */
static void *move(struct map *m, const struct block *old, size_t size)
{
	uint64_t bytes = min_u64(old->bytes, size);
	struct patience p;

	if (block_reserve(m, old, bytes) != 0 || !patience_begin(m, &p)) {
		return NULL;
	}
	void *block = heap_take_within(m, &p, size, CELL_NONE);

	if (block == NULL) {
		return NULL;
	}
	memcpy(block, map_address(m, old->rel), bytes);
	/* What is copied from a page that was lost must not take the place of the old block. */
	if (map_intact(m) != 0 || heap_free_within(m, &p, old) != 0) {
		struct block fresh;
		struct kept why;

		/* Somebody freed it meanwhile, or it cannot be freed: nothing has changed. */
		kept_take(&why);
		if (block_locate(m, block, &fresh) == QALLOC_OK) {
			(void)heap_free_within(m, &p, &fresh);
		}
		kept_put_back(&why);
		return NULL;
	}
	return block;
}

void *qalloc_realloc(void *map, void *block, size_t size)
{
	struct map *m = map_of(map);
	struct block b = {0};

	if (block == NULL) {
		return qalloc_malloc(map, size);
	}
	if (m != NULL && m->readonly) {
		return map_writable(map);
	}
	if (m == NULL || block_resolve(m, block, &b) != 0) {
		misuse("qalloc_realloc", map, block);
		return NULL;
	}
	if (heap_stays(m, &b, size)) {
		return block;
	}
	void *moved = move(m, &b, size);

	if (moved == NULL) {
		misuse("qalloc_realloc", map, block);
	}
	return moved;
}

size_t qalloc_usable_size(void *map, const void *block)
{
	struct map *m = map_of(map);
	struct block b = {0};

	if (m == NULL || (m->readonly ? block_resolve_copy : block_resolve)(m, block, &b) != 0) {
		return 0;
	}
	return map_intact(m) == 0 ? (size_t)b.bytes : 0;
}

uint64_t qalloc_offset(void *map, const void *address)
{
	struct map *m = map_of(map);
	uint64_t rel = 0;

	if (m == NULL || address == NULL) {
		return 0;
	}
	if (!map_rel(m, address, &rel)) {
		err_fail(QALLOC_EWILD, "%s: pointer: %x is outside the data area %x to %x", m->path,
			 (uint64_t)(uintptr_t)address, m->base + m->geo.data_off,
			 m->base + m->geo.data_end);
		return 0;
	}
	return m->geo.data_off + rel;
}

void *qalloc_address(void *map, uint64_t offset)
{
	struct map *m = map_of(map);

	if (m == NULL || offset == 0) {
		return NULL;
	}
	if (offset < m->geo.data_off || offset >= m->geo.data_end) {
		err_fail(QALLOC_EWILD, "%s: offset: %u, the data area is %u to %u", m->path, offset,
			 m->geo.data_off, m->geo.data_end);
		return NULL;
	}
	return (void *)(uintptr_t)(m->base + offset);
}

static off_t size_result(uint64_t bytes)
{
	if (bytes == 0) {
		err_fail(QALLOC_EARGUMENT,
			 "parameters: no file of up to %u bytes can serve them, or one is 0",
			 (uint64_t)QALLOC_FILESIZE_MAX);
	}
	return (off_t)bytes;
}

off_t qalloc_statmap_filesize(size_t itemsize, size_t items, size_t streams)
{
	return size_result(geo_static_size(itemsize, items, streams));
}

off_t qalloc_dynmap_filesize(size_t bytes, size_t streams)
{
	return size_result(geo_dynamic_size(bytes, streams));
}

const char *qalloc_version(void)
{
	return "1.0.0";
}
