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
 *  - The short form stops a pair when its time is over, and says "some" instead of "all".  In
 *    the long form, which gives each pair what it needs and more, that is a finding.
 *  - Who comes to wait for the other has no points beyond: there the other goes on.
 *  - Stepping shows every order of instructions, but not the order in which stores become
 *    visible: proofs/model is about that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "interleave.h"
#include "step.h"

#if defined(__x86_64__)

/* Longer than a call waits for a stream before it goes elsewhere. */
#define BLOCKED_USEC 15000u
#define END_USEC 20000000u
#define SHORT_USEC 90000000u
/* What one pair may take. */
#define SHORT_PAIR_USEC 1000000u
#define LONG_PAIR_USEC 1800000000u

/* Of all pairs; shared. */
static struct {
	uint64_t start;
	unsigned offset, whole, partly, states;
} * totals;

static struct shared *shared;
static const struct pair *pair;

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

/* ---- Schedules --------------------------------------------------------------------- */

static const struct act *act_of(unsigned side)
{
	return side == 0 ? &pair->a : &pair->b;
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

/* Both stand still somewhere: the first to its end unless it waits, then the other, then it. */
static void finish(struct victims *s, const char *who)
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
	victims_end(s);
	judge(pair, shared, who);
	run.schedules++;
	campaign_case();
}

static void go_to(struct victims *s, unsigned side, const struct point *p)
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
static void record_further(const struct victims *s, unsigned side)
{
	memset(&here, 0, sizeof(here));
	if (s->victim[side] != 0) {
		victims_record(s, side, &here);
		trail_merge(&foot[side], &here);
	}
}

/* The first stands at its point; the other goes on alone, and then the first. */
static void explore(unsigned a, const struct point *p)
{
	struct victims s = victims_begin();
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
	struct victims s = victims_begin();

	go_to(&s, run.first, pa);
	go_to(&s, 1 - run.first, pb);
	finish(&s, name_of(a, b));
}

/* Size, content and name of a map that is there do not change: only locks and pages do. */
static bool call_matters(uint32_t number)
{
	bool space = (pair->rules & RULE_SPACE) != 0;

	return pair_creates(pair) || number == SYS_fcntl || number == SYS_munmap ||
	       number == SYS_madvise || (space && (number == SYS_fallocate || number == SYS_lseek));
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
	uint64_t now = now_usec();
	/* What is short of time shall get to schedules, too. */
	uint64_t until = campaign_long() ? run.deadline : now + (run.deadline - now) / 2;
	bool any = true;

	while (any && now_usec() < until) {
		any = false;
		for (run.first = 0; run.first < 2; run.first++) {
			any = explore_some(until) || any;
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

/* Each side alone, and after the other. */
static void record_both(void)
{
	for (unsigned first = 0; first < 2; first++) {
		unsigned second = 1 - first;
		struct victims s = victims_begin();

		victims_record(&s, first, &solo[first]);
		victims_record(&s, second, &here);
		victims_end(&s);
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
	victims_prepare(pair, shared);
	record_both();
	run.deadline = now_usec() + usec;
	bool all = run_all();

	if (!all && usec == LONG_PAIR_USEC) {
		finding("%s, %s: not all schedules in %llu s", pair->a.name, pair->b.name,
			(unsigned long long)usec / 1000000);
	}
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
