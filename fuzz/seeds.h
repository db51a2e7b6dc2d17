/* SPDX-License-Identifier: MIT */
/*
 * How seeds are made: seeds.c has the maps and programs, seeds_rules.c one seed for each rule.
 */
#ifndef QALLOC_FUZZ_SEEDS_H
#define QALLOC_FUZZ_SEEDS_H

#include "fuzz.h"

#define BASE UINT64_C(0x510000100000)
#define SEED_MAX ((size_t)64 << 10)
#define DEAD UINT64_C(0x0000000500100001)

struct seed {
	uint8_t bytes[SEED_MAX];
	size_t size;
};

struct seed begin(uint8_t control, uint8_t options, uint64_t file_size);
/* A file of this size with the header of these parameters, opened without options. */
struct seed begin_with(uint8_t control, const struct params *p);
void patch(struct seed *s, uint64_t off, const void *bytes, size_t count);
void patch_word(struct seed *s, uint64_t off, uint64_t value);
void program(struct seed *s, const void *bytes, size_t count);
void program_everything(struct seed *s);
void program_modelled(struct seed *s);
void write_seed(const struct seed *s, const char *harness, const char *name);

/* A map of these parameters, in the one file; what the file holds as patches; to all that take maps. */
struct qalloc_options shape(uint64_t kind, uint64_t size, uint64_t item, uint64_t streams);
struct map *create(const struct qalloc_options *options);
void dump(struct seed *s, uint64_t size);
void write_map(const struct seed *image, const char *name);

/* The owner word that a thread has when the image is opened. */
uint64_t owner_in(const struct seed *image, unsigned thread);

/* To those that run rough programs, with one that publishes. */
void write_published(const struct seed *image, const char *name);

/* Parameters without a fault. */
struct params sound(bool is_static);

/* Where the map of state_seeds() has its tables: two streams, 16 spans of 4096 bytes. */
#define WORDS 0x12000u
#define PAIRS 0x13000u
#define RECORDS 0x11000u
#define DATA 0x30000u
#define ROOT_CELL(i) (ROOTS_OFF + (i)*ROOT_BYTES + ROOT_VALUE)
#define RUN_WORD(n) (SPAN_RUN + ((uint64_t)(n) << 32))

/* ---- seeds_rules.c ------------------------------------------------------- */

void header_seeds(void);
void geometry_seeds(void);
void open_seeds(void);
void state_seeds(void);

/* ---- seeds_sweeps.c ------------------------------------------------------ */

void write_faults(const struct seed *image, const char *name);
void write_open_faults(const struct seed *image);
void write_stores(const struct seed *image, const char *name, unsigned first, unsigned end);
void write_settled(const struct seed *image, const char *name);
void dead_seeds(void);

/* ---- seeds_moments.c ----------------------------------------------------- */

void moment_seeds(const struct seed *whole);

/* ---- seeds_tables.c ------------------------------------------------------ */

void table_seeds(struct seed whole, struct seed zeroing);

#endif
