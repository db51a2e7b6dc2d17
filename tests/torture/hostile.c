/* SPDX-License-Identifier: MIT */
/*
 * A hostile neighbour.
 *
 *  - One process writes random and chosen values over all metadata of a map, without pause, while
 *    others make every call that a map has.
 *  - No call may crash, hang, or return an address outside the map's data area.  Below the
 *    map lies a guard; behind it is the library's own.  Built with AddressSanitizer it sees
 *    private memory as well.
 *  - What a call answers means nothing here, but a failure has a name, with its errno; and
 *    in each shape of map some call says that the metadata contradicts itself.
 *  - When the scribbler has stopped, and a rule is broken that is still broken at the next look, each
 *    check says so: of a map, of one that is read-only, and at opening.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support.h"
#include "../watch.h"
#include "scribble.h"
#include "shape.h"
#include "torture.h"

#define HELD_MAX 64u
/* A second, and what a busy machine adds. */
#define BOUND_MSEC 2000u
#define ERRNO_BEFORE 4242
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
	uint64_t errors[QALLOC_ERR_COUNT];
	char slowest_call[32];
	volatile int stop;
};

static struct shared *shared;
static const struct shape *shape;
static char path[400];
static struct geo geo;
static uint64_t reported[sizeof(shapes) / sizeof(shapes[0])]; /* as corrupt */

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

/* ---- The others ------------------------------------------------------------------ */

static void *map;
static char *held[HELD_MAX];
static void **cell; /* a pointer in the map, while there is a block for it */

static void begin(void)
{
	errno = ERRNO_BEFORE;
	watch_begin();
}

static void failed(const char *call, int number)
{
	int error = qalloc_error(), expected = errno_of(error);

	if (error <= QALLOC_OK || error >= QALLOC_ERR_COUNT || number == ERRNO_BEFORE ||
	    (expected != 0 && expected != number)) {
		finding("%s: %s fails with error %d, errno %d: %s", shape->name, call, error,
			number, qalloc_errmsg());
		return;
	}
	__atomic_fetch_add(&shared->errors[error], 1, __ATOMIC_RELAXED);
}

static void timed(const char *call, bool worked)
{
	int number = errno;
	uint64_t took = watch_end();

	if (!worked) {
		failed(call, number);
	}

	__atomic_fetch_add(&shared->calls, 1, __ATOMIC_RELAXED);
	if (took > shared->slowest) {
		shared->slowest = took;
		snprintf(shared->slowest_call, sizeof(shared->slowest_call), "%s", call);
	}
	if (took > BOUND_MSEC) {
		finding("%s: %s took %llu ms", shape->name, call, (unsigned long long)took);
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

	begin();
	if (*place != NULL && (chance >> 16 & 3) != 0) {
		timed("free", qalloc_tryfree(*place, map) == 0);
		*place = NULL;
		return;
	}
	if (*place != NULL && (chance >> 18 & 1) != 0) {
		char *moved = qalloc_realloc(map, *place, size);

		timed("realloc", moved != NULL);
		if (moved != NULL) {
			inside("realloc", moved, size);
			*place = moved;
		}
		return;
	}
	char *block = (chance >> 19 & 7) != 0
			      ? qalloc_malloc(map, size)
			      : qalloc_aligned_alloc(map, (size_t)8 << (chance >> 22 & 7), size);

	timed("malloc", block != NULL);
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
	void *block = NULL;

	begin();
	if (cell == NULL) {
		cell = qalloc_calloc(map, 1, sizeof(*cell));
		return timed("calloc", cell != NULL);
	}
	switch (chance & 7) {
	case 0:
	case 1:
		block = qalloc_malloc_to(map, size, cell);
		timed("malloc_to", block != NULL);
		break;
	case 2:
		block = qalloc_malloc_toroot(map, size, "a");
		timed("malloc_toroot", block != NULL);
		break;
	case 3:
		block = qalloc_realloc_toroot(map, size, "a");
		timed("realloc_toroot", block != NULL);
		break;
	case 4:
		return timed("free_from", qalloc_free_from(map, cell) == 0);
	case 5:
		return timed("recover", qalloc_recover(map) == 0);
	case 6:
		return timed("free_fromroot", qalloc_free_fromroot(map, "a") == 0);
	default:
		block = qalloc_realloc_to(map, size, cell);
		timed("realloc_to", block != NULL);
		break;
	}
	if (block != NULL) {
		inside("publishing", block, size);
	}
}

static void call_rare(uint64_t chance)
{
	size_t freed = 0;

	begin();
	switch (chance & 3) {
	case 0:
		return timed("trim", qalloc_trim(map) == 0);
	case 1:
		return timed("sync", qalloc_sync(map) == 0);
	case 2:
		return timed("checkpoint", qalloc_checkpoint() == 0);
	default:
		return timed("sweep", qalloc_sweep(map, reach_none, NULL, &freed) == 0);
	}
}

/* Those that a map which is open read-only has, too. */
static void call_looking(uint64_t chance)
{
	struct qalloc_info info = {.size = sizeof(info)};
	char *anywhere = (char *)MAP_BASE + geo.data_off + chance % (geo.data_end - geo.data_off);
	unsigned visited = 0;
	size_t size = 0;
	char *value = NULL;

	begin();
	switch (chance >> 56 & 7) {
	case 0:
	case 1:
		return timed("walk", qalloc_walk(map, visit_block, &visited) != -1);
	case 2:
	case 3:
		return timed("check", qalloc_check(map, NULL, NULL) == 0);
	case 4:
		return timed("mapinfo", qalloc_mapinfo(map, &info) == 0);
	case 5:
		value = qalloc_getroot(map, "a");
		timed("getroot", value != NULL || errno == 0);
		if (value != NULL) {
			inside("getroot", value, 0);
		}
		return;
	case 6:
		return timed("roots", qalloc_roots(map, visit_root, NULL) == 0);
	default:
		size = qalloc_usable_size(map, anywhere);
		timed("usable_size", size != 0);
		if (size != 0) {
			inside("usable_size", anywhere, size);
		}
		return;
	}
}

static void call_other(uint64_t chance)
{
	char *anywhere = (char *)MAP_BASE + geo.data_off + chance % (geo.data_end - geo.data_off);

	begin();
	switch (chance >> 52 & 7) {
	case 0:
		return timed("setroot", qalloc_setroot(map, "a", anywhere) == 0);
	case 1:
		return timed("casroot", qalloc_casroot(map, "b", NULL, anywhere) == 0);
	case 2:
		return timed("delroot", qalloc_delroot(map, "b") == 0);
	case 3:
		anywhere -= (uintptr_t)anywhere % 4096;
		return timed("free of anything", qalloc_tryfree(anywhere, map) == 0);
	default:
		return call_looking(chance);
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

static void *open_as(const char *call, uint64_t flags)
{
	struct qalloc_options o = {.size = sizeof(o), .flags = flags};

	begin();
	void *opened = flags == 0 ? open_map() : qalloc_openmap(path, &o);

	timed(call, opened != NULL);
	return opened;
}

/* What is scribbled on may not open now and then; a map that never does has nothing to use. */
static void *open_again(void)
{
	void *opened = NULL;

	for (unsigned i = 0; opened == NULL && i < 20; i++) {
		opened = open_as("open", 0);
	}
	return opened;
}

static void close_it(void)
{
	begin();
	timed("close", qalloc_closemap(map) == 0);
	map = NULL;
}

/* In all ways that there are; at last as before. */
static void close_and_open(uint64_t chance)
{
	close_it();
	memset(held, 0, sizeof(held));
	cell = NULL;
	map = open_as("open and verify", QALLOC_VERIFY);
	if (map != NULL) {
		close_it();
	}
	map = open_as("open read-only", QALLOC_READONLY | ((chance & 1) != 0 ? QALLOC_VERIFY : 0));
	if (map != NULL) {
		for (uint64_t i = 0; i < 8; i++) {
			call_looking(chance ^ i << 56);
		}
		begin();
		timed("malloc, read-only", qalloc_malloc(map, 1) != NULL);
		close_it();
	}
	map = open_again();
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
		if (chance % 5003 == 0) {
			close_and_open(chance >> 13);
		}
	}
	_exit(0);
}

static void expect_corrupt(const char *what, int result)
{
	if (result != -1 || qalloc_error() != QALLOC_ECORRUPT) {
		finding("%s: a span word that no map can hold, and %s says %d: %s", shape->name,
			what, result, qalloc_errmsg());
	}
}

/* The scribbler is gone. */
static int look_again(void)
{
	alarm(100);
	scribble_violation(path, &geo);
	expect_corrupt("an open that verifies", open_as("open", QALLOC_VERIFY) == NULL ? -1 : 0);
	map = open_as("open read-only", QALLOC_READONLY);
	expect_corrupt("the check of a read-only map", qalloc_check(map, NULL, NULL));
	(void)qalloc_closemap(map);
	map = open_map();
	expect_corrupt("the check", qalloc_check(map, NULL, NULL));
	return 0;
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
		alarm(600);
		shared->scribbled = scribble(path, &geo, seed, &shared->stop);
		_exit(0);
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
	fflush(stdout);
	pid_t last = fork();

	if (last == 0) {
		_exit(look_again());
	}
	expect_well(last, "looking again");
	campaign_case();
	reported[s - shapes] += shared->errors[QALLOC_ECORRUPT];
	printf("  %-36s %8llu calls, %7llu say corrupt, %9llu words scribbled, slowest %s %llu "
	       "ms\n",
	       who, (unsigned long long)shared->calls,
	       (unsigned long long)shared->errors[QALLOC_ECORRUPT],
	       (unsigned long long)shared->scribbled, shared->slowest_call,
	       (unsigned long long)shared->slowest);
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
	for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
		if (reported[s] == 0) {
			finding("%s: no call said that the map is corrupt", shapes[s].name);
		}
	}
	return campaign_end();
}
