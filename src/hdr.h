/* SPDX-License-Identifier: MIT */
/*
 * The header: the bytes of a map file that are believed, once checked.
 *
 *  - hdr_decode() reads bytes, never casts them, and names the first rule that
 *    they break.  The order of the rules is that of enum qalloc_err.
 *  - params_check() is the part of the rules that concerns the values; creation
 *    and load share it.
 *  - hdr_encode() then hdr_decode() is the identity, and the other way round.
 */
#ifndef QALLOC_HDR_H
#define QALLOC_HDR_H

#include <stddef.h>
#include <stdint.h>

#include "format.h"
#include "le.h"

/* What a map was created with: all that is ever believed of a file. */
struct params {
	uint64_t file_size; /* bytes */
	uint64_t base;      /* address */
	uint64_t item_size; /* bytes as given; 0 in a dynamic map */
	uint64_t flags;     /* MAP_FLAG_* */
	uint64_t compat;    /* feature masks, kept so that encode restores them */
	uint64_t ro_compat; /* unknown bits here: the caller must not write */
	uint64_t created;   /* seconds since the epoch */
	uint64_t uuid[2];
	uint32_t kind; /* enum qalloc_kind */
	uint32_t streams;
};

#ifdef __FRAMAC__
#include "../proofs/crc.acsl"
#include "../proofs/layout.acsl"
#include "../proofs/hdr.acsl"
#endif

/* CRC-32C (Castagnoli), as in iSCSI: "123456789" gives 0xE3069283. */
/*@ requires mem: \valid_read(bytes + (0 .. len - 1));
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures value: \result == crc_of(bytes, len); */
uint32_t crc32c(const uint8_t *bytes, size_t len);

/* Checks kind, flags, file size, item size, streams, base, then geometry.  QALLOC_OK or the first broken rule. */
/*@ requires mem: \valid_read(p);
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures iff: \result == QALLOC_OK <==> params_valid(p); */
enum qalloc_err params_check(const struct params *p);

/*
 * Decodes the first `len` bytes of a file that is `file_size` bytes long.
 * QALLOC_OK and *out, or the first broken rule; then *out holds the fields as
 * found, for messages, if all of the header was there, else zeros.
 */
/*@ requires mem: \valid_read(bytes + (0 .. len - 1)) && \valid(out);
    requires apart: \separated(bytes + (0 .. len - 1), out);
    terminates \true;
    exits \false;
    assigns *out;
    ensures iff: \result == QALLOC_OK <==> hdr_valid(bytes, len, file_size);
    ensures creating: len >= HDR_BYTES && file_size >= HDR_BYTES && hdr_is_creating(bytes) ==>
      \result == QALLOC_ECREATING;
    ensures fields: len >= HDR_BYTES && file_size >= HDR_BYTES ==> hdr_fields(bytes, out); */
enum qalloc_err hdr_decode(const uint8_t *bytes, size_t len, uint64_t file_size,
			   struct params *out);

/* Writes HDR_BYTES bytes: a complete header, whose magic says so. */
/*@ requires mem: \valid_read(p) && \valid(bytes + (0 .. HDR_BYTES - 1));
    requires apart: \separated(p, bytes + (0 .. HDR_BYTES - 1));
    terminates \true;
    exits \false;
    assigns bytes[0 .. HDR_BYTES - 1];
    ensures fields: hdr_fields(bytes, p);
    ensures bytes: hdr_bytes_valid(bytes); */
void hdr_encode(const struct params *p, uint8_t *bytes);

#endif
