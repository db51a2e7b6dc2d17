/* SPDX-License-Identifier: MIT */
/*
 * Copies of a map's file.  See state.h.
 */
#include "state.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/format.h"
#include "../../src/geo.h"

void state_read(struct state *s, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0) {
		return; /* No file yet. */
	}
	if (fstat(fd, &st) != 0 || (s->bytes = malloc((size_t)st.st_size + 1)) == NULL) {
		broken(path);
	}
	s->size = (size_t)st.st_size;
	if (pread(fd, s->bytes, s->size, 0) != (ssize_t)s->size) {
		broken(path);
	}
	close(fd);
}

void state_write(const struct state *s, const char *path)
{
	static const uint8_t zeros[4096];
	int fd = -1;

	(void)unlink(path);
	if (s->bytes == NULL) {
		return;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)s->size) != 0) {
		broken(path);
	}
	for (size_t off = 0; off < s->size; off += sizeof(zeros)) {
		size_t len = s->size - off < sizeof(zeros) ? s->size - off : sizeof(zeros);

		if (memcmp(s->bytes + off, zeros, len) != 0 &&
		    pwrite(fd, s->bytes + off, len, (off_t)off) != (ssize_t)len) {
			broken(path);
		}
	}
	close(fd);
}

static bool lock_held(const struct state *s, uint64_t off)
{
	uint64_t owner = 0;

	if (off + 8 <= s->size) {
		memcpy(&owner, s->bytes + off, sizeof(owner));
	}
	return owner != 0;
}

bool state_is_complete(const struct state *s)
{
	return s->size >= HDR_BYTES && memcmp(s->bytes, HDR_MAGIC_DONE, 8) == 0;
}

bool state_needs_heir(const struct state *s, enum base base)
{
	struct geo g;

	if (!state_is_complete(s)) {
		return s->bytes != NULL;
	}
	base_geometry(base, &g);
	if (lock_held(s, STATE_POOL) || lock_held(s, STATE_ROOTS)) {
		return true;
	}
	for (uint32_t i = 0; i < g.records; i++) {
		if (lock_held(s, g.records_off + i * RECORD_BYTES)) {
			return true;
		}
	}
	for (uint32_t i = 0; i < g.streams; i++) {
		if (lock_held(s, STREAMS_OFF + i * STREAM_BYTES)) {
			return true;
		}
	}
	return false;
}

void state_mark_clean(const char *path)
{
	uint64_t clean = 0;
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || pwrite(fd, &clean, sizeof(clean), STATE_DIRTY) != sizeof(clean)) {
		broken(path);
	}
	close(fd);
}
