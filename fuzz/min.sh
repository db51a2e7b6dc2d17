#!/bin/bash
# SPDX-License-Identifier: MIT
# Puts what the fuzzers found into the corpus, and keeps the least that reaches the same.  Files with a name
# and regressions stay, and count first; those that are named by their hash may go, as they may come.
# A fuzzer takes one case of what a replay repeats, so look at make fuzz-coverage and fuzz-answers afterwards.
#   fuzz/min.sh HARNESS...
cd "$(dirname "$0")/.." || exit 2
hashed='.*/[0-9a-f]{40}'
for h in "$@"; do
	min=build/fuzzing/min/$h
	rm -rf "$min"
	mkdir -p "$min/all"
	find "corpus/$h" corpus/regressions -type f -regextype posix-extended ! -regex "$hashed" ! -name README \
		-exec cp -t "$min/all" {} +
	folders=()
	for f in "corpus/$h" "build/fuzzing/libfuzzer/corpus/$h" "build/fuzzing/afl/corpus/$h"/*/queue; do
		[ -d "$f" ] && folders+=("$f")
	done
	"build/fuzz/fuzz_$h" -merge=1 -artifact_prefix="$min/" "$min/all" "${folders[@]}" >"$min/log" 2>&1 ||
		{ tail -n 20 "$min/log"; exit 1; }
	before=$(find "corpus/$h" -type f | wc -l)
	find "corpus/$h" -type f -regextype posix-extended -regex "$hashed" -delete
	find "$min/all" -type f -regextype posix-extended -regex "$hashed" -exec cp -t "corpus/$h" {} +
	echo "$h: $before files, now $(find "corpus/$h" -type f | wc -l), of which new:" \
		"$(git ls-files --others "corpus/$h" | wc -l)"
done
