/* Fuzz target: HTTP/1.1 responses. The first byte chooses the request and whether the peer closes at the end, the
 * second how the bytes are split. The events do not depend on the split, and exactly one of them is the last. */
#include "core/buf.h"
#include "http/fuzz_replay.h"
#include "http1/h1.h"

typedef struct log {
    tr_buf_t text; /* every event, data joined */
    char last;     /* kind of the last event */
    unsigned ends; /* end and fail events */
    size_t num_data;
    bool pause;
} log_t;

static void
put(log_t *log, char kind, const void *data, size_t len)
{
    if (kind != 'd' || log->last != 'd') {
        TR_FUZZ_CHECK(tr_buf_append(&log->text, &kind, 1) == TR_OK);
    }
    TR_FUZZ_CHECK(tr_buf_append(&log->text, data, len) == TR_OK);
    log->last = kind;
    TR_FUZZ_CHECK(log->ends == 0);
}

static void
put_section(log_t *log, char kind, int status, const tr_headers_t *headers)
{
    put(log, kind, &status, sizeof(status));
    for (size_t i = 0; i < headers->len; i++) {
        tr_field_t field = tr_headers_at(headers, i);
        TR_FUZZ_CHECK(tr_http_is_token(field.name) && tr_http_is_field_value(field.value));
        put(log, 'n', field.name.data, field.name.len);
        put(log, 'v', field.value.data, field.value.len);
    }
}

static void
on_informational(void *arg, int status, const tr_headers_t *headers)
{
    put_section(arg, 'i', status, headers);
}

static void
on_head(void *arg, int status, tr_headers_t *headers)
{
    put_section(arg, 'h', status, headers);
}

static tr_code_t
on_data(void *arg, tr_slice_t data, tr_chunk_t **chunk, tr_err_t *err)
{
    log_t *log = arg;
    TR_UNUSED(err);
    TR_FUZZ_CHECK(data.len > 0);
    TR_FUZZ_CHECK(*chunk == NULL || tr_slice_eq(tr_chunk_slice(*chunk), data));
    put(log, 'd', data.data, data.len);
    if (log->num_data++ % 2 == 0 && *chunk != NULL) {
        tr_chunk_free(*chunk);
        *chunk = NULL;
    }
    return log->pause && log->num_data % 3 == 0 ? TR_PAUSED : TR_OK;
}

static void
on_end(void *arg, const tr_headers_t *trailers)
{
    put_section(arg, 'e', 0, trailers);
    ((log_t *)arg)->ends++;
}

static void
on_fail(void *arg, const tr_err_t *err, bool not_processed)
{
    TR_FUZZ_CHECK(!not_processed);
    put(arg, 'f', err->where, strlen(err->where));
    ((log_t *)arg)->ends++;
}

static const tr_exchange_events_t events = {on_informational, on_head, on_data, on_end, on_fail};

static void
run(log_t *log, uint8_t how, tr_slice_t response, size_t part)
{
    static const char *const methods[] = {"GET", "HEAD", "CONNECT", "POST"};
    static const tr_h1_limits_t limits = {2000, 20};
    tr_field_t upgrade = {TR_SLICE_LIT("Upgrade"), TR_SLICE_LIT("x")};
    tr_request_head_t head = {tr_slice_cstr(methods[how & 3]),
                              TR_SLICE_LIT("http"),
                              TR_SLICE_LIT("h"),
                              TR_SLICE_LIT("/"),
                              &upgrade,
                              (how & 4) != 0 ? 1 : 0,
                              {false, 0, TR_SLICE_NULL, NULL, NULL},
                              0,
                              (how & 36) == 36,
                              TR_SLICE_NULL};
    tr_h1_t *h1;
    tr_err_t err = TR_ERR_INIT;
    tr_buf_t out = TR_BUF_INIT;
    tr_bufq_t in;
    tr_code_t code = TR_OK;
    *log = (log_t){.pause = (how & 16) != 0};
    tr_bufq_init(&in, 0);
    TR_FUZZ_CHECK(tr_h1_new(&h1, &limits, &err) == TR_OK);
    TR_FUZZ_CHECK(tr_h1_submit(h1, &head, &events, log, &err) == TR_OK);
    TR_FUZZ_CHECK(tr_h1_pull(h1, &out, 16384, &err) == TR_OK);
    for (size_t at = 0; at < response.len && code == TR_OK && log->ends == 0; at += part) {
        size_t len = TR_MIN(part, response.len - at);
        tr_chunk_t *chunk = tr_chunk_new(len);
        TR_FUZZ_CHECK(chunk != NULL);
        memcpy(chunk->data, response.data + at, len);
        chunk->len = len;
        TR_FUZZ_CHECK(tr_bufq_push(&in, chunk) == TR_OK);
        code = tr_h1_feed(h1, &in, &err);
        while (code == TR_PAUSED) {
            tr_h1_resume(h1);
            code = tr_h1_feed(h1, &in, &err);
        }
        TR_FUZZ_CHECK(code != TR_OK || log->ends == 1 || in.len == 0);
    }
    if (log->ends == 0 && (how & 8) != 0) {
        code = tr_h1_eof(h1, &err);
        TR_FUZZ_CHECK(log->ends == 1);
        TR_FUZZ_CHECK(!tr_h1_can_reuse(h1));
    }
    TR_FUZZ_CHECK(tr_h1_is_idle(h1) == (log->ends == 1));
    TR_FUZZ_CHECK(!tr_failed(code) || log->last == 'f');
    TR_FUZZ_CHECK(!tr_failed(code) || tr_h1_feed(h1, &in, &err) == code);
    tr_bufq_cleanup(&in);
    tr_buf_cleanup(&out);
    tr_h1_free(h1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    log_t whole, split, bytes;
    tr_slice_t response = tr_slice(data + 2, size - 2);
    run(&whole, data[0], response, TR_MAX(response.len, (size_t)1));
    run(&split, data[0], response, 2 + (size_t)data[1]);
    run(&bytes, data[0], response, 1);
    TR_FUZZ_CHECK(tr_slice_eq(tr_buf_slice(&whole.text), tr_buf_slice(&split.text)));
    TR_FUZZ_CHECK(tr_slice_eq(tr_buf_slice(&whole.text), tr_buf_slice(&bytes.text)));
    tr_buf_cleanup(&whole.text);
    tr_buf_cleanup(&split.text);
    tr_buf_cleanup(&bytes.text);
    return 0;
}
