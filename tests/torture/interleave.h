/* SPDX-License-Identifier: MIT */
/*
 * The pairs of calls that are run against each other, their victims, and the judge.
 */
#ifndef QALLOC_TORTURE_INTERLEAVE_H
#define QALLOC_TORTURE_INTERLEAVE_H

#include <stdbool.h>
#include <stdint.h>

#include "points.h"
#include "torture.h"

#define ACT_TAKES 1u /* success is one block more */
#define ACT_FREES 2u /* success is one block less */
#define ACT_OPENS 4u /* the call itself opens the map: `map` is NULL */
#define ACT_FILLS 8u /* it may find the map full */

struct act {
	const char *name;
	unsigned flags;
	void (*prepare)(struct world *w, void *map);
	int (*call)(struct world *w, void *map); /* 1: it succeeded */
};

#define RULE_ONE 1u       /* exactly one of the two succeeds */
#define RULE_NEIGHBOUR 2u /* an idle process has the streams of the base's blocks */
#define RULE_DIRTY 4u     /* somebody is attached at the end: the map is not marked as closed */
#define RULE_SPACE 8u     /* disk space comes and goes: calls that reserve or look for it matter */

struct pair {
	enum base base;
	unsigned rules;
	struct act a, b;
	/* Writes a holder that never was into the file; or NULL. */
	void (*doctor)(const char *path);
	/*
	 * One that attaches first, and is killed after it did this and so many other changes, before
	 * the two begin; or NULL.
	 */
	const struct act *holder;
	uint32_t killed_after, changes_more;
};

extern const struct pair pairs[];
extern const unsigned pairs_count;

/* The map comes into being. */
static inline bool pair_creates(const struct pair *p)
{
	return p->base == BASE_ABSENT || p->base == BASE_EMPTY;
}

/* A block that a call got, in the victim that made it; or NULL. */
struct got {
	const char *at;
	size_t bytes;
};
extern struct got got;

/* How a call went. */
struct side {
	volatile int inside, done;
	int won;   /* the call succeeded */
	int error; /* of one that did not */
	struct got got;
};

/* What all processes of a pair share. */
struct shared {
	struct world w;
	struct side sides[2], holder;
	uint64_t dirty, live;
};

/* ---- interleave_victims.c ----------------------------------------------------- */

/* The two, stopped somewhere, and the neighbour; 0: it is gone. */
struct victims {
	pid_t neighbour, victim[2];
};

/* This pair from now on.  Finds out where its holder dies. */
void victims_prepare(const struct pair *pair, struct shared *shared);

/* All that the pair wants has happened, and its two calls begin. */
struct victims victims_begin(void);

/* Runs one of them alone from where it stands, until its call is over or it waits. */
void victims_record(const struct victims *s, unsigned side, struct trail *t);

void victims_end(struct victims *s);

/* ---- interleave_judge.c ------------------------------------------------------- */

/* Forgets what it has seen: another pair comes. */
void judge_begin(void);

/* Both are at their ends: what they said, and what the map is, must fit. */
void judge(const struct pair *pair, struct shared *shared, const char *who);

/* How many different ends it has seen. */
unsigned judge_states(void);

/* How many calls gave up, because a lock was held too long: on a slow machine some do. */
unsigned judge_busy(void);

#endif
