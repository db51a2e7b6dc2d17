/* SPDX-License-Identifier: MIT */
/*
 * File systems: which are refused, and on which a reservation is no promise.  The kernel's
 * answer is replaced here, since this machine has none of them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/vfs.h>
#include <cmocka.h>

#include "support.h"

#define NFS 0x6969u
#define BTRFS 0x9123683Eu
#define TMPFS 0x01021994u

static unsigned answer = TMPFS;

/* Instead of libc's. */
int fstatfs(int fd, struct statfs *fs)
{
	if (fd < 0) {
		errno = EBADF;
		return -1;
	}
	memset(fs, 0, sizeof(*fs));
	fs->f_type = (__fsword_t)answer;
	return 0;
}

static void a_network_file_system_is_refused_unless_allowed(void **state)
{
	struct qalloc_options options = dynamic_options(QALLOC_CREATE | QALLOC_NETWORK, MIB, 2);
	void *map;

	(void)state;
	answer = NFS;
	assert_refused(qalloc_makedynmap((off_t)MIB, NULL, scratch("map"), 2), QALLOC_ENETWORK);
	map = qalloc_openmap(scratch("map"), &options);
	assert_opened(map);
	assert_int_equal(qalloc_closemap(map), 0);
	assert_refused(qalloc_loadmap(scratch("map")), QALLOC_ENETWORK);
	answer = TMPFS;
	assert_opened(qalloc_loadmap(scratch("map")));
}

static void where_pages_are_copied_nothing_is_promised(void **state)
{
	void *map;

	(void)state;
	answer = BTRFS;
	map = qalloc_makedynmap((off_t)MIB, NULL, scratch("map"), 2);
	assert_opened(map);
	assert_int_equal(info_of(map).reserves, 0);
	assert_non_null(qalloc_malloc(map, 100000));
	answer = TMPFS;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_network_file_system_is_refused_unless_allowed,
						scratch_begin, scratch_end),
		cmocka_unit_test_setup_teardown(where_pages_are_copied_nothing_is_promised,
						scratch_begin, scratch_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
