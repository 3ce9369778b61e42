/* Parts of the TLS engine, each alone: records, key schedule, extensions, tickets, compressed certificates, delegated
 * credentials. Whole handshakes: test_tls_flights.c, tests/tls/test_real_peers.py, tests/bogo. */
#include <zlib.h>
#include <zstd.h>

#include "core/mem.h"
#include "crypto/crypto.h"
#include "test_tls_data.h"
#include "tls/cert.h"
#include "tls/keylog.h"
#include "tr_test.h"

#define NOW_MS UINT64_C(1700000000000)

static void
set_up(void)
{
    tr_err_t err = TR_ERR_INIT;
    TR_CHECK_OK(tr_crypto_init(&err), &err);
}

/* --- suites and names --- */

TR_TEST(tls_suites, "/tls/suites")
{
    static const uint16_t offered[] = {0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8,
                                       0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035, 0xc00a, 0xc009, 0xc008,
                                       0xc012, 0x000a, 0xc023, 0xc024, 0xc027, 0xc028, 0x003c, 0x003d};
    for (size_t i = 0; i < TR_ARRAY_LEN(offered); i++) {
        const tr_suite_t *suite = tr_suite_find(offered[i]);
        TR_CHECK(suite != NULL && suite->id == offered[i]);
        TR_CHECK(strncmp(suite->name, "TLS_", 4) == 0);
        TR_CHECK((strstr(suite->name, "CBC") != NULL) == suite->is_cbc);
        TR_CHECK((strstr(suite->name, "SHA384") != NULL) == (suite->hash == TR_HASH_SHA384));
        TR_CHECK(tr_suite_is_13(suite) == (offered[i] >> 8 == 0x13));
    }
    TR_CHECK(tr_suite_find(TR_SUITE_RENEGOTIATION_SCSV) == NULL);
    TR_CHECK(tr_suite_find(TR_GREASE) == NULL);
    TR_CHECK_SLICE(tr_slice_cstr(tr_alert_name(40)), "handshake_failure");
    TR_CHECK_SLICE(tr_slice_cstr(tr_alert_name(200)), "unknown alert");
    for (int state = TR_EXPECT_NOTHING; state <= TR_EXPECT_12_DATA; state++) {
        TR_CHECK(strcmp(tr_tls__state_name((tr_tls_state_t)state), "UNKNOWN") != 0);
    }
}

/* --- records --- */

static tr_code_t
set_keys(tr_record_dir_t *dir, const tr_suite_t *suite, bool etm, bool seal)
{
    static const uint8_t bytes[TR_HASH_MAX] = {1, 2, 3, 4, 5, 6, 7};
    if (tr_suite_is_13(suite)) {
        return tr_record_set_13(dir, suite, tr_slice(bytes, tr_hash_len(suite->hash)), seal);
    }
    return tr_record_set_12(dir, suite, etm, bytes, bytes, bytes, seal);
}

/* Opens each record in wire and compares with data; returns how many there were. */
static size_t
open_all(tr_record_dir_t *in, const tr_buf_t *wire, uint8_t type, const uint8_t *data, size_t len)
{
    static uint8_t out[TR_TLS_MAX_CIPHERTEXT_12];
    size_t num = 0, done = 0;
    for (const uint8_t *p = wire->data; p < wire->data + wire->len; num++) {
        size_t body_len = (size_t)p[3] << 8 | p[4];
        uint8_t inner = p[0], alert;
        size_t out_len;
        TR_CHECK(body_len <= tr_record_max_body(in));
        TR_CHECK_INT(tr_record_open(in, out, &out_len, &inner, p, tr_slice(p + TR_RECORD_HEADER_LEN, body_len), &alert),
                     TR_OK);
        TR_CHECK_INT(inner, type);
        TR_CHECK(done + out_len <= len);
        TR_CHECK_MEM(out, data + done, out_len);
        done += out_len;
        p += TR_RECORD_HEADER_LEN + body_len;
    }
    TR_CHECK_INT(done, len);
    return num;
}

static void
round_trip(const tr_suite_t *suite, bool etm, size_t max_plain)
{
    static uint8_t data[40000];
    static const size_t lens[] = {1, 2, 15, 16, 17, 255, 256, 16383, 16384, 16385, 40000};
    tr_record_dir_t out = {0}, in = {0};
    tr_buf_t wire = TR_BUF_INIT;
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 7);
    }
    out.max_plain = in.max_plain = max_plain;
    TR_CHECK_INT(set_keys(&out, suite, etm, true), TR_OK);
    TR_CHECK_INT(set_keys(&in, suite, etm, false), TR_OK);
    for (size_t i = 0; i < TR_ARRAY_LEN(lens); i++) {
        size_t max = max_plain == 0 ? (size_t)TR_TLS_MAX_PLAINTEXT : max_plain;
        tr_buf_clear(&wire);
        TR_CHECK_INT(tr_record_seal(&out, &wire, TR_RECORD_DATA, 0x0303, tr_slice(data, lens[i]), &tr_rand_system), TR_OK);
        TR_CHECK_INT(open_all(&in, &wire, TR_RECORD_DATA, data, lens[i]), (lens[i] + max - 1) / max);
    }
    /* Another type keeps its number, inside or outside. */
    tr_buf_clear(&wire);
    TR_CHECK_INT(tr_record_seal(&out, &wire, TR_RECORD_HANDSHAKE, 0x0303, tr_slice(data, 5), &tr_rand_system), TR_OK);
    TR_CHECK_INT(wire.data[0], out.kind == TR_RECORD_AEAD13 ? TR_RECORD_DATA : TR_RECORD_HANDSHAKE);
    TR_CHECK_INT(open_all(&in, &wire, TR_RECORD_HANDSHAKE, data, 5), 1);
    tr_record_dir_cleanup(&out);
    tr_record_dir_cleanup(&in);
    tr_buf_cleanup(&wire);
}

static const uint16_t one_of_each[] = {0x1301, 0x1302, 0x1303, 0xc02f, 0xc030, 0xcca8, 0x002f, 0x0035,
                                       0x003c, 0x003d, 0xc028, 0x000a};

TR_TEST(tls_record_round_trip, "/tls/record/round_trip")
{
    set_up();
    for (size_t i = 0; i < TR_ARRAY_LEN(one_of_each); i++) {
        const tr_suite_t *suite = tr_suite_find(one_of_each[i]);
        round_trip(suite, false, 0);
        round_trip(suite, false, 512);
        if (suite->is_cbc) {
            round_trip(suite, true, 0);
        }
    }
}

/* Each bit of a record counts, and so does its place in the sequence. */
TR_TEST(tls_record_tampering, "/tls/record/tampering")
{
    set_up();
    for (size_t i = 0; i < TR_ARRAY_LEN(one_of_each); i++) {
        const tr_suite_t *suite = tr_suite_find(one_of_each[i]);
        for (int etm = 0; etm <= (suite->is_cbc ? 1 : 0); etm++) {
            tr_record_dir_t out = {0}, in = {0};
            tr_buf_t wire = TR_BUF_INIT;
            uint8_t plain[256], type, alert;
            size_t len;
            TR_CHECK_INT(set_keys(&out, suite, etm != 0, true), TR_OK);
            TR_CHECK_INT(tr_record_seal(&out, &wire, TR_RECORD_DATA, 0x0303, TR_SLICE_LIT("some plain text"),
                                        &tr_rand_system),
                         TR_OK);
            for (size_t at = 0; at < wire.len; at++) {
                if (at == 3 || at == 4) {
                    continue; /* the length, which the stream has read */
                }
                TR_CHECK_INT(set_keys(&in, suite, etm != 0, false), TR_OK);
                wire.data[at] ^= 0x10;
                type = wire.data[0];
                tr_code_t code = tr_record_open(&in, plain, &len, &type, wire.data,
                                                tr_slice(wire.data + 5, wire.len - 5), &alert);
                TR_CHECK_INT(code, TR_ERR_TLS_BAD_RECORD);
                TR_CHECK_INT(alert, TR_ALERT_BAD_RECORD_MAC);
                wire.data[at] ^= 0x10;
            }
            for (size_t cut = 5; cut < wire.len; cut++) {
                TR_CHECK_INT(set_keys(&in, suite, etm != 0, false), TR_OK);
                type = wire.data[0];
                TR_CHECK(tr_failed(
                    tr_record_open(&in, plain, &len, &type, wire.data, tr_slice(wire.data + 5, cut - 5), &alert)));
            }
            TR_CHECK_INT(set_keys(&in, suite, etm != 0, false), TR_OK);
            in.seq = 1;
            type = wire.data[0];
            TR_CHECK_INT(tr_record_open(&in, plain, &len, &type, wire.data, tr_slice(wire.data + 5, wire.len - 5), &alert),
                         TR_ERR_TLS_BAD_RECORD);
            tr_record_dir_cleanup(&out);
            tr_record_dir_cleanup(&in);
            tr_buf_cleanup(&wire);
        }
    }
}

/* Seals `len` bytes as they are: the inner type is the caller's. */
static tr_code_t
open_inner(const uint8_t *inner, size_t inner_len, size_t max_plain, size_t *out_len, uint8_t *type, uint8_t *alert)
{
    static uint8_t record[TR_RECORD_HEADER_LEN + TR_TLS_MAX_CIPHERTEXT_13 + 64];
    static uint8_t out[TR_TLS_MAX_CIPHERTEXT_13 + 64];
    const tr_suite_t *suite = tr_suite_find(0x1301);
    tr_record_dir_t sealer = {0}, in = {0};
    size_t body_len = inner_len + TR_AEAD_TAG_LEN;
    TR_CHECK_INT(set_keys(&sealer, suite, false, true), TR_OK);
    TR_CHECK_INT(set_keys(&in, suite, false, false), TR_OK);
    in.max_plain = max_plain;
    record[0] = TR_RECORD_DATA;
    record[1] = record[2] = 3;
    record[3] = (uint8_t)(body_len >> 8);
    record[4] = (uint8_t)body_len;
    TR_CHECK_INT(tr_aead_seal(sealer.aead, record + 5, sealer.iv, tr_slice(record, 5), tr_slice(inner, inner_len),
                              TR_SLICE_NULL),
                 TR_OK);
    *type = TR_RECORD_DATA;
    tr_code_t code = tr_record_open(&in, out, out_len, type, record, tr_slice(record + 5, body_len), alert);
    tr_record_dir_cleanup(&sealer);
    tr_record_dir_cleanup(&in);
    return code;
}

/* RFC 8446 5.2, 5.4. */
TR_TEST(tls_record_padding, "/tls/record/padding")
{
    static uint8_t inner[TR_TLS_MAX_PLAINTEXT + 2];
    uint8_t type, alert;
    size_t len;
    set_up();
    inner[0] = 'x';
    inner[1] = TR_RECORD_ALERT;
    TR_CHECK_INT(open_inner(inner, 100, 0, &len, &type, &alert), TR_OK);
    TR_CHECK_INT(type, TR_RECORD_ALERT);
    TR_CHECK_INT(len, 1);
    inner[0] = TR_RECORD_DATA; /* a type alone: an empty fragment */
    inner[1] = 0;
    TR_CHECK_INT(open_inner(inner, 10, 0, &len, &type, &alert), TR_OK);
    TR_CHECK_INT(len, 0);
    inner[0] = 0; /* zeros alone */
    TR_CHECK_INT(open_inner(inner, 10, 0, &len, &type, &alert), TR_ERR_TLS_PROTOCOL);
    TR_CHECK_INT(alert, TR_ALERT_UNEXPECTED_MESSAGE);
    TR_CHECK_INT(open_inner(inner, 0, 0, &len, &type, &alert), TR_ERR_TLS_PROTOCOL);
    memset(inner, 1, sizeof(inner));
    inner[TR_TLS_MAX_PLAINTEXT] = TR_RECORD_DATA;
    TR_CHECK_INT(open_inner(inner, TR_TLS_MAX_PLAINTEXT + 1, 0, &len, &type, &alert), TR_OK);
    TR_CHECK_INT(open_inner(inner, TR_TLS_MAX_PLAINTEXT + 2, 0, &len, &type, &alert), TR_ERR_TLS_PROTOCOL);
    TR_CHECK_INT(alert, TR_ALERT_RECORD_OVERFLOW);
    TR_CHECK_INT(open_inner(inner, 101, 100, &len, &type, &alert), TR_OK); /* RFC 8449: 101 with the type */
    TR_CHECK_INT(open_inner(inner, 102, 100, &len, &type, &alert), TR_ERR_TLS_PROTOCOL);
    TR_CHECK_INT(alert, TR_ALERT_RECORD_OVERFLOW);
}

/* --- key schedule: the trace of RFC 8448 3 --- */

static void
check_hex(const uint8_t *got, const char *hex)
{
    size_t len;
    const uint8_t *want = tr_test_hex(hex, &len);
    TR_CHECK_MEM(got, want, len);
}

TR_TEST(tls_keysched, "/tls/keysched")
{
    tr_keysched_t ks;
    size_t len;
    uint8_t key[16], iv[12], psk[TR_HASH_MAX], verify[TR_HASH_MAX];
    set_up();
    TR_CHECK_INT(tr_keysched_init(&ks, TR_HASH_SHA256, TR_SLICE_NULL), TR_OK);
    check_hex(ks.chain, "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a");
    const uint8_t *shared = tr_test_hex("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d", &len);
    const uint8_t *digest = tr_test_hex("860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02f063cf0e1cad9e", &len);
    TR_UNUSED(digest);
    TR_CHECK_INT(tr_keysched_handshake(&ks, tr_slice(shared, 32), digest), TR_OK);
    check_hex(ks.chain, "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac");
    const uint8_t *secret = tr_test_hex("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38", &len);
    TR_CHECK_INT(tr_keysched_traffic(TR_HASH_SHA256, tr_slice(secret, 32), key, sizeof(key), iv), TR_OK);
    check_hex(key, "3fce516009c21727d0f2e4e86ee403bc");
    check_hex(iv, "5d313eb2671276ee13000b30");
    digest = tr_test_hex("9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13", &len);
    TR_CHECK_INT(tr_keysched_application(&ks, digest), TR_OK);
    check_hex(ks.client_application, "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5");
    check_hex(ks.server_application, "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643");
    digest = tr_test_hex("209145a96ee8e2a122ff810047cc952684658d6049e86429426db87c54ad143d", &len);
    TR_CHECK_INT(tr_keysched_resumption(&ks, digest), TR_OK);
    check_hex(ks.resumption, "7df235f2031d2a051287d02b0241b0bfdaf86cc856231f2d5aba46c434ec196c");
    TR_CHECK_INT(tr_keysched_ticket(&ks, psk, tr_slice("\0\0", 2)), TR_OK);
    check_hex(psk, "4ecd0eb6ec3b4d87f5d6028f922ca4c5851a277fd41311c9e62d2c9492e1c4f3");
    /* A KeyUpdate changes the secret, and Finished depends on both secret and transcript. */
    memcpy(psk, ks.client_application, 32);
    TR_CHECK_INT(tr_keysched_update(&ks, ks.client_application), TR_OK);
    TR_CHECK(memcmp(psk, ks.client_application, 32) != 0);
    TR_CHECK_INT(tr_keysched_finished(&ks, verify, psk, digest), TR_OK);
    TR_CHECK_INT(tr_keysched_finished(&ks, psk, ks.client_application, digest), TR_OK);
    TR_CHECK(memcmp(psk, verify, 32) != 0);
    tr_keysched_cleanup(&ks);
}

static void
keep_line(void *arg, const char *line)
{
    snprintf(arg, 256, "%s", line);
}

TR_TEST(tls_keylog, "/tls/keylog")
{
    char line[256] = "";
    uint8_t random[32];
    tr_tls_config_t config = {.keylog = keep_line, .keylog_arg = line};
    memset(random, 0xab, sizeof(random));
    tr_keylog_write(&config, "CLIENT_RANDOM", random, tr_slice("\x01\x02\xff", 3));
    TR_CHECK_SLICE(tr_slice_cstr(line),
                   "CLIENT_RANDOM abababababababababababababababababababababababababababababababab 0102ff");
}

/* --- extensions --- */

/* A hello that offered what Chrome does. */
static void
make_hello(tr_hello_t *hello)
{
    tr_err_t err = TR_ERR_INIT;
    set_up();
    TR_CHECK_OK(tr_hello_init(hello, tr_profile_find(TR_SLICE_LIT("chrome_133_macos")), 0, "localhost", &tr_rand_system,
                              NULL, false, &err),
                &err);
}

static uint8_t
parse(const tr_hello_t *hello, tr_ext_where_t where, const char *hex, tr_ext_set_t *set)
{
    size_t len;
    const uint8_t *bytes = tr_test_hex(hex, &len);
    return tr_ext_parse(set, where, tr_slice(bytes, len), hello);
}

TR_TEST(tls_ext, "/tls/ext")
{
    tr_hello_t hello;
    tr_ext_set_t set;
    tr_rd_t rd;
    make_hello(&hello);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_ENCRYPTED, "", &set), 0);
    TR_CHECK_INT(set.present, 0);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_ENCRYPTED, "0010 0005 0003026832 0000 0000", &set), 0);
    TR_CHECK(tr_ext_get(&set, TR_EXT_ALPN, &rd) && rd.len == 5 && tr_ext_has(&set, TR_EXT_SERVER_NAME));
    TR_CHECK(!tr_ext_get(&set, TR_EXT_ECH, &rd) && !tr_ext_has(&set, 0xbeef));
    /* cut off, trailing, twice, unasked, out of place */
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_ENCRYPTED, "0010 0005 00030268", &set), TR_ALERT_DECODE_ERROR);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_ENCRYPTED, "0000 0000 00", &set), TR_ALERT_DECODE_ERROR);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_ENCRYPTED, "0000 0000 0000 0000", &set), TR_ALERT_ILLEGAL_PARAMETER);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_ENCRYPTED, "beef 0000", &set), TR_ALERT_UNSUPPORTED_EXTENSION);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_ENCRYPTED, "beef 0000 beef 0000", &set), TR_ALERT_DECODE_ERROR);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_ENCRYPTED, "0033 0000", &set), TR_ALERT_ILLEGAL_PARAMETER);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_SERVER_HELLO_13, "0029 0002 0000", &set), TR_ALERT_UNSUPPORTED_EXTENSION);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_RETRY, "002c 0003 0001aa", &set), 0); /* a cookie comes unasked */
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_SERVER_HELLO_13, "002c 0003 0001aa", &set), TR_ALERT_UNSUPPORTED_EXTENSION);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_SERVER_HELLO_12, "ff01 0001 00 0017 0000", &set), 0);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_SERVER_HELLO_12, "fe0d 0000", &set), TR_ALERT_UNSUPPORTED_EXTENSION);
    /* requests: what is unknown is ignored, but never twice */
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_TICKET, "0a0a 0000 002a 0004 00004000", &set), 0);
    TR_CHECK(tr_ext_has(&set, TR_EXT_EARLY_DATA));
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_CERTIFICATE_REQUEST, "0a0a 0000 0a0a 0000", &set), TR_ALERT_DECODE_ERROR);
    tr_hello_cleanup(&hello);
}

/* What a profile sends as raw bytes may be answered; what is said is not for the engine. What it knows stays in its place. */
TR_TEST(tls_ext_raw, "/tls/ext/answers_to_raw_extensions")
{
    static const tr_profile_ext_t exts[] = {
        {0xbeef, 0, NULL, {(const uint8_t *)"ab", 2}},
        {TR_EXT_MAX_FRAGMENT_LENGTH, 0, NULL, {(const uint8_t *)"\x02", 1}},
        {TR_EXT_NEXT_PROTOCOL, 0, NULL, {NULL, 0}},
        {TR_EXT_PADDING, 0, NULL, {(const uint8_t *)"", 1}},
        {TR_EXT_PSK_KEY_EXCHANGE_MODES, 0, NULL, {(const uint8_t *)"\1\1", 2}},
    };
    tr_profile_t profile = *tr_profile_find(TR_SLICE_LIT("chrome_133_macos"));
    tr_hello_t hello;
    tr_ext_set_t set;
    tr_err_t err = TR_ERR_INIT;
    set_up();
    profile.exts = exts;
    profile.num_exts = TR_ARRAY_LEN(exts);
    profile.num_pinned_first = profile.num_pinned_last = 0;
    TR_CHECK_OK(tr_hello_init(&hello, &profile, 0, "localhost", &tr_rand_system, NULL, false, &err), &err);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_ENCRYPTED, "beef 0003 010203 0001 0001 02", &set), 0);
    TR_CHECK(tr_ext_has(&set, TR_EXT_MAX_FRAGMENT_LENGTH) && !tr_ext_has(&set, 0xbeef));
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_SERVER_HELLO_12, "beef 0000", &set), 0);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_CERTIFICATE, "beef 0000", &set), 0);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_ENCRYPTED, "beef 0000 beef 0000", &set), TR_ALERT_DECODE_ERROR);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_SERVER_HELLO_13, "beef 0000", &set), TR_ALERT_ILLEGAL_PARAMETER);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_RETRY, "beef 0000", &set), TR_ALERT_ILLEGAL_PARAMETER);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_ENCRYPTED, "bee0 0000", &set), TR_ALERT_UNSUPPORTED_EXTENSION);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_ENCRYPTED, "002d 0000", &set), TR_ALERT_ILLEGAL_PARAMETER);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_SERVER_HELLO_12, "3374 0000", &set), TR_ALERT_UNSUPPORTED_EXTENSION);
    TR_CHECK_INT(parse(&hello, TR_EXT_IN_ENCRYPTED, "0015 0001 00", &set), TR_ALERT_UNSUPPORTED_EXTENSION);
    tr_hello_cleanup(&hello);
}

/* --- tickets --- */

static tr_session_ticket_t *
make_session(uint16_t version, uint32_t lifetime_s, uint8_t mark)
{
    tr_session_ticket_t *session = tr_calloc(1, sizeof(*session));
    if (session != NULL) {
        session->version = version;
        session->lifetime_s = lifetime_s;
        session->received_ms = NOW_MS;
        session->secret[0] = mark;
        session->ticket = tr_memdup("ticket", 6);
        session->ticket_len = session->ticket == NULL ? 0 : 6;
    }
    return session;
}

static int
take(tr_tickets_t *tickets, const char *key, uint64_t now_ms, bool once12)
{
    tr_session_ticket_t *session = tr_tickets_take(tickets, tr_slice_cstr(key), now_ms, once12);
    int mark = session == NULL ? -1 : session->secret[0];
    TR_CHECK(session == NULL || (session->ticket_len == 6 && memcmp(session->ticket, "ticket", 6) == 0));
    tr_session_ticket_free(session);
    return mark;
}

TR_TEST(tls_tickets, "/tls/tickets")
{
    tr_tickets_t *tickets = tr_tickets_new();
    TR_CHECK(tickets != NULL);
    TR_CHECK_INT(take(tickets, "a", NOW_MS, false), -1);
    /* the newest first, each once; keys apart */
    tr_tickets_put(tickets, TR_SLICE_LIT("a"), make_session(0x0304, 100, 1));
    tr_tickets_put(tickets, TR_SLICE_LIT("a"), make_session(0x0304, 100, 2));
    tr_tickets_put(tickets, TR_SLICE_LIT("b"), make_session(0x0304, 100, 3));
    TR_CHECK_INT(take(tickets, "a", NOW_MS, false), 2);
    TR_CHECK_INT(take(tickets, "a", NOW_MS, false), 1);
    TR_CHECK_INT(take(tickets, "a", NOW_MS, false), -1);
    /* expiry, also past a week, and a clock set back */
    TR_CHECK_INT(take(tickets, "b", NOW_MS + 100000, false), -1);
    tr_tickets_put(tickets, TR_SLICE_LIT("b"), make_session(0x0304, UINT32_MAX, 4));
    TR_CHECK_INT(take(tickets, "b", NOW_MS + UINT64_C(604800000), false), -1);
    tr_tickets_put(tickets, TR_SLICE_LIT("b"), make_session(0x0304, 100, 4));
    TR_CHECK_INT(take(tickets, "b", NOW_MS - 1, false), -1);
    /* TLS 1.2: again and again, or once */
    tr_tickets_put(tickets, TR_SLICE_LIT("c"), make_session(0x0303, 100, 5));
    TR_CHECK_INT(take(tickets, "c", NOW_MS, false), 5);
    TR_CHECK_INT(take(tickets, "c", NOW_MS, false), 5);
    TR_CHECK_INT(take(tickets, "c", NOW_MS, true), 5);
    TR_CHECK_INT(take(tickets, "c", NOW_MS, true), -1);
    /* at most so many a key */
    for (uint8_t i = 0; i < TR_TLS_MAX_TICKETS + 5; i++) {
        tr_tickets_put(tickets, TR_SLICE_LIT("d"), make_session(0x0304, 100, i));
    }
    for (int i = TR_TLS_MAX_TICKETS + 4; i >= 5; i--) {
        TR_CHECK_INT(take(tickets, "d", NOW_MS, false), i);
    }
    TR_CHECK_INT(take(tickets, "d", NOW_MS, false), -1);
    tr_tickets_put(tickets, TR_SLICE_LIT("e"), make_session(0x0304, 100, 6));
    tr_tickets_forget(tickets, TR_SLICE_LIT("e"));
    TR_CHECK_INT(take(tickets, "e", NOW_MS, false), -1);
    tr_tickets_free(tickets);
}

TR_TEST(tls_tickets_keys, "/tls/tickets/keys")
{
    tr_tickets_t *tickets = tr_tickets_new();
    char key[16];
    int kept = 0;
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        tr_tickets_put(tickets, tr_slice_cstr(key), make_session(0x0304, 100, 1));
    }
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        kept += take(tickets, key, NOW_MS, false) == 1 ? 1 : 0;
        TR_CHECK(i != 2999 || kept > 0);
    }
    TR_CHECK_INT(kept, 1024);
    tr_tickets_free(tickets);
}

TR_TEST_OOM(tls_tickets_oom, "/tls/tickets/oom")
{
    tr_tickets_t *tickets = tr_tickets_new();
    if (tickets == NULL) {
        TR_CHECK(tr_test_oom_running());
        return;
    }
    for (uint8_t i = 0; i < 3; i++) {
        tr_session_ticket_t *session = make_session(0x0303, 100, i);
        if (session == NULL || session->ticket == NULL) {
            tr_session_ticket_free(session);
        } else {
            tr_tickets_put(tickets, TR_SLICE_LIT("a"), session);
        }
        tr_session_ticket_free(tr_tickets_take(tickets, TR_SLICE_LIT("a"), NOW_MS, false));
    }
    tr_tickets_free(tickets);
}

/* --- certificates --- */

static tr_tls_t *
make_tls(void)
{
    tr_err_t err = TR_ERR_INIT;
    tr_tls_t *tls = NULL;
    tr_tls_config_t config = {.profile = tr_profile_find(TR_SLICE_LIT("firefox_153_linux")),
                              .flags = TR_TLS_NO_VERIFY,
                              .rnd = tr_rand_system,
                              .now_ms = NOW_MS + 3600000};
    TR_CHECK_OK(tr_tls_new(&tls, &config, "localhost", &err), &err);
    return tls;
}

/* Decompresses 1000 times "a"; returns the alert of a failure, 0 for success. */
static int
decompress(tr_tls_t *tls, uint16_t algorithm, size_t len, const uint8_t *data, size_t data_len)
{
    tr_buf_t body = TR_BUF_INIT, out = TR_BUF_INIT;
    tr_wr_t wr = tr_wr(&body);
    tr_wr_u16(&wr, algorithm);
    tr_wr_u24(&wr, (uint32_t)len);
    tr_wr_vec(&wr, tr_slice(data, data_len), 3);
    TR_CHECK_INT(tr_wr_end(&wr), TR_OK);
    tls->alert = 0;
    tr_code_t code = tr_cert_decompress(tls, &out, tr_buf_slice(&body));
    if (code == TR_OK) {
        TR_CHECK_INT(out.len, len);
        for (size_t i = 0; i < out.len; i++) {
            TR_CHECK_INT(out.data[i], 'a');
        }
    }
    tr_buf_cleanup(&body);
    tr_buf_cleanup(&out);
    return code == TR_OK ? 0 : tls->alert;
}

TR_TEST(tls_compressed_certificate, "/tls/certificate/compressed")
{
    static uint8_t plain[200000], packed[4][300];
    size_t lens[4] = {0};
    set_up();
    tr_tls_t *tls = make_tls();
    memset(plain, 'a', sizeof(plain));
    uLongf zlib_len = sizeof(packed[1]);
    TR_CHECK(compress(packed[1], &zlib_len, plain, 1000) == Z_OK);
    lens[1] = zlib_len;
    const uint8_t *brotli = tr_test_hex("1be703f825c2a2b1402034", &lens[2]);
    memcpy(packed[2], brotli, lens[2]);
    lens[3] = ZSTD_compress(packed[3], sizeof(packed[3]), plain, 1000, 3);
    TR_CHECK(!ZSTD_isError(lens[3]));
    for (uint16_t algorithm = 1; algorithm <= 3; algorithm++) {
        const uint8_t *data = packed[algorithm];
        size_t len = lens[algorithm];
        TR_CHECK_INT(decompress(tls, algorithm, 1000, data, len), 0);
        /* RFC 8879 4: not one byte more or less than said */
        TR_CHECK_INT(decompress(tls, algorithm, 999, data, len), TR_ALERT_BAD_CERTIFICATE);
        TR_CHECK_INT(decompress(tls, algorithm, 1001, data, len), TR_ALERT_BAD_CERTIFICATE);
        TR_CHECK_INT(decompress(tls, algorithm, 1000, data, len - 1), TR_ALERT_BAD_CERTIFICATE);
        TR_CHECK_INT(decompress(tls, algorithm, 1000, data, len + 1), TR_ALERT_BAD_CERTIFICATE);
        TR_CHECK_INT(decompress(tls, algorithm, 0, data, len), TR_ALERT_BAD_CERTIFICATE);
        TR_CHECK_INT(decompress(tls, algorithm, TR_TLS_MAX_CERTIFICATE + 1, data, len), TR_ALERT_BAD_CERTIFICATE);
        TR_CHECK_INT(decompress(tls, algorithm, 1000, data, 0), TR_ALERT_DECODE_ERROR);
    }
    TR_CHECK_INT(decompress(tls, 4, 1000, packed[1], lens[1]), TR_ALERT_ILLEGAL_PARAMETER);
    /* a bomb: 200,000 bytes in a few hundred */
    size_t bomb_len = ZSTD_compress(packed[0], sizeof(packed[0]), plain, sizeof(plain), 3);
    TR_CHECK(!ZSTD_isError(bomb_len));
    TR_CHECK_INT(decompress(tls, 3, 1000, packed[0], bomb_len), TR_ALERT_BAD_CERTIFICATE);
    tr_tls_free(tls);
}

static int
accept_delegated(const uint8_t *leaf, size_t leaf_len, const uint8_t *credential, size_t len, uint64_t now_ms)
{
    tr_tls_t *tls = make_tls();
    tr_buf_t list = TR_BUF_INIT;
    tr_wr_t wr = tr_wr(&list);
    tr_wr_vec(&wr, tr_slice(leaf, leaf_len), 3);
    size_t exts = tr_wr_open(&wr, 2);
    tr_wr_u16(&wr, TR_EXT_DELEGATED_CREDENTIALS);
    tr_wr_vec(&wr, tr_slice(credential, len), 2);
    tr_wr_close(&wr, exts, 2);
    TR_CHECK_INT(tr_wr_end(&wr), TR_OK);
    tls->config.now_ms = now_ms;
    tls->version = TR_VERSION_13;
    tr_code_t code = tr_cert_take_list(tls, tr_buf_slice(&list), true);
    int alert = code == TR_OK ? 0 : tls->alert;
    TR_CHECK_INT(tls->delegated_scheme, code == TR_OK ? 0x0403 : 0);
    tr_buf_cleanup(&list);
    tr_tls_free(tls);
    return alert;
}

/* RFC 9345 4.1.3 */
TR_TEST(tls_delegated, "/tls/certificate/delegated")
{
    uint64_t now = NOW_MS + 3600000;
    uint8_t bad[sizeof(dc_good)];
    TR_CHECK_INT(accept_delegated(dc_leaf, sizeof(dc_leaf), dc_good, sizeof(dc_good), now), 0);
    TR_CHECK_INT(accept_delegated(dc_leaf, sizeof(dc_leaf), dc_good, sizeof(dc_good), NOW_MS + 86400 * 1000 + 1000),
                 TR_ALERT_ILLEGAL_PARAMETER);
    TR_CHECK_INT(accept_delegated(dc_leaf, sizeof(dc_leaf), dc_too_long, sizeof(dc_too_long), now),
                 TR_ALERT_ILLEGAL_PARAMETER);
    TR_CHECK_INT(accept_delegated(dc_leaf, sizeof(dc_leaf), dc_wrong_scheme, sizeof(dc_wrong_scheme), now),
                 TR_ALERT_ILLEGAL_PARAMETER);
    TR_CHECK_INT(accept_delegated(dc_leaf_without_usage, sizeof(dc_leaf_without_usage), dc_without_usage,
                                  sizeof(dc_without_usage), now),
                 TR_ALERT_ILLEGAL_PARAMETER);
    TR_CHECK_INT(accept_delegated(dc_leaf_without_usage, sizeof(dc_leaf_without_usage), dc_good, sizeof(dc_good), now),
                 TR_ALERT_ILLEGAL_PARAMETER);
    TR_CHECK_INT(accept_delegated(dc_leaf, sizeof(dc_leaf), dc_good, sizeof(dc_good) - 1, now), TR_ALERT_DECODE_ERROR);
    for (size_t i = 0; i < sizeof(bad); i++) {
        memcpy(bad, dc_good, sizeof(bad));
        bad[i] ^= 1;
        TR_CHECK(accept_delegated(dc_leaf, sizeof(dc_leaf), bad, sizeof(bad), now) != 0);
    }
}
