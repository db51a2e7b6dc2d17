/* SPDX-License-Identifier: MIT */
/*
 * A word that changes without pause: a remote free whose exchanges fail ends all the same.
 * The core is compiled here once more, over an exchange that fails as often as it is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../src/word.h"

static uint32_t failures; /* to come */
static uint32_t attempts;

static bool contended_cas(uint64_t *w, uint64_t expected, uint64_t desired)
{
	attempts++;
	if (failures > 0) {
		failures--;
		return false;
	}
	return shared_cas(w, expected, desired);
}

#define shared_cas contended_cas
#include "../src/span.c"

static void a_free_that_never_succeeds_ends_and_leaves_the_block_live(void **state)
{
	uint64_t pairs[2] = {1u << 5, 0};
	struct span s = {.pairs = pairs, .items = 64};

	(void)state;
	failures = UINT32_MAX;
	attempts = 0;
	assert_int_equal(span_free_remote(&s, 5), FREE_BUSY);
	assert_int_equal(attempts, FREE_TRIES_MAX);
	assert_true(span_item_live(&s, 5));
	assert_int_equal(pairs[1], 0);
}

static void a_free_that_succeeds_at_the_last_try_is_done(void **state)
{
	uint64_t pairs[2] = {1u << 5, 0};
	struct span s = {.pairs = pairs, .items = 64};

	(void)state;
	failures = FREE_TRIES_MAX - 1;
	assert_int_equal(span_free_remote(&s, 5), FREE_DONE);
	assert_false(span_item_live(&s, 5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_free_that_never_succeeds_ends_and_leaves_the_block_live),
		cmocka_unit_test(a_free_that_succeeds_at_the_last_try_is_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
