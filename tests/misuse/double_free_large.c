/* expect: SIGABRT "qalloc: qalloc_free(): block is not live (double free?)" */
/* SPDX-License-Identifier: MIT */
/* A block of many spans is freed twice. */
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
	void *block = qalloc_malloc(map, 300000);
	qalloc_free(block, map);
	qalloc_free(block, map);
	return 0;
}
