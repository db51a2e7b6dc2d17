#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs one harness after the other, each with JOBS workers that share a corpus, and ends with a table.
# Findings stay in build/fuzzing/<engine>/findings/.  Fails if there is a new one, or if a harness did not run.
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

# What a harness takes at most: nothing of its corpus is cut off.
longest() {
	local least=2048 most
	[ "$1" = header ] && least=512
	most=$(find "corpus/$1" -type f -printf '%s\n' | sort -n | tail -n 1)
	echo $((most > least ? most : least))
}

# $1: harness, $2: worker.  Goes on after a finding, until its time is up; each finding is one file.
run_libfuzzer() {
	local h=$1 end=$((SECONDS + seconds)) left entropic=1
	# Choosing among few features costs more than running the header's rules.
	[ "$h" = header ] && entropic=0
	while left=$((end - SECONDS)) && [ "$left" -gt 0 ]; do
		bounded build/fuzz/fuzz_"$h" -max_total_time="$left" -dict=fuzz/dictionary.txt \
			-timeout=25 -max_len="$(longest "$h")" -entropic=$entropic -print_final_stats=1 \
			-rss_limit_mb=4096 -report_slow_units=60 -artifact_prefix="$out/findings/$h-" \
			"$out/corpus/$h" "corpus/$h" corpus/regressions
		[ $? = 0 ] || sleep 1
	done >"$out/$h.$2.log" 2>&1
}

# AFL++ takes one folder.
before_afl() {
	rm -rf "$out/seeds/$1"
	mkdir -p "$out/seeds/$1"
	cp "corpus/$1"/* corpus/regressions/* "$out/seeds/$1"
	rm "$out/seeds/$1/README"
}

# The first worker is AFL++'s main one.
run_afl() {
	local h=$1 role=-S
	[ "$2" = 1 ] && role=-M
	bounded timeout -k 10 $((seconds + 120)) afl-fuzz -i "$out/seeds/$h" -o "$out/corpus/$h" \
		$role "worker$2" -V "$seconds" -x fuzz/dictionary.txt -c "build/aflcmp/fuzz_$h" \
		-G "$(longest "$h")" -t 2000+ -- "build/afl/fuzz_$h" >"$out/$h.$2.log" 2>&1
}

before_libfuzzer() { :; }
after_libfuzzer() { :; }

after_afl() {
	local h=$1
	# afl-fuzz leaves the children of its CMPLOG server behind, each in a session of its own.
	for p in /proc/[0-9]*; do
		case $(readlink "$p/exe") in
		"$PWD/build/afl/fuzz_$h" | "$PWD/build/aflcmp/fuzz_$h") kill -KILL "${p#/proc/}" ;;
		esac
	done 2>/dev/null
	for f in "$out/corpus/$h"/worker*/{crashes,hangs}/id*; do
		[ "$f" -nt "$out/started" ] && cp "$f" "$out/findings/$h-$(md5sum <"$f" | cut -c1-12)"
	done
}

# How far the first worker is.  AFL++ writes its numbers once a minute, and tells of each input that it takes.
last_line() {
	[ -f "$out/$1.1.log" ] || return 0
	[ "$engine" = afl ] && awk -F' *: *' '$1 ~ /^(execs_done|edges_found)$/ {
		printf "%s %s, ", $1, $2
	}' "$out/corpus/$1/worker1/fuzzer_stats" 2>/dev/null
	tr '\r' '\n' <"$out/$1.1.log" | sed 's/\x1b\[[0-9;]*m//g' |
		grep -aE '^#[0-9]+|^\[\*\] Fuzzing test case|execs? speed|corpus count' | tail -n 1
}

# $1: the harness, $2: findings.  Executions of all workers, for each second, and for each second of processor time,
# which nobody knows of AFL++: it ends its servers before they can wait for their children.
row() {
	"row_$engine" "$1" | awk -v h="$1" -v found="$2" -v seconds="$seconds" -v engine="$engine" '
		NR == FNR { cpu += $1 + $2; next }
		{
			runs = $1
			rate = (engine == "afl" || cpu == 0) ? "-" : int(runs / cpu)
			printf "%-10s %12d %8d %10s %7d %8d %9d\n", h, runs, runs / seconds, rate, $2, $3, found
		}
		END { exit runs == 0 }' "$out/$1.time" -
}

# Executions of all; edges and corpus of the worker that has most.
row_libfuzzer() {
	cat "$out/$1".*.log | tr '\r' '\n' | awk '
		/stat::number_of_executed_units:/ { runs += $2 }
		/DONE|pulse|NEW|REDUCE|INITED|RELOAD/ {
			for (i = 1; i < NF; i++) {
				if ($i == "cov:" && $(i + 1) > edges) edges = $(i + 1)
				if ($i == "corp:") {
					split($(i + 1), c, "/")
					if (c[1] > corpus) corpus = c[1]
				}
			}
		}
		END { print runs + 0, edges + 0, corpus + 0 }'
}

row_afl() {
	cat "$out/corpus/$1"/worker*/fuzzer_stats 2>/dev/null | awk -F' *: *' '
		$1 == "execs_done" { runs += $2 }
		$1 == "edges_found" && $2 > edges { edges = $2 }
		$1 == "corpus_count" && $2 > corpus { corpus = $2 }
		END { print runs + 0, edges + 0, corpus + 0 }'
}

workers() {
	trap 'kill $(jobs -p) 2>/dev/null; exit 1' TERM INT
	for w in $(seq "$jobs"); do "run_$engine" "$1" "$w" & done
	wait
}

all() {
	trap 'kill $(jobs -p) 2>/dev/null; exit 1' TERM INT
	for h in "$@"; do
		echo "$h: $seconds s of $engine, $jobs workers"
		mkdir -p "$out/corpus/$h"
		rm -f "$out/$h".*.log
		"before_$engine" "$h"
		{ time workers "$h"; } 2>"$out/$h.time" &
		wait $!
		"after_$engine" "$h"
	done
}

all "$@" &
driver=$!
trap 'kill $driver 2>/dev/null; wait; exit 1' TERM INT
# Every two seconds for people, every 30 for a log.
every=30 told=0
[ -t 1 ] && every=2
while kill -0 "$driver" 2>/dev/null; do
	sleep 2
	[ $((SECONDS - told)) -ge $every ] || continue
	told=$SECONDS
	# Of the one that runs.
	h=$(cd "$out" && ls -t -- *.1.log 2>/dev/null | head -n 1)
	line=$(last_line "${h%.1.log}" | tr '\n' ' ' | cut -c1-110)
	[ -n "$line" ] && printf '  %-8s %s\n' "${h%.1.log}" "$line"
done
wait

failed=0
printf '\n%-10s %12s %8s %10s %7s %8s %9s\n' harness executions per-sec per-cpu-s edges corpus findings
for h in "$@"; do
	found=$(find "$out/findings" -type f -name "$h-*" -newer "$out/started" | wc -l)
	row "$h" "$found" || { echo "$h did not run: $out/$h.1.log"; failed=1; }
	[ "$found" = 0 ] || failed=1
done
find "$out/findings" -type f -newer "$out/started"
exit $failed
