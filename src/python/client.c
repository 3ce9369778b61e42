/* client: the common base of Client and AsyncClient: its attributes, its session's life, the type. Settings are plain attributes that may
 * change at any time. */
#include "python/client_object.h"

static const char *const attribute_names[ATTR_COUNT] = {
    "auth",      "proxy",           "timeout",  "follow_redirects", "max_redirects",  "http2",    "verify",
    "client_identifier", "protocol_racing", "allow_http", "stream_id", "encoding", "raise_on_error", "debug",
    "_headers", "_header_rotator", "_params",  "_hooks",           "_cookies",       "_extra",
    "_spelled", "_session_id", "_transport", "_persona",
};

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
    PyObject *message = core_str(tr_slice_cstr(err->msg)); /* a path in it may be no UTF-8 */
    if (message == NULL) {
        return NULL;
    }
    PyObject *error = PyObject_CallFunction(st->helpers.make_error, "sisO(OOdss)O", tr_err_name(err->code), (int)err->detail,
                                            err->where == NULL ? "" : err->where, message, Py_False, Py_True, 0.0, "build", "", Py_None);
    Py_DECREF(message);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
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
    if (index == ATTR_timeout && value != NULL && PyDict_Check(value)) {
        tr_timeouts_t unused = {0};
        if (core_timeouts_from(self->st, value, &unused) < 0) {
            Py_DECREF(kept);
            return -1;
        }
    }
    bool is_list = value != NULL && PyList_Check(value) && (index == ATTR_proxy || index == ATTR_client_identifier);
    bool is_unknown = index == ATTR_client_identifier && !core_profile_is_known(self->st, value) &&
                      (PyUnicode_Check(value) || PyObject_HasAttr(value, self->st->names.fspath));
    if (is_list || is_unknown) {
        Py_DECREF(kept);
        kept = PyObject_CallFunction(self->st->helpers.convert_attribute, "sO", attribute_names[index], value);
        if (kept == NULL) {
            return -1;
        }
    }
    if (index == ATTR_verify && core_verify_from(self->st, kept, &self->settings.flags, &self->settings.trust) < 0) {
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
        tr_session_t *session = core_client_session(self);
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

PyDoc_STRVAR(client_stats_doc, "_stats($self, /)\n--\n\nCounters of the session; all 0 before its first request.");

static PyObject *
client_stats(PyObject *obj, PyObject *args)
{
    core_client_t *self = (core_client_t *)obj;
    tr_session_stats_t s = {0};
    TR_UNUSED(args);
    if (self->session != NULL) {
        tr_session_stats(self->session, &s);
    }
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:I,s:I,s:I,s:I,s:I}", "requests", s.ops_started, "succeeded",
                         s.ops_succeeded, "failed", s.ops_failed, "http1", s.requests_h1, "http2", s.requests_h2, "replays", s.replays,
                         "redirects", s.redirects, "connections_opened", s.conns_opened, "connections_failed", s.conns_failed,
                         "handshakes", s.handshakes, "resumed", s.resumed, "open", s.conns_open, "connecting", s.conns_connecting,
                         "idle", s.conns_idle, "active", s.ops_active, "waiting", s.ops_waiting);
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
        self->kind = TR_KIND_AUTO;
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
    Py_VISIT(self->settings.proxy);
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
    Py_CLEAR(self->settings.proxy);
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
    tr_profile_unref(self->settings.profile);
    tr_trust_unref(self->settings.trust);
    type->tp_free(obj);
    Py_DECREF(type);
}

PyDoc_STRVAR(send_verb_doc, "_verb($self, method, url, params, headers, cookies, auth, follow_redirects, timeout, rest, /, *body)\n--\n\n"
                            "Send and wait. body: data, files, json, content, or nothing.");

PyDoc_STRVAR(send_averb_doc, "_averb($self, method, url, params, headers, cookies, auth, follow_redirects, timeout, rest, /, *body)\n--\n\n"
                             "Send; await the result. body: data, files, json, content, or nothing.");

PyDoc_STRVAR(send_blocking_doc,
             "_blocking($self, method, url, params, headers, cookies, auth, follow_redirects, timeout, data, files, json, content, rest, /)\n"
             "--\n\nSend and wait. None when the call needs the Python chain.");

PyDoc_STRVAR(send_awaitable_doc,
             "_awaitable($self, method, url, params, headers, cookies, auth, follow_redirects, timeout, data, files, json, content, rest, /)\n"
             "--\n\nSend; await the result. None when the call needs the Python chain.");

PyDoc_STRVAR(send_perform_blocking_doc, "_perform_blocking($self, request, method, url, headers, cookies, body, body_type, options, /)\n--\n\n"
                                          "Send a finished request's parts and wait.");

PyDoc_STRVAR(send_perform_open_doc, "_perform_open($self, request, method, url, headers, cookies, body, body_type, options, /)\n--\n\n"
                                    "The request as an _Op that is not submitted: for blocking callers that handle bodies in pieces.");

PyDoc_STRVAR(send_perform_awaitable_doc, "_perform_awaitable($self, request, method, url, headers, cookies, body, body_type, options, /)\n--\n\n"
                                           "Send a finished request's parts; await the result.");

PyDoc_STRVAR(send_failure_doc, "_failure($self, request, method, url, code, message, /)\n--\n\n"
                              "A request that cannot be sent: the status-0 response, or the exception when raise_on_error is set.");

static PyMethodDef client_methods[] = {
    {"_verb", (PyCFunction)(void (*)(void))core_send_verb, METH_FASTCALL, send_verb_doc},
    {"_averb", (PyCFunction)(void (*)(void))core_send_averb, METH_FASTCALL, send_averb_doc},
    {"_blocking", (PyCFunction)(void (*)(void))core_send_blocking, METH_FASTCALL, send_blocking_doc},
    {"_awaitable", (PyCFunction)(void (*)(void))core_send_awaitable, METH_FASTCALL, send_awaitable_doc},
    {"_perform_blocking", core_send_perform_blocking, METH_VARARGS, send_perform_blocking_doc},
    {"_perform_open", core_send_perform_open, METH_VARARGS, send_perform_open_doc},
    {"_perform_awaitable", core_send_perform_awaitable, METH_VARARGS, send_perform_awaitable_doc},
    {"_failure", core_send_failure, METH_VARARGS, send_failure_doc},
    {"_set_limits", client_set_limits, METH_VARARGS, client_limits_doc},
    {"_stats", client_stats, METH_NOARGS, client_stats_doc},
    {"_close", client_close, METH_NOARGS, client_close_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef client_members[] = {
    {"_life", T_INT, offsetof(core_client_t, life), 0, "1: unopened, 2: opened, 3: closed."},
    {"_kind", T_INT, offsetof(core_client_t, kind), 0, "Index of the kind of requests; their number: by the call."},
    {NULL, 0, 0, 0, NULL},
};

#define ATTRIBUTE(name, doc) {#name, client_get_attribute, client_set_attribute, doc, (void *)ATTR_##name}
#define FLAG(name, field) {name, client_get_flag, client_set_flag, NULL, (void *)offsetof(core_client_t, field)}

static PyGetSetDef client_getset[] = {
    ATTRIBUTE(auth, "Authentication of each request."),
    ATTRIBUTE(proxy, "Proxy of each request, or None."),
    ATTRIBUTE(timeout, "Seconds a request may take; or a mapping of connect, tls, write, first_byte, read, pool, total."),
    ATTRIBUTE(follow_redirects, "Whether redirects are followed."),
    ATTRIBUTE(max_redirects, "Redirects followed before TooManyRedirects."),
    ATTRIBUTE(http2, "\"auto\", True, False, \"http1\" or \"http2\"."),
    ATTRIBUTE(verify, "True, False, or the path of a file or directory of trusted certificates."),
    ATTRIBUTE(client_identifier, "The browser whose connections these are: a name, a Profile, or a rotator of them."),
    ATTRIBUTE(protocol_racing, "Accepted; HTTP/3 is not spoken."),
    ATTRIBUTE(allow_http, "Accepted; http URLs are always allowed."),
    ATTRIBUTE(stream_id, "The first HTTP/2 stream, when odd and positive."),
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
    ATTRIBUTE(_session_id, NULL),
    ATTRIBUTE(_transport, NULL),
    ATTRIBUTE(_persona, NULL),
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
