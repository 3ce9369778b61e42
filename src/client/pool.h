/* pool: a session's connections by origin, and who waits for one. An origin entry stands for scheme, host, port, profile, verification, trust
 * client certificate, transport (transport.h) and proxy (its credentials included) together: what differs in any of them shares neither
 * connection nor ticket. On the loop. */
#ifndef TR_CLIENT_POOL_H
#define TR_CLIENT_POOL_H

#include "client/engine.h"
#include "client/op.h"
#include "client/session.h"
#include "core/map.h"

typedef enum tr_proto { TR_PROTO_UNKNOWN, TR_PROTO_H1, TR_PROTO_H2 } tr_proto_t;

typedef struct tr_pool {
    tr_engine_t *engine;
    tr_session_t *session; /* owner */
    tr_map_t origins;      /* key text to tr_origin_t, owned */
    struct tr_origin *recent; /* of the last look-up */
    tr_list_t unused;      /* origins without connections and ops, oldest first, by unused_link */
    size_t num_unused;
    size_t num_conns;      /* of all origins, those that are leaving included */
    size_t num_idle;       /* of these, without an exchange */
    tr_list_t shared;      /* HTTP/2 connections that take more, of all origins, by shared_link */
    tr_list_t starved;     /* origins that wait for room below limits.max_total, longest first, by starved_link */
} tr_pool_t;

typedef struct tr_origin {
    tr_pool_t *pool;
    tr_link_t dirty_link;
    tr_link_t unused_link;
    tr_link_t starved_link;
    char *key; /* owned, with NUL */
    size_t key_len, key_rest, key_page; /* see tr_ask_t */
    char *ticket_key; /* owned; an ordinary connection's key, where `key` is not: tickets are common */
    char *host; /* owned, with NUL */
    uint16_t port;
    bool https;
    uint32_t flags; /* TR_OP_HTTP1_ONLY, TR_OP_NO_VERIFY */
    const tr_profile_t *profile; /* referenced */
    tr_trust_t *trust;       /* referenced; NULL: default */
    tr_identity_t *identity; /* referenced */
    tr_transport_t *transport; /* referenced; NULL: the defaults */
    tr_proxy_t *proxy;       /* referenced; NULL: none */
    bool forward;            /* the proxy makes no tunnel for plain http: it is given requests in absolute form */
    bool anonymous;          /* requests without credentials (fetch standard: credentials mode) */
    bool is_proxy;           /* it is the last of `proxy` itself: its connections are for others (tunnel.h) */
    tr_list_t asking;        /* then: tr_tunnel_t by link, oldest first */
    size_t num_asking;
    tr_slice_t user_agent;   /* then: owned; for CONNECT to those before it */
    tr_proto_t proto;    /* what the last connection spoke */
    struct tr_chain *chain; /* referenced: the certificates of the last full handshake; NULL: none */
    bool needs_http1;    /* a server answered HTTP_1_1_REQUIRED */
    bool no_early;       /* a handshake with early data failed */
    size_t num_early;    /* connections in use whose handshake is not done */
    bool apart;          /* each connection is for one WebSocket: HTTP/1.1, uncounted once it is one */
    size_t num_held;     /* of the waiters: WebSockets until a connection has said whether it takes them */
    struct tr_hconn *lender; /* another origin's shared connection that serves this one, too (RFC 9113 9.1.1); NULL: none */
    tr_link_t borrow_link;   /* in the lender's borrowers */
    size_t num_away;         /* exchanges under way on such a connection */
    bool alone;              /* a server said that it is not the one for this host (421): nothing is borrowed again */
    bool trust_pending;
    tr_list_t waiters;   /* ops, by link, oldest first */
    size_t num_waiters;
    tr_list_t connecting, idle, busy, shared; /* tr_hconn_t by link; shared: HTTP/2 that takes more */
    tr_list_t leaving;   /* take no more exchanges and end with their last */
    size_t num_conns, num_connecting;
    uint64_t calm_ns;    /* no request before this */
    uint64_t calm_step_ns;
    tr_timer_t calm_timer;
} tr_origin_t;

tr_code_t tr_pool__new(tr_pool_t **out, tr_engine_t *engine, tr_session_t *session);
/* tr_pool__free closes all connections; no op may be waiting or active. */
void tr_pool__free(tr_pool_t *pool);
/* tr_pool__find gives the origin of the op's current hop, made if needed. TR_ERR_NOMEM. */
tr_code_t tr_pool__find(tr_origin_t **out, tr_pool_t *pool, const tr_op_t *op);
/* tr_pool__find_proxy gives the origin that stands for the last proxy of a way, for connections with the settings of `like`. TR_ERR_NOMEM. */
tr_code_t tr_pool__find_proxy(tr_origin_t **out, const tr_origin_t *like, tr_slice_t key, tr_proxy_t *way);
/* tr_pool__takes_websocket says whether a connection that is there carries the op's WebSocket (RFC 8441). Makes nothing. */
bool tr_pool__takes_websocket(tr_pool_t *pool, const tr_op_t *op);
/* tr_pool__trust_ready tells all origins that wait for the default store; err NULL: it is there. */
void tr_pool__trust_ready(tr_engine_t *engine, const tr_err_t *err);

/* tr_pool__has_room tells those who wait for it that a connection ended or may be given up. */
void tr_pool__has_room(tr_pool_t *pool);

/* tr_origin__add puts the op at the end (a replay: at the front) of those who wait. */
void tr_origin__add(tr_origin_t *origin, tr_op_t *op, bool front);
/* tr_origin__leave takes a waiting op out. */
void tr_origin__leave(tr_origin_t *origin, tr_op_t *op);
/* tr_origin__abandoned is called when a waiting op gave up: connections that nobody waits for and that hang are dropped. */
void tr_origin__abandoned(tr_origin_t *origin);
/* tr_origin__dirty has the origin dispatched when the engine settles. */
void tr_origin__dirty(tr_origin_t *origin);
/* tr_origin__dispatch gives waiting ops to connections and opens what is missing. */
void tr_origin__dispatch(tr_origin_t *origin);
/* tr_origin__partition gives scheme and site of the page for whose sake the origin is asked. */
void tr_origin__partition(const tr_origin_t *origin, tr_slice_t *out_scheme, tr_slice_t *out_site);
/* tr_origin__trust gives the certificates to trust in: TR_OK with *out lent (NULL: nothing is verified); TR_AGAIN: they are being loaded, and the
 * origin is dispatched then; or a failure. */
tr_code_t tr_origin__trust(tr_origin_t *origin, tr_trust_t **out, tr_err_t *err);
/* tr_origin__failed: a connection could not be made. */
void tr_origin__failed(tr_origin_t *origin, struct tr_hconn *hconn, const tr_err_t *err);
/* tr_origin__calm: the server said ENHANCE_YOUR_CALM. */
void tr_origin__calm(tr_origin_t *origin);
/* tr_origin__borrow looks among the pool's connections for one that the origin can use as its own, because one of these addresses is its
 * peer's and its certificate has the host's name, as browsers do; true: the origin has it from now on. */
bool tr_origin__borrow(tr_origin_t *origin, const tr_address_t *addresses, size_t num);
/* tr_origin__lend has the origin use another's connection as its own from now on. */
void tr_origin__lend(tr_origin_t *origin, struct tr_hconn *hconn);
/* tr_origin__return gives a borrowed connection up; alone: and borrows none again. */
void tr_origin__return(tr_origin_t *origin, bool alone);
/* tr_origin__drop_idle closes kept connections (one of them turned out dead). */
void tr_origin__drop_idle(tr_origin_t *origin);
/* tr_origin__check_unused moves the origin to its pool's unused list when nothing holds it. */
void tr_origin__check_unused(tr_origin_t *origin);

#endif
