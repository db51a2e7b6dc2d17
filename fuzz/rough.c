/* SPDX-License-Identifier: MIT */
/*
 * Programs without a model: whatever the map's bytes are, only errors and addresses inside the map
 * may come out, each call ends in bounded time and takes bounded disk space.
 *
 *  - Blocks are touched at both ends: an address that is not in the map faults.
 *  - Stores of the adversary come between calls, and inside them before any load of a
 *    word of the map (fake.countdown).
 */
#include "rough.h"

#include <errno.h>
#include <string.h>

#define VISITS_MAX 200000u
/* A program that goes on and on finds no more than several short ones. */
#define STEPS_MAX 32u
#define REOPENS_MAX 1u
#define LOOKS_MAX 3u
#define LOADS_MAX (fuzz_repeats ? 60000u : 6000u)
#define FILLED_MAX ((size_t)64 << 10)
#define STOPPED 5 /* what a visitor returns */

struct rough r;

static const char *const names[] = {"a",
				    "b",
				    "root",
				    "",
				    "01234567890123456789012345678901234567890123456",
				    "012345678901234567890123456789012345678901234567"};

static const char *take_name(void)
{
	return names[take_u8(r.in) % (sizeof(names) / sizeof(names[0]))];
}

static bool inside(const void *block, uint64_t size)
{
	uint64_t at = (uint64_t)(uintptr_t)block;

	return at >= r.start && at < r.end && size <= r.end - at;
}

/* A block that the library handed out. */
static void touch(void *block, uint64_t size)
{
	uint8_t slot = take_u8(r.in) % BLOCKS;

	if (block == NULL) {
		expect_failure();
		return;
	}
	expect_success();
	FUZZ_CHECK(inside(block, size));
	answer((uint64_t)(uintptr_t)block - r.base);
	if (size > 0) {
		((volatile uint8_t *)block)[0] = 0xA5;
		((volatile uint8_t *)block)[size - 1] = 0x5A;
	}
	r.blocks[slot] = block;
}

/* A pointer: a block, near one, anywhere in the map, or anywhere. */
static void *take_pointer(void)
{
	uint8_t how = take_u8(r.in);
	void *block = r.blocks[how % BLOCKS];

	switch (how >> 5) {
	case 0:
	case 1:
	case 2:
	case 3:
		return block;
	case 4:
		return block == NULL ? NULL : (char *)block + take_u8(r.in);
	case 5:
		return (void *)(uintptr_t)(r.start + take_bytes(r.in, 3) * 16);
	case 6:
		return (void *)(uintptr_t)(r.base + take_bytes(r.in, 5));
	default:
		return (void *)(uintptr_t)take_bytes(r.in, 8);
	}
}

/* ---- Operations ----------------------------------------------------------- */

static int visit(void *block, size_t size, void *arg)
{
	(void)arg;
	FUZZ_CHECK(inside(block, size));
	FUZZ_CHECK(++r.visits <= VISITS_MAX + file_allocated());
	answer((uint64_t)(uintptr_t)block - r.base);
	answer(size);
	r.blocks[r.visits % BLOCKS] = block;
	errno = ERRNO_VISITOR;
	return 0;
}

/* Looks at one block, whose page may be gone, and has seen enough. */
static int visit_one(void *block, size_t size, void *arg)
{
	(void)visit(block, size, arg);
	word_hook(block);
	return STOPPED;
}

static int visit_root(const char *name, void *value, void *arg)
{
	(void)arg;
	FUZZ_CHECK(strlen(name) <= QALLOC_ROOTNAME_MAX);
	FUZZ_CHECK(value == NULL || inside(value, 1));
	answer(strlen(name) + (value == NULL ? 0 : (uint64_t)(uintptr_t)value - r.base));
	errno = ERRNO_VISITOR;
	return 0;
}

static void report(const char *finding, void *arg)
{
	FUZZ_CHECK(finding[0] != '\0');
	answer((uint64_t)finding[0] + (uint64_t)finding[5] * 256);
	++*(uint64_t *)arg;
}

static void op_allocate(uint8_t op)
{
	size_t size = take_size(r.in, r.m);
	size_t align = (size_t)1 << (op & 3) * 7;
	void *block = NULL;

	/* Whoever asks for gigabytes of zeros gets them, and waits. */
	if ((op & 4) != 0 && size > FILLED_MAX && size - size % 3 <= r.end - r.start)
		size %= FILLED_MAX;
	call_enter(size);
	switch (op >> 2 & 3) {
	case 0:
		block = (op & 3) == 3   ? qalloc_dynmalloc(r.map, size)
			: (op & 3) == 2 ? qalloc_statmalloc(r.map)
					: qalloc_malloc(r.map, size);
		size = (op & 3) == 2 ? 0 : size;
		break;
	case 1:
		size /= 3;
		block = qalloc_calloc(r.map, 3, size);
		size *= 3;
		break;
	case 2:
		call_enter(size + align);
		block = qalloc_aligned_alloc(r.map, align, size);
		FUZZ_CHECK((uint64_t)(uintptr_t)block % align == 0);
		break;
	default:
		block = qalloc_realloc(r.map, take_pointer(), size);
		break;
	}
	touch(block, size);
}

static void op_free(uint8_t op)
{
	void *block = take_pointer();
	size_t size;

	call_enter(0);
	switch (op & 3) {
	case 0:
	case 1:
		expect(qalloc_tryfree(block, r.map) == 0);
		break;
	case 2:
		/* A handler is installed. */
		if ((op & 12) == 8)
			qalloc_statfree(block, r.map);
		else if ((op & 12) == 12)
			qalloc_dynfree(block, r.map);
		else
			qalloc_free(block, r.map);
		call_end();
		break;
	default:
		size = qalloc_usable_size(r.map, block);
		expect(size != 0);
		FUZZ_CHECK(size == 0 || inside(block, size));
		answer(size);
		break;
	}
}

static void op_roots(uint8_t op)
{
	const char *name = take_name();
	void *value, *other;

	switch (op & 7) {
	case 0:
	case 1:
		value = take_pointer();
		call_enter(0);
		expect(qalloc_setroot(r.map, name, value) == 0);
		break;
	case 2:
	case 3:
		call_enter(0);
		value = qalloc_getroot(r.map, name);
		FUZZ_CHECK(value == NULL || inside(value, 1));
		answer(value == NULL ? 0 : (uint64_t)(uintptr_t)value - r.base);
		if (value != NULL)
			expect_success();
		else if (errno != 0)
			expect_failure();
		break;
	case 4:
		call_enter(0);
		expect(qalloc_delroot(r.map, name) == 0);
		break;
	case 5:
		value = take_pointer();
		other = take_pointer();
		call_enter(0);
		expect(qalloc_casroot(r.map, name, value, other) == 0);
		break;
	default:
		call_enter(0);
		expect(qalloc_roots(r.map, visit_root, NULL) == 0);
		break;
	}
}

static void answer_info(const struct qalloc_info *info)
{
	answer(info->live_blocks);
	answer(info->live_bytes);
	answer(info->free_bytes);
	answer(info->largest_free);
	answer(info->disk_bytes);
	answer(info->processes);
	answer(info->left);
	answer(info->reserves);
	answer(info->flags);
	answer(info->fragmentation);
}

static void op_look(uint8_t op)
{
	struct qalloc_info info = {.size = sizeof(info)};
	uint64_t found = 0;
	uint64_t off;
	int result;

	call_enter(0);
	switch (op & 7) {
	case 0:
	case 1:
		r.visits = 0;
		result = qalloc_walk(r.map, (op & 8) != 0 ? visit_one : visit, NULL);
		if (result == STOPPED)
			call_end();
		else
			expect(result == 0);
		break;
	case 2:
	case 3:
		result = qalloc_check(r.map, report, &found);
		FUZZ_CHECK(result == 0 ? found == 0
				       : found > 0 || qalloc_error() != QALLOC_ECORRUPT);
		expect(result == 0);
		break;
	case 4:
		expect(qalloc_mapinfo(r.map, &info) == 0);
		answer_info(&info);
		break;
	case 5:
		off = qalloc_offset(r.map, take_pointer());
		FUZZ_CHECK(off == 0 || inside((void *)(uintptr_t)(r.base + off), 1));
		answer(off);
		break;
	case 6:
		off = take_bytes(r.in, 5);
		off = (uint64_t)(uintptr_t)qalloc_address(
			r.map, (op & 8) != 0 ? r.start - r.base + off % (r.end - r.start) : off);
		FUZZ_CHECK(off == 0 || inside((void *)(uintptr_t)off, 1));
		answer(off == 0 ? 0 : off - r.base);
		break;
	default:
		expect(((op & 8) != 0 ? qalloc_checkpoint() : qalloc_sync(r.map)) == 0);
		break;
	}
}

static void opened(void *map)
{
	r.map = map;
	r.m = map;
	if (map == NULL)
		return;
	r.base = r.m->base;
	r.start = r.base + r.m->geo.data_off;
	r.end = r.base + r.m->geo.data_end;
	FUZZ_CHECK(geo_is_valid(&r.m->geo));
}

void rough_open(void)
{
	call_enter(0);
	opened(qalloc_openfd(r.fd, r.options));
	expect(r.map != NULL);
}

/* Keeps a few blocks, and frees all others. */
static int reach(void *block, size_t size, struct qalloc_marks *marks, void *arg)
{
	(void)size;
	(void)arg;
	FUZZ_CHECK(inside(block, 1));
	FUZZ_CHECK(++r.visits <= VISITS_MAX + file_allocated());
	qalloc_mark(marks, r.blocks[r.visits % BLOCKS]);
	return r.visits % 64 == 63 ? STOPPED : 0;
}

/* A block and the pointer to it, together. */
static void op_publish(uint8_t op)
{
	uint8_t how = take_u8(r.in);
	bool by_name = (how & 1) != 0;
	void **where = by_name ? NULL : take_pointer();
	const char *name = by_name ? take_name() : NULL;
	size_t size = take_size(r.in, r.m);
	size_t freed;

	call_enter(size);
	switch (op & 3) {
	case 0:
		touch(by_name ? qalloc_malloc_toroot(r.map, size, name)
			      : qalloc_malloc_to(r.map, size, where),
		      size);
		break;
	case 1:
		expect((by_name ? qalloc_free_fromroot(r.map, name)
				: qalloc_free_from(r.map, where)) == 0);
		break;
	case 2:
		touch(by_name ? qalloc_realloc_toroot(r.map, size, name)
			      : qalloc_realloc_to(r.map, size, where),
		      size);
		break;
	default:
		r.visits = how;
		freed = by_name ? 0 : SIZE_MAX;
		if (by_name)
			expect(qalloc_recover(r.map) == 0);
		else if (qalloc_sweep(r.map, reach, NULL, &freed) != STOPPED)
			call_end();
		FUZZ_CHECK(freed != SIZE_MAX);
		answer(freed);
		break;
	}
}

/* Close and open again.  What an adversary did to the header may be a reason not to. */
static void op_reopen(void)
{
	void *closed = r.map;

	/* Whether its descriptor still is the map's, a close must be able to see. */
	uint32_t fault_in = fake.fault_in;

	fake.fault_in = 0;
	call_enter(0);
	expect(qalloc_closemap(r.map) == 0);
	call_enter(0);
	expect(qalloc_malloc(closed, 1) != NULL);
	FUZZ_CHECK(qalloc_error() == QALLOC_EHANDLE);
	fake.fault_in = fault_in;
	rough_open();
}

/* What private memory a call needs, it gives back. */
static void give_back(void (*operation)(uint8_t), uint8_t op)
{
	uint64_t before = private_bytes();

	operation(op);
	FUZZ_CHECK(private_bytes() == before);
}

static void op_around(uint8_t op)
{
	uint8_t calls;

	switch (op & 24) {
	case 0:
		if (r.reopens++ < REOPENS_MAX)
			op_reopen();
		break;
	case 8:
		calls = take_u8(r.in);
		if (calls >= 128 && fuzz_repeats)
			each_call_fails(op, (calls & 3u) == 0 ? UINT32_MAX : 3u - (calls & 3u));
		else
			fault_arm(1 + calls % 64, op);
		break;
	case 16:
		if ((op & 4) != 0)
			wrong_arguments(r.map, r.fd, op);
		else
			give_back(op_publish, op);
		break;
	default:
		thread_become(op);
		break;
	}
}

void rough_step(uint8_t op)
{
	trace(op, r.in->left);
	switch (op >> 5) {
	case 0:
	case 1:
		op_allocate(op);
		break;
	case 2:
	case 3:
		op_free(op);
		break;
	case 4:
		op_roots(op);
		break;
	case 5:
		if (r.looks++ < LOOKS_MAX)
			give_back(op_look, op);
		break;
	case 6:
		op_around(op);
		break;
	default:
		if (r.hostile && op == 0xE4)
			every_load_sees_another();
		else if (r.hostile && (op & 24) == 8)
			each_load_sees();
		else if (r.hostile && (op & 16) != 0)
			fake.countdown = 1 + take_u8(r.in);
		else if (r.hostile)
			scribble();
		else if (op == 0xE8)
			in_a_child();
		break;
	}
}

static void ignore_misuse(void *map, void *block, int error, void *arg)
{
	(void)block;
	(void)arg;
	answer((uint64_t)error);
	FUZZ_CHECK(map == r.map || (map == NULL && error == QALLOC_EHANDLE));
	FUZZ_CHECK(map == NULL || error == QALLOC_EWILD || error == QALLOC_EINTERIOR ||
		   error == QALLOC_ENOTLIVE);
}

void rough_run(void *map, int fd, const struct qalloc_options *options, struct input *program,
	       bool hostile)
{
	r = (struct rough){.fd = fd, .options = options, .in = program, .hostile = hostile};
	opened(map);
	fake.scribble = scribble;
	qalloc_onmisuse(ignore_misuse, NULL);
	while (r.map != NULL && r.in->left > 0 && r.steps++ < STEPS_MAX && fake.loads < LOADS_MAX)
		rough_step(take_u8(r.in));
	if (r.map != NULL) {
		fake.countdown = 0;
		fake.fault_in = 0;
		expect_initialized(r.m);
		call_enter(0);
		expect(qalloc_closemap(r.map) == 0);
	}
	thread_become(0);
}
