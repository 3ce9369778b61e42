/* client: what needs no network: bodies, replay rule, redirect targets, checks of a request. */
#include <sys/mman.h>

#include "client/body.h"
#include "client/client.h"
#include "client/op.h"
#include "tr_test.h"

/* -------------------------------------------------------------------------------------------------------------- body */

static uint8_t
byte_at(size_t i)
{
    return (uint8_t)(i * 2654435761u >> 13);
}

/* Appends len bytes of the pattern in pieces of `piece` and checks what comes out. */
static tr_code_t
round_trip(uint64_t expected, size_t len, size_t piece, bool in_chunks)
{
    tr_body_t body;
    tr_code_t code = TR_OK;
    uint8_t *out = malloc(len + 1);
    uint8_t *in = malloc(len + 1);
    if (out == NULL || in == NULL) {
        tr_test_fail(__FILE__, __LINE__, "the test itself is out of memory");
    }
    for (size_t i = 0; i < len; i++) {
        in[i] = byte_at(i);
    }
    tr_body_init(&body, 0);
    tr_body_expect(&body, expected);
    for (size_t off = 0; off < len && code == TR_OK; off += piece) {
        size_t part = TR_MIN(piece, len - off);
        if (in_chunks) {
            tr_chunk_t *chunk = tr_chunk_new(part + 7);
            if (chunk == NULL) {
                code = TR_ERR_NOMEM;
                break;
            }
            chunk->off = 3;
            chunk->len = part;
            memcpy(chunk->data + 3, in + off, part);
            code = tr_body_take(&body, &chunk);
            tr_chunk_free(chunk);
        } else {
            code = tr_body_append(&body, tr_slice(in + off, part));
        }
    }
    bool same = true;
    if (code == TR_OK) {
        same = body.len == len;
        tr_body_drain(&body, out);
        same = same && memcmp(in, out, len) == 0 && body.len == 0;
    }
    tr_body_cleanup(&body);
    free(in);
    free(out);
    TR_CHECK(same);
    return code;
}

TR_TEST_OOM(body_sizes, "/client/body/sizes")
{
    static const size_t lens[] = {0, 1, 38, 4096, 16384, 100000, 262144, 3000000, 9000001};
    /* With failing allocations the short bodies are enough: each allocation of them fails once. */
    for (size_t i = 0; i < (tr_test_oom_running() ? 5 : TR_ARRAY_LEN(lens)); i++) {
        size_t len = lens[i];
        for (int mode = 0; mode < 6; mode++) {
            uint64_t expected = mode % 3 == 0 ? 0 : (mode % 3 == 1 ? len : len / 2 + 1);
            tr_code_t code = round_trip(expected, len, len > 100000 ? 16384 : 1000, mode >= 3);
            if (code != TR_OK) {
                TR_CHECK(code == TR_ERR_NOMEM && tr_test_oom_running());
                return;
            }
        }
    }
}

/* Bodies large enough for their pages to change owner, with destinations that agree and disagree in their place within a page. */
TR_TEST(body_pages, "/client/body/pages")
{
    static const size_t lens[] = {((size_t)64 << 20) - 1, (size_t)64 << 20, ((size_t)64 << 20) + 4096 - 48, ((size_t)65 << 20) + 12345};
    static const size_t offsets[] = {0, 16, 48, 4095};
    size_t room = ((size_t)66 << 20) + 8192;
    uint32_t *words = malloc((size_t)1 << 20);
    TR_CHECK(words != NULL);
    for (size_t i = 0; i < ((size_t)1 << 18); i++) {
        words[i] = (uint32_t)(i * 2654435761u);
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(lens); i++) {
        for (size_t k = 0; k < TR_ARRAY_LEN(offsets); k++) {
            tr_body_t body;
            tr_body_init(&body, 0);
            tr_body_expect(&body, lens[i]);
            size_t left = lens[i];
            while (left > 0) {
                size_t part = left < ((size_t)1 << 20) ? left : (size_t)1 << 20;
                TR_CHECK_INT(tr_body_append(&body, tr_slice(words, part)), TR_OK);
                left -= part;
            }
            uint8_t *block = aligned_alloc(4096, room);
            TR_CHECK(block != NULL);
            memset(block, 0xee, offsets[k] + 64);
            memset(block + offsets[k] + lens[i], 0xee, 64);
            uint8_t *out = block + offsets[k];
            tr_body_drain(&body, out);
            bool same = true;
            for (size_t at = 0; at < lens[i]; at += (size_t)1 << 20) {
                size_t part = lens[i] - at < ((size_t)1 << 20) ? lens[i] - at : (size_t)1 << 20;
                same = same && memcmp(out + at, words, part) == 0;
            }
            TR_CHECK(same);
            TR_CHECK(offsets[k] == 0 || out[-1] == 0xee);
            TR_CHECK(out[lens[i]] == 0xee && out[lens[i] + 63] == 0xee);
            tr_body_cleanup(&body);
            free(block);
        }
    }
    free(words);
}

TR_TEST(body_limit, "/client/body/limit")
{
    tr_body_t body;
    tr_body_init(&body, 10);
    TR_CHECK_INT(tr_body_append(&body, TR_SLICE_LIT("0123456789")), TR_OK);
    TR_CHECK_INT(tr_body_append(&body, TR_SLICE_LIT("x")), TR_ERR_BODY_LIMIT);
    TR_CHECK_INT(body.len, 10);
    tr_body_cleanup(&body);
}

/* A declared length costs address space, not memory; a larger one than the limit is cut to it. */
TR_TEST(body_declared, "/client/body/declared")
{
    tr_body_t body;
    tr_body_init(&body, (uint64_t)1 << 30);
    tr_body_expect(&body, (uint64_t)1 << 60);
    TR_CHECK_INT(tr_body_append(&body, TR_SLICE_LIT("few")), TR_OK);
    uint8_t out[3];
    tr_body_drain(&body, out);
    TR_CHECK_MEM(out, "few", 3);
    tr_body_cleanup(&body);
}

/* ------------------------------------------------------------------------------------------------------------- replay */

TR_TEST(retry_rule, "/client/retry/rule")
{
    static const struct {
        tr_code_t code;
        bool not_processed, sent, got_bytes, reused;
        uint8_t num_replays;
        const char *method;
        tr_retry_t expected;
        bool too_many;
    } rows[] = {
        /* more than a server took that had not said how many it takes */
        {TR_ERR_H2_REFUSED, true, true, false, false, 0, "POST", TR_RETRY_SAME, true},
        {TR_ERR_H2_REFUSED, true, true, false, false, 1, "POST", TR_RETRY_NO, true},
        {TR_ERR_H2_GOAWAY, true, true, false, false, 0, "GET", TR_RETRY_FRESH, true},
        /* refused before it was handled: any method, once */
        {TR_ERR_H2_REFUSED, true, true, false, false, 0, "POST", TR_RETRY_FRESH, false},
        {TR_ERR_H2_REFUSED, true, true, false, false, 1, "POST", TR_RETRY_NO, false},
        {TR_ERR_H2_GOAWAY, true, true, false, false, 0, "PATCH", TR_RETRY_FRESH, false},
        /* at or below GOAWAY's last stream: it may have been handled */
        {TR_ERR_H2_GOAWAY, false, true, false, false, 0, "GET", TR_RETRY_NO, false},
        {TR_ERR_H2_GOAWAY, false, true, false, true, 0, "GET", TR_RETRY_FRESH, false},
        {TR_ERR_H2_GOAWAY, false, true, false, true, 0, "POST", TR_RETRY_NO, false},
        /* a kept connection that died */
        {TR_ERR_CLOSED_EARLY, false, true, false, true, 0, "GET", TR_RETRY_FRESH, false},
        {TR_ERR_CONNECT_RESET, false, true, false, true, 0, "HEAD", TR_RETRY_FRESH, false},
        {TR_ERR_CONNECT_RESET, false, true, false, true, 1, "HEAD", TR_RETRY_NO, false},
        {TR_ERR_CLOSED_EARLY, false, true, false, true, 0, "POST", TR_RETRY_NO, false},
        {TR_ERR_CLOSED_EARLY, false, false, false, true, 0, "POST", TR_RETRY_FRESH, false},
        {TR_ERR_CLOSED_EARLY, false, true, true, true, 0, "GET", TR_RETRY_NO, false},
        {TR_ERR_CLOSED_EARLY, false, true, false, false, 0, "GET", TR_RETRY_NO, false},
        /* what is no death of the connection */
        {TR_ERR_H1_PROTOCOL, false, true, false, true, 0, "GET", TR_RETRY_NO, false},
        {TR_ERR_H2_RESET, false, true, false, true, 0, "GET", TR_RETRY_NO, false},
        {TR_ERR_H2_CALM, true, true, false, true, 0, "GET", TR_RETRY_NO, false},
        {TR_ERR_H2_HTTP11_REQUIRED, false, true, false, false, 0, "POST", TR_RETRY_HTTP1, false},
        {TR_ERR_HEADER_INVALID, true, false, false, true, 0, "GET", TR_RETRY_NO, false},
        {TR_ERR_BODY_TRUNCATED, false, true, true, true, 0, "GET", TR_RETRY_NO, false},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        tr_retry_facts_t facts = {.code = rows[i].code,
                                  .not_processed = rows[i].not_processed,
                                  .sent = rows[i].sent,
                                  .got_bytes = rows[i].got_bytes,
                                  .too_many = rows[i].too_many,
                                  .reused = rows[i].reused,
                                  .num_replays = rows[i].num_replays,
                                  .method = tr_slice_cstr(rows[i].method)};
        if (tr_retry_decide(&facts) != rows[i].expected) {
            tr_test_fail(__FILE__, __LINE__, "row %zu: %s %s", i, tr_err_name(rows[i].code), rows[i].method);
        }
    }
}

/* ----------------------------------------------------------------------------------------------------------- redirects */

/* A session and an op that got this answer. */
static tr_code_t
redirect(tr_op_t **out, const char *method, const char *from, int status, const char *location, uint32_t flags, tr_err_t *err)
{
    static const tr_field_t headers[] = {
        {{(const uint8_t *)"Authorization", 13}, {(const uint8_t *)"secret", 6}},
        {{(const uint8_t *)"Cookie", 6}, {(const uint8_t *)"a=b", 3}},
        {{(const uint8_t *)"Content-Type", 12}, {(const uint8_t *)"text/plain", 10}},
        {{(const uint8_t *)"X-Own", 5}, {(const uint8_t *)"1", 1}},
        {{(const uint8_t *)"Accept", 6}, {NULL, 0}},
    };
    tr_session_t *session = NULL;
    tr_op_t *op = NULL;
    *out = NULL;
    tr_code_t code = tr_session_new(&session, NULL, err);
    if (code != TR_OK) {
        return code;
    }
    op = tr_op_new(session);
    tr_session_unref(session);
    if (op == NULL) {
        return tr_err_nomem(err, "test");
    }
    tr_op_request_t request = {.method = tr_slice_cstr(method),
                               .url = tr_slice_cstr(from),
                               .headers = headers,
                               .num_headers = TR_ARRAY_LEN(headers),
                               .has_body = true,
                               .body = TR_SLICE_LIT("body"),
                               .body_type = TR_SLICE_LIT("text/html"),
                               .flags = flags,
                               .max_redirects = 2};
    code = tr_op_prepare(op, &request, err);
    if (code == TR_OK && (tr_op__new_hop(op) != TR_OK ||
                          tr_headers_add(&op->hop->response.headers, TR_SLICE_LIT("location"), tr_slice_cstr(location)) != TR_OK)) {
        code = tr_err_nomem(err, "test");
    }
    if (code == TR_OK) {
        op->hop->response.status = status;
        code = tr_redirect_next(op, err);
    }
    *out = op;
    return code;
}

static bool
has_header(const tr_op_t *op, const char *name)
{
    for (size_t i = 0; i < op->ask.num_headers; i++) {
        if (tr_slice_ieq(op->ask.headers[i].name, tr_slice_cstr(name))) {
            return true;
        }
    }
    return false;
}

TR_TEST_OOM(redirect_targets, "/client/redirect/targets")
{
    static const struct {
        const char *method, *from;
        int status;
        const char *location, *url, *new_method;
        bool body, credentials;
    } rows[] = {
        {"POST", "http://a/x", 301, "/y", "http://a/y", "GET", false, true},
        {"PUT", "http://a/x", 301, "/y", "http://a/y", "PUT", true, true},
        {"PUT", "http://a/x", 302, "/y", "http://a/y", "GET", false, true},
        {"HEAD", "http://a/x", 302, "/y", "http://a/y", "HEAD", true, true},
        {"DELETE", "http://a/x", 303, "/y", "http://a/y", "GET", false, true},
        {"POST", "http://a/x", 307, "/y", "http://a/y", "POST", true, true},
        {"POST", "http://a/x", 308, "y", "http://a/y", "POST", true, true},
        {"POST", "http://a/x", 308, "//b/y", "http://b/y", "POST", true, false},
        {"GET", "http://a/x", 302, "http://a:81/", "http://a:81/", "GET", true, false},
        {"GET", "http://a/x", 302, "https://a/", "https://a/", "GET", true, true},
        {"GET", "http://a:8080/x", 302, "https://a/", "https://a/", "GET", true, false},
        {"GET", "http://a/x", 302, "https://a:8443/", "https://a:8443/", "GET", true, false},
        {"GET", "https://a/x", 302, "http://a/", "http://a/", "GET", true, false},
        {"GET", "http://a/x/y#f", 302, "../z", "http://a/z#f", "GET", true, true},
        {"GET", "http://a/x#f", 302, "/z#g", "http://a/z#g", "GET", true, true},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        tr_err_t err = TR_ERR_INIT;
        tr_op_t *op;
        tr_code_t code = redirect(&op, rows[i].method, rows[i].from, rows[i].status, rows[i].location, 0, &err);
        bool same = code == TR_OK && tr_slice_eq(op->ask.url_text, tr_slice_cstr(rows[i].url)) &&
                    tr_slice_eq(op->ask.method, tr_slice_cstr(rows[i].new_method)) && op->ask.has_body == rows[i].body &&
                    has_header(op, "content-type") == rows[i].body && has_header(op, "authorization") == rows[i].credentials &&
                    has_header(op, "cookie") == rows[i].credentials && has_header(op, "x-own") && has_header(op, "accept") &&
                    op->ask.method_changed == !tr_slice_eq(op->ask.method, tr_slice_cstr(rows[i].method));
        tr_op_unref(op);
        if (code == TR_ERR_NOMEM && tr_test_oom_running()) {
            return;
        }
        if (!same) {
            tr_test_fail(__FILE__, __LINE__, "row %zu: %s to %s (%s)", i, rows[i].from, rows[i].location, err.msg);
        }
    }
}

TR_TEST(redirect_refused, "/client/redirect/refused")
{
    static const struct {
        const char *from, *location;
        uint32_t flags;
        tr_code_t code;
    } rows[] = {
        {"https://a/", "http://a/", TR_OP_HTTP2_ASKED, TR_ERR_REDIRECT_SCHEME},
        {"https://a/", "https://b/", TR_OP_HTTP2_ASKED, TR_OK},
        {"http://a/", "http://b/", TR_OP_HTTP2_ASKED, TR_OK},
        {"http://a/", "ftp://a/", 0, TR_ERR_REDIRECT_INVALID},
        {"http://a/", "javascript:alert(1)", 0, TR_ERR_REDIRECT_INVALID},
        {"http://a/", "http://", 0, TR_ERR_REDIRECT_INVALID},
        {"http://a/", "", 0, TR_ERR_REDIRECT_INVALID},
        {"http://a/", "http://a:99999/", 0, TR_ERR_REDIRECT_INVALID},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        tr_err_t err = TR_ERR_INIT;
        tr_op_t *op;
        tr_code_t code = redirect(&op, "GET", rows[i].from, 302, rows[i].location, rows[i].flags, &err);
        tr_op_unref(op);
        if (code != rows[i].code) {
            tr_test_fail(__FILE__, __LINE__, "row %zu: %s, not %s", i, tr_err_name(code), tr_err_name(rows[i].code));
        }
    }
}

TR_TEST(redirect_statuses, "/client/redirect/statuses")
{
    tr_headers_t headers;
    tr_headers_init(&headers);
    TR_CHECK(!tr_redirect_is(302, &headers));
    TR_CHECK_INT(tr_headers_add(&headers, TR_SLICE_LIT("Location"), TR_SLICE_LIT("/")), TR_OK);
    for (int status = 200; status < 400; status++) {
        bool expected = status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
        TR_CHECK_INT(tr_redirect_is(status, &headers), expected);
    }
    tr_headers_cleanup(&headers);
}

/* ------------------------------------------------------------------------------------------------------------ requests */

static tr_code_t
prepare(const char *method, const char *url, tr_slice_t name, tr_slice_t value, tr_err_t *err)
{
    tr_session_t *session = NULL;
    tr_code_t code = tr_session_new(&session, NULL, err);
    tr_op_t *op = code == TR_OK ? tr_op_new(session) : NULL;
    tr_session_unref(session);
    if (op == NULL) {
        return TR_ERR_NOMEM;
    }
    tr_field_t field = {name, value};
    tr_op_request_t request = {.method = tr_slice_cstr(method),
                               .url = tr_slice_cstr(url),
                               .headers = &field,
                               .num_headers = name.len > 0 ? 1 : 0,
                               .max_redirects = 1};
    code = tr_op_prepare(op, &request, err);
    tr_op_unref(op);
    return code;
}

TR_TEST_OOM(op_prepare, "/client/op/prepare")
{
    static const struct {
        const char *method, *url, *name, *value;
        tr_code_t code;
    } rows[] = {
        {"GET", "http://a/", "X-A", "1", TR_OK},
        {"GET", "http://user:p%40ss@a/", "X-A", "1", TR_OK},
        {"G T", "http://a/", "", "", TR_ERR_METHOD_INVALID},
        {"", "http://a/", "", "", TR_ERR_METHOD_INVALID},
        {"GET", "ftp://a/", "", "", TR_ERR_URL_SCHEME},
        {"GET", "http://a/", "X A", "1", TR_ERR_HEADER_INVALID},
        {"GET", "http://a/", "X-A", "1\r\nX-B: 2", TR_ERR_HEADER_INVALID},
        {"GET", "http://a/", ":path", "1", TR_ERR_HEADER_INVALID},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        tr_err_t err = TR_ERR_INIT;
        tr_code_t code = prepare(rows[i].method, rows[i].url, tr_slice_cstr(rows[i].name), tr_slice_cstr(rows[i].value), &err);
        if (code == TR_ERR_NOMEM && tr_test_oom_running()) {
            return;
        }
        if (code != rows[i].code) {
            tr_test_fail(__FILE__, __LINE__, "row %zu: %s, not %s", i, tr_err_name(code), tr_err_name(rows[i].code));
        }
    }
}

TR_TEST(op_authorization, "/client/op/authorization")
{
    static const struct {
        const char *url, *value;
    } rows[] = {{"http://a/", ""},
                {"http://user@a/", "Basic dXNlcjo="},
                {"http://Aladdin:open%20sesame@a/", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}, /* RFC 7617 2 */
                {"http://u:p:q%3a@a/", "Basic dTpwOnE6"}};
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        tr_err_t err = TR_ERR_INIT;
        tr_session_t *session;
        TR_CHECK_OK(tr_session_new(&session, NULL, &err), &err);
        tr_op_t *op = tr_op_new(session);
        tr_session_unref(session);
        tr_op_request_t request = {.method = TR_SLICE_LIT("GET"), .url = tr_slice_cstr(rows[i].url)};
        TR_CHECK_OK(tr_op_prepare(op, &request, &err), &err);
        TR_CHECK_SLICE(op->ask.authorization, rows[i].value);
        tr_op_unref(op);
    }
}
