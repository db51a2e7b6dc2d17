/* SPDX-License-Identifier: MIT */
/*
 * Roots: a fixed table of names and offsets.
 *
 *  - Changes are made under the roots' lock, each by one store: of the value,
 *    or of the state word that publishes or withdraws an entry.  So a dead holder
 *    leaves nothing to repair.
 *  - Reading takes no lock: the state word has a generation, and an entry counts only if
 *    it is the same before and after.
 *  - A read-only map is read with pread(2): its state may be a hole.
 */
#include "roots.h"

#include <errno.h>
#include <string.h>

#include "lock.h"
#include "scan.h"

#define READ_TRIES 100u

_Static_assert(ROOT_STATE + 8 == ROOT_BYTES, "a root is a name, a value and a state");

struct root {
	union {
		char name[ROOT_VALUE];
		uint64_t words[ROOT_VALUE / 8];
	} u;
	uint64_t value;
	uint64_t state; /* odd: published */
};

static uint64_t *root_word(const struct map *m, uint32_t i, uint32_t field)
{
	return map_word(m, ROOTS_OFF + (uint64_t)i * ROOT_BYTES + field);
}

static int root_copy(struct map *m, uint32_t i, struct root *r)
{
	size_t got = 0;
	int fd = map_fd(m);

	memset(r, 0, sizeof(*r));
	if (fd < 0) {
		return -1;
	}
	if (os_read_at(fd, r, sizeof(*r), ROOTS_OFF + (uint64_t)i * ROOT_BYTES, &got) != 0) {
		return err_fail(QALLOC_ESYSTEM, "%s: reading the roots: %e", m->path);
	}
	return 0;
}

/* An entry, and in *after what its state word says afterwards. */
static int root_look(struct map *m, uint32_t i, struct root *r, uint64_t *after)
{
	struct root again;

	if (m->readonly) {
		if (root_copy(m, i, r) != 0 || root_copy(m, i, &again) != 0) {
			return -1;
		}
		*after = again.state;
		return 0;
	}
	r->state = shared_load(root_word(m, i, ROOT_STATE));
	for (uint32_t w = 0; w < ROOT_VALUE / 8; w++) {
		r->u.words[w] = shared_load(root_word(m, i, 8 * w));
	}
	r->value = shared_load(root_word(m, i, ROOT_VALUE));
	*after = shared_load(root_word(m, i, ROOT_STATE));
	return map_intact(m);
}

enum root_seen { ROOT_FAILED = -1, ROOT_ABSENT, ROOT_PUBLISHED };

/* One entry, as it was at one moment.  Absent: not published, or not readable as a whole. */
static enum root_seen root_read(struct map *m, uint32_t i, struct root *r)
{
	for (uint32_t tries = 0; tries < READ_TRIES; tries++) {
		uint64_t after = 0;

		if (root_look(m, i, r, &after) != 0) {
			return ROOT_FAILED;
		}
		r->u.name[ROOT_VALUE - 1] = '\0';
		if (after == r->state) {
			return (after & 1) != 0 ? ROOT_PUBLISHED : ROOT_ABSENT;
		}
	}
	return ROOT_ABSENT;
}

/* A system call failed, or a page was lost; that is recorded. */
#define ROOTS_UNREADABLE (QALLOC_ROOTS_MAX + 1u)

/* The published entry of that name, QALLOC_ROOTS_MAX: none; *empty is one that is not in use. */
static uint32_t root_find(struct map *m, const char *name, struct root *r, uint32_t *empty)
{
	*empty = QALLOC_ROOTS_MAX;
	for (uint32_t i = 0; i < QALLOC_ROOTS_MAX; i++) {
		enum root_seen seen = root_read(m, i, r);

		if (seen == ROOT_FAILED) {
			return ROOTS_UNREADABLE;
		}
		if (seen == ROOT_PUBLISHED) {
			if (strcmp(r->u.name, name) == 0) {
				return i;
			}
		} else if (*empty == QALLOC_ROOTS_MAX) {
			*empty = i;
		}
	}
	return QALLOC_ROOTS_MAX;
}

static int name_check(const struct map *m, const char *name)
{
	size_t length = name == NULL ? 0 : strnlen(name, QALLOC_ROOTNAME_MAX + 1);

	if (length == 0 || length > QALLOC_ROOTNAME_MAX) {
		return err_fail(QALLOC_EROOTNAME, "%s: root's name: %s, wanted 1 to %u", m->path,
				length == 0 ? "empty" : "too long", (uint64_t)QALLOC_ROOTNAME_MAX);
	}
	return 0;
}

/* NULL is 0; anything else must lie in the data area. */
static int value_offset(const struct map *m, const void *value, uint64_t *off)
{
	uint64_t rel = 0;

	*off = 0;
	if (value == NULL) {
		return 0;
	}
	if (!map_rel(m, value, &rel)) {
		return err_fail(QALLOC_EWILD,
				"%s: root's value: %x is outside the data area %x to %x", m->path,
				(uint64_t)(uintptr_t)value, m->base + m->geo.data_off,
				m->base + m->geo.data_end);
	}
	*off = m->geo.data_off + rel;
	return 0;
}

static int roots_enter(struct map *m, struct lock *l)
{
	struct patience p;

	*l = lock_at(m, STATE_ROOTS);
	if (!patience_begin(m, &p)) {
		return -1;
	}
	switch (lock_enter(m, l, &p, CALL_WAIT_USEC)) {
	case LOCK_TAKEN:
	case LOCK_INHERITED:
		return 0;
	case LOCK_LOST:
		return map_lost(m);
	default:
		return err_fail(QALLOC_EBUSY, "%s: the roots were held for over a second", m->path);
	}
}

/* Inside the lock. */
static int root_create(struct map *m, uint32_t i, const char *name, uint64_t value)
{
	struct root r;

	if (i == QALLOC_ROOTS_MAX) {
		return err_fail(QALLOC_EROOTFULL, "%s: root %s: all %u roots are in use", m->path,
				name, (uint64_t)QALLOC_ROOTS_MAX);
	}
	memset(&r, 0, sizeof(r));
	memcpy(r.u.name, name, strlen(name));
	uint64_t state = shared_load(root_word(m, i, ROOT_STATE));

	/*
	 * Each store releases the ones before it: a reader that sees a byte of the new
	 * name sees another generation at its end.
	 */
	own_store(root_word(m, i, ROOT_STATE), (state & ~(uint64_t)1) + 2);
	for (uint32_t w = 0; w < ROOT_VALUE / 8; w++) {
		own_store(root_word(m, i, 8 * w), r.u.words[w]);
	}
	own_store(root_word(m, i, ROOT_VALUE), value);
	own_store(root_word(m, i, ROOT_STATE), (state & ~(uint64_t)1) + 3);
	return 0;
}

/* Sets a root; with `expected`, only if it has that value now. */
static int root_change(struct map *m, const char *name, const uint64_t *expected, uint64_t value)
{
	struct lock l;
	struct root r;
	uint32_t empty = 0;
	int result = 0;

	if (roots_enter(m, &l) != 0) {
		return -1;
	}
	uint32_t i = root_find(m, name, &r, &empty);
	uint64_t found = i < QALLOC_ROOTS_MAX ? r.value : 0;

	if (i == ROOTS_UNREADABLE) {
		result = -1;
	} else if (expected != NULL && found != *expected) {
		result = err_fail(QALLOC_EROOTVALUE,
				  "%s: root %s: found offset %x, expected %x (0 is NULL)", m->path,
				  name, found, *expected);
	} else if (i == QALLOC_ROOTS_MAX) {
		result = root_create(m, empty, name, value);
	} else {
		own_store(root_word(m, i, ROOT_VALUE), value);
	}
	lock_leave(&l);
	return map_intact(m) == 0 ? result : -1;
}

int qalloc_setroot(void *map, const char *name, void *value)
{
	struct map *m = map_writable(map);
	uint64_t off = 0;

	if (m == NULL || name_check(m, name) != 0 || value_offset(m, value, &off) != 0) {
		return -1;
	}
	return root_change(m, name, NULL, off);
}

int qalloc_casroot(void *map, const char *name, void *expected, void *desired)
{
	struct map *m = map_writable(map);
	uint64_t from = 0, to = 0;

	if (m == NULL || name_check(m, name) != 0 || value_offset(m, expected, &from) != 0 ||
	    value_offset(m, desired, &to) != 0) {
		return -1;
	}
	return root_change(m, name, &from, to);
}

int qalloc_delroot(void *map, const char *name)
{
	struct map *m = map_writable(map);
	struct lock l;
	struct root r;
	uint32_t empty = 0;
	int result = 0;

	if (m == NULL || name_check(m, name) != 0 || roots_enter(m, &l) != 0) {
		return -1;
	}
	uint32_t i = root_find(m, name, &r, &empty);

	if (i == ROOTS_UNREADABLE) {
		result = -1;
	} else if (i == QALLOC_ROOTS_MAX) {
		result = err_fail(QALLOC_EROOTABSENT, "%s: root %s: absent", m->path, name);
	} else {
		own_store(root_word(m, i, ROOT_STATE), r.state + 1);
	}
	lock_leave(&l);
	return map_intact(m) == 0 ? result : -1;
}

uint64_t root_cell(struct map *m, const char *name, bool create)
{
	struct root r;
	uint64_t null = 0;
	uint32_t empty = 0;

	if (name_check(m, name) != 0) {
		return CELL_NONE;
	}
	uint32_t i = root_find(m, name, &r, &empty);

	if (i == QALLOC_ROOTS_MAX && create) {
		struct kept before;

		kept_take(&before);
		/* Somebody else may create it first: that is as good. */
		if (root_change(m, name, &null, 0) != 0 && qalloc_error() != QALLOC_EROOTVALUE) {
			return CELL_NONE;
		}
		kept_put_back(&before);
		i = root_find(m, name, &r, &empty);
	}
	if (i == ROOTS_UNREADABLE) {
		return CELL_NONE;
	}
	if (i == QALLOC_ROOTS_MAX) {
		err_fail(QALLOC_EROOTABSENT, "%s: root %s: absent", m->path, name);
		return CELL_NONE;
	}
	return ROOTS_OFF + (uint64_t)i * ROOT_BYTES + ROOT_VALUE;
}

/* The address of a root's value.  It comes from the file: it is checked each time. */
static int root_value(const struct map *m, const struct root *r, void **value)
{
	*value = NULL;
	if (r->value == 0) {
		return 0;
	}
	if (r->value < m->geo.data_off || r->value >= m->geo.data_end) {
		return err_fail(QALLOC_ECORRUPT,
				"%s: root %s: offset %u, the data area is %u to %u", m->path,
				r->u.name, r->value, m->geo.data_off, m->geo.data_end);
	}
	*value = (void *)(uintptr_t)(m->base + r->value);
	return 0;
}

void *qalloc_getroot(void *map, const char *name)
{
	struct map *m = map_of(map);
	struct root r;
	void *value = NULL;
	uint32_t empty = 0;

	if (m == NULL || name_check(m, name) != 0) {
		return NULL;
	}
	uint32_t i = root_find(m, name, &r, &empty);

	if (i == ROOTS_UNREADABLE) {
		return NULL;
	}
	if (i == QALLOC_ROOTS_MAX) {
		err_fail(QALLOC_EROOTABSENT, "%s: root %s: absent", m->path, name);
		return NULL;
	}
	if (root_value(m, &r, &value) != 0) {
		return NULL;
	}
	if (value == NULL) {
		errno = 0;
	}
	return value;
}

int qalloc_roots(void *map, qalloc_root_fn *visit, void *arg)
{
	struct map *m = map_of(map);
	struct kept why;
	struct root r;
	int result = 0, saved = errno;

	if (m == NULL) {
		return -1;
	}
	if (visit == NULL) {
		return err_fail(QALLOC_EARGUMENT, "visit: NULL, wanted a function");
	}
	for (uint32_t i = 0; i < QALLOC_ROOTS_MAX; i++) {
		void *value = NULL;

		enum root_seen seen = root_read(m, i, &r);

		if (seen == ROOT_FAILED) {
			return -1;
		}
		if (seen == ROOT_ABSENT) {
			continue;
		}
		if (root_value(m, &r, &value) != 0) {
			/* The others are good all the same. */
			if (result == 0) {
				kept_take(&why);
			}
			result = -1;
			continue;
		}
		int stop = visit(r.u.name, value, arg);

		if (stop != 0) {
			return stop;
		}
	}
	/* Whatever the visitor left. */
	if (result != 0) {
		kept_put_back(&why);
	} else {
		errno = saved;
	}
	return result;
}
