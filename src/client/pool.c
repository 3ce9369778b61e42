#include "client/pool.h"

#include "client/chain.h"
#include "client/hconn.h"
#include "client/initiator.h"
#include "client/psl.h"
#include "client/tunnel.h"
#include "core/mem.h"
#include "crypto/rand.h"

#define NS_PER_MS UINT64_C(1000000)
/* Origins without connections that are remembered (which protocol they speak, that they need HTTP/1.1): some hundred bytes each. */
#define MAX_UNUSED 64
/* HTTP/2 connections to one origin. What is more than the server's SETTINGS_MAX_CONCURRENT_STREAMS waits for a stream to end, as in browsers:
 * a second connection would be a mark of its own. */
#define MAX_H2_PER_ORIGIN 1
/* After ENHANCE_YOUR_CALM: the first pause, and the longest. */
#define CALM_FIRST_NS (1000 * NS_PER_MS)
#define CALM_MAX_NS (30000 * NS_PER_MS)
/* A connection that nobody waits for any more and that is not up after this is given up: it would hold up those who come. */
#define HANG_NS (250 * NS_PER_MS)
/* An idle connection is looked at before it is used when it was left alone for so long. The loop sees a close by itself; this is for what
 * came since its last turn. */
#define PROBE_NS (100 * NS_PER_MS)

static void on_calm_timer(void *arg);

/* ------------------------------------------------------------------------------------------------------------ the pool */

tr_code_t
tr_pool__new(tr_pool_t **out, tr_engine_t *engine, tr_session_t *session)
{
    uint64_t seeds[2];
    tr_pool_t *pool = tr_calloc(1, sizeof(*pool));
    if (pool == NULL) {
        return TR_ERR_NOMEM;
    }
    if (tr_rand_system.fill(tr_rand_system.arg, (uint8_t *)seeds, sizeof(seeds)) != TR_OK) {
        seeds[0] = (uint64_t)(uintptr_t)pool;
        seeds[1] = tr_loop_now(engine->loop);
    }
    pool->engine = engine;
    pool->session = session;
    tr_map_init(&pool->origins, seeds[0], seeds[1]);
    tr_list_init(&pool->unused);
    tr_list_init(&pool->shared);
    tr_list_init(&pool->starved);
    tr_list_push(&engine->sessions, &session->link);
    *out = pool;
    return TR_OK;
}

static void
close_list(tr_list_t *list)
{
    tr_link_t *link;
    while ((link = tr_list_first(list)) != NULL) {
        tr_hconn__close(TR_CONTAINER_OF(link, tr_hconn_t, link));
    }
}

static void
free_origin(tr_origin_t *origin)
{
    tr_engine_t *engine = origin->pool->engine;
    tr_tunnels__orphaned(origin);
    close_list(&origin->connecting);
    close_list(&origin->idle);
    close_list(&origin->busy);
    close_list(&origin->shared);
    close_list(&origin->leaving);
    tr_list_remove(&origin->dirty_link);
    tr_list_remove(&origin->unused_link);
    tr_list_remove(&origin->starved_link);
    tr_list_remove(&origin->borrow_link);
    tr_timer_clear(engine->loop, &origin->calm_timer);
    tr_profile_unref(origin->profile);
    tr_trust_unref(origin->trust);
    tr_identity_unref(origin->identity);
    tr_transport_unref(origin->transport);
    tr_proxy_unref(origin->proxy);
    tr_chain__unref(origin->chain);
    tr_free(origin->key);
    tr_free(origin->ticket_key);
    tr_free((void *)(uintptr_t)origin->user_agent.data);
    tr_free(origin->host);
    tr_free(origin);
}

static bool
collect_origin(void *arg, tr_slice_t key, void *value)
{
    tr_origin_t *origin = value;
    TR_UNUSED(key);
    /* Their own list is free to use: nothing is unused in the way that matters any more. */
    tr_list_remove(&origin->unused_link);
    tr_list_push(arg, &origin->unused_link);
    return true;
}

void
tr_pool__free(tr_pool_t *pool)
{
    tr_list_t all;
    tr_link_t *link;
    tr_list_init(&all);
    tr_map_each(&pool->origins, collect_origin, &all);
    while ((link = tr_list_shift(&all)) != NULL) {
        free_origin(TR_CONTAINER_OF(link, tr_origin_t, unused_link));
    }
    tr_map_cleanup(&pool->origins);
    tr_free(pool);
}

/* ---------------------------------------------------------------------------------------------------------- an origin */

static tr_origin_t *
new_origin(tr_pool_t *pool, tr_slice_t key, tr_slice_t host)
{
    tr_origin_t *o = tr_calloc(1, sizeof(*o));
    if (o == NULL) {
        return NULL;
    }
    o->pool = pool;
    o->key = tr_strndup((const char *)key.data, key.len);
    o->key_len = key.len;
    o->host = tr_strndup((const char *)host.data, host.len);
    tr_list_init(&o->asking);
    tr_list_init(&o->waiters);
    tr_list_init(&o->connecting);
    tr_list_init(&o->idle);
    tr_list_init(&o->busy);
    tr_list_init(&o->shared);
    tr_list_init(&o->leaving);
    tr_timer_init(&o->calm_timer, on_calm_timer, o);
    if (o->key == NULL || o->host == NULL) {
        free_origin(o);
        return NULL;
    }
    return o;
}

/* Of an op's current hop. */
static tr_origin_t *
origin_of(tr_pool_t *pool, const tr_op_t *op)
{
    const tr_ask_t *ask = &op->ask;
    tr_origin_t *o = new_origin(pool, ask->key, ask->url.host);
    if (o == NULL) {
        return NULL;
    }
    if (op->apart && (o->ticket_key = tr_strndup((const char *)ask->key.data, ask->key.len - TR_KEY_APART_LEN)) == NULL) {
        free_origin(o);
        return NULL;
    }
    o->key_rest = ask->key_rest;
    o->key_page = ask->key_page;
    o->port = ask->url.port;
    o->https = tr_url_is_https(&ask->url);
    o->flags = op->flags & (TR_OP_HTTP1_ONLY | TR_OP_NO_VERIFY | TR_OP_NEW_TUNNEL);
    o->proxy = ask->proxy == NULL ? NULL : tr_proxy_ref(ask->proxy);
    o->forward = !o->https && !op->apart && o->proxy != NULL && /* a WebSocket needs a tunnel (RFC 6455 4.1) */
                 tr_proxy_last_is_http(o->proxy) && tr_proxy_forward(o->proxy) == TR_FORWARD_ALWAYS;
    o->profile = tr_profile_ref(op->profile);
    o->trust = op->trust == NULL ? NULL : tr_trust_ref(op->trust);
    o->identity = op->identity == NULL ? NULL : tr_identity_ref(op->identity);
    o->transport = tr_transport_ref(op->transport);
    o->apart = op->apart;
    o->anonymous = !tr_initiator__has_credentials(op, &ask->url);
    o->proto = o->https && !o->apart && (o->flags & TR_OP_HTTP1_ONLY) == 0 ? TR_PROTO_UNKNOWN : TR_PROTO_H1;
    return o;
}

/* Of the last proxy of a way. */
static tr_origin_t *
proxy_of(const tr_origin_t *like, tr_slice_t key, tr_proxy_t *way)
{
    const tr_proxy_hop_t *hop = tr_proxy_hop(way, tr_proxy_num_hops(way) - 1);
    tr_origin_t *o = new_origin(like->pool, key, tr_slice_cstr(hop->host));
    if (o == NULL) {
        return NULL;
    }
    o->port = hop->port;
    o->flags = like->flags;
    o->proxy = tr_proxy_ref(way);
    o->forward = o->is_proxy = true;
    o->profile = tr_profile_ref(like->profile);
    o->trust = like->trust == NULL ? NULL : tr_trust_ref(like->trust);
    o->transport = tr_transport_ref(like->transport);
    o->proto = (o->flags & TR_OP_HTTP1_ONLY) == 0 ? TR_PROTO_UNKNOWN : TR_PROTO_H1;
    return o;
}

/* Puts a new origin (NULL: there was no memory for it) into the pool. */
static tr_code_t
add_origin(tr_pool_t *pool, tr_origin_t *origin)
{
    if (origin == NULL) {
        return TR_ERR_NOMEM;
    }
    if (tr_map_put(&pool->origins, NULL, tr_slice(origin->key, origin->key_len), origin) != TR_OK) {
        free_origin(origin);
        return TR_ERR_NOMEM;
    }
    return TR_OK;
}

static void
set_used(tr_origin_t *origin)
{
    if (tr_link_linked(&origin->unused_link)) {
        tr_list_remove(&origin->unused_link);
        origin->pool->num_unused--;
    }
}

tr_code_t
tr_pool__find(tr_origin_t **out, tr_pool_t *pool, const tr_op_t *op)
{
    tr_slice_t key = op->ask.key;
    tr_origin_t *origin = pool->recent;
    if (origin == NULL || !tr_slice_eq(tr_slice(origin->key, origin->key_len), key)) {
        origin = tr_map_get(&pool->origins, key);
    }
    if (origin == NULL) {
        origin = origin_of(pool, op);
        if (add_origin(pool, origin) != TR_OK) {
            return TR_ERR_NOMEM;
        }
    }
    set_used(origin);
    pool->recent = origin;
    *out = origin;
    return TR_OK;
}

tr_code_t
tr_pool__find_proxy(tr_origin_t **out, const tr_origin_t *like, tr_slice_t key, tr_proxy_t *way)
{
    tr_origin_t *origin = tr_map_get(&like->pool->origins, key);
    if (origin == NULL) {
        origin = proxy_of(like, key, way);
        if (add_origin(like->pool, origin) != TR_OK) {
            return TR_ERR_NOMEM;
        }
    }
    set_used(origin);
    *out = origin;
    return TR_OK;
}

bool
tr_pool__takes_websocket(tr_pool_t *pool, const tr_op_t *op)
{
    tr_origin_t *origin = tr_map_get(&pool->origins, op->ask.key);
    for (tr_link_t *link = origin == NULL ? NULL : tr_list_first(&origin->shared); link != NULL; link = tr_list_next(&origin->shared, link)) {
        tr_hconn_t *hconn = TR_CONTAINER_OF(link, tr_hconn_t, link);
        if (tr_h2_has_connect(hconn->h2) && !origin->needs_http1) {
            return true;
        }
    }
    return false;
}

static void
evict(tr_pool_t *pool, tr_origin_t *origin)
{
    tr_slice_t key = tr_slice(origin->key, origin->key_len);
    tr_session_t *session = pool->session;
    /* The key names trust store and client certificate by address. Once they may be freed the address may come back as another's: such
     * tickets go with the origin. */
    if (session->tickets != NULL && (origin->trust != NULL || origin->identity != NULL)) {
        tr_tickets_forget(session->tickets, origin->ticket_key != NULL ? tr_slice_cstr(origin->ticket_key) : key);
    }
    if (pool->recent == origin) {
        pool->recent = NULL;
    }
    (void)tr_map_remove(&pool->origins, key);
    free_origin(origin);
}

void
tr_origin__check_unused(tr_origin_t *origin)
{
    tr_pool_t *pool = origin->pool;
    if (origin->num_conns > 0 || origin->num_waiters > 0 || origin->num_asking > 0 || origin->num_away > 0 || tr_link_linked(&origin->unused_link) ||
        origin->calm_timer.deadline_ns != 0 || !tr_list_empty(&origin->leaving)) {
        return;
    }
    tr_list_push(&pool->unused, &origin->unused_link);
    if (++pool->num_unused > MAX_UNUSED) {
        tr_link_t *oldest = tr_list_shift(&pool->unused);
        pool->num_unused--;
        evict(pool, TR_CONTAINER_OF(oldest, tr_origin_t, unused_link));
    }
}

void
tr_origin__add(tr_origin_t *origin, tr_op_t *op, bool front)
{
    op->origin = origin;
    op->state = TR_OP_WAITING;
    op->wait_ns = tr_loop_now(origin->pool->engine->loop);
    if (front) {
        tr_list_push_front(&origin->waiters, &op->link);
    } else {
        tr_list_push(&origin->waiters, &op->link);
    }
    origin->num_waiters++;
    tr_origin__dirty(origin);
}

void
tr_origin__leave(tr_origin_t *origin, tr_op_t *op)
{
    tr_list_remove(&op->link);
    origin->num_waiters--;
}

void
tr_origin__abandoned(tr_origin_t *origin)
{
    uint64_t now = tr_loop_now(origin->pool->engine->loop);
    if (origin->num_waiters == 0 && origin->num_asking == 0) {
        tr_link_t *link = tr_list_first(&origin->connecting);
        while (link != NULL) {
            tr_hconn_t *hconn = TR_CONTAINER_OF(link, tr_hconn_t, link);
            link = tr_list_next(&origin->connecting, link);
            if (now - hconn->opened_ns >= HANG_NS) {
                tr_hconn__close(hconn);
            }
        }
    }
    tr_origin__dirty(origin);
}

void
tr_origin__dirty(tr_origin_t *origin)
{
    if (!tr_link_linked(&origin->dirty_link)) {
        tr_list_push(&origin->pool->engine->origins, &origin->dirty_link);
    }
}

/* ----------------------------------------------------------------------------------------------------------- dispatch */

static void
fail_op(tr_origin_t *origin, tr_op_t *op, const tr_err_t *err)
{
    tr_origin__leave(origin, op);
    op->request_sent = false;
    op->safe_to_retry = true;
    tr_op__complete(op, err);
}

static void
fail_all(tr_origin_t *origin, const tr_err_t *err)
{
    tr_link_t *link;
    while ((link = tr_list_first(&origin->waiters)) != NULL) {
        fail_op(origin, TR_CONTAINER_OF(link, tr_op_t, link), err);
    }
}

static size_t
max_conns(const tr_origin_t *origin)
{
    const tr_limits_t *limits = tr_transport_limits(origin->transport);
    if (origin->proto != TR_PROTO_H1) {
        return limits->max_h2_per_host != 0 ? limits->max_h2_per_host : MAX_H2_PER_ORIGIN;
    }
    return limits->max_h1_per_host != 0 ? limits->max_h1_per_host : origin->pool->session->max_h1_per_origin;
}

/* A replay goes out on a connection that was opened for it. */
static bool
is_too_old(const tr_hconn_t *hconn, const tr_op_t *op)
{
    return op->num_replays > 0 && hconn->opened_ns < op->wait_ns;
}

/* What the HTTP/2 connections say to a WebSocket. */
typedef enum ws_answer { WS_NONE, WS_TAKEN, WS_HELD, WS_REFUSED } ws_answer_t;

static ws_answer_t
ask_one(const tr_origin_t *origin, tr_hconn_t *hconn, ws_answer_t so_far)
{
    if (!tr_h2_got_settings(hconn->h2)) {
        return so_far == WS_NONE ? WS_HELD : so_far;
    }
    if (!tr_h2_has_connect(hconn->h2) || origin->needs_http1) {
        return WS_REFUSED;
    }
    return tr_hconn__can_take(hconn) ? WS_TAKEN : so_far;
}

static ws_answer_t
ask_shared(tr_origin_t *origin, tr_hconn_t **out)
{
    ws_answer_t answer = origin->lender == NULL ? WS_NONE : ask_one(origin, origin->lender, WS_NONE);
    *out = answer == WS_TAKEN ? origin->lender : NULL;
    for (tr_link_t *link = tr_list_first(&origin->shared); answer != WS_TAKEN && link != NULL; link = tr_list_next(&origin->shared, link)) {
        tr_hconn_t *hconn = TR_CONTAINER_OF(link, tr_hconn_t, link);
        answer = ask_one(origin, hconn, answer);
        *out = answer == WS_TAKEN ? hconn : NULL;
    }
    return answer;
}

/* A connection that takes the op at once; NULL: none. */
static tr_hconn_t *
pick(tr_origin_t *origin, const tr_op_t *op, uint64_t now)
{
    tr_link_t *link, *next;
    bool websocket = (op->flags & TR_OP_DUPLEX) != 0;
    for (link = tr_list_first(&origin->shared); link != NULL; link = tr_list_next(&origin->shared, link)) {
        tr_hconn_t *hconn = TR_CONTAINER_OF(link, tr_hconn_t, link);
        bool old = is_too_old(hconn, op) && origin->num_conns < max_conns(origin); /* else there is no other */
        bool fits = !hconn->early || tr_op__may_be_early(op);
        if (!origin->needs_http1 && fits && tr_hconn__can_take(hconn) && !old && !websocket) {
            return hconn;
        }
    }
    if (TR_UNLIKELY(origin->lender != NULL) && !websocket) {
        if (!is_too_old(origin->lender, op) || origin->lender->origin->is_proxy) { /* the proxy has one for all */
            return tr_hconn__can_take(origin->lender) ? origin->lender : NULL;
        }
        tr_origin__return(origin, true); /* a replay does not trust it */
    }
    /* The one used last is the one that is most likely alive. */
    for (link = tr_list_first(&origin->idle); link != NULL; link = next) {
        tr_hconn_t *hconn = TR_CONTAINER_OF(link, tr_hconn_t, link);
        next = tr_list_next(&origin->idle, link);
        if (hconn->early) {
            if (tr_op__may_be_early(op)) {
                return hconn;
            }
            continue;
        }
        if (is_too_old(hconn, op) || (websocket && hconn->num_requests > 0)) { /* browsers open one for each */
            if (origin->num_conns >= max_conns(origin)) {
                tr_hconn__close(hconn); /* makes room for the new one */
            }
            continue;
        }
        bool probe = now - hconn->idle_ns > PROBE_NS || (now != hconn->idle_ns && !tr_method_is_idempotent(op->ask.method));
        if (tr_hconn__can_take(hconn) && (!probe || tr_conn_is_alive(hconn->conn))) {
            return hconn;
        }
        tr_hconn__close(hconn);
    }
    return NULL;
}

/* A WebSocket that ordinary connections do not carry goes to those of their own. */
static void
send_apart(tr_origin_t *origin, tr_op_t *op)
{
    tr_origin_t *apart;
    tr_origin__leave(origin, op);
    if (tr_op__go_apart(op) != TR_OK || tr_pool__find(&apart, origin->pool, op) != TR_OK) {
        tr_err_t err = TR_ERR_INIT;
        (void)tr_err_nomem(&err, "pool.websocket");
        op->safe_to_retry = true;
        tr_op__complete(op, &err);
        return;
    }
    tr_origin__add(apart, op, false);
    tr_op__arm(op);
}

static void
assign(tr_origin_t *origin, uint64_t now)
{
    tr_link_t *next;
    origin->num_held = 0;
    for (tr_link_t *link = tr_list_first(&origin->waiters); link != NULL; link = next) {
        tr_op_t *op = TR_CONTAINER_OF(link, tr_op_t, link);
        tr_err_t err = TR_ERR_INIT;
        tr_hconn_t *hconn = NULL;
        next = tr_list_next(&origin->waiters, link);
        if (TR_UNLIKELY((op->flags & TR_OP_DUPLEX) != 0) && !origin->apart) {
            ws_answer_t answer = ask_shared(origin, &hconn);
            if (answer == WS_HELD) {
                origin->num_held++;
                continue; /* its SETTINGS come, or its end */
            }
            if (answer == WS_REFUSED) {
                send_apart(origin, op);
                continue;
            }
        }
        hconn = hconn == NULL ? pick(origin, op, now) : hconn;
        if (hconn == NULL && (op->num_replays > 0 || (origin->num_early > 0 && !tr_op__may_be_early(op)))) {
            continue; /* it is choosier than those behind it */
        }
        if (hconn == NULL) {
            return;
        }
        tr_origin__leave(origin, op);
        tr_code_t code = tr_hconn__submit(hconn, op, &err);
        if (code == TR_AGAIN) {
            tr_list_push_front(&origin->waiters, &op->link);
            origin->num_waiters++;
            return;
        }
        if (code != TR_OK) {
            op->safe_to_retry = true;
            tr_op__complete(op, &err);
        }
    }
}

/* How many connections are missing for those who wait. */
static size_t
num_missing(const tr_origin_t *origin)
{
    size_t max = max_conns(origin);
    if (origin->num_held >= origin->num_waiters || origin->lender != NULL) {
        return 0;
    }
    switch (origin->proto) {
    case TR_PROTO_UNKNOWN:
        /* One handshake tells what the server speaks; all wait for it. */
        return origin->num_connecting == 0 ? 1 : 0;
    case TR_PROTO_H2:
        return origin->num_connecting == 0 && origin->num_conns < max ? 1 : 0;
    case TR_PROTO_H1:
    default:
        if (origin->num_conns >= max || origin->num_connecting >= origin->num_waiters) {
            return 0;
        }
        return TR_MIN(max - origin->num_conns, origin->num_waiters - origin->num_connecting);
    }
}

typedef struct oldest {
    tr_hconn_t *hconn; /* NULL: none so far */
} oldest_t;

static void
look_for_oldest(oldest_t *oldest, const tr_list_t *list)
{
    for (tr_link_t *link = tr_list_first(list); link != NULL; link = tr_list_next(list, link)) {
        tr_hconn_t *hconn = TR_CONTAINER_OF(link, tr_hconn_t, link);
        if (hconn->num_active == 0 && (oldest->hconn == NULL || hconn->idle_ns < oldest->hconn->idle_ns)) {
            oldest->hconn = hconn;
        }
    }
}

static bool
origin_oldest(void *arg, tr_slice_t key, void *value)
{
    const tr_origin_t *origin = value;
    TR_UNUSED(key);
    if (origin->num_waiters == 0 && !origin->is_proxy) {
        look_for_oldest(arg, &origin->idle);
        look_for_oldest(arg, &origin->shared);
    }
    return true;
}

/* Whether limits.max_total allows one more connection. The one that is idle for longest, of an origin that nobody asks, is closed for it. */
static bool
make_room(const tr_origin_t *origin)
{
    tr_pool_t *pool = origin->pool;
    uint32_t max = tr_transport_limits(origin->transport)->max_total;
    if (max == 0 || pool->num_conns < max) {
        return true;
    }
    oldest_t oldest = {NULL};
    if (pool->num_idle > 0) {
        tr_map_each(&pool->origins, origin_oldest, &oldest);
    }
    if (oldest.hconn == NULL) {
        return false;
    }
    tr_hconn__close(oldest.hconn);
    return pool->num_conns < max;
}

void
tr_pool__has_room(tr_pool_t *pool)
{
    tr_link_t *link;
    while ((link = tr_list_shift(&pool->starved)) != NULL) {
        tr_origin__dirty(TR_CONTAINER_OF(link, tr_origin_t, starved_link)); /* dispatched in this order; who finds none waits again */
    }
}

tr_code_t
tr_origin__trust(tr_origin_t *origin, tr_trust_t **out, tr_err_t *err)
{
    bool tls = origin->https || (origin->proxy != NULL && tr_proxy_has_tls(origin->proxy));
    *out = origin->trust;
    if (!tls || origin->trust != NULL || (origin->flags & TR_OP_NO_VERIFY) != 0) {
        return TR_OK;
    }
    tr_code_t code = tr_trust__default(out, origin->pool->engine, err);
    origin->trust_pending = code == TR_AGAIN;
    return code;
}

static void
open_missing(tr_origin_t *origin)
{
    tr_trust_t *trust = NULL;
    tr_err_t err = TR_ERR_INIT;
    size_t num = num_missing(origin);
    tr_code_t code = num == 0 ? TR_OK : tr_origin__trust(origin, &trust, &err);
    if (code == TR_AGAIN) {
        return;
    }
    if (code != TR_OK) {
        fail_all(origin, &err);
        return;
    }
    /* Each connection has the limits of the op that it is opened for. */
    tr_link_t *link = tr_list_first(&origin->waiters);
    for (size_t i = 0; i < origin->num_connecting && link != NULL; i++) {
        link = tr_list_next(&origin->waiters, link);
    }
    while (num > 0 && origin->num_waiters > 0) {
        tr_hconn_t *hconn;
        link = link != NULL ? link : tr_list_first(&origin->waiters);
        tr_op_t *op = TR_CONTAINER_OF(link, tr_op_t, link);
        link = tr_list_next(&origin->waiters, link);
        if (!make_room(origin)) {
            if (!tr_link_linked(&origin->starved_link)) {
                tr_list_push(&origin->pool->starved, &origin->starved_link);
            }
            return;
        }
        if (tr_hconn__open(&hconn, origin, op, trust, &err) != TR_OK) {
            if (origin->num_conns == 0) {
                fail_all(origin, &err);
            }
            return;
        }
        num--;
    }
}

void
tr_origin__dispatch(tr_origin_t *origin)
{
    tr_engine_t *engine = origin->pool->engine;
    if (origin->is_proxy) {
        tr_tunnels__dispatch(origin);
    }
    if (origin->num_waiters > 0) {
        uint64_t now = tr_loop_now(engine->loop);
        if (origin->calm_ns > now) {
            return; /* its timer comes back */
        }
        assign(origin, now);
    }
    if (origin->num_waiters > 0 && !origin->trust_pending) {
        open_missing(origin);
    }
    if (origin->num_waiters == 0) {
        tr_origin__check_unused(origin);
    } else if (origin->lender != NULL && origin->lender->origin->is_proxy) {
        tr_origin__dirty(origin->lender->origin); /* it may have idle tunnels to give up */
    }
}

static bool
origin_trust_ready(void *arg, tr_slice_t key, void *value)
{
    tr_origin_t *origin = value;
    const tr_err_t *err = arg;
    TR_UNUSED(key);
    if (origin->trust_pending) {
        origin->trust_pending = false;
        if (err != NULL) {
            fail_all(origin, err);
            tr_tunnels__failed(origin, NULL, err);
        }
        tr_origin__dirty(origin);
    }
    return true;
}

void
tr_pool__trust_ready(tr_engine_t *engine, const tr_err_t *err)
{
    for (tr_link_t *link = tr_list_first(&engine->sessions); link != NULL; link = tr_list_next(&engine->sessions, link)) {
        tr_session_t *session = TR_CONTAINER_OF(link, tr_session_t, link);
        tr_map_each(&session->pool->origins, origin_trust_ready, (void *)(uintptr_t)err);
    }
}

/* ---------------------------------------------------------------------------------------------------------- borrowing */

/* Whether the origin's connections, if they are HTTP/2, may serve others, and others' it. */
static bool
may_coalesce(const tr_origin_t *origin)
{
    return (origin->profile->flags & TR_PROFILE_COALESCES) != 0 && origin->https && !origin->apart && origin->proxy == NULL &&
           origin->identity == NULL && (origin->flags & (TR_OP_HTTP1_ONLY | TR_OP_NO_VERIFY)) == 0 && !origin->needs_http1 &&
           tr_transport_may_coalesce(origin->transport, origin->host);
}

/* The site for which the origin is asked: a page's, or its own. */
static tr_slice_t
site_of(const tr_origin_t *origin)
{
    size_t page = origin->key_page + TR_KEY_PAGE_LEN + sizeof("https://") - 1;
    return page < origin->key_len ? tr_slice(origin->key + page, origin->key_len - page) : tr_psl_site(tr_slice_cstr(origin->host));
}

void
tr_origin__partition(const tr_origin_t *origin, tr_slice_t *out_scheme, tr_slice_t *out_site)
{
    size_t page = origin->key_page + TR_KEY_PAGE_LEN;
    bool other = page < origin->key_len;
    bool https = other ? memcmp(origin->key + page, "https", 5) == 0 : origin->https;
    *out_scheme = https ? TR_SLICE_LIT("https") : TR_SLICE_LIT("http");
    *out_site = site_of(origin);
}

static tr_slice_t
key_rest(const tr_origin_t *origin)
{
    return tr_slice(origin->key + origin->key_rest, origin->key_page - origin->key_rest);
}

static bool
is_peer(const tr_hconn_t *hconn, const tr_address_t *addresses, size_t num)
{
    const tr_address_t *peer = tr_conn_peer(hconn->conn);
    for (size_t i = 0; peer != NULL && i < num; i++) {
        if (tr_address_equal(peer, &addresses[i])) {
            return true;
        }
    }
    return false;
}

bool
tr_origin__borrow(tr_origin_t *origin, const tr_address_t *addresses, size_t num)
{
    tr_pool_t *pool = origin->pool;
    if (tr_list_empty(&pool->shared) || origin->num_conns > 1 || origin->alone || !may_coalesce(origin)) {
        return false; /* one that has a connection beside the one that is being opened has had its reasons */
    }
    for (tr_link_t *link = tr_list_first(&pool->shared); link != NULL; link = tr_list_next(&pool->shared, link)) {
        tr_hconn_t *hconn = TR_CONTAINER_OF(link, tr_hconn_t, shared_link);
        const tr_origin_t *other = hconn->origin;
        /* A resumed connection whose certificate nobody knows any more is not borrowed, nor one that has not proved itself yet. */
        if (other == origin || hconn->early || hconn->chain == NULL || !is_peer(hconn, addresses, num) || !tr_slice_eq(key_rest(origin), key_rest(other)) ||
            !may_coalesce(other) || !tr_slice_eq(site_of(origin), site_of(other)) ||
            !tr_x509_has_name(hconn->chain->certs[0], origin->host)) {
            continue;
        }
        tr_origin__lend(origin, hconn);
        return true;
    }
    return false;
}

void
tr_origin__lend(tr_origin_t *origin, tr_hconn_t *hconn)
{
    TR_TRACE(TR_TOPIC_POOL, "%s: served by connection %p of %s", origin->host, (void *)hconn, hconn->origin->host);
    tr_origin__return(origin, false);
    origin->lender = hconn;
    origin->proto = TR_PROTO_H2;
    tr_list_push(&hconn->borrowers, &origin->borrow_link);
    tr_origin__dirty(origin);
}

void
tr_origin__return(tr_origin_t *origin, bool alone)
{
    origin->alone = origin->alone || alone;
    if (origin->lender != NULL) {
        origin->lender = NULL;
        tr_list_remove(&origin->borrow_link);
        tr_origin__dirty(origin);
    }
}

/* ----------------------------------------------------------------------------------------------------------- failures */

/* Whether a connection that was given up after its opener's limit also is too late for this op. */
static bool
is_late(const tr_op_t *op, const tr_hconn_t *hconn, tr_code_t code)
{
    if (code == TR_ERR_TIMEOUT_CONNECT || code == TR_ERR_PROXY_TIMEOUT) {
        return tr_hconn__limit(op->timeouts.connect_ms) <= hconn->connect_ms;
    }
    if (code == TR_ERR_TIMEOUT_TLS) {
        return tr_hconn__limit(op->timeouts.tls_ms) <= hconn->tls_ms;
    }
    return true;
}

void
tr_origin__failed(tr_origin_t *origin, tr_hconn_t *hconn, const tr_err_t *err)
{
    if (origin->is_proxy) {
        tr_tunnels__failed(origin, hconn, err);
        return;
    }
    bool others = !tr_list_empty(&origin->idle) || !tr_list_empty(&origin->busy) || !tr_list_empty(&origin->shared);
    tr_link_t *link = tr_list_first(&origin->waiters);
    bool one_failed = false;
    while (link != NULL && !(others && one_failed)) {
        tr_op_t *op = TR_CONTAINER_OF(link, tr_op_t, link);
        link = tr_list_next(&origin->waiters, link);
        if (is_late(op, hconn, err->code)) {
            tr_op__note_failed(op, hconn);
            fail_op(origin, op, err);
            one_failed = true;
        }
    }
    tr_origin__dirty(origin);
}

static void
on_calm_timer(void *arg)
{
    tr_origin_t *origin = arg;
    tr_origin__dirty(origin);
    tr_engine__settle(origin->pool->engine);
}

void
tr_origin__calm(tr_origin_t *origin)
{
    uint64_t now = tr_loop_now(origin->pool->engine->loop);
    if (origin->calm_ns > now) {
        return; /* the other streams of the same connection say the same */
    }
    origin->calm_step_ns = origin->calm_step_ns == 0 ? CALM_FIRST_NS : TR_MIN(origin->calm_step_ns * 2, CALM_MAX_NS);
    /* Without memory for the timer there is no pause: nobody would end it. */
    if (tr_timer_set(origin->pool->engine->loop, &origin->calm_timer, now + origin->calm_step_ns) == TR_OK) {
        origin->calm_ns = now + origin->calm_step_ns;
    }
    TR_TRACE(TR_TOPIC_POOL, "%s: calm for %llu ms", origin->host, (unsigned long long)(origin->calm_step_ns / NS_PER_MS));
}

void
tr_origin__drop_idle(tr_origin_t *origin)
{
    close_list(&origin->idle);
}
