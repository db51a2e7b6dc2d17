/* SPDX-License-Identifier: MIT */
/*
 * qalloc_check(): every rule of qalloc(5) about the mutable part of a map.
 *
 *  - Reads copies only, skips the holes of the file, and always advances.
 *  - First without the pool's lock.  If that finds anything in a writable map, once
 *    more inside the pool: what a dead holder left undone is repaired by entering, and
 *    what a live one is doing is over then.
 *  - A read-only map cannot be repaired: tails inside the range of its intent are
 *    for the next writer to free, and no finding.
 *  - The caller's function is called at the end, outside the pool.
 */
#include <string.h>

#include "check.h"
#include "pool.h"
#include "scan.h"

#define FINDINGS_KEPT 256u

struct finding {
	const char *what;
	const char *name;
	uint64_t index;
};

struct verify {
	struct map *m;
	uint64_t taken;                      /* no span at or above this one is taken */
	uint64_t intent_first, intent_end;   /* of a read-only map; equal: none */
	uint64_t orphans_first, orphans_end; /* tails in that range that are no finding yet */
	uint64_t findings;
	struct finding kept[FINDINGS_KEPT];
};

static void found(struct verify *v, const char *what, const char *name, uint64_t index)
{
	if (v->findings < FINDINGS_KEPT) {
		v->kept[v->findings] = (struct finding){.what = what, .name = name, .index = index};
	}
	v->findings++;
}

static void report_all(const struct verify *v, qalloc_report_fn *report, void *arg)
{
	char text[256];

	for (uint64_t i = 0; i < v->findings && i < FINDINGS_KEPT; i++) {
		err_format(text, sizeof(text), "%s %u: %s", v->kept[i].name, v->kept[i].index,
			   v->kept[i].what);
		report(text, arg);
	}
	if (v->findings > FINDINGS_KEPT) {
		err_format(text, sizeof(text), "and %u more", v->findings - FINDINGS_KEPT);
		report(text, arg);
	}
}

static const char *const finding_texts[] = {
	[CHECK_CLEAN] = "clean",
	[CHECK_WORD] = "its word is no valid span word",
	[CHECK_TAIL_ORPHAN] = "a tail that belongs to no run",
	[CHECK_RUN_BROKEN] = "the run before it is shorter than its head says",
	[CHECK_FREE_LIVE] = "live bits, and no small blocks",
	[CHECK_BITS_BEYOND] = "live bits beyond the blocks of the span",
	[CHECK_ROOT_NAME] = "its name is not a string padded with zeros",
	[CHECK_ROOT_VALUE] = "its value is outside the data area",
	[CHECK_ROOT_TWICE] = "another root has the same name",
};

/* Orphans that fill the end of the intent's range are what a repair frees.  Others are findings. */
static void orphans_settle(struct verify *v)
{
	if (v->orphans_end == v->intent_end) {
		return;
	}
	for (uint64_t i = v->orphans_first; i < v->orphans_end; i++) {
		found(v, finding_texts[CHECK_TAIL_ORPHAN], "span", i);
	}
	v->orphans_first = v->orphans_end = 0;
}

static void span_found(struct verify *v, enum check_finding finding, uint64_t span)
{
	if (finding == CHECK_CLEAN) {
		return;
	}
	if (finding != CHECK_TAIL_ORPHAN || span < v->intent_first || span >= v->intent_end) {
		found(v, finding_texts[finding], "span", span);
		return;
	}
	if (span != v->orphans_end) {
		orphans_settle(v);
		v->orphans_first = span;
	}
	v->orphans_end = span + 1;
}

/* Rules 1, 2 and 4: the spans whose words are not zero, and the gaps between them. */
static void verify_words(struct verify *v, struct scan *s)
{
	struct check c = {.tails = 0};
	uint64_t expected = 0, span = 0, word = 0;

	while (scan_next(s, &span, &word)) {
		if (span != expected) {
			span_found(v, check_gap(&c), expected);
		}
		span_found(v, check_span(&c, &v->m->geo, span, word, scan_pairs(s, span)), span);
		expected = span + 1;
	}
	v->taken = expected;
	span_found(v, check_gap(&c), expected);
	orphans_settle(v);
}

/* Rule 3: the free spans that have pairs in the file, and those that the next writer frees. */
static void verify_free(struct verify *v, struct scan *s)
{
	for (uint64_t span = 0; scan_next_pairs(s, &span); span++) {
		struct check c = {.tails = 0};

		if (scan_word(s, span) == 0 ||
		    (span >= v->orphans_first && span < v->orphans_end)) {
			span_found(v, check_span(&c, &v->m->geo, span, 0, scan_pairs(s, span)),
				   span);
		}
	}
}

static int verify_spans(struct verify *v)
{
	struct scan s;

	if (scan_begin(&s, v->m) != 0) {
		return -1;
	}
	verify_words(v, &s);
	if (!s.failed) {
		verify_free(v, &s);
	}
	scan_end(&s);
	return s.failed ? -1 : 0;
}

static int verify_roots(struct verify *v)
{
	uint8_t table[QALLOC_ROOTS_MAX * ROOT_BYTES];
	size_t got = 0;
	int fd = map_fd(v->m);

	memset(table, 0, sizeof(table));
	if (fd < 0) {
		return -1;
	}
	if (os_read_at(fd, table, sizeof(table), ROOTS_OFF, &got) != 0) {
		return err_fail(QALLOC_ESYSTEM, "%s: reading the roots: %e", v->m->path);
	}
	for (uint32_t i = 0; i < QALLOC_ROOTS_MAX; i++) {
		enum check_finding finding = check_root(&v->m->geo, table, i);

		if (finding != CHECK_CLEAN) {
			found(v, finding_texts[finding], "root", i);
		}
	}
	return 0;
}

static int intent_read(struct verify *v)
{
	uint64_t intent[3] = {INTENT_NONE, 0, 0};
	size_t got = 0;

	if (!v->m->readonly) {
		return 0;
	}
	int fd = map_fd(v->m);

	if (fd < 0) {
		return -1;
	}
	if (os_read_at(fd, intent, sizeof(intent), STATE_INTENT, &got) != 0) {
		return err_fail(QALLOC_ESYSTEM, "%s: reading the intent: %e", v->m->path);
	}
	uint64_t spans = v->m->geo.spans;

	/* Another one is ignored by a repair, and so excuses nothing. */
	if ((intent[0] == INTENT_RUN_TAKE || intent[0] == INTENT_RUN_FREE) && intent[1] < spans &&
	    intent[2] <= spans - intent[1]) {
		v->intent_first = intent[1];
		v->intent_end = v->intent_first + intent[2];
	}
	return 0;
}

/* Rule 5.  Read after the spans: it only grows, and before any span beyond it is taken. */
static int verify_frontier(struct verify *v)
{
	uint64_t frontier = 0;
	size_t got = 0;
	int fd = map_fd(v->m);

	if (fd < 0) {
		return -1;
	}
	if (os_read_at(fd, &frontier, sizeof(frontier), STATE_FRONTIER, &got) != 0) {
		return err_fail(QALLOC_ESYSTEM, "%s: reading the frontier: %e", v->m->path);
	}
	if (v->taken > frontier) {
		found(v, "taken, and the frontier says that it never was", "span", v->taken - 1);
	}
	return 0;
}

static int verify_all(struct verify *v)
{
	v->findings = 0;
	if (intent_read(v) != 0 || verify_spans(v) != 0 || verify_frontier(v) != 0 ||
	    verify_roots(v) != 0) {
		return -1;
	}
	return 0;
}

/*
 * Whether the file has all bytes of the map; else that is the finding.  What lies behind its end
 * reads as zeros here, and is SIGBUS for who touches it: so nothing else is looked at.
 */
static int verify_size(struct verify *v, bool *complete)
{
	struct os_file file;
	int fd = map_fd(v->m);

	if (fd < 0) {
		return -1;
	}
	if (os_identify(fd, &file) != 0) {
		return err_fail(QALLOC_ESYSTEM, "%s: fstat: %e", v->m->path);
	}
	*complete = file.size >= v->m->geo.file_size;
	if (!*complete) {
		found(v, "the file ends here, and the map does not", "byte", file.size);
	}
	return 0;
}

int qalloc_check(void *map, qalloc_report_fn *report, void *arg)
{
	struct map *m = map_of(map);
	struct verify v = {.m = m};
	struct patience p;
	struct lock l;
	bool complete = true;

	if (m == NULL || verify_size(&v, &complete) != 0 || (complete && verify_all(&v) != 0)) {
		return -1;
	}
	if (v.findings > 0 && complete && !m->readonly) {
		if (!patience_begin(m, &p) || pool_enter(m, &p, &l) != POOL_OK) {
			return -1;
		}
		int failed = verify_all(&v);

		lock_leave(&l);
		if (failed != 0) {
			return -1;
		}
	}
	if (v.findings == 0) {
		return 0;
	}
	if (report != NULL) {
		report_all(&v, report, arg);
	}
	return err_fail(QALLOC_ECORRUPT, "%s: %u findings", m->path, v.findings);
}
