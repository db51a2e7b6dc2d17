/* SPDX-License-Identifier: MIT */
/*
 * The checker of roots: each rule broken, each finding expected, and any bytes whatever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../src/check.h"
#include "../src/le.h"

#define NAME_MAX_BYTES 47u

static struct geo geometry(void)
{
	struct geo g = {.data_off = 0x30000, .data_end = 0x100000};

	return g;
}

/* A table in a heap block of its exact size, with nothing published. */
static uint8_t *new_table(void)
{
	uint8_t *table = calloc(QALLOC_ROOTS_MAX, ROOT_BYTES);

	assert_non_null(table);
	return table;
}

/* The generation is another one for each root. */
static void publish(uint8_t *table, uint32_t i, const char *name, uint64_t value)
{
	uint8_t *root = table + i * ROOT_BYTES;

	memset(root, 0, ROOT_BYTES);
	memcpy(root, name, strlen(name));
	store64(root + ROOT_VALUE, value);
	store64(root + ROOT_STATE, (uint64_t)i * 2 + 1);
}

static void assert_finding(const uint8_t *table, uint32_t i, enum check_finding wanted)
{
	struct geo g = geometry();

	assert_int_equal(check_root(&g, table, i), wanted);
}

static void assert_all_clean(const uint8_t *table)
{
	for (uint32_t i = 0; i < QALLOC_ROOTS_MAX; i++)
		assert_finding(table, i, CHECK_CLEAN);
}

static void an_empty_table_and_a_full_one_are_whole(void **state)
{
	uint8_t *table = new_table();

	(void)state;
	assert_all_clean(table);
	for (uint32_t i = 0; i < QALLOC_ROOTS_MAX; i++) {
		char name[] = "root ?";

		name[5] = (char)('0' + i);
		publish(table, i, name, i == 0 ? 0 : 0x30000 + i * 16);
	}
	assert_all_clean(table);
	free(table);
}

static void what_is_not_published_may_be_anything(void **state)
{
	uint8_t *table = new_table();

	(void)state;
	memset(table, 0xFE, (size_t)QALLOC_ROOTS_MAX * ROOT_BYTES);
	assert_all_clean(table);
	free(table);
}

static void a_name_has_1_to_47_bytes_padded_with_zeros(void **state)
{
	uint8_t *table = new_table();
	uint8_t *root = table + 5 * ROOT_BYTES;

	(void)state;
	publish(table, 5, "", 0);
	assert_finding(table, 5, CHECK_ROOT_NAME);
	for (uint32_t length = 1; length <= NAME_MAX_BYTES; length++) {
		publish(table, 5, "", 0);
		memset(root, 'x', length);
		assert_finding(table, 5, CHECK_CLEAN);
		/* One byte behind the end, wherever that is. */
		for (uint32_t at = length + 1; at < ROOT_VALUE; at++) {
			root[at] = 1;
			assert_finding(table, 5, CHECK_ROOT_NAME);
			root[at] = 0;
		}
	}
	memset(root, 'x', ROOT_VALUE);
	assert_finding(table, 5, CHECK_ROOT_NAME);
	free(table);
}

static void a_value_is_0_or_in_the_data_area(void **state)
{
	static const struct {
		uint64_t value;
		enum check_finding wanted;
	} cases[] = {
		{0, CHECK_CLEAN},
		{1, CHECK_ROOT_VALUE},
		{0x2FFFF, CHECK_ROOT_VALUE},
		{0x30000, CHECK_CLEAN},
		{0xFFFFF, CHECK_CLEAN},
		{0x100000, CHECK_ROOT_VALUE},
		{UINT64_MAX, CHECK_ROOT_VALUE},
		{(UINT64_C(1) << 32) + 0x30000, CHECK_ROOT_VALUE},
	};
	uint8_t *table = new_table();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		publish(table, 63, "name", cases[i].value);
		assert_finding(table, 63, cases[i].wanted);
	}
	free(table);
}

static void the_second_root_of_a_name_is_found(void **state)
{
	uint8_t *table = new_table();

	(void)state;
	publish(table, 0, "same", 0);
	publish(table, 1, "same, but longer", 0);
	publish(table, 62, "same", 0x30000);
	assert_finding(table, 0, CHECK_CLEAN);
	assert_finding(table, 1, CHECK_CLEAN);
	assert_finding(table, 62, CHECK_ROOT_TWICE);
	/* Withdrawn, it has no name. */
	table[ROOT_STATE] = 2;
	assert_all_clean(table);
	/* Names of which only the last byte differs. */
	memset(table, 'x', NAME_MAX_BYTES);
	table[ROOT_STATE] = 1;
	memcpy(table + (size_t)62 * ROOT_BYTES, table, ROOT_VALUE);
	assert_finding(table, 62, CHECK_ROOT_TWICE);
	table[(size_t)62 * ROOT_BYTES + NAME_MAX_BYTES - 1] = 'y';
	assert_all_clean(table);
	free(table);
}

static void the_first_broken_rule_is_the_finding(void **state)
{
	uint8_t *table = new_table();

	(void)state;
	publish(table, 0, "same", 0);
	publish(table, 1, "same", 1);
	assert_finding(table, 1, CHECK_ROOT_VALUE);
	table[ROOT_BYTES] = 0;
	assert_finding(table, 1, CHECK_ROOT_NAME);
	free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_table_and_a_full_one_are_whole),
		cmocka_unit_test(what_is_not_published_may_be_anything),
		cmocka_unit_test(a_name_has_1_to_47_bytes_padded_with_zeros),
		cmocka_unit_test(a_value_is_0_or_in_the_data_area),
		cmocka_unit_test(the_second_root_of_a_name_is_found),
		cmocka_unit_test(the_first_broken_rule_is_the_finding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
