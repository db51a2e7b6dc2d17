/* SPDX-License-Identifier: MIT */
/*
 * Where things lie in a map whose geometry is valid, whatever its bytes say.  Never compiled into the
 * library: each function is a theorem.  joined.c has the blocks, and that what is accepted has
 * a valid geometry.
 */
#include "../src/geo.h"

#include "number_ghost.acsl"

/* `bytes` bytes at `off` lie in [from, to), all of which is in the file; and they are aligned. */
#define lies_in(g, off, bytes, from, to)                                                           \
	((from) <= (off) && (off) + (bytes) <= (to) && (to) <= (g)->file_size && (off) % 8 == 0)

/*@ ghost
  /@ requires from: from % 8 == 0;
     requires sum: off == from + 8 * count;
     terminates \true;
     exits \false;
     assigns \nothing;
     ensures aligned: off % 8 == 0; @/
  static void stays_aligned(uint64_t off, uint64_t from, uint64_t count) { } */

/* Roots and process slots lie at constant offsets, before all that is computed. */
/*@ requires geo: \valid_read(g) && geo_valid(g);
    requires root: root < QALLOC_ROOTS_MAX;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures inside: lies_in(g, \result, ROOT_BYTES, ROOTS_OFF, SLOTS_OFF); */
uint64_t root_is_inside(const struct geo *g, uint32_t root)
{
	(void)g;
	return ROOTS_OFF + (uint64_t)root * ROOT_BYTES;
}

/*@ requires geo: \valid_read(g) && geo_valid(g);
    requires slot: slot < QALLOC_PROCESSES_MAX;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures inside: lies_in(g, \result, SLOT_BYTES, SLOTS_OFF, HDR_BACKUP_OFF); */
uint64_t slot_is_inside(const struct geo *g, uint32_t slot)
{
	(void)g;
	return SLOTS_OFF + (uint64_t)slot * SLOT_BYTES;
}

/*@ requires geo: \valid_read(g) && geo_valid(g);
    requires stream: stream < g->streams;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures inside: lies_in(g, \result, STREAM_BYTES, STREAMS_OFF, g->records_off); */
uint64_t stream_is_inside(const struct geo *g, uint32_t stream)
{
	(void)g;
	return STREAMS_OFF + (uint64_t)stream * STREAM_BYTES;
}

/*@ requires geo: \valid_read(g) && geo_valid(g);
    requires record: record < g->records;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures inside: lies_in(g, \result, RECORD_BYTES, g->records_off, g->words_off); */
uint64_t record_is_inside(const struct geo *g, uint32_t record)
{
	return g->records_off + (uint64_t)record * RECORD_BYTES;
}

/*@ requires geo: \valid_read(g) && geo_valid(g);
    requires span: span < g->spans;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures inside: lies_in(g, \result, 8, g->words_off, g->pairs_off); */
uint64_t word_is_inside(const struct geo *g, uint64_t span)
{
	return g->words_off + span * 8;
}

/*@ requires geo: \valid_read(g) && geo_valid(g);
    requires span: span < g->spans;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures inside: lies_in(g, \result, g->span_pairs * PAIR_BYTES, g->pairs_off, g->meta_end); */
uint64_t pairs_are_inside(const struct geo *g, uint64_t span)
{
	/*@ ghost uint64_t each = (uint64_t)g->span_pairs * PAIR_BYTES; */
	/*@ ghost product_grows(span + 1, g->table_spans, each); */
	/*@ ghost product_joins(each, g->span_pairs, PAIR_BYTES, span); */
	/*@ ghost product_grows(0, span, each); */
	/*@ assert end: span * each + each <= g->table_spans * each; */
	uint64_t off = g->pairs_off + span * g->span_pairs * PAIR_BYTES;

	/*@ ghost stays_aligned(off, g->pairs_off, 2 * (span * g->span_pairs)); */
	return off;
}

/* A run of `len` spans, of a dynamic map: run_length() and run_find() promise what is required. */
/*@ requires geo: \valid_read(g) && geo_valid(g) && g->item_bytes == 0;
    requires run: 1 <= len && first + len <= g->spans;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures inside: lies_in(g, \result, len * g->span_bytes, g->data_off, g->data_end); */
uint64_t run_is_inside(const struct geo *g, uint64_t first, uint64_t len)
{
	/*@ ghost product_grows(first + len, g->spans, g->span_bytes); */
	/*@ assert sum: (first + len) * g->span_bytes ==
	      first * g->span_bytes + len * g->span_bytes; */
	/*@ ghost product_grows(0, first, g->span_bytes); */
	/*@ ghost uint64_t eighth = g->span_bytes / 8; */
	/*@ assert eighth: eighth * 8 == g->span_bytes; */
	/*@ ghost product_joins(g->span_bytes, eighth, 8, first); */
	/*@ ghost product_grows(0, first, eighth); */
	uint64_t off = g->data_off + first * g->span_bytes;

	/*@ ghost stays_aligned(off, g->data_off, first * eighth); */
	return off;
}
