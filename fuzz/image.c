/* SPDX-License-Identifier: MIT */
/*
 * Inputs, and the files that they describe (fuzz.h has the format).
 *
 *  - One memfd serves all inputs.  Small files keep their pages from one input to the next, and
 *    only their contents are cleared: that is several times faster than a new file.
 *  - The checksum here is not the library's.
 */
#include "fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW_BYTES ((uint64_t)1 << 20)

static struct {
	int fd;
	uint64_t size;
	uint8_t *window; /* the first bytes of the file */
	uint8_t *copy;
	size_t copy_bytes;
	uint64_t allocated;
} file = {.fd = -1};

uint64_t take_bytes(struct input *in, unsigned count)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < count && in->left > 0; i++, in->at++, in->left--)
		value |= (uint64_t)*in->at << (8 * i);
	return value;
}

struct input input_copy(const uint8_t *data, size_t size)
{
	static uint8_t *copy;

	free(copy);
	copy = malloc(size > 0 ? size : 1);
	FUZZ_CHECK(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	return (struct input){.at = copy, .left = size};
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

uint32_t header_checksum(const uint8_t *header)
{
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

static void file_begin(uint64_t size, bool holes)
{
	if (file.fd < 0) {
		file.fd = memfd_create("fuzz", MFD_CLOEXEC);
		FUZZ_CHECK(file.fd >= 0 && fchmod(file.fd, 0600) == 0);
		file.window =
			mmap(NULL, WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0);
		FUZZ_CHECK(file.window != MAP_FAILED);
	}
	/* The library may have changed the size, or put something behind the window. */
	if (holes || size > WINDOW_BYTES)
		FUZZ_CHECK(ftruncate(file.fd, 0) == 0);
	FUZZ_CHECK(ftruncate(file.fd, (off_t)size) == 0);
	file.size = size;
	if (!holes && size <= WINDOW_BYTES)
		memset(file.window, 0, size);
}

static void file_write(uint64_t off, const void *bytes, size_t count)
{
	if (off + count <= WINDOW_BYTES && off + count <= file.size)
		memcpy(file.window + off, bytes, count);
	else
		FUZZ_CHECK(pwrite(file.fd, bytes, count, (off_t)off) == (ssize_t)count);
}

static void apply(const struct image *image, void (*write)(uint64_t, const void *, size_t))
{
	struct input patches = image->patches, bytes;
	uint8_t header[HDR_BYTES];
	uint64_t off = 0;

	if (image->file_size == 0)
		return;
	while (patch_next(&patches, &off, &bytes)) {
		off = patch_at(image, off, &bytes);
		write(off, bytes.at, bytes.left);
	}
	if ((image->control & CONTROL_REPAIR) != 0 && image->file_size >= HDR_BYTES) {
		image_header(image, header);
		write(HDR_CRC, header + HDR_CRC, 4);
	}
}

int image_build(const struct image *image)
{
	file_begin(image->file_size, (image->control & CONTROL_HOLES) != 0);
	apply(image, file_write);
	file.allocated = file_blocks();
	return file.fd;
}

int image_blank(bool holes)
{
	file_begin(0, holes);
	file.allocated = 0;
	return file.fd;
}

uint64_t file_blocks(void)
{
	struct stat st;

	FUZZ_CHECK(fstat(file.fd, &st) == 0);
	return (uint64_t)st.st_blocks * 512;
}

uint64_t file_allocated(void)
{
	return file.allocated;
}

static void copy_write(uint64_t off, const void *bytes, size_t count)
{
	if (off < file.copy_bytes)
		memcpy(file.copy + off, bytes,
		       count < file.copy_bytes - off ? count : file.copy_bytes - off);
}

bool image_is_unchanged(const struct image *image)
{
	struct stat st;
	bool same;

	if (fstat(file.fd, &st) != 0 || (uint64_t)st.st_size != image->file_size)
		return false;
	file.copy_bytes = image->file_size < WINDOW_BYTES ? image->file_size : WINDOW_BYTES;
	if (file.copy_bytes == 0)
		return true;
	file.copy = calloc(1, file.copy_bytes);
	FUZZ_CHECK(file.copy != NULL);
	apply(image, copy_write);
	same = memcmp(file.copy, file.window, file.copy_bytes) == 0;
	free(file.copy);
	return same;
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
	if ((asked & (OPEN_CREATE | OPEN_EXPECT)) != 0) {
		options.kind = (asked & OPEN_STATIC) != 0 ? QALLOC_STATIC : QALLOC_DYNAMIC;
		options.itemsize = (asked & OPEN_STATIC) != 0 ? 64 : 0;
		options.filesize = 256 << 10;
		options.streams = 2;
	}
	return options;
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

	/* The library may have made the file larger. */
	FUZZ_CHECK(fstat(file.fd, &st) == 0);
	file.size = (uint64_t)st.st_size;
	if (off > file.size || file.size - off < sizeof(bytes))
		return;
	put_le(bytes, 8, value);
	file_write(off, bytes, sizeof(bytes));
}
