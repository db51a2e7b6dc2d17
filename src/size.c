/* SPDX-License-Identifier: MIT */
/*
 * Size classes, as tables: a request finds its class with one load.
 *
 *  - Trusts nothing; every function is total over what its contract requires.
 *  - Every class of more than 1024 bytes is a multiple of 256, so units of 16
 *    bytes up to 1024 and of 256 bytes above it never round across a class.
 */
#include "size.h"

#define UNIT_SMALL 16u
#define UNIT_LARGE 256u
#define SMALL_MAX 1024u

/* clang-format off */
static const uint16_t bytes_of_class[CLASS_COUNT] = {
	16, 32, 48, 64, 80, 96, 112, 128,
	160, 192, 224, 256, 320, 384, 448, 512,
	640, 768, 896, 1024, 1280, 1536, 1792, 2048,
	2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192,
	10240, 12288, 14336, 16384, 20480, 24576, 28672, 32768,
};

/* The class of 16 * i bytes. */
static const uint8_t class_of_small[SMALL_MAX / UNIT_SMALL + 1] = {
	0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 9, 10, 10, 11,
	11, 12, 12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14, 15, 15, 15,
	15, 16, 16, 16, 16, 16, 16, 16, 16, 17, 17, 17, 17, 17, 17, 17,
	17, 18, 18, 18, 18, 18, 18, 18, 18, 19, 19, 19, 19, 19, 19, 19,
	19,
};

/* The class of 256 * i bytes; the first five entries are for i that class_of_small serves. */
static const uint8_t class_of_large[CLASS_BYTES_MAX / UNIT_LARGE + 1] = {
	19, 19, 19, 19, 19, 20, 21, 22, 23, 24, 24, 25, 25, 26, 26, 27,
	27, 28, 28, 28, 28, 29, 29, 29, 29, 30, 30, 30, 30, 31, 31, 31,
	31, 32, 32, 32, 32, 32, 32, 32, 32, 33, 33, 33, 33, 33, 33, 33,
	33, 34, 34, 34, 34, 34, 34, 34, 34, 35, 35, 35, 35, 35, 35, 35,
	35, 36, 36, 36, 36, 36, 36, 36, 36, 36, 36, 36, 36, 36, 36, 36,
	36, 37, 37, 37, 37, 37, 37, 37, 37, 37, 37, 37, 37, 37, 37, 37,
	37, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38,
	38, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39,
	39,
};
/* clang-format on */

uint32_t class_bytes(uint32_t cls)
{
	return bytes_of_class[cls];
}

uint32_t class_of(uint64_t bytes)
{
	if (bytes <= SMALL_MAX)
		return class_of_small[(bytes + (UNIT_SMALL - 1)) / UNIT_SMALL];
	if (bytes <= CLASS_BYTES_MAX)
		return class_of_large[(bytes + (UNIT_LARGE - 1)) / UNIT_LARGE];
	return CLASS_NONE;
}

uint32_t class_count(uint64_t span_bytes)
{
	uint64_t half = span_bytes / 2;
	uint32_t count = 0;

	/*@ loop invariant range: 0 <= count <= CLASS_COUNT;
	    loop invariant fit: \forall integer c; 0 <= c < count ==> class_size(c) <= half;
	    loop assigns count;
	    loop variant CLASS_COUNT - count; */
	while (count < CLASS_COUNT && class_bytes(count) <= half)
		count++;
	return count;
}

uint32_t class_aligned(uint64_t bytes, uint64_t align, uint32_t classes)
{
	/*@ loop invariant range: 0 <= cls <= CLASS_COUNT;
	    loop invariant fit: cls < CLASS_COUNT ==> class_size(cls) >= bytes;
	    loop invariant smallest: \forall integer c; 0 <= c < cls && c < classes ==>
	                               class_size(c) < bytes || class_size(c) % align != 0;
	    loop assigns cls;
	    loop variant CLASS_COUNT - cls; */
	for (uint32_t cls = class_of(bytes); cls < classes && cls < CLASS_COUNT; cls++) {
		if (class_bytes(cls) % align == 0)
			return cls;
	}
	return CLASS_NONE;
}
