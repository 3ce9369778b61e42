/* HTTP/1.1 responses as event logs. Each scenario is fed whole, byte by byte, and in two parts at each place; the
 * log must not depend on that. */
#include <stdarg.h>
#include <sys/types.h>

#include "core/limits.h"
#include "http1/h1.h"
#include "tr_test.h"

#define LOG_MAX 8192

typedef struct log {
    char text[LOG_MAX];
    size_t len;
    bool in_data; /* the last line is data that may go on */
    tr_h1_t *h1;
    bool pause;   /* each data event pauses */
    size_t taken; /* chunks taken over */
    size_t num_data;
    size_t num_last; /* end or fail events */
} log_t;

static void put(log_t *log, const char *fmt, ...) TR_PRINTF(2, 3);

static void
put(log_t *log, const char *fmt, ...)
{
    va_list args;
    if (log->in_data) {
        log->in_data = false;
        put(log, "\"\n");
    }
    va_start(args, fmt);
    int len = vsnprintf(log->text + log->len, LOG_MAX - log->len, fmt, args);
    va_end(args);
    TR_CHECK(len >= 0 && (size_t)len < LOG_MAX - log->len);
    log->len += (size_t)len;
}

static void
put_fields(log_t *log, const tr_headers_t *headers)
{
    for (size_t i = 0; i < headers->len; i++) {
        tr_field_t field = tr_headers_at(headers, i);
        put(log, "  %.*s: %.*s\n", (int)field.name.len, (const char *)field.name.data, (int)field.value.len,
            (const char *)field.value.data);
    }
}

static void
on_informational(void *arg, int status, const tr_headers_t *headers)
{
    put(arg, "info %d\n", status);
    put_fields(arg, headers);
}

static void
on_head(void *arg, int status, tr_headers_t *headers)
{
    put(arg, "head %d\n", status);
    put_fields(arg, headers);
}

static tr_code_t
on_data(void *arg, tr_slice_t data, tr_chunk_t **chunk, tr_err_t *err)
{
    log_t *log = arg;
    TR_UNUSED(err);
    if (!log->in_data) {
        put(log, "data \"");
        log->in_data = true;
    }
    for (size_t i = 0; i < data.len; i++) {
        uint8_t c = data.data[i];
        int len = snprintf(log->text + log->len, LOG_MAX - log->len, c >= 0x20 && c < 0x7f ? "%c" : "<%02x>", c);
        TR_CHECK(len >= 0 && (size_t)len < LOG_MAX - log->len);
        log->len += (size_t)len;
    }
    log->num_data++;
    if (*chunk != NULL) {
        TR_CHECK(tr_slice_eq(tr_chunk_slice(*chunk), data));
        tr_chunk_free(*chunk);
        *chunk = NULL;
        log->taken++;
    }
    return log->pause ? TR_PAUSED : TR_OK;
}

static void
on_end(void *arg, const tr_headers_t *trailers)
{
    log_t *log = arg;
    put(log, "end\n");
    put_fields(log, trailers);
    log->num_last++;
}

static void
on_fail(void *arg, const tr_err_t *err, bool not_processed)
{
    log_t *log = arg;
    put(log, "fail %s %s%s\n", tr_err_name(err->code), err->where, not_processed ? " not_processed" : "");
    log->num_last++;
}

static const tr_exchange_events_t events = {on_informational, on_head, on_data, on_end, on_fail};

typedef struct run {
    const char *method;
    const tr_field_t *fields;
    size_t num_fields;
    const tr_h1_limits_t *limits;
    bool eof;
    bool pause;
    size_t split; /* 0: whole, SIZE_MAX: bytewise; else the length of the first part */
} run_t;

static tr_code_t
submit(tr_h1_t *h1, log_t *log, const char *method, const tr_field_t *fields, size_t num_fields, tr_err_t *err)
{
    tr_request_head_t head = {tr_slice_cstr(method),
                              TR_SLICE_LIT("http"),
                              TR_SLICE_LIT("h"),
                              TR_SLICE_LIT("/"),
                              fields,
                              num_fields,
                              {false, 0, TR_SLICE_NULL, NULL, NULL}, 0, false, TR_SLICE_NULL};
    tr_buf_t out = TR_BUF_INIT;
    tr_code_t code = tr_h1_submit(h1, &head, &events, log, err);
    code = code == TR_OK ? tr_h1_pull(h1, &out, 16384, err) : code;
    tr_buf_cleanup(&out);
    return code;
}

static tr_code_t
feed(tr_h1_t *h1, log_t *log, tr_bufq_t *in, tr_err_t *err)
{
    tr_code_t code = tr_h1_feed(h1, in, err);
    while (code == TR_PAUSED) {
        TR_CHECK(log->pause);
        TR_CHECK_INT(tr_h1_feed(h1, in, err), TR_PAUSED);
        tr_h1_resume(h1);
        code = tr_h1_feed(h1, in, err);
    }
    return code;
}

/* Pushes part of the response as a chunk of its own. */
static tr_code_t
push(tr_bufq_t *in, tr_slice_t part)
{
    tr_chunk_t *chunk = tr_chunk_new(part.len);
    if (chunk == NULL) {
        return TR_ERR_NOMEM;
    }
    if (part.len > 0) {
        memcpy(chunk->data, part.data, part.len);
    }
    chunk->len = part.len;
    return tr_bufq_push(in, chunk);
}

static tr_code_t
run(log_t *log, const run_t *how, tr_slice_t response)
{
    tr_h1_t *h1 = NULL;
    tr_err_t err = TR_ERR_INIT;
    tr_bufq_t in;
    size_t at = 0;
    *log = (log_t){.pause = how->pause};
    tr_bufq_init(&in, 0);
    tr_code_t code = tr_h1_new(&h1, how->limits, &err);
    if (code != TR_OK) {
        goto done;
    }
    code = submit(h1, log, how->method == NULL ? "GET" : how->method, how->fields, how->num_fields, &err);
    if (code != TR_OK) {
        goto done;
    }
    size_t part = how->split == 0 ? response.len : how->split == SIZE_MAX ? 1 : TR_MIN(how->split, response.len);
    while (at < response.len && log->num_last == 0) {
        code = push(&in, tr_slice(response.data + at, part));
        if (code != TR_OK) {
            goto done;
        }
        at += part;
        part = how->split == SIZE_MAX ? 1 : response.len - at;
        code = feed(h1, log, &in, &err);
    }
    size_t left = in.len + (response.len - at);
    if (how->eof && log->num_last == 0) {
        code = tr_h1_eof(h1, &err);
    }
    if (code == TR_ERR_NOMEM) {
        goto done;
    }
    bool idle = tr_h1_is_idle(h1);
    TR_CHECK_INT(log->num_last, idle ? 1 : 0);
    TR_CHECK((code == TR_OK) == !tr_failed(code));
    put(log, "%s%s%s", tr_err_name(code),
        !idle                              ? " running"
        : tr_h1_can_reuse(h1) && left == 0 ? " reusable"
                                           : "",
        left > 0 && !tr_failed(code) ? " left over" : "");
    if (tr_failed(code)) {
        tr_err_t again = TR_ERR_INIT;
        TR_CHECK_INT(tr_h1_feed(h1, &in, &again), code);
        TR_CHECK(strcmp(again.where, err.where) == 0);
    }
done:
    tr_bufq_cleanup(&in);
    tr_h1_free(h1);
    return code;
}

static void
expect_how(const run_t *base, tr_slice_t response, const char *expected)
{
    static log_t log;
    run_t how = *base;
    /* With failing allocations: whole and byte by byte. */
    size_t step = tr_test_oom_running() ? TR_MAX(response.len, (size_t)1) : 1;
    for (size_t i = 0; i <= response.len; i += step) {
        how.split = i == response.len ? SIZE_MAX : i;
        tr_code_t code = run(&log, &how, response);
        if (code == TR_ERR_NOMEM && tr_test_oom_running()) {
            return;
        }
        if (strcmp(log.text, expected) != 0) {
            tr_test_fail(__FILE__, __LINE__, "\"%.*s\" split %zd:\n%s\nnot:\n%s", (int)response.len,
                         (const char *)response.data, (ssize_t)how.split, log.text, expected);
        }
    }
}

/* As a GET, with an orderly close behind the bytes. */
static void
expect(const char *response, const char *expected)
{
    run_t how = {.eof = true};
    expect_how(&how, tr_slice_cstr(response), expected);
}

/* ------------------------------------------------------------------------------- what is accepted */

TR_TEST_OOM(h1_length, "/http1/response/content_length")
{
    expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer:  nginx \t\r\nX-Empty:\r\n\r\nhello",
           "head 200\n  Content-Length: 5\n  Server: nginx\n  X-Empty: \ndata \"hello\"\nend\nOK reusable");
}

TR_TEST(h1_length_kinds, "/http1/response/content_length_kinds")
{
    expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "head 200\n  Content-Length: 0\nend\nOK reusable");
    expect("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nCONTENT-LENGTH: 2\r\n\r\nab",
           "head 200\n  content-length: 2\n  CONTENT-LENGTH: 2\ndata \"ab\"\nend\nOK reusable");
    expect("HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nab",
           "head 200\n  content-length: 2, 2\ndata \"ab\"\nend\nOK reusable");
    /* Bytes behind the response belong to nobody. */
    expect("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n\r\n",
           "head 200\n  content-length: 2\ndata \"ab\"\nend\nOK left over");
}

TR_TEST(h1_status_line, "/http1/response/status_line")
{
    expect("HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", "head 200\n  content-length: 0\nend\nOK reusable");
    expect("HTTP/1.1 404 \r\ncontent-length: 0\r\n\r\n", "head 404\n  content-length: 0\nend\nOK reusable");
    expect("HTTP/1.1 999 Request denied\r\ncontent-length: 0\r\n\r\n",
           "head 999\n  content-length: 0\nend\nOK reusable");
    expect("HTTP/1.9 200 OK\r\ncontent-length: 0\r\n\r\n", "head 200\n  content-length: 0\nend\nOK reusable");
    expect("HTTP/1.1 200 \xc3\xa4\xe4\t!\r\ncontent-length: 0\r\n\r\n",
           "head 200\n  content-length: 0\nend\nOK reusable");
}

TR_TEST_OOM(h1_chunked, "/http1/response/chunked")
{
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
           "5\r\nhello\r\n1;name=\"a;b\"\r\n \r\n0B ;x\r\nbig\r\n\r\nworld\r\n000\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n",
           "head 200\n  Transfer-Encoding: chunked\ndata \"hello big<0d><0a><0d><0a>worl\"\n"
           "fail H1_PROTOCOL http1.chunk_end\nH1_PROTOCOL");
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
           "5\r\nhello\r\n1;name=\"a;b\"\r\n \r\n0C ;x\r\nbig\r\n\r\nworld\r\n000\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n",
           "head 200\n  Transfer-Encoding: Chunked\ndata \"hello big<0d><0a><0d><0a>world\"\nend\n  X-Sum: 1\n  "
           "x-sum: 2\nOK reusable");
}

TR_TEST(h1_chunk_padding, "/http1/response/chunk_padding")
{
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5     \r\nhello\r\n2\t \r\n, \r\n0   \r\n\r\n",
           "head 200\n  Transfer-Encoding: chunked\ndata \"hello, \"\nend\nOK reusable");
}

TR_TEST(h1_chunked_empty, "/http1/response/chunked_empty")
{
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           "head 200\n  Transfer-Encoding: chunked\nend\nOK reusable");
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
           "head 200\n  Transfer-Encoding: chunked\n  Connection: close\nend\nOK");
}

TR_TEST(h1_eof_body, "/http1/response/until_close")
{
    expect("HTTP/1.1 200 OK\r\n\r\nall of\r\n\r\nthis", "head 200\ndata \"all of<0d><0a><0d><0a>this\"\nend\nOK");
    expect("HTTP/1.1 200 OK\r\n\r\n", "head 200\nend\nOK");
    expect("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nx",
           "head 200\n  Connection: keep-alive\ndata \"x\"\nend\nOK");
}

TR_TEST(h1_keep_alive, "/http1/response/keep_alive")
{
    expect("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "head 200\n  Content-Length: 0\nend\nOK");
    expect("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: x, Keep-Alive\r\n\r\n",
           "head 200\n  Content-Length: 0\n  Connection: x, Keep-Alive\nend\nOK reusable");
    expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive, CLOSE\r\n\r\n",
           "head 200\n  Content-Length: 0\n  Connection: keep-alive, CLOSE\nend\nOK");
    tr_field_t close = {TR_SLICE_LIT("Connection"), TR_SLICE_LIT("close")};
    run_t how = {.fields = &close, .num_fields = 1};
    expect_how(&how, TR_SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
               "head 200\n  Content-Length: 0\nend\nOK");
}

TR_TEST(h1_no_body, "/http1/response/no_body")
{
    expect("HTTP/1.1 204 No Content\r\n\r\n", "head 204\nend\nOK reusable");
    expect("HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
           "head 304\n  Content-Length: 10\nend\nOK reusable");
    run_t how = {.method = "HEAD"};
    expect_how(&how, TR_SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
               "head 200\n  Content-Length: 10\nend\nOK reusable");
    expect_how(&how, TR_SLICE_LIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
               "head 200\n  Transfer-Encoding: chunked\nend\nOK reusable");
    expect_how(&how, TR_SLICE_LIT("HTTP/1.1 200 OK\r\n\r\n"), "head 200\nend\nOK reusable");
    /* Methods are case-sensitive: this is no HEAD. */
    how.method = "head";
    how.eof = true;
    expect_how(&how, TR_SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
               "head 200\n  Content-Length: 1\ndata \"x\"\nend\nOK reusable");
}

TR_TEST(h1_connect, "/http1/response/connect")
{
    run_t how = {.method = "CONNECT"};
    expect_how(&how, TR_SLICE_LIT("HTTP/1.1 200 Established\r\nContent-Length: 10\r\n\r\n\x16\x03\x03"),
               "head 200\n  Content-Length: 10\nend\nOK left over");
    expect_how(&how, TR_SLICE_LIT("HTTP/1.1 407 Who?\r\nContent-Length: 1\r\n\r\nx"),
               "head 407\n  Content-Length: 1\ndata \"x\"\nend\nOK reusable");
}

TR_TEST(h1_informational, "/http1/response/informational")
{
    expect("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 9\r\n\r\n"
           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
           "info 100\ninfo 103\n  Link: </a>\n  Content-Length: 9\nhead 200\n  Content-Length: 1\ndata "
           "\"x\"\nend\nOK reusable");
    char many[17 * 40 + 1] = "";
    char expected[17 * 10 + 80] = "";
    for (int i = 0; i < 17; i++) {
        memcpy(many + strlen(many), "HTTP/1.1 102 Processing\r\n\r\n", sizeof("HTTP/1.1 102 Processing\r\n\r\n"));
        if (i < TR_HTTP_MAX_INFORMATIONAL) {
            memcpy(expected + strlen(expected), "info 102\n", sizeof("info 102\n"));
        }
    }
    memcpy(expected + strlen(expected), "fail H1_PROTOCOL http1.informational\nH1_PROTOCOL",
           sizeof("fail H1_PROTOCOL http1.informational\nH1_PROTOCOL"));
    expect(many, expected);
}

TR_TEST(h1_upgrade, "/http1/response/upgrade")
{
    expect("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "fail H1_PROTOCOL http1.upgrade\nH1_PROTOCOL");
    tr_field_t fields[] = {{TR_SLICE_LIT("Connection"), TR_SLICE_LIT("Upgrade")},
                           {TR_SLICE_LIT("Upgrade"), TR_SLICE_LIT("x")}};
    run_t how = {.fields = fields, .num_fields = 2};
    expect_how(&how, TR_SLICE_LIT("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\x81"),
               "head 101\n  Upgrade: x\nend\nOK left over");
}

/* -------------------------------------------------------------------------------- what is refused */

TR_TEST(h1_truncated, "/http1/response/truncated")
{
    expect("", "fail CLOSED_EARLY http1.eof_before_head\nCLOSED_EARLY");
    expect("HTTP/1.1 200 OK\r\nA: b", "fail CLOSED_EARLY http1.eof_in_head\nCLOSED_EARLY");
    expect("HTTP/1.1 100 Continue\r\n\r\n", "info 100\nfail CLOSED_EARLY http1.eof_in_head\nCLOSED_EARLY");
    expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
           "head 200\n  Content-Length: 5\ndata \"hell\"\nfail BODY_TRUNCATED http1.eof_in_body\nBODY_TRUNCATED");
    static const char *const cut[] = {"",
                                      "5",
                                      "5\r\n",
                                      "5\r\nhello",
                                      "5\r\nhello\r",
                                      "5\r\nhello\r\n",
                                      "5\r\nhello\r\n0\r\n",
                                      "5\r\nhello\r\n0\r\nX: y\r\n"};
    for (size_t i = 0; i < TR_ARRAY_LEN(cut); i++) {
        char response[200], expected[200];
        (void)snprintf(response, sizeof(response), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s",
                       cut[i]);
        (void)snprintf(
            expected, sizeof(expected),
            "head 200\n  Transfer-Encoding: chunked\n%sfail BODY_TRUNCATED http1.eof_in_body\nBODY_TRUNCATED",
            i >= 3 ? "data \"hello\"\n" : "");
        expect(response, expected);
    }
}

/* Each line as the answer's first. */
TR_TEST(h1_bad_status, "/http1/refused/status_line")
{
    static const char *const lines[] = {
        "HTTP/2 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/0.9 200 OK",
        "http/1.1 200 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 x",
        "HTTP/1.1 000 x",
        "HTTP/1.1 +20 x",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1",
        "HTTP/1.",
        "HTTP/1.a 200 OK",
        "HTTP/1.10 200 OK",
        " HTTP/1.1 200 OK",
        "ICY 200 OK",
        "SSH-2.0-OpenSSH",
        "<html>",
        "220 smtp ready",
        "\xef\xbb\xbfHTTP/1.1",
        "",
        "HTTP/1.1 200 a\rb",
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(lines); i++) {
        char response[200];
        (void)snprintf(response, sizeof(response), "%s\r\nContent-Length: 0\r\n\r\n", lines[i]);
        expect(response, "fail H1_PROTOCOL http1.status_line\nH1_PROTOCOL");
    }
    /* What is no HTTP/1 is told at once, without waiting for a line that never ends. */
    run_t how = {.eof = false};
    expect_how(&how, TR_SLICE_LIT("\x00\x00\x12\x04\x00\x00\x00"),
               "fail H1_PROTOCOL http1.status_line\nH1_PROTOCOL");
    expect_how(&how, TR_SLICE_LIT("HTTP/2"), "fail H1_PROTOCOL http1.status_line\nH1_PROTOCOL");
    expect_how(&how, TR_SLICE_LIT("HTTP/1.1 200 OK"), "OK running");
    expect_how(&how, TR_SLICE_LIT("HTTP/1.1 200 a\0b\r\n\r\n"), "fail H1_PROTOCOL http1.status_line\nH1_PROTOCOL");
}

/* Each as a field line (or several) of a 200: attempts to make two readers see different messages. */
TR_TEST(h1_smuggling, "/http1/refused/smuggling")
{
    static const struct {
        const char *lines;
        const char *where;
    } rows[] = {
        /* lines and blanks */
        {"Content-Length: 1\n", "http1.line"},
        {"A: b\nContent-Length: 1\r\n", "http1.line"},
        {"A: b\r\n\nContent-Length: 1\r\n", "http1.line"},
        {"\n", "http1.line"},
        {"A: b\rContent-Length: 1\r\n", "http1.field"},
        {"A: b\r\r\n", "http1.field"},
        {"\rA: b\r\n", "http1.field"},
        {"A\r: b\r\n", "http1.field"},
        {"Content-Length : 1\r\n", "http1.field"},
        {"Content-Length\t: 1\r\n", "http1.field"},
        {" Content-Length: 1\r\n", "http1.field"},
        {"\tContent-Length: 1\r\n", "http1.field"},
        {"A: b\r\n c\r\n", "http1.field"},
        {"A: b\r\n\tc\r\n", "http1.field"},
        {"Content-Length 1\r\n", "http1.field"},
        {": 1\r\n", "http1.field"},
        {"Content Length: 1\r\n", "http1.field"},
        {"Content-Length\x0b: 1\r\n", "http1.field"},
        {"Content-L\xc3\xa4ngth: 1\r\n", "http1.field"},
        {"\x01: 1\r\n", "http1.field"},
        /* lengths */
        {"Content-Length: 1\r\nContent-Length: 2\r\n", "http1.framing"},
        {"Content-Length: 1, 2\r\n", "http1.framing"},
        {"Content-Length: 1,\r\n", "http1.framing"},
        {"Content-Length: ,1\r\n", "http1.framing"},
        {"Content-Length: +1\r\n", "http1.framing"},
        {"Content-Length: -1\r\n", "http1.framing"},
        {"Content-Length: 0x1\r\n", "http1.framing"},
        {"Content-Length: 1_0\r\n", "http1.framing"},
        {"Content-Length: 1 0\r\n", "http1.framing"},
        {"Content-Length: 1.0\r\n", "http1.framing"},
        {"Content-Length: 1e1\r\n", "http1.framing"},
        {"Content-Length: 1;\r\n", "http1.framing"},
        {"Content-Length: \"1\"\r\n", "http1.framing"},
        {"Content-Length:\r\n", "http1.framing"},
        {"Content-Length: \x0b"
         "1\r\n",
         "http1.framing"},
        {"Content-Length: \xc2\xa0"
         "1\r\n",
         "http1.framing"},
        {"Content-Length: 9223372036854775808\r\n", "http1.framing"},
        {"Content-Length: 18446744073709551617\r\n", "http1.framing"},
        {"Content-Length: 99999999999999999999999999999999\r\n", "http1.framing"},
        /* codings */
        {"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "http1.framing"},
        {"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", "http1.framing"},
        {"Transfer-Encoding: identity\r\nContent-Length: 1\r\n", "http1.framing"},
        {"Transfer-Encoding: chunked, chunked\r\n", "http1.framing"},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "http1.framing"},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "http1.framing"},
        {"Transfer-Encoding: gzip, chunked\r\n", "http1.framing"},
        {"Transfer-Encoding: chunked, gzip\r\n", "http1.framing"},
        {"Transfer-Encoding: gzip\r\n", "http1.framing"},
        {"Transfer-Encoding: identity\r\n", "http1.framing"},
        {"Transfer-Encoding:\r\n", "http1.framing"},
        {"Transfer-Encoding: ,chunked\r\n", "http1.framing"},
        {"Transfer-Encoding: chunked,\r\n", "http1.framing"},
        {"Transfer-Encoding: xchunked\r\n", "http1.framing"},
        {"Transfer-Encoding: chunkedx\r\n", "http1.framing"},
        {"Transfer-Encoding: \"chunked\"\r\n", "http1.framing"},
        {"Transfer-Encoding: chunked;q=1\r\n", "http1.framing"},
        {"Transfer-Encoding: \x0b"
         "chunked\r\n",
         "http1.framing"},
        {"Transfer-Encoding: chun\tked\r\n", "http1.framing"},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n", "http1.framing"},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        char response[400], expected[100];
        (void)snprintf(response, sizeof(response), "HTTP/1.1 200 OK\r\n%s\r\nx", rows[i].lines);
        (void)snprintf(expected, sizeof(expected), "fail H1_PROTOCOL %s\nH1_PROTOCOL", rows[i].where);
        expect(response, expected);
    }
    expect("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           "fail H1_PROTOCOL http1.framing\nH1_PROTOCOL");
    run_t how = {.eof = true};
    expect_how(&how, TR_SLICE_LIT("HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n"),
               "fail H1_PROTOCOL http1.field\nH1_PROTOCOL");
    expect_how(&how, TR_SLICE_LIT("HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n"),
               "fail H1_PROTOCOL http1.field\nH1_PROTOCOL");
}

TR_TEST(h1_bad_chunks, "/http1/refused/chunks")
{
    static const struct {
        const char *body;
        const char *data; /* what came before */
        const char *where;
    } rows[] = {
        {"\r\n", "", "http1.chunk_size"},
        {" 1\r\nx\r\n", "", "http1.chunk_size"},
        {"1 \r \r\nx\r\n", "", "http1.chunk_size"},
        {"1 \nx\r\n", "", "http1.line"},
        {"0x1\r\nx\r\n", "", "http1.chunk_size"},
        {"+1\r\nx\r\n", "", "http1.chunk_size"},
        {"-1\r\nx\r\n", "", "http1.chunk_size"},
        {"g\r\nx\r\n", "", "http1.chunk_size"},
        {"1g\r\nx\r\n", "", "http1.chunk_size"},
        {"1_0\r\nx\r\n", "", "http1.chunk_size"},
        {"1 0\r\nx\r\n", "", "http1.chunk_size"},
        {";a\r\nx\r\n", "", "http1.chunk_size"},
        {"ffffffffffffffff\r\nx\r\n", "", "http1.chunk_size"},
        {"10000000000000001\r\nx\r\n", "", "http1.chunk_size"},
        {"00000000000000001\r\nx\r\n", "", "http1.chunk_size"},
        {"1\nx\r\n", "", "http1.line"},
        {"1\r\rx\r\n", "", "http1.chunk_size"},
        {"1;a\rb\r\nx\r\n", "", "http1.chunk_size"},
        {"1\r\nxy\r\n", "x", "http1.chunk_end"},
        {"1\r\nx\n0\r\n\r\n", "x", "http1.chunk_end"},
        {"1\r\nx\r0\r\n\r\n", "x", "http1.chunk_end"},
        {"1\r\nx0\r\n\r\n", "x", "http1.chunk_end"},
        {"0\r\n\n", "", "http1.line"},
        {"0\r\nA : b\r\n\r\n", "", "http1.field"},
        {"0\r\n A: b\r\n\r\n", "", "http1.field"},
        {"0\r\nA: b\r\n c\r\n\r\n", "", "http1.field"},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        char response[300], expected[200];
        (void)snprintf(response, sizeof(response), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s",
                       rows[i].body);
        (void)snprintf(expected, sizeof(expected),
                       "head 200\n  Transfer-Encoding: chunked\n%s%s%sfail H1_PROTOCOL %s\nH1_PROTOCOL",
                       rows[i].data[0] == 0 ? "" : "data \"", rows[i].data, rows[i].data[0] == 0 ? "" : "\"\n",
                       rows[i].where);
        expect(response, expected);
    }
}

/* ---------------------------------------------------------------------------------------- limits */

static void
append(char *text, size_t size, const char *more, size_t times)
{
    size_t len = strlen(text);
    size_t more_len = strlen(more);
    for (size_t i = 0; i < times; i++) {
        TR_CHECK(len + more_len < size);
        memcpy(text + len, more, more_len + 1);
        len += more_len;
    }
}

TR_TEST(h1_limits, "/http1/limits/section")
{
    tr_h1_limits_t limits = {100, 5};
    run_t how = {.limits = &limits};
    static char response[40000], line[20000];
    /* Exactly 100 bytes of field lines, and one more. */
    response[0] = line[0] = 0;
    append(response, sizeof(response), "HTTP/1.1 204 x\r\na: b\r\nc: ", 1);
    append(line, sizeof(line), "x", 100 - 6 - 3 - 2);
    append(response, sizeof(response), line, 1);
    append(response, sizeof(response), "\r\n\r\n", 1);
    char expected[300] = "";
    append(expected, sizeof(expected), "head 204\n  a: b\n  c: ", 1);
    append(expected, sizeof(expected), line, 1);
    append(expected, sizeof(expected), "\nend\nOK reusable", 1);
    expect_how(&how, tr_slice_cstr(response), expected);
    limits.max_header_bytes = 99;
    expect_how(&how, tr_slice_cstr(response), "fail HEADER_LIMIT http1.section\nHEADER_LIMIT");
    limits.max_header_bytes = 5;
    expect_how(&how, tr_slice_cstr(response), "fail HEADER_LIMIT http1.section\nHEADER_LIMIT");
    /* A line that does not end. */
    limits.max_header_bytes = 100;
    response[0] = 0;
    append(response, sizeof(response), "HTTP/1.1 204 x\r\na: ", 1);
    append(response, sizeof(response), "x", 98);
    expect_how(&how, tr_slice_cstr(response), "fail HEADER_LIMIT http1.section\nHEADER_LIMIT");
    response[strlen(response) - 1] = 0;
    expect_how(&how, tr_slice_cstr(response), "OK running");
    /* Fields. */
    expect_how(&how, TR_SLICE_LIT("HTTP/1.1 204 x\r\na:1\r\nb:2\r\nc:3\r\nd:4\r\ne:5\r\n\r\n"),
               "head 204\n  a: 1\n  b: 2\n  c: 3\n  d: 4\n  e: 5\nend\nOK reusable");
    expect_how(&how, TR_SLICE_LIT("HTTP/1.1 204 x\r\na:1\r\nb:2\r\nc:3\r\nd:4\r\ne:5\r\nf:6\r\n\r\n"),
               "fail HEADER_LIMIT http1.section\nHEADER_LIMIT");
    /* Trailers have the same limits. */
    expect_how(
        &how,
        TR_SLICE_LIT("HTTP/1.1 200 "
                     "x\r\nTransfer-Encoding:chunked\r\n\r\n0\r\na:1\r\nb:2\r\nc:3\r\nd:4\r\ne:5\r\nf:6\r\n\r\n"),
        "head 200\n  Transfer-Encoding: chunked\nfail HEADER_LIMIT http1.section\nHEADER_LIMIT");
}

TR_TEST(h1_limits_lines, "/http1/limits/lines")
{
    static char response[40000];
    static log_t log;
    static const size_t splits[] = {0, SIZE_MAX, 1000};
    response[0] = 0;
    append(response, sizeof(response), "HTTP/1.1 200 ", 1);
    append(response, sizeof(response), "x", TR_H1_MAX_STATUS_LINE);
    for (size_t i = 0; i < TR_ARRAY_LEN(splits); i++) {
        run_t how = {.split = splits[i]};
        (void)run(&log, &how, tr_slice_cstr(response));
        TR_CHECK_SLICE(tr_slice_cstr(log.text), "fail HEADER_LIMIT http1.status_line\nHEADER_LIMIT");
    }
    response[0] = 0;
    append(response, sizeof(response), "HTTP/1.1 200 x\r\ntransfer-encoding:chunked\r\n\r\n1;", 1);
    append(response, sizeof(response), "x", TR_H1_MAX_CHUNK_LINE);
    for (size_t i = 0; i < TR_ARRAY_LEN(splits); i++) {
        run_t how = {.split = splits[i]};
        (void)run(&log, &how, tr_slice_cstr(response));
        TR_CHECK_SLICE(tr_slice_cstr(log.text),
                       "head 200\n  transfer-encoding: chunked\nfail H1_PROTOCOL http1.chunk_size\nH1_PROTOCOL");
    }
    /* A body of one-byte chunks is fine for ever; with an extension each it is not. */
    response[0] = 0;
    append(response, sizeof(response), "HTTP/1.1 200 x\r\ntransfer-encoding:chunked\r\n\r\n", 1);
    append(response, sizeof(response), "1\r\nx\r\n", 3000);
    run_t how = {.split = 0};
    (void)run(&log, &how, tr_slice_cstr(response));
    TR_CHECK(strstr(log.text, "xx\"\nOK running") != NULL);
    response[0] = 0;
    append(response, sizeof(response), "HTTP/1.1 200 x\r\ntransfer-encoding:chunked\r\n\r\n", 1);
    append(response, sizeof(response), "1;01234567890123456789\r\nx\r\n", 1400);
    (void)run(&log, &how, tr_slice_cstr(response));
    TR_CHECK(strstr(log.text, "xx\"\nOK running") != NULL);
    response[0] = 0;
    append(response, sizeof(response), "HTTP/1.1 200 x\r\ntransfer-encoding:chunked\r\n\r\n", 1);
    append(response, sizeof(response), "1;0123456789012345678901234567890123456789\r\nx\r\n", 800);
    (void)run(&log, &how, tr_slice_cstr(response));
    TR_CHECK(strstr(log.text, "xx\"\nfail H1_PROTOCOL http1.chunk_size\n") != NULL);
}

/* --------------------------------------------------------------------------------- flow and reuse */

TR_TEST_OOM(h1_pause, "/http1/flow/pause")
{
    run_t how = {.eof = true, .pause = true};
    expect_how(&how, TR_SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
               "head 200\n  Content-Length: 5\ndata \"hello\"\nend\nOK reusable");
    expect_how(&how,
               TR_SLICE_LIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
               "head 200\n  Transfer-Encoding: chunked\ndata \"abc\"\nend\nOK reusable");
    expect_how(&how, TR_SLICE_LIT("HTTP/1.1 200 OK\r\n\r\nabc"), "head 200\ndata \"abc\"\nend\nOK");
}

/* Chunks that are body and nothing else change owner; one that also holds the head is handed over when the head is
 * consumed. */
TR_TEST(h1_chunk_moves, "/http1/flow/chunks_move")
{
    static log_t log;
    run_t how = {.split = strlen("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")};
    TR_CHECK_INT(run(&log, &how, TR_SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")), TR_OK);
    TR_CHECK_INT(log.taken, 1);
    how.split = 0;
    TR_CHECK_INT(run(&log, &how, TR_SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")), TR_OK);
    TR_CHECK_INT(log.taken, 1);
    TR_CHECK_INT(run(&log, &how, TR_SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhello")), TR_OK);
    TR_CHECK_INT(log.taken, 0);
    how.split = 40;
    TR_CHECK_INT(run(&log, &how, TR_SLICE_LIT("HTTP/1.1 200 OK\r\n\r\nuntil the connection closes")), TR_OK);
    TR_CHECK_INT(log.taken, 2);
    TR_CHECK_INT(log.num_data, 2);
}

TR_TEST_OOM(h1_many, "/http1/flow/many_exchanges")
{
    tr_h1_t *h1 = NULL;
    tr_err_t err = TR_ERR_INIT;
    static log_t log;
    tr_bufq_t in;
    tr_code_t code = tr_h1_new(&h1, NULL, &err);
    tr_bufq_init(&in, 0);
    for (int i = 0; code == TR_OK && i < 20; i++) {
        log = (log_t){0};
        TR_CHECK(tr_h1_can_reuse(h1));
        code = submit(h1, &log, i % 2 == 0 ? "GET" : "HEAD", NULL, 0, &err);
        if (code != TR_OK) {
            break;
        }
        TR_CHECK(!tr_h1_is_idle(h1) && !tr_h1_can_reuse(h1) && !tr_h1_got_bytes(h1) && tr_h1_wrote_all(h1) &&
                 tr_h1_wrote_any(h1));
        code = tr_bufq_append(&in, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 38);
        code = code == TR_OK && i % 2 == 0 ? tr_bufq_append(&in, "ok", 2) : code;
        code = code == TR_OK ? tr_h1_feed(h1, &in, &err) : code;
        if (code == TR_OK) {
            TR_CHECK(tr_h1_got_bytes(h1));
            TR_CHECK_INT(log.num_last, 1);
            TR_CHECK_INT(log.num_data, i % 2 == 0 ? 1 : 0);
        }
    }
    TR_CHECK(code == TR_OK || (code == TR_ERR_NOMEM && tr_test_oom_running()));
    tr_bufq_cleanup(&in);
    tr_h1_free(h1);
}

TR_TEST(h1_unasked, "/http1/flow/unasked_bytes")
{
    tr_h1_t *h1 = NULL;
    tr_err_t err = TR_ERR_INIT;
    static log_t log;
    tr_bufq_t in;
    tr_bufq_init(&in, 0);
    TR_CHECK_OK(tr_h1_new(&h1, NULL, &err), &err);
    TR_CHECK_OK(tr_h1_feed(h1, &in, &err), &err);
    TR_CHECK_INT(tr_bufq_append(&in, "HTTP/1.1 408 Timeout\r\n\r\n", 24), TR_OK);
    TR_CHECK_INT(tr_h1_feed(h1, &in, &err), TR_ERR_H1_PROTOCOL);
    TR_CHECK_SLICE(tr_slice_cstr(err.where), "http1.unasked");
    TR_CHECK(!tr_h1_can_reuse(h1) && tr_h1_is_idle(h1));
    TR_CHECK_INT(submit(h1, &log, "GET", NULL, 0, &err), TR_ERR_H1_PROTOCOL);
    tr_h1_free(h1);
    /* Submitted, but nothing was sent yet: the request may go elsewhere. */
    tr_request_head_t head = {TR_SLICE_LIT("GET"),
                              TR_SLICE_LIT("http"),
                              TR_SLICE_LIT("h"),
                              TR_SLICE_LIT("/"),
                              NULL,
                              0,
                              {false, 0, TR_SLICE_NULL, NULL, NULL}, 0, false, TR_SLICE_NULL};
    log = (log_t){0};
    TR_CHECK_OK(tr_h1_new(&h1, NULL, &err), &err);
    TR_CHECK_OK(tr_h1_submit(h1, &head, &events, &log, &err), &err);
    TR_CHECK_INT(tr_h1_feed(h1, &in, &err), TR_ERR_H1_PROTOCOL);
    TR_CHECK_SLICE(tr_slice_cstr(log.text), "fail H1_PROTOCOL http1.unasked not_processed\n");
    tr_h1_free(h1);
    /* Closed while idle: no failure, but no further exchange. */
    TR_CHECK_OK(tr_h1_new(&h1, NULL, &err), &err);
    TR_CHECK_OK(tr_h1_eof(h1, &err), &err);
    TR_CHECK(!tr_h1_can_reuse(h1));
    TR_CHECK_INT(submit(h1, &log, "GET", NULL, 0, &err), TR_ERR_INTERNAL);
    tr_h1_free(h1);
    tr_bufq_cleanup(&in);
}

TR_TEST(h1_abort, "/http1/flow/abort_and_cancel")
{
    tr_h1_t *h1 = NULL;
    tr_err_t err = TR_ERR_INIT, reset = TR_ERR_INIT;
    static log_t log;
    tr_bufq_t in;
    tr_bufq_init(&in, 0);
    (void)tr_err_set(&reset, TR_ERR_CONNECT_RESET, 104, "net.recv", NULL);
    log = (log_t){0};
    TR_CHECK_OK(tr_h1_new(&h1, NULL, &err), &err);
    TR_CHECK_OK(submit(h1, &log, "GET", NULL, 0, &err), &err);
    tr_h1_abort(h1, &reset);
    tr_h1_abort(h1, &reset);
    TR_CHECK_SLICE(tr_slice_cstr(log.text), "fail CONNECT_RESET net.recv\n");
    TR_CHECK_INT(tr_h1_feed(h1, &in, &err), TR_ERR_CONNECT_RESET);
    TR_CHECK_INT(err.detail, 104);
    tr_h1_free(h1);

    log = (log_t){0};
    TR_CHECK_OK(tr_h1_new(&h1, NULL, &err), &err);
    TR_CHECK_OK(submit(h1, &log, "GET", NULL, 0, &err), &err);
    tr_h1_cancel(h1);
    TR_CHECK_SLICE(tr_slice_cstr(log.text), "");
    TR_CHECK(tr_h1_is_idle(h1) && !tr_h1_can_reuse(h1));
    TR_CHECK_INT(tr_h1_feed(h1, &in, &err), TR_ERR_CANCELLED);
    tr_h1_free(h1);
}

/* Callbacks that end their own exchange. */
typedef struct cutter {
    tr_h1_t *h1;
    const char *at;
    bool by_failure;
    log_t *log;
} cutter_t;

static void
cut(cutter_t *cutter, const char *at)
{
    if (strcmp(cutter->at, at) == 0) {
        tr_h1_cancel(cutter->h1);
    }
}

static void
cut_informational(void *arg, int status, const tr_headers_t *headers)
{
    on_informational(((cutter_t *)arg)->log, status, headers);
    cut(arg, "info");
}

static void
cut_head(void *arg, int status, tr_headers_t *headers)
{
    on_head(((cutter_t *)arg)->log, status, headers);
    cut(arg, "head");
}

static tr_code_t
cut_data(void *arg, tr_slice_t data, tr_chunk_t **chunk, tr_err_t *err)
{
    cutter_t *cutter = arg;
    (void)on_data(cutter->log, data, chunk, err);
    if (cutter->by_failure) {
        return tr_err_set(err, TR_ERR_BODY_CODING, 7, "http.decode", NULL);
    }
    cut(cutter, "data");
    return TR_OK;
}

static void
cut_end(void *arg, const tr_headers_t *trailers)
{
    on_end(((cutter_t *)arg)->log, trailers);
    cut(arg, "end");
}

static void
cut_fail(void *arg, const tr_err_t *err, bool not_processed)
{
    on_fail(((cutter_t *)arg)->log, err, not_processed);
    cut(arg, "fail");
}

static const tr_exchange_events_t cutting = {cut_informational, cut_head, cut_data, cut_end, cut_fail};

static void
expect_cut(const char *at, bool by_failure, bool whole, tr_code_t expected_code, const char *expected)
{
    static const char response[] =
        "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n";
    static log_t log;
    tr_request_head_t head = {TR_SLICE_LIT("GET"),
                              TR_SLICE_LIT("http"),
                              TR_SLICE_LIT("h"),
                              TR_SLICE_LIT("/"),
                              NULL,
                              0,
                              {false, 0, TR_SLICE_NULL, NULL, NULL}, 0, false, TR_SLICE_NULL};
    cutter_t cutter = {NULL, at, by_failure, &log};
    tr_err_t err = TR_ERR_INIT;
    tr_bufq_t in;
    tr_buf_t out = TR_BUF_INIT;
    tr_code_t code = TR_OK;
    log = (log_t){0};
    tr_bufq_init(&in, 0);
    TR_CHECK_OK(tr_h1_new(&cutter.h1, NULL, &err), &err);
    TR_CHECK_OK(tr_h1_submit(cutter.h1, &head, &cutting, &cutter, &err), &err);
    TR_CHECK_OK(tr_h1_pull(cutter.h1, &out, 1000, &err), &err);
    size_t part = whole ? sizeof(response) - 1 : 1;
    for (size_t i = 0; i < sizeof(response) - 1 && code == TR_OK; i += part) {
        TR_CHECK_INT(push(&in, tr_slice(response + i, part)), TR_OK);
        code = tr_h1_feed(cutter.h1, &in, &err);
    }
    TR_CHECK_INT(code, expected_code);
    TR_CHECK_SLICE(tr_slice_cstr(log.text), expected);
    tr_bufq_cleanup(&in);
    tr_buf_cleanup(&out);
    tr_h1_free(cutter.h1);
}

TR_TEST(h1_callbacks_cut, "/http1/flow/callbacks_end_it")
{
    for (int whole = 0; whole < 2; whole++) {
        expect_cut("info", false, whole, TR_ERR_CANCELLED, "info 100\n");
        expect_cut("head", false, whole, TR_ERR_CANCELLED, "info 100\nhead 200\n  Transfer-Encoding: chunked\n");
        expect_cut("data", false, whole, TR_ERR_CANCELLED,
                   "info 100\nhead 200\n  Transfer-Encoding: chunked\ndata \"a");
        expect_cut("end", false, whole, TR_OK,
                   "info 100\nhead 200\n  Transfer-Encoding: chunked\ndata \"ab\"\nend\n");
        expect_cut("", true, whole, TR_ERR_BODY_CODING,
                   "info 100\nhead 200\n  Transfer-Encoding: chunked\ndata \"a\"\nfail BODY_CODING http.decode\n");
    }
}

/* The end callback starts the next exchange. */
typedef struct chain {
    tr_h1_t *h1;
    int left;
    tr_code_t code;
} chain_t;

static void chain_end(void *arg, const tr_headers_t *trailers);

static void
chain_informational(void *arg, int status, const tr_headers_t *headers)
{
    TR_UNUSED(arg);
    TR_UNUSED(status);
    TR_UNUSED(headers);
}

static void
chain_head(void *arg, int status, tr_headers_t *headers)
{
    tr_headers_t mine;
    TR_UNUSED(arg);
    tr_headers_init(&mine);
    tr_headers_move(&mine, headers);
    TR_CHECK_INT(status, 204);
    TR_CHECK_INT(mine.len, 1);
    tr_headers_cleanup(&mine);
}

static tr_code_t
chain_data(void *arg, tr_slice_t data, tr_chunk_t **chunk, tr_err_t *err)
{
    TR_UNUSED(arg);
    TR_UNUSED(data);
    TR_UNUSED(chunk);
    TR_UNUSED(err);
    return TR_ERR_INTERNAL;
}

static void
chain_fail(void *arg, const tr_err_t *err, bool not_processed)
{
    TR_UNUSED(not_processed);
    ((chain_t *)arg)->code = err->code;
}

static const tr_exchange_events_t chain_events = {chain_informational, chain_head, chain_data, chain_end,
                                                  chain_fail};

static tr_code_t
chain_submit(chain_t *chain)
{
    tr_request_head_t head = {TR_SLICE_LIT("GET"),
                              TR_SLICE_LIT("http"),
                              TR_SLICE_LIT("h"),
                              TR_SLICE_LIT("/"),
                              NULL,
                              0,
                              {false, 0, TR_SLICE_NULL, NULL, NULL}, 0, false, TR_SLICE_NULL};
    return tr_h1_submit(chain->h1, &head, &chain_events, chain, NULL);
}

static void
chain_end(void *arg, const tr_headers_t *trailers)
{
    chain_t *chain = arg;
    TR_CHECK_INT(trailers->len, 0);
    if (--chain->left > 0) {
        chain->code = chain_submit(chain);
    }
}

TR_TEST(h1_chain, "/http1/flow/submit_from_end")
{
    static const char response[] = "HTTP/1.1 204 x\r\nA: b\r\n\r\n";
    chain_t chain = {NULL, 3, TR_OK};
    tr_bufq_t in;
    tr_buf_t out = TR_BUF_INIT;
    tr_err_t err = TR_ERR_INIT;
    tr_bufq_init(&in, 0);
    TR_CHECK_OK(tr_h1_new(&chain.h1, NULL, &err), &err);
    TR_CHECK_INT(chain_submit(&chain), TR_OK);
    for (int i = 0; i < 3; i++) {
        TR_CHECK_OK(tr_h1_pull(chain.h1, &out, 1000, &err), &err);
        TR_CHECK_INT(push(&in, TR_SLICE_LIT("HTTP/1.1 204 x\r\nA: b\r\n\r\n")), TR_OK);
        TR_CHECK_OK(tr_h1_feed(chain.h1, &in, &err), &err);
        TR_CHECK_INT(chain.code, TR_OK);
    }
    TR_CHECK_INT(chain.left, 0);
    TR_CHECK(tr_h1_can_reuse(chain.h1));
    /* Two answers to one request: the second is nobody's, the next exchange must not take it. */
    chain.left = 2;
    TR_CHECK_INT(chain_submit(&chain), TR_OK);
    TR_CHECK_OK(tr_h1_pull(chain.h1, &out, 1000, &err), &err);
    TR_CHECK_INT(push(&in, tr_slice(response, sizeof(response) - 1)), TR_OK);
    TR_CHECK_INT(push(&in, tr_slice(response, sizeof(response) - 1)), TR_OK);
    TR_CHECK_OK(tr_h1_feed(chain.h1, &in, &err), &err);
    TR_CHECK_INT(chain.code, TR_ERR_INTERNAL);
    TR_CHECK(!tr_h1_can_reuse(chain.h1));
    tr_bufq_cleanup(&in);
    tr_buf_cleanup(&out);
    tr_h1_free(chain.h1);
}
