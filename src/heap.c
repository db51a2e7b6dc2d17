/* SPDX-License-Identifier: MIT */
/*
 * Allocation: the home stream, then the pool, then everything.
 *
 *  - A small block comes from the home stream's spans; when these have no room
 *    the pool gives it another span.
 *  - The last resort goes through all spans: it returns empty ones to the pool, and
 *    takes a block from another stream, or of a larger class.  Only when it finds
 *    nothing, in streams that could all be entered, is the map full.
 */
#include "heap.h"

#include <errno.h>
#include <string.h>

#include "pool.h"
#include "reserve.h"
#include "scan.h"
#include "stream.h"

#define TAKE_TRIES 100u
#define LAST_TRIES 8u

/* What is wanted of a small block. */
struct want {
	uint32_t cls;
	uint64_t align; /* of the class's size */
	uint64_t cell;  /* that shall refer to it, or CELL_NONE */
};

static bool class_fits(const struct map *m, const struct want *w, uint32_t cls)
{
	return cls >= w->cls && geo_block_bytes(&m->geo, cls) % w->align == 0;
}

/* What a sweep has found. */
struct sweep {
	uint64_t released;                      /* empty spans given back to the pool */
	uint64_t span;                          /* the best of the others, of class cls */
	uint32_t cls;                           /* CLASS_NONE: none */
	bool free_seen;                         /* a span was FREE when it was looked at */
	uint64_t held[QALLOC_STREAMS_MAX / 64]; /* streams that could not be entered */
};

/* Gives an empty span back to the pool.  A stream that is held is waited for once. */
static void sweep_empty(struct map *m, uint64_t span, uint32_t stream, struct patience *p,
			struct sweep *sweep)
{
	uint64_t bit = (uint64_t)1 << (stream % 64);

	if ((sweep->held[stream / 64] & bit) != 0) {
		return;
	}
	if (reserve_tables(m, span, 1) != 0) {
		p->no_space = true;
	} else if (stream_enter(m, stream, p)) {
		sweep->released += stream_release(m, stream, span);
		stream_leave(m, stream);
	} else {
		sweep->held[stream / 64] |= bit;
	}
}

/*
 * Looks at every span: gives back the empty ones, and finds the best of the others.  A small
 * block needs but one span; only for a run all are given back.
 */
static void sweep_all(struct map *m, struct scan *s, const struct want *w, struct patience *p,
		      struct sweep *sweep)
{
	uint64_t span = 0, word = 0, expected = 0;

	memset(sweep, 0, sizeof(*sweep));
	sweep->cls = CLASS_NONE;
	while ((w == NULL || sweep->released == 0) && scan_next(s, &span, &word)) {
		sweep->free_seen = sweep->free_seen || span != expected;
		expected = span + 1;
		if (!span_word_valid(word, m->geo.streams, m->geo.classes, 0) ||
		    span_word_state(word) != SPAN_SMALL) {
			continue;
		}
		uint32_t cls = span_word_class(word);
		struct span copy = {.pairs = scan_pairs(s, span),
				    .items = geo_span_items(&m->geo, span, cls)};

		/* An empty span that its stream does not give back has room, too. */
		if (span_is_empty(&copy)) {
			sweep_empty(m, span, span_word_stream(word), p, sweep);
		}
		if (w == NULL || !class_fits(m, w, cls) || cls >= sweep->cls ||
		    !span_has_room(&copy)) {
			continue;
		}
		if (span_see(m, span) != 0) {
			p->no_space = true;
		} else {
			sweep->cls = cls;
			sweep->span = span;
		}
	}
	sweep->free_seen = sweep->free_seen || expected < m->geo.spans;
}

/* Takes a block from the span that the sweep found, if it still has one. */
static bool take_swept(struct map *m, uint64_t span, uint32_t cls, uint64_t cell,
		       struct patience *p, uint64_t *rel)
{
	bool broken = false;

	if (span_see(m, span) != 0) {
		return false;
	}
	uint64_t word = map_word_of(m, span, &broken);
	uint32_t stream = span_word_stream(word);

	if (span_word_state(word) != SPAN_SMALL || !stream_enter(m, stream, p)) {
		return false;
	}
	bool taken = stream_take_from(m, stream, span, cls, cell, rel);

	stream_leave(m, stream);
	return taken;
}

enum last {
	LAST_TAKEN,
	LAST_RELEASED, /* the pool has a span again */
	LAST_FREE,     /* nothing, but the pool had a span at that moment */
	LAST_NOTHING,
	LAST_FAILED /* it could not look; recorded */
};

static enum last look_at_all(struct map *m, const struct want *w, struct patience *p, uint64_t *rel)
{
	p->busy = false; /* Only what cannot be entered now keeps the map from being full. */
	for (uint32_t i = 0; i < LAST_TRIES; i++) {
		struct scan s;
		struct sweep sweep;

		if (scan_begin(&s, m) != 0) {
			return LAST_FAILED;
		}
		sweep_all(m, &s, w, p, &sweep);
		scan_end(&s);
		if (sweep.released > 0) {
			return LAST_RELEASED;
		}
		if (s.failed && sweep.cls == CLASS_NONE) {
			return LAST_FAILED;
		}
		if (w == NULL || sweep.cls == CLASS_NONE) {
			return sweep.free_seen ? LAST_FREE : LAST_NOTHING;
		}
		if (take_swept(m, sweep.span, sweep.cls, w->cell, p, rel)) {
			return LAST_TAKEN;
		}
	}
	/* Each time others were quicker, or the stream could not be entered. */
	p->busy = true;
	return LAST_NOTHING;
}

/* What else fails on the way is nobody's error. */
static enum last last_resort(struct map *m, const struct want *w, struct patience *p, uint64_t *rel)
{
	struct kept before;

	kept_take(&before);
	enum last last = look_at_all(m, w, p, rel);

	if (last != LAST_FAILED) {
		kept_put_back(&before);
	}
	return last;
}

static int full(struct map *m, const struct patience *p, uint64_t bytes)
{
	if (p->busy) {
		return err_fail(QALLOC_EBUSY,
				"%s: no room for %u bytes in the streams that could be entered, "
				"and some could not",
				m->path, bytes);
	}
	if (p->no_space) {
		return err_fail(QALLOC_ENOSPACE,
				"%s: no room for %u bytes but in spans without disk space, and the "
				"disk is full",
				m->path, bytes);
	}
	return err_fail(QALLOC_EFULL, "%s: full: no stream has room for %u bytes", m->path, bytes);
}

/*
 * A block from a stream, the home one if it can be entered.  Spans that this process has not
 * seen yet are seen on the way, outside; each is new once, so that ends.
 */
static int take_home(struct map *m, const struct want *w, struct patience *p, uint32_t *stream,
		     enum stream_take *took, uint64_t *rel)
{
	for (uint64_t i = 0; i <= m->geo.spans; i++) {
		(void)reserve_top(m); /* What is not ready is passed over: hints. */
		*stream = stream_enter_any(m, p);
		if (*stream == STREAM_NONE) {
			return err_fail(QALLOC_EBUSY, "%s: every stream was held for over a second",
					m->path);
		}
		*took = stream_take(m, *stream, w->cls, w->cell, rel);
		stream_leave(m, *stream);
		if (*took != STREAM_UNSEEN) {
			return 0;
		}
		if (span_see(m, *rel) != 0) {
			return reserve_fail(m);
		}
	}
	*took = STREAM_EMPTY;
	return 0;
}

/*
 * The last resort after the pool had nothing.  If it finds nothing either, the error is
 * recorded: the pool's (a full disk, say), or that the map is full.
 */
static enum last last_after(struct map *m, const struct want *w, struct patience *p, uint64_t *rel,
			    enum pool_result pool)
{
	enum last last = last_resort(m, w, p, rel);

	if (last == LAST_FREE && pool != POOL_FAILED) {
		return LAST_RELEASED; /* It came back after the look there: look again. */
	}
	if (last != LAST_FREE && last != LAST_NOTHING) {
		return last;
	}
	if (pool != POOL_FAILED) {
		full(m, p, geo_block_bytes(&m->geo, w->cls));
	}
	return LAST_NOTHING;
}

/* The slow way to a small block: a stream, the pool, the last resort. */
static int take_slow(struct map *m, const struct want *w, struct patience *p, uint64_t *rel)
{
	struct kept before;

	kept_take(&before);
	for (uint32_t i = 0; i < TAKE_TRIES; i++) {
		enum stream_take took = STREAM_EMPTY;
		uint32_t stream = 0;
		uint64_t span = 0;

		if (take_home(m, w, p, &stream, &took, rel) != 0) {
			return -1;
		}
		if (took == STREAM_EMPTY) {
			enum pool_result pool = pool_take_span(m, p, stream, w->cls, &span);
			enum last last = LAST_RELEASED;

			if (pool == POOL_OK) {
				stream_hint(m, stream, w->cls, span);
				/* At once, whatever the frontier says. */
				last = take_swept(m, span, w->cls, w->cell, p, rel) ? LAST_TAKEN
										    : last;
			} else {
				last = last_after(m, w, p, rel, pool);
			}
			if (last == LAST_NOTHING || last == LAST_FAILED) {
				return -1;
			}
			if (last == LAST_RELEASED) {
				continue;
			}
		}
		kept_put_back(&before);
		return 0;
	}
	p->busy = true;
	return full(m, p, geo_block_bytes(&m->geo, w->cls));
}

static void *taken(const struct map *m, uint64_t rel)
{
	return map_intact(m) == 0 ? map_address(m, rel) : NULL;
}

/* The error is recorded, unless it only followed from a lost page. */
static void *none(const struct map *m)
{
	(void)map_intact(m);
	return NULL;
}

static inline void *take_small(struct map *m, struct patience *p, const struct want *w)
{
	uint64_t rel = 0;
	uint32_t home = stream_home(m);

	if (__builtin_expect(stream_enter_now(m, home, p->me), 1)) {
		enum stream_take took = stream_take(m, home, w->cls, w->cell, &rel);

		stream_leave(m, home);
		if (__builtin_expect(took == STREAM_TAKEN, 1)) {
			return taken(m, rel);
		}
	}
	return take_slow(m, w, p, &rel) == 0 ? taken(m, rel) : none(m);
}

static void *take_large(struct map *m, struct patience *p, uint64_t bytes, uint64_t align,
			uint64_t cell)
{
	uint64_t count = bytes / m->geo.span_bytes + (bytes % m->geo.span_bytes != 0);
	bool again = true;

	for (uint32_t i = 0; i < LAST_TRIES; i++) {
		uint64_t first = 0, rel = 0;
		enum pool_result result = pool_take_run(m, p, count, align, cell, &first);

		if (result == POOL_FAILED) {
			return none(m);
		}
		if (result == POOL_OK) {
			return taken(m, first * m->geo.span_bytes);
		}
		/* Spans may come back between that look at the pool and the sweep. */
		enum last last = last_resort(m, NULL, p, &rel);
		bool released = last == LAST_RELEASED;

		if (last == LAST_FAILED) {
			return none(m);
		}
		if (!released && !again) {
			break;
		}
		again = released;
	}
	full(m, p, bytes);
	return none(m);
}

static void *too_large(const struct map *m, uint64_t size, uint64_t most)
{
	int number = m->geo.items != 0 ? EINVAL : ENOMEM;

	err_fail_errno(QALLOC_ESIZE, number, "%s: size: %u, at most %u", m->path, size, most);
	return NULL;
}

/* Inlined into both of its callers, as free_block() is: a call more is 2 % of the instructions of a pair. */
static inline void *take(struct map *m, struct patience *p, uint64_t bytes, uint64_t align,
			 uint64_t cell)
{
	uint64_t most = m->geo.items != 0 ? m->geo.item_bytes : m->geo.data_end - m->geo.data_off;
	struct want w = {.cls = 0, .align = align < 16 ? 8 : align, .cell = cell};

	if (bytes > most) {
		return too_large(m, bytes, most);
	}
	if (m->geo.items != 0) {
		return take_small(m, p, &w);
	}
	w.cls = align <= 16 ? class_of(bytes) : class_aligned(bytes, align, m->geo.classes);
	if (w.cls >= m->geo.classes) {
		return take_large(m, p, bytes == 0 ? 1 : bytes, align, cell);
	}
	return take_small(m, p, &w);
}

void *heap_take(struct map *m, uint64_t bytes, uint64_t align, uint64_t cell)
{
	struct patience p;

	return patience_begin(m, &p) ? take(m, &p, bytes, align, cell) : NULL;
}

void *heap_take_within(struct map *m, struct patience *p, uint64_t bytes, uint64_t cell)
{
	return take(m, p, bytes, 1, cell);
}

static int given(const struct map *m, int result)
{
	return map_intact(m) == 0 ? result : -1;
}

static int not_live(const struct map *m, const struct block *b)
{
	/* In a page that was lost nothing is live. */
	return map_intact(m) != 0 ? -1
				  : err_fail(QALLOC_ENOTLIVE, "%s: pointer: %x is not a live block",
					     m->path, (uint64_t)(uintptr_t)map_address(m, b->rel));
}

/* Where less than half would be wasted; small blocks are not worth the move. */
bool heap_stays(const struct map *m, const struct block *b, uint64_t size)
{
	return size <= b->bytes && (m->geo.items != 0 || b->bytes <= 64 || size > b->bytes / 2);
}

static int free_remote(struct map *m, const struct block *b)
{
	struct span s = map_span(m, b->span, b->cls);

	switch (span_free_remote(&s, b->item)) {
	case FREE_DONE:
		stream_hint(m, b->stream, b->cls, b->span);
		return map_intact(m);
	case FREE_BUSY:
		return err_fail(QALLOC_EBUSY, "%s: a word of the map changes without pause",
				m->path);
	default:
		return not_live(m, b);
	}
}

static inline int free_block(struct map *m, struct patience *p, const struct block *b)
{
	if (b->run) {
		return given(m, pool_free_run(m, p, b->span, NULL));
	}
	if ((m->flags & MAP_FLAG_ZERO_ON_FREE) != 0) {
		/* Before it is free: a kill at any point leaves no old bytes in a free block. */
		if (!block_is_live(m, b)) {
			return not_live(m, b);
		}
		memset(map_address(m, b->rel), 0, b->bytes);
	}
	if (b->stream == stream_home(m) && stream_enter_now(m, b->stream, p->me)) {
		bool freed = stream_free(m, b->stream, b->cls, b->span, b->item);

		stream_leave(m, b->stream);
		return freed ? map_intact(m) : not_live(m, b);
	}
	return free_remote(m, b);
}

int heap_free(struct map *m, const struct block *b)
{
	struct patience p;

	return patience_begin(m, &p) ? free_block(m, &p, b) : -1;
}

int heap_free_within(struct map *m, struct patience *p, const struct block *b)
{
	return free_block(m, p, b);
}

/* Inside the stream. */
static int free_handed_over(struct map *m, const struct block *b, const struct handover *h)
{
	if (shared_load(map_span_word(m, b->span)) != span_word_small(b->stream, b->cls) ||
	    !block_is_live(m, b)) {
		return not_live(m, b);
	}
	intent_begin(m, b->stream, m->geo.data_off + b->rel, h->cell);
	handover_do(m, h);
	if ((m->flags & MAP_FLAG_ZERO_ON_FREE) != 0) {
		memset(map_address(m, b->rel), 0, b->bytes);
	}
	bool freed = stream_free(m, b->stream, b->cls, b->span, b->item);

	if (!freed) {
		handover_undo(m, h, m->geo.data_off + b->rel);
	}
	intent_end(m, b->stream);
	return freed ? 0 : not_live(m, b);
}

int heap_free_from(struct map *m, const struct block *b, const struct handover *h,
		   struct patience *p)
{
	if (b->run) {
		return given(m, pool_free_run(m, p, b->span, h));
	}
	while (!stream_enter(m, b->stream, p)) {
		if (p->usec == 0 || stream_is_mine(m, b->stream, p->me)) {
			err_fail(QALLOC_EBUSY, "%s: the stream of the block could not be entered",
				 m->path);
			return given(m, -1);
		}
	}
	int result = free_handed_over(m, b, h);

	stream_leave(m, b->stream);
	return given(m, result);
}
