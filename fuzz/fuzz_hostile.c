/* SPDX-License-Identifier: MIT */
/*
 * Property (T4): while another process stores anything anywhere in the metadata, between the calls and
 * between any two loads inside them, only errors and addresses inside the map come out of the library,
 * and each call ends in bounded time.
 *
 *   make fuzz HARNESSES=hostile FUZZ_SECONDS=60
 */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image image = image_parse(input_copy(data, size));
	struct qalloc_options options = image_options(&image);
	int fd = image_build(&image);

	thread_become(0);
	fake_begin((image.control & CONTROL_NO_SPACE) != 0, DISK_ROUGH);
	fault_open(&image, fd);
	call_enter(0);
	void *map = image_open(&image, fd, &options);

	if (map != NULL) {
		expect_success();
		rough_run(map, fd, &options, &image.program, true);
	}
	fault_settle(fd);
	return 0;
}
