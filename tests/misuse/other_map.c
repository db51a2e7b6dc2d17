/* expect: SIGABRT "qalloc: qalloc_free(): pointer outside the map" */
/* SPDX-License-Identifier: MIT */
/* A block of one map is freed in another. */
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
	char other_path[] = "/tmp/qalloc-misuse-XXXXXX";
	if (mkstemp(other_path) < 0)
		return 1;
	void *other = qalloc_makedynmap((off_t)1 << 20, NULL, other_path, 2);
	unlink(other_path);
	qalloc_free(qalloc_malloc(map, 100), other);
	return 0;
}
