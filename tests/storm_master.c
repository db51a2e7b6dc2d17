/* SPDX-License-Identifier: MIT */
/*
 * Stops and progress.  See storm_master.h.
 */
#include "storm_master.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "../src/format.h"
#include "support.h"

#define TRIES 200u
#define LONG_USEC 2600000u
/* One in two catches a holder where there is much to do. */
#define LONGS_ENOUGH 10u
#define PROGRESS_MSEC 30000u

/* Whether a thread of the process holds a stream, or the pool. */
static bool is_inside(pid_t pid, const char *path, size_t streams)
{
	for (size_t i = 0; i <= streams; i++) {
		uint64_t owner =
			read_word(path, i == 0 ? STATE_POOL : STREAMS_OFF + (i - 1) * STREAM_BYTES);
		uint64_t slot = owner >> OWNER_THREAD_BITS & ((1u << OWNER_SLOT_BITS) - 1);

		if (owner != 0 && slot < QALLOC_PROCESSES_MAX &&
		    (pid_t)(uint32_t)read_word(path, SLOTS_OFF + slot * SLOT_BYTES + SLOT_PID) ==
			    pid) {
			return true;
		}
	}
	return false;
}

void stop(pid_t pid)
{
	siginfo_t info;

	kill(pid, SIGSTOP);
	while (waitid(P_PID, (id_t)pid, &info, WSTOPPED | WEXITED | WNOWAIT) != 0 &&
	       errno == EINTR) {
	}
}

void stop_child(pid_t pid, const char *path, size_t streams, uint64_t one_in, uint64_t *random,
		struct stops *stops)
{
	stops->all++;
	stop(pid);
	if (next_random(random) % one_in != 0) {
		rest_usec(next_random(random) % 100000);
		return;
	}
	bool inside = is_inside(pid, path, streams);

	for (unsigned i = 0; i < TRIES && !inside; i++) {
		kill(pid, SIGCONT);
		rest_usec(next_random(random) % 500);
		stop(pid);
		inside = is_inside(pid, path, streams);
	}
	stops->longs++;
	stops->inside += inside;
	rest_usec(LONG_USEC);
}

bool stops_miss(const struct stops *stops)
{
	return stops->longs >= LONGS_ENOUGH && stops->inside == 0;
}

void progress(const char *name, uint64_t steps, unsigned kills, unsigned failures)
{
	static uint64_t begin, last;
	uint64_t now = now_msec();

	if (begin == 0) {
		begin = last = now;
	}
	if (now - last < PROGRESS_MSEC) {
		return;
	}
	last = now;
	printf("%s: %llu s, %llu steps, %u kills, %u failures\n", name,
	       (unsigned long long)(now - begin) / 1000, (unsigned long long)steps, kills,
	       failures);
	fflush(stdout);
}
