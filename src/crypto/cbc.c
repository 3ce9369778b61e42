/* AES-CBC and 3DES-CBC with HMAC, MAC-then-encrypt (RFC 5246 6.2.3.2). Declared in aead.h. */
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include "core/mem.h"
#include "crypto/aead.h"
#include "crypto/ct.h"
#include "crypto/evp.h"

/* DESIGN. Whoever can tell "padding wrong" from "MAC wrong", by an alert or by time, can decrypt (Vaudenay, Lucky
 * 13). Opening therefore touches the same bytes whatever the padding says: the padding is checked under a mask over
 * all of its possible length; the MAC is computed by libcrypto's constant-time HMAC (OSSL_MAC_PARAM_TLS_DATA_SIZE,
 * which runs as many compressions as the longest possible content needs); the received MAC is picked out of the
 * record under masks; and there is one answer for both failures. */

typedef struct cbc_row {
    tr_hash_id_t hash;
    size_t key_len;
    size_t block_len;
} cbc_row_t;

static const cbc_row_t rows[TR_CBC__NUM] = {
    [TR_CBC_AES_128_SHA1] = {TR_HASH_SHA1, 16, 16},     [TR_CBC_AES_256_SHA1] = {TR_HASH_SHA1, 32, 16},
    [TR_CBC_AES_128_SHA256] = {TR_HASH_SHA256, 16, 16}, [TR_CBC_AES_256_SHA256] = {TR_HASH_SHA256, 32, 16},
    [TR_CBC_AES_256_SHA384] = {TR_HASH_SHA384, 32, 16}, [TR_CBC_3DES_SHA1] = {TR_HASH_SHA1, 24, 8},
};

#define MAX_BLOCK 16
#define AAD_LEN 13
/* The longest padding, its length byte included. */
#define MAX_PADDING 256

struct tr_cbc {
    const cbc_row_t *row;
    size_t mac_len;
    EVP_CIPHER_CTX *ctx; /* owned; keyed, no padding of libcrypto's own */
    EVP_MAC_CTX *mac;    /* owned; keyed */
    bool etm;            /* encrypt-then-MAC (RFC 7366) */
};

size_t
tr_cbc_key_len(tr_cbc_id_t id)
{
    return (unsigned)id < TR_CBC__NUM ? rows[id].key_len : 0;
}

size_t
tr_cbc_mac_len(tr_cbc_id_t id)
{
    return (unsigned)id < TR_CBC__NUM ? tr_hash_len(rows[id].hash) : 0;
}

size_t
tr_cbc_block_len(tr_cbc_id_t id)
{
    return (unsigned)id < TR_CBC__NUM ? rows[id].block_len : 0;
}

static const EVP_CIPHER *
cipher_of(const tr_evp_t *evp, const cbc_row_t *row)
{
    if (row->block_len == 8) {
        return evp->des3_cbc;
    }
    return row->key_len == 16 ? evp->aes_128_cbc : evp->aes_256_cbc;
}

tr_cbc_t *
tr_cbc_new(tr_cbc_id_t id, const uint8_t *key, const uint8_t *mac_key, bool seal)
{
    const tr_evp_t *evp = tr_crypto__evp();
    tr_cbc_t *cbc = NULL;
    if (evp == NULL || (unsigned)id >= TR_CBC__NUM) {
        goto fail;
    }
    cbc = tr_calloc(1, sizeof(*cbc));
    if (cbc == NULL) {
        goto fail;
    }
    cbc->row = &rows[id];
    cbc->mac_len = tr_hash_len(cbc->row->hash);
    const EVP_CIPHER *cipher = cipher_of(evp, cbc->row);
    cbc->ctx = EVP_CIPHER_CTX_new();
    if (cipher == NULL || cbc->ctx == NULL ||
        EVP_CipherInit_ex2(cbc->ctx, cipher, key, NULL, seal ? 1 : 0, NULL) != 1 ||
        EVP_CIPHER_CTX_set_padding(cbc->ctx, 0) != 1) {
        goto fail;
    }
    /* The parameter's type lacks const; the name is not written to. */
    OSSL_PARAM params[2] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)EVP_MD_get0_name(evp->md[cbc->row->hash]),
                                         0),
        OSSL_PARAM_construct_end(),
    };
    cbc->mac = EVP_MAC_CTX_new(evp->hmac);
    if (cbc->mac == NULL || EVP_MAC_init(cbc->mac, mac_key, cbc->mac_len, params) != 1) {
        goto fail;
    }
    return cbc;
fail:
    tr_cbc_free(cbc);
    ERR_clear_error();
    return NULL;
}

void
tr_cbc_free(tr_cbc_t *cbc)
{
    if (cbc != NULL) {
        EVP_CIPHER_CTX_free(cbc->ctx);
        EVP_MAC_CTX_free(cbc->mac);
        tr_free(cbc);
    }
}

void
tr_cbc_set_etm(tr_cbc_t *cbc)
{
    cbc->etm = true;
}

static void
make_aad(uint8_t aad[AAD_LEN], const uint8_t aad11[11], size_t len)
{
    memcpy(aad, aad11, 11);
    aad[11] = (uint8_t)(len >> 8);
    aad[12] = (uint8_t)len;
}

/* RFC 7366 3: HMAC over aad, IV and ciphertext. */
static bool
mac_of_ciphertext(tr_cbc_t *cbc, uint8_t *out, const uint8_t aad11[11], const uint8_t *data, size_t len)
{
    uint8_t aad[AAD_LEN];
    size_t mac_len = 0;
    make_aad(aad, aad11, len);
    return EVP_MAC_init(cbc->mac, NULL, 0, NULL) == 1 && EVP_MAC_update(cbc->mac, aad, sizeof(aad)) == 1 &&
           EVP_MAC_update(cbc->mac, data, len) == 1 && EVP_MAC_final(cbc->mac, out, &mac_len, TR_HASH_MAX) == 1 &&
           mac_len == cbc->mac_len;
}

static tr_code_t
seal_etm(tr_cbc_t *cbc, uint8_t *out, size_t *out_len, const uint8_t *iv, const uint8_t aad11[11], tr_slice_t in)
{
    size_t block_len = cbc->row->block_len;
    uint8_t *body = out + block_len;
    uint8_t mac[TR_HASH_MAX];
    size_t padding = block_len - in.len % block_len;
    size_t body_len = in.len + padding;
    int len;
    if (in.len > 0) {
        memmove(body, in.data, in.len);
    }
    memmove(out, iv, block_len);
    memset(body + in.len, (int)(padding - 1), padding);
    if (EVP_CipherInit_ex2(cbc->ctx, NULL, NULL, out, -1, NULL) != 1 ||
        EVP_EncryptUpdate(cbc->ctx, body, &len, body, (int)body_len) != 1 || (size_t)len != body_len ||
        !mac_of_ciphertext(cbc, mac, aad11, out, block_len + body_len)) {
        ERR_clear_error();
        return TR_ERR_INTERNAL;
    }
    memcpy(body + body_len, mac, cbc->mac_len);
    *out_len = block_len + body_len + cbc->mac_len;
    return TR_OK;
}

tr_code_t
tr_cbc_seal(tr_cbc_t *cbc, uint8_t *out, size_t *out_len, const uint8_t *iv, const uint8_t aad11[11], tr_slice_t in)
{
    size_t block_len = cbc->row->block_len;
    uint8_t *body = out + block_len;
    uint8_t aad[AAD_LEN];
    size_t mac_len;
    int len;
    *out_len = 0;
    if (in.len > UINT16_MAX) {
        return TR_ERR_INTERNAL;
    }
    if (cbc->etm) {
        return seal_etm(cbc, out, out_len, iv, aad11, in);
    }
    make_aad(aad, aad11, in.len);
    if (in.len > 0) {
        memmove(body, in.data, in.len);
    }
    memmove(out, iv, block_len);
    if (EVP_MAC_init(cbc->mac, NULL, 0, NULL) != 1 || EVP_MAC_update(cbc->mac, aad, sizeof(aad)) != 1 ||
        (in.len > 0 && EVP_MAC_update(cbc->mac, body, in.len) != 1) ||
        EVP_MAC_final(cbc->mac, body + in.len, &mac_len, cbc->mac_len) != 1 || mac_len != cbc->mac_len) {
        goto fail;
    }
    /* Each padding byte holds the number of those before the length byte, which is the last. */
    size_t padding = block_len - (in.len + mac_len) % block_len;
    size_t body_len = in.len + mac_len + padding;
    memset(body + in.len + mac_len, (int)(padding - 1), padding);
    if (EVP_CipherInit_ex2(cbc->ctx, NULL, NULL, out, -1, NULL) != 1 ||
        EVP_EncryptUpdate(cbc->ctx, body, &len, body, (int)body_len) != 1 || (size_t)len != body_len) {
        goto fail;
    }
    *out_len = block_len + body_len;
    return TR_OK;
fail:
    ERR_clear_error();
    return TR_ERR_INTERNAL;
}

/* Decides the length of the content under a mask. Returns the mask of "the padding is right"; *out_data_len is the
 * content's length, as if the padding were its length byte alone where it is not right. */
static size_t
check_padding(size_t *out_data_len, const uint8_t *body, size_t body_len, size_t mac_len)
{
    size_t padding = (size_t)body[body_len - 1] + 1;
    size_t good = tr_ct__ge(body_len, mac_len + padding);
    size_t scan_len = TR_MIN(body_len, (size_t)MAX_PADDING);
    size_t wrong = 0;
    for (size_t i = 0; i < scan_len; i++) {
        size_t inside = tr_ct__lt(i, padding);
        wrong |= inside & ((size_t)body[body_len - 1 - i] ^ (padding - 1));
    }
    good &= tr_ct__is_zero(wrong);
    *out_data_len = body_len - mac_len - tr_ct__select(good, padding, 1);
    return good;
}

/* Copies the MAC that starts at the secret offset mac_start, in a time and with memory accesses that do not depend
 * on it: first into a ring that starts anywhere, then turned. */
static void
copy_mac(uint8_t *out, const uint8_t *body, size_t body_len, size_t mac_start, size_t mac_len)
{
    uint8_t ring[TR_HASH_MAX] = {0};
    size_t scan_start = body_len > mac_len + MAX_PADDING ? body_len - mac_len - MAX_PADDING : 0;
    size_t turn = 0;
    size_t slot = 0;
    for (size_t i = scan_start; i < body_len; i++) {
        size_t at = tr_ct__hide(i); /* else gcc may count from mac_start, and reach body[i] through it */
        size_t inside = tr_ct__ge(at, mac_start) & tr_ct__lt(at, mac_start + mac_len);
        turn |= tr_ct__eq(at, mac_start) & slot;
        ring[slot] |= (uint8_t)(body[i] & inside);
        slot = slot + 1 == mac_len ? 0 : slot + 1;
    }
    for (size_t i = 0; i < mac_len; i++) {
        uint8_t byte = 0;
        for (size_t j = 0; j < mac_len; j++) {
            byte |= (uint8_t)(ring[j] & tr_ct__eq(j, turn));
        }
        out[i] = byte;
        turn += 1;
        turn = tr_ct__select(tr_ct__eq(turn, mac_len), 0, turn);
    }
}

/* HMAC over aad and the first data_len bytes of body, in the time that any content of a record of body_len takes.
 */
static bool
compute_mac(const tr_cbc_t *cbc, uint8_t *out, const uint8_t aad[AAD_LEN], const uint8_t *body, size_t body_len,
            size_t data_len)
{
    size_t mac_len = 0;
    OSSL_PARAM params[2] = {
        OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_TLS_DATA_SIZE, &body_len),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC_CTX *mac = EVP_MAC_CTX_dup(cbc->mac);
    bool ok = mac != NULL && EVP_MAC_CTX_set_params(mac, params) == 1 && EVP_MAC_update(mac, aad, AAD_LEN) == 1 &&
              EVP_MAC_update(mac, body, data_len) == 1 && EVP_MAC_final(mac, out, &mac_len, TR_HASH_MAX) == 1 &&
              mac_len == cbc->mac_len;
    EVP_MAC_CTX_free(mac);
    return ok;
}

/* The MAC is checked before anything is decrypted, so the padding need not be hidden. */
static tr_code_t
open_etm(tr_cbc_t *cbc, uint8_t *out, size_t *out_len, const uint8_t aad11[11], tr_slice_t in)
{
    size_t block_len = cbc->row->block_len;
    uint8_t iv[MAX_BLOCK];
    uint8_t computed[TR_HASH_MAX];
    int len;
    if (in.len > UINT16_MAX || in.len < 2 * block_len + cbc->mac_len || (in.len - cbc->mac_len) % block_len != 0) {
        return TR_ERR_TLS_BAD_RECORD;
    }
    size_t sealed_len = in.len - cbc->mac_len;
    size_t body_len = sealed_len - block_len;
    if (!mac_of_ciphertext(cbc, computed, aad11, in.data, sealed_len) ||
        !tr_memeq_ct(computed, in.data + sealed_len, cbc->mac_len)) {
        goto fail;
    }
    memcpy(iv, in.data, block_len);
    memmove(out, in.data + block_len, body_len);
    if (EVP_CipherInit_ex2(cbc->ctx, NULL, NULL, iv, -1, NULL) != 1 ||
        EVP_DecryptUpdate(cbc->ctx, out, &len, out, (int)body_len) != 1 || (size_t)len != body_len) {
        goto fail;
    }
    size_t padding = (size_t)out[body_len - 1] + 1;
    if (padding > body_len) {
        goto fail;
    }
    for (size_t i = body_len - padding; i < body_len; i++) {
        if (out[i] != padding - 1) {
            goto fail;
        }
    }
    *out_len = body_len - padding;
    return TR_OK;
fail:
    ERR_clear_error();
    return TR_ERR_TLS_BAD_RECORD;
}

tr_code_t
tr_cbc_open(tr_cbc_t *cbc, uint8_t *out, size_t *out_len, const uint8_t aad11[11], tr_slice_t in)
{
    size_t block_len = cbc->row->block_len;
    uint8_t iv[MAX_BLOCK];
    uint8_t aad[AAD_LEN];
    uint8_t received[TR_HASH_MAX] = {0};
    uint8_t computed[TR_HASH_MAX] = {0};
    size_t data_len = 0;
    int len;
    *out_len = 0;
    if (cbc->etm) {
        return open_etm(cbc, out, out_len, aad11, in);
    }
    /* The record's length is public. The shortest has a MAC and one padding byte. */
    if (in.len > UINT16_MAX || in.len % block_len != 0 || in.len < block_len + cbc->mac_len + 1) {
        return TR_ERR_TLS_BAD_RECORD;
    }
    size_t body_len = in.len - block_len;
    memcpy(iv, in.data, block_len);
    memmove(out, in.data + block_len, body_len);
    if (EVP_CipherInit_ex2(cbc->ctx, NULL, NULL, iv, -1, NULL) != 1 ||
        EVP_DecryptUpdate(cbc->ctx, out, &len, out, (int)body_len) != 1 || (size_t)len != body_len) {
        goto fail;
    }
    size_t good = check_padding(&data_len, out, body_len, cbc->mac_len);
    make_aad(aad, aad11, data_len);
    if (!compute_mac(cbc, computed, aad, out, body_len, data_len)) {
        goto fail;
    }
    copy_mac(received, out, body_len, data_len, cbc->mac_len);
    size_t differs = 0;
    for (size_t i = 0; i < cbc->mac_len; i++) {
        differs |= (size_t)(received[i] ^ computed[i]);
    }
    good &= tr_ct__is_zero(differs);
    if (good == 0) {
        goto fail;
    }
    *out_len = data_len;
    return TR_OK;
fail:
    ERR_clear_error();
    return TR_ERR_TLS_BAD_RECORD;
}
