/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon - see daemon.h. */
#include "proc/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

wr_noreturn static void
wait_for(int fd)
{
	char up;
	ssize_t n;

	do
		n = read(fd, &up, 1);
	while (n < 0 && errno == EINTR);
	/* Its errors are on our standard error already. */
	_exit(n == 1 ? 0 : 1);
}

int
wr_daemon_start(int *fd)
{
	int p[2];
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		int err = -errno;

		(void)close(p[0]);
		(void)close(p[1]);
		return err;
	}
	if (pid > 0) {
		(void)close(p[1]);
		wait_for(p[0]);
	}
	(void)close(p[0]);
	(void)setsid();
	*fd = p[1];
	return 0;
}

void
wr_daemon_up(int *fd)
{
	char up = 1;

	if (*fd < 0)
		return;
	if (write(*fd, &up, 1) < 0)
		return; /* nobody waits any more */
	(void)close(*fd);
	*fd = -1;
}

void
wr_daemon_detach(int null_fd, int error_fd)
{
	(void)dup2(null_fd, STDIN_FILENO);
	(void)dup2(null_fd, STDOUT_FILENO);
	if (error_fd != STDERR_FILENO)
		(void)dup2(error_fd >= 0 ? error_fd : null_fd, STDERR_FILENO);
}
