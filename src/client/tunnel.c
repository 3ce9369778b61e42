#include "client/tunnel.h"

#include <stdio.h>

#include "client/hconn.h"
#include "core/mem.h"

/* A CONNECT that went out on a connection that was dead already, or that the proxy says it did not look at, goes out again: on a new one. */
#define MAX_TRIES 3

static const char where[] = "client.tunnel";

typedef enum tunnel_state {
    TUNNEL_WAITING, /* with the proxy's origin, by link */
    TUNNEL_ASKED,   /* CONNECT went out; carried by `carrier`, by link */
    TUNNEL_STANDS,  /* likewise; the stream filter is the owner's, or will be */
    TUNNEL_GIVEN,   /* a connection to the proxy is the owner's, or will be */
    TUNNEL_LENT,    /* the owner is not needed any more */
    TUNNEL_FAILED,
    TUNNEL_CLOSED,  /* by the owner, or told */
} tunnel_state_t;

struct tr_tunnel {
    tr_link_t link;
    tr_hconn_t *owner;
    tr_origin_t *proxy;   /* with which it waits; NULL: it is gone */
    tr_hconn_t *carrier;  /* HTTP/2, while ASKED or STANDS; NULL: it is gone */
    tr_h2_stream_t *stream; /* likewise */
    tunnel_state_t state;
    unsigned num_tries;
    tr_connect_t request; /* no target: the connection itself is wanted */
    tr_filter_t *top, *bottom; /* owned until told */
    tr_filter_t *filter;  /* the owner's: the stream */
    tr_conn_info_t info;  /* of the connection that failed */
    tr_err_t err;
    tr_defer_t tell;
};

static tr_engine_t *
engine_of(const tr_tunnel_t *t)
{
    return t->owner->origin->pool->engine;
}

static bool
is_single_use(const tr_origin_t *proxy)
{
    return (proxy->flags & TR_OP_NEW_TUNNEL) != 0;
}

/* ------------------------------------------------------------------------------------------------------- to the owner */

static void
tell_later(tr_tunnel_t *t)
{
    tr_loop_defer(engine_of(t)->loop, &t->tell);
}

static void
on_tell(void *arg)
{
    tr_tunnel_t *t = arg;
    tr_engine_t *engine = engine_of(t);
    tr_hconn_t *owner = t->owner;
    tr_filter_t *top = t->top, *bottom = t->bottom;
    switch (t->state) {
    case TUNNEL_STANDS:
    case TUNNEL_GIVEN:
        t->top = t->bottom = NULL;
        tr_conn_take(owner->conn, top, bottom, t->state == TUNNEL_STANDS);
        break;
    case TUNNEL_LENT:
        tr_hconn__not_needed(owner);
        break;
    case TUNNEL_FAILED:
        t->state = TUNNEL_CLOSED;
        tr_conn_not_taken(owner->conn, &t->info, &t->err);
        break;
    default:
        break;
    }
    tr_engine__settle(engine);
}

static void
fail(tr_tunnel_t *t, const tr_err_t *err)
{
    t->state = TUNNEL_FAILED;
    t->err = *err;
    tell_later(t);
}

/* ------------------------------------------------------------------------------------------------- an HTTP/2 stream */

/* The carrier is rid of it. */
static void
leave_carrier(tr_tunnel_t *t)
{
    tr_hconn_t *carrier = t->carrier;
    tr_list_remove(&t->link);
    t->carrier = NULL;
    t->stream = NULL;
    if (carrier != NULL) {
        tr_hconn__tunnel_ended(carrier);
    }
}

static void
wait_again(tr_tunnel_t *t, tr_origin_t *proxy)
{
    tr_filter_free(t->bottom);
    t->top = t->bottom = t->filter = NULL;
    t->state = TUNNEL_WAITING;
    t->proxy = proxy;
    tr_list_push_front(&proxy->asking, &t->link);
    proxy->num_asking++;
    tr_origin__dirty(proxy);
}

static void
on_head(void *arg, int status, tr_headers_t *headers)
{
    tr_tunnel_t *t = arg;
    tr_err_t err = TR_ERR_INIT;
    TR_UNUSED(headers);
    if (tr_connect_judge(&t->request, status, &err) == TR_OK) {
        t->state = TUNNEL_STANDS;
        t->carrier->carried = true;
        tell_later(t);
        return;
    }
    tr_h2_cancel(t->carrier->h2, t->stream); /* of a refusal's body nothing is wanted */
    leave_carrier(t);
    fail(t, &err);
}

static tr_code_t
on_data(void *arg, tr_slice_t data, tr_chunk_t **chunk, tr_err_t *err)
{
    tr_tunnel_t *t = arg;
    tr_code_t code = tr_stream_put(t->filter, data, chunk);
    return code == TR_ERR_NOMEM ? tr_err_nomem(err, where) : code;
}

static void
on_end(void *arg, const tr_headers_t *trailers)
{
    tr_tunnel_t *t = arg;
    tr_err_t err = TR_ERR_INIT;
    TR_UNUSED(trailers);
    leave_carrier(t);
    (void)tr_err_set(&err, TR_EOF, 0, where, "the peer closed the connection");
    tr_stream_end(t->filter, TR_EOF, &err);
}

/* Behind the answer to CONNECT it is what a reset of the connection is without a proxy. */
static void
end_as_reset(const tr_tunnel_t *t, const tr_err_t *cause)
{
    const tr_proxy_hop_t *hop = t->request.hop;
    tr_err_t err = TR_ERR_INIT;
    (void)tr_err_set(&err, TR_ERR_CONNECT_RESET, cause->detail, where, "proxy %.60s:%u: the tunnel broke: %.80s", hop->host,
                     (unsigned)hop->port, cause->msg);
    tr_stream_end(t->filter, err.code, &err);
}

static void
on_fail(void *arg, const tr_err_t *cause, bool not_processed)
{
    tr_tunnel_t *t = arg;
    tr_hconn_t *carrier = t->carrier;
    tr_origin_t *proxy = carrier->origin;
    tr_err_t err = *cause;
    bool kept = carrier->carried; /* it may have been dead for long */
    bool too_many = tr_h2_stream_was_too_many(t->stream);
    leave_carrier(t);
    if (t->state == TUNNEL_STANDS) {
        end_as_reset(t, &err);
        return;
    }
    if (err.code == TR_ERR_H2_HTTP11_REQUIRED) {
        proxy->needs_http1 = true;
        proxy->proto = TR_PROTO_H1;
    }
    bool again = not_processed || err.code == TR_ERR_H2_HTTP11_REQUIRED ||
                 (kept && (err.code == TR_ERR_CLOSED_EARLY || err.code == TR_ERR_CONNECT_RESET));
    if (again && ++t->num_tries < MAX_TRIES) {
        if (!too_many) {
            tr_hconn__retire(carrier);
        }
        wait_again(t, proxy);
        return;
    }
    t->info = *tr_conn_info(carrier->conn);
    tr_proxy_blame(&err, t->request.hop);
    fail(t, &err);
}

static const tr_exchange_events_t exchange = {NULL, on_head, on_data, on_end, on_fail};

static tr_code_t
read_output(void *arg, uint8_t *out, size_t max, size_t *out_len, tr_err_t *err)
{
    tr_tunnel_t *t = arg;
    TR_UNUSED(err);
    *out_len = tr_stream_take(t->filter, out, max);
    return *out_len > 0 ? TR_OK : TR_PAUSED;
}

static void
on_wake(void *arg)
{
    tr_tunnel_t *t = arg;
    if (t->carrier != NULL) {
        tr_h2_resume_body(t->carrier->h2, t->stream);
        tr_hconn__dirty(t->carrier);
        tr_engine__settle_later(engine_of(t));
    }
}

static void
on_drained(void *arg)
{
    tr_tunnel_t *t = arg;
    if (t->carrier != NULL) {
        tr_h2_resume(t->carrier->h2, t->stream);
        tr_hconn__dirty(t->carrier);
        tr_engine__settle_later(engine_of(t));
    }
}

static void
on_shut(void *arg)
{
    tr_tunnel_t *t = arg;
    if (t->carrier != NULL) {
        tr_engine__settle_later(engine_of(t)); /* for the RST_STREAM */
        tr_h2_cancel(t->carrier->h2, t->stream);
        leave_carrier(t);
    }
    t->state = TUNNEL_CLOSED;
}

static const tr_stream_events_t stream_events = {on_wake, on_drained, on_shut};

/* TR_AGAIN: no room. */
static tr_code_t
submit(tr_tunnel_t *t, tr_hconn_t *carrier, tr_err_t *err)
{
    const tr_conn_info_t *info = tr_conn_info(carrier->conn);
    tr_request_head_t head;
    tr_code_t code = tr_stream_filter_new(&t->filter, engine_of(t)->loop, &stream_events, t, info->peer_text, info->local_text, err);
    if (code != TR_OK) {
        return code;
    }
    t->top = t->bottom = t->filter;
    t->state = TUNNEL_ASKED;
    tr_connect_head(&t->request, &head);
    head.body = (tr_body_source_t){.present = true, .len = -1, .read = read_output, .arg = t};
    head.duplex = true;
    head.weight = tr_connect_style_weight(carrier->origin->profile->family);
    code = tr_h2_submit(carrier->h2, &t->stream, &head, &exchange, t, err);
    if (code != TR_OK) {
        tr_filter_free(t->filter);
        t->top = t->bottom = t->filter = NULL;
        t->state = TUNNEL_WAITING;
        return code;
    }
    t->carrier = carrier;
    tr_list_push(&carrier->tunnels, &t->link);
    tr_hconn__tunnel_began(carrier);
    return TR_OK;
}

/* ------------------------------------------------------------------------------------------------------------ waiting */

/* Whose requests share a connection to a proxy: with Chromium those of a page's site, with Firefox those with credentials and those without (seen by
 * tests/fingerprint/test_browser_proxies.py); with what is no browser all. */
static void
write_partition(char *out, size_t cap, const tr_origin_t *origin)
{
    const tr_profile_t *profile = origin->profile;
    tr_slice_t scheme, site;
    out[0] = 0;
    if (origin->is_proxy) {
        (void)snprintf(out, cap, "%s", origin->key + origin->key_page); /* one before it: for the same */
    } else if (profile->family != NULL && strcmp(profile->family, "firefox") == 0) {
        (void)snprintf(out, cap, " %s", origin->anonymous ? "anonymous" : "");
    } else if (profile->kinds != NULL) {
        tr_origin__partition(origin, &scheme, &site);
        (void)snprintf(out, cap, " %.*s://%.*s", (int)scheme.len, (const char *)scheme.data, (int)TR_MIN(site.len, cap), (const char *)site.data);
    }
}

/* The key names all that the proxy's handshake and answers depend on: tickets are filed by it, too. */
static tr_code_t
find_proxy(tr_origin_t **out, const tr_origin_t *origin, size_t hop, tr_err_t *err)
{
    char partition[300], key[sizeof(partition) + TR_PROXY_DIGEST_LEN + TR_TRANSPORT_ID_LEN + 100];
    tr_proxy_t *way;
    tr_code_t code = tr_proxy_prefix(&way, origin->proxy, hop + 1, err);
    if (code != TR_OK) {
        return code;
    }
    write_partition(partition, sizeof(partition), origin);
    int rest = snprintf(key, sizeof(key), "proxy %s %llx %x %p %.*s", tr_proxy_way_digest(way), (unsigned long long)origin->profile->key,
                        (unsigned)origin->flags, (const void *)origin->trust, origin->transport == NULL ? 0 : TR_TRANSPORT_ID_LEN,
                        origin->transport == NULL ? "" : tr_transport_id(origin->transport));
    int len = rest + snprintf(key + rest, sizeof(key) - (size_t)rest, "%s", partition);
    code = tr_pool__find_proxy(out, origin, tr_slice(key, (size_t)len), way);
    tr_proxy_unref(way);
    if (code != TR_OK) {
        return tr_err_nomem(err, where);
    }
    (*out)->key_page = (size_t)rest;
    return TR_OK;
}

tr_code_t
tr_tunnel__ask(tr_hconn_t *hconn, size_t hop, const char *host, uint16_t port, const tr_connect_style_t *style, tr_err_t *err)
{
    tr_origin_t *origin = hconn->origin;
    tr_tunnel__free(hconn->tunnel); /* of the address before */
    hconn->tunnel = NULL;
    tr_tunnel_t *t = tr_calloc(1, sizeof(*t));
    if (t == NULL) {
        return tr_err_nomem(err, where);
    }
    t->owner = hconn;
    t->err = TR_ERR_INIT;
    t->tell = (tr_defer_t){{NULL, NULL}, on_tell, t};
    tr_code_t code = TR_OK;
    if (host != NULL && tr_connect_init(&t->request, origin->proxy, hop, host, port, style) != TR_OK) {
        code = tr_err_nomem(err, where);
    }
    if (code == TR_OK) {
        code = find_proxy(&t->proxy, origin, hop, err);
    }
    if (code != TR_OK) {
        tr_connect_cleanup(&t->request);
        tr_free(t);
        return code;
    }
    /* The CONNECT to proxies before that one has the fields of this one. */
    tr_slice_t *agent = &t->proxy->user_agent;
    if (agent->len == 0 && style->user_agent.len > 0) {
        void *copy = tr_memdup(style->user_agent.data, style->user_agent.len);
        *agent = tr_slice(copy, copy == NULL ? 0 : style->user_agent.len);
    }
    tr_list_push(&t->proxy->asking, &t->link);
    t->proxy->num_asking++;
    tr_origin__dirty(t->proxy);
    hconn->tunnel = t;
    return TR_OK;
}

static void
stop_waiting(tr_tunnel_t *t)
{
    tr_list_remove(&t->link);
    t->proxy->num_asking--;
    t->proxy = NULL;
}

void
tr_tunnel__free(tr_tunnel_t *t)
{
    if (t == NULL) {
        return;
    }
    tr_origin_t *proxy = t->proxy;
    tr_list_remove(&t->tell.link);
    if (proxy != NULL) {
        stop_waiting(t);
        tr_origin__abandoned(proxy);
    }
    if (t->bottom != NULL) {
        t->bottom->type->bottom->shut(t->bottom); /* takes the stream off its carrier */
        tr_filter_free(t->top);
    }
    assert(t->carrier == NULL);
    tr_connect_cleanup(&t->request);
    tr_free(t);
}

/* Somebody waits for a stream of the connection. */
static bool
is_waited_for(const tr_hconn_t *carrier)
{
    bool waits = carrier->origin->num_asking > 0;
    for (tr_link_t *link = tr_list_first(&carrier->borrowers); !waits && link != NULL; link = tr_list_next(&carrier->borrowers, link)) {
        waits = TR_CONTAINER_OF(link, tr_origin_t, borrow_link)->num_waiters > 0;
    }
    return waits;
}

void
tr_tunnel__rests(const tr_tunnel_t *t)
{
    if (t != NULL && t->carrier != NULL && is_waited_for(t->carrier)) {
        tr_origin__dirty(t->carrier->origin);
    }
}

const tr_conn_info_t *
tr_tunnel__info(const tr_tunnel_t *t)
{
    const tr_link_t *link = t == NULL || t->proxy == NULL ? NULL : tr_list_first(&t->proxy->connecting);
    const tr_hconn_t *hconn = t == NULL ? NULL : link == NULL ? t->carrier : TR_CONTAINER_OF(link, tr_hconn_t, link);
    return hconn == NULL || t->state == TUNNEL_STANDS ? NULL : tr_conn_info(hconn->conn);
}

/* ---------------------------------------------------------------------------------------------------------- dispatch */

/* An HTTP/2 connection that takes one more; NULL: none. */
static tr_hconn_t *
pick(const tr_origin_t *proxy)
{
    for (tr_link_t *link = tr_list_first(&proxy->shared); link != NULL; link = tr_list_next(&proxy->shared, link)) {
        tr_hconn_t *hconn = TR_CONTAINER_OF(link, tr_hconn_t, link);
        bool used = hconn->num_requests > 0 || !tr_list_empty(&hconn->borrowers);
        if (!(used && is_single_use(proxy))) {
            return hconn;
        }
    }
    return NULL;
}

/* The connection is the owner's. */
static void
hand_over(tr_tunnel_t *t, tr_hconn_t *hconn)
{
    tr_err_t err = TR_ERR_INIT;
    t->info = *tr_conn_info(hconn->conn);
    if (tr_conn_give(hconn->conn, &t->top, &t->bottom, &err) == TR_OK) {
        t->state = TUNNEL_GIVEN;
        tell_later(t);
    } else {
        fail(t, &err);
    }
    tr_hconn__close(hconn);
}

/* Gives the first who waits what there is. False: there is nothing. */
static bool
serve(tr_origin_t *proxy, tr_tunnel_t *t)
{
    tr_err_t err = TR_ERR_INIT;
    tr_link_t *idle = tr_list_first(&proxy->idle);
    tr_hconn_t *hconn = pick(proxy);
    if (hconn != NULL && t->request.target == NULL) {
        stop_waiting(t);
        t->state = TUNNEL_LENT;
        tr_origin__lend(t->owner->origin, hconn);
        tell_later(t);
        return true;
    }
    if (hconn != NULL && tr_hconn__can_take(hconn)) {
        tr_list_remove(&t->link);
        tr_code_t code = submit(t, hconn, &err);
        if (code == TR_AGAIN) {
            tr_list_push_front(&proxy->asking, &t->link);
            return false;
        }
        proxy->num_asking--;
        t->proxy = NULL;
        if (code != TR_OK) {
            fail(t, &err);
        }
        return true;
    }
    if (idle != NULL) {
        stop_waiting(t);
        hand_over(t, TR_CONTAINER_OF(idle, tr_hconn_t, link));
        return true;
    }
    return false;
}

/* The proxy takes no more streams, and some are held by connections that are idle: the one that is so for longest is closed. */
static void
make_room(const tr_origin_t *proxy)
{
    const tr_hconn_t *carrier = pick(proxy);
    tr_hconn_t *oldest = NULL;
    if (carrier == NULL || !tr_hconn__is_full(carrier) || !is_waited_for(carrier)) {
        return;
    }
    tr_link_t *link = tr_list_first(&carrier->tunnels);
    for (; link != NULL; link = tr_list_next(&carrier->tunnels, link)) {
        tr_tunnel_t *t = TR_CONTAINER_OF(link, tr_tunnel_t, link);
        if (t->state == TUNNEL_STANDS && t->owner->resting && t->owner->origin->num_waiters == 0 &&
            (oldest == NULL || t->owner->idle_ns < oldest->idle_ns)) {
            oldest = t->owner;
        }
    }
    if (oldest != NULL) {
        tr_hconn__close(oldest);
    }
}

static size_t
num_missing(const tr_origin_t *proxy)
{
    if (is_single_use(proxy) || proxy->proto == TR_PROTO_H1) {
        return proxy->num_asking - TR_MIN(proxy->num_connecting, proxy->num_asking);
    }
    /* One handshake tells what the proxy speaks; and one connection with HTTP/2 is for all. */
    return proxy->num_connecting == 0 && tr_list_empty(&proxy->shared) ? 1 : 0;
}

void
tr_tunnels__dispatch(tr_origin_t *proxy)
{
    tr_link_t *link;
    tr_err_t err = TR_ERR_INIT;
    while ((link = tr_list_first(&proxy->asking)) != NULL && serve(proxy, TR_CONTAINER_OF(link, tr_tunnel_t, link))) {
    }
    while ((link = tr_list_first(&proxy->idle)) != NULL) {
        tr_hconn__close(TR_CONTAINER_OF(link, tr_hconn_t, link)); /* who asked for it has gone */
    }
    make_room(proxy);
    for (size_t num = num_missing(proxy); num > 0 && proxy->num_asking > 0 && !proxy->trust_pending; num--) {
        tr_trust_t *trust;
        tr_hconn_t *hconn;
        tr_code_t code = tr_origin__trust(proxy, &trust, &err);
        if (code == TR_OK) {
            code = tr_hconn__open_proxy(&hconn, proxy, trust, &err);
        }
        if (code != TR_OK && code != TR_AGAIN) {
            tr_tunnels__failed(proxy, NULL, &err);
        }
    }
}

void
tr_tunnels__connected(tr_hconn_t *hconn)
{
    tr_origin_t *proxy = hconn->origin;
    tr_origin__dirty(proxy);
    if (is_single_use(proxy) && proxy->num_asking == 0) {
        tr_hconn__close(hconn); /* whom it was for has given up, and nobody else will come */
    }
}

void
tr_tunnels__failed(tr_origin_t *proxy, const tr_hconn_t *hconn, const tr_err_t *err)
{
    bool others = hconn != NULL && proxy->num_connecting > 1; /* they are for the others */
    tr_link_t *link;
    while ((link = tr_list_first(&proxy->asking)) != NULL) {
        tr_tunnel_t *t = TR_CONTAINER_OF(link, tr_tunnel_t, link);
        stop_waiting(t);
        if (hconn != NULL) {
            t->info = *tr_conn_info(hconn->conn);
        }
        fail(t, err);
        if (others) {
            break;
        }
    }
    tr_origin__dirty(proxy);
}

void
tr_tunnels__lost(tr_hconn_t *hconn)
{
    tr_link_t *link;
    tr_err_t err = TR_ERR_INIT;
    (void)tr_err_set(&err, TR_ERR_CLOSED_EARLY, 0, where, NULL);
    while ((link = tr_list_first(&hconn->tunnels)) != NULL) {
        tr_tunnel_t *t = TR_CONTAINER_OF(link, tr_tunnel_t, link);
        tr_list_remove(&t->link);
        t->carrier = NULL;
        t->stream = NULL;
        if (t->state == TUNNEL_STANDS) {
            end_as_reset(t, &err);
        } else {
            tr_err_t own = err;
            tr_proxy_blame(&own, t->request.hop);
            fail(t, &own);
        }
    }
}

void
tr_tunnels__orphaned(tr_origin_t *proxy)
{
    tr_link_t *link;
    while ((link = tr_list_first(&proxy->asking)) != NULL) {
        stop_waiting(TR_CONTAINER_OF(link, tr_tunnel_t, link));
    }
}
