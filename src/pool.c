/* SPDX-License-Identifier: MIT */
/*
 * The pool.  See pool.h.
 */
#include "pool.h"

#include <errno.h>
#include <string.h>

#include "reserve.h"
#include "run.h"

#define TAKE_TRIES 64u
#define HINT_TRIES 100u
#define SEE_TRIES 3u
/* Span words are looked at by the granule. */
#define CHUNK_WORDS (GRANULE / 8)

/*
 * Inside the pool, with an intent that a dead holder left: system calls are in place here.
 * The frontier was raised before the first word of a run was written, so what lies beyond
 * it, or in a hole of the words, was never begun.  If the words cannot be touched now the
 * intent stays, for whoever comes next.
 */
static int pool_repair(struct map *m)
{
	uint64_t *intent = map_word(m, STATE_INTENT);
	uint64_t op = shared_load(intent);
	uint64_t first = shared_load(intent + 1);
	uint64_t count = shared_load(intent + 2);
	int seen = reserve_top(m);
	uint64_t top = __atomic_load_n(&m->top, __ATOMIC_ACQUIRE);
	bool below = first <= top && count <= top - first;

	if (seen != 0 && !below) {
		return reserve_fail(m);
	}
	if (below) {
		run_repair(map_word(m, m->geo.words_off), m->geo.spans, op, first, count);
	}
	own_store(intent, INTENT_NONE);
	own_store(map_word(m, STATE_FREE_HINT), 0);
	return 0;
}

enum pool_result pool_enter(struct map *m, struct patience *p, struct lock *l)
{
	*l = lock_at(m, STATE_POOL);
	switch (lock_enter(m, l, p, CALL_WAIT_USEC)) {
	case LOCK_TAKEN:
	case LOCK_INHERITED:
		break;
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
static enum pool_result candidate(struct map *m, uint64_t skip, uint64_t count, uint64_t *found)
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

/* Like candidate(), but the first address is a multiple of `align` bytes, more than a span. */
static enum pool_result candidate_aligned(struct map *m, uint64_t count, uint64_t align,
					  uint64_t *found)
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

static void raise_frontier(struct map *m, uint64_t end)
{
	uint64_t *frontier = map_word(m, STATE_FRONTIER);

	if (own_load(frontier) < end) {
		own_store(frontier, end);
	}
}

/* Inside the pool. */
static bool take_span(struct map *m, uint64_t span, uint64_t hint, uint64_t trims, uint64_t word)
{
	if (shared_load(map_span_word(m, span)) != 0 ||
	    shared_load(map_word(m, STATE_TRIMS)) != trims) {
		return false;
	}
	span_reset(map_pairs(m, span), m->geo.span_pairs);
	raise_frontier(m, span + 1);
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
		enum pool_result result = candidate(m, skip, 1, span);

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

static void intent_begin(struct map *m, uint64_t op, uint64_t first, uint64_t count)
{
	uint64_t *intent = map_word(m, STATE_INTENT);

	own_store(intent + 1, first);
	own_store(intent + 2, count);
	own_store(intent, op);
}

static void intent_end(struct map *m)
{
	own_store(map_word(m, STATE_INTENT), INTENT_NONE);
}

/* Inside the pool. */
static bool take_run(struct map *m, uint64_t first, uint64_t count, uint64_t trims)
{
	uint64_t *words = map_word(m, m->geo.words_off);

	if (!run_is_free(words, first, count) || shared_load(map_word(m, STATE_TRIMS)) != trims) {
		return false;
	}
	intent_begin(m, INTENT_RUN_TAKE, first, count);
	raise_frontier(m, first + count);
	run_take(words, first, count);
	intent_end(m);
	return true;
}

enum pool_result pool_take_run(struct map *m, struct patience *p, uint64_t count, uint64_t align,
			       uint64_t *first)
{
	bool aligned = align > m->geo.span_bytes;
	struct lock l;

	if (count > m->geo.spans) {
		return POOL_EMPTY;
	}
	for (uint32_t i = 0; i < TAKE_TRIES; i++) {
		enum pool_result result = aligned ? candidate_aligned(m, count, align, first)
						  : candidate(m, 0, count, first);

		if (result != POOL_OK) {
			return result;
		}
		uint64_t trims = shared_load(map_word(m, STATE_TRIMS));

		if (reserve_spans(m, *first, count) != 0) {
			reserve_fail(m);
			return POOL_FAILED;
		}
		if (pool_enter(m, p, &l) != POOL_OK) {
			return POOL_FAILED;
		}
		bool taken = take_run(m, *first, count, trims);

		lock_leave(&l);
		if (taken) {
			span_mark_seen(m, *first);
			return POOL_OK;
		}
	}
	err_fail(QALLOC_EBUSY, "%s: others took each free run first", m->path);
	return POOL_FAILED;
}

static int not_live(const struct map *m, uint64_t first)
{
	return err_fail(QALLOC_ENOTLIVE, "%s: span %u: no live run begins here", m->path, first);
}

static int run_broken(const struct map *m, uint64_t first, uint64_t count)
{
	return err_fail(QALLOC_ECORRUPT, "%s: span %u: a run of %u spans is not whole", m->path,
			first, count);
}

/* Whether the words behind the head are tails, as far as [from, to) goes. */
static bool tails_in(const uint64_t *words, uint64_t first, uint64_t from, uint64_t to)
{
	for (uint64_t i = from > first ? from : first + 1; i < to; i++) {
		if (shared_load(words + i) != SPAN_TAIL) {
			return false;
		}
	}
	return true;
}

enum whole { WHOLE_YES, WHOLE_NO, WHOLE_FAILED };

/*
 * A granule at a time, so that a run which is a hole in the file is found out before
 * that costs disk space.
 */
static enum whole run_whole(struct map *m, uint64_t first, uint64_t count)
{
	const uint64_t *words = map_word(m, m->geo.words_off);
	uint64_t end = first + count;

	for (uint64_t from = first; from < end;) {
		uint64_t off = m->geo.words_off + from * 8;
		uint64_t until = (off / GRANULE + 1) * GRANULE;
		uint64_t to = min_u64(end, (until - m->geo.words_off) / 8);

		if (!meta_is_ready(m, off)) {
			uint64_t data = 0;
			int fd = map_fd(m);

			if (fd < 0) {
				return WHOLE_FAILED;
			}
			if ((os_next_data(fd, off, &data) != 0 && errno == ENXIO) ||
			    data >= until) {
				return WHOLE_NO;
			}
			if (reserve_meta(m, off, 1) != 0) {
				reserve_fail(m);
				return WHOLE_FAILED;
			}
		}
		if (!tails_in(words, first, from, to)) {
			return WHOLE_NO;
		}
		from = to;
	}
	return WHOLE_YES;
}

/*
 * Somebody may free the run meanwhile: its head goes first, so a head that is still there
 * behind tails that are not is a contradiction, unless the run was freed and taken again.
 */
int pool_see_run(struct map *m, uint64_t first, uint64_t count)
{
	for (uint32_t i = 0; i < SEE_TRIES; i++) {
		switch (run_whole(m, first, count)) {
		case WHOLE_YES:
			return 0;
		case WHOLE_FAILED:
			return -1;
		default:
			break;
		}
		if (run_length(map_word(m, m->geo.words_off), m->geo.spans, first) != count) {
			return not_live(m, first);
		}
	}
	return run_broken(m, first, count);
}

/* Zeroes [at, end) of the file where it has data: a hole is zero, and stays one. */
static int wipe_data(struct map *m, uint64_t at, uint64_t end)
{
	while (at < end) {
		uint64_t hole = 0;
		int fd = map_fd(m);

		if (fd < 0) {
			return -1;
		}
		if (os_next_data(fd, at, &at) != 0) {
			return errno == ENXIO ? 0 : reserve_fail(m);
		}
		if (at >= end) {
			return 0;
		}
		if (os_next_hole(fd, at, &hole) != 0) {
			return reserve_fail(m);
		}
		hole = min_u64(hole, end);
		memset((void *)(uintptr_t)(m->base + at), 0, hole - at);
		at = hole;
	}
	return 0;
}

int pool_drop(struct map *m, uint64_t addr, uint64_t bytes)
{
	uint64_t *trims = map_word(m, STATE_TRIMS);

	own_store(trims, own_load(trims) + 1);
	return os_drop_pages(addr, bytes);
}

/*
 * Inside the pool, when nothing else can fail: who frees in vain keeps what was in the run.
 * Dropping its pages zeroes it at a fraction of the cost.
 */
static int wipe_run(struct map *m, uint64_t first, uint64_t count)
{
	uint64_t at = m->geo.data_off + first * m->geo.span_bytes;
	uint64_t bytes = count * m->geo.span_bytes;

	if (at % os_page() == 0 && bytes % os_page() == 0 &&
	    pool_drop(m, m->base + at, bytes) == 0) {
		return 0;
	}
	return wipe_data(m, at, at + bytes);
}

/* Inside the pool: only what is a whole run is freed. */
static int free_run(struct map *m, uint64_t first, uint64_t count)
{
	uint64_t *words = map_word(m, m->geo.words_off);

	if (run_length(words, m->geo.spans, first) != count) {
		return not_live(m, first);
	}
	if (!tails_in(words, first, first, first + count)) {
		return run_broken(m, first, count);
	}
	if ((m->flags & MAP_FLAG_ZERO_ON_FREE) != 0 && wipe_run(m, first, count) != 0) {
		return -1;
	}
	intent_begin(m, INTENT_RUN_FREE, first, count);
	run_free(words, first, count);
	intent_end(m);
	return 0;
}

int pool_free_run(struct map *m, struct patience *p, uint64_t first)
{
	uint64_t count = run_length(map_word(m, m->geo.words_off), m->geo.spans, first);
	struct lock l;

	if (count == 0) {
		return not_live(m, first);
	}
	if (pool_see_run(m, first, count) != 0 || pool_enter(m, p, &l) != POOL_OK) {
		return -1;
	}
	int result = free_run(m, first, count);

	lock_leave(&l);
	if (result == 0) {
		pool_hint(m, first);
	}
	return result;
}
