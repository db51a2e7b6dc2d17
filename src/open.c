/* SPDX-License-Identifier: MIT */
/*
 * Opening: from a path to checked parameters.  Data flows one way: path, bytes,
 * parameters, and then geometry and mapping (load.c).  The header is read once, into
 * private memory, and what was checked there is what is used.
 */
#include <errno.h>
#include <string.h>

#include "guard.h"
#include "publish.h"

#define OPEN_TRIES 100u
#define FLAGS_KNOWN                                                                                \
	(QALLOC_CREATE | QALLOC_EXCLUSIVE | QALLOC_READONLY | QALLOC_FOLLOW |                      \
	 QALLOC_FOREIGN_OWNER | QALLOC_SHARED_WRITABLE | QALLOC_NETWORK | QALLOC_VERIFY |          \
	 QALLOC_ZERO_ON_FREE | QALLOC_GUARD)
/* Of this file only: zero is a value to compare with, not "any". */
#define FLAG_EXACT ((uint64_t)1 << 63)

static int open_fail(const struct request *req)
{
	switch (errno) {
	case ENOENT:
		return err_fail(QALLOC_EMISSING, "%s: %e", req->path);
	case ELOOP:
		return err_fail(QALLOC_ESYMLINK,
				"%s: a symbolic link, and QALLOC_FOLLOW was not given", req->path);
	case EISDIR:
	case ENXIO:
	case ENODEV:
		return err_fail(QALLOC_ENOTREGULAR, "%s: not a regular file: %e", req->path);
	default:
		return err_fail(QALLOC_ESYSTEM, "%s: open: %e", req->path);
	}
}

/* Whose file is this, and on what: before a byte of it is read. */
static int file_check(const struct request *req, int fd, struct os_file *file)
{
	bool network = false;

	if (os_identify(fd, file) != 0 || os_is_network(fd, &network) != 0) {
		return err_fail(QALLOC_ESYSTEM, "%s: fstat: %e", req->path);
	}
	if (file->kind != OS_REGULAR) {
		return err_fail(QALLOC_ENOTREGULAR, "%s: not a regular file", req->path);
	}
	if (!asked(req, QALLOC_FOREIGN_OWNER) && file->owner != os_user() && file->owner != 0) {
		return err_fail(QALLOC_EOWNER,
				"%s: owner: user %u, wanted %u or 0, or QALLOC_FOREIGN_OWNER",
				req->path, (uint64_t)file->owner, (uint64_t)os_user());
	}
	/* Nobody can open what has no name: a memfd is 0777 and safe. */
	if (!asked(req, QALLOC_SHARED_WRITABLE) && (file->mode & 022) != 0 && !file->unlinked) {
		return err_fail(
			QALLOC_EWRITABLE,
			"%s: mode: group or others can write, and QALLOC_SHARED_WRITABLE was "
			"not given",
			req->path);
	}
	if (!asked(req, QALLOC_NETWORK) && network) {
		return err_fail(QALLOC_ENETWORK,
				"%s: on a network file system, and QALLOC_NETWORK was not given",
				req->path);
	}
	return 0;
}

static int params_differ(const struct request *req, const char *field, uint64_t found,
			 uint64_t wanted)
{
	return err_fail(QALLOC_EPARAMS, "%s: %s: the map has %u, wanted %u", req->path, field,
			found, wanted);
}

/* Whether an existing map is what was asked for; 0 means "any" unless exact. */
static int request_matches(const struct request *req, const struct params *p)
{
	bool exact = asked(req, FLAG_EXACT);

	if (req->kind != 0 && req->kind != p->kind) {
		return err_fail(QALLOC_EPARAMS, "%s: kind: the map is %s, wanted %s", req->path,
				p->kind == QALLOC_STATIC ? "static" : "dynamic",
				req->kind == QALLOC_STATIC ? "static" : "dynamic");
	}
	if ((exact || req->file_size != 0) && req->file_size != p->file_size) {
		return params_differ(req, "file size", p->file_size, req->file_size);
	}
	if ((exact || req->item_size != 0) && req->item_size != p->item_size) {
		return params_differ(req, "item size", p->item_size, req->item_size);
	}
	if ((exact || req->streams != 0) && req->streams != p->streams) {
		return params_differ(req, "streams", p->streams, req->streams);
	}
	if (req->addr != 0 && req->addr != p->base) {
		return err_fail(QALLOC_EPARAMS, "%s: address: the map has %x, wanted %x", req->path,
				p->base, req->addr);
	}
	if (asked(req, QALLOC_ZERO_ON_FREE) && (p->flags & MAP_FLAG_ZERO_ON_FREE) == 0) {
		return err_fail(QALLOC_EPARAMS,
				"%s: flags: the map does not zero on free, wanted that", req->path);
	}
	return 0;
}

static int header_fail(const struct request *req, enum qalloc_err rule, const uint8_t *bytes,
		       const struct params *p, uint64_t size)
{
	uint64_t version = bytes[HDR_VERSION] + 0x100u * bytes[HDR_VERSION + 1] +
			   0x10000u * bytes[HDR_VERSION + 2] +
			   UINT64_C(0x1000000) * bytes[HDR_VERSION + 3];

	switch (rule) {
	case QALLOC_ESHORT:
		return err_fail(rule, "%s: %u bytes, a header has %u", req->path, size,
				(uint64_t)HDR_BYTES);
	case QALLOC_EMAGIC:
		return err_fail(rule, "%s: magic: this file is not a map", req->path);
	case QALLOC_ECREATING:
		return err_fail(
			rule, "%s: being created, or its creator died: qalloc_make*() completes it",
			req->path);
	case QALLOC_EVERSION:
		return err_fail(rule, "%s: version: %u, wanted %u", req->path, version,
				(uint64_t)FORMAT_VERSION);
	case QALLOC_EBYTEORDER:
	case QALLOC_EPOINTER:
	case QALLOC_EFEATURE:
	case QALLOC_ECHECKSUM:
	case QALLOC_ERESERVED:
		return err_fail(rule, "%s: header: %s", req->path, qalloc_strerror((int)rule));
	default:
		return params_fail(rule, req->path, p, size);
	}
}

/*
 * Reads and checks the header, building the map first where that was asked for and the file
 * has nothing in it.
 */
static int header_read(struct request *req, int fd, struct os_file *file, struct params *p)
{
	uint8_t bytes[HDR_BYTES] = {0};
	size_t got = 0;

	if (os_read_at(fd, bytes, sizeof(bytes), 0, &got) != 0) {
		return err_fail(QALLOC_ESYSTEM, "%s: read: %e", req->path);
	}
	struct os_file now;

	/* Again: another process may have built the map between the first look and the read. */
	if (os_identify(fd, &now) != 0) {
		return err_fail(QALLOC_ESYSTEM, "%s: fstat: %e", req->path);
	}
	file->size = now.size;
	enum qalloc_err rule = hdr_decode(bytes, got, file->size, p);

	if (asked(req, QALLOC_CREATE) &&
	    (rule == QALLOC_ESHORT || rule == QALLOC_EMAGIC || rule == QALLOC_ECREATING)) {
		if (create_in_place(req, fd) != 0) {
			return -1;
		}
		if (os_identify(fd, file) != 0 ||
		    os_read_at(fd, bytes, sizeof(bytes), 0, &got) != 0) {
			return err_fail(QALLOC_ESYSTEM, "%s: read: %e", req->path);
		}
		rule = hdr_decode(bytes, got, file->size, p);
	}
	if (rule != QALLOC_OK) {
		return header_fail(req, rule, bytes, p, file->size);
	}
	if ((p->ro_compat & ~(uint64_t)HDR_RO_COMPAT_KNOWN) != 0 && !asked(req, QALLOC_READONLY)) {
		return err_fail(
			QALLOC_EFEATURE,
			"%s: header: ro_compat %x allows only reading, and QALLOC_READONLY was "
			"not given",
			req->path, p->ro_compat);
	}
	return 0;
}

/* The same file again: the same handle. */
static struct map *map_again(const struct request *req, struct map *m)
{
	if (asked(req, QALLOC_EXCLUSIVE)) {
		err_fail(QALLOC_EEXIST, "%s: exists, and QALLOC_EXCLUSIVE was given", req->path);
		return NULL;
	}
	if (m->readonly != asked(req, QALLOC_READONLY)) {
		err_fail(QALLOC_EINUSE, "%s: already open here %s", req->path,
			 m->readonly ? "read-only" : "for writing");
		return NULL;
	}
	if (request_matches(req, &m->params) != 0) {
		return NULL;
	}
	if (map_intact(m) != 0 || (asked(req, QALLOC_GUARD) && guard_begin(m) != 0)) {
		return NULL;
	}
	m->opens++;
	return m;
}

/* Takes over fd, whatever happens.  Registry locked. */
static struct map *open_descriptor(struct request *req, int fd, bool created)
{
	struct os_file file;
	struct params p;
	struct map *m = NULL;

	if (file_check(req, fd, &file) != 0) {
		goto fail;
	}
	m = registry_find(&file);
	if (m != NULL) {
		m = map_again(req, m);
		goto fail; /* Not a failure: but the descriptor is not needed. */
	}
	if (asked(req, QALLOC_EXCLUSIVE) && !created) {
		err_fail(QALLOC_EEXIST, "%s: exists, and QALLOC_EXCLUSIVE was given", req->path);
		goto fail;
	}
	if (header_read(req, fd, &file, &p) != 0 || request_matches(req, &p) != 0) {
		goto fail;
	}
	m = map_open(req, fd, &file, &p);
	if (m != NULL) {
		return m;
	}
fail:
	os_close(fd);
	return m;
}

/* A file may appear and vanish between two looks: look again, a bounded number of times. */
static struct map *open_path(struct request *req)
{
	unsigned how = (asked(req, QALLOC_READONLY) ? 0u : OS_WRITE) |
		       (asked(req, QALLOC_FOLLOW) ? OS_FOLLOW : 0u);

	for (uint32_t i = 0; i < OPEN_TRIES; i++) {
		int fd = os_open(req->path, how);

		if (fd >= 0) {
			return open_descriptor(req, fd, false);
		}
		if (errno != ENOENT || !asked(req, QALLOC_CREATE)) {
			open_fail(req);
			return NULL;
		}
		fd = create_named(req);
		if (fd >= 0) {
			return open_descriptor(req, fd, true);
		}
		if (qalloc_error() != QALLOC_EEXIST || asked(req, QALLOC_EXCLUSIVE)) {
			return NULL;
		}
	}
	err_fail(QALLOC_EINUSE, "%s: appears and vanishes, %u times", req->path,
		 (uint64_t)OPEN_TRIES);
	return NULL;
}

/* A descriptor of our own for the caller's file, with no more rights than the caller's has. */
static int own_descriptor(const struct request *req)
{
	bool writable = !asked(req, QALLOC_READONLY);
	struct os_file file;

	if (os_identify(req->fd, &file) != 0) {
		return err_fail(QALLOC_ESYSTEM, "%s: fstat: %e", req->path);
	}
	if (file.kind != OS_REGULAR) {
		return err_fail(QALLOC_ENOTREGULAR, "%s: not a regular file", req->path);
	}
	if (!file.readable || (writable && !file.writable)) {
		errno = EBADF;
		return err_fail(QALLOC_ESYSTEM, "%s: the descriptor is not open for %s", req->path,
				file.readable ? "writing" : "reading");
	}
	int fd = os_reopen(req->fd, writable);

	return fd >= 0 ? fd
		       : err_fail(QALLOC_ESYSTEM, "%s: opening the descriptor's file: %e",
				  req->path);
}

static struct map *open_request(struct request *req)
{
	struct kept before;
	bool refused = false;
	struct map *m;

	kept_take(&before);
	if (registry_lock() != 0) {
		return NULL;
	}
	if (req->fd >= 0) {
		int fd = own_descriptor(req);

		m = fd < 0 ? NULL : open_descriptor(req, fd, false);
	} else {
		m = open_path(req);
	}
	request_release(req);
	registry_unlock();
	if (m != NULL && asked(req, QALLOC_VERIFY)) {
		if (qalloc_check(m, NULL, NULL) != 0) {
			kept_take(&before);
			m->refused = refused = true;
			qalloc_closemap(m);
			m = NULL;
		} else if (!m->readonly && m->left != QALLOC_LEFT_CLEAN) {
			(void)publish_recover_quietly(m);
		}
	}
	if (m != NULL || refused) {
		/* Attempts that came before success are nobody's business. */
		kept_put_back(&before);
	}
	return m;
}

static bool zero_tail(const unsigned char *bytes, size_t from, size_t to)
{
	for (; from < to; from++) {
		if (bytes[from] != 0) {
			return false;
		}
	}
	return true;
}

/* A struct of the caller's size: ours, or a later, longer one whose tail asks for nothing. */
static int options_read(const struct qalloc_options *options, struct request *req)
{
	static const struct qalloc_options defaults = {.size = sizeof(defaults)};
	const struct qalloc_options *o = options == NULL ? &defaults : options;

	if (o->size < sizeof(*o) || o->size > 4096 ||
	    !zero_tail((const unsigned char *)o, sizeof(*o), o->size)) {
		return err_fail(QALLOC_EOPTIONS,
				"options: size: %u, wanted %u, or more where the rest is 0",
				(uint64_t)o->size, (uint64_t)sizeof(*o));
	}
	if ((o->flags & ~FLAGS_KNOWN) != 0) {
		return err_fail(QALLOC_EOPTIONS, "options: flags: %x, known are %x", o->flags,
				(uint64_t)FLAGS_KNOWN);
	}
	if ((o->flags & QALLOC_EXCLUSIVE) != 0 && (o->flags & QALLOC_CREATE) == 0) {
		return err_fail(QALLOC_EOPTIONS,
				"options: flags: QALLOC_EXCLUSIVE without QALLOC_CREATE");
	}
	if ((o->flags & QALLOC_READONLY) != 0 && (o->flags & QALLOC_CREATE) != 0) {
		return err_fail(QALLOC_EOPTIONS,
				"options: flags: QALLOC_READONLY with QALLOC_CREATE");
	}
	req->flags = o->flags;
	req->addr = (uint64_t)(uintptr_t)o->addr;
	req->kind = o->kind;
	req->file_size = (uint64_t)o->filesize;
	req->item_size = o->itemsize;
	req->streams = o->streams;
	return 0;
}

void *qalloc_openmap(const char *path, const struct qalloc_options *options)
{
	struct request req = {.path = path, .fd = -1};

	if (path == NULL) {
		err_fail(QALLOC_EARGUMENT, "path: NULL, wanted the name of a file");
		return NULL;
	}
	return options_read(options, &req) != 0 ? NULL : open_request(&req);
}

void *qalloc_openfd(int fd, const struct qalloc_options *options)
{
	char name[32];
	struct request req = {.path = name, .fd = fd};

	if (fd < 0) {
		err_fail(QALLOC_EARGUMENT, "descriptor: negative, wanted an open one");
		return NULL;
	}
	err_format(name, sizeof(name), "fd:%u", (uint64_t)(unsigned)fd);
	return options_read(options, &req) != 0 ? NULL : open_request(&req);
}

static void *make(struct request *req)
{
	if (req->path == NULL) {
		err_fail(QALLOC_EARGUMENT, "filename: NULL, wanted the name of a file");
		return NULL;
	}
	req->flags = QALLOC_CREATE | FLAG_EXACT;
	return open_request(req);
}

void *qalloc_makestatmap(const off_t filesize, void *addr, const char *filename, size_t itemsize,
			 const size_t streams)
{
	struct request req = {.path = filename,
			      .fd = -1,
			      .addr = (uint64_t)(uintptr_t)addr,
			      .kind = QALLOC_STATIC,
			      .file_size = (uint64_t)filesize,
			      .item_size = itemsize,
			      .streams = streams};

	return make(&req);
}

void *qalloc_makedynmap(const off_t filesize, void *addr, const char *filename,
			const size_t streams)
{
	struct request req = {.path = filename,
			      .fd = -1,
			      .addr = (uint64_t)(uintptr_t)addr,
			      .kind = QALLOC_DYNAMIC,
			      .file_size = (uint64_t)filesize,
			      .streams = streams};

	return make(&req);
}

void *qalloc_loadmap(const char *filename)
{
	return qalloc_openmap(filename, NULL);
}
