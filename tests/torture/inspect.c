/* SPDX-License-Identifier: MIT */
/*
 * The inspector of a map in which others died.  See torture.h.
 *
 *  - It uses the public interface alone, and works on a map that nobody else uses.
 *  - What it finds first ends it: later findings would be consequences.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../support.h"
#include "torture.h"

#define LIVE_MAX 4300u
#define CALL_USEC_MAX 2500000u
#define INSPECT_SECONDS 60u

struct live {
	char *at;
	size_t size;
	bool is_known;
};

struct inspection {
	struct world *w;
	void *map;
	const char *who;
	struct live live[LIVE_MAX];
	unsigned count;
	char *taken[LIVE_MAX];
	unsigned taken_count;
	size_t taken_size[LIVE_MAX];
};

__attribute__((format(printf, 2, 3))) static bool wrong(const struct inspection *i,
							const char *format, ...)
{
	char text[400];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	finding("%s: %s", i->who, text);
	return false;
}

static void note(const char *text, void *arg)
{
	snprintf(arg, 200, "%s", text);
}

static bool is_whole(const struct inspection *i, const char *when)
{
	char text[200] = "";

	if (qalloc_check(i->map, note, text) != 0) {
		return wrong(i, "%s: qalloc_check: %s (%s)", when, text, qalloc_errmsg());
	}
	return true;
}

static int collect(void *block, size_t size, void *arg)
{
	struct inspection *i = arg;

	if (i->count == LIVE_MAX) {
		return 1;
	}
	i->live[i->count++] = (struct live){.at = block, .size = size};
	return 0;
}

static struct live *find_live(struct inspection *i, const void *at)
{
	for (unsigned n = 0; n < i->count; n++) {
		if (i->live[n].at == at) {
			return &i->live[n];
		}
	}
	return NULL;
}

/* A copy of the block's first bytes in a block that nobody knows. */
static bool found_copied(const struct inspection *i, const struct known *k)
{
	for (unsigned n = 0; n < i->count; n++) {
		const struct live *l = &i->live[n];
		size_t size = l->size < k->size ? l->size : k->size;

		/* No call asks for less, and what a block has beyond that is not copied. */
		size = i->w->publishes && size > 256 ? 256 : size;

		if ((!l->is_known || i->w->publishes) && is_filled(l->at, size, k->seed)) {
			return true;
		}
	}
	return false;
}

/* Whether it still is the block that a call disposed of; zeroing may have begun. */
static bool may_be_the_old(const struct world *w, const struct known *k, const struct live *l)
{
	return l->size >= k->size && (base_zeroes(w->base) ? l->size <= 2 * k->size + 4096
							   : is_filled(k->at, k->size, k->seed));
}

/* What the cell refers to is live; and it is the old block, a new one, or none, as the call may. */
static bool cell_is_well(struct inspection *i)
{
	const struct world *w = i->w;
	void *value = w->cell != NULL ? *w->cell : qalloc_getroot(i->map, "published");
	struct live *l = value == NULL ? NULL : find_live(i, value);

	if (value == NULL) {
		return w->cell_gives || w->cell_old == NULL || wrong(i, "the cell is NULL");
	}
	if (l == NULL && value == w->cell_stale) {
		return true;
	}
	if (l == NULL) {
		return wrong(i, "the cell has %p, which is not live", value);
	}
	if (value != w->cell_old && !w->cell_takes) {
		return wrong(i, "the cell has %p, expected %p", value, w->cell_old);
	}
	l->is_known = true;
	return true;
}

static bool known_are_well(struct inspection *i)
{
	const struct world *w = i->w;
	unsigned unknown = 0;
	const void *kept = NULL;

	if (w->publishes) {
		if (!cell_is_well(i)) {
			return false;
		}
		kept = w->cell != NULL ? *w->cell : qalloc_getroot(i->map, "published");
	}

	for (unsigned n = 0; n < w->count; n++) {
		const struct known *k = &w->known[n];
		struct live *l = find_live(i, k->at);

		if (l == NULL && !k->moving) {
			return wrong(i, "block %u (%p, %zu bytes) is not live any more", n, k->at,
				     k->size);
		}
		if (l == NULL) {
			continue;
		}
		if (w->publishes && k->moving && k->at != kept && !w->inherited) {
			return wrong(i, "block %u is live, and its pointer is gone", n);
		}
		if (w->inherited && k->moving && !may_be_the_old(w, k, l)) {
			continue;
		}
		l->is_known = true;
		if (l->size < k->size) {
			return wrong(i, "block %u has %zu bytes, it had %zu", n, l->size, k->size);
		}
		if (!k->is_cell && !(k->moving && base_zeroes(w->base)) &&
		    !is_filled(k->at, k->size, k->seed)) {
			return wrong(i, "block %u (%p, %zu bytes) has changed", n, k->at, k->size);
		}
	}
	for (unsigned n = 0; n < i->count; n++) {
		unknown += !i->live[n].is_known;
		if (n > 0 && i->live[n - 1].at + i->live[n - 1].size > i->live[n].at) {
			return wrong(i, "blocks %p and %p overlap", (void *)i->live[n - 1].at,
				     (void *)i->live[n].at);
		}
	}
	if (unknown > w->unknown_max) {
		return wrong(i, "%u blocks are leaked, %u may be", unknown, w->unknown_max);
	}
	for (unsigned n = 0; w->content_moves && n < w->count; n++) {
		const struct known *k = &w->known[n];

		if (k->moving && find_live(i, k->at) == NULL && !found_copied(i, k)) {
			return wrong(i, "block %u is gone, and nothing has its content", n);
		}
	}
	return true;
}

/* In a map that zeroes on free: whatever is in no live block. */
static bool free_is_zero(struct inspection *i, const char *when)
{
	struct qalloc_info info = {.size = sizeof(info)};

	if (!base_zeroes(i->w->base)) {
		return true;
	}
	if (qalloc_mapinfo(i->map, &info) != 0) {
		return wrong(i, "qalloc_mapinfo: %s", qalloc_errmsg());
	}
	const char *from = (const char *)info.base + info.data_offset;
	const char *end = from + info.data_bytes;

	for (unsigned n = 0; n <= i->count; n++) {
		const char *to = n < i->count ? i->live[n].at : end;

		if (to > from && !is_zero(from, (size_t)(to - from))) {
			return wrong(i, "%s: free bytes in %p to %p are not zero", when,
				     (const void *)from, (const void *)to);
		}
		from = n < i->count ? to + i->live[n].size : end;
	}
	return true;
}

static bool roots_are_well(const struct inspection *i)
{
	const struct world *w = i->w;

	if (w->count > 0 && qalloc_getroot(i->map, "known") != w->known[0].at) {
		return wrong(i, "the root \"known\" is wrong: %s", qalloc_errmsg());
	}
	if (w->root_moves) {
		void *value = qalloc_getroot(i->map, "moving");

		if (value != w->root_values[0] && value != w->root_values[1]) {
			return wrong(i, "the root \"moving\" is %p, expected %p or %p", value,
				     w->root_values[0], w->root_values[1]);
		}
	}
	if (qalloc_setroot(i->map, "probe", NULL) != 0 || qalloc_delroot(i->map, "probe") != 0) {
		return wrong(i, "roots cannot be changed: %s", qalloc_errmsg());
	}
	return true;
}

/* Whether the call that began at `start` took longer than any may. */
static bool in_time(const struct inspection *i, uint64_t start, const char *call)
{
	uint64_t took = now_usec() - start;

	return took <= CALL_USEC_MAX ||
	       wrong(i, "%s took %llu ms", call, (unsigned long long)(took / 1000));
}

static bool take_all(struct inspection *i, size_t size)
{
	for (;;) {
		uint64_t start = now_usec();
		char *block = qalloc_malloc(i->map, size);

		if (!in_time(i, start, "malloc")) {
			return false;
		}
		if (block == NULL) {
			return qalloc_error() == QALLOC_EFULL ||
			       wrong(i, "malloc of %zu: %s", size, qalloc_errmsg());
		}
		if (i->taken_count == LIVE_MAX) {
			return wrong(i, "more blocks than the map has room for");
		}
		if (find_live(i, block) != NULL) {
			return wrong(i, "malloc of %zu: %p was handed out before", size,
				     (void *)block);
		}
		fill(block, size, 100000 + i->taken_count);
		i->taken_size[i->taken_count] = size;
		i->taken[i->taken_count++] = block;
	}
}

/* Every byte is given out once: patterns would otherwise overwrite each other. */
static bool everything_once(struct inspection *i)
{
	static const size_t sizes[] = {5000, 700, 48};
	bool is_static = base_is_static(i->w->base);

	for (size_t s = 0; s < (is_static ? 1 : sizeof(sizes) / sizeof(sizes[0])); s++) {
		if (!take_all(i, is_static ? ITEM_BYTES : sizes[s])) {
			return false;
		}
	}
	for (unsigned n = 0; n < i->taken_count; n++) {
		if (!is_filled(i->taken[n], i->taken_size[n], 100000 + n)) {
			return wrong(i, "block %p of %zu bytes was handed out twice",
				     (void *)i->taken[n], i->taken_size[n]);
		}
	}
	return is_whole(i, "when full");
}

/* All comes back: then the whole data area can be had as one block, or item by item. */
static bool everything_returns(struct inspection *i)
{
	struct qalloc_info info = {.size = sizeof(info)};
	uint64_t start = now_usec();

	i->count = 0;
	if (qalloc_walk(i->map, collect, i) != 0) {
		return wrong(i, "qalloc_walk: %s", qalloc_errmsg());
	}
	for (unsigned n = 0; n < i->count; n++) {
		if (qalloc_tryfree(i->live[n].at, i->map) != 0) {
			return wrong(i, "free of %p: %s", (void *)i->live[n].at, qalloc_errmsg());
		}
	}
	if (!in_time(i, start, "freeing everything") || !is_whole(i, "when empty") ||
	    qalloc_mapinfo(i->map, &info) != 0) {
		return false;
	}
	if (info.live_blocks != 0) {
		return wrong(i, "%llu blocks are live after all were freed",
			     (unsigned long long)info.live_blocks);
	}
	i->count = 0;
	if (!free_is_zero(i, "when empty")) {
		return false;
	}
	if (base_is_static(i->w->base)) {
		for (uint64_t n = 0; n < info.blocks_max; n++) {
			if (qalloc_malloc(i->map, 0) == NULL) {
				return wrong(i, "only %llu of %llu items can be had",
					     (unsigned long long)n,
					     (unsigned long long)info.blocks_max);
			}
		}
		return true;
	}
	void *all = qalloc_malloc(i->map, info.data_bytes);

	if (all == NULL || qalloc_tryfree(all, i->map) != 0) {
		return wrong(i, "the whole data area cannot be had: %s", qalloc_errmsg());
	}
	return is_whole(i, "at the end");
}

bool inspect(struct world *w, void *map, const char *who)
{
	static struct inspection i;

	i = (struct inspection){.w = w, .map = map, .who = who};
	if (!is_whole(&i, "as it was left")) {
		return false;
	}
	if (qalloc_walk(map, collect, &i) != 0) {
		return wrong(&i, "qalloc_walk: %s", qalloc_errmsg());
	}
	return known_are_well(&i) && free_is_zero(&i, "as it was left") && roots_are_well(&i) &&
	       everything_once(&i) && known_are_well(&i) && everything_returns(&i);
}

void inspect_file(struct world *w, const char *path, const char *who)
{
	fflush(stdout);
	pid_t pid = fork();

	if (pid == 0) {
		alarm(INSPECT_SECONDS);
		uint64_t start = now_usec();
		void *map = world_open(w, path);

		if (map == NULL) {
			finding("%s: cannot be opened: %s", who, qalloc_errmsg());
			_exit(0);
		}
		if (now_usec() - start > CALL_USEC_MAX) {
			finding("%s: opening took too long", who);
		}
		if (inspect(w, map, who) && qalloc_cleanup() != 0) {
			finding("%s: closing: %s", who, qalloc_errmsg());
		}
		_exit(0);
	}
	expect_well(pid, who);
}
