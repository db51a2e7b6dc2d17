/* SPDX-License-Identifier: MIT */
/*
 * The parent: makes the maps, starts the workers, kills one in the middle of a document, shows how
 * far they are, and hands over to a fresh process, this program with --query.
 */
#include <errno.h>
#include <getopt.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wordindex.h"

#define WORK_BYTES (48u << 20) /* of text in all rounds: a second or two */
#define WORKERS_MAX 64u
#define TICK_USEC 1000
#define SHOW_TICKS 40
#define LINE_BYTES 80 /* a line that wraps cannot be drawn again */
#define KILL_TRIES_MAX 100u

struct run {
	struct store store;
	const char *dir;
	struct worker *victim; /* NULL: nobody was killed yet */
	uint32_t workers, rounds, alive, kill_tries, shown, told;
	bool tty, keep, failed;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = number;
}

static const char *path_of(const char *dir, const char *file)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	return path;
}

static char temporary[4000]; /* the directory, if it is ours */
static pid_t parent;

static void remove_temporary(void)
{
	if (getpid() != parent)
		return; /* a worker that failed */
	unlink(path_of(temporary, WORDS_MAP));
	unlink(path_of(temporary, POSTINGS_MAP));
	rmdir(temporary);
}

/* Sparse files with plenty of room: what is never used costs nothing. */
static void make_maps(struct run *r, size_t bytes)
{
	off_t size = qalloc_dynmap_filesize((16u << 20) + 16 * bytes, r->workers);
	void *map = qalloc_makedynmap(size, NULL, path_of(r->dir, WORDS_MAP), r->workers);

	r->store.words = need_map(map);
	size = qalloc_statmap_filesize(sizeof(struct posting), 2 * bytes + 4096, r->workers);
	map = qalloc_makestatmap(size, NULL, path_of(r->dir, POSTINGS_MAP), sizeof(struct posting),
				 r->workers);
	r->store.postings = need_map(map);
}

static void make_index(struct run *r, char **paths, uint32_t count, size_t bytes)
{
	void *map = r->store.words;
	struct index *index = need_map(qalloc_calloc(map, 1, sizeof(*index)));

	index->document_count = count;
	index->worker_count = r->workers;
	index->text_bytes = bytes;
	index->rounds =
		r->rounds ? r->rounds : (uint32_t)(2 + WORK_BYTES / (bytes + 512ul * count + 1));
	index->documents = need_map(qalloc_calloc(map, count, sizeof(*index->documents)));
	index->workers = need_map(qalloc_calloc(map, r->workers, sizeof(*index->workers)));
	for (uint32_t i = 0; i < count; i++) {
		index->documents[i].path = need_map(qalloc_malloc(map, strlen(paths[i]) + 1));
		strcpy(index->documents[i].path, paths[i]);
	}
	/* It is complete before it can be found.  If there is one already, that one stays. */
	if (qalloc_casroot(map, INDEX_ROOT, NULL, index) != 0) {
		fprintf(stderr, "wordindex: %s; is there an index already? --query asks it\n",
			qalloc_errmsg());
		exit(1);
	}
	r->store.index = index;
}

/* Of the names only regular files count, and no links: licences have several names. */
static void prepare(struct run *r, char **names, size_t count)
{
	char **paths = need(calloc(count + 1, sizeof(*paths)), "names");
	struct stat file;
	uint32_t n = 0;
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++) {
		if (lstat(names[i], &file) == 0 && S_ISREG(file.st_mode)) {
			paths[n++] = need(realpath(names[i], NULL), names[i]);
			bytes += (size_t)file.st_size;
		}
	}
	errno = ENOENT;
	need(paths[0], "text to index");
	make_maps(r, bytes);
	make_index(r, paths, n, bytes);
	while (n > 0)
		free(paths[--n]);
	free(paths);
}

static void start_worker(struct run *r, uint32_t number)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			work(&r->store, number);
		_exit(0);
	}
	need(pid < 0 ? NULL : r, "fork");
	r->store.index->workers[number - 1].pid = pid;
	r->alive++;
}

static void note_end(struct run *r, struct worker *w, int status)
{
	if (status != 0 && !w->killed && !interrupted) {
		fprintf(stderr, "\nwordindex: pid %d ended with status 0x%x\n", w->pid, status);
		r->failed = true;
	}
	r->alive--;
	w->gone = true; /* from now on others may take what it had claimed */
}

/*
 * Stops a worker, looks where it is, and kills it if it is in the middle of a document: claimed,
 * some postings made (after many tries: or none), not published.  The worker does not cooperate.
 */
static void try_kill(struct run *r, struct worker *w)
{
	int status;

	kill(w->pid, SIGSTOP);
	if (waitpid(w->pid, &status, WUNTRACED) == w->pid && !WIFSTOPPED(status)) {
		note_end(r, w, status);
		return;
	}
	if (w->document && (w->postings > 0 || r->kill_tries++ > KILL_TRIES_MAX)) {
		/* Only the worker that we have stopped could free this edition. */
		const struct edition *published =
			r->store.index->documents[w->document - 1].edition;

		w->killed = !published || published->round < w->round;
		r->victim = w->killed ? w : NULL;
	}
	kill(w->pid, w->killed ? SIGKILL : SIGCONT);
}

/* What happened stays on the screen; below it one line is drawn again and again on a terminal. */
static void show(struct run *r, uint32_t percent)
{
	static const char bar[] = "####################....................";
	const struct index *index = r->store.index;
	const char *clear = r->tty ? "\r\033[K" : "", *between = "  ";
	char line[LINE_BYTES];
	int len;

	if (r->victim && r->told == 0 && ++r->told)
		printf("%s  worker %u is killed in the middle of %s\n", clear,
		       (unsigned)(r->victim - index->workers) + 1,
		       document_name(index, r->victim->document));
	if (r->victim && r->told == 1 && r->victim->heir && ++r->told)
		printf("%s  worker %u takes %s over\n", clear, r->victim->heir,
		       document_name(index, r->victim->document));
	fflush(stdout);
	if (!r->tty && percent / 20 < r->shown)
		return;
	r->shown = percent / 20 + 1;
	len = snprintf(line, sizeof(line), "  [%.20s] %3u %%", bar + 20 - percent / 5, percent);
	for (uint32_t i = 0; i < r->workers && len < LINE_BYTES; i++) {
		uint32_t document = index->workers[i].document;

		if (document && !index->workers[i].killed) {
			len += snprintf(line + len, (size_t)(LINE_BYTES - len), "%s%s", between,
					document_name(index, document));
			between = " | ";
		}
	}
	printf("%s%s%s", clear, line, r->tty ? "" : "\n");
	fflush(stdout);
}

static void watch(struct run *r)
{
	struct index *index = r->store.index;
	uint64_t all = (uint64_t)index->rounds * index->document_count, done = 0;
	int status;

	for (uint32_t tick = 0; r->alive > 0 && !interrupted; tick++) {
		struct worker *w = &index->workers[tick % r->workers];

		if (!r->victim && !w->gone && done >= all * 2 / 5)
			try_kill(r, w);
		if (!w->gone && waitpid(w->pid, &status, WNOHANG) == w->pid)
			note_end(r, w, status);
		done = 0;
		for (uint32_t i = 0; i < r->workers; i++)
			done += index->workers[i].editions;
		if (tick % SHOW_TICKS == 0)
			show(r, (uint32_t)(100 * done / all));
		if (r->victim || done < all * 2 / 5)
			usleep(TICK_USEC);
	}
	show(r, (uint32_t)(100 * done / all));
	printf("%s", r->tty ? "\n" : "");
	if (!r->victim && !interrupted)
		printf("No worker could be killed while it worked: was there too little to do?\n");
}

static int ask_fresh_process(const struct run *r)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/proc/self/exe", "wordindex", "--query", r->dir, (char *)NULL);
		_exit(127);
	}
	return pid < 0 || waitpid(pid, &status, 0) != pid || status != 0;
}

static int run(struct run *r, char **names, size_t count)
{
	int bad;

	prepare(r, names, count);
	printf("%u documents, %lu KiB of text: %u workers index all of it %u times over\n",
	       r->store.index->document_count, (unsigned long)(r->store.index->text_bytes / 1024),
	       r->workers, r->store.index->rounds);
	fflush(stdout);
	for (uint32_t i = 1; i <= r->workers; i++)
		start_worker(r, i);
	watch(r);
	bad = !r->victim || r->failed || qalloc_cleanup() != 0;
	fflush(stdout);
	bad |= interrupted || ask_fresh_process(r);
	if (r->keep)
		printf("The maps stay: wordindex --query %s WORD...\n", r->dir);
	return bad;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: wordindex [--workers N] [--rounds N] [--dir DIR] [--keep] [FILE...]\n"
		"       wordindex --query DIR [WORD...]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"workers", required_argument, NULL, 'w'}, {"rounds", required_argument, NULL, 'r'},
		{"dir", required_argument, NULL, 'd'},     {"keep", no_argument, NULL, 'k'},
		{"query", required_argument, NULL, 'q'},   {NULL, 0, NULL, 0}};
	const char *asked = NULL, *tmp = getenv("TMPDIR");
	struct sigaction stop = {.sa_handler = on_signal};
	struct run r = {.workers = 4, .tty = isatty(STDOUT_FILENO)};
	glob_t found = {0};

	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == 'w')
			r.workers = (uint32_t)strtoul(optarg, NULL, 10);
		else if (option == 'r')
			r.rounds = (uint32_t)strtoul(optarg, NULL, 10);
		else if (option == 'd')
			r.dir = optarg;
		else if (option == 'k')
			r.keep = true;
		else if (option == 'q')
			asked = optarg;
		else
			return usage();
	}
	if (asked)
		return query(asked, argv + optind, argc - optind);
	if (r.workers < 2 || r.workers > WORKERS_MAX)
		return usage();
	parent = getpid();
	if (r.dir) {
		r.keep = true;
		mkdir(r.dir, 0700);
	} else {
		snprintf(temporary, sizeof(temporary), "%s/wordindex.XXXXXX", tmp ? tmp : "/tmp");
		r.dir = need(mkdtemp(temporary), temporary);
		if (!r.keep)
			atexit(remove_temporary);
	}
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	if (optind < argc)
		return run(&r, argv + optind, (size_t)(argc - optind));
	if (glob("/usr/share/common-licenses/*", 0, NULL, &found) != 0) {
		glob("README*", 0, NULL, &found);
		glob("LICENSE*", GLOB_APPEND, NULL, &found);
		glob("man/qalloc.*", GLOB_APPEND, NULL, &found);
	}
	return run(&r, found.gl_pathv, found.gl_pathc);
}
