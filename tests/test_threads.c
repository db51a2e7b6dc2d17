/* SPDX-License-Identifier: MIT */
/*
 * Many threads, few streams: blocks that travel between threads, threads that come and
 * go, and sums that come out even.  Meant to run under ThreadSanitizer as well.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support.h"

#define THREADS_MAX 50
#define RING 64

/* Single producer, single consumer: the words hand over what the block contains. */
struct ring {
	_Alignas(64) uint64_t head; /* written by the consumer */
	_Alignas(64) uint64_t tail; /* written by the producer */
	void *slots[RING];
};

struct worker {
	void *map;
	struct ring *in, *out;
	uint64_t seed, allocated, freed, sent, received;
	unsigned steps;
	bool fixed;
	const char *failure;
};

static struct ring rings[THREADS_MAX];

static bool ring_put(struct ring *ring, void *block)
{
	uint64_t tail = ring->tail;
	if (tail - __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) == RING)
		return false;
	ring->slots[tail % RING] = block;
	__atomic_store_n(&ring->tail, tail + 1, __ATOMIC_RELEASE);
	return true;
}

static void *ring_get(struct ring *ring)
{
	uint64_t head = ring->head;
	if (head == __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE))
		return NULL;
	void *block = ring->slots[head % RING];
	__atomic_store_n(&ring->head, head + 1, __ATOMIC_RELEASE);
	return block;
}

/* A block tells its own size and pattern. */
struct label {
	uint64_t size, seed;
};

static struct label *labelled(struct worker *w, uint64_t *random)
{
	size_t size = sizeof(struct label) + next_random(random) % 200;
	if (!w->fixed && next_random(random) % 50 == 0)
		size += 40000;
	struct label *block = patient_malloc(w->map, size);
	if (block == NULL) {
		if (qalloc_error() != QALLOC_EFULL)
			w->failure = "malloc failed for another reason than a full map";
		return NULL;
	}
	block->size = size;
	block->seed = w->seed * 1000000 + w->allocated++;
	fill(block + 1, size - sizeof(*block), block->seed);
	return block;
}

static void check_and_free(struct worker *w, struct label *block)
{
	if (!is_filled(block + 1, block->size - sizeof(*block), block->seed))
		w->failure = "a block was overwritten";
	memset(block, 0xDD, sizeof(*block));
	if (qalloc_tryfree(block, w->map) != 0)
		w->failure = "a live block was not freed";
	w->freed++;
}

/* Keeps some blocks, sends others to the next thread, frees what comes in. */
static void *works(void *arg)
{
	enum { HELD = 40 };
	struct worker *w = arg;
	struct label *held[HELD] = {NULL};
	uint64_t random = w->seed * 77 + 1;
	for (unsigned i = 0; i < w->steps && w->failure == NULL; i++) {
		size_t k = next_random(&random) % HELD;
		if (held[k] == NULL) {
			held[k] = labelled(w, &random);
		} else if (next_random(&random) % 2 == 0 && ring_put(w->out, held[k])) {
			w->sent++;
			held[k] = NULL;
		} else {
			check_and_free(w, held[k]);
			held[k] = NULL;
		}
		struct label *block = ring_get(w->in);
		if (block != NULL) {
			w->received++;
			check_and_free(w, block);
		}
	}
	for (size_t k = 0; k < HELD; k++) {
		if (held[k] != NULL)
			check_and_free(w, held[k]);
	}
	return NULL;
}

static unsigned scaled(unsigned steps)
{
	return under_valgrind() ? steps / 50 : under_sanitizer() ? steps / 8 : steps;
}

static void churn(void *map, size_t threads, unsigned steps, bool fixed)
{
	pthread_t ids[THREADS_MAX];
	struct worker workers[THREADS_MAX];
	memset(rings, 0, sizeof(rings));
	for (size_t t = 0; t < threads; t++) {
		workers[t] = (struct worker){.map = map,
					     .in = &rings[t],
					     .out = &rings[(t + 1) % threads],
					     .seed = t + 1,
					     .steps = scaled(steps),
					     .fixed = fixed};
		assert_int_equal(pthread_create(&ids[t], NULL, works, &workers[t]), 0);
	}
	uint64_t allocated = 0, freed = 0, sent = 0, received = 0;
	for (size_t t = 0; t < threads; t++) {
		pthread_join(ids[t], NULL);
		if (workers[t].failure != NULL)
			fail_msg("thread %zu: %s; %s", t, workers[t].failure, qalloc_errmsg());
		allocated += workers[t].allocated;
		freed += workers[t].freed;
		sent += workers[t].sent;
		received += workers[t].received;
	}
	/* What is still on its way is exactly what still lives. */
	assert_int_equal(allocated - freed, sent - received);
	assert_int_equal(count_live(map), sent - received);
	assert_whole(map);
	struct worker last = {.map = map};
	for (size_t t = 0; t < threads; t++) {
		struct label *block;
		while ((block = ring_get(&rings[t])) != NULL)
			check_and_free(&last, block);
	}
	assert_null(last.failure);
	assert_int_equal(count_live(map), 0);
	assert_whole(map);
}

static void *dynamic_map(size_t size, size_t streams)
{
	void *map = qalloc_makedynmap((off_t)size, NULL, scratch("map"), streams);
	assert_opened(map);
	return map;
}

static void four_threads_share_a_dynamic_map(void **state)
{
	(void)state;
	churn(dynamic_map(32 * MIB, 4), 4, 100000, false);
}

static void four_threads_share_one_stream(void **state)
{
	(void)state;
	churn(dynamic_map(32 * MIB, 1), 4, 40000, false);
}

static void fifty_threads_share_three_streams_or_one(void **state)
{
	(void)state;
	churn(dynamic_map(64 * MIB, 3), THREADS_MAX, 8000, false);
	assert_int_equal(qalloc_cleanup(), 0);
	assert_int_equal(remove(scratch("map")), 0);
	churn(dynamic_map(64 * MIB, 1), THREADS_MAX, 2000, false);
}

static void threads_in_a_map_that_is_too_small_get_enomem_and_nothing_worse(void **state)
{
	(void)state;
	churn(dynamic_map(MIB, 3), 8, 10000, false);
}

static void threads_share_a_static_map_with_and_without_room(void **state)
{
	static const size_t items[] = {4000, 100};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		void *map = qalloc_makestatmap(qalloc_statmap_filesize(216, items[i], 3), NULL,
					       scratch(i == 0 ? "large" : "small"), 216, 3);
		assert_opened(map);
		churn(map, 8, 20000, true);
	}
}

/* ---- As fast as they can ----------------------------------------------------------------- */

struct hammer {
	void *map;
	uint64_t id;
	uint64_t *gate;
	unsigned rounds;
	size_t held, size_max;
	const char *failure;
};

/* Nothing but malloc, one store, one look, free: so that calls meet inside. */
static void *hammers(void *arg)
{
	enum { HELD_MAX = 200 };
	struct hammer *h = arg;
	uint64_t *held[HELD_MAX], random = h->id * 31 + 7;
	open_gate(h->gate);
	for (unsigned r = 0; r < h->rounds && h->failure == NULL; r++) {
		size_t count = 0, size = 16 + next_random(&random) % h->size_max;
		while (count < h->held && (held[count] = patient_malloc(h->map, size)) != NULL) {
			held[count][0] = h->id << 32 | count;
			held[count][1] = r;
			count++;
		}
		if (count < h->held && qalloc_error() != QALLOC_EFULL)
			h->failure = "malloc failed for another reason than a full map";
		for (size_t i = 0; i < count; i++) {
			if (held[i][0] != (h->id << 32 | i) || held[i][1] != r)
				h->failure = "a block has two owners";
			if (qalloc_tryfree(held[i], h->map) != 0)
				h->failure = "a live block was not freed";
		}
	}
	return NULL;
}

static void hammer(void *map, size_t threads, unsigned rounds, size_t held, size_t size_max)
{
	pthread_t ids[THREADS_MAX];
	struct hammer hammers_of[THREADS_MAX];
	uint64_t gate = threads;
	for (size_t t = 0; t < threads; t++) {
		hammers_of[t] =
			(struct hammer){map, t + 1, &gate, scaled(rounds), held, size_max, NULL};
		assert_int_equal(pthread_create(&ids[t], NULL, hammers, &hammers_of[t]), 0);
	}
	for (size_t t = 0; t < threads; t++) {
		pthread_join(ids[t], NULL);
		if (hammers_of[t].failure != NULL)
			fail_msg("thread %zu: %s; %s", t, hammers_of[t].failure, qalloc_errmsg());
	}
	assert_int_equal(count_live(map), 0);
	assert_whole(map);
	assert_non_null(qalloc_malloc(map, info_of(map).data_bytes));
}

static void threads_meet_inside_one_stream(void **state)
{
	(void)state;
	hammer(dynamic_map(4 * MIB, 1), 4, 60000, 8, 1);
}

static void threads_meet_where_a_map_is_full(void **state)
{
	(void)state;
	hammer(dynamic_map(512 * KIB, 3), 6, 600, 100, 600);
}

struct sharer {
	void *map;
	void **blocks;
	size_t first, step, count;
	uint64_t *gate;
	int failures;
};

static void *frees_its_share(void *arg)
{
	struct sharer *s = arg;
	open_gate(s->gate);
	for (size_t i = s->first; i < s->count; i += s->step)
		s->failures += qalloc_tryfree(s->blocks[i], s->map) != 0;
	return NULL;
}

/* Neighbouring blocks share a word of bits; no flip of a bit may be lost. */
static void threads_that_free_neighbouring_blocks_lose_none(void **state)
{
	(void)state;
	enum { SHARERS = 4, BLOCKS = 20000 };
	static void *blocks[BLOCKS];
	void *map = dynamic_map(4 * MIB, 8);
	unsigned rounds = scaled(60) + 1;
	for (unsigned r = 0; r < rounds; r++) {
		pthread_t ids[SHARERS];
		struct sharer sharers[SHARERS];
		uint64_t gate = SHARERS;
		for (size_t i = 0; i < BLOCKS; i++) {
			blocks[i] = qalloc_malloc(map, 16);
			assert_non_null(blocks[i]);
		}
		for (size_t t = 0; t < SHARERS; t++) {
			sharers[t] = (struct sharer){map, blocks, t, SHARERS, BLOCKS, &gate, 0};
			assert_int_equal(
				pthread_create(&ids[t], NULL, frees_its_share, &sharers[t]), 0);
		}
		for (size_t t = 0; t < SHARERS; t++) {
			pthread_join(ids[t], NULL);
			assert_int_equal(sharers[t].failures, 0);
		}
		assert_int_equal(count_live(map), 0);
	}
	assert_whole(map);
}

/* ---- Threads that come and go --------------------------------------------------------- */

struct short_life {
	void *map;
	void *kept;
};

static void *allocates_one(void *arg)
{
	struct short_life *life = arg;
	life->kept = patient_malloc(life->map, 100);
	void *other = patient_malloc(life->map, 100);
	qalloc_tryfree(other, life->map);
	return NULL;
}

static void threads_that_exit_leave_only_their_blocks(void **state)
{
	(void)state;
	enum { ROUNDS = 40, AT_ONCE = 25 };
	void *map = dynamic_map(4 * MIB, 3);
	static void *kept[ROUNDS * AT_ONCE];
	unsigned rounds = scaled(ROUNDS) + 1;
	for (unsigned r = 0; r < rounds && r < ROUNDS; r++) {
		pthread_t ids[AT_ONCE];
		struct short_life lives[AT_ONCE];
		for (int t = 0; t < AT_ONCE; t++) {
			lives[t].map = map;
			assert_int_equal(pthread_create(&ids[t], NULL, allocates_one, &lives[t]),
					 0);
		}
		for (int t = 0; t < AT_ONCE; t++) {
			pthread_join(ids[t], NULL);
			kept[r * AT_ONCE + (unsigned)t] = lives[t].kept;
		}
	}
	size_t count = (rounds < ROUNDS ? rounds : ROUNDS) * AT_ONCE;
	assert_int_equal(count_live(map), count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(qalloc_tryfree(kept[i], map), 0);
	assert_non_null(qalloc_malloc(map, info_of(map).data_bytes));
	assert_whole(map);
}

/*
 * Threads race to free the same blocks; nobody allocates meanwhile.  One of KEPT stays, so that no
 * span is given back in between: then what a block is depends on its two bits alone.
 */
#define KEPT 8u
struct crowd {
	void *map;
	void **blocks;
	uint32_t *wins; /* of each block: how many were told that they freed it */
	size_t count;
	uint64_t *gate;
};

static void *frees_everything(void *arg)
{
	struct crowd *c = arg;
	open_gate(c->gate);
	for (size_t i = 0; i < c->count; i++) {
		if (i % KEPT != 0 && qalloc_tryfree(c->blocks[i], c->map) == 0)
			__atomic_fetch_add(&c->wins[i], 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void a_block_that_many_free_ends_up_free_or_whole(void **state)
{
	(void)state;
	enum { CROWD = 4, BLOCKS = 2000 };
	static void *blocks[BLOCKS];
	static uint32_t wins[BLOCKS];
	void *map = dynamic_map(4 * MIB, 8);
	for (int round = 0; round < 10; round++) {
		pthread_t ids[CROWD];
		uint64_t gate = CROWD;
		struct crowd crowd = {map, blocks, wins, BLOCKS, &gate};
		memset(wins, 0, sizeof(wins));
		for (size_t i = 0; i < BLOCKS; i++) {
			blocks[i] = qalloc_malloc(map, 16 + i % 500);
			assert_non_null(blocks[i]);
		}
		for (int t = 0; t < CROWD; t++)
			assert_int_equal(pthread_create(&ids[t], NULL, frees_everything, &crowd),
					 0);
		for (int t = 0; t < CROWD; t++)
			pthread_join(ids[t], NULL);
		/* A local free that meets a remote one undoes it: each block is free after an
		   odd number of frees, and live, a leak, after an even one. */
		for (size_t i = 0; i < BLOCKS; i++) {
			if (i % KEPT == 0)
				continue;
			assert_true(wins[i] >= 1 && wins[i] <= CROWD);
			bool live = qalloc_usable_size(map, blocks[i]) != 0;
			assert_int_equal(live, wins[i] % 2 == 0);
			if (live)
				assert_int_equal(qalloc_tryfree(blocks[i], map), 0);
		}
		for (size_t i = 0; i < BLOCKS; i += KEPT)
			assert_int_equal(qalloc_tryfree(blocks[i], map), 0);
		assert_int_equal(count_live(map), 0);
		assert_whole(map);
	}
}

/* ---- Opening and looking, while others allocate ------------------------------------------ */

struct opener {
	const char *path;
	void *handle;
	int failures;
	unsigned rounds;
};

static void *opens_and_closes(void *arg)
{
	struct opener *o = arg;
	for (unsigned i = 0; i < o->rounds; i++) {
		void *map = qalloc_loadmap(o->path);
		void *block = map == NULL ? NULL : patient_malloc(map, 64);
		o->failures += map != o->handle || block == NULL;
		o->failures += qalloc_tryfree(block, map) != 0;
		o->failures += map != NULL && qalloc_closemap(map) != 0;
	}
	return NULL;
}

static void threads_open_and_close_one_map_while_it_is_open(void **state)
{
	(void)state;
	enum { OPENERS = 6 };
	pthread_t ids[OPENERS];
	struct opener openers[OPENERS];
	const char *path = scratch("map");
	void *map = dynamic_map(MIB, 3);
	for (int t = 0; t < OPENERS; t++) {
		openers[t] = (struct opener){path, map, 0, scaled(400) + 1};
		assert_int_equal(pthread_create(&ids[t], NULL, opens_and_closes, &openers[t]), 0);
	}
	for (int i = 0; i < 50; i++) {
		assert_int_equal(qalloc_setroot(map, "root", NULL), 0);
		info_of(map);
	}
	for (int t = 0; t < OPENERS; t++) {
		pthread_join(ids[t], NULL);
		assert_int_equal(openers[t].failures, 0);
	}
	assert_int_equal(count_live(map), 0);
	assert_int_equal(qalloc_closemap(map), 0);
	assert_fails(qalloc_closemap(map), QALLOC_EHANDLE);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)
	const struct CMUnitTest tests[] = {
		TEST(four_threads_share_a_dynamic_map),
		TEST(four_threads_share_one_stream),
		TEST(fifty_threads_share_three_streams_or_one),
		TEST(threads_in_a_map_that_is_too_small_get_enomem_and_nothing_worse),
		TEST(threads_share_a_static_map_with_and_without_room),
		TEST(threads_meet_inside_one_stream),
		TEST(threads_meet_where_a_map_is_full),
		TEST(threads_that_free_neighbouring_blocks_lose_none),
		TEST(threads_that_exit_leave_only_their_blocks),
		TEST(a_block_that_many_free_ends_up_free_or_whole),
		TEST(threads_open_and_close_one_map_while_it_is_open),
	};
	return cmocka_run_group_tests_name("threads", tests, NULL, NULL) != 0;
}
