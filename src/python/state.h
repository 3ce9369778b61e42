/* state: what one interpreter's copy of the extension holds, and the functions that its files share. The state lives in the module; types
 * keep the module alive and instances keep a pointer to the state, so it is valid as long as they are. All functions need the GIL. */
#ifndef TR_PYTHON_STATE_H
#define TR_PYTHON_STATE_H

#include "python/compat.h"

#include <stdatomic.h>

#include "client/client.h"
#include "core/list.h"

/* Interned names, one field each: X(field, text). */
#define CORE_NAMES(X)                                                                                                  \
    X(fspath, "__fspath__")                                                                                            \
    X(add_reader, "add_reader")                                                                                        \
    X(call_exception_handler, "call_exception_handler")                                                                \
    X(call_soon, "call_soon")                                                                                          \
    X(capitalize, "capitalize")                                                                                        \
    X(context, "context")                                                                                              \
    X(decode, "decode")                                                                                                \
    X(is_closed, "is_closed")                                                                                          \
    X(items, "items")                                                                                                  \
    X(items_field, "_items")                                                                                           \
    X(remove_reader, "remove_reader")                                                                                  \
    X(core_jar, "_core_jar")                                                                                           \
    X(cookiejar, "cookiejar")                                                                                          \
    X(user_agent, "user-agent")                                                                                        \
    X(connect, "connect")                                                                                              \
    X(first_byte, "first_byte")                                                                                        \
    X(platform, "platform")                                                                                            \
    X(pool, "pool")                                                                                                    \
    X(read, "read")                                                                                                    \
    X(tls, "tls")                                                                                                      \
    X(stop, "stop")                                                                                                    \
    X(total, "total")                                                                                                  \
    X(write, "write")                                                                                                  \
    X(http1, "http1")                                                                                                  \
    X(http2, "http2")                                                                                                  \
    X(auto_, "auto")                                                                                                   \
    X(lower, "lower")                                                                                                  \
    X(message, "message")                                                                                              \
    X(drain, "drain")                                                                                                  \
    X(mark_used, "mark_used")                                                                                          \
    X(engine, "_engine")                                                                                               \
    X(routes, "_routes")

/* Callables and classes that the package hands over with _core._register: X(name). */
#define CORE_HELPERS(X)                                                                                                \
    X(Response)         /* class of what requests return; derives from _core.Response */                              \
    X(make_error)       /* (code name, detail, where, message, facts of the op, response): see failure_exception */    \
    X(normalize_url)    /* (url, params, client params, plain) -> str; raises URLError */                              \
    X(encode_json)      /* (object) -> bytes */                                                                        \
    X(encode_data)      /* (data) -> (bytes, content type or None) */                                                  \
    X(basic_auth)       /* ((user, password)) -> str; raises AuthenticationError */                                    \
    X(session_id)       /* (client) -> str: a new id for its session, which is in the table of sessions from then on */ \
    X(convert_attribute) /* (name, value) -> value: lists given as proxy or client_identifier become rotators, paths   \
                            of profiles profiles; an object given as timeout becomes a number or a dict */             \
    X(plain_proxy)      /* (value) -> Proxy, or None when the choice of a proxy needs the Python chain */              \
    X(wake)             /* (future): its result is set unless it is done */                                            \
    X(thread_waker)     /* (loop, descriptor, drain): for loops without add_reader */                                 \
    X(check_hints)      /* (user agent, sec-ch-ua, sec-ch-ua-platform, sec-ch-ua-mobile, the platform that an option chose), each str or   \
                            None: warns about contradictions */                                                       \
    X(persona_profile)  /* (client_identifier, persona) -> BrowserProfile, or None: the chain says what is wrong */    \
    X(removed)          /* the value in Headers that means: do not send the browser's field of that name */

/* The methods that a subclass or an instance may replace; then the whole chain runs in Python. X(name). */
#define CORE_CHAIN(X)                                                                                                  \
    X(request)                                                                                                         \
    X(send)                                                                                                            \
    X(build_request)                                                                                                   \
    X(prepare_params)                                                                                                  \
    X(prepare_headers)                                                                                                 \
    X(prepare_cookies)                                                                                                 \
    X(prepare_proxy)                                                                                                   \
    X(prepare_client_identifier)                                                                                       \
    X(prepare_config)                                                                                                  \
    X(prepare_auth)                                                                                                    \
    X(build_hook_request)                                                                                              \
    X(build_hook_response)                                                                                             \
    X(abuild_request)                                                                                                  \
    X(aprepare_headers)                                                                                                \
    X(aprepare_proxy)                                                                                                  \
    X(aprepare_client_identifier)                                                                                      \
    X(session)                                                                                                         \
    X(_session)                                                                                                        \
    X(_send)

enum {
#define X(name) CHAIN_##name,
    CORE_CHAIN(X)
#undef X
    CHAIN_COUNT
};

typedef struct core_state {
    PyObject *module; /* borrowed: the module owns this struct */
    /* types */
    PyTypeObject *client_type, *response_type, *op_type, *bridge_type, *jar_type, *routes_type, *transport_type, *not_given_type,
        *profile_type;
    PyObject *not_given;
    struct {
#define X(field, text) PyObject *field;
        CORE_NAMES(X)
#undef X
    } names;
    struct {
#define X(name) PyObject *name;
        CORE_HELPERS(X)
#undef X
    } helpers;
    PyObject *chain_names[CHAIN_COUNT];
    PyObject *chain_classes;  /* dict: the package's client class -> tuple of its own methods, in the order of CORE_CHAIN */
    bool diverted;            /* a method of TLSClient was replaced: calls take the chain, which asks where they go */
    PyObject *get_running_loop; /* asyncio's; imported at the first asynchronous request */
    PyObject *cancelled_error;  /* asyncio.CancelledError */
    PyObject *invalid_state_error;
    /* Bridges that are alive, not owned: a bridge belongs to its loop, which holds it by the registered reader. */
    tr_list_t bridges;
    /* Requests that were given up (loop closed, interrupted) and may still read their body: released when done. */
    tr_list_t abandoned;
    long owner_pid;
} core_state_t;

extern struct PyModuleDef core_module;

/* core_state_of gives the state of the module that a type, or the nearest of its bases, was made by. Never fails for our types. */
core_state_t *core_state_of(PyTypeObject *type);

static inline core_state_t *
core_state(PyObject *module)
{
    return (core_state_t *)PyModule_GetState(module);
}

/* ---------------------------------------------------------------------------------------------------------------- op.c */

/* One request under way or done: the awaitable of an asynchronous call, and what a Response reads from. */
typedef enum op_state {
    OP_NEW,       /* not submitted */
    OP_RUNNING,   /* the engine has it */
    OP_DONE,      /* the engine gave it back, or it could not be prepared */
    OP_STREAMING, /* asynchronous: the answer's head was handed out, the engine still has it */
    OP_CANCELLED  /* the awaiting task was cancelled; the engine may still have it */
} op_state_t;

typedef struct core_op {
    PyObject_HEAD
    core_state_t *st;
    tr_op_t *op;          /* owned; NULL only before core_op_new has finished */
    tr_err_t *error;      /* PyMem; of tr_op_prepare or tr_op_submit; NULL: ask tr_op_error */
    PyObject *method;     /* str as asked */
    PyObject *url;        /* str as asked, normalised, with user info */
    PyObject *body;       /* bytes lent to the engine, or NULL */
    Py_buffer view;       /* of another object lent as the body; obj NULL: none */
    PyObject *request;    /* the Request that was sent, or NULL: made when looked at */
    PyObject *encoding;   /* default_encoding of the response */
    PyObject *timeout;    /* as the call or the client gave it; NULL: the default, or a Request knows */
    PyObject *proxy;      /* the Proxy of a request without a Request object, or NULL */
    PyObject *info;       /* id of the client's session: what Request.id shows; or NULL */
    bool raise_on_error;
    atomic_bool reading;  /* inside _read: one thread at a time */
    PyObject *reader, *writer; /* futures that an event wakes, or NULL */
    /* asynchronous use: all on the loop's thread */
    op_state_t state;
    bool blocking;        /* _asyncio_future_blocking */
    bool in_bridge;       /* linked in bridge->ops, which then owns a reference */
    tr_link_t link;       /* bridge->ops, or st->abandoned */
    struct core_bridge *bridge; /* reference; NULL for blocking calls */
    PyObject *callback, *context; /* the waiting task's wake-up */
    PyObject *more;       /* list of (callback, context), or NULL */
    PyObject *cancel_message;
} core_op_t;

core_op_t *core_op_new(core_state_t *st, tr_session_t *session);
/* core_op_run_blocking submits and waits; ctrl-C cancels. Returns the response or raises. */
PyObject *core_op_run_blocking(core_op_t *self);
/* core_op_start submits on the running loop's bridge. */
int core_op_start(core_op_t *self);
/* core_op_completed is the bridge's: the engine gave the op back. Wakes the task, running its step at once. */
int core_op_completed(core_op_t *self);
/* core_op_event is the bridge's: an event of an op whose bodies come in pieces. */
int core_op_event(core_op_t *self);
/* core_op_wake wakes who waits in _reader and _writer (stream.c). */
int core_op_wake(core_op_t *self);
/* core_op_abandon gives a running op up: cancels it and keeps what it reads until the engine is done with it. */
void core_op_abandon(core_op_t *self);
/* core_op_error lends the failure, or NULL. */
const tr_err_t *core_op_error(const core_op_t *self);
/* core_op_fail notes a failure from before the engine had the op. NOMEM raises. */
int core_op_fail(core_op_t *self, const tr_err_t *err);
/* core_sweep_abandoned releases given-up ops whose end has come. */
void core_sweep_abandoned(core_state_t *st);

/* ------------------------------------------------------------------------------------------------------------ bridge.c */

/* The completions of one loop. Owned by the loop's reader registration and by the ops that run on it. */
typedef struct core_bridge {
    PyObject_HEAD
    core_state_t *st;
    PyObject *loop;
    tr_sink_t *sink;
    tr_list_t ops;       /* core_op_t.link; each with a reference */
    tr_link_t link;      /* st->bridges */
    size_t num_running;
    core_op_t **ready;   /* given back, not yet woken: references; small ring */
    size_t ready_at, ready_len;
    PyObject *waker;     /* of a loop without add_reader, or NULL */
    bool has_reader;
} core_bridge_t;

/* core_bridge_get gives a new reference to the running loop's bridge. */
core_bridge_t *core_bridge_get(core_state_t *st);
int core_bridge_submit(core_bridge_t *self, core_op_t *op, tr_err_t *err);
/* core_bridge_remove unlinks an op whose end this loop will not see. Steals nothing; drops the bridge's reference. */
void core_bridge_remove(core_bridge_t *self, core_op_t *op);
/* core_bridges_close disposes of the bridges of closed loops (all: of every one). */
void core_bridges_close(core_state_t *st, bool all);

/* ---------------------------------------------------------------------------------------------------------- response.c */

typedef struct core_response {
    PyObject_HEAD
    core_op_t *op;        /* NULL: made by hand */
    tr_response_t *hop;   /* lent by op->op; NULL: failed, or made by hand */
    PyObject *content;    /* bytes; NULL: not taken yet */
    PyObject *history;    /* list; NULL: not made yet */
    PyObject *error;      /* exception; NULL: not made yet, or none */
    int status_code;
    bool is_final;        /* the last hop, or the failure */
    bool streamed;        /* handed out with its head; the body comes by the op */
    bool handed_over;     /* _stream_op was asked for: who has it ends the request */
    bool body_taken;
} core_response_t;

/* core_response_new makes the answer of a finished op, or raises its failure (as the op's raise_on_error and the failure's kind say). */
PyObject *core_response_new(core_op_t *op);

/* ------------------------------------------------------------------------------------------------------------ fields.c */

/* A growing list of header fields whose bytes are lent by Python objects; `owned` keeps those that were made here. */
#define FIELDS_SMALL 24
typedef struct core_fields {
    tr_field_t *at;
    size_t len, cap;
    tr_field_t small[FIELDS_SMALL];
    PyObject *owned; /* list, or NULL */
} core_fields_t;

void core_fields_init(core_fields_t *fields);
void core_fields_cleanup(core_fields_t *fields);
/* core_fields_add collects a mapping or Headers, replacing fields of the same names that were there before (they move to the end).
 * None, and the helper `removed` in Headers, are no values: the browser's field of that name is not sent. spelling: a dict from lower-case names to the caller's spelling, or NULL.
 * 1: done; 0: this kind of source wants the Python classes; -1: raised. */
int core_fields_add(core_state_t *st, core_fields_t *fields, PyObject *source, PyObject *spelling);
/* core_fields_keep keeps an object alive as long as the fields. */
int core_fields_keep(core_fields_t *fields, PyObject *obj);
/* core_fields_set gives one field that value in the place of the first of that name, else at the end, and keeps the value alive. */
int core_fields_set(core_fields_t *fields, const char *name, PyObject *value);
/* core_fields_add_pairs takes a list or tuple of (name, value), each str or bytes; TypeError otherwise, HeaderError for lone surrogates. */
int core_fields_add_pairs(core_state_t *st, core_fields_t *fields, PyObject *pairs);
/* core_text lends the UTF-8 bytes of a str, or the bytes of a bytes object; TypeError naming `what`. */
int core_text(PyObject *obj, tr_slice_t *out, const char *what);
/* core_field_text is core_text for what goes into a header field: a lone surrogate, which has no UTF-8, is a HeaderError naming `what`. */
int core_field_text(core_state_t *st, PyObject *obj, tr_slice_t *out, const char *what);
/* core_str makes a str of header bytes: UTF-8, else Latin-1. */
PyObject *core_str(tr_slice_t bytes);

/* ---------------------------------------------------------------------------------------------------------- cookies.c */

typedef struct core_jar {
    PyObject_HEAD
    tr_cookiejar_t *jar;
} core_jar_t;

PyObject *core_jar_wrap(core_state_t *st, tr_cookiejar_t *jar);

/* -------------------------------------------------------------------------------------------------------- transport.c */

typedef struct core_transport {
    PyObject_HEAD
    tr_transport_t *transport; /* reference */
} core_transport_t;

/* ------------------------------------------------------------------------------------------------------------ routes.c */

typedef struct core_routes {
    PyObject_HEAD
    tr_routes_t *routes;
} core_routes_t;

/* ---------------------------------------------------------------------------------------------------------- profile.c */

/* core_profile_of lends the profile of a BrowserProfile; NULL: it is something else. */
const tr_profile_t *core_profile_of(core_state_t *st, PyObject *value);
/* core_profile_names lists all names: (name, index, name in lists, basis). */
PyObject *core_profile_names(void);

/* ----------------------------------------------------------------------------------------------------------- client.c */

/* core_raise raises the exception of a failure that no response tells about. Always NULL. */
PyObject *core_raise(core_state_t *st, const tr_err_t *err);

/* ------------------------------------------------------------------------------------------------------------- specs */

extern PyType_Spec core_client_spec, core_response_spec, core_op_spec, core_bridge_spec, core_jar_spec, core_routes_spec,
    core_transport_spec, core_profile_spec;

#endif
