/* SPDX-License-Identifier: BSD-2-Clause */
/* probe - see probe.h. */
#include "modules/health/probe.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "io/sock.h"
#include "modules/tls_probe.h"
#include "proxy/upstream.h"

/* So many looks are free; after that the bytes are looked at so often, because
 * a server that sends them one by one must not make us look at each. */
#define LOOKS_FREE 32
#define LOOKS_MS   20

static wr_done_fn on_connect, on_recv, on_send;
static wr_timer_fn on_limit, on_later;
static wr_close_fn on_closed;

static struct wr_probe *
probe_of(struct wr_sock *k)
{
	return wr_container_of(k, struct wr_probe, sock);
}

static uint64_t
clock_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* -- Patterns ------------------------------------------------------------ */

static struct wr_pcre *
compile(const char *pattern)
{
	char why[128];

	return wr_pcre_new(pattern, WR_PCRE_LINES, why, sizeof(why));
}

int
wr_patterns_init(struct wr_patterns *t, const struct wr_health_conf *c)
{
	const struct wr_health_step *step = c->steps.v;

	*t = (struct wr_patterns){ 0 };
	if (c->type == WR_CHECK_HTTP && c->body[0] != '\0') {
		t->body = compile(c->body);
		if (t->body == NULL)
			return -ENOMEM;
	}
	if (c->type != WR_CHECK_SCRIPT)
		return 0;
	t->steps = calloc(c->steps.n, sizeof(struct wr_pcre *));
	if (t->steps == NULL)
		return -ENOMEM;
	t->n_steps = c->steps.n;
	for (uint32_t i = 0; i < c->steps.n; i++) {
		if (step[i].exact.p != NULL || step[i].expect_text[0] == '\0')
			continue;
		t->steps[i] = compile(step[i].expect_text);
		if (t->steps[i] == NULL) {
			wr_patterns_fini(t);
			return -ENOMEM;
		}
	}
	return 0;
}

void
wr_patterns_fini(struct wr_patterns *t)
{
	wr_pcre_free(&t->body);
	for (uint32_t i = 0; i < t->n_steps; i++)
		wr_pcre_free(&t->steps[i]);
	free(t->steps);
	*t = (struct wr_patterns){ 0 };
}

/* -- The end ------------------------------------------------------------- */

enum wr_probed
wr_probe_say(struct wr_probe *p, enum wr_probed how, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(p->why, sizeof(p->why), fmt, ap);
	va_end(ap);
	return how;
}

const char *
wr_probe_shown(const struct wr_probe *p, char *text)
{
	struct wr_text t;
	size_t n = p->len < WR_PROBE_SHOWN / 2 ? p->len : WR_PROBE_SHOWN / 2;

	wr_text_over(&t, text, WR_PROBE_SHOWN);
	wr_text_escape(&t, (struct wr_str){ (const char *)p->bytes, n });
	return t.len > 0 ? text : "";
}

static void
on_closed(struct wr_loop *l, struct wr_sock *k)
{
	struct wr_probe *p = probe_of(k);

	(void)l;
	p->running = false;
	p->done(p, p->how);
}

static void
finish(struct wr_probe *p, enum wr_probed how)
{
	if (p->sock.closing)
		return;
	p->how = how;
	p->took_us = (uint32_t)(clock_us() - p->start_us);
	wr_timer_stop(p->loop, &p->limit);
	wr_timer_stop(p->loop, &p->later);
	wr_tls_probe_free(&p->tls);
	wr_close(p->loop, &p->sock, on_closed);
}

void
wr_probe_stop(struct wr_probe *p)
{
	if (!p->running)
		return;
	if (p->sock.closing)
		p->how = WR_PROBE_STOPPED;
	else
		finish(p, wr_probe_say(p, WR_PROBE_STOPPED, "stopped"));
}

static void
on_limit(struct wr_loop *l, struct wr_timer *t)
{
	struct wr_probe *p = wr_container_of(t, struct wr_probe, limit);
	char shown[WR_PROBE_SHOWN];
	bool heard = p->tls == NULL && p->len > 0;

	(void)l;
	/* A wrong answer is one after which the right one did not come. */
	finish(p, wr_probe_say(p, WR_PROBE_BAD,
		      heard ? "time-out after %u ms: %s, after \"%s\""
			    : "time-out after %u ms: %s",
		      p->conf->timeout_ms, p->doing,
		      heard ? wr_probe_shown(p, shown) : ""));
}

static void
fail(struct wr_probe *p, const char *doing, int err)
{
	finish(
	    p, wr_probe_say(p,
		   wr_trouble_of(err) == WR_OURS ? WR_PROBE_OURS : WR_PROBE_BAD,
		   "%s: %s", doing, strerror(-err)));
}

/* -- Bytes --------------------------------------------------------------- */

/* What the kind has answered. */
static void
settle(struct wr_probe *p, enum wr_probed how)
{
	int err;

	if (how != WR_PROBE_MORE) {
		finish(p, how);
		return;
	}
	if (p->ended || p->sock.in.kind != WR_OP_NONE)
		return;
	err = wr_recv(p->loop, &p->sock, 0, WR_COLD, on_recv);
	if (err < 0)
		fail(p, "read", err);
}

bool
wr_probe_may_look(struct wr_probe *p, bool last)
{
	if (last || p->looks < LOOKS_FREE) {
		p->looks++;
		return true;
	}
	if (!wr_timer_is_set(&p->later))
		wr_timer_set(p->loop, &p->later, LOOKS_MS, on_later);
	return false;
}

static void
on_later(struct wr_loop *l, struct wr_timer *t)
{
	struct wr_probe *p = wr_container_of(t, struct wr_probe, later);

	(void)l;
	p->looks = LOOKS_FREE - 1;
	settle(p, p->kind->look(p, p->ended));
}

bool
wr_probe_sending(const struct wr_probe *p)
{
	return p->sock.out.kind != WR_OP_NONE;
}

static int
copy_out(struct wr_probe *p, const uint8_t *bytes, uint32_t n)
{
	struct wr_slice v[WR_IOV];
	int err = 0, i = 0;

	while (n > 0 && err == 0) {
		err = i == WR_IOV ? -EMSGSIZE : wr_slice_get(p->loop, &v[i]);
		if (err < 0)
			break;
		if (v[i].len > n)
			v[i].len = n;
		memcpy(v[i].mem, bytes, v[i].len);
		bytes += v[i].len;
		n -= v[i].len;
		i++;
	}
	if (err == 0)
		return wr_send(p->loop, &p->sock, v, i, 0, on_send);
	while (i > 0)
		wr_slice_put(p->loop, &v[--i]);
	return err;
}

enum wr_probed
wr_probe_send(struct wr_probe *p, const void *bytes, uint32_t n)
{
	int err;

	assert(!wr_probe_sending(p) && n > 0);
	p->len = 0;
	err = copy_out(p, bytes, n);
	if (err == 0)
		return WR_PROBE_MORE;
	return wr_probe_say(p,
	    wr_trouble_of(err) == WR_OURS ? WR_PROBE_OURS : WR_PROBE_BAD,
	    "send: %s", strerror(-err));
}

/* -- TLS ----------------------------------------------------------------- */

/* Shake hands as far as it goes.  When both sides are content, what we have to
 * say must still get there, or the server would call it a failure. */
static void
handshake(struct wr_probe *p)
{
	char why[96];
	int done = wr_tls_probe_step(p->tls, why, sizeof(why));
	enum wr_probed how = WR_PROBE_MORE;

	if (done < 0) {
		finish(
		    p, wr_probe_say(p, WR_PROBE_BAD, "TLS handshake: %s", why));
		return;
	}
	if (!wr_probe_sending(p)) {
		size_t n = wr_tls_probe_take(p->tls, p->bytes, WR_PROBE_BYTES);

		if (n > 0)
			how = wr_probe_send(p, p->bytes, (uint32_t)n);
		else if (done == 1)
			how = wr_probe_say(
			    p, WR_PROBE_GOOD, "TLS handshake done");
	}
	settle(p, how);
}

static void
begin_tls(struct wr_probe *p)
{
	(void)snprintf(p->doing, sizeof(p->doing), "TLS handshake");
	p->tls = wr_tls_probe_new(p->conf->host);
	if (p->tls == NULL)
		fail(p, "TLS", -ENOMEM);
	else
		handshake(p);
}

static void
feed_tls(struct wr_probe *p, const struct wr_slice *in)
{
	int err = wr_tls_probe_feed(p->tls, in->mem, in->len);

	if (err < 0)
		fail(p, "TLS", err);
	else
		handshake(p);
}

/* -- Events -------------------------------------------------------------- */

static void
on_connect(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct wr_probe *p = probe_of(wr_sock_of_out(op));

	(void)l;
	if (d->res < 0)
		fail(p, "connect", d->res);
	else if (p->conf->type == WR_CHECK_TLS)
		begin_tls(p);
	else
		settle(p, p->kind->open(p));
}

static void
over(struct wr_probe *p, int err)
{
	enum wr_probed how;

	p->ended = true;
	if (p->tls != NULL) {
		finish(p, wr_probe_say(p, WR_PROBE_BAD,
			      "TLS handshake: the server ended it"));
		return;
	}
	how = p->kind->look(p, true);
	if (how != WR_PROBE_GOOD && err < 0)
		fail(p, p->doing, err);
	else
		settle(p, how);
}

static void
on_send(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct wr_probe *p = probe_of(wr_sock_of_out(op));

	(void)l;
	/* If it could not be sent, the server may have said why. */
	if (d->res < 0 && !p->ended)
		return;
	if (d->res < 0)
		over(p, d->res);
	else if (p->tls != NULL)
		handshake(p);
	else
		settle(p, p->kind->sent(p));
}

static void
on_recv(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct wr_probe *p = probe_of(wr_sock_of_in(op));
	struct wr_slice in = d->in;
	uint32_t room = WR_PROBE_BYTES - p->len;

	if (d->res <= 0) {
		over(p, d->res);
		return;
	}
	if (p->tls != NULL) {
		feed_tls(p, &in);
		wr_slice_put(l, &in);
		return;
	}
	if (room > in.len)
		room = in.len;
	memcpy(p->bytes + p->len, in.mem, room);
	p->len += room;
	wr_slice_put(l, &in);
	settle(p, p->kind->look(p, p->len == WR_PROBE_BYTES));
}

/* -- Start --------------------------------------------------------------- */

static enum wr_probed
open_tcp(struct wr_probe *p)
{
	return wr_probe_say(p, WR_PROBE_GOOD, "connected");
}

const struct wr_probe_kind wr_probe_tcp = { .open = open_tcp };

static const struct wr_probe_kind *const kinds[] = {
	[WR_CHECK_TCP] = &wr_probe_tcp,
	[WR_CHECK_TLS] = &wr_probe_tcp,
	[WR_CHECK_HTTP] = &wr_probe_http,
	[WR_CHECK_SCRIPT] = &wr_probe_script,
};

int
wr_probe_start(struct wr_probe *p, struct wr_loop *l, const struct wr_addr *to,
    uint8_t *bytes)
{
	int fd, err;

	assert(!p->running);
	fd = wr_sock_stream(to->sa.sa_family);
	if (fd < 0)
		return fd;
	p->loop = l;
	p->kind = kinds[p->conf->type];
	p->bytes = bytes;
	p->len = p->looks = p->step = 0;
	p->ended = false;
	p->waits = 0;
	p->why[0] = '\0';
	p->start_us = clock_us();
	memset(&p->sock, 0, sizeof(p->sock));
	err = wr_sock_init(l, &p->sock, fd);
	if (err < 0) {
		(void)close(fd);
		return err;
	}
	p->running = true;
	(void)snprintf(p->doing, sizeof(p->doing), "connect");
	wr_timer_set(l, &p->limit, p->conf->timeout_ms, on_limit);
	err = wr_connect(l, &p->sock, &to->sa, to->len, on_connect);
	/* As any other failure to connect; it is told at the end of a turn. */
	if (err < 0)
		fail(p, "connect", err);
	return 0;
}
