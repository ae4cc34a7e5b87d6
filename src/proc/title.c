/* SPDX-License-Identifier: BSD-2-Clause */
/* title - write over the arguments, which is where ps(1) looks. */
#include "proc/title.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

extern char **environ;

static char *room;
static size_t room_size;

/* The strings follow each other without a gap; take what does. */
static char *
end_of(char **v, char *end)
{
	for (; *v != NULL; v++) {
		if (end == NULL || *v == end)
			end = *v + strlen(*v) + 1;
	}
	return end;
}

static bool
copy_strings(char **from, char **to)
{
	for (size_t i = 0; from[i] != NULL; i++) {
		to[i] = strdup(from[i]);
		if (to[i] == NULL)
			return false;
	}
	return true;
}

void
wr_title_init(int argc, char **argv)
{
	char *start = argv[0], *end = end_of(environ, end_of(argv, NULL));
	size_t n = 0;
	char **args, **env;

	while (environ[n] != NULL)
		n++;
	args = calloc((size_t)argc + 1, sizeof(*args));
	env = calloc(n + 1, sizeof(*env));
	/* Without memory nothing was changed; what was copied stays. */
	if (args == NULL || env == NULL || !copy_strings(argv, args) ||
	    !copy_strings(environ, env))
		return;
	(void)memcpy(argv, args, (size_t)argc * sizeof(*args));
	free(args);
	environ = env;
	room = start;
	room_size = (size_t)(end - start);
}

void
wr_title_set(const char *fmt, ...)
{
	char text[64];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (room_size > 1) {
		(void)memset(room, 0, room_size);
		(void)snprintf(room, room_size, "%s", text);
	}
#ifdef __linux__
	(void)prctl(PR_SET_NAME, text);
#endif
}
