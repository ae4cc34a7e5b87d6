/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * modeld - one echo server in eight classical models of I/O.
 *
 *	modeld MODEL PORT
 *
 * Models: thread (blocking, one a connection), spin (non-blocking, tries all
 * of them for ever), select, poll, epoll-lt, epoll-et, uring (one-shot),
 * uring-multi (multishot accept and receive with a buffer ring).  A client
 * sends a message and gets it back, as often as it
 * likes.  On SIGTERM it prints what it cost as one JSON line.
 *
 * The servers are as plain as the textbook has them: what is compared is the
 * interface, not the skill.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef WR_HAVE_IO_URING
#include <liburing.h>
#endif

#define CONNS 20000
#define SIZE  16384
/* Of one select() process, below FD_SETSIZE. */
#define SELECT_CONNS 950
#define SELECT_PROCS 12

/* Shared by all processes of a model. */
static struct counts {
	_Atomic uint64_t calls, messages, user_us, sys_us, switches;
} * total;
static uint64_t calls; /* of this process; added up at its end */
static uint64_t messages;
static volatile sig_atomic_t over;
static char buf[SIZE];

static void
on_term(int signo)
{
	(void)signo;
	over = 1;
}

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
account(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	total->calls += calls;
	total->messages += messages;
	total->user_us += (uint64_t)r.ru_utime.tv_sec * 1000000 +
			  (uint64_t)r.ru_utime.tv_usec;
	total->sys_us += (uint64_t)r.ru_stime.tv_sec * 1000000 +
			 (uint64_t)r.ru_stime.tv_usec;
	total->switches += (uint64_t)(r.ru_nvcsw + r.ru_nivcsw);
}

static int
listener(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(fd, 4096) < 0)
		die("listen");
	return fd;
}

static void
nonblock(int fd)
{
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		die("fcntl");
}

/* Echo once what is there: false when the connection is over. */
static bool
echo(int fd)
{
	calls++;
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	messages++;
	calls++;
	return send(fd, buf, (size_t)n, MSG_NOSIGNAL) == n;
}

static void
hang_up(int fd)
{
	calls++;
	close(fd);
}

static int
take(int lfd)
{
	calls++;
	return accept4(lfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

/* Blocking, one thread a connection. */

static void *
thread_conn(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char mine[SIZE];
	uint64_t n = 0, c = 0;

	for (;;) {
		ssize_t got = recv(fd, mine, sizeof(mine), 0);
		c++;
		if (got <= 0)
			break;
		c++, n++;
		if (send(fd, mine, (size_t)got, MSG_NOSIGNAL) != got)
			break;
	}
	close(fd);
	total->calls += c + 1;
	total->messages += n;
	return NULL;
}

static void
run_thread(int lfd)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	while (!over) {
		int fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);
		pthread_t t;

		calls += 2; /* accept, and clone for the thread */
		if (fd < 0)
			continue;
		if (pthread_create(
			&t, &attr, thread_conn, (void *)(intptr_t)fd) != 0)
			hang_up(fd);
	}
	/* Threads count when they end: their sockets are shut for them. */
	for (int fd = 3; fd < CONNS; fd++)
		shutdown(fd, SHUT_RDWR);
	for (int i = 0; i < 200; i++)
		poll(NULL, 0, 5);
}

/* Non-blocking, tries every connection all the time. */

static void
run_spin(int lfd)
{
	static int fds[CONNS];
	int n = 0;

	nonblock(lfd);
	while (!over) {
		int fd = take(lfd);
		if (fd >= 0 && n < CONNS)
			fds[n++] = fd;
		for (int i = 0; i < n; i++) {
			if (!echo(fds[i])) {
				hang_up(fds[i]);
				fds[i--] = fds[--n];
			}
		}
	}
}

static void
run_select_one(int lfd)
{
	static bool open[FD_SETSIZE];
	fd_set set;
	int n = 0;

	nonblock(lfd);
	while (!over) {
		FD_ZERO(&set);
		if (n < SELECT_CONNS)
			FD_SET(lfd, &set);
		for (int fd = 0; fd < FD_SETSIZE; fd++)
			if (open[fd])
				FD_SET(fd, &set);
		calls++;
		if (select(FD_SETSIZE, &set, NULL, NULL, NULL) < 0)
			continue;
		for (int fd = 0; fd < FD_SETSIZE; fd++) {
			if (open[fd] && FD_ISSET(fd, &set) && !echo(fd)) {
				hang_up(fd);
				open[fd] = false;
				n--;
			}
		}
		int fd = FD_ISSET(lfd, &set) ? take(lfd) : -1;
		if (fd >= 0 && fd < FD_SETSIZE) {
			open[fd] = true;
			n++;
		} else if (fd >= 0) {
			hang_up(fd);
		}
	}
}

/* FD_SETSIZE asks for processes. */
static void
run_select(int lfd)
{
	pid_t pid[SELECT_PROCS];

	for (int i = 0; i < SELECT_PROCS; i++) {
		if ((pid[i] = fork()) == 0) {
			run_select_one(lfd);
			account();
			_exit(0);
		}
	}
	while (!over)
		pause();
	for (int i = 0; i < SELECT_PROCS; i++)
		kill(pid[i], SIGTERM);
	while (wait(NULL) > 0)
		continue;
}

static void
run_poll(int lfd)
{
	static struct pollfd p[CONNS];
	nfds_t n = 1;

	nonblock(lfd);
	p[0] = (struct pollfd){ .fd = lfd, .events = POLLIN };
	while (!over) {
		calls++;
		if (poll(p, n, -1) < 0)
			continue;
		for (nfds_t i = 1; i < n; i++) {
			if (p[i].revents != 0 && !echo(p[i].fd)) {
				hang_up(p[i].fd);
				p[i--] = p[--n];
			}
		}
		int fd = p[0].revents != 0 ? take(lfd) : -1;
		if (fd >= 0 && n < CONNS)
			p[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	}
}

static void
watch(int ep, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	calls++;
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0)
		die("epoll_ctl");
}

/* Edge-triggered: an edge is used up only by reading until there is no more. */
static bool
echo_all(int fd)
{
	for (;;) {
		calls++;
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0)
			return false;
		messages++;
		calls++;
		if (send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
			return false;
	}
}

static void
epoll_take(int ep, int lfd, uint32_t events)
{
	int fd;

	while ((fd = take(lfd)) >= 0)
		watch(ep, fd, events);
}

static void
run_epoll(int lfd, bool edge)
{
	struct epoll_event e[512];
	int ep = epoll_create1(EPOLL_CLOEXEC);

	nonblock(lfd);
	watch(ep, lfd, EPOLLIN);
	while (!over) {
		calls++;
		int n = epoll_wait(ep, e, 512, -1);
		for (int i = 0; i < n; i++) {
			int fd = e[i].data.fd;

			if (fd == lfd)
				epoll_take(ep, lfd,
				    edge ? EPOLLIN | EPOLLET : EPOLLIN);
			else if (!(edge ? echo_all(fd) : echo(fd)))
				hang_up(fd);
		}
	}
}

#ifdef WR_HAVE_IO_URING

enum {
	ACCEPT,
	RECV,
	SEND,
	CLOSE
};
#define RING_BUFS 4096
#define RING_SIZE 4096

static struct io_uring ring;
static struct io_uring_buf_ring *br;
static char *ring_mem;
static bool multi;
/* One-shot: a buffer a connection, touched when first used. */
static char *conn_mem;

/* user_data: kind, descriptor, length and buffer in one word. */
static uint64_t
tag(unsigned kind, int fd, unsigned bid)
{
	return kind | (uint64_t)fd << 8 | (uint64_t)bid << 40;
}

static struct io_uring_sqe *
sqe(void)
{
	struct io_uring_sqe *s = io_uring_get_sqe(&ring);

	if (s == NULL) {
		calls++;
		io_uring_submit(&ring);
		s = io_uring_get_sqe(&ring);
		assert(s != NULL);
	}
	return s;
}

static void
arm_accept(int lfd)
{
	struct io_uring_sqe *s = sqe();

	if (multi)
		io_uring_prep_multishot_accept(s, lfd, NULL, NULL, 0);
	else
		io_uring_prep_accept(s, lfd, NULL, NULL, 0);
	s->user_data = tag(ACCEPT, lfd, 0);
}

static void
arm_recv(int fd)
{
	struct io_uring_sqe *s = sqe();

	if (multi) {
		io_uring_prep_recv_multishot(s, fd, NULL, 0, 0);
		s->flags |= IOSQE_BUFFER_SELECT;
		s->buf_group = 0;
	} else {
		io_uring_prep_recv(
		    s, fd, conn_mem + (size_t)fd * SIZE, SIZE, 0);
	}
	s->user_data = tag(RECV, fd, 0);
}

static void
arm_close(int fd)
{
	struct io_uring_sqe *s = sqe();

	io_uring_prep_close(s, fd);
	s->user_data = tag(CLOSE, fd, 0);
}

static void
give_back(unsigned bid)
{
	io_uring_buf_ring_add(br, ring_mem + (size_t)bid * RING_SIZE, RING_SIZE,
	    (unsigned short)bid, io_uring_buf_ring_mask(RING_BUFS), 0);
	io_uring_buf_ring_advance(br, 1);
}

static void
got(struct io_uring_cqe *c, int fd)
{
	unsigned bid = c->flags >> IORING_CQE_BUFFER_SHIFT;
	char *mem = multi ? ring_mem + (size_t)bid * RING_SIZE
			  : conn_mem + (size_t)fd * SIZE;
	struct io_uring_sqe *s;

	if (c->res == -ENOBUFS) {
		arm_recv(fd);
		return;
	}
	if (c->res <= 0) {
		arm_close(fd);
		return;
	}
	messages++;
	s = sqe();
	io_uring_prep_send(s, fd, mem, (size_t)c->res, MSG_WAITALL);
	s->user_data = tag(SEND, fd, bid);
	if (multi && !(c->flags & IORING_CQE_F_MORE))
		arm_recv(fd);
}

static void
handle(struct io_uring_cqe *c)
{
	int fd = (int)(c->user_data >> 8 & 0xffffffff);

	switch (c->user_data & 0xff) {
	case ACCEPT:
		if (c->res >= 0)
			arm_recv(c->res);
		if (!(c->flags & IORING_CQE_F_MORE))
			arm_accept(fd);
		break;
	case RECV:
		got(c, fd);
		break;
	case SEND:
		if (multi)
			give_back((unsigned)(c->user_data >> 40));
		else if (c->res > 0)
			arm_recv(fd);
		else
			arm_close(fd);
		break;
	default:
		break;
	}
}

static void *
reserve(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static void
run_uring(int lfd, bool multishot)
{
	struct io_uring_params p = { .flags = IORING_SETUP_SINGLE_ISSUER |
					      IORING_SETUP_DEFER_TASKRUN |
					      IORING_SETUP_CQSIZE,
		.cq_entries = 32768 };
	struct io_uring_buf_reg reg = { .ring_entries = RING_BUFS };

	multi = multishot;
	if (io_uring_queue_init_params(4096, &ring, &p) < 0)
		die("io_uring");
	io_uring_register_ring_fd(&ring);
	conn_mem = reserve((size_t)CONNS * SIZE);
	if (multi) {
		br = reserve(RING_BUFS * sizeof(struct io_uring_buf));
		ring_mem = reserve((size_t)RING_BUFS * RING_SIZE);
		reg.ring_addr = (uint64_t)(uintptr_t)br;
		if (io_uring_register_buf_ring(&ring, &reg, 0) < 0)
			die("buffer ring");
		io_uring_buf_ring_init(br);
		for (unsigned i = 0; i < RING_BUFS; i++)
			give_back(i);
	}
	arm_accept(lfd);
	while (!over) {
		struct io_uring_cqe *c;
		unsigned head, n = 0;

		calls++;
		io_uring_submit_and_wait(&ring, 1);
		io_uring_for_each_cqe(&ring, head, c)
		{
			handle(c);
			n++;
		}
		io_uring_cq_advance(&ring, n);
	}
}
#endif

static int
serve(const char *model, int lfd)
{
	if (strcmp(model, "thread") == 0)
		run_thread(lfd);
	else if (strcmp(model, "spin") == 0)
		run_spin(lfd);
	else if (strcmp(model, "select") == 0)
		run_select(lfd);
	else if (strcmp(model, "poll") == 0)
		run_poll(lfd);
	else if (strcmp(model, "epoll-lt") == 0)
		run_epoll(lfd, false);
	else if (strcmp(model, "epoll-et") == 0)
		run_epoll(lfd, true);
#ifdef WR_HAVE_IO_URING
	else if (strcmp(model, "uring") == 0)
		run_uring(lfd, false);
	else if (strcmp(model, "uring-multi") == 0)
		run_uring(lfd, true);
#endif
	else
		return -1;
	return 0;
}

int
main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_term };
	struct rlimit r;

	if (argc != 3) {
		fprintf(stderr, "usage: modeld MODEL PORT\n");
		return 2;
	}
	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	sigaction(SIGTERM, &sa, NULL);
	total = mmap(NULL, sizeof(*total), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (total == MAP_FAILED)
		die("mmap");
	int lfd = listener((int)strtol(argv[2], NULL, 10));
	printf("ready\n");
	fflush(stdout);
	if (serve(argv[1], lfd) < 0) {
		fprintf(stderr, "modeld: no model %s here\n", argv[1]);
		return 2;
	}
	account();
	printf("{\"calls\":%llu,\"messages\":%llu,\"user_us\":%llu,"
	       "\"sys_us\":%llu,\"switches\":%llu}\n",
	    (unsigned long long)total->calls,
	    (unsigned long long)total->messages,
	    (unsigned long long)total->user_us,
	    (unsigned long long)total->sys_us,
	    (unsigned long long)total->switches);
	return 0;
}
