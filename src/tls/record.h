/* record: protection of TLS records, one direction at a time (RFC 8446 5, RFC 5246 6.2). Knows nothing of the
 * handshake: keys come in, fragments are sealed and opened. One thread at a time. */
#ifndef TR_TLS_RECORD_H
#define TR_TLS_RECORD_H

#include "core/buf.h"
#include "core/limits.h"
#include "crypto/aead.h"
#include "crypto/rand.h"
#include "tls/suites.h"

#define TR_RECORD_HEADER_LEN 5

enum {
    TR_RECORD_CHANGE_CIPHER_SPEC = 20,
    TR_RECORD_ALERT = 21,
    TR_RECORD_HANDSHAKE = 22,
    TR_RECORD_DATA = 23
};

typedef enum tr_record_kind {
    TR_RECORD_PLAIN,
    TR_RECORD_AEAD13,
    TR_RECORD_GCM12,    /* explicit half of the nonce in the record (RFC 5288 3) */
    TR_RECORD_CHACHA12, /* RFC 7905 2 */
    TR_RECORD_CBC12
} tr_record_kind_t;

/* One direction. The zero state is an unprotected one. */
typedef struct tr_record_dir {
    tr_record_kind_t kind;
    tr_aead_t *aead; /* owned */
    tr_cbc_t *cbc;   /* owned */
    uint8_t iv[TR_AEAD_NONCE_LEN];
    uint64_t seq;
    size_t max_plain; /* longest fragment (RFC 8449); 0: TR_TLS_MAX_PLAINTEXT */
} tr_record_dir_t;

/* tr_record_dir_cleanup forgets the keys; the direction is unprotected then. */
void tr_record_dir_cleanup(tr_record_dir_t *dir);
/* tr_record_set_13 changes to the keys of a TLS 1.3 traffic secret, sequence number 0. On failure the old keys stay. */
tr_code_t tr_record_set_13(tr_record_dir_t *dir, const tr_suite_t *suite, tr_slice_t secret, bool seal);

/* Lengths in a TLS 1.2 key block (RFC 5246 6.3). */
typedef struct tr_record_lens {
    size_t mac_key;
    size_t key;
    size_t iv; /* fixed part, from the key block */
} tr_record_lens_t;

tr_record_lens_t tr_record_lens_12(const tr_suite_t *suite);
tr_code_t tr_record_set_12(tr_record_dir_t *dir, const tr_suite_t *suite, bool encrypt_then_mac, const uint8_t *mac_key,
                           const uint8_t *key, const uint8_t *iv, bool seal);

/* tr_record_seal appends data as records of one type to wire, in fragments of at most max_plain bytes; rnd is for the IVs of
 * CBC. version is the header's. Empty data makes no record. TR_ERR_NOMEM, TR_ERR_INTERNAL. */
tr_code_t tr_record_seal(tr_record_dir_t *dir, tr_buf_t *wire, uint8_t type, uint16_t version, tr_slice_t data,
                         const tr_rand_t *rnd);

/* tr_record_max_body is the longest body a record of this direction may have. */
size_t tr_record_max_body(const tr_record_dir_t *dir);
/* tr_record_open takes the protection off one record. header is its five bytes, out has room for body.len bytes; *type
 * becomes the inner type under TLS 1.3. On failure *alert is what RFC 8446 5 names; the codes are TR_ERR_TLS_BAD_RECORD and
 * TR_ERR_TLS_PROTOCOL. Only for protected directions. */
tr_code_t tr_record_open(tr_record_dir_t *dir, uint8_t *out, size_t *out_len, uint8_t *type, const uint8_t *header,
                         tr_slice_t body, uint8_t *alert);

#endif
