/* expect: SIGABRT "qalloc: qalloc_realloc(): block is not live (double free?)" */
/* SPDX-License-Identifier: MIT */
/* A block that was freed is resized. */
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
	void *block = qalloc_malloc(map, 100);
	qalloc_free(block, map);
	return qalloc_realloc(map, block, 200) == NULL;
}
