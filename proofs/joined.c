/* SPDX-License-Identifier: MIT */
/*
 * What the contracts of the header and the geometry say together.  Never compiled into the library:
 * each function is a theorem, proved from the contracts of those that it calls.
 */
#include "../src/geo.h"
#include "../src/hdr.h"

#include "number_ghost.acsl"

/* Encode, then decode: accepted, and every field is back. */
/*@ requires mem: \valid_read(p) && \valid(bytes + (0 .. HDR_BYTES - 1)) && \valid(out);
    requires apart: \separated(p, bytes + (0 .. HDR_BYTES - 1), out);
    requires params: params_valid(p);
    terminates \true;
    exits \false;
    assigns *out, bytes[0 .. HDR_BYTES - 1];
    ensures accepted: \result == QALLOC_OK;
    ensures values: out->kind == p->kind && out->streams == p->streams && out->base == p->base &&
              out->file_size == p->file_size && out->item_size == p->item_size &&
              out->flags == p->flags;
    ensures rest: out->compat == p->compat && out->ro_compat == p->ro_compat &&
              out->uuid[0] == p->uuid[0] && out->uuid[1] == p->uuid[1] &&
              out->created == p->created; */
enum qalloc_err encode_then_decode(const struct params *p, uint8_t *bytes, struct params *out)
{
	struct geo g;

	geo_compute(p, &g);
	/*@ assert size: p->file_size >= HDR_BYTES; */
	hdr_encode(p, bytes);
	return hdr_decode(bytes, HDR_BYTES, p->file_size, out);
}

/* Block to address to block. */
/*@ requires cls: \valid_read(g) && class_in(g, cls);
    requires item: span < g->spans && item < block_count(g, span, cls);
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures same: \result.start && \result.span == span && \result.item == item; */
struct place address_and_back(const struct geo *g, uint64_t span, uint32_t cls, uint32_t item)
{
	uint64_t rel = geo_item_rel(g, span, cls, item);
	uint64_t found = geo_span_at(g, rel);

	/*@ ghost quotient_is_one(rel, g->span_bytes, found, span); */
	return geo_place(g, rel, found, cls);
}

/* Two blocks of one span, or of two, have no byte in common. */
/*@ requires mem: \valid_read(g) && class_in(g, cls1) && class_in(g, cls2);
    requires one: span1 < g->spans && item1 < block_count(g, span1, cls1);
    requires two: span2 < g->spans && item2 < block_count(g, span2, cls2);
    requires other: span1 < span2 || (span1 == span2 && cls1 == cls2 && item1 < item2);
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures before: \result; */
bool blocks_are_disjoint(const struct geo *g, uint64_t span1, uint32_t cls1, uint32_t item1,
			 uint64_t span2, uint32_t cls2, uint32_t item2)
{
	uint64_t first = geo_item_rel(g, span1, cls1, item1);
	uint64_t second = geo_item_rel(g, span2, cls2, item2);
	uint64_t bytes = geo_block_bytes(g, cls1);

	/*@ ghost if (span1 < span2) product_grows(span1 + 1, span2, g->span_bytes); */
	/*@ ghost if (span1 == span2) product_grows(item1 + 1, item2, bytes); */
	return first + bytes <= second;
}

/* Any bytes of any length: a block of a map that is accepted lies inside the file, in user space. */
/*@ requires mem: \valid_read(bytes + (0 .. len - 1));
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures inside: \result; */
bool blocks_are_inside(const uint8_t *bytes, size_t len, uint64_t file_size, uint64_t span,
		       uint32_t cls, uint32_t item)
{
	struct params p;
	struct geo g;

	if (hdr_decode(bytes, len, file_size, &p) != QALLOC_OK)
		return true;
	geo_compute(&p, &g);
	if (cls >= g.classes || span >= g.spans || item >= geo_span_items(&g, span, cls))
		return true;
	uint64_t rel = geo_item_rel(&g, span, cls, item);

	/*@ assert space: p.base + file_size <= ADDR_END; */
	return g.data_off + rel + geo_block_bytes(&g, cls) <= file_size;
}

/*
 * Any bytes of any length: the geometry of a map that is accepted is valid, and the file lies in
 * user space.  The theorems behind this one need no more of a geometry: so what the library
 * computes the address of lies inside the mapping.
 */
/*@ requires mem: \valid_read(bytes + (0 .. len - 1)) && \valid(g);
    requires apart: \separated(g, bytes + (0 .. len - 1));
    terminates \true;
    exits \false;
    assigns *g;
    ensures valid: \result ==> geo_valid(g);
    ensures size: \result ==> g->file_size == file_size; */
bool accepted(const uint8_t *bytes, size_t len, uint64_t file_size, struct geo *g)
{
	struct params p;

	if (hdr_decode(bytes, len, file_size, &p) != QALLOC_OK)
		return false;
	/*@ assert up: file_size <= up(file_size, GRANULE); */
	/*@ assert space: p.base % GRANULE == 0 && p.base + file_size <= ADDR_END; */
	return geo_compute(&p, g) == QALLOC_OK;
}

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
