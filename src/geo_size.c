/* SPDX-License-Identifier: MIT */
/*
 * The file size that a map needs, from what is to fit into it.
 *
 *  - Geometry goes from size to room; this goes back, by search, since the tables grow with the size.
 *  - Sizes are searched from below, range by range: in one, span size and number of records are the
 *    same, so that where data begins only moves up.
 */
#include "geo.h"

#include "../proofs/number_ghost.acsl"
#include "../proofs/geo_size.acsl"

/*
 * The least size in [p->file_size, high] that has room for `bytes` bytes in whole spans or items, into
 * p->file_size; false: none.  All these sizes have the same tables: geo_same_until().  In either case *g
 * is the geometry of p->file_size.
 *
 * A step goes to where the data would end that begins where it does now.  No size on the way has room,
 * as data begins no earlier there.
 */
/*@ requires mem: \valid(p) && \valid(g) && \separated(p, g);
    requires params: geo_params(p);
    requires range: p->file_size <= high <= QALLOC_FILESIZE_MAX;
    requires bytes: 1 <= bytes <= QALLOC_FILESIZE_MAX;
    requires same: \forall integer x; p->file_size <= x <= high ==>
               same_tables(x, p->file_size, p->streams);
    terminates \true;
    exits \false;
    assigns p->file_size, *g;
    ensures range: \old(p->file_size) <= p->file_size <= high;
    ensures room: \result <==> has_room(p->file_size, p->item_size, p->streams, bytes);
    ensures least: no_room(\old(p->file_size), p->file_size - 1, p->item_size, p->streams, bytes);
    ensures none: !\result ==> no_room(\old(p->file_size), high, p->item_size, p->streams, bytes);
    ensures data: g->data_off == geo_data(p->file_size, p->item_size, p->streams); */
static bool grow(struct params *p, uint64_t bytes, uint64_t high, struct geo *g)
{
	/*@ ghost uint64_t low = p->file_size; */
	/*@ loop invariant range: low <= p->file_size <= high;
	    loop invariant least: no_room(low, p->file_size - 1, p->item_size, p->streams, bytes);
	    loop assigns p->file_size, *g;
	    loop variant high - p->file_size; */
	for (;;) {
		geo_compute(p, g);
		uint64_t unit = p->kind == QALLOC_DYNAMIC ? g->span_bytes : g->item_bytes;
		uint64_t needed = g->data_off + geo_round_up(bytes, unit);

		/*@ assert needed: needed == size_needed(p->file_size, p->item_size, p->streams, bytes); */
		if (needed <= p->file_size)
			return true;
		/*@ ghost no_room_on_the_way(low, p->file_size, high, p->item_size, p->streams, bytes); */
		/*@ assert none: \forall integer x; low <= x <= high && x < needed ==>
		      !has_room(x, p->item_size, p->streams, bytes); */
		if (needed > high)
			return false;
		p->file_size = needed;
	}
}

uint64_t geo_static_size(uint64_t item_size, uint64_t items, uint64_t streams)
{
	struct params p = {.kind = QALLOC_STATIC, .item_size = item_size};
	struct geo g;
	uint64_t more = 0;

	if (item_size == 0 || item_size > QALLOC_FILESIZE_MAX || items == 0 || streams == 0 ||
	    streams > QALLOC_STREAMS_MAX)
		return 0;
	uint64_t stride = geo_round_up(item_size, ITEM_ALIGN);
	uint64_t items_max = QALLOC_FILESIZE_MAX / stride;
	/*@ assert below: items_max * stride <= QALLOC_FILESIZE_MAX; */
	/*@ ghost if (items_max < items) product_grows(items_max + 1, items, stride); */
	/*@ ghost if (items <= items_max) product_grows(items, items_max, stride); */
	if (items > items_max)
		return 0;
	p.streams = (uint32_t)streams;
	uint64_t bytes = items * stride;
	/*@ assert bytes: bytes == items * up(item_size, 8); */
	/*@ ghost product_grows(1, items, stride); */
	/*@ assert range: 1 <= bytes <= QALLOC_FILESIZE_MAX; */
	/*@ ghost product_is_whole(bytes, items, stride); */
	/*@ loop invariant range: 0 <= high <= QALLOC_FILESIZE_MAX && p.item_size == item_size;
	    loop invariant others: high < QALLOC_FILESIZE_MAX ==> others_below(high + 1, p.streams);
	    loop invariant room: more == 0 ==> no_room(1, high, item_size, p.streams, bytes);
	    loop invariant more: more != 0 ==> has_room(more, item_size, p.streams, bytes) && more <= high &&
	                     no_room(1, more - 1, item_size, p.streams, bytes);
	    loop invariant exact: \forall integer x; 1 <= x <= high ==>
	                     !exact_least(x, item_size, p.streams, bytes);
	    loop assigns high, more, p.file_size, g;
	    loop variant QALLOC_FILESIZE_MAX - high; */
	for (uint64_t high = 0; high < QALLOC_FILESIZE_MAX;) {
		uint64_t low = high + 1;

		p.file_size = low;
		high = geo_same_until(low, p.streams);
		/*@ ghost if (high < QALLOC_FILESIZE_MAX) tables_never_return(low, high, p.streams); */
		if (!grow(&p, bytes, high, &g))
			continue;
		/*@ ghost one_least(low, p.file_size, high, item_size, p.streams, bytes); */
		if (p.file_size - g.data_off - bytes < stride)
			return p.file_size;
		if (more == 0)
			more = p.file_size;
	}
	return more;
}

uint64_t geo_dynamic_size(uint64_t bytes, uint64_t streams)
{
	struct params p = {.kind = QALLOC_DYNAMIC};
	struct geo g;

	if (bytes > QALLOC_FILESIZE_MAX || streams == 0 || streams > QALLOC_STREAMS_MAX)
		return 0;
	p.streams = (uint32_t)streams;
	uint64_t some = bytes == 0 ? 1 : bytes;
	/*@ loop invariant range: 0 <= high <= QALLOC_FILESIZE_MAX;
	    loop invariant none: no_room(1, high, 0, p.streams, some);
	    loop assigns high, p.file_size, g;
	    loop variant QALLOC_FILESIZE_MAX - high; */
	for (uint64_t high = 0; high < QALLOC_FILESIZE_MAX;) {
		p.file_size = high + 1;
		high = geo_same_until(p.file_size, p.streams);
		if (grow(&p, some, high, &g))
			return p.file_size;
	}
	return 0;
}
