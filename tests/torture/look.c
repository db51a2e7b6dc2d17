/* SPDX-License-Identifier: MIT */
/*
 * Looking at a victim's map.  See look.h.
 *
 *  - Only the words in use are compared, because it is done after each instruction.
 */
#include "look.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/geo.h"

#define EDGE_BYTES 64u

static void look_add(struct look *l, uint64_t off, uint64_t len)
{
	l->room -= (int64_t)len;
	if (l->count == RANGES_MAX || l->room < 0) {
		broken("more metadata than a look has room for");
	}
	l->ranges[l->count++] = (struct range){.off = off, .len = len};
}

void look_begin(struct look *l, const struct world *w, bool opens)
{
	struct geo g;

	base_geometry(w->base, &g);
	memset(l, 0, sizeof(*l));
	l->room = (int64_t)(WATCHED_MAX - sizeof(off_t));
	look_add(l, 0, HDR_BYTES);
	look_add(l, STATE_OFF, 256);
	look_add(l, ROOTS_OFF, 8 * ROOT_BYTES);
	look_add(l, SLOTS_OFF, 8 * SLOT_BYTES);
	look_add(l, STREAMS_OFF, g.streams * STREAM_BYTES);
	look_add(l, g.words_off, g.spans * 8);
	look_add(l, g.pairs_off, g.spans * g.span_pairs * PAIR_BYTES);
	look_add(l, g.records_off, g.records * RECORD_BYTES);
	if (w->cell != NULL) {
		look_add(l, (uint64_t)((char *)w->cell - (char *)MAP_BASE), sizeof(*w->cell));
	}
	for (unsigned i = 0; base_zeroes(w->base) && i < w->count; i++) {
		const struct known *k = &w->known[i];

		if (k->moving) {
			look_add(l, (uint64_t)((char *)k->at - (char *)MAP_BASE), EDGE_BYTES);
		}
	}
	if (!opens) {
		int fd = open(w->path, O_RDONLY | O_CLOEXEC);

		l->map = mmap(NULL, MAP_BYTES, PROT_READ, MAP_SHARED, fd, 0);
		if (fd < 0 || l->map == MAP_FAILED) {
			broken("mapping the map");
		}
		close(fd);
	}
}

/*
 * A file that comes into being is read with pread(2), because a look through a mapping would
 * fill holes of a tmpfs; all metadata of one that is open are there.
 */
static bool look_at_file(struct look *l, const char *path)
{
	static uint8_t now[WATCHED_MAX];
	struct stat st = {.st_size = -1};
	size_t len = sizeof(st.st_size);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)fstat(fd, &st);
	}
	memcpy(now, &st.st_size, sizeof(st.st_size));
	for (unsigned i = 0; fd >= 0 && i < l->count; i++) {
		ssize_t n = pread(fd, now + len, l->ranges[i].len, (off_t)l->ranges[i].off);

		len += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0) {
		close(fd);
	}
	if (len == l->len && memcmp(now, l->seen, len) == 0) {
		return false;
	}
	memcpy(l->seen, now, len);
	l->len = len;
	return true;
}

static bool look_at_mapping(struct look *l)
{
	uint8_t *seen = l->seen;
	bool changed = l->len == 0;

	for (unsigned i = 0; i < l->count; i++) {
		const struct range *r = &l->ranges[i];

		if (changed || memcmp(seen, l->map + r->off, r->len) != 0) {
			memcpy(seen, l->map + r->off, r->len);
			changed = true;
		}
		seen += r->len;
	}
	l->len = (size_t)(seen - l->seen);
	return changed;
}

bool look_changed(struct look *l, const char *path)
{
	return l->map != NULL ? look_at_mapping(l) : look_at_file(l, path);
}

void look_end(struct look *l)
{
	if (l->map != NULL) {
		munmap(l->map, MAP_BYTES);
		l->map = NULL;
	}
}

uint64_t look_hash(const struct look *l)
{
	uint64_t hash = 0xCBF29CE484222325u;

	for (size_t i = 0; i < l->len; i++) {
		hash = (hash ^ l->seen[i]) * 0x100000001B3u;
	}
	return hash;
}
