/* SPDX-License-Identifier: MIT */
/*
 * A test: no byte of this process's stack or heap gets into a map file, but what its program stores.
 *
 *  - Stack, heap and a recycled mapping are filled with a marker before each call; then maps of both kinds are
 *    created, by a descriptor and by a name, and used in every way that writes, in a process that dies inside
 *    one as well, while only zeros are stored in blocks; then the file must not hold four bytes of the marker
 *    in a row.
 *  - The replay under MemorySanitizer asks the same of every byte of the file (expect_initialized()).
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../include/qalloc.h"

#define MARK 0xC7
#define FILE_BYTES ((size_t)4 << 20)
#define ITEM_BYTES ((size_t)100)
#define BLOCKS 40
#define CELLS 4

struct kind {
	const char *path; /* NULL: a memfd */
	uint64_t flags;
	bool is_static;
};

static void mark_everything(void)
{
	volatile char stack[256 << 10];
	char *heap = malloc(1 << 20);

	for (size_t i = 0; i < sizeof(stack); i++)
		stack[i] = (char)MARK;
	if (heap != NULL)
		memset(heap, MARK, 1 << 20);
	free(heap);
}

/* Before each call: what it takes from stack or heap is ours. */
#define MARKED(call) (mark_everything(), (call))

static int stop(const char *what)
{
	fprintf(stderr, "no_leak: %s: %s\n", what, qalloc_errmsg());
	return 1;
}

/* The size of block i: any, or what one of a static map has. */
static size_t bytes_of(const struct kind *k, size_t i, size_t step)
{
	return k->is_static ? ITEM_BYTES : i * step;
}

static int use_blocks(void *map, const struct kind *k)
{
	void *blocks[BLOCKS];

	for (size_t i = 0; i < BLOCKS; i++) {
		size_t bytes = bytes_of(k, i, 100);

		blocks[i] = i % 2 != 0 ? MARKED(qalloc_calloc(map, 1, bytes))
				       : MARKED(qalloc_malloc(map, bytes));
		if (blocks[i] == NULL)
			return stop("malloc");
		memset(blocks[i], 0, bytes);
	}
	if (MARKED(qalloc_setroot(map, "r", blocks[0])) != 0 ||
	    MARKED(qalloc_delroot(map, "r")) != 0 ||
	    MARKED(qalloc_setroot(map, "another", blocks[1])) != 0 ||
	    MARKED(qalloc_casroot(map, "another", blocks[1], blocks[3])) != 0)
		return stop("roots");
	for (size_t i = 0; i < BLOCKS; i += 2) {
		if (MARKED(qalloc_tryfree(blocks[i], map)) != 0)
			return stop("free");
		blocks[i + 1] = MARKED(qalloc_realloc(map, blocks[i + 1], 10));
		if (blocks[i + 1] == NULL)
			return stop("realloc");
	}
	return MARKED(qalloc_setroot(map, "another", blocks[5])) != 0 ? stop("roots") : 0;
}

/* Blocks of many spans: taken, aligned, resized in place and elsewhere, freed. */
static int use_runs(void *map)
{
	char *run = MARKED(qalloc_malloc(map, 300000));
	char *aligned = MARKED(qalloc_aligned_alloc(map, 65536, 200000));
	char *zeros = MARKED(qalloc_calloc(map, 3, 50000));

	if (run == NULL || aligned == NULL || zeros == NULL)
		return stop("runs");
	memset(run, 0, 300000);
	memset(aligned, 0, 200000);
	run = MARKED(qalloc_realloc(map, run, 600000));
	if (run == NULL)
		return stop("a run that grows");
	memset(run, 0, 600000);
	run = MARKED(qalloc_realloc(map, run, 90000));
	if (run == NULL || MARKED(qalloc_tryfree(aligned, map)) != 0)
		return stop("a run that shrinks");
	return 0;
}

/* The calls that publish; what they leave, a root has. */
static int use_cells(void *map, const struct kind *k)
{
	void **cells = MARKED(qalloc_calloc(map, CELLS, sizeof(*cells)));
	char *block;

	if (cells == NULL || MARKED(qalloc_setroot(map, "cells", cells)) != 0)
		return stop("cells");
	for (size_t i = 0; i < CELLS; i++) {
		size_t bytes = bytes_of(k, i, 40000);

		block = MARKED(qalloc_malloc_to(map, bytes, &cells[i]));
		if (block == NULL)
			return stop("malloc_to");
		memset(block, 0, bytes);
	}
	if (MARKED(qalloc_realloc_to(map, 24, &cells[1])) == NULL ||
	    MARKED(qalloc_free_from(map, &cells[2])) != 0)
		return stop("realloc_to, free_from");
	block = MARKED(qalloc_malloc_toroot(map, bytes_of(k, 1, 60), "by-root"));
	if (block == NULL)
		return stop("malloc_toroot");
	memset(block, 0, bytes_of(k, 1, 60));
	block = MARKED(qalloc_realloc_toroot(map, bytes_of(k, 1, 3000), "by-root"));
	if (block == NULL)
		return stop("realloc_toroot");
	memset(block, 0, bytes_of(k, 1, 3000));
	return MARKED(qalloc_free_fromroot(map, "by-root")) != 0 ? stop("free_fromroot") : 0;
}

/* Of what the root "cells" has, all is reached. */
static int reach(void *block, size_t size, struct qalloc_marks *marks, void *arg)
{
	void **cells = block;

	(void)size;
	mark_everything();
	for (size_t i = 0; block == arg && i < CELLS; i++) {
		if (cells[i] != NULL && qalloc_mark(marks, cells[i]) != 0)
			return -1;
	}
	return 0;
}

static int use_all(void *map, const struct kind *k)
{
	struct qalloc_info info = {.size = sizeof(info)};
	size_t freed = 0;

	if (use_blocks(map, k) != 0 || (!k->is_static && use_runs(map) != 0) ||
	    use_cells(map, k) != 0)
		return 1;
	if (MARKED(qalloc_sweep(map, reach, qalloc_getroot(map, "cells"), &freed)) != 0 ||
	    freed == 0)
		return stop("sweep");
	if (MARKED(qalloc_trim(map)) != 0 || MARKED(qalloc_sync(map)) != 0)
		return stop("trim, sync");
	if (MARKED(qalloc_check(map, NULL, NULL)) != 0 || MARKED(qalloc_mapinfo(map, &info)) != 0)
		return stop("check");
	return 0;
}

/* With fd -1 by its name. */
static void *open_map(const struct kind *k, int fd, uint64_t flags)
{
	struct qalloc_options options = {.size = sizeof(options),
					 .flags = flags | k->flags,
					 .kind = k->is_static ? QALLOC_STATIC : QALLOC_DYNAMIC,
					 .filesize = FILE_BYTES,
					 .itemsize = k->is_static ? ITEM_BYTES : 0,
					 .streams = 3};

	return k->path != NULL ? MARKED(qalloc_openmap(k->path, &options))
			       : MARKED(qalloc_openfd(fd, &options));
}

/* Another process uses the map, and dies with it open. */
static int use_and_die(const struct kind *k, int fd)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		void *map = open_map(k, fd, 0);

		_exit(map == NULL || use_cells(map, k) != 0);
	}
	return child < 0 || waitpid(child, &status, 0) != child || status != 0;
}

static int look_for_mark(int fd)
{
	static uint8_t bytes[FILE_BYTES];

	if (pread(fd, bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return stop("read");
	for (size_t i = 0; i + 4 <= sizeof(bytes); i++) {
		if (bytes[i] == MARK && bytes[i + 1] == MARK && bytes[i + 2] == MARK &&
		    bytes[i + 3] == MARK) {
			fprintf(stderr, "no_leak: the file has our memory at offset %zu\n", i);
			return 1;
		}
	}
	return 0;
}

static int try(const struct kind *k)
{
	int fd = k->path != NULL ? -1 : memfd_create("no_leak", MFD_CLOEXEC);

	if (k->path == NULL && (fd < 0 || fchmod(fd, 0600) != 0))
		return stop("memfd");
	void *map = open_map(k, fd, QALLOC_CREATE);

	if (map == NULL)
		return stop("creating");
	if (use_all(map, k) != 0 || MARKED(qalloc_closemap(map)) != 0 || use_and_die(k, fd) != 0)
		return 1;
	map = open_map(k, fd, 0);
	if (map == NULL)
		return stop("opening");
	if (MARKED(qalloc_recover(map)) != 0)
		return stop("recover");
	if (MARKED(qalloc_free_from(map, qalloc_getroot(map, "cells"))) != 0)
		return stop("free_from");
	if (use_blocks(map, k) != 0)
		return 1;
	if (MARKED(qalloc_checkpoint()) != 0 || MARKED(qalloc_closemap(map)) != 0)
		return stop("closing");
	if (k->path != NULL)
		fd = open(k->path, O_RDONLY | O_CLOEXEC);
	int result = look_for_mark(fd);

	close(fd);
	return result;
}

int main(void)
{
	char folder[] = "/tmp/no_leak-XXXXXX", path[64];
	int result = mkdtemp(folder) == NULL;

	snprintf(path, sizeof(path), "%s/map", folder);
	for (unsigned i = 0; i < 8 && result == 0; i++) {
		result = try(&(struct kind){.path = (i & 1) != 0 ? path : NULL,
					    .flags = (i & 2) != 0 ? QALLOC_ZERO_ON_FREE : 0,
					    .is_static = (i & 4) != 0});
		unlink(path);
	}
	rmdir(folder);
	if (result == 0)
		puts("no byte of ours in the file");
	return result;
}
