/* transport: how connections are made, as an object that a client or a request refers to. Immutable; the package makes it of checked values. */
#include <sys/socket.h>

#include "python/state.h"

static PyObject *
transport_alloc(PyTypeObject *type, tr_transport_t *transport)
{
    core_transport_t *self = (core_transport_t *)type->tp_alloc(type, 0);
    if (self == NULL) {
        tr_transport_unref(transport);
        return NULL;
    }
    self->transport = transport;
    return (PyObject *)self;
}

/* (host, 32 bytes) pairs. The texts are lent by the list. */
static int
take_pins(PyObject *list, tr_transport_options_t *o, tr_host_pin_t **out)
{
    size_t num = (size_t)PyList_GET_SIZE(list);
    *out = PyMem_New(tr_host_pin_t, num + 1);
    if (*out == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < num; i++) {
        const char *digest;
        Py_ssize_t len;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, (Py_ssize_t)i), "sy#", &(*out)[i].host, &digest, &len)) {
            return -1;
        }
        if (len != (Py_ssize_t)sizeof((*out)[i].sha256)) {
            PyErr_SetString(PyExc_ValueError, "a pin has 32 bytes");
            return -1;
        }
        memcpy((*out)[i].sha256, digest, sizeof((*out)[i].sha256));
    }
    o->pins = *out;
    o->num_pins = num;
    return 0;
}

/* (host, port, address) triples. */
static int
take_addresses(PyObject *list, tr_transport_options_t *o, tr_host_address_t **out)
{
    size_t num = (size_t)PyList_GET_SIZE(list);
    *out = PyMem_New(tr_host_address_t, num + 1);
    if (*out == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < num; i++) {
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, (Py_ssize_t)i), "sHs", &(*out)[i].host, &(*out)[i].port, &(*out)[i].ip)) {
            return -1;
        }
    }
    o->addresses = *out;
    o->num_addresses = num;
    return 0;
}

/* (certificate's path, key's path or None, password or None): paths as bytes. Reads the files. */
static int
take_identity(core_state_t *st, PyObject *value, tr_transport_options_t *o)
{
    const char *cert, *key = NULL, *password;
    PyObject *key_bytes;
    tr_err_t err = TR_ERR_INIT;
    tr_code_t code;
    if (value == Py_None) {
        return 0;
    }
    if (!PyArg_ParseTuple(value, "yOz", &cert, &key_bytes, &password)) {
        return -1;
    }
    if (key_bytes != Py_None && (key = PyBytes_AsString(key_bytes)) == NULL) {
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    code = tr_identity_from_files(&o->identity, cert, key, password, &err);
    Py_END_ALLOW_THREADS
    if (code != TR_OK) {
        core_raise(st, &err);
        return -1;
    }
    return 0;
}

static int
take_limits(PyObject *dict, tr_limits_t *limits)
{
    static const struct {
        const char *name;
        size_t offset;
    } rows[] = {
        {"max_connections", offsetof(tr_limits_t, max_total)},
        {"max_per_host", offsetof(tr_limits_t, max_h1_per_host)},
        {"max_http2_per_host", offsetof(tr_limits_t, max_h2_per_host)},
        {"max_streams", offsetof(tr_limits_t, max_streams)},
        {"max_idle", offsetof(tr_limits_t, max_idle)},
        {"max_idle_per_host", offsetof(tr_limits_t, max_idle_per_host)},
        {"idle_timeout_ms", offsetof(tr_limits_t, idle_timeout_ms)},
        {"ping_interval_ms", offsetof(tr_limits_t, ping_interval_ms)},
        {"max_header_bytes", offsetof(tr_limits_t, max_header_bytes)},
        {"max_ratio", offsetof(tr_limits_t, max_ratio)},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        PyObject *value = PyDict_GetItemString(dict, rows[i].name);
        unsigned long number = value == NULL ? 0 : PyLong_AsUnsignedLong(value);
        if (number == (unsigned long)-1 && PyErr_Occurred()) {
            return -1;
        }
        if (number > UINT32_MAX) {
            PyErr_Format(PyExc_OverflowError, "%s is too large", rows[i].name);
            return -1;
        }
        *(uint32_t *)((char *)limits + rows[i].offset) = (uint32_t)number;
    }
    PyObject *decoded = PyDict_GetItemString(dict, "max_decoded");
    limits->max_decoded = decoded == NULL ? 0 : PyLong_AsUnsignedLongLong(decoded);
    PyObject *single = PyDict_GetItemString(dict, "no_keep_alive");
    limits->no_keep_alive = single != NULL && PyObject_IsTrue(single) > 0;
    PyObject *alone = PyDict_GetItemString(dict, "no_coalescing");
    limits->no_coalescing = alone != NULL && PyObject_IsTrue(alone) > 0;
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *
transport_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"family", "local_ip", "local_port", "interface", "keepalive", "unix_path", "server_name", "pins", "addresses",
                            "dns_ttl_ns", "deny_private", "keylog", "identity", "limits", NULL};
    core_state_t *st = core_state_of(type);
    tr_transport_options_t o = {.family = AF_UNSPEC};
    tr_transport_t *transport = NULL;
    tr_host_pin_t *pins = NULL;
    tr_host_address_t *addresses = NULL;
    tr_err_t err = TR_ERR_INIT;
    PyObject *pin_list, *address_list, *identity, *limits, *result = NULL;
    const char *unix_path;
    Py_ssize_t unix_len = 0, keylog_len = 0; /* a path that is no text comes as bytes, whose end is a NUL, too */
    int family, deny;
    unsigned long long dns_ttl_ns;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "izHz(III)z#zO!O!Kpz#OO!:Transport", names, &family, &o.local_ip, &o.local_port,
                                     &o.interface, &o.keepalive_s, &o.keepalive_interval_s, &o.keepalive_count, &unix_path, &unix_len,
                                     &o.server_name, &PyList_Type, &pin_list, &PyList_Type, &address_list, &dns_ttl_ns, &deny,
                                     &o.keylog_path, &keylog_len, &identity, &PyDict_Type, &limits)) {
        return NULL;
    }
    if (o.keylog_path != NULL && strlen(o.keylog_path) != (size_t)keylog_len) {
        PyErr_SetString(PyExc_ValueError, "keylog must not contain NUL");
        return NULL;
    }
    o.family = family == 4 ? AF_INET : family == 6 ? AF_INET6 : AF_UNSPEC;
    o.unix_path = unix_path == NULL ? TR_SLICE_NULL : tr_slice(unix_path, (size_t)unix_len);
    o.dns_max_age_ns = dns_ttl_ns;
    o.deny_private = deny != 0;
    if (take_pins(pin_list, &o, &pins) < 0 || take_addresses(address_list, &o, &addresses) < 0 || take_limits(limits, &o.limits) < 0 ||
        take_identity(st, identity, &o) < 0) {
        goto done;
    }
    if (tr_transport_new(&transport, &o, &err) != TR_OK) {
        core_raise(st, &err);
        goto done;
    }
    result = transport_alloc(type, transport);
done:
    tr_identity_unref(o.identity);
    PyMem_Free(pins);
    PyMem_Free(addresses);
    return result;
}

static PyObject *
transport_get_id(PyObject *obj, void *closure)
{
    TR_UNUSED(closure);
    return PyUnicode_FromString(tr_transport_id(((core_transport_t *)obj)->transport));
}

static int
transport_traverse(PyObject *obj, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(obj));
    return 0;
}

static void
transport_dealloc(PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    PyObject_GC_UnTrack(obj);
    tr_transport_unref(((core_transport_t *)obj)->transport);
    type->tp_free(obj);
    Py_DECREF(type);
}

static PyGetSetDef transport_getset[] = {
    {"id", transport_get_id, NULL, "A text that equal transports share: they share connections, too.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot transport_slots[] = {
    {Py_tp_doc, (void *)"How connections are made; what the package makes of the connection options."},
    {Py_tp_new, (void *)transport_new},
    {Py_tp_dealloc, (void *)transport_dealloc},
    {Py_tp_traverse, (void *)transport_traverse},
    {Py_tp_getset, transport_getset},
    {0, NULL},
};

PyType_Spec core_transport_spec = {
    .name = "tls_requests._core.Transport",
    .basicsize = sizeof(core_transport_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = transport_slots,
};
