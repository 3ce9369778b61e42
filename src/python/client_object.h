/* client_object: the object behind BaseClient, for the three files that make it up: client.c (the type and its attributes), settings.c (what the
 * engine needs of the attributes), send.c (from a call to an op). */
#ifndef TR_PYTHON_CLIENT_OBJECT_H
#define TR_PYTHON_CLIENT_OBJECT_H

#include "core/limits.h"
#include "python/state.h"

/* Values that the attributes have when nothing was set: X(name, how the default is made). */
typedef enum attribute {
    ATTR_auth,
    ATTR_proxy,
    ATTR_timeout,
    ATTR_follow_redirects,
    ATTR_max_redirects,
    ATTR_http2,
    ATTR_verify,
    ATTR_client_identifier,
    ATTR_protocol_racing,
    ATTR_allow_http,
    ATTR_stream_id,
    ATTR_encoding,
    ATTR_raise_on_error,
    ATTR_debug,
    ATTR__headers,
    ATTR__header_rotator,
    ATTR__params,
    ATTR__hooks,
    ATTR__cookies,
    ATTR__extra,
    ATTR__spelled,
    ATTR__session_id,
    ATTR__transport,
    ATTR__persona,
    ATTR_COUNT
} attribute_t;

#define DEFAULT_TIMEOUT_MS 30000

/* What of the settings the engine wants. */
typedef struct settings {
    const tr_profile_t *profile; /* reference */
    tr_trust_t *trust;           /* reference */
    tr_transport_t *transport;   /* lent by attrs[ATTR__transport]; NULL: the defaults */
    tr_timeouts_t timeouts;
    uint32_t flags;    /* TR_OP_* without FOLLOW_REDIRECTS */
    bool follow;
    uint32_t max_redirects;
    bool raise_on_error;
    bool platform_chosen; /* by the persona */
    PyObject *proxy; /* Proxy of each request that takes the short way; reference, NULL: none */
    bool direct; /* nothing in the settings asks for the Python chain */
} settings_t;

typedef enum client_life { CLIENT_UNOPENED = 1, CLIENT_OPENED = 2, CLIENT_CLOSED = 3 } client_life_t;

typedef struct core_client {
    PyObject_HEAD
    core_state_t *st;
    tr_session_t *session;  /* NULL until first needed */
    core_jar_t *jar;        /* of the session; NULL until asked for */
    PyObject *attrs[ATTR_COUNT]; /* NULL: the default */
    settings_t settings;
    bool dirty;             /* settings must be computed again */
    bool no_browser_headers; /* headers=None was given */
    bool no_jar;            /* withoutCookieJar */
    bool overridden;        /* a step of the chain was replaced on the instance */
    int life;               /* client_life_t */
    int kind;               /* tr_kind_t of requests that say none: what `mode` was given */
    tr_session_options_t options;
    PyObject *keylog;       /* bytes; what options.keylog_path points into */
    /* the type's own answer to "is the chain untouched", valid for this type at this version of it */
    PyTypeObject *chain_type; /* borrowed: only compared */
    unsigned int chain_version;
    bool chain_untouched;
} core_client_t;

/* ---------------------------------------------------------------------------------------------------------- settings.c */

/* is_given says whether an argument or attribute has a value: not absent, not None, not NOT_GIVEN. */
static inline bool
core_is_given(core_state_t *st, PyObject *value)
{
    return value != NULL && value != Py_None && value != st->not_given;
}

/* core_is_pair: (user, password), the one kind of authentication that needs no Request. */
static inline bool
core_is_pair(PyObject *auth)
{
    return PyTuple_CheckExact(auth) && PyTuple_GET_SIZE(auth) == 2;
}

/* core_timeouts_from reads a number of seconds for the whole, or a dict with any of connect, tls, write, read, pool, total. *out comes with the
 * defaults in it; a value that means none of that leaves them. */
int core_timeouts_from(core_state_t *st, PyObject *value, tr_timeouts_t *out);
uint32_t core_http2_flags(core_state_t *st, PyObject *value);
/* core_verify_from: NULL, None or any true value: check; a false one: do not; str or path-like: with these roots (*trust: a reference). */
int core_verify_from(core_state_t *st, PyObject *value, uint32_t *flags, tr_trust_t **trust);
/* core_profile_from lends the profile of a known name or of a BrowserProfile; the default for anything else. */
const tr_profile_t *core_profile_from(core_state_t *st, PyObject *value);
/* core_profile_is_known says whether a value is NULL, None, NOT_GIVEN, a BrowserProfile or the name of a built-in profile. */
bool core_profile_is_known(core_state_t *st, PyObject *value);
uint32_t core_redirects_from(PyObject *value);
/* core_client_refresh computes self->settings from the attributes. */
int core_client_refresh(core_client_t *self);
/* core_client_untouched says whether the class of self is one of the package's, or overrides no step of the chain. */
bool core_client_untouched(core_client_t *self);
/* core_client_session lends the session, made at the first call; NULL: raised. */
tr_session_t *core_client_session(core_client_t *self);

/* -------------------------------------------------------------------------------------------------------------- send.c */

/* Methods of BaseClient; what they take is in their docs in client.c. */
PyObject *core_send_verb(PyObject *self, PyObject *const *args, Py_ssize_t num);
PyObject *core_send_averb(PyObject *self, PyObject *const *args, Py_ssize_t num);
PyObject *core_send_blocking(PyObject *self, PyObject *const *args, Py_ssize_t num);
PyObject *core_send_awaitable(PyObject *self, PyObject *const *args, Py_ssize_t num);
PyObject *core_send_perform_blocking(PyObject *self, PyObject *args);
PyObject *core_send_perform_open(PyObject *self, PyObject *args);
PyObject *core_send_perform_awaitable(PyObject *self, PyObject *args);
PyObject *core_send_failure(PyObject *self, PyObject *args);

#endif
