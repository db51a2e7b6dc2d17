/* SPDX-License-Identifier: MIT */
/*
 * qalloc.h - malloc in a file, shared by many processes.
 *
 * A map is one file, mapped MAP_SHARED at one fixed address.  Threads of many
 * processes allocate in it and free, and its data, raw pointers included, is
 * there again after the last process has gone.  A static map serves items of
 * one size; a dynamic map serves any size.
 *
 * Read these first:
 *  - Fixed address.  A map lives at the address it was created with, or it
 *    does not load (QALLOC_ETAKEN).  That is what keeps raw pointers valid.
 *  - Persistent is not durable.  Data outlives every process at once.  It
 *    outlives a power loss only if the map was not modified after a
 *    qalloc_checkpoint() or qalloc_sync() that returned 0.
 *  - A trust domain.  Whoever can write to the file can change its data under
 *    you.  The library survives any bytes in its own metadata; it cannot
 *    protect what you store.
 *  - Death.  A killed process never costs consistency.  It leaks at most the
 *    block that each of its threads had in flight, and it makes nobody wait
 *    for more than about a second.
 *  - Fork.  A child may use every map at once; it attaches at its first call.
 *  - Signals.  A call from a signal handler that interrupts a call on the same
 *    map neither deadlocks nor corrupts; it may fail with EAGAIN.
 *  - Network file systems are refused unless QALLOC_NETWORK is given: their
 *    MAP_SHARED is not shared between hosts.
 *  - Truncating the file, or an I/O error under it, is SIGBUS, unless QALLOC_GUARD is given.
 *
 * Every failure returns NULL (or -1), sets errno, and leaves an enum qalloc_err
 * for qalloc_error() and one sentence for qalloc_errmsg(), per thread.
 * Success leaves errno and both of these as they were.  Unless its text says otherwise
 * a function may be called by any thread at any time, on any open map.
 *
 * Where the contract comes from: the nine functions under "Historical" are those
 * of qthreads' qalloc(3); the rest follows malloc(3), aligned_alloc(3) and
 * malloc_usable_size(3) where a namesake exists.  qalloc(3) is the manual,
 * qalloc(5) the file format.
 */
#ifndef QALLOC_H
#define QALLOC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

#define QALLOC_VERSION_MAJOR 1
#define QALLOC_VERSION_MINOR 0
#define QALLOC_VERSION_PATCH 0

/* Limits of the format. */
#define QALLOC_STREAMS_MAX 4096u                /* streams of one map */
#define QALLOC_PROCESSES_MAX 1024u              /* processes attached to one map at once */
#define QALLOC_ROOTS_MAX 64u                    /* named roots of one map */
#define QALLOC_ROOTNAME_MAX 47u                 /* bytes of a root's name, the NUL not counted */
#define QALLOC_FILESIZE_MAX ((uint64_t)1 << 46) /* bytes of one map file */
#define QALLOC_ALIGN_MAX ((size_t)2 << 20)      /* bytes, qalloc_aligned_alloc */
#define QALLOC_ADDR_ALIGN ((size_t)1 << 16)     /* bytes, the address of a map */

/* What went wrong: one value for each rule that can be broken. */
enum qalloc_err {
	QALLOC_OK = 0,

	/* The call. */
	QALLOC_EHANDLE,   /* EBADF: not an open map, or one that was closed */
	QALLOC_EARGUMENT, /* EINVAL: an argument is outside its range */
	QALLOC_EOPTIONS,  /* EINVAL: options of an unknown size, or unknown flags */
	QALLOC_ESYSTEM,   /* a system call failed; errno is its own */
	QALLOC_EREADONLY, /* EROFS: the map was opened read-only */

	/* The file. */
	QALLOC_EMISSING,    /* ENOENT: no such file, and nobody asked to create it */
	QALLOC_EEXIST,      /* EEXIST: exclusive creation, and the file exists */
	QALLOC_ENOTREGULAR, /* EINVAL: a directory, FIFO, device or socket */
	QALLOC_ESYMLINK,    /* ELOOP: a symbolic link, without QALLOC_FOLLOW */
	QALLOC_EOWNER,      /* EPERM: owned by neither the effective user nor root */
	QALLOC_EWRITABLE,   /* EPERM: writable by group or others */
	QALLOC_ENETWORK,    /* EOPNOTSUPP: on a network file system */
	QALLOC_ELIMIT,      /* EFBIG: larger than RLIMIT_FSIZE allows */
	QALLOC_EREPLACED,   /* ESTALE: the path no longer names the mapped file */

	/* The header, in the order in which the rules are checked. */
	QALLOC_ESHORT,      /* EINVAL: shorter than a header */
	QALLOC_EMAGIC,      /* EINVAL: not a map */
	QALLOC_ECREATING,   /* EAGAIN: its creator has not finished, or died */
	QALLOC_EVERSION,    /* EINVAL: a version of the format we do not know */
	QALLOC_EBYTEORDER,  /* EINVAL: made by a machine of another byte order */
	QALLOC_EPOINTER,    /* EINVAL: made for pointers of another width */
	QALLOC_EFEATURE,    /* EOPNOTSUPP: a feature we do not know */
	QALLOC_ECHECKSUM,   /* EINVAL: the header's CRC-32C does not match */
	QALLOC_ERESERVED,   /* EINVAL: a reserved byte of the header is not 0 */
	QALLOC_EKIND,       /* EINVAL: neither static nor dynamic */
	QALLOC_EFLAGS,      /* EINVAL: a flag of the header is unknown */
	QALLOC_EFILESIZE,   /* EINVAL: too small, too large, or not the file's size */
	QALLOC_EITEMSIZE,   /* EINVAL: 0, or larger than the data area holds */
	QALLOC_ESTREAMS,    /* EINVAL: 0, or more than QALLOC_STREAMS_MAX */
	QALLOC_EADDRNULL,   /* EINVAL: the address is 0 */
	QALLOC_EADDRALIGN,  /* EINVAL: not a multiple of QALLOC_ADDR_ALIGN */
	QALLOC_EADDRWINDOW, /* EINVAL: below 64 KiB or above user space */
	QALLOC_EADDRWRAP,   /* EINVAL: address plus size leaves user space */

	/* Opening. */
	QALLOC_ETAKEN,  /* EEXIST: something is mapped where the map must be */
	QALLOC_EPARAMS, /* EINVAL: the file is a map with other parameters */
	QALLOC_EINUSE,  /* EBUSY: locked by others in an incompatible way */
	QALLOC_ESLOTS,  /* EUSERS: QALLOC_PROCESSES_MAX processes are attached */

	/* Using. */
	QALLOC_EFULL,     /* ENOMEM: no stream has room */
	QALLOC_ENOSPACE,  /* ENOSPC: the disk is full */
	QALLOC_EBUSY,     /* EAGAIN: what is needed was held throughout the bounded wait */
	QALLOC_ESIZE,     /* EINVAL: larger than the item, or ENOMEM: than the map */
	QALLOC_ECORRUPT,  /* EUCLEAN: the map's metadata contradicts itself */
	QALLOC_EPOISONED, /* EIO: QALLOC_GUARD, and the file could not give a page */

	/* Pointers that are not the start of a live block (EINVAL). */
	QALLOC_EWILD,     /* outside the map's data area */
	QALLOC_EINTERIOR, /* inside the data area, but not where a block starts */
	QALLOC_ENOTLIVE,  /* where a block starts, but not live: a double free */

	/* Roots. */
	QALLOC_EROOTNAME,   /* EINVAL: empty, or longer than QALLOC_ROOTNAME_MAX */
	QALLOC_EROOTABSENT, /* ENOENT: no root of that name */
	QALLOC_EROOTFULL,   /* ENOSPC: QALLOC_ROOTS_MAX roots exist */
	QALLOC_EROOTVALUE,  /* EAGAIN: qalloc_casroot found another value */

	QALLOC_ERR_COUNT
};

/* ---- Historical: source compatible with qthreads' qalloc(3) ------------- */

typedef struct mapinfo_s mapinfo_t;
typedef struct dynmapinfo_s dynmapinfo_t;

/*
 * Creates, or loads if it exists, the map `filename`.
 *
 * filesize  bytes, up to QALLOC_FILESIZE_MAX, page multiple or not; the file
 *           gets exactly this length.  qalloc_statmap_filesize() and
 *           qalloc_dynmap_filesize() say how many are needed.
 * addr      where to map it: a multiple of QALLOC_ADDR_ALIGN, or NULL: a new
 *           map gets a random free address, an existing one keeps its own.
 * filename  an absent or an empty file is created; a file with other data is
 *           never modified.
 * itemsize  bytes of each item, from 1; rounded up to a multiple of 8, and
 *           16-aligned when that is a multiple of 16.
 * streams   1 to QALLOC_STREAMS_MAX: how many threads can allocate at once.
 *           More threads than streams work too.
 *
 * Returns the handle of the map, or NULL.  An existing map must agree in kind,
 * filesize, itemsize, streams, and addr if given (QALLOC_EPARAMS).  Opening a
 * file that this process has open already gives the same handle, counted.
 * Processes that create one file at the same time end up in one map.
 * Errors: all of "The call", "The file", "The header", "Opening".
 */
void *qalloc_makestatmap(const off_t filesize, void *addr, const char *filename, size_t itemsize,
			 const size_t streams);
void *qalloc_makedynmap(const off_t filesize, void *addr, const char *filename,
			const size_t streams);

/*
 * Loads an existing map at the address stored in it.  Never replaces a
 * mapping, never creates or completes a file.  Errors as above.
 */
void *qalloc_loadmap(const char *filename);

/*
 * Returns a block of at least `size` bytes, or NULL.
 *
 * size  bytes from 0 to the whole data area.  Size 0 gives a unique block.
 *       In a static map a size up to the item size is ignored; a larger one
 *       is refused (QALLOC_ESIZE, EINVAL).
 *
 * Blocks of a dynamic map are aligned to 16 bytes.  Contents are undefined.
 * Bounded: never waits longer than about a second.  QALLOC_EFULL (ENOMEM) only if
 * no stream had room; QALLOC_EBUSY (EAGAIN) if a stream that might have had
 * room could not be entered; QALLOC_ENOSPACE if the disk is full.
 */
void *qalloc_malloc(void *map, size_t size);
void *qalloc_statmalloc(mapinfo_t *map);
void *qalloc_dynmalloc(dynmapinfo_t *map, size_t size);

/*
 * Frees a block, whichever thread or process allocated it.  NULL is ignored.
 * A pointer that is not the start of a live block of this map, or a handle that
 * is not open, is a bug of the caller: the misuse handler is called, or, without one, a
 * message goes to standard error and the process ends with SIGABRT.  For
 * pointers that come from a file you do not trust use qalloc_tryfree().
 */
void qalloc_free(void *block, void *map);
void qalloc_statfree(void *block, mapinfo_t *map);
void qalloc_dynfree(void *block, dynmapinfo_t *map);

/* Writes every open map to disk (msync(2), then fsync(2)).  0, or -1 if any failed. */
int qalloc_checkpoint(void);

/* Checkpoints, then closes every open map, however often it was opened. */
int qalloc_cleanup(void);

/* ---- Errors ------------------------------------------------------------- */

/* The calling thread's last failure, an enum qalloc_err; QALLOC_OK at first. */
int qalloc_error(void);

/* A fixed text for an enum qalloc_err.  Never NULL. */
const char *qalloc_strerror(int error);

/*
 * The calling thread's last failure as one sentence: path, field, found, wanted.
 * Valid until the thread's next failing call; "" before the first.
 */
const char *qalloc_errmsg(void);

/* ---- Opening ------------------------------------------------------------ */

enum qalloc_kind { QALLOC_ANY = 0, QALLOC_STATIC = 1, QALLOC_DYNAMIC = 2 };

/* Flags of struct qalloc_options. */
#define QALLOC_CREATE ((uint64_t)1 << 0)          /* create if absent or empty */
#define QALLOC_EXCLUSIVE ((uint64_t)1 << 1)       /* with CREATE: never load */
#define QALLOC_READONLY ((uint64_t)1 << 2)        /* map PROT_READ, attach nowhere */
#define QALLOC_FOLLOW ((uint64_t)1 << 3)          /* follow a symbolic link */
#define QALLOC_FOREIGN_OWNER ((uint64_t)1 << 4)   /* allow another owner */
#define QALLOC_SHARED_WRITABLE ((uint64_t)1 << 5) /* allow group/other writers */
#define QALLOC_NETWORK ((uint64_t)1 << 6)         /* allow a network file system */
#define QALLOC_VERIFY ((uint64_t)1 << 7)          /* qalloc_check() before use */
#define QALLOC_ZERO_ON_FREE ((uint64_t)1 << 8)    /* at creation: for its lifetime */
#define QALLOC_GUARD ((uint64_t)1 << 9)           /* SIGBUS in the map: an error */

/*
 * QALLOC_GUARD handles SIGBUS while the map is open.  Where the file cannot give a page (it was
 * truncated, the disk failed or is full) a page of zeros that belongs to this process alone takes its
 * place, whoever touched it goes on, and the handle is poisoned: every call on it, the interrupted
 * one included, fails with QALLOC_EPOISONED, but for qalloc_closemap().  What is stored in such a page
 * is lost.  Any other SIGBUS goes to the handler that was installed before, or to the default.
 */

/* Set `size` to sizeof(struct qalloc_options), everything unused to 0. */
struct qalloc_options {
	size_t size;
	uint64_t flags;
	void *addr;      /* address wanted; NULL: any */
	uint64_t kind;   /* enum qalloc_kind; QALLOC_ANY only when not creating */
	off_t filesize;  /* bytes; 0: any (not when creating) */
	size_t itemsize; /* bytes; 0: any (not when creating a static map) */
	size_t streams;  /* 0: any (not when creating) */
};

/*
 * Opens `path` as the options say; NULL options are those of qalloc_loadmap().
 * A parameter that is not 0 must agree with an existing map (QALLOC_EPARAMS).
 * A map can be open once per process: either writable or read-only (QALLOC_EINUSE).
 */
void *qalloc_openmap(const char *path, const struct qalloc_options *options);

/*
 * The same for an open descriptor of a regular file or memfd, which must be
 * readable and, unless QALLOC_READONLY, writable.  The descriptor stays the
 * caller's; the library keeps one of its own, which it opens through /proc.  Its name is
 * "fd:N" in messages.  The mode of a file without a name, such as a memfd, does not matter.
 */
void *qalloc_openfd(int fd, const struct qalloc_options *options);

/*
 * Undoes one open; the last one unmaps, and marks the map as closed cleanly if
 * no other process is attached.  Later use of the handle is QALLOC_EHANDLE (the
 * last 64 closed handles are remembered).  No other thread may be inside
 * a call on the map.  Does not write to disk: call qalloc_sync() first for that.
 */
int qalloc_closemap(void *map);

/* Writes one map to disk, durably when it returns 0. */
int qalloc_sync(void *map);

/*
 * Gives the disk space of free spans back to the file system (holes in the file), while
 * others allocate and free.  Blocks that were freed but share a span with live ones keep theirs.
 * 0, or -1: QALLOC_ESYSTEM and EOPNOTSUPP where the file system has no holes.
 */
int qalloc_trim(void *map);

/* ---- More allocation ---------------------------------------------------- */

/* As qalloc_malloc(count * bytes), all bytes 0; QALLOC_ESIZE if that overflows. */
void *qalloc_calloc(void *map, size_t count, size_t bytes);

/*
 * Resizes as realloc(3): NULL block allocates; the old block is freed only
 * after the new one is complete; on failure the old one is untouched.  Size 0
 * is a size like any other (the block is not freed).  A block that is not live is misuse, as in
 * qalloc_free().
 */
void *qalloc_realloc(void *map, void *block, size_t size);

/*
 * As qalloc_malloc(), aligned to `alignment` bytes: a power of two up to
 * QALLOC_ALIGN_MAX.  In a static map only an alignment that every item has.
 */
void *qalloc_aligned_alloc(void *map, size_t alignment, size_t size);

/* As qalloc_free(), but returns -1 and QALLOC_EWILD, EINTERIOR, ENOTLIVE, ... */
int qalloc_tryfree(void *block, void *map);

/* Bytes that may be used in a live block; 0 (and an error) if it is not live. */
size_t qalloc_usable_size(void *map, const void *block);

/*
 * Called by qalloc_free() and qalloc_realloc() instead of ending the process;
 * it may return (the call then has no effect), longjmp, or exit.  It is called outside every
 * stream and may call this library.  NULL restores the default.  `error` is an enum qalloc_err.
 * One handler for the process; set it before threads start.
 */
typedef void qalloc_misuse_fn(void *map, void *block, int error, void *arg);
void qalloc_onmisuse(qalloc_misuse_fn *handler, void *arg);

/* ---- A block and the pointer to it, together ----------------------------- */

/*
 * A kill between malloc and the store of its result leaks; after realloc has freed the
 * old block, the pointer in the map dangles.  These calls change both in one: killed at any
 * instruction, *where is as before or as the call would have left it, and no block is lost.
 *
 * where  the address of a pointer inside the map's data area, a multiple of 8, outside the
 *        block it points to (QALLOC_EWILD, QALLOC_EARGUMENT).
 * name   of a root, which then holds the block; malloc and realloc create one that is absent, as
 *        NULL, before anything else, and free fails with QALLOC_EROOTABSENT.
 *
 * malloc_to stores the new block in *where, whatever was there; its contents are undefined, so
 * fill a block before something that others follow points to it.  free_from frees what *where
 * points to and stores NULL; NULL is ignored.  realloc_to resizes it as qalloc_realloc() does.
 * On failure nothing has changed.  A pointer that is no live block is an error, and never
 * ends the process.  Sizes, alignment and errors are those of the plain calls; freeing waits for
 * the block's stream, and may fail with QALLOC_EBUSY.
 *
 * While a call is at work *where belongs to it: nobody else may change it.  If the caller dies
 * in it, *where belongs to the dead until somebody opens the map or calls qalloc_recover(). Neither may
 * anybody free, before that, a block that it did not allocate or find in a pointer of its own.
 */
void *qalloc_malloc_to(void *map, size_t size, void **where);
int qalloc_free_from(void *map, void **where);
void *qalloc_realloc_to(void *map, size_t size, void **where);
void *qalloc_malloc_toroot(void *map, size_t size, const char *name);
int qalloc_free_fromroot(void *map, const char *name);
void *qalloc_realloc_toroot(void *map, size_t size, const char *name);

/*
 * Settles what the dead left undone: frees the blocks of their interrupted calls to which
 * nothing refers.  Opening a map that was not closed cleanly does so as far as it can, and so does
 * the last close; after QALLOC_LEFT_CRASHED nothing is freed.  A program whose
 * peers may die calls this when it hears of a death, before it changes their pointers.
 * 0, or -1: some of it could not be settled now (QALLOC_EBUSY, QALLOC_ENOSPACE, ...).
 */
int qalloc_recover(void *map);

/*
 * Frees every block that cannot be reached, for maps whose blocks are not kept by the calls above.
 *
 * reach  called once for each reachable block, beginning with the roots: it calls
 *        qalloc_mark() for each block that this one refers to, and returns 0; anything else ends
 *        the sweep, which then returns that and has freed nothing.
 * freed  if not NULL, gets the number of blocks freed.
 *
 * No other process may be attached (QALLOC_EINUSE), no other thread use the map, and `reach`
 * must not allocate or free in it.  0, or -1: a root or a marked pointer is not the start of a live block
 * (QALLOC_EINTERIOR, QALLOC_ENOTLIVE, ...), and nothing was freed; or a free failed.
 */
struct qalloc_marks;
typedef int qalloc_reach_fn(void *block, size_t size, struct qalloc_marks *marks, void *arg);
int qalloc_sweep(void *map, qalloc_reach_fn *reach, void *arg, size_t *freed);

/* Inside `reach`: this block is reachable, too.  NULL is ignored.  0, or -1: it is no live block. */
int qalloc_mark(struct qalloc_marks *marks, const void *block);

/* ---- Roots: named pointers, how a program finds its data again ----------- */

/*
 * name   1 to QALLOC_ROOTNAME_MAX bytes.
 * value  NULL, or an address in the map's data area (QALLOC_EWILD otherwise).
 *
 * setroot creates or replaces; casroot replaces `expected` by `desired`, where an absent root
 * counts as NULL (QALLOC_EROOTVALUE if another value was found); delroot removes.
 * Each takes effect with one store.  0, or -1.  getroot returns NULL both for a root that
 * is NULL and for an absent one (then QALLOC_EROOTABSENT); errno is 0 in the first case.
 */
int qalloc_setroot(void *map, const char *name, void *value);
void *qalloc_getroot(void *map, const char *name);
int qalloc_casroot(void *map, const char *name, void *expected, void *desired);
int qalloc_delroot(void *map, const char *name);

/* Calls `visit` for each root until it returns other than 0; returns that, 0, or -1. */
typedef int qalloc_root_fn(const char *name, void *value, void *arg);
int qalloc_roots(void *map, qalloc_root_fn *visit, void *arg);

/* ---- Looking ------------------------------------------------------------ */

/*
 * Calls `visit` for each live block, in address order, until it returns other
 * than 0; returns that, or 0 at the end, or -1.  Blocks that are allocated or freed meanwhile may be
 * seen or not; a new block that qalloc_realloc_to() had not handed over when the walk began, or
 * never will because it was killed before, is not.  `visit` may free the block it is given; what it
 * leaves in errno when it ends the walk stays there.
 */
typedef int qalloc_block_fn(void *block, size_t size, void *arg);
int qalloc_walk(void *map, qalloc_block_fn *visit, void *arg);

/* How the map was left before this process opened it. */
enum qalloc_left {
	QALLOC_LEFT_CLEAN = 0,   /* by qalloc_closemap(), or just created; a power loss
	                            since is not excluded unless qalloc_sync() came before */
	QALLOC_LEFT_RUNNING = 1, /* another process is using it */
	QALLOC_LEFT_KILLED = 2,  /* its last user died; the data is whole */
	QALLOC_LEFT_CRASHED = 3  /* the machine went down: check before you trust */
};

struct qalloc_info {
	size_t size;       /* set by the caller: sizeof(struct qalloc_info) */
	uint64_t kind;     /* enum qalloc_kind */
	uint64_t version;  /* of the format */
	uint64_t flags;    /* QALLOC_ZERO_ON_FREE, QALLOC_READONLY, QALLOC_GUARD */
	void *base;        /* the map's address */
	uint64_t filesize; /* bytes */
	uint64_t itemsize; /* bytes as given at creation; 0: dynamic */
	uint64_t streams;
	uint64_t data_offset;    /* bytes from base to the data area */
	uint64_t data_bytes;     /* of the data area */
	uint64_t metadata_bytes; /* of the file that are not data area or guard */
	uint64_t span_bytes;     /* of data in one span */
	uint64_t blocks_max;     /* static: how many items there are; 0: dynamic */
	uint64_t live_blocks;
	uint64_t live_bytes;    /* usable bytes of live blocks */
	uint64_t free_bytes;    /* of spans that no stream holds */
	uint64_t largest_free;  /* bytes of the largest run of such spans */
	uint64_t disk_bytes;    /* that the file occupies */
	uint64_t fragmentation; /* per mille: 1000 - 1000 * largest_free / free_bytes */
	uint64_t processes;     /* attached, this one included */
	uint64_t left;          /* enum qalloc_left */
	uint64_t reserves;      /* 1: the file system reserves space, so a full disk
	                           is an error; 0: it is SIGBUS */
};

/* Fills `info` by walking the map.  A snapshot, consistent only if nobody else allocates. */
int qalloc_mapinfo(void *map, struct qalloc_info *info);

/*
 * Checks every rule of qalloc(5) without trusting any byte of the map.
 * `report`, if not NULL, is called with one sentence per finding.  Returns 0
 * if the map is whole, else -1 (QALLOC_ECORRUPT).  Time is bounded by the
 * allocated bytes of the file.
 */
typedef void qalloc_report_fn(const char *finding, void *arg);
int qalloc_check(void *map, qalloc_report_fn *report, void *arg);

/* Address <-> bytes from the map's base.  0 and NULL stand for each other and for errors. */
uint64_t qalloc_offset(void *map, const void *address);
void *qalloc_address(void *map, uint64_t offset);

/*
 * How many bytes a file must have: to serve `items` items of `itemsize` bytes (exactly, or a few
 * more where no file has exactly that many), or to have a data area of at least `bytes`
 * bytes.  0 (QALLOC_EARGUMENT) if there is no such file.
 */
off_t qalloc_statmap_filesize(size_t itemsize, size_t items, size_t streams);
off_t qalloc_dynmap_filesize(size_t bytes, size_t streams);

/* "1.0.0": the library that is linked, where QALLOC_VERSION_* is the header. */
const char *qalloc_version(void);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
