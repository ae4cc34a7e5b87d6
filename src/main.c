/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * weir - a reverse proxy that loses nothing.  A map of the program:
 *
 *	main.c            options; what -t, -T, -V and -s do; then the master
 *	proc/master.c     start, signals; asks the machine in proc/reload.c what
 *	                  to do about an event, proc/hands.c does it
 *	proc/listen.c     all listening sockets; which child accepts from which
 *	proc/crew.c       fork, messages, burial of children
 *	proc/frame.c      a child from fork to exit; proc/worker.c and
 *	                  proc/control.c say what is special about theirs
 *	io/loop.h         the only way to do network I/O; one backend a kernel
 *	proxy/session.c   what happens to a connection: states, one function
 *	                  that moves from one to the next
 *	proxy/relay.c     bytes both ways
 *	conf/             one file in, one immutable value out
 *	modules/          what plugs in, one file each; modules.c is the list
 *
 * A floor includes only lower ones: base < wire, io < conf < proxy < proc.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/loop.h"
#include "modules/modules.h"
#include "proc/ask.h"
#include "proc/drop.h"
#include "proc/master.h"
#include "proc/title.h"
#include "proc/version.h"
#include "proc/worker.h"

enum {
	OK,
	FAILED,
	USAGE
};

static const char usage_text[] =
    "usage: weir [-dq] [-c file] [-p prefix] [--beside]\n"
    "       weir -t | -T [-q] [-c file] [-p prefix]\n"
    "       weir -s reload | reopen | quit | stop | upgrade | status\n"
    "            [-c file] [-p prefix] [--pid file]\n"
    "       weir -V | -v\n";

struct command {
	struct wr_options o;
	const char *word;  /* -s */
	char what;         /* t T V v s, or 0: run */
	const char *wrong; /* of the command line */
	const char *why;
};

/* -- The command line ---------------------------------------------------- */

static bool
is_word(const char *word)
{
	static const char *const words[] = { "reload", "reopen", "quit", "stop",
		"upgrade", "status" };

	for (size_t i = 0; i < WR_COUNT(words); i++) {
		if (strcmp(word, words[i]) == 0)
			return true;
	}
	return false;
}

static bool
refuse(struct command *c, const char *wrong, const char *why)
{
	c->wrong = wrong;
	c->why = why;
	return false;
}

/* One run does one thing. */
static bool
take_what(struct command *c, char what, const char *arg)
{
	if (c->what != 0 && c->what != what)
		return refuse(c, arg, "it does not go with an option before");
	c->what = what;
	return true;
}

/* Long options are few: their names stand where a letter would. */
static bool
long_option(struct command *c, char **argv, int *i)
{
	const char *arg = argv[*i];

	if (strcmp(arg, "--help") == 0)
		return take_what(c, 'h', arg);
	if (strcmp(arg, "--version") == 0)
		return take_what(c, 'v', arg);
	if (strcmp(arg, "--beside") == 0)
		c->o.beside = true;
	else if (strncmp(arg, "--pid=", 6) == 0)
		c->o.pid = arg + 6;
	else if (strcmp(arg, "--pid") != 0)
		return refuse(c, arg, "there is no such option");
	else if (argv[*i + 1] == NULL)
		return refuse(c, arg, "its value is missing");
	else
		c->o.pid = argv[++*i];
	return true;
}

/* One letter; `value` is the rest of its argument or the next one. */
static bool
take_value(struct command *c, char letter, const char *arg, const char *value)
{
	if (value == NULL)
		return refuse(c, arg, "its value is missing");
	if (letter == 'c') {
		c->o.conf = value;
		return true;
	}
	if (letter == 'p') {
		c->o.prefix = value;
		return true;
	}
	if (!is_word(value))
		return refuse(c, value, "-s does not know this word");
	c->word = value;
	return take_what(c, 's', arg);
}

static bool
letters(struct command *c, char **argv, int *i)
{
	const char *arg = argv[*i];

	for (const char *p = arg + 1; *p != '\0'; p++) {
		if (strchr("cps", *p) != NULL) {
			const char *value = p[1] != '\0' ? p + 1 : argv[++*i];

			return take_value(c, *p, arg, value);
		}
		if (*p == 'd') {
			c->o.daemon = true;
		} else if (*p == 'q') {
			c->o.quiet = true;
		} else if (strchr("tTVvh", *p) == NULL) {
			return refuse(c, arg, "there is no such option");
		} else if (!take_what(c, *p, arg)) {
			return false;
		}
	}
	return true;
}

static bool
parse(struct command *c, char **argv)
{
	for (int i = 1; argv[i] != NULL; i++) {
		bool good;

		if (argv[i][0] != '-' || argv[i][1] == '\0')
			return refuse(c, argv[i],
			    "this is no option (a configuration is named by "
			    "-c)");
		if (argv[i][1] == '-')
			good = long_option(c, argv, &i);
		else
			good = letters(c, argv, &i);
		if (!good)
			return false;
	}
	if (c->o.pid != NULL && c->what != 's')
		return refuse(c, "--pid", "it goes with -s only");
	return true;
}

/* -- What needs no master ------------------------------------------------ */

static int
print_errors(struct wr_load *ld)
{
	if (ld->errors.len > 0)
		(void)fwrite(ld->errors.p, 1, ld->errors.len, stderr);
	wr_text_fini(&ld->errors);
	wr_text_fini(&ld->notices);
	return FAILED;
}

static struct wr_load
load_of(const struct command *c)
{
	return (struct wr_load){ .path = c->o.conf,
		.prefix = c->o.prefix,
		.groups = c->o.groups,
		.words = c->o.words,
		.generation = 1 };
}

/* No side effects: nothing is bound, made or resolved. */
static int
check(const struct command *c)
{
	struct wr_load ld = load_of(c);
	struct wr_gen *g;

	if (wr_gen_reserve() < 0) {
		perror("weir: no room for the configuration");
		return FAILED;
	}
	g = wr_conf_load(&ld);
	if (g == NULL)
		return print_errors(&ld);
	if (!c->o.quiet && ld.notices.len > 0)
		(void)fwrite(ld.notices.p, 1, ld.notices.len, stderr);
	if (!c->o.quiet)
		(void)printf("%s: ok\n", c->o.conf);
	wr_text_fini(&ld.notices);
	wr_gen_put(&g);
	return fflush(stdout) == 0 ? OK : FAILED;
}

static int
dump(const struct command *c)
{
	struct wr_load ld = load_of(c);
	struct wr_text out = { 0 };

	if (wr_gen_reserve() < 0) {
		perror("weir: no room for the configuration");
		return FAILED;
	}
	if (wr_conf_dump(&ld, &out) < 0)
		return print_errors(&ld);
	(void)fwrite(out.p, 1, out.len, stdout);
	wr_text_fini(&out);
	wr_text_fini(&ld.errors);
	wr_text_fini(&ld.notices);
	return fflush(stdout) == 0 ? OK : FAILED;
}

static int
say(const struct command *c)
{
	char pid[PATH_MAX];

	if (c->o.pid != NULL)
		return wr_ask_say(c->o.pid, c->word);
	if (wr_conf_scan_pid(c->o.conf, pid, sizeof(pid)))
		return wr_ask_say(pid, c->word);
	(void)snprintf(pid, sizeof(pid), "%s/weir.pid",
	    c->o.prefix != NULL ? c->o.prefix : WR_RUN_DIR);
	if (access(c->o.conf, R_OK) < 0)
		(void)fprintf(stderr, "weir: %s: %s: looking at %s\n",
		    c->o.conf, strerror(errno), pid);
	return wr_ask_say(pid, c->word);
}

int
main(int argc, char **argv)
{
	static const struct wr_group *groups[64];
	struct command c = { .o = { .conf = WR_CONF_FILE,
				 .groups = groups,
				 .words = {
				     wr_access_fields, wr_end_texts } } };

	wr_title_init(argc, argv);
	for (size_t i = 0; wr_modules[i] != NULL && i + 1 < WR_COUNT(groups);
	     i++)
		groups[i] = &wr_modules[i]->conf;
	c.o.argv = argv;
	if (!parse(&c, argv)) {
		(void)fprintf(
		    stderr, "weir: %s: %s\n%s", c.wrong, c.why, usage_text);
		return USAGE;
	}
	switch (c.what) {
	case 'h':
		(void)fputs(usage_text, stdout);
		return OK;
	case 'v':
	case 'V':
		wr_version_print(stdout, c.what == 'V');
		return OK;
	case 't':
		return check(&c);
	case 'T':
		return dump(&c);
	case 's':
		return say(&c);
	default:
		return wr_master_run(&c.o);
	}
}
