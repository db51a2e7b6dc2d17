# SPDX-License-Identifier: MIT
# The table at the end of `make torture`: for each campaign that is named its cases, findings and
# time.  Fails if one has findings, did not come to its end, or could not run: with its reason.
BEGIN {
	printf "%-20s %12s %10s %8s\n", "campaign", "cases", "findings", "seconds"
	for (i = 1; i < ARGC; i++) {
		base = "build/torture/" ARGV[i]
		seconds = exit_status = "?"
		cases = findings = note = ""
		getline seconds <(base ".seconds")
		getline exit_status <(base ".exit")
		while ((getline line <(base ".log")) > 0) {
			if (match(line, /: cases [0-9]+, findings [0-9]+$/)) {
				split(substr(line, RSTART), word, /[ ,]+/)
				cases = word[3]
				findings = word[5]
			} else if (line ~ /: skipped: /)
				note = substr(line, index(line, "skipped"))
		}
		if (note == "" && findings == "")
			note = "did not end"
		if (note == "" && exit_status != 0 && findings == 0)
			note = "exit status " exit_status
		if (findings > 0 || note != "")
			failed = 1
		printf "%-20s %12s %10s %8s  %s\n", ARGV[i], cases, findings, seconds, note
		total_cases += cases
		total_findings += findings
	}
	printf "%-20s %12.0f %10d\n", "all", total_cases, total_findings
	exit failed
}
