/* suites: the cipher suites this engine can run, one row each: TLS 1.3, and what browsers still offer of
 * TLS 1.2. Const data, any thread. */
#ifndef TR_TLS_SUITES_H
#define TR_TLS_SUITES_H

#include "crypto/aead.h"
#include "crypto/hash.h"

/* In place of the renegotiation_info extension (RFC 5746 3.3); never a choice of the server. */
#define TR_SUITE_RENEGOTIATION_SCSV 0x00ff

typedef enum tr_kx {
    TR_KX_ANY, /* TLS 1.3: key share and certificate are agreed apart from the suite */
    TR_KX_ECDHE,
    TR_KX_DHE,
    TR_KX_RSA
} tr_kx_t;

typedef enum tr_auth {
    TR_AUTH_ANY, /* TLS 1.3 */
    TR_AUTH_RSA,
    TR_AUTH_ECDSA /* and EdDSA (RFC 8422 5.10) */
} tr_auth_t;

typedef struct tr_suite {
    uint16_t id;
    const char *name; /* IANA's */
    tr_kx_t kx;
    tr_auth_t auth;
    tr_hash_id_t hash; /* of the key schedule (1.3) or the PRF (1.2) */
    bool is_cbc;
    tr_aead_id_t aead; /* unless is_cbc */
    tr_cbc_id_t cbc;   /* if is_cbc */
} tr_suite_t;

/* tr_suite_find gives the row of a suite; NULL: unknown. */
const tr_suite_t *tr_suite_find(uint16_t id);

static inline bool
tr_suite_is_13(const tr_suite_t *suite)
{
    return suite->kx == TR_KX_ANY;
}

#endif
