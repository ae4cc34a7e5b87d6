/* SPDX-License-Identifier: BSD-2-Clause */
/* drop - see drop.h. */
#include "proc/drop.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "conf/conf.h"

/* Who workers are when nothing is written. */
#define USER     "weir"
#define FALLBACK "nobody" /* when nobody wrote a user and there is no USER */

/* The rings of io_uring count for all processes of a user together, some 100
 * KiB each; the usual 8 MiB are too few for many workers. */
#define LOCKED ((rlim_t)64 << 20)

static void
raise_locked(void)
{
	struct rlimit r, high;

	if (getrlimit(RLIMIT_MEMLOCK, &r) < 0 || r.rlim_cur >= LOCKED)
		return;
	high.rlim_max = r.rlim_max < LOCKED ? LOCKED : r.rlim_max;
	high.rlim_cur = high.rlim_max;
	if (setrlimit(RLIMIT_MEMLOCK, &high) == 0)
		return;
	r.rlim_cur = r.rlim_max;
	(void)setrlimit(RLIMIT_MEMLOCK, &r);
}

uint64_t
wr_drop_limit(void)
{
	struct rlimit r;

	raise_locked();
	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return 1024;
	if (r.rlim_cur < r.rlim_max) {
		struct rlimit high = { r.rlim_max, r.rlim_max };

		if (setrlimit(RLIMIT_NOFILE, &high) == 0)
			r = high;
	}
	return r.rlim_cur;
}

static int
by_number(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

static void
close_run(unsigned first, unsigned last)
{
#ifdef CLOSE_RANGE_UNSHARE
	if (close_range(first, last, 0) == 0)
		return;
#endif
	/* An old kernel: up to where descriptors can be. */
	if (last > wr_drop_limit())
		last = (unsigned)wr_drop_limit();
	for (unsigned fd = first; fd <= last; fd++)
		(void)close((int)fd);
}

void
wr_drop_fds(int *keep, size_t n)
{
	unsigned next = 0;

	qsort(keep, n, sizeof(*keep), by_number);
	for (size_t i = 0; i < n; i++) {
		unsigned fd = (unsigned)keep[i];

		if (keep[i] < 0 || fd < next)
			continue;
		if (fd > next)
			close_run(next, fd - 1);
		next = fd + 1;
	}
	close_run(next, ~0U);
}

bool
wr_drop_who(const struct wr_conf *c, const char **name, uid_t *uid, gid_t *gid)
{
	const struct passwd *pw;

	*name = c->user[0] != '\0' ? c->user : USER;
	if (c->uid != WR_OFF) {
		*uid = c->uid;
		*gid = c->gid;
		return true;
	}
	pw = getpwnam(*name);
	/* A default that is not there must not keep anybody from trying weir;
	 * a user that was written must be there. */
	if (pw == NULL && c->user[0] == '\0') {
		*name = FALLBACK;
		pw = getpwnam(*name);
	}
	if (pw == NULL)
		return false;
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return true;
}

int
wr_drop_check(
    const struct wr_conf *c, struct wr_text *errors, struct wr_text *notices)
{
	const char *name;
	uid_t uid;
	gid_t gid;

	if (geteuid() != 0) {
		if (c->user[0] != '\0')
			wr_text_printf(notices,
			    "%s: user = \"%s\" is ignored: not started as "
			    "root\n",
			    c->path, c->user);
		return 0;
	}
	if (!wr_drop_who(c, &name, &uid, &gid)) {
		wr_text_printf(errors,
		    "%s: there is no user \"%s\"; make it, or write user = "
		    "\"NAME\" of one that exists\n",
		    c->path, name);
		return -1;
	}
	if (strcmp(name, FALLBACK) == 0 && c->user[0] == '\0')
		wr_text_printf(notices,
		    "%s: there is no user \"" USER "\": workers run as \"%s\"; "
		    "make it, or write user = \"NAME\"\n",
		    c->path, name);
	if (uid == 0)
		wr_text_printf(notices,
		    "%s: user = \"%s\": workers keep the rights of root\n",
		    c->path, name);
	return 0;
}

/* What a service manager has lent the master to open ports below 1024. */
static int
drop_capabilities(void)
{
#ifdef __linux__
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	const struct __user_cap_data_struct none[2] = { 0 };

	return syscall(SYS_capset, &h, none) < 0 ? -errno : 0;
#else
	return 0;
#endif
}

int
wr_drop_user(const struct wr_conf *c, const char **what)
{
	const struct passwd *pw;
	const char *name;
	uid_t uid;
	gid_t gid;

	*what = "prctl";
#ifdef __linux__
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
#endif
	*what = "capabilities";
	if (geteuid() != 0)
		return drop_capabilities();
	*what = "user";
	if (!wr_drop_who(c, &name, &uid, &gid))
		return -ENOENT;
	/* The file may say "user:group", whose groups are those of user. */
	pw = getpwuid(uid);
	*what = "initgroups";
	if (pw != NULL ? initgroups(pw->pw_name, gid) : setgroups(1, &gid))
		return -errno;
	*what = "setgid";
	if (setgid(gid) < 0)
		return -errno;
	*what = "setuid";
	if (setuid(uid) < 0)
		return -errno;
	return 0;
}
