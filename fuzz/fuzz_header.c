/* SPDX-License-Identifier: MIT */
/*
 * Property: any bytes are refused with the first rule of qalloc(5) that they break, or decode to
 * parameters that encode to the same bytes and have a geometry that satisfies the executable
 * predicate.  The rules are written here a second time, from the manual.
 *
 *   make fuzz HARNESSES=header FUZZ_SECONDS=60
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

/* A file of this many bytes is far from the limit, whatever its tables take. */
#define SURELY_SERVED ((uint64_t)1 << 40)

/* The rules on the values, in the order of the manual. */
static enum qalloc_err values_rule(const uint8_t *h)
{
	uint64_t kind = get_le(h + 40, 4), streams = get_le(h + 44, 4), size = get_le(h + 48, 8);
	uint64_t base = get_le(h + 56, 8), item = get_le(h + 64, 8);
	uint64_t span = (size + 0xFFFF) / 0x10000 * 0x10000 + 0x10000;

	if (kind != 1 && kind != 2)
		return QALLOC_EKIND;
	if ((get_le(h + 72, 8) & ~UINT64_C(1)) != 0)
		return QALLOC_EFLAGS;
	if (size == 0 || size > UINT64_C(1) << 46)
		return QALLOC_EFILESIZE;
	if (kind == 1 ? item == 0 || item > UINT64_C(1) << 46 : item != 0)
		return QALLOC_EITEMSIZE;
	if (streams < 1 || streams > 4096)
		return QALLOC_ESTREAMS;
	if (base == 0)
		return QALLOC_EADDRNULL;
	if (base % 0x10000 != 0)
		return QALLOC_EADDRALIGN;
	if (base >= UINT64_C(0x7FFFFFFF0000))
		return QALLOC_EADDRWINDOW;
	if (base + span > UINT64_C(0x7FFFFFFF0000))
		return QALLOC_EADDRWRAP;
	return QALLOC_OK;
}

static enum qalloc_err expected_rule(const uint8_t *h, size_t len, uint64_t file_size)
{
	if (len < 256 || file_size < 256)
		return QALLOC_ESHORT;
	if (memcmp(h,
		   "\x89"
		   "QALNEW\n",
		   8) == 0)
		return QALLOC_ECREATING;
	if (memcmp(h,
		   "\x89"
		   "QALC\r\n\x1a",
		   8) != 0)
		return QALLOC_EMAGIC;
	if (get_le(h + 8, 4) != 1)
		return QALLOC_EVERSION;
	if (h[12] != 2 || h[13] != 1)
		return QALLOC_EBYTEORDER;
	if (get_le(h + 14, 2) != 64)
		return QALLOC_EPOINTER;
	if (get_le(h + 32, 8) != 0)
		return QALLOC_EFEATURE;
	if (get_le(h + 252, 4) != header_checksum(h))
		return QALLOC_ECHECKSUM;
	for (unsigned i = 104; i < 252; i++) {
		if (h[i] != 0)
			return QALLOC_ERESERVED;
	}
	if (values_rule(h) != QALLOC_OK)
		return values_rule(h);
	return get_le(h + 48, 8) == file_size ? QALLOC_OK : QALLOC_EFILESIZE;
}

/* The room of an item, and of a map's tables: what fits, fits, and what does not, does not. */
static void geometry_holds(const struct params *p, const struct geo *g)
{
	uint64_t last = g->data_end - g->data_off - 1;
	uint64_t rels[] = {0, last / 2, last};

	FUZZ_CHECK(geo_is_valid(g));
	FUZZ_CHECK(g->file_size == p->file_size && g->streams == p->streams);
	FUZZ_CHECK((g->items == 0) == (p->kind == QALLOC_DYNAMIC));
	FUZZ_CHECK(g->items == 0 ||
		   (g->item_bytes >= p->item_size && g->item_bytes - p->item_size < 8));
	/* Nothing that would have fitted is given away. */
	FUZZ_CHECK(g->file_size - g->data_end < (g->items != 0 ? g->item_bytes : g->span_bytes));
	for (unsigned i = 0; i < 3; i++) {
		uint64_t span = geo_span_at(g, rels[i]);
		uint32_t cls = g->classes - 1;

		FUZZ_CHECK(span < g->spans && span * g->span_bytes <= rels[i]);
		struct place at = geo_place(g, rels[i], span, cls);
		uint64_t rel = geo_item_rel(g, span, cls, at.item);

		FUZZ_CHECK(at.start == (rel == rels[i]) || at.item >= geo_span_items(g, span, cls));
		FUZZ_CHECK(rel <= rels[i]);
		FUZZ_CHECK(geo_span_items(g, span, cls) ==
			   (g->items == 0
				    ? g->span_bytes / class_bytes(cls)
				    : min_u64(g->span_items, g->items - span * g->span_items)));
		FUZZ_CHECK(at.item >= geo_span_items(g, span, cls) ||
			   rels[i] - rel < geo_block_bytes(g, cls));
	}
}

/* Fields, each changed so that the geometry is not one any more: set to a value, or raised by it. */
static const struct {
	size_t off;
	unsigned width;
	bool set;
	uint64_t value;
} breaks[] = {
	{offsetof(struct geo, file_size), 8, false, QALLOC_FILESIZE_MAX},
	{offsetof(struct geo, streams), 4, true, 0},
	{offsetof(struct geo, streams), 4, true, QALLOC_STREAMS_MAX + 1},
	{offsetof(struct geo, records), 4, false, 1},
	{offsetof(struct geo, records), 4, true, RECORDS_MAX * 2},
	{offsetof(struct geo, spans), 8, true, 0},
	{offsetof(struct geo, spans), 8, false, 1},
	{offsetof(struct geo, spans), 8, false, QALLOC_FILESIZE_MAX},
	{offsetof(struct geo, span_bytes), 8, true, 0},
	{offsetof(struct geo, span_bytes), 8, false, 8},
	{offsetof(struct geo, span_bytes), 8, false, SPAN_BYTES_MAX},
	{offsetof(struct geo, span_shift), 4, false, 1},
	{offsetof(struct geo, span_shift), 4, true, 17},
	{offsetof(struct geo, span_pairs), 4, false, 1},
	{offsetof(struct geo, span_pairs), 4, true, ITEMS_PER_SPAN_MAX},
	{offsetof(struct geo, data_end), 8, false, 1},
	{offsetof(struct geo, data_end), 8, false, QALLOC_FILESIZE_MAX},
	{offsetof(struct geo, data_end), 8, true, 0},
	{offsetof(struct geo, data_off), 8, false, GRANULE},
	{offsetof(struct geo, data_off), 8, false, QALLOC_FILESIZE_MAX},
	{offsetof(struct geo, meta_end), 8, false, 4096},
	{offsetof(struct geo, meta_end), 8, false, GRANULE},
	{offsetof(struct geo, meta_end), 8, false, 2 * GRANULE},
	{offsetof(struct geo, pairs_off), 8, false, 8},
	{offsetof(struct geo, pairs_off), 8, false, QALLOC_FILESIZE_MAX},
	{offsetof(struct geo, pairs_off), 8, true, STREAMS_OFF},
	{offsetof(struct geo, words_off), 8, false, 8},
	{offsetof(struct geo, words_off), 8, false, QALLOC_FILESIZE_MAX},
	{offsetof(struct geo, words_off), 8, true, STREAMS_OFF},
	{offsetof(struct geo, records_off), 8, false, 8},
	{offsetof(struct geo, records_off), 8, false, QALLOC_FILESIZE_MAX},
	{offsetof(struct geo, records_off), 8, true, STREAMS_OFF},
	{offsetof(struct geo, span_items), 4, false, 2},
	{offsetof(struct geo, classes), 4, false, 1},
	{offsetof(struct geo, item_bytes), 8, false, 1},
	{offsetof(struct geo, items), 8, false, 1},
};

/* Moves everything from a table on: the first `from` of words, pairs, end of metadata, data. */
static void shift(struct geo *g, unsigned from, uint64_t bytes)
{
	uint64_t *const offsets[] = {&g->records_off, &g->words_off, &g->pairs_off, &g->meta_end,
				     &g->data_off,    &g->data_end,  &g->file_size};

	for (unsigned i = from; i < 7; i++)
		*offsets[i] += bytes;
}

#define TWISTS 17
#define ODD_SPAN_BYTES ((uint64_t)0x1400)

/*
 * Geometries that break one clause and keep all others, which takes several fields.  False: this one
 * cannot be broken so.
 */
static bool twist(struct geo *g, unsigned how)
{
	uint64_t words = (g->pairs_off - g->words_off) / 8;
	bool is_static = g->items != 0;

	switch (how) {
	case 0: /* items that are no multiple of 8 */
		g->item_bytes -= 1;
		g->span_bytes -= g->span_items;
		g->data_end -= g->items;
		return is_static && g->item_bytes > 8;
	case 1: /* three items in a span */
		g->span_items = 3;
		g->span_bytes = 3 * g->item_bytes;
		g->spans = (g->items - 1) / 3 + 1;
		return is_static && g->span_pairs == 1 && g->span_bytes <= SPAN_BYTES_MAX &&
		       g->spans <= g->table_spans;
	case 2: /* several large items in a span */
		g->span_items = 2;
		g->span_bytes = 2 * g->item_bytes;
		g->spans = (g->items - 1) / 2 + 1;
		return is_static && g->span_pairs == 1 && g->span_bytes > SPAN_BYTES_MAX &&
		       g->spans <= g->table_spans;
	case 3:
		g->table_spans = g->spans - 1;
		return true;
	case 4:
		g->file_size = g->data_end - 1;
		return true;
	case 5:
		g->streams = QALLOC_STREAMS_MAX + 1;
		shift(g, 0, (uint64_t)4 << 20);
		return true;
	case 6:
		g->records = RECORDS_MAX + 1;
		shift(g, 1, (uint64_t)1 << 20);
		return true;
	case 7:
		shift(g, 3, 4096);
		return true;
	case 8:
		shift(g, 4, GRANULE);
		return true;
	case 9:
		g->records = RECORDS_MAX;
		return g->words_off - g->records_off < RECORDS_MAX * RECORD_BYTES;
	case 10:
		g->table_spans = words + 1;
		shift(g, 3, (g->table_spans * g->span_pairs * PAIR_BYTES / GRANULE + 1) * GRANULE);
		return true;
	case 11:
		g->table_spans = words;
		return words * g->span_pairs * PAIR_BYTES > g->meta_end - g->pairs_off;
	case 12:
		g->records_off -= 8;
		return true;
	case 13:
		/* The sum wraps. */
		g->meta_end = 0 - (uint64_t)GRANULE;
		g->data_end -= g->data_off;
		g->data_off = 0;
		return true;
	case 14: /* spans of both kinds */
		g->item_bytes = g->data_end - g->data_off;
		g->items = 1;
		return !is_static;
	case 15: /* spans that are no power of two */
		g->spans = min_u64(g->spans, (g->data_end - g->data_off) / ODD_SPAN_BYTES);
		g->data_end = g->data_off + g->spans * ODD_SPAN_BYTES;
		g->span_shift = 12;
		g->span_pairs = ODD_SPAN_BYTES / 16 / 64;
		g->classes = class_count(ODD_SPAN_BYTES);
		if (g->span_bytes < ODD_SPAN_BYTES)
			return false;
		g->span_bytes = ODD_SPAN_BYTES;
		return !is_static;
	default:
		shift(g, 3, GRANULE);
		g->pairs_off += 8;
		return true;
	}
}

/* The predicate sees each of these. */
static void predicate_holds(const struct geo *g)
{
	for (unsigned i = 0; i < TWISTS; i++) {
		struct geo bad = *g;

		if (twist(&bad, i) && bad.file_size <= QALLOC_FILESIZE_MAX)
			FUZZ_CHECK(!geo_is_valid(&bad));
	}
	for (size_t i = 0; i < sizeof(breaks) / sizeof(breaks[0]); i++) {
		struct geo bad = *g;
		uint8_t *field = (uint8_t *)&bad + breaks[i].off;
		uint64_t was = breaks[i].set ? 0 : get_le(field, breaks[i].width);

		put_le(field, breaks[i].width, was + breaks[i].value);
		FUZZ_CHECK(!geo_is_valid(&bad));
	}
}

/* Any arguments: no file, or one that serves. */
static void sizes_total(const uint8_t *h)
{
	uint64_t item = get_le(h + 64, 8), streams = get_le(h + 44, 4), count = get_le(h + 96, 8);
	struct params p = {.kind = QALLOC_STATIC, .item_size = item, .streams = (uint32_t)streams};
	bool sound = streams >= 1 && streams <= QALLOC_STREAMS_MAX;
	struct geo g;

	p.file_size = geo_static_size(item, count, streams);
	answer(p.file_size);
	FUZZ_CHECK(p.file_size == 0 ||
		   (sound && item > 0 && count > 0 && item <= QALLOC_FILESIZE_MAX));
	FUZZ_CHECK(p.file_size != 0 || !sound || item == 0 || count == 0 ||
		   item > SURELY_SERVED / count);
	if (p.file_size != 0)
		FUZZ_CHECK(geo_compute(&p, &g) == QALLOC_OK && g.items >= count);
	p.kind = QALLOC_DYNAMIC;
	p.item_size = 0;
	p.file_size = geo_dynamic_size(count, streams);
	answer(p.file_size);
	FUZZ_CHECK(p.file_size == 0 || (sound && count <= QALLOC_FILESIZE_MAX));
	FUZZ_CHECK(p.file_size != 0 || !sound || count > SURELY_SERVED);
	if (p.file_size != 0)
		FUZZ_CHECK(geo_compute(&p, &g) == QALLOC_OK && g.data_end - g.data_off >= count);
}

/* The sizes that the library recommends are accepted, serve what they promise, and not a byte too much. */
static void sizes_hold(const struct params *p)
{
	struct params q = *p;
	struct geo g;
	uint64_t items = p->created % 100000;
	bool is_static = p->kind == QALLOC_STATIC;
	uint64_t size = is_static ? geo_static_size(p->item_size, items, p->streams)
				  : geo_dynamic_size(p->created, p->streams);

	answer(size);
	if (size == 0)
		return;
	q.file_size = size;
	FUZZ_CHECK(size <= QALLOC_FILESIZE_MAX && geo_compute(&q, &g) == QALLOC_OK);
	FUZZ_CHECK(is_static ? g.items >= items : g.data_end - g.data_off >= p->created);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image image = image_parse(input_copy(data, size));
	/* What was read may be less than the file has. */
	size_t len = (image.control & CONTROL_NO_SPACE) != 0 ? HDR_BYTES - 1 : HDR_BYTES;
	uint8_t whole[HDR_BYTES], again[HDR_BYTES];
	/* The last bytes of a buffer: one byte more is a finding. */
	static uint8_t *room;
	uint8_t *bytes;
	struct params p;
	struct geo g;

	if (room == NULL)
		room = malloc(HDR_BYTES);
	FUZZ_CHECK(room != NULL);
	bytes = room + HDR_BYTES - len;
	image_header(&image, whole);
	memcpy(bytes, whole, len);
	enum qalloc_err wanted = expected_rule(whole, len, image.file_size);
	enum qalloc_err found = hdr_decode(bytes, len, image.file_size, &p);

	answer((uint64_t)found);
	bool slow = (image.control & CONTROL_SIZES) != 0;

	if (slow)
		sizes_total(whole);
	if (wanted != QALLOC_OK) {
		FUZZ_CHECK(found == wanted);
		/* The same rules on the values, without the file. */
		if (wanted != QALLOC_ESHORT && values_rule(whole) != QALLOC_OK)
			FUZZ_CHECK(params_check(&p) == values_rule(whole));
		return 0;
	}
	FUZZ_CHECK(params_check(&p) == found && geo_compute(&p, &g) == found);
	if (slow)
		sizes_hold(&p);
	if (found == QALLOC_OK) {
		hdr_encode(&p, again);
		FUZZ_CHECK(memcmp(again, whole, sizeof(again)) == 0);
		geometry_holds(&p, &g);
		if (slow)
			predicate_holds(&g);
		return 0;
	}
	/* Too small for one item, or one span: then the smallest that is not is larger. */
	FUZZ_CHECK(found == QALLOC_EFILESIZE || found == QALLOC_EITEMSIZE);
	uint64_t least = p.kind == QALLOC_STATIC ? geo_static_size(p.item_size, 1, p.streams)
						 : geo_dynamic_size(1, p.streams);

	FUZZ_CHECK(least == 0 || least > p.file_size);
	return 0;
}
