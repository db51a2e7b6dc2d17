/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C, bit by bit: the header is 256 bytes and is checked once per open, so
 * the form that is proved equal to the definition is fast enough.
 *
 *  - Detects damage; it is no defence against whoever can write the file.
 */
#include "hdr.h"

/* The Castagnoli polynomial, lowest power in the highest bit. */
#define CRC_POLY 0x82F63B78u

/*@ terminates \true;
    exits \false;
    assigns \nothing;
    ensures value: \result == crc_step(crc); */
static uint32_t crc_bit(uint32_t crc)
{
	if (crc % 2 == 0)
		return crc / 2;
	return (crc / 2) ^ CRC_POLY;
}

/*@ terminates \true;
    exits \false;
    assigns \nothing;
    ensures value: \result == crc_eight(crc ^ byte); */
static uint32_t crc_byte(uint32_t crc, uint8_t byte)
{
	uint32_t c = crc ^ byte;

	c = crc_bit(c);
	c = crc_bit(c);
	c = crc_bit(c);
	c = crc_bit(c);
	c = crc_bit(c);
	c = crc_bit(c);
	c = crc_bit(c);
	c = crc_bit(c);
	return c;
}

uint32_t crc32c(const uint8_t *bytes, size_t len)
{
	uint32_t crc = UINT32_MAX;

	/*@ loop invariant range: 0 <= i <= len;
	    loop invariant value: crc == crc_over(bytes, i);
	    loop assigns i, crc;
	    loop variant len - i; */
	for (size_t i = 0; i < len; i++)
		crc = crc_byte(crc, bytes[i]);
	return UINT32_MAX - crc;
}
