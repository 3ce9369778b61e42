#include "client/hconn.h"

#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "client/chain.h"
#include "client/compose.h"
#include "client/flow.h"
#include "client/hints.h"
#include "client/initiator.h"
#include "client/tunnel.h"
#include "core/mem.h"

#define NS_PER_MS UINT64_C(1000000)
/* Output waits in the HTTP engine while the transport holds more than this: what is handed down cannot be taken back, and nothing else can
 * pass it. Two records more than a socket's send buffer takes at once in the usual case. */
#define PENDING_MAX ((size_t)64 * 1024)
/* One pull of the HTTP/1.1 engine: a record's worth. */
#define H1_PULL ((size_t)16384)
/* behaviour.md 14: Chromium sends a PING behind a request after so much silence; engines whose browser does not, ignore the call. */
#define PING_AFTER_NS (10000 * NS_PER_MS)

static void on_idle_timer(void *arg);

static tr_engine_t *
engine_of(const tr_hconn_t *hconn)
{
    return hconn->origin->pool->engine;
}

/* An HTTP/1.1 exchange is under way. */
static bool
is_busy(const tr_hconn_t *hconn)
{
    return hconn->state == TR_HCONN_BUSY || hconn->state == TR_HCONN_SWITCHED;
}

static void
set_state(tr_hconn_t *hconn, tr_hconn_state_t state)
{
    tr_origin_t *o = hconn->origin;
    tr_list_t *const lists[] = {
        [TR_HCONN_CONNECTING] = &o->connecting, [TR_HCONN_IDLE] = &o->idle,       [TR_HCONN_BUSY] = &o->busy,
        [TR_HCONN_SHARED] = &o->shared,         [TR_HCONN_LEAVING] = &o->leaving, [TR_HCONN_SWITCHED] = &o->leaving,
        [TR_HCONN_DEAD] = NULL,
    };
    bool was_counted = tr_link_linked(&hconn->link) && hconn->state < TR_HCONN_LEAVING;
    bool was_connecting = tr_link_linked(&hconn->link) && hconn->state == TR_HCONN_CONNECTING;
    bool was_open = tr_link_linked(&hconn->link);
    tr_list_remove(&hconn->link);
    if (state != TR_HCONN_SHARED) {
        tr_link_t *link;
        tr_list_remove(&hconn->shared_link);
        while ((link = tr_list_first(&hconn->borrowers)) != NULL) {
            tr_origin__return(TR_CONTAINER_OF(link, tr_origin_t, borrow_link), false);
        }
    } else if (!tr_link_linked(&hconn->shared_link)) {
        tr_list_push(&o->pool->shared, &hconn->shared_link);
    }
    if (!o->is_proxy) {
        o->pool->num_conns -= was_open ? 1 : 0;
        o->pool->num_conns += state != TR_HCONN_DEAD ? 1 : 0;
    }
    if (!hconn->uncounted) {
        tr_session__count(&o->pool->session->stats.conns_open, (state != TR_HCONN_DEAD ? 1 : 0) - (was_open ? 1 : 0));
        tr_session__count(&o->pool->session->stats.conns_connecting, (state == TR_HCONN_CONNECTING ? 1 : 0) - (was_connecting ? 1 : 0));
    }
    o->num_conns -= was_counted ? 1 : 0;
    o->num_connecting -= was_connecting ? 1 : 0;
    hconn->state = state;
    if (state == TR_HCONN_DEAD) {
        return;
    }
    if (state == TR_HCONN_IDLE) {
        tr_list_push_front(lists[state], &hconn->link);
    } else {
        tr_list_push(lists[state], &hconn->link);
    }
    o->num_conns += state < TR_HCONN_LEAVING ? 1 : 0;
    o->num_connecting += state == TR_HCONN_CONNECTING ? 1 : 0;
}

/* Whether it is up and without an exchange. */
static void
set_resting(tr_hconn_t *hconn, bool resting)
{
    if (hconn->resting != resting) {
        tr_pool_t *pool = hconn->origin->pool;
        hconn->resting = resting;
        if (!hconn->origin->is_proxy) {
            pool->num_idle = resting ? pool->num_idle + 1 : pool->num_idle - 1;
        }
        tr_session__count(&pool->session->stats.conns_idle, resting ? 1 : -1);
    }
}

/* Whether it is in use before its handshake is done. */
static void
set_early(tr_hconn_t *hconn, bool early)
{
    if (hconn->early != early) {
        hconn->early = early;
        hconn->origin->num_early = early ? hconn->origin->num_early + 1 : hconn->origin->num_early - 1;
    }
}

/* There may be room for a stream, or SETTINGS that make some. */
static void
tell_waiters(tr_hconn_t *hconn)
{
    if (hconn->origin->num_waiters > 0 || hconn->origin->num_asking > 0) {
        tr_origin__dirty(hconn->origin);
    }
    for (tr_link_t *link = tr_list_first(&hconn->borrowers); link != NULL; link = tr_list_next(&hconn->borrowers, link)) {
        tr_origin_t *borrower = TR_CONTAINER_OF(link, tr_origin_t, borrow_link);
        if (borrower->num_waiters > 0) {
            tr_origin__dirty(borrower);
        }
    }
}

/* ----------------------------------------------------------------------------------------------------------------- end */

static void
free_hconn(void *arg)
{
    tr_hconn_t *hconn = arg;
    tr_h1_free(hconn->h1);
    tr_h2_free(hconn->h2);
    tr_chain__unref(hconn->chain);
    tr_buf_cleanup(&hconn->early_held);
    tr_free(hconn);
}

void
tr_hconn__close(tr_hconn_t *hconn)
{
    tr_engine_t *engine = engine_of(hconn);
    if (hconn->state == TR_HCONN_DEAD) {
        return;
    }
    TR_TRACE(TR_TOPIC_POOL, "%s: connection %p closed after %u requests", hconn->origin->host, (void *)hconn, hconn->num_requests);
    set_resting(hconn, false);
    set_early(hconn, false);
    set_state(hconn, TR_HCONN_DEAD);
    tr_list_remove(&hconn->dirty_link);
    tr_timer_clear(engine->loop, &hconn->idle_timer);
    tr_tunnels__lost(hconn);
    tr_conn_close(hconn->conn);
    hconn->conn = NULL;
    tr_tunnel__free(hconn->tunnel);
    hconn->tunnel = NULL;
    atomic_fetch_sub_explicit(&engine->stats.conns_open, hconn->uncounted ? 0 : 1, memory_order_relaxed);
    tr_origin__dirty(hconn->origin);
    tr_pool__has_room(hconn->origin->pool);
    hconn->origin = NULL;
    tr_loop_defer(engine->loop, &hconn->free_defer); /* its engine may be the one that calls us */
}

/* The transport or the peer's protocol failed: every exchange is told, then it ends. */
static void
die(tr_hconn_t *hconn, tr_code_t code, const tr_err_t *cause)
{
    tr_err_t err = *cause;
    if (code == TR_EOF) {
        (void)tr_err_set(&err, TR_ERR_CLOSED_EARLY, cause->detail, "hconn.eof", NULL);
    }
    if (hconn->h1 != NULL && is_busy(hconn)) {
        if (code == TR_EOF) {
            (void)tr_h1_eof(hconn->h1, &err);
        } else {
            tr_h1_abort(hconn->h1, &err);
        }
    } else if (hconn->h2 != NULL) {
        tr_hconn__retire(hconn); /* what is replayed goes elsewhere */
        if (hconn->state != TR_HCONN_DEAD) {
            tr_h2_abort(hconn->h2, &err);
        }
    }
    tr_hconn__close(hconn);
}

/* ------------------------------------------------------------------------------------------------------------- output */

void
tr_hconn__dirty(tr_hconn_t *hconn)
{
    if (hconn->state != TR_HCONN_DEAD && !tr_link_linked(&hconn->dirty_link)) {
        tr_list_push(&engine_of(hconn)->hconns, &hconn->dirty_link);
    }
}

static tr_code_t
pull(tr_hconn_t *hconn, tr_buf_t *out, tr_err_t *err)
{
    return hconn->h2 != NULL ? tr_h2_pull(hconn->h2, out, err) : tr_h1_pull(hconn->h1, out, H1_PULL, err);
}

void
tr_hconn__flush(tr_hconn_t *hconn)
{
    tr_buf_t *out = &engine_of(hconn)->scratch;
    tr_err_t err = TR_ERR_INIT;
    tr_code_t code = TR_OK;
    if ((hconn->h1 == NULL && hconn->h2 == NULL) || (hconn->early && hconn->early_held.len > 0)) {
        return;
    }
    while (code == TR_OK && tr_conn_pending(hconn->conn) < PENDING_MAX) {
        tr_buf_clear(out);
        code = pull(hconn, out, &err);
        if (hconn->state == TR_HCONN_DEAD) {
            return; /* a callback closed it */
        }
        if (!tr_failed(code) && out->len > 0) {
            tr_code_t written = tr_conn_write(hconn->conn, tr_buf_slice(out), &err);
            if (written == TR_AGAIN && tr_buf_append(&hconn->early_held, out->data, out->len) != TR_OK) {
                written = tr_err_nomem(&err, "hconn.early");
            }
            code = written == TR_OK ? code : written;
            hconn->out_mark = tr_conn_written(hconn->conn) + tr_conn_pending(hconn->conn) + hconn->early_held.len;
            if (hconn->h2 != NULL) {
                tr_h2_mark(hconn->h2, hconn->out_mark);
            }
        }
    }
    if (tr_failed(code)) {
        die(hconn, code, &err);
    } else if (hconn->state == TR_HCONN_LEAVING && hconn->num_active == 0) {
        tr_hconn__close(hconn);
    } else if (hconn->state == TR_HCONN_SHARED) {
        tell_waiters(hconn); /* a RST_STREAM that went out made room */
    }
}

/* -------------------------------------------------------------------------------------------------------------- input */

/* How long it is kept. */
static uint64_t
idle_limit(const tr_hconn_t *hconn)
{
    uint32_t ms = tr_transport_limits(hconn->origin->transport)->idle_timeout_ms;
    return (ms != 0 ? ms : hconn->origin->pool->session->idle_timeout_ms) * NS_PER_MS;
}

/* When an idle connection is looked at next: for its end, or for a PING. */
static uint64_t
next_look(const tr_hconn_t *hconn, uint64_t now)
{
    uint64_t at = hconn->idle_ns + idle_limit(hconn);
    uint32_t ping_ms = tr_transport_limits(hconn->origin->transport)->ping_interval_ms;
    return hconn->h2 == NULL || ping_ms == 0 ? at : TR_MIN(at, now + ping_ms * NS_PER_MS);
}

static void
go_idle(tr_hconn_t *hconn)
{
    tr_engine_t *engine = engine_of(hconn);
    set_resting(hconn, true);
    tr_pool__has_room(hconn->origin->pool); /* it may be given up for another origin */
    tr_tunnel__rests(hconn->tunnel);
    hconn->idle_ns = tr_loop_now(engine->loop);
    if (hconn->idle_timer.deadline_ns == 0) {
        /* Not moved for each request: when it fires it looks how long the connection really was idle. */
        (void)tr_timer_set(engine->loop, &hconn->idle_timer, next_look(hconn, hconn->idle_ns));
    }
}

static void
on_idle_timer(void *arg)
{
    tr_hconn_t *hconn = arg;
    tr_engine_t *engine = engine_of(hconn);
    uint64_t now = tr_loop_now(engine->loop);
    bool idle = hconn->state == TR_HCONN_IDLE || (hconn->state == TR_HCONN_SHARED && hconn->num_active == 0);
    if (!idle) {
        return; /* armed again when it is */
    }
    uint32_t ping_ms = hconn->h2 == NULL ? 0 : tr_transport_limits(hconn->origin->transport)->ping_interval_ms;
    bool pinged = ping_ms != 0 && hconn->ping_ns > hconn->idle_ns;
    if (now >= hconn->idle_ns + idle_limit(hconn) || (pinged && hconn->received_ns < hconn->ping_ns)) {
        tr_hconn__close(hconn); /* long enough, or the last PING was not answered */
    } else {
        if (ping_ms != 0 && now >= TR_MAX(hconn->idle_ns, hconn->ping_ns) + ping_ms * NS_PER_MS && tr_h2_ping(hconn->h2, NULL) == TR_OK) {
            hconn->ping_ns = now;
            tr_hconn__dirty(hconn);
        }
        (void)tr_timer_set(engine->loop, &hconn->idle_timer, next_look(hconn, now));
    }
    tr_engine__settle(engine);
}

/* Behind an exchange: the limits of kept connections. */
static void
keep_or_close(tr_hconn_t *hconn)
{
    const tr_origin_t *origin = hconn->origin;
    const tr_limits_t *limits = tr_transport_limits(origin->transport);
    size_t num = 0;
    go_idle(hconn);
    if (TR_LIKELY(limits->max_idle == 0 && limits->max_idle_per_host == 0) || origin->num_waiters > 0 || origin->is_proxy) {
        return;
    }
    for (tr_link_t *link = tr_list_first(&origin->idle); link != NULL; link = tr_list_next(&origin->idle, link)) {
        num++;
    }
    if ((limits->max_idle != 0 && origin->pool->num_idle > limits->max_idle) ||
        (limits->max_idle_per_host != 0 && num > limits->max_idle_per_host)) {
        tr_hconn__close(hconn);
    }
}

/* A tunnel that is made anew for each request. */
static bool
is_single_use(const tr_hconn_t *hconn)
{
    return hconn->origin->proxy != NULL && (hconn->origin->flags & TR_OP_NEW_TUNNEL) != 0;
}

/* The HTTP/1.1 exchange is over: keep the connection, or not. */
static void
after_h1(tr_hconn_t *hconn)
{
    /* A server that refused a WebSocket is not asked again on the same connection. */
    if (!is_single_use(hconn) && !hconn->origin->apart && tr_h1_can_reuse(hconn->h1) && tr_conn_input(hconn->conn)->len == 0 &&
        tr_conn_pending(hconn->conn) == 0 && !tr_transport_limits(hconn->origin->transport)->no_keep_alive) {
        tr_origin_t *origin = hconn->origin;
        set_state(hconn, TR_HCONN_IDLE);
        keep_or_close(hconn);
        tr_origin__dirty(origin);
    } else {
        tr_hconn__close(hconn);
    }
}

static void
feed_h1(tr_hconn_t *hconn)
{
    tr_err_t err = TR_ERR_INIT;
    if (!is_busy(hconn)) {
        tr_hconn__close(hconn); /* bytes that nobody asked for */
        return;
    }
    tr_code_t code = tr_h1_feed(hconn->h1, tr_conn_input(hconn->conn), &err);
    if (hconn->state == TR_HCONN_DEAD) {
        return;
    }
    if (tr_failed(code)) {
        tr_hconn__close(hconn); /* the exchange was told */
    } else if (tr_h1_is_idle(hconn->h1)) {
        after_h1(hconn);
    }
}

static void
feed_h2(tr_hconn_t *hconn)
{
    tr_err_t err = TR_ERR_INIT;
    uint32_t before = hconn->num_active;
    tr_code_t code = tr_h2_feed(hconn->h2, tr_conn_input(hconn->conn), &err);
    if (hconn->state == TR_HCONN_DEAD) {
        return;
    }
    if (tr_failed(code)) {
        tr_hconn__close(hconn);
        return;
    }
    if (tr_h2_is_draining(hconn->h2) || (before > 0 && hconn->num_active == 0 && is_single_use(hconn))) {
        tr_hconn__retire(hconn);
        if (hconn->state == TR_HCONN_DEAD) {
            return;
        }
    }
    if (hconn->num_active == 0 && before > 0 && hconn->state == TR_HCONN_SHARED) {
        keep_or_close(hconn);
        if (hconn->state == TR_HCONN_DEAD) {
            return;
        }
    }
    tell_waiters(hconn);
    if (tr_h2_wants_write(hconn->h2) || hconn->state == TR_HCONN_LEAVING) {
        tr_hconn__dirty(hconn);
    }
}

static void
on_readable(void *arg)
{
    tr_hconn_t *hconn = arg;
    tr_engine_t *engine = engine_of(hconn);
    hconn->received_ns = tr_loop_now(engine->loop);
    if (hconn->h2 != NULL) {
        feed_h2(hconn);
    } else if (hconn->h1 != NULL) {
        feed_h1(hconn);
    }
    tr_engine__settle(engine);
}

static void
on_writable(void *arg)
{
    tr_hconn_t *hconn = arg;
    tr_engine_t *engine = engine_of(hconn);
    if (hconn->op != NULL) {
        hconn->op->activity_ns = tr_loop_now(engine->loop);
    }
    if (hconn->h2 == NULL ? is_busy(hconn) && !tr_h1_wrote_all(hconn->h1) : tr_h2_wants_write(hconn->h2)) {
        tr_hconn__dirty(hconn);
        tr_engine__settle(engine);
    }
}

/* Whether the proxy said that it makes no tunnel of this kind (and not that it could not reach the host, or wants other credentials, or
 * less): then plain http can go in absolute form. RFC 9110 15.5 and 15.6. */
static bool
falls_back_to_forward(const tr_hconn_t *hconn, const tr_err_t *err)
{
    const tr_origin_t *o = hconn->origin;
    if (o->https || o->apart || hconn->forward || o->proxy == NULL || err->code != TR_ERR_PROXY_REFUSED || !tr_proxy_last_is_http(o->proxy) ||
        tr_proxy_forward(o->proxy) != TR_FORWARD_REFUSED) {
        return false;
    }
    int status = err->detail;
    return status == 501 || (status >= 400 && status < 500 && status != 408 && status != 429);
}

static void
on_closed(void *arg, tr_code_t code, const tr_err_t *err)
{
    tr_hconn_t *hconn = arg;
    tr_engine_t *engine = engine_of(hconn);
    if (hconn->early) {
        hconn->origin->no_early = true; /* a server that stumbles over it gets the next handshake without */
    }
    if (hconn->state == TR_HCONN_CONNECTING) {
        tr_err_t cause = *err;
        tr_origin_t *origin = hconn->origin;
        if (code == TR_EOF) {
            (void)tr_err_set(&cause, TR_ERR_CLOSED_EARLY, 0, "hconn.connect", NULL);
        }
        tr_session__count(&origin->pool->session->stats.conns_failed, hconn->uncounted ? 0 : 1);
        if (falls_back_to_forward(hconn, err)) {
            origin->forward = true;
            tr_origin__dirty(origin);
        } else {
            tr_origin__failed(origin, hconn, &cause);
        }
        tr_hconn__close(hconn);
    } else if (hconn->h1 != NULL && is_busy(hconn) && tr_h1_is_paused(hconn->h1)) {
        hconn->held_end = code;
        hconn->held_err = *err;
    } else {
        die(hconn, code, err);
    }
    tr_engine__settle(engine);
}

/* ------------------------------------------------------------------------------------------------------------ opening */

static tr_code_t
make_http(tr_hconn_t *hconn, bool h2, tr_slice_t peer_alps, tr_err_t *err)
{
    tr_origin_t *origin = hconn->origin;
    size_t max_bytes = tr_transport_limits(origin->transport)->max_header_bytes;
    max_bytes = max_bytes != 0 ? max_bytes : origin->pool->session->max_header_bytes;
    tr_code_t code;
    if (h2) {
        tr_h2_limits_t limits = {max_bytes, TR_HTTP_MAX_HEADER_FIELDS};
        code = tr_h2_new(&hconn->h2, origin->profile, peer_alps, &limits, err);
    } else {
        tr_h1_limits_t limits = {max_bytes, TR_HTTP_MAX_HEADER_FIELDS};
        code = tr_h1_new(&hconn->h1, &limits, err);
    }
    if (code == TR_OK && (!origin->needs_http1 || !h2)) {
        origin->proto = h2 ? TR_PROTO_H2 : TR_PROTO_H1;
    }
    return code;
}

/* What the session spoke is spoken again: that is what early data means. Safe requests that wait go out with the ClientHello. */
static void
on_early(void *arg)
{
    tr_hconn_t *hconn = arg;
    tr_engine_t *engine = engine_of(hconn);
    bool h2 = tr_slice_eq(tr_tls_early_alpn(tr_conn_tls(hconn->conn)), TR_SLICE_LIT("h2"));
    tr_err_t err = TR_ERR_INIT;
    if (make_http(hconn, h2, TR_SLICE_NULL, &err) != TR_OK) {
        return; /* no memory: tried again when the handshake is done */
    }
    set_early(hconn, true);
    set_state(hconn, h2 ? TR_HCONN_SHARED : TR_HCONN_IDLE);
    hconn->idle_ns = hconn->up_ns = tr_loop_now(engine->loop);
    tr_origin__dirty(hconn->origin);
    tr_hconn__dirty(hconn);
    tr_engine__settle(engine);
}

/* The handshake is done on a connection that has been in use since its ClientHello. The TLS engine saw to it that the protocol is the same. */
static void
up_after_early(tr_hconn_t *hconn, tr_err_t *err)
{
    set_early(hconn, false);
    if (hconn->early_held.len > 0) {
        tr_code_t code = tr_conn_write(hconn->conn, tr_buf_slice(&hconn->early_held), err);
        tr_buf_cleanup(&hconn->early_held);
        if (code != TR_OK) {
            die(hconn, code, err);
            return;
        }
    }
    if (hconn->num_active == 0) {
        go_idle(hconn);
    }
    tr_origin__dirty(hconn->origin);
    tr_hconn__dirty(hconn);
}

/* A connection to a proxy is up. With HTTP/1.1 it has no engine: it waits to be handed over. */
static void
proxy_connected(tr_hconn_t *hconn)
{
    tr_origin_t *proxy = hconn->origin;
    tr_engine_t *engine = engine_of(hconn);
    tr_tls_info_t info;
    tr_err_t err = TR_ERR_INIT;
    tr_tls_info(tr_conn_tls(hconn->conn), &info);
    bool h2 = tr_slice_eq(info.alpn, TR_SLICE_LIT("h2"));
    TR_TRACE(TR_TOPIC_POOL, "proxy %s: connection %p speaks %s", proxy->host, (void *)hconn, h2 ? "h2" : "http/1.1");
    if (!h2) {
        proxy->proto = TR_PROTO_H1;
        set_state(hconn, TR_HCONN_IDLE);
    } else if (make_http(hconn, true, info.alps ? info.peer_alps : TR_SLICE_NULL, &err) != TR_OK) {
        tr_origin__failed(proxy, hconn, &err);
        tr_hconn__close(hconn);
        return;
    } else {
        set_state(hconn, TR_HCONN_SHARED);
        hconn->uncounted = false;
        tr_session__count(&proxy->pool->session->stats.conns_open, 1);
        tr_session__count(&proxy->pool->session->stats.conns_opened, 1);
        atomic_fetch_add_explicit(&engine->stats.conns_opened, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&engine->stats.conns_open, 1, memory_order_relaxed);
        go_idle(hconn);
        hconn->up_ns = hconn->idle_ns;
        tr_hconn__dirty(hconn);
    }
    tr_tunnels__connected(hconn);
}

static void
on_connected(void *arg)
{
    tr_hconn_t *hconn = arg;
    tr_engine_t *engine = engine_of(hconn);
    const tr_conn_info_t *info = tr_conn_info(hconn->conn);
    tr_err_t err = TR_ERR_INIT;
    if (TR_UNLIKELY(hconn->origin->is_proxy)) {
        proxy_connected(hconn);
        tr_engine__settle(engine);
        return;
    }
    if (info->has_tls) {
        tr_session_t *session = hconn->origin->pool->session;
        tr_origin_t *origin = hconn->origin;
        hconn->chain = tr_chain__new(tr_conn_tls(hconn->conn), info->tls.num_certs);
        if (hconn->chain != NULL) {
            tr_chain__unref(origin->chain);
            origin->chain = tr_chain__ref(hconn->chain);
        } else if (info->tls.resumed) {
            hconn->chain = tr_chain__ref(origin->chain); /* the session is that server's */
        }
        tr_session__count(&session->stats.handshakes, 1);
        atomic_fetch_add_explicit(&engine->stats.handshakes, 1, memory_order_relaxed);
        if (info->tls.resumed) {
            tr_session__count(&session->stats.resumed, 1);
            atomic_fetch_add_explicit(&engine->stats.resumed, 1, memory_order_relaxed);
        }
    }
    if (hconn->early) {
        up_after_early(hconn, &err);
    } else if (make_http(hconn, info->has_tls && tr_slice_eq(info->tls.alpn, TR_SLICE_LIT("h2")),
                         info->has_tls && info->tls.alps ? info->tls.peer_alps : TR_SLICE_NULL, &err) != TR_OK) {
        tr_origin_t *origin = hconn->origin;
        tr_origin__failed(origin, hconn, &err);
        tr_hconn__close(hconn);
    } else {
        TR_TRACE(TR_TOPIC_POOL, "%s: connection %p speaks %s", hconn->origin->host, (void *)hconn, hconn->h2 != NULL ? "h2" : "http/1.1");
        set_state(hconn, hconn->h2 != NULL ? TR_HCONN_SHARED : TR_HCONN_IDLE);
        go_idle(hconn);
        hconn->up_ns = hconn->idle_ns;
        tr_origin__dirty(hconn->origin);
        tr_hconn__dirty(hconn);
        if (is_single_use(hconn) && hconn->origin->num_waiters == 0) {
            tr_hconn__close(hconn); /* whom it was for has given up, and nobody else will come */
        }
    }
    tr_engine__settle(engine);
}

/* Another connection may go to the same place. */
static bool
on_resolved(void *arg, const tr_address_t *addresses, size_t num)
{
    tr_hconn_t *hconn = arg;
    tr_engine_t *engine = engine_of(hconn);
    if (!tr_origin__borrow(hconn->origin, addresses, num)) {
        return false;
    }
    tr_hconn__not_needed(hconn);
    tr_engine__settle(engine);
    return true;
}

void
tr_hconn__not_needed(tr_hconn_t *hconn)
{
    tr_session__count(&hconn->origin->pool->session->stats.conns_opened, -1);
    atomic_fetch_sub_explicit(&engine_of(hconn)->stats.conns_opened, 1, memory_order_relaxed);
    tr_hconn__close(hconn);
}

static tr_code_t
on_tunnel(void *arg, size_t hop, const char *host, uint16_t port, const tr_connect_style_t *style, tr_err_t *err)
{
    return tr_tunnel__ask(arg, hop, host, port, style, err);
}

static const tr_conn_events_t conn_events = {on_connected, on_readable, on_writable, on_closed, on_early, on_resolved, on_tunnel};

static tr_code_t
fill_tls(tr_tls_config_t *tls, const tr_hconn_t *hconn, tr_trust_t *trust, tr_err_t *err)
{
    tr_origin_t *origin = hconn->origin;
    tr_session_t *session = origin->pool->session;
    if (session->tickets == NULL && (session->tickets = tr_tickets_new()) == NULL) {
        return tr_err_nomem(err, "hconn.open");
    }
    tr_identity_t *identity = origin->identity != NULL ? origin->identity : tr_transport_identity(origin->transport);
    *tls = (tr_tls_config_t){.profile = origin->profile, .trust = trust, .identity = identity};
    tls->flags = is_single_use(hconn) ? TR_TLS_NO_RESUME : 0u;
    tls->flags |= (hconn->http1_only ? TR_TLS_HTTP1_ONLY : 0u) | ((origin->flags & TR_OP_NO_VERIFY) != 0 ? TR_TLS_NO_VERIFY : 0u);
    tls->tickets = session->tickets;
    tls->flags |= origin->apart ? TR_TLS_WEBSOCKET : 0u;
    tls->ticket_key = origin->ticket_key != NULL ? origin->ticket_key : origin->key;
    tls->rnd = tr_rand_system;
    tls->num_pins = tr_transport_pins(origin->transport, origin->host, &tls->pins);
    const char *keylog = tr_transport_keylog(origin->transport);
    tls->keylog_arg = tr_keylog__open(keylog != NULL ? keylog : session->keylog_path);
    tls->keylog = tls->keylog_arg == NULL ? NULL : tr_keylog__line;
    return TR_OK;
}

/* The user-agent that the request has, or none. */
static tr_slice_t
user_agent_of(const tr_op_t *op)
{
    for (size_t i = 0; i < op->ask.num_headers; i++) {
        if (tr_slice_ieq(op->ask.headers[i].name, TR_SLICE_LIT("user-agent"))) {
            return op->ask.headers[i].value;
        }
    }
    bool browsers = (op->flags & TR_OP_EXACT_HEADERS) == 0 && op->profile->user_agent != NULL;
    return browsers ? tr_slice_cstr(op->profile->user_agent) : TR_SLICE_NULL;
}

static tr_hconn_t *
new_hconn(tr_origin_t *origin)
{
    tr_hconn_t *hconn = tr_calloc(1, sizeof(*hconn));
    if (hconn != NULL) {
        hconn->origin = origin;
        hconn->http1_only = origin->needs_http1 || origin->apart || (origin->flags & TR_OP_HTTP1_ONLY) != 0;
        hconn->opened_ns = tr_loop_now(origin->pool->engine->loop);
        hconn->early_held.secret = true;
        hconn->forward = origin->forward;
        hconn->uncounted = origin->is_proxy;
        tr_list_init(&hconn->borrowers);
        tr_list_init(&hconn->tunnels);
        hconn->free_defer = (tr_defer_t){{NULL, NULL}, free_hconn, hconn};
        tr_timer_init(&hconn->idle_timer, on_idle_timer, hconn);
    }
    return hconn;
}

/* What TLS with an https proxy on the way is to be like: as with any server. */
static tr_code_t
fill_proxy_tls(tr_tls_config_t *tls, const tr_hconn_t *hconn, tr_trust_t *trust, tr_err_t *err)
{
    tr_code_t code = fill_tls(tls, hconn, trust, err);
    tls->flags &= TR_TLS_NO_VERIFY | TR_TLS_NO_RESUME | TR_TLS_HTTP1_ONLY;
    tls->identity = NULL; /* the server's to see, not the proxy's; so are pins */
    tls->pins = NULL;
    tls->num_pins = 0;
    return code;
}

/* Takes hconn over. */
static tr_code_t
open_conn(tr_hconn_t **out, tr_hconn_t *hconn, const tr_conn_options_t *options, tr_err_t *err)
{
    tr_origin_t *origin = hconn->origin;
    tr_engine_t *engine = engine_of(hconn);
    tr_code_t code = tr_conn_open(&hconn->conn, engine->loop, engine->dns, options, &conn_events, hconn, err);
    if (code != TR_OK) {
        tr_tunnel__free(hconn->tunnel);
        tr_free(hconn);
        return code;
    }
    set_state(hconn, TR_HCONN_CONNECTING);
    if (!hconn->uncounted) {
        tr_session__count(&origin->pool->session->stats.conns_opened, 1);
        atomic_fetch_add_explicit(&engine->stats.conns_opened, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&engine->stats.conns_open, 1, memory_order_relaxed);
    }
    TR_TRACE(TR_TOPIC_POOL, "%s: connection %p opened", origin->host, (void *)hconn);
    *out = hconn;
    return TR_OK;
}

tr_code_t
tr_hconn__open(tr_hconn_t **out, tr_origin_t *origin, const tr_op_t *op, tr_trust_t *trust, tr_err_t *err)
{
    tr_tls_config_t tls;
    tr_code_t code = TR_OK;
    tr_hconn_t *hconn = new_hconn(origin);
    if (hconn == NULL) {
        return tr_err_nomem(err, "hconn.open");
    }
    hconn->connect_ms = tr_hconn__limit(op->timeouts.connect_ms);
    hconn->tls_ms = tr_hconn__limit(op->timeouts.tls_ms);
    tr_conn_options_t options = {.host = origin->host, .port = origin->port, .family = AF_UNSPEC};
    options.connect_timeout_ns = hconn->connect_ms * NS_PER_MS;
    options.tls_timeout_ns = hconn->tls_ms * NS_PER_MS;
    tr_transport_fill(origin->transport, origin->host, origin->port, &options);
    if (origin->https) {
        code = fill_tls(&tls, hconn, trust, err);
        tls.flags |= (op->flags & TR_OP_NO_EARLY) == 0 && !origin->no_early && !is_single_use(hconn) ? TR_TLS_EARLY_DATA : 0u;
        options.tls = &tls;
    }
    if (code != TR_OK) {
        tr_free(hconn);
        return code;
    }
    if (origin->proxy != NULL) {
        options.proxy = origin->proxy;
        options.forward = origin->forward;
        options.connect_style = (tr_connect_style_t){origin->profile->family, user_agent_of(op)};
    }
    return open_conn(out, hconn, &options, err);
}

tr_code_t
tr_hconn__open_proxy(tr_hconn_t **out, tr_origin_t *proxy, tr_trust_t *trust, tr_err_t *err)
{
    tr_tls_config_t tls;
    tr_hconn_t *hconn = new_hconn(proxy);
    if (hconn == NULL) {
        return tr_err_nomem(err, "hconn.open");
    }
    tr_conn_options_t options = {.host = proxy->host, .port = proxy->port, .family = AF_UNSPEC};
    tr_transport_fill(proxy->transport, proxy->host, proxy->port, &options);
    options.deny_private = false; /* a proxy is the user's own choice */
    options.tls_host = NULL;
    /* Those who wait have limits of their own; this is for one that nobody waits for any more. */
    options.connect_timeout_ns = TR_HCONN_CONNECT_MAX_MS * NS_PER_MS;
    options.proxy = proxy->proxy;
    options.forward = options.to_proxy = true;
    options.proxy_tls = &tls;
    options.connect_style = (tr_connect_style_t){proxy->profile->family, proxy->user_agent};
    tr_code_t code = fill_proxy_tls(&tls, hconn, trust, err);
    if (code != TR_OK) {
        tr_free(hconn);
        return code;
    }
    return open_conn(out, hconn, &options, err);
}

/* ---------------------------------------------------------------------------------------------------------- exchanges */

bool
tr_hconn__can_take(tr_hconn_t *hconn)
{
    uint32_t max = tr_transport_limits(hconn->origin->transport)->max_streams;
    if (hconn->h2 == NULL) {
        return tr_h1_can_reuse(hconn->h1);
    }
    return tr_h2_can_submit(hconn->h2) && (max == 0 || hconn->num_active < max);
}

bool
tr_hconn__is_full(const tr_hconn_t *hconn)
{
    uint32_t max = tr_transport_limits(hconn->origin->transport)->max_streams;
    return hconn->num_active >= tr_h2_max_streams(hconn->h2) || (max != 0 && hconn->num_active >= max);
}

/* The Cookie header of the hop: the jar's cookies that match, and the request's own. */
static tr_code_t
make_cookie(tr_op_t *op, tr_buf_t *out, tr_err_t *err)
{
    tr_cookiejar_t *jar = tr_initiator__uses_jar(op) ? op->session->jar : NULL;
    size_t num_own = op->num_cookies - (op->num_redirects > 0 ? op->num_absent : 0);
    if (num_own == 0 && (jar == NULL || tr_cookiejar_len(jar) == 0)) {
        return TR_OK;
    }
    tr_code_t code = tr_cookiejar_header(jar, out, &op->ask.url, (int64_t)time(NULL), op->cookies, num_own);
    return code == TR_OK ? TR_OK : tr_err_nomem(err, "hconn.cookie");
}

static tr_code_t
compose(const tr_hconn_t *hconn, tr_op_t *op, bool http2, tr_slice_t cookie, tr_field_t **out, size_t *out_num, tr_err_t *err)
{
    const tr_ask_t *ask = &op->ask;
    tr_compose_t in = {
        .profile = op->profile,
        .http2 = http2,
        .exact = (op->flags & TR_OP_EXACT_HEADERS) != 0 && op->kind != TR_KIND_WEBSOCKET, /* no handshake without its fields */
        .method = ask->method,
        .authority = ask->url.authority,
        .headers = ask->headers,
        .num_headers = ask->num_headers,
        .has_body = ask->has_body,
        .body_len = !ask->has_body ? 0 : op->flow != NULL && op->flow->written ? op->flow->up_len : (int64_t)ask->body.len,
        .body_type = ask->body_type,
        .cookie = cookie,
        .authorization = ask->authorization,
        .order = op->header_order,
        .num_order = op->num_header_order,
        .redirected = op->num_redirects > 0,
        .untrustworthy = !tr_url_is_trustworthy(&ask->url),
    };
    if (tr_initiator__compose(op, &in) != TR_OK) {
        return tr_err_nomem(err, "hconn.compose");
    }
    tr_slice_t asked = hconn->h2 == NULL ? TR_SLICE_NULL : tr_h2_accept_ch(hconn->h2, ask->url.scheme, ask->url.authority);
    if (TR_UNLIKELY(op->session->hints != NULL || asked.len > 0)) {
        tr_hints__compose(op, asked, &in);
    }
    return tr_compose_fields(&in, &op->arena, out, out_num, err);
}

void
tr_hconn__note_timing(tr_hconn_t *hconn, tr_op_t *op)
{
    tr_op_timing_t *t = &op->timing;
    const tr_conn_info_t *info = tr_conn_info(hconn->conn);
    t->dns_ns = t->connect_ns = t->tls_ns = -1;
    uint64_t up = info->has_tls ? info->tls_done_ns : info->tcp_done_ns;
    if (up >= op->start_ns) {
        /* It was opened for this op, or this op waited for it. */
        t->dns_ns = info->dns_done_ns > op->start_ns ? (int64_t)(info->dns_done_ns - op->start_ns) : 0;
        t->connect_ns = info->tcp_done_ns > op->start_ns ? (int64_t)(info->tcp_done_ns - op->start_ns) : 0;
        t->tls_ns = info->has_tls ? (int64_t)(info->tls_done_ns - op->start_ns) : -1;
    }
    t->tls_version = info->tls.version;
    t->tls_suite = info->tls.suite;
    t->tls_group = info->tls.group;
    t->tls_resumed = info->tls.resumed;
    t->tls_early = op->is_early && info->tls.early_data_accepted;
    t->tls_version_name = info->tls.version_name;
    t->tls_suite_name = info->tls.suite_name;
    t->num_replays = op->num_replays;
    if (op->chain != hconn->chain) {
        tr_chain__unref(op->chain);
        op->chain = tr_chain__ref(hconn->chain);
    }
    memcpy(t->peer, info->peer_text, sizeof(t->peer));
    memcpy(t->local, info->local_text, sizeof(t->local));
}

/* What is shown as the request's headers: the fields as sent. */
static tr_code_t
note_sent(tr_op_t *op, const tr_field_t *fields, size_t num)
{
    tr_headers_t *sent = &op->hop->response.sent;
    size_t bytes = 0;
    for (size_t i = 0; i < num; i++) {
        bytes += fields[i].name.len + fields[i].value.len;
    }
    if (tr_headers_reserve(sent, num, bytes) != TR_OK) {
        return TR_ERR_NOMEM;
    }
    for (size_t i = 0; i < num; i++) {
        if (tr_headers_add(sent, fields[i].name, fields[i].value) != TR_OK) {
            return TR_ERR_NOMEM;
        }
    }
    return TR_OK;
}

/* For a proxy without a tunnel: the target in absolute form (RFC 9112 3.2.2). */
static tr_slice_t
absolute_target(tr_op_t *op)
{
    const tr_url_t *url = &op->ask.url;
    tr_slice_t parts[] = {TR_SLICE_LIT("http://"), url->authority, url->target};
    uint8_t *text = tr_arena_alloc(&op->arena, parts[0].len + parts[1].len + parts[2].len);
    size_t len = 0;
    for (size_t i = 0; text != NULL && i < TR_ARRAY_LEN(parts); i++) {
        memcpy(text + len, parts[i].data, parts[i].len);
        len += parts[i].len;
    }
    return tr_slice(text, len);
}

/* The proxy's hop-by-hop field under its name. */
static void
rename_connection(const tr_op_t *op, tr_field_t *fields, size_t num)
{
    for (size_t i = 0; i < num && tr_connect_style_renames(op->profile->family); i++) {
        if (tr_slice_ieq(fields[i].name, TR_SLICE_LIT("connection")) && tr_slice_ieq(fields[i].value, TR_SLICE_LIT("keep-alive"))) {
            fields[i].name = TR_SLICE_LIT("Proxy-Connection");
        }
    }
}

static tr_code_t start_exchange(tr_hconn_t *hconn, tr_op_t *op, tr_slice_t target, const tr_field_t *fields, size_t num,
                                tr_err_t *err);

static bool
has_name(const tr_field_t *field, const char *name)
{
    return tr_slice_ieq(field->name, tr_slice_cstr(name));
}

/* Firefox has them before Connection, also where that field itself is not sent: over HTTP/2 behind what precedes it over HTTP/1.1. */
static size_t
place_before_connection(const tr_hconn_t *hconn, tr_op_t *op, const tr_field_t *fields, size_t num)
{
    tr_field_t *others = NULL;
    size_t num_others = 0, connection = 0;
    tr_err_t err;
    if (hconn->h2 == NULL) {
        while (connection < num && !has_name(&fields[connection], "connection")) {
            connection++;
        }
        return connection;
    }
    if (compose(hconn, op, false, TR_SLICE_NULL, &others, &num_others, &err) != TR_OK) {
        return num;
    }
    while (connection < num_others && !has_name(&others[connection], "connection")) {
        connection++;
    }
    for (; connection > 0; connection--) {
        for (size_t i = 0; i < num; i++) {
            if (tr_slice_ieq(fields[i].name, others[connection - 1].name)) {
                return i + 1;
            }
        }
    }
    return 0;
}

/* Before which field browsers put the credentials for a proxy that they give to it with every request: Chromium behind what its network
 * transaction writes itself, Firefox before Connection. Others: last. Seen in tests/fingerprint/test_browser_proxies.py. */
static size_t
place_of_credentials(const tr_hconn_t *hconn, tr_op_t *op, const tr_field_t *fields, size_t num)
{
    static const char *const chromium[] = {"host", "proxy-connection", "content-length", "transfer-encoding", "pragma", "cache-control"};
    const char *family = op->profile->family;
    size_t at = 0;
    if (family != NULL && strcmp(family, "firefox") == 0) {
        return place_before_connection(hconn, op, fields, num);
    }
    if (!tr_connect_style_renames(family)) {
        return num;
    }
    for (bool known = true; known && at < num; at += known ? 1 : 0) {
        known = false;
        for (size_t i = 0; i < TR_ARRAY_LEN(chromium); i++) {
            known = known || has_name(&fields[at], chromium[i]);
        }
    }
    return at;
}

/* start_exchange with a proxy that is given requests in absolute form, with its credentials. These are in no record of what was sent. */
static tr_code_t
start_forwarded(tr_hconn_t *hconn, tr_op_t *op, const tr_field_t *fields, size_t num, tr_err_t *err)
{
    const tr_proxy_hop_t *hop = tr_proxy_hop(op->ask.proxy, tr_proxy_num_hops(op->ask.proxy) - 1);
    tr_slice_t target = hconn->h2 != NULL ? op->ask.url.target : absolute_target(op);
    tr_field_t *all = tr_arena_alloc(&op->arena, (num + 1) * sizeof(*all));
    char *basic = NULL;
    size_t basic_len = 0;
    bool given = false;
    if (target.data == NULL || all == NULL) {
        return tr_err_nomem(err, "hconn.forward");
    }
    for (size_t i = 0; i < num; i++) {
        all[i] = fields[i];
        given = given || tr_slice_ieq(fields[i].name, TR_SLICE_LIT("proxy-authorization"));
    }
    if (hop->has_auth && !given) {
        if (tr_proxy_basic(&basic, &basic_len, hop) != TR_OK) {
            return tr_err_nomem(err, "hconn.forward");
        }
        size_t at = place_of_credentials(hconn, op, fields, num);
        memmove(all + at + 1, all + at, (num - at) * sizeof(*all));
        all[at] = (tr_field_t){TR_SLICE_LIT("Proxy-Authorization"), tr_slice(basic, basic_len)};
        num++;
    }
    tr_code_t code = start_exchange(hconn, op, target, all, num, err);
    if (basic != NULL) {
        tr_wipe(basic, basic_len);
        tr_free(basic);
    }
    return code;
}

static tr_code_t
start_exchange(tr_hconn_t *hconn, tr_op_t *op, tr_slice_t target, const tr_field_t *fields, size_t num, tr_err_t *err)
{
    const tr_ask_t *ask = &op->ask;
    tr_request_head_t head = {
        .method = ask->method,
        .scheme = ask->url.scheme,
        .authority = ask->url.authority,
        .target = target,
        .fields = fields,
        .num_fields = num,
        .body = tr_op__source(op),
    };
    const tr_profile_kind_t *kind = tr_profile_kind(op->profile, op->kind);
    if (kind != NULL) {
        head.weight = kind->weight;
    }
    if ((op->flags & TR_OP_DUPLEX) != 0) {
        head.duplex = true;
        if (hconn->h2 != NULL) {
            head.method = TR_SLICE_LIT("CONNECT");
            head.protocol = TR_SLICE_LIT("websocket");
        }
    }
    if (hconn->h2 != NULL) {
        /* A host of the caller's is the authority there (RFC 9113 8.3.1); over HTTP/1.1 it is among the fields. */
        for (size_t i = 0; i < ask->num_headers; i++) {
            if (ask->headers[i].value.len > 0 && tr_slice_ieq(ask->headers[i].name, TR_SLICE_LIT("host"))) {
                head.authority = ask->headers[i].value;
            }
        }
        return tr_h2_submit(hconn->h2, &op->stream, &head, &tr_op__events, op, err);
    }
    return tr_h1_submit(hconn->h1, &head, &tr_op__events, op, err);
}

/* Behind what was just submitted. */
static void
ping_after_silence(tr_hconn_t *hconn)
{
    uint64_t now = tr_loop_now(engine_of(hconn)->loop);
    if (hconn->num_requests > 0 && now - TR_MAX(hconn->received_ns, hconn->opened_ns) > PING_AFTER_NS) {
        (void)tr_h2_ping(hconn->h2, NULL);
    }
}

tr_code_t
tr_hconn__submit(tr_hconn_t *hconn, tr_op_t *op, tr_err_t *err)
{
    tr_engine_t *engine = engine_of(hconn);
    uint8_t small[512];
    tr_buf_t cookie;
    tr_field_t *fields;
    size_t num;
    tr_buf_init_small(&cookie, small, sizeof(small));
    tr_code_t code = make_cookie(op, &cookie, err);
    if (code != TR_OK || (code = compose(hconn, op, hconn->h2 != NULL, tr_buf_slice(&cookie), &fields, &num, err)) != TR_OK) {
        goto done;
    }
    if (TR_UNLIKELY(hconn->forward) && hconn->h2 == NULL) {
        rename_connection(op, fields, num);
    }
    if (tr_op__new_hop(op) != TR_OK || note_sent(op, fields, num) != TR_OK) {
        code = tr_err_nomem(err, "hconn.submit");
        goto done;
    }
    code = hconn->forward ? start_forwarded(hconn, op, fields, num, err) : start_exchange(hconn, op, op->ask.url.target, fields, num, err);
    if (code != TR_OK) {
        goto done;
    }
    op->hop->response.resumed_connection = hconn->num_requests > 0;
    op->state = TR_OP_ACTIVE;
    op->hconn = hconn;
    op->activity_ns = tr_loop_now(engine->loop);
    op->got_bytes = false;
    op->was_sending = false;
    op->is_early = hconn->early;
    op->timing.first_byte_ns = -1;
    tr_hconn__note_timing(hconn, op);
    if (hconn->h2 != NULL) {
        ping_after_silence(hconn);
        atomic_fetch_add_explicit(&engine->stats.requests_h2, 1, memory_order_relaxed);
        tr_session__count(&op->session->stats.requests_h2, 1);
        if (tr_transport_limits(op->transport)->no_keep_alive) {
            tr_hconn__retire(hconn);
        }
    } else {
        hconn->op = op;
        set_state(hconn, TR_HCONN_BUSY);
        atomic_fetch_add_explicit(&engine->stats.requests_h1, 1, memory_order_relaxed);
        tr_session__count(&op->session->stats.requests_h1, 1);
    }
    hconn->num_requests++;
    hconn->num_active++;
    op->origin->num_away += op->origin != hconn->origin ? 1 : 0;
    set_resting(hconn, false);
    tr_session__count(&op->session->stats.ops_active, 1);
    tr_op__arm(op);
    tr_hconn__dirty(hconn);
done:
    tr_buf_cleanup(&cookie);
    return code;
}

void
tr_hconn__switched(tr_hconn_t *hconn)
{
    if (hconn->h1 != NULL) {
        set_state(hconn, TR_HCONN_SWITCHED);
        tr_origin__dirty(hconn->origin);
    }
    tr_hconn__dirty(hconn);
}

void
tr_hconn__op_ended(tr_hconn_t *hconn, tr_op_t *op, bool complete)
{
    hconn->num_active--;
    if (TR_UNLIKELY(op->origin != hconn->origin)) {
        op->origin->num_away--;
        tr_origin__dirty(op->origin); /* it may be unused now */
    }
    tr_session__count(&op->session->stats.ops_active, -1);
    hconn->carried = hconn->carried || complete;
    if (hconn->op == op) {
        hconn->op = NULL;
    }
    op->hconn = NULL;
    op->stream = NULL;
}

/* An exchange over HTTP/2 is over before its time. */
static void
after_h2(tr_hconn_t *hconn)
{
    tr_origin__dirty(hconn->origin);
    tell_waiters(hconn);
    tr_hconn__dirty(hconn); /* the RST_STREAM */
    if (is_single_use(hconn)) {
        tr_hconn__retire(hconn);
    }
    if (hconn->num_active == 0 && hconn->state == TR_HCONN_SHARED) {
        go_idle(hconn);
    }
}

void
tr_hconn__cancel(tr_hconn_t *hconn, tr_op_t *op)
{
    tr_h2_stream_t *stream = op->stream;
    tr_hconn__op_ended(hconn, op, false);
    if (hconn->h2 == NULL) {
        tr_h1_cancel(hconn->h1);
        tr_hconn__close(hconn);
        return;
    }
    tr_h2_cancel(hconn->h2, stream);
    after_h2(hconn);
}

void
tr_hconn__tunnel_began(tr_hconn_t *hconn)
{
    ping_after_silence(hconn);
    hconn->num_requests++;
    hconn->num_active++;
    set_resting(hconn, false);
    if (is_single_use(hconn) || tr_transport_limits(hconn->origin->transport)->no_keep_alive) {
        tr_hconn__retire(hconn);
    }
    tr_hconn__dirty(hconn);
}

void
tr_hconn__tunnel_ended(tr_hconn_t *hconn)
{
    hconn->num_active--;
    after_h2(hconn);
}

void
tr_hconn__retire(tr_hconn_t *hconn)
{
    if (hconn->state != TR_HCONN_SHARED) {
        return;
    }
    set_state(hconn, TR_HCONN_LEAVING);
    tr_origin__dirty(hconn->origin);
    tr_hconn__dirty(hconn); /* closes it once nothing is under way */
}

void
tr_hconn__resume(tr_hconn_t *hconn, tr_op_t *op)
{
    if (hconn->h2 != NULL) {
        tr_h2_resume(hconn->h2, op->stream);
        tr_hconn__dirty(hconn);
        return;
    }
    tr_h1_resume(hconn->h1);
    feed_h1(hconn);
    if (hconn->state == TR_HCONN_DEAD) {
        return;
    }
    if (hconn->held_end != TR_OK) {
        if (!is_busy(hconn) || !tr_h1_is_paused(hconn->h1)) {
            die(hconn, hconn->held_end, &hconn->held_err);
        }
    } else {
        tr_conn_read_more(hconn->conn);
    }
}

void
tr_hconn__resume_body(tr_hconn_t *hconn, tr_op_t *op)
{
    if (hconn->h2 != NULL) {
        tr_h2_resume_body(hconn->h2, op->stream);
    } else {
        tr_h1_resume_body(hconn->h1);
    }
    tr_hconn__dirty(hconn);
}

bool
tr_hconn__sent(const tr_hconn_t *hconn, const tr_op_t *op)
{
    return hconn->h2 != NULL ? tr_h2_stream_sent(op->stream) : tr_h1_wrote_any(hconn->h1);
}

bool
tr_hconn__is_out(const tr_hconn_t *hconn, const tr_op_t *op)
{
    uint64_t mark = hconn->h2 != NULL ? tr_h2_stream_mark(op->stream) : hconn->out_mark;
    return tr_hconn__sent(hconn, op) && tr_conn_written(hconn->conn) >= mark;
}
