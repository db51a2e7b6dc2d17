/* SPDX-License-Identifier: MIT */
/*
 * The format of a map file: constants, and nothing else.  qalloc(5) is the text.
 *
 *   OFFSET   SIZE      WHAT
 *   0x0000   256       header, immutable once the map is complete
 *   0x1000   4 KiB     state: marks, the pool's lock and intent, the roots' lock
 *   0x2000   4 KiB     roots, 64 of 64 bytes
 *   0x3000   16 KiB    process slots, 1024 of 16 bytes
 *   0x7000   32 KiB    reserved, zero
 *   0xF000   256       backup of the header
 *   0x10000  computed  streams, thread records, span words, bit pairs (geo.h)
 *   computed 64 KiB    guard, a hole, mapped PROT_NONE
 *   computed computed  data, to the end of the file
 *
 *  - Only the header is believed, after hdr.h has checked it.  Every offset
 *    beyond 0x10000 is computed from it by geo_compute().
 *  - Everything else is total: every bit pattern is meaningful, or is caught
 *    where it is used.  Zero bytes mean "free", "unlocked", "maybe".
 *  - All integers are little-endian.  There is no pointer in the metadata.
 */
#ifndef QALLOC_FORMAT_H
#define QALLOC_FORMAT_H

#include <stdint.h>

#include "../include/qalloc.h"

/* A constant of the format, whatever the page size of the kernel. */
#define GRANULE 0x10000u
#define FORMAT_VERSION 1u

/* Header: field offsets, each followed by its size in bytes. */
#define HDR_BYTES 256u
#define HDR_BACKUP_OFF 0xF000u
#define HDR_MAGIC 0         /* 8: HDR_MAGIC_DONE, or _CREATING until complete */
#define HDR_VERSION 8       /* 4: FORMAT_VERSION */
#define HDR_ENDIAN 12       /* 2: HDR_ENDIAN_LITTLE */
#define HDR_POINTER_BITS 14 /* 2: 64 */
#define HDR_COMPAT 16       /* 8: unknown bits are ignored */
#define HDR_RO_COMPAT 24    /* 8: unknown bits allow only reading */
#define HDR_INCOMPAT 32     /* 8: unknown bits refuse */
#define HDR_KIND 40         /* 4: enum qalloc_kind, 1 or 2 */
#define HDR_STREAMS 44      /* 4: 1..QALLOC_STREAMS_MAX */
#define HDR_FILE_SIZE 48    /* 8: bytes, equal to the file's length */
#define HDR_BASE 56         /* 8: address */
#define HDR_ITEM_SIZE 64    /* 8: bytes as given; 0 in a dynamic map */
#define HDR_FLAGS 72        /* 8: MAP_FLAG_* */
#define HDR_UUID 80         /* 16: random */
#define HDR_CREATED 96      /* 8: seconds since the epoch */
#define HDR_RESERVED 104    /* 148: zero */
#define HDR_CRC 252         /* 4: CRC-32C of bytes 8..251 */

/* The first byte is not ASCII, and a CR LF notices text-mode copies. */
#define HDR_MAGIC_DONE                                                                             \
	"\x89"                                                                                     \
	"QALC\r\n\x1a"
#define HDR_MAGIC_CREATING                                                                         \
	"\x89"                                                                                     \
	"QALNEW\n"
#define HDR_ENDIAN_LITTLE 0x0102u
#define HDR_COMPAT_KNOWN 0u
#define HDR_RO_COMPAT_KNOWN 0u
#define HDR_INCOMPAT_KNOWN 0u

#define MAP_FLAG_ZERO_ON_FREE 1u
#define MAP_FLAGS_KNOWN 1u

_Static_assert(sizeof(HDR_MAGIC_DONE) == 9, "magic is 8 bytes and a NUL");
_Static_assert(sizeof(HDR_MAGIC_CREATING) == 9, "magic is 8 bytes and a NUL");
_Static_assert(HDR_CRC + 4 == HDR_BYTES, "the checksum ends the header");

/* Addresses: a map with its guards lies in [ADDR_MIN, ADDR_END). */
#define ADDR_MIN 0x10000u
#define ADDR_END 0x7FFFFFFF0000u

/* State page. */
#define STATE_OFF 0x1000u
#define STATE_DIRTY (STATE_OFF + 0)      /* 8: 0 closed cleanly, else attachments since */
#define STATE_BOOT_ID (STATE_OFF + 8)    /* 16: of the kernel that last used it */
#define STATE_FRONTIER (STATE_OFF + 24)  /* 8: no span at or above it was ever taken */
#define STATE_TRIMS (STATE_OFF + 32)     /* 8: odd while spans lose their disk space, then raised */
#define STATE_FREE_HINT (STATE_OFF + 40) /* 8: where the search for a free span begins */
#define STATE_POOL (STATE_OFF + 64)      /* a lock */
#define STATE_INTENT (STATE_OFF + 128)   /* 32: op, first span, count, cell or 0 */
#define STATE_ROOTS (STATE_OFF + 192)    /* a lock */

/* A lock: 8 bytes owner word (0 free), 4 bytes "somebody waits", 4 reserved. */
#define LOCK_OWNER 0
#define LOCK_WAITERS 8

/* Owner word: bits 0-19 thread, 20-31 slot, 32-63 the slot's epoch (never 0). */
#define OWNER_THREAD_BITS 20
#define OWNER_SLOT_BITS 12

#define ROOTS_OFF 0x2000u
#define ROOT_BYTES 64u
#define ROOT_NAME 0   /* 48: NUL-terminated, rest zero */
#define ROOT_VALUE 48 /* 8: offset from base, 0 for NULL */
#define ROOT_STATE 56 /* 8: generation * 2 + (1 if published) */

#define SLOTS_OFF 0x3000u
#define SLOT_BYTES 16u
#define SLOT_EPOCH 0 /* 4: another value for each new occupant, never 0 when in use */
#define SLOT_PID 8   /* 4: for people only */

/* Locks are taken on these bytes of the file with fcntl(F_OFD_SETLK). */
#define LOCK_BYTE_CREATE 0u
#define LOCK_BYTE_SLOT(i) (SLOTS_OFF + (i)*SLOT_BYTES)

#define STREAMS_OFF 0x10000u
#define STREAM_BYTES 512u
#define STREAM_LOCK 0      /* a lock */
#define STREAM_INTENT 64   /* 16: block or 0, cell; the rest reserved, zero */
#define STREAM_CURSORS 128 /* 4 for each size class: no room below this span */

/* A thread record; the rest of its bytes is reserved, zero. */
#define RECORD_BYTES 64u
#define RECORD_OWNER 0  /* 8: owner word, 0: not in use */
#define RECORD_CELL 8   /* 8: whose block it is going to be */
#define RECORD_BLOCK 16 /* 8: 0: none */
#define RECORDS_MIN 64u
#define RECORDS_MAX 4096u

_Static_assert(STATE_ROOTS + 64 <= ROOTS_OFF, "state fits its page");
_Static_assert(ROOTS_OFF + QALLOC_ROOTS_MAX * ROOT_BYTES <= SLOTS_OFF, "roots fit");
_Static_assert(SLOTS_OFF + QALLOC_PROCESSES_MAX * SLOT_BYTES <= HDR_BACKUP_OFF, "slots fit");
_Static_assert(HDR_BACKUP_OFF + HDR_BYTES <= STREAMS_OFF, "backup fits");
_Static_assert(ROOT_NAME + QALLOC_ROOTNAME_MAX + 1 == ROOT_VALUE, "a name and its NUL");

/*
 * Span word: bits 0-7 state, 8-15 size class, 16-31 stream, 32-63 length of a run.
 * FREE is 0 as a whole word; TAIL has no other field; SMALL has length 0; RUN
 * has class and stream 0 and a length of at least 1.
 */
#define SPAN_BYTES_MIN 0x1000u
#define SPAN_BYTES_MAX 0x10000u
enum span_state { SPAN_FREE = 0, SPAN_SMALL = 1, SPAN_RUN = 2, SPAN_TAIL = 3 };

/* Bit pairs: for 64 blocks one word `own` and, behind it, one word `rem`. */
#define PAIR_BYTES 16u
#define ITEMS_PER_SPAN_MAX 8192u /* 8-byte items in a static span of 64 KiB */

/* Intents of the pool. */
enum intent_op { INTENT_NONE = 0, INTENT_RUN_TAKE = 1, INTENT_RUN_FREE = 2 };

#endif
