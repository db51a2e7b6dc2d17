/* SPDX-License-Identifier: MIT */
/*
 * Other ways to open, to close and to write a map; and the first call of a thread.  See fail_ops.h.
 */
#include "fail_ops.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "kill_prepare.h"

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

/* Opened twice, and once is left. */
static void prepare_guard(struct world *w, void *map)
{
	struct qalloc_options o = {.size = sizeof(o), .flags = QALLOC_GUARD};

	if (qalloc_openmap(w->path, &o) != map || qalloc_closemap(map) != 0) {
		broken(qalloc_errmsg());
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

/* Another process is attached, until this one ends. */
static void prepare_company(struct world *w, void *map)
{
	int ready[2];
	char byte = 0;

	(void)w;
	if (pipe2(ready, O_CLOEXEC) != 0) {
		broken("a pipe");
	}
	pid_t child = fork();

	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		qalloc_free(qalloc_malloc(map, 24), map);
		while (write(ready[1], &byte, 1) == 1) {
			pause();
		}
		_exit(1);
	}
	if (child < 0 || read(ready[0], &byte, 1) != 1) {
		broken("a process beside the victim");
	}
	close(ready[0]);
	close(ready[1]);
}

static int reaches_nothing(void *block, size_t size, struct qalloc_marks *marks, void *arg)
{
	(void)block;
	(void)size;
	(void)marks;
	(void)arg;
	return 0;
}

static const char *call_sweep_refused(struct world *w, void *map)
{
	(void)w;
	if (qalloc_sweep(map, reaches_nothing, NULL, NULL) == 0) {
		return "swept what others may hold";
	}
	return qalloc_error() == QALLOC_EINUSE ? NULL : said("sweep");
}

#define OPENS (OP_OPENS | OP_ALONE)

const struct op fail_ops[] = {
	{"openfd", BASE_THREE, OPENS, 0, prepare_descriptor, call_openfd},
	{"openmap, read-only", BASE_THREE, OPENS, 0, prepare_nothing, call_readonly},
	{"openmap, verified", BASE_THREE, OPENS | OP_BURIES, 0, prepare_nothing, call_verify},
	{"openmap, guarded", BASE_THREE, OPENS | OP_BURIES, 0, prepare_nothing, call_guard},
	{"openmap, exclusive", BASE_ABSENT, OPENS, 0, prepare_nothing, call_exclusive},
	{"closemap, guarded", BASE_THREE, OP_CLOSES, 0, prepare_guard, call_close},
	{"cleanup", BASE_THREE, OP_CLOSES, 0, prepare_warm, call_cleanup},
	{"sync", BASE_THREE, 0, 0, prepare_warm, call_sync},
	{"sweep beside another", BASE_THREE, OP_REFUSED, 0, prepare_company, call_sweep_refused},
	{"malloc, fresh thread", BASE_THREE, OP_FRESH, 1, prepare_nothing, call_malloc},
	{"malloc_to, fresh thread", BASE_THREE, OP_FRESH, 0, prepare_cell, call_malloc_to},
	{"free, fresh thread", BASE_THREE, OP_FRESH, 0, prepare_own, call_free},
	{"setroot, fresh thread", BASE_THREE, OP_FRESH, 0, prepare_root_new, call_setroot},
	{"loadmap, fresh thread", BASE_THREE, OPENS | OP_FRESH, 0, prepare_nothing, call_load},
};
const unsigned fail_ops_count = sizeof(fail_ops) / sizeof(fail_ops[0]);
