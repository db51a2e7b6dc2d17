/* SPDX-License-Identifier: MIT */
/*
 * Other processes: children, roles, and what is shared with them.  See support.h.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

#define PATH_BYTES 4096
#define HANG_SECONDS 60

static char program[PATH_BYTES];

int check_failed(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: in a child: %s is false; errno %s; qalloc: %s\n", file, line,
		condition, strerror(errno), qalloc_errmsg());
	return 1;
}

pid_t start_child(child_fn *body, void *arg)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		give_up("fork", "");
	if (pid == 0) {
		/* A fault must end the child, and not go on with cmocka's next test. */
		static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS};
		for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
			signal(faults[i], SIG_DFL);
		_exit(body(arg));
	}
	return pid;
}

int wait_child(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) != pid) {
		if (errno != EINTR)
			give_up("waitpid", "");
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : SIGNALLED + WTERMSIG(status);
}

uint64_t now_msec(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void rest_usec(uint64_t usec)
{
	const struct timespec t = {(time_t)(usec / 1000000), (long)(usec % 1000000 * 1000)};
	nanosleep(&t, NULL);
}

int wait_bounded(pid_t pid)
{
	uint64_t deadline = now_msec() + HANG_SECONDS * 1000;
	int status;
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now_msec() > deadline) {
			fprintf(stderr, "process %d hangs\n", (int)pid);
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return -1;
		}
		rest_usec(2000);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : SIGNALLED + WTERMSIG(status);
}

int in_child(child_fn *body, void *arg)
{
	return wait_child(start_child(body, arg));
}

void roles(int argc, char **argv, const struct role *table, size_t count)
{
	if (realpath(argv[0], program) == NULL)
		give_up("realpath", argv[0]);
	if (argc < 4 || strcmp(argv[1], "--role") != 0)
		return;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(argv[2], table[i].name) == 0)
			exit(table[i].body(argv[3]));
	}
	give_up("no such role", argv[2]);
}

pid_t start_role(const char *name, const char *arg)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		give_up("fork", "");
	if (pid == 0) {
		execl(program, program, "--role", name, arg, (char *)NULL);
		_exit(127);
	}
	return pid;
}

int in_role(const char *name, const char *arg)
{
	return wait_child(start_role(name, arg));
}

uint64_t *shared_words(size_t count)
{
	uint64_t *words = mmap(NULL, count * sizeof(uint64_t), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (words == MAP_FAILED)
		give_up("mmap", "");
	return words;
}

void release_shared_words(uint64_t *words, size_t count)
{
	munmap(words, count * sizeof(uint64_t));
}

void open_gate(uint64_t *gate)
{
	__atomic_sub_fetch(gate, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(gate, __ATOMIC_ACQUIRE) != 0)
		sched_yield();
}
