#!/bin/bash
# SPDX-License-Identifier: MIT
# Removes one check at a time from a copy of the source (mutants.c lists them) and asks whether the corpus
# notices, or else MUTANT_SECONDS of fuzzing.  Prints who survives; fails below 95 %, those that
# mutants.known explains not counted.
cd "$(dirname "$0")/.." || exit 2
files=${MUTANT_FILES:-hdr geo span run check open heap pool roots scan walk verify reserve}
harnesses=${HARNESSES:-header check loadmap ops hostile}
seconds=${MUTANT_SECONDS:-12} jobs=${FUZZ_JOBS:-2}
dir=build/mutants
flags="-std=c11 -D_GNU_SOURCE -O1 -g -w -pthread -fsanitize=fuzzer-no-link,address,undefined
	-fno-sanitize-recover=all -Iinclude -iquote src -include fuzz/hook.h"
wrap=-Wl
for f in now_usec clock_sec wait_word sleep boot_id random pid reserve; do wrap+=,--wrap=os_$f; done
export dir harnesses seconds
rm -rf "$dir"
mkdir -p "$dir/src"
cc -std=c11 -D_GNU_SOURCE -O1 -w -o "$dir/mutants" fuzz/mutants.c || exit 2
next=0
for f in $files; do
	next=$("$dir/mutants" "$next" "src/$f.c" "$dir/src/$f.c" "$dir/list") || exit 2
done
for f in src/*.c; do
	from=$f
	[ -f "$dir/$f" ] && from=$dir/$f
	echo "clang $flags -c $from -o $dir/$(basename "$f" .c).o"
done | tr '\n\t' '\n ' | sed 's/  */ /g' | awk '/^clang/ { if (l) print l; l = $0; next } { l = l $0 } END { print l }' |
	xargs -P "$jobs" -d '\n' -n 1 sh -c || exit 2
# shellcheck disable=SC2086
for h in $harnesses; do
	clang $flags -fsanitize=fuzzer "$wrap" -o "$dir/fuzz_$h" "$dir"/*.o fuzz/mutant.c fuzz/fuzz_"$h".c \
		fuzz/{image,fake,common,rough,model,model_roots,model_world,mutator,engine}.c || exit 2
done

# 0: somebody noticed that this check is missing.
noticed() {
	export MUTANT=$1
	for h in $harnesses; do
		timeout 30 "$dir/fuzz_$h" -runs=0 -timeout=5 -artifact_prefix="$dir/" "corpus/$h" \
			corpus/regressions >"$dir/log.$1" 2>&1 || return 0
	done
	for h in $harnesses; do
		[ "$2" = fuzz ] || return 1
		timeout $((seconds + 30)) "$dir/fuzz_$h" -max_total_time="$seconds" -timeout=5 -max_len=4096 \
			-artifact_prefix="$dir/" "corpus/$h" >"$dir/log.$1" 2>&1 || return 0
	done
	return 1
}
export -f noticed
try() {
	if noticed "$1" replay; then
		echo "$1" >>"$dir/killed"
	else
		echo "$1" >>"$dir/survived"
	fi
	rm -f "$dir/log.$1"
}
export -f try

if noticed -1 replay; then
	echo "mutants: the corpus finds something without any mutant"
	tail -n 20 "$dir/log.-1"
	exit 2
fi
touch "$dir/killed" "$dir/survived"
seq 0 $((next - 1)) | xargs -P "$jobs" -n 1 bash -c 'try $0'
echo "mutants: $next, killed by the corpus: $(wc -l <"$dir/killed")"
if [ "$seconds" != 0 ]; then
	while read -r m; do
		if noticed "$m" fuzz; then
			echo "$m" >>"$dir/killed"
			echo "mutants: $m only by fuzzing: $(grep "^$m " "$dir/list")"
		fi
	done < <(sort -n "$dir/survived")
fi

# What is left, without the explained ones.
sort -n "$dir/survived" | grep -vxFf "$dir/killed" | while read -r m; do
	grep "^$m " "$dir/list" | cut -d' ' -f2-
done >"$dir/left"
sed -n 's/^\(src[^ ]* .*\)$/\1/p' fuzz/mutants.known 2>/dev/null | sed 's/:[0-9]* / /' >"$dir/known"
unexplained=0
while read -r line; do
	if ! sed 's/:[0-9]* / /' <<<"$line" | grep -qxFf "$dir/known"; then
		echo "survived: $line"
		unexplained=$((unexplained + 1))
	fi
done <"$dir/left"
echo "mutants: $next, killed $(wc -l <"$dir/killed"), survived $(wc -l <"$dir/left"), unexplained $unexplained"
[ $((unexplained * 20)) -le "$next" ]
