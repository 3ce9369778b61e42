/* The TLS 1.2 handshake of a client (RFC 5246, with RFC 7627, 5746, 5077, 8422, 7905). */
#include "core/mem.h"
#include "tls/cert.h"
#include "tls/keylog.h"

#define VERIFY_DATA_LEN 12
#define PREMASTER_RSA_LEN 48

/* ClientCertificateType (RFC 5246 7.4.4, RFC 8422 5.5). */
enum {
    CERT_TYPE_RSA = 1,
    CERT_TYPE_ECDSA = 64
};

/* A ticket whose lifetime hint says nothing (RFC 5077 3.3), and a session id: BoringSSL's two hours. */
#define DEFAULT_LIFETIME_S 7200

/* --- keys --- */

static tr_slice_t
master_slice(const tr_tls_t *tls)
{
    return tr_slice(tls->master, sizeof(tls->master));
}

/* RFC 5246 6.3 */
static tr_code_t
derive_key_block(tr_tls_t *tls)
{
    tr_record_lens_t lens = tr_record_lens_12(tls->suite);
    size_t len = 2 * (lens.mac_key + lens.key + lens.iv);
    if (len > sizeof(tls->key_block)) {
        return tr_tls__lower(tls, TR_ERR_INTERNAL, "tls.key_block");
    }
    tr_keylog_write(&tls->config, "CLIENT_RANDOM", tls->hello.random, master_slice(tls));
    return tr_tls__lower(tls,
                         tr_tls12_prf(tls->suite->hash, tls->key_block, len, master_slice(tls), "key expansion",
                                      tr_slice(tls->server_random, 32), tr_slice(tls->hello.random, 32)),
                         "tls.key_block");
}

/* RFC 5246 8.1, RFC 7627 4. The transcript reaches to the ClientKeyExchange. */
static tr_code_t
derive_master(tr_tls_t *tls)
{
    static const char where[] = "tls.master_secret";
    uint8_t digest[TR_HASH_MAX];
    tr_slice_t premaster = tr_buf_slice(&tls->premaster);
    tr_code_t code;
    if (tls->ems) {
        code = tr_tls__digest(tls, digest);
        if (code == TR_OK) {
            code = tr_tls12_prf(tls->suite->hash, tls->master, sizeof(tls->master), premaster, "extended master secret",
                                tr_slice(digest, tr_hash_len(tls->suite->hash)), TR_SLICE_NULL);
        }
    } else {
        code = tr_tls12_prf(tls->suite->hash, tls->master, sizeof(tls->master), premaster, "master secret",
                            tr_slice(tls->hello.random, 32), tr_slice(tls->server_random, 32));
    }
    tr_buf_cleanup(&tls->premaster);
    return code == TR_OK ? derive_key_block(tls) : tr_tls__lower(tls, code, where);
}

static tr_code_t
verify_data(tr_tls_t *tls, uint8_t out[VERIFY_DATA_LEN], const char *label)
{
    uint8_t digest[TR_HASH_MAX];
    tr_code_t code = tr_tls__digest(tls, digest);
    return code != TR_OK
               ? code
               : tr_tls__lower(tls,
                               tr_tls12_prf(tls->suite->hash, out, VERIFY_DATA_LEN, master_slice(tls), label,
                                            tr_slice(digest, tr_hash_len(tls->suite->hash)), TR_SLICE_NULL),
                               "tls.finished");
}

/* ChangeCipherSpec and Finished. */
static tr_code_t
send_finished(tr_tls_t *tls)
{
    uint8_t message[TR_MSG_HEADER_LEN + VERIFY_DATA_LEN] = {TR_MSG_FINISHED, 0, 0, VERIFY_DATA_LEN};
    tr_code_t code = verify_data(tls, message + TR_MSG_HEADER_LEN, "client finished");
    if (code == TR_OK) {
        code = tls->sink->change_cipher_spec(tls, true);
    }
    return code == TR_OK ? tr_tls__emit(tls, TR_LEVEL_APPLICATION, tr_slice(message, sizeof(message))) : code;
}

/* --- ServerHello --- */

/* RFC 8446 4.1.3: a server that has 1.3 says so when it is made to speak 1.2. */
static bool
is_downgrade(const tr_tls_t *tls, tr_slice_t random)
{
    static const uint8_t sentinel[7] = {'D', 'O', 'W', 'N', 'G', 'R', 'D'};
    const uint8_t *tail = random.data + 24;
    return tr_hello_offers_version(&tls->hello, TR_VERSION_13) && memcmp(tail, sentinel, sizeof(sentinel)) == 0 &&
           tail[7] <= 1;
}

/* RFC 5746 3.4: in a first handshake renegotiated_connection is empty. */
static bool
renegotiation_ok(tr_rd_t rd)
{
    tr_slice_t verify;
    return tr_rd_vec(&rd, &verify, 1) && tr_rd_end(&rd) && verify.len == 0;
}

/* RFC 8422 5.1.2: uncompressed must be among the formats. */
static bool
point_formats_ok(tr_rd_t rd)
{
    tr_slice_t formats;
    return tr_rd_vec(&rd, &formats, 1) && tr_rd_end(&rd) && formats.len > 0 &&
           memchr(formats.data, 0, formats.len) != NULL;
}

static bool
came_empty(const tr_ext_set_t *set, uint16_t type, bool *malformed)
{
    tr_rd_t rd;
    bool has = tr_ext_get(set, type, &rd);
    *malformed = *malformed || (has && !tr_rd_empty(&rd));
    return has;
}

static tr_code_t
accept_extensions(tr_tls_t *tls, tr_slice_t block)
{
    static const char where[] = "tls.server_hello.extensions";
    tr_ext_set_t set;
    tr_rd_t ext;
    bool malformed = false;
    tr_code_t code = TR_OK;
    uint8_t alert = tr_ext_parse(&set, TR_EXT_IN_SERVER_HELLO_12, block, &tls->hello);
    if (alert != 0) {
        return tr_tls__fail(tls, alert, where, "The server's extensions are malformed, or one of them was not asked for.");
    }
    (void)came_empty(&set, TR_EXT_SERVER_NAME, &malformed);
    tls->status_expected = came_empty(&set, TR_EXT_STATUS_REQUEST, &malformed);
    tls->encrypt_then_mac = came_empty(&set, TR_EXT_ENCRYPT_THEN_MAC, &malformed);
    tls->ems = came_empty(&set, TR_EXT_EXTENDED_MASTER_SECRET, &malformed);
    tls->ticket_expected = came_empty(&set, TR_EXT_SESSION_TICKET, &malformed);
    if (malformed || (tr_ext_get(&set, TR_EXT_SCT, &ext) && !tr_cert_scts_ok(ext))) {
        return tr_tls__decode_error(tls, where);
    }
    if (tr_ext_get(&set, TR_EXT_EC_POINT_FORMATS, &ext) && !point_formats_ok(ext)) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server does not take uncompressed points.");
    }
    if (tr_ext_get(&set, TR_EXT_RENEGOTIATION_INFO, &ext) && !renegotiation_ok(ext)) {
        return tr_tls__fail(tls, TR_ALERT_HANDSHAKE_FAILURE, where, "The server's renegotiation_info is not empty.");
    }
    if (tls->encrypt_then_mac && !tls->suite->is_cbc) { /* RFC 7366 3 */
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where,
                            "The server wants encrypt-then-MAC with a suite that has no MAC.");
    }
    if (tr_ext_get(&set, TR_EXT_ALPN, &ext)) {
        code = tr_tls__accept_alpn(tls, ext);
    }
    if (code == TR_OK && tr_ext_get(&set, TR_EXT_MAX_FRAGMENT_LENGTH, &ext)) {
        code = tr_tls__accept_fragment_length(tls, ext);
    }
    if (code == TR_OK && tr_ext_get(&set, TR_EXT_RECORD_SIZE_LIMIT, &ext)) {
        code = tr_tls__accept_record_size(tls, ext);
    }
    return code;
}

/* RFC 5246 7.4.1.3, RFC 5077 3.4: an echoed session id means that the offered session goes on. */
static tr_code_t
accept_session(tr_tls_t *tls, tr_slice_t session_id)
{
    static const char where[] = "tls.resumption";
    const tr_session_ticket_t *session = tls->hello.session;
    bool echoed = session_id.len > 0 &&
                  tr_slice_eq(session_id, tr_slice(tls->hello.session_id, tls->hello.session_id_len));
    if (!echoed) {
        return TR_OK;
    }
    if (session == NULL || session->version != TR_VERSION_12) {
        /* RFC 8446 D.4: the id was there for middleboxes, no server can know it */
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server resumes a session that was never made.");
    }
    if (session->suite != tls->suite->id || session->secret_len != sizeof(tls->master)) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where,
                            "The server resumes a session with another cipher suite.");
    }
    if (session->ems != tls->ems) { /* RFC 7627 5.3 */
        return tr_tls__fail(tls, TR_ALERT_HANDSHAKE_FAILURE, where,
                            "The server resumes a session with another kind of master secret.");
    }
    memcpy(tls->master, session->secret, sizeof(tls->master));
    tls->resumed = true;
    return TR_OK;
}

tr_code_t
tr_tls12__server_hello(tr_tls_t *tls, const tr_msg_t *msg, const tr_server_hello_t *sh)
{
    static const char where[] = "tls.server_hello";
    tr_code_t code;
    if (is_downgrade(tls, sh->random)) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where,
                            "Somebody between here and the server forced an older TLS version.");
    }
    if (sh->compression != 0) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server chose a compression method.");
    }
    tls->suite = tr_suite_find(sh->suite);
    if (!tr_hello_offers_suite(&tls->hello, sh->suite) || (tls->suite != NULL && tr_suite_is_13(tls->suite)) ||
        sh->suite == TR_SUITE_RENEGOTIATION_SCSV) {
        tls->suite = NULL;
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where,
                            "The server chose a cipher suite (0x%04x) that was not offered.", sh->suite);
    }
    if (tls->suite == NULL) {
        return tr_tls__fail_as(tls, TR_ERR_TLS_UNSUPPORTED, TR_ALERT_HANDSHAKE_FAILURE, where,
                               "Cipher suite 0x%04x was offered, but this engine does not have it.", sh->suite);
    }
    memcpy(tls->server_random, sh->random.data, sizeof(tls->server_random));
    memcpy(tls->session_id, sh->session_id.data, sh->session_id.len);
    tls->session_id_len = sh->session_id.len;
    tls->keep_transcript = true; /* until it is clear that no client certificate is asked for */
    if ((code = accept_extensions(tls, sh->exts)) != TR_OK ||
        (code = accept_session(tls, sh->session_id)) != TR_OK ||
        (code = tr_tls__transcript_start(tls, tls->suite->hash)) != TR_OK ||
        (code = tr_tls__transcript_add(tls, msg->raw)) != TR_OK) {
        return code;
    }
    if (!tls->resumed) {
        tr_tls__set_state(tls, TR_EXPECT_12_CERTIFICATE);
        return TR_OK;
    }
    tls->keep_transcript = false;
    tr_buf_cleanup(&tls->transcript_bytes);
    tr_tls__set_state(tls, tls->ticket_expected ? TR_EXPECT_12_TICKET : TR_EXPECT_12_CHANGE_CIPHER_SPEC);
    return derive_key_block(tls);
}

/* --- the server's certificate and key --- */

/* RFC 8422 5.3: the key of an ECDSA certificate is on a curve that was offered. */
static bool
is_curve_offered(const tr_tls_t *tls)
{
    static const struct {
        uint16_t scheme, group;
    } curves[] = {
        {TR_SIG_ECDSA_P256_SHA256, TR_GROUP_P256},
        {TR_SIG_ECDSA_P384_SHA384, TR_GROUP_P384},
        {TR_SIG_ECDSA_P521_SHA512, TR_GROUP_P521},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(curves); i++) {
        if (tr_sig_usable(curves[i].scheme, tls->peer_key, true)) { /* under 1.3 the scheme names the curve */
            return tr_hello_offers_group(&tls->hello, curves[i].group);
        }
    }
    return true; /* not on a NIST curve: the signature algorithms decide */
}

tr_code_t
tr_tls12__certificate(tr_tls_t *tls, const tr_msg_t *msg)
{
    static const char where[] = "tls.certificate";
    tr_rd_t rd = tr_rd(msg->body);
    tr_slice_t list;
    if (!tr_rd_vec(&rd, &list, 3) || !tr_rd_end(&rd)) {
        return tr_tls__decode_error(tls, where);
    }
    tr_code_t code = tr_cert_take_list(tls, list, false);
    if (code != TR_OK) {
        return code;
    }
    if (tr_pkey_is_rsa(tls->peer_key) != (tls->suite->auth == TR_AUTH_RSA)) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where,
                            "The server's certificate has another type of key than its cipher suite says.");
    }
    if (!is_curve_offered(tls)) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where,
                            "The server's certificate has a key on a curve that was not offered.");
    }
    bool is_rsa_kx = tls->suite->kx == TR_KX_RSA;
    if (is_rsa_kx ? !tr_x509_allows_encipherment(tls->certs[0]) : !tr_x509_allows_signing(tls->certs[0])) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where,
                            "The server's certificate does not permit the use its cipher suite makes of it.");
    }
    if (tls->status_expected) {
        tr_tls__set_state(tls, TR_EXPECT_12_CERTIFICATE_STATUS);
    } else {
        tr_tls__set_state(tls, is_rsa_kx ? TR_EXPECT_12_DONE_OR_REQUEST : TR_EXPECT_12_SERVER_KEY_EXCHANGE);
    }
    return tr_tls__transcript_add(tls, msg->raw);
}

/* RFC 6066 8 */
tr_code_t
tr_tls12__certificate_status(tr_tls_t *tls, const tr_msg_t *msg)
{
    tr_rd_t rd = tr_rd(msg->body);
    uint8_t type;
    tr_slice_t response;
    tr_rd_u8(&rd, &type);
    tr_rd_vec(&rd, &response, 3);
    if (!tr_rd_end(&rd) || type != 1 || response.len == 0) {
        return tr_tls__decode_error(tls, "tls.certificate_status");
    }
    tr_tls__set_state(tls, tls->suite->kx == TR_KX_RSA ? TR_EXPECT_12_DONE_OR_REQUEST
                                                       : TR_EXPECT_12_SERVER_KEY_EXCHANGE);
    return tr_tls__transcript_add(tls, msg->raw);
}

/* RFC 8422 5.4; hybrid groups are of TLS 1.3 alone. */
static bool
is_group_12(uint16_t group)
{
    return group == TR_GROUP_P256 || group == TR_GROUP_P384 || group == TR_GROUP_P521 || group == TR_GROUP_X25519 ||
           group == TR_GROUP_X448;
}

static tr_code_t
read_ecdhe(tr_tls_t *tls, tr_rd_t *rd, tr_slice_t *out_peer)
{
    static const char where[] = "tls.server_key_exchange";
    uint8_t curve_type;
    uint16_t group;
    tr_rd_u8(rd, &curve_type);
    tr_rd_u16(rd, &group);
    tr_rd_vec(rd, out_peer, 1);
    if (rd->failed) {
        return tr_tls__decode_error(tls, where);
    }
    if (curve_type != 3 || !is_group_12(group) || !tr_hello_offers_group(&tls->hello, group)) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server chose a curve (%u) that was not offered.",
                            group);
    }
    if (!tr_kex_supported(group)) {
        return tr_tls__fail_as(tls, TR_ERR_TLS_UNSUPPORTED, TR_ALERT_HANDSHAKE_FAILURE, where,
                               "Group %u was offered, but this engine cannot do it.", group);
    }
    tls->group = group;
    return tr_kex_new(&tls->kex, group, &tls->config.rnd, &tls->err);
}

static tr_code_t
read_dhe(tr_tls_t *tls, tr_rd_t *rd, tr_slice_t *out_peer)
{
    tr_slice_t p, g;
    tr_rd_vec(rd, &p, 2);
    tr_rd_vec(rd, &g, 2);
    tr_rd_vec(rd, out_peer, 2);
    if (rd->failed || p.len == 0 || g.len == 0 || out_peer->len == 0) {
        return tr_tls__decode_error(tls, "tls.server_key_exchange");
    }
    return tr_kex_new_dhe(&tls->kex, p, g, &tls->config.rnd, &tls->err);
}

/* RFC 5246 7.4.3: the signature is over both randoms and the parameters. */
static tr_code_t
check_params_signature(tr_tls_t *tls, tr_slice_t params, uint16_t scheme, tr_slice_t signature)
{
    static const char where[] = "tls.server_key_exchange";
    tr_buf_t content = TR_BUF_INIT;
    tr_code_t code;
    if (!tr_hello_offers_signature(&tls->hello, scheme) || !tr_sig_usable(scheme, tls->peer_key, false)) {
        code = tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where,
                            "The server signed with a scheme (0x%04x) that was not offered or does not fit its key.", scheme);
        goto done;
    }
    tr_wr_t wr = tr_wr(&content);
    tr_wr_bytes(&wr, tls->hello.random, 32);
    tr_wr_bytes(&wr, tls->server_random, 32);
    tr_wr_slice(&wr, params);
    code = tr_tls__lower(tls, tr_wr_end(&wr), where);
    if (code == TR_OK && !tr_tls__signature_ok(tls, scheme, tr_buf_slice(&content), signature)) {
        code = tr_tls__fail(tls, TR_ALERT_DECRYPT_ERROR, where, "The server's signature is wrong.");
    }
    tls->signature = scheme;
done:
    tr_buf_cleanup(&content);
    return code;
}

/* Computes the premaster secret with the key in tls->kex. */
static tr_code_t
derive_premaster(tr_tls_t *tls, tr_slice_t peer)
{
    uint8_t secret[TR_KEX_MAX_SECRET];
    size_t len = 0;
    tr_code_t code = tr_kex_derive(tls->kex, secret, &len, peer, &tls->err);
    if (code == TR_OK) {
        size_t skip = 0;
        /* RFC 5246 8.1.2: leading zeros of a finite-field secret are cut off */
        while (tls->suite->kx == TR_KX_DHE && skip + 1 < len && secret[skip] == 0) {
            skip++;
        }
        code = tr_tls__lower(tls, tr_buf_append(&tls->premaster, secret + skip, len - skip), "tls.premaster");
    }
    tr_wipe(secret, sizeof(secret));
    return code;
}

tr_code_t
tr_tls12__server_key_exchange(tr_tls_t *tls, const tr_msg_t *msg)
{
    static const char where[] = "tls.server_key_exchange";
    tr_rd_t rd = tr_rd(msg->body);
    tr_slice_t peer, signature;
    uint16_t scheme;
    tr_code_t code;
    if (tls->suite->kx == TR_KX_RSA) { /* RFC 5246 7.4.3: not legal there; only reached behind status_request */
        return tr_tls__fail(tls, TR_ALERT_UNEXPECTED_MESSAGE, where,
                            "The server sent a key exchange that its cipher suite does not have.");
    }
    code = tls->suite->kx == TR_KX_ECDHE ? read_ecdhe(tls, &rd, &peer) : read_dhe(tls, &rd, &peer);
    if (code != TR_OK) {
        return code;
    }
    tr_slice_t params = tr_slice(msg->body.data, msg->body.len - rd.len);
    tr_rd_u16(&rd, &scheme);
    tr_rd_vec(&rd, &signature, 2);
    if (!tr_rd_end(&rd)) {
        return tr_tls__decode_error(tls, where);
    }
    if ((code = check_params_signature(tls, params, scheme, signature)) != TR_OK ||
        (code = derive_premaster(tls, peer)) != TR_OK || (code = tr_tls__transcript_add(tls, msg->raw)) != TR_OK) {
        return code;
    }
    tr_tls__set_state(tls, TR_EXPECT_12_DONE_OR_REQUEST);
    return TR_OK;
}

tr_code_t
tr_tls12__certificate_request(tr_tls_t *tls, const tr_msg_t *msg)
{
    static const char where[] = "tls.certificate_request";
    tr_rd_t rd = tr_rd(msg->body), authorities;
    tr_slice_t types, schemes, name;
    if (tls->state == TR_EXPECT_12_CERTIFICATE_STATUS && tls->suite->kx != TR_KX_RSA) {
        return tr_tls__fail(tls, TR_ALERT_UNEXPECTED_MESSAGE, where, "The server sent no key exchange.");
    }
    tr_rd_vec(&rd, &types, 1);
    tr_rd_vec(&rd, &schemes, 2);
    tr_rd_sub(&rd, &authorities, 2);
    bool ok = tr_rd_end(&rd) && types.len > 0 && tr_cert_scheme_list_ok(schemes);
    while (ok && !tr_rd_empty(&authorities)) {
        ok = tr_rd_vec(&authorities, &name, 2) && name.len > 0;
    }
    if (!ok) {
        return tr_tls__decode_error(tls, where);
    }
    tls->cert_requested = true;
    tr_code_t code = tr_cert_pick_scheme(tls, schemes);
    if (code != TR_OK) {
        return code;
    }
    /* RFC 5246 7.4.6: the certificate's type must be one of those; ecdsa_sign stands for EdDSA too (RFC 8422 5.5). */
    if (tls->client_scheme != 0 &&
        memchr(types.data, tr_pkey_is_rsa(tr_identity_key(tls->config.identity)) ? CERT_TYPE_RSA : CERT_TYPE_ECDSA,
               types.len) == NULL) {
        return tr_tls__fail_as(tls, TR_ERR_TLS_IDENTITY, TR_ALERT_HANDSHAKE_FAILURE, where,
                               "The server takes no client certificate with this type of key.");
    }
    tr_tls__set_state(tls, TR_EXPECT_12_DONE);
    return tr_tls__transcript_add(tls, msg->raw);
}

/* --- the client's second flight --- */

static tr_code_t
emit_written(tr_tls_t *tls, tr_buf_t *buf, const tr_wr_t *wr)
{
    tr_code_t code = tr_wr_end(wr);
    code = code == TR_OK ? tr_tls__emit(tls, TR_LEVEL_INITIAL, tr_buf_slice(buf))
                         : tr_tls__lower(tls, code, "tls.second_flight");
    tr_buf_clear(buf);
    return code;
}

static tr_code_t
send_certificate(tr_tls_t *tls, tr_buf_t *buf)
{
    tr_wr_t wr = tr_wr(buf);
    tr_wr_u8(&wr, TR_MSG_CERTIFICATE);
    size_t message = tr_wr_open(&wr, 3);
    size_t list = tr_wr_open(&wr, 3);
    size_t num = tls->client_scheme == 0 ? 0 : tr_identity_num_certs(tls->config.identity);
    for (size_t i = 0; i < num; i++) {
        tr_wr_vec(&wr, tr_identity_cert(tls->config.identity, i), 3);
    }
    tr_wr_close(&wr, list, 3);
    tr_wr_close(&wr, message, 3);
    return emit_written(tls, buf, &wr);
}

/* RFC 5246 7.4.7.1: a random premaster secret under the server's key. */
static tr_code_t
encrypt_premaster(tr_tls_t *tls, tr_buf_t *out)
{
    static const char where[] = "tls.client_key_exchange";
    uint8_t premaster[PREMASTER_RSA_LEN];
    tr_code_t code = tls->config.rnd.fill(tls->config.rnd.arg, premaster, sizeof(premaster));
    if (code == TR_OK) {
        premaster[0] = (uint8_t)(tls->config.profile->legacy_version >> 8);
        premaster[1] = (uint8_t)tls->config.profile->legacy_version;
        code = tr_buf_append(&tls->premaster, premaster, sizeof(premaster));
    }
    code = tr_tls__lower(tls, code, where);
    if (code == TR_OK) {
        code = tr_pkey_rsa_encrypt(tls->peer_key, out, tr_slice(premaster, sizeof(premaster)), &tls->err);
    }
    tr_wipe(premaster, sizeof(premaster));
    return code;
}

static tr_code_t
send_key_exchange(tr_tls_t *tls, tr_buf_t *buf)
{
    tr_buf_t encrypted = TR_BUF_INIT;
    tr_code_t code = TR_OK;
    tr_slice_t share;
    size_t prefix = tls->suite->kx == TR_KX_ECDHE ? 1 : 2;
    if (tls->suite->kx == TR_KX_RSA) {
        code = encrypt_premaster(tls, &encrypted);
        share = tr_buf_slice(&encrypted);
    } else {
        share = tr_kex_share(tls->kex);
    }
    if (code == TR_OK) {
        tr_wr_t wr = tr_wr(buf);
        tr_wr_u8(&wr, TR_MSG_CLIENT_KEY_EXCHANGE);
        size_t message = tr_wr_open(&wr, 3);
        tr_wr_vec(&wr, share, prefix);
        tr_wr_close(&wr, message, 3);
        code = emit_written(tls, buf, &wr);
    }
    tr_buf_cleanup(&encrypted);
    tr_kex_free(tls->kex);
    tls->kex = NULL;
    return code;
}

static tr_code_t
send_certificate_verify(tr_tls_t *tls, tr_buf_t *buf)
{
    tr_buf_t signature = TR_BUF_INIT;
    tr_code_t code = tr_sig_sign(tls->client_scheme, tr_identity_key(tls->config.identity), &signature,
                                 tr_buf_slice(&tls->transcript_bytes), &tls->err);
    if (code == TR_OK) {
        tr_wr_t wr = tr_wr(buf);
        tr_wr_u8(&wr, TR_MSG_CERTIFICATE_VERIFY);
        size_t message = tr_wr_open(&wr, 3);
        tr_wr_u16(&wr, tls->client_scheme);
        tr_wr_vec(&wr, tr_buf_slice(&signature), 2);
        tr_wr_close(&wr, message, 3);
        code = emit_written(tls, buf, &wr);
    }
    tr_buf_cleanup(&signature);
    return code;
}

static tr_code_t
send_second_flight(tr_tls_t *tls)
{
    tr_buf_t buf = TR_BUF_INIT;
    tr_code_t code = TR_OK;
    if (tls->cert_requested) {
        code = send_certificate(tls, &buf);
    }
    if (code == TR_OK) {
        code = send_key_exchange(tls, &buf);
    }
    if (code == TR_OK) {
        code = derive_master(tls);
    }
    if (code == TR_OK && tls->cert_requested && tls->client_scheme != 0) {
        code = send_certificate_verify(tls, &buf);
    }
    if (code == TR_OK) {
        code = send_finished(tls);
    }
    tr_buf_cleanup(&buf);
    return code;
}

tr_code_t
tr_tls12__server_hello_done(tr_tls_t *tls, const tr_msg_t *msg)
{
    static const char where[] = "tls.server_hello_done";
    tr_code_t code;
    if (msg->body.len != 0) {
        return tr_tls__decode_error(tls, where);
    }
    if (tls->state == TR_EXPECT_12_CERTIFICATE_STATUS && tls->suite->kx != TR_KX_RSA) {
        return tr_tls__fail(tls, TR_ALERT_UNEXPECTED_MESSAGE, where, "The server sent no key exchange.");
    }
    if ((code = tr_tls__transcript_add(tls, msg->raw)) != TR_OK || (code = tr_cert_verify(tls)) != TR_OK ||
        (code = send_second_flight(tls)) != TR_OK) {
        return code;
    }
    tls->keep_transcript = false;
    tr_buf_cleanup(&tls->transcript_bytes);
    tls->ends_flight = true;
    tr_tls__set_state(tls, tls->ticket_expected ? TR_EXPECT_12_TICKET : TR_EXPECT_12_CHANGE_CIPHER_SPEC);
    return TR_OK;
}

/* --- the server's last flight --- */

static tr_code_t
make_session(tr_tls_t *tls, uint32_t lifetime_s, tr_slice_t ticket)
{
    tr_session_ticket_free(tls->new_session);
    tls->new_session = tr_tls__new_session(tls, lifetime_s == 0 ? DEFAULT_LIFETIME_S : lifetime_s, ticket);
    if (tls->new_session == NULL) {
        return tr_tls__lower(tls, TR_ERR_NOMEM, "tls.session");
    }
    tls->new_session->ems = tls->ems;
    memcpy(tls->new_session->secret, tls->master, sizeof(tls->master));
    tls->new_session->secret_len = sizeof(tls->master);
    if (ticket.len == 0) {
        memcpy(tls->new_session->session_id, tls->session_id, tls->session_id_len);
        tls->new_session->session_id_len = tls->session_id_len;
    }
    return TR_OK;
}

/* RFC 5077 3.3 */
tr_code_t
tr_tls12__new_session_ticket(tr_tls_t *tls, const tr_msg_t *msg)
{
    tr_rd_t rd = tr_rd(msg->body);
    uint32_t lifetime_s;
    tr_slice_t ticket;
    tr_code_t code = TR_OK;
    tr_rd_u32(&rd, &lifetime_s);
    tr_rd_vec(&rd, &ticket, 2);
    if (!tr_rd_end(&rd)) {
        return tr_tls__decode_error(tls, "tls.new_session_ticket");
    }
    if (ticket.len > 0 && ticket.len <= TR_TLS_MAX_TICKET_LEN && tr_tls__keeps_sessions(tls)) {
        code = make_session(tls, lifetime_s, ticket);
    }
    if (code == TR_OK) {
        code = tr_tls__transcript_add(tls, msg->raw);
        tr_tls__set_state(tls, TR_EXPECT_12_CHANGE_CIPHER_SPEC);
    }
    return code;
}

tr_code_t
tr_tls12__change_cipher_spec(tr_tls_t *tls)
{
    tr_tls__set_state(tls, TR_EXPECT_12_FINISHED);
    return tls->sink->change_cipher_spec(tls, false);
}

tr_code_t
tr_tls12__finished(tr_tls_t *tls, const tr_msg_t *msg)
{
    static const char where[] = "tls.finished";
    uint8_t expected[VERIFY_DATA_LEN];
    tr_code_t code;
    if ((code = verify_data(tls, expected, "server finished")) != TR_OK) {
        return code;
    }
    if (!tr_tls__finished_ok(tls, expected, VERIFY_DATA_LEN, msg->body)) {
        return tr_tls__fail(tls, TR_ALERT_DECRYPT_ERROR, where, "The server's Finished is wrong.");
    }
    tls->secured = true;
    if (tls->resumed &&
        ((code = tr_tls__transcript_add(tls, msg->raw)) != TR_OK || (code = send_finished(tls)) != TR_OK)) {
        return code;
    }
    if (tls->new_session == NULL && !tls->resumed && tls->session_id_len > 0 && tr_tls__keeps_sessions(tls)) {
        if ((code = make_session(tls, DEFAULT_LIFETIME_S, TR_SLICE_NULL)) != TR_OK) {
            return code;
        }
    }
    if (tls->new_session != NULL) {
        tr_tls__keep_session(tls, tls->new_session);
        tls->new_session = NULL;
    }
    tr_tls__handshake_over(tls);
    tr_wipe(tls->master, sizeof(tls->master));
    tr_wipe(tls->key_block, sizeof(tls->key_block));
    tls->ends_flight = true;
    tr_tls__set_state(tls, TR_EXPECT_12_DATA);
    return TR_OK;
}
