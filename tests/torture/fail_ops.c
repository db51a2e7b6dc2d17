/* SPDX-License-Identifier: MIT */
/*
 * Other ways to open, to close and to write a map.  See fail_ops.h.
 */
#include "fail_ops.h"

#include <fcntl.h>
#include <stdio.h>

#include "kill_prepare.h"

static const char *said(const char *what)
{
	static char text[500];

	snprintf(text, sizeof(text), "%s: %s", what, qalloc_errmsg());
	return text;
}

static int descriptor;

/* The program's own. */
static void prepare_descriptor(struct world *w, void *map)
{
	(void)map;
	descriptor = open(w->path, O_RDWR | O_CLOEXEC);
	if (descriptor < 0) {
		broken(w->path);
	}
}

static const char *call_openfd(struct world *w, void *map)
{
	struct qalloc_options o = {.size = sizeof(o)};

	(void)w;
	(void)map;
	return qalloc_openfd(descriptor, &o) != NULL ? NULL : said("openfd");
}

static const char *open_as(const struct world *w, uint64_t flags)
{
	struct qalloc_options o = {.size = sizeof(o), .flags = flags};

	if ((flags & QALLOC_CREATE) != 0) {
		o.kind = QALLOC_DYNAMIC;
		o.filesize = (off_t)MAP_BYTES;
		o.streams = 3;
		o.addr = MAP_BASE;
	}
	return qalloc_openmap(w->path, &o) != NULL ? NULL : said("openmap");
}

static const char *call_readonly(struct world *w, void *map)
{
	(void)map;
	return open_as(w, QALLOC_READONLY);
}

static const char *call_verify(struct world *w, void *map)
{
	(void)map;
	return open_as(w, QALLOC_VERIFY);
}

static const char *call_guard(struct world *w, void *map)
{
	(void)map;
	return open_as(w, QALLOC_GUARD);
}

static const char *call_exclusive(struct world *w, void *map)
{
	static bool again;
	const char *wrong = open_as(w, QALLOC_CREATE | QALLOC_EXCLUSIVE);

	(void)map;
	/* Who fails after the file has got its name leaves it, complete. */
	if (wrong != NULL && again && qalloc_error() == QALLOC_EEXIST) {
		return open_as(w, 0);
	}
	again = true;
	return wrong;
}

static const char *call_cleanup(struct world *w, void *map)
{
	(void)w;
	(void)map;
	return qalloc_cleanup() == 0 ? NULL : said("cleanup");
}

static const char *call_sync(struct world *w, void *map)
{
	(void)w;
	return qalloc_sync(map) == 0 ? NULL : said("sync");
}

#define OPENS (OP_OPENS | OP_ALONE)

const struct op fail_ops[] = {
	{"openfd", BASE_THREE, OPENS, 0, prepare_descriptor, call_openfd},
	{"openmap, read-only", BASE_THREE, OPENS, 0, prepare_nothing, call_readonly},
	{"openmap, verified", BASE_THREE, OPENS | OP_BURIES, 0, prepare_nothing, call_verify},
	{"openmap, guarded", BASE_THREE, OPENS | OP_BURIES, 0, prepare_nothing, call_guard},
	{"openmap, exclusive", BASE_ABSENT, OPENS, 0, prepare_nothing, call_exclusive},
	{"cleanup", BASE_THREE, OP_CLOSES, 0, prepare_warm, call_cleanup},
	{"sync", BASE_THREE, 0, 0, prepare_warm, call_sync},
};
const unsigned fail_ops_count = sizeof(fail_ops) / sizeof(fail_ops[0]);
