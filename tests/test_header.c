/* SPDX-License-Identifier: MIT */
/*
 * The header of a real file, broken in every way: each field, each bit, each length.
 * A broken file is refused by name and not written to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "../src/format.h"
#include "support.h"

#define SIZE MIB

static void make_closed(bool fixed, const char *path)
{
	void *map = fixed ? qalloc_makestatmap((off_t)SIZE, NULL, path, 24, 3)
			  : qalloc_makedynmap((off_t)SIZE, NULL, path, 3);
	assert_opened(map);
	void *block = qalloc_malloc(map, 24);
	assert_non_null(block);
	assert_int_equal(qalloc_setroot(map, "block", block), 0);
	assert_int_equal(qalloc_cleanup(), 0);
}

/* One change of one field, and what must be said about it. */
struct breakage {
	const char *what;
	int kind; /* of the map to break */
	unsigned off, len;
	uint64_t value;
	int error;
};

static const struct breakage breakages[] = {
	{"first magic byte", QALLOC_DYNAMIC, HDR_MAGIC, 1, 0x88, QALLOC_EMAGIC},
	{"last magic byte", QALLOC_DYNAMIC, HDR_MAGIC + 7, 1, 0, QALLOC_EMAGIC},
	{"zero magic", QALLOC_DYNAMIC, HDR_MAGIC, 8, 0, QALLOC_EMAGIC},
	{"version 0", QALLOC_DYNAMIC, HDR_VERSION, 4, 0, QALLOC_EVERSION},
	{"version 2", QALLOC_DYNAMIC, HDR_VERSION, 4, FORMAT_VERSION + 1, QALLOC_EVERSION},
	{"version 2^32-1", QALLOC_STATIC, HDR_VERSION, 4, UINT32_MAX, QALLOC_EVERSION},
	{"big-endian", QALLOC_DYNAMIC, HDR_ENDIAN, 2, 0x0201, QALLOC_EBYTEORDER},
	{"no byte order", QALLOC_DYNAMIC, HDR_ENDIAN, 2, 0, QALLOC_EBYTEORDER},
	{"32-bit pointers", QALLOC_DYNAMIC, HDR_POINTER_BITS, 2, 32, QALLOC_EPOINTER},
	{"0-bit pointers", QALLOC_DYNAMIC, HDR_POINTER_BITS, 2, 0, QALLOC_EPOINTER},
	{"incompat bit 0", QALLOC_DYNAMIC, HDR_INCOMPAT, 8, 1, QALLOC_EFEATURE},
	{"incompat bit 63", QALLOC_DYNAMIC, HDR_INCOMPAT, 8, 1ull << 63, QALLOC_EFEATURE},
	{"ro-compat bit 0", QALLOC_DYNAMIC, HDR_RO_COMPAT, 8, 1, QALLOC_EFEATURE},
	{"ro-compat bit 63", QALLOC_STATIC, HDR_RO_COMPAT, 8, 1ull << 63, QALLOC_EFEATURE},
	{"compat bit 0", QALLOC_DYNAMIC, HDR_COMPAT, 8, 1, QALLOC_OK},
	{"compat bit 63", QALLOC_STATIC, HDR_COMPAT, 8, 1ull << 63, QALLOC_OK},
	{"first reserved byte", QALLOC_DYNAMIC, HDR_RESERVED, 1, 1, QALLOC_ERESERVED},
	{"last reserved byte", QALLOC_DYNAMIC, HDR_CRC - 1, 1, 0x80, QALLOC_ERESERVED},
	{"kind 0", QALLOC_DYNAMIC, HDR_KIND, 4, 0, QALLOC_EKIND},
	{"kind 3", QALLOC_STATIC, HDR_KIND, 4, 3, QALLOC_EKIND},
	{"kind 2^32-1", QALLOC_STATIC, HDR_KIND, 4, UINT32_MAX, QALLOC_EKIND},
	{"flag 1", QALLOC_DYNAMIC, HDR_FLAGS, 8, 2, QALLOC_EFLAGS},
	{"flag 63", QALLOC_DYNAMIC, HDR_FLAGS, 8, 1ull << 63, QALLOC_EFLAGS},
	{"size 0", QALLOC_DYNAMIC, HDR_FILE_SIZE, 8, 0, QALLOC_EFILESIZE},
	{"size + 1", QALLOC_DYNAMIC, HDR_FILE_SIZE, 8, SIZE + 1, QALLOC_EFILESIZE},
	{"size - 1", QALLOC_STATIC, HDR_FILE_SIZE, 8, SIZE - 1, QALLOC_EFILESIZE},
	{"size 2^46 + 1", QALLOC_STATIC, HDR_FILE_SIZE, 8, (1ull << 46) + 1, QALLOC_EFILESIZE},
	{"size 2^64-1", QALLOC_DYNAMIC, HDR_FILE_SIZE, 8, UINT64_MAX, QALLOC_EFILESIZE},
	{"item size 0", QALLOC_STATIC, HDR_ITEM_SIZE, 8, 0, QALLOC_EITEMSIZE},
	{"item size 1 MiB", QALLOC_STATIC, HDR_ITEM_SIZE, 8, SIZE, QALLOC_EITEMSIZE},
	{"item size 2^64-1", QALLOC_STATIC, HDR_ITEM_SIZE, 8, UINT64_MAX, QALLOC_EITEMSIZE},
	{"item size, dynamic", QALLOC_DYNAMIC, HDR_ITEM_SIZE, 8, 24, QALLOC_EITEMSIZE},
	{"0 streams", QALLOC_DYNAMIC, HDR_STREAMS, 4, 0, QALLOC_ESTREAMS},
	{"4097 streams", QALLOC_STATIC, HDR_STREAMS, 4, 4097, QALLOC_ESTREAMS},
	{"2^32-1 streams", QALLOC_DYNAMIC, HDR_STREAMS, 4, UINT32_MAX, QALLOC_ESTREAMS},
	{"address 0", QALLOC_DYNAMIC, HDR_BASE, 8, 0, QALLOC_EADDRNULL},
	{"address 1", QALLOC_DYNAMIC, HDR_BASE, 8, 1, QALLOC_EADDRALIGN},
	{"page-aligned address", QALLOC_STATIC, HDR_BASE, 8, 0x550000001000, QALLOC_EADDRALIGN},
	{"kernel address", QALLOC_DYNAMIC, HDR_BASE, 8, 1ull << 63, QALLOC_EADDRWINDOW},
	{"highest address", QALLOC_STATIC, HDR_BASE, 8, ~0xFFFFull, QALLOC_EADDRWINDOW},
	{"end outside", QALLOC_DYNAMIC, HDR_BASE, 8, 0x7FFFFFF00000, QALLOC_EADDRWRAP},
};

static void breaks_as_told(const struct breakage *b)
{
	uint8_t header[HDR_BYTES];
	const char *path = scratch(b->kind == QALLOC_STATIC ? "static" : "dynamic");
	read_file(path, 0, header, sizeof(header));
	uint8_t broken[HDR_BYTES];
	memcpy(broken, header, sizeof(header));
	put_le(broken + b->off, b->len, b->value);
	repair_header(broken);
	patch_file(path, 0, broken, sizeof(broken));
	uint32_t before = file_checksum(path);
	if (b->error == QALLOC_OK) {
		assert_opened(qalloc_loadmap(path));
		assert_int_equal(qalloc_cleanup(), 0);
	} else {
		assert_refused(qalloc_loadmap(path), b->error);
		assert_true(says(path));
		/* Who would create it reads the same file the same way. */
		assert_null(b->kind == QALLOC_STATIC
				    ? qalloc_makestatmap((off_t)SIZE, NULL, path, 24, 3)
				    : qalloc_makedynmap((off_t)SIZE, NULL, path, 3));
		assert_int_equal(qalloc_error(), b->error);
		assert_int_equal(file_checksum(path), before);
	}
	patch_file(path, 0, header, sizeof(header));
}

static void each_broken_field_has_its_own_error_though_the_checksum_is_right(void **state)
{
	(void)state;
	make_closed(false, scratch("dynamic"));
	make_closed(true, scratch("static"));
	for (size_t i = 0; i < sizeof(breakages) / sizeof(breakages[0]); i++) {
		print_message("           %s\n", breakages[i].what);
		breaks_as_told(&breakages[i]);
	}
	assert_opened(qalloc_loadmap(scratch("dynamic")));
	assert_opened(qalloc_loadmap(scratch("static")));
}

static void every_reserved_byte_must_be_zero(void **state)
{
	(void)state;
	make_closed(false, scratch("dynamic"));
	for (unsigned off = HDR_RESERVED; off < HDR_CRC; off++) {
		struct breakage b = {"", QALLOC_DYNAMIC, off, 1, 1u << off % 8, QALLOC_ERESERVED};
		breaks_as_told(&b);
	}
}

static void every_flipped_bit_is_refused(void **state)
{
	(void)state;
	uint8_t header[HDR_BYTES];
	const char *path = scratch("map");
	make_closed(false, path);
	uint32_t whole = file_checksum(path);
	read_file(path, 0, header, sizeof(header));
	for (unsigned bit = 0; bit < HDR_BYTES * 8; bit++) {
		uint8_t byte = (uint8_t)(header[bit / 8] ^ 1u << bit % 8);
		patch_file(path, bit / 8, &byte, 1);
		void *map = qalloc_loadmap(path);
		if (map != NULL)
			print_error("bit %u of byte %u was ignored\n", bit % 8, bit / 8);
		assert_null(map);
		assert_int_not_equal(qalloc_error(), QALLOC_OK);
		if (bit / 8 >= HDR_KIND && bit / 8 < HDR_BYTES)
			assert_int_equal(qalloc_error(), QALLOC_ECHECKSUM);
		patch_file(path, bit / 8, &header[bit / 8], 1);
	}
	assert_int_equal(file_checksum(path), whole);
	assert_opened(qalloc_loadmap(path));
}

static void an_earlier_rule_is_named_before_a_later_one(void **state)
{
	(void)state;
	uint8_t header[HDR_BYTES], broken[HDR_BYTES];
	const char *path = scratch("map");
	make_closed(false, path);
	read_file(path, 0, header, sizeof(header));
	memcpy(broken, header, sizeof(header));
	memset(broken + 8, 0xFF, HDR_BYTES - 8);
	patch_file(path, 0, broken, sizeof(broken));
	assert_refused(qalloc_loadmap(path), QALLOC_EVERSION);
	put_le(broken + HDR_VERSION, 4, FORMAT_VERSION);
	patch_file(path, 0, broken, sizeof(broken));
	assert_refused(qalloc_loadmap(path), QALLOC_EBYTEORDER);
	put_le(broken + HDR_ENDIAN, 2, HDR_ENDIAN_LITTLE);
	patch_file(path, 0, broken, sizeof(broken));
	assert_refused(qalloc_loadmap(path), QALLOC_EPOINTER);
	put_le(broken + HDR_POINTER_BITS, 2, 64);
	patch_file(path, 0, broken, sizeof(broken));
	assert_refused(qalloc_loadmap(path), QALLOC_EFEATURE);
	put_le(broken + HDR_INCOMPAT, 8, 0);
	put_le(broken + HDR_RO_COMPAT, 8, 0);
	patch_file(path, 0, broken, sizeof(broken));
	assert_refused(qalloc_loadmap(path), QALLOC_ECHECKSUM);
	repair_header(broken);
	patch_file(path, 0, broken, sizeof(broken));
	assert_refused(qalloc_loadmap(path), QALLOC_ERESERVED);
}

static void an_unknown_feature_that_readers_may_ignore_allows_reading(void **state)
{
	(void)state;
	uint8_t header[HDR_BYTES];
	const char *path = scratch("map");
	make_closed(false, path);
	read_file(path, 0, header, sizeof(header));
	put_le(header + HDR_RO_COMPAT, 8, 4);
	repair_header(header);
	patch_file(path, 0, header, sizeof(header));
	struct qalloc_options options = options_for(QALLOC_READONLY);
	assert_refused(qalloc_loadmap(path), QALLOC_EFEATURE);
	void *map = qalloc_openmap(path, &options);
	assert_opened(map);
	assert_non_null(qalloc_getroot(map, "block"));
	assert_int_equal(count_live(map), 1);
}

static void a_file_of_another_length_than_its_header_says_is_refused(void **state)
{
	(void)state;
	static const struct {
		off_t size;
		int error;
	} lengths[] = {
		{0, QALLOC_ESHORT},
		{1, QALLOC_ESHORT},
		{8, QALLOC_ESHORT},
		{255, QALLOC_ESHORT},
		{256, QALLOC_EFILESIZE},
		{4096, QALLOC_EFILESIZE},
		{65536, QALLOC_EFILESIZE},
		{(off_t)SIZE - 4096, QALLOC_EFILESIZE},
		{(off_t)SIZE - 1, QALLOC_EFILESIZE},
		{(off_t)SIZE + 1, QALLOC_EFILESIZE},
		{(off_t)SIZE * 2, QALLOC_EFILESIZE},
	};
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		const char *path = scratch("map");
		make_closed(i % 2 == 0, path);
		assert_int_equal(truncate(path, lengths[i].size), 0);
		assert_refused(qalloc_loadmap(path), lengths[i].error);
		assert_true(says(path));
		assert_int_equal(file_size(path), lengths[i].size);
		unlink(path);
	}
}

static void the_backup_of_the_header_equals_it_and_is_not_believed(void **state)
{
	(void)state;
	uint8_t header[HDR_BYTES], backup[HDR_BYTES];
	const char *path = scratch("map");
	make_closed(false, path);
	read_file(path, 0, header, sizeof(header));
	read_file(path, HDR_BACKUP_OFF, backup, sizeof(backup));
	assert_memory_equal(header, backup, HDR_BYTES);
	assert_int_equal(get_le(header + HDR_CRC, 4), own_crc32c(header + 8, 244));
	memset(backup, 0xFF, sizeof(backup));
	patch_file(path, HDR_BACKUP_OFF, backup, sizeof(backup));
	assert_opened(qalloc_loadmap(path));
}

static void the_header_is_read_once_and_may_change_afterwards(void **state)
{
	(void)state;
	uint8_t junk[HDR_BYTES];
	const char *path = scratch("map");
	void *map = qalloc_makedynmap((off_t)SIZE, NULL, path, 3);
	assert_opened(map);
	memset(junk, 0xA5, sizeof(junk));
	patch_file(path, 0, junk, sizeof(junk));
	for (int i = 0; i < 100; i++) {
		void *block = qalloc_malloc(map, 1000);
		assert_non_null(block);
		if (i % 2 == 0)
			assert_int_equal(qalloc_tryfree(block, map), 0);
	}
	assert_int_equal(count_live(map), 50);
	assert_int_equal(info_of(map).streams, 3);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(each_broken_field_has_its_own_error_though_the_checksum_is_right),
		TEST(every_reserved_byte_must_be_zero),
		TEST(every_flipped_bit_is_refused),
		TEST(an_earlier_rule_is_named_before_a_later_one),
		TEST(an_unknown_feature_that_readers_may_ignore_allows_reading),
		TEST(a_file_of_another_length_than_its_header_says_is_refused),
		TEST(the_backup_of_the_header_equals_it_and_is_not_believed),
		TEST(the_header_is_read_once_and_may_change_afterwards),
	};
	return cmocka_run_group_tests_name("header", tests, NULL, NULL) != 0;
}
