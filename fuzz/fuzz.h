/* SPDX-License-Identifier: MIT */
/*
 * What the harnesses share.
 *
 * One input format serves all of them, so that one mutator and one set of seeds do:
 *
 *   OFFSET  SIZE  WHAT
 *   0       1     control: CONTROL_*
 *   1       1     how to open: OPEN_*
 *   2       2     bytes of the program at the end of the input
 *   4       8     size of the file
 *   12      ...   patches {6 bytes offset, 2 bytes length, bytes} over a file of zeros
 *   ...     ...   the program: operations, see rough.c and model.c
 *
 *  - Every byte string is an input: what is missing is zero, what is too much is ignored.
 *  - The library is the shipped one.  Its clock, its chance and its reservations are replaced
 *    behind os.h (fake.c), and its word accessors call word_hook() first (hook.h), so
 *    that a run is deterministic and stores can be placed between any two loads.
 */
#ifndef QALLOC_FUZZ_H
#define QALLOC_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../src/map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fuzz_fail(__FILE__, __LINE__, #condition);                                 \
	} while (0)

/* Says which property does not hold, with the library's last sentence, and aborts. */
_Noreturn void fuzz_fail(const char *file, int line, const char *condition);

/* Where we are, to standard error, if there is a sanitizer that can tell. */
void fuzz_stack(void);

/* ---- The input ---------------------------------------------------------- */

#define PREFIX_BYTES 12u
#define PATCH_BYTES 8u
#define IMAGE_SIZE_MAX (QALLOC_FILESIZE_MAX + 0x20000u)

#define CONTROL_REPAIR 1u   /* the checksum of the header is made right */
#define CONTROL_HOLES 2u    /* what no patch writes is a hole, and not zeros on disk */
#define CONTROL_NO_SPACE 4u /* the file system cannot reserve */
#define CONTROL_SIZES 8u    /* fuzz_header: what is slow as well, sizes and broken geometries */
#define CONTROL_LATE 8u     /* others: the failing call is 15 later */
#define CONTROL_FAULT 0xF0u /* which system call fails while the file is opened; 0: none */

#define OPEN_CREATE 1u
#define OPEN_READONLY 2u
#define OPEN_VERIFY 4u
#define OPEN_ZERO_ON_FREE 8u
#define OPEN_STATIC 16u
#define OPEN_EXPECT 32u /* expect certain parameters */
#define OPEN_EXCLUSIVE 64u
#define OPEN_PATH 128u /* by a path */

/* Bytes that are consumed from the front; zeros behind the end. */
struct input {
	const uint8_t *at;
	size_t left;
};

struct image {
	uint8_t control;
	uint8_t options;
	uint64_t file_size;
	struct input patches;
	struct input program;
};

uint64_t take_bytes(struct input *in, unsigned count); /* little-endian, count <= 8 */
static inline uint8_t take_u8(struct input *in)
{
	return (uint8_t)take_bytes(in, 1);
}

/* A copy of the input in a buffer of its exact size, valid until the next call. */
struct input input_copy(const uint8_t *data, size_t size);

struct image image_parse(struct input in);
bool patch_next(struct input *patches, uint64_t *off, struct input *bytes);

/* The first bytes of the file, with the checksum repaired if asked. */
void image_header(const struct image *image, uint8_t header[HDR_BYTES]);

/* Makes the file, anew for each input.  Its descriptor. */
int image_build(const struct image *image);

/* Whether the file still is what image_build() made of it. */
bool image_is_unchanged(const struct image *image);

/* An empty file instead. */
int image_blank(bool holes);

/* The options that the input asks for, and opening with them. */
struct qalloc_options image_options(const struct image *image);
void *image_open(const struct image *image, int fd, const struct qalloc_options *options);

/* Keeps what is in the file; puts it back, and answers what differs.  A sparse one stays as it is. */
void image_keep(void);
void image_put_back(void);

/* Reads and writes the file behind the library's back. */
bool image_has_header(const uint8_t header[HDR_BYTES]);
uint64_t file_get(uint64_t off);
void file_put(uint64_t off, uint64_t value);
uint64_t file_allocated(void); /* bytes, as image_build() left it */
uint64_t file_blocks(void);    /* bytes, now */
bool file_is_dense(void);      /* it has all its pages, as image_build() made it */
void file_punched(void);       /* and now it has holes */
uint64_t image_digest(void);   /* of what is in it, now */
bool image_is_portable(void);  /* its address is nobody's, whatever the program is built with */
uint64_t image_contents(void); /* the same, but for the disk space that it takes */

/* An independent CRC-32C of a header. */
uint32_t header_checksum(const uint8_t *header);
void put_le(uint8_t *bytes, unsigned count, uint64_t value);
uint64_t get_le(const uint8_t *bytes, unsigned count);

/* ---- The fake world ------------------------------------------------------ */

/* What the library sees behind os.h; reset by fake_begin(). */
struct fake {
	uint64_t now;           /* microseconds; waiting moves it */
	uint64_t chance;        /* state of os_random() */
	uint64_t reserved;      /* bytes since call_begin() */
	uint64_t reserve_limit; /* more than this is a finding */
	uint64_t disk_begin;    /* bytes that were allocated in the beginning */
	uint64_t disk_bytes;    /* how many more there are */
	uint64_t loads;         /* of words of the map, and of its file */
	uint32_t disk_left;     /* reservations until the disk is full; 0: never */
	int full_errno;         /* how a full disk is told: ENOSPC, or EDQUOT */
	bool no_space_calls;    /* the file system cannot reserve */
	bool ran_full;          /* a reservation was refused */
	uint64_t started;       /* when the call began */
	uint32_t fault_in;      /* system calls until one fails; 0: none */
	int fault_errno;        /* and how */
	bool faulted;           /* one has failed */
	uint32_t fault_more;    /* and so do as many that follow */
	bool other_user;        /* root is somebody else */
	bool doubted;           /* it was the one that tells whose a descriptor is */
	uint32_t countdown;     /* loads until `scribble` is called; 0: never */
	void (*scribble)(void);
};
extern struct fake fake;

/* Disks: a map that serves no model needs no more than room for the tables of a large one. */
#define DISK_ROUGH ((uint64_t)1 << 20)
#define DISK_MODEL ((uint64_t)32 << 20)

void fake_begin(bool no_space_calls, uint64_t disk_bytes);

/* The system call that comes as the n-th from now fails (faults.c). */
void fault_arm(uint32_t calls, uint8_t which);
/* Inside such a call: this is the one. */
bool fault_now(void);
/* While the file is opened, as CONTROL_FAULT says. */
void fault_open(const struct image *image, int fd);
/* At the end of an input: whatever failed, no descriptor is left open but those that are always. */
void fault_settle(int fd);
/* What the library has of private memory. */
uint64_t private_bytes(void);

/* Around each call of the library: it ends in bounded time, and takes bounded disk space. */
void call_begin(uint64_t wanted_bytes);
void call_end(void);

/* What the library answered, for the record (answers.c). */
void answer(uint64_t value);

/* With `-v` the replay says what a program does. */
extern bool fuzz_verbose;
/* A replay repeats an operation where the program says so; a fuzzer, which has time, takes one case. */
extern bool fuzz_repeats;
void trace(uint8_t op, uint64_t detail);

/* Inside the library, before each load of a word of the map. */
void word_hook(const void *word);

/* ---- Threads without threads --------------------------------------------- */

#define FUZZ_THREADS 4u

/* From now on the library sees another thread. */
void thread_become(unsigned index);
/* The owner word that this thread has, or would have, in the map. */
uint64_t thread_owner(const struct map *m, unsigned index);
/* An owner word of a process that is gone. */
uint64_t dead_owner(unsigned chance);

/* ---- Operations ---------------------------------------------------------- */

/* A size that is worth trying in this map. */
size_t take_size(struct input *in, const struct map *m);

/*
 * Around each call.  Success leaves errno alone; a failure sets it, has a code that the bytes of a
 * map can cause, and a sentence.
 */
void call_enter(uint64_t wanted_bytes);
/* What a visitor leaves in errno: that is none of the call's business. */
#define ERRNO_VISITOR 7778
void expect(bool success);
void expect_success(void);
int expect_failure(void); /* enum qalloc_err */

/* Under MemorySanitizer: nothing in the map comes from memory that nobody wrote. */
void expect_initialized(const struct map *m);

/* Calls with wrong arguments.  fd: of the file that is open as a map. */
void wrong_arguments(void *map, int fd, uint8_t which);

/*
 * Runs the program on an open map without any model: only errors and addresses inside the map
 * may come out.  The map is closed at the end.  With `hostile` the program also
 * stores to arbitrary metadata, between and inside the calls.
 */
void rough_run(void *map, int fd, const struct qalloc_options *options, struct input *program,
	       bool hostile);

/*
 * Runs the program on a map that is whole, against a model: what is live, what it holds, what
 * must be refused.  `busy`: some lock of the map may be held for ever.  The map is closed.
 */
void model_run(void *map, int fd, struct input *program, bool busy);

#endif
