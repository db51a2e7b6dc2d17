/* SPDX-License-Identifier: MIT */
/*
 * Memory and mappings, against the real kernel: nothing is replaced, nothing is left.
 */
#include "os_dir.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

/* An address range that is free: what a mapping just left. */
static uint64_t free_range(size_t size)
{
	void *p = os_map_private(size);

	assert_non_null(p);
	os_unmap(p, size);
	return (uintptr_t)p;
}

/* ---- Memory ------------------------------------------------------------- */

static void private_memory_is_zero(void **state)
{
	static const char zero[64];
	char *p = os_map_private(100000);

	(void)state;
	assert_non_null(p);
	assert_memory_equal(p, zero, sizeof(zero));
	p[99999] = 1;
	errno = ENODATA;
	os_unmap(p, 100000);
	os_unmap((void *)1, 1); /* which nobody can */
	assert_int_equal(errno, ENODATA);
	assert_null(os_map_private(SIZE_MAX / 2));
	assert_null(os_map_wiped(SIZE_MAX / 2));
}

static void wiped_memory_is_zero_in_a_child(void **state)
{
	unsigned char *wiped = os_map_wiped(4096), *plain = os_map_private(4096);
	pid_t child;

	(void)state;
	assert_non_null(wiped);
	wiped[0] = wiped[4095] = plain[0] = 7;
	child = fork();
	if (child == 0)
		_exit(wiped[0] == 0 && wiped[4095] == 0 && plain[0] == 7 ? 0 : 1);
	assert_int_equal(status_of(child), 0);
	assert_int_equal(wiped[0], 7);
	os_unmap(wiped, 4096);
	os_unmap(plain, 4096);
}

static void a_file_is_mapped_at_its_address_with_a_guard_behind(void **state)
{
	size_t page = os_page(), whole = 5 * page;
	uint64_t base = free_range(whole);
	int fd = new_file(2 * page + 1);
	unsigned char *p = (unsigned char *)(uintptr_t)base; /* NOLINT */
	unsigned char byte = 0;
	char line[64];
	size_t got;
	pid_t child;

	(void)state;
	assert_int_equal(os_map_file(fd, base, 2 * page + 1, 2 * page, true), 0);
	p[2 * page] = 9;
	assert_int_equal(os_sync_mapping(base, 2 * page + 1), 0);
	assert_int_equal(os_read_at(fd, &byte, 1, 2 * page, &got), 0);
	assert_int_equal(byte, 9);
	os_mapping_at(base + 3 * page, 1, line, sizeof(line));
	assert_non_null(strstr(line, " ---p "));
	os_mapping_at(base + 4 * page, 1, line, sizeof(line));
	assert_non_null(strstr(line, " ---p "));
	child = fork();
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile unsigned char *)(p + 3 * page) = 1;
		_exit(0);
	}
	assert_int_equal(status_of(child), 128 + SIGSEGV);
	os_unmap(p, whole);
	os_mapping_at(base, whole, line, sizeof(line));
	assert_string_equal(line, "");
	os_close(fd);
}

static void map_file_replaces_nothing(void **state)
{
	size_t page = os_page();
	int fd = new_file(4 * page);
	unsigned char *held = os_map_private(3 * page);
	uint64_t base;

	(void)state;
	assert_non_null(held);
	/* The middle page stays; each end is free for a collision from that side. */
	base = (uintptr_t)held;
	held[page] = 42;
	os_unmap(held, page);
	os_unmap(held + 2 * page, page);
	assert_int_equal(os_map_file(fd, base + page, page, 0, true), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(os_map_file(fd, base, 2 * page, 0, true), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(os_map_file(fd, base, page, page, true), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(held[page], 42);
	os_unmap(held + page, page);
	os_close(fd);
}

static void map_file_that_fails_leaves_nothing_behind(void **state)
{
	size_t page = os_page();
	uint64_t base = free_range(4 * page);
	int fd = new_file(page), reader;
	char line[64];

	(void)state;
	reader = os_reopen(fd, false);
	assert_int_equal(os_map_file(reader, base, page, page, true), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(os_map_file(-1, base, page, page, true), -1);
	assert_int_equal(errno, EBADF);
	os_mapping_at(base, 4 * page, line, sizeof(line));
	assert_string_equal(line, "");
	assert_int_equal(os_map_file(fd, base + 1, page, 0, true), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(os_map_file(fd, base, 0, page, true), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(os_map_file(fd, base, UINT64_MAX, 0, true), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(os_map_file(fd, base, page, UINT64_MAX - page + 1, true), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(os_map_file(reader, base, page, page, false), 0);
	assert_int_equal(os_unmap_file(base, 2 * page), 0);
	os_close(reader);
	os_close(fd);
}

static void pages_can_be_protected_and_dropped(void **state)
{
	size_t page = os_page();
	uint64_t base = free_range(3 * page);
	int fd = new_file(3 * page);
	unsigned char *p = (unsigned char *)(uintptr_t)base; /* NOLINT */
	char line[64];

	(void)state;
	assert_int_equal(os_map_file(fd, base, 3 * page, 0, true), 0);
	assert_int_equal(os_protect_none(base + page, page), 0);
	os_mapping_at(base + page, 1, line, sizeof(line));
	assert_non_null(strstr(line, " ---s "));
	p[2 * page] = 5;
	if (os_drop_pages(base + 2 * page, page) == 0)
		assert_int_equal(p[2 * page], 0);
	else
		assert_int_equal(errno, EOPNOTSUPP);
	os_unmap(p, 3 * page);
	assert_int_equal(os_protect_none(base, page), -1);
	assert_int_equal(os_drop_pages(base, page), -1);
	os_close(fd);
}

static void a_page_that_the_file_has_not_is_an_error_and_no_signal(void **state)
{
	int fd = new_file(3 * os_page());
	uint64_t base = free_range(0x30000);

	(void)state;
	assert_int_equal(os_map_file(fd, base, 3 * os_page(), 0, true), 0);
	memset((void *)(uintptr_t)base, 5, 3 * os_page());
	errno = ENODATA;
	assert_int_equal(os_populate(base + 100, 2 * os_page()), 0);
	assert_int_equal(errno, ENODATA);
	assert_int_equal(*(char *)(uintptr_t)(base + 100), 5);
	assert_int_equal(ftruncate(fd, (off_t)os_page()), 0);
	/* The kernel may be one that does not know how. */
	if (os_populate(base + os_page(), os_page()) != 0)
		assert_int_equal(errno, ENOSPC);
	else
		print_message("           skipped: no MADV_POPULATE_WRITE\n");
	assert_int_equal(os_populate(base, os_page()), 0);
	assert_int_equal(os_unmap_file(base, 3 * os_page()), 0);
	assert_int_equal(os_unmap_file(base + 1, os_page()), -1);
	assert_int_equal(errno, EINVAL);
	os_close(fd);
}

static void the_line_of_a_mapping_is_found_and_cut_to_its_room(void **state)
{
	char whole[256], cut[8], none[64];
	unsigned char *p = os_map_private(4096);

	(void)state;
	os_mapping_at((uintptr_t)p + 100, 1, whole, sizeof(whole));
	assert_non_null(strstr(whole, " rw-p "));
	assert_null(strchr(whole, '\n'));
	os_mapping_at((uintptr_t)p + 100, UINT64_MAX, cut, sizeof(cut));
	assert_int_equal(strlen(cut), 7);
	assert_memory_equal(whole, cut, 7);
	os_mapping_at(1, 1, none, sizeof(none));
	assert_string_equal(none, "");
	os_mapping_at((uintptr_t)p, 1, none, 1);
	assert_string_equal(none, "");
	os_unmap(p, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(private_memory_is_zero),
		cmocka_unit_test(wiped_memory_is_zero_in_a_child),
		IN_DIR(a_file_is_mapped_at_its_address_with_a_guard_behind),
		IN_DIR(map_file_replaces_nothing),
		IN_DIR(map_file_that_fails_leaves_nothing_behind),
		IN_DIR(pages_can_be_protected_and_dropped),
		IN_DIR(a_page_that_the_file_has_not_is_an_error_and_no_signal),
		cmocka_unit_test(the_line_of_a_mapping_is_found_and_cut_to_its_room),
	};

	return cmocka_run_group_tests_name("os_memory", tests, NULL, NULL);
}
