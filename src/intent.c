/* SPDX-License-Identifier: MIT */
/*
 * Intents.  See intent.h.
 */
#include "intent.h"

#include "pool.h"
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
	bool broken = false;
	uint64_t span = geo_span_at(&m->geo, cell - m->geo.data_off);

	if (!span_seen(m, span) && span_see(m, span) != 0) {
		return -1;
	}
	/* Of a run the data are seen by nobody but those who use them. */
	return span_word_state(map_word_of(m, span, &broken)) == SPAN_SMALL
		       ? 0
		       : reserve_data(m, cell, sizeof(uint64_t));
}

/* Metadata has offsets, the program's own data has pointers.  A pointer to the base is no NULL. */
static uint64_t decode(const struct map *m, uint64_t cell, uint64_t value)
{
	if (!in_data(m, cell) || value == 0) {
		return value;
	}
	return value == m->base ? UINT64_MAX : value - m->base;
}

uint64_t cell_get(const struct map *m, uint64_t cell)
{
	return decode(m, cell, shared_load(map_word(m, cell)));
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
	return map_stream_word(m, stream, STREAM_INTENT);
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

int orphan_peek(struct map *m, uint64_t off, uint64_t cell, struct block *b, bool *orphan)
{
	uint64_t value = 0;

	*orphan = false;
	if (!cell_valid(m, cell) || !in_data(m, off)) {
		return 0;
	}
	if (block_peek(m, off - m->geo.data_off, b, orphan) != 0) {
		return -1;
	}
	if (*orphan) {
		if (map_peek(m, cell, &value, sizeof(value)) != 0) {
			return -1;
		}
		*orphan = decode(m, cell, value) != off;
	}
	return 0;
}

/* Inside the stream: a live block of it, to which nothing refers.  Its words are there. */
static int drop_block(struct map *m, const struct block *b)
{
	uint64_t at = m->geo.data_off + b->rel;

	if (reserve_tables(m, b->span, 1) != 0) {
		return reserve_fail(m);
	}
	bool same = shared_load(map_span_word(m, b->span)) == span_word_small(b->stream, b->cls);

	if (map_intact(m) != 0) {
		return -1;
	}
	if (!same) {
		return 0;
	}
	if ((m->flags & MAP_FLAG_ZERO_ON_FREE) != 0 && pool_wipe(m, at, at + b->bytes) != 0) {
		return -1;
	}
	struct span s = map_span(m, b->span, b->cls);

	(void)span_free_local(&s, b->item);
	return 0;
}

int intent_settle(struct map *m, uint32_t stream)
{
	uint64_t block = shared_load(intent_of(m, stream));
	uint64_t cell = shared_load(intent_of(m, stream) + 1);
	bool orphan = false;
	struct block b;

	if (block == 0) {
		return 0;
	}
	if (orphan_peek(m, block, cell, &b, &orphan) != 0) {
		return -1;
	}
	if (orphan && !b.run && b.stream == stream && drop_block(m, &b) != 0) {
		return -1;
	}
	intent_end(m, stream);
	return 0;
}

uint64_t record_claim(struct map *m, uint64_t me, uint64_t cell)
{
	for (uint32_t i = 0; i < m->geo.records; i++) {
		/* Threads and processes begin apart, so that they seldom meet. */
		uint32_t begin = (uint32_t)me + owner_slot(me) * 8;
		uint64_t record = record_at(m, (i + begin) % m->geo.records);

		if (shared_cas(record_word(m, record, RECORD_OWNER), 0, me)) {
			cell_set(m, record, 0);
			own_store(record_word(m, record, RECORD_CELL), cell);
			return record;
		}
	}
	return CELL_NONE;
}

void record_release(struct map *m, uint64_t record)
{
	cell_set(m, record, 0);
	own_store(record_word(m, record, RECORD_OWNER), 0);
}

void intents_forget(struct map *m)
{
	for (uint32_t stream = 0; stream < m->geo.streams; stream++) {
		intent_end(m, stream);
	}
	for (uint32_t i = 0; i < m->geo.records; i++) {
		record_release(m, record_at(m, i));
	}
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
