/* SPDX-License-Identifier: MIT */
/*
 * Two processes, one instruction at a time.
 *
 *  - Switch points are the instructions that touch the map's metadata, and the system calls: a
 *    first run finds them, with the metadata mapped PROT_NONE.
 *  - Every schedule "A up to a point, B up to a point, A to its end, B to its end" is run;
 *    the short form takes a sample.  Who waits for the other's lock is waited for.
 *  - At most one of two frees of a block succeeds; the blocks that are live at the end are
 *    those that the calls say; the inspector finds a whole map.
 *  - Stepping shows every order of instructions, but not the order in which stores become
 *    visible: proofs/model is about that.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/format.h"
#include "../../src/span.h"
#include "../support.h"
#include "points.h"
#include "step.h"
#include "torture.h"

#if defined(__x86_64__)

#define BLOCKED_USEC 30000u
#define END_USEC 20000000u

struct side {
	volatile int inside, done;
	int won;   /* the call succeeded */
	int error; /* of one that did not */
};

struct shared {
	struct world w;
	struct side sides[2];
};

struct act {
	const char *name;
	void (*prepare)(struct world *w, void *map);
	int (*call)(struct world *w, void *map);
	bool takes; /* success is one block more */
};

struct pair {
	enum base base;
	bool neighbour; /* has the streams of the base's blocks, so that both are remote */
	void (*doctor)(const char *path);
	struct act a, b;
	int winners; /* exactly so many may succeed; 0: any number */
};

static struct shared *shared;
static const struct pair *pair;

/* ---- What they do ------------------------------------------------------------ */

static void *subject;

static void nothing(struct world *w, void *map)
{
	(void)w;
	(void)map;
}

static void the_first(struct world *w, void *map)
{
	(void)map;
	w->known[0].moving = true;
	subject = w->known[0].at;
}

static void the_lonely(struct world *w, void *map)
{
	(void)map;
	w->known[5].moving = true;
	subject = w->known[5].at;
}

static void the_run(struct world *w, void *map)
{
	(void)map;
	w->known[3].moving = true;
	subject = w->known[3].at;
}

/* All is taken but one block of 600 bytes, which the other frees. */
static void fill_up(struct world *w, void *map)
{
	world_fill(w, map, 4096);
	world_fill(w, map, 700);
	world_fill(w, map, 48);
	world_fill(w, map, 16);
}

static int do_malloc(struct world *w, void *map)
{
	(void)w;
	return qalloc_malloc(map, 24) != NULL;
}

static int do_malloc_run(struct world *w, void *map)
{
	(void)w;
	return qalloc_malloc(map, 12000) != NULL;
}

static int do_free(struct world *w, void *map)
{
	(void)w;
	return qalloc_tryfree(subject, map) == 0;
}

static int do_root(struct world *w, void *map)
{
	return qalloc_casroot(map, "new", NULL, w->known[1].at) == 0;
}

/* A holder that never comes back: its slot is not locked. */
static void put(const char *path, uint64_t off, uint64_t value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || pwrite(fd, &value, sizeof(value), (off_t)off) != sizeof(value)) {
		broken(path);
	}
	close(fd);
}

#define DEAD_OWNER ((uint64_t)7 << 32 | (uint64_t)9 << 20 | 1)

static void dead_in_stream(const char *path)
{
	put(path, STREAMS_OFF, DEAD_OWNER);
}

/* Of the slot that the next process takes. */
static void dead_in_stream_of_next(const char *path)
{
	put(path, STREAMS_OFF, (uint64_t)1 << 32 | (uint64_t)2 << 20 | 1);
}

static void dead_in_pool(const char *path)
{
	put(path, STATE_POOL, DEAD_OWNER);
	put(path, STATE_INTENT, INTENT_RUN_TAKE);
	put(path, STATE_INTENT + 8, 12);
	put(path, STATE_INTENT + 16, 3);
	put(path, STATE_FRONTIER, 15);
	put(path, 0x12000 + 14 * 8, SPAN_TAIL);
	put(path, 0x12000 + 13 * 8, SPAN_TAIL);
}

#define MALLOC                                                                                     \
	{                                                                                          \
		"malloc", nothing, do_malloc, true                                                 \
	}
#define MALLOC_RUN                                                                                 \
	{                                                                                          \
		"malloc of a run", nothing, do_malloc_run, true                                    \
	}
#define MALLOC_FULL                                                                                \
	{                                                                                          \
		"malloc when full", fill_up, do_malloc, true                                       \
	}
#define FREE                                                                                       \
	{                                                                                          \
		"free", the_first, do_free, false                                                  \
	}
#define FREE_LAST                                                                                  \
	{                                                                                          \
		"free of a span's last", the_lonely, do_free, false                                \
	}
#define FREE_RUN                                                                                   \
	{                                                                                          \
		"free of a run", the_run, do_free, false                                           \
	}
#define ROOT                                                                                       \
	{                                                                                          \
		"casroot", nothing, do_root, false                                                 \
	}

static const struct pair pairs[] = {
	{BASE_THREE, false, NULL, MALLOC, FREE, 0},
	{BASE_ONE, false, NULL, MALLOC, FREE, 0},
	{BASE_ONE, false, NULL, MALLOC, MALLOC, 0},
	{BASE_THREE, true, NULL, FREE, FREE, 1},
	{BASE_THREE, true, NULL, FREE_RUN, FREE_RUN, 1},
	{BASE_THREE, true, NULL, FREE_RUN, MALLOC_RUN, 0},
	{BASE_THREE, false, NULL, MALLOC_FULL, FREE_LAST, 0},
	{BASE_THREE, true, NULL, MALLOC_FULL, FREE_LAST, 0},
	{BASE_THREE, true, NULL, MALLOC_RUN, MALLOC_RUN, 0},
	{BASE_THREE, true, NULL, MALLOC, MALLOC, 0},
	{BASE_ONE, false, dead_in_stream, MALLOC, MALLOC, 0},
	{BASE_ONE, false, dead_in_stream, MALLOC, FREE, 0},
	{BASE_THREE, true, dead_in_pool, MALLOC_RUN, MALLOC_RUN, 0},
	{BASE_THREE, true, dead_in_pool, MALLOC, FREE_RUN, 0},
	{BASE_THREE, true, NULL, ROOT, ROOT, 1},
	{BASE_ONE, false, dead_in_stream_of_next, MALLOC, MALLOC, 0},
};

/* ---- Victims ------------------------------------------------------------------- */

static void victim_body(void *arg)
{
	struct side *side = arg;
	const struct act *act = side == &shared->sides[0] ? &pair->a : &pair->b;
	void *map = world_open(&shared->w, shared->w.path);

	alarm(60);
	if (map == NULL) {
		broken("a victim cannot open the map");
	}
	act->prepare(&shared->w, map);
	side->inside = 1;
	step_begin();
	side->won = act->call(&shared->w, map);
	side->error = side->won ? QALLOC_OK : qalloc_error();
	side->inside = 0;
	side->done = 1;
}

struct set {
	pid_t neighbour, victim[2];
};

static pid_t start_idle(void)
{
	int ready[2];
	char byte = 0;

	fflush(stdout);
	if (pipe2(ready, O_CLOEXEC) != 0) {
		broken("pipe");
	}
	pid_t pid = fork();

	if (pid == 0) {
		alarm(120);
		if (world_open(&shared->w, shared->w.path) == NULL) {
			_exit(1);
		}
		if (write(ready[1], &byte, 1) == 1) {
			pause();
		}
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		broken("the neighbour");
	}
	close(ready[0]);
	return pid;
}

static struct set begin(const struct world *template, const char *file)
{
	struct set s = {.neighbour = 0};
	char path[sizeof(shared->w.path)];

	snprintf(path, sizeof(path), "%s", scratch_path("map"));
	memset(shared->sides, 0, sizeof(shared->sides));
	shared->w = *template;
	memcpy(shared->w.path, path, sizeof(path));
	(void)unlink(path);
	copy_file(file, path);
	if (pair->neighbour) {
		s.neighbour = start_idle();
	}
	for (unsigned i = 0; i < 2; i++) {
		s.victim[i] = step_start(victim_body, &shared->sides[i]);
		if (s.victim[i] < 0) {
			broken("a victim cannot begin");
		}
	}
	return s;
}

static void end(struct set *s)
{
	for (unsigned i = 0; i < 2; i++) {
		if (s->victim[i] > 0) {
			step_kill(s->victim[i]);
		}
	}
	if (s->neighbour > 0) {
		step_kill(s->neighbour);
	}
}

/* ---- Schedules --------------------------------------------------------------------- */

static void run_to(pid_t victim, const struct side *side, unsigned steps)
{
	for (unsigned i = 0; i < steps && side->inside; i++) {
		(void)step_once(victim, 0);
	}
}

static bool wait_for(pid_t *victim, uint64_t usec)
{
	uint64_t until = now_usec() + usec;
	int status = 0;

	do {
		pid_t pid = waitpid(*victim, &status, __WALL | WNOHANG);

		if (pid == *victim && (WIFEXITED(status) || WIFSIGNALED(status))) {
			*victim = 0;
			return true;
		}
		if (pid == *victim && WIFSTOPPED(status)) {
			(void)ptrace(PTRACE_CONT, *victim, NULL, (void *)(long)WSTOPSIG(status));
		}
		usleep(50);
	} while (now_usec() < until);
	return false;
}

static unsigned live_in_child(void)
{
	unsigned *live = shared_memory(sizeof(*live));

	fflush(stdout);
	pid_t pid = fork();

	if (pid == 0) {
		void *map = world_open(&shared->w, shared->w.path);

		*live = map == NULL ? UINT32_MAX : (unsigned)count_live(map);
		_exit(0);
	}
	expect_well(pid, "counting");
	unsigned result = *live;

	munmap(live, sizeof(*live));
	return result;
}

static void judge(const char *who)
{
	const struct side *a = &shared->sides[0], *b = &shared->sides[1];
	struct world *w = &shared->w;
	bool same = pair->winners == 1;
	unsigned live = w->count;

	for (unsigned i = 0; i < 2; i++) {
		const struct side *s = &shared->sides[i];
		const struct act *act = i == 0 ? &pair->a : &pair->b;
		bool excused =
			s->error == QALLOC_EBUSY ||
			(same && (s->error == QALLOC_ENOTLIVE || s->error == QALLOC_EROOTVALUE)) ||
			(s->error == QALLOC_EFULL && act->prepare == fill_up);

		if (!s->done || (!s->won && !excused)) {
			finding("%s: %s failed: error %d (%s)", who, act->name, s->error,
				qalloc_strerror(s->error));
			return;
		}
		live += act->takes && s->won;
		live -= act->call == do_free && s->won && !(same && i == 1 && a->won);
	}
	if (same && a->won + b->won != 1 &&
	    !(a->error == QALLOC_EBUSY || b->error == QALLOC_EBUSY)) {
		finding("%s: %d of two succeeded", who, a->won + b->won);
		return;
	}
	unsigned found = live_in_child();

	if (found != live) {
		finding("%s: %u blocks are live, expected %u", who, found, live);
		return;
	}
	w->inherited = true; /* What was freed may have been taken by the other. */
	w->unknown_max = (unsigned)((pair->a.takes && a->won) + (pair->b.takes && b->won));
	inspect_file(w, w->path, who);
}

static void schedule(const struct world *template, const char *file, unsigned a, unsigned b)
{
	char who[200];
	struct set s = begin(template, file);

	snprintf(who, sizeof(who), "%s up to %u, %s up to %u", pair->a.name, a, pair->b.name, b);
	run_to(s.victim[0], &shared->sides[0], a);
	run_to(s.victim[1], &shared->sides[1], b);
	(void)ptrace(PTRACE_CONT, s.victim[0], NULL, NULL);
	bool ended = wait_for(&s.victim[0], BLOCKED_USEC);

	(void)ptrace(PTRACE_CONT, s.victim[1], NULL, NULL);
	if (!wait_for(&s.victim[1], END_USEC) || (!ended && !wait_for(&s.victim[0], END_USEC))) {
		finding("%s: it does not end", who);
	}
	end(&s);
	judge(who);
	campaign_case();
}

static void campaign_pair(uint64_t seconds)
{
	struct world *template = shared_memory(sizeof(*template));
	static unsigned points[2][POINTS_MAX];
	unsigned count[2], stride = 1, n = 0, run = 0;
	uint64_t before = findings(), budget = now_usec() + seconds * 1000000;
	char file[400];

	snprintf(file, sizeof(file), "%s", scratch_path("template"));
	world_build(template, pair->base, file);
	if (pair->doctor != NULL) {
		pair->doctor(file);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct set s = begin(template, file);

		count[i] = find_points(s.victim[i], &shared->sides[i].inside, points[i]);
		end(&s);
	}
	if (!campaign_long()) {
		stride = count[0] * count[1] / 23 + 1;
	}
	for (unsigned a = 0; a < count[0]; a++) {
		for (unsigned b = 0; b < count[1] && now_usec() < budget; b++) {
			if (n++ % stride == 0) {
				schedule(template, file, points[0][a], points[1][b]);
				run++;
			}
		}
	}
	printf("  %-18s %-22s %4u x %4u points, %6u schedules, %llu findings\n", pair->a.name,
	       pair->b.name, count[0], count[1], run, (unsigned long long)(findings() - before));
	munmap(template, sizeof(*template));
}

int main(int argc, char **argv)
{
	const char *why = NULL;
	/* For each pair; what does not fit in is not run, and the printed numbers say so. */
	uint64_t seconds = argc > 2 ? strtoull(argv[2], NULL, 10) : 240;

	campaign_begin("interleave", argc, argv);
	if (!step_possible(&why)) {
		return campaign_skip(why);
	}
	shared = shared_memory(sizeof(*shared));
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		pair = &pairs[i];
		campaign_pair(campaign_long() ? seconds : 1);
	}
	return campaign_end();
}

#else

int main(int argc, char **argv)
{
	campaign_begin("interleave", argc, argv);
	return campaign_skip("only x86-64 can find the switch points so far");
}

#endif
