/* SPDX-License-Identifier: MIT */
/*
 * From a pointer to a block.  See block.h.
 */
#include "block.h"

#include <errno.h>
#include <string.h>

#include "pool.h"
#include "reserve.h"
#include "scan.h"

/* What the span's word says about the pointer. */
static enum qalloc_err locate_in(const struct geo *g, uint64_t word, struct block *b)
{
	switch (span_word_state(word)) {
	case SPAN_SMALL:
		break;
	case SPAN_RUN:
		b->run = true;
		b->bytes = span_word_length(word) * g->span_bytes;
		return b->rel == b->span * g->span_bytes ? QALLOC_OK : QALLOC_EINTERIOR;
	case SPAN_TAIL:
		return QALLOC_EINTERIOR;
	default:
		return QALLOC_ENOTLIVE;
	}
	b->cls = span_word_class(word);
	b->stream = span_word_stream(word);
	b->bytes = geo_block_bytes(g, b->cls);
	struct place place = geo_place(g, b->rel, b->span, b->cls);

	b->item = place.item;
	if (!place.start || place.item >= geo_span_items(g, b->span, b->cls)) {
		return QALLOC_EINTERIOR;
	}
	return QALLOC_OK;
}

enum qalloc_err block_locate(struct map *m, const void *address, struct block *b)
{
	bool broken = false;

	memset(b, 0, sizeof(*b));
	if (!map_rel(m, address, &b->rel)) {
		return QALLOC_EWILD;
	}
	b->span = geo_span_at(&m->geo, b->rel);
	if (!span_seen(m, b->span) && span_see(m, b->span) != 0) {
		return errno == ENOSPC || errno == EDQUOT ? QALLOC_ENOSPACE
		       : errno == ESTALE                  ? QALLOC_EREPLACED
							  : QALLOC_ESYSTEM;
	}
	uint64_t word = map_word_of(m, b->span, &broken);

	return broken ? QALLOC_ECORRUPT : locate_in(&m->geo, word, b);
}

int map_peek(struct map *m, uint64_t off, void *buf, size_t len)
{
	size_t got = 0;
	int fd = map_fd(m);

	memset(buf, 0, len);
	if (fd < 0) {
		return -1;
	}
	return os_read_at(fd, buf, len, off, &got) == 0
		       ? 0
		       : err_fail(QALLOC_ESYSTEM, "%s: reading what the dead left: %e", m->path);
}

int block_peek(struct map *m, uint64_t rel, struct block *b, bool *live)
{
	const struct geo *g = &m->geo;
	uint64_t word = 0, pair[2] = {0, 0};

	memset(b, 0, sizeof(*b));
	b->rel = rel;
	b->span = geo_span_at(g, rel);
	*live = false;
	if (map_peek(m, g->words_off + b->span * 8, &word, sizeof(word)) != 0) {
		return -1;
	}
	if (!span_word_valid(word, g->streams, g->classes, run_room(g, b->span)) ||
	    locate_in(g, word, b) != QALLOC_OK) {
		return 0;
	}
	if (b->run) {
		*live = true;
		return 0;
	}
	uint64_t pairs_off = g->pairs_off + b->span * g->span_pairs * PAIR_BYTES;

	if (map_peek(m, pairs_off + b->item / 64 * PAIR_BYTES, pair, sizeof(pair)) != 0) {
		return -1;
	}
	struct span one = {.pairs = pair, .items = 64};

	*live = span_item_live(&one, b->item % 64);
	return 0;
}

/* The same on copies, liveness included. */
static enum qalloc_err locate_copy(struct scan *s, const void *address, struct block *b)
{
	const struct geo *g = &s->m->geo;

	memset(b, 0, sizeof(*b));
	if (!map_rel(s->m, address, &b->rel)) {
		return QALLOC_EWILD;
	}
	b->span = geo_span_at(g, b->rel);
	uint64_t word = scan_word(s, b->span);

	if (!span_word_valid(word, g->streams, g->classes, run_room(g, b->span))) {
		return QALLOC_ECORRUPT;
	}
	enum qalloc_err rule = locate_in(g, word, b);

	if (rule == QALLOC_OK && !b->run) {
		struct span copy = {.pairs = scan_pairs(s, b->span),
				    .items = geo_span_items(g, b->span, b->cls)};

		rule = span_item_live(&copy, b->item) ? QALLOC_OK : QALLOC_ENOTLIVE;
	}
	return s->failed ? QALLOC_ESYSTEM : rule;
}

bool block_is_live(const struct map *m, const struct block *b)
{
	if (b->run) {
		return true; /* The head word says so. */
	}
	struct span s = map_span(m, b->span, b->cls);

	return span_item_live(&s, b->item);
}

int block_reserve(struct map *m, const struct block *b, uint64_t bytes)
{
	uint64_t count = bytes / m->geo.span_bytes + (bytes % m->geo.span_bytes != 0);

	if (!b->run || count == 0 || reserve_spans(m, b->span, count) == 0) {
		return 0;
	}
	return reserve_fail(m);
}

static int resolve_fail(const struct map *m, enum qalloc_err rule, const void *address)
{
	uint64_t at = (uint64_t)(uintptr_t)address;

	/* Zeros in the place of a page that was lost say nothing about the block. */
	if (map_intact(m) != 0) {
		return -1;
	}
	switch (rule) {
	case QALLOC_EWILD:
		return err_fail(rule, "%s: pointer: %x is outside the data area %x to %x", m->path,
				at, m->base + m->geo.data_off, m->base + m->geo.data_end);
	case QALLOC_EINTERIOR:
		return err_fail(rule, "%s: pointer: %x is not the start of a block", m->path, at);
	case QALLOC_ENOTLIVE:
		return err_fail(rule, "%s: pointer: %x is not a live block", m->path, at);
	case QALLOC_ECORRUPT:
		return err_fail(rule, "%s: the word of the span of %x makes no sense", m->path, at);
	default:
		return err_fail(rule, "%s: metadata for %x cannot be touched: %e", m->path, at);
	}
}

int block_resolve(struct map *m, const void *address, struct block *b)
{
	enum qalloc_err rule = block_locate(m, address, b);

	if (rule == QALLOC_OK && !block_is_live(m, b)) {
		rule = QALLOC_ENOTLIVE;
	}
	if (rule != QALLOC_OK) {
		return resolve_fail(m, rule, address);
	}
	/* A run is one only with all its tails: a length from the file is not believed. */
	return b->run ? pool_see_run(m, b->span, b->bytes / m->geo.span_bytes) : 0;
}

int block_resolve_copy(struct map *m, const void *address, struct block *b)
{
	struct scan s;

	if (scan_begin(&s, m) != 0) {
		return -1;
	}
	enum qalloc_err rule = locate_copy(&s, address, b);

	scan_end(&s);
	return rule == QALLOC_OK ? 0 : resolve_fail(m, rule, address);
}
