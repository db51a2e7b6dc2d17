/* SPDX-License-Identifier: MIT */
/*
 * The adversary of the rough programs: what it stores, and where.
 *
 *  - It also takes a page away: then the handle is poisoned, as the handler of SIGBUS does it, at
 *    that load, and every call must notice that before it believes what it read.
 */
#include "rough.h"

uint64_t take_word(void)
{
	uint8_t how = take_u8(r.in);

	switch (how >> 5) {
	case 0:
		return how & 3;
	case 1:
		return span_word_small(how & 3, take_u8(r.in));
	case 2:
		return span_word_run((how & 16) != 0 ? r.m->geo.spans - (how & 15) : how & 15);
	case 3:
		return thread_owner(r.m, how);
	case 4:
		return dead_owner(take_u8(r.in));
	case 5:
		return (uint64_t)1 << (2 * (how & 31));
	case 6:
		return (how & 16) != 0 ? UINT64_MAX : r.m->geo.spans - 8 + (how & 15);
	default:
		return take_bytes(r.in, 8);
	}
}

uint64_t take_place(void)
{
	static const uint16_t state[] = {STATE_DIRTY,       STATE_BOOT_ID,     STATE_FRONTIER,
					 STATE_TRIMS,       STATE_FREE_HINT,   STATE_POOL,
					 STATE_POOL + 8,    STATE_INTENT,      STATE_INTENT + 8,
					 STATE_INTENT + 16, STATE_INTENT + 24, STATE_ROOTS,
					 STATE_ROOTS + 8};
	const struct geo *g = &r.m->geo;
	uint8_t how = take_u8(r.in);
	uint64_t n = how & 31;

	switch (how >> 5) {
	case 0:
		if (n == 31)
			return PLACE_LOST;
		return state[n % (sizeof(state) / sizeof(state[0]))];
	case 1:
		n = STREAMS_OFF + n % g->streams * STREAM_BYTES + (n >> 3) * 64;
		return n + (n % 128 == 64 ? take_u8(r.in) % 2 * 8 : 0);
	case 2:
	case 3:
		return g->words_off + n % g->spans * 8;
	case 4:
		return g->pairs_off + n % g->spans * g->span_pairs * PAIR_BYTES +
		       take_u8(r.in) % 32 * 8;
	case 5:
		return ROOTS_OFF + n / 8 * ROOT_BYTES + n % 8 * 8;
	case 6:
		return (n & 16) != 0 ? SLOTS_OFF + n % 16 * 8
				     : g->records_off + n / 3 * RECORD_BYTES + n % 3 * 8;
	default:
		return take_bytes(r.in, 3) % g->meta_end / 8 * 8;
	}
}

void lose_page(void)
{
	__atomic_store_n(&r.m->poison, r.base + GRANULE, __ATOMIC_RELEASE);
	__atomic_store_n(&r.m->magic, MAP_POISONED ^ map_secret, __ATOMIC_RELEASE);
}

void find_page(void)
{
	__atomic_store_n(&r.m->poison, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&r.m->magic, MAP_OPEN ^ map_secret, __ATOMIC_RELEASE);
}

void store(uint64_t place, uint64_t word)
{
	if (place == PLACE_LOST)
		lose_page();
	else
		file_put(place, word);
}

void scribble(void)
{
	uint64_t place = take_place();

	store(place, take_word());
	fake.countdown = r.in->left > 0 ? take_u8(r.in) : 0;
}
