/* hello: builds a profile's ClientHello, first and second (after a HelloRetryRequest). Knows the layout of
 * extensions and what is drawn per connection (GREASE, permutation, ECH, key shares); the state machine (client13,
 * client12) knows what they mean. One thread at a time. */
#ifndef TR_TLS_HELLO_H
#define TR_TLS_HELLO_H

#include "core/buf.h"
#include "crypto/hash.h"
#include "crypto/kex.h"
#include "profile/profile.h"
#include "tls/ticket.h"
#include "tls/tls.h"

#define TR_HELLO_MAX_SHARES 4

/* What one connection drew and keeps for its second hello. */
typedef struct tr_hello {
    const tr_profile_t *profile; /* lent */
    uint32_t tls_flags;          /* TR_TLS_* of the configuration */
    const char *host;            /* lent; SNI unless it is an address */
    bool host_is_address;
    tr_rand_t rnd;

    uint8_t random[32];
    uint8_t session_id[32];
    uint8_t session_id_len;
    uint16_t grease_suite, grease_group, grease_ext1, grease_ext2, grease_version, grease_sigalg;
    uint8_t order[64]; /* permutation: indexes into profile->exts */
    size_t num_exts;
    uint8_t *ech; /* owned: the ECH extension's body, the same in both hellos */
    size_t ech_len;

    tr_kex_t *shares[TR_HELLO_MAX_SHARES]; /* owned; in the order offered, GREASE not among them */
    size_t num_shares;
    uint8_t *raw_shares; /* owned: random bytes for the groups that the engine cannot do, in order; NULL: none, or dropped by a retry */
    size_t raw_shares_len;
    uint8_t *drawn; /* owned: the random bodies of extensions, in the order of profile->exts, the same in both hellos; NULL: none */

    /* lent: offered as PSK (1.3) or in session_ticket / session_id (1.2); NULL: none, or it could not be offered. May be
     * set to NULL before a second hello (a PSK that does not fit the suite is left out, RFC 8446 4.1.4). */
    const tr_session_ticket_t *session;
    bool drops_ticket; /* session_ticket gave way to a PSK, in both hellos */
    bool offers_early_data;
    tr_slice_t cookie; /* lent: of the HelloRetryRequest */
    uint16_t retry_group; /* 0: first hello, or a retry that names no group */
    bool is_retry;
} tr_hello_t;

/* tr_hello_init draws everything for one connection. Fails with TR_ERR_PROFILE_INVALID when the profile cannot be used, e.g.
 * a key share cannot be made, and with TR_ERR_INVALID_ARGUMENT when host is empty or too long. A session that cannot be
 * offered (other suites, the profile does not resume) is left out. Cleaned up on failure. */
tr_code_t tr_hello_init(tr_hello_t *hello, const tr_profile_t *profile, uint32_t tls_flags, const char *host,
                        const tr_rand_t *rnd, const tr_session_ticket_t *session, bool early_data, tr_err_t *err);
void tr_hello_cleanup(tr_hello_t *hello);

/* tr_hello_build appends the ClientHello handshake message (type, 24-bit length, body; no record) to out. With a TLS 1.3
 * session: binders are computed and written, the obfuscated age is from now_ms; `transcript` (NULL on a first hello) holds
 * what the binder's transcript starts with after a retry (the message_hash construct and the HelloRetryRequest, RFC 8446 4.2.11.2).
 */
tr_code_t tr_hello_build(tr_hello_t *hello, tr_buf_t *out, uint64_t now_ms, const tr_hash_ctx_t *transcript,
                         tr_err_t *err);
/* tr_hello_retry prepares the second hello: drops the shares and makes the one the server asked for (group 0: keeps them),
 * keeps random, session id, order, GREASE and ECH. */
tr_code_t tr_hello_retry(tr_hello_t *hello, uint16_t group, tr_slice_t cookie, tr_err_t *err);

/* What was offered, for checking the server's choice. */
bool tr_hello_offers_suite(const tr_hello_t *hello, uint16_t suite);
bool tr_hello_offers_group(const tr_hello_t *hello, uint16_t group);
bool tr_hello_offers_signature(const tr_hello_t *hello, uint16_t scheme);
bool tr_hello_offers_version(const tr_hello_t *hello, uint16_t version);
/* Whether this hello (the second, after tr_hello_retry) has the extension. False for GREASE values and padding. */
bool tr_hello_offers_ext(const tr_hello_t *hello, uint16_t type);
bool tr_hello_offers_alpn(const tr_hello_t *hello, tr_slice_t protocol);
bool tr_hello_offers_compression(const tr_hello_t *hello, uint16_t algorithm);
/* tr_hello_share finds the key made for a group; NULL: no share was sent for it. */
const tr_kex_t *tr_hello_share(const tr_hello_t *hello, uint16_t group);
/* tr_hello_sent_raw_share says whether the share sent for a group was random bytes: the server's choice of it cannot be completed. */
bool tr_hello_sent_raw_share(const tr_hello_t *hello, uint16_t group);

#endif
