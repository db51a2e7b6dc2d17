/* SPDX-License-Identifier: MIT */
/*
 * One operation of a rough program, again and again on the same file, with one thing changed each
 * time.  Only a replay has time for that; a fuzzer takes one of the cases (fuzz_repeats).
 */
#include "rough.h"

#define CALLS_EACH 40u
#define LOADS_EACH 120u
/* Enough for two waits for a stream, in which each look costs a microsecond. */
#define STORES_EVERY (fuzz_repeats ? 100000u : 10000u)

/* If it was to open the map and could not, the map is opened now: the program goes on. */
static void go_on(void)
{
	fake.fault_in = 0;
	fake.fault_more = 0;
	fake.countdown = 0;
	if (r.map != NULL)
		return;
	image_put_back();
	rough_open();
}

/*
 * The next operation, again and again on the same file: the first of its system calls fails, the second...,
 * or two, three, or all from there on.
 */
void each_call_fails(uint8_t which, uint32_t more)
{
	const struct input at = *r.in;
	const uint64_t loads = fake.loads;
	bool failed = true;
	static bool inside_one;

	if (inside_one)
		return;
	inside_one = true;
	image_keep();
	for (uint32_t call = 1; failed && call <= CALLS_EACH && r.map != NULL; call++) {
		*r.in = at;
		r.looks = r.reopens = 0;
		fake.faulted = false;
		image_put_back();
		fault_arm(call, which);
		fake.fault_more = more;
		rough_step(take_u8(r.in));
		failed = fake.faulted;
		go_on();
	}
	fake.faulted = true;
	fake.loads = loads;
	image_put_back();
	inside_one = false;
}

static uint64_t each_place, each_word;

static void scribble_again(void)
{
	store(each_place, each_word);
}

/* The same: something is stored before the first of its loads, before the second, and so on. */
void each_load_sees(void)
{
	each_place = take_place();
	each_word = take_word();
	const struct input at = *r.in;
	const uint64_t loads = fake.loads;
	bool seen = true;

	if (fake.scribble != scribble)
		return;
	if (!fuzz_repeats) {
		store(each_place, each_word);
		return;
	}
	fake.scribble = scribble_again;
	image_keep();
	for (uint32_t load = 1; seen && load <= LOADS_EACH && r.map != NULL; load++) {
		*r.in = at;
		r.looks = r.reopens = 0;
		if (each_place == PLACE_LOST)
			find_page();
		image_put_back();
		fake.countdown = load;
		rough_step(take_u8(r.in));
		seen = fake.countdown == 0;
		go_on();
	}
	fake.scribble = scribble;
	fake.loads = loads;
	image_put_back();
}

static uint64_t every_stores;

static void scribble_without_pause(void)
{
	store(each_place, each_word + every_stores++);
	fake.countdown = every_stores < STORES_EVERY ? 1 : 0;
}

/*
 * Once, while a word changes before every load, so that no compare-and-swap of it succeeds: whoever
 * tries again must count, or look at the clock.
 */
void every_load_sees_another(void)
{
	each_place = take_place();
	each_word = take_word();
	if (fake.scribble != scribble)
		return;
	every_stores = 0;
	fake.scribble = scribble_without_pause;
	fake.countdown = 1;
	rough_step(take_u8(r.in));
	fake.countdown = 0;
	fake.scribble = scribble;
}

/* The next operation in a forked child: it has no identity of its own, and attaches anew. */
void in_a_child(void)
{
	struct identity parent = *r.m->self;
	uint8_t op = take_u8(r.in);

	/* It neither opens nor closes. */
	if (op >= 0xC0 && (op & 0x3C) != 0x10)
		return;
	*r.m->self = (struct identity){0};
	rough_step(op);
	fake.fault_in = 0;
	map_detach(r.m);
	*r.m->self = parent;
}
