/* SPDX-License-Identifier: MIT */
/* Texts into words, and tables that count them: ordinary C, ordinary memory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wordindex.h"

void *need(void *result, const char *what)
{
	if (!result) {
		fprintf(stderr, "wordindex: %s: %s\n", what, strerror(errno));
		exit(1);
	}
	return result;
}

void *need_map(void *result)
{
	if (!result) {
		fprintf(stderr, "wordindex: %s\n", qalloc_errmsg());
		exit(1);
	}
	return result;
}

/* Up to the first NUL, if there is one. */
char *read_text(const char *path)
{
	FILE *file = need(fopen(path, "re"), path);
	size_t room = 1 << 16;
	char *text = need(calloc(room, 1), path);

	if (getdelim(&text, &room, '\0', file) < 0)
		need(feof(file) ? text : NULL, path); /* empty */
	fclose(file);
	return text;
}

/* Letters, digits, and every byte of a longer UTF-8 sequence. */
static bool in_word(char c)
{
	return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c & 128);
}

bool next_word(const char **at, char word[WORD_BYTES])
{
	size_t len = 0;

	while (**at && !in_word(**at))
		(*at)++;
	for (; in_word(**at); (*at)++)
		if (len < WORD_BYTES - 1)
			word[len++] = (char)(**at >= 'A' && **at <= 'Z' ? **at | 32 : **at);
	word[len] = '\0';
	return len > 0;
}

int by_address(const void *row1, const void *row2)
{
	const struct row *a = row1, *b = row2;

	return ((uintptr_t)a->key > (uintptr_t)b->key) - ((uintptr_t)a->key < (uintptr_t)b->key);
}

int by_text(const void *row1, const void *row2)
{
	const struct row *a = row1, *b = row2;
	int order = strcmp(a->key, b->key);

	return order ? order : (a->document > b->document) - (a->document < b->document);
}

int by_count(const void *row1, const void *row2)
{
	const struct row *a = row1, *b = row2;

	return (a->count < b->count) - (a->count > b->count);
}

void table_add(struct table *t, const void *key, uint32_t document, uint64_t count)
{
	if (t->count == t->room) {
		t->room = t->room * 2 + 1024;
		t->rows = need(realloc(t->rows, t->room * sizeof(*t->rows)), "table");
	}
	t->rows[t->count++] = (struct row){key, document, count};
}

void table_sort(struct table *t, int (*order)(const void *, const void *))
{
	if (t->count > 0)
		qsort(t->rows, t->count, sizeof(*t->rows), order);
}

void table_merge(struct table *t, int (*order)(const void *, const void *))
{
	size_t n = 0;

	table_sort(t, order);
	for (size_t i = 0; i < t->count; i++) {
		if (n > 0 && order(&t->rows[n - 1], &t->rows[i]) == 0)
			t->rows[n - 1].count += t->rows[i].count;
		else
			t->rows[n++] = t->rows[i];
	}
	t->count = n;
}
