/* SPDX-License-Identifier: MIT */
/*
 * Little-endian fields, a byte at a time: the core never casts bytes to words.
 *
 *  - Sums and products instead of shifts: the provers follow these.
 */
#ifndef QALLOC_LE_H
#define QALLOC_LE_H

#include <stdint.h>

#ifdef __FRAMAC__
#include "../proofs/le.acsl"
#endif

/*@ requires mem: \valid_read(p + (0 .. 1));
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures value: \result == le16(p); */
static inline uint32_t load16(const uint8_t *p)
{
	return p[0] + 0x100u * p[1];
}

/*@ requires mem: \valid_read(p + (0 .. 3));
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures value: \result == le32(p); */
static inline uint32_t load32(const uint8_t *p)
{
	return p[0] + 0x100u * p[1] + 0x10000u * p[2] + 0x1000000u * p[3];
}

/*@ requires mem: \valid_read(p + (0 .. 7));
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures value: \result == le64(p); */
static inline uint64_t load64(const uint8_t *p)
{
	uint64_t low = load32(p);
	uint64_t high = load32(p + 4);

	return low + 0x100000000u * high;
}

/*@ requires mem: \valid(p + (0 .. 1));
    requires range: v <= 0xFFFF;
    terminates \true;
    exits \false;
    assigns p[0 .. 1];
    ensures value: le16(p) == v; */
static inline void store16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v % 0x100u);
	p[1] = (uint8_t)(v / 0x100u);
}

/*@ requires mem: \valid(p + (0 .. 3));
    terminates \true;
    exits \false;
    assigns p[0 .. 3];
    ensures value: le32(p) == v; */
static inline void store32(uint8_t *p, uint32_t v)
{
	uint32_t above0 = v / 0x100u;
	uint32_t above1 = above0 / 0x100u;
	uint32_t above2 = above1 / 0x100u;

	p[0] = (uint8_t)(v % 0x100u);
	p[1] = (uint8_t)(above0 % 0x100u);
	p[2] = (uint8_t)(above1 % 0x100u);
	p[3] = (uint8_t)above2;
}

/*@ requires mem: \valid(p + (0 .. 7));
    terminates \true;
    exits \false;
    assigns p[0 .. 7];
    ensures value: le64(p) == v; */
static inline void store64(uint8_t *p, uint64_t v)
{
	store32(p, (uint32_t)(v % 0x100000000u));
	store32(p + 4, (uint32_t)(v / 0x100000000u));
}

#endif
