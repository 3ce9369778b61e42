#include <pthread.h>

#include "client/cookie_parse.h"
#include "client/cookiejar.h"
#include "core/limits.h"
#include "tr_test.h"

#define NOW ((int64_t)1790000000) /* September 2026 */

typedef struct fixture {
    tr_arena_t arena;
    tr_cookiejar_t *jar;
    char text[65536];
} fixture_t;

static void
fixture_init(fixture_t *f)
{
    tr_arena_init(&f->arena);
    f->jar = tr_cookiejar_new();
    TR_CHECK(f->jar != NULL || tr_test_oom_running());
}

static void
fixture_cleanup(fixture_t *f)
{
    tr_cookiejar_unref(f->jar);
    tr_arena_cleanup(&f->arena);
}

static tr_url_t
url_of(fixture_t *f, const char *text)
{
    tr_url_t url;
    tr_err_t err = TR_ERR_INIT;
    memset(&url, 0, sizeof(url));
    TR_CHECK_OK(tr_url_parse(&url, &f->arena, tr_slice_cstr(text), &err), &err);
    return url;
}

static void
receive_at(fixture_t *f, const char *url_text, const char *set_cookie, int64_t now_s)
{
    tr_url_t url = url_of(f, url_text);
    TR_CHECK_INT(tr_cookiejar_receive(f->jar, &url, tr_slice_cstr(set_cookie), now_s), TR_OK);
}

static void
receive(fixture_t *f, const char *url_text, const char *set_cookie)
{
    receive_at(f, url_text, set_cookie, NOW);
}

static const char *
header_at(fixture_t *f, const char *url_text, int64_t now_s)
{
    tr_url_t url = url_of(f, url_text);
    tr_buf_t out = TR_BUF_INIT;
    TR_CHECK_INT(tr_cookiejar_header(f->jar, &out, &url, now_s, NULL, 0), TR_OK);
    TR_CHECK(out.len < sizeof(f->text));
    if (out.len > 0) {
        memcpy(f->text, out.data, out.len);
    }
    f->text[out.len] = '\0';
    tr_buf_cleanup(&out);
    return f->text;
}

#define CHECK_HEADER(f, url, expected) TR_CHECK_SLICE(tr_slice_cstr(header_at(f, url, NOW)), expected)

TR_TEST(cookie_dates, "/client/cookiejar/dates")
{
    static const struct {
        const char *text;
        int64_t expected; /* -1: refused */
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"08:49:37 6 november 1994", 784111777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Thu, 01-Jan-70 00:00:01 GMT", 1},
        {"Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
        {"1 Jan 69 0:0:0", 3124224000},
        {"Mon, 31 Dec 9999 23:59:59 GMT", 253402300799},
        {"1 Jan 1601 0:0:0", -11644473600},
        {"1 Jan 1600 0:0:0", -1},
        {"Tue, 29 Feb 2001 00:00:00 GMT", -1},
        {"32 Jan 2001 00:00:00", -1},
        {"0 Jan 2001 00:00:00", -1},
        {"1 Jan 2001 24:00:00", -1},
        {"1 Jan 2001 00:60:00", -1},
        {"1 Jan 2001 00:00:60", -1},
        {"1 Jan 2001", -1},
        {"1 Jan 00:00:00", -1},
        {"Jan 2001 00:00:00", -1},
        {"1 2001 00:00:00", -1},
        {"1 Jan 20010 00:00:00", -1},
        {"", -1},
        {"0", -1},
        {"1 Jan 2001 00:00:00junk", 978307200},
        {"1st Jan 2001 00:00:00", 978307200},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(cases); i++) {
        int64_t got = -2;
        bool ok = tr_cookie_date_parse(&got, tr_slice_cstr(cases[i].text));
        if (ok != (cases[i].expected != -1) || (ok && got != cases[i].expected)) {
            tr_test_fail(__FILE__, __LINE__, "\"%s\": %d %lld", cases[i].text, ok, (long long)got);
        }
    }
}

TR_TEST_OOM(cookiejar_basic, "/client/cookiejar/basic")
{
    tr_arena_t arena;
    tr_err_t err = TR_ERR_INIT;
    tr_url_t url;
    tr_buf_t out = TR_BUF_INIT;
    tr_arena_init(&arena);
    tr_cookiejar_t *jar = tr_cookiejar_new();
    tr_code_t code = jar == NULL ? TR_ERR_NOMEM : tr_url_parse(&url, &arena, TR_SLICE_LIT("https://a.example.com/x/y?q"), &err);
    if (code == TR_OK) {
        code = tr_cookiejar_receive(jar, &url, TR_SLICE_LIT("a=1; Path=/"), NOW);
    }
    if (code == TR_OK) {
        code = tr_cookiejar_receive(jar, &url, TR_SLICE_LIT("b=2; Domain=example.com"), NOW);
    }
    tr_cookie_t own = {.name = TR_SLICE_LIT("c"), .value = TR_SLICE_LIT("3")};
    if (code == TR_OK) {
        code = tr_cookiejar_set(jar, &own, &err);
    }
    char name[16];
    for (int i = 0; code == TR_OK && i < 100; i++) { /* more than fits the stack's list */
        (void)snprintf(name, sizeof(name), "n%d", i);
        own.name = tr_slice_cstr(name);
        code = tr_cookiejar_set(jar, &own, &err);
    }
    if (code == TR_OK) {
        code = tr_cookiejar_header(jar, &out, &url, NOW, NULL, 0);
    }
    if (code == TR_OK) {
        TR_CHECK(out.len > 20 && memcmp(out.data, "b=2; a=1; c=3; n0=3; ", 20) == 0);
        TR_CHECK_INT(tr_cookiejar_len(jar), 103);
    } else {
        TR_CHECK(tr_test_oom_running() && code == TR_ERR_NOMEM && out.len == 0);
    }
    tr_buf_cleanup(&out);
    tr_cookiejar_unref(jar);
    tr_arena_cleanup(&arena);
}

TR_TEST(cookiejar_parse, "/client/cookiejar/parse")
{
    static const struct {
        const char *set_cookie;
        const char *sent; /* to https://www.example.com/dir/page */
    } cases[] = {
        {"a=1", "a=1"},
        {"  a  =  1 2  ; Path=/", "a=1 2"},
        {"a=\"q\"", "a=\"q\""},
        {"a=b=c", "a=b=c"},
        {"a", "a"},
        {"=a", "a"},
        {"a=", "a="},
        {"=", ""},
        {"", ""},
        {";a=1", ""},
        {"a=1;;;secure;;", "a=1"},
        {"a=1; Path=/di", ""},
        {"a=1; Path=/dir", "a=1"},
        {"a=1; Path=/dir/", "a=1"},
        {"a=1; Path=/dir/page", "a=1"},
        {"a=1; Path=/dir/page/", ""},
        {"a=1; path=nonsense", "a=1"},
        {"a=1; Path=/x; Path=/", "a=1"},
        {"a=1; Domain=example.com", "a=1"},
        {"a=1; Domain=.EXAMPLE.com", "a=1"},
        {"a=1; Domain=www.example.com", "a=1"},
        {"a=1; Domain=", "a=1"},
        {"a=1; Domain", "a=1"},
        {"a=1; Domain=com", ""},
        {"a=1; Domain=.com", ""},
        {"a=1; Domain=ample.com", ""},
        {"a=1; Domain=example.org", ""},
        {"a=1; Domain=x.www.example.com", ""},
        {"a=1; Domain=example.org; Domain=example.com", "a=1"},
        {"a=1; Max-Age=0", ""},
        {"a=1; Max-Age=-1", ""},
        {"a=1; Max-Age=1", "a=1"},
        {"a=1; Max-Age=x", "a=1"},
        {"a=1; Max-Age=", "a=1"},
        {"a=1; Max-Age=99999999999999999999999", "a=1"},
        {"a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", ""},
        {"a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=5", "a=1"},
        {"a=1; Max-Age=0; Expires=Fri, 01 Jan 2100 00:00:00 GMT", ""},
        {"a=1; Expires=Fri, 01 Jan 2100 00:00:00 GMT", "a=1"},
        {"a=1; Expires=nonsense", "a=1"},
        {"a=1\x01", ""},
        {"a=1; x=\x7f", ""},
        {"a\t=\t1", "a=1"},
        {"__Secure-a=1", ""},
        {"__Secure-a=1; Secure", "__Secure-a=1"},
        {"__secure-a=1", ""},
        {"__Host-a=1; Secure", ""},
        {"__Host-a=1; Secure; Path=/", "__Host-a=1"},
        {"__Host-a=1; Secure; Path=/; Domain=www.example.com", ""},
        {"__HOST-a=1; Secure; Path=/dir", ""},
        {"=__Host-a=1", ""},
        {"__Secure-x", ""},
    };
    fixture_t f;
    for (size_t i = 0; i < TR_ARRAY_LEN(cases); i++) {
        fixture_init(&f);
        receive(&f, "https://www.example.com/dir/page", cases[i].set_cookie);
        const char *got = header_at(&f, "https://www.example.com/dir/page", NOW);
        if (strcmp(got, cases[i].sent) != 0) {
            tr_test_fail(__FILE__, __LINE__, "\"%s\" gives \"%s\"", cases[i].set_cookie, got);
        }
        TR_CHECK(tr_cookiejar_len(f.jar) <= 1);
        fixture_cleanup(&f);
    }
    /* limits */
    fixture_init(&f);
    char *big = calloc(1, 8192);
    TR_CHECK(big != NULL);
    memset(big, 'n', 4096);
    big[1] = '=';
    receive(&f, "https://a.test/", big); /* 1 + 4094 */
    TR_CHECK_INT(tr_cookiejar_len(f.jar), 1);
    big[4096] = big[4097] = 'n';
    receive(&f, "https://b.test/", big); /* 4097 */
    TR_CHECK_INT(tr_cookiejar_len(f.jar), 1);
    memcpy(big, "a=1; Path=/", 11);
    memset(big + 11, 'p', 1024); /* attribute of 1025 bytes: ignored */
    memcpy(big + 11 + 1024, "; Secure", 9);
    receive(&f, "https://c.test/", big);
    CHECK_HEADER(&f, "https://c.test/", "a=1");
    CHECK_HEADER(&f, "http://c.test/", "");
    free(big);
    fixture_cleanup(&f);
}

TR_TEST(cookiejar_where, "/client/cookiejar/where")
{
    fixture_t f;
    fixture_init(&f);
    CHECK_HEADER(&f, "https://www.example.com/", "");
    receive(&f, "https://www.example.com/a/b", "host=1");
    receive(&f, "https://www.example.com/a/b", "dom=1; Domain=example.com; Path=/");
    receive(&f, "https://www.example.com/", "sec=1; Secure");
    CHECK_HEADER(&f, "https://www.example.com/a/b", "host=1; dom=1; sec=1");
    CHECK_HEADER(&f, "https://www.example.com/a", "host=1; dom=1; sec=1");
    CHECK_HEADER(&f, "https://www.example.com/ab", "dom=1; sec=1");
    CHECK_HEADER(&f, "http://www.example.com:8080/", "dom=1");
    CHECK_HEADER(&f, "https://example.com/", "dom=1");
    CHECK_HEADER(&f, "https://x.y.example.com/", "dom=1");
    CHECK_HEADER(&f, "https://notexample.com/", "");
    CHECK_HEADER(&f, "https://com/", "");
    fixture_cleanup(&f);

    fixture_init(&f); /* addresses, short names */
    receive(&f, "http://127.0.0.1:8000/", "ip=1");
    receive(&f, "http://127.0.0.1/", "ip2=1; Domain=127.0.0.1");
    receive(&f, "http://127.0.0.1/", "bad=1; Domain=0.0.1");
    CHECK_HEADER(&f, "http://127.0.0.1/", "ip=1; ip2=1");
    CHECK_HEADER(&f, "http://1.127.0.0.1.example/", "");
    receive(&f, "http://[::1]:80/", "six=1");
    CHECK_HEADER(&f, "http://[::1]/", "six=1");
    receive(&f, "http://localhost/", "lo=1; Secure");
    receive(&f, "http://localhost/", "lo2=1; Domain=localhost");
    CHECK_HEADER(&f, "http://localhost/", "lo=1; lo2=1");
    CHECK_HEADER(&f, "http://a.localhost/", "");
    receive(&f, "http://intranet/", "in=1; Domain=intranet");
    CHECK_HEADER(&f, "http://intranet/", "in=1");
    CHECK_HEADER(&f, "http://a.intranet/", "");
    fixture_cleanup(&f);
}

TR_TEST(cookiejar_secure, "/client/cookiejar/secure")
{
    fixture_t f;
    fixture_init(&f);
    receive(&f, "http://www.example.com/", "a=http; Secure");
    TR_CHECK_INT(tr_cookiejar_len(f.jar), 0);
    receive(&f, "https://www.example.com/", "a=tls; Secure; Domain=example.com; Path=/login");
    /* "leave secure cookies alone" */
    receive(&f, "http://www.example.com/", "a=bad; Path=/login");
    receive(&f, "http://www.example.com/", "a=bad; Path=/login/en");
    receive(&f, "http://example.com/", "a=bad; Path=/login");
    receive(&f, "http://x.www.example.com/", "a=bad; Path=/login");
    receive(&f, "http://www.example.com/", "a=bad; Path=/login; Domain=example.com; Max-Age=0");
    TR_CHECK_INT(tr_cookiejar_len(f.jar), 1);
    CHECK_HEADER(&f, "https://www.example.com/login/en", "a=tls");
    receive(&f, "http://www.example.com/", "a=ok; Path=/");
    receive(&f, "http://www.example.com/", "b=ok; Path=/login");
    CHECK_HEADER(&f, "https://www.example.com/login", "a=tls; b=ok; a=ok");
    receive(&f, "https://www.example.com/", "a=new; Domain=example.com; Path=/login");
    CHECK_HEADER(&f, "http://www.example.com/login", "a=new; b=ok; a=ok");
    fixture_cleanup(&f);
}

TR_TEST(cookiejar_replace, "/client/cookiejar/replace")
{
    fixture_t f;
    fixture_init(&f);
    receive(&f, "https://a.test/", "one=1");
    receive(&f, "https://a.test/", "two=2");
    receive(&f, "https://a.test/", "one=3"); /* keeps its age */
    CHECK_HEADER(&f, "https://a.test/", "one=3; two=2");
    receive(&f, "https://a.test/", "one=4; Domain=a.test"); /* another cookie */
    CHECK_HEADER(&f, "https://a.test/", "one=3; two=2; one=4");
    receive(&f, "https://a.test/", "one=; Max-Age=0");
    CHECK_HEADER(&f, "https://a.test/", "two=2; one=4");
    receive_at(&f, "https://a.test/", "three=3; Max-Age=10", NOW);
    TR_CHECK_SLICE(tr_slice_cstr(header_at(&f, "https://a.test/", NOW + 9)), "two=2; one=4; three=3");
    TR_CHECK_SLICE(tr_slice_cstr(header_at(&f, "https://a.test/", NOW + 10)), "two=2; one=4");
    TR_CHECK_INT(tr_cookiejar_len(f.jar), 2);
    /* 400 days at most */
    receive(&f, "https://b.test/", "far=1; Max-Age=999999999");
    TR_CHECK_SLICE(tr_slice_cstr(header_at(&f, "https://b.test/", NOW + (int64_t)400 * 86400 - 1)), "far=1");
    TR_CHECK_SLICE(tr_slice_cstr(header_at(&f, "https://b.test/", NOW + (int64_t)400 * 86400)), "");
    fixture_cleanup(&f);
}

static bool
collect(void *arg, const tr_cookie_t *cookie)
{
    char *text = arg;
    size_t n = strlen(text);
    (void)snprintf(text + n, 512 - n, "%.*s@%.*s%.*s/%x/%lld ", (int)cookie->name.len, (const char *)cookie->name.data, (int)cookie->domain.len,
                   (const char *)cookie->domain.data, (int)cookie->path.len, (const char *)cookie->path.data, cookie->flags,
                   (long long)(cookie->expires_s == 0 ? 0 : cookie->expires_s - NOW));
    return !tr_slice_eq(cookie->name, TR_SLICE_LIT("stop"));
}

TR_TEST(cookiejar_caller, "/client/cookiejar/caller")
{
    fixture_t f;
    tr_err_t err = TR_ERR_INIT;
    char text[512] = "";
    fixture_init(&f);
    tr_cookie_t cookie = {.name = TR_SLICE_LIT("any"), .value = TR_SLICE_LIT("1")};
    TR_CHECK_OK(tr_cookiejar_set(f.jar, &cookie, &err), &err);
    cookie = (tr_cookie_t){.name = TR_SLICE_LIT("dom"), .value = TR_SLICE_LIT("2"), .domain = TR_SLICE_LIT(".Example.com"), .path = TR_SLICE_LIT("/p")};
    TR_CHECK_OK(tr_cookiejar_set(f.jar, &cookie, &err), &err);
    CHECK_HEADER(&f, "http://other.test/p", "any=1");
    CHECK_HEADER(&f, "http://www.example.com/p", "dom=2; any=1");
    CHECK_HEADER(&f, "http://www.example.com/q", "any=1");
    receive(&f, "https://example.com/", "r=3; HttpOnly; Secure; SameSite=Lax; Max-Age=5");
    tr_cookiejar_each(f.jar, NOW, collect, text);
    TR_CHECK_SLICE(tr_slice_cstr(text), "any@//0/0 dom@example.com/p/0/0 r@example.com//f/5 ");
    tr_slice_t skip[] = {TR_SLICE_LIT("any"), TR_SLICE_LIT("x")};
    tr_url_t url = url_of(&f, "https://example.com/p");
    tr_buf_t out = TR_BUF_INIT;
    TR_CHECK_INT(tr_cookiejar_header(f.jar, &out, &url, NOW, skip, 2), TR_OK);
    TR_CHECK_SLICE(tr_buf_slice(&out), "dom=2; r=3");
    tr_buf_cleanup(&out);
    TR_CHECK_INT(tr_cookiejar_remove(f.jar, TR_SLICE_LIT("dom"), TR_SLICE_NULL, TR_SLICE_LIT("/x")), 0);
    TR_CHECK_INT(tr_cookiejar_remove(f.jar, TR_SLICE_NULL, TR_SLICE_LIT("EXAMPLE.com"), TR_SLICE_NULL), 2);
    TR_CHECK_INT(tr_cookiejar_remove(f.jar, TR_SLICE_NULL, TR_SLICE_NULL, TR_SLICE_NULL), 1);
    TR_CHECK_INT(tr_cookiejar_len(f.jar), 0);
    static const char *const bad[] = {"a\r\nb", "a;b", "a=b", "a\x01"};
    for (size_t i = 0; i < TR_ARRAY_LEN(bad); i++) {
        cookie = (tr_cookie_t){.name = tr_slice_cstr(bad[i]), .value = TR_SLICE_LIT("1")};
        TR_CHECK_INT(tr_cookiejar_set(f.jar, &cookie, &err), TR_ERR_HEADER_INVALID);
    }
    cookie = (tr_cookie_t){.name = TR_SLICE_LIT("a"), .value = TR_SLICE_LIT("1\n")};
    TR_CHECK_INT(tr_cookiejar_set(f.jar, &cookie, &err), TR_ERR_HEADER_INVALID);
    cookie = (tr_cookie_t){.name = TR_SLICE_LIT(""), .value = TR_SLICE_LIT("")};
    TR_CHECK_INT(tr_cookiejar_set(f.jar, &cookie, &err), TR_ERR_INVALID_ARGUMENT);
    fixture_cleanup(&f);
}

TR_TEST(cookiejar_limits, "/client/cookiejar/limits")
{
    fixture_t f;
    char text[128];
    fixture_init(&f);
    receive(&f, "https://a.test/", "keep=1; Secure");
    receive(&f, "https://a.test/", "first=1");
    for (int i = 0; i < TR_COOKIE_MAX_PER_DOMAIN - 2; i++) {
        (void)snprintf(text, sizeof(text), "n%d=1", i);
        receive(&f, "https://a.test/", text);
    }
    TR_CHECK_INT(tr_cookiejar_len(f.jar), TR_COOKIE_MAX_PER_DOMAIN);
    receive(&f, "https://a.test/", "more=1");
    TR_CHECK_INT(tr_cookiejar_len(f.jar), TR_COOKIE_MAX_PER_DOMAIN);
    const char *sent = header_at(&f, "https://a.test/", NOW);
    TR_CHECK(strstr(sent, "keep=1") != NULL && strstr(sent, "first=1") == NULL && strstr(sent, "more=1") != NULL);
    for (int i = 0; i < TR_COOKIE_MAX_TOTAL; i++) {
        char url[64];
        (void)snprintf(url, sizeof(url), "https://h%d.test/", i);
        receive(&f, url, "x=1");
    }
    TR_CHECK_INT(tr_cookiejar_len(f.jar), TR_COOKIE_MAX_TOTAL);
    CHECK_HEADER(&f, "https://h3299.test/", "x=1");
    fixture_cleanup(&f);
}

static void *
hammer(void *arg)
{
    fixture_t f;
    f.jar = tr_cookiejar_ref(arg);
    tr_arena_init(&f.arena);
    for (int i = 0; i < 300; i++) {
        receive(&f, "https://a.test/", i % 3 == 0 ? "a=1" : i % 3 == 1 ? "b=2; Domain=a.test" : "a=; Max-Age=0");
        (void)header_at(&f, "https://a.test/", NOW);
        (void)tr_cookiejar_len(f.jar);
        if (i % 50 == 0) {
            (void)tr_cookiejar_remove(f.jar, TR_SLICE_NULL, TR_SLICE_NULL, TR_SLICE_NULL);
        }
    }
    fixture_cleanup(&f);
    return NULL;
}

TR_TEST(cookiejar_threads, "/client/cookiejar/threads")
{
    pthread_t threads[3];
    tr_cookiejar_t *jar = tr_cookiejar_new();
    TR_CHECK(jar != NULL);
    for (size_t i = 0; i < 3; i++) {
        TR_CHECK_INT(pthread_create(&threads[i], NULL, hammer, jar), 0);
    }
    for (size_t i = 0; i < 3; i++) {
        TR_CHECK_INT(pthread_join(threads[i], NULL), 0);
    }
    TR_CHECK(tr_cookiejar_len(jar) <= 2);
    tr_cookiejar_unref(jar);
}
