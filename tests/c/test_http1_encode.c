/* HTTP/1.1 requests: the bytes that leave, whatever the size of a pull. */
#include "http1/h1.h"
#include "tr_test.h"

#define FIELD(name, value)                      \
    {                                           \
        TR_SLICE_LIT(name), TR_SLICE_LIT(value) \
    }

/* A body source that follows a script: each step is a text ("" with TR_OK is not used), a pause or the end. */
typedef struct step {
    tr_code_t code;
    const char *text;
} step_t;

typedef struct script {
    const step_t *steps;
    size_t num;
    size_t at;
    size_t off; /* into the step's text */
    size_t calls_after_end;
} script_t;

static tr_code_t
script_read(void *arg, uint8_t *out, size_t max, size_t *out_len, tr_err_t *err)
{
    script_t *script = arg;
    TR_CHECK(max > 0);
    *out_len = 0;
    if (script->at == script->num) {
        script->calls_after_end++;
        return TR_EOF;
    }
    const step_t *now = &script->steps[script->at];
    size_t left = strlen(now->text) - script->off;
    size_t len = TR_MIN(left, max);
    memcpy(out, now->text + script->off, len);
    *out_len = len;
    script->off += len;
    if (script->off < strlen(now->text)) {
        return TR_OK;
    }
    script->at++;
    script->off = 0;
    return tr_failed(now->code) ? tr_err_set(err, now->code, 3, "test.source", NULL) : now->code;
}

typedef struct result {
    int heads, ends, fails;
    tr_code_t code;
    char where[64];
    bool not_processed;
} result_t;

static void
on_informational(void *arg, int status, const tr_headers_t *headers)
{
    TR_UNUSED(arg);
    TR_UNUSED(status);
    TR_UNUSED(headers);
}

static void
on_head(void *arg, int status, tr_headers_t *headers)
{
    TR_UNUSED(status);
    TR_UNUSED(headers);
    ((result_t *)arg)->heads++;
}

static tr_code_t
on_data(void *arg, tr_slice_t data, tr_chunk_t **chunk, tr_err_t *err)
{
    TR_UNUSED(arg);
    TR_UNUSED(data);
    TR_UNUSED(chunk);
    TR_UNUSED(err);
    return TR_OK;
}

static void
on_end(void *arg, const tr_headers_t *trailers)
{
    TR_UNUSED(trailers);
    ((result_t *)arg)->ends++;
}

static void
on_fail(void *arg, const tr_err_t *err, bool not_processed)
{
    result_t *result = arg;
    result->fails++;
    result->code = err->code;
    result->not_processed = not_processed;
    (void)snprintf(result->where, sizeof(result->where), "%s", err->where);
}

static const tr_exchange_events_t events = {on_informational, on_head, on_data, on_end, on_fail};

static tr_request_head_t
request(const char *method, const char *target, const tr_field_t *fields, size_t num_fields)
{
    return (tr_request_head_t){tr_slice_cstr(method),
                               TR_SLICE_LIT("http"),
                               TR_SLICE_LIT("h"),
                               tr_slice_cstr(target),
                               fields,
                               num_fields,
                               {false, 0, TR_SLICE_NULL, NULL, NULL}, 0, false, TR_SLICE_NULL};
}

/* Submits and pulls everything in pieces of max; the script starts over. Returns the last code. */
static tr_code_t
pull_all(tr_buf_t *out, result_t *result, const tr_request_head_t *head, size_t max, tr_err_t *err)
{
    tr_h1_t *h1 = NULL;
    *result = (result_t){0};
    tr_code_t code = tr_h1_new(&h1, NULL, err);
    if (code == TR_OK && head->body.read != NULL) {
        script_t *script = head->body.arg;
        script->at = script->off = 0;
    }
    code = code == TR_OK ? tr_h1_submit(h1, head, &events, result, err) : code;
    if (code == TR_OK) {
        TR_CHECK(!tr_h1_wrote_any(h1) && !tr_h1_wrote_all(h1));
        for (int turns = 0;; turns++) {
            size_t before = out->len;
            TR_CHECK(turns < 10000);
            code = tr_h1_pull(h1, out, max, err);
            if (code == TR_PAUSED) {
                TR_CHECK_INT(out->len, before);
                TR_CHECK_INT(tr_h1_pull(h1, out, max, err), TR_PAUSED);
                tr_h1_resume_body(h1);
                continue;
            }
            if (code != TR_OK) {
                break;
            }
            TR_CHECK(out->len > before);
            TR_CHECK(out->len - before <= TR_MAX(max, (size_t)300));
            TR_CHECK(tr_h1_wrote_any(h1));
        }
        TR_CHECK(tr_h1_wrote_all(h1) || code != TR_AGAIN);
    }
    tr_h1_free(h1);
    return code;
}

static void
expect(const tr_request_head_t *head, const char *expected)
{
    static const size_t sizes[] = {1, 7, 300, 16384};
    for (size_t i = 0; i < TR_ARRAY_LEN(sizes); i++) {
        tr_buf_t out = TR_BUF_INIT;
        tr_err_t err = TR_ERR_INIT;
        result_t result;
        tr_code_t code = pull_all(&out, &result, head, sizes[i], &err);
        if (code == TR_ERR_NOMEM && tr_test_oom_running()) {
            tr_buf_cleanup(&out);
            return;
        }
        TR_CHECK_INT(code, TR_AGAIN);
        TR_CHECK_SLICE(tr_buf_slice(&out), expected);
        TR_CHECK_INT(result.fails, 0);
        tr_buf_cleanup(&out);
    }
}

TR_TEST_OOM(h1_request, "/http1/request/get")
{
    const tr_field_t fields[] = {FIELD("Host", "example.com:8080"), FIELD("x-MIXED-case", "a  b\t\xc3\xa4\x01"),
                                 FIELD("Empty", ""), FIELD("accept", "*/*"), FIELD("accept", "text/html")};
    tr_request_head_t head = request("GET", "/a?b=%20#c", fields, 5);
    expect(&head, "GET /a?b=%20#c HTTP/1.1\r\nHost: example.com:8080\r\nx-MIXED-case: a  "
                  "b\t\xc3\xa4\x01\r\nEmpty:\r\naccept: */*\r\n"
                  "accept: text/html\r\n\r\n");
    head = request("CONNECT", "example.com:443", fields, 0);
    expect(&head, "CONNECT example.com:443 HTTP/1.1\r\n\r\n");
}

TR_TEST_OOM(h1_request_bytes, "/http1/request/body_of_bytes")
{
    const tr_field_t fields[] = {FIELD("Host", "h"), FIELD("Content-Length", "11"), FIELD("Last", "x")};
    tr_request_head_t head = request("POST", "/", fields, 3);
    head.body = (tr_body_source_t){true, 11, TR_SLICE_LIT("hello world"), NULL, NULL};
    expect(&head, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\nLast: x\r\n\r\nhello world");
    /* The length is added where it is missing: a body without one would be the next request. */
    head.num_fields = 1;
    expect(&head, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello world");
    head.body = (tr_body_source_t){true, 0, TR_SLICE_NULL, NULL, NULL};
    expect(&head, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    /* Transfer-encoding is the engine's. */
    const tr_field_t coding[] = {FIELD("Transfer-Encoding", "chunked"), FIELD("transfer-encoding", "gzip")};
    head = request("POST", "/", coding, 2);
    head.body = (tr_body_source_t){true, 1, TR_SLICE_LIT("x"), NULL, NULL};
    expect(&head, "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx");
}

TR_TEST(h1_request_one_pull, "/http1/request/head_and_body_in_one_pull")
{
    tr_field_t length = FIELD("Content-Length", "5");
    tr_request_head_t head = request("POST", "/", &length, 1);
    const step_t steps[] = {{TR_EOF, "hello"}};
    script_t script = {steps, 1, 0, 0, 0};
    head.body = (tr_body_source_t){true, 5, TR_SLICE_NULL, script_read, &script};
    tr_h1_t *h1 = NULL;
    tr_err_t err = TR_ERR_INIT;
    result_t result = {0};
    tr_buf_t out = TR_BUF_INIT;
    TR_CHECK_OK(tr_h1_new(&h1, NULL, &err), &err);
    TR_CHECK_OK(tr_h1_submit(h1, &head, &events, &result, &err), &err);
    TR_CHECK_OK(tr_h1_pull(h1, &out, 16384, &err), &err);
    TR_CHECK_SLICE(tr_buf_slice(&out), "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
    TR_CHECK(tr_h1_wrote_all(h1));
    TR_CHECK_INT(tr_h1_pull(h1, &out, 16384, &err), TR_AGAIN);
    TR_CHECK_INT(script.calls_after_end, 0);
    tr_buf_cleanup(&out);
    tr_h1_free(h1);
}

TR_TEST_OOM(h1_request_source, "/http1/request/body_of_source")
{
    tr_field_t length = FIELD("Content-Length", "11");
    tr_request_head_t head = request("PUT", "/", &length, 1);
    const step_t plain[] = {{TR_PAUSED, ""}, {TR_OK, "hel"}, {TR_PAUSED, ""}, {TR_OK, "lo world"}, {TR_PAUSED, ""}};
    const step_t with_end[] = {{TR_OK, "hello"}, {TR_EOF, " world"}};
    script_t script = {plain, 5, 0, 0, 0};
    head.body = (tr_body_source_t){true, 11, TR_SLICE_NULL, script_read, &script};
    /* A pause behind the last byte is no reason to wait: the loop of pull_all resumes it nevertheless. */
    expect(&head, "PUT / HTTP/1.1\r\nContent-Length: 11\r\n\r\nhello world");
    script = (script_t){with_end, 2, 0, 0, 0};
    expect(&head, "PUT / HTTP/1.1\r\nContent-Length: 11\r\n\r\nhello world");
    length.value = TR_SLICE_LIT("0");
    script = (script_t){NULL, 0, 0, 0, 0};
    head.body.len = 0;
    expect(&head, "PUT / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
}

TR_TEST_OOM(h1_request_chunked, "/http1/request/chunked")
{
    const tr_field_t fields[] = {FIELD("Host", "h"), FIELD("Content-Length", "3")};
    tr_request_head_t head = request("POST", "/", fields, 2);
    const step_t steps[] = {{TR_OK, "a"}, {TR_PAUSED, ""}, {TR_OK, "hello brave new world"}, {TR_EOF, ""}};
    script_t script = {steps, 4, 0, 0, 0};
    head.body = (tr_body_source_t){true, -1, TR_SLICE_NULL, script_read, &script};
    expect(&head, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n15\r\nhello brave new "
                  "world\r\n0\r\n\r\n");
    const step_t last[] = {{TR_EOF, "xyz"}};
    const tr_field_t coding[] = {FIELD("transfer-encoding", "gzip"), FIELD("transfer-encoding", "chunked"),
                                 FIELD("Host", "h")};
    script = (script_t){last, 1, 0, 0, 0};
    head.fields = coding;
    head.num_fields = 3;
    expect(&head, "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nHost: h\r\n\r\n3\r\nxyz\r\n0\r\n\r\n");
    const step_t nothing[] = {{TR_EOF, ""}};
    script = (script_t){nothing, 1, 0, 0, 0};
    expect(&head, "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nHost: h\r\n\r\n0\r\n\r\n");
}

/* A long chunked body: framing must be right at each size of a pull. */
TR_TEST(h1_request_chunked_long, "/http1/request/chunked_long")
{
    static char text[100001];
    static const size_t sizes[] = {1, 256, 1000, 16384, 70000};
    memset(text, 'x', sizeof(text) - 1);
    const step_t steps[] = {{TR_OK, text}};
    script_t script = {steps, 1, 0, 0, 0};
    tr_request_head_t head = request("POST", "/", NULL, 0);
    head.body = (tr_body_source_t){true, -1, TR_SLICE_NULL, script_read, &script};
    for (size_t i = 0; i < TR_ARRAY_LEN(sizes); i++) {
        tr_buf_t out = TR_BUF_INIT;
        tr_err_t err = TR_ERR_INIT;
        result_t result;
        TR_CHECK_INT(pull_all(&out, &result, &head, sizes[i], &err), TR_AGAIN);
        const char *p = strstr((const char *)out.data, "\r\n\r\n") + 4;
        size_t total = 0;
        for (;;) {
            char *end;
            unsigned long len = strtoul(p, &end, 16);
            TR_CHECK(memcmp(end, "\r\n", 2) == 0);
            TR_CHECK_INT(strspn(end + 2, "x"), len);
            p = end + 2 + len;
            TR_CHECK(memcmp(p, "\r\n", 2) == 0);
            p += 2;
            total += len;
            if (len == 0) {
                break;
            }
        }
        TR_CHECK_INT(total, sizeof(text) - 1);
        TR_CHECK(p == (const char *)out.data + out.len);
        tr_buf_cleanup(&out);
    }
}

/* ----------------------------------------------------------------------------------------- refused */

static void
refuse(const tr_request_head_t *head, tr_code_t expected, const char *in_message)
{
    tr_h1_t *h1 = NULL;
    tr_err_t err = TR_ERR_INIT;
    result_t result = {0};
    tr_buf_t out = TR_BUF_INIT;
    TR_CHECK_OK(tr_h1_new(&h1, NULL, &err), &err);
    tr_code_t code = tr_h1_submit(h1, head, &events, &result, &err);
    if (code != expected || err.code != code) {
        tr_test_fail(__FILE__, __LINE__, "%.*s gives %s, not %s", (int)head->target.len,
                     (const char *)head->target.data, tr_err_name(code), tr_err_name(expected));
    }
    TR_CHECK(in_message == NULL || strstr(err.msg, in_message) != NULL);
    /* Nothing is sent, nothing is called, and the connection is as good as before. */
    TR_CHECK_INT(tr_h1_pull(h1, &out, 1000, &err), TR_AGAIN);
    TR_CHECK_INT(out.len, 0);
    TR_CHECK_INT(result.fails, 0);
    TR_CHECK(tr_h1_can_reuse(h1));
    tr_request_head_t good = request("GET", "/", NULL, 0);
    TR_CHECK_OK(tr_h1_submit(h1, &good, &events, &result, &err), &err);
    TR_CHECK_OK(tr_h1_pull(h1, &out, 1000, &err), &err);
    TR_CHECK_SLICE(tr_buf_slice(&out), "GET / HTTP/1.1\r\n\r\n");
    tr_buf_cleanup(&out);
    tr_h1_free(h1);
}

TR_TEST(h1_request_refused, "/http1/request/refused")
{
    static const char *const methods[] = {"",           "GET ", "G ET",  "GET\r\nX: y", "GE\tT",
                                          "G\xc3\x84T", "GET:", "(GET)", "GET\x7f"};
    for (size_t i = 0; i < TR_ARRAY_LEN(methods); i++) {
        tr_request_head_t head = request(methods[i], "/", NULL, 0);
        refuse(&head, TR_ERR_METHOD_INVALID, NULL);
    }
    static const char *const targets[] = {
        "", " /", "/ ", "/a b", "/a\tb", "/a\r\nX: y", "/a HTTP/1.1\r\n\r\n", "/\n", "/\x01", "/\x7f", "/\xc3\xa4"};
    for (size_t i = 0; i < TR_ARRAY_LEN(targets); i++) {
        tr_request_head_t head = request("GET", targets[i], NULL, 0);
        refuse(&head, TR_ERR_URL_INVALID, NULL);
    }
    static const char *const names[] = {"",         "a b",   "a:",    "a\r\nb", " a",    "a ", "a\tb",
                                        "\xc3\xa4", "a\x7f", "a\x01", "a(",     "\"a\"", "a/b"};
    for (size_t i = 0; i < TR_ARRAY_LEN(names); i++) {
        tr_field_t field = {tr_slice_cstr(names[i]), TR_SLICE_LIT("x")};
        tr_request_head_t head = request("GET", "/", &field, 1);
        refuse(&head, TR_ERR_HEADER_INVALID, NULL);
    }
    static const struct {
        const char *value;
        size_t len;
    } values[] = {{"a\r\nb", 4},        {"a\nb", 3}, {"a\rb", 3},
                  {"a\0b", 3},          {"\n", 1},   {"long enough for a word\n", 23},
                  {"0123456789\r", 11}, {"\0", 1}};
    for (size_t i = 0; i < TR_ARRAY_LEN(values); i++) {
        tr_field_t field = {TR_SLICE_LIT("X-Evil"), tr_slice(values[i].value, values[i].len)};
        tr_request_head_t head = request("GET", "/", &field, 1);
        refuse(&head, TR_ERR_HEADER_INVALID, "X-Evil");
    }
}

TR_TEST(h1_request_lengths, "/http1/request/refused_lengths")
{
    static const char *const lengths[] = {"4", "6", "", "+5", "5;", "0x5", "5, 6", "-1"};
    for (size_t i = 0; i < TR_ARRAY_LEN(lengths); i++) {
        tr_field_t field = {TR_SLICE_LIT("Content-Length"), tr_slice_cstr(lengths[i])};
        tr_request_head_t head = request("POST", "/", &field, 1);
        head.body = (tr_body_source_t){true, 5, TR_SLICE_LIT("hello"), NULL, NULL};
        refuse(&head, TR_ERR_HEADER_INVALID, "content-length");
    }
    const tr_field_t twice[] = {FIELD("Content-Length", "5"), FIELD("content-length", "5")};
    tr_request_head_t head = request("POST", "/", twice, 2);
    head.body = (tr_body_source_t){true, 5, TR_SLICE_LIT("hello"), NULL, NULL};
    refuse(&head, TR_ERR_HEADER_INVALID, "content-length");
    head = request("GET", "/", twice, 1); /* a length without a body */
    refuse(&head, TR_ERR_HEADER_INVALID, "content-length");
    head = request("POST", "/", NULL, 0);
    head.body = (tr_body_source_t){true, 6, TR_SLICE_LIT("hello"), NULL, NULL};
    refuse(&head, TR_ERR_REQUEST_BODY, NULL);
}

static void
break_body(int64_t len, const step_t *steps, size_t num, size_t max, tr_code_t expected, const char *where)
{
    script_t script = {steps, num, 0, 0, 0};
    tr_request_head_t head = request("POST", "/", NULL, 0);
    tr_buf_t out = TR_BUF_INIT;
    tr_err_t err = TR_ERR_INIT;
    result_t result;
    head.body = (tr_body_source_t){true, len, TR_SLICE_NULL, script_read, &script};
    TR_CHECK_INT(pull_all(&out, &result, &head, max, &err), expected);
    TR_CHECK_INT(result.fails, 1);
    TR_CHECK_INT(result.code, expected);
    TR_CHECK(strcmp(result.where, where) == 0);
    TR_CHECK(strcmp(err.where, where) == 0);
    TR_CHECK(!result.not_processed);
    tr_buf_cleanup(&out);
}

TR_TEST(h1_request_broken_body, "/http1/request/broken_body")
{
    const step_t five[] = {{TR_OK, "hello"}};
    const step_t failing[] = {{TR_OK, "he"}, {TR_ERR_SYSTEM, ""}};
    const step_t nothing[] = {{TR_OK, ""}};
    static const size_t sizes[] = {1, 5, 100, 16384};
    for (size_t i = 0; i < TR_ARRAY_LEN(sizes); i++) {
        break_body(6, five, 1, sizes[i], TR_ERR_REQUEST_BODY, "http1.request_body");
        break_body(4, five, 1, sizes[i], TR_ERR_REQUEST_BODY, "http1.request_body");
        break_body(1, five, 1, sizes[i], TR_ERR_REQUEST_BODY, "http1.request_body");
        break_body(0, five, 1, sizes[i], TR_ERR_REQUEST_BODY, "http1.request_body");
        break_body(5, failing, 2, sizes[i], TR_ERR_SYSTEM, "test.source");
        break_body(-1, failing, 2, sizes[i], TR_ERR_SYSTEM, "test.source");
        break_body(-1, nothing, 1, sizes[i], TR_ERR_INTERNAL, "http1.request_body");
    }
}

/* The answer is complete before the request: the exchange ends, the rest of the body is not sent, the connection is
 * not reused. */
TR_TEST(h1_request_early_answer, "/http1/request/early_answer")
{
    const step_t steps[] = {{TR_OK, "hel"}, {TR_PAUSED, ""}, {TR_OK, "lo"}};
    script_t script = {steps, 3, 0, 0, 0};
    tr_request_head_t head = request("POST", "/", NULL, 0);
    tr_h1_t *h1 = NULL;
    tr_err_t err = TR_ERR_INIT;
    result_t result = {0};
    tr_buf_t out = TR_BUF_INIT;
    tr_bufq_t in;
    tr_bufq_init(&in, 0);
    head.body = (tr_body_source_t){true, 5, TR_SLICE_NULL, script_read, &script};
    TR_CHECK_OK(tr_h1_new(&h1, NULL, &err), &err);
    TR_CHECK_OK(tr_h1_submit(h1, &head, &events, &result, &err), &err);
    TR_CHECK_OK(tr_h1_pull(h1, &out, 1000, &err), &err);
    TR_CHECK_INT(tr_h1_pull(h1, &out, 1000, &err), TR_PAUSED);
    TR_CHECK(!tr_h1_wrote_all(h1));
    TR_CHECK_INT(tr_bufq_append(&in, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n", 38), TR_OK);
    TR_CHECK_OK(tr_h1_feed(h1, &in, &err), &err);
    TR_CHECK_INT(result.ends, 1);
    TR_CHECK(tr_h1_is_idle(h1) && !tr_h1_can_reuse(h1) && !tr_h1_wrote_all(h1));
    tr_h1_resume_body(h1);
    size_t before = out.len;
    TR_CHECK_INT(tr_h1_pull(h1, &out, 1000, &err), TR_AGAIN);
    TR_CHECK_INT(out.len, before);
    TR_CHECK_INT(script.at, 2);
    tr_bufq_cleanup(&in);
    tr_buf_cleanup(&out);
    tr_h1_free(h1);
}

/* A source that cancels its own exchange. */
static tr_code_t
cancel_read(void *arg, uint8_t *out, size_t max, size_t *out_len, tr_err_t *err)
{
    TR_UNUSED(max);
    TR_UNUSED(err);
    tr_h1_cancel(*(tr_h1_t **)arg);
    out[0] = 'x';
    *out_len = 1;
    return TR_OK;
}

TR_TEST(h1_request_cancel, "/http1/request/source_cancels")
{
    for (int64_t len = -1; len < 3; len++) {
        tr_request_head_t head = request("POST", "/", NULL, 0);
        tr_h1_t *h1 = NULL;
        tr_err_t err = TR_ERR_INIT;
        result_t result = {0};
        tr_buf_t out = TR_BUF_INIT;
        head.body = (tr_body_source_t){true, len, TR_SLICE_NULL, cancel_read, &h1};
        TR_CHECK_OK(tr_h1_new(&h1, NULL, &err), &err);
        TR_CHECK_OK(tr_h1_submit(h1, &head, &events, &result, &err), &err);
        TR_CHECK_INT(tr_h1_pull(h1, &out, 1000, &err), TR_ERR_CANCELLED);
        TR_CHECK_INT(result.fails + result.ends, 0);
        tr_buf_cleanup(&out);
        tr_h1_free(h1);
    }
}
