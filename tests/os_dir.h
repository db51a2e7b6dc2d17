/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the operating system layer share: a fresh directory below $TMPDIR
 * or /tmp for each test, one file in it, and children.  Nothing here needs the library.
 */
#ifndef QALLOC_TEST_OS_DIR_H
#define QALLOC_TEST_OS_DIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/os.h"

static char dir[256];
static char path[512]; /* of the one file in it */

static inline int enter_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir, sizeof(dir), "%s/qalloc-os-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/file", dir);
	return 0;
}

static inline int leave_dir(void **state)
{
	char other[512];

	(void)state;
	snprintf(other, sizeof(other), "%s/link", dir);
	unlink(path);
	unlink(other);
	return rmdir(dir);
}

static inline int new_file(uint64_t size)
{
	int fd = os_open(path, OS_WRITE | OS_CREATE_NEW);

	assert_true(fd >= 0);
	assert_int_equal(os_set_size(fd, size), 0);
	return fd;
}

/* Waits for the child; its exit status, or 128 + the signal that ended it. */
static inline int status_of(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, enter_dir, leave_dir)

#endif
