/* SPDX-License-Identifier: MIT */
/*
 * What both interpreters of programs need: threads that are not there, sizes, and what an
 * error must look like.
 */
#include "fuzz.h"

#include <errno.h>
#include <unistd.h>

/* A number that no call sets. */
#define ERRNO_UNTOUCHED 7777

static struct thread *threads[FUZZ_THREADS];

void thread_become(unsigned index)
{
	for (unsigned i = 0; threads[FUZZ_THREADS - 1] == NULL && i < FUZZ_THREADS; i++) {
		os_thread_set(NULL, 0);
		threads[i] = thread_self();
	}
	os_thread_set(threads[index % FUZZ_THREADS], sizeof(struct thread));
}

uint64_t thread_owner(const struct map *m, unsigned index)
{
	return m->self->owner | threads[index % FUZZ_THREADS]->number;
}

uint64_t dead_owner(unsigned chance)
{
	uint64_t slot = 1 + chance / 2 % (QALLOC_PROCESSES_MAX - 1);

	/* With the slot's epoch right, only the lock of the slot tells that it is dead. */
	if ((chance & 1) != 0)
		file_put(LOCK_BYTE_SLOT(slot), 5);
	return (uint64_t)5 << 32 | slot << OWNER_THREAD_BITS | 1;
}

size_t take_size(struct input *in, const struct map *m)
{
	static const uint16_t steps[] = {0, 1, 8, 16, 17, 128, 129, 1024, 1025, 2048, 2049, 4096};
	uint64_t data = m->geo.data_end - m->geo.data_off;
	uint64_t span = m->geo.span_bytes;
	uint8_t how = take_u8(in);

	switch (how >> 5) {
	case 0:
	case 1:
	case 2:
		return (size_t)how * 7 % 256;
	case 3:
		return steps[how % (sizeof(steps) / sizeof(steps[0]))];
	case 4:
		return (size_t)take_bytes(in, 2);
	case 5:
		return (size_t)(span / 2 * (how % 16u) + (how & 16u) / 16);
	case 6:
		return (size_t)(data / (1 + how % 16u) + (how & 16u) / 16);
	default:
		return how == 0xFF ? SIZE_MAX : (size_t)take_bytes(in, 1 + how % 8);
	}
}

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#define FUZZ_MSAN 1
void __msan_check_mem_is_initialized(const volatile void *x, size_t size);
#endif
#endif

void expect_initialized(const struct map *m)
{
#ifdef FUZZ_MSAN
	const char *base = (const char *)(uintptr_t)m->base;
	off_t from = 0, to = 0;

	/* Nobody wrote what is a hole.  What is data is little: disks are small. */
	while ((from = lseek(m->fd, to, SEEK_DATA)) >= 0 && (uint64_t)from < m->geo.file_size) {
		to = lseek(m->fd, from, SEEK_HOLE);
		__msan_check_mem_is_initialized(
			base + from, min_u64((uint64_t)to, m->geo.file_size) - (uint64_t)from);
	}
	FUZZ_CHECK(from >= 0 || errno == ENXIO || fake.faulted);
#else
	(void)m;
#endif
}

static int error_before;

void call_enter(uint64_t wanted_bytes)
{
	call_begin(wanted_bytes);
	error_before = qalloc_error();
	errno = ERRNO_UNTOUCHED;
}

void expect_success(void)
{
	FUZZ_CHECK(errno == ERRNO_UNTOUCHED && qalloc_error() == error_before);
	answer(0);
	call_end();
}

int expect_failure(void)
{
	int number = errno;
	int error = qalloc_error();

	answer(((uint64_t)error << 32) + (uint64_t)number);
	call_end();
	FUZZ_CHECK(number != 0 && number != ERRNO_UNTOUCHED);
	FUZZ_CHECK(error > QALLOC_OK && error < QALLOC_ERR_COUNT);
	FUZZ_CHECK(qalloc_errmsg()[0] != '\0');
	FUZZ_CHECK(qalloc_strerror(error)[0] != '\0');
	/* No byte of a file makes a system call fail. */
	FUZZ_CHECK(fake.faulted || (error != QALLOC_ESYSTEM && error != QALLOC_EREPLACED));
	return error;
}

void expect(bool success)
{
	if (success)
		expect_success();
	else
		expect_failure();
}
