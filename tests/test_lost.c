/* SPDX-License-Identifier: MIT */
/*
 * A page of the map that one process loses, as after an I/O error: whatever it does then, another
 * process finds all that it had.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "layout.h"
#include "support.h"

#define SIZE (4 * MIB)
#define KEPT 4u

/* What a map must still have, for another process: a block of this at the root. */
struct kept {
	size_t live, leaked; /* at most */
	void *block[KEPT];
	size_t size[KEPT];
};

/* A fresh process's view of the file. */
static int judge(const char *arg)
{
	void *map = qalloc_loadmap(arg);
	struct kept *kept = map == NULL ? NULL : qalloc_getroot(map, "kept");

	CHECK(kept != NULL);
	CHECK(qalloc_check(map, NULL, NULL) == 0);
	size_t live = count_live(map);
	CHECK(live >= kept->live && live <= kept->live + kept->leaked);
	for (size_t i = 0; i < KEPT; i++) {
		CHECK(qalloc_usable_size(map, kept->block[i]) >= kept->size[i]);
		CHECK(is_filled(kept->block[i], kept->size[i], i + 1));
	}
	return 0;
}

/* As an I/O error does it: the page is there for others, and SIGBUS here. */
static void lose_page(char *at)
{
	int fd = memfd_create("lost", MFD_CLOEXEC);
	void *page = (void *)((uintptr_t)at / 4096 * 4096);

	assert_true(mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
		    page);
	close(fd);
}

static struct kept *keep(void *map)
{
	static const size_t sizes[KEPT] = {3000, 60000, 20, 150000};
	struct kept *kept = qalloc_calloc(map, 1, sizeof(*kept));

	assert_non_null(kept);
	for (size_t i = 0; i < KEPT; i++) {
		kept->size[i] = sizes[i];
		assert_non_null(qalloc_malloc_to(map, sizes[i], &kept->block[i]));
		fill(kept->block[i], sizes[i], i + 1);
	}
	for (size_t i = 0; i < 50; i++)
		assert_non_null(qalloc_malloc(map, 1 + i * 40));
	assert_int_equal(qalloc_setroot(map, "kept", kept), 0);
	kept->live = count_live(map);
	return kept;
}

static int call_malloc(void *map, struct kept *kept)
{
	(void)kept;
	return qalloc_malloc(map, 100) == NULL ? -1 : 0;
}

static int call_malloc_run(void *map, struct kept *kept)
{
	(void)kept;
	return qalloc_malloc(map, 100000) == NULL ? -1 : 0;
}

static int call_trim(void *map, struct kept *kept)
{
	(void)kept;
	return qalloc_trim(map);
}

static int call_calloc(void *map, struct kept *kept)
{
	(void)kept;
	return qalloc_calloc(map, 100, 10) == NULL ? -1 : 0;
}

static int call_realloc_to(void *map, struct kept *kept)
{
	return qalloc_realloc_to(map, 300000, &kept->block[1]) == NULL ? -1 : 0;
}

static int call_realloc(void *map, struct kept *kept)
{
	void *moved = qalloc_realloc(map, kept->block[1], 300000);

	kept->block[1] = moved != NULL ? moved : kept->block[1];
	return moved == NULL ? -1 : 0;
}

/* Zeros in a lost page are no reason to give away, free or overwrite what others have. */
static void a_lost_page_hurts_nobody_else(void **state)
{
	static int (*const acts[])(void *map, struct kept *kept) = {call_malloc,  call_malloc_run,
								    call_calloc,  call_trim,
								    call_realloc, call_realloc_to};
	enum { WORDS, PAIRS, STREAMS, STATE, OLD_BLOCK, PLACES };

	(void)state;
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]) * PLACES; i++) {
		struct qalloc_options options =
			dynamic_options(QALLOC_CREATE | QALLOC_GUARD, SIZE, 3);
		const char *path = scratch("map");
		void *map = qalloc_openmap(path, &options);

		assert_opened(map);
		struct kept *kept = keep(map);
		struct geo g = geometry_of(map);
		char *base = info_of(map).base;
		char *const places[PLACES] = {base + g.words_off, base + g.pairs_off,
					      base + STREAMS_OFF, base + STATE_OFF,
					      (char *)kept->block[1] + 8000};

		lose_page(places[i % PLACES]);
		/* The call may not have needed that page. */
		if (acts[i / PLACES](map, kept) == 0) {
			kept->live += i / PLACES < 3;
		} else {
			assert_int_equal(qalloc_error(), QALLOC_EPOISONED);
			/* The new block of a plain realloc, as after a kill. */
			kept->leaked = acts[i / PLACES] == call_realloc;
		}
		assert_int_equal(qalloc_closemap(map), 0);
		if (in_role("judge", path) != 0) {
			print_error("call %zu, page %zu\n", i / PLACES, i % PLACES);
			fail();
		}
		assert_int_equal(unlink(path), 0);
	}
}

int main(int argc, char **argv)
{
	static const struct role table[] = {{"judge", judge}};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_lost_page_hurts_nobody_else, scratch_begin,
						scratch_end),
	};

	roles(argc, argv, table, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
