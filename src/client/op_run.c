#include <time.h>

#include "client/engine.h"
#include "client/flow.h"
#include "client/hconn.h"
#include "client/hints.h"
#include "client/initiator.h"
#include "client/op.h"
#include "client/pool.h"
#include "client/session.h"
#include "client/tunnel.h"

#define NS_PER_MS UINT64_C(1000000)
/* Between two looks whether a body is out, once the answer's limit would be over. */
#define SENDING_LOOK_NS (20 * NS_PER_MS)

static void on_timer(void *arg);

static tr_loop_t *
loop_of(void)
{
    return tr_engine__self()->loop;
}

/* ------------------------------------------------------------------------------------------------- start and end */

/* The first time on the loop: joins the session's running ops. */
static tr_code_t
enter(tr_op_t *op, tr_err_t *err)
{
    tr_engine_t *engine = tr_engine__self();
    tr_session_t *session = op->session;
    if (session->pool == NULL && tr_pool__new(&session->pool, engine, session) != TR_OK) {
        return tr_err_nomem(err, "op.start");
    }
    op->start_ns = op->hop_ns = tr_loop_now(engine->loop);
    tr_timer_init(&op->timer, on_timer, op);
    tr_list_push(&session->ops, &op->session_link);
    tr_session__count(&session->stats.ops_started, 1);
    return TR_OK;
}

/* behaviour.md 11: whether a WebSocket asks the ordinary connections first. */
static bool
shares_connection(const tr_op_t *op)
{
    if (!tr_url_is_https(&op->ask.url) || (op->flags & TR_OP_HTTP1_ONLY) != 0) {
        return false;
    }
    return (op->profile->flags & TR_PROFILE_WS_ORDINARY) != 0 || tr_pool__takes_websocket(op->session->pool, op);
}

void
tr_op__start(tr_op_t *op)
{
    tr_err_t err = TR_ERR_INIT;
    tr_engine_t *engine = tr_engine__self();
    tr_origin_t *origin;
    if (atomic_load_explicit(&op->cancel_requested, memory_order_relaxed) || engine->stopping) {
        (void)tr_err_set(&err, TR_ERR_CANCELLED, 0, "op.start", NULL);
        goto fail;
    }
    if (atomic_load_explicit(&op->session->closed, memory_order_relaxed)) {
        (void)tr_err_set(&err, TR_ERR_CLIENT_CLOSED, 0, "op.start", NULL);
        goto fail;
    }
    if (!tr_link_linked(&op->session_link) && enter(op, &err) != TR_OK) {
        goto fail;
    }
    if (TR_UNLIKELY((op->flags & TR_OP_DUPLEX) != 0) && !op->apart && !shares_connection(op) && tr_op__go_apart(op) != TR_OK) {
        (void)tr_err_nomem(&err, "op.start");
        goto fail;
    }
    if (tr_pool__find(&origin, op->session->pool, op) != TR_OK) {
        (void)tr_err_nomem(&err, "op.start");
        goto fail;
    }
    tr_origin__add(origin, op, false);
    tr_op__arm(op);
    return;
fail:
    op->safe_to_retry = true;
    tr_op__complete(op, &err);
}

static void
finish_timing(tr_op_t *op)
{
    if (op->start_ns != 0) {
        op->elapsed_ns = tr_loop_now(loop_of()) - op->start_ns;
        op->timing.total_ns = (int64_t)op->elapsed_ns;
    }
}

void
tr_op__complete(tr_op_t *op, const tr_err_t *err)
{
    tr_engine_t *engine = tr_engine__self();
    if (op->timer.deadline_ns != 0) {
        tr_timer_clear(engine->loop, &op->timer);
    }
    if (tr_link_linked(&op->session_link)) {
        tr_list_remove(&op->session_link);
        tr_session__count(err == NULL ? &op->session->stats.ops_succeeded : &op->session->stats.ops_failed, 1);
    }
    op->state = TR_OP_COMPLETED;
    op->origin = NULL;
    finish_timing(op);
    if (op->flow != NULL) {
        tr_flow__completed(op, err);
    }
    if (err != NULL) {
        op->error = *err;
        op->has_error = true;
    } else {
        op->request_sent = true;
        op->safe_to_retry = false;
    }
    TR_TRACE(TR_TOPIC_OP, "op %p done: %s", (void *)op, tr_err_name(err == NULL ? TR_OK : err->code));
    tr_engine__completed(engine, op);
}

static bool is_sending(const tr_op_t *op);

static tr_phase_t
phase_of_conn(const tr_hconn_t *hconn)
{
    const tr_conn_info_t *proxy = tr_tunnel__info(hconn->tunnel);
    if (proxy != NULL) {
        return proxy->dns_done_ns == 0 ? TR_PHASE_RESOLVE : TR_PHASE_CONNECT;
    }
    const tr_conn_info_t *info = tr_conn_info(hconn->conn);
    return info->dns_done_ns == 0 ? TR_PHASE_RESOLVE : info->tcp_done_ns == 0 ? TR_PHASE_CONNECT : TR_PHASE_TLS;
}

void
tr_op__note_failed(tr_op_t *op, tr_hconn_t *hconn)
{
    if (op->state == TR_OP_ACTIVE) {
        op->phase = op->hop != NULL && op->hop->has_head ? TR_PHASE_BODY : is_sending(op) ? TR_PHASE_SEND : TR_PHASE_WAIT;
        return;
    }
    op->phase = op->state == TR_OP_WRITING ? TR_PHASE_BODY : TR_PHASE_POOL;
    if (hconn == NULL && op->state == TR_OP_WAITING) {
        tr_link_t *first = tr_list_first(&op->origin->connecting);
        hconn = first == NULL ? NULL : TR_CONTAINER_OF(first, tr_hconn_t, link);
    }
    if (hconn != NULL) {
        op->phase = phase_of_conn(hconn);
        memcpy(op->timing.peer, tr_conn_info(hconn->conn)->peer_text, sizeof(op->timing.peer));
    }
}

void
tr_op__abort(tr_op_t *op, const tr_err_t *err)
{
    tr_origin_t *origin = op->origin;
    if (op->state != TR_OP_NEW && op->state != TR_OP_COMPLETED) {
        tr_op__note_failed(op, NULL);
    }
    switch (op->state) {
    case TR_OP_QUEUED:
        tr_list_remove(&op->link);
        op->safe_to_retry = true;
        break;
    case TR_OP_WAITING:
        tr_origin__leave(origin, op);
        tr_origin__abandoned(origin);
        op->safe_to_retry = true;
        break;
    case TR_OP_ACTIVE:
        op->request_sent = tr_hconn__sent(op->hconn, op);
        op->safe_to_retry = !op->request_sent;
        tr_hconn__cancel(op->hconn, op);
        break;
    case TR_OP_WRITING:
        op->request_sent = true;
        break;
    case TR_OP_NEW:
    case TR_OP_COMPLETED:
        return;
    }
    tr_op__complete(op, err);
    tr_engine__settle(tr_engine__self());
}

/* ----------------------------------------------------------------------------------------------------------- timers */

static uint64_t
after(uint64_t start_ns, uint32_t ms)
{
    return ms == 0 ? UINT64_MAX : start_ns + ms * NS_PER_MS;
}

static bool
is_sending(const tr_op_t *op)
{
    const tr_hconn_t *hconn = op->hconn;
    if (!tr_hconn__is_out(hconn, op)) {
        return true;
    }
    if (op->flow != NULL && (op->flow->written || op->flow->expects) && op->sending_body && (op->flags & TR_OP_DUPLEX) == 0) {
        return !op->flow->up_done && !op->flow->up_stopped;
    }
    return hconn->h1 != NULL ? !tr_h1_wrote_all(hconn->h1) : op->sending_body && op->body_sent < op->ask.body.len;
}

/* When the total time is over. */
static uint64_t
total_deadline(const tr_op_t *op)
{
    uint64_t start = op->hop_ns;
    if (op->switched || ((op->flags & TR_OP_HEAD_LIMIT) != 0 && op->flow != NULL && op->flow->published)) {
        return UINT64_MAX;
    }
    if ((op->flags & TR_OP_STALL_LIMIT) != 0 && op->state == TR_OP_WRITING) {
        return UINT64_MAX; /* it is nobody's turn but ours */
    }
    if ((op->flags & TR_OP_STALL_LIMIT) != 0 && op->state == TR_OP_ACTIVE) {
        if (op->flow != NULL && tr_flow__is_held(op)) {
            return UINT64_MAX;
        }
        start = TR_MAX(start, op->activity_ns);
    }
    return after(start, op->timeouts.total_ms);
}

/* What the op waits for, when that is over, and what it is called then. */
static uint64_t
phase_deadline(const tr_op_t *op, tr_code_t *out_code)
{
    const tr_timeouts_t *limits = &op->timeouts;
    *out_code = TR_ERR_TIMEOUT_POOL;
    if (op->state == TR_OP_WAITING) {
        const tr_link_t *first = tr_list_first(&op->origin->connecting);
        if (first == NULL) {
            return op->origin->trust_pending ? UINT64_MAX : after(op->wait_ns, limits->pool_ms);
        }
        const tr_hconn_t *hconn = TR_CONTAINER_OF(first, tr_hconn_t, link);
        const tr_conn_info_t *info = tr_conn_info(hconn->conn);
        uint64_t start = TR_MAX(op->wait_ns, hconn->opened_ns);
        if (info->tcp_done_ns == 0 || !op->origin->https) {
            *out_code = info->reached_proxy ? TR_ERR_PROXY_TIMEOUT : TR_ERR_TIMEOUT_CONNECT;
            return after(start, limits->connect_ms);
        }
        *out_code = TR_ERR_TIMEOUT_TLS;
        return after(TR_MAX(start, info->tcp_done_ns), limits->tls_ms);
    }
    if (op->state == TR_OP_ACTIVE) {
        if (op->switched || (op->flow != NULL && tr_flow__is_held(op))) {
            return UINT64_MAX;
        }
        if (limits->write_ms != 0 && is_sending(op)) {
            *out_code = TR_ERR_TIMEOUT_WRITE;
            return after(op->activity_ns, limits->write_ms);
        }
        if (!op->got_bytes && limits->first_byte_ms != 0) {
            *out_code = TR_ERR_TIMEOUT_FIRST_BYTE;
            return after(op->activity_ns, limits->first_byte_ms);
        }
        *out_code = TR_ERR_TIMEOUT_READ;
        return after(op->activity_ns, limits->read_ms);
    }
    return UINT64_MAX;
}

/* The earliest moment at which any limit could be over: phases change without notice (TCP to TLS, sending to receiving), so the timer may
 * come early and looks again. */
static uint64_t
next_look(const tr_op_t *op)
{
    const tr_timeouts_t *limits = &op->timeouts;
    uint64_t at = total_deadline(op);
    if (op->state == TR_OP_WAITING) {
        at = TR_MIN(at, after(op->wait_ns, limits->pool_ms));
        at = TR_MIN(at, after(op->wait_ns, limits->connect_ms));
        at = TR_MIN(at, after(op->wait_ns, limits->tls_ms));
    } else if (op->state == TR_OP_ACTIVE && !op->switched && !(op->flow != NULL && tr_flow__is_held(op))) {
        at = TR_MIN(at, after(op->activity_ns, limits->read_ms));
        at = TR_MIN(at, after(op->activity_ns, limits->write_ms));
        at = TR_MIN(at, after(op->activity_ns, limits->first_byte_ms));
    }
    return at;
}

void
tr_op__arm(tr_op_t *op)
{
    uint64_t at = next_look(op);
    if (at == UINT64_MAX) {
        return;
    }
    if (op->timer.deadline_ns == 0 || op->timer.deadline_ns > at) {
        /* Without memory for the heap the op has no limit; the next arm tries again. */
        (void)tr_timer_set(loop_of(), &op->timer, at);
    }
}

/* The op waits for a connection that a proxy has not brought to its end yet. */
static bool
is_held_up_by_proxy(const tr_op_t *op)
{
    const tr_link_t *first = op->state == TR_OP_WAITING && op->ask.proxy != NULL ? tr_list_first(&op->origin->connecting) : NULL;
    if (first == NULL) {
        return false;
    }
    const tr_conn_info_t *info = tr_conn_info(TR_CONTAINER_OF(first, tr_hconn_t, link)->conn);
    return info->reached_proxy && info->tcp_done_ns == 0;
}

static void
on_timer(void *arg)
{
    tr_op_t *op = arg;
    uint64_t now = tr_loop_now(loop_of());
    tr_code_t code = TR_ERR_TIMEOUT_TOTAL;
    if (op->state == TR_OP_ACTIVE) {
        bool sending = is_sending(op);
        if (op->was_sending && !sending) {
            op->activity_ns = now; /* the last byte went out since the last look: from now on it is the server's turn */
        }
        op->was_sending = sending;
    }
    uint64_t total = total_deadline(op);
    if (now < total) {
        uint64_t phase = phase_deadline(op, &code);
        if (now < phase) {
            uint64_t at = TR_MIN(phase, total);
            if (op->state != TR_OP_ACTIVE) {
                at = TR_MIN(at, TR_MAX(next_look(op), now + NS_PER_MS));
            } else if (code == TR_ERR_TIMEOUT_WRITE) {
                at = TR_MIN(at, TR_MAX(next_look(op), now + SENDING_LOOK_NS)); /* nobody says when the body is out */
            }
            /* Limits of phases not reached yet lie in the past of next_look: look at them again in a while. */
            if (op->state == TR_OP_WAITING && op->timeouts.tls_ms != 0) {
                at = TR_MIN(at, now + TR_MAX(op->timeouts.tls_ms / 4, 1u) * NS_PER_MS);
            }
            if (at != UINT64_MAX) {
                (void)tr_timer_set(loop_of(), &op->timer, at);
            }
            return;
        }
    }
    if (code == TR_ERR_TIMEOUT_TOTAL && is_held_up_by_proxy(op)) {
        code = TR_ERR_PROXY_TIMEOUT;
    } else if (code == TR_ERR_TIMEOUT_TOTAL && (op->flags & TR_OP_STALL_LIMIT) != 0 && op->state == TR_OP_ACTIVE) {
        code = is_sending(op) ? TR_ERR_TIMEOUT_WRITE : TR_ERR_TIMEOUT_READ;
    }
    tr_err_t err = TR_ERR_INIT;
    (void)tr_err_set(&err, code, 0, "op.timer", NULL);
    if (op->state == TR_OP_ACTIVE && op->hconn->h2 != NULL && op->hconn->received_ns <= op->activity_ns &&
        (code == TR_ERR_TIMEOUT_READ || code == TR_ERR_TIMEOUT_FIRST_BYTE || code == TR_ERR_TIMEOUT_TOTAL)) {
        /* Not a byte since: the path may be dead. Nothing new is put on it. */
        tr_hconn__retire(op->hconn);
    }
    tr_op__abort(op, &err);
}

/* --------------------------------------------------------------------------------------------------------- exchange */

static tr_code_t
read_body(void *arg, uint8_t *out, size_t max, size_t *out_len, tr_err_t *err)
{
    tr_op_t *op = arg;
    TR_UNUSED(err);
    size_t part = TR_MIN(max, op->ask.body.len - op->body_sent);
    if (part > 0) {
        memcpy(out, op->ask.body.data + op->body_sent, part);
        op->body_sent += part;
        op->activity_ns = tr_loop_now(loop_of());
    }
    *out_len = part;
    return op->body_sent == op->ask.body.len ? TR_EOF : TR_OK;
}

tr_body_source_t
tr_op__source(tr_op_t *op)
{
    /* Progress of a body matters where it can stall: large ones, and where a limit for it was asked. */
    if (op->flow != NULL && op->ask.has_body && (op->flow->written || op->flow->expects)) {
        return tr_flow__source(op);
    }
    bool counted = op->ask.body.len > 65536 || (op->timeouts.write_ms != 0 && op->ask.body.len > 0);
    tr_body_source_t source = {op->ask.has_body, (int64_t)op->ask.body.len, op->ask.body, NULL, op};
    op->body_sent = 0;
    op->sending_body = op->ask.has_body && counted;
    if (op->sending_body) {
        source.read = read_body;
    }
    return source;
}

static void
touch(tr_op_t *op)
{
    uint64_t now = tr_loop_now(loop_of());
    op->activity_ns = now;
    op->got_bytes = true;
    if (op->timing.first_byte_ns < 0) {
        op->timing.first_byte_ns = (int64_t)(now - op->start_ns);
    }
}

static void
on_informational(void *arg, int status, const tr_headers_t *headers)
{
    tr_op_t *op = arg;
    TR_UNUSED(headers);
    touch(op);
    if (status == 100 && op->flow != NULL) {
        tr_flow__continue(op);
    }
}

static void
store_cookies(tr_op_t *op, const tr_headers_t *headers)
{
    size_t index = 0;
    tr_slice_t value;
    int64_t now_s = 0;
    while (tr_headers_next(headers, &index, TR_SLICE_LIT("set-cookie"), &value)) {
        if (now_s == 0) {
            now_s = (int64_t)time(NULL);
        }
        /* A cookie that does not fit is one that is not stored. */
        (void)tr_cookiejar_receive(op->session->jar, &op->ask.url, value, now_s);
    }
}

/* ------------------------------------------------------------------------------------------------------------- restarts */

/* At the end of the turn: the rest of the answer that is dropped is not waited for. */
static void
restart_now(void *arg)
{
    tr_op_t *op = arg;
    if (op->restarts && op->state == TR_OP_ACTIVE) {
        tr_origin_t *origin = op->origin;
        op->restarts = false;
        tr_hconn__cancel(op->hconn, op);
        tr_origin__add(origin, op, true);
        tr_op__arm(op);
        tr_engine__settle(tr_engine__self());
    }
    tr_op_unref(op);
}

/* The request is made once more, with the hints that are now known to be wanted. The answer's end, or the end of the turn: what comes
 * first. */
static void
restart(tr_op_t *op)
{
    tr_defer_t *defer = tr_arena_alloc(&op->arena, sizeof(*defer));
    op->restarts = op->restarted = true;
    if (defer != NULL) { /* else the answer is read to its end */
        *defer = (tr_defer_t){{NULL, NULL}, restart_now, tr_op_ref(op)};
        tr_loop_defer(loop_of(), defer);
    }
}

/* That exchange has ended, however it did. */
static void
restart_ended(tr_op_t *op, tr_origin_t *origin)
{
    op->restarts = false;
    tr_origin__add(origin, op, true);
    tr_op__arm(op);
}

static tr_code_t
make_decoder(tr_op_t *op, tr_err_t *err)
{
    tr_hop_t *hop = op->hop;
    tr_response_t *r = &hop->response;
    const tr_session_t *session = op->session;
    uint8_t small[64];
    tr_buf_t joined;
    tr_slice_t coding;
    tr_buf_init_small(&joined, small, sizeof(small));
    tr_code_t code = tr_headers_list(&r->headers, TR_SLICE_LIT("content-encoding"), &joined, &coding);
    if (code != TR_OK || coding.len == 0) {
        tr_buf_cleanup(&joined);
        return code == TR_OK ? TR_OK : tr_err_nomem(err, "op.decoder");
    }
    /* What is read in pieces may be as long as it is; its ratio is limited all the same. */
    bool streams = op->flow != NULL && op->flow->streams;
    tr_decoder_limits_t limits = {streams ? 0 : tr_session__max_decoded(session, op->transport), TR_BODY_RATIO_ALLOWANCE,
                                  tr_session__max_ratio(session, op->transport)};
    bool unknown = false;
    code = tr_decoder_new(&hop->decoder, &unknown, coding, &limits, err);
    tr_buf_cleanup(&joined);
    if (code == TR_OK && hop->decoder != NULL && !streams) {
        tr_headers_remove(&r->headers, TR_SLICE_LIT("content-encoding"));
        tr_headers_remove(&r->headers, TR_SLICE_LIT("content-length"));
    }
    return code;
}

static void
list_hop(tr_op_t *op, tr_hop_t *hop)
{
    tr_response_t *r = &hop->response;
    hop->listed = true;
    if (op->last == NULL) {
        op->responses = r;
    } else {
        op->last->next = r;
    }
    op->last = r;
}

/* The answer says that the same request may be answered elsewhere or later: 421 on a connection that is another host's (RFC 9110 15.5.20: on
 * one of its own), 425 to early data (RFC 8470 5.2: once more, and the handshake is done by then). Once. */
static bool
wants_replay(const tr_op_t *op)
{
    int status = op->hop->response.status;
    bool again = (status == 421 && op->hconn->origin != op->origin && !op->hconn->forward) || (status == 425 && op->is_early);
    return TR_UNLIKELY(again) && op->num_replays == 0 && (op->flow == NULL || tr_flow__can_resend(op));
}

/* Whether the engine goes on to another request with this answer. */
static bool
is_followed(const tr_op_t *op)
{
    const tr_response_t *r = &op->hop->response;
    return (op->flags & TR_OP_FOLLOW_REDIRECTS) != 0 && tr_redirect_is(r->status, &r->headers);
}

/* Whether this answer, whose head came, is the one that the caller gets. */
static bool
is_for_caller(const tr_op_t *op)
{
    return !is_followed(op) && !wants_replay(op);
}

/* The answer is what the caller asked to have in pieces: hand it out. */
static void
publish(tr_op_t *op)
{
    tr_response_t *r = &op->hop->response;
    if (!is_for_caller(op)) {
        return;
    }
    r->elapsed_ns = tr_loop_now(loop_of()) - op->start_ns;
    list_hop(op, op->hop);
    tr_flow__publish(op);
}

#define MARK(name) tr_headers_mark(sizeof(name) - 1, (uint8_t)(name)[0])

static void
on_head(void *arg, int status, tr_headers_t *headers)
{
    tr_op_t *op = arg;
    tr_hop_t *hop = op->hop;
    tr_response_t *r = &hop->response;
    touch(op);
    r->status = status;
    r->http_version = (uint8_t)(op->hconn->h2 != NULL ? 20u : tr_h1_version(op->hconn->h1));
    tr_headers_move(&r->headers, headers);
    hop->has_head = true;
    uint32_t marks = tr_headers_marks(&r->headers);
    if ((marks & MARK("set-cookie")) != 0 && tr_initiator__uses_jar(op)) {
        store_cookies(op, &r->headers);
    }
    if (TR_UNLIKELY((marks & MARK("accept-ch")) != 0) && op->profile->hints != NULL && tr_hints__received(op, &r->headers)) {
        restart(op);
        return;
    }
    if (status == 407 && op->hconn->forward) {
        /* In absolute form this can only be the proxy's: the server does not know of it. */
        (void)tr_err_set(&op->error, TR_ERR_PROXY_AUTH, 407, "op.forward", "The proxy %s (status 407).",
                         tr_proxy_hop(op->ask.proxy, tr_proxy_num_hops(op->ask.proxy) - 1)->has_auth ? "does not accept the credentials"
                                                                                                     : "asks for credentials");
        return; /* kept in op->error until the first data or the end */
    }
    if (TR_UNLIKELY((op->flags & TR_OP_DUPLEX) != 0)) {
        op->switched = op->hconn->h2 != NULL ? status / 100 == 2 : status == 101;
        if (op->switched) {
            tr_hconn__switched(op->hconn);
            publish(op);
            return;
        }
        tr_flow__stop_body(op); /* there is nobody to talk to */
    }
    bool no_body = status == 204 || status == 304 || tr_slice_eq(op->ask.method, TR_SLICE_LIT("HEAD"));
    if (!no_body) {
        uint64_t len;
        tr_slice_t length = tr_headers_get(&r->headers, TR_SLICE_LIT("content-length"));
        bool has_length = length.data != NULL && tr_http_parse_length(length, &len);
        if ((marks & MARK("content-encoding")) != 0 && (op->flags & TR_OP_NO_DECODE) == 0 && make_decoder(op, &op->error) != TR_OK) {
            return; /* kept in op->error until the first data or the end */
        }
        if (has_length && hop->decoder == NULL && (op->flow == NULL || !op->flow->streams)) {
            tr_body_expect(&hop->body, len);
        }
    }
    if (TR_UNLIKELY(op->is_early)) {
        tr_hconn__note_timing(op->hconn, op); /* now it is known */
    }
    if (TR_UNLIKELY(op->flow != NULL)) {
        if (op->sending_body && (status >= 400 || op->flow->held)) {
            tr_flow__stop_body(op); /* RFC 9110 9.3: an answer that refuses the request ends its body */
        }
        if (op->flow->streams) {
            publish(op);
        } else if (op->flow->file != NULL && is_for_caller(op)) {
            (void)tr_flow__divert(op, &op->error); /* a failure is kept until the first data or the end */
        }
    }
}

static tr_code_t
body_failed(tr_code_t code, tr_err_t *err)
{
    return tr_err_set(err, code, 0, "op.body", NULL);
}

static tr_code_t
on_data(void *arg, tr_slice_t data, tr_chunk_t **chunk, tr_err_t *err)
{
    tr_op_t *op = arg;
    tr_hop_t *hop = op->hop;
    tr_code_t code;
    op->activity_ns = tr_loop_now(loop_of());
    if (op->error.code != TR_OK) {
        *err = op->error;
        return err->code;
    }
    if (TR_UNLIKELY(op->restarts)) {
        return TR_OK;
    }
    if (op->flow != NULL && op->flow->published) {
        return tr_flow__data(op, data, chunk, err);
    }
    if (hop->decoder != NULL) {
        code = tr_decoder_feed(hop->decoder, &hop->decoded, data, err);
        if (code != TR_OK) {
            return code;
        }
        code = tr_body_move(&hop->body, &hop->decoded);
    } else if (chunk != NULL && *chunk != NULL) {
        code = tr_body_take(&hop->body, chunk);
    } else {
        code = tr_body_append(&hop->body, data);
    }
    return code == TR_OK ? TR_OK : body_failed(code, err);
}

/* The exchange is over and its response complete: follow it, or that was the answer. */
static void
finish_hop(tr_op_t *op, tr_err_t *err)
{
    tr_hop_t *hop = op->hop;
    tr_response_t *r = &hop->response;
    tr_engine_t *engine = tr_engine__self();
    if (op->flow != NULL && op->flow->published) {
        if (tr_flow__end(op)) {
            tr_op__complete(op, NULL); /* it was handed out before */
        }
        return;
    }
    r->elapsed_ns = tr_loop_now(engine->loop) - op->start_ns;
    r->body_len = hop->body.len;
    list_hop(op, hop);
    if (!is_followed(op)) {
        tr_op__complete(op, NULL);
        return;
    }
    tr_code_t code = tr_redirect_next(op, err);
    if (code == TR_OK && op->flow != NULL && op->flow->written) {
        if (!op->ask.has_body) {
            tr_flow__stop_body(op);
        } else if (!tr_flow__can_resend(op)) {
            code = tr_err_set(err, TR_ERR_REQUEST_BODY, 0, "op.redirect",
                              "The server redirects the request, but its body cannot be read a second time.");
        }
    }
    if (code != TR_OK) {
        op->request_sent = true;
        tr_op__complete(op, err);
        return;
    }
    tr_session__count(&op->session->stats.redirects, 1);
    op->hop = NULL;
    op->restarted = false;
    op->hop_ns = tr_loop_now(engine->loop);
    op->num_replays = 0;
    op->state = TR_OP_QUEUED;
    if (op->timer.deadline_ns != 0) {
        tr_timer_clear(engine->loop, &op->timer);
    }
    tr_list_push(&engine->ready, &op->link);
}

void
tr_op__written(tr_op_t *op, const tr_err_t *err)
{
    tr_hop_t *hop = op->hop;
    if (err != NULL) {
        tr_op__abort(op, err);
        return;
    }
    if (!hop->listed) {
        hop->response.elapsed_ns = tr_loop_now(loop_of()) - op->start_ns;
        list_hop(op, hop);
    }
    tr_op__complete(op, NULL);
}

static void
on_end(void *arg, const tr_headers_t *trailers)
{
    tr_op_t *op = arg;
    tr_hop_t *hop = op->hop;
    tr_err_t err = op->error;
    tr_code_t code = err.code;
    if (code == TR_OK && trailers != NULL && trailers->len > 0 && tr_headers_copy(&hop->response.trailers, trailers) != TR_OK) {
        code = tr_err_nomem(&err, "op.trailers");
    }
    if (op->flow != NULL && op->flow->published) {
        goto done; /* the reader has the decoder */
    }
    if (code == TR_OK && hop->decoder != NULL) {
        code = tr_decoder_finish(hop->decoder, &hop->decoded, &err);
        if (code == TR_OK && (code = tr_body_move(&hop->body, &hop->decoded)) != TR_OK) {
            (void)body_failed(code, &err);
        }
    }
    tr_decoder_free(hop->decoder);
    hop->decoder = NULL;
done:;
    tr_origin_t *origin = op->origin;
    bool again = wants_replay(op);
    origin->calm_step_ns = 0;
    tr_hconn__op_ended(op->hconn, op, true);
    if (TR_UNLIKELY(op->restarts)) {
        restart_ended(op, origin);
        return;
    }
    if (code != TR_OK) {
        op->request_sent = true;
        tr_op__complete(op, &err);
        return;
    }
    if (again) {
        if (hop->response.status == 421) {
            tr_origin__return(origin, true);
        }
        op->num_replays++;
        tr_session__count(&op->session->stats.replays, 1);
        tr_origin__add(origin, op, true);
        tr_op__arm(op);
        return;
    }
    finish_hop(op, &err);
}

static void
on_fail(void *arg, const tr_err_t *cause, bool not_processed)
{
    tr_op_t *op = arg;
    tr_err_t err = *cause;
    tr_hconn_t *hconn = op->hconn;
    tr_origin_t *origin = op->origin;
    tr_op__note_failed(op, NULL);
    if (err.code == TR_ERR_CLOSED_EARLY && op->hop != NULL && op->hop->has_head) {
        /* TLS without close_notify, or the end of an HTTP/2 connection: the engines below do not know how far each answer came. */
        (void)tr_err_set(&err, TR_ERR_BODY_TRUNCATED, 0, "op.eof",
                         "unexpected EOF: the server closed the connection within its answer's body.");
    }
    bool got = op->got_bytes || (hconn->h1 != NULL && tr_h1_got_bytes(hconn->h1));
    bool kept = hconn->carried || hconn->up_ns < op->wait_ns; /* it was there before the op: it may have been dead for long */
    tr_retry_facts_t facts = {.code = err.code,
                              .not_processed = not_processed,
                              .sent = tr_hconn__sent(hconn, op),
                              .got_bytes = got,
                              .early = hconn->early,
                              .too_many = hconn->state == TR_HCONN_SHARED && tr_h2_stream_was_too_many(op->stream) && !op->was_too_many,
                              .reused = kept,
                              .num_replays = op->num_replays,
                              .method = op->ask.method};
    tr_retry_t retry = tr_retry_decide(&facts);
    TR_TRACE(TR_TOPIC_OP, "op %p failed: %s, sent %d, got %d, reused %d: replay %d", (void *)op, err.msg, facts.sent, facts.got_bytes,
             facts.reused, (int)retry);
    tr_hconn__op_ended(hconn, op, false);
    if (TR_UNLIKELY(op->restarts) && !atomic_load(&op->session->closed)) {
        restart_ended(op, origin);
        return;
    }
    if (err.code == TR_ERR_H2_CALM) {
        tr_origin__calm(origin);
    }
    if (op->flow != NULL && (op->flow->published || err.code == TR_ERR_REQUEST_BODY || !tr_flow__can_resend(op))) {
        retry = TR_RETRY_NO;
    }
    if (retry != TR_RETRY_NO && !atomic_load(&op->session->closed) && op->error.code == TR_OK) {
        op->was_too_many = op->was_too_many || retry == TR_RETRY_SAME;
        op->num_replays += retry == TR_RETRY_SAME ? 0 : 1;
        tr_session__count(&op->session->stats.replays, 1);
        if (retry == TR_RETRY_HTTP1 && (op->flags & TR_OP_DUPLEX) != 0) {
            /* Only this is wanted over HTTP/1.1. */
            if (!op->apart && (tr_op__go_apart(op) != TR_OK || tr_pool__find(&origin, op->session->pool, op) != TR_OK)) {
                (void)tr_err_nomem(&err, "op.websocket");
                tr_op__complete(op, &err);
                return;
            }
        } else if (retry == TR_RETRY_HTTP1) {
            origin->needs_http1 = true;
            origin->proto = TR_PROTO_H1;
            tr_origin__return(origin, true);
            if (hconn->origin->is_proxy) { /* it is the one that said so */
                hconn->origin->needs_http1 = true;
                hconn->origin->proto = TR_PROTO_H1;
            }
            if (hconn->origin == origin || hconn->forward) {
                tr_hconn__retire(hconn);
            }
        } else if (retry == TR_RETRY_SAME) {
            tr_hconn__dirty(hconn);
        } else if (hconn->h2 != NULL) {
            tr_hconn__retire(hconn);
        } else {
            tr_origin__drop_idle(origin); /* kept as long as this one, and dead with it */
        }
        tr_origin__add(origin, op, true);
        tr_op__arm(op);
        return;
    }
    op->request_sent = facts.sent;
    op->safe_to_retry = not_processed || !facts.sent;
    tr_op__complete(op, &err);
}

const tr_exchange_events_t tr_op__events = {on_informational, on_head, on_data, on_end, on_fail};
