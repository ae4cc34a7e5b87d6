/* SPDX-License-Identifier: BSD-2-Clause */
/* globs - what a pattern stands for, without walking through all of a disk. */
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <sys/stat.h>

#include "base/text.h"
#include "conf/files.h"

/* glob() gives its functions no argument.  Only the master, and whoever asks
 * it, is ever here. */
static uint32_t looked;

static void *
open_dir(const char *path)
{
	if (looked > WR_GLOB_LOOKS) {
		errno = E2BIG;
		return NULL;
	}
	return opendir(path);
}

static struct dirent *
read_dir(void *dir)
{
	return ++looked <= WR_GLOB_LOOKS ? readdir(dir) : NULL;
}

static void
close_dir(void *dir)
{
	(void)closedir(dir);
}

static int
on_error(const char *path, int err)
{
	(void)path;
	return err == E2BIG;
}

/* What glob() must not take for a pattern. */
static void
quote(struct wr_text *t, const char *dir)
{
	for (; *dir != '\0'; dir++) {
		if (strchr("*?[\\", *dir) != NULL)
			wr_text_putc(t, '\\');
		wr_text_putc(t, *dir);
	}
	wr_text_putc(t, '/');
}

static int
walk(const char *pattern, size_t skip, wr_glob_fn *fn, void *arg)
{
	glob_t g = { .gl_opendir = open_dir,
		.gl_readdir = read_dir,
		.gl_closedir = close_dir,
		.gl_stat = stat,
		.gl_lstat = lstat };
	int err;

	looked = 0;
	err = glob(pattern, GLOB_ALTDIRFUNC, on_error, &g);
	if (err == GLOB_NOSPACE)
		return -ENOMEM;
	if (looked > WR_GLOB_LOOKS)
		err = -E2BIG;
	else
		err = 0;
	for (size_t i = 0; err == 0 && i < g.gl_pathc; i++)
		err = fn(g.gl_pathv[i], g.gl_pathv[i] + skip, arg);
	globfree(&g);
	return err;
}

int
wr_path_glob(const char *dir, const char *pattern, wr_glob_fn *fn, void *arg)
{
	struct wr_text t = { 0 };
	size_t skip = 0;
	int err = -ENOMEM;

	if (strpbrk(pattern, "*?[") == NULL)
		return fn(pattern, pattern, arg);
	if (pattern[0] != '/') {
		quote(&t, dir);
		skip = strlen(dir) + 1;
	}
	wr_text_puts(&t, pattern);
	if (!t.cut)
		err = walk(t.p, skip, fn, arg);
	wr_text_fini(&t);
	return err;
}
