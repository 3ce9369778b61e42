/* The TLS 1.3 handshake of a client (RFC 8446). */
#include "core/mem.h"
#include "tls/cert.h"
#include "tls/keylog.h"

static void
keylog(const tr_tls_t *tls, const char *label, const uint8_t *secret)
{
    tr_keylog_write(&tls->config, label, tls->hello.random, tr_slice(secret, tls->ks.hash_len));
}

static tr_slice_t
secret_slice(const tr_tls_t *tls, const uint8_t *secret)
{
    return tr_slice(secret, tls->ks.hash_len);
}

/* --- early data (RFC 8446 2.3, 4.2.10) --- */

tr_code_t
tr_tls13__begin_early(tr_tls_t *tls)
{
    static const char where[] = "tls.early_data";
    const tr_suite_t *suite = tr_suite_find(tls->session->suite);
    uint8_t digest[TR_HASH_MAX];
    if (suite == NULL || !tr_suite_is_13(suite)) {
        return tr_tls__lower(tls, TR_ERR_INTERNAL, where); /* sessions have suites that this engine negotiated */
    }
    tr_code_t code = tr_hash_once(suite->hash, digest, tr_buf_slice(&tls->transcript_bytes));
    if (code == TR_OK) {
        code = tr_keysched_init(&tls->ks, suite->hash, tr_slice(tls->session->secret, tls->session->secret_len));
    }
    if (code == TR_OK) {
        code = tr_keysched_early(&tls->ks, digest);
    }
    if (code != TR_OK) {
        return tr_tls__lower(tls, code, where);
    }
    keylog(tls, "CLIENT_EARLY_TRAFFIC_SECRET", tls->ks.client_early);
    tls->sink->compat_ccs(tls);
    code = tls->sink->install(tls, TR_LEVEL_EARLY, true, suite, secret_slice(tls, tls->ks.client_early));
    tr_wipe(tls->ks.client_early, sizeof(tls->ks.client_early));
    if (code == TR_OK) {
        tls->early = TR_EARLY_OFFERED;
        tls->early_room = tls->session->max_early_data;
    }
    return code;
}

/* The server's EncryptedExtensions said what becomes of early data. */
static tr_code_t
settle_early(tr_tls_t *tls, bool accepted)
{
    bool same_alpn = tr_slice_eq(tr_slice(tls->alpn, tls->alpn_len), tr_slice(tls->session->alpn, tls->session->alpn_len));
    if (accepted && (!tls->resumed || tls->early != TR_EARLY_OFFERED)) {
        return tr_tls__fail(tls, TR_ALERT_UNSUPPORTED_EXTENSION, "tls.early_data",
                            "The server takes early data without the session that belongs to it.");
    }
    if (accepted && tls->suite->id != tls->session->suite) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, "tls.early_data.suite",
                            "The server takes early data under another cipher suite than the session's.");
    }
    if (accepted && !same_alpn) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, "tls.early_data.alpn",
                            "The server takes early data and chose another protocol than the session's.");
    }
    if (accepted) {
        tls->early = TR_EARLY_ACCEPTED;
        tls->early_accepted = true;
        tr_buf_cleanup(&tls->early_sent); /* nothing will have to be sent again */
        return TR_OK;
    }
    if (!same_alpn && tls->early_sent.len > 0) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, "tls.early_data.refused",
                            "The server chose another protocol than the session's, for which early data was sent.");
    }
    if (tls->early == TR_EARLY_OFFERED) { /* else a retry did this already */
        tls->early = TR_EARLY_REFUSED;
        return tls->sink->install(tls, TR_LEVEL_HANDSHAKE, true, tls->suite, secret_slice(tls, tls->ks.client_handshake));
    }
    return TR_OK;
}

/* RFC 8446 4.5: the last message under the early keys. */
static tr_code_t
end_early(tr_tls_t *tls)
{
    static const uint8_t message[TR_MSG_HEADER_LEN] = {TR_MSG_END_OF_EARLY_DATA, 0, 0, 0};
    tls->early = TR_EARLY_OVER;
    tr_code_t code = tr_tls__emit(tls, TR_LEVEL_EARLY, tr_slice(message, sizeof(message)));
    return code == TR_OK
               ? tls->sink->install(tls, TR_LEVEL_HANDSHAKE, true, tls->suite, secret_slice(tls, tls->ks.client_handshake))
               : code;
}

static tr_code_t
resend_early(tr_tls_t *tls)
{
    tr_rd_t rd = tr_rd(tr_buf_slice(&tls->early_sent));
    tr_code_t code = TR_OK;
    tls->early = TR_EARLY_OVER;
    while (code == TR_OK && !tr_rd_empty(&rd)) {
        uint32_t len;
        tr_slice_t piece;
        if (!tr_rd_u32(&rd, &len) || !tr_rd_bytes(&rd, &piece, len)) {
            return tr_tls__lower(tls, TR_ERR_INTERNAL, "tls.early_data");
        }
        code = tls->sink->resend(tls, piece);
    }
    tr_buf_cleanup(&tls->early_sent);
    return code;
}

/* --- ServerHello and HelloRetryRequest --- */

/* What both kinds have in common (RFC 8446 4.1.3, 4.1.4). Sets tls->suite. */
static tr_code_t
check_hello(tr_tls_t *tls, const tr_server_hello_t *sh, const char *where)
{
    const tr_suite_t *suite = tr_suite_find(sh->suite);
    if (!tr_slice_eq(sh->session_id, tr_slice(tls->hello.session_id, tls->hello.session_id_len))) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server did not echo the session id.");
    }
    if (sh->compression != 0) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server chose a compression method.");
    }
    if (!tr_hello_offers_suite(&tls->hello, sh->suite) || (suite != NULL && !tr_suite_is_13(suite))) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where,
                            "The server chose a cipher suite (0x%04x) that was not offered.", sh->suite);
    }
    if (suite == NULL) {
        return tr_tls__fail_as(tls, TR_ERR_TLS_UNSUPPORTED, TR_ALERT_HANDSHAKE_FAILURE, where,
                               "Cipher suite 0x%04x was offered, but this engine does not have it.", sh->suite);
    }
    if (tls->suite != NULL && tls->suite != suite) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server changed the cipher suite after a retry.");
    }
    tls->suite = suite;
    return TR_OK;
}

static tr_code_t
parse_exts(tr_tls_t *tls, tr_ext_set_t *out, tr_ext_where_t place, tr_slice_t block, const char *where)
{
    uint8_t alert = tr_ext_parse(out, place, block, &tls->hello);
    return alert == 0 ? TR_OK
                      : tr_tls__fail(tls, alert, where,
                                     "The server's extensions are malformed, or one of them was not asked for.");
}

/* RFC 8446 4.4.1: the first ClientHello counts as a message_hash message with its digest. */
static tr_code_t
replace_transcript(tr_tls_t *tls)
{
    static const char where[] = "tls.retry.transcript";
    size_t hash_len = tr_hash_len(tls->suite->hash);
    uint8_t message[TR_MSG_HEADER_LEN + TR_HASH_MAX] = {TR_MSG_MESSAGE_HASH, 0, 0, (uint8_t)hash_len};
    tr_code_t code = tr_hash_once(tls->suite->hash, message + TR_MSG_HEADER_LEN, tr_buf_slice(&tls->transcript_bytes));
    if (code != TR_OK) {
        return tr_tls__lower(tls, code, where);
    }
    tr_buf_clear(&tls->transcript_bytes);
    code = tr_buf_append(&tls->transcript_bytes, message, TR_MSG_HEADER_LEN + hash_len);
    return code == TR_OK ? tr_tls__transcript_start(tls, tls->suite->hash) : tr_tls__lower(tls, code, where);
}

/* What a HelloRetryRequest asks for: *out_group (0: none) and tls->cookie. */
static tr_code_t
read_retry(tr_tls_t *tls, const tr_server_hello_t *sh, uint16_t *out_group)
{
    static const char where[] = "tls.hello_retry_request";
    tr_ext_set_t set;
    tr_rd_t rd;
    uint16_t group = 0;
    *out_group = 0;
    tr_code_t code = parse_exts(tls, &set, TR_EXT_IN_RETRY, sh->exts, where);
    if (code != TR_OK) {
        return code;
    }
    if (tr_ext_get(&set, TR_EXT_COOKIE, &rd)) {
        tr_slice_t cookie;
        if (!tr_rd_vec(&rd, &cookie, 2) || !tr_rd_end(&rd) || cookie.len == 0) {
            return tr_tls__decode_error(tls, where);
        }
        code = tr_buf_append(&tls->cookie, cookie.data, cookie.len);
        if (code != TR_OK) {
            return tr_tls__lower(tls, code, where);
        }
    }
    if (tr_ext_get(&set, TR_EXT_ECH, &rd) && (!tr_rd_skip(&rd, 8) || !tr_rd_end(&rd))) {
        return tr_tls__decode_error(tls, where); /* RFC 9849 6.2: a GREASE client looks at the form alone */
    }
    if (tr_ext_get(&set, TR_EXT_KEY_SHARE, &rd)) {
        if (!tr_rd_u16(&rd, &group) || !tr_rd_end(&rd)) {
            return tr_tls__decode_error(tls, where);
        }
        /* RFC 8446 4.2.8: a group that was offered, and without a share so far */
        if (!tr_hello_offers_group(&tls->hello, group) || tr_hello_share(&tls->hello, group) != NULL) {
            return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server asks for an impossible key share (%u).",
                                group);
        }
        if (!tr_kex_supported(group)) {
            return tr_tls__fail_as(tls, TR_ERR_TLS_UNSUPPORTED, TR_ALERT_HANDSHAKE_FAILURE, where,
                                   "Group %u was offered, but this engine cannot do it.", group);
        }
    }
    if (group == 0 && tls->cookie.len == 0) {
        /* RFC 8446 4.1.4: a retry that would change nothing */
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server's HelloRetryRequest changes nothing.");
    }
    *out_group = group;
    return TR_OK;
}

tr_code_t
tr_tls13__retry(tr_tls_t *tls, const tr_msg_t *msg, const tr_server_hello_t *sh)
{
    static const char where[] = "tls.hello_retry_request";
    tr_buf_t hello = TR_BUF_INIT;
    uint16_t group;
    tr_code_t code;
    if (tls->retried) {
        code = tr_tls__fail(tls, TR_ALERT_UNEXPECTED_MESSAGE, where, "The server sent a second HelloRetryRequest.");
        goto done;
    }
    if ((code = check_hello(tls, sh, where)) != TR_OK || (code = read_retry(tls, sh, &group)) != TR_OK ||
        (code = replace_transcript(tls)) != TR_OK || (code = tr_tls__transcript_add(tls, msg->raw)) != TR_OK) {
        goto done;
    }
    if (tls->hello.session != NULL && tls->session->version == TR_VERSION_13) {
        const tr_suite_t *offered = tr_suite_find(tls->session->suite);
        if (offered == NULL || offered->hash != tls->suite->hash) {
            tls->hello.session = NULL; /* RFC 8446 4.1.4: a PSK that cannot fit the suite is left out */
        }
    }
    tls->retried = true;
    tls->retry_group = group;
    if (tls->early == TR_EARLY_OFFERED) { /* RFC 8446 4.2.10: a retry refuses it, and the second hello goes in clear */
        tls->early = TR_EARLY_REFUSED;
        tls->sink->uninstall(tls);
    }
    code = tr_hello_retry(&tls->hello, group, tr_buf_slice(&tls->cookie), &tls->err);
    if (code == TR_OK) {
        code = tr_hello_build(&tls->hello, &hello, tls->config.now_ms, tls->transcript, &tls->err);
    }
    if (code != TR_OK) {
        goto done;
    }
    tls->sink->compat_ccs(tls); /* RFC 8446 D.4 */
    code = tr_tls__emit(tls, TR_LEVEL_INITIAL, tr_buf_slice(&hello));
    if (code == TR_OK) {
        tls->ends_flight = true;
        tr_tls__set_state(tls, TR_EXPECT_SECOND_SERVER_HELLO);
    }
done:
    tr_buf_cleanup(&hello);
    return code;
}

/* RFC 8446 4.2.11: whether the server takes the session that was offered. */
static tr_code_t
accept_psk(tr_tls_t *tls, const tr_ext_set_t *set)
{
    static const char where[] = "tls.pre_shared_key";
    tr_rd_t rd;
    uint16_t index;
    if (!tr_ext_get(set, TR_EXT_PRE_SHARED_KEY, &rd)) {
        return TR_OK;
    }
    if (!tr_rd_u16(&rd, &index) || !tr_rd_end(&rd)) {
        return tr_tls__decode_error(tls, where);
    }
    const tr_suite_t *offered = tr_suite_find(tls->session->suite);
    if (index != 0) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server chose session %u of one.", index);
    }
    if (offered == NULL || offered->hash != tls->suite->hash) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where,
                            "The server resumes a session under a suite with another hash.");
    }
    tls->resumed = true;
    return TR_OK;
}

/* Completes the key exchange. out holds TR_KEX_MAX_SECRET bytes. */
static tr_code_t
accept_share(tr_tls_t *tls, const tr_ext_set_t *set, uint8_t *out, size_t *out_len)
{
    static const char where[] = "tls.key_share";
    tr_rd_t rd;
    uint16_t group;
    tr_slice_t share;
    if (!tr_ext_get(set, TR_EXT_KEY_SHARE, &rd)) {
        /* Only psk_dhe_ke is offered, so there is always a share (RFC 8446 4.2.9, 9.2). */
        return tr_tls__fail(tls, TR_ALERT_MISSING_EXTENSION, where, "The server sent no key share.");
    }
    if (!tr_rd_u16(&rd, &group) || !tr_rd_vec(&rd, &share, 2) || !tr_rd_end(&rd)) {
        return tr_tls__decode_error(tls, where);
    }
    const tr_kex_t *kex = tr_hello_share(&tls->hello, group);
    if (kex == NULL && tls->retry_group == 0 && tr_hello_sent_raw_share(&tls->hello, group)) {
        return tr_tls__fail_as(tls, TR_ERR_TLS_UNSUPPORTED, TR_ALERT_HANDSHAKE_FAILURE, where,
                               "The server chose group %u, which the profile offers but this engine cannot do.", group);
    }
    if (kex == NULL || (tls->retry_group != 0 && group != tls->retry_group)) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server's key share is of a group (%u) without ours.",
                            group);
    }
    tls->group = group;
    return tr_kex_derive(kex, out, out_len, share, &tls->err);
}

tr_code_t
tr_tls13__server_hello(tr_tls_t *tls, const tr_msg_t *msg, const tr_server_hello_t *sh)
{
    static const char where[] = "tls.server_hello";
    uint8_t shared[TR_KEX_MAX_SECRET];
    uint8_t digest[TR_HASH_MAX];
    size_t shared_len = 0;
    tr_ext_set_t set;
    tr_code_t code;
    if ((code = check_hello(tls, sh, where)) != TR_OK ||
        (code = parse_exts(tls, &set, TR_EXT_IN_SERVER_HELLO_13, sh->exts, where)) != TR_OK ||
        (code = accept_psk(tls, &set)) != TR_OK || (code = accept_share(tls, &set, shared, &shared_len)) != TR_OK) {
        goto done;
    }
    if ((tls->transcript == NULL && (code = tr_tls__transcript_start(tls, tls->suite->hash)) != TR_OK) ||
        (code = tr_tls__transcript_add(tls, msg->raw)) != TR_OK || (code = tr_tls__digest(tls, digest)) != TR_OK) {
        goto done;
    }
    tr_buf_cleanup(&tls->transcript_bytes);
    code = tr_keysched_init(&tls->ks, tls->suite->hash,
                            tls->resumed ? tr_slice(tls->session->secret, tls->session->secret_len) : TR_SLICE_NULL);
    if (code == TR_OK) {
        code = tr_keysched_handshake(&tls->ks, tr_slice(shared, shared_len), digest);
    }
    if (code != TR_OK) {
        code = tr_tls__lower(tls, code, where);
        goto done;
    }
    keylog(tls, "CLIENT_HANDSHAKE_TRAFFIC_SECRET", tls->ks.client_handshake);
    keylog(tls, "SERVER_HANDSHAKE_TRAFFIC_SECRET", tls->ks.server_handshake);
    tls->sink->compat_ccs(tls);
    code = tls->sink->install(tls, TR_LEVEL_HANDSHAKE, false, tls->suite, secret_slice(tls, tls->ks.server_handshake));
    if (code == TR_OK && tls->early != TR_EARLY_OFFERED) { /* else the early keys stay until the server has said what it does */
        code = tls->sink->install(tls, TR_LEVEL_HANDSHAKE, true, tls->suite, secret_slice(tls, tls->ks.client_handshake));
    }
    if (code != TR_OK) {
        goto done;
    }
    tls->ends_flight = true;
    tr_tls__set_state(tls, TR_EXPECT_13_ENCRYPTED_EXTENSIONS);
done:
    tr_wipe(shared, sizeof(shared));
    return code;
}

/* --- EncryptedExtensions --- */

/* draft-vvv-tls-alps 3: the settings belong to the protocol that ALPN chose. */
static tr_code_t
accept_alps(tr_tls_t *tls, const tr_ext_set_t *set)
{
    static const char where[] = "tls.alps";
    tr_rd_t settings;
    uint16_t type = TR_EXT_ALPS;
    if (!tr_ext_get(set, type, &settings)) {
        type = TR_EXT_ALPS_OLD;
        if (!tr_ext_get(set, type, &settings)) {
            return TR_OK;
        }
    } else if (tr_ext_has(set, TR_EXT_ALPS_OLD)) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server sent application settings twice.");
    }
    const tr_profile_ext_t *ours = tr_profile_ext(tls->config.profile, type);
    tr_rd_t rd = tr_rd(ours == NULL ? TR_SLICE_NULL : ours->data), names;
    tr_slice_t name;
    bool found = false;
    tr_rd_sub(&rd, &names, 2);
    while (tls->alpn_len > 0 && tr_rd_vec(&names, &name, 1)) {
        found = found || tr_slice_eq(name, tr_slice(tls->alpn, tls->alpn_len));
    }
    if (!found) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where,
                            "The server sent application settings for a protocol that has none.");
    }
    tr_slice_t bytes = tr_rd_rest(&settings);
    tls->alps = true;
    tls->alps_type = type;
    return tr_tls__lower(tls, tr_buf_append(&tls->peer_alps, bytes.data, bytes.len), where);
}

/* RFC 9849 4, 6.2.1: the retry configurations that answer a GREASE extension are checked for their form and not used. */
static bool
retry_configs_ok(tr_rd_t rd)
{
    tr_rd_t list;
    tr_slice_t contents;
    uint16_t version;
    bool ok = tr_rd_sub(&rd, &list, 2) && tr_rd_end(&rd) && !tr_rd_empty(&list);
    while (ok && !tr_rd_empty(&list)) {
        ok = tr_rd_u16(&list, &version) && tr_rd_vec(&list, &contents, 2);
    }
    return ok;
}

/* draft-ietf-tls-trust-anchor-ids 4: a list of the server's anchors. Chromium asks for it to retry; we verify what came. */
static bool
trust_anchors_ok(tr_rd_t rd)
{
    tr_rd_t list;
    tr_slice_t id;
    bool ok = tr_rd_sub(&rd, &list, 2) && tr_rd_end(&rd);
    while (ok && !tr_rd_empty(&list)) {
        ok = tr_rd_vec(&list, &id, 1) && id.len > 0;
    }
    return ok;
}

tr_code_t
tr_tls13__encrypted_extensions(tr_tls_t *tls, const tr_msg_t *msg)
{
    static const char where[] = "tls.encrypted_extensions";
    tr_rd_t rd = tr_rd(msg->body), ext;
    tr_slice_t block;
    tr_ext_set_t set;
    tr_code_t code;
    if (!tr_rd_vec(&rd, &block, 2) || !tr_rd_end(&rd)) {
        return tr_tls__decode_error(tls, where);
    }
    if ((code = parse_exts(tls, &set, TR_EXT_IN_ENCRYPTED, block, where)) != TR_OK) {
        return code;
    }
    if ((tr_ext_get(&set, TR_EXT_SERVER_NAME, &ext) && !tr_rd_empty(&ext)) ||
        (tr_ext_get(&set, TR_EXT_ECH, &ext) && !retry_configs_ok(ext)) ||
        (tr_ext_get(&set, TR_EXT_TRUST_ANCHORS, &ext) && !trust_anchors_ok(ext))) {
        return tr_tls__decode_error(tls, where);
    }
    if (tr_ext_get(&set, TR_EXT_ALPN, &ext) && (code = tr_tls__accept_alpn(tls, ext)) != TR_OK) {
        return code;
    }
    if (tr_ext_get(&set, TR_EXT_MAX_FRAGMENT_LENGTH, &ext) && (code = tr_tls__accept_fragment_length(tls, ext)) != TR_OK) {
        return code;
    }
    if (tr_ext_get(&set, TR_EXT_RECORD_SIZE_LIMIT, &ext) && (code = tr_tls__accept_record_size(tls, ext)) != TR_OK) {
        return code;
    }
    if (tr_ext_get(&set, TR_EXT_EARLY_DATA, &ext) && !tr_rd_empty(&ext)) {
        return tr_tls__decode_error(tls, where);
    }
    if ((code = accept_alps(tls, &set)) != TR_OK ||
        (tls->early != TR_EARLY_NONE && (code = settle_early(tls, tr_ext_has(&set, TR_EXT_EARLY_DATA))) != TR_OK) ||
        (code = tr_tls__transcript_add(tls, msg->raw)) != TR_OK) {
        return code;
    }
    tr_tls__set_state(tls, tls->resumed ? TR_EXPECT_13_FINISHED : TR_EXPECT_13_CERTIFICATE_OR_REQUEST);
    return TR_OK;
}

/* --- the server's certificate --- */

tr_code_t
tr_tls13__certificate_request(tr_tls_t *tls, const tr_msg_t *msg)
{
    static const char where[] = "tls.certificate_request";
    tr_rd_t rd = tr_rd(msg->body), ext, schemes;
    tr_slice_t context, block, name;
    tr_ext_set_t set;
    tr_code_t code;
    tr_rd_vec(&rd, &context, 1);
    tr_rd_vec(&rd, &block, 2);
    if (!tr_rd_end(&rd) || context.len != 0) { /* RFC 8446 4.3.2: the context is empty during the handshake */
        return tr_tls__decode_error(tls, where);
    }
    if ((code = parse_exts(tls, &set, TR_EXT_IN_CERTIFICATE_REQUEST, block, where)) != TR_OK) {
        return code;
    }
    if (!tr_ext_get(&set, TR_EXT_SIGNATURE_ALGORITHMS, &ext)) {
        return tr_tls__fail(tls, TR_ALERT_MISSING_EXTENSION, where,
                            "The server asks for a certificate without saying which signatures it takes.");
    }
    if (!tr_rd_sub(&ext, &schemes, 2) || !tr_rd_end(&ext)) {
        return tr_tls__decode_error(tls, where);
    }
    tr_slice_t scheme_list = tr_rd_rest(&schemes);
    if (!tr_cert_scheme_list_ok(scheme_list)) {
        return tr_tls__decode_error(tls, where);
    }
    if (tr_ext_get(&set, TR_EXT_CERTIFICATE_AUTHORITIES, &ext)) {
        tr_rd_t names;
        bool ok = tr_rd_sub(&ext, &names, 2) && tr_rd_end(&ext) && !tr_rd_empty(&names);
        while (ok && !tr_rd_empty(&names)) {
            ok = tr_rd_vec(&names, &name, 2) && name.len > 0;
        }
        if (!ok) {
            return tr_tls__decode_error(tls, where);
        }
    }
    if ((code = tr_cert_pick_scheme(tls, scheme_list)) != TR_OK ||
        (code = tr_tls__transcript_add(tls, msg->raw)) != TR_OK) {
        return code;
    }
    tls->cert_requested = true;
    tr_tls__set_state(tls, TR_EXPECT_13_CERTIFICATE);
    return TR_OK;
}

static tr_code_t
take_certificate(tr_tls_t *tls, tr_slice_t body)
{
    tr_rd_t rd = tr_rd(body);
    tr_slice_t context, list;
    tr_rd_vec(&rd, &context, 1);
    tr_rd_vec(&rd, &list, 3);
    if (!tr_rd_end(&rd) || context.len != 0) { /* RFC 8446 4.4.2: a server's context is empty */
        return tr_tls__decode_error(tls, "tls.certificate");
    }
    tr_code_t code = tr_cert_take_list(tls, list, true);
    if (code == TR_OK) {
        tr_tls__set_state(tls, TR_EXPECT_13_CERTIFICATE_VERIFY);
    }
    return code;
}

tr_code_t
tr_tls13__certificate(tr_tls_t *tls, const tr_msg_t *msg)
{
    tr_code_t code = take_certificate(tls, msg->body);
    return code == TR_OK ? tr_tls__transcript_add(tls, msg->raw) : code;
}

tr_code_t
tr_tls13__compressed_certificate(tr_tls_t *tls, const tr_msg_t *msg)
{
    if (!tr_hello_offers_ext(&tls->hello, TR_EXT_COMPRESS_CERTIFICATE)) {
        return tr_tls__fail(tls, TR_ALERT_UNEXPECTED_MESSAGE, "tls.compressed_certificate",
                            "The server compressed its certificate unasked.");
    }
    tr_code_t code = tr_cert_decompress(tls, &tls->certs_bytes, msg->body);
    if (code == TR_OK) {
        code = take_certificate(tls, tr_buf_slice(&tls->certs_bytes));
    }
    /* RFC 8879 4: the transcript has the compressed message */
    return code == TR_OK ? tr_tls__transcript_add(tls, msg->raw) : code;
}

/* RFC 8446 4.4.3: what a CertificateVerify signs. */
#define VERIFY_CONTENT_MAX (64 + 34 + TR_HASH_MAX)

static tr_code_t
verify_content(tr_tls_t *tls, uint8_t out[VERIFY_CONTENT_MAX], size_t *out_len, bool server)
{
    static const char server_text[] = "TLS 1.3, server CertificateVerify";
    static const char client_text[] = "TLS 1.3, client CertificateVerify";
    memset(out, 0x20, 64);
    memcpy(out + 64, server ? server_text : client_text, sizeof(server_text)); /* with the zero byte */
    *out_len = 64 + sizeof(server_text) + tls->ks.hash_len;
    return tr_tls__digest(tls, out + 64 + sizeof(server_text));
}

tr_code_t
tr_tls13__certificate_verify(tr_tls_t *tls, const tr_msg_t *msg)
{
    static const char where[] = "tls.certificate_verify";
    uint8_t content[VERIFY_CONTENT_MAX];
    size_t content_len;
    tr_rd_t rd = tr_rd(msg->body);
    uint16_t scheme;
    tr_slice_t signature;
    tr_code_t code;
    tr_rd_u16(&rd, &scheme);
    tr_rd_vec(&rd, &signature, 2);
    if (!tr_rd_end(&rd)) {
        return tr_tls__decode_error(tls, where);
    }
    bool offered = tls->delegated_scheme != 0 ? scheme == tls->delegated_scheme
                                              : tr_hello_offers_signature(&tls->hello, scheme);
    if (!offered || !tr_sig_usable(scheme, tls->peer_key, true)) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where,
                            "The server signed with a scheme (0x%04x) that was not offered or does not fit its key.", scheme);
    }
    if (!tr_x509_allows_signing(tls->certs[0])) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where,
                            "The server's certificate does not permit digital signatures.");
    }
    if ((code = verify_content(tls, content, &content_len, true)) != TR_OK) {
        return code;
    }
    if (!tr_tls__signature_ok(tls, scheme, tr_slice(content, content_len), signature)) {
        return tr_tls__fail(tls, TR_ALERT_DECRYPT_ERROR, where, "The server's signature is wrong.");
    }
    tls->signature = scheme;
    if ((code = tr_cert_verify(tls)) != TR_OK || (code = tr_tls__transcript_add(tls, msg->raw)) != TR_OK) {
        return code;
    }
    tr_tls__set_state(tls, TR_EXPECT_13_FINISHED);
    return TR_OK;
}

/* --- the second flight --- */

/* draft-vvv-tls-alps 4: the client's EncryptedExtensions, with empty settings (chromium_156_linux.json, handshake.alps). */
static void
write_encrypted_extensions(tr_wr_t *wr, const tr_tls_t *tls)
{
    tr_wr_u8(wr, TR_MSG_ENCRYPTED_EXTENSIONS);
    size_t message = tr_wr_open(wr, 3);
    size_t exts = tr_wr_open(wr, 2);
    tr_wr_u16(wr, tls->alps_type);
    tr_wr_u16(wr, 0);
    tr_wr_close(wr, exts, 2);
    tr_wr_close(wr, message, 3);
}

static void
write_certificate(tr_wr_t *wr, const tr_tls_t *tls)
{
    tr_wr_u8(wr, TR_MSG_CERTIFICATE);
    size_t message = tr_wr_open(wr, 3);
    tr_wr_u8(wr, 0); /* context */
    size_t list = tr_wr_open(wr, 3);
    size_t num = tls->client_scheme == 0 ? 0 : tr_identity_num_certs(tls->config.identity);
    for (size_t i = 0; i < num; i++) {
        tr_wr_vec(wr, tr_identity_cert(tls->config.identity, i), 3);
        tr_wr_u16(wr, 0);
    }
    tr_wr_close(wr, list, 3);
    tr_wr_close(wr, message, 3);
}

/* Emits what was written and starts afresh. */
static tr_code_t
emit_written(tr_tls_t *tls, tr_buf_t *buf, const tr_wr_t *wr, const char *where)
{
    tr_code_t code = tr_wr_end(wr);
    code = code == TR_OK ? tr_tls__emit(tls, TR_LEVEL_HANDSHAKE, tr_buf_slice(buf)) : tr_tls__lower(tls, code, where);
    tr_buf_clear(buf);
    return code;
}

static tr_code_t
send_certificate_verify(tr_tls_t *tls, tr_buf_t *buf)
{
    static const char where[] = "tls.client_certificate";
    uint8_t content[VERIFY_CONTENT_MAX];
    size_t content_len;
    tr_buf_t signature = TR_BUF_INIT;
    tr_code_t code = verify_content(tls, content, &content_len, false);
    if (code == TR_OK) {
        code = tr_sig_sign(tls->client_scheme, tr_identity_key(tls->config.identity), &signature,
                           tr_slice(content, content_len), &tls->err);
    }
    if (code == TR_OK) {
        tr_wr_t wr = tr_wr(buf);
        tr_wr_u8(&wr, TR_MSG_CERTIFICATE_VERIFY);
        size_t message = tr_wr_open(&wr, 3);
        tr_wr_u16(&wr, tls->client_scheme);
        tr_wr_vec(&wr, tr_buf_slice(&signature), 2);
        tr_wr_close(&wr, message, 3);
        code = emit_written(tls, buf, &wr, where);
    }
    tr_buf_cleanup(&signature);
    return code;
}

static tr_code_t
send_finished(tr_tls_t *tls)
{
    uint8_t digest[TR_HASH_MAX];
    uint8_t message[TR_MSG_HEADER_LEN + TR_HASH_MAX] = {TR_MSG_FINISHED, 0, 0, (uint8_t)tls->ks.hash_len};
    tr_code_t code = tr_tls__digest(tls, digest);
    if (code == TR_OK) {
        code = tr_tls__lower(
            tls, tr_keysched_finished(&tls->ks, message + TR_MSG_HEADER_LEN, tls->ks.client_handshake, digest),
            "tls.client_finished");
    }
    return code == TR_OK ? tr_tls__emit(tls, TR_LEVEL_HANDSHAKE, tr_slice(message, TR_MSG_HEADER_LEN + tls->ks.hash_len))
                         : code;
}

/* RFC 8446 4.4, draft-vvv-tls-alps 4: EncryptedExtensions, Certificate, CertificateVerify, Finished. */
static tr_code_t
send_second_flight(tr_tls_t *tls)
{
    static const char where[] = "tls.second_flight";
    tr_buf_t buf = TR_BUF_INIT;
    tr_code_t code = TR_OK;
    if (tls->alps) {
        tr_wr_t wr = tr_wr(&buf);
        write_encrypted_extensions(&wr, tls);
        code = emit_written(tls, &buf, &wr, where);
    }
    if (code == TR_OK && tls->cert_requested) {
        tr_wr_t wr = tr_wr(&buf);
        write_certificate(&wr, tls);
        code = emit_written(tls, &buf, &wr, where);
        if (code == TR_OK && tls->client_scheme != 0) {
            code = send_certificate_verify(tls, &buf);
        }
    }
    if (code == TR_OK) {
        code = send_finished(tls);
    }
    tr_buf_cleanup(&buf);
    return code;
}

tr_code_t
tr_tls13__finished(tr_tls_t *tls, const tr_msg_t *msg)
{
    static const char where[] = "tls.finished";
    uint8_t digest[TR_HASH_MAX];
    uint8_t expected[TR_HASH_MAX];
    tr_code_t code;
    if ((code = tr_tls__digest(tls, digest)) != TR_OK) {
        return code;
    }
    code = tr_keysched_finished(&tls->ks, expected, tls->ks.server_handshake, digest);
    if (code != TR_OK) {
        return tr_tls__lower(tls, code, where);
    }
    if (!tr_tls__finished_ok(tls, expected, tls->ks.hash_len, msg->body)) {
        return tr_tls__fail(tls, TR_ALERT_DECRYPT_ERROR, where, "The server's Finished is wrong.");
    }
    tls->secured = true;
    if ((code = tr_tls__transcript_add(tls, msg->raw)) != TR_OK || (code = tr_tls__digest(tls, digest)) != TR_OK ||
        (code = tr_tls__lower(tls, tr_keysched_application(&tls->ks, digest), where)) != TR_OK) {
        return code;
    }
    keylog(tls, "CLIENT_TRAFFIC_SECRET_0", tls->ks.client_application);
    keylog(tls, "SERVER_TRAFFIC_SECRET_0", tls->ks.server_application);
    keylog(tls, "EXPORTER_SECRET", tls->ks.exporter);
    if ((code = tls->sink->install(tls, TR_LEVEL_APPLICATION, false, tls->suite, secret_slice(tls, tls->ks.server_application))) != TR_OK ||
        (tls->early == TR_EARLY_ACCEPTED && (code = end_early(tls)) != TR_OK) || (code = send_second_flight(tls)) != TR_OK ||
        (code = tls->sink->install(tls, TR_LEVEL_APPLICATION, true, tls->suite, secret_slice(tls, tls->ks.client_application))) != TR_OK ||
        (code = tr_tls__digest(tls, digest)) != TR_OK ||
        (code = tr_tls__lower(tls, tr_keysched_resumption(&tls->ks, digest), where)) != TR_OK) {
        return code;
    }
    if (tls->early == TR_EARLY_REFUSED && (code = resend_early(tls)) != TR_OK) {
        return code;
    }
    tr_tls__handshake_over(tls);
    tr_wipe(tls->ks.client_handshake, sizeof(tls->ks.client_handshake));
    tr_wipe(tls->ks.server_handshake, sizeof(tls->ks.server_handshake));
    tls->ends_flight = true;
    tr_tls__set_state(tls, TR_EXPECT_13_DATA);
    return TR_OK;
}

/* --- after the handshake --- */

tr_code_t
tr_tls13__new_session_ticket(tr_tls_t *tls, const tr_msg_t *msg)
{
    static const char where[] = "tls.new_session_ticket";
    tr_rd_t rd = tr_rd(msg->body), ext;
    uint32_t lifetime_s, age_add, max_early_data = 0;
    tr_slice_t nonce, ticket, block;
    tr_ext_set_t set;
    tr_rd_u32(&rd, &lifetime_s);
    tr_rd_u32(&rd, &age_add);
    tr_rd_vec(&rd, &nonce, 1);
    tr_rd_vec(&rd, &ticket, 2);
    tr_rd_vec(&rd, &block, 2);
    if (!tr_rd_end(&rd) || ticket.len == 0) {
        return tr_tls__decode_error(tls, where);
    }
    tr_code_t code = parse_exts(tls, &set, TR_EXT_IN_TICKET, block, where);
    if (code != TR_OK) {
        return code;
    }
    if (tr_ext_get(&set, TR_EXT_EARLY_DATA, &ext) && (!tr_rd_u32(&ext, &max_early_data) || !tr_rd_end(&ext))) {
        return tr_tls__decode_error(tls, where);
    }
    /* RFC 8446 4.6.1: a lifetime of zero means at once. */
    if (lifetime_s == 0 || ticket.len > TR_TLS_MAX_TICKET_LEN || !tr_tls__keeps_sessions(tls)) {
        return TR_OK;
    }
    tr_session_ticket_t *session = tr_tls__new_session(tls, lifetime_s, ticket);
    if (session == NULL) {
        return tr_tls__lower(tls, TR_ERR_NOMEM, where);
    }
    session->age_add = age_add;
    session->max_early_data = max_early_data;
    session->secret_len = tls->ks.hash_len;
    code = tr_keysched_ticket(&tls->ks, session->secret, nonce);
    if (code != TR_OK) {
        tr_session_ticket_free(session);
        return tr_tls__lower(tls, code, where);
    }
    tr_tls__keep_session(tls, session);
    return TR_OK;
}

tr_code_t
tr_tls13__key_update(tr_tls_t *tls, const tr_msg_t *msg)
{
    static const char where[] = "tls.key_update";
    tr_rd_t rd = tr_rd(msg->body);
    uint8_t ask;
    if (!tr_rd_u8(&rd, &ask) || !tr_rd_end(&rd)) {
        return tr_tls__decode_error(tls, where);
    }
    if (ask > 1) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server's KeyUpdate asks for something unknown.");
    }
    tr_code_t code = tr_tls__lower(tls, tr_keysched_update(&tls->ks, tls->ks.server_application), where);
    if (code == TR_OK) {
        code = tls->sink->install(tls, TR_LEVEL_APPLICATION, false, tls->suite, secret_slice(tls, tls->ks.server_application));
    }
    tls->ends_flight = true;
    tls->key_update_due = tls->key_update_due || ask == 1;
    return code;
}

tr_code_t
tr_tls13__send_key_update(tr_tls_t *tls, bool ask)
{
    const uint8_t message[TR_MSG_HEADER_LEN + 1] = {TR_MSG_KEY_UPDATE, 0, 0, 1, ask ? 1 : 0};
    tr_code_t code = tls->sink->emit(tls, TR_LEVEL_APPLICATION, tr_slice(message, sizeof(message)));
    if (code == TR_OK) {
        code = tr_tls__lower(tls, tr_keysched_update(&tls->ks, tls->ks.client_application), "tls.key_update");
    }
    if (code == TR_OK) {
        code = tls->sink->install(tls, TR_LEVEL_APPLICATION, true, tls->suite, secret_slice(tls, tls->ks.client_application));
    }
    return code;
}
