/* client: what the language binding and the command-line tool use: engine (one I/O thread a process), session (a client's pool, tickets, jar),
 * op (one request with its redirects), sink (where completions arrive). Thread rules stand with each function.
 *
 *   op = tr_op_new(session); tr_op_prepare(op, &request, &err)      any thread, nothing sent yet
 *   tr_op_submit(op, sink)   ... later: tr_sink_take(sink) == op     async, completion by the sink's descriptor
 *   tr_op_submit(op, NULL); tr_op_wait(op, max_ns)                   blocking: the caller drives the loop itself when nobody else does
 *   tr_op_response(op), tr_op_error(op)                              after completion
 *
 * Every submitted op completes exactly once: with a response, an error or CANCELLED, also when the session closes, the engine stops, or
 * the process forks (in the child: CANCELLED at the next wait). */
#ifndef TR_CLIENT_CLIENT_H
#define TR_CLIENT_CLIENT_H

#include "client/cookiejar.h"
#include "client/routes.h"
#include "client/transport.h"
#include "crypto/hash.h"
#include "http/headers.h"
#include "profile/profile.h"
#include "tls/x509.h"

typedef struct tr_session tr_session_t;
typedef struct tr_op tr_op_t;
typedef struct tr_sink tr_sink_t;

/* ------------------------------------------------------------------------------------------------------------ engine */

/* tr_engine_start makes the process-wide engine if there is none (also: in a forked child, where the parent's is dropped without a word on
 * the wire). Called by tr_op_submit itself; call it early to have errors early. The I/O thread blocks all signals. */
tr_code_t tr_engine_start(tr_err_t *err);
/* tr_engine_stop completes all ops with CANCELLED, closes everything and joins the thread. Before interpreter exit, without the GIL. A later
 * submit starts a new engine unless `forever`. */
void tr_engine_stop(bool forever);
/* Counters for tests and stats(): live values of the process. */
typedef struct tr_engine_stats {
    uint64_t ops_submitted, ops_completed, conns_opened, conns_open, handshakes, resumed, requests_h1, requests_h2;
} tr_engine_stats_t;
void tr_engine_stats(tr_engine_stats_t *out);

/* tr_trust_shared gives the trusted certificates of a PEM file or directory (tr_trust_new_from), loaded once a process and again when
 * the file changed (device, inode, size, time): clients with the same verify="ca.pem" share a store and what it has verified. The caller
 * owns a reference. Reads files; any thread. */
tr_code_t tr_trust_shared(tr_trust_t **out, const char *path, tr_err_t *err);
/* tr_identity_from_files reads a client certificate with its chain and its key (key_path NULL: in the same file) from PEM files. TLS_IDENTITY says
 * what is wrong with which. Reads files; any thread. */
tr_code_t tr_identity_from_files(tr_identity_t **out, const char *cert_path, const char *key_path, const char *password, tr_err_t *err);
/* tr_trust_forget drops what tr_trust_shared keeps (tests; memory). */
void tr_trust_forget(void);

/* ----------------------------------------------------------------------------------------------------------- session */

typedef struct tr_session_options {
    uint32_t max_h1_per_origin;   /* connections; 0: 6, as browsers */
    uint32_t idle_timeout_ms;     /* of kept connections; 0: 90 s */
    uint32_t max_header_bytes;    /* 0: TR_HTTP_MAX_HEADER_BYTES */
    uint32_t max_ratio;           /* 0: TR_BODY_MAX_RATIO; UINT32_MAX: none */
    uint64_t max_decoded;         /* 0: TR_BODY_MAX_DECODED; UINT64_MAX: none */
    const char *keylog_path;      /* copied; NULL: SSLKEYLOGFILE when set */
    tr_cookiejar_t *jar;          /* referenced; NULL: a new one */
} tr_session_options_t;

/* tr_session_new is cheap (well under 2 KB) and starts nothing. Any thread. NULL options: defaults. Count 1. */
tr_code_t tr_session_new(tr_session_t **out, const tr_session_options_t *options, tr_err_t *err);
tr_session_t *tr_session_ref(tr_session_t *session);
/* The last unref closes idle connections on the I/O thread. */
void tr_session_unref(tr_session_t *session);
/* tr_session_close fails running ops with CLIENT_CLOSED and closes the connections; later submits complete with CLIENT_CLOSED. Any thread. */
void tr_session_close(tr_session_t *session);
tr_cookiejar_t *tr_session_jar(tr_session_t *session); /* lent */
/* Counters of a session, and what there is of it now. Any thread; each number is exact, together they are of nearly the same moment. */
typedef struct tr_session_stats {
    uint64_t ops_started, ops_succeeded, ops_failed; /* requests with their redirects; succeeded: an answer came, whatever its status */
    uint64_t requests_h1, requests_h2;               /* exchanges begun, redirects and replays included */
    uint64_t replays, redirects;
    uint64_t conns_opened, conns_failed, handshakes, resumed;
    uint32_t conns_open, conns_connecting, conns_idle; /* now */
    uint32_t ops_active, ops_waiting;                  /* now: on a connection; for one */
} tr_session_stats_t;
void tr_session_stats(tr_session_t *session, tr_session_stats_t *out);

/* ---------------------------------------------------------------------------------------------------------------- op */

enum {
    TR_OP_FOLLOW_REDIRECTS = 1u << 0,
    TR_OP_HTTP1_ONLY = 1u << 1,    /* ALPN http/1.1 only */
    TR_OP_HTTP2_ASKED = 1u << 2,   /* http2=True: a redirect from https to http is REDIRECT_SCHEME */
    TR_OP_NO_VERIFY = 1u << 3,
    TR_OP_EXACT_HEADERS = 1u << 4, /* headers are all that is sent (the caller gave a user-agent, or headers=None): only host, content-length,
                                      content-type of the body and cookie are added, where the browser puts them */
    TR_OP_NO_COOKIES = 1u << 5,    /* neither send from the jar nor store into it */
    TR_OP_NO_DECODE = 1u << 6,     /* leave content codings */
    TR_OP_NEW_TUNNEL = 1u << 7,    /* with a proxy: a connection of this hop's own, and no resumption: the exit may be another each time */
    TR_OP_STREAM = 1u << 8,        /* the answer is handed out when its head is there, its body by tr_op_read_* */
    TR_OP_NO_EARLY = 1u << 10,     /* not as early data (RFC 8446 2.3), whatever profile and ticket allow */
    TR_OP_HEAD_LIMIT = 1u << 11,   /* with TR_OP_STREAM: total_ms ends with the answer's head */
    TR_OP_DUPLEX = 1u << 12,       /* with TR_OP_STREAM, TR_KIND_WEBSOCKET and a body that is written: after 101 (HTTP/2: 2xx to an extended
                                      CONNECT) tr_op_read_* and tr_op_write are a stream of bytes both ways, without time limits; any other
                                      answer is an answer. Redirects are not followed */
    TR_OP_TO_FILE = 1u << 13,      /* with TR_OP_STREAM: tr_op_read_to_file may be called. The op then is not done before that, or a first
                                      tr_op_read_fill, or its failure */
    TR_OP_STALL_LIMIT = 1u << 9    /* total_ms counts from the last byte sent or received, not from the start of the hop: for bodies
                                      that may take as long as they move */
};

/* By method and body: GET without one is a navigation, POST of a form a form's, anything else a fetch. */
#define TR_KIND_AUTO TR_KIND_COUNT

/* Cookies of the jar (and their storage): never; only to the page's own origin; always. Default: same origin for fetch and XHR, else
 * always. A connection carries requests of one sort only. */
typedef enum tr_credentials {
    TR_CREDENTIALS_DEFAULT,
    TR_CREDENTIALS_OMIT,
    TR_CREDENTIALS_SAME_ORIGIN,
    TR_CREDENTIALS_INCLUDE
} tr_credentials_t;

/* A header of the caller's. value.data NULL: remove the browser's header of that name. */
typedef tr_field_t tr_op_header_t;

typedef struct tr_timeouts {
    uint32_t connect_ms, tls_ms, write_ms, read_ms, pool_ms, total_ms; /* 0: none; total covers one hop of a redirect chain (spec) */
    uint32_t first_byte_ms; /* in place of read until the first byte of the answer; 0: read_ms counts then, too */
} tr_timeouts_t;

/* What may be asked for with a file. */
#define TR_FILE_MAX_BLOCK ((size_t)256 * 1024)
#define TR_FILE_MAX_TAIL ((size_t)64 * 1024)

/* A file that an answer's body goes into, decoded, by a worker thread of the engine's (file.h). */
typedef struct tr_op_file {
    int fd;                /* lent for the call: the op has a duplicate, which a worker closes when nothing more is written. Not O_NONBLOCK.
                              Written to where it stands, or as O_APPEND says */
    uint64_t max_len;      /* bytes; a longer body is BODY_LIMIT, and what is beyond is not written. UINT64_MAX: none */
    size_t block;          /* a write ends at a multiple of this, where not all that came is less, or waited for 100 ms; 0: as it comes. At most
                              TR_FILE_MAX_BLOCK */
    tr_slice_t tail;       /* written behind a complete body; at most TR_FILE_MAX_TAIL */
    bool events;           /* have an event when bytes were written, for who looks at tr_op_file_written */
    bool has_digest;       /* compute digest */
    tr_hash_id_t digest;   /* ... of the body, and before it */
    uint64_t digest_first; /* ... of so many bytes that stand at the file's start, for which fd must be readable */
} tr_op_file_t;

/* Everything is copied by tr_op_prepare, but what says otherwise. */
typedef struct tr_op_request {
    tr_slice_t method;  /* token, as sent */
    tr_slice_t url;     /* absolute; host ASCII */
    const tr_op_header_t *headers; /* in the caller's order */
    size_t num_headers;
    const tr_cookie_t *cookies;    /* of this request only; without a domain: for its host. They take the place of
                                      the jar's of that name, domain and path; marks (TR_COOKIE_ABSENT) come last */
    size_t num_cookies;
    bool has_body;
    tr_slice_t body;    /* not copied when body_owner is set: lent until the op is freed */
    void *body_owner;   /* opaque; handed to tr_op_on_free's callback */
    bool body_written;             /* the body comes by tr_op_write; `body` is empty */
    bool body_rewinds;             /* ... and can be written again from its start, for a replay or a redirect */
    int64_t body_len;              /* ... and has this length; -1: unknown */
    tr_slice_t body_type;          /* content-type unless the caller gave one; empty: none */
    const tr_profile_t *profile;   /* referenced; NULL: tr_profile_default */
    tr_trust_t *trust;             /* referenced; NULL: the process-wide default store */
    tr_identity_t *identity;       /* referenced; NULL: the transport's */
    tr_transport_t *transport;     /* referenced; NULL: the defaults */
    tr_routes_t *routes;           /* proxies; referenced; NULL: none */
    tr_timeouts_t timeouts;
    uint32_t flags;                /* TR_OP_* */
    uint32_t max_redirects;
    const char *const *header_order; /* names; NULL: none (the original's headerOrder) */
    size_t num_header_order;
    /* What asks for it. With TR_OP_EXACT_HEADERS the fields are the caller's all the same. */
    tr_kind_t kind;                /* TR_KIND_AUTO: by method and body */
    tr_slice_t page;               /* URL of the page; empty: the address bar for a navigation, else the root of the URL's origin */
    tr_slice_t referrer;           /* URL that Referer is made of; empty: the page's */
    bool no_referrer;              /* no Referer */
    tr_slice_t referrer_policy;    /* the page's Referrer-Policy field; empty: strict-origin-when-cross-origin */
    tr_slice_t origin;             /* sent as Origin; empty: where and as the browser does */
    tr_credentials_t credentials;  /* whether the jar takes part */
    const tr_op_file_t *file;      /* lent for the call; the body of the answer (of redirects that are followed: of the last) goes there, and the
                                      response has none. NULL: none. Not with TR_OP_STREAM */
} tr_op_request_t;

tr_op_t *tr_op_new(tr_session_t *session) TR_WARN_UNUSED; /* count 1; NULL: out of memory. References the session */
tr_op_t *tr_op_ref(tr_op_t *op);
void tr_op_unref(tr_op_t *op);
/* tr_op_on_free sets what is called when the last reference goes, on whatever thread that is, with the op's user and the request's body_owner
 * (the binding queues the release of its objects: it must not touch them there without the interpreter's lock). user is opaque and can be
 * read with tr_op_user. */
void tr_op_on_free(tr_op_t *op, void (*fn)(void *user, void *body_owner));
void tr_op_set_user(tr_op_t *op, void *user);
void *tr_op_user(const tr_op_t *op);

/* tr_op_prepare checks and copies the request. URL_*, HEADER_INVALID, METHOD_INVALID, PROFILE_INVALID, NOMEM: the op then stays unsubmitted and
 * can be freed. No I/O, no lock; any thread. */
tr_code_t tr_op_prepare(tr_op_t *op, const tr_op_request_t *request, tr_err_t *err);
/* tr_op_submit hands the op to the engine (which takes a reference until completion) and never blocks. sink NULL: for tr_op_wait. Fails only
 * when the engine cannot start. */
tr_code_t tr_op_submit(tr_op_t *op, tr_sink_t *sink, tr_err_t *err);
/* tr_op_cancel asks for the end of the op: HTTP/2 RST_STREAM(CANCEL), HTTP/1.1 closes the connection. The completion still comes. Any thread. */
void tr_op_cancel(tr_op_t *op);
/* tr_op_wait blocks until the op is done or max_ns passed (TR_AGAIN). The caller drives the loop when nobody else does. Comes back with
 * TR_AGAIN after 50 ms at the latest, so that the caller can look at signals. For ops submitted without a sink; one thread at a time. */
tr_code_t tr_op_wait(tr_op_t *op, uint64_t max_ns);
bool tr_op_is_done(const tr_op_t *op); /* acquire: results may be read when true */

/* --- bodies in pieces (flow.h). The consumer is one thread at a time: the blocking caller, or the thread of the sink's consumer. An op of
 * that kind has events before its completion: a sink hands them out by tr_sink_take_all; tr_op_wait comes back for one too (TR_OK), and
 * each means "look again". --- */
/* tr_op_is_answered: TR_OP_STREAM, and the answer's head is there: tr_op_responses may be read, trailers excepted. */
bool tr_op_is_answered(const tr_op_t *op);
/* tr_op_read_fill makes at least `min` bytes of the answer's body ready (fewer only at its end) and says how many are: TR_OK; TR_AGAIN (wait for
 * an event); TR_EOF (the body is complete); the failure of the op (IncompleteBody, ...) or of the content coding. raw: the coding is left;
 * do not mix. Only when answered. */
tr_code_t tr_op_read_fill(tr_op_t *op, size_t *out_len, size_t min, bool raw, tr_err_t *err);
/* tr_op_read_take copies len bytes of those that are ready. */
void tr_op_read_take(tr_op_t *op, uint8_t *dst, size_t len);
/* tr_op_read_to_file has the whole body of an answered op with TR_OP_TO_FILE written to a file, in place of tr_op_read_fill: the op is done when the
 * body is written, or fails with FILE_WRITE (detail: errno). Also on an op that failed since it was answered: what came before is written.
 * FILE_WRITE, INVALID_ARGUMENT (of another kind, or it was read from), CANCELLED (in a forked child), NOMEM: the op stays as it is. */
tr_code_t tr_op_read_to_file(tr_op_t *op, const tr_op_file_t *file, tr_err_t *err);
/* Bytes of the body that were written to the op's file so far. For the consumer. */
uint64_t tr_op_file_written(const tr_op_t *op);
/* tr_op_file_wait waits until nothing more is written to the op's file and its duplicate of the descriptor is closed: TR_OK, also without a file;
 * TR_AGAIN: max_ns passed. That is so when the op is done without an error; behind a failure what had come is still being written, behind a
 * cancellation a system call may be under way. Does not drive the loop. */
tr_code_t tr_op_file_wait(tr_op_t *op, uint64_t max_ns);
/* tr_op_file_digest lends the digest that the file was given for, once the op is done without an error; empty: none. */
tr_slice_t tr_op_file_digest(const tr_op_t *op);
/* tr_op_wants_body says whether more of the body shall be written, and for which pass over it: another number than before means
 * from the start. */
bool tr_op_wants_body(tr_op_t *op, uint32_t *out_pass);
/* tr_op_write copies a piece in: TR_OK; TR_AGAIN (not wanted any more, or another pass: nothing was kept); NOMEM; REQUEST_BODY (longer than
 * declared: the op fails with it). */
tr_code_t tr_op_write(tr_op_t *op, uint32_t pass, tr_slice_t data, tr_err_t *err);
tr_code_t tr_op_write_end(tr_op_t *op, uint32_t pass, tr_err_t *err); /* likewise; REQUEST_BODY: shorter than declared */
/* tr_op_write_fail ends the op with REQUEST_BODY: the rest cannot be had. */
void tr_op_write_fail(tr_op_t *op, const char *why);
/* Bytes of the body (of this pass) that were handed to the connection. */
uint64_t tr_op_body_sent(const tr_op_t *op);

/* One response of an op. Read-only after completion. */
typedef struct tr_response {
    struct tr_response *next; /* the next hop's; the last one is the answer */
    int status;
    uint8_t http_version;     /* 10, 11, 20 */
    bool resumed_connection;  /* the connection was used before */
    tr_headers_t headers;     /* as received; content-encoding and content-length are gone when the body was decoded (spec 21.5) */
    tr_headers_t trailers;
    tr_headers_t sent;        /* request header fields as sent (cookie as one field), without pseudo-headers */
    tr_slice_t method, url;   /* of this hop's request; url without userinfo, with fragment */
    bool method_changed;      /* the redirect into this hop dropped the body */
    uint64_t elapsed_ns;      /* since the op's start */
    uint64_t body_len;
} tr_response_t;

/* After completion. tr_op_error: NULL when there is an answer. */
const tr_err_t *tr_op_error(const tr_op_t *op);
bool tr_op_request_sent(const tr_op_t *op);   /* at least one byte of the (last) request may have reached the server */
bool tr_op_safe_to_retry(const tr_op_t *op);  /* the server cannot have acted on it */
/* What the op was at when it failed. */
typedef enum tr_phase {
    TR_PHASE_NONE,
    TR_PHASE_POOL,    /* waiting for a free connection */
    TR_PHASE_RESOLVE, /* looking the name up */
    TR_PHASE_CONNECT,
    TR_PHASE_TLS,
    TR_PHASE_SEND,    /* the request was going out */
    TR_PHASE_WAIT,    /* for the answer's head */
    TR_PHASE_BODY     /* the answer's body was coming in */
} tr_phase_t;
tr_phase_t tr_op_phase(const tr_op_t *op);
const char *tr_phase_name(tr_phase_t phase); /* "pool", "resolve", ...; "" */
/* The address of the connection that failed or was used, "127.0.0.1:443"; "" when there was none. */
const char *tr_op_address(const tr_op_t *op);
tr_response_t *tr_op_responses(const tr_op_t *op); /* first hop; NULL: none. Also hops before a failure */
uint64_t tr_op_elapsed_ns(const tr_op_t *op);
/* The URL being fetched when the op ended (last hop), without userinfo. Lent. */
tr_slice_t tr_op_url(const tr_op_t *op);
/* tr_op_take_body copies a response's body (body_len bytes) to dst and frees it piece by piece as it goes, so that the peak is one body. Once. */
void tr_op_take_body(tr_op_t *op, tr_response_t *response, uint8_t *dst);

/* Facts of the connection that gave the answer: peer and local address, TLS version, suite, group, resumed, times in ns since the op's start. */
typedef struct tr_op_timing {
    int64_t dns_ns, connect_ns, tls_ns, first_byte_ns, total_ns; /* -1: not reached, or the connection was reused */
    uint16_t tls_version, tls_suite, tls_group;
    bool tls_resumed;
    bool tls_early; /* the request went as early data, and the server took it */
    const char *tls_version_name, *tls_suite_name; /* static; NULL: no TLS */
    char peer[TR_ADDRESS_TEXT], local[TR_ADDRESS_TEXT];
    uint32_t num_replays; /* of the last hop */
} tr_op_timing_t;
const tr_op_timing_t *tr_op_timing(const tr_op_t *op);
tr_cookiejar_t *tr_op_jar(const tr_op_t *op); /* lent: its session's */
/* tr_op_cert lends certificate index (0: the server's own) in DER of the chain that the server sent on the connection of the last hop; empty:
 * none (no TLS, a resumed session). */
tr_slice_t tr_op_cert(const tr_op_t *op, size_t index);

/* -------------------------------------------------------------------------------------------------------------- sink */

/* A sink collects completed ops for one consumer (an asyncio loop). */
tr_code_t tr_sink_new(tr_sink_t **out, tr_err_t *err);
/* tr_sink_free: ops still under way complete without it. Completed ones in it are released. */
void tr_sink_free(tr_sink_t *sink);
/* tr_sink_fd becomes readable when there are completions (eventfd, or a pipe where there is none). */
int tr_sink_fd(const tr_sink_t *sink);
/* tr_sink_take resets the descriptor and detaches up to max completed ops into out (each with a reference for the caller); returns how many.
 * When some are left the descriptor stays readable. */
size_t tr_sink_take(tr_sink_t *sink, tr_op_t **out, size_t max);
/* tr_sink_take_all also detaches up to max_events ops that have an event, each with a reference and once however many events it had. An op's
 * last event is taken before its completion, or with it: then look at it first. */
size_t tr_sink_take_all(tr_sink_t *sink, tr_op_t **events, size_t max_events, size_t *out_events, tr_op_t **out, size_t max);

#endif
