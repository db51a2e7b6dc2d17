/* SPDX-License-Identifier: MIT */
/*
 * Writes the seeds: a named input for each validation rule and for each kind of map.  The
 * same bytes each time: make fuzz-seeds, then git diff.
 *
 *   build/fuzz/seeds corpus
 */
#include "seeds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *folder;

/* ---- Building one ---------------------------------------------------------- */

struct seed begin(uint8_t control, uint8_t options, uint64_t file_size)
{
	static struct seed s;

	memset(&s, 0, sizeof(s));
	s.bytes[0] = control;
	s.bytes[1] = options;
	put_le(s.bytes + 4, 8, file_size);
	s.size = PREFIX_BYTES;
	return s;
}

void patch(struct seed *s, uint64_t off, const void *bytes, size_t count)
{
	FUZZ_CHECK(s->size + PATCH_BYTES + count <= SEED_MAX && count < 65536);
	put_le(s->bytes + s->size, 6, off);
	put_le(s->bytes + s->size + 6, 2, count);
	memcpy(s->bytes + s->size + PATCH_BYTES, bytes, count);
	s->size += PATCH_BYTES + count;
}

struct seed begin_with(uint8_t control, const struct params *p)
{
	struct seed s = begin(control, 0, p->file_size);
	uint8_t header[HDR_BYTES];

	hdr_encode(p, header);
	patch(&s, 0, header, sizeof(header));
	return s;
}

void patch_word(struct seed *s, uint64_t off, uint64_t value)
{
	uint8_t bytes[8];

	put_le(bytes, 8, value);
	patch(s, off, bytes, 8);
}

void program(struct seed *s, const void *bytes, size_t count)
{
	put_le(s->bytes + 2, 2, count);
	memcpy(s->bytes + s->size, bytes, count);
	s->size += count;
}

void write_seed(const struct seed *s, const char *harness, const char *name)
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
	0x00, 0x10, 1,    0x01, 0x60, 2,    0x04, 0x20, 3,    0x09, 0x40, 4,    0x0A,
	0x60, 5,    0x00, 0xA5, 6,    0x00, 0xC4, 7,    0x0C, 0x01, 0xA3, 1,    0x20,
	0x80, 0x10, 8,    0xA0, 0xA2, 0xA4, 0x80, 2,    1,    0x82, 2,    0x85, 2,
	1,    3,    0x86, 0,    0x84, 2,    0xA5, 1,    0xA6, 0,    0,    3,    0xA7,
	0xAF, 0x43, 1,    0x40, 1,    0x42, 1,    0x42, 0xC0, 16,   1,    0,    0,
	0,    0x40, 0x81, 3,    0xD9, 0x00, 0x30, 9,    0x40, 9,    0xD8, 0xC0, 0xA0,
	0xA2, 0x40, 5,    0x40, 6,    0x40, 0x80, 1,    0xA0, 0x00, 0xDF, 1,    0xA2,
};

/* The same for the model. */
static const uint8_t modelled[] = {
	0x00, 0x10, 0x04, 0x20, 0x09, 0x30, 0x00, 0xA2, 0x00, 0xA5, 0x0B, 0x60, 0xB0, 0x60, 0,
	0,    0,    0x61, 1,    2,    3,    0x62, 1,    0,    0,    0x63, 9,    8,    7,    0x81,
	0x40, 1,    0x81, 0xA4, 2,    0xA0, 1,    0xA6, 1,    0xA3, 1,    0xA4, 1,    0xA5, 1,
	0xA2, 1,    0xAA, 1,    0xC8, 0x0A, 1,    0x00, 0x20, 0xCA, 0xCC, 0x0A, 0,    0x00, 0x20,
	0xCC, 0,    1,    0x00, 0xA3, 0xCE, 3,    2,    8,    0x00, 0xA4, 0xD0, 2,    1,    0x00,
	0xA2, 0xD4, 0x00, 0x33, 0x40, 0,    0x41, 1,    0xB0, 0xC7, 0xD2, 2,    0x00, 0xA8, 0x00,
	0xA8, 0xD3, 0xC0, 0x40, 0,    0x41, 0,    0x40, 0,    0xB0,
};

/* A block and the pointer to it: by a root, and by a pointer in another block. */
static const uint8_t published[] = {
	0xD3, 1,    0,    0,    0xA2, 0x00, 0x20, 1,    0xD0, 1, 0,    0x30, 2,    0xD2, 1,    0,
	0x48, 3,    0xD2, 1,    0,    0xA5, 4,    0xD2, 1,    0, 3,    5,    0xD1, 1,    0,    0,
	0xD0, 0,    1,    0x20, 6,    0xD2, 0,    1,    0xA3, 7, 0xD1, 0,    1,    0,    0xD0, 1,
	1,    0xA4, 8,    0xD2, 1,    1,    0xA7, 9,    0xD1, 1, 1,    0,    0xD1, 1,    5,    0,
	0xD3, 0,    0,    0,    0xA2, 0xD0, 0,    0xFF, 0x20, 1, 0xC0, 0xA2,
};

void write_published(const struct seed *image, const char *name)
{
	struct seed s = *image;
	char path[128];

	snprintf(path, sizeof(path), "%s-then-published", name);
	program(&s, published, sizeof(published));
	write_seed(&s, "loadmap", path);
	write_seed(&s, "hostile", path);
}

void program_everything(struct seed *s)
{
	program(s, everything, sizeof(everything));
}

void program_modelled(struct seed *s)
{
	program(s, modelled, sizeof(modelled));
}

/* ---- Maps ------------------------------------------------------------------ */

/* Appends what the file holds, as patches; what differs from run to run becomes constant. */
void dump(struct seed *s, uint64_t size)
{
	uint64_t start = 0, end = 0;
	uint8_t run[4096];

	for (uint64_t off = 0; off + 8 <= size; off += 8) {
		uint64_t word = file_get(off);

		if (word == 0 &&
		    !(off == end && off - start + 8 < sizeof(run) && file_get(off + 8) != 0))
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

uint64_t owner_in(const struct seed *image, unsigned thread)
{
	struct image parsed = image_parse(input_copy(image->bytes, image->size));
	int fd = image_build(&parsed);

	fake_begin(false, DISK_ROUGH);
	struct map *m = qalloc_openfd(fd, NULL);

	FUZZ_CHECK(m != NULL);
	uint64_t owner = thread_owner(m, thread);

	FUZZ_CHECK(qalloc_closemap(m) == 0);
	return owner;
}

struct qalloc_options shape(uint64_t kind, uint64_t size, uint64_t item, uint64_t streams)
{
	return (struct qalloc_options){.size = sizeof(struct qalloc_options),
				       .flags = QALLOC_CREATE,
				       .addr = (void *)(uintptr_t)BASE,
				       .kind = kind,
				       .filesize = (off_t)size,
				       .itemsize = item,
				       .streams = streams};
}

struct map *create(const struct qalloc_options *options)
{
	int fd = image_blank(true);

	fake_begin(false, DISK_MODEL);
	struct map *m = qalloc_openfd(fd, options);

	FUZZ_CHECK(m != NULL);
	return m;
}

/* To every harness that takes files. */
void write_map(const struct seed *image, const char *name)
{
	struct seed s = *image;

	program_everything(&s);
	write_seed(&s, "loadmap", name);
	write_seed(&s, "hostile", name);
	s = *image;
	program_modelled(&s);
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
		dump(&s,
		     (uint64_t)options.filesize < 1 << 20 ? (uint64_t)options.filesize : 1 << 20);
	FUZZ_CHECK(qalloc_closemap(m) == 0);
	if (!crash)
		dump(&s,
		     (uint64_t)options.filesize < 1 << 20 ? (uint64_t)options.filesize : 1 << 20);
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

		program_modelled(&s);
		snprintf(name, sizeof(name), "%s-%u", is_static ? "static" : "dynamic", i);
		write_seed(&s, "ops", name);
	}
	/* Until it is full, with small blocks, with large ones, and with everything held. */
	for (unsigned i = 0; i < 8; i++) {
		struct seed s = begin(0, i % 2 != 0 ? OPEN_STATIC : 0, 1 + i % 4 + 4000);
		uint8_t bytes[1024] = {0};

		for (unsigned k = 0; k < sizeof(bytes); k += 2) {
			bytes[k] = (uint8_t)(k % 64 == 62 ? 0x40 : 0);
			bytes[k + 1] = (uint8_t)(i / 2 == 0   ? 0x20
						 : i / 2 == 1 ? 0xA3
						 : i / 2 == 2 ? k
							      : 0x8F);
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

	p.file_size = size;
	p.flags = flags;
	FUZZ_CHECK(geo_compute(&p, g) == QALLOC_OK);
	return begin_with(CONTROL_REPAIR | CONTROL_HOLES, &p);
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

	s = begin(0, 0, 40000);
	program(&s, "\x00\x10\x00\x10\x00\x10\xA0\x03\xDA\x02", 10);
	write_seed(&s, "regressions", "ops-mark-inside-marked-block");

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
	dead_seeds();
	regression_seeds();
	return 0;
}
