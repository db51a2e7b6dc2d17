# SPDX-License-Identifier: MIT
# From `llvm-cov report -show-functions`: the functions of which a line or a branch was not reached.
# fuzz/uncovered.known has the reasons.
/^File / { file = $2; sub(/.*\/src\//, "src/", file); sub(/':$/, "", file) }
NF == 10 && $1 != "Name" && $1 != "TOTAL" {
	functions++
	name = $1
	sub(/.*:/, "", name)
	if ($6 + $9 == 0)
		next
	if (!missing++)
		printf "%-36s %11s %11s\n", "function", "lines", "branches"
	printf "%-36s %5d of %3d %5d of %3d\n", file ":" name, $5 - $6, $5, $8 - $9, $8
}
END {
	printf "functions: %d, of which all is reached: %d\n", functions, functions - missing
	exit functions == 0
}
