/* SPDX-License-Identifier: MIT */
/*
 * For tests that look into the file of a map: where its tables are, and what spans are.
 *
 *  - Computed by the core from what the map says that it was created with.
 */
#ifndef QALLOC_TEST_LAYOUT_H
#define QALLOC_TEST_LAYOUT_H

#include "../src/format.h"
#include "../src/geo.h"
#include "support.h"

static inline struct geo geometry_of(void *map)
{
	struct qalloc_info info = info_of(map);
	struct params p = {.file_size = info.filesize,
			   .base = (uint64_t)(uintptr_t)info.base,
			   .item_size = info.itemsize,
			   .kind = (uint32_t)info.kind,
			   .streams = (uint32_t)info.streams};
	struct geo g;

	assert_int_equal(geo_compute(&p, &g), QALLOC_OK);
	return g;
}

/* The number of the span that has this offset. */
static inline uint64_t span_of(const struct geo *g, uint64_t off)
{
	return (off - g->data_off) / g->span_bytes;
}

static inline uint64_t span_word(const char *path, const struct geo *g, uint64_t span)
{
	return read_word(path, g->words_off + span * 8);
}

/* The stream that the small block at this offset is in. */
static inline uint64_t stream_of(const char *path, const struct geo *g, uint64_t off)
{
	return span_word(path, g, span_of(g, off)) >> 16 & 0xFFFF;
}

#endif
