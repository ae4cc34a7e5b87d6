/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_probe - a TLS handshake as a client and a proper end, in memory: bytes
 * in, bytes out, never a descriptor.
 *
 * It proves that a server speaks TLS; it does not judge its certificate.
 */
#ifndef WR_TLS_PROBE_H
#define WR_TLS_PROBE_H

#include <stddef.h>

#include "base/base.h"

struct wr_tls_probe;

/* `name` is asked for (SNI) unless it is empty.  NULL: no memory. */
struct wr_tls_probe *wr_tls_probe_new(const char *name);
/* Leaves NULL. */
void wr_tls_probe_free(struct wr_tls_probe **t);
/* Bytes came from the server; copied.  0 or -ENOMEM. */
wr_must_check int
wr_tls_probe_feed(struct wr_tls_probe *t, const void *p, size_t len);
/* Go on: 1 the handshake is done, 0 more bytes are needed, -EPROTO it failed,
 * after writing to `why`.  There may be bytes to send in all three cases. */
wr_must_check int
wr_tls_probe_step(struct wr_tls_probe *t, char *why, size_t size);
/* Take bytes to send; how many, 0 if there are none. */
size_t wr_tls_probe_take(struct wr_tls_probe *t, void *p, size_t size);

#endif
