/* SPDX-License-Identifier: MIT */
/*
 * Counting, scratch files, and the world of a victim.  See torture.h.
 */
#include "torture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../src/geo.h"
#include "../support.h"

#define PRINTED_MAX 20u
#define JOBS_MAX 64u
#define ARGUMENTS_MAX 4u

struct counters {
	uint64_t cases, findings;
	uint64_t findings_of[JOBS_MAX + 1]; /* each job */
	unsigned next;                      /* for campaign_each() */
};

static struct counters *counters;
static const char *campaign_name;
static bool campaign_is_long;
static const char *arguments[ARGUMENTS_MAX + 1];
static unsigned jobs = 1, job; /* the number of this process, 0: it is the only one */
static char directory[256];

void broken(const char *what)
{
	fprintf(stderr, "%s: the campaign cannot go on: %s: %s (%s)\n", campaign_name, what,
		errno == 0 ? "no call failed" : strerror(errno), qalloc_errmsg());
	exit(2);
}

void *shared_memory(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		broken("mmap");
	}
	return p;
}

static void read_arguments(int argc, char **argv)
{
	unsigned count = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--long") == 0) {
			campaign_is_long = true;
		} else if (strcmp(argv[i], "-j") == 0 && i + 1 < argc) {
			jobs = (unsigned)strtoul(argv[++i], NULL, 10);
		} else if (strcmp(argv[i], "--short") != 0 && count < ARGUMENTS_MAX) {
			arguments[count++] = argv[i];
		}
	}
	jobs = jobs < 1 ? 1 : jobs > JOBS_MAX ? JOBS_MAX : jobs;
}

void campaign_begin(const char *name, int argc, char **argv)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");

	setvbuf(stdout, NULL, _IOLBF, 0);
	campaign_name = name;
	read_arguments(argc, argv);
	counters = shared_memory(sizeof(*counters));
	snprintf(directory, sizeof(directory), "%s/qalloc-%s-XXXXXX", base == NULL ? "/tmp" : base,
		 name);
	if (mkdtemp(directory) == NULL) {
		broken(directory);
	}
}

bool campaign_long(void)
{
	return campaign_is_long;
}

const char *campaign_argument(unsigned i)
{
	return i < ARGUMENTS_MAX ? arguments[i] : NULL;
}

void campaign_case(void)
{
	__atomic_fetch_add(&counters->cases, 1, __ATOMIC_RELAXED);
}

uint64_t findings(void)
{
	return __atomic_load_n(&counters->findings_of[job], __ATOMIC_RELAXED);
}

void finding(const char *format, ...)
{
	va_list args;
	uint64_t n = __atomic_add_fetch(&counters->findings, 1, __ATOMIC_RELAXED);

	__atomic_fetch_add(&counters->findings_of[job], 1, __ATOMIC_RELAXED);
	if (n > PRINTED_MAX) {
		return;
	}
	char text[1024];

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	printf("FINDING %s: %s\n", campaign_name, text);
	fflush(stdout);
}

static void work_off(unsigned count, void (*body)(unsigned i))
{
	unsigned i = 0;

	while ((i = __atomic_fetch_add(&counters->next, 1, __ATOMIC_RELAXED)) < count) {
		body(i);
	}
}

void campaign_each(unsigned count, void (*body)(unsigned i))
{
	pid_t pids[JOBS_MAX];

	counters->next = 0;
	if (jobs == 1) {
		work_off(count, body);
		return;
	}
	fflush(stdout);
	for (unsigned n = 0; n < jobs; n++) {
		pids[n] = fork();
		if (pids[n] < 0) {
			broken("fork");
		}
		if (pids[n] == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			job = n + 1;
			work_off(count, body);
			fflush(stdout);
			_exit(0);
		}
	}
	for (unsigned n = 0; n < jobs; n++) {
		expect_well(pids[n], "a part of the campaign");
	}
}

static void remove_directory(void)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		(void)unlinkat(dirfd(dir), entry->d_name, 0);
	}
	if (dir != NULL) {
		closedir(dir);
	}
	(void)rmdir(directory);
}

int campaign_end(void)
{
	if (counters->findings == 0) {
		remove_directory();
	} else {
		printf("%s: files are kept in %s\n", campaign_name, directory);
	}
	printf("%s: cases %llu, findings %llu\n", campaign_name,
	       (unsigned long long)counters->cases, (unsigned long long)counters->findings);
	return counters->findings != 0 || counters->cases == 0;
}

int campaign_skip(const char *why)
{
	remove_directory();
	printf("%s: skipped: %s\n", campaign_name, why);
	return campaign_is_long;
}

const char *scratch_directory(void)
{
	return directory;
}

const char *scratch_path(const char *name)
{
	static char paths[8][400];
	static unsigned next;
	char *path = paths[next++ % 8];

	if (job == 0) {
		snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	} else {
		snprintf(path, sizeof(paths[0]), "%s/%u-%s", directory, job, name);
	}
	return path;
}

uint64_t now_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void write_bytes(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t done = 0;

	while (fd >= 0 && done < len) {
		ssize_t n = write(fd, (const char *)bytes + done, len - done);

		if (n <= 0) {
			broken(path);
		}
		done += (size_t)n;
	}
	if (fd < 0 || close(fd) != 0) {
		broken(path);
	}
}

void copy_file(const char *from, const char *to)
{
	static char bytes[4 * MAP_BYTES];
	int fd = open(from, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));

	if (n < 0) {
		broken(from);
	}
	close(fd);
	write_bytes(to, bytes, (size_t)n);
}

void expect_well(pid_t pid, const char *who)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR) {
			broken("waitpid");
		}
	}
	if (WIFSIGNALED(status)) {
		finding("%s: ended by signal %d (%s)", who, WTERMSIG(status),
			WTERMSIG(status) == SIGALRM ? "it hung" : strsignal(WTERMSIG(status)));
	} else if (WEXITSTATUS(status) != 0) {
		finding("%s: exit status %d", who, WEXITSTATUS(status));
	}
}

/* ---- The world ----------------------------------------------------------- */

void *world_open(const struct world *w, const char *path)
{
	struct qalloc_options o = {.size = sizeof(o), .flags = QALLOC_CREATE};

	o.kind = base_is_static(w->base) ? QALLOC_STATIC : QALLOC_DYNAMIC;
	o.itemsize = base_is_static(w->base) ? ITEM_BYTES : 0;
	o.filesize = (off_t)MAP_BYTES;
	o.streams = w->base == BASE_ONE ? 1 : 3;
	o.addr = MAP_BASE;
	if (base_zeroes(w->base)) {
		o.flags |= QALLOC_ZERO_ON_FREE;
	}
	return qalloc_openmap(path, &o);
}

void base_geometry(enum base base, struct geo *g)
{
	struct params p = {.file_size = MAP_BYTES, .base = (uint64_t)(uintptr_t)MAP_BASE};

	p.kind = base_is_static(base) ? QALLOC_STATIC : QALLOC_DYNAMIC;
	p.item_size = base_is_static(base) ? ITEM_BYTES : 0;
	p.streams = base == BASE_ONE ? 1 : 3;
	if (geo_compute(&p, g) != QALLOC_OK) {
		broken("geometry");
	}
}

void *world_take(struct world *w, void *map, size_t size)
{
	void *block = qalloc_malloc(map, size);

	if (block != NULL && w->count < KNOWN_MAX) {
		struct known *k = &w->known[w->count];

		*k = (struct known){.at = block, .size = size, .seed = w->count + 1};
		fill(block, size, k->seed);
		w->count++;
	}
	return block;
}

unsigned world_fill(struct world *w, void *map, size_t size)
{
	unsigned n = 0;

	while (world_take(w, map, size) != NULL) {
		n++;
	}
	return n;
}

/* One process, alone, lays the blocks that every victim finds. */
static int build(struct world *w)
{
	static const size_t sizes[] = {24, 24, 100, 5000, 24, 600, 24, 9000, 24, 100, 100};
	void *map = world_open(w, w->path);

	if (map == NULL) {
		return 1;
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (world_take(w, map, base_is_static(w->base) ? ITEM_BYTES : sizes[i]) == NULL) {
			return 1;
		}
	}
	if (qalloc_setroot(map, "known", w->known[0].at) != 0) {
		return 1;
	}
	return qalloc_cleanup() != 0;
}

void world_build(struct world *w, enum base base, const char *path)
{
	int status = 0;

	memset(w, 0, sizeof(*w));
	w->base = base;
	snprintf(w->path, sizeof(w->path), "%s", path);
	(void)unlink(path);
	if (base == BASE_ABSENT) {
		return;
	}
	if (base == BASE_EMPTY) {
		write_bytes(path, "", 0);
		return;
	}
	pid_t pid = fork();

	if (pid == 0) {
		_exit(build(w));
	}
	if (waitpid(pid, &status, 0) != pid || status != 0) {
		broken("building a map");
	}
}
