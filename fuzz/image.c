/* SPDX-License-Identifier: MIT */
/*
 * Inputs, and the files that they describe (fuzz.h has the format).
 *
 *  - Two memfds serve all inputs, one of them the files that have holes.  The other one keeps its
 *    pages from one input to the next, and only its contents are cleared, or only what was
 *    written if the library changed nothing: that is many times faster than a new file.
 *  - The checksum here is not the library's.
 */
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW_BYTES ((uint64_t)1 << 20)

static struct {
	int fd; /* one of the two: */
	int dense_fd, sparse_fd;
	uint64_t size;
	uint8_t *window;   /* the first bytes of the file */
	uint8_t *expected; /* what image_build() wrote there, zeros elsewhere */
	uint64_t expected_end;
	bool untouched; /* the window is still as expected */
	bool sparse;    /* what no patch wrote is a hole */
	bool dense;     /* the library did not make it, nor holes in it */
	uint64_t allocated;
} file = {.fd = -1, .dense_fd = -1, .sparse_fd = -1};

uint64_t take_bytes(struct input *in, unsigned count)
{
	uint64_t value = 0;

	if (in->left >= sizeof(value)) {
		memcpy(&value, in->at, sizeof(value));
		in->at += count;
		in->left -= count;
		return count < 8 ? value & (((uint64_t)1 << 8 * count) - 1) : value;
	}
	for (unsigned i = 0; i < count && in->left > 0; i++, in->at++, in->left--)
		value |= (uint64_t)*in->at << (8 * i);
	return value;
}

struct input input_copy(const uint8_t *data, size_t size)
{
	static uint8_t *room;
	static size_t room_bytes;

	if (room == NULL || size > room_bytes) {
		free(room);
		room_bytes = size < 8192 ? 8192 : size;
		room = malloc(room_bytes);
		FUZZ_CHECK(room != NULL);
	}
	if (size > 0)
		memcpy(room + room_bytes - size, data, size);
	return (struct input){.at = room + room_bytes - size, .left = size};
}

struct image image_parse(struct input in)
{
	struct image image = {.control = take_u8(&in), .options = take_u8(&in)};
	uint64_t program = take_bytes(&in, 2);

	image.file_size = take_bytes(&in, 8) % (IMAGE_SIZE_MAX + 1);
	if (program > in.left)
		program = in.left;
	image.patches = (struct input){.at = in.at, .left = in.left - program};
	image.program = (struct input){.at = in.at + image.patches.left, .left = program};
	return image;
}

bool patch_next(struct input *patches, uint64_t *off, struct input *bytes)
{
	uint64_t length;

	if (patches->left <= PATCH_BYTES)
		return false;
	*off = take_bytes(patches, 6);
	length = take_bytes(patches, 2);
	bytes->at = patches->at;
	bytes->left = length < patches->left ? length : patches->left;
	patches->at += bytes->left;
	patches->left -= bytes->left;
	return true;
}

void put_le(uint8_t *bytes, unsigned count, uint64_t value)
{
	for (unsigned i = 0; i < count; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
}

uint64_t get_le(const uint8_t *bytes, unsigned count)
{
	struct input in = {.at = bytes, .left = count};

	return take_bytes(&in, count);
}

#ifdef __x86_64__
/* The instruction is about ten times as fast as the table. */
__attribute__((target("sse4.2"))) static uint32_t checksum_by_instruction(const uint8_t *header)
{
	uint64_t crc = UINT32_MAX, word;
	uint32_t half;

	for (uint32_t i = 8; i + 8 <= HDR_CRC; i += 8) {
		memcpy(&word, header + i, sizeof(word));
		crc = __builtin_ia32_crc32di(crc, word);
	}
	memcpy(&half, header + HDR_CRC - 4, sizeof(half));
	return __builtin_ia32_crc32si((uint32_t)crc, half) ^ UINT32_MAX;
}
#endif

uint32_t header_checksum(const uint8_t *header)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return checksum_by_instruction(header);
#endif
	static uint32_t table[256];
	uint32_t crc = UINT32_MAX;

	for (uint32_t i = 0; table[255] == 0 && i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ (0x82F63B78u & (0u - (c & 1u)));
		table[i] = c;
	}
	for (uint32_t i = 8; i < HDR_CRC; i++)
		crc = crc >> 8 ^ table[(crc ^ header[i]) & 0xFFu];
	return crc ^ UINT32_MAX;
}

/* Where a patch goes: within the file. */
static uint64_t patch_at(const struct image *image, uint64_t off, struct input *bytes)
{
	off = off < image->file_size ? off : off % image->file_size;
	if (bytes->left > image->file_size - off)
		bytes->left = image->file_size - off;
	return off;
}

void image_header(const struct image *image, uint8_t header[HDR_BYTES])
{
	struct input patches = image->patches, bytes;
	uint64_t off = 0;

	memset(header, 0, HDR_BYTES);
	if (image->file_size == 0)
		return;
	while (patch_next(&patches, &off, &bytes)) {
		off = patch_at(image, off, &bytes);
		if (off < HDR_BYTES)
			memcpy(header + off, bytes.at,
			       bytes.left < HDR_BYTES - off ? bytes.left : HDR_BYTES - off);
	}
	if ((image->control & CONTROL_REPAIR) != 0 && image->file_size >= HDR_BYTES)
		put_le(header + HDR_CRC, 4, header_checksum(header));
}

/* All could write the first one, but nobody can open what has no name. */
static void files_open(void)
{
	file.dense_fd = memfd_create("dense", MFD_CLOEXEC);
	file.sparse_fd = memfd_create("sparse", MFD_CLOEXEC);
	FUZZ_CHECK(file.dense_fd >= 0 && fchmod(file.dense_fd, 0666) == 0);
	FUZZ_CHECK(file.sparse_fd >= 0 && fchmod(file.sparse_fd, 0600) == 0);
	file.window =
		mmap(NULL, WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file.dense_fd, 0);
	file.expected = mmap(NULL, WINDOW_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FUZZ_CHECK(file.window != MAP_FAILED && file.expected != MAP_FAILED);
}

/* Clears the dense file.  The library may have changed its size. */
static void dense_begin(uint64_t size)
{
	static uint64_t size_before;
	uint64_t dirty = size;

	if (file.untouched && size == size_before)
		dirty = min_u64(file.expected_end, size);
	else
		FUZZ_CHECK(ftruncate(file.dense_fd, (off_t)size) == 0);
	memset(file.window, 0, dirty);
	size_before = size;
	file.fd = file.dense_fd;
}

static void file_begin(uint64_t size, bool sparse)
{
	if (file.fd < 0)
		files_open();
	file.untouched = file.untouched && !file.sparse;
	file.sparse = sparse || size > WINDOW_BYTES;
	if (file.sparse) {
		FUZZ_CHECK(ftruncate(file.sparse_fd, 0) == 0);
		FUZZ_CHECK(ftruncate(file.sparse_fd, (off_t)size) == 0);
		file.fd = file.sparse_fd;
	} else {
		dense_begin(size);
	}
	memset(file.expected, 0, file.expected_end);
	file.expected_end = 0;
	file.untouched = false;
	file.size = size;
}

static void file_write(uint64_t off, const void *bytes, size_t count)
{
	if (!file.sparse && off + count <= min_u64(WINDOW_BYTES, file.size))
		memcpy(file.window + off, bytes, count);
	else
		FUZZ_CHECK(pwrite(file.fd, bytes, count, (off_t)off) == (ssize_t)count);
}

static void image_write(uint64_t off, const void *bytes, size_t count)
{
	file_write(off, bytes, count);
	if (off >= WINDOW_BYTES)
		return;
	count = min_u64(count, WINDOW_BYTES - off);
	memcpy(file.expected + off, bytes, count);
	if (off + count > file.expected_end)
		file.expected_end = off + count;
}

static void apply(const struct image *image)
{
	struct input patches = image->patches, bytes;
	uint8_t header[HDR_BYTES];
	uint64_t off = 0;

	if (image->file_size == 0)
		return;
	while (patch_next(&patches, &off, &bytes)) {
		off = patch_at(image, off, &bytes);
		image_write(off, bytes.at, bytes.left);
	}
	if ((image->control & CONTROL_REPAIR) != 0 && image->file_size >= HDR_BYTES) {
		image_header(image, header);
		image_write(HDR_CRC, header + HDR_CRC, 4);
	}
}

int image_build(const struct image *image)
{
	file_begin(image->file_size, (image->control & CONTROL_HOLES) != 0);
	apply(image);
	file.dense = !file.sparse && image->file_size > 0;
	file.allocated = file.dense ? (image->file_size + 4095) / 4096 * 4096 : file_blocks();
	return file.fd;
}

int image_blank(bool holes)
{
	file_begin(0, holes);
	file.dense = false;
	file.allocated = 0;
	return file.fd;
}

uint64_t file_blocks(void)
{
	struct stat st;

	FUZZ_CHECK(fstat(file.fd, &st) == 0);
	return (uint64_t)st.st_blocks * 512;
}

bool file_is_dense(void)
{
	return file.dense;
}

void file_punched(void)
{
	file.dense = false;
}

uint64_t file_allocated(void)
{
	return file.allocated;
}

/* The pages that a sparse file has, within the window. */
static bool sparse_is_unchanged(uint64_t size)
{
	static uint8_t found[WINDOW_BYTES];
	off_t from = 0, to = 0;

	while ((from = lseek(file.fd, to, SEEK_DATA)) >= 0 && (uint64_t)from < size) {
		to = lseek(file.fd, from, SEEK_HOLE);
		uint64_t count = min_u64((uint64_t)to, size) - (uint64_t)from;

		if (pread(file.fd, found, count, from) != (ssize_t)count ||
		    memcmp(found, file.expected + from, count) != 0)
			return false;
	}
	return true;
}

bool image_is_unchanged(const struct image *image)
{
	uint64_t size = min_u64(image->file_size, WINDOW_BYTES);
	struct stat st;

	if (fstat(file.fd, &st) != 0 || (uint64_t)st.st_size != image->file_size)
		return false;
	file.untouched = file.sparse ? sparse_is_unchanged(size)
				     : memcmp(file.expected, file.window, size) == 0;
	return file.untouched;
}

struct qalloc_options image_options(const struct image *image)
{
	struct qalloc_options options = {.size = sizeof(options)};
	uint8_t asked = image->options;

	if ((asked & OPEN_VERIFY) != 0)
		options.flags |= QALLOC_VERIFY;
	if ((asked & OPEN_ZERO_ON_FREE) != 0)
		options.flags |= QALLOC_ZERO_ON_FREE;
	if ((asked & OPEN_READONLY) != 0)
		options.flags |= QALLOC_READONLY;
	if ((asked & OPEN_EXCLUSIVE) != 0)
		options.flags |= QALLOC_EXCLUSIVE;
	if ((asked & OPEN_CREATE) != 0)
		options.flags |= QALLOC_CREATE;
	/* That alone would be refused: it stands for every permission. */
	if ((asked & (OPEN_CREATE | OPEN_EXCLUSIVE | OPEN_STATIC)) ==
	    (OPEN_EXCLUSIVE | OPEN_STATIC)) {
		options.flags &= ~(uint64_t)QALLOC_EXCLUSIVE;
		options.flags |= QALLOC_FOREIGN_OWNER | QALLOC_SHARED_WRITABLE | QALLOC_NETWORK;
	}
	if ((asked & (OPEN_CREATE | OPEN_EXPECT)) != 0) {
		options.kind = (asked & OPEN_STATIC) != 0 ? QALLOC_STATIC : QALLOC_DYNAMIC;
		options.itemsize = (asked & OPEN_STATIC) != 0 ? 64 : 0;
		options.filesize = 256 << 10;
		options.streams = 2;
	}
	return options;
}

void *image_open(const struct image *image, int fd, const struct qalloc_options *options)
{
	struct qalloc_options by_path = *options;
	char path[32];

	if ((image->options & OPEN_PATH) == 0)
		return qalloc_openfd(fd, options);
	by_path.flags |= QALLOC_FOLLOW;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return qalloc_openmap(path, &by_path);
}

static uint64_t words_digest(uint64_t digest, uint64_t at, const uint8_t *bytes, uint64_t count)
{
	uint64_t word;

	for (uint64_t i = 0; i + 8 <= count; i += 8) {
		memcpy(&word, bytes + i, sizeof(word));
		if (word != 0)
			digest = ((digest ^ (at + i)) * 31 + word) * UINT64_C(0x9E3779B97F4A7C15);
	}
	return digest;
}

/* Its size, and the window's words, wherever they are not zero. */
uint64_t image_contents(void)
{
	static uint8_t found[WINDOW_BYTES];
	struct stat st;
	uint64_t digest;
	off_t from = 0, to = 0;

	FUZZ_CHECK(fstat(file.fd, &st) == 0);
	uint64_t size = min_u64((uint64_t)st.st_size, WINDOW_BYTES);

	digest = (uint64_t)st.st_size * 31;
	if (!file.sparse)
		return words_digest(digest, 0, file.window, size);
	while ((from = lseek(file.fd, to, SEEK_DATA)) >= 0 && (uint64_t)from < size) {
		to = lseek(file.fd, from, SEEK_HOLE);
		uint64_t count = min_u64((uint64_t)to, size) - (uint64_t)from;

		FUZZ_CHECK(pread(file.fd, found, count, from) == (ssize_t)count);
		digest = words_digest(digest, (uint64_t)from, found, count);
	}
	return digest;
}

uint64_t image_digest(void)
{
	return file.fd < 0 ? 0 : image_contents() * 31 + file_blocks();
}

bool image_is_portable(void)
{
	uint64_t base = file.fd < 0 ? 0 : file_get(HDR_BASE);

	return base == 0 || (base >= UINT64_C(0x510000000000) && base < UINT64_C(0x555500000000));
}

static uint8_t kept[WINDOW_BYTES];
static uint64_t kept_bytes;

void image_keep(void)
{
	struct stat st;

	FUZZ_CHECK(fstat(file.fd, &st) == 0);
	kept_bytes = file.sparse ? 0 : min_u64((uint64_t)st.st_size, WINDOW_BYTES);
	memcpy(kept, file.window, kept_bytes);
}

/* What an operation made of the file is gone then: so that is answered now. */
void image_put_back(void)
{
	struct stat st;

	FUZZ_CHECK(fstat(file.fd, &st) == 0);
	uint64_t size = min_u64(kept_bytes, (uint64_t)st.st_size), count = 4096;

	for (uint64_t at = 0; at < size; at += count) {
		count = min_u64(count, size - at);
		if (memcmp(file.window + at, kept + at, count) == 0)
			continue;
		answer(words_digest(at, at, file.window + at, count));
		memcpy(file.window + at, kept + at, count);
	}
}

bool image_has_header(const uint8_t header[HDR_BYTES])
{
	uint8_t found[HDR_BYTES];

	if (file.dense && file.size >= HDR_BYTES)
		return memcmp(file.window, header, HDR_BYTES) == 0;
	return pread(file.fd, found, HDR_BYTES, 0) == HDR_BYTES &&
	       memcmp(found, header, HDR_BYTES) == 0;
}

uint64_t file_get(uint64_t off)
{
	uint8_t bytes[8] = {0};

	FUZZ_CHECK(pread(file.fd, bytes, sizeof(bytes), (off_t)off) >= 0);
	return get_le(bytes, 8);
}

void file_put(uint64_t off, uint64_t value)
{
	uint8_t bytes[8];
	struct stat st;

	/* The library may have made the file larger, if it is not one of ours. */
	if (!file.dense) {
		FUZZ_CHECK(fstat(file.fd, &st) == 0);
		file.size = (uint64_t)st.st_size;
	}
	if (off > file.size || file.size - off < sizeof(bytes))
		return;
	put_le(bytes, 8, value);
	file_write(off, bytes, sizeof(bytes));
}
