/* SPDX-License-Identifier: MIT */
/*
 * A fresh process, alone with the maps: loads them, answers queries, frees what the root does not
 * reach, and compares the whole index with a plain count in ordinary memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wordindex.h"

#define ASK_WORDS 3u   /* if nobody says what to ask: the most frequent words */
#define ASK_LETTERS 8u /* of at least so many letters */
#define ASK_DOCUMENTS 3u

static void fill_from_index(struct table *t, const struct index *index)
{
	for (uint32_t d = 1; d <= index->document_count; d++) {
		const struct edition *e = index->documents[d - 1].edition;

		for (const struct posting *p = e ? e->first : NULL; p; p = p->next)
			table_add(t, p->word->text, d, p->count);
	}
	table_merge(t, by_text);
}

static void fill_from_texts(struct table *t, const struct index *index)
{
	for (uint32_t d = 1; d <= index->document_count; d++) {
		char *text = read_text(index->documents[d - 1].path), word[WORD_BYTES];

		for (const char *at = text; next_word(&at, word);)
			table_add(t, need(strdup(word), "plain count"), d, 1);
		free(text);
	}
	table_merge(t, by_text);
}

static bool equal(const struct table *a, const struct table *b)
{
	for (size_t i = 0; i < a->count && i < b->count; i++)
		if (by_text(&a->rows[i], &b->rows[i]) || a->rows[i].count != b->rows[i].count)
			return false;
	return a->count == b->count;
}

const char *document_name(const struct index *index, uint32_t number)
{
	const char *path = index->documents[number - 1].path, *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void answer(const struct table *t, const struct index *index, const char *asked)
{
	struct table found = {0};
	char word[WORD_BYTES];

	next_word(&asked, word);
	for (size_t i = 0; i < t->count; i++)
		if (strcmp(t->rows[i].key, word) == 0)
			table_add(&found, NULL, t->rows[i].document, t->rows[i].count);
	table_sort(&found, by_count);
	printf("  %-12s  in %zu of %u documents", word, found.count, index->document_count);
	for (size_t i = 0; i < found.count && i < ASK_DOCUMENTS; i++)
		printf("%s %s %lu", i ? "," : ":", document_name(index, found.rows[i].document),
		       (unsigned long)found.rows[i].count);
	printf("%s\n", found.count > ASK_DOCUMENTS ? ", ..." : "");
	free(found.rows);
}

/* Asks for `ask` of the most frequent long words.  Returns how many different words there are. */
static size_t answer_frequent(const struct table *t, const struct index *index, uint32_t ask)
{
	struct table top = {0};
	size_t words;

	for (size_t i = 0; i < t->count; i++)
		table_add(&top, t->rows[i].key, 0, t->rows[i].count);
	table_merge(&top, by_text);
	words = top.count;
	table_sort(&top, by_count);
	for (size_t i = 0; i < top.count && ask > 0; i++) {
		if (strlen(top.rows[i].key) >= ASK_LETTERS) {
			answer(t, index, top.rows[i].key);
			ask--;
		}
	}
	free(top.rows);
	return words;
}

/* Every block that the root leads to.  Returns how many of them are words. */
static size_t reach(struct table *t, const struct index *index)
{
	size_t words = 0;

	table_add(t, index, 0, 0);
	table_add(t, index->documents, 0, 0);
	table_add(t, index->workers, 0, 0);
	for (size_t i = 0; i < BUCKET_COUNT; i++)
		for (const struct word *w = index->buckets[i]; w; w = w->next, words++)
			table_add(t, w, 0, 0);
	for (uint32_t i = 0; i < index->document_count; i++) {
		const struct edition *e = index->documents[i].edition;

		table_add(t, index->documents[i].path, 0, 0);
		for (const struct posting *p = e ? e->first : NULL; p; p = p->next)
			table_add(t, p, 0, 0);
		if (e)
			table_add(t, e, 0, 0);
	}
	table_merge(t, by_address);
	return words;
}

struct sweep {
	void *map;
	const struct table *reached;
	size_t kept, freed;
};

/* Called by qalloc_walk for each live block. */
static int sweep_block(void *block, size_t size, void *arg)
{
	struct sweep *s = arg;
	struct row key = {.key = block};

	(void)size;
	if (bsearch(&key, s->reached->rows, s->reached->count, sizeof(key), by_address))
		s->kept++;
	else if (qalloc_tryfree(block, s->map) == 0)
		s->freed++;
	return 0;
}

static void complain(const char *finding, void *arg)
{
	(void)arg;
	printf("  %s\n", finding);
}

/* Checks a map, frees what is not reached, and checks again.  Whether all is as it must be. */
static bool sweep_map(struct sweep *s, void *map, const char *name)
{
	struct qalloc_info info = {.size = sizeof(info)};
	size_t before = s->kept;

	s->map = map;
	if (qalloc_check(map, complain, NULL) || qalloc_walk(map, sweep_block, s) ||
	    qalloc_check(map, complain, NULL) || qalloc_mapinfo(map, &info)) {
		printf("  %s: %s\n", name, qalloc_errmsg());
		return false;
	}
	printf("  %-12s  %lu blocks, %lu KiB; file %lu KiB, on disk %lu KiB\n", name,
	       (unsigned long)info.live_blocks, (unsigned long)info.live_bytes / 1024,
	       (unsigned long)info.filesize / 1024, (unsigned long)info.disk_bytes / 1024);
	return info.live_blocks == s->kept - before;
}

static void tell_index(const struct index *index, size_t words, size_t postings)
{
	printf("\n  documents     %u, %lu KiB of text, each indexed %u times by %u processes\n",
	       index->document_count, (unsigned long)(index->text_bytes / 1024), index->rounds,
	       index->worker_count);
	printf("  index         %zu words, %zu postings\n", words, postings);
	for (uint32_t i = 0; i < index->worker_count; i++) {
		const struct worker *w = &index->workers[i];

		if (!w->killed)
			continue;
		printf("  killed        worker %u in %s: %u postings made, none published;\n",
		       i + 1, document_name(index, w->document), w->postings);
		printf("                worker %u took the document over\n", w->heir);
	}
}

static void *load(const char *dir, const char *file)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	return need_map(qalloc_loadmap(path));
}

int query(const char *dir, char **asked, int asked_count)
{
	void *words = load(dir, WORDS_MAP), *postings = load(dir, POSTINGS_MAP);
	const struct index *index = need_map(qalloc_getroot(words, INDEX_ROOT));
	struct table ours = {0}, plain = {0}, reached = {0};
	size_t word_count = reach(&reached, index);
	struct sweep sweep = {.reached = &reached};
	bool same, whole;

	printf("\nA fresh process (pid %d) has loaded the maps and answers:\n", (int)getpid());
	fill_from_index(&ours, index);
	fill_from_texts(&plain, index);
	for (int i = 0; i < asked_count; i++)
		answer(&ours, index, asked[i]);
	same = equal(&ours, &plain);
	same &= answer_frequent(&ours, index, asked_count ? 0 : ASK_WORDS) == word_count;

	tell_index(index, word_count, ours.count);
	whole = sweep_map(&sweep, words, WORDS_MAP);
	whole &= sweep_map(&sweep, postings, POSTINGS_MAP) && sweep.kept == reached.count;
	printf("  leaked        %zu blocks that no root reaches: found by a walk, freed now\n",
	       sweep.freed);
	printf("  check         %s (before and after that)\n", whole ? "clean" : "FAILED");
	printf("  answers equal: %s (each word in each document, against a plain count)\n",
	       same ? "yes" : "NO");
	return qalloc_cleanup() || !whole || !same;
}
