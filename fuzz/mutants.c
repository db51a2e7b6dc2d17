/* SPDX-License-Identifier: MIT */
/*
 * Lists what a source checks, and writes a copy in which each check can be switched off.
 *
 *   mutants FIRST IN.c OUT.c LIST      FIRST: the number of the file's first mutant
 *
 * A mutant is one operand of && or || (which becomes what does not decide), or the whole condition of
 * an `if` (which becomes false).  Every
 * one of them becomes (mutant(N) ? V : saw(N, V, operand)), so that one build serves all mutants,
 * chosen at run time.  Prints the number behind the last.
 *
 *  - saw() is told V = 2 where an operand does more than look: then leaving it out may matter, whatever
 *    its value is.
 *  - Works on text: comments, strings and preprocessor lines are left alone.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SITES_MAX 4000

struct site {
	size_t from, to;
	int neutral;
};

static char *text;
static size_t length;
static bool *code; /* not a comment, a string, or a preprocessor line */
static struct site sites[SITES_MAX];
static size_t count;

static void read_all(const char *path)
{
	FILE *f = fopen(path, "rb");

	text = calloc(1, 1 << 20);
	if (f == NULL || text == NULL) {
		perror(path);
		exit(1);
	}
	length = fread(text, 1, (1 << 20) - 1, f);
	fclose(f);
	code = calloc(length + 1, 1);
	if (code == NULL)
		exit(1);
}

/* Where the literal, comment or directive that begins at i ends; i: none begins there. */
static size_t skip(size_t i)
{
	size_t end = i;

	if (strncmp(text + i, "/*", 2) == 0)
		return (size_t)(strstr(text + i, "*/") + 2 - text);
	if (text[i] == '"' || text[i] == '\'') {
		for (end = i + 1; text[end] != text[i]; end++)
			end += text[end] == '\\';
		return end + 1;
	}
	if (text[i] == '#' && (i == 0 || text[i - 1] == '\n')) {
		for (; end < length && !(text[end] == '\n' && text[end - 1] != '\\'); end++)
			;
		return end;
	}
	return i;
}

static void mark_code(void)
{
	size_t i = 0;

	while (i < length) {
		size_t end = skip(i);

		if (end == i)
			code[i++] = true;
		else
			i = end;
	}
}

static size_t closing(size_t open)
{
	int depth = 0;

	for (size_t i = open; i < length; i++) {
		if (!code[i])
			continue;
		depth += text[i] == '(';
		depth -= text[i] == ')';
		if (depth == 0)
			return i;
	}
	return length;
}

static void add(size_t from, size_t to, int neutral)
{
	while (from < to && isspace((unsigned char)text[from]))
		from++;
	while (to > from && isspace((unsigned char)text[to - 1]))
		to--;
	if (from < to && count < SITES_MAX)
		sites[count++] = (struct site){from, to, neutral};
}

/* The operands of && or || in [from, to), on this level and in parentheses. */
static void operands(size_t from, size_t to)
{
	size_t start = from;
	char op = 0;
	int depth = 0;

	for (size_t i = from; i < to; i++) {
		if (!code[i])
			continue;
		if (text[i] == '(') {
			size_t end = closing(i);

			operands(i + 1, end);
			i = end;
			continue;
		}
		depth += (text[i] == '{') - (text[i] == '}');
		/* An expression ends here; whatever comes next is another one. */
		if (depth == 0 &&
		    (text[i] == '?' || text[i] == ':' || text[i] == ';' || text[i] == ',' ||
		     (text[i] == '=' && text[i + 1] != '=' &&
		      strchr("=!<>", text[i - 1]) == NULL))) {
			if (op != 0)
				add(start, i, op == '&');
			start = i + 1;
			op = 0;
		}
		if ((text[i] == '&' || text[i] == '|') && text[i + 1] == text[i]) {
			op = text[i];
			add(start, i, op == '&');
			start = i + 2;
			i++;
		}
	}
	if (op != 0)
		add(start, to, op == '&');
}

static bool word_at(size_t i, const char *word)
{
	size_t n = strlen(word);

	return code[i] && strncmp(text + i, word, n) == 0 &&
	       (i == 0 || (!isalnum((unsigned char)text[i - 1]) && text[i - 1] != '_')) &&
	       !isalnum((unsigned char)text[i + n]) && text[i + n] != '_';
}

static void find_sites(void)
{
	for (size_t i = 0; i < length; i++) {
		if (word_at(i, "if")) {
			size_t open = i + 2 + strspn(text + i + 2, " \t\n");
			size_t end = closing(open);

			operands(open + 1, end);
			add(open + 1, end, 0);
			i = end;
		} else if (word_at(i, "return") || word_at(i, "while")) {
			size_t start = i + 6 - (text[i] == 'w');
			size_t end = start;

			for (; text[end] != ';' && text[end] != '{'; end++)
				end = text[end] == '(' && code[end] ? closing(end) : end;
			operands(start, end);
			i = end;
		}
	}
}

/* The function that a place is in: the last line before it that begins with a letter and has a '('. */
static void print_function(FILE *to, size_t at)
{
	while (at > 0 && !(text[at - 1] == '\n' && islower((unsigned char)text[at]) &&
			   text[at + strcspn(text + at, "(\n")] == '('))
		at--;
	size_t end = at + strcspn(text + at, "("), begin = end;

	while (begin > at && (isalnum((unsigned char)text[begin - 1]) || text[begin - 1] == '_'))
		begin--;
	fprintf(to, "%.*s", (int)(end - begin), text + begin);
}

/* As one line, with one space where there are several. */
static void print_text(FILE *to, const struct site *s)
{
	for (size_t i = s->from; i < s->to; i++) {
		if (!isspace((unsigned char)text[i]))
			fputc(text[i], to);
		else if (!isspace((unsigned char)text[i - 1]))
			fputc(' ', to);
	}
	fputc('\n', to);
}

/* Calls that only look. */
static const char *const looks[] = {"shared_load",     "own_load",         "span_word_state",
				    "span_word_class", "span_word_stream", "span_word_length",
				    "span_word_small", "map_word",         "map_span_word",
				    "map_stream_word", "min_u64",          "asked",
				    "in_data",         "class_bytes",      "geo_block_bytes",
				    "hint_get",        "is_live",          "span_seen",
				    "meta_is_ready",   "map_intact",       "qalloc_error",
				    "os_user",         "os_page",          "bit_get",
				    "stream_home",     "__atomic_load_n",  "memcmp",
				    "strcmp",          "cell_valid",       "is_marked",
				    "span_item_live",  "block_is_live",    "span_word_valid",
				    "geo_span_items",  "run_room",         "same_identity",
				    "root_word",       "intent_of",        "class_fits",
				    "names_no_block",  "__builtin_expect", "sizeof",
				    "run_is_free",     "span_is_empty",    "span_has_room",
				    "is_mine",         "run_length",       "uint32_t",
				    "uint64_t",        "size_t",           "int"};

static bool only_looks(const struct site *s)
{
	for (size_t i = s->from; i < s->to; i++) {
		size_t name = i;

		if (text[i] == '+' && text[i + 1] == '+')
			return false;
		if (text[i] == '-' && text[i + 1] == '-')
			return false;
		if (text[i] != '(')
			continue;
		while (name > s->from &&
		       (isalnum((unsigned char)text[name - 1]) || text[name - 1] == '_'))
			name--;
		bool known = name == i;

		for (size_t k = 0; !known && k < sizeof(looks) / sizeof(looks[0]); k++)
			known = strlen(looks[k]) == i - name &&
				strncmp(text + name, looks[k], i - name) == 0;
		if (!known)
			return false;
	}
	return true;
}

static void write_out(const char *in, const char *out, const char *list, unsigned first)
{
	FILE *o = fopen(out, "wb"), *l = fopen(list, "ab");

	if (o == NULL || l == NULL) {
		perror(out);
		exit(1);
	}
	fputs("extern int mutant(int);\nextern _Bool saw(int, int, _Bool);\n#line 1\n", o);
	for (size_t i = 0; i <= length; i++) {
		/* Inner ones end first and begin last; they were found before the outer ones. */
		for (size_t k = 0; k < count; k++) {
			if (sites[k].to == i)
				fputs("))", o);
		}
		for (size_t k = count; k-- > 0;) {
			if (sites[k].from == i)
				fprintf(o, "(mutant(%u) ? %d : saw(%u, %d, ", first + (unsigned)k,
					sites[k].neutral, first + (unsigned)k,
					only_looks(&sites[k]) ? sites[k].neutral : 2);
		}
		if (i < length)
			fputc(text[i], o);
	}
	for (size_t k = 0; k < count; k++) {
		fprintf(l, "%u %s:", first + (unsigned)k, in);
		print_function(l, sites[k].from);
		fprintf(l, " %s ", sites[k].neutral ? "true" : "false");
		print_text(l, &sites[k]);
	}
	fclose(o);
	fclose(l);
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	read_all(argv[2]);
	mark_code();
	find_sites();
	write_out(argv[2], argv[3], argv[4], (unsigned)atoi(argv[1]));
	printf("%u\n", (unsigned)atoi(argv[1]) + (unsigned)count);
	return 0;
}
