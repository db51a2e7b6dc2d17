/* SPDX-License-Identifier: MIT */
/*
 * A program without a model, and its adversary.
 */
#ifndef QALLOC_FUZZ_ROUGH_H
#define QALLOC_FUZZ_ROUGH_H

#include "fuzz.h"

#define BLOCKS 32u

struct rough {
	void *map;
	struct map *m;
	int fd;
	const struct qalloc_options *options;
	struct input *in;
	void *blocks[BLOCKS];
	uint64_t base, start, end; /* of the data area */
	uint64_t visits;
	uint32_t steps, reopens, looks;
	bool hostile;
};
extern struct rough r;

void rough_step(uint8_t op);
void rough_open(void); /* r.map; NULL: that failed */

/* ---- again.c ------------------------------------------------------------- */

/* The next operation with its first system call failing, its second, ..., and `more` behind that. */
void each_call_fails(uint8_t which, uint32_t more);
/* With a store that the program says before its first load, its second, ... */
void each_load_sees(void);
/* With a word that is another one before every load. */
void every_load_sees_another(void);
/* The next operation in a forked child. */
void in_a_child(void);

/* ---- adversary.c --------------------------------------------------------- */

#define PLACE_LOST UINT64_MAX /* not a word: the file cannot give a page any more */

uint64_t take_word(void);
uint64_t take_place(void);
void store(uint64_t place, uint64_t word);
void lose_page(void);
void find_page(void); /* only here: a map that lost one stays lost */
/* One store that the program says, and when the next one comes. */
void scribble(void);

#endif
