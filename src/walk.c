/* SPDX-License-Identifier: MIT */
/*
 * Looking at a map as a whole: every live block, and the numbers.
 */
#include <errno.h>
#include <string.h>

#include "block.h"
#include "run.h"
#include "scan.h"

/* A walk, and the blocks that it passes over, in the order of offsets. */
struct walk {
	struct scan scan;
	qalloc_block_fn *visit;
	void *arg;
	uint64_t *hidden; /* offsets in the file */
	uint64_t hidden_count, hidden_next, hidden_bytes;
};

/* By insertion: they are few, or somebody made them up, and then at most RECORDS_MAX. */
static void hide(struct walk *w, uint64_t off)
{
	uint64_t i = w->hidden_count++;

	for (; i > 0 && w->hidden[i - 1] > off; i--) {
		w->hidden[i] = w->hidden[i - 1];
	}
	w->hidden[i] = off;
}

/*
 * What a thread record holds belongs to a call that has not handed it over, and if the call was
 * killed it is freed in the end.  Who got to know such a block here and freed it before would
 * have whoever gets it next lose it.  The records become the list in place.
 */
static int hide_records(struct walk *w)
{
	struct map *m = w->scan.m;
	uint64_t bytes = (uint64_t)m->geo.records * RECORD_BYTES;

	w->hidden_bytes = page_up(bytes);
	w->hidden = os_map_private(w->hidden_bytes);
	if (w->hidden == NULL) {
		return err_fail(QALLOC_ESYSTEM, "%s: private memory: %e", m->path);
	}
	if (map_peek(m, m->geo.records_off, w->hidden, bytes) != 0) {
		return -1;
	}
	for (uint64_t i = 0; i < m->geo.records; i++) {
		const uint64_t *record = w->hidden + i * (RECORD_BYTES / 8);
		uint64_t owner = record[RECORD_OWNER / 8], block = record[RECORD_BLOCK / 8];

		if (owner != 0 && block != 0) {
			hide(w, block);
		}
	}
	return 0;
}

static bool is_hidden(struct walk *w, uint64_t off)
{
	while (w->hidden_next < w->hidden_count && w->hidden[w->hidden_next] < off) {
		w->hidden_next++;
	}
	return w->hidden_next < w->hidden_count && w->hidden[w->hidden_next] == off;
}

static int walk_block(struct walk *w, uint64_t rel, uint64_t bytes)
{
	const struct map *m = w->scan.m;

	return is_hidden(w, m->geo.data_off + rel)
		       ? 0
		       : w->visit(map_address(m, rel), (size_t)bytes, w->arg);
}

/* What is live in one span of small blocks. */
static int walk_small(struct walk *w, uint64_t span, uint32_t cls)
{
	const struct geo *g = &w->scan.m->geo;
	struct span copy = {.pairs = scan_pairs(&w->scan, span),
			    .items = geo_span_items(g, span, cls)};
	uint32_t item = span_next_live(&copy, 0);

	while (item != ITEM_NONE) {
		int stop = walk_block(w, geo_item_rel(g, span, cls, item), geo_block_bytes(g, cls));

		if (stop != 0) {
			return stop;
		}
		item = item + 1 < copy.items ? span_next_live(&copy, item + 1) : ITEM_NONE;
	}
	return 0;
}

static int walk_span(struct walk *w, uint64_t span, uint64_t word)
{
	const struct geo *g = &w->scan.m->geo;

	if (!span_word_valid(word, g->streams, g->classes, run_room(g, span))) {
		return 0; /* qalloc_check() tells; nothing can be live there. */
	}
	switch (span_word_state(word)) {
	case SPAN_SMALL:
		return walk_small(w, span, span_word_class(word));
	case SPAN_RUN:
		return walk_block(w, span * g->span_bytes, span_word_length(word) * g->span_bytes);
	default:
		return 0;
	}
}

static int walk_all(struct walk *w)
{
	uint64_t span = 0, word = 0;
	int stop = hide_records(w);

	while (stop == 0 && scan_next(&w->scan, &span, &word)) {
		stop = walk_span(w, span, word);
	}
	return stop;
}

int qalloc_walk(void *map, qalloc_block_fn *visit, void *arg)
{
	struct map *m = map_of(map);
	struct walk w = {.visit = visit, .arg = arg};
	int saved = errno;

	if (m == NULL) {
		return -1;
	}
	if (visit == NULL) {
		return err_fail(QALLOC_EARGUMENT, "visit: NULL, wanted a function");
	}
	if (scan_begin(&w.scan, m) != 0) {
		return -1;
	}
	int stop = walk_all(&w);

	if (w.hidden != NULL) {
		os_unmap(w.hidden, w.hidden_bytes);
	}
	scan_end(&w.scan);
	if (stop != 0) {
		return stop;
	}
	if (w.scan.failed || map_intact(m) != 0) {
		return -1;
	}
	errno = saved; /* Whatever the visitor left. */
	return 0;
}

/* Free spans lie between the spans that are not; holes in the file are free as well. */
struct census {
	uint64_t live_blocks, live_bytes;
	uint64_t free_bytes, longest; /* bytes; the last span of a static map may be shorter */
	uint64_t next;                /* the first span that is not counted yet */
};

static void census_free(struct census *c, const struct map *m, uint64_t until)
{
	uint64_t data = m->geo.data_end - m->geo.data_off;
	uint64_t from = min_u64(c->next * m->geo.span_bytes, data);
	uint64_t to = min_u64(until * m->geo.span_bytes, data);
	uint64_t length = to > from ? to - from : 0;

	c->free_bytes += length;
	c->longest = length > c->longest ? length : c->longest;
}

static int census_take(struct census *c, struct map *m)
{
	const struct geo *g = &m->geo;
	struct scan s;
	uint64_t span = 0, word = 0;

	memset(c, 0, sizeof(*c));
	if (scan_begin(&s, m) != 0) {
		return -1;
	}
	while (scan_next(&s, &span, &word)) {

		census_free(c, m, span);
		c->next = c->next > span + 1 ? c->next : span + 1;
		if (!span_word_valid(word, g->streams, g->classes, run_room(g, span))) {
			continue;
		}
		if (span_word_state(word) == SPAN_RUN) {
			c->live_blocks++;
			c->live_bytes += span_word_length(word) * g->span_bytes;
		} else if (span_word_state(word) == SPAN_SMALL) {
			uint32_t cls = span_word_class(word);
			struct span copy = {.pairs = scan_pairs(&s, span),
					    .items = geo_span_items(g, span, cls)};
			uint64_t live = span_live_count(&copy);

			c->live_blocks += live;
			c->live_bytes += live * geo_block_bytes(g, cls);
		}
	}
	census_free(c, m, g->spans);
	scan_end(&s);
	return s.failed ? -1 : 0;
}

int qalloc_mapinfo(void *map, struct qalloc_info *info)
{
	struct map *m = map_of(map);
	struct census c;
	struct os_file file;

	if (m == NULL) {
		return -1;
	}
	if (info == NULL || info->size < sizeof(*info)) {
		return err_fail(QALLOC_EARGUMENT, "info: size: %u, wanted %u",
				info == NULL ? 0 : (uint64_t)info->size, (uint64_t)sizeof(*info));
	}
	int fd = map_fd(m);

	if (fd < 0 || census_take(&c, m) != 0) {
		return -1;
	}
	if (os_identify(fd, &file) != 0) {
		return err_fail(QALLOC_ESYSTEM, "%s: fstat: %e", m->path);
	}
	uint64_t processes = map_processes(m, QALLOC_PROCESSES_MAX);

	if (processes == PROCESSES_UNKNOWN) {
		return err_fail(QALLOC_ESYSTEM, "%s: counting who is attached: %e", m->path);
	}
	size_t size = info->size;

	memset(info, 0, sizeof(*info));
	info->size = size;
	info->kind = m->params.kind;
	info->version = FORMAT_VERSION;
	info->flags = ((m->flags & MAP_FLAG_ZERO_ON_FREE) != 0 ? QALLOC_ZERO_ON_FREE : 0) |
		      (m->readonly ? QALLOC_READONLY : 0) | (m->guarded ? QALLOC_GUARD : 0);
	info->base = (void *)(uintptr_t)m->base;
	info->filesize = m->geo.file_size;
	info->itemsize = m->params.item_size;
	info->streams = m->geo.streams;
	info->data_offset = m->geo.data_off;
	info->data_bytes = m->geo.data_end - m->geo.data_off;
	info->metadata_bytes = m->geo.meta_end;
	info->span_bytes = m->geo.span_bytes;
	info->blocks_max = m->geo.items;
	info->live_blocks = c.live_blocks;
	info->live_bytes = c.live_bytes;
	info->free_bytes = c.free_bytes;
	info->largest_free = c.longest;
	info->disk_bytes = file.disk_bytes;
	info->fragmentation = c.free_bytes == 0 ? 0 : 1000 - 1000 * c.longest / c.free_bytes;
	info->processes = processes;
	info->left = m->left;
	info->reserves = __atomic_load_n(&m->reserves, __ATOMIC_RELAXED);
	return 0;
}
