/* SPDX-License-Identifier: MIT */
/*
 * Property: whatever bytes a file holds, loading it is refused with a named error and leaves the file
 * as it was, or gives a map on which every operation yields only errors and addresses
 * inside the map, in bounded time and bounded disk space; and its header is never written.
 *
 *   make fuzz HARNESSES=loadmap FUZZ_SECONDS=60
 *   build/fuzz/fuzz_loadmap corpus/loadmap
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

/* Those of a header, of opening, and, with OPEN_VERIFY, of the check. */
static bool is_refusal(int error)
{
	return (error >= QALLOC_ESHORT && error <= QALLOC_ESLOTS) || error == QALLOC_EEXIST ||
	       error == QALLOC_EOPTIONS || error == QALLOC_ECORRUPT || error == QALLOC_EBUSY;
}

/* What was opened is what was asked for. */
static void is_as_asked(const struct map *m, const struct qalloc_options *o, bool ours)
{
	const struct params *p = &m->params;

	FUZZ_CHECK(o->kind == QALLOC_ANY || o->kind == p->kind);
	FUZZ_CHECK(o->filesize == 0 || (uint64_t)o->filesize == p->file_size);
	FUZZ_CHECK(o->itemsize == 0 || o->itemsize == p->item_size);
	FUZZ_CHECK(o->streams == 0 || o->streams == p->streams);
	FUZZ_CHECK((o->flags & QALLOC_ZERO_ON_FREE) == 0 || m->flags == MAP_FLAG_ZERO_ON_FREE);
	FUZZ_CHECK(m->readonly == ((o->flags & QALLOC_READONLY) != 0));
	FUZZ_CHECK(m->readonly || p->ro_compat == 0);
	FUZZ_CHECK(!ours || (o->flags & QALLOC_EXCLUSIVE) == 0);
	FUZZ_CHECK((o->flags & QALLOC_VERIFY) == 0 ||
		   qalloc_check((void *)(uintptr_t)m, NULL, NULL) == 0);
}

static void refusal_holds(const struct image *image)
{
	int number = errno;
	int error = qalloc_error();

	answer(((uint64_t)error << 32) + (uint64_t)number);
	call_end();
	FUZZ_CHECK(number != 0 && qalloc_errmsg()[0] != '\0');
	/* The kernel refuses an address, or has no room for the mapping. */
	FUZZ_CHECK(is_refusal(error) || (error == QALLOC_ESYSTEM && number == ENOMEM) ||
		   (error == QALLOC_ENOSPACE && fake.ran_full) || fake.faulted);
	/* Then it may have been open already. */
	if (fake.faulted)
		return;
	if (error != QALLOC_ECORRUPT && error != QALLOC_EBUSY && error != QALLOC_ESYSTEM &&
	    error != QALLOC_EPARAMS && error != QALLOC_ENOSPACE)
		FUZZ_CHECK(image_is_unchanged(image));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image image = image_parse(input_copy(data, size));
	struct qalloc_options options = image_options(&image);
	uint8_t before[HDR_BYTES];
	int fd = image_build(&image);

	thread_become(0);
	fake_begin((image.control & CONTROL_NO_SPACE) != 0, DISK_ROUGH);
	image_header(&image, before);
	fault_open(&image, fd);
	call_enter(0);
	void *map = image_open(&image, fd, &options);

	fake.fault_in = 0;
	if (map == NULL) {
		refusal_holds(&image);
		fault_settle(fd);
		return 0;
	}
	expect_success();

	struct params p;
	bool ours = hdr_decode(before, sizeof(before), image.file_size, &p) == QALLOC_OK;

	FUZZ_CHECK(ours || (options.flags & QALLOC_CREATE) != 0);
	is_as_asked(map, &options, ours);
	rough_run(map, fd, &options, &image.program, false);
	fault_settle(fd);
	FUZZ_CHECK(!ours || image_has_header(before));
	return 0;
}
