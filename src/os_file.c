/* SPDX-License-Identifier: MIT */
/*
 * Files: opening, size, space, reading and writing, and locks on single bytes.
 *
 * Trusts: the kernel, and /proc for os_reopen() and os_link_unnamed().
 *
 *  - Every descriptor is O_CLOEXEC.
 *  - The file offset of a descriptor means nothing: only os_next_data() and
 *    os_next_hole() move it, and nothing reads it.
 *  - No function is a cancellation point: a thread that was cancelled inside a lock of
 *    the map would hold it until its process ends.
 *  - A path is looked up once for each call; who must be sure that it got the
 *    file it wanted compares os_identify().
 */
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Linux returns at most this many bytes from one call; larger requests are short. */
#define TRANSFER_MAX ((size_t)0x7ffff000)

#define OPEN_ALWAYS (O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

static int open_retry(const char *path, int flags, mode_t mode)
{
	int cancel = os_cancel_off();
	int saved = errno, fd;

	do
		fd = open(path, flags, mode);
	while (os_interrupted(fd, saved));
	os_cancel_restore(cancel);
	return fd;
}

int os_open(const char *path, unsigned flags)
{
	int how = OPEN_ALWAYS;

	how |= flags & OS_WRITE ? O_RDWR : O_RDONLY;
	if (!(flags & OS_FOLLOW))
		how |= O_NOFOLLOW;
	if (flags & OS_CREATE_NEW)
		how |= O_CREAT | O_EXCL;
	return open_retry(path, how, 0600);
}

/* Copies the directory part of path, "." if it has none.  pre: `dir` has PATH_MAX bytes. */
static int directory_of(const char *path, char *dir)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (!slash) {
		memcpy(dir, ".", 2);
		return 0;
	}
	if (len == 0)
		len = 1;
	if (len >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(dir, path, len);
	dir[len] = '\0';
	return 0;
}

int os_open_unnamed(const char *path)
{
	char dir[PATH_MAX];

	if (directory_of(path, dir))
		return -1;
	return open_retry(dir, OPEN_ALWAYS | O_TMPFILE | O_RDWR, 0600);
}

/* The path under which /proc shows a descriptor.  pre: fd >= 0, `path` has 32 bytes. */
static void proc_path(int fd, char *path)
{
	static const char prefix[] = "/proc/self/fd/";
	char digits[12];
	size_t n = 0, at = sizeof(prefix) - 1;
	unsigned rest = (unsigned)fd;

	do {
		digits[n++] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest);
	memcpy(path, prefix, at);
	while (n)
		path[at++] = digits[--n];
	path[at] = '\0';
}

/* pre: fd comes from os_open_unnamed(). */
int os_link_unnamed(int fd, const char *path)
{
	char self[32];

	proc_path(fd, self);
	return linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

/* pre: fd is open. */
int os_reopen(int fd, bool writable)
{
	char self[32];

	proc_path(fd, self);
	return open_retry(self, OPEN_ALWAYS | (writable ? O_RDWR : O_RDONLY), 0);
}

/* pre: fd is open, or negative. */
void os_close(int fd)
{
	int saved = errno;
	int cancel = os_cancel_off();

	/* Linux has released the descriptor even on EINTR: never again. */
	if (fd >= 0)
		close(fd);
	os_cancel_restore(cancel);
	errno = saved;
}

int os_identify(int fd, struct os_file *out)
{
	struct stat st;
	int flags;

	if (fstat(fd, &st))
		return -1;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return -1;
	out->device = st.st_dev;
	out->inode = st.st_ino;
	out->size = (uint64_t)st.st_size;
	out->disk_bytes = (uint64_t)st.st_blocks * 512;
	out->owner = st.st_uid;
	out->mode = st.st_mode & 07777;
	out->unlinked = st.st_nlink == 0;
	out->kind = S_ISREG(st.st_mode) ? OS_REGULAR : OS_OTHER;
	out->writable = !(flags & O_PATH) && (flags & O_ACCMODE) != O_RDONLY;
	out->readable = !(flags & O_PATH) && (flags & O_ACCMODE) != O_WRONLY;
	return 0;
}

uint32_t os_user(void)
{
	return geteuid();
}

static int statfs_retry(int fd, struct statfs *fs)
{
	int saved = errno, rc;

	do
		rc = fstatfs(fd, fs);
	while (os_interrupted(rc, saved));
	return rc;
}

int os_is_network(int fd, bool *network)
{
	/* Several hosts, or a server we cannot see, may change such a file behind a mapping. */
	static const uint32_t magics[] = {
		0x6969,     /* NFS */
		0x517B,     /* SMB */
		0xFE534D42, /* SMB2 */
		0xFF534D42, /* CIFS */
		0x564C,     /* NCP */
		0x01021997, /* 9P */
		0x65735546, /* FUSE, virtiofs */
		0x00C36400, /* Ceph */
		0x5346414F, /* AFS */
		0x6B414653, /* AFS of the kernel */
		0x73757245, /* Coda */
		0x7461636F, /* OCFS2 */
		0x01161970, /* GFS2 */
		0x0BD00BD0, /* Lustre */
		0x47504653, /* GPFS */
		0x19830326, /* BeeGFS */
		0x20030528, /* OrangeFS */
		0xAAD7AAEA, /* PanFS */
		0x61636673, /* ACFS */
		0x013111A8, /* IBRIX */
		0xBEEFDEAD, /* SNFS */
		0x786F4256, /* VirtualBox shared folder */
		0xBACBACBC, /* VMware shared folder */
		0x7C7C6673, /* Parallels shared folder */
		0x00C0FFEE, /* host directory of User Mode Linux */
	};
	struct statfs fs;

	if (statfs_retry(fd, &fs))
		return -1;
	*network = false;
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
		if ((uint32_t)fs.f_type == magics[i])
			*network = true;
	}
	return 0;
}

bool os_copies_on_write(int fd)
{
	static const uint32_t magics[] = {
		0x9123683E, /* Btrfs */
		0x2FC12FC1, /* ZFS */
		0xCA451A4E, /* bcachefs */
		0xF2F52010, /* F2FS */
		0x00003434, /* NILFS */
	};
	struct statfs fs;
	int saved = errno;

	if (statfs_retry(fd, &fs)) {
		errno = saved;
		return true;
	}
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
		if ((uint32_t)fs.f_type == magics[i])
			return true;
	}
	return false;
}

bool os_nearly_full(int fd)
{
	const uint32_t tmpfs = 0x01021994;
	struct statfs fs;
	int saved = errno;

	if (statfs_retry(fd, &fs)) {
		errno = saved;
		return false;
	}
	return (uint32_t)fs.f_type != tmpfs &&
	       (uint64_t)fs.f_bavail < ((uint64_t)64 << 20) / ((uint64_t)fs.f_bsize + 1);
}

/* Whether [off, off + len) can be said in an off_t; else errno EOVERFLOW. */
static bool fits_off(uint64_t off, uint64_t len)
{
	if (off <= (uint64_t)INT64_MAX && len <= (uint64_t)INT64_MAX - off)
		return true;
	errno = EOVERFLOW;
	return false;
}

/* pre: `buf` has `len` bytes. */
int os_read_at(int fd, void *buf, size_t len, uint64_t off, size_t *got)
{
	unsigned char *to = buf;
	size_t done = 0;
	int saved = errno;

	*got = 0;
	if (!fits_off(off, len))
		return -1;
	while (done < len) {
		size_t want = len - done < TRANSFER_MAX ? len - done : TRANSFER_MAX;
		int cancel = os_cancel_off();
		ssize_t n = pread(fd, to + done, want, (off_t)(off + done));

		os_cancel_restore(cancel);

		if (n == 0)
			break;
		if (n < 0 && !os_interrupted(-1, saved))
			return -1;
		if (n > 0)
			done += (size_t)n;
	}
	*got = done;
	return 0;
}

/* pre: `buf` has `len` bytes; off + len is not beyond os_size_limit(), else SIGXFSZ. */
int os_write_at(int fd, const void *buf, size_t len, uint64_t off)
{
	const unsigned char *from = buf;
	size_t done = 0;
	int saved = errno;

	if (!fits_off(off, len))
		return -1;
	while (done < len) {
		size_t want = len - done < TRANSFER_MAX ? len - done : TRANSFER_MAX;
		int cancel = os_cancel_off();
		ssize_t n = pwrite(fd, from + done, want, (off_t)(off + done));

		os_cancel_restore(cancel);
		if (n == 0) {
			errno = EIO;
			return -1;
		}
		if (n < 0 && !os_interrupted(-1, saved))
			return -1;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

/* pre: size is not beyond os_size_limit(), else SIGXFSZ. */
int os_set_size(int fd, uint64_t size)
{
	int saved = errno, rc;

	if (!fits_off(size, 0))
		return -1;
	do
		rc = ftruncate(fd, (off_t)size);
	while (os_interrupted(rc, saved));
	return rc;
}

uint64_t os_size_limit(void)
{
	struct rlimit limit;
	int saved = errno;

	if (getrlimit(RLIMIT_FSIZE, &limit)) {
		errno = saved;
		return UINT64_MAX;
	}
	return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

static int reserve_retry(int fd, off_t off, off_t len)
{
	sigset_t all, before;
	int saved = errno;
	int rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, off, len);

	if (!os_interrupted(rc, saved))
		return rc;
	/*
	 * tmpfs gives back what it had reserved when a signal arrives: with a periodic timer a
	 * plain retry may never end.
	 */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	do
		rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, off, len);
	while (os_interrupted(rc, saved));
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

/* pre: len > 0. */
int os_reserve(int fd, uint64_t off, uint64_t len)
{
	if (!fits_off(off, len))
		return -1;
	int cancel = os_cancel_off();
	int rc = reserve_retry(fd, (off_t)off, (off_t)len);

	os_cancel_restore(cancel);
	return rc;
}

static int seek_to(int fd, uint64_t off, int whence, uint64_t *found)
{
	off_t at;

	if (!fits_off(off, 0))
		return -1;
	at = lseek(fd, (off_t)off, whence);
	if (at < 0)
		return -1;
	*found = (uint64_t)at;
	return 0;
}

int os_next_data(int fd, uint64_t off, uint64_t *found)
{
	int saved = errno;

	if (seek_to(fd, off, SEEK_DATA, found) == 0)
		return 0;
	if (errno != ENXIO)
		return -1;
	*found = UINT64_MAX;
	errno = saved;
	return 0;
}

int os_next_hole(int fd, uint64_t off, uint64_t *found)
{
	return seek_to(fd, off, SEEK_HOLE, found);
}

int os_sync_file(int fd)
{
	int cancel = os_cancel_off();
	int saved = errno, rc;

	do
		rc = fsync(fd);
	while (os_interrupted(rc, saved));
	os_cancel_restore(cancel);
	return rc;
}

int os_sync_dir(const char *path)
{
	char dir[PATH_MAX];
	int fd, rc;

	if (directory_of(path, dir))
		return -1;
	fd = open_retry(dir, OPEN_ALWAYS | O_DIRECTORY | O_RDONLY, 0);
	if (fd < 0)
		return -1;
	rc = os_sync_file(fd);
	os_close(fd);
	return rc;
}

/* One fcntl on [off, off + len).  pre: `lock` is writable, len > 0. */
static int lock_call(int fd, int command, short type, uint64_t off, uint64_t len,
		     struct flock *lock)
{
	int saved = errno, rc;

	if (!fits_off(off, len))
		return -1;
	/* The pid must be 0 for locks of open file descriptions. */
	*lock = (struct flock){
		.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)off, .l_len = (off_t)len};
	do
		rc = fcntl(fd, command, lock);
	while (os_interrupted(rc, saved));
	return rc;
}

/* pre: fd is open for writing. */
int os_lock_byte(int fd, uint64_t off)
{
	struct flock lock;

	if (!lock_call(fd, F_OFD_SETLK, F_WRLCK, off, 1, &lock))
		return 0;
	if (errno == EACCES)
		errno = EAGAIN;
	return -1;
}

int os_unlock_byte(int fd, uint64_t off)
{
	struct flock lock;

	return lock_call(fd, F_OFD_SETLK, F_UNLCK, off, 1, &lock);
}

/* pre: len > 0. */
int os_locked_in(int fd, uint64_t off, uint64_t len, bool *locked, uint64_t *where)
{
	struct flock lock;

	if (lock_call(fd, F_OFD_GETLK, F_WRLCK, off, len, &lock))
		return -1;
	*locked = lock.l_type != F_UNLCK;
	*where = *locked && (uint64_t)lock.l_start > off ? (uint64_t)lock.l_start : off;
	return 0;
}

int os_byte_locked(int fd, uint64_t off, bool *locked)
{
	uint64_t where;

	return os_locked_in(fd, off, 1, locked, &where);
}
