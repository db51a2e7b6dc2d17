/* SPDX-License-Identifier: MIT */
/*
 * Trails.  See points.h.
 *
 *  - The metadata are mapped PROT_NONE while the victim is stepped: what faults touches them.
 *    For that one instruction they are mapped as they were.
 *  - Which words an instruction changes is seen in the tracer's own mapping of the file.  What
 *    it reads is the word that faulted, or a line of them if it is one that reads more.
 */
#include "points.h"

#if defined(__x86_64__)

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/hdr.h"
#include "step.h"
#include "torture.h"

#define STEPS_MAX 200000u
/* So many looks at one word, in a row or not, and nobody changes it: that is waiting. */
#define ALL_LOOKS_MAX 350u
#define LINE_WORDS 8u

__asm__(".text\n.globl torture_syscall\ntorture_syscall:\n\tsyscall\n\tint3\n");
extern const char torture_syscall[];

/* Lets the victim make a system call between two of its instructions.  False: not mapped yet. */
static bool protect(pid_t victim, int protection)
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
	if (step_once(victim, 0) != STEP_DONE) {
		/* By its alarm, for instance: then this machine is too slow. */
		errno = 0;
		broken(step_ending());
	}
	if (ptrace(PTRACE_GETREGS, victim, NULL, &regs) != 0) {
		broken("PTRACE_GETREGS after mprotect in the victim");
	}
	(void)ptrace(PTRACE_SETREGS, victim, NULL, &saved);
	return regs.rax == 0;
}

/* ---- What the file has ------------------------------------------------------------- */

struct mirror {
	const char *path;
	uint64_t *words, *before;
	ino_t inode;
};

/* A file that comes into being is there when it has its size. */
static void mirror_open(struct mirror *m)
{
	struct stat st;
	int fd = open(m->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		return;
	}
	if (fstat(fd, &st) == 0 && st.st_size == (off_t)MAP_BYTES) {
		m->words = mmap(NULL, META_BYTES, PROT_READ, MAP_SHARED, fd, 0);
		if (m->words == MAP_FAILED) {
			broken("mapping the map");
		}
		memcpy(m->before, m->words, META_BYTES);
	}
	close(fd);
}

/* Notes which words are others than before.  Whether any is. */
static bool mirror_compare(struct mirror *m, uint8_t *changed)
{
	bool any = false;

	if (m->words == NULL || memcmp(m->words, m->before, META_BYTES) == 0) {
		return false;
	}
	for (size_t i = 0; i < META_WORDS; i++) {
		if (m->words[i] != m->before[i]) {
			m->before[i] = m->words[i];
			changed[i] = 1;
			any = true;
		}
	}
	return any;
}

static void mirror_close(struct mirror *m)
{
	if (m->words != NULL) {
		munmap(m->words, META_BYTES);
	}
	free(m->before);
}

/* ---- Recording --------------------------------------------------------------------- */

struct recorder {
	pid_t victim;
	struct trail *t;
	struct mirror mirror;
	bool mapped;
	uint32_t last;  /* `what` of the last point */
	unsigned looks; /* at it, in a row, without a change */
	uint64_t *rips;
	uint16_t all_looks[META_WORDS]; /* since anything changed */
};

static void add_point(struct recorder *r, uint32_t what, bool changes)
{
	struct trail *t = r->t;

	if (t->count == POINTS_MAX) {
		broken("a trail has too many points");
	}
	t->point[t->count].rip = r->rips[t->steps];
	t->point[t->count].hits = t->steps; /* turned into a count at the end */
	t->point[t->count].what = what;
	t->point[t->count++].changes = changes;
	r->looks = what == r->last && !changes ? r->looks + 1 : 0;
	r->last = what;
	if (changes) {
		memset(r->all_looks, 0, sizeof(r->all_looks));
	} else if (what < META_WORDS && ++r->all_looks[what] > ALL_LOOKS_MAX) {
		t->waits = true;
	}
}

static bool path_is_proc(pid_t victim, uint64_t at)
{
	long bytes = ptrace(PTRACE_PEEKDATA, victim, (void *)(uintptr_t)at, NULL);

	return memcmp(&bytes, "/proc/", 6) == 0;
}

/* Calls that another process can see, or that see what another does. */
static bool call_is_seen(pid_t victim, const struct user_regs_struct *regs)
{
	switch (regs->rax) {
	case SYS_fcntl:
		return regs->rsi == F_OFD_SETLK || regs->rsi == F_OFD_GETLK;
	case SYS_madvise:
		return regs->rdx == MADV_REMOVE;
	case SYS_mmap:
		return (int)regs->r8 >= 0;
	case SYS_munmap: /* may be the pin of a lock */
	case SYS_openat: /* not of its own descriptors, nor of what the kernel tells */
		return !path_is_proc(victim, regs->rsi);
	case SYS_linkat:
	case SYS_fstat:
	case SYS_newfstatat:
	case SYS_pread64:
	case SYS_pwrite64:
	case SYS_ftruncate:
	case SYS_fallocate:
	case SYS_lseek:
		return true;
	default:
		return false;
	}
}

static bool call_waits(const struct user_regs_struct *regs)
{
	return (regs->rax == SYS_futex && (regs->rsi & 127) == 0) || regs->rax == SYS_nanosleep ||
	       regs->rax == SYS_clock_nanosleep;
}

static void record_call(struct recorder *r, const struct user_regs_struct *regs)
{
	if (call_waits(regs)) {
		r->t->waits = true;
		return;
	}
	if (step_once(r->victim, 0) != STEP_DONE) {
		broken("the victim is gone");
	}
	if (r->mirror.words == NULL) {
		mirror_open(&r->mirror);
	}
	bool changes = mirror_compare(&r->mirror, r->t->changed);

	if (call_is_seen(r->victim, regs)) {
		add_point(r, POINT_CALL | (uint32_t)regs->rax, changes);
	}
	if (regs->rax == SYS_mmap || regs->rax == SYS_mprotect || regs->rax == SYS_munmap) {
		r->mapped = protect(r->victim, PROT_NONE);
	}
}

/* Vector and string instructions touch more than the word that faults. */
static bool touches_more(long code)
{
	switch (code & 0xFF) {
	case 0x0F:
	case 0x66:
	case 0xC4:
	case 0xC5:
	case 0x62:
	case 0xF2:
	case 0xF3:
		return true;
	default:
		return false;
	}
}

/* The instruction has faulted: it is done again, with the metadata in reach. */
static void record_touch(struct recorder *r, long code)
{
	siginfo_t info;

	if (ptrace(PTRACE_GETSIGINFO, r->victim, NULL, &info) != 0) {
		broken("PTRACE_GETSIGINFO");
	}
	uint64_t at = (uint64_t)(uintptr_t)info.si_addr - (uint64_t)(uintptr_t)MAP_BASE;

	if (at >= META_BYTES || !protect(r->victim, PROT_READ | PROT_WRITE) ||
	    step_once(r->victim, 0) != STEP_DONE || !protect(r->victim, PROT_NONE)) {
		broken("the victim faults");
	}
	for (uint64_t i = 0; i < (touches_more(code) ? LINE_WORDS : 1); i++) {
		if (at / 8 + i < META_WORDS) {
			r->t->touched[at / 8 + i] = 1;
		}
	}
	add_point(r, (uint32_t)(at / 8), mirror_compare(&r->mirror, r->t->changed));
}

/* Not worth stepping: it works on private memory alone. */
static bool is_pure(uint64_t rip)
{
	return rip == (uint64_t)(uintptr_t)crc32c;
}

/* Runs to where the function that begins here returns. */
static bool run_out(pid_t victim, uint64_t rsp)
{
	long back = ptrace(PTRACE_PEEKDATA, victim, (void *)(uintptr_t)rsp, NULL);
	const struct point p = {.rip = (uint64_t)back, .hits = 1};

	return trail_run_to(victim, &p);
}

static void record_step(struct recorder *r)
{
	struct user_regs_struct regs;
	int status = 0;

	(void)ptrace(PTRACE_GETREGS, r->victim, NULL, &regs);
	r->rips[r->t->steps] = regs.rip;
	if (is_pure(regs.rip)) {
		if (!run_out(r->victim, regs.rsp)) {
			broken("the victim is gone");
		}
		return;
	}
	long code = ptrace(PTRACE_PEEKTEXT, r->victim, (void *)regs.rip, NULL);

	if ((code & 0xFFFF) == 0x050F) {
		record_call(r, &regs);
		return;
	}
	if (ptrace(PTRACE_SINGLESTEP, r->victim, NULL, NULL) != 0 ||
	    waitpid(r->victim, &status, __WALL) != r->victim || !WIFSTOPPED(status)) {
		broken("the victim is gone");
	}
	if (WSTOPSIG(status) == SIGSEGV) {
		record_touch(r, code);
	}
}

/* From numbers of steps to how often execution had come to the address. */
static void count_hits(struct recorder *r)
{
	for (unsigned i = 0; i < r->t->count; i++) {
		struct point *p = &r->t->point[i];
		uint32_t hits = 1;

		for (uint32_t step = 0; step < p->hits; step++) {
			hits += r->rips[step] == p->rip;
		}
		p->hits = hits;
	}
}

void trail_record(pid_t victim, volatile const int *inside, const char *path, unsigned looks,
		  struct trail *t)
{
	static struct recorder r;

	r = (struct recorder){.victim = victim, .t = t, .mirror = {.path = path}};
	memset(t, 0, sizeof(*t));
	r.rips = malloc(STEPS_MAX * sizeof(*r.rips));
	r.mirror.before = malloc(META_BYTES);
	if (r.rips == NULL || r.mirror.before == NULL) {
		broken("malloc");
	}
	mirror_open(&r.mirror);
	r.mapped = protect(victim, PROT_NONE);
	while (*inside && !t->waits) {
		record_step(&r);
		t->waits = t->waits || r.looks >= looks;
		if (++t->steps == STEPS_MAX) {
			broken("a trail has too many steps");
		}
	}
	if (r.mapped) {
		(void)protect(victim, PROT_READ | PROT_WRITE);
	}
	count_hits(&r);
	mirror_close(&r.mirror);
	free(r.rips);
}

bool trail_run_to(pid_t victim, const struct point *p)
{
	return step_run_to(victim, p->rip, p->hits);
}

/* ---- Footprints ----------------------------------------------------------------------- */

void trail_merge(struct trail *to, const struct trail *from)
{
	for (size_t i = 0; i < META_WORDS; i++) {
		to->touched[i] |= from->touched[i];
		to->changed[i] |= from->changed[i];
	}
}

bool trail_conflict(const struct trail *a, const struct trail *b, uint32_t word)
{
	return (a->changed[word] && (b->touched[word] || b->changed[word])) ||
	       (b->changed[word] && (a->touched[word] || a->changed[word]));
}

#endif
