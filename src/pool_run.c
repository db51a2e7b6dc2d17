/* SPDX-License-Identifier: MIT */
/*
 * The pool's runs: taking, freeing, wiping, and repairing what a dead holder left of these.
 *
 *  - Only a whole run is freed or believed: a head, and as many tails as it says.
 *  - A length that comes from the file costs no disk space of its own (run.h).
 *  - Whoever enters the pool and finds an intent repairs first (pool_enter()).
 */
#include "pool.h"

#include <errno.h>
#include <string.h>

#include "reserve.h"
#include "run.h"

#define TAKE_TRIES 64u
#define SEE_TRIES 3u

/* The offset in the file of the run that begins at span `first`. */
static uint64_t run_block(const struct map *m, uint64_t first)
{
	return m->geo.data_off + first * m->geo.span_bytes;
}

static void run_begin(struct map *m, uint64_t op, uint64_t first, uint64_t count, uint64_t cell)
{
	uint64_t *intent = map_word(m, STATE_INTENT);

	own_store(intent + 1, first);
	own_store(intent + 2, count);
	own_store(intent + 3, cell);
	own_store(intent, op);
}

static void run_end(struct map *m)
{
	own_store(map_word(m, STATE_INTENT), INTENT_NONE);
}

/* Inside the pool. */
static bool take_run(struct map *m, uint64_t first, uint64_t count, uint64_t trims, uint64_t cell)
{
	uint64_t *words = map_word(m, m->geo.words_off);

	if (!run_is_free(words, first, count) || !pool_space_kept(m, trims) || map_intact(m) != 0) {
		return false;
	}
	run_begin(m, INTENT_RUN_TAKE, first, count, cell);
	pool_raise_frontier(m, first + count);
	run_take(words, first, count);
	if (cell != CELL_NONE) {
		cell_set(m, cell, run_block(m, first));
	}
	run_end(m);
	return true;
}

enum pool_result pool_take_run(struct map *m, struct patience *p, uint64_t count, uint64_t align,
			       uint64_t cell, uint64_t *first)
{
	bool aligned = align > m->geo.span_bytes;
	struct lock l;

	if (count > m->geo.spans) {
		return POOL_EMPTY;
	}
	for (uint32_t i = 0; i < TAKE_TRIES; i++) {
		enum pool_result result = aligned ? pool_search_aligned(m, count, align, first)
						  : pool_search(m, 0, count, first);

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
		bool taken = take_run(m, *first, count, trims, cell);

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
			int fd = map_fd(m), saved = errno;

			if (fd < 0) {
				return WHOLE_FAILED;
			}
			if (os_next_data(fd, off, &data) != 0) {
				errno = saved; /* Not known: then it may cost disk space. */
			} else if (data >= until) {
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

/* A hole is zero, and stays one. */
int pool_wipe(struct map *m, uint64_t at, uint64_t end)
{
	while (at < end) {
		uint64_t hole = 0;
		int fd = map_fd(m);

		if (fd < 0) {
			return -1;
		}
		if (os_next_data(fd, at, &at) != 0) {
			return reserve_fail(m);
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

/* From odd to even. */
static void drop_end(uint64_t *trims)
{
	own_store(trims, own_load(trims) + 1);
}

/*
 * Odd meanwhile, another number afterwards: who has reserved before the pages were gone shall
 * notice, whether trims was read before this call or in its midst.
 */
int pool_drop(struct map *m, uint64_t addr, uint64_t bytes)
{
	uint64_t *trims = map_word(m, STATE_TRIMS);

	own_store(trims, own_load(trims) | 1);
	int result = os_drop_pages(addr, bytes);

	drop_end(trims);
	return result;
}

/* Odd here, inside: whoever dropped pages was killed at it. */
bool pool_space_kept(struct map *m, uint64_t trims)
{
	uint64_t *now = map_word(m, STATE_TRIMS);

	if (own_load(now) % 2 != 0) {
		drop_end(now);
		return false;
	}
	return own_load(now) == trims;
}

/*
 * Inside the pool, when nothing else can fail: who frees in vain keeps what was in the run.
 * Dropping its pages zeroes it at a fraction of the cost.
 */
static int wipe_run(struct map *m, uint64_t first, uint64_t count)
{
	uint64_t at = m->geo.data_off + first * m->geo.span_bytes;
	uint64_t bytes = count * m->geo.span_bytes;
	int saved = errno;

	if (at % os_page() == 0 && bytes % os_page() == 0 &&
	    pool_drop(m, m->base + at, bytes) == 0) {
		return 0;
	}
	errno = saved;
	return pool_wipe(m, at, at + bytes);
}

/*
 * Inside the pool, with a run that is whole.  What was in it must be gone before it is free,
 * and who frees in vain keeps it: so with a cell it is wiped behind the intent.
 */
static int wipe_and_free(struct map *m, uint64_t first, uint64_t count, const struct handover *h)
{
	bool wipe = (m->flags & MAP_FLAG_ZERO_ON_FREE) != 0;

	if (h == NULL && wipe && wipe_run(m, first, count) != 0) {
		return -1;
	}
	run_begin(m, INTENT_RUN_FREE, first, count, h == NULL ? CELL_NONE : h->cell);
	if (h != NULL) {
		handover_do(m, h);
		if (wipe && wipe_run(m, first, count) != 0) {
			handover_undo(m, h, run_block(m, first));
			run_end(m);
			return -1;
		}
	}
	run_free(map_word(m, m->geo.words_off), first, count);
	run_end(m);
	return 0;
}

/* Inside the pool: only what is a whole run is freed. */
static int free_run(struct map *m, uint64_t first, uint64_t count, const struct handover *h)
{
	const uint64_t *words = map_word(m, m->geo.words_off);

	if (run_length(words, m->geo.spans, first) != count) {
		return not_live(m, first);
	}
	if (!tails_in(words, first, first, first + count)) {
		return run_broken(m, first, count);
	}
	return map_intact(m) == 0 ? wipe_and_free(m, first, count, h) : -1;
}

int pool_free_run(struct map *m, struct patience *p, uint64_t first, const struct handover *h)
{
	uint64_t count = run_length(map_word(m, m->geo.words_off), m->geo.spans, first);
	struct lock l;

	if (count == 0) {
		return not_live(m, first);
	}
	if (pool_see_run(m, first, count) != 0 || pool_enter(m, p, &l) != POOL_OK) {
		return -1;
	}
	int result = free_run(m, first, count, h);

	lock_leave(&l);
	if (result == 0) {
		pool_hint(m, first);
	}
	return result;
}

/*
 * Makes the words safe to touch that a repair reads: from the end of the intent down to the
 * first that is not TAIL.  A hole has one, so that costs one granule of disk space at most.
 */
static int see_tails(struct map *m, uint64_t end)
{
	const uint64_t *words = map_word(m, m->geo.words_off);

	while (end > 0) {
		uint64_t off = m->geo.words_off + (end - 1) * 8;
		uint64_t low = off / GRANULE * GRANULE;
		uint64_t from = low > m->geo.words_off ? (low - m->geo.words_off) / 8 : 0;

		if (reserve_meta(m, off, 8) != 0) {
			return reserve_fail(m);
		}
		while (end > from) {
			if (shared_load(words + end - 1) != SPAN_TAIL) {
				return 0;
			}
			end--;
		}
	}
	return 0;
}

/* A whole run that an intent names is kept iff its cell refers to it (intent.h). */
static int settle(struct map *m, uint64_t first, uint64_t count, uint64_t cell)
{
	bool orphan = false;
	struct block b;

	switch (run_whole(m, first, count)) {
	case WHOLE_FAILED:
		return -1;
	case WHOLE_NO:
		return 0;
	default:
		break;
	}
	if (run_length(map_word(m, m->geo.words_off), m->geo.spans, first) != count) {
		return 0;
	}
	if (orphan_peek(m, run_block(m, first), cell, &b, &orphan) != 0 || map_intact(m) != 0) {
		return -1;
	}
	if (!orphan) {
		return 0;
	}
	if ((m->flags & MAP_FLAG_ZERO_ON_FREE) != 0 && wipe_run(m, first, count) != 0) {
		return -1;
	}
	own_store(map_word(m, STATE_INTENT), INTENT_RUN_FREE);
	run_free(map_word(m, m->geo.words_off), first, count);
	return 0;
}

void pool_forget(struct map *m)
{
	own_store(map_word(m, STATE_INTENT) + 3, CELL_NONE);
}

/*
 * System calls are in place here.  If the words cannot be touched now the intent stays, for
 * whoever comes next.
 */
int pool_repair(struct map *m)
{
	uint64_t *intent = map_word(m, STATE_INTENT);
	uint64_t op = shared_load(intent);
	uint64_t first = shared_load(intent + 1);
	uint64_t count = shared_load(intent + 2);
	uint64_t cell = shared_load(intent + 3);
	uint64_t spans = m->geo.spans;

	if ((op == INTENT_RUN_TAKE || op == INTENT_RUN_FREE) && count > 0 && first < spans &&
	    count <= spans - first) {
		if ((cell_valid(m, cell) && settle(m, first, count, cell) != 0) ||
		    see_tails(m, first + count) != 0) {
			return -1;
		}
		run_repair(map_word(m, m->geo.words_off), spans, op, first, count);
	}
	run_end(m);
	own_store(map_word(m, STATE_FREE_HINT), 0);
	return 0;
}
