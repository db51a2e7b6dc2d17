/* SPDX-License-Identifier: MIT */
/*
 * Creation.  Nobody ever sees half a map, and nobody waits for a dead creator.
 *
 *  - An absent file is built without a name, and linked when it is complete.
 *  - An empty file (or one that is all hole) is built in place, under a lock on
 *    its first byte: a header that says "being created", then the size, then
 *    one store that says "complete".  What a dead creator left is built anew.
 *  - A file with data that is not ours is never written to.
 */
#include <errno.h>
#include <string.h>

#include "map.h"

#define CREATE_WAIT_USEC 1000000u
#define CREATE_POLL_USEC 2000u
#define BASE_TRIES 64u

struct window {
	uint64_t start, end;
};

/*
 * Where new maps go.  The first suits ThreadSanitizer too; the second plain programs,
 * AddressSanitizer, MemorySanitizer and valgrind; the third is for maps over 4 TiB.
 */
static const struct window windows[] = {
	{0x550000000000, 0x555555554000},
	{0x510000000000, 0x550000000000},
	{0x110000000000, 0x510000000000},
};

/* Present, and not NULL, in a program that runs under ThreadSanitizer. */
extern void __tsan_init(void) __attribute__((weak));

/* What of user space ThreadSanitizer lets a program map (x86-64). */
static const struct window tsan_windows[] = {
	{0x000000001000, 0x008000000000},
	{0x550000000000, 0x568000000000},
	{0x7e8000000000, 0x800000000000},
};

static uint64_t span_of_map(uint64_t size)
{
	return (size + GRANULE - 1) / GRANULE * GRANULE + GUARD_BYTES;
}

static bool tsan_allows(uint64_t base, uint64_t bytes)
{
	for (size_t i = 0; i < sizeof(tsan_windows) / sizeof(tsan_windows[0]); i++) {
		if (base >= tsan_windows[i].start && base + bytes <= tsan_windows[i].end) {
			return true;
		}
	}
	return false;
}

int base_allowed(const char *path, uint64_t base, uint64_t size)
{
	if (__tsan_init == NULL || tsan_allows(base, span_of_map(size))) {
		return 0;
	}
	return err_fail(QALLOC_EADDRWINDOW,
			"%s: address: %x with %u bytes is outside what ThreadSanitizer lets a "
			"program map",
			path, base, size);
}

uint64_t base_choose(int fd, uint64_t size, bool writable)
{
	uint64_t bytes = span_of_map(size);

	for (size_t w = 0; w < sizeof(windows) / sizeof(windows[0]); w++) {
		uint64_t room = windows[w].end - windows[w].start;

		for (uint32_t i = 0; bytes <= room && i < BASE_TRIES; i++) {
			uint64_t chance = 0;

			os_random(&chance, sizeof(chance));
			uint64_t base = windows[w].start +
					chance % ((room - bytes) / GRANULE + 1) * GRANULE;

			if (__tsan_init != NULL && !tsan_allows(base, bytes)) {
				break;
			}
			if (os_map_file(fd, base, size, GUARD_BYTES, writable) == 0) {
				return base;
			}
			if (errno != EEXIST) {
				return 0;
			}
		}
	}
	errno = ENOMEM;
	return 0;
}

static const char *field_text(enum qalloc_err code)
{
	switch (code) {
	case QALLOC_EKIND:
		return "kind";
	case QALLOC_EFLAGS:
		return "flags";
	case QALLOC_EFILESIZE:
		return "file size";
	case QALLOC_EITEMSIZE:
		return "item size";
	case QALLOC_ESTREAMS:
		return "streams";
	default:
		return "address";
	}
}

static int file_size_fail(const char *path, const struct params *p, uint64_t actual_size)
{
	if (p->file_size <= QALLOC_FILESIZE_MAX && p->file_size != actual_size) {
		return err_fail(QALLOC_EFILESIZE, "%s: file size: header says %u, file has %u",
				path, p->file_size, actual_size);
	}
	uint64_t wanted = p->kind == QALLOC_STATIC ? geo_static_size(p->item_size, 1, p->streams)
						   : geo_dynamic_size(1, p->streams);

	return err_fail(QALLOC_EFILESIZE, "%s: file size: %u, wanted %u to %u for these parameters",
			path, p->file_size, wanted, (uint64_t)QALLOC_FILESIZE_MAX);
}

int params_fail(enum qalloc_err code, const char *path, const struct params *p,
		uint64_t actual_size)
{
	const char *field = field_text(code);

	switch (code) {
	case QALLOC_EFILESIZE:
		return file_size_fail(path, p, actual_size);
	case QALLOC_EKIND:
		return err_fail(code, "%s: %s: %u, wanted 1 (static) or 2 (dynamic)", path, field,
				(uint64_t)p->kind);
	case QALLOC_EFLAGS:
		return err_fail(code, "%s: %s: %x, known are %x", path, field, p->flags,
				(uint64_t)MAP_FLAGS_KNOWN);
	case QALLOC_EITEMSIZE:
		return err_fail(
			code,
			"%s: %s: %u in a file of %u bytes, wanted 1 or more in a static map "
			"and one item to fit, 0 in a dynamic map",
			path, field, p->item_size, p->file_size);
	case QALLOC_ESTREAMS:
		return err_fail(code, "%s: %s: %u, wanted 1 to %u", path, field,
				(uint64_t)p->streams, (uint64_t)QALLOC_STREAMS_MAX);
	case QALLOC_EADDRNULL:
		return err_fail(code, "%s: %s: 0, wanted one from %x", path, field,
				(uint64_t)ADDR_MIN);
	case QALLOC_EADDRALIGN:
		return err_fail(code, "%s: %s: %x, wanted a multiple of %x", path, field, p->base,
				(uint64_t)GRANULE);
	case QALLOC_EADDRWINDOW:
	case QALLOC_EADDRWRAP:
		return err_fail(code, "%s: %s: %x with %u bytes, wanted within %x to %x", path,
				field, p->base, p->file_size, (uint64_t)ADDR_MIN,
				(uint64_t)ADDR_END);
	default:
		return err_fail(code, "%s: %s", path, qalloc_strerror((int)code));
	}
}

/* The parameters of the map to be; the base is still missing. */
static int request_params(const struct request *req, struct params *p)
{
	memset(p, 0, sizeof(*p));
	p->file_size = req->file_size;
	p->base = req->addr;
	p->item_size = req->item_size;
	p->flags = (req->flags & QALLOC_ZERO_ON_FREE) != 0 ? MAP_FLAG_ZERO_ON_FREE : 0;
	p->created = os_clock_sec();
	p->kind = req->kind > UINT32_MAX ? UINT32_MAX : (uint32_t)req->kind;
	p->streams = req->streams > UINT32_MAX ? UINT32_MAX : (uint32_t)req->streams;
	os_random(p->uuid, sizeof(p->uuid));

	/* Everything but the base is checked before the file system is touched. */
	struct params probe = *p;

	probe.base = p->base != 0 ? p->base : windows[2].start;
	enum qalloc_err rule = params_check(&probe);

	if (rule != QALLOC_OK) {
		return params_fail(rule, req->path, &probe, probe.file_size);
	}
	if (req->file_size > os_size_limit()) {
		return err_fail(QALLOC_ELIMIT, "%s: file size: %u, RLIMIT_FSIZE allows %u",
				req->path, req->file_size, os_size_limit());
	}
	return 0;
}

/* Finds the address of a new map, and holds it. */
static int choose_base(struct request *req, int fd, struct params *p)
{
	if (p->base != 0) {
		return base_allowed(req->path, p->base, p->file_size);
	}
	request_release(req);
	p->base = base_choose(fd, p->file_size, true);
	if (p->base == 0) {
		return err_fail(QALLOC_ESYSTEM, "%s: no free address range of %u bytes: %e",
				req->path, p->file_size);
	}
	req->held_base = p->base;
	req->held_size = p->file_size;
	return 0;
}

static int write_fail(const struct request *req, const char *what)
{
	if (errno == ENOSPC || errno == EDQUOT) {
		return err_fail_errno(QALLOC_ENOSPACE, errno, "%s: %s: %e", req->path, what);
	}
	return err_fail(QALLOC_ESYSTEM, "%s: %s: %e", req->path, what);
}

/* Everything but the word that says "complete". */
static int build(const struct request *req, int fd, const struct params *p)
{
	uint8_t header[HDR_BYTES];
	struct geo g;

	hdr_encode(p, header);
	if (geo_compute(p, &g) != QALLOC_OK) {
		return err_fail(QALLOC_ECORRUPT, "%s: parameters without a geometry", req->path);
	}
	memcpy(header, HDR_MAGIC_CREATING, 8);
	if (os_write_at(fd, header, sizeof(header), 0) != 0) {
		return write_fail(req, "writing the header");
	}
	if (os_set_size(fd, p->file_size) != 0) {
		return write_fail(req, "setting the size");
	}
	if (os_reserve(fd, 0, g.words_off) != 0 && errno != EOPNOTSUPP) {
		return write_fail(req, "reserving disk space");
	}
	memcpy(header, HDR_MAGIC_DONE, 8);
	if (os_write_at(fd, header, sizeof(header), HDR_BACKUP_OFF) != 0) {
		return write_fail(req, "writing the backup of the header");
	}
	/* The header is on disk before the word that vouches for it. */
	return os_sync_file(fd) != 0 ? write_fail(req, "fsync") : 0;
}

/* The one store.  From here on others may use the map, so nothing is undone any more. */
static int complete(const struct request *req, int fd)
{
	if (os_write_at(fd, HDR_MAGIC_DONE, 8, HDR_MAGIC) != 0 || os_sync_file(fd) != 0) {
		return write_fail(req, "completing the header");
	}
	return 0;
}

/* An empty file, to be built in place. */
static int create_empty(const struct request *req)
{
	int fd = os_open(req->path, OS_WRITE | OS_CREATE_NEW);

	if (fd >= 0) {
		return fd;
	}
	return err_fail(errno == EEXIST ? QALLOC_EEXIST : QALLOC_ESYSTEM, "%s: creating: %e",
			req->path);
}

int create_named(struct request *req)
{
	struct params p;

	if (request_params(req, &p) != 0) {
		return -1;
	}
	int fd = os_open_unnamed(req->path);

	if (fd < 0) {
		if (errno != EOPNOTSUPP && errno != EISDIR) {
			return err_fail(QALLOC_ESYSTEM, "%s: creating: %e", req->path);
		}
		return create_empty(req); /* This file system has no unnamed files. */
	}
	if (choose_base(req, fd, &p) != 0 || build(req, fd, &p) != 0 || complete(req, fd) != 0) {
		/* What is held is a mapping of this file, and of no other. */
		request_release(req);
		os_close(fd);
		return -1;
	}
	if (os_link_unnamed(fd, req->path) != 0) {
		int number = errno;

		request_release(req);
		os_close(fd);
		errno = number;
		if (number == ENOENT) {
			return create_empty(req); /* No /proc. */
		}
		return err_fail(number == EEXIST ? QALLOC_EEXIST : QALLOC_ESYSTEM,
				"%s: naming the new file: %e", req->path);
	}
	/* The map exists; only its name may be lost with the power, and no call promised it. */
	(void)os_sync_dir(req->path);
	return fd;
}

/* Whether [from, to) of the file has only zero bytes.  Reads what is allocated, no more. */
static bool is_zero(int fd, uint64_t from, uint64_t to)
{
	static const uint8_t zeros[4096];
	uint8_t bytes[4096];

	while (from < to) {
		size_t got = 0;

		if (os_next_data(fd, from, &from) != 0) {
			return false;
		}
		if (from >= to) {
			return true;
		}
		if (os_read_at(fd, bytes, (size_t)min_u64(sizeof(bytes), to - from), from, &got) !=
			    0 ||
		    memcmp(bytes, zeros, got) != 0) {
			return false;
		}
		if (got == 0) {
			return true;
		}
		from += got;
	}
	return true;
}

enum leftover { LEFT_BLANK, LEFT_UNFINISHED, LEFT_COMPLETE, LEFT_FOREIGN };

/* What the file holds, decided under the creation lock. */
static enum leftover leftover_of(int fd, uint64_t size)
{
	uint8_t magic[8] = {0};
	size_t got = 0;
	uint64_t data = 0;

	if (size == 0 || (os_next_data(fd, 0, &data) == 0 && data == UINT64_MAX)) {
		return LEFT_BLANK;
	}
	if (os_read_at(fd, magic, sizeof(magic), 0, &got) != 0 || got < sizeof(magic)) {
		return LEFT_FOREIGN;
	}
	if (memcmp(magic, HDR_MAGIC_DONE, 8) == 0) {
		return LEFT_COMPLETE;
	}
	if (memcmp(magic, HDR_MAGIC_CREATING, 8) == 0 &&
	    is_zero(fd, HDR_BYTES, min_u64(size, HDR_BACKUP_OFF)) &&
	    is_zero(fd, HDR_BACKUP_OFF + HDR_BYTES, size)) {
		return LEFT_UNFINISHED;
	}
	return LEFT_FOREIGN;
}

static int create_locked(struct request *req, int fd)
{
	struct os_file file;
	struct params p;

	if (os_identify(fd, &file) != 0) {
		return err_fail(QALLOC_ESYSTEM, "%s: fstat: %e", req->path);
	}
	switch (leftover_of(fd, file.size)) {
	case LEFT_COMPLETE:
		return 0;
	case LEFT_FOREIGN:
		return err_fail(QALLOC_EMAGIC, "%s: magic: the file has data, and is not a map",
				req->path);
	default:
		break;
	}
	if (request_params(req, &p) != 0 || choose_base(req, fd, &p) != 0) {
		return -1;
	}
	if (build(req, fd, &p) != 0) {
		/* As it was: empty. */
		int saved = errno;

		(void)os_set_size(fd, 0);
		errno = saved;
		return -1;
	}
	return complete(req, fd);
}

static int create_wait(const struct request *req, int fd)
{
	uint64_t deadline = os_now_usec() + CREATE_WAIT_USEC;

	while (os_lock_byte(fd, LOCK_BYTE_CREATE) != 0) {
		if (errno != EAGAIN && errno != EACCES) {
			return err_fail(QALLOC_ESYSTEM, "%s: locking the file: %e", req->path);
		}
		if (os_now_usec() >= deadline) {
			return err_fail(QALLOC_EINUSE,
					"%s: another process has been creating this map for over "
					"a second",
					req->path);
		}
		os_sleep(CREATE_POLL_USEC);
	}
	return 0;
}

/* A child that is born meanwhile would share the lock, and outlive us with it. */
int create_in_place(struct request *req, int fd)
{
	os_fork_hold();
	int result = create_wait(req, fd);

	if (result == 0) {
		result = create_locked(req, fd);
		int saved = errno;

		os_unlock_byte(fd, LOCK_BYTE_CREATE);
		errno = saved;
	}
	os_fork_release();
	return result;
}
