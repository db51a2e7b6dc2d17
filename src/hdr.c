/* SPDX-License-Identifier: MIT */
/*
 * The header codec and its rules.
 *
 *  - Trusts nothing: `bytes` may hold anything, and is read by byte.
 *  - One function each for bytes -> fields, for the rules on the bytes and for
 *    the rules on the values; the first broken rule names the error.
 *  - The checksum leaves out the magic, so that one 8-byte store completes a
 *    creation.
 */
#include <stdbool.h>

#include "geo.h"
#include "hdr.h"

#define MAGIC_BYTES 8u
#define POINTER_BITS 64u

/* An aligned address that is not null is at least the granule. */
_Static_assert(GRANULE >= ADDR_MIN, "alignment implies the lower end of the window");

/* HDR_MAGIC_DONE and HDR_MAGIC_CREATING as load64() reads them. */
#define MAGIC_DONE 0x1A0A0D434C415189u
#define MAGIC_CREATING 0x0A57454E4C415189u

/*@ requires mem: \valid_read(bytes + (0 .. len - 1));
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures iff: \result <==> zero_at(bytes, len); */
static bool is_zero(const uint8_t *bytes, uint32_t len)
{
	/*@ loop invariant range: 0 <= i <= len;
	    loop invariant zero: zero_at(bytes, i);
	    loop assigns i;
	    loop variant len - i; */
	for (uint32_t i = 0; i < len; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

/*@ requires mem: \valid_read(bytes + (0 .. HDR_BYTES - 1));
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures value: \result == crc_of(bytes + 8, HDR_CRC - 8); */
static uint32_t header_crc(const uint8_t *bytes)
{
	return crc32c(bytes + MAGIC_BYTES, HDR_CRC - MAGIC_BYTES);
}

/*@ requires mem: \valid_read(bytes + (0 .. HDR_BYTES - 1)) && \valid(out);
    requires apart: \separated(bytes + (0 .. HDR_BYTES - 1), out);
    terminates \true;
    exits \false;
    assigns *out;
    ensures fields: hdr_fields(bytes, out); */
static void load_fields(const uint8_t *bytes, struct params *out)
{
	out->compat = load64(bytes + HDR_COMPAT);
	out->ro_compat = load64(bytes + HDR_RO_COMPAT);
	out->kind = load32(bytes + HDR_KIND);
	out->streams = load32(bytes + HDR_STREAMS);
	out->file_size = load64(bytes + HDR_FILE_SIZE);
	out->base = load64(bytes + HDR_BASE);
	out->item_size = load64(bytes + HDR_ITEM_SIZE);
	out->flags = load64(bytes + HDR_FLAGS);
	out->uuid[0] = load64(bytes + HDR_UUID);
	out->uuid[1] = load64(bytes + HDR_UUID + 8);
	out->created = load64(bytes + HDR_CREATED);
}

/* The rules on the bytes of a whole header. */
/*@ requires mem: \valid_read(bytes + (0 .. HDR_BYTES - 1));
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures iff: \result == QALLOC_OK <==> hdr_bytes_valid(bytes);
    ensures creating: \result == QALLOC_ECREATING <==> hdr_is_creating(bytes); */
static enum qalloc_err check_bytes(const uint8_t *bytes)
{
	if (load64(bytes + HDR_MAGIC) == MAGIC_CREATING)
		return QALLOC_ECREATING;
	if (load64(bytes + HDR_MAGIC) != MAGIC_DONE)
		return QALLOC_EMAGIC;
	if (load32(bytes + HDR_VERSION) != FORMAT_VERSION)
		return QALLOC_EVERSION;
	if (load16(bytes + HDR_ENDIAN) != HDR_ENDIAN_LITTLE)
		return QALLOC_EBYTEORDER;
	if (load16(bytes + HDR_POINTER_BITS) != POINTER_BITS)
		return QALLOC_EPOINTER;
	/* No incompatible feature exists yet: every bit is an unknown one. */
	if (load64(bytes + HDR_INCOMPAT) != HDR_INCOMPAT_KNOWN)
		return QALLOC_EFEATURE;
	if (load32(bytes + HDR_CRC) != header_crc(bytes))
		return QALLOC_ECHECKSUM;
	if (!is_zero(bytes + HDR_RESERVED, HDR_CRC - HDR_RESERVED))
		return QALLOC_ERESERVED;
	return QALLOC_OK;
}

/* The map occupies its file, rounded up to the granule, and a guard behind it. */
/*@ requires size: 1 <= file_size <= QALLOC_FILESIZE_MAX;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures iff: \result == QALLOC_OK <==> base_valid(base, file_size);
    ensures window: base != 0 && base % GRANULE == 0 ==>
      (\result == QALLOC_EADDRWINDOW <==> base >= ADDR_END); */
static enum qalloc_err check_base(uint64_t base, uint64_t file_size)
{
	uint64_t granules = (file_size + (GRANULE - 1)) / GRANULE + 1;

	if (base == 0)
		return QALLOC_EADDRNULL;
	if (base % GRANULE != 0)
		return QALLOC_EADDRALIGN;
	if (base >= ADDR_END)
		return QALLOC_EADDRWINDOW;
	if (granules * GRANULE > ADDR_END - base)
		return QALLOC_EADDRWRAP;
	return QALLOC_OK;
}

/* The rules on the values that need no geometry. */
/*@ requires mem: \valid_read(p);
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures iff: \result == QALLOC_OK <==> values_valid(p->kind, p->flags, p->file_size,
              p->item_size, p->streams, p->base); */
static enum qalloc_err check_values(const struct params *p)
{
	if (p->kind != QALLOC_STATIC && p->kind != QALLOC_DYNAMIC)
		return QALLOC_EKIND;
	if (p->flags > MAP_FLAGS_KNOWN)
		return QALLOC_EFLAGS;
	if (p->file_size == 0 || p->file_size > QALLOC_FILESIZE_MAX)
		return QALLOC_EFILESIZE;
	if (p->kind == QALLOC_DYNAMIC && p->item_size != 0)
		return QALLOC_EITEMSIZE;
	if (p->kind == QALLOC_STATIC && (p->item_size == 0 || p->item_size > QALLOC_FILESIZE_MAX))
		return QALLOC_EITEMSIZE;
	if (p->streams == 0 || p->streams > QALLOC_STREAMS_MAX)
		return QALLOC_ESTREAMS;
	return check_base(p->base, p->file_size);
}

/*@ requires mem: \valid_read(p);
    requires values: values_valid(p->kind, p->flags, p->file_size, p->item_size, p->streams, p->base);
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures iff: \result == QALLOC_OK <==> geo_fits(p->file_size, p->item_size, p->streams); */
static enum qalloc_err check_geometry(const struct params *p)
{
	struct geo g;

	return geo_compute(p, &g);
}

enum qalloc_err params_check(const struct params *p)
{
	enum qalloc_err err = check_values(p);

	if (err != QALLOC_OK)
		return err;
	return check_geometry(p);
}

enum qalloc_err hdr_decode(const uint8_t *bytes, size_t len, uint64_t file_size, struct params *out)
{
	enum qalloc_err err;

	if (len < HDR_BYTES || file_size < HDR_BYTES) {
		*out = (struct params){0};
		return QALLOC_ESHORT;
	}
	load_fields(bytes, out);
	err = check_bytes(bytes);
	if (err != QALLOC_OK)
		return err;
	err = check_values(out);
	if (err != QALLOC_OK)
		return err;
	if (out->file_size != file_size)
		return QALLOC_EFILESIZE;
	return check_geometry(out);
}

/*@ requires mem: \valid(bytes + (0 .. HDR_BYTES - 1));
    requires crc: crc == crc_of(bytes + 8, HDR_CRC - 8);
    terminates \true;
    exits \false;
    assigns bytes[HDR_CRC .. HDR_BYTES - 1];
    ensures value: le32(bytes + HDR_CRC) == crc;
    ensures kept: crc == crc_of(bytes + 8, HDR_CRC - 8); */
static void store_crc(uint8_t *bytes, uint32_t crc)
{
	store32(bytes + HDR_CRC, crc);
	/*@ assert kept: \forall integer j; 0 <= j < HDR_CRC ==> bytes[j] == \at(bytes[j], Pre); */
	/*@ ghost uint32_t i = 0;
	  /@ loop invariant range: 0 <= i <= HDR_CRC - MAGIC_BYTES;
	     loop invariant same: crc_over(bytes + 8, i) == crc_over{Pre}(bytes + 8, i);
	     loop assigns i;
	     loop variant HDR_CRC - MAGIC_BYTES - i; @/
	  while (i < HDR_CRC - MAGIC_BYTES)
	    i++; */
}

/*@ requires mem: \valid(bytes + (0 .. HDR_BYTES - 1));
    terminates \true;
    exits \false;
    assigns bytes[HDR_RESERVED .. HDR_CRC - 1];
    ensures zero: zero_at(bytes + HDR_RESERVED, HDR_CRC - HDR_RESERVED); */
static void clear_reserved(uint8_t *bytes)
{
	/*@ loop invariant range: 0 <= i <= HDR_CRC - HDR_RESERVED;
	    loop invariant zero: zero_at(bytes + HDR_RESERVED, i);
	    loop assigns i, bytes[HDR_RESERVED .. HDR_CRC - 1];
	    loop variant HDR_CRC - HDR_RESERVED - i; */
	for (uint32_t i = 0; i < HDR_CRC - HDR_RESERVED; i++)
		bytes[HDR_RESERVED + i] = 0;
}

void hdr_encode(const struct params *p, uint8_t *bytes)
{
	store64(bytes + HDR_MAGIC, MAGIC_DONE);
	store32(bytes + HDR_VERSION, FORMAT_VERSION);
	store16(bytes + HDR_ENDIAN, HDR_ENDIAN_LITTLE);
	store16(bytes + HDR_POINTER_BITS, POINTER_BITS);
	store64(bytes + HDR_COMPAT, p->compat);
	store64(bytes + HDR_RO_COMPAT, p->ro_compat);
	store64(bytes + HDR_INCOMPAT, HDR_INCOMPAT_KNOWN);
	store32(bytes + HDR_KIND, p->kind);
	store32(bytes + HDR_STREAMS, p->streams);
	store64(bytes + HDR_FILE_SIZE, p->file_size);
	store64(bytes + HDR_BASE, p->base);
	store64(bytes + HDR_ITEM_SIZE, p->item_size);
	store64(bytes + HDR_FLAGS, p->flags);
	store64(bytes + HDR_UUID, p->uuid[0]);
	store64(bytes + HDR_UUID + 8, p->uuid[1]);
	store64(bytes + HDR_CREATED, p->created);
	clear_reserved(bytes);
	store_crc(bytes, header_crc(bytes));
}
