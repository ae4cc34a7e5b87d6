/* SPDX-License-Identifier: BSD-2-Clause */
/* hooks - see hooks.h. */
#include "proxy/hooks.h"

#include <assert.h>

#include "proxy/core.h"

static bool
has(const struct wr_module *m, enum wr_hook_at at)
{
	switch (at) {
	case WR_ON_ACCEPT:
		return m->on_accept != NULL;
	case WR_ON_ROUTE:
		return m->on_route != NULL;
	case WR_ON_CONNECT:
		return m->on_connect != NULL;
	default:
		return false;
	}
}

void
wr_hooks_init(struct wr_proxy *px)
{
	for (unsigned at = 0; at < WR_HOOK_KINDS; at++) {
		uint8_t n = 0;

		for (uint8_t i = 0; px->modules[i] != NULL; i++) {
			assert(i < WR_MODULES_MAX);
			if (has(px->modules[i], at))
				px->hooks[at][n++] = i;
		}
		px->hooks[at][n] = WR_NO_HOOK;
	}
}

static const void *
value(const struct wr_module *m, void *const *mod, unsigned i)
{
	return m->conf.name != NULL && mod != NULL ? mod[i] : NULL;
}

static enum wr_verdict
ask(struct wr_session *s, enum wr_hook_at at, uint8_t i)
{
	const struct wr_module *m = s->px->modules[i];

	switch (at) {
	case WR_ON_ACCEPT:
		return m->on_accept(s, value(m, s->rules->mod, i));
	case WR_ON_ROUTE:
		return m->on_route(s, value(m, s->rules->mod, i));
	default:
		return m->on_connect(s, value(m, wr_session_group(s)->mod, i));
	}
}

enum wr_verdict
wr_hooks_run(struct wr_session *s, enum wr_hook_at at)
{
	const uint8_t *list = s->px->hooks[at];
	enum wr_verdict v = WR_NEXT;

	while (v == WR_NEXT && list[s->hook] != WR_NO_HOOK)
		v = ask(s, at, list[s->hook++]);
	if (v != WR_WAIT)
		s->hook = 0;
	return v;
}

bool
wr_hooks_serve(struct wr_session *s)
{
	const struct wr_module *m;

	for (unsigned i = 0; (m = s->px->modules[i]) != NULL; i++)
		if (m->on_serve != NULL && m->on_serve(s))
			return true;
	return false;
}

void
wr_hooks_end(struct wr_session *s)
{
	const struct wr_module *m;

	for (unsigned i = 0; (m = s->px->modules[i]) != NULL; i++)
		if (m->on_end != NULL)
			m->on_end(s);
}

void
wr_hooks_server(struct wr_session *s, enum wr_news news)
{
	const struct wr_module *m;

	for (unsigned i = 0; (m = s->px->modules[i]) != NULL; i++)
		if (m->on_server != NULL)
			m->on_server(s, news);
}

bool
wr_hooks_none(struct wr_proxy *px, const struct wr_upstream_conf *u)
{
	const struct wr_module *m;

	for (unsigned i = 0; (m = px->modules[i]) != NULL; i++)
		if (m->on_none != NULL &&
		    m->on_none(px, u, value(m, u->mod, i)))
			return true;
	return false;
}

void
wr_hooks_listen(struct wr_proxy *px, const struct wr_listener_conf *c, int fd)
{
	const struct wr_module *m;

	for (unsigned i = 0; (m = px->modules[i]) != NULL; i++)
		if (m->on_listen != NULL)
			m->on_listen(c, fd, value(m, c->rules.mod, i));
}
