/* SPDX-License-Identifier: MIT */
/* A list in a file, one node longer after each run: malloc, a root, plain pointers. */
#include <qalloc.h>
#include <stdio.h>

struct node {
	struct node *next;
	int number;
};

int main(void)
{
	void *map = qalloc_makedynmap(1 << 20, NULL, "hello.map", 1);
	struct node *node = map ? qalloc_malloc(map, sizeof(*node)) : NULL;

	if (!node)
		return fprintf(stderr, "%s\n", qalloc_errmsg()), 1;
	node->next = qalloc_getroot(map, "list");
	node->number = node->next ? node->next->number + 1 : 1;
	qalloc_setroot(map, "list", node);
	for (; node; node = node->next)
		printf("run %d\n", node->number);
	return qalloc_cleanup() != 0;
}
