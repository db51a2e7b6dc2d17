/* expect: SIGABRT "qalloc: qalloc_free(): pointer is not the start of a block" */
/* SPDX-License-Identifier: MIT */
/* A pointer into an item is freed. */
#include <stdlib.h>
#include <unistd.h>

#include <qalloc.h>

int main(void)
{
	char path[] = "/tmp/qalloc-misuse-XXXXXX";
	if (mkstemp(path) < 0)
		return 1;
	void *map = qalloc_makestatmap((off_t)1 << 20, NULL, path, 64, 2);
	unlink(path);
	if (map == NULL)
		return 1;
	char *item = qalloc_statmalloc(map);
	qalloc_free(item + 8, map);
	return 0;
}
