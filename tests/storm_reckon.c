/* SPDX-License-Identifier: MIT */
/*
 * The reckoning after the storm.  See storm.h.
 */
#include "storm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "space.h"
#include "support.h"

static int by_offset(const void *a, const void *b)
{
	uint64_t x = (*(const struct record *const *)a)->offset;
	uint64_t y = (*(const struct record *const *)b)->offset;
	return (x > y) - (x < y);
}

/* Live blocks come in the order of their addresses, like the records. */
static int compare(void *block, size_t size, void *arg)
{
	struct reckoning *all = arg;
	uint64_t offset = qalloc_offset(all->map, block);
	while (all->next < all->count && all->owned[all->next]->offset < offset) {
		all->lost++;
		all->next++;
	}
	if (all->next == all->count || all->owned[all->next]->offset != offset) {
		all->missing++;
		return 0;
	}
	const struct record *r = all->owned[all->next++];
	expect_intact(r);
	if (r->size > size)
		fail("a block is shorter than it was", r);
	return 0;
}

static void collect(struct reckoning *all, const struct record *r, size_t count, uint64_t state)
{
	for (; count > 0; count--, r++) {
		if (r->state == state)
			all->owned[all->count++] = r;
	}
}

static int free_block(void *block, size_t size, void *arg)
{
	(void)size;
	return qalloc_tryfree(block, arg);
}

bool space_is_there(const char *path, bool zero, const struct qalloc_info *info)
{
	const struct params p = {.file_size = info->filesize,
				 .base = (uint64_t)(uintptr_t)info->base,
				 .item_size = info->itemsize,
				 .kind = (uint32_t)info->kind,
				 .streams = (uint32_t)info->streams};
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint64_t span = 0;
	struct geo g;
	bool there = fd >= 0 && geo_compute(&p, &g) == QALLOC_OK &&
		     spans_have_space(fd, &g, zero, &span);
	if (!there)
		fprintf(stderr, "storm: span %zu is in use, and lacks disk space\n", (size_t)span);
	close(fd);
	return there;
}

/* Emptied, the map is as large as a new one; and zero, if it shall be. */
static void expect_empty(const struct reckoning *all)
{
	struct qalloc_info info = info_of(all->map);
	size_t blocks = all->fixed ? info.blocks_max : 1;
	size_t bytes = all->fixed ? info.itemsize : info.data_bytes;
	for (size_t i = 0; i < blocks; i++) {
		void *block = qalloc_malloc(all->map, bytes);
		if (block == NULL)
			fail("the emptied map has not all its room", NULL);
		if (all->zero && !is_zero(block, bytes))
			fail("the emptied map is not zero", NULL);
	}
}

void reckon(struct reckoning *all, const struct book *book, void *map)
{
	all->map = map;
	if (map == NULL || qalloc_check(map, print_finding, NULL) != 0)
		fail("the map is not whole", NULL);
	struct qalloc_info info = info_of(map);
	if (!space_is_there(all->path, all->zero, &info))
		fail("at the end", NULL);
	all->owned = calloc(MAILS + TABLES_MAX * RECORDS, sizeof(all->owned[0]));
	if (all->owned == NULL)
		fail("calloc", NULL);
	collect(all, book->mail, MAILS, MAIL_FULL);
	for (size_t t = 0; t < TABLES_MAX; t++)
		collect(all, book->tables[t].records, RECORDS, OWNED);
	qsort(all->owned, all->count, sizeof(all->owned[0]), by_offset);
	for (size_t i = 1; i < all->count; i++) {
		if (all->owned[i]->offset == all->owned[i - 1]->offset)
			fail("two records own one block", all->owned[i]);
	}
	if (qalloc_walk(map, compare, all) != 0)
		fail("walking", NULL);
	all->lost += all->count - all->next;
	free(all->owned);
	if (qalloc_walk(map, free_block, map) != 0 || count_live(map) != 0 ||
	    qalloc_check(map, print_finding, NULL) != 0)
		fail("the map cannot be emptied", NULL);
	expect_empty(all);
}
