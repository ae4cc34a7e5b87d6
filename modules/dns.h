/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dns - questions to name servers, and what the answers hold.
 *
 * The one home of c-ares, which keeps questions and answers apart, asks again,
 * and goes to TCP when an answer does not fit.
 */
#ifndef WR_DNS_H
#define WR_DNS_H

#include "conf/conf.h"
#include "io/loop.h"

/* So much of one answer is looked at. */
#define WR_DNS_MAX      4096
#define WR_DNS_SERVICES 64

enum wr_dns_type {
	WR_DNS_A,
	WR_DNS_AAAA,
	WR_DNS_SRV
};

enum wr_dns_how {
	WR_DNS_GOOD,
	WR_DNS_NONE,   /* no such name, or nothing of this type */
	WR_DNS_LOST,   /* nobody says */
	WR_DNS_CLOSED, /* nobody was asked in the end */
};

struct wr_dns_service {
	const char *host;
	uint16_t port, priority, weight;
};

/* Lent to the function that is called. */
struct wr_dns_answer {
	enum wr_dns_how how;
	const char *why;         /* LOST */
	uint32_t ttl_ms;         /* the shortest of all records */
	const struct wr_ip *ips; /* without ports */
	uint32_t n_ips;
	const struct wr_dns_service *services;
	uint32_t n_services;
};

typedef void wr_dns_fn(void *arg, const struct wr_dns_answer *a);

/* `l` is kept; it is logged if it cannot be.  Name servers are those of `r`,
 * or of resolv.conf. */
void wr_dns_open(struct wr_loop *l, const struct wr_resolver_conf *r);
/* All questions end, with WR_DNS_CLOSED. */
void wr_dns_close(void);
bool wr_dns_is_open(void);
/* `fn` is called once, perhaps at once. */
void
wr_dns_ask(const char *name, enum wr_dns_type type, wr_dns_fn *fn, void *arg);
/* What the hosts file says: `fn` is called at once, or false. */
bool
wr_dns_file(const char *name, enum wr_dns_type type, wr_dns_fn *fn, void *arg);

#endif
