/* SPDX-License-Identifier: MIT */
/*
 * The scribbler.  See scribble.h.
 */
#include "scribble.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../src/span.h"
#include "../support.h"
#include "torture.h"

static struct geo geo;
static uint8_t *file;

/* Where something is kept that somebody reads. */
static uint64_t choose_place(uint64_t chance)
{
	uint64_t spans = geo.spans < 4096 ? geo.spans : 4096;
	uint64_t n = chance >> 8;

	switch (chance & 15) {
	case 0:
		return STATE_OFF + n % 32 * 8;
	case 1:
		return STATE_INTENT + n % 4 * 8;
	case 2:
		return ROOTS_OFF + n % 512 * 8;
	case 3:
		return SLOTS_OFF + n % 16 * 8;
	case 4:
	case 5:
		return STREAMS_OFF + n % (geo.streams * STREAM_BYTES / 8) * 8;
	case 6:
	case 7:
	case 8:
	case 9:
		return geo.words_off + n % spans * 8;
	case 10:
		return geo.words_off + n % geo.spans * 8;
	case 11:
		return STATE_OFF + n % ((geo.words_off - STATE_OFF) / 8) * 8;
	case 12:
		return geo.records_off + n % (16 * RECORD_BYTES / 8) * 8;
	case 13:
		return STREAMS_OFF + (n >> 8) % geo.streams * STREAM_BYTES + STREAM_INTENT +
		       n % 2 * 8;
	default:
		return geo.pairs_off + n % (spans * geo.span_pairs * PAIR_BYTES / 8) * 8;
	}
}

static uint64_t choose_value(uint64_t chance, uint64_t *state)
{
	uint64_t other = next_random(state);

	switch (chance & 15) {
	case 0:
	case 1:
		return 0;
	case 2:
		return UINT64_MAX;
	case 3:
	case 4:
	case 5:
		return span_word_small((uint32_t)(other % geo.streams),
				       (uint32_t)(other >> 32) % geo.classes);
	case 6:
		return span_word_run(other % (geo.spans + 2));
	case 7:
		return SPAN_TAIL;
	case 8:
		return other % geo.spans;
	case 9: /* An owner that may well be alive. */
		return (other % 6 + 1) << 32 | (other >> 8) % 4 << 20 | (other >> 16) % 4;
	case 10:
		return other % 4;
	case 11:
		return geo.file_size - other % 4096;
	case 12: /* A block, or a cell, of an intent. */
		return geo.data_off + other % (geo.data_end - geo.data_off) / 16 * 16;
	case 13:
		return geo.records_off + other % 16 * RECORD_BYTES + RECORD_BLOCK;
	default:
		return other;
	}
}

/* Some byte of the header or its copy, for a moment. */
static void scribble_header(uint64_t chance)
{
	uint8_t *byte = file + ((chance & 1) != 0 ? HDR_BACKUP_OFF : 0) + (chance >> 8) % HDR_BYTES;
	uint8_t before = __atomic_load_n(byte, __ATOMIC_RELAXED);

	__atomic_store_n(byte, (uint8_t)(chance >> 16), __ATOMIC_RELAXED);
	__atomic_store_n(byte, before, __ATOMIC_RELAXED);
}

static void map_metadata(const char *path, const struct geo *g)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	geo = *g;
	file = mmap(NULL, geo.meta_end, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || file == MAP_FAILED) {
		broken("mapping the map");
	}
	close(fd);
}

uint64_t scribble(const char *path, const struct geo *g, uint64_t seed, const volatile int *stop)
{
	uint64_t state = seed * 2 + 1, n = 0;

	map_metadata(path, g);
	while (!*stop) {
		uint64_t chance = next_random(&state);
		uint64_t off = choose_place(chance);
		uint64_t *word = (uint64_t *)(void *)(file + off);

		__atomic_store_n(word, choose_value(chance >> 40, &state), __ATOMIC_RELAXED);
		n++;
		if (n % 64 == 0) {
			scribble_header(next_random(&state));
		}
		/* In bursts, so that others get somewhere in between. */
		if (n % 4096 == 0 && (chance >> 60) < 8) {
			usleep((unsigned)(chance >> 50 & 1023));
		}
	}
	return n;
}

void scribble_violation(const char *path, const struct geo *g)
{
	map_metadata(path, g);
	*(uint64_t *)(void *)(file + geo.words_off) = 0xEE;
	*(uint64_t *)(void *)(file + STATE_POOL + LOCK_OWNER) = 0;
	munmap(file, geo.meta_end);
}
