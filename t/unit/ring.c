/* SPDX-License-Identifier: BSD-2-Clause */
/* What happens where io_uring is not to be had, and why it says so. */
#include "t/unit/tap.h"

#ifdef WR_HAVE_IO_URING
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/base.h"
#include "base/log.h"
#include "io/private.h"

/* System call `nr` fails with `err` from now on, for this process. */
static bool
forbid(unsigned nr, unsigned err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = { .len = WR_COUNT(code), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) == 0;
}

static bool
has(int fd, const char *text)
{
	char line[512];
	ssize_t n = read(fd, line, sizeof(line) - 1);

	if (n < 0)
		n = 0;
	line[n] = '\0';
	if (strstr(line, text) != NULL)
		return true;
	diag("the log has '%s'", line);
	return false;
}

/* In a child of its own: auto takes the next and says why, io_uring by name
 * fails.  How many of these did not come true. */
static int
refused(unsigned nr, unsigned err, const char *reason)
{
	struct wr_loop_conf c = { .backend = "auto" };
	struct wr_loop *l;
	int log[2], bad = 0;

	if (pipe(log) != 0)
		return 9;
	wr_log_init(&(struct wr_log_conf){ .fd = log[1], .level = WR_INFO });
	if (!forbid(nr, err)) {
		diag("no filter of system calls: %s", strerror(errno));
		return 0;
	}
	l = wr_loop_new(&c);
	bad += l == NULL || strcmp(wr_loop_backend(l), "epoll") != 0;
	bad += !has(log[0], reason);
	wr_loop_free(&l);
	c.backend = "io_uring";
	errno = 0;
	bad += wr_loop_new(&c) != NULL || errno != (int)err;
	bad += !has(log[0], reason);
	return bad;
}

static int
in_child(unsigned nr, unsigned err, const char *reason)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(refused(nr, err, reason));
	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
no_descriptors(void)
{
	struct rlimit was, none;
	const char *why = NULL;

	(void)getrlimit(RLIMIT_NOFILE, &was);
	none = was;
	none.rlim_cur = 3;
	(void)setrlimit(RLIMIT_NOFILE, &none);
	is_int(wr_backend_uring.probe(&why), -EMFILE);
	(void)setrlimit(RLIMIT_NOFILE, &was);
	is_str(why, "no descriptors");
}

/* Without the right to lock as much as it likes; a smaller ring will do. */
static void
little_memory(void)
{
	struct wr_loop_conf c = { .backend = "io_uring" };
	struct rlimit r;
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		struct wr_loop *l;

		r.rlim_cur = r.rlim_max = 80 << 10;
		if (setrlimit(RLIMIT_MEMLOCK, &r) != 0 || setuid(65530) != 0)
			_exit(0);
		l = wr_loop_new(&c);
		_exit(l == NULL);
	}
	(void)waitpid(pid, &status, 0);
	is_int(status, 0);
}

static void
all(void)
{
	const char *why = NULL;
	int err = wr_backend_uring.probe(&why);

	if (err < 0) {
		diag("%s: %s", why, strerror(-err));
		return;
	}
	is_int(in_child(SYS_io_uring_setup, EPERM, "not permitted"), 0);
	is_int(in_child(SYS_io_uring_setup, ENOSYS, "has no io_uring"), 0);
	is_int(in_child(SYS_io_uring_setup, EINVAL, "older than"), 0);
	is_int(in_child(SYS_io_uring_setup, ENOMEM, "no memory"), 0);
	is_int(in_child(SYS_socketpair, EACCES, "trial receive"), 0);
	no_descriptors();
	little_memory();
}

#else

static void
all(void)
{
}

#endif

int
main(void)
{
	all();
	return tap_done();
}
