/* SPDX-License-Identifier: MIT */
/*
 * What is done before the calls that victims are killed in.
 *
 *  - In the victim, before the first step.  It tells the world which block the call is about:
 *    that one may be there or not.
 *  - The victim's home is stream 1, the blocks of the base are in stream 0.
 */
#ifndef QALLOC_TORTURE_KILL_PREPARE_H
#define QALLOC_TORTURE_KILL_PREPARE_H

#include "torture.h"

/* What is left for the call: a block, or a cell; private to the victim. */
extern void *subject;

void prepare_nothing(struct world *w, void *map);
void prepare_warm(struct world *w, void *map);
void prepare_own(struct world *w, void *map);
void prepare_last_of_span(struct world *w, void *map);
void prepare_remote(struct world *w, void *map);
void prepare_remote_last(struct world *w, void *map);
void prepare_run(struct world *w, void *map);
void prepare_full(struct world *w, void *map);
void prepare_sweep(struct world *w, void *map);
void prepare_larger(struct world *w, void *map);
void prepare_item(struct world *w, void *map);
void prepare_realloc_small(struct world *w, void *map);
void prepare_realloc_remote(struct world *w, void *map);
void prepare_realloc_run(struct world *w, void *map);
void prepare_root_new(struct world *w, void *map);
void prepare_root_change(struct world *w, void *map);
void prepare_root_delete(struct world *w, void *map);
void prepare_cell(struct world *w, void *map);
void prepare_cell_full(struct world *w, void *map);
void prepare_cell_stale(struct world *w, void *map);
void prepare_cell_small(struct world *w, void *map);
void prepare_cell_remote(struct world *w, void *map);
void prepare_cell_last(struct world *w, void *map);
void prepare_cell_run(struct world *w, void *map);
void prepare_cell_item(struct world *w, void *map);
void prepare_move_item(struct world *w, void *map);
void prepare_move_small(struct world *w, void *map);
void prepare_move_remote(struct world *w, void *map);
void prepare_move_run(struct world *w, void *map);
void prepare_cell_root(struct world *w, void *map);
void prepare_move_root(struct world *w, void *map);
void prepare_free_root(struct world *w, void *map);
void prepare_trim(struct world *w, void *map);
void prepare_strays(struct world *w, void *map);
void prepare_dead(struct world *w, void *map);

#endif
