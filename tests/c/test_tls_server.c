/* The engine against a TLS 1.3 server made of its own parts, for what no real server at hand does: certificate compression with
 * each algorithm, delegated credentials, application settings, a cookie, record_size_limit, and answers that a server must not give. */
#include <zlib.h>
#include <zstd.h>

#include "core/mem.h"
#include "crypto/crypto.h"
#include "test_tls_data.h"
#include "tls/client.h"
#include "tr_test.h"

#define NOW_MS (UINT64_C(1700000000000) + 3600000)

/* How this server behaves. */
typedef struct options {
    const char *profile;
    uint16_t compression; /* 0: none */
    bool delegated;
    bool alpn, alps, alps_old, alps_without_alpn;
    bool cookie;          /* first a HelloRetryRequest */
    bool ask_certificate;
    uint16_t record_size; /* limit; 0: none */
    bool bad_verify, wrong_scheme, no_verify_message, extra_in_finished;
    /* what the client says to it */
    tr_code_t code;
    int alert;
} options_t;

typedef struct server {
    const options_t *options;
    tr_hash_ctx_t *transcript;
    tr_keysched_t ks;
    tr_record_dir_t in, out;
    tr_buf_t wire;    /* to the client */
    tr_buf_t message; /* under construction */
    tr_buf_t flight;  /* protected messages, not yet sealed */
    tr_pkey_t *key, *delegated_key;
    tr_slice_t session_id;
    tr_err_t err;
} server_t;

static void
server_cleanup(server_t *server)
{
    tr_hash_free(server->transcript);
    tr_record_dir_cleanup(&server->in);
    tr_record_dir_cleanup(&server->out);
    tr_buf_cleanup(&server->wire);
    tr_buf_cleanup(&server->message);
    tr_buf_cleanup(&server->flight);
    tr_pkey_free(server->key);
    tr_pkey_free(server->delegated_key);
}

static void
digest(const server_t *server, uint8_t out[TR_HASH_MAX])
{
    TR_CHECK_INT(tr_hash_peek(server->transcript, out), TR_OK);
}

static void
transcript_add(server_t *server, tr_slice_t bytes)
{
    TR_CHECK_INT(tr_hash_update(server->transcript, bytes.data, bytes.len), TR_OK);
}

/* --- messages --- */

static tr_wr_t
begin(server_t *server, uint8_t type, size_t *mark)
{
    tr_buf_clear(&server->message);
    tr_wr_t wr = tr_wr(&server->message);
    tr_wr_u8(&wr, type);
    *mark = tr_wr_open(&wr, 3);
    return wr;
}

/* Into the flight, or in the clear. */
static void
end(server_t *server, tr_wr_t *wr, size_t mark, bool clear)
{
    tr_wr_close(wr, mark, 3);
    TR_CHECK_INT(tr_wr_end(wr), TR_OK);
    transcript_add(server, tr_buf_slice(&server->message));
    if (clear) {
        TR_CHECK_INT(tr_record_seal(&server->out, &server->wire, TR_RECORD_HANDSHAKE, 0x0303,
                                    tr_buf_slice(&server->message), &tr_rand_system),
                     TR_OK);
    } else {
        TR_CHECK_INT(tr_buf_append(&server->flight, server->message.data, server->message.len), TR_OK);
    }
}

static void
write_hello(server_t *server, const uint8_t random[32], tr_slice_t share, bool retry)
{
    static const uint8_t cookie[] = {0, 5, 'c', 'r', 'u', 'm', 'b'};
    size_t mark;
    tr_wr_t wr = begin(server, TR_MSG_SERVER_HELLO, &mark);
    tr_wr_u16(&wr, 0x0303);
    tr_wr_bytes(&wr, random, 32);
    tr_wr_vec(&wr, server->session_id, 1);
    tr_wr_u16(&wr, 0x1301);
    tr_wr_u8(&wr, 0);
    size_t exts = tr_wr_open(&wr, 2);
    tr_wr_u16(&wr, TR_EXT_SUPPORTED_VERSIONS);
    tr_wr_vec(&wr, TR_SLICE_LIT("\3\4"), 2);
    if (retry) {
        tr_wr_u16(&wr, TR_EXT_COOKIE);
        tr_wr_vec(&wr, tr_slice(cookie, sizeof(cookie)), 2);
    } else {
        tr_wr_u16(&wr, TR_EXT_KEY_SHARE);
        size_t ext = tr_wr_open(&wr, 2);
        tr_wr_u16(&wr, TR_GROUP_X25519);
        tr_wr_vec(&wr, share, 2);
        tr_wr_close(&wr, ext, 2);
    }
    tr_wr_close(&wr, exts, 2);
    end(server, &wr, mark, true);
}

static void
write_encrypted_extensions(server_t *server)
{
    const options_t *options = server->options;
    size_t mark;
    tr_wr_t wr = begin(server, TR_MSG_ENCRYPTED_EXTENSIONS, &mark);
    size_t exts = tr_wr_open(&wr, 2);
    if (options->alpn) {
        tr_wr_u16(&wr, TR_EXT_ALPN);
        tr_wr_vec(&wr, TR_SLICE_LIT("\0\3\2h2"), 2);
    }
    if (options->alps || options->alps_old || options->alps_without_alpn) {
        tr_wr_u16(&wr, options->alps_old ? TR_EXT_ALPS_OLD : TR_EXT_ALPS);
        tr_wr_vec(&wr, TR_SLICE_LIT("settings"), 2);
    }
    if (options->record_size != 0) {
        tr_wr_u16(&wr, TR_EXT_RECORD_SIZE_LIMIT);
        tr_wr_u16(&wr, 2);
        tr_wr_u16(&wr, options->record_size);
    }
    tr_wr_close(&wr, exts, 2);
    end(server, &wr, mark, false);
}

static void
write_certificate_request(server_t *server)
{
    size_t mark;
    tr_wr_t wr = begin(server, TR_MSG_CERTIFICATE_REQUEST, &mark);
    tr_wr_u8(&wr, 0);
    size_t exts = tr_wr_open(&wr, 2);
    tr_wr_u16(&wr, 0x3a3a); /* unknown: ignored */
    tr_wr_u16(&wr, 0);
    tr_wr_u16(&wr, TR_EXT_SIGNATURE_ALGORITHMS);
    tr_wr_vec(&wr, TR_SLICE_LIT("\0\2\4\3"), 2);
    tr_wr_close(&wr, exts, 2);
    end(server, &wr, mark, false);
}

/* An uncompressed meta-block (RFC 7932 9.2), for there is no encoder here. */
static size_t
brotli_store(uint8_t *out, tr_slice_t in)
{
    size_t bits = (in.len - 1) << 4 | (size_t)1 << 20;
    out[0] = (uint8_t)bits;
    out[1] = (uint8_t)(bits >> 8);
    out[2] = (uint8_t)(bits >> 16);
    memcpy(out + 3, in.data, in.len);
    out[3 + in.len] = 3;
    return in.len + 4;
}

static size_t
compress_body(uint16_t algorithm, uint8_t *out, size_t cap, tr_slice_t in)
{
    uLongf zlib_len = (uLongf)cap;
    switch (algorithm) {
    case 1:
        TR_CHECK(compress(out, &zlib_len, in.data, in.len) == Z_OK);
        return zlib_len;
    case 2:
        return brotli_store(out, in);
    default:
        return ZSTD_compress(out, cap, in.data, in.len, 1);
    }
}

static void
write_certificate(server_t *server)
{
    const options_t *options = server->options;
    static uint8_t packed[8192];
    tr_buf_t body = TR_BUF_INIT;
    tr_wr_t wr = tr_wr(&body);
    size_t mark;
    tr_wr_u8(&wr, 0);
    size_t list = tr_wr_open(&wr, 3);
    tr_wr_vec(&wr, tr_slice(dc_leaf, sizeof(dc_leaf)), 3);
    size_t exts = tr_wr_open(&wr, 2);
    if (options->delegated) {
        tr_wr_u16(&wr, TR_EXT_DELEGATED_CREDENTIALS);
        tr_wr_vec(&wr, tr_slice(dc_good, sizeof(dc_good)), 2);
    }
    tr_wr_close(&wr, exts, 2);
    tr_wr_close(&wr, list, 3);
    TR_CHECK_INT(tr_wr_end(&wr), TR_OK);
    wr = begin(server, options->compression == 0 ? TR_MSG_CERTIFICATE : TR_MSG_COMPRESSED_CERTIFICATE, &mark);
    if (options->compression == 0) {
        tr_wr_slice(&wr, tr_buf_slice(&body));
    } else {
        size_t len = compress_body(options->compression, packed, sizeof(packed), tr_buf_slice(&body));
        tr_wr_u16(&wr, options->compression);
        tr_wr_u24(&wr, (uint32_t)body.len);
        tr_wr_vec(&wr, tr_slice(packed, len), 3);
    }
    end(server, &wr, mark, false);
    tr_buf_cleanup(&body);
}

static void
write_certificate_verify(server_t *server)
{
    static const char text[] = "TLS 1.3, server CertificateVerify";
    uint8_t content[64 + sizeof(text) + 32];
    tr_buf_t signature = TR_BUF_INIT;
    size_t mark;
    memset(content, 0x20, 64);
    memcpy(content + 64, text, sizeof(text));
    uint8_t hash[TR_HASH_MAX];
    digest(server, hash);
    memcpy(content + 64 + sizeof(text), hash, 32);
    TR_CHECK_OK(tr_sig_sign(0x0403, server->options->delegated ? server->delegated_key : server->key, &signature,
                            tr_slice(content, sizeof(content)), &server->err),
                &server->err);
    signature.data[signature.len - 1] ^= server->options->bad_verify ? 1 : 0;
    tr_wr_t wr = begin(server, TR_MSG_CERTIFICATE_VERIFY, &mark);
    tr_wr_u16(&wr, server->options->wrong_scheme ? 0x0804 : 0x0403);
    tr_wr_vec(&wr, tr_buf_slice(&signature), 2);
    end(server, &wr, mark, false);
    tr_buf_cleanup(&signature);
}

static void
write_finished(server_t *server)
{
    uint8_t hash[TR_HASH_MAX], verify[TR_HASH_MAX];
    size_t mark;
    digest(server, hash);
    TR_CHECK_INT(tr_keysched_finished(&server->ks, verify, server->ks.server_handshake, hash), TR_OK);
    tr_wr_t wr = begin(server, TR_MSG_FINISHED, &mark);
    tr_wr_bytes(&wr, verify, 32);
    end(server, &wr, mark, false);
    if (server->options->extra_in_finished) {
        TR_CHECK_INT(tr_buf_append(&server->flight, "\4", 1), TR_OK);
    }
}

/* --- the client's messages --- */

/* Takes the ClientHello out of the first handshake record behind `wire`; gives its X25519 share. */
static tr_slice_t
read_hello(server_t *server, tr_slice_t message)
{
    tr_rd_t rd = tr_rd(message), exts, ext, shares;
    tr_slice_t skip, share = TR_SLICE_NULL;
    uint16_t type, group;
    bool has_cookie = false;
    TR_CHECK_INT(message.data[0], 1);
    TR_CHECK(tr_rd_skip(&rd, TR_MSG_HEADER_LEN + 2 + 32) && tr_rd_vec(&rd, &server->session_id, 1) &&
             tr_rd_vec(&rd, &skip, 2) && tr_rd_vec(&rd, &skip, 1) && tr_rd_sub(&rd, &exts, 2) && tr_rd_end(&rd));
    while (tr_rd_u16(&exts, &type) && tr_rd_sub(&exts, &ext, 2)) {
        if (type == TR_EXT_COOKIE) {
            has_cookie = tr_slice_eq(tr_rd_rest(&ext), TR_SLICE_LIT("\0\5crumb"));
        } else if (type == TR_EXT_KEY_SHARE && tr_rd_sub(&ext, &shares, 2)) {
            while (tr_rd_u16(&shares, &group) && tr_rd_vec(&shares, &skip, 2)) {
                share = group == TR_GROUP_X25519 ? skip : share;
            }
        }
    }
    TR_CHECK_INT(share.len, 32);
    TR_CHECK(has_cookie == (server->transcript != NULL));
    return share;
}

/* The next record of the client; in the clear its body, else what it protects. */
static tr_slice_t
next_record(server_t *server, tr_slice_t *wire, uint8_t *type, uint8_t *room)
{
    TR_CHECK(wire->len >= 5);
    size_t len = (size_t)wire->data[3] << 8 | wire->data[4];
    TR_CHECK(wire->len >= 5 + len);
    tr_slice_t body = tr_slice(wire->data + 5, len);
    *type = wire->data[0];
    if (*type == TR_RECORD_DATA) {
        uint8_t alert;
        size_t out_len;
        TR_CHECK_INT(tr_record_open(&server->in, room, &out_len, type, wire->data, body, &alert), TR_OK);
        body = tr_slice(room, out_len);
    }
    *wire = tr_slice(wire->data + 5 + len, wire->len - 5 - len);
    return body;
}

static tr_slice_t
next_message(tr_slice_t *bytes, uint8_t type)
{
    TR_CHECK(bytes->len >= TR_MSG_HEADER_LEN);
    TR_CHECK_INT(bytes->data[0], type);
    size_t len = TR_MSG_HEADER_LEN + ((size_t)bytes->data[2] << 8 | bytes->data[3]);
    TR_CHECK(bytes->len >= len);
    tr_slice_t message = tr_slice(bytes->data, len);
    *bytes = tr_slice(bytes->data + len, bytes->len - len);
    return message;
}

/* ChangeCipherSpec (unless it went before the second hello), then one record with the whole second flight. */
static void
check_second_flight(server_t *server, tr_slice_t wire)
{
    const options_t *options = server->options;
    static uint8_t room[TR_TLS_MAX_CIPHERTEXT_13];
    uint8_t hash[TR_HASH_MAX], verify[TR_HASH_MAX], type;
    if (!options->cookie) {
        TR_CHECK(tr_slice_eq(next_record(server, &wire, &type, room), TR_SLICE_LIT("\1")));
        TR_CHECK_INT(type, TR_RECORD_CHANGE_CIPHER_SPEC);
    }
    tr_slice_t bytes = next_record(server, &wire, &type, room);
    TR_CHECK_INT(type, TR_RECORD_HANDSHAKE);
    TR_CHECK_INT(wire.len, 0);
    if (options->alps) {
        tr_slice_t message = next_message(&bytes, TR_MSG_ENCRYPTED_EXTENSIONS);
        TR_CHECK(tr_slice_eq(message, TR_SLICE_LIT("\10\0\0\6\0\4\104\315\0\0"))); /* chromium_156_linux.json */
        transcript_add(server, message);
    }
    if (options->ask_certificate) {
        tr_slice_t message = next_message(&bytes, TR_MSG_CERTIFICATE);
        TR_CHECK(tr_slice_eq(message, TR_SLICE_LIT("\13\0\0\4\0\0\0\0"))); /* none */
        transcript_add(server, message);
    }
    digest(server, hash);
    TR_CHECK_INT(tr_keysched_finished(&server->ks, verify, server->ks.client_handshake, hash), TR_OK);
    tr_slice_t finished = next_message(&bytes, TR_MSG_FINISHED);
    TR_CHECK_INT(finished.len, TR_MSG_HEADER_LEN + 32);
    TR_CHECK_MEM(finished.data + TR_MSG_HEADER_LEN, verify, 32);
    TR_CHECK_INT(bytes.len, 0);
}

/* --- one handshake --- */

typedef struct client {
    tr_tls_t *tls;
    tr_buf_t wire;
    tr_bufq_t plain;
    tr_err_t err;
} client_t;

static tr_code_t
to_client(client_t *client, server_t *server)
{
    size_t used;
    tr_code_t code =
        tr_tls_feed(client->tls, &client->plain, &client->wire, tr_buf_slice(&server->wire), &used, &client->err);
    tr_buf_clear(&server->wire);
    return code;
}

/* The HelloRetryRequest; leaves the second ClientHello in client->wire, its record header and the ChangeCipherSpec gone. */
static void
ask_again(client_t *client, server_t *server, tr_slice_t hello)
{
    /* RFC 8446 4.1.3 */
    size_t len;
    const uint8_t *random = tr_test_hex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c", &len);
    uint8_t construct[TR_MSG_HEADER_LEN + 32] = {TR_MSG_MESSAGE_HASH, 0, 0, 32};
    TR_CHECK_INT(tr_hash_once(TR_HASH_SHA256, construct + TR_MSG_HEADER_LEN, hello), TR_OK);
    server->transcript = tr_hash_new(TR_HASH_SHA256);
    transcript_add(server, tr_slice(construct, sizeof(construct)));
    write_hello(server, random, TR_SLICE_NULL, true);
    tr_buf_clear(&client->wire);
    TR_CHECK_OK(to_client(client, server), &client->err);
    TR_CHECK(client->wire.len > 11 && memcmp(client->wire.data, "\24\3\3\0\1\1\26\3\3", 9) == 0);
    tr_buf_consume(&client->wire, 6);
}

static tr_code_t
server_flight(client_t *client, server_t *server)
{
    static const uint8_t random[32] = {1, 2, 3};
    const tr_suite_t *suite = tr_suite_find(0x1301);
    uint8_t shared[TR_KEX_MAX_SECRET], hash[TR_HASH_MAX];
    size_t shared_len;
    tr_kex_t *kex = NULL;
    tr_slice_t hello = tr_slice(client->wire.data + 5, client->wire.len - 5);
    tr_slice_t share = read_hello(server, hello);
    if (server->options->cookie) {
        ask_again(client, server, hello);
        hello = tr_slice(client->wire.data + 5, client->wire.len - 5);
        share = read_hello(server, hello);
    } else {
        server->transcript = tr_hash_new(TR_HASH_SHA256);
    }
    TR_CHECK(server->transcript != NULL);
    transcript_add(server, hello);
    TR_CHECK_OK(tr_kex_new(&kex, TR_GROUP_X25519, &tr_rand_system, &server->err), &server->err);
    TR_CHECK_OK(tr_kex_derive(kex, shared, &shared_len, share, &server->err), &server->err);
    write_hello(server, random, tr_kex_share(kex), false);
    tr_kex_free(kex);
    digest(server, hash);
    TR_CHECK_INT(tr_keysched_init(&server->ks, TR_HASH_SHA256, TR_SLICE_NULL), TR_OK);
    TR_CHECK_INT(tr_keysched_handshake(&server->ks, tr_slice(shared, shared_len), hash), TR_OK);
    TR_CHECK_INT(tr_record_set_13(&server->out, suite, tr_slice(server->ks.server_handshake, 32), true), TR_OK);
    TR_CHECK_INT(tr_record_set_13(&server->in, suite, tr_slice(server->ks.client_handshake, 32), false), TR_OK);
    write_encrypted_extensions(server);
    if (server->options->ask_certificate) {
        write_certificate_request(server);
    }
    write_certificate(server);
    if (!server->options->no_verify_message) {
        write_certificate_verify(server);
    }
    write_finished(server);
    TR_CHECK_INT(tr_record_seal(&server->out, &server->wire, TR_RECORD_HANDSHAKE, 0x0303, tr_buf_slice(&server->flight),
                                &tr_rand_system),
                 TR_OK);
    tr_buf_clear(&client->wire);
    return to_client(client, server);
}

/* RFC 8449 4: what the client writes keeps to the server's limit, which counts the type. */
static void
check_record_size(client_t *client, uint16_t limit)
{
    static const uint8_t data[3000];
    tr_buf_clear(&client->wire);
    TR_CHECK_OK(tr_tls_write(client->tls, &client->wire, tr_slice(data, sizeof(data)), &client->err), &client->err);
    size_t max = (size_t)limit - 1, num = (sizeof(data) + max - 1) / max;
    TR_CHECK_INT(client->wire.len, sizeof(data) + num * (5 + 1 + 16));
    TR_CHECK_INT((size_t)client->wire.data[3] << 8 | client->wire.data[4], limit + 16);
}

static void
handshake(const options_t *options)
{
    client_t client = {0};
    server_t server = {.options = options};
    tr_tls_info_t info;
    tr_tls_config_t config = {
        .profile = tr_profile_find(tr_slice_cstr(options->profile)),
        .flags = TR_TLS_NO_VERIFY,
        .rnd = tr_rand_system,
        .now_ms = NOW_MS,
    };
    tr_bufq_init(&client.plain, 0);
    TR_CHECK_OK(tr_crypto_init(&client.err), &client.err);
    TR_CHECK_OK(tr_pkey_from_pem(&server.key, tr_slice_cstr(dc_leaf_key), NULL, &server.err), &server.err);
    TR_CHECK_OK(tr_pkey_from_pem(&server.delegated_key, tr_slice_cstr(dc_key), NULL, &server.err), &server.err);
    TR_CHECK_OK(tr_tls_new(&client.tls, &config, "localhost", &client.err), &client.err);
    TR_CHECK_OK(tr_tls_start(client.tls, &client.wire, &client.err), &client.err);
    tr_code_t code = server_flight(&client, &server);
    if (code != options->code || tr_tls_alert_sent(client.tls) != options->alert) {
        tr_test_fail(__FILE__, __LINE__, "%s, alert %d: %s", tr_err_name(code), tr_tls_alert_sent(client.tls),
                     client.err.msg);
    }
    if (code == TR_OK) {
        TR_CHECK(tr_tls_handshake_done(client.tls));
        check_second_flight(&server, tr_buf_slice(&client.wire));
        tr_tls_info(client.tls, &info);
        TR_CHECK_INT(info.retried, options->cookie);
        TR_CHECK_INT(info.alps, options->alps);
        TR_CHECK_SLICE(info.alpn, options->alpn ? "h2" : "");
        TR_CHECK_SLICE(info.peer_alps, options->alps ? "settings" : "");
        TR_CHECK(tr_slice_eq(tr_tls_peer_cert(client.tls, 0), tr_slice(dc_leaf, sizeof(dc_leaf))));
        if (options->record_size != 0) {
            check_record_size(&client, options->record_size);
        }
    } else {
        TR_CHECK(!tr_tls_handshake_done(client.tls));
    }
    tr_tls_free(client.tls);
    tr_buf_cleanup(&client.wire);
    tr_bufq_cleanup(&client.plain);
    server_cleanup(&server);
}

#define CHROME "chrome_133_macos"
#define FIREFOX "firefox_153_linux"

TR_TEST(tls_server_good, "/tls/server/good")
{
    static const options_t cases[] = {
        {.profile = CHROME, .alert = -1},
        {.profile = CHROME, .alert = -1, .compression = 2},
        {.profile = FIREFOX, .alert = -1, .compression = 1},
        {.profile = FIREFOX, .alert = -1, .compression = 2},
        {.profile = FIREFOX, .alert = -1, .compression = 3},
        {.profile = FIREFOX, .alert = -1, .delegated = true},
        {.profile = FIREFOX, .alert = -1, .delegated = true, .compression = 3, .cookie = true},
        {.profile = CHROME, .alert = -1, .alpn = true, .alps = true},
        {.profile = "chromium_156_linux", .alert = -1, .alpn = true, .alps = true, .ask_certificate = true},
        {.profile = "chromium_156_linux", .alert = -1, .alpn = true, .alps = true, .cookie = true, .compression = 2},
        {.profile = CHROME, .alert = -1, .ask_certificate = true},
        {.profile = CHROME, .alert = -1, .cookie = true},
        {.profile = FIREFOX, .alert = -1, .cookie = true},
        {.profile = FIREFOX, .alert = -1, .record_size = 64},
        {.profile = FIREFOX, .alert = -1, .record_size = 1000},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(cases); i++) {
        handshake(&cases[i]);
    }
}

TR_TEST(tls_server_bad, "/tls/server/bad")
{
    static const options_t cases[] = {
        {.profile = CHROME, .bad_verify = true, .code = TR_ERR_TLS_PROTOCOL, .alert = TR_ALERT_DECRYPT_ERROR},
        {.profile = CHROME, .wrong_scheme = true, .code = TR_ERR_TLS_PROTOCOL, .alert = TR_ALERT_ILLEGAL_PARAMETER},
        {.profile = CHROME, .no_verify_message = true, .code = TR_ERR_TLS_PROTOCOL, .alert = TR_ALERT_UNEXPECTED_MESSAGE},
        {.profile = CHROME, .extra_in_finished = true, .code = TR_ERR_TLS_PROTOCOL, .alert = TR_ALERT_UNEXPECTED_MESSAGE},
        /* Chrome offers brotli alone, no delegated credentials, no record_size_limit */
        {.profile = CHROME, .compression = 1, .code = TR_ERR_TLS_PROTOCOL, .alert = TR_ALERT_ILLEGAL_PARAMETER},
        {.profile = CHROME, .delegated = true, .code = TR_ERR_TLS_PROTOCOL, .alert = TR_ALERT_UNSUPPORTED_EXTENSION},
        {.profile = CHROME, .record_size = 1000, .code = TR_ERR_TLS_PROTOCOL, .alert = TR_ALERT_UNSUPPORTED_EXTENSION},
        /* an older number of the same extension */
        {.profile = CHROME, .alpn = true, .alps_old = true, .code = TR_ERR_TLS_PROTOCOL,
         .alert = TR_ALERT_UNSUPPORTED_EXTENSION},
        {.profile = FIREFOX, .alpn = true, .alps = true, .code = TR_ERR_TLS_PROTOCOL,
         .alert = TR_ALERT_UNSUPPORTED_EXTENSION},
        {.profile = "chromium_156_linux", .alps_without_alpn = true, .code = TR_ERR_TLS_PROTOCOL,
         .alert = TR_ALERT_ILLEGAL_PARAMETER},
        {.profile = FIREFOX, .delegated = true, .bad_verify = true, .code = TR_ERR_TLS_PROTOCOL,
         .alert = TR_ALERT_DECRYPT_ERROR},
        {.profile = FIREFOX, .record_size = 63, .code = TR_ERR_TLS_PROTOCOL, .alert = TR_ALERT_ILLEGAL_PARAMETER},
        {.profile = FIREFOX, .record_size = 16386, .code = TR_ERR_TLS_PROTOCOL, .alert = TR_ALERT_ILLEGAL_PARAMETER},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(cases); i++) {
        handshake(&cases[i]);
    }
}
