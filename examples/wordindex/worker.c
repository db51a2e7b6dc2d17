/* SPDX-License-Identifier: MIT */
/*
 * A worker: claims documents, builds editions, publishes them.  It may be killed between any two
 * instructions; then its document is taken over by whoever notices first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wordindex.h"

/* EAGAIN: what is needed was held throughout the bounded wait, say, by a stopped process. */
static void *map_malloc(void *map, size_t size)
{
	void *block;

	do
		block = qalloc_malloc(map, size);
	while (!block && errno == EAGAIN);
	return need_map(block);
}

/* The one word with this text: found, or made and put in front of its bucket. */
static const struct word *intern(const struct store *s, const char *text)
{
	struct word *head, *made = NULL;
	_Atomic(struct word *) *bucket;
	uint32_t hash = 0;

	for (const char *c = text; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 0x9E3779B1u;
	bucket = &s->index->buckets[(hash >> 16) % BUCKET_COUNT];
	head = *bucket;
	do {
		for (struct word *w = head; w; w = w->next) {
			if (strcmp(w->text, text) == 0) {
				qalloc_free(made, s->words); /* another worker was faster */
				return w;
			}
		}
		if (!made)
			made = map_malloc(s->words, sizeof(*made) + strlen(text) + 1);
		made->next = head;
		strcpy(made->text, text);
	} while (!atomic_compare_exchange_weak(bucket, &head, made));
	return made;
}

/* A new edition, which nobody but us can see yet. */
static struct edition *build(const struct store *s, struct worker *me, const char *path)
{
	struct edition *edition = map_malloc(s->words, sizeof(*edition));
	char *text = read_text(path), word[WORD_BYTES];
	struct table t = {0};

	*edition = (struct edition){.first = NULL, .round = me->round};
	for (const char *at = text; next_word(&at, word);)
		table_add(&t, intern(s, word), 0, 1);
	table_merge(&t, by_address);
	for (size_t i = 0; i < t.count; i++) {
		struct posting *p = map_malloc(s->postings, sizeof(*p));

		*p = (struct posting){edition->first, t.rows[i].key, t.rows[i].count};
		edition->first = p;
		me->postings++;
	}
	free(t.rows);
	free(text);
	return edition;
}

/* Frees an edition; most of its blocks were allocated by another process. */
static void discard(const struct store *s, struct edition *edition)
{
	for (struct posting *p = edition ? edition->first : NULL, *next; p; p = next) {
		next = p->next;
		qalloc_free(p, s->postings);
	}
	qalloc_free(edition, s->words);
}

/* Makes one more edition of a document that we hold.  Returns what its claim becomes. */
static uint32_t index_document(const struct store *s, struct worker *me, struct document *d)
{
	struct edition *old = d->edition;
	uint32_t round = old ? old->round : 0;

	if (round < s->index->rounds) {
		me->postings = 0;
		me->round = ++round;
		me->document = (uint32_t)(d - s->index->documents) + 1;
		d->edition = build(s, me, d->path); /* this one store publishes it */
		me->document = 0;
		me->editions++;
		discard(s, old);
	}
	return round < s->index->rounds ? CLAIM_NONE : CLAIM_DONE;
}

/* Whether the document is ours now: nobody had it, or one who is dead. */
static bool claim(const struct index *index, struct document *d, uint32_t number)
{
	uint32_t owner = d->claim;

	if (owner == CLAIM_DONE || (owner != CLAIM_NONE && !index->workers[owner - 1].gone))
		return false;
	if (!atomic_compare_exchange_strong(&d->claim, &owner, number))
		return false;
	if (owner != CLAIM_NONE)
		index->workers[owner - 1].heir = number;
	return true;
}

void work(const struct store *s, uint32_t number)
{
	const struct index *index = s->index;
	uint32_t left = index->document_count, first = number * left / index->worker_count;

	while (left > 0) {
		bool worked = false;

		left = 0;
		for (uint32_t i = 0; i < index->document_count; i++) {
			struct document *d = &index->documents[(first + i) % index->document_count];

			if (claim(index, d, number)) {
				d->claim = index_document(s, &index->workers[number - 1], d);
				worked = true;
			}
			left += d->claim != CLAIM_DONE;
		}
		if (!worked)
			usleep(500); /* others hold what is left, and one of them may die */
	}
}
