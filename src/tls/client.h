/* client: what the files of the handshake share; nobody outside tls/ includes it.
 *
 * DESIGN. Two halves meet in two small seams, so that another transport (QUIC) can take the stream's place:
 *
 *   stream.c   records, alerts, ChangeCipherSpec        ->  tr_tls__messages(level, bytes)   handshake bytes in
 *   client.c   message assembly, dispatch, failure
 *   client13.c, client12.c, cert.c ...                  ->  tls->sink->emit(level, message)  handshake bytes out
 *                                                           tls->sink->install(level, ...)   secrets out
 *
 * The handshake never sees a record; the stream never looks into a message. TLS 1.2 has two more functions in the sink
 * (its keys and its ChangeCipherSpec), which a transport for TLS 1.3 alone leaves out.
 *
 * Errors: whoever finds a failure calls tr_tls__fail (or lets a lower layer fill tls->err); the code travels up; the
 * public function sends the alert, once, and copies tls->err out. */
#ifndef TR_TLS_CLIENT_H
#define TR_TLS_CLIENT_H

#include "core/limits.h"
#include "core/wr.h"
#include "tls/alert.h"
#include "tls/ext.h"
#include "tls/hello.h"
#include "tls/keysched.h"
#include "tls/record.h"
#include "tls/suites.h"
#include "tls/ticket.h"
#include "tls/tls.h"
#include "tls/x509.h"

enum {
    TR_VERSION_12 = 0x0303,
    TR_VERSION_13 = 0x0304
};

/* Handshake message types (RFC 8446 4, RFC 5246 7.4, RFC 8879, draft-vvv-tls-alps). */
enum {
    TR_MSG_HELLO_REQUEST = 0,
    TR_MSG_SERVER_HELLO = 2,
    TR_MSG_NEW_SESSION_TICKET = 4,
    TR_MSG_END_OF_EARLY_DATA = 5,
    TR_MSG_ENCRYPTED_EXTENSIONS = 8,
    TR_MSG_CERTIFICATE = 11,
    TR_MSG_SERVER_KEY_EXCHANGE = 12,
    TR_MSG_CERTIFICATE_REQUEST = 13,
    TR_MSG_SERVER_HELLO_DONE = 14,
    TR_MSG_CERTIFICATE_VERIFY = 15,
    TR_MSG_CLIENT_KEY_EXCHANGE = 16,
    TR_MSG_FINISHED = 20,
    TR_MSG_CERTIFICATE_STATUS = 22,
    TR_MSG_KEY_UPDATE = 24,
    TR_MSG_COMPRESSED_CERTIFICATE = 25,
    TR_MSG_MESSAGE_HASH = 254
};

#define TR_MSG_HEADER_LEN 4

typedef enum tr_tls_state {
    TR_EXPECT_NOTHING, /* before start */
    TR_EXPECT_SERVER_HELLO,
    TR_EXPECT_SECOND_SERVER_HELLO,
    TR_EXPECT_13_ENCRYPTED_EXTENSIONS,
    TR_EXPECT_13_CERTIFICATE_OR_REQUEST,
    TR_EXPECT_13_CERTIFICATE,
    TR_EXPECT_13_CERTIFICATE_VERIFY,
    TR_EXPECT_13_FINISHED,
    TR_EXPECT_13_DATA,
    TR_EXPECT_12_CERTIFICATE,
    TR_EXPECT_12_CERTIFICATE_STATUS, /* or what follows it */
    TR_EXPECT_12_SERVER_KEY_EXCHANGE,
    TR_EXPECT_12_DONE_OR_REQUEST,
    TR_EXPECT_12_DONE,
    TR_EXPECT_12_TICKET,
    TR_EXPECT_12_CHANGE_CIPHER_SPEC,
    TR_EXPECT_12_FINISHED,
    TR_EXPECT_12_DATA
} tr_tls_state_t;

/* tr_tls__state_name names a state for traces. */
const char *tr_tls__state_name(tr_tls_state_t state);

/* Encryption levels (RFC 9001 2.1). */
typedef enum tr_tls_level {
    TR_LEVEL_INITIAL,
    TR_LEVEL_EARLY,
    TR_LEVEL_HANDSHAKE,
    TR_LEVEL_APPLICATION
} tr_tls_level_t;

/* Where the handshake's output goes. Failures fill tls->err. */
typedef struct tr_tls_sink {
    /* a whole handshake message, lent */
    tr_code_t (*emit)(tr_tls_t *tls, tr_tls_level_t level, tr_slice_t message);
    /* TLS 1.3: from now on this direction is under the secret (lent) and the suite's protection */
    tr_code_t (*install)(tr_tls_t *tls, tr_tls_level_t level, bool sending, const tr_suite_t *suite, tr_slice_t secret);
    /* TLS 1.3: early data was refused before there were other keys; sending is unprotected again */
    void (*uninstall)(tr_tls_t *tls);
    /* TLS 1.3: sends early data again that was refused, under the keys of now */
    tr_code_t (*resend)(tr_tls_t *tls, tr_slice_t data);
    /* TLS 1.3 over records: the ChangeCipherSpec for middleboxes goes before the next record (RFC 8446 D.4) */
    void (*compat_ccs)(tr_tls_t *tls);
    /* TLS 1.2: ChangeCipherSpec is sent, or was received; keys are in tls->key_block */
    tr_code_t (*change_cipher_spec)(tr_tls_t *tls, bool sending);
} tr_tls_sink_t;

/* Early data of a connection (RFC 8446 4.2.10). */
typedef enum tr_early {
    TR_EARLY_NONE,     /* not offered */
    TR_EARLY_OFFERED,  /* may be written; the server has not said what it does */
    TR_EARLY_ACCEPTED, /* may be written until the server's Finished */
    TR_EARLY_REFUSED,  /* what was written is sent again once the handshake is done */
    TR_EARLY_OVER
} tr_early_t;

/* One handshake message, lent. */
typedef struct tr_msg {
    uint8_t type;
    tr_slice_t body;
    tr_slice_t raw; /* with its header, as the transcript wants it */
} tr_msg_t;

/* mac, key and iv of both sides: 2 * (48 + 32 + 12) is the most. */
#define TR_TLS_KEY_BLOCK_MAX 192
#define TR_TLS_MASTER_LEN 48

struct tr_tls {
    tr_tls_config_t config; /* trust and identity referenced */
    char *host;             /* owned */
    char *ticket_key;       /* owned */
    const tr_tls_sink_t *sink;

    /* --- result --- */
    tr_code_t failed; /* sticky */
    tr_err_t err;
    uint8_t alert; /* of a failure, to be sent; TR_ALERT_CLOSE_NOTIFY: none */
    int alert_sent;
    int alert_received;
    bool closed;      /* close_notify came */
    bool sent_close;

    /* --- handshake --- */
    tr_tls_state_t state;
    tr_hello_t hello;
    tr_session_ticket_t *session; /* owned; offered, else NULL */
    uint16_t version;             /* 0 until the server chose */
    const tr_suite_t *suite;
    tr_buf_t cookie; /* of the HelloRetryRequest */
    uint16_t retry_group;
    bool retried;
    bool resumed;
    bool ends_flight;  /* the message just handled: no byte may lie behind it (RFC 8446 5.1) */
    bool secured;      /* the peer's Finished was good */
    uint16_t group;
    uint16_t signature;
    uint8_t server_random[32];
    uint8_t alpn[255];
    size_t alpn_len;
    bool alps;
    uint16_t alps_type;
    tr_buf_t peer_alps;

    /* --- transcript: bytes until the hash is known (and in TLS 1.2 until no client certificate can be asked
     * for), the running digest then --- */
    tr_buf_t transcript_bytes;
    bool keep_transcript;
    tr_hash_ctx_t *transcript; /* owned */

    /* --- assembly of messages --- */
    tr_buf_t partial;     /* a message not yet complete */
    size_t num_post;      /* post-handshake messages since the last application data */

    /* --- peer --- */
    tr_buf_t certs_bytes; /* the Certificate message's body, certs lie in it */
    tr_slice_t *certs;    /* owned array; lent from certs_bytes */
    size_t num_certs;
    tr_pkey_t *peer_key;      /* owned; the leaf's, or of its delegated credential */
    uint16_t delegated_scheme; /* 0: no delegated credential */
    bool cert_requested;
    uint16_t client_scheme; /* for the client's CertificateVerify; 0: no certificate is sent */

    /* --- TLS 1.3 --- */
    tr_keysched_t ks;
    tr_early_t early;
    size_t early_room;    /* what the session allows beyond what was written */
    tr_buf_t early_sent;  /* secret; what was written and may have to be sent again: each piece behind its length (32 bits) */
    bool early_accepted;

    /* --- TLS 1.2 --- */
    uint8_t master[TR_TLS_MASTER_LEN];
    uint8_t key_block[TR_TLS_KEY_BLOCK_MAX];
    tr_kex_t *kex;     /* owned; of the ServerKeyExchange */
    tr_buf_t premaster; /* secret */
    bool ems;
    bool encrypt_then_mac;
    bool ticket_expected;
    bool status_expected;
    uint8_t session_id[32]; /* the server's */
    size_t session_id_len;
    tr_session_ticket_t *new_session; /* owned; stored once the handshake is done */

    /* --- stream (records) --- */
    tr_record_dir_t in, out;
    tr_buf_t *wire;      /* lent during a public call */
    tr_buf_t in_partial; /* a record not yet complete, header included */
    tr_chunk_t *spare;   /* owned; decrypted into, handed over once it holds application data */
    tr_buf_t flight;     /* handshake messages not yet in a record */
    bool ccs_pending;    /* a ChangeCipherSpec goes out before the next record */
    bool ccs_sent;
    bool got_record;     /* the peer's first record was sane */
    bool key_update_due; /* the peer asked for ours: before our next application data */
    size_t num_empty;    /* empty records in a row */
    size_t num_ccs;      /* ignored ChangeCipherSpecs, of the connection */
    size_t num_warnings;
};

/* --- client.c --- */
/* tr_tls__fail fills tls->err with TLS_PROTOCOL and the alert as detail; fmt is a sentence for people. */
tr_code_t tr_tls__fail(tr_tls_t *tls, uint8_t alert, const char *where, const char *fmt, ...) TR_PRINTF(4, 5);
/* tr_tls__fail_as is the same with another code. */
tr_code_t tr_tls__fail_as(tr_tls_t *tls, tr_code_t code, uint8_t alert, const char *where, const char *fmt, ...)
    TR_PRINTF(5, 6);
/* tr_tls__decode_error: the message's form is wrong. */
tr_code_t tr_tls__decode_error(tr_tls_t *tls, const char *where);
/* tr_tls__lower hands on a code of a layer that fills no error record (hashes, buffers). */
tr_code_t tr_tls__lower(tr_tls_t *tls, tr_code_t code, const char *where);
void tr_tls__set_state(tr_tls_t *tls, tr_tls_state_t state);
/* tr_tls__messages takes handshake bytes of one encryption level, in any pieces, and handles each whole message. */
tr_code_t tr_tls__messages(tr_tls_t *tls, tr_slice_t bytes);
/* tr_tls__mid_message says whether a message is incomplete. */
bool tr_tls__mid_message(const tr_tls_t *tls);
tr_code_t tr_tls__transcript_add(tr_tls_t *tls, tr_slice_t bytes);
/* tr_tls__transcript_start: the hash is known. */
tr_code_t tr_tls__transcript_start(tr_tls_t *tls, tr_hash_id_t hash);
tr_code_t tr_tls__digest(tr_tls_t *tls, uint8_t out[TR_HASH_MAX]);
/* tr_tls__emit adds a message to the transcript and hands it to the sink. */
tr_code_t tr_tls__emit(tr_tls_t *tls, tr_tls_level_t level, tr_slice_t message);
/* tr_tls__accept_alpn checks and keeps the server's choice. */
tr_code_t tr_tls__accept_alpn(tr_tls_t *tls, tr_rd_t rd);
/* tr_tls__accept_fragment_length applies the server's max_fragment_length (RFC 6066 4). */
tr_code_t tr_tls__accept_fragment_length(tr_tls_t *tls, tr_rd_t rd);
/* tr_tls__accept_record_size applies the server's record_size_limit (RFC 8449). */
tr_code_t tr_tls__accept_record_size(tr_tls_t *tls, tr_rd_t rd);
/* tr_tls__handshake_over frees what only a handshake needs: an idle connection should cost little. */
void tr_tls__handshake_over(tr_tls_t *tls);
/* tr_tls__keep_session stores the session, or frees it where sessions are not kept. */
void tr_tls__keep_session(tr_tls_t *tls, tr_session_ticket_t *session);
bool tr_tls__keeps_sessions(const tr_tls_t *tls);
/* tr_tls__new_session starts a session to keep, with what both versions fill alike; NULL: out of memory. */
tr_session_ticket_t *tr_tls__new_session(const tr_tls_t *tls, uint32_t lifetime_s, tr_slice_t ticket);
/* tr_tls__finished_ok compares the verify_data of the peer's Finished. */
bool tr_tls__finished_ok(const tr_tls_t *tls, const uint8_t *expected, size_t len, tr_slice_t got);
/* tr_tls__signature_ok verifies the peer's signature under tls->peer_key. */
bool tr_tls__signature_ok(const tr_tls_t *tls, uint16_t scheme, tr_slice_t content, tr_slice_t signature);

/* A ServerHello's fields, lent. */
typedef struct tr_server_hello {
    uint16_t legacy_version;
    tr_slice_t random;
    tr_slice_t session_id;
    uint16_t suite;
    uint8_t compression;
    tr_slice_t exts; /* block without its length */
} tr_server_hello_t;

/* --- client13.c --- */
tr_code_t tr_tls13__retry(tr_tls_t *tls, const tr_msg_t *msg, const tr_server_hello_t *sh);
tr_code_t tr_tls13__server_hello(tr_tls_t *tls, const tr_msg_t *msg, const tr_server_hello_t *sh);
tr_code_t tr_tls13__encrypted_extensions(tr_tls_t *tls, const tr_msg_t *msg);
tr_code_t tr_tls13__certificate_request(tr_tls_t *tls, const tr_msg_t *msg);
tr_code_t tr_tls13__certificate(tr_tls_t *tls, const tr_msg_t *msg);
tr_code_t tr_tls13__compressed_certificate(tr_tls_t *tls, const tr_msg_t *msg);
tr_code_t tr_tls13__certificate_verify(tr_tls_t *tls, const tr_msg_t *msg);
tr_code_t tr_tls13__finished(tr_tls_t *tls, const tr_msg_t *msg);
tr_code_t tr_tls13__new_session_ticket(tr_tls_t *tls, const tr_msg_t *msg);
tr_code_t tr_tls13__key_update(tr_tls_t *tls, const tr_msg_t *msg);
/* tr_tls13__begin_early: the ClientHello was sent; early data may follow it. */
tr_code_t tr_tls13__begin_early(tr_tls_t *tls);
/* tr_tls13__send_key_update renews our sending keys; `ask` asks the peer for the same. */
tr_code_t tr_tls13__send_key_update(tr_tls_t *tls, bool ask);

/* --- client12.c --- */
tr_code_t tr_tls12__server_hello(tr_tls_t *tls, const tr_msg_t *msg, const tr_server_hello_t *sh);
tr_code_t tr_tls12__certificate(tr_tls_t *tls, const tr_msg_t *msg);
tr_code_t tr_tls12__certificate_status(tr_tls_t *tls, const tr_msg_t *msg);
tr_code_t tr_tls12__server_key_exchange(tr_tls_t *tls, const tr_msg_t *msg);
tr_code_t tr_tls12__certificate_request(tr_tls_t *tls, const tr_msg_t *msg);
tr_code_t tr_tls12__server_hello_done(tr_tls_t *tls, const tr_msg_t *msg);
tr_code_t tr_tls12__new_session_ticket(tr_tls_t *tls, const tr_msg_t *msg);
tr_code_t tr_tls12__change_cipher_spec(tr_tls_t *tls);
tr_code_t tr_tls12__finished(tr_tls_t *tls, const tr_msg_t *msg);

/* --- stream.c --- */
/* tr_tls__renew_keys sends a KeyUpdate of TLS 1.3, as tr_tls_write does by itself after many records. */
tr_code_t tr_tls__renew_keys(tr_tls_t *tls, tr_buf_t *wire, bool ask, tr_err_t *err);
extern const tr_tls_sink_t tr_tls__stream_sink;

#endif
