/* SPDX-License-Identifier: MIT */
/*
 * Stepping with ptrace(2).  See step.h.
 */
#include "step.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "torture.h"

static void nothing(void *arg)
{
	(void)arg;
	step_begin();
}

bool step_possible(const char **why)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	*why = "stepping through a sanitizer's code says nothing";
	return false;
#else
	pid_t pid = step_start(nothing, NULL);

	if (pid < 0 || step_once(pid, 0) != STEP_DONE) {
		*why = "ptrace(2) is not permitted here";
		return false;
	}
	step_kill(pid);
	return true;
#endif
}

void step_begin(void)
{
	raise(SIGTRAP);
}

static int last_status;

const char *step_ending(void)
{
	static char text[64];

	if (WIFSIGNALED(last_status)) {
		int sig = WTERMSIG(last_status);

		snprintf(text, sizeof(text), "a victim was ended by signal %d (%s)", sig,
			 strsignal(sig));
	} else {
		snprintf(text, sizeof(text), "a victim exited with %d", WEXITSTATUS(last_status));
	}
	return text;
}

/* Waits for the next stop: its signal, or -1 when the victim is gone. */
static int next_stop(pid_t victim)
{
	int status = 0;

	while (waitpid(victim, &status, __WALL) < 0) {
		if (errno != EINTR) {
			return -1;
		}
	}
	last_status = status;
	return WIFSTOPPED(status) ? WSTOPSIG(status) : -1;
}

pid_t step_start(void (*body)(void *arg), void *arg)
{
	fflush(stdout);
	pid_t pid = fork();

	if (pid < 0) {
		broken("fork");
	}
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
			_exit(99);
		}
		raise(SIGSTOP);
		body(arg);
		_exit(0);
	}
	if (next_stop(pid) != SIGSTOP ||
	    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL) != 0 ||
	    ptrace(PTRACE_CONT, pid, NULL, NULL) != 0) {
		return -1;
	}
	return next_stop(pid) == SIGTRAP ? pid : -1;
}

enum step step_once(pid_t victim, int sig)
{
	if (ptrace(PTRACE_SINGLESTEP, victim, NULL, (void *)(long)sig) != 0) {
		return STEP_ENDED;
	}
	int stop = next_stop(victim);

	/* Any other signal is the victim's: hand it on. */
	while (stop > 0 && stop != SIGTRAP) {
		if (ptrace(PTRACE_SINGLESTEP, victim, NULL, (void *)(long)stop) != 0) {
			return STEP_ENDED;
		}
		stop = next_stop(victim);
	}
	return stop == SIGTRAP ? STEP_DONE : STEP_ENDED;
}

#if defined(__x86_64__)

uint64_t step_place(pid_t victim)
{
	long place = ptrace(PTRACE_PEEKUSER, victim, (void *)offsetof(struct user, regs.rip), NULL);

	return (uint64_t)place;
}

/* Continues to the breakpoint.  False: the victim ended. */
static bool to_breakpoint(pid_t victim, uint64_t place)
{
	int sig = 0, status = 0;

	for (;;) {
		if (ptrace(PTRACE_CONT, victim, NULL, (void *)(long)sig) != 0 ||
		    waitpid(victim, &status, __WALL) != victim || !WIFSTOPPED(status)) {
			return false;
		}
		sig = WSTOPSIG(status);
		if (sig != SIGTRAP) {
			continue;
		}
		if (step_place(victim) == place + 1) {
			(void)ptrace(PTRACE_POKEUSER, victim,
				     (void *)offsetof(struct user, regs.rip), (void *)place);
			return true;
		}
		sig = 0;
	}
}

bool step_run_to(pid_t victim, uint64_t place, uint32_t hits)
{
	void *at = (void *)(uintptr_t)place;
	long code = ptrace(PTRACE_PEEKTEXT, victim, at, NULL);
	long trap = (long)(((unsigned long)code & ~0xFFul) | 0xCC);

	for (uint32_t hit = 1;; hit++) {
		if (ptrace(PTRACE_POKETEXT, victim, at, (void *)trap) != 0) {
			broken("PTRACE_POKETEXT");
		}
		if (!to_breakpoint(victim, place)) {
			return false;
		}
		(void)ptrace(PTRACE_POKETEXT, victim, at, (void *)code);
		if (hit == hits) {
			return true;
		}
		if (step_once(victim, 0) != STEP_DONE) {
			return false;
		}
	}
}

#else

uint64_t step_place(pid_t victim)
{
	(void)victim;
	return 0;
}

bool step_run_to(pid_t victim, uint64_t place, uint32_t hits)
{
	(void)victim;
	(void)place;
	(void)hits;
	return false;
}

#endif

bool step_finish(pid_t victim, unsigned usec)
{
	uint64_t end = now_usec() + usec;
	int status = 0;

	if (ptrace(PTRACE_DETACH, victim, NULL, NULL) != 0) {
		return waitpid(victim, &status, __WALL) == victim;
	}
	while (now_usec() < end) {
		if (waitpid(victim, &status, __WALL | WNOHANG) == victim) {
			if (WIFSIGNALED(status)) {
				finding("the victim ended by signal %d", WTERMSIG(status));
			}
			return true;
		}
		usleep(200);
	}
	step_kill(victim);
	return false;
}

void step_kill(pid_t victim)
{
	int status = 0;

	kill(victim, SIGKILL);
	while (waitpid(victim, &status, __WALL) == victim && WIFSTOPPED(status)) {
	}
}
