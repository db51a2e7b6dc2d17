/* SPDX-License-Identifier: MIT */
/*
 * Preparations.  See kill_prepare.h.
 */
#include "kill_prepare.h"

#include <fcntl.h>
#include <unistd.h>

#include "../../src/format.h"
#include "../../src/geo.h"
#include "../support.h"

void *subject;

static void *take(struct world *w, void *map, size_t size)
{
	void *block = world_take(w, map, size);

	if (block == NULL) {
		broken("preparing");
	}
	return block;
}

/* The block of which the call disposes. */
static void move(struct world *w, unsigned index)
{
	w->known[index].moving = true;
	subject = w->known[index].at;
}

static void move_last(struct world *w)
{
	move(w, w->count - 1);
}

void prepare_nothing(struct world *w, void *map)
{
	(void)w;
	(void)map;
}

void prepare_warm(struct world *w, void *map)
{
	take(w, map, 24);
	qalloc_free(qalloc_malloc(map, 24), map);
}

void prepare_own(struct world *w, void *map)
{
	take(w, map, 24);
	take(w, map, 24);
	move_last(w);
}

/* The other half of a span that is not the one in use. */
void prepare_last_of_span(struct world *w, void *map)
{
	void *first = qalloc_malloc(map, 2000);

	take(w, map, 2000);
	move_last(w);
	take(w, map, 2000);
	qalloc_free(first, map);
}

void prepare_remote(struct world *w, void *map)
{
	(void)map;
	move(w, 0);
}

/* The block of 600 bytes is alone in its span. */
void prepare_remote_last(struct world *w, void *map)
{
	(void)map;
	move(w, 5);
}

void prepare_run(struct world *w, void *map)
{
	take(w, map, 12000);
	move_last(w);
}

void prepare_full(struct world *w, void *map)
{
	world_fill(w, map, 4096);
	world_fill(w, map, 700);
	world_fill(w, map, 48);
	world_fill(w, map, 16);
}

/* No room but in an empty span of another stream: only the last resort finds it. */
void prepare_sweep(struct world *w, void *map)
{
	world_fill(w, map, 4096);
	qalloc_free(w->known[5].at, map);
	w->known[5] = w->known[--w->count];
}

/* No room but in a span of another stream and a larger class. */
void prepare_larger(struct world *w, void *map)
{
	world_fill(w, map, 4096);
}

void prepare_item(struct world *w, void *map)
{
	take(w, map, ITEM_BYTES);
	move_last(w);
}

void prepare_realloc_small(struct world *w, void *map)
{
	prepare_own(w, map);
	w->content_moves = true;
}

void prepare_realloc_remote(struct world *w, void *map)
{
	prepare_remote(w, map);
	w->content_moves = true;
}

void prepare_realloc_run(struct world *w, void *map)
{
	prepare_run(w, map);
	w->content_moves = true;
}

void prepare_root_new(struct world *w, void *map)
{
	(void)map;
	w->root_moves = true;
	w->root_values[1] = w->known[1].at;
}

void prepare_root_change(struct world *w, void *map)
{
	if (qalloc_setroot(map, "moving", w->known[0].at) != 0) {
		broken("setroot");
	}
	prepare_root_new(w, map);
	w->root_values[0] = w->known[0].at;
}

void prepare_root_delete(struct world *w, void *map)
{
	prepare_root_change(w, map);
	w->root_values[1] = NULL;
}

/* A pointer in a block of its own, in another stream; the pointer of a root has none. */
void prepare_cell(struct world *w, void *map)
{
	(void)map;
	w->publishes = true;
	w->known[2].is_cell = true;
	w->cell = w->known[2].at;
	*w->cell = w->cell_old = NULL;
	w->cell_takes = true;
}

/* The cell refers to the subject, of which the call disposes. */
static void give_subject(struct world *w)
{
	*w->cell = w->cell_old = subject;
	w->cell_takes = false;
	w->cell_gives = true;
}

/* ... or which it moves. */
static void move_subject(struct world *w)
{
	w->cell_gives = false;
	w->cell_takes = w->content_moves = true;
}

void prepare_cell_full(struct world *w, void *map)
{
	prepare_cell(w, map);
	prepare_sweep(w, map);
}

/* The free block to which the cell still refers is the next one. */
void prepare_cell_stale(struct world *w, void *map)
{
	prepare_cell(w, map);
	*w->cell = take(w, map, 24);
	w->count--;
	w->cell_stale = *w->cell;
	qalloc_free(*w->cell, map);
	w->cell_gives = true;
}

void prepare_cell_small(struct world *w, void *map)
{
	prepare_cell(w, map);
	prepare_own(w, map);
	give_subject(w);
}

void prepare_cell_remote(struct world *w, void *map)
{
	prepare_cell(w, map);
	move(w, 1);
	give_subject(w);
}

void prepare_cell_last(struct world *w, void *map)
{
	prepare_cell(w, map);
	prepare_last_of_span(w, map);
	give_subject(w);
}

void prepare_cell_run(struct world *w, void *map)
{
	prepare_cell(w, map);
	prepare_run(w, map);
	give_subject(w);
}

void prepare_cell_item(struct world *w, void *map)
{
	prepare_cell(w, map);
	prepare_item(w, map);
	give_subject(w);
}

void prepare_move_item(struct world *w, void *map)
{
	prepare_cell_item(w, map);
	move_subject(w);
}

void prepare_move_small(struct world *w, void *map)
{
	prepare_cell_small(w, map);
	move_subject(w);
}

void prepare_move_remote(struct world *w, void *map)
{
	prepare_cell_remote(w, map);
	move_subject(w);
}

void prepare_move_run(struct world *w, void *map)
{
	prepare_cell_run(w, map);
	move_subject(w);
}

void prepare_cell_root(struct world *w, void *map)
{
	(void)map;
	w->publishes = w->cell_takes = true;
}

void prepare_move_root(struct world *w, void *map)
{
	prepare_own(w, map);
	if (qalloc_setroot(map, "published", subject) != 0) {
		broken("setroot");
	}
	w->publishes = w->cell_takes = w->content_moves = true;
	w->cell_old = subject;
}

void prepare_free_root(struct world *w, void *map)
{
	prepare_move_root(w, map);
	w->cell_takes = w->content_moves = false;
	w->cell_gives = true;
}

/* Spans that are free, and have their disk space. */
void prepare_trim(struct world *w, void *map)
{
	void *run = qalloc_malloc(map, 9000);

	if (run == NULL) {
		broken("preparing");
	}
	take(w, map, 24);
	fill(run, 9000, 9);
	qalloc_free(run, map);
}

/* Three blocks out of reach: small, in another's stream, a run. */
void prepare_strays(struct world *w, void *map)
{
	prepare_run(w, map);
	prepare_own(w, map);
	move(w, 4);
}

static void put(const struct world *w, uint64_t off, uint64_t value)
{
	int fd = open(w->path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || pwrite(fd, &value, sizeof(value), (off_t)off) != sizeof(value)) {
		broken(w->path);
	}
	close(fd);
}

static uint64_t offset_of(const struct world *w, unsigned index)
{
	return (uint64_t)((char *)w->known[index].at - (char *)MAP_BASE);
}

/* What somebody left who was killed long ago: in a stream, in the pool, in a thread record. */
void prepare_dead(struct world *w, void *map)
{
	const uint64_t dead = (uint64_t)7 << 32 | (uint64_t)9 << OWNER_THREAD_BITS | 1;
	struct geo g;

	base_geometry(w->base, &g);
	prepare_cell(w, map);
	w->cell_takes = false;
	w->cell_gives = true;
	for (unsigned i = 3; i <= 5; i++) {
		move(w, i);
	}
	uint64_t cell = offset_of(w, 2), record = g.records_off + 3 * RECORD_BYTES;

	put(w, STREAMS_OFF + STREAM_INTENT + 8, cell);
	put(w, STREAMS_OFF + STREAM_INTENT, offset_of(w, 4));
	put(w, STREAMS_OFF + STREAM_LOCK + LOCK_OWNER, dead);
	put(w, STATE_INTENT + 8, (offset_of(w, 3) - g.data_off) / g.span_bytes);
	put(w, STATE_INTENT + 16, 2);
	put(w, STATE_INTENT + 24, cell);
	put(w, STATE_INTENT, INTENT_RUN_FREE);
	put(w, STATE_POOL + LOCK_OWNER, dead);
	put(w, record + RECORD_CELL, cell);
	put(w, record + RECORD_BLOCK, offset_of(w, 5));
	put(w, record + RECORD_OWNER, dead);
}
