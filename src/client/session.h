/* session: a client's settings, cookie jar, tickets and pool. Made and referenced on any thread; the pool and the list of running ops belong
 * to the loop and exist from the first request on. */
#ifndef TR_CLIENT_SESSION_H
#define TR_CLIENT_SESSION_H

#include <stdatomic.h>

#include "client/client.h"
#include "client/queue.h"
#include "core/limits.h"
#include "core/list.h"
#include "core/map.h"
#include "tls/ticket.h"

struct tr_pool;

struct tr_session {
    atomic_uint refs;
    atomic_bool closed;
    atomic_bool used; /* an op was submitted: there may be a pool */
    tr_msg_t close_msg;
    tr_msg_t free_msg;
    tr_cookiejar_t *jar; /* referenced */
    uint32_t max_h1_per_origin, idle_timeout_ms, max_header_bytes, max_ratio;
    uint64_t max_decoded;
    char *keylog_path; /* owned; NULL: the environment's */
    /* Written on the loop alone, read by anybody: tr_session__count. */
    struct {
        atomic_ullong ops_started, ops_succeeded, ops_failed, requests_h1, requests_h2, replays, redirects;
        atomic_ullong conns_opened, conns_failed, handshakes, resumed, conns_open, conns_connecting, conns_idle, ops_active;
    } stats;

    /* --- the loop's --- */
    struct tr_pool *pool; /* owned; NULL before the first request, and after the engine stopped */
    tr_tickets_t *tickets; /* owned; outlives the pool */
    tr_map_t *hints; /* owned; what Accept-CH asked for (hints.h); NULL: nothing yet. Outlives the pool */
    tr_list_t ops;        /* running, by session_link */
    tr_link_t link;       /* engine's sessions, while there is a pool */
    bool orphan;          /* the last reference went during the engine's stop */
};

/* The limits of a hop's body: the transport's where it says something, else the session's; 0: none. */
static inline uint64_t
tr_session__max_decoded(const tr_session_t *session, const tr_transport_t *transport)
{
    uint64_t max = tr_transport_limits(transport)->max_decoded;
    return max == 0 ? session->max_decoded : max == UINT64_MAX ? 0 : max;
}

/* The same for one that goes into a file: what was asked for; the default is there because a body is held in memory. */
static inline uint64_t
tr_session__max_file(const tr_session_t *session, const tr_transport_t *transport)
{
    bool asked = tr_transport_limits(transport)->max_decoded != 0 || session->max_decoded != TR_BODY_MAX_DECODED;
    return asked ? tr_session__max_decoded(session, transport) : 0;
}

static inline uint32_t
tr_session__max_ratio(const tr_session_t *session, const tr_transport_t *transport)
{
    uint32_t max = tr_transport_limits(transport)->max_ratio;
    return max == 0 ? session->max_ratio : max == UINT32_MAX ? 0 : max;
}

/* tr_session__count changes a counter. One writer: no locked instruction is needed. */
static inline void
tr_session__count(atomic_ullong *counter, int delta)
{
    unsigned long long value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + (unsigned long long)(long long)delta, memory_order_relaxed);
}

/* tr_session__drop_pool closes every connection; ops must be gone. On the loop. */
void tr_session__drop_pool(tr_session_t *session);
/* tr_session__abort_ops completes every running op with err. On the loop. */
void tr_session__abort_ops(tr_session_t *session, const tr_err_t *err);

/* tr_session__stop cancels with err and drops the pool, when the engine stops. */
void tr_session__stop(tr_session_t *session, const tr_err_t *err);

#endif
