/* module: the extension tls_requests._core: state, types, functions, and what happens at the interpreter's end. */
#include <stdatomic.h>

#include "python/state.h"

#include "core/trace.h"
#include "crypto/crypto.h"

core_state_t *
core_state_of(PyTypeObject *type)
{
#if PY_VERSION_HEX >= 0x030B0000
    PyObject *module = PyType_GetModuleByDef(type, &core_module);
    return core_state(module);
#else
    PyObject *mro = type->tp_mro;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(mro); i++) {
        PyTypeObject *base = (PyTypeObject *)PyTuple_GET_ITEM(mro, i);
        if (!PyType_HasFeature(base, Py_TPFLAGS_HEAPTYPE)) {
            continue;
        }
        PyObject *module = ((PyHeapTypeObject *)base)->ht_module;
        if (module != NULL && PyModule_GetDef(module) == &core_module) {
            return core_state(module);
        }
    }
    return NULL;
#endif
}

/* ----------------------------------------------------------------------------------------------------------- functions */

PyDoc_STRVAR(register_doc, "_register($module, helpers, classes, /)\n--\n\n"
                           "Take over the package's callables (a dict) and the client classes whose methods are the genuine ones.");

static PyObject *
core_register(PyObject *module, PyObject *args)
{
    core_state_t *st = core_state(module);
    PyObject *helpers, *classes, *helper;
    if (!PyArg_ParseTuple(args, "O!O!:_register", &PyDict_Type, &helpers, &PyTuple_Type, &classes)) {
        return NULL;
    }
#define X(name)                                                                                                        \
    helper = PyDict_GetItemString(helpers, #name);                                                                     \
    if (helper != NULL) {                                                                                              \
        Py_XSETREF(st->helpers.name, Py_NewRef(helper));                                                               \
    }
    CORE_HELPERS(X)
#undef X
    if (st->helpers.Response != NULL &&
        (!PyType_Check(st->helpers.Response) || !PyType_IsSubtype((PyTypeObject *)st->helpers.Response, st->response_type))) {
        Py_CLEAR(st->helpers.Response);
        PyErr_SetString(PyExc_TypeError, "Response must derive from _core.Response");
        return NULL;
    }
    PyObject *table = PyDict_New();
    if (table == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(classes); i++) {
        PyObject *methods = PyTuple_New(CHAIN_COUNT);
        int rc = methods == NULL ? -1 : 0;
        for (Py_ssize_t k = 0; rc == 0 && k < CHAIN_COUNT; k++) {
            PyObject *method = PyObject_GetAttr(PyTuple_GET_ITEM(classes, i), st->chain_names[k]);
            if (method == NULL) {
                if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
                    rc = -1;
                    break;
                }
                PyErr_Clear();
                method = Py_NewRef(Py_None);
            }
            PyTuple_SET_ITEM(methods, k, method);
        }
        rc = rc < 0 ? -1 : PyDict_SetItem(table, PyTuple_GET_ITEM(classes, i), methods);
        Py_XDECREF(methods);
        if (rc < 0) {
            Py_DECREF(table);
            return NULL;
        }
    }
    Py_XSETREF(st->chain_classes, table);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(divert_doc, "_divert($module, flag=None, /)\n--\n\n"
                         "Set whether calls of clients take the Python chain because TLSClient was changed; give the state.");

static PyObject *
core_divert(PyObject *module, PyObject *args)
{
    core_state_t *st = core_state(module);
    PyObject *flag = Py_None;
    if (!PyArg_ParseTuple(args, "|O:_divert", &flag)) {
        return NULL;
    }
    if (flag != Py_None) {
        int truth = PyObject_IsTrue(flag);
        if (truth < 0) {
            return NULL;
        }
        st->diverted = truth > 0;
    }
    return PyBool_FromLong(st->diverted);
}

PyDoc_STRVAR(stats_doc, "stats($module, /)\n--\n\nCounters of the process's engine, as a dict.");

static PyObject *
core_stats(PyObject *module, PyObject *args)
{
    core_state_t *st = core_state(module);
    tr_engine_stats_t stats;
    TR_UNUSED(args);
    tr_engine_stats(&stats);
    Py_ssize_t num_bridges = 0, num_abandoned = 0;
    for (tr_link_t *link = tr_list_first(&st->bridges); link != NULL; link = tr_list_next(&st->bridges, link)) {
        num_bridges++;
    }
    core_sweep_abandoned(st);
    for (tr_link_t *link = tr_list_first(&st->abandoned); link != NULL; link = tr_list_next(&st->abandoned, link)) {
        num_abandoned++;
    }
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:n,s:n,s:L}", "ops_submitted", (unsigned long long)stats.ops_submitted,
                         "ops_completed", (unsigned long long)stats.ops_completed, "conns_opened",
                         (unsigned long long)stats.conns_opened, "conns_open", (unsigned long long)stats.conns_open, "handshakes",
                         (unsigned long long)stats.handshakes, "resumed", (unsigned long long)stats.resumed, "requests_h1",
                         (unsigned long long)stats.requests_h1, "requests_h2", (unsigned long long)stats.requests_h2, "bridges",
                         num_bridges, "abandoned", num_abandoned, "blocks", (long long)tr_mem_live());
}

PyDoc_STRVAR(profiles_doc, "profiles($module, /)\n--\n\nNames of the built-in browser profiles.");

static PyObject *
core_profiles(PyObject *module, PyObject *args)
{
    TR_UNUSED(module);
    TR_UNUSED(args);
    PyObject *list = PyList_New(0);
    const tr_profile_t *profile;
    for (size_t i = 0; list != NULL && (profile = tr_profile_at(i)) != NULL; i++) {
        PyObject *name = PyUnicode_FromString(profile->id);
        if (name == NULL || PyList_Append(list, name) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(name);
    }
    return list;
}

PyDoc_STRVAR(profile_known_doc, "profile_known($module, identifier, /)\n--\n\nWhether there is a built-in profile of that name.");

static PyObject *
core_profile_known(PyObject *module, PyObject *identifier)
{
    tr_slice_t name;
    TR_UNUSED(module);
    if (core_text(identifier, &name, "identifier") < 0) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeError)) {
            return NULL;
        }
        PyErr_Clear(); /* a lone surrogate is in no name */
        Py_RETURN_FALSE;
    }
    return PyBool_FromLong(tr_profile_find(name) != NULL);
}

PyDoc_STRVAR(profile_names_doc, "profile_names($module, /)\n--\n\n"
                                "All names of the built-in profiles, sorted: (name, index in profiles(), name in lists, basis).");

static PyObject *
core_list_profile_names(PyObject *module, PyObject *args)
{
    TR_UNUSED(module);
    TR_UNUSED(args);
    return core_profile_names();
}

PyDoc_STRVAR(profile_headers_doc, "profile_headers($module, identifier, http2=True, /)\n--\n\n"
                                  "(name, value) pairs of a navigation of that browser, in its order; places without a value left out.");

static PyObject *
core_profile_headers(PyObject *module, PyObject *args)
{
    const char *name;
    int http2 = 1;
    Py_ssize_t len;
    TR_UNUSED(module);
    if (!PyArg_ParseTuple(args, "s#|p:profile_headers", &name, &len, &http2)) {
        return NULL;
    }
    const tr_profile_t *profile = tr_profile_find(tr_slice(name, (size_t)len));
    if (profile == NULL) {
        profile = tr_profile_default();
    }
    const tr_profile_header_t *headers = http2 ? profile->h2_headers : profile->h1_headers;
    size_t num = http2 ? profile->num_h2_headers : profile->num_h1_headers;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < num; i++) {
        if (headers[i].value == NULL) {
            continue;
        }
        PyObject *pair = Py_BuildValue("(ss)", headers[i].name, headers[i].value);
        if (pair == NULL || PyList_Append(list, pair) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(pair);
    }
    return list;
}

PyDoc_STRVAR(errors_doc, "error_rows($module, /)\n--\n\nRows of errors.def as compiled: (code, exception, sentence).");

static PyObject *
core_error_rows(PyObject *module, PyObject *args)
{
    TR_UNUSED(module);
    TR_UNUSED(args);
    PyObject *list = PyList_New(0);
    for (int row = 0; list != NULL && row < TR__ERR_NUM_ROWS; row++) {
        tr_code_t code = (tr_code_t)(-1 - row);
        PyObject *item = Py_BuildValue("(sss)", tr_err_name(code), tr_err_exception(code), tr_err_sentence(code));
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return list;
}

PyDoc_STRVAR(shutdown_doc, "_shutdown($module, /)\n--\n\nEnd of the interpreter: give up what runs; the main interpreter stops the engine.");

static PyObject *
core_shutdown(PyObject *module, PyObject *args)
{
    core_state_t *st = core_state(module);
    TR_UNUSED(args);
    core_bridges_close(st, true);
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) {
        Py_BEGIN_ALLOW_THREADS
        tr_engine_stop(true);
        Py_END_ALLOW_THREADS
    }
    core_sweep_abandoned(st);
    Py_RETURN_NONE;
}

static PyMethodDef core_methods[] = {
    {"_register", core_register, METH_VARARGS, register_doc},
    {"_divert", core_divert, METH_VARARGS, divert_doc},
    {"_shutdown", core_shutdown, METH_NOARGS, shutdown_doc},
    {"stats", core_stats, METH_NOARGS, stats_doc},
    {"profiles", core_profiles, METH_NOARGS, profiles_doc},
    {"profile_names", core_list_profile_names, METH_NOARGS, profile_names_doc},
    {"profile_headers", core_profile_headers, METH_VARARGS, profile_headers_doc},
    {"profile_known", core_profile_known, METH_O, profile_known_doc},
    {"error_rows", core_error_rows, METH_NOARGS, errors_doc},
    {NULL, NULL, 0, NULL},
};

/* ----------------------------------------------------------------------------------------------------------- NOT_GIVEN */

static PyObject *
not_given_repr(PyObject *self)
{
    TR_UNUSED(self);
    return PyUnicode_FromString("NOT_GIVEN");
}

static int
not_given_bool(PyObject *self)
{
    TR_UNUSED(self);
    return 0;
}

static PyObject *
not_given_reduce(PyObject *self, PyObject *args)
{
    TR_UNUSED(self);
    TR_UNUSED(args);
    return PyUnicode_FromString("NOT_GIVEN"); /* pickled by its name */
}

static int
not_given_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void
not_given_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef not_given_methods[] = {
    {"__reduce__", not_given_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot not_given_slots[] = {
    {Py_tp_doc, (void *)"Stands for an argument that was not given, where None is a value."},
    {Py_tp_repr, (void *)not_given_repr},
    {Py_tp_traverse, (void *)not_given_traverse},
    {Py_tp_dealloc, (void *)not_given_dealloc},
    {Py_tp_methods, not_given_methods},
    {Py_nb_bool, (void *)not_given_bool},
    {0, NULL},
};

static PyType_Spec not_given_spec = {
    .name = "tls_requests._core.NotGiven",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = not_given_slots,
};

/* -------------------------------------------------------------------------------------------------------------- module */

static int
core_exec_names(PyObject *module)
{
    core_state_t *st = core_state(module);
    st->module = module;
    tr_list_init(&st->bridges);
    tr_list_init(&st->abandoned);
#define X(field, text)                                                                                                 \
    if ((st->names.field = PyUnicode_InternFromString(text)) == NULL) {                                                \
        return -1;                                                                                                     \
    }
    CORE_NAMES(X)
#undef X
#define X(name)                                                                                                        \
    if ((st->chain_names[CHAIN_##name] = PyUnicode_InternFromString(#name)) == NULL) {                                 \
        return -1;                                                                                                     \
    }
    CORE_CHAIN(X)
#undef X
    return 0;
}

static PyTypeObject *
add_type(PyObject *module, PyType_Spec *spec, bool public, bool instances)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    if (type == NULL) {
        return NULL;
    }
    if (!instances && Py_TPFLAGS_DISALLOW_INSTANTIATION == 0) {
        type->tp_new = NULL;
    }
    const char *name = strrchr(spec->name, '.') + 1;
    if (public && PyModule_AddObjectRef(module, name, (PyObject *)type) < 0) {
        Py_CLEAR(type);
    }
    return type;
}

static int
core_exec_types(PyObject *module)
{
    core_state_t *st = core_state(module);
    if ((st->client_type = add_type(module, &core_client_spec, true, true)) == NULL ||
        (st->response_type = add_type(module, &core_response_spec, true, true)) == NULL ||
        (st->jar_type = add_type(module, &core_jar_spec, true, true)) == NULL ||
        (st->transport_type = add_type(module, &core_transport_spec, true, true)) == NULL ||
        (st->routes_type = add_type(module, &core_routes_spec, true, true)) == NULL ||
        (st->profile_type = add_type(module, &core_profile_spec, true, true)) == NULL ||
        (st->op_type = add_type(module, &core_op_spec, true, false)) == NULL ||
        (st->bridge_type = add_type(module, &core_bridge_spec, false, false)) == NULL ||
        (st->not_given_type = add_type(module, &not_given_spec, true, false)) == NULL) {
        return -1;
    }
    st->not_given = st->not_given_type->tp_alloc(st->not_given_type, 0);
    return st->not_given == NULL ? -1 : PyModule_AddObjectRef(module, "NOT_GIVEN", st->not_given);
}

static int
core_exec_engine(PyObject *module)
{
    static atomic_flag traces_read = ATOMIC_FLAG_INIT; /* of the process: a second interpreter finds threads running */
    tr_err_t err = TR_ERR_INIT;
    if (!atomic_flag_test_and_set(&traces_read)) {
        tr_trace_init();
    }
    if (tr_failed(tr_crypto_init(&err))) {
        PyErr_Format(PyExc_ImportError, "tls_requests: %s", err.msg);
        return -1;
    }
    PyObject *atexit = PyImport_ImportModule("atexit");
    PyObject *function = atexit == NULL ? NULL : PyObject_GetAttrString(module, "_shutdown");
    PyObject *done = function == NULL ? NULL : PyObject_CallMethod(atexit, "register", "O", function);
    Py_XDECREF(atexit);
    Py_XDECREF(function);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static int
core_traverse(PyObject *module, visitproc visit, void *arg)
{
    core_state_t *st = core_state(module);
    Py_VISIT(st->client_type);
    Py_VISIT(st->response_type);
    Py_VISIT(st->op_type);
    Py_VISIT(st->bridge_type);
    Py_VISIT(st->jar_type);
    Py_VISIT(st->transport_type);
    Py_VISIT(st->routes_type);
    Py_VISIT(st->not_given_type);
    Py_VISIT(st->profile_type);
    Py_VISIT(st->not_given);
#define X(name) Py_VISIT(st->helpers.name);
    CORE_HELPERS(X)
#undef X
    Py_VISIT(st->chain_classes);
    Py_VISIT(st->get_running_loop);
    Py_VISIT(st->cancelled_error);
    Py_VISIT(st->invalid_state_error);
    return 0;
}

static int
core_clear(PyObject *module)
{
    core_state_t *st = core_state(module);
    Py_CLEAR(st->client_type);
    Py_CLEAR(st->response_type);
    Py_CLEAR(st->op_type);
    Py_CLEAR(st->bridge_type);
    Py_CLEAR(st->jar_type);
    Py_CLEAR(st->transport_type);
    Py_CLEAR(st->routes_type);
    Py_CLEAR(st->not_given_type);
    Py_CLEAR(st->profile_type);
    Py_CLEAR(st->not_given);
#define X(name) Py_CLEAR(st->helpers.name);
    CORE_HELPERS(X)
#undef X
    Py_CLEAR(st->chain_classes);
    Py_CLEAR(st->get_running_loop);
    Py_CLEAR(st->cancelled_error);
    Py_CLEAR(st->invalid_state_error);
    return 0;
}

static void
core_free(void *module)
{
    core_state_t *st = core_state((PyObject *)module);
    if (st == NULL) {
        return;
    }
    core_clear((PyObject *)module);
#define X(field, text) Py_CLEAR(st->names.field);
    CORE_NAMES(X)
#undef X
    for (size_t i = 0; i < CHAIN_COUNT; i++) {
        Py_CLEAR(st->chain_names[i]);
    }
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec_names},
    {Py_mod_exec, core_exec_types},
    {Py_mod_exec, core_exec_engine},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

struct PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "tls_requests._core",
    .m_doc = "The engine of tls_requests: clients, requests under way, responses, cookies.",
    .m_size = sizeof(core_state_t),
    .m_methods = core_methods,
    .m_slots = core_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
    .m_free = core_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&core_module);
}
