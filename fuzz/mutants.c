/* SPDX-License-Identifier: MIT */
/*
 * Lists what a source checks, and writes a copy in which each check can be switched off.
 *
 *   mutants FIRST IN.c OUT.c LIST      FIRST: the number of the file's first mutant
 *
 * A mutant is
 *
 *  - one operand of && or ||, which becomes what does not decide;
 *  - the whole condition of an `if`, which becomes false, or of a loop, which becomes true;
 *  - the condition of ?: , which becomes true or false, so that one arm is left;
 *  - a returned comparison, which becomes true or false;
 *  - min_u64(), which becomes its first or its second argument.
 *
 * Every condition becomes (mutant(N) ? V : saw(N, V, condition)), so that one build serves all mutants,
 * chosen at run time.  Prints the number behind the last.  The list has file, function, what it becomes, and
 * the text, with #2 and so on where a function has the same once more.
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

enum becomes { FALSE, TRUE, FIRST, SECOND };

struct site {
	size_t from, to;
	enum becomes becomes;
};

static const char *const names[] = {"false", "true", "first", "second"};

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

static void add(size_t from, size_t to, enum becomes becomes)
{
	while (from < to && isspace((unsigned char)text[from]))
		from++;
	while (to > from && isspace((unsigned char)text[to - 1]))
		to--;
	if (count == SITES_MAX)
		exit(1);
	if (from < to)
		sites[count++] = (struct site){from, to, becomes};
}

/* Whether the '=' at i assigns. */
static bool assigns(size_t i)
{
	return text[i] == '=' && text[i + 1] != '=' && strchr("=!<>", text[i - 1]) == NULL;
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
		if (depth == 0 && (strchr("?:;,", text[i]) != NULL || assigns(i))) {
			if (op != 0)
				add(start, i, op == '&' ? TRUE : FALSE);
			start = i + 1;
			op = 0;
		}
		if ((text[i] == '&' || text[i] == '|') && text[i + 1] == text[i]) {
			op = text[i];
			add(start, i, op == '&' ? TRUE : FALSE);
			start = i + 2;
			i++;
		}
	}
	if (op != 0)
		add(start, to, op == '&' ? TRUE : FALSE);
}

static bool word_at(size_t i, const char *word)
{
	size_t n = strlen(word);

	return code[i] && strncmp(text + i, word, n) == 0 &&
	       (i == 0 || (!isalnum((unsigned char)text[i - 1]) && text[i - 1] != '_')) &&
	       !isalnum((unsigned char)text[i + n]) && text[i + n] != '_';
}

/* The first of these characters at or behind i that is in no parentheses. */
static size_t next_of(size_t i, const char *stops)
{
	for (; i < length && (!code[i] || strchr(stops, text[i]) == NULL); i++)
		i = code[i] && text[i] == '(' ? closing(i) : i;
	return i;
}

/* Whether it is one comparison, or a negation. */
static bool is_comparison(size_t from, size_t to)
{
	bool found = text[from + strspn(text + from, " \t\n")] == '!';

	for (size_t i = from; (i = next_of(i, "&|?<>=!")) < to; i++) {
		bool twice = text[i + 1] == text[i];

		if (text[i] == '?' || (twice && (text[i] == '&' || text[i] == '|')))
			return false;
		found = found || text[i + 1] == '=' ||
			((text[i] == '<' || text[i] == '>') && !twice && text[i - 1] != text[i] &&
			 text[i - 1] != '-');
	}
	return found;
}

static void add_both(size_t from, size_t to)
{
	add(from, to, TRUE);
	add(from, to, FALSE);
}

/* A loop's condition in [from, to): its operands, or all of it. */
static void loop(size_t from, size_t to)
{
	size_t before = count;

	operands(from, to);
	if (count == before)
		add(from, to, TRUE);
}

/* Where the condition begins that ends with the '?' at `end`. */
static size_t condition_begin(size_t end)
{
	int depth = 0;

	for (size_t i = end; i-- > 0;) {
		if (!code[i])
			continue;
		depth += (text[i] == ')' || text[i] == ']') - (text[i] == '(' || text[i] == '[');
		if (depth < 0 || (depth == 0 && (strchr("?:;,{}", text[i]) != NULL || assigns(i))))
			return i + 1;
		if (depth == 0 && word_at(i, "return"))
			return i + strlen("return");
	}
	return end;
}

static void find_sites(void)
{
	for (size_t i = 0; i < length; i++) {
		size_t open = i + strcspn(text + i, "("), end = i;

		if (word_at(i, "if")) {
			end = closing(open);
			operands(open + 1, end);
			add(open + 1, end, FALSE);
		} else if (word_at(i, "while")) {
			end = closing(open);
			loop(open + 1, end);
		} else if (word_at(i, "for")) {
			size_t first = next_of(open + 1, ";");

			loop(first + 1, next_of(first + 1, ";"));
			end = closing(open);
		} else if (word_at(i, "return")) {
			end = next_of(i, ";{");
			operands(i + 6, end);
			if (is_comparison(i + 6, end))
				add_both(i + 6, end);
		} else if (code[i] && assigns(i)) {
			end = next_of(i, ";");
			operands(i + 1, end);
		}
		i = end;
	}
	for (size_t i = 0; i < length; i++) {
		if (code[i] && text[i] == '?') {
			add_both(condition_begin(i), i);
		} else if (word_at(i, "min_u64")) {
			size_t end = closing(i + strlen("min_u64")) + 1;

			add(i, end, FIRST);
			add(i, end, SECOND);
		}
	}
}

/* Outer ones first, and the two of one place side by side. */
static int by_place(const void *a, const void *b)
{
	const struct site *x = a, *y = b;

	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	if (x->to != y->to)
		return x->to > y->to ? -1 : 1;
	return x->becomes < y->becomes ? -1 : x->becomes > y->becomes;
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

static void write_out(FILE *out, unsigned first)
{
	fputs("extern int mutant(int);\nextern _Bool saw(int, int, _Bool);\n"
	      "static inline unsigned long clamped(int n, unsigned long a, unsigned long b)\n"
	      "{ _Bool first = saw(n, 1, a <= b), second = saw(n + 1, 1, b <= a); (void)second;\n"
	      "return mutant(n) || (first && !mutant(n + 1)) ? a : b; }\n#line 1\n",
	      out);
	for (size_t i = 0; i <= length; i++) {
		size_t skipped = 0;

		for (size_t k = 0; k < count; k++) {
			if (sites[k].to == i && sites[k].becomes <= TRUE)
				fputs("))", out);
		}
		for (size_t k = 0; k < count; k++) {
			if (sites[k].from != i || sites[k].becomes == SECOND)
				continue;
			if (sites[k].becomes == FIRST) {
				fprintf(out, "clamped(%u, ", first + (unsigned)k);
				skipped = strlen("min_u64");
				continue;
			}
			fprintf(out, "(mutant(%u) ? %d : saw(%u, %d, ", first + (unsigned)k,
				sites[k].becomes, first + (unsigned)k,
				only_looks(&sites[k]) ? (int)sites[k].becomes : 2);
		}
		i += skipped;
		if (i < length && skipped == 0)
			fputc(text[i], out);
	}
}

static void write_list(FILE *list, const char *in, unsigned first)
{
	char **lines = calloc(count + 1, sizeof(*lines));

	for (size_t k = 0; lines != NULL && k < count; k++) {
		size_t size, same = 1;
		FILE *line = open_memstream(&lines[k], &size);

		fprintf(line, "%s:", in);
		print_function(line, sites[k].from);
		fprintf(line, " %s ", names[sites[k].becomes]);
		print_text(line, &sites[k]);
		fclose(line);
		for (size_t j = 0; j < k; j++)
			same += strcmp(lines[j], lines[k]) == 0;
		fprintf(list, "%u %s", first + (unsigned)k, lines[k]);
		if (same > 1)
			fprintf(list, " #%zu", same);
		fputc('\n', list);
	}
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	read_all(argv[2]);
	mark_code();
	find_sites();
	qsort(sites, count, sizeof(sites[0]), by_place);
	FILE *out = fopen(argv[3], "wb"), *list = fopen(argv[4], "ab");

	if (out == NULL || list == NULL) {
		perror(argv[3]);
		return 1;
	}
	write_out(out, (unsigned)atoi(argv[1]));
	write_list(list, argv[2], (unsigned)atoi(argv[1]));
	fclose(out);
	fclose(list);
	printf("%u\n", (unsigned)atoi(argv[1]) + (unsigned)count);
	return 0;
}
