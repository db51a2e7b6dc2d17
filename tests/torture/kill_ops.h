/* SPDX-License-Identifier: MIT */
/*
 * The calls that victims are killed in.
 */
#ifndef QALLOC_TORTURE_KILL_OPS_H
#define QALLOC_TORTURE_KILL_OPS_H

#include "torture.h"

#define OP_OPENS 1u    /* the call itself opens the map: `map` is NULL */
#define OP_ALONE 2u    /* nobody else is attached, or uses the map, before the kill */
#define OP_SHORT 4u    /* part of the short form */
#define OP_DIRTY 8u    /* an heir that opens a complete map, and repairs at once */
#define OP_REFUSED 16u /* the answer that is wanted is an error */
#define OP_CLOSES 32u  /* `map` is no handle afterwards */
#define OP_FRESH 64u   /* it is the first call of its thread */
#define OP_BURIES 128u /* a failure may have been open: the page of its handle stays */

struct op {
	const char *name;
	enum base base;
	unsigned flags;
	unsigned unknown; /* blocks that a kill in it may leak */
	void (*prepare)(struct world *w, void *map);
	/* The call under test: NULL, or what was wrong with its result. */
	const char *(*call)(struct world *w, void *map);
};

/* What was wrong, with the library's sentence; until the next one. */
const char *said(const char *what);

/* Calls of several tables. */
const char *call_malloc(struct world *w, void *map);
const char *call_malloc_to(struct world *w, void *map);
const char *call_free(struct world *w, void *map); /* of `subject` */
const char *call_setroot(struct world *w, void *map);
const char *call_load(struct world *w, void *map);
const char *call_close(struct world *w, void *map);

extern const struct op kill_ops[];
extern const unsigned kill_ops_count;

/* For maps whose holder died: they inherit, and repair. */
extern const struct op heir_ops[];
extern const unsigned heir_ops_count;

#endif
