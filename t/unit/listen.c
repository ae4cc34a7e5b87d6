/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "proc/address.h"
#include "proc/reload.h"

#include "tap.h"

/* -- A configuration by hand -------------------------------------------- */

#define ADDRESSES 8

static struct wr_listener_conf listener[ADDRESSES];
static struct wr_listener_conf *listeners[ADDRESSES];
static struct wr_listen entry[ADDRESSES];
static struct wr_conf conf;
static struct wr_gen gens[8], *gen;
static int n_gens;

/* Generations are the configuration's; here they are only counted. */
struct wr_gen *
wr_gen_get(struct wr_gen *g)
{
	g->users++;
	return g;
}

void
wr_gen_put(struct wr_gen **g)
{
	(*g)->users--;
	*g = NULL;
}

static void
fresh_conf(void)
{
	memset(&conf, 0, sizeof(conf));
	memset(listener, 0, sizeof(listener));
	memset(entry, 0, sizeof(entry));
	conf.listeners = listeners;
	gen = &gens[n_gens++ % 8];
	*gen = (struct wr_gen){ .conf = &conf,
		.generation = (uint64_t)n_gens,
		.users = 1,
		.fd = -1 };
}

static struct wr_listener_conf *
want(const char *text)
{
	struct wr_listener_conf *l = &listener[conf.n_listeners];
	struct wr_listen *e = &entry[conf.n_listeners];

	l->name = "l";
	l->listens = e;
	l->n_listens = 1;
	l->backlog = 16;
	l->mode = 0600;
	l->uid = l->gid = WR_OFF;
	l->cell = conf.n_listeners;
	e->text = text;
	e->where = "x.conf:7";
	e->fd = -1;
	if (strncmp(text, "fd:", 3) == 0) {
		e->kind = WR_LISTEN_FD;
		if (text[3] >= '0' && text[3] <= '9')
			e->fd = (int)strtol(text + 3, NULL, 10);
	} else {
		e->kind = strncmp(text, "unix:", 5) == 0 ? WR_LISTEN_UNIX
							 : WR_LISTEN_TCP;
		ok(wr_addr_parse(&e->addr, wr_str_of(text), -1) == 0);
	}
	listeners[conf.n_listeners++] = l;
	return l;
}

/* -- What processes are told -------------------------------------------- */

static char told[4096];
static int told_fd;

static void
on_tell(void *arg, int slot, const struct wr_listen_tell *t)
{
	size_t n = strlen(told);

	(void)arg;
	(void)snprintf(told + n, sizeof(told) - n, "%s %d %s/%u%s; ",
	    t->stay   ? "stay"
	    : t->open ? "open"
		      : "shut",
	    slot, t->text, t->shard, t->shared ? " shared" : "");
	if (t->open)
		told_fd = t->fd;
}

static const char *
heard(void)
{
	static char last[sizeof(told)];

	memcpy(last, told, sizeof(told));
	told[0] = '\0';
	return last;
}

static struct wr_text errors, changes;

static const char *
text_of(struct wr_text *t)
{
	static char last[4096];

	(void)snprintf(last, sizeof(last), "%s", t->len > 0 ? t->p : "");
	wr_text_reset(t);
	return last;
}

static struct wr_listens *
start(uint32_t shards)
{
	struct wr_listens *ls = wr_listens_new(on_tell, NULL);

	ok(wr_listens_bind(ls, gen, shards, &errors) == 0);
	(void)wr_listens_commit(ls, gen, 1000, &changes);
	for (uint32_t i = 0; i < shards; i++)
		wr_listens_live(ls, i);
	(void)text_of(&changes);
	(void)heard();
	return ls;
}

static void
reload(struct wr_listens *ls, uint32_t shards, uint64_t now)
{
	ok(wr_listens_bind(ls, gen, shards, &errors) == 0);
	is_int(wr_listens_commit(ls, gen, now, &changes), 0);
}

/* -- Clients ------------------------------------------------------------ */

/* A connection that was accepted by the kernel, or -errno. */
static int
dial(const char *text)
{
	struct wr_addr a;
	int fd;

	if (wr_addr_parse(&a, wr_str_of(text), -1) < 0)
		return -EINVAL;
	fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, &a.sa, a.len) == 0)
		return fd;
	(void)close(fd);
	return -errno;
}

static bool
is_refused(const char *text)
{
	int fd = dial(text);

	if (fd >= 0)
		(void)close(fd);
	return fd < 0;
}

/* Take one client from a listening socket; it must be there. */
static bool
take(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int c;

	if (poll(&p, 1, 1000) != 1)
		return false;
	c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	if (c >= 0)
		(void)close(c);
	return c >= 0;
}

/* -- Promises ----------------------------------------------------------- */

static void
what_an_entry_means(void)
{
	struct wr_listener_conf l = { .protocol = WR_TCP };
	struct wr_listen tcp = { .kind = WR_LISTEN_TCP };
	struct wr_listen un = { .kind = WR_LISTEN_UNIX };
	struct wr_listen fd = { .kind = WR_LISTEN_FD, .fd = 5 };

	ok(wr_want_of(&l, &tcp).way == WR_WAY_SHARDED);
	ok(wr_want_of(&l, &un).way == WR_WAY_SHARED);
	is_int(wr_want_of(&l, &fd).foreign, 5);
	l.protocol = WR_STATUS;
	ok(wr_want_of(&l, &tcp).way == WR_WAY_CONTROL);
	ok(wr_want_of(&l, &un).way == WR_WAY_CONTROL);
}

static void
a_build_binds_and_does_not_listen(void)
{
	struct wr_listens *ls = wr_listens_new(on_tell, NULL);

	fresh_conf();
	want("127.0.0.1:7001");
	ok(wr_listens_bind(ls, gen, 2, &errors) == 0);
	ok(is_refused("127.0.0.1:7001"));
	wr_listens_abort(ls);

	/* Nothing is left of it. */
	ok(wr_listens_bind(ls, gen, 2, &errors) == 0);
	is_int(wr_listens_commit(ls, gen, 1000, &changes), 0);
	ok(is_refused("127.0.0.1:7001"));
	wr_listens_live(ls, 0);
	ok(!is_refused("127.0.0.1:7001"));
	wr_listens_free(&ls);
	ok(ls == NULL && gen->users == 1);
}

static void
each_worker_gets_its_shards(void)
{
	struct wr_listens *ls;

	fresh_conf();
	want("127.0.0.1:7002");
	want("127.0.0.1:7003")->protocol = WR_STATUS;
	want("unix:listen.test.sock");
	ls = start(2);
	wr_listens_open(ls, 4, 1);
	is_str(heard(), "open 4 127.0.0.1:7002/1; ");
	wr_listens_open(ls, 4, 1);
	is_str(heard(), "");
	wr_listens_open(ls, 4, WR_SHARD_SHARED);
	ok(strstr(heard(), "open 4 unix:listen.test.sock/") != NULL);
	wr_listens_open(ls, 9, WR_SHARD_CONTROL);
	is_str(heard(), "open 9 127.0.0.1:7003/0; ");
	wr_listens_shut(ls, 4, 1);
	is_str(heard(), "shut 4 127.0.0.1:7002/1; ");
	wr_listens_shut(ls, 4, 1);
	is_str(heard(), "");
	wr_listens_gone(ls, 9);
	wr_listens_open(ls, 9, WR_SHARD_CONTROL);
	is_str(heard(), "open 9 127.0.0.1:7003/0; ");
	wr_listens_unlink(ls);
	wr_listens_free(&ls);
	ok(access("listen.test.sock", F_OK) != 0);
}

static void
errors_name_place_and_address(void)
{
	struct wr_listens *ls = wr_listens_new(on_tell, NULL);
	struct wr_addr a;
	int stranger = socket(AF_INET, SOCK_STREAM, 0);

	ok(wr_addr_parse(&a, WR_STR("127.0.0.1:7004"), -1) == 0);
	ok(bind(stranger, &a.sa, a.len) == 0 && listen(stranger, 1) == 0);
	fresh_conf();
	want("127.0.0.1:7005");
	want("127.0.0.1:7004");
	want("192.0.2.1:7006");
	want("fd:99");
	is_int(wr_listens_bind(ls, gen, 2, &errors), -1);
	is_str(text_of(&errors),
	    "x.conf:7: listen = \"127.0.0.1:7004\": Address already in use "
	    "(another program has it)\n"
	    "x.conf:7: listen = \"192.0.2.1:7006\": Cannot assign requested "
	    "address (this machine has no such address)\n"
	    "x.conf:7: listen = \"fd:99\": Bad file descriptor (no such "
	    "descriptor was inherited)\n");
	/* A stranger is found even if it shares its port. */
	(void)close(stranger);
	stranger = socket(AF_INET, SOCK_STREAM, 0);
	ok(setsockopt(stranger, SOL_SOCKET, SO_REUSEPORT, &(int){ 1 },
	       sizeof(int)) == 0);
	ok(bind(stranger, &a.sa, a.len) == 0 && listen(stranger, 1) == 0);
	fresh_conf();
	want("127.0.0.1:7004");
	is_int(wr_listens_bind(ls, gen, 1, &errors), -1);
	(void)text_of(&errors);
	(void)close(stranger);
	ok(wr_listens_bind(ls, gen, 1, &errors) == 0);
	wr_listens_free(&ls);
}

static void
a_wider_address_may_replace_a_narrower(void)
{
	struct wr_listens *ls;
	int c;

	fresh_conf();
	want("127.0.0.1:7007");
	ls = start(2);
	fresh_conf();
	want("*:7007");
	reload(ls, 2, 2000);
	is_str(text_of(&changes),
	    "address 127.0.0.1:7007: removed\naddress *:7007: added\n");
	/* It is soon out of the way, so that clients find the wider one. */
	for (uint64_t now = 2250; now <= 3000; now += 250)
		wr_listens_tick(ls, now);
	c = dial("127.0.0.1:7007");
	ok(c >= 0);
	(void)close(c);
	wr_listens_free(&ls);
}

static void
what_stays_is_not_touched(void)
{
	struct wr_listens *ls;
	int c, fd;

	fresh_conf();
	want("127.0.0.1:7008");
	ls = start(1);
	wr_listens_open(ls, 1, 0);
	(void)heard();
	fd = told_fd;
	c = dial("127.0.0.1:7008");
	ok(c >= 0);
	fresh_conf();
	want("127.0.0.1:7009");
	want("127.0.0.1:7008")->cell = 0;
	reload(ls, 3, 2000);
	is_str(text_of(&changes), "address 127.0.0.1:7009: added\n");
	wr_listens_open(ls, 1, 0);
	is_str(heard(), "open 1 127.0.0.1:7009/0; ");
	ok(take(fd));
	(void)close(c);

	/* A failed try leaves it alone too. */
	fresh_conf();
	want("192.0.2.1:7006");
	is_int(wr_listens_bind(ls, gen, 3, &errors), -1);
	(void)text_of(&errors);
	c = dial("127.0.0.1:7008");
	ok(c >= 0 && take(fd));
	(void)close(c);
	wr_listens_free(&ls);
}

static void
another_listener_is_told_anew(void)
{
	struct wr_listens *ls;

	fresh_conf();
	want("127.0.0.1:7010");
	ls = start(1);
	wr_listens_open(ls, 1, 0);
	(void)heard();
	fresh_conf();
	want("127.0.0.1:7010")->cell = 5;
	reload(ls, 1, 2000);
	wr_listens_open(ls, 1, 0);
	is_str(heard(), "shut 1 127.0.0.1:7010/0; open 1 127.0.0.1:7010/0; ");
	wr_listens_free(&ls);
}

static void
a_removed_address_serves_who_waits_then_closes(void)
{
	struct wr_listens *ls;
	struct wr_gen *old;
	int c, fd;

	fresh_conf();
	want("127.0.0.1:7011");
	ls = start(1);
	wr_listens_open(ls, 1, 0);
	(void)heard();
	fd = told_fd;
	c = dial("127.0.0.1:7011");
	old = gen;
	fresh_conf();
	reload(ls, 1, 2000);
	ok(old->users == 2); /* ours and the retired one's */
	/* Nobody accepts for a long time: it is not closed. */
	for (uint64_t now = 2000; now < 60000; now += 250)
		wr_listens_tick(ls, now);
	ok(wr_listens_due(ls) != UINT64_MAX);
	is_str(heard(), "");
	/* A process that comes meanwhile gets it, beside who has it. */
	wr_listens_open(ls, 2, 0);
	is_str(heard(), "open 2 127.0.0.1:7011/0 shared; ");
	ok(take(fd));
	(void)close(c);
	for (uint64_t now = 60000; now < 62750; now += 250)
		wr_listens_tick(ls, now);
	is_str(heard(), "");
	wr_listens_tick(ls, 62750);
	is_str(heard(), "shut 1 127.0.0.1:7011/0; shut 2 127.0.0.1:7011/0; ");
	wr_listens_shut_done(ls, 1, "127.0.0.1:7011", 0);
	wr_listens_gone(ls, 2);
	wr_listens_tick(ls, 63000);
	is_int(wr_listens_due(ls), UINT64_MAX);
	ok(old->users == 1);
	ok(is_refused("127.0.0.1:7011"));
	wr_listens_free(&ls);
}

static void
a_removed_address_may_come_back(void)
{
	struct wr_listens *ls;
	int c, fd;

	fresh_conf();
	want("127.0.0.1:7012");
	ls = start(1);
	wr_listens_open(ls, 1, 0);
	fd = told_fd;
	fresh_conf();
	reload(ls, 1, 2000);
	fresh_conf();
	want("127.0.0.1:7012");
	reload(ls, 1, 3000);
	(void)heard();
	wr_listens_open(ls, 1, 0);
	ok(strstr(heard(), "open 1 127.0.0.1:7012/0; ") != NULL);
	c = dial("127.0.0.1:7012");
	ok(c >= 0 && take(fd));
	(void)close(c);
	wr_listens_tick(ls, 20000);
	ok(!is_refused("127.0.0.1:7012"));
	wr_listens_free(&ls);
}

static void
a_unix_file_is_gone_at_once_and_made_anew(void)
{
	struct wr_listens *ls;
	struct stat st;
	int old, fd;

	fresh_conf();
	want("unix:listen.test.sock")->mode = 0640;
	ls = start(2);
	ok(stat("listen.test.sock", &st) == 0 && (st.st_mode & 0777) == 0640);
	wr_listens_open(ls, 1, WR_SHARD_SHARED);
	old = told_fd;
	fd = dial("unix:listen.test.sock");
	ok(fd >= 0);
	fresh_conf();
	reload(ls, 2, 2000);
	ok(access("listen.test.sock", F_OK) != 0);
	fresh_conf();
	want("unix:listen.test.sock");
	reload(ls, 2, 2500);
	(void)heard();
	wr_listens_open(ls, 1, WR_SHARD_SHARED);
	ok(strstr(heard(), "shared; ") != NULL && told_fd != old);
	ok(take(old));
	(void)close(fd);
	fd = dial("unix:listen.test.sock");
	ok(fd >= 0 && take(told_fd));
	(void)close(fd);
	/* The old one is closed, the file of the new one stays. */
	wr_listens_tick(ls, 9000);
	wr_listens_tick(ls, 12000);
	ok(access("listen.test.sock", F_OK) == 0);
	wr_listens_unlink(ls);
	wr_listens_free(&ls);
}

static void
an_inherited_socket_is_the_first_shard(void)
{
	struct wr_listens *ls = wr_listens_new(on_tell, NULL);
	struct wr_addr a;
	int fd = socket(AF_INET, SOCK_STREAM, 0), c;
	char text[16];

	ok(wr_addr_parse(&a, WR_STR("127.0.0.1:7013"), -1) == 0);
	ok(bind(fd, &a.sa, a.len) == 0 && listen(fd, 8) == 0);
	wr_listens_environment(ls);
	fresh_conf();
	(void)snprintf(text, sizeof(text), "fd:%d", fd);
	want(text);
	ok(wr_listens_bind(ls, gen, 2, &errors) == 0);
	is_int(wr_listens_commit(ls, gen, 1000, &changes), 0);
	wr_listens_live(ls, 0);
	wr_listens_live(ls, 1);
	wr_listens_open(ls, 1, 0);
	ok(told_fd == fd);
	wr_listens_open(ls, 2, 1);
	ok(told_fd != fd);
	ok(strstr(heard(), "shared") == NULL);
	c = dial("127.0.0.1:7013");
	ok(c >= 0);
	(void)close(c);
	/* A failed try must not take it away from us. */
	fresh_conf();
	reload(ls, 2, 2000);
	for (uint64_t now = 2000; now < 9000; now += 250)
		wr_listens_tick(ls, now);
	ok(is_refused("127.0.0.1:7013"));
	fresh_conf();
	want(text);
	is_int(wr_listens_bind(ls, gen, 2, &errors), -1);
	ok(strstr(text_of(&errors), "closed when its listener was removed") !=
	    NULL);
	wr_listens_free(&ls);
	(void)heard();
	(void)text_of(&changes);
}

/* Who has it goes on with it, who is new gets all of it, and it retires alone
 * in the end. */
static void
only_the_old_one_serves_the_third(
    struct wr_listens *old, const struct wr_listens *heir)
{
	struct wr_text numbers = { 0 };

	wr_listens_open(old, 4, 1);
	(void)heard();
	wr_listens_unnamed(heir, &numbers);
	wr_listens_ours(old, (struct wr_str){ numbers.p, numbers.len });
	wr_text_fini(&numbers);
	wr_listens_stay(old, 4);
	is_str(heard(), "stay 4 127.0.0.1:7015/1; ");
	wr_listens_lend(old, 5);
	is_str(heard(),
	    "open 5 127.0.0.1:7015/0; open 5 127.0.0.1:7015/1 shared; "
	    "open 5 127.0.0.1:7015/2; ");
	ok(wr_listens_closed(old));
	wr_listens_ours(old, WR_STR(" x 99999"));
	wr_listens_stay(old, 4);
	is_str(heard(), "");
}

static void
all_is_passed_to_a_new_binary(void)
{
	struct wr_listens *ls, *heir = wr_listens_new(on_tell, NULL);
	struct wr_text lines = { 0 };
	int c;

	fresh_conf();
	want("127.0.0.1:7014");
	want("unix:listen.test.sock");
	want("127.0.0.1:7015");
	ls = start(3);
	wr_listens_write(ls, &lines);
	ok(wr_listens_read(heir, (struct wr_str){ lines.p, lines.len }) == 0);
	is_int(wr_listens_shards(heir), 3);
	/* The new binary's file names two of the three. */
	fresh_conf();
	want("127.0.0.1:7014");
	want("unix:listen.test.sock");
	ok(wr_listens_bind(heir, gen, 3, &errors) == 0);
	is_int(wr_listens_commit(heir, gen, 1000, &changes), 0);
	wr_listens_open(heir, 1, 2);
	wr_listens_open(heir, 1, WR_SHARD_SHARED);
	/* The old one's workers may still accept from it. */
	ok(strstr(heard(),
	       "open 1 127.0.0.1:7014/2 shared; open 1 unix:listen.") != NULL);
	only_the_old_one_serves_the_third(ls, heir);
	c = dial("127.0.0.1:7015");
	ok(c >= 0);
	(void)close(c);
	wr_listens_own(heir);
	ok(is_refused("127.0.0.1:7015"));
	ok(!is_refused("127.0.0.1:7014"));
	wr_listens_unlink(heir);
	ok(access("listen.test.sock", F_OK) != 0);
	wr_listens_free(&heir);
	/* The two share descriptors here: those are closed by now. */
	wr_listens_free(&ls);

	heir = wr_listens_new(on_tell, NULL);
	is_int(wr_listens_read(heir, WR_STR("port 1 1\n")), -EPROTO);
	is_int(wr_listens_read(heir, WR_STR("address ipx 0 0 0 a\n")), -EPROTO);
	is_int(wr_listens_read(heir, WR_STR("address tcp 0 0 0 a\n")), -EPROTO);
	is_int(wr_listens_read(heir, WR_STR("nonsense\n")), -EPROTO);
	wr_listens_free(&heir);
	wr_text_fini(&lines);
}

/* A network of our own, where all ports are free. */
static void
own_network(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int s;

	if (unshare(CLONE_NEWNET) != 0 &&
	    unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
		return;
	s = socket(AF_INET, SOCK_DGRAM, 0);
	if (ioctl(s, SIOCSIFFLAGS, &lo) != 0)
		diag("cannot set lo up");
	(void)close(s);
}

int
main(void)
{
	char dir[] = "/tmp/weir-listen-XXXXXX";

	own_network();
	if (mkdtemp(dir) == NULL || chdir(dir) != 0)
		return 1;
	what_an_entry_means();
	a_build_binds_and_does_not_listen();
	each_worker_gets_its_shards();
	errors_name_place_and_address();
	a_wider_address_may_replace_a_narrower();
	what_stays_is_not_touched();
	another_listener_is_told_anew();
	a_removed_address_serves_who_waits_then_closes();
	a_removed_address_may_come_back();
	a_unix_file_is_gone_at_once_and_made_anew();
	an_inherited_socket_is_the_first_shard();
	all_is_passed_to_a_new_binary();
	wr_text_fini(&errors);
	wr_text_fini(&changes);
	ok(rmdir(dir) == 0);
	return tap_done();
}
