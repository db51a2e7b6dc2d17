/* SPDX-License-Identifier: MIT */
/*
 * Size classes, exhaustively: every request up to the largest class and beyond.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../src/size.h"

static void classes_are_16_byte_steps_to_128_then_four_per_doubling(void **state)
{
	uint32_t expected = 0;

	(void)state;
	for (uint32_t cls = 0; cls < CLASS_COUNT; cls++) {
		uint32_t step = 16;

		for (uint32_t top = 128; top <= expected; top *= 2)
			step = top / 4;
		expected += step;
		assert_int_equal(class_bytes(cls), expected);
		assert_int_equal(expected % 16, 0);
	}
	assert_int_equal(expected, CLASS_BYTES_MAX);
}

static void every_request_gets_the_smallest_class_that_holds_it(void **state)
{
	(void)state;
	for (uint32_t bytes = 0; bytes <= CLASS_BYTES_MAX; bytes++) {
		uint32_t cls = class_of(bytes);

		assert_true(cls < CLASS_COUNT);
		assert_true(class_bytes(cls) >= bytes);
		assert_true(cls == 0 || class_bytes(cls - 1) < bytes);
	}
}

static void above_128_bytes_at_most_a_fifth_is_waste(void **state)
{
	(void)state;
	for (uint32_t bytes = 129; bytes <= CLASS_BYTES_MAX; bytes++) {
		uint32_t block = class_bytes(class_of(bytes));

		assert_true((block - bytes) * 5 <= block);
	}
}

static void a_request_above_the_largest_class_has_none(void **state)
{
	(void)state;
	assert_int_equal(class_of(CLASS_BYTES_MAX + 1), CLASS_NONE);
	assert_int_equal(class_of((uint64_t)1 << 32), CLASS_NONE);
	assert_int_equal(class_of(UINT64_MAX), CLASS_NONE);
}

static void a_map_uses_the_classes_up_to_half_a_span(void **state)
{
	(void)state;
	assert_int_equal(class_count(4096), 24);
	assert_int_equal(class_count(65536), CLASS_COUNT);
	assert_int_equal(class_count(UINT64_MAX), CLASS_COUNT);
	for (uint64_t span = 0; span <= 70000; span++) {
		uint32_t count = class_count(span);

		assert_true(count == 0 || class_bytes(count - 1) <= span / 2);
		assert_true(count == CLASS_COUNT || class_bytes(count) > span / 2);
	}
}

static void an_aligned_request_gets_the_smallest_class_that_is_a_multiple(void **state)
{
	(void)state;
	for (uint32_t classes = 0; classes <= CLASS_COUNT; classes += 4) {
		for (uint64_t align = 16; align <= 65536; align *= 2) {
			for (uint64_t bytes = 0; bytes <= 33000; bytes += 7) {
				uint32_t cls = class_aligned(bytes, align, classes);
				uint32_t want = 0;

				while (want < classes &&
				       (class_bytes(want) < bytes || class_bytes(want) % align))
					want++;
				assert_int_equal(cls, want < classes ? want : CLASS_NONE);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classes_are_16_byte_steps_to_128_then_four_per_doubling),
		cmocka_unit_test(every_request_gets_the_smallest_class_that_holds_it),
		cmocka_unit_test(above_128_bytes_at_most_a_fifth_is_waste),
		cmocka_unit_test(a_request_above_the_largest_class_has_none),
		cmocka_unit_test(a_map_uses_the_classes_up_to_half_a_span),
		cmocka_unit_test(an_aligned_request_gets_the_smallest_class_that_is_a_multiple),
	};

	return cmocka_run_group_tests_name("size", tests, NULL, NULL);
}
