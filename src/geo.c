/* SPDX-License-Identifier: MIT */
/*
 * Geometry, computed once per open, and the predicate that says whether one is valid.
 *
 *  - Trusts that the parameters passed the rules of params_check().
 *  - Nothing overflows: a file has at most 2^46 bytes, and every product here is
 *    bounded by a small multiple of the file size.
 *  - The tables are sized for one span more than would fit if they cost nothing beyond their share,
 *    so that rounding never leaves a span without its entries.
 */
#include "geo.h"
#include "size.h"

#include "../proofs/number_ghost.acsl"

#define PAGE 4096u
#define WORD_BYTES 8u
#define BITS_PER_PAIR 64u
#define BLOCK_BYTES_MIN 16u /* of a dynamic map */
#define FILE_PER_RECORD 4096u
#define SPANS_PER_STREAM 64u /* at least, while spans are larger than SPAN_BYTES_MIN */

uint64_t geo_round_up(uint64_t value, uint64_t unit)
{
	uint64_t most = value + (unit - 1);
	uint64_t units = most / unit;

	/*@ assert below: units * unit <= most; */
	/*@ assert above: most < units * unit + unit; */
	return units * unit;
}

/* The largest power of two at or below `value`, but within [low, high], which are some. */
/*@ requires powers: is_pow2(low) && is_pow2(high) && low <= high;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures value: \result == pow2_in(value, low, high);
    ensures range: low <= \result <= high && is_pow2(\result);
    ensures below: \result == low || \result <= value;
    ensures largest: \result == high || value < 2 * \result; */
static uint32_t pow2_within(uint64_t value, uint32_t low, uint32_t high)
{
	uint32_t result = high;

	/*@ loop invariant range: low <= result <= high && is_pow2(result);
	    loop invariant largest: result == high || value < 2 * result;
	    loop assigns result;
	    loop variant result; */
	while (result > low && result > value)
		result /= 2;
	return result;
}

/*@ requires power: is_pow2(span_bytes) && SPAN_BYTES_MIN <= span_bytes <= SPAN_BYTES_MAX;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures value: span_shifts(\result, span_bytes); */
static uint32_t shift_of(uint64_t span_bytes)
{
	uint32_t shift = 12;

	if (span_bytes >= 0x2000u)
		shift++;
	if (span_bytes >= 0x4000u)
		shift++;
	if (span_bytes >= 0x8000u)
		shift++;
	if (span_bytes >= 0x10000u)
		shift++;
	return shift;
}

/* Streams, records and what a span is. */
/*@ requires mem: \valid_read(p) && \valid(g) && \separated(p, g);
    requires params: geo_params(p);
    terminates \true;
    exits \false;
    assigns g->file_size, g->streams, g->records, g->item_bytes, g->span_items, g->span_bytes,
            g->span_pairs, g->classes, g->span_shift;
    ensures copied: g->file_size == p->file_size && g->streams == p->streams;
    ensures kind: g->item_bytes == 0 <==> p->kind == QALLOC_DYNAMIC;
    ensures records: g->records == geo_records(p->file_size);
    ensures records_range: RECORDS_MIN <= g->records <= RECORDS_MAX && is_pow2(g->records);
    ensures stride: g->item_bytes == up(p->item_size, 8);
    ensures span: g->span_bytes == geo_span(p->file_size, p->item_size, p->streams);
    ensures pairs: g->span_pairs == geo_pairs(p->file_size, p->item_size, p->streams);
    ensures valid: spans_valid(g); */
static void lay_spans(const struct params *p, struct geo *g)
{
	uint64_t share = p->file_size / (SPANS_PER_STREAM * p->streams);
	uint32_t target = pow2_within(share, SPAN_BYTES_MIN, SPAN_BYTES_MAX);

	g->file_size = p->file_size;
	g->streams = p->streams;
	g->records = pow2_within(p->file_size / FILE_PER_RECORD, RECORDS_MIN, RECORDS_MAX);
	if (p->kind == QALLOC_DYNAMIC) {
		g->item_bytes = 0;
		g->span_items = 0;
		g->span_bytes = target;
		g->span_pairs = target / BLOCK_BYTES_MIN / BITS_PER_PAIR;
		g->span_shift = shift_of(target);
		g->classes = class_count(target);
		/*@ assert dynamic: spans_dynamic(g); */
		return;
	}
	uint64_t stride = geo_round_up(p->item_size, ITEM_ALIGN);
	uint64_t fitting = target / stride;
	uint32_t group = pow2_within(fitting, 1, ITEMS_PER_SPAN_MAX);
	uint64_t span_bytes = group * stride;
	/*@ assert stride: stride == up(p->item_size, 8) && stride % 8 == 0; */
	/*@ assert group: group == geo_group(p->file_size, p->item_size, p->streams); */
	/*@ assert span: span_bytes == geo_span(p->file_size, p->item_size, p->streams); */
	/*@ assert below: fitting * stride <= target; */
	/*@ assert whole: group == 1 || group * stride <= fitting * stride; */
	/*@ assert small: group == 1 || span_bytes <= SPAN_BYTES_MAX; */
	g->item_bytes = stride;
	g->span_items = group;
	g->span_bytes = span_bytes;
	g->span_pairs = (group + (BITS_PER_PAIR - 1)) / BITS_PER_PAIR;
	g->span_shift = 0;
	g->classes = 1;
	/*@ assert static: spans_static(g); */
}

/*
 * Offsets.  The tables get entries for one span more than the division says, so that
 * neither its rounding nor a last span with few items leaves a span without.
 */
/*@ requires mem: \valid(g);
    requires size: 1 <= g->file_size <= QALLOC_FILESIZE_MAX;
    requires streams: 1 <= g->streams <= QALLOC_STREAMS_MAX;
    requires records: RECORDS_MIN <= g->records <= RECORDS_MAX && is_pow2(g->records);
    requires spans: spans_valid(g);
    terminates \true;
    exits \false;
    assigns g->records_off, g->words_off, g->pairs_off, g->meta_end, g->data_off, g->table_spans;
    ensures data: g->data_off == layout_data(g->file_size, g->streams, g->records, g->span_bytes,
                                             g->span_pairs);
    ensures valid: offsets_valid(g); */
static void lay_regions(struct geo *g)
{
	uint64_t streams_end = STREAMS_OFF + (uint64_t)g->streams * STREAM_BYTES;
	g->records_off = geo_round_up(streams_end, PAGE);
	uint64_t records_end = g->records_off + (uint64_t)g->records * RECORD_BYTES;
	g->words_off = geo_round_up(records_end, PAGE);

	/*@ assert words: g->words_off == regions_words(g->streams, g->records); */

	uint64_t fixed = g->words_off + GRANULE;
	uint64_t room = g->file_size > fixed ? g->file_size - fixed : 0;
	uint64_t pairs_bytes = (uint64_t)g->span_pairs * PAIR_BYTES;
	uint64_t span_cost = g->span_bytes + WORD_BYTES + pairs_bytes;
	uint64_t spans_max = room / span_cost + 1;
	/*@ assert room: room == regions_room(g->file_size, g->words_off); */
	/*@ assert number: spans_max == regions_spans(room, g->span_bytes, g->span_pairs); */
	/*@ assert all: room < spans_max * span_cost <= room + span_cost; */
	/*@ assert split: spans_max * span_cost ==
	      spans_max * g->span_bytes + spans_max * 8 + spans_max * pairs_bytes; */
	/*@ assert tables: spans_max * 8 + spans_max * pairs_bytes <= 0x800000000000 + 0x10000; */
	uint64_t words_end = g->words_off + spans_max * WORD_BYTES;
	g->pairs_off = geo_round_up(words_end, PAGE);
	uint64_t pairs_end = g->pairs_off + spans_max * pairs_bytes;
	g->meta_end = geo_round_up(pairs_end, GRANULE);
	/*@ assert end: g->meta_end == regions_end(g->words_off, spans_max, g->span_pairs); */
	g->data_off = g->meta_end + GRANULE;
	/*@ assert left: g->file_size - g->data_off < spans_max * g->span_bytes; */
	g->table_spans = spans_max;
	/*@ assert order: g->words_off <= g->pairs_off <= g->meta_end; */
	/*@ assert regions: regions_valid(g); */
	/*@ assert words_fit: g->words_off + spans_max * 8 <= g->pairs_off; */
	/*@ assert pairs_fit: g->pairs_off + spans_max * (g->span_pairs * PAIR_BYTES) <= g->meta_end; */
	/*@ assert hold: tables_hold(g); */
	/*@ assert bound: g->data_off <= 0x1000000000000; */
}

/*@ requires mem: \valid_read(p) && \valid(g) && \separated(p, g);
    requires params: geo_params(p);
    terminates \true;
    exits \false;
    assigns *g;
    ensures copied: g->file_size == p->file_size && g->streams == p->streams;
    ensures kind: g->item_bytes == 0 <==> p->kind == QALLOC_DYNAMIC;
    ensures stride: g->item_bytes == up(p->item_size, 8);
    ensures span: g->item_bytes == 0 ==> g->span_bytes == geo_target(p->file_size, p->streams);
    ensures data: g->data_off == geo_data(p->file_size, p->item_size, p->streams);
    ensures laid: spans_valid(g) && offsets_valid(g); */
static void lay_out(const struct params *p, struct geo *g)
{
	lay_spans(p, g);
	lay_regions(g);
}

/* The least value above `value` with another pow2_within(value / unit, low, high); UINT64_MAX: none. */
/*@ requires powers: is_pow2(low) && is_pow2(high) && low <= high;
    requires unit: 1 <= unit <= 0x100000 && value <= QALLOC_FILESIZE_MAX;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures above: value < \result;
    ensures same: \forall integer x; value <= x < \result && x <= QALLOC_FILESIZE_MAX ==>
              pow2_in(x / unit, low, high) == pow2_in(value / unit, low, high);
    ensures other: \result <= QALLOC_FILESIZE_MAX ==>
              pow2_in(\result / unit, low, high) != pow2_in(value / unit, low, high); */
static uint64_t doubles_at(uint64_t value, uint64_t unit, uint32_t low, uint32_t high)
{
	uint64_t units = value / unit;
	uint64_t power = pow2_within(units, low, high);

	/*@ assert units: value < units * unit + unit; */
	if (power == high)
		return UINT64_MAX;
	/*@ ghost product_grows(units + 1, 2 * power, unit); */
	/*@ assert above: value < 2 * power * unit; */
	uint64_t twice = power * 2;
	/*@ ghost quotients_between(value, twice, unit); */
	/*@ assert between: \forall integer x; value <= x < twice * unit ==> units <= x / unit < twice; */
	return twice * unit;
}

uint64_t geo_same_until(uint64_t size, uint32_t streams)
{
	uint64_t spans = doubles_at(size, (uint64_t)SPANS_PER_STREAM * streams, SPAN_BYTES_MIN,
				    SPAN_BYTES_MAX);
	uint64_t records = doubles_at(size, FILE_PER_RECORD, RECORDS_MIN, RECORDS_MAX);
	uint64_t next = spans < records ? spans : records;

	return next <= QALLOC_FILESIZE_MAX ? next - 1 : QALLOC_FILESIZE_MAX;
}

/* How many times `unit` fits into `bytes`. */
/*@ requires unit: unit >= 1;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures inside: 0 <= \result * unit <= bytes;
    ensures rest: bytes < \result * unit + unit;
    ensures none: \result == 0 <==> bytes < unit; */
static uint64_t whole_units(uint64_t bytes, uint64_t unit)
{
	return bytes / unit;
}

/*@ requires mem: \valid(g);
    requires laid: laid_out(g);
    requires spans: 1 <= spans <= g->table_spans;
    requires end: g->data_off < data_end <= g->file_size <= QALLOC_FILESIZE_MAX;
    requires dynamic: g->item_bytes == 0 ==>
               items == 0 && data_end == g->data_off + spans * g->span_bytes;
    requires static: g->item_bytes != 0 ==> data_end == g->data_off + items * g->item_bytes;
    requires filled: g->item_bytes != 0 ==>
               (spans - 1) * g->span_items < items <= spans * g->span_items;
    terminates \true;
    exits \false;
    assigns g->items, g->spans, g->data_end;
    ensures end: g->data_end == data_end;
    ensures laid: laid_out(g);
    ensures counts: counts_valid(g); */
static void set_counts(struct geo *g, uint64_t items, uint64_t spans, uint64_t data_end)
{
	g->items = items;
	g->spans = spans;
	g->data_end = data_end;
}

/* Spans of a dynamic map: those that fit. */
/*@ requires mem: \valid(g);
    requires laid: spans_dynamic(g) && offsets_valid(g);
    requires room: g->data_off < g->file_size <= QALLOC_FILESIZE_MAX;
    terminates \true;
    exits \false;
    assigns g->items, g->spans, g->data_end;
    ensures iff: \result == QALLOC_OK <==> g->span_bytes <= g->file_size - g->data_off;
    ensures valid: \result == QALLOC_OK ==> geo_valid(g);
    ensures all: \result == QALLOC_OK ==> g->file_size - g->data_end < g->span_bytes; */
static enum qalloc_err count_spans(struct geo *g)
{
	uint64_t data_bytes = g->file_size - g->data_off;
	uint64_t spans = whole_units(data_bytes, g->span_bytes);

	if (spans == 0)
		return QALLOC_EFILESIZE;
	/*@ ghost product_less(spans, g->table_spans, g->span_bytes); */
	set_counts(g, 0, spans, g->data_off + spans * g->span_bytes);
	return QALLOC_OK;
}

/* Items of a static map: those that fit, and the spans that hold them. */
/*@ requires mem: \valid(g);
    requires laid: spans_static(g) && offsets_valid(g);
    requires room: g->data_off < g->file_size <= QALLOC_FILESIZE_MAX;
    terminates \true;
    exits \false;
    assigns g->items, g->spans, g->data_end;
    ensures iff: \result == QALLOC_OK <==> g->item_bytes <= g->file_size - g->data_off;
    ensures valid: \result == QALLOC_OK ==> geo_valid(g);
    ensures all: \result == QALLOC_OK ==> g->file_size - g->data_end < g->item_bytes; */
static enum qalloc_err count_items(struct geo *g)
{
	uint64_t data_bytes = g->file_size - g->data_off;
	uint64_t items = whole_units(data_bytes, g->item_bytes);

	if (items == 0)
		return QALLOC_EITEMSIZE;
	uint64_t before = whole_units(items - 1, g->span_items);
	/*@ ghost uint64_t limit = g->table_spans * g->span_items; */
	/*@ assert limit: limit * g->item_bytes == g->table_spans * g->span_bytes; */
	/*@ ghost product_less(items, limit, g->item_bytes); */
	/*@ ghost product_less(before, g->table_spans, g->span_items); */
	/*@ assert last: before * g->span_items < items <= before * g->span_items + g->span_items; */
	set_counts(g, items, before + 1, g->data_off + items * g->item_bytes);
	return QALLOC_OK;
}

enum qalloc_err geo_compute(const struct params *p, struct geo *g)
{
	lay_out(p, g);
	if (p->file_size < g->data_off + ITEM_ALIGN)
		return QALLOC_EFILESIZE;
	if (p->kind == QALLOC_DYNAMIC)
		return count_spans(g);
	return count_items(g);
}

/*@ requires unit: unit >= 1;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures iff: \result <==> bytes == count * unit; */
static bool is_product(uint64_t bytes, uint64_t count, uint64_t unit)
{
	uint64_t units = bytes / unit;

	/*@ assert units: units * unit <= bytes < units * unit + unit; */
	/*@ ghost if (units < count) product_grows(units + 1, count, unit); */
	/*@ ghost if (count < units) product_grows(count + 1, units, unit); */
	return units == count && bytes % unit == 0;
}

/*@ requires powers: is_pow2(low) && is_pow2(high) && low <= high;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures iff: \result <==> is_pow2(value) && low <= value <= high; */
static bool is_pow2_within(uint64_t value, uint32_t low, uint32_t high)
{
	return pow2_within(value, low, high) == value;
}

/*@ requires mem: \valid_read(g);
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures iff: \result <==> spans_dynamic(g); */
static bool spans_are_dynamic(const struct geo *g)
{
	return g->item_bytes == 0 && g->span_items == 0 &&
	       is_pow2_within(g->span_bytes, SPAN_BYTES_MIN, SPAN_BYTES_MAX) &&
	       g->span_shift == shift_of(g->span_bytes) &&
	       g->span_pairs == g->span_bytes / BLOCK_BYTES_MIN / BITS_PER_PAIR &&
	       g->classes == class_count(g->span_bytes);
}

/*@ requires mem: \valid_read(g);
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures iff: \result <==> spans_static(g); */
static bool spans_are_static(const struct geo *g)
{
	return g->item_bytes != 0 && g->item_bytes <= QALLOC_FILESIZE_MAX &&
	       g->item_bytes % ITEM_ALIGN == 0 && g->classes == 1 && g->span_shift == 0 &&
	       is_pow2_within(g->span_items, 1, ITEMS_PER_SPAN_MAX) &&
	       is_product(g->span_bytes, g->item_bytes, g->span_items) &&
	       (g->span_items == 1 || g->span_bytes <= SPAN_BYTES_MAX) &&
	       g->span_pairs == (g->span_items + (BITS_PER_PAIR - 1)) / BITS_PER_PAIR;
}

/*@ requires some: items >= 1 && group >= 1 && spans >= 1;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures iff: \result <==> (spans - 1) * group < items <= spans * group; */
static bool is_held_by(uint64_t items, uint64_t group, uint64_t spans)
{
	uint64_t before = (items - 1) / group;

	/*@ assert units: before * group <= items - 1 < before * group + group; */
	/*@ ghost if (before + 1 < spans) product_grows(before + 1, spans - 1, group); */
	/*@ ghost if (spans <= before) product_grows(spans, before, group); */
	return before == spans - 1;
}

/*@ requires mem: \valid_read(g);
    requires spans: spans_valid(g);
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures iff: \result <==> counts_valid(g); */
static bool counts_are_valid(const struct geo *g)
{
	if (g->spans < 1 || g->spans > g->table_spans || g->data_end > g->file_size ||
	    g->data_off >= g->data_end || g->file_size > QALLOC_FILESIZE_MAX)
		return false;
	if (g->item_bytes == 0)
		return g->items == 0 &&
		       is_product(g->data_end - g->data_off, g->spans, g->span_bytes);
	if (!is_product(g->data_end - g->data_off, g->items, g->item_bytes))
		return false;
	/*@ assert static: spans_static(g); */
	/*@ assert some: g->items >= 1; */
	return is_held_by(g->items, g->span_items, g->spans);
}

/*@ requires mem: \valid_read(g);
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures iff: \result <==> regions_valid(g) && g->data_off <= QALLOC_FILESIZE_MAX; */
static bool regions_are_valid(const struct geo *g)
{
	if (g->streams < 1 || g->streams > QALLOC_STREAMS_MAX ||
	    !is_pow2_within(g->records, RECORDS_MIN, RECORDS_MAX))
		return false;
	if (g->data_off > QALLOC_FILESIZE_MAX || g->meta_end >= g->data_off ||
	    g->pairs_off > g->meta_end || g->words_off > g->pairs_off ||
	    g->records_off > g->words_off)
		return false;
	return g->records_off % PAGE == 0 && g->words_off % PAGE == 0 && g->pairs_off % PAGE == 0 &&
	       g->meta_end % GRANULE == 0 && g->data_off == g->meta_end + GRANULE &&
	       g->records_off >= STREAMS_OFF + (uint64_t)g->streams * STREAM_BYTES &&
	       g->words_off - g->records_off >= (uint64_t)g->records * RECORD_BYTES;
}

/*@ requires mem: \valid_read(g);
    requires order: g->words_off <= g->pairs_off <= g->meta_end <= QALLOC_FILESIZE_MAX;
    requires pairs: g->span_pairs <= ITEMS_PER_SPAN_MAX / 64;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures iff: \result <==> tables_hold(g); */
static bool tables_are_valid(const struct geo *g)
{
	uint64_t words_bytes = g->pairs_off - g->words_off;

	return g->table_spans <= words_bytes / WORD_BYTES &&
	       g->meta_end - g->pairs_off >= g->table_spans * (g->span_pairs * PAIR_BYTES);
}

bool geo_is_valid(const struct geo *g)
{
	return (spans_are_dynamic(g) || spans_are_static(g)) && regions_are_valid(g) &&
	       tables_are_valid(g) && counts_are_valid(g);
}
