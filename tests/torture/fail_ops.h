/* SPDX-License-Identifier: MIT */
/*
 * Calls whose system calls fail, beside those of kill_ops.h.
 */
#ifndef QALLOC_TORTURE_FAIL_OPS_H
#define QALLOC_TORTURE_FAIL_OPS_H

#include "kill_ops.h"

extern const struct op fail_ops[];
extern const unsigned fail_ops_count;

#endif
