/* SPDX-License-Identifier: BSD-2-Clause */
/* begin - connect, accept, watch. */
#include "t/unit/conform.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#ifdef __linux__
#include <sys/eventfd.h>
#include <sys/syscall.h>
#endif

/* -- Connect ------------------------------------------------------------- */

static int
dial(struct wr_loop *l, struct end *e, const struct wr_addr *a)
{
	int fd = wr_sock_stream(a->sa.sa_family);

	end_init(l, e, fd);
	return wr_connect(l, &e->k, &a->sa, a->len, on_out);
}

static void
connect_works(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct wr_addr a, me;
	int listener = tcp_listener(&a, 8), fd;
	struct end e;
	char text[8];

	check_int(dial(l, &e, &a), 0);
	memset(&a, 0xff, sizeof(a)); /* it was copied */
	until(l, e.outs > 0);
	check_int(e.out_res, 0);
	check_int(wr_sock_nonblock(listener, false), 0);
	fd = accept(listener, NULL, NULL);
	check(fd >= 0 && wr_sock_name(e.k.fd, &me) == 0);
	end_text(l, &e, "hi");
	end_recv(l, &e, 0);
	until(l, e.outs > 1);
	check_int(recv(fd, text, sizeof(text), 0), 2);
	raw_write(fd, "ho", 2);
	end_take(l, &e, 2);
	check(strcmp(e.text, "ho") == 0);
	end_close(l, &e);
	(void)close(fd);
	(void)close(listener);
	loop_end(l);
}

static void
connect_is_refused(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct wr_addr a;
	struct end e;

	(void)close(tcp_listener(&a, 8));
	for (int i = 0; i < 20; i++) {
		check_int(dial(l, &e, &a), 0);
		check_int(e.outs, 0);
		until(l, e.outs > 0);
		check_int(e.out_res, -ECONNREFUSED);
		end_close(l, &e);
	}
	check_int(wr_addr_parse(&a, WR_STR("unix:/nowhere/s"), -1), 0);
	check_int(dial(l, &e, &a), 0);
	until(l, e.outs > 0);
	check_int(e.out_res, -ENOENT);
	end_close(l, &e);
	loop_end(l);
}

static struct wr_op *to_cancel;

static void
on_connect_timeout(struct wr_loop *l, struct wr_timer *t)
{
	(void)t;
	wr_cancel(l, to_cancel);
}

static void
connect_times_out(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct wr_timer t = { 0 };
	struct wr_addr a;
	int listener = tcp_listener(&a, 0), n = 0;
	struct end e[4];

	/* A full queue drops a SYN, and a second passes until the next. */
	for (; n < 4; n++) {
		check_int(dial(l, &e[n], &a), 0);
		for (int i = 0; i < 20 && e[n].outs == 0; i++)
			wr_loop_turn(l, 1);
		if (e[n].outs == 0)
			break;
		check_int(e[n].out_res, 0);
	}
	check(n < 4);
	to_cancel = &e[n].k.out;
	wr_timer_set(l, &t, 20, on_connect_timeout);
	until(l, e[n].outs > 0);
	check_int(e[n].out_res, -ECANCELED);
	check(!wr_timer_is_set(&t));
	for (int i = 0; i <= n; i++)
		end_close(l, &e[i]);
	(void)close(listener);
	loop_end(l);
}

/* -- Accept -------------------------------------------------------------- */

#define CROWD 200

static struct {
	int fds[CROWD], n, last, limit;
	bool ended, bad;
	int *shared; /* tell it how many */
} came;

static void
on_accept(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	came.last = d->res;
	if (!(d->flags & WR_MORE))
		came.ended = true;
	if (d->res < 0)
		return;
	came.bad |= came.n == CROWD || fcntl(d->res, F_GETFD) != FD_CLOEXEC ||
		    (d->peer != NULL && d->peer->sa_family != AF_INET);
	if (came.n < CROWD)
		came.fds[came.n++] = d->res;
	if (came.shared != NULL)
		*came.shared = came.n;
	if (came.n == came.limit)
		wr_cancel(l, op);
}

static void
came_reset(void)
{
	for (int i = 0; i < came.n; i++)
		(void)close(came.fds[i]);
	memset(&came, 0, sizeof(came));
}

static int
client(const struct wr_addr *a)
{
	int fd = socket(a->sa.sa_family, SOCK_STREAM, 0);

	if (connect(fd, &a->sa, a->len) != 0)
		say("connect: %s", strerror(errno));
	return fd;
}

static void
a_crowd_is_accepted(void)
{
	for (unsigned flags = 0; flags <= WR_SHARED; flags += WR_SHARED) {
		struct wr_loop *l = loop_begin(NULL);
		struct wr_addr a;
		struct end e;
		int fds[CROWD];

		came_reset();
		end_init(l, &e, tcp_listener(&a, CROWD));
		check_int(wr_accept(l, &e.k, flags, on_accept), 0);
		turns(l, 2);
		check_int(came.n, 0);
		for (int i = 0; i < CROWD; i++) {
			fds[i] = client(&a);
			if (i % 50 == 0)
				wr_loop_turn(l, 0);
		}
		until(l, came.n == CROWD);
		check_int(came.n, CROWD);
		check(!came.ended && !came.bad);
		wr_cancel(l, &e.k.in);
		until(l, came.ended);
		check_int(came.last, -ECANCELED);
		/* Who comes now is for later. */
		(void)close(fds[0]);
		came_reset();
		fds[0] = client(&a);
		turns(l, 3);
		check_int(came.n, 0);
		check_int(wr_accept(l, &e.k, flags, on_accept), 0);
		until(l, came.n == 1);
		check_int(came.n, 1);
		end_close(l, &e);
		check(!came.ended); /* closed: nothing is told */
		came_reset();
		for (int i = 0; i < CROWD; i++)
			(void)close(fds[i]);
		loop_end(l);
	}
}

/* Cancelled while it lets in a crowd, and many of them go on waiting: they do
 * not keep us busy. */
static void
accept_stops(void)
{
	struct wr_loop *l = loop_begin(NULL);
	const struct wr_loop_stats *s = wr_loop_stats(l);
	uint64_t before, end;
	struct wr_addr a;
	struct end e;
	int fds[CROWD];

	came_reset();
	came.limit = 5; /* within a burst */
	end_init(l, &e, tcp_listener(&a, CROWD));
	for (int i = 0; i < CROWD; i++)
		fds[i] = client(&a);
	check_int(wr_accept(l, &e.k, WR_FEW, on_accept), 0);
	until(l, came.ended);
	check_int(came.last, -ECANCELED);
	check(is_chaos() || came.n == came.limit);
	before = s->turns;
	for (end = now_ms() + 100; now_ms() < end;)
		wr_loop_turn(l, 20);
	check(is_chaos() || s->turns - before < 20);
	end_close(l, &e);
	came_reset();
	for (int i = 0; i < CROWD; i++)
		(void)close(fds[i]);
	loop_end(l);
}

static void
accept_without_descriptors(void)
{
	struct wr_loop *l = loop_begin(NULL);
	const struct wr_loop_stats *s = wr_loop_stats(l);
	struct rlimit was, none;
	struct wr_addr a;
	uint64_t before, end;
	struct end e, idle;
	const char *preload;
	int fds[2], c, more = -1;

	came_reset();
	tcp_pair(fds);
	end_init(l, &idle, fds[0]);
	end_recv(l, &idle, 0);
	end_init(l, &e, tcp_listener(&a, 8));
	/* Some kernels look at the limit when accepting is begun. */
	c = socket(AF_INET, SOCK_STREAM, 0);
	(void)getrlimit(RLIMIT_NOFILE, &was);
	none = was;
	none.rlim_cur = (rlim_t)dup(c); /* the lowest that is free */
	(void)close((int)none.rlim_cur);
	(void)setrlimit(RLIMIT_NOFILE, &none);
	check_int(wr_accept(l, &e.k, 0, on_accept), 0);
	turns(l, 2);
	check_int(connect(c, &a.sa, a.len), 0);
	until(l, came.ended);
	check(came.ended && came.last == -EMFILE);
	/* Paused: the waiting client does not keep us busy. */
	before = s->turns;
	for (end = now_ms() + 100; now_ms() < end;)
		wr_loop_turn(l, 20);
	check(s->turns - before < 20);
	/* Others are served meanwhile. */
	raw_write(fds[1], "x", 1);
	until(l, idle.ins > 0);
	check_int(idle.in_res, 1);
	(void)setrlimit(RLIMIT_NOFILE, &was);
	came_reset();
	check_int(wr_accept(l, &e.k, 0, on_accept), 0);
	/* valgrind makes the limit up: it accepts the first, and closes it. */
	preload = getenv("LD_PRELOAD");
	if (preload != NULL && strstr(preload, "vgpreload") != NULL)
		more = client(&a);
	until(l, came.n > 0);
	check_int(came.n, 1);
	came_reset();
	end_close(l, &e);
	end_close(l, &idle);
	(void)close(c);
	if (more >= 0)
		(void)close(more);
	(void)close(fds[1]);
	loop_end(l);
}

#define SHARED 60

/* Accept until the parent says that all are here. */
static int
sharer(struct wr_loop *inherited, int fd, int quit)
{
	struct end e, q;
	struct wr_loop *l;

	wr_loop_abandon(&inherited);
	l = loop_begin(NULL);
	end_init(l, &e, fd);
	end_init(l, &q, quit);
	if (wr_accept(l, &e.k, WR_SHARED, on_accept) != 0)
		return 255;
	end_recv(l, &q, 0);
	until(l, q.ins > 0);
	end_close(l, &e);
	end_close(l, &q);
	wr_loop_free(&l);
	return came.n;
}

static void
two_processes_accept_from_one_socket(void)
{
	struct wr_loop *l = loop_begin(NULL);
	int fds[SHARED], quit[2], status = 0;
	int *theirs = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct wr_addr a;
	struct end e;
	pid_t pid;

	came_reset();
	unix_pair(quit);
	end_init(l, &e, tcp_listener(&a, SHARED));
	pid = fork();
	if (pid == 0) {
		came.shared = theirs;
		(void)close(quit[0]);
		_exit(sharer(l, e.k.fd, quit[1]));
	}
	(void)close(quit[1]);
	/* Whoever is quicker; but we stop early, and nobody is forgotten
	 * then. */
	came.limit = 20;
	check_int(wr_accept(l, &e.k, WR_SHARED, on_accept), 0);
	for (int i = 0; i < SHARED; i++) {
		fds[i] = client(&a);
		wr_loop_turn(l, 0);
	}
	until(l, came.n + *theirs == SHARED);
	(void)close(quit[0]);
	until(l, waitpid(pid, &status, WNOHANG) != 0);
	check(WIFEXITED(status));
	check_int(came.n + WEXITSTATUS(status), SHARED);
	came_reset();
	end_close(l, &e);
	for (int i = 0; i < SHARED; i++)
		(void)close(fds[i]);
	(void)munmap(theirs, sizeof(int));
	loop_end(l);
}

/* -- Watch --------------------------------------------------------------- */

static void
watch(struct wr_loop *l, struct end *e, enum wr_op_kind kind)
{
	check_int(
	    wr_watch(l, &e->k, kind, kind == WR_OP_READABLE ? on_in : on_out),
	    0);
}

/* It tells what is, not what has changed: the caller may leave bytes. */
static void
watch_a_pipe(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end r, w;
	static char mem[1 << 20];
	int fds[2];

	if (pipe(fds) != 0)
		return;
	end_init(l, &r, fds[0]);
	end_init(l, &w, fds[1]);
	watch(l, &r, WR_OP_READABLE);
	watch(l, &w, WR_OP_WRITABLE);
	until(l, w.outs == 1);
	check_int(w.out_res, 0);
	check_int(r.ins, 0);
	check_int(write(fds[1], "abc", 3), 3);
	for (int i = 1; i <= 3; i++) {
		until(l, r.ins == i);
		check_int(r.ins, i);
		check_int(read(fds[0], mem, 1), 1);
		watch(l, &r, WR_OP_READABLE);
	}
	turns(l, 3);
	check_int(r.ins, 3); /* empty now */
	check_int(wr_sock_nonblock(fds[1], true), 0);
	while (write(fds[1], mem, sizeof(mem)) > 0)
		continue;
	until(l, r.ins == 4);
	watch(l, &w, WR_OP_WRITABLE);
	turns(l, 3);
	check_int(w.outs, 1); /* full */
	check_int(read(fds[0], mem, 16384), 16384);
	until(l, w.outs == 2);
	check_int(w.out_res, 0);
	watch(l, &r, WR_OP_READABLE);
	until(l, r.ins == 5);
	end_close(l, &w);
	watch(l, &r, WR_OP_READABLE); /* the end is readable */
	until(l, r.ins == 6);
	check_int(r.in_res, 0);
	end_close(l, &r);
	loop_end(l);
}

static void
cancel_a_watch(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end r;
	int fds[2];

	if (pipe(fds) != 0)
		return;
	end_init(l, &r, fds[0]);
	watch(l, &r, WR_OP_READABLE);
	turns(l, 2);
	wr_cancel(l, &r.k.in);
	until(l, r.ins == 1);
	check_int(r.in_res, -ECANCELED);
	check_int(write(fds[1], "x", 1), 1);
	turns(l, 3);
	check_int(r.ins, 1);
	watch(l, &r, WR_OP_READABLE);
	until(l, r.ins == 2);
	check_int(r.in_res, 0);
	end_close(l, &r);
	(void)close(fds[1]);
	loop_end(l);
}

#ifdef __linux__

static void
watch_a_process(struct wr_loop *l)
{
	struct end process;
	pid_t pid = fork();
	int fd;

	if (pid == 0) {
		(void)pause();
		_exit(0);
	}
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0) { /* valgrind has none */
		say("no pidfd: %s", strerror(errno));
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return;
	}
	end_init(l, &process, fd);
	watch(l, &process, WR_OP_READABLE);
	turns(l, 2);
	check_int(process.ins, 0);
	(void)kill(pid, SIGKILL);
	until(l, process.ins == 1);
	check_int(process.in_res, 0);
	check_int(waitpid(pid, NULL, 0), pid);
	end_close(l, &process);
}

static void
watch_other_things(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end event, file, listener;
	uint64_t value = 1;
	struct wr_addr a;
	int c;

	end_init(l, &event, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	watch(l, &event, WR_OP_READABLE);
	turns(l, 2);
	for (int i = 1; i <= 3; i++) {
		check_int(event.ins, i - 1);
		check_int(write(event.k.fd, &value, 8), 8);
		until(l, event.ins == i);
		watch(l, &event, WR_OP_READABLE);
		until(l, event.ins == i + 1); /* not read yet */
		event.ins--;
		check_int(read(event.k.fd, &value, 8), 8);
		watch(l, &event, WR_OP_READABLE);
		turns(l, 2);
	}
	watch_a_process(l);
	/* A file is always ready. */
	end_init(l, &file, open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	watch(l, &file, WR_OP_READABLE);
	check_int(file.ins, 0);
	until(l, file.ins == 1);
	check_int(file.in_res, 0);
	end_init(l, &listener, tcp_listener(&a, 8));
	watch(l, &listener, WR_OP_READABLE);
	turns(l, 2);
	check_int(listener.ins, 0);
	c = client(&a);
	until(l, listener.ins == 1);
	check_int(listener.in_res, 0);
	end_close(l, &event);
	end_close(l, &file);
	end_close(l, &listener);
	(void)close(c);
	loop_end(l);
}

#endif

/* A caller may move bytes by itself in between (splice). */
static void
watch_a_socket(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end a;
	char text[8];
	int fds[2], ins;

	tcp_pair(fds);
	end_init(l, &a, fds[0]);
	end_recv(l, &a, 0);
	raw_write(fds[1], "one", 3);
	end_take(l, &a, 3);
	check_int(a.got, 3);
	ins = a.ins;
	watch(l, &a, WR_OP_READABLE);
	turns(l, 2);
	check_int(a.ins, ins);
	raw_write(fds[1], "two", 3);
	until(l, a.ins == ins + 1);
	watch(l, &a, WR_OP_READABLE);
	until(l, a.ins == ins + 2);
	check_int(recv(fds[0], text, 8, MSG_DONTWAIT), 3);
	end_recv(l, &a, 0);
	turns(l, 2);
	check_int(a.ins, ins + 2);
	raw_write(fds[1], "six", 3);
	end_take(l, &a, 6);
	check_int(a.got, 6);
	watch(l, &a, WR_OP_WRITABLE);
	until(l, a.outs == 1);
	check_int(a.out_res, 0);
	end_close(l, &a);
	(void)close(fds[1]);
	loop_end(l);
}

#define CROWDED 300

static int
crowd_ins(const struct end *e)
{
	int ins = 0;

	for (int i = 0; i < CROWDED; i++)
		ins += e[i].ins;
	return ins;
}

/* More than a kernel takes at a time. */
static void
all_begin_in_one_turn(void)
{
	struct wr_loop *l = loop_begin(NULL);
	static struct end e[CROWDED];
	static int peers[CROWDED];
	int fds[2];

	for (int i = 0; i < CROWDED; i++) {
		unix_pair(fds);
		peers[i] = fds[1];
		end_init(l, &e[i], fds[0]);
		end_recv(l, &e[i], 0);
	}
	turns(l, 3);
	for (int i = 0; i < CROWDED; i++)
		raw_write(peers[i], "x", 1);
	until(l, crowd_ins(e) == CROWDED);
	check_int(crowd_ins(e), CROWDED);
	for (int i = 0; i < CROWDED; i++) {
		end_recv(l, &e[i], 0);
		wr_close(l, &e[i].k, on_close);
		(void)close(peers[i]);
	}
	until(l, wr_loop_stats(l)->socks == 0);
	loop_end(l);
}

static void
too_many_sockets_are_refused(void)
{
	const struct wr_loop_conf c = { .socks_max = 2 };
	struct wr_loop *l = loop_begin(&c);
	struct end a, b;
	struct wr_sock k;
	int fds[2], more[2];

	unix_pair(fds);
	unix_pair(more);
	end_init(l, &a, fds[0]);
	end_init(l, &b, fds[1]);
	check_int(wr_sock_init(l, &k, more[0]), -EMFILE);
	if (wr_loop_limit(l) <= 4096) {
		int high = fcntl(more[0], F_DUPFD, (int)wr_loop_limit(l));

		end_close(l, &b);
		check(high >= 0 && wr_sock_init(l, &k, high) == -EMFILE);
		check(fcntl(high, F_GETFD) >= 0); /* still ours */
		(void)close(high);
	}
	end_close(l, &a);
	if (!b.closes)
		end_close(l, &b);
	(void)close(more[0]);
	(void)close(more[1]);
	loop_end(l);
}

const struct test tests_begin[] = {
	{ "connect", connect_works },
	{ "connect refused", connect_is_refused },
	{ "connect timed out", connect_times_out },
	{ "accept", a_crowd_is_accepted },
	{ "accept stops", accept_stops },
	{ "accept without descriptors", accept_without_descriptors },
	{ "shared accept", two_processes_accept_from_one_socket },
	{ "watch a pipe", watch_a_pipe },
	{ "cancel a watch", cancel_a_watch },
#ifdef __linux__
	{ "watch other things", watch_other_things },
#endif
	{ "watch a socket", watch_a_socket },
	{ "crowd", all_begin_in_one_turn },
	{ "limits", too_many_sockets_are_refused },
	{ NULL, NULL },
};
