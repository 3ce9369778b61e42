/* hash: digests, HMAC, HKDF and the TLS 1.2 PRF over libcrypto's EVP. Algorithms are rows of a const
 * table. Handles may be shared between threads, contexts may not. */
#ifndef TR_CRYPTO_HASH_H
#define TR_CRYPTO_HASH_H

#include "core/err.h"

#define TR_HASH_MAX 64

typedef enum tr_hash_id {
    TR_HASH_SHA1, /* HMAC of the CBC suites and legacy signatures only */
    TR_HASH_SHA224, /* legacy signatures only */
    TR_HASH_SHA256,
    TR_HASH_SHA384,
    TR_HASH_SHA512,
    TR_HASH__NUM
} tr_hash_id_t;

typedef struct tr_hash_ctx tr_hash_ctx_t; /* opaque; over EVP_MD_CTX */

size_t tr_hash_len(tr_hash_id_t id);
const char *tr_hash_name(tr_hash_id_t id);

/* tr_hash_new starts a digest; NULL: out of memory. */
tr_hash_ctx_t *tr_hash_new(tr_hash_id_t id) TR_WARN_UNUSED;
void tr_hash_free(tr_hash_ctx_t *ctx);
tr_code_t tr_hash_update(tr_hash_ctx_t *ctx, const void *data, size_t len);
/* tr_hash_peek writes the digest of what came so far and leaves the context running (transcripts). */
tr_code_t tr_hash_peek(const tr_hash_ctx_t *ctx, uint8_t *out);
/* tr_hash_dup copies a running digest; NULL: out of memory. */
tr_hash_ctx_t *tr_hash_dup(const tr_hash_ctx_t *ctx) TR_WARN_UNUSED;
/* tr_hash_once is new, update, peek, free. out holds tr_hash_len(id) bytes. */
tr_code_t tr_hash_once(tr_hash_id_t id, uint8_t *out, tr_slice_t in);

/* tr_hmac is HMAC over the concatenation of num parts. */
tr_code_t tr_hmac(tr_hash_id_t id, uint8_t *out, tr_slice_t key, const tr_slice_t *parts, size_t num_parts);

/* RFC 5869. out of extract has tr_hash_len(id) bytes; salt may be empty (then zeros). */
tr_code_t tr_hkdf_extract(tr_hash_id_t id, uint8_t *out, tr_slice_t salt, tr_slice_t ikm);
tr_code_t tr_hkdf_expand(tr_hash_id_t id, uint8_t *out, size_t out_len, tr_slice_t prk, tr_slice_t info);
/* RFC 8446 7.1: label comes without the "tls13 " prefix, which is added. */
tr_code_t tr_hkdf_expand_label(tr_hash_id_t id, uint8_t *out, size_t out_len, tr_slice_t secret,
                               const char *label, tr_slice_t context);
/* RFC 5246 5: P_hash of secret over label and seed (two slices, concatenated). */
tr_code_t tr_tls12_prf(tr_hash_id_t id, uint8_t *out, size_t out_len, tr_slice_t secret, const char *label,
                       tr_slice_t seed1, tr_slice_t seed2);

#endif
