/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hmac - HMAC-SHA256, and comparing it without telling how much is right.
 */
#ifndef WR_HMAC_H
#define WR_HMAC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define WR_HMAC_BYTES 32

/* Is `mac` that of `text` under `secret`? */
bool wr_hmac_is(
    struct wr_str secret, struct wr_str text, const uint8_t mac[WR_HMAC_BYTES]);

#endif
