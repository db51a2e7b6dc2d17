/* SPDX-License-Identifier: MIT */
/*
 * A stopped holder.
 *
 *  - A victim is stepped through a call, and stands still whenever its map has changed: it lives,
 *    and keeps what it holds, like a process that got SIGSTOP.
 *  - Each time a neighbour makes its own calls, publication and recovery included. None may take
 *    longer than the bound of the manual; each works, or says EAGAIN, or that the map is full.
 *    What the victim's intent or record names is not for it: the victim finds it as it was.
 *  - Then the victim goes on, and ends as if nothing had happened.
 *  - Last, a stream with many empty spans whose holder is stopped: the bound must not
 *    grow with the spans.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/format.h"
#include "../support.h"
#include "../watch.h"
#include "kill_ops.h"
#include "step.h"

/* A second, and what a busy machine adds. */
#define BOUND_MSEC 2000u
#define PENDING_MAX 256u
#define META_BYTES (128u << 10)

struct shared {
	struct world w;
	uint64_t slowest, refused, calls;
};

static struct shared *shared;
static const struct op *op;

/* ---- The neighbour -------------------------------------------------------- */

static void *neighbour_map;
static void *pending[PENDING_MAX];
static unsigned pending_count;
static void **cell; /* a pointer of its own, in the map */
static unsigned turns;

static void timed(const char *call, bool worked)
{
	uint64_t took = watch_end();

	shared->calls++;
	if (took > shared->slowest) {
		shared->slowest = took;
	}
	if (took > BOUND_MSEC) {
		finding("%s: beside a stopped holder %s took %llu ms", op == NULL ? "" : op->name,
			call, (unsigned long long)took);
	}
	if (!worked) {
		shared->refused++;
		if (qalloc_error() != QALLOC_EBUSY && qalloc_error() != QALLOC_EFULL) {
			finding("%s: beside a stopped holder %s: %s", op->name, call,
				qalloc_errmsg());
		}
	}
}

static void give_back(void *block)
{
	watch_begin();
	bool freed = qalloc_tryfree(block, neighbour_map) == 0;

	timed("free", freed);
	if (!freed && pending_count < PENDING_MAX) {
		pending[pending_count++] = block;
	}
}

static void take_and_give(size_t size)
{
	watch_begin();
	void *block = qalloc_malloc(neighbour_map, size);

	timed("malloc", block != NULL);
	if (block != NULL) {
		fill(block, size, 3);
		give_back(block);
	}
}

/* Its pointer gets a block, which moves to and fro, and goes. */
static void publishing_calls(void)
{
	/* A run where there is room for two, and time to wait for the pool. */
	bool has_room = campaign_long() && strstr(op->name, "run") == NULL;
	const size_t sizes[] = {24, 100, has_room ? 6000 : 600, 24};
	bool is_static = base_is_static(shared->w.base);
	size_t size = is_static ? ITEM_BYTES : sizes[turns % 4];
	void *before = *cell;
	watch_begin();
	bool worked = false;

	if (turns++ % 5 == 4) {
		worked = qalloc_free_from(neighbour_map, cell) == 0;
		timed("free_from", worked);
	} else {
		worked = qalloc_realloc_to(neighbour_map, size, cell) != NULL;
		timed("realloc_to", worked);
	}
	if (!worked && *cell != before) {
		finding("%s: a call of the neighbour failed, and changed its pointer", op->name);
	}
	watch_begin();
	worked = qalloc_recover(neighbour_map) == 0;
	timed("recover", worked);
}

static void neighbour_calls(void)
{
	bool is_static = base_is_static(shared->w.base);
	unsigned n = pending_count;

	pending_count = 0;
	for (unsigned i = 0; i < n; i++) {
		give_back(pending[i]);
	}
	take_and_give(is_static ? ITEM_BYTES : 24);
	if (!is_static) {
		take_and_give(6000);
	}
	publishing_calls();
	watch_begin();
	int result = qalloc_setroot(neighbour_map, "neighbour", NULL);

	timed("setroot", result == 0);
	watch_begin();
	result = qalloc_check(neighbour_map, NULL, NULL);
	/* Whoever stands still in the middle of a run may be seen. */
	timed("check", result == 0 || qalloc_error() == QALLOC_ECORRUPT);
}

/* Calls for each byte of `go`; at its end what is pending is freed. */
static void neighbour_body(int go, int ready)
{
	char byte = 0;

	alarm(600);
	neighbour_map = world_open(&shared->w, shared->w.path);
	if (neighbour_map == NULL) {
		broken("the neighbour cannot open the map");
	}
	cell = world_take(&shared->w, neighbour_map,
			  base_is_static(shared->w.base) ? ITEM_BYTES : 24);
	if (cell == NULL) {
		broken("the neighbour's pointer");
	}
	*cell = NULL;
	shared->w.known[shared->w.count - 1].is_cell = true;
	while (write(ready, &byte, 1) == 1 && read(go, &byte, 1) == 1 && byte != 'e') {
		neighbour_calls();
	}
	for (unsigned i = 0; i < pending_count; i++) {
		if (qalloc_tryfree(pending[i], neighbour_map) != 0) {
			finding("%s: the neighbour's block cannot be freed: %s", op->name,
				qalloc_errmsg());
		}
	}
	if (qalloc_free_from(neighbour_map, cell) != 0) {
		finding("%s: the block of the neighbour's pointer cannot be freed: %s", op->name,
			qalloc_errmsg());
	}
	_exit(0);
}

/* ---- The victim -------------------------------------------------------------- */

static void victim_body(void *arg)
{
	struct world *w = arg;
	void *map = world_open(w, w->path);

	if (map == NULL) {
		broken("the victim cannot open the map");
	}
	op->prepare(w, map);
	w->inside = 1;
	step_begin();
	const char *text = op->call(w, map);

	w->inside = 0;
	w->result =
		text != NULL && qalloc_error() != QALLOC_EBUSY && qalloc_error() != QALLOC_EFULL;
	snprintf(w->text, sizeof(w->text), "%s", text == NULL ? "" : text);
	w->done = 1;
}

static void exchange(int go, int ready, char byte)
{
	if (write(go, &byte, 1) != 1 || (byte != 'e' && read(ready, &byte, 1) != 1)) {
		broken("the neighbour is gone");
	}
}

static unsigned step_through(pid_t victim, const char *path, int go, int ready)
{
	static uint8_t seen[META_BYTES];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *now = mmap(NULL, META_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	unsigned stops = 0;

	if (fd < 0 || now == MAP_FAILED) {
		broken("mapping the map");
	}
	memcpy(seen, now, META_BYTES);
	while (shared->w.inside && step_once(victim, 0) == STEP_DONE) {
		/* Where the allocator's words are; the rest of the 128 KiB is unused. */
		if (memcmp(seen + STATE_OFF, now + STATE_OFF, 0x1000) == 0 &&
		    memcmp(seen + STREAMS_OFF, now + STREAMS_OFF, 0x4000) == 0) {
			continue;
		}
		exchange(go, ready, 'c');
		stops++;
		memcpy(seen, now, META_BYTES);
	}
	munmap(now, META_BYTES);
	close(fd);
	return stops;
}

static void campaign_op(void)
{
	struct world *template = shared_memory(sizeof(*template));
	struct world *w = &shared->w;
	char file[400], path[400];
	int to[2], from[2];
	char byte = 0;

	snprintf(file, sizeof(file), "%s", scratch_path("template"));
	snprintf(path, sizeof(path), "%s", scratch_path("map"));
	world_build(template, op->base, file);
	*w = *template;
	snprintf(w->path, sizeof(w->path), "%s", path);
	(void)unlink(path);
	copy_file(file, path);
	if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) {
		broken("pipe");
	}
	fflush(stdout);
	pid_t neighbour = fork();

	if (neighbour == 0) {
		close(to[1]);
		close(from[0]);
		neighbour_body(to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	if (read(from[0], &byte, 1) != 1) {
		broken("the neighbour");
	}
	pid_t victim = step_start(victim_body, w);

	if (victim < 0) {
		broken("a victim cannot begin");
	}
	shared->slowest = shared->refused = shared->calls = 0;
	unsigned stops = step_through(victim, path, to[1], from[0]);

	if (!step_finish(victim, 20000000) || !w->done) {
		finding("%s: after it was stopped it does not end", op->name);
	} else if (w->result != 0) {
		finding("%s: after it was stopped: %s", op->name, w->text);
	}
	exchange(to[1], from[0], 'e');
	expect_well(neighbour, op->name);
	close(to[1]);
	close(from[0]);
	w->unknown_max = op->unknown;
	inspect_file(w, path, op->name);
	campaign_case();
	printf("  %-32s %3u stops, %4llu calls, %3llu refused, the slowest took %llu ms\n",
	       op->name, stops, (unsigned long long)shared->calls,
	       (unsigned long long)shared->refused, (unsigned long long)shared->slowest);
	munmap(template, sizeof(*template));
}

/* ---- Many empty spans of a stopped holder ------------------------------------- */

#define MANY_BYTES ((off_t)1 << 30)

static void holder_body(void *arg)
{
	void *map = qalloc_loadmap(arg);

	if (map == NULL || qalloc_malloc(map, 24) == NULL) {
		broken("the holder");
	}
	shared->w.inside = 1;
	step_begin();
	for (;;) {
		qalloc_free(qalloc_malloc(map, 24), map);
	}
}

static bool any_stream_held(const char *path)
{
	uint64_t owners[2] = {0, 0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	for (unsigned i = 0; i < 2; i++) {
		if (pread(fd, &owners[i], 8, (off_t)(STREAMS_OFF + i * STREAM_BYTES)) != 8) {
			broken(path);
		}
	}
	close(fd);
	return owners[0] != 0 || owners[1] != 0;
}

static int many_spans(const char *path)
{
	struct qalloc_options o = {.size = sizeof(o), .flags = QALLOC_CREATE};
	static void *blocks[200000];
	unsigned count = 0;

	alarm(300);
	o.kind = QALLOC_DYNAMIC;
	o.filesize = MANY_BYTES;
	o.streams = 1;
	void *map = qalloc_openmap(path, &o);

	if (map == NULL) {
		broken("making a map");
	}
	while (count < 200000 && (blocks[count] = qalloc_malloc(map, 24576)) != NULL) {
		count++;
	}
	/* Room for the holder. */
	for (unsigned i = 0; i < 4 && count > 0; i++) {
		qalloc_free(blocks[--count], map);
	}
	pid_t holder = step_start(holder_body, (void *)(uintptr_t)path);

	if (holder < 0) {
		broken("the holder cannot begin");
	}
	do {
		if (step_once(holder, 0) != STEP_DONE) {
			broken("the holder is gone");
		}
	} while (!any_stream_held(path));
	/* Now every free is a remote one, and leaves its span with the stopped stream. */
	neighbour_map = map;
	for (unsigned i = 0; i < count; i++) {
		give_back(blocks[i]);
	}
	for (unsigned i = 0; i < 3; i++) {
		watch_begin();
		void *block = qalloc_malloc(map, 100000);

		timed("malloc of a run beside many empty spans", block != NULL);
	}
	step_kill(holder);
	void *block = qalloc_malloc(map, 1 << 20);

	if (block == NULL) {
		finding("many spans: after the holder died: %s", qalloc_errmsg());
	}
	if (qalloc_check(map, NULL, NULL) != 0) {
		finding("many spans: check: %s", qalloc_errmsg());
	}
	printf("  %u blocks freed beside a stopped holder, the slowest call took %llu ms\n", count,
	       (unsigned long long)shared->slowest);
	return 0;
}

static void body(unsigned i)
{
	const char *word = campaign_argument(0);

	if (shared == NULL) {
		shared = shared_memory(sizeof(*shared));
	}
	op = &kill_ops[i];
	if ((op->flags & (OP_OPENS | OP_ALONE | OP_CLOSES)) == 0 &&
	    (word != NULL ? strstr(op->name, word) != NULL
			  : campaign_long() || (op->flags & OP_SHORT) != 0)) {
		campaign_op();
	}
}

int main(int argc, char **argv)
{
	static const struct op many = {.name = "many spans"};
	const char *why = NULL;

	campaign_begin("stopped", argc, argv);
	if (!step_possible(&why)) {
		return campaign_skip(why);
	}
	campaign_each(kill_ops_count, body);
	shared = shared_memory(sizeof(*shared));
	op = &many;
	fflush(stdout);
	pid_t pid = fork();

	if (pid == 0) {
		_exit(many_spans(scratch_path("many")));
	}
	expect_well(pid, "many spans");
	campaign_case();
	return campaign_end();
}
