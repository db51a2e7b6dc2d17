/* SPDX-License-Identifier: MIT */
/*
 * Errors.  See err.h.  A formatter of our own because the library calls no
 * stdio: these sentences are also made in signal handlers and out of memory.
 */
#include "err.h"

#include <errno.h>
#include <string.h>

#include "thread.h"

struct err_entry {
	int number; /* errno; 0: leave what the system call set */
	const char *text;
};

static const struct err_entry err_table[QALLOC_ERR_COUNT] = {
	[QALLOC_OK] = {0, "success"},
	[QALLOC_EHANDLE] = {EBADF, "not an open map"},
	[QALLOC_EARGUMENT] = {EINVAL, "an argument is outside its range"},
	[QALLOC_EOPTIONS] = {EINVAL, "options of an unknown size, or unknown flags"},
	[QALLOC_ESYSTEM] = {0, "a system call failed"},
	[QALLOC_EREADONLY] = {EROFS, "the map was opened read-only"},
	[QALLOC_EMISSING] = {ENOENT, "no such file"},
	[QALLOC_EEXIST] = {EEXIST, "the file exists"},
	[QALLOC_ENOTREGULAR] = {EINVAL, "not a regular file"},
	[QALLOC_ESYMLINK] = {ELOOP, "a symbolic link"},
	[QALLOC_EOWNER] = {EPERM, "the file belongs to somebody else"},
	[QALLOC_EWRITABLE] = {EPERM, "others can write the file"},
	[QALLOC_ENETWORK] = {EOPNOTSUPP, "the file is on a network file system"},
	[QALLOC_ELIMIT] = {EFBIG, "the file would be larger than the process may write"},
	[QALLOC_EREPLACED] = {ESTALE, "the path no longer names the mapped file"},
	[QALLOC_ESHORT] = {EINVAL, "the file is shorter than a header"},
	[QALLOC_EMAGIC] = {EINVAL, "the file is not a map"},
	[QALLOC_ECREATING] = {EAGAIN, "the creation of the map was not completed"},
	[QALLOC_EVERSION] = {EINVAL, "unknown version of the format"},
	[QALLOC_EBYTEORDER] = {EINVAL, "made by a machine of another byte order"},
	[QALLOC_EPOINTER] = {EINVAL, "made for pointers of another width"},
	[QALLOC_EFEATURE] = {EOPNOTSUPP, "the map uses an unknown feature"},
	[QALLOC_ECHECKSUM] = {EINVAL, "the checksum of the header does not match"},
	[QALLOC_ERESERVED] = {EINVAL, "a reserved byte of the header is not zero"},
	[QALLOC_EKIND] = {EINVAL, "neither a static nor a dynamic map"},
	[QALLOC_EFLAGS] = {EINVAL, "an unknown flag in the header"},
	[QALLOC_EFILESIZE] = {EINVAL, "wrong file size"},
	[QALLOC_EITEMSIZE] = {EINVAL, "wrong item size"},
	[QALLOC_ESTREAMS] = {EINVAL, "wrong number of streams"},
	[QALLOC_EADDRNULL] = {EINVAL, "the address is null"},
	[QALLOC_EADDRALIGN] = {EINVAL, "the address is not aligned"},
	[QALLOC_EADDRWINDOW] = {EINVAL, "the address is outside the window for maps"},
	[QALLOC_EADDRWRAP] = {EINVAL, "the map would leave user space"},
	[QALLOC_ETAKEN] = {EEXIST, "something else is mapped at the address of the map"},
	[QALLOC_EPARAMS] = {EINVAL, "the map has other parameters"},
	[QALLOC_EINUSE] = {EBUSY, "the file is in use in an incompatible way"},
	[QALLOC_ESLOTS] = {EUSERS, "too many processes are attached to the map"},
	[QALLOC_EFULL] = {ENOMEM, "the map is full"},
	[QALLOC_ENOSPACE] = {ENOSPC, "the disk is full"},
	[QALLOC_EBUSY] = {EAGAIN, "what is needed was held for too long"},
	[QALLOC_ESIZE] = {EINVAL, "the size is too large"},
	[QALLOC_ECORRUPT] = {EUCLEAN, "the metadata of the map contradicts itself"},
	[QALLOC_EPOISONED] = {EIO, "a page of the file could not be had"},
	[QALLOC_EWILD] = {EINVAL, "the pointer is outside the map's data area"},
	[QALLOC_EINTERIOR] = {EINVAL, "the pointer is not the start of a block"},
	[QALLOC_ENOTLIVE] = {EINVAL, "the block is not live"},
	[QALLOC_EROOTNAME] = {EINVAL, "the name of a root has 1 to 47 bytes"},
	[QALLOC_EROOTABSENT] = {ENOENT, "no root of that name"},
	[QALLOC_EROOTFULL] = {ENOSPC, "all roots are in use"},
	[QALLOC_EROOTVALUE] = {EAGAIN, "the root has another value"},
};

struct out {
	char *bytes;
	size_t room;
	size_t length;
};

static void put_char(struct out *o, char c)
{
	if (o->length + 1 < o->room) {
		o->bytes[o->length++] = c;
	}
}

static void put_text(struct out *o, const char *text)
{
	for (; text != NULL && *text != '\0'; text++) {
		put_char(o, *text);
	}
}

static void put_number(struct out *o, uint64_t value, unsigned base)
{
	char digits[24];
	size_t n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	while (n > 0) {
		put_char(o, digits[--n]);
	}
}

static size_t format_list(char *bytes, size_t room, const char *format, va_list args)
{
	int saved = errno;
	struct out o = {.bytes = bytes, .room = room, .length = 0};

	for (const char *f = format; *f != '\0'; f++) {
		if (*f != '%') {
			put_char(&o, *f);
			continue;
		}
		switch (*++f) {
		case 's':
			put_text(&o, va_arg(args, const char *));
			break;
		case 'u':
			put_number(&o, va_arg(args, uint64_t), 10);
			break;
		case 'x':
			put_text(&o, "0x");
			put_number(&o, va_arg(args, uint64_t), 16);
			break;
		case 'e':
			put_text(&o, strerrordesc_np(saved));
			break;
		default:
			put_char(&o, '%');
			break;
		}
	}
	if (room > 0) {
		bytes[o.length] = '\0';
	}
	return o.length;
}

size_t err_format(char *out, size_t room, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	size_t length = format_list(out, room, format, args);
	va_end(args);
	return length;
}

static int fail_list(enum qalloc_err code, int number, const char *format, va_list args)
{
	struct thread *t = thread_self();

	t->last.error = (int)code;
	format_list(t->last.message, sizeof(t->last.message), format, args);
	if (number != 0) {
		errno = number;
	}
	return -1;
}

int err_fail(enum qalloc_err code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fail_list(code, err_table[code].number, format, args);
	va_end(args);
	return -1;
}

int err_fail_errno(enum qalloc_err code, int number, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fail_list(code, number, format, args);
	va_end(args);
	return -1;
}

const char *err_misuse_text(enum qalloc_err code)
{
	switch (code) {
	case QALLOC_EHANDLE:
		return "the map is not open";
	case QALLOC_EWILD:
		return "pointer outside the map";
	case QALLOC_EINTERIOR:
		return "pointer is not the start of a block";
	default:
		return "block is not live (double free?)";
	}
}

int qalloc_error(void)
{
	return thread_self()->last.error;
}

const char *qalloc_errmsg(void)
{
	return thread_self()->last.message;
}

const char *qalloc_strerror(int error)
{
	if (error < 0 || error >= (int)QALLOC_ERR_COUNT) {
		return "unknown error";
	}
	return err_table[error].text;
}
