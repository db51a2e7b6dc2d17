/* SPDX-License-Identifier: MIT */
/*
 * What the dead left of a call that changes a block and the pointer to it, made by hand: intents of
 * streams and of the pool, thread records; true ones, torn ones, and any bytes.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "layout.h"
#include "support.h"

#define SIZE (4 * MIB)
#define STREAMS 3u
#define DEAD ((uint64_t)7 << 32 | (uint64_t)500 << OWNER_THREAD_BITS | 1)
#define ABANDONED 1u

static const char *path;
static struct geo geo;
static char *base;

static void *open_new(uint64_t flags, uint64_t size, size_t streams)
{
	struct qalloc_options options = dynamic_options(QALLOC_CREATE | flags, size, streams);

	path = scratch("map");
	void *map = qalloc_openmap(path, &options);

	assert_opened(map);
	geo = geometry_of(map);
	base = info_of(map).base;
	return map;
}

static void *open_with(uint64_t flags)
{
	return open_new(flags, SIZE, STREAMS);
}

static uint64_t offset(const void *address)
{
	return (uint64_t)((const char *)address - base);
}

static void leave_in_stream(uint64_t stream, uint64_t block, uint64_t cell)
{
	uint64_t off = STREAMS_OFF + stream * STREAM_BYTES;

	write_word(path, off + STREAM_INTENT, block);
	write_word(path, off + STREAM_INTENT + 8, cell);
	write_word(path, off + STREAM_LOCK + LOCK_OWNER, DEAD);
}

static void leave_in_pool(uint64_t op, uint64_t first, uint64_t count, uint64_t cell)
{
	write_word(path, STATE_INTENT, op);
	write_word(path, STATE_INTENT + 8, first);
	write_word(path, STATE_INTENT + 16, count);
	write_word(path, STATE_INTENT + 24, cell);
	write_word(path, STATE_POOL + LOCK_OWNER, DEAD);
}

static void leave_record(uint64_t i, uint64_t owner, uint64_t cell, uint64_t block)
{
	uint64_t off = geo.records_off + i * RECORD_BYTES;

	write_word(path, off + RECORD_CELL, cell);
	write_word(path, off + RECORD_BLOCK, block);
	write_word(path, off + RECORD_OWNER, owner);
}

static bool is_live(void *map, const void *block)
{
	return qalloc_usable_size(map, block) != 0;
}

/* ---- Streams ------------------------------------------------------------------------- */

static void the_block_of_an_intent_is_kept_iff_its_cell_refers_to_it(void **state)
{
	void *map = open_with(QALLOC_ZERO_ON_FREE);
	void **cell = qalloc_calloc(map, 1, 8);
	char *block = qalloc_malloc(map, 100);
	uint64_t stream = stream_of(path, &geo, offset(block));

	(void)state;
	fill(block, 100, 3);
	*cell = block;
	leave_in_stream(stream, offset(block), offset(cell));
	assert_int_equal(qalloc_recover(map), 0);
	assert_true(is_live(map, block));
	assert_true(is_filled(block, 100, 3));
	assert_ptr_equal(*cell, block);
	assert_int_equal(read_word(path, STREAMS_OFF + stream * STREAM_BYTES + STREAM_INTENT), 0);
	assert_int_equal(read_word(path, STREAMS_OFF + stream * STREAM_BYTES), 0);

	*cell = NULL;
	leave_in_stream(stream, offset(block), offset(cell));
	assert_int_equal(qalloc_recover(map), 0);
	assert_false(is_live(map, block));
	assert_true(is_zero(block, 100));

	/* Once more: it is not live any more, and nothing happens. */
	leave_in_stream(stream, offset(block), offset(cell));
	assert_int_equal(qalloc_recover(map), 0);
	assert_int_equal(count_live(map), 1);
	assert_whole(map);
}

/* Nobody has to call for it: who needs the stream settles. */
static void whoever_takes_the_stream_settles_first(void **state)
{
	void *map = open_with(0);
	void **cell = qalloc_calloc(map, 1, 8);
	char *block = qalloc_malloc(map, 100);

	(void)state;
	leave_in_stream(stream_of(path, &geo, offset(block)), offset(block), offset(cell));
	for (uint64_t s = 0; s < STREAMS; s++)
		write_word(path, STREAMS_OFF + s * STREAM_BYTES + STREAM_LOCK + LOCK_OWNER, DEAD);
	void *other = qalloc_malloc_to(map, 100, cell);

	assert_non_null(other);
	assert_int_equal(qalloc_free_from(map, cell), 0);
	assert_false(is_live(map, block));
	assert_int_equal(count_live(map), 1);
}

static void a_root_can_be_the_cell(void **state)
{
	void *map = open_with(0);
	char *block = qalloc_malloc_toroot(map, 100, "root");
	uint64_t cell = ROOTS_OFF + ROOT_VALUE;

	(void)state;
	assert_int_equal(read_word(path, cell), offset(block));
	leave_in_stream(stream_of(path, &geo, offset(block)), offset(block), cell);
	assert_int_equal(qalloc_recover(map), 0);
	assert_true(is_live(map, block));
	assert_int_equal(qalloc_setroot(map, "root", NULL), 0);
	leave_in_stream(stream_of(path, &geo, offset(block)), offset(block), cell);
	assert_int_equal(qalloc_recover(map), 0);
	assert_false(is_live(map, block));
}

static void settled_between_two_opens(bool closes_first)
{
	void *map = open_with(0);
	void **cell = qalloc_calloc(map, 1, 8);
	char *block = qalloc_malloc(map, 100), *run = qalloc_malloc(map, 100000);
	char *moved = qalloc_malloc(map, 300);
	uint64_t first = span_of(&geo, offset(run));

	assert_int_equal(qalloc_setroot(map, "cell", cell), 0);
	uint64_t stream = stream_of(path, &geo, offset(block));

	if (closes_first) {
		assert_int_equal(qalloc_closemap(map), 0);
	}
	leave_in_stream(stream, offset(block), offset(cell));
	leave_in_pool(INTENT_RUN_TAKE, first, span_word(path, &geo, first) >> 32, offset(cell));
	leave_record(17, DEAD, offset(cell), offset(moved));
	if (closes_first) {
		/* As if the last user had died. */
		write_word(path, STATE_DIRTY, 1);
	} else {
		assert_int_equal(qalloc_closemap(map), 0);
		assert_int_equal(read_word(path, STATE_DIRTY), 0);
		assert_int_equal(
			read_word(path, STREAMS_OFF + stream * STREAM_BYTES + STREAM_INTENT), 0);
		assert_int_equal(read_word(path, STATE_INTENT), 0);
		assert_int_equal(read_word(path, geo.records_off + 17 * RECORD_BYTES), 0);
	}
	map = qalloc_loadmap(path);
	assert_opened(map);
	assert_int_equal(info_of(map).left, closes_first ? QALLOC_LEFT_KILLED : QALLOC_LEFT_CLEAN);
	assert_int_equal(count_live(map), 1);
	assert_ptr_equal(qalloc_getroot(map, "cell"), cell);
	assert_whole(map);
}

static void opening_settles_what_was_not_closed(void **state)
{
	(void)state;
	settled_between_two_opens(true);
}

/* Else a map that counts as closed cleanly would free, later, what the next program has used. */
static void closing_settles_what_a_dead_peer_left(void **state)
{
	(void)state;
	settled_between_two_opens(false);
}

/* Opening is bounded by what the file has, not by what it says. */
static void looking_costs_no_disk_space(void **state)
{
	const uint64_t streams = QALLOC_STREAMS_MAX;
	void *map = open_new(0, 1024 * MIB, streams);

	(void)state;
	assert_int_equal(qalloc_closemap(map), 0);
	for (uint64_t i = 0; i < streams; i++) {
		uint64_t block = geo.data_off + i * (geo.spans / streams) * geo.span_bytes;

		leave_in_stream(i, block, block + 64);
		leave_record(i % geo.records, DEAD, block + 128, block);
	}
	write_word(path, STATE_DIRTY, 1);
	uint64_t before = file_disk_bytes(path);

	map = qalloc_loadmap(path);
	assert_opened(map);
	assert_true(file_disk_bytes(path) < before + 256 * KIB);
	assert_int_equal(count_live(map), 0);
}

static void intents_of_any_bytes_free_nothing_they_do_not_name(void **state)
{
	void *map = open_with(0);
	void **cell = qalloc_calloc(map, 1, 8);
	char *block = qalloc_malloc(map, 100), *run = qalloc_malloc(map, 100000);
	uint64_t stream = stream_of(path, &geo, offset(block));
	const struct {
		uint64_t stream, block, cell;
	} torn[] = {
		{stream, offset(block), 0},
		{stream, offset(block), offset(cell) + 4},
		{stream, offset(block), SIZE},
		{stream, offset(block), UINT64_MAX},
		{stream, offset(block), UINT64_MAX - 7},
		{stream, offset(block), geo.data_end},
		{stream, offset(block), geo.data_end - 4},
		{stream, offset(block), geo.data_off - 8},
		{stream, offset(block), STATE_POOL},
		{stream, offset(block), ROOTS_OFF},
		{stream, offset(block), ROOTS_OFF + ROOT_STATE},
		{stream, offset(block), geo.records_off},
		{stream, offset(block), geo.words_off},
		{stream, offset(block) + 8, offset(cell)},
		{stream, offset(run), offset(cell)},
		{stream, offset(run) + geo.span_bytes, offset(cell)},
		{stream, geo.data_end - 16, offset(cell)},
		{stream, geo.data_end, offset(cell)},
		{stream, UINT64_MAX, offset(cell)},
		{stream, 8, offset(cell)},
		{(stream + 1) % STREAMS, offset(block), offset(cell)},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(torn) / sizeof(torn[0]); i++) {
		leave_in_stream(torn[i].stream, torn[i].block, torn[i].cell);
		assert_int_equal(qalloc_recover(map), 0);
		assert_int_equal(read_word(path, STREAMS_OFF + torn[i].stream * STREAM_BYTES +
							 STREAM_INTENT),
				 0);
		assert_int_equal(count_live(map), 3);
		assert_non_null(qalloc_malloc_to(map, 100, cell));
		assert_int_equal(qalloc_free_from(map, cell), 0);
		assert_whole(map);
	}
}

/* ---- The pool ------------------------------------------------------------------------ */

static void a_run_is_kept_iff_its_cell_refers_to_it(void **state)
{
	static const uint64_t ops[] = {INTENT_RUN_TAKE, INTENT_RUN_FREE};
	void *map = open_with(QALLOC_ZERO_ON_FREE);
	void **cell = qalloc_calloc(map, 1, 8);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		char *run = qalloc_malloc_to(map, 100000, cell);
		uint64_t first = span_of(&geo, offset(run));
		uint64_t count = span_word(path, &geo, first) >> 32;

		fill(run, 100000, 4);
		leave_in_pool(ops[i], first, count, offset(cell));
		assert_int_equal(qalloc_recover(map), 0);
		assert_true(is_live(map, run));
		assert_true(is_filled(run, 100000, 4));
		/* Another length is another run. */
		*cell = NULL;
		leave_in_pool(ops[i], first, count - 1, offset(cell));
		assert_int_equal(qalloc_recover(map), 0);
		assert_true(is_live(map, run));
		leave_in_pool(ops[i], first, count, offset(cell));
		assert_int_equal(qalloc_recover(map), 0);
		assert_false(is_live(map, run));
		assert_true(is_zero(run, 100000));
		assert_int_equal(count_live(map), 1);
		assert_whole(map);
	}
}

/* Without a cell a run that is whole stays: it was in flight, and one block may be lost. */
static void a_run_without_a_cell_is_kept(void **state)
{
	void *map = open_with(0);
	char *run = qalloc_malloc(map, 100000);
	uint64_t first = span_of(&geo, offset(run));

	(void)state;
	leave_in_pool(INTENT_RUN_TAKE, first, span_word(path, &geo, first) >> 32, 0);
	assert_int_equal(qalloc_recover(map), 0);
	assert_true(is_live(map, run));
}

/*
 * A run whose words fill granules, killed while it was being freed from the front; then the file
 * was copied, and words that are all FREE became a hole.
 */
static void a_hole_in_the_words_does_not_stop_the_repair(void **state)
{
	const uint64_t words_of_granule = GRANULE / 8;
	void *map = open_new(0, 256 * MIB, 1024);
	uint64_t count = 4 * words_of_granule, free_bytes = info_of(map).free_bytes;
	char *run = qalloc_malloc(map, count * geo.span_bytes);

	(void)state;
	assert_non_null(run);
	uint64_t first = span_of(&geo, offset(run));
	uint64_t hole = (geo.words_off / GRANULE + 2) * GRANULE;

	assert_int_equal(qalloc_closemap(map), 0);
	for (uint64_t off = geo.words_off + first * 8; off < hole; off += 8)
		write_word(path, off, 0);
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)hole, GRANULE) != 0) {
		close(fd);
		skip();
	}
	close(fd);
	leave_in_pool(INTENT_RUN_FREE, first, count, 0);
	write_word(path, STATE_DIRTY, 1);
	map = qalloc_loadmap(path);
	assert_opened(map);
	assert_whole(map);
	assert_int_equal(info_of(map).free_bytes, free_bytes);
}

/* ---- Records ------------------------------------------------------------------------- */

static void the_block_of_a_record_is_kept_iff_its_cell_refers_to_it(void **state)
{
	static const uint64_t owners[] = {DEAD, ABANDONED};
	static const size_t sizes[] = {100, 100000};
	void *map = open_with(QALLOC_ZERO_ON_FREE);
	void **cell = qalloc_calloc(map, 1, 8);

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		uint64_t record = i * (geo.records / 4);
		char *block = qalloc_malloc_to(map, sizes[i / 2], cell);

		leave_record(record, owners[i % 2], offset(cell), offset(block));
		assert_int_equal(qalloc_recover(map), 0);
		assert_true(is_live(map, block));
		assert_int_equal(read_word(path, geo.records_off + record * RECORD_BYTES), 0);
		*cell = NULL;
		leave_record(record, owners[i % 2], offset(cell), offset(block));
		assert_int_equal(qalloc_recover(map), 0);
		assert_false(is_live(map, block));
		assert_int_equal(count_live(map), 1);
		assert_whole(map);
	}
}

static void records_of_any_bytes_free_nothing_they_do_not_name(void **state)
{
	void *map = open_with(0);
	void **cell = qalloc_calloc(map, 1, 8);
	char *block = qalloc_malloc(map, 100), *run = qalloc_malloc(map, 100000);
	const struct {
		uint64_t cell, block;
	} torn[] = {
		{0, offset(block)},
		{UINT64_MAX, offset(block)},
		{geo.words_off, offset(block)},
		{offset(cell), offset(block) + 8},
		{offset(cell), offset(run) + 4096},
		{offset(cell), UINT64_MAX},
		{offset(cell), 64},
		{offset(cell), 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(torn) / sizeof(torn[0]); i++) {
		leave_record(i, DEAD, torn[i].cell, torn[i].block);
		assert_refused(qalloc_malloc(map, 2 * SIZE), QALLOC_ESIZE);
		errno = 77;
		assert_int_equal(qalloc_recover(map), 0);
		assert_int_equal(errno, 77);
		assert_int_equal(qalloc_error(), QALLOC_ESIZE);
		assert_int_equal(count_live(map), 3);
		assert_int_equal(read_word(path, geo.records_off + i * RECORD_BYTES), 0);
	}
}

struct freer {
	void *map;
	const void *known;
	unsigned seen;
};

static int free_unless_known(void *block, size_t size, void *arg)
{
	struct freer *f = arg;

	(void)size;
	f->seen++;
	return block == f->known ? 0 : qalloc_tryfree(block, f->map);
}

/*
 * Else a program that frees what it does not know frees it; it is handed out again, and whoever
 * settles the record takes it from its new owner.
 */
static void a_walk_does_not_show_the_block_of_a_record(void **state)
{
	void *map = open_with(0);
	void **cell = qalloc_calloc(map, 1, 8);
	static const size_t sizes[] = {100, 100000};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct freer f = {.map = map, .known = cell};
		char *block = qalloc_malloc(map, sizes[i]), *stray = qalloc_malloc(map, 40);

		leave_record(5, DEAD, offset(cell), offset(block));
		leave_record(2, DEAD, offset(cell), geo.data_off + 3);
		leave_record(7, DEAD, offset(cell), UINT64_MAX);
		assert_int_equal(qalloc_walk(map, free_unless_known, &f), 0);
		assert_int_equal(f.seen, 2);
		assert_false(is_live(map, stray));
		char *other = qalloc_malloc(map, sizes[i]);

		assert_ptr_not_equal(other, block);
		assert_int_equal(qalloc_recover(map), 0);
		assert_true(is_live(map, other));
		assert_false(is_live(map, block));
		assert_int_equal(count_live(map), 2);
		assert_int_equal(qalloc_tryfree(other, map), 0);
	}
	assert_whole(map);
}

/* Whoever needs a record finds those of the dead; those of the living stay theirs. */
static void records_of_the_dead_serve_again(void **state)
{
	void *map = open_with(0);
	void **cell = qalloc_calloc(map, 1, 8);
	uint64_t slot_zero = 0;

	(void)state;
	assert_non_null(qalloc_malloc_to(map, 100, cell));
	for (uint64_t i = 0; i < geo.records; i++)
		leave_record(i, DEAD, 0, 0);
	assert_non_null(qalloc_realloc_to(map, 5000, cell));
	read_file(path, SLOTS_OFF, &slot_zero, 4);
	for (uint64_t i = 0; i < geo.records; i++)
		leave_record(i, slot_zero << 32 | 999, 0, 0);
	void *before = *cell;

	assert_refused(qalloc_realloc_to(map, 100, cell), QALLOC_EBUSY);
	assert_true(says_number(geo.records));
	assert_ptr_equal(*cell, before);
	assert_int_equal(count_live(map), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_begin, scratch_end)
		TEST(the_block_of_an_intent_is_kept_iff_its_cell_refers_to_it),
		TEST(whoever_takes_the_stream_settles_first),
		TEST(a_root_can_be_the_cell),
		TEST(opening_settles_what_was_not_closed),
		TEST(closing_settles_what_a_dead_peer_left),
		TEST(looking_costs_no_disk_space),
		TEST(intents_of_any_bytes_free_nothing_they_do_not_name),
		TEST(a_run_is_kept_iff_its_cell_refers_to_it),
		TEST(a_run_without_a_cell_is_kept),
		TEST(a_hole_in_the_words_does_not_stop_the_repair),
		TEST(the_block_of_a_record_is_kept_iff_its_cell_refers_to_it),
		TEST(records_of_any_bytes_free_nothing_they_do_not_name),
		TEST(records_of_the_dead_serve_again),
		TEST(a_walk_does_not_show_the_block_of_a_record),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
