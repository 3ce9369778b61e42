/* client: the common base of Client and AsyncClient. It holds the settings, knows the session of the engine, and has two ways of sending:
 *
 *   _blocking(...) / _awaitable(...)   the short way of the verbs: straight from the call's arguments to the engine. They answer None when the
 *                                      call needs the Python chain (a subclass overrides a step, auth, hooks, rotators, files, ...).
 *   _perform(...)                      the end of the Python chain: a finished Request's parts.
 *
 * Settings are plain attributes that may change at any time; what the engine needs of them is computed once after a change. */
#include <math.h>

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
    ATTR_COUNT
} attribute_t;

static const char *const attribute_names[ATTR_COUNT] = {
    "auth",      "proxy",           "timeout",  "follow_redirects", "max_redirects",  "http2",    "verify",
    "client_identifier", "protocol_racing", "allow_http", "stream_id", "encoding", "raise_on_error", "debug",
    "_headers", "_header_rotator", "_params",  "_hooks",           "_cookies",       "_extra",
    "_spelled",
};

#define DEFAULT_TIMEOUT_MS 30000

/* What of the settings the engine wants. */
typedef struct settings {
    const tr_profile_t *profile;
    tr_trust_t *trust; /* reference */
    tr_timeouts_t timeouts;
    uint32_t flags;    /* TR_OP_* without FOLLOW_REDIRECTS */
    bool follow;
    uint32_t max_redirects;
    bool raise_on_error;
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
    tr_session_options_t options;
    PyObject *keylog;       /* bytes; what options.keylog_path points into */
    /* the type's own answer to "is the chain untouched", valid for this type at this version of it */
    PyTypeObject *chain_type; /* borrowed: only compared */
    unsigned int chain_version;
    bool chain_untouched;
} core_client_t;

PyObject *
core_raise(core_state_t *st, const tr_err_t *err)
{
    if (err->code == TR_ERR_NOMEM) {
        return PyErr_NoMemory();
    }
    if (st->helpers.make_error == NULL) {
        PyErr_SetString(PyExc_RuntimeError, err->msg);
        return NULL;
    }
    PyObject *error = PyObject_CallFunction(st->helpers.make_error, "sissOOdO", tr_err_name(err->code), (int)err->detail,
                                            err->where == NULL ? "" : err->where, err->msg, Py_False, Py_True, 0.0, Py_None);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------ settings */

static bool
is_given(core_state_t *st, PyObject *value)
{
    return value != NULL && value != Py_None && value != st->not_given;
}

static bool
str_is(PyObject *value, PyObject *text)
{
    return value == text || (PyUnicode_Check(value) && PyUnicode_Compare(value, text) == 0);
}

/* Seconds as milliseconds: 1 with *out, 0 when the value means "the default" (none, zero, negative, not finite), -1 raised. */
static int
timeout_ms(PyObject *value, uint32_t *out)
{
    double s;
    if (PyFloat_CheckExact(value)) {
        s = PyFloat_AS_DOUBLE(value);
    } else if (PyFloat_Check(value) || PyLong_Check(value)) {
        s = PyFloat_AsDouble(value);
        if (s == -1.0 && PyErr_Occurred()) {
            PyErr_Clear(); /* an int beyond a double */
            return 0;
        }
    } else {
        return 0;
    }
    if (!(s > 0) || !isfinite(s)) {
        return 0;
    }
    double ms = ceil(s * 1000.0);
    *out = ms >= (double)UINT32_MAX ? 0 : (uint32_t)ms; /* seven weeks and more: no limit */
    return 1;
}

/* A number of seconds for the whole, or a mapping with any of connect, tls, write, read, pool, total. *out comes with the defaults in it. */
static int
timeouts_from(core_state_t *st, PyObject *value, tr_timeouts_t *out)
{
    if (!PyDict_Check(value)) {
        uint32_t ms;
        int rc = timeout_ms(value, &ms);
        if (rc > 0) {
            *out = (tr_timeouts_t){.total_ms = ms};
        }
        return rc < 0 ? -1 : 0;
    }
    struct {
        PyObject *name;
        uint32_t *out;
    } parts[] = {
        {st->names.connect, &out->connect_ms}, {st->names.tls, &out->tls_ms},   {st->names.write, &out->write_ms},
        {st->names.read, &out->read_ms},       {st->names.pool, &out->pool_ms}, {st->names.total, &out->total_ms},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(parts); i++) {
        PyObject *part;
        int rc = PyDict_GetItemRef(value, parts[i].name, &part);
        if (rc < 0) {
            return -1;
        }
        if (rc > 0) {
            if (part == Py_None) {
                *parts[i].out = 0;
            } else if (timeout_ms(part, parts[i].out) < 0) {
                rc = -1;
            }
            Py_DECREF(part);
            if (rc < 0) {
                return -1;
            }
        }
    }
    return 0;
}

static uint32_t
http2_flags(core_state_t *st, PyObject *value)
{
    if (value == NULL || value == Py_None || str_is(value, st->names.auto_)) {
        return 0;
    }
    if (value == Py_True || str_is(value, st->names.http2)) {
        return TR_OP_HTTP2_ASKED;
    }
    return TR_OP_HTTP1_ONLY;
}

/* verify: NULL, None or any true value: check; a false one: do not; str or path-like: with these roots. */
static int
verify_from(core_state_t *st, PyObject *value, uint32_t *flags, tr_trust_t **trust)
{
    *flags &= ~(uint32_t)TR_OP_NO_VERIFY;
    tr_trust_unref(*trust);
    *trust = NULL;
    if (value == NULL || value == Py_None || value == Py_True) {
        return 0;
    }
    bool is_path = PyUnicode_Check(value) || PyBytes_Check(value) || PyObject_HasAttr(value, st->names.fspath);
    int truth = is_path && !PyUnicode_Check(value) ? 1 : PyObject_IsTrue(value);
    if (truth <= 0) {
        if (truth == 0) {
            *flags |= TR_OP_NO_VERIFY;
        }
        return truth;
    }
    if (!is_path) {
        return 0;
    }
    PyObject *path = NULL;
    if (!PyUnicode_FSConverter(value, &path)) {
        return -1;
    }
    tr_err_t err = TR_ERR_INIT;
    tr_code_t rc;
    Py_BEGIN_ALLOW_THREADS
    rc = tr_trust_shared(trust, PyBytes_AS_STRING(path), &err);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    if (tr_failed(rc)) {
        *trust = NULL;
        core_raise(st, &err);
        return -1;
    }
    return 0;
}

static const tr_profile_t *
profile_from(PyObject *value)
{
    const tr_profile_t *profile = NULL;
    tr_slice_t name;
    if (value != NULL && PyUnicode_Check(value)) {
        if (core_text(value, &name, "client_identifier") < 0) {
            PyErr_Clear();
        } else {
            profile = tr_profile_find(name);
        }
    }
    return profile == NULL ? tr_profile_default() : profile;
}

static uint32_t
redirects_from(PyObject *value)
{
    if (value == NULL || !PyLong_Check(value)) {
        return TR_MAX_REDIRECTS_DEFAULT;
    }
    int overflow = 0;
    long num = PyLong_AsLongAndOverflow(value, &overflow);
    if (overflow > 0 || num > 10000) {
        return 10000; /* nobody waits for more; bounds the history */
    }
    return overflow < 0 || num < 0 ? 0 : (uint32_t)num;
}

/* (user, password): the one kind of authentication that needs no Request. */
static bool
is_pair(PyObject *auth)
{
    return PyTuple_CheckExact(auth) && PyTuple_GET_SIZE(auth) == 2;
}

static int
client_refresh(core_client_t *self)
{
    core_state_t *st = self->st;
    settings_t *settings = &self->settings;
    PyObject **attrs = self->attrs;
    settings->timeouts = (tr_timeouts_t){.total_ms = DEFAULT_TIMEOUT_MS};
    if (is_given(st, attrs[ATTR_timeout]) && timeouts_from(st, attrs[ATTR_timeout], &settings->timeouts) < 0) {
        return -1;
    }
    settings->flags = (settings->flags & TR_OP_NO_VERIFY) | http2_flags(st, attrs[ATTR_http2]);
    if (self->no_jar) {
        settings->flags |= TR_OP_NO_COOKIES;
    }
    int follow = attrs[ATTR_follow_redirects] == NULL ? 1 : PyObject_IsTrue(attrs[ATTR_follow_redirects]);
    int raises = attrs[ATTR_raise_on_error] == NULL ? 0 : PyObject_IsTrue(attrs[ATTR_raise_on_error]);
    if (follow < 0 || raises < 0) {
        return -1;
    }
    settings->follow = follow > 0;
    settings->raise_on_error = raises > 0;
    settings->max_redirects = redirects_from(attrs[ATTR_max_redirects]);
    PyObject *identifier = attrs[ATTR_client_identifier];
    settings->profile = profile_from(identifier);
    settings->direct = (!is_given(st, attrs[ATTR_auth]) || is_pair(attrs[ATTR_auth])) && !is_given(st, attrs[ATTR_proxy]) &&
                       !is_given(st, attrs[ATTR__header_rotator]) && !is_given(st, attrs[ATTR__extra]) &&
                       (identifier == NULL || PyUnicode_CheckExact(identifier) || identifier == Py_None);
    self->dirty = false;
    return 0;
}

/* Says whether the class of self is one of the package's, or overrides no step of the chain. */
static bool
client_chain_untouched(core_client_t *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->overridden) {
        return false;
    }
    if (TR_LIKELY(self->chain_type == type && self->chain_version != 0 && self->chain_version == type->tp_version_tag)) {
        return self->chain_untouched;
    }
    core_state_t *st = self->st;
    bool untouched = false;
    PyObject *mro = Py_XNewRef(type->tp_mro);
    for (Py_ssize_t i = 0; st->chain_classes != NULL && mro != NULL && i < PyTuple_GET_SIZE(mro); i++) {
        PyObject *own = NULL;
        if (PyDict_GetItemRef(st->chain_classes, PyTuple_GET_ITEM(mro, i), &own) <= 0) {
            PyErr_Clear();
            continue;
        }
        untouched = true;
        for (Py_ssize_t k = 0; untouched && k < CHAIN_COUNT; k++) {
            PyObject *method = PyObject_GetAttr((PyObject *)type, st->chain_names[k]);
            PyErr_Clear();
            PyObject *expected = PyTuple_GET_ITEM(own, k);
            untouched = method == expected || (method == NULL && expected == Py_None);
            Py_XDECREF(method);
        }
        Py_DECREF(own);
        break;
    }
    Py_XDECREF(mro);
    self->chain_type = type;
    self->chain_version = type->tp_version_tag;
    self->chain_untouched = untouched;
    return untouched;
}

static tr_session_t *
client_session(core_client_t *self)
{
    if (self->session == NULL) {
        tr_err_t err = TR_ERR_INIT;
        self->options.jar = self->jar == NULL ? NULL : self->jar->jar;
        self->options.keylog_path = self->keylog == NULL ? NULL : PyBytes_AS_STRING(self->keylog);
        if (tr_failed(tr_session_new(&self->session, &self->options, &err))) {
            self->session = NULL;
            core_raise(self->st, &err);
        }
    }
    return self->session;
}

static int
client_check_open(core_client_t *self)
{
    if (self->life == CLIENT_CLOSED) {
        PyErr_SetString(PyExc_RuntimeError, "Cannot send a request, as the client has been closed.");
        return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------------- the short way */

enum {
    ARG_METHOD,
    ARG_URL,
    ARG_PARAMS,
    ARG_HEADERS,
    ARG_COOKIES,
    ARG_AUTH,
    ARG_FOLLOW,
    ARG_TIMEOUT,
    ARG_DATA,
    ARG_FILES,
    ARG_JSON,
    ARG_CONTENT,
    ARG_REST, /* dict of further keywords */
    ARG_COUNT
};

/* True for a str that the URL class would keep as it is: http(s)://, a plain host with an optional port, visible ASCII. */
static bool
url_is_plain(PyObject *url)
{
    if (!PyUnicode_CheckExact(url) || !PyUnicode_IS_COMPACT_ASCII(url)) {
        return false;
    }
    const char *text = PyUnicode_DATA(url);
    size_t len = (size_t)PyUnicode_GET_LENGTH(url), at;
    if (len > 8 && memcmp(text, "https://", 8) == 0) {
        at = 8;
    } else if (len > 7 && memcmp(text, "http://", 7) == 0) {
        at = 7;
    } else {
        return false;
    }
    size_t start = at, colons = 0;
    for (; at < len; at++) {
        char c = text[at];
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-') {
            if (colons > 0 && !(c >= '0' && c <= '9')) {
                return false;
            }
        } else if (c == ':') {
            colons++;
        } else if (c == '/' || c == '?' || c == '#') {
            break;
        } else {
            return false;
        }
    }
    if (at == start || colons > 1 || text[start] == '-' || text[start] == '.' || text[at - 1] == '-' || text[at - 1] == ':') {
        return false;
    }
    for (size_t i = start; i + 1 < at; i++) {
        if ((text[i] == '.' || text[i] == '-') && (text[i + 1] == '.' || text[i + 1] == ':')) {
            return false;
        }
    }
    for (; at < len; at++) {
        if (text[at] <= ' ' || text[at] == 0x7f) {
            return false;
        }
    }
    /* An empty query or fragment is dropped by the URL class. */
    return text[len - 1] != '?' && text[len - 1] != '#';
}

/* An object with a length of zero, or none at all. -1: raised. */
static int
is_empty(core_state_t *st, PyObject *value)
{
    if (!is_given(st, value)) {
        return 1;
    }
    Py_ssize_t len = PyObject_Size(value);
    return len < 0 ? -1 : len == 0;
}

#define COOKIES_SMALL 16

typedef struct call {
    core_fields_t fields;
    tr_cookie_t *cookies, small[COOKIES_SMALL];
    tr_op_request_t request;
} call_t;

static void
call_cleanup(call_t *call)
{
    core_fields_cleanup(&call->fields);
    if (call->cookies != call->small) {
        PyMem_Free(call->cookies);
    }
}

/* Plain cookies: a dict of str to str. 1, 0 (another kind), -1. */
static int
call_add_cookies(call_t *call, PyObject *source)
{
    if (!PyDict_CheckExact(source)) {
        return 0;
    }
    size_t num = (size_t)PyDict_GET_SIZE(source);
    if (num > COOKIES_SMALL) {
        call->cookies = PyMem_New(tr_cookie_t, num);
        if (call->cookies == NULL) {
            call->cookies = call->small;
            PyErr_NoMemory();
            return -1;
        }
    }
    PyObject *key, *value;
    Py_ssize_t at = 0;
    int rc = 1;
    size_t len = 0;
    while (rc == 1 && len < num && PyDict_Next(source, &at, &key, &value)) {
        tr_cookie_t *cookie = &call->cookies[len++];
        *cookie = (tr_cookie_t){.domain = TR_SLICE_LIT(""), .path = TR_SLICE_LIT("/")};
        if (!PyUnicode_Check(key) || !PyUnicode_Check(value)) {
            rc = 0;
        } else if (core_text(key, &cookie->name, "a cookie name") < 0 || core_text(value, &cookie->value, "a cookie value") < 0) {
            rc = -1;
        }
    }
    call->request.cookies = call->cookies;
    call->request.num_cookies = len;
    return rc;
}

/* (bytes, content type or None) of the package's encoder. */
static int
take_encoded(call_t *call, core_op_t *op, PyObject *encoded)
{
    if (!PyTuple_Check(encoded) || PyTuple_GET_SIZE(encoded) != 2 || !PyBytes_CheckExact(PyTuple_GET_ITEM(encoded, 0))) {
        PyErr_SetString(PyExc_TypeError, "the encoder must return bytes and a content type");
        return -1;
    }
    PyObject *type = PyTuple_GET_ITEM(encoded, 1);
    op->body = Py_NewRef(PyTuple_GET_ITEM(encoded, 0));
    if (type == Py_None) {
        return 0;
    }
    /* The text must outlive the tuple until tr_op_prepare has copied it. */
    return core_text(type, &call->request.body_type, "a content type") < 0 ? -1 : core_fields_keep(&call->fields, type);
}

/* The body from data, json or content. 1 (self->body set when there is one), 0 (needs an encoder of the package), -1. */
static int
call_add_body(core_client_t *self, call_t *call, core_op_t *op, PyObject *const *args)
{
    core_state_t *st = self->st;
    PyObject *data = args[ARG_DATA], *json = args[ARG_JSON], *content = args[ARG_CONTENT];
    if (is_given(st, args[ARG_FILES])) {
        return 0;
    }
    if (is_given(st, content)) {
        if (is_given(st, data) || is_given(st, json)) {
            return 0;
        }
        data = content;
    }
    if (is_given(st, data)) {
        if (PyBytes_CheckExact(data)) {
            op->body = Py_NewRef(data);
        } else if (PyUnicode_CheckExact(data)) {
            op->body = PyUnicode_AsUTF8String(data);
            if (data != content) {
                call->request.body_type = TR_SLICE_LIT("application/x-www-form-urlencoded");
            }
        } else if (data != content) {
            PyObject *encoded = PyObject_CallOneArg(st->helpers.encode_data, data);
            if (encoded == NULL || take_encoded(call, op, encoded) < 0) {
                Py_XDECREF(encoded);
                return -1;
            }
            Py_DECREF(encoded);
        } else {
            return 0;
        }
    } else if (is_given(st, json)) {
        if (st->helpers.encode_json == NULL) {
            return 0;
        }
        op->body = PyObject_CallOneArg(st->helpers.encode_json, json);
        if (op->body != NULL && !PyBytes_CheckExact(op->body)) {
            Py_CLEAR(op->body);
            PyErr_SetString(PyExc_TypeError, "the JSON encoder must return bytes");
        }
        call->request.body_type = TR_SLICE_LIT("application/json");
    } else {
        return 1;
    }
    if (op->body == NULL) {
        return -1;
    }
    call->request.has_body = true;
    call->request.body = tr_slice(PyBytes_AS_STRING(op->body), (size_t)PyBytes_GET_SIZE(op->body));
    call->request.body_owner = op;
    return 1;
}

/* What of the settings goes into each request. */
static void
call_take_settings(core_client_t *self, call_t *call)
{
    const settings_t *settings = &self->settings;
    tr_op_request_t *request = &call->request;
    request->profile = settings->profile;
    request->trust = settings->trust;
    request->timeouts = settings->timeouts;
    request->flags = settings->flags | (settings->follow ? TR_OP_FOLLOW_REDIRECTS : 0);
    request->max_redirects = settings->max_redirects;
}

/* Hands the request to tr_op_prepare. A failure becomes the op's. */
static int
call_prepare(core_client_t *self, call_t *call, core_op_t *op)
{
    tr_err_t err = TR_ERR_INIT;
    tr_op_request_t *request = &call->request;
    request->headers = call->fields.at;
    request->num_headers = call->fields.len;
    if (self->no_browser_headers || core_fields_has(&call->fields, TR_SLICE_LIT("user-agent"))) {
        request->flags |= TR_OP_EXACT_HEADERS;
    }
    tr_code_t rc = tr_op_prepare(op->op, request, &err);
    return tr_failed(rc) ? core_op_fail(op, &err) : 0;
}

/* Builds the op of a verb's call. 1 with *out, 0 when the Python chain must do it, -1. */
static int
client_build(core_client_t *self, PyObject *const *args, core_op_t **out)
{
    core_state_t *st = self->st;
    PyObject **attrs = self->attrs;
    *out = NULL;
    if (self->dirty && client_refresh(self) < 0) {
        return -1;
    }
    PyObject *hooks = attrs[ATTR__hooks];
    if (!self->settings.direct || (hooks != NULL && hooks != Py_None && (!PyDict_Check(hooks) || PyDict_GET_SIZE(hooks) != 0)) ||
        !client_chain_untouched(self) || (is_given(st, args[ARG_AUTH]) && !is_pair(args[ARG_AUTH])) ||
        (args[ARG_REST] != Py_None && PyDict_GET_SIZE(args[ARG_REST]) != 0)) {
        return 0;
    }
    if (client_check_open(self) < 0) {
        return -1;
    }
    call_t call;
    int rc = 0;
    core_op_t *op = NULL;
    core_fields_init(&call.fields);
    call.cookies = call.small;
    memset(&call.request, 0, sizeof(call.request));
    if (is_given(st, attrs[ATTR__headers]) && (rc = core_fields_add(st, &call.fields, attrs[ATTR__headers], attrs[ATTR__spelled])) <= 0) {
        goto done;
    }
    if (is_given(st, args[ARG_HEADERS]) && (rc = core_fields_add(st, &call.fields, args[ARG_HEADERS], NULL)) <= 0) {
        goto done;
    }
    if (is_given(st, args[ARG_COOKIES]) && (rc = call_add_cookies(&call, args[ARG_COOKIES])) <= 0) {
        goto done;
    }
    rc = -1;
    PyObject *auth = is_given(st, args[ARG_AUTH]) ? args[ARG_AUTH] : attrs[ATTR_auth];
    if (is_given(st, auth)) {
        PyObject *value = PyObject_CallOneArg(st->helpers.basic_auth, auth);
        int failed = value == NULL ? -1 : core_fields_set(&call.fields, "authorization", value);
        Py_XDECREF(value);
        if (failed < 0) {
            goto done;
        }
    }
    call_take_settings(self, &call);
    if (is_given(st, args[ARG_FOLLOW])) {
        int follow = PyObject_IsTrue(args[ARG_FOLLOW]);
        if (follow < 0) {
            goto done;
        }
        call.request.flags = follow ? call.request.flags | TR_OP_FOLLOW_REDIRECTS
                                    : call.request.flags & ~(uint32_t)TR_OP_FOLLOW_REDIRECTS;
    }
    if (is_given(st, args[ARG_TIMEOUT]) && timeouts_from(st, args[ARG_TIMEOUT], &call.request.timeouts) < 0) {
        goto done;
    }
    tr_session_t *session = client_session(self);
    if (session == NULL || (op = core_op_new(st, session)) == NULL) {
        goto done;
    }
    rc = call_add_body(self, &call, op, args);
    if (rc <= 0) {
        goto done;
    }
    rc = -1;
    PyObject *url = args[ARG_URL];
    int no_params = is_empty(st, args[ARG_PARAMS]), no_client_params = is_empty(st, attrs[ATTR__params]);
    if (no_params < 0 || no_client_params < 0) {
        /* Something without a length: the package says what is wrong with it. */
        PyErr_Clear();
        no_params = 0;
    }
    bool plain = no_params > 0 && no_client_params > 0 && url_is_plain(url);
    if (plain) {
        op->url = Py_NewRef(url);
    } else {
        PyObject *helper_args[4] = {url, is_given(st, args[ARG_PARAMS]) ? args[ARG_PARAMS] : Py_None,
                                    is_given(st, attrs[ATTR__params]) ? attrs[ATTR__params] : Py_None,
                                    url_is_plain(url) ? Py_True : Py_False};
        op->url = PyObject_Vectorcall(st->helpers.normalize_url, helper_args, 4, NULL);
        if (op->url == NULL) {
            goto done;
        }
    }
    op->method = Py_NewRef(args[ARG_METHOD]);
    op->encoding = Py_XNewRef(attrs[ATTR_encoding]);
    op->raise_on_error = self->settings.raise_on_error;
    if (core_text(op->method, &call.request.method, "method") < 0 || core_text(op->url, &call.request.url, "url") < 0 ||
        call_prepare(self, &call, op) < 0) {
        goto done;
    }
    if (plain && op->error != NULL && op->error->code == TR_ERR_URL_INVALID) {
        /* What the URL class refuses is raised, whichever way it was found. */
        PyObject *text = PyObject_CallFunctionObjArgs(st->helpers.normalize_url, url, Py_None, Py_None, NULL);
        if (text == NULL) {
            goto done;
        }
        Py_DECREF(text);
    }
    rc = 1;
    self->life = CLIENT_OPENED;
    *out = op;
    op = NULL;
done:
    Py_XDECREF(op);
    call_cleanup(&call);
    return rc;
}

static int
check_num_args(Py_ssize_t num, Py_ssize_t expected, const char *name)
{
    if (num != expected) {
        PyErr_Format(PyExc_TypeError, "%s takes %zd arguments, not %zd", name, expected, num);
        return -1;
    }
    return 0;
}

PyDoc_STRVAR(client_blocking_doc,
             "_blocking($self, method, url, params, headers, cookies, auth, follow_redirects, timeout, data, files, json, content, rest, /)\n"
             "--\n\nSend and wait. None when the call needs the Python chain.");

static PyObject *
client_blocking(PyObject *obj, PyObject *const *args, Py_ssize_t num)
{
    core_op_t *op;
    if (check_num_args(num, ARG_COUNT, "_blocking") < 0) {
        return NULL;
    }
    int rc = client_build((core_client_t *)obj, args, &op);
    if (rc <= 0) {
        return rc < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *response = core_op_run_blocking(op);
    Py_DECREF(op);
    return response;
}

/* The op, submitted: an op that failed before answers at once when it is awaited. */
static PyObject *
start(core_op_t *op)
{
    if (op->state == OP_NEW && core_op_start(op) < 0) {
        Py_CLEAR(op);
    }
    return (PyObject *)op;
}

PyDoc_STRVAR(client_awaitable_doc,
             "_awaitable($self, method, url, params, headers, cookies, auth, follow_redirects, timeout, data, files, json, content, rest, /)\n"
             "--\n\nSend; await the result. None when the call needs the Python chain.");

static PyObject *
client_awaitable(PyObject *obj, PyObject *const *args, Py_ssize_t num)
{
    core_op_t *op;
    if (check_num_args(num, ARG_COUNT, "_awaitable") < 0) {
        return NULL;
    }
    int rc = client_build((core_client_t *)obj, args, &op);
    return rc < 0 ? NULL : rc == 0 ? Py_NewRef(Py_None) : start(op);
}

/* -------------------------------------------------------------------------------------------------------- the long way */

/* options[name], borrowed while options lives; NULL: absent or None. */
static PyObject *
option(PyObject *options, const char *name)
{
    PyObject *value = PyDict_GetItemString(options, name);
    return value == Py_None ? NULL : value;
}

typedef struct order {
    const char **names;
    PyObject *list; /* owns the texts */
} order_t;

static int
order_from(PyObject *source, order_t *order, call_t *call)
{
    order->list = PySequence_List(source);
    if (order->list == NULL) {
        return -1;
    }
    Py_ssize_t num = PyList_GET_SIZE(order->list);
    order->names = PyMem_New(const char *, (size_t)num + 1);
    if (order->names == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < num; i++) {
        order->names[i] = PyUnicode_Check(PyList_GET_ITEM(order->list, i)) ? PyUnicode_AsUTF8(PyList_GET_ITEM(order->list, i)) : NULL;
        if (order->names[i] == NULL) {
            if (!PyErr_Occurred()) {
                PyErr_SetString(PyExc_TypeError, "header_order must be a sequence of str");
            }
            return -1;
        }
    }
    call->request.header_order = order->names;
    call->request.num_header_order = (size_t)num;
    return 0;
}

/* Cookies of a finished request: tuples as the jar's items give them. */
static int
call_take_cookies(call_t *call, PyObject *cookies)
{
    Py_ssize_t num = PyList_GET_SIZE(cookies);
    if (num > COOKIES_SMALL) {
        call->cookies = PyMem_New(tr_cookie_t, (size_t)num);
        if (call->cookies == NULL) {
            call->cookies = call->small;
            PyErr_NoMemory();
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < num; i++) {
        tr_cookie_t *cookie = &call->cookies[i];
        PyObject *name, *value, *domain, *path;
        long long expires;
        unsigned int flags;
        *cookie = (tr_cookie_t){.flags = 0};
        if (!PyArg_ParseTuple(PyList_GET_ITEM(cookies, i), "OOOOLI", &name, &value, &domain, &path, &expires, &flags) ||
            core_text(name, &cookie->name, "a cookie name") < 0 || core_text(value, &cookie->value, "a cookie value") < 0 ||
            core_text(domain, &cookie->domain, "a cookie domain") < 0 || core_text(path, &cookie->path, "a cookie path") < 0) {
            return -1;
        }
        cookie->expires_s = expires;
        cookie->flags = flags;
    }
    call->request.cookies = call->cookies;
    call->request.num_cookies = (size_t)num;
    return 0;
}

/* What a request says differently from its client. trust: reference, given back. */
static int
call_take_options(core_client_t *self, call_t *call, core_op_t *op, PyObject *options, tr_trust_t **trust)
{
    core_state_t *st = self->st;
    tr_op_request_t *request = &call->request;
    PyObject *value;
    if ((value = option(options, "timeout")) != NULL && timeouts_from(st, value, &request->timeouts) < 0) {
        return -1;
    }
    if ((value = option(options, "follow_redirects")) != NULL) {
        request->flags = PyObject_IsTrue(value) > 0 ? request->flags | TR_OP_FOLLOW_REDIRECTS
                                                    : request->flags & ~(uint32_t)TR_OP_FOLLOW_REDIRECTS;
    }
    if ((value = option(options, "max_redirects")) != NULL) {
        request->max_redirects = redirects_from(value);
    }
    if ((value = PyDict_GetItemString(options, "http2")) != NULL) {
        request->flags = (request->flags & ~(uint32_t)(TR_OP_HTTP1_ONLY | TR_OP_HTTP2_ASKED)) | http2_flags(st, value);
    }
    if ((value = PyDict_GetItemString(options, "verify")) != NULL) {
        if (verify_from(st, value, &request->flags, trust) < 0) {
            return -1;
        }
        request->trust = *trust;
    }
    if ((value = option(options, "client_identifier")) != NULL) {
        request->profile = profile_from(value);
    }
    if ((value = option(options, "raise_on_error")) != NULL) {
        op->raise_on_error = PyObject_IsTrue(value) > 0;
    }
    if ((value = option(options, "exact_headers")) != NULL && PyObject_IsTrue(value) > 0) {
        request->flags |= TR_OP_EXACT_HEADERS;
    }
    if ((value = option(options, "no_cookies")) != NULL && PyObject_IsTrue(value) > 0) {
        request->flags |= TR_OP_NO_COOKIES;
    }
    if ((value = option(options, "no_decode")) != NULL && PyObject_IsTrue(value) > 0) {
        request->flags |= TR_OP_NO_DECODE;
    }
    if ((value = PyDict_GetItemString(options, "encoding")) != NULL) {
        Py_XSETREF(op->encoding, Py_NewRef(value));
    }
    if ((value = option(options, "info")) != NULL) {
        op->info = Py_NewRef(value);
    }
    return PyErr_Occurred() ? -1 : 0;
}

/* What _perform makes of its arguments: an op that is ready, or has failed already. */
static core_op_t *
client_perform(core_client_t *self, PyObject *args)
{
    PyObject *request, *method, *url, *headers, *cookies, *body, *body_type, *options;
    core_op_t *op = NULL, *result = NULL;
    tr_trust_t *trust = NULL;
    order_t order = {NULL, NULL};
    call_t call;
    core_fields_init(&call.fields);
    call.cookies = call.small;
    memset(&call.request, 0, sizeof(call.request));
    if (!PyArg_ParseTuple(args, "OUUOO!OOO!:_perform", &request, &method, &url, &headers, &PyList_Type, &cookies, &body, &body_type,
                          &PyDict_Type, &options) ||
        client_check_open(self) < 0 || (self->dirty && client_refresh(self) < 0)) {
        goto done;
    }
    tr_session_t *session = client_session(self);
    if (session == NULL || (op = core_op_new(self->st, session)) == NULL) {
        goto done;
    }
    op->method = Py_NewRef(method);
    op->url = Py_NewRef(url);
    op->request = request == Py_None ? NULL : Py_NewRef(request);
    op->encoding = Py_XNewRef(self->attrs[ATTR_encoding]);
    op->raise_on_error = self->settings.raise_on_error;
    call_take_settings(self, &call);
    if (core_fields_add_pairs(&call.fields, headers) < 0 || call_take_cookies(&call, cookies) < 0 ||
        call_take_options(self, &call, op, options, &trust) < 0 ||
        (body_type != Py_None && core_text(body_type, &call.request.body_type, "a content type") < 0) ||
        core_text(method, &call.request.method, "method") < 0 || core_text(url, &call.request.url, "url") < 0) {
        goto done;
    }
    PyObject *header_order = option(options, "header_order");
    if (header_order != NULL && order_from(header_order, &order, &call) < 0) {
        goto done;
    }
    if (body != Py_None) {
        if (!PyBytes_Check(body)) {
            PyErr_SetString(PyExc_TypeError, "a body must be bytes");
            goto done;
        }
        op->body = Py_NewRef(body);
        call.request.has_body = true;
        call.request.body = tr_slice(PyBytes_AS_STRING(body), (size_t)PyBytes_GET_SIZE(body));
        call.request.body_owner = op;
    }
    if (call_prepare(self, &call, op) < 0) {
        goto done;
    }
    self->life = CLIENT_OPENED;
    result = op;
    op = NULL;
done:
    Py_XDECREF(op);
    tr_trust_unref(trust);
    PyMem_Free((void *)order.names);
    Py_XDECREF(order.list);
    call_cleanup(&call);
    return result;
}

PyDoc_STRVAR(client_perform_blocking_doc, "_perform_blocking($self, request, method, url, headers, cookies, body, body_type, options, /)\n--\n\n"
                                          "Send a finished request's parts and wait.");

static PyObject *
client_perform_blocking(PyObject *obj, PyObject *args)
{
    core_op_t *op = client_perform((core_client_t *)obj, args);
    if (op == NULL) {
        return NULL;
    }
    PyObject *response = core_op_run_blocking(op);
    Py_DECREF(op);
    return response;
}

PyDoc_STRVAR(client_perform_awaitable_doc, "_perform_awaitable($self, request, method, url, headers, cookies, body, body_type, options, /)\n--\n\n"
                                           "Send a finished request's parts; await the result.");

static PyObject *
client_perform_awaitable(PyObject *obj, PyObject *args)
{
    core_op_t *op = client_perform((core_client_t *)obj, args);
    return op == NULL ? NULL : start(op);
}

PyDoc_STRVAR(client_fail_doc, "_failure($self, request, method, url, code, message, /)\n--\n\n"
                              "A request that cannot be sent: the status-0 response, or the exception when raise_on_error is set.");

static PyObject *
client_failure(PyObject *obj, PyObject *args)
{
    core_client_t *self = (core_client_t *)obj;
    PyObject *request, *method, *url;
    const char *name, *message;
    if (!PyArg_ParseTuple(args, "OUUss:_failure", &request, &method, &url, &name, &message)) {
        return NULL;
    }
    tr_code_t code = TR_ERR_INTERNAL;
#define TR_ERROR(row, scope, exception, sentence)                                                                      \
    if (strcmp(name, #row) == 0) {                                                                                     \
        code = TR_ERR_##row;                                                                                           \
    }
#include "core/errors.def"
#undef TR_ERROR
    if (self->dirty && client_refresh(self) < 0) {
        return NULL;
    }
    tr_session_t *session = client_session(self);
    core_op_t *op = session == NULL ? NULL : core_op_new(self->st, session);
    if (op == NULL) {
        return NULL;
    }
    tr_err_t err = TR_ERR_INIT;
    tr_err_set(&err, code, 0, "client", "%s", message);
    op->method = Py_NewRef(method);
    op->url = Py_NewRef(url);
    op->request = request == Py_None ? NULL : Py_NewRef(request);
    op->encoding = Py_XNewRef(self->attrs[ATTR_encoding]);
    op->raise_on_error = self->settings.raise_on_error;
    PyObject *response = core_op_fail(op, &err) < 0 ? NULL : core_response_new(op);
    Py_DECREF(op);
    return response;
}

/* ---------------------------------------------------------------------------------------------------------- attributes */

static PyObject *
attribute_default(core_client_t *self, size_t index)
{
    switch (index) {
    case ATTR_timeout:
        return PyFloat_FromDouble(DEFAULT_TIMEOUT_MS / 1000.0);
    case ATTR_follow_redirects:
    case ATTR_verify:
        Py_RETURN_TRUE;
    case ATTR_max_redirects:
        return PyLong_FromLong(TR_MAX_REDIRECTS_DEFAULT);
    case ATTR_http2:
        return Py_NewRef(self->st->names.auto_);
    case ATTR_client_identifier:
        return PyUnicode_FromString("chrome_133");
    case ATTR_protocol_racing:
    case ATTR_allow_http:
    case ATTR_raise_on_error:
    case ATTR_debug:
        Py_RETURN_FALSE;
    case ATTR_encoding:
        return PyUnicode_FromString("utf-8");
    default:
        Py_RETURN_NONE;
    }
}

static PyObject *
client_get_attribute(PyObject *obj, void *closure)
{
    core_client_t *self = (core_client_t *)obj;
    size_t index = (size_t)closure;
    return self->attrs[index] != NULL ? Py_NewRef(self->attrs[index]) : attribute_default(self, index);
}

static int
client_set_attribute(PyObject *obj, PyObject *value, void *closure)
{
    core_client_t *self = (core_client_t *)obj;
    size_t index = (size_t)closure;
    PyObject *kept = Py_XNewRef(value);
    if (value != NULL && PyList_Check(value) && (index == ATTR_proxy || index == ATTR_client_identifier)) {
        Py_DECREF(kept);
        kept = PyObject_CallFunction(self->st->helpers.convert_attribute, "sO", attribute_names[index], value);
        if (kept == NULL) {
            return -1;
        }
    }
    if (index == ATTR_verify && verify_from(self->st, kept, &self->settings.flags, &self->settings.trust) < 0) {
        Py_XDECREF(kept);
        return -1;
    }
    self->dirty = true;
    PyObject *old = self->attrs[index];
    self->attrs[index] = kept;
    Py_XDECREF(old);
    return 0;
}

static PyObject *
client_get_jar(PyObject *obj, void *closure)
{
    core_client_t *self = (core_client_t *)obj;
    TR_UNUSED(closure);
    if (self->jar == NULL) {
        tr_session_t *session = client_session(self);
        if (session == NULL) {
            return NULL;
        }
        self->jar = (core_jar_t *)core_jar_wrap(self->st, tr_session_jar(session));
    }
    return Py_XNewRef((PyObject *)self->jar);
}

/* Another jar means another session of the engine: the jar is a session's for life. */
static int
client_set_jar(PyObject *obj, PyObject *value, void *closure)
{
    core_client_t *self = (core_client_t *)obj;
    TR_UNUSED(closure);
    if (value == NULL || !PyObject_TypeCheck(value, self->st->jar_type)) {
        PyErr_SetString(PyExc_TypeError, "a CookieJar is wanted");
        return -1;
    }
    if (self->jar == (core_jar_t *)value) {
        return 0;
    }
    core_jar_t *old = self->jar;
    self->jar = (core_jar_t *)Py_NewRef(value);
    Py_XDECREF(old);
    tr_session_t *session = self->session;
    self->session = NULL;
    tr_session_unref(session);
    return 0;
}

/* bool fields that change what the engine is told. closure: offset. */
static PyObject *
client_get_flag(PyObject *obj, void *closure)
{
    return PyBool_FromLong(*(bool *)((char *)obj + (size_t)closure));
}

static int
client_set_flag(PyObject *obj, PyObject *value, void *closure)
{
    int truth = value == NULL ? 0 : PyObject_IsTrue(value);
    if (truth < 0) {
        return -1;
    }
    *(bool *)((char *)obj + (size_t)closure) = truth != 0;
    ((core_client_t *)obj)->dirty = true;
    return 0;
}

PyDoc_STRVAR(client_limits_doc, "_set_limits($self, max_h1_per_origin, idle_timeout_ms, max_header_bytes, max_ratio, max_decoded, keylog_path, /)\n"
                                "--\n\nSettings of the session; before the first request. 0 and None: the default.");

static PyObject *
client_set_limits(PyObject *obj, PyObject *args)
{
    core_client_t *self = (core_client_t *)obj;
    unsigned int max_h1, idle, header_bytes, ratio;
    unsigned long long decoded;
    PyObject *keylog;
    if (!PyArg_ParseTuple(args, "IIIIKO:_set_limits", &max_h1, &idle, &header_bytes, &ratio, &decoded, &keylog)) {
        return NULL;
    }
    if (self->session != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "limits are set before the first request");
        return NULL;
    }
    PyObject *path = NULL;
    if (keylog != Py_None && !PyUnicode_FSConverter(keylog, &path)) {
        return NULL;
    }
    Py_XSETREF(self->keylog, path);
    self->options.max_h1_per_origin = max_h1;
    self->options.idle_timeout_ms = idle;
    self->options.max_header_bytes = header_bytes;
    self->options.max_ratio = ratio;
    self->options.max_decoded = decoded;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(client_close_doc, "_close($self, /)\n--\n\nClose the session; requests under way fail. Any number of times.");

static PyObject *
client_close(PyObject *obj, PyObject *args)
{
    core_client_t *self = (core_client_t *)obj;
    TR_UNUSED(args);
    self->life = CLIENT_CLOSED;
    tr_session_t *session = self->session == NULL ? NULL : tr_session_ref(self->session);
    if (session != NULL) {
        Py_BEGIN_ALLOW_THREADS
        tr_session_close(session);
        tr_session_unref(session);
        Py_END_ALLOW_THREADS
    }
    Py_RETURN_NONE;
}

/* A step of the chain that is set on the instance is used, too. */
static int
client_setattro(PyObject *obj, PyObject *name, PyObject *value)
{
    core_client_t *self = (core_client_t *)obj;
    for (size_t i = 0; i < CHAIN_COUNT; i++) {
        if (name == self->st->chain_names[i]) {
            self->overridden = true;
        }
    }
    return PyObject_GenericSetAttr(obj, name, value);
}

/* ------------------------------------------------------------------------------------------------------------ the type */

static PyObject *
client_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    TR_UNUSED(args);
    TR_UNUSED(kwargs);
    core_client_t *self = (core_client_t *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->st = core_state_of(type);
        self->life = CLIENT_UNOPENED;
        self->dirty = true;
    }
    return (PyObject *)self;
}

static int
client_traverse(PyObject *obj, visitproc visit, void *arg)
{
    core_client_t *self = (core_client_t *)obj;
    Py_VISIT(Py_TYPE(obj));
    for (size_t i = 0; i < ATTR_COUNT; i++) {
        Py_VISIT(self->attrs[i]);
    }
    Py_VISIT(self->jar);
    return 0;
}

static int
client_clear(PyObject *obj)
{
    core_client_t *self = (core_client_t *)obj;
    for (size_t i = 0; i < ATTR_COUNT; i++) {
        Py_CLEAR(self->attrs[i]);
    }
    Py_CLEAR(self->jar);
    return 0;
}

static void
client_dealloc(PyObject *obj)
{
    core_client_t *self = (core_client_t *)obj;
    PyTypeObject *type = Py_TYPE(obj);
    PyObject_GC_UnTrack(obj);
    client_clear(obj);
    Py_CLEAR(self->keylog);
    tr_session_unref(self->session);
    tr_trust_unref(self->settings.trust);
    type->tp_free(obj);
    Py_DECREF(type);
}

static PyMethodDef client_methods[] = {
    {"_blocking", (PyCFunction)(void (*)(void))client_blocking, METH_FASTCALL, client_blocking_doc},
    {"_awaitable", (PyCFunction)(void (*)(void))client_awaitable, METH_FASTCALL, client_awaitable_doc},
    {"_perform_blocking", client_perform_blocking, METH_VARARGS, client_perform_blocking_doc},
    {"_perform_awaitable", client_perform_awaitable, METH_VARARGS, client_perform_awaitable_doc},
    {"_failure", client_failure, METH_VARARGS, client_fail_doc},
    {"_set_limits", client_set_limits, METH_VARARGS, client_limits_doc},
    {"_close", client_close, METH_NOARGS, client_close_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef client_members[] = {
    {"_life", T_INT, offsetof(core_client_t, life), 0, "1: unopened, 2: opened, 3: closed."},
    {NULL, 0, 0, 0, NULL},
};

#define ATTRIBUTE(name, doc) {#name, client_get_attribute, client_set_attribute, doc, (void *)ATTR_##name}
#define FLAG(name, field) {name, client_get_flag, client_set_flag, NULL, (void *)offsetof(core_client_t, field)}

static PyGetSetDef client_getset[] = {
    ATTRIBUTE(auth, "Authentication of each request."),
    ATTRIBUTE(proxy, "Proxy of each request, or None."),
    ATTRIBUTE(timeout, "Seconds a request may take; or a mapping of connect, tls, write, read, pool, total."),
    ATTRIBUTE(follow_redirects, "Whether redirects are followed."),
    ATTRIBUTE(max_redirects, "Redirects followed before TooManyRedirects."),
    ATTRIBUTE(http2, "\"auto\", True, False, \"http1\" or \"http2\"."),
    ATTRIBUTE(verify, "True, False, or the path of a file or directory of trusted certificates."),
    ATTRIBUTE(client_identifier, "The browser whose connections these are."),
    ATTRIBUTE(protocol_racing, "Accepted; HTTP/3 is not spoken."),
    ATTRIBUTE(allow_http, "Accepted; http URLs are always allowed."),
    ATTRIBUTE(stream_id, "Accepted."),
    ATTRIBUTE(encoding, "Default encoding of responses: a name, None (detect), or a callable."),
    ATTRIBUTE(raise_on_error, "Whether a failed request raises instead of giving a response with status 0."),
    ATTRIBUTE(debug, "Accepted; see TLS_REQUESTS_TRACE."),
    ATTRIBUTE(_headers, NULL),
    ATTRIBUTE(_header_rotator, NULL),
    ATTRIBUTE(_params, NULL),
    ATTRIBUTE(_hooks, NULL),
    ATTRIBUTE(_cookies, NULL),
    ATTRIBUTE(_extra, NULL),
    ATTRIBUTE(_spelled, NULL),
    FLAG("_no_browser_headers", no_browser_headers),
    FLAG("_no_jar", no_jar),
    {"_jar", client_get_jar, client_set_jar, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot client_slots[] = {
    {Py_tp_doc, (void *)"Settings and session of a client."},
    {Py_tp_new, (void *)client_new},
    {Py_tp_dealloc, (void *)client_dealloc},
    {Py_tp_traverse, (void *)client_traverse},
    {Py_tp_clear, (void *)client_clear},
    {Py_tp_setattro, (void *)client_setattro},
    {Py_tp_methods, client_methods},
    {Py_tp_members, client_members},
    {Py_tp_getset, client_getset},
    {0, NULL},
};

PyType_Spec core_client_spec = {
    .name = "tls_requests._core.BaseClient",
    .basicsize = sizeof(core_client_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = client_slots,
};
