/* SPDX-License-Identifier: MIT */
/*
 * What is run against what.  See interleave.h.
 *
 *  - prepare() runs in the victim before the first step; the one of `a` comes first, and what it
 *    puts into the world is there for the one of `b`.
 *  - The blocks of the base are in stream 0, which is the home of the first process.
 */
#include "interleave.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../src/format.h"
#include "../../src/span.h"

static void *subject;
struct got got;

static bool took(const void *block, size_t bytes)
{
	got = (struct got){.at = block, .bytes = bytes};
	return block != NULL;
}

static void nothing(struct world *w, void *map)
{
	(void)w;
	(void)map;
}

static void move(struct world *w, unsigned index)
{
	w->known[index].moving = true;
	subject = w->known[index].at;
}

static void the_first(struct world *w, void *map)
{
	(void)map;
	move(w, 0);
}

static void the_fifth(struct world *w, void *map)
{
	(void)map;
	move(w, 4);
}

/* Alone in its span. */
static void the_lonely(struct world *w, void *map)
{
	(void)map;
	move(w, 5);
}

static void the_run(struct world *w, void *map)
{
	(void)map;
	move(w, 3);
}

/* Two blocks that have a span for themselves, which is not the one in use. */
static void half_a_span(struct world *w, void *map)
{
	for (unsigned i = 0; i < 3; i++) {
		if (world_take(w, map, 2000) == NULL) {
			broken("preparing");
		}
	}
	move(w, w->count - 3);
}

static void the_other_half(struct world *w, void *map)
{
	(void)map;
	move(w, w->count - 2);
}

/* All is taken but what the other frees. */
static void fill_up(struct world *w, void *map)
{
	world_fill(w, map, 4096);
	world_fill(w, map, 700);
	world_fill(w, map, 48);
	world_fill(w, map, 16);
}

/* No span is free: one comes back when the other frees what is alone in it. */
static void take_spans(struct world *w, void *map)
{
	world_fill(w, map, 4096);
}

static int do_malloc_span(struct world *w, void *map)
{
	(void)w;
	return qalloc_malloc(map, 4096) != NULL;
}

static int do_malloc(struct world *w, void *map)
{
	(void)w;
	return qalloc_malloc(map, 24) != NULL;
}

/* No span has blocks of that size yet. */
static int do_malloc_new(struct world *w, void *map)
{
	(void)w;
	return took(qalloc_malloc(map, 2000), 2000);
}

static int do_malloc_run(struct world *w, void *map)
{
	(void)w;
	return took(qalloc_malloc(map, 12000), 12000);
}

/* As long as the first run of the base. */
static int do_malloc_same(struct world *w, void *map)
{
	(void)w;
	return took(qalloc_malloc(map, 8000), 8000);
}

static int do_turn(struct world *w, void *map)
{
	void *block = qalloc_malloc(map, 12000);

	(void)w;
	while (block != NULL && qalloc_tryfree(block, map) != 0) {
		if (qalloc_error() != QALLOC_EBUSY) {
			return 0;
		}
	}
	return block != NULL;
}

static int do_trim(struct world *w, void *map)
{
	(void)w;
	return qalloc_trim(map) == 0;
}

/* There is room for one of them. */
static int do_malloc_large(struct world *w, void *map)
{
	(void)w;
	return qalloc_malloc(map, 20000) != NULL;
}

static int do_free(struct world *w, void *map)
{
	(void)w;
	return qalloc_tryfree(subject, map) == 0;
}

static int do_root(struct world *w, void *map)
{
	return qalloc_casroot(map, "new", NULL, w->known[1].at) == 0;
}

static int do_open(struct world *w, void *map)
{
	map = world_open(w, w->path);
	return map != NULL && qalloc_malloc(map, 24) != NULL;
}

static int do_open_run(struct world *w, void *map)
{
	map = world_open(w, w->path);
	return map != NULL && qalloc_malloc(map, 12000) != NULL;
}

static int do_close(struct world *w, void *map)
{
	(void)w;
	return qalloc_closemap(map) == 0;
}

/* Each side has a pointer of its own, and so had the dead. */
static void **cell;

static void give_cell(struct world *w, unsigned index, unsigned subject_index)
{
	w->known[index].is_cell = true;
	cell = w->known[index].at;
	*cell = w->known[subject_index].at;
}

static void a_pointer(struct world *w, void *map)
{
	(void)map;
	give_cell(w, 9, 0);
	w->known[0].moving = true;
}

static void another_pointer(struct world *w, void *map)
{
	(void)map;
	give_cell(w, 10, 1);
	w->known[1].moving = true;
}

static void an_empty_pointer(struct world *w, void *map)
{
	(void)map;
	give_cell(w, 10, 1);
	*cell = NULL;
}

static void pointer_of_the_dead(struct world *w, void *map)
{
	(void)map;
	give_cell(w, 2, 4);
}

static int do_malloc_to(struct world *w, void *map)
{
	(void)w;
	return qalloc_malloc_to(map, 24, cell) != NULL;
}

static int do_free_from(struct world *w, void *map)
{
	(void)w;
	return qalloc_free_from(map, cell) == 0;
}

static int do_realloc_to(struct world *w, void *map)
{
	(void)w;
	return qalloc_realloc_to(map, 256, cell) != NULL;
}

static int do_recover(struct world *w, void *map)
{
	(void)w;
	return qalloc_recover(map) == 0;
}

/* ---- Holders that never come back --------------------------------------------------- */

static void put(const char *path, uint64_t off, uint64_t value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || pwrite(fd, &value, sizeof(value), (off_t)off) != sizeof(value)) {
		broken(path);
	}
	close(fd);
}

#define DEAD_OWNER ((uint64_t)7 << 32 | (uint64_t)9 << 20 | 1)

static void dead_in_stream(const char *path)
{
	put(path, STREAMS_OFF, DEAD_OWNER);
}

/* Of the slot that the next process takes. */
static void dead_in_stream_of_next(const char *path)
{
	put(path, STREAMS_OFF, (uint64_t)1 << 32 | (uint64_t)2 << 20 | 1);
}

static void dead_in_pool(const char *path)
{
	put(path, STATE_POOL, DEAD_OWNER);
	put(path, STATE_INTENT, INTENT_RUN_TAKE);
	put(path, STATE_INTENT + 8, 12);
	put(path, STATE_INTENT + 16, 3);
	put(path, STATE_FRONTIER, 15);
	put(path, 0x12000 + 14 * 8, SPAN_TAIL);
	put(path, 0x12000 + 13 * 8, SPAN_TAIL);
}

/* ---- Pairs ------------------------------------------------------------------------------ */

/* clang-format off */
#define MALLOC {"malloc", ACT_TAKES, nothing, do_malloc}
#define MALLOC_RUN {"malloc of a run", ACT_TAKES, nothing, do_malloc_run}
#define MALLOC_LARGE {"malloc of the rest", ACT_TAKES | ACT_FILLS, nothing, do_malloc_large}
#define MALLOC_FULL {"malloc when full", ACT_TAKES | ACT_FILLS, fill_up, do_malloc}
#define MALLOC_SPAN {"malloc of a span", ACT_TAKES | ACT_FILLS, take_spans, do_malloc_span}
#define FREE {"free", ACT_FREES, the_first, do_free}
#define FREE_FIFTH {"free of a neighbour", ACT_FREES, the_fifth, do_free}
#define FREE_LAST {"free of a span's last", ACT_FREES, the_lonely, do_free}
#define FREE_HALF {"free of half a span", ACT_FREES, half_a_span, do_free}
#define FREE_OTHER_HALF {"free of the other half", ACT_FREES, the_other_half, do_free}
#define FREE_RUN {"free of a run", ACT_FREES, the_run, do_free}
#define ROOT {"casroot", 0, nothing, do_root}
#define MAKE {"make", ACT_TAKES | ACT_OPENS, nothing, do_open}
#define LOAD {"load, malloc", ACT_TAKES | ACT_OPENS, nothing, do_open}
#define LOAD_RUN {"load, malloc of a run", ACT_TAKES | ACT_OPENS, nothing, do_open_run}
#define CLOSE {"closemap", 0, nothing, do_close}
#define MALLOC_TO {"malloc_to", ACT_TAKES, an_empty_pointer, do_malloc_to}
#define FREE_FROM {"free_from", ACT_FREES, a_pointer, do_free_from}
#define FREE_FROM_TOO {"free_from of another", ACT_FREES, another_pointer, do_free_from}
#define MOVE {"realloc_to", ACT_TAKES | ACT_FREES, a_pointer, do_realloc_to}
#define MOVE_TOO {"realloc_to of another", ACT_TAKES | ACT_FREES, another_pointer, do_realloc_to}
#define MOVE_DEAD {"realloc_to, killed", ACT_TAKES | ACT_FREES, pointer_of_the_dead, do_realloc_to}
#define RECOVER {"recover", 0, nothing, do_recover}
#define MALLOC_NEW {"malloc in a new span", ACT_TAKES, nothing, do_malloc_new}
#define MALLOC_SAME {"malloc of such a run", ACT_TAKES, nothing, do_malloc_same}
#define TURN {"malloc, free of a run", 0, nothing, do_turn}
#define TRIM {"trim", 0, nothing, do_trim}
/* clang-format on */

static const struct act holds_stream = MALLOC;
static const struct act holds_pool = MALLOC_RUN;
static const struct act creates = MAKE;
static const struct act holds_record = MOVE_DEAD;
static const struct act trims = TRIM;

#define IN_STREAM (STREAMS_OFF / 8)
#define IN_INTENT ((STREAMS_OFF + STREAM_INTENT) / 8)
#define IN_POOL (STATE_INTENT / 8)
#define SIZED (POINT_CALL | SYS_ftruncate)
#define TRIMS (STATE_TRIMS / 8)
#define DROPPED (POINT_CALL | SYS_madvise)

#define BESIDE RULE_NEIGHBOUR
#define SPACE RULE_SPACE

const struct pair pairs[] = {
	/* malloc against a remote free in the same span; the home of both; both new */
	{BASE_THREE, 0, MALLOC, FREE, NULL, NULL, 0, 0},
	{BASE_ONE, 0, MALLOC, FREE, NULL, NULL, 0, 0},
	{BASE_ONE, 0, MALLOC, MALLOC, NULL, NULL, 0, 0},
	{BASE_THREE, BESIDE, MALLOC, MALLOC, NULL, NULL, 0, 0},
	{BASE_STATIC, 0, MALLOC, FREE, NULL, NULL, 0, 0},
	/* two remote frees: of one block, of two in one word, of one run */
	{BASE_THREE, BESIDE | RULE_ONE, FREE, FREE, NULL, NULL, 0, 0},
	{BASE_THREE, BESIDE, FREE, FREE_FIFTH, NULL, NULL, 0, 0},
	{BASE_THREE, 0, FREE, FREE_FIFTH, NULL, NULL, 0, 0},
	{BASE_THREE, BESIDE | RULE_ONE, FREE_RUN, FREE_RUN, NULL, NULL, 0, 0},
	/* frees, and the return of the span */
	{BASE_THREE, 0, FREE_HALF, FREE_OTHER_HALF, NULL, NULL, 0, 0},
	{BASE_ONE, 0, FREE_HALF, FREE_OTHER_HALF, NULL, NULL, 0, 0},
	{BASE_THREE, 0, MALLOC_SPAN, FREE_LAST, NULL, NULL, 0, 0},
	{BASE_THREE, BESIDE, MALLOC_SPAN, FREE_LAST, NULL, NULL, 0, 0},
	{BASE_ONE, 0, MALLOC_SPAN, FREE_LAST, NULL, NULL, 0, 0},
	{BASE_THREE, 0, MALLOC_FULL, FREE_LAST, NULL, NULL, 0, 0},
	{BASE_THREE, BESIDE, MALLOC_FULL, FREE_LAST, NULL, NULL, 0, 0},
	/* runs */
	{BASE_THREE, BESIDE, FREE_RUN, MALLOC_RUN, NULL, NULL, 0, 0},
	{BASE_THREE, BESIDE, MALLOC_RUN, MALLOC_RUN, NULL, NULL, 0, 0},
	{BASE_THREE, BESIDE | RULE_ONE, MALLOC_LARGE, MALLOC_LARGE, NULL, NULL, 0, 0},
	/* two takers of a dead holder's stream, and of its pool */
	{BASE_ONE, 0, MALLOC, MALLOC, dead_in_stream, NULL, 0, 0},
	{BASE_ONE, 0, MALLOC, FREE, dead_in_stream, NULL, 0, 0},
	{BASE_ONE, 0, MALLOC, MALLOC, dead_in_stream_of_next, NULL, 0, 0},
	{BASE_ONE, 0, MALLOC, MALLOC, NULL, &holds_stream, IN_STREAM, 0},
	{BASE_THREE, BESIDE, MALLOC_RUN, MALLOC_RUN, dead_in_pool, NULL, 0, 0},
	{BASE_THREE, BESIDE, MALLOC, FREE_RUN, dead_in_pool, NULL, 0, 0},
	{BASE_ONE, 0, MALLOC_RUN, MALLOC_RUN, NULL, &holds_pool, IN_POOL, 2},
	/* a new process takes the slot of the dead holder, while another judges its owner word */
	{BASE_ONE, 0, LOAD, MALLOC, NULL, &holds_stream, IN_STREAM, 0},
	{BASE_ONE, 0, LOAD_RUN, MALLOC_RUN, NULL, &holds_pool, IN_POOL, 2},
	/* blocks and their pointers: two at work; the dead in a stream, and with a record alone */
	{BASE_ONE, 0, MALLOC_TO, FREE_FROM, NULL, NULL, 0, 0},
	{BASE_ONE, 0, FREE_FROM, FREE_FROM_TOO, NULL, NULL, 0, 0},
	{BASE_THREE, BESIDE, MOVE, MOVE_TOO, NULL, NULL, 0, 0},
	{BASE_ONE, 0, MALLOC_TO, MALLOC, NULL, &holds_record, IN_INTENT, 2},
	{BASE_ONE, 0, RECOVER, RECOVER, NULL, &holds_record, IN_INTENT, 2},
	{BASE_ONE, 0, RECOVER, RECOVER, NULL, &holds_record, IN_INTENT, 4},
	{BASE_ONE, 0, RECOVER, MALLOC_TO, NULL, &holds_record, IN_INTENT, 4},
	{BASE_ONE, 0, RECOVER, MOVE, NULL, &holds_record, IN_INTENT, 4},
	/* what is taken, and free spans that lose their disk space: by a trim, or to be zero */
	{BASE_ONE, SPACE, MALLOC_NEW, TRIM, NULL, NULL, 0, 0},
	{BASE_THREE, BESIDE | SPACE, MALLOC_NEW, TRIM, NULL, NULL, 0, 0},
	{BASE_THREE, BESIDE | SPACE, MALLOC_RUN, TRIM, NULL, NULL, 0, 0},
	{BASE_THREE, BESIDE | SPACE, FREE_RUN, TRIM, NULL, NULL, 0, 0},
	{BASE_THREE, BESIDE | SPACE, TRIM, TRIM, NULL, NULL, 0, 0},
	{BASE_THREE, BESIDE | SPACE, MALLOC_RUN, TRIM, dead_in_pool, NULL, 0, 0},
	{BASE_THREE, BESIDE | SPACE, MALLOC_RUN, TRIM, NULL, &trims, TRIMS, 0},
	{BASE_THREE, BESIDE | SPACE, MALLOC_NEW, TRIM, NULL, &trims, DROPPED, 0},
	{BASE_ZERO, BESIDE | SPACE, FREE_RUN, MALLOC_SAME, NULL, NULL, 0, 0},
	{BASE_ZERO, BESIDE | SPACE, TURN, MALLOC_RUN, NULL, NULL, 0, 0},
	{BASE_ZERO, BESIDE | SPACE, TURN, MALLOC_NEW, NULL, NULL, 0, 0},
	/* coming and going */
	{BASE_ONE, RULE_DIRTY, LOAD, LOAD, NULL, NULL, 0, 0},
	{BASE_THREE, RULE_DIRTY, CLOSE, LOAD, NULL, NULL, 0, 0},
	{BASE_ABSENT, 0, MAKE, MAKE, NULL, NULL, 0, 0},
	{BASE_EMPTY, 0, MAKE, MAKE, NULL, NULL, 0, 0},
	{BASE_EMPTY, 0, MAKE, MAKE, NULL, &creates, SIZED, 0},
	{BASE_THREE, BESIDE | RULE_ONE, ROOT, ROOT, NULL, NULL, 0, 0},
};
const unsigned pairs_count = sizeof(pairs) / sizeof(pairs[0]);
