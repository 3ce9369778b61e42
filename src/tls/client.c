/* The handshake's core: engine object, failure, transcript, message assembly and dispatch. */
#include "tls/client.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/mem.h"
#include "core/trace.h"
#include "crypto/crypto.h"
#include "tls/cert.h"

/* RFC 8446 4.1.3: SHA-256 of "HelloRetryRequest". */
static const uint8_t retry_random[32] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
                                         0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
                                         0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

const char *
tr_tls__state_name(tr_tls_state_t state)
{
    static const char *const names[] = {
        [TR_EXPECT_NOTHING] = "NOTHING",
        [TR_EXPECT_SERVER_HELLO] = "SERVER_HELLO",
        [TR_EXPECT_SECOND_SERVER_HELLO] = "SECOND_SERVER_HELLO",
        [TR_EXPECT_13_ENCRYPTED_EXTENSIONS] = "13_ENCRYPTED_EXTENSIONS",
        [TR_EXPECT_13_CERTIFICATE_OR_REQUEST] = "13_CERTIFICATE_OR_REQUEST",
        [TR_EXPECT_13_CERTIFICATE] = "13_CERTIFICATE",
        [TR_EXPECT_13_CERTIFICATE_VERIFY] = "13_CERTIFICATE_VERIFY",
        [TR_EXPECT_13_FINISHED] = "13_FINISHED",
        [TR_EXPECT_13_DATA] = "13_DATA",
        [TR_EXPECT_12_CERTIFICATE] = "12_CERTIFICATE",
        [TR_EXPECT_12_CERTIFICATE_STATUS] = "12_CERTIFICATE_STATUS",
        [TR_EXPECT_12_SERVER_KEY_EXCHANGE] = "12_SERVER_KEY_EXCHANGE",
        [TR_EXPECT_12_DONE_OR_REQUEST] = "12_DONE_OR_REQUEST",
        [TR_EXPECT_12_DONE] = "12_DONE",
        [TR_EXPECT_12_TICKET] = "12_TICKET",
        [TR_EXPECT_12_CHANGE_CIPHER_SPEC] = "12_CHANGE_CIPHER_SPEC",
        [TR_EXPECT_12_FINISHED] = "12_FINISHED",
        [TR_EXPECT_12_DATA] = "12_DATA",
    };
    return (size_t)state < TR_ARRAY_LEN(names) ? names[state] : "UNKNOWN";
}

void
tr_tls__set_state(tr_tls_t *tls, tr_tls_state_t state)
{
    TR_TRACE(TR_TOPIC_TLS, "%s: expecting %s", tls->host, tr_tls__state_name(state));
    tls->state = state;
}

/* --- failure --- */

static tr_code_t fail_v(tr_tls_t *tls, tr_code_t code, uint8_t alert, const char *where, const char *fmt, va_list args)
    TR_PRINTF(5, 0);

static tr_code_t
fail_v(tr_tls_t *tls, tr_code_t code, uint8_t alert, const char *where, const char *fmt, va_list args)
{
    tls->alert = alert;
    if (fmt == NULL) {
        return tr_err_set(&tls->err, code, alert, where, NULL);
    }
    char text[TR_ERR_MSG_LEN];
    vsnprintf(text, sizeof(text), fmt, args);
    return tr_err_set(&tls->err, code, alert, where, "%s", text);
}

tr_code_t
tr_tls__fail(tr_tls_t *tls, uint8_t alert, const char *where, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    tr_code_t code = fail_v(tls, TR_ERR_TLS_PROTOCOL, alert, where, fmt, args);
    va_end(args);
    return code;
}

tr_code_t
tr_tls__fail_as(tr_tls_t *tls, tr_code_t code, uint8_t alert, const char *where, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    code = fail_v(tls, code, alert, where, fmt, args);
    va_end(args);
    return code;
}

tr_code_t
tr_tls__decode_error(tr_tls_t *tls, const char *where)
{
    return tr_tls__fail(tls, TR_ALERT_DECODE_ERROR, where, "The server sent a TLS message that cannot be read.");
}

tr_code_t
tr_tls__lower(tr_tls_t *tls, tr_code_t code, const char *where)
{
    if (code != TR_OK) {
        tls->alert = TR_ALERT_INTERNAL_ERROR;
        tr_err_set(&tls->err, code, 0, where, NULL);
    }
    return code;
}

/* --- the engine object --- */

tr_code_t
tr_tls_new(tr_tls_t **out, const tr_tls_config_t *config, const char *host, tr_err_t *err)
{
    static const char where[] = "tls.new";
    tr_code_t code;
    *out = NULL;
    tr_tls_t *tls = tr_calloc(1, sizeof(*tls));
    if (tls == NULL) {
        return tr_err_nomem(err, where);
    }
    tls->config = *config;
    tls->config.trust = NULL;
    tls->config.identity = NULL;
    tls->sink = &tr_tls__stream_sink;
    tls->alert_sent = -1;
    tls->alert_received = -1;
    tls->premaster.secret = true;
    tls->early_sent.secret = true;
    tls->flight.secret = true; /* TLS 1.2 puts nothing secret there; it is small and wiped all the same */
    if (config->profile == NULL || host == NULL ||
        (config->trust == NULL && (config->flags & TR_TLS_NO_VERIFY) == 0)) {
        code = tr_err_set(err, TR_ERR_INVALID_ARGUMENT, 0, where, "A TLS engine needs a profile, a host and a trust store.");
        goto done;
    }
    code = tr_crypto_init(err);
    if (code != TR_OK) {
        goto done;
    }
    if (tls->config.rnd.fill == NULL) {
        tls->config.rnd = tr_rand_system;
    }
    tls->config.trust = config->trust == NULL ? NULL : tr_trust_ref(config->trust);
    tls->config.identity = config->identity == NULL ? NULL : tr_identity_ref(config->identity);
    tls->host = tr_strndup(host, strlen(host));
    const char *key = config->ticket_key == NULL ? host : config->ticket_key;
    tls->ticket_key = tr_strndup(key, strlen(key));
    if (tls->host == NULL || tls->ticket_key == NULL) {
        code = tr_err_nomem(err, where);
        goto done;
    }
    if (config->tickets != NULL && (config->flags & TR_TLS_NO_RESUME) == 0) {
        tls->session = tr_tickets_take(config->tickets, tr_slice_cstr(tls->ticket_key), config->now_ms,
                                       (config->profile->flags & TR_PROFILE_TICKET12_ONCE) != 0);
    }
    code = tr_hello_init(&tls->hello, config->profile, config->flags, tls->host, &tls->config.rnd, tls->session,
                         (config->flags & TR_TLS_EARLY_DATA) != 0, err);
done:
    if (code != TR_OK) {
        tr_tls_free(tls);
        return code;
    }
    *out = tls;
    return TR_OK;
}

/* A session that was taken for a ClientHello which never left (no connection came about) is as good as before. */
static void
give_session_back(tr_tls_t *tls)
{
    bool was_moved = tls->session != NULL && (tls->session->version == TR_VERSION_13 ||
                                              (tls->config.profile->flags & TR_PROFILE_TICKET12_ONCE) != 0);
    if (was_moved && tls->state == TR_EXPECT_NOTHING && tls->config.tickets != NULL) {
        tr_tickets_put(tls->config.tickets, tr_slice_cstr(tls->ticket_key), tls->session);
        tls->session = NULL;
    }
}

void
tr_tls_free(tr_tls_t *tls)
{
    if (tls == NULL) {
        return;
    }
    give_session_back(tls);
    tr_hello_cleanup(&tls->hello);
    tr_session_ticket_free(tls->session);
    tr_session_ticket_free(tls->new_session);
    tr_trust_unref(tls->config.trust);
    tr_identity_unref(tls->config.identity);
    tr_hash_free(tls->transcript);
    tr_pkey_free(tls->peer_key);
    tr_kex_free(tls->kex);
    tr_record_dir_cleanup(&tls->in);
    tr_record_dir_cleanup(&tls->out);
    tr_buf_cleanup(&tls->cookie);
    tr_buf_cleanup(&tls->peer_alps);
    tr_buf_cleanup(&tls->transcript_bytes);
    tr_buf_cleanup(&tls->partial);
    tr_buf_cleanup(&tls->certs_bytes);
    tr_buf_cleanup(&tls->premaster);
    tr_buf_cleanup(&tls->early_sent);
    tr_buf_cleanup(&tls->in_partial);
    tr_buf_cleanup(&tls->flight);
    tr_chunk_free(tls->spare);
    tr_free(tls->certs);
    tr_free(tls->host);
    tr_free(tls->ticket_key);
    tr_wipe(tls, sizeof(*tls));
    tr_free(tls);
}

size_t
tr_tls_early_room(const tr_tls_t *tls)
{
    bool open = tls->early == TR_EARLY_OFFERED || tls->early == TR_EARLY_ACCEPTED;
    return open && tls->failed == TR_OK ? tls->early_room : 0;
}

tr_slice_t
tr_tls_early_alpn(const tr_tls_t *tls)
{
    bool offered = tls->early != TR_EARLY_NONE && tls->session != NULL;
    return offered ? tr_slice(tls->session->alpn, tls->session->alpn_len) : TR_SLICE_NULL;
}

bool
tr_tls_handshake_done(const tr_tls_t *tls)
{
    return tls->failed == TR_OK && (tls->state == TR_EXPECT_13_DATA || tls->state == TR_EXPECT_12_DATA);
}

void
tr_tls_info(const tr_tls_t *tls, tr_tls_info_t *out)
{
    memset(out, 0, sizeof(*out));
    out->version = tls->version;
    out->suite = tls->suite == NULL ? 0 : tls->suite->id;
    out->group = tls->group;
    out->signature = tls->signature;
    out->resumed = tls->resumed;
    out->retried = tls->retried;
    out->early_data_accepted = tls->early_accepted;
    out->alps = tls->alps;
    out->alpn = tr_slice(tls->alpn, tls->alpn_len);
    out->peer_alps = tr_buf_slice(&tls->peer_alps);
    out->suite_name = tls->suite == NULL ? "" : tls->suite->name;
    out->version_name = tls->version == TR_VERSION_13 ? "TLSv1.3" : tls->version == TR_VERSION_12 ? "TLSv1.2" : "";
    out->num_certs = tls->num_certs;
}

tr_slice_t
tr_tls_peer_cert(const tr_tls_t *tls, size_t index)
{
    return index < tls->num_certs ? tls->certs[index] : TR_SLICE_NULL;
}

int
tr_tls_alert_sent(const tr_tls_t *tls)
{
    return tls->alert_sent;
}

int
tr_tls_alert_received(const tr_tls_t *tls)
{
    return tls->alert_received;
}

/* --- transcript --- */

tr_code_t
tr_tls__transcript_add(tr_tls_t *tls, tr_slice_t bytes)
{
    tr_code_t code = TR_OK;
    if (tls->transcript != NULL) {
        code = tr_hash_update(tls->transcript, bytes.data, bytes.len);
    }
    if (code == TR_OK && (tls->transcript == NULL || tls->keep_transcript)) {
        code = tr_buf_append(&tls->transcript_bytes, bytes.data, bytes.len);
    }
    return tr_tls__lower(tls, code, "tls.transcript");
}

tr_code_t
tr_tls__transcript_start(tr_tls_t *tls, tr_hash_id_t hash)
{
    tr_code_t code = TR_ERR_NOMEM;
    tls->transcript = tr_hash_new(hash);
    if (tls->transcript != NULL) {
        code = tr_hash_update(tls->transcript, tls->transcript_bytes.data, tls->transcript_bytes.len);
    }
    return tr_tls__lower(tls, code, "tls.transcript");
}

tr_code_t
tr_tls__digest(tr_tls_t *tls, uint8_t out[TR_HASH_MAX])
{
    return tr_tls__lower(tls, tr_hash_peek(tls->transcript, out), "tls.transcript");
}

tr_code_t
tr_tls__emit(tr_tls_t *tls, tr_tls_level_t level, tr_slice_t message)
{
    tr_code_t code = tr_tls__transcript_add(tls, message);
    return code == TR_OK ? tls->sink->emit(tls, level, message) : code;
}

/* --- what both versions share --- */

tr_code_t
tr_tls__accept_alpn(tr_tls_t *tls, tr_rd_t rd)
{
    static const char where[] = "tls.alpn";
    tr_rd_t list;
    tr_slice_t name;
    /* RFC 7301 3.1: exactly one name */
    if (!tr_rd_sub(&rd, &list, 2) || !tr_rd_end(&rd) || !tr_rd_vec(&list, &name, 1) || !tr_rd_end(&list) ||
        name.len == 0) {
        return tr_tls__decode_error(tls, where);
    }
    if (!tr_hello_offers_alpn(&tls->hello, name)) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where,
                            "The server chose a protocol (ALPN) that was not offered.");
    }
    memcpy(tls->alpn, name.data, name.len);
    tls->alpn_len = name.len;
    return TR_OK;
}

tr_code_t
tr_tls__accept_record_size(tr_tls_t *tls, tr_rd_t rd)
{
    static const char where[] = "tls.record_size_limit";
    /* RFC 8449 4: TLS 1.3 counts the content type too. */
    size_t extra = tls->version == TR_VERSION_13 ? 1 : 0;
    const tr_profile_ext_t *ours = tr_profile_ext(tls->config.profile, TR_EXT_RECORD_SIZE_LIMIT);
    uint16_t limit, own_limit = 0;
    if (!tr_rd_u16(&rd, &limit) || !tr_rd_end(&rd)) {
        return tr_tls__decode_error(tls, where);
    }
    if (limit < 64 || limit > TR_TLS_MAX_PLAINTEXT + extra) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server's record size limit of %u is not allowed.",
                            limit);
    }
    tls->out.max_plain = limit - extra;
    if (ours != NULL) {
        tr_rd_t own = tr_rd(ours->data);
        tr_rd_u16(&own, &own_limit);
    }
    if (own_limit >= 64 && own_limit < TR_TLS_MAX_PLAINTEXT + extra) {
        tls->in.max_plain = own_limit - extra;
    }
    return TR_OK;
}

tr_code_t
tr_tls__accept_fragment_length(tr_tls_t *tls, tr_rd_t rd)
{
    static const char where[] = "tls.max_fragment_length";
    const tr_profile_ext_t *ours = tr_profile_ext(tls->config.profile, TR_EXT_MAX_FRAGMENT_LENGTH);
    uint8_t exponent;
    if (!tr_rd_u8(&rd, &exponent) || !tr_rd_end(&rd)) {
        return tr_tls__decode_error(tls, where);
    }
    /* RFC 6066 4: the same as was asked for: 2^9 to 2^12 */
    if (exponent < 1 || exponent > 4 || ours == NULL || ours->data.len != 1 || ours->data.data[0] != exponent) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server agreed to a fragment length that was not asked for.");
    }
    tls->out.max_plain = (size_t)256 << exponent;
    return TR_OK;
}

void
tr_tls__handshake_over(tr_tls_t *tls)
{
    tr_hello_cleanup(&tls->hello);
    tr_session_ticket_free(tls->session);
    tls->session = NULL;
    tr_hash_free(tls->transcript);
    tls->transcript = NULL;
    tr_pkey_free(tls->peer_key);
    tls->peer_key = NULL;
    tr_buf_cleanup(&tls->cookie);
}

bool
tr_tls__keeps_sessions(const tr_tls_t *tls)
{
    uint32_t wanted = tls->version == TR_VERSION_13 ? TR_PROFILE_RESUMES_13 : TR_PROFILE_RESUMES_12;
    return tls->config.tickets != NULL && (tls->config.flags & TR_TLS_NO_RESUME) == 0 &&
           (tls->config.profile->flags & wanted) != 0;
}

tr_session_ticket_t *
tr_tls__new_session(const tr_tls_t *tls, uint32_t lifetime_s, tr_slice_t ticket)
{
    tr_session_ticket_t *session = tr_calloc(1, sizeof(*session));
    if (session == NULL) {
        return NULL;
    }
    session->ticket = tr_memdup(ticket.data, ticket.len);
    if (session->ticket == NULL) {
        tr_free(session);
        return NULL;
    }
    session->ticket_len = ticket.len;
    session->version = tls->version;
    session->suite = tls->suite->id;
    session->lifetime_s = TR_MIN(lifetime_s, 7u * 24 * 3600); /* RFC 8446 4.6.1 */
    session->received_ms = tls->config.now_ms;
    if (tls->alpn_len <= sizeof(session->alpn)) {
        memcpy(session->alpn, tls->alpn, tls->alpn_len);
        session->alpn_len = tls->alpn_len;
    }
    return session;
}

void
tr_tls__keep_session(tr_tls_t *tls, tr_session_ticket_t *session)
{
    if (tr_tls__keeps_sessions(tls)) {
        tr_tickets_put(tls->config.tickets, tr_slice_cstr(tls->ticket_key), session);
    } else {
        tr_session_ticket_free(session);
    }
}

bool
tr_tls__signature_ok(const tr_tls_t *tls, uint16_t scheme, tr_slice_t content, tr_slice_t signature)
{
#ifdef TR_FUZZ
    if ((tls->config.flags & TR_TLS_FUZZ_NO_SIGNATURES) != 0) {
        return true;
    }
#endif
    return tr_sig_verify(scheme, tls->peer_key, content, signature);
}

bool
tr_tls__finished_ok(const tr_tls_t *tls, const uint8_t *expected, size_t len, tr_slice_t got)
{
#ifdef TR_FUZZ
    if ((tls->config.flags & TR_TLS_FUZZ_NO_SIGNATURES) != 0) {
        return true;
    }
#endif
    TR_UNUSED(tls);
    return got.len == len && tr_memeq_ct(expected, got.data, len);
}

/* --- ServerHello: which version, which kind --- */

static bool
parse_server_hello(tr_server_hello_t *out, tr_slice_t body)
{
    tr_rd_t rd = tr_rd(body);
    tr_rd_u16(&rd, &out->legacy_version);
    tr_rd_bytes(&rd, &out->random, 32);
    tr_rd_vec(&rd, &out->session_id, 1);
    tr_rd_u16(&rd, &out->suite);
    tr_rd_u8(&rd, &out->compression);
    out->exts = TR_SLICE_NULL;
    if (!rd.failed && !tr_rd_empty(&rd)) { /* RFC 5246 7.4.1.3: may be left out */
        tr_rd_vec(&rd, &out->exts, 2);
    }
    return tr_rd_end(&rd) && out->session_id.len <= 32;
}

/* The body of supported_versions, before it is known which table of extensions holds. */
static bool
find_version_ext(tr_slice_t exts, tr_rd_t *out)
{
    tr_rd_t rd = tr_rd(exts);
    uint16_t type;
    while (tr_rd_u16(&rd, &type) && tr_rd_sub(&rd, out, 2)) {
        if (type == TR_EXT_SUPPORTED_VERSIONS) {
            return true;
        }
    }
    return false;
}

static tr_code_t
server_hello(tr_tls_t *tls, const tr_msg_t *msg)
{
    static const char where[] = "tls.server_hello";
    tr_server_hello_t sh;
    tr_rd_t ext;
    if (!parse_server_hello(&sh, msg->body)) {
        return tr_tls__decode_error(tls, where);
    }
    /* RFC 8446 4.2.1: with supported_versions its value counts, and only 1.3 and later may stand there. */
    uint16_t version = sh.legacy_version;
    bool by_ext = find_version_ext(sh.exts, &ext) && tr_hello_offers_ext(&tls->hello, TR_EXT_SUPPORTED_VERSIONS);
    if (by_ext) {
        if (!tr_rd_u16(&ext, &version) || !tr_rd_end(&ext)) {
            return tr_tls__decode_error(tls, where);
        }
        if (version != TR_VERSION_13 || !tr_hello_offers_version(&tls->hello, version) ||
            sh.legacy_version != TR_VERSION_12) {
            return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where,
                                "The server chose a TLS version (0x%04x) that was not offered.", version);
        }
    } else if (version < TR_VERSION_12) {
        return tr_tls__fail_as(tls, TR_ERR_TLS_VERSION, TR_ALERT_PROTOCOL_VERSION, where, NULL);
    } else if (version != TR_VERSION_12 || !tr_hello_offers_version(&tls->hello, version)) {
        return tr_tls__fail(tls, TR_ALERT_PROTOCOL_VERSION, where,
                            "The server chose a TLS version (0x%04x) that was not offered.", version);
    }
    if (version != TR_VERSION_13 && tls->early == TR_EARLY_OFFERED) { /* RFC 8446 D.3 */
        return tr_tls__fail(tls, TR_ALERT_PROTOCOL_VERSION, "tls.early_data.version",
                            "The server chose TLS 1.2 for a session of TLS 1.3 with early data.");
    }
    if (tls->retried && version != TR_VERSION_13) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server changed the TLS version after a retry.");
    }
    tls->version = version;
    if (version == TR_VERSION_12) {
        return tr_tls12__server_hello(tls, msg, &sh);
    }
    if (memcmp(sh.random.data, retry_random, sizeof(retry_random)) == 0) {
        return tr_tls13__retry(tls, msg, &sh);
    }
    return tr_tls13__server_hello(tls, msg, &sh);
}

/* --- dispatch --- */

#define PAIR(state, type) ((unsigned)(state) << 8 | (unsigned)(type))

/* RFC 8446 4.6, limits.h: work that the peer can ask for without end. */
static tr_code_t
count_post_handshake(tr_tls_t *tls)
{
    if (++tls->num_post > TR_TLS_MAX_KEY_UPDATES) {
        return tr_tls__fail(tls, TR_ALERT_UNEXPECTED_MESSAGE, "tls.post_handshake",
                            "The server sends KeyUpdates or tickets without end.");
    }
    return TR_OK;
}

static tr_code_t
hello_request(tr_tls_t *tls, const tr_msg_t *msg)
{
    if (msg->body.len != 0) {
        return tr_tls__decode_error(tls, "tls.hello_request");
    }
    if (tls->state != TR_EXPECT_12_DATA) {
        return count_post_handshake(tls); /* RFC 5246 7.4.1.1: ignored during a handshake */
    }
    return tr_tls__fail(tls, TR_ALERT_NO_RENEGOTIATION, "tls.hello_request",
                        "The server wants to renegotiate, which this engine refuses.");
}

static tr_code_t
dispatch(tr_tls_t *tls, const tr_msg_t *msg)
{
    tr_code_t code;
    TR_TRACE(TR_TOPIC_TLS, "%s: message %u, %zu bytes, in %s", tls->host, msg->type, msg->body.len,
             tr_tls__state_name(tls->state));
    if (msg->type == TR_MSG_HELLO_REQUEST && tls->version == TR_VERSION_12) {
        return hello_request(tls, msg);
    }
    switch (PAIR(tls->state, msg->type)) {
    case PAIR(TR_EXPECT_SERVER_HELLO, TR_MSG_SERVER_HELLO):
    case PAIR(TR_EXPECT_SECOND_SERVER_HELLO, TR_MSG_SERVER_HELLO):
        return server_hello(tls, msg);

    /* RFC 8446 2, figure 1 */
    case PAIR(TR_EXPECT_13_ENCRYPTED_EXTENSIONS, TR_MSG_ENCRYPTED_EXTENSIONS):
        return tr_tls13__encrypted_extensions(tls, msg);
    case PAIR(TR_EXPECT_13_CERTIFICATE_OR_REQUEST, TR_MSG_CERTIFICATE_REQUEST):
        return tr_tls13__certificate_request(tls, msg);
    case PAIR(TR_EXPECT_13_CERTIFICATE_OR_REQUEST, TR_MSG_CERTIFICATE):
    case PAIR(TR_EXPECT_13_CERTIFICATE, TR_MSG_CERTIFICATE):
        return tr_tls13__certificate(tls, msg);
    case PAIR(TR_EXPECT_13_CERTIFICATE_OR_REQUEST, TR_MSG_COMPRESSED_CERTIFICATE):
    case PAIR(TR_EXPECT_13_CERTIFICATE, TR_MSG_COMPRESSED_CERTIFICATE):
        return tr_tls13__compressed_certificate(tls, msg);
    case PAIR(TR_EXPECT_13_CERTIFICATE_VERIFY, TR_MSG_CERTIFICATE_VERIFY):
        return tr_tls13__certificate_verify(tls, msg);
    case PAIR(TR_EXPECT_13_FINISHED, TR_MSG_FINISHED):
        return tr_tls13__finished(tls, msg);
    case PAIR(TR_EXPECT_13_DATA, TR_MSG_NEW_SESSION_TICKET):
        code = count_post_handshake(tls);
        return code == TR_OK ? tr_tls13__new_session_ticket(tls, msg) : code;
    case PAIR(TR_EXPECT_13_DATA, TR_MSG_KEY_UPDATE):
        code = count_post_handshake(tls);
        return code == TR_OK ? tr_tls13__key_update(tls, msg) : code;

    /* RFC 5246 7.3, figures 1 and 2; RFC 6066 8; RFC 5077 3.1 */
    case PAIR(TR_EXPECT_12_CERTIFICATE, TR_MSG_CERTIFICATE):
        return tr_tls12__certificate(tls, msg);
    case PAIR(TR_EXPECT_12_CERTIFICATE_STATUS, TR_MSG_CERTIFICATE_STATUS):
        return tr_tls12__certificate_status(tls, msg);
    case PAIR(TR_EXPECT_12_CERTIFICATE_STATUS, TR_MSG_SERVER_KEY_EXCHANGE):
    case PAIR(TR_EXPECT_12_SERVER_KEY_EXCHANGE, TR_MSG_SERVER_KEY_EXCHANGE):
        return tr_tls12__server_key_exchange(tls, msg);
    case PAIR(TR_EXPECT_12_CERTIFICATE_STATUS, TR_MSG_CERTIFICATE_REQUEST):
    case PAIR(TR_EXPECT_12_DONE_OR_REQUEST, TR_MSG_CERTIFICATE_REQUEST):
        return tr_tls12__certificate_request(tls, msg);
    case PAIR(TR_EXPECT_12_CERTIFICATE_STATUS, TR_MSG_SERVER_HELLO_DONE):
    case PAIR(TR_EXPECT_12_DONE_OR_REQUEST, TR_MSG_SERVER_HELLO_DONE):
    case PAIR(TR_EXPECT_12_DONE, TR_MSG_SERVER_HELLO_DONE):
        return tr_tls12__server_hello_done(tls, msg);
    case PAIR(TR_EXPECT_12_TICKET, TR_MSG_NEW_SESSION_TICKET):
        return tr_tls12__new_session_ticket(tls, msg);
    case PAIR(TR_EXPECT_12_FINISHED, TR_MSG_FINISHED):
        return tr_tls12__finished(tls, msg);
    default:
        break;
    }
    return tr_tls__fail(tls, TR_ALERT_UNEXPECTED_MESSAGE, "tls.message",
                        "The server sent handshake message %u where %s was expected.", msg->type,
                        tr_tls__state_name(tls->state));
}

/* --- assembly --- */

bool
tr_tls__mid_message(const tr_tls_t *tls)
{
    return tls->partial.len > 0;
}

/* Reads the header of the message that starts at bytes (at least TR_MSG_HEADER_LEN of them). */
static tr_code_t
message_len(tr_tls_t *tls, const uint8_t *bytes, size_t *out)
{
    size_t len = (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
    bool is_cert = bytes[0] == TR_MSG_CERTIFICATE || bytes[0] == TR_MSG_COMPRESSED_CERTIFICATE;
    if (len > (is_cert ? (size_t)TR_TLS_MAX_CERTIFICATE : (size_t)TR_TLS_MAX_HANDSHAKE)) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, "tls.message.size",
                            "The server's handshake message %u has %zu bytes.", bytes[0], len);
    }
    *out = TR_MSG_HEADER_LEN + len;
    return TR_OK;
}

/* Handles one whole message; num_behind bytes of the same key follow it. */
static tr_code_t
handle(tr_tls_t *tls, tr_slice_t raw, size_t num_behind)
{
    tr_msg_t msg = {raw.data[0], tr_slice(raw.data + TR_MSG_HEADER_LEN, raw.len - TR_MSG_HEADER_LEN), raw};
    tls->ends_flight = false;
    tr_code_t code = dispatch(tls, &msg);
    if (code == TR_OK && tls->ends_flight && num_behind > 0) {
        return tr_tls__fail(tls, TR_ALERT_UNEXPECTED_MESSAGE, "tls.message.excess",
                            "The server sent handshake data across a change of keys.");
    }
    return code;
}

/* Completes the message in tls->partial from *bytes as far as they go. */
static tr_code_t
top_up(tr_tls_t *tls, tr_slice_t *bytes)
{
    size_t want = TR_MSG_HEADER_LEN;
    for (int step = 0; step < 2; step++) {
        if (step == 1) {
            if (tls->partial.len < TR_MSG_HEADER_LEN) {
                return TR_OK;
            }
            tr_code_t code = message_len(tls, tls->partial.data, &want);
            if (code != TR_OK) {
                return code;
            }
        }
        if (tls->partial.len < want) {
            size_t part = TR_MIN(want - tls->partial.len, bytes->len);
            tr_code_t code = tr_buf_append(&tls->partial, bytes->data, part);
            if (code != TR_OK) {
                return tr_tls__lower(tls, code, "tls.message");
            }
            *bytes = tr_slice(bytes->data + part, bytes->len - part);
        }
    }
    if (tls->partial.len < want) {
        return TR_OK;
    }
    tr_code_t code = handle(tls, tr_buf_slice(&tls->partial), bytes->len);
    tr_buf_clear(&tls->partial);
    return code;
}

tr_code_t
tr_tls__messages(tr_tls_t *tls, tr_slice_t bytes)
{
    tr_code_t code = TR_OK;
    if (tls->partial.len > 0 && bytes.len > 0) {
        code = top_up(tls, &bytes);
    }
    /* Whole messages are handled where they lie. */
    while (code == TR_OK && bytes.len >= TR_MSG_HEADER_LEN) {
        size_t len;
        code = message_len(tls, bytes.data, &len);
        if (code != TR_OK || len > bytes.len) {
            break;
        }
        tr_slice_t rest = tr_slice(bytes.data + len, bytes.len - len);
        code = handle(tls, tr_slice(bytes.data, len), rest.len);
        bytes = rest;
    }
    if (code == TR_OK && bytes.len > 0) {
        code = tr_tls__lower(tls, tr_buf_append(&tls->partial, bytes.data, bytes.len), "tls.message");
    }
    return code;
}
