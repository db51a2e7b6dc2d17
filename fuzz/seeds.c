/* SPDX-License-Identifier: MIT */
/*
 * Writes the seeds: a named input for each validation rule and for each kind of map.  The
 * same bytes each time: make fuzz-seeds, then git diff.
 *
 *   build/fuzz/seeds corpus
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BASE UINT64_C(0x510000100000)
#define SEED_MAX ((size_t)64 << 10)

static const char *folder;

struct seed {
	uint8_t bytes[SEED_MAX];
	size_t size;
};

/* ---- Building one ---------------------------------------------------------- */

static struct seed begin(uint8_t control, uint8_t options, uint64_t file_size)
{
	static struct seed s;

	memset(&s, 0, sizeof(s));
	s.bytes[0] = control;
	s.bytes[1] = options;
	put_le(s.bytes + 4, 8, file_size);
	s.size = PREFIX_BYTES;
	return s;
}

static void patch(struct seed *s, uint64_t off, const void *bytes, size_t count)
{
	FUZZ_CHECK(s->size + PATCH_BYTES + count <= SEED_MAX && count < 65536);
	put_le(s->bytes + s->size, 6, off);
	put_le(s->bytes + s->size + 6, 2, count);
	memcpy(s->bytes + s->size + PATCH_BYTES, bytes, count);
	s->size += PATCH_BYTES + count;
}

static void patch_word(struct seed *s, uint64_t off, uint64_t value)
{
	uint8_t bytes[8];

	put_le(bytes, 8, value);
	patch(s, off, bytes, 8);
}

static void program(struct seed *s, const void *bytes, size_t count)
{
	put_le(s->bytes + 2, 2, count);
	memcpy(s->bytes + s->size, bytes, count);
	s->size += count;
}

static void write_seed(const struct seed *s, const char *harness, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", folder, harness);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/%s/%s", folder, harness, name);
	FILE *f = fopen(path, "wb");

	if (f == NULL || fwrite(s->bytes, 1, s->size, f) != s->size || fclose(f) != 0) {
		perror(path);
		exit(1);
	}
}

/* A program for the rough interpreter that does everything once or twice. */
static const uint8_t everything[] = {
	0x00, 0x10, 1, 0x01, 0x60, 2, 0x04, 0x20, 3, 0x09, 0x40, 4, 0x0A, 0x60, 5, 0x00, 0xA5, 6,
	0x00, 0xC4, 7, 0x0C, 0x01, 0xA3, 1, 0x20, 0x80, 0x10, 8, 0xA0, 0xA2, 0xA4, 0x80, 2, 1, 0x82, 2,
	0x85, 2, 1, 3, 0x86, 0, 0x84, 2, 0xA5, 1, 0xA6, 0, 0, 3, 0xA7, 0xAF, 0x43, 1, 0x40, 1, 0x42,
	1, 0x42, 0xC0, 16, 1, 0, 0, 0, 0x40, 0x81, 3, 0xC9, 0x00, 0x30, 9, 0x40, 9, 0xC8, 0xC0,
	0xA0, 0xA2, 0x40, 5, 0x40, 6, 0x40, 0x80, 1, 0xA0, 0x00, 0xDF, 1, 0xA2,
};

/* The same for the model. */
static const uint8_t modelled[] = {
	0x00, 0x10, 0x04, 0x20, 0x09, 0x30, 0x00, 0xA2, 0x00, 0xA5, 0x0B, 0x60, 0xB0, 0x60, 0, 0, 0,
	0x61, 1, 2, 3, 0x62, 1, 0, 0, 0x63, 9, 8, 7, 0x81, 0x40, 1, 0x81, 0xA4, 2, 0xA0, 1, 0xA6, 1,
	0xA3, 1, 0xA4, 1, 0xA5, 1, 0xA2, 1, 0xAA, 1, 0xC8, 0x0A, 1, 0x00, 0x20, 0xCA, 0xCC, 0x0A, 0,
	0x00, 0x20, 0xCC, 0, 1, 0x00, 0xA3, 0xCE, 3, 2, 8, 0x00, 0xA4, 0xD0, 2, 1, 0x00, 0xA2, 0xD4,
	0x00, 0x33, 0x40, 0, 0x41, 1, 0xB0, 0xC7, 0xD2, 2, 0x00, 0xA8, 0x00, 0xA8, 0xD3, 0xC0, 0x40, 0,
	0x41, 0, 0x40, 0, 0xB0,
};

/* ---- Maps ------------------------------------------------------------------ */

/* Appends what the file holds, as patches; what differs from run to run becomes constant. */
static void dump(struct seed *s, uint64_t size)
{
	uint64_t start = 0, end = 0;
	uint8_t run[4096];

	for (uint64_t off = 0; off + 8 <= size; off += 8) {
		uint64_t word = file_get(off);

		if (word == 0 && !(off == end && off - start + 8 < sizeof(run) && file_get(off + 8) != 0))
			continue;
		if (end == 0 || off != end || off - start + 8 > sizeof(run)) {
			if (end > start)
				patch(s, start, run, end - start);
			start = off;
		}
		put_le(run + (off - start), 8, word);
		end = off + 8;
	}
	if (end > start)
		patch(s, start, run, end - start);
}

static struct qalloc_options shape(uint64_t kind, uint64_t size, uint64_t item, uint64_t streams)
{
	return (struct qalloc_options){.size = sizeof(struct qalloc_options),
	                               .flags = QALLOC_CREATE,
	                               .addr = (void *)(uintptr_t)BASE,
	                               .kind = kind,
	                               .filesize = (off_t)size,
	                               .itemsize = item,
	                               .streams = streams};
}

static struct map *create(const struct qalloc_options *options)
{
	int fd = image_blank(true);

	fake_begin(false);
	struct map *m = qalloc_openfd(fd, options);

	FUZZ_CHECK(m != NULL);
	return m;
}

/* To every harness that takes files. */
static void write_map(const struct seed *image, const char *name)
{
	struct seed s = *image;

	program(&s, everything, sizeof(everything));
	write_seed(&s, "loadmap", name);
	write_seed(&s, "hostile", name);
	s = *image;
	program(&s, modelled, sizeof(modelled));
	write_seed(&s, "check", name);
}

static void map_seed(const char *name, struct qalloc_options options, const uint16_t *sizes,
                     unsigned count, bool crash)
{
	struct map *m = create(&options);
	void *blocks[64];

	for (unsigned i = 0; i < count; i++) {
		blocks[i] = qalloc_malloc(m, sizes[i]);
		FUZZ_CHECK(blocks[i] != NULL);
	}
	for (unsigned i = 1; i < count; i += 3)
		FUZZ_CHECK(qalloc_tryfree(blocks[i], m) == 0);
	if (count > 0)
		FUZZ_CHECK(qalloc_setroot(m, "root", blocks[0]) == 0);
	thread_become(1);
	if (count > 2)
		FUZZ_CHECK(qalloc_tryfree(blocks[2], m) == 0);
	thread_become(0);

	struct seed s = begin(CONTROL_REPAIR, 0, (uint64_t)options.filesize);

	if (crash)
		dump(&s, (uint64_t)options.filesize < 1 << 20 ? (uint64_t)options.filesize : 1 << 20);
	FUZZ_CHECK(qalloc_closemap(m) == 0);
	if (!crash)
		dump(&s, (uint64_t)options.filesize < 1 << 20 ? (uint64_t)options.filesize : 1 << 20);
	write_map(&s, name);
	/* For the header only its first patch matters. */
	s.size = PREFIX_BYTES + PATCH_BYTES + HDR_BYTES;
	put_le(s.bytes + PREFIX_BYTES + 6, 2, HDR_BYTES);
	write_seed(&s, "header", name);
}

static void map_seeds(void)
{
	static const uint16_t small[] = {1, 16, 17, 100, 100, 100, 500, 1000, 64, 64};
	static const uint16_t large[] = {5000, 100, 9000, 20000, 4096, 16, 4097};
	static const uint16_t same[] = {8, 8, 8, 8, 8, 8, 8, 8};

	map_seed("dynamic-empty", shape(QALLOC_DYNAMIC, 262144, 0, 1), NULL, 0, false);
	map_seed("dynamic-small", shape(QALLOC_DYNAMIC, 262144, 0, 2), small, 10, false);
	map_seed("dynamic-runs", shape(QALLOC_DYNAMIC, 262144, 0, 1), large, 7, false);
	map_seed("dynamic-killed", shape(QALLOC_DYNAMIC, 262144, 0, 3), small, 10, true);
	map_seed("dynamic-odd-size", shape(QALLOC_DYNAMIC, 270001, 0, 1), small, 10, false);
	map_seed("dynamic-span-8k", shape(QALLOC_DYNAMIC, 524288, 0, 1), large, 7, false);
	map_seed("dynamic-span-64k", shape(QALLOC_DYNAMIC, 8 << 20, 0, 1), large, 7, false);
	map_seed("dynamic-16-streams", shape(QALLOC_DYNAMIC, 524288, 0, 16), small, 10, false);
	map_seed("dynamic-huge", shape(QALLOC_DYNAMIC, UINT64_C(1) << 36, 0, 4), small, 10, false);
	map_seed("static-8", shape(QALLOC_STATIC, 262144, 8, 1), same, 8, false);
	map_seed("static-1", shape(QALLOC_STATIC, 230001, 1, 2), same, 0, false);
	map_seed("static-64", shape(QALLOC_STATIC, 262144, 64, 2), same, 8, false);
	map_seed("static-one-per-span", shape(QALLOC_STATIC, 327680, 5000, 1), same, 8, false);
	map_seed("static-one-item", shape(QALLOC_STATIC, 327680, 100000, 1), same, 1, false);
	map_seed("static-killed", shape(QALLOC_STATIC, 262144, 24, 2), same, 8, true);

	struct qalloc_options zeroing = shape(QALLOC_DYNAMIC, 262144, 0, 2);

	zeroing.flags |= QALLOC_ZERO_ON_FREE;
	map_seed("dynamic-zero-on-free", zeroing, small, 10, false);
}

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
	{"address-wraps", HDR_BASE, 8, ADDR_END - 0x40000, false, CONTROL_REPAIR},
	{"address-guard-wraps", HDR_BASE, 8, ADDR_END - 0x40000 - 1 + 1, true, CONTROL_REPAIR},
	{"address-taken", HDR_BASE, 8, 0x600000000000, false, CONTROL_REPAIR},
};

static struct params sound(bool is_static)
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
	program(&s, everything, sizeof(everything));
	write_seed(&s, "loadmap", name);
}

static void header_seeds(void)
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

	static const uint64_t sizes[] = {0, 1, 255, 256, 4096, 65536, 196607, 196608, 196615, 200703, 200704};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (int is_static = 0; is_static < 2; is_static++) {
			struct params p = sound(is_static);
			char name[64];

			p.file_size = sizes[i];
			struct seed s = begin(CONTROL_REPAIR | CONTROL_HOLES, 0, p.file_size);

			hdr_encode(&p, header);
			patch(&s, 0, header, sizeof(header));
			snprintf(name, sizeof(name), "size-%s-%u", is_static ? "static" : "dynamic",
			         (unsigned)sizes[i]);
			write_header(&s, name);
		}
	}
}

/* Parameters for the geometry: from the smallest to the largest. */
static void geometry_seeds(void)
{
	static const uint64_t sizes[] = {300000, 1 << 20, 17 << 20, UINT64_C(1) << 32, UINT64_C(1) << 46};
	static const uint64_t items[] = {0, 1, 8, 64, 4096, 65536, 1 << 20};
	static const uint32_t streams[] = {1, 64, 4096};
	uint8_t header[HDR_BYTES];
	char name[64];

	for (unsigned i = 0; i < 5 * 7 * 3; i++) {
		struct params p = sound(items[i / 5 % 7] != 0);

		p.file_size = sizes[i % 5];
		p.item_size = items[i / 5 % 7];
		p.streams = streams[i / 35];
		p.base = UINT64_C(0x110000000000);
		p.created = 1 + i * 997;
		struct seed s = begin(CONTROL_REPAIR, 0, p.file_size);

		hdr_encode(&p, header);
		patch(&s, 0, header, sizeof(header));
		snprintf(name, sizeof(name), "geometry-%u-%u-%u", i % 5, i / 5 % 7, p.streams);
		write_seed(&s, "header", name);
	}
}

/* ---- Opening ------------------------------------------------------------------ */

static void open_seed(const char *name, uint8_t options, uint64_t size, const void *bytes,
                      size_t count, uint64_t off)
{
	struct seed s = begin(CONTROL_HOLES, options, size);

	if (count > 0)
		patch(&s, off, bytes, count);
	program(&s, everything, sizeof(everything));
	write_seed(&s, "loadmap", name);
	if ((options & OPEN_CREATE) == 0 && count == HDR_BYTES)
		write_seed(&s, "header", name);
}

static void open_seeds(void)
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
	open_seed("expect-other-kind", OPEN_EXPECT | OPEN_STATIC, p.file_size, header, HDR_BYTES, 0);
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
	} words[7];
};

#define WORDS 0x12000u
#define PAIRS 0x13000u
#define RUN_WORD(n) (SPAN_RUN + ((uint64_t)(n) << 32))
#define DEAD UINT64_C(0x0000000500100001)

/* The pool's holder died inside this intent. */
#define DIED(op, first, count) \
	{STATE_POOL, DEAD}, {STATE_INTENT, op}, {STATE_INTENT + 8, first}, \
		{STATE_INTENT + 16, count}, {STATE_FRONTIER, 13}

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
	{"words-overlapping-runs", {{WORDS + 64, RUN_WORD(3)}, {WORDS + 72, RUN_WORD(2)}, {WORDS + 80, SPAN_TAIL}}},
	{"bits-free-live", {{PAIRS + 10 * 64, 5}}},
	{"bits-free-equal", {{PAIRS + 10 * 64, 5}, {PAIRS + 10 * 64 + 8, 5}}},
	{"bits-beyond", {{WORDS + 64, 0x1B01}, {PAIRS + 8 * 64, UINT64_C(1) << 63}}},
	{"bits-all", {{WORDS + 64, 1}, {PAIRS + 8 * 64, UINT64_MAX}, {PAIRS + 8 * 64 + 16, UINT64_MAX}}},
	{"frontier-max", {{STATE_FRONTIER, UINT64_MAX}}},
	{"frontier-low", {{STATE_FRONTIER, 1}}},
	{"frontier-low-dead-pool", {{STATE_FRONTIER, 5}, {STATE_POOL, DEAD}, {STATE_INTENT, 2}, {STATE_INTENT + 8, 3}}},
	{"free-hint-max", {{STATE_FREE_HINT, UINT64_MAX}}},
	{"free-hint-last", {{STATE_FREE_HINT, 15}}},
	{"dirty", {{STATE_DIRTY, 1}}},
	{"dirty-this-boot", {{STATE_DIRTY, 1}, {STATE_BOOT_ID, 0x0123456789ABCDEF}, {STATE_BOOT_ID + 8, 0xFEDCBA9876543210}}},
	{"pool-dead", {{STATE_POOL, DEAD}}},
	{"pool-dead-take", {{STATE_POOL, DEAD}, {STATE_INTENT, 1}, {STATE_INTENT + 8, 8}, {STATE_INTENT + 16, 3}}},
	{"pool-dead-free-max", {{STATE_POOL, DEAD}, {STATE_INTENT, 2}, {STATE_INTENT + 8, UINT64_MAX}, {STATE_INTENT + 16, UINT64_MAX}}},
	{"pool-dead-unknown-intent", {{STATE_POOL, DEAD}, {STATE_INTENT, 77}, {STATE_INTENT + 8, 1}, {STATE_INTENT + 16, 2}}},
	{"pool-died-taking-0", {DIED(1, 10, 3)}},
	{"pool-died-taking-1", {DIED(1, 10, 3), {WORDS + 12 * 8, SPAN_TAIL}}},
	{"pool-died-taking-2", {DIED(1, 10, 3), {WORDS + 12 * 8, SPAN_TAIL}, {WORDS + 11 * 8, SPAN_TAIL}}},
	{"pool-died-freeing-1", {DIED(2, 10, 3), {WORDS + 11 * 8, SPAN_TAIL}, {WORDS + 12 * 8, SPAN_TAIL}}},
	{"pool-died-freeing-live", {DIED(2, 3, 3)}},
	{"pool-died-freeing-inside", {DIED(2, 4, 2)}},
	{"pool-died-nothing", {DIED(2, 4, 0)}},
	{"pool-held-by-us", {{STATE_POOL, UINT64_C(0x0000000300000002)}}},
	{"pool-dead-same-epoch", {{STATE_POOL, DEAD}, {SLOTS_OFF + 16, 5}}},
	{"roots-dead", {{STATE_ROOTS, DEAD}}},
	{"roots-held-by-us", {{STATE_ROOTS, UINT64_C(0x0000000300000002)}}},
	{"stream-dead", {{STREAMS_OFF, DEAD}}},
	{"stream-held-by-us", {{STREAMS_OFF, UINT64_C(0x0000000300000002)}}},
	{"stream-held-by-nobody", {{STREAMS_OFF, UINT64_MAX}}},
	{"stream-cursors", {{STREAMS_OFF + STREAM_CURSORS, UINT64_MAX}, {STREAMS_OFF + STREAM_CURSORS + 8, 15}}},
	{"slot-epoch-max", {{SLOTS_OFF, UINT32_MAX}}},
	{"root-value-in-metadata", {{ROOTS_OFF + ROOT_VALUE, 4096}}},
	{"root-value-at-end", {{ROOTS_OFF + ROOT_VALUE, 262144}}},
	{"root-value-max", {{ROOTS_OFF + ROOT_VALUE, UINT64_MAX}}},
	{"root-without-name", {{ROOTS_OFF + 64 + ROOT_STATE, 1}}},
	{"root-name-unterminated", {{ROOTS_OFF + 40, UINT64_MAX}, {ROOTS_OFF, UINT64_MAX}, {ROOTS_OFF + 8, UINT64_MAX}}},
	{"root-name-not-padded", {{ROOTS_OFF + 32, 1}}},
	{"root-twice", {{ROOTS_OFF + 64, 0x746F6F72}, {ROOTS_OFF + 64 + ROOT_STATE, 3}}},
	{"root-generation-wraps", {{ROOTS_OFF + ROOT_STATE, UINT64_MAX}, {ROOTS_OFF + 64 + ROOT_STATE, UINT64_MAX - 1}}},
};

static void state_seeds(void)
{
	static const uint16_t sizes[] = {16, 100, 16, 9000, 2048};
	struct qalloc_options options = shape(QALLOC_DYNAMIC, 262144, 0, 2);
	struct map *m = create(&options);
	void *first = NULL;

	FUZZ_CHECK(m->geo.words_off == WORDS && m->geo.pairs_off == PAIRS && m->geo.span_pairs == 4);
	for (unsigned i = 0; i < 5; i++) {
		void *block = qalloc_malloc(m, sizes[i]);

		first = i == 0 ? block : first;
	}
	FUZZ_CHECK(qalloc_setroot(m, "root", first) == 0);
	FUZZ_CHECK(qalloc_closemap(m) == 0);
	struct seed whole = begin(CONTROL_REPAIR, 0, 262144);

	dump(&whole, 262144);
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct seed s = whole;

		for (unsigned k = 0; k < 7 && wrongs[i].words[k].off != 0; k++)
			patch_word(&s, wrongs[i].words[k].off, wrongs[i].words[k].value);
		write_map(&s, wrongs[i].name);
	}
}

/* ---- Programs --------------------------------------------------------------------- */

static void ops_seeds(void)
{
	char name[64];

	for (unsigned i = 0; i < 24; i++) {
		bool is_static = i < 12;
		struct seed s = begin((i & 1) != 0 ? CONTROL_HOLES : 0,
		                      (uint8_t)((is_static ? OPEN_STATIC : 0) |
		                                (i % 5 == 0 ? OPEN_ZERO_ON_FREE : 0)),
		                      is_static ? i % 4 + i % 12 * 4 + 64 * 20 : i % 4 + i * 40000);

		program(&s, modelled, sizeof(modelled));
		snprintf(name, sizeof(name), "%s-%u", is_static ? "static" : "dynamic", i);
		write_seed(&s, "ops", name);
	}
	/* Until it is full, with small blocks, with large ones, and with everything held. */
	for (unsigned i = 0; i < 8; i++) {
		struct seed s = begin(0, i % 2 != 0 ? OPEN_STATIC : 0, 1 + i % 4 + 4000);
		uint8_t bytes[1024] = {0};

		for (unsigned k = 0; k < sizeof(bytes); k += 2) {
			bytes[k] = (uint8_t)(k % 64 == 62 ? 0x40 : 0);
			bytes[k + 1] = (uint8_t)(i / 2 == 0 ? 0x20 : i / 2 == 1 ? 0xA3 : i / 2 == 2 ? k : 0x8F);
		}
		program(&s, bytes, sizeof(bytes));
		snprintf(name, sizeof(name), "full-%u", i);
		write_seed(&s, "ops", name);
	}
}

/* ---- What was found once -------------------------------------------------------------- */

/* A large sparse map without anything in it; *g is its geometry. */
static struct seed sparse(uint64_t size, uint64_t flags, struct geo *g)
{
	struct params p = sound(false);
	uint8_t header[HDR_BYTES];

	p.file_size = size;
	p.flags = flags;
	FUZZ_CHECK(geo_compute(&p, g) == QALLOC_OK);
	struct seed s = begin(CONTROL_REPAIR | CONTROL_HOLES, 0, size);

	hdr_encode(&p, header);
	patch(&s, 0, header, sizeof(header));
	return s;
}

static void regression_seeds(void)
{
	static const uint8_t free_first[] = {0x40, 0xA0, 0, 0, 0};
	static const uint8_t realloc_first[] = {0x0C, 0x01, 0xA0, 0, 0, 0, 0};
	static const uint8_t malloc_twice[] = {0x00, 0x10, 0x00, 0x10, 0x00, 0x10, 0xB0};
	struct geo g;
	struct seed s = sparse(UINT64_C(1) << 40, 0, &g);

	patch_word(&s, g.words_off, span_word_run(g.spans));
	patch_word(&s, g.words_off + (g.spans - 1) * 8, SPAN_TAIL);
	program(&s, free_first, sizeof(free_first));
	write_seed(&s, "regressions", "hostile-free-of-huge-run");
	s = sparse(UINT64_C(3) << 30, 0, &g);
	patch_word(&s, g.words_off, span_word_run(g.spans));
	program(&s, realloc_first, sizeof(realloc_first));
	write_seed(&s, "regressions", "hostile-realloc-of-huge-run");
	s = sparse(UINT64_C(3) << 30, MAP_FLAG_ZERO_ON_FREE, &g);
	patch_word(&s, g.words_off, span_word_run(g.spans));
	program(&s, free_first, sizeof(free_first));
	write_seed(&s, "regressions", "hostile-zeroing-of-huge-run");
	s = sparse(UINT64_C(8) << 30, 0, &g);
	patch_word(&s, STATE_FREE_HINT, 20000);
	program(&s, malloc_twice, sizeof(malloc_twice));
	write_seed(&s, "regressions", "check-free-hint-lies");

	s = sparse(262144, 0, &g);
	patch_word(&s, g.words_off + 16, span_word_run(8));
	for (uint64_t i = 3; i < 10; i++)
		patch_word(&s, g.words_off + 8 * i, SPAN_TAIL);
	patch_word(&s, STATE_FRONTIER, 5);
	patch_word(&s, STATE_POOL, DEAD);
	patch_word(&s, STATE_INTENT, INTENT_RUN_FREE);
	patch_word(&s, STATE_INTENT + 8, 3);
	patch_word(&s, STATE_INTENT + 16, 2);
	program(&s, malloc_twice, sizeof(malloc_twice));
	write_seed(&s, "regressions", "check-frontier-lie-frees-live-tails");
}

int main(int argc, char **argv)
{
	folder = argc > 1 ? argv[1] : "corpus";
	mkdir(folder, 0777);
	thread_become(0);
	header_seeds();
	geometry_seeds();
	open_seeds();
	map_seeds();
	state_seeds();
	ops_seeds();
	regression_seeds();
	return 0;
}
