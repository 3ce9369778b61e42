#include <pthread.h>

#include "client/cookie_parse.h"
#include "client/cookiejar.h"
#include "client/psl.h"
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
        {"a=1\t2", "a=1\t2"},
        {"a=1; SameSite=None", ""},
        {"a=1; SameSite=None; Secure", "a=1"},
        {"a=1; SameSite=None; SameSite=Lax", "a=1"},
        {"a=1; SameSite=Strict", "a=1"},
        {"a=1; SameSite=nonsense", "a=1"},
        {"a=1; Unknown=x; Partitioned; Priority=High", "a=1"},
        {"a=1, b=2", "a=1, b=2"},
        {"a=1;Path=/;Path=", "a=1"},
        {"a=1; Domain=example.com; Domain=", "a=1"},
        {"a=\xe9\xff", "a=\xe9\xff"},
        {"=a=b", "a=b"},
        {" ; Path=/", ""},
        {"a =1", "a=1"},
        {"a b=1", "a b=1"},
        {"a=1; Max-Age=-", "a=1"}, /* no number */
        {"a=1; Max-Age=+5", "a=1"},
        {"a=1; Max-Age=5x", "a=1"},
        {"a=1; Max-Age=0; Max-Age=5", "a=1"},
        {"a=1; Max-Age=5; Max-Age=0", ""},
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
    TR_CHECK_INT(tr_cookiejar_remove(f.jar, TR_SLICE_LIT("dom"), TR_SLICE_NULL, TR_SLICE_LIT("/x"), TR_COOKIE_ANY_SCOPE), 0);
    TR_CHECK_INT(tr_cookiejar_remove(f.jar, TR_SLICE_NULL, TR_SLICE_LIT("EXAMPLE.com"), TR_SLICE_NULL, TR_COOKIE_OF_HOST), 1);
    TR_CHECK_INT(tr_cookiejar_remove(f.jar, TR_SLICE_NULL, TR_SLICE_LIT("EXAMPLE.com"), TR_SLICE_NULL, TR_COOKIE_OF_HOST), 0);
    TR_CHECK_INT(tr_cookiejar_remove(f.jar, TR_SLICE_NULL, TR_SLICE_LIT("EXAMPLE.com"), TR_SLICE_NULL, TR_COOKIE_OF_DOMAIN), 1);
    TR_CHECK_INT(tr_cookiejar_remove(f.jar, TR_SLICE_NULL, TR_SLICE_NULL, TR_SLICE_NULL, TR_COOKIE_ANY_SCOPE), 1);
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
    for (int i = 0; i < TR_COOKIE_MAX_PER_SITE - 2; i++) {
        (void)snprintf(text, sizeof(text), "n%d=1", i);
        receive(&f, "https://a.test/", text);
    }
    TR_CHECK_INT(tr_cookiejar_len(f.jar), TR_COOKIE_MAX_PER_SITE);
    receive(&f, "https://a.test/", "more=1");
    TR_CHECK_INT(tr_cookiejar_len(f.jar), TR_COOKIE_MAX_PER_SITE);
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

/* Subdomains count together; what lies below a public suffix does not. */
TR_TEST(cookiejar_sites, "/client/cookiejar/sites")
{
    fixture_t f;
    char url[64];
    fixture_init(&f);
    receive(&f, "https://bank.test/", "mine=1");
    receive(&f, "https://co.uk/", "suffix=1");
    for (int i = 0; i < 2 * TR_COOKIE_MAX_PER_SITE; i++) {
        (void)snprintf(url, sizeof(url), "https://h%d.evil.co.uk/", i);
        receive(&f, url, "x=1");
    }
    TR_CHECK_INT(tr_cookiejar_len(f.jar), TR_COOKIE_MAX_PER_SITE + 2);
    CHECK_HEADER(&f, "https://h0.evil.co.uk/", "");
    CHECK_HEADER(&f, "https://h359.evil.co.uk/", "x=1");
    for (int i = 0; i < 2 * TR_COOKIE_MAX_PER_SITE; i++) {
        (void)snprintf(url, sizeof(url), "https://user%d.github.io/", i);
        receive(&f, url, "x=1");
    }
    TR_CHECK_INT(tr_cookiejar_len(f.jar), 3 * TR_COOKIE_MAX_PER_SITE + 2);
    receive(&f, "https://co.uk/", "suffix2=1"); /* the suffix itself is one host, not all of what is below it */
    TR_CHECK_INT(tr_cookiejar_len(f.jar), 3 * TR_COOKIE_MAX_PER_SITE + 3);
    for (int i = 0; i < 2 * TR_COOKIE_MAX_PER_SITE; i++) {
        (void)snprintf(url, sizeof(url), "n%d=1", i);
        receive(&f, "http://10.0.0.1/", url);
    }
    TR_CHECK_INT(tr_cookiejar_len(f.jar), 4 * TR_COOKIE_MAX_PER_SITE + 3);
    CHECK_HEADER(&f, "https://bank.test/", "mine=1");
    fixture_cleanup(&f);
}

/* What leaves first: the expired, then those without Secure, each time the one that was not used for longest. */
TR_TEST(cookiejar_eviction, "/client/cookiejar/eviction")
{
    fixture_t f;
    char text[64];
    fixture_init(&f);
    receive(&f, "https://a.test/", "secure=1; Secure; Path=/secure");
    receive(&f, "https://a.test/", "used=1; Path=/used");
    receive(&f, "https://a.test/", "old=1; Path=/old");
    receive(&f, "https://a.test/", "short=1; Path=/short; Secure; Max-Age=10");
    for (int i = 0; i < TR_COOKIE_MAX_PER_SITE - 4; i++) {
        (void)snprintf(text, sizeof(text), "n%d=1; Path=/n", i);
        receive(&f, "https://a.test/", text);
    }
    CHECK_HEADER(&f, "https://a.test/used", "used=1");
    receive_at(&f, "https://a.test/", "x1=1; Path=/x", NOW + 10);
    TR_CHECK_SLICE(tr_slice_cstr(header_at(&f, "https://a.test/short", NOW)), "");
    CHECK_HEADER(&f, "https://a.test/old", "old=1"); /* which is a use */
    receive(&f, "https://a.test/", "x2=1; Path=/x");
    TR_CHECK(strncmp(header_at(&f, "https://a.test/n", NOW), "n1=1; n2=1; ", 12) == 0);
    for (int i = 0; i < TR_COOKIE_MAX_PER_SITE; i++) {
        (void)snprintf(text, sizeof(text), "y%d=1; Path=/y; Secure", i);
        receive(&f, "https://a.test/", text);
    }
    CHECK_HEADER(&f, "https://a.test/old", "");
    CHECK_HEADER(&f, "https://a.test/x", "");
    TR_CHECK_INT(tr_cookiejar_len(f.jar), TR_COOKIE_MAX_PER_SITE);
    fixture_cleanup(&f);
}

TR_TEST(cookie_suffixes, "/client/cookiejar/suffixes")
{
    static const struct {
        const char *url, *domain;
        int kept; /* 0: refused, 1: for the host alone, 2: for the domain */
    } cases[] = {
        {"https://www.example.com/", "example.com", 2},
        {"https://www.example.com/", "com", 0},
        {"https://www.example.co.uk/", "co.uk", 0},
        {"https://www.example.co.uk/", ".CO.UK", 0},
        {"https://www.example.co.uk/", "example.co.uk", 2},
        {"https://co.uk/", "co.uk", 1},
        {"https://me.github.io/", "github.io", 0},
        {"https://me.github.io/", "me.github.io", 2},
        {"https://x.me.github.io/", "me.github.io", 2},
        {"https://github.io/", "github.io", 1},
        /* *.ck and !www.ck; *.kawasaki.jp and !city.kawasaki.jp */
        {"https://a.shop.ck/", "shop.ck", 0},
        {"https://a.b.shop.ck/", "b.shop.ck", 2},
        {"https://shop.ck/", "shop.ck", 1},
        {"https://a.www.ck/", "www.ck", 2},
        {"https://www.ck/", "www.ck", 2},
        {"https://www.ck/", "ck", 0},
        {"https://a.city.kawasaki.jp/", "city.kawasaki.jp", 2},
        {"https://a.other.kawasaki.jp/", "other.kawasaki.jp", 0},
        /* names in two scripts: the form that goes over the wire counts */
        {"https://a.xn--55qx5d.cn/", "xn--55qx5d.cn", 0},
        {"https://a.b.xn--55qx5d.cn/", "b.xn--55qx5d.cn", 2},
        {"https://a.xn--p1ai/", "xn--p1ai", 0},
        {"https://a.example.xn--p1ai/", "example.xn--p1ai", 2},
        {"https://www.xn--bcher-kva.example/", "xn--bcher-kva.example", 2},
        {"https://www.xn--bcher-kva.example/", "b\xc3\xbc" "cher.example", 0},
        {"https://www.xn--bcher-kva.example/", "www.xn--bcher-kva.example\xc2\xa0", 0},
        /* in no list: the last label is the suffix */
        {"https://a.b.unlisted/", "unlisted", 0},
        {"https://a.b.unlisted/", "b.unlisted", 2},
        {"https://localhost/", "localhost", 1},
        {"https://a.localhost/", "localhost", 0},
        {"https://10.1.2.3/", "10.1.2.3", 1},
        {"https://10.1.2.3/", "2.3", 0},
        {"https://[::1]/", "::1", 1},
        {"https://[::1]/", "[::1]", 0},
        {"https://www.example.com/", "..example.com", 0},
        {"https://www.example.com/", "example.com.", 0},
        {"https://www.example.com/", "*.example.com", 0},
        {"https://www.example.com/", "www", 0},
        {"https://www.example.com/", "example.com:443", 0},
        {"https://www.example.com/", ".", 1}, /* nothing is left of it: as without */
        {"https://a.co.uk./", "co.uk.", 0},
        {"https://a.com./", "com.", 0},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(cases); i++) {
        fixture_t f;
        char text[128], above[128];
        fixture_init(&f);
        (void)snprintf(text, sizeof(text), "a=1; Domain=%s", cases[i].domain);
        receive(&f, cases[i].url, text);
        int kept = strcmp(header_at(&f, cases[i].url, NOW), "a=1") == 0;
        if (kept == 1 && strchr(cases[i].url, '[') == NULL) {
            (void)snprintf(above, sizeof(above), "https://below.%s", cases[i].url + strlen("https://"));
            kept += strcmp(header_at(&f, above, NOW), "a=1") == 0;
        }
        if (kept != cases[i].kept) {
            tr_test_fail(__FILE__, __LINE__, "%s for \"%s\": %d", cases[i].url, cases[i].domain, kept);
        }
        fixture_cleanup(&f);
    }
    TR_CHECK_SLICE(tr_psl_site(TR_SLICE_LIT("a.b.example.co.uk")), "example.co.uk");
    TR_CHECK_SLICE(tr_psl_site(TR_SLICE_LIT("co.uk")), "co.uk");
    TR_CHECK_SLICE(tr_psl_site(TR_SLICE_LIT("10.0.0.1")), "10.0.0.1");
    TR_CHECK_SLICE(tr_psl_site(TR_SLICE_LIT("localhost")), "localhost");
    TR_CHECK_SLICE(tr_psl_site(TR_SLICE_LIT("")), "");
    /* without a list nobody sets cookies for others */
    TR_CHECK(tr_psl__is_suffix_in(NULL, TR_SLICE_LIT("example.com")));
    TR_CHECK(tr_psl_is_suffix(TR_SLICE_LIT("")) && tr_psl_is_suffix(TR_SLICE_LIT(".")));
}

/* The cookies of a request beside the jar's. */
TR_TEST_OOM(cookiejar_own, "/client/cookiejar/own")
{
    fixture_t f;
    tr_err_t err = TR_ERR_INIT;
    tr_buf_t out = TR_BUF_INIT;
    tr_url_t url;
    tr_code_t code = TR_OK;
    static const char *const received[] = {"a=jar; Path=/", "b=jar; Path=/; Domain=example.com", "c=jar; Path=/", "deep=jar; Path=/x"};
    const tr_cookie_t given = {.name = TR_SLICE_LIT("e"), .value = TR_SLICE_LIT("all"), .path = TR_SLICE_LIT("/")};
    const tr_slice_t host = TR_SLICE_LIT("www.example.com"), root = TR_SLICE_LIT("/");
    const tr_cookie_t own[] = {
        {.name = TR_SLICE_LIT("a"), .value = TR_SLICE_LIT("own"), .domain = host, .path = root, .flags = TR_COOKIE_HOST_ONLY},
        {.name = TR_SLICE_LIT("b"), .value = TR_SLICE_LIT("own"), .domain = host, .path = root, .flags = TR_COOKIE_HOST_ONLY},
        {.name = TR_SLICE_LIT("e"), .value = TR_SLICE_LIT("own"), .domain = host, .path = root, .flags = TR_COOKIE_HOST_ONLY},
        {.name = TR_SLICE_LIT("deep"), .value = TR_SLICE_LIT("own"), .domain = host, .path = TR_SLICE_LIT("/x/y")},
        {.name = TR_SLICE_LIT("away"), .value = TR_SLICE_LIT("own"), .domain = TR_SLICE_LIT("other.test"), .path = root},
        {.name = TR_SLICE_LIT("tls"), .value = TR_SLICE_LIT("own"), .domain = host, .path = root, .flags = TR_COOKIE_SECURE},
        {.name = TR_SLICE_LIT("c"), .value = TR_SLICE_LIT("jar"), .domain = host, .path = root, .flags = TR_COOKIE_ABSENT},
        {.name = TR_SLICE_LIT("b"), .value = TR_SLICE_LIT("other"), .domain = TR_SLICE_LIT("example.com"), .path = root, .flags = TR_COOKIE_ABSENT},
    };
    fixture_init(&f);
    code = f.jar == NULL ? TR_ERR_NOMEM : tr_url_parse(&url, &f.arena, TR_SLICE_LIT("http://www.example.com/x/y"), &err);
    for (size_t i = 0; i < TR_ARRAY_LEN(received) && code == TR_OK; i++) {
        code = tr_cookiejar_receive(f.jar, &url, tr_slice_cstr(received[i]), NOW);
    }
    if (code == TR_OK) {
        code = tr_cookiejar_set(f.jar, &given, &err);
    }
    if (code == TR_OK) {
        code = tr_cookiejar_header(f.jar, &out, &url, NOW, own, TR_ARRAY_LEN(own));
    }
    if (code == TR_OK) {
        TR_CHECK_SLICE(tr_buf_slice(&out), "deep=own; deep=jar; a=own; b=jar; e=own; b=own");
        tr_buf_clear(&out);
        code = tr_cookiejar_header(NULL, &out, &url, NOW, own, TR_ARRAY_LEN(own));
    }
    if (code == TR_OK) {
        TR_CHECK_SLICE(tr_buf_slice(&out), "deep=own; a=own; b=own; e=own");
        TR_CHECK_INT(tr_cookiejar_len(f.jar), 5);
    } else {
        TR_CHECK(tr_test_oom_running() && code == TR_ERR_NOMEM);
    }
    tr_buf_cleanup(&out);
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
            (void)tr_cookiejar_remove(f.jar, TR_SLICE_NULL, TR_SLICE_NULL, TR_SLICE_NULL, TR_COOKIE_ANY_SCOPE);
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
