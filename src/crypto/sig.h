/* sig: signature schemes of TLS, one row each, and the keys they work on. */
#ifndef TR_CRYPTO_SIG_H
#define TR_CRYPTO_SIG_H

#include "core/buf.h"

/* IANA TLS SignatureScheme. */
enum {
    TR_SIG_RSA_PKCS1_SHA1 = 0x0201,
    TR_SIG_ECDSA_SHA1 = 0x0203,
    TR_SIG_RSA_PKCS1_SHA224 = 0x0301, /* TLS 1.2 only (RFC 5246 7.4.1.4.1): old Android */
    TR_SIG_ECDSA_SHA224 = 0x0303,
    TR_SIG_RSA_PKCS1_SHA256 = 0x0401,
    TR_SIG_ECDSA_P256_SHA256 = 0x0403,
    TR_SIG_RSA_PKCS1_SHA384 = 0x0501,
    TR_SIG_ECDSA_P384_SHA384 = 0x0503,
    TR_SIG_RSA_PKCS1_SHA512 = 0x0601,
    TR_SIG_ECDSA_P521_SHA512 = 0x0603,
    TR_SIG_RSA_PSS_RSAE_SHA256 = 0x0804,
    TR_SIG_RSA_PSS_RSAE_SHA384 = 0x0805,
    TR_SIG_RSA_PSS_RSAE_SHA512 = 0x0806,
    TR_SIG_ED25519 = 0x0807,
    TR_SIG_ED448 = 0x0808,
    TR_SIG_RSA_PSS_PSS_SHA256 = 0x0809,
    TR_SIG_RSA_PSS_PSS_SHA384 = 0x080a,
    TR_SIG_RSA_PSS_PSS_SHA512 = 0x080b,
    TR_SIG_MLDSA44 = 0x0904, /* where libcrypto has them (3.5 on) */
    TR_SIG_MLDSA65 = 0x0905,
    TR_SIG_MLDSA87 = 0x0906
};

typedef struct tr_pkey tr_pkey_t; /* a public or private key; over EVP_PKEY, reference counted */

const char *tr_sig_name(uint16_t scheme);
/* tr_sig_known says whether this engine can verify the scheme. */
bool tr_sig_known(uint16_t scheme);
/* tr_sig_usable says whether a key of this type (and, under TLS 1.3, curve) may sign with the scheme.
 * tls13 excludes PKCS#1 v1.5 and SHA-1 (RFC 8446 4.2.3) and ties ECDSA schemes to their curve. */
bool tr_sig_usable(uint16_t scheme, const tr_pkey_t *key, bool tls13);

/* tr_sig_verify checks a signature over msg. False: it does not match, or the scheme does not fit. */
bool tr_sig_verify(uint16_t scheme, const tr_pkey_t *key, tr_slice_t msg, tr_slice_t sig);
/* tr_sig_sign appends a signature over msg to out. */
tr_code_t tr_sig_sign(uint16_t scheme, const tr_pkey_t *key, tr_buf_t *out, tr_slice_t msg, tr_err_t *err);

/* tr_pkey_from_spki reads a DER SubjectPublicKeyInfo; NULL: not a key. */
tr_pkey_t *tr_pkey_from_spki(tr_slice_t der) TR_WARN_UNUSED;
/* tr_pkey_from_pem reads a private key (PKCS#8, PKCS#1, SEC 1; password may be NULL). */
tr_code_t tr_pkey_from_pem(tr_pkey_t **out, tr_slice_t pem, const char *password, tr_err_t *err);
void tr_pkey_free(tr_pkey_t *key);
bool tr_pkey_is_rsa(const tr_pkey_t *key);
unsigned tr_pkey_bits(const tr_pkey_t *key);
/* tr_pkey_same says whether a private key belongs to a public one. */
bool tr_pkey_same(const tr_pkey_t *a, const tr_pkey_t *b);
/* tr_pkey_rsa_encrypt is RSAES-PKCS1-v1_5 (RFC 5246 7.4.7.1), appended to out. */
tr_code_t tr_pkey_rsa_encrypt(const tr_pkey_t *key, tr_buf_t *out, tr_slice_t in, tr_err_t *err);

#endif
