/* SPDX-License-Identifier: MIT */
/*
 * What the tests share: scratch files, child processes, patterns, header repair.
 *
 *  - Nothing here includes a private header or trusts the library: the checksum is
 *    an own one, bit by bit.
 *  - A helper that cannot do its work prints why and aborts; it never fails softly.
 *  - Children leave with _exit(), so nobody but the test's process cleans up.
 *  - The macros that assert expect <cmocka.h> to be included.
 */
#ifndef QALLOC_TEST_SUPPORT_H
#define QALLOC_TEST_SUPPORT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../include/qalloc.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* A helper cannot do its work: says what, about which file or name, and aborts. */
_Noreturn void give_up(const char *what, const char *about);

/* ---- Scratch files ------------------------------------------------------- */

/* cmocka fixtures: a fresh directory; qalloc_cleanup() and its removal. */
int scratch_begin(void **state);
int scratch_end(void **state);

/* Where scratch directories are made from now on; NULL: $TMPDIR or /tmp.  False: not writable. */
bool scratch_in(const char *base);

/* A path in the scratch directory, valid until 16 more were asked for. */
const char *scratch(const char *name);

void write_file(const char *path, const void *bytes, size_t len);
void patch_file(const char *path, uint64_t off, const void *bytes, size_t len);
void read_file(const char *path, uint64_t off, void *bytes, size_t len); /* all of len */
void write_word(const char *path, uint64_t off, uint64_t value);         /* 8 bytes */
uint64_t read_word(const char *path, uint64_t off);
uint64_t file_size(const char *path);
uint64_t file_disk_bytes(const char *path);
bool file_exists(const char *path);
uint32_t file_checksum(const char *path); /* of the whole content; to see that it did not change */

/* ---- Headers ------------------------------------------------------------- */

uint32_t own_crc32c(const uint8_t *bytes, size_t len);
void put_le(uint8_t *bytes, size_t len, uint64_t value);
uint64_t get_le(const uint8_t *bytes, size_t len);
void repair_header(uint8_t *header); /* sets the checksum of a header of 256 bytes */

/* ---- Other processes: processes.c ------------------------------------------ */

#define SIGNALLED 1000 /* added to the signal that ended a child */

/* In a child's body: leaves with 1 and a line on standard error. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return check_failed(__FILE__, __LINE__, #condition);                       \
	} while (0)
int check_failed(const char *file, int line, const char *condition); /* 1 */

typedef int child_fn(void *arg);
pid_t start_child(child_fn *body, void *arg); /* fork; the body's result is the exit status */
int wait_child(pid_t pid);                    /* exit status, or SIGNALLED + signal */
int in_child(child_fn *body, void *arg);      /* both */
/* As wait_child(), but who does not come to an end hangs: it is killed, and -1 returned. */
int wait_bounded(pid_t pid);

uint64_t now_msec(void);
void rest_usec(uint64_t usec);

/* A new process image of this program, with an address space of its own. */
struct role {
	const char *name;
	int (*body)(const char *arg);
};
/* First in main(): runs a role and exits if this process is to play one. */
void roles(int argc, char **argv, const struct role *table, size_t count);
pid_t start_role(const char *name, const char *arg);
int in_role(const char *name, const char *arg);

/* A counter that several processes share. */
uint64_t *shared_words(size_t count);
void release_shared_words(uint64_t *words, size_t count);

/* Comes back when as many processes or threads are here as *gate said. */
void open_gate(uint64_t *gate);

/* ---- Options -------------------------------------------------------------- */

struct number {
	const char *name; /* "--seconds" */
	size_t *value, most;
};
/* Takes "--name N", N from 1 to `most`, at argv[*i], and leaves *i at N.  False: it is not there. */
bool take_number(const struct number *table, size_t count, char **argv, int *i);

/* ---- Data ----------------------------------------------------------------- */

uint64_t next_random(uint64_t *state);
void fill(void *block, size_t size, uint64_t seed);
bool is_filled(const void *block, size_t size, uint64_t seed);
bool is_zero(const void *block, size_t size);
bool under_valgrind(void);
bool under_sanitizer(void);

/* ---- Libqalloc ------------------------------------------------------------ */

struct qalloc_info info_of(void *map);
int errno_of(int error);           /* as qalloc.h documents it; 0: not one value */
bool says(const char *needle);     /* the last message contains it, whatever the case */
bool says_number(uint64_t number); /* in decimal or hexadecimal */
struct qalloc_options options_for(uint64_t flags);
struct qalloc_options dynamic_options(uint64_t flags, size_t filesize, size_t streams);
struct qalloc_options static_options(uint64_t flags, size_t filesize, size_t itemsize,
				     size_t streams);
/* A block from a map that others may keep busy: tries again while the answer is EAGAIN. */
void *patient_malloc(void *map, size_t size);
size_t count_live(void *map);

/* The call returned NULL (or -1), and left this error, its errno, and a message. */
#define assert_refused(call, error) assert_failure((const void *)(call) == NULL, error)
#define assert_fails(call, error) assert_failure((call) == -1, error)
#define assert_failure(condition, error)                                                           \
	do {                                                                                       \
		errno = 0;                                                                         \
		const bool failed_ = (condition);                                                  \
		const int errno_ = errno;                                                          \
		assert_true(failed_);                                                              \
		if (qalloc_error() != (error))                                                     \
			print_error("found: %s (%s)\n", qalloc_strerror(qalloc_error()),           \
				    qalloc_errmsg());                                              \
		assert_int_equal(qalloc_error(), (error));                                         \
		if (errno_of(error) != 0)                                                          \
			assert_int_equal(errno_, errno_of(error));                                 \
		assert_true(qalloc_errmsg()[0] != '\0');                                           \
	} while (0)

/* A handle, or the library's sentence why not. */
#define assert_opened(map)                                                                         \
	do {                                                                                       \
		if ((map) == NULL)                                                                 \
			print_error("not opened: %s\n", qalloc_errmsg());                          \
		assert_non_null(map);                                                              \
	} while (0)

/* A complete check finds nothing; what it finds is printed. */
void print_finding(const char *finding, void *arg);
#define assert_whole(map) assert_int_equal(qalloc_check((map), print_finding, NULL), 0)

#endif
