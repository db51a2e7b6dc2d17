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

/*
 * Of this thread.  Most calls take less than to ask, so an answer stands for a while: what the
 * thread has waited since then counts as the call's, and that must not be long.
 */
#define WATCH_STALE_MSEC 10u
#define WATCH_LONG_MSEC 100u
#define WATCH_TRIES 100u
static _Thread_local struct {
	bool open;
	int fd;
	uint64_t start, asked, starved;
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
	watch.start = now_msec();
	/* Once, unless it is kept waiting just here. */
	for (unsigned i = 0; i < WATCH_TRIES && watch.start - watch.asked > WATCH_STALE_MSEC; i++) {
		watch.asked = watch.start;
		watch.starved = starved_msec();
		watch.start = now_msec();
	}
}

uint64_t watch_end(void)
{
	uint64_t now = now_msec(), took = now - watch.start;

	if (took < WATCH_LONG_MSEC) {
		return took;
	}
	uint64_t starved = starved_msec(), waited = starved - watch.starved;

	watch.asked = now;
	watch.starved = starved;
	return took > waited ? took - waited : 0;
}
