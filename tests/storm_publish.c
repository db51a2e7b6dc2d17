/* SPDX-License-Identifier: MIT */
/*
 * Processes with threads change blocks together with the pointers to them, and are killed at
 * random; at the end not one block is lost: what is live is what a pointer refers to.
 *   storm_publish [--seconds S] [--processes P] [--threads T] [--streams N] [--stop]
 *                 [--no-kills] [--zero] [--dir DIR]
 *
 *  - Each thread has CELLS pointers of its own in the map.  Who takes the place of a killed
 *    process recovers first, as the manual wants it, and goes on with its pointers.
 *  - A note outside the map says what a block holds, from the moment it is filled until the
 *    next call on its pointer; so contents are compared where they are known.
 *  - Every call is timed: the longest is printed, and none may take LONGEST_MSEC.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "storm_master.h"
#include "support.h"
#include "watch.h"

#define PROCESSES_MAX 16u
#define THREADS_MAX 16u
#define CELLS 64u
#define MAP_BYTES (16 * MIB)
#define STEPS_A_TRIM 256u
#define LONGEST_MSEC 2000u /* documented: about a second, and what the machine adds */

struct note {
	_Atomic uint64_t serial; /* 0: not known */
	size_t size;
};

struct book {
	_Atomic uint64_t stop, steps, trims, refused, longest, serials;
	struct note notes[PROCESSES_MAX * THREADS_MAX * CELLS];
};

static struct {
	size_t seconds, processes, threads, streams;
	bool kills, stops, zero;
} how = {.seconds = 10, .processes = 2, .threads = 3, .streams = 3, .kills = true};

static struct book *book;
static void *map;
static void **cells;
static char path[1024];

static _Noreturn void fail(const char *what, size_t cell)
{
	fprintf(stderr, "storm_publish: %s: cell %zu; qalloc: %s\n", what, cell, qalloc_errmsg());
	_exit(1);
}

static bool allowed(void)
{
	int error = qalloc_error();

	return error == QALLOC_EFULL || error == QALLOC_EBUSY || error == QALLOC_ENOSPACE;
}

static void timed_end(void)
{
	uint64_t took = watch_end(), longest = book->longest;

	while (took > longest && !atomic_compare_exchange_weak(&book->longest, &longest, took)) {
	}
}

static void fill_cell(size_t cell, size_t size)
{
	uint64_t serial = atomic_fetch_add(&book->serials, 1) + 1;

	fill(cells[cell], size, serial);
	book->notes[cell].size = size;
	book->notes[cell].serial = serial;
}

static void expect_intact(size_t cell)
{
	const struct note *n = &book->notes[cell];

	if (n->serial != 0 && !is_filled(cells[cell], n->size, n->serial)) {
		fail("a block was overwritten", cell);
	}
}

static void step(size_t cell, uint64_t *random)
{
	uint64_t choice = next_random(random) % 64;
	size_t size = next_random(random) % (choice == 0 ? 200000 : choice < 4 ? 10000 : 300);
	bool grows = next_random(random) % 2 == 0, was_empty = cells[cell] == NULL, good = true;
	struct note *n = &book->notes[cell];

	watch_begin();
	if (was_empty) {
		good = qalloc_malloc_to(map, size, &cells[cell]) != NULL;
	} else if (grows) {
		expect_intact(cell);
		uint64_t serial = n->serial;

		n->serial = 0;
		good = qalloc_realloc_to(map, size, &cells[cell]) != NULL;
		n->size = good && size < n->size ? size : n->size;
		n->serial = serial;
		expect_intact(cell);
	} else {
		expect_intact(cell);
		uint64_t serial = n->serial;

		n->serial = 0;
		good = qalloc_free_from(map, &cells[cell]) == 0;
		n->serial = good ? 0 : serial;
		size = 0;
	}
	timed_end();
	if (!good) {
		atomic_fetch_add(&book->refused, 1);
		if (!allowed()) {
			fail("refused for no good reason", cell);
		}
	} else if (cells[cell] != NULL) {
		if (was_empty && how.zero && !is_zero(cells[cell], size)) {
			fail("a new block is not zero", cell);
		}
		n->serial = 0;
		fill_cell(cell, size);
	}
	atomic_fetch_add(&book->steps, 1);
}

static void trim(void)
{
	watch_begin();
	int result = qalloc_trim(map);

	timed_end();
	if (result != 0 && !allowed()) {
		fail("trimming", 0);
	}
	atomic_fetch_add(&book->trims, 1);
}

static void *churn(void *arg)
{
	size_t first = (size_t)(uintptr_t)arg * CELLS;
	uint64_t random = first * 77 + now_msec() + 1;

	while (!book->stop) {
		if (next_random(&random) % STEPS_A_TRIM == 0) {
			trim();
		} else {
			step(first + next_random(&random) % CELLS, &random);
		}
	}
	return NULL;
}

static bool recover(void)
{
	watch_begin();
	int result = qalloc_recover(map);

	timed_end();
	if (result != 0 && !allowed()) {
		fail("recovering", 0);
	}
	return result == 0;
}

static int process(void *arg)
{
	size_t number = (size_t)(uintptr_t)arg;
	pthread_t threads[THREADS_MAX];

	watch_begin();
	map = qalloc_loadmap(path);
	timed_end();
	if (map == NULL || (cells = qalloc_getroot(map, "cells")) == NULL) {
		fail("loading", 0);
	}
	/* Somebody may be stopped inside what is to be settled. */
	while (!recover()) {
	}
	for (size_t i = 0; i < how.threads; i++) {
		void *place = (void *)(uintptr_t)(number * how.threads + i);

		if (pthread_create(&threads[i], NULL, churn, place) != 0) {
			fail("pthread_create", 0);
		}
	}
	for (size_t i = 0; i < how.threads; i++) {
		pthread_join(threads[i], NULL);
	}
	return qalloc_cleanup() == 0 ? 0 : 1;
}

static bool kill_one(pid_t pid)
{
	kill(pid, SIGKILL);
	return wait_child(pid) == SIGNALLED + SIGKILL;
}

/* False: a process ended by itself. */
static bool rage(unsigned *kills, struct stops *stops)
{
	pid_t pids[PROCESSES_MAX];
	uint64_t random = now_msec() | 1, end = now_msec() + how.seconds * 1000;
	bool good = true;

	for (size_t i = 0; i < how.processes; i++) {
		pids[i] = start_child(process, (void *)(uintptr_t)i);
	}
	while (good && now_msec() < end) {
		size_t p = next_random(&random) % how.processes;

		rest_usec(next_random(&random) % 60000);
		progress("storm_publish", book->steps, *kills, !good);
		if (!how.kills) {
			continue;
		}
		if (how.stops && next_random(&random) % 8 == 0) {
			stop_child(pids[p], path, how.streams, 8, &random, stops);
		}
		good = kill_one(pids[p]);
		*kills += good;
		pids[p] = start_child(process, (void *)(uintptr_t)p);
	}
	book->stop = 1;
	for (size_t i = 0; i < how.processes; i++) {
		good = wait_bounded(pids[i]) == 0 && good;
	}
	return good;
}

static int count_referred(void *block, size_t size, void *arg)
{
	size_t *lost = arg, count = how.processes * how.threads * CELLS;

	for (size_t i = 0; i < count; i++) {
		if (cells[i] == block) {
			if (book->notes[i].serial != 0 && size < book->notes[i].size) {
				fail("a block is too small", i);
			}
			return 0;
		}
	}
	*lost += block != (void *)cells;
	return 0;
}

/* Live blocks and pointers, one to one. */
static bool reckon(size_t *lost, size_t *referred)
{
	map = qalloc_loadmap(path);
	if (map == NULL || (cells = qalloc_getroot(map, "cells")) == NULL ||
	    qalloc_recover(map) != 0 || qalloc_check(map, NULL, NULL) != 0 ||
	    qalloc_walk(map, count_referred, lost) != 0) {
		fail("at the end", 0);
	}
	for (size_t i = 0; i < how.processes * how.threads * CELLS; i++) {
		if (cells[i] == NULL) {
			continue;
		}
		++*referred;
		expect_intact(i);
		if (qalloc_free_from(map, &cells[i]) != 0) {
			fail("a pointer to no live block", i);
		}
	}
	return *lost == 0 && count_live(map) == 1;
}

static void read_options(int argc, char **argv)
{
	const struct number numbers[] = {{"--seconds", &how.seconds, 86400},
					 {"--processes", &how.processes, PROCESSES_MAX},
					 {"--threads", &how.threads, THREADS_MAX},
					 {"--streams", &how.streams, QALLOC_STREAMS_MAX}};

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--stop") == 0) {
			how.stops = true;
		} else if (strcmp(argv[i], "--no-kills") == 0) {
			how.kills = false;
		} else if (strcmp(argv[i], "--zero") == 0) {
			how.zero = true;
		} else if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc &&
			   scratch_in(argv[i + 1])) {
			i++;
		} else if (!take_number(numbers, 4, argv, &i)) {
			fprintf(stderr, "storm_publish: %s: see the top of the source\n", argv[i]);
			exit(2);
		}
	}
}

static void make_map(void)
{
	uint64_t flags = QALLOC_CREATE | (how.zero ? QALLOC_ZERO_ON_FREE : 0);
	struct qalloc_options options = dynamic_options(flags, MAP_BYTES, how.streams);

	map = qalloc_openmap(path, &options);
	if (map == NULL ||
	    (cells = qalloc_calloc(map, how.processes * how.threads * CELLS, 8)) == NULL ||
	    qalloc_setroot(map, "cells", cells) != 0 || qalloc_cleanup() != 0) {
		fail("making the map", 0);
	}
}

int main(int argc, char **argv)
{
	unsigned kills = 0;
	struct stops stops = {0};
	size_t lost = 0, referred = 0;

	read_options(argc, argv);
	scratch_begin(NULL);
	snprintf(path, sizeof(path), "%s", scratch("storm"));
	make_map();
	book = mmap(NULL, sizeof(*book), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (book == MAP_FAILED) {
		fail("mmap", 0);
	}
	bool good = rage(&kills, &stops) && reckon(&lost, &referred) &&
		    book->longest < LONGEST_MSEC && !stops_miss(&stops);

	printf("storm_publish: %zu s, %zu processes of %zu threads, %zu streams%s\n"
	       "  %llu steps, %llu trims, %llu refused, the longest took %llu ms\n"
	       "  %u kills, %u stops, %u of them long, %u of these inside\n"
	       "  %zu pointers refer to blocks, %zu blocks are lost\n%s\n",
	       how.seconds, how.processes, how.threads, how.streams,
	       how.zero ? ", zero on free" : "", (unsigned long long)book->steps,
	       (unsigned long long)book->trims, (unsigned long long)book->refused,
	       (unsigned long long)book->longest, kills, stops.all, stops.longs, stops.inside,
	       referred, lost, good ? "whole" : "FAILED");
	printf("storm_publish: cases %llu, findings %d\n", (unsigned long long)book->steps, !good);
	scratch_end(NULL);
	return good ? 0 : 1;
}
