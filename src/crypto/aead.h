/* aead: record protection. AEADs of TLS 1.3 and 1.2, and AES-CBC with HMAC for the legacy suites.
 * An object holds one direction's key and belongs to one thread at a time. */
#ifndef TR_CRYPTO_AEAD_H
#define TR_CRYPTO_AEAD_H

#include "core/err.h"

typedef enum tr_aead_id {
    TR_AEAD_AES_128_GCM,
    TR_AEAD_AES_256_GCM,
    TR_AEAD_CHACHA20_POLY1305,
    TR_AEAD__NUM
} tr_aead_id_t;

#define TR_AEAD_NONCE_LEN 12
#define TR_AEAD_TAG_LEN 16
#define TR_AEAD_MAX_KEY 32

typedef struct tr_aead tr_aead_t;

size_t tr_aead_key_len(tr_aead_id_t id);
/* tr_aead_new copies the key (tr_aead_key_len bytes) into a context used for sealing or for opening.
 * NULL: out of memory. */
tr_aead_t *tr_aead_new(tr_aead_id_t id, const uint8_t *key, bool seal) TR_WARN_UNUSED;
void tr_aead_free(tr_aead_t *aead); /* wipes the key */

/* tr_aead_seal writes in.len bytes and the 16-byte tag to out (out == in.data allowed). When `tail` is not
 * empty its bytes are sealed as if they followed `in` (the content type byte of TLS 1.3), so out receives
 * in.len + tail.len + 16 bytes. */
tr_code_t tr_aead_seal(tr_aead_t *aead, uint8_t *out, const uint8_t nonce[TR_AEAD_NONCE_LEN], tr_slice_t aad,
                       tr_slice_t in, tr_slice_t tail);
/* tr_aead_open writes in.len - 16 bytes to out (out == in.data allowed). TR_ERR_TLS_BAD_RECORD when the tag does
 * not match; then nothing of out may be used. */
tr_code_t tr_aead_open(tr_aead_t *aead, uint8_t *out, const uint8_t nonce[TR_AEAD_NONCE_LEN], tr_slice_t aad,
                       tr_slice_t in);

/* --- AES-CBC + HMAC, MAC-then-encrypt (RFC 5246 6.2.3.2), or encrypt-then-MAC (RFC 7366) --- */
typedef struct tr_cbc tr_cbc_t;

typedef enum tr_cbc_id {
    TR_CBC_AES_128_SHA1,
    TR_CBC_AES_256_SHA1,
    TR_CBC_AES_128_SHA256,
    TR_CBC_AES_256_SHA256,
    TR_CBC_AES_256_SHA384,
    TR_CBC_3DES_SHA1,
    TR_CBC__NUM
} tr_cbc_id_t;

size_t tr_cbc_key_len(tr_cbc_id_t id);
size_t tr_cbc_mac_len(tr_cbc_id_t id); /* also the length of the MAC key */
size_t tr_cbc_block_len(tr_cbc_id_t id);
tr_cbc_t *tr_cbc_new(tr_cbc_id_t id, const uint8_t *key, const uint8_t *mac_key, bool seal) TR_WARN_UNUSED;
void tr_cbc_free(tr_cbc_t *cbc);
/* tr_cbc_set_etm changes to encrypt-then-MAC, before the first record. */
void tr_cbc_set_etm(tr_cbc_t *cbc);
/* tr_cbc_seal appends explicit IV (given, block_len bytes), ciphertext, to out; *out_len is what was written:
 * at most block_len + in.len + mac_len + 2*block_len. aad13 is seq(8) type(1) version(2), the length is added. */
tr_code_t tr_cbc_seal(tr_cbc_t *cbc, uint8_t *out, size_t *out_len, const uint8_t *iv, const uint8_t aad11[11],
                      tr_slice_t in);
/* tr_cbc_open checks padding and MAC in constant time (RFC 5246 6.2.3.2; Lucky 13). One failure only:
 * TR_ERR_TLS_BAD_RECORD. in is explicit IV and ciphertext. */
tr_code_t tr_cbc_open(tr_cbc_t *cbc, uint8_t *out, size_t *out_len, const uint8_t aad11[11], tr_slice_t in);

#endif
