#!/bin/sh
# SPDX-License-Identifier: MIT
# The shared library ($1) exports the header's calls and nothing else, each has its manual
# page, uses neither malloc nor stdio, and is linked hardened.
set -e
LC_ALL=C
export LC_ALL
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

nm -D --defined-only "$1" | sed -n 's/.* T \([a-z_]*\)@.*/\1/p' | sort -u >"$dir/exported"
cpp -P include/qalloc.h | grep -o 'qalloc_[a-z_]*(' | tr -d '(' | grep -v '_fn$' |
	sort -u >"$dir/declared"
sed -n 's/^\.F[no] \(qalloc_[a-z_]*\).*/\1/p' man/qalloc.3 | sort -u >"$dir/documented"
test -s "$dir/declared"
diff "$dir/declared" "$dir/exported"
diff "$dir/declared" "$dir/documented"
for name in $(cat "$dir/declared"); do
	test -s "man/$name.3"
done

nm -D --undefined-only "$1" | sed 's/.* \([A-Za-z_0-9]*\)@*.*/\1/' >"$dir/used"
grep -q '^mmap' "$dir/used"
if grep -E '^_*(malloc|calloc|realloc|free|strn?dup|[a-z]*printf(_chk)?|f?puts|fopen|fwrite|atexit)$' \
	"$dir/used"; then
	echo 'the library must not use these'
	exit 1
fi

readelf -d "$1" >"$dir/dynamic"
readelf -lW "$1" >"$dir/segments"
grep -q 'NOW' "$dir/dynamic"
grep -q 'NODELETE' "$dir/dynamic"
grep -q 'SONAME.*libqalloc\.so\.1' "$dir/dynamic"
grep -q 'GNU_RELRO' "$dir/segments"
if grep -q 'GNU_STACK.*RWE' "$dir/segments"; then
	echo 'the stack is executable'
	exit 1
fi
