/* SPDX-License-Identifier: MIT */
/*
 * Seeds that repeat one operation: each of its system calls fails once, and before each of its loads
 * somebody stores something, or a page is lost.  And programs for the model about the dead.
 */
#include "seeds.h"

#include <stdio.h>
#include <string.h>

struct bytes {
	uint8_t count;
	uint8_t bytes[12];
};

/* Operations on the map of state_seeds(), after a walk: blocks 1 to 3 are small, 4 is a run. */
static const struct bytes operations[] = {
	{3, {0x00, 0x02, 6}},       /* malloc, of a class that has a span */
	{3, {0x00, 0x66, 7}},       /* of one that has none */
	{3, {0x00, 0xA5, 8}},       /* a run */
	{3, {0x04, 0x02, 6}},       /* calloc */
	{3, {0x0A, 0xA2, 9}},       /* aligned_alloc */
	{4, {0x0C, 0xA2, 4, 9}},    /* realloc: a run, shorter */
	{4, {0x0C, 0x20, 2, 9}},    /* a small block, longer */
	{2, {0x40, 2}},             /* tryfree */
	{2, {0x40, 3}},             /* of the last block of a span */
	{2, {0x40, 4}},             /* of a run */
	{2, {0x40, 0x82}},          /* of a pointer inside a block */
	{2, {0x43, 1}},             /* usable_size */
	{3, {0x80, 1, 2}},          /* setroot */
	{2, {0x82, 2}},             /* getroot */
	{2, {0x84, 2}},             /* delroot */
	{4, {0x85, 2, 1, 2}},       /* casroot */
	{2, {0x86, 0}},             /* roots */
	{1, {0xA0}},                /* walk */
	{1, {0xA2}},                /* check */
	{1, {0xA4}},                /* mapinfo */
	{1, {0xA7}},                /* sync */
	{5, {0xD0, 0, 1, 0x02, 6}}, /* malloc_to */
	{5, {0xD0, 0, 4, 0xA4, 6}}, /* a run, to a pointer in a run */
	{5, {0xD0, 1, 1, 0x02, 6}}, /* malloc_toroot */
	{4, {0xD1, 0, 1, 0x02}},    /* free_from */
	{4, {0xD1, 1, 2, 0x02}},    /* free_fromroot */
	{5, {0xD2, 0, 1, 0x30, 6}}, /* realloc_to */
	{5, {0xD2, 1, 2, 0x30, 6}}, /* realloc_toroot */
	{5, {0xD2, 1, 2, 0xA5, 6}}, /* to a run */
	{4, {0xD3, 1, 0, 0}},       /* recover */
	{4, {0xD3, 0, 1, 0}},       /* sweep */
	{1, {0xC0}},                /* close and open */
	{3, {0x00, 0xC0, 8}},       /* all that there is */
};
#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

/*
 * A place and a word, as adversary.c takes them.  0x1F: no word, a page is lost.  Others: the state, from 0x20
 * the streams, 0x40 span words, 0x80 bits, 0xA0 roots, 0xC0 records, 0xD0 the slots' epochs.
 */
static const struct bytes stores[] = {
	{2, {0x1F, 0}},
	/* The frontier, trims, the hint to a free span: nothing, or anything. */
	{2, {0x02, 0xD0}},
	{2, {0x02, 0x00}},
	{2, {0x03, 0x03}},
	{2, {0x04, 0xD0}},
	/* The pool, the roots, stream 0, a record: ours, another thread's of ours, or a dead one's. */
	{2, {0x05, 0x60}},
	{2, {0x05, 0x61}},
	{3, {0x05, 0x80, 3}},
	{2, {0x0B, 0x60}},
	{2, {0x0B, 0x61}},
	{3, {0x0B, 0x80, 3}},
	{2, {0x20, 0x00}},
	{2, {0x20, 0x60}},
	{2, {0x20, 0x61}},
	{3, {0x20, 0x80, 3}},
	{2, {0xC0, 0x60}},
	{3, {0xC0, 0x80, 3}},
	/* The pool's intent: a run is taken, or freed; a record's block: anything, or inside of one. */
	{2, {0x07, 0x01}},
	{2, {0x07, 0x02}},
	{2, {0xC2, 0xD0}},
	{10, {0xC2, 0xE7, 8, 0, 3}},
	/* The span of small blocks: free, another stream's, another class's, a run, nonsense. */
	{2, {0x40, 0x00}},
	{3, {0x40, 0x21, 0}},
	{3, {0x40, 0x20, 7}},
	{2, {0x40, 0x41}},
	{2, {0x40, 0xD0}},
	/* The run: gone, shorter, small blocks, without a tail. */
	{2, {0x42, 0x00}},
	{2, {0x42, 0x42}},
	{3, {0x42, 0x20, 0}},
	{2, {0x43, 0x00}},
	/* The first free span: somebody else's small blocks, or run. */
	{3, {0x46, 0x20, 0}},
	{2, {0x46, 0x41}},
	/* The next one, which is empty somewhere: free, another stream's, not empty any more. */
	{2, {0x47, 0x00}},
	{3, {0x47, 0x21, 5}},
	{3, {0x87, 0, 0xD0}},
	{3, {0x87, 2, 0xD0}},
	/* The bits of small blocks: all are live, none is. */
	{3, {0x80, 0, 0xD0}},
	{3, {0x80, 0, 0x00}},
	{3, {0x80, 1, 0xD0}},
	{3, {0x80, 2, 0xD0}},
	{3, {0x80, 3, 0xD0}},
	/* The first root: another one, another value, another name; the epoch of our slot. */
	{2, {0xA7, 0x02}},
	{2, {0xA6, 0xD0}},
	{2, {0xA0, 0x00}},
	{2, {0xD0, 0x00}},
};
#define STORES (sizeof(stores) / sizeof(stores[0]))

static size_t append(uint8_t *to, size_t at, const struct bytes *what)
{
	memcpy(to + at, what->bytes, what->count);
	return at + what->count;
}

/* Each operation with each kind of fault, a few in one program. */
void write_faults(const struct seed *image, const char *name)
{
	/* The number, and whether one call fails, or all from there on. */
	static const uint8_t kinds[][2] = {{0, 0xFF}, {1, 0xFF}, {3, 0xFF}, {7, 0xFF}, {0, 0xFC}};
	char path[128];

	for (unsigned k = 0; k < 5; k++) {
		for (unsigned i = 0; i < OPERATIONS; i += 4) {
			uint8_t bytes[64] = {0xA0};
			size_t count = 1;
			struct seed s = *image;

			for (unsigned o = i; o < i + 4 && o < OPERATIONS; o++) {
				/* Opened again, it knows nothing of the file. */
				bytes[count++] = 0xC0;
				bytes[count++] = 0xC8 + kinds[k][0];
				bytes[count++] = kinds[k][1];
				count = append(bytes, count, &operations[o]);
			}
			program(&s, bytes, count);
			snprintf(path, sizeof(path), "%s-each-call-%u-%u", name, k, i / 4);
			write_seed(&s, "loadmap", path);
		}
	}
}

/* Each system call of opening fails once, or tells of another file than it should. */
void write_open_faults(const struct seed *image)
{
	static const uint8_t options[] = {0,           OPEN_PATH,   OPEN_READONLY,
					  OPEN_VERIFY, OPEN_CREATE, OPEN_CREATE | OPEN_EXPECT};
	char name[64];

	/* The program's length chooses the number. */
	for (unsigned i = 0; i < 6 * 30; i++) {
		struct seed s = *image;

		if (options[i / 30] == OPEN_CREATE)
			s = begin(CONTROL_HOLES, OPEN_CREATE, 0);
		s.bytes[0] |= (uint8_t)((1 + i % 30 % 15) << 4 | (i % 30 < 15 ? 0 : CONTROL_LATE));
		s.bytes[1] |= options[i / 30];
		program(&s, "\xA2\x00\x20\x01\xA0\xA4\xA2", i % 8);
		snprintf(name, sizeof(name), "fault-%u-%u", i / 30, i % 30);
		write_seed(&s, "loadmap", name);
	}
}

/* Each of the operations [first, end) with each store. */
void write_stores(const struct seed *image, const char *name, unsigned first, unsigned end)
{
	uint8_t bytes[128] = {0xA0};
	size_t count = 1;
	unsigned number = 0, sweeps = 0;
	char path[128];

	for (unsigned i = first; i < end && i < OPERATIONS; i++) {
		for (unsigned k = 0; k < STORES; k++) {
			struct seed s = *image;

			bytes[count++] = 0xE8;
			count = append(bytes, count, &stores[k]);
			count = append(bytes, count, &operations[i]);
			if (++sweeps % 12 != 0 && k + 1 < STORES)
				continue;
			program(&s, bytes, count);
			snprintf(path, sizeof(path), "%s-each-load-%u", name, number++);
			write_seed(&s, "hostile", path);
			count = 1;
		}
	}
}

/* What the dead leave, stored while the map is open: places and words. */
struct left {
	const char *name;
	struct bytes stores[6];
};

#define OFFSET(a, b, c) 0xE0 + 7, a, b, c, 0, 0, 0, 0, 0

static const struct left left[] = {
	{"stream",
	 {{11, {0x28, 0, OFFSET(0, 0, 3)}},
	  {11, {0x28, 1, OFFSET(0x70, 0x20, 0)}},
	  {3, {0x20, 0x80, 3}}}},
	{"stream-waited-for",
	 {{5, {0xE0, 0x08, 0x00, 0x01, 0x01}},
	  {11, {0x28, 0, OFFSET(0, 0, 3)}},
	  {11, {0x28, 1, OFFSET(0x70, 0x20, 0)}},
	  {3, {0x20, 0x80, 3}}}},
	{"run",
	 {{2, {0x08, 2}},
	  {2, {0x09, 3}},
	  {10, {0x0A, OFFSET(0x70, 0x20, 0)}},
	  {2, {0x07, 2}},
	  {3, {0x05, 0x80, 3}}}},
	{"tails",
	 {{2, {0x42, 0}},
	  {2, {0x08, 2}},
	  {2, {0x09, 3}},
	  {2, {0x0A, 0}},
	  {2, {0x07, 2}},
	  {3, {0x05, 0x80, 3}}}},
	{"record",
	 {{10, {0xC1, OFFSET(0x70, 0x20, 0)}},
	  {10, {0xC2, OFFSET(0, 0, 3)}},
	  {3, {0xC0, 0x80, 3}}}},
	{"record-run",
	 {{10, {0xC1, OFFSET(0x70, 0x20, 0)}},
	  {10, {0xC2, OFFSET(0, 0x20, 3)}},
	  {3, {0xC0, 0x80, 3}}}},
	{"record-nothing",
	 {{10, {0xC1, OFFSET(0x70, 0x20, 0)}},
	  {10, {0xC2, OFFSET(8, 0, 3)}},
	  {3, {0xC0, 0x80, 3}}}},
};

static const struct bytes settling[] = {
	{4, {0xD3, 1, 0, 0}}, {3, {0x00, 0x02, 6}}, {2, {0x40, 1}},
	{3, {0x00, 0xA5, 8}}, {1, {0xA2}},          {4, {0xD1, 1, 2, 0x02}},
	{4, {0xD3, 0, 1, 0}}, {1, {0xC0}},          {1, {0xA0}}};
#define SETTLING (sizeof(settling) / sizeof(settling[0]))

static size_t leave(uint8_t *bytes, size_t count, const struct left *l)
{
	for (unsigned i = 0; i < 6 && l->stores[i].count > 0; i++) {
		bytes[count++] = 0xE0;
		count = append(bytes, count, &l->stores[i]);
		/* The store reads when the next one comes: never. */
		bytes[count++] = 0;
	}
	return count;
}

/* The dead left something; whoever comes first settles it, and something happens meanwhile. */
static size_t settle(uint8_t *bytes, size_t count, const struct left *l, unsigned how,
		     unsigned what)
{
	static const uint8_t faults[][2] = {{0xC8, 0xFF}, {0xC9, 0xFF}, {0xCF, 0xFF}, {0xC8, 0xFC}};

	/* Opened again, the library knows nothing of the file, and more calls can fail. */
	if (how < 4)
		bytes[count++] = 0xC0;
	count = leave(bytes, count, l);
	if (how < 4) {
		bytes[count++] = faults[how][0];
		bytes[count++] = faults[how][1];
	} else {
		bytes[count++] = 0xE8;
		count = append(bytes, count, &stores[how - 4]);
	}
	return append(bytes, count, &settling[what]);
}

void write_settled(const struct seed *image, const char *name)
{
	uint8_t bytes[512];
	char path[128];

	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		unsigned number = 0, sweeps = 0;
		size_t count = 0;

		for (unsigned how = 0; how < 4 + STORES; how++) {
			/* Every store is only tried on a recovery. */
			for (unsigned what = 0; what < (how <= 4 ? SETTLING : 1); what++) {
				struct seed s = *image;

				count = settle(bytes, count, &left[i], how, what);
				if (++sweeps % 4 != 0 && how + 1 < 4 + STORES)
					continue;
				program(&s, bytes, count);
				snprintf(path, sizeof(path), "%s-settled-%s-%u", name, left[i].name,
					 number++);
				write_seed(&s, "hostile", path);
				count = 0;
			}
		}
	}
}

/* ---- Programs about the dead ---------------------------------------------------- */

static size_t program_dead(uint8_t *bytes, unsigned kind)
{
	static const uint8_t cells[] = {0,   128, 1,     129,   5,      9, 133, 2,
					130, 3,   3 | 4, 3 | 8, 3 | 16, 4, 132, 0};
	static const uint8_t sizes[] = {0x10, 0x20, 0xA2, 0x03, 0xA5, 0x40};
	size_t count = 0;

	for (unsigned i = 0; i < sizeof(cells); i++) {
		for (unsigned k = 0; k < 2; k++) {
			bytes[count++] = 0x00;
			bytes[count++] = sizes[(i + k * 3 + kind) % sizeof(sizes)];
		}
		bytes[count++] = 0xD8;
		bytes[count++] = (uint8_t)(kind + (i % 3 == 0 ? 6 : 0));
		bytes[count++] = (uint8_t)(i * 3);
		bytes[count++] = cells[i];
		bytes[count++] = (uint8_t)(i & 1);
		if (i % 5 == 4) {
			/* Somebody stays inside, or the disk is full: then it is settled later. */
			bytes[count++] = i % 2 == 0 ? 0xC8 : 0xD2;
			bytes[count++] = 2;
			bytes[count++] = 1;
		}
	}
	bytes[count++] = 0xB0;
	return count;
}

static size_t program_sweep(uint8_t *bytes, unsigned kind)
{
	size_t count = 0;

	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < 14; i++) {
			bytes[count++] = 0x00;
			bytes[count++] = (uint8_t)(i % 5 == 4 ? 0xA2 + i % 3 : 0x10 + i);
		}
		bytes[count++] = 0xA0;
		bytes[count++] = (uint8_t)(3 + round);
		if (round % 2 == 1) {
			bytes[count++] = 0xA0;
			bytes[count++] = 9;
		}
		bytes[count++] = 0xDA + (round & 1);
		bytes[count++] = (uint8_t)(round == 3 ? kind : 0);
		bytes[count++] = 0xB0;
	}
	return count;
}

void dead_seeds(void)
{
	char name[64];

	for (unsigned i = 0; i < 16; i++) {
		bool is_static = i % 4 == 3;
		uint8_t bytes[1024];
		struct seed s = begin(
			(i & 1) != 0 ? CONTROL_HOLES : 0,
			(uint8_t)((is_static ? OPEN_STATIC : 0) | (i & 2 ? OPEN_ZERO_ON_FREE : 0)),
			is_static ? i % 4 + 3 * 4 + 64 * 100 : i % 4 + i * 40000);

		program(&s, bytes, i < 10 ? program_dead(bytes, i % 4) : program_sweep(bytes, i));
		snprintf(name, sizeof(name), "%s-%u", i < 10 ? "dead" : "sweep", i);
		write_seed(&s, "ops", name);
	}
}
