/* SPDX-License-Identifier: MIT */
/*
 * A signal handler that allocates and frees, at every instruction of every call.
 *
 *  - A victim is stepped through a call.  After each instruction a signal is delivered, and
 *    its handler, at full speed, takes two blocks, and frees those of the handler before.
 *  - In the handler a call may fail with EAGAIN; what could not be freed is freed later.
 *    Nothing may hang, and the interrupted call keeps its result.
 *  - Afterwards exactly the blocks are live that the calls returned: a block that went to the
 *    call and to the handler would be missing.
 *  - The first call in a forked child, which attaches anew, is one of the calls.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support.h"
#include "kill_ops.h"
#include "step.h"

#define PENDING_MAX 64u
#define HANDLER_USEC_MAX 2500000u
#define STEPS_MAX 200000u
/* Up to so many, the signal comes after each step. */
#define EACH_LONG 6000u
#define EACH_SHORT 4000u
/* So many times it comes alone; malloc and free of one block, which are short, get it everywhere. */
#define ALONE_LONG 150u
#define ALONE_SHORT 4u
#define ALONE_EVERYWHERE 4000u

/* Shared with the tracer. */
struct shared {
	struct world w;
	uint64_t handled, refused, pending_left;
	bool failed; /* the interrupted call */
};

static struct shared *shared;
static uint64_t *total_handled; /* by all parts of the campaign */
static void *handler_map;
static void *pending[PENDING_MAX];
static unsigned pending_count;
static void *kept[2]; /* so that each handler changes something */

static void handler_fault(const char *what)
{
	if (shared->w.result == 0) {
		snprintf(shared->w.text, sizeof(shared->w.text), "in the handler: %s: %s", what,
			 qalloc_errmsg());
		shared->w.result = 1;
	}
}

static void give_back(void *block)
{
	if (qalloc_tryfree(block, handler_map) == 0) {
		return;
	}
	shared->refused++;
	if (qalloc_error() != QALLOC_EBUSY) {
		handler_fault("free");
	} else if (pending_count < PENDING_MAX) {
		pending[pending_count++] = block;
	}
}

static void retry_pending(void)
{
	unsigned n = pending_count;

	pending_count = 0;
	for (unsigned i = 0; i < n; i++) {
		give_back(pending[i]);
	}
}

/* Few instructions, because they are stepped. */
static void trap(void)
{
#if defined(__x86_64__)
	__asm__ volatile("int3");
#endif
}

static size_t kept_size(unsigned i)
{
	static const size_t sizes[2] = {24, 6000};

	return base_is_static(shared->w.base) ? ITEM_BYTES : sizes[i];
}

/* What the handler before left. */
static void give_back_kept(unsigned i)
{
	if (kept[i] == NULL) {
		return;
	}
	if (!is_filled(kept[i], kept_size(i), 500 + i)) {
		handler_fault("a block has changed");
	}
	give_back(kept[i]);
	kept[i] = NULL;
}

static void on_signal(int sig)
{
	void *blocks[2];
	int saved = errno;
	uint64_t start = now_usec();

	(void)sig;
	for (unsigned i = 0; i < 2; i++) {
		size_t size = kept_size(i);

		blocks[i] = qalloc_malloc(handler_map, size);
		if (blocks[i] != NULL) {
			fill(blocks[i], size, 500 + i);
		} else if (qalloc_error() != QALLOC_EBUSY && qalloc_error() != QALLOC_EFULL) {
			handler_fault("malloc");
		} else {
			shared->refused++;
		}
	}
	for (unsigned i = 0; i < 2; i++) {
		give_back_kept(i);
		kept[i] = blocks[i];
	}
	retry_pending();
	if (now_usec() - start > HANDLER_USEC_MAX) {
		handler_fault("it took seconds");
	}
	shared->handled++;
	errno = saved;
	trap();
}

static const struct op *op;
static void *inherited; /* the map of the parent, where the victim is a forked child */

static void victim_body(void *arg)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct world *w = &shared->w;
	void *map = inherited;

	(void)arg;
	alarm(120);
	sigaction(SIGUSR1, &action, NULL);
	if (map == NULL) {
		map = world_open(w, w->path);
	}
	if (map == NULL) {
		broken("opening");
	}
	handler_map = map;
	if (inherited == NULL) {
		op->prepare(w, map);
	}
	w->inside = 1;
	step_begin();
	const char *text = op->call(w, map);

	w->inside = 0;
	/* What the handler took may be what the call lacks. */
	shared->failed = text != NULL;
	if (text != NULL && w->result == 0 && qalloc_error() != QALLOC_EFULL &&
	    qalloc_error() != QALLOC_EBUSY) {
		snprintf(w->text, sizeof(w->text), "the interrupted call: %s", text);
		w->result = 1;
	}
	give_back_kept(0);
	give_back_kept(1);
	retry_pending();
	shared->pending_left = pending_count;
	w->done = 1;
}

#if defined(__x86_64__)
static bool place_of(pid_t victim, unsigned long long *pc, unsigned long long *sp)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, victim, NULL, &regs) != 0) {
		return false;
	}
	*pc = regs.rip;
	*sp = regs.rsp;
	return true;
}
#else
static bool place_of(pid_t victim, unsigned long long *pc, unsigned long long *sp)
{
	(void)victim;
	*pc = *sp = 0;
	return false;
}
#endif

/* Whether the signal would wait: then it is not sent. */
static bool signals_blocked(pid_t victim)
{
	uint64_t mask = 0;

	return ptrace(PTRACE_GETSIGMASK, victim, (void *)sizeof(mask), &mask) == 0 &&
	       (mask >> (SIGUSR1 - 1) & 1) != 0;
}

/* Runs the handler up to its trap. */
static bool run_handler(pid_t victim)
{
	int status = 0, sig = SIGUSR1;

	for (;;) {
		if (ptrace(PTRACE_CONT, victim, NULL, (void *)(long)sig) != 0 ||
		    waitpid(victim, &status, __WALL) != victim || !WIFSTOPPED(status)) {
			return false;
		}
		sig = WSTOPSIG(status);
		if (sig == SIGTRAP) {
			return true;
		}
	}
}

/* One step, then the handler, then back to where the step ended.  False: the victim is gone. */
static bool step_and_signal(pid_t victim, bool signal_now)
{
	unsigned long long pc = 0, sp = 0, pc_now = 0, sp_now = 1;

	if (step_once(victim, 0) != STEP_DONE || !place_of(victim, &pc, &sp)) {
		return false;
	}
	if (!signal_now || !shared->w.inside || signals_blocked(victim)) {
		return true;
	}
	if (!run_handler(victim)) {
		return false;
	}
	while (pc_now != pc || sp_now != sp) {
		if (step_once(victim, 0) != STEP_DONE || !place_of(victim, &pc_now, &sp_now)) {
			return false;
		}
	}
	return true;
}

static int count_in_child(const char *path)
{
	void *map = world_open(&shared->w, path);

	return map == NULL ? -1 : (int)count_live(map);
}

static void after(const char *who)
{
	struct world *w = &shared->w;
	unsigned taken = op->unknown + (w->publishes && w->cell_takes);
	unsigned expected = w->count + (shared->failed ? 0 : taken);

	for (unsigned i = 0; i < w->count; i++) {
		expected -= w->known[i].moving && !shared->failed;
	}
	if (w->result != 0) {
		finding("%s: %s", who, w->text);
		return;
	}
	if (shared->pending_left != 0) {
		finding("%s: %llu blocks cannot be freed", who,
			(unsigned long long)shared->pending_left);
		return;
	}
	fflush(stdout);
	pid_t pid = fork();

	if (pid == 0) {
		int live = count_in_child(w->path);

		if (live != (int)expected) {
			finding("%s: %d blocks are live, expected %u", who, live, expected);
		}
		_exit(0);
	}
	expect_well(pid, who);
	w->unknown_max = op->unknown;
	inspect_file(w, w->path, who);
}

struct plan {
	const struct world *template;
	const char *file;
	const char *who;
	bool child;
	uint64_t only;  /* the one step after which a signal comes; 0: after many */
	uint64_t every; /* of these */
	uint64_t steps;
};

static void run(struct plan *p)
{
	struct world *w = &shared->w;
	char path[sizeof(w->path)];
	bool alive = true;

	snprintf(path, sizeof(path), "%s", scratch_path("map"));
	*w = *p->template;
	memcpy(w->path, path, sizeof(path));
	(void)unlink(path);
	copy_file(p->file, path);
	if (p->child) {
		inherited = world_open(w, path);
		op->prepare(w, inherited);
	}
	pid_t victim = step_start(victim_body, NULL);

	if (victim < 0) {
		broken("a victim cannot begin");
	}
	p->steps = 0;
	while (alive && w->inside && p->steps < STEPS_MAX && (p->only == 0 || p->steps < p->only)) {
		p->steps++;
		alive = step_and_signal(victim, p->only == 0 ? p->steps % p->every == 0
							     : p->steps == p->only);
	}
	if (!alive) {
		finding("%s: it hangs, or dies, at step %llu", p->who,
			(unsigned long long)p->steps);
		step_kill(victim);
	} else if (!step_finish(victim, 20000000) || !w->done) {
		finding("%s: after a signal at step %llu it does not end", p->who,
			(unsigned long long)p->steps);
	} else {
		after(p->who);
	}
	campaign_case();
}

/* In a process of its own, because it opens the map that the victim inherits. */
static void run_in_child(struct plan *p)
{
	struct plan *result = shared_memory(sizeof(*result));

	fflush(stdout);
	pid_t pid = fork();

	if (pid == 0) {
		run(p);
		*result = *p;
		_exit(0);
	}
	expect_well(pid, p->who);
	p->steps = result->steps;
	munmap(result, sizeof(*result));
}

static void run_anywhere(struct plan *p)
{
	if (p->child) {
		run_in_child(p);
	} else {
		run(p);
	}
}

static bool is_plain(const struct op *o)
{
	return strncmp(o->name, "malloc, ", 8) == 0 || strncmp(o->name, "free, ", 6) == 0;
}

static void campaign_op(bool child)
{
	struct world *template = shared_memory(sizeof(*template));
	char file[400], who[100];
	struct plan p = {.template = template, .file = file, .who = who, .child = child};
	uint64_t alone = 0, steps = 0, before = findings();

	snprintf(file, sizeof(file), "%s", scratch_path("template"));
	snprintf(who, sizeof(who), "%s%s", child ? "in a child: " : "", op->name);
	world_build(template, op->base, file);
	shared->handled = shared->refused = 0;
	p.only = UINT64_MAX;
	run_anywhere(&p);
	p.only = 0;
	/* Malloc and free are interrupted everywhere; a walk of all records is long and monotonous. */
	p.every = p.steps / (campaign_long() ? EACH_LONG : EACH_SHORT) + 1;
	uint64_t stride = p.steps / (campaign_long() ? ALONE_LONG : ALONE_SHORT) + 1;

	if (campaign_long() && is_plain(op) && p.steps <= ALONE_EVERYWHERE) {
		stride = 1;
	}

	run_anywhere(&p);
	steps = p.steps;
	/* The first handler spares the call its slow ways: so each signal comes once alone, too. */
	for (uint64_t only = 1 + stride / 3; findings() == 0; only += stride) {
		p.only = only;
		run_anywhere(&p);
		alone++;
		if (p.steps < only) {
			break;
		}
	}
	printf("  %-32s %6llu steps, a signal after each %llu, %3llu alone, %6llu handlers, %6llu "
	       "refusals, %llu findings\n",
	       who, (unsigned long long)steps, (unsigned long long)p.every,
	       (unsigned long long)alone, (unsigned long long)shared->handled,
	       (unsigned long long)shared->refused, (unsigned long long)(findings() - before));
	__atomic_fetch_add(total_handled, shared->handled, __ATOMIC_RELAXED);
	munmap(template, sizeof(*template));
}

static void body(unsigned i)
{
	const char *word = campaign_argument(0);

	if (shared == NULL) {
		shared = shared_memory(sizeof(*shared));
	}
	op = &kill_ops[i];
	if ((op->flags & (OP_OPENS | OP_ALONE | OP_CLOSES)) != 0 ||
	    (word != NULL ? strstr(op->name, word) == NULL
			  : !campaign_long() && (op->flags & OP_SHORT) == 0)) {
		return;
	}
	campaign_op(false);
	if (op->call == kill_ops[1].call) {
		campaign_op(true);
	}
}

int main(int argc, char **argv)
{
	const char *why = NULL;

	campaign_begin("signal_step", argc, argv);
#if !defined(__x86_64__)
	return campaign_skip("only x86-64 can step out of a handler so far");
#endif
	if (!step_possible(&why)) {
		return campaign_skip(why);
	}
	total_handled = shared_memory(sizeof(*total_handled));
	campaign_each(kill_ops_count, body);
	printf("  %llu instructions interrupted\n", (unsigned long long)*total_handled);
	return campaign_end();
}
