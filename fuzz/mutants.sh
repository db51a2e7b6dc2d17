#!/bin/bash
# SPDX-License-Identifier: MIT
# Removes one check at a time from a copy of the source (mutants.c lists them) and asks whether the corpus
# notices (mutant.c).  First without sanitizers, which is many times faster, and what is left then with them.
# What is left after that, and not explained by mutants.known, is given to MUTANT_SECONDS of fuzzing with each
# harness, if that is not 0, and then to the unit tests MUTANT_TESTS.  Prints who survives; fails below 95 %, those
# that are explained not counted, and if an explanation is for a mutant that there is not.
#   MUTANT_FILES="hdr geo" MUTANT_BUILDS=plain HARNESSES="header" MUTANT_INPUTS=100 fuzz/mutants.sh
#   MUTANT_ANSWERS=/dev/null: noticed by properties and sanitizers alone
#   MUTANT_ONLY=PATTERN: only those whose line in the list matches
#   MUTANT_SECONDS=60: what the corpus does not notice is fuzzed for a minute with each harness
#   MUTANT_TESTS="test_create test_open": and then these tests are asked
#   MUTANT_EXPLAINED=1: the tests and the fuzzing for those that are explained, too
cd "$(dirname "$0")/.." || exit 2
files=$(ls src/*.c | sed 's|src/||; s|\.c$||' |
	grep -vxE 'crc|os_.*|err|guard|registry|thread|trim')
harnesses=${HARNESSES:-header loadmap hostile ops check}
seconds=${MUTANT_SECONDS:-0} jobs=${FUZZ_JOBS:-2} clang=${CLANG:-clang}
dir=${MUTANT_DIR:-build/mutants}
tests=${MUTANT_TESTS:-}
language="-std=c11 -D_GNU_SOURCE -g -w -pthread -Iinclude -iquote src"
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

# What is explained must be there.
grep '^src' fuzz/mutants.known >"$dir/known"
cut -d' ' -f2- "$dir/list" >"$dir/all"
if grep -vxFf "$dir/all" "$dir/known" | sed 's/^/explained, but no mutant: /' | grep .; then
	exit 1
fi

# Those that are tried.
pattern=$(for f in ${MUTANT_FILES:-$files}; do printf '|src/%s\\.c:' "$f"; done)
grep -E " (${pattern#|})" "$dir/list" | grep -E -- "${MUTANT_ONLY:-.}" | cut -d' ' -f1 >"$dir/tried"
tried=$(wc -l <"$dir/tried")

# $1: folder for objects; $2: more flags; the rest: sources.  The copies instead of the files that have one;
# what is up to date stays.
compile() {
	local folder=$1 flags=$2
	shift 2
	mkdir -p "$dir/$folder"
	for f in src/*.c "$@"; do
		from=$f object=$dir/$folder/$(basename "$f" .c).o
		[ -f "$dir/$f" ] && from=$dir/$f
		[ -f "$object" ] && [ -z "$(find "$from" src fuzz include -path "$from" -newer "$object" -o \
			-name '*.h' -newer "$object")" ] && continue
		echo "$clang $language $sanitized $flags -c $from -o $object"
	done | xargs -r -P "$jobs" -d '\n' -n 1 sh -c
}

# shellcheck disable=SC2046,SC2086
compile_harnesses() {
	compile "$1" "$2 -include fuzz/hook.h" $harness_files fuzz/{mutant,mutator,engine}.c \
		$(printf 'fuzz/fuzz_%s.c ' $harnesses)
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
	compile_harnesses "$build" -O1 || exit 2
	link "$build" mutant
	try_all "$build"
done

# The lines of the list whose numbers $1 has, but for what the file $2 explains.
lines() {
	awk 'FILENAME == ARGV[1] { chosen[$1]; next }
		FILENAME == ARGV[2] { known[$0]; next }
		$1 in chosen && !(substr($0, index($0, " ") + 1) in known)' "$dir/$1" "$2" "$dir/list"
}

# $1: a command that gets a number; $2: who notices.  Asks for each that is left and not explained.
ask() {
	lines left "$known_to_ask" >"$dir/open"
	while read -r m line; do
		"$1" "$m" || continue
		echo "$m" >>"$dir/killed"
		echo "mutants: only by $2, $by: $line"
	done <"$dir/open"
	grep -vxFf "$dir/killed" "$dir/tried" >"$dir/left"
}
known_to_ask=$dir/known
[ "${MUTANT_EXPLAINED:-0}" = 0 ] || known_to_ask=/dev/null

# 0: fuzzing notices that this check is missing.
fuzzing_notices() {
	for by in $harnesses; do
		rm -rf "$dir/found"
		mkdir "$dir/found"
		MUTANT=$1 timeout $((seconds + 60)) "$dir/fuzzed/fuzz_$by" -max_total_time="$seconds" \
			-timeout=5 -max_len=4096 -artifact_prefix="$dir/" "$dir/found" "corpus/$by" corpus/regressions \
			>"$dir/log" 2>&1 </dev/null || return 0
	done
	return 1
}
if [ "$seconds" != 0 ]; then
	sanitized=$sanitizers
	compile_harnesses fuzzed "-O1 -fsanitize=fuzzer-no-link -DMUTANT_FUZZED" || exit 2
	link fuzzed "mutant mutator engine" -fsanitize=fuzzer
	ask fuzzing_notices fuzzing
fi

# 0: a unit test fails without this check.
tests_notice() {
	for by in $tests; do
		MUTANT=$1 timeout -k 1 60 "$dir/tests/$by" >"$dir/log" 2>&1 </dev/null || return 0
	done
	return 1
}
if [ -n "$tests" ]; then
	sanitized=
	# shellcheck disable=SC2046,SC2086
	compile tests "-O1 -DMUTANT_FUZZED -Ifuzz" fuzz/mutant.c tests/{support,processes,watch}.c \
		$(printf 'tests/%s.c ' $tests) || exit 2
	objects=$(for f in src/*.c mutant support processes watch; do echo "$dir/tests/$(basename "$f" .c).o"; done)
	for t in $tests; do
		# shellcheck disable=SC2086
		$clang -pthread -o "$dir/tests/$t" "$dir/tests/$t.o" $objects -lcmocka || exit 2
	done
	tests_notice -1 && { echo "mutants: $by fails without any mutant"; exit 2; }
	ask tests_notice "unit tests"
fi

# What is left, without the explained ones; and what is explained in vain.
lines left /dev/null | cut -d' ' -f2- >"$dir/survived"
lines killed /dev/null | cut -d' ' -f2- >"$dir/noticed"
grep -vxFf "$dir/known" "$dir/survived" >"$dir/unexplained"
sed 's/^/survived: /' "$dir/unexplained"
grep -xFf "$dir/noticed" "$dir/known" | grep -vxFf "$dir/survived" | sed 's/^/noticed after all: /'
unexplained=$(wc -l <"$dir/unexplained")
survived=$(wc -l <"$dir/survived")
explained=$((survived - unexplained)) counted=$((tried - survived + unexplained))
echo "mutants: $tried, killed $((tried - survived)), explained $explained, unexplained $unexplained:" \
	"$((1000 * (tried - survived) / counted)) per mille of those that can be noticed"
[ $((unexplained * 20)) -le "$counted" ]
