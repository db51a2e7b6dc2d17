/* SPDX-License-Identifier: MIT */
/*
 * For tests that look into the file of a map: where its tables are.
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

#endif
