#include "crypto/aead.h"

#include <limits.h>
#include <openssl/err.h>

#include "core/mem.h"
#include "crypto/evp.h"

/* DESIGN. One EVP_CIPHER_CTX holds one direction's key schedule for the connection's life; a record sets the nonce
 * and runs. Nothing is allocated per record. */
struct tr_aead {
    EVP_CIPHER_CTX *ctx; /* owned; keyed */
};

size_t
tr_aead_key_len(tr_aead_id_t id)
{
    switch (id) {
    case TR_AEAD_AES_128_GCM:
        return 16;
    case TR_AEAD_AES_256_GCM:
    case TR_AEAD_CHACHA20_POLY1305:
        return 32;
    case TR_AEAD__NUM:
        break;
    }
    return 0;
}

tr_aead_t *
tr_aead_new(tr_aead_id_t id, const uint8_t *key, bool seal)
{
    const tr_evp_t *evp = tr_crypto__evp();
    tr_aead_t *aead = NULL;
    if (evp == NULL || (unsigned)id >= TR_AEAD__NUM) {
        goto fail;
    }
    aead = tr_calloc(1, sizeof(*aead));
    if (aead == NULL) {
        goto fail;
    }
    aead->ctx = EVP_CIPHER_CTX_new();
    /* All three ciphers take a nonce of 12 bytes unless told otherwise. */
    if (aead->ctx == NULL || EVP_CipherInit_ex2(aead->ctx, evp->aead[id], key, NULL, seal ? 1 : 0, NULL) != 1) {
        goto fail;
    }
    return aead;
fail:
    tr_aead_free(aead);
    ERR_clear_error();
    return NULL;
}

void
tr_aead_free(tr_aead_t *aead)
{
    if (aead != NULL) {
        EVP_CIPHER_CTX_free(aead->ctx); /* libcrypto wipes the key schedule */
        tr_free(aead);
    }
}

static bool
aead_begin(EVP_CIPHER_CTX *ctx, const uint8_t *nonce, tr_slice_t aad)
{
    int len;
    return EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, -1, NULL) == 1 &&
           (aad.len == 0 || EVP_CipherUpdate(ctx, NULL, &len, aad.data, (int)aad.len) == 1);
}

tr_code_t
tr_aead_seal(tr_aead_t *aead, uint8_t *out, const uint8_t nonce[TR_AEAD_NONCE_LEN], tr_slice_t aad, tr_slice_t in,
             tr_slice_t tail)
{
    int len;
    if (in.len > INT_MAX || tail.len > INT_MAX || aad.len > INT_MAX) {
        return TR_ERR_INTERNAL;
    }
    uint8_t *end = out + in.len + tail.len;
    if (!aead_begin(aead->ctx, nonce, aad) ||
        (in.len > 0 && EVP_EncryptUpdate(aead->ctx, out, &len, in.data, (int)in.len) != 1) ||
        (tail.len > 0 && EVP_EncryptUpdate(aead->ctx, out + in.len, &len, tail.data, (int)tail.len) != 1) ||
        EVP_EncryptFinal_ex(aead->ctx, end, &len) != 1 ||
        EVP_CIPHER_CTX_ctrl(aead->ctx, EVP_CTRL_AEAD_GET_TAG, TR_AEAD_TAG_LEN, end) != 1) {
        ERR_clear_error();
        return TR_ERR_INTERNAL;
    }
    return TR_OK;
}

tr_code_t
tr_aead_open(tr_aead_t *aead, uint8_t *out, const uint8_t nonce[TR_AEAD_NONCE_LEN], tr_slice_t aad, tr_slice_t in)
{
    uint8_t tag[TR_AEAD_TAG_LEN];
    int len;
    if (in.len < TR_AEAD_TAG_LEN || in.len > INT_MAX || aad.len > INT_MAX) {
        return TR_ERR_TLS_BAD_RECORD;
    }
    size_t text_len = in.len - TR_AEAD_TAG_LEN;
    memcpy(tag, in.data + text_len, sizeof(tag)); /* libcrypto's interface takes it as writable */
    if (!aead_begin(aead->ctx, nonce, aad) ||
        (text_len > 0 && EVP_DecryptUpdate(aead->ctx, out, &len, in.data, (int)text_len) != 1) ||
        EVP_CIPHER_CTX_ctrl(aead->ctx, EVP_CTRL_AEAD_SET_TAG, TR_AEAD_TAG_LEN, tag) != 1 ||
        EVP_DecryptFinal_ex(aead->ctx, out + text_len, &len) != 1) {
        ERR_clear_error();
        return TR_ERR_TLS_BAD_RECORD;
    }
    return TR_OK;
}
