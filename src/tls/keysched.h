/* keysched: the key schedule of TLS 1.3 (RFC 8446 7.1). The record layer and QUIC both use its secrets. Belongs
 * to one handshake; everything in it is secret and wiped by _cleanup. */
#ifndef TR_TLS_KEYSCHED_H
#define TR_TLS_KEYSCHED_H

#include "crypto/aead.h"
#include "crypto/hash.h"

typedef struct tr_keysched {
    tr_hash_id_t hash;
    size_t hash_len;
    uint8_t chain[TR_HASH_MAX]; /* early, handshake, then master secret */
    uint8_t client_early[TR_HASH_MAX];
    uint8_t client_handshake[TR_HASH_MAX];
    uint8_t server_handshake[TR_HASH_MAX];
    uint8_t client_application[TR_HASH_MAX]; /* replaced by each KeyUpdate */
    uint8_t server_application[TR_HASH_MAX];
    uint8_t exporter[TR_HASH_MAX];
    uint8_t resumption[TR_HASH_MAX];
} tr_keysched_t;

/* tr_keysched_init extracts the early secret; psk may be empty. */
tr_code_t tr_keysched_init(tr_keysched_t *ks, tr_hash_id_t hash, tr_slice_t psk);
void tr_keysched_cleanup(tr_keysched_t *ks);

/* Each of these takes the digest (hash_len bytes) of the transcript up to where RFC 8446 7.1 says. */
tr_code_t tr_keysched_early(tr_keysched_t *ks, const uint8_t *digest);
tr_code_t tr_keysched_handshake(tr_keysched_t *ks, tr_slice_t shared, const uint8_t *digest);
tr_code_t tr_keysched_application(tr_keysched_t *ks, const uint8_t *digest);
tr_code_t tr_keysched_resumption(tr_keysched_t *ks, const uint8_t *digest);

/* tr_keysched_finished computes the verify_data under a handshake traffic secret (RFC 8446 4.4.4). */
tr_code_t tr_keysched_finished(const tr_keysched_t *ks, uint8_t *out, const uint8_t *secret, const uint8_t *digest);
/* tr_keysched_update replaces a traffic secret by its successor (RFC 8446 7.2). */
tr_code_t tr_keysched_update(const tr_keysched_t *ks, uint8_t *secret);
/* tr_keysched_ticket derives a ticket's PSK, hash_len bytes (RFC 8446 4.6.1). */
tr_code_t tr_keysched_ticket(const tr_keysched_t *ks, uint8_t *out, tr_slice_t nonce);
/* tr_keysched_traffic derives record keys from a traffic secret (RFC 8446 7.3). */
tr_code_t tr_keysched_traffic(tr_hash_id_t hash, tr_slice_t secret, uint8_t *key, size_t key_len,
                              uint8_t iv[TR_AEAD_NONCE_LEN]);

#endif
