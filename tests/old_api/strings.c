/* SPDX-License-Identifier: MIT */
/*
 * A dynamic map full of strings of all lengths, with the generic calls and the ones of
 * the kind, at an address that the program chooses.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
#include <qthread/qalloc.h>

#define STRINGS 500

int main(void)
{
	char filename[] = "/tmp/qalloc-strings-XXXXXX";
	off_t filesize = (off_t)4 * 1024 * 1024;
	void *wanted = (void *)0x551200000000;
	char **table, **again;
	dynmapinfo_t *map;
	size_t i, length;

	assert(mkstemp(filename) >= 0);
	map = (dynmapinfo_t *)qalloc_makedynmap(filesize, wanted, filename, 3);
	if (map == NULL) {
		fprintf(stderr, "the address is taken: %s\n", filename);
		map = qalloc_makedynmap(filesize, NULL, filename, 3);
	}
	assert(map != NULL);

	table = qalloc_dynmalloc(map, STRINGS * sizeof(char *));
	assert(table != NULL);
	for (i = 0; i < STRINGS; i++) {
		length = i * i % 3000 + 1;
		table[i] = i % 2 ? qalloc_dynmalloc(map, length) : qalloc_malloc(map, length);
		assert(table[i] != NULL);
		memset(table[i], 'a' + (int)(i % 26), length - 1);
		table[i][length - 1] = '\0';
	}
	for (i = 0; i < STRINGS; i += 5) {
		if (i % 2)
			qalloc_free(table[i], map);
		else
			qalloc_dynfree(table[i], map);
		table[i] = NULL;
	}
	qalloc_checkpoint();
	qalloc_cleanup();

	/* Making it once more is loading it. */
	map = qalloc_makedynmap(filesize, NULL, filename, 3);
	assert(map != NULL);
	again = table;
	for (i = 0; i < STRINGS; i++) {
		if (i % 5 == 0) {
			assert(again[i] == NULL);
			continue;
		}
		length = i * i % 3000 + 1;
		assert(strlen(again[i]) == length - 1);
		assert(length == 1 || again[i][length - 2] == 'a' + (int)(i % 26));
		qalloc_free(again[i], map);
	}
	qalloc_free(NULL, map);
	qalloc_free(again, map);
	qalloc_cleanup();
	unlink(filename);
	puts("strings: all there");
	return EXIT_SUCCESS;
}
