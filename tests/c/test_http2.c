#include "test_http2_peer.h"


/* ----------------------------------------------------------------------------------------------- a server by nghttp2 */

#define MAX_SEEN 64

typedef struct server {
    nghttp2_session *session;
    char fields[8192]; /* request fields as received, "name: value\n" */
    size_t fields_len;
    int32_t ids[MAX_SEEN]; /* of complete requests, in order */
    size_t num_ids;
    uint64_t received; /* request body bytes */
    size_t num_data;
    size_t max_data;
    uint64_t to_send; /* of the response bodies */
    uint8_t padding;
    char resets[128];
} server_t;

static int
server_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len, const uint8_t *value,
                 size_t value_len, uint8_t flags, void *user_data)
{
    TR_UNUSED(session);
    TR_UNUSED(frame);
    TR_UNUSED(flags);
    server_t *server = user_data;
    int n = snprintf(server->fields + server->fields_len, sizeof(server->fields) - server->fields_len, "%.*s: %.*s\n", (int)name_len,
                     (const char *)name, (int)TR_MIN(value_len, (size_t)200), (const char *)value);
    server->fields_len = TR_MIN(server->fields_len + (size_t)n, sizeof(server->fields) - 1);
    return 0;
}

static int
server_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    TR_UNUSED(session);
    server_t *server = user_data;
    if (frame->hd.type == NGHTTP2_DATA) {
        server->num_data++;
        server->max_data = TR_MAX(server->max_data, frame->hd.length);
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        size_t n = strlen(server->resets);
        (void)snprintf(server->resets + n, sizeof(server->resets) - n, "%d:%u ", frame->hd.stream_id, frame->rst_stream.error_code);
    }
    if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
        server->num_ids < MAX_SEEN) {
        server->ids[server->num_ids++] = frame->hd.stream_id;
    }
    return 0;
}

static int
server_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user_data)
{
    TR_UNUSED(session);
    TR_UNUSED(flags);
    TR_UNUSED(id);
    TR_UNUSED(data);
    ((server_t *)user_data)->received += len;
    return 0;
}

static ssize_t
server_padding(nghttp2_session *session, const nghttp2_frame *frame, size_t max, void *user_data)
{
    TR_UNUSED(session);
    return (ssize_t)TR_MIN(frame->hd.length + ((server_t *)user_data)->padding, max);
}

static void
server_init(server_t *server)
{
    nghttp2_session_callbacks *callbacks;
    memset(server, 0, sizeof(*server));
    TR_CHECK_INT(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, server_on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, server_on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, server_on_data);
    nghttp2_session_callbacks_set_select_padding_callback(callbacks, server_padding);
    TR_CHECK_INT(nghttp2_session_server_new(&server->session, callbacks, server), 0);
    nghttp2_session_callbacks_del(callbacks);
    TR_CHECK_INT(nghttp2_submit_settings(server->session, 0, NULL, 0), 0);
}

static ssize_t
server_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t max, uint32_t *flags, nghttp2_data_source *source,
            void *user_data)
{
    TR_UNUSED(session);
    TR_UNUSED(id);
    TR_UNUSED(source);
    server_t *server = user_data;
    size_t n = (size_t)TR_MIN((uint64_t)max, server->to_send);
    memset(buf, 'b', n);
    server->to_send -= n;
    if (server->to_send == 0) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

static void
respond(server_t *server, int32_t id, uint64_t body_len)
{
    nghttp2_nv nv[] = {{(uint8_t *)":status", (uint8_t *)"200", 7, 3, 0}, {(uint8_t *)"server", (uint8_t *)"t", 6, 1, 0}};
    nghttp2_data_provider provider = {{.ptr = NULL}, server_read};
    server->to_send = body_len;
    TR_CHECK_INT(nghttp2_submit_response(server->session, id, nv, 2, body_len > 0 ? &provider : NULL), 0);
}

/* Everything the client has to say; returns the records' description. */
static tr_code_t
to_server(tr_h2_t *h2, server_t *server, tr_err_t *err)
{
    tr_code_t code = TR_OK;
    while (code == TR_OK) {
        tr_buf_t record = TR_BUF_INIT;
        code = tr_h2_pull(h2, &record, err);
        if (code == TR_OK) {
            ssize_t used = nghttp2_session_mem_recv(server->session, record.data, record.len);
            if (used != (ssize_t)record.len) {
                tr_test_fail(__FILE__, __LINE__, "server: %s", nghttp2_strerror((int)used));
            }
        }
        tr_buf_cleanup(&record);
    }
    return code == TR_AGAIN ? TR_OK : code;
}

static tr_code_t
to_client(tr_h2_t *h2, server_t *server, size_t max_frames, tr_err_t *err)
{
    for (size_t i = 0; i < max_frames; i++) {
        const uint8_t *data;
        ssize_t len = nghttp2_session_mem_send(server->session, &data);
        TR_CHECK(len >= 0);
        if (len == 0) {
            break;
        }
        tr_code_t code = feed(h2, data, (size_t)len, err);
        if (code != TR_OK) {
            return code;
        }
    }
    return TR_OK;
}

static tr_code_t
exchange_all(tr_h2_t *h2, server_t *server, tr_err_t *err)
{
    tr_code_t code = to_server(h2, server, err);
    if (code == TR_OK) {
        code = to_client(h2, server, SIZE_MAX, err);
    }
    return code == TR_OK ? to_server(h2, server, err) : code;
}

/* ------------------------------------------------------------------------------------------------------------- opening */

TR_TEST(http2_opening_chromium, "/http2/opening_chromium")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    exchange_t one, two, three;
    TR_CHECK_OK(tr_h2_new(&h2, &chromium_like, TR_SLICE_NULL, NULL, &err), &err);
    tr_buf_t record = TR_BUF_INIT;
    TR_CHECK_INT(get(h2, &one, "/"), TR_OK);
    TR_CHECK(!tr_h2_stream_sent(one.stream));
    TR_CHECK_OK(tr_h2_pull(h2, &record, &err), &err);
    TR_CHECK(!tr_h2_stream_sent(one.stream));
    /* The capture's first record: 70 bytes. */
    static const uint8_t expected[] =
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        "\x00\x00\x18\x04\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00\x02\x00\x00\x00\x00\x00\x04\x00\x60\x00\x00\x00\x06\x00\x04\x00\x00"
        "\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\xef\x00\x01";
    TR_CHECK_INT(record.len, sizeof(expected) - 1);
    TR_CHECK_INT(record.len, 70);
    TR_CHECK_MEM(record.data, expected, record.len);
    tr_buf_cleanup(&record);
    TR_CHECK_INT(get(h2, &two, "/two"), TR_OK);
    TR_CHECK_INT(get(h2, &three, "/three"), TR_OK);
    CHECK_PULL(h2, "HEADERS/1es[x0,256] | HEADERS/3es[x1,256] | HEADERS/5es[x3,256]");
    TR_CHECK(tr_h2_stream_sent(two.stream));
    /* The last *open* stream is named. */
    tr_h2_cancel(h2, three.stream);
    exchange_t four;
    TR_CHECK_INT(get(h2, &four, "/four"), TR_OK);
    CHECK_PULL(h2, "RST/5:8 | HEADERS/7es[x3,256]");
    TR_CHECK_INT(tr_h2_num_streams(h2), 3);
    tr_h2_free(h2);
}

TR_TEST(http2_opening_firefox, "/http2/opening_firefox")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    exchange_t one, two, three;
    TR_CHECK_OK(tr_h2_new(&h2, &firefox_like, TR_SLICE_NULL, NULL, &err), &err);
    TR_CHECK_INT(get(h2, &one, "/"), TR_OK);
    TR_CHECK_INT(get(h2, &two, "/"), TR_OK);
    CHECK_PULL(h2, "PREFACE SETTINGS WU/0:12517377 | HEADERS/3es[0,42] WU/3:12451840 | HEADERS/5es[0,42] WU/5:12451840");
    tr_field_t fields[] = {FIELD("content-length", "0")};
    tr_request_head_t head = head_of("POST", "/", fields, 1);
    TR_CHECK_OK(start(h2, &three, &head, &err), &err);
    CHECK_PULL(h2, "HEADERS/7[0,42] WU/7:12451840 | DATA/7:0es");
    tr_h2_free(h2);
}

TR_TEST(http2_opening_odd, "/http2/opening_odd")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    exchange_t one;
    server_t server;
    TR_CHECK_OK(tr_h2_new(&h2, &odd_like, TR_SLICE_NULL, NULL, &err), &err);
    TR_CHECK_INT(get(h2, &one, "/p"), TR_OK);
    char text[1024];
    tr_buf_t raw = TR_BUF_INIT;
    TR_CHECK_INT(pull(h2, text, sizeof(text), &raw, &err), TR_AGAIN);
    TR_CHECK_SLICE(tr_slice_cstr(text), "PREFACE SETTINGS WU/0:1000 PRIORITY/3[0,201] PRIORITY/5[0,101] PRIORITY/7[x0,1] HEADERS/15es");
    /* 3, 0x4a4a, 4, 9 in this order */
    TR_CHECK_MEM(raw.data + 24 + 9, "\x00\x03\x00\x00\x00\x64\x4a\x4a\x00\x00\x00\x07\x00\x04\x00\x00\xff\xff\x00\x09\x00\x00\x00\x01", 24);
    server_init(&server);
    TR_CHECK_INT(nghttp2_session_mem_recv(server.session, raw.data, raw.len), raw.len);
    TR_CHECK_SLICE(tr_slice_cstr(server.fields), ":path: /p\n:method: GET\n:scheme: https\n:authority: a.test\n");
    nghttp2_session_del(server.session);
    tr_buf_cleanup(&raw);
    tr_h2_free(h2);
}

TR_TEST(http2_profile_invalid, "/http2/profile_invalid")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    tr_profile_t profile = chromium_like;
    profile.first_stream_id = 2;
    TR_CHECK_INT(tr_h2_new(&h2, &profile, TR_SLICE_NULL, NULL, &err), TR_ERR_PROFILE_INVALID);
    TR_CHECK(h2 == NULL);
    profile = chromium_like;
    profile.window_increment = 0x7fffffff;
    TR_CHECK_INT(tr_h2_new(&h2, &profile, TR_SLICE_NULL, NULL, &err), TR_ERR_PROFILE_INVALID);
    static const tr_profile_setting_t bad[] = {{2, 2}};
    profile = chromium_like;
    profile.settings = bad;
    profile.num_settings = 1;
    TR_CHECK_INT(tr_h2_new(&h2, &profile, TR_SLICE_NULL, NULL, &err), TR_ERR_PROFILE_INVALID);
}

/* ------------------------------------------------------------------------------------------------------------ requests */

TR_TEST_OOM(http2_get, "/http2/get")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2 = NULL;
    exchange_t ex = {0};
    server_t server;
    bool done = false;
    server_init(&server);
    tr_field_t fields[] = {FIELD("User-Agent", "t"),          FIELD("Host", "no"),
                           FIELD("Connection", "close"),      FIELD("TE", "gzip"),
                           FIELD("te", "trailers"),           FIELD("Keep-Alive", "x"),
                           FIELD("transfer-encoding", "x"),   FIELD("Upgrade", "x"),
                           FIELD("proxy-connection", "x"),    FIELD("Cookie", "a=1; b=2;c=3;"),
                           FIELD("x-spaces", "  in  side  ")};
    tr_request_head_t head = head_of("GET", "/a?b", fields, TR_ARRAY_LEN(fields));
    if (tr_h2_new(&h2, &chromium_like, TR_SLICE_NULL, NULL, &err) == TR_OK && start(h2, &ex, &head, &err) == TR_OK &&
        to_server(h2, &server, &err) == TR_OK) {
        TR_CHECK_SLICE(tr_slice_cstr(server.fields), ":method: GET\n:authority: a.test\n:scheme: https\n:path: /a?b\nuser-agent: t\nte: trailers\n"
                                                     "cookie: a=1\ncookie: b=2\ncookie: c=3\nx-spaces: in  side\n");
        TR_CHECK_INT(server.num_ids, 1);
        respond(&server, server.ids[0], 5);
        if (exchange_all(h2, &server, &err) == TR_OK && !ex.failed) {
            CHECK_LOG(&ex, "h200(1) d5 t0 e");
            TR_CHECK(tr_h2_got_settings(h2));
            TR_CHECK_INT(tr_h2_num_streams(h2), 0);
            TR_CHECK(!tr_h2_wants_write(h2));
            TR_CHECK_SLICE(tr_slice_cstr(server.resets), "");
            done = true;
        }
    }
    tr_h2_free(h2);
    nghttp2_session_del(server.session);
    TR_CHECK(done || tr_test_oom_running());
    if (!done && err.code != TR_ERR_NOMEM && ex.err.code != TR_ERR_NOMEM) {
        tr_test_fail(__FILE__, __LINE__, "%s, %s", err.msg, ex.err.msg);
    }
}

TR_TEST(http2_refused_heads, "/http2/refused_heads")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    exchange_t ex;
    TR_CHECK_OK(tr_h2_new(&h2, &chromium_like, TR_SLICE_NULL, NULL, &err), &err);
    static const tr_field_t bad[] = {FIELD("a b", "x"), FIELD("", "x"), FIELD("a", "x\r\ny: z"), FIELD("a", "x\ny"), FIELD("a:", "x"),
                                     {{(const uint8_t *)"a", 1}, {(const uint8_t *)"\0", 1}}};
    for (size_t i = 0; i < TR_ARRAY_LEN(bad); i++) {
        tr_request_head_t head = head_of("GET", "/", &bad[i], 1);
        TR_CHECK_INT(start(h2, &ex, &head, &err), TR_ERR_HEADER_INVALID);
    }
    static const char *const targets[] = {"", "/a b", "/a\r\nx: y", "/\x7f"};
    for (size_t i = 0; i < TR_ARRAY_LEN(targets); i++) {
        tr_request_head_t head = head_of("GET", targets[i], NULL, 0);
        TR_CHECK_INT(start(h2, &ex, &head, &err), TR_ERR_URL_INVALID);
    }
    tr_request_head_t head = head_of("GE T", "/", NULL, 0);
    TR_CHECK_INT(start(h2, &ex, &head, &err), TR_ERR_METHOD_INVALID);
    head = head_of("GET", "/", NULL, 0);
    head.authority = TR_SLICE_LIT("a\nb");
    TR_CHECK_INT(start(h2, &ex, &head, &err), TR_ERR_URL_INVALID);
    TR_CHECK_INT(tr_h2_num_streams(h2), 0);
    CHECK_PULL(h2, "PREFACE SETTINGS WU/0:15663105");
    tr_h2_free(h2);
}

/* A block over several frames: Chromium cuts at 16374, Firefox at 16384; the server must be able to read both. */
static void
check_large_block(const tr_profile_t *profile, const char *expected)
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    exchange_t ex;
    server_t server;
    enum { LEN = 60000 };
    char *value = malloc(LEN);
    TR_CHECK(value != NULL);
    for (size_t i = 0; i < LEN; i++) {
        value[i] = (char)('!' + i * 7 % 90); /* long Huffman codes: stays as it is, or nearly so */
    }
    tr_field_t field = {TR_SLICE_LIT("x-large"), tr_slice(value, LEN)};
    tr_request_head_t head = head_of("GET", "/", &field, 1);
    char text[1024];
    tr_buf_t raw = TR_BUF_INIT;
    TR_CHECK_OK(tr_h2_new(&h2, profile, TR_SLICE_NULL, NULL, &err), &err);
    TR_CHECK_OK(start(h2, &ex, &head, &err), &err);
    TR_CHECK_INT(pull(h2, text, sizeof(text), &raw, &err), TR_AGAIN);
    TR_CHECK_SLICE(tr_slice_cstr(text), expected);
    server_init(&server);
    TR_CHECK_INT(nghttp2_session_mem_recv(server.session, raw.data, raw.len), raw.len);
    TR_CHECK_INT(server.num_ids, 1);
    nghttp2_session_del(server.session);
    tr_buf_cleanup(&raw);
    tr_h2_free(h2);
    free(value);
}

TR_TEST(http2_large_block, "/http2/large_block")
{
    check_large_block(&chromium_like, "PREFACE SETTINGS WU/0:15663105 | HEADERS/1es+[x0,256] CONT CONT CONT");
    check_large_block(&firefox_like, "PREFACE SETTINGS WU/0:12517377 | HEADERS/3es+[0,42] CONT CONT CONT WU/3:12451840");
    check_large_block(&odd_like, "PREFACE SETTINGS WU/0:1000 PRIORITY/3[0,201] PRIORITY/5[0,101] PRIORITY/7[x0,1] HEADERS/15es+ CONT CONT CONT");
}

/* ------------------------------------------------------------------------------------------------------------- uploads */

typedef struct source {
    uint64_t left;
    size_t step;      /* bytes a call */
    size_t pause_each; /* pauses on each n-th call; 0: never */
    size_t calls;
    bool fail;
    bool eof_with_data;
} source_t;

static tr_code_t
source_read(void *arg, uint8_t *out, size_t max, size_t *out_len, tr_err_t *err)
{
    source_t *source = arg;
    source->calls++;
    if (source->fail) {
        return tr_err_set(err, TR_ERR_REQUEST_BODY, 7, "test.source", NULL);
    }
    if (source->pause_each != 0 && source->calls % source->pause_each == 0) {
        return TR_PAUSED;
    }
    size_t n = (size_t)TR_MIN((uint64_t)TR_MIN(max, source->step), source->left);
    memset(out, 'u', n);
    source->left -= n;
    *out_len = n;
    return n == 0 || (source->eof_with_data && source->left == 0) ? TR_EOF : TR_OK;
}

static tr_code_t
upload(tr_h2_t *h2, server_t *server, exchange_t *ex, const tr_body_source_t *body)
{
    tr_err_t err = TR_ERR_INIT;
    tr_request_head_t head = head_of("POST", "/up", NULL, 0);
    head.body = *body;
    tr_code_t code = start(h2, ex, &head, &err);
    for (int i = 0; code == TR_OK && i < 2000 && server->num_ids == 0 && !ex->failed; i++) {
        code = exchange_all(h2, server, &err);
        /* what a server's consumption does */
        if (!ex->failed && server->num_ids == 0) {
            tr_h2_resume_body(h2, ex->stream);
        }
    }
    return code;
}

TR_TEST(http2_upload_bytes, "/http2/upload_bytes")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    exchange_t ex;
    server_t server;
    enum { LEN = 300000 };
    uint8_t *bytes = calloc(1, LEN);
    TR_CHECK(bytes != NULL);
    server_init(&server);
    TR_CHECK_OK(tr_h2_new(&h2, &chromium_like, TR_SLICE_NULL, NULL, &err), &err);
    tr_body_source_t body = {.present = true, .len = LEN, .bytes = tr_slice(bytes, LEN)};
    TR_CHECK_INT(upload(h2, &server, &ex, &body), TR_OK);
    TR_CHECK_INT(server.received, LEN);
    TR_CHECK_INT(server.max_data, 16375);
    respond(&server, server.ids[0], 0);
    TR_CHECK_OK(exchange_all(h2, &server, &err), &err);
    CHECK_LOG(&ex, "h200(1) d0 t0 e");
    TR_CHECK_SLICE(tr_slice_cstr(server.resets), "");
    nghttp2_session_del(server.session);
    tr_h2_free(h2);
    free(bytes);
}

/* Marks go to the exchange of whose request a pull gave bytes: its HEADERS and DATA, not the answers to a server that asks meanwhile. */
TR_TEST(http2_marks, "/http2/marks")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    exchange_t one, two;
    uint8_t bytes[20000] = {0};
    tr_buf_t out = TR_BUF_INIT;
    tr_request_head_t head = head_of("POST", "/up", NULL, 0);
    head.body = (tr_body_source_t){.present = true, .len = 20000, .bytes = tr_slice(bytes, sizeof(bytes))};
    TR_CHECK_OK(tr_h2_new(&h2, &chromium_like, TR_SLICE_NULL, NULL, &err), &err);
    TR_CHECK_OK(start(h2, &one, &head, &err), &err);
    TR_CHECK_INT(get(h2, &two, "/"), TR_OK);
    static const uint64_t marks[][2] = {{0, 0}, {2, 0}, {2, 3}, {4, 3}, {5, 3}, {5, 3}}; /* preface; HEADERS; HEADERS; DATA; DATA; nothing */
    for (size_t i = 0; i < TR_ARRAY_LEN(marks); i++) {
        tr_buf_clear(&out);
        TR_CHECK_INT(tr_h2_pull(h2, &out, &err), i + 1 < TR_ARRAY_LEN(marks) ? TR_OK : TR_AGAIN);
        tr_h2_mark(h2, i + 1);
        TR_CHECK_INT(tr_h2_stream_mark(one.stream), marks[i][0]);
        TR_CHECK_INT(tr_h2_stream_mark(two.stream), marks[i][1]);
    }
    static const uint8_t ping[] = "\0\0\0\4\0\0\0\0\0\0\0\10\6\0\0\0\0\0questionX"; /* SETTINGS, PING */
    TR_CHECK_OK(feed(h2, ping, 26, &err), &err);
    tr_buf_clear(&out);
    TR_CHECK_INT(tr_h2_pull(h2, &out, &err), TR_OK);
    tr_h2_mark(h2, 9);
    TR_CHECK(tr_h2_stream_mark(one.stream) == 5 && tr_h2_stream_mark(two.stream) == 3);
    /* One that is over gets none, whatever was pulled of it last. */
    exchange_t three;
    TR_CHECK_INT(get(h2, &three, "/"), TR_OK);
    tr_buf_clear(&out);
    TR_CHECK_INT(tr_h2_pull(h2, &out, &err), TR_OK);
    tr_h2_mark(h2, 10);
    TR_CHECK_INT(tr_h2_stream_mark(three.stream), 10);
    tr_h2_cancel(h2, three.stream);
    tr_h2_mark(h2, 11);
    TR_CHECK_INT(tr_h2_stream_mark(three.stream), 10);
    tr_buf_cleanup(&out);
    tr_h2_free(h2);
}

TR_TEST(http2_upload_frames, "/http2/upload_frames")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    exchange_t ex;
    uint8_t bytes[20000] = {0};
    tr_request_head_t head = head_of("POST", "/up", NULL, 0);
    head.body = (tr_body_source_t){.present = true, .len = 20000, .bytes = tr_slice(bytes, sizeof(bytes))};
    TR_CHECK_OK(tr_h2_new(&h2, &chromium_like, TR_SLICE_NULL, NULL, &err), &err);
    TR_CHECK_OK(start(h2, &ex, &head, &err), &err);
    CHECK_PULL(h2, "PREFACE SETTINGS WU/0:15663105 | HEADERS/1[x0,256] | DATA/1:16375 | DATA/1:3625es");
    head.body = (tr_body_source_t){.present = true, .len = 0};
    TR_CHECK_OK(start(h2, &ex, &head, &err), &err);
    CHECK_PULL(h2, "HEADERS/3es[x1,256]");
    /* unknown length, ended with the last bytes */
    source_t source = {.left = 10, .step = 10, .eof_with_data = true};
    head.body = (tr_body_source_t){.present = true, .len = -1, .read = source_read, .arg = &source};
    TR_CHECK_OK(start(h2, &ex, &head, &err), &err);
    CHECK_PULL(h2, "HEADERS/5[x3,256] | DATA/5:10es");
    /* unknown length, ended behind them */
    source = (source_t){.left = 10, .step = 10};
    TR_CHECK_OK(start(h2, &ex, &head, &err), &err);
    CHECK_PULL(h2, "HEADERS/7[x5,256] | DATA/7:10 | DATA/7:0es");
    /* known length: END_STREAM lies on the last bytes */
    source = (source_t){.left = 10, .step = 6};
    head.body.len = 10;
    TR_CHECK_OK(start(h2, &ex, &head, &err), &err);
    CHECK_PULL(h2, "HEADERS/9[x7,256] | DATA/9:6 | DATA/9:4es");
    /* longer, shorter, failing */
    source = (source_t){.left = 11, .step = 100};
    TR_CHECK_OK(start(h2, &ex, &head, &err), &err);
    CHECK_PULL(h2, "HEADERS/11[x9,256] | RST/11:8");
    CHECK_LOG(&ex, "d0 f:REQUEST_BODY");
    source = (source_t){.left = 9, .step = 100};
    TR_CHECK_OK(start(h2, &ex, &head, &err), &err);
    CHECK_PULL(h2, "HEADERS/13[x9,256] | DATA/13:9 | RST/13:8");
    CHECK_LOG(&ex, "d0 f:REQUEST_BODY");
    source = (source_t){.left = 9, .step = 100, .fail = true};
    TR_CHECK_OK(start(h2, &ex, &head, &err), &err);
    CHECK_PULL(h2, "HEADERS/15[x9,256] | RST/15:8");
    TR_CHECK_INT(ex.err.detail, 7);
    /* cancelled while it waits */
    source = (source_t){.left = 10, .step = 4, .pause_each = 2};
    TR_CHECK_OK(start(h2, &ex, &head, &err), &err);
    CHECK_PULL(h2, "HEADERS/17[x9,256] | DATA/17:4");
    tr_h2_resume_body(h2, ex.stream);
    CHECK_PULL(h2, "DATA/17:4");
    tr_h2_cancel(h2, ex.stream);
    CHECK_PULL(h2, "RST/17:8");
    TR_CHECK_INT(tr_h2_num_streams(h2), 5);
    tr_h2_free(h2);
}

TR_TEST(http2_upload_source, "/http2/upload_source")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    exchange_t ex;
    server_t server;
    server_init(&server);
    source_t source = {.left = 500000, .step = 7000, .pause_each = 5};
    tr_body_source_t body = {.present = true, .len = 500000, .read = source_read, .arg = &source};
    TR_CHECK_OK(tr_h2_new(&h2, &firefox_like, TR_SLICE_NULL, NULL, &err), &err);
    TR_CHECK_INT(upload(h2, &server, &ex, &body), TR_OK);
    TR_CHECK_INT(server.received, 500000);
    TR_CHECK(server.max_data <= 7000);
    nghttp2_session_del(server.session);
    tr_h2_free(h2);
}

/* ----------------------------------------------------------------------------------------------------------- downloads */

/* Serves a body and returns the client's WINDOW_UPDATEs as text. */
static void
download(const tr_profile_t *profile, uint64_t len, uint8_t padding, char *updates, size_t cap)
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    exchange_t ex;
    server_t server;
    char text[8192];
    size_t n = 0;
    server_init(&server);
    server.padding = padding;
    TR_CHECK_OK(tr_h2_new(&h2, profile, TR_SLICE_NULL, NULL, &err), &err);
    TR_CHECK_INT(get(h2, &ex, "/d"), TR_OK);
    TR_CHECK_OK(exchange_all(h2, &server, &err), &err);
    respond(&server, server.ids[0], len);
    updates[0] = '\0';
    for (int i = 0; i < 100000 && !ex.ended && !ex.failed; i++) {
        TR_CHECK_OK(to_client(h2, &server, 1, &err), &err);
        tr_buf_t raw = TR_BUF_INIT;
        TR_CHECK_INT(pull(h2, text, sizeof(text), &raw, &err), TR_AGAIN);
        if (raw.len > 0) {
            n += (size_t)snprintf(updates + n, cap - n, "%s%s", n > 0 ? " " : "", text);
            TR_CHECK(n < cap);
            TR_CHECK_INT(nghttp2_session_mem_recv(server.session, raw.data, raw.len), raw.len);
        }
        tr_buf_cleanup(&raw);
    }
    TR_CHECK(ex.ended);
    TR_CHECK_INT(ex.body_len, len);
    nghttp2_session_del(server.session);
    tr_h2_free(h2);
}

TR_TEST(http2_flow_control, "/http2/flow_control")
{
    char updates[4096];
    /* the captures' download of 20,000,000 bytes: six updates on the stream, two on the connection; here to the frame */
    download(&chromium_like, 20000000, 0, updates, sizeof(updates));
    TR_CHECK_SLICE(tr_slice_cstr(updates), "WU/1:3162112 WU/1:3162112 WU/0:7880704 WU/1:3162112 WU/1:3162112 WU/0:7880704 WU/1:3162112 WU/1:3162112");
    download(&firefox_like, 20000000, 0, updates, sizeof(updates));
    TR_CHECK_SLICE(tr_slice_cstr(updates), "WU/3:4194304 WU/0:4194304 WU/3:4194304 WU/0:4194304 WU/3:4194304 WU/0:4194304 WU/3:4194304 WU/0:4194304");
    /* padding is part of the window; a profile with the smallest windows must not stall */
    download(&odd_like, 3000000, 200, updates, 4096);
}

TR_TEST(http2_pause, "/http2/pause")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    exchange_t ex, other;
    server_t server;
    server_init(&server);
    TR_CHECK_OK(tr_h2_new(&h2, &chromium_like, TR_SLICE_NULL, NULL, &err), &err);
    TR_CHECK_INT(get(h2, &ex, "/d"), TR_OK);
    TR_CHECK_OK(exchange_all(h2, &server, &err), &err);
    respond(&server, server.ids[0], 20000000);
    ex.pause = true;
    for (int i = 0; i < 10; i++) {
        TR_CHECK_OK(exchange_all(h2, &server, &err), &err);
    }
    TR_CHECK_INT(ex.body_len, 6291456); /* the stream's window, no more */
    /* the connection goes on */
    uint64_t rest = server.to_send;
    TR_CHECK_INT(get(h2, &other, "/o"), TR_OK);
    TR_CHECK_OK(to_server(h2, &server, &err), &err);
    respond(&server, server.ids[1], 1);
    TR_CHECK_OK(exchange_all(h2, &server, &err), &err);
    CHECK_LOG(&other, "h200(1) d1 t0 e");
    server.to_send = rest;
    ex.pause = false;
    tr_h2_resume(h2, ex.stream);
    for (int i = 0; i < 1000 && !ex.ended; i++) {
        TR_CHECK_OK(exchange_all(h2, &server, &err), &err);
    }
    TR_CHECK_INT(ex.body_len, 20000000);
    nghttp2_session_del(server.session);
    tr_h2_free(h2);
}

/* A cancelled download's late bytes return to the connection's window, also when there are more of them than it holds. */
TR_TEST(http2_cancel_window, "/http2/cancel_window")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    exchange_t ex;
    server_t server;
    char log[64];
    server_init(&server);
    TR_CHECK_OK(tr_h2_new(&h2, &chromium_like, TR_SLICE_NULL, NULL, &err), &err);
    TR_CHECK_OK(exchange_all(h2, &server, &err), &err);
    for (int i = 0; i < 8; i++) {
        TR_CHECK_INT(get(h2, &ex, "/d"), TR_OK);
        TR_CHECK_OK(to_server(h2, &server, &err), &err);
        ex.cancel_in = 'd';
        respond(&server, server.ids[server.num_ids - 1], 6000000);
        TR_CHECK_OK(to_client(h2, &server, SIZE_MAX, &err), &err); /* all of it, before RST_STREAM comes */
        TR_CHECK_OK(to_server(h2, &server, &err), &err);
        TR_CHECK_INT(ex.num_data, 1);
        CHECK_LOG(&ex, "h200(1) ");
        (void)snprintf(log, sizeof(log), "%d:8 ", 2 * i + 1);
        server.to_send = 0;
    }
    TR_CHECK_INT(get(h2, &ex, "/last"), TR_OK);
    TR_CHECK_OK(to_server(h2, &server, &err), &err);
    respond(&server, server.ids[server.num_ids - 1], 100000);
    TR_CHECK_OK(exchange_all(h2, &server, &err), &err);
    CHECK_LOG(&ex, "h200(1) d100000 t0 e");
    nghttp2_session_del(server.session);
    tr_h2_free(h2);
}

TR_TEST(http2_take_chunks, "/http2/take_chunks")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    exchange_t ex;
    TR_CHECK_OK(tr_h2_new(&h2, &chromium_like, TR_SLICE_NULL, NULL, &err), &err);
    TR_CHECK_INT(get(h2, &ex, "/"), TR_OK);
    CHECK_PULL(h2, "PREFACE SETTINGS WU/0:15663105 | HEADERS/1es[x0,256]");
    ex.take = true;
    tr_buf_t stream = TR_BUF_INIT;
    uint8_t body[16384];
    put_frame(&stream, 4, 0, 0, NULL, 0);
    put_frame(&stream, 4, 1, 0, NULL, 0); /* our windows are known to the server */
    put_frame(&stream, 1, 4, 1, "\x88", 1);
    uint64_t sum = 0;
    for (size_t i = 0, place = 1; i < 10; i++) {
        for (size_t at = 0; at < sizeof(body); at++, place++) {
            body[at] = (uint8_t)(at * 31 + i);
            sum += body[at] * place;
        }
        put_frame(&stream, 0, i == 9 ? 1 : 0, 1, body, sizeof(body));
    }
    tr_bufq_t q;
    tr_bufq_init(&q, 0);
    for (size_t pos = 0; pos < stream.len;) { /* records of 16384 bytes, as a server would cut them */
        size_t n = TR_MIN(stream.len - pos, (size_t)16384);
        tr_chunk_t *chunk = tr_chunk_new(16384);
        TR_CHECK(chunk != NULL);
        memcpy(chunk->data, stream.data + pos, n);
        chunk->len = n;
        TR_CHECK_INT(tr_bufq_push(&q, chunk), TR_OK);
        pos += n;
    }
    TR_CHECK_OK(tr_h2_feed(h2, &q, &err), &err);
    CHECK_LOG(&ex, "h200(0) d163840 t0 e");
    TR_CHECK(ex.body_sum == sum);
    TR_CHECK_INT(ex.num_taken, 10);
    tr_buf_cleanup(&stream);
    tr_h2_free(h2);
}

/* ------------------------------------------------------------------------------------------------------------- limits */

TR_TEST(http2_max_streams, "/http2/max_streams")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    exchange_t ex[4];
    server_t server;
    server_init(&server);
    nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2};
    TR_CHECK_INT(nghttp2_submit_settings(server.session, 0, &entry, 1), 0);
    TR_CHECK_OK(tr_h2_new(&h2, &chromium_like, TR_SLICE_NULL, NULL, &err), &err);
    TR_CHECK_INT(tr_h2_max_streams(h2), 100);
    TR_CHECK(!tr_h2_got_settings(h2));
    TR_CHECK_OK(exchange_all(h2, &server, &err), &err);
    TR_CHECK_INT(tr_h2_max_streams(h2), 2);
    TR_CHECK_INT(get(h2, &ex[0], "/"), TR_OK);
    TR_CHECK_INT(get(h2, &ex[1], "/"), TR_OK);
    TR_CHECK(!tr_h2_can_submit(h2));
    TR_CHECK_INT(get(h2, &ex[2], "/"), TR_AGAIN);
    TR_CHECK(ex[2].stream == NULL);
    /* a cancelled stream counts until RST_STREAM is out */
    TR_CHECK_OK(exchange_all(h2, &server, &err), &err);
    tr_h2_cancel(h2, ex[0].stream);
    TR_CHECK_INT(tr_h2_num_streams(h2), 1);
    TR_CHECK(!tr_h2_can_submit(h2));
    TR_CHECK_OK(exchange_all(h2, &server, &err), &err);
    TR_CHECK(tr_h2_can_submit(h2));
    TR_CHECK_INT(get(h2, &ex[2], "/"), TR_OK);
    respond(&server, server.ids[1], 0);
    TR_CHECK_OK(exchange_all(h2, &server, &err), &err);
    CHECK_LOG(&ex[1], "h200(1) d0 t0 e");
    /* cancelled before it was sent: nothing of it goes out, its place comes back */
    TR_CHECK_INT(get(h2, &ex[3], "/"), TR_OK);
    tr_h2_cancel(h2, ex[3].stream);
    CHECK_PULL(h2, "");
    TR_CHECK(tr_h2_can_submit(h2));
    TR_CHECK_SLICE(tr_slice_cstr(server.resets), "1:8 ");
    nghttp2_session_del(server.session);
    tr_h2_free(h2);
}

TR_TEST(http2_many, "/http2/many")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    static exchange_t ex[50];
    server_t server;
    server_init(&server);
    TR_CHECK_OK(tr_h2_new(&h2, &firefox_like, TR_SLICE_NULL, NULL, &err), &err);
    for (int round = 0; round < 20; round++) {
        server.num_ids = 0;
        server.fields_len = 0;
        for (size_t i = 0; i < TR_ARRAY_LEN(ex); i++) {
            TR_CHECK_INT(get(h2, &ex[i], "/"), TR_OK);
        }
        TR_CHECK_OK(to_server(h2, &server, &err), &err);
        TR_CHECK_INT(server.num_ids, TR_ARRAY_LEN(ex));
        for (size_t i = 0; i < TR_ARRAY_LEN(ex); i += 2) {
            tr_h2_cancel(h2, ex[i].stream);
        }
        for (size_t i = 0; i < TR_ARRAY_LEN(ex); i++) {
            respond(&server, server.ids[i], 0);
        }
        TR_CHECK_OK(exchange_all(h2, &server, &err), &err);
        for (size_t i = 0; i < TR_ARRAY_LEN(ex); i++) {
            CHECK_LOG(&ex[i], i % 2 == 0 ? "" : "h200(1) d0 t0 e");
        }
        TR_CHECK_INT(tr_h2_num_streams(h2), 0);
    }
    nghttp2_session_del(server.session);
    tr_h2_free(h2);
}

TR_TEST(http2_ping, "/http2/ping")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    tr_buf_t raw = TR_BUF_INIT;
    char text[256];
    TR_CHECK_OK(tr_h2_new(&h2, &chromium_like, TR_SLICE_NULL, NULL, &err), &err);
    CHECK_PULL(h2, "PREFACE SETTINGS WU/0:15663105");
    TR_CHECK_OK(tr_h2_ping(h2, &err), &err);
    TR_CHECK_INT(pull(h2, text, sizeof(text), &raw, &err), TR_AGAIN);
    TR_CHECK_SLICE(tr_slice_cstr(text), "PING");
    TR_CHECK_MEM(raw.data + 9, "\0\0\0\0\0\0\0\1", 8);
    tr_buf_cleanup(&raw);
    /* behind the HEADERS of the request that woke the connection */
    exchange_t ex;
    TR_CHECK_OK(tr_h2_ping(h2, &err), &err);
    TR_CHECK(tr_h2_wants_write(h2));
    TR_CHECK_INT(get(h2, &ex, "/"), TR_OK);
    CHECK_PULL(h2, "HEADERS/1es[x0,256] | PING");
    tr_h2_free(h2);
}

/* ---------------------------------------------------------------------------------------------------------------- ALPS */

TR_TEST(http2_alps, "/http2/alps")
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    exchange_t ex;
    tr_buf_t alps = TR_BUF_INIT;
    put_frame(&alps, 4, 0, 0, "\x00\x03\x00\x00\x00\x07\x00\x04\x00\x00\x00\x05", 12);
    put_frame(&alps, 0x89, 0, 0, "\0\3a:b\0\4rtt,", 11);
    TR_CHECK_OK(tr_h2_new(&h2, &chromium_like, tr_buf_slice(&alps), NULL, &err), &err);
    TR_CHECK(tr_h2_got_settings(h2));
    TR_CHECK_INT(tr_h2_max_streams(h2), 7);
    tr_request_head_t head = head_of("POST", "/", NULL, 0);
    head.body = (tr_body_source_t){.present = true, .len = 9, .bytes = TR_SLICE_LIT("123456789")};
    TR_CHECK_OK(start(h2, &ex, &head, &err), &err);
    /* no acknowledgement; the initial window of 5 counts */
    CHECK_PULL(h2, "PREFACE SETTINGS WU/0:15663105 | HEADERS/1[x0,256] | DATA/1:5");
    /* the server's SETTINGS come all the same, and are acknowledged */
    TR_CHECK_OK(feed_frame(h2, 4, 0, 0, "\x00\x04\x00\x00\x00\x07", 6, &err), &err);
    CHECK_PULL(h2, "SETTINGS-ACK | DATA/1:2");
    tr_h2_free(h2);
    /* and must be first */
    TR_CHECK_OK(tr_h2_new(&h2, &chromium_like, tr_buf_slice(&alps), NULL, &err), &err);
    TR_CHECK_INT(feed_frame(h2, 6, 0, 0, "12345678", 8, &err), TR_ERR_H2_PROTOCOL);
    tr_h2_free(h2);
    /* malformed */
    for (size_t cut = 1; cut < alps.len; cut++) {
        tr_code_t code = tr_h2_new(&h2, &chromium_like, tr_slice(alps.data, cut), NULL, &err);
        TR_CHECK_INT(code, cut == 21 ? TR_OK : TR_ERR_H2_PROTOCOL);
        tr_h2_free(h2);
    }
    tr_buf_clear(&alps);
    put_frame(&alps, 4, 0, 0, "\x00\x04\xff\xff\xff\xff", 6);
    TR_CHECK_INT(tr_h2_new(&h2, &chromium_like, tr_buf_slice(&alps), NULL, &err), TR_ERR_H2_PROTOCOL);
    tr_buf_clear(&alps);
    put_frame(&alps, 1, 4, 1, "\x88", 1);
    TR_CHECK_INT(tr_h2_new(&h2, &chromium_like, tr_buf_slice(&alps), NULL, &err), TR_ERR_H2_PROTOCOL);
    tr_buf_cleanup(&alps);
}

#define CHECK_ASKED(h2, scheme, authority, expected) \
    TR_CHECK_SLICE(tr_h2_accept_ch(h2, tr_slice_cstr(scheme), tr_slice_cstr(authority)), expected)

TR_TEST(http2_accept_ch, "/http2/accept_ch")
{
    static const char entries[] = "\0\xe"
                                  "https://a.test"
                                  "\0\3rtt"
                                  "\0\x13"
                                  "https://a.test:8443"
                                  "\0\3dpr"
                                  "\0\xe"
                                  "https://a.test"
                                  "\0\3ect"
                                  "\0\0\0\0";
    static const struct {
        uint8_t flags, stream;
        size_t len;
    } bad[] = {{1, 0, sizeof(entries) - 1}, {0, 1, sizeof(entries) - 1}, {0, 0, 1}, {0, 0, 2}, {0, 0, 15}, {0, 0, 17}, {0, 0, 20}};
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2 = NULL;
    tr_buf_t alps = TR_BUF_INIT;
    put_frame(&alps, 0x89, 0, 0, entries, sizeof(entries) - 1);
    put_frame(&alps, 0x89, 0, 0, "\0\xehttps://b.test\0\3ect", 21);
    TR_CHECK_OK(tr_h2_new(&h2, &chromium_like, tr_buf_slice(&alps), NULL, &err), &err);
    CHECK_ASKED(h2, "https", "a.test", "rtt"); /* the first */
    CHECK_ASKED(h2, "https", "a.test:8443", "dpr");
    CHECK_ASKED(h2, "https", "b.test", "ect");
    CHECK_ASKED(h2, "https", "a.test:443", "");
    CHECK_ASKED(h2, "http", "a.test", "");
    CHECK_ASKED(h2, "https", "", "");
    tr_h2_free(h2);
    for (size_t i = 0; i < TR_ARRAY_LEN(bad); i++) {
        tr_buf_clear(&alps);
        put_frame(&alps, 0x89, bad[i].flags, bad[i].stream, entries, bad[i].len);
        TR_CHECK_INT(tr_h2_new(&h2, &chromium_like, tr_buf_slice(&alps), NULL, &err), TR_ERR_H2_PROTOCOL);
    }
    /* Without end: what is beyond the limit is as if it had not come. */
    tr_buf_clear(&alps);
    for (int i = 0; i < 2000; i++) {
        put_frame(&alps, 0x89, 0, 0, "\0\xehttps://c.test\0\3ect", 21);
    }
    put_frame(&alps, 0x89, 0, 0, "\0\xehttps://b.test\0\3ect", 21);
    TR_CHECK_OK(tr_h2_new(&h2, &chromium_like, tr_buf_slice(&alps), NULL, &err), &err);
    CHECK_ASKED(h2, "https", "c.test", "ect");
    CHECK_ASKED(h2, "https", "b.test", "");
    tr_h2_free(h2);
    tr_buf_cleanup(&alps);
}
