/* SPDX-License-Identifier: MIT */
/*
 * A hostile neighbour.
 *
 *  - One process writes random and chosen values over all metadata of a map, without pause, while
 *    others make every call that a map has.  The header gets its bytes back at once: else nobody
 *    could open the map any more.
 *  - No call may crash, hang, or return an address outside the map's data area.  Below the
 *    map lies a guard; behind it is the library's own.  Built with AddressSanitizer it sees
 *    private memory as well.
 *  - What the calls answer means nothing here.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/geo.h"
#include "../../src/span.h"
#include "../support.h"
#include "shape.h"
#include "torture.h"

#define HELD_MAX 64u
#define BOUND_USEC 4000000u
#define GUARD_BELOW ((size_t)1 << 30)

static const struct shape shapes[] = {
	{"dynamic, 256 KiB", QALLOC_DYNAMIC, 256 << 10, 0, 3, 0},
	{"dynamic, 64 MiB", QALLOC_DYNAMIC, 64 << 20, 0, 8, 0},
	{"static, 16 MiB of 24 bytes", QALLOC_STATIC, 16 << 20, 24, 2, 0},
	{"static, 64 MiB of 300 KiB", QALLOC_STATIC, 64 << 20, 300 << 10, 1, 0},
	{"zeroed, 8 MiB", QALLOC_DYNAMIC, 8 << 20, 0, 4, QALLOC_ZERO_ON_FREE},
};

struct shared {
	uint64_t slowest, calls, scribbled;
	char slowest_call[32];
	volatile int stop;
};

static struct shared *shared;
static const struct shape *shape;
static char path[400];
static struct geo geo;

static void *open_map(void)
{
	return shape_open(shape, path, MAP_BASE);
}

static void geometry(void)
{
	struct params p = {.file_size = (uint64_t)shape->filesize,
			   .base = (uint64_t)(uintptr_t)MAP_BASE,
			   .item_size = shape->itemsize,
			   .kind = (uint32_t)shape->kind,
			   .streams = (uint32_t)shape->streams};

	if (geo_compute(&p, &geo) != QALLOC_OK) {
		broken("geometry");
	}
}

/* ---- The hostile one ---------------------------------------------------------- */

/* Where something is kept that somebody reads. */
static uint64_t choose_place(uint64_t chance)
{
	uint64_t spans = geo.spans < 4096 ? geo.spans : 4096;
	uint64_t n = chance >> 8;

	switch (chance & 15) {
	case 0:
		return STATE_OFF + n % 32 * 8;
	case 1:
		return STATE_INTENT + n % 4 * 8;
	case 2:
		return ROOTS_OFF + n % 512 * 8;
	case 3:
		return SLOTS_OFF + n % 16 * 8;
	case 4:
	case 5:
		return STREAMS_OFF + n % (geo.streams * STREAM_BYTES / 8) * 8;
	case 6:
	case 7:
	case 8:
	case 9:
		return geo.words_off + n % spans * 8;
	case 10:
		return geo.words_off + n % geo.spans * 8;
	case 11:
		return STATE_OFF + n % ((geo.words_off - STATE_OFF) / 8) * 8;
	case 12:
		return geo.records_off + n % (16 * RECORD_BYTES / 8) * 8;
	case 13:
		return STREAMS_OFF + (n >> 8) % geo.streams * STREAM_BYTES + STREAM_INTENT +
		       n % 2 * 8;
	default:
		return geo.pairs_off + n % (spans * geo.span_pairs * PAIR_BYTES / 8) * 8;
	}
}

static uint64_t choose_value(uint64_t chance, uint64_t *state)
{
	uint64_t other = next_random(state);

	switch (chance & 15) {
	case 0:
	case 1:
		return 0;
	case 2:
		return UINT64_MAX;
	case 3:
	case 4:
	case 5:
		return span_word_small((uint32_t)(other % geo.streams),
				       (uint32_t)(other >> 32) % geo.classes);
	case 6:
		return span_word_run(other % (geo.spans + 2));
	case 7:
		return SPAN_TAIL;
	case 8:
		return other % geo.spans;
	case 9: /* An owner that may well be alive. */
		return (other % 6 + 1) << 32 | (other >> 8) % 4 << 20 | (other >> 16) % 4;
	case 10:
		return other % 4;
	case 11:
		return geo.file_size - other % 4096;
	case 12: /* A block, or a cell, of an intent. */
		return geo.data_off + other % (geo.data_end - geo.data_off) / 16 * 16;
	case 13:
		return geo.records_off + other % 16 * RECORD_BYTES + RECORD_BLOCK;
	default:
		return other;
	}
}

/* Some byte of the header or its copy, for a moment. */
static void scribble_header(uint8_t *file, uint64_t chance)
{
	uint8_t *byte = file + ((chance & 1) != 0 ? HDR_BACKUP_OFF : 0) + (chance >> 8) % HDR_BYTES;
	uint8_t before = __atomic_load_n(byte, __ATOMIC_RELAXED);

	__atomic_store_n(byte, (uint8_t)(chance >> 16), __ATOMIC_RELAXED);
	__atomic_store_n(byte, before, __ATOMIC_RELAXED);
}

static void scribble(uint64_t seed)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t *file = mmap(NULL, geo.meta_end, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint64_t state = seed * 2 + 1, n = 0;

	alarm(600);
	if (fd < 0 || file == MAP_FAILED) {
		broken("mapping the map");
	}
	while (!shared->stop) {
		uint64_t chance = next_random(&state);
		uint64_t off = choose_place(chance);
		uint64_t *word = (uint64_t *)(void *)(file + off);

		__atomic_store_n(word, choose_value(chance >> 40, &state), __ATOMIC_RELAXED);
		n++;
		if (n % 64 == 0) {
			scribble_header(file, next_random(&state));
		}
		/* In bursts, so that others get somewhere in between. */
		if (n % 4096 == 0 && (chance >> 60) < 8) {
			usleep((unsigned)(chance >> 50 & 1023));
		}
	}
	shared->scribbled = n;
	_exit(0);
}

/* ---- The others ------------------------------------------------------------------ */

static void *map;
static char *held[HELD_MAX];
static void **cell; /* a pointer in the map, while there is a block for it */

static void timed(uint64_t start, const char *call)
{
	uint64_t took = now_usec() - start;

	__atomic_fetch_add(&shared->calls, 1, __ATOMIC_RELAXED);
	if (took > shared->slowest) {
		shared->slowest = took;
		snprintf(shared->slowest_call, sizeof(shared->slowest_call), "%s", call);
	}
	if (took > BOUND_USEC) {
		finding("%s: %s took %llu ms", shape->name, call,
			(unsigned long long)(took / 1000));
	}
}

static void inside(const char *call, const char *block, size_t size)
{
	const char *data = (const char *)MAP_BASE + geo.data_off;
	const char *end = (const char *)MAP_BASE + geo.data_end;

	if (block < data || block > end || size > (size_t)(end - block)) {
		finding("%s: %s returned %p of %zu bytes, outside the data area", shape->name, call,
			(const void *)block, size);
	}
}

static int visit_block(void *block, size_t size, void *arg)
{
	inside("walk", block, size);
	return ++*(unsigned *)arg > 100000;
}

static int visit_root(const char *name, void *value, void *arg)
{
	(void)arg;
	if (strnlen(name, 64) > QALLOC_ROOTNAME_MAX) {
		finding("%s: a root's name is too long", shape->name);
	}
	if (value != NULL) {
		inside("roots", value, 0);
	}
	return 0;
}

static void call_block(uint64_t chance)
{
	char **place = &held[chance % HELD_MAX];
	static const size_t sizes[] = {1, 24, 100, 700, 2000, 5000, 40000, 300000};
	size_t size = shape_size(shape, sizes[chance >> 8 & 7]);
	uint64_t start = now_usec();

	if (*place != NULL && (chance >> 16 & 3) != 0) {
		(void)qalloc_tryfree(*place, map);
		timed(start, "free");
		*place = NULL;
		return;
	}
	if (*place != NULL && (chance >> 18 & 1) != 0) {
		char *moved = qalloc_realloc(map, *place, size);

		timed(start, "realloc");
		if (moved != NULL) {
			inside("realloc", moved, size);
			*place = moved;
		}
		return;
	}
	char *block = (chance >> 19 & 7) != 0
			      ? qalloc_malloc(map, size)
			      : qalloc_aligned_alloc(map, (size_t)8 << (chance >> 22 & 7), size);

	timed(start, "malloc");
	if (block != NULL) {
		inside("malloc", block, size);
		memset(block, 0x5A, size < 64 ? size : 64);
		*place = block;
	}
}

static int reach_none(void *block, size_t size, struct qalloc_marks *marks, void *arg)
{
	(void)size;
	(void)arg;
	return qalloc_mark(marks, block);
}

/* Whatever the cell has by now. */
static void call_publishing(uint64_t chance)
{
	size_t size = shape_size(shape, chance >> 8 & 0xFFFF);
	uint64_t start = now_usec();
	void *block = NULL;

	if (cell == NULL) {
		cell = qalloc_calloc(map, 1, sizeof(*cell));
		return timed(start, "calloc");
	}
	switch (chance & 7) {
	case 0:
	case 1:
		block = qalloc_malloc_to(map, size, cell);
		timed(start, "malloc_to");
		break;
	case 2:
		block = qalloc_malloc_toroot(map, size, "a");
		timed(start, "malloc_toroot");
		break;
	case 3:
		block = qalloc_realloc_toroot(map, size, "a");
		timed(start, "realloc_toroot");
		break;
	case 4:
		(void)qalloc_free_from(map, cell);
		return timed(start, "free_from");
	case 5:
		(void)qalloc_recover(map);
		return timed(start, "recover");
	default:
		block = qalloc_realloc_to(map, size, cell);
		timed(start, "realloc_to");
		break;
	}
	if (block != NULL) {
		inside("publishing", block, size);
	}
}

static void call_rare(uint64_t chance)
{
	uint64_t start = now_usec();
	size_t freed = 0;

	if ((chance & 1) != 0) {
		(void)qalloc_trim(map);
		return timed(start, "trim");
	}
	(void)qalloc_sweep(map, reach_none, NULL, &freed);
	timed(start, "sweep");
}

static void call_other(uint64_t chance)
{
	struct qalloc_info info = {.size = sizeof(info)};
	char *anywhere = (char *)MAP_BASE + geo.data_off + chance % (geo.data_end - geo.data_off);
	unsigned visited = 0;
	uint64_t start = now_usec();

	switch (chance >> 56 & 7) {
	case 0:
		(void)qalloc_walk(map, visit_block, &visited);
		return timed(start, "walk");
	case 1:
		(void)qalloc_check(map, NULL, NULL);
		return timed(start, "check");
	case 2:
		(void)qalloc_mapinfo(map, &info);
		return timed(start, "mapinfo");
	case 3:
		(void)qalloc_setroot(map, "a", anywhere);
		(void)qalloc_casroot(map, "b", NULL, anywhere);
		return timed(start, "setroot");
	case 4: {
		char *value = qalloc_getroot(map, "a");

		timed(start, "getroot");
		if (value != NULL) {
			inside("getroot", value, 0);
		}
		(void)qalloc_delroot(map, "b");
		return;
	}
	case 5:
		(void)qalloc_roots(map, visit_root, NULL);
		return timed(start, "roots");
	case 6: {
		size_t size = qalloc_usable_size(map, anywhere);

		timed(start, "usable_size");
		if (size != 0) {
			inside("usable_size", anywhere, size);
		}
		return;
	}
	default:
		(void)qalloc_tryfree(anywhere - (uintptr_t)anywhere % 4096, map);
		return timed(start, "free of anything");
	}
}

/* Blocks that the metadata deny are no misuse here. */
static void ignore(void *m, void *block, int error, void *arg)
{
	(void)m;
	(void)block;
	(void)error;
	(void)arg;
}

/* What is scribbled on may not open now and then; a map that never does has nothing to use. */
static void *open_again(void)
{
	void *opened = open_map();

	for (unsigned i = 0; opened == NULL && i < 20; i++) {
		opened = open_map();
	}
	return opened;
}

static void work(uint64_t seed, uint64_t end)
{
	uint64_t state = seed * 2 + 1;

	alarm(300);
	qalloc_onmisuse(ignore, NULL);
	map = open_again();
	while (map != NULL && now_usec() < end) {
		uint64_t chance = next_random(&state);

		if (chance % 100 < 87) {
			call_block(chance >> 7);
		} else if (chance % 100 < 97) {
			call_publishing(chance >> 7);
		} else if (chance % 1000 == 999) {
			call_rare(chance >> 10);
		} else {
			call_other(chance);
		}
		if (chance % 20011 == 0) {
			uint64_t start = now_usec();

			(void)qalloc_closemap(map);
			map = open_again();
			timed(start, "close and open");
			memset(held, 0, sizeof(held));
			cell = NULL;
		}
	}
	_exit(0);
}

static void round_of(const struct shape *s, uint64_t seed, uint64_t usec)
{
	char who[100];
	pid_t workers[2];

	shape = s;
	geometry();
	memset(shared, 0, sizeof(*shared));
	(void)unlink(path);
	snprintf(who, sizeof(who), "%s, seed %llu", s->name, (unsigned long long)seed);
	fflush(stdout);
	pid_t first = fork();

	if (first == 0) {
		map = open_map();
		_exit(map == NULL || qalloc_cleanup() != 0);
	}
	expect_well(first, "creation");
	pid_t hostile = fork();

	if (hostile == 0) {
		scribble(seed);
	}
	for (unsigned i = 0; i < 2; i++) {
		workers[i] = fork();
		if (workers[i] == 0) {
			work(seed * 2 + i, now_usec() + usec);
		}
	}
	expect_well(workers[0], who);
	expect_well(workers[1], who);
	shared->stop = 1;
	expect_well(hostile, "the scribbler");
	campaign_case();
	printf("  %-36s %8llu calls, %9llu words scribbled, slowest %s %llu ms\n", who,
	       (unsigned long long)shared->calls, (unsigned long long)shared->scribbled,
	       shared->slowest_call, (unsigned long long)(shared->slowest / 1000));
}

int main(int argc, char **argv)
{
	campaign_begin("hostile", argc, argv);
	shared = shared_memory(sizeof(*shared));
	snprintf(path, sizeof(path), "%s", scratch_path("map"));
	if (mmap((char *)MAP_BASE - GUARD_BELOW, GUARD_BELOW, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
		 0) == MAP_FAILED) {
		broken("the guard");
	}
	const char *word = campaign_argument(0);
	uint64_t seed = word != NULL ? strtoull(word, NULL, 10) : 1;
	uint64_t rounds = campaign_long() ? 20 : 1;

	for (uint64_t i = 0; i < rounds; i++) {
		for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
			round_of(&shapes[s], seed++, campaign_long() ? 6000000 : 700000);
		}
	}
	return campaign_end();
}
