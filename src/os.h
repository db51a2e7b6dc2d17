/* SPDX-License-Identifier: MIT */
/*
 * The operating system: every system call and every libc service that the library uses
 * goes through here.  Thin, no policy, no state but the thread's pointer.
 *
 *  - Unless it says otherwise a function returns 0, or -1 with errno.
 *  - What works leaves errno as it was.
 *  - EINTR is retried here, and nothing here is a cancellation point.
 *  - Nothing here calls malloc or stdio.
 */
#ifndef QALLOC_OS_H
#define QALLOC_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Files -------------------------------------------------------------- */

enum os_file_kind { OS_REGULAR, OS_OTHER };

struct os_file {
	uint64_t device, inode; /* the file's identity */
	uint64_t size;          /* bytes */
	uint64_t disk_bytes;    /* that it occupies */
	uint32_t owner;         /* user id */
	uint32_t mode;          /* permission bits, 07777 */
	bool unlinked;          /* it has no name: a memfd, or removed */
	enum os_file_kind kind;
	bool writable; /* the descriptor was opened for writing */
	bool readable; /* the descriptor was opened for reading */
};

/* How to open.  Always O_CLOEXEC | O_NONBLOCK | O_NOCTTY, and O_NOFOLLOW unless OS_FOLLOW. */
enum os_open_flags { OS_WRITE = 1, OS_FOLLOW = 2, OS_CREATE_NEW = 4 };
int os_open(const char *path, unsigned flags); /* a descriptor; new files get mode 0600 */
int os_open_unnamed(const char *path);         /* O_TMPFILE in the directory of path, 0600 */
int os_link_unnamed(int fd, const char *path); /* gives it a name; EEXIST if that exists */
int os_reopen(int fd, bool writable);          /* a new open file description of the same file */
void os_close(int fd);                         /* keeps errno */

int os_identify(int fd, struct os_file *out);
uint32_t os_user(void); /* effective user id; cannot fail */

/* What kind of file system: network (NFS, SMB, 9P, FUSE, ...). */
int os_is_network(int fd, bool *network);

/* Whether a store to a page that has its disk space may need more of it (copy on write, logs). */
bool os_copies_on_write(int fd);

/*
 * Whether a store to a page that has its disk space may fail for want of a block for the file
 * system's own tables: less than 64 MiB are left, and it is no tmpfs.
 */
bool os_nearly_full(int fd);

int os_read_at(int fd, void *buf, size_t len, uint64_t off,
	       size_t *got);                                        /* short only at the end */
int os_write_at(int fd, const void *buf, size_t len, uint64_t off); /* all, or -1 */
int os_set_size(int fd, uint64_t size);
uint64_t os_size_limit(void); /* RLIMIT_FSIZE in bytes, UINT64_MAX: none */

/* Reserves disk space without changing the size.  EOPNOTSUPP where the file system cannot. */
int os_reserve(int fd, uint64_t off, uint64_t len);

/* The next byte at or after `off` that is data; UINT64_MAX: none. */
int os_next_data(int fd, uint64_t off, uint64_t *found);
/* The same for holes.  The end of the file counts as one; ENXIO: `off` lies behind it. */
int os_next_hole(int fd, uint64_t off, uint64_t *found);

int os_sync_file(int fd);          /* fsync */
int os_sync_dir(const char *path); /* fsync of the directory of path */

/* ---- Locks on one byte of an open file description ----------------------- */

int os_lock_byte(int fd, uint64_t off); /* never waits: EAGAIN if another description has it */
int os_unlock_byte(int fd, uint64_t off);
/* Whether a description other than fd's holds a lock in [off, off + len); *where: one byte of it. */
int os_locked_in(int fd, uint64_t off, uint64_t len, bool *locked, uint64_t *where);
int os_byte_locked(int fd, uint64_t off, bool *locked);

/*
 * Maps one PROT_NONE page of fd, not inherited by fork: fd's locks then live as
 * long as this address space, even when fd is closed.  os_unmap() ends it.  NULL: failed.
 */
void *os_pin_locks(int fd);

/* ---- Memory ------------------------------------------------------------- */

size_t os_page(void);                   /* bytes of a page */
void *os_map_private(size_t size);      /* zeroed, NORESERVE; NULL: failed */
void *os_map_wiped(size_t size);        /* the same, reads as zero in a forked child */
void os_unmap(void *addr, size_t size); /* keeps errno; what cannot be unmapped stays */

/*
 * Maps `size` bytes of fd at exactly `base`, with `guard` PROT_NONE bytes behind the last page.
 * Replaces nothing: EEXIST if any part is taken.
 */
int os_map_file(int fd, uint64_t base, uint64_t size, uint64_t guard, bool writable);
int os_unmap_file(uint64_t base, uint64_t size); /* the guard counts */
int os_protect_none(uint64_t addr, uint64_t len);
int os_sync_mapping(uint64_t addr, uint64_t len); /* msync(MS_SYNC) */
int os_drop_pages(uint64_t addr, uint64_t len);   /* MADV_REMOVE: zero, and give disk space back */

/*
 * As if each page of [addr, addr + len) were written to, and left as it is: where that would be
 * SIGBUS, ENOSPC.  A kernel that cannot (before 5.14) does nothing.
 */
int os_populate(uint64_t addr, uint64_t len);

/* Puts a private page of zeros over one page; for signal handlers, too. */
int os_replace_page(uint64_t addr, uint64_t page, bool writable);

/* Copies the line of /proc/self/maps that overlaps [addr, addr + len); "" if unknown. */
void os_mapping_at(uint64_t addr, uint64_t len, char *line, size_t room);

/* ---- Waiting, time, chance ---------------------------------------------- */

/* Waits while *word == value, at most `usec`; any return means "look again".  Shared memory. */
void os_wait_word(const uint32_t *word, uint32_t value, uint32_t usec);
void os_wake_word(const uint32_t *word); /* all waiters */
void os_sleep(uint32_t usec);
uint64_t os_now_usec(void);            /* monotonic */
uint64_t os_clock_sec(void);           /* seconds since the epoch */
void os_random(void *buf, size_t len); /* getrandom; mixes the clock if that fails */
void os_boot_id(uint64_t id[2]);       /* of this boot of the kernel; zeros if unknown */
uint32_t os_pid(void);

/* ---- Threads ------------------------------------------------------------ */

/* The calling thread's pointer, initially NULL: one initial-exec TLS word. */
void *os_thread_get(void);
/* Sets it; os_unmap(pointer, size) happens when the thread exits. */
void os_thread_set(void *pointer, size_t size);

/* Blocks all signals of this thread, and restores them. */
struct os_signals {
	uint64_t bits[16]; /* a sigset_t */
};
void os_signals_off(struct os_signals *saved);
void os_signals_restore(const struct os_signals *saved);

/*
 * Catches SIGBUS: a fault is offered to `claim`, and passed on to whoever handled the signal
 * before, or to its default, unless that returns true.  One at a time; release puts back
 * what was there, unless the program has installed another handler since.
 */
typedef bool os_bus_fn(uint64_t address);
int os_bus_catch(os_bus_fn *claim);
void os_bus_release(void);

/* Whether a call that returned `rc` is to be made again; errno is then `saved`, as before it. */
bool os_interrupted(int rc, int saved);

/* Deferred cancellation off; the result goes to os_cancel_restore(). */
int os_cancel_off(void);
void os_cancel_restore(int state);

/*
 * While any thread holds, fork() in another thread waits (a second at most).  Who opens a
 * descriptor whose locks os_pin_locks() shall pin holds from before the open until the
 * descriptor is closed: else a child born in between would keep the locks alive.
 */
void os_fork_hold(void);
void os_fork_release(void);

/* Writes the text to standard error and aborts. */
_Noreturn void os_die(const char *text);

#endif
