/* SPDX-License-Identifier: MIT */
/*
 * Kill at every instruction.
 *
 *  - A victim is stepped through each call.  Whenever the metadata of its map differ from
 *    the step before, the file is copied.  A copy has no locks, so its holder is dead:
 *    every distinct copy goes to the inspector.
 *  - For each distinct copy another victim is stepped to the same place and killed while a
 *    neighbour is attached, and the neighbour goes on.
 *  - Copies in which a lock is held, or whose creation is not finished, become the maps of
 *    heirs, who are stepped and killed in the same way while they inherit and repair.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/format.h"
#include "kill_ops.h"
#include "look.h"
#include "state.h"
#include "step.h"

#define STATES_MAX 400u
#define STEPS_MAX 2000000u
#define TRIES_MAX 5u

struct job {
	const struct op *op;
	const char *template_path; /* NULL: no file */
	const struct world *template;
	struct world *w; /* shared with victim and neighbour */
	struct look look;
	struct state states[STATES_MAX];
	unsigned count;
	uint64_t steps;
	uint64_t *places; /* of each step; 0: not known */
};

/* Of a call with its heirs, and of all calls together. */
struct tally {
	uint64_t steps, states, kills, maps;
	uint64_t lost; /* victims that did not come by where they were to be killed, at first */
};

static struct tally *totals; /* shared by all parts of the campaign */
static struct tally tally;
static struct job *jobs; /* the call's, and its heir's */

/* ---- Images ---------------------------------------------------------------- */

static void state_add(struct job *j)
{
	uint64_t hash = look_hash(&j->look);

	for (unsigned i = 0; i < j->count; i++) {
		if (j->states[i].hash == hash) {
			return;
		}
	}
	if (j->count == STATES_MAX) {
		broken("more distinct states than there is room for");
	}
	struct state *s = &j->states[j->count++];

	*s = (struct state){.hash = hash, .step = j->steps};
	state_read(s, j->w->path);
}

/* ---- Victims and neighbours -------------------------------------------------- */

static void victim_body(void *arg)
{
	struct job *j = arg;
	struct world *w = j->w;
	void *map = NULL;

	if ((j->op->flags & OP_OPENS) == 0) {
		map = world_open(w, w->path);
		if (map == NULL) {
			finding("%s: a victim cannot open the map: %s", j->op->name,
				qalloc_errmsg());
			_exit(1);
		}
		j->op->prepare(w, map);
	}
	w->inside = 1;
	step_begin();
	const char *text = j->op->call(w, map);

	w->inside = 0;
	w->result = text != NULL;
	snprintf(w->text, sizeof(w->text), "%s", text == NULL ? "" : text);
	w->done = 1;
}

struct neighbour {
	pid_t pid;
	int go, ready;
};

static bool attaches_first(const struct job *j)
{
	return (j->op->flags & OP_ALONE) == 0;
}

static void neighbour_body(struct job *j, int go, int ready, const char *who)
{
	void *map = attaches_first(j) ? world_open(j->w, j->w->path) : NULL;
	char byte = 0;

	alarm(120);
	if (attaches_first(j) && map == NULL) {
		finding("%s: a neighbour cannot open the map: %s", who, qalloc_errmsg());
	}
	if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1) {
		_exit(0);
	}
	alarm(60);
	uint64_t start = now_usec();

	if (map == NULL) {
		map = world_open(j->w, j->w->path);
	}
	if (map == NULL) {
		finding("%s: the neighbour cannot open the map: %s", who, qalloc_errmsg());
	} else if (now_usec() - start > 2500000) {
		finding("%s: opening took too long", who);
	} else if (j->w->publishes && qalloc_recover(map) != 0) {
		finding("%s: recovering: %s", who, qalloc_errmsg());
	} else if (inspect(j->w, map, who) && qalloc_cleanup() != 0) {
		finding("%s: closing: %s", who, qalloc_errmsg());
	}
	_exit(0);
}

static struct neighbour neighbour_start(struct job *j, const char *who)
{
	struct neighbour n;
	int go[2], ready[2];
	char byte = 0;

	fflush(stdout);
	if (pipe2(go, O_CLOEXEC) != 0 || pipe2(ready, O_CLOEXEC) != 0) {
		broken("pipe");
	}
	n.pid = fork();
	if (n.pid == 0) {
		close(go[1]);
		close(ready[0]);
		neighbour_body(j, go[0], ready[1], who);
	}
	close(go[0]);
	close(ready[1]);
	n.go = go[1];
	n.ready = ready[0];
	if (n.pid < 0 || read(n.ready, &byte, 1) != 1) {
		broken("the neighbour");
	}
	return n;
}

static void neighbour_go_on(struct neighbour *n, const char *who)
{
	char byte = 0;

	if (write(n->go, &byte, 1) != 1) {
		broken("the neighbour");
	}
	expect_well(n->pid, who);
	close(n->go);
	close(n->ready);
}

static void neighbour_end(struct neighbour *n)
{
	step_kill(n->pid);
	close(n->go);
	close(n->ready);
}

/* ---- One call ------------------------------------------------------------------ */

static void world_begin(struct job *j)
{
	char path[sizeof(j->w->path)];

	memcpy(path, j->w->path, sizeof(path));
	*j->w = *j->template;
	memcpy(j->w->path, path, sizeof(path));
	j->w->unknown_max = j->template->unknown_max + j->op->unknown;
	(void)unlink(path);
	if (j->template_path != NULL) {
		struct state s = {.bytes = NULL};

		state_read(&s, j->template_path);
		state_write(&s, path);
		free(s.bytes);
	}
}

/* Steps a victim through the whole call, and collects the distinct states. */
static bool explore(struct job *j)
{
	world_begin(j);
	struct neighbour n = neighbour_start(j, j->op->name);
	pid_t victim = step_start(victim_body, j);

	if (victim < 0) {
		finding("%s: a victim cannot begin", j->op->name);
		neighbour_end(&n);
		return false;
	}
	look_begin(&j->look, j->w, (j->op->flags & OP_OPENS) != 0);
	do {
		if (look_changed(&j->look, j->w->path)) {
			state_add(j);
		}
		j->places[j->steps] = step_place(victim);
		if (step_once(victim, 0) != STEP_DONE) {
			finding("%s: the victim died at step %llu", j->op->name,
				(unsigned long long)j->steps);
			break;
		}
		j->steps++;
	} while (j->w->inside && j->steps < STEPS_MAX);
	if (look_changed(&j->look, j->w->path)) {
		state_add(j);
	}
	look_end(&j->look);
	if (j->steps == STEPS_MAX) {
		finding("%s: more than %llu steps, which are not looked at", j->op->name,
			(unsigned long long)STEPS_MAX);
	}
	if (!step_finish(victim, 2000000) || !j->w->done) {
		finding("%s: does not end", j->op->name);
	} else if (j->w->result != 0) {
		finding("%s: %s", j->op->name, j->w->text);
	}
	neighbour_end(&n);
	return true;
}

/*
 * To where a victim stood before that step; it did the same then.  A breakpoint is quicker than
 * stepping, unless it is in a loop.  False: this one did not come by.
 */
static bool go_to(struct job *j, pid_t victim, uint64_t step)
{
	uint64_t place = step < j->steps ? j->places[step] : 0;
	uint32_t hits = 0;

	for (uint64_t i = 0; place != 0 && i <= step; i++) {
		hits += j->places[i] == place;
	}
	if (place != 0 && hits < step / 8 + 2) {
		return step_run_to(victim, place, hits);
	}
	for (uint64_t i = 0; i < step; i++) {
		if (!j->w->inside || step_once(victim, 0) != STEP_DONE) {
			return false;
		}
	}
	tally.steps += step;
	return true;
}

/* A victim that stands at that step, beside a neighbour.  False: none comes by there. */
static bool bring_to(struct job *j, uint64_t step, struct neighbour *n, pid_t *victim,
		     const char *who)
{
	for (unsigned try = 0; try < TRIES_MAX; try++) {
		world_begin(j);
		*n = neighbour_start(j, who);
		*victim = step_start(victim_body, j);
		if (*victim > 0 && go_to(j, *victim, step)) {
			return true;
		}
		tally.lost++;
		if (*victim > 0) {
			step_kill(*victim);
		}
		neighbour_end(n);
	}
	finding("%s: %u victims did not come there", who, TRIES_MAX);
	return false;
}

/* A victim killed at the first step that shows the state, beside a neighbour. */
static void kill_at(struct job *j, unsigned index)
{
	char who[200];
	struct neighbour n;
	pid_t victim = 0;

	snprintf(who, sizeof(who), "%s, killed at step %llu", j->op->name,
		 (unsigned long long)j->states[index].step);
	if (!bring_to(j, j->states[index].step, &n, &victim, who)) {
		return;
	}
	step_kill(victim);
	tally.kills++;
	neighbour_go_on(&n, who);
	campaign_case();
	/* The neighbour left the map empty. */
	j->w->count = 0;
	j->w->unknown_max = base_is_static(j->w->base) ? UINT32_MAX : 0;
	j->w->root_moves = j->w->content_moves = j->w->publishes = false;
	inspect_file(j->w, j->w->path, who);
}

static void inspect_copies(struct job *j)
{
	char who[200];
	const char *path = scratch_path("copy");

	for (unsigned i = 0; i < j->count; i++) {
		snprintf(who, sizeof(who), "%s, the copy of step %llu", j->op->name,
			 (unsigned long long)j->states[i].step);
		uint64_t before = findings();

		state_write(&j->states[i], path);
		inspect_file(j->w, path, who);
		campaign_case();
		if (findings() != before) {
			char name[64];

			snprintf(name, sizeof(name), "finding-%llu",
				 (unsigned long long)findings());
			state_write(&j->states[i], scratch_path(name));
		}
	}
}

static void job_end(struct job *j)
{
	tally.steps += j->steps;
	tally.states += j->count;
	for (unsigned i = 0; i < j->count; i++) {
		free(j->states[i].bytes);
	}
	j->count = 0;
	j->steps = 0;
}

static bool wants_complete(const struct op *op)
{
	return (op->flags & OP_OPENS) == 0 || (op->flags & OP_DIRTY) != 0;
}

/* The maps that this victim left, for heirs. */
static void inherit(const struct job *dead, struct job *heir)
{
	struct world *left = malloc(sizeof(*left));
	char path[400];

	if (left == NULL) {
		broken("malloc");
	}
	snprintf(path, sizeof(path), "%s", scratch_path("left"));
	for (unsigned i = 0; i < dead->count; i++) {
		const struct state *s = &dead->states[i];

		if (!state_needs_heir(s, dead->w->base)) {
			continue;
		}
		tally.maps++;
		for (unsigned n = 0; n < heir_ops_count; n++) {
			if (wants_complete(&heir_ops[n]) != state_is_complete(s)) {
				continue;
			}
			*left = *dead->w;
			left->inherited = true;
			state_write(s, path);
			if ((heir_ops[n].flags & OP_DIRTY) == 0 && state_is_complete(s)) {
				state_mark_clean(path);
			}
			heir->op = &heir_ops[n];
			heir->template = left;
			heir->template_path = path;
			if (explore(heir)) {
				inspect_copies(heir);
				for (unsigned k = 0; campaign_long() && k < heir->count; k++) {
					kill_at(heir, k);
				}
			}
			job_end(heir);
		}
	}
	free(left);
}

static void campaign_op(struct job *j, struct job *heir, const struct op *op)
{
	struct world *template = shared_memory(sizeof(*template));
	char path[400];
	uint64_t steps = 0;
	unsigned states = 0;

	memset(&tally, 0, sizeof(tally));
	snprintf(path, sizeof(path), "%s", scratch_path("template"));
	world_build(template, op->base, path);
	j->op = op;
	j->template = template;
	j->template_path = path;
	uint64_t before = findings();

	if (explore(j)) {
		struct world *kept = shared_memory(sizeof(*kept));

		*kept = *j->w;
		inspect_copies(j);
		/* In short: every third state is killed for real, and few have heirs. */
		for (unsigned i = 0; i < j->count; i += campaign_long() ? 1 : 3) {
			kill_at(j, i);
		}
		*j->w = *kept;
		if (campaign_long() || op->base == BASE_ONE) {
			inherit(j, heir);
		}
		munmap(kept, sizeof(*kept));
	}
	steps = j->steps;
	states = j->count;
	job_end(j);
	printf("  %-32s %7llu steps %4u states, %3llu left to heirs; with them %9llu steps %5llu "
	       "states %5llu kills %2llu lost %llu findings\n",
	       op->name, (unsigned long long)steps, states, (unsigned long long)tally.maps,
	       (unsigned long long)tally.steps, (unsigned long long)tally.states,
	       (unsigned long long)tally.kills, (unsigned long long)tally.lost,
	       (unsigned long long)(findings() - before));
	__atomic_fetch_add(&totals->steps, tally.steps, __ATOMIC_RELAXED);
	__atomic_fetch_add(&totals->states, tally.states, __ATOMIC_RELAXED);
	__atomic_fetch_add(&totals->kills, tally.kills, __ATOMIC_RELAXED);
	munmap(template, sizeof(*template));
}

static void body(unsigned i)
{
	const char *word = campaign_argument(0);

	/* A word of a call's name selects it. */
	if (word != NULL ? strstr(kill_ops[i].name, word) != NULL
			 : campaign_long() || (kill_ops[i].flags & OP_SHORT) != 0) {
		for (unsigned n = 0; n < 2; n++) {
			if (jobs[n].w == NULL) {
				jobs[n].w = shared_memory(sizeof(struct world));
				jobs[n].places = shared_memory(STEPS_MAX * sizeof(uint64_t));
			}
			snprintf(jobs[n].w->path, sizeof(jobs[n].w->path), "%s",
				 scratch_path(n == 0 ? "map" : "map-of-heir"));
		}
		campaign_op(&jobs[0], &jobs[1], &kill_ops[i]);
	}
}

int main(int argc, char **argv)
{
	const char *why = NULL;

	campaign_begin("kill_step", argc, argv);
	if (!step_possible(&why)) {
		return campaign_skip(why);
	}
	totals = shared_memory(sizeof(*totals));
	jobs = calloc(2, sizeof(*jobs));
	campaign_each(kill_ops_count, body);
	printf("  %llu instructions stepped, %llu distinct states, %llu kills\n",
	       (unsigned long long)totals->steps, (unsigned long long)totals->states,
	       (unsigned long long)totals->kills);
	return campaign_end();
}
