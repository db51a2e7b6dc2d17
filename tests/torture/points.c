/* SPDX-License-Identifier: MIT */
/*
 * Finding switch points.  See points.h.
 *
 *  - The metadata are mapped PROT_NONE while the victim is stepped: what faults touches them.
 *    For that one instruction they are mapped as they were.
 */
#include "points.h"

#if defined(__x86_64__)

#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "step.h"
#include "torture.h"

#define META_BYTES ((size_t)128 << 10)

__asm__(".text\n.globl torture_syscall\ntorture_syscall:\n\tsyscall\n\tint3\n");
extern const char torture_syscall[];

/* Lets the victim make a system call between two of its instructions. */
static void protect(pid_t victim, int protection)
{
	struct user_regs_struct saved, regs;

	if (ptrace(PTRACE_GETREGS, victim, NULL, &saved) != 0) {
		broken("PTRACE_GETREGS");
	}
	regs = saved;
	regs.rip = (unsigned long long)(uintptr_t)torture_syscall;
	regs.rax = SYS_mprotect;
	regs.orig_rax = (unsigned long long)-1;
	regs.rdi = (unsigned long long)(uintptr_t)MAP_BASE;
	regs.rsi = META_BYTES;
	regs.rdx = (unsigned long long)protection;
	(void)ptrace(PTRACE_SETREGS, victim, NULL, &regs);
	if (step_once(victim, 0) != STEP_DONE || ptrace(PTRACE_GETREGS, victim, NULL, &regs) != 0 ||
	    regs.rax != 0) {
		broken("mprotect in the victim");
	}
	(void)ptrace(PTRACE_SETREGS, victim, NULL, &saved);
}

/* Steps one instruction; whether it touched the map, or is a system call. */
static bool step_and_see(pid_t victim)
{
	struct user_regs_struct regs;
	int status = 0;

	(void)ptrace(PTRACE_GETREGS, victim, NULL, &regs);
	bool calls = (ptrace(PTRACE_PEEKTEXT, victim, (void *)regs.rip, NULL) & 0xFFFF) == 0x050F;

	if (ptrace(PTRACE_SINGLESTEP, victim, NULL, NULL) != 0 ||
	    waitpid(victim, &status, __WALL) != victim || !WIFSTOPPED(status)) {
		broken("the victim is gone");
	}
	if (WSTOPSIG(status) != SIGSEGV) {
		return calls;
	}
	protect(victim, PROT_READ | PROT_WRITE);
	if (step_once(victim, 0) != STEP_DONE) {
		broken("the victim is gone");
	}
	protect(victim, PROT_NONE);
	return true;
}

/* The steps before which a switch is worth while, when the side runs alone. */
unsigned find_points(pid_t victim, volatile const int *inside, unsigned *points)
{
	unsigned count = 0, steps = 0;

	protect(victim, PROT_NONE);
	while (*inside) {
		if (step_and_see(victim) && count < POINTS_MAX - 1) {
			points[count++] = steps;
		}
		steps++;
	}
	points[count++] = steps;
	return count;
}

#endif
