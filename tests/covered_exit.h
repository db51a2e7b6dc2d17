/* SPDX-License-Identifier: MIT */
/*
 * Included before all else where coverage is measured: _exit() and abort() would lose what
 * the children of a test have covered.
 */
#ifndef QALLOC_TEST_COVERED_EXIT_H
#define QALLOC_TEST_COVERED_EXIT_H

#include <stdlib.h>
#include <unistd.h>

void __gcov_dump(void);

static inline _Noreturn void covered_exit(int status)
{
	__gcov_dump();
	_exit(status);
}
#define _exit covered_exit

static inline _Noreturn void covered_abort(void)
{
	__gcov_dump();
	abort();
}
#define abort covered_abort

#endif
