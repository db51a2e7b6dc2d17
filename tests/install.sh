#!/bin/sh
# SPDX-License-Identifier: MIT
# What `make install` leaves behind is enough to build against: with pkg-config, shared and
# static, in C and C++, by either name of the header.
set -e
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
root=$dir/root
${MAKE:-make} --no-print-directory install PREFIX=/usr DESTDIR="$root"
hello=$PWD/examples/hello.c
cd "$dir"

export PKG_CONFIG_PATH="$root/usr/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$root"
flags=$(pkg-config --cflags qalloc)
test "$(pkg-config --modversion qalloc | cut -d. -f1)" = 1

${CC:-cc} $flags -Wall -Werror -o shared "$hello" $(pkg-config --libs qalloc)
${CC:-cc} $flags -Wall -Werror -o static "$hello" "$root/usr/lib/libqalloc.a" -pthread
LD_LIBRARY_PATH=$root/usr/lib ./shared
./static >out
printf 'run 2\nrun 1\n' | diff - out

echo '#include <qthread/qalloc.h>
int main() { return qalloc_loadmap("absent") != 0; }' >old.cc
${CXX:-c++} $flags -Wall -Wextra -Werror -pedantic -o old old.cc $(pkg-config --libs qalloc)
LD_LIBRARY_PATH=$root/usr/lib ./old

for page in qalloc.3 qalloc_malloc.3 qalloc_loadmap.3; do
	test -s "$root/usr/share/man/man3/$page"
done
test -s "$root/usr/share/man/man5/qalloc.5"
