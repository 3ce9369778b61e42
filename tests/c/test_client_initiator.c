#include "client/compose.h"
#include "client/initiator.h"
#include "client/op.h"
#include "tr_test.h"

static tr_op_request_t
get(const char *url)
{
    return (tr_op_request_t){.method = TR_SLICE_LIT("GET"), .url = tr_slice_cstr(url), .kind = TR_KIND_AUTO, .max_redirects = 5};
}

/* "kind site origin referer" of a request, or the name of its failure; after it, the same for each URL of `hops`. */
static void
check_at(int line, const tr_op_request_t *request, const char *const *hops, const char *expected)
{
    tr_session_t *session = NULL;
    tr_err_t err = TR_ERR_INIT;
    char text[8192] = "";
    size_t n = 0;
    if (tr_session_new(&session, NULL, &err) != TR_OK) {
        return;
    }
    tr_op_t *op = tr_op_new(session);
    tr_code_t code = op == NULL ? TR_ERR_NOMEM : tr_op_prepare(op, request, &err);
    for (size_t hop = 0; code == TR_OK; hop++) {
        tr_compose_t out = {.kind = TR_KIND_COUNT};
        code = tr_initiator__compose(op, &out);
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %s %.*s %.*s%s", n > 0 ? " | " : "", tr_kind_name(out.kind),
                              out.site == NULL ? "-" : out.site, (int)out.origin.len, (const char *)out.origin.data, (int)out.referer.len,
                              (const char *)out.referer.data, tr_initiator__has_credentials(op, &op->ask.url) ? "" : " omit");
        if (hops == NULL || hops[hop] == NULL || code != TR_OK) {
            break;
        }
        tr_url_t next;
        code = tr_url_parse(&next, &op->arena, tr_slice_cstr(hops[hop]), &err);
        if (code == TR_OK) {
            tr_initiator__redirect(op, &op->ask.url, &next);
            op->ask.url = next;
        }
    }
    if (code != TR_OK) {
        (void)snprintf(text, sizeof(text), "%s", tr_err_name(code));
    }
    tr_op_unref(op);
    tr_session_unref(session);
    if (strcmp(text, expected) != 0 && !(code == TR_ERR_NOMEM && tr_test_oom_running())) {
        tr_test_fail(__FILE__, line, "\"%s\", not \"%s\"", text, expected);
    }
}

#define CHECK(request, expected) check_at(__LINE__, request, NULL, expected)
#define CHECK_HOPS(request, expected, ...)                                                                             \
    check_at(__LINE__, request, (const char *const[]){__VA_ARGS__, NULL}, expected)

TR_TEST_OOM(initiator_kinds, "/client/initiator/kinds")
{
    static const tr_field_t json[] = {{TR_SLICE_LIT("Content-Type"), TR_SLICE_LIT("application/json")}};
    tr_op_request_t in = get("https://a.test/x?y");
    CHECK(&in, "navigate -  ");
    in.method = TR_SLICE_LIT("DELETE");
    CHECK(&in, "fetch same-origin https://a.test https://a.test/");
    in.method = TR_SLICE_LIT("HEAD");
    CHECK(&in, "fetch same-origin  https://a.test/");
    in.method = TR_SLICE_LIT("POST");
    CHECK(&in, "fetch same-origin https://a.test https://a.test/");
    in.has_body = true;
    in.body = TR_SLICE_LIT("a=b");
    CHECK(&in, "fetch same-origin https://a.test https://a.test/");
    in.body_type = TR_SLICE_LIT("Application/X-WWW-form-urlencoded; charset=x");
    CHECK(&in, "form same-origin https://a.test https://a.test/");
    in.body_type = TR_SLICE_LIT("multipart/form-data; boundary=b");
    CHECK(&in, "form same-origin https://a.test https://a.test/");
    in.method = TR_SLICE_LIT("PUT");
    CHECK(&in, "fetch same-origin https://a.test https://a.test/");
    in.method = TR_SLICE_LIT("POST");
    in.headers = json;
    in.num_headers = 1;
    CHECK(&in, "fetch same-origin https://a.test https://a.test/");
    in.kind = TR_KIND_NAVIGATE;
    CHECK(&in, "navigate -  ");
    in.kind = TR_KIND_IMAGE;
    in.method = TR_SLICE_LIT("GET");
    CHECK(&in, "image same-origin  https://a.test/");
}

TR_TEST_OOM(initiator_pages, "/client/initiator/pages")
{
    tr_op_request_t in = get("https://www.a.test/x");
    in.page = TR_SLICE_LIT("https://user:secret@www.a.test:443/page?q=1#f");
    CHECK(&in, "navigate same-origin  https://www.a.test/page?q=1");
    in.kind = TR_KIND_FETCH;
    in.page = TR_SLICE_LIT("https://www.a.test:8443/page");
    CHECK(&in, "fetch same-site https://www.a.test:8443 https://www.a.test:8443/ omit");
    in.page = TR_SLICE_LIT("https://shop.a.test/page");
    CHECK(&in, "fetch same-site https://shop.a.test https://shop.a.test/ omit");
    in.page = TR_SLICE_LIT("http://www.a.test/page");
    CHECK(&in, "fetch cross-site http://www.a.test http://www.a.test/ omit"); /* another scheme is another site */
    in.page = TR_SLICE_LIT("https://b.other/page");
    in.credentials = TR_CREDENTIALS_INCLUDE;
    CHECK(&in, "fetch cross-site https://b.other https://b.other/");
    in.no_referrer = true;
    in.credentials = TR_CREDENTIALS_OMIT;
    CHECK(&in, "fetch cross-site https://b.other  omit");
    in.referrer = TR_SLICE_LIT("https://c.other/r");
    in.origin = TR_SLICE_LIT("null");
    CHECK(&in, "fetch cross-site null https://c.other/ omit");
    /* The public suffix list says where a site ends. */
    in = get("https://one.co.uk/x");
    in.page = TR_SLICE_LIT("https://two.co.uk/");
    CHECK(&in, "navigate cross-site  https://two.co.uk/");
    in.page = TR_SLICE_LIT("https://a.b.one.co.uk/");
    CHECK(&in, "navigate same-site  https://a.b.one.co.uk/");
    in = get("http://127.0.0.1/x");
    in.page = TR_SLICE_LIT("https://127.0.0.1/");
    CHECK(&in, "navigate cross-site  ");
    in.page = TR_SLICE_LIT("http://127.0.0.2/");
    CHECK(&in, "navigate cross-site  http://127.0.0.2/"); /* addresses have no sites */
    in.page = TR_SLICE_LIT("http://a b/");
    CHECK(&in, "URL_INVALID");
    in.page = TR_SLICE_LIT("ftp://a/");
    CHECK(&in, "URL_SCHEME");
    in.page = TR_SLICE_NULL;
    in.origin = TR_SLICE_LIT("a\nb");
    CHECK(&in, "HEADER_INVALID");
}

TR_TEST_OOM(initiator_redirects, "/client/initiator/redirects")
{
    tr_op_request_t in = get("https://a.test/1");
    CHECK_HOPS(&in, "navigate -   | navigate -  ", "https://b.test/2");
    in.method = TR_SLICE_LIT("DELETE");
    in.page = TR_SLICE_LIT("https://a.test/p");
    CHECK_HOPS(&in, "fetch same-origin https://a.test https://a.test/p | fetch same-origin https://a.test https://a.test/p",
               "https://a.test/2");
    /* Away and back: never the same origin again, no cookies any more; foreign to foreign: the origin is nobody's. */
    CHECK_HOPS(&in,
               "fetch same-origin https://a.test https://a.test/p | fetch cross-site https://a.test https://a.test/ omit | "
               "fetch cross-site null https://a.test/p omit",
               "https://b.other/2", "https://a.test/3");
    in.method = TR_SLICE_LIT("GET");
    in.kind = TR_KIND_IMAGE;
    CHECK_HOPS(&in, "image same-origin  https://a.test/p | image cross-site  ", "http://a.test/2");
}

/* The Referer and Origin that a form of https://a.test/p has at a URL, under the page's Referrer-Policy. */
static void
check_policy_at(int line, const char *policy, const char *url, const char *expected)
{
    tr_op_request_t in = get(url);
    in.page = TR_SLICE_LIT("https://a.test/p?q");
    in.method = TR_SLICE_LIT("POST");
    in.kind = TR_KIND_FORM;
    in.referrer_policy = tr_slice_cstr(policy);
    check_at(line, &in, NULL, expected);
}

#define CHECK_POLICY(policy, url, expected) check_policy_at(__LINE__, policy, url, expected)

/* Referrer Policy 3 has this table in its examples; Fetch, "append a request Origin header", says what becomes of the origin. */
TR_TEST_OOM(initiator_policies, "/client/initiator/referrer_policies")
{
    static const char same[] = "https://a.test/x", cross[] = "https://b.other/x", down[] = "http://a.test/x";
    CHECK_POLICY("", same, "form same-origin https://a.test https://a.test/p?q");
    CHECK_POLICY("", cross, "form cross-site https://a.test https://a.test/");
    CHECK_POLICY("", down, "form cross-site null ");
    CHECK_POLICY("no-referrer", same, "form same-origin null ");
    CHECK_POLICY("no-referrer", cross, "form cross-site null ");
    CHECK_POLICY("no-referrer-when-downgrade", cross, "form cross-site https://a.test https://a.test/p?q");
    CHECK_POLICY("no-referrer-when-downgrade", down, "form cross-site null ");
    CHECK_POLICY("same-origin", same, "form same-origin https://a.test https://a.test/p?q");
    CHECK_POLICY("same-origin", cross, "form cross-site null ");
    CHECK_POLICY("origin", same, "form same-origin https://a.test https://a.test/");
    CHECK_POLICY("origin", down, "form cross-site https://a.test https://a.test/");
    CHECK_POLICY("strict-origin", same, "form same-origin https://a.test https://a.test/");
    CHECK_POLICY("strict-origin", cross, "form cross-site https://a.test https://a.test/");
    CHECK_POLICY("strict-origin", down, "form cross-site null ");
    CHECK_POLICY("origin-when-cross-origin", same, "form same-origin https://a.test https://a.test/p?q");
    CHECK_POLICY("origin-when-cross-origin", down, "form cross-site https://a.test https://a.test/");
    CHECK_POLICY("unsafe-url", down, "form cross-site https://a.test https://a.test/p?q");
    /* the last one that is known counts */
    CHECK_POLICY("unsafe-url, No-Referrer\t,future-policy, ", cross, "form cross-site null ");
    CHECK_POLICY("future-policy", same, "form same-origin https://a.test https://a.test/p?q");
    CHECK_POLICY(",,no-referrer x", same, "form same-origin https://a.test https://a.test/p?q");
}

TR_TEST(initiator_strict, "/client/initiator/referrer_policies_of_firefox")
{
    tr_op_request_t in = get("https://b.other/x");
    in.page = TR_SLICE_LIT("https://a.test/p?q");
    in.referrer_policy = TR_SLICE_LIT("unsafe-url");
    in.profile = tr_profile_find(TR_SLICE_LIT("firefox_153"));
    in.kind = TR_KIND_IMAGE;
    CHECK(&in, "image cross-site  https://a.test/");
    in.kind = TR_KIND_NAVIGATE;
    CHECK(&in, "navigate cross-site  https://a.test/p?q");
    in.kind = TR_KIND_IMAGE;
    in.url = TR_SLICE_LIT("https://b.a.test/x");
    CHECK(&in, "image same-site  https://a.test/p?q");
    in.url = TR_SLICE_LIT("https://b.other/x");
    in.referrer_policy = TR_SLICE_LIT("no-referrer");
    CHECK(&in, "image cross-site  ");
    in.referrer_policy = TR_SLICE_LIT("unsafe-url");
    in.profile = tr_profile_find(TR_SLICE_LIT("chrome_133"));
    CHECK(&in, "image cross-site  https://a.test/p?q");
}

/* Referrer Policy 8.3: the URL up to 4096 bytes, then the origin. */
TR_TEST_OOM(initiator_long_referrer, "/client/initiator/long_referrer")
{
    char page[5000] = "https://a.test/";
    tr_op_request_t in = get("https://a.test/x");
    in.kind = TR_KIND_IMAGE;
    memset(page + 15, 'p', 4096 - 15);
    in.page = tr_slice_cstr(page);
    char expected[5100];
    (void)snprintf(expected, sizeof(expected), "image same-origin  %s", page);
    CHECK(&in, expected);
    page[4096] = 'p';
    in.page = tr_slice_cstr(page);
    CHECK(&in, "image same-origin  https://a.test/");
}

TR_TEST(initiator_application, "/client/initiator/no_browser")
{
    /* What is no browser has no pages, unless it is told of one. */
    static const tr_profile_t application = {.id = "application", .pseudo_order = "masp"};
    tr_op_request_t in = get("https://a.test/");
    in.profile = &application;
    in.method = TR_SLICE_LIT("POST");
    CHECK(&in, "fetch -  ");
    in.page = TR_SLICE_LIT("https://a.test/p");
    CHECK(&in, "fetch same-origin https://a.test https://a.test/p");
}
