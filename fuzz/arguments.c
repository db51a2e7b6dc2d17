/* SPDX-License-Identifier: MIT */
/*
 * Calls with wrong arguments, and those that only pass theirs on: each one refuses by name, whatever
 * the bytes of the map are.
 */
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>

static int stop_at_block(void *block, size_t size, void *arg)
{
	(void)block;
	(void)size;
	(void)arg;
	return 5;
}

static int stop_at_root(const char *name, void *value, void *arg)
{
	(void)name;
	(void)value;
	(void)arg;
	return 5;
}

static int reach_nothing(void *block, size_t size, struct qalloc_marks *marks, void *arg)
{
	(void)block;
	(void)size;
	(void)marks;
	(void)arg;
	return 0;
}

static bool lost; /* a page of the map */

static void refuses(bool refused, int error)
{
	FUZZ_CHECK(refused);
	int found = expect_failure();

	FUZZ_CHECK(found == error || found == QALLOC_EREADONLY ||
		   (lost && found == QALLOC_EPOISONED));
	call_enter(0);
}

static void no_map(void)
{
	struct qalloc_info info = {.size = sizeof(info)};

	refuses(qalloc_malloc(NULL, 1) == NULL, QALLOC_EHANDLE);
	refuses(qalloc_calloc(NULL, 1, 1) == NULL, QALLOC_EHANDLE);
	refuses(qalloc_aligned_alloc(NULL, 16, 1) == NULL, QALLOC_EHANDLE);
	refuses(qalloc_realloc(NULL, &info, 1) == NULL, QALLOC_EHANDLE);
	refuses(qalloc_tryfree(&info, NULL) == -1, QALLOC_EHANDLE);
	refuses(qalloc_usable_size(NULL, &info) == 0, QALLOC_EHANDLE);
	refuses(qalloc_setroot(NULL, "a", NULL) == -1, QALLOC_EHANDLE);
	refuses(qalloc_casroot(NULL, "a", NULL, NULL) == -1, QALLOC_EHANDLE);
	refuses(qalloc_delroot(NULL, "a") == -1, QALLOC_EHANDLE);
	refuses(qalloc_getroot(NULL, "a") == NULL, QALLOC_EHANDLE);
	refuses(qalloc_roots(NULL, stop_at_root, NULL) == -1, QALLOC_EHANDLE);
	refuses(qalloc_walk(NULL, stop_at_block, NULL) == -1, QALLOC_EHANDLE);
	refuses(qalloc_check(NULL, NULL, NULL) == -1, QALLOC_EHANDLE);
	refuses(qalloc_mapinfo(NULL, &info) == -1, QALLOC_EHANDLE);
	refuses(qalloc_sync(NULL) == -1, QALLOC_EHANDLE);
	refuses(qalloc_trim(NULL) == -1, QALLOC_EHANDLE);
	refuses(qalloc_closemap(NULL) == -1, QALLOC_EHANDLE);
	refuses(qalloc_malloc_to(NULL, 1, NULL) == NULL, QALLOC_EHANDLE);
	refuses(qalloc_free_from(NULL, NULL) == -1, QALLOC_EHANDLE);
	refuses(qalloc_realloc_to(NULL, 1, NULL) == NULL, QALLOC_EHANDLE);
	refuses(qalloc_malloc_toroot(NULL, 1, "a") == NULL, QALLOC_EHANDLE);
	refuses(qalloc_free_fromroot(NULL, "a") == -1, QALLOC_EHANDLE);
	refuses(qalloc_realloc_toroot(NULL, 1, "a") == NULL, QALLOC_EHANDLE);
	refuses(qalloc_recover(NULL) == -1, QALLOC_EHANDLE);
	refuses(qalloc_sweep(NULL, reach_nothing, NULL, NULL) == -1, QALLOC_EHANDLE);
	FUZZ_CHECK(qalloc_offset(NULL, &info) == 0 && qalloc_address(NULL, 4096) == NULL);
}

static void no_function(void *map)
{
	struct qalloc_info info = {.size = 8};

	refuses(qalloc_walk(map, NULL, NULL) == -1, QALLOC_EARGUMENT);
	refuses(qalloc_roots(map, NULL, NULL) == -1, QALLOC_EARGUMENT);
	refuses(qalloc_mapinfo(map, NULL) == -1, QALLOC_EARGUMENT);
	refuses(qalloc_mapinfo(map, &info) == -1, QALLOC_EARGUMENT);
	refuses(qalloc_sweep(map, NULL, NULL, NULL) == -1, QALLOC_EARGUMENT);
	refuses(qalloc_mark(NULL, map) == -1, QALLOC_EARGUMENT);
	refuses(qalloc_malloc_toroot(map, 1, "") == NULL, QALLOC_EROOTNAME);
	refuses(qalloc_setroot(map, NULL, NULL) == -1, QALLOC_EROOTNAME);
	refuses(qalloc_getroot(map, NULL) == NULL, QALLOC_EROOTNAME);
	refuses(qalloc_aligned_alloc(map, 0, 8) == NULL, QALLOC_EARGUMENT);
	refuses(qalloc_aligned_alloc(map, 3, 8) == NULL, QALLOC_EARGUMENT);
	refuses(qalloc_aligned_alloc(map, (size_t)1 << 40, 8) == NULL, QALLOC_EARGUMENT);
	refuses(qalloc_calloc(map, SIZE_MAX / 2, 3) == NULL, QALLOC_ESIZE);
	FUZZ_CHECK(qalloc_offset(map, NULL) == 0 && qalloc_address(map, 0) == NULL);
}

/* What is open already, asked for as something else. */
static void other_map(struct map *m, int fd)
{
	const struct params *p = &m->params;
	const struct qalloc_options same = {.size = sizeof(same),
					    .flags = m->readonly ? QALLOC_READONLY : 0,
					    .addr = (void *)(uintptr_t)p->base,
					    .filesize = (off_t)p->file_size,
					    .itemsize = p->item_size,
					    .streams = p->streams,
					    .kind = p->kind};
	struct qalloc_options o[6] = {same, same, same, same, same, same};
	struct {
		struct qalloc_options options;
		uint64_t later;
	} longer = {.options = same};
	const bool guarded = m->guarded;
	struct os_file now;

	/* It was told of another file when it opened this one, and does not know it again. */
	if (os_identify(fd, &now) != 0 || !same_identity(&now, &m->file))
		return;
	o[0].kind = QALLOC_STATIC + QALLOC_DYNAMIC - p->kind;
	o[1].filesize++;
	o[2].itemsize++;
	o[3].streams++;
	o[4].addr = (char *)o[4].addr + GRANULE;
	o[5].flags |= QALLOC_ZERO_ON_FREE;
	for (int i = (p->flags & MAP_FLAG_ZERO_ON_FREE) != 0 ? 4 : 5; i >= 0; i--)
		refuses(qalloc_openfd(fd, &o[i]) == NULL, QALLOC_EPARAMS);
	/* A later, longer struct that asks for nothing more. */
	longer.options.size = sizeof(longer);
	longer.options.streams++;
	refuses(qalloc_openfd(fd, &longer.options) == NULL, QALLOC_EPARAMS);
	o[0] = same;
	o[0].flags ^= QALLOC_READONLY;
	refuses(qalloc_openfd(fd, &o[0]) == NULL, QALLOC_EINUSE);
	o[0].flags = QALLOC_CREATE | QALLOC_EXCLUSIVE;
	refuses(qalloc_openfd(fd, &o[0]) == NULL, QALLOC_EEXIST);
	if (qalloc_openfd(fd, &same) == m) {
		expect_success();
		FUZZ_CHECK(m->guarded == guarded);
		call_enter(0);
		FUZZ_CHECK(qalloc_closemap(m) == 0);
		expect_success();
		o[0].flags = same.flags | QALLOC_GUARD;
		call_enter(0);
		FUZZ_CHECK(qalloc_openfd(fd, &o[0]) == m && m->guarded);
		expect_success();
		call_enter(0);
		FUZZ_CHECK(qalloc_closemap(m) == 0);
		expect_success();
	} else {
		FUZZ_CHECK(lost && expect_failure() == QALLOC_EPOISONED);
	}
	call_enter(0);
}

static void no_file(int fd)
{
	static const uint64_t wrong_flags[] = {(uint64_t)1 << 62, QALLOC_EXCLUSIVE,
					       QALLOC_READONLY | QALLOC_CREATE};
	struct {
		struct qalloc_options options;
		uint64_t later;
	} o = {.options = {.size = sizeof(o)}, .later = 1};
	static union {
		struct qalloc_options options;
		char bytes[2 * 4096];
	} much;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	refuses(qalloc_loadmap(NULL) == NULL, QALLOC_EARGUMENT);
	refuses(qalloc_loadmap("/proc/self/none") == NULL, QALLOC_EMISSING);
	refuses(qalloc_loadmap("/proc/self/none/none") == NULL, QALLOC_EMISSING);
	refuses(qalloc_loadmap("/dev/null") == NULL, QALLOC_ENOTREGULAR);
	refuses(qalloc_loadmap("/proc/self") == NULL, QALLOC_ESYMLINK);
	refuses(qalloc_loadmap("/") == NULL, QALLOC_ENOTREGULAR);
	refuses(qalloc_openfd(-1, NULL) == NULL, QALLOC_EARGUMENT);
	fake.faulted = true; /* fstat() */
	refuses(qalloc_openfd(1000000, NULL) == NULL, QALLOC_ESYSTEM);
	refuses(qalloc_makestatmap(65536, NULL, NULL, 8, 1) == NULL, QALLOC_EARGUMENT);
	refuses(qalloc_makedynmap(65536, NULL, NULL, 1) == NULL, QALLOC_EARGUMENT);
	refuses(qalloc_makestatmap(65536, NULL, path, 8, 1) == NULL, QALLOC_ESYMLINK);
	refuses(qalloc_makedynmap(65536, NULL, path, 1) == NULL, QALLOC_ESYMLINK);
	refuses(qalloc_openfd(fd, &o.options) == NULL, QALLOC_EOPTIONS);
	o.options.size = 1;
	refuses(qalloc_openfd(fd, &o.options) == NULL, QALLOC_EOPTIONS);
	o.options.size = 1 << 20;
	refuses(qalloc_openfd(fd, &o.options) == NULL, QALLOC_EOPTIONS);
	/* It asks for nothing more, but no struct will ever be that long. */
	much.options.size = sizeof(much);
	refuses(qalloc_openfd(fd, &much.options) == NULL, QALLOC_EOPTIONS);
	o.options.size = sizeof(o.options);
	for (size_t i = 0; i < sizeof(wrong_flags) / sizeof(wrong_flags[0]); i++) {
		o.options.flags = wrong_flags[i];
		refuses(qalloc_openmap(path, &o.options) == NULL, QALLOC_EOPTIONS);
	}
}

static void no_size(void)
{
	refuses(qalloc_statmap_filesize(0, 1, 1) == 0, QALLOC_EARGUMENT);
	refuses(qalloc_dynmap_filesize(1, 0) == 0, QALLOC_EARGUMENT);
	FUZZ_CHECK(qalloc_version()[0] != '\0' && qalloc_strerror(-1)[0] != '\0' &&
		   qalloc_strerror(QALLOC_ERR_COUNT)[0] != '\0');
	call_end();
}

void wrong_arguments(void *map, int fd, uint8_t which)
{
	/* A failing system call would be another reason. */
	fake.fault_in = 0;
	lost = ((struct map *)map)->poison != 0;
	call_enter(0);
	switch (which & 3) {
	case 0:
		no_map();
		break;
	case 1:
		no_function(map);
		break;
	case 2:
		no_file(fd);
		other_map(map, fd);
		break;
	default:
		no_size();
		/* Whoever looks may stop. */
		call_enter(0);
		FUZZ_CHECK(qalloc_walk(map, stop_at_block, NULL) != -1 ||
			   expect_failure() != QALLOC_OK);
		call_enter(0);
		FUZZ_CHECK(qalloc_roots(map, stop_at_root, NULL) != -1 ||
			   expect_failure() != QALLOC_OK);
		break;
	}
}
