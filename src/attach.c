/* SPDX-License-Identifier: MIT */
/*
 * Attachment: how a process tells the others that it lives.
 *
 *  - A process has a slot.  Its life is an open-file-description lock on one byte
 *    of the slot, held by a description that only a mapping refers to, which
 *    fork does not copy: it is gone exactly when this address space is.
 *  - Whoever locks a slot gives it another epoch before anything else.  An owner word
 *    names slot and epoch, so it is dead iff the byte is unlocked or the epoch
 *    is another.  Epochs are random: no file, and no page that came back from
 *    before a power loss, can name the epoch of an occupant to come.
 *  - Slots are taken from the lowest: the first process has slot 0, and the
 *    threads of one process alone always find the same streams.
 */
#include <errno.h>

#include "publish.h"

#define OWNER_SLOT_SHIFT OWNER_THREAD_BITS
#define OWNER_EPOCH_SHIFT (OWNER_THREAD_BITS + OWNER_SLOT_BITS)

_Static_assert(OWNER_EPOCH_SHIFT == 32, "the epoch is the upper half of an owner word");
_Static_assert(QALLOC_PROCESSES_MAX <= 1u << OWNER_SLOT_BITS, "a slot fits an owner word");

static uint64_t *slot_epoch(const struct map *m, uint32_t slot)
{
	return map_word(m, SLOTS_OFF + (uint64_t)slot * SLOT_BYTES + SLOT_EPOCH);
}

static bool same_file(const struct map *m, int fd)
{
	struct os_file now;

	/* A descriptor of the program may name the file, too, but not for what we need. */
	return fd >= 0 && os_identify(fd, &now) == 0 && same_identity(&now, &m->file) &&
	       now.readable && (m->readonly || now.writable);
}

enum descriptor { DESCRIPTOR_OK, DESCRIPTOR_FAILED, DESCRIPTOR_LOST, DESCRIPTOR_REPLACED };

/*
 * The program may close any descriptor, ours included, and get its number for
 * another file: so the identity is checked each time, and the file opened
 * again by its path if need be.
 */
static enum descriptor descriptor_of(struct map *m, int *found)
{
	int fd = __atomic_load_n(&m->fd, __ATOMIC_ACQUIRE);
	int saved = errno;

	*found = fd;
	errno = EBADF;
	if (same_file(m, fd)) {
		errno = saved;
		return DESCRIPTOR_OK;
	}
	if (errno != EBADF) {
		return DESCRIPTOR_FAILED; /* Nothing is known about it: then it stays. */
	}
	int fresh = os_open(m->path, (m->readonly ? 0u : OS_WRITE) | OS_FOLLOW);

	if (fresh < 0) {
		return DESCRIPTOR_LOST;
	}
	if (!same_file(m, fresh)) {
		os_close(fresh);
		return DESCRIPTOR_REPLACED;
	}
	/* Whoever comes second gives up its own; the first one's serves both. */
	*found = fresh;
	if (!__atomic_compare_exchange_n(&m->fd, &fd, fresh, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE)) {
		os_close(fresh);
		*found = fd;
	}
	errno = saved;
	return DESCRIPTOR_OK;
}

int map_fd(struct map *m)
{
	int fd = -1;

	switch (descriptor_of(m, &fd)) {
	case DESCRIPTOR_OK:
		return fd;
	case DESCRIPTOR_FAILED:
		return err_fail(QALLOC_ESYSTEM, "%s: fstat: %e", m->path);
	case DESCRIPTOR_LOST:
		return err_fail(QALLOC_EREPLACED,
				"%s: the map's descriptor was closed, and open: %e", m->path);
	default:
		return err_fail(QALLOC_EREPLACED,
				"%s: the map's descriptor was closed, and the path names another "
				"file now",
				m->path);
	}
}

bool owner_is_dead(struct map *m, uint64_t owner)
{
	uint32_t slot = owner_slot(owner);
	uint32_t epoch = (uint32_t)(owner >> OWNER_EPOCH_SHIFT);
	uint64_t mine = __atomic_load_n(&m->self->owner, __ATOMIC_ACQUIRE);

	if (slot >= QALLOC_PROCESSES_MAX || epoch == 0) {
		return true; /* No process ever wrote this. */
	}
	if (owner >> OWNER_SLOT_SHIFT == mine >> OWNER_SLOT_SHIFT) {
		return false;
	}
	if ((uint32_t)shared_load(slot_epoch(m, slot)) != epoch) {
		return true;
	}
	int saved = errno, fd = -1;
	bool locked = true;

	if (descriptor_of(m, &fd) != DESCRIPTOR_OK ||
	    os_byte_locked(fd, LOCK_BYTE_SLOT((uint64_t)slot), &locked) != 0) {
		/* Not known: then nobody is declared dead, and it is nobody's error. */
		errno = saved;
		return false;
	}
	return !locked;
}

/* Locks a free slot on the description `fd`.  The slot, or QALLOC_PROCESSES_MAX. */
static uint32_t slot_lock(int fd)
{
	uint32_t slot = 0;

	while (slot < QALLOC_PROCESSES_MAX &&
	       os_lock_byte(fd, LOCK_BYTE_SLOT((uint64_t)slot)) != 0) {
		if (errno != EAGAIN && errno != EACCES) {
			return QALLOC_PROCESSES_MAX;
		}
		slot++;
	}
	return slot;
}

static uint32_t epoch_choose(uint32_t before)
{
	uint32_t epoch = 0;

	os_random(&epoch, sizeof(epoch));
	while (epoch == 0 || epoch == before) {
		epoch++;
	}
	return epoch;
}

/* The descriptor if it is the map's file; else it is closed: -1, and errno says why. */
static int verified(const struct map *m, int fd)
{
	if (fd < 0) {
		return -1;
	}
	errno = ESTALE; /* if it is another file */
	if (same_file(m, fd)) {
		return fd;
	}
	int saved = errno;

	os_close(fd);
	errno = saved;
	return -1;
}

/* Under self->lock, and no other thread forks. */
static int attach_held(struct map *m)
{
	int fd = map_fd(m);

	if (fd < 0) {
		return -1;
	}
	int own = verified(m, os_reopen(fd, true));

	if (own < 0) {
		/* Without /proc the path has to do. */
		own = verified(m, os_open(m->path, OS_WRITE | OS_FOLLOW));
	}
	if (own < 0) {
		return err_fail(QALLOC_ESYSTEM, "%s: cannot open the file once more: %e", m->path);
	}
	errno = 0;
	uint32_t slot = slot_lock(own);

	if (slot == QALLOC_PROCESSES_MAX) {
		int saved = errno;

		os_close(own);
		errno = saved;
		if (saved != EAGAIN && saved != EACCES) {
			return err_fail(QALLOC_ESYSTEM, "%s: locking a slot: %e", m->path);
		}
		return err_fail(QALLOC_ESLOTS, "%s: %u processes are attached, %u at most", m->path,
				(uint64_t)QALLOC_PROCESSES_MAX, (uint64_t)QALLOC_PROCESSES_MAX);
	}
	uint32_t epoch = epoch_choose((uint32_t)shared_load(slot_epoch(m, slot)));

	own_store(slot_epoch(m, slot), epoch);
	own_store(slot_epoch(m, slot) + 1, os_pid());
	void *pin = os_pin_locks(own);

	if (pin == NULL) {
		int saved = errno;

		os_close(own); /* and with it the lock */
		errno = saved;
		return err_fail(QALLOC_ESYSTEM, "%s: pinning the slot's lock: %e", m->path);
	}
	os_close(own);
	__atomic_fetch_add(map_word(m, STATE_DIRTY), 1, __ATOMIC_ACQ_REL);
	m->self->pin = pin;
	__atomic_store_n(&m->self->owner,
			 (uint64_t)epoch << OWNER_EPOCH_SHIFT | (uint64_t)slot << OWNER_SLOT_SHIFT,
			 __ATOMIC_RELEASE);
	return 0;
}

/* A child born while the descriptor is open would share its lock, and outlive us with it. */
static int attach(struct map *m)
{
	os_fork_hold();
	int result = attach_held(m);

	os_fork_release();
	return result;
}

static uint64_t owner_slow(struct map *m)
{
	int saved = errno;

	if (!thread_lock(&m->self->lock)) {
		err_fail(QALLOC_EBUSY, "%s: a signal handler interrupted the attachment", m->path);
		return 0;
	}
	int result = m->self->owner != 0 ? 0 : attach(m);

	thread_unlock(&m->self->lock);
	if (result != 0) {
		return 0;
	}
	errno = saved;
	return m->self->owner | thread_self()->number;
}

uint64_t map_owner(struct map *m)
{
	uint64_t owner = __atomic_load_n(&m->self->owner, __ATOMIC_ACQUIRE);

	if (__builtin_expect(owner == 0, 0)) {
		return owner_slow(m);
	}
	return owner | thread_self()->number;
}

/*
 * The slots that are locked, counted up to `most`; PROCESSES_UNKNOWN.  The kernel names any lock of
 * a range, so each one found leaves two ranges to ask about; the right one is kept for later.
 */
static uint64_t count_locked(int fd, uint64_t most)
{
	struct {
		uint64_t from, to;
	} ranges[QALLOC_PROCESSES_MAX + 1] = {
		{LOCK_BYTE_SLOT((uint64_t)0), LOCK_BYTE_SLOT((uint64_t)QALLOC_PROCESSES_MAX)}};
	uint32_t left = 1;
	uint64_t count = 0;

	while (left > 0 && count < most) {
		uint64_t from = ranges[left - 1].from, to = ranges[left - 1].to, where = 0;
		bool locked = false;

		left--;
		if (from >= to) {
			continue;
		}
		if (os_locked_in(fd, from, to - from, &locked, &where) != 0) {
			return PROCESSES_UNKNOWN;
		}
		if (!locked) {
			continue;
		}
		count++;
		if (left + 2 <= sizeof(ranges) / sizeof(ranges[0])) {
			ranges[left].from = where + 1;
			ranges[left++].to = to;
			ranges[left].from = from;
			ranges[left++].to = where;
		}
	}
	return count;
}

uint64_t map_processes(struct map *m, uint64_t most)
{
	int fd = -1;

	return descriptor_of(m, &fd) == DESCRIPTOR_OK ? count_locked(fd, most) : PROCESSES_UNKNOWN;
}

/*
 * The mark is a count of attachments, so that one that comes while we look
 * keeps us from clearing it.
 */
void map_detach(struct map *m)
{
	if (m->self->owner == 0) {
		return;
	}
	int saved = errno;

	if (m->poison == 0 && !m->refused) {
		uint64_t dirty = shared_load(map_word(m, STATE_DIRTY));

		/* Who opens it next finds nothing to settle, so nothing must be left. */
		if (map_processes(m, 2) == 1 && publish_recover_quietly(m)) {
			shared_cas(map_word(m, STATE_DIRTY), dirty, 0);
		}
	}
	errno = saved; /* If it is not known who else is there, the mark stays. */
	os_unmap(m->self->pin, os_page());
	m->self->owner = 0;
}
