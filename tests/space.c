/* SPDX-License-Identifier: MIT */
/*
 * Disk space of spans.  See space.h.
 *
 *  - SEEK_HOLE takes what is reserved and not written for a hole; but to reserve it once more
 *    takes no more space.
 *  - Elsewhere than on tmpfs the blocks of a file may be those of its tables, and come at any time.
 */
#include "space.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "../src/format.h"
#include "support.h"

static blkcnt_t blocks_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0) {
		give_up("fstat", "the file of a map");
	}
	return st.st_blocks;
}

static bool has_space(int fd, uint64_t off, uint64_t bytes)
{
	blkcnt_t before = blocks_of(fd);

	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)bytes) != 0) {
		give_up("fallocate", "the file of a map");
	}
	return blocks_of(fd) <= before;
}

static bool is_asked(uint64_t word, bool only_small)
{
	return only_small ? word % 0x100 == SPAN_SMALL : word != SPAN_FREE;
}

bool spans_have_space(int fd, const struct geo *g, bool only_small, uint64_t *span)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) != 0 || fs.f_type != TMPFS_MAGIC) {
		return true;
	}
	for (*span = 0; *span < g->spans; ++*span) {
		uint64_t off = g->data_off + *span * g->span_bytes, word = 0;
		uint64_t bytes =
			g->data_end - off < g->span_bytes ? g->data_end - off : g->span_bytes;

		if (pread(fd, &word, sizeof(word), (off_t)(g->words_off + *span * 8)) !=
		    sizeof(word)) {
			give_up("pread", "the word of a span");
		}
		if (is_asked(word, only_small) && !has_space(fd, off, bytes)) {
			return false;
		}
	}
	return true;
}
