/* SPDX-License-Identifier: MIT */
/*
 * The watchdog.  See watch.h.
 */
#include "watch.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "support.h"

/* Of this thread; asked for anew only now and then, since a call takes less than the question. */
#define WATCH_ASKS 32u
#define WATCH_LONG_MSEC 100u
static _Thread_local struct {
	bool open;
	int fd;
	unsigned calls;
	uint64_t start, starved;
} watch;

/* Milliseconds that this thread has waited for a processor; proc(5) has the file. */
static uint64_t starved_msec(void)
{
	char text[100] = "";
	unsigned long long ran = 0, waited = 0;

	if (!watch.open) {
		watch.fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
		watch.open = true;
	}
	if (watch.fd < 0 || pread(watch.fd, text, sizeof(text) - 1, 0) <= 0 ||
	    sscanf(text, "%llu %llu", &ran, &waited) != 2) {
		return 0;
	}
	return waited / 1000000;
}

void watch_begin(void)
{
	if (watch.calls++ % WATCH_ASKS == 0) {
		watch.starved = starved_msec();
	}
	watch.start = now_msec();
}

uint64_t watch_end(void)
{
	uint64_t took = now_msec() - watch.start;

	if (took < WATCH_LONG_MSEC) {
		return took;
	}
	uint64_t starved = starved_msec(), waited = starved - watch.starved;

	watch.starved = starved;
	return took > waited ? took - waited : 0;
}
