/* SPDX-License-Identifier: MIT */
/*
 * Addresses to blocks and back, for every malloc and free.
 *
 *  - Trusts that the geometry is valid; the address may be any in the data area, the class and the
 *    span are those that its span word says.
 *  - A block lies inside its span and its address gives it back, so blocks are disjoint.
 */
#include "geo.h"
#include "size.h"

#include "../proofs/number_ghost.acsl"
#include "../proofs/geo_ghost.acsl"

uint64_t geo_block_bytes(const struct geo *g, uint32_t cls)
{
	/*@ assert some: g->item_bytes == 0 ==> 16 <= class_size(cls) <= g->span_bytes / 2; */
	return g->item_bytes != 0 ? g->item_bytes : class_bytes(cls);
}

uint32_t geo_span_items(const struct geo *g, uint64_t span, uint32_t cls)
{
	/*@ assert some: g->item_bytes == 0 ==> 16 <= class_size(cls) <= g->span_bytes / 2; */
	if (g->item_bytes == 0)
		return (uint32_t)g->span_bytes / class_bytes(cls);
	if (span + 1 < g->spans)
		return g->span_items;
	/*@ assert last: span == g->spans - 1; */
	return (uint32_t)(g->items - span * g->span_items);
}

/* A function of its own because the provers need the shift in a variable. */
/*@ requires range: 12 <= shift <= 16;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures shift12: shift == 12 ==> \result * 4096 <= rel < \result * 4096 + 4096;
    ensures shift13: shift == 13 ==> \result * 8192 <= rel < \result * 8192 + 8192;
    ensures shift14: shift == 14 ==> \result * 16384 <= rel < \result * 16384 + 16384;
    ensures shift15: shift == 15 ==> \result * 32768 <= rel < \result * 32768 + 32768;
    ensures shift16: shift == 16 ==> \result * 65536 <= rel < \result * 65536 + 65536; */
static inline uint64_t shifted(uint64_t rel, uint32_t shift)
{
	/*@ ghost shift_divides(rel, shift); */
	return rel >> shift;
}

uint64_t geo_span_at(const struct geo *g, uint64_t rel)
{
	/*@ ghost uint64_t most = g->spans * g->span_items; */
	/*@ ghost if (g->item_bytes != 0) product_grows(g->items, most, g->item_bytes); */
	/*@ assert static: g->item_bytes != 0 ==> g->spans * g->span_bytes == most * g->item_bytes; */
	/*@ assert inside: rel < g->spans * g->span_bytes; */
	if (g->span_shift != 0)
		return shifted(rel, g->span_shift);
	/*@ ghost uint64_t units = rel / g->span_bytes; */
	/*@ assert units: units * g->span_bytes <= rel < units * g->span_bytes + g->span_bytes; */
	/*@ ghost product_less(units, g->spans, g->span_bytes); */
	/* A division of 32 bits is several times faster on many machines. */
	if (rel <= UINT32_MAX && g->span_bytes <= UINT32_MAX)
		return (uint32_t)rel / (uint32_t)g->span_bytes;
	return rel / g->span_bytes;
}

struct place geo_place(const struct geo *g, uint64_t rel, uint64_t span, uint32_t cls)
{
	uint64_t off = rel - span * g->span_bytes;
	struct place at = {.span = span, .item = 0, .start = off == 0};
	uint32_t block, start;

	/* The one item of such a span may be larger than 4 GiB; all other spans have at most 64 KiB. */
	if (g->span_items == 1) {
		/*@ assert one: block_count(g, span, cls) == 1; */
		return at;
	}
	block = (uint32_t)geo_block_bytes(g, cls);
	at.item = (uint32_t)off / block;
	start = at.item * block;
	/* Behind the last block of a dynamic span may be bytes that belong to none. */
	at.start = start == off && start + block <= g->span_bytes;
	/*@ ghost uint32_t item = at.item; */
	/*@ ghost uint64_t count = blocks_fit(g, span, cls, block); */
	/*@ ghost if (at.start) product_less(item, count, block); */
	/*@ assert start: at.start ==> starts_block(g, rel, span, cls, item); */
	/*@ ghost if (item < count) product_grows(item + 1, count, block); */
	/*@ assert same: \forall integer i; i * block == off ==> i == item; */
	/*@ assert exact: item < count && start == off ==> at.start; */
	/*@ assert every: \forall integer i; i < count && i * block == off ==> at.start && i == item; */
	return at;
}

uint64_t geo_item_rel(const struct geo *g, uint64_t span, uint32_t cls, uint32_t item)
{
	uint64_t bytes = geo_block_bytes(g, cls);

	/*@ ghost uint64_t count = blocks_fit(g, span, cls, bytes); */
	/*@ ghost product_grows(item + 1, count, bytes); */
	return span * g->span_bytes + item * bytes;
}
