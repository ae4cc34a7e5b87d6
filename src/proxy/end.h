/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * end - why a session ended: who, in which phase, why.  One list, printed in
 * the access log, counted in the metrics, documented in weir(8).
 */
#ifndef WR_END_H
#define WR_END_H

/* X(name of the constant, text, what it means) */
#define WR_END_LIST(X)                                                         \
	X(NONE, "-", "still running")                                          \
	X(CLIENT_RELAY_EOF, "client.relay.eof",                                \
	    "the client ended first, all was delivered")                       \
	X(SERVER_RELAY_EOF, "server.relay.eof",                                \
	    "the server ended first, all was delivered")                       \
	X(CLIENT_RELAY_RESET, "client.relay.reset",                            \
	    "the client reset the connection")                                 \
	X(SERVER_RELAY_RESET, "server.relay.reset",                            \
	    "the server reset the connection")                                 \
	X(CLIENT_RELAY_LOST, "client.relay.lost",                              \
	    "the client no longer answers (heartbeat)")                        \
	X(SERVER_RELAY_LOST, "server.relay.lost",                              \
	    "the server no longer answers (heartbeat)")                        \
	X(CLIENT_RELAY_IDLE, "client.relay.idle",                              \
	    "nothing came from the client for `client_idle`")                  \
	X(SERVER_RELAY_IDLE, "server.relay.idle",                              \
	    "nothing came from the server for `server_idle`")                  \
	X(WEIR_RELAY_IDLE, "weir.relay.idle", "no byte either way for `idle`") \
	X(CLIENT_RELAY_SEND, "client.relay.send_timeout",                      \
	    "the client took no byte for `send`")                              \
	X(SERVER_RELAY_SEND, "server.relay.send_timeout",                      \
	    "the server took no byte for `send`")                              \
	X(CLIENT_RELAY_HALF, "client.relay.half_close_timeout",                \
	    "the server had ended; the client did not within `half_close`")    \
	X(SERVER_RELAY_HALF, "server.relay.half_close_timeout",                \
	    "the client had ended; the server did not within `half_close`")    \
	X(SERVER_RELAY_FIRST, "server.relay.first_byte_timeout",               \
	    "the server did not answer within `first_byte`")                   \
	X(WEIR_RELAY_LIFETIME, "weir.relay.lifetime",                          \
	    "the session was as old as `lifetime` allows")                     \
	X(WEIR_RELAY_DRAIN, "weir.relay.drain",                                \
	    "cut at `drain` while the worker was stopping")                    \
	X(WEIR_RELAY_BUFFERS, "weir.relay.no_buffers",                         \
	    "readers were slow, buffers ran out, this one was slowest")        \
	X(WEIR_RELAY_DOWN, "weir.relay.server_down",                           \
	    "the server failed its check and `on_down` says close")            \
	X(WEIR_RELAY_REMOVED, "weir.relay.server_removed",                     \
	    "the server was removed and `on_remove` says close")               \
	X(WEIR_RELAY_BACKUP, "weir.relay.close_backup",                        \
	    "a primary server is back and `on_up` says close_backup")          \
	X(CLIENT_ACCEPT_DENIED, "client.accept.denied",                        \
	    "turned away by `access`")                                         \
	X(CLIENT_ACCEPT_LIMIT, "client.accept.limit",                          \
	    "turned away by `limit`")                                          \
	X(WEIR_ACCEPT_FULL, "weir.accept.full",                                \
	    "turned away: no session was free for it")                         \
	X(WEIR_ACCEPT_FAILED, "weir.accept.failed",                            \
	    "turned away: this machine could not take it in (descriptors)")    \
	X(CLIENT_ROUTE_EOF, "client.route.eof",                                \
	    "the client ended before it was routed")                           \
	X(CLIENT_PREREAD_TIMEOUT, "client.preread.timeout",                    \
	    "too few bytes to route within `preread`")                         \
	X(CLIENT_PROXY_TIMEOUT, "client.proxy_protocol.timeout",               \
	    "no PROXY header within `proxy_protocol`")                         \
	X(CLIENT_PROXY_BAD, "client.proxy_protocol.bad",                       \
	    "a PROXY header that is broken or forbidden")                      \
	X(CLIENT_HANDSHAKE_TIMEOUT, "client.handshake.timeout",                \
	    "TLS with the client took longer than `handshake`")                \
	X(CLIENT_HANDSHAKE_FAILED, "client.handshake.failed",                  \
	    "TLS with the client failed")                                      \
	X(WEIR_ROUTE_NONE, "weir.route.none", "no route matched")              \
	X(WEIR_ROUTE_ANSWER, "weir.route.answer", "answered by `return`")      \
	X(CLIENT_ANSWER_TIMEOUT, "client.answer.timeout",                      \
	    "the client did not take the answer in time")                      \
	X(CLIENT_ANSWER_RESET, "client.answer.reset",                          \
	    "the client went away while it was answered")                      \
	X(WEIR_PICK_NO_SERVER, "weir.pick.no_server",                          \
	    "no server of the upstream is usable")                             \
	X(WEIR_PICK_NO_UPSTREAM, "weir.pick.no_upstream",                      \
	    "the upstream was removed meanwhile")                              \
	X(WEIR_PICK_BUDGET, "weir.pick.budget",                                \
	    "the retry budget of the upstream is spent")                       \
	X(WEIR_PICK_DEADLINE, "weir.pick.deadline",                            \
	    "the tries took longer than `retry.deadline`")                     \
	X(CLIENT_PICK_EOF, "client.pick.gone",                                 \
	    "the client went away while a server was looked for")              \
	X(WEIR_QUEUE_TIMEOUT, "weir.queue.timeout",                            \
	    "no place became free within `queue`")                             \
	X(WEIR_QUEUE_FULL, "weir.queue.full", "more than `queue_max` wait")    \
	X(WEIR_QUEUE_WAIT_UP, "weir.queue.wait_up",                            \
	    "no server came up within `wait_up`")                              \
	X(SERVER_CONNECT_REFUSED, "server.connect.refused",                    \
	    "the last server tried refused the connection")                    \
	X(SERVER_CONNECT_TIMEOUT, "server.connect.timeout",                    \
	    "the last server tried did not answer within `connect`")           \
	X(SERVER_CONNECT_RESET, "server.connect.reset",                        \
	    "the last server tried reset the connection")                      \
	X(SERVER_CONNECT_UNREACHABLE, "server.connect.unreachable",            \
	    "no way to the last server tried")                                 \
	X(SERVER_HANDSHAKE_TIMEOUT, "server.handshake.timeout",                \
	    "TLS with the server took longer than `handshake`")                \
	X(SERVER_HANDSHAKE_FAILED, "server.handshake.failed",                  \
	    "TLS with the server failed")                                      \
	X(WEIR_CONNECT_FAILED, "weir.connect.failed",                          \
	    "this machine could not connect (ports, descriptors, memory)")     \
	X(WEIR_STOP, "weir.any.stop", "weir was told to stop at once")         \
	X(WEIR_ANY_ERROR, "weir.any.error", "an error of this machine")

enum wr_end {
#define X(name, text, help) WR_END_##name,
	WR_END_LIST(X)
#undef X
	WR_ENDS
};

/* All of them, in that order, NULL at the end. */
extern const char *const wr_end_texts[];
/* "who.phase.why", and one line of explanation. */
const char *wr_end_text(enum wr_end e);
const char *wr_end_help(enum wr_end e);

#endif
