#!/bin/bash -eu
# SPDX-License-Identifier: MIT
# Builds the fuzz targets the way OSS-Fuzz wants them: CC, CFLAGS, LIB_FUZZING_ENGINE and OUT come
# from its environment.  Tried locally with:
#   OUT=build/oss-fuzz CC=clang CFLAGS='-O1 -g -fsanitize=address,fuzzer-no-link' \
#     LIB_FUZZING_ENGINE=-fsanitize=fuzzer fuzz/oss-fuzz/build.sh
cd "$(dirname "$0")/../.."
: "${CC:=clang}" "${CFLAGS:=-O1 -g}" "${LIB_FUZZING_ENGINE:=-fsanitize=fuzzer}" "${OUT:=build/oss-fuzz}"
work=${WORK:-build/oss-fuzz-work}
mkdir -p "$OUT" "$work"
language="-std=c11 -D_GNU_SOURCE -Iinclude -pthread -include fuzz/hook.h"
common=$(sed -n '/^FUZZ_COMMON = /,/[^\\]$/p' fuzz/fuzz.mk | sed 's/^FUZZ_COMMON =//; s/\\$//')
objects=()
for f in src/*.c $(printf 'fuzz/%s.c ' $common mutator engine); do
	o=$work/$(basename "$f" .c).o
	# shellcheck disable=SC2086
	$CC $CFLAGS $language -c "$f" -o "$o"
	objects+=("$o")
done
for h in header loadmap ops hostile check; do
	# shellcheck disable=SC2086
	$CC $CFLAGS $language -c "fuzz/fuzz_$h.c" -o "$work/fuzz_$h.o"
	# The engine may be a C++ library.
	# shellcheck disable=SC2086
	${CXX:-$CC} ${CXXFLAGS:-$CFLAGS} "$work/fuzz_$h.o" "${objects[@]}" $LIB_FUZZING_ENGINE -Wl,@fuzz/wrapped.txt \
		-pthread -o "$OUT/fuzz_$h"
	cp fuzz/dictionary.txt "$OUT/fuzz_$h.dict"
	if command -v zip >/dev/null; then
		rm -f "$OUT/fuzz_${h}_seed_corpus.zip"
		zip -q -j "$OUT/fuzz_${h}_seed_corpus.zip" "corpus/$h"/* corpus/regressions/*
	fi
done
