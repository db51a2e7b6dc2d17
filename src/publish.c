/* SPDX-License-Identifier: MIT */
/*
 * The public calls that change a block and the pointer to it together: a kill at any
 * instruction leaves the pointer as it was or as the call would have left it, and no block that
 * nothing refers to.  intent.h has the rule.
 *
 *  - While a call is at work its cell belongs to it.  If the caller dies, the cell
 *    belongs to the dead until somebody recovers.
 *  - A block moves in steps: the new one is taken for a thread record, filled outside every
 *    lock, and then handed over to the cell by the free of the old one.
 */
#include "publish.h"

#include <errno.h>
#include <string.h>

#include "heap.h"
#include "pool.h"
#include "reserve.h"
#include "roots.h"
#include "stream.h"

#define NAP_USEC 1000u

/* The cell at `where`; CELL_NONE with the error recorded. */
static uint64_t cell_at(struct map *m, void **where)
{
	uint64_t rel = 0;

	if (!map_rel(m, where, &rel)) {
		err_fail(QALLOC_EWILD, "%s: where: %x is outside the data area %x to %x", m->path,
			 (uint64_t)(uintptr_t)where, m->base + m->geo.data_off,
			 m->base + m->geo.data_end);
		return CELL_NONE;
	}
	if (!cell_valid(m, m->geo.data_off + rel)) {
		err_fail(QALLOC_EARGUMENT, "%s: where: %x, wanted a multiple of 8", m->path,
			 (uint64_t)(uintptr_t)where);
		return CELL_NONE;
	}
	if (cell_see(m, m->geo.data_off + rel) != 0) {
		reserve_fail(m);
		return CELL_NONE;
	}
	return m->geo.data_off + rel;
}

/* What the cell refers to, which must be a live block that does not contain the cell. */
static int resolve_cell(struct map *m, uint64_t cell, struct block *b)
{
	uint64_t off = cell_get(m, cell);

	if (block_resolve(m, (void *)(uintptr_t)(m->base + off), b) != 0) {
		return -1;
	}
	if (cell >= off && cell - off < b->bytes) {
		return err_fail(QALLOC_EARGUMENT, "%s: where: inside the block it refers to",
				m->path);
	}
	return 0;
}

static int free_cell(struct map *m, uint64_t cell)
{
	struct handover h = {.cell = cell, .fresh = 0, .record = CELL_NONE};
	struct patience p;
	struct block b;
	int saved = errno;

	if (cell_get(m, cell) == 0) {
		return map_intact(m);
	}
	if (!patience_begin(m, &p) || resolve_cell(m, cell, &b) != 0 ||
	    heap_free_from(m, &b, &h, &p) != 0) {
		return -1;
	}
	errno = saved;
	return 0;
}

/* Then there is nothing to lose; after any other failure there may be. */
static bool names_no_block(int error)
{
	return error == QALLOC_EWILD || error == QALLOC_EINTERIOR || error == QALLOC_ENOTLIVE ||
	       error == QALLOC_ECORRUPT;
}

/* Frees what the record names, or leaves it to whoever recovers next. */
static int drop_record(struct map *m, uint64_t record, struct patience *p)
{
	struct handover h = {.cell = record, .fresh = 0, .record = CELL_NONE};
	void *address = (void *)(uintptr_t)(m->base + cell_get(m, record));
	struct kept before;
	struct block b;

	kept_take(&before);
	if (block_resolve(m, address, &b) == 0 ? heap_free_from(m, &b, &h, p) != 0
					       : !names_no_block(qalloc_error())) {
		record_abandon(m, record);
		return -1;
	}
	record_release(m, record);
	kept_put_back(&before);
	return 0;
}

/* One record that a dead thread left. */
static int settle_record(struct map *m, uint64_t record, uint64_t cell, struct patience *p)
{
	bool orphan = false;
	struct block b;

	if (orphan_peek(m, cell_get(m, record), cell, &b, &orphan) != 0) {
		record_abandon(m, record);
		return -1;
	}
	if (orphan) {
		return drop_record(m, record, p);
	}
	record_release(m, record);
	return 0;
}

/* All within the patience of one call: what is not settled when that ends stays. */
static int recover_records(struct map *m, struct patience *p)
{
	int result = 0;

	for (uint32_t i = 0; i < m->geo.records; i++) {
		uint64_t cell = 0;
		uint64_t record = record_next_dead(m, p->me, &i, &cell);

		if (record != CELL_NONE && settle_record(m, record, cell, p) != 0) {
			result = -1;
		}
	}
	return result;
}

/* Enters each stream of the dead, and so repairs it. */
static int recover_streams(struct map *m, struct patience *p)
{
	int result = 0;

	for (uint32_t stream = 0; stream < m->geo.streams; stream++) {
		if (!stream_is_dead(m, stream)) {
			continue;
		}
		p->repair_error = QALLOC_OK;
		if (stream_enter(m, stream, p)) {
			stream_leave(m, stream);
		} else if (p->repair_error != QALLOC_OK) {
			errno = p->repair_errno;
			result = err_fail_errno((enum qalloc_err)p->repair_error, errno,
						"%s: stream %u: repair: %e", m->path,
						(uint64_t)stream);
		} else if (stream_is_dead(m, stream)) {
			result = err_fail(QALLOC_EBUSY, "%s: stream %u: not now", m->path,
					  (uint64_t)stream);
		}
	}
	return result;
}

static int recover_within(struct map *m, struct patience *p)
{
	struct lock l;
	int result = recover_streams(m, p);

	if (pool_is_dead(m)) {
		if (pool_enter(m, p, &l) == POOL_OK) {
			lock_leave(&l);
		} else {
			result = -1;
		}
	}
	return recover_records(m, p) != 0 ? -1 : result;
}

int publish_recover(struct map *m)
{
	struct patience p;

	return patience_begin(m, &p) ? recover_within(m, &p) : -1;
}

void publish_forget(struct map *m)
{
	intents_forget(m);
	pool_forget(m);
}

bool publish_recover_quietly(struct map *m)
{
	struct kept before;

	kept_take(&before);
	int result = publish_recover(m);

	kept_put_back(&before);
	return result == 0;
}

/* A record for the new block.  If all are in use: the dead have some, or the living come to an end. */
static uint64_t claim(struct map *m, uint64_t cell, struct patience *p)
{
	uint64_t record = record_claim(m, p->me, cell);

	if (record == CELL_NONE) {
		struct kept before;

		kept_take(&before);
		(void)recover_within(m, p);
		kept_put_back(&before);
		record = record_claim(m, p->me, cell);
	}
	while (record == CELL_NONE && p->usec > 0) {
		uint64_t start = os_now_usec();

		os_sleep(NAP_USEC);
		record = record_claim(m, p->me, cell);
		/* A nap may last longer than it should; and this must end whatever the clock says. */
		uint64_t took = os_now_usec() - start;

		p->usec -= (uint32_t)min_u64(took > NAP_USEC ? took : NAP_USEC, p->usec);
	}
	if (record == CELL_NONE) {
		err_fail(QALLOC_EBUSY, "%s: all %u thread records are in use", m->path,
			 (uint64_t)m->geo.records);
	}
	return record;
}

static void *move_cell(struct map *m, uint64_t cell, const struct block *old, size_t size)
{
	uint64_t bytes = min_u64(old->bytes, size);
	struct patience p;
	struct kept why;

	if (!patience_begin(m, &p) || block_reserve(m, old, bytes) != 0) {
		return NULL;
	}
	struct handover h = {.cell = cell, .fresh = 0, .record = claim(m, cell, &p)};

	if (h.record == CELL_NONE) {
		return NULL;
	}
	void *fresh = heap_take_within(m, &p, size, h.record);

	if (fresh == NULL) {
		record_release(m, h.record);
		return NULL;
	}
	h.fresh = (uint64_t)(uintptr_t)fresh - m->base;
	memcpy(fresh, map_address(m, old->rel), bytes);
	/* What is copied from a page that was lost must not take the place of the old block. */
	if (map_intact(m) == 0 && heap_free_from(m, old, &h, &p) == 0) {
		record_release(m, h.record);
		return fresh;
	}
	/* Nothing has changed, but for the new block. */
	kept_take(&why);
	(void)drop_record(m, h.record, &p);
	kept_put_back(&why);
	return NULL;
}

static void *realloc_cell(struct map *m, uint64_t cell, size_t size)
{
	struct block b;
	int saved = errno;

	if (cell_get(m, cell) == 0) {
		return heap_take(m, size, 1, cell);
	}
	if (resolve_cell(m, cell, &b) != 0) {
		return NULL;
	}
	void *block =
		heap_stays(m, &b, size) ? map_address(m, b.rel) : move_cell(m, cell, &b, size);

	if (block != NULL) {
		errno = saved;
	}
	return block;
}

void *qalloc_malloc_to(void *map, size_t size, void **where)
{
	struct map *m = map_writable(map);
	uint64_t cell = m == NULL ? CELL_NONE : cell_at(m, where);

	return cell == CELL_NONE ? NULL : heap_take(m, size, 1, cell);
}

int qalloc_free_from(void *map, void **where)
{
	struct map *m = map_writable(map);
	uint64_t cell = m == NULL ? CELL_NONE : cell_at(m, where);

	return cell == CELL_NONE ? -1 : free_cell(m, cell);
}

void *qalloc_realloc_to(void *map, size_t size, void **where)
{
	struct map *m = map_writable(map);
	uint64_t cell = m == NULL ? CELL_NONE : cell_at(m, where);

	return cell == CELL_NONE ? NULL : realloc_cell(m, cell, size);
}

void *qalloc_malloc_toroot(void *map, size_t size, const char *name)
{
	struct map *m = map_writable(map);
	uint64_t cell = m == NULL ? CELL_NONE : root_cell(m, name, true);

	return cell == CELL_NONE ? NULL : heap_take(m, size, 1, cell);
}

int qalloc_free_fromroot(void *map, const char *name)
{
	struct map *m = map_writable(map);
	uint64_t cell = m == NULL ? CELL_NONE : root_cell(m, name, false);

	return cell == CELL_NONE ? -1 : free_cell(m, cell);
}

void *qalloc_realloc_toroot(void *map, size_t size, const char *name)
{
	struct map *m = map_writable(map);
	uint64_t cell = m == NULL ? CELL_NONE : root_cell(m, name, true);

	return cell == CELL_NONE ? NULL : realloc_cell(m, cell, size);
}

int qalloc_recover(void *map)
{
	struct map *m = map_writable(map);

	return m == NULL || publish_recover(m) != 0 ? -1 : map_intact(m);
}
