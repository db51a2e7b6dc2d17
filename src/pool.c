/* SPDX-License-Identifier: MIT */
/*
 * The pool.  See pool.h.
 */
#include "pool.h"

#include <errno.h>

#include "reserve.h"
#include "run.h"

#define TAKE_TRIES 64u
#define HINT_TRIES 100u
/* Span words are looked at by the granule. */
#define CHUNK_WORDS (GRANULE / 8)

enum pool_result pool_enter(struct map *m, struct patience *p, struct lock *l)
{
	*l = lock_at(m, STATE_POOL);
	switch (lock_enter(m, l, p, CALL_WAIT_USEC)) {
	case LOCK_TAKEN:
	case LOCK_INHERITED:
		break;
	case LOCK_LOST:
		(void)map_lost(m);
		return POOL_FAILED;
	case LOCK_MINE:
		err_fail(QALLOC_EBUSY, "%s: the pool is held by the call that this one interrupted",
			 m->path);
		return POOL_FAILED;
	default:
		err_fail(QALLOC_EBUSY, "%s: the pool was held for over a second", m->path);
		return POOL_FAILED;
	}
	/* The truth is the intent, not how the lock was had: a repair may have been put off. */
	if (shared_load(map_word(m, STATE_INTENT)) != INTENT_NONE && pool_repair(m) != 0) {
		int saved = errno;

		lock_leave(l);
		errno = saved;
		return POOL_FAILED;
	}
	return POOL_OK;
}

bool pool_is_dead(struct map *m)
{
	struct lock l = lock_at(m, STATE_POOL);

	return lock_is_dead(m, &l) ||
	       (shared_load(l.owner) == 0 && shared_load(map_word(m, STATE_INTENT)) != INTENT_NONE);
}

void pool_hint(struct map *m, uint64_t span)
{
	uint64_t *hint = map_word(m, STATE_FREE_HINT);
	uint64_t found = shared_load(hint);

	for (uint32_t i = 0; found > span && i < HINT_TRIES; i++) {
		if (shared_cas(hint, found, span)) {
			return;
		}
		found = shared_load(hint);
	}
}

/* Looks for `count` free spans in [from, to), reserving the words it reads. */
static enum pool_result search(struct map *m, uint64_t from, uint64_t to, uint64_t count,
			       uint64_t *found)
{
	const uint64_t *words = map_word(m, m->geo.words_off);
	uint64_t step = count > CHUNK_WORDS ? count : CHUNK_WORDS;

	/* Each window begins where a run could still begin; windows grow with what is asked. */
	while (from < to && to - from >= count) {
		uint64_t end = min_u64(to, from + count - 1 + step);

		if (reserve_meta(m, m->geo.words_off + from * 8, (end - from) * 8) != 0) {
			reserve_fail(m);
			return POOL_FAILED;
		}
		*found = run_find(words, from, end, count);
		if (*found != RUN_NONE) {
			return POOL_OK;
		}
		from = end - (count - 1);
	}
	return POOL_EMPTY;
}

/* First from the hint, then everywhere; `skip` is where an earlier look gave up. */
enum pool_result pool_search(struct map *m, uint64_t skip, uint64_t count, uint64_t *found)
{
	uint64_t spans = m->geo.spans;
	uint64_t hint = min_u64(shared_load(map_word(m, STATE_FREE_HINT)), spans);
	uint64_t frontier = shared_load(map_word(m, STATE_FRONTIER));
	uint64_t from = skip != 0 ? skip : min_u64(hint, frontier);

	if (count > spans) {
		return POOL_EMPTY;
	}
	enum pool_result result = search(m, from, spans, count, found);

	if (result != POOL_EMPTY || from == 0) {
		return result;
	}
	return search(m, 0, min_u64(spans, from + count - 1), count, found);
}

/* Like pool_search(), but the first address is a multiple of `align` bytes, more than a span. */
enum pool_result pool_search_aligned(struct map *m, uint64_t count, uint64_t align, uint64_t *found)
{
	uint64_t data = m->base + m->geo.data_off;
	uint64_t from = 0;

	while (from < m->geo.spans) {
		enum pool_result result = search(m, from, m->geo.spans, count, found);

		if (result != POOL_OK) {
			return result;
		}
		uint64_t address = data + *found * m->geo.span_bytes;
		uint64_t shift = (align - address % align) % align / m->geo.span_bytes;

		from = *found + 1;
		*found += shift;
		if (*found >= m->geo.spans || m->geo.spans - *found < count) {
			break;
		}
		if (reserve_meta(m, m->geo.words_off + *found * 8, count * 8) != 0) {
			reserve_fail(m);
			return POOL_FAILED;
		}
		if (run_is_free(map_word(m, m->geo.words_off), *found, count)) {
			return POOL_OK;
		}
	}
	return POOL_EMPTY;
}

void pool_raise_frontier(struct map *m, uint64_t end)
{
	uint64_t *frontier = map_word(m, STATE_FRONTIER);

	if (own_load(frontier) < end) {
		own_store(frontier, end);
	}
}

/* Inside the pool. */
static bool take_span(struct map *m, uint64_t span, uint64_t hint, uint64_t trims, uint64_t word)
{
	if (shared_load(map_span_word(m, span)) != 0 || !pool_space_kept(m, trims) ||
	    map_intact(m) != 0) {
		return false;
	}
	span_reset(map_pairs(m, span), m->geo.span_pairs);
	pool_raise_frontier(m, span + 1);
	if (hint <= span) {
		/* Unless somebody has lowered it since: then there is room below. */
		(void)shared_cas(map_word(m, STATE_FREE_HINT), hint, span + 1);
	}
	own_store(map_span_word(m, span), word);
	return true;
}

/* Without disk space for what was found: another free span may still have its own. */
static enum pool_result no_space(struct map *m, uint64_t span, uint64_t *skip, uint64_t *first)
{
	if (errno != ENOSPC && errno != EDQUOT) {
		reserve_fail(m);
		return POOL_FAILED;
	}
	bool again = *first != RUN_NONE && span <= *first;

	if (*first == RUN_NONE) {
		*first = span;
	}
	*skip = span + 1;
	if (again || *skip >= m->geo.spans) {
		reserve_fail(m);
		return POOL_FAILED;
	}
	return POOL_EMPTY;
}

enum pool_result pool_take_span(struct map *m, struct patience *p, uint32_t stream, uint32_t cls,
				uint64_t *span)
{
	uint64_t skip = 0, first = RUN_NONE;
	struct lock l;

	for (uint32_t i = 0; i < TAKE_TRIES; i++) {
		uint64_t hint = shared_load(map_word(m, STATE_FREE_HINT));
		enum pool_result result = pool_search(m, skip, 1, span);

		if (result != POOL_OK) {
			return result;
		}
		uint64_t trims = shared_load(map_word(m, STATE_TRIMS));

		if (reserve_spans(m, *span, 1) != 0) {
			if (no_space(m, *span, &skip, &first) == POOL_FAILED) {
				return POOL_FAILED;
			}
			continue;
		}
		if (pool_enter(m, p, &l) != POOL_OK) {
			return POOL_FAILED;
		}
		bool taken = take_span(m, *span, hint, trims, span_word_small(stream, cls));

		lock_leave(&l);
		if (taken) {
			span_mark_seen(m, *span);
			return POOL_OK;
		}
	}
	if (first != RUN_NONE) {
		errno = ENOSPC;
		reserve_fail(m);
	} else {
		err_fail(QALLOC_EBUSY, "%s: others took each free span first", m->path);
	}
	return POOL_FAILED;
}
