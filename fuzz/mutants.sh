#!/bin/bash
# SPDX-License-Identifier: MIT
# Removes one check at a time from a copy of the source (mutants.c lists them) and asks whether the corpus
# notices (mutant.c), or else MUTANT_SECONDS of fuzzing with each harness.  Prints who survives; fails
# below 95 %, those that mutants.known explains not counted.
#   MUTANT_FILES="hdr geo" HARNESSES="header" MUTANT_INPUTS=100 fuzz/mutants.sh
cd "$(dirname "$0")/.." || exit 2
files=${MUTANT_FILES:-$(ls src/*.c | sed 's|src/||; s|\.c$||' |
	grep -vxE 'crc|os_.*|api|attach|create|err|guard|load|registry|thread|trim')}
harnesses=${HARNESSES:-header loadmap hostile ops check}
seconds=${MUTANT_SECONDS:-0} jobs=${FUZZ_JOBS:-2} clang=${CLANG:-clang}
dir=${MUTANT_DIR:-build/mutants}
language="-std=c11 -D_GNU_SOURCE -g -w -pthread -Iinclude -iquote src -include fuzz/hook.h"
sanitized="-fsanitize=address,undefined -fno-sanitize-recover=all"
harness_files=$(sed -n '/^FUZZ_COMMON = /,/[^\\]$/p' fuzz/fuzz.mk | sed 's/^FUZZ_COMMON =//; s/\\$//' | tr -s ' \t' '\n' | sed -n 's|..*|fuzz/&.c|p')
rm -rf "$dir"
mkdir -p "$dir/src"
cc -std=c11 -D_GNU_SOURCE -O1 -w -o "$dir/mutants" fuzz/mutants.c || exit 2
next=0
for f in $files; do
	next=$("$dir/mutants" "$next" "src/$f.c" "$dir/src/$f.c" "$dir/list") || exit 2
done

# $1: folder for objects; $2: more flags.  The copies instead of the files that have one.
compile() {
	mkdir -p "$dir/$1"
	for f in src/*.c $harness_files \
		fuzz/{mutant,mutator,engine}.c $(printf 'fuzz/fuzz_%s.c ' $harnesses); do
		from=$f
		[ -f "$dir/$f" ] && from=$dir/$f
		echo "$clang $language $sanitized $2 -c $from -o $dir/$1/$(basename "$f" .c).o"
	done | xargs -P "$jobs" -d '\n' -n 1 sh -c
}

# $1: folder for objects; $2: the objects of the loop; $3: more flags.
link() {
	for h in $harnesses; do
		objects=
		for f in src/*.c $harness_files; do
			objects+=" $dir/$1/$(basename "$f" .c).o"
		done
		for f in $2; do objects+=" $dir/$1/$f.o"; done
		# shellcheck disable=SC2086
		$clang $sanitized $3 -pthread -Wl,@fuzz/wrapped.txt -o "$dir/$1/fuzz_$h" $objects \
			"$dir/$1/fuzz_$h.o" || exit 2
	done
}

compile replay -O1 || exit 2
link replay mutant

# MUTANT_ANSWERS=/dev/null: noticed by properties and sanitizers alone.
answers() { echo "${MUTANT_ANSWERS:-corpus/answers/$1}"; }

# What one harness leaves, the next one tries.
seq 0 $((next - 1)) >"$dir/left"
: >"$dir/killed_by"
for h in $harnesses; do
	split -n "r/$jobs" "$dir/left" "$dir/part."
	for part in "$dir"/part.*; do
		"$dir/replay/fuzz_$h" "$(answers "$h")" "corpus/$h" corpus/regressions \
			<"$part" >"$part.killed" &
		pids+=" $!"
	done
	for p in $pids; do wait "$p" || { echo "mutants: $h fails without any mutant"; exit 2; }; done
	pids=
	sed "s|\$| $h|" "$dir"/part.*.killed >>"$dir/killed_by"
	cut -d' ' -f1 "$dir/killed_by" >"$dir/killed"
	rm -f "$dir"/part.*
	seq 0 $((next - 1)) | grep -vxFf "$dir/killed" >"$dir/left"
	echo "mutants: $next, left after $h: $(wc -l <"$dir/left")"
done

# 0: fuzzing notices that this check is missing.
noticed() {
	for h in $harnesses; do
		MUTANT=$1 timeout $((seconds + 60)) "$dir/fuzzed/fuzz_$h" -max_total_time="$seconds" \
			-timeout=5 -max_len=4096 -artifact_prefix="$dir/" "corpus/$h" \
			>"$dir/log" 2>&1 || return 0
	done
	return 1
}
if [ "$seconds" != 0 ]; then
	compile fuzzed "-O1 -fsanitize=fuzzer-no-link -DMUTANT_FUZZED" || exit 2
	link fuzzed "mutant mutator engine" -fsanitize=fuzzer
	while read -r m; do
		if noticed "$m"; then
			echo "$m" >>"$dir/killed"
			echo "mutants: only by fuzzing: $(grep "^$m " "$dir/list")"
		fi
	done <"$dir/left"
	seq 0 $((next - 1)) | grep -vxFf "$dir/killed" >"$dir/left"
fi

# What is left, without the explained ones.  Line numbers do not count.
while read -r m; do grep "^$m " "$dir/list" | cut -d' ' -f2-; done <"$dir/left" >"$dir/survived"
grep '^src' fuzz/mutants.known | sed 's/:[0-9]* / /' >"$dir/known"
unexplained=0
while read -r line; do
	if ! sed 's/:[0-9]* / /' <<<"$line" | grep -qxFf "$dir/known"; then
		echo "survived: $line"
		unexplained=$((unexplained + 1))
	fi
done <"$dir/survived"
survived=$(wc -l <"$dir/survived")
explained=$((survived - unexplained)) counted=$((next - survived + unexplained))
echo "mutants: $next, killed $((next - survived)), explained $explained, unexplained $unexplained:" \
	"$((1000 * (next - survived) / counted)) per mille of those that can be noticed"
[ $((unexplained * 20)) -le "$counted" ]
