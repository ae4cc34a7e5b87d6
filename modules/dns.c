/* SPDX-License-Identifier: BSD-2-Clause */
/* dns - see dns.h. */
#include "modules/dns.h"

#ifdef WR_HAVE_CARES

#include <ares.h>
#include <ares_dns.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"

/* The hosts file says nothing about time. */
#define FILE_TTL_MS 10000
#define TRIES       2

struct question {
	wr_dns_fn *fn;
	void *arg;
	int type;
};

/* A descriptor of the library's; the loop has a copy, which it may close when
 * it likes. */
struct watched {
	struct wr_list link;
	struct wr_sock sock;
	ares_socket_t fd;
	bool read, write, closing;
};

static struct {
	struct wr_loop *loop;
	ares_channel channel; /* NULL: closed */
	bool searches;        /* names may be short */
	struct wr_list sockets;
	struct wr_timer timer;
} self;

static wr_timer_fn on_timer;
static wr_done_fn on_readable, on_writable;

/* -- The library and the loop -------------------------------------------- */

static void
set_timer(void)
{
	struct timeval tv, *t = ares_timeout(self.channel, NULL, &tv);

	if (t == NULL)
		wr_timer_stop(self.loop, &self.timer);
	else
		wr_timer_set(self.loop, &self.timer,
		    (uint64_t)t->tv_sec * 1000 + (uint64_t)t->tv_usec / 1000 +
			1,
		    on_timer);
}

static void
on_timer(struct wr_loop *l, struct wr_timer *t)
{
	(void)l;
	(void)t;
	ares_process_fd(self.channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_timer();
}

static void
watch(struct watched *s)
{
	int err = 0;

	if (s->closing)
		return;
	if (s->read && s->sock.in.kind == WR_OP_NONE)
		err =
		    wr_watch(self.loop, &s->sock, WR_OP_READABLE, on_readable);
	if (err == 0 && s->write && s->sock.out.kind == WR_OP_NONE)
		err =
		    wr_watch(self.loop, &s->sock, WR_OP_WRITABLE, on_writable);
	if (err < 0) {
		errno = -err;
		wr_warn("names: socket");
	}
}

static void
on_readable(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct watched *s =
	    wr_container_of(wr_sock_of_in(op), struct watched, sock);

	(void)l;
	if (d->res < 0 || s->closing)
		return;
	if (s->read)
		ares_process_fd(self.channel, s->fd, ARES_SOCKET_BAD);
	watch(s);
	set_timer();
}

static void
on_writable(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct watched *s =
	    wr_container_of(wr_sock_of_out(op), struct watched, sock);

	(void)l;
	if (d->res < 0 || s->closing)
		return;
	if (s->write)
		ares_process_fd(self.channel, ARES_SOCKET_BAD, s->fd);
	watch(s);
	set_timer();
}

static void
on_closed(struct wr_loop *l, struct wr_sock *k)
{
	(void)l;
	free(wr_container_of(k, struct watched, sock));
}

static struct watched *
find_socket(ares_socket_t fd)
{
	wr_list_each (n, &self.sockets) {
		struct watched *s = wr_container_of(n, struct watched, link);

		if (s->fd == fd)
			return s;
	}
	return NULL;
}

static struct watched *
watch_new(ares_socket_t fd)
{
	struct watched *s = calloc(1, sizeof(*s));
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (s == NULL || copy < 0 ||
	    wr_sock_init(self.loop, &s->sock, copy) < 0) {
		wr_error("names: socket");
		if (copy >= 0)
			(void)close(copy);
		free(s);
		return NULL;
	}
	s->fd = fd;
	wr_list_push(&self.sockets, &s->link);
	return s;
}

static void
on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct watched *s = find_socket(fd);

	(void)arg;
	if (s == NULL && (readable || writable))
		s = watch_new(fd);
	if (s == NULL)
		return;
	s->read = readable != 0;
	s->write = writable != 0;
	if (s->read || s->write) {
		watch(s);
		return;
	}
	s->closing = true;
	wr_list_remove(&s->link);
	wr_close(self.loop, &s->sock, on_closed);
}

static void
use_servers(const struct wr_addrs *list)
{
	struct ares_addr_port_node *v = calloc(list->n, sizeof(*v));
	uint32_t n = 0;

	for (uint32_t i = 0; v != NULL && i < list->n; i++) {
		const struct wr_addr *a = &list->v[i];
		int port = wr_addr_port(a) != 0 ? wr_addr_port(a) : 53;

		v[n].family = a->sa.sa_family;
		v[n].udp_port = v[n].tcp_port = port;
		if (a->sa.sa_family == AF_INET)
			v[n].addr.addr4 = a->in.sin_addr;
		else if (a->sa.sa_family == AF_INET6)
			memcpy(&v[n].addr.addr6, &a->in6.sin6_addr, 16);
		else
			continue;
		if (n++ > 0)
			v[n - 2].next = &v[n - 1];
	}
	if (n == 0 || ares_set_servers_ports(self.channel, v) != ARES_SUCCESS)
		wr_errorx("resolver.servers cannot be used");
	free(v);
}

void
wr_dns_close(void)
{
	if (self.channel == NULL)
		return;
	ares_destroy(self.channel);
	ares_library_cleanup();
	self.channel = NULL;
	wr_timer_stop(self.loop, &self.timer);
}

void
wr_dns_open(struct wr_loop *l, const struct wr_resolver_conf *r)
{
	struct ares_options o = { .tries = TRIES,
		.timeout = (int)r->timeout_ms,
		.sock_state_cb = on_socket };
	int err;

	self.loop = l;
	self.searches = r->servers.n == 0;
	if (self.sockets.next == NULL)
		wr_list_init(&self.sockets);
	err = ares_library_init(ARES_LIB_INIT_ALL);
	if (err == ARES_SUCCESS)
		err = ares_init_options(&self.channel, &o,
		    ARES_OPT_TRIES | ARES_OPT_TIMEOUTMS |
			ARES_OPT_SOCK_STATE_CB);
	if (err != ARES_SUCCESS) {
		self.channel = NULL;
		ares_library_cleanup();
		wr_errorx("names: %s", ares_strerror(err));
	} else if (r->servers.n > 0) {
		use_servers(&r->servers);
	}
}

bool
wr_dns_is_open(void)
{
	return self.channel != NULL;
}

/* -- Answers ------------------------------------------------------------- */

static void
use_ttl(struct wr_dns_answer *a, int64_t seconds)
{
	uint32_t ms;

	/* The highest bit is none of a number (RFC 2181). */
	if (seconds < 0)
		seconds = 0;
	ms = seconds < 86400 ? (uint32_t)seconds * 1000 : 86400000;
	if (ms < a->ttl_ms)
		a->ttl_ms = ms;
}

static void
add_ip(struct wr_dns_answer *a, const void *ip, size_t len)
{
	static struct wr_ip all[WR_DNS_MAX];
	struct wr_ip *to = &all[a->n_ips];

	if (a->n_ips == WR_DNS_MAX)
		return;
	*to = (struct wr_ip){ .family = len == 4 ? AF_INET : AF_INET6 };
	(void)memcpy(to->ip, ip, len);
	a->ips = all;
	a->n_ips++;
}

static int
take_a(struct wr_dns_answer *a, const unsigned char *bytes, int len)
{
	static struct ares_addrttl v[WR_DNS_MAX];
	int n = WR_DNS_MAX;
	int err = ares_parse_a_reply(bytes, len, NULL, v, &n);

	for (int i = 0; err == ARES_SUCCESS && i < n; i++) {
		use_ttl(a, v[i].ttl);
		add_ip(a, &v[i].ipaddr, 4);
	}
	return err;
}

static int
take_aaaa(struct wr_dns_answer *a, const unsigned char *bytes, int len)
{
	static struct ares_addr6ttl v[WR_DNS_MAX];
	int n = WR_DNS_MAX;
	int err = ares_parse_aaaa_reply(bytes, len, NULL, v, &n);

	for (int i = 0; err == ARES_SUCCESS && i < n; i++) {
		use_ttl(a, v[i].ttl);
		add_ip(a, &v[i].ip6addr, 16);
	}
	return err;
}

/* Behind a name at `p`, or NULL. */
static const unsigned char *
skip_name(const unsigned char *p, const unsigned char *bytes, int len)
{
	char *name;
	long n;

	if (ares_expand_name(p, bytes, len, &name, &n) != ARES_SUCCESS)
		return NULL;
	ares_free_string(name);
	return p + n;
}

/* The library does not tell the time of services. */
static void
take_srv_ttl(struct wr_dns_answer *a, const unsigned char *bytes, int len)
{
	const unsigned char *p = bytes + NS_HFIXEDSZ, *end = bytes + len;

	if (len < NS_HFIXEDSZ || DNS_HEADER_QDCOUNT(bytes) != 1)
		return;
	p = skip_name(p, bytes, len);
	if (p == NULL)
		return;
	p += NS_QFIXEDSZ;
	for (int i = DNS_HEADER_ANCOUNT(bytes); i > 0 && p < end; i--) {
		p = skip_name(p, bytes, len);
		if (p == NULL || end - p < NS_RRFIXEDSZ)
			return;
		use_ttl(a, (int32_t)DNS_RR_TTL(p));
		p += NS_RRFIXEDSZ + DNS_RR_LEN(p);
	}
}

/* The reply that the services point into; the caller frees it. */
static int
take_srv(struct wr_dns_answer *a, const unsigned char *bytes, int len,
    struct ares_srv_reply **reply)
{
	static struct wr_dns_service all[WR_DNS_SERVICES];
	int err = ares_parse_srv_reply(bytes, len, reply);

	if (err != ARES_SUCCESS)
		return err;
	take_srv_ttl(a, bytes, len);
	a->services = all;
	for (struct ares_srv_reply *r = *reply;
	     r != NULL && a->n_services < WR_DNS_SERVICES; r = r->next) {
		/* "." says that there is no such service. */
		if (r->host[0] == '\0' || r->port == 0)
			continue;
		all[a->n_services++] = (struct wr_dns_service){ r->host,
			r->port, r->priority, r->weight };
	}
	return ARES_SUCCESS;
}

static enum wr_dns_how
how_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return WR_DNS_GOOD;
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
		return WR_DNS_NONE;
	case ARES_EDESTRUCTION:
		return WR_DNS_CLOSED;
	default:
		return WR_DNS_LOST;
	}
}

static void
on_answer(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
	struct question *q = arg;
	struct ares_srv_reply *reply = NULL;
	struct wr_dns_answer a = { .ttl_ms = UINT32_MAX };

	(void)timeouts;
	if (status == ARES_SUCCESS && q->type == ns_t_a)
		status = take_a(&a, bytes, len);
	else if (status == ARES_SUCCESS && q->type == ns_t_aaaa)
		status = take_aaaa(&a, bytes, len);
	else if (status == ARES_SUCCESS)
		status = take_srv(&a, bytes, len, &reply);
	a.how = how_of(status);
	a.why = ares_strerror(status);
	q->fn(q->arg, &a);
	if (reply != NULL)
		ares_free_data(reply);
	free(q);
}

/* -- Questions ----------------------------------------------------------- */

void
wr_dns_ask(const char *name, enum wr_dns_type type, wr_dns_fn *fn, void *arg)
{
	static const int types[] = { [WR_DNS_A] = ns_t_a,
		[WR_DNS_AAAA] = ns_t_aaaa,
		[WR_DNS_SRV] = ns_t_srv };
	struct question *q = malloc(sizeof(*q));

	if (q == NULL) {
		fn(arg, &(struct wr_dns_answer){
			    .how = WR_DNS_LOST, .why = "no memory" });
		return;
	}
	*q = (struct question){ fn, arg, types[type] };
	if (self.searches)
		ares_search(self.channel, name, C_IN, q->type, on_answer, q);
	else
		ares_query(self.channel, name, C_IN, q->type, on_answer, q);
	set_timer();
}

bool
wr_dns_file(const char *name, enum wr_dns_type type, wr_dns_fn *fn, void *arg)
{
	struct wr_dns_answer a = { .how = WR_DNS_GOOD, .ttl_ms = FILE_TTL_MS };
	struct hostent *h = NULL;

	if (ares_gethostbyname_file(self.channel, name,
		type == WR_DNS_A ? AF_INET : AF_INET6, &h) != ARES_SUCCESS)
		return false;
	for (char **p = h->h_addr_list; *p != NULL; p++)
		add_ip(&a, *p, (size_t)h->h_length);
	ares_free_hostent(h);
	fn(arg, &a);
	return true;
}

#endif
