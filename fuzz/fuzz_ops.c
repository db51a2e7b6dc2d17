/* SPDX-License-Identifier: MIT */
/*
 * Property: on a healthy map every program of operations, by several threads, with deaths, interruptions
 * and full disks in between, gives what the model says: blocks that never overlap and keep their
 * contents, "full" only when it is full, misuse refused, and a map that the check finds whole.
 *
 *   make fuzz HARNESSES=ops FUZZ_SECONDS=60
 */
#include "fuzz.h"

/* Enough for every mechanism, and little to look through. */
#define ITEMS_BYTES ((uint64_t)128 << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t items[] = {1, 8, 16, 24, 64, 100, 1000, 3000, 4096, 40000, 48, 4104};
	static const uint16_t streams[] = {1, 2, 3, 8};
	struct image image = image_parse(input_copy(data, size));
	uint64_t chosen = image.file_size;
	bool is_static = (image.options & OPEN_STATIC) != 0;
	int fd = image_blank((image.control & CONTROL_HOLES) != 0);
	struct qalloc_options options = {
		.size = sizeof(options),
		.flags = QALLOC_CREATE |
			 ((image.options & OPEN_ZERO_ON_FREE) != 0 ? QALLOC_ZERO_ON_FREE : 0),
		.addr = (void *)(uintptr_t)0x520000000000,
		.kind = is_static ? QALLOC_STATIC : QALLOC_DYNAMIC,
		.streams = streams[chosen % 4],
	};

	thread_become(0);
	fake_begin((image.control & CONTROL_NO_SPACE) != 0, DISK_MODEL);
	if (is_static) {
		options.itemsize = items[chosen / 4 % 12];
		options.filesize = qalloc_statmap_filesize(
			options.itemsize,
			min_u64(1 + chosen / 64 % 300, 1 + ITEMS_BYTES / options.itemsize),
			options.streams);
	} else {
		options.filesize =
			qalloc_dynmap_filesize(1 + chosen / 4 % (256 << 10), options.streams);
	}
	call_enter((uint64_t)options.filesize);
	void *map = qalloc_openfd(fd, &options);

	FUZZ_CHECK(map != NULL);
	expect_success();
	model_run(map, fd, &image.program, false);
	return 0;
}
