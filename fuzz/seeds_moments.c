/* SPDX-License-Identifier: MIT */
/*
 * Seeds for a store at one moment inside a call: it is tried before each of the call's loads, so
 * that one of them is the moment.  The map is that of state_seeds(): spans 0 and 1 have small
 * blocks of stream 0, 2 to 4 are a run, 5 has blocks of 2048 bytes, and the others are free.
 */
#include "seeds.h"

#define SPANS 16u

static void write_hostile(const struct seed *image, const char *name, const char *bytes,
			  size_t count)
{
	struct seed s = *image;

	program(&s, bytes, count);
	write_seed(&s, "hostile", name);
}

/* A lock is held by another thread of ours. */
static struct seed held(const struct seed *whole, uint64_t lock)
{
	struct seed s = *whole;

	patch_word(&s, lock, owner_in(whole, 1));
	return s;
}

/* No free span: those that were are runs. */
static void fill(struct seed *s)
{
	for (unsigned i = 6; i < SPANS; i++)
		patch_word(s, WORDS + i * 8, RUN_WORD(1));
	patch_word(s, STATE_FRONTIER, SPANS);
}

/* What was waited for is let go. */
static void let_go_seeds(const struct seed *whole)
{
	struct seed s = held(whole, STATE_POOL);

	write_hostile(&s, "held-pool-is-let-go", "\xE8\x05\x00\x00\xA5\x08", 6);
	/* The holder leaves an intent: that is none of whoever finds the lock free. */
	s = held(whole, STREAMS_OFF);
	patch_word(&s, STREAMS_OFF + STREAM_INTENT, DATA);
	patch_word(&s, STREAMS_OFF + STREAM_INTENT + 8, ROOT_CELL(1));
	write_hostile(&s, "held-stream-is-let-go", "\xE8\x20\x00\xD1\x01\x02\x02", 7);
}

/* Spans come and go between two looks at them. */
static void span_seeds(const struct seed *whole)
{
	struct seed s = held(whole, STREAMS_OFF);

	/* It is gone when its stream is to be entered again; nobody waits for stream 0 then. */
	write_hostile(&s, "taken-span-is-gone", "\xE8\x46\x00\x00\x02\x06", 6);
	/* The pool has none, and then there is one. */
	s = *whole;
	fill(&s);
	patch_word(&s, PAIRS + 5 * 64, 3);
	write_hostile(&s, "full-then-a-span-is-free", "\xE8\x4A\x00\x00\x69\x06", 6);
}

/* Stream 1, whose owner is another dead thread at every load, has the only span that is empty. */
static void restless_lock(const struct seed *whole)
{
	struct seed s = *whole;

	fill(&s);
	patch_word(&s, WORDS + 7 * 8, span_word_small(1, 5));
	write_hostile(&s, "lock-changes-without-pause", "\xE4\x21\x80\x02\x00\x6B\x08", 7);
}

/* Pointers into blocks and runs, of a map that is open for reading. */
static void interior_when_readonly(const struct seed *whole)
{
	static const uint8_t looks[] = {0xA0, 0x43, 0x81, 8, 0x43, 0x82, 8, 0x43, 0x84, 8};
	struct seed s = *whole;

	s.bytes[1] |= OPEN_READONLY;
	program(&s, looks, sizeof(looks));
	write_seed(&s, "loadmap", "readonly-interior-pointers");
}

void moment_seeds(const struct seed *whole)
{
	let_go_seeds(whole);
	span_seeds(whole);
	restless_lock(whole);
	interior_when_readonly(whole);
}
