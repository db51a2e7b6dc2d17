/* SPDX-License-Identifier: MIT */
/*
 * Which check is switched off in this run: environment variable MUTANT.
 */
#include <stdlib.h>

int mutant(int number);

int mutant(int number)
{
	static int chosen = -2;

	if (chosen == -2) {
		const char *value = getenv("MUTANT");

		chosen = value == NULL ? -1 : atoi(value);
	}
	return number == chosen;
}
