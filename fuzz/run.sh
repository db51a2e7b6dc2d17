#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs harnesses and ends with a table.  Findings stay in build/fuzzing/<engine>/findings/.  Fails if there
# is a new one, or if a harness did not run.
#   fuzz/run.sh libfuzzer|afl SECONDS JOBS HARNESS...
cd "$(dirname "$0")/.." || exit 2
engine=$1 seconds=$2 jobs=$3
shift 3
out="build/fuzzing/$engine"
mkdir -p "$out/findings" "$out/corpus"
touch "$out/started"
export AFL_NO_AFFINITY=1 AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_UI=1
export AFL_AUTORESUME=1 AFL_IGNORE_SEED_PROBLEMS=1
export AFL_CUSTOM_MUTATOR_LIBRARY=$PWD/build/aflmut/mutator.so
TIMEFORMAT='%U %S'

# Runs a command that dies with us, and notes the processor time that it took.
bounded() {
	local child
	"$@" &
	child=$!
	trap 'kill $child 2>/dev/null; exit 1' TERM INT
	wait $child
}

longest() { [ "$1" = header ] && echo 512 || echo 2048; }

# A harness goes on after a finding, until its time is up; each finding is one file.
run_libfuzzer() {
	local h=$1 end=$((SECONDS + seconds)) left entropic=1
	mkdir -p "$out/corpus/$h"
	# Choosing among few features costs more than running the header's rules.
	[ "$h" = header ] && entropic=0
	while left=$((end - SECONDS)) && [ "$left" -gt 0 ]; do
		bounded build/fuzz/fuzz_"$h" -max_total_time="$left" -dict=fuzz/dictionary.txt \
			-timeout=25 -max_len="$(longest "$h")" -entropic=$entropic -print_final_stats=1 \
			-rss_limit_mb=4096 -report_slow_units=60 -artifact_prefix="$out/findings/$h-" \
			"$out/corpus/$h" "corpus/$h" corpus/regressions
		[ $? = 0 ] || sleep 1
	done >"$out/$h.log" 2>&1
}

run_afl() {
	local h=$1
	bounded timeout -k 10 $((seconds + 120)) afl-fuzz -i "corpus/$h" -o "$out/corpus/$h" \
		-V "$seconds" -x fuzz/dictionary.txt -c "build/aflcmp/fuzz_$h" -G "$(longest "$h")" \
		-t 2000+ -- "build/afl/fuzz_$h" >"$out/$h.log" 2>&1
	# afl-fuzz leaves the children of its CMPLOG server behind, each in a session of its own.
	for p in /proc/[0-9]*; do
		case $(readlink "$p/exe") in
		"$PWD/build/afl/fuzz_$h" | "$PWD/build/aflcmp/fuzz_$h") kill -KILL "${p#/proc/}" ;;
		esac
	done 2>/dev/null
	for f in "$out/corpus/$h"/default/{crashes,hangs}/id*; do
		[ "$f" -nt "$out/started" ] && cp "$f" "$out/findings/$h-$(md5sum <"$f" | cut -c1-12)"
	done
}

last_line() {
	[ -f "$out/$1.log" ] || return 0
	tr "\r" "\n" <"$out/$1.log" | grep -aE '^#[0-9]+|execs? speed|corpus count' |
		tail -n 1 | cut -c1-80
}

# $1: the harness, $2: findings.  Executions for each second, and for each second of processor time.
row() {
	"row_$engine" "$1" | awk -v h="$1" -v found="$2" -v seconds="$seconds" '
		NR == FNR { cpu += $1 + $2; next }
		{
			runs = $1
			rate = (cpu > 0) ? runs / cpu : 0
			printf "%-10s %12d %8d %10d %7d %8d %9d\n", h, runs, runs / seconds, rate, $2, $3, found
		}
		END { exit runs == 0 }' "$out/$1.time" -
}

row_libfuzzer() {
	tr '\r' '\n' <"$out/$1.log" | awk '
		/stat::number_of_executed_units:/ { runs += $2 }
		/DONE|pulse|NEW|REDUCE|INITED/ {
			for (i = 1; i < NF; i++) {
				if ($i == "cov:") edges = $(i + 1)
				if ($i == "corp:") { split($(i + 1), c, "/"); corpus = c[1] }
			}
		}
		END { print runs + 0, edges + 0, corpus + 0 }'
}

row_afl() {
	awk -F' *: *' '{ v[$1] = $2 } END { print v["execs_done"] + 0, v["edges_found"] + 0, v["corpus_count"] + 0 }' \
		"$out/corpus/$1/default/fuzzer_stats" 2>/dev/null
}

all() {
	local running=0
	trap 'kill $(jobs -p) 2>/dev/null; exit 1' TERM INT
	for h in "$@"; do
		echo "$h: $seconds s of $engine"
		{ time "run_$engine" "$h"; } 2>"$out/$h.time" &
		running=$((running + 1))
		if [ "$running" -ge "$jobs" ]; then
			wait -n
			running=$((running - 1))
		fi
	done
	wait
}

all "$@" &
driver=$!
trap 'kill $driver 2>/dev/null; wait; exit 1' TERM INT
while kill -0 "$driver" 2>/dev/null; do
	for h in "$@"; do
		line=$(last_line "$h")
		[ -n "$line" ] && [ -t 1 ] && printf '  %-8s %s\n' "$h" "$line"
	done
	sleep 2
done
wait

failed=0
printf '\n%-10s %12s %8s %10s %7s %8s %9s\n' harness executions per-sec per-cpu-s edges corpus findings
for h in "$@"; do
	found=$(find "$out/findings" -type f -name "$h-*" -newer "$out/started" | wc -l)
	row "$h" "$found" || { echo "$h did not run: $out/$h.log"; failed=1; }
	[ "$found" = 0 ] || failed=1
done
find "$out/findings" -type f -newer "$out/started"
exit $failed
