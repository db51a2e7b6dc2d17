/* expect: SIGABRT "qalloc: qalloc_free(): pointer outside the map" */
/* SPDX-License-Identifier: MIT */
/* A block of malloc(3) is freed. */
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
	qalloc_free(malloc(100), map);
	return 0;
}
