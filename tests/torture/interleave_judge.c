/* SPDX-License-Identifier: MIT */
/*
 * What came of a schedule.  See interleave.h.
 *
 *  - At most one of two frees of a block succeeds; the blocks that are live at the end are
 *    those that the calls say; the inspector finds a whole map.
 *  - What is not free has its disk space, after each schedule: a file with a hole equals one
 *    with zeros.
 *  - It looks once at each different file.  Slots are apart, their epochs are random, and so are
 *    the headers of maps that are made.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../src/format.h"
#include "../../src/geo.h"
#include "../space.h"
#include "../support.h"
#include "interleave.h"

#define STATES_MAX 65536u

static uint64_t seen[STATES_MAX];
static unsigned states, busy;

void judge_begin(void)
{
	memset(seen, 0, sizeof(seen));
	states = busy = 0;
}

unsigned judge_states(void)
{
	return states;
}

unsigned judge_busy(void)
{
	return busy;
}

/* The file but for the slots, and what the two calls said.  Two that agree need one look. */
static uint64_t state_hash(const struct pair *pair, const struct shared *shared)
{
	static uint64_t words[MAP_BYTES / 8];
	uint64_t hash = 0xCBF29CE484222325u;
	int fd = open(shared->w.path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, words, sizeof(words));

	if (fd >= 0) {
		close(fd);
	}
	memset(words + SLOTS_OFF / 8, 0, (size_t)QALLOC_PROCESSES_MAX * SLOT_BYTES);
	if (pair_creates(pair)) {
		/* The identity and the time of a new map, twice, and the checksum. */
		memset(words, 0, HDR_BYTES);
		memset(words + HDR_BACKUP_OFF / 8, 0, HDR_BYTES);
	}
	for (ssize_t i = 0; i < n / 8; i++) {
		hash = (hash ^ words[i]) * 0x100000001B3u;
		hash ^= hash >> 29;
	}
	for (unsigned i = 0; i < 2; i++) {
		hash = (hash ^ (uint64_t)shared->sides[i].error) * 0x100000001B3u;
		hash = (hash ^ (uint64_t)shared->sides[i].won) * 0x100000001B3u;
	}
	return hash | 1;
}

static bool is_new_state(uint64_t hash)
{
	for (uint64_t i = hash % STATES_MAX;; i = (i + 1) % STATES_MAX) {
		if (seen[i] == hash) {
			return false;
		}
		if (seen[i] == 0) {
			if (++states > STATES_MAX / 2) {
				broken("too many states");
			}
			seen[i] = hash;
			return true;
		}
	}
}

static void count_in_child(struct shared *shared, const char *who)
{
	fflush(stdout);
	pid_t pid = fork();

	if (pid == 0) {
		alarm(60);
		int fd = open(shared->w.path, O_RDONLY | O_CLOEXEC);

		if (pread(fd, &shared->dirty, 8, STATE_DIRTY) != 8) {
			_exit(2);
		}
		void *map = world_open(&shared->w, shared->w.path);

		shared->live = map == NULL ? UINT64_MAX : count_live(map);
		_exit(0);
	}
	expect_well(pid, who);
}

/* Two creators at once would leave the header of one and the copy of the other. */
static bool header_is_copied(const struct shared *shared)
{
	uint8_t header[HDR_BYTES], copy[HDR_BYTES];
	int fd = open(shared->w.path, O_RDONLY | O_CLOEXEC);
	bool same = fd >= 0 && pread(fd, header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
		    pread(fd, copy, sizeof(copy), HDR_BACKUP_OFF) == (ssize_t)sizeof(copy) &&
		    memcmp(header, copy, sizeof(header)) == 0;

	if (fd >= 0) {
		close(fd);
	}
	return same;
}

/* What is zeroed when it is freed is zero when it is handed out. */
static bool is_fresh(int fd, const struct got *block, const char *who)
{
	static char bytes[MAP_BYTES];
	off_t off = block->at - (const char *)MAP_BASE;

	if (block->at == NULL) {
		return true;
	}
	if (pread(fd, bytes, block->bytes, off) != (ssize_t)block->bytes) {
		broken("reading a new block");
	}
	if (!is_zero(bytes, block->bytes)) {
		finding("%s: the new block %p is not zero", who, (const void *)block->at);
		return false;
	}
	return true;
}

static bool data_are_well(const struct pair *pair, const struct shared *shared, const char *who)
{
	int fd = open(shared->w.path, O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		broken(shared->w.path);
	}
	struct geo g;
	uint64_t span = 0;

	base_geometry(pair->base, &g);
	bool well = spans_have_space(fd, &g, false, &span);

	if (!well) {
		finding("%s: span %llu is in use, and lacks disk space", who,
			(unsigned long long)span);
	} else if (pair->base == BASE_ZERO) {
		well = is_fresh(fd, &shared->sides[0].got, who) &&
		       is_fresh(fd, &shared->sides[1].got, who);
	}
	close(fd);
	return well;
}

/* Failures that the rules of the pair allow. */
static bool is_excused(const struct pair *pair, const struct side *s, const struct act *act)
{
	bool one = (pair->rules & RULE_ONE) != 0;

	return s->error == QALLOC_EBUSY ||
	       (one && (s->error == QALLOC_ENOTLIVE || s->error == QALLOC_EROOTVALUE)) ||
	       (s->error == QALLOC_EFULL && (act->flags & ACT_FILLS) != 0);
}

void judge(const struct pair *pair, struct shared *shared, const char *who)
{
	const struct side *a = &shared->sides[0], *b = &shared->sides[1];
	struct world *w = &shared->w;
	bool one = (pair->rules & RULE_ONE) != 0;
	uint64_t live = w->count;

	for (unsigned i = 0; i < 2; i++) {
		const struct side *s = &shared->sides[i];
		const struct act *act = i == 0 ? &pair->a : &pair->b;

		if (!s->done || (!s->won && !is_excused(pair, s, act))) {
			finding("%s: %s %s: error %d (%s)", who, act->name,
				s->done ? "failed" : "did not end", s->error,
				qalloc_strerror(s->error));
			return;
		}
		busy += s->error == QALLOC_EBUSY;
		w->unknown_max += (act->flags & ACT_TAKES) != 0 && s->won;
		live += (act->flags & ACT_TAKES) != 0 && s->won;
		live -= (act->flags & ACT_FREES) != 0 && s->won;
	}
	if (one && a->won + b->won != 1 &&
	    !(a->error == QALLOC_EBUSY || b->error == QALLOC_EBUSY)) {
		finding("%s: %d of two succeeded", who, a->won + b->won);
		return;
	}
	if (!header_is_copied(shared)) {
		finding("%s: the header and its copy differ", who);
		return;
	}
	if (!data_are_well(pair, shared, who) || !is_new_state(state_hash(pair, shared))) {
		return;
	}
	count_in_child(shared, who);
	if (shared->live != live) {
		finding("%s: %llu blocks are live, expected %llu", who,
			(unsigned long long)shared->live, (unsigned long long)live);
		return;
	}
	if ((pair->rules & RULE_DIRTY) != 0 && shared->dirty == 0) {
		finding("%s: the map is marked as closed, and one has not closed it", who);
		return;
	}
	w->inherited = true; /* What was freed may have been taken by the other. */
	inspect_file(w, w->path, who);
}
