/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session - what becomes of one accepted connection, from accept to close.
 *
 * A session is always in one state, wr_session_go() is the only function
 * that changes it, and the table in session.c says where it may go.  It holds
 * a generation of the configuration only while it decides; in relay it lives
 * on copies.
 */
#ifndef WR_SESSION_H
#define WR_SESSION_H

#include "conf/conf.h"
#include "proxy/beat.h"
#include "proxy/hooks.h"
#include "proxy/relay.h"

struct wr_door;
struct wr_proxy;
struct wr_session;

enum wr_state {
	WR_ACCEPT,  /* not begun, for want of a place */
	WR_GREET,   /* is the client welcome? */
	WR_ROUTE,   /* what is to be done with it? */
	WR_PREREAD, /* read what the client says, until it is enough */
	WR_PICK,    /* which server? (or wait before the next try) */
	WR_QUEUE,   /* all are full */
	WR_CONNECT, /* to the server */
	WR_RELAY,   /* both ways */
	WR_ANSWER,  /* from our own memory */
	WR_LINGER,  /* all is said: let the client read it before we close */
	WR_END,     /* closing */
	WR_STATES
};

/* Look at bytes the client said: more than 0 enough, 0 more are needed. */
typedef int
wr_judge_fn(struct wr_session *s, const uint8_t *bytes, uint32_t len);

struct wr_session {
	struct wr_relay relay; /* both ends, and the session's one timer */
	struct wr_list link;   /* in the list of its state */
	struct wr_proxy *px;
	/* While it decides: the generation, and what it points to. */
	struct wr_gen *gen;
	const struct wr_rules *rules;
	union {
		const struct wr_listener_conf *listener; /* until routed */
		const struct wr_upstream_conf *upstream;
	};
	union {
		const struct wr_server_conf *server;
		wr_judge_fn *judge; /* of what it says before an answer */
	};
	/* What is to be done with it: an answer has no server. */
	union {
		const struct wr_answer *answer;
		uint64_t tried; /* bits of servers, see wr_server_bit() */
	};
	struct wr_ip client_ip; /* see wr_session_client() */
	uint32_t listener_cell, upstream_cell, server_cell; /* or WR_OFF */
	union {
		uint32_t dial_ms; /* first connect began, after accept */
		uint32_t eaten;   /* bytes read before an answer */
	};
	union {
		uint32_t since_ms;   /* queued, after accept */
		uint32_t connect_us; /* how long the last connect took */
	};
	uint32_t linger_ms;
	uint32_t counted_kib[2]; /* of each side's bytes, low bits */
	uint16_t port;           /* of ours, that the client came to */
	struct wr_beat beat[2];  /* by enum wr_side */
	uint16_t limit_at[2];    /* where `limit` counts it, see there */
	int16_t fault;      /* why the last connect failed, negative errno */
	uint8_t state;      /* enum wr_state; wr_session_go() only */
	uint8_t end;        /* enum wr_end; wr_session_end() or a hook */
	uint8_t scratch;    /* a count of the judge's; then of own addresses
			     * that had no port */
	uint8_t tries;      /* connects so far */
	uint8_t hook;       /* the module that is asked, or was last */
	uint8_t open;       /* bit of each end that is not closed yet */
	uint8_t source;     /* own address that it came from last */
	bool placed : 1;    /* counts as active on server_cell */
	bool queued : 1;    /* counts as waiting on upstream_cell */
	bool wait_up : 1;   /* queued because no server is up */
	bool connected : 1; /* connect_us is a duration */
	bool trial : 1;     /* it tries server_cell after an ejection */
	bool wait : 1;      /* do not pick before a back-off */
	bool ask_route : 1; /* ask modules when it is routed, in any case */
	bool log : 1;       /* one line in the access log */
};

/* A client came through `door`; `fd` is taken over, `peer` may be NULL.  The
 * session begins when there is room, after those that wait already. */
void wr_session_accept(struct wr_proxy *px, const struct wr_door *door, int fd,
    const struct sockaddr *peer, socklen_t peer_len);
/* There may be room for those that wait. */
void wr_sessions_begin(struct wr_proxy *px);

/* Move on.  `to` must be allowed by the table; the session may be at its end
 * when this returns, but it is not freed before the turn is over. */
void wr_session_go(struct wr_session *s, enum wr_state to);
/* End it; the first reason that is given stays. */
void wr_session_end(struct wr_session *s, enum wr_end why);
/* Ask the modules, and move on to `next` unless one of them objects. */
void
wr_session_ask(struct wr_session *s, enum wr_hook_at at, enum wr_state next);
/* A module that answered WR_WAIT now answers this. */
void wr_session_resume(struct wr_session *s, bool go_on);
/* The upstream of the server that it was sent to, while it has both. */
const struct wr_upstream_conf *wr_session_group(const struct wr_session *s);
/* The state has so long, or WR_OFF; then the table's `late` is called. */
void wr_session_limit(struct wr_session *s, uint32_t ms);

const char *wr_state_name(enum wr_state state);
/* Milliseconds since the client was accepted.  The first ones go round after
 * 49 days: they are for what comes before the relay. */
uint32_t wr_session_age_ms(const struct wr_session *s);
uint64_t wr_session_lasted_ms(const struct wr_session *s);
/* The client's address, asked of the kernel when first needed. */
const struct wr_ip *wr_session_client(struct wr_session *s);
/* Close one end; for the server's, wr_dial_closed() follows. */
void wr_session_hang_up(struct wr_session *s, enum wr_side side);

static inline struct wr_conn *
wr_session_conn(struct wr_session *s, enum wr_side side)
{
	return &s->relay.end[side];
}

/* The session that an operation of one of its ends belongs to. */
static inline struct wr_session *
wr_session_of(struct wr_conn *c)
{
	return wr_container_of(c - c->side, struct wr_session, relay.end[0]);
}

#endif
