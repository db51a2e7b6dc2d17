/* SPDX-License-Identifier: MIT */
/*
 * Scratch files, headers, options, patterns, and short forms of calls.  See support.h.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

static char scratch_base[256];
static char scratch_dir[512];

_Noreturn void give_up(const char *what, const char *about)
{
	fprintf(stderr, "test support: %s %s: %s\n", what, about, strerror(errno));
	abort();
}

/* ---- Scratch files ------------------------------------------------------- */

bool scratch_in(const char *base)
{
	if (base == NULL)
		base = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
	snprintf(scratch_base, sizeof(scratch_base), "%s", base);
	return access(scratch_base, W_OK | X_OK) == 0;
}

int scratch_begin(void **state)
{
	(void)state;
	if (scratch_base[0] == '\0')
		scratch_in(NULL);
	snprintf(scratch_dir, sizeof(scratch_dir), "%s/qalloc-test-XXXXXX", scratch_base);
	if (mkdtemp(scratch_dir) == NULL)
		give_up("mkdtemp", scratch_dir);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

int scratch_end(void **state)
{
	(void)state;
	qalloc_cleanup();
	return nftw(scratch_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *scratch(const char *name)
{
	static char paths[16][1024];
	static unsigned next;
	char *path = paths[next++ % 16];
	snprintf(path, sizeof(paths[0]), "%s/%s", scratch_dir, name);
	return path;
}

static void write_at(const char *path, int flags, uint64_t off, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0600);
	if (fd < 0)
		give_up("open", path);
	if (pwrite(fd, bytes, len, (off_t)off) != (ssize_t)len)
		give_up("pwrite", path);
	close(fd);
}

void write_file(const char *path, const void *bytes, size_t len)
{
	write_at(path, O_CREAT | O_TRUNC, 0, bytes, len);
}

void patch_file(const char *path, uint64_t off, const void *bytes, size_t len)
{
	write_at(path, 0, off, bytes, len);
}

void read_file(const char *path, uint64_t off, void *bytes, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		give_up("open", path);
	if (pread(fd, bytes, len, (off_t)off) != (ssize_t)len)
		give_up("pread", path);
	close(fd);
}

static struct stat stat_of(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0)
		give_up("stat", path);
	return st;
}

void write_word(const char *path, uint64_t off, uint64_t value)
{
	patch_file(path, off, &value, sizeof(value));
}

uint64_t read_word(const char *path, uint64_t off)
{
	uint64_t value;

	read_file(path, off, &value, sizeof(value));
	return value;
}

uint64_t file_size(const char *path)
{
	return (uint64_t)stat_of(path).st_size;
}

uint64_t file_disk_bytes(const char *path)
{
	return (uint64_t)stat_of(path).st_blocks * 512;
}

bool file_exists(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0;
}

uint32_t file_checksum(const char *path)
{
	size_t len = (size_t)file_size(path);
	uint8_t *bytes = malloc(len + 1);
	if (bytes == NULL)
		give_up("malloc", path);
	read_file(path, 0, bytes, len);
	uint32_t crc = own_crc32c(bytes, len);
	free(bytes);
	return crc;
}

/* ---- Headers ------------------------------------------------------------- */

uint32_t own_crc32c(const uint8_t *bytes, size_t len)
{
	uint32_t crc = UINT32_MAX;
	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1u)));
	}
	return ~crc;
}

void put_le(uint8_t *bytes, size_t len, uint64_t value)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
}

uint64_t get_le(const uint8_t *bytes, size_t len)
{
	uint64_t value = 0;
	for (size_t i = 0; i < len; i++)
		value |= (uint64_t)bytes[i] << (8 * i);
	return value;
}

void repair_header(uint8_t *header)
{
	put_le(header + 252, 4, own_crc32c(header + 8, 244));
}

/* ---- Options -------------------------------------------------------------- */

bool take_number(const struct number *table, size_t count, char **argv, int *i)
{
	for (size_t n = 0; n < count; n++) {
		if (strcmp(argv[*i], table[n].name) == 0 && argv[*i + 1] != NULL) {
			*table[n].value = strtoul(argv[++*i], NULL, 10);
			return *table[n].value >= 1 && *table[n].value <= table[n].most;
		}
	}
	return false;
}

/* ---- Data ----------------------------------------------------------------- */

uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t pattern_word(size_t i, uint64_t seed)
{
	return (seed + 1) * 0x9E3779B97F4A7C15u + i * 0xBF58476D1CE4E5B9u;
}

void fill(void *block, size_t size, uint64_t seed)
{
	uint8_t *bytes = block;
	for (size_t i = 0; i < size; i += 8) {
		uint64_t word = pattern_word(i, seed);
		memcpy(bytes + i, &word, size - i < 8 ? size - i : 8);
	}
}

bool is_filled(const void *block, size_t size, uint64_t seed)
{
	const uint8_t *bytes = block;
	for (size_t i = 0; i < size; i += 8) {
		uint64_t word = pattern_word(i, seed);
		if (memcmp(bytes + i, &word, size - i < 8 ? size - i : 8) != 0)
			return false;
	}
	return true;
}

bool is_zero(const void *block, size_t size)
{
	const uint8_t *bytes = block;
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

bool under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");
	return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

bool under_sanitizer(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
	__has_feature(memory_sanitizer)
	return true;
#else
	return false;
#endif
#else
	return false;
#endif
}

/* ---- Libqalloc ------------------------------------------------------------ */

struct qalloc_info info_of(void *map)
{
	struct qalloc_info info = {.size = sizeof(info)};
	if (qalloc_mapinfo(map, &info) != 0) {
		fprintf(stderr, "qalloc_mapinfo: %s\n", qalloc_errmsg());
		abort();
	}
	return info;
}

int errno_of(int error)
{
	switch (error) {
	case QALLOC_OK:
	case QALLOC_ESYSTEM:
	case QALLOC_ESIZE:
		return 0;
	case QALLOC_EHANDLE:
		return EBADF;
	case QALLOC_EREADONLY:
		return EROFS;
	case QALLOC_EMISSING:
	case QALLOC_EROOTABSENT:
		return ENOENT;
	case QALLOC_EEXIST:
	case QALLOC_ETAKEN:
		return EEXIST;
	case QALLOC_ESYMLINK:
		return ELOOP;
	case QALLOC_EOWNER:
	case QALLOC_EWRITABLE:
		return EPERM;
	case QALLOC_ENETWORK:
	case QALLOC_EFEATURE:
		return EOPNOTSUPP;
	case QALLOC_ELIMIT:
		return EFBIG;
	case QALLOC_EREPLACED:
		return ESTALE;
	case QALLOC_ECREATING:
	case QALLOC_EBUSY:
	case QALLOC_EROOTVALUE:
		return EAGAIN;
	case QALLOC_EINUSE:
		return EBUSY;
	case QALLOC_ESLOTS:
		return EUSERS;
	case QALLOC_EFULL:
		return ENOMEM;
	case QALLOC_ENOSPACE:
	case QALLOC_EROOTFULL:
		return ENOSPC;
	case QALLOC_ECORRUPT:
		return EUCLEAN;
	case QALLOC_EPOISONED:
		return EIO;
	default:
		return EINVAL;
	}
}

bool says(const char *needle)
{
	return strcasestr(qalloc_errmsg(), needle) != NULL;
}

bool says_number(uint64_t number)
{
	char decimal[32], hexadecimal[32];
	snprintf(decimal, sizeof(decimal), "%llu", (unsigned long long)number);
	snprintf(hexadecimal, sizeof(hexadecimal), "%llx", (unsigned long long)number);
	return says(decimal) || says(hexadecimal);
}

struct qalloc_options options_for(uint64_t flags)
{
	return (struct qalloc_options){.size = sizeof(struct qalloc_options), .flags = flags};
}

struct qalloc_options dynamic_options(uint64_t flags, size_t filesize, size_t streams)
{
	struct qalloc_options options = options_for(flags);
	options.kind = QALLOC_DYNAMIC;
	options.filesize = (off_t)filesize;
	options.streams = streams;
	return options;
}

struct qalloc_options static_options(uint64_t flags, size_t filesize, size_t itemsize,
				     size_t streams)
{
	struct qalloc_options options = dynamic_options(flags, filesize, streams);
	options.kind = QALLOC_STATIC;
	options.itemsize = itemsize;
	return options;
}

void *patient_malloc(void *map, size_t size)
{
	for (;;) {
		void *block = qalloc_malloc(map, size);
		if (block != NULL || qalloc_error() != QALLOC_EBUSY)
			return block;
	}
}

static int count_one(void *block, size_t size, void *arg)
{
	(void)block;
	(void)size;
	++*(size_t *)arg;
	return 0;
}

size_t count_live(void *map)
{
	size_t count = 0;
	if (qalloc_walk(map, count_one, &count) != 0)
		give_up("qalloc_walk", qalloc_errmsg());
	return count;
}

void print_finding(const char *finding, void *arg)
{
	(void)arg;
	fprintf(stderr, "qalloc_check: %s\n", finding);
}
