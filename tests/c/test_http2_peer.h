/* Shared by the tests of http2/: an engine under test, a scripted server (nghttp2's own, or bytes made by hand), and exchanges that write
 * down what they are told. */
#ifndef TEST_HTTP2_PEER_H
#define TEST_HTTP2_PEER_H

#include <nghttp2/nghttp2.h>

#include "core/buf.h"
#include "core/limits.h"
#include "http2/h2.h"
#include "tr_test.h"

#define UNUSED_FN __attribute__((unused)) static

/* ----------------------------------------------------------------------------------------------------------- profiles */

static const tr_profile_setting_t chromium_settings[] = {{1, 65536}, {2, 0}, {4, 6291456}, {6, 262144}};
static const tr_profile_setting_t firefox_settings[] = {{1, 65536}, {2, 0}, {4, 131072}, {5, 16384}};
static const tr_profile_setting_t odd_settings[] = {{3, 100}, {0x4a4a, 7}, {4, 65535}, {9, 1}};
static const tr_profile_priority_t old_priorities[] = {{3, 0, 201, false}, {5, 0, 101, false}, {7, 0, 1, true}};

__attribute__((unused)) static const tr_profile_t chromium_like = {
    .id = "chromium_like",
    .settings = chromium_settings,
    .num_settings = 4,
    .window_increment = 15663105,
    .pseudo_order = "masp",
    .first_stream_id = 1,
    .priority_mode = TR_PRIORITY_CHROMIUM,
    .priority = {1, 0, 256, true},
    .hpack = TR_HPACK_CHROMIUM,
    .data_frame_max = 16375,
};
__attribute__((unused)) static const tr_profile_t firefox_like = {
    .id = "firefox_like",
    .flags = TR_PROFILE_H2_EMPTY_DATA,
    .settings = firefox_settings,
    .num_settings = 4,
    .window_increment = 12517377,
    .pseudo_order = "mpas",
    .first_stream_id = 3,
    .stream_window_increment = 12451840,
    .priority_mode = TR_PRIORITY_FIXED,
    .priority = {3, 0, 42, false},
    .hpack = TR_HPACK_FIREFOX,
    .data_frame_max = 16000,
};
/* Old Firefox's PRIORITY frames, unknown and draft settings, one record, no priority in HEADERS. */
__attribute__((unused)) static const tr_profile_t odd_like = {
    .id = "odd_like",
    .flags = TR_PROFILE_H2_ONE_RECORD,
    .settings = odd_settings,
    .num_settings = 4,
    .window_increment = 1000,
    .priority_frames = old_priorities,
    .num_priority_frames = 3,
    .pseudo_order = "pmsa",
    .first_stream_id = 15,
    .priority_mode = TR_PRIORITY_NONE,
};

/* ---------------------------------------------------------------------------------------------------------- exchanges */

typedef struct exchange {
    tr_h2_t *h2;
    tr_h2_stream_t *stream;
    char log[512]; /* "i103 h200 d5 e", see below */
    size_t log_len;
    size_t body_len;
    size_t num_data;
    size_t num_taken;
    uint64_t body_sum; /* of the bytes, times their place */
    bool ended, failed, not_processed;
    tr_err_t err;
    /* what to do in callbacks */
    bool pause;
    bool refuse;
    bool take;
    char cancel_in; /* 'h', 'd' */
    const tr_exchange_events_t *resubmit; /* in fail */
    struct exchange *next;
} exchange_t;

UNUSED_FN void
note(exchange_t *ex, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (ex->log_len < sizeof(ex->log) - 1) {
        int n = vsnprintf(ex->log + ex->log_len, sizeof(ex->log) - ex->log_len, fmt, args);
        ex->log_len = TR_MIN(ex->log_len + (size_t)TR_MAX(n, 0), sizeof(ex->log) - 1);
    }
    va_end(args);
}

static void
ex_informational(void *arg, int status, const tr_headers_t *headers)
{
    note(arg, "i%d(%d) ", status, (int)headers->len);
}

static void
ex_head(void *arg, int status, tr_headers_t *headers)
{
    exchange_t *ex = arg;
    note(ex, "h%d(%d) ", status, (int)headers->len);
    if (ex->cancel_in == 'h') {
        tr_h2_cancel(ex->h2, ex->stream);
    }
}

static tr_code_t
ex_data(void *arg, tr_slice_t data, tr_chunk_t **chunk, tr_err_t *err)
{
    exchange_t *ex = arg;
    for (size_t i = 0; i < data.len; i++) {
        ex->body_sum += (uint64_t)data.data[i] * (ex->body_len + i + 1);
    }
    ex->body_len += data.len;
    ex->num_data++;
    if (*chunk != NULL) {
        tr_slice_t whole = tr_chunk_slice(*chunk);
        TR_CHECK(whole.data == data.data && whole.len == data.len);
        if (ex->take) {
            ex->num_taken++;
            tr_chunk_free(*chunk);
            *chunk = NULL;
        }
    }
    if (ex->cancel_in == 'd') {
        tr_h2_cancel(ex->h2, ex->stream);
        return TR_OK;
    }
    if (ex->refuse) {
        return tr_err_set(err, TR_ERR_BODY_CODING, 0, "test", NULL);
    }
    return ex->pause ? TR_PAUSED : TR_OK;
}

static void
ex_end(void *arg, const tr_headers_t *trailers)
{
    exchange_t *ex = arg;
    note(ex, "d%d t%d e", (int)ex->body_len, (int)trailers->len);
    TR_CHECK(!ex->ended && !ex->failed);
    ex->ended = true;
}

static void
ex_fail(void *arg, const tr_err_t *err, bool not_processed)
{
    exchange_t *ex = arg;
    note(ex, "d%d f:%s%s", (int)ex->body_len, tr_err_name(err->code), not_processed ? "+" : "");
    TR_CHECK(!ex->ended && !ex->failed);
    ex->failed = true;
    ex->not_processed = not_processed;
    ex->err = *err;
}

static const tr_exchange_events_t ex_events = {ex_informational, ex_head, ex_data, ex_end, ex_fail};

#define FIELD(n, v)                                                                                                    \
    {                                                                                                                  \
        TR_SLICE_LIT(n), TR_SLICE_LIT(v)                                                                               \
    }

UNUSED_FN tr_request_head_t
head_of(const char *method, const char *target, const tr_field_t *fields, size_t num_fields)
{
    return (tr_request_head_t){tr_slice_cstr(method),
                               TR_SLICE_LIT("https"),
                               TR_SLICE_LIT("a.test"),
                               tr_slice_cstr(target),
                               fields,
                               num_fields,
                               {.present = false},
                               0,
                               false,
                               TR_SLICE_NULL};
}

UNUSED_FN tr_code_t
start(tr_h2_t *h2, exchange_t *ex, const tr_request_head_t *head, tr_err_t *err)
{
    memset(ex, 0, sizeof(*ex));
    ex->h2 = h2;
    return tr_h2_submit(h2, &ex->stream, head, &ex_events, ex, err);
}

UNUSED_FN tr_code_t
get(tr_h2_t *h2, exchange_t *ex, const char *target)
{
    tr_err_t err = TR_ERR_INIT;
    tr_request_head_t head = head_of("GET", target, NULL, 0);
    return start(h2, ex, &head, &err);
}

/* -------------------------------------------------------------------------------------------------------------- bytes */

UNUSED_FN tr_code_t
feed(tr_h2_t *h2, const void *data, size_t len, tr_err_t *err)
{
    tr_bufq_t q;
    tr_bufq_init(&q, 0);
    if (tr_bufq_append(&q, data, len) != TR_OK) {
        TR_CHECK(tr_test_oom_running());
        return tr_err_nomem(err, "test");
    }
    tr_code_t code = tr_h2_feed(h2, &q, err);
    TR_CHECK_INT(q.len, 0);
    tr_bufq_cleanup(&q);
    return code;
}

UNUSED_FN void
put_frame(tr_buf_t *out, uint8_t type, uint8_t flags, uint32_t id, const void *payload, size_t len)
{
    uint8_t head[9] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,        type,         flags,
                       (uint8_t)(id >> 24),  (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
    TR_CHECK_INT(tr_buf_append(out, head, 9), TR_OK);
    TR_CHECK_INT(tr_buf_append(out, payload, len), TR_OK);
}

UNUSED_FN tr_code_t
feed_frame(tr_h2_t *h2, uint8_t type, uint8_t flags, uint32_t id, const void *payload, size_t len, tr_err_t *err)
{
    tr_buf_t buf = TR_BUF_INIT;
    put_frame(&buf, type, flags, id, payload, len);
    tr_code_t code = feed(h2, buf.data, buf.len, err);
    tr_buf_cleanup(&buf);
    return code;
}

/* "SETTINGS WINDOW_UPDATE", with details of the frames worth it: "HEADERS/3[es,excl,0,256]", "RST/1:8". */
UNUSED_FN void
describe(char *out, size_t cap, tr_slice_t bytes)
{
    static const char *const names[] = {"DATA", "HEADERS", "PRIORITY", "RST", "SETTINGS", "PUSH", "PING", "GOAWAY", "WU", "CONT"};
    size_t n = 0;
    out[0] = '\0';
    if (bytes.len >= 24 && memcmp(bytes.data, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24) == 0) {
        n += (size_t)snprintf(out + n, cap - n, "PREFACE ");
        bytes = tr_slice(bytes.data + 24, bytes.len - 24);
    }
    while (bytes.len >= 9) {
        const uint8_t *b = bytes.data;
        size_t len = (size_t)b[0] << 16 | (size_t)b[1] << 8 | b[2];
        TR_CHECK(len + 9 <= bytes.len && b[3] < 10);
        unsigned id = (unsigned)b[5] << 24 | (unsigned)b[6] << 16 | (unsigned)b[7] << 8 | b[8];
        unsigned word = len >= 4 ? (unsigned)b[9] << 24 | (unsigned)b[10] << 16 | (unsigned)b[11] << 8 | b[12] : 0;
        n += (size_t)snprintf(out + n, cap - n, "%s", names[b[3]]);
        switch (b[3]) {
        case 0:
            n += (size_t)snprintf(out + n, cap - n, "/%u:%u%s", id, (unsigned)len, (b[4] & 1) != 0 ? "es" : "");
            break;
        case 1:
            n += (size_t)snprintf(out + n, cap - n, "/%u%s%s", id, (b[4] & 1) != 0 ? "es" : "", (b[4] & 4) != 0 ? "" : "+");
            if ((b[4] & 0x20) != 0) {
                n += (size_t)snprintf(out + n, cap - n, "[%s%u,%u]", (word >> 31) != 0 ? "x" : "", word & 0x7fffffffu, b[13] + 1u);
            }
            break;
        case 2:
            n += (size_t)snprintf(out + n, cap - n, "/%u[%s%u,%u]", id, (word >> 31) != 0 ? "x" : "", word & 0x7fffffffu, b[13] + 1u);
            break;
        case 3:
        case 8:
            n += (size_t)snprintf(out + n, cap - n, "/%u:%u", id, word);
            break;
        case 4:
        case 6:
            n += (size_t)snprintf(out + n, cap - n, "%s", (b[4] & 1) != 0 ? "-ACK" : "");
            break;
        case 7:
            n += (size_t)snprintf(out + n, cap - n, ":%u", b[16]);
            break;
        default:
            break;
        }
        bytes = tr_slice(b + 9 + len, bytes.len - 9 - len);
        n += (size_t)snprintf(out + n, cap - n, "%s", bytes.len > 0 ? " " : "");
        TR_CHECK(n < cap);
    }
    TR_CHECK_INT(bytes.len, 0);
}

/* Pulls everything; records are separated by " | ". Returns the last code. `raw` (may be NULL) collects the bytes. */
UNUSED_FN tr_code_t
pull(tr_h2_t *h2, char *text, size_t cap, tr_buf_t *raw, tr_err_t *err)
{
    size_t n = 0;
    tr_code_t code;
    text[0] = '\0';
    for (;;) {
        tr_buf_t record = TR_BUF_INIT;
        code = tr_h2_pull(h2, &record, err);
        if (code == TR_OK) {
            TR_CHECK(record.len > 0);
            if (n > 0) {
                n += (size_t)snprintf(text + n, cap - n, " | ");
            }
            describe(text + n, cap - n, tr_buf_slice(&record));
            n += strlen(text + n);
            if (raw != NULL) {
                TR_CHECK_INT(tr_buf_append(raw, record.data, record.len), TR_OK);
            }
        }
        tr_buf_cleanup(&record);
        if (code != TR_OK) {
            return code;
        }
        TR_CHECK(n + 200 < cap);
    }
}

#define CHECK_PULL(h2_, expected_)                                                                                     \
    do {                                                                                                               \
        char pulled_[8192];                                                                                            \
        tr_err_t pull_err_ = TR_ERR_INIT;                                                                              \
        TR_CHECK_INT(pull(h2_, pulled_, sizeof(pulled_), NULL, &pull_err_), TR_AGAIN);                                 \
        TR_CHECK_SLICE(tr_slice_cstr(pulled_), expected_);                                                             \
    } while (0)

#define CHECK_LOG(ex_, expected_) TR_CHECK_SLICE(tr_slice_cstr((ex_)->log), expected_)

#endif
