/* SPDX-License-Identifier: MIT */
/*
 * Spans: bits exhaustively, steps against a model, and any words whatever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "../src/span.h"

#define ROUNDS 300

static uint64_t seed = 88172645463325252u;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint32_t below(uint32_t bound)
{
	return (uint32_t)(next_random() % bound);
}

static uint32_t words_of(uint32_t items)
{
	return (items + 63) / 64;
}

/* Pairs in a heap block of exact size, so that a sanitizer sees any step beyond. */
static struct span new_span(uint32_t items, bool random)
{
	struct span s = {.items = items};
	size_t count = 2 * (size_t)words_of(items);

	s.pairs = calloc(count, sizeof(uint64_t));
	assert_non_null(s.pairs);
	for (size_t i = 0; random && i < count; i++)
		s.pairs[i] = next_random();
	return s;
}

static void each_bit_and_each_pair_of_bits_is_found_from_the_lowest(void **state)
{
	(void)state;
	assert_int_equal(first_set(0), 64);
	assert_int_equal(first_set(UINT64_MAX), 0);
	for (uint32_t a = 0; a < 64; a++) {
		assert_true(mask_of(a) == UINT64_C(1) << a);
		assert_int_equal(first_set(mask_of(a)), a);
		assert_int_equal(first_set(UINT64_MAX << a), a);
		for (uint32_t b = a; b < 64; b++)
			assert_int_equal(first_set(mask_of(a) | mask_of(b)), a);
	}
}

static void the_mask_of_valid_blocks_has_exactly_the_blocks_that_exist(void **state)
{
	(void)state;
	for (uint32_t items = 0; items <= 300; items++) {
		for (uint32_t w = 0; w < 8; w++) {
			uint64_t mask = valid_mask(items, w);

			for (uint32_t b = 0; b < 64; b++)
				assert_int_equal(mask >> b & 1, w * 64 + b < items);
		}
	}
	assert_true(valid_mask(ITEMS_PER_SPAN_MAX, UINT32_MAX) == 0);
	assert_true(valid_mask(UINT32_MAX, UINT32_MAX / 64) == UINT64_MAX >> 1);
}

static void span_words_decode_to_what_they_were_made_of(void **state)
{
	(void)state;
	for (uint32_t stream = 0; stream < QALLOC_STREAMS_MAX; stream += 37) {
		for (uint32_t cls = 0; cls < 256; cls++) {
			uint64_t word = span_word_small(stream, cls);

			assert_int_equal(span_word_state(word), SPAN_SMALL);
			assert_int_equal(span_word_stream(word), stream);
			assert_int_equal(span_word_class(word), cls);
			assert_int_equal(span_word_length(word), 0);
			assert_true(span_word_valid(word, stream + 1, cls + 1, 0));
			assert_false(span_word_valid(word, stream, cls + 1, 0));
			assert_false(span_word_valid(word, stream + 1, cls, 0));
		}
	}
	for (uint64_t length = 1; length <= UINT32_MAX; length = length * 3 + 1) {
		uint64_t word = span_word_run(length);

		assert_int_equal(span_word_state(word), SPAN_RUN);
		assert_true(span_word_length(word) == length);
		assert_true(span_word_valid(word, 0, 0, length));
		assert_false(span_word_valid(word, 9, 9, length - 1));
	}
}

static void a_span_word_is_valid_iff_its_state_allows_every_field(void **state)
{
	(void)state;
	assert_true(span_word_valid(SPAN_FREE, 0, 0, 0));
	assert_true(span_word_valid(SPAN_TAIL, 0, 0, 0));
	assert_true(span_word_valid(SPAN_SMALL, 1, 1, 0));
	assert_false(span_word_valid(SPAN_RUN, 1, 1, 100));
	for (uint32_t bit = 8; bit < 64; bit++) {
		uint64_t other = UINT64_C(1) << bit;

		assert_false(span_word_valid(SPAN_FREE | other, 4096, 40, UINT64_MAX));
		assert_false(span_word_valid(SPAN_TAIL | other, 4096, 40, UINT64_MAX));
		if (bit >= 32)
			assert_false(span_word_valid(SPAN_SMALL | other, 4096, 40, UINT64_MAX));
		if (bit < 32)
			assert_false(span_word_valid(span_word_run(1) | other, 4096, 40, 9));
	}
	for (uint64_t s = SPAN_TAIL + 1; s < 256; s++)
		assert_false(span_word_valid(s, 4096, 40, UINT64_MAX));
	for (uint32_t i = 0; i < 100000; i++) {
		uint64_t word = next_random() >> below(64);

		if (span_word_valid(word, 7, 5, 1000) && span_word_state(word) == SPAN_SMALL)
			assert_true(word ==
				    span_word_small(span_word_stream(word), span_word_class(word)));
	}
}

static void a_fresh_span_hands_out_each_block_once_in_order(void **state)
{
	(void)state;
	for (uint32_t items = 1; items <= 200; items++) {
		struct span s = new_span(items, false);

		assert_true(span_is_empty(&s));
		for (uint32_t i = 0; i < items; i++) {
			assert_true(span_has_room(&s));
			assert_int_equal(span_take(&s, 0), i);
			assert_int_equal(span_live_count(&s), i + 1);
			assert_false(span_is_empty(&s));
		}
		assert_false(span_has_room(&s));
		assert_int_equal(span_take(&s, 0), ITEM_NONE);
		free(s.pairs);
	}
}

/* One span beside an array of what must be live. */
struct model {
	struct span s;
	bool live[ITEMS_PER_SPAN_MAX];
	uint32_t count;
};

static uint32_t model_first(const struct model *m, uint32_t from, bool live)
{
	for (uint32_t i = from; i < m->s.items; i++) {
		if (m->live[i] == live)
			return i;
	}
	return ITEM_NONE;
}

static void model_agrees(const struct model *m)
{
	uint32_t from = below(m->s.items + 2);

	assert_int_equal(span_live_count(&m->s), m->count);
	assert_int_equal(span_is_empty(&m->s), m->count == 0);
	assert_int_equal(span_has_room(&m->s), m->count < m->s.items);
	assert_int_equal(span_next_live(&m->s, from), model_first(m, from, true));
	for (uint32_t i = 0; i < m->s.items; i++)
		assert_int_equal(span_item_live(&m->s, i), m->live[i]);
}

static void model_set(struct model *m, uint32_t item, bool live)
{
	assert_true(item < m->s.items);
	assert_int_equal(m->live[item], !live);
	m->live[item] = live;
	m->count = live ? m->count + 1 : m->count - 1;
}

static void model_step(struct model *m)
{
	uint32_t item = below(m->s.items);
	uint32_t from = below(words_of(m->s.items) + 2);

	switch (below(5)) {
	case 0:
		if (span_free_local(&m->s, item) != m->live[item])
			fail();
		if (m->live[item])
			model_set(m, item, false);
		break;
	case 1:
		if (span_free_remote(&m->s, item) != (m->live[item] ? FREE_DONE : FREE_NOT_LIVE))
			fail();
		if (m->live[item])
			model_set(m, item, false);
		break;
	case 2:
		if (span_take_item(&m->s, item) == m->live[item])
			fail();
		if (!m->live[item])
			model_set(m, item, true);
		break;
	default:
		item = model_first(m, from * 64, false);
		assert_int_equal(span_take(&m->s, from), item);
		if (item != ITEM_NONE)
			model_set(m, item, true);
	}
}

static void every_step_does_what_a_plain_array_does(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		static struct model m;

		/* Starts from any words: their bits are the model's first state. */
		memset(&m, 0, sizeof(m));
		m.s = new_span(1 + below(round % 10 == 0 ? 2000 : 200), round % 2 == 1);
		for (uint32_t i = 0; i < m.s.items; i++) {
			uint64_t *pair = &m.s.pairs[2 * (i / 64)];

			m.live[i] = ((pair[0] ^ pair[1]) >> (i % 64) & 1) != 0;
			m.count += m.live[i];
		}
		model_agrees(&m);
		for (uint32_t step = 0; step < 400; step++) {
			model_step(&m);
			if (step % 20 == 0)
				model_agrees(&m);
		}
		model_agrees(&m);
		free(m.s.pairs);
	}
}

static void a_block_that_does_not_exist_is_never_live_taken_or_freed(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		struct span s = new_span(1 + below(300), true);
		uint32_t beyond[] = {s.items, s.items + 1 + below(100), UINT32_MAX - 1, UINT32_MAX};

		for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
			assert_false(span_item_live(&s, beyond[i]));
			assert_false(span_take_item(&s, beyond[i]));
			assert_false(span_free_local(&s, beyond[i]));
			assert_int_equal(span_free_remote(&s, beyond[i]), FREE_NOT_LIVE);
			assert_int_equal(span_next_live(&s, beyond[i]), ITEM_NONE);
			assert_int_equal(span_take(&s, beyond[i]), ITEM_NONE);
		}
		free(s.pairs);
	}
}

static void a_local_step_writes_own_and_a_remote_step_writes_rem(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		struct span s = new_span(64, true);
		uint64_t own = s.pairs[0];
		uint64_t rem = s.pairs[1];
		uint32_t item = below(64);

		(void)span_free_remote(&s, item);
		assert_true(s.pairs[0] == own);
		assert_true((s.pairs[1] & ~mask_of(item)) == (rem & ~mask_of(item)));
		rem = s.pairs[1];
		(void)span_take_item(&s, item);
		(void)span_free_local(&s, item);
		(void)span_take(&s, 0);
		assert_true(s.pairs[1] == rem);
		free(s.pairs);
	}
}

static void a_reset_span_is_empty_whatever_it_held(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		struct span s = new_span(1 + below(500), true);

		span_reset(s.pairs, words_of(s.items));
		assert_true(span_is_empty(&s));
		for (uint32_t w = 0; w < words_of(s.items); w++)
			assert_true(s.pairs[2 * w] == s.pairs[2 * w + 1]);
		free(s.pairs);
	}
}

#define RACERS 4
#define RACE_ROUNDS 2000

/* All racers free the same blocks in the same order. */
struct race {
	struct span *s;
	pthread_barrier_t *start;
	uint32_t done;
};

static void *race_to_free(void *arg)
{
	struct race *r = arg;

	for (uint32_t round = 0; round < RACE_ROUNDS; round++) {
		(void)pthread_barrier_wait(r->start);
		for (uint32_t i = 0; i < r->s->items; i++) {
			enum free_result result = span_free_remote(r->s, i);

			/* BUSY would need a thousand lost exchanges in one word of 64 blocks. */
			r->done += result == FREE_DONE;
			if (result == FREE_BUSY)
				abort();
		}
		(void)pthread_barrier_wait(r->start);
	}
	return NULL;
}

static void of_many_remote_frees_of_one_block_exactly_one_succeeds(void **state)
{
	struct span s = new_span(70, true);
	struct race races[RACERS];
	pthread_t threads[RACERS];
	pthread_barrier_t start;
	uint32_t done = 0;

	(void)state;
	span_reset(s.pairs, words_of(s.items));
	assert_int_equal(pthread_barrier_init(&start, NULL, RACERS + 1), 0);
	for (uint32_t i = 0; i < RACERS; i++) {
		races[i] = (struct race){.s = &s, .start = &start};
		assert_int_equal(pthread_create(&threads[i], NULL, race_to_free, &races[i]), 0);
	}
	for (uint32_t round = 0; round < RACE_ROUNDS; round++) {
		for (uint32_t i = 0; i < s.items; i++)
			assert_int_equal(span_take(&s, 0), i);
		(void)pthread_barrier_wait(&start);
		(void)pthread_barrier_wait(&start);
		assert_true(span_is_empty(&s));
	}
	for (uint32_t i = 0; i < RACERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		done += races[i].done;
	}
	assert_int_equal(done, RACE_ROUNDS * s.items);
	(void)pthread_barrier_destroy(&start);
	free(s.pairs);
}

/* One holder takes and frees; the others free what it hands them, and anything else. */
struct churn {
	struct span *s;
	uint32_t *mail; /* item + 1, or 0; one box for each racer */
	uint32_t done;
	bool *stop;
};

static void *free_the_mail(void *arg)
{
	struct churn *c = arg;

	while (!__atomic_load_n(c->stop, __ATOMIC_ACQUIRE)) {
		uint32_t item = __atomic_exchange_n(c->mail, 0, __ATOMIC_ACQ_REL);

		if (item == 0)
			continue;
		if (span_free_remote(c->s, item - 1) != FREE_DONE)
			abort();
		c->done++;
	}
	return NULL;
}

static void a_block_that_is_freed_once_is_never_lost_nor_given_twice(void **state)
{
	struct span s = new_span(130, true);
	struct churn churns[RACERS];
	pthread_t threads[RACERS];
	uint32_t mail[RACERS] = {0};
	uint32_t taken = 0;
	uint32_t freed = 0;
	bool stop = false;

	(void)state;
	span_reset(s.pairs, words_of(s.items));
	for (uint32_t i = 0; i < RACERS; i++) {
		churns[i] = (struct churn){.s = &s, .mail = &mail[i], .stop = &stop};
		assert_int_equal(pthread_create(&threads[i], NULL, free_the_mail, &churns[i]), 0);
	}
	for (uint32_t step = 0; step < 200000; step++) {
		uint32_t *box = &mail[step % RACERS];
		uint32_t item = span_take(&s, 0);

		if (item == ITEM_NONE)
			continue;
		taken++;
		if (step % 3 == 0 || __atomic_load_n(box, __ATOMIC_ACQUIRE) != 0) {
			assert_true(span_free_local(&s, item));
			freed++;
		} else {
			__atomic_store_n(box, item + 1, __ATOMIC_RELEASE);
		}
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < RACERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		freed += churns[i].done;
	}
	assert_int_equal(span_live_count(&s), taken - freed);
	free(s.pairs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_bit_and_each_pair_of_bits_is_found_from_the_lowest),
		cmocka_unit_test(the_mask_of_valid_blocks_has_exactly_the_blocks_that_exist),
		cmocka_unit_test(span_words_decode_to_what_they_were_made_of),
		cmocka_unit_test(a_span_word_is_valid_iff_its_state_allows_every_field),
		cmocka_unit_test(a_fresh_span_hands_out_each_block_once_in_order),
		cmocka_unit_test(every_step_does_what_a_plain_array_does),
		cmocka_unit_test(a_block_that_does_not_exist_is_never_live_taken_or_freed),
		cmocka_unit_test(a_local_step_writes_own_and_a_remote_step_writes_rem),
		cmocka_unit_test(a_reset_span_is_empty_whatever_it_held),
		cmocka_unit_test(of_many_remote_frees_of_one_block_exactly_one_succeeds),
		cmocka_unit_test(a_block_that_is_freed_once_is_never_lost_nor_given_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
