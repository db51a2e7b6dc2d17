/* SPDX-License-Identifier: MIT */
/*
 * Looking at a map as a whole: every live block, and the numbers.
 */
#include <string.h>

#include "run.h"
#include "scan.h"

/* What is live in one span of small blocks. */
static int walk_small(struct scan *s, uint64_t span, uint32_t cls, qalloc_block_fn *visit,
		      void *arg)
{
	const struct geo *g = &s->m->geo;
	struct span copy = {.pairs = scan_pairs(s, span), .items = geo_span_items(g, span, cls)};
	uint32_t item = span_next_live(&copy, 0);

	while (item != ITEM_NONE) {
		void *block = map_address(s->m, geo_item_rel(g, span, cls, item));
		int stop = visit(block, (size_t)geo_block_bytes(g, cls), arg);

		if (stop != 0) {
			return stop;
		}
		item = item + 1 < copy.items ? span_next_live(&copy, item + 1) : ITEM_NONE;
	}
	return 0;
}

static int walk_span(struct scan *s, uint64_t span, uint64_t word, qalloc_block_fn *visit,
		     void *arg)
{
	const struct geo *g = &s->m->geo;

	if (!span_word_valid(word, g->streams, g->classes, run_room(g, span))) {
		return 0; /* qalloc_check() tells; nothing can be live there. */
	}
	switch (span_word_state(word)) {
	case SPAN_SMALL:
		return walk_small(s, span, span_word_class(word), visit, arg);
	case SPAN_RUN:
		return visit(map_address(s->m, span * g->span_bytes),
			     (size_t)(span_word_length(word) * g->span_bytes), arg);
	default:
		return 0;
	}
}

int qalloc_walk(void *map, qalloc_block_fn *visit, void *arg)
{
	struct map *m = map_of(map);
	struct scan s;
	uint64_t span = 0, word = 0;
	int stop = 0;

	if (m == NULL) {
		return -1;
	}
	if (visit == NULL) {
		return err_fail(QALLOC_EARGUMENT, "visit: NULL, wanted a function");
	}
	if (scan_begin(&s, m) != 0) {
		return -1;
	}
	while (stop == 0 && scan_next(&s, &span, &word)) {
		stop = walk_span(&s, span, word, visit, arg);
	}
	scan_end(&s);
	return stop == 0 && (s.failed || map_intact(m) != 0) ? -1 : stop;
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
	info->processes = map_processes(m, QALLOC_PROCESSES_MAX);
	info->left = m->left;
	info->reserves = __atomic_load_n(&m->reserves, __ATOMIC_RELAXED);
	return 0;
}
