/* SPDX-License-Identifier: BSD-2-Clause */
/* inherit - sockets from others and for others; see listen.h. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/sock.h"
#include "proc/listens.h"

/* systemd's first descriptor; ours too. */
#define FIRST_FD 3

static const char *const KINDS[] = {
	[WR_LISTEN_TCP] = "tcp",
	[WR_LISTEN_UNIX] = "unix",
	[WR_LISTEN_FD] = "fd",
	[WR_LISTEN_UDP] = "udp",
};

/* -- From whoever started us -------------------------------------------- */

static void
note(struct wr_listens *ls, int fd, struct wr_str name)
{
	struct wr_foreign *f;

	if (ls->n_foreign == WR_FOREIGN_MAX)
		return;
	f = &ls->foreign[ls->n_foreign++];
	*f = (struct wr_foreign){ .fd = fd };
	if (name.len < sizeof(f->name))
		memcpy(f->name, name.p, name.len);
}

static bool
is_stream(int fd)
{
	int type;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	       type == SOCK_STREAM;
}

void
wr_listens_environment(struct wr_listens *ls)
{
	const char *pid = getenv("LISTEN_PID"), *names = NULL;
	long max = sysconf(_SC_OPEN_MAX);
	struct wr_str name, rest = { "", 0 };

	if (pid != NULL && strtol(pid, NULL, 10) == (long)getpid())
		names = getenv("LISTEN_FDNAMES");
	if (names != NULL)
		rest = wr_str_of(names);
	/* Whoever passes descriptors passes the first ones. */
	for (int fd = FIRST_FD; fd < max && fd < FIRST_FD + WR_FOREIGN_MAX;
	     fd++) {
		(void)wr_str_cut(rest, ':', &name, &rest);
		if (!is_stream(fd))
			continue;
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
		note(ls, fd, name);
	}
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
}

int
wr_listens_foreign(const struct wr_listens *ls, const struct wr_want *w)
{
	int err = -EBADF;

	for (unsigned i = 0; i < ls->n_foreign; i++) {
		const struct wr_foreign *f = &ls->foreign[i];
		const char *name = w->listen->text + strlen("fd:");

		if (w->listen->fd >= 0 ? w->listen->fd != f->fd
				       : strcmp(name, f->name) != 0)
			continue;
		if (!f->closed)
			return f->fd;
		err = -ESTALE;
	}
	return err;
}

/* -- What only the old binary serves ------------------------------------- */

void
wr_listens_unnamed(const struct wr_listens *ls, struct wr_text *out)
{
	wr_list_each (n, (struct wr_list *)&ls->addresses) {
		const struct wr_address *a =
		    wr_container_of(n, struct wr_address, link);

		if (a->state == WR_ADDRESS_STRANGE && a->n > 0)
			wr_text_printf(out, " %d", a->port[0].fd);
	}
}

static struct wr_address *
find(struct wr_listens *ls, uint64_t fd)
{
	wr_list_each (n, &ls->addresses) {
		struct wr_address *a =
		    wr_container_of(n, struct wr_address, link);

		if (a->n > 0 && (uint64_t)a->port[0].fd == fd)
			return a;
	}
	return NULL;
}

void
wr_listens_ours(struct wr_listens *ls, struct wr_str numbers)
{
	struct wr_address *a;
	struct wr_str word;
	uint64_t fd;

	wr_list_each (n, &ls->addresses)
		wr_container_of(n, struct wr_address, link)->ours = false;
	while (numbers.len > 0) {
		(void)wr_str_cut(numbers, ' ', &word, &numbers);
		a = wr_str_u64(word, INT32_MAX, &fd) == 0 ? find(ls, fd) : NULL;
		if (a != NULL)
			a->ours = true;
	}
}

/* Of workers; it has been told of it, or may be. */
static bool
is_kept(const struct wr_address *a)
{
	return a->ours && a->way != WR_WAY_CONTROL &&
	       (a->state == WR_ADDRESS_RUN || a->state == WR_ADDRESS_RETIRE);
}

void
wr_listens_stay(struct wr_listens *ls, int slot)
{
	wr_list_each (n, &ls->addresses) {
		struct wr_address *a =
		    wr_container_of(n, struct wr_address, link);
		struct wr_listen_tell t = { .stay = true,
			.fd = -1,
			.text = a->text,
			.cell = a->cell,
			.gen = a->gen != NULL ? a->gen : ls->gen };

		for (uint32_t i = 0; i < a->n && is_kept(a); i++) {
			t.shard = wr_listens_shard_of(a, i);
			if (wr_slots_have(&a->port[i].have, slot))
				ls->tell(ls->arg, slot, &t);
		}
	}
}

void
wr_listens_lend(struct wr_listens *ls, int slot)
{
	wr_list_each (n, &ls->addresses) {
		struct wr_address *a =
		    wr_container_of(n, struct wr_address, link);

		for (uint32_t i = 0; i < a->n && is_kept(a); i++)
			wr_listens_tell_open(ls, a, i, slot);
	}
}

/* -- To a new binary ---------------------------------------------------- */

static bool
is_passed(const struct wr_address *a)
{
	return a->state == WR_ADDRESS_RUN || a->state == WR_ADDRESS_RETIRE;
}

void
wr_listens_write(const struct wr_listens *ls, struct wr_text *out)
{
	char text[WR_ADDR_TEXT];

	for (unsigned i = 0; i < ls->n_foreign; i++)
		if (!ls->foreign[i].closed)
			wr_text_printf(out, "foreign %d %s\n",
			    ls->foreign[i].fd, ls->foreign[i].name);
	wr_list_each (n, (struct wr_list *)&ls->addresses) {
		const struct wr_address *a =
		    wr_container_of(n, struct wr_address, link);

		if (!is_passed(a))
			continue;
		(void)wr_addr_text(&a->addr, text, sizeof(text));
		wr_text_printf(out, "address %s %d %ju %ju %s\n",
		    KINDS[a->kind],
		    a->kind == WR_LISTEN_FD ? a->foreign : a->filtered,
		    (uintmax_t)a->file.st_dev, (uintmax_t)a->file.st_ino, text);
		for (uint32_t i = 0; i < a->n; i++)
			wr_text_printf(out, "port %d %d\n", a->port[i].fd,
			    a->port[i].listening);
	}
}

static void
pass(int fd, bool on)
{
	(void)fcntl(fd, F_SETFD, on ? 0 : FD_CLOEXEC);
}

void
wr_listens_pass(const struct wr_listens *ls, bool on)
{
	for (unsigned i = 0; i < ls->n_foreign; i++)
		if (!ls->foreign[i].closed)
			pass(ls->foreign[i].fd, on);
	wr_list_each (n, (struct wr_list *)&ls->addresses) {
		const struct wr_address *a =
		    wr_container_of(n, struct wr_address, link);

		for (uint32_t i = 0; i < a->n && is_passed(a); i++)
			pass(a->port[i].fd, on);
	}
}

/* -- From an old binary ------------------------------------------------- */

/* The next word of *s as a number; false if it is none. */
static bool
number(struct wr_str *s, uint64_t max, uint64_t *out)
{
	struct wr_str word;

	(void)wr_str_cut(*s, ' ', &word, s);
	return wr_str_u64(word, max, out) == 0;
}

static int
read_foreign(struct wr_listens *ls, struct wr_str s)
{
	uint64_t fd;

	if (!number(&s, INT32_MAX, &fd) || !is_stream((int)fd))
		return -EPROTO;
	pass((int)fd, false);
	note(ls, (int)fd, s);
	return 0;
}

static int
read_address(struct wr_listens *ls, struct wr_str s)
{
	struct wr_str kind, addr;
	uint64_t number_or_filter, dev, ino;
	struct wr_listen listen = { .kind = WR_COUNT(KINDS) };
	struct wr_listener_conf listener = { .uid = WR_OFF, .gid = WR_OFF };
	struct wr_want w;
	struct wr_address *a;
	char text[WR_ADDR_TEXT];

	(void)wr_str_cut(s, ' ', &kind, &s);
	for (unsigned i = 0; i < WR_COUNT(KINDS); i++)
		if (wr_str_is(kind, KINDS[i]))
			listen.kind = (enum wr_listen_kind)i;
	if (listen.kind == WR_COUNT(KINDS) ||
	    !number(&s, INT32_MAX, &number_or_filter) ||
	    !number(&s, UINT64_MAX, &dev) || !number(&s, UINT64_MAX, &ino) ||
	    s.len >= sizeof(text))
		return -EPROTO;
	addr = s;
	if (listen.kind == WR_LISTEN_UDP && wr_str_starts(s, "udp:"))
		addr = (struct wr_str){ s.p + 4, s.len - 4 };
	if (listen.kind != WR_LISTEN_FD &&
	    wr_addr_parse(&listen.addr, addr, -1) < 0)
		return -EPROTO;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	listen.text = text;
	listen.fd = (int)number_or_filter;
	w = wr_want_of(&listener, &listen);
	a = wr_address_new(&w);
	if (a == NULL)
		return -ENOMEM;
	a->filtered = a->kind != WR_LISTEN_FD && number_or_filter != 0;
	a->file.st_dev = (dev_t)dev;
	a->file.st_ino = (ino_t)ino;
	a->state = WR_ADDRESS_STRANGE;
	a->want = (struct wr_want){ 0 };
	a->tag = ls->tags++;
	wr_list_push(&ls->addresses, &a->link);
	return 0;
}

static int
read_port(struct wr_listens *ls, struct wr_str s)
{
	struct wr_address *a;
	uint64_t fd, listening;
	int err;

	if (wr_list_empty(&ls->addresses) || !number(&s, INT32_MAX, &fd) ||
	    !number(&s, 1, &listening))
		return -EPROTO;
	a = wr_container_of(
	    wr_list_last(&ls->addresses), struct wr_address, link);
	if (is_stream((int)fd) == (a->kind == WR_LISTEN_UDP))
		return -EPROTO;
	pass((int)fd, false);
	if (a->kind == WR_LISTEN_FD && a->n == 0 &&
	    wr_sock_name((int)fd, &a->addr) < 0)
		return -EPROTO;
	err = wr_address_add(a, (int)fd, listening != 0);
	if (err < 0)
		return err;
	a->port[a->n - 1].fresh = false;
	a->port[a->n - 1].elder = true;
	if (listening != 0 && a->kind != WR_LISTEN_UNIX &&
	    a->n <= WR_WORKERS_MAX)
		ls->live[a->n - 1] = true;
	return 0;
}

int
wr_listens_read(struct wr_listens *ls, struct wr_str text)
{
	struct wr_str line, word;

	while (text.len > 0) {
		int err = -EPROTO;

		(void)wr_str_cut(text, '\n', &line, &text);
		(void)wr_str_cut(line, ' ', &word, &line);
		if (wr_str_is(word, "foreign"))
			err = read_foreign(ls, line);
		else if (wr_str_is(word, "address"))
			err = read_address(ls, line);
		else if (wr_str_is(word, "port"))
			err = read_port(ls, line);
		if (err < 0)
			return err;
	}
	/* A hole is as good as live: it listens from the commit on. */
	for (uint32_t i = wr_listens_shards(ls); i > 0; i--)
		ls->live[i - 1] = true;
	return 0;
}

uint32_t
wr_listens_shards(const struct wr_listens *ls)
{
	uint32_t n = WR_WORKERS_MAX;

	while (n > 0 && !ls->live[n - 1])
		n--;
	return n;
}
