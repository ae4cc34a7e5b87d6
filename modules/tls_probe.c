/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_probe - see tls_probe.h. */
#include "modules/tls_probe.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

struct wr_tls_probe {
	SSL *ssl;
	BIO *in, *out; /* owned by ssl */
};

/* One for all, made when first needed. */
static SSL_CTX *
context(void)
{
	static SSL_CTX *ctx;

	if (ctx == NULL) {
		ctx = SSL_CTX_new(TLS_client_method());
		if (ctx != NULL)
			SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	}
	return ctx;
}

/* The two BIOs are the SSL's from here on. */
static int
attach(struct wr_tls_probe *t)
{
	t->in = BIO_new(BIO_s_mem());
	t->out = BIO_new(BIO_s_mem());
	if (t->in == NULL || t->out == NULL) {
		BIO_free(t->in);
		BIO_free(t->out);
		return -ENOMEM;
	}
	SSL_set_bio(t->ssl, t->in, t->out);
	return 0;
}

struct wr_tls_probe *
wr_tls_probe_new(const char *name)
{
	struct wr_tls_probe *t = calloc(1, sizeof(*t));
	SSL_CTX *ctx = context();

	if (t == NULL || ctx == NULL) {
		free(t);
		return NULL;
	}
	t->ssl = SSL_new(ctx);
	if (t->ssl == NULL || attach(t) < 0 ||
	    (name[0] != '\0' && SSL_set_tlsext_host_name(t->ssl, name) != 1)) {
		wr_tls_probe_free(&t);
		return NULL;
	}
	SSL_set_connect_state(t->ssl);
	return t;
}

void
wr_tls_probe_free(struct wr_tls_probe **t)
{
	if (*t == NULL)
		return;
	SSL_free((*t)->ssl);
	free(*t);
	*t = NULL;
}

int
wr_tls_probe_feed(struct wr_tls_probe *t, const void *p, size_t len)
{
	if (len > INT_MAX || BIO_write(t->in, p, (int)len) != (int)len)
		return -ENOMEM;
	return 0;
}

int
wr_tls_probe_step(struct wr_tls_probe *t, char *why, size_t size)
{
	const char *reason;
	unsigned long e;
	int n;

	ERR_clear_error();
	n = SSL_do_handshake(t->ssl);
	if (n == 1) {
		/* An end without this is an error to the server. */
		if (!(SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN))
			(void)SSL_shutdown(t->ssl);
		return 1;
	}
	if (SSL_get_error(t->ssl, n) == SSL_ERROR_WANT_READ)
		return 0;
	e = ERR_peek_error();
	reason = ERR_reason_error_string(e);
	(void)snprintf(why, size, "%s", reason != NULL ? reason : "broken");
	ERR_clear_error();
	return -EPROTO;
}

size_t
wr_tls_probe_take(struct wr_tls_probe *t, void *p, size_t size)
{
	int n = BIO_read(t->out, p, size > INT_MAX ? INT_MAX : (int)size);

	return n > 0 ? (size_t)n : 0;
}
