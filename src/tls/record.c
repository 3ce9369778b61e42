#include "tls/record.h"

#include "core/mem.h"
#include "tls/alert.h"
#include "tls/keysched.h"

#define GCM12_EXPLICIT_LEN 8
#define GCM12_SALT_LEN 4
#define MAX_BLOCK_LEN 16
/* Explicit IV, MAC of SHA-384, a block of padding. */
#define CBC_OVERHEAD (MAX_BLOCK_LEN + 48 + MAX_BLOCK_LEN)

void
tr_record_dir_cleanup(tr_record_dir_t *dir)
{
    size_t max_plain = dir->max_plain;
    tr_aead_free(dir->aead);
    tr_cbc_free(dir->cbc);
    tr_wipe(dir, sizeof(*dir));
    dir->max_plain = max_plain;
}

static void
install(tr_record_dir_t *dir, tr_record_kind_t kind, tr_aead_t *aead, tr_cbc_t *cbc, const uint8_t *iv, size_t iv_len)
{
    tr_record_dir_cleanup(dir);
    dir->kind = kind;
    dir->aead = aead;
    dir->cbc = cbc;
    if (iv_len > 0) {
        memcpy(dir->iv, iv, iv_len);
    }
}

tr_code_t
tr_record_set_13(tr_record_dir_t *dir, const tr_suite_t *suite, tr_slice_t secret, bool seal)
{
    uint8_t key[TR_AEAD_MAX_KEY];
    uint8_t iv[TR_AEAD_NONCE_LEN];
    tr_code_t code = tr_keysched_traffic(suite->hash, secret, key, tr_aead_key_len(suite->aead), iv);
    if (code == TR_OK) {
        tr_aead_t *aead = tr_aead_new(suite->aead, key, seal);
        if (aead == NULL) {
            code = TR_ERR_NOMEM;
        } else {
            install(dir, TR_RECORD_AEAD13, aead, NULL, iv, sizeof(iv));
        }
    }
    tr_wipe(key, sizeof(key));
    tr_wipe(iv, sizeof(iv));
    return code;
}

tr_record_lens_t
tr_record_lens_12(const tr_suite_t *suite)
{
    if (suite->is_cbc) {
        return (tr_record_lens_t){tr_cbc_mac_len(suite->cbc), tr_cbc_key_len(suite->cbc), 0};
    }
    size_t iv_len = suite->aead == TR_AEAD_CHACHA20_POLY1305 ? TR_AEAD_NONCE_LEN : GCM12_SALT_LEN;
    return (tr_record_lens_t){0, tr_aead_key_len(suite->aead), iv_len};
}

tr_code_t
tr_record_set_12(tr_record_dir_t *dir, const tr_suite_t *suite, bool encrypt_then_mac, const uint8_t *mac_key,
                 const uint8_t *key, const uint8_t *iv, bool seal)
{
    if (suite->is_cbc) {
        tr_cbc_t *cbc = tr_cbc_new(suite->cbc, key, mac_key, seal);
        if (cbc == NULL) {
            return TR_ERR_NOMEM;
        }
        if (encrypt_then_mac) {
            tr_cbc_set_etm(cbc);
        }
        install(dir, TR_RECORD_CBC12, NULL, cbc, NULL, 0);
        return TR_OK;
    }
    tr_aead_t *aead = tr_aead_new(suite->aead, key, seal);
    if (aead == NULL) {
        return TR_ERR_NOMEM;
    }
    install(dir, suite->aead == TR_AEAD_CHACHA20_POLY1305 ? TR_RECORD_CHACHA12 : TR_RECORD_GCM12, aead, NULL, iv,
            tr_record_lens_12(suite).iv);
    return TR_OK;
}

static void
put_u64(uint8_t *out, uint64_t value)
{
    for (size_t i = 0; i < 8; i++) {
        out[i] = (uint8_t)(value >> (56 - 8 * i));
    }
}

/* RFC 8446 5.3, RFC 7905 2: the sequence number, padded on the left, XORed with the IV. */
static void
make_nonce(uint8_t nonce[TR_AEAD_NONCE_LEN], const tr_record_dir_t *dir)
{
    memcpy(nonce, dir->iv, TR_AEAD_NONCE_LEN);
    for (size_t i = 0; i < 8; i++) {
        nonce[4 + i] ^= (uint8_t)(dir->seq >> (56 - 8 * i));
    }
}

/* RFC 5246 6.2.3.3 (AEAD) and 6.2.3.1 (MAC): sequence number, type, version, length. */
static void
make_aad12(uint8_t aad[13], uint64_t seq, const uint8_t *header, size_t len)
{
    put_u64(aad, seq);
    memcpy(aad + 8, header, 3);
    aad[11] = (uint8_t)(len >> 8);
    aad[12] = (uint8_t)len;
}

static size_t
max_fragment(const tr_record_dir_t *dir)
{
    return dir->max_plain == 0 ? (size_t)TR_TLS_MAX_PLAINTEXT : dir->max_plain;
}

/* --- sealing --- */

static size_t
seal_overhead(tr_record_kind_t kind)
{
    switch (kind) {
    case TR_RECORD_PLAIN:
        return TR_RECORD_HEADER_LEN;
    case TR_RECORD_AEAD13:
        return TR_RECORD_HEADER_LEN + 1 + TR_AEAD_TAG_LEN;
    case TR_RECORD_GCM12:
        return TR_RECORD_HEADER_LEN + GCM12_EXPLICIT_LEN + TR_AEAD_TAG_LEN;
    case TR_RECORD_CHACHA12:
        return TR_RECORD_HEADER_LEN + TR_AEAD_TAG_LEN;
    case TR_RECORD_CBC12:
        return TR_RECORD_HEADER_LEN + CBC_OVERHEAD;
    }
    return TR_RECORD_HEADER_LEN;
}

/* Writes one record to out, which has room for data.len + seal_overhead bytes. */
static tr_code_t
seal_one(tr_record_dir_t *dir, uint8_t *out, size_t *out_len, uint8_t type, uint16_t version, tr_slice_t data,
         const tr_rand_t *rnd)
{
    uint8_t nonce[TR_AEAD_NONCE_LEN];
    uint8_t aad[13];
    uint8_t *body = out + TR_RECORD_HEADER_LEN;
    size_t body_len = 0;
    tr_code_t code = TR_OK;
    out[0] = type;
    out[1] = (uint8_t)(version >> 8);
    out[2] = (uint8_t)version;
    switch (dir->kind) {
    case TR_RECORD_PLAIN:
        memcpy(body, data.data, data.len);
        body_len = data.len;
        break;
    case TR_RECORD_AEAD13:
        /* RFC 8446 5.2: the type goes inside, the header is the additional data. */
        body_len = data.len + 1 + TR_AEAD_TAG_LEN;
        out[0] = TR_RECORD_DATA;
        out[3] = (uint8_t)(body_len >> 8);
        out[4] = (uint8_t)body_len;
        make_nonce(nonce, dir);
        code = tr_aead_seal(dir->aead, body, nonce, tr_slice(out, TR_RECORD_HEADER_LEN), data, tr_slice(&type, 1));
        break;
    case TR_RECORD_GCM12:
        /* RFC 5288 3: the explicit part may be the sequence number. */
        body_len = GCM12_EXPLICIT_LEN + data.len + TR_AEAD_TAG_LEN;
        memcpy(nonce, dir->iv, GCM12_SALT_LEN);
        put_u64(nonce + GCM12_SALT_LEN, dir->seq);
        memcpy(body, nonce + GCM12_SALT_LEN, GCM12_EXPLICIT_LEN);
        make_aad12(aad, dir->seq, out, data.len);
        code = tr_aead_seal(dir->aead, body + GCM12_EXPLICIT_LEN, nonce, tr_slice(aad, sizeof(aad)), data,
                            TR_SLICE_NULL);
        break;
    case TR_RECORD_CHACHA12:
        body_len = data.len + TR_AEAD_TAG_LEN;
        make_nonce(nonce, dir);
        make_aad12(aad, dir->seq, out, data.len);
        code = tr_aead_seal(dir->aead, body, nonce, tr_slice(aad, sizeof(aad)), data, TR_SLICE_NULL);
        break;
    case TR_RECORD_CBC12: {
        uint8_t iv[MAX_BLOCK_LEN];
        make_aad12(aad, dir->seq, out, data.len);
        code = rnd->fill(rnd->arg, iv, sizeof(iv));
        if (code == TR_OK) {
            code = tr_cbc_seal(dir->cbc, body, &body_len, iv, aad, data);
        }
        break;
    }
    }
    out[3] = (uint8_t)(body_len >> 8);
    out[4] = (uint8_t)body_len;
    *out_len = TR_RECORD_HEADER_LEN + body_len;
    dir->seq++;
    return code;
}

tr_code_t
tr_record_seal(tr_record_dir_t *dir, tr_buf_t *wire, uint8_t type, uint16_t version, tr_slice_t data,
               const tr_rand_t *rnd)
{
    size_t max = max_fragment(dir);
    size_t start = wire->len;
    size_t overhead = seal_overhead(dir->kind);
    if (data.len == 0) {
        return TR_OK;
    }
    size_t num = (data.len - 1) / max + 1;
    if (num > (SIZE_MAX - data.len) / overhead) {
        return TR_ERR_NOMEM;
    }
    tr_code_t code = tr_buf_reserve(wire, data.len + num * overhead);
    while (code == TR_OK && data.len > 0) {
        size_t part = TR_MIN(data.len, max);
        size_t len;
        code = seal_one(dir, tr_buf_tail(wire), &len, type, version, tr_slice(data.data, part), rnd);
        if (code == TR_OK) {
            tr_buf_commit(wire, len);
            data = tr_slice(data.data + part, data.len - part);
        }
    }
    if (code != TR_OK) {
        tr_buf_truncate(wire, start);
    }
    return code;
}

/* --- opening --- */

size_t
tr_record_max_body(const tr_record_dir_t *dir)
{
    switch (dir->kind) {
    case TR_RECORD_PLAIN:
        return TR_TLS_MAX_PLAINTEXT;
    case TR_RECORD_AEAD13:
        return TR_TLS_MAX_CIPHERTEXT_13;
    default:
        return TR_TLS_MAX_CIPHERTEXT_12;
    }
}

/* RFC 8446 5.4: the last byte that is not zero is the type, what is behind it is padding. */
static tr_code_t
strip_13(const tr_record_dir_t *dir, const uint8_t *out, size_t *out_len, uint8_t *type, uint8_t *alert)
{
    size_t len = *out_len;
    /* RFC 8446 5.4, RFC 8449 4: the limit is on content, type and padding together. */
    if (len > max_fragment(dir) + 1) {
        *alert = TR_ALERT_RECORD_OVERFLOW;
        return TR_ERR_TLS_PROTOCOL;
    }
    while (len > 0 && out[len - 1] == 0) {
        len--;
    }
    if (len == 0) {
        *alert = TR_ALERT_UNEXPECTED_MESSAGE;
        return TR_ERR_TLS_PROTOCOL;
    }
    *type = out[len - 1];
    *out_len = len - 1;
    return TR_OK;
}

tr_code_t
tr_record_open(tr_record_dir_t *dir, uint8_t *out, size_t *out_len, uint8_t *type, const uint8_t *header,
               tr_slice_t body, uint8_t *alert)
{
    uint8_t nonce[TR_AEAD_NONCE_LEN];
    uint8_t aad[13];
    tr_code_t code = TR_ERR_TLS_BAD_RECORD;
    *alert = TR_ALERT_BAD_RECORD_MAC;
    *out_len = 0;
    switch (dir->kind) {
    case TR_RECORD_PLAIN:
        *alert = TR_ALERT_INTERNAL_ERROR;
        return TR_ERR_INTERNAL;
    case TR_RECORD_AEAD13:
        if (body.len >= TR_AEAD_TAG_LEN) {
            make_nonce(nonce, dir);
            code = tr_aead_open(dir->aead, out, nonce, tr_slice(header, TR_RECORD_HEADER_LEN), body);
            *out_len = body.len - TR_AEAD_TAG_LEN;
        }
        break;
    case TR_RECORD_GCM12:
        if (body.len >= GCM12_EXPLICIT_LEN + TR_AEAD_TAG_LEN) {
            memcpy(nonce, dir->iv, GCM12_SALT_LEN);
            memcpy(nonce + GCM12_SALT_LEN, body.data, GCM12_EXPLICIT_LEN);
            *out_len = body.len - GCM12_EXPLICIT_LEN - TR_AEAD_TAG_LEN;
            make_aad12(aad, dir->seq, header, *out_len);
            code = tr_aead_open(dir->aead, out, nonce, tr_slice(aad, sizeof(aad)),
                                tr_slice(body.data + GCM12_EXPLICIT_LEN, body.len - GCM12_EXPLICIT_LEN));
        }
        break;
    case TR_RECORD_CHACHA12:
        if (body.len >= TR_AEAD_TAG_LEN) {
            *out_len = body.len - TR_AEAD_TAG_LEN;
            make_nonce(nonce, dir);
            make_aad12(aad, dir->seq, header, *out_len);
            code = tr_aead_open(dir->aead, out, nonce, tr_slice(aad, sizeof(aad)), body);
        }
        break;
    case TR_RECORD_CBC12:
        make_aad12(aad, dir->seq, header, 0);
        code = tr_cbc_open(dir->cbc, out, out_len, aad, body);
        break;
    }
    if (code != TR_OK) {
        return code;
    }
    dir->seq++;
    if (dir->kind == TR_RECORD_AEAD13) {
        return strip_13(dir, out, out_len, type, alert);
    }
    if (*out_len > max_fragment(dir)) {
        *alert = TR_ALERT_RECORD_OVERFLOW;
        return TR_ERR_TLS_PROTOCOL;
    }
    return TR_OK;
}
