/* SPDX-License-Identifier: MIT */
/*
 * Geometry: where everything is, computed from the parameters alone.
 *
 *   streams_off <= records_off <= words_off <= pairs_off <= meta_end
 *   data_off == meta_end + GRANULE (the guard), a multiple of GRANULE
 *   data_off + spans * span_bytes <= file_size, but for the last span of a
 *   static map, which may hold fewer items; data_end is the end of the last item
 *
 *  - Span size of a dynamic map, and the target of a static one: the power of two at
 *    or below file_size / (64 * streams), at least 4 KiB, at most 64 KiB.
 *  - A static span holds a power of two of items, 1 to ITEMS_PER_SPAN_MAX.
 *  - The tables have room for at least `spans` entries each.
 */
#ifndef QALLOC_GEO_H
#define QALLOC_GEO_H

#include <stdbool.h>
#include <stdint.h>

#include "hdr.h"
#include "size.h"

#define ITEM_ALIGN 8u /* of a static map's items */

struct geo {
	uint64_t file_size;   /* bytes */
	uint64_t records_off; /* thread records */
	uint64_t words_off;   /* span words, 8 bytes each */
	uint64_t pairs_off;   /* bit pairs, pairs_per_span * PAIR_BYTES for each span */
	uint64_t meta_end;    /* where the guard begins; a multiple of GRANULE */
	uint64_t data_off;    /* where data begins; a multiple of GRANULE */
	uint64_t data_end;    /* where the last item or span ends */
	uint64_t spans;       /* at least 1 */
	uint64_t span_bytes;  /* of data in one span */
	uint64_t items;       /* of a static map in all; 0: dynamic */
	uint64_t item_bytes;  /* stride of a static map; 0: dynamic */
	uint64_t table_spans; /* how many spans the tables have room for, at least `spans` */
	uint32_t span_items;  /* a static map's items in one span, a power of two; 0: dynamic */
	uint32_t span_pairs;  /* bit pairs of one span */
	uint32_t streams;
	uint32_t records;
	uint32_t classes;    /* size classes in use; 1: static */
	uint32_t span_shift; /* span_bytes of a dynamic map == 1 << span_shift; 0: static */
};

/* Where an address, given as an offset from data_off, falls. */
struct place {
	uint64_t span;
	uint32_t item;
	bool start; /* the address is exactly where the item starts */
};

#ifdef __FRAMAC__
#include "../proofs/geo.acsl"
#endif

/* The least multiple of `unit` that is not below `value`. */
/*@ requires unit: unit >= 1;
    requires room: value + (unit - 1) <= UINT64_MAX;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures value: \result == up(value, unit);
    ensures enough: value <= \result < value + unit; */
uint64_t geo_round_up(uint64_t value, uint64_t unit);

/* QALLOC_OK and *g; or QALLOC_EFILESIZE (too small for one item or span), QALLOC_EITEMSIZE. Requires what params_check
   checks before it. */
/*@ requires mem: \valid_read(p) && \valid(g) && \separated(p, g);
    requires params: geo_params(p);
    terminates \true;
    exits \false;
    assigns *g;
    ensures iff: \result == QALLOC_OK <==> geo_fits(p->file_size, p->item_size, p->streams);
    ensures valid: \result == QALLOC_OK ==> geo_valid(g);
    ensures size: g->file_size == p->file_size && g->streams == p->streams;
    ensures stride: g->item_bytes == up(p->item_size, 8);
    ensures data: g->data_off == geo_data(p->file_size, p->item_size, p->streams);
    ensures bound: g->data_off <= 0x1000000000000;
    ensures span: p->kind == QALLOC_DYNAMIC ==> g->span_bytes == geo_target(p->file_size, p->streams);
    ensures all: \result == QALLOC_OK ==> p->file_size - g->data_end <
              geo_unit(p->file_size, p->item_size, p->streams); */
enum qalloc_err geo_compute(const struct params *p, struct geo *g);

/* The executable predicate of the invariants above, for asserts, tests and fuzzers. */
/*@ requires mem: \valid_read(g);
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures iff: \result <==> geo_valid(g); */
bool geo_is_valid(const struct geo *g);

/* Bytes of one block of class `cls`: the stride of a static map. */
/*@ requires cls: \valid_read(g) && class_in(g, cls);
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures value: \result == block_bytes(g, cls);
    ensures range: 8 <= \result <= g->span_bytes; */
uint64_t geo_block_bytes(const struct geo *g, uint32_t cls);

/* How many blocks of class `cls` the span has; the last span of a static map may have fewer. */
/*@ requires cls: \valid_read(g) && class_in(g, cls);
    requires span: span < g->spans;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures value: \result == block_count(g, span, cls);
    ensures range: 1 <= \result <= g->span_pairs * 64; */
uint32_t geo_span_items(const struct geo *g, uint64_t span, uint32_t cls);

/* The span in which the byte at data_off + rel lies.  Requires rel < data_end - data_off. */
/*@ requires mem: \valid_read(g) && geo_valid(g);
    requires inside: rel < g->data_end - g->data_off;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures span: in_span(g, rel, \result); */
uint64_t geo_span_at(const struct geo *g, uint64_t rel);

/*
 * Which block of `span`, holding blocks of class `cls`, is at rel.  Requires geo_span_at(g, rel) == span.
 * `start` implies that the block exists; behind the last block of a dynamic span `item` names none.
 */
/*@ requires cls: \valid_read(g) && class_in(g, cls);
    requires span: in_span(g, rel, span);
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures span: \result.span == span;
    ensures start: \result.start ==> starts_block(g, rel, span, cls, \result.item);
    ensures every: \forall integer i; starts_block(g, rel, span, cls, i) ==>
              \result.start && \result.item == i; */
struct place geo_place(const struct geo *g, uint64_t rel, uint64_t span, uint32_t cls);

/* The offset from data_off of a block: the inverse of geo_place. */
/*@ requires cls: \valid_read(g) && class_in(g, cls);
    requires item: span < g->spans && item < block_count(g, span, cls);
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures start: starts_block(g, \result, span, cls, item);
    ensures inside: block_inside(g, \result, span, cls); */
uint64_t geo_item_rel(const struct geo *g, uint64_t span, uint32_t cls, uint32_t item);

/* The last file size up to QALLOC_FILESIZE_MAX whose span size and records are those of `size`. */
/*@ requires size: 1 <= size <= QALLOC_FILESIZE_MAX;
    requires streams: 1 <= streams <= QALLOC_STREAMS_MAX;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures range: size <= \result <= QALLOC_FILESIZE_MAX;
    ensures same: \forall integer x; size <= x <= \result ==> same_tables(x, size, streams);
    ensures last: \result == QALLOC_FILESIZE_MAX || !same_tables(\result + 1, size, streams); */
uint64_t geo_same_until(uint64_t size, uint32_t streams);

/*
 * A file size with exactly `items` items: of the least sizes with room for them, one for each span size and number
 * of records, the smallest that has not more.  A few numbers of items are skipped where the span size doubles
 * and the tables shrink; for these it is the smallest size with room.  0: none up to QALLOC_FILESIZE_MAX.
 */
/*@ terminates \true;
    exits \false;
    assigns \nothing;
    ensures wrong: item_size == 0 || item_size > QALLOC_FILESIZE_MAX || items == 0 || streams == 0 ||
              streams > QALLOC_STREAMS_MAX ==> \result == 0;
    ensures room: \result != 0 ==> has_room(\result, item_size, streams, items * up(item_size, 8));
    ensures exact: \let bytes = items * up(item_size, 8);
              \result != 0 && exact_least(\result, item_size, streams, bytes) ==>
              \forall integer x; 1 <= x < \result ==> !exact_least(x, item_size, streams, bytes);
    ensures more: \let bytes = items * up(item_size, 8);
              \result != 0 && !exact_least(\result, item_size, streams, bytes) ==>
              no_room(1, \result - 1, item_size, streams, bytes) &&
              \forall integer x; !exact_least(x, item_size, streams, bytes);
    ensures none: \result == 0 && 1 <= item_size <= QALLOC_FILESIZE_MAX && items >= 1 &&
              1 <= streams <= QALLOC_STREAMS_MAX ==>
              no_room(1, QALLOC_FILESIZE_MAX, item_size, streams, items * up(item_size, 8)); */
uint64_t geo_static_size(uint64_t item_size, uint64_t items, uint64_t streams);

/* The smallest file size with at least `bytes` bytes of data, and one span; 0: none up to QALLOC_FILESIZE_MAX. */
/*@ terminates \true;
    exits \false;
    assigns \nothing;
    ensures wrong: streams == 0 || streams > QALLOC_STREAMS_MAX ==> \result == 0;
    ensures least: \result != 0 ==> has_room(\result, 0, streams, bytes < 1 ? 1 : bytes) &&
              no_room(1, \result - 1, 0, streams, bytes < 1 ? 1 : bytes);
    ensures none: \result == 0 && 1 <= streams <= QALLOC_STREAMS_MAX ==>
              no_room(1, QALLOC_FILESIZE_MAX, 0, streams, bytes < 1 ? 1 : bytes); */
uint64_t geo_dynamic_size(uint64_t bytes, uint64_t streams);

#endif
