#include "client/compose.h"
#include "core/limits.h"
#include "tr_test.h"

#define F(n, v)                                                                                                        \
    {                                                                                                                  \
        TR_SLICE_LIT(n), TR_SLICE_LIT(v)                                                                               \
    }
#define REMOVED(n)                                                                                                     \
    {                                                                                                                  \
        TR_SLICE_LIT(n),                                                                                               \
        {                                                                                                              \
            NULL, 0                                                                                                    \
        }                                                                                                              \
    }

/* The navigations of the two live captures, with their places; values short. */
static const tr_profile_header_t chromium_h2[] = {
    {"content-length", NULL},  {"sec-ch-ua", "ua"},       {"sec-ch-ua-mobile", "?0"},  {"sec-ch-ua-platform", "p"},
    {"upgrade-insecure-requests", "1"}, {"content-type", NULL}, {"user-agent", "chromium"}, {"origin", NULL},
    {"accept", "html"},        {"sec-fetch-site", "none"}, {"sec-fetch-mode", "navigate"}, {"sec-fetch-user", "?1"},
    {"sec-fetch-dest", "document"}, {"referer", NULL},     {"accept-encoding", "gzip"}, {"accept-language", "en"},
    {"cookie", NULL},          {"priority", "u=0, i"},
};
static const tr_profile_header_t chromium_h1[] = {
    {"Host", NULL},        {"Connection", "keep-alive"}, {"Content-Length", NULL}, {"sec-ch-ua", "ua"},
    {"Content-Type", NULL}, {"User-Agent", "chromium"},  {"Origin", NULL},         {"Accept", "html"},
    {"Accept-Encoding", "gzip"}, {"Accept-Language", "en"}, {"Cookie", NULL},
};
static const tr_profile_header_t firefox_h2[] = {
    {"user-agent", "firefox"}, {"accept", "html"}, {"accept-language", "en"}, {"accept-encoding", "gzip"}, {"content-type", NULL},
    {"content-length", NULL},  {"origin", NULL},   {"referer", NULL},         {"cookie", NULL},            {"sec-fetch-dest", "document"},
    {"priority", "u=0, i"},    {"te", "trailers"},
};
static const tr_profile_header_t firefox_h1[] = {
    {"Host", NULL},           {"User-Agent", "firefox"}, {"Accept", "html"},            {"Accept-Encoding", "gzip"}, {"Content-Type", NULL},
    {"Content-Length", NULL}, {"Origin", NULL},          {"Connection", "keep-alive"},  {"Cookie", NULL},            {"Priority", "u=0, i"},
};
/* An application: no places known. */
static const tr_profile_header_t plain[] = {{"user-agent", "okhttp"}, {"accept-encoding", "gzip"}, {"accept", "*"}};

static const tr_profile_t chromium = {.h2_headers = chromium_h2,
                                      .num_h2_headers = TR_ARRAY_LEN(chromium_h2),
                                      .h1_headers = chromium_h1,
                                      .num_h1_headers = TR_ARRAY_LEN(chromium_h1)};
static const tr_profile_t firefox = {.h2_headers = firefox_h2,
                                     .num_h2_headers = TR_ARRAY_LEN(firefox_h2),
                                     .h1_headers = firefox_h1,
                                     .num_h1_headers = TR_ARRAY_LEN(firefox_h1)};
static const tr_profile_t application = {.h2_headers = plain, .num_h2_headers = 3, .h1_headers = plain, .num_h1_headers = 3};
static const tr_profile_t empty_profile = {.id = "none"};

static tr_compose_t
request(const tr_profile_t *profile, bool http2, const char *method)
{
    return (tr_compose_t){.profile = profile, .http2 = http2, .method = tr_slice_cstr(method), .authority = TR_SLICE_LIT("a.test:8443")};
}

static tr_code_t
compose(const tr_compose_t *in, char *text, size_t cap, bool values)
{
    tr_arena_t arena;
    tr_err_t err = TR_ERR_INIT;
    tr_field_t *fields;
    size_t num, n = 0;
    tr_arena_init(&arena);
    text[0] = '\0';
    tr_code_t code = tr_compose_fields(in, &arena, &fields, &num, &err);
    TR_CHECK_INT(err.code, code);
    for (size_t i = 0; code == TR_OK && i < num; i++) {
        n += (size_t)snprintf(text + n, cap - n, "%s%.*s%s%.*s", i > 0 ? " " : "", (int)fields[i].name.len, (const char *)fields[i].name.data,
                              values ? "=" : "", values ? (int)fields[i].value.len : 0, (const char *)fields[i].value.data);
        TR_CHECK(n < cap);
    }
    tr_arena_cleanup(&arena);
    return code;
}

#define CHECK_NAMES(in, expected) check_text(in, expected, false, __LINE__)
#define CHECK_FIELDS(in, expected) check_text(in, expected, true, __LINE__)

static void
check_text(const tr_compose_t *in, const char *expected, bool values, int line)
{
    static char text[65536];
    tr_code_t code = compose(in, text, sizeof(text), values);
    if (code == TR_ERR_NOMEM && tr_test_oom_running()) {
        return;
    }
    if (code != TR_OK || strcmp(text, expected) != 0) {
        tr_test_fail(__FILE__, line, "%s: \"%s\", not \"%s\"", tr_err_name(code), text, expected);
    }
}

/* Seen with real browsers, whose fields these are in short: over plain http to other machines. */
TR_TEST(compose_plain_http, "/client/compose/plain_http")
{
    static const tr_profile_header_t fields[] = {
        {"Host", NULL},           {"sec-ch-ua", "ua"},          {"sec-ch-ua-platform", "p"}, {"User-Agent", "a browser"}, {"Sec-Fetch-Site", "none"},
        {"Sec-Fetch-Dest", "document"}, {"Accept-Encoding", "gzip, deflate, br, zstd"}, {"Priority", "u=0, i"},
    };
    static const tr_profile_kind_t kinds[TR_KIND_COUNT] = {{0}};
    const tr_profile_t browser = {.h1_headers = fields, .num_h1_headers = TR_ARRAY_LEN(fields), .kinds = kinds};
    const tr_profile_t library = {.h1_headers = fields, .num_h1_headers = TR_ARRAY_LEN(fields)};
    tr_compose_t in = request(&browser, false, "GET");
    in.untrustworthy = true;
    CHECK_FIELDS(&in, "Host=a.test:8443 User-Agent=a browser Accept-Encoding=gzip, deflate Priority=u=0, i");
    tr_field_t own[] = {F("sec-fetch-site", "mine"), F("Sec-CH-UA", "mine"), F("accept-encoding", "br")};
    in.headers = own;
    in.num_headers = TR_ARRAY_LEN(own);
    CHECK_FIELDS(&in, "Host=a.test:8443 sec-ch-ua=mine User-Agent=a browser Sec-Fetch-Site=mine Accept-Encoding=br Priority=u=0, i");
    in = request(&library, false, "GET");
    in.untrustworthy = true;
    CHECK_NAMES(&in, "Host sec-ch-ua sec-ch-ua-platform User-Agent Sec-Fetch-Site Sec-Fetch-Dest Accept-Encoding Priority");
}

TR_TEST(compose_navigation, "/client/compose/navigation")
{
    tr_compose_t in = request(&chromium, true, "GET");
    CHECK_FIELDS(&in, "sec-ch-ua=ua sec-ch-ua-mobile=?0 sec-ch-ua-platform=p upgrade-insecure-requests=1 user-agent=chromium accept=html "
                      "sec-fetch-site=none sec-fetch-mode=navigate sec-fetch-user=?1 sec-fetch-dest=document accept-encoding=gzip "
                      "accept-language=en priority=u=0, i");
    in = request(&chromium, false, "GET");
    CHECK_FIELDS(&in, "Host=a.test:8443 Connection=keep-alive sec-ch-ua=ua User-Agent=chromium Accept=html Accept-Encoding=gzip Accept-Language=en");
    in = request(&firefox, true, "GET");
    in.cookie = TR_SLICE_LIT("a=1; b=2");
    CHECK_FIELDS(&in, "user-agent=firefox accept=html accept-language=en accept-encoding=gzip cookie=a=1; b=2 sec-fetch-dest=document "
                      "priority=u=0, i te=trailers");
    in = request(&empty_profile, false, "GET");
    CHECK_FIELDS(&in, "Host=a.test:8443");
    in.http2 = true;
    CHECK_FIELDS(&in, "");
}

TR_TEST(compose_redirected, "/client/compose/redirected")
{
    tr_profile_t profile = chromium;
    profile.flags = TR_PROFILE_REDIRECT_MOVES_HINTS;
    tr_compose_t in = request(&profile, true, "GET");
    CHECK_FIELDS(&in, "sec-ch-ua=ua sec-ch-ua-mobile=?0 sec-ch-ua-platform=p upgrade-insecure-requests=1 user-agent=chromium accept=html "
                      "sec-fetch-site=none sec-fetch-mode=navigate sec-fetch-user=?1 sec-fetch-dest=document accept-encoding=gzip "
                      "accept-language=en priority=u=0, i");
    in.redirected = true;
    CHECK_FIELDS(&in, "upgrade-insecure-requests=1 user-agent=chromium accept=html sec-fetch-site=none sec-fetch-mode=navigate "
                      "sec-fetch-user=?1 sec-fetch-dest=document sec-ch-ua=ua sec-ch-ua-mobile=?0 sec-ch-ua-platform=p accept-encoding=gzip "
                      "accept-language=en priority=u=0, i");
    /* Without that field (an older browser's) there is no such place: nothing moves and nothing is lost. */
    in.http2 = false;
    CHECK_NAMES(&in, "Host Connection sec-ch-ua User-Agent Accept Accept-Encoding Accept-Language");
    in = request(&chromium, true, "GET");
    in.redirected = true;
    CHECK_NAMES(&in, "sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform upgrade-insecure-requests user-agent accept sec-fetch-site sec-fetch-mode "
                     "sec-fetch-user sec-fetch-dest accept-encoding accept-language priority");
}

/* The orders of the captures' form_post_by_script and of a page's own fields. */
TR_TEST_OOM(compose_post, "/client/compose/post")
{
    static const tr_field_t fields[] = {F("X-Custom", "one"), F("Origin", "o"), F("x-two", "2"), F("Referer", "r"), F("Accept", "json")};
    tr_compose_t in = request(&chromium, true, "POST");
    in.has_body = true;
    in.body_len = 15;
    in.body_type = TR_SLICE_LIT("form");
    in.cookie = TR_SLICE_LIT("a=1");
    CHECK_NAMES(&in, "content-length sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform upgrade-insecure-requests content-type user-agent accept "
                     "sec-fetch-site sec-fetch-mode sec-fetch-user sec-fetch-dest accept-encoding accept-language cookie priority");
    in.headers = fields;
    in.num_headers = TR_ARRAY_LEN(fields);
    in.authorization = TR_SLICE_LIT("Basic eA==");
    CHECK_FIELDS(&in, "content-length=15 authorization=Basic eA== x-custom=one x-two=2 sec-ch-ua=ua sec-ch-ua-mobile=?0 sec-ch-ua-platform=p "
                      "upgrade-insecure-requests=1 content-type=form user-agent=chromium origin=o accept=json sec-fetch-site=none "
                      "sec-fetch-mode=navigate sec-fetch-user=?1 sec-fetch-dest=document referer=r accept-encoding=gzip accept-language=en "
                      "cookie=a=1 priority=u=0, i");
    in.profile = &firefox;
    CHECK_FIELDS(&in, "user-agent=firefox accept=json accept-language=en accept-encoding=gzip content-type=form x-custom=one x-two=2 "
                      "authorization=Basic eA== content-length=15 origin=o referer=r cookie=a=1 sec-fetch-dest=document priority=u=0, i te=trailers");
    in.http2 = false;
    CHECK_NAMES(&in, "Host User-Agent Accept Accept-Encoding Content-Type X-Custom x-two Referer Authorization Content-Length Origin Connection "
                     "Cookie Priority");
    in.profile = &chromium;
    CHECK_NAMES(&in, "Host Connection Content-Length Authorization X-Custom x-two Referer sec-ch-ua Content-Type User-Agent Origin Accept "
                     "Accept-Encoding Accept-Language Cookie");
    in.profile = &application;
    CHECK_NAMES(&in, "Host user-agent Content-Length Authorization X-Custom Origin x-two Referer Content-Type accept-encoding accept Cookie");
}

TR_TEST(compose_overrides, "/client/compose/overrides")
{
    static const tr_field_t fields[] = {F("ACCEPT", "a"), F("x-b", "1"), REMOVED("sec-ch-ua"), F("accept", "b"), F("X-B", "2"),
                                        REMOVED("x-none"), F("content-length", "99"), F("Transfer-Encoding", "chunked"), F("Host", "other"),
                                        F("Connection", "close"), F("TE", "gzip"), F("upgrade", "h2c"), REMOVED("accept-language")};
    tr_compose_t in = request(&chromium, false, "GET");
    in.headers = fields;
    in.num_headers = TR_ARRAY_LEN(fields);
    CHECK_FIELDS(&in, "Host=other Connection=close x-b=1 X-B=2 TE=gzip Upgrade=h2c User-Agent=chromium Accept=a Accept=b Accept-Encoding=gzip");
    in.http2 = true;
    CHECK_FIELDS(&in, "x-b=1 x-b=2 sec-ch-ua-mobile=?0 sec-ch-ua-platform=p upgrade-insecure-requests=1 user-agent=chromium accept=a accept=b "
                      "sec-fetch-site=none sec-fetch-mode=navigate sec-fetch-user=?1 sec-fetch-dest=document accept-encoding=gzip priority=u=0, i");
}

TR_TEST(compose_length, "/client/compose/length")
{
    static const char *const zero[] = {"POST", "PUT", "PATCH"};
    static const char *const none[] = {"GET", "HEAD", "DELETE", "OPTIONS", "post"};
    tr_compose_t in;
    for (size_t i = 0; i < TR_ARRAY_LEN(zero); i++) {
        in = request(&empty_profile, true, zero[i]);
        CHECK_FIELDS(&in, "content-length=0");
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(none); i++) {
        in = request(&empty_profile, true, none[i]);
        CHECK_FIELDS(&in, "");
    }
    in = request(&empty_profile, true, "GET");
    in.has_body = true;
    in.body_len = INT64_MAX;
    CHECK_FIELDS(&in, "content-length=9223372036854775807");
    in.body_len = -1;
    CHECK_FIELDS(&in, "");
}

TR_TEST_OOM(compose_cookies, "/client/compose/cookies")
{
    static const tr_field_t fields[] = {F("cookie", "x=1"), F("Cookie", "y=2")};
    static const tr_field_t removed[] = {REMOVED("Cookie")};
    tr_compose_t in = request(&firefox, false, "GET");
    in.cookie = TR_SLICE_LIT("z=3");
    in.headers = fields;
    in.num_headers = 2;
    CHECK_FIELDS(&in, "Host=a.test:8443 User-Agent=firefox Accept=html Accept-Encoding=gzip Connection=keep-alive Cookie=x=1; y=2; z=3 Priority=u=0, i");
    in.cookie = TR_SLICE_NULL;
    in.exact = true;
    CHECK_FIELDS(&in, "Host=a.test:8443 Cookie=x=1; y=2");
    in.cookie = TR_SLICE_LIT("z=3");
    in.headers = removed;
    in.num_headers = 1;
    CHECK_FIELDS(&in, "Host=a.test:8443");
}

TR_TEST_OOM(compose_exact, "/client/compose/exact")
{
    static const tr_field_t fields[] = {F("X-First", "1"), F("user-agent", "me"), F("ACCEPT", "*"), F("x-last", "2"), REMOVED("a")};
    tr_compose_t in = request(&chromium, false, "POST");
    in.exact = true;
    in.headers = fields;
    in.num_headers = TR_ARRAY_LEN(fields);
    in.has_body = true;
    in.body_len = 3;
    in.body_type = TR_SLICE_LIT("t");
    in.cookie = TR_SLICE_LIT("c=1");
    CHECK_NAMES(&in, "Host Content-Length X-First Content-Type User-Agent ACCEPT x-last Cookie");
    in.http2 = true;
    CHECK_FIELDS(&in, "content-length=3 x-first=1 content-type=t user-agent=me accept=* x-last=2 cookie=c=1");
    in.profile = &firefox;
    CHECK_NAMES(&in, "x-first user-agent accept content-type x-last content-length cookie");
    in.num_headers = 0;
    CHECK_NAMES(&in, "content-type content-length cookie");
}

TR_TEST_OOM(compose_order, "/client/compose/order")
{
    static const tr_field_t fields[] = {F("b", "1"), F("a", "2"), F("B", "3")};
    static const char *const order[] = {"Accept", "B", "missing", "COOKIE", "host"};
    tr_compose_t in = request(&firefox, false, "GET");
    in.headers = fields;
    in.num_headers = 3;
    in.order = order;
    in.num_order = TR_ARRAY_LEN(order);
    in.cookie = TR_SLICE_LIT("c=1");
    CHECK_NAMES(&in, "Host Accept b B Cookie User-Agent Accept-Encoding a Connection Priority");
    in.http2 = true;
    in.exact = true;
    CHECK_NAMES(&in, "b b cookie a");
}

TR_TEST(compose_invalid, "/client/compose/invalid")
{
    static const tr_field_t bad[] = {F("a b", "1"), F("", "1"), F("a:", "1"), F(":path", "1"), F("a", "1\r\nb: 2"), F("a", "1\n"), REMOVED("a\n"),
                                     F("cookie", "a=1\r")};
    char text[1024];
    for (size_t i = 0; i < TR_ARRAY_LEN(bad); i++) {
        tr_compose_t in = request(&chromium, i % 2 == 0, "GET");
        in.headers = &bad[i];
        in.num_headers = 1;
        TR_CHECK_INT(compose(&in, text, sizeof(text), true), TR_ERR_HEADER_INVALID);
    }
    tr_compose_t in = request(&chromium, true, "GET");
    in.cookie = TR_SLICE_LIT("a=1\n");
    TR_CHECK_INT(compose(&in, text, sizeof(text), true), TR_ERR_HEADER_INVALID);
    in = request(&chromium, true, "GET");
    in.body_type = TR_SLICE_LIT("a\n");
    TR_CHECK_INT(compose(&in, text, sizeof(text), true), TR_ERR_HEADER_INVALID);
    static tr_field_t many[TR_HTTP_MAX_HEADER_FIELDS + 1];
    for (size_t i = 0; i < TR_ARRAY_LEN(many); i++) {
        many[i] = (tr_field_t)F("x-many", "1");
    }
    in = request(&chromium, true, "GET");
    in.headers = many;
    in.num_headers = TR_ARRAY_LEN(many);
    TR_CHECK_INT(compose(&in, text, sizeof(text), true), TR_ERR_HEADER_INVALID);
}

/* A fetch as chromium_156_linux.json has it (fetch_post_json), values short. */
static const tr_profile_header_t fetch_h2[] = {
    {"content-length", NULL},     {"sec-ch-ua-platform", tr_profile_same}, {"user-agent", tr_profile_same},
    {"sec-ch-ua", tr_profile_same}, {"content-type", NULL},                {"sec-ch-ua-mobile", tr_profile_same},
    {"accept", "*/*"},            {"origin", NULL},                        {"sec-fetch-site", "same-origin"},
    {"sec-fetch-mode", "cors"},   {"sec-fetch-dest", "empty"},             {"referer", NULL},
    {"accept-encoding", tr_profile_same}, {"dnt", tr_profile_same},        {"cookie", NULL},
    {"priority", "u=1, i"},
};
static const tr_profile_kind_t kinds[TR_KIND_COUNT] = {
    [TR_KIND_FETCH] = {fetch_h2, TR_ARRAY_LEN(fetch_h2), NULL, 0, 220},
};

TR_TEST_OOM(compose_kind, "/client/compose/kind")
{
    static const tr_field_t own[] = {F("X-Own", "1"), F("Referer", "mine"), REMOVED("origin")};
    tr_profile_t profile = chromium;
    profile.kinds = kinds;
    tr_compose_t in = request(&profile, true, "POST");
    in.kind = TR_KIND_FETCH;
    in.site = "cross-site";
    in.origin = TR_SLICE_LIT("o");
    in.referer = TR_SLICE_LIT("r");
    in.has_body = true;
    in.body_len = 2;
    in.body_type = TR_SLICE_LIT("json");
    in.cookie = TR_SLICE_LIT("a=1");
    CHECK_FIELDS(&in, "content-length=2 sec-ch-ua-platform=p user-agent=chromium sec-ch-ua=ua content-type=json sec-ch-ua-mobile=?0 accept=*/* "
                      "origin=o sec-fetch-site=cross-site sec-fetch-mode=cors sec-fetch-dest=empty referer=r accept-encoding=gzip cookie=a=1 "
                      "priority=u=1, i");
    in.headers = own;
    in.num_headers = TR_ARRAY_LEN(own);
    CHECK_NAMES(&in, "content-length x-own sec-ch-ua-platform user-agent sec-ch-ua content-type sec-ch-ua-mobile accept sec-fetch-site "
                     "sec-fetch-mode sec-fetch-dest referer accept-encoding cookie priority");
    /* Nothing beside the caller's: no page either. */
    in.exact = true;
    CHECK_FIELDS(&in, "content-length=2 x-own=1 content-type=json referer=mine cookie=a=1");
    in.exact = false;
    in.headers = NULL;
    in.num_headers = 0;
    /* An older version: its navigation has neither priority nor sec-fetch-*, nor client hints. */
    profile.h2_headers = plain;
    profile.num_h2_headers = TR_ARRAY_LEN(plain);
    CHECK_NAMES(&in, "content-length user-agent content-type accept origin referer accept-encoding cookie");
    /* A kind without a table is like a navigation. */
    in.kind = TR_KIND_IMAGE;
    in.has_body = false;
    in.body_type = in.origin = TR_SLICE_NULL;
    in.method = TR_SLICE_LIT("GET");
    CHECK_NAMES(&in, "user-agent referer accept-encoding accept cookie");
}

/* A profile that was never seen opening a WebSocket sends what RFC 6455 asks for, with what it says of itself. */
TR_TEST(compose_plain_handshake, "/client/compose/handshake_without_a_capture")
{
    static const tr_profile_header_t rows[] = {{"Host", NULL}, {"User-Agent", "me"}, {"Accept-Encoding", "gzip"}, {"Cookie", NULL}};
    tr_profile_t profile = {.id = "plain", .h1_headers = rows, .num_h1_headers = TR_ARRAY_LEN(rows)};
    tr_arena_t arena;
    tr_err_t err = TR_ERR_INIT;
    tr_field_t *fields;
    size_t num;
    char text[512];
    size_t len = 0;
    tr_arena_init(&arena);
    tr_compose_t in = {.profile = &profile,
                       .method = TR_SLICE_LIT("GET"),
                       .authority = TR_SLICE_LIT("a.test"),
                       .kind = TR_KIND_WEBSOCKET,
                       .cookie = TR_SLICE_LIT("a=1"),
                       .origin = TR_SLICE_LIT("http://a.test"),
                       .websocket_key = TR_SLICE_LIT("KEY")};
    TR_CHECK_INT(tr_compose_fields(&in, &arena, &fields, &num, &err), TR_OK);
    for (size_t i = 0; i < num; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%.*s: %.*s\n", (int)fields[i].name.len, (const char *)fields[i].name.data,
                                (int)fields[i].value.len, (const char *)fields[i].value.data);
    }
    TR_CHECK_SLICE(tr_slice(text, len), "Host: a.test\nConnection: Upgrade\nUpgrade: websocket\nUser-Agent: me\nOrigin: http://a.test\n"
                                        "Sec-WebSocket-Version: 13\nAccept-Encoding: gzip\nCookie: a=1\nSec-WebSocket-Key: KEY\n"
                                        "Sec-WebSocket-Extensions: permessage-deflate\n");
    tr_arena_cleanup(&arena);
}
