/* SPDX-License-Identifier: MIT */
/*
 * A test: no byte of this process's stack or heap gets into a map file, but what its program stores.
 *
 *  - Stack, heap and a recycled mapping are filled with a marker; then maps are created and
 *    used in every way, while only zeros are stored in blocks; then the file
 *    must not hold four bytes of the marker in a row.
 *  - The replay under MemorySanitizer asks the same of every word (image.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../include/qalloc.h"

#define MARK 0xC7
#define FILE_BYTES ((size_t)512 << 10)

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

static int stop(const char *what)
{
	fprintf(stderr, "no_leak: %s: %s\n", what, qalloc_errmsg());
	return 1;
}

static int use(void *map)
{
	void *blocks[40];
	struct qalloc_info info = {.size = sizeof(info)};

	for (size_t i = 0; i < 40; i++) {
		mark_everything();
		blocks[i] =
			i % 2 != 0 ? qalloc_calloc(map, 1, i * 100) : qalloc_malloc(map, i * 100);
		if (blocks[i] == NULL)
			return stop("malloc");
		memset(blocks[i], 0, i * 100);
	}
	mark_everything();
	if (qalloc_setroot(map, "r", blocks[0]) != 0 || qalloc_delroot(map, "r") != 0 ||
	    qalloc_setroot(map, "another", blocks[1]) != 0)
		return stop("roots");
	for (size_t i = 0; i < 40; i += 2) {
		mark_everything();
		if (qalloc_tryfree(blocks[i], map) != 0)
			return stop("free");
		blocks[i + 1] = qalloc_realloc(map, blocks[i + 1], 10);
		if (blocks[i + 1] == NULL)
			return stop("realloc");
	}
	if (qalloc_check(map, NULL, NULL) != 0 || qalloc_mapinfo(map, &info) != 0)
		return stop("check");
	return 0;
}

static int try(uint64_t flags)
{
	static uint8_t bytes[FILE_BYTES];
	struct qalloc_options options = {.size = sizeof(options),
					 .flags = QALLOC_CREATE | flags,
					 .kind = QALLOC_DYNAMIC,
					 .filesize = FILE_BYTES,
					 .streams = 3};
	int fd = memfd_create("no_leak", MFD_CLOEXEC);

	if (fd < 0 || fchmod(fd, 0600) != 0)
		return stop("memfd");
	mark_everything();
	void *map = qalloc_openfd(fd, &options);

	if (map == NULL)
		return stop("open");
	if (use(map) != 0 || qalloc_closemap(map) != 0)
		return 1;
	if (pread(fd, bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return stop("read");
	close(fd);
	for (size_t i = 0; i + 4 <= sizeof(bytes); i++) {
		if (bytes[i] == MARK && bytes[i + 1] == MARK && bytes[i + 2] == MARK &&
		    bytes[i + 3] == MARK) {
			fprintf(stderr, "no_leak: the file has our memory at offset %zu\n", i);
			return 1;
		}
	}
	return 0;
}

int main(void)
{
	if (try(0) != 0 || try(QALLOC_ZERO_ON_FREE) != 0)
		return 1;
	puts("no byte of ours in the file");
	return 0;
}
