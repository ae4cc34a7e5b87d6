/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * later - keys of the language that no module supplies yet.
 *
 * A module that supplies one is asked first, so its line here has no effect
 * any more and can go.
 */
#include "conf/core.h"

static const struct {
	const char *name;
	unsigned at;
	const char *why;
} LATER[] = {
	{ "proxy_protocol", WR_AT_LISTENER | WR_AT_UPSTREAM,
	    "the PROXY protocol" },
	{ "tls", WR_AT_LISTENER | WR_AT_ROUTE | WR_AT_UPSTREAM, "tls" },
	{ "sni", WR_AT_ROUTE, "routes by SNI" },
	{ "alpn", WR_AT_ROUTE, "routes by ALPN" },
	{ "passthrough", WR_AT_ROUTE, "tls" },
	{ "host", WR_AT_ROUTE, "http" },
	{ "path", WR_AT_ROUTE, "http" },
	{ "method", WR_AT_ROUTE, "http" },
	{ "header", WR_AT_ROUTE, "http" },
	{ "cookie", WR_AT_ROUTE, "http" },
	{ "redirect", WR_AT_LISTENER | WR_AT_ROUTE, "http" },
	{ "request_headers", WR_AT_LISTENER | WR_AT_ROUTE, "http" },
	{ "response_headers", WR_AT_LISTENER | WR_AT_ROUTE, "http" },
	{ "rewrite", WR_AT_LISTENER | WR_AT_ROUTE, "http" },
	{ "forwarded", WR_AT_LISTENER, "http" },
	{ "error_page", WR_AT_LISTENER, "http" },
	{ "protocol", WR_AT_ROUTE, "http" },
	{ "udp", WR_AT_LISTENER, "udp" },
	{ "mirror", WR_AT_LISTENER, "udp" },
	{ "rcvbuf", WR_AT_LISTENER, "udp" },
	{ "sndbuf", WR_AT_LISTENER, "udp" },
};

const char *
wr_later(const char *name, unsigned at)
{
	for (size_t i = 0; i < WR_COUNT(LATER); i++)
		if ((LATER[i].at & at) != 0 && strcmp(LATER[i].name, name) == 0)
			return LATER[i].why;
	return NULL;
}
