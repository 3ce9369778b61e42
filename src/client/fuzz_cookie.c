/* Fuzz target: Set-Cookie values, one a line, received and sent again from and to a few URLs, beside a request's own cookies that are made of
 * the same lines. Whatever came, the header that results has no control characters, no cookie is for all of a public suffix, and the
 * limits hold. */
#include "client/cookie_parse.h"
#include "client/cookiejar.h"
#include "client/psl.h"
#include "core/limits.h"
#include "http/fuzz_replay.h"

static bool
count(void *arg, const tr_cookie_t *cookie)
{
    TR_FUZZ_CHECK(cookie->name.len + cookie->value.len <= TR_COOKIE_MAX_PAIR && cookie->name.len + cookie->value.len > 0);
    TR_FUZZ_CHECK(cookie->path.len > 0 && cookie->path.data[0] == '/' && cookie->domain.len > 0);
    if ((cookie->flags & TR_COOKIE_HOST_ONLY) == 0) {
        TR_FUZZ_CHECK(!tr_host_is_ip(cookie->domain) && !tr_psl_is_suffix(cookie->domain));
        TR_FUZZ_CHECK(tr_psl_site(cookie->domain).len > 0);
    }
    TR_FUZZ_CHECK((cookie->flags & TR_COOKIE_SAMESITE_NONE) == 0 || (cookie->flags & TR_COOKIE_SECURE) != 0);
    (*(size_t *)arg)++;
    return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const texts[] = {"https://www.example.com/a/b?q", "http://example.com/", "https://x.www.example.com/a",
                                        "http://127.0.0.1/", "http://localhost/x/", "https://[::1]/",
                                        "https://a.b.co.uk/", "https://x.y.ck./"};
    const int64_t now_s = 1790000000;
    tr_url_t urls[TR_ARRAY_LEN(texts)];
    tr_arena_t arena;
    tr_err_t err = TR_ERR_INIT;
    tr_buf_t out = TR_BUF_INIT;
    tr_cookie_t own[8];
    size_t line = 0, num = 0, num_own = 0;
    tr_arena_init(&arena);
    tr_cookiejar_t *jar = tr_cookiejar_new();
    TR_FUZZ_CHECK(jar != NULL);
    for (size_t i = 0; i < TR_ARRAY_LEN(texts); i++) {
        TR_FUZZ_CHECK(tr_url_parse(&urls[i], &arena, tr_slice_cstr(texts[i]), &err) == TR_OK);
    }
    for (size_t pos = 0; pos <= size; line++) {
        const uint8_t *end = pos == size ? NULL : memchr(data + pos, '\n', size - pos);
        size_t len = end == NULL ? size - pos : (size_t)(end - data) - pos;
        tr_set_cookie_t read;
        const tr_url_t *url = &urls[line % TR_ARRAY_LEN(urls)];
        TR_FUZZ_CHECK(tr_cookiejar_receive(jar, url, tr_slice(data + pos, len), now_s) == TR_OK);
        if (num_own < TR_ARRAY_LEN(own) && tr_set_cookie_parse(&read, tr_slice(data + pos, len), now_s)) {
            own[num_own] = (tr_cookie_t){.name = read.name, .value = read.value, .domain = url->host, .flags = read.flags};
            own[num_own].path = read.path.data == NULL ? TR_SLICE_LIT("/") : read.path;
            own[num_own].flags |= line % 3 == 2 ? TR_COOKIE_ABSENT : TR_COOKIE_HOST_ONLY;
            num_own++;
        }
        pos += len + 1;
    }
    tr_cookiejar_each(jar, now_s, count, &num);
    TR_FUZZ_CHECK(num == tr_cookiejar_len(jar) && num <= TR_COOKIE_MAX_TOTAL);
    for (size_t i = 0; i < TR_ARRAY_LEN(urls); i++) {
        tr_buf_clear(&out);
        TR_FUZZ_CHECK(tr_cookiejar_header(jar, &out, &urls[i], now_s, own, num_own) == TR_OK);
        TR_FUZZ_CHECK(tr_cookiejar_header(NULL, &out, &urls[i], now_s, own, num_own) == TR_OK);
        for (size_t at = 0; at < out.len; at++) {
            TR_FUZZ_CHECK((out.data[at] >= 0x20 || out.data[at] == '\t') && out.data[at] != 0x7f);
        }
    }
    tr_cookie_t copy = {.name = TR_SLICE_LIT("a"), .value = tr_slice(data, TR_MIN(size, (size_t)4096))};
    tr_code_t code = tr_cookiejar_set(jar, &copy, &err); /* refused, or sent as it is */
    TR_FUZZ_CHECK(code == TR_OK || err.code == code);
    (void)tr_cookiejar_remove(jar, TR_SLICE_NULL, urls[0].host, TR_SLICE_NULL, TR_COOKIE_OF_HOST);
    tr_buf_cleanup(&out);
    tr_cookiejar_unref(jar);
    tr_arena_cleanup(&arena);
    return 0;
}
