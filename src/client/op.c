#include "client/op.h"

#include <pthread.h>

#include "client/chain.h"
#include "client/engine.h"
#include "client/flow.h"
#include "client/initiator.h"
#include "client/psl.h"
#include "client/session.h"
#include "client/sink.h"

/* Freed ops for the next ones. An op is allocated on a caller's thread and grows on the loop's: the heap pays for that with locks and
 * slow paths, a few kilobytes at a time. */
#define MAX_SPARE 128

static struct {
    pthread_mutex_t lock;
    tr_op_t *first; /* by sink_next */
    size_t num;
    bool on;
} spare = {PTHREAD_MUTEX_INITIALIZER, NULL, 0, false};

static tr_op_t *
take_spare(void)
{
    (void)pthread_mutex_lock(&spare.lock);
    tr_op_t *op = spare.first;
    if (op != NULL) {
        spare.first = op->sink_next;
        spare.num--;
    }
    (void)pthread_mutex_unlock(&spare.lock);
    return op;
}

static void
give_spare(tr_op_t *op)
{
    (void)pthread_mutex_lock(&spare.lock);
    bool keep = spare.on && spare.num < MAX_SPARE;
    if (keep) {
        op->sink_next = spare.first;
        spare.first = op;
        spare.num++;
    }
    (void)pthread_mutex_unlock(&spare.lock);
    if (!keep) {
        tr_free(op);
    }
}

void
tr_op__recycle(bool on)
{
    (void)pthread_mutex_lock(&spare.lock);
    tr_op_t *op = on ? NULL : spare.first;
    spare.on = on;
    if (!on) {
        spare.first = NULL;
        spare.num = 0;
    }
    (void)pthread_mutex_unlock(&spare.lock);
    while (op != NULL) {
        tr_op_t *next = op->sink_next;
        tr_free(op);
        op = next;
    }
}

void
tr_op__before_fork(void)
{
    (void)pthread_mutex_lock(&spare.lock);
}

void
tr_op__after_fork(void)
{
    (void)pthread_mutex_unlock(&spare.lock);
}

tr_op_t *
tr_op_new(tr_session_t *session)
{
    tr_op_t *op = take_spare();
    if (op == NULL) {
        op = tr_malloc(sizeof(*op));
    }
    if (op == NULL) {
        return NULL;
    }
    memset(op, 0, offsetof(tr_op_t, small));
    atomic_init(&op->refs, 1);
    op->session = tr_session_ref(session);
    tr_arena_init(&op->arena);
    op->arena.next = op->small;
    op->arena.room = sizeof(op->small);
    op->timing = (tr_op_timing_t){.dns_ns = -1, .connect_ns = -1, .tls_ns = -1, .first_byte_ns = -1, .total_ns = -1};
    return op;
}

tr_op_t *
tr_op_ref(tr_op_t *op)
{
    atomic_fetch_add_explicit(&op->refs, 1, memory_order_relaxed);
    return op;
}

static void
free_hop(tr_hop_t *hop)
{
    tr_headers_cleanup(&hop->response.headers);
    tr_headers_cleanup(&hop->response.trailers);
    tr_headers_cleanup(&hop->response.sent);
    tr_body_cleanup(&hop->body);
    tr_bufq_cleanup(&hop->decoded);
    tr_decoder_free(hop->decoder);
    hop->decoder = NULL;
}

void
tr_op_unref(tr_op_t *op)
{
    if (op == NULL || atomic_fetch_sub_explicit(&op->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    tr_response_t *response = op->responses;
    while (response != NULL) {
        tr_response_t *next = response->next;
        free_hop((tr_hop_t *)response);
        response = next;
    }
    if (op->hop != NULL && !op->hop->listed) {
        free_hop(op->hop);
    }
    tr_flow__free(op->flow);
    tr_profile_unref(op->profile);
    tr_trust_unref(op->trust);
    tr_identity_unref(op->identity);
    tr_transport_unref(op->transport);
    tr_chain__unref(op->chain);
    tr_routes_unref(op->routes);
    tr_arena_cleanup(&op->arena);
    tr_session_unref(op->session);
    if (op->on_free != NULL) {
        op->on_free(op->user, op->body_owner);
    }
    give_spare(op);
}

tr_code_t
tr_op__new_hop(tr_op_t *op)
{
    tr_hop_t *hop = op->hop;
    if (hop != NULL && !hop->listed) {
        free_hop(hop); /* a replay starts over */
    } else {
        hop = tr_arena_alloc(&op->arena, sizeof(*hop));
        if (hop == NULL) {
            op->hop = NULL;
            return TR_ERR_NOMEM;
        }
    }
    memset(hop, 0, sizeof(*hop));
    tr_headers_init(&hop->response.headers);
    tr_headers_init(&hop->response.trailers);
    tr_headers_init(&hop->response.sent);
    tr_body_init(&hop->body, tr_session__max_decoded(op->session, op->transport));
    tr_bufq_init(&hop->decoded, 0);
    hop->response.method = op->ask.method;
    hop->response.url = op->ask.url_text;
    hop->response.method_changed = op->ask.method_changed;
    op->hop = hop;
    return TR_OK;
}

void
tr_op_on_free(tr_op_t *op, void (*fn)(void *user, void *body_owner))
{
    op->on_free = fn;
}

void
tr_op_set_user(tr_op_t *op, void *user)
{
    op->user = user;
}

void *
tr_op_user(const tr_op_t *op)
{
    return op->user;
}

/* ----------------------------------------------------------------------------------------------------------- prepare */

/* Beside TR_OP_*: browsers keep a connection of its own for requests without credentials (behaviour of both live captures). */
#define KEY_WITHOUT_CREDENTIALS (1u << 31)

static char *
put_hex(char *p, uint64_t value)
{
    static const char digits[] = "0123456789abcdef";
    do {
        *p++ = digits[value & 15]; /* lowest digit first: it is read by nobody */
        value >>= 4;
    } while (value != 0);
    return p;
}

/* scheme://site */
static char *
put_site(char *p, tr_slice_t scheme, tr_slice_t site)
{
    memcpy(p, scheme.data, scheme.len);
    p += scheme.len;
    memcpy(p, "://", 3);
    p += 3;
    memcpy(p, site.data, site.len);
    return p + site.len;
}

tr_code_t
tr_op__set_key(tr_op_t *op, tr_ask_t *ask)
{
    const tr_url_t *url = &ask->url;
    uint32_t flags = op->flags & (TR_OP_HTTP1_ONLY | TR_OP_NO_VERIFY);
    if (!tr_initiator__has_credentials(op, url)) {
        flags |= KEY_WITHOUT_CREDENTIALS;
    }
    ask->proxy = op->routes == NULL ? NULL : tr_routes_pick(op->routes, url);
    const tr_url_t *page = tr_initiator__other_site(op, url);
    tr_slice_t page_site = page == NULL ? TR_SLICE_NULL : tr_psl_site(page->host);
    /* Four numbers and the port, 16 digits each at most, and their separators; the transport's id; a proxy's name and perhaps one more number;
     * the page's site. */
    size_t max = url->scheme.len + 3 + url->host.len + 5 * (2 * sizeof(uint64_t) + 1) + 1 + TR_TRANSPORT_ID_LEN + 1 +
                 (ask->proxy == NULL ? 0 : TR_PROXY_DIGEST_LEN + 2 + 2 * sizeof(uint64_t)) +
                 (page == NULL ? 0 : TR_KEY_PAGE_LEN + page->scheme.len + 3 + page_site.len);
    char *text = tr_arena_alloc(&op->arena, max);
    if (text == NULL) {
        return TR_ERR_NOMEM;
    }
    char *p = text;
    p = put_site(p, url->scheme, url->host);
    ask->key_rest = (size_t)(p - text);
    *p++ = ' ';
    p = put_hex(p, url->port);
    *p++ = ' ';
    p = put_hex(p, op->profile->key);
    *p++ = ' ';
    p = put_hex(p, flags);
    *p++ = ' ';
    p = put_hex(p, (uintptr_t)op->trust);
    *p++ = ' ';
    p = put_hex(p, (uintptr_t)op->identity);
    if (op->transport != NULL) {
        *p++ = ' ';
        memcpy(p, tr_transport_id(op->transport), TR_TRANSPORT_ID_LEN);
        p += TR_TRANSPORT_ID_LEN;
    }
    if (ask->proxy != NULL) {
        *p++ = ' ';
        memcpy(p, tr_proxy_digest(ask->proxy), TR_PROXY_DIGEST_LEN);
        p += TR_PROXY_DIGEST_LEN;
        if ((op->flags & TR_OP_NEW_TUNNEL) != 0) {
            static atomic_ullong tunnels;
            *p++ = ' ';
            p = put_hex(p, (uintptr_t)atomic_fetch_add_explicit(&tunnels, 1, memory_order_relaxed));
        }
    }
    ask->key_page = (size_t)(p - text);
    if (TR_UNLIKELY(page != NULL)) {
        memcpy(p, TR_KEY_PAGE, TR_KEY_PAGE_LEN);
        p += TR_KEY_PAGE_LEN;
        p = put_site(p, page->scheme, page_site);
    }
    *p = 0;
    ask->key = tr_slice(text, (size_t)(p - text));
    return TR_OK;
}

tr_code_t
tr_op__go_apart(tr_op_t *op)
{
    tr_slice_t key = op->ask.key;
    uint8_t *text = tr_arena_alloc(&op->arena, key.len + TR_KEY_APART_LEN);
    if (text == NULL) {
        return TR_ERR_NOMEM;
    }
    memcpy(text, key.data, key.len);
    memcpy(text + key.len, TR_KEY_APART, TR_KEY_APART_LEN);
    op->ask.key = tr_slice(text, key.len + TR_KEY_APART_LEN);
    op->apart = true;
    return TR_OK;
}

static int
hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = tr_ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t
percent_decode(uint8_t *out, tr_slice_t in)
{
    size_t len = 0;
    for (size_t i = 0; i < in.len; i++) {
        int high = in.data[i] == '%' && in.len - i > 2 ? hex_digit(in.data[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(in.data[i + 2]) : -1;
        if (low >= 0) {
            out[len++] = (uint8_t)(high << 4 | low);
            i += 2;
        } else {
            out[len++] = in.data[i];
        }
    }
    return len;
}

size_t
tr_op__base64(uint8_t *out, const uint8_t *in, size_t in_len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = 0;
    for (size_t i = 0; i < in_len; i += 3) {
        size_t num = TR_MIN((size_t)3, in_len - i);
        uint32_t bits = (uint32_t)in[i] << 16;
        bits |= num > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        bits |= num > 2 ? in[i + 2] : 0;
        out[len++] = (uint8_t)digits[bits >> 18];
        out[len++] = (uint8_t)digits[bits >> 12 & 63];
        out[len++] = num > 1 ? (uint8_t)digits[bits >> 6 & 63] : '=';
        out[len++] = num > 2 ? (uint8_t)digits[bits & 63] : '=';
    }
    return len;
}

/* RFC 7617: Basic, with the percent-encoding of the URL removed. */
tr_code_t
tr_op__set_authorization(tr_op_t *op, tr_ask_t *ask)
{
    tr_slice_t info = ask->url.userinfo;
    ask->authorization = TR_SLICE_NULL;
    if (info.len == 0) {
        return TR_OK;
    }
    size_t colon = 0;
    while (colon < info.len && info.data[colon] != ':') {
        colon++;
    }
    /* The URL's length is bounded by TR_URL_MAX: no overflow. */
    uint8_t *plain = tr_malloc(info.len + 1);
    uint8_t *out = tr_arena_alloc(&op->arena, 6 + (info.len + 3) / 3 * 4);
    if (plain == NULL || out == NULL) {
        tr_free(plain);
        return TR_ERR_NOMEM;
    }
    size_t len = percent_decode(plain, tr_slice(info.data, colon));
    plain[len++] = ':';
    if (colon < info.len) {
        len += percent_decode(plain + len, tr_slice(info.data + colon + 1, info.len - colon - 1));
    }
    memcpy(out, "Basic ", 6);
    ask->authorization = tr_slice(out, 6 + tr_op__base64(out + 6, plain, len));
    tr_wipe(plain, info.len + 1);
    tr_free(plain);
    return TR_OK;
}

static tr_slice_t
put_slice(uint8_t **p, tr_slice_t in)
{
    tr_slice_t out = tr_slice(*p, in.len);
    if (in.len > 0) {
        memcpy(*p, in.data, in.len);
        *p += in.len;
    }
    return out;
}

static tr_code_t
copy_headers(tr_op_t *op, const tr_op_request_t *request, bool *out_expects, tr_err_t *err)
{
    size_t total = 0;
    for (size_t i = 0; i < request->num_headers; i++) {
        const tr_field_t *field = &request->headers[i];
        if (!tr_http_is_token(field->name)) {
            return tr_err_set(err, TR_ERR_HEADER_INVALID, 0, "op.header_name", "The header name \"%.*s\" cannot be sent.",
                              (int)TR_MIN(field->name.len, (size_t)64), (const char *)field->name.data);
        }
        if (field->value.data != NULL && !tr_http_is_field_value(field->value)) {
            return tr_err_set(err, TR_ERR_HEADER_INVALID, 0, "op.header_value",
                              "The value of the header \"%.*s\" has a CR, LF or NUL.", (int)TR_MIN(field->name.len, (size_t)64),
                              (const char *)field->name.data);
        }
        if (field->name.len > SIZE_MAX / 4 - total || field->value.len > SIZE_MAX / 4 - total - field->name.len) {
            return tr_err_nomem(err, "op.prepare");
        }
        if (field->name.len == 6 && tr_slice_ieq(field->name, TR_SLICE_LIT("expect"))) {
            *out_expects = tr_slice_ieq(field->value, TR_SLICE_LIT("100-continue"));
        }
        total += field->name.len + field->value.len;
    }
    if (request->num_headers == 0) {
        return TR_OK;
    }
    if (request->num_headers > SIZE_MAX / 4 / sizeof(tr_field_t)) {
        return tr_err_nomem(err, "op.prepare");
    }
    tr_field_t *fields = tr_arena_alloc(&op->arena, request->num_headers * sizeof(*fields));
    uint8_t *bytes = tr_arena_alloc(&op->arena, total);
    if (fields == NULL || bytes == NULL) {
        return tr_err_nomem(err, "op.prepare");
    }
    for (size_t i = 0; i < request->num_headers; i++) {
        fields[i].name = put_slice(&bytes, request->headers[i].name);
        fields[i].value = request->headers[i].value.data == NULL ? TR_SLICE_NULL : put_slice(&bytes, request->headers[i].value);
    }
    op->ask.headers = fields;
    op->ask.num_headers = request->num_headers;
    return TR_OK;
}

/* A cookie that would end its field or start another pair (RFC 6265 4.2.1, loosely: what browsers send is more). */
static bool
is_cookie_text(tr_slice_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == ';' || (text.data[i] < 0x20 && text.data[i] != '\t') || text.data[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool
dup_slice(tr_arena_t *arena, tr_slice_t *out, tr_slice_t in)
{
    if (in.len == 0) {
        *out = tr_slice("", 0);
        return true;
    }
    uint8_t *copy = tr_arena_dup(arena, in);
    *out = tr_slice(copy, in.len);
    return copy != NULL;
}

static tr_code_t
copy_cookies(tr_op_t *op, const tr_op_request_t *request, tr_err_t *err)
{
    if (request->num_cookies == 0) {
        return TR_OK;
    }
    if (request->num_cookies > SIZE_MAX / 4 / sizeof(tr_cookie_t)) {
        return tr_err_nomem(err, "op.prepare");
    }
    tr_cookie_t *cookies = tr_arena_alloc(&op->arena, request->num_cookies * sizeof(*cookies));
    if (cookies == NULL) {
        return tr_err_nomem(err, "op.prepare");
    }
    for (size_t i = 0; i < request->num_cookies; i++) {
        const tr_cookie_t *in = &request->cookies[i];
        if (!is_cookie_text(in->name) || !is_cookie_text(in->value)) {
            return tr_err_set(err, TR_ERR_HEADER_INVALID, 0, "op.cookie", "The cookie \"%.*s\" has characters that must not be sent.",
                              (int)TR_MIN(in->name.len, (size_t)64), (const char *)in->name.data);
        }
        cookies[i] = *in;
        op->num_absent += (in->flags & TR_COOKIE_ABSENT) != 0;
        if (!dup_slice(&op->arena, &cookies[i].name, in->name) || !dup_slice(&op->arena, &cookies[i].value, in->value) ||
            !dup_slice(&op->arena, &cookies[i].domain, in->domain) || !dup_slice(&op->arena, &cookies[i].path, in->path)) {
            return tr_err_nomem(err, "op.prepare");
        }
        if (in->domain.len == 0) {
            cookies[i].domain = op->ask.url.host;
            cookies[i].flags |= TR_COOKIE_HOST_ONLY;
        }
        if (in->path.len == 0) {
            cookies[i].path = TR_SLICE_LIT("/");
        }
    }
    op->cookies = cookies;
    op->num_cookies = request->num_cookies;
    return TR_OK;
}

static tr_code_t
copy_order(tr_op_t *op, const tr_op_request_t *request, tr_err_t *err)
{
    if (request->num_header_order == 0) {
        return TR_OK;
    }
    if (request->num_header_order > SIZE_MAX / 4 / sizeof(char *)) {
        return tr_err_nomem(err, "op.prepare");
    }
    const char **order = tr_arena_alloc(&op->arena, request->num_header_order * sizeof(*order));
    for (size_t i = 0; order != NULL && i < request->num_header_order; i++) {
        order[i] = (const char *)tr_arena_dup(&op->arena, tr_slice_cstr(request->header_order[i]));
        if (order[i] == NULL) {
            order = NULL;
        }
    }
    if (order == NULL) {
        return tr_err_nomem(err, "op.prepare");
    }
    op->header_order = order;
    op->num_header_order = request->num_header_order;
    return TR_OK;
}

tr_code_t
tr_op_prepare(tr_op_t *op, const tr_op_request_t *request, tr_err_t *err)
{
    tr_code_t code;
    bool expects = false;
    if (op->ask.key.data != NULL) {
        return tr_err_set(err, TR_ERR_INVALID_ARGUMENT, 0, "op.prepare", "The request was prepared before.");
    }
    /* Taken over in any case: who lent the body is told by on_free. */
    op->body_owner = request->body_owner;
    if (!tr_http_is_token(request->method)) {
        return tr_err_set(err, TR_ERR_METHOD_INVALID, 0, "op.method", NULL);
    }
    if (!tr_http_is_field_value(request->body_type)) {
        return tr_err_set(err, TR_ERR_HEADER_INVALID, 0, "op.body_type", "The content type cannot be sent.");
    }
    op->profile = tr_profile_ref(request->profile != NULL ? request->profile : tr_profile_default());
    op->flags = request->flags;
    op->max_redirects = request->max_redirects;
    op->timeouts = request->timeouts;
    code = tr_url_parse(&op->ask.url, &op->arena, request->url, err);
    if (code != TR_OK) {
        goto done;
    }
    op->trust = request->trust != NULL ? tr_trust_ref(request->trust) : NULL;
    op->identity = request->identity != NULL ? tr_identity_ref(request->identity) : NULL;
    op->transport = tr_transport_ref(request->transport);
    op->routes = request->routes != NULL ? tr_routes_ref(request->routes) : NULL;
    if ((code = copy_headers(op, request, &expects, err)) != TR_OK || (code = copy_cookies(op, request, err)) != TR_OK ||
        (code = copy_order(op, request, err)) != TR_OK) {
        goto done;
    }
    bool streams = (request->flags & TR_OP_STREAM) != 0;
    if (streams && request->file != NULL) {
        code = tr_err_set(err, TR_ERR_INVALID_ARGUMENT, 0, "op.prepare", "A streamed answer's file is named when it is answered.");
        goto done;
    }
    if ((streams || request->file != NULL || (request->has_body && (request->body_written || expects))) &&
        (code = tr_flow__new(op, request, expects, err)) != TR_OK) {
        goto done;
    }
    op->ask.has_body = request->has_body;
    op->ask.body = request->body;
    bool ok = dup_slice(&op->arena, &op->ask.method, request->method) &&
              dup_slice(&op->arena, &op->ask.body_type, request->body_type);
    if (ok && request->body_owner == NULL && request->has_body) {
        ok = dup_slice(&op->arena, &op->ask.body, request->body);
    }
    if (ok && (code = tr_initiator__prepare(op, request, err)) != TR_OK) {
        goto done;
    }
    if (op->kind == TR_KIND_WEBSOCKET && (op->flags & TR_OP_DUPLEX) == 0) {
        op->flags |= TR_OP_HTTP1_ONLY; /* both live captures offer http/1.1 only */
    }
    if (!ok || tr_url_text(&op->ask.url_text, &op->arena, &op->ask.url, false) != TR_OK ||
        tr_op__set_authorization(op, &op->ask) != TR_OK || tr_op__set_key(op, &op->ask) != TR_OK) {
        op->ask.key = TR_SLICE_NULL;
        code = tr_err_nomem(err, "op.prepare");
    }
done:
    return code;
}

/* ---------------------------------------------------------------------------------------------------------- the loop */

void
tr_op__submit_msg(tr_msg_t *msg)
{
    tr_op__start(TR_CONTAINER_OF(msg, tr_op_t, submit_msg));
}

static void
cancel_msg(tr_msg_t *msg)
{
    tr_op_t *op = TR_CONTAINER_OF(msg, tr_op_t, cancel_msg);
    if (op->state != TR_OP_COMPLETED) {
        tr_err_t err = TR_ERR_INIT;
        (void)tr_err_set(&err, TR_ERR_CANCELLED, 0, "op.cancel", NULL);
        tr_op__abort(op, &err);
    }
    tr_op_unref(op);
}

tr_code_t
tr_op_submit(tr_op_t *op, tr_sink_t *sink, tr_err_t *err)
{
    tr_code_t code = TR_OK;
    tr_engine_t *engine = tr_engine__self();
    if (op->ask.key.data == NULL || atomic_exchange(&op->submitted, true)) {
        return tr_err_set(err, TR_ERR_INVALID_ARGUMENT, 0, "op.submit", "The request is not prepared, or was submitted before.");
    }
    tr_op_ref(op);
    op->sink = sink == NULL ? NULL : tr_sink__ref(sink);
    op->state = TR_OP_QUEUED;
    if (op->flow != NULL) {
        op->flow->blocking = sink == NULL;
    }
    op->submit_msg.fn = tr_op__submit_msg;
    atomic_store_explicit(&op->session->used, true, memory_order_relaxed);
    atomic_fetch_add(&engine->num_ops, 1);
    if (sink != NULL) {
        atomic_fetch_add(&engine->num_async, 1);
    }
    while (!tr_engine__post(engine, &op->submit_msg, sink == NULL)) {
        code = tr_engine_start(err);
        if (code != TR_OK) {
            atomic_fetch_sub(&engine->num_ops, 1);
            if (sink != NULL) {
                atomic_fetch_sub(&engine->num_async, 1);
                tr_sink__unref(sink);
                op->sink = NULL;
            }
            atomic_store(&op->submitted, false);
            op->state = TR_OP_NEW;
            tr_op_unref(op);
            return code;
        }
    }
    atomic_fetch_add_explicit(&engine->stats.ops_submitted, 1, memory_order_relaxed);
    return code;
}

void
tr_op_cancel(tr_op_t *op)
{
    if (tr_op_is_done(op) || !atomic_load(&op->submitted) || atomic_exchange(&op->cancel_requested, true)) {
        return;
    }
    op->cancel_msg.fn = cancel_msg;
    tr_op_ref(op);
    if (!tr_engine__post(tr_engine__self(), &op->cancel_msg, false)) {
        tr_op_unref(op); /* the engine is stopping: it cancels everything */
    }
}

/* ----------------------------------------------------------------------------------------------------------- results */

bool
tr_op_is_done(const tr_op_t *op)
{
    return atomic_load_explicit(&op->done, memory_order_acquire);
}

bool
tr_op__has_news(const tr_op_t *op)
{
    return tr_op_is_done(op) || (op->flow != NULL && atomic_load_explicit(&op->flow->awake, memory_order_acquire));
}

const tr_err_t *
tr_op_error(const tr_op_t *op)
{
    return op->has_error ? &op->error : NULL;
}

bool
tr_op_request_sent(const tr_op_t *op)
{
    return op->request_sent;
}

bool
tr_op_safe_to_retry(const tr_op_t *op)
{
    return op->safe_to_retry;
}

tr_phase_t
tr_op_phase(const tr_op_t *op)
{
    return op->phase;
}

const char *
tr_phase_name(tr_phase_t phase)
{
    static const char *const names[] = {"", "pool", "resolve", "connect", "tls", "send", "wait", "body"};
    return (size_t)phase < TR_ARRAY_LEN(names) ? names[phase] : "";
}

const char *
tr_op_address(const tr_op_t *op)
{
    return op->timing.peer;
}

tr_response_t *
tr_op_responses(const tr_op_t *op)
{
    return op->responses;
}

uint64_t
tr_op_elapsed_ns(const tr_op_t *op)
{
    return op->elapsed_ns;
}

tr_slice_t
tr_op_url(const tr_op_t *op)
{
    return op->ask.url_text;
}

void
tr_op_take_body(tr_op_t *op, tr_response_t *response, uint8_t *dst)
{
    TR_UNUSED(op);
    tr_body_drain(&((tr_hop_t *)response)->body, dst);
}

tr_cookiejar_t *
tr_op_jar(const tr_op_t *op)
{
    return op->session->jar;
}

tr_slice_t
tr_op_cert(const tr_op_t *op, size_t index)
{
    return op->chain != NULL && index < op->chain->num ? op->chain->certs[index] : TR_SLICE_NULL;
}

const tr_op_timing_t *
tr_op_timing(const tr_op_t *op)
{
    return &op->timing;
}
