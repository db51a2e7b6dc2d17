# SPDX-License-Identifier: MIT
# Adds up the logs of `make check`: cmocka's own counts, or one test for a program
# that only has an exit status.  A log's last line is "exit N".  Each file named on the
# command line counts: one that is absent is a test that was not even built.

function report(log_name, status,    line)
{
	printf "---- %s: %s\n", log_name, status
	while ((getline line < log_name) > 0)
		if (line !~ /^\[ RUN |^\[       OK|^\[=====/)
			print "     " line
	close(log_name)
}

BEGIN {
	for (i = 1; i < ARGC; i++) {
		name = ARGV[i]
		good = bad = skip = 0
		status = "not built"
		while ((getline line < name) > 0) {
			if (match(line, /^\[  PASSED  \] [0-9]+/))
				good += substr(line, 14) + 0
			else if (line ~ /^\[  FAILED  \] [0-9]+ test/)
				bad += substr(line, 14) + 0
			else if (line ~ /^\[  SKIPPED \] [0-9]+ test/)
				skip += substr(line, 14) + 0
			else if (line ~ /^exit [0-9]+$/)
				status = line
		}
		close(name)
		if (status != "exit 0" && bad == 0)
			bad = 1
		if (status == "exit 0" && good + bad + skip == 0)
			good = 1
		if (bad)
			report(name, status)
		passed += good
		failed += bad
		skipped += skip
	}
	if (skipped)
		printf "%d skipped, for what this machine or this way to run lacks\n", skipped
	printf "%d passed, %d failed\n", passed, failed
	exit failed != 0
}
