# SPDX-License-Identifier: MIT
#
# Prepares one file for E-ACSL: a source of the core, or its predicates (*.acsl).
#
#  - A predicate or logic function over memory becomes a macro, because E-ACSL 25.0 ignores those
#    with labels: p{Pre, Here}(x) is written p(x), and p{Pre}(x) is written p_pre(x).  Two states
#    need bounds that E-ACSL can evaluate in both, so such macros stand in eacsl_*.acsl.
#  - Ghost code and lemmas go.
#  - What `ignored` lists for this file goes: "file <tab> function.clause <tab> reason", or the
#    name of a predicate or of a test.  Each that was found is written to `used`.
#
# awk -v file=src/run.c -v ignored=proofs/eacsl.ignored -v used=... -f proofs/eacsl.awk src/run.c

BEGIN {
	RS = "\001"
	words = file ~ /(span|run)\./
	while ((getline lines <ignored) > 0)
		for (n = split(lines, line, "\n"); n > 0; n--) {
			split(line[n] "\t", column, "\t")
			if (column[1] == file) {
				drop[column[2]] = 1
				instead[column[2]] = column[4]
			}
		}
}

# Whether `name` is to go.
function dropped(name) {
	if (!(name in drop))
		return 0
	print file "\t" name >>used
	return 1
}

# Each name in `text` that is in `new` and is no field, by what stands there.
function rename(text, new, result, word, before) {
	while (match(text, /[A-Za-z_][A-Za-z0-9_]*/)) {
		word = substr(text, RSTART, RLENGTH)
		before = RSTART > 1 ? substr(text, RSTART - 1, 1) : " "
		result = result substr(text, 1, RSTART - 1) \
			(word in new && before !~ /[>.\\0-9]/ ? new[word] : word)
		text = substr(text, RSTART + RLENGTH)
	}
	return result text
}

# Where the bracket that opens at `at` closes.
function closing(text, at, depth, c) {
	for (; at <= length(text); at++) {
		c = substr(text, at, 1)
		depth += c ~ /[([]/ ? 1 : c ~ /[])]/ ? -1 : 0
		if (depth == 0)
			return at
	}
}

# `text` as it was when the function began: elements of arrays by before(), predicates by their _pre.
function earlier(text, result, name) {
	while (match(text, /[A-Za-z_][A-Za-z0-9_]*(->pairs)?\[/)) {
		result = result substr(text, 1, RSTART - 1)
		text = substr(text, RSTART)
		name = closing(text, index(text, "["))
		result = result "before(&" substr(text, 1, name) ")"
		text = substr(text, name + 1)
	}
	text = result text
	for (name in labelled)
		gsub("(^|[^a-z_])" name "\\(", "&\003", text)
	gsub(/\(\003/, "_pre(", text)
	return text
}

# Labels by what is executed: {Pre} and {K} are the earlier state, all others this one.
function unlabelled(text, result, label, end) {
	while (match(text, /\\(at|old)\(|[a-z0-9_]\{[A-Z][A-Za-z]*(, [A-Z][A-Za-z]*)?\}/)) {
		if (substr(text, RSTART, 1) == "\\") {
			result = result substr(text, 1, RSTART - 1)
			text = substr(text, RSTART)
			end = closing(text, index(text, "("))
			label = substr(text, 1, end)
			text = substr(text, end + 1)
			result = result (words && label ~ /\[/ || label ~ /, [KL]\)$/ ? state(label) : label)
		} else {
			label = substr(text, RSTART + 2, RLENGTH - 3)
			result = result substr(text, 1, RSTART) (label == "Pre" || label == "K" ? "_pre" : "")
			text = substr(text, RSTART + RLENGTH)
		}
	}
	return result text
}

# "\old(e)" or "\at(e, label)".
function state(text, inner) {
	inner = substr(text, index(text, "(") + 1)
	sub(/(, [A-Za-z]+)?\)$/, "", inner)
	return text ~ /^\\old|, (Pre|K)\)$/ ? earlier(inner) : inner
}

function define(name, names, n, body, list, i, new, bound) {
	for (i = 1; i <= n; i++) {
		new[names[i]] = "(" names[i] "_)"
		list = list (i > 1 ? ", " : "") names[i] "_"
	}
	# A variable of a quantifier must not catch one in an argument.
	bound = body
	while (match(bound, /\\(forall|exists) integer [a-z]+;/)) {
		i = substr(bound, RSTART, RLENGTH - 1)
		sub(/.* /, "", i)
		new[i] = i "_in_" name
		bound = substr(bound, RSTART + RLENGTH)
	}
	return "#define " name "(" list ") (" rename(body, new) ")\n"
}

# "predicate name{L}(type a, type b) = body" as "#define name(a_, b_) (body)".
function macro(definition, head, body, name, names, n, i) {
	head = substr(definition, 1, index(definition, " = ") - 1)
	body = unlabelled(substr(definition, index(definition, " = ") + 3))
	name = head
	sub(/[{(].*/, "", name)
	sub(/.* /, "", name)
	if (dropped(name) && instead[name] == "")
		return ""
	body = guards(name in instead ? instead[name] : body)
	i = head ~ /\{[A-Z]\}/
	sub(/^[^(]*\(/, "", head)
	sub(/\)$/, "", head)
	n = split(head, names, /, */)
	for (head = 1; head <= n; head++)
		sub(/.*[ *]/, "", names[head])
	head = define(name, names, n, body)
	if (i)
		head = head define(name "_pre", names, n, earlier(body))
	if (i)
		labelled[name] = 1
	return head
}

# A logic function as one of C, for `compiled`, and the way to call it in an annotation.
function compile(definition, head, name, n, i, names, given, list) {
	head = substr(definition, 1, index(definition, " = ") - 1)
	gsub(/\{[^}]*\}/, "", head)
	sub(/^logic integer /, "", head)
	name = head
	sub(/\(.*/, "", name)
	gsub(/integer /, "int64_t ", head)
	sub(name, name "_c", head)
	gsub(/struct span/, "const struct span", head)
	gsub(/uint8_t/, "const uint8_t", head)
	print "#define " name " " name "_c\nint64_t " head ";" >compiled
	list = unlabelled(substr(definition, index(definition, " = ") + 3))
	print "int64_t " head "\n{\n\treturn " list ";\n}" >compiled
	if (list !~ / \? /)
		return ""
	list = head
	sub(/^[^(]*\(/, "", list)
	sub(/\)$/, "", list)
	n = split(list, names, /, */)
	list = ""
	for (i = 1; i <= n; i++) {
		given = names[i]
		sub(/.*[ *]/, "", given)
		sub(/[a-z_0-9]+$/, "", names[i])
		list = list (i > 1 ? ", " : "") (names[i] ~ /\*/ ? "" : "(int64_t)") "(" given "_)"
		names[i] = given "_"
	}
	given = names[1]
	for (i = 2; i <= n; i++)
		given = given ", " names[i]
	return "int64_t " head ";\n#define " name "(" given ") " name "_c(" list ")\n"
}

function definitions(block, result, n, i, parts, call) {
	gsub(/\/\/[^\n]*/, "", block)
	gsub(/[ \t\n]+/, " ", block)
	gsub(/; (predicate|logic|lemma) /, ";\002&", block)
	gsub(/\002; /, "\002", block)
	n = split(block, parts, "\002")
	for (i = 1; i <= n; i++) {
		sub(/^ /, "", parts[i])
		sub(/; *$/, "", parts[i])
		if (parts[i] ~ /^lemma/)
			continue
		if (parts[i] ~ /^predicate quiet /)
			return "/*@ predicate quiet = \\true; */"
		call = parts[i] ~ /^logic/ ? compile(parts[i]) : ""
		result = result (call == "" ? macro(parts[i]) : call)
	}
	return result
}

# E-ACSL takes a range from the left side of a quantifier and drops whatever else stands there, so
# "\\forall i; a <= i < b && p ==> q" becomes "\\forall i; a <= i < b ==> (p ==> q)".
function guards(text, at, depth, c, and) {
	while (match(text, /\\forall .*/)) {
		for (at = RSTART; match(substr(text, at + 1), /\\forall /); at += RSTART)
			;
		and = depth = 0
		text = substr(text, 1, at - 1) "\004" substr(text, at + 7)
		for (; at <= length(text); at++) {
			c = substr(text, at, 1)
			depth += c ~ /[([]/ ? 1 : c ~ /[])]/ ? -1 : 0
			if (depth < 0)
				break
			if (depth == 0 && !and && substr(text, at, 4) == "==> ")
				and = -1
			if (depth == 0 && !and && substr(text, at, 3) == "&& ")
				and = at
		}
		sub(/;? *$/, "\005&", text)
		if (depth >= 0)
			at = index(text, "\005")
		if (and > 0)
			text = substr(text, 1, and - 1) "==> (" \
				substr(text, and + 3, at - and - 3) ")" substr(text, at)
		gsub(/\005/, "", text)
	}
	gsub(/\004/, "\\forall", text)
	return text
}

# A range that does not begin at 0 makes E-ACSL take a number for a GMP one.
function ranges(text, result, from, range) {
	while (match(text, /\+ \([a-z]+ \.\. [^)]*\)/)) {
		range = substr(text, RSTART + 3, RLENGTH - 4)
		from = range
		sub(/ \.\. .*/, "", from)
		sub(/^.* \.\. /, "", range)
		result = result substr(text, 1, RSTART + 1) from " + (0 .. " range " - " from ")"
		text = substr(text, RSTART + RLENGTH)
	}
	return result text
}

# A contract or an annotation in the body of `fn`, without what is dropped.
function clauses(block, fn, numbers, result, n, i, parts, name) {
	if (block ~ /^[ \t\n]*ghost/)
		return ""
	gsub(/[ \t\n]+/, " ", block)
	block = ranges(unlabelled(block))
	gsub(/; (requires|terminates|exits|assigns|ensures|loop) /, ";\002&", block)
	gsub(/\002; /, "\002", block)
	n = split(block, parts, "\002")
	for (i = 1; i <= n; i++) {
		name = parts[i]
		if (name ~ /: / && name !~ /^ *(loop )?(assigns|variant|terminates|exits)/) {
			sub(/: .*/, "", name)
			sub(/.* /, "", name)
			if (dropped(fn "." name)) {
				if (instead[fn "." name] == "")
					continue
				sub(/: .*/, ": ", parts[i])
				parts[i] = parts[i] instead[fn "." name] ";"
			}
			parts[i] = guards(parts[i])
		}
		if (parts[i] ~ /^ *ensures/ && parts[i] !~ /\\(at|old)|_pre\(/)
			parts[i] = substr(parts[i], 1, index(parts[i], ": ")) \
				rename(substr(parts[i], index(parts[i], ": ") + 1), numbers)
		result = result parts[i] "\n"
	}
	if (words && match(block, /\002assigns [a-z>-]+\[[^;]*;/)) {
		name = substr(block, RSTART + 9, RLENGTH - 10)
		i = index(name, "[")
		n = index(name, " .. ")
		parts[1] = substr(name, i + 1, n - i - 1)
		parts[2] = substr(name, n + 4, length(name) - n - 4)
		name = substr(name, 1, i - 1)
		sub(/terminates /, "requires remembered: remember(" name " + (" parts[1] "), (int64_t)(" \
			parts[2] " - (" parts[1] ") + 1)) == 1;\n&", result)
		result = result "ensures forgotten: forget((int64_t)1) == 1;\n"
	}
	return result == "" || result ~ /^[ \n]*$/ ? "" : "/*@" result "*/"
}

# The parameters that are numbers of the function that `code` begins with, into `numbers`.
function parameters(code, numbers, n, i, list) {
	split("", numbers)
	sub(/^[^(]*\(/, "", code)
	sub(/\).*/, "", code)
	n = split(code, list, ",")
	for (i = 1; i <= n; i++)
		if (list[i] !~ /[*]|void/) {
			sub(/.*[ \n\t]/, "", list[i])
			numbers[list[i]] = "number(" list[i] ")"
		}
}

# The function that `code` begins with: the one that a contract belongs to.
function begun(code, name) {
	name = code
	sub(/\(.*/, "", name)
	sub(/[ \n]+$/, "", name)
	sub(/.*[ *\n]/, "", name)
	return name
}

{
	text = $0
	while (match(text, /\/\*@/)) {
		code = substr(text, 1, RSTART - 1)
		text = substr(text, RSTART + 3)
		printf "%s", code
		for (n = split(code, line, "\n"); n > 0; n--)
			if (line[n] ~ /^[a-z][^;=]*\(/) {
				fn = begun(line[n])
				break
			}
		end = index(text, "*/")
		block = substr(text, 1, end - 1)
		text = substr(text, end + 2)
		if (block ~ /^[ \n]*(predicate|logic|lemma)/)
			printf "%s", definitions(block)
		else {
			if (block ~ /(requires|ensures) /)
				fn = begun(text)
			parameters(text, numbers)
			printf "%s", clauses(block, fn, numbers)
		}
	}
	printf "%s", text
}
