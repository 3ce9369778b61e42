#include "crypto/hash.h"

#include <openssl/err.h>

#include "core/mem.h"
#include "core/wr.h"
#include "crypto/evp.h"

typedef struct hash_row {
    const char *name;
    size_t len;
    size_t block_len; /* of HMAC's key pad */
} hash_row_t;

static const hash_row_t rows[TR_HASH__NUM] = {
    [TR_HASH_SHA1] = {"SHA-1", 20, 64},
    [TR_HASH_SHA224] = {"SHA-224", 28, 64},
    [TR_HASH_SHA256] = {"SHA-256", 32, 64},
    [TR_HASH_SHA384] = {"SHA-384", 48, 128},
    [TR_HASH_SHA512] = {"SHA-512", 64, 128},
};

#define HMAC_MAX_BLOCK 128

struct tr_hash_ctx {
    tr_hash_id_t id;
    EVP_MD_CTX *md; /* owned */
};

size_t
tr_hash_len(tr_hash_id_t id)
{
    return (unsigned)id < TR_HASH__NUM ? rows[id].len : 0;
}

const char *
tr_hash_name(tr_hash_id_t id)
{
    return (unsigned)id < TR_HASH__NUM ? rows[id].name : "unknown";
}

/* ------------------------------------------------------------------------------------- digests */

tr_hash_ctx_t *
tr_hash_new(tr_hash_id_t id)
{
    const tr_evp_t *evp = tr_crypto__evp();
    tr_hash_ctx_t *ctx = NULL;
    if (evp == NULL || (unsigned)id >= TR_HASH__NUM) {
        goto fail;
    }
    ctx = tr_calloc(1, sizeof(*ctx));
    if (ctx == NULL) {
        goto fail;
    }
    ctx->id = id;
    ctx->md = EVP_MD_CTX_new();
    if (ctx->md == NULL || EVP_DigestInit_ex2(ctx->md, evp->md[id], NULL) != 1) {
        goto fail;
    }
    return ctx;
fail:
    tr_hash_free(ctx);
    ERR_clear_error();
    return NULL;
}

void
tr_hash_free(tr_hash_ctx_t *ctx)
{
    if (ctx != NULL) {
        EVP_MD_CTX_free(ctx->md);
        tr_free(ctx);
    }
}

tr_code_t
tr_hash_update(tr_hash_ctx_t *ctx, const void *data, size_t len)
{
    if (len > 0 && EVP_DigestUpdate(ctx->md, data, len) != 1) {
        ERR_clear_error();
        return TR_ERR_INTERNAL;
    }
    return TR_OK;
}

tr_code_t
tr_hash_peek(const tr_hash_ctx_t *ctx, uint8_t *out)
{
    tr_code_t code = TR_OK;
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    if (copy == NULL || EVP_MD_CTX_copy_ex(copy, ctx->md) != 1) {
        code = TR_ERR_NOMEM;
    } else if (EVP_DigestFinal_ex(copy, out, NULL) != 1) {
        code = TR_ERR_INTERNAL;
    }
    EVP_MD_CTX_free(copy);
    if (code != TR_OK) {
        ERR_clear_error();
    }
    return code;
}

tr_hash_ctx_t *
tr_hash_dup(const tr_hash_ctx_t *ctx)
{
    tr_hash_ctx_t *copy = tr_calloc(1, sizeof(*copy));
    if (copy == NULL) {
        return NULL;
    }
    copy->id = ctx->id;
    copy->md = EVP_MD_CTX_new();
    if (copy->md == NULL || EVP_MD_CTX_copy_ex(copy->md, ctx->md) != 1) {
        tr_hash_free(copy);
        ERR_clear_error();
        return NULL;
    }
    return copy;
}

tr_code_t
tr_hash_once(tr_hash_id_t id, uint8_t *out, tr_slice_t in)
{
    const tr_evp_t *evp = tr_crypto__evp();
    if (evp == NULL || (unsigned)id >= TR_HASH__NUM) {
        return TR_ERR_INTERNAL;
    }
    if (EVP_Digest(in.len > 0 ? (const void *)in.data : "", in.len, out, NULL, evp->md[id], NULL) != 1) {
        ERR_clear_error();
        return TR_ERR_NOMEM;
    }
    return TR_OK;
}

/* ------------------------------------------------------------------------------------- HMAC */

/* HMAC (RFC 2104) over a digest context: the key is padded once, and each message then costs two passes.
 * libcrypto's own HMAC costs several times as much to set up, and a handshake makes some forty of short messages.
 */
typedef struct hmac {
    const hash_row_t *row;
    EVP_MD_CTX *inner_keyed; /* owned; has absorbed key ^ ipad */
    EVP_MD_CTX *outer_keyed; /* owned; has absorbed key ^ opad */
    EVP_MD_CTX *work;        /* owned */
} hmac_t;

static void
hmac_cleanup(hmac_t *hmac)
{
    EVP_MD_CTX_free(hmac->inner_keyed);
    EVP_MD_CTX_free(hmac->outer_keyed);
    EVP_MD_CTX_free(hmac->work);
    memset(hmac, 0, sizeof(*hmac));
}

/* The padded key, key ^ ipad. */
static tr_code_t
hmac_pad(tr_hash_id_t id, uint8_t pad[HMAC_MAX_BLOCK], tr_slice_t key)
{
    memset(pad, 0, HMAC_MAX_BLOCK);
    if (key.len > rows[id].block_len) {
        tr_code_t code = tr_hash_once(id, pad, key);
        if (code != TR_OK) {
            return code;
        }
    } else if (key.len > 0) {
        memcpy(pad, key.data, key.len);
    }
    for (size_t i = 0; i < rows[id].block_len; i++) {
        pad[i] ^= 0x36;
    }
    return TR_OK;
}

static void
pad_to_outer(uint8_t pad[HMAC_MAX_BLOCK], size_t block_len)
{
    for (size_t i = 0; i < block_len; i++) {
        pad[i] ^= 0x36 ^ 0x5c;
    }
}

/* For several messages under one key. */
static tr_code_t
hmac_init(hmac_t *hmac, tr_hash_id_t id, tr_slice_t key)
{
    const tr_evp_t *evp = tr_crypto__evp();
    uint8_t pad[HMAC_MAX_BLOCK];
    memset(hmac, 0, sizeof(*hmac));
    if (evp == NULL || (unsigned)id >= TR_HASH__NUM) {
        return TR_ERR_INTERNAL;
    }
    hmac->row = &rows[id];
    tr_code_t code = hmac_pad(id, pad, key);
    if (code != TR_OK) {
        goto done;
    }
    code = TR_ERR_NOMEM;
    hmac->inner_keyed = EVP_MD_CTX_new();
    hmac->outer_keyed = EVP_MD_CTX_new();
    hmac->work = EVP_MD_CTX_new();
    if (hmac->inner_keyed == NULL || hmac->outer_keyed == NULL || hmac->work == NULL ||
        EVP_DigestInit_ex2(hmac->inner_keyed, evp->md[id], NULL) != 1 ||
        EVP_DigestUpdate(hmac->inner_keyed, pad, hmac->row->block_len) != 1) {
        goto done;
    }
    pad_to_outer(pad, hmac->row->block_len);
    if (EVP_DigestInit_ex2(hmac->outer_keyed, evp->md[id], NULL) != 1 ||
        EVP_DigestUpdate(hmac->outer_keyed, pad, hmac->row->block_len) != 1) {
        goto done;
    }
    code = TR_OK;
done:
    tr_wipe(pad, sizeof(pad));
    if (code != TR_OK) {
        ERR_clear_error();
        hmac_cleanup(hmac);
    }
    return code;
}

/* out may overlap a part: it is written last. */
static tr_code_t
hmac_run(hmac_t *hmac, uint8_t *out, const tr_slice_t *parts, size_t num_parts)
{
    uint8_t inner[TR_HASH_MAX];
    tr_code_t code = TR_ERR_NOMEM;
    if (EVP_MD_CTX_copy_ex(hmac->work, hmac->inner_keyed) != 1) {
        goto done;
    }
    for (size_t i = 0; i < num_parts; i++) {
        if (parts[i].len > 0 && EVP_DigestUpdate(hmac->work, parts[i].data, parts[i].len) != 1) {
            goto done;
        }
    }
    if (EVP_DigestFinal_ex(hmac->work, inner, NULL) != 1 ||
        EVP_MD_CTX_copy_ex(hmac->work, hmac->outer_keyed) != 1 ||
        EVP_DigestUpdate(hmac->work, inner, hmac->row->len) != 1 ||
        EVP_DigestFinal_ex(hmac->work, out, NULL) != 1) {
        goto done;
    }
    code = TR_OK;
done:
    tr_wipe(inner, sizeof(inner));
    if (code != TR_OK) {
        ERR_clear_error();
    }
    return code;
}

tr_code_t
tr_hmac(tr_hash_id_t id, uint8_t *out, tr_slice_t key, const tr_slice_t *parts, size_t num_parts)
{
    const tr_evp_t *evp = tr_crypto__evp();
    uint8_t pad[HMAC_MAX_BLOCK];
    uint8_t inner[TR_HASH_MAX];
    if (evp == NULL || (unsigned)id >= TR_HASH__NUM) {
        return TR_ERR_INTERNAL;
    }
    EVP_MD_CTX *ctx = NULL;
    tr_code_t code = hmac_pad(id, pad, key);
    if (code != TR_OK) {
        goto done;
    }
    code = TR_ERR_NOMEM;
    ctx = EVP_MD_CTX_new();
    if (ctx == NULL || EVP_DigestInit_ex2(ctx, evp->md[id], NULL) != 1 ||
        EVP_DigestUpdate(ctx, pad, rows[id].block_len) != 1) {
        goto done;
    }
    for (size_t i = 0; i < num_parts; i++) {
        if (parts[i].len > 0 && EVP_DigestUpdate(ctx, parts[i].data, parts[i].len) != 1) {
            goto done;
        }
    }
    pad_to_outer(pad, rows[id].block_len);
    if (EVP_DigestFinal_ex(ctx, inner, NULL) != 1 || EVP_DigestInit_ex2(ctx, NULL, NULL) != 1 ||
        EVP_DigestUpdate(ctx, pad, rows[id].block_len) != 1 || EVP_DigestUpdate(ctx, inner, rows[id].len) != 1 ||
        EVP_DigestFinal_ex(ctx, out, NULL) != 1) {
        goto done;
    }
    code = TR_OK;
done:
    EVP_MD_CTX_free(ctx);
    tr_wipe(pad, sizeof(pad));
    tr_wipe(inner, sizeof(inner));
    if (code != TR_OK) {
        ERR_clear_error();
    }
    return code;
}

/* ------------------------------------------------------------------------------------- key derivation */

tr_code_t
tr_hkdf_extract(tr_hash_id_t id, uint8_t *out, tr_slice_t salt, tr_slice_t ikm)
{
    /* RFC 5869 2.2: no salt is a string of zeros, which HMAC's padding makes of an empty key. */
    return tr_hmac(id, out, salt, &ikm, 1);
}

tr_code_t
tr_hkdf_expand(tr_hash_id_t id, uint8_t *out, size_t out_len, tr_slice_t prk, tr_slice_t info)
{
    uint8_t block[TR_HASH_MAX];
    size_t hash_len = tr_hash_len(id);
    size_t done_len = 0;
    hmac_t hmac;
    tr_code_t code = TR_OK;
    /* RFC 5869 2.3: L <= 255 * HashLen */
    if (hash_len == 0 || out_len > 255 * hash_len) {
        return TR_ERR_INTERNAL;
    }
    if (out_len <= hash_len) {
        /* One block, as in all of TLS 1.3: no keyed state to keep. */
        tr_slice_t parts[2] = {info, TR_SLICE_LIT("\x01")};
        code = tr_hmac(id, block, prk, parts, 2);
        if (code == TR_OK && out_len > 0) {
            memcpy(out, block, out_len);
        }
        tr_wipe(block, sizeof(block));
        return code;
    }
    code = hmac_init(&hmac, id, prk);
    for (uint8_t counter = 1; code == TR_OK && done_len < out_len; counter++) {
        tr_slice_t parts[3] = {tr_slice(block, counter == 1 ? 0 : hash_len), info, tr_slice(&counter, 1)};
        code = hmac_run(&hmac, block, parts, 3);
        if (code == TR_OK) {
            size_t len = TR_MIN(hash_len, out_len - done_len);
            memcpy(out + done_len, block, len);
            done_len += len;
        }
    }
    hmac_cleanup(&hmac);
    tr_wipe(block, sizeof(block));
    return code;
}

tr_code_t
tr_hkdf_expand_label(tr_hash_id_t id, uint8_t *out, size_t out_len, tr_slice_t secret, const char *label,
                     tr_slice_t context)
{
    /* struct { uint16 length; opaque label<7..255>; opaque context<0..255>; } HkdfLabel */
    uint8_t small[2 + 1 + 255 + 1 + 255];
    tr_buf_t info;
    tr_buf_init_small(&info, small, sizeof(small));
    tr_wr_t wr = tr_wr(&info);
    if (out_len > UINT16_MAX) {
        return TR_ERR_INTERNAL;
    }
    tr_wr_u16(&wr, (uint16_t)out_len);
    size_t mark = tr_wr_open(&wr, 1);
    tr_wr_slice(&wr, TR_SLICE_LIT("tls13 "));
    tr_wr_slice(&wr, tr_slice_cstr(label));
    tr_wr_close(&wr, mark, 1);
    tr_wr_vec(&wr, context, 1);
    tr_code_t code = tr_wr_end(&wr);
    if (code == TR_OK) {
        code = tr_hkdf_expand(id, out, out_len, secret, tr_buf_slice(&info));
    }
    tr_buf_cleanup(&info);
    return code;
}

tr_code_t
tr_tls12_prf(tr_hash_id_t id, uint8_t *out, size_t out_len, tr_slice_t secret, const char *label, tr_slice_t seed1,
             tr_slice_t seed2)
{
    uint8_t a[TR_HASH_MAX];
    uint8_t block[TR_HASH_MAX];
    hmac_t hmac;
    size_t hash_len = tr_hash_len(id);
    size_t done_len = 0;
    /* A(0) = seed, A(i) = HMAC(secret, A(i-1)); the output is HMAC(secret, A(i) + seed) for i = 1, 2, ... */
    tr_slice_t parts[4] = {tr_slice(a, 0), tr_slice_cstr(label), seed1, seed2};
    tr_code_t code = hmac_init(&hmac, id, secret);
    if (code == TR_OK) {
        code = hmac_run(&hmac, a, parts + 1, 3);
    }
    while (code == TR_OK && done_len < out_len) {
        parts[0].len = hash_len;
        code = hmac_run(&hmac, block, parts, 4);
        if (code == TR_OK) {
            size_t len = TR_MIN(hash_len, out_len - done_len);
            memcpy(out + done_len, block, len);
            done_len += len;
            code = done_len < out_len ? hmac_run(&hmac, a, parts, 1) : TR_OK;
        }
    }
    hmac_cleanup(&hmac);
    tr_wipe(a, sizeof(a));
    tr_wipe(block, sizeof(block));
    return code;
}
