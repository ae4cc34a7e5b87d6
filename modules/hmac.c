/* SPDX-License-Identifier: BSD-2-Clause */
/* hmac - see hmac.h. */
#include "modules/hmac.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

bool
wr_hmac_is(
    struct wr_str secret, struct wr_str text, const uint8_t mac[WR_HMAC_BYTES])
{
	uint8_t own[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (HMAC(EVP_sha256(), secret.p, (int)secret.len,
		(const unsigned char *)text.p, text.len, own, &len) == NULL)
		return false;
	return len == WR_HMAC_BYTES && CRYPTO_memcmp(own, mac, len) == 0;
}
