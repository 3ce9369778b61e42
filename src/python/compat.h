/* compat: what CPython 3.9 and later name differently, under the newest name. Nothing else here. */
#ifndef TR_PYTHON_COMPAT_H
#define TR_PYTHON_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#if PY_VERSION_HEX < 0x030A0000
static inline PyObject *
Py_NewRef(PyObject *obj)
{
    Py_INCREF(obj);
    return obj;
}

static inline PyObject *
Py_XNewRef(PyObject *obj)
{
    Py_XINCREF(obj);
    return obj;
}

static inline int
PyModule_AddObjectRef(PyObject *module, const char *name, PyObject *value)
{
    Py_XINCREF(value);
    int rc = PyModule_AddObject(module, name, value);
    if (rc < 0) {
        Py_XDECREF(value);
    }
    return rc;
}

#define Py_TPFLAGS_IMMUTABLETYPE 0
#define Py_TPFLAGS_DISALLOW_INSTANTIATION 0
#else
#define TR_HAVE_AM_SEND 1
#endif

#if PY_VERSION_HEX < 0x030D0000
static inline int
PyDict_GetItemRef(PyObject *dict, PyObject *key, PyObject **out)
{
    PyObject *item = PyDict_GetItemWithError(dict, key);
    *out = Py_XNewRef(item);
    return item != NULL ? 1 : PyErr_Occurred() != NULL ? -1 : 0;
}

static inline int
PyWeakref_GetRef(PyObject *ref, PyObject **out)
{
    PyObject *obj = PyWeakref_GetObject(ref);
    if (obj == NULL) {
        *out = NULL;
        return -1;
    }
    *out = obj == Py_None ? NULL : Py_NewRef(obj);
    return *out != NULL;
}
#endif

/* Critical sections exist from 3.13 on and are empty with a GIL. */
#ifdef Py_GIL_DISABLED
#define TR_BEGIN_CRITICAL(obj) Py_BEGIN_CRITICAL_SECTION(obj)
#define TR_END_CRITICAL() Py_END_CRITICAL_SECTION()
#else
#define TR_BEGIN_CRITICAL(obj) {
#define TR_END_CRITICAL() }
#endif

#endif
