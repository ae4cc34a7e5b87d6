/* SPDX-License-Identifier: BSD-2-Clause */
/* hints - what an unknown word may have meant; see core.h. */
#include "conf/core.h"

/* Words of nginx and HAProxy, and ours. */
static const struct {
	const char *theirs, *ours;
} WORDS[] = {
	{ "acl", "routes" },
	{ "alive", "heartbeat" },
	{ "backend", "upstreams, or upstream in a listener" },
	{ "backends", "upstreams" },
	{ "bind", "listen" },
	{ "check", "health" },
	{ "check_interval", "health.interval" },
	{ "client", "timeouts.client_idle, or client in a route" },
	{ "connect_timeout", "timeouts.connect" },
	{ "crt", "tls.cert" },
	{ "daemon", "the option -d" },
	{ "default_backend", "upstream" },
	{ "downinter", "health.interval" },
	{ "error_limit", "eject.failures" },
	{ "fail_timeout", "eject.window and eject.for" },
	{ "fastinter", "health.fast" },
	{ "frontend", "listeners" },
	{ "frontends", "listeners" },
	{ "group", "user = \"user:group\"" },
	{ "hard_stop_after", "timeouts.drain" },
	{ "health_check", "health" },
	{ "http", "listeners and upstreams" },
	{ "idle_timeout", "timeouts.idle" },
	{ "inter", "health.interval" },
	{ "keepalive", "heartbeat" },
	{ "limit_conn", "limit.conns_per_ip" },
	{ "limit_req", "limit.rate_per_ip" },
	{ "log", "access_log and error_log" },
	{ "max_fails", "eject.failures" },
	{ "maxconn", "max_conns on a server, events.connections at the top" },
	{ "nbproc", "workers" },
	{ "nbthread", "workers" },
	{ "next_upstream", "retry" },
	{ "option", "a key of its own" },
	{ "pidfile", "pid" },
	{ "preread_timeout", "timeouts.preread" },
	{ "proxy_connect_timeout", "timeouts.connect" },
	{ "proxy_next_upstream", "retry" },
	{ "proxy_next_upstream_tries", "retry.tries" },
	{ "proxy_pass", "upstream" },
	{ "proxy_read_timeout", "timeouts.idle" },
	{ "proxy_timeout", "timeouts.idle" },
	{ "redispatch", "retry" },
	{ "retries", "retry.tries" },
	{ "send-proxy", "proxy_protocol = \"v1\"" },
	{ "send-proxy-v2", "proxy_protocol = \"v2\"" },
	{ "server", "servers in an upstream, a listener elsewhere" },
	{ "server_name", "routes with sni or host" },
	{ "slowstart", "slow_start" },
	{ "ssl", "tls" },
	{ "ssl_certificate", "tls.cert" },
	{ "ssl_certificate_key", "tls.key" },
	{ "ssl_preread", "routes with sni" },
	{ "stats", "protocol = \"status\"" },
	{ "stick_table", "sticky" },
	{ "stick-table", "sticky" },
	{ "stream", "listeners and upstreams" },
	{ "timeout", "timeouts" },
	{ "timeout_client", "timeouts.client_idle" },
	{ "timeout_connect", "timeouts.connect" },
	{ "timeout_server", "timeouts.server_idle" },
	{ "tunnel", "timeouts.idle" },
	{ "upstream_timeout", "timeouts.connect" },
	{ "use_backend", "routes" },
	{ "worker_connections", "events.connections" },
	{ "worker_processes", "workers" },
	{ "worker_shutdown_timeout", "timeouts.drain" },
};

/* A list longer than this explains nothing. */
#define KNOWN_MAX 12

const char *
wr_nearest(const char *name, const char *const *known, size_t n_known)
{
	struct wr_str s = wr_str_of(name);
	size_t best = s.len < 4 ? 1 : s.len < 8 ? 2 : 3;
	const char *found = NULL;

	for (size_t i = 0; i < n_known; i++) {
		size_t d = wr_str_distance(s, wr_str_of(known[i]));

		/* Not a word with nothing in common. */
		if (d < s.len && (d < best || (d == best && found == NULL))) {
			best = d;
			found = known[i];
		}
	}
	return found;
}

static const char *
translation(const char *name)
{
	for (size_t i = 0; i < WR_COUNT(WORDS); i++)
		if (strcmp(WORDS[i].theirs, name) == 0)
			return WORDS[i].ours;
	return NULL;
}

void
wr_hint(struct wr_text *out, const char *name, const char *const *known,
    size_t n_known)
{
	const char *word = translation(name);
	const char *near = wr_nearest(name, known, n_known);

	/* "server" among the keys of an upstream is a slip. */
	if (near != NULL &&
	    wr_str_distance(wr_str_of(name), wr_str_of(near)) == 1)
		word = NULL;
	if (word != NULL) {
		wr_text_printf(out, ": weir's word is %s", word);
	} else if (near != NULL) {
		wr_text_printf(out, ": did you mean \"%s\"?", near);
	} else if (n_known > 0 && n_known <= KNOWN_MAX) {
		wr_text_puts(out, ": known are ");
		for (size_t i = 0; i < n_known; i++)
			wr_text_printf(
			    out, "%s%s", i > 0 ? ", " : "", known[i]);
	}
}
