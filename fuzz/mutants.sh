#!/bin/bash
# SPDX-License-Identifier: MIT
# Removes one check at a time from a copy of the source (mutants.c lists them) and asks whether the corpus
# notices (mutant.c), or else MUTANT_SECONDS of fuzzing with each harness.  First without sanitizers, which is
# many times faster, and what is left then with them.  Prints who survives; fails below 95 %, those
# that mutants.known explains not counted.
#   MUTANT_FILES="hdr geo" MUTANT_BUILDS=plain HARNESSES="header" MUTANT_INPUTS=100 fuzz/mutants.sh
#   MUTANT_ANSWERS=/dev/null: noticed by properties and sanitizers alone
cd "$(dirname "$0")/.." || exit 2
files=$(ls src/*.c | sed 's|src/||; s|\.c$||' |
	grep -vxE 'crc|os_.*|api|attach|create|err|guard|load|registry|thread|trim')
harnesses=${HARNESSES:-header loadmap hostile ops check}
seconds=${MUTANT_SECONDS:-0} jobs=${FUZZ_JOBS:-2} clang=${CLANG:-clang}
dir=${MUTANT_DIR:-build/mutants}
language="-std=c11 -D_GNU_SOURCE -g -w -pthread -Iinclude -iquote src -include fuzz/hook.h"
sanitizers="-fsanitize=address,undefined -fno-sanitize-recover=all"
harness_files=$(sed -n '/^FUZZ_COMMON = /,/[^\\]$/p' fuzz/fuzz.mk | sed 's/^FUZZ_COMMON =//; s/\\$//' |
	tr -s ' \t' '\n' | sed -n 's|..*|fuzz/&.c|p')
mkdir -p "$dir/src"
cc -std=c11 -D_GNU_SOURCE -O1 -w -o "$dir/mutants" fuzz/mutants.c || exit 2
next=0
rm -f "$dir/list"
for f in $files; do
	next=$("$dir/mutants" "$next" "src/$f.c" "$dir/new.c" "$dir/list") || exit 2
	cmp -s "$dir/new.c" "$dir/src/$f.c" || cp "$dir/new.c" "$dir/src/$f.c"
done

# Those that are tried.
pattern=$(for f in ${MUTANT_FILES:-$files}; do printf '|src/%s\\.c:' "$f"; done)
grep -E " (${pattern#|})" "$dir/list" | cut -d' ' -f1 >"$dir/tried"
tried=$(wc -l <"$dir/tried")

# $1: folder for objects; $2: more flags.  The copies instead of the files that have one; what is up to date
# stays.
compile() {
	mkdir -p "$dir/$1"
	for f in src/*.c $harness_files \
		fuzz/{mutant,mutator,engine}.c $(printf 'fuzz/fuzz_%s.c ' $harnesses); do
		from=$f object=$dir/$1/$(basename "$f" .c).o
		[ -f "$dir/$f" ] && from=$dir/$f
		[ -f "$object" ] && [ -z "$(find "$from" src fuzz include -path "$from" -newer "$object" -o \
			-name '*.h' -newer "$object")" ] && continue
		echo "$clang $language $sanitized $2 -c $from -o $object"
	done | xargs -r -P "$jobs" -d '\n' -n 1 sh -c
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

answers() { echo "${MUTANT_ANSWERS:-corpus/answers/$1}"; }

# What one harness leaves, the next one tries.  $1: the build.
try_all() {
	for h in $harnesses; do
		split -n "r/$jobs" "$dir/left" "$dir/part."
		pids=
		for part in "$dir"/part.*; do
			"$dir/$1/fuzz_$h" "$(answers "$h")" "corpus/$h" corpus/regressions \
				<"$part" >"$part.killed" &
			pids+=" $!"
		done
		for p in $pids; do
			wait "$p" || { echo "mutants: $h fails without any mutant"; exit 2; }
		done
		sed "s|\$| $1 $h|" "$dir"/part.*.killed >>"$dir/killed_by"
		cut -d' ' -f1 "$dir/killed_by" >"$dir/killed"
		rm -f "$dir"/part.*
		grep -vxFf "$dir/killed" "$dir/tried" >"$dir/left"
		echo "mutants: $tried, left after $1 $h: $(wc -l <"$dir/left")"
	done
}

rm -f "$dir"/part.*
cp "$dir/tried" "$dir/left"
: >"$dir/killed_by"
for build in ${MUTANT_BUILDS:-plain sanitized}; do
	sanitized=
	[ "$build" = sanitized ] && sanitized=$sanitizers
	compile "$build" -O1 || exit 2
	link "$build" mutant
	try_all "$build"
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
	sanitized=$sanitizers
	compile fuzzed "-O1 -fsanitize=fuzzer-no-link -DMUTANT_FUZZED" || exit 2
	link fuzzed "mutant mutator engine" -fsanitize=fuzzer
	while read -r m; do
		if noticed "$m"; then
			echo "$m" >>"$dir/killed"
			echo "mutants: only by fuzzing: $(grep "^$m " "$dir/list")"
		fi
	done <"$dir/left"
	grep -vxFf "$dir/killed" "$dir/tried" >"$dir/left"
fi

# What is left, without the explained ones; and what is explained in vain.
list() { while read -r m; do grep "^$m " "$dir/list" | cut -d' ' -f2-; done <"$dir/$1"; }
list left >"$dir/survived"
list killed >"$dir/noticed"
grep '^src' fuzz/mutants.known >"$dir/known"
grep -vxFf "$dir/known" "$dir/survived" >"$dir/unexplained"
sed 's/^/survived: /' "$dir/unexplained"
grep -xFf "$dir/noticed" "$dir/known" | grep -vxFf "$dir/survived" | sed 's/^/noticed after all: /'
unexplained=$(wc -l <"$dir/unexplained")
survived=$(wc -l <"$dir/survived")
explained=$((survived - unexplained)) counted=$((tried - survived + unexplained))
echo "mutants: $tried, killed $((tried - survived)), explained $explained, unexplained $unexplained:" \
	"$((1000 * (tried - survived) / counted)) per mille of those that can be noticed"
[ $((unexplained * 20)) -le "$counted" ]
