/* SPDX-License-Identifier: MIT */
/*
 * Who takes part in a schedule: the two, a holder that is killed before, an idle neighbour.
 * See interleave.h.
 *
 *  - Each schedule begins with a copy of one file, and with processes that are new.
 *  - A victim stands before the first instruction of its call when it has begun.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "interleave.h"
#include "step.h"

/* A lock spins 200 times before it asks whether its holder lives. */
#define LOOKS_ALIVE 12u
#define LOOKS_DEAD 600u

static const struct pair *pair;
static struct shared *shared;
static struct world *template;
static char template_file[400];
static struct point holder_dies;

static void victim_body(void *arg)
{
	struct side *side = arg;
	const struct act *act = side == &shared->holder     ? pair->holder
				: side == &shared->sides[0] ? &pair->a
							    : &pair->b;
	struct world *w = &shared->w;
	void *map = (act->flags & ACT_OPENS) != 0 ? NULL : world_open(w, w->path);

	alarm(300);
	if (map == NULL && (act->flags & ACT_OPENS) == 0) {
		broken("a victim cannot open the map");
	}
	act->prepare(w, map);
	side->inside = 1;
	step_begin();
	side->won = act->call(w, map);
	side->error = side->won ? QALLOC_OK : qalloc_error();
	side->got = got; /* Not touched: that would give it the disk space which it may lack. */
	side->inside = 0;
	side->done = 1;
	/* Who has opened the map stays, so that it is not the other who closes it last. */
	while ((pair->rules & RULE_DIRTY) != 0 && side == &shared->sides[1] &&
	       !shared->sides[0].done) {
		usleep(100);
	}
}

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
		alarm(300);
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

static pid_t start_victim(struct side *side)
{
	pid_t pid = step_start(victim_body, side);

	if (pid < 0) {
		broken("a victim cannot begin");
	}
	return pid;
}

static void begin_world(void)
{
	char path[sizeof(shared->w.path)];

	snprintf(path, sizeof(path), "%s", scratch_path("map"));
	memset(shared->sides, 0, sizeof(shared->sides));
	memset(&shared->holder, 0, sizeof(shared->holder));
	shared->w = *template;
	memcpy(shared->w.path, path, sizeof(path));
	(void)unlink(path);
	if (access(template_file, F_OK) == 0) {
		copy_file(template_file, path);
	}
}

static void record(pid_t victim, const struct side *side, struct trail *t)
{
	bool dead = pair->doctor != NULL || pair->holder != NULL;

	trail_record(victim, &side->inside, shared->w.path, dead ? LOOKS_DEAD : LOOKS_ALIVE, t);
}

/* Where the holder is killed: the point behind the one that its pair names. */
static void record_holder(void)
{
	static struct trail t;

	begin_world();
	pid_t holder = start_victim(&shared->holder);

	record(holder, &shared->holder, &t);
	step_kill(holder);
	for (unsigned i = 0, more = UINT32_MAX; i + 1 < t.count; i++) {
		const struct point *p = &t.point[i];
		bool named = p->what == pair->killed_after &&
			     (p->changes || (p->what & POINT_CALL) != 0);

		if (more == UINT32_MAX && named) {
			more = pair->changes_more;
		} else if (more != UINT32_MAX && p->changes) {
			more--;
		}
		if (more == 0) {
			holder_dies = t.point[i + 1];
			return;
		}
	}
	broken("the holder never does what it is killed after");
}

void victims_prepare(const struct pair *p, struct shared *s)
{
	pair = p;
	shared = s;
	if (template == NULL) {
		template = shared_memory(sizeof(*template));
	}
	snprintf(template_file, sizeof(template_file), "%s", scratch_path("template"));
	world_build(template, pair->base, template_file);
	if (pair->holder != NULL) {
		record_holder();
	}
}

struct victims victims_begin(void)
{
	struct victims s = {.neighbour = 0};
	pid_t holder = 0;

	begin_world();
	if (pair->holder != NULL) {
		holder = start_victim(&shared->holder);
		if (!trail_run_to(holder, &holder_dies)) {
			broken("the holder does not come to where it shall die");
		}
	}
	if ((pair->rules & RULE_NEIGHBOUR) != 0) {
		s.neighbour = start_idle();
	}
	for (unsigned i = 0; i < 2; i++) {
		s.victim[i] = start_victim(&shared->sides[i]);
	}
	if (holder != 0) {
		step_kill(holder);
	}
	if (pair->doctor != NULL) {
		/* After they have attached: who opens a map settles what the dead left. */
		pair->doctor(shared->w.path);
	}
	return s;
}

void victims_record(const struct victims *s, unsigned side, struct trail *t)
{
	record(s->victim[side], &shared->sides[side], t);
}

void victims_end(struct victims *s)
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
