/* SPDX-License-Identifier: MIT */
/*
 * Disk space: a trim gives it back, and no byte of a file makes the library take
 * more of it than the file has.  The hostile words are written with pwrite(), as another
 * process would.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "../src/span.h"
#include "layout.h"
#include "space.h"
#include "support.h"

#define GIB ((size_t)1 << 30)

struct file {
	int fd;
	void *map;
	struct qalloc_info info;
	struct geo geo;
	char *data; /* the first block there can be */
};

static struct file file_of(size_t bytes, uint64_t flags)
{
	struct file f = {.fd = memfd_create("map", MFD_CLOEXEC)};
	struct qalloc_options options = dynamic_options(QALLOC_CREATE | flags, bytes, 1);

	assert_true(f.fd >= 0);
	f.map = qalloc_openfd(f.fd, &options);
	assert_opened(f.map);
	f.info = info_of(f.map);
	f.geo = geometry_of(f.map);
	f.data = (char *)f.info.base + f.info.data_offset;
	return f;
}

static void file_close(struct file *f)
{
	assert_int_equal(qalloc_closemap(f->map), 0);
	close(f->fd);
}

static void put_word(const struct file *f, uint64_t off, uint64_t word)
{
	assert_int_equal(pwrite(f->fd, &word, sizeof(word), (off_t)off), sizeof(word));
}

static void put_span(const struct file *f, uint64_t span, uint64_t word)
{
	put_word(f, f->geo.words_off + span * 8, word);
}

static uint64_t disk_bytes(const struct file *f)
{
	struct stat st;

	assert_int_equal(fstat(f->fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void test_trim_gives_the_space_of_free_spans_back(void **state)
{
	struct file f = file_of(64 * MIB, 0);
	void *kept = qalloc_malloc(f.map, MIB), *given = qalloc_malloc(f.map, 32 * MIB);

	(void)state;
	assert_non_null(kept);
	assert_non_null(given);
	fill(kept, MIB, 1);
	fill(given, 32 * MIB, 2);
	qalloc_free(given, f.map);
	uint64_t before = disk_bytes(&f);

	errno = 99;
	assert_int_equal(qalloc_trim(f.map), 0);
	assert_int_equal(errno, 99);
	assert_true(disk_bytes(&f) + 31 * MIB < before);
	assert_true(is_filled(kept, MIB, 1));
	assert_whole(f.map);

	/* What is taken again has its space again. */
	given = qalloc_malloc(f.map, 32 * MIB);
	assert_non_null(given);
	assert_true(disk_bytes(&f) >= before);
	file_close(&f);
}

static void test_trim_of_a_huge_empty_map_is_quick_and_takes_nothing(void **state)
{
	struct file f = file_of(1024 * GIB, 0);
	uint64_t before = disk_bytes(&f);

	(void)state;
	assert_int_equal(qalloc_trim(f.map), 0);
	assert_int_equal(disk_bytes(&f), before);
	file_close(&f);
}

enum { STOP, TRIMS, WORDS };

struct trimmer {
	void *map;
	uint64_t *words;
};

static int trim_all_the_while(void *arg)
{
	const struct trimmer *t = arg;

	while (__atomic_load_n(&t->words[STOP], __ATOMIC_RELAXED) == 0) {
		CHECK(qalloc_trim(t->map) == 0 || qalloc_error() == QALLOC_EBUSY);
		__atomic_fetch_add(&t->words[TRIMS], 1, __ATOMIC_RELAXED);
	}
	return 0;
}

/* Only the first bytes of a block are written: what lies behind shows whether it has its space. */
static void churn(const struct file *f, char **blocks, uint64_t count, uint64_t steps,
		  uint64_t *seed)
{
	for (uint64_t i = 0; i < steps; i++) {
		uint64_t k = next_random(seed) % count, size = 64 + next_random(seed) % 200000;

		if (blocks[k] != NULL) {
			assert_true(is_filled(blocks[k], 64, k));
			qalloc_free(blocks[k], f->map);
		}
		blocks[k] = patient_malloc(f->map, size);
		if (blocks[k] != NULL)
			fill(blocks[k], 64, k);
	}
}

/* The child may stand inside the pool meanwhile: the file tells all the same. */
static void expect_space(const struct file *f, pid_t trimmer)
{
	uint64_t span = 0;
	int status = 0;

	assert_int_equal(kill(trimmer, SIGSTOP), 0);
	assert_int_equal(waitpid(trimmer, &status, WUNTRACED), trimmer);
	assert_true(WIFSTOPPED(status));
	assert_true(spans_have_space(f->fd, &f->geo, false, &span));
	assert_int_equal(kill(trimmer, SIGCONT), 0);
}

static void test_trim_beside_a_running_process_loses_nothing(void **state)
{
	struct file f = file_of(64 * MIB, 0);
	char *blocks[256] = {NULL};
	uint64_t *words = shared_words(WORDS), seed = 7;
	struct trimmer t = {f.map, words};
	pid_t pid = start_child(trim_all_the_while, &t);

	(void)state;
	for (int i = 0; i < 50 || __atomic_load_n(&words[TRIMS], __ATOMIC_RELAXED) < 10; i++) {
		churn(&f, blocks, 256, 200, &seed);
		expect_space(&f, pid);
	}
	__atomic_store_n(&words[STOP], 1, __ATOMIC_RELAXED);
	assert_int_equal(wait_child(pid), 0);
	for (uint64_t k = 0; k < 256; k++)
		assert_true(blocks[k] == NULL || is_filled(blocks[k], 64, k));
	assert_whole(f.map);
	release_shared_words(words, WORDS);
	file_close(&f);
}

static void test_a_run_that_is_not_whole_costs_no_space(void **state)
{
	struct file f = file_of(1024 * GIB, 0);
	uint64_t before = disk_bytes(&f);

	(void)state;
	put_span(&f, 0, SPAN_RUN + (f.geo.spans << 32));
	put_span(&f, f.geo.spans - 1, SPAN_TAIL);
	assert_fails(qalloc_tryfree(f.data, f.map), QALLOC_ECORRUPT);
	assert_refused(qalloc_realloc(f.map, f.data, 8), QALLOC_ECORRUPT);
	assert_int_equal(qalloc_usable_size(f.map, f.data), 0);
	assert_true(disk_bytes(&f) < before + MIB);
	file_close(&f);
}

/* Words that say "a span of the stream, all of it free", and nothing behind them. */
static void put_empty_spans(const struct file *f)
{
	for (uint64_t span = 0; span < f->geo.spans; span++)
		put_span(f, span, span_word_small(0, 0));
	put_word(f, STATE_FRONTIER, f->geo.spans);
}

static void test_giving_back_empty_spans_reserves_no_data(void **state)
{
	struct file f = file_of(GIB, 0);

	(void)state;
	put_empty_spans(&f);
	uint64_t before = disk_bytes(&f);

	assert_non_null(qalloc_malloc(f.map, 100000));
	assert_true(disk_bytes(&f) < before + 32 * MIB);
	file_close(&f);
}

static void test_empty_spans_of_a_held_stream_are_no_reason_to_say_full(void **state)
{
	struct file f = file_of(GIB, 0);
	uint64_t epoch = 0;

	(void)state;
	put_empty_spans(&f);
	/* This process, but another of its threads. */

	assert_int_equal(pread(f.fd, &epoch, sizeof(epoch), SLOTS_OFF), sizeof(epoch));
	put_word(&f, STREAMS_OFF, epoch << 32 | ((1u << OWNER_THREAD_BITS) - 1));
	assert_refused(qalloc_malloc(f.map, 100000), QALLOC_EBUSY);
	file_close(&f);
}

static void test_zeroing_a_run_touches_only_what_the_file_has(void **state)
{
	struct file f = file_of(3 * GIB, QALLOC_ZERO_ON_FREE);
	char *block = qalloc_malloc(f.map, 64 * MIB);

	(void)state;
	assert_non_null(block);
	memset(block, 1, 5);
	assert_int_equal(fallocate(f.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)(f.info.data_offset + MIB), (off_t)(63 * MIB)),
			 0);
	uint64_t before = disk_bytes(&f);

	qalloc_free(block, f.map);
	assert_true(disk_bytes(&f) < before + MIB);
	assert_int_equal(block[0], 0);
	file_close(&f);
}

static void test_a_run_that_cannot_be_freed_keeps_its_bytes(void **state)
{
	struct file f = file_of(64 * MIB, QALLOC_ZERO_ON_FREE);
	char *block = qalloc_malloc(f.map, MIB);
	uint64_t epoch = 0;

	(void)state;
	assert_non_null(block);
	fill(block, MIB, 3);
	/* The pool is held by this process, but by another of its threads. */
	assert_int_equal(pread(f.fd, &epoch, sizeof(epoch), SLOTS_OFF), sizeof(epoch));
	put_word(&f, STATE_POOL, epoch << 32 | ((1u << OWNER_THREAD_BITS) - 1));
	assert_fails(qalloc_tryfree(block, f.map), QALLOC_EBUSY);
	assert_true(is_filled(block, MIB, 3));
	put_word(&f, STATE_POOL, 0);
	assert_int_equal(qalloc_tryfree(block, f.map), 0);
	assert_true(is_zero(block, MIB));
	file_close(&f);
}

static void test_shrinking_a_sparse_run_reserves_only_what_it_copies(void **state)
{
	struct file f = file_of(3 * GIB, 0);
	char *block = qalloc_malloc(f.map, 64 * MIB);

	(void)state;
	assert_non_null(block);
	assert_int_equal(fallocate(f.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)f.info.data_offset, (off_t)(64 * MIB)),
			 0);
	uint64_t before = disk_bytes(&f);
	char *moved = qalloc_realloc(f.map, block, 0);

	assert_non_null(moved);
	assert_true(disk_bytes(&f) < before + MIB);
	file_close(&f);
}

static void test_a_hint_that_lies_costs_no_block(void **state)
{
	struct file f = file_of(8 * GIB, 0);

	(void)state;
	put_word(&f, STATE_FREE_HINT, 20000);
	for (int i = 0; i < 3; i++)
		assert_non_null(qalloc_malloc(f.map, 64));
	assert_int_equal(qalloc_closemap(f.map), 0);

	/* And a frontier that lies with it. */
	f.map = qalloc_openfd(f.fd, NULL);
	assert_opened(f.map);
	put_word(&f, STATE_FREE_HINT, 30000);
	put_word(&f, STATE_FRONTIER, 30001);
	for (int i = 0; i < 3; i++)
		assert_non_null(qalloc_malloc(f.map, 5000));
	assert_whole(f.map);
	file_close(&f);
}

static void test_a_frontier_that_lies_frees_no_live_tail(void **state)
{
	struct file f = file_of(64 * MIB, 0);
	uint64_t span = f.info.span_bytes;
	char *first = qalloc_malloc(f.map, 2 * span), *run = qalloc_malloc(f.map, 8 * span);

	(void)state;
	assert_ptr_equal(first, f.data);
	assert_ptr_equal(run, f.data + 2 * span);
	put_word(&f, STATE_FRONTIER, 5);
	assert_fails(qalloc_check(f.map, NULL, NULL), QALLOC_ECORRUPT);

	/* A dead holder of the pool, with an intent inside the live run. */
	put_word(&f, STATE_INTENT + 8, 3);
	put_word(&f, STATE_INTENT + 16, 2);
	put_word(&f, STATE_INTENT, INTENT_RUN_FREE);
	put_word(&f, STATE_POOL, UINT64_MAX);
	char *other = qalloc_malloc(f.map, 2 * span);

	assert_non_null(other);
	assert_true(other + 2 * span <= run || other >= run + 8 * span);
	assert_int_equal(qalloc_usable_size(f.map, run), 8 * span);
	file_close(&f);
}

static void test_an_aligned_run_that_just_fits_is_found(void **state)
{
	struct file f = file_of(64 * MIB, 0);
	uint64_t span = f.info.span_bytes, align = 2 * MIB;
	uint64_t address = (uint64_t)(uintptr_t)f.data;
	uint64_t before = (align - address % align) % align;

	(void)state;
	/* Fill the map with single spans; free just those of one aligned piece. */
	while (qalloc_malloc(f.map, span) != NULL)
		;
	for (uint64_t at = before; at < before + align; at += span)
		assert_int_equal(qalloc_tryfree(f.data + at, f.map), 0);
	assert_ptr_equal(qalloc_aligned_alloc(f.map, align, align), f.data + before);
	assert_whole(f.map);
	file_close(&f);
}

static void test_success_leaves_errno_alone(void **state)
{
	struct file f = file_of(64 * MIB, 0);
	struct qalloc_info info = {.size = sizeof(info)};

	(void)state;
	errno = 99;
	void *small = qalloc_malloc(f.map, 10), *large = qalloc_malloc(f.map, MIB);

	assert_int_equal(qalloc_check(f.map, NULL, NULL), 0);
	assert_int_equal(qalloc_mapinfo(f.map, &info), 0);
	qalloc_free(small, f.map);
	qalloc_free(large, f.map);
	assert_int_equal(errno, 99);
	file_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trim_gives_the_space_of_free_spans_back),
		cmocka_unit_test(test_trim_of_a_huge_empty_map_is_quick_and_takes_nothing),
		cmocka_unit_test(test_trim_beside_a_running_process_loses_nothing),
		cmocka_unit_test(test_a_run_that_is_not_whole_costs_no_space),
		cmocka_unit_test(test_giving_back_empty_spans_reserves_no_data),
		cmocka_unit_test(test_empty_spans_of_a_held_stream_are_no_reason_to_say_full),
		cmocka_unit_test(test_zeroing_a_run_touches_only_what_the_file_has),
		cmocka_unit_test(test_a_run_that_cannot_be_freed_keeps_its_bytes),
		cmocka_unit_test(test_shrinking_a_sparse_run_reserves_only_what_it_copies),
		cmocka_unit_test(test_a_hint_that_lies_costs_no_block),
		cmocka_unit_test(test_a_frontier_that_lies_frees_no_live_tail),
		cmocka_unit_test(test_an_aligned_run_that_just_fits_is_found),
		cmocka_unit_test(test_success_leaves_errno_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
