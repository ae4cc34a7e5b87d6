/* SPDX-License-Identifier: BSD-2-Clause */
/* upgrade - two masters and what they say to each other; see upgrade.h. */
#include "proc/upgrade.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "io/signals.h"
#include "io/sock.h"

#define VARIABLE "WEIR_MANIFEST"

/* No manifest is longer: 4,000 addresses for 60 workers have 4 MB. */
#define MANIFEST_MAX (64u << 20)

/* The line to the other master; lives until its socket is closed. */
struct talk {
	struct wr_sock sock;
	struct wr_upgrade *upgrade; /* NULL: hung up */
};

struct wr_upgrade {
	struct wr_loop *loop;
	char *const *argv;
	wr_upgrade_fn *fn;
	wr_unnamed_fn *unnamed;
	void *arg;
	struct talk *talk; /* or NULL */
	bool is_heir;
	pid_t heir; /* not reaped yet */
	bool killed;
};

/* A word is one byte; but for this one, after which numbers follow. */
#define UNNAMED  'u'
#define WORD_MAX 65536 /* 4,000 addresses have 32 KB */

static const struct {
	char letter;
	enum wr_act_kind act;     /* that says it */
	enum wr_event_kind event; /* that it is, on the other side */
} WORDS[] = {
	{ 'r', WR_ACT_ELDER_READY, WR_EV_HEIR_READY },
	{ 'c', WR_ACT_ELDER_CONFIRM, WR_EV_HEIR_CONFIRM },
	{ 'f', WR_ACT_ELDER_FAILED, WR_EV_HEIR_FAILED },
	{ 'g', WR_ACT_HEIR_GO, WR_EV_ELDER_GO },
};

/* -- Talk --------------------------------------------------------------- */

static wr_done_fn on_readable;

static struct talk *
talk_of(struct wr_sock *k)
{
	return wr_container_of(k, struct talk, sock);
}

static void
on_closed(struct wr_loop *l, struct wr_sock *k)
{
	(void)l;
	free(talk_of(k));
}

static void
hang_up(struct wr_upgrade *u)
{
	if (u->talk == NULL)
		return;
	u->talk->upgrade = NULL;
	wr_close(u->loop, &u->talk->sock, on_closed);
	u->talk = NULL;
}

static void
hear(struct wr_upgrade *u, const char *word, size_t len)
{
	if (word[0] == UNNAMED)
		u->unnamed(u->arg, (struct wr_str){ word + 1, len - 1 });
	for (size_t i = 0; i < WR_COUNT(WORDS); i++)
		if (WORDS[i].letter == word[0])
			u->fn(u->arg, WORDS[i].event);
}

static void
on_readable(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct talk *t = talk_of(wr_sock_of_in(op));
	struct wr_upgrade *u = t->upgrade;
	static char word[WORD_MAX];
	ssize_t n;

	(void)d;
	n = recv(t->sock.fd, word, sizeof(word), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		hang_up(u);
		/* The end of an heir is told by its being reaped. */
		if (u->is_heir)
			u->fn(u->arg, WR_EV_ELDER_GONE);
		return;
	}
	if (n > 0)
		hear(u, word, (size_t)n);
	/* What was said may have ended the talk. */
	if (u->talk == t &&
	    wr_watch(l, &t->sock, WR_OP_READABLE, on_readable) < 0)
		hang_up(u);
}

static int
talk_over(struct wr_upgrade *u, int fd)
{
	struct talk *t = calloc(1, sizeof(*t));
	int err = t != NULL ? wr_sock_init(u->loop, &t->sock, fd) : -ENOMEM;

	if (err < 0) {
		free(t);
		(void)close(fd);
		return err;
	}
	t->upgrade = u;
	u->talk = t;
	err = wr_watch(u->loop, &t->sock, WR_OP_READABLE, on_readable);
	if (err < 0)
		hang_up(u);
	return err;
}

static void
say(struct wr_upgrade *u, enum wr_act_kind what)
{
	for (size_t i = 0; i < WR_COUNT(WORDS); i++)
		if (WORDS[i].act == what && u->talk != NULL &&
		    send(u->talk->sock.fd, &WORDS[i].letter, 1,
			MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			wr_warn("the other master cannot be told to go on");
}

/* -- Life --------------------------------------------------------------- */

struct wr_upgrade *
wr_upgrade_new(struct wr_loop *l, char *const *argv, wr_upgrade_fn *fn,
    wr_unnamed_fn *unnamed, void *arg)
{
	struct wr_upgrade *u = calloc(1, sizeof(*u));

	if (u == NULL)
		return NULL;
	u->loop = l;
	u->argv = argv;
	u->fn = fn;
	u->unnamed = unnamed;
	u->arg = arg;
	return u;
}

void
wr_upgrade_free(struct wr_upgrade **up)
{
	struct wr_upgrade *u = *up;

	*up = NULL;
	if (u == NULL)
		return;
	hang_up(u);
	free(u);
}

/* -- The elder ---------------------------------------------------------- */

/* A descriptor that can be read from its beginning. */
static int
paper(const struct wr_text *t)
{
#ifdef __linux__
	int fd = memfd_create("weir manifest", MFD_CLOEXEC);
#else
	char path[] = "/tmp/weir-manifest-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd >= 0)
		(void)unlink(path);
#endif
	size_t done = 0;

	if (fd < 0)
		return -errno;
	while (done < t->len) {
		ssize_t n = write(fd, t->p + done, t->len - done);

		if (n < 0) {
			int err = -errno;

			(void)close(fd);
			return err;
		}
		done += (size_t)n;
	}
	return lseek(fd, 0, SEEK_SET) == 0 ? fd : -errno;
}

static void
pass(int fd)
{
	if (fd >= 0)
		(void)fcntl(fd, F_SETFD, 0);
}

/* In the child.  Whatever happens, it does not return. */
wr_noreturn static void
become(struct wr_upgrade *u, const struct wr_manifest *m, int paper_fd,
    const sigset_t *mask)
{
	char number[16];

	pass(m->talk_fd);
	pass(m->shm_fd);
	pass(m->pid_fd);
	pass(m->ask_fd);
	pass(m->parent_fd);
	for (size_t i = 0; i < WR_MANIFEST_WAKES; i++)
		pass(m->wake_fds[i]);
	pass(paper_fd);
	(void)snprintf(number, sizeof(number), "%d", paper_fd);
	wr_signals_abandon();
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	if (setenv(VARIABLE, number, 1) == 0)
		(void)execvp(u->argv[0], u->argv);
	wr_error("cannot start %s", u->argv[0]);
	wr_log_flush();
	_exit(127);
}

/* One that was killed may not have been reaped yet. */
static void
bury(struct wr_upgrade *u)
{
	while (u->heir > 0 && waitpid(u->heir, NULL, 0) < 0 && errno == EINTR)
		continue;
	u->heir = 0;
}

static pid_t
start(struct wr_upgrade *u, struct wr_manifest *m)
{
	struct wr_text lines = { 0 };
	sigset_t all, before;
	pid_t pid;
	int fd;

	wr_manifest_write(m, &lines);
	fd = lines.cut ? -ENOMEM : paper(&lines);
	wr_text_fini(&lines);
	if (fd < 0)
		return fd;
	/* No handler of ours runs in the child. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	wr_log_flush();
	pid = fork();
	if (pid == 0)
		become(u, m, fd, &before);
	if (pid < 0)
		pid = -errno;
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	(void)close(fd);
	return pid;
}

pid_t
wr_upgrade_exec(struct wr_upgrade *u, struct wr_manifest *m)
{
	int pair[2], err;
	pid_t pid;

	bury(u);
	hang_up(u);
	err = wr_sock_pair(pair);
	if (err < 0)
		return err;
	err = talk_over(u, pair[0]);
	if (err < 0) {
		(void)close(pair[1]);
		return err;
	}
	m->talk_fd = pair[1];
	pid = start(u, m);
	(void)close(pair[1]);
	m->talk_fd = -1;
	if (pid < 0) {
		hang_up(u);
		return pid;
	}
	u->heir = pid;
	u->killed = false;
	return pid;
}

pid_t
wr_upgrade_heir(const struct wr_upgrade *u)
{
	return u->heir;
}

bool
wr_upgrade_reaped(struct wr_upgrade *u, pid_t pid, int status)
{
	if (pid != u->heir)
		return false;
	u->heir = 0;
	if (WIFSIGNALED(status))
		wr_errorx("the new binary died of signal %d (%s)",
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		wr_errorx(
		    "the new binary ended with status %d", WEXITSTATUS(status));
	hang_up(u);
	if (!u->killed)
		u->fn(u->arg, WR_EV_HEIR_FAILED);
	return true;
}

void
wr_upgrade_go(struct wr_upgrade *u)
{
	say(u, WR_ACT_HEIR_GO);
}

void
wr_upgrade_kill(struct wr_upgrade *u)
{
	if (u->heir > 0)
		(void)kill(u->heir, SIGKILL);
	u->killed = true;
	hang_up(u);
}

/* -- The heir ----------------------------------------------------------- */

static int
read_paper(int fd, struct wr_text *t)
{
	char mem[8192];
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) != 0 || st.st_size > MANIFEST_MAX)
		return -EPROTO;
	while ((n = read(fd, mem, sizeof(mem))) > 0)
		wr_text_add(t, mem, (size_t)n);
	return n < 0 || t->cut ? -EPROTO : 0;
}

static void
take(int fd)
{
	if (fd >= 0)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int
wr_manifest_inherit(struct wr_manifest *m)
{
	const char *number = getenv(VARIABLE);
	struct wr_text lines = { 0 };
	uint64_t fd;
	int err;

	if (number == NULL)
		return 0;
	if (wr_str_u64(wr_str_of(number), INT32_MAX, &fd) < 0)
		return -EPROTO;
	(void)unsetenv(VARIABLE);
	err = read_paper((int)fd, &lines);
	(void)close((int)fd);
	if (err == 0)
		err =
		    wr_manifest_read(m, (struct wr_str){ lines.p, lines.len });
	wr_text_fini(&lines);
	if (err < 0)
		return -EPROTO;
	take(m->talk_fd);
	take(m->shm_fd);
	take(m->pid_fd);
	take(m->ask_fd);
	take(m->parent_fd);
	for (size_t i = 0; i < WR_MANIFEST_WAKES; i++)
		take(m->wake_fds[i]);
	return 1;
}

int
wr_upgrade_join(struct wr_upgrade *u, const struct wr_manifest *m)
{
	u->is_heir = true;
	return talk_over(u, m->talk_fd);
}

void
wr_upgrade_unnamed(struct wr_upgrade *u, struct wr_str numbers)
{
	static char word[WORD_MAX];

	assert(u->is_heir);
	if (numbers.len == 0 || numbers.len >= sizeof(word) || u->talk == NULL)
		return;
	word[0] = UNNAMED;
	memcpy(word + 1, numbers.p, numbers.len);
	if (send(u->talk->sock.fd, word, numbers.len + 1,
		MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		wr_warn("the other master cannot be told what it serves");
}

void
wr_upgrade_say(struct wr_upgrade *u, enum wr_act_kind what)
{
	assert(u->is_heir);
	say(u, what);
}
