/* What no honest server sends: frames made by hand. */
#include "test_http2_peer.h"

/* HPACK (RFC 7541 6.2.2): a literal without indexing, short names and values. */
static size_t
literal(uint8_t *out, const char *name, const char *value)
{
    size_t n = strlen(name), v = strlen(value);
    TR_CHECK(n < 127 && v < 127);
    out[0] = 0;
    out[1] = (uint8_t)n;
    memcpy(out + 2, name, n);
    out[2 + n] = (uint8_t)v;
    memcpy(out + 3 + n, value, v);
    return n + v + 3;
}

/* An engine whose opening is out and whose SETTINGS are agreed, with num requests sent. */
static tr_h2_t *
ready(exchange_t *ex, size_t num, const tr_h2_limits_t *limits)
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    char text[1024];
    TR_CHECK_OK(tr_h2_new(&h2, &chromium_like, TR_SLICE_NULL, limits, &err), &err);
    for (size_t i = 0; i < num; i++) {
        TR_CHECK_INT(get(h2, &ex[i], "/"), TR_OK);
    }
    TR_CHECK_INT(pull(h2, text, sizeof(text), NULL, &err), TR_AGAIN);
    TR_CHECK_OK(feed_frame(h2, 4, 0, 0, NULL, 0, &err), &err);
    TR_CHECK_OK(feed_frame(h2, 4, 1, 0, NULL, 0, &err), &err);
    TR_CHECK_INT(pull(h2, text, sizeof(text), NULL, &err), TR_AGAIN);
    return h2;
}

/* The connection must be over: feed failed with code, exchange and later calls too, GOAWAY with that error goes out. */
static void
check_dead(tr_h2_t *h2, exchange_t *ex, tr_code_t code, unsigned goaway)
{
    char text[8192], expected[32];
    tr_err_t err = TR_ERR_INIT;
    exchange_t late;
    TR_CHECK(ex->failed);
    TR_CHECK_INT(ex->err.code, code);
    TR_CHECK(!ex->not_processed);
    TR_CHECK(tr_h2_is_draining(h2) && !tr_h2_can_submit(h2));
    TR_CHECK_INT(tr_h2_num_streams(h2), 0);
    TR_CHECK_INT(get(h2, &late, "/"), TR_AGAIN);
    TR_CHECK(tr_h2_wants_write(h2));
    TR_CHECK_INT(pull(h2, text, sizeof(text), NULL, &err), code);
    (void)snprintf(expected, sizeof(expected), "GOAWAY:%u", goaway);
    size_t n = strlen(text), e = strlen(expected);
    if (n < e || strcmp(text + n - e, expected) != 0) {
        tr_test_fail(__FILE__, __LINE__, "\"%s\" does not end with %s", text, expected);
    }
    TR_CHECK(!tr_h2_wants_write(h2));
    TR_CHECK_INT(feed(h2, "x", 1, &err), code);
    TR_CHECK_INT(tr_h2_pull(h2, &(tr_buf_t){NULL, 0, 0, NULL, false, false}, &err), code);
    TR_CHECK_INT(tr_h2_ping(h2, &err), code);
}

/* Connection errors: one frame (after SETTINGS) and the GOAWAY that it deserves. */
TR_TEST(http2_conn_errors, "/http2/hostile/conn_errors")
{
    static const struct {
        const char *what;
        uint8_t type, flags;
        uint32_t id;
        const char *payload;
        size_t len;
        unsigned goaway;
    } cases[] = {
        {"data before headers", 0, 0, 1, "abc", 3, 1},
        {"data on stream 0", 0, 0, 0, "abc", 3, 1},
        {"data on an idle stream", 0, 0, 99, "abc", 3, 1},
        {"headers on stream 0", 1, 4, 0, "\x88", 1, 1},
        {"headers on an idle stream", 1, 5, 99, "\x88", 1, 1},
        {"push although refused", 5, 4, 1, "\x00\x00\x00\x02\x88", 5, 1},
        {"settings of 5 bytes", 4, 0, 0, "12345", 5, 6},
        {"settings on a stream", 4, 0, 1, "", 0, 1},
        {"ack with payload", 4, 1, 0, "\x00\x01\x00\x00\x00\x00", 6, 6},
        {"window too large", 4, 0, 0, "\x00\x04\x80\x00\x00\x00", 6, 3},
        {"frame size too small", 4, 0, 0, "\x00\x05\x00\x00\x00\x01", 6, 1},
        {"enable push by a server", 4, 0, 0, "\x00\x02\x00\x00\x00\x02", 6, 1},
        {"ping of 7", 6, 0, 0, "1234567", 7, 6},
        {"ping on a stream", 6, 0, 1, "12345678", 8, 1},
        {"window update 0", 8, 0, 0, "\x00\x00\x00\x00", 4, 1},
        {"window update of 3", 8, 0, 0, "\x00\x00\x01", 3, 6},
        {"window overflow", 8, 0, 0, "\x7f\xff\xff\xff", 4, 3},
        {"reset of an idle stream", 3, 0, 99, "\x00\x00\x00\x08", 4, 1},
        {"reset on stream 0", 3, 0, 0, "\x00\x00\x00\x08", 4, 1},
        {"goaway on a stream", 7, 0, 1, "\x00\x00\x00\x00\x00\x00\x00\x00", 8, 1},
        {"continuation alone", 9, 4, 1, "\x88", 1, 1},
        {"hpack index 0", 1, 4, 1, "\x80", 1, 9},
        {"hpack index past the table", 1, 4, 1, "\xff\x80\x80\x80\x01", 5, 9},
        {"hpack cut", 1, 4, 1, "\x00\x05" "ab", 4, 9},
        {"hpack table too large", 1, 4, 1, "\x3f\xff\xff\xff\x07", 5, 9},
        {"padding longer than the frame", 0, 8, 1, "\xff" "abc", 4, 1},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(cases); i++) {
        tr_err_t err = TR_ERR_INIT;
        exchange_t ex;
        tr_h2_t *h2 = ready(&ex, 1, NULL);
        tr_code_t code = feed_frame(h2, cases[i].type, cases[i].flags, cases[i].id, cases[i].payload, cases[i].len, &err);
        if (code != TR_ERR_H2_PROTOCOL || err.detail != (int32_t)cases[i].goaway) {
            tr_test_fail(__FILE__, __LINE__, "%s: %s, detail %d", cases[i].what, tr_err_name(code), (int)err.detail);
        }
        check_dead(h2, &ex, TR_ERR_H2_PROTOCOL, cases[i].goaway);
        tr_h2_free(h2);
    }
}

TR_TEST(http2_bad_preface, "/http2/hostile/bad_preface")
{
    static const tr_slice_t replies[] = {{(const uint8_t *)"HTTP/1.1 400 Bad Request\r\n\r\n", 28},
                                         {(const uint8_t *)"\x15\x03\x01\x00\x02\x02\x28 and more", 16},
                                         {(const uint8_t *)"\x00\x00\x08\x06\x00\x00\x00\x00\x00" "12345678", 17},
                                         {(const uint8_t *)"\x00\x00\x00\x04\x01\x00\x00\x00\x00", 9}};
    for (size_t i = 0; i < TR_ARRAY_LEN(replies); i++) {
        tr_err_t err = TR_ERR_INIT;
        tr_h2_t *h2;
        exchange_t ex;
        char text[256];
        TR_CHECK_OK(tr_h2_new(&h2, &chromium_like, TR_SLICE_NULL, NULL, &err), &err);
        TR_CHECK_INT(get(h2, &ex, "/"), TR_OK);
        TR_CHECK_INT(pull(h2, text, sizeof(text), NULL, &err), TR_AGAIN);
        TR_CHECK_INT(feed(h2, replies[i].data, replies[i].len, &err), TR_ERR_H2_PROTOCOL);
        check_dead(h2, &ex, TR_ERR_H2_PROTOCOL, 1);
        tr_h2_free(h2);
    }
    /* a frame larger than we allow, announced first: refused by its head */
    tr_err_t err = TR_ERR_INIT;
    exchange_t ex;
    tr_h2_t *h2 = ready(&ex, 1, NULL);
    TR_CHECK_INT(feed(h2, "\xff\xff\xff\x00\x00\x00\x00\x00\x01", 9, &err), TR_ERR_H2_PROTOCOL);
    check_dead(h2, &ex, TR_ERR_H2_PROTOCOL, 6);
    tr_h2_free(h2);
}

/* Malformed answers: the stream ends with RST_STREAM(PROTOCOL_ERROR), the connection lives. */
TR_TEST(http2_malformed, "/http2/hostile/malformed")
{
    static const struct {
        const char *what;
        const char *fields[8]; /* name, value, ... */
        uint8_t flags;
        const char *data; /* DATA behind it with END_STREAM */
    } cases[] = {
        {"no status", {"server", "x"}, 5, NULL},
        {"two statuses", {":status", "200", ":status", "200"}, 5, NULL},
        {"status of two digits", {":status", "20"}, 5, NULL},
        {"status of letters", {":status", "2ab"}, 5, NULL},
        {"status 099", {":status", "099"}, 5, NULL},
        {"101", {":status", "101"}, 5, NULL},
        {"request pseudo-header", {":status", "200", ":path", "/"}, 5, NULL},
        {"pseudo-header behind a field", {"server", "x", ":status", "200"}, 5, NULL},
        {"unknown pseudo-header", {":status", "200", ":x", "y"}, 5, NULL},
        {"upper case", {":status", "200", "Server", "x"}, 5, NULL},
        {"blank in a name", {":status", "200", "a b", "x"}, 5, NULL},
        {"newline in a value", {":status", "200", "a", "x\ny"}, 5, NULL},
        {"blank before a value", {":status", "200", "a", " x"}, 5, NULL},
        {"connection", {":status", "200", "connection", "close"}, 5, NULL},
        {"transfer-encoding", {":status", "200", "transfer-encoding", "chunked"}, 5, NULL},
        {"keep-alive", {":status", "200", "keep-alive", "1"}, 5, NULL},
        {"te", {":status", "200", "te", "gzip"}, 5, NULL},
        {"two lengths", {":status", "200", "content-length", "1", "content-length", "1"}, 4, "a"},
        {"length of letters", {":status", "200", "content-length", "x"}, 4, "a"},
        {"body too long", {":status", "200", "content-length", "1"}, 4, "ab"},
        {"body too short", {":status", "200", "content-length", "3"}, 4, "ab"},
        {"no body but a length", {":status", "200", "content-length", "3"}, 5, NULL},
        {"204 with a body", {":status", "204"}, 4, "a"},
        {"304 with a body", {":status", "304"}, 4, "a"},
        {"interim answer ends", {":status", "100"}, 5, NULL},
        {"body behind an interim answer", {":status", "103"}, 4, "a"},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(cases); i++) {
        tr_err_t err = TR_ERR_INIT;
        exchange_t ex[2];
        uint8_t block[256];
        size_t len = 0;
        char text[256];
        tr_h2_t *h2 = ready(ex, 2, NULL);
        for (size_t f = 0; f < 8 && cases[i].fields[f] != NULL; f += 2) {
            len += literal(block + len, cases[i].fields[f], cases[i].fields[f + 1]);
        }
        TR_CHECK_OK(feed_frame(h2, 1, cases[i].flags, 1, block, len, &err), &err);
        if (cases[i].data != NULL) {
            TR_CHECK_OK(feed_frame(h2, 0, 1, 1, cases[i].data, strlen(cases[i].data), &err), &err);
        }
        TR_CHECK_INT(pull(h2, text, sizeof(text), NULL, &err), TR_AGAIN);
        if (strcmp(text, "RST/1:1") != 0 || !ex[0].failed || ex[0].err.code != TR_ERR_H2_STREAM_PROTOCOL || ex[0].not_processed) {
            tr_test_fail(__FILE__, __LINE__, "%s: \"%s\" %s", cases[i].what, text, ex[0].log);
        }
        TR_CHECK_OK(feed_frame(h2, 1, 5, 3, "\x88", 1, &err), &err);
        CHECK_LOG(&ex[1], "h200(0) d0 t0 e");
        tr_h2_free(h2);
    }
}

TR_TEST(http2_answers, "/http2/hostile/answers")
{
    tr_err_t err = TR_ERR_INIT;
    exchange_t ex[6];
    uint8_t block[256];
    size_t len;
    tr_h2_t *h2 = ready(ex, 6, NULL);
    /* interim answers, trailers */
    len = literal(block, ":status", "103");
    len += literal(block + len, "link", "x");
    TR_CHECK_OK(feed_frame(h2, 1, 4, 1, block, len, &err), &err);
    TR_CHECK_OK(feed_frame(h2, 1, 4, 1, "\x88", 1, &err), &err);
    TR_CHECK_OK(feed_frame(h2, 0, 0, 1, "abc", 3, &err), &err);
    TR_CHECK_OK(feed_frame(h2, 0, 8, 1, "\x02" "de\0\0", 5, &err), &err);
    len = literal(block, "grpc-status", "0");
    TR_CHECK_OK(feed_frame(h2, 1, 5, 1, block, len, &err), &err);
    CHECK_LOG(&ex[0], "i103(1) h200(0) d5 t1 e");
    /* trailers without END_STREAM, trailers with a pseudo-header */
    TR_CHECK_OK(feed_frame(h2, 1, 4, 3, "\x88", 1, &err), &err);
    TR_CHECK_OK(feed_frame(h2, 1, 4, 3, block, len, &err), &err);
    CHECK_LOG(&ex[1], "h200(0) d0 f:H2_STREAM_PROTOCOL");
    TR_CHECK_OK(feed_frame(h2, 1, 4, 5, "\x88", 1, &err), &err);
    TR_CHECK_OK(feed_frame(h2, 1, 5, 5, "\x88", 1, &err), &err);
    CHECK_LOG(&ex[2], "h200(0) d0 f:H2_STREAM_PROTOCOL");
    /* interim answers without end */
    len = literal(block, ":status", "102");
    for (int i = 0; i <= TR_HTTP_MAX_INFORMATIONAL; i++) {
        TR_CHECK(!ex[3].failed);
        TR_CHECK_OK(feed_frame(h2, 1, 4, 7, block, len, &err), &err);
    }
    TR_CHECK(ex[3].failed && ex[3].err.code == TR_ERR_H2_STREAM_PROTOCOL);
    /* frames behind END_STREAM are the server's fault, not the finished exchange's */
    TR_CHECK_OK(feed_frame(h2, 1, 5, 9, "\x88", 1, &err), &err);
    CHECK_LOG(&ex[4], "h200(0) d0 t0 e");
    TR_CHECK_OK(feed_frame(h2, 3, 0, 9, "\x00\x00\x00\x02", 4, &err), &err);
    CHECK_PULL(h2, "RST/3:1 RST/5:1 RST/7:1");
    TR_CHECK(!ex[5].failed && !ex[5].ended);
    tr_h2_free(h2);
}

TR_TEST(http2_head_request, "/http2/hostile/head_request")
{
    tr_err_t err = TR_ERR_INIT;
    exchange_t ex;
    uint8_t block[256];
    size_t len;
    char text[256];
    tr_request_head_t head = head_of("HEAD", "/", NULL, 0);
    tr_h2_t *h2 = ready(NULL, 0, NULL);
    TR_CHECK_OK(start(h2, &ex, &head, &err), &err);
    TR_CHECK_INT(pull(h2, text, sizeof(text), NULL, &err), TR_AGAIN);
    len = literal(block, ":status", "200");
    len += literal(block + len, "content-length", "100");
    TR_CHECK_OK(feed_frame(h2, 1, 5, 1, block, len, &err), &err);
    CHECK_LOG(&ex, "h200(1) d0 t0 e");
    TR_CHECK_OK(start(h2, &ex, &head, &err), &err);
    TR_CHECK_INT(pull(h2, text, sizeof(text), NULL, &err), TR_AGAIN);
    TR_CHECK_OK(feed_frame(h2, 1, 4, 3, block, len, &err), &err);
    TR_CHECK_OK(feed_frame(h2, 0, 1, 3, "a", 1, &err), &err);
    CHECK_PULL(h2, "RST/3:1");
    CHECK_LOG(&ex, "h200(1) d0 f:H2_STREAM_PROTOCOL");
    tr_h2_free(h2);
}

TR_TEST(http2_header_limits, "/http2/hostile/header_limits")
{
    tr_err_t err = TR_ERR_INIT;
    exchange_t ex[3];
    uint8_t block[8192];
    size_t len = 1;
    tr_h2_limits_t limits = {1000, 20};
    tr_h2_t *h2 = ready(ex, 3, &limits);
    block[0] = 0x88;
    for (int i = 0; i < 21; i++) { /* 34 bytes each by RFC 9113 6.5.2 */
        len += literal(block + len, "a", "b");
    }
    TR_CHECK_OK(feed_frame(h2, 1, 4, 1, block, len, &err), &err);
    CHECK_LOG(&ex[0], "d0 f:HEADER_LIMIT");
    len = 1;
    for (int i = 0; i < 10; i++) {
        len += literal(block + len, "a", "0123456789012345678901234567890123456789012345678901234567890123456789");
    }
    TR_CHECK_OK(feed_frame(h2, 1, 4, 3, block, len, &err), &err);
    CHECK_LOG(&ex[1], "d0 f:HEADER_LIMIT");
    TR_CHECK_OK(feed_frame(h2, 1, 5, 5, "\x88", 1, &err), &err);
    CHECK_LOG(&ex[2], "h200(0) d0 t0 e");
    CHECK_PULL(h2, "RST/1:8 RST/3:8");
    tr_h2_free(h2);
}

/* ------------------------------------------------------------------------------------------------------ resets, goaway */

TR_TEST(http2_resets, "/http2/hostile/resets")
{
    tr_err_t err = TR_ERR_INIT;
    exchange_t ex[6];
    tr_h2_t *h2 = ready(ex, 6, NULL);
    TR_CHECK_OK(feed_frame(h2, 3, 0, 1, "\x00\x00\x00\x07", 4, &err), &err);
    CHECK_LOG(&ex[0], "d0 f:H2_REFUSED+");
    TR_CHECK_OK(feed_frame(h2, 3, 0, 3, "\x00\x00\x00\x0d", 4, &err), &err);
    CHECK_LOG(&ex[1], "d0 f:H2_HTTP11_REQUIRED+");
    TR_CHECK_OK(feed_frame(h2, 3, 0, 5, "\x00\x00\x00\x02", 4, &err), &err);
    CHECK_LOG(&ex[2], "d0 f:H2_RESET");
    TR_CHECK_INT(ex[2].err.detail, 2);
    TR_CHECK_OK(feed_frame(h2, 3, 0, 7, "\x00\x00\x00\x00", 4, &err), &err); /* NO_ERROR, but no answer came */
    CHECK_LOG(&ex[3], "d0 f:H2_RESET");
    TR_CHECK_OK(feed_frame(h2, 1, 4, 9, "\x88", 1, &err), &err);
    TR_CHECK_OK(feed_frame(h2, 3, 0, 9, "\x00\x00\x00\x07", 4, &err), &err); /* refused after it answered: it lies */
    CHECK_LOG(&ex[4], "h200(0) d0 f:H2_REFUSED");
    TR_CHECK_OK(feed_frame(h2, 3, 0, 11, "\xff\xff\xff\xff", 4, &err), &err);
    CHECK_LOG(&ex[5], "d0 f:H2_RESET");
    TR_CHECK(tr_h2_can_submit(h2));
    TR_CHECK_INT(tr_h2_num_streams(h2), 0);
    tr_h2_free(h2);
}

/* A complete answer to an upload under way counts, with RST_STREAM(NO_ERROR) behind it or without (RFC 9113 8.1). */
TR_TEST(http2_early_answer, "/http2/hostile/early_answer")
{
    tr_err_t err = TR_ERR_INIT;
    exchange_t ex;
    static uint8_t body[100000];
    char text[512];
    for (int with_reset = 0; with_reset < 2; with_reset++) {
        tr_h2_t *h2 = ready(NULL, 0, NULL);
        tr_request_head_t head = head_of("POST", "/", NULL, 0);
        head.body = (tr_body_source_t){.present = true, .len = sizeof(body), .bytes = tr_slice(body, sizeof(body))};
        TR_CHECK_OK(start(h2, &ex, &head, &err), &err);
        TR_CHECK_INT(pull(h2, text, sizeof(text), NULL, &err), TR_AGAIN); /* until the window of 65535 is full */
        TR_CHECK_OK(feed_frame(h2, 1, 5, 1, "\x88", 1, &err), &err);
        if (with_reset != 0) {
            TR_CHECK_OK(feed_frame(h2, 3, 0, 1, "\x00\x00\x00\x00", 4, &err), &err);
        }
        CHECK_LOG(&ex, "h200(0) d0 t0 e");
        CHECK_PULL(h2, "RST/1:8");
        TR_CHECK_INT(tr_h2_num_streams(h2), 0);
        tr_h2_free(h2);
    }
}

TR_TEST(http2_goaway, "/http2/hostile/goaway")
{
    tr_err_t err = TR_ERR_INIT;
    exchange_t ex[4];
    char text[256];
    tr_h2_t *h2 = ready(ex, 3, NULL);
    TR_CHECK_INT(get(h2, &ex[3], "/unsent"), TR_OK);
    TR_CHECK_OK(feed_frame(h2, 7, 0, 0, "\x00\x00\x00\x03\x00\x00\x00\x00", 8, &err), &err);
    CHECK_LOG(&ex[2], "d0 f:H2_GOAWAY+");
    TR_CHECK(tr_h2_is_draining(h2) && !tr_h2_can_submit(h2));
    TR_CHECK_INT(pull(h2, text, sizeof(text), NULL, &err), TR_AGAIN);
    TR_CHECK_SLICE(tr_slice_cstr(text), "");
    CHECK_LOG(&ex[3], "d0 f:H2_GOAWAY+");
    TR_CHECK_OK(feed_frame(h2, 1, 5, 1, "\x88", 1, &err), &err);
    CHECK_LOG(&ex[0], "h200(0) d0 t0 e");
    TR_CHECK_OK(feed_frame(h2, 1, 5, 3, "\x88", 1, &err), &err);
    CHECK_LOG(&ex[1], "h200(0) d0 t0 e");
    TR_CHECK_INT(tr_h2_num_streams(h2), 0);
    tr_h2_free(h2);

    /* calm; the connection then closes */
    h2 = ready(ex, 2, NULL);
    TR_CHECK_OK(feed_frame(h2, 7, 0, 0, "\x00\x00\x00\x01\x00\x00\x00\x0b", 8, &err), &err);
    CHECK_LOG(&ex[1], "d0 f:H2_CALM+");
    TR_CHECK(!ex[0].failed);
    (void)tr_err_set(&err, TR_ERR_CLOSED_EARLY, 0, "test", NULL);
    tr_h2_abort(h2, &err);
    CHECK_LOG(&ex[0], "d0 f:H2_CALM");
    tr_h2_free(h2);

    /* last stream id going up (RFC 9113 6.8) */
    h2 = ready(ex, 2, NULL);
    TR_CHECK_OK(feed_frame(h2, 7, 0, 0, "\x00\x00\x00\x01\x00\x00\x00\x00", 8, &err), &err);
    err = TR_ERR_INIT;
    tr_code_t code = feed_frame(h2, 7, 0, 0, "\x00\x00\x00\x03\x00\x00\x00\x00", 8, &err);
    if (code == TR_OK) { /* found out when nghttp2's own GOAWAY is written */
        code = pull(h2, text, sizeof(text), NULL, &err);
    }
    TR_CHECK_INT(code, TR_ERR_H2_PROTOCOL);
    CHECK_LOG(&ex[0], "d0 f:H2_PROTOCOL");
    tr_h2_free(h2);
}

TR_TEST(http2_abort, "/http2/hostile/abort")
{
    tr_err_t err = TR_ERR_INIT;
    exchange_t ex[2];
    tr_h2_t *h2 = ready(ex, 1, NULL);
    TR_CHECK_INT(get(h2, &ex[1], "/unsent"), TR_OK);
    (void)tr_err_set(&err, TR_ERR_CONNECT_RESET, 104, "test", NULL);
    tr_h2_abort(h2, &err);
    CHECK_LOG(&ex[0], "d0 f:CONNECT_RESET");
    CHECK_LOG(&ex[1], "d0 f:CONNECT_RESET+");
    TR_CHECK_INT(ex[0].err.detail, 104);
    err = TR_ERR_INIT;
    TR_CHECK_INT(feed(h2, "x", 1, &err), TR_ERR_CONNECT_RESET);
    TR_CHECK(!tr_h2_wants_write(h2));
    tr_h2_free(h2);
    /* free with running exchanges: no callback */
    h2 = ready(ex, 1, NULL);
    tr_h2_free(h2);
    CHECK_LOG(&ex[0], "");
}

/* -------------------------------------------------------------------------------------------------------------- floods */

static void
check_flood(uint8_t type, uint8_t flags, uint32_t id, const char *payload, size_t len, unsigned max)
{
    tr_err_t err = TR_ERR_INIT;
    exchange_t ex;
    char text[8192];
    tr_code_t code = TR_OK;
    unsigned n = 0;
    tr_h2_t *h2 = ready(&ex, 1, NULL);
    TR_CHECK_OK(feed_frame(h2, 1, 4, 1, "\x88", 1, &err), &err);
    for (; n < 20000 && code == TR_OK; n++) {
        code = feed_frame(h2, type, flags, id, payload, len, &err);
        if (code == TR_OK && n % 16 == 0) {
            TR_CHECK_INT(pull(h2, text, sizeof(text), NULL, &err), TR_AGAIN);
        }
    }
    if (code != TR_ERR_H2_PROTOCOL || n > max + 1 || n < 900) {
        tr_test_fail(__FILE__, __LINE__, "type %d flags %d: %s after %u", type, flags, tr_err_name(code), n);
    }
    check_dead(h2, &ex, TR_ERR_H2_PROTOCOL, 11);
    tr_h2_free(h2);
}

TR_TEST(http2_floods, "/http2/hostile/floods")
{
    check_flood(4, 0, 0, "\x00\x03\x00\x00\x00\x09", 6, TR_H2_MAX_CONTROL_FRAMES);
    check_flood(6, 0, 0, "12345678", 8, TR_H2_MAX_CONTROL_FRAMES);
    check_flood(6, 1, 0, "12345678", 8, TR_H2_MAX_CONTROL_FRAMES);
    check_flood(8, 0, 1, "\x00\x00\x00\x01", 4, TR_H2_MAX_CONTROL_FRAMES);
    check_flood(2, 0, 1, "\x00\x00\x00\x00\x01", 5, TR_H2_MAX_CONTROL_FRAMES);
    check_flood(0, 0, 1, "", 0, TR_H2_MAX_EMPTY_DATA);
    check_flood(0, 8, 1, "\x02\0\0", 3, TR_H2_MAX_EMPTY_DATA);
}

TR_TEST(http2_flood_resets, "/http2/hostile/flood_resets")
{
    /* RST_STREAM for each request, again and again: what an honest server may do */
    tr_err_t err = TR_ERR_INIT;
    exchange_t ex;
    char text[256];
    uint8_t id[4];
    tr_h2_t *h2 = ready(NULL, 0, NULL);
    for (unsigned i = 0; i < 3000; i++) {
        unsigned n = 2 * i + 1;
        TR_CHECK_INT(get(h2, &ex, "/"), TR_OK);
        TR_CHECK_INT(pull(h2, text, sizeof(text), NULL, &err), TR_AGAIN);
        TR_CHECK_OK(feed_frame(h2, 3, 0, n, "\x00\x00\x00\x07", 4, &err), &err);
        TR_CHECK(ex.failed && ex.not_processed);
    }
    TR_UNUSED(id);
    /* late ones for closed streams */
    tr_code_t code = TR_OK;
    for (unsigned i = 0; i < 20000 && code == TR_OK; i++) {
        code = feed_frame(h2, 3, 0, 1, "\x00\x00\x00\x07", 4, &err);
    }
    TR_CHECK_INT(code, TR_ERR_H2_PROTOCOL);
    TR_CHECK_INT(err.detail, 11);
    tr_h2_free(h2);
}

TR_TEST(http2_flood_continuation, "/http2/hostile/flood_continuation")
{
    for (size_t len = 0; len < 2; len++) {
        tr_err_t err = TR_ERR_INIT;
        exchange_t ex;
        tr_h2_t *h2 = ready(&ex, 1, NULL);
        tr_code_t code = feed_frame(h2, 1, 0, 1, "\x88", 1, &err);
        size_t n = 0;
        for (; n < 20000 && code == TR_OK; n++) {
            code = feed_frame(h2, 9, 0, 1, "\x3f\xe1\x1f", len, &err);
        }
        TR_CHECK_INT(code, TR_ERR_H2_PROTOCOL);
        TR_CHECK(n < 11000);
        TR_CHECK(ex.failed);
        tr_h2_free(h2);
    }
}

/* A long honest connection with many small exchanges and PINGs between must not be taken for a flood. */
TR_TEST(http2_no_flood, "/http2/hostile/no_flood")
{
    tr_err_t err = TR_ERR_INIT;
    exchange_t ex;
    char text[256];
    tr_h2_t *h2 = ready(NULL, 0, NULL);
    for (unsigned i = 0; i < 5000; i++) {
        uint32_t id = 2 * i + 1;
        TR_CHECK_INT(get(h2, &ex, "/"), TR_OK);
        TR_CHECK_INT(pull(h2, text, sizeof(text), NULL, &err), TR_AGAIN);
        TR_CHECK_OK(feed_frame(h2, 6, 0, 0, "12345678", 8, &err), &err);
        TR_CHECK_OK(feed_frame(h2, 8, 0, 0, "\x00\x00\x00\x01", 4, &err), &err);
        TR_CHECK_OK(feed_frame(h2, 8, 0, id, "\x00\x00\x00\x01", 4, &err), &err);
        TR_CHECK_OK(feed_frame(h2, 1, 4, id, "\x88", 1, &err), &err);
        TR_CHECK_OK(feed_frame(h2, 0, 0, id, "{}", 2, &err), &err);
        TR_CHECK_OK(feed_frame(h2, 0, 1, id, "", 0, &err), &err);
        CHECK_LOG(&ex, "h200(0) d2 t0 e");
    }
    tr_h2_free(h2);
}

/* ------------------------------------------------------------------------------------------------------------ callbacks */

TR_TEST(http2_cancel_in_callbacks, "/http2/hostile/cancel_in_callbacks")
{
    tr_err_t err = TR_ERR_INIT;
    exchange_t ex[3];
    tr_buf_t in = TR_BUF_INIT;
    tr_h2_t *h2 = ready(ex, 3, NULL);
    ex[0].cancel_in = 'h';
    ex[1].cancel_in = 'd';
    ex[2].refuse = true;
    for (uint32_t id = 1; id <= 5; id += 2) {
        put_frame(&in, 1, 4, id, "\x88", 1);
        put_frame(&in, 0, 0, id, "abc", 3);
        put_frame(&in, 0, 0, id, "def", 3);
        put_frame(&in, 0, 1, id, "ghi", 3);
    }
    TR_CHECK_OK(feed(h2, in.data, in.len, &err), &err);
    CHECK_LOG(&ex[0], "h200(0) ");
    CHECK_LOG(&ex[1], "h200(0) ");
    CHECK_LOG(&ex[2], "h200(0) d3 f:BODY_CODING");
    TR_CHECK_INT(tr_h2_num_streams(h2), 0);
    CHECK_PULL(h2, "RST/1:8 RST/3:8 RST/5:8");
    /* the same objects carry new exchanges */
    TR_CHECK_INT(get(h2, &ex[0], "/"), TR_OK);
    CHECK_PULL(h2, "HEADERS/7es[x0,256]");
    tr_buf_clear(&in);
    put_frame(&in, 0, 1, 3, "late", 4);
    put_frame(&in, 1, 5, 7, "\x88", 1);
    TR_CHECK_OK(feed(h2, in.data, in.len, &err), &err);
    CHECK_LOG(&ex[0], "h200(0) d0 t0 e");
    tr_buf_cleanup(&in);
    tr_h2_free(h2);
}

static void
resubmit_fail(void *arg, const tr_err_t *err, bool not_processed)
{
    exchange_t *ex = arg;
    ex_fail(arg, err, not_processed);
    if (ex->next != NULL) {
        (void)get(ex->h2, ex->next, "/again");
    }
}

TR_TEST(http2_submit_in_fail, "/http2/hostile/submit_in_fail")
{
    static const tr_exchange_events_t events = {ex_informational, ex_head, ex_data, ex_end, resubmit_fail};
    tr_err_t err = TR_ERR_INIT;
    exchange_t ex, again = {0};
    tr_h2_t *h2 = ready(NULL, 0, NULL);
    tr_request_head_t head = head_of("GET", "/", NULL, 0);
    memset(&ex, 0, sizeof(ex));
    ex.h2 = h2;
    ex.next = &again;
    TR_CHECK_OK(tr_h2_submit(h2, &ex.stream, &head, &events, &ex, &err), &err);
    CHECK_PULL(h2, "HEADERS/1es[x0,256]");
    TR_CHECK_OK(feed_frame(h2, 3, 0, 1, "\x00\x00\x00\x07", 4, &err), &err);
    CHECK_LOG(&ex, "d0 f:H2_REFUSED+");
    TR_CHECK(again.stream != NULL);
    CHECK_PULL(h2, "HEADERS/3es[x0,256]");
    TR_CHECK_OK(feed_frame(h2, 1, 5, 3, "\x88", 1, &err), &err);
    CHECK_LOG(&again, "h200(0) d0 t0 e");
    /* when the connection dies a submit in fail is refused */
    ex.failed = false;
    TR_CHECK_OK(tr_h2_submit(h2, &ex.stream, &head, &events, &ex, &err), &err);
    memset(&again, 0, sizeof(again));
    (void)tr_err_set(&err, TR_ERR_CLOSED_EARLY, 0, "test", NULL);
    tr_h2_abort(h2, &err);
    TR_CHECK(ex.failed && again.stream == NULL);
    tr_h2_free(h2);
}

/* Every answer fed byte by byte and cut at each place gives the same. */
TR_TEST(http2_splits, "/http2/hostile/splits")
{
    tr_buf_t in = TR_BUF_INIT;
    uint8_t block[128];
    size_t len = literal(block, ":status", "200");
    len += literal(block + len, "content-length", "6");
    put_frame(&in, 6, 0, 0, "12345678", 8);
    put_frame(&in, 1, 0, 1, block, 5);
    put_frame(&in, 9, 4, 1, block + 5, len - 5);
    put_frame(&in, 0, 8, 1, "\x03" "abc\0\0\0", 7);
    put_frame(&in, 8, 0, 0, "\x00\x00\x01\x00", 4);
    put_frame(&in, 0, 0, 1, "def", 3);
    len = literal(block, "t", "1");
    put_frame(&in, 1, 5, 1, block, len);
    for (size_t cut = 0; cut <= in.len; cut++) {
        tr_err_t err = TR_ERR_INIT;
        exchange_t ex;
        tr_h2_t *h2 = ready(&ex, 1, NULL);
        if (cut == in.len) {
            for (size_t i = 0; i < in.len; i++) {
                TR_CHECK_OK(feed(h2, in.data + i, 1, &err), &err);
            }
        } else {
            TR_CHECK_OK(feed(h2, in.data, cut, &err), &err);
            TR_CHECK_OK(feed(h2, in.data + cut, in.len - cut, &err), &err);
        }
        CHECK_LOG(&ex, "h200(1) d6 t1 e");
        CHECK_PULL(h2, "PING-ACK");
        tr_h2_free(h2);
    }
    tr_buf_cleanup(&in);
}

/* ------------------------------------------------------------------------------------------------------- out of memory */

typedef struct script {
    uint8_t bytes[4096];
    size_t len;
} script_t;

static void
say(script_t *script, uint8_t type, uint8_t flags, uint32_t id, const void *payload, size_t len)
{
    uint8_t head[9] = {0, (uint8_t)(len >> 8), (uint8_t)len, type, flags, 0, 0, (uint8_t)(id >> 8), (uint8_t)id};
    TR_CHECK(len + 9 <= sizeof(script->bytes) - script->len);
    memcpy(script->bytes + script->len, head, 9);
    memcpy(script->bytes + script->len + 9, payload, len);
    script->len += len + 9;
}

/* Settings, an answer with interim answer and trailers, an upload, a refused stream, a push, a PING, GOAWAY, a cancel: whatever
 * allocation fails, each exchange hears of its end once, or it was cancelled. */
TR_TEST_OOM(http2_oom_mixed, "/http2/hostile/oom_mixed")
{
    static script_t script;
    static const tr_field_t fields[] = {FIELD("user-agent", "t"), FIELD("cookie", "a=1; b=2"), FIELD("x-custom", "a value that is indexed")};
    static const tr_body_source_t upload = {.present = true, .len = 9, .bytes = {(const uint8_t *)"123456789", 9}};
    tr_err_t err = TR_ERR_INIT;
    exchange_t ex[6];
    tr_h2_t *h2 = NULL;
    tr_buf_t out = TR_BUF_INIT;
    uint8_t block[128];
    size_t started = 0;
    script.len = 0;
    say(&script, 4, 0, 0, "\x00\x03\x00\x00\x00\x64\x00\x01\x00\x00\x20\x00", 12);
    say(&script, 4, 1, 0, "", 0);
    size_t len = literal(block, ":status", "103");
    len += literal(block + len, "link", "x");
    say(&script, 1, 4, 3, block, len);
    block[0] = 0x88;
    block[1] = 0x40; /* with indexing */
    len = 1 + literal(block + 1, "x-indexed", "some value");
    block[1] = 0x40;
    say(&script, 1, 4, 3, block, len);
    say(&script, 0, 0, 3, "abcdef", 6);
    len = literal(block, "trailer", "1");
    say(&script, 1, 5, 3, block, len);
    say(&script, 3, 0, 5, "\x00\x00\x00\x07", 4);
    say(&script, 6, 0, 0, "12345678", 8);
    say(&script, 1, 5, 7, "\x88", 1);
    say(&script, 7, 0, 0, "\x00\x00\x00\x09\x00\x00\x00\x00", 8);

    tr_code_t code = tr_h2_new(&h2, &firefox_like, TR_SLICE_LIT("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x32"), NULL, &err);
    for (; code == TR_OK && started < TR_ARRAY_LEN(ex); started++) {
        tr_request_head_t head = head_of(started == 2 ? "POST" : "GET", "/", fields, TR_ARRAY_LEN(fields));
        head.body = started == 2 ? upload : (tr_body_source_t){.present = false};
        code = start(h2, &ex[started], &head, &err);
        if (code != TR_OK) {
            break;
        }
    }
    while (code == TR_OK) {
        tr_buf_clear(&out);
        code = tr_h2_pull(h2, &out, &err);
    }
    if (code == TR_AGAIN) {
        code = feed(h2, script.bytes, script.len, &err);
    }
    if (code == TR_OK && !ex[3].failed) {
        tr_h2_cancel(h2, ex[3].stream);
        (void)note(&ex[3], "cancelled");
    }
    while (code == TR_OK) {
        tr_buf_clear(&out);
        code = tr_h2_pull(h2, &out, &err);
    }
    if (!tr_test_oom_running()) {
        CHECK_LOG(&ex[0], "i103(1) h200(1) d6 t1 e");
        CHECK_LOG(&ex[1], "d0 f:H2_REFUSED+");
        CHECK_LOG(&ex[2], "h200(0) d0 t0 e");
        CHECK_LOG(&ex[3], "cancelled");
        CHECK_LOG(&ex[4], "d0 f:H2_GOAWAY+");
        CHECK_LOG(&ex[5], "d0 f:H2_GOAWAY+");
        TR_CHECK_INT(code, TR_AGAIN);
    } else if (tr_failed(code)) {
        TR_CHECK_INT(code, TR_ERR_NOMEM);
    }
    if (h2 != NULL) {
        (void)tr_err_set(&err, TR_ERR_CLOSED_EARLY, 0, "test", NULL);
        tr_h2_abort(h2, &err);
        TR_CHECK_INT(tr_h2_num_streams(h2), 0);
        for (size_t i = 0; i < started; i++) {
            TR_CHECK(ex[i].ended || ex[i].failed || strstr(ex[i].log, "cancelled") != NULL);
        }
    }
    tr_buf_cleanup(&out);
    tr_h2_free(h2);
}
