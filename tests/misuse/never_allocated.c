/* expect: SIGABRT "qalloc: qalloc_free(): block is not live (double free?)" */
/* SPDX-License-Identifier: MIT */
/* A part of the data area that nobody was given is freed. */
#include <stdlib.h>
#include <unistd.h>

#include <qalloc.h>

int main(void)
{
	char path[] = "/tmp/qalloc-misuse-XXXXXX";
	if (mkstemp(path) < 0)
		return 1;
	void *map = qalloc_makedynmap((off_t)1 << 20, NULL, path, 2);
	unlink(path);
	if (map == NULL)
		return 1;
	char *block = qalloc_malloc(map, 100);
	qalloc_free(block + 400000 / 65536 * 65536, map);
	return 0;
}
