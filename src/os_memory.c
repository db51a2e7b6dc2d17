/* SPDX-License-Identifier: MIT */
/*
 * Memory: private memory, the mapping of a file at its address, pinned locks.
 *
 * Trusts: the kernel; /proc only for the text of os_mapping_at().
 *
 *  - No call replaces a mapping that it did not make itself, in the same call.
 *  - A call that fails leaves the address space as it was.
 */
#include "os.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *pointer_to(uint64_t addr)
{
	return (void *)(uintptr_t)addr; /* NOLINT(performance-no-int-to-ptr) */
}

/* pre: fd is open for reading. */
void *os_pin_locks(int fd)
{
	void *page = mmap(NULL, os_page(), PROT_NONE, MAP_SHARED, fd, 0);

	if (page == MAP_FAILED)
		return NULL;
	if (madvise(page, os_page(), MADV_DONTFORK)) {
		int saved = errno;

		munmap(page, os_page());
		errno = saved;
		return NULL;
	}
	return page;
}

size_t os_page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* pre: size > 0. */
void *os_map_private(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* pre: size > 0. */
void *os_map_wiped(size_t size)
{
	void *p = os_map_private(size);

	if (p && madvise(p, size, MADV_WIPEONFORK)) {
		int saved = errno;

		munmap(p, size);
		errno = saved;
		return NULL;
	}
	return p;
}

/* pre: addr is a multiple of a page, and nobody uses [addr, addr + size) any more. */
void os_unmap(void *addr, size_t size)
{
	int saved = errno;

	(void)munmap(addr, size);
	errno = saved;
}

/* pre: base and guard are multiples of a page, size > 0. */
int os_map_file(int fd, uint64_t base, uint64_t size, uint64_t guard, bool writable)
{
	uint64_t page = os_page(), whole, end;
	int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	void *got;

	if (size == 0 || base % page || guard % page ||
	    __builtin_add_overflow(size, page - 1, &whole) ||
	    __builtin_add_overflow(whole - whole % page, guard, &whole) ||
	    __builtin_add_overflow(base, whole, &end)) {
		errno = EINVAL;
		return -1;
	}
	got = mmap(pointer_to(base), whole, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (got == MAP_FAILED)
		return -1;
	if (got != pointer_to(base)) {
		/* A kernel before 4.17 takes the address as a hint. */
		munmap(got, whole);
		errno = EEXIST;
		return -1;
	}
	if (mmap(got, size, protection, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
		int saved = errno;

		munmap(got, whole);
		errno = saved;
		return -1;
	}
	return 0;
}

/* pre: nobody uses what os_map_file() mapped any more; size is a multiple of a page. */
int os_unmap_file(uint64_t base, uint64_t size)
{
	return munmap(pointer_to(base), size);
}

/* pre: [addr, addr + len) are whole pages of one of our mappings. */
int os_protect_none(uint64_t addr, uint64_t len)
{
	return mprotect(pointer_to(addr), len, PROT_NONE);
}

int os_replace_page(uint64_t addr, uint64_t page, bool writable)
{
	int protection = PROT_READ | (writable ? PROT_WRITE : 0);
	void *p = mmap((void *)(uintptr_t)addr, page, protection,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? -1 : 0;
}

/* pre: [addr, addr + len) begins at a page of one of our mappings and stays in it. */
int os_sync_mapping(uint64_t addr, uint64_t len)
{
	int cancel = os_cancel_off();
	int saved = errno, rc;

	do
		rc = msync(pointer_to(addr), len, MS_SYNC);
	while (os_interrupted(rc, saved));
	os_cancel_restore(cancel);
	return rc;
}

/* pre: [addr, addr + len) are whole pages of a writable shared mapping of ours. */
int os_drop_pages(uint64_t addr, uint64_t len)
{
	int saved = errno, rc;

	do
		rc = madvise(pointer_to(addr), len, MADV_REMOVE);
	while (os_interrupted(rc, saved));
	return rc;
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* pre: [addr, addr + len) lies in a writable shared mapping of ours. */
int os_populate(uint64_t addr, uint64_t len)
{
	uint64_t page = os_page(), from = addr / page * page;
	int saved = errno, rc;

	do
		rc = madvise(pointer_to(from), addr + len - from, MADV_POPULATE_WRITE);
	while (os_interrupted(rc, saved));
	if (rc && errno == EFAULT) {
		errno = ENOSPC;
		return -1;
	}
	errno = saved;
	return 0;
}

/* Reads hexadecimal digits at *text and moves it behind them. */
static uint64_t parse_hex(const char **text)
{
	uint64_t value = 0;

	for (;; (*text)++) {
		char c = **text;

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint64_t)(c - 'a' + 10);
		else
			return value;
	}
}

/* Whether the range at the head of a line of /proc/self/maps meets [addr, end). */
static bool line_overlaps(const char *text, uint64_t addr, uint64_t end)
{
	uint64_t from = parse_hex(&text);

	if (*text++ != '-')
		return false;
	return from < end && addr < parse_hex(&text);
}

/* pre: `line` has `room` bytes, room > 0. */
void os_mapping_at(uint64_t addr, uint64_t len, char *line, size_t room)
{
	int cancel = os_cancel_off();
	int saved = errno, fd = os_open("/proc/self/maps", 0);
	uint64_t end = len <= UINT64_MAX - addr ? addr + len : UINT64_MAX;
	char chunk[1024], text[256];
	size_t used = 0;
	ssize_t n = fd < 0 ? 0 : 1;

	line[0] = '\0';
	while (!line[0] && n != 0) {
		n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno != EINTR)
			break;
		for (ssize_t i = 0; i < n && !line[0]; i++) {
			if (chunk[i] != '\n') {
				if (used < sizeof(text) - 1)
					text[used++] = chunk[i];
				continue;
			}
			text[used] = '\0';
			if (line_overlaps(text, addr, end)) {
				size_t copy = used < room ? used : room - 1;

				memcpy(line, text, copy);
				line[copy] = '\0';
			}
			used = 0;
		}
	}
	os_close(fd);
	os_cancel_restore(cancel);
	errno = saved;
}
