/* SPDX-License-Identifier: MIT */
/*
 * Seeds whose tables do not fit one granule: a run whose tails go on in the next one, which is a hole, or
 * cannot be had.  And those that need a certain image: findings, a lost page, many blocks, another file.
 */
#include "seeds.h"

#include <stdio.h>
#include <string.h>

#define RUN_SPANS 1500u

/* The words begin shortly before the end of a granule, and the pairs two granules later. */
static struct params late_words(struct geo *g)
{
	struct params p = sound(false);

	p.file_size = 64 << 20;
	for (p.streams = 1; p.streams < QALLOC_STREAMS_MAX; p.streams++) {
		if (geo_compute(&p, g) == QALLOC_OK && g->spans > 9000 &&
		    g->words_off % GRANULE >= GRANULE - 8 * 512)
			return p;
	}
	FUZZ_CHECK(false);
}

/* Each call fails, in two ways, of each of these. */
static size_t fail_each(uint8_t *bytes, size_t count, const char *operations, size_t length)
{
	static const uint8_t faults[][2] = {{0xC8, 0xFC}, {0xC8, 0xFF}, {0xC9, 0xFF}};

	for (unsigned i = 0; i < 3; i++) {
		bytes[count++] = faults[i][0];
		bytes[count++] = faults[i][1];
		memcpy(bytes + count, operations, length);
		count += length;
	}
	return count;
}

static void write_long_run(const struct seed *image, const char *name)
{
	static const struct {
		const char *bytes;
		size_t length;
	} calls[] = {{"\x43\x01", 2}, {"\x40\x01", 2},         {"\x0C\x20\x01\x02", 4},
		     {"\x82\x02", 2}, {"\xD1\x01\x02\x20", 4}, {"\x00\x02\x06", 3}};
	char path[128];

	for (unsigned i = 0; i < 6; i++) {
		uint8_t bytes[64] = {0xA0};
		struct seed s = *image;

		program(&s, bytes, fail_each(bytes, 1, calls[i].bytes, calls[i].length));
		snprintf(path, sizeof(path), "long-run-%s-%u", name, i);
		write_seed(&s, "hostile", path);
	}
}

/* The pool's holder died inside the run, of which the head is gone. */
static void write_long_tails(const struct seed *image)
{
	/* The head; the intent's run, its cell and what was done; who held the pool. */
	static const uint8_t kept[] = {0xE0, 0x0A, 0xE7, 0x70, 0x20, 0, 0, 0, 0, 0, 0, 0};
	static const uint8_t gone[] = {0xE0, 0x40, 0x00, 0, 0xE0, 0x0A, 0x00, 0};
	static const uint8_t left[] = {0xE0, 0x08, 0x00, 0,    0xE0, 0x09, 0xE7, 0xDC, 0x05,
				       0,    0,    0,    0,    0,    0,    0,    0xE0, 0x07,
				       0x02, 0,    0xE0, 0x05, 0x80, 3,    0};
	uint8_t bytes[128];
	struct seed s = *image;

	memcpy(bytes, gone, sizeof(gone));
	memcpy(bytes + sizeof(gone), left, sizeof(left));
	program(&s, bytes, fail_each(bytes, sizeof(gone) + sizeof(left), "\xD3\x01\x00\x00", 4));
	write_seed(&s, "hostile", "long-run-tails");
	s = *image;
	memcpy(bytes, kept, sizeof(kept));
	memcpy(bytes + sizeof(kept), left, sizeof(left));
	program(&s, bytes, fail_each(bytes, sizeof(kept) + sizeof(left), "\xD3\x01\x00\x00", 4));
	write_seed(&s, "hostile", "long-run-given");
}

/* A block that a dead stream's intent names, whose tables nobody has seen: small, or a run. */
static void far_block(bool run)
{
	struct geo g;
	struct params p = late_words(&g);
	struct seed s = begin_with(CONTROL_REPAIR | CONTROL_HOLES, &p);
	uint64_t span = (GRANULE - g.words_off % GRANULE) / 8;
	uint8_t bytes[64];

	patch_word(&s, g.words_off + span * 8, run ? span_word_run(1) : span_word_small(0, 0));
	patch_word(&s, g.pairs_off + span * g.span_pairs * PAIR_BYTES, run ? 0 : 1);
	patch_word(&s, STREAMS_OFF, DEAD);
	patch_word(&s, STREAMS_OFF + STREAM_INTENT, g.data_off + span * g.span_bytes);
	patch_word(&s, STREAMS_OFF + STREAM_INTENT + 8, ROOTS_OFF + ROOT_VALUE);
	/* First of all the disk is full for once. */
	memcpy(bytes, "\xC9\xFF\xD3\x01\x00\x00", 6);
	program(&s, bytes, fail_each(bytes, 6, "\xD3\x01\x00\x00", 4));
	write_seed(&s, "hostile", run ? "far-run-each-call" : "far-block-each-call");
}

/*
 * The first place that is large enough ends a search's window, and the aligned one goes on in the
 * next granule of words, which cannot be had.
 */
static void far_aligned(void)
{
	/* 400 spans, at a multiple of 2 MiB; the fourth call fails. */
	static const uint8_t aligned[] = {0xC8, 3, 0x0B, 0xE2, 0x00, 0x00, 0x19, 1};
	struct geo g;
	struct params p = late_words(&g);
	struct seed s = begin_with(CONTROL_REPAIR | CONTROL_HOLES, &p);

	FUZZ_CHECK(g.words_off % GRANULE == GRANULE - 8 * 512 && g.span_bytes == 4096);
	FUZZ_CHECK((p.base + g.data_off + 8544 * g.span_bytes) % (2 << 20) == 0);
	for (uint64_t span = 399; span < 8000; span += 400)
		patch_word(&s, g.words_off + span * 8, span_word_run(1));
	patch_word(&s, g.words_off + UINT64_C(8) * 8100, span_word_run(1));
	program(&s, aligned, sizeof(aligned));
	write_seed(&s, "hostile", "far-aligned");
}

/* A look for data fails as unsupported; what is reserved then can be, and the numbers say so. */
static void write_unsupported(const struct seed *image)
{
	char name[64];

	for (uint8_t call = 0; call < 8; call++) {
		const uint8_t bytes[] = {0xA0, 0xCF, call, 0x43, 1, 0xA4};
		struct seed s = *image;

		program(&s, bytes, sizeof(bytes));
		snprintf(name, sizeof(name), "long-run-unsupported-%u", call);
		write_seed(&s, "hostile", name);
	}
}

static void long_runs(void)
{
	struct geo g;
	struct params p = late_words(&g);
	uint8_t words[8 * RUN_SPANS] = {0};
	uint64_t first = (GRANULE - g.words_off % GRANULE) / 8;
	struct seed s = begin_with(CONTROL_REPAIR | CONTROL_HOLES, &p);

	patch_word(&s, STATE_FRONTIER, RUN_SPANS);
	patch_word(&s, ROOTS_OFF, 0x746F6F72);
	patch_word(&s, ROOTS_OFF + ROOT_VALUE, g.data_off);
	patch_word(&s, ROOTS_OFF + ROOT_STATE, 1);
	put_le(words, 8, span_word_run(RUN_SPANS));
	for (unsigned i = 1; i < RUN_SPANS; i++)
		put_le(words + (size_t)8 * i, 8, SPAN_TAIL);

	struct seed whole = s, hole = s;

	patch(&whole, g.words_off, words, sizeof(words));
	write_long_run(&whole, "whole");
	write_long_tails(&whole);
	write_unsupported(&whole);
	patch(&hole, g.words_off, words, first * 8);
	write_long_run(&hole, "hole");
	patch_word(&hole, g.data_end - 8, 1);
	write_long_run(&hole, "hole-and-data");
}

/* In a map with a finding: who checks it wants the pool, and looks again. */
static void findings(struct seed s)
{
	static const uint8_t held[] = {0xE0, 0x05, 0x61, 0, 0xA2};
	uint8_t bytes[64];
	struct seed t = s;

	program(&t, held, sizeof(held));
	write_seed(&t, "hostile", "finding-pool-held");
	/* Who only reads wants it whole.  The last call, when it is closed again, fails. */
	t = s;
	t.bytes[0] |= (uint8_t)((25 - 15) << 4 | CONTROL_LATE);
	t.bytes[1] |= OPEN_READONLY | OPEN_VERIFY;
	write_seed(&t, "loadmap", "finding-refused-close-fails");
	program(&s, bytes, fail_each(bytes, 0, "\xA2", 1));
	write_seed(&s, "loadmap", "finding-each-call");
	s.bytes[1] |= OPEN_READONLY;
	write_seed(&s, "loadmap", "finding-readonly-each-call");
}

/* A run without one of its tails, whose head changes before each load; and a run of holes, wiped. */
static void broken_run(struct seed s, struct seed zeroing)
{
	static const uint8_t changed[] = {0xA0, 0xE0, 0x43, 0x00, 0, 0xE8, 0x42, 0x00, 0x40, 4};

	program(&s, changed, sizeof(changed));
	write_seed(&s, "hostile", "broken-run-each-load");
	zeroing.bytes[0] |= CONTROL_HOLES;
	s = zeroing;
	program(&s, "\xA0\xC8\xFF\x40\x04", 5);
	write_seed(&s, "loadmap", "zeroing-holes-each-call");
	s = zeroing;
	program(&s, "\xA0\xC8\xFE\x40\x04", 5);
	write_seed(&s, "loadmap", "zeroing-holes-each-two-calls");
	patch_word(&zeroing, 262144 - 8, 1);
	program(&zeroing, "\xA0\xC8\xFF\x40\x04", 5);
	write_seed(&zeroing, "loadmap", "zeroing-holes-and-data-each-call");
}

/* A run that cannot be wiped: it is freed with the pointer to it, or the dead have left it. */
static void wiping_fails(const struct seed *zeroing)
{
	static const uint8_t freed[] = {0xD0, 1, 0, 0xA5, 8, 0xC8, 0xFC, 0xD1, 1, 0, 0};
	static const uint8_t left[] = {0xE0, 0x08, 0x02, 0,    0xE0, 0x09, 0x03, 0,    0xE0,
				       0x0A, 0xE7, 0x70, 0x20, 0,    0,    0,    0,    0,
				       0,    0,    0xE0, 0x07, 0x02, 0,    0xE0, 0x05, 0x80,
				       3,    0,    0xC8, 0xFC, 0xD3, 1,    0,    0};
	struct seed s = *zeroing;

	program(&s, freed, sizeof(freed));
	write_seed(&s, "hostile", "zeroing-fails-freed");
	s = *zeroing;
	program(&s, left, sizeof(left));
	write_seed(&s, "hostile", "zeroing-fails-left");
}

/* Who creates a root finds that somebody else has done so; and a read-only map is looked at in copies. */
static void roots_and_copies(struct seed whole)
{
	static const uint8_t creates[] = {0xA0, 0xE8, 0xAF, 0x01, 0xD0, 1, 0, 0x02, 6};
	static const uint8_t looks[] = {0x43, 0xA0, 0,    0,    0, 0x43, 0xA0, 2,
					0,    0,    0x43, 0xA0, 0, 2,    0};
	uint8_t bytes[64];
	struct seed s = whole;

	patch_word(&s, ROOTS_OFF + ROOT_BYTES, 'a');
	patch_word(&s, ROOTS_OFF + ROOT_BYTES + ROOT_VALUE, DATA);
	program(&s, creates, sizeof(creates));
	write_seed(&s, "hostile", "root-created-each-load");
	s = whole;
	s.bytes[1] |= OPEN_READONLY;
	program(&s, looks, sizeof(looks));
	write_seed(&s, "loadmap", "readonly-looks");
	s = whole;
	s.bytes[1] |= OPEN_READONLY;
	program(&s, bytes,
		fail_each(bytes, fail_each(bytes, 0, "\x43\xA0\x00\x00\x00", 5), "\x82\x02", 2));
	write_seed(&s, "loadmap", "readonly-each-call");
	s = whole;
	s.bytes[1] |= OPEN_READONLY;
	patch_word(&s, WORDS, 4);
	program(&s, looks, sizeof(looks));
	write_seed(&s, "loadmap", "readonly-looks-at-nonsense");
}

/* A page is lost, and then everything is tried, opening again included. */
static void lost_page(struct seed s)
{
	static const uint8_t lost[] = {0xA0, 0xE0, 0x1F, 0,    0,    0xD6, 0xD5, 0xD4, 0xD7,
				       0x00, 0x10, 1,    0x40, 1,    0x43, 1,    0x80, 1,
				       2,    0x82, 2,    0xA0, 0xA2, 0xA4, 0xA7, 0xD3, 1,
				       0,    0,    0xC0, 0x00, 0x10, 1};

	program(&s, lost, sizeof(lost));
	write_seed(&s, "hostile", "lost-page");
}

/* The last block of a pair is freed, and not of the span, while others are taken from another one. */
static void half_empty(struct seed s)
{
	static const uint8_t frees[] = {0x00, 0x02, 0x40, 5, 0xB0};

	patch_word(&s, WORDS + 64, span_word_small(0, 0));
	patch_word(&s, PAIRS + (uint64_t)8 * 64, 1);
	patch_word(&s, PAIRS + (uint64_t)8 * 64 + 16, 1);
	patch_word(&s, STATE_FRONTIER, 9);
	program(&s, frees, sizeof(frees));
	write_seed(&s, "check", "free-last-of-a-pair");
}

/* Each look at the file while it is opened tells of another one, in each way. */
static void lie_seeds(struct seed whole)
{
	static const uint8_t options[] = {0, OPEN_PATH, OPEN_READONLY,
					  OPEN_EXCLUSIVE | OPEN_STATIC};
	char name[64];

	for (unsigned i = 0; i < 4 * 8 * 8; i++) {
		struct seed s = whole;
		unsigned kind = i % 8, call = 1 + i / 8 % 8;

		/* Those that only fail are among the faults. */
		if (kind == 0 || kind == 2)
			continue;
		s.bytes[0] |= (uint8_t)(call << 4);
		s.bytes[1] |= options[i / 64];
		program(&s, "\x00\x20\x01\x40\x01\xA0\xA0\xA0", kind);
		snprintf(name, sizeof(name), "lie-%u-%u-%u", i / 64, kind, call);
		write_seed(&s, "loadmap", name);
	}
	/* Allowed ones: a file with a name that only its owner can write, and one's own. */
	for (unsigned kind = 4; kind <= 6; kind += 2) {
		struct seed s = whole;

		s.bytes[0] |= (uint8_t)(3 << 4 | CONTROL_HOLES);
		program(&s, "\x00\x20\x01\x40\x01\xA0", kind);
		snprintf(name, sizeof(name), "lie-allowed-%u", kind);
		write_seed(&s, "loadmap", name);
	}
}

/* What was freed last is live again, and nothing else is free. */
static void recent_is_live(void)
{
	static const uint8_t takes[] = {0xA0, 0x40, 0x01, 0xE0, 0x80, 0x00, 0xD0,
					0,    0xD0, 1,    0,    0x20, 6};
	struct qalloc_options options = shape(QALLOC_STATIC, 327680, 100000, 1);
	struct map *m = create(&options);
	struct seed s = begin(CONTROL_REPAIR, 0, 327680);

	FUZZ_CHECK(m->geo.items == 1 && qalloc_malloc(m, 1) != NULL && qalloc_closemap(m) == 0);
	dump(&s, 327680);
	program(&s, takes, sizeof(takes));
	write_seed(&s, "hostile", "recent-is-live");
}

/* No span gets disk space, by a quota; the last one is not free, so the search begins again. */
static void quota(struct seed s)
{
	static const uint8_t takes[] = {0x00, 0x69, 0xF2, 0x00, 0x00, 0x69, 0xB0};

	patch_word(&s, WORDS + UINT64_C(15) * 8, span_word_run(1));
	patch_word(&s, STATE_FRONTIER, 16);
	program(&s, takes, sizeof(takes));
	write_seed(&s, "check", "quota");
}

/* More blocks than a sweep has room for at first: the first one that is looked at refers to all. */
static void many_blocks(struct seed s)
{
	static const uint8_t sweep[] = {0xA0, 0x03, 0xDB, 0x04, 0xB0};
	uint8_t ones[64], bytes[256];
	size_t count = sizeof(sweep);

	memset(ones, 0, sizeof(ones));
	for (unsigned i = 0; i < 4; i++)
		memset(ones + (size_t)16 * i, 0xFF, 8);
	for (uint64_t i = 8; i < 14; i++) {
		patch_word(&s, WORDS + 8 * i, span_word_small(0, 0));
		patch(&s, PAIRS + 64 * i, ones, sizeof(ones));
	}
	patch_word(&s, STATE_FRONTIER, 14);
	memcpy(bytes, sweep, sizeof(sweep));
	/* The same with each of the first calls failing; in the end without most of them. */
	for (uint8_t i = 0; i < 48; i++) {
		bytes[count++] = 0xDB;
		bytes[count++] = 0x0C;
		bytes[count++] = i;
	}
	bytes[count++] = 0xDA;
	bytes[count++] = 0x00;
	program(&s, bytes, count);
	write_seed(&s, "check", "sweep-many-blocks");
}

/* Who wants a block finds the span full that it has never used, and then somebody frees some. */
static void full_span(struct seed s)
{
	char name[64];

	for (unsigned i = 0; i < 4; i++)
		patch_word(&s, PAIRS + (uint64_t)16 * i, UINT64_MAX);
	for (uint8_t load = 0; load < 16; load++) {
		/* By the size of the run, of which it hears last but one, it knows the tables. */
		const uint8_t bytes[] = {0xA0, 0x43, 2, 0xF0, load, 0x00, 0x02, 0x80, 0, 0, 0, 6};
		struct seed t = s;

		program(&t, bytes, sizeof(bytes));
		snprintf(name, sizeof(name), "full-span-freed-%u", load);
		write_seed(&t, "hostile", name);
	}
}

/* A forked child that cannot attach is not alone. */
static void sweep_in_a_child(struct seed s)
{
	program(&s, "\xE8\xD3\x00\x00\xC8\xFF\xE8\xD3\x00\x00\xA4\xA0", 12);
	write_seed(&s, "loadmap", "child-sweeps-each-call");
}

/* Where the roots end there is the offset of a block: what no name has found is no root. */
static void lost_root(struct seed s)
{
	patch_word(&s, ROOTS_OFF + (QALLOC_ROOTS_MAX + 1) * ROOT_BYTES + ROOT_VALUE, DATA);
	program(&s, "\xE8\x1F\x00\xD2\x01\x02\x02\x06", 8);
	write_seed(&s, "hostile", "root-page-lost");
}

/* Who has seen enough of a walk is told so, even if the page was lost that was looked at. */
static void stopped_walk(struct seed s)
{
	program(&s, "\xE8\x1F\x00\xA8", 4);
	write_seed(&s, "hostile", "stopped-walk-page-lost");
}

/* More findings than are kept. */
static void many_findings(void)
{
	struct params p = sound(false);
	uint8_t words[8 * 400];
	struct geo g;

	p.file_size = 4 << 20;
	p.streams = 16;
	FUZZ_CHECK(geo_compute(&p, &g) == QALLOC_OK && g.spans > 400);
	struct seed s = begin_with(CONTROL_REPAIR | CONTROL_HOLES, &p);

	memset(words, 0xEE, sizeof(words));
	patch(&s, g.words_off, words, sizeof(words));
	write_map(&s, "check-many-findings");
}

void table_seeds(struct seed whole, struct seed zeroing)
{
	struct seed s = whole;

	broken_run(whole, zeroing);
	wiping_fails(&zeroing);
	roots_and_copies(whole);
	long_runs();
	far_block(false);
	far_block(true);
	far_aligned();
	recent_is_live();
	quota(whole);
	lie_seeds(whole);
	lost_page(whole);
	many_blocks(whole);
	half_empty(whole);
	full_span(whole);
	stopped_walk(whole);
	lost_root(whole);
	sweep_in_a_child(whole);
	patch_word(&s, WORDS, 4);
	findings(s);
	many_findings();
}
