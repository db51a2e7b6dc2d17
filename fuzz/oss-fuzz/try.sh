#!/bin/bash -eu
# SPDX-License-Identifier: MIT
# A test of build.sh: with the environment that OSS-Fuzz gives it, it makes every harness with its dictionary and
# its seeds, and the harnesses run.
cd "$(dirname "$0")/../.."
OUT=$(mktemp -d)
trap 'rm -rf "$OUT"' EXIT
export OUT WORK="$OUT/work" CC="${CLANG:-clang}" LIB_FUZZING_ENGINE=-fsanitize=fuzzer
export CFLAGS='-O0 -gline-tables-only -fsanitize=address,undefined,unsigned-integer-overflow,fuzzer-no-link
	-fno-sanitize-recover=all'
fuzz/oss-fuzz/build.sh
for h in header loadmap ops hostile check; do
	mkdir "$OUT/$h"
	if command -v zip >/dev/null; then
		names=$(zip -sf "$OUT/fuzz_${h}_seed_corpus.zip" | sed -n 's/^  //p')
		wanted=$(cd corpus && find "$h" regressions -type f ! -name README -printf '%f\n')
		[ "$(sort <<<"$names")" = "$(sort <<<"$wanted")" ] || { echo "$h: other seeds"; exit 1; }
	fi
	# What wraps on purpose is in one of these.
	cp corpus/"$h"/[a-l]* corpus/regressions/h* "$OUT/$h"
	"$OUT/fuzz_$h" -runs=20 -artifact_prefix="$OUT/" -dict="$OUT/fuzz_$h.dict" "$OUT/$h" 2>"$OUT/log" || { cat "$OUT/log"; exit 1; }
	tail -n 1 "$OUT/log"
done
