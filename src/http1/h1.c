#include "http1/h1.h"

#include "core/limits.h"
#include "core/mem.h"
#include "core/trace.h"
#include "http1/chunked.h"
#include "http1/encode.h"
#include "http1/parse.h"

/* A field table and block of this size hold most heads: more is not reserved on the strength of a chunk's length,
 * which may be mostly body. */
#define HEAD_RESERVE 2048
/* A line buffer that grew past this is not kept for the next exchange. */
#define LINE_KEEP 16384

/* What is expected next from the peer. */
typedef enum state {
    ST_IDLE,        /* nothing: no exchange */
    ST_STATUS,      /* a status line */
    ST_FIELDS,      /* a field line or the end of the section */
    ST_BODY_LENGTH, /* left bytes of body */
    ST_BODY_EOF,    /* body until the connection closes */
    ST_CHUNK_SIZE,  /* the line before a chunk */
    ST_CHUNK_DATA,  /* left bytes of a chunk */
    ST_CHUNK_CR,    /* the CRLF behind a chunk */
    ST_CHUNK_LF,
    ST_TRAILERS, /* a trailer field line or the end */
    ST_FAILED    /* nothing ever: error says why */
} state_t;

struct tr_h1 {
    state_t state;
    bool paused;   /* data said so; feed does nothing until resume */
    bool reusable; /* another exchange may follow (once idle) */
    bool got_bytes;
    bool in_feed;
    uint32_t num_exchanges; /* started and ended ones: tells after a callback whether it is still the same */
    unsigned num_informational;
    tr_h1_method_t method;
    tr_h1_status_t status;
    tr_h1_framing_t framing;
    tr_h1_chunked_t chunked;
    uint64_t left;
    size_t section_len; /* bytes of field lines of the current section */
    tr_headers_t headers;
    tr_h1_lines_t lines;
    tr_h1_sender_t sender;
    const tr_exchange_events_t *events; /* lent; NULL: no exchange */
    void *arg;
    tr_h1_limits_t limits;
    tr_err_t error; /* in ST_FAILED */
};

static const char *
state_name(state_t state)
{
    static const char *const names[] = {"idle",     "status",     "fields",     "body_length",
                                        "body_eof", "chunk_size", "chunk_data", "chunk_cr",
                                        "chunk_lf", "trailers",   "failed"};
    return (size_t)state < TR_ARRAY_LEN(names) ? names[state] : "?";
}

static void
h1_check(const tr_h1_t *h1)
{
    assert((h1->events == NULL) == (h1->state == ST_IDLE || h1->state == ST_FAILED));
    assert(h1->state != ST_FAILED || tr_failed(h1->error.code));
    assert(!h1->paused || h1->events != NULL);
    assert(h1->lines.lent == 0);
    assert(h1->events != NULL || tr_h1__sender_done(&h1->sender));
    TR_UNUSED(h1);
}

tr_code_t
tr_h1_new(tr_h1_t **out, const tr_h1_limits_t *limits, tr_err_t *err)
{
    tr_h1_t *h1 = tr_calloc(1, sizeof(*h1));
    *out = h1;
    if (h1 == NULL) {
        return tr_err_nomem(err, "http1.new");
    }
    tr_headers_init(&h1->headers);
    tr_buf_init(&h1->lines.partial);
    tr_h1__sender_init(&h1->sender);
    h1->state = ST_IDLE;
    h1->reusable = true;
    h1->limits = (tr_h1_limits_t){TR_HTTP_MAX_HEADER_BYTES, TR_HTTP_MAX_HEADER_FIELDS};
    if (limits != NULL && limits->max_header_bytes > 0) {
        h1->limits.max_header_bytes = limits->max_header_bytes;
    }
    if (limits != NULL && limits->max_header_fields > 0) {
        h1->limits.max_header_fields = limits->max_header_fields;
    }
    return TR_OK;
}

void
tr_h1_free(tr_h1_t *h1)
{
    if (h1 != NULL) {
        tr_headers_cleanup(&h1->headers);
        tr_buf_cleanup(&h1->lines.partial);
        tr_h1__sender_cleanup(&h1->sender);
        tr_free(h1);
    }
}

/* ------------------------------------------------------------------------ the end of an exchange */

/* Takes the exchange off the engine; what it was is returned for the last callback. */
static const tr_exchange_events_t *
detach(tr_h1_t *h1, state_t state, void **out_arg)
{
    const tr_exchange_events_t *events = h1->events;
    *out_arg = h1->arg;
    h1->state = state;
    h1->events = NULL;
    h1->arg = NULL;
    h1->paused = false;
    h1->num_exchanges++;
    tr_h1__sender_stop(&h1->sender);
    if (h1->lines.partial.cap > LINE_KEEP) {
        tr_buf_cleanup(&h1->lines.partial);
    }
    return events;
}

/* The engine is stuck from here on; h1->error says why. Calls fail where an exchange was running. */
static tr_code_t
die(tr_h1_t *h1, tr_code_t code)
{
    void *arg;
    if (h1->error.code != code) {
        (void)tr_err_set(&h1->error, code, 0, "http1.exchange", NULL);
    }
    TR_TRACE(TR_TOPIC_H1, "failed in %s: %s: %s", state_name(h1->state), tr_err_name(code), h1->error.msg);
    h1->reusable = false;
    bool not_processed = !h1->sender.any;
    const tr_exchange_events_t *events = detach(h1, ST_FAILED, &arg);
    if (events != NULL) {
        tr_err_t error = h1->error;
        events->fail(arg, &error, not_processed);
    }
    return code;
}

static tr_code_t
stuck(const tr_h1_t *h1, tr_err_t *err)
{
    if (err != NULL) {
        *err = h1->error;
    }
    return h1->error.code;
}

/* Everything of the response came. TR_EOF, so that feed stops. */
static tr_code_t
finish(tr_h1_t *h1, const tr_bufq_t *in)
{
    void *arg;
    if (!h1->framing.keep_alive || h1->sender.close || !tr_h1__sender_done(&h1->sender) ||
        (in != NULL && in->len > 0)) {
        h1->reusable = false;
    }
    TR_TRACE(TR_TOPIC_H1, "response complete, connection %s", h1->reusable ? "reusable" : "done");
    const tr_exchange_events_t *events = detach(h1, ST_IDLE, &arg);
    if (h1->framing.kind != TR_H1_BODY_CHUNKED) {
        tr_headers_clear(&h1->headers); /* only a chunked body has trailers */
    }
    events->end(arg, &h1->headers);
    return TR_EOF;
}

void
tr_h1_abort(tr_h1_t *h1, const tr_err_t *err)
{
    if (h1->state != ST_FAILED) {
        h1->error = *err;
        (void)die(h1, tr_failed(err->code) ? err->code : TR_ERR_INTERNAL);
    }
}

void
tr_h1_cancel(tr_h1_t *h1)
{
    void *arg;
    h1->reusable = false;
    if (h1->events != NULL) {
        (void)detach(h1, ST_FAILED, &arg);
        (void)tr_err_set(&h1->error, TR_ERR_CANCELLED, 0, "http1.cancel", NULL);
    }
}

/* ------------------------------------------------------------------------------------- the head */

static tr_code_t
on_status(tr_h1_t *h1, tr_bufq_t *in)
{
    tr_slice_t line;
    size_t len;
    tr_code_t code = tr_h1__line_next(&h1->lines, &line, &len, in, TR_H1_MAX_STATUS_LINE, &h1->error);
    if (code != TR_OK && code != TR_ERR_NOMEM && !tr_h1__status_starts(line)) {
        /* What is no HTTP/1 at all may never send a line's end: say so at once. */
        return tr_h1__parse_status(&h1->status, line, &h1->error);
    }
    if (code == TR_ERR_LIMIT) {
        return tr_err_set(&h1->error, TR_ERR_HEADER_LIMIT, 0, "http1.status_line",
                          "The server's status line is too long.");
    }
    if (code != TR_OK) {
        return code;
    }
    code = tr_h1__parse_status(&h1->status, line, &h1->error);
    tr_h1__line_done(&h1->lines, in);
    if (code != TR_OK) {
        return code;
    }
    tr_headers_clear(&h1->headers);
    size_t ahead = in->head == NULL ? 0 : in->head->len;
    if (tr_headers_reserve(&h1->headers, 1, TR_MIN(ahead, (size_t)HEAD_RESERVE)) != TR_OK) {
        return tr_err_nomem(&h1->error, "http1.head");
    }
    h1->section_len = 0;
    h1->state = ST_FIELDS;
    return TR_OK;
}

/* One line of a header or trailer section. TR_OK with *out_end at its end. */
static tr_code_t
on_field_line(tr_h1_t *h1, bool *out_end, tr_bufq_t *in)
{
    tr_slice_t line;
    size_t len;
    *out_end = false;
    /* The empty line at the end does not count: a section of just the limit is allowed. */
    size_t max = h1->limits.max_header_bytes - h1->section_len;
    max = TR_MAX(max, (size_t)2);
    tr_code_t code = tr_h1__line_next(&h1->lines, &line, &len, in, max, &h1->error);
    if (code == TR_ERR_LIMIT) {
        return tr_err_set(&h1->error, TR_ERR_HEADER_LIMIT, 0, "http1.section",
                          "The server's header section has more than %zu bytes.", h1->limits.max_header_bytes);
    }
    if (code != TR_OK) {
        return code;
    }
    if (line.len == 0) {
        *out_end = true;
    } else if (h1->headers.len >= h1->limits.max_header_fields) {
        code = tr_err_set(&h1->error, TR_ERR_HEADER_LIMIT, 0, "http1.section",
                          "The server's header section has more than %zu fields.", h1->limits.max_header_fields);
    } else {
        h1->section_len += len;
        code = tr_h1__parse_field(&h1->headers, line, &h1->error);
    }
    tr_h1__line_done(&h1->lines, in);
    return code;
}

static tr_code_t
on_informational(tr_h1_t *h1)
{
    if (++h1->num_informational > TR_HTTP_MAX_INFORMATIONAL) {
        return tr_err_set(&h1->error, TR_ERR_H1_PROTOCOL, 0, "http1.informational",
                          "The server sent more than %d interim responses.", TR_HTTP_MAX_INFORMATIONAL);
    }
    uint32_t exchange = h1->num_exchanges;
    h1->state = ST_STATUS;
    if (h1->events->informational != NULL) {
        h1->events->informational(h1->arg, h1->status.status, &h1->headers);
    }
    return h1->num_exchanges == exchange ? TR_OK : TR_EOF;
}

static tr_code_t
on_head(tr_h1_t *h1, const tr_bufq_t *in)
{
    tr_code_t code = tr_h1__parse_framing(&h1->framing, &h1->headers, h1->status, h1->method, &h1->error);
    if (code != TR_OK) {
        return code;
    }
    TR_TRACE(TR_TOPIC_H1, "status %d, %zu fields, body kind %d length %llu", h1->status.status, h1->headers.len,
             (int)h1->framing.kind, (unsigned long long)h1->framing.length);
    if (h1->status.status / 100 == 1 && h1->status.status != 101) {
        return on_informational(h1);
    }
    if (h1->status.status == 101 && !h1->sender.upgrade) {
        return tr_err_set(&h1->error, TR_ERR_H1_PROTOCOL, 0, "http1.upgrade",
                          "The server switched protocols (101), but was not asked to.");
    }
    uint32_t exchange = h1->num_exchanges;
    h1->left = 0;
    if (h1->status.status == 101 && h1->sender.duplex) {
        h1->framing = (tr_h1_framing_t){.kind = TR_H1_BODY_EOF};
        tr_h1__sender_switch(&h1->sender);
    }
    switch (h1->framing.kind) {
    case TR_H1_BODY_NONE:
    case TR_H1_BODY_LENGTH:
        h1->left = h1->framing.length;
        h1->state = ST_BODY_LENGTH;
        break;
    case TR_H1_BODY_CHUNKED:
        tr_h1__chunked_init(&h1->chunked);
        h1->state = ST_CHUNK_SIZE;
        break;
    case TR_H1_BODY_EOF:
        h1->state = ST_BODY_EOF;
        break;
    }
    h1->events->head(h1->arg, h1->status.status, &h1->headers);
    if (h1->num_exchanges != exchange) {
        return TR_EOF;
    }
    return h1->state == ST_BODY_LENGTH && h1->left == 0 ? finish(h1, in) : TR_OK;
}

static tr_code_t
on_fields(tr_h1_t *h1, tr_bufq_t *in)
{
    bool end;
    tr_code_t code = on_field_line(h1, &end, in);
    return code == TR_OK && end ? on_head(h1, in) : code;
}

/* ------------------------------------------------------------------------------------- the body */

/* Hands on what of the first chunk belongs to the body: the chunk itself where all of it does. TR_OK, TR_AGAIN
 * (nothing there), TR_PAUSED, TR_EOF (a callback ended the exchange) or the callback's failure. Counts down
 * h1->left but for ST_BODY_EOF. */
static tr_code_t
on_data(tr_h1_t *h1, tr_bufq_t *in)
{
    bool bounded = h1->state != ST_BODY_EOF;
    while (in->head != NULL && in->head->len == 0) {
        tr_chunk_free(tr_bufq_shift(in));
    }
    if (in->head == NULL) {
        return TR_AGAIN;
    }
    uint32_t exchange = h1->num_exchanges;
    tr_slice_t data = tr_bufq_peek(in);
    tr_chunk_t *chunk = NULL;
    if (!bounded || data.len <= h1->left) {
        chunk = tr_bufq_shift(in);
    } else {
        data.len = (size_t)h1->left;
    }
    if (bounded) {
        h1->left -= data.len;
    }
    bool whole = chunk != NULL;
    tr_err_t error = TR_ERR_INIT;
    tr_code_t code = h1->events->data(h1->arg, data, &chunk, &error);
    if (whole) {
        tr_chunk_free(chunk); /* NULL when it was taken over */
    } else {
        tr_bufq_consume(in, data.len);
    }
    if (h1->num_exchanges != exchange) {
        return TR_EOF;
    }
    if (tr_failed(code)) {
        h1->error = error;
        return code;
    }
    if (code == TR_PAUSED) {
        h1->paused = true;
    }
    return code == TR_PAUSED ? TR_PAUSED : TR_OK;
}

static tr_code_t
on_body_length(tr_h1_t *h1, tr_bufq_t *in)
{
    tr_code_t code = on_data(h1, in);
    /* A pause on the last bytes holds nothing back any more: the exchange is over. */
    return (code == TR_OK || code == TR_PAUSED) && h1->left == 0 ? finish(h1, in) : code;
}

static tr_code_t
on_chunk_size(tr_h1_t *h1, tr_bufq_t *in)
{
    tr_slice_t line;
    size_t len;
    tr_code_t code = tr_h1__line_next(&h1->lines, &line, &len, in, TR_H1_MAX_CHUNK_LINE, &h1->error);
    if (code == TR_ERR_LIMIT) {
        return tr_err_set(&h1->error, TR_ERR_H1_PROTOCOL, 0, "http1.chunk_size",
                          "A chunk size line of the server's answer is too long.");
    }
    if (code != TR_OK) {
        return code;
    }
    code = tr_h1__chunked_size(&h1->chunked, &h1->left, line, &h1->error);
    tr_h1__line_done(&h1->lines, in);
    if (code != TR_OK) {
        return code;
    }
    if (h1->left > 0) {
        h1->state = ST_CHUNK_DATA;
        return TR_OK;
    }
    tr_headers_clear(&h1->headers);
    h1->section_len = 0;
    h1->state = ST_TRAILERS;
    return TR_OK;
}

static tr_code_t
on_chunk_data(tr_h1_t *h1, tr_bufq_t *in)
{
    tr_code_t code = on_data(h1, in);
    if ((code == TR_OK || code == TR_PAUSED) && h1->left == 0) {
        h1->state = ST_CHUNK_CR;
    }
    return code;
}

static tr_code_t
on_chunk_end(tr_h1_t *h1, tr_bufq_t *in)
{
    tr_slice_t data = tr_bufq_peek(in);
    if (data.len == 0) {
        if (in->head == NULL) {
            return TR_AGAIN;
        }
        tr_chunk_free(tr_bufq_shift(in));
        return TR_OK;
    }
    if (data.data[0] != (h1->state == ST_CHUNK_CR ? '\r' : '\n')) {
        return tr_err_set(&h1->error, TR_ERR_H1_PROTOCOL, 0, "http1.chunk_end",
                          "A chunk of the server's answer is longer than its size says.");
    }
    tr_bufq_consume(in, 1);
    h1->state = h1->state == ST_CHUNK_CR ? ST_CHUNK_LF : ST_CHUNK_SIZE;
    return TR_OK;
}

static tr_code_t
on_trailers(tr_h1_t *h1, tr_bufq_t *in)
{
    bool end;
    tr_code_t code = on_field_line(h1, &end, in);
    return code == TR_OK && end ? finish(h1, in) : code;
}

/* ----------------------------------------------------------------------------------- the engine */

/* One step. TR_OK: another may follow; TR_EOF: the exchange is over. */
static tr_code_t
step(tr_h1_t *h1, tr_bufq_t *in)
{
    switch (h1->state) {
    case ST_STATUS:
        return on_status(h1, in);
    case ST_FIELDS:
        return on_fields(h1, in);
    case ST_BODY_LENGTH:
        return on_body_length(h1, in);
    case ST_BODY_EOF:
        return on_data(h1, in);
    case ST_CHUNK_SIZE:
        return on_chunk_size(h1, in);
    case ST_CHUNK_DATA:
        return on_chunk_data(h1, in);
    case ST_CHUNK_CR:
    case ST_CHUNK_LF:
        return on_chunk_end(h1, in);
    case ST_TRAILERS:
        return on_trailers(h1, in);
    case ST_IDLE:
    case ST_FAILED:
        break;
    }
    return tr_err_set(&h1->error, TR_ERR_INTERNAL, (int32_t)h1->state, "http1.step", NULL);
}

tr_code_t
tr_h1_feed(tr_h1_t *h1, tr_bufq_t *in, tr_err_t *err)
{
    tr_code_t code = TR_OK;
    h1_check(h1);
    if (h1->state == ST_FAILED) {
        return stuck(h1, err);
    }
    if (h1->paused) {
        return TR_PAUSED;
    }
    if (h1->in_feed) {
        return tr_err_set(err, TR_ERR_INTERNAL, 0, "http1.feed",
                          "feed was called inside one of its own callbacks.");
    }
    if (h1->state == ST_IDLE || (!h1->sender.any && in->len > 0)) {
        if (in->len == 0) {
            return TR_OK;
        }
        /* An answer to nothing: to take it for the next request's would be to mix up two exchanges. */
        code = tr_err_set(&h1->error, TR_ERR_H1_PROTOCOL, 0, "http1.unasked",
                          "The server sent bytes that no request had asked for.");
        code = die(h1, code);
        return h1->state == ST_FAILED ? stuck(h1, err) : code;
    }
    h1->got_bytes = h1->got_bytes || in->len > 0;
    h1->in_feed = true;
    uint32_t exchange = h1->num_exchanges;
    while (code == TR_OK) {
        code = step(h1, in);
    }
    h1->in_feed = false;
    if (tr_failed(code) && h1->num_exchanges == exchange) {
        code = die(h1, code);
    }
    if (h1->state == ST_FAILED) {
        return stuck(h1, err);
    }
    h1_check(h1);
    return code == TR_PAUSED ? TR_PAUSED : TR_OK;
}

tr_code_t
tr_h1_eof(tr_h1_t *h1, tr_err_t *err)
{
    tr_code_t code;
    h1->reusable = false;
    switch (h1->state) {
    case ST_FAILED:
        return stuck(h1, err);
    case ST_IDLE:
        return TR_OK;
    case ST_BODY_EOF:
        (void)finish(h1, NULL);
        return TR_OK;
    case ST_STATUS:
    case ST_FIELDS:
        code = tr_err_set(
            &h1->error, TR_ERR_CLOSED_EARLY, 0, h1->got_bytes ? "http1.eof_in_head" : "http1.eof_before_head", "%s",
            h1->got_bytes ? "unexpected EOF: the server closed the connection within its answer's head."
                          : tr_err_sentence(TR_ERR_CLOSED_EARLY));
        break;
    case ST_BODY_LENGTH:
    case ST_CHUNK_SIZE:
    case ST_CHUNK_DATA:
    case ST_CHUNK_CR:
    case ST_CHUNK_LF:
    case ST_TRAILERS:
    default:
        code = tr_err_set(&h1->error, TR_ERR_BODY_TRUNCATED, 0, "http1.eof_in_body", NULL);
        break;
    }
    (void)die(h1, code);
    return stuck(h1, err);
}

tr_code_t
tr_h1_submit(tr_h1_t *h1, const tr_request_head_t *head, const tr_exchange_events_t *events, void *arg,
             tr_err_t *err)
{
    h1_check(h1);
    if (h1->state == ST_FAILED) {
        return stuck(h1, err);
    }
    if (!tr_h1_can_reuse(h1)) {
        return tr_err_set(err, TR_ERR_INTERNAL, (int32_t)h1->state, "http1.submit",
                          "The connection can carry no exchange now.");
    }
    tr_code_t code = tr_h1__sender_start(&h1->sender, head, err);
    if (code != TR_OK) {
        return code;
    }
    h1->method = tr_slice_eq(head->method, TR_SLICE_LIT("HEAD"))      ? TR_H1_HEAD
                 : tr_slice_eq(head->method, TR_SLICE_LIT("CONNECT")) ? TR_H1_CONNECT
                                                                      : TR_H1_OTHER;
    h1->events = events;
    h1->arg = arg;
    h1->got_bytes = false;
    h1->num_informational = 0;
    h1->num_exchanges++;
    h1->status = (tr_h1_status_t){0, 0};
    tr_err_clear(&h1->error);
    h1->state = ST_STATUS;
    return TR_OK;
}

tr_code_t
tr_h1_pull(tr_h1_t *h1, tr_buf_t *out, size_t max, tr_err_t *err)
{
    if (h1->state == ST_FAILED) {
        return stuck(h1, err);
    }
    if (h1->events == NULL) {
        return TR_AGAIN;
    }
    uint32_t exchange = h1->num_exchanges;
    tr_err_t error = TR_ERR_INIT;
    tr_code_t code = tr_h1__sender_pull(&h1->sender, out, max, &error);
    if (h1->num_exchanges != exchange) {
        /* The body source cancelled the exchange. */
        return h1->state == ST_FAILED ? stuck(h1, err) : TR_AGAIN;
    }
    if (tr_failed(code)) {
        h1->error = error;
        (void)die(h1, code);
        return stuck(h1, err);
    }
    return code;
}

void
tr_h1_resume(tr_h1_t *h1)
{
    h1->paused = false;
}

void
tr_h1_resume_body(tr_h1_t *h1)
{
    h1->sender.paused = false;
}

bool
tr_h1_is_paused(const tr_h1_t *h1)
{
    return h1->paused;
}

bool
tr_h1_is_idle(const tr_h1_t *h1)
{
    return h1->events == NULL;
}

bool
tr_h1_can_reuse(const tr_h1_t *h1)
{
    return h1->state == ST_IDLE && h1->reusable;
}

bool
tr_h1_got_bytes(const tr_h1_t *h1)
{
    return h1->got_bytes;
}

bool
tr_h1_wrote_all(const tr_h1_t *h1)
{
    return tr_h1__sender_done(&h1->sender) && !h1->sender.cut;
}

bool
tr_h1_wrote_any(const tr_h1_t *h1)
{
    return h1->sender.any;
}

unsigned
tr_h1_version(const tr_h1_t *h1)
{
    return h1->status.status == 0 ? 0 : 10u + (unsigned)h1->status.minor;
}
