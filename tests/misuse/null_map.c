/* expect: SIGABRT "qalloc: qalloc_free(): the map is not open" */
/* SPDX-License-Identifier: MIT */
/* A block is freed without a map. */
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
	qalloc_free(qalloc_malloc(map, 100), NULL);
	return 0;
}
