/* SPDX-License-Identifier: MIT */
/*
 * Two processes, one instruction at a time.
 *
 *  - Every schedule "one up to a point, the other up to a point, the one to its end, the other
 *    to its end" is run, whichever of the two is the one: that is every schedule of up to two
 *    switches.  The points of the other are found anew for each point of the one.
 *  - Points are the instructions that touch a word of the metadata which both touch and one
 *    changes, and system calls that others can see.  A switch elsewhere gives the same run as one
 *    at the next point, since what lies between commutes with all that the other does.
 *  - What both touch is not only what they touch alone: each is recorded behind every point of
 *    the other as well, until that adds no more words.
 *  - The short form stops a pair when its time is over, and says "some" instead of "all".
 *  - Who comes to wait for the other has no points beyond: there the other goes on.
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
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/format.h"
#include "../support.h"
#include "interleave.h"
#include "step.h"

#if defined(__x86_64__)

/* Longer than a call waits for a stream before it goes elsewhere. */
#define BLOCKED_USEC 15000u
#define END_USEC 20000000u
#define SHORT_USEC 90000000u
/* What one pair may take. */
#define SHORT_PAIR_USEC 1000000u
#define LONG_PAIR_USEC 900000000u
/* A lock spins 200 times before it asks whether its holder lives. */
#define LOOKS_ALIVE 12u
#define LOOKS_DEAD 600u

/* Of all pairs; shared. */
static struct {
	uint64_t start;
	unsigned offset, whole, partly, states;
} * totals;

static struct shared *shared;
static const struct pair *pair;
static struct world *template;
static char template_file[400];
static struct point holder_dies;

/* What each side does alone, and in all that was seen; and what was recorded last. */
static struct trail solo[2], foot[2], here;

/* A point of the one who is first, and what the other does from there on. */
struct branch {
	bool explored;
	struct point *point;
	unsigned count;
};
static struct branch branches[2][POINTS_MAX];

/* Of the pair. */
static struct {
	unsigned first; /* who: 0 or 1 */
	unsigned schedules, lost;
	unsigned points[2]; /* of each alone, that matter */
	uint64_t deadline;
} run;

/* ---- Victims ------------------------------------------------------------------- */

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
	side->inside = 0;
	side->done = 1;
	/* Who has opened the map stays, so that it is not the other who closes it last. */
	while ((pair->rules & RULE_DIRTY) != 0 && side == &shared->sides[1] &&
	       !shared->sides[0].done) {
		usleep(100);
	}
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

static struct set begin(void)
{
	struct set s = {.neighbour = 0};
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

static bool wait_for(pid_t *victim, uint64_t usec)
{
	uint64_t until = now_usec() + usec;
	int status = 0;

	while (*victim != 0) {
		pid_t pid = waitpid(*victim, &status, __WALL | WNOHANG);

		if (pid == *victim && (WIFEXITED(status) || WIFSIGNALED(status))) {
			*victim = 0;
			return true;
		}
		if (pid == *victim && WIFSTOPPED(status)) {
			(void)ptrace(PTRACE_CONT, *victim, NULL, (void *)(long)WSTOPSIG(status));
		}
		if (now_usec() >= until) {
			return false;
		}
		usleep(50);
	}
	return true;
}

/* ---- Schedules --------------------------------------------------------------------- */

static const struct act *act_of(unsigned side)
{
	return side == 0 ? &pair->a : &pair->b;
}

/* Both stand still somewhere: the first to its end unless it waits, then the other, then it. */
static void finish(struct set *s, const char *who)
{
	pid_t *first = &s->victim[run.first], *other = &s->victim[1 - run.first];

	if (*first != 0) {
		(void)ptrace(PTRACE_CONT, *first, NULL, NULL);
	}
	bool ended = wait_for(first, BLOCKED_USEC);

	if (*other != 0) {
		(void)ptrace(PTRACE_CONT, *other, NULL, NULL);
	}
	if (!wait_for(other, END_USEC) || (!ended && !wait_for(first, END_USEC))) {
		finding("%s: it does not end", who);
	}
	end(s);
	judge(pair, shared, who);
	run.schedules++;
	campaign_case();
}

static void go_to(struct set *s, unsigned side, const struct point *p)
{
	if (!trail_run_to(s->victim[side], p)) {
		s->victim[side] = 0;
		run.lost++;
	}
}

static const char *name_of(unsigned a, unsigned b)
{
	static char who[200];

	snprintf(who, sizeof(who), "%s up to %u, %s up to %u", act_of(run.first)->name, a,
		 act_of(1 - run.first)->name, b);
	return who;
}

/* Also for a victim that is gone: then it did nothing. */
static void record_further(const struct set *s, unsigned side)
{
	memset(&here, 0, sizeof(here));
	if (s->victim[side] != 0) {
		record(s->victim[side], &shared->sides[side], &here);
		trail_merge(&foot[side], &here);
	}
}

/* The first stands at its point; the other goes on alone, and then the first. */
static void explore(unsigned a, const struct point *p)
{
	struct set s = begin();
	struct branch *b = &branches[run.first][a];

	go_to(&s, run.first, p);
	record_further(&s, 1 - run.first);
	b->explored = true;
	b->count = here.count;
	b->point = malloc((here.count + 1) * sizeof(here.point[0]));
	if (b->point == NULL) {
		broken("malloc");
	}
	memcpy(b->point, here.point, here.count * sizeof(here.point[0]));
	record_further(&s, run.first);
	finish(&s, name_of(a, b->count));
}

static void schedule(unsigned a, const struct point *pa, unsigned b, const struct point *pb)
{
	struct set s = begin();

	go_to(&s, run.first, pa);
	go_to(&s, 1 - run.first, pb);
	finish(&s, name_of(a, b));
}

/* Size, content and name of a map that is there do not change: only locks and pages do. */
static bool call_matters(uint32_t number)
{
	return pair_creates(pair) || number == SYS_fcntl || number == SYS_munmap ||
	       number == SYS_madvise;
}

static bool matters(const struct point *p)
{
	return (p->what & POINT_CALL) != 0 ? call_matters(p->what & ~POINT_CALL)
					   : trail_conflict(&foot[0], &foot[1], p->what);
}

static bool is_same(const struct point *p, const struct point *q)
{
	return p->rip == q->rip && p->what == q->what && !p->changes && !q->changes;
}

/* In the middle of a spin, or of a loop that reads a file: its first and last turns stand for it. */
static bool repeats(const struct point *p, unsigned count, unsigned i)
{
	unsigned turn = (p[i].what & POINT_CALL) != 0 ? 2 : 1;

	return i >= turn && i + turn < count && is_same(&p[i], &p[i - turn]) &&
	       is_same(&p[i], &p[i + turn]);
}

/* Which of the points matter; how many. */
static unsigned those_that_matter(const struct point *p, unsigned count, unsigned *which)
{
	unsigned n = 0;

	for (unsigned i = 0; i < count; i++) {
		if (matters(&p[i]) && !repeats(p, count, i)) {
			which[n++] = i;
		}
	}
	return n;
}

static bool time_is_over(void)
{
	return now_usec() >= run.deadline;
}

/* Which of n comes i-th: far from those before, so that what is left out is spread. */
static unsigned spread(unsigned i, unsigned n)
{
	unsigned stride = n * 5 / 8 + 1;

	for (unsigned a = stride, b = n; b != 1; stride++, a = stride, b = n) {
		while (a % b != 0) {
			unsigned rest = a % b;

			a = b;
			b = rest;
		}
		if (b == 1) {
			break;
		}
	}
	return (unsigned)((uint64_t)i * stride % n);
}

/* Each point that matters is explored.  Whether any was. */
static bool explore_some(uint64_t until)
{
	static unsigned which[POINTS_MAX];
	const struct trail *t = &solo[run.first];
	unsigned n = those_that_matter(t->point, t->count, which);
	bool any = false;

	run.points[run.first] = n;
	for (unsigned i = 0; i < n && now_usec() < until; i++) {
		unsigned a = which[spread(i, n)];

		if (!branches[run.first][a].explored) {
			explore(a, &t->point[a]);
			any = true;
		}
	}
	return any;
}

/* Until what both touch is known. */
static bool explore_all(void)
{
	uint64_t now = now_usec(), half = now + (run.deadline - now) / 2;
	bool any = true;

	while (any && now_usec() < half) {
		any = false;
		for (run.first = 0; run.first < 2; run.first++) {
			any = explore_some(half) || any;
		}
	}
	return !any;
}

/* The schedules of one branch.  False: some are left out. */
static bool run_branch(unsigned a)
{
	static unsigned which[POINTS_MAX];
	const struct branch *b = &branches[run.first][a];
	unsigned n = those_that_matter(b->point, b->count, which);
	/* A long pair gets several points of the first in its time, a short one all of both. */
	unsigned share = campaign_long() ? UINT32_MAX : 12;
	unsigned i = 0;

	for (; i < n && i < share && !time_is_over(); i++) {
		unsigned at = which[spread(i, n)];

		schedule(a, &solo[run.first].point[a], at, &b->point[at]);
	}
	return i == n;
}

/* Whether all were run. */
static bool run_all(void)
{
	bool all = explore_all();

	for (run.first = 0; run.first < 2; run.first++) {
		unsigned n = solo[run.first].count;

		for (unsigned i = 0; i < n; i++) {
			unsigned a = spread(i, n);

			if (branches[run.first][a].explored) {
				all = run_branch(a) && all;
			}
		}
	}
	return all;
}

static void forget_branches(void)
{
	for (unsigned side = 0; side < 2; side++) {
		for (unsigned i = 0; i < POINTS_MAX; i++) {
			free(branches[side][i].point);
		}
	}
	memset(branches, 0, sizeof(branches));
}

/* ---- Pairs --------------------------------------------------------------------------- */

/* Where the holder is killed: the point behind the one that its pair names. */
static void record_holder(void)
{
	struct trail *t = &here;

	begin_world();
	pid_t holder = start_victim(&shared->holder);

	record(holder, &shared->holder, t);
	step_kill(holder);
	for (unsigned i = 0, more = UINT32_MAX; i + 1 < t->count; i++) {
		const struct point *p = &t->point[i];
		bool named = p->what == pair->killed_after &&
			     (p->changes || (p->what & POINT_CALL) != 0);

		if (more == UINT32_MAX && named) {
			more = pair->changes_more;
		} else if (more != UINT32_MAX && p->changes) {
			more--;
		}
		if (more == 0) {
			holder_dies = t->point[i + 1];
			return;
		}
	}
	broken("the holder never does what it is killed after");
}

/* Each side alone, and after the other. */
static void record_both(void)
{
	for (unsigned first = 0; first < 2; first++) {
		unsigned second = 1 - first;
		struct set s = begin();

		record(s.victim[first], &shared->sides[first], &solo[first]);
		record(s.victim[second], &shared->sides[second], &here);
		end(&s);
		trail_merge(&foot[first], &solo[first]);
		trail_merge(&foot[second], &here);
	}
}

static void campaign_pair(unsigned number, uint64_t usec)
{
	uint64_t before = findings(), start = now_usec();

	memset(&run, 0, sizeof(run));
	judge_begin();
	memset(foot, 0, sizeof(foot));
	snprintf(template_file, sizeof(template_file), "%s", scratch_path("template"));
	world_build(template, pair->base, template_file);
	if (pair->holder != NULL) {
		record_holder();
	}
	record_both();
	run.deadline = now_usec() + usec;
	bool all = run_all();

	if (all && run.schedules == 0) {
		finding("%s, %s: they never meet", pair->a.name, pair->b.name);
	}
	if (judge_busy() > 5 + run.schedules / 10) {
		finding("%s, %s: %u of %u calls gave up because of a lock", pair->a.name,
			pair->b.name, judge_busy(), 2 * run.schedules);
	}
	if (run.lost > run.schedules / 10) {
		finding("%s, %s: %u of %u schedules were not what they should be", pair->a.name,
			pair->b.name, run.lost, run.schedules);
	}
	printf("  %2u %-22s %-22s %3u of %4u, %3u of %4u points: %s %5u schedules, %5u states, "
	       "%u findings, %u lost, %u busy, %llu s\n",
	       number, pair->a.name, pair->b.name, run.points[0], solo[0].count, run.points[1],
	       solo[1].count, all ? "all" : "some", run.schedules, judge_states(),
	       (unsigned)(findings() - before), run.lost, judge_busy(),
	       (unsigned long long)((now_usec() - start) / 1000000));
	forget_branches();
	__atomic_fetch_add(&totals->states, judge_states(), __ATOMIC_RELAXED);
	__atomic_fetch_add(all ? &totals->whole : &totals->partly, 1, __ATOMIC_RELAXED);
}

static void body(unsigned n)
{
	/* On a slow machine the short form does not get to all: then to others each time. */
	unsigned i = (totals->offset + n) % pairs_count;
	const char *only = campaign_argument(0), *msec = campaign_argument(1);

	if (only != NULL && strcmp(only, "all") != 0 && strtoul(only, NULL, 10) != i) {
		return;
	}
	if (shared == NULL) {
		shared = shared_memory(sizeof(*shared));
		template = shared_memory(sizeof(*template));
	}
	pair = &pairs[i];
	if (!campaign_long() && now_usec() - totals->start > SHORT_USEC) {
		printf("  %2u %-22s %-22s not run, for want of time\n", i, pair->a.name,
		       pair->b.name);
		return;
	}
	campaign_pair(i, msec != NULL      ? strtoull(msec, NULL, 10) * 1000
			 : campaign_long() ? LONG_PAIR_USEC
					   : SHORT_PAIR_USEC);
}

/* Arguments: the number of a pair or "all", and milliseconds for each pair. */
int main(int argc, char **argv)
{
	const char *why = NULL;

	campaign_begin("interleave", argc, argv);
	if (!step_possible(&why)) {
		return campaign_skip(why);
	}
	totals = shared_memory(sizeof(*totals));
	totals->start = now_usec();
	totals->offset = campaign_long() ? 0 : (unsigned)getpid() % pairs_count;
	campaign_each(pairs_count, body);
	printf("  %u pairs whole, %u partly, %u distinct ends\n", totals->whole, totals->partly,
	       totals->states);
	return campaign_end();
}

#else

int main(int argc, char **argv)
{
	campaign_begin("interleave", argc, argv);
	return campaign_skip("only x86-64 can find the switch points so far");
}

#endif
