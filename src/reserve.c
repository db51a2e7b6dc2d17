/* SPDX-License-Identifier: MIT */
/*
 * Disk space.  See reserve.h.
 */
#include "reserve.h"

#include <errno.h>

static bool bit_get(const uint64_t *bits, uint64_t i)
{
	return ((__atomic_load_n(&bits[i / 64], __ATOMIC_ACQUIRE) >> (i % 64)) & 1) != 0;
}

static void bit_set(uint64_t *bits, uint64_t i)
{
	__atomic_fetch_or(&bits[i / 64], (uint64_t)1 << (i % 64), __ATOMIC_RELEASE);
}

/* More is not populated at once: then it was reserved, and written to, when there was more space. */
#define POPULATE_MAX ((uint64_t)64 << 20)

/* Clipped to the file: a reservation beyond its end would be space nobody can use. */
static int reserve(struct map *m, uint64_t off, uint64_t len)
{
	if (__atomic_load_n(&m->reserves, __ATOMIC_RELAXED) == 0) {
		return 0;
	}
	int fd = map_fd(m);

	if (fd < 0) {
		return -1;
	}
	len = min_u64(len, m->geo.file_size - off);
	int saved = errno;
	int result = os_reserve(fd, off, len);

	if (result != 0 && errno == EOPNOTSUPP) {
		__atomic_store_n(&m->reserves, 0, __ATOMIC_RELAXED);
		errno = saved;
		return 0;
	}
	/* The blocks are ours, and yet ext4 may need one more for its tables at the first store. */
	if (result == 0 && len <= POPULATE_MAX && os_nearly_full(fd)) {
		result = os_populate(m->base + off, len);
	}
	return result;
}

bool meta_is_ready(const struct map *m, uint64_t off)
{
	return bit_get(m->ready, off / GRANULE);
}

int reserve_meta(struct map *m, uint64_t off, uint64_t len)
{
	uint64_t last = (off + len - 1) / GRANULE;

	for (uint64_t granule = off / GRANULE; granule <= last; granule++) {
		if (bit_get(m->ready, granule)) {
			continue;
		}
		if (reserve(m, granule * GRANULE, GRANULE) != 0) {
			return -1;
		}
		bit_set(m->ready, granule);
	}
	return 0;
}

int reserve_tables(struct map *m, uint64_t first, uint64_t count)
{
	uint64_t pair_bytes = (uint64_t)m->geo.span_pairs * PAIR_BYTES;

	if (reserve_meta(m, m->geo.words_off + first * 8, count * 8) != 0) {
		return -1;
	}
	return reserve_meta(m, m->geo.pairs_off + first * pair_bytes, pair_bytes);
}

int reserve_data(struct map *m, uint64_t off, uint64_t len)
{
	return reserve(m, off, len);
}

int reserve_spans(struct map *m, uint64_t first, uint64_t count)
{
	uint64_t rel = first * m->geo.span_bytes;
	uint64_t len = min_u64(count * m->geo.span_bytes, m->geo.data_end - m->geo.data_off - rel);

	if (reserve_tables(m, first, count) != 0) {
		return -1;
	}
	return reserve(m, m->geo.data_off + rel, len);
}

int reserve_fail(struct map *m)
{
	if (errno == ENOSPC || errno == EDQUOT) {
		return err_fail_errno(QALLOC_ENOSPACE, errno, "%s: reserving disk space: %e",
				      m->path);
	}
	if (errno == ESTALE && qalloc_error() == QALLOC_EREPLACED) {
		return -1; /* map_fd() has said what is wrong. */
	}
	return err_fail(QALLOC_ESYSTEM, "%s: reserving disk space: %e", m->path);
}

void span_mark_seen(struct map *m, uint64_t span)
{
	bit_set(m->seen, span);
}

int span_see(struct map *m, uint64_t span)
{
	bool broken = false;

	if (span_seen(m, span)) {
		return 0;
	}
	if (reserve_tables(m, span, 1) != 0) {
		return -1;
	}
	uint64_t word = map_word_of(m, span, &broken);

	switch (span_word_state(word)) {
	case SPAN_SMALL:
		if (reserve_spans(m, span, 1) != 0) {
			return -1;
		}
		break;
	case SPAN_RUN:
		break; /* Nothing new is handed out in it, and freeing reads no data. */
	default:
		return 0; /* Free: whoever takes it reserves it. */
	}
	span_mark_seen(m, span);
	return 0;
}

int reserve_top(struct map *m)
{
	uint64_t frontier = min_u64(shared_load(map_word(m, STATE_FRONTIER)), m->geo.spans);
	uint64_t top = __atomic_load_n(&m->top, __ATOMIC_ACQUIRE);

	while (top < frontier) {
		uint64_t off = m->geo.words_off + top * 8;
		uint64_t end = (off / GRANULE + 1) * GRANULE;

		if (!meta_is_ready(m, off)) {
			uint64_t data = 0;
			int fd = map_fd(m);

			if (fd < 0) {
				return -1;
			}
			/* A frontier beyond all data is a lie; do not let it cost disk space. */
			if (os_next_data(fd, off, &data) != 0) {
				return -1;
			}
			if (data >= end) {
				break;
			}
			if (reserve_meta(m, off, 8) != 0) {
				return -1;
			}
		}
		top = min_u64((end - m->geo.words_off) / 8, frontier);
		__atomic_store_n(&m->top, top, __ATOMIC_RELEASE);
	}
	return 0;
}
