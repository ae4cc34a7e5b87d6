/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pidfile - flock(2), because a new binary inherits it with the descriptor.
 *
 * Whoever can read a file can lock it, and keep a weir that has died from being
 * started again; a lock of fcntl(2) would not help, as one for reading keeps
 * off writers too.  So nobody else can read it.
 */
#include "proc/pidfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

/* Between open and lock the one that had it may have removed it. */
static bool
is_file(const char *path, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int
fail(int fd, const char *path, const char *where, struct wr_text *errors,
    const char *what)
{
	int err = -errno;

	wr_text_printf(errors, "%s: pid = \"%s\": %s: %s\n", where, path, what,
	    strerror(-err));
	if (fd >= 0)
		(void)close(fd);
	return err;
}

int
wr_pidfile_take(const char *path, const char *where, struct wr_text *errors)
{
	struct stat sb;

	for (;;) {
		int fd = open(path,
		    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		    0600);

		if (fd < 0)
			return fail(fd, path, where, errors, "cannot open");
		errno = EINVAL;
		if (fstat(fd, &sb) < 0 || !S_ISREG(sb.st_mode))
			return fail(
			    fd, path, where, errors, "not a regular file");
		/* One that was there already; if it is not ours, so be it. */
		if ((sb.st_mode & 077) != 0)
			(void)!fchmod(fd, 0600);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			if (errno != EWOULDBLOCK)
				return fail(
				    fd, path, where, errors, "cannot lock");
			wr_text_printf(errors,
			    "weir runs already: process %ld holds %s\n",
			    (long)wr_pidfile_read(path), path);
			(void)close(fd);
			return -EWOULDBLOCK;
		}
		if (is_file(path, fd))
			return fd;
		(void)close(fd);
	}
}

int
wr_pidfile_write(int fd, pid_t pid)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%ld\n", (long)pid);

	/* In this order it is never empty for a reader. */
	if (pwrite(fd, text, (size_t)n, 0) != n || ftruncate(fd, n) < 0)
		return errno != 0 ? -errno : -EIO;
	return 0;
}

pid_t
wr_pidfile_read(const char *path)
{
	char text[24];
	uint64_t pid = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (n <= 0 ||
	    wr_str_u64(wr_str_trim((struct wr_str){ text, (size_t)n }), INT_MAX,
		&pid) < 0)
		return 0;
	return (pid_t)pid;
}

/* -- Children ------------------------------------------------------------ */

static void
folder_of(const char *path, char *folder, size_t size)
{
	(void)snprintf(folder, size, "%s.d", path);
}

/* When the process began, in ticks since boot: a pid alone may be another's
 * by now.  0: no such process. */
static unsigned long long
began(pid_t pid)
{
	char name[40], text[512];
	unsigned long long ticks = 0;
	const char *p;
	ssize_t n;
	int fd;

	(void)snprintf(name, sizeof(name), "/proc/%ld/stat", (long)pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	p = strrchr(text, ')');
	/* proc(5): state is field 3, starttime field 22. */
	if (p == NULL || p[1] == '\0' || p[2] == 'Z')
		return 0;
	for (int field = 2; p != NULL && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p != NULL)
		ticks = strtoull(p, NULL, 10);
	return ticks;
}

void
wr_pidfile_add(const char *path, pid_t child, const char *role)
{
	char name[PATH_MAX], text[80];
	int fd, n;

	folder_of(path, name, sizeof(name) - 16);
	if (mkdir(name, 0755) < 0 && errno != EEXIST) {
		wr_warn("%s", name);
		return;
	}
	n = (int)strlen(name);
	(void)snprintf(name + n, sizeof(name) - (size_t)n, "/%ld", (long)child);
	fd = open(
	    name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	n = snprintf(text, sizeof(text), "%llu %s\n", began(child), role);
	if (fd < 0 || write(fd, text, (size_t)n) != n)
		wr_warn("%s", name);
	if (fd >= 0)
		(void)close(fd);
}

void
wr_pidfile_drop(const char *path, pid_t child)
{
	char name[PATH_MAX];

	(void)snprintf(name, sizeof(name), "%s.d/%ld", path, (long)child);
	(void)unlink(name);
}

/* "ticks role" of one entry; false if it is not one of ours. */
static bool
read_entry(const char *name, unsigned long long *ticks, char *role, size_t size)
{
	char text[80], *rest;
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	*ticks = strtoull(text, &rest, 10);
	if (*rest != ' ')
		return false;
	rest[strcspn(rest, "\n")] = '\0';
	(void)snprintf(role, size, "%s", rest + 1);
	return true;
}

unsigned
wr_pidfile_each(const char *path,
    void (*fn)(void *arg, pid_t pid, const char *role), void *arg)
{
	char folder[PATH_MAX], name[PATH_MAX + 32], role[40];
	const struct dirent *e;
	unsigned n = 0;
	DIR *dir;

	folder_of(path, folder, sizeof(folder));
	dir = opendir(folder);
	if (dir == NULL)
		return 0;
	while ((e = readdir(dir)) != NULL) {
		unsigned long long ticks = 0;
		uint64_t pid;

		if (wr_str_u64(wr_str_of(e->d_name), INT_MAX, &pid) < 0)
			continue;
		(void)snprintf(name, sizeof(name), "%s/%llu", folder,
		    (unsigned long long)pid);
		if (!read_entry(name, &ticks, role, sizeof(role)) ||
		    ticks == 0 || began((pid_t)pid) != ticks) {
			(void)unlink(name);
			continue;
		}
		fn(arg, (pid_t)pid, role);
		n++;
	}
	(void)closedir(dir);
	return n;
}

void
wr_pidfile_remove(const char *path, int fd)
{
	char folder[PATH_MAX];

	folder_of(path, folder, sizeof(folder));
	(void)rmdir(folder);
	if (is_file(path, fd))
		(void)unlink(path);
	(void)close(fd);
}
