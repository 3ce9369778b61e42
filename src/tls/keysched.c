#include "tls/keysched.h"

#include "core/mem.h"

/* Derive-Secret of RFC 8446 7.1 with the transcript's digest given. */
static tr_code_t
derive(const tr_keysched_t *ks, uint8_t *out, const char *label, const uint8_t *digest)
{
    return tr_hkdf_expand_label(ks->hash, out, ks->hash_len, tr_slice(ks->chain, ks->hash_len), label,
                                tr_slice(digest, ks->hash_len));
}

/* The next secret of the chain: Extract over what Derive-Secret(., "derived", "") gives. */
static tr_code_t
advance(tr_keysched_t *ks, tr_slice_t ikm)
{
    static const uint8_t zeros[TR_HASH_MAX];
    uint8_t empty[TR_HASH_MAX];
    uint8_t salt[TR_HASH_MAX];
    tr_code_t code = tr_hash_once(ks->hash, empty, TR_SLICE_NULL);
    if (code == TR_OK) {
        code = derive(ks, salt, "derived", empty);
    }
    if (code == TR_OK) {
        code = tr_hkdf_extract(ks->hash, ks->chain, tr_slice(salt, ks->hash_len),
                               ikm.len == 0 ? tr_slice(zeros, ks->hash_len) : ikm);
    }
    tr_wipe(salt, sizeof(salt));
    return code;
}

tr_code_t
tr_keysched_init(tr_keysched_t *ks, tr_hash_id_t hash, tr_slice_t psk)
{
    static const uint8_t zeros[TR_HASH_MAX];
    tr_wipe(ks, sizeof(*ks));
    ks->hash = hash;
    ks->hash_len = tr_hash_len(hash);
    return tr_hkdf_extract(hash, ks->chain, TR_SLICE_NULL, psk.len == 0 ? tr_slice(zeros, ks->hash_len) : psk);
}

void
tr_keysched_cleanup(tr_keysched_t *ks)
{
    tr_wipe(ks, sizeof(*ks));
}

tr_code_t
tr_keysched_early(tr_keysched_t *ks, const uint8_t *digest)
{
    return derive(ks, ks->client_early, "c e traffic", digest);
}

tr_code_t
tr_keysched_handshake(tr_keysched_t *ks, tr_slice_t shared, const uint8_t *digest)
{
    tr_code_t code = advance(ks, shared);
    if (code == TR_OK) {
        code = derive(ks, ks->client_handshake, "c hs traffic", digest);
    }
    if (code == TR_OK) {
        code = derive(ks, ks->server_handshake, "s hs traffic", digest);
    }
    return code;
}

tr_code_t
tr_keysched_application(tr_keysched_t *ks, const uint8_t *digest)
{
    tr_code_t code = advance(ks, TR_SLICE_NULL);
    if (code == TR_OK) {
        code = derive(ks, ks->client_application, "c ap traffic", digest);
    }
    if (code == TR_OK) {
        code = derive(ks, ks->server_application, "s ap traffic", digest);
    }
    if (code == TR_OK) {
        code = derive(ks, ks->exporter, "exp master", digest);
    }
    return code;
}

tr_code_t
tr_keysched_resumption(tr_keysched_t *ks, const uint8_t *digest)
{
    tr_code_t code = derive(ks, ks->resumption, "res master", digest);
    /* Nothing more comes out of the chain. */
    tr_wipe(ks->chain, sizeof(ks->chain));
    return code;
}

tr_code_t
tr_keysched_finished(const tr_keysched_t *ks, uint8_t *out, const uint8_t *secret, const uint8_t *digest)
{
    uint8_t key[TR_HASH_MAX];
    tr_code_t code = tr_hkdf_expand_label(ks->hash, key, ks->hash_len, tr_slice(secret, ks->hash_len), "finished",
                                          TR_SLICE_NULL);
    if (code == TR_OK) {
        tr_slice_t part = tr_slice(digest, ks->hash_len);
        code = tr_hmac(ks->hash, out, tr_slice(key, ks->hash_len), &part, 1);
    }
    tr_wipe(key, sizeof(key));
    return code;
}

tr_code_t
tr_keysched_update(const tr_keysched_t *ks, uint8_t *secret)
{
    uint8_t next[TR_HASH_MAX];
    tr_code_t code = tr_hkdf_expand_label(ks->hash, next, ks->hash_len, tr_slice(secret, ks->hash_len),
                                          "traffic upd", TR_SLICE_NULL);
    if (code == TR_OK) {
        memcpy(secret, next, ks->hash_len);
    }
    tr_wipe(next, sizeof(next));
    return code;
}

tr_code_t
tr_keysched_ticket(const tr_keysched_t *ks, uint8_t *out, tr_slice_t nonce)
{
    return tr_hkdf_expand_label(ks->hash, out, ks->hash_len, tr_slice(ks->resumption, ks->hash_len), "resumption",
                                nonce);
}

tr_code_t
tr_keysched_traffic(tr_hash_id_t hash, tr_slice_t secret, uint8_t *key, size_t key_len,
                    uint8_t iv[TR_AEAD_NONCE_LEN])
{
    tr_code_t code = tr_hkdf_expand_label(hash, key, key_len, secret, "key", TR_SLICE_NULL);
    if (code == TR_OK) {
        code = tr_hkdf_expand_label(hash, iv, TR_AEAD_NONCE_LEN, secret, "iv", TR_SLICE_NULL);
    }
    return code;
}
