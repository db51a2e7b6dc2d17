/* SPDX-License-Identifier: MIT */
/*
 * System calls that fail.  Linked with --wrap (wrapped.txt): the library calls these, and the n-th
 * call after fake.fault_in was set to n fails with fake.fault_errno, without having done anything.
 *
 *  - What cannot fail, or whose failure nobody can answer (close, munmap), is not here.
 */
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <fcntl.h>
#include <unistd.h>

#define PRIVATE_MAX 64u

int __real_os_open(const char *path, unsigned flags);
int __real_os_reopen(int fd, bool writable);
int __real_os_identify(int fd, struct os_file *out);
int __real_os_is_network(int fd, bool *network);
int __real_os_read_at(int fd, void *buf, size_t len, uint64_t off, size_t *got);
int __real_os_write_at(int fd, const void *buf, size_t len, uint64_t off);
int __real_os_set_size(int fd, uint64_t size);
int __real_os_next_data(int fd, uint64_t off, uint64_t *found);
int __real_os_next_hole(int fd, uint64_t off, uint64_t *found);
int __real_os_sync_file(int fd);
int __real_os_lock_byte(int fd, uint64_t off);
int __real_os_locked_in(int fd, uint64_t off, uint64_t len, bool *locked, uint64_t *where);
void *__real_os_pin_locks(int fd);
void *__real_os_map_private(size_t size);
void *__real_os_map_wiped(size_t size);
void __real_os_unmap(void *addr, size_t size);
int __real_os_map_file(int fd, uint64_t base, uint64_t size, uint64_t guard, bool writable);
int __real_os_protect_none(uint64_t addr, uint64_t len);
int __real_os_sync_mapping(uint64_t addr, uint64_t len);
int __real_os_drop_pages(uint64_t addr, uint64_t len);

int __wrap_os_open(const char *path, unsigned flags);
int __wrap_os_reopen(int fd, bool writable);
int __wrap_os_identify(int fd, struct os_file *out);
int __wrap_os_is_network(int fd, bool *network);
int __wrap_os_read_at(int fd, void *buf, size_t len, uint64_t off, size_t *got);
int __wrap_os_write_at(int fd, const void *buf, size_t len, uint64_t off);
int __wrap_os_set_size(int fd, uint64_t size);
int __wrap_os_next_data(int fd, uint64_t off, uint64_t *found);
int __wrap_os_next_hole(int fd, uint64_t off, uint64_t *found);
int __wrap_os_sync_file(int fd);
int __wrap_os_lock_byte(int fd, uint64_t off);
int __wrap_os_locked_in(int fd, uint64_t off, uint64_t len, bool *locked, uint64_t *where);
void *__wrap_os_pin_locks(int fd);
void *__wrap_os_map_private(size_t size);
void *__wrap_os_map_wiped(size_t size);
void __wrap_os_unmap(void *addr, size_t size);
int __wrap_os_map_file(int fd, uint64_t base, uint64_t size, uint64_t guard, bool writable);
int __wrap_os_protect_none(uint64_t addr, uint64_t len);
int __wrap_os_sync_mapping(uint64_t addr, uint64_t len);
int __wrap_os_drop_pages(uint64_t addr, uint64_t len);

void fault_arm(uint32_t calls, uint8_t which)
{
	static const int numbers[] = {EIO,    ENOSPC, ENOMEM, EDQUOT,
				      EACCES, EAGAIN, EPERM,  EOPNOTSUPP};

	fake.fault_in = calls;
	fake.fault_errno = numbers[which % (sizeof(numbers) / sizeof(numbers[0]))];
}

bool fault_now(void)
{
	if (fake.fault_in == 0 || --fake.fault_in != 0)
		return false;
	if (fake.fault_more > 0) {
		fake.fault_more--;
		fake.fault_in = 1;
	}
	fake.faulted = true;
	if (fuzz_verbose)
		fuzz_stack();
	errno = fake.fault_errno;
	return true;
}

/* The lowest descriptor that is free. */
static int descriptor_free(int fd)
{
	int now = fcntl(fd, F_DUPFD, 0);

	FUZZ_CHECK(now >= 0 && close(now) == 0);
	return now;
}

static void descriptor_show(int fd)
{
	char path[32], target[256] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (readlink(path, target, sizeof(target) - 1) > 0)
		fprintf(stderr, "%d: %s\n", fd, target);
}

static int free_before;

void fault_open(const struct image *image, int fd)
{
	uint32_t calls = (image->control & CONTROL_FAULT) >> 4;

	if (calls != 0 && (image->control & CONTROL_LATE) != 0)
		calls += 15;
	fault_arm(calls, (uint8_t)image->program.left);
	fake.other_user = (image->control & CONTROL_HOLES) != 0;
	/* Anew for each input: between two the engine may have opened something, a symbolizer's pipe say. */
	free_before = descriptor_free(fd);
}

void fault_settle(int fd)
{
	fake.fault_in = 0;
	int now = descriptor_free(fd);

	for (int i = 0; !fake.doubted && now != free_before && i <= now; i++)
		descriptor_show(i);
	FUZZ_CHECK(fake.doubted || now == free_before);
}

int __wrap_os_open(const char *path, unsigned flags)
{
	return fault_now() ? -1 : __real_os_open(path, flags);
}

int __wrap_os_reopen(int fd, bool writable)
{
	return fault_now() ? -1 : __real_os_reopen(fd, writable);
}

/*
 * Some faults are not failures: the file is not the one that it should be.  Or, where root is
 * somebody else, it is allowed as the harness's own file is not: one's own, or with a name.
 */
static bool tell_lies(struct os_file *out, int kind)
{
	bool allowed = fake.other_user;

	switch (kind) {
	case EPERM:
		out->owner = allowed ? os_user() : os_user() + 1;
		return true;
	case EACCES:
		out->mode = allowed ? out->mode & ~022u : out->mode | 022u;
		out->unlinked = false;
		return true;
	case EAGAIN:
		out->kind = OS_OTHER;
		return true;
	case EOPNOTSUPP:
		out->inode++;
		return true;
	case EDQUOT:
		out->writable = false;
		return true;
	case ENOSPC:
		out->readable = false;
		return true;
	default:
		return false;
	}
}

int __wrap_os_identify(int fd, struct os_file *out)
{
	int saved = errno;

	if (!fault_now())
		return __real_os_identify(fd, out);
	/* A descriptor that may be another file's by now is not closed. */
	fake.doubted = true;
	if (__real_os_identify(fd, out) == 0 && tell_lies(out, fake.fault_errno)) {
		errno = saved;
		return 0;
	}
	errno = fake.fault_errno;
	return -1;
}

int __wrap_os_is_network(int fd, bool *network)
{
	int saved = errno;

	if (!fault_now())
		return __real_os_is_network(fd, network);
	if (fake.fault_errno != EOPNOTSUPP)
		return -1;
	*network = true;
	errno = saved;
	return 0;
}

int __wrap_os_read_at(int fd, void *buf, size_t len, uint64_t off, size_t *got)
{
	*got = 0;
	/* Whoever copies a table looks at all of it. */
	fake.loads += len / 8;
	return fault_now() ? -1 : __real_os_read_at(fd, buf, len, off, got);
}

int __wrap_os_write_at(int fd, const void *buf, size_t len, uint64_t off)
{
	return fault_now() ? -1 : __real_os_write_at(fd, buf, len, off);
}

int __wrap_os_set_size(int fd, uint64_t size)
{
	return fault_now() ? -1 : __real_os_set_size(fd, size);
}

int __wrap_os_next_data(int fd, uint64_t off, uint64_t *found)
{
	return fault_now() ? -1 : __real_os_next_data(fd, off, found);
}

int __wrap_os_next_hole(int fd, uint64_t off, uint64_t *found)
{
	return fault_now() ? -1 : __real_os_next_hole(fd, off, found);
}

int __wrap_os_sync_file(int fd)
{
	/* Nothing here loses power, and fsync() is slow. */
	(void)fd;
	return fault_now() ? -1 : 0;
}

int __wrap_os_lock_byte(int fd, uint64_t off)
{
	return fault_now() ? -1 : __real_os_lock_byte(fd, off);
}

int __wrap_os_locked_in(int fd, uint64_t off, uint64_t len, bool *locked, uint64_t *where)
{
	return fault_now() ? -1 : __real_os_locked_in(fd, off, len, locked, where);
}

void *__wrap_os_pin_locks(int fd)
{
	return fault_now() ? NULL : __real_os_pin_locks(fd);
}

/* Private memory, which ends at a page that nobody may touch. */
static struct private
{
	char *at, *end; /* the page */
}
privates[PRIVATE_MAX];

uint64_t private_bytes(void)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < PRIVATE_MAX; i++)
		bytes += (uint64_t)(privates[i].end - privates[i].at);
	return bytes;
}

static struct private *private_ending(const char *end)
{
	unsigned i = 0;

	while (i < PRIVATE_MAX && privates[i].end != end)
		i++;
	return i < PRIVATE_MAX ? &privates[i] : NULL;
}

void *__wrap_os_map_private(size_t size)
{
	struct private *p = private_ending(NULL);
	char *at = fault_now() ? NULL : __real_os_map_private(page_up(size) + os_page());

	if (at == NULL)
		return NULL;
	FUZZ_CHECK(p != NULL);
	*p = (struct private){.at = at, .end = at + page_up(size)};
	FUZZ_CHECK(__real_os_protect_none((uint64_t)(uintptr_t)p->end, os_page()) == 0);
	return at;
}

/* The page goes with what is before it; of a map's own memory the beginning stays for a while. */
void __wrap_os_unmap(void *addr, size_t size)
{
	char *at = addr;
	struct private *p = private_ending(at + page_up(size));

	if (p == NULL || addr == NULL) {
		__real_os_unmap(addr, size);
		return;
	}
	*p = (struct private){0};
	__real_os_unmap(addr, page_up(size) + os_page());
}

void *__wrap_os_map_wiped(size_t size)
{
	return fault_now() ? NULL : __real_os_map_wiped(size);
}

int __wrap_os_map_file(int fd, uint64_t base, uint64_t size, uint64_t guard, bool writable)
{
	return fault_now() ? -1 : __real_os_map_file(fd, base, size, guard, writable);
}

int __wrap_os_protect_none(uint64_t addr, uint64_t len)
{
	return fault_now() ? -1 : __real_os_protect_none(addr, len);
}

int __wrap_os_sync_mapping(uint64_t addr, uint64_t len)
{
	return fault_now() ? -1 : __real_os_sync_mapping(addr, len);
}

int __wrap_os_drop_pages(uint64_t addr, uint64_t len)
{
	file_punched();
	return fault_now() ? -1 : __real_os_drop_pages(addr, len);
}
