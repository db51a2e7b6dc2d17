/* SPDX-License-Identifier: MIT */
/*
 * The checker of roots (check.h has the rules).
 *
 *  - Trusts the geometry, and no byte of the table.
 *  - Every loop is bounded by the size of the table.
 */
#include "check.h"
#include "le.h"

/*@ requires mem: \valid_read(root + (0 .. ROOT_BYTES - 1));
    terminates \true;
    assigns \nothing;
    ensures iff: \result <==> name_whole(root); */
static bool name_is_whole(const uint8_t *root)
{
	if (root[0] == 0 || root[ROOT_VALUE - 1] != 0)
		return false;
	/*@ loop invariant bound: 1 <= i <= ROOT_VALUE;
	    loop invariant padded: \forall integer k; 1 <= k < i && root[k - 1] == 0 ==> root[k] == 0;
	    loop assigns i;
	    loop variant ROOT_VALUE - i; */
	for (uint32_t i = 1; i < ROOT_VALUE; i++) {
		if (root[i - 1] == 0 && root[i] != 0)
			return false;
	}
	return true;
}

/*@ requires mem: \valid_read(a + (0 .. ROOT_BYTES - 1)) && \valid_read(b + (0 .. ROOT_BYTES - 1));
    terminates \true;
    assigns \nothing;
    ensures iff: \result <==> same_name(a, b); */
static bool is_same_name(const uint8_t *a, const uint8_t *b)
{
	/*@ loop invariant bound: 0 <= i <= ROOT_VALUE;
	    loop invariant same: \forall integer k; 0 <= k < i ==> a[k] == b[k];
	    loop assigns i;
	    loop variant ROOT_VALUE - i; */
	for (uint32_t i = 0; i < ROOT_VALUE; i++) {
		if (a[i] != b[i])
			return false;
	}
	return true;
}

/*@ requires mem: \valid_read(table + (0 .. ROOTS_BYTES - 1));
    requires root: index < QALLOC_ROOTS_MAX;
    terminates \true;
    assigns \nothing;
    ensures iff: \result <==> root_first(table, index); */
static bool is_first(const uint8_t *table, uint32_t index)
{
	const uint8_t *root = table + index * ROOT_BYTES;

	/*@ loop invariant bound: 0 <= i <= index;
	    loop invariant first: \forall integer k; 0 <= k < i && published(table, k) ==>
	      !same_name(root_at(table, k), root);
	    loop assigns i;
	    loop variant index - i; */
	for (uint32_t i = 0; i < index; i++) {
		const uint8_t *other = table + i * ROOT_BYTES;

		/*@ assert published: other[ROOT_STATE] % 2 != 0 <==> published(table, i); */
		if (other[ROOT_STATE] % 2 != 0 && is_same_name(other, root))
			return false;
	}
	return true;
}

enum check_finding check_root(const struct geo *g, const uint8_t *table, uint32_t index)
{
	const uint8_t *root = table + index * ROOT_BYTES;

	if (root[ROOT_STATE] % 2 == 0)
		return CHECK_CLEAN;
	if (!name_is_whole(root))
		return CHECK_ROOT_NAME;

	uint64_t value = load64(root + ROOT_VALUE);

	if (value != 0 && (value < g->data_off || value >= g->data_end))
		return CHECK_ROOT_VALUE;
	return is_first(table, index) ? CHECK_CLEAN : CHECK_ROOT_TWICE;
}
