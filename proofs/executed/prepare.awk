# SPDX-License-Identifier: MIT
#
# Prepares one file for E-ACSL: a source of the core, or its predicates (*.acsl).
#
#  - A predicate becomes a macro, because E-ACSL 25.0 ignores those with labels: p{Pre, Here}(x) is
#    written p(x), and p{Pre}(x) is written p_pre(x).
#  - Logic functions, and predicates over the words of a map, become functions of C in `compiled`.
#  - Ghost code and lemmas go.
#  - What `ignored` lists for this file goes: "file <tab> function.clause <tab> reason", or the
#    name of a predicate or of a test; a fourth column stands instead.  One of several clauses of
#    a name is "function.assert name", or whatever it begins with.  Each that was found is written to `used`.
#  - What goes without being listed, ghost code and lemmas, is written to `gone`.
#
# awk -v file=src/run.c -v ignored=... -v used=... -v gone=... -v compiled=... -f proofs/executed/prepare.awk src/run.c

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

# A predicate as a function of C, and how an annotation calls that.
function predicate(head, name, body) {
	body = expression(body)
	if (body ~ /\\/)
		return ""
	emit(head, name, body)
	return call(head, name, " != 0")
}

# "predicate name{L}(type a, type b) = body" as "#define name(a_, b_) (body)".
function macro(definition, head, body, name, names, n, i, called) {
	head = substr(definition, 1, index(definition, " = ") - 1)
	body = unlabelled(substr(definition, index(definition, " = ") + 3))
	name = head
	sub(/[{(].*/, "", name)
	sub(/.* /, "", name)
	if (dropped(name) && instead[name] == "")
		return ""
	body = guards(name in instead ? instead[name] : body)
	i = head ~ /\{[A-Z]\}/
	if (words && head ~ /^predicate/ && head !~ /struct span/) {
		gsub(/\{[^}]*\}/, "", head)
		sub(/^predicate /, "", head)
		called = predicate(head, name, body)
		if (i) {
			labelled[name] = 1
			sub(name, name "_pre", head)
			called = called predicate(head, name "_pre", earlier(body))
		}
		if (head ~ /uint64_t \*words/)
			return called
	}
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

# Where `token` stands in `text`, outside of brackets and before any quantifier; 0: nowhere.
function outside(text, token, at, depth, c) {
	for (at = 1; at <= length(text); at++) {
		c = substr(text, at, 1)
		depth += c ~ /[([]/ ? 1 : c ~ /[])]/ ? -1 : 0
		if (depth == 0 && c == "\\")
			return 0
		if (depth == 0 && substr(text, at, length(token)) == token)
			return at
	}
	return 0
}

# A predicate as an expression of C, for the quantifiers ALL and ANY of integer.h.  What has no such form
# keeps its backslash.
function expression(text, at, name, all, range, n, i, part) {
	gsub(/^ +| +$/, "", text)
	if (match(text, /^\\(forall|exists) integer [a-z]+; /)) {
		all = text ~ /^\\forall/
		name = substr(text, 17, RLENGTH - 18)
		text = substr(text, RLENGTH + 1)
		at = outside(text, all ? " ==> " : " && ")
		range = substr(text, 1, at - 1)
		if (!at || !match(range, " <= " name " < "))
			return "\\"
		return (all ? "ALL(" : "ANY(") name ", " substr(range, 1, RSTART - 1) ", " \
			substr(range, RSTART + RLENGTH) ", " expression(substr(text, at + (all ? 5 : 4))) ")"
	}
	if ((at = outside(text, " ? "))) {
		range = substr(text, at + 3)
		i = outside(range, " : ")
		return "(" expression(substr(text, 1, at - 1)) " ? " expression(substr(range, 1, i - 1)) \
			" : " expression(substr(range, i + 3)) ")"
	}
	if ((at = outside(text, " <==> ")))
		return "(!" expression(substr(text, 1, at - 1)) " == !" expression(substr(text, at + 6)) ")"
	if ((at = outside(text, " ==> ")))
		return "(!" expression(substr(text, 1, at - 1)) " || " expression(substr(text, at + 5)) ")"
	if ((at = outside(text, " || ")) || (at = outside(text, " && ")))
		return "(" expression(substr(text, 1, at - 1)) substr(text, at, 4) \
			expression(substr(text, at + 4)) ")"
	if (text ~ /^!/)
		return "!" expression(substr(text, 2))
	if (text ~ /^\(/ && closing(text, 1) == length(text))
		return "(" expression(substr(text, 2, length(text) - 2)) ")"
	n = split(text, part, / <=? /)
	i = length(part[1]) + (text ~ /^[^<]* <= / ? 4 : 3)
	if (n > 2)
		return "(" substr(text, 1, i + length(part[2])) " && " expression(substr(text, i + 1)) ")"
	return "(" text ")"
}

# A function of C by its head in ACSL and its body in C, for `compiled`: under its name, with numbers of
# 128 bits, for others that stand there; and with numbers of 64 bits for annotations.
function emit(head, name, body, list, given) {
	gsub(/struct span/, "const struct span", head)
	gsub(/uint[0-9]+_t/, "const &", head)
	print "static integer " head "\n{\n\treturn " body ";\n}" >compiled
	list = head
	sub(/^[^(]*/, "", list)
	given = list
	gsub(/(const )?(struct )?[a-z0-9_]+ \*?/, "", given)
	gsub(/integer /, "uint64_t ", list)
	print "uint64_t " name "_c" list "\n{\n\treturn in_64_bits(" name given ");\n}" >compiled
}

# How an annotation calls what emit() has made: the prototype and a macro; `after` stands behind the call.
function call(head, name, after, n, i, names, given, list, params) {
	gsub(/struct span|uint[0-9]+_t /, "const &", head)
	gsub(/integer /, "uint64_t ", head)
	list = head
	sub(/^[^(]*\(/, "", list)
	sub(/\)$/, "", list)
	n = split(list, names, /, */)
	list = ""
	for (i = 1; i <= n; i++) {
		given = names[i]
		sub(/.*[ *]/, "", given)
		list = list (i > 1 ? ", " : "") (names[i] ~ /\*/ ? "" : "(uint64_t)") "(" given "_)"
		params = params (i > 1 ? ", " : "") given "_"
	}
	sub(name, name "_c", head)
	return "uint64_t " head ";\n#define " name "(" params ") (" name "_c(" list ")" after ")\n"
}

# A logic function as one of C, and the way to call it in an annotation: without a condition, as it stands.
function compile(definition, head, name, body) {
	head = substr(definition, 1, index(definition, " = ") - 1)
	gsub(/\{[^}]*\}/, "", head)
	sub(/^logic integer /, "", head)
	name = head
	sub(/\(.*/, "", name)
	body = unlabelled(substr(definition, index(definition, " = ") + 3))
	emit(head, name, body)
	return body ~ / \? / ? call(head, name, "") : ""
}

function definitions(block, result, n, i, parts, called) {
	gsub(/\/\/[^\n]*/, "", block)
	gsub(/[ \t\n]+/, " ", block)
	gsub(/; (predicate|logic|lemma) /, ";\002&", block)
	gsub(/\002; /, "\002", block)
	n = split(block, parts, "\002")
	for (i = 1; i <= n; i++) {
		sub(/^ /, "", parts[i])
		sub(/; *$/, "", parts[i])
		if (parts[i] ~ /^lemma/) {
			print file "\tlemma" >>gone
			continue
		}
		if (parts[i] ~ /^predicate quiet /) {
			print file "\tpredicate quiet: it is true" >>gone
			return "/*@ predicate quiet = \\true; */"
		}
		called = parts[i] ~ /^logic/ ? compile(parts[i]) : ""
		result = result (called == "" ? macro(parts[i]) : called)
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

# `text` with number(n) for each parameter n in `numbers`, but not where it says \old(n).
function renumbered(text, numbers, result, at, end) {
	while ((at = match(text, /\\(at|old)\(/))) {
		end = at - 1 + closing(substr(text, at), index(substr(text, at), "("))
		result = result rename(substr(text, 1, at - 1), numbers) substr(text, at, end - at + 1)
		text = substr(text, end + 1)
	}
	return result rename(text, numbers)
}

# A contract or an annotation in the body of `fn`, without what is dropped.
function clauses(block, fn, numbers, result, n, i, parts, name, kind) {
	if (block ~ /^[ \t\n]*ghost/) {
		print file "\tghost" >>gone
		return ""
	}
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
			kind = parts[i]
			sub(/^ */, "", kind)
			sub(/ .*/, "", kind)
			name = fn "." (fn "." kind " " name in drop ? kind " " : "") name
			if (dropped(name)) {
				if (instead[name] == "")
					continue
				sub(/: .*/, ": ", parts[i])
				parts[i] = parts[i] instead[name] ";"
			}
			parts[i] = guards(parts[i])
		}
		if (parts[i] ~ /^ *ensures/)
			parts[i] = substr(parts[i], 1, index(parts[i], ": ")) \
				renumbered(substr(parts[i], index(parts[i], ": ") + 1), numbers)
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
		# A field of \result that is _Bool makes the translator overflow its stack.
		if (file ~ /\.h$/)
			gsub(/\n\tbool /, "\n\tuint8_t ", code)
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
