/* Which way a URL takes. The grammar of the exceptions is also tested from Python (tests/proxy). */
#include "client/routes.h"
#include "tr_test.h"

static bool
is_direct(const char *exceptions, const char *text)
{
    tr_err_t err = TR_ERR_INIT;
    tr_slice_t url_text = TR_SLICE_LIT("http://proxy");
    tr_proxy_t *proxy;
    tr_routes_t *routes;
    tr_arena_t arena;
    tr_url_t url;
    tr_arena_init(&arena);
    TR_CHECK_OK(tr_proxy_new(&proxy, &url_text, 1, TR_FORWARD_REFUSED, NULL, 0, &err), &err);
    TR_CHECK_OK(tr_routes_new(&routes, proxy, proxy, tr_slice_cstr(exceptions), &err), &err);
    TR_CHECK_OK(tr_url_parse(&url, &arena, tr_slice_cstr(text), &err), &err);
    bool direct = tr_routes_pick(routes, &url) == NULL;
    tr_arena_cleanup(&arena);
    tr_routes_unref(routes);
    tr_proxy_unref(proxy);
    return direct;
}

TR_TEST(client_routes, "/client/routes/pick")
{
    TR_CHECK(!is_direct("", "http://a.test/"));
    TR_CHECK(is_direct("*", "http://a.test/"));
    TR_CHECK(is_direct("a.test", "https://A.test/"));
    TR_CHECK(is_direct("b, .a.test", "https://x.a.test./"));
    TR_CHECK(!is_direct("a.test", "http://ba.test/"));
    TR_CHECK(!is_direct("a.test:81", "http://a.test/"));
    TR_CHECK(is_direct("10.0.0.0/8", "http://10.1.2.3/"));
    TR_CHECK(!is_direct("10.0.0.0/8", "http://11.1.2.3/"));
    TR_CHECK(is_direct("fe80::/10", "http://[febf::1]/"));
    TR_CHECK(!is_direct("fe80::/10", "http://[fec0::1]/"));
    TR_CHECK(is_direct("::/0", "http://[1::1]/"));
    TR_CHECK(!is_direct("::/0", "http://1.2.3.4/"));
}

TR_TEST_OOM(client_routes_oom, "/client/routes/oom")
{
    tr_err_t err = TR_ERR_INIT;
    tr_slice_t url = TR_SLICE_LIT("socks5h://u:p@proxy");
    tr_proxy_t *proxy = NULL;
    tr_routes_t *routes = NULL;
    tr_code_t code = tr_proxy_new(&proxy, &url, 1, TR_FORWARD_REFUSED, NULL, 0, &err);
    if (code == TR_OK) {
        code = tr_routes_new(&routes, proxy, NULL, TR_SLICE_LIT("a.test, 10.0.0.0/8 *.b.test:80"), &err);
    }
    TR_CHECK(code == TR_OK || (tr_test_oom_running() && code == TR_ERR_NOMEM && err.code == TR_ERR_NOMEM));
    tr_routes_unref(routes);
    tr_proxy_unref(proxy);
}
