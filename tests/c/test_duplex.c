/* Exchanges that become a stream of bytes both ways: 101 over HTTP/1.1, extended CONNECT over HTTP/2. */
#include "http1/h1.h"
#include "test_http2_peer.h"

/* What is to be sent, in the portions in which it is given. */
typedef struct source {
    const char *text; /* NULL: nothing now */
    bool ended;
    unsigned num_reads;
} source_t;

static tr_code_t
source_read(void *arg, uint8_t *out, size_t max, size_t *out_len, tr_err_t *err)
{
    source_t *source = arg;
    TR_UNUSED(err);
    source->num_reads++;
    size_t len = source->text == NULL ? 0 : TR_MIN(strlen(source->text), max);
    if (len > 0) {
        memcpy(out, source->text, len);
        source->text = source->text[len] == '\0' ? NULL : source->text + len;
    }
    *out_len = len;
    return source->text == NULL && source->ended ? TR_EOF : len > 0 ? TR_OK : TR_PAUSED;
}

typedef struct seen {
    char log[512];
    size_t len;
} seen_t;

static void
add(seen_t *seen, const char *fmt, ...) TR_PRINTF(2, 3);

static void
add(seen_t *seen, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(seen->log + seen->len, sizeof(seen->log) - seen->len, fmt, args);
    va_end(args);
    TR_CHECK(n >= 0 && (size_t)n < sizeof(seen->log) - seen->len);
    seen->len += (size_t)n;
}

static void
seen_informational(void *arg, int status, const tr_headers_t *headers)
{
    TR_UNUSED(headers);
    add(arg, "i%d ", status);
}

static void
seen_head(void *arg, int status, tr_headers_t *headers)
{
    TR_UNUSED(headers);
    add(arg, "h%d ", status);
}

static tr_code_t
seen_data(void *arg, tr_slice_t data, tr_chunk_t **chunk, tr_err_t *err)
{
    TR_UNUSED(chunk);
    TR_UNUSED(err);
    add(arg, "%.*s", (int)data.len, (const char *)data.data);
    return TR_OK;
}

static void
seen_end(void *arg, const tr_headers_t *trailers)
{
    TR_UNUSED(trailers);
    add(arg, " end");
}

static void
seen_fail(void *arg, const tr_err_t *err, bool not_processed)
{
    add(arg, " fail %s%s", tr_err_name(err->code), not_processed ? "+" : "");
}

static const tr_exchange_events_t seen_events = {seen_informational, seen_head, seen_data, seen_end, seen_fail};

static const tr_field_t upgrade[] = {FIELD("Host", "h"), FIELD("Connection", "Upgrade"), FIELD("Upgrade", "websocket")};

static tr_request_head_t
handshake(source_t *source)
{
    tr_request_head_t head = {.method = TR_SLICE_LIT("GET"),
                              .scheme = TR_SLICE_LIT("http"),
                              .authority = TR_SLICE_LIT("h"),
                              .target = TR_SLICE_LIT("/"),
                              .fields = upgrade,
                              .num_fields = TR_ARRAY_LEN(upgrade),
                              .body = {true, -1, TR_SLICE_NULL, source_read, source},
                              .duplex = true};
    return head;
}

static tr_code_t
feed_h1(tr_h1_t *h1, const char *text, tr_err_t *err)
{
    tr_bufq_t q;
    tr_bufq_init(&q, 0);
    tr_code_t code = tr_bufq_append(&q, text, strlen(text)) == TR_OK ? tr_h1_feed(h1, &q, err) : tr_err_nomem(err, "test");
    tr_bufq_cleanup(&q);
    return code;
}

#define CHECK_OUT(h1_, max_, code_, expected_)                                                                         \
    do {                                                                                                               \
        tr_buf_t out_ = TR_BUF_INIT;                                                                                   \
        tr_err_t out_err_ = TR_ERR_INIT;                                                                               \
        TR_CHECK_INT(tr_h1_pull(h1_, &out_, max_, &out_err_), code_);                                                  \
        TR_CHECK_SLICE(tr_buf_slice(&out_), expected_);                                                                \
        tr_buf_cleanup(&out_);                                                                                         \
    } while (0)

TR_TEST(duplex_h1, "/http1/duplex/both_ways")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h1_t *h1 = NULL;
    seen_t seen = {.len = 0};
    source_t source = {.text = "early"};
    tr_request_head_t head = handshake(&source);
    TR_CHECK_INT(tr_h1_new(&h1, NULL, &err), TR_OK);
    TR_CHECK_INT(tr_h1_submit(h1, &head, &seen_events, &seen, &err), TR_OK);
    /* Neither a length nor a coding, and nothing of the body before the server has switched. */
    CHECK_OUT(h1, 16384, TR_OK, "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    CHECK_OUT(h1, 16384, TR_AGAIN, "");
    TR_CHECK_INT(source.num_reads, 0);
    TR_CHECK_INT(feed_h1(h1, "HTTP/1.1 103 X\r\n\r\nHTTP/1.1 101 X\r\nConnection: Upgrade\r\nContent-Length: 3\r\n\r\nabc", &err), TR_OK);
    TR_CHECK_INT(feed_h1(h1, "def", &err), TR_OK);
    CHECK_OUT(h1, 3, TR_OK, "ear");
    CHECK_OUT(h1, 16384, TR_OK, "ly");
    CHECK_OUT(h1, 16384, TR_PAUSED, "");
    TR_CHECK(!tr_h1_wrote_all(h1) && !tr_h1_is_idle(h1) && !tr_h1_can_reuse(h1));
    source.text = "more";
    source.ended = true;
    tr_h1_resume_body(h1);
    CHECK_OUT(h1, 16384, TR_OK, "more");
    CHECK_OUT(h1, 16384, TR_AGAIN, "");
    TR_CHECK_INT(feed_h1(h1, "ghi", &err), TR_OK); /* our end is not the peer's */
    TR_CHECK_INT(tr_h1_eof(h1, &err), TR_OK);
    TR_CHECK_SLICE(tr_slice_cstr(seen.log), "i103 h101 abcdefghi end");
    TR_CHECK(tr_h1_is_idle(h1) && !tr_h1_can_reuse(h1));
    tr_h1_free(h1);
}

TR_TEST(duplex_h1_refused, "/http1/duplex/refused")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h1_t *h1 = NULL;
    seen_t seen = {.len = 0};
    source_t source = {.text = "never"};
    tr_request_head_t head = handshake(&source);
    TR_CHECK_INT(tr_h1_new(&h1, NULL, &err), TR_OK);
    TR_CHECK_INT(tr_h1_submit(h1, &head, &seen_events, &seen, &err), TR_OK);
    CHECK_OUT(h1, 16384, TR_OK, "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    TR_CHECK_INT(feed_h1(h1, "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", &err), TR_OK);
    TR_CHECK_SLICE(tr_slice_cstr(seen.log), "h403 no end");
    TR_CHECK_INT(source.num_reads, 0);
    TR_CHECK(tr_h1_can_reuse(h1));
    /* An ordinary request may follow. */
    head.duplex = false;
    head.body = (tr_body_source_t){.present = false};
    TR_CHECK_INT(tr_h1_submit(h1, &head, &seen_events, &seen, &err), TR_OK);
    tr_h1_cancel(h1);
    tr_h1_free(h1);
}

TR_TEST_OOM(duplex_h1_oom, "/http1/duplex/out_of_memory")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h1_t *h1 = NULL;
    seen_t seen = {.len = 0};
    source_t source = {.text = "out", .ended = true};
    tr_request_head_t head = handshake(&source);
    tr_buf_t out = TR_BUF_INIT;
    bool done = tr_h1_new(&h1, NULL, &err) == TR_OK && tr_h1_submit(h1, &head, &seen_events, &seen, &err) == TR_OK &&
                tr_h1_pull(h1, &out, 16384, &err) == TR_OK && feed_h1(h1, "HTTP/1.1 101 X\r\n\r\nin", &err) == TR_OK &&
                tr_h1_pull(h1, &out, 16384, &err) == TR_OK && tr_h1_eof(h1, &err) == TR_OK;
    TR_CHECK(done ? strcmp(seen.log, "h101 in end") == 0 : tr_test_oom_running() && err.code == TR_ERR_NOMEM);
    tr_buf_cleanup(&out);
    tr_h1_free(h1);
}

/* The fields of a HEADERS frame, as the peer reads them. */
static void
fields_of(char *text, size_t cap, tr_slice_t raw)
{
    nghttp2_hd_inflater *inflater = NULL;
    size_t n = 0;
    TR_CHECK_INT(nghttp2_hd_inflate_new(&inflater), 0);
    while (raw.len >= 9) {
        size_t len = (size_t)raw.data[0] << 16 | (size_t)raw.data[1] << 8 | raw.data[2];
        if (raw.len > 24 && memcmp(raw.data, "PRI", 3) == 0) {
            raw = tr_slice(raw.data + 24, raw.len - 24);
            continue;
        }
        if (raw.data[3] == 1) {
            size_t skip = (raw.data[4] & 0x20) != 0 ? 5 : 0;
            const uint8_t *in = raw.data + 9 + skip;
            size_t left = len - skip;
            int flags = 0;
            while (left > 0 || (flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
                nghttp2_nv nv;
                ssize_t used = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, in, left, 1);
                TR_CHECK(used >= 0);
                in += used;
                left -= (size_t)used;
                if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
                    n += (size_t)snprintf(text + n, cap - n, "%.*s: %.*s\n", (int)nv.namelen, (char *)nv.name, (int)nv.valuelen,
                                          (char *)nv.value);
                }
                if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
                    break;
                }
            }
            nghttp2_hd_inflate_end_headers(inflater);
        }
        raw = tr_slice(raw.data + 9 + len, raw.len - 9 - len);
    }
    nghttp2_hd_inflate_del(inflater);
}

TR_TEST(duplex_h2, "/http2/duplex/extended_connect")
{
    static const uint8_t settings[] = {0, 8, 0, 0, 0, 1};
    static const tr_field_t fields[] = {FIELD("Connection", "Upgrade"), FIELD("Upgrade", "websocket"), FIELD("Sec-WebSocket-Version", "13")};
    const tr_profile_t *profiles[] = {&chromium_like, &firefox_like, &odd_like};
    const char *orders[] = {":method: CONNECT\n:authority: a.test\n:scheme: https\n:path: /s\n:protocol: websocket\n",
                            ":method: CONNECT\n:path: /s\n:authority: a.test\n:scheme: https\n:protocol: websocket\n",
                            ":path: /s\n:method: CONNECT\n:scheme: https\n:authority: a.test\n:protocol: websocket\n"};
    for (size_t i = 0; i < TR_ARRAY_LEN(profiles); i++) {
        tr_err_t err = TR_ERR_INIT;
        tr_h2_t *h2 = NULL;
        exchange_t ex;
        source_t source = {.text = NULL};
        char text[1024], expected[1024];
        tr_buf_t raw = TR_BUF_INIT;
        TR_CHECK_INT(tr_h2_new(&h2, profiles[i], TR_SLICE_NULL, NULL, &err), TR_OK);
        TR_CHECK(!tr_h2_has_connect(h2));
        TR_CHECK_INT(feed_frame(h2, 4, 0, 0, settings, sizeof(settings), &err), TR_OK);
        TR_CHECK(tr_h2_has_connect(h2));
        tr_request_head_t head = head_of("CONNECT", "/s", fields, TR_ARRAY_LEN(fields));
        head.protocol = TR_SLICE_LIT("websocket");
        head.duplex = true;
        head.body = (tr_body_source_t){true, -1, TR_SLICE_NULL, source_read, &source};
        TR_CHECK_INT(start(h2, &ex, &head, &err), TR_OK);
        TR_CHECK_INT(pull(h2, text, sizeof(text), &raw, &err), TR_AGAIN);
        text[0] = '\0';
        fields_of(text, sizeof(text), tr_buf_slice(&raw));
        (void)snprintf(expected, sizeof(expected), "%ssec-websocket-version: 13\n", orders[i]);
        TR_CHECK_SLICE(tr_slice_cstr(text), expected);
        tr_buf_cleanup(&raw);
        uint32_t id = profiles[i]->first_stream_id;
        TR_CHECK_INT(feed_frame(h2, 1, 4, id, "\x88", 1, &err), TR_OK);
        TR_CHECK_INT(feed_frame(h2, 0, 0, id, "abc", 3, &err), TR_OK);
        source.text = "hello";
        tr_h2_resume_body(h2, ex.stream);
        (void)snprintf(expected, sizeof(expected), "DATA/%u:5", (unsigned)id);
        CHECK_PULL(h2, expected);
        source.ended = true;
        tr_h2_resume_body(h2, ex.stream);
        (void)snprintf(expected, sizeof(expected), "DATA/%u:0es", (unsigned)id);
        CHECK_PULL(h2, expected);
        TR_CHECK_INT(feed_frame(h2, 0, 1, id, "de", 2, &err), TR_OK);
        CHECK_LOG(&ex, "h200(0) d5 t0 e");
        tr_h2_free(h2);
    }
}
