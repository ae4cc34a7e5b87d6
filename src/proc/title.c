/* SPDX-License-Identifier: BSD-2-Clause */
/* title - write over the arguments, which is where ps(1) looks. */
#include "proc/title.h"

#include <stdarg.h>
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

/* Copy the strings to `mem`, which has room; the end of them. */
static char *
copy_strings(char **v, char **to, char *mem)
{
	for (size_t i = 0; v[i] != NULL; i++) {
		size_t len = strlen(v[i]) + 1;

		to[i] = memcpy(mem, v[i], len);
		mem += len;
	}
	return mem;
}

static size_t
size_of(char **v, size_t *n)
{
	size_t bytes = 0;

	for (*n = 0; v[*n] != NULL; ++*n)
		bytes += strlen(v[*n]) + 1;
	return bytes;
}

void
wr_title_init(int argc, char **argv)
{
	/* Kept: libc replaces both when a variable is set, and frees
	 * neither. */
	static char *strings, **env;
	char *start = argv[0], *end = end_of(environ, end_of(argv, NULL));
	size_t n_args, n_env, bytes = size_of(argv, &n_args);

	bytes += size_of(environ, &n_env);
	if (argc < 1 || n_args != (size_t)argc)
		return;
	strings = malloc(bytes);
	env = calloc(n_env + 1, sizeof(*env));
	/* Without memory there are no titles. */
	if (strings == NULL || env == NULL) {
		free(strings);
		free(env);
		strings = NULL;
		env = NULL;
		return;
	}
	(void)copy_strings(environ, env, copy_strings(argv, argv, strings));
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
