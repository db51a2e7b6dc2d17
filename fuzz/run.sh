#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs harnesses and ends with a table.  Findings stay in build/<engine>/findings/.
#   fuzz/run.sh libfuzzer|afl SECONDS JOBS HARNESS...
cd "$(dirname "$0")/.." || exit 2
engine=$1 seconds=$2 jobs=$3
shift 3
out="build/fuzzing/$engine"
mkdir -p "$out/findings"
export AFL_NO_AFFINITY=1 AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_UI=1
export AFL_AUTORESUME=1 AFL_IGNORE_SEED_PROBLEMS=1
export AFL_CUSTOM_MUTATOR_LIBRARY=$PWD/build/aflmut/mutator.so

# A harness goes on after a finding, until its time is up; each finding is one file.
run_libfuzzer() {
	local h=$1 end=$((SECONDS + seconds)) left
	mkdir -p "$out/corpus/$h"
	: >"$out/$h.log"
	while left=$((end - SECONDS)) && [ "$left" -gt 0 ]; do
		build/fuzz/fuzz_"$h" -max_total_time="$left" -dict=fuzz/dictionary.txt -timeout=25 \
			-max_len=8192 -print_final_stats=1 -rss_limit_mb=4096 -report_slow_units=60 \
			-artifact_prefix="$out/findings/$h-" "$out/corpus/$h" "corpus/$h" \
			corpus/regressions >>"$out/$h.log" 2>&1
	done
}

run_afl() {
	local h=$1
	mkdir -p "$out/corpus"
	timeout -k 10 $((seconds + 120)) afl-fuzz -i "corpus/$h" -o "$out/corpus/$h" -V "$seconds" \
		-x fuzz/dictionary.txt -c "build/aflcmp/fuzz_$h" -G 8192 -t 2000+ \
		-- "build/afl/fuzz_$h" >"$out/$h.log" 2>&1
	for f in "$out/corpus/$h"/default/{crashes,hangs}/id*; do
		[ -f "$f" ] && cp "$f" "$out/findings/$h-$(md5sum <"$f" | cut -c1-12)"
	done
}

last_line() {
	[ -f "$out/$1.log" ] || return 0
	tr "\r" "\n" <"$out/$1.log" | grep -aE '^#[0-9]+|execs? speed|corpus count' |
		tail -n 1 | cut -c1-80
}

row_libfuzzer() {
	awk -v h="$1" -v found="$2" '
		/stat::number_of_executed_units:/ { runs += $2 }
		/DONE|pulse|NEW|REDUCE|INITED/ {
			for (i = 1; i < NF; i++) {
				if ($i == "cov:") edges = $(i + 1)
				if ($i == "corp:") { split($(i + 1), c, "/"); corpus = c[1] }
			}
		}
		END { printf "%-10s %12d %8d %7d %8d %9d\n", h, runs, runs / '"$seconds"', edges, corpus, found }
	' "$out/$1.log"
}

row_afl() {
	awk -F' *: *' -v h="$1" -v found="$2" '
		{ v[$1] = $2 }
		END {
			printf "%-10s %12d %8d %7d %8d %9d\n", h, v["execs_done"], v["execs_per_sec"],
				v["edges_found"], v["corpus_count"], found
		}' "$out/corpus/$1/default/fuzzer_stats" 2>/dev/null ||
		printf '%-10s did not start: %s\n' "$1" "$out/$1.log"
}

running=0
for h in "$@"; do
	echo "$h: $seconds s of $engine"
	"run_$engine" "$h" &
	running=$((running + 1))
	if [ "$running" -ge "$jobs" ]; then
		wait -n
		running=$((running - 1))
	fi
done &
driver=$!
while kill -0 "$driver" 2>/dev/null; do
	for h in "$@"; do
		line=$(last_line "$h")
		[ -n "$line" ] && [ -t 1 ] && printf '  %-8s %s\n' "$h" "$line"
	done
	sleep 5
done
wait

total=0
printf '\n%-10s %12s %8s %7s %8s %9s\n' harness executions per-sec edges corpus findings
for h in "$@"; do
	found=$(find "$out/findings" -type f -name "$h-*" | wc -l)
	total=$((total + found))
	"row_$engine" "$h" "$found"
done
[ "$total" = 0 ] || find "$out/findings" -type f
[ "$total" = 0 ]
