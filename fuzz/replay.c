/* SPDX-License-Identifier: MIT */
/*
 * A main() for a harness, without any fuzzer: runs it once on each file, and on each
 * file of each folder.  Any compiler will do.
 *
 *   build/replay/fuzz_header corpus/header corpus/regressions
 *   build/replay/fuzz_ops -v FILE                says what the program does
 *   build/replay/fuzz_ops -a ANSWERS FOLDER...   and compares what it answers with what is recorded
 *   build/replay/fuzz_ops -w FOLDER...           prints what is to be recorded
 */
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answers.h"

#define INPUT_MAX ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

extern bool fuzz_verbose, fuzz_repeats;

static unsigned long files, differing;
static bool compares, records;
static char current[4096];

/* Findings end with abort(), so that the handler below can name the file. */
const char *__asan_default_options(void)
{
	return "abort_on_error=1:detect_leaks=0";
}

static void answered(const char *path, uint32_t number)
{
	const char *slash = strrchr(path, '/');
	const uint32_t *recorded = compares ? answers_of(path) : NULL;

	if (records)
		printf("%08x %s\n", number, slash == NULL ? path : slash + 1);
	if (!compares || (recorded != NULL && *recorded == number))
		return;
	fprintf(stderr, "%s: %s\n", path,
		recorded == NULL ? "no answer is recorded: make fuzz-answers"
				 : "answers something else than recorded in corpus/answers");
	differing++;
}

static int run_file(const char *path)
{
	static uint8_t bytes[INPUT_MAX];
	FILE *f = fopen(path, "rb");

	if (f == NULL) {
		perror(path);
		return 1;
	}
	size_t size = fread(bytes, 1, sizeof(bytes), f);

	fclose(f);
	files++;
	LLVMFuzzerTestOneInput(bytes, size);
	answered(path, answers_end());
	return 0;
}

static int run_path(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent **names = NULL;
	int failed = 0;

	if (dir == NULL) {
		snprintf(current, sizeof(current), "%s\n", path);
		return run_file(path);
	}
	closedir(dir);
	int count = scandir(path, &names, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		char name[4096];

		if (names[i]->d_name[0] != '.' && strcmp(names[i]->d_name, "README") != 0) {
			snprintf(name, sizeof(name), "%s/%s", path, names[i]->d_name);
			failed |= run_path(name);
		}
		free(names[i]);
	}
	free(names);
	return failed;
}

static void on_abort(int number)
{
	if (write(STDERR_FILENO, "input: ", 7) > 0 &&
	    write(STDERR_FILENO, current, strlen(current)) > 0)
		signal(number, SIG_DFL);
	raise(number);
}

int main(int argc, char **argv)
{
	int failed = 0, i = 1;

	signal(SIGABRT, on_abort);
	fuzz_repeats = true;
	if (argc > 2) {
		fuzz_verbose = strcmp(argv[1], "-v") == 0;
		records = strcmp(argv[1], "-w") == 0;
		compares = strcmp(argv[1], "-a") == 0;
		i += fuzz_verbose + records + 2 * compares;
	}
	if (compares && !answers_read(argv[2]))
		return 2;
	for (; i < argc; i++)
		failed |= run_path(argv[i]);
	failed |= differing != 0;
	if (!records)
		printf("%lu files, %s\n", files, failed ? "failed" : "no finding");
	return failed || files == 0;
}
