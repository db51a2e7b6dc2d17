/* SPDX-License-Identifier: MIT */
/*
 * The calls that victims are killed in.  See kill_ops.h.
 */
#include "kill_ops.h"

#include <stdio.h>

#include "../support.h"
#include "kill_prepare.h"

const char *said(const char *what)
{
	static char text[500];

	snprintf(text, sizeof(text), "%s: %s", what, qalloc_errmsg());
	return text;
}

/* Whether what an heir finds has room is not known here. */
static const char *expect_block(const struct world *w, void *map, size_t size)
{
	if (qalloc_malloc(map, size) != NULL || (w->inherited && qalloc_error() == QALLOC_EFULL)) {
		return NULL;
	}
	return said("malloc");
}

const char *call_malloc(struct world *w, void *map)
{
	return expect_block(w, map, 24);
}

static const char *call_malloc_run(struct world *w, void *map)
{
	return expect_block(w, map, base_is_static(w->base) ? ITEM_BYTES : 12000);
}

static const char *call_malloc_none(struct world *w, void *map)
{
	(void)w;
	if (qalloc_malloc(map, 24) != NULL || qalloc_error() != QALLOC_EFULL) {
		return said("a full map's malloc");
	}
	return NULL;
}

static const char *call_aligned(struct world *w, void *map)
{
	(void)w;
	return qalloc_aligned_alloc(map, 16384, 6000) != NULL ? NULL : said("aligned_alloc");
}

static const char *call_calloc(struct world *w, void *map)
{
	(void)w;
	return qalloc_calloc(map, 3, 100) != NULL ? NULL : said("calloc");
}

const char *call_free(struct world *w, void *map)
{
	(void)w;
	return qalloc_tryfree(subject, map) == 0 ? NULL : said("free");
}

static const char *call_realloc(struct world *w, void *map)
{
	(void)w;
	return qalloc_realloc(map, subject, 300) != NULL ? NULL : said("realloc");
}

static const char *call_realloc_run(struct world *w, void *map)
{
	(void)w;
	return qalloc_realloc(map, subject, 17000) != NULL ? NULL : said("realloc");
}

const char *call_malloc_to(struct world *w, void *map)
{
	return qalloc_malloc_to(map, 24, w->cell) != NULL ? NULL : said("malloc_to");
}

static const char *call_malloc_to_run(struct world *w, void *map)
{
	return qalloc_malloc_to(map, 12000, w->cell) != NULL ? NULL : said("malloc_to");
}

static const char *call_free_from(struct world *w, void *map)
{
	return qalloc_free_from(map, w->cell) == 0 ? NULL : said("free_from");
}

static const char *call_realloc_to(struct world *w, void *map)
{
	size_t size = base_is_static(w->base) ? ITEM_BYTES : 256;

	return qalloc_realloc_to(map, size, w->cell) != NULL ? NULL : said("realloc_to");
}

static const char *call_realloc_to_run(struct world *w, void *map)
{
	return qalloc_realloc_to(map, 17000, w->cell) != NULL ? NULL : said("realloc_to");
}

static const char *call_malloc_toroot(struct world *w, void *map)
{
	(void)w;
	return qalloc_malloc_toroot(map, 24, "published") != NULL ? NULL : said("malloc_toroot");
}

static const char *call_realloc_toroot(struct world *w, void *map)
{
	(void)w;
	return qalloc_realloc_toroot(map, 9000, "published") != NULL ? NULL
								     : said("realloc_toroot");
}

const char *call_setroot(struct world *w, void *map)
{
	return qalloc_setroot(map, "moving", w->root_values[1]) == 0 ? NULL : said("setroot");
}

static const char *call_casroot(struct world *w, void *map)
{
	return qalloc_casroot(map, "moving", w->root_values[0], w->root_values[1]) == 0
		       ? NULL
		       : said("casroot");
}

static const char *call_delroot(struct world *w, void *map)
{
	(void)w;
	return qalloc_delroot(map, "moving") == 0 ? NULL : said("delroot");
}

static const char *call_checkpoint(struct world *w, void *map)
{
	(void)w;
	(void)map;
	return qalloc_checkpoint() == 0 ? NULL : said("checkpoint");
}

const char *call_close(struct world *w, void *map)
{
	(void)w;
	return qalloc_closemap(map) == 0 ? NULL : said("closemap");
}

const char *call_load(struct world *w, void *map)
{
	(void)map;
	return qalloc_loadmap(w->path) != NULL ? NULL : said("loadmap");
}

static const char *call_make(struct world *w, void *map)
{
	(void)map;
	return world_open(w, w->path) != NULL ? NULL : said("openmap");
}

static const char *call_check(struct world *w, void *map)
{
	(void)w;
	return qalloc_check(map, NULL, NULL) == 0 ? NULL : said("check");
}

static const char *call_free_fromroot(struct world *w, void *map)
{
	(void)w;
	return qalloc_free_fromroot(map, "published") == 0 ? NULL : said("free_fromroot");
}

static const char *call_trim(struct world *w, void *map)
{
	(void)w;
	return qalloc_trim(map) == 0 ? NULL : said("trim");
}

static const char *call_recover(struct world *w, void *map)
{
	(void)w;
	return qalloc_recover(map) == 0 ? NULL : said("recover");
}

/* Marks all that is to stay, whatever the block. */
static int reach(void *block, size_t size, struct qalloc_marks *marks, void *arg)
{
	const struct world *w = arg;

	(void)block;
	(void)size;
	for (unsigned i = 0; i < w->count; i++) {
		if (!w->known[i].moving && qalloc_mark(marks, w->known[i].at) != 0) {
			return -1;
		}
	}
	return 0;
}

static const char *call_sweep(struct world *w, void *map)
{
	return qalloc_sweep(map, reach, w, NULL) == 0 ? NULL : said("sweep");
}

static int see(void *block, size_t size, void *arg)
{
	(void)block;
	(void)size;
	++*(unsigned *)arg;
	return 0;
}

static const char *call_look(struct world *w, void *map)
{
	struct qalloc_info info = {.size = sizeof(info)};
	unsigned seen = 0;

	if (qalloc_walk(map, see, &seen) != 0 || qalloc_mapinfo(map, &info) != 0) {
		return said("walk and mapinfo");
	}
	return seen >= w->count ? NULL : "walk: blocks are missing";
}

static const char *call_root_heir(struct world *w, void *map)
{
	return qalloc_setroot(map, "heir", w->known[2].at) == 0 ? NULL : said("setroot");
}

const struct op kill_ops[] = {
	{"malloc, room known", BASE_THREE, 0, 1, prepare_warm, call_malloc},
	{"malloc, a span taken", BASE_THREE, OP_SHORT, 1, prepare_nothing, call_malloc},
	{"malloc, one stream", BASE_ONE, 0, 1, prepare_nothing, call_malloc},
	{"malloc, the last resort", BASE_THREE, 0, 1, prepare_sweep, call_malloc},
	{"malloc, a larger class", BASE_THREE, 0, 1, prepare_larger, call_malloc},
	{"malloc, map full", BASE_THREE, OP_REFUSED, 0, prepare_full, call_malloc_none},
	{"malloc of a run", BASE_THREE, 0, 1, prepare_nothing, call_malloc_run},
	{"malloc of a run, one stream", BASE_ONE, OP_SHORT, 1, prepare_nothing, call_malloc_run},
	{"aligned_alloc", BASE_THREE, 0, 1, prepare_nothing, call_aligned},
	{"calloc", BASE_THREE, 0, 1, prepare_nothing, call_calloc},
	{"free, own stream", BASE_THREE, OP_SHORT, 0, prepare_own, call_free},
	{"free, one stream", BASE_ONE, 0, 0, prepare_own, call_free},
	{"free, a span returned", BASE_THREE, OP_SHORT, 0, prepare_last_of_span, call_free},
	{"free, another's stream", BASE_THREE, OP_SHORT, 0, prepare_remote, call_free},
	{"free, another's last", BASE_THREE, 0, 0, prepare_remote_last, call_free},
	{"free of a run", BASE_THREE, OP_SHORT, 0, prepare_run, call_free},
	{"free of a run, one stream", BASE_ONE, 0, 0, prepare_run, call_free},
	{"free, zeroed", BASE_ZERO, 0, 0, prepare_own, call_free},
	{"free of a run, zeroed", BASE_ZERO, 0, 0, prepare_run, call_free},
	{"free, zeroed, another's", BASE_ZERO, 0, 0, prepare_remote, call_free},
	{"free, a span returned, zeroed", BASE_ZERO, 0, 0, prepare_last_of_span, call_free},
	{"realloc, zeroed", BASE_ZERO, 0, 1, prepare_realloc_small, call_realloc},
	{"realloc of a run, zeroed", BASE_ZERO, 0, 1, prepare_realloc_run, call_realloc_run},
	{"realloc", BASE_THREE, 0, 1, prepare_realloc_small, call_realloc},
	{"realloc, another's stream", BASE_THREE, OP_SHORT, 1, prepare_realloc_remote,
	 call_realloc},
	{"realloc of a run", BASE_THREE, 0, 1, prepare_realloc_run, call_realloc_run},
	{"static malloc", BASE_STATIC, OP_SHORT, 1, prepare_nothing, call_malloc},
	{"static free", BASE_STATIC, 0, 0, prepare_item, call_free},
	{"static free, another's", BASE_STATIC, 0, 0, prepare_remote, call_free},
	{"static malloc, zeroed", BASE_STATIC_ZERO, 0, 1, prepare_nothing, call_malloc},
	{"static free, zeroed", BASE_STATIC_ZERO, 0, 0, prepare_item, call_free},
	{"static free, zeroed, another's", BASE_STATIC_ZERO, 0, 0, prepare_remote, call_free},
	{"setroot, new", BASE_THREE, 0, 0, prepare_root_new, call_setroot},
	{"setroot, change", BASE_THREE, 0, 0, prepare_root_change, call_setroot},
	{"casroot, absent", BASE_THREE, 0, 0, prepare_root_new, call_casroot},
	{"casroot, change", BASE_THREE, OP_SHORT, 0, prepare_root_change, call_casroot},
	{"delroot", BASE_THREE, 0, 0, prepare_root_delete, call_delroot},
	{"malloc_to", BASE_THREE, OP_SHORT, 0, prepare_cell, call_malloc_to},
	{"malloc_to, one stream", BASE_ONE, OP_SHORT, 0, prepare_cell, call_malloc_to},
	{"malloc_to, the last resort", BASE_THREE, 0, 0, prepare_cell_full, call_malloc_to},
	{"malloc_to, a stale pointer", BASE_ONE, 0, 0, prepare_cell_stale, call_malloc_to},
	{"malloc_to of a run", BASE_ONE, 0, 0, prepare_cell, call_malloc_to_run},
	{"free_from", BASE_ONE, OP_SHORT, 0, prepare_cell_small, call_free_from},
	{"free_from, another's", BASE_THREE, 0, 0, prepare_cell_remote, call_free_from},
	{"free_from, a span returned", BASE_THREE, 0, 0, prepare_cell_last, call_free_from},
	{"free_from of a run", BASE_ONE, 0, 0, prepare_cell_run, call_free_from},
	{"free_from, zeroed", BASE_ZERO, 0, 0, prepare_cell_small, call_free_from},
	{"free_from of a run, zeroed", BASE_ZERO, 0, 0, prepare_cell_run, call_free_from},
	{"free_from, zeroed, another's", BASE_ZERO, 0, 0, prepare_cell_remote, call_free_from},
	{"realloc_to, zeroed", BASE_ZERO, OP_SHORT, 0, prepare_move_small, call_realloc_to},
	{"realloc_to of a run, zeroed", BASE_ZERO, 0, 0, prepare_move_run, call_realloc_to_run},
	{"realloc_to", BASE_ONE, OP_SHORT, 0, prepare_move_small, call_realloc_to},
	{"realloc_to, another's", BASE_THREE, 0, 0, prepare_move_remote, call_realloc_to},
	{"realloc_to of a run", BASE_ONE, 0, 0, prepare_move_run, call_realloc_to_run},
	{"realloc_to, small to run", BASE_THREE, 0, 0, prepare_move_small, call_realloc_to_run},
	{"realloc_to, run to small", BASE_THREE, 0, 0, prepare_move_run, call_realloc_to},
	{"malloc_toroot", BASE_ONE, 0, 0, prepare_cell_root, call_malloc_toroot},
	{"realloc_toroot", BASE_THREE, 0, 0, prepare_move_root, call_realloc_toroot},
	{"free_fromroot", BASE_THREE, 0, 0, prepare_free_root, call_free_fromroot},
	{"static malloc_to", BASE_STATIC, 0, 0, prepare_cell, call_malloc_to},
	{"static free_from", BASE_STATIC, 0, 0, prepare_cell_item, call_free_from},
	{"static free_from, another's", BASE_STATIC, 0, 0, prepare_cell_remote, call_free_from},
	{"static free_from, zeroed", BASE_STATIC_ZERO, 0, 0, prepare_cell_item, call_free_from},
	{"static realloc_to, from NULL", BASE_STATIC, 0, 0, prepare_cell, call_realloc_to},
	{"static realloc_to, it stays", BASE_STATIC, 0, 0, prepare_move_item, call_realloc_to},
	{"recover", BASE_THREE, OP_SHORT, 0, prepare_dead, call_recover},
	{"recover, zeroed", BASE_ZERO, 0, 0, prepare_dead, call_recover},
	{"sweep", BASE_THREE, OP_ALONE, 0, prepare_strays, call_sweep},
	{"sweep, zeroed", BASE_ZERO, OP_ALONE, 0, prepare_strays, call_sweep},
	{"trim", BASE_THREE, 0, 0, prepare_trim, call_trim},
	{"walk and mapinfo", BASE_THREE, 0, 0, prepare_nothing, call_look},
	{"check", BASE_THREE, 0, 0, prepare_nothing, call_check},
	{"checkpoint", BASE_THREE, 0, 0, prepare_warm, call_checkpoint},
	{"closemap", BASE_THREE, OP_CLOSES, 0, prepare_nothing, call_close},
	{"closemap, the last", BASE_THREE, OP_ALONE | OP_CLOSES, 0, prepare_nothing, call_close},
	{"loadmap, alone", BASE_THREE, OP_OPENS | OP_ALONE, 0, prepare_nothing, call_load},
	{"loadmap", BASE_THREE, OP_OPENS, 0, prepare_nothing, call_load},
	{"make, file absent", BASE_ABSENT, OP_OPENS | OP_ALONE, 0, prepare_nothing, call_make},
	{"make, file empty", BASE_EMPTY, OP_OPENS | OP_ALONE, 0, prepare_nothing, call_make},
};
const unsigned kill_ops_count = sizeof(kill_ops) / sizeof(kill_ops[0]);

const struct op heir_ops[] = {
	{"heir: load", BASE_THREE, OP_OPENS | OP_ALONE | OP_DIRTY, 0, prepare_nothing, call_load},
	{"heir: malloc", BASE_THREE, OP_ALONE, 1, prepare_nothing, call_malloc},
	{"heir: malloc of a run", BASE_THREE, OP_ALONE, 1, prepare_nothing, call_malloc_run},
	{"heir: recover", BASE_THREE, OP_ALONE, 0, prepare_nothing, call_recover},
	{"heir: check", BASE_THREE, OP_ALONE, 0, prepare_nothing, call_check},
	{"heir: setroot", BASE_THREE, OP_ALONE, 0, prepare_nothing, call_root_heir},
	{"heir: make", BASE_EMPTY, OP_OPENS | OP_ALONE, 0, prepare_nothing, call_make},
};
const unsigned heir_ops_count = sizeof(heir_ops) / sizeof(heir_ops[0]);
