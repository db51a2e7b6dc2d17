/* SPDX-License-Identifier: MIT */
/*
 * The disk is full.
 *
 *  - On a small tmpfs, and on an ext4 in a loop device, with every number of free pages from
 *    none upwards: creation, malloc, first touch, growth of the metadata, roots, free, check,
 *    checkpoint, loading again.
 *  - Then every call that takes, moves or gives back, while the disk is full.
 *  - Each says ENOSPC or works; never a signal.  What was allocated before is intact, and
 *    when there is space again everything works.  What is freed and trimmed is space again.
 *  - Once more while another process fills the disk and empties it again, all the time.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support.h"
#include "full_calls.h"

#define BLOCKS_MAX 60000u
#define PAGE 4096u

static const struct shape shapes[] = {
	{"dynamic, 256 KiB", QALLOC_DYNAMIC, 256 << 10, 0, 3, 0},
	{"dynamic, 64 MiB", QALLOC_DYNAMIC, 64 << 20, 0, 40, 0},
	{"dynamic, 16 GiB", QALLOC_DYNAMIC, (off_t)16 << 30, 0, 4, 0},
	{"static, 16 GiB of 64 bytes", QALLOC_STATIC, (off_t)16 << 30, 64, 4, 0},
	{"static, 16 GiB of 100 KiB", QALLOC_STATIC, (off_t)16 << 30, 100 << 10, 4, 0},
	{"zeroed on free, 1 MiB", QALLOC_DYNAMIC, 1 << 20, 0, 2, QALLOC_ZERO_ON_FREE},
};

static const size_t sizes[] = {48, 700, 2000, 5000, 16, 65536, 300};

static char mount_point[300], map_path[320];
static uint64_t *slowest;         /* call, in microseconds */
static const struct shape *shape; /* of the case that runs */
static unsigned free_pages;
static struct block blocks[BLOCKS_MAX];
static unsigned block_count;

static const char *file_of(const char *name)
{
	static char paths[4][400];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", mount_point, name);
	return path;
}

/* Fills the disk up to `pages` free pages.  False: it has not that many. */
static bool fill_disk(unsigned pages)
{
	static const char bytes[PAGE];
	struct statvfs fs;
	int fd = open(file_of("ballast"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	bool enough = true;

	if (fd < 0) {
		broken("ballast");
	}
	for (;;) {
		if (fstatvfs(fd, &fs) != 0) {
			broken("statvfs");
		}
		uint64_t available = (uint64_t)fs.f_bavail * fs.f_bsize / PAGE;

		enough = available >= pages;
		if (available <= pages || write(fd, bytes, sizeof(bytes)) != sizeof(bytes)) {
			break;
		}
	}
	close(fd);
	return enough;
}

/* malloc, whose time is bounded on a full disk, too. */
static void *timed_malloc(void *map, size_t size)
{
	uint64_t start = now_usec();
	void *block = qalloc_malloc(map, size);
	uint64_t took = now_usec() - start;
	int saved = errno;

	if (took > *slowest) {
		*slowest = took;
	}
	if (took > 2500000) {
		finding("malloc of %zu took %llu ms", size, (unsigned long long)(took / 1000));
	}
	errno = saved;
	return block;
}

/* Allocates and writes until NULL, of all sizes in turn. */
static bool take_all(void *map)
{
	unsigned failed = 0;

	for (unsigned i = 0; failed < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = shape_size(shape, sizes[i % (sizeof(sizes) / sizeof(sizes[0]))]);

		if (block_count == BLOCKS_MAX) {
			return true;
		}
		errno = 0;
		char *at = timed_malloc(map, size);

		if (at == NULL) {
			failed++;
			if (!is_full("malloc", true)) {
				return false;
			}
			continue;
		}
		blocks[block_count] =
			(struct block){.at = at, .size = size, .seed = block_count + 7};
		fill(at, size, blocks[block_count].seed);
		block_count++;
	}
	return true;
}

static bool all_are_intact(void)
{
	for (unsigned i = 0; i < block_count; i++) {
		if (!is_filled(blocks[i].at, blocks[i].size, blocks[i].seed)) {
			finding("block %u of %zu bytes has changed", i, blocks[i].size);
			return false;
		}
	}
	return true;
}

/* All that needs no new space, or says ENOSPC. */
static bool use_while_full(void *map)
{
	if (qalloc_setroot(map, "root", block_count > 0 ? blocks[0].at : NULL) != 0) {
		finding("setroot on a full disk: %s", qalloc_errmsg());
		return false;
	}
	for (unsigned i = 0; i < block_count; i += 3) {
		if (qalloc_usable_size(map, blocks[i].at) < blocks[i].size) {
			finding("usable_size on a full disk: %s", qalloc_errmsg());
			return false;
		}
	}
	for (unsigned i = 0; i < block_count; i += 5) {
		if (qalloc_tryfree(blocks[i].at, map) != 0) {
			finding("free on a full disk: %s", qalloc_errmsg());
			return false;
		}
		blocks[i] = blocks[--block_count];
	}
	if (!full_calls(map, shape, blocks, block_count)) {
		return false;
	}
	if (qalloc_trim(map) != 0 && !is_full("trim", false)) {
		return false;
	}
	(void)fill_disk(0);
	if (!full_calls(map, shape, blocks, block_count)) {
		return false;
	}
	if (qalloc_checkpoint() != 0) {
		finding("checkpoint on a full disk: %s", qalloc_errmsg());
		return false;
	}
	return all_are_intact();
}

/* A process that did not reserve anything itself loads the map on the full disk. */
static int load_again(const char *path)
{
	void *map = qalloc_loadmap(path);
	size_t size = shape_size(shape, 300);

	alarm(60);
	if (map == NULL) {
		(void)is_full("loading again", false);
		return 0;
	}
	for (unsigned i = 0; i < 50; i++) {
		char *block = timed_malloc(map, size);

		if (block == NULL) {
			(void)is_full("malloc after loading again", true);
			break;
		}
		fill(block, size, 1);
		if (i % 2 == 0 && qalloc_tryfree(block, map) != 0) {
			finding("free after loading again: %s", qalloc_errmsg());
		}
	}
	if (!all_are_intact() || qalloc_check(map, NULL, NULL) != 0 || qalloc_cleanup() != 0) {
		finding("loading again: %s", qalloc_errmsg());
	}
	return 0;
}

static void in_process(int (*body)(const char *path), const char *path, const char *who)
{
	fflush(stdout);
	pid_t pid = fork();

	if (pid == 0) {
		_exit(body(path));
	}
	expect_well(pid, who);
}

static uint64_t pages_available(void)
{
	struct statvfs fs;

	if (statvfs(mount_point, &fs) != 0) {
		broken("statvfs");
	}
	return (uint64_t)fs.f_bavail * fs.f_bsize / PAGE;
}

/* On a full disk: what is freed and trimmed is there for others, and for the map. */
static void give_back(void *map)
{
	uint64_t bytes = 0;

	(void)fill_disk(0);
	uint64_t before = pages_available();

	for (; block_count > 0; block_count--) {
		bytes += blocks[block_count - 1].size;
		if (qalloc_tryfree(blocks[block_count - 1].at, map) != 0) {
			finding("free on a full disk: %s", qalloc_errmsg());
			return;
		}
	}
	if (qalloc_trim(map) != 0) {
		(void)is_full("trim on a full disk", false);
		return;
	}
	uint64_t after = pages_available();

	/* What small blocks were in may be kept by their streams. */
	if (bytes > 256 << 10 && after < before + 16) {
		finding("%llu bytes were freed and trimmed, and %llu pages are free",
			(unsigned long long)bytes, (unsigned long long)after);
	}
	size_t size = shape_size(shape, 300);

	/* A span, and the tables that go with it. */
	if (timed_malloc(map, size) == NULL && is_full("malloc after a trim", true) &&
	    after * PAGE > size + (192 << 10)) {
		finding("malloc after a trim, with %llu pages free: %s", (unsigned long long)after,
			qalloc_errmsg());
	}
	if (qalloc_check(map, NULL, NULL) != 0) {
		finding("check after a trim: %s", qalloc_errmsg());
	}
}

static int one_case(const char *path)
{
	alarm(100);
	void *map = shape_open(shape, path, NULL);

	if (map == NULL) {
		if (!is_full("creation", false)) {
			return 0;
		}
		(void)unlink(file_of("ballast"));
		map = shape_open(shape, path, NULL);
		if (map == NULL) {
			finding("creation when there is space again: %s", qalloc_errmsg());
			return 0;
		}
		(void)fill_disk(free_pages);
	}
	if (!take_all(map)) {
		return 0;
	}
	(void)fill_disk(0);
	if (!use_while_full(map) || !take_all(map) || !all_are_intact()) {
		return 0;
	}
	if (qalloc_cleanup() != 0) {
		finding("cleanup on a full disk: %s", qalloc_errmsg());
		return 0;
	}
	in_process(load_again, path, "loading again");
	(void)unlink(file_of("ballast"));
	map = qalloc_loadmap(path);
	if (map == NULL || !all_are_intact()) {
		finding("loading when there is space again: %s", qalloc_errmsg());
	} else if (qalloc_malloc(map, 0) == NULL && qalloc_error() != QALLOC_EFULL) {
		finding("malloc when there is space again: %s", qalloc_errmsg());
	} else if (qalloc_check(map, NULL, NULL) != 0) {
		finding("check when there is space again: %s", qalloc_errmsg());
	} else {
		give_back(map);
	}
	return 0;
}

static void campaign_sizes(const char *file_system, unsigned pages_max, unsigned step)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		if (!campaign_long() && (i == 1 || i == 2)) {
			continue;
		}
		for (unsigned pages = 0; pages <= pages_max;
		     pages += pages < 48 ? step : 8 * step) {
			char who[200];

			(void)unlink(file_of("map"));
			(void)unlink(file_of("ballast"));
			if (!fill_disk(pages)) {
				break;
			}
			shape = &shapes[i];
			free_pages = pages;
			snprintf(who, sizeof(who), "%s, %s, %u pages free", file_system,
				 shapes[i].name, pages);
			uint64_t before = findings();

			in_process(one_case, map_path, who);
			campaign_case();
			if (findings() != before) {
				printf("  that was: %s\n", who);
			}
		}
	}
}

/* Space comes and goes while the map is used. */
static int churn(const char *path)
{
	uint64_t end = now_usec() + (campaign_long() ? 20000000 : 1000000);
	uint64_t state = 88172645463325252u;
	void *map = shape_open(shape, path, NULL);

	while (map == NULL && now_usec() < end) {
		if (!is_full("creation while space comes and goes", false)) {
			return 0;
		}
		map = shape_open(shape, path, NULL);
	}
	while (map != NULL && now_usec() < end) {
		uint64_t chance = next_random(&state);

		if (chance % 7 != 0 && block_count < 3000) {
			size_t size = shape_size(shape, chance / 7 % 9000);
			char *at = timed_malloc(map, size);

			if (at == NULL) {
				if (!is_full("malloc while space comes and goes", true)) {
					return 0;
				}
				chance = 0;
			} else {
				fill(at, size, chance);
				blocks[block_count++] =
					(struct block){.at = at, .size = size, .seed = chance};
			}
		}
		if (chance % 7 == 0 && block_count > 0) {
			unsigned n = (unsigned)(chance / 7 % block_count);

			if (!is_filled(blocks[n].at, blocks[n].size, blocks[n].seed) ||
			    qalloc_tryfree(blocks[n].at, map) != 0) {
				finding("a block has changed, or: %s", qalloc_errmsg());
				return 0;
			}
			blocks[n] = blocks[--block_count];
		}
	}
	if (map != NULL && qalloc_check(map, NULL, NULL) != 0) {
		finding("check: %s", qalloc_errmsg());
	}
	return 0;
}

static void campaign_churn(const char *file_system)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		(void)unlink(file_of("map"));
		(void)unlink(file_of("ballast"));
		fflush(stdout);
		pid_t filler = fork();

		if (filler == 0) {
			alarm(120);
			for (;;) {
				(void)fill_disk(0);
				(void)unlink(file_of("ballast"));
				usleep(300);
			}
		}
		shape = &shapes[i];
		block_count = 0;
		in_process(churn, map_path, file_system);
		campaign_case();
		kill(filler, SIGKILL);
		(void)waitpid(filler, NULL, 0);
	}
}

static bool private_mounts(void)
{
	if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
		return false;
	}
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* An ext4 of 4 MiB in a file, where a loop device can be had. */
static bool mount_ext4(void)
{
	char command[1200];
	const char *image = scratch_path("image");

	snprintf(command, sizeof(command),
		 "truncate -s 4M %s && mkfs.ext4 -q -b 4096 -O ^has_journal %s >/dev/null 2>&1 && "
		 "mount -o loop %s %s 2>/dev/null",
		 image, image, image, mount_point);
	return system(command) == 0;
}

int main(int argc, char **argv)
{
	campaign_begin("disk_full", argc, argv);
	snprintf(mount_point, sizeof(mount_point), "%s", scratch_path("mnt"));
	snprintf(map_path, sizeof(map_path), "%s/map", mount_point);
	slowest = shared_memory(sizeof(*slowest));
	if (mkdir(mount_point, 0700) != 0) {
		broken(mount_point);
	}
	if (!private_mounts() || mount("tmpfs", mount_point, "tmpfs", 0, "size=1m,mode=700") != 0) {
		(void)rmdir(mount_point);
		return campaign_skip("mount(2) of a small tmpfs is not permitted here");
	}
	const char *only = campaign_argument(0); /* a file system */
	bool skipped = false;

	if (only == NULL || strcmp(only, "tmpfs") == 0) {
		campaign_sizes("tmpfs", 240, campaign_long() ? 1 : 12);
		campaign_churn("tmpfs");
	}
	(void)umount(mount_point);
	if (!campaign_long()) {
		puts("  ext4 is part of the long form");
	} else if (only == NULL || strcmp(only, "ext4") == 0) {
		skipped = !mount_ext4();
		if (!skipped) {
			campaign_sizes("ext4", 400, 3);
			campaign_churn("ext4");
			(void)umount(mount_point);
		}
	}
	(void)rmdir(mount_point);
	if (skipped && findings() == 0) {
		return campaign_skip("no loop device for an ext4, or no mkfs.ext4");
	}
	printf("  the slowest malloc took %llu ms\n", (unsigned long long)(*slowest / 1000));
	return campaign_end();
}
