/* SPDX-License-Identifier: MIT */
/*
 * Mutations.  Half of them put one field of the format to a value at one of its boundaries; the rest
 * change the program, the file's size together with the header's, whether the
 * checksum is repaired, or bytes without any knowledge.
 *
 *  - Trusts nothing about the input: it may be any bytes, as everywhere.
 *  - The same seed gives the same mutation.
 */
#include "mutator.h"

#include <stdbool.h>
#include <string.h>

#include "fuzz.h"

struct field {
	uint32_t off;
	uint8_t width;
};

static const struct field header_fields[] = {
	{HDR_MAGIC, 8},   {HDR_VERSION, 4},   {HDR_ENDIAN, 2},   {HDR_POINTER_BITS, 2},
	{HDR_COMPAT, 8},  {HDR_RO_COMPAT, 8}, {HDR_INCOMPAT, 8}, {HDR_KIND, 4},
	{HDR_STREAMS, 4}, {HDR_FILE_SIZE, 8}, {HDR_BASE, 8},     {HDR_ITEM_SIZE, 8},
	{HDR_FLAGS, 8},   {HDR_UUID, 8},      {HDR_CREATED, 8},  {HDR_RESERVED, 1},
	{HDR_CRC - 1, 1}, {HDR_CRC, 4},       {HDR_STREAMS, 4},  {HDR_FILE_SIZE, 8},
	{HDR_BASE, 8},    {HDR_ITEM_SIZE, 8},
};

static const struct field state_fields[] = {
	{STATE_DIRTY, 8},
	{STATE_BOOT_ID, 8},
	{STATE_FRONTIER, 8},
	{STATE_TRIMS, 8},
	{STATE_FREE_HINT, 8},
	{STATE_POOL, 8},
	{STATE_POOL + 8, 4},
	{STATE_INTENT, 8},
	{STATE_INTENT + 8, 8},
	{STATE_INTENT + 16, 8},
	{STATE_INTENT + 24, 8},
	{STATE_ROOTS, 8},
	{STATE_ROOTS + 8, 4},
	{ROOTS_OFF, 8},
	{ROOTS_OFF + ROOT_VALUE, 8},
	{ROOTS_OFF + ROOT_STATE, 8},
	{ROOTS_OFF + 64, 8},
	{ROOTS_OFF + 64 + ROOT_VALUE, 8},
	{ROOTS_OFF + 64 + ROOT_STATE, 8},
	{SLOTS_OFF, 4},
	{SLOTS_OFF + SLOT_BYTES, 4},
	{STREAMS_OFF, 8},
	{STREAMS_OFF + 8, 4},
	{STREAMS_OFF + STREAM_INTENT, 8},
	{STREAMS_OFF + STREAM_INTENT + 8, 8},
	{STREAMS_OFF + STREAM_CURSORS, 4},
	{STREAMS_OFF + STREAM_CURSORS + 4, 4},
	{STREAMS_OFF + STREAM_BYTES, 8},
	{STREAMS_OFF + STREAM_BYTES + STREAM_CURSORS, 8},
};

/* Values at which rules change their mind. */
static const uint64_t edges[] = {
	0,
	1,
	2,
	3,
	4,
	7,
	8,
	15,
	16,
	63,
	64,
	65,
	255,
	256,
	1024,
	2048,
	4095,
	4096,
	4097,
	8192,
	65535,
	0x10000,
	0x10001,
	0x20000,
	0x30000,
	0x40000,
	0x7FFFFFFF,
	0x80000000,
	0xFFFFFFFF,
	0x100000000,
	0x110000000000,
	0x510000100000,
	0x550000000000,
	0x555555550000,
	0x7FFFFFFF0000,
	QALLOC_FILESIZE_MAX,
	INT64_MAX,
	UINT64_MAX,
};

#define SMALL_FILE 600000u

static uint64_t state;

static uint32_t chance(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((state >> 33) % below);
}

static uint64_t edge_value(uint64_t now)
{
	uint64_t edge = edges[chance(sizeof(edges) / sizeof(edges[0]))];

	switch (chance(8)) {
	case 0:
		return now + 1;
	case 1:
		return now - 1;
	case 2:
		return now ^ (uint64_t)1 << chance(64);
	case 3:
		return edge - 1;
	case 4:
		return edge + 8 * chance(4);
	case 5:
		return now + 0x10000u * (uint64_t)(chance(5) - 2);
	default:
		return edge;
	}
}

/* ---- The parts of an input -------------------------------------------------- */

struct parts {
	uint8_t *data;
	size_t size, room;
	size_t program; /* where it begins */
};

static struct parts parts_of(uint8_t *data, size_t size, size_t room)
{
	size_t program = (size_t)get_le(data + 2, 2);

	if (program > size - PREFIX_BYTES)
		program = size - PREFIX_BYTES;
	return (struct parts){.data = data, .size = size, .room = room, .program = size - program};
}

/* The bytes of the input that the file has at `off` in the end, or NULL. */
static uint8_t *find(const struct parts *p, uint64_t off, unsigned width)
{
	struct input patches = {.at = p->data + PREFIX_BYTES, .left = p->program - PREFIX_BYTES};
	struct input bytes;
	uint64_t at = 0;
	uint8_t *found = NULL;

	while (patch_next(&patches, &at, &bytes)) {
		if (off >= at && off - at + width <= bytes.left)
			found = (uint8_t *)(uintptr_t)bytes.at + (off - at);
	}
	return found;
}

/* Puts a value at an offset of the file: in place, or by one more patch. */
static void put(struct parts *p, uint64_t off, unsigned width, uint64_t value)
{
	uint8_t *found = find(p, off, width);
	size_t more = PATCH_BYTES + width;

	if (found != NULL) {
		put_le(found, width, value);
		return;
	}
	if (p->room - p->size < more)
		return;
	memmove(p->data + p->program + more, p->data + p->program, p->size - p->program);
	put_le(p->data + p->program, 6, off);
	put_le(p->data + p->program + 6, 2, width);
	put_le(p->data + p->program + PATCH_BYTES, width, value);
	p->program += more;
	p->size += more;
}

static uint64_t get(const struct parts *p, uint64_t off, unsigned width)
{
	const uint8_t *found = find(p, off, width);

	return found == NULL ? 0 : get_le(found, width);
}

/* The geometry that the header gives; false: it has none. */
static bool geometry(const struct parts *p, struct geo *g)
{
	struct params q = {.file_size = get(p, HDR_FILE_SIZE, 8),
			   .base = 0x510000000000,
			   .item_size = get(p, HDR_ITEM_SIZE, 8),
			   .kind = (uint32_t)get(p, HDR_KIND, 4),
			   .streams = (uint32_t)get(p, HDR_STREAMS, 4)};

	return params_check(&q) == QALLOC_OK && geo_compute(&q, g) == QALLOC_OK;
}

/* ---- Mutations ---------------------------------------------------------------- */

static void mutate_field(struct parts *p, const struct field *fields, uint32_t count)
{
	const struct field *f = &fields[chance(count)];

	put(p, f->off, f->width, edge_value(get(p, f->off, f->width)));
}

/* Files with holes are slow to make: they are left more often than entered. */
static void mutate_control(uint8_t *control)
{
	uint8_t bit = (uint8_t)(1u << chance(3));

	if (bit != CONTROL_HOLES || (*control & bit) != 0 || chance(4) == 0)
		*control ^= bit;
}

/* Most files stay small: large ones are slow, and break no more rules. */
static void mutate_size(struct parts *p)
{
	uint64_t size = edge_value(get_le(p->data + 4, 8));

	if (size > SMALL_FILE && chance(4) != 0)
		size = 196608 + size % (SMALL_FILE - 196608);
	put_le(p->data + 4, 8, size);
	if (chance(4) != 0)
		put(p, HDR_FILE_SIZE, 8, size);
}

static uint64_t span_value(const struct geo *g, uint64_t span)
{
	switch (chance(7)) {
	case 0:
		return SPAN_FREE;
	case 1:
		return SPAN_TAIL;
	case 2:
		return span_word_run(1 + chance(4));
	case 3:
		return span_word_run(g->spans - span);
	case 4:
		return edge_value(span_word_small(chance(g->streams), chance(g->classes)));
	default:
		return span_word_small(chance(g->streams), chance(g->classes));
	}
}

/* A span's word, or a whole run of them, or its bits. */
static void mutate_span(struct parts *p)
{
	struct geo g;

	if (!geometry(p, &g))
		return;
	uint64_t span = chance(g.spans < 24 ? (uint32_t)g.spans : 24);
	uint64_t length = 1 + chance(5);

	switch (chance(4)) {
	case 0:
		put(p,
		    g.pairs_off + (span * g.span_pairs + chance(g.span_pairs)) * PAIR_BYTES +
			    8 * chance(2),
		    8, edge_value(get(p, g.pairs_off + span * g.span_pairs * PAIR_BYTES, 8)));
		break;
	case 1:
		put(p, g.words_off + span * 8, 8, span_word_run(length));
		for (uint64_t i = 1; i < length && span + i < g.spans; i++)
			put(p, g.words_off + (span + i) * 8, 8, SPAN_TAIL);
		break;
	default:
		put(p, g.words_off + span * 8, 8, span_value(&g, span));
		break;
	}
}

/* The pool's holder died, and left this. */
static void mutate_intent(struct parts *p)
{
	put(p, STATE_POOL, 8, UINT64_C(0x0000000500100001));
	put(p, STATE_INTENT, 8, chance(4));
	put(p, STATE_INTENT + 8, 8, chance(20));
	put(p, STATE_INTENT + 16, 8, chance(8));
	if (chance(3) == 0)
		put(p, STATE_FRONTIER, 8, chance(20));
}

/* An offset of something that a cell or an intent may name. */
static uint64_t place_value(const struct geo *g)
{
	switch (chance(8)) {
	case 0:
		return ROOTS_OFF + chance(4) * ROOT_BYTES + ROOT_VALUE;
	case 1:
		return g->records_off + chance(4) * RECORD_BYTES + RECORD_BLOCK;
	case 2:
		return edge_value(g->data_off);
	case 3:
		return edge_value(g->data_end);
	default:
		return g->data_off + chance(12) * g->span_bytes + chance(32) * 16;
	}
}

/* A thread died between a block and the pointer to it. */
static void mutate_cell(struct parts *p)
{
	struct geo g;

	if (!geometry(p, &g))
		return;
	uint64_t block = place_value(&g), cell = place_value(&g);
	uint64_t at = STREAMS_OFF + chance(g.streams) * STREAM_BYTES;

	switch (chance(3)) {
	case 0:
		at = g.records_off + chance(3) * RECORD_BYTES;
		put(p, at + RECORD_OWNER, 8, UINT64_C(0x0000000500100001));
		put(p, at + RECORD_CELL, 8, cell);
		put(p, at + RECORD_BLOCK, 8, block);
		break;
	case 1:
		put(p, STATE_INTENT + 24, 8, cell);
		break;
	default:
		put(p, at + STREAM_LOCK, 8, UINT64_C(0x0000000500100001));
		put(p, at + STREAM_INTENT, 8, block);
		put(p, at + STREAM_INTENT + 8, 8, cell);
		break;
	}
	/* As it would be, if the pointer was stored. */
	if (chance(2) == 0)
		put(p, cell % QALLOC_FILESIZE_MAX, 8,
		    cell < g.data_off ? block : block + get(p, HDR_BASE, 8));
}

static void mutate_program(struct parts *p, havoc_fn *havoc)
{
	size_t most = p->room - p->program;

	/* The engine reads before it looks at the room. */
	if (most < 16 || p->size - p->program > 1024)
		return;
	size_t size = havoc(p->data + p->program, p->size - p->program, most < 1024 ? most : 1024);

	p->size = p->program + size;
}

/* One operation put in somewhere, with a few bytes behind it. */
static void insert_operation(struct parts *p)
{
	size_t length = 1 + chance(4);
	size_t at = p->program + chance((uint32_t)(p->size - p->program) + 1);

	if (p->room - p->size < length)
		return;
	memmove(p->data + at + length, p->data + at, p->size - at);
	for (size_t i = 0; i < length; i++)
		p->data[at + i] = (uint8_t)chance(256);
	p->size += length;
}

static void drop_last_patch(struct parts *p)
{
	struct input patches = {.at = p->data + PREFIX_BYTES, .left = p->program - PREFIX_BYTES};
	struct input bytes;
	size_t last = p->program;
	uint64_t off = 0;

	for (size_t at = PREFIX_BYTES; patch_next(&patches, &off, &bytes);
	     at = (size_t)(patches.at - p->data))
		last = at;
	memmove(p->data + last, p->data + p->program, p->size - p->program);
	p->size -= p->program - last;
	p->program = last;
}

static void mutate_parts(struct parts *p, havoc_fn *havoc)
{
	switch (chance(16)) {
	case 0:
	case 1:
	case 2:
		mutate_field(p, header_fields, sizeof(header_fields) / sizeof(header_fields[0]));
		break;
	case 3:
	case 4:
		mutate_field(p, state_fields, sizeof(state_fields) / sizeof(state_fields[0]));
		break;
	case 5:
	case 6:
		mutate_span(p);
		break;
	case 7:
		mutate_size(p);
		break;
	case 8:
		mutate_control(p->data);
		break;
	case 9:
		p->data[1] ^= (uint8_t)(1u << chance(7));
		break;
	case 10:
		if (chance(2) == 0)
			mutate_intent(p);
		else
			mutate_cell(p);
		break;
	case 11:
		if (chance(4) == 0)
			drop_last_patch(p);
		else
			insert_operation(p);
		break;
	default:
		mutate_program(p, havoc);
		break;
	}
}

size_t mutate_input(uint8_t *data, size_t size, size_t room, uint32_t seed, havoc_fn *havoc)
{
	state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
	if (size < PREFIX_BYTES || room < PREFIX_BYTES || chance(16) == 0)
		return havoc(data, size, room);

	struct parts p = parts_of(data, size, room);

	for (uint32_t i = 1 + chance(3); i > 0; i--)
		mutate_parts(&p, havoc);
	put_le(p.data + 2, 2, p.size - p.program < 65535 ? p.size - p.program : 65535);
	return p.size;
}

size_t splice_inputs(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out,
		     size_t room, uint32_t seed)
{
	if (a_size < PREFIX_BYTES || b_size < PREFIX_BYTES || a_size + b_size > room)
		return 0;
	state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;

	/* Only read. */
	struct parts pa = parts_of((uint8_t *)(uintptr_t)a, a_size, a_size);
	struct parts pb = parts_of((uint8_t *)(uintptr_t)b, b_size, b_size);
	size_t size = pa.program, program = b_size - pb.program;

	memcpy(out, a, size);
	if (chance(2) == 0) {
		/* Later patches win: the state of b in the file of a. */
		memcpy(out + size, b + PREFIX_BYTES, pb.program - PREFIX_BYTES);
		size += pb.program - PREFIX_BYTES;
	}
	memcpy(out + size, b + pb.program, program);
	size += program;
	if (chance(2) == 0) {
		memcpy(out + size, a + pa.program, a_size - pa.program);
		size += a_size - pa.program;
		program += a_size - pa.program;
	}
	put_le(out + 2, 2, program < 65535 ? program : 65535);
	return size;
}
