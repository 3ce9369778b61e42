/* CONNECT (RFC 9110 9.3.6): asks an HTTP proxy for a tunnel. The answer goes through the strict HTTP/1.1 parser; nothing in it is believed but
 * its status. Bytes behind a 2xx head are refused, as Chromium does: in a tunnel the client speaks first, with TLS and with HTTP. */
#include "core/mem.h"
#include "http1/h1.h"
#include "net/filter.h"

#define READ_SIZE 4096

static const char where[] = "net.hproxy";

typedef struct hproxy {
    tr_filter_t base;
    tr_connect_t request;
    tr_h1_t *h1; /* owned */
    tr_bufq_t in;
    int status;    /* of the final answer; 0: not yet */
    bool asked;    /* the request is in the wire buffer of the filter below */
    tr_code_t code; /* how it ended; TR_AGAIN: it has not */
    tr_err_t err;
} hproxy_t;

/* ------------------------------------------------------------------------------------------------------------- request */

static void
on_head(void *arg, int status, tr_headers_t *headers)
{
    TR_UNUSED(headers);
    ((hproxy_t *)arg)->status = status;
}

static tr_code_t
on_data(void *arg, tr_slice_t data, tr_chunk_t **chunk, tr_err_t *err)
{
    TR_UNUSED(arg);
    TR_UNUSED(data);
    TR_UNUSED(chunk);
    TR_UNUSED(err);
    return TR_PAUSED; /* of a refusal's body nothing is wanted */
}

static void
on_end(void *arg, const tr_headers_t *trailers)
{
    TR_UNUSED(arg);
    TR_UNUSED(trailers);
}

static void
on_fail(void *arg, const tr_err_t *err, bool not_processed)
{
    TR_UNUSED(arg);
    TR_UNUSED(err);
    TR_UNUSED(not_processed);
}

static const tr_exchange_events_t exchange = {NULL, on_head, on_data, on_end, on_fail};

/* -------------------------------------------------------------------------------------------------------------- answer */

/* After the parser has seen what came. */
static tr_code_t
judge(hproxy_t *self, tr_code_t fed)
{
    const tr_proxy_hop_t *hop = self->request.hop;
    if (self->status == 0) {
        if (tr_failed(fed)) {
            tr_proxy_blame(&self->err, hop);
            return self->err.code;
        }
        return TR_AGAIN;
    }
    tr_code_t code = tr_connect_judge(&self->request, self->status, &self->err);
    if (code == TR_OK && self->in.len > 0) {
        code = tr_err_set(&self->err, TR_ERR_PROXY_PROTOCOL, 0, where, "proxy %.60s:%u: there are bytes behind its answer to CONNECT",
                          hop->host, (unsigned)hop->port);
    }
    return code;
}

static tr_code_t
hproxy_recv(tr_filter_t *f, tr_bufq_t *out, tr_err_t *err)
{
    hproxy_t *self = (hproxy_t *)f;
    uint8_t bytes[READ_SIZE];
    size_t len;
    TR_UNUSED(out);
    if (self->code != TR_AGAIN) {
        return TR_AGAIN; /* connect tells */
    }
    tr_code_t code = f->next->type->read(f->next, bytes, sizeof(bytes), &len, err);
    if (code == TR_EOF) {
        self->code = tr_err_set(&self->err, TR_ERR_PROXY_CLOSED, 0, where,
                                "proxy %.60s:%u: it closed the connection before it answered CONNECT", self->request.hop->host,
                                (unsigned)self->request.hop->port);
        return TR_AGAIN;
    }
    if (code != TR_OK) {
        return code;
    }
    if (tr_bufq_append(&self->in, bytes, len) != TR_OK) {
        return tr_err_nomem(err, where);
    }
    self->code = judge(self, tr_h1_feed(self->h1, &self->in, &self->err));
    return self->code == TR_AGAIN ? TR_OK : TR_AGAIN;
}

static tr_code_t
hproxy_connect(tr_filter_t *f, tr_err_t *err)
{
    hproxy_t *self = (hproxy_t *)f;
    if (!self->asked) {
        self->asked = true;
        tr_code_t code = tr_h1_pull(self->h1, f->next->type->wire(f->next), SIZE_MAX, &self->err);
        if (tr_failed(code)) {
            self->code = code;
        }
    }
    if (tr_failed(self->code) && err != NULL) {
        *err = self->err;
    }
    return self->code;
}

/* ------------------------------------------------------------------------------------------------------------ the rest */

static tr_code_t
hproxy_write(tr_filter_t *f, tr_slice_t in, tr_err_t *err)
{
    TR_UNUSED(f);
    TR_UNUSED(in);
    TR_UNUSED(err);
    return TR_AGAIN;
}

static tr_code_t
hproxy_flush(tr_filter_t *f, tr_err_t *err)
{
    return f->next->type->flush(f->next, err);
}

static size_t
hproxy_pending(const tr_filter_t *f)
{
    return f->next->type->pending(f->next);
}

static void
hproxy_cleanup(tr_filter_t *f)
{
    hproxy_t *self = (hproxy_t *)f;
    tr_h1_free(self->h1);
    tr_connect_cleanup(&self->request);
    tr_bufq_cleanup(&self->in);
    tr_free(self);
}

static const tr_filter_type_t hproxy_type = {
    .name = "hproxy",
    .bottom = NULL,
    .connect = hproxy_connect,
    .write = hproxy_write,
    .flush = hproxy_flush,
    .pending = hproxy_pending,
    .recv = hproxy_recv,
    .wire = NULL, /* gone before anything stands above */
    .read = NULL,
    .cleanup = hproxy_cleanup,
};

tr_code_t
tr_hproxy_filter_new(tr_filter_t **out, tr_filter_t *next, const tr_proxy_t *proxy, size_t hop, const char *host, uint16_t port,
                     const tr_connect_style_t *style, tr_err_t *err)
{
    tr_request_head_t head;
    *out = NULL;
    hproxy_t *self = tr_calloc(1, sizeof(*self));
    if (self == NULL) {
        return tr_err_nomem(err, where);
    }
    self->base = (tr_filter_t){&hproxy_type, next};
    self->code = TR_AGAIN;
    self->err = TR_ERR_INIT;
    tr_bufq_init(&self->in, 0); /* bounded by the parser's limit and one read */
    tr_h1_limits_t limits = {TR_PROXY_MAX_ANSWER_BYTES, TR_PROXY_MAX_ANSWER_FIELDS};
    tr_code_t code = tr_h1_new(&self->h1, &limits, err);
    if (code == TR_OK && tr_connect_init(&self->request, proxy, hop, host, port, style) != TR_OK) {
        code = tr_err_nomem(err, where);
    }
    if (code == TR_OK) {
        tr_connect_head(&self->request, &head);
        code = tr_h1_submit(self->h1, &head, &exchange, self, err);
    }
    if (code != TR_OK) {
        hproxy_cleanup(&self->base);
        return code;
    }
    *out = &self->base;
    return TR_OK;
}
