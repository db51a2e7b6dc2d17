/* SPDX-License-Identifier: MIT */
/*
 * wordindex: which words stand in which documents, how often.  One index, many processes.
 *
 * words.map, a dynamic map, holds everything but the postings; postings.map, a static one, holds
 * those.  Plain pointers lead through both, also from one map into the other:
 *
 *   root "index" -> index -> buckets   -> word -> word ...
 *                         -> documents -> edition -> posting -> posting ...
 *                         -> workers                   '-> word
 *
 *  - A word is inserted with one compare-and-swap, and stays.
 *  - A document belongs to the worker whose number is its claim.  That one builds a new edition
 *    where nobody sees it and publishes it with one store: a document is indexed or it is not.
 *  - What a killed worker had not published, or not yet freed, is leaked until the next query,
 *    which walks the maps and frees what the root does not reach.
 *
 * Reading order: this file, worker.c, query.c, main.c, text.c.
 */
#ifndef WORDINDEX_H
#define WORDINDEX_H

#include <qalloc.h>
#include <stdatomic.h>
#include <stdbool.h>

#define INDEX_ROOT "index"
#define WORDS_MAP "words.map"
#define POSTINGS_MAP "postings.map"
#define BUCKET_COUNT 8192u
#define CLAIM_NONE 0u         /* else the number of a worker, from 1 */
#define CLAIM_DONE UINT32_MAX /* the last edition is published */

struct word {
	struct word *next;
	char text[];
};

struct posting {
	struct posting *next;
	const struct word *word;
	uint64_t count;
};

struct edition {
	struct posting *first;
	uint32_t round;
};

struct document {
	char *path;
	_Atomic(struct edition *) edition; /* touched only by the worker that has the claim */
	_Atomic uint32_t claim;
};

struct worker {
	int32_t pid;
	bool killed;               /* by the parent, on purpose */
	_Atomic bool gone;         /* reaped: others may take what it had claimed */
	_Atomic uint32_t document; /* that it works on, from 1; 0: none */
	_Atomic uint32_t round;    /* of the edition that it builds */
	_Atomic uint32_t postings; /* of that edition, so far */
	_Atomic uint32_t editions; /* that it has published */
	_Atomic uint32_t heir;     /* the worker that took over its document; 0: none */
};

struct index {
	uint32_t document_count, worker_count, rounds;
	uint64_t text_bytes;
	struct document *documents;
	struct worker *workers;
	_Atomic(struct word *) buckets[BUCKET_COUNT];
};

/* What a process has open. */
struct store {
	void *words, *postings;
	struct index *index;
};

/* worker.c: indexes until every document is done. */
void work(const struct store *s, uint32_t number);

/* query.c: a fresh process.  0 if the maps are whole and the index equals a plain count. */
int query(const char *dir, char **asked, int asked_count);
const char *document_name(const struct index *index, uint32_t number);

/* text.c: everything here is private memory. */
#define WORD_BYTES 64u /* of a word and its NUL; what is longer is cut */
char *read_text(const char *path);
bool next_word(const char **at, char word[WORD_BYTES]);
void *need(void *result, const char *what); /* ends the process if it is NULL */
void *need_map(void *result);               /* the same for what the library returns */

struct row {
	const void *key;   /* a text, or an address of any kind */
	uint32_t document; /* from 1; 0: none */
	uint64_t count;
};

struct table {
	struct row *rows;
	size_t count, room;
};

int by_address(const void *row1, const void *row2);
int by_text(const void *row1, const void *row2);  /* and by document */
int by_count(const void *row1, const void *row2); /* falling */
void table_add(struct table *t, const void *key, uint32_t document, uint64_t count);
void table_sort(struct table *t, int (*order)(const void *, const void *));

/* Sorts, and makes one row of those that `order` calls equal. */
void table_merge(struct table *t, int (*order)(const void *, const void *));

#endif
