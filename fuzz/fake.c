/* SPDX-License-Identifier: MIT */
/*
 * The world that the library sees when it is fuzzed.  Linked with --wrap (wrapped.txt): the
 * shipped library calls these instead of the functions of os.h.
 *
 *  - Time only moves when somebody asks for it or waits, so a wait of a second costs
 *    nothing, and a call that would wait without a bound is noticed.
 *  - Chance is a function of the input.
 *  - Reservations are counted: bytes of a file must not make the library take more
 *    disk space than the file has, but for what the caller asks for.
 */
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CALL_USEC_MAX 3500000u /* three locks of a second each, and what looking costs */
#define CALL_BYTES_FREE ((uint64_t)4 << 20)
#define DISK_NEARLY_FULL ((uint64_t)512 << 10)

struct fake fake;
bool fuzz_verbose, fuzz_repeats;

uint64_t __wrap_os_now_usec(void);
uint64_t __wrap_os_clock_sec(void);
void __wrap_os_wait_word(const uint32_t *word, uint32_t value, uint32_t usec);
void __wrap_os_sleep(uint32_t usec);
void __wrap_os_boot_id(uint64_t id[2]);
void __wrap_os_random(void *buf, size_t len);
uint32_t __wrap_os_pid(void);
uint32_t __wrap_os_user(void);
uint32_t __real_os_user(void);
int __wrap_os_reserve(int fd, uint64_t off, uint64_t len);
int __real_os_reserve(int fd, uint64_t off, uint64_t len);
bool __wrap_os_nearly_full(int fd);
int __wrap_os_populate(uint64_t addr, uint64_t len);

/* Present where a sanitizer is. */
void __sanitizer_print_stack_trace(void) __attribute__((weak));

void fuzz_stack(void)
{
	if (__sanitizer_print_stack_trace != NULL)
		__sanitizer_print_stack_trace();
}

void fuzz_fail(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: does not hold: %s\nlast error %d: %s\n", file, line, condition,
		qalloc_error(), qalloc_errmsg());
	fuzz_stack();
	abort();
}

void fake_begin(bool no_space_calls, uint64_t disk_bytes)
{
	static bool begun;

	/* What the library does but once for a process is no part of an input. */
	if (!begun && registry_lock() == 0)
		registry_unlock();
	begun = true;
	fake = (struct fake){.now = 1,
			     .full_errno = ENOSPC,
			     .no_space_calls = no_space_calls,
			     .disk_begin = file_is_dense() ? file_allocated() : file_blocks(),
			     .disk_bytes = disk_bytes};
	call_begin(0);
}

void call_begin(uint64_t wanted_bytes)
{
	uint64_t wanted = wanted_bytes < QALLOC_FILESIZE_MAX ? wanted_bytes : 0;

	fake.started = fake.now;
	fake.reserved = 0;
	fake.reserve_limit = 2 * wanted + CALL_BYTES_FREE;
}

void call_end(void)
{
	FUZZ_CHECK(fake.now - fake.started <= CALL_USEC_MAX);
	answer((fake.now - fake.started) / 1000);
	answer(fake.reserved);
}

void trace(uint8_t op, uint64_t detail)
{
	if (fuzz_verbose)
		fprintf(stderr, "operation %02x, %llu, last error %d: %s\n", op,
			(unsigned long long)detail, qalloc_error(), qalloc_errmsg());
}

void word_hook(const void *word)
{
	(void)word;
	fake.loads++;
	if (fake.countdown != 0 && --fake.countdown == 0)
		fake.scribble();
}

uint64_t __wrap_os_now_usec(void)
{
	/* A loop that only looks at the clock must end as well. */
	fake.now++;
	FUZZ_CHECK(fake.now - fake.started <= 2 * (uint64_t)CALL_USEC_MAX);
	return fake.now;
}

uint64_t __wrap_os_clock_sec(void)
{
	return 1000000000;
}

void __wrap_os_wait_word(const uint32_t *word, uint32_t value, uint32_t usec)
{
	if (__atomic_load_n(word, __ATOMIC_RELAXED) == value)
		fake.now += usec;
	word_hook(word);
}

void __wrap_os_sleep(uint32_t usec)
{
	fake.now += usec;
}

void __wrap_os_boot_id(uint64_t id[2])
{
	id[0] = 0x0123456789ABCDEF;
	id[1] = 0xFEDCBA9876543210;
}

uint32_t __wrap_os_pid(void)
{
	return 42;
}

/* Whoever runs this as root sees files of root that are not his. */
uint32_t __wrap_os_user(void)
{
	uint32_t user = __real_os_user();

	return user == 0 && fake.other_user ? 1000 : user;
}

void __wrap_os_random(void *buf, size_t len)
{
	uint8_t *to = buf;

	for (; len > 0; len--) {
		fake.chance = fake.chance * 6364136223846793005u + 1442695040888963407u;
		*to++ = (uint8_t)(fake.chance >> 56);
	}
}

int __wrap_os_reserve(int fd, uint64_t off, uint64_t len)
{
	word_hook(NULL);
	if (fault_now())
		return -1;
	if (fake.no_space_calls) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (fake.disk_left != 0 && --fake.disk_left == 0) {
		fake.disk_left = 1;
		fake.ran_full = true;
		errno = fake.full_errno;
		return -1;
	}
	/* Nothing to reserve: that is three system calls less. */
	if (file_is_dense())
		return 0;
	uint64_t before = file_blocks();

	/* The disk is small. */
	if (before + len > fake.disk_begin + fake.disk_bytes) {
		fake.ran_full = true;
		errno = ENOSPC;
		return -1;
	}
	int result = __real_os_reserve(fd, off, len);

	fake.reserved += file_blocks() - before;
	FUZZ_CHECK(fake.reserved <= fake.reserve_limit + file_allocated());
	return result;
}

/* The disk is small, or the program has said how many reservations there are. */
bool __wrap_os_nearly_full(int fd)
{
	(void)fd;
	return fake.disk_left != 0 ||
	       (!file_is_dense() &&
		file_blocks() + DISK_NEARLY_FULL > fake.disk_begin + fake.disk_bytes);
}

/* Of a memfd all that was reserved is there. */
int __wrap_os_populate(uint64_t addr, uint64_t len)
{
	(void)addr;
	answer(len);
	if (!fault_now())
		return 0;
	fake.ran_full = true;
	errno = ENOSPC;
	return -1;
}
