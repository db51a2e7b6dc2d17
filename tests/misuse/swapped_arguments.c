/* expect: SIGABRT "qalloc: qalloc_free(): the map is not open" */
/* SPDX-License-Identifier: MIT */
/* The map is freed in the block. */
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
	qalloc_free(map, qalloc_malloc(map, 100));
	return 0;
}
