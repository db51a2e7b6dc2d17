/* SPDX-License-Identifier: MIT */
/*
 * Property: the checker and the walker end in bounded time on any bytes, and agree: a map that
 * qalloc_check() calls whole behaves as the model says from then on, and is whole in the end.
 *
 *   make fuzz HARNESSES=check FUZZ_SECONDS=60
 */
#include "fuzz.h"

#include <string.h>

static uint64_t findings;

static void report(const char *finding, void *arg)
{
	(void)arg;
	FUZZ_CHECK(strlen(finding) > 0);
	findings++;
}

static int visit(void *block, size_t size, void *arg)
{
	const struct map *m = arg;
	uint64_t rel = 0;

	FUZZ_CHECK(map_rel(m, block, &rel) && size <= m->geo.data_end - m->geo.data_off - rel);
	return 0;
}

static bool somebody_inside(const struct map *m)
{
	bool inside = file_get(STATE_POOL) != 0 || file_get(STATE_ROOTS) != 0;

	for (uint32_t i = 0; i < m->geo.streams; i++)
		inside = inside || file_get(STREAMS_OFF + i * STREAM_BYTES) != 0;
	return inside;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image image = image_parse(input_copy(data, size));
	struct qalloc_options options = {
		.size = sizeof(options),
		.flags = (image.options & OPEN_READONLY) != 0 ? QALLOC_READONLY : 0};
	struct qalloc_info info = {.size = sizeof(info)};
	int fd = image_build(&image);

	thread_become(0);
	fake_begin((image.control & CONTROL_NO_SPACE) != 0);
	call_enter(0);
	void *map = qalloc_openfd(fd, &options);

	if (map == NULL)
		return 0;
	bool busy = somebody_inside(map);

	findings = 0;
	call_enter(0);
	int result = qalloc_check(map, report, NULL);

	FUZZ_CHECK((result == 0) == (findings == 0) || qalloc_error() == QALLOC_EBUSY);
	expect(result == 0);
	call_enter(0);
	FUZZ_CHECK(qalloc_walk(map, visit, map) == 0);
	expect_success();
	call_enter(0);
	FUZZ_CHECK(qalloc_mapinfo(map, &info) == 0);
	expect_success();
	if (result == 0 && (options.flags & QALLOC_READONLY) == 0) {
		model_run(map, fd, &image.program, busy);
		return 0;
	}
	call_enter(0);
	FUZZ_CHECK(qalloc_closemap(map) == 0);
	expect_success();
	return 0;
}
