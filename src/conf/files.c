/* SPDX-License-Identifier: BSD-2-Clause */
/* files - see files.h. */
#include "conf/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static int
check(int fd, size_t max, struct stat *st)
{
	if (fstat(fd, st) < 0)
		return -errno;
	if (S_ISDIR(st->st_mode))
		return -EISDIR;
	if (!S_ISREG(st->st_mode))
		return -ESPIPE;
	return (uintmax_t)st->st_size > max ? -EFBIG : 0;
}

/* The size that fstat() gave is a hint: /proc says 0, and files grow. */
static int
slurp(int fd, size_t max, size_t hint, char **data, size_t *len)
{
	size_t size = hint + 2, used = 0;
	char *p = malloc(size), *more;

	while (p != NULL) {
		ssize_t n = read(fd, p + used, size - used - 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || used + (size_t)n > max) {
			int err = n < 0 ? -errno : -EFBIG;

			free(p);
			return err;
		}
		if (n == 0) {
			p[used] = '\0';
			*data = p;
			*len = used;
			return 0;
		}
		used += (size_t)n;
		if (used + 1 < size)
			continue;
		more = realloc(p, size *= 2);
		if (more == NULL)
			free(p);
		p = more;
	}
	return -ENOMEM;
}

int
wr_file_read(
    const char *path, size_t max, char **data, size_t *len, struct stat *st)
{
	struct stat own;
	/* Without O_NONBLOCK a FIFO would hold the master for ever. */
	int err, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return errno == ENXIO ? -ESPIPE : -errno;
	if (st == NULL)
		st = &own;
	err = check(fd, max, st);
	if (err == 0)
		err = slurp(fd, max, (size_t)st->st_size, data, len);
	(void)close(fd);
	return err;
}

const char *
wr_file_why(int err)
{
	switch (-err) {
	case EISDIR:
		return "it is a directory";
	case ESPIPE:
		return "it is not a regular file";
	case EFBIG:
		return "it is too large";
	case ENOENT:
		return "there is no such file";
	default:
		return strerror(-err);
	}
}

char *
wr_path_join(struct wr_arena *a, const char *dir, const char *path)
{
	size_t n = strlen(dir), m = strlen(path);
	char *p;

	if (path[0] == '/' || strcmp(dir, ".") == 0)
		return wr_arena_str(a, (struct wr_str){ path, m });
	p = wr_arena_alloc(a, n + m + 2);
	if (p == NULL)
		return NULL;
	memcpy(p, dir, n);
	if (n > 0 && p[n - 1] != '/')
		p[n++] = '/';
	memcpy(p + n, path, m + 1);
	return p;
}

char *
wr_path_dir(struct wr_arena *a, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return wr_arena_str(a, WR_STR("."));
	if (slash == path)
		slash++;
	return wr_arena_str(a, (struct wr_str){ path, (size_t)(slash - path) });
}

char *
wr_path_home(struct wr_arena *a, const char *path)
{
	char cwd[PATH_MAX];
	char *dir = wr_path_dir(a, path);

	if (dir == NULL || dir[0] == '/' || getcwd(cwd, sizeof(cwd)) == NULL)
		return dir;
	return strcmp(dir, ".") == 0 ? wr_arena_str(a, wr_str_of(cwd))
				     : wr_path_join(a, cwd, dir);
}
