/* SPDX-License-Identifier: MIT */
/*
 * Streams.  See stream.h.
 */
#include "stream.h"

#include <errno.h>

#include "intent.h"
#include "pool.h"
#include "reserve.h"

#define HINT_TRIES 100u
#define CURSOR_NOTHING UINT32_MAX
/* Threads of one process begin at neighbouring streams, processes four apart. */
#define HOMES_PER_PROCESS 4u

static uint32_t hint_get(const uint32_t *hint)
{
	return __atomic_load_n(hint, __ATOMIC_RELAXED);
}

static void hint_set(uint32_t *hint, uint32_t value)
{
	__atomic_store_n(hint, value, __ATOMIC_RELAXED);
}

static struct lock stream_lock(const struct map *m, uint32_t stream)
{
	return lock_at(m, STREAMS_OFF + (uint64_t)stream * STREAM_BYTES + STREAM_LOCK);
}

static uint32_t *stream_cursor(const struct map *m, uint32_t stream, uint32_t cls)
{
	return (uint32_t *)map_stream_word(m, stream, STREAM_CURSORS) + cls;
}

static struct home *home_of(const struct map *m)
{
	struct thread *t = thread_self();
	struct home *h = &t->homes[m->serial % THREAD_HOMES];

	if (__builtin_expect(h->serial != m->serial, 0)) {
		uint32_t slot = owner_slot(m->self->owner);

		h->serial = m->serial;
		h->stream = (slot * HOMES_PER_PROCESS + t->number - 1) % m->geo.streams;
	}
	return h;
}

uint32_t stream_home(const struct map *m)
{
	return home_of(m)->stream;
}

/* A stream whose holder died: every span it guards is whole, but its hints may lie. */
static void hints_forget(struct map *m, uint32_t stream)
{
	for (uint32_t cls = 0; cls < m->geo.classes; cls++) {
		__atomic_store_n(stream_cursor(m, stream, cls), 0, __ATOMIC_RELAXED);
	}
}

/* What this process knows of the stream; at first that is nothing, and it starts over. */
static struct view *stream_view(struct map *m, uint32_t stream)
{
	struct view *v = &m->views[stream];

	if (__builtin_expect(!v->fresh, 0)) {
		hints_forget(m, stream);
		v->fresh = true;
	}
	return v;
}

bool stream_enter_now(struct map *m, uint32_t stream, uint64_t me)
{
	struct lock l = stream_lock(m, stream);

	return lock_try(m, &l, me) == LOCK_TAKEN;
}

static bool stream_repair(struct map *m, uint32_t stream, const struct lock *l, struct patience *p)
{
	struct kept before;

	kept_take(&before);
	int result = intent_settle(m, stream);

	if (result != 0) {
		p->repair_error = qalloc_error();
		p->repair_errno = errno;
		p->no_space = p->no_space || p->repair_error == QALLOC_ENOSPACE;
		lock_disown(l, p);
	} else {
		hints_forget(m, stream);
	}
	kept_put_back(&before);
	return result == 0;
}

bool stream_enter(struct map *m, uint32_t stream, struct patience *p)
{
	struct lock l = stream_lock(m, stream);

	switch (lock_enter(m, &l, p, LOCK_WAIT_USEC)) {
	case LOCK_TAKEN:
		return true;
	case LOCK_INHERITED:
		return stream_repair(m, stream, &l, p);
	default:
		return false;
	}
}

bool stream_is_mine(const struct map *m, uint32_t stream, uint64_t me)
{
	struct lock l = stream_lock(m, stream);

	return shared_load(l.owner) == me;
}

bool stream_is_dead(struct map *m, uint32_t stream)
{
	struct lock l = stream_lock(m, stream);

	return lock_is_dead(m, &l);
}

void stream_leave(struct map *m, uint32_t stream)
{
	struct lock l = stream_lock(m, stream);

	lock_leave(&l);
}

uint32_t stream_enter_any(struct map *m, struct patience *p)
{
	struct home *h = home_of(m);
	uint32_t streams = m->geo.streams;
	struct lock l = stream_lock(m, h->stream);
	enum lock_result result = lock_try(m, &l, p->me);

	if (__builtin_expect(result == LOCK_TAKEN, 1)) {
		return h->stream;
	}
	/* Others may be idle: whoever finds one moves there for good. */
	for (uint32_t i = 1; i < streams; i++) {
		uint32_t stream = (h->stream + i) % streams;

		if (stream_enter_now(m, stream, p->me)) {
			if (result != LOCK_MINE) {
				h->stream = stream;
			}
			return stream;
		}
	}
	while (p->usec > 0) {
		bool held = false;

		for (uint32_t i = 0; i < streams && p->usec > 0; i++) {
			uint32_t stream = (h->stream + i) % streams;

			if (stream_enter(m, stream, p)) {
				return stream;
			}
			held = held || !stream_is_mine(m, stream, p->me);
		}
		if (!held) {
			break; /* All are ours: we interrupted ourselves, waiting is futile. */
		}
	}
	return STREAM_NONE;
}

void stream_hint(struct map *m, uint32_t stream, uint32_t cls, uint64_t span)
{
	uint32_t *cursor = stream_cursor(m, stream, cls);
	uint32_t found = __atomic_load_n(cursor, __ATOMIC_RELAXED);

	for (uint32_t i = 0; found > span && i < HINT_TRIES; i++) {
		if (__atomic_compare_exchange_n(cursor, &found, (uint32_t)span, false,
						__ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
			return;
		}
	}
}

/* Whether the span's word says that it is this stream's, of this class. */
static bool is_mine(const struct map *m, uint32_t stream, uint32_t cls, uint64_t span)
{
	return span < m->geo.spans && span_seen(m, span) &&
	       shared_load(map_span_word(m, span)) == span_word_small(stream, cls);
}

static inline bool take_item(struct map *m, uint32_t stream, const struct span *s, uint32_t item,
			     uint64_t rel, uint64_t cell)
{
	return cell == CELL_NONE ? span_take_item(s, item)
				 : intent_take(m, stream, s, item, rel, cell);
}

/*
 * The blocks freed last are those whose memory is in the cache.  A view has one user at a
 * time; should a hostile peer unlock the stream under us there are two, so each hint is
 * read once, and bounded.
 */
static bool take_recent(struct map *m, struct view *v, uint32_t stream, uint32_t cls, uint64_t cell,
			uint64_t *rel)
{
	uint32_t n = hint_get(&v->recent[cls]);

	n = n < VIEW_RECENT ? n : VIEW_RECENT;
	while (n > 0) {
		uint64_t at = __atomic_load_n(&v->recent_rel[cls][--n], __ATOMIC_RELAXED);

		hint_set(&v->recent[cls], n);
		if (at >= m->geo.data_end - m->geo.data_off) {
			continue;
		}
		uint64_t span = geo_span_at(&m->geo, at);

		if (!is_mine(m, stream, cls, span)) {
			continue;
		}
		struct span s = map_span(m, span, cls);
		struct place place = geo_place(&m->geo, at, span, cls);

		if (place.start && place.item < s.items &&
		    take_item(m, stream, &s, place.item, at, cell)) {
			*rel = at;
			return true;
		}
	}
	return false;
}

/* False: there is no room to remember it. */
static bool put_recent(struct map *m, struct view *v, uint32_t cls, uint64_t span, uint32_t item)
{
	uint32_t n = hint_get(&v->recent[cls]);

	if (n >= VIEW_RECENT) {
		return false;
	}
	__atomic_store_n(&v->recent_rel[cls][n], geo_item_rel(&m->geo, span, cls, item),
			 __ATOMIC_RELAXED);
	hint_set(&v->recent[cls], n + 1);
	return true;
}

/* The first free block of the span in its pairs from `from`. */
static bool take_in(struct map *m, uint32_t stream, uint32_t cls, uint64_t span, uint32_t from,
		    uint64_t cell, uint64_t *rel)
{
	struct view *v = &m->views[stream];
	struct span s = map_span(m, span, cls);
	uint32_t item = cell == CELL_NONE ? span_take(&s, from) : span_find(&s, from);

	if (item == ITEM_NONE) {
		return false;
	}
	hint_set(&v->span[cls], (uint32_t)span);
	hint_set(&v->word[cls], item / 64);
	*rel = geo_item_rel(&m->geo, span, cls, item);
	return cell == CELL_NONE || intent_take(m, stream, &s, item, *rel, cell);
}

/* Whether the span is known to be full; to know that, its data need no disk space. */
static bool is_full(const struct map *m, uint32_t cls, uint64_t span)
{
	uint64_t bytes = (uint64_t)m->geo.span_pairs * PAIR_BYTES;
	uint64_t off = m->geo.pairs_off + span * bytes;

	if (!meta_is_ready(m, off) || !meta_is_ready(m, off + bytes - 1)) {
		return false;
	}
	struct span s = map_span(m, span, cls);

	return !span_has_room(&s);
}

/*
 * From the cursor upwards.  It is cleared before looking and set again if found, so
 * that a hint which comes from outside meanwhile is not overwritten; and what was not
 * looked at, because others have taken spans beyond our top, stays "maybe".
 */
static enum stream_take take_scan(struct map *m, uint32_t stream, uint32_t cls, uint64_t cell,
				  uint64_t *rel)
{
	uint64_t top = __atomic_load_n(&m->top, __ATOMIC_ACQUIRE);
	uint64_t from = __atomic_exchange_n(stream_cursor(m, stream, cls), CURSOR_NOTHING,
					    __ATOMIC_ACQ_REL);
	uint64_t mine = span_word_small(stream, cls);

	for (uint64_t span = from; span < top; span++) {
		if (shared_load(map_span_word(m, span)) != mine) {
			continue;
		}
		if (!span_seen(m, span) && !is_full(m, cls, span)) {
			stream_hint(m, stream, cls, span);
			*rel = span;
			return STREAM_UNSEEN;
		}
		if (span_seen(m, span) && take_in(m, stream, cls, span, 0, cell, rel)) {
			stream_hint(m, stream, cls, span);
			return STREAM_TAKEN;
		}
	}
	if (top < min_u64(shared_load(map_word(m, STATE_FRONTIER)), m->geo.spans)) {
		stream_hint(m, stream, cls, from > top && from != CURSOR_NOTHING ? from : top);
	}
	return STREAM_EMPTY;
}

enum stream_take stream_take(struct map *m, uint32_t stream, uint32_t cls, uint64_t cell,
			     uint64_t *rel)
{
	struct view *v = stream_view(m, stream);

	if (take_recent(m, v, stream, cls, cell, rel)) {
		return STREAM_TAKEN;
	}
	uint32_t last = hint_get(&v->span[cls]);

	if (is_mine(m, stream, cls, last) &&
	    take_in(m, stream, cls, last, hint_get(&v->word[cls]), cell, rel)) {
		return STREAM_TAKEN;
	}
	return take_scan(m, stream, cls, cell, rel);
}

bool stream_take_from(struct map *m, uint32_t stream, uint64_t span, uint32_t cls, uint64_t cell,
		      uint64_t *rel)
{
	(void)stream_view(m, stream);
	return is_mine(m, stream, cls, span) && take_in(m, stream, cls, span, 0, cell, rel);
}

bool stream_release(struct map *m, uint32_t stream, uint64_t span)
{
	bool broken = false;
	uint64_t word = map_word_of(m, span, &broken);

	if (span_word_state(word) != SPAN_SMALL || span_word_stream(word) != stream) {
		return false;
	}
	struct span s = map_span(m, span, span_word_class(word));

	if (!span_is_empty(&s) || map_intact(m) != 0) {
		return false;
	}
	own_store(map_span_word(m, span), SPAN_FREE);
	pool_hint(m, span);
	return true;
}

bool stream_free(struct map *m, uint32_t stream, uint32_t cls, uint64_t span, uint32_t item)
{
	struct view *v = stream_view(m, stream);

	if (!is_mine(m, stream, cls, span)) {
		return false;
	}
	struct span s = map_span(m, span, cls);

	if (item >= s.items || !span_free_local(&s, item)) {
		return false;
	}
	/* The last block of a span: keep the one that is being used, or it would come and go. */
	const uint64_t *pair = s.pairs + 2 * (uint64_t)(item / 64);

	if (hint_get(&v->span[cls]) != span && own_load(pair) == shared_load(pair + 1) &&
	    span_is_empty(&s) && map_intact(m) == 0) {
		own_store(map_span_word(m, span), SPAN_FREE);
		pool_hint(m, span);
		return true;
	}
	if (!put_recent(m, v, cls, span, item)) {
		stream_hint(m, stream, cls, span);
	}
	return true;
}
