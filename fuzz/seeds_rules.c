/* SPDX-License-Identifier: MIT */
/*
 * One seed for each rule on a header, for each way to open a file, and for each rule on the state.
 */
#include "seeds.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- The header's rules ----------------------------------------------------- */

struct field {
	const char *name;
	unsigned off, width;
	uint64_t value;
	bool is_static;
	uint8_t control;
};

static const struct field broken[] = {
	{"magic", 0, 8, 0x0A1A0A0D43414C51, false, CONTROL_REPAIR},
	{"magic-one-bit", 7, 1, 0x1B, false, CONTROL_REPAIR},
	{"version-0", HDR_VERSION, 4, 0, false, CONTROL_REPAIR},
	{"version-2", HDR_VERSION, 4, 2, false, CONTROL_REPAIR},
	{"byte-order", HDR_ENDIAN, 2, 0x0201, false, CONTROL_REPAIR},
	{"pointer-32", HDR_POINTER_BITS, 2, 32, false, CONTROL_REPAIR},
	{"compat-unknown-is-fine", HDR_COMPAT, 8, UINT64_MAX, false, CONTROL_REPAIR},
	{"ro-compat-unknown", HDR_RO_COMPAT, 8, 4, false, CONTROL_REPAIR},
	{"incompat-unknown", HDR_INCOMPAT, 8, 1, false, CONTROL_REPAIR},
	{"sizes-no-items", HDR_CREATED, 8, 0, true, CONTROL_REPAIR | CONTROL_SIZES},
	{"sizes-too-many-items", HDR_CREATED, 8, UINT64_C(1) << 44, true,
	 CONTROL_REPAIR | CONTROL_SIZES},
	{"sizes-items-wrap", HDR_CREATED, 8, (UINT64_C(1) << 61) + 1, true,
	 CONTROL_REPAIR | CONTROL_SIZES},
	{"sizes-at-limit", HDR_CREATED, 8, QALLOC_FILESIZE_MAX, false,
	 CONTROL_REPAIR | CONTROL_SIZES},
	{"sizes-over-limit", HDR_CREATED, 8, UINT64_MAX, false, CONTROL_REPAIR | CONTROL_SIZES},
	{"sizes-item-wraps", HDR_ITEM_SIZE, 8, UINT64_MAX - 3, true,
	 CONTROL_REPAIR | CONTROL_SIZES},
	{"sizes-streams-4097", HDR_STREAMS, 4, 4097, true, CONTROL_REPAIR | CONTROL_SIZES},
	{"read-short", HDR_CREATED, 8, 1, false, CONTROL_REPAIR | CONTROL_NO_SPACE},
	{"checksum", HDR_CRC, 4, 0, false, 0},
	{"checksum-of-another-field", HDR_CREATED, 8, 1, false, 0},
	{"reserved-first", HDR_RESERVED, 1, 1, false, CONTROL_REPAIR},
	{"reserved-last", HDR_CRC - 1, 1, 128, false, CONTROL_REPAIR},
	{"kind-0", HDR_KIND, 4, 0, false, CONTROL_REPAIR},
	{"kind-3", HDR_KIND, 4, 3, true, CONTROL_REPAIR},
	{"kind-high-bits", HDR_KIND, 4, 0x80000001, true, CONTROL_REPAIR},
	{"flags-unknown", HDR_FLAGS, 8, 2, false, CONTROL_REPAIR},
	{"flags-high", HDR_FLAGS, 8, UINT64_C(1) << 63, false, CONTROL_REPAIR},
	{"file-size-0", HDR_FILE_SIZE, 8, 0, false, CONTROL_REPAIR},
	{"file-size-0-and-streams-0", HDR_STREAMS, 8, 0, true, CONTROL_REPAIR},
	{"file-size-one-less", HDR_FILE_SIZE, 8, 262143, false, CONTROL_REPAIR},
	{"file-size-one-more", HDR_FILE_SIZE, 8, 262145, false, CONTROL_REPAIR},
	{"file-size-over-limit", HDR_FILE_SIZE, 8, (UINT64_C(1) << 46) + 1, false, CONTROL_REPAIR},
	{"file-size-max", HDR_FILE_SIZE, 8, UINT64_MAX, false, CONTROL_REPAIR},
	{"item-size-0", HDR_ITEM_SIZE, 8, 0, true, CONTROL_REPAIR},
	{"item-size-dynamic", HDR_ITEM_SIZE, 8, 8, false, CONTROL_REPAIR},
	{"item-size-over-limit", HDR_ITEM_SIZE, 8, (UINT64_C(1) << 46) + 1, true, CONTROL_REPAIR},
	{"item-size-max", HDR_ITEM_SIZE, 8, UINT64_MAX, true, CONTROL_REPAIR},
	{"item-size-wraps-when-rounded", HDR_ITEM_SIZE, 8, UINT64_MAX - 3, true, CONTROL_REPAIR},
	{"item-size-over-data", HDR_ITEM_SIZE, 8, 65537, true, CONTROL_REPAIR},
	{"item-size-just-fits", HDR_ITEM_SIZE, 8, 65536, true, CONTROL_REPAIR},
	{"streams-0", HDR_STREAMS, 4, 0, false, CONTROL_REPAIR},
	{"streams-4097", HDR_STREAMS, 4, 4097, false, CONTROL_REPAIR},
	{"streams-max", HDR_STREAMS, 4, UINT32_MAX, false, CONTROL_REPAIR},
	{"streams-4096-leave-no-span", HDR_STREAMS, 4, 4096, false, CONTROL_REPAIR},
	{"address-null", HDR_BASE, 8, 0, false, CONTROL_REPAIR},
	{"address-unaligned", HDR_BASE, 8, BASE + 4096, false, CONTROL_REPAIR},
	{"address-low", HDR_BASE, 8, 4096, false, CONTROL_REPAIR},
	{"address-kernel", HDR_BASE, 8, UINT64_C(0xFFFF800000000000), false, CONTROL_REPAIR},
	{"address-at-end", HDR_BASE, 8, ADDR_END, false, CONTROL_REPAIR},
	/* The file takes four granules, and its guard another one. */
	{"address-wraps", HDR_BASE, 8, ADDR_END - 0x30000, false, CONTROL_REPAIR},
	{"address-guard-wraps", HDR_BASE, 8, ADDR_END - 0x40000, true, CONTROL_REPAIR},
	{"address-guard-fits", HDR_BASE, 8, ADDR_END - 0x50000, false, CONTROL_REPAIR},
	{"address-taken", HDR_BASE, 8, 0x600000000000, false, CONTROL_REPAIR},
};

struct params sound(bool is_static)
{
	return (struct params){.file_size = 262144,
			       .base = BASE,
			       .item_size = is_static ? 40 : 0,
			       .created = 1000000000,
			       .uuid = {1, 2},
			       .kind = is_static ? QALLOC_STATIC : QALLOC_DYNAMIC,
			       .streams = 1};
}

static void write_header(const struct seed *image, const char *name)
{
	struct seed s = *image;

	write_seed(&s, "header", name);
	program_everything(&s);
	write_seed(&s, "loadmap", name);
}

void header_seeds(void)
{
	uint8_t header[HDR_BYTES];

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		const struct field *f = &broken[i];
		struct params p = sound(f->is_static);
		struct seed s = begin(f->control, 0, p.file_size);

		hdr_encode(&p, header);
		put_le(header + f->off, f->width, f->value);
		patch(&s, 0, header, sizeof(header));
		write_header(&s, f->name);
	}

	static const uint64_t sizes[] = {0,      1,      255,    256,    4096,  65536,
					 196607, 196608, 196615, 200703, 200704};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (int is_static = 0; is_static < 2; is_static++) {
			struct params p = sound(is_static);
			char name[64];

			p.file_size = sizes[i];
			struct seed s = begin_with(CONTROL_REPAIR | CONTROL_HOLES, &p);

			snprintf(name, sizeof(name), "size-%s-%u", is_static ? "static" : "dynamic",
				 (unsigned)sizes[i]);
			write_header(&s, name);
		}
	}
}

/* Where spans double and the tables shrink, some numbers of items are skipped: here 1000 to 1026. */
static void number_that_no_size_has(void)
{
	struct params p = sound(true);

	p.file_size = 2621440;
	p.item_size = 2358;
	p.streams = 5;
	p.created = 1024; /* the number */
	struct seed s = begin_with(CONTROL_REPAIR | CONTROL_SIZES, &p);

	write_seed(&s, "header", "sizes-skip-items");
}

/* Parameters for the geometry: from the smallest to the largest. */
void geometry_seeds(void)
{
	static const uint64_t sizes[] = {300000, 1 << 20, 17 << 20, UINT64_C(1) << 32,
					 UINT64_C(1) << 46};
	static const uint64_t items[] = {0, 1, 8, 64, 4096, UINT64_C(1) << 33, 1 << 20};
	static const uint32_t streams[] = {1, 64, 4096};
	char name[64];

	for (unsigned i = 0; i < 5 * 7 * 3; i++) {
		struct params p = sound(items[i / 5 % 7] != 0);

		p.file_size = sizes[i % 5];
		p.item_size = items[i / 5 % 7];
		p.streams = streams[i / 35];
		p.base = UINT64_C(0x110000000000);
		p.created = 1 + i * 997;
		struct seed s = begin_with(CONTROL_REPAIR | (i % 2 == 0 ? CONTROL_SIZES : 0), &p);

		snprintf(name, sizeof(name), "geometry-%u-%u-%u", i % 5, i / 5 % 7, p.streams);
		write_seed(&s, "header", name);
	}
	number_that_no_size_has();
}

/* ---- Opening ------------------------------------------------------------------ */

static void open_seed(const char *name, uint8_t options, uint64_t size, const void *bytes,
		      size_t count, uint64_t off)
{
	struct seed s = begin(CONTROL_HOLES, options, size);

	if (count > 0)
		patch(&s, off, bytes, count);
	program_everything(&s);
	write_seed(&s, "loadmap", name);
	if ((options & OPEN_CREATE) == 0 && count == HDR_BYTES)
		write_seed(&s, "header", name);
}

void open_seeds(void)
{
	struct params p = sound(false);
	uint8_t header[HDR_BYTES];

	hdr_encode(&p, header);
	open_seed("create-empty", OPEN_CREATE, 0, NULL, 0, 0);
	open_seed("create-empty-static", OPEN_CREATE | OPEN_STATIC, 0, NULL, 0, 0);
	open_seed("create-zero-on-free", OPEN_CREATE | OPEN_ZERO_ON_FREE, 0, NULL, 0, 0);
	open_seed("create-all-hole", OPEN_CREATE, 262144, NULL, 0, 0);
	open_seed("create-hole-of-other-size", OPEN_CREATE, 100, NULL, 0, 0);
	open_seed("create-text", OPEN_CREATE, 12, "some\ntext\n\n\n", 12, 0);
	open_seed("create-zeros-on-disk", OPEN_CREATE, 4096, "\0\0\0\0\0\0\0\0", 8, 0);
	open_seed("create-data-behind", OPEN_CREATE, 262144, "x", 1, 200000);
	open_seed("create-existing", OPEN_CREATE, p.file_size, header, HDR_BYTES, 0);
	open_seed("create-exclusive", OPEN_CREATE | OPEN_EXCLUSIVE, 0, NULL, 0, 0);
	open_seed("exclusive-alone", OPEN_EXCLUSIVE, p.file_size, header, HDR_BYTES, 0);
	open_seed("create-readonly", OPEN_CREATE | OPEN_READONLY, 0, NULL, 0, 0);
	open_seed("readonly", OPEN_READONLY, p.file_size, header, HDR_BYTES, 0);
	open_seed("verify", OPEN_VERIFY, p.file_size, header, HDR_BYTES, 0);
	open_seed("expect-other-kind", OPEN_EXPECT | OPEN_STATIC, p.file_size, header, HDR_BYTES,
		  0);
	open_seed("expect-other-streams", OPEN_EXPECT, p.file_size, header, HDR_BYTES, 0);
	open_seed("expect-zero-on-free", OPEN_ZERO_ON_FREE, p.file_size, header, HDR_BYTES, 0);
	p.ro_compat = 1;
	hdr_encode(&p, header);
	open_seed("ro-compat-readonly", OPEN_READONLY, p.file_size, header, HDR_BYTES, 0);
	memcpy(header, HDR_MAGIC_CREATING, 8);
	open_seed("creating", 0, p.file_size, header, HDR_BYTES, 0);
	open_seed("create-unfinished", OPEN_CREATE, p.file_size, header, HDR_BYTES, 0);
	open_seed("create-unfinished-short", OPEN_CREATE, HDR_BYTES, header, HDR_BYTES, 0);

	struct seed s = begin(CONTROL_HOLES, OPEN_CREATE, p.file_size);

	patch(&s, 0, header, HDR_BYTES);
	patch(&s, 5000, "data", 4);
	write_seed(&s, "loadmap", "create-unfinished-with-data");
}

/* ---- The state's rules ---------------------------------------------------------- */

/* A map with small blocks, a run and a root, and then one or more words that are wrong. */
struct wrong {
	const char *name;
	struct {
		uint64_t off, value;
	} words[8];
};

/* The pool's holder died inside this intent. */
#define DIED(op, first, count)                                                                     \
	{STATE_POOL, DEAD}, {STATE_INTENT, op}, {STATE_INTENT + 8, first},                         \
		{STATE_INTENT + 16, count},                                                        \
	{                                                                                          \
		STATE_FRONTIER, 13                                                                 \
	}

/* The holder of stream 0 died between a block and the pointer to it. */
#define STREAM_DIED(block, cell)                                                                   \
	{STREAMS_OFF, DEAD}, {STREAMS_OFF + STREAM_INTENT, block},                                 \
	{                                                                                          \
		STREAMS_OFF + STREAM_INTENT + 8, cell                                              \
	}

/* A thread died that had a block in its record. */
#define RECORD_DIED(i, block, cell)                                                                \
	{STATE_DIRTY, 1}, {RECORDS + (i)*RECORD_BYTES, DEAD},                                      \
		{RECORDS + (i)*RECORD_BYTES + RECORD_CELL, cell},                                  \
	{                                                                                          \
		RECORDS + (i)*RECORD_BYTES + RECORD_BLOCK, block                                   \
	}

static const struct wrong wrongs[] = {
	{"word-free-with-class", {{WORDS, 0x0100}}},
	{"word-unknown-state", {{WORDS, 4}}},
	{"word-small-class-over", {{WORDS, 0x2801}}},
	{"word-small-stream-over", {{WORDS, 0x00020001}}},
	{"word-small-with-length", {{WORDS, UINT64_C(0x100000001)}}},
	{"word-run-0", {{WORDS + 64, RUN_WORD(0)}}},
	{"word-run-with-class", {{WORDS + 64, RUN_WORD(1) + 0x100}}},
	{"word-run-over-end", {{WORDS + 64, RUN_WORD(9)}}},
	{"word-run-max", {{WORDS + 64, RUN_WORD(UINT32_MAX)}}},
	{"word-run-without-tails", {{WORDS + 64, RUN_WORD(8)}}},
	{"word-run-of-one", {{WORDS + 64, RUN_WORD(1)}}},
	{"word-tail-orphan", {{WORDS + 64, SPAN_TAIL}}},
	{"word-tail-with-length", {{WORDS + 64, UINT64_C(0x100000003)}}},
	{"words-overlapping-runs",
	 {{WORDS + 64, RUN_WORD(3)}, {WORDS + 72, RUN_WORD(2)}, {WORDS + 80, SPAN_TAIL}}},
	{"bits-free-live", {{PAIRS + 10 * 64, 5}}},
	{"bits-free-equal", {{PAIRS + 10 * 64, 5}, {PAIRS + 10 * 64 + 8, 5}}},
	{"bits-beyond", {{WORDS + 64, 0x1701}, {PAIRS + 8 * 64, UINT64_C(1) << 63}}},
	{"bits-all",
	 {{WORDS + 64, 1}, {PAIRS + 8 * 64, UINT64_MAX}, {PAIRS + 8 * 64 + 16, UINT64_MAX}}},
	{"frontier-max", {{STATE_FRONTIER, UINT64_MAX}}},
	{"frontier-low", {{STATE_FRONTIER, 1}}},
	{"frontier-low-dead-pool",
	 {{STATE_FRONTIER, 5}, {STATE_POOL, DEAD}, {STATE_INTENT, 2}, {STATE_INTENT + 8, 3}}},
	{"free-hint-max", {{STATE_FREE_HINT, UINT64_MAX}}},
	{"free-hint-last", {{STATE_FREE_HINT, 15}}},
	{"dirty", {{STATE_DIRTY, 1}}},
	{"dirty-this-boot",
	 {{STATE_DIRTY, 1},
	  {STATE_BOOT_ID, 0x0123456789ABCDEF},
	  {STATE_BOOT_ID + 8, 0xFEDCBA9876543210}}},
	{"pool-dead", {{STATE_POOL, DEAD}}},
	{"pool-dead-take",
	 {{STATE_POOL, DEAD}, {STATE_INTENT, 1}, {STATE_INTENT + 8, 8}, {STATE_INTENT + 16, 3}}},
	{"pool-dead-free-max",
	 {{STATE_POOL, DEAD},
	  {STATE_INTENT, 2},
	  {STATE_INTENT + 8, UINT64_MAX},
	  {STATE_INTENT + 16, UINT64_MAX}}},
	{"pool-dead-unknown-intent",
	 {{STATE_POOL, DEAD}, {STATE_INTENT, 77}, {STATE_INTENT + 8, 1}, {STATE_INTENT + 16, 2}}},
	{"pool-died-taking-0", {DIED(1, 10, 3)}},
	{"pool-died-taking-1", {DIED(1, 10, 3), {WORDS + 12 * 8, SPAN_TAIL}}},
	{"pool-died-taking-2",
	 {DIED(1, 10, 3), {WORDS + 12 * 8, SPAN_TAIL}, {WORDS + 11 * 8, SPAN_TAIL}}},
	{"pool-died-freeing-1",
	 {DIED(2, 10, 3), {WORDS + 11 * 8, SPAN_TAIL}, {WORDS + 12 * 8, SPAN_TAIL}}},
	{"pool-died-freeing-live", {DIED(2, 2, 3)}},
	{"pool-died-freeing-inside", {DIED(2, 3, 2)}},
	{"pool-died-nothing", {DIED(2, 4, 0)}},
	{"pool-died-before-all",
	 {DIED(2, 0, 2), {WORDS - 8, SPAN_TAIL}, {WORDS, SPAN_TAIL}, {WORDS + 8, SPAN_TAIL}}},
	{"pool-died-behind-no-run",
	 {DIED(2, 10, 2),
	  {WORDS + 9 * 8, RUN_WORD(9)},
	  {WORDS + 10 * 8, SPAN_TAIL},
	  {WORDS + 11 * 8, SPAN_TAIL}}},
	{"pool-held-by-us", {{STATE_POOL, UINT64_C(0x0000000300000002)}}},
	{"pool-dead-same-epoch", {{STATE_POOL, DEAD}, {SLOTS_OFF + 16, 5}}},
	{"pool-died-giving-kept",
	 {DIED(2, 2, 3), {STATE_INTENT + 24, ROOT_CELL(0)}, {ROOT_CELL(0), DATA + 2 * 4096}}},
	{"pool-died-giving-dropped", {DIED(2, 2, 3), {STATE_INTENT + 24, ROOT_CELL(1)}}},
	{"pool-died-giving-in-data", {DIED(1, 2, 3), {STATE_INTENT + 24, DATA + 16}}},
	{"pool-died-giving-inside", {DIED(1, 2, 3), {STATE_INTENT + 24, DATA + 2 * 4096 + 8}}},
	{"pool-died-giving-nowhere", {DIED(1, 2, 3), {STATE_INTENT + 24, UINT64_MAX}}},
	{"pool-died-giving-no-run", {DIED(2, 0, 1), {STATE_INTENT + 24, ROOT_CELL(1)}}},
	{"pool-died-giving-no-spans", {DIED(2, 0, 0), {STATE_INTENT + 24, ROOT_CELL(1)}}},
	{"pool-died-giving-unknown-intent", {DIED(77, 2, 3), {STATE_INTENT + 24, ROOT_CELL(1)}}},
	{"stream-died-kept", {STREAM_DIED(DATA, ROOT_CELL(0))}},
	{"stream-died-dropped", {STREAM_DIED(DATA, ROOT_CELL(1))}},
	{"stream-died-in-data", {STREAM_DIED(DATA, DATA + 16), {DATA + 16, BASE + DATA}}},
	{"stream-died-in-data-other", {STREAM_DIED(DATA, DATA + 16), {DATA + 16, 5}}},
	{"stream-died-in-record", {STREAM_DIED(DATA, RECORDS + RECORD_BLOCK)}},
	{"stream-died-wrong-root-field", {STREAM_DIED(DATA, ROOTS_OFF)}},
	{"stream-died-wrong-record-field", {STREAM_DIED(DATA, RECORDS)}},
	{"stream-died-root-field-below-roots", {STREAM_DIED(DATA, STATE_OFF + ROOT_VALUE)}},
	{"stream-died-record-field-below-records", {STREAM_DIED(DATA, SLOTS_OFF + RECORD_BLOCK)}},
	{"stream-died-unaligned", {STREAM_DIED(DATA, ROOT_CELL(0) + 1)}},
	{"stream-died-in-metadata", {STREAM_DIED(DATA, WORDS)}},
	{"stream-died-at-end", {STREAM_DIED(DATA, 262144 - 8)}},
	{"stream-died-behind-end", {STREAM_DIED(DATA, 262144)}},
	{"stream-died-block-interior", {STREAM_DIED(DATA + 8, ROOT_CELL(1))}},
	{"stream-died-block-free", {STREAM_DIED(DATA + 160, ROOT_CELL(1))}},
	{"stream-died-block-is-run", {STREAM_DIED(DATA + 2 * 4096, ROOT_CELL(1))}},
	{"stream-died-block-other-stream", {STREAM_DIED(DATA, ROOT_CELL(1)), {WORDS, 0x00010001}}},
	/* The class above those of such spans: one block would fit. */
	{"stream-died-block-class-over", {STREAM_DIED(DATA, ROOT_CELL(1)), {WORDS, 0x1801}}},
	{"stream-died-block-outside", {STREAM_DIED(UINT64_MAX, ROOT_CELL(1))}},
	/* Where the tables would go on, there are a word and a bit for it. */
	{"stream-died-block-behind-spans",
	 {STREAM_DIED(DATA + 640 * 4096, ROOT_CELL(1)),
	  {WORDS + 640 * 8, 1},
	  {PAIRS + 640 * 64, 1}}},
	{"record-dead", {RECORD_DIED(0, DATA, ROOT_CELL(1))}},
	{"record-dead-kept", {RECORD_DIED(0, DATA, ROOT_CELL(0))}},
	{"record-dead-run", {RECORD_DIED(1, DATA + 2 * 4096, ROOT_CELL(1))}},
	{"record-dead-in-data", {RECORD_DIED(1, DATA, DATA + 16)}},
	{"record-dead-empty", {RECORD_DIED(2, 0, ROOT_CELL(1))}},
	{"record-dead-wild", {RECORD_DIED(63, UINT64_MAX, UINT64_MAX)}},
	{"record-dead-not-live", {RECORD_DIED(0, DATA + 160, ROOT_CELL(1))}},
	{"record-abandoned", {RECORD_DIED(0, DATA, ROOT_CELL(1)), {RECORDS, 1}}},
	{"record-of-us",
	 {RECORD_DIED(0, DATA, ROOT_CELL(1)), {RECORDS, UINT64_C(0x0000000300000002)}}},
	{"record-free-names-a-block", {{RECORDS + RECORD_BLOCK, DATA}}},
	{"record-of-us-in-a-block",
	 {{RECORDS, UINT64_C(0x0000000300000002)},
	  {RECORDS + RECORD_CELL, DATA + 16},
	  {RECORDS + RECORD_BLOCK, DATA}}},
	{"roots-dead", {{STATE_ROOTS, DEAD}}},
	{"roots-held-by-us", {{STATE_ROOTS, UINT64_C(0x0000000300000002)}}},
	{"stream-dead", {{STREAMS_OFF, DEAD}}},
	{"stream-held-by-us", {{STREAMS_OFF, UINT64_C(0x0000000300000002)}}},
	{"stream-held-by-nobody", {{STREAMS_OFF, UINT64_MAX}}},
	{"stream-cursors",
	 {{STREAMS_OFF + STREAM_CURSORS, UINT64_MAX}, {STREAMS_OFF + STREAM_CURSORS + 8, 15}}},
	{"slot-epoch-max", {{SLOTS_OFF, UINT32_MAX}}},
	{"root-value-in-metadata", {{ROOTS_OFF + ROOT_VALUE, 4096}}},
	{"root-value-at-end", {{ROOTS_OFF + ROOT_VALUE, 262144}}},
	{"root-value-max", {{ROOTS_OFF + ROOT_VALUE, UINT64_MAX}}},
	{"root-without-name", {{ROOTS_OFF + 64 + ROOT_STATE, 1}}},
	{"root-name-unterminated",
	 {{ROOTS_OFF + 40, UINT64_MAX}, {ROOTS_OFF, UINT64_MAX}, {ROOTS_OFF + 8, UINT64_MAX}}},
	{"root-name-not-padded", {{ROOTS_OFF + 32, 1}}},
	{"root-twice", {{ROOTS_OFF + 64, 0x746F6F72}, {ROOTS_OFF + 64 + ROOT_STATE, 3}}},
	{"root-generation-wraps",
	 {{ROOTS_OFF + ROOT_STATE, UINT64_MAX}, {ROOTS_OFF + 64 + ROOT_STATE, UINT64_MAX - 1}}},
};

static void add_words(struct seed *s, const struct wrong *wrong)
{
	for (unsigned k = 0; k < 8 && wrong->words[k].off != 0; k++)
		patch_word(s, wrong->words[k].off, wrong->words[k].value);
}

/* All records in use: by a living thread, or by dead ones. */
static void record_seeds(struct seed whole)
{
	static const uint8_t moves[] = {0xD2, 1, 2, 0x30, 6, 0xD2, 1, 2, 0xA5, 7, 0xA2};
	struct seed s = whole;
	uint64_t owner = owner_in(&s, 1);

	for (unsigned i = 0; i < 64; i++)
		patch_word(&s, RECORDS + i * RECORD_BYTES, owner);
	program(&s, moves, sizeof(moves));
	write_seed(&s, "loadmap", "records-in-use");
	s = whole;
	for (unsigned i = 0; i < 64; i++)
		patch_word(&s, RECORDS + i * RECORD_BYTES, DEAD);
	program(&s, moves, sizeof(moves));
	write_seed(&s, "loadmap", "records-of-the-dead");
}

/* Somebody makes a run of the empty span meanwhile; or it is a stream's that is held for ever. */
static void write_changed(const struct seed *empty, uint64_t other)
{
	struct seed s = *empty;

	program(&s, "\xA0\xE8\x47\x41\x00\xC0\x08", 7);
	write_seed(&s, "hostile", "empty-span-run");
	s = *empty;
	patch_word(&s, other, owner_in(empty, 1));
	program(&s, "\xA0\xE8\x47\x21\x05\x00\xC0\x08", 8);
	write_seed(&s, "hostile", "empty-span-held");
}

/* What is repeated: on a map that zeroes on free as well, and where the dead left something. */
static void sweep_seeds(struct seed whole, bool zeroing)
{
	write_faults(&whole, zeroing ? "zeroing" : "whole");
	write_stores(&whole, zeroing ? "zeroing" : "whole", zeroing ? 5 : 0,
		     zeroing ? 11 : UINT_MAX);
	write_settled(&whole, zeroing ? "zeroing" : "whole");
	struct seed empty = whole;

	/* A span without a block: who wants a run gets it back. */
	patch_word(&empty, WORDS + 7 * 8, span_word_small(0, 5));
	patch_word(&empty, STATE_FRONTIER, 8);
	write_stores(&empty, zeroing ? "zeroing-empty-span" : "empty-span", 32, 33);
	if (!zeroing)
		write_changed(&empty, STREAMS_OFF + STREAM_BYTES);
	/* The small blocks belong to a stream that is not ours. */
	patch_word(&whole, WORDS, 0x00010001);
	write_stores(&whole, zeroing ? "zeroing-remote" : "remote", 7, 11);
}

/* A map with small blocks, a run and a root. */
static struct seed whole_map(uint64_t flags)
{
	static const uint16_t sizes[] = {16, 100, 16, 9000, 2048};
	struct qalloc_options options = shape(QALLOC_DYNAMIC, 262144, 0, 2);

	options.flags |= flags;
	struct map *m = create(&options);
	void *first = NULL;

	FUZZ_CHECK(m->geo.records_off == RECORDS && m->geo.data_off == DATA);
	FUZZ_CHECK(m->geo.words_off == WORDS && m->geo.pairs_off == PAIRS &&
		   m->geo.span_pairs == 4);
	for (unsigned i = 0; i < 5; i++) {
		void *block = qalloc_malloc(m, sizes[i]);

		first = i == 0 ? block : first;
	}
	FUZZ_CHECK(qalloc_setroot(m, "root", first) == 0);
	FUZZ_CHECK(qalloc_closemap(m) == 0);
	struct seed whole = begin(CONTROL_REPAIR, 0, 262144);

	dump(&whole, 262144);
	return whole;
}

void state_seeds(void)
{
	struct seed whole = whole_map(0);

	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct seed s = whole;

		add_words(&s, &wrongs[i]);
		write_map(&s, wrongs[i].name);
		if (strstr(wrongs[i].name, "died") != NULL ||
		    strstr(wrongs[i].name, "record") != NULL)
			write_published(&s, wrongs[i].name);
	}
	write_published(&whole, "publish");
	table_seeds(whole, whole_map(QALLOC_ZERO_ON_FREE));
	record_seeds(whole);
	moment_seeds(&whole);
	sweep_seeds(whole, false);
	sweep_seeds(whole_map(QALLOC_ZERO_ON_FREE), true);
	write_open_faults(&whole);
}
