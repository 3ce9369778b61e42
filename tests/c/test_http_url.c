#include "core/limits.h"
#include "http/url.h"
#include "tr_test.h"

static tr_slice_t
text_of(tr_arena_t *arena, const tr_url_t *url)
{
    tr_slice_t text;
    TR_CHECK_INT(tr_url_text(&text, arena, url, true), TR_OK);
    TR_CHECK(text.data[text.len] == 0);
    return text;
}

/* text parses to the URL whose own text is expected, and that parses to itself. */
static void
check_parse(const char *text, const char *expected)
{
    tr_arena_t arena;
    tr_url_t url, again;
    tr_err_t err = TR_ERR_INIT;
    tr_arena_init(&arena);
    tr_code_t code = tr_url_parse(&url, &arena, tr_slice_cstr(text), &err);
    if (code != TR_OK) {
        tr_test_fail(__FILE__, __LINE__, "%s: %s %s", text, tr_err_name(code), err.msg);
    }
    TR_CHECK_SLICE(text_of(&arena, &url), expected);
    TR_CHECK_OK(tr_url_parse(&again, &arena, text_of(&arena, &url), &err), &err);
    TR_CHECK_SLICE(text_of(&arena, &again), expected);
    TR_CHECK(tr_url_same_origin(&url, &again));
    tr_arena_cleanup(&arena);
}

static void
check_refused(tr_slice_t text, tr_code_t expected)
{
    tr_arena_t arena;
    tr_url_t url;
    tr_err_t err = TR_ERR_INIT;
    tr_arena_init(&arena);
    tr_code_t code = tr_url_parse(&url, &arena, text, &err);
    if (code != expected || err.code != expected) {
        tr_test_fail(__FILE__, __LINE__, "%.*s gives %s, not %s", (int)TR_MIN(text.len, (size_t)100),
                     (const char *)text.data, tr_err_name(code), tr_err_name(expected));
    }
    tr_arena_cleanup(&arena);
}

TR_TEST_OOM(url_parts, "/http/url/parts")
{
    tr_arena_t arena;
    tr_url_t url;
    tr_err_t err = TR_ERR_INIT;
    tr_slice_t text;
    tr_arena_init(&arena);
    tr_code_t code = tr_url_parse(
        &url, &arena, TR_SLICE_LIT("HTTPS://us%20er:p@ss@Example.COM:8443/a b/%7e?q=\xc3\xa4&r#fr ag"), &err);
    code = code == TR_OK ? tr_url_text(&text, &arena, &url, false) : code;
    if (code != TR_OK) {
        TR_CHECK(tr_test_oom_running());
        tr_arena_cleanup(&arena);
        return;
    }
    TR_CHECK_SLICE(text, "https://example.com:8443/a%20b/%7e?q=%C3%A4&r#fr%20ag");
    TR_CHECK_SLICE(url.scheme, "https");
    TR_CHECK_SLICE(url.host, "example.com");
    TR_CHECK_INT(url.port, 8443);
    TR_CHECK(url.has_port && !url.host_is_ipv6 && tr_url_is_https(&url));
    TR_CHECK_SLICE(url.userinfo, "us%20er:p%40ss");
    TR_CHECK_SLICE(url.target, "/a%20b/%7e?q=%C3%A4&r");
    TR_CHECK_SLICE(url.path, "/a%20b/%7e");
    TR_CHECK_SLICE(url.fragment, "fr%20ag");
    TR_CHECK_SLICE(url.authority, "example.com:8443");
    tr_arena_cleanup(&arena);
}

TR_TEST(url_defaults, "/http/url/defaults")
{
    tr_arena_t arena;
    tr_url_t url;
    tr_err_t err = TR_ERR_INIT;
    tr_arena_init(&arena);
    TR_CHECK_OK(tr_url_parse(&url, &arena, TR_SLICE_LIT("http://h"), &err), &err);
    TR_CHECK_INT(url.port, 80);
    TR_CHECK(!url.has_port && !tr_url_is_https(&url));
    TR_CHECK_SLICE(url.target, "/");
    TR_CHECK_SLICE(url.path, "/");
    TR_CHECK_INT(url.userinfo.len + url.fragment.len, 0);
    TR_CHECK_OK(tr_url_parse(&url, &arena, TR_SLICE_LIT("https://h:443?q"), &err), &err);
    TR_CHECK_INT(url.port, 443);
    TR_CHECK(!url.has_port);
    TR_CHECK_SLICE(url.authority, "h");
    TR_CHECK_SLICE(url.target, "/?q");
    TR_CHECK_SLICE(url.path, "/");
    TR_CHECK_OK(tr_url_parse(&url, &arena, TR_SLICE_LIT("https://h:80#f"), &err), &err);
    TR_CHECK_INT(url.port, 80);
    TR_CHECK(url.has_port);
    TR_CHECK_SLICE(url.authority, "h:80");
    TR_CHECK_SLICE(url.target, "/");
    TR_CHECK_OK(tr_url_parse(&url, &arena, TR_SLICE_LIT("http://h:0/"), &err), &err);
    TR_CHECK_INT(url.port, 80);
    TR_CHECK(!url.has_port);
    TR_CHECK_OK(tr_url_parse(&url, &arena, TR_SLICE_LIT("http://h:/"), &err), &err);
    TR_CHECK_INT(url.port, 80);
    TR_CHECK_OK(tr_url_parse(&url, &arena, TR_SLICE_LIT("http://h:00065535/"), &err), &err);
    TR_CHECK_INT(url.port, 65535);
    TR_CHECK_OK(tr_url_parse(&url, &arena, TR_SLICE_LIT("http://[fe80::1%25eth0]:8080/"), &err), &err);
    TR_CHECK_SLICE(url.host, "fe80::1%eth0");
    TR_CHECK_SLICE(url.authority, "[fe80::1]:8080");
    TR_CHECK(url.host_is_ipv6);
    TR_CHECK_OK(tr_url_parse(&url, &arena, TR_SLICE_LIT("http://[0:0::1]/"), &err), &err);
    TR_CHECK_SLICE(url.host, "::1");
    TR_CHECK_SLICE(url.authority, "[::1]");
    tr_arena_cleanup(&arena);
}

TR_TEST(url_texts, "/http/url/texts")
{
    check_parse("http://example.com", "http://example.com/");
    check_parse("http://EXAMPLE.com.:80", "http://example.com./");
    check_parse("http://a_b.example/", "http://a_b.example/");
    check_parse("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x");
    check_parse("http://u@h/", "http://u@h/");
    check_parse("http://u:@h/", "http://u:@h/");
    check_parse("http://:p@h/", "http://:p@h/");
    check_parse("http://a@b@h/", "http://a%40b@h/");
    check_parse("http://@h/", "http://h/");
    check_parse("http://u:[p]|\xc3\xa4%2f%@h/", "http://u:%5Bp%5D%7C%C3%A4%2f%@h/");
    /* Dot segments of an absolute URL are the caller's. */
    check_parse("http://h/a/./b/../c//", "http://h/a/./b/../c//");
    check_parse("http://h/%41%zz%", "http://h/%41%zz%");
    check_parse("http://h/ \"<>`{}^\\|'[]?", "http://h/%20%22%3C%3E%60%7B%7D%5E%5C|'[]?");
    check_parse("http://h/? \"<>'`{}^\\|[]?/", "http://h/?%20%22%3C%3E%27`{}^\\|[]?/");
    check_parse("http://h/# \"<>`{}#'", "http://h/#%20%22%3C%3E%60{}#'");
    check_parse("http://h/\xe4", "http://h/%E4");
    check_parse("http://h#", "http://h/");
    check_parse("http://h/a:b@c", "http://h/a:b@c");
    check_parse("http://h?u@x:y/z", "http://h/?u@x:y/z");
    check_parse("http://[2001:DB8:0:0:1:0:0:1]/", "http://[2001:db8::1:0:0:1]/");
    check_parse("http://[::]/", "http://[::]/");
    check_parse("http://[::ffff:192.168.0.1]/", "http://[::ffff:c0a8:1]/");
    check_parse("http://[1:2:3:4:5:6:7:8]/", "http://[1:2:3:4:5:6:7:8]/");
    check_parse("http://[1::3:4:5:6:7:8]/", "http://[1:0:3:4:5:6:7:8]/");
    check_parse("http://[1:2:3:4:5:6:7::]/", "http://[1:2:3:4:5:6:7:0]/");
    check_parse("http://[1:2:3:4:5:6:1.2.3.4]/", "http://[1:2:3:4:5:6:102:304]/");
    check_parse("http://[FE80::1%25En-0.1_~]/", "http://[fe80::1%25En-0.1_~]/");
}

TR_TEST(url_refused, "/http/url/refused")
{
    static const char *const invalid[] = {
        "http://h:65536/",
        "http://h:99999999999999999999/",
        "http://h:-1/",
        "http://h:+1/",
        "http://h:8a/",
        "http://h: 80/",
        "http://h:80:80/",
        "http://a b/",
        "http://a%20b/",
        "http://%61/",
        "http://a<b/",
        "http://a>b/",
        "http://a\"b/",
        "http://a^b/",
        "http://a|b/",
        "http://a{b/",
        "http://a`b/",
        "http://a]b/",
        "http://a[b/",
        "http://..",
        "http://a..b/",
        "http://.a/",
        "http://a../",
        "http://b\xc3\xbc"
        "cher.example/",
        "http://\xff/",
        "http://h\\@evil.example/",
        "http://h\\evil/",
        "http://\\h/",
        "http://a\\b@h/",
        "http://[::1/",
        "http://::1/",
        "http://[::1]x/",
        "http://[::1]]/",
        "http://[]/",
        "http://[h]/",
        "http://[1.2.3.4]/",
        "http://[1]/",
        "http://[1:2:3:4:5:6:7]/",
        "http://[1:2:3:4:5:6:7:8:9]/",
        "http://[1:2:3:4:5:6:7:8::]/",
        "http://[1::2::3]/",
        "http://[:1::]/",
        "http://[:::]/",
        "http://[1:]/",
        "http://[12345::]/",
        "http://[g::]/",
        "http://[::1.2.3]/",
        "http://[::1.2.3.256]/",
        "http://[::1.2.3.04]/",
        "http://[1:2:3:4:5:6:7:1.2.3.4]/",
        "http://[::1.2.3.4:5]/",
        "http://[fe80::1%eth0]/",
        "http://[fe80::1%25]/",
        "http://[fe80::1%25a%41]/",
        "http://[fe80::1%25a/b]/",
        "http://[::1%2]/",
        "http://x[::1]/",
        "http://[::1]:x/",
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(invalid); i++) {
        check_refused(tr_slice_cstr(invalid[i]),
                      strcmp(invalid[i], "http://::1/") == 0 ? TR_ERR_URL_NO_HOST : TR_ERR_URL_INVALID);
    }
    static const char *const no_host[] = {"http://",         "http:///x", "http://:80/", "http://u@/",
                                          "http://u:p@:80/", "http:",     "https:x",     "http:/x",
                                          "http://?q",       "http://#f", "http://."};
    for (size_t i = 0; i < TR_ARRAY_LEN(no_host); i++) {
        check_refused(tr_slice_cstr(no_host[i]), TR_ERR_URL_NO_HOST);
    }
    static const char *const scheme[] = {"",
                                         "h",
                                         "/x",
                                         "//h/x",
                                         "example.com",
                                         "localhost:8080",
                                         "ftp://h/",
                                         "file:///etc/passwd",
                                         "javascript:x",
                                         "httpx://h/",
                                         "ht tp://h/",
                                         "://h/",
                                         "1http://h/",
                                         " http://h/",
                                         "data:,x",
                                         "gopher://h"};
    for (size_t i = 0; i < TR_ARRAY_LEN(scheme); i++) {
        check_refused(tr_slice_cstr(scheme[i]), TR_ERR_URL_SCHEME);
    }
    /* Control characters anywhere. */
    static const char *const places[] = {"?http://h/", "http?://h/",    "http://?h/",
                                         "http://h?/", "http://h:8?0/", "http://u?@h/",
                                         "http://h/?", "http://h/?q?",  "http://h/#?"};
    for (int c = 0; c < 0x21; c++) {
        for (size_t i = 0; i < TR_ARRAY_LEN(places); i++) {
            char text[40];
            size_t len = strlen(places[i]);
            memcpy(text, places[i], len);
            *(char *)memrchr(text, '?', len) = (char)(c == 0x20 ? 0x7f : c);
            check_refused(tr_slice(text, len), TR_ERR_URL_INVALID);
        }
    }
    /* Length. */
    char host[300] = "http://";
    memset(host + 7, 'a', 255);
    check_refused(tr_slice(host, 7 + 255), TR_ERR_URL_INVALID);
    char *text = malloc(TR_URL_MAX + 1);
    TR_CHECK(text != NULL);
    memset(text, 'a', TR_URL_MAX + 1);
    memcpy(text, "http://h/", 9);
    tr_arena_t arena;
    tr_url_t url;
    tr_arena_init(&arena);
    tr_code_t longest = tr_url_parse(&url, &arena, tr_slice(text, TR_URL_MAX), NULL);
    tr_code_t longer = tr_url_parse(&url, &arena, tr_slice(text, TR_URL_MAX + 1), NULL);
    tr_arena_cleanup(&arena);
    free(text);
    TR_CHECK_INT(longest, TR_OK);
    TR_CHECK_INT(longer, TR_ERR_URL_INVALID);
}

static void
check_resolve(const char *base_text, const char *reference, const char *expected)
{
    tr_arena_t base_arena, arena;
    tr_url_t base, url;
    tr_err_t err = TR_ERR_INIT;
    tr_arena_init(&base_arena);
    tr_arena_init(&arena);
    TR_CHECK_OK(tr_url_parse(&base, &base_arena, tr_slice_cstr(base_text), &err), &err);
    tr_code_t code = tr_url_resolve(&url, &arena, &base, tr_slice_cstr(reference), &err);
    tr_arena_cleanup(&base_arena); /* the result lends nothing of the base */
    if (code != TR_OK) {
        if (strcmp(tr_err_name(code), expected) != 0) {
            tr_test_fail(__FILE__, __LINE__, "%s: %s %s", reference, tr_err_name(code), err.msg);
        }
    } else {
        tr_slice_t text = text_of(&arena, &url);
        if (!tr_slice_eq(text, tr_slice_cstr(expected))) {
            tr_test_fail(__FILE__, __LINE__, "%s + %s is %s, not %s", base_text, reference, (const char *)text.data,
                         expected);
        }
    }
    tr_arena_cleanup(&arena);
}

/* RFC 3986 5.4, with http for the scheme. */
TR_TEST(url_resolve_rfc, "/http/url/resolve_rfc3986")
{
    static const char *const rows[][2] = {
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g/"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q#s"},
        {"g#s", "http://a/b/c/g#s"},
        {"g?y#s", "http://a/b/c/g?y#s"},
        {";x", "http://a/b/c/;x"},
        {"g;x", "http://a/b/c/g;x"},
        {"g;x?y#s", "http://a/b/c/g;x?y#s"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../", "http://a/"},
        {"../../g", "http://a/g"},
        {"../../../g", "http://a/g"},
        {"../../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {".g", "http://a/b/c/.g"},
        {"g..", "http://a/b/c/g.."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
        {"g;x=1/../y", "http://a/b/c/y"},
        {"g?y/./x", "http://a/b/c/g?y/./x"},
        {"g?y/../x", "http://a/b/c/g?y/../x"},
        {"g#s/./x", "http://a/b/c/g#s/./x"},
        {"g#s/../x", "http://a/b/c/g#s/../x"},
        {"g:h", "URL_SCHEME"},
        {"http:g", "URL_NO_HOST"},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        check_resolve("http://a/b/c/d;p?q", rows[i][0], rows[i][1]);
    }
}

TR_TEST(url_resolve, "/http/url/resolve_location")
{
    check_resolve("https://h:8443/a/b?q", "echo", "https://h:8443/a/echo");
    check_resolve("https://h", "echo", "https://h/echo");
    check_resolve("https://h/", "//other:1/x", "https://other:1/x");
    check_resolve("https://h:8443/", "//other/x", "https://other/x");
    check_resolve("https://h/a", "http://x/../y/%2E%2e/./%2e/z", "http://x/z");
    check_resolve("https://h/a", "HTTP://X", "http://x/");
    check_resolve("https://h/a", "?", "https://h/a?");
    check_resolve("https://h/a?q", "#", "https://h/a?q");
    check_resolve("https://h/a/..", "", "https://h/");
    check_resolve("https://h/a", "/b c/\xc3\xa4?d e", "https://h/b%20c/%C3%A4?d%20e");
    check_resolve("https://h/%41?%42", "x%43", "https://h/x%43");
    check_resolve("https://h/a", "\\\\evil/x", "https://h/%5C%5Cevil/x");
    check_resolve("https://h/a", "/\\evil/x", "https://h/%5Cevil/x");
    check_resolve("https://h/a", "//evil\\@h/x", "URL_INVALID");
    check_resolve("https://h/a", "///x", "URL_NO_HOST");
    check_resolve("https://h/a", "/a/..//x", "https://h//x");
    check_resolve("https://h/a", "ftp://h/", "URL_SCHEME");
    check_resolve("https://h/a", "a:b", "URL_SCHEME");
    check_resolve("https://h/a", "./a:b", "https://h/a:b");
    check_resolve("https://h/a", "x\r\nSet-Cookie: y", "URL_INVALID");
    check_resolve("https://[fe80::1%25eth0]:444/a", "b", "https://[fe80::1%25eth0]:444/b");
    /* RFC 9110 10.2.2: the fragment is inherited. */
    check_resolve("https://h/a#f", "/b", "https://h/b#f");
    check_resolve("https://h/a#f", "https://x/b", "https://x/b#f");
    check_resolve("https://h/a#f", "/b#g", "https://h/b#g");
    check_resolve("https://h/a#f", "/b#", "https://h/b");
    /* Credentials stay within the origin. */
    check_resolve("https://u:p@h/a", "/b", "https://u:p@h/b");
    check_resolve("https://u:p@h/a", "https://h:443/b", "https://u:p@h/b");
    check_resolve("https://u:p@h/a", "http://h/b", "http://h/b");
    check_resolve("https://u:p@h/a", "https://h:444/b", "https://h:444/b");
    check_resolve("https://u:p@h/a", "//x/b", "https://x/b");
    check_resolve("https://u:p@h/a", "//v:w@h/b", "https://v:w@h/b");
}

TR_TEST_OOM(url_resolve_oom, "/http/url/resolve_oom")
{
    tr_arena_t arena;
    tr_url_t base, url;
    tr_err_t err = TR_ERR_INIT;
    char reference[1200];
    tr_arena_init(&arena);
    memset(reference, 'x', sizeof(reference));
    tr_code_t code = tr_url_parse(&base, &arena, TR_SLICE_LIT("http://u@h:1/a/b"), &err);
    code = code == TR_OK ? tr_url_resolve(&url, &arena, &base, tr_slice(reference, sizeof(reference)), &err) : code;
    if (code != TR_OK) {
        TR_CHECK(tr_test_oom_running());
        TR_CHECK_INT(code, TR_ERR_NOMEM);
    } else {
        TR_CHECK_INT(url.path.len, 3 + sizeof(reference));
        TR_CHECK_SLICE(url.userinfo, "u");
    }
    tr_arena_cleanup(&arena);
}

TR_TEST(url_resolve_long, "/http/url/resolve_bounded")
{
    /* A server that answers each request with a longer relative path comes to an end. */
    tr_arena_t arena;
    tr_url_t url;
    tr_err_t err = TR_ERR_INIT;
    char *reference = malloc(TR_URL_MAX);
    TR_CHECK(reference != NULL);
    memset(reference, 'x', TR_URL_MAX);
    reference[TR_URL_MAX / 2] = '/';
    tr_arena_init(&arena);
    tr_code_t first = tr_url_parse(&url, &arena, TR_SLICE_LIT("http://h/a"), &err);
    tr_code_t second = tr_url_resolve(&url, &arena, &url, tr_slice(reference, TR_URL_MAX - 100), &err);
    tr_code_t third = tr_url_resolve(&url, &arena, &url, tr_slice(reference, TR_URL_MAX), &err);
    tr_arena_cleanup(&arena);
    free(reference);
    TR_CHECK_INT(first, TR_OK);
    TR_CHECK_INT(second, TR_OK);
    TR_CHECK_INT(third, TR_ERR_URL_INVALID);
}

TR_TEST(url_is_ip, "/http/url/host_is_ip")
{
    static const char *const ips[] = {
        "1.2.3.4", "0.0.0.0", "255.255.255.255", "::", "::1", "fe80::1%eth0", "1:2:3:4:5:6:7:8", "::1.2.3.4"};
    static const char *const names[] = {"",         "1",        "1.2.3",   "1.2.3.4.5",    "1.2.3.256",
                                        "01.2.3.4", "1.2.3.4.", "a.b.c.d", "1.2.3.4%eth0", "localhost",
                                        ":",        ":::",      "1::2::3", "fe80::1%",     "[::1]",
                                        "1.2.3.",   ".1.2.3.4", "1..2.3",  "::1%a%b"};
    for (size_t i = 0; i < TR_ARRAY_LEN(ips); i++) {
        TR_CHECK(tr_host_is_ip(tr_slice_cstr(ips[i])));
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(names); i++) {
        if (tr_host_is_ip(tr_slice_cstr(names[i]))) {
            tr_test_fail(__FILE__, __LINE__, "\"%s\" is taken for an address", names[i]);
        }
    }
    TR_CHECK(!tr_host_is_ip(tr_slice("fe80::1%a\0b", 11)));
}
