/* SPDX-License-Identifier: MIT */
/*
 * SIGBUS, for those who asked to have it caught.  See os.h.
 *
 *  - Whatever is not claimed goes where it would have gone without us.
 *  - A program may put a handler in front of ours, and call ours for ever.  So each time that
 *    ours cannot be removed its place stays taken, with what it has to call, and
 *    the next time another place is used: no chain of handlers becomes a circle.
 */
#include "os.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define PLACES 4u

static os_bus_fn *bus_claim;

static struct place {
	struct sigaction before; /* written before the handler can run */
	bool taken;
} places[PLACES];

/* What the kernel would have done: who handled the signal, or its default. */
static void pass_on(const struct sigaction *before, int signal, siginfo_t *info, void *context)
{
	struct sigaction standard;

	if ((before->sa_flags & SA_SIGINFO) != 0) {
		before->sa_sigaction(signal, info, context);
		return;
	}
	if (before->sa_handler == SIG_IGN && info->si_code <= 0) {
		return; /* Sent by somebody; a fault cannot be ignored. */
	}
	if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
		before->sa_handler(signal);
		return;
	}
	memset(&standard, 0, sizeof(standard));
	standard.sa_handler = SIG_DFL;
	sigaction(signal, &standard, NULL);
	if (info->si_code <= 0) {
		raise(signal); /* A fault comes again by itself. */
	}
}

static void on_bus(const struct place *p, int signal, siginfo_t *info, void *context)
{
	int saved = errno;
	bool fault = info->si_code > 0 && info->si_code != BUS_ADRALN;

	if (!fault || !bus_claim((uint64_t)(uintptr_t)info->si_addr)) {
		pass_on(&p->before, signal, info, context);
	}
	errno = saved;
}

#define PLACE(i)                                                                                   \
	static void on_bus_##i(int signal, siginfo_t *info, void *context)                         \
	{                                                                                          \
		on_bus(&places[i], signal, info, context);                                         \
	}
PLACE(0)
PLACE(1)
PLACE(2)
PLACE(3)
static void (*const handlers[PLACES])(int, siginfo_t *, void *) = {on_bus_0, on_bus_1, on_bus_2,
								   on_bus_3};

/* The place whose handler is installed now; PLACES: none. */
static unsigned installed(const struct sigaction *now)
{
	unsigned i = 0;

	while (i < PLACES &&
	       ((now->sa_flags & SA_SIGINFO) == 0 || now->sa_sigaction != handlers[i])) {
		i++;
	}
	return i;
}

/* A place that was left, and has to call what is to be called now, serves again. */
static bool same_handler(const struct sigaction *a, const struct sigaction *b)
{
	if ((a->sa_flags & SA_SIGINFO) != (b->sa_flags & SA_SIGINFO)) {
		return false;
	}
	return (a->sa_flags & SA_SIGINFO) != 0 ? a->sa_sigaction == b->sa_sigaction
					       : a->sa_handler == b->sa_handler;
}

int os_bus_catch(os_bus_fn *claim)
{
	struct sigaction now, action;
	unsigned i = 0;

	bus_claim = claim;
	if (sigaction(SIGBUS, NULL, &now) != 0) {
		return -1;
	}
	if (installed(&now) < PLACES) {
		return 0;
	}
	while (i < PLACES && places[i].taken && !same_handler(&places[i].before, &now)) {
		i++;
	}
	if (i == PLACES) {
		errno = EBUSY;
		return -1;
	}
	if (!places[i].taken) {
		places[i].before = now;
		places[i].taken = true;
	}
	memset(&action, 0, sizeof(action));
	action.sa_sigaction = handlers[i];
	action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, NULL);
}

void os_bus_release(void)
{
	struct sigaction now;
	int saved = errno;
	unsigned i = sigaction(SIGBUS, NULL, &now) == 0 ? installed(&now) : PLACES;

	if (i < PLACES && sigaction(SIGBUS, &places[i].before, NULL) == 0) {
		places[i].taken = false;
	}
	errno = saved;
}
