/* SPDX-License-Identifier: MIT */
/*
 * Threads, waiting, time, chance, and the end of the process.
 *
 * Trusts: the kernel, and that libc keeps pthread keys for as long as this
 * library is loaded (the shared object is linked so that it is never unloaded).
 *
 *  - A wait returns after the time that it was given, whatever the word does.
 *  - The state of a mutex: 0 free, 1 held, 2 held and somebody may wait.
 *  - Functions that return nothing leave errno alone.
 */
#include "os.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A lost wake-up costs at most this. */
#define NAP_USEC 10000u

/* How long fork() waits for os_fork_release(): a signal handler may fork inside. */
#define FORK_WAIT_USEC 1000000u

static struct timespec to_timespec(uint32_t usec)
{
	return (struct timespec){.tv_sec = usec / 1000000, .tv_nsec = usec % 1000000 * 1000L};
}

static void futex_wait(const uint32_t *word, int op, uint32_t value, uint32_t usec)
{
	struct timespec timeout = to_timespec(usec);
	int saved = errno;

	syscall(SYS_futex, word, op, value, &timeout, NULL, 0);
	errno = saved;
}

static void futex_wake(const uint32_t *word, int op, int count)
{
	int saved = errno;

	syscall(SYS_futex, word, op, count, NULL, NULL, 0);
	errno = saved;
}

/* pre: word is a multiple of 4, in shared memory. */
void os_wait_word(const uint32_t *word, uint32_t value, uint32_t usec)
{
	futex_wait(word, FUTEX_WAIT, value, usec);
}

/* pre: as os_wait_word(). */
void os_wake_word(const uint32_t *word)
{
	futex_wake(word, FUTEX_WAKE, INT32_MAX);
}

void os_sleep(uint32_t usec)
{
	struct timespec rest = to_timespec(usec);
	int saved = errno;

	/* Not nanosleep(): that is a cancellation point. */
	while (syscall(SYS_nanosleep, &rest, &rest) && errno == EINTR)
		;
	errno = saved;
}

uint64_t os_now_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t os_clock_sec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec;
}

uint32_t os_pid(void)
{
	return (uint32_t)getpid();
}

/* One step of splitmix64: every bit of the state reaches every bit of the result. */
static uint64_t mix(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15u;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

/* pre: `buf` has `len` bytes. */
void os_random(void *buf, size_t len)
{
	unsigned char *to = buf;
	int saved = errno;
	struct timespec now;
	uint64_t state;

	while (len) {
		int cancel = os_cancel_off();
		ssize_t n = getrandom(to, len, GRND_NONBLOCK);

		os_cancel_restore(cancel);
		if (n < 0 && errno != EINTR)
			break;
		if (n > 0) {
			to += n;
			len -= (size_t)n;
		}
	}
	errno = saved;
	if (!len)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	state = (uint64_t)now.tv_sec ^ (uint64_t)now.tv_nsec << 32 ^ os_pid() ^ (uintptr_t)&now;
	for (; len; len--)
		*to++ = (unsigned char)mix(&state);
}

void os_boot_id(uint64_t id[2])
{
	char text[36];
	size_t got = 0;
	int saved = errno, fd = os_open("/proc/sys/kernel/random/boot_id", 0);
	unsigned digits = 0;

	id[0] = id[1] = 0;
	if (fd >= 0 && os_read_at(fd, text, sizeof(text), 0, &got))
		got = 0;
	os_close(fd);
	errno = saved;
	for (size_t i = 0; i < got; i++) {
		char c = text[i];
		uint64_t digit = (uint64_t)c - (c <= '9' ? '0' : 'a' - 10);

		if (c == '-')
			continue;
		id[digits / 16] = id[digits / 16] << 4 | (digit & 15);
		if (++digits == 32)
			return;
	}
}

/* The thread's own: initial-exec, because a first access must not allocate. */
struct thread {
	void *pointer;
	size_t size;
	uint32_t fork_holds; /* os_fork_hold() less os_fork_release() */
};
static _Thread_local struct thread self __attribute__((tls_model("initial-exec")));

static pthread_key_t thread_key;
static bool thread_key_valid;

static void thread_exits(void *pointer)
{
	size_t size = self.size;

	/* A destructor that runs later may call the library: it then starts anew. */
	self.pointer = NULL;
	os_unmap(pointer, size);
}

static void thread_key_make(void)
{
	thread_key_valid = pthread_key_create(&thread_key, thread_exits) == 0;
}

void *os_thread_get(void)
{
	return self.pointer;
}

/*
 * When the process has no key left the memory of a thread that exits is not given back.  In a
 * program with more than 31 keys libc allocates for ours, once for each thread.
 * pre: pointer is NULL, or comes from os_map_private() or os_map_wiped() with this size.
 */
void os_thread_set(void *pointer, size_t size)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int saved = errno;

	self.pointer = pointer;
	self.size = size;
	pthread_once(&once, thread_key_make);
	if (thread_key_valid)
		(void)pthread_setspecific(thread_key, pointer);
	errno = saved;
}

bool os_interrupted(int rc, int saved)
{
	if (rc >= 0 || errno != EINTR)
		return false;
	errno = saved;
	return true;
}

int os_cancel_off(void)
{
	int before = PTHREAD_CANCEL_ENABLE;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	return before;
}

/* pre: state comes from os_cancel_off() in this thread. */
void os_cancel_restore(int state)
{
	int ignored;

	pthread_setcancelstate(state, &ignored);
}

/* Low half: threads between os_fork_hold() and os_fork_release(); high half: running forks. */
#define FORK_HOLDER 1u
#define FORK_RUNNING 0x10000u
static uint32_t fork_word;

/* Adds `step` to the word as soon as (word & blockers) is 0, or when time is up. */
static void fork_enter(uint32_t blockers, uint32_t step)
{
	uint64_t end = os_now_usec() + FORK_WAIT_USEC;
	uint32_t word = __atomic_load_n(&fork_word, __ATOMIC_RELAXED);

	for (;;) {
		if ((word & blockers) && os_now_usec() < end) {
			futex_wait(&fork_word, FUTEX_WAIT_PRIVATE, word, NAP_USEC);
			word = __atomic_load_n(&fork_word, __ATOMIC_RELAXED);
			continue;
		}
		if (__atomic_compare_exchange_n(&fork_word, &word, word + step, false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return;
	}
}

static void fork_leave(uint32_t step)
{
	__atomic_sub_fetch(&fork_word, step, __ATOMIC_RELEASE);
	futex_wake(&fork_word, FUTEX_WAKE_PRIVATE, INT32_MAX);
}

static void fork_prepare(void)
{
	/* A handler that forks inside must not wait for what it interrupted. */
	fork_enter(self.fork_holds ? 0 : FORK_RUNNING - 1, FORK_RUNNING);
}

static void fork_parent(void)
{
	fork_leave(FORK_RUNNING);
}

static void fork_child(void)
{
	/* Only this thread is here, and it holds if a signal handler forked inside. */
	__atomic_store_n(&fork_word, self.fork_holds * FORK_HOLDER, __ATOMIC_RELAXED);
}

static void fork_guard_make(void)
{
	(void)pthread_atfork(fork_prepare, fork_parent, fork_child);
}

void os_fork_hold(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	int saved = errno;

	pthread_once(&once, fork_guard_make);
	errno = saved; /* libc may have had no memory: then fork() does not wait. */
	fork_enter(~(FORK_RUNNING - 1), FORK_HOLDER);
	self.fork_holds++;
}

/* pre: this thread called os_fork_hold(). */
void os_fork_release(void)
{
	self.fork_holds--;
	fork_leave(FORK_HOLDER);
}

_Static_assert(sizeof(sigset_t) <= sizeof(struct os_signals), "a sigset_t fits");

void os_signals_off(struct os_signals *saved)
{
	sigset_t all, before;

	sigfillset(&all);
	sigemptyset(&before);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	memcpy(saved, &before, sizeof(before));
}

void os_signals_restore(const struct os_signals *saved)
{
	sigset_t before;

	memcpy(&before, saved, sizeof(before));
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* pre: `text` ends with a newline if one is wanted. */
_Noreturn void os_die(const char *text)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = write(STDERR_FILENO, text, len);

		if (n < 0 && errno != EINTR)
			break;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	abort();
}
