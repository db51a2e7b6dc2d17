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
 * user space.  The theorems of inside.c need no more of a geometry: so what the library
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
