/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tap - what a unit test says: one line a check, in the Test Anything
 * Protocol.
 *
 * A test is a program that checks and ends with `return tap_done();`.  One
 * that hangs is killed after 60 seconds, or after WEIR_ALARM.
 */
#ifndef WR_TAP_H
#define WR_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int tap_run, tap_failed;

/* The name of a check is its own text. */
#define ok(cond) tap_ok((cond), #cond, __FILE__, __LINE__)
#define is_int(got, want)                                                      \
	tap_is_int((intmax_t)(got), (intmax_t)(want), #got, __FILE__, __LINE__)
#define is_str(got, want) tap_is_str((got), (want), #got, __FILE__, __LINE__)

/* From now on. */
static void
tap_alarm(void)
{
	const char *seconds = getenv("WEIR_ALARM");

	(void)alarm(
	    seconds != NULL ? (unsigned)strtoul(seconds, NULL, 10) : 60);
}

/* Before main(), so that code before the first check is watched too. */
__attribute__((constructor)) static void
tap_start(void)
{
	tap_alarm();
	/* Whole lines: a child that exits must not repeat its parent's. */
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
}

__attribute__((format(printf, 1, 2), unused)) static void
diag(const char *fmt, ...)
{
	va_list ap;

	(void)fputs("# ", stdout);
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)putchar('\n');
}

__attribute__((unused)) static bool
tap_ok(bool pass, const char *name, const char *file, int line)
{
	printf("%sok %d - %s\n", pass ? "" : "not ", ++tap_run, name);
	if (!pass) {
		tap_failed++;
		diag("failed at %s:%d", file, line);
	}
	return pass;
}

__attribute__((unused)) static bool
tap_is_int(
    intmax_t got, intmax_t want, const char *name, const char *file, int line)
{
	bool pass = tap_ok(got == want, name, file, line);

	if (!pass)
		diag("got %jd, expected %jd", got, want);
	return pass;
}

__attribute__((unused)) static bool
tap_is_str(const char *got, const char *want, const char *name,
    const char *file, int line)
{
	bool pass =
	    got != NULL && want != NULL ? strcmp(got, want) == 0 : got == want;

	pass = tap_ok(pass, name, file, line);
	if (!pass)
		diag("got '%s', expected '%s'", got != NULL ? got : "(null)",
		    want != NULL ? want : "(null)");
	return pass;
}

/* Print the plan; the exit status of the test. */
__attribute__((unused)) static int
tap_done(void)
{
	printf("1..%d\n", tap_run);
	return tap_failed == 0 ? 0 : 1;
}

#endif
