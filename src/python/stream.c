/* stream: what Python does with an op whose bodies come and go in pieces (client/flow.h): methods of _Op. A blocking caller waits inside
 * _wait_event; on a loop the bridge wakes the futures in _reader and _writer. The package's _stream.py is the only user. */
#include "python/stream.h"

/* A blocking wait is cut into slices so that Ctrl-C is seen. */
#define WAIT_SLICE_NS ((uint64_t)50 * 1000 * 1000)
/* The largest piece that one _read gives: it is one bytes object. */
#define READ_MAX ((size_t)256 * 1024)

static int
raise_failure(core_op_t *self, const tr_err_t *err)
{
    if (err->code == TR_ERR_NOMEM) {
        PyErr_NoMemory();
        return -1;
    }
    PyObject *message = core_str(tr_slice_cstr(err->msg));
    if (message != NULL) {
        /* Facts that the engine still writes while the op is under way are left out until it is done. */
        bool done = tr_op_is_done(self->op);
        PyObject *elapsed = done ? PyFloat_FromDouble((double)tr_op_elapsed_ns(self->op) / 1e9) : Py_NewRef(Py_None);
        PyObject *error = elapsed == NULL ? NULL
                                          : PyObject_CallFunction(
                                                self->st->helpers.make_error, "sisO(OONss)O", tr_err_name(err->code), (int)err->detail,
                                                err->where == NULL ? "" : err->where, message, Py_True,
                                                done && tr_op_safe_to_retry(self->op) ? Py_True : Py_False, elapsed, "body",
                                                done ? tr_op_address(self->op) : "", Py_None);
        Py_DECREF(message);
        if (error != NULL) {
            PyErr_SetObject((PyObject *)Py_TYPE(error), error);
            Py_DECREF(error);
        }
    }
    return -1;
}

int
core_op_wake(core_op_t *self)
{
    PyObject *waiters[2] = {Py_XNewRef(self->reader), Py_XNewRef(self->writer)};
    int rc = 0;
    for (int i = 0; i < 2; i++) {
        if (waiters[i] != NULL && rc == 0) {
            PyObject *done = PyObject_CallOneArg(self->st->helpers.wake, waiters[i]);
            rc = done == NULL ? -1 : 0;
            Py_XDECREF(done);
        }
        Py_XDECREF(waiters[i]);
    }
    return rc;
}

PyObject *
core_stream_submit(PyObject *obj, PyObject *args)
{
    core_op_t *self = (core_op_t *)obj;
    tr_err_t err = TR_ERR_INIT;
    TR_UNUSED(args);
    if (self->state == OP_NEW) {
        tr_code_t rc;
        self->state = OP_RUNNING;
        Py_BEGIN_ALLOW_THREADS
        rc = tr_op_submit(self->op, NULL, &err);
        Py_END_ALLOW_THREADS
        if (tr_failed(rc) && core_op_fail(self, &err) < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

PyObject *
core_stream_wait_event(PyObject *obj, PyObject *args)
{
    core_op_t *self = (core_op_t *)obj;
    tr_code_t rc = TR_AGAIN;
    TR_UNUSED(args);
    while (rc == TR_AGAIN && self->error == NULL) {
        if (PyErr_CheckSignals() < 0) {
            return NULL;
        }
        Py_BEGIN_ALLOW_THREADS
        rc = tr_op_wait(self->op, WAIT_SLICE_NS);
        Py_END_ALLOW_THREADS
    }
    Py_RETURN_NONE;
}

PyObject *
core_stream_response(PyObject *obj, PyObject *args)
{
    core_op_t *self = (core_op_t *)obj;
    TR_UNUSED(args);
    if (!(self->error != NULL || tr_op_is_done(self->op) || tr_op_is_answered(self->op))) {
        PyErr_SetString(PyExc_RuntimeError, "the request is not answered yet");
        return NULL;
    }
    return core_response_new(self);
}

PyObject *
core_stream_read(PyObject *obj, PyObject *const *args, Py_ssize_t num)
{
    core_op_t *self = (core_op_t *)obj;
    if (num != 3) {
        PyErr_SetString(PyExc_TypeError, "_read takes 3 arguments");
        return NULL;
    }
    size_t least = PyLong_AsSize_t(args[0]);
    size_t most = PyErr_Occurred() ? 0 : PyLong_AsSize_t(args[1]);
    int raw = PyErr_Occurred() ? -1 : PyObject_IsTrue(args[2]);
    if (raw < 0) {
        return NULL;
    }
    if (!tr_op_is_answered(self->op)) {
        PyErr_SetString(PyExc_RuntimeError, "the request is not answered yet");
        return NULL;
    }
    if (atomic_exchange(&self->reading, true)) {
        PyErr_SetString(PyExc_RuntimeError, "another thread reads this body");
        return NULL;
    }
    most = TR_MAX(most == 0 ? READ_MAX : most, least);
    tr_err_t err = TR_ERR_INIT;
    size_t len;
    tr_code_t rc;
    Py_BEGIN_ALLOW_THREADS
    rc = tr_op_read_fill(self->op, &len, TR_MAX(least, (size_t)1), raw != 0, &err);
    Py_END_ALLOW_THREADS
    PyObject *result = NULL;
    if (rc == TR_AGAIN) {
        result = Py_NewRef(Py_None);
    } else if (tr_failed(rc)) {
        (void)raise_failure(self, &err);
    } else {
        len = TR_MIN(len, most);
        result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)len);
        if (result != NULL && len > 0) {
            tr_op_read_take(self->op, (uint8_t *)PyBytes_AS_STRING(result), len);
        }
    }
    atomic_store(&self->reading, false);
    return result;
}

PyObject *
core_stream_wants_body(PyObject *obj, PyObject *args)
{
    uint32_t pass;
    TR_UNUSED(args);
    if (((core_op_t *)obj)->error != NULL || !tr_op_wants_body(((core_op_t *)obj)->op, &pass)) {
        Py_RETURN_NONE;
    }
    return PyLong_FromUnsignedLong(pass);
}

static PyObject *
written(core_op_t *self, tr_code_t rc, const tr_err_t *err)
{
    if (tr_failed(rc)) {
        (void)raise_failure(self, err);
        return NULL;
    }
    return PyBool_FromLong(rc == TR_OK);
}

PyObject *
core_stream_write(PyObject *obj, PyObject *const *args, Py_ssize_t num)
{
    core_op_t *self = (core_op_t *)obj;
    tr_err_t err = TR_ERR_INIT;
    Py_buffer view;
    if (num != 2) {
        PyErr_SetString(PyExc_TypeError, "_write takes 2 arguments");
        return NULL;
    }
    unsigned long pass = PyLong_AsUnsignedLong(args[0]);
    if (PyErr_Occurred() || PyObject_GetBuffer(args[1], &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    tr_code_t rc;
    Py_BEGIN_ALLOW_THREADS
    rc = tr_op_write(self->op, (uint32_t)pass, tr_slice(view.buf, (size_t)view.len), &err);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&view);
    return written(self, rc, &err);
}

PyObject *
core_stream_write_end(PyObject *obj, PyObject *arg)
{
    core_op_t *self = (core_op_t *)obj;
    tr_err_t err = TR_ERR_INIT;
    unsigned long pass = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred()) {
        return NULL;
    }
    return written(self, tr_op_write_end(self->op, (uint32_t)pass, &err), &err);
}

PyObject *
core_stream_write_fail(PyObject *obj, PyObject *arg)
{
    const char *why = PyUnicode_AsUTF8(arg);
    if (why == NULL) {
        return NULL;
    }
    tr_op_write_fail(((core_op_t *)obj)->op, why);
    Py_RETURN_NONE;
}

static int
digest_from(PyObject *name, tr_op_file_t *file)
{
    static const tr_hash_id_t ids[] = {TR_HASH_SHA256, TR_HASH_SHA512};
    static const char *const names[] = {"sha256", "sha512"};
    if (name == Py_None) {
        return 0;
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(ids); i++) {
        if (PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, names[i]) == 0) {
            file->has_digest = true;
            file->digest = ids[i];
            return 0;
        }
    }
    PyErr_SetString(PyExc_ValueError, "the digest must be sha256 or sha512");
    return -1;
}

PyObject *
core_stream_to_file(PyObject *obj, PyObject *const *args, Py_ssize_t num)
{
    core_op_t *self = (core_op_t *)obj;
    tr_op_file_t file = {.max_len = UINT64_MAX};
    tr_err_t err = TR_ERR_INIT;
    if (num != 5) {
        PyErr_SetString(PyExc_TypeError, "_to_file takes 5 arguments");
        return NULL;
    }
    file.fd = PyObject_AsFileDescriptor(args[0]);
    if (file.fd >= 0 && args[1] != Py_None) {
        file.max_len = PyLong_AsUnsignedLongLong(args[1]);
    }
    int events = PyErr_Occurred() ? -1 : PyObject_IsTrue(args[2]);
    if (events < 0 || digest_from(args[3], &file) < 0) {
        return NULL;
    }
    file.events = events != 0;
    file.digest_first = PyLong_AsUnsignedLongLong(args[4]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    tr_code_t rc;
    Py_BEGIN_ALLOW_THREADS
    rc = tr_op_read_to_file(self->op, &file, &err);
    Py_END_ALLOW_THREADS
    if (tr_failed(rc) && rc != TR_ERR_INVALID_ARGUMENT) {
        (void)raise_failure(self, &err);
        return NULL;
    }
    return PyBool_FromLong(rc == TR_OK);
}

PyObject *
core_stream_file_wait(PyObject *obj, PyObject *arg)
{
    core_op_t *self = (core_op_t *)obj;
    double seconds = PyFloat_AsDouble(arg);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (self->error != NULL) {
        Py_RETURN_TRUE; /* it was never sent */
    }
    tr_code_t rc;
    uint64_t max_ns = seconds > 0 ? (uint64_t)(TR_MIN(seconds, 1e9) * 1e9) : 0;
    Py_BEGIN_ALLOW_THREADS
    rc = tr_op_file_wait(self->op, max_ns);
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(rc == TR_OK);
}

PyObject *
core_stream_raise_failure(PyObject *obj, PyObject *args)
{
    core_op_t *self = (core_op_t *)obj;
    const tr_err_t *err = core_op_error(self);
    TR_UNUSED(args);
    if (err != NULL) {
        (void)raise_failure(self, err);
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *
core_stream_abort(PyObject *obj, PyObject *args)
{
    TR_UNUSED(args);
    tr_op_cancel(((core_op_t *)obj)->op);
    Py_RETURN_NONE;
}

PyObject *
core_stream_get_answered(PyObject *obj, void *closure)
{
    core_op_t *self = (core_op_t *)obj;
    TR_UNUSED(closure);
    return PyBool_FromLong(self->error != NULL || tr_op_is_done(self->op) || tr_op_is_answered(self->op));
}

PyObject *
core_stream_get_over(PyObject *obj, void *closure)
{
    core_op_t *self = (core_op_t *)obj;
    TR_UNUSED(closure);
    return PyBool_FromLong(self->error != NULL || tr_op_is_done(self->op));
}

PyObject *
core_stream_get_sent(PyObject *obj, void *closure)
{
    TR_UNUSED(closure);
    return PyLong_FromUnsignedLongLong(tr_op_body_sent(((core_op_t *)obj)->op));
}

PyObject *
core_stream_get_facts(PyObject *obj, void *closure)
{
    core_op_t *self = (core_op_t *)obj;
    TR_UNUSED(closure);
    if (self->error != NULL) {
        return Py_BuildValue("(Ods)", Py_False, 0.0, "");
    }
    if (!tr_op_is_done(self->op)) {
        PyErr_SetString(PyExc_RuntimeError, "the request is not over yet");
        return NULL;
    }
    return Py_BuildValue("(Ods)", tr_op_request_sent(self->op) ? Py_True : Py_False, (double)tr_op_elapsed_ns(self->op) / 1e9,
                         tr_op_address(self->op));
}

PyObject *
core_stream_get_file_written(PyObject *obj, void *closure)
{
    TR_UNUSED(closure);
    return PyLong_FromUnsignedLongLong(tr_op_file_written(((core_op_t *)obj)->op));
}

PyObject *
core_stream_get_file_digest(PyObject *obj, void *closure)
{
    tr_slice_t digest = tr_op_file_digest(((core_op_t *)obj)->op);
    TR_UNUSED(closure);
    return PyBytes_FromStringAndSize((const char *)digest.data, (Py_ssize_t)digest.len);
}

PyObject *
core_stream_get_waiter(PyObject *obj, void *closure)
{
    PyObject *waiter = *(PyObject **)((char *)obj + (size_t)closure);
    return Py_NewRef(waiter == NULL ? Py_None : waiter);
}

int
core_stream_set_waiter(PyObject *obj, PyObject *value, void *closure)
{
    PyObject **slot = (PyObject **)((char *)obj + (size_t)closure);
    Py_XSETREF(*slot, value == NULL || value == Py_None ? NULL : Py_NewRef(value));
    return 0;
}
