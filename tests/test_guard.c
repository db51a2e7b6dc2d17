/* SPDX-License-Identifier: MIT */
/*
 * QALLOC_GUARD: a file that shrinks under its map costs the handle, not the process; and
 * every SIGBUS that is not ours goes where it went before.  Each call by itself: test_guarded.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "support.h"

#define SIZE (4 * MIB)

static const char *path;

static void *map_with(uint64_t flags)
{
	struct qalloc_options options = dynamic_options(QALLOC_CREATE | flags, SIZE, 3);

	path = scratch("map");
	void *map = qalloc_openmap(path, &options);

	assert_opened(map);
	return map;
}

/* A page behind the end of a file of its own: touching it is SIGBUS, and no concern of a map's. */
static volatile char *page_without_file(void)
{
	int fd = memfd_create("short", MFD_CLOEXEC);
	volatile char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	close(fd);
	return page;
}

static struct sigaction action_now(void)
{
	struct sigaction now;

	assert_int_equal(sigaction(SIGBUS, NULL, &now), 0);
	return now;
}

/* ---- The map is lost, the process is not ---------------------------------------------- */

static void data_that_is_gone_reads_as_zero_and_poisons(void **state)
{
	void *map = map_with(QALLOC_GUARD);
	char *low = qalloc_malloc(map, 100), *high = qalloc_malloc(map, 2 * MIB);

	(void)state;
	assert_non_null(high);
	fill(low, 100, 1);
	fill(high, 2 * MIB, 2);
	assert_int_equal(info_of(map).flags & QALLOC_GUARD, QALLOC_GUARD);
	assert_int_equal(truncate(path, high - (char *)info_of(map).base + 4096), 0);
	assert_true(is_filled(low, 100, 1));
	assert_true(is_filled(high, 4096, 2));
	assert_int_equal(high[MIB], 0);
	high[MIB] = 5;
	assert_int_equal(high[MIB], 5);
	assert_true(is_filled(low, 100, 1));
	assert_refused(qalloc_malloc(map, 100), QALLOC_EPOISONED);
	assert_true(says_number((uint64_t)(uintptr_t)(high + MIB)));
	assert_fails(qalloc_tryfree(low, map), QALLOC_EPOISONED);
	assert_refused(qalloc_realloc(map, low, 10000), QALLOC_EPOISONED);
	assert_refused(qalloc_getroot(map, "root"), QALLOC_EPOISONED);
	assert_fails(qalloc_setroot(map, "root", low), QALLOC_EPOISONED);
	assert_fails(qalloc_check(map, NULL, NULL), QALLOC_EPOISONED);
	assert_fails(qalloc_sync(map), QALLOC_EPOISONED);
	assert_fails(qalloc_checkpoint(), QALLOC_EPOISONED);
	assert_refused(qalloc_loadmap(path), QALLOC_EPOISONED);
	assert_int_equal(qalloc_closemap(map), 0);
	assert_refused(qalloc_loadmap(path), QALLOC_EFILESIZE);
	assert_fails(qalloc_closemap(map), QALLOC_EHANDLE);
	assert_true(file_size(path) < SIZE);
}

/* A free that the program cannot see fail ends nothing. */
static void a_free_in_a_poisoned_map_is_no_misuse(void **state)
{
	void *map = map_with(QALLOC_GUARD);
	char *block = qalloc_malloc(map, 100);

	(void)state;
	assert_int_equal(truncate(path, 0), 0);
	qalloc_free(block, map);
	assert_int_equal(qalloc_error(), QALLOC_EPOISONED);
	assert_fails(qalloc_cleanup(), QALLOC_EPOISONED);
	assert_refused(qalloc_malloc(map, 1), QALLOC_EHANDLE);
}

static void readonly_maps_are_guarded_as_well(void **state)
{
	void *map = map_with(0);
	char *block = qalloc_malloc(map, 100);
	struct qalloc_options options = options_for(QALLOC_READONLY | QALLOC_GUARD);

	(void)state;
	fill(block, 100, 1);
	assert_int_equal(qalloc_closemap(map), 0);
	map = qalloc_openmap(path, &options);
	assert_opened(map);
	assert_true(is_filled(block, 100, 1));
	assert_int_equal(truncate(path, 0), 0);
	assert_true(is_zero(block, 100));
	assert_fails(qalloc_usable_size(map, block) == 0 ? -1 : 0, QALLOC_EPOISONED);
}

static void another_open_can_ask_for_the_guard(void **state)
{
	void *map = map_with(0);
	char *block = qalloc_malloc(map, 100);
	struct qalloc_options options = options_for(QALLOC_GUARD);

	(void)state;
	assert_ptr_equal(qalloc_openmap(path, &options), map);
	assert_ptr_equal(qalloc_openmap(path, &options), map);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(block[50], 0);
	assert_refused(qalloc_malloc(map, 1), QALLOC_EPOISONED);
	for (int i = 0; i < 3; i++)
		assert_int_equal(qalloc_closemap(map), 0);
	assert_fails(qalloc_closemap(map), QALLOC_EHANDLE);
}

/* ---- What is not ours ------------------------------------------------------------------ */

static int touch_unguarded(void *arg)
{
	(void)arg;
	char *block = qalloc_malloc(map_with(0), 100);

	CHECK(truncate(path, 0) == 0);
	block[0] = 1;
	return 0;
}

static int touch_beside(void *arg)
{
	(void)arg;
	(void)map_with(QALLOC_GUARD);
	page_without_file()[0] = 1;
	return 0;
}

static int send_to_ourselves(void *arg)
{
	(void)arg;
	(void)map_with(QALLOC_GUARD);
	raise(SIGBUS);
	return 0;
}

static int ignored_when_sent_deadly_as_a_fault(void *arg)
{
	(void)arg;
	signal(SIGBUS, SIG_IGN);
	(void)map_with(QALLOC_GUARD);
	raise(SIGBUS);
	CHECK(write(*(int *)arg, "x", 1) == 1);
	page_without_file()[0] = 1;
	return 0;
}

static void other_faults_are_deadly_as_before(void **state)
{
	int pipes[2];
	char byte = 0;

	(void)state;
	if (under_sanitizer()) {
		skip(); /* It handles SIGBUS itself: the default is another. */
	}
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(in_child(touch_unguarded, NULL), SIGNALLED + SIGBUS);
	assert_int_equal(unlink(scratch("map")), 0);
	assert_int_equal(in_child(touch_beside, NULL), SIGNALLED + SIGBUS);
	assert_int_equal(in_child(send_to_ourselves, NULL), SIGNALLED + SIGBUS);
	assert_int_equal(in_child(ignored_when_sent_deadly_as_a_fault, &pipes[1]),
			 SIGNALLED + SIGBUS);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	close(pipes[0]);
	close(pipes[1]);
}

static volatile sig_atomic_t old_style, new_style;
static void *volatile fault_address;
static sigjmp_buf back;

static void on_bus_old(int signal)
{
	(void)signal;
	old_style++;
	siglongjmp(back, 1);
}

static void on_bus_new(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	new_style++;
	fault_address = info->si_addr;
	siglongjmp(back, 1);
}

static void earlier_handlers_get_what_is_not_ours(void **state)
{
	struct sigaction before = action_now(), action;
	volatile char *page = page_without_file();

	(void)state;
	memset(&action, 0, sizeof(action));
	action.sa_handler = on_bus_old;
	assert_int_equal(sigaction(SIGBUS, &action, NULL), 0);
	void *map = map_with(QALLOC_GUARD);

	if (sigsetjmp(back, 1) == 0) {
		page[0] = 1;
	}
	assert_int_equal(old_style, 1);
	assert_int_equal(qalloc_closemap(map), 0);
	assert_true(action_now().sa_handler == on_bus_old);

	action.sa_sigaction = on_bus_new;
	action.sa_flags = SA_SIGINFO;
	assert_int_equal(sigaction(SIGBUS, &action, NULL), 0);
	map = map_with(QALLOC_GUARD);
	if (sigsetjmp(back, 1) == 0) {
		page[100] = 1;
	}
	assert_int_equal(new_style, 1);
	assert_ptr_equal(fault_address, (void *)(uintptr_t)&page[100]);
	assert_int_equal(qalloc_closemap(map), 0);
	assert_true(action_now().sa_sigaction == on_bus_new);
	assert_int_equal(sigaction(SIGBUS, &before, NULL), 0);
}

/* ---- Installed only when asked, and no longer than needed --------------------------------- */

static void the_handler_comes_and_goes_with_guarded_maps(void **state)
{
	struct sigaction before = action_now();
	struct qalloc_options options = dynamic_options(QALLOC_CREATE | QALLOC_GUARD, SIZE, 1);
	void *plain = map_with(0);

	(void)state;
	assert_true(action_now().sa_handler == before.sa_handler);
	void *first = qalloc_openmap(scratch("first"), &options);
	void *second = qalloc_openmap(scratch("second"), &options);

	assert_opened(first);
	assert_opened(second);
	assert_true(action_now().sa_handler != before.sa_handler);
	assert_int_equal(qalloc_closemap(plain), 0);
	assert_int_equal(qalloc_closemap(first), 0);
	assert_true(action_now().sa_handler != before.sa_handler);
	assert_int_equal(qalloc_closemap(second), 0);
	assert_true(action_now().sa_handler == before.sa_handler);
	options.filesize = 100;
	assert_refused(qalloc_openmap(scratch("third"), &options), QALLOC_EFILESIZE);
	assert_true(action_now().sa_handler == before.sa_handler);
}

static void a_handler_installed_later_stays(void **state)
{
	struct sigaction before = action_now(), action;
	void *map = map_with(QALLOC_GUARD);

	(void)state;
	memset(&action, 0, sizeof(action));
	action.sa_handler = on_bus_old;
	assert_int_equal(sigaction(SIGBUS, &action, NULL), 0);
	assert_int_equal(qalloc_closemap(map), 0);
	assert_true(action_now().sa_handler == on_bus_old);
	assert_int_equal(sigaction(SIGBUS, &before, NULL), 0);
}

static struct sigaction behind;

static void on_bus_in_front(int signal, siginfo_t *info, void *context)
{
	behind.sa_sigaction(signal, info, context);
}

static int reopens_behind_a_chain(void *arg)
{
	struct sigaction front;

	(void)arg;
	memset(&front, 0, sizeof(front));
	front.sa_sigaction = on_bus_in_front;
	front.sa_flags = SA_SIGINFO;
	for (int i = 0; i < 3; i++) {
		void *map = map_with(QALLOC_GUARD);

		CHECK(sigaction(SIGBUS, &front, i == 0 ? &behind : NULL) == 0);
		CHECK(qalloc_closemap(map) == 0);
	}
	char *block = qalloc_malloc(map_with(QALLOC_GUARD), 100);

	CHECK(truncate(path, 0) == 0);
	CHECK(block[0] == 0);
	page_without_file()[0] = 1;
	return 0;
}

static int finds_its_own_handler_again(void *arg)
{
	struct sigaction ours, front;
	void *map = map_with(QALLOC_GUARD);

	(void)arg;
	memset(&front, 0, sizeof(front));
	front.sa_handler = SIG_IGN;
	CHECK(sigaction(SIGBUS, &front, &ours) == 0);
	CHECK(qalloc_closemap(map) == 0);
	CHECK(sigaction(SIGBUS, &ours, NULL) == 0);
	(void)map_with(QALLOC_GUARD);
	page_without_file()[0] = 1;
	return 0;
}

/* A handler that calls ours, in front of it while maps come and go, makes no circle. */
static void handlers_in_front_make_no_circle(void **state)
{
	(void)state;
	if (under_sanitizer()) {
		skip(); /* It handles SIGBUS itself: the default is another. */
	}
	assert_int_equal(in_child(reopens_behind_a_chain, NULL), SIGNALLED + SIGBUS);
	assert_int_equal(unlink(scratch("map")), 0);
	assert_int_equal(in_child(finds_its_own_handler_again, NULL), SIGNALLED + SIGBUS);
}

static void each_map_is_poisoned_alone(void **state)
{
	struct qalloc_options options = dynamic_options(QALLOC_CREATE | QALLOC_GUARD, SIZE, 1);
	void *one = qalloc_openmap(scratch("one"), &options);
	void *two = qalloc_openmap(scratch("two"), &options);

	(void)state;
	assert_opened(one);
	assert_opened(two);
	char *block = qalloc_malloc(one, 100);

	assert_int_equal(truncate(scratch("one"), 0), 0);
	assert_int_equal(block[0], 0);
	assert_refused(qalloc_malloc(one, 1), QALLOC_EPOISONED);
	assert_non_null(qalloc_malloc(two, 1));
	assert_whole(two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_begin, scratch_end)
		TEST(data_that_is_gone_reads_as_zero_and_poisons),
		TEST(a_free_in_a_poisoned_map_is_no_misuse),
		TEST(readonly_maps_are_guarded_as_well),
		TEST(another_open_can_ask_for_the_guard),
		TEST(other_faults_are_deadly_as_before),
		TEST(earlier_handlers_get_what_is_not_ours),
		TEST(the_handler_comes_and_goes_with_guarded_maps),
		TEST(a_handler_installed_later_stays),
		TEST(handlers_in_front_make_no_circle),
		TEST(each_map_is_poisoned_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
