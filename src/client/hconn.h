/* hconn: one HTTP connection: a transport connection with an HTTP/1.1 or HTTP/2 engine on it, chosen when it is up. Belongs to its origin.
 * On the loop. */
#ifndef TR_CLIENT_HCONN_H
#define TR_CLIENT_HCONN_H

#include "client/pool.h"
#include "http1/h1.h"
#include "http2/h2.h"
#include "net/conn.h"

/* Of a connection attempt or handshake whose op has no limit of its own: a little less than Linux's for a peer that never answers. */
#define TR_HCONN_CONNECT_MAX_MS 120000

static inline uint32_t
tr_hconn__limit(uint32_t ms)
{
    return ms != 0 ? ms : TR_HCONN_CONNECT_MAX_MS;
}

typedef enum tr_hconn_state {
    TR_HCONN_CONNECTING,
    TR_HCONN_IDLE,    /* HTTP/1.1, kept */
    TR_HCONN_BUSY,    /* HTTP/1.1, one exchange */
    TR_HCONN_SHARED,  /* HTTP/2 */
    TR_HCONN_LEAVING, /* HTTP/2: ends with its last exchange */
    TR_HCONN_SWITCHED, /* HTTP/1.1, became a WebSocket: counts no more among the origin's connections, ends with it */
    TR_HCONN_DEAD     /* closed; freed when the turn ends */
} tr_hconn_state_t;

typedef struct tr_hconn {
    tr_link_t link;       /* the origin's list of its state */
    tr_link_t dirty_link;
    tr_link_t shared_link; /* the pool's shared */
    tr_list_t borrowers;   /* other origins that it serves, by borrow_link */
    tr_list_t tunnels;     /* HTTP/2 to a proxy: what it carries besides, tr_tunnel_t by link */
    struct tr_tunnel *tunnel; /* owned; what an https proxy is asked for, or what it stands on; NULL: none */
    tr_origin_t *origin;
    tr_conn_t *conn; /* owned; NULL when dead */
    tr_h1_t *h1;     /* owned; one of the two once connected */
    tr_h2_t *h2;
    tr_hconn_state_t state;
    tr_op_t *op; /* HTTP/1.1: of the exchange under way */
    uint64_t out_mark; /* ... tr_conn_written when all that was pulled of its request is out; with HTTP/2 each stream has one */
    uint32_t num_requests;  /* started */
    uint32_t num_active;    /* exchanges under way */
    bool carried;           /* an exchange was completed on it */
    uint64_t up_ns;         /* when it was connected */
    bool http1_only;        /* only that was offered */
    bool early;             /* the handshake is under way and takes early data: safe requests alone (tr_op__may_be_early) */
    tr_buf_t early_held;    /* secret; output that early data had no room for: first when the handshake is done */
    bool resting;           /* counted as idle */
    uint64_t ping_ns;       /* when the last PING of limits.ping_interval_ms went out; 0: never */
    struct tr_chain *chain; /* referenced: what the server sent; NULL: none */
    bool forward;           /* to a proxy that is given requests in absolute form */
    bool uncounted;         /* one to a proxy that has not said yet that it is for several */
    uint32_t connect_ms, tls_ms; /* of who opened it */
    uint64_t opened_ns, idle_ns, received_ns;
    tr_timer_t idle_timer;
    tr_code_t held_end;     /* HTTP/1.1: the transport ended while the exchange was paused; told when what came before was fed */
    tr_err_t held_err;
    tr_defer_t free_defer;
} tr_hconn_t;

/* tr_hconn__open starts a connection for the origin with the limits of op. */
tr_code_t tr_hconn__open(tr_hconn_t **out, tr_origin_t *origin, const tr_op_t *op, tr_trust_t *trust, tr_err_t *err);
/* tr_hconn__open_proxy starts one to the proxy for which the origin stands. */
tr_code_t tr_hconn__open_proxy(tr_hconn_t **out, tr_origin_t *proxy, tr_trust_t *trust, tr_err_t *err);
/* tr_hconn__not_needed closes one that is not up yet, because another does in its place. */
void tr_hconn__not_needed(tr_hconn_t *hconn);
/* tr_hconn__tunnel_began, tr_hconn__tunnel_ended: it carries a tunnel more, or less. */
void tr_hconn__tunnel_began(tr_hconn_t *hconn);
void tr_hconn__tunnel_ended(tr_hconn_t *hconn);
/* tr_hconn__is_full says whether the streams under way are as many as a shared connection may have. */
bool tr_hconn__is_full(const tr_hconn_t *hconn);
/* tr_hconn__close ends it at once. Exchanges must be gone (cancelled or told). Freed when the turn ends. */
void tr_hconn__close(tr_hconn_t *hconn);
/* tr_hconn__can_take says whether an idle or shared connection takes one more exchange now. */
bool tr_hconn__can_take(tr_hconn_t *hconn);
/* tr_hconn__submit starts the op's exchange. TR_OK: the op is active; TR_AGAIN: no room, the op is unchanged; failure: the op's own fault. */
tr_code_t tr_hconn__submit(tr_hconn_t *hconn, tr_op_t *op, tr_err_t *err);
/* tr_hconn__cancel takes an active op off: RST_STREAM, or the end of an HTTP/1.1 connection. */
void tr_hconn__cancel(tr_hconn_t *hconn, tr_op_t *op);
/* tr_hconn__switched: the exchange of op became a WebSocket. */
void tr_hconn__switched(tr_hconn_t *hconn);
/* tr_hconn__op_ended: the exchange of op called its end (complete) or fail. */
void tr_hconn__op_ended(tr_hconn_t *hconn, tr_op_t *op, bool complete);
/* tr_hconn__retire lets a shared connection take no new exchange. */
void tr_hconn__retire(tr_hconn_t *hconn);
/* tr_hconn__note_timing fills in what is known of the connection: where and how, since when. */
void tr_hconn__note_timing(tr_hconn_t *hconn, tr_op_t *op);
/* tr_hconn__sent says whether a byte of the op's request was given to the transport. */
bool tr_hconn__sent(const tr_hconn_t *hconn, const tr_op_t *op);
/* tr_hconn__is_out says whether the kernel has taken all that was pulled of the op's request, however much of others, or of answers to the
 * server's PINGs, is still queued behind it. */
bool tr_hconn__is_out(const tr_hconn_t *hconn, const tr_op_t *op);
/* tr_hconn__resume feeds an exchange again whose data callback had paused it. */
void tr_hconn__resume(tr_hconn_t *hconn, tr_op_t *op);
/* tr_hconn__resume_body: the op's body source has bytes again. */
void tr_hconn__resume_body(tr_hconn_t *hconn, tr_op_t *op);
/* tr_hconn__flush pulls the engine's output into the transport. */
void tr_hconn__flush(tr_hconn_t *hconn);
void tr_hconn__dirty(tr_hconn_t *hconn);

#endif
