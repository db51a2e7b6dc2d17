/* SPDX-License-Identifier: MIT */
/*
 * SIGBUS, for those who asked to have it caught.  See os.h.
 *
 *  - Whatever is not claimed goes where it would have gone without us.
 */
#include "os.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static os_bus_fn *bus_claim;
static struct sigaction bus_before;

/* What the kernel would have done: who handled the signal, or its default. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
	struct sigaction standard;

	if ((bus_before.sa_flags & SA_SIGINFO) != 0) {
		bus_before.sa_sigaction(signal, info, context);
		return;
	}
	if (bus_before.sa_handler == SIG_IGN && info->si_code <= 0) {
		return; /* Sent by somebody; a fault cannot be ignored. */
	}
	if (bus_before.sa_handler != SIG_DFL && bus_before.sa_handler != SIG_IGN) {
		bus_before.sa_handler(signal);
		return;
	}
	memset(&standard, 0, sizeof(standard));
	standard.sa_handler = SIG_DFL;
	sigaction(signal, &standard, NULL);
	if (info->si_code <= 0) {
		raise(signal); /* A fault comes again by itself. */
	}
}

static void on_bus(int signal, siginfo_t *info, void *context)
{
	int saved = errno;
	bool fault = info->si_code > 0 && info->si_code != BUS_ADRALN;

	if (!fault || !bus_claim((uint64_t)(uintptr_t)info->si_addr)) {
		pass_on(signal, info, context);
	}
	errno = saved;
}

int os_bus_catch(os_bus_fn *claim)
{
	struct sigaction action;

	bus_claim = claim;
	memset(&action, 0, sizeof(action));
	action.sa_sigaction = on_bus;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	sigemptyset(&action.sa_mask);
	/* Twice, so that the handler never runs without knowing who was there before. */
	return sigaction(SIGBUS, NULL, &bus_before) != 0 || sigaction(SIGBUS, &action, NULL) != 0
		       ? -1
		       : 0;
}

void os_bus_release(void)
{
	struct sigaction now;

	/* Whoever has put a handler in front of ours calls it perhaps: then it stays. */
	if (sigaction(SIGBUS, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 &&
	    now.sa_sigaction == on_bus) {
		sigaction(SIGBUS, &bus_before, NULL);
	}
}
