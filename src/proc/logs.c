/* SPDX-License-Identifier: BSD-2-Clause */
/* logs - see logs.h. */
#include "proc/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/conf.h"
#include "proc/crash.h"
#include "proc/drop.h"
#include "proc/master.h"

/* Of more groups than these a user is not expected to be. */
#define GROUPS_MAX 64

static bool
is_member(uid_t uid, gid_t gid, gid_t group)
{
	const struct passwd *pw = getpwuid(uid);
	gid_t all[GROUPS_MAX];
	int n = GROUPS_MAX;

	if (gid == group || pw == NULL)
		return gid == group;
	if (getgrouplist(pw->pw_name, gid, all, &n) < 0)
		n = GROUPS_MAX;
	for (int i = 0; i < n; i++)
		if (all[i] == group)
			return true;
	return false;
}

/*
 * Whoever may write the folder may put a link or a FIFO there that root then
 * opens; so not one that the workers' user, who is told, may write.
 */
static bool
folder_is_safe(const char *path, const struct wr_conf *c, const char **user)
{
	char copy[PATH_MAX];
	struct stat sb;
	uid_t uid;
	gid_t gid;

	if (geteuid() != 0 || !wr_drop_who(c, user, &uid, &gid) || uid == 0)
		return true;
	(void)snprintf(copy, sizeof(copy), "%s", path);
	if (stat(dirname(copy), &sb) < 0)
		return true; /* open() will say what is wrong */
	/* An owner may change the mode. */
	if (sb.st_uid == uid)
		return false;
	/* In a sticky one (/tmp) nobody can replace another's file. */
	if ((sb.st_mode & S_ISVTX) != 0)
		return true;
	if (is_member(uid, gid, sb.st_gid))
		return (sb.st_mode & S_IWGRP) == 0;
	return (sb.st_mode & S_IWOTH) == 0;
}

static int
open_file(const char *path, const struct wr_conf *c, const char *key,
    const char *where, struct wr_text *errors)
{
	const char *user;
	int fd;

	if (!folder_is_safe(path, c, &user)) {
		wr_text_printf(errors,
		    "%s: %s = \"%s\": the folder may be written by the "
		    "user \"%s\"\n",
		    where, key, path, user);
		return -1;
	}
	fd = open(path,
	    O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY |
		O_NONBLOCK,
	    0644);
	if (fd < 0)
		wr_text_printf(errors, "%s: %s = \"%s\": %s\n", where, key,
		    path, strerror(errno));
	return fd;
}

static int
open_log(const char *to, const char *key, const char *where, int *fd,
    const struct wr_conf *c, struct wr_text *errors)
{
	*fd = -1;
	if (strcmp(to, "stderr") == 0)
		*fd = STDERR_FILENO;
	else if (strcmp(to, "stdout") == 0)
		*fd = STDOUT_FILENO;
	else if (strcmp(to, "syslog") != 0 && strcmp(to, "off") != 0)
		*fd = open_file(to, c, key, where, errors);
	else
		return 0;
	return *fd < 0 ? -1 : 0;
}

int
wr_logs_open(struct wr_logs *logs, const struct wr_conf *c, bool daemon,
    struct wr_text *errors)
{
	const char *to = c->access_log.at.to;
	int err = 0;

	(void)memset(logs, 0, sizeof(*logs));
	err |= open_log(c->error_log.at.to, "error_log", c->error_log.at.where,
	    &logs->error_fd, c, errors);
	/* Nobody reads the standard output of a daemon. */
	logs->access_fd = -1;
	if (!daemon || strcmp(to, "stdout") != 0)
		err |= open_log(to, "access_log", c->access_log.at.where,
		    &logs->access_fd, c, errors);
	(void)snprintf(
	    logs->error, sizeof(logs->error), "%s", c->error_log.at.to);
	(void)snprintf(
	    logs->access, sizeof(logs->access), "%s", c->access_log.at.to);
	if (err < 0)
		wr_logs_close(logs);
	return err;
}

static void
close_fd(int fd)
{
	if (fd > STDERR_FILENO)
		(void)close(fd);
}

void
wr_logs_close(struct wr_logs *logs)
{
	close_fd(logs->error_fd);
	close_fd(logs->access_fd);
	logs->error_fd = logs->access_fd = -1;
}

static void
tell_children(struct wr_master *m, const struct wr_logs *logs)
{
	struct wr_msg msg = { .kind = WR_MSG_REOPEN,
		.flags = WR_MSG_ACCESS_LOG };
	int fds[2], n = 0;

	if (logs->error_fd >= 0) {
		msg.flags |= WR_MSG_ERROR_LOG;
		fds[n++] = logs->error_fd;
	}
	if (logs->access_fd >= 0)
		fds[n++] = logs->access_fd;
	wr_list_each (link, &m->children) {
		const struct wr_child *child =
		    wr_container_of(link, struct wr_child, link);

		wr_crew_tell(m, (int)child->slot, &msg, fds, n);
	}
}

void
wr_logs_use(struct wr_master *m, struct wr_logs *logs, const struct wr_conf *c)
{
	struct wr_log_conf lc = { .fd = logs->error_fd,
		.level = (enum wr_level)c->error_log.level,
		.format = (enum wr_log_format)c->error_log.format };

	if (strcmp(c->error_log.at.to, "off") == 0)
		lc.fd = logs->error_fd = m->null_fd;
	wr_log_flush();
	wr_log_init(&lc);
	wr_log_name("master");
	if (memcmp(&m->logs, logs, sizeof(*logs)) != 0) {
		wr_crash_fd(lc.fd >= 0 ? lc.fd : STDERR_FILENO);
		tell_children(m, logs);
		if (m->logs.error_fd != m->null_fd)
			close_fd(m->logs.error_fd);
		close_fd(m->logs.access_fd);
		m->logs = *logs;
	}
	logs->error_fd = logs->access_fd = -1;
}
