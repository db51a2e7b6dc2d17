/* SPDX-License-Identifier: MIT */
/*
 * Addresses: a map lives where it was made, or it does not load, and never at the cost
 * of something that is mapped there already.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "support.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static void *at(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

static uint64_t number(const void *address)
{
	return (uint64_t)(uintptr_t)address;
}

/* An address where a map of `bytes` just was, so that one fits again. */
static uint64_t free_address(size_t bytes)
{
	void *map = qalloc_makedynmap((off_t)bytes, NULL, scratch("probe"), 1);
	assert_opened(map);
	uint64_t base = number(info_of(map).base);
	assert_int_equal(qalloc_closemap(map), 0);
	return base;
}

/* `pages` pages of somebody else, with something in them. */
static uint8_t *occupy(uint64_t address, size_t pages)
{
	size_t len = pages * (size_t)sysconf(_SC_PAGESIZE);
	void *taken = mmap(at(address), len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	assert_ptr_equal(taken, at(address));
	fill(taken, len, 7);
	return taken;
}

static void vacate(uint8_t *taken, size_t pages)
{
	size_t len = pages * (size_t)sysconf(_SC_PAGESIZE);
	assert_true(is_filled(taken, len, 7));
	assert_int_equal(munmap(taken, len), 0);
}

static void a_given_address_is_where_the_map_is(void **state)
{
	(void)state;
	uint64_t base = free_address(MIB);
	void *map = qalloc_makedynmap((off_t)MIB, at(base), scratch("map"), 1);
	assert_opened(map);
	assert_int_equal(number(info_of(map).base), base);
	char *block = qalloc_malloc(map, 10);
	assert_true(number(block) > base && number(block) < base + MIB);
	assert_int_equal(qalloc_cleanup(), 0);
	map = qalloc_loadmap(scratch("map"));
	assert_opened(map);
	assert_int_equal(number(info_of(map).base), base);
	assert_true(number(qalloc_malloc(map, 10)) > base);
}

static void a_chosen_address_is_aligned_and_random(void **state)
{
	(void)state;
	uint64_t first = free_address(MIB);
	int differ = 0;
	assert_int_equal(first % QALLOC_ADDR_ALIGN, 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(unlink(scratch("probe")), 0);
		uint64_t base = free_address(MIB);
		assert_int_equal(base % QALLOC_ADDR_ALIGN, 0);
		assert_true(base >= 0x510000000000 && base + MIB <= 0x555555554000);
		differ += base != first;
	}
	assert_true(differ >= 1);
}

static void an_address_that_breaks_a_rule_is_named(void **state)
{
	static const struct {
		uint64_t address;
		int error;
	} rules[] = {
		{1, QALLOC_EADDRALIGN},
		{0x550000000001, QALLOC_EADDRALIGN},
		{0x550000001000, QALLOC_EADDRALIGN},
		{0x55000000FFFF, QALLOC_EADDRALIGN},
		{0x800000000000, QALLOC_EADDRWINDOW},
		{0xFFFFFFFFFFFF0000, QALLOC_EADDRWINDOW},
		{0x8000000000000000, QALLOC_EADDRWINDOW},
		{0x7FFFFFFE0000, QALLOC_EADDRWRAP},
		{0x7FFFFFF00000, QALLOC_EADDRWRAP},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		assert_refused(
			qalloc_makedynmap((off_t)MIB, at(rules[i].address), scratch("map"), 1),
			rules[i].error);
		assert_true(says("address") && says_number(rules[i].address));
		assert_false(file_exists(scratch("map")));
	}
}

static void a_taken_address_is_an_error_that_shows_who_is_there(void **state)
{
	(void)state;
	char line[32];
	const char *path = scratch("map");
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t base = free_address(MIB);
	assert_opened(qalloc_makedynmap((off_t)MIB, at(base), path, 1));
	assert_int_equal(qalloc_cleanup(), 0);

	const uint64_t places[] = {base, base + MIB / 2, base + MIB - page};
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		uint8_t *taken = occupy(places[i], 1);
		snprintf(line, sizeof(line), "%llx-", (unsigned long long)places[i]);
		assert_refused(qalloc_loadmap(path), QALLOC_ETAKEN);
		assert_true(says(path) && says_number(base) && says(line));
		assert_refused(qalloc_makedynmap((off_t)MIB, NULL, path, 1), QALLOC_ETAKEN);
		assert_refused(qalloc_makedynmap((off_t)MIB, at(base), path, 1), QALLOC_ETAKEN);
		/* The refused attempt left no mapping of its own. */
		if (places[i] != base)
			vacate(occupy(base, 1), 1);
		vacate(taken, 1);
		assert_opened(qalloc_loadmap(path));
		assert_int_equal(qalloc_cleanup(), 0);
	}
	/* Behind the end of the guard is nobody's concern. */
	uint8_t *behind = occupy(base + MIB + 0x10000, 1);
	assert_opened(qalloc_loadmap(path));
	vacate(behind, 1);
}

static void creation_at_a_taken_address_can_be_repeated_elsewhere(void **state)
{
	(void)state;
	uint64_t base = free_address(MIB);
	uint8_t *taken = occupy(base, 4);
	assert_refused(qalloc_makedynmap((off_t)MIB, at(base), scratch("map"), 1), QALLOC_ETAKEN);
	vacate(taken, 4);
	assert_opened(qalloc_makedynmap((off_t)MIB, at(base), scratch("map"), 1));
}

static void two_maps_with_one_address_do_not_load_together(void **state)
{
	(void)state;
	uint64_t base = free_address(MIB);
	assert_opened(qalloc_makedynmap((off_t)MIB, at(base), scratch("a"), 1));
	assert_int_equal(qalloc_cleanup(), 0);
	void *b = qalloc_makedynmap((off_t)MIB, at(base), scratch("b"), 1);
	assert_opened(b);
	char *block = qalloc_malloc(b, 100);
	assert_non_null(block);
	fill(block, 100, 1);
	assert_refused(qalloc_loadmap(scratch("a")), QALLOC_ETAKEN);
	assert_true(says(scratch("a")) && says("found: ") && says_number(base));
	assert_true(is_filled(block, 100, 1));
	assert_int_equal(qalloc_closemap(b), 0);
	assert_opened(qalloc_loadmap(scratch("a")));
}

static int stores(void *address)
{
	*(volatile char *)address = 1;
	return 0;
}

static int loads(void *address)
{
	return *(volatile const char *)address & 0;
}

/* A child must die on touching the address; sanitizers report and exit instead. */
static void assert_forbidden(child_fn *touch, uint64_t address)
{
	assert_int_not_equal(in_child(touch, at(address)), 0);
}

static void guards_stand_before_and_behind_the_data(void **state)
{
	(void)state;
	if (under_valgrind())
		skip(); /* it reports the intended faults as errors */
	static const size_t sizes[] = {MIB, MIB + 1};
	for (size_t i = 0; i < 2; i++) {
		char name[8];
		snprintf(name, sizeof(name), "map%zu", i);
		void *map = qalloc_makedynmap((off_t)sizes[i], NULL, scratch(name), 1);
		assert_opened(map);
		struct qalloc_info info = info_of(map);
		uint64_t data = number(info.base) + info.data_offset;
		assert_non_null(qalloc_malloc(map, info.data_bytes));
		assert_int_equal(in_child(stores, at(data)), 0);
		assert_int_equal(in_child(stores, at(data + info.data_bytes - 1)), 0);
		assert_forbidden(stores, data - 1);
		assert_forbidden(loads, data - 0x10000);
		uint64_t end = (number(info.base) + sizes[i] + 0xFFF) / 0x1000 * 0x1000;
		assert_forbidden(stores, end);
		assert_forbidden(loads, end + 0xFFFF);
	}
	/* A read-only map takes no store at all. */
	assert_int_equal(qalloc_cleanup(), 0);
	struct qalloc_options options = options_for(QALLOC_READONLY);
	void *map = qalloc_openmap(scratch("map0"), &options);
	assert_opened(map);
	uint64_t data = number(info_of(map).base) + info_of(map).data_offset;
	assert_int_equal(in_child(loads, at(data)), 0);
	assert_forbidden(stores, data);
}

static void closing_gives_back_the_whole_range(void **state)
{
	(void)state;
	uint64_t base = free_address(MIB + 1);
	size_t pages = (MIB + 3 * 0x10000) / (size_t)sysconf(_SC_PAGESIZE);
	vacate(occupy(base, pages), pages);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(a_given_address_is_where_the_map_is),
		TEST(a_chosen_address_is_aligned_and_random),
		TEST(an_address_that_breaks_a_rule_is_named),
		TEST(a_taken_address_is_an_error_that_shows_who_is_there),
		TEST(creation_at_a_taken_address_can_be_repeated_elsewhere),
		TEST(two_maps_with_one_address_do_not_load_together),
		TEST(guards_stand_before_and_behind_the_data),
		TEST(closing_gives_back_the_whole_range),
	};
	return cmocka_run_group_tests_name("addr", tests, NULL, NULL) != 0;
}
