#include "client/session.h"

#include "client/engine.h"
#include "client/hints.h"
#include "client/op.h"
#include "client/pool.h"
#include "core/limits.h"
#include "core/mem.h"

/* As many as browsers open to one host. */
#define MAX_H1_PER_ORIGIN 6
#define IDLE_TIMEOUT_MS 90000

/* Zero means the default, the largest number none (which below this layer is zero). */
static uint64_t
limit(uint64_t value, uint64_t fallback, uint64_t none)
{
    return value == 0 ? fallback : (value == none ? 0 : value);
}

tr_code_t
tr_session_new(tr_session_t **out, const tr_session_options_t *options, tr_err_t *err)
{
    static const tr_session_options_t defaults;
    const tr_session_options_t *o = options == NULL ? &defaults : options;
    tr_session_t *s = tr_calloc(1, sizeof(*s));
    if (s == NULL) {
        return tr_err_nomem(err, "session.new");
    }
    atomic_init(&s->refs, 1);
    tr_list_init(&s->ops);
    s->max_h1_per_origin = o->max_h1_per_origin == 0 ? MAX_H1_PER_ORIGIN : o->max_h1_per_origin;
    s->idle_timeout_ms = o->idle_timeout_ms == 0 ? IDLE_TIMEOUT_MS : o->idle_timeout_ms;
    s->max_header_bytes = o->max_header_bytes == 0 ? TR_HTTP_MAX_HEADER_BYTES : o->max_header_bytes;
    s->max_ratio = (uint32_t)limit(o->max_ratio, TR_BODY_MAX_RATIO, UINT32_MAX);
    s->max_decoded = limit(o->max_decoded, TR_BODY_MAX_DECODED, UINT64_MAX);
    s->jar = o->jar != NULL ? tr_cookiejar_ref(o->jar) : tr_cookiejar_new();
    s->keylog_path = o->keylog_path == NULL ? NULL : tr_strndup(o->keylog_path, strlen(o->keylog_path));
    if (s->jar == NULL || (o->keylog_path != NULL && s->keylog_path == NULL)) {
        tr_cookiejar_unref(s->jar);
        tr_free(s->keylog_path);
        tr_free(s);
        return tr_err_nomem(err, "session.new");
    }
    *out = s;
    return TR_OK;
}

tr_session_t *
tr_session_ref(tr_session_t *session)
{
    atomic_fetch_add_explicit(&session->refs, 1, memory_order_relaxed);
    return session;
}

static void
free_session(tr_session_t *s)
{
    tr_cookiejar_unref(s->jar);
    tr_tickets_free(s->tickets);
    tr_hints__free(s->hints);
    tr_free(s->keylog_path);
    tr_free(s);
}

static void
free_msg(tr_msg_t *msg)
{
    tr_session_t *s = TR_CONTAINER_OF(msg, tr_session_t, free_msg);
    tr_session__drop_pool(s);
    free_session(s);
}

void
tr_session_unref(tr_session_t *session)
{
    if (session == NULL || atomic_fetch_sub_explicit(&session->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    /* Running ops hold references: there are none. Connections are closed on the loop; when there is no pool any more, nothing is its. */
    if (session->pool == NULL) {
        free_session(session);
        return;
    }
    session->free_msg.fn = free_msg;
    if (atomic_load(&session->used) && tr_engine__post(tr_engine__self(), &session->free_msg, false)) {
        return;
    }
    if (atomic_load(&session->used) && !tr_engine__outlives_pools(tr_engine__self()) && session->pool != NULL) {
        session->orphan = true; /* inside the engine's stop, on its thread: it drops the pool and calls back */
        return;
    }
    free_session(session);
}

void
tr_session__stop(tr_session_t *session, const tr_err_t *err)
{
    bool orphan = session->orphan;
    if (!orphan) {
        tr_session_ref(session);
    }
    tr_session__abort_ops(session, err);
    tr_session__drop_pool(session);
    if (orphan) {
        free_session(session);
    } else {
        tr_session_unref(session);
    }
}

static void
close_msg(tr_msg_t *msg)
{
    tr_session_t *s = TR_CONTAINER_OF(msg, tr_session_t, close_msg);
    tr_err_t err = TR_ERR_INIT;
    (void)tr_err_set(&err, TR_ERR_CLIENT_CLOSED, 0, "session.close", NULL);
    tr_session__abort_ops(s, &err);
    tr_session__drop_pool(s);
    tr_session_unref(s);
}

void
tr_session_close(tr_session_t *session)
{
    if (atomic_exchange(&session->closed, true) || !atomic_load(&session->used)) {
        return;
    }
    session->close_msg.fn = close_msg;
    tr_session_ref(session);
    if (!tr_engine__do(tr_engine__self(), &session->close_msg)) {
        tr_session_unref(session);
    }
}

tr_cookiejar_t *
tr_session_jar(tr_session_t *session)
{
    return session->jar;
}

void
tr_session_stats(tr_session_t *session, tr_session_stats_t *out)
{
#define READ(name) atomic_load_explicit(&session->stats.name, memory_order_relaxed)
    uint64_t ended = READ(ops_succeeded) + READ(ops_failed);
    *out = (tr_session_stats_t){
        .ops_started = READ(ops_started),
        .ops_succeeded = READ(ops_succeeded),
        .ops_failed = READ(ops_failed),
        .requests_h1 = READ(requests_h1),
        .requests_h2 = READ(requests_h2),
        .replays = READ(replays),
        .redirects = READ(redirects),
        .conns_opened = READ(conns_opened),
        .conns_failed = READ(conns_failed),
        .handshakes = READ(handshakes),
        .resumed = READ(resumed),
        .conns_open = (uint32_t)READ(conns_open),
        .conns_connecting = (uint32_t)READ(conns_connecting),
        .conns_idle = (uint32_t)READ(conns_idle),
        .ops_active = (uint32_t)READ(ops_active),
    };
#undef READ
    uint64_t running = out->ops_started > ended ? out->ops_started - ended : 0;
    out->ops_waiting = running > out->ops_active ? (uint32_t)(running - out->ops_active) : 0;
}

void
tr_session__abort_ops(tr_session_t *session, const tr_err_t *err)
{
    tr_engine_t *engine = tr_engine__self();
    tr_link_t *link;
    bool held = tr_engine__hold(engine);
    while ((link = tr_list_first(&session->ops)) != NULL) {
        tr_op__abort(TR_CONTAINER_OF(link, tr_op_t, session_link), err);
    }
    tr_engine__release(engine, held);
}

void
tr_session__drop_pool(tr_session_t *session)
{
    tr_pool_t *pool = session->pool;
    if (pool != NULL) {
        session->pool = NULL;
        tr_list_remove(&session->link);
        tr_pool__free(pool);
    }
}
