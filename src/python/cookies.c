/* cookies: the cookie store of a client as a Python object. Cookies are tuples (name, value, domain, path, expires, flags): expires in
 * seconds since 1970, 0 for the session; domain "" for cookies that go to every host. The package's Cookies are built on it. */
#include <time.h>

#include "client/psl.h"
#include "python/state.h"

static core_state_t *
jar_state(PyObject *self)
{
    return core_state_of(Py_TYPE(self));
}

static PyObject *
jar_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) != 0 || (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0)) {
        PyErr_SetString(PyExc_TypeError, "CookieJar takes no arguments");
        return NULL;
    }
    core_jar_t *self = (core_jar_t *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->jar = tr_cookiejar_new();
    if (self->jar == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

PyObject *
core_jar_wrap(core_state_t *st, tr_cookiejar_t *jar)
{
    core_jar_t *self = (core_jar_t *)st->jar_type->tp_alloc(st->jar_type, 0);
    if (self != NULL) {
        self->jar = tr_cookiejar_ref(jar);
    }
    return (PyObject *)self;
}

static int
jar_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void
jar_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    tr_cookiejar_unref(((core_jar_t *)self)->jar);
    type->tp_free(self);
    Py_DECREF(type);
}

static int64_t
now_s(void)
{
    return (int64_t)time(NULL);
}

static bool
keep_all(void *Py_UNUSED(arg), const tr_cookie_t *Py_UNUSED(cookie))
{
    return true;
}

/* As many as items() gives: the expired leave first. */
static Py_ssize_t
jar_len(PyObject *self)
{
    tr_cookiejar_t *jar = ((core_jar_t *)self)->jar;
    tr_cookiejar_each(jar, now_s(), keep_all, NULL);
    return (Py_ssize_t)tr_cookiejar_len(jar);
}

/* The caller's url as a tr_url_t in the arena. 0 or -1 with an exception. */
static int
parse_url(PyObject *self, PyObject *text, tr_arena_t *arena, tr_url_t *out)
{
    tr_err_t err = TR_ERR_INIT;
    tr_slice_t slice;
    if (core_text(text, &slice, "url") < 0) {
        return -1;
    }
    if (tr_failed(tr_url_parse(out, arena, slice, &err))) {
        core_raise(jar_state(self), &err);
        return -1;
    }
    return 0;
}

PyDoc_STRVAR(jar_set_doc, "set($self, name, value, domain='', path='/', expires=0, flags=0, /)\n--\n\n"
                          "Store a cookie; the same name, domain and path replace. Raises on an invalid cookie.");

static PyObject *
jar_set(PyObject *self, PyObject *args)
{
    PyObject *name, *value, *domain = NULL, *path = NULL;
    long long expires = 0;
    unsigned int flags = 0;
    tr_cookie_t cookie = {.domain = TR_SLICE_LIT(""), .path = TR_SLICE_LIT("/")};
    tr_err_t err = TR_ERR_INIT;
    core_state_t *st = jar_state(self);
    if (!PyArg_ParseTuple(args, "OO|OOLI:set", &name, &value, &domain, &path, &expires, &flags) ||
        core_field_text(st, name, &cookie.name, "a cookie name") < 0 || core_field_text(st, value, &cookie.value, "a cookie value") < 0 ||
        (domain != NULL && core_field_text(st, domain, &cookie.domain, "a cookie domain") < 0) ||
        (path != NULL && core_field_text(st, path, &cookie.path, "a cookie path") < 0)) {
        return NULL;
    }
    cookie.expires_s = expires;
    cookie.flags = flags;
    if (tr_failed(tr_cookiejar_set(((core_jar_t *)self)->jar, &cookie, &err))) {
        return core_raise(st, &err);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(jar_receive_doc, "receive($self, url, set_cookie, now=None, /)\n--\n\n"
                              "Handle one Set-Cookie value of a response from url (RFC 6265bis 5.7).");

static PyObject *
jar_receive(PyObject *self, PyObject *args)
{
    PyObject *url_text, *set_cookie, *now = Py_None;
    tr_slice_t value;
    tr_url_t url;
    tr_arena_t arena;
    PyObject *result = NULL;
    tr_arena_init(&arena);
    if (!PyArg_ParseTuple(args, "OO|O:receive", &url_text, &set_cookie, &now) ||
        parse_url(self, url_text, &arena, &url) < 0 || core_text(set_cookie, &value, "set_cookie") < 0) {
        goto done;
    }
    int64_t at = now == Py_None ? now_s() : (int64_t)PyLong_AsLongLong(now);
    if (at == -1 && PyErr_Occurred()) {
        goto done;
    }
    if (tr_failed(tr_cookiejar_receive(((core_jar_t *)self)->jar, &url, value, at))) {
        PyErr_NoMemory();
        goto done;
    }
    result = Py_NewRef(Py_None);
done:
    tr_arena_cleanup(&arena);
    return result;
}

PyDoc_STRVAR(jar_header_doc, "header_for($self, url, /)\n--\n\n"
                             "The Cookie header value for a request to url, \"\" when nothing matches.");

static PyObject *
jar_header_for(PyObject *self, PyObject *url_text)
{
    PyObject *result = NULL;
    tr_url_t url;
    tr_arena_t arena;
    tr_buf_t buf = TR_BUF_INIT;
    tr_arena_init(&arena);
    if (parse_url(self, url_text, &arena, &url) < 0) {
        goto done;
    }
    if (tr_failed(tr_cookiejar_header(((core_jar_t *)self)->jar, &buf, &url, now_s(), NULL, 0))) {
        PyErr_NoMemory();
        goto done;
    }
    result = core_str(tr_buf_slice(&buf));
done:
    tr_buf_cleanup(&buf);
    tr_arena_cleanup(&arena);
    return result;
}

/* Cookies are copied under the jar's lock as plain bytes: no Python code may run there (a thread that waits for the lock with the GIL held
 * would wait for ever). */
typedef struct record {
    size_t name_len, value_len, domain_len, path_len;
    int64_t expires_s;
    uint32_t flags;
} record_t;

typedef struct collect {
    tr_buf_t buf;        /* a record_t and its bytes, back to back */
    const tr_url_t *url; /* only cookies that match; NULL: all */
    bool failed;
} collect_t;

static bool
collect_one(void *arg, const tr_cookie_t *cookie)
{
    collect_t *collect = arg;
    if (collect->url != NULL && !tr_cookie_matches(cookie, collect->url)) {
        return true;
    }
    record_t record = {cookie->name.len, cookie->value.len, cookie->domain.len,
                       cookie->path.len, cookie->expires_s, cookie->flags};
    collect->failed = tr_failed(tr_buf_append(&collect->buf, &record, sizeof(record))) ||
                      tr_failed(tr_buf_append(&collect->buf, cookie->name.data, cookie->name.len)) ||
                      tr_failed(tr_buf_append(&collect->buf, cookie->value.data, cookie->value.len)) ||
                      tr_failed(tr_buf_append(&collect->buf, cookie->domain.data, cookie->domain.len)) ||
                      tr_failed(tr_buf_append(&collect->buf, cookie->path.data, cookie->path.len));
    return !collect->failed;
}

static PyObject *
take_str(tr_buf_t *buf, size_t len)
{
    PyObject *str = core_str(tr_slice(buf->data, len));
    tr_buf_consume(buf, len);
    return str;
}

static PyObject *
take_cookie(tr_buf_t *buf)
{
    record_t record;
    memcpy(&record, buf->data, sizeof(record));
    tr_buf_consume(buf, sizeof(record));
    PyObject *name = take_str(buf, record.name_len), *value = take_str(buf, record.value_len);
    PyObject *domain = take_str(buf, record.domain_len), *path = take_str(buf, record.path_len);
    PyObject *tuple = NULL;
    if (name != NULL && value != NULL && domain != NULL && path != NULL) {
        tuple = Py_BuildValue("(OOOOLI)", name, value, domain, path, (long long)record.expires_s, (unsigned)record.flags);
    }
    Py_XDECREF(name);
    Py_XDECREF(value);
    Py_XDECREF(domain);
    Py_XDECREF(path);
    return tuple;
}

PyDoc_STRVAR(jar_items_doc, "items($self, url=None, /)\n--\n\n"
                            "All cookies (those that would be sent to url) as tuples, in order of creation.");

static PyObject *
jar_items(PyObject *self, PyObject *args)
{
    PyObject *url_text = Py_None, *list = NULL;
    tr_url_t url;
    tr_arena_t arena;
    collect_t collect = {TR_BUF_INIT, NULL, false};
    tr_arena_init(&arena);
    if (!PyArg_ParseTuple(args, "|O:items", &url_text)) {
        goto done;
    }
    if (url_text != Py_None) {
        if (parse_url(self, url_text, &arena, &url) < 0) {
            goto done;
        }
        collect.url = &url;
    }
    tr_cookiejar_each(((core_jar_t *)self)->jar, now_s(), collect_one, &collect);
    if (collect.failed) {
        PyErr_NoMemory();
        goto done;
    }
    list = PyList_New(0);
    while (list != NULL && collect.buf.len > 0) {
        PyObject *cookie = take_cookie(&collect.buf);
        if (cookie == NULL || PyList_Append(list, cookie) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(cookie);
    }
done:
    tr_buf_cleanup(&collect.buf);
    tr_arena_cleanup(&arena);
    return list;
}

PyDoc_STRVAR(jar_update_doc, "update($self, other, /)\n--\n\nStore copies of all cookies of another CookieJar.");

static PyObject *
jar_update(PyObject *self, PyObject *other)
{
    tr_cookiejar_t *jar = ((core_jar_t *)self)->jar;
    if (!PyObject_TypeCheck(other, jar_state(self)->jar_type)) {
        PyErr_SetString(PyExc_TypeError, "a CookieJar is wanted");
        return NULL;
    }
    if (((core_jar_t *)other)->jar == jar) {
        Py_RETURN_NONE;
    }
    collect_t collect = {TR_BUF_INIT, NULL, false};
    tr_err_t err = TR_ERR_INIT;
    tr_cookiejar_each(((core_jar_t *)other)->jar, now_s(), collect_one, &collect);
    tr_slice_t rest = tr_buf_slice(&collect.buf);
    if (collect.failed) {
        (void)tr_err_nomem(&err, "cookies.update");
    }
    while (err.code == TR_OK && rest.len > 0) {
        record_t record;
        tr_cookie_t cookie;
        memcpy(&record, rest.data, sizeof(record));
        const uint8_t *at = rest.data + sizeof(record);
        cookie = (tr_cookie_t){.name = tr_slice(at, record.name_len), .expires_s = record.expires_s, .flags = record.flags};
        cookie.value = tr_slice(cookie.name.data + record.name_len, record.value_len);
        cookie.domain = tr_slice(cookie.value.data + record.value_len, record.domain_len);
        cookie.path = tr_slice(cookie.domain.data + record.domain_len, record.path_len);
        rest.len -= (size_t)(cookie.path.data + record.path_len - rest.data);
        rest.data = cookie.path.data + record.path_len;
        (void)tr_cookiejar_set(jar, &cookie, &err);
    }
    tr_buf_cleanup(&collect.buf);
    if (err.code != TR_OK) {
        return core_raise(jar_state(self), &err);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(jar_remove_doc, "remove($self, name=None, domain=None, path=None, host_only=None, /)\n--\n\n"
                             "Drop matching cookies (None matches anything) and return how many there were.");

static PyObject *
jar_remove(PyObject *self, PyObject *args)
{
    PyObject *given[3] = {Py_None, Py_None, Py_None}, *host_only = Py_None;
    static const char *const names[3] = {"name", "domain", "path"};
    tr_slice_t slices[3] = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    if (!PyArg_ParseTuple(args, "|OOOO:remove", &given[0], &given[1], &given[2], &host_only)) {
        return NULL;
    }
    for (size_t i = 0; i < 3; i++) {
        if (given[i] != Py_None) {
            if (core_text(given[i], &slices[i], names[i]) < 0) {
                if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
                    return NULL;
                }
                PyErr_Clear();
                return PyLong_FromLong(0); /* lone surrogates are in no cookie */
            }
            if (slices[i].data == NULL) {
                slices[i] = TR_SLICE_LIT("");
            }
        }
    }
    tr_cookie_scope_t scope = TR_COOKIE_ANY_SCOPE;
    if (host_only != Py_None) {
        int truth = PyObject_IsTrue(host_only);
        if (truth < 0) {
            return NULL;
        }
        scope = truth != 0 ? TR_COOKIE_OF_HOST : TR_COOKIE_OF_DOMAIN;
    }
    return PyLong_FromSize_t(tr_cookiejar_remove(((core_jar_t *)self)->jar, slices[0], slices[1], slices[2], scope));
}

PyDoc_STRVAR(jar_is_suffix_doc, "is_public_suffix(domain, /)\n--\n\n"
                                "Whether strangers live under a domain (lower case, xn-- form): no cookie may be set for all of it.");

static PyObject *
jar_is_public_suffix(PyObject *Py_UNUSED(self), PyObject *domain)
{
    tr_slice_t text;
    if (core_text(domain, &text, "domain") < 0) {
        return NULL;
    }
    return PyBool_FromLong(tr_psl_is_suffix(text));
}

static PyMethodDef jar_methods[] = {
    {"set", jar_set, METH_VARARGS, jar_set_doc},
    {"receive", jar_receive, METH_VARARGS, jar_receive_doc},
    {"header_for", jar_header_for, METH_O, jar_header_doc},
    {"items", jar_items, METH_VARARGS, jar_items_doc},
    {"remove", jar_remove, METH_VARARGS, jar_remove_doc},
    {"update", jar_update, METH_O, jar_update_doc},
    {"is_public_suffix", jar_is_public_suffix, METH_O | METH_STATIC, jar_is_suffix_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot jar_slots[] = {
    {Py_tp_doc, (void *)"CookieJar()\n--\n\nThe cookie store of a client: RFC 6265bis, thread-safe, shared with the engine."},
    {Py_tp_new, (void *)jar_new},
    {Py_tp_dealloc, (void *)jar_dealloc},
    {Py_tp_traverse, (void *)jar_traverse},
    {Py_tp_methods, jar_methods},
    {Py_mp_length, (void *)jar_len},
    {0, NULL},
};

PyType_Spec core_jar_spec = {
    .name = "tls_requests._core.CookieJar",
    .basicsize = sizeof(core_jar_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = jar_slots,
};
