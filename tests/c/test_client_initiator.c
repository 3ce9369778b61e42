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
    char text[1024] = "";
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
