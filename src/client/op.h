/* op: one request with its redirects, from tr_op_prepare to its completion. Built on the caller's thread, then owned by the loop until it
 * is done, then read by whoever holds a reference. Fields that cross threads name their rule; all others follow that ownership. */
#ifndef TR_CLIENT_OP_H
#define TR_CLIENT_OP_H

#include <stdatomic.h>

#include "client/body.h"
#include "client/client.h"
#include "client/queue.h"
#include "core/list.h"
#include "http/coding.h"
#include "http/exchange.h"
#include "http/url.h"
#include "http2/h2.h"
#include "net/loop.h"

/* URL, header fields and response record of a browser's navigation with a few headers of the caller's. */
#define TR_OP_SMALL 2560

struct tr_hconn;
struct tr_origin;
struct tr_engine;
struct tr_waiter;
struct tr_chain;

typedef enum tr_op_state {
    TR_OP_NEW,      /* not prepared, or not submitted */
    TR_OP_QUEUED,   /* in the engine's queue, or between two hops in its ready list */
    TR_OP_WAITING,  /* in an origin's list, for a connection */
    TR_OP_ACTIVE,   /* on a connection */
    TR_OP_WRITING,  /* the exchange is over, its body not yet in the op's file, or it is not known where it goes (TR_OP_TO_FILE) */
    TR_OP_COMPLETED /* done or about to be told so */
} tr_op_state_t;

/* A response with what only we need. */
typedef struct tr_hop {
    tr_response_t response; /* first: tr_response_t and tr_hop_t convert */
    tr_body_t body;
    tr_decoder_t *decoder; /* owned; NULL: none */
    tr_bufq_t decoded;     /* what the decoder left, on its way into body */
    bool has_head;         /* the final response head came */
    bool listed;           /* in op->responses */
} tr_hop_t;

/* What is asked for in this hop. Everything lies in the op's arena (body: see tr_op_request_t). */
typedef struct tr_ask {
    tr_slice_t method;
    tr_url_t url;
    tr_slice_t url_text; /* without userinfo, with fragment */
    tr_slice_t key;      /* the origin's, see tr_op__set_key */
    size_t key_rest;     /* offset in key of what hosts that share a connection agree in: all behind the host */
    size_t key_page;     /* offset of what is behind that: the page's site where that is another one; else the key's end */
    tr_proxy_t *proxy;   /* lent by the op's routes; NULL: none */
    tr_slice_t authorization; /* from the URL's userinfo; empty: none */
    const tr_field_t *headers;
    size_t num_headers;
    bool has_body;
    tr_slice_t body;
    tr_slice_t body_type;
    bool method_changed;
} tr_ask_t;

struct tr_op {
    atomic_uint refs;
    atomic_bool done;             /* release when results are complete, acquire by readers */
    atomic_bool cancel_requested; /* set once by any thread; read by the loop */
    atomic_bool submitted;
    atomic_bool orphaned; /* it was the parent's: set in a forked child, before any other thread is there */
    tr_msg_t submit_msg; /* engine lock while queued */
    tr_msg_t cancel_msg;
    tr_session_t *session; /* referenced */
    tr_sink_t *sink;       /* referenced from submit to completion; NULL: tr_op_wait */
    tr_op_t *sink_next;    /* in the sink, under its lock */
    struct tr_waiter *waiter; /* engine lock */
    void *user;
    void (*on_free)(void *user, void *body_owner);
    void *body_owner;
    struct tr_flow *flow; /* owned; NULL: bodies as a whole, which is the usual case */
    tr_arena_t arena;

    /* --- the request, as prepared --- */
    const tr_profile_t *profile; /* referenced */
    tr_trust_t *trust;           /* referenced; NULL: default */
    tr_identity_t *identity;     /* referenced; NULL: none */
    tr_transport_t *transport;   /* referenced; NULL: the defaults */
    tr_routes_t *routes;         /* referenced; NULL: no proxy */
    tr_timeouts_t timeouts;
    uint32_t flags;
    uint32_t max_redirects;
    const tr_cookie_t *cookies; /* the request's own; each has a domain: the first host where none was given */
    size_t num_cookies;
    size_t num_absent; /* of cookies, the last ones: marks (TR_COOKIE_ABSENT), for the first hop */
    const char *const *header_order;
    size_t num_header_order;
    tr_ask_t ask;
    uint32_t num_redirects;
    tr_kind_t kind;
    struct tr_initiator *initiator; /* in the arena; NULL: a navigation from the address bar */

    /* --- the loop's --- */
    tr_op_state_t state;
    tr_link_t link;         /* ready list, or origin's waiters */
    tr_link_t session_link; /* session's running ops */
    struct tr_origin *origin; /* while waiting or active */
    struct tr_hconn *hconn;   /* while active */
    tr_h2_stream_t *stream;   /* while active over HTTP/2 */
    tr_timer_t timer;
    uint64_t start_ns;
    uint64_t hop_ns;      /* this hop's start */
    uint64_t wait_ns;     /* when it began to wait for a connection */
    uint64_t activity_ns; /* last byte received, or of the body taken by the engine */
    size_t body_sent;     /* bytes of the body that the engine took */
    uint8_t num_replays;  /* of this hop */
    bool was_too_many;    /* it was refused once because of a limit that nobody knew */
    bool sending_body;    /* body_sent is counted (the engine reads through us) */
    bool got_bytes;       /* of this exchange's answer */
    bool was_sending;     /* when the timer last looked */
    bool is_early;        /* this exchange began before its connection's handshake was done */
    bool apart;           /* a WebSocket that needs a connection of its own */
    bool switched;        /* TR_OP_DUPLEX: the handshake is over */
    uint32_t hints;       /* 1 << tr_hint_t: what had been asked for when this exchange began */
    bool restarted;       /* this hop is made once more, with the hints that Critical-CH named */
    bool restarts;        /* ... and that is about to happen: this answer is dropped */
    tr_hop_t *hop;        /* this hop's; NULL before its first attempt */

    /* --- results --- */
    tr_response_t *responses;
    tr_response_t *last;
    tr_err_t error; /* code TR_OK: none */
    bool has_error;
    bool request_sent;
    bool safe_to_retry;
    tr_phase_t phase; /* of a failure */
    uint64_t elapsed_ns;
    tr_op_timing_t timing;
    struct tr_chain *chain; /* referenced: certificates of the last connection; NULL: none */
    /* The arena's first room: what a usual request needs, so that an op is one allocation, and that one reused (tr_op__recycle). Last:
     * nothing clears it. */
    _Alignas(max_align_t) uint8_t small[TR_OP_SMALL];
};

/* The message that brings a submitted op to the loop. */
void tr_op__submit_msg(tr_msg_t *msg);
/* tr_op__has_news: what tr_op_wait waits for: the op is done, or has an event. */
bool tr_op__has_news(const tr_op_t *op);
/* tr_op__start begins (or, after a redirect or before a replay, begins again) on the loop: finds the origin and queues there. */
void tr_op__start(tr_op_t *op);
/* tr_op__complete ends the op: err NULL means that op->responses is the answer. On the loop; releases the engine's reference (the op may be
 * gone afterwards). It must have left its connection and origin. */
void tr_op__complete(tr_op_t *op, const tr_err_t *err);
/* tr_op__abort takes the op off its connection, origin or list, as a cancellation does, and completes it with err. */
void tr_op__abort(tr_op_t *op, const tr_err_t *err);
/* tr_op__written ends an op whose body went into a file: err NULL: all of it. On the loop. */
void tr_op__written(tr_op_t *op, const tr_err_t *err);
/* tr_op__events are the callbacks for an exchange whose arg is the op. */
extern const tr_exchange_events_t tr_op__events;
/* tr_op__new_hop makes the record of the attempt that starts (dropping an earlier attempt's). TR_ERR_NOMEM. */
tr_code_t tr_op__new_hop(tr_op_t *op);
/* tr_op__recycle turns the reuse of freed ops on (while the engine runs) or off, then dropping those that are kept. */
void tr_op__recycle(bool on);
/* Around a fork: the lock of the kept ones is free in the child. */
void tr_op__before_fork(void);
void tr_op__after_fork(void);
/* tr_op__source describes the body for the engine. */
tr_body_source_t tr_op__source(tr_op_t *op);
/* tr_op__arm sets the timer to what the op waits for next. */
void tr_op__arm(tr_op_t *op);
/* tr_op__set_key chooses the hop's proxy and writes the name of the pool entry that it uses into ask->key. TR_ERR_NOMEM. */
tr_code_t tr_op__set_key(tr_op_t *op, tr_ask_t *ask);
/* What the key of a connection for one WebSocket has behind that of an ordinary one. */
#define TR_KEY_APART " websocket"
#define TR_KEY_APART_LEN (sizeof(TR_KEY_APART) - 1)
/* What stands before a page's site in a key. */
#define TR_KEY_PAGE " page "
#define TR_KEY_PAGE_LEN (sizeof(TR_KEY_PAGE) - 1)
/* tr_op__go_apart has a WebSocket use a connection of its own from here on: its key changes. TR_ERR_NOMEM. */
tr_code_t tr_op__go_apart(tr_op_t *op);
/* tr_op__set_authorization makes Basic credentials from the URL's userinfo. TR_ERR_NOMEM. */
tr_code_t tr_op__set_authorization(tr_op_t *op, tr_ask_t *ask);

/* tr_op__note_failed notes in which phase a waiting or active op fails, and at which address. hconn: the connection that failed under it
 * while it waited; NULL: its own, or the first that its origin opens. */
void tr_op__note_failed(tr_op_t *op, struct tr_hconn *hconn);
/* tr_op__base64 writes (in_len + 2) / 3 * 4 characters; returns how many. */
size_t tr_op__base64(uint8_t *out, const uint8_t *in, size_t in_len);

/* --- redirect.c --- */
/* tr_redirect_is says whether a response asks for another request. */
bool tr_redirect_is(int status, const tr_headers_t *headers);
/* tr_redirect_next turns the op's finished hop into its next: TR_OK, or TOO_MANY_REDIRECTS, REDIRECT_INVALID, REDIRECT_SCHEME, NOMEM. */
tr_code_t tr_redirect_next(tr_op_t *op, tr_err_t *err);

/* --- retry.c --- */
typedef enum tr_retry {
    TR_RETRY_NO,
    TR_RETRY_FRESH,  /* on another connection */
    TR_RETRY_SAME,   /* on this one, when it has room */
    TR_RETRY_HTTP1,  /* over HTTP/1.1, from now on for that origin */
} tr_retry_t;
/* What is known about an exchange that died. */
typedef struct tr_retry_facts {
    tr_code_t code;
    bool not_processed; /* the engine is sure */
    bool sent;          /* a byte of the request left */
    bool got_bytes;     /* a byte of the answer came */
    bool early;         /* in the handshake still: the request is one that may be repeated */
    bool too_many;      /* there were more under way than the server takes, for the first time */
    bool reused;        /* the connection had carried another exchange before */
    uint8_t num_replays;
    tr_slice_t method;
} tr_retry_facts_t;
tr_retry_t tr_retry_decide(const tr_retry_facts_t *facts);
/* tr_op__may_be_early says whether the op may go as early data: what is safe (RFC 9110 9.2.1), has no body and was not refused there before
 * (RFC 8470). Browsers hold the rest back until the handshake is done. */
bool tr_op__may_be_early(const tr_op_t *op);
/* RFC 9110 9.2.2. */
bool tr_method_is_idempotent(tr_slice_t method);

#endif
