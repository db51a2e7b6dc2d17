/* SPDX-License-Identifier: MIT */
/*
 * What the torture campaigns share: counting, a scratch directory, the world in which a
 * victim works, and the inspector that looks at what it left.
 *
 *  - Counters, and the world, are in memory that all processes of a campaign share.
 *  - Each campaign ends with the line `name: cases N, findings N`.
 *  - Nothing trusts the library: what must be live, and what it must hold, is kept here.
 */
#ifndef QALLOC_TORTURE_H
#define QALLOC_TORTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../include/qalloc.h"

/* ---- Counting ------------------------------------------------------------ */

/*
 * Reads `[--long | --short] [-j JOBS] [ARGUMENT...]`, makes the scratch directory (on tmpfs where
 * there is one).
 */
void campaign_begin(const char *name, int argc, char **argv);
bool campaign_long(void);
const char *campaign_argument(unsigned i); /* NULL: there are not so many */
void campaign_case(void);

/*
 * Calls body(i) for each i below `count`, in as many processes side by side as -j says, one by
 * default.  Each has scratch files of its own; what else they are to share is in shared_memory().
 */
void campaign_each(unsigned count, void (*body)(unsigned i));

/* Counts, and prints the first few; usable in any child. */
void finding(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t findings(void); /* of this part of the campaign */

/* The last line; removes the scratch directory unless there are findings.  The exit status. */
int campaign_end(void);

/* The campaign cannot run here: says why.  The exit status: the long form fails. */
int campaign_skip(const char *why);

/* A path in the scratch directory, valid until 8 more were asked for. */
const char *scratch_path(const char *name);
const char *scratch_directory(void);

/* Ends the program when the harness itself cannot go on. */
_Noreturn void broken(const char *what);

uint64_t now_usec(void);
void copy_file(const char *from, const char *to);
void write_bytes(const char *path, const void *bytes, size_t len);

/* ---- The world ----------------------------------------------------------- */

#define MAP_BYTES ((size_t)256 << 10)
#define MAP_BASE ((void *)0x520000000000)
#define ITEM_BYTES ((size_t)64)
#define KNOWN_MAX 4300

enum base {
	BASE_THREE,
	BASE_ONE,
	BASE_STATIC,
	BASE_ZERO,
	BASE_STATIC_ZERO,
	BASE_ABSENT,
	BASE_EMPTY
};

static inline bool base_is_static(enum base base)
{
	return base == BASE_STATIC || base == BASE_STATIC_ZERO;
}

static inline bool base_zeroes(enum base base)
{
	return base == BASE_ZERO || base == BASE_STATIC_ZERO;
}

/* A block that must be live and unchanged, or, while a call on it is in flight, may be. */
struct known {
	void *at;
	size_t size;
	uint64_t seed;
	bool moving;
	bool is_cell; /* a pointer, which the call under test changes */
};

struct world {
	char path[512];
	enum base base;
	volatile int inside; /* the victim is in the call under test */
	volatile int done;
	int result; /* of the call: 0, or what was wrong */
	char text[600];
	unsigned count;
	unsigned unknown_max; /* blocks that dead victims may have leaked */
	bool content_moves;   /* realloc: an old block that is gone must be found copied */
	bool inherited;       /* a moving block that was freed may have been handed out again */
	bool root_moves;      /* the root "moving" may be absent or one of root_values */
	void *root_values[2];
	/* A call that changes a block and the pointer to it: what may be there, beside a new block. */
	bool publishes;
	void **cell; /* NULL: the root "published" */
	void *cell_old;
	bool cell_takes;  /* a new block may be there */
	bool cell_gives;  /* NULL may be there */
	void *cell_stale; /* may be there, and is not live */
	struct known known[KNOWN_MAX];
};

void *shared_memory(size_t bytes);

/* Opens the map that the world describes, or makes it if the file is absent or empty. */
void *world_open(const struct world *w, const char *path);

struct geo;
void base_geometry(enum base base, struct geo *g);

/* Builds the file of a base, and lists its blocks.  In a child, because it opens the map. */
void world_build(struct world *w, enum base base, const char *path);

/* Allocates a block that the inspector is to find; NULL: no room. */
void *world_take(struct world *w, void *map, size_t size);

/* Takes everything of `size` bytes that there is; how many. */
unsigned world_fill(struct world *w, void *map, size_t size);

/* ---- The inspector -------------------------------------------------------- */

/*
 * Everything that may be asked of a map which others died in: it is whole, known blocks are
 * live and unchanged, at most unknown_max others are; it then gives out every byte exactly once,
 * and all of it comes back.  Empties the map.  True: no finding.
 */
bool inspect(struct world *w, void *map, const char *who);

/* The same in a fresh process that opens `path`. */
void inspect_file(struct world *w, const char *path, const char *who);

/* Waits for a child; anything but exit status 0 is a finding. */
void expect_well(pid_t pid, const char *who);

#endif
