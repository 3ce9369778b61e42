/* routes: the way of a client's requests as a Python object: what the package makes of `proxy`, `no_proxy` and connectHeaders, once. */
#include "python/state.h"

static core_state_t *
routes_state(PyObject *self)
{
    return core_state_of(Py_TYPE(self));
}

/* Fields for CONNECT: a tuple of (name, value or None). */
static int
read_fields(core_state_t *st, PyObject *pairs, tr_proxy_field_t *out, size_t *out_num)
{
    Py_ssize_t num = PyTuple_GET_SIZE(pairs);
    if (num > TR_PROXY_MAX_FIELDS) {
        PyErr_Format(PyExc_ValueError, "connect_headers has more than %d headers", TR_PROXY_MAX_FIELDS);
        return -1;
    }
    for (Py_ssize_t i = 0; i < num; i++) {
        PyObject *pair = PyTuple_GET_ITEM(pairs, i);
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "connect_headers: pairs of name and value are wanted");
            return -1;
        }
        out[i] = (tr_proxy_field_t){TR_SLICE_NULL, TR_SLICE_NULL};
        if (core_field_text(st, PyTuple_GET_ITEM(pair, 0), &out[i].name, "the name of a header for CONNECT") < 0 ||
            (PyTuple_GET_ITEM(pair, 1) != Py_None &&
             core_field_text(st, PyTuple_GET_ITEM(pair, 1), &out[i].value, "the value of a header for CONNECT") < 0)) {
            return -1;
        }
    }
    *out_num = (size_t)num;
    return 0;
}

/* (urls in the order of travel, forward, fields). NULL: raised. */
static tr_proxy_t *
read_proxy(core_state_t *st, PyObject *spec)
{
    PyObject *urls, *pairs;
    int forward;
    tr_slice_t texts[TR_PROXY_MAX_HOPS + 1];
    tr_proxy_field_t fields[TR_PROXY_MAX_FIELDS];
    size_t num_fields = 0;
    tr_err_t err = TR_ERR_INIT;
    tr_proxy_t *proxy = NULL;
    if (!PyTuple_Check(spec) || !PyArg_ParseTuple(spec, "O!iO!:ProxyRoutes", &PyTuple_Type, &urls, &forward, &PyTuple_Type, &pairs)) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "ProxyRoutes takes tuples (urls, forward, headers)");
        }
        return NULL;
    }
    size_t num = TR_MIN((size_t)PyTuple_GET_SIZE(urls), (size_t)TR_PROXY_MAX_HOPS + 1);
    for (size_t i = 0; i < num; i++) {
        if (core_text(PyTuple_GET_ITEM(urls, i), &texts[i], "a proxy's URL") < 0) {
            return NULL;
        }
    }
    if (read_fields(st, pairs, fields, &num_fields) < 0) {
        return NULL;
    }
    if (forward < TR_FORWARD_REFUSED || forward > TR_FORWARD_ALWAYS) {
        PyErr_SetString(PyExc_ValueError, "forward is 0, 1 or 2");
        return NULL;
    }
    if (tr_proxy_new(&proxy, texts, num, (tr_proxy_forward_t)forward, fields, num_fields, &err) != TR_OK) {
        core_raise(st, &err);
        return NULL;
    }
    return proxy;
}

static PyObject *
routes_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *http, *https;
    const char *exceptions = "";
    Py_ssize_t len = 0;
    core_state_t *st = core_state_of(type);
    tr_proxy_t *for_http = NULL, *for_https = NULL;
    tr_err_t err = TR_ERR_INIT;
    core_routes_t *self = NULL;
    if ((kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0) || !PyArg_ParseTuple(args, "OO|s#:ProxyRoutes", &http, &https, &exceptions, &len)) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "ProxyRoutes takes no keywords");
        }
        return NULL;
    }
    if (http != Py_None && (for_http = read_proxy(st, http)) == NULL) {
        goto done;
    }
    if (https == http) {
        for_https = for_http == NULL ? NULL : tr_proxy_ref(for_http);
    } else if (https != Py_None && (for_https = read_proxy(st, https)) == NULL) {
        goto done;
    }
    self = (core_routes_t *)type->tp_alloc(type, 0);
    if (self != NULL && tr_routes_new(&self->routes, for_http, for_https, tr_slice(exceptions, (size_t)len), &err) != TR_OK) {
        self->routes = NULL;
        core_raise(st, &err);
        Py_CLEAR(self);
    }
done:
    tr_proxy_unref(for_http);
    tr_proxy_unref(for_https);
    return (PyObject *)self;
}

static int
routes_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void
routes_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    tr_routes_unref(((core_routes_t *)self)->routes);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(routes_is_direct_doc, "is_direct($self, url, /)\n--\n\nWhether a URL is asked for without a proxy. Raises URLError.");

static PyObject *
routes_is_direct(PyObject *self, PyObject *text)
{
    tr_slice_t slice;
    tr_url_t url;
    tr_arena_t arena;
    tr_err_t err = TR_ERR_INIT;
    if (core_text(text, &slice, "url") < 0) {
        return NULL;
    }
    tr_arena_init(&arena);
    PyObject *result;
    if (tr_url_parse(&url, &arena, slice, &err) != TR_OK) {
        result = core_raise(routes_state(self), &err);
    } else {
        result = PyBool_FromLong(tr_routes_pick(((core_routes_t *)self)->routes, &url) == NULL);
    }
    tr_arena_cleanup(&arena);
    return result;
}

static PyMethodDef routes_methods[] = {
    {"is_direct", routes_is_direct, METH_O, routes_is_direct_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot routes_slots[] = {
    {Py_tp_doc, (void *)"ProxyRoutes(http, https, no_proxy='', /)\n--\n\n"
                        "The way to http and to https URLs: None (straight) or (urls of the chain, forward, headers for CONNECT)."},
    {Py_tp_new, (void *)routes_new},
    {Py_tp_dealloc, (void *)routes_dealloc},
    {Py_tp_traverse, (void *)routes_traverse},
    {Py_tp_methods, routes_methods},
    {0, NULL},
};

PyType_Spec core_routes_spec = {
    .name = "tls_requests._core.ProxyRoutes",
    .basicsize = sizeof(core_routes_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = routes_slots,
};
