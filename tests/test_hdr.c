/* SPDX-License-Identifier: MIT */
/*
 * The header: each rule broken alone, with the checksum repaired, gives its own
 * error; damage of any single bit is refused; the codec loses nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "../src/hdr.h"

#define MIB ((uint64_t)1 << 20)
#define ROUNDS 20000

static uint64_t seed;

static uint64_t chance(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static const struct params sound_dynamic = {
	.file_size = MIB,
	.base = 0x510000000000,
	.created = 1700000000,
	.uuid = {0x0123456789ABCDEF, 0xFEDCBA9876543210},
	.kind = QALLOC_DYNAMIC,
	.streams = 4,
};

static const struct params sound_static = {
	.file_size = MIB + 1,
	.base = 0x550000000000,
	.item_size = 24,
	.flags = MAP_FLAG_ZERO_ON_FREE,
	.compat = 0x8000000000000001,
	.ro_compat = 2,
	.created = 1,
	.uuid = {1, 2},
	.kind = QALLOC_STATIC,
	.streams = 1,
};

static void put(uint8_t *bytes, uint32_t off, uint32_t len, uint64_t value)
{
	for (uint32_t i = 0; i < len; i++)
		bytes[off + i] = (uint8_t)(value >> (8 * i));
}

static void repair_checksum(uint8_t *bytes)
{
	put(bytes, HDR_CRC, 4, crc32c(bytes + 8, HDR_CRC - 8));
}

static void crc32c_of_123456789_is_e3069283(void **state)
{
	(void)state;
	assert_int_equal(crc32c((const uint8_t *)"123456789", 9), 0xE3069283);
	assert_int_equal(crc32c((const uint8_t *)"", 0), 0);
}

/* RFC 3720, B.4. */
static void crc32c_agrees_with_the_vectors_of_iscsi(void **state)
{
	uint8_t bytes[32];

	(void)state;
	memset(bytes, 0, 32);
	assert_int_equal(crc32c(bytes, 32), 0x8A9136AA);
	memset(bytes, 0xFF, 32);
	assert_int_equal(crc32c(bytes, 32), 0x62A8AB43);
	for (int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(crc32c(bytes, 32), 0x46DD794E);
	for (int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)(31 - i);
	assert_int_equal(crc32c(bytes, 32), 0x113FDB5C);
}

static void each_field_stands_at_its_documented_offset(void **state)
{
	uint8_t bytes[HDR_BYTES];
	uint8_t expected[HDR_BYTES] = {0};

	(void)state;
	memcpy(expected, "\x89QALC\r\n\x1a", 8);
	put(expected, 8, 4, 1);
	put(expected, 12, 2, 0x0102);
	put(expected, 14, 2, 64);
	put(expected, 16, 8, sound_static.compat);
	put(expected, 24, 8, sound_static.ro_compat);
	put(expected, 40, 4, 1);
	put(expected, 44, 4, sound_static.streams);
	put(expected, 48, 8, sound_static.file_size);
	put(expected, 56, 8, sound_static.base);
	put(expected, 64, 8, sound_static.item_size);
	put(expected, 72, 8, sound_static.flags);
	put(expected, 80, 8, sound_static.uuid[0]);
	put(expected, 88, 8, sound_static.uuid[1]);
	put(expected, 96, 8, sound_static.created);
	put(expected, 252, 4, crc32c(expected + 8, 244));
	hdr_encode(&sound_static, bytes);
	assert_memory_equal(bytes, expected, HDR_BYTES);
}

struct broken_field {
	const char *what;
	uint32_t off, len;
	uint64_t value;
	enum qalloc_err error;
	bool of_static;
};

/* clang-format off */
static const struct broken_field broken_fields[] = {
	{"magic of nothing", HDR_MAGIC, 8, 0, QALLOC_EMAGIC, false},
	{"magic of a text-mode copy", HDR_MAGIC, 8, 0x1A0A0A434C415189, QALLOC_EMAGIC, false},
	{"magic of an unfinished map", HDR_MAGIC, 8, 0x0A57454E4C415189, QALLOC_ECREATING, false},
	{"version 0", HDR_VERSION, 4, 0, QALLOC_EVERSION, false},
	{"version 2", HDR_VERSION, 4, 2, QALLOC_EVERSION, false},
	{"version in the highest byte", HDR_VERSION, 4, 0x01000001, QALLOC_EVERSION, false},
	{"big-endian", HDR_ENDIAN, 2, 0x0201, QALLOC_EBYTEORDER, false},
	{"32-bit pointers", HDR_POINTER_BITS, 2, 32, QALLOC_EPOINTER, false},
	{"pointer bits, high byte", HDR_POINTER_BITS, 2, 0x0140, QALLOC_EPOINTER, false},
	{"lowest incompatible feature", HDR_INCOMPAT, 8, 1, QALLOC_EFEATURE, false},
	{"highest incompatible feature", HDR_INCOMPAT, 8, 1ull << 63, QALLOC_EFEATURE, false},
	{"first reserved byte", HDR_RESERVED, 1, 1, QALLOC_ERESERVED, false},
	{"last reserved byte", HDR_CRC - 1, 1, 0x80, QALLOC_ERESERVED, false},
	{"kind 0", HDR_KIND, 4, 0, QALLOC_EKIND, false},
	{"kind 3", HDR_KIND, 4, 3, QALLOC_EKIND, false},
	{"kind in the highest byte", HDR_KIND, 4, 0x01000002, QALLOC_EKIND, false},
	{"flag 1", HDR_FLAGS, 8, 2, QALLOC_EFLAGS, false},
	{"flag 63", HDR_FLAGS, 8, 1ull << 63, QALLOC_EFLAGS, false},
	{"file size 0", HDR_FILE_SIZE, 8, 0, QALLOC_EFILESIZE, false},
	{"file size beyond the limit", HDR_FILE_SIZE, 8, QALLOC_FILESIZE_MAX + 1, QALLOC_EFILESIZE, false},
	{"largest file size", HDR_FILE_SIZE, 8, UINT64_MAX, QALLOC_EFILESIZE, false},
	{"file size not the file's", HDR_FILE_SIZE, 8, MIB + 2, QALLOC_EFILESIZE, false},
	{"item size in a dynamic map", HDR_ITEM_SIZE, 8, 1, QALLOC_EITEMSIZE, false},
	{"item size 0 in a static map", HDR_ITEM_SIZE, 8, 0, QALLOC_EITEMSIZE, true},
	{"item larger than the data area", HDR_ITEM_SIZE, 8, MIB, QALLOC_EITEMSIZE, true},
	{"item larger than any file", HDR_ITEM_SIZE, 8, QALLOC_FILESIZE_MAX + 1, QALLOC_EITEMSIZE, true},
	{"largest item size", HDR_ITEM_SIZE, 8, UINT64_MAX, QALLOC_EITEMSIZE, true},
	{"no stream", HDR_STREAMS, 4, 0, QALLOC_ESTREAMS, false},
	{"one stream too many", HDR_STREAMS, 4, QALLOC_STREAMS_MAX + 1, QALLOC_ESTREAMS, false},
	{"most streams", HDR_STREAMS, 4, UINT32_MAX, QALLOC_ESTREAMS, false},
	{"address null", HDR_BASE, 8, 0, QALLOC_EADDRNULL, false},
	{"address of a page", HDR_BASE, 8, 0x510000001000, QALLOC_EADDRALIGN, false},
	{"address not even even", HDR_BASE, 8, UINT64_MAX, QALLOC_EADDRALIGN, false},
	{"address at the end of user space", HDR_BASE, 8, ADDR_END, QALLOC_EADDRWINDOW, false},
	{"highest address", HDR_BASE, 8, 0xFFFFFFFFFFFF0000, QALLOC_EADDRWINDOW, false},
	{"no room for the guard behind", HDR_BASE, 8, ADDR_END - MIB, QALLOC_EADDRWRAP, false},
	{"last address", HDR_BASE, 8, ADDR_END - GRANULE, QALLOC_EADDRWRAP, false},
};
/* clang-format on */

static void each_broken_field_gives_its_own_error(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(broken_fields) / sizeof(broken_fields[0]); i++) {
		const struct broken_field *b = &broken_fields[i];
		const struct params *sound = b->of_static ? &sound_static : &sound_dynamic;
		struct params found;
		uint8_t bytes[HDR_BYTES];

		hdr_encode(sound, bytes);
		assert_int_equal(hdr_decode(bytes, HDR_BYTES, sound->file_size, &found), QALLOC_OK);
		put(bytes, b->off, b->len, b->value);
		repair_checksum(bytes);
		if (hdr_decode(bytes, HDR_BYTES, sound->file_size, &found) != b->error)
			fail_msg("%s", b->what);
	}
}

static void of_two_broken_rules_the_earlier_one_is_named(void **state)
{
	static const struct {
		uint32_t off, len;
		uint64_t value;
		enum qalloc_err error;
	} rules[] = {
		{HDR_STREAMS, 4, 0, QALLOC_ESTREAMS},
		{HDR_ITEM_SIZE, 8, 1, QALLOC_EITEMSIZE},
		{HDR_FILE_SIZE, 8, 0, QALLOC_EFILESIZE},
		{HDR_FLAGS, 8, 2, QALLOC_EFLAGS},
		{HDR_KIND, 4, 3, QALLOC_EKIND},
		{HDR_RESERVED, 1, 1, QALLOC_ERESERVED},
		{HDR_CRC, 4, 0, QALLOC_ECHECKSUM},
		{HDR_INCOMPAT, 8, 4, QALLOC_EFEATURE},
		{HDR_POINTER_BITS, 2, 0, QALLOC_EPOINTER},
		{HDR_ENDIAN, 2, 0, QALLOC_EBYTEORDER},
		{HDR_VERSION, 4, 9, QALLOC_EVERSION},
		{HDR_MAGIC, 1, 0, QALLOC_EMAGIC},
	};
	struct params found;
	uint8_t bytes[HDR_BYTES];

	(void)state;
	hdr_encode(&sound_dynamic, bytes);
	put(bytes, HDR_BASE, 8, 0);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		put(bytes, rules[i].off, rules[i].len, rules[i].value);
		/* From the checksum's turn on it stays broken. */
		if (rules[i].error > QALLOC_ECHECKSUM)
			repair_checksum(bytes);
		assert_int_equal(hdr_decode(bytes, HDR_BYTES, MIB, &found), rules[i].error);
	}
	assert_int_equal(hdr_decode(bytes, HDR_BYTES - 1, MIB, &found), QALLOC_ESHORT);
}

static void every_flipped_bit_is_refused(void **state)
{
	const struct params *sound[] = {&sound_dynamic, &sound_static};

	(void)state;
	for (int which = 0; which < 2; which++) {
		struct params found;
		uint8_t bytes[HDR_BYTES];

		hdr_encode(sound[which], bytes);
		for (uint32_t bit = 0; bit < HDR_BYTES * 8; bit++) {
			bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_not_equal(
				hdr_decode(bytes, HDR_BYTES, sound[which]->file_size, &found),
				QALLOC_OK);
			bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		assert_int_equal(hdr_decode(bytes, HDR_BYTES, sound[which]->file_size, &found),
				 QALLOC_OK);
	}
}

static void a_short_file_or_read_is_short_and_leaves_zeros(void **state)
{
	static const struct params zeros;
	uint8_t bytes[HDR_BYTES];

	(void)state;
	hdr_encode(&sound_dynamic, bytes);
	for (size_t len = 0; len < HDR_BYTES; len++) {
		struct params found;

		memset(&found, 0xAA, sizeof(found));
		assert_int_equal(hdr_decode(bytes, len, MIB, &found), QALLOC_ESHORT);
		assert_int_equal(found.file_size, 0);
		assert_int_equal(found.streams, zeros.streams);
		assert_int_equal(found.uuid[1], 0);
		assert_int_equal(hdr_decode(bytes, HDR_BYTES, len, &found), QALLOC_ESHORT);
	}
}

static void what_is_refused_still_shows_its_fields(void **state)
{
	struct params found;
	uint8_t bytes[HDR_BYTES];

	(void)state;
	hdr_encode(&sound_static, bytes);
	bytes[0] = 0;
	assert_int_equal(hdr_decode(bytes, HDR_BYTES, 300, &found), QALLOC_EMAGIC);
	assert_memory_equal(&found, &sound_static, sizeof(found));
}

static void the_length_of_the_file_must_be_the_one_in_the_header(void **state)
{
	struct params found;
	uint8_t bytes[HDR_BYTES + 4096] = {0};

	(void)state;
	hdr_encode(&sound_dynamic, bytes);
	assert_int_equal(hdr_decode(bytes, HDR_BYTES, MIB - 1, &found), QALLOC_EFILESIZE);
	assert_int_equal(hdr_decode(bytes, HDR_BYTES, MIB + 1, &found), QALLOC_EFILESIZE);
	assert_int_equal(hdr_decode(bytes, sizeof(bytes), MIB, &found), QALLOC_OK);
}

static void a_file_too_small_for_one_block_is_refused_by_its_size(void **state)
{
	struct params p = sound_dynamic;

	(void)state;
	p.file_size = HDR_BYTES;
	assert_int_equal(params_check(&p), QALLOC_EFILESIZE);
	p = sound_static;
	p.file_size = 1;
	assert_int_equal(params_check(&p), QALLOC_EFILESIZE);
}

static void the_window_of_addresses_is_used_to_its_last_granule(void **state)
{
	struct params p = sound_dynamic;

	(void)state;
	p.base = ADDR_MIN;
	assert_int_equal(params_check(&p), QALLOC_OK);
	p.base = ADDR_END - MIB - GRANULE;
	assert_int_equal(params_check(&p), QALLOC_OK);
	p.base += GRANULE;
	assert_int_equal(params_check(&p), QALLOC_EADDRWRAP);
	p.base -= GRANULE;
	p.file_size++;
	assert_int_equal(params_check(&p), QALLOC_EADDRWRAP);
}

static struct params random_params(void)
{
	struct params p = {
		.file_size = MIB + chance() % ((uint64_t)1 << (20 + chance() % 26)),
		.flags = chance() % 2,
		.compat = chance(),
		.ro_compat = chance(),
		.created = chance(),
		.uuid = {chance(), chance()},
		.kind = chance() % 2 ? QALLOC_STATIC : QALLOC_DYNAMIC,
		.streams = 1 + (uint32_t)(chance() % 64),
	};

	p.base = (1 + chance() % 0x3FFF0000) * GRANULE;
	if (p.kind == QALLOC_STATIC)
		p.item_size = 1 + chance() % 5000;
	return p;
}

static void decode_undoes_encode(void **state)
{
	(void)state;
	seed = 1;
	for (int round = 0; round < ROUNDS; round++) {
		struct params p = random_params();
		struct params found;
		uint8_t bytes[HDR_BYTES];

		hdr_encode(&p, bytes);
		assert_int_equal(hdr_decode(bytes, HDR_BYTES, p.file_size, &found), QALLOC_OK);
		assert_memory_equal(&found, &p, sizeof(p));
	}
}

static void encode_undoes_decode(void **state)
{
	uint32_t accepted = 0;

	(void)state;
	seed = 2;
	for (int round = 0; round < ROUNDS; round++) {
		struct params p = random_params();
		struct params found;
		uint8_t bytes[HDR_BYTES];
		uint8_t again[HDR_BYTES];

		/* Only bytes behind the rules that refuse nearly everything may change. */
		hdr_encode(&p, bytes);
		for (int i = 0; i < 3; i++)
			bytes[chance() % HDR_BYTES] = (uint8_t)chance();
		repair_checksum(bytes);
		if (hdr_decode(bytes, HDR_BYTES, p.file_size, &found) != QALLOC_OK)
			continue;
		accepted++;
		hdr_encode(&found, again);
		assert_memory_equal(again, bytes, HDR_BYTES);
	}
	assert_true(accepted > ROUNDS / 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c_of_123456789_is_e3069283),
		cmocka_unit_test(crc32c_agrees_with_the_vectors_of_iscsi),
		cmocka_unit_test(each_field_stands_at_its_documented_offset),
		cmocka_unit_test(each_broken_field_gives_its_own_error),
		cmocka_unit_test(of_two_broken_rules_the_earlier_one_is_named),
		cmocka_unit_test(every_flipped_bit_is_refused),
		cmocka_unit_test(a_short_file_or_read_is_short_and_leaves_zeros),
		cmocka_unit_test(what_is_refused_still_shows_its_fields),
		cmocka_unit_test(the_length_of_the_file_must_be_the_one_in_the_header),
		cmocka_unit_test(a_file_too_small_for_one_block_is_refused_by_its_size),
		cmocka_unit_test(the_window_of_addresses_is_used_to_its_last_granule),
		cmocka_unit_test(decode_undoes_encode),
		cmocka_unit_test(encode_undoes_decode),
	};

	return cmocka_run_group_tests_name("hdr", tests, NULL, NULL);
}
