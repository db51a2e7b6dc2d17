# SPDX-License-Identifier: MIT
# From `llvm-cov show -show-branches=count`: the lines and branches that nothing reached, without those
# that fuzz/uncovered.known explains.  An explanation that explains nothing is told as well.
BEGIN {
	while ((getline line < "fuzz/uncovered.known") > 0) {
		if (line ~ /^#/) {
			why = (comment ? why " " : "") substr(line, 3)
			comment = 1
			continue
		}
		comment = 0
		if (split(line, part, "\t") == 2) {
			reason[line] = why
			used[line] = 0
		}
	}
}

# $1: file and line, $2: what of it was not reached, $3: the statement, by its first line.
function miss(at, kind, source,    key) {
	total++
	key = file ":" name "\t" source
	if (key in reason) {
		explained[reason[key]]++
		used[key] = 1
		return
	}
	printf "%s: %s: %s\n", at, kind, key
	left++
}

/^\/.*:$/ { ended = 1; name = ""; file = $0; sub(/.*\/src\//, "src/", file); sub(/:$/, "", file) }
/^ *[0-9]+\| *[0-9.kMG]*\|/ {
	line = $0
	number = line + 0
	count = line
	sub(/^ *[0-9]+\| */, "", count)
	text = count
	sub(/^[^|]*\|/, "", text)
	sub(/\|.*/, "", count)
	if (text ~ /^[a-z].*\(/ && text !~ /;$/) {
		name = text
		sub(/\(.*/, "", name)
		sub(/.*[ *]/, "", name)
	}
	gsub(/^[ \t]+/, "", text)
	# A statement takes several lines: its first says what it is.
	if (ended)
		statement = text
	ended = text == "" || text ~ /[;{}:]$/ || text ~ /\*\/$/
	statements[file, number] = statement
	names[file, number] = name
	if (count == "0" && text !~ /^[{}]*$/)
		miss(file ":" number, "line", statement)
}
/Branch \(.*(True: 0,|False: 0\])/ {
	match($0, /\([0-9]+:/)
	number = substr($0, RSTART + 1, RLENGTH - 2) + 0
	name = names[file, number]
	miss(file ":" number, /True: 0,/ ? (/False: 0\]/ ? "never evaluated" : "never true") : "never false",
		statements[file, number])
}
END {
	for (r in explained)
		printf "explained: %4d %s\n", explained[r], r
	for (key in used)
		if (!used[key]) {
			printf "reached after all: %s\n", key
			stale++
		}
	printf "lines and branches not reached: %d, not explained: %d\n", total, left
	exit left + stale > 0
}
