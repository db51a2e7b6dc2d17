/* SPDX-License-Identifier: MIT */
/*
 * As a new user of qthreads' qalloc(3) would begin: a static map of fixed items that
 * keeps a queue from one run of the program to the next.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
#include <qthread/qalloc.h>

#define FILESIZE ((off_t)4 * 1024 * 1024)

struct job {
	struct job *next;
	long number;
	char title[48];
};

int main(void)
{
	char filename[] = "/tmp/qalloc-queue-XXXXXX";
	struct job *first = NULL, *job;
	void *address;
	mapinfo_t *map;
	long i, sum = 0;

	int fd = mkstemp(filename);
	assert(fd >= 0);
	close(fd);

	map = qalloc_makestatmap(FILESIZE, NULL, filename, sizeof(struct job), 3);
	if (map == NULL) {
		perror("qalloc_makestatmap");
		return EXIT_FAILURE;
	}
	for (i = 1; i <= 1000; i++) {
		job = qalloc_statmalloc(map);
		assert(job != NULL);
		job->number = i;
		job->next = first;
		snprintf(job->title, sizeof(job->title), "job number %ld", i);
		first = job;
	}
	/* Every other job is done. */
	for (job = first; job != NULL && job->next != NULL; job = job->next) {
		struct job *done = job->next;
		job->next = done->next;
		qalloc_statfree(done, map);
	}
	qalloc_checkpoint();
	address = first;
	qalloc_cleanup();

	/* The next run. */
	map = qalloc_loadmap(filename);
	assert(map != NULL);
	for (job = address; job != NULL; job = job->next) {
		assert(strncmp(job->title, "job number", 10) == 0);
		sum += job->number;
	}
	assert(sum == 250500); /* 1000 + 998 + ... + 2 */
	qalloc_cleanup();
	unlink(filename);
	puts("queue: the sum is right");
	return EXIT_SUCCESS;
}
