# SPDX-License-Identifier: MIT
# From `llvm-cov show -show-branches=count`: the lines and branches that nothing reached, without those
# that fuzz/uncovered.known explains (lines of "file regexp<TAB>text regexp<TAB>reason").
BEGIN {
	FS = "\t"
	while ((getline line < "fuzz/uncovered.known") > 0) {
		if (line ~ /^#/ || split(line, part, "\t") < 3)
			continue
		n++
		where[n] = part[1]
		what[n] = part[2]
		why[n] = part[3]
	}
}

function miss(at, kind, source,    i) {
	total++
	for (i = 1; i <= n; i++) {
		if (at ~ where[i] && source ~ what[i]) {
			explained[why[i]]++
			return
		}
	}
	printf "%s: %s: %s\n", at, kind, source
	left++
}

/^\/.*:$/ { ended = 1; file = $0; sub(/.*\/src\//, "src/", file); sub(/:$/, "", file) }
/^ *[0-9]+\| *[0-9.kMG]*\|/ {
	line = $0
	number = line + 0
	count = line
	sub(/^ *[0-9]+\| */, "", count)
	text = count
	sub(/^[^|]*\|/, "", text)
	sub(/\|.*/, "", count)
	gsub(/^[ \t]+/, "", text)
	# A statement takes several lines: its first says what it is.
	if (ended)
		statement = text
	whole = text == statement ? text : statement " ... " text
	ended = text == "" || text ~ /[;{}:]$/ || text ~ /\*\/$/
	texts[file, number] = whole
	if (count == "0" && text !~ /^[{}]*$/)
		miss(file ":" number, "line", whole)
}
/Branch \(.*(True: 0,|False: 0\])/ {
	match($0, /\([0-9]+:/)
	number = substr($0, RSTART + 1, RLENGTH - 2) + 0
	miss(file ":" number, /True: 0,/ ? (/False: 0\]/ ? "never evaluated" : "never true") : "never false",
		texts[file, number])
}
END {
	for (reason in explained)
		printf "explained: %4d %s\n", explained[reason], reason
	printf "not reached: %d, not explained: %d\n", total, left
}
