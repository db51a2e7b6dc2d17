/* SPDX-License-Identifier: MIT */
/*
 * A main() for a harness that is built from mutants.c's copy of the sources: which of the checks that
 * are switched off, one at a time, does a corpus notice?
 *
 *   fuzz_x FIRST END FOLDER...     numbers of mutants, [FIRST, END); or, read from stdin: FIRST = END
 *
 *  - First every input runs with all checks, and what it evaluates is noted: a mutant
 *    is tried only on the inputs that come past it.
 *  - Each mutant runs in a child.  Noticed: it ends by a signal (a sanitizer, a property, a second
 *    of processor time for one input) or with a status that is not 0.
 *  - MUTANT_INPUTS: how many inputs for each mutant at most.
 *  - Prints the numbers of those that were noticed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUTANTS_MAX 4096u
#define INPUTS_MAX 4096u
#define INPUT_MAX ((size_t)64 << 10)
#define INPUT_SECONDS 1

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);
int mutant(int number);

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

#else

struct one_input {
	uint8_t *bytes;
	size_t size;
	uint8_t passes[MUTANTS_MAX / 8]; /* bit: it evaluates this mutant */
};

static struct one_input *inputs;
static size_t count;
static uint8_t *passing;
static int chosen = -1;

const char *__asan_default_options(void)
{
	return "abort_on_error=1:detect_leaks=0:malloc_context_size=0:handle_segv=0";
}

/* Called by each check: whether it is switched off. */
int mutant(int number)
{
	if (passing != NULL)
		passing[number / 8] |= (uint8_t)(1u << number % 8);
	return number == chosen;
}

static void read_input(const char *path)
{
	struct one_input *in = &inputs[count];
	FILE *f = fopen(path, "rb");

	if (f == NULL || count == INPUTS_MAX) {
		perror(path);
		exit(2);
	}
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

static bool evaluates(const struct one_input *in, int number)
{
	return (in->passes[number / 8] >> number % 8 & 1) != 0;
}

static _Noreturn void run_all(int number)
{
	int quiet = open("/dev/null", O_WRONLY);

	dup2(quiet, STDERR_FILENO);
	size_t most = getenv("MUTANT_INPUTS") == NULL ? count
						      : strtoul(getenv("MUTANT_INPUTS"), NULL, 10);
	size_t passed = 0, seen = 0;

	for (size_t i = 0; i < count; i++)
		passed += evaluates(&inputs[i], number);
	chosen = number;
	for (size_t i = 0; i < count; i++) {
		/* Evenly, if there are too many. */
		if (!evaluates(&inputs[i], number) ||
		    (passed > most && seen * most / passed == (seen + 1) * most / passed)) {
			seen += evaluates(&inputs[i], number);
			continue;
		}
		seen++;
		clock_start();
		LLVMFuzzerTestOneInput(inputs[i].bytes, inputs[i].size);
	}
	_exit(0);
}

static void try(int number)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		run_all(number);
	if (child < 0 || waitpid(child, &status, 0) != child) {
		perror("fork");
		exit(2);
	}
	if (status != 0)
		printf("%d\n", number);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct rlimit no_core = {0, 0};
	int number;

	if (argc < 4)
		return 2;
	setrlimit(RLIMIT_CORE, &no_core);
	inputs = calloc(INPUTS_MAX, sizeof(*inputs));
	if (inputs == NULL)
		return 2;
	for (int i = 3; i < argc; i++)
		read_folder(argv[i]);
	for (size_t i = 0; i < count; i++) {
		passing = inputs[i].passes;
		LLVMFuzzerTestOneInput(inputs[i].bytes, inputs[i].size);
	}
	passing = NULL;
	for (number = atoi(argv[1]); number < atoi(argv[2]); number++)
		try(number);
	while (strcmp(argv[1], argv[2]) == 0 && scanf("%d", &number) == 1)
		try(number);
	return 0;
}

#endif
