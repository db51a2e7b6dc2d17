#!/bin/bash
# SPDX-License-Identifier: MIT
# Whether qalloc(3) lists the sentences of qalloc_errmsg(), and no others.
set -u
export LC_ALL=C

# Format strings, joined over lines, as the manual writes them; the map's path is left out.
said() {
	cat src/*.c | tr '\n' ' ' | sed 's/"[[:space:]]*"//g' |
		grep -oE '(err_fail|err_fail_errno)\([^";]*"[^"]*"' |
		sed -E 's/^[^"]*"//; s/"$//; s/%e/REASON/g; s/%u/N/g; s/%x/0xN/g; s/%s/TEXT/g; s/^TEXT: //' | sort -u
}

listed() {
	awk '/begin with the path of the map where there is one/ { list = 1 }
		/^\.Sh ERRORS/ { list = 0 }
		list && item { print; item = 0 }
		list && /^\.It$/ { item = 1 }' man/qalloc.3 | sort -u
}

wrong=$(comm -3 <(said) <(listed))
[ -z "$wrong" ] && exit 0
echo "sentences that man/qalloc.3 does not list (left), or that no call says (right):"
echo "$wrong"
exit 1
