/* SPDX-License-Identifier: MIT */
/*
 * Processes with threads churn one map while they are killed at random; at the end
 * the map is whole, no block ever had two owners, and at most the block that each
 * killed thread had in flight is missing.
 *   storm [--seconds S] [--processes P] [--threads T] [--kills] [--static] [--zero]
 *         [--streams N] [--bytes N] [--dir DIR]
 *
 * How it knows: each thread notes its blocks in a table in memory that outlives it, see storm.h.
 *  - A record says what it is about to do before it does it, and OWNED after; so of a killed
 *    thread at most one record is not OWNED, and whoever takes its table over drops that one.
 *  - A block is filled with a pattern that no other block ever has, and read before it
 *    is given up: two owners of one block would see each other's.
 *  - Blocks change hands through mail slots; an unfinished hand-over is taken back.
 *  - Disk space is given back all the while; what is in use has its own.
 *  - With --zero every new block is zero, and so is all that is free at the end.
 *  - A live block at the end without a record OWNED is one that a kill has cost.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/format.h"
#include "storm.h"
#include "storm_master.h"
#include "support.h"
#include "watch.h"

/* Documented: about a second.  What is more than the machine adds is a call that waits longer. */
#define LONGEST_MSEC 2000u
#define STEPS_A_TRIM 256u

static struct {
	size_t seconds, processes, threads, streams, bytes;
	bool kills, fixed, zero;
} how = {.seconds = 10, .processes = 2, .threads = 4, .streams = 3, .bytes = 8 * MIB};

static struct book *book;
static void *map;
static struct qalloc_info made; /* the map, when it was new */
static char path[1024];

struct worker {
	struct table *table;
	uint64_t number; /* of the table */
	unsigned process;
	uint64_t random;
	uint64_t stops, looking; /* in the book, when the call began */
};

_Noreturn void fail(const char *what, const struct record *r)
{
	static const struct record none;
	r = r == NULL ? &none : r;
	fprintf(stderr, "storm: %s: state %zu, offset %zu, %zu bytes, serial %zx; qalloc: %s\n",
		what, r->state, r->offset, r->size, r->serial, qalloc_errmsg());
	_exit(1);
}

/*
 * The watchdog.  A call whose own process was stopped meanwhile says nothing; looks at disk space
 * are short and many, and are taken off.
 */
static void timed_begin(struct worker *w)
{
	w->stops = book->stops[w->process];
	w->looking = book->looking;
	watch_begin();
}

static void timed_end(const struct worker *w)
{
	uint64_t took = watch_end(), longest = book->longest, looked = book->looking - w->looking;
	if (w->stops % 2 != 0 || w->stops != book->stops[w->process])
		return;
	took -= took < looked ? took : looked;
	book->waits += took > 500;
	while (took > longest && !atomic_compare_exchange_weak(&book->longest, &longest, took)) {
	}
}

void expect_intact(const struct record *r)
{
	const void *block = qalloc_address(map, r->offset);
	if (block == NULL || !is_filled(block, r->size, r->serial))
		fail("a block was overwritten", r);
}

/* ---- One step of one thread ------------------------------------------------------ */

static size_t any_size(struct worker *w)
{
	uint64_t choice = next_random(&w->random) % 64;
	if (how.fixed)
		return 200;
	return next_random(&w->random) % (choice == 0 ? 150000 : choice < 4 ? 10000 : 200);
}

static void give_pattern(struct worker *w, struct record *r, void *block, size_t size)
{
	r->serial = w->number << 40 | ++w->table->serials;
	r->size = size;
	r->offset = qalloc_offset(map, block);
	if (r->offset == 0)
		fail("a block outside the map", r);
	fill(block, size, r->serial);
	r->state = OWNED;
}

/* A refusal is fine, if it is one of those that the manual allows. */
static void refused(struct worker *w, struct record *r, uint64_t state)
{
	int error = qalloc_error();
	if (error != QALLOC_EFULL && error != QALLOC_EBUSY && error != QALLOC_ENOSPACE)
		fail("refused for no good reason", r);
	r->state = state;
	w->table->refused++;
}

static void trim(struct worker *w)
{
	timed_begin(w);
	int result = qalloc_trim(map);
	timed_end(w);
	if (result != 0 && qalloc_error() != QALLOC_EBUSY)
		fail("trimming", NULL);
	w->table->trims++;
}

static void allocate(struct worker *w, struct record *r)
{
	size_t size = any_size(w);
	r->state = ALLOCATING;
	timed_begin(w);
	void *block = qalloc_malloc(map, size);
	timed_end(w);
	if (block != NULL && how.zero && !is_zero(block, size))
		fail("a new block is not zero", r);
	block == NULL ? refused(w, r, EMPTY) : give_pattern(w, r, block, size);
}

static void resize(struct worker *w, struct record *r)
{
	size_t size = any_size(w), kept = size < r->size ? size : r->size;
	expect_intact(r);
	r->state = RESIZING;
	timed_begin(w);
	void *block = qalloc_realloc(map, qalloc_address(map, r->offset), size);
	timed_end(w);
	if (block == NULL) {
		refused(w, r, OWNED);
		return;
	}
	if (!is_filled(block, kept, r->serial))
		fail("realloc lost contents", r);
	give_pattern(w, r, block, size);
}

static void release(struct worker *w, struct record *r)
{
	bool freed = false;
	expect_intact(r);
	r->state = FREEING;
	while (!freed) {
		timed_begin(w);
		freed = qalloc_tryfree(qalloc_address(map, r->offset), map) == 0;
		timed_end(w);
		if (!freed && qalloc_error() != QALLOC_EBUSY)
			fail("a live block was not freed", r);
	}
	r->state = EMPTY;
}

static void copy(struct record *to, const struct record *from)
{
	to->offset = from->offset;
	to->size = from->size;
	to->serial = from->serial;
}

static void send_away(struct worker *w, struct record *r)
{
	struct record *mail = &book->mail[next_random(&w->random) % MAILS];
	size_t expected = MAIL_EMPTY;
	r->state = SENDING;
	if (!atomic_compare_exchange_strong(&mail->state, &expected,
					    MAIL_WRITING | w->number << 8)) {
		r->state = OWNED;
		return;
	}
	copy(mail, r);
	mail->state = MAIL_FULL;
	r->state = EMPTY;
}

static void receive(struct worker *w, struct record *r)
{
	struct record *mail = &book->mail[next_random(&w->random) % MAILS];
	size_t expected = MAIL_FULL;
	r->state = RECEIVING;
	if (!atomic_compare_exchange_strong(&mail->state, &expected,
					    MAIL_READING | w->number << 8)) {
		r->state = EMPTY;
		return;
	}
	copy(r, mail);
	r->state = OWNED;
	mail->state = MAIL_EMPTY;
}

static void *churn(void *arg)
{
	struct worker *w = arg;
	while (book->stop == 0 && book->leave[w->process] == 0) {
		struct record *r = &w->table->records[next_random(&w->random) % RECORDS];
		uint64_t choice = next_random(&w->random) % 16;
		if (next_random(&w->random) % STEPS_A_TRIM == 0)
			trim(w);
		else if (r->state == EMPTY)
			choice == 0 ? receive(w, r) : allocate(w, r);
		else if (choice == 0)
			resize(w, r);
		else
			choice == 1 ? send_away(w, r) : release(w, r);
		w->table->steps++;
	}
	return NULL;
}

/* ---- Taking over from a dead thread ----------------------------------------------- */

static struct record *find(struct table *t, uint64_t state, uint64_t serial)
{
	for (size_t i = 0; i < RECORDS; i++) {
		struct record *r = &t->records[i];
		if (r->state == state && (serial == 0 || r->serial == serial))
			return r;
	}
	return NULL;
}

static void finish_mail(struct table *t, uint64_t number)
{
	for (size_t i = 0; i < MAILS; i++) {
		struct record *mail = &book->mail[i];
		if (mail->state == (MAIL_WRITING | number << 8)) {
			struct record *r = find(t, SENDING, 0);
			if (r != NULL)
				r->state = OWNED;
			mail->state = MAIL_EMPTY;
		} else if (mail->state == (MAIL_READING | number << 8)) {
			mail->state = find(t, OWNED, mail->serial) ? MAIL_EMPTY : MAIL_FULL;
		}
	}
}

static void take_over(struct table *t, uint64_t number)
{
	size_t in_flight = 0;
	finish_mail(t, number);
	for (size_t i = 0; i < RECORDS; i++) {
		struct record *r = &t->records[i];
		if (r->state == EMPTY)
			continue;
		if (r->state == OWNED) {
			expect_intact(r);
			continue;
		}
		/* Counted before it is dropped: we may be killed, too. */
		book->resizing += r->state == RESIZING;
		book->in_flight++;
		in_flight++;
		r->state = EMPTY;
	}
	if (in_flight > 1)
		fail("a thread with two steps in flight: an error of this test", NULL);
}

static int process(void *arg)
{
	unsigned number = (unsigned)(uintptr_t)arg;
	pthread_t threads[THREADS_MAX];
	struct worker workers[THREADS_MAX], opener = {.process = number};
	timed_begin(&opener);
	map = qalloc_loadmap(path);
	timed_end(&opener);
	if (map == NULL)
		fail("loading", NULL);
	/* Who shall recover may find somebody stopped inside. */
	timed_begin(&opener);
	int recovered = qalloc_recover(map);
	timed_end(&opener);
	if (recovered != 0 && qalloc_error() != QALLOC_EBUSY)
		fail("recovering", NULL);
	for (unsigned i = 0; i < how.threads; i++) {
		uint64_t table = number * how.threads + i;
		struct table *t = &book->tables[table];
		take_over(t, table);
		workers[i] =
			(struct worker){t, table, number, (table + 1) * 99991 + t->steps, 0, 0};
		if (pthread_create(&threads[i], NULL, churn, &workers[i]) != 0)
			fail("pthread_create", NULL);
	}
	for (unsigned i = 0; i < how.threads; i++)
		pthread_join(threads[i], NULL);
	if (qalloc_cleanup() != 0)
		fail("cleanup", NULL);
	return 0;
}

/* ---- The storm --------------------------------------------------------------------- */

struct tally {
	unsigned kills, leaves, looks, failures;
	struct stops stops;
};

static void kill_one(pid_t *pid, struct tally *tally)
{
	kill(*pid, SIGKILL);
	int result = wait_child(*pid);
	tally->kills += result == SIGNALLED + SIGKILL;
	tally->failures += result != SIGNALLED + SIGKILL;
}

/* All stand still, wherever they are. */
static void look_at_space(const pid_t *pids, struct tally *tally)
{
	uint64_t begin = now_msec();
	for (unsigned i = 0; i < how.processes; i++)
		stop(pids[i]);
	tally->failures += !space_is_there(path, how.zero, &made);
	book->looking += now_msec() - begin;
	for (unsigned i = 0; i < how.processes; i++)
		kill(pids[i], SIGCONT);
	tally->looks++;
}

static void disturb(pid_t *pids, uint64_t *random, struct tally *tally)
{
	unsigned p = (unsigned)(next_random(random) % how.processes);
	uint64_t choice = next_random(random) % 16;
	if (choice == 0) {
		/* All at once: the next one finds a map without a living user. */
		for (unsigned i = 0; i < how.processes; i++)
			kill_one(&pids[i], tally);
		for (unsigned i = 0; i < how.processes; i++)
			pids[i] = start_child(process, (void *)(uintptr_t)i);
		return;
	}
	if (choice == 1) {
		/* A stopped one costs the others its stream and nothing else. */
		book->stops[p]++;
		stop_child(pids[p], path, how.streams, 4, random, &tally->stops);
		if (next_random(random) % 2 == 0) {
			kill(pids[p], SIGCONT);
			book->stops[p]++;
			return;
		}
		book->stops[p]++;
	}
	if (choice == 2) {
		book->leave[p] = 1;
		tally->failures += wait_bounded(pids[p]) != 0;
		tally->leaves++;
		book->leave[p] = 0;
	} else {
		kill_one(&pids[p], tally);
	}
	pids[p] = start_child(process, (void *)(uintptr_t)p);
}

static size_t count_steps(void)
{
	size_t steps = 0;
	for (size_t t = 0; t < TABLES_MAX; t++)
		steps += book->tables[t].steps;
	return steps;
}

static void rage(struct tally *tally)
{
	pid_t pids[PROCESSES_MAX];
	uint64_t random = now_msec() | 1, end = now_msec() + how.seconds * 1000;
	for (unsigned i = 0; i < how.processes; i++)
		pids[i] = start_child(process, (void *)(uintptr_t)i);
	while (now_msec() < end && tally->failures == 0) {
		rest_usec(next_random(&random) % 60000);
		if (next_random(&random) % 8 == 0)
			look_at_space(pids, tally);
		if (how.kills)
			disturb(pids, &random, tally);
		progress("storm", count_steps(), tally->kills, tally->failures);
	}
	book->stop = 1;
	for (unsigned i = 0; i < how.processes; i++)
		tally->failures += wait_bounded(pids[i]) != 0;
}

/* ---- Options ------------------------------------------------------------------------- */

static void read_options(int argc, char **argv)
{
	const struct number numbers[] = {{"--seconds", &how.seconds, 86400},
					 {"--processes", &how.processes, PROCESSES_MAX},
					 {"--threads", &how.threads, THREADS_MAX},
					 {"--streams", &how.streams, QALLOC_STREAMS_MAX},
					 {"--bytes", &how.bytes, (size_t)1 << 40}};
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--kills") == 0) {
			how.kills = true;
		} else if (strcmp(argv[i], "--static") == 0) {
			how.fixed = true;
		} else if (strcmp(argv[i], "--zero") == 0) {
			how.zero = true;
		} else if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc &&
			   scratch_in(argv[i + 1])) {
			i++;
		} else if (!take_number(numbers, 5, argv, &i)) {
			fprintf(stderr, "storm: %s: see the top of storm.c\n", argv[i]);
			exit(2);
		}
	}
}

static void *make_map(void)
{
	uint64_t flags = QALLOC_CREATE | (how.zero ? QALLOC_ZERO_ON_FREE : 0);
	struct qalloc_options options =
		how.fixed ? static_options(flags, how.bytes / 32, 200, how.streams)
			  : dynamic_options(flags, how.bytes, how.streams);
	return qalloc_openmap(path, &options);
}

int main(int argc, char **argv)
{
	struct tally tally = {0};
	struct reckoning all = {.path = path};
	size_t refusals = 0, trims = 0;
	read_options(argc, argv);
	all.fixed = how.fixed;
	all.zero = how.zero;
	scratch_begin(NULL);
	snprintf(path, sizeof(path), "%s", scratch("storm"));
	map = make_map();
	book = mmap(NULL, sizeof(*book), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (map == NULL || book == MAP_FAILED)
		fail("making the map", NULL);
	made = info_of(map);
	if (qalloc_cleanup() != 0)
		fail("closing the new map", NULL);

	rage(&tally);
	if (tally.failures == 0) {
		map = qalloc_loadmap(path);
		reckon(&all, book, map);
	}
	for (size_t t = 0; t < TABLES_MAX; t++) {
		refusals += book->tables[t].refused;
		trims += book->tables[t].trims;
	}
	size_t steps = count_steps();
	size_t allowed = book->in_flight + book->resizing;
	bool good = tally.failures == 0 && book->longest < LONGEST_MSEC && all.lost == 0 &&
		    all.missing <= allowed && steps > 0 && !stops_miss(&tally.stops) &&
		    book->in_flight <= tally.kills * how.threads;
	printf("storm: %zu s, %zu processes of %zu threads, %zu streams, %s map%s\n"
	       "  %zu steps, %zu trims, %zu requests refused, %zu took over 500 ms, the longest "
	       "%zu ms\n"
	       "  %u kills of %zu threads in all, %u departures, %u looks at disk space, %u "
	       "failures\n"
	       "  %u stops, %u of them long, %u of these inside\n"
	       "  %zu blocks owned, %zu of them lost, %zu live without an owner (at most %zu)\n"
	       "%s\nstorm: cases %zu, findings %d\n",
	       how.seconds, how.processes, how.threads, how.streams,
	       how.fixed ? "static" : "dynamic", how.zero ? ", zero on free" : "", steps, trims,
	       refusals, (size_t)book->waits, (size_t)book->longest, tally.kills,
	       tally.kills * how.threads, tally.leaves, tally.looks, tally.failures,
	       tally.stops.all, tally.stops.longs, tally.stops.inside, all.count, all.lost,
	       all.missing, allowed, good ? "whole, and no block had two owners" : "FAILED", steps,
	       !good);
	scratch_end(NULL);
	return good ? 0 : 1;
}
