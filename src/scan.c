/* SPDX-License-Identifier: MIT */
/*
 * Going through all spans.  See scan.h.
 */
#include "scan.h"

#include <string.h>

#define PIECE_BYTES ((uint64_t)GRANULE)

int scan_begin(struct scan *s, struct map *m)
{
	memset(s, 0, sizeof(*s));
	s->m = m;
	s->memory_bytes = 2 * PIECE_BYTES;
	s->memory = os_map_private(s->memory_bytes);
	if (s->memory == NULL) {
		return err_fail(QALLOC_ESYSTEM, "%s: private memory: %e", m->path);
	}
	s->words.off = m->geo.words_off;
	s->words.entry_bytes = 8;
	s->words.bytes = s->memory;
	s->words.room = PIECE_BYTES;
	s->pairs.off = m->geo.pairs_off;
	s->pairs.entry_bytes = (uint64_t)m->geo.span_pairs * PAIR_BYTES;
	s->pairs.bytes = s->memory + PIECE_BYTES;
	s->pairs.room = PIECE_BYTES;
	return 0;
}

void scan_end(struct scan *s)
{
	os_unmap(s->memory, s->memory_bytes);
}

static void scan_failed(struct scan *s, const char *what)
{
	s->failed = true;
	err_fail(QALLOC_ESYSTEM, "%s: %s: %e", s->m->path, what);
}

static bool table_has(const struct table *t, uint64_t index)
{
	return index >= t->first && index - t->first < t->count;
}

/* Brings entry `index` into memory.  What the file does not have, or cannot be read, is zeros. */
static char *table_get(struct scan *s, struct table *t, uint64_t index)
{
	if (!table_has(t, index)) {
		uint64_t count = min_u64(t->room / t->entry_bytes, s->m->geo.spans - index);
		uint64_t bytes = count * t->entry_bytes;
		size_t got = 0;
		int fd = map_fd(s->m);

		memset(t->bytes, 0, bytes);
		if (fd < 0) {
			s->failed = true;
		} else if (os_read_at(fd, t->bytes, bytes, t->off + index * t->entry_bytes, &got) !=
			   0) {
			scan_failed(s, "reading metadata");
		}
		t->first = index;
		t->count = count;
	}
	return t->bytes + (index - t->first) * t->entry_bytes;
}

uint64_t scan_word(struct scan *s, uint64_t span)
{
	uint64_t word;

	memcpy(&word, table_get(s, &s->words, span), sizeof(word));
	return word;
}

uint64_t *scan_pairs(struct scan *s, uint64_t span)
{
	return (uint64_t *)(void *)table_get(s, &s->pairs, span);
}

/* The first entry at or after `index` that is not in a hole; geo.spans: none. */
static uint64_t table_skip_hole(struct scan *s, const struct table *t, uint64_t index)
{
	uint64_t data = 0;
	int fd = map_fd(s->m);

	if (fd < 0) {
		s->failed = true;
		return s->m->geo.spans;
	}
	if (os_next_data(fd, t->off + index * t->entry_bytes, &data) != 0) {
		scan_failed(s, "looking for data");
		return s->m->geo.spans;
	}
	uint64_t found = (data - t->off) / t->entry_bytes;

	return min_u64(found > index ? found : index, s->m->geo.spans);
}

/* The first word at or after `index` that is not 0, or the end of what is in memory. */
static uint64_t skip_zeros(const struct table *t, uint64_t index)
{
	const char *entry = t->bytes + (index - t->first) * sizeof(uint64_t);
	const char *end = t->bytes + t->count * sizeof(uint64_t);
	uint64_t word = 0;

	for (; entry < end; entry += sizeof(word)) {
		memcpy(&word, entry, sizeof(word));
		if (word != 0) {
			break;
		}
	}
	return t->first + (uint64_t)(entry - t->bytes) / sizeof(word);
}

bool scan_next(struct scan *s, uint64_t *span, uint64_t *word)
{
	while (s->next < s->m->geo.spans && !s->failed) {
		if (!table_has(&s->words, s->next)) {
			s->next = table_skip_hole(s, &s->words, s->next);
			if (s->next >= s->m->geo.spans) {
				break;
			}
			table_get(s, &s->words, s->next);
		}
		s->next = skip_zeros(&s->words, s->next);
		if (table_has(&s->words, s->next)) {
			*span = s->next++;
			*word = scan_word(s, *span);
			return !s->failed;
		}
	}
	return false;
}

bool scan_next_pairs(struct scan *s, uint64_t *span)
{
	if (*span >= s->m->geo.spans || s->failed) {
		return false;
	}
	if (!table_has(&s->pairs, *span)) {
		*span = table_skip_hole(s, &s->pairs, *span);
	}
	return *span < s->m->geo.spans && !s->failed;
}
