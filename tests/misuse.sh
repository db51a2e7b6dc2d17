#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs $1, which must end as the first line of its source $2 says:
#	expect: SIGNAL "the whole of standard error"
wanted=$(sed -n '1s/.*expect: SIG\([A-Z]*\) ".*/\1/p' "$2")
text=$(sed -n '1s/.*expect: SIG[A-Z]* "\(.*\)".*/\1/p' "$2")
ulimit -c 0
(exec 2>"$1.said" && exec "$1") 2>/dev/null
found=$(kill -l $? 2>/dev/null)
said=$(cat "$1.said")
[ -n "$text" ] && [ "$said" = "$text" ] && [ "$found" = "$wanted" ] && exit 0
echo "wanted: $wanted $text"
echo "found:  $found $said"
exit 1
