/* SPDX-License-Identifier: MIT */
/*
 * A watchdog for the calls of a thread: milliseconds from begin to end, but for those in which it
 * was ready to run and others had all the processors, where the kernel tells.
 */
#ifndef QALLOC_TEST_WATCH_H
#define QALLOC_TEST_WATCH_H

#include <stdint.h>

void watch_begin(void);
uint64_t watch_end(void);

#endif
