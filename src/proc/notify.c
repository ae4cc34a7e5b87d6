/* SPDX-License-Identifier: BSD-2-Clause */
/* notify - datagrams to the service manager; see notify.h. */
#include "proc/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

static void
notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t len = path != NULL ? strlen(path) : 0;
	int fd;

	if (len < 2 || len >= sizeof(un.sun_path) ||
	    (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(un.sun_path, path, len);
	/* A socket without a file. */
	if (un.sun_path[0] == '@')
		un.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
		(struct sockaddr *)&un,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		wr_debug("NOTIFY_SOCKET: %s", strerror(errno));
	(void)close(fd);
}

void
wr_notify_ready(pid_t main_pid)
{
	char text[64];

	(void)snprintf(
	    text, sizeof(text), "READY=1\nMAINPID=%ld", (long)main_pid);
	notify(text);
}

void
wr_notify_main(pid_t main_pid)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "MAINPID=%ld", (long)main_pid);
	notify(text);
}

void
wr_notify_reloading(void)
{
	char text[64];
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%ju",
	    (uintmax_t)ts.tv_sec * 1000000 + (uintmax_t)ts.tv_nsec / 1000);
	notify(text);
}

void
wr_notify_stopping(void)
{
	notify("STOPPING=1");
}

void
wr_notify_status(const char *text)
{
	char line[256];

	(void)snprintf(line, sizeof(line), "STATUS=%s", text);
	notify(line);
}
