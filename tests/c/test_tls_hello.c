#include "tls/hello.h"

#include "core/rd.h"
#include "crypto/crypto.h"
#include "tr_test.h"

#define NOW_MS UINT64_C(1700000000000)
#define MAX_EXTS 80

typedef struct parsed {
    tr_slice_t random, session_id, suites;
    struct {
        uint16_t type;
        tr_slice_t body;
    } exts[MAX_EXTS];
    size_t num_exts;
} parsed_t;

/* One connection of a test. */
typedef struct fixture {
    tr_rand_seeded_t seeded;
    tr_session_ticket_t session;
    uint8_t ticket[512];
    tr_hello_t hello;
    tr_buf_t out;
    tr_err_t err;
    parsed_t parsed;
} fixture_t;

static const tr_profile_t *
profile_named(const char *name)
{
    const tr_profile_t *profile = tr_profile_find(tr_slice_cstr(name));
    TR_CHECK(profile != NULL);
    return profile;
}

static void
session_init(fixture_t *fix, uint16_t version, uint16_t suite, size_t ticket_len)
{
    tr_session_ticket_t *session = &fix->session;
    memset(session, 0, sizeof(*session));
    session->version = version;
    session->suite = suite;
    session->max_early_data = 16384;
    session->age_add = 0xfffffff0u;
    session->received_ms = NOW_MS - 100;
    session->secret_len = suite == 0x1302 || version == 0x0303 ? 48 : 32;
    memset(session->secret, 7, sizeof(session->secret));
    memset(fix->ticket, 0x74, sizeof(fix->ticket));
    session->ticket = fix->ticket;
    session->ticket_len = ticket_len;
    memcpy(session->alpn, "h2", 2);
    session->alpn_len = 2;
}

static tr_code_t
start(fixture_t *fix, const tr_profile_t *profile, uint32_t flags, const char *host, uint64_t seed, bool resume,
      bool early_data)
{
    fix->err = TR_ERR_INIT;
    fix->out = TR_BUF_INIT;
    tr_rand_seeded_init(&fix->seeded, seed);
    tr_rand_t rnd = tr_rand_seeded(&fix->seeded);
    tr_code_t code = tr_crypto_init(&fix->err);
    memset(&fix->hello, 0, sizeof(fix->hello));
    if (code == TR_OK) {
        code = tr_hello_init(&fix->hello, profile, flags, host, &rnd, resume ? &fix->session : NULL, early_data,
                             &fix->err);
    }
    return code == TR_OK ? tr_hello_build(&fix->hello, &fix->out, NOW_MS, NULL, &fix->err) : code;
}

static void
finish(fixture_t *fix)
{
    tr_hello_cleanup(&fix->hello);
    tr_hello_cleanup(&fix->hello); /* may run twice */
    tr_buf_cleanup(&fix->out);
}

static void
parse(fixture_t *fix)
{
    parsed_t *parsed = &fix->parsed;
    tr_rd_t rd = tr_rd(tr_buf_slice(&fix->out)), body, exts;
    uint8_t type;
    uint16_t version;
    tr_slice_t compression;
    memset(parsed, 0, sizeof(*parsed));
    TR_CHECK(tr_rd_u8(&rd, &type) && type == 1);
    TR_CHECK(tr_rd_sub(&rd, &body, 3) && tr_rd_end(&rd));
    TR_CHECK(tr_rd_u16(&body, &version) && version == 0x0303);
    TR_CHECK(tr_rd_bytes(&body, &parsed->random, 32));
    TR_CHECK(tr_rd_vec(&body, &parsed->session_id, 1));
    TR_CHECK(tr_rd_vec(&body, &parsed->suites, 2));
    TR_CHECK(tr_rd_vec(&body, &compression, 1) && compression.len == 1 && compression.data[0] == 0);
    TR_CHECK(tr_rd_sub(&body, &exts, 2) && tr_rd_end(&body));
    while (!tr_rd_empty(&exts)) {
        TR_CHECK(parsed->num_exts < MAX_EXTS);
        TR_CHECK(tr_rd_u16(&exts, &parsed->exts[parsed->num_exts].type));
        TR_CHECK(tr_rd_vec(&exts, &parsed->exts[parsed->num_exts].body, 2));
        for (size_t i = 0; i < parsed->num_exts; i++) {
            TR_CHECK(parsed->exts[i].type != parsed->exts[parsed->num_exts].type);
        }
        parsed->num_exts++;
    }
    TR_CHECK(tr_rd_end(&exts));
}

static void
begin(fixture_t *fix, const tr_profile_t *profile, uint32_t flags, const char *host, uint64_t seed, bool resume,
      bool early_data)
{
    TR_CHECK_OK(start(fix, profile, flags, host, seed, resume, early_data), &fix->err);
    parse(fix);
}

static bool
has_ext(const fixture_t *fix, uint16_t type)
{
    for (size_t i = 0; i < fix->parsed.num_exts; i++) {
        if (fix->parsed.exts[i].type == type) {
            return true;
        }
    }
    return false;
}

static tr_slice_t
ext_body(const fixture_t *fix, uint16_t type)
{
    for (size_t i = 0; i < fix->parsed.num_exts; i++) {
        if (fix->parsed.exts[i].type == type) {
            return fix->parsed.exts[i].body;
        }
    }
    tr_test_fail(__FILE__, __LINE__, "extension %u is not there", (unsigned)type);
}

static bool
is_grease(uint16_t value)
{
    return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

static uint16_t
u16_at(tr_slice_t bytes, size_t at)
{
    TR_CHECK(at + 2 <= bytes.len);
    return (uint16_t)(bytes.data[at] << 8 | bytes.data[at + 1]);
}

/* The share of a group in a hello's key_share; empty: none. GREASE asks for the one with a GREASE value. */
static tr_slice_t
share_of(const fixture_t *fix, uint16_t group, size_t *out_num)
{
    tr_rd_t rd = tr_rd(ext_body(fix, TR_EXT_KEY_SHARE)), list;
    tr_slice_t share, found = TR_SLICE_NULL;
    uint16_t got;
    *out_num = 0;
    TR_CHECK(tr_rd_sub(&rd, &list, 2) && tr_rd_end(&rd));
    while (!tr_rd_empty(&list)) {
        TR_CHECK(tr_rd_u16(&list, &got) && tr_rd_vec(&list, &share, 2));
        if (got == group || (group == TR_GREASE && is_grease(got))) {
            found = share;
        }
        (*out_num)++;
    }
    TR_CHECK(tr_rd_end(&list));
    return found;
}

TR_TEST(hello_seed, "/tls_hello/fixed_seed_gives_fixed_bytes")
{
    const tr_profile_t *profile;
    for (size_t i = 0; (profile = tr_profile_at(i)) != NULL; i++) {
        fixture_t a, b, c;
        begin(&a, profile, 0, "example.org", 1, false, false);
        begin(&b, profile, 0, "example.org", 1, false, false);
        begin(&c, profile, 0, "example.org", 2, false, false);
        TR_CHECK(tr_slice_eq(tr_buf_slice(&a.out), tr_buf_slice(&b.out)));
        TR_CHECK(!tr_slice_eq(a.parsed.random, c.parsed.random));
        TR_CHECK(!tr_slice_eq(a.parsed.session_id, c.parsed.session_id));
        /* every entry is written but the places of cookie and early data */
        size_t places = (tr_profile_ext(profile, TR_EXT_COOKIE) != NULL) +
                        (size_t)(tr_profile_ext(profile, TR_EXT_EARLY_DATA) != NULL);
        TR_CHECK_INT(a.parsed.num_exts, profile->num_exts - places + has_ext(&a, TR_EXT_PADDING));
        TR_CHECK(!has_ext(&a, TR_EXT_PADDING) || (profile->flags & TR_PROFILE_PADDING_BORINGSSL) != 0);
        finish(&a);
        finish(&b);
        finish(&c);
    }
}

TR_TEST(hello_append, "/tls_hello/appends_to_what_is_there")
{
    fixture_t fix;
    begin(&fix, profile_named("firefox_153"), 0, "example.org", 1, false, false);
    tr_buf_t out = TR_BUF_INIT;
    TR_CHECK_INT(tr_buf_append(&out, "abc", 3), TR_OK);
    TR_CHECK_OK(tr_hello_build(&fix.hello, &out, NOW_MS, NULL, &fix.err), &fix.err);
    TR_CHECK_MEM(out.data, "abc", 3);
    TR_CHECK_INT(out.len, 3 + fix.out.len);
    TR_CHECK_MEM(out.data + 3, fix.out.data, fix.out.len);
    tr_buf_cleanup(&out);
    finish(&fix);
}

TR_TEST(hello_grease, "/tls_hello/grease_values")
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        fixture_t fix;
        size_t num;
        begin(&fix, profile_named("chromium_156"), 0, "example.org", seed, false, false);
        const parsed_t *parsed = &fix.parsed;
        uint16_t first = parsed->exts[0].type, last = parsed->exts[parsed->num_exts - 1].type;
        TR_CHECK(is_grease(u16_at(parsed->suites, 0)));
        TR_CHECK(is_grease(first) && is_grease(last) && first != last);
        TR_CHECK_INT(parsed->exts[0].body.len, 0);
        TR_CHECK_INT(parsed->exts[parsed->num_exts - 1].body.len, 1);
        uint16_t group = u16_at(ext_body(&fix, TR_EXT_SUPPORTED_GROUPS), 2);
        TR_CHECK(is_grease(group));
        TR_CHECK_INT(u16_at(ext_body(&fix, TR_EXT_KEY_SHARE), 2), group);
        TR_CHECK_INT(share_of(&fix, TR_GREASE, &num).len, 1);
        TR_CHECK(is_grease(u16_at(ext_body(&fix, TR_EXT_SIGNATURE_ALGORITHMS), 2)));
        tr_slice_t versions = ext_body(&fix, TR_EXT_SUPPORTED_VERSIONS);
        TR_CHECK(is_grease(u16_at(versions, 1)));
        finish(&fix);
    }
}

TR_TEST(hello_sni, "/tls_hello/server_name")
{
    static const char *const addresses[] = {"127.0.0.1", "1.2.3.4.", "::1", "fe80::1%eth0", "2130706433", "10.0"};
    static const char *const names[] = {"example.org", "example.org.", "1e100.net", "3com.com", "4.4.4.4a", "x"};
    fixture_t fix;
    for (size_t i = 0; i < TR_ARRAY_LEN(addresses); i++) {
        begin(&fix, profile_named("firefox_153"), 0, addresses[i], i, false, false);
        TR_CHECK(!has_ext(&fix, TR_EXT_SERVER_NAME));
        TR_CHECK(!tr_hello_offers_ext(&fix.hello, TR_EXT_SERVER_NAME));
        finish(&fix);
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(names); i++) {
        size_t len = strlen(names[i]) - (names[i][strlen(names[i]) - 1] == '.'); /* RFC 6066 3: no trailing dot */
        begin(&fix, profile_named("firefox_153"), 0, names[i], i, false, false);
        tr_slice_t body = ext_body(&fix, TR_EXT_SERVER_NAME);
        TR_CHECK_INT(body.len, 5 + len);
        TR_CHECK_INT(u16_at(body, 0), 3 + len);
        TR_CHECK_INT(body.data[2], 0);
        TR_CHECK_MEM(body.data + 5, names[i], len);
        TR_CHECK(tr_hello_offers_ext(&fix.hello, TR_EXT_SERVER_NAME));
        finish(&fix);
    }
}

TR_TEST(hello_host, "/tls_hello/bad_hosts")
{
    char host[300];
    fixture_t fix;
    memset(host, 'a', sizeof(host));
    host[256] = '\0';
    TR_CHECK_INT(start(&fix, tr_profile_default(), 0, host, 1, false, false), TR_ERR_INVALID_ARGUMENT);
    finish(&fix);
    TR_CHECK_INT(start(&fix, tr_profile_default(), 0, "", 1, false, false), TR_ERR_INVALID_ARGUMENT);
    finish(&fix);
    TR_CHECK_INT(start(&fix, tr_profile_default(), 0, ".", 1, false, false), TR_ERR_INVALID_ARGUMENT);
    finish(&fix);
    host[255] = '\0';
    begin(&fix, tr_profile_default(), 0, host, 1, false, false);
    TR_CHECK_INT(ext_body(&fix, TR_EXT_SERVER_NAME).len, 5 + 255);
    finish(&fix);
}

/* chromium_156_linux.json and firefox_153_linux.json, samples: NSS repeats the X25519 share, BoringSSL does not. */
TR_TEST(hello_shares, "/tls_hello/x25519_share_of_the_hybrid")
{
    static const char *const names[] = {"chromium_156", "chrome_133", "firefox_153"};
    for (size_t i = 0; i < TR_ARRAY_LEN(names); i++) {
        fixture_t fix;
        size_t num;
        begin(&fix, profile_named(names[i]), 0, "example.org", i, false, false);
        tr_slice_t hybrid = share_of(&fix, TR_GROUP_X25519_MLKEM768, &num);
        tr_slice_t x25519 = share_of(&fix, TR_GROUP_X25519, &num);
        TR_CHECK_INT(hybrid.len, 1216);
        TR_CHECK_INT(x25519.len, 32);
        TR_CHECK_INT(num, 3);
        TR_CHECK((memcmp(hybrid.data + 1184, x25519.data, 32) == 0) == (i == 2));
        const tr_kex_t *kex = tr_hello_share(&fix.hello, TR_GROUP_X25519);
        TR_CHECK(kex != NULL && tr_slice_eq(tr_kex_share(kex), x25519));
        TR_CHECK(tr_hello_share(&fix.hello, TR_GROUP_P384) == NULL);
        finish(&fix);
    }
}

TR_TEST(hello_http1, "/tls_hello/http1_only")
{
    fixture_t fix;
    begin(&fix, profile_named("chromium_156"), TR_TLS_HTTP1_ONLY, "example.org", 1, false, false);
    TR_CHECK(tr_slice_eq(ext_body(&fix, TR_EXT_ALPN), TR_SLICE_LIT("\x00\x09\x08http/1.1")));
    TR_CHECK(!has_ext(&fix, TR_EXT_ALPS));
    TR_CHECK(!tr_hello_offers_ext(&fix.hello, TR_EXT_ALPS));
    TR_CHECK(!tr_hello_offers_alpn(&fix.hello, TR_SLICE_LIT("h2")));
    TR_CHECK(tr_hello_offers_alpn(&fix.hello, TR_SLICE_LIT("http/1.1")));
    finish(&fix);
    begin(&fix, profile_named("chromium_156"), 0, "example.org", 1, false, false);
    TR_CHECK(has_ext(&fix, TR_EXT_ALPS) && tr_hello_offers_ext(&fix.hello, TR_EXT_ALPS));
    TR_CHECK(tr_hello_offers_alpn(&fix.hello, TR_SLICE_LIT("h2")));
    TR_CHECK(tr_hello_offers_alpn(&fix.hello, TR_SLICE_LIT("http/1.1")));
    TR_CHECK(!tr_hello_offers_alpn(&fix.hello, TR_SLICE_LIT("http/1.0")));
    TR_CHECK(!tr_hello_offers_alpn(&fix.hello, TR_SLICE_NULL));
    finish(&fix);
}

TR_TEST(hello_psk, "/tls_hello/tls13_session")
{
    fixture_t fix;
    session_init(&fix, 0x0304, 0x1301, 208);
    begin(&fix, profile_named("chromium_156"), 0, "example.org", 1, true, true);
    TR_CHECK_INT(fix.parsed.exts[fix.parsed.num_exts - 1].type, TR_EXT_PRE_SHARED_KEY);
    TR_CHECK(is_grease(fix.parsed.exts[fix.parsed.num_exts - 2].type));
    TR_CHECK_INT(ext_body(&fix, TR_EXT_SESSION_TICKET).len, 0);
    TR_CHECK(!has_ext(&fix, TR_EXT_EARLY_DATA) && !fix.hello.offers_early_data);
    tr_slice_t psk = ext_body(&fix, TR_EXT_PRE_SHARED_KEY);
    TR_CHECK_INT(psk.len, 2 + 2 + 208 + 4 + 2 + 1 + 32);
    TR_CHECK_MEM(psk.data + 4, fix.ticket, 208);
    /* 100 ms old, age_add 2^32 - 16: modulo 2^32 */
    TR_CHECK_MEM(psk.data + 4 + 208, "\x00\x00\x00\x54", 4);
    TR_CHECK(tr_hello_offers_ext(&fix.hello, TR_EXT_PRE_SHARED_KEY));
    finish(&fix);

    session_init(&fix, 0x0304, 0x1302, 32);
    begin(&fix, profile_named("firefox_153"), 0, "example.org", 1, true, true);
    TR_CHECK_INT(fix.parsed.exts[fix.parsed.num_exts - 1].type, TR_EXT_PRE_SHARED_KEY);
    TR_CHECK(!has_ext(&fix, TR_EXT_SESSION_TICKET));
    TR_CHECK(has_ext(&fix, TR_EXT_EARLY_DATA) && fix.hello.offers_early_data);
    TR_CHECK_INT(ext_body(&fix, TR_EXT_PRE_SHARED_KEY).len, 2 + 2 + 32 + 4 + 2 + 1 + 48);
    finish(&fix);
}

TR_TEST(hello_no_psk, "/tls_hello/sessions_that_are_not_offered")
{
    fixture_t fix;
    tr_profile_t profile = *profile_named("firefox_153");
    session_init(&fix, 0x0304, 0x1301, 32);
    begin(&fix, &profile, TR_TLS_NO_RESUME, "example.org", 1, true, false);
    TR_CHECK(!has_ext(&fix, TR_EXT_PRE_SHARED_KEY) && fix.hello.session == NULL);
    TR_CHECK(has_ext(&fix, TR_EXT_SESSION_TICKET));
    finish(&fix);
    fix.session.suite = 0x1305; /* not among the profile's suites */
    begin(&fix, &profile, 0, "example.org", 1, true, false);
    TR_CHECK(!has_ext(&fix, TR_EXT_PRE_SHARED_KEY) && fix.hello.session == NULL);
    finish(&fix);
    fix.session.suite = 0x1301;
    profile.flags &= ~(uint32_t)TR_PROFILE_RESUMES_13;
    begin(&fix, &profile, 0, "example.org", 1, true, false);
    TR_CHECK(!has_ext(&fix, TR_EXT_PRE_SHARED_KEY) && fix.hello.session == NULL);
    finish(&fix);
    profile.flags |= TR_PROFILE_RESUMES_13;
    fix.session.ticket_len = 0;
    begin(&fix, &profile, 0, "example.org", 1, true, false);
    TR_CHECK(!has_ext(&fix, TR_EXT_PRE_SHARED_KEY) && fix.hello.session == NULL);
    finish(&fix);
    /* early data: not asked for, not allowed by the ticket, another protocol then */
    fix.session.ticket_len = 32;
    begin(&fix, &profile, 0, "example.org", 1, true, false);
    TR_CHECK(has_ext(&fix, TR_EXT_PRE_SHARED_KEY) && !has_ext(&fix, TR_EXT_EARLY_DATA));
    finish(&fix);
    fix.session.max_early_data = 0;
    begin(&fix, &profile, 0, "example.org", 1, true, true);
    TR_CHECK(!has_ext(&fix, TR_EXT_EARLY_DATA));
    finish(&fix);
    fix.session.max_early_data = 1;
    begin(&fix, &profile, TR_TLS_HTTP1_ONLY, "example.org", 1, true, true);
    TR_CHECK(has_ext(&fix, TR_EXT_PRE_SHARED_KEY) && !has_ext(&fix, TR_EXT_EARLY_DATA));
    finish(&fix);
}

TR_TEST(hello_tls12, "/tls_hello/tls12_session")
{
    static const char *const names[] = {"chromium_156", "firefox_153"};
    fixture_t fix;
    for (size_t i = 0; i < TR_ARRAY_LEN(names); i++) {
        session_init(&fix, 0x0303, 0xc02f, 176);
        fix.session.session_id_len = 32;
        begin(&fix, profile_named(names[i]), 0, "example.org", 1, true, true);
        TR_CHECK_INT(ext_body(&fix, TR_EXT_SESSION_TICKET).len, 176);
        TR_CHECK_INT(fix.parsed.session_id.len, 32);
        TR_CHECK(memcmp(fix.parsed.session_id.data, fix.session.session_id, 32) != 0); /* a random one, RFC 5077 3.4 */
        TR_CHECK(!has_ext(&fix, TR_EXT_PRE_SHARED_KEY) && !has_ext(&fix, TR_EXT_EARLY_DATA));
        finish(&fix);
        /* without a ticket by its id */
        fix.session.ticket_len = 0;
        fix.session.session_id_len = 20;
        memset(fix.session.session_id, 0x1d, 20);
        begin(&fix, profile_named(names[i]), 0, "example.org", 1, true, true);
        TR_CHECK_INT(ext_body(&fix, TR_EXT_SESSION_TICKET).len, 0);
        TR_CHECK(tr_slice_eq(fix.parsed.session_id, tr_slice(fix.session.session_id, 20)));
        finish(&fix);
    }
}

static void
check_kept(const fixture_t *first, const fixture_t *second, bool same_share)
{
    size_t at = 0;
    TR_CHECK(tr_slice_eq(first->parsed.random, second->parsed.random));
    TR_CHECK(tr_slice_eq(first->parsed.session_id, second->parsed.session_id));
    TR_CHECK(tr_slice_eq(first->parsed.suites, second->parsed.suites));
    for (size_t i = 0; i < second->parsed.num_exts; i++) {
        uint16_t type = second->parsed.exts[i].type;
        if (type == TR_EXT_COOKIE) {
            continue;
        }
        if (first->parsed.exts[at].type == TR_EXT_EARLY_DATA) {
            at++;
        }
        TR_CHECK_INT(type, first->parsed.exts[at].type);
        if (type != TR_EXT_PRE_SHARED_KEY && (type != TR_EXT_KEY_SHARE || same_share)) {
            TR_CHECK(tr_slice_eq(second->parsed.exts[i].body, first->parsed.exts[at].body));
        }
        at++;
    }
    TR_CHECK_INT(at, first->parsed.num_exts);
}

TR_TEST(hello_retry, "/tls_hello/second_hello")
{
    static const char *const names[] = {"chromium_156", "chrome_133", "firefox_153"};
    for (size_t i = 0; i < TR_ARRAY_LEN(names); i++) {
        fixture_t first, second;
        size_t num;
        begin(&first, profile_named(names[i]), 0, "example.org", 3, false, false);
        begin(&second, profile_named(names[i]), 0, "example.org", 3, false, false);
        TR_CHECK_OK(tr_hello_retry(&second.hello, TR_GROUP_P384, TR_SLICE_LIT("crumbs"), &second.err), &second.err);
        TR_CHECK(tr_hello_share(&second.hello, TR_GROUP_X25519) == NULL);
        tr_buf_clear(&second.out);
        TR_CHECK_OK(tr_hello_build(&second.hello, &second.out, NOW_MS, NULL, &second.err), &second.err);
        parse(&second);
        check_kept(&first, &second, false);
        TR_CHECK_INT(share_of(&second, TR_GROUP_P384, &num).len, 97);
        TR_CHECK_INT(num, 1);
        TR_CHECK(tr_slice_eq(ext_body(&second, TR_EXT_COOKIE), TR_SLICE_LIT("\x00\x06" "crumbs")));
        TR_CHECK(tr_hello_offers_ext(&second.hello, TR_EXT_COOKIE));
        TR_CHECK(!tr_hello_offers_ext(&first.hello, TR_EXT_COOKIE));
        finish(&second);
        /* a cookie alone: the shares stay, GREASE too */
        begin(&second, profile_named(names[i]), 0, "example.org", 3, false, false);
        TR_CHECK_OK(tr_hello_retry(&second.hello, 0, TR_SLICE_LIT("crumbs"), &second.err), &second.err);
        tr_buf_clear(&second.out);
        TR_CHECK_OK(tr_hello_build(&second.hello, &second.out, NOW_MS, NULL, &second.err), &second.err);
        parse(&second);
        check_kept(&first, &second, true);
        finish(&first);
        finish(&second);
    }
}

TR_TEST(hello_retry_flags, "/tls_hello/second_hello_grease_share_and_early_data")
{
    fixture_t fix, first;
    size_t num;
    tr_profile_t profile = *profile_named("chromium_156");
    profile.flags |= TR_PROFILE_RETRY_KEEPS_GREASE;
    begin(&fix, &profile, 0, "example.org", 1, false, false);
    TR_CHECK_OK(tr_hello_retry(&fix.hello, TR_GROUP_P256, TR_SLICE_NULL, &fix.err), &fix.err);
    tr_buf_clear(&fix.out);
    TR_CHECK_OK(tr_hello_build(&fix.hello, &fix.out, NOW_MS, NULL, &fix.err), &fix.err);
    parse(&fix);
    TR_CHECK_INT(share_of(&fix, TR_GREASE, &num).len, 1);
    TR_CHECK_INT(num, 2);
    TR_CHECK(!has_ext(&fix, TR_EXT_COOKIE));
    finish(&fix);

    session_init(&fix, 0x0304, 0x1302, 32);
    session_init(&first, 0x0304, 0x1302, 32);
    begin(&first, profile_named("firefox_153"), 0, "example.org", 1, true, true);
    TR_CHECK(has_ext(&first, TR_EXT_EARLY_DATA));
    begin(&fix, profile_named("firefox_153"), 0, "example.org", 1, true, true);
    TR_CHECK_OK(tr_hello_retry(&fix.hello, TR_GROUP_P521, TR_SLICE_NULL, &fix.err), &fix.err);
    TR_CHECK(!tr_hello_offers_ext(&fix.hello, TR_EXT_EARLY_DATA));
    tr_hash_ctx_t *transcript = tr_hash_new(TR_HASH_SHA384);
    TR_CHECK(transcript != NULL);
    tr_buf_clear(&fix.out);
    TR_CHECK_OK(tr_hello_build(&fix.hello, &fix.out, NOW_MS, transcript, &fix.err), &fix.err);
    parse(&fix);
    check_kept(&first, &fix, false);
    TR_CHECK(!has_ext(&fix, TR_EXT_EARLY_DATA));
    tr_slice_t psk = ext_body(&fix, TR_EXT_PRE_SHARED_KEY);
    TR_CHECK_MEM(psk.data + psk.len - 48 - 3, "\x00\x31\x30", 3);
    /* a PSK that does not fit the suite leaves, and session_ticket does not come back (RFC 8446 4.1.2) */
    TR_CHECK(memcmp(psk.data + psk.len - 48, ext_body(&first, TR_EXT_PRE_SHARED_KEY).data + psk.len - 48, 48) != 0);
    fix.hello.session = NULL;
    tr_buf_clear(&fix.out);
    TR_CHECK_OK(tr_hello_build(&fix.hello, &fix.out, NOW_MS, NULL, &fix.err), &fix.err);
    parse(&fix);
    TR_CHECK(!has_ext(&fix, TR_EXT_PRE_SHARED_KEY) && !has_ext(&fix, TR_EXT_SESSION_TICKET));
    TR_CHECK(tr_slice_eq(ext_body(&fix, TR_EXT_ECH), ext_body(&first, TR_EXT_ECH)));
    tr_hash_free(transcript);
    finish(&fix);
    finish(&first);
}

TR_TEST(hello_retry_bad, "/tls_hello/retry_for_an_unknown_group_changes_nothing")
{
    fixture_t fix;
    begin(&fix, profile_named("firefox_153"), 0, "example.org", 1, false, false);
    TR_CHECK(tr_failed(tr_hello_retry(&fix.hello, 0x0999, TR_SLICE_NULL, &fix.err)));
    TR_CHECK_INT(fix.hello.num_shares, 3);
    TR_CHECK(!fix.hello.is_retry && tr_hello_share(&fix.hello, TR_GROUP_X25519) != NULL);
    finish(&fix);
}

/* A small profile, whose hello falls into the range that BoringSSL pads. */
static const uint16_t small_groups[] = {TR_GREASE, TR_GROUP_X25519, TR_GROUP_P256};
static const uint16_t small_shares[] = {TR_GREASE, TR_GROUP_X25519};
static const uint16_t small_versions[] = {0x0304, 0x0303};
static const uint16_t small_suites[] = {0x1301, 0x1302};
static const tr_profile_ext_t small_exts[] = {
    {TR_EXT_SERVER_NAME, 0, NULL, {NULL, 0}},
    {TR_EXT_SUPPORTED_GROUPS, 3, small_groups, {NULL, 0}},
    {TR_EXT_KEY_SHARE, 2, small_shares, {NULL, 0}},
    {TR_EXT_SUPPORTED_VERSIONS, 2, small_versions, {NULL, 0}},
    {TR_EXT_PSK_KEY_EXCHANGE_MODES, 0, NULL, {(const uint8_t *)"\x01\x01", 2}},
};

static tr_profile_t
small_profile(void)
{
    return (tr_profile_t){.id = "small",
                          .flags = TR_PROFILE_PADDING_BORINGSSL | TR_PROFILE_RESUMES_13,
                          .legacy_version = 0x0303,
                          .session_id_len = 32,
                          .num_suites = TR_ARRAY_LEN(small_suites),
                          .suites = small_suites,
                          .exts = small_exts,
                          .num_exts = TR_ARRAY_LEN(small_exts)};
}

TR_TEST(hello_padding, "/tls_hello/padding_of_boringssl")
{
    const tr_profile_t profile = small_profile();
    unsigned num_padded = 0, num_bare = 0, num_over = 0;
    for (size_t len = 1; len <= 255; len++) {
        for (size_t ticket_len = 0; ticket_len <= 90; ticket_len += 90) {
            char host[256];
            fixture_t fix;
            memset(host, 'a', len);
            host[len] = '\0';
            session_init(&fix, 0x0304, 0x1301, ticket_len);
            begin(&fix, &profile, 0, host, len, ticket_len > 0, false);
            size_t padding = has_ext(&fix, TR_EXT_PADDING) ? 4 + ext_body(&fix, TR_EXT_PADDING).len : 0;
            size_t bare = fix.out.len - padding;
            if (bare <= 255 || bare >= 512) {
                TR_CHECK_INT(padding, 0);
                num_bare++;
            } else if (bare <= 512 - 5) {
                TR_CHECK_INT(fix.out.len, 512);
                num_padded++;
            } else {
                TR_CHECK_INT(padding, 5);
                num_over++;
            }
            if (padding > 0) {
                TR_CHECK_INT(fix.parsed.exts[fix.parsed.num_exts - (ticket_len > 0 ? 2 : 1)].type, TR_EXT_PADDING);
            }
            finish(&fix);
        }
    }
    TR_CHECK(num_padded > 100 && num_bare > 20 && num_over > 0);
}

/* firefox_153_linux.json: what its hellos' payloads were, by host name length, ticket and early data. */
TR_TEST(hello_ech_nss, "/tls_hello/ech_payload_of_nss")
{
    static const struct {
        size_t host_len, ticket13, ticket12, payload;
        bool early;
    } rows[] = {
        {12, 0, 0, 239, false},  {91, 0, 0, 239, false},   {111, 0, 0, 271, false}, {131, 0, 0, 271, false},
        {14, 208, 0, 527, false}, {11, 224, 0, 527, false}, {14, 32, 0, 335, true},  {14, 0, 176, 239, false},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        char host[256];
        fixture_t fix;
        memset(host, 'n', rows[i].host_len);
        host[rows[i].host_len] = '\0';
        if (rows[i].ticket13 > 0) {
            session_init(&fix, 0x0304, 0x1302, rows[i].ticket13);
        } else {
            session_init(&fix, 0x0303, 0xc02f, rows[i].ticket12);
        }
        begin(&fix, profile_named("firefox_153"), 0, host, i, rows[i].ticket13 + rows[i].ticket12 > 0, rows[i].early);
        tr_slice_t ech = ext_body(&fix, TR_EXT_ECH);
        TR_CHECK_INT(ech.len, 1 + 2 + 2 + 1 + 2 + 32 + 2 + rows[i].payload);
        TR_CHECK_INT(u16_at(ech, 40), rows[i].payload);
        TR_CHECK_INT(u16_at(ech, 1), 1);
        TR_CHECK(u16_at(ech, 3) == 1 || u16_at(ech, 3) == 3);
        finish(&fix);
    }
}

TR_TEST(hello_offers, "/tls_hello/what_was_offered")
{
    fixture_t fix;
    begin(&fix, profile_named("chromium_156"), 0, "example.org", 1, false, false);
    const tr_hello_t *hello = &fix.hello;
    TR_CHECK(tr_hello_offers_suite(hello, 0x1301) && tr_hello_offers_suite(hello, 0xc02b));
    TR_CHECK(!tr_hello_offers_suite(hello, 0xc009) && !tr_hello_offers_suite(hello, 0x00ff));
    TR_CHECK(tr_hello_offers_group(hello, TR_GROUP_P256) && !tr_hello_offers_group(hello, TR_GROUP_P521));
    TR_CHECK(tr_hello_offers_signature(hello, 0x0804) && !tr_hello_offers_signature(hello, 0x0201));
    TR_CHECK(tr_hello_offers_version(hello, 0x0304) && tr_hello_offers_version(hello, 0x0303));
    TR_CHECK(!tr_hello_offers_version(hello, 0x0302));
    TR_CHECK(tr_hello_offers_compression(hello, 2) && !tr_hello_offers_compression(hello, 1));
    TR_CHECK(tr_hello_offers_ext(hello, TR_EXT_ALPN) && !tr_hello_offers_ext(hello, TR_EXT_RECORD_SIZE_LIMIT));
    TR_CHECK(!tr_hello_offers_ext(hello, TR_EXT_PRE_SHARED_KEY) && !tr_hello_offers_ext(hello, TR_EXT_EARLY_DATA));
    /* the mark for GREASE is offered by nobody, whatever was drawn */
    TR_CHECK(!tr_hello_offers_suite(hello, TR_GREASE) && !tr_hello_offers_group(hello, TR_GREASE) &&
             !tr_hello_offers_version(hello, TR_GREASE) && !tr_hello_offers_ext(hello, TR_GREASE) &&
             !tr_hello_offers_signature(hello, TR_GREASE));
    finish(&fix);
    /* without supported_versions the legacy version counts */
    tr_profile_t profile = small_profile();
    profile.num_exts = 2;
    begin(&fix, &profile, 0, "example.org", 1, false, false);
    TR_CHECK(tr_hello_offers_version(hello, 0x0303) && !tr_hello_offers_version(hello, 0x0304));
    TR_CHECK(!tr_hello_offers_alpn(hello, TR_SLICE_LIT("h2")));
    TR_CHECK_INT(hello->num_shares, 0);
    finish(&fix);
}

/* Shares of groups that the engine cannot do: random bytes of the row's lengths, in order among the real ones. */
TR_TEST(hello_raw_shares, "/tls_hello/shares_that_are_only_sent")
{
    static const uint16_t groups[] = {0xfe31, TR_GREASE, TR_GROUP_X25519, 0xfe32};
    tr_profile_ext_t exts[TR_ARRAY_LEN(small_exts)];
    tr_profile_t profile = small_profile();
    fixture_t fix, other;
    memcpy(exts, small_exts, sizeof(exts));
    exts[1] = (tr_profile_ext_t){TR_EXT_SUPPORTED_GROUPS, 4, groups, {NULL, 0}};
    exts[2] = (tr_profile_ext_t){TR_EXT_KEY_SHARE, 4, groups, {(const uint8_t *)"\x04\xc0\x00\x01\x00\x20\x00\x05", 8}};
    profile.exts = exts;
    begin(&fix, &profile, 0, "example.org", 1, false, false);
    begin(&other, &profile, 0, "example.org", 2, false, false);
    tr_slice_t body = ext_body(&fix, TR_EXT_KEY_SHARE), body2 = ext_body(&other, TR_EXT_KEY_SHARE);
    TR_CHECK_INT(body.len, 2 + (4 + 1216) + (4 + 1) + (4 + 32) + (4 + 5));
    TR_CHECK_INT(u16_at(body, 2), 0xfe31);
    TR_CHECK_INT(u16_at(body, 4), 1216);
    TR_CHECK_INT(u16_at(body, 2 + 1220 + 5 + 36), 0xfe32);
    TR_CHECK(memcmp(body.data + 6, body2.data + 6, 1216) != 0);
    TR_CHECK(memcmp(body.data + body.len - 5, body2.data + body2.len - 5, 5) != 0);
    TR_CHECK(tr_hello_sent_raw_share(&fix.hello, 0xfe31) && tr_hello_sent_raw_share(&fix.hello, 0xfe32));
    TR_CHECK(!tr_hello_sent_raw_share(&fix.hello, TR_GROUP_X25519) && !tr_hello_sent_raw_share(&fix.hello, TR_GREASE));
    TR_CHECK(tr_hello_share(&fix.hello, TR_GROUP_X25519) != NULL && tr_hello_share(&fix.hello, 0xfe31) == NULL);
    /* after a retry that names a group, its share alone */
    TR_CHECK_OK(tr_hello_retry(&fix.hello, TR_GROUP_P256, TR_SLICE_NULL, &fix.err), &fix.err);
    tr_buf_clear(&fix.out);
    TR_CHECK_OK(tr_hello_build(&fix.hello, &fix.out, NOW_MS, NULL, &fix.err), &fix.err);
    parse(&fix);
    TR_CHECK_INT(ext_body(&fix, TR_EXT_KEY_SHARE).len, 2 + 4 + 65);
    finish(&fix);
    finish(&other);
    /* without lengths there is nothing to send */
    exts[2].data = TR_SLICE_NULL;
    TR_CHECK_INT(start(&fix, &profile, 0, "example.org", 1, false, false), TR_ERR_PROFILE_INVALID);
    finish(&fix);
}

TR_TEST_OOM(hello_raw_shares_oom, "/tls_hello/shares_that_are_only_sent_out_of_memory")
{
    static const uint16_t groups[] = {0xfe31};
    static const tr_profile_ext_t exts[] = {
        {TR_EXT_SUPPORTED_GROUPS, 1, groups, {NULL, 0}},
        {TR_EXT_KEY_SHARE, 1, groups, {(const uint8_t *)"\x04\xc0", 2}},
    };
    tr_profile_t profile = small_profile();
    fixture_t fix;
    profile.exts = exts;
    profile.num_exts = TR_ARRAY_LEN(exts);
    tr_code_t code = start(&fix, &profile, 0, "example.org", 1, false, false);
    TR_CHECK(code == TR_OK || (tr_test_oom_running() && code == TR_ERR_NOMEM));
    TR_CHECK(code != TR_OK || fix.out.len > 1216);
    finish(&fix);
}

/* Bodies without data and with one value: so many random bytes, the same in both hellos. Padding without a rule is a row like others. */
TR_TEST(hello_drawn_bodies, "/tls_hello/bodies_that_are_drawn")
{
    static const uint16_t lengths[] = {7, 3};
    tr_profile_ext_t exts[TR_ARRAY_LEN(small_exts) + 3];
    tr_profile_t profile = small_profile();
    fixture_t fix, other;
    size_t num = profile.num_exts;
    uint8_t first[7];
    memcpy(exts, small_exts, sizeof(small_exts));
    exts[num++] = (tr_profile_ext_t){0x1e61, 1, &lengths[0], {NULL, 0}};
    exts[num++] = (tr_profile_ext_t){TR_EXT_PADDING, 0, NULL, TR_SLICE_LIT("\0\0\0\0\0")};
    exts[num++] = (tr_profile_ext_t){0x1e62, 1, &lengths[1], {NULL, 0}};
    profile.exts = exts;
    profile.num_exts = (uint16_t)num;
    profile.flags &= ~(uint32_t)TR_PROFILE_PADDING_BORINGSSL;
    begin(&fix, &profile, 0, "example.org", 1, false, false);
    begin(&other, &profile, 0, "example.org", 2, false, false);
    tr_slice_t body = ext_body(&fix, 0x1e61);
    TR_CHECK_INT(body.len, 7);
    memcpy(first, body.data, 7);
    TR_CHECK(memcmp(first, ext_body(&other, 0x1e61).data, 7) != 0);
    TR_CHECK_INT(ext_body(&fix, 0x1e62).len, 3);
    TR_CHECK(memcmp(first, ext_body(&fix, 0x1e62).data, 3) != 0);
    TR_CHECK_INT(ext_body(&fix, TR_EXT_PADDING).len, 5);
    TR_CHECK(tr_hello_offers_ext(&fix.hello, 0x1e61) && !tr_hello_offers_ext(&fix.hello, TR_EXT_PADDING));
    TR_CHECK_OK(tr_hello_retry(&fix.hello, TR_GROUP_P256, TR_SLICE_NULL, &fix.err), &fix.err);
    tr_buf_clear(&fix.out);
    TR_CHECK_OK(tr_hello_build(&fix.hello, &fix.out, NOW_MS, NULL, &fix.err), &fix.err);
    parse(&fix);
    TR_CHECK(memcmp(first, ext_body(&fix, 0x1e61).data, 7) == 0);
    finish(&fix);
    finish(&other);
}

TR_TEST_OOM(hello_drawn_bodies_oom, "/tls_hello/bodies_that_are_drawn_out_of_memory")
{
    static const uint16_t lengths[] = {9};
    static const tr_profile_ext_t exts[] = {{0x1e61, 1, lengths, {NULL, 0}}};
    tr_profile_t profile = small_profile();
    fixture_t fix;
    profile.exts = exts;
    profile.num_exts = TR_ARRAY_LEN(exts);
    tr_code_t code = start(&fix, &profile, 0, "example.org", 1, false, false);
    TR_CHECK(code == TR_OK || (tr_test_oom_running() && code == TR_ERR_NOMEM));
    finish(&fix);
}

TR_TEST(hello_bad_profiles, "/tls_hello/profiles_that_cannot_be_used")
{
    static const uint16_t unknown_share[] = {0x0999};
    static const uint16_t many_shares[] = {23, 24, 25, 29, 30};
    static tr_profile_ext_t exts[65];
    fixture_t fix;
    tr_profile_t profile = small_profile();
    for (size_t i = 0; i < TR_ARRAY_LEN(exts); i++) {
        exts[i] = (tr_profile_ext_t){(uint16_t)(100 + i), 0, NULL, {NULL, 0}};
    }
    profile.exts = exts;
    profile.num_exts = 65;
    TR_CHECK_INT(start(&fix, &profile, 0, "example.org", 1, false, false), TR_ERR_PROFILE_INVALID);
    finish(&fix);
    profile.num_exts = 64;
    TR_CHECK_INT(start(&fix, &profile, 0, "example.org", 1, false, false), TR_OK);
    finish(&fix);
    profile.num_pinned_first = 32;
    profile.num_pinned_last = 33;
    TR_CHECK_INT(start(&fix, &profile, 0, "example.org", 1, false, false), TR_ERR_PROFILE_INVALID);
    finish(&fix);
    profile = small_profile();
    profile.num_suites = 0;
    TR_CHECK_INT(start(&fix, &profile, 0, "example.org", 1, false, false), TR_ERR_PROFILE_INVALID);
    finish(&fix);
    profile = small_profile();
    profile.session_id_len = 33;
    TR_CHECK_INT(start(&fix, &profile, 0, "example.org", 1, false, false), TR_ERR_PROFILE_INVALID);
    finish(&fix);
    profile = small_profile();
    profile.exts = exts;
    profile.num_exts = 1;
    exts[0] = (tr_profile_ext_t){TR_EXT_KEY_SHARE, 1, unknown_share, {NULL, 0}};
    TR_CHECK_INT(start(&fix, &profile, 0, "example.org", 1, false, false), TR_ERR_PROFILE_INVALID);
    finish(&fix);
    exts[0] = (tr_profile_ext_t){TR_EXT_KEY_SHARE, 5, many_shares, {NULL, 0}};
    TR_CHECK_INT(start(&fix, &profile, 0, "example.org", 1, false, false), TR_ERR_PROFILE_INVALID);
    finish(&fix);
    exts[0] = (tr_profile_ext_t){TR_EXT_ECH, 0, NULL, {NULL, 0}};
    profile.ech.payload = TR_ECH_PAYLOAD_DRAWN;
    TR_CHECK_INT(start(&fix, &profile, 0, "example.org", 1, false, false), TR_ERR_PROFILE_INVALID);
    finish(&fix);
    profile = small_profile();
    profile.exts = exts;
    for (size_t i = 0; i < 3; i++) {
        exts[i] = (tr_profile_ext_t){i == 1 ? TR_EXT_SCT : TR_EXT_STATUS_REQUEST, 0, NULL, {NULL, 0}};
        profile.num_exts = (uint16_t)(i + 1);
        TR_CHECK_INT(start(&fix, &profile, 0, "example.org", 1, false, false), i < 2 ? TR_OK : TR_ERR_PROFILE_INVALID);
        finish(&fix);
    }
    for (size_t i = 0; i < 3; i++) {
        exts[i].type = TR_GREASE;
        profile.num_exts = (uint16_t)(i + 1);
        TR_CHECK_INT(start(&fix, &profile, 0, "example.org", 1, false, false), i < 2 ? TR_OK : TR_ERR_PROFILE_INVALID);
        finish(&fix);
    }
}

static tr_code_t
no_random(void *arg, uint8_t *out, size_t len)
{
    int *left = arg;
    memset(out, 9, len);
    return (*left)-- > 0 ? TR_OK : TR_ERR_INTERNAL;
}

TR_TEST(hello_no_random, "/tls_hello/generator_failing_at_each_call")
{
    static const char *const names[] = {"chromium_156", "firefox_153"};
    tr_err_t err = TR_ERR_INIT;
    TR_CHECK_OK(tr_crypto_init(&err), &err);
    for (size_t i = 0; i < TR_ARRAY_LEN(names); i++) {
        int calls = 0;
        tr_code_t code = TR_ERR_INTERNAL;
        for (; code != TR_OK && calls < 60; calls++) {
            int left = calls;
            tr_rand_t rnd = {no_random, &left};
            tr_hello_t hello;
            code = tr_hello_init(&hello, profile_named(names[i]), 0, "example.org", &rnd, NULL, false, &err);
            TR_CHECK(code == TR_OK || code == TR_ERR_INTERNAL);
            TR_CHECK(code == TR_OK || hello.num_shares == 0);
            tr_hello_cleanup(&hello);
        }
        TR_CHECK(code == TR_OK && calls > 4);
    }
}

TR_TEST_OOM(hello_oom, "/tls_hello/out_of_memory")
{
    static const char *const names[] = {"chromium_156", "firefox_153"};
    for (size_t i = 0; i < TR_ARRAY_LEN(names); i++) {
        fixture_t fix;
        session_init(&fix, 0x0304, 0x1302, 208);
        tr_code_t code = start(&fix, profile_named(names[i]), 0, "example.org", 1, true, true);
        if (code == TR_OK) {
            parse(&fix);
            code = tr_hello_retry(&fix.hello, TR_GROUP_P384, TR_SLICE_LIT("cookie"), &fix.err);
        } else {
            TR_CHECK_INT(fix.out.len, 0); /* nothing of a hello that failed */
        }
        if (code == TR_OK) {
            tr_hash_ctx_t *transcript = tr_hash_new(TR_HASH_SHA384);
            tr_buf_clear(&fix.out);
            code = transcript == NULL ? TR_ERR_NOMEM
                                      : tr_hello_build(&fix.hello, &fix.out, NOW_MS, transcript, &fix.err);
            tr_hash_free(transcript);
        }
        if (code == TR_OK) {
            parse(&fix);
            TR_CHECK(has_ext(&fix, TR_EXT_COOKIE));
        } else {
            TR_CHECK(tr_test_oom_running() && code == TR_ERR_NOMEM);
        }
        finish(&fix);
    }
}
