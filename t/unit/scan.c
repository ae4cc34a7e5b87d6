/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf/scan.h"

#include <errno.h>
#include <sys/mman.h>

#include "conf.h"
#include "conf/files.h"
#include "conf/lex.h"
#include "conf/read.h"

static struct wr_arena scratch;
static struct wr_errs errs;
static struct wr_scan scan;
static struct wr_text said;

/* The tree of t.conf, or NULL; what is wrong is in `said`. */
static struct wr_node *
parse(const char *text, size_t len)
{
	static void *mem;
	struct wr_node *root = NULL;
	char *p;

	if (mem == NULL)
		mem = mmap(NULL, (size_t)1 << 28, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	wr_arena_init(&scratch, mem, (size_t)1 << 28);
	wr_scan_fini(&scan);
	wr_errs_fini(&errs);
	conf_write("t.conf", text, len);
	wr_scan_init(&scan, &errs, &scratch);
	if (wr_scan_file(&scan, conf_path("t.conf")))
		root = wr_read(&scan);
	wr_text_reset(&said);
	wr_errs_write(&errs, &said);
	while (said.p != NULL && (p = strstr(said.p, conf_dir)) != NULL)
		memmove(p, p + strlen(conf_dir) + 1,
		    strlen(p + strlen(conf_dir) + 1) + 1);
	return root;
}

static struct wr_node *
tree(const char *text)
{
	return parse(text, strlen(text));
}

static const char *
wrong(const char *text)
{
	(void)tree(text);
	return said.p != NULL ? said.p : "";
}

/* A tree as text: what libconfig understood. */
static void
show(struct wr_text *t, const struct wr_node *n)
{
	static const char OPEN[] = "{([", CLOSE[] = "})]";

	if (n->name != NULL)
		wr_text_printf(t, "%s=", n->name);
	if (n->kind >= WR_N_TEXT) {
		wr_text_puts(t, n->text);
	} else {
		wr_text_putc(t, OPEN[n->kind]);
		for (const struct wr_node *m = n->first; m != NULL;
		     m = m->next) {
			show(t, m);
			if (m->next != NULL)
				wr_text_putc(t, ' ');
		}
		wr_text_putc(t, CLOSE[n->kind]);
	}
}

static const char *
shown(const char *text)
{
	static struct wr_text t;
	const struct wr_node *root = tree(text);

	wr_text_reset(&t);
	if (root != NULL)
		show(&t, root);
	return t.len > 0 ? t.p : "";
}

static void
the_tree_is_what_was_written(void)
{
	is_str(shown(""), "({})");
	is_str(shown("a = 1; b : \"x\", c = true d = FALSE;"),
	    "({a=1 b=x c=true d=false})");
	is_str(shown("a = { }; b = ( ); c = [ ];"), "({a={} b=() c=[]})");
	is_str(shown("a = ( 1, \"x\", { b = [ 1, 2 ]; }, ( ) );"),
	    "({a=(1 x {b=[1 2]} ())})");
	is_str(shown("a=-5;b=+5;c=0x1f;d=1.5;e=-2147483648;"),
	    "({a=-5 b=5 c=31 d=1.5 e=-2147483648})");
	is_str(shown("# x\na = 1; // y\n/* z\n*/ b = 2;\n"), "({a=1 b=2})");
	is_str(shown("\xef\xbb\xbf"
		     "a = 1;\r\nb = 2;\r\n"),
	    "({a=1 b=2})");
	is_str(shown("a = \"\\\\ \\\" \\x41 \\. \\d caf\xc3\xa9\";"),
	    "({a=\\ \" A \\. \\d caf\xc3\xa9})");
	is_str(shown("a = \"\\n\\t\\r\\f\\x01\";"), "({a=\n\t\r\f\x01})");
	is_str(shown("a = \"http://x/y\"; b = \"/* no */ # no // no\";"),
	    "({a=http://x/y b=/* no */ # no // no})");
	is_str(said.p != NULL ? said.p : "", "");
}

static void
lines_are_those_of_the_file(void)
{
	const struct wr_node *n = tree(
	    "\n\na =\n  (\n 1,\n\n \"x\" ) ;\n\n/*\n\n*/ b = {\n c = 5; };\n");
	const struct wr_node *a, *b;

	ok(n != NULL);
	a = wr_node_get(n->first, "a");
	b = wr_node_get(n->first, "b");
	is_int(a->line, 4);
	is_int(a->first->line, 5);
	is_int(a->last->line, 7);
	is_int(b->line, 11);
	is_int(b->first->line, 12);
	ok(b->first->parent == b && b->parent == n->first);
	is_str(b->src->name, conf_path("t.conf"));
	is_str(b->src->dir, conf_dir);
}

/* A group is split for libconfig and whole again in the tree. */
static void
large_groups_are_whole(void)
{
	static const int SIZES[] = { 63, 64, 65, 128, 129, 1000 };
	struct wr_text t = { 0 };

	for (size_t i = 0; i < WR_COUNT(SIZES); i++) {
		const struct wr_node *root, *n, *g;
		int at = 0;

		wr_text_reset(&t);
		wr_text_puts(&t, "g = {\n");
		for (int j = 0; j < SIZES[i]; j++)
			wr_text_printf(&t, "n%d = { v = %d; };\n", j, j);
		wr_text_puts(&t, "}; last = 1;\n");
		root = tree(t.p);
		g = wr_node_get(root->first, "g");
		is_int(g->n, SIZES[i]);
		for (n = g->first; n != NULL; n = n->next, at++)
			if (n->first->num != at || (int)n->line != at + 2)
				break;
		is_int(at, SIZES[i]);
		ok(wr_node_get(root->first, "last") != NULL);
	}
	/* The same at the top level, and with a name that is there twice. */
	wr_text_reset(&t);
	for (int j = 0; j < 200; j++)
		wr_text_printf(&t, "n%d = %d;\n", j, j);
	wr_text_puts(&t, "n7 = 5;\n");
	is_int(tree(t.p)->first->n, 200);
	is_str(said.p, "t.conf:201: \"n7\" is written twice; the first is at "
		       "t.conf:8\n");
	wr_text_fini(&t);
}

static void
a_syntax_error_is_told_alone(void)
{
	is_str(wrong("a = 010;\nb = 99999999999;\nc = ;\nd = =\n"),
	    "t.conf:3: a value is expected after \"c =\", not \";\"\n");
	is_str(wrong("a = 010;\nb = 99999999999;\nc = 1;\n"),
	    "t.conf:1: 010 begins with a 0: write the number without it, or "
	    "a mode as \"0660\"\n"
	    "t.conf:2: 99999999999 does not fit in 32 bits\n");
	ok(parse("a = \"x\0y\";", 10) == NULL);
	is_str(said.p, "t.conf:1: the file holds a zero byte\n");
	is_str(wrong("a = \"x\\\n\";"),
	    "t.conf:1: the string \"x has no end on this line (\\n stands for "
	    "a new line)\n");
	is_str(wrong("a = \""),
	    "t.conf:1: the string \" has no end on this line (\\n stands for "
	    "a new line)\n");
	is_str(wrong("a"), "t.conf:1: \"=\" is expected after \"a\", not the "
			   "end of the file\n");
	is_str(wrong("a = ["),
	    "t.conf:1: the file ends, but the \"[\" of line 1 is still open\n");
	is_str(wrong("a = ( ( 1 ] );"),
	    "t.conf:1: \"]\" cannot close the \"(\" of line 1\n");
	is_str(wrong("a = 1; /*"),
	    "t.conf:1: the comment that begins here has no end (\"*/\")\n");
	is_str(wrong("include = [ \"a\", ];"),
	    "t.conf:1: no trailing comma before \"]\"\n");
}

/* Cut anywhere, bytes changed anywhere: an error, or none, but no crash and
 * no complaint of libconfig, which means that we read as it does. */
static void
damage_is_never_left_to_libconfig(void)
{
	static const char TEXT[] =
	    "# c\nworkers = 2;\nupstreams = { pg = { servers = ( \"a:1\", { "
	    "address = \"b\\x41:2\"; backup = true; w = -5; } ); }; };\n"
	    "l : [ 1, 2 ], m = ( ( ), [ ] ) /* x */ n = 0x1F; f = 1.5; "
	    "// end\n";
	static const char BYTES[] = "\"{}[]();=,:#/*\\ \n0x-+.@$\x80\x01";
	char copy[sizeof(TEXT)];
	int bad = 0;

	for (size_t i = 0; i < sizeof(TEXT) - 1; i++) {
		(void)parse(TEXT, i);
		bad += said.len > 0 && strstr(said.p, "libconfig") != NULL;
		for (size_t j = 0; j < sizeof(BYTES) - 1; j++) {
			memcpy(copy, TEXT, sizeof(TEXT));
			copy[i] = BYTES[j];
			(void)parse(copy, sizeof(TEXT) - 1);
			if (said.len == 0 ||
			    strstr(said.p, "libconfig") == NULL)
				continue;
			diag("%s", said.p);
			bad++;
		}
	}
	is_int(bad, 0);
}

static const char *
expanded(const char *text, int *result, bool *secret)
{
	static struct wr_text t;
	static const struct wr_source src = { .name = "x", .dir = conf_dir };

	wr_text_reset(&t);
	wr_text_puts(&t, text);
	wr_errs_fini(&errs);
	*result = wr_expand(&t, &src, 3, &errs, secret);
	return t.len > 0 ? t.p : "";
}

static void
variables_are_filled_in(void)
{
	bool secret;
	int r;

	(void)setenv("WEIR_U", "value", 1);
	(void)setenv("WEIR_E", "", 1);
	(void)unsetenv("WEIR_N");
	conf_write("f", "line\n\n", 6);
	is_str(expanded("plain $x $$ $", &r, &secret), "plain $x $$ $");
	is_int(r, 0);
	is_str(expanded("a${WEIR_U}b${WEIR_U}", &r, &secret), "avaluebvalue");
	ok(r == 1 && !secret);
	is_str(expanded("${WEIR_E}", &r, &secret), "");
	is_int(r, 1);
	is_str(expanded("${WEIR_E:-d}${WEIR_N:-}${WEIR_N:-a:-b}", &r, &secret),
	    "da:-b");
	is_str(expanded("$${WEIR_U}", &r, &secret), "${WEIR_U}");
	is_str(expanded("<${file:f}>", &r, &secret), "<line\n>");
	ok(r == 1 && secret);
	/* What was filled in is not looked at again. */
	(void)setenv("WEIR_U", "${WEIR_E}", 1);
	is_str(expanded("${WEIR_U}", &r, &secret), "${WEIR_E}");
	is_str(expanded("${WEIR_N}", &r, &secret), "");
	ok(r == -1 && errs.total == 1);
	(void)expanded("${WEIR_N} ${} ${file:none} ${x", &r, &secret);
	ok(r == -1 && errs.total == 4 && errs.v[0].line == 3);
}

static void
files_are_bounded_and_regular(void)
{
	char *data = NULL;
	size_t len = 0;

	conf_write("f", "12345", 5);
	is_int(wr_file_read(conf_path("f"), 5, &data, &len, NULL), 0);
	ok(len == 5 && memcmp(data, "12345", 6) == 0);
	free(data);
	is_int(wr_file_read(conf_path("f"), 4, &data, &len, NULL), -EFBIG);
	is_int(wr_file_read(conf_dir, 4, &data, &len, NULL), -EISDIR);
	is_int(wr_file_read("/dev/null", 4, &data, &len, NULL), -ESPIPE);
	is_int(wr_file_read(conf_path("none"), 4, &data, &len, NULL), -ENOENT);
	/* Its size is said to be 0. */
	is_int(
	    wr_file_read("/proc/self/status", 1 << 20, &data, &len, NULL), 0);
	ok(len > 100);
	free(data);
	is_int(
	    wr_file_read("/proc/self/status", 16, &data, &len, NULL), -EFBIG);
	is_str(wr_file_why(-EISDIR), "it is a directory");
}

static void
words_have_values(void)
{
	int64_t n;

	is_int(wr_word_value(WR_STR("2147483647"), &n), WR_W_INT);
	is_int(n, INT32_MAX);
	is_int(wr_word_value(WR_STR("2147483648"), &n), WR_W_LARGE);
	is_int(wr_word_value(WR_STR("-2147483648"), &n), WR_W_INT);
	is_int(wr_word_value(WR_STR("-2147483649"), &n), WR_W_LARGE);
	is_int(wr_word_value(WR_STR("0x7fffffff"), &n), WR_W_INT);
	is_int(wr_word_value(WR_STR("0x80000000"), &n), WR_W_LARGE);
	is_int(wr_word_value(WR_STR("0xfffffffffffffffff"), &n), WR_W_LARGE);
	is_int(wr_word_value(WR_STR("0x"), &n), WR_W_BAD);
	is_int(wr_word_value(WR_STR("0"), &n), WR_W_INT);
	is_int(wr_word_value(WR_STR("00"), &n), WR_W_OCTAL);
	is_int(wr_word_value(WR_STR("5L"), &n), WR_W_BAD);
	is_int(wr_word_value(WR_STR("-"), &n), WR_W_BAD);
	is_int(wr_word_value(WR_STR(""), &n), WR_W_BAD);
	is_int(wr_word_value(WR_STR("."), &n), WR_W_BAD);
	is_int(wr_word_value(WR_STR("1e5"), &n), WR_W_BAD);
	is_int(wr_word_value(WR_STR(".5"), &n), WR_W_FLOAT);
	is_int(wr_word_value(WR_STR("5."), &n), WR_W_FLOAT);
	is_int(wr_word_value(WR_STR("True"), &n), WR_W_BOOL);
	is_int(n, 1);
	ok(wr_name_ok(WR_STR("a-b_9")) && !wr_name_ok(WR_STR("")) &&
	    !wr_name_ok(WR_STR("9a")) && !wr_name_ok(WR_STR("a.b")) &&
	    !wr_name_ok(WR_STR("_a")));
}

int
main(void)
{
	conf_begin();
	the_tree_is_what_was_written();
	lines_are_those_of_the_file();
	large_groups_are_whole();
	a_syntax_error_is_told_alone();
	damage_is_never_left_to_libconfig();
	variables_are_filled_in();
	files_are_bounded_and_regular();
	words_have_values();
	wr_scan_fini(&scan);
	wr_errs_fini(&errs);
	wr_text_fini(&said);
	conf_end();
	return tap_done();
}
