/* SPDX-License-Identifier: MIT */
/*
 * Speed, as ratios to this system's malloc(3) in one run: absolute times on a
 * shared machine mean nothing.
 *
 *   bench [rounds [file]]
 *
 * Each row is the same program over both allocators, in turns, and the median of
 * the turns.  The file should lie on a tmpfs.
 */
#include <qalloc.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TURNS 9
#define LIVE 100000u

struct allocator {
	const char *name;
	void *(*take)(void *arg, size_t size);
	void (*give)(void *block, void *arg);
	void *arg;
};

static void *system_take(void *arg, size_t size)
{
	(void)arg;
	return malloc(size);
}

static void system_give(void *block, void *arg)
{
	(void)arg;
	free(block);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint32_t chance(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

static void must(const void *block)
{
	if (block == NULL) {
		fprintf(stderr, "bench: no memory: %s\n", qalloc_errmsg());
		exit(1);
	}
}

/* A block is freed right after it was taken. */
static double pairs(const struct allocator *a, uint64_t rounds)
{
	double start = now();

	for (uint64_t i = 0; i < rounds; i++) {
		void *block = a->take(a->arg, 64);

		must(block);
		*(volatile char *)block = 1;
		a->give(block, a->arg);
	}
	return (now() - start) / (double)rounds;
}

/* A random one of LIVE blocks is freed and another taken: smallest to largest size. */
static double churn(const struct allocator *a, uint64_t rounds, size_t smallest, size_t largest)
{
	static char *blocks[LIVE];
	uint64_t state = 1;

	for (uint32_t i = 0; i < LIVE; i++) {
		blocks[i] = a->take(a->arg, smallest + chance(&state) % (largest - smallest + 1));
		must(blocks[i]);
	}
	double start = now();

	for (uint64_t i = 0; i < rounds; i++) {
		uint32_t k = chance(&state) % LIVE;

		a->give(blocks[k], a->arg);
		blocks[k] = a->take(a->arg, smallest + chance(&state) % (largest - smallest + 1));
		must(blocks[k]);
		blocks[k][0] = 1;
	}
	double spent = (now() - start) / (double)rounds;

	for (uint32_t i = 0; i < LIVE; i++) {
		a->give(blocks[i], a->arg);
	}
	return spent;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, TURNS, sizeof(*values), by_value);
	return values[TURNS / 2];
}

static void row(const char *name, const struct allocator *both, uint64_t rounds, size_t smallest,
		size_t largest)
{
	double spent[2][TURNS], ratio[TURNS];

	for (int turn = 0; turn < TURNS; turn++) {
		for (int i = 0; i < 2; i++) {
			spent[i][turn] = largest == 0 ? pairs(&both[i], rounds)
						      : churn(&both[i], rounds, smallest, largest);
		}
		ratio[turn] = spent[0][turn] / spent[1][turn];
	}
	printf("%-36s %8.1f %8.1f %8.2f\n", name, median(spent[0]), median(spent[1]),
	       median(ratio));
}

/* Creates or loads a map of `size` bytes and closes it. */
static double opening(const char *path, off_t size, int create)
{
	double start = now();
	void *map = create ? qalloc_makedynmap(size, NULL, path, 4) : qalloc_loadmap(path);
	double spent = now() - start;

	must(map);
	qalloc_closemap(map);
	return spent;
}

/* What a TiB costs beside a MiB: nothing should depend on the size. */
static void opening_rows(const char *path)
{
	double spent[4][TURNS], ratio[2][TURNS];
	const off_t sizes[2] = {(off_t)1 << 40, (off_t)1 << 20};

	for (int turn = 0; turn < TURNS; turn++) {
		for (int i = 0; i < 2; i++) {
			unlink(path);
			spent[i][turn] = opening(path, sizes[i], 1) / 1000;
			spent[2 + i][turn] = opening(path, sizes[i], 0) / 1000;
		}
		ratio[0][turn] = spent[0][turn] / spent[1][turn];
		ratio[1][turn] = spent[2][turn] / spent[3][turn];
	}
	printf("us of processor time                     1 TiB    1 MiB    ratio\n");
	for (int i = 0; i < 2; i++) {
		printf("%-36s %8.1f %8.1f %8.2f\n", i == 0 ? "create" : "load",
		       median(spent[2 * i]), median(spent[2 * i + 1]), median(ratio[i]));
	}
	unlink(path);
}

int main(int argc, char **argv)
{
	uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	const char *path = argc > 2 ? argv[2] : "/dev/shm/qalloc-bench.map";

	unlink(path);
	void *map = qalloc_makedynmap((off_t)2 << 30, NULL, path, 4);

	must(map);
	unlink(path);
	struct allocator both[2] = {{"qalloc", qalloc_malloc, qalloc_free, map},
				    {"malloc", system_take, system_give, NULL}};

	if (rounds == 0) {
		return 1;
	}
	printf("ns of one free and one malloc, one thread; medians of %d turns\n", TURNS);
	printf("%-36s %8s %8s %8s\n", "", "qalloc", "malloc", "ratio");
	row("pair of 64 B", both, rounds, 64, 0);
	row("churn 64 B, 100k live", both, rounds, 64, 64);
	row("churn 16 B - 4 KiB, 100k live", both, rounds, 16, 4096);
	opening_rows(path);
	return qalloc_closemap(map) != 0;
}
