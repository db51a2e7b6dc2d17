/* SPDX-License-Identifier: MIT */
/*
 * Stepping a victim, one instruction at a time.
 *
 *  - A victim is a child that ptrace(2) traces.  It prepares itself, marks the beginning of the
 *    call under test with a trap, and its end by clearing a word that is shared with the tracer.
 *  - It dies with its tracer.
 */
#ifndef QALLOC_TORTURE_STEP_H
#define QALLOC_TORTURE_STEP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Whether this machine lets us step; *why says what is missing. */
bool step_possible(const char **why);

/* Forks a child that runs body(arg) up to its step_begin(). */
pid_t step_start(void (*body)(void *arg), void *arg);

/* In the victim: the call under test comes now. */
void step_begin(void);

enum step { STEP_DONE, STEP_ENDED };

/* One instruction; `sig` is delivered before it, 0: none.  ENDED: the victim is gone. */
enum step step_once(pid_t victim, int sig);

/* How the victim that was seen last to have ended did: "a victim was ended by signal 14 (Alarm clock)". */
const char *step_ending(void);

/* The address of its next instruction; 0: this machine does not tell. */
uint64_t step_place(pid_t victim);

/*
 * Runs it until it has come to `place` so many times, from 1, this very moment included.  False: it
 * ended before, or this machine cannot.
 */
bool step_run_to(pid_t victim, uint64_t place, uint32_t hits);

/* Lets it run until it ends by itself or `usec` are over; then it is gone.  True: it ended. */
bool step_finish(pid_t victim, unsigned usec);

/* Kills it and waits until the kernel has torn it down. */
void step_kill(pid_t victim);

#endif
