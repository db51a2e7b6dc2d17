/* SPDX-License-Identifier: MIT */
/*
 * What a caller asks for: ranges of the arguments, agreement with an existing map,
 * and struct qalloc_options, which can grow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support.h"

static void each_parameter_that_differs_is_named_found_and_wanted(void **state)
{
	(void)state;
	const char *dyn = scratch("dyn"), *fixed = scratch("static");
	assert_opened(qalloc_makedynmap((off_t)MIB, NULL, dyn, 4));
	assert_opened(qalloc_makestatmap((off_t)MIB, NULL, fixed, 40, 4));
	uint64_t base = (uint64_t)(uintptr_t)info_of(qalloc_loadmap(dyn)).base;
	void *elsewhere = (void *)(uintptr_t)(base ^ 0x10000000);
	assert_int_equal(qalloc_cleanup(), 0);

	assert_refused(qalloc_makedynmap((off_t)(2 * MIB), NULL, dyn, 4), QALLOC_EPARAMS);
	assert_true(says(dyn) && says("size") && says_number(MIB) && says_number(2 * MIB));
	assert_refused(qalloc_makedynmap((off_t)MIB, NULL, dyn, 5), QALLOC_EPARAMS);
	assert_true(says(dyn) && says("streams") && says_number(4) && says_number(5));
	assert_refused(qalloc_makedynmap((off_t)MIB, elsewhere, dyn, 4), QALLOC_EPARAMS);
	assert_true(says(dyn) && says("address") && says_number(base) &&
		    says_number((uint64_t)(uintptr_t)elsewhere));
	assert_refused(qalloc_makestatmap((off_t)MIB, NULL, dyn, 40, 4), QALLOC_EPARAMS);
	assert_true(says(dyn) && says("kind"));

	assert_refused(qalloc_makestatmap((off_t)MIB, NULL, fixed, 48, 4), QALLOC_EPARAMS);
	assert_true(says(fixed) && says("item") && says_number(40) && says_number(48));
	assert_refused(qalloc_makestatmap((off_t)(MIB + 1), NULL, fixed, 40, 4), QALLOC_EPARAMS);
	assert_true(says(fixed) && says("size") && says_number(MIB) && says_number(MIB + 1));
	assert_refused(qalloc_makestatmap((off_t)MIB, NULL, fixed, 40, 3), QALLOC_EPARAMS);
	assert_true(says("streams") && says_number(4) && says_number(3));
	assert_refused(qalloc_makedynmap((off_t)MIB, NULL, fixed, 4), QALLOC_EPARAMS);
	assert_true(says(fixed) && says("kind"));

	/* Here zero is a value, and not "any". */
	assert_refused(qalloc_makedynmap(0, NULL, dyn, 4), QALLOC_EPARAMS);
	assert_refused(qalloc_makedynmap((off_t)MIB, NULL, dyn, 0), QALLOC_EPARAMS);
	assert_refused(qalloc_makestatmap((off_t)MIB, NULL, fixed, 0, 4), QALLOC_EPARAMS);

	/* Nothing of it changed the maps. */
	assert_opened(qalloc_makedynmap((off_t)MIB, NULL, dyn, 4));
	assert_opened(qalloc_makestatmap((off_t)MIB, NULL, fixed, 40, 4));
}

static void each_argument_outside_its_range_has_its_error_and_makes_no_file(void **state)
{
	const off_t size = (off_t)MIB;
	const char *path = scratch("map");
	(void)state;
	assert_refused(qalloc_makedynmap(0, NULL, path, 1), QALLOC_EFILESIZE);
	assert_refused(qalloc_makedynmap(-1, NULL, path, 1), QALLOC_EFILESIZE);
	assert_refused(qalloc_makedynmap(4096, NULL, path, 1), QALLOC_EFILESIZE);
	assert_refused(qalloc_makedynmap(INT64_MIN, NULL, path, 1), QALLOC_EFILESIZE);
	assert_refused(qalloc_makedynmap(INT64_MAX, NULL, path, 1), QALLOC_EFILESIZE);
	assert_refused(qalloc_makedynmap((off_t)QALLOC_FILESIZE_MAX + 1, NULL, path, 1),
		       QALLOC_EFILESIZE);
	assert_refused(qalloc_makedynmap(size, NULL, path, 0), QALLOC_ESTREAMS);
	assert_refused(qalloc_makedynmap(size, NULL, path, QALLOC_STREAMS_MAX + 1),
		       QALLOC_ESTREAMS);
	assert_refused(qalloc_makedynmap(size, NULL, path, SIZE_MAX), QALLOC_ESTREAMS);
	/* A count that only looks right in 32 bits. */
	assert_refused(qalloc_makedynmap(size, NULL, path, ((size_t)1 << 32) + 1), QALLOC_ESTREAMS);
	assert_refused(qalloc_makestatmap(size, NULL, path, 0, 1), QALLOC_EITEMSIZE);
	assert_refused(qalloc_makestatmap(size, NULL, path, MIB, 1), QALLOC_EITEMSIZE);
	assert_refused(qalloc_makestatmap(size, NULL, path, SIZE_MAX, 1), QALLOC_EITEMSIZE);
	assert_refused(qalloc_makestatmap(size, NULL, path, SIZE_MAX - 7, 1), QALLOC_EITEMSIZE);
	assert_refused(qalloc_makedynmap(size, NULL, NULL, 1), QALLOC_EARGUMENT);
	assert_refused(qalloc_loadmap(NULL), QALLOC_EARGUMENT);
	assert_false(file_exists(path));
	assert_refused(qalloc_loadmap(path), QALLOC_EMISSING);
	assert_true(says(path));
	assert_refused(qalloc_loadmap(""), QALLOC_EMISSING);
}

static void the_largest_stream_count_works(void **state)
{
	(void)state;
	off_t size = qalloc_dynmap_filesize(MIB, QALLOC_STREAMS_MAX);
	assert_true(size > 0);
	void *map = qalloc_makedynmap(size, NULL, scratch("map"), QALLOC_STREAMS_MAX);
	assert_opened(map);
	assert_non_null(qalloc_malloc(map, 1000));
	assert_int_equal(info_of(map).streams, QALLOC_STREAMS_MAX);
	assert_whole(map);
}

/* Options as a later version may have them: eight bytes more. */
struct larger_options {
	struct qalloc_options known;
	uint64_t unknown;
};

static void options_of_another_size_are_judged_by_their_tail(void **state)
{
	(void)state;
	struct larger_options larger = {.known = dynamic_options(QALLOC_CREATE, MIB, 2)};
	larger.known.size = sizeof(larger);
	larger.unknown = 1;
	assert_refused(qalloc_openmap(scratch("map"), &larger.known), QALLOC_EOPTIONS);
	assert_false(file_exists(scratch("map")));
	larger.unknown = 0;
	void *map = qalloc_openmap(scratch("map"), &larger.known);
	assert_opened(map);

	struct qalloc_options options = dynamic_options(QALLOC_CREATE, MIB, 2);
	static const size_t wrong[] = {0, 1, 8, 15, 4096 + 1, SIZE_MAX};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		options.size = wrong[i];
		assert_refused(qalloc_openmap(scratch("map"), &options), QALLOC_EOPTIONS);
	}
}

static void unknown_flags_and_contradictions_are_refused(void **state)
{
	(void)state;
	const char *path = scratch("map");
	struct qalloc_options options = dynamic_options(QALLOC_CREATE | QALLOC_GUARD << 1, MIB, 2);
	assert_refused(qalloc_openmap(path, &options), QALLOC_EOPTIONS);
	options.flags = QALLOC_CREATE | (uint64_t)1 << 63;
	assert_refused(qalloc_openmap(path, &options), QALLOC_EOPTIONS);
	options.flags = QALLOC_CREATE;
	options.kind = 3;
	assert_refused(qalloc_openmap(path, &options), QALLOC_EKIND);
	options.kind = (uint64_t)1 << 32 | QALLOC_DYNAMIC;
	assert_refused(qalloc_openmap(path, &options), QALLOC_EKIND);
	options.kind = QALLOC_ANY;
	assert_refused(qalloc_openmap(path, &options), QALLOC_EKIND);
	options = dynamic_options(QALLOC_CREATE, 0, 2);
	assert_refused(qalloc_openmap(path, &options), QALLOC_EFILESIZE);
	options = dynamic_options(QALLOC_CREATE, MIB, 0);
	assert_refused(qalloc_openmap(path, &options), QALLOC_ESTREAMS);
	options = static_options(QALLOC_CREATE, MIB, 0, 2);
	assert_refused(qalloc_openmap(path, &options), QALLOC_EITEMSIZE);
	options = dynamic_options(QALLOC_CREATE, MIB, 2);
	options.itemsize = 8;
	assert_refused(qalloc_openmap(path, &options), QALLOC_EITEMSIZE);
	assert_false(file_exists(path));
}

static void options_that_are_zero_agree_with_any_map(void **state)
{
	(void)state;
	const char *path = scratch("map");
	assert_opened(qalloc_makestatmap((off_t)MIB, NULL, path, 40, 4));
	assert_int_equal(qalloc_cleanup(), 0);
	struct qalloc_options options = options_for(0);
	assert_opened(qalloc_openmap(path, &options));
	assert_int_equal(qalloc_cleanup(), 0);
	assert_opened(qalloc_openmap(path, NULL));
	assert_int_equal(qalloc_cleanup(), 0);
	options.kind = QALLOC_STATIC;
	options.itemsize = 40;
	options.streams = 4;
	options.filesize = (off_t)MIB;
	assert_opened(qalloc_openmap(path, &options));
	assert_int_equal(qalloc_cleanup(), 0);
	options.streams = 5;
	assert_refused(qalloc_openmap(path, &options), QALLOC_EPARAMS);
	options = options_for(0);
	options.itemsize = 41;
	assert_refused(qalloc_openmap(path, &options), QALLOC_EPARAMS);
	options = options_for(0);
	options.kind = QALLOC_DYNAMIC;
	assert_refused(qalloc_openmap(path, &options), QALLOC_EPARAMS);
	options = options_for(0);
	options.filesize = (off_t)MIB + 1;
	assert_refused(qalloc_openmap(path, &options), QALLOC_EPARAMS);
}

static void create_and_exclusive_mean_what_open_means(void **state)
{
	(void)state;
	const char *path = scratch("map");
	struct qalloc_options options = dynamic_options(0, MIB, 2);
	assert_refused(qalloc_openmap(path, &options), QALLOC_EMISSING);
	options.flags = QALLOC_CREATE | QALLOC_EXCLUSIVE;
	void *map = qalloc_openmap(path, &options);
	assert_opened(map);
	assert_refused(qalloc_openmap(path, &options), QALLOC_EEXIST);
	assert_int_equal(qalloc_closemap(map), 0);
	assert_refused(qalloc_openmap(path, &options), QALLOC_EEXIST);
	assert_true(says(path));
	options.flags = QALLOC_CREATE;
	assert_opened(qalloc_openmap(path, &options));
	/* Foreign data is not a reason to say anything else. */
	write_file(scratch("text"), "some text", 9);
	options.flags = QALLOC_CREATE | QALLOC_EXCLUSIVE;
	assert_refused(qalloc_openmap(scratch("text"), &options), QALLOC_EEXIST);
}

static void a_read_only_map_can_be_looked_at_and_not_changed(void **state)
{
	(void)state;
	const char *path = scratch("map");
	void *map = qalloc_makedynmap((off_t)MIB, NULL, path, 2);
	assert_opened(map);
	char *text = qalloc_malloc(map, 20);
	assert_non_null(text);
	memcpy(text, "read me", 8);
	assert_int_equal(qalloc_setroot(map, "text", text), 0);
	assert_non_null(qalloc_malloc(map, 100000));
	assert_int_equal(qalloc_cleanup(), 0);
	uint32_t before = file_checksum(path);

	struct qalloc_options options = options_for(QALLOC_READONLY);
	map = qalloc_openmap(path, &options);
	assert_opened(map);
	assert_ptr_equal(qalloc_getroot(map, "text"), text);
	assert_string_equal(text, "read me");
	assert_int_equal(count_live(map), 2);
	assert_true(qalloc_usable_size(map, text) >= 20);
	assert_whole(map);
	assert_true((info_of(map).flags & QALLOC_READONLY) != 0);
	assert_refused(qalloc_malloc(map, 8), QALLOC_EREADONLY);
	assert_refused(qalloc_calloc(map, 1, 8), QALLOC_EREADONLY);
	assert_refused(qalloc_realloc(map, text, 8), QALLOC_EREADONLY);
	assert_refused(qalloc_aligned_alloc(map, 16, 8), QALLOC_EREADONLY);
	assert_fails(qalloc_tryfree(text, map), QALLOC_EREADONLY);
	assert_fails(qalloc_setroot(map, "text", NULL), QALLOC_EREADONLY);
	assert_fails(qalloc_casroot(map, "text", text, NULL), QALLOC_EREADONLY);
	assert_fails(qalloc_delroot(map, "text"), QALLOC_EREADONLY);
	/* One map, one mode per process. */
	assert_refused(qalloc_loadmap(path), QALLOC_EINUSE);
	assert_ptr_equal(qalloc_openmap(path, &options), map);
	assert_int_equal(qalloc_cleanup(), 0);
	assert_int_equal(file_checksum(path), before);

	map = qalloc_loadmap(path);
	assert_opened(map);
	assert_refused(qalloc_openmap(path, &options), QALLOC_EINUSE);
}

static void verify_refuses_a_map_that_load_would_take(void **state)
{
	(void)state;
	const char *path = scratch("map");
	void *map = qalloc_makedynmap((off_t)MIB, NULL, path, 1);
	assert_opened(map);
	uint64_t data = info_of(map).data_offset;
	assert_int_equal(qalloc_cleanup(), 0);
	struct qalloc_options options = options_for(QALLOC_VERIFY);
	assert_opened(qalloc_openmap(path, &options));
	assert_int_equal(qalloc_cleanup(), 0);
	/* Scribble over all tables behind the fixed part, up to the guard. */
	size_t len = (size_t)(data - 2 * 0x10000);
	uint8_t *junk = malloc(len);
	assert_non_null(junk);
	memset(junk, 0xEE, len);
	patch_file(path, 0x10000, junk, len);
	free(junk);
	assert_refused(qalloc_openmap(path, &options), QALLOC_ECORRUPT);
	map = qalloc_loadmap(path);
	assert_opened(map);
	assert_fails(qalloc_check(map, NULL, NULL), QALLOC_ECORRUPT);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(each_parameter_that_differs_is_named_found_and_wanted),
		TEST(each_argument_outside_its_range_has_its_error_and_makes_no_file),
		TEST(the_largest_stream_count_works),
		TEST(options_of_another_size_are_judged_by_their_tail),
		TEST(unknown_flags_and_contradictions_are_refused),
		TEST(options_that_are_zero_agree_with_any_map),
		TEST(create_and_exclusive_mean_what_open_means),
		TEST(a_read_only_map_can_be_looked_at_and_not_changed),
		TEST(verify_refuses_a_map_that_load_would_take),
	};
	return cmocka_run_group_tests_name("params", tests, NULL, NULL) != 0;
}
