/* evp: what the files of this layer share: libcrypto's algorithms, fetched once and kept for the life of the
 * process, and the way a tr_pkey_t is made from an EVP_PKEY. Includes openssl/, so only crypto/ and tls/x509.c
 * may include it. Handles are read-only after tr_crypto_init: any thread. */
#ifndef TR_CRYPTO_EVP_H
#define TR_CRYPTO_EVP_H

#include <openssl/ec.h>
#include <openssl/evp.h>

#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/sig.h"

typedef enum tr_evp_curve { TR_EVP_P256, TR_EVP_P384, TR_EVP_P521, TR_EVP__NUM_CURVES } tr_evp_curve_t;

typedef struct tr_evp {
    EVP_MD *md[TR_HASH__NUM];
    EVP_CIPHER *aead[TR_AEAD__NUM];
    EVP_CIPHER *aes_128_cbc;
    EVP_CIPHER *aes_256_cbc;
    EVP_CIPHER *des3_cbc; /* NULL where libcrypto was built without DES */
    EVP_CIPHER *chacha20; /* of the seeded generator */
    EVP_MAC *hmac;        /* of the CBC suites */
    EC_GROUP *curve[TR_EVP__NUM_CURVES];
    bool mldsa; /* ML-DSA keys and signatures work (libcrypto 3.5 on) */
} tr_evp_t;

/* tr_crypto__evp gives the handles, fetching them on first use; NULL: libcrypto lacks one that is needed. */
const tr_evp_t *tr_crypto__evp(void);

/* tr_crypto__fail empties libcrypto's error queue into *err as TR_ERR_INTERNAL (or NOMEM, where the queue says
 * so); detail is the reason code. */
tr_code_t tr_crypto__fail(tr_err_t *err, const char *where);

/* tr_pkey__new wraps a key and takes over the caller's reference, also on failure. NULL: out of memory. */
tr_pkey_t *tr_pkey__new(EVP_PKEY *evp) TR_WARN_UNUSED;
/* tr_pkey__from_spki is tr_pkey_from_spki that tells TR_ERR_NOMEM from TR_ERR_TLS_PROTOCOL (not a key). */
tr_code_t tr_pkey__from_spki(tr_pkey_t **out, tr_slice_t der);
/* tr_pkey__for_tls says whether any signature scheme of TLS goes with this type of key. */
bool tr_pkey__for_tls(const tr_pkey_t *key);

#endif
