/* SPDX-License-Identifier: MIT */
/*
 * What annotations call, as E-ACSL gets them from prepare.awk (shim.c has the bodies).
 */
#include <stddef.h>
#include <stdint.h>

/* A parameter in an `ensures`: E-ACSL 25.0 crashes when it needs one both as a C and a GMP number. */
uint64_t number(uint64_t n);

/*
 * The words that a function may change, as they were when it began.  remember() stands behind its
 * `requires`, forget() behind its `ensures`, and before() for \old and for the labels K and Pre.
 */
int64_t remember(const uint64_t *from, int64_t count);
uint64_t before(const uint64_t *word);
int64_t forget(int64_t result);

/* Not for annotations: 1 in the unit that the environment variable BROKEN names by its number. */
uint32_t broken(uint32_t unit);
