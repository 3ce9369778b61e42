/* response: the hot part of Response. It reads from the finished op; objects for headers, cookies, URL, request and history are made only when
 * looked at, most of them by the package's subclass. */
#include "python/state.h"

#include "crypto/kex.h"

/* Bodies from here on are copied with the GIL released, before anybody else has the response. */
#define TAKE_UNLOCKED_MIN (64 * 1024)

static PyObject *
response_make(core_op_t *op, tr_response_t *hop, bool is_final)
{
    PyTypeObject *type = (PyTypeObject *)op->st->helpers.Response;
    if (type == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "tls_requests is not fully imported");
        return NULL;
    }
    core_response_t *self = (core_response_t *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->op = (core_op_t *)Py_NewRef((PyObject *)op);
    self->hop = hop;
    self->status_code = hop == NULL ? 0 : hop->status;
    self->is_final = is_final;
    return (PyObject *)self;
}

/* The URL without user name and password, as a new str. */
static PyObject *
url_without_userinfo(core_op_t *op)
{
    tr_slice_t url = op->op == NULL ? TR_SLICE_NULL : tr_op_url(op->op);
    if (url.len > 0) {
        return core_str(url);
    }
    if (op->url == NULL) {
        return PyUnicode_FromString("");
    }
    tr_slice_t text;
    if (core_text(op->url, &text, "url") < 0) {
        return NULL;
    }
    size_t start = 0, at = 0;
    for (size_t i = 0; i + 2 < text.len; i++) {
        if (memcmp(text.data + i, "://", 3) == 0) {
            start = at = i + 3;
            break;
        }
    }
    for (size_t i = start; i < text.len && strchr("/?#", text.data[i]) == NULL; i++) {
        if (text.data[i] == '@') {
            at = i + 1;
        }
    }
    if (at == start) {
        return Py_NewRef(op->url);
    }
    PyObject *head = core_str(tr_slice(text.data, start));
    PyObject *tail = core_str(tr_slice(text.data + at, text.len - at));
    PyObject *whole = head == NULL || tail == NULL ? NULL : PyUnicode_Concat(head, tail);
    Py_XDECREF(head);
    Py_XDECREF(tail);
    return whole;
}

/* The text itself, or with its control characters escaped: what was refused for a line break must not break a line of somebody's log.
 * Takes over the reference; NULL stays NULL. */
static PyObject *
one_line(PyObject *text)
{
    Py_ssize_t len = text == NULL ? 0 : PyUnicode_GET_LENGTH(text);
    for (Py_ssize_t i = 0; i < len; i++) {
        Py_UCS4 c = PyUnicode_READ_CHAR(text, i);
        if (c < 0x20 || c == 0x7f) {
            PyObject *escaped = PyUnicode_AsUnicodeEscapeString(text);
            Py_DECREF(text);
            text = escaped == NULL ? NULL : PyUnicode_FromEncodedObject(escaped, "ascii", "strict");
            Py_XDECREF(escaped);
            break;
        }
    }
    return text;
}

/* failed to do request: Get "<url>": <reason> */
static PyObject *
failure_text(core_op_t *op, const tr_err_t *err)
{
    PyObject *text = NULL, *method = NULL;
    PyObject *url = one_line(url_without_userinfo(op));
    PyObject *reason = core_str(tr_slice_cstr(err->msg));
    if (url != NULL && reason != NULL && op->method != NULL) {
        method = one_line(PyObject_CallMethodNoArgs(op->method, op->st->names.capitalize));
        if (method != NULL) {
            text = PyUnicode_FromFormat("failed to do request: %U \"%U\": %U", method, url, reason);
        }
    } else if (!PyErr_Occurred()) {
        text = Py_XNewRef(reason);
    }
    Py_XDECREF(method);
    Py_XDECREF(url);
    Py_XDECREF(reason);
    return text;
}

/* The exception instance for a failed op. `message` is the text of the response. */
static PyObject *
failure_exception(core_op_t *op, const tr_err_t *err, PyObject *message, PyObject *response)
{
    if (op->st->helpers.make_error == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "tls_requests is not fully imported");
        return NULL;
    }
    double elapsed = (double)tr_op_elapsed_ns(op->op) / 1e9;
    return PyObject_CallFunction(op->st->helpers.make_error, "sisO(OOdss)O", tr_err_name(err->code), (int)err->detail,
                                 err->where == NULL ? "" : err->where, message,
                                 op->error == NULL && tr_op_request_sent(op->op) ? Py_True : Py_False,
                                 op->error != NULL || tr_op_safe_to_retry(op->op) ? Py_True : Py_False, elapsed,
                                 op->error != NULL ? "build" : tr_phase_name(tr_op_phase(op->op)),
                                 op->error != NULL ? "" : tr_op_address(op->op), response);
}

static bool
always_raises(tr_code_t code)
{
    return code == TR_ERR_TOO_MANY_REDIRECTS || code == TR_ERR_REDIRECT_INVALID || code == TR_ERR_REDIRECT_SCHEME ||
           code == TR_ERR_REQUEST_BODY;
}

static tr_response_t *
last_hop(core_op_t *op)
{
    tr_response_t *hop = op->error != NULL ? NULL : tr_op_responses(op->op);
    while (hop != NULL && hop->next != NULL) {
        hop = hop->next;
    }
    return hop;
}

static int
take_body(core_response_t *self)
{
    self->body_taken = true;
    size_t len = self->hop->body_len > PY_SSIZE_T_MAX ? SIZE_MAX : (size_t)self->hop->body_len;
    if (len > (size_t)PY_SSIZE_T_MAX) {
        PyErr_NoMemory();
        return -1;
    }
    PyObject *content = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)len);
    if (content == NULL) {
        self->body_taken = false;
        return -1;
    }
    if (len >= TAKE_UNLOCKED_MIN && Py_REFCNT(self) == 1) {
        Py_BEGIN_ALLOW_THREADS
        tr_op_take_body(self->op->op, self->hop, (uint8_t *)PyBytes_AS_STRING(content));
        Py_END_ALLOW_THREADS
    } else if (len > 0) {
        tr_op_take_body(self->op->op, self->hop, (uint8_t *)PyBytes_AS_STRING(content));
    }
    self->content = content;
    return 0;
}

PyObject *
core_response_new(core_op_t *op)
{
    bool streamed = tr_op_is_answered(op->op);
    const tr_err_t *err = streamed ? NULL : core_op_error(op); /* of a body: told to who reads it */
    if (TR_LIKELY(err == NULL)) {
        tr_response_t *hop = last_hop(op);
        if (hop == NULL) {
            PyErr_SetString(PyExc_SystemError, "a finished request without answer and error");
            return NULL;
        }
        core_response_t *self = (core_response_t *)response_make(op, hop, true);
        if (self != NULL && streamed) {
            self->streamed = self->body_taken = true;
        } else if (self != NULL && hop->body_len >= TAKE_UNLOCKED_MIN && take_body(self) < 0) {
            Py_CLEAR(self);
        }
        return (PyObject *)self;
    }
    if (err->code == TR_ERR_NOMEM) {
        return PyErr_NoMemory();
    }
    bool redirect = always_raises(err->code);
    core_response_t *self = (core_response_t *)response_make(op, redirect ? last_hop(op) : NULL, true);
    PyObject *text = redirect ? core_str(tr_slice_cstr(err->msg)) : failure_text(op, err);
    if (self == NULL || text == NULL) {
        goto fail;
    }
    /* A full disk is the caller's matter, not what became of the request. */
    if (redirect || err->code == TR_ERR_FILE_WRITE || op->raise_on_error) {
        PyObject *error = failure_exception(op, err, text, (PyObject *)self);
        if (error != NULL) {
            PyErr_SetObject((PyObject *)Py_TYPE(error), error);
            Py_DECREF(error);
        }
        goto fail;
    }
    self->content = PyUnicode_AsUTF8String(text);
    if (self->content == NULL) {
        goto fail;
    }
    Py_DECREF(text);
    return (PyObject *)self;
fail:
    Py_XDECREF(self);
    Py_XDECREF(text);
    return NULL;
}

/* ---------------------------------------------------------------------------------------------------------- attributes */

static PyObject *
response_get_content(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    PyObject *content = NULL;
    TR_UNUSED(closure);
    TR_BEGIN_CRITICAL(obj)
    if (self->content == NULL && self->hop != NULL && !self->body_taken && take_body(self) < 0) {
        content = NULL;
    } else if (self->content != NULL) {
        content = Py_NewRef(self->content);
    } else {
        content = PyBytes_FromStringAndSize(NULL, 0);
    }
    TR_END_CRITICAL()
    return content;
}

static int
response_set_content(PyObject *obj, PyObject *value, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    if (value == NULL || !PyBytes_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "content must be bytes");
        return -1;
    }
    self->body_taken = true;
    Py_XSETREF(self->content, Py_NewRef(value));
    return 0;
}

static PyObject *
response_get_http_version(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    int version = self->hop == NULL ? 11 : self->hop->http_version;
    return PyUnicode_FromString(version == 20 ? "HTTP/2.0" : version == 10 ? "HTTP/1.0" : "HTTP/1.1");
}

static PyObject *
response_get_url_text(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    if (self->op == NULL) {
        Py_RETURN_NONE;
    }
    /* The first request keeps the caller's spelling and user info. */
    if (self->hop == NULL ? last_hop(self->op) == NULL : self->hop == tr_op_responses(self->op->op)) {
        return Py_NewRef(self->op->url == NULL ? Py_None : self->op->url);
    }
    return core_str(self->hop != NULL ? self->hop->url : tr_op_url(self->op->op));
}

static PyObject *
response_get_method(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    if (self->hop != NULL) {
        return core_str(self->hop->method);
    }
    return Py_NewRef(self->op == NULL || self->op->method == NULL ? Py_None : self->op->method);
}

/* Fields as (name, value) pairs: bytes as on the wire, or str. */
static PyObject *
field_pairs(const tr_headers_t *headers, bool as_bytes)
{
    size_t num = headers == NULL ? 0 : headers->len;
    PyObject *list = PyList_New((Py_ssize_t)num);
    for (size_t i = 0; list != NULL && i < num; i++) {
        tr_field_t field = tr_headers_at(headers, i);
        PyObject *name, *value, *pair = NULL;
        if (as_bytes) {
            name = PyBytes_FromStringAndSize((const char *)field.name.data, (Py_ssize_t)field.name.len);
            value = PyBytes_FromStringAndSize((const char *)field.value.data, (Py_ssize_t)field.value.len);
        } else {
            name = core_str(field.name);
            value = core_str(field.value);
        }
        if (name != NULL && value != NULL) {
            pair = PyTuple_Pack(2, name, value);
        }
        Py_XDECREF(name);
        Py_XDECREF(value);
        if (pair == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
        }
    }
    return list;
}

/* What the package's Headers keep: (lower-case name, [values]) in order of first appearance. */
static PyObject *
field_items(core_state_t *st, const tr_headers_t *headers)
{
    size_t num = headers == NULL ? 0 : headers->len;
    PyObject *list = PyList_New(0), *index = PyDict_New();
    int rc = list == NULL || index == NULL ? -1 : 0;
    for (size_t i = 0; rc == 0 && i < num; i++) {
        tr_field_t field = tr_headers_at(headers, i);
        PyObject *values = NULL, *name = NULL, *value = core_str(field.value);
        char small[64];
        if (field.name.len <= sizeof(small)) {
            bool ascii = true;
            for (size_t k = 0; k < field.name.len; k++) {
                small[k] = (char)tr_ascii_lower(field.name.data[k]);
                ascii = ascii && field.name.data[k] < 0x80;
            }
            name = ascii ? PyUnicode_FromStringAndSize(small, (Py_ssize_t)field.name.len) : core_str(field.name);
        } else {
            PyObject *spelled = core_str(field.name);
            name = spelled == NULL ? NULL : PyObject_CallMethodNoArgs(spelled, st->names.lower);
            Py_XDECREF(spelled);
        }
        rc = name == NULL || value == NULL ? -1 : PyDict_GetItemRef(index, name, &values);
        if (rc == 0) {
            values = PyList_New(0);
            PyObject *item = values == NULL ? NULL : PyTuple_Pack(2, name, values);
            rc = item == NULL || PyList_Append(list, item) < 0 || PyDict_SetItem(index, name, values) < 0 ? -1 : 1;
            Py_XDECREF(item);
        }
        rc = rc < 0 || PyList_Append(values, value) < 0 ? -1 : 0;
        Py_XDECREF(values);
        Py_XDECREF(name);
        Py_XDECREF(value);
    }
    Py_XDECREF(index);
    if (rc < 0) {
        Py_CLEAR(list);
    }
    return list;
}

static const tr_headers_t *
hop_headers(core_response_t *self)
{
    return self->hop == NULL ? NULL : &self->hop->headers;
}

static PyObject *
response_get_raw_headers(PyObject *obj, void *closure)
{
    TR_UNUSED(closure);
    return field_pairs(hop_headers((core_response_t *)obj), true);
}

static PyObject *
response_get_header_items(PyObject *obj, void *closure)
{
    TR_UNUSED(closure);
    return field_items(core_state_of(Py_TYPE(obj)), hop_headers((core_response_t *)obj));
}

static PyObject *
response_get_trailer_items(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    bool there = self->hop != NULL && tr_op_is_done(self->op->op);
    return field_items(core_state_of(Py_TYPE(obj)), there ? &self->hop->trailers : NULL);
}

static PyObject *
response_get_sent(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    return field_pairs(self->hop == NULL ? NULL : &self->hop->sent, false);
}

static PyObject *
response_get_sent_raw(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    return field_pairs(self->hop == NULL ? NULL : &self->hop->sent, true);
}

PyDoc_STRVAR(response_header_doc, "_header($self, name, /)\n--\n\nThe first value of a header field as str, or None.");

static PyObject *
response_header(PyObject *obj, PyObject *name)
{
    core_response_t *self = (core_response_t *)obj;
    tr_slice_t text;
    if (core_text(name, &text, "name") < 0) {
        return NULL;
    }
    tr_slice_t value = self->hop == NULL ? TR_SLICE_NULL : tr_headers_get(&self->hop->headers, text);
    if (value.data == NULL) {
        Py_RETURN_NONE;
    }
    return core_str(value);
}

static PyObject *
response_get_history(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    PyObject *history = NULL;
    TR_BEGIN_CRITICAL(obj)
    if (self->history == NULL) {
        history = PyList_New(0);
        tr_response_t *hop = self->op == NULL || self->op->error != NULL || !self->is_final ? NULL : tr_op_responses(self->op->op);
        for (; history != NULL && hop != NULL && hop != self->hop; hop = hop->next) {
            PyObject *earlier = response_make(self->op, hop, false);
            if (earlier == NULL || PyList_Append(history, earlier) < 0) {
                Py_CLEAR(history);
            }
            Py_XDECREF(earlier);
        }
        self->history = history;
    }
    history = Py_XNewRef(self->history);
    TR_END_CRITICAL()
    return history;
}

static int
response_set_history(PyObject *obj, PyObject *value, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    if (value == NULL || !PyList_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "history must be a list");
        return -1;
    }
    Py_XSETREF(self->history, Py_NewRef(value));
    return 0;
}

static PyObject *
response_get_error(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    const tr_err_t *err = self->op == NULL || self->hop != NULL ? NULL : core_op_error(self->op);
    if (err == NULL && self->error == NULL) {
        Py_RETURN_NONE;
    }
    if (self->error == NULL) {
        PyObject *text = PyUnicode_FromEncodedObject(self->content, "utf-8", "replace");
        PyObject *error = text == NULL ? NULL : failure_exception(self->op, err, text, obj);
        Py_XDECREF(text);
        if (error == NULL) {
            return NULL;
        }
        if (self->error == NULL) {
            self->error = error;
        } else {
            Py_DECREF(error); /* another thread was faster */
        }
    }
    return Py_NewRef(self->error);
}

static int
response_set_error(PyObject *obj, PyObject *value, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    if (value == NULL || (value != Py_None && !PyExceptionInstance_Check(value))) {
        PyErr_SetString(PyExc_TypeError, "error must be an exception or None");
        return -1;
    }
    Py_XSETREF(self->error, value == Py_None ? NULL : Py_NewRef(value));
    return 0;
}

static PyObject *
response_get_elapsed_ns(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    uint64_t ns = 0;
    if (self->hop != NULL) {
        ns = self->hop->elapsed_ns;
    } else if (self->op != NULL && self->op->error == NULL) {
        ns = tr_op_elapsed_ns(self->op->op);
    }
    return PyLong_FromUnsignedLongLong(ns);
}

static PyObject *
seconds(int64_t ns)
{
    if (ns < 0) {
        Py_RETURN_NONE;
    }
    return PyFloat_FromDouble((double)ns / 1e9);
}

/* The package's Timing makes attributes of these. None: made by hand, or nothing was sent. */
static PyObject *
response_get_timing(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    if (self->op == NULL || self->op->error != NULL) {
        Py_RETURN_NONE;
    }
    const tr_op_timing_t *t = tr_op_timing(self->op->op);
    const char *group = t->tls_group == 0 ? NULL : tr_kex_name(t->tls_group);
    return Py_BuildValue("{s:N,s:N,s:N,s:N,s:N,s:z,s:z,s:z,s:N,s:N,s:z,s:z,s:N,s:I}", "dns", seconds(t->dns_ns), "connect",
                         seconds(t->connect_ns), "tls", seconds(t->tls_ns), "first_byte", seconds(t->first_byte_ns), "total",
                         seconds(tr_op_is_done(self->op->op) ? t->total_ns : -1), "peer", t->peer[0] == 0 ? NULL : t->peer, "local", t->local[0] == 0 ? NULL : t->local,
                         "tls_version", t->tls_version_name, "tls_resumed", PyBool_FromLong(t->tls_resumed), "tls_early",
                         PyBool_FromLong(t->tls_early), "tls_cipher", t->tls_suite_name, "tls_group", group, "reused",
                         PyBool_FromLong(self->hop != NULL && self->hop->resumed_connection), "replays", (unsigned int)t->num_replays);
}

/* The chain that the server sent, in DER. */
static PyObject *
response_get_certificates(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    PyObject *list = PyList_New(0);
    bool has = self->op != NULL && self->op->error == NULL;
    for (size_t i = 0; has && list != NULL; i++) {
        tr_slice_t cert = tr_op_cert(self->op->op, i);
        if (cert.data == NULL) {
            break;
        }
        PyObject *der = PyBytes_FromStringAndSize((const char *)cert.data, (Py_ssize_t)cert.len);
        if (der == NULL || PyList_Append(list, der) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(der);
    }
    return list;
}

/* A field of the op, None when there is none. closure: its offset. */
static PyObject *
response_get_op_field(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    PyObject *value = NULL;
    if (self->op != NULL) {
        value = *(PyObject **)((char *)self->op + (size_t)closure);
    }
    return Py_NewRef(value == NULL ? Py_None : value);
}

/* The client's cookies, None without an op. */
static PyObject *
response_get_op_jar(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    if (self->op == NULL || self->op->op == NULL) {
        Py_RETURN_NONE;
    }
    return core_jar_wrap(self->op->st, tr_op_jar(self->op->op));
}

/* NOT_GIVEN where the client's encoding was never set: None is a value. */
static PyObject *
response_get_encoding(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    if (self->op == NULL) {
        Py_RETURN_NONE;
    }
    return Py_NewRef(self->op->encoding == NULL ? self->op->st->not_given : self->op->encoding);
}

/* The request of a response whose body comes in pieces, or None. Whoever asks aborts it when nobody reads any more. */
static PyObject *
response_get_stream_op(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    self->handed_over = true;
    return Py_NewRef(self->streamed && self->op != NULL ? (PyObject *)self->op : Py_None);
}

static PyObject *
response_get_from_engine(PyObject *obj, void *closure)
{
    TR_UNUSED(closure);
    return PyBool_FromLong(((core_response_t *)obj)->op != NULL);
}

static PyObject *
response_get_is_final(PyObject *obj, void *closure)
{
    TR_UNUSED(closure);
    return PyBool_FromLong(((core_response_t *)obj)->is_final);
}

/* True when the request of this response is the one that the caller made, not one that a redirect made. */
static PyObject *
response_get_is_first(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    if (self->op == NULL || self->op->error != NULL) {
        Py_RETURN_TRUE;
    }
    tr_response_t *first = tr_op_responses(self->op->op);
    return PyBool_FromLong(self->hop == first);
}

static PyObject *
response_get_body_dropped(PyObject *obj, void *closure)
{
    core_response_t *self = (core_response_t *)obj;
    TR_UNUSED(closure);
    bool dropped = false;
    if (self->hop != NULL) {
        for (tr_response_t *hop = tr_op_responses(self->op->op); hop != NULL; hop = hop->next) {
            dropped = dropped || hop->method_changed;
            if (hop == self->hop) {
                break;
            }
        }
    }
    return PyBool_FromLong(dropped);
}

/* ------------------------------------------------------------------------------------------------------------ the type */

static PyObject *
response_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    TR_UNUSED(args);
    TR_UNUSED(kwargs);
    return type->tp_alloc(type, 0);
}

static int
response_traverse(PyObject *obj, visitproc visit, void *arg)
{
    core_response_t *self = (core_response_t *)obj;
    Py_VISIT(Py_TYPE(obj));
    Py_VISIT(self->op);
    Py_VISIT(self->history);
    Py_VISIT(self->error);
    return 0;
}

static int
response_clear(PyObject *obj)
{
    core_response_t *self = (core_response_t *)obj;
    self->hop = NULL; /* lent by the op */
    Py_CLEAR(self->op);
    Py_CLEAR(self->history);
    Py_CLEAR(self->error);
    Py_CLEAR(self->content);
    return 0;
}

static void
response_dealloc(PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    core_response_t *self = (core_response_t *)obj;
    PyObject_GC_UnTrack(obj);
    if (self->streamed && !self->handed_over && self->op != NULL) {
        tr_op_cancel(self->op->op); /* nobody can read the rest */
    }
    response_clear(obj);
    type->tp_free(obj);
    Py_DECREF(type);
}

static PyMethodDef response_methods[] = {
    {"_header", response_header, METH_O, response_header_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef response_members[] = {
    {"status_code", T_INT, offsetof(core_response_t, status_code), 0, "The status; 0 when the request failed."},
    {NULL, 0, 0, 0, NULL},
};

#define OP_FIELD(field) ((void *)offsetof(core_op_t, field))

static PyGetSetDef response_getset[] = {
    {"content", response_get_content, NULL, "The body, decoded.", NULL},
    {"_content", response_get_content, response_set_content, NULL, NULL},
    {"http_version", response_get_http_version, NULL, "\"HTTP/1.1\" or \"HTTP/2.0\".", NULL},
    {"raw_headers", response_get_raw_headers, NULL, "Header fields as received: pairs of bytes.", NULL},
    {"error", response_get_error, response_set_error, "Why the request failed: an exception, or None.", NULL},
    {"history", response_get_history, response_set_history, "Responses of the redirects that led here.", NULL},
    {"_timing", response_get_timing, NULL, NULL, NULL},
    {"_certificates", response_get_certificates, NULL, NULL, NULL},
    {"_header_items", response_get_header_items, NULL, NULL, NULL},
    {"_trailer_items", response_get_trailer_items, NULL, NULL, NULL},
    {"_sent", response_get_sent, NULL, NULL, NULL},
    {"_sent_raw", response_get_sent_raw, NULL, NULL, NULL},
    {"_url_text", response_get_url_text, NULL, NULL, NULL},
    {"_method", response_get_method, NULL, NULL, NULL},
    {"_elapsed_ns", response_get_elapsed_ns, NULL, NULL, NULL},
    {"_stream_op", response_get_stream_op, NULL, NULL, NULL},
    {"_from_engine", response_get_from_engine, NULL, NULL, NULL},
    {"_is_final", response_get_is_final, NULL, NULL, NULL},
    {"_is_first", response_get_is_first, NULL, NULL, NULL},
    {"_body_dropped", response_get_body_dropped, NULL, NULL, NULL},
    {"_op_request", response_get_op_field, NULL, NULL, OP_FIELD(request)},
    {"_op_body", response_get_op_field, NULL, NULL, OP_FIELD(body)},
    {"_op_encoding", response_get_encoding, NULL, NULL, NULL},
    {"_op_timeout", response_get_op_field, NULL, NULL, OP_FIELD(timeout)},
    {"_op_proxy", response_get_op_field, NULL, NULL, OP_FIELD(proxy)},
    {"_op_info", response_get_op_field, NULL, NULL, OP_FIELD(info)},
    {"_op_jar", response_get_op_jar, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot response_slots[] = {
    {Py_tp_doc, (void *)"What a request returned."},
    {Py_tp_new, (void *)response_new},
    {Py_tp_dealloc, (void *)response_dealloc},
    {Py_tp_traverse, (void *)response_traverse},
    {Py_tp_clear, (void *)response_clear},
    {Py_tp_methods, response_methods},
    {Py_tp_members, response_members},
    {Py_tp_getset, response_getset},
    {0, NULL},
};

PyType_Spec core_response_spec = {
    .name = "tls_requests._core.Response",
    .basicsize = sizeof(core_response_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = response_slots,
};
