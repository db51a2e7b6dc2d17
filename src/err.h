/* SPDX-License-Identifier: MIT */
/*
 * Errors: a code, an errno and one sentence, kept for the calling thread.
 */
#ifndef QALLOC_ERR_H
#define QALLOC_ERR_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "../include/qalloc.h"

/*
 * Records a failure, sets errno (QALLOC_ESYSTEM keeps the current one) and
 * returns -1.  The format knows %s (const char *), %u and %x (uint64_t, decimal
 * and hexadecimal with 0x), %e (no argument: the text of errno), %%.
 */
int err_fail(enum qalloc_err code, const char *format, ...);

/* The same where another errno than the code's own is the right one. */
int err_fail_errno(enum qalloc_err code, int number, const char *format, ...);

/* Formats into out[0..room), always terminated; the length without the NUL. */
size_t err_format(char *out, size_t room, const char *format, ...);

/* The fixed text that the misuse reporter prints for EHANDLE, EWILD, EINTERIOR, ENOTLIVE. */
const char *err_misuse_text(enum qalloc_err code);

#endif
