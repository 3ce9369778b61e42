/* Fuzz target: what a server sends over HTTP/2. The first byte chooses what the caller does in callbacks, the second how the bytes are
 * split; the rest are frames. Each exchange ends once, and a cancelled one never. */
#include "http/fuzz_replay.h"
#include "http2/h2.h"

#define NUM_EXCHANGES 4

typedef struct run run_t;

typedef struct exchange {
    run_t *run;
    tr_h2_stream_t *stream; /* NULL: over */
    unsigned num_heads;
    size_t num_data;
} exchange_t;

struct run {
    tr_h2_t *h2;
    uint8_t habits; /* bits: take chunks, pause, cancel at the head, cancel at data, submit at the end */
    exchange_t exchanges[NUM_EXCHANGES];
};

static const tr_profile_setting_t settings[] = {{1, 65536}, {2, 0}, {4, 100000}};
static const tr_profile_t profile = {
    .id = "fuzz",
    .flags = TR_PROFILE_H2_EMPTY_DATA,
    .settings = settings,
    .num_settings = 3,
    .window_increment = 100000,
    .pseudo_order = "masp",
    .first_stream_id = 1,
    .stream_window_increment = 50000,
    .priority_mode = TR_PRIORITY_CHROMIUM,
    .priority = {1, 0, 256, true},
    .hpack = TR_HPACK_FIREFOX,
    .data_frame_max = 16375,
};

static void submit(run_t *run, exchange_t *ex);

static void
on_informational(void *arg, int status, const tr_headers_t *headers)
{
    exchange_t *ex = arg;
    TR_UNUSED(headers);
    TR_FUZZ_CHECK(ex->stream != NULL && ex->num_heads == 0 && status >= 100 && status < 200);
}

static void
on_head(void *arg, int status, tr_headers_t *headers)
{
    exchange_t *ex = arg;
    TR_FUZZ_CHECK(ex->stream != NULL && ex->num_heads++ == 0 && status >= 200 && status <= 999);
    for (size_t i = 0; i < headers->len; i++) {
        tr_field_t field = tr_headers_at(headers, i);
        TR_FUZZ_CHECK(tr_http_is_token(field.name) && tr_http_is_field_value(field.value));
    }
    if ((ex->run->habits & 4) != 0) {
        tr_h2_cancel(ex->run->h2, ex->stream);
        ex->stream = NULL;
    }
}

static tr_code_t
on_data(void *arg, tr_slice_t data, tr_chunk_t **chunk, tr_err_t *err)
{
    exchange_t *ex = arg;
    TR_UNUSED(err);
    TR_FUZZ_CHECK(ex->stream != NULL && ex->num_heads == 1 && data.len > 0);
    TR_FUZZ_CHECK(*chunk == NULL || tr_slice_eq(tr_chunk_slice(*chunk), data));
    if (*chunk != NULL && (ex->run->habits & 1) != 0) {
        tr_chunk_free(*chunk);
        *chunk = NULL;
    }
    ex->num_data++;
    if ((ex->run->habits & 8) != 0 && ex->num_data == 3) {
        tr_h2_cancel(ex->run->h2, ex->stream);
        ex->stream = NULL;
        return TR_OK;
    }
    return (ex->run->habits & 2) != 0 && ex->num_data % 2 == 0 ? TR_PAUSED : TR_OK;
}

static void
over(exchange_t *ex)
{
    TR_FUZZ_CHECK(ex->stream != NULL);
    ex->stream = NULL;
    if ((ex->run->habits & 16) != 0) {
        submit(ex->run, ex);
    }
}

static void
on_end(void *arg, const tr_headers_t *trailers)
{
    exchange_t *ex = arg;
    TR_UNUSED(trailers);
    TR_FUZZ_CHECK(ex->num_heads == 1);
    over(ex);
}

static void
on_fail(void *arg, const tr_err_t *err, bool not_processed)
{
    TR_UNUSED(not_processed);
    TR_FUZZ_CHECK(tr_failed(err->code));
    over(arg);
}

static void
submit(run_t *run, exchange_t *ex)
{
    static const tr_exchange_events_t events = {on_informational, on_head, on_data, on_end, on_fail};
    static const uint8_t body[40000];
    tr_err_t err = TR_ERR_INIT;
    tr_field_t field = {TR_SLICE_LIT("cookie"), TR_SLICE_LIT("a=1; b=2")};
    bool post = ex == &run->exchanges[1];
    tr_request_head_t head = {
        .method = post ? TR_SLICE_LIT("POST") : ex == &run->exchanges[2] ? TR_SLICE_LIT("HEAD") : TR_SLICE_LIT("GET"),
        .scheme = TR_SLICE_LIT("https"),
        .authority = TR_SLICE_LIT("a.test"),
        .target = TR_SLICE_LIT("/"),
        .fields = &field,
        .num_fields = 1,
        .body = {.present = post, .len = sizeof(body), .bytes = {body, sizeof(body)}},
    };
    ex->run = run;
    ex->num_heads = 0;
    ex->num_data = 0;
    tr_code_t code = tr_h2_submit(run->h2, &ex->stream, &head, &events, ex, &err);
    TR_FUZZ_CHECK(code == TR_OK || code == TR_AGAIN);
    TR_FUZZ_CHECK((code == TR_OK) == (ex->stream != NULL));
}

static void
pull_all(run_t *run)
{
    tr_err_t err = TR_ERR_INIT;
    tr_buf_t out = TR_BUF_INIT;
    while (tr_h2_pull(run->h2, &out, &err) == TR_OK) {
        TR_FUZZ_CHECK(out.len > 0);
        tr_buf_clear(&out);
    }
    tr_buf_cleanup(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t agreed[] = {0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0};
    run_t run = {0};
    tr_err_t err = TR_ERR_INIT;
    tr_bufq_t in;
    if (size < 2) {
        return 0;
    }
    run.habits = data[0];
    size_t step = (size_t)data[1] * 3 + 1;
    data += 2;
    size -= 2;
    TR_FUZZ_CHECK(tr_h2_new(&run.h2, &profile, TR_SLICE_NULL, NULL, &err) == TR_OK);
    for (size_t i = 0; i < NUM_EXCHANGES; i++) {
        submit(&run, &run.exchanges[i]);
    }
    pull_all(&run);
    tr_bufq_init(&in, 0);
    tr_code_t code = TR_OK;
    if ((run.habits & 32) == 0) {
        TR_FUZZ_CHECK(tr_bufq_append(&in, agreed, sizeof(agreed)) == TR_OK);
        code = tr_h2_feed(run.h2, &in, &err);
        TR_FUZZ_CHECK(code == TR_OK);
    }
    for (size_t pos = 0; pos < size && code == TR_OK; pos += step) {
        TR_FUZZ_CHECK(tr_bufq_append(&in, data + pos, TR_MIN(step, size - pos)) == TR_OK);
        code = tr_h2_feed(run.h2, &in, &err);
        TR_FUZZ_CHECK(in.len == 0 && (code == TR_OK || code == TR_ERR_H2_PROTOCOL));
        pull_all(&run);
        for (size_t i = 0; i < NUM_EXCHANGES; i++) {
            if (run.exchanges[i].stream != NULL) {
                tr_h2_resume(run.h2, run.exchanges[i].stream);
            }
        }
    }
    (void)tr_err_set(&err, TR_ERR_CLOSED_EARLY, 0, "fuzz", NULL);
    tr_h2_abort(run.h2, &err);
    TR_FUZZ_CHECK(tr_h2_num_streams(run.h2) == 0);
    for (size_t i = 0; i < NUM_EXCHANGES; i++) {
        TR_FUZZ_CHECK(run.exchanges[i].stream == NULL);
    }
    tr_bufq_cleanup(&in);
    tr_h2_free(run.h2);
    return 0;
}
