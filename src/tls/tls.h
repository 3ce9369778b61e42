/* tls: a TLS 1.3 and 1.2 client, bytes in and bytes out. The engine has no socket, no clock and no thread
 * of its own; time and randomness come with the configuration, so a fixed seed gives fixed bytes.
 *
 *   tr_tls_t *tls; tr_tls_new(&tls, &config, "example.org", &err);
 *   tr_tls_start(tls, &wire, &err)                         -> the ClientHello is in wire
 *   loop: code = tr_tls_feed(tls, &plain, &wire, bytes, &used, &err)
 *         send wire to the peer; plain receives application data
 *         until tr_tls_handshake_done(tls)
 *   tr_tls_write(tls, &wire, data, &err)                   -> protected records are in wire
 *
 * After a failure the engine is stuck: every later call returns the same error; the alert that the RFC
 * names for it is in wire and must still be sent. One thread at a time. */
#ifndef TR_TLS_TLS_H
#define TR_TLS_TLS_H

#include "core/bufq.h"
#include "crypto/rand.h"
#include "crypto/sig.h"
#include "profile/profile.h"

typedef struct tr_tls tr_tls_t;
typedef struct tr_trust tr_trust_t;       /* x509.h: trusted roots, shared, reference counted */
typedef struct tr_identity tr_identity_t; /* x509.h: client certificate chain and key, shared, counted */
typedef struct tr_tickets tr_tickets_t;   /* ticket.h: sessions of one client, by origin */

enum {
    TR_TLS_NO_VERIFY = 1u << 0,        /* accept any certificate and name (verify=False) */
    TR_TLS_HTTP1_ONLY = 1u << 1,       /* ALPN is http/1.1 only; ALPS is left out */
    TR_TLS_NO_RESUME = 1u << 2,        /* neither offer nor keep sessions */
    TR_TLS_FUZZ_NO_SIGNATURES = 1u << 3, /* only in fuzz builds: skips signature checks */
    TR_TLS_WEBSOCKET = 1u << 5,        /* a WebSocket's own connection: with the profile's differences */
    TR_TLS_EARLY_DATA = 1u << 4        /* offer early data where profile and ticket allow it; see tr_tls_early_room */
};

typedef struct tr_tls_config {
    const tr_profile_t *profile; /* lent for the engine's life */
    uint32_t flags;              /* TR_TLS_* */
    tr_trust_t *trust;           /* referenced by the engine; may be NULL with TR_TLS_NO_VERIFY */
    tr_identity_t *identity;     /* referenced; NULL: an empty Certificate answers a request */
    tr_tickets_t *tickets;       /* lent for the engine's life; NULL: no resumption */
    const char *ticket_key;      /* what sessions are filed under (origin, proxy, settings); copied; NULL: the host */
    tr_rand_t rnd;
    uint64_t now_ms; /* wall clock, ms since 1970, at tr_tls_new: ticket ages, certificate times */
    /* SSLKEYLOGFILE line without newline (NULL: none). On the engine's thread, during feed; the text is
     * lent for the call. */
    void (*keylog)(void *arg, const char *line);
    void *keylog_arg;
    const uint8_t (*pins)[32]; /* SHA-256 of SubjectPublicKeyInfo: the leaf's, or of one sent that signed it (tr_x509_pinned); lent */
    size_t num_pins;
} tr_tls_config_t;

/* tr_tls_new makes an engine for one connection to host (a DNS name in ASCII, or an IP address without
 * brackets: then no SNI is sent). Config and host are copied as their comments say. */
tr_code_t tr_tls_new(tr_tls_t **out, const tr_tls_config_t *config, const char *host, tr_err_t *err);
void tr_tls_free(tr_tls_t *tls); /* wipes secrets */

/* tr_tls_start appends the ClientHello record(s) to wire. Once. */
tr_code_t tr_tls_start(tr_tls_t *tls, tr_buf_t *wire, tr_err_t *err);

/* tr_tls_feed consumes bytes from the peer: *out_used of in.len (all complete records; a partial one at the
 * end is kept inside, so normally everything). Application data is appended to plain, answers (Finished,
 * KeyUpdate, alerts) to wire. Returns TR_OK, TR_EOF after close_notify (then stays), or a failure.
 * plain->max may be set: when it would be passed, feed stops with TR_PAUSED before the next record and
 * *out_used tells what was taken; call again with the rest once plain was drained. */
tr_code_t tr_tls_feed(tr_tls_t *tls, tr_bufq_t *plain, tr_buf_t *wire, tr_slice_t in, size_t *out_used,
                      tr_err_t *err);
/* tr_tls_eof tells the engine that the peer's byte stream ended. TR_EOF when it had said close_notify; else a
 * failure: TLS_CLOSED during the handshake, CONNECT_RESET-free truncation is reported as TR_ERR_CLOSED_EARLY. */
tr_code_t tr_tls_eof(tr_tls_t *tls, tr_err_t *err);

/* tr_tls_write appends data as application-data records to wire; each call starts a new record, data longer
 * than the record limit takes several. TR_AGAIN before the handshake is done, where it is no early data or has no room. */
tr_code_t tr_tls_write(tr_tls_t *tls, tr_buf_t *wire, tr_slice_t data, tr_err_t *err);
/* tr_tls_close appends a close_notify alert (browsers send none; for peers that insist). */
tr_code_t tr_tls_close(tr_tls_t *tls, tr_buf_t *wire, tr_err_t *err);

/* tr_tls_early_room says how many bytes tr_tls_write takes as early data now (RFC 8446 2.3): from tr_tls_start until the server's Finished, when
 * early data was offered and not refused. What the server refuses is sent again when the handshake is done, record by record, by the engine
 * itself; a server that refuses and chooses another protocol than the session's ends the handshake, for the bytes would mean nothing to it.
 * Whoever replays the ClientHello replays early data: only what may be repeated belongs there (RFC 8446 8). */
size_t tr_tls_early_room(const tr_tls_t *tls);
/* tr_tls_early_alpn lends the protocol that early data must speak: the session's. Empty: none, or no early data was offered. */
tr_slice_t tr_tls_early_alpn(const tr_tls_t *tls);

bool tr_tls_handshake_done(const tr_tls_t *tls);

/* What was agreed; lent, valid once the handshake is done. */
typedef struct tr_tls_info {
    uint16_t version; /* 0x0304, 0x0303 */
    uint16_t suite;
    uint16_t group;     /* 0: none (RSA key exchange, TLS 1.2 resumption) */
    uint16_t signature; /* scheme of the peer's signature; 0: none (resumed, RSA key exchange) */
    bool resumed;
    bool retried; /* a HelloRetryRequest came */
    bool early_data_accepted;
    bool alps; /* ALPS was agreed: peer_alps are the server's settings (HTTP/2 frames) */
    tr_slice_t alpn;          /* empty: none */
    tr_slice_t peer_alps;
    const char *suite_name;   /* "TLS_AES_128_GCM_SHA256", static */
    const char *version_name; /* "TLSv1.3", static */
    size_t num_certs;         /* of the chain the server sent (or that the session remembered: 0) */
} tr_tls_info_t;

void tr_tls_info(const tr_tls_t *tls, tr_tls_info_t *out);
/* tr_tls_peer_cert lends the DER of certificate index (0 is the server's own); empty: none. */
tr_slice_t tr_tls_peer_cert(const tr_tls_t *tls, size_t index);
/* tr_tls_alert_sent gives the alert the engine ended with, or -1; tr_tls_alert_received likewise. */
int tr_tls_alert_sent(const tr_tls_t *tls);
int tr_tls_alert_received(const tr_tls_t *tls);

#endif
