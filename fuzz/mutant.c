/* SPDX-License-Identifier: MIT */
/*
 * A main() for a harness that is built from mutants.c's copy of the sources: which of the checks that
 * are switched off, one at a time, does a corpus notice?
 *
 *   fuzz_x ANSWERS FOLDER...     reads the numbers of the mutants from stdin
 *
 *  - First every input runs with all checks, and what they find is noted: a mutant is tried only on the
 *    inputs where it finds something else.
 *  - Each mutant runs in a child.  Noticed: it ends by a signal (a sanitizer, a property, three seconds
 *    of processor time for one input), or an input answers something else than recorded.
 *  - MUTANT_INPUTS: how many inputs for each mutant at most.
 *  - Prints the numbers of those that were noticed, and by which input.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "answers.h"

#define MUTANTS_MAX 4096u
#define INPUTS_MAX 4096u
#define INPUT_MAX ((size_t)64 << 10)
#define INPUT_SECONDS 3
#define NONE (-2) /* no mutant: all inputs run, and none may notice anything */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);
int mutant(int number);
bool saw(int number, int otherwise, bool value);
extern bool fuzz_repeats;

#ifdef MUTANT_FUZZED

/* A fuzzer brings its own main(): the environment chooses. */
int mutant(int number)
{
	static int chosen = -2;

	if (chosen == -2) {
		const char *value = getenv("MUTANT");

		chosen = value == NULL ? -1 : atoi(value);
	}
	return number == chosen;
}

bool saw(int number, int otherwise, bool value)
{
	(void)number;
	(void)otherwise;
	return value;
}

#else

struct one_input {
	uint8_t *bytes;
	size_t size;
	const uint32_t *recorded; /* what it answers; NULL: anything */
	char name[64];
	uint8_t passes[MUTANTS_MAX / 8]; /* bit: this mutant makes a difference */
};

static struct one_input *inputs;
static size_t count;
static size_t *order; /* in which they are tried */
static uint8_t *passing;
static int chosen = -1;

const char *__asan_default_options(void)
{
	return "abort_on_error=1:detect_leaks=0:malloc_context_size=0:handle_segv=0";
}

/* Called by each check: whether it is switched off. */
int mutant(int number)
{
	return number == chosen;
}

/* What a check finds, and what the mutant finds instead: the same makes no difference. */
bool saw(int number, int otherwise, bool value)
{
	if (passing != NULL && value != otherwise)
		passing[number / 8] |= (uint8_t)(1u << number % 8);
	return value;
}

static void read_input(const char *path)
{
	struct one_input *in = &inputs[count];
	FILE *f = fopen(path, "rb");

	if (f == NULL || count == INPUTS_MAX) {
		perror(path);
		exit(2);
	}
	snprintf(in->name, sizeof(in->name), "%.63s", strrchr(path, '/') + 1);
	in->recorded = answers_of(path);
	in->bytes = malloc(INPUT_MAX);
	if (in->bytes == NULL)
		exit(2);
	in->size = fread(in->bytes, 1, INPUT_MAX, f);
	fclose(f);
	count++;
}

static void read_folder(const char *path)
{
	struct dirent **names = NULL;
	int found = scandir(path, &names, NULL, alphasort);
	char name[4096];

	for (int i = 0; i < found; i++) {
		snprintf(name, sizeof(name), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.' && strcmp(names[i]->d_name, "README") != 0)
			read_input(name);
	}
}

static void clock_start(void)
{
	struct itimerval limit = {.it_value.tv_sec = INPUT_SECONDS};

	setitimer(ITIMER_PROF, &limit, NULL);
}

static bool reaches(const struct one_input *in, int number)
{
	return number == NONE || (in->passes[number / 8] >> number % 8 & 1) != 0;
}

/* Whether this input notices nothing. */
static bool passes_by(const struct one_input *in)
{
	LLVMFuzzerTestOneInput(in->bytes, in->size);
	uint32_t number = answers_end();

	return in->recorded == NULL || *in->recorded == number;
}

/* Those first that noticed most; the number of the one that runs is where the parent sees it. */
static _Noreturn void run_all(int number, volatile size_t *at)
{
	int quiet = open("/dev/null", O_WRONLY);
	const char *limit = getenv("MUTANT_INPUTS");
	size_t most = limit == NULL ? count : strtoul(limit, NULL, 10);

	dup2(quiet, STDERR_FILENO);
	close(quiet);
	chosen = number;
	for (size_t i = 0; i < count && most > 0; i++) {
		if (!reaches(&inputs[order[i]], number))
			continue;
		most--;
		*at = i;
		clock_start();
		if (!passes_by(&inputs[order[i]]))
			_exit(1);
	}
	_exit(0);
}

/* Who noticed one goes to the front: it will notice others. */
static void to_front(size_t at)
{
	size_t input = order[at];

	memmove(order + 1, order, at * sizeof(*order));
	order[0] = input;
}

/* Whether a child that runs the inputs notices it; *at: the last one that it began. */
static bool notices(int number, volatile size_t *at)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		run_all(number, at);
	if (child < 0 || waitpid(child, &status, 0) != child) {
		perror("fork");
		exit(2);
	}
	return status != 0;
}

static void try(int number, volatile size_t *at)
{
	if (notices(number, at)) {
		printf("%d %s\n", number, inputs[order[*at]].name);
		to_front(*at);
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct rlimit no_core = {0, 0};
	int number;

	if (argc < 3 || !answers_read(argv[1]))
		return 2;
	setrlimit(RLIMIT_CORE, &no_core);
	fuzz_repeats = true;
	inputs = calloc(INPUTS_MAX, sizeof(*inputs));
	order = calloc(INPUTS_MAX, sizeof(*order));
	size_t *at =
		mmap(NULL, sizeof(*at), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (inputs == NULL || order == NULL || at == MAP_FAILED)
		return 2;
	for (int i = 2; i < argc; i++)
		read_folder(argv[i]);
	for (size_t i = 0; i < count; i++) {
		order[i] = i;
		passing = inputs[i].passes;
		if (!passes_by(&inputs[i])) {
			fprintf(stderr, "%s: answers something else than recorded\n",
				inputs[i].name);
			return 2;
		}
	}
	passing = NULL;
	/* What a child notices must be the mutant, and not that it is a child. */
	if (notices(NONE, at)) {
		fprintf(stderr, "%s: fails in a child without any mutant\n",
			inputs[order[*at]].name);
		return 2;
	}
	while (scanf("%d", &number) == 1)
		try(number, at);
	return 0;
}

#endif
