/* Whole handshakes from recorded server flights (test_tls_data.h): in every split, with every byte changed, with every
 * allocation failing. */
#include "core/mem.h"
#include "test_tls_data.h"
#include "tls/client.h"
#include "tr_test.h"

#define NOW_MS UINT64_C(1700000000000)
#define FIXED_BYTE 0x42

/* What the recording server sent back behind the handshake. */
static const char echo[] = "hello\n";

typedef struct flight {
    const char *name;
    const uint8_t *bytes;
    size_t len;
    uint16_t version, suite, group;
    bool retried;
} flight_t;

static const flight_t flights[] = {
    {"t13", flight_t13, sizeof(flight_t13), 0x0304, 0x1301, TR_GROUP_X25519, false},
    {"retry13", flight_retry13, sizeof(flight_retry13), 0x0304, 0x1302, TR_GROUP_P384, true},
    {"t12", flight_t12, sizeof(flight_t12), 0x0303, 0xc02b, TR_GROUP_X25519, false},
    {"cbc12", flight_cbc12, sizeof(flight_cbc12), 0x0303, 0xc013, TR_GROUP_X25519, false},
};

typedef struct client {
    tr_tls_t *tls;
    tr_buf_t wire;
    tr_bufq_t plain;
    tr_err_t err;
} client_t;

static tr_code_t
fill_fixed(void *arg, uint8_t *out, size_t len)
{
    TR_UNUSED(arg);
    memset(out, FIXED_BYTE, len);
    return TR_OK;
}

static tr_code_t
client_start(client_t *client, tr_tickets_t *tickets)
{
    tr_tls_config_t config = {
        .profile = tr_profile_find(TR_SLICE_LIT("chrome_133_macos")),
        .flags = TR_TLS_NO_VERIFY,
        .tickets = tickets,
        .rnd = {fill_fixed, NULL},
        .now_ms = NOW_MS,
    };
    memset(client, 0, sizeof(*client));
    tr_bufq_init(&client->plain, 0);
    tr_code_t code = tr_tls_new(&client->tls, &config, "localhost", &client->err);
    return code == TR_OK ? tr_tls_start(client->tls, &client->wire, &client->err) : code;
}

static void
client_free(client_t *client)
{
    tr_tls_free(client->tls);
    tr_buf_cleanup(&client->wire);
    tr_bufq_cleanup(&client->plain);
}

static tr_code_t
client_feed(client_t *client, const uint8_t *bytes, size_t len)
{
    size_t used;
    tr_code_t code = tr_tls_feed(client->tls, &client->plain, &client->wire, tr_slice(bytes, len), &used, &client->err);
    TR_CHECK(tr_failed(code) || used == len);
    return code;
}

static bool
got_echo(const client_t *client)
{
    tr_slice_t first = tr_bufq_peek(&client->plain);
    return client->plain.len == sizeof(echo) - 1 && first.len == client->plain.len &&
           memcmp(first.data, echo, first.len) == 0;
}

static void
check_done(const client_t *client, const flight_t *flight)
{
    tr_tls_info_t info;
    TR_CHECK(tr_tls_handshake_done(client->tls));
    TR_CHECK(got_echo(client));
    tr_tls_info(client->tls, &info);
    TR_CHECK_INT(info.version, flight->version);
    TR_CHECK_INT(info.suite, flight->suite);
    TR_CHECK_INT(info.group, flight->group);
    TR_CHECK_INT(info.retried, flight->retried);
    TR_CHECK_INT(info.num_certs, 1);
    TR_CHECK(tr_tls_peer_cert(client->tls, 0).len > 100 && tr_tls_peer_cert(client->tls, 1).len == 0);
    TR_CHECK_INT(tr_tls_alert_sent(client->tls), -1);
}

TR_TEST(tls_flights_whole, "/tls/flights/whole")
{
    for (size_t i = 0; i < TR_ARRAY_LEN(flights); i++) {
        client_t client;
        TR_CHECK_OK(client_start(&client, NULL), &client.err);
        TR_CHECK_INT(client.wire.data[0], TR_RECORD_HANDSHAKE);
        TR_CHECK_INT(client.wire.data[2], 1); /* record version 0x0301 */
        TR_CHECK_INT(tr_tls_write(client.tls, &client.wire, TR_SLICE_LIT("early"), &client.err), TR_AGAIN);
        TR_CHECK(!tr_tls_handshake_done(client.tls));
        tr_code_t code = client_feed(&client, flights[i].bytes, flights[i].len);
        TR_CHECK_INT(code, TR_OK);
        check_done(&client, &flights[i]);
        client_free(&client);
    }
}

/* The client's answers must not depend on how the bytes came, except that they may be sent earlier. */
TR_TEST(tls_flights_splits, "/tls/flights/splits")
{
    for (size_t i = 0; i < TR_ARRAY_LEN(flights); i++) {
        const flight_t *flight = &flights[i];
        client_t whole, client;
        TR_CHECK_OK(client_start(&whole, NULL), &whole.err);
        (void)client_feed(&whole, flight->bytes, flight->len);
        TR_CHECK_OK(client_start(&client, NULL), &client.err);
        for (size_t at = 0; at < flight->len; at++) {
            TR_CHECK(!tr_failed(client_feed(&client, flight->bytes + at, 1)));
        }
        check_done(&client, flight);
        TR_CHECK(tr_slice_eq(tr_buf_slice(&whole.wire), tr_buf_slice(&client.wire)));
        client_free(&client);
        for (size_t at = 1; at < flight->len; at += 3) {
            TR_CHECK_OK(client_start(&client, NULL), &client.err);
            TR_CHECK(!tr_failed(client_feed(&client, flight->bytes, at)));
            TR_CHECK(!tr_failed(client_feed(&client, flight->bytes + at, flight->len - at)));
            check_done(&client, flight);
            TR_CHECK(tr_slice_eq(tr_buf_slice(&whole.wire), tr_buf_slice(&client.wire)));
            client_free(&client);
        }
        client_free(&whole);
    }
}

/* Whether the byte is the low version byte of a record's header, which means nothing before the version is agreed. */
static bool
is_free_byte(const flight_t *flight, size_t at)
{
    TR_UNUSED(flight);
    return at == 2;
}

TR_TEST(tls_flights_flips, "/tls/flights/flips")
{
    static const uint8_t masks[] = {0x01, 0x80};
    for (size_t i = 0; i < TR_ARRAY_LEN(flights); i++) {
        const flight_t *flight = &flights[i];
        uint8_t *bytes = tr_memdup(flight->bytes, flight->len);
        TR_CHECK(bytes != NULL);
        for (size_t at = 0; at < flight->len; at++) {
            client_t client;
            uint8_t mask = masks[at % 2];
            bytes[at] ^= mask;
            TR_CHECK_OK(client_start(&client, NULL), &client.err);
            tr_code_t code = client_feed(&client, bytes, flight->len);
            bool good = !tr_failed(code) && tr_tls_handshake_done(client.tls) && got_echo(&client);
            if (good && !is_free_byte(flight, at)) {
                tr_free(bytes);
                tr_test_fail(__FILE__, __LINE__, "%s: byte %zu means nothing", flight->name, at);
            }
            if (tr_failed(code)) {
                /* stuck, with the same error, and no application data out of a failed handshake */
                tr_err_t again = TR_ERR_INIT;
                size_t used;
                TR_CHECK_INT(client.err.code, code);
                TR_CHECK_INT(tr_tls_feed(client.tls, &client.plain, &client.wire, TR_SLICE_NULL, &used, &again), code);
                TR_CHECK_INT(again.detail, client.err.detail);
                TR_CHECK(!tr_tls_handshake_done(client.tls));
                if (code == TR_ERR_TLS_PROTOCOL) {
                    TR_CHECK_INT(tr_tls_alert_sent(client.tls), client.err.detail);
                }
            } else if (code == TR_OK) {
                TR_CHECK(tr_failed(tr_tls_eof(client.tls, &client.err))); /* cut off: more was announced */
            }
            client_free(&client);
            bytes[at] ^= mask;
        }
        tr_free(bytes);
    }
}

TR_TEST(tls_flights_cut, "/tls/flights/cut")
{
    for (size_t i = 0; i < TR_ARRAY_LEN(flights); i++) {
        for (size_t at = 0; at < flights[i].len; at += 5) {
            client_t client;
            TR_CHECK_OK(client_start(&client, NULL), &client.err);
            TR_CHECK_INT(client_feed(&client, flights[i].bytes, at), TR_OK);
            bool done = tr_tls_handshake_done(client.tls);
            TR_CHECK_INT(tr_tls_eof(client.tls, &client.err), done ? TR_ERR_CLOSED_EARLY : TR_ERR_TLS_CLOSED);
            client_free(&client);
        }
    }
}

TR_TEST_OOM(tls_flights_oom, "/tls/flights/oom")
{
    for (size_t i = 0; i < TR_ARRAY_LEN(flights); i++) {
        client_t client;
        tr_code_t code;
        tr_tickets_t *tickets = tr_tickets_new();
        if (tickets == NULL) {
            TR_CHECK(tr_test_oom_running());
            return;
        }
        code = client_start(&client, tickets);
        if (code == TR_OK) {
            size_t used;
            code = tr_tls_feed(client.tls, &client.plain, &client.wire, tr_slice(flights[i].bytes, flights[i].len), &used,
                               &client.err);
        }
        bool done = code == TR_OK;
        if (done) {
            done = tr_tls_handshake_done(client.tls) && got_echo(&client);
        } else {
            TR_CHECK_INT(client.err.code, code);
        }
        client_free(&client);
        tr_tickets_free(tickets);
        TR_CHECK(done || tr_test_oom_running());
    }
}

/* An engine that never starts gives its session back. */
static void
continue_without(tr_tickets_t *tickets, const flight_t *flight)
{
    client_t client;
    TR_CHECK_OK(client_start(&client, tickets), &client.err);
    TR_CHECK_INT(client_feed(&client, flight->bytes, flight->len), TR_OK);
    client_free(&client);
    for (int i = 0; i < 3; i++) {
        tr_tls_config_t config = {
            .profile = tr_profile_find(TR_SLICE_LIT("chrome_133_macos")),
            .flags = TR_TLS_NO_VERIFY,
            .tickets = tickets,
            .now_ms = NOW_MS,
        };
        tr_tls_t *tls;
        TR_CHECK_OK(tr_tls_new(&tls, &config, "localhost", &client.err), &client.err);
        TR_CHECK(tls->session != NULL);
        tr_tls_free(tls);
    }
    tr_tickets_forget(tickets, TR_SLICE_LIT("localhost"));
}

/* A session comes out of each recording; with it the next ClientHello offers it. */
TR_TEST(tls_flights_tickets, "/tls/flights/tickets")
{
    for (size_t i = 0; i < TR_ARRAY_LEN(flights); i++) {
        tr_tickets_t *tickets = tr_tickets_new();
        client_t client;
        TR_CHECK(tickets != NULL);
        TR_CHECK_OK(client_start(&client, tickets), &client.err);
        TR_CHECK(client.tls->session == NULL);
        TR_CHECK(!tr_failed(client_feed(&client, flights[i].bytes, flights[i].len)));
        client_free(&client);
        TR_CHECK_OK(client_start(&client, tickets), &client.err);
        TR_CHECK(client.tls->session != NULL);
        TR_CHECK_INT(client.tls->session->version, flights[i].version);
        TR_CHECK_INT(client.tls->session->suite, flights[i].suite);
        client_free(&client);
        /* Offered and sent: gone, but for TLS 1.2 with Chrome. Never sent: still there. */
        tr_session_ticket_t *left = tr_tickets_take(tickets, TR_SLICE_LIT("localhost"), NOW_MS, true);
        TR_CHECK((left != NULL) == (flights[i].version == 0x0303));
        if (left == NULL) {
            continue_without(tickets, &flights[i]);
        }
        tr_session_ticket_free(left);
        tr_tickets_free(tickets);
    }
}

/* Pins hold also where nothing else is verified. */
TR_TEST(tls_flights_pins, "/tls/flights/pins")
{
    for (size_t i = 0; i < TR_ARRAY_LEN(flights); i++) {
        uint8_t pins[1][32];
        client_t client;
        TR_CHECK_OK(client_start(&client, NULL), &client.err);
        TR_CHECK_INT(client_feed(&client, flights[i].bytes, flights[i].len), TR_OK);
        TR_CHECK_OK(tr_x509_spki_sha256(tr_tls_peer_cert(client.tls, 0), pins[0], &client.err), &client.err);
        client_free(&client);
        for (int good = 1; good >= 0; good--) {
            TR_CHECK_OK(client_start(&client, NULL), &client.err);
            client.tls->config.pins = (const uint8_t(*)[32])pins;
            client.tls->config.num_pins = 1;
            pins[0][0] ^= good ? 0 : 1;
            TR_CHECK_INT(client_feed(&client, flights[i].bytes, flights[i].len), good ? TR_OK : TR_ERR_TLS_PIN);
            TR_CHECK(tr_tls_handshake_done(client.tls) == (good != 0));
            TR_CHECK_INT(tr_tls_alert_sent(client.tls), good ? -1 : TR_ALERT_BAD_CERTIFICATE);
            client_free(&client);
        }
    }
}

/* --- application data: an engine whose keys the test knows --- */

/* Takes a finished engine's incoming keys away and puts known ones in their place; `peer` seals for them. */
static void
rekey(client_t *client, tr_record_dir_t *peer)
{
    static const uint8_t secret[TR_HASH_MAX] = {9, 8, 7};
    const tr_suite_t *suite = client->tls->suite;
    tr_slice_t slice = tr_slice(secret, tr_hash_len(suite->hash));
    TR_CHECK_INT(tr_record_set_13(&client->tls->in, suite, slice, false), TR_OK);
    TR_CHECK_INT(tr_record_set_13(peer, suite, slice, true), TR_OK);
    memcpy(client->tls->ks.server_application, secret, tr_hash_len(suite->hash));
}

static void
client_connected(client_t *client, tr_record_dir_t *peer)
{
    TR_CHECK_OK(client_start(client, NULL), &client->err);
    TR_CHECK_INT(client_feed(client, flight_t13, sizeof(flight_t13)), TR_OK);
    TR_CHECK(tr_tls_handshake_done(client->tls) && got_echo(client));
    tr_bufq_consume(&client->plain, client->plain.len);
    tr_buf_clear(&client->wire);
    memset(peer, 0, sizeof(*peer));
    rekey(client, peer);
}

static void
peer_seal(tr_record_dir_t *peer, tr_buf_t *out, uint8_t type, const void *data, size_t len)
{
    TR_CHECK_INT(tr_record_seal(peer, out, type, 0x0303, tr_slice(data, len), &tr_rand_system), TR_OK);
}

#define BULK_LEN 300000

/* Feeds wire in pieces and takes what comes; checks every byte. */
static void
receive(client_t *client, const tr_buf_t *wire, const uint8_t *data, size_t piece)
{
    size_t at = 0, got = 0;
    while (at < wire->len) {
        size_t used;
        size_t len = TR_MIN(piece, wire->len - at);
        tr_code_t code = tr_tls_feed(client->tls, &client->plain, &client->wire, tr_slice(wire->data + at, len), &used,
                                     &client->err);
        TR_CHECK(code == TR_OK || code == TR_PAUSED);
        TR_CHECK(code == TR_PAUSED || used == len);
        TR_CHECK(client->plain.max == 0 || client->plain.len <= client->plain.max + TR_TLS_MAX_PLAINTEXT);
        at += used;
        while (client->plain.len > 0) {
            tr_slice_t first = tr_bufq_peek(&client->plain);
            TR_CHECK(first.len > 0 && got + first.len <= BULK_LEN);
            TR_CHECK_MEM(first.data, data + got, first.len);
            got += first.len;
            tr_bufq_consume(&client->plain, first.len);
        }
    }
    if (got < BULK_LEN) { /* a record that waited inside for room */
        size_t used;
        (void)tr_tls_feed(client->tls, &client->plain, &client->wire, TR_SLICE_NULL, &used, &client->err);
        got += client->plain.len;
        tr_bufq_consume(&client->plain, client->plain.len);
    }
    TR_CHECK_INT(got, BULK_LEN);
}

TR_TEST(tls_data_bulk, "/tls/data/bulk")
{
    static const size_t pieces[] = {1000, 16384, 16406, 65536, 1000000};
    uint8_t *data = tr_malloc(BULK_LEN);
    TR_CHECK(data != NULL);
    for (size_t i = 0; i < BULK_LEN; i++) {
        data[i] = (uint8_t)(i * 31 + i / 7000);
    }
    for (int limited = 0; limited < 2; limited++) {
        for (size_t i = 0; i < TR_ARRAY_LEN(pieces); i++) {
            client_t client;
            tr_record_dir_t peer;
            tr_buf_t wire = TR_BUF_INIT;
            client_connected(&client, &peer);
            client.plain.max = limited ? 20000 : 0;
            peer_seal(&peer, &wire, TR_RECORD_DATA, data, BULK_LEN);
            receive(&client, &wire, data, pieces[i]);
            tr_buf_cleanup(&wire);
            tr_record_dir_cleanup(&peer);
            client_free(&client);
        }
    }
    tr_free(data);
}

/* What a server may send after the handshake, and what it may not: type, bytes, what feed says, alert. */
TR_TEST(tls_data_after, "/tls/data/after")
{
    static const struct {
        uint8_t type;
        const char *bytes;
        size_t len;
        int repeat;
        tr_code_t code;
        int alert;
    } cases[] = {
        {TR_RECORD_ALERT, "\1\0", 2, 1, TR_EOF, -1},
        {TR_RECORD_ALERT, "\2\0", 2, 1, TR_EOF, -1},
        {TR_RECORD_ALERT, "\1\132", 2, 4, TR_OK, -1}, /* user_canceled */
        {TR_RECORD_ALERT, "\1\132", 2, 5, TR_ERR_TLS_PROTOCOL, TR_ALERT_DECODE_ERROR},
        {TR_RECORD_ALERT, "\2\50", 2, 1, TR_ERR_TLS_ALERT, -1},
        {TR_RECORD_ALERT, "\1\50", 2, 1, TR_ERR_TLS_ALERT, -1},
        {TR_RECORD_ALERT, "\1", 1, 1, TR_ERR_TLS_PROTOCOL, TR_ALERT_DECODE_ERROR},
        {TR_RECORD_ALERT, "\1\0\0", 3, 1, TR_ERR_TLS_PROTOCOL, TR_ALERT_DECODE_ERROR},
        {TR_RECORD_ALERT, "\3\50", 2, 1, TR_ERR_TLS_PROTOCOL, TR_ALERT_ILLEGAL_PARAMETER},
        {TR_RECORD_CHANGE_CIPHER_SPEC, "\1", 1, 1, TR_ERR_TLS_PROTOCOL, TR_ALERT_UNEXPECTED_MESSAGE},
        {24, "x", 1, 1, TR_ERR_TLS_PROTOCOL, TR_ALERT_UNEXPECTED_MESSAGE},
        /* CertificateRequest: no post_handshake_auth was offered */
        {TR_RECORD_HANDSHAKE, "\15\0\0\3\0\0\0", 7, 1, TR_ERR_TLS_PROTOCOL, TR_ALERT_UNEXPECTED_MESSAGE},
        {TR_RECORD_HANDSHAKE, "\0\0\0\0", 4, 1, TR_ERR_TLS_PROTOCOL, TR_ALERT_UNEXPECTED_MESSAGE}, /* HelloRequest */
        {TR_RECORD_HANDSHAKE, "\30\0\0\1\2", 5, 1, TR_ERR_TLS_PROTOCOL, TR_ALERT_ILLEGAL_PARAMETER},
        {TR_RECORD_HANDSHAKE, "\30\0\0\0", 4, 1, TR_ERR_TLS_PROTOCOL, TR_ALERT_DECODE_ERROR},
        {TR_RECORD_HANDSHAKE, "\30\0\0\1\0\30", 6, 1, TR_ERR_TLS_PROTOCOL, TR_ALERT_UNEXPECTED_MESSAGE},
        {TR_RECORD_HANDSHAKE, "\4\0\0\16\0\0\1\0\0\0\0\1\0\0\1t\0\0", 18, 32, TR_OK, -1}, /* tickets */
        {TR_RECORD_HANDSHAKE, "\4\0\0\16\0\0\1\0\0\0\0\1\0\0\1t\0\0", 18, 33, TR_ERR_TLS_PROTOCOL,
         TR_ALERT_UNEXPECTED_MESSAGE},
        {TR_RECORD_HANDSHAKE, "\4\0\0\15\0\0\1\0\0\0\0\1\0\0\0\0\0", 17, 1, TR_ERR_TLS_PROTOCOL, TR_ALERT_DECODE_ERROR},
        {TR_RECORD_HANDSHAKE, "\4\377\377\377", 4, 1, TR_ERR_TLS_PROTOCOL, TR_ALERT_ILLEGAL_PARAMETER},
        {TR_RECORD_HANDSHAKE, "\4\0", 2, 1, TR_OK, -1},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(cases); i++) {
        client_t client;
        tr_record_dir_t peer;
        tr_buf_t wire = TR_BUF_INIT;
        client_connected(&client, &peer);
        for (int j = 0; j < cases[i].repeat; j++) {
            peer_seal(&peer, &wire, cases[i].type, cases[i].bytes, cases[i].len);
        }
        tr_code_t code = client_feed(&client, wire.data, wire.len);
        if (code != cases[i].code || tr_tls_alert_sent(client.tls) != cases[i].alert) {
            tr_test_fail(__FILE__, __LINE__, "case %zu: %s, %s", i, tr_err_name(code), client.err.msg);
        }
        if (cases[i].code == TR_EOF) {
            TR_CHECK_INT(client_feed(&client, (const uint8_t *)"garbage", 7), TR_EOF); /* RFC 8446 6.1 */
            TR_CHECK_INT(tr_tls_eof(client.tls, &client.err), TR_EOF);
        }
        if (cases[i].type == TR_RECORD_HANDSHAKE && cases[i].len == 2) { /* a message cut by application data */
            tr_buf_clear(&wire);
            peer_seal(&peer, &wire, TR_RECORD_DATA, "x", 1);
            TR_CHECK_INT(client_feed(&client, wire.data, wire.len), TR_ERR_TLS_PROTOCOL);
        }
        tr_buf_cleanup(&wire);
        tr_record_dir_cleanup(&peer);
        client_free(&client);
    }
}

/* RFC 8446 4.6.3: keys change at once when the peer says so, ours before our next data. */
TR_TEST(tls_data_key_update, "/tls/data/key_update")
{
    static const uint8_t ask[5] = {TR_MSG_KEY_UPDATE, 0, 0, 1, 1};
    client_t client;
    tr_record_dir_t peer;
    tr_buf_t wire = TR_BUF_INIT;
    client_connected(&client, &peer);
    tr_keysched_t *ks = &client.tls->ks;
    uint8_t before[TR_HASH_MAX];
    memcpy(before, ks->client_application, sizeof(before));
    for (int i = 0; i < 2; i++) {
        tr_keysched_t next = *ks;
        tr_buf_clear(&wire);
        peer_seal(&peer, &wire, TR_RECORD_HANDSHAKE, ask, sizeof(ask));
        TR_CHECK_INT(client_feed(&client, wire.data, wire.len), TR_OK);
        TR_CHECK_INT(client.wire.len, 0);
        TR_CHECK_INT(tr_keysched_update(&next, next.server_application), TR_OK);
        TR_CHECK_INT(tr_record_set_13(&peer, client.tls->suite, tr_slice(next.server_application, 32), true), TR_OK);
        tr_buf_clear(&wire);
        peer_seal(&peer, &wire, TR_RECORD_DATA, "data", 4);
        TR_CHECK_INT(client_feed(&client, wire.data, wire.len), TR_OK);
        TR_CHECK_SLICE(tr_bufq_peek(&client.plain), "data");
        tr_bufq_consume(&client.plain, 4);
    }
    TR_CHECK_MEM(ks->client_application, before, 32);
    TR_CHECK_INT(tr_tls_write(client.tls, &client.wire, TR_SLICE_LIT("x"), &client.err), TR_OK);
    TR_CHECK(memcmp(ks->client_application, before, 32) != 0); /* one KeyUpdate for the two requests */
    TR_CHECK_INT(client.wire.len, (5 + 5 + 1 + 16) + (5 + 1 + 1 + 16));
    client.tls->out.seq = (uint64_t)1 << 24; /* many records later the engine renews by itself */
    tr_buf_clear(&client.wire);
    TR_CHECK_INT(tr_tls_write(client.tls, &client.wire, TR_SLICE_LIT("x"), &client.err), TR_OK);
    TR_CHECK_INT(client.wire.len, (5 + 5 + 1 + 16) + (5 + 1 + 1 + 16));
    TR_CHECK_INT(client.tls->out.seq, 1);
    TR_CHECK_INT(tr_tls_close(client.tls, &client.wire, &client.err), TR_OK);
    TR_CHECK(tr_failed(tr_tls_write(client.tls, &client.wire, TR_SLICE_LIT("x"), &client.err)));
    tr_buf_cleanup(&wire);
    tr_record_dir_cleanup(&peer);
    client_free(&client);
}

/* Empty records: 32 in a row pass, the next does not (limits.h). */
TR_TEST(tls_data_empty, "/tls/data/empty")
{
    for (int num = 32; num <= 33; num++) {
        client_t client;
        tr_record_dir_t peer;
        tr_buf_t wire = TR_BUF_INIT;
        client_connected(&client, &peer);
        for (int i = 0; i < num; i++) {
            uint8_t record[5 + 17] = {TR_RECORD_DATA, 3, 3, 0, 17};
            uint8_t nonce[TR_AEAD_NONCE_LEN];
            const uint8_t type = TR_RECORD_DATA;
            memcpy(nonce, peer.iv, sizeof(nonce));
            nonce[11] ^= (uint8_t)i;
            TR_CHECK_INT(tr_aead_seal(peer.aead, record + 5, nonce, tr_slice(record, 5), TR_SLICE_NULL, tr_slice(&type, 1)),
                         TR_OK);
            TR_CHECK_INT(tr_buf_append(&wire, record, sizeof(record)), TR_OK);
        }
        TR_CHECK_INT(client_feed(&client, wire.data, wire.len), num == 32 ? TR_OK : TR_ERR_TLS_PROTOCOL);
        tr_buf_cleanup(&wire);
        tr_record_dir_cleanup(&peer);
        client_free(&client);
    }
}
