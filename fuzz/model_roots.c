/* SPDX-License-Identifier: MIT */
/*
 * Roots against the model: up to 64 of the names r0 to r71.
 */
#include "model.h"

#include <errno.h>
#include <string.h>

static char forget[QALLOC_ROOTS_MAX][QALLOC_ROOTNAME_MAX + 1];
static uint32_t forget_count;

static const char *name_of(uint32_t i)
{
	static char name[QALLOC_ROOTNAME_MAX + 1];

	memset(name, 0, sizeof(name));
	/* Some as long as can be. */
	memset(name, 'r', i % 3 == 0 ? QALLOC_ROOTNAME_MAX - 2 : 1);
	name[strlen(name) + 1] = '\0';
	name[strlen(name)] = (char)('0' + i / 10);
	name[strlen(name)] = (char)('0' + i % 10);
	return name;
}

static int remember(const char *name, void *value, void *arg)
{
	(void)value;
	(void)arg;
	answer(strlen(name));
	FUZZ_CHECK(forget_count < QALLOC_ROOTS_MAX);
	memcpy(forget[forget_count++], name, strlen(name) + 1);
	return 0;
}

/* A failure that only a held lock explains. */
static bool refused_busy(void)
{
	FUZZ_CHECK(expect_failure() == QALLOC_EBUSY && (model.busy || model.held > 0));
	return true;
}

void roots_forget(void)
{
	forget_count = 0;
	call_enter(0);
	FUZZ_CHECK(qalloc_roots(model.map, remember, NULL) == 0);
	expect_success();
	for (uint32_t i = 0; i < forget_count; i++) {
		call_enter(0);
		if (qalloc_delroot(model.map, forget[i]) == 0) {
			expect_success();
		} else {
			refused_busy();
			model.roots++; /* it keeps its place */
		}
	}
}

static void *value_of(uint32_t i)
{
	return model.root[i] <= 1 ? NULL : (void *)(uintptr_t)model.root[i];
}

static void root_now(uint32_t i, const void *value)
{
	model.roots += model.root[i] == 0;
	model.root[i] = value == NULL ? 1 : (uint64_t)(uintptr_t)value;
}

static void set(uint32_t i, void *value, const bool *matches)
{
	void *expected = matches == NULL || *matches
				 ? value_of(i)
				 : (void *)(uintptr_t)(model.m->base + model.m->geo.data_off + 1);
	bool agrees = expected == value_of(i);
	int result;

	call_enter(0);
	result = matches == NULL ? qalloc_setroot(model.map, name_of(i), value)
				 : qalloc_casroot(model.map, name_of(i), expected, value);
	if (result == 0) {
		expect_success();
		FUZZ_CHECK(agrees);
		root_now(i, value);
		return;
	}
	switch (expect_failure()) {
	case QALLOC_EROOTVALUE:
		FUZZ_CHECK(!agrees);
		break;
	case QALLOC_EROOTFULL:
		FUZZ_CHECK(model.root[i] == 0 && model.roots >= QALLOC_ROOTS_MAX);
		break;
	default:
		refused_busy();
		break;
	}
}

uint64_t root_refer(uint32_t i, void *block)
{
	set(i, block, NULL);
	if (value_of(i) != block || model.root[i] == 0)
		return 0;
	for (uint64_t at = ROOTS_OFF; at < ROOTS_OFF + QALLOC_ROOTS_MAX * ROOT_BYTES;
	     at += ROOT_BYTES) {
		const char *name = (const char *)map_word(model.m, at);

		if ((*map_word(model.m, at + ROOT_STATE) & 1) != 0 &&
		    strncmp(name, name_of(i), QALLOC_ROOTNAME_MAX) == 0)
			return at + ROOT_VALUE;
	}
	fuzz_fail(__FILE__, __LINE__, "a root that was set is in the table");
}

static void get(uint32_t i)
{
	call_enter(0);
	errno = EDOM;
	void *value = qalloc_getroot(model.map, name_of(i));

	FUZZ_CHECK(value == value_of(i));
	if (model.root[i] == 0)
		FUZZ_CHECK(errno == ENOENT && qalloc_error() == QALLOC_EROOTABSENT);
	else
		FUZZ_CHECK(errno == (value == NULL ? 0 : EDOM));
	call_end();
}

static void remove_root(uint32_t i)
{
	call_enter(0);
	if (qalloc_delroot(model.map, name_of(i)) == 0) {
		expect_success();
		FUZZ_CHECK(model.root[i] != 0);
		model.root[i] = 0;
		model.roots--;
		return;
	}
	if (expect_failure() == QALLOC_EROOTABSENT)
		FUZZ_CHECK(model.root[i] == 0);
	else
		refused_busy();
}

static int count(const char *name, void *value, void *arg)
{
	uint32_t *found = arg;

	for (uint32_t i = 0; i < ROOTS_KNOWN; i++) {
		if (model.root[i] != 0 && strcmp(name, name_of(i)) == 0) {
			FUZZ_CHECK(value == value_of(i));
			++*found;
		}
	}
	return 0;
}

void op_roots(uint8_t op)
{
	uint32_t i = take_u8(model.in) % ROOTS_KNOWN;
	void *value = model.count == 0 ? NULL : model.live[i % model.count].at;
	bool matches = (i & 1) != 0;
	uint32_t wanted = 0, found = 0;

	switch (op & 7) {
	case 0:
	case 1:
		set(i, (op & 8) != 0 ? NULL : value, NULL);
		break;
	case 2:
		for (i = 0; i < ROOTS_KNOWN && (op & 8) != 0; i++)
			set(i, value, NULL);
		break;
	case 3:
		set(i, value, &matches);
		break;
	case 4:
		remove_root(i);
		break;
	case 5:
		for (i = 0; i < ROOTS_KNOWN; i++)
			wanted += model.root[i] != 0;
		call_enter(0);
		FUZZ_CHECK(qalloc_roots(model.map, count, &found) == 0 && found == wanted);
		expect_success();
		break;
	default:
		get(i);
		break;
	}
}
