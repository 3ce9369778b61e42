/* CONNECT (RFC 9110 9.3.6): asks an HTTP proxy for a tunnel. The answer goes through the strict HTTP/1.1 parser; nothing in it is believed but
 * its status. Bytes behind a 2xx head are refused, as Chromium does: in a tunnel the client speaks first, with TLS and with HTTP. */
#include <stdio.h>

#include "core/mem.h"
#include "core/trace.h"
#include "http1/h1.h"
#include "net/filter.h"

#define READ_SIZE 4096
/* The browser's own fields and a caller's. */
#define MAX_FIELDS (8 + TR_PROXY_MAX_FIELDS)

static const char where[] = "net.hproxy";

typedef struct hproxy {
    tr_filter_t base;
    const tr_proxy_t *proxy; /* lent */
    const tr_proxy_hop_t *hop;
    tr_h1_t *h1;             /* owned */
    tr_bufq_t in;
    int status;    /* of the final answer; 0: not yet */
    bool asked;    /* the request is in the wire buffer of the filter below */
    tr_code_t code; /* how it ended; TR_AGAIN: it has not */
    tr_err_t err;
    char target[]; /* host:port */
} hproxy_t;

/* ------------------------------------------------------------------------------------------------------------- request */

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

static const tr_exchange_events_t exchange = {on_informational, on_head, on_data, on_end, on_fail};

typedef struct fields {
    const tr_proxy_t *proxy;
    tr_field_t at[MAX_FIELDS];
    size_t len;
} fields_t;

static bool
is_own(const char *const *order, tr_slice_t name)
{
    for (; *order != NULL; order++) {
        if (tr_slice_ieq(name, tr_slice_cstr(*order))) {
            return true;
        }
    }
    return false;
}

/* A field of the browser's, or what the caller wants in its place. */
static void
put(fields_t *fields, const char *name, tr_slice_t value)
{
    bool replaced = false;
    for (size_t i = 0; i < tr_proxy_num_fields(fields->proxy); i++) {
        const tr_proxy_field_t *own = tr_proxy_field(fields->proxy, i);
        if (tr_slice_ieq(own->name, tr_slice_cstr(name))) {
            replaced = true;
            if (own->value.data != NULL) {
                fields->at[fields->len++] = (tr_field_t){own->name, own->value};
            }
        }
    }
    if (!replaced && value.len > 0) {
        fields->at[fields->len++] = (tr_field_t){tr_slice_cstr(name), value};
    }
}

/* Order and fields as browsers send them: Chromium's HttpProxyClientSocket, Firefox's nsHttpConnection. Others get Chromium's. */
static const char *const chromium_order[] = {"Host", "Proxy-Connection", "User-Agent", "Proxy-Authorization", NULL};
static const char *const firefox_order[] = {"User-Agent", "Proxy-Connection", "Connection", "Host", "Proxy-Authorization", NULL};

/* Chromium's HttpUtil and network transaction: over a proxy "Proxy-Connection" stands for "Connection". Firefox and Safari do not rename. */
bool
tr_connect_style_renames(const char *family)
{
    return family == NULL || (strcmp(family, "firefox") != 0 && strcmp(family, "safari") != 0);
}

static void
fill(fields_t *fields, const hproxy_t *self, const tr_connect_style_t *style, tr_slice_t basic)
{
    bool firefox = style->family != NULL && strcmp(style->family, "firefox") == 0;
    const char *const *order = firefox ? firefox_order : chromium_order;
    for (const char *const *name = order; *name != NULL; name++) {
        tr_slice_t value = TR_SLICE_LIT("keep-alive");
        if (strcmp(*name, "Host") == 0) {
            value = tr_slice_cstr(self->target);
        } else if (strcmp(*name, "User-Agent") == 0) {
            value = style->user_agent;
        } else if (strcmp(*name, "Proxy-Authorization") == 0) {
            value = basic;
        }
        put(fields, *name, value);
    }
    for (size_t i = 0; i < tr_proxy_num_fields(self->proxy); i++) {
        const tr_proxy_field_t *own = tr_proxy_field(self->proxy, i);
        if (own->value.data != NULL && !is_own(order, own->name)) {
            fields->at[fields->len++] = (tr_field_t){own->name, own->value};
        }
    }
}

static tr_code_t
submit(hproxy_t *self, const tr_connect_style_t *style, tr_err_t *err)
{
    fields_t fields = {.proxy = self->proxy};
    char *basic = NULL;
    size_t basic_len = 0;
    if (self->hop->has_auth && tr_proxy_basic(&basic, &basic_len, self->hop) != TR_OK) {
        return tr_err_nomem(err, where);
    }
    fill(&fields, self, style, tr_slice(basic, basic_len));
    tr_slice_t target = tr_slice_cstr(self->target);
    tr_request_head_t head = {
        .method = TR_SLICE_LIT("CONNECT"),
        .scheme = TR_SLICE_LIT("http"),
        .authority = target,
        .target = target,
        .fields = fields.at,
        .num_fields = fields.len,
    };
    tr_code_t code = tr_h1_submit(self->h1, &head, &exchange, self, err);
    if (basic != NULL) {
        tr_wipe(basic, basic_len);
        tr_free(basic);
    }
    return code;
}

/* -------------------------------------------------------------------------------------------------------------- answer */

/* After the parser has seen what came. */
static tr_code_t
judge(hproxy_t *self, tr_code_t fed)
{
    if (self->status == 0) {
        if (tr_failed(fed)) {
            tr_proxy_blame(&self->err, self->hop);
            return self->err.code;
        }
        return TR_AGAIN;
    }
    TR_TRACE(TR_TOPIC_NET, "proxy %s: CONNECT %s: %d", self->hop->host, self->target, self->status);
    if (self->status / 100 == 2) {
        if (self->in.len > 0) {
            return tr_err_set(&self->err, TR_ERR_PROXY_PROTOCOL, 0, where, "proxy %.60s:%u: there are bytes behind its answer to CONNECT",
                              self->hop->host, (unsigned)self->hop->port);
        }
        return TR_OK;
    }
    /* tinyproxy says 401 where the credentials are wrong; whoever answers CONNECT is the proxy. */
    if (self->status == 407 || self->status == 401) {
        return tr_err_set(&self->err, TR_ERR_PROXY_AUTH, self->status, where, "proxy %.60s:%u: it %s (status %d)", self->hop->host,
                          (unsigned)self->hop->port, self->hop->has_auth ? "does not accept the credentials" : "asks for credentials",
                          self->status);
    }
    return tr_err_set(&self->err, TR_ERR_PROXY_REFUSED, self->status, where, "proxy %.40s:%u: it refused CONNECT %.50s with status %d",
                      self->hop->host, (unsigned)self->hop->port, self->target, self->status);
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
                                "proxy %.60s:%u: it closed the connection before it answered CONNECT", self->hop->host,
                                (unsigned)self->hop->port);
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
    tr_bufq_cleanup(&self->in);
    tr_free(self);
}

static const tr_filter_type_t hproxy_type = {
    .name = "hproxy",
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
    int family;
    size_t room = strlen(host) + 10; /* brackets, colon, port, NUL */
    *out = NULL;
    hproxy_t *self = tr_calloc(1, sizeof(*self) + room);
    if (self == NULL) {
        return tr_err_nomem(err, where);
    }
    bool brackets = strchr(host, ':') != NULL && tr_proxy_is_ip(host, &family);
    (void)snprintf(self->target, room, brackets ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
    self->base = (tr_filter_t){&hproxy_type, next};
    self->proxy = proxy;
    self->hop = tr_proxy_hop(proxy, hop);
    self->code = TR_AGAIN;
    self->err = TR_ERR_INIT;
    tr_bufq_init(&self->in, 0); /* bounded by the parser's limit and one read */
    tr_h1_limits_t limits = {TR_PROXY_MAX_ANSWER_BYTES, TR_PROXY_MAX_ANSWER_FIELDS};
    tr_code_t code = tr_h1_new(&self->h1, &limits, err);
    if (code == TR_OK) {
        code = submit(self, style, err);
    }
    if (code != TR_OK) {
        hproxy_cleanup(&self->base);
        return code;
    }
    *out = &self->base;
    return TR_OK;
}
