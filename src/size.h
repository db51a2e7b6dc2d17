/* SPDX-License-Identifier: MIT */
/*
 * Size classes of dynamic maps: 16-byte steps to 128, then four per doubling,
 * to 32 KiB.
 *
 *  - class_bytes(class_of(n)) is the smallest class size that is >= n.
 *  - Every class size is a multiple of 16; above 128 at most a fifth is waste.
 *  - A map uses the classes up to half a span; what is larger is a run of spans.
 */
#ifndef QALLOC_SIZE_H
#define QALLOC_SIZE_H

#include <stdint.h>

#define CLASS_COUNT 40u
#define CLASS_BYTES_MAX 32768u
#define CLASS_NONE CLASS_COUNT

#ifdef __FRAMAC__
#include "../proofs/size.acsl"
#endif

/* Bytes of one block.  Requires cls < CLASS_COUNT. */
/*@ requires in_range: cls < CLASS_COUNT;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures value: \result == class_size(cls);
    ensures aligned: \result % 16 == 0; */
uint32_t class_bytes(uint32_t cls);

/* The smallest class that holds `bytes`, CLASS_NONE above CLASS_BYTES_MAX.  0 bytes: class 0. */
/*@ terminates \true;
    exits \false;
    assigns \nothing;
    ensures none: bytes > CLASS_BYTES_MAX ==> \result == CLASS_NONE;
    ensures some: bytes <= CLASS_BYTES_MAX ==> \result < CLASS_COUNT;
    ensures smallest: bytes <= CLASS_BYTES_MAX ==> smallest_class(\result, bytes);
    ensures waste: bytes <= CLASS_BYTES_MAX ==> little_waste(\result, bytes); */
uint32_t class_of(uint64_t bytes);

/* How many classes a map with such spans uses: those of at most half a span. */
/*@ terminates \true;
    exits \false;
    assigns \nothing;
    ensures fit: classes_fit(\result, span_bytes); */
uint32_t class_count(uint64_t span_bytes);

/* The smallest class of at least `bytes` bytes whose size is a multiple of `align`, a
   power of two from 16; CLASS_NONE if there is none below `classes`. */
/*@ requires align: align >= 1;
    requires classes: classes <= CLASS_COUNT;
    terminates \true;
    exits \false;
    assigns \nothing;
    ensures range: \result < classes || \result == CLASS_NONE;
    ensures fit: \result < classes ==> class_size(\result) >= bytes;
    ensures aligned: \result < classes ==> class_size(\result) % align == 0;
    ensures smallest: \forall integer c; 0 <= c < classes && c < \result ==>
                        class_size(c) < bytes || class_size(c) % align != 0; */
uint32_t class_aligned(uint64_t bytes, uint64_t align, uint32_t classes);

#endif
