#include "http/headers.h"
#include "tr_test.h"

static void
check_list(const char *text, const char *expected)
{
    char joined[200] = "";
    size_t len = 0;
    tr_slice_t rest = tr_slice_cstr(text);
    tr_slice_t element;
    while (tr_http_list_next(&rest, &element)) {
        TR_CHECK(element.len > 0 && len + element.len + 2 < sizeof(joined));
        memcpy(joined + len, element.data, element.len);
        len += element.len;
        joined[len++] = '|';
    }
    TR_CHECK(!tr_http_list_next(&rest, &element));
    joined[len] = 0;
    TR_CHECK_SLICE(tr_slice_cstr(joined), expected);
}

TR_TEST_OOM(headers_basic, "/http/headers/add_get_remove")
{
    tr_headers_t headers, copy, moved;
    tr_slice_t value;
    size_t index = 0;
    tr_headers_init(&headers);
    tr_headers_init(&copy);
    tr_headers_init(&moved);
    tr_code_t code = TR_OK;
    for (int i = 0; i < 40 && code == TR_OK; i++) {
        char name[20], text[20];
        (void)snprintf(name, sizeof(name), i % 4 == 0 ? "Set-Cookie" : "X-%d", i);
        (void)snprintf(text, sizeof(text), "value %d", i);
        code = tr_headers_add(&headers, tr_slice_cstr(name), tr_slice_cstr(text));
    }
    code = code == TR_OK ? tr_headers_add(&headers, TR_SLICE_LIT("Empty"), TR_SLICE_NULL) : code;
    code = code == TR_OK ? tr_headers_copy(&copy, &headers) : code;
    if (code != TR_OK) {
        TR_CHECK(tr_test_oom_running());
        goto done;
    }
    TR_CHECK_INT(headers.len, 41);
    TR_CHECK_SLICE(tr_headers_at(&headers, 5).name, "X-5");
    TR_CHECK_SLICE(tr_headers_at(&headers, 5).value, "value 5");
    TR_CHECK_SLICE(tr_headers_get(&headers, TR_SLICE_LIT("x-39")), "value 39");
    TR_CHECK_SLICE(tr_headers_get(&headers, TR_SLICE_LIT("set-COOKIE")), "value 0");
    TR_CHECK(tr_headers_get(&headers, TR_SLICE_LIT("x-40")).data == NULL);
    value = tr_headers_get(&headers, TR_SLICE_LIT("empty"));
    TR_CHECK(value.data != NULL && value.len == 0);
    int found = 0;
    while (tr_headers_next(&headers, &index, TR_SLICE_LIT("set-cookie"), &value)) {
        char text[20];
        (void)snprintf(text, sizeof(text), "value %d", 4 * found++);
        TR_CHECK_SLICE(value, text);
    }
    TR_CHECK_INT(found, 10);

    TR_CHECK_INT(tr_headers_remove(&headers, TR_SLICE_LIT("SET-COOKIE")), 10);
    TR_CHECK_INT(tr_headers_remove(&headers, TR_SLICE_LIT("SET-COOKIE")), 0);
    TR_CHECK_INT(tr_headers_remove(&headers, TR_SLICE_LIT("x-39")), 1);
    TR_CHECK_INT(headers.len, 30);
    size_t total = 0;
    for (size_t i = 0; i < headers.len; i++) {
        tr_field_t field = tr_headers_at(&headers, i);
        total += field.name.len + field.value.len;
        TR_CHECK(i + 1 == headers.len || (field.name.data[0] == 'X' && memcmp(field.value.data, "value ", 6) == 0));
    }
    TR_CHECK_INT(headers.bytes.len, total); /* nothing of the removed fields is kept */
    TR_CHECK_SLICE(tr_headers_get(&headers, TR_SLICE_LIT("X-38")), "value 38");

    TR_CHECK_INT(copy.len, 41);
    tr_headers_move(&moved, &copy);
    TR_CHECK_INT(copy.len, 0);
    TR_CHECK_SLICE(tr_headers_get(&moved, TR_SLICE_LIT("X-39")), "value 39");
    TR_CHECK(tr_headers_get(&copy, TR_SLICE_LIT("X-39")).data == NULL);
    tr_headers_clear(&moved);
    TR_CHECK_INT(moved.len, 0);
    TR_CHECK(tr_headers_get(&moved, TR_SLICE_LIT("X-39")).data == NULL);
done:
    tr_headers_cleanup(&headers);
    tr_headers_cleanup(&copy);
    tr_headers_cleanup(&moved);
    tr_headers_cleanup(&moved);
}

TR_TEST_OOM(headers_list, "/http/headers/list")
{
    static const struct {
        const char *values[4];
        const char *list; /* NULL: there is none */
    } rows[] = {
        {{NULL}, NULL}, {{"gzip"}, "gzip"}, {{"gzip", "br"}, "gzip,br"}, {{"", "br"}, ",br"}, {{"a, b", "", "c"}, "a, b,,c"},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        tr_headers_t headers;
        tr_buf_t joined;
        tr_slice_t list = TR_SLICE_LIT("before");
        tr_headers_init(&headers);
        tr_buf_init(&joined);
        tr_code_t code = tr_headers_add(&headers, TR_SLICE_LIT("x"), TR_SLICE_LIT("no"));
        for (size_t j = 0; code == TR_OK && j < TR_ARRAY_LEN(rows[i].values) && rows[i].values[j] != NULL; j++) {
            code = tr_headers_add(&headers, TR_SLICE_LIT("Content-Encoding"), tr_slice_cstr(rows[i].values[j]));
        }
        if (code == TR_OK) {
            code = tr_headers_list(&headers, TR_SLICE_LIT("content-encoding"), &joined, &list);
        }
        bool right = rows[i].list == NULL ? list.data == NULL : tr_slice_eq(list, tr_slice_cstr(rows[i].list));
        tr_buf_cleanup(&joined);
        tr_headers_cleanup(&headers);
        if (code != TR_OK) {
            TR_CHECK(tr_test_oom_running() && code == TR_ERR_NOMEM);
            return;
        }
        TR_CHECK(right);
    }
}

TR_TEST(headers_allocations, "/http/headers/two_allocations")
{
    tr_headers_t headers;
    int64_t before = tr_mem_live();
    tr_headers_init(&headers);
    TR_CHECK_INT(tr_headers_reserve(&headers, 12, 400), TR_OK);
    void *entries = headers.entries;
    uint8_t *bytes = headers.bytes.base;
    for (int i = 0; i < 12; i++) {
        TR_CHECK_INT(tr_headers_add(&headers, TR_SLICE_LIT("content-type"), TR_SLICE_LIT("text/html; utf-8")),
                     TR_OK);
    }
    TR_CHECK_INT(tr_mem_live() - before, 2);
    TR_CHECK(headers.entries == entries && headers.bytes.base == bytes);
    tr_headers_cleanup(&headers);
}

TR_TEST(http_token, "/http/syntax/token")
{
    /* RFC 9110 5.6.2: every byte value alone. */
    static const char tchars[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (int c = 0; c < 256; c++) {
        uint8_t byte = (uint8_t)c;
        TR_CHECK_INT(tr_http_is_token(tr_slice(&byte, 1)), c != 0 && strchr(tchars, c) != NULL);
    }
    TR_CHECK(!tr_http_is_token(TR_SLICE_NULL));
    TR_CHECK(tr_http_is_token(tr_slice_cstr(tchars)));
    TR_CHECK(!tr_http_is_token(TR_SLICE_LIT("a b")));
    TR_CHECK_INT(tr_http_token_len(TR_SLICE_LIT("name: x")), 4);
}

TR_TEST(http_field_value, "/http/syntax/field_value")
{
    uint8_t text[40];
    for (int c = 0; c < 256; c++) {
        bool bad = c == 0 || c == '\r' || c == '\n';
        for (size_t len = 1; len <= sizeof(text); len += 3) {
            for (size_t at = 0; at < len; at++) {
                memset(text, 0xff, sizeof(text));
                text[at] = (uint8_t)c;
                TR_CHECK_INT(tr_http_is_field_value(tr_slice(text, len)), !bad);
            }
        }
    }
    TR_CHECK(tr_http_is_field_value(TR_SLICE_NULL));
}

TR_TEST(http_list, "/http/syntax/list")
{
    check_list("", "");
    check_list(" , ,\t,", "");
    check_list("gzip", "gzip|");
    check_list(" gzip ,\tbr,", "gzip|br|");
    check_list("a=\"x, y\", b", "a=\"x, y\"|b|");
    check_list("a=\"x\\\", y\", b", "a=\"x\\\", y\"|b|");
    check_list("a=\"never closed, b", "a=\"never closed, b|");
    check_list("a=\"\\", "a=\"\\|");
    check_list("a b, c", "a b|c|");
}

TR_TEST(http_length, "/http/syntax/content_length")
{
    static const struct {
        const char *text;
        int64_t value; /* -1: refused */
    } rows[] = {
        {"0", 0},
        {"7", 7},
        {"007", 7},
        {"5, 5", 5},
        {"5,05 , 5", 5},
        {"9223372036854775807", INT64_MAX},
        {"", -1},
        {" ", -1},
        {",", -1},
        {"5,", -1},
        {",5", -1},
        {"5, 6", -1},
        {"+5", -1},
        {"-5", -1},
        {"5a", -1},
        {"0x5", -1},
        {"5 5", -1},
        {"9223372036854775808", -1},
        {"5.0", -1},
        {"5;5", -1},
        {"\"5\"", -1},
        {"5,,5", -1},
        {"18446744073709551616", -1},
        {"92233720368547758070", -1},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        uint64_t value = 0;
        bool ok = tr_http_parse_length(tr_slice_cstr(rows[i].text), &value);
        if (ok != (rows[i].value >= 0) || (ok && value != (uint64_t)rows[i].value)) {
            tr_test_fail(__FILE__, __LINE__, "\"%s\" gives %d %llu", rows[i].text, ok, (unsigned long long)value);
        }
    }
}
