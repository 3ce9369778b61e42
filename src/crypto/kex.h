/* kex: key exchange groups of TLS, one row each. Ephemeral: a key is made, its public part sent, and it
 * derives once. */
#ifndef TR_CRYPTO_KEX_H
#define TR_CRYPTO_KEX_H

#include "core/buf.h"
#include "crypto/rand.h"

/* IANA TLS Supported Groups. */
enum {
    TR_GROUP_P256 = 23,
    TR_GROUP_P384 = 24,
    TR_GROUP_P521 = 25,
    TR_GROUP_X25519 = 29,
    TR_GROUP_X448 = 30,
    TR_GROUP_FFDHE2048 = 256,
    TR_GROUP_FFDHE3072 = 257,
    TR_GROUP_FFDHE4096 = 258,
    TR_GROUP_FFDHE6144 = 259,
    TR_GROUP_FFDHE8192 = 260,
    TR_GROUP_P256_MLKEM768 = 4587, /* SecP256r1MLKEM768, draft-ietf-tls-ecdhe-mlkem */
    TR_GROUP_X25519_MLKEM768 = 4588,
    TR_GROUP_X25519_KYBER768 = 25497 /* draft-tls-westerbaan-xyber768d00: older Chromium */
};

/* The longest secret: a prime of 8192 bits gives 1024 bytes. */
#define TR_KEX_MAX_SECRET 1024

typedef struct tr_kex tr_kex_t;

/* tr_kex_supported says whether this engine can complete an exchange in the group. */
bool tr_kex_supported(uint16_t group);
/* tr_kex_name gives the group's standard name, or "unknown". */
const char *tr_kex_name(uint16_t group);
/* tr_kex_share_len is the length of the client's key share (0: unsupported). */
size_t tr_kex_share_len(uint16_t group);

/* tr_kex_new makes a key pair. Errors: TR_ERR_TLS_UNSUPPORTED, TR_ERR_NOMEM, TR_ERR_INTERNAL.
 * The bytes of X25519, X448, ML-KEM and FFDHE keys come from rnd; those of NIST curves too, so that a fixed
 * seed gives a fixed share. */
tr_code_t tr_kex_new(tr_kex_t **out, uint16_t group, const tr_rand_t *rnd, tr_err_t *err);
/* tr_kex_new_from_x25519 makes the X25519 key that shares the private key of a hybrid X25519MLKEM768 key:
 * NSS sends the same X25519 share in both, BoringSSL does not (firefox_153_linux, chromium_156_linux: samples).
 * other must be such a hybrid. */
tr_code_t tr_kex_new_from_x25519(tr_kex_t **out, const tr_kex_t *other, tr_err_t *err);
void tr_kex_free(tr_kex_t *kex); /* wipes the private key */
uint16_t tr_kex_group(const tr_kex_t *kex);
/* tr_kex_share lends the client's share as TLS sends it (key_exchange of KeyShareEntry; for TLS 1.2 the
 * ECPoint or dh_Yc contents, without length prefix). */
tr_slice_t tr_kex_share(const tr_kex_t *kex);
/* tr_kex_derive computes the shared secret from the peer's share. TR_ERR_TLS_PROTOCOL with detail 47
 * (illegal_parameter) when the share is invalid: wrong length, point not on the curve, all-zero X25519 result,
 * ML-KEM ciphertext of wrong length. out holds TR_KEX_MAX_SECRET bytes. */
tr_code_t tr_kex_derive(const tr_kex_t *kex, uint8_t *out, size_t *out_len, tr_slice_t peer, tr_err_t *err);

/* Finite-field DHE with the server's own prime, as TLS 1.2 ServerKeyExchange brings it (only suites that
 * some profiles still offer). p of less than 1024 or more than 8192 bits is refused with detail 71. */
tr_code_t tr_kex_new_dhe(tr_kex_t **out, tr_slice_t p, tr_slice_t g, const tr_rand_t *rnd, tr_err_t *err);

#endif
