/* SPDX-License-Identifier: MIT */
/*
 * The file size that a map needs, from what is to fit into it.
 *
 *  - Geometry goes from size to room; this goes back, by search, since the tables grow with the size.
 *  - Every result has the room: geo_compute() of it says so.
 */
#include "geo.h"
#include "size.h"

/* The file sizes of one span size are searched by steps that shrink at least thirtyfold. */
#define SIZE_STEPS_MAX 64u

/*
 * The smallest size in [low, high] whose data area has `need` bytes; 0: there is none.  All sizes there
 * have the same span size, so that data_off only grows with the size, and
 * size = data_off(size) + need has a least solution, which this approaches from below.
 */
/*@ requires mem: \valid(p);
    requires range: 1 <= low <= high <= QALLOC_FILESIZE_MAX && need <= QALLOC_FILESIZE_MAX;
    requires params: params_ok(1, p->streams, p->kind, p->item_size);
    terminates \true;
    exits \false;
    assigns p->file_size;
    ensures range: \result != 0 ==> low <= \result <= high && p->file_size == \result;
    ensures room: \result != 0 ==> geo_data(\result, p->item_size, p->streams) + need <= \result; */
static uint64_t size_within(struct params *p, uint64_t need, uint64_t low, uint64_t high)
{
	struct geo g;

	p->file_size = low;
	/*@ loop invariant range: low <= p->file_size <= high && 0 <= step <= SIZE_STEPS_MAX;
	    loop assigns step, p->file_size, g;
	    loop variant SIZE_STEPS_MAX - step; */
	for (uint32_t step = 0;; step++) {
		uint64_t next;

		geo_compute(p, &g);
		next = g.data_off + need;
		if (next <= p->file_size)
			return p->file_size;
		if (next > high || step == SIZE_STEPS_MAX)
			return 0;
		p->file_size = next;
	}
}

/* The ends of the range of file sizes whose span size (or target) is `target`. */
/*@ requires target: is_pow2(target) && SPAN_BYTES_MIN <= target && streams <= QALLOC_STREAMS_MAX;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures value: \result == (target == SPAN_BYTES_MIN ? 1 : target * 64 * streams); */
static uint64_t sizes_low(uint32_t target, uint64_t streams)
{
	return target == SPAN_BYTES_MIN ? 1 : (uint64_t)target * SPANS_PER_STREAM * streams;
}

/*@ requires target: is_pow2(target) && SPAN_BYTES_MIN <= target;
    requires streams: 1 <= streams <= QALLOC_STREAMS_MAX;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures last: target == SPAN_BYTES_MAX ==> \result == QALLOC_FILESIZE_MAX;
    ensures value: target != SPAN_BYTES_MAX ==> \result == target * 128 * streams - 1; */
static uint64_t sizes_high(uint32_t target, uint64_t streams)
{
	if (target == SPAN_BYTES_MAX)
		return QALLOC_FILESIZE_MAX;
	return (uint64_t)target * 2 * SPANS_PER_STREAM * streams - 1;
}

uint64_t geo_static_size(uint64_t item_size, uint64_t items, uint64_t streams)
{
	struct params p = {.kind = QALLOC_STATIC, .item_size = item_size};
	uint64_t more = 0;

	if (item_size == 0 || item_size > QALLOC_FILESIZE_MAX || items == 0 || streams == 0 ||
	    streams > QALLOC_STREAMS_MAX)
		return 0;
	uint64_t stride = geo_round_up(item_size, ITEM_ALIGN);
	if (items > QALLOC_FILESIZE_MAX / stride)
		return 0;
	p.streams = (uint32_t)streams;
	uint64_t need = items * stride;
	/*@ assert need: need <= QALLOC_FILESIZE_MAX && need == items * up(item_size, 8); */
	/*@ loop invariant target: target == 2 * SPAN_BYTES_MAX ||
	                     (is_pow2(target) && SPAN_BYTES_MIN <= target);
	    loop invariant more: more == 0 || room_for(more, item_size, streams, items * up(item_size, 8));
	    loop assigns target, more, p.file_size;
	    loop variant 2 * SPAN_BYTES_MAX - target; */
	for (uint32_t target = SPAN_BYTES_MIN; target <= SPAN_BYTES_MAX; target *= 2) {
		uint64_t low = sizes_low(target, streams);
		uint64_t high = sizes_high(target, streams);
		uint64_t size = size_within(&p, need, low, high);
		struct geo g;

		/*@ assert room: size == 0 || room_for(size, item_size, streams, items * up(item_size, 8)); */
		if (size == 0 || geo_compute(&p, &g) != QALLOC_OK)
			continue;
		if (g.items == items)
			return size;
		if (more == 0)
			more = size;
	}
	return more;
}

uint64_t geo_dynamic_size(uint64_t bytes, uint64_t streams)
{
	struct params p = {.kind = QALLOC_DYNAMIC};

	if (bytes > QALLOC_FILESIZE_MAX || streams == 0 || streams > QALLOC_STREAMS_MAX)
		return 0;
	p.streams = (uint32_t)streams;
	/*@ loop invariant target: target == 2 * SPAN_BYTES_MAX ||
	                     (is_pow2(target) && SPAN_BYTES_MIN <= target);
	    loop assigns target, p.file_size;
	    loop variant 2 * SPAN_BYTES_MAX - target; */
	for (uint32_t target = SPAN_BYTES_MIN; target <= SPAN_BYTES_MAX; target *= 2) {
		uint64_t need = bytes == 0 ? target : geo_round_up(bytes, target);
		uint64_t low = sizes_low(target, streams);
		uint64_t size = size_within(&p, need, low, sizes_high(target, streams));

		if (size != 0)
			return size;
	}
	return 0;
}
