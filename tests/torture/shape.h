/* SPDX-License-Identifier: MIT */
/*
 * Maps of several kinds and sizes, for campaigns that do the same with each.
 */
#ifndef QALLOC_TORTURE_SHAPE_H
#define QALLOC_TORTURE_SHAPE_H

#include "../../include/qalloc.h"

struct shape {
	const char *name;
	uint64_t kind;
	off_t filesize;
	size_t itemsize, streams;
	uint64_t flags;
};

/* Opens the map, or makes it; `addr` may be NULL. */
static inline void *shape_open(const struct shape *s, const char *path, void *addr)
{
	struct qalloc_options o = {.size = sizeof(o), .flags = QALLOC_CREATE | s->flags};

	o.kind = s->kind;
	o.filesize = s->filesize;
	o.itemsize = s->itemsize;
	o.streams = s->streams;
	o.addr = addr;
	return qalloc_openmap(path, &o);
}

/* What to ask for: `size` bytes, but an item of a static map. */
static inline size_t shape_size(const struct shape *s, size_t size)
{
	return s->itemsize != 0 ? s->itemsize : size;
}

#endif
