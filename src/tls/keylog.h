/* keylog: lines of the SSLKEYLOGFILE format (RFC 9850). */
#ifndef TR_TLS_KEYLOG_H
#define TR_TLS_KEYLOG_H

#include "tls/tls.h"

/* tr_keylog_write gives one line to config->keylog, if there is one: label, client random, secret (at most 64 bytes).
 * The line is wiped afterwards. */
void tr_keylog_write(const tr_tls_config_t *config, const char *label, const uint8_t client_random[32],
                     tr_slice_t secret);

#endif
