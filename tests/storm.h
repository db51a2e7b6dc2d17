/* SPDX-License-Identifier: MIT */
/*
 * What the threads of the storm note, and who compares it with the map at the end.  See storm.c.
 */
#ifndef QALLOC_TEST_STORM_H
#define QALLOC_TEST_STORM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../include/qalloc.h"

#define PROCESSES_MAX 32
#define THREADS_MAX 32
#define TABLES_MAX (PROCESSES_MAX * THREADS_MAX)
#define RECORDS 256u
#define MAILS 64u

enum { EMPTY, OWNED, ALLOCATING, FREEING, RESIZING, SENDING, RECEIVING };
/* A mail slot that somebody is at has, above the lowest byte, the number of the table. */
enum { MAIL_EMPTY, MAIL_FULL, MAIL_WRITING, MAIL_READING };

struct record {
	_Atomic size_t state;
	size_t offset, size, serial;
};

struct table {
	struct record records[RECORDS];
	_Atomic uint64_t serials; /* patterns handed out */
	_Atomic uint64_t steps, refused, trims;
};

struct book {
	_Atomic uint64_t stop; /* all of them, or ... */
	_Atomic uint64_t leave[PROCESSES_MAX];
	_Atomic uint64_t in_flight; /* records that killed threads left unfinished */
	_Atomic uint64_t resizing;  /* of these, in qalloc_realloc(): it has two blocks in flight */
	_Atomic uint64_t longest;   /* milliseconds that one call took */
	_Atomic uint64_t looking;   /* milliseconds in which all stood still for a look */
	_Atomic uint64_t waits;     /* calls that took more than half a second */
	_Atomic uint64_t stops[PROCESSES_MAX]; /* odd: it is stopped, or will be at once */
	struct record mail[MAILS];
	struct table tables[TABLES_MAX];
};

/* Ends the process: what is wrong, and with which block; NULL: with none. */
_Noreturn void fail(const char *what, const struct record *r);

/* The block of a record has its pattern, in the map that the process has open. */
void expect_intact(const struct record *r);

/* ---- storm_reckon.c --------------------------------------------------------- */

struct reckoning {
	const char *path;
	bool fixed, zero;
	void *map;
	const struct record **owned; /* by offset */
	size_t count, next;
	size_t missing; /* live, and nobody owns them */
	size_t lost;    /* owned, and not live */
};

/*
 * Nobody is at work any more: compares what the map has with what the book says, and empties the
 * map.  Ends the process if a block is damaged or has two owners, or the map is not whole.
 */
void reckon(struct reckoning *all, const struct book *book, void *map);

/*
 * All stand still: what is in use has its disk space.  Not runs of a map that zeroes on free: a
 * kill between dropping the pages of one and its end leaves it live, and without.
 */
bool space_is_there(const char *path, bool zero, const struct qalloc_info *info);

#endif
