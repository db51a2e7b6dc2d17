/* SPDX-License-Identifier: MIT */
/*
 * What the dead leave between a block and the pointer to it, and what nobody can reach.
 *
 *  - A block that an intent or a thread record names is kept iff its cell refers to it; the rule is
 *    here a second time, and so is what can be a cell.
 *  - After qalloc_recover() nothing of it is left: no intent, no record, no lock.
 *  - qalloc_sweep() frees what a search through the model does not reach, and nothing if the program
 *    stops it or gives it a pointer that is not a block.
 */
#include "model.h"

#include <errno.h>
#include <string.h>

static uint64_t word_at(uint64_t off)
{
	return __atomic_load_n(map_word(model.m, off), __ATOMIC_RELAXED);
}

static uint64_t offset_of(uint32_t i)
{
	return (uint64_t)(uintptr_t)model.live[i].at - model.m->base;
}

/* A cell, and whether it refers to block i. */
struct chosen {
	uint64_t cell;
	uint32_t host; /* the block in which it lies; model.count: none */
	bool valid, refers;
};

static void choose_cell(struct chosen *c, uint32_t i)
{
	uint8_t how = take_u8(model.in);
	uint8_t *at = model.live[i].at;

	*c = (struct chosen){.host = model.count, .valid = true, .refers = (how & 128) != 0};
	switch (how & 3) {
	case 0:
		c->cell = root_refer((how >> 2) % ROOTS_KNOWN, c->refers ? at : NULL);
		c->valid = c->cell != 0;
		break;
	case 1:
		c->host = take_host(i);
		c->valid = c->host != model.count;
		if (!c->valid)
			break;
		c->cell = offset_of(c->host);
		at = c->refers ? at : at + 8 * (how >> 2);
		c->refers = at == model.live[i].at;
		memcpy(model.live[c->host].at, &at, sizeof(at));
		break;
	case 2:
		/* The block of another record, which says nothing. */
		c->cell = model.m->geo.records_off + RECORD_BYTES * 3 + RECORD_BLOCK;
		c->refers = false;
		break;
	default:
		c->valid = false;
		c->cell = (how & 4) != 0   ? STATE_OFF
			  : (how & 8) != 0 ? model.m->geo.data_end - 4
			  : (how & 16) != 0
				  ? ROOTS_OFF
				  : model.m->geo.records_off + RECORD_BYTES * 3 + RECORD_CELL;
		break;
	}
}

/*
 * Everything that the dead left is settled, or there is a reason and it can be settled later.  A record
 * that somebody had names nothing then; one that nobody had may hold any bytes, and keeps them.
 */
static void recover(void)
{
	static uint64_t left[RECORDS_MAX];

	for (uint32_t k = 0; k < model.m->geo.records; k++) {
		uint64_t record = model.m->geo.records_off + k * RECORD_BYTES;

		left[k] = word_at(record + RECORD_OWNER) != 0 ? 0 : word_at(record + RECORD_BLOCK);
	}
	call_enter(0);
	if (qalloc_recover(model.map) != 0) {
		int error = expect_failure();

		FUZZ_CHECK((error == QALLOC_EBUSY && model.held > 0) ||
			   (error == QALLOC_ENOSPACE && fake.ran_full));
		release_all();
		call_enter(0);
		FUZZ_CHECK(qalloc_recover(model.map) == 0);
	}
	expect_success();
	FUZZ_CHECK(word_at(STATE_INTENT) == INTENT_NONE);
	for (uint32_t k = 0; k < model.m->geo.streams; k++) {
		uint64_t owner = word_at(STREAMS_OFF + k * STREAM_BYTES);

		FUZZ_CHECK(owner == 0 || model.held > 0);
		FUZZ_CHECK(word_at(STREAMS_OFF + k * STREAM_BYTES + STREAM_INTENT) == 0);
	}
	for (uint32_t k = 0; k < model.m->geo.records; k++) {
		uint64_t record = model.m->geo.records_off + k * RECORD_BYTES;

		FUZZ_CHECK(word_at(record + RECORD_OWNER) == 0);
		FUZZ_CHECK(word_at(record + RECORD_BLOCK) == left[k]);
	}
}

/* Block i was named, with that cell. */
static void settled(uint32_t i, const struct chosen *c)
{
	struct live was = model.live[i];

	if (c->host != model.count)
		live_fill(&model.live[c->host]);
	if (!c->valid || c->refers)
		return;
	for (uint64_t k = 0; (model.m->flags & MAP_FLAG_ZERO_ON_FREE) != 0 && k < was.size; k += 7)
		FUZZ_CHECK(was.at[k] == 0);
	live_remove(i);
	/* It is free: what was left is not freed again. */
	call_enter(0);
	FUZZ_CHECK(qalloc_usable_size(model.map, was.at) == 0);
	(void)expect_failure();
}

static bool name_in_pool(uint64_t word, uint64_t span, uint64_t cell)
{
	if (word_at(STATE_POOL) != 0 || word_at(STATE_INTENT) != INTENT_NONE)
		return false;
	file_put(STATE_POOL, dead_owner(0));
	file_put(STATE_INTENT, (take_u8(model.in) & 1) != 0 ? INTENT_RUN_TAKE : INTENT_RUN_FREE);
	file_put(STATE_INTENT + 8, span);
	file_put(STATE_INTENT + 16, word >> 32);
	file_put(STATE_INTENT + 24, cell);
	return true;
}

/* Somebody died between the two stores of a call that changes a block and the pointer to it. */
void op_die_publishing(void)
{
	const struct geo *g = &model.m->geo;
	uint8_t how = take_u8(model.in);
	struct chosen c;

	if (model.count == 0 || model.busy)
		return;
	uint32_t i = take_u8(model.in) % model.count;
	uint64_t span = geo_span_at(g, offset_of(i) - g->data_off);
	uint64_t word = word_at(g->words_off + span * 8);
	uint64_t stream = STREAMS_OFF + span_word_stream(word) * STREAM_BYTES;
	uint64_t record = g->records_off + how / 2 % g->records * RECORD_BYTES;
	bool named = true;

	choose_cell(&c, i);
	if ((how & 1) != 0) {
		/* A record that names itself refers to what it names. */
		c.refers = c.refers || c.cell == record + RECORD_BLOCK;
		file_put(record + RECORD_CELL, c.cell);
		file_put(record + RECORD_BLOCK, offset_of(i));
		file_put(record + RECORD_OWNER, dead_owner(how));
	} else if (span_word_state(word) == SPAN_RUN) {
		named = name_in_pool(word, span, c.cell);
	} else if (word_at(stream) == 0) {
		file_put(stream + STREAM_INTENT + 8, c.cell);
		file_put(stream + STREAM_INTENT, offset_of(i));
		file_put(stream, dead_owner(how));
	} else {
		named = false;
	}
	c.valid = c.valid && named;
	recover();
	settled(i, &c);
}

/* ---- Sweeping --------------------------------------------------------------- */

static struct {
	bool marked[LIVE_MAX], looked_at[LIVE_MAX];
	uint32_t looks;
	uint8_t how;
} sweep;

#define STOPPED 5

static uint32_t index_of(const void *block)
{
	uint32_t i = 0;

	while (i < model.count && model.live[i].at != block)
		i++;
	return i;
}

/* To what block i refers: to two others, or to none. */
static uint32_t refers_to(uint32_t i, uint32_t k)
{
	return i % 3 == 2 ? model.count : (i * (5 + k) + 1 + k) % model.count;
}

static void mark_from(uint32_t i)
{
	if (i >= model.count || sweep.marked[i])
		return;
	sweep.marked[i] = true;
	for (uint32_t k = 0; (sweep.how & 4) != 0 && k < model.count; k++)
		sweep.marked[k] = true;
	if ((sweep.how & 4) != 0)
		return;
	mark_from(refers_to(i, 0));
	mark_from(refers_to(i, 1));
}

static int reach(void *block, size_t size, struct qalloc_marks *marks, void *arg)
{
	uint32_t i = index_of(block);

	FUZZ_CHECK(arg == &sweep && i < model.count && model.live[i].usable == size);
	FUZZ_CHECK(sweep.marked[i] && !sweep.looked_at[i]);
	sweep.looked_at[i] = true;
	if (++sweep.looks == 2 && (sweep.how & 3) == 1)
		return STOPPED;
	if (sweep.looks == 2 && (sweep.how & 3) == 2) {
		/* Whoever goes on is refused again. */
		FUZZ_CHECK(qalloc_mark(marks, model.live[i].at + 4) == -1);
		FUZZ_CHECK(qalloc_error() == QALLOC_EINTERIOR);
		FUZZ_CHECK(qalloc_mark(marks, NULL) == -1);
		return 0;
	}
	FUZZ_CHECK(qalloc_mark(marks, NULL) == 0 || fake.faulted);
	/* The first one refers to all, if the program says so. */
	for (uint32_t k = 0; (sweep.how & 4) != 0 && sweep.looks == 1 && k < model.count; k++)
		FUZZ_CHECK(qalloc_mark(marks, model.live[k].at) == 0 || fake.faulted);
	if ((sweep.how & 4) != 0)
		return 0;
	for (uint32_t k = 0; k < 2; k++) {
		uint32_t to = refers_to(i, k);

		if (to < model.count)
			FUZZ_CHECK(qalloc_mark(marks, model.live[to].at) == 0 || fake.faulted);
	}
	errno = ERRNO_VISITOR;
	return 0;
}

static bool walked[LIVE_MAX];

static int see(void *block, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	FUZZ_CHECK(index_of(block) < model.count);
	walked[index_of(block)] = true;
	errno = ERRNO_VISITOR;
	return 0;
}

/* A system call failed, perhaps after some were freed: of those that nobody could reach. */
static void forget_freed(void)
{
	memset(walked, 0, sizeof(walked));
	call_enter(0);
	FUZZ_CHECK(qalloc_walk(model.map, see, NULL) == 0);
	expect_success();
	for (uint32_t i = model.count; i-- > 0;) {
		bool last = walked[model.count - 1];

		if (walked[i])
			continue;
		FUZZ_CHECK(!sweep.marked[i]);
		live_remove(i);
		sweep.marked[i] = sweep.marked[model.count];
		walked[i] = last;
	}
}

void op_sweep(uint8_t op)
{
	size_t freed = SIZE_MAX;
	bool wrong = false;
	uint32_t reachable = 0;

	if (model.busy || model.count == 0)
		return;
	release_all();
	memset(&sweep, 0, sizeof(sweep));
	sweep.how = take_u8(model.in);
	for (uint32_t i = 0; i < ROOTS_KNOWN; i++) {
		/* Some point to what was freed. */
		if (model.root[i] > 1)
			wrong = wrong || index_of((void *)(uintptr_t)model.root[i]) == model.count;
		if (model.root[i] > 1)
			mark_from(index_of((void *)(uintptr_t)model.root[i]));
	}
	for (uint32_t i = 0; i < model.count; i++)
		reachable += sweep.marked[i];
	call_enter(0);
	if ((sweep.how & 8) != 0)
		fault_arm(1 + take_u8(model.in), 0);
	int result = qalloc_sweep(model.map, reach, &sweep, (op & 1) != 0 ? &freed : NULL);

	fake.fault_in = 0;
	if (result == -1 && fake.faulted) {
		(void)expect_failure();
		fake.faulted = false;
		forget_freed();
		return;
	}
	if (wrong || (reachable >= 2 && (sweep.how & 3) == 2)) {
		FUZZ_CHECK(result == -1);
		(void)expect_failure();
	} else if (reachable >= 2 && (sweep.how & 3) == 1) {
		/* With whatever the program's function left in errno. */
		FUZZ_CHECK(result == STOPPED);
		call_end();
	} else {
		FUZZ_CHECK(result == 0 && sweep.looks == reachable);
		expect_success();
		FUZZ_CHECK(freed == SIZE_MAX || freed == model.count - reachable);
		for (uint32_t i = model.count; i-- > 0;) {
			bool last = sweep.marked[model.count - 1];

			if (sweep.marked[i])
				continue;
			live_remove(i);
			sweep.marked[i] = last;
		}
		return;
	}
	FUZZ_CHECK(freed == SIZE_MAX || freed == 0);
}
