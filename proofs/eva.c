/* SPDX-License-Identifier: MIT */
/*
 * What Eva looks at: the decoder with any bytes, any length and any file size.
 *
 *  - Shorter than a header: the buffer has exactly `len` bytes.
 *  - Else it has HDR_BYTES bytes whatever `len` says, so reading further would alarm.
 */
#include "../src/geo.h"
#include "../src/hdr.h"

extern volatile uint8_t any_byte;
extern volatile uint64_t any_word;

static uint8_t header[HDR_BYTES];

void eva_main(void)
{
	struct params p;
	struct geo g;
	uint64_t file_size = any_word;
	uint64_t len = any_word;
	const uint8_t *bytes = header;

	for (uint32_t i = 0; i < HDR_BYTES; i++)
		header[i] = any_byte;
	if (len < HDR_BYTES)
		bytes = header + (HDR_BYTES - len);
	if (hdr_decode(bytes, len, file_size, &p) == QALLOC_OK)
		geo_compute(&p, &g);
}
