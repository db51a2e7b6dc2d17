/* expect: SIGABRT "qalloc: qalloc_free(): block is not live (double free?)" */
/* SPDX-License-Identifier: MIT */
/* An item is freed twice. */
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
	void *item = qalloc_statmalloc(map);
	qalloc_statfree(item, map);
	qalloc_statfree(item, map);
	return 0;
}
