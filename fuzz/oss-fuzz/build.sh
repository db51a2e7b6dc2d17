#!/bin/bash -eu
# SPDX-License-Identifier: MIT
# Builds the fuzz targets the way OSS-Fuzz wants them: CC, CFLAGS, LIB_FUZZING_ENGINE and OUT come
# from its environment.  fuzz/oss-fuzz/try.sh runs it in the same way, as a part of `make check`.
cd "$(dirname "$0")/../.."
: "${CC:=clang}" "${CFLAGS:=-O1 -g}" "${LIB_FUZZING_ENGINE:=-fsanitize=fuzzer}" "${OUT:=build/oss-fuzz}"
work=${WORK:-build/oss-fuzz-work}
mkdir -p "$OUT" "$work"
language="-std=c11 -D_GNU_SOURCE -Iinclude -pthread -include fuzz/hook.h"
# Where unsigned arithmetic wraps on purpose; not every compiler knows the option.
wraps=-fsanitize-ignorelist=fuzz/wraps.txt
# shellcheck disable=SC2086
$CC $CFLAGS $wraps -x c -fsyntax-only /dev/null 2>/dev/null || wraps=
common=$(sed -n '/^FUZZ_COMMON = /,/[^\\]$/p' fuzz/fuzz.mk | sed 's/^FUZZ_COMMON =//; s/\\$//')
objects=()
# shellcheck disable=SC2086
for f in src/*.c $(printf 'fuzz/%s.c ' $common mutator engine); do
	o=$work/$(basename "$f" .c).o
	$CC $CFLAGS $wraps $language -c "$f" -o "$o"
	objects+=("$o")
done
for h in header loadmap ops hostile check; do
	# shellcheck disable=SC2086
	$CC $CFLAGS $wraps $language -c "fuzz/fuzz_$h.c" -o "$work/fuzz_$h.o"
	# The engine may be a C++ library.
	# shellcheck disable=SC2086
	${CXX:-$CC} ${CXXFLAGS:-$CFLAGS} "$work/fuzz_$h.o" "${objects[@]}" $LIB_FUZZING_ENGINE -Wl,@fuzz/wrapped.txt \
		-pthread -o "$OUT/fuzz_$h"
	cp fuzz/dictionary.txt "$OUT/fuzz_$h.dict"
	if command -v zip >/dev/null; then
		rm -f "$OUT/fuzz_${h}_seed_corpus.zip"
		find "corpus/$h" corpus/regressions -type f ! -name README |
			zip -q -j -@ "$OUT/fuzz_${h}_seed_corpus.zip"
	fi
done
