#include "crypto/crypto.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>

#include "crypto/evp.h"

/* Written once under `once`, read-only afterwards. The handles live as long as the process: connections on the
 * I/O thread may outlast any point at which they could be freed. */
static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static tr_evp_t handles;
static const char *missing = "libcrypto"; /* NULL once everything was fetched */

static const char *const md_names[TR_HASH__NUM] = {"SHA1", "SHA224", "SHA256", "SHA384", "SHA512"};
static const char *const aead_names[TR_AEAD__NUM] = {"AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"};
static const int curve_nids[TR_EVP__NUM_CURVES] = {NID_X9_62_prime256v1, NID_secp384r1, NID_secp521r1};

static const char *
fetch_all(tr_evp_t *evp)
{
    for (size_t i = 0; i < TR_HASH__NUM; i++) {
        evp->md[i] = EVP_MD_fetch(NULL, md_names[i], NULL);
        if (evp->md[i] == NULL) {
            return md_names[i];
        }
    }
    for (size_t i = 0; i < TR_AEAD__NUM; i++) {
        evp->aead[i] = EVP_CIPHER_fetch(NULL, aead_names[i], NULL);
        if (evp->aead[i] == NULL) {
            return aead_names[i];
        }
    }
    for (size_t i = 0; i < TR_EVP__NUM_CURVES; i++) {
        evp->curve[i] = EC_GROUP_new_by_curve_name(curve_nids[i]);
        if (evp->curve[i] == NULL) {
            return "the NIST curves";
        }
    }
    evp->aes_128_cbc = EVP_CIPHER_fetch(NULL, "AES-128-CBC", NULL);
    evp->aes_256_cbc = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (evp->aes_128_cbc == NULL || evp->aes_256_cbc == NULL) {
        return "AES-CBC";
    }
    evp->des3_cbc = EVP_CIPHER_fetch(NULL, "DES-EDE3-CBC", NULL);
    evp->chacha20 = EVP_CIPHER_fetch(NULL, "ChaCha20", NULL);
    if (evp->chacha20 == NULL) {
        return "ChaCha20";
    }
    evp->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (evp->hmac == NULL) {
        return "HMAC";
    }
    EVP_SIGNATURE *mldsa = EVP_SIGNATURE_fetch(NULL, "ML-DSA-65", NULL);
    evp->mldsa = mldsa != NULL;
    EVP_SIGNATURE_free(mldsa);
    return NULL;
}

static void
fetch_once(void)
{
    /* Algorithms that are optional leave "unsupported" behind in the caller's queue. */
    (void)ERR_set_mark();
    missing = fetch_all(&handles);
    (void)ERR_pop_to_mark();
}

const tr_evp_t *
tr_crypto__evp(void)
{
    return CRYPTO_THREAD_run_once(&once, fetch_once) == 1 && missing == NULL ? &handles : NULL;
}

tr_code_t
tr_crypto_init(tr_err_t *err)
{
    if (tr_crypto__evp() == NULL) {
        return tr_err_set(err, TR_ERR_INTERNAL, 0, "crypto.init", "libcrypto does not offer %s", missing);
    }
    return TR_OK;
}

tr_code_t
tr_crypto__fail(tr_err_t *err, const char *where)
{
    unsigned long first = ERR_peek_error();
    int reason = ERR_GET_REASON(first);
    char text[120];
    ERR_error_string_n(first, text, sizeof(text));
    ERR_clear_error();
    if (reason == ERR_R_MALLOC_FAILURE) {
        return tr_err_nomem(err, where);
    }
    return tr_err_set(err, TR_ERR_INTERNAL, reason, where, "libcrypto failed: %s", first == 0 ? "no reason" : text);
}
