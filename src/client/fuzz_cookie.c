/* Fuzz target: Set-Cookie values, one a line, received and sent again from and to a few URLs. Whatever came, the header that results has
 * no control characters, and the limits hold. */
#include "client/cookiejar.h"
#include "core/limits.h"
#include "http/fuzz_replay.h"

static bool
count(void *arg, const tr_cookie_t *cookie)
{
    TR_FUZZ_CHECK(cookie->name.len + cookie->value.len <= TR_COOKIE_MAX_PAIR && cookie->name.len + cookie->value.len > 0);
    TR_FUZZ_CHECK(cookie->path.len > 0 && cookie->path.data[0] == '/' && cookie->domain.len > 0);
    (*(size_t *)arg)++;
    return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const texts[] = {"https://www.example.com/a/b?q", "http://example.com/", "https://x.www.example.com/a",
                                        "http://127.0.0.1/", "http://localhost/x/", "https://[::1]/"};
    const int64_t now_s = 1790000000;
    tr_url_t urls[TR_ARRAY_LEN(texts)];
    tr_arena_t arena;
    tr_err_t err = TR_ERR_INIT;
    tr_buf_t out = TR_BUF_INIT;
    size_t line = 0, num = 0;
    tr_arena_init(&arena);
    tr_cookiejar_t *jar = tr_cookiejar_new();
    TR_FUZZ_CHECK(jar != NULL);
    for (size_t i = 0; i < TR_ARRAY_LEN(texts); i++) {
        TR_FUZZ_CHECK(tr_url_parse(&urls[i], &arena, tr_slice_cstr(texts[i]), &err) == TR_OK);
    }
    for (size_t pos = 0; pos <= size; line++) {
        const uint8_t *end = pos == size ? NULL : memchr(data + pos, '\n', size - pos);
        size_t len = end == NULL ? size - pos : (size_t)(end - data) - pos;
        TR_FUZZ_CHECK(tr_cookiejar_receive(jar, &urls[line % TR_ARRAY_LEN(urls)], tr_slice(data + pos, len), now_s) == TR_OK);
        pos += len + 1;
    }
    tr_cookiejar_each(jar, now_s, count, &num);
    TR_FUZZ_CHECK(num == tr_cookiejar_len(jar) && num <= TR_COOKIE_MAX_TOTAL);
    for (size_t i = 0; i < TR_ARRAY_LEN(urls); i++) {
        tr_buf_clear(&out);
        TR_FUZZ_CHECK(tr_cookiejar_header(jar, &out, &urls[i], now_s, NULL, 0) == TR_OK);
        for (size_t at = 0; at < out.len; at++) {
            TR_FUZZ_CHECK((out.data[at] >= 0x20 || out.data[at] == '\t') && out.data[at] != 0x7f);
        }
    }
    tr_buf_cleanup(&out);
    tr_cookiejar_unref(jar);
    tr_arena_cleanup(&arena);
    return 0;
}
