/* SPDX-License-Identifier: MIT */
/*
 * qalloc_sweep(): frees every block that the program cannot reach.
 *
 *  - The roots are where reaching begins; the program says what each block refers to.
 *  - Marks and the blocks still to be looked at are private memory, so that nothing of
 *    the map has changed when the program, or a pointer, turns out to be wrong.
 */
#include <errno.h>
#include <string.h>

#include "block.h"
#include "publish.h"

/* Blocks begin at multiples of this. */
#define UNIT_BYTES 8u
#define STACK_MIN 4096u /* bytes */

struct qalloc_marks {
	struct map *m;
	uint64_t *bits; /* one for each unit of the data area: the block there is reachable */
	uint64_t bits_bytes;
	uint64_t *stack; /* blocks that are reachable and not yet looked at */
	uint64_t stack_bytes;
	uint64_t depth; /* entries */
	uint64_t freed;
	bool failed;
	struct kept why; /* it failed */
};

static bool is_marked(const struct qalloc_marks *marks, uint64_t rel)
{
	uint64_t unit = rel / UNIT_BYTES;

	return (marks->bits[unit / 64] >> (unit % 64) & 1) != 0;
}

static int stack_grow(struct qalloc_marks *marks)
{
	uint64_t bytes = marks->stack_bytes * 2;
	uint64_t *stack = os_map_private(bytes);

	if (stack == NULL) {
		return err_fail(QALLOC_ESYSTEM, "%s: private memory: %e", marks->m->path);
	}
	memcpy(stack, marks->stack, marks->stack_bytes);
	os_unmap(marks->stack, marks->stack_bytes);
	marks->stack = stack;
	marks->stack_bytes = bytes;
	return 0;
}

static int mark(struct qalloc_marks *marks, const void *block)
{
	struct block b;
	uint64_t rel = 0;

	/* A pointer into the unit of a marked block is not that block. */
	if (map_rel(marks->m, block, &rel) && rel % UNIT_BYTES == 0 && is_marked(marks, rel)) {
		return 0;
	}
	if (block_resolve(marks->m, block, &b) != 0) {
		return -1;
	}
	if (marks->depth == marks->stack_bytes / 8 && stack_grow(marks) != 0) {
		return -1;
	}
	marks->stack[marks->depth++] = b.rel;
	marks->bits[b.rel / UNIT_BYTES / 64] |= (uint64_t)1 << (b.rel / UNIT_BYTES % 64);
	return 0;
}

int qalloc_mark(struct qalloc_marks *marks, const void *block)
{
	if (marks == NULL) {
		return err_fail(QALLOC_EARGUMENT, "marks: NULL, wanted what the call was given");
	}
	if (!marks->failed && block != NULL && mark(marks, block) != 0) {
		marks->failed = true;
		kept_take(&marks->why);
	}
	return marks->failed ? -1 : 0;
}

static int mark_root(const char *name, void *value, void *arg)
{
	(void)name;
	return qalloc_mark(arg, value);
}

static int mark_all(struct qalloc_marks *marks, qalloc_reach_fn *reach, void *arg)
{
	struct map *m = marks->m;

	if (qalloc_roots(m, mark_root, marks) != 0) {
		return -1;
	}
	while (marks->depth > 0) {
		void *address = map_address(m, marks->stack[--marks->depth]);
		size_t size = qalloc_usable_size(m, address);

		if (size == 0) {
			return -1;
		}
		int stop = reach(address, size, marks, arg);

		if (marks->failed) {
			kept_put_back(&marks->why);
			return -1;
		}
		if (stop != 0) {
			return stop;
		}
	}
	return 0;
}

static int sweep_block(void *block, size_t size, void *arg)
{
	struct qalloc_marks *marks = arg;
	uint64_t rel = 0;

	(void)size;
	if (map_rel(marks->m, block, &rel) && !is_marked(marks, rel)) {
		if (qalloc_tryfree(block, marks->m) != 0) {
			return -1;
		}
		marks->freed++;
	}
	return 0;
}

static int marks_begin(struct qalloc_marks *marks, struct map *m)
{
	uint64_t units = (m->geo.data_end - m->geo.data_off) / UNIT_BYTES + 1;

	memset(marks, 0, sizeof(*marks));
	marks->m = m;
	marks->bits_bytes = page_up(units / 8 + 8);
	marks->stack_bytes = page_up(STACK_MIN);
	marks->bits = os_map_private(marks->bits_bytes);
	marks->stack = os_map_private(marks->stack_bytes);
	if (marks->bits == NULL || marks->stack == NULL) {
		return err_fail(QALLOC_ESYSTEM, "%s: private memory: %e", m->path);
	}
	return 0;
}

static void marks_end(struct qalloc_marks *marks)
{
	if (marks->bits != NULL) {
		os_unmap(marks->bits, marks->bits_bytes);
	}
	if (marks->stack != NULL) {
		os_unmap(marks->stack, marks->stack_bytes);
	}
}

/* What others allocate meanwhile is not reachable yet. */
static int alone(struct map *m)
{
	if (map_owner(m) == 0 || map_fd(m) < 0) {
		return -1;
	}
	uint64_t processes = map_processes(m, QALLOC_PROCESSES_MAX);

	if (processes == PROCESSES_UNKNOWN) {
		return err_fail(QALLOC_ESYSTEM, "%s: counting who is attached: %e", m->path);
	}
	if (processes > 1) {
		return err_fail(QALLOC_EINUSE,
				"%s: %u processes are attached, wanted this one alone", m->path,
				processes);
	}
	return 0;
}

int qalloc_sweep(void *map, qalloc_reach_fn *reach, void *arg, size_t *freed)
{
	struct map *m = map_writable(map);
	struct qalloc_marks marks;
	int saved = errno;

	if (freed != NULL) {
		*freed = 0;
	}
	if (m == NULL) {
		return -1;
	}
	if (reach == NULL) {
		return err_fail(QALLOC_EARGUMENT, "reach: NULL, wanted a function");
	}
	if (alone(m) != 0 || publish_recover(m) != 0) {
		return -1;
	}
	int result = marks_begin(&marks, m);

	if (result == 0) {
		result = mark_all(&marks, reach, arg);
	}
	if (result == 0) {
		result = qalloc_walk(m, sweep_block, &marks);
	}
	if (freed != NULL) {
		*freed = marks.freed;
	}
	marks_end(&marks);
	if (result == 0) {
		errno = saved; /* Whatever `reach` left. */
	}
	return result;
}
