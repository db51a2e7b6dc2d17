/* expect: SIGABRT "qalloc: qalloc_free(): pointer is not the start of a block" */
/* SPDX-License-Identifier: MIT */
/* A pointer that no block can have is freed. */
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
	qalloc_free(block + 1, map);
	return 0;
}
