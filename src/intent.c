/* SPDX-License-Identifier: MIT */
/*
 * Intents.  See intent.h.
 */
#include "intent.h"

#include <string.h>

#include "reserve.h"

/* Names a process slot that no process ever had: dead from the beginning. */
#define OWNER_ABANDONED 1u

static uint64_t *record_word(const struct map *m, uint64_t record, uint32_t field)
{
	return map_word(m, record - RECORD_BLOCK + field);
}

static uint64_t record_at(const struct map *m, uint32_t i)
{
	return m->geo.records_off + (uint64_t)i * RECORD_BYTES + RECORD_BLOCK;
}

static bool in_data(const struct map *m, uint64_t off)
{
	return off >= m->geo.data_off && off < m->geo.data_end;
}

bool cell_valid(const struct map *m, uint64_t off)
{
	uint64_t records_end = record_at(m, m->geo.records) - RECORD_BLOCK;

	if (off % 8 != 0) {
		return false;
	}
	if (off >= ROOTS_OFF && off < ROOTS_OFF + QALLOC_ROOTS_MAX * ROOT_BYTES) {
		return (off - ROOTS_OFF) % ROOT_BYTES == ROOT_VALUE;
	}
	if (off >= m->geo.records_off && off < records_end) {
		return (off - m->geo.records_off) % RECORD_BYTES == RECORD_BLOCK;
	}
	return in_data(m, off) && m->geo.data_end - off >= 8;
}

int cell_see(struct map *m, uint64_t cell)
{
	return in_data(m, cell) ? reserve_data(m, cell, 8) : 0;
}

uint64_t cell_get(const struct map *m, uint64_t cell)
{
	uint64_t value = shared_load(map_word(m, cell));

	/* Metadata has offsets, the program's own data has pointers. */
	return in_data(m, cell) && value != 0 ? value - m->base : value;
}

void cell_set(const struct map *m, uint64_t cell, uint64_t block)
{
	own_store(map_word(m, cell), in_data(m, cell) && block != 0 ? m->base + block : block);
}

void handover_do(const struct map *m, const struct handover *h)
{
	cell_set(m, h->cell, h->fresh);
	if (h->record != CELL_NONE) {
		cell_set(m, h->record, 0);
	}
}

void handover_undo(const struct map *m, const struct handover *h, uint64_t block)
{
	if (h->record != CELL_NONE) {
		cell_set(m, h->record, h->fresh);
	}
	cell_set(m, h->cell, block);
}

static uint64_t *intent_of(const struct map *m, uint32_t stream)
{
	return map_word(m, STREAMS_OFF + (uint64_t)stream * STREAM_BYTES + STREAM_INTENT);
}

void intent_begin(struct map *m, uint32_t stream, uint64_t block, uint64_t cell)
{
	uint64_t *intent = intent_of(m, stream);

	own_store(intent + 1, cell);
	own_store(intent, block);
}

void intent_end(struct map *m, uint32_t stream)
{
	own_store(intent_of(m, stream), 0);
}

bool intent_take(struct map *m, uint32_t stream, const struct span *s, uint32_t item, uint64_t rel,
		 uint64_t cell)
{
	uint64_t block = m->geo.data_off + rel;

	if (span_item_live(s, item)) {
		return false;
	}
	intent_begin(m, stream, block, cell);
	bool taken = span_take_item(s, item);

	if (taken) {
		cell_set(m, cell, block);
	}
	intent_end(m, stream);
	return taken;
}

/* The live small block of this stream that an intent may name. */
struct named {
	struct span span;
	uint64_t rel;
	uint64_t bytes;
	uint32_t item;
};

static bool find_named(const struct map *m, uint32_t stream, uint64_t rel, struct named *n)
{
	bool broken = false;
	uint64_t span = geo_span_at(&m->geo, rel);
	uint64_t word = map_word_of(m, span, &broken);
	uint32_t cls = span_word_class(word);

	if (span_word_state(word) != SPAN_SMALL || span_word_stream(word) != stream) {
		return false;
	}
	struct place place = geo_place(&m->geo, rel, span, cls);

	n->span = map_span(m, span, cls);
	n->rel = rel;
	n->bytes = geo_block_bytes(&m->geo, cls);
	n->item = place.item;
	return place.start && span_item_live(&n->span, place.item);
}

int intent_settle(struct map *m, uint32_t stream)
{
	uint64_t block = shared_load(intent_of(m, stream));
	uint64_t cell = shared_load(intent_of(m, stream) + 1);
	struct named n;

	if (block == 0) {
		return 0;
	}
	if (in_data(m, block) && cell_valid(m, cell)) {
		uint64_t rel = block - m->geo.data_off;

		if (span_see(m, geo_span_at(&m->geo, rel)) != 0 || cell_see(m, cell) != 0) {
			return -1;
		}
		if (find_named(m, stream, rel, &n) && cell_get(m, cell) != block) {
			if ((m->flags & MAP_FLAG_ZERO_ON_FREE) != 0) {
				memset(map_address(m, rel), 0, n.bytes);
			}
			(void)span_free_local(&n.span, n.item);
		}
	}
	intent_end(m, stream);
	return 0;
}

uint64_t record_claim(struct map *m, uint64_t me, uint64_t cell)
{
	for (uint32_t i = 0; i < m->geo.records; i++) {
		/* Threads begin apart, so that they seldom meet. */
		uint64_t record = record_at(m, (i + (uint32_t)me) % m->geo.records);

		if (shared_cas(record_word(m, record, RECORD_OWNER), 0, me)) {
			own_store(record_word(m, record, RECORD_CELL), cell);
			return record;
		}
	}
	return CELL_NONE;
}

void record_release(struct map *m, uint64_t record)
{
	own_store(record_word(m, record, RECORD_OWNER), 0);
}

void record_abandon(struct map *m, uint64_t record)
{
	own_store(record_word(m, record, RECORD_OWNER), OWNER_ABANDONED);
}

uint64_t record_next_dead(struct map *m, uint64_t me, uint32_t *i, uint64_t *cell)
{
	for (; *i < m->geo.records; (*i)++) {
		uint64_t record = record_at(m, *i);
		uint64_t *owner = record_word(m, record, RECORD_OWNER);
		uint64_t found = shared_load(owner);

		if (found != 0 && owner_is_dead(m, found) && shared_cas(owner, found, me)) {
			*cell = shared_load(record_word(m, record, RECORD_CELL));
			return record;
		}
	}
	return CELL_NONE;
}
