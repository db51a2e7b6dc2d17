/* SPDX-License-Identifier: MIT */
/*
 * Every system call fails.
 *
 *  - A tracer lets the n-th system call of a victim fail, for every n, in each call of the
 *    library: ptrace(2) skips it and puts the error in its place.
 *  - A call that fails for it names an error that fits errno, and leaves no descriptor, no
 *    mapping and no lock behind; the same call then works.  A call that does not need
 *    the system call may succeed, and leaves errno as it was, no error, and no descriptor more than
 *    it does else.  EINTR is nobody's business.
 *  - A munmap(2) that fails leaves what it was to undo, so memory may then be missing, and a lock
 *    that it held; the caller is told if it was closing.  A close(2) that fails has closed, as
 *    Linux does it: the library goes on as if it had worked.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/geo.h"
#include "../support.h"
#include "fail_ops.h"
#include "step.h"
#include "torture.h"

#define CALLS_MAX 3000u
#define ERRNO_BEFORE 4242
#define FRESH_KIB 16u
#define HANDLE_KIB 4u

#define MAY_INTERRUPT 1u /* EINTR may come instead */
#define IS_DONE 2u       /* it does its work, and then says that it failed */
#define GIVES_BACK 4u    /* what it was to give back stays */

/* Which calls fail, and with what. */
struct failing {
	long number;
	const char *name;
	int error;
	unsigned how;
};

#if defined(__x86_64__)
static const struct failing failing[] = {
	{SYS_openat, "openat", EMFILE, MAY_INTERRUPT},
	{SYS_mmap, "mmap", ENOMEM, 0},
	{SYS_mprotect, "mprotect", ENOMEM, 0},
	{SYS_madvise, "madvise", EINVAL, 0},
	{SYS_newfstatat, "fstat", EIO, 0},
	{SYS_fstat, "fstat", EIO, 0},
	{SYS_fstatfs, "fstatfs", EIO, MAY_INTERRUPT},
	{SYS_fcntl, "fcntl", ENOLCK, 0},
	{SYS_pread64, "pread", EIO, MAY_INTERRUPT},
	{SYS_pwrite64, "pwrite", ENOSPC, MAY_INTERRUPT},
	{SYS_ftruncate, "ftruncate", EFBIG, MAY_INTERRUPT},
	{SYS_fallocate, "fallocate", ENOSPC, MAY_INTERRUPT},
	{SYS_fallocate, "fallocate", EOPNOTSUPP, 0},
	{SYS_fallocate, "fallocate", EIO, 0},
	{SYS_lseek, "lseek", EIO, 0},
	{SYS_linkat, "linkat", EPERM, 0},
	{SYS_fsync, "fsync", EIO, MAY_INTERRUPT},
	{SYS_msync, "msync", EIO, MAY_INTERRUPT},
	{SYS_read, "read", EIO, MAY_INTERRUPT},
	{SYS_getrandom, "getrandom", ENOSYS, MAY_INTERRUPT},
	{SYS_prlimit64, "getrlimit", EPERM, 0},
	{SYS_rt_sigaction, "rt_sigaction", EINVAL, 0},
	{SYS_clock_gettime, "clock_gettime", EINVAL, 0},
	{SYS_close, "close", EIO, MAY_INTERRUPT | IS_DONE},
	{SYS_munmap, "munmap", ENOMEM, GIVES_BACK},
};

/* What a process holds that a failed call must give back. */
struct held {
	unsigned descriptors;
	uint64_t mapped_kib;
	bool locked;
	uint64_t owners; /* of the locks in the map */
};

/* Of all locks in the file; 0: nobody has any. */
static uint64_t owners_in(int fd, enum base base)
{
	uint64_t owners = 0, word = 0;
	struct geo g;

	base_geometry(base, &g);
	for (uint64_t i = 0; i < 2 + g.streams + g.records; i++) {
		uint64_t off = i == 0   ? STATE_POOL
			       : i == 1 ? STATE_ROOTS
			       : i < 2 + g.streams
				       ? STREAMS_OFF + (i - 2) * STREAM_BYTES
				       : g.records_off + (i - 2 - g.streams) * RECORD_BYTES;

		if (pread(fd, &word, sizeof(word), (off_t)off) == sizeof(word)) {
			owners |= word;
		}
	}
	return owners;
}

static struct held held_now(const struct world *w)
{
	struct held h = {.descriptors = 0};
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	DIR *dir = opendir("/proc/self/fd");
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long from = 0, to = 0;
	char line[600];

	while (dir != NULL && readdir(dir) != NULL) {
		h.descriptors++;
	}
	while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
		if (sscanf(line, "%lx-%lx", &from, &to) == 2 && strchr(line, '[') == NULL) {
			h.mapped_kib += (to - from) >> 10;
		}
	}
	if (dir != NULL) {
		closedir(dir);
	}
	if (maps != NULL) {
		fclose(maps);
	}
	int fd = open(w->path, O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		h.locked = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
		h.owners = owners_in(fd, w->base);
		close(fd);
	}
	return h;
}

/* Of one victim. */
struct fault {
	const struct op *op;
	struct world *w;
	unsigned at;  /* which call fails; 0: none */
	unsigned set; /* index in failing[] */
	int error;
	const char *name; /* of the call that failed */
	unsigned calls;   /* in all */
	bool hit;
	/* Shared with the victim. */
	struct shared {
		volatile bool undoes; /* what failed was to give something back */
		struct held works;    /* after the call when nothing fails */
	} * shared;
};

__attribute__((format(printf, 2, 3))) static void say(const struct fault *f, const char *format,
						      ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(f->w->text, sizeof(f->w->text), format, args);
	va_end(args);
	f->w->result = 1;
}

static void *opened;

static void *open_and_prepare(void *arg)
{
	struct fault *f = arg;
	bool opens = (f->op->flags & OP_OPENS) != 0;

	/* The memory of the thread and of the registry is made at the first need. */
	(void)qalloc_loadmap("/nowhere");
	if (!opens) {
		opened = world_open(f->w, f->w->path);
		if (opened == NULL) {
			broken("opening");
		}
	}
	f->op->prepare(f->w, opened);
	return NULL;
}

static void prepare(struct fault *f)
{
	pthread_t thread;

	if ((f->op->flags & OP_FRESH) == 0) {
		(void)open_and_prepare(f);
	} else if (pthread_create(&thread, NULL, open_and_prepare, f) != 0 ||
		   pthread_join(thread, NULL) != 0) {
		broken("a thread");
	}
}

/* What it says, or nothing if it leaves all as it should. */
static void after_success(const struct fault *f, const struct held *before, int number,
			  const char *message)
{
	struct held after = held_now(f->w);

	if (f->at == 0) {
		f->shared->works = after;
	}
	if ((f->op->flags & OP_REFUSED) == 0 &&
	    (number != ERRNO_BEFORE || strcmp(qalloc_errmsg(), message) != 0)) {
		say(f, "works, and leaves errno %d and: %s", number, qalloc_errmsg());
	} else if (after.descriptors != f->shared->works.descriptors &&
		   (f->op->flags & OP_CLOSES) == 0) {
		say(f, "works, and leaks a descriptor");
	} else if ((after.owners & ~before->owners) != 0) {
		say(f, "works, and leaves a lock behind");
	}
}

/* A thread has some memory until it ends, and the handle of what was closed its page. */
static bool leaks_memory(const struct fault *f, uint64_t before, uint64_t after)
{
	if ((f->op->flags & OP_CLOSES) != 0) {
		before = f->shared->works.mapped_kib;
	}
	return !f->shared->undoes && after != before &&
	       !((f->op->flags & OP_FRESH) != 0 && after > before && after <= before + FRESH_KIB) &&
	       !((f->op->flags & OP_BURIES) != 0 && after == before + HANDLE_KIB);
}

/* One that cannot be told to be the library's own is not closed. */
static bool leaks_descriptor(const struct fault *f, unsigned before, unsigned after)
{
	return (f->op->flags & OP_CLOSES) == 0 ? after != before
					       : after != before - 1 && after != before;
}

static void after_failure(const struct fault *f, const struct held *before, int number,
			  const char *wrong)
{
	struct held after = held_now(f->w);
	int error = qalloc_error();

	if (error == QALLOC_OK || qalloc_errmsg()[0] == '\0' || number == 0 ||
	    number == ERRNO_BEFORE) {
		say(f, "fails without an error: %s, errno %d", wrong, number);
	} else if (errno_of(error) != 0 && errno_of(error) != number) {
		say(f, "errno %d does not fit error %d: %s", number, error, qalloc_errmsg());
	} else if (leaks_descriptor(f, before->descriptors, after.descriptors)) {
		say(f, "leaks a descriptor");
	} else if (leaks_memory(f, before->mapped_kib, after.mapped_kib)) {
		say(f, "leaks memory: %llu KiB, before %llu", (unsigned long long)after.mapped_kib,
		    (unsigned long long)before->mapped_kib);
	} else if ((after.owners & ~before->owners) != 0 ||
		   (after.locked && !before->locked && !f->shared->undoes)) {
		say(f, "leaves a lock behind");
	} else if ((f->op->flags & OP_CLOSES) != 0) {
		/* What could not be unmapped stays; the map is closed all the same. */
		if (qalloc_closemap(opened) != -1 || qalloc_error() != QALLOC_EHANDLE) {
			say(f, "a map that could not be unmapped is not closed");
		}
	} else {
		wrong = f->op->call(f->w, opened);
		if (wrong != NULL) {
			say(f, "the retry fails: %s", wrong);
		}
	}
}

static void victim_body(void *arg)
{
	static char text[400];
	struct fault *f = arg;
	struct world *w = f->w;

	alarm(60);
	prepare(f);
	struct held before = held_now(w);

	if ((f->op->flags & OP_FRESH) == 0) {
		snprintf(text, sizeof(text), "%s", qalloc_errmsg());
	}
	w->inside = 1;
	step_begin();
	errno = ERRNO_BEFORE;
	const char *wrong = f->op->call(w, opened);
	int number = errno;

	w->inside = 0;
	w->done = 1;
	if (wrong == NULL) {
		after_success(f, &before, number, text);
	} else {
		snprintf(text, sizeof(text), "%s", wrong);
		after_failure(f, &before, number, text);
	}
	_exit(0);
}

static int next_syscall_stop(pid_t victim)
{
	int status = 0;

	if (ptrace(PTRACE_SYSCALL, victim, NULL, NULL) != 0 ||
	    waitpid(victim, &status, __WALL) != victim || !WIFSTOPPED(status)) {
		return -1;
	}
	return WSTOPSIG(status);
}

static const struct failing *failing_of(const struct fault *f, long number)
{
	const struct failing *first = NULL;

	for (size_t i = 0; i < sizeof(failing) / sizeof(failing[0]); i++) {
		if (failing[i].number == number) {
			if (i == f->set) {
				return &failing[i];
			}
			first = first == NULL ? &failing[i] : first;
		}
	}
	return first;
}

/* Runs the call to its end; the `at`-th system call that may fail does.  False: it died. */
static bool trace(struct fault *f, pid_t victim, bool interrupt)
{
	struct user_regs_struct regs;

	f->calls = 0;
	f->hit = f->shared->undoes = false;
	(void)ptrace(PTRACE_SETOPTIONS, victim, NULL, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
	while (f->w->inside) {
		if (next_syscall_stop(victim) != (SIGTRAP | 0x80) ||
		    ptrace(PTRACE_GETREGS, victim, NULL, &regs) != 0) {
			return false;
		}
		if (!f->w->inside) {
			break;
		}
		const struct failing *what = failing_of(f, (long)regs.orig_rax);
		bool now = false;

		if (what != NULL && ++f->calls == f->at) {
			f->error = interrupt ? EINTR : what->error;
			f->name = what->name;
			now = !interrupt || (what->how & MAY_INTERRUPT) != 0;
		}
		if (now) {
			f->hit = true;
			f->shared->undoes = (what->how & GIVES_BACK) != 0;
		}
		if (now && (what->how & IS_DONE) == 0) {
			regs.orig_rax = (unsigned long long)-1;
			(void)ptrace(PTRACE_SETREGS, victim, NULL, &regs);
		}
		if (next_syscall_stop(victim) != (SIGTRAP | 0x80)) {
			return false;
		}
		if (now && ptrace(PTRACE_GETREGS, victim, NULL, &regs) == 0) {
			regs.rax = (unsigned long long)-f->error;
			(void)ptrace(PTRACE_SETREGS, victim, NULL, &regs);
		}
	}
	return true;
}

static void one_fault(struct fault *f, const struct world *template, const char *file,
		      bool interrupt)
{
	char who[300], path[sizeof(f->w->path)];

	memcpy(path, f->w->path, sizeof(path));
	*f->w = *template;
	memcpy(f->w->path, path, sizeof(path));
	f->w->unknown_max = f->op->unknown;
	(void)unlink(path);
	if (access(file, F_OK) == 0) {
		copy_file(file, path);
	}
	pid_t victim = step_start(victim_body, f);

	if (victim < 0) {
		broken("a victim cannot begin");
	}
	bool ended = trace(f, victim, interrupt) && step_finish(victim, 30000000);

	if (f->at != 0 && !f->hit) {
		return;
	}
	snprintf(who, sizeof(who), "%s, system call %u (%s) fails with %s", f->op->name, f->at,
		 f->at == 0 ? "none" : f->name, f->at == 0 ? "nothing" : strerror(f->error));
	campaign_case();
	if (!ended || !f->w->done) {
		finding("%s: does not end, or dies", who);
	} else if (f->w->result != 0) {
		finding("%s: %s", who, f->w->text);
	} else {
		inspect_file(f->w, path, who);
	}
}

static void campaign_op(struct fault *f, const struct op *op)
{
	struct world *template = shared_memory(sizeof(*template));
	char file[400];
	uint64_t before = findings();
	unsigned cases = 0;

	snprintf(file, sizeof(file), "%s", scratch_path("template"));
	world_build(template, op->base, file);
	f->op = op;
	f->at = 0;
	one_fault(f, template, file, false);
	unsigned calls = f->calls;
	unsigned alternatives = sizeof(failing) / sizeof(failing[0]);

	if (calls > CALLS_MAX) {
		finding("%s: %u system calls, of which only %u fail", op->name, calls, CALLS_MAX);
	}
	for (unsigned at = 1; at <= calls && at <= CALLS_MAX; at++) {
		/* In short: those in the middle of a long walk are alike. */
		if (at > 40 && at + 40 < calls && !campaign_long()) {
			continue;
		}
		f->at = at;
		f->set = alternatives;
		one_fault(f, template, file, false);
		one_fault(f, template, file, true);
		for (f->set = 0; f->name != NULL && f->set < alternatives; f->set++) {
			if (f->set > 0 && failing[f->set].number == failing[f->set - 1].number &&
			    strcmp(failing[f->set].name, f->name) == 0) {
				one_fault(f, template, file, false);
			}
		}
		cases++;
	}
	printf("  %-32s %4u system calls, %4u failed, %llu findings\n", op->name, calls, cases,
	       (unsigned long long)(findings() - before));
}

static void body(unsigned i)
{
	static struct fault f;
	const char *word = campaign_argument(0);
	const struct op *op = i < kill_ops_count ? &kill_ops[i] : &fail_ops[i - kill_ops_count];

	if (word != NULL && strstr(op->name, word) == NULL) {
		return;
	}
	if (f.w == NULL) {
		f.w = shared_memory(sizeof(*f.w));
		f.shared = shared_memory(sizeof(*f.shared));
	}
	snprintf(f.w->path, sizeof(f.w->path), "%s", scratch_path("map"));
	campaign_op(&f, op);
}

int main(int argc, char **argv)
{
	const char *why = NULL;

	campaign_begin("sys_fail", argc, argv);
	if (!step_possible(&why)) {
		return campaign_skip(why);
	}
	campaign_each(kill_ops_count + fail_ops_count, body);
	return campaign_end();
}

#else

int main(int argc, char **argv)
{
	campaign_begin("sys_fail", argc, argv);
	return campaign_skip("only x86-64 can replace a system call's result so far");
}

#endif
