/* SPDX-License-Identifier: MIT */
/*
 * An open map: the private memory of this process about it.
 *
 *  - Everything here is private: peers cannot change it.  Geometry comes from the
 *    checked header and stays while the map is open.
 *  - `self` lies in memory that reads as zero in a forked child, so that a
 *    child attaches anew at its first operation.
 *  - Words of the file are touched through the accessors of word.h, once each,
 *    and only where this process has reserved the disk space (reserve.h).
 *
 * Order of locks: a stream's holder takes no other lock of the map; the pool's and
 * the roots' holders neither.  No system call but a futex wake happens inside, except where what a
 * dead holder left is repaired.
 */
#ifndef QALLOC_MAP_H
#define QALLOC_MAP_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "format.h"
#include "geo.h"
#include "os.h"
#include "size.h"
#include "span.h"
#include "thread.h"
#include "word.h"

#define MAP_OPEN 0x6E65706F2D706171u
#define MAP_CLOSED 0x65736F6C632D7061u
#define MAP_POISONED 0x6E6F736970206170u

/* Random in each process, so that no block of a hostile file passes for a handle. */
extern uint64_t map_secret;

/* How many freed blocks of a class a stream remembers, to hand them out first. */
#define VIEW_RECENT 16u

/* This process as a user of the map; in wiped memory. */
struct identity {
	uint64_t owner; /* slot and epoch of owner words; 0: not attached */
	uint32_t lock;  /* held while attaching; see thread_lock() */
	void *pin;      /* keeps the slot's lock; see os_pin_locks() */
};

/* What this process knows of a stream: hints, used only inside the stream. */
struct view {
	bool fresh;                 /* false: nothing known yet */
	uint32_t span[CLASS_COUNT]; /* where blocks of the class were found last ... */
	uint32_t word[CLASS_COUNT]; /* ... and in which bit pair */
	uint32_t recent[CLASS_COUNT];
	uint64_t recent_rel[CLASS_COUNT][VIEW_RECENT];
};

struct map {
	uint64_t magic;  /* MAP_OPEN, MAP_POISONED, MAP_CLOSED; first, read before all else */
	uint64_t poison; /* address of a page that the file could not give; 0: none */
	uint64_t serial; /* unique in this process */
	struct geo geo;
	uint64_t base;  /* address */
	uint64_t flags; /* MAP_FLAG_* */
	struct identity *self;
	struct view *views; /* one for each stream */
	uint64_t *seen;     /* bit per span: its word, pairs and data are reserved */
	uint64_t *ready;    /* bit per granule of metadata: reserved */
	uint64_t top;       /* span words [0, top) are ready; atomic */
	bool readonly;
	uint32_t reserves; /* 0 once the file system said it cannot; atomic */

	/* Opening and closing; under the registry's lock. */
	struct map *next;
	struct map *next_guarded;
	bool guarded;
	uint64_t mapped_bytes; /* from base, of a guarded map */
	uint64_t opens;
	uint64_t memory_bytes; /* of the private mapping that begins here */
	struct params params;
	struct os_file file; /* its identity when it was opened */
	uint64_t left;       /* enum qalloc_left */
	bool refused;        /* a check found it broken: it is closed as it was found */
	int fd;              /* use map_fd() */
	char *path;
};

/* How long a run may be that begins at this span; static maps have none. */
static inline uint64_t run_room(const struct geo *g, uint64_t span)
{
	return g->items != 0 ? 0 : g->spans - span;
}

/* A word of the file. */
static inline uint64_t *map_word(const struct map *m, uint64_t off)
{
	return (uint64_t *)(uintptr_t)(m->base + off);
}

/* The words of a stream that begin at `field`. */
static inline uint64_t *map_stream_word(const struct map *m, uint32_t stream, uint32_t field)
{
	return map_word(m, STREAMS_OFF + (uint64_t)stream * STREAM_BYTES + field);
}

static inline uint64_t *map_span_word(const struct map *m, uint64_t span)
{
	return map_word(m, m->geo.words_off + span * 8);
}

static inline uint64_t *map_pairs(const struct map *m, uint64_t span)
{
	return map_word(m, m->geo.pairs_off + span * m->geo.span_pairs * PAIR_BYTES);
}

/* The span's blocks; `word` is its valid SMALL word. */
static inline struct span map_span(const struct map *m, uint64_t span, uint32_t cls)
{
	struct span s = {.pairs = map_pairs(m, span), .items = geo_span_items(&m->geo, span, cls)};

	return s;
}

/* The span's word, fetched once; anything that is not valid here reads as FREE with *broken. */
static inline uint64_t map_word_of(const struct map *m, uint64_t span, bool *broken)
{
	uint64_t word = shared_load(map_span_word(m, span));

	*broken = !span_word_valid(word, m->geo.streams, m->geo.classes, run_room(&m->geo, span));
	return *broken ? 0 : word;
}

static inline void *map_address(const struct map *m, uint64_t rel)
{
	return (void *)(uintptr_t)(m->base + m->geo.data_off + rel);
}

/* Whether `address` lies in the data area; then *rel is its offset there. */
static inline bool map_rel(const struct map *m, const void *address, uint64_t *rel)
{
	*rel = (uint64_t)(uintptr_t)address - (m->base + m->geo.data_off);
	return *rel < m->geo.data_end - m->geo.data_off;
}

static inline bool same_identity(const struct os_file *a, const struct os_file *b)
{
	return a->device == b->device && a->inode == b->inode;
}

/* The process slot that an owner word names. */
static inline uint32_t owner_slot(uint64_t owner)
{
	return (uint32_t)(owner >> OWNER_THREAD_BITS) & ((1u << OWNER_SLOT_BITS) - 1);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- registry.c --------------------------------------------------------- */

/* The open map behind a handle, or NULL and EHANDLE, EPOISONED, EREADONLY. */
struct map *map_of(void *handle);
struct map *map_writable(void *handle);

/* At the end of a call: 0, or -1 and EPOISONED if a page of the map was lost on the way. */
int map_lost(const struct map *m);
static inline int map_intact(const struct map *m)
{
	return __builtin_expect(__atomic_load_n(&m->poison, __ATOMIC_RELAXED) != 0, 0) ? map_lost(m)
										       : 0;
}

int registry_lock(void); /* -1 and EBUSY: a signal handler interrupted its holder */
void registry_unlock(void);
struct map *registry_find(const struct os_file *file); /* locked */
void registry_add(struct map *m);                      /* locked */
void registry_bury(struct map *m);                     /* locked; leaves a tombstone */
struct map *registry_next(const struct map *m);        /* locked; NULL gives the first */

/* ---- attach.c ----------------------------------------------------------- */

/* This thread's owner word, attaching this process first if need be; 0: failed. */
uint64_t map_owner(struct map *m);

/* Whether the holder that an owner word names can never come back. */
bool owner_is_dead(struct map *m, uint64_t owner);

/* The map's descriptor, checked and if need be opened again; -1: failed. */
int map_fd(struct map *m);

/* How many processes are attached, counted up to `most`.  Not known: errno says why. */
#define PROCESSES_UNKNOWN UINT64_MAX
uint64_t map_processes(struct map *m, uint64_t most);

/* Detaches this process; the map counts as closed cleanly if it was the last. */
void map_detach(struct map *m);

/* ---- create.c ----------------------------------------------------------- */

struct request {
	const char *path; /* for messages, and for opening unless fd >= 0 */
	int fd;           /* the caller's descriptor, or -1 */
	uint64_t flags;   /* QALLOC_CREATE ... */
	uint64_t addr;
	uint64_t kind;
	uint64_t file_size;
	uint64_t item_size;
	uint64_t streams;
	/* The address of a new map, held by a mapping of its file until map_open() has it. */
	uint64_t held_base;
	uint64_t held_size;
};

static inline bool asked(const struct request *req, uint64_t flag)
{
	return (req->flags & flag) != 0;
}

/* Makes a new file and gives it its name.  The descriptor; -1, EEXIST if the name is taken now. */
int create_named(struct request *req);

/* Turns the empty or unfinished file into a map, unless somebody else did so meanwhile. */
int create_in_place(struct request *req, int fd);

/* Says which rule is broken, found and wanted.  Returns -1. */
int params_fail(enum qalloc_err code, const char *path, const struct params *p,
		uint64_t actual_size);

/* A random base with room for `size` bytes and a guard, held by a mapping of fd; 0: none. */
uint64_t base_choose(int fd, uint64_t size, bool writable);

/* Whether the running program may map there at all. */
int base_allowed(const char *path, uint64_t base, uint64_t size);

/* Bytes of the guard that follows the last page. */
#define GUARD_BYTES ((uint64_t)GRANULE)

static inline uint64_t page_up(uint64_t n)
{
	uint64_t page = os_page();

	return (n + page - 1) / page * page;
}

/* Unmaps a map of `size` bytes with its guard. */
static inline int base_unmap(uint64_t base, uint64_t size)
{
	return os_unmap_file(base, page_up(size) + GUARD_BYTES);
}

static inline void request_release(struct request *req)
{
	if (req->held_base != 0) {
		int saved = errno;

		(void)base_unmap(req->held_base, req->held_size);
		errno = saved;
		req->held_base = 0;
	}
}

/* ---- load.c ------------------------------------------------------------- */

/* Maps, attaches and registers; takes over fd on success. NULL: recorded.  Registry locked. */
struct map *map_open(struct request *req, int fd, const struct os_file *file,
		     const struct params *p);

#endif
