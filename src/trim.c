/* SPDX-License-Identifier: MIT */
/*
 * qalloc_trim(): disk space of free spans goes back to the file system.
 *
 *  - Who takes a span reserves its disk space first, outside the pool, and takes it only if
 *    nothing was dropped in between: see pool_drop().
 *  - Here, and where runs are wiped or repaired, a system call is made inside the pool, a piece
 *    at a time.  A kill there leaves free spans that have their space, or have not.
 */

#include "pool.h"
#include "reserve.h"

/* Bytes of data that are dropped while the pool is held. */
#define TRIM_BYTES ((uint64_t)1 << 20)

/* Whole pages of the spans [first, end), which are free. */
static int drop(struct map *m, uint64_t first, uint64_t end)
{
	uint64_t page = os_page();
	uint64_t data = m->base + m->geo.data_off;
	uint64_t from = page_up(data + first * m->geo.span_bytes);
	uint64_t to =
		min_u64(data + end * m->geo.span_bytes, m->base + m->geo.data_end) / page * page;

	if (map_intact(m) != 0) {
		return -1;
	}
	return from < to ? pool_drop(m, from, to - from) : 0;
}

/* Inside the pool. */
static int trim_piece(struct map *m, uint64_t first, uint64_t end)
{
	const uint64_t *words = map_word(m, m->geo.words_off);
	uint64_t from = first;

	for (uint64_t span = first; span <= end; span++) {
		if (span < end && shared_load(words + span) == SPAN_FREE) {
			continue;
		}
		if (from < span && drop(m, from, span) != 0) {
			return -1;
		}
		from = span + 1;
	}
	return 0;
}

int qalloc_trim(void *map)
{
	struct map *m = map_writable(map);
	uint64_t step, span = 0;
	struct patience p;
	struct lock l;

	if (m == NULL) {
		return -1;
	}
	step = TRIM_BYTES / m->geo.span_bytes + 1;
	while (span < m->geo.spans) {
		uint64_t at = 0;
		int fd = map_fd(m);

		/* What has no disk space is passed over, however large the map. */
		if (fd < 0) {
			return -1;
		}
		if (os_next_data(fd, m->geo.data_off + span * m->geo.span_bytes, &at) != 0) {
			return err_fail(QALLOC_ESYSTEM, "%s: lseek: %e", m->path);
		}
		span = (at - m->geo.data_off) / m->geo.span_bytes;
		if (span >= m->geo.spans) {
			break;
		}
		uint64_t end = min_u64(span + step, m->geo.spans);

		if (reserve_meta(m, m->geo.words_off + span * 8, (end - span) * 8) != 0) {
			return reserve_fail(m);
		}
		if (!patience_begin(m, &p) || pool_enter(m, &p, &l) != POOL_OK) {
			return -1;
		}
		int result = trim_piece(m, span, end);

		lock_leave(&l); /* Keeps errno. */
		if (result != 0) {
			return map_intact(m) != 0 ? -1
						  : err_fail(QALLOC_ESYSTEM,
							     "%s: dropping pages: %e", m->path);
		}
		span = end;
	}
	return map_intact(m);
}
