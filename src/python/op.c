/* op: one request under way. For an asynchronous call it is what the coroutine awaits, and speaks asyncio's future protocol
 * (_asyncio_future_blocking, add_done_callback, result, ...), so a task waits on it without a future in between. For a blocking call it is the
 * holder of what the engine borrows. Afterwards the Response reads from it.
 *
 * Life: while the engine has the op and a loop waits for it, the bridge holds a reference. An op that is given up goes to st->abandoned until the
 * engine is done with it, because the engine may still read the body that a Python object lends it. */
#include "python/stream.h"

/* A blocking wait is cut into slices so that Ctrl-C is seen. */
#define WAIT_SLICE_NS ((uint64_t)50 * 1000 * 1000)

core_op_t *
core_op_new(core_state_t *st, tr_session_t *session)
{
    core_op_t *self = (core_op_t *)st->op_type->tp_alloc(st->op_type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->st = st;
    self->op = tr_op_new(session);
    if (self->op == NULL) {
        Py_DECREF(self);
        return (core_op_t *)PyErr_NoMemory();
    }
    return self;
}

const tr_err_t *
core_op_error(const core_op_t *self)
{
    if (self->error != NULL) {
        return self->error;
    }
    return tr_op_is_done(self->op) ? tr_op_error(self->op) : NULL; /* one that streams is still being written to */
}

int
core_op_fail(core_op_t *self, const tr_err_t *err)
{
    self->state = OP_DONE;
    self->error = PyMem_New(tr_err_t, 1);
    if (self->error == NULL || err->code == TR_ERR_NOMEM) {
        PyErr_NoMemory();
        return -1;
    }
    *self->error = *err;
    return 0;
}

/* ----------------------------------------------------------------------------------------------------------- blocking */

PyObject *
core_op_run_blocking(core_op_t *self)
{
    tr_err_t err = TR_ERR_INIT;
    if (self->state == OP_DONE) {
        return core_response_new(self);
    }
    tr_code_t rc;
    bool interrupted = false;
    self->state = OP_RUNNING;
    Py_BEGIN_ALLOW_THREADS
    rc = tr_op_submit(self->op, NULL, &err);
    if (!tr_failed(rc)) {
        rc = tr_op_wait(self->op, WAIT_SLICE_NS);
    }
    Py_END_ALLOW_THREADS
    if (tr_failed(rc)) {
        return core_op_fail(self, &err) < 0 ? NULL : core_response_new(self);
    }
    while (rc == TR_AGAIN) {
        if (!interrupted && PyErr_CheckSignals() < 0) {
            interrupted = true;
            tr_op_cancel(self->op);
        }
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        Py_BEGIN_ALLOW_THREADS
        rc = tr_op_wait(self->op, WAIT_SLICE_NS);
        Py_END_ALLOW_THREADS
        PyErr_Restore(type, value, traceback);
    }
    self->state = OP_DONE;
    return interrupted ? NULL : core_response_new(self);
}

/* ------------------------------------------------------------------------------------------------------ giving one up */

void
core_op_abandon(core_op_t *self)
{
    tr_op_cancel(self->op);
    if (self->state == OP_RUNNING) {
        self->state = OP_CANCELLED;
    }
    if ((self->body != NULL || self->view.obj != NULL) && !tr_op_is_done(self->op)) {
        Py_INCREF(self);
        tr_list_push(&self->st->abandoned, &self->link);
    }
}

void
core_sweep_abandoned(core_state_t *st)
{
    tr_link_t *link = tr_list_first(&st->abandoned);
    while (link != NULL) {
        core_op_t *op = TR_CONTAINER_OF(link, core_op_t, link);
        if (tr_op_is_done(op->op)) {
            tr_list_remove(link);
            Py_DECREF(op); /* may run code that changes the list: start again */
            link = tr_list_first(&st->abandoned);
        } else {
            link = tr_list_next(&st->abandoned, link);
        }
    }
}

/* -------------------------------------------------------------------------------------------------------- asynchronous */

int
core_op_start(core_op_t *self)
{
    tr_err_t err = TR_ERR_INIT;
    if (!tr_list_empty(&self->st->abandoned)) {
        core_sweep_abandoned(self->st);
    }
    self->bridge = core_bridge_get(self->st);
    if (self->bridge == NULL) {
        return -1;
    }
    self->state = OP_RUNNING;
    if (core_bridge_submit(self->bridge, self, &err) < 0) {
        return core_op_fail(self, &err);
    }
    return 0;
}

/* Hands a wake-up to the loop's queue. */
static int
call_later(core_op_t *self, PyObject *callback, PyObject *context)
{
    PyObject *args[4] = {self->bridge->loop, callback, (PyObject *)self, context};
    PyObject *kwnames = NULL;
    if (context != NULL) {
        kwnames = PyTuple_Pack(1, self->st->names.context);
        if (kwnames == NULL) {
            return -1;
        }
    }
    PyObject *handle = PyObject_VectorcallMethod(self->st->names.call_soon, args, 3, kwnames);
    Py_XDECREF(kwnames);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

/* Calls a wake-up in its context now. -1: a task let KeyboardInterrupt or SystemExit out. */
static int
call_now(core_op_t *self, PyObject *callback, PyObject *context)
{
    if (context != NULL && PyContext_Enter(context) < 0) {
        /* Somebody is in that context already: the loop's turn then. */
        PyErr_Clear();
        return call_later(self, callback, context);
    }
    PyObject *result = PyObject_CallOneArg(callback, (PyObject *)self);
    if (context != NULL) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        if (PyContext_Exit(context) < 0) {
            PyErr_WriteUnraisable(context);
        }
        PyErr_Restore(type, value, traceback);
    }
    if (result != NULL) {
        Py_DECREF(result);
        return 0;
    }
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) || PyErr_ExceptionMatches(PyExc_SystemExit)) {
        return -1;
    }
    /* What a loop's handle does with a callback that raises. */
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *report = Py_BuildValue("{s:s,s:O}", "message", "Exception in callback", "exception", value != NULL ? value : Py_None);
    if (report != NULL) {
        PyObject *args[2] = {self->bridge->loop, report};
        result = PyObject_VectorcallMethod(self->st->names.call_exception_handler, args, 2, NULL);
        Py_XDECREF(result);
        Py_DECREF(report);
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    if (result == NULL) {
        PyErr_WriteUnraisable(callback);
    }
    return 0;
}

/* Takes the callbacks out and hands them to the loop. */
static int
schedule_callbacks(core_op_t *self, PyObject *more)
{
    int rc = 0;
    for (Py_ssize_t i = 0; more != NULL && rc == 0 && i < PyList_GET_SIZE(more); i++) {
        PyObject *pair = PyList_GET_ITEM(more, i);
        PyObject *context = PyTuple_GET_ITEM(pair, 1);
        rc = call_later(self, PyTuple_GET_ITEM(pair, 0), context == Py_None ? NULL : context);
    }
    return rc;
}

/* Wakes who awaits the answer. */
static int
wake_task(core_op_t *self)
{
    PyObject *callback = self->callback, *context = self->context, *more = self->more;
    self->callback = self->context = self->more = NULL;
    int rc = schedule_callbacks(self, more);
    if (rc == 0 && callback != NULL) {
        rc = call_now(self, callback, context);
    }
    Py_XDECREF(callback);
    Py_XDECREF(context);
    Py_XDECREF(more);
    return rc;
}

int
core_op_completed(core_op_t *self)
{
    if (self->state == OP_STREAMING) {
        self->state = OP_DONE;
        return core_op_wake(self);
    }
    if (self->state != OP_RUNNING) {
        return 0; /* cancelled: nobody waits */
    }
    self->state = OP_DONE;
    return wake_task(self);
}

int
core_op_event(core_op_t *self)
{
    int rc = 0;
    if (self->state == OP_RUNNING && tr_op_is_answered(self->op)) {
        self->state = OP_STREAMING;
        rc = wake_task(self);
    }
    return rc < 0 ? rc : core_op_wake(self);
}

static PyObject *
op_raise_cancelled(core_op_t *self)
{
    PyObject *error = self->cancel_message == NULL ? PyObject_CallNoArgs(self->st->cancelled_error)
                                                   : PyObject_CallOneArg(self->st->cancelled_error, self->cancel_message);
    if (error != NULL) {
        PyErr_SetObject(self->st->cancelled_error, error);
        Py_DECREF(error);
    }
    return NULL;
}

/* The awaited value, or what is raised. */
static PyObject *
op_result(core_op_t *self)
{
    if (self->state == OP_DONE || self->state == OP_STREAMING) {
        return core_response_new(self);
    }
    if (self->state == OP_CANCELLED) {
        return op_raise_cancelled(self);
    }
    PyErr_SetString(self->st->invalid_state_error != NULL ? self->st->invalid_state_error : PyExc_RuntimeError,
                    "Result is not ready.");
    return NULL;
}

/* One step of the await: 1 with *out the request itself (wait for it), 0 with *out the result, -1 raised. */
static int
op_step(core_op_t *self, PyObject **out)
{
    if (self->state == OP_RUNNING) {
        if (self->callback != NULL || self->blocking) {
            PyErr_SetString(PyExc_RuntimeError, "await wasn't used with future");
            *out = NULL;
            return -1;
        }
        self->blocking = true;
        *out = Py_NewRef((PyObject *)self);
        return 1;
    }
    *out = op_result(self);
    return *out == NULL ? -1 : 0;
}

#ifdef TR_HAVE_AM_SEND
static PySendResult
op_am_send(PyObject *obj, PyObject *arg, PyObject **out)
{
    TR_UNUSED(arg);
    int rc = op_step((core_op_t *)obj, out);
    return rc > 0 ? PYGEN_NEXT : rc == 0 ? PYGEN_RETURN : PYGEN_ERROR;
}
#endif

static PyObject *
op_iternext(PyObject *obj)
{
    PyObject *out;
    int rc = op_step((core_op_t *)obj, &out);
    if (rc != 0) {
        return out;
    }
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, out);
    Py_DECREF(out);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
    return NULL;
}

PyDoc_STRVAR(op_send_doc, "send($self, value, /)\n--\n\nResume the await.");

static PyObject *
op_send(PyObject *obj, PyObject *value)
{
    TR_UNUSED(value);
    return op_iternext(obj);
}

/* The waiting is over from the waiter's side: the engine is told, its answer will be dropped. */
static void
op_give_up(core_op_t *self)
{
    if (self->state == OP_RUNNING) {
        self->state = OP_CANCELLED;
        tr_op_cancel(self->op);
    }
    Py_CLEAR(self->callback);
    Py_CLEAR(self->context);
    Py_CLEAR(self->more);
}

PyDoc_STRVAR(op_throw_doc, "throw($self, type, value=None, traceback=None, /)\n--\n\nEnd the await with an exception; the request is cancelled.");

static PyObject *
op_throw(PyObject *obj, PyObject *const *args, Py_ssize_t num)
{
    if (num < 1 || num > 3) {
        PyErr_SetString(PyExc_TypeError, "throw takes one to three arguments");
        return NULL;
    }
    op_give_up((core_op_t *)obj);
    PyObject *type = args[0];
    PyObject *value = num > 1 && args[1] != Py_None ? args[1] : NULL;
    PyObject *traceback = num > 2 && args[2] != Py_None ? args[2] : NULL;
    if (PyExceptionInstance_Check(type)) {
        value = type;
        type = (PyObject *)Py_TYPE(value);
        if (traceback == NULL) {
            PyErr_SetObject(type, value);
            return NULL;
        }
    } else if (!PyExceptionClass_Check(type)) {
        PyErr_SetString(PyExc_TypeError, "exceptions must be classes or instances deriving from BaseException");
        return NULL;
    }
    PyErr_Restore(Py_NewRef(type), Py_XNewRef(value), Py_XNewRef(traceback));
    return NULL;
}

PyDoc_STRVAR(op_close_doc, "close($self, /)\n--\n\nEnd the await; the request is cancelled.");

static PyObject *
op_close(PyObject *obj, PyObject *args)
{
    TR_UNUSED(args);
    op_give_up((core_op_t *)obj);
    Py_RETURN_NONE;
}

static PyObject *
op_self(PyObject *obj)
{
    return Py_NewRef(obj);
}

/* -------------------------------------------------------------------------------------------------- the future protocol */

PyDoc_STRVAR(op_add_done_callback_doc, "add_done_callback($self, callback, /, *, context=None)\n--\n\n"
                                       "Have callback(self) called once the request is done.");

static PyObject *
op_add_done_callback(PyObject *obj, PyObject *const *args, Py_ssize_t num, PyObject *kwnames)
{
    core_op_t *self = (core_op_t *)obj;
    Py_ssize_t num_kw = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    if (num != 1 || num_kw > 1) {
        PyErr_SetString(PyExc_TypeError, "add_done_callback takes a callback and the keyword context");
        return NULL;
    }
    PyObject *context = NULL;
    if (num_kw == 1) {
        int same = PyObject_RichCompareBool(PyTuple_GET_ITEM(kwnames, 0), self->st->names.context, Py_EQ);
        if (same <= 0) {
            if (same == 0) {
                PyErr_SetString(PyExc_TypeError, "add_done_callback takes a callback and the keyword context");
            }
            return NULL;
        }
        context = args[1] == Py_None ? NULL : Py_NewRef(args[1]);
    }
    if (context == NULL) {
        context = PyContext_CopyCurrent();
        if (context == NULL) {
            return NULL;
        }
    }
    int rc = 0;
    if (self->state != OP_RUNNING) {
        rc = self->bridge == NULL ? 0 : call_later(self, args[0], context);
    } else if (self->callback == NULL && self->blocking == false && self->more == NULL) {
        self->callback = Py_NewRef(args[0]);
        self->context = Py_NewRef(context);
    } else {
        PyObject *pair = PyTuple_Pack(2, args[0], context);
        if (pair == NULL || (self->more == NULL && (self->more = PyList_New(0)) == NULL) ||
            PyList_Append(self->more, pair) < 0) {
            rc = -1;
        }
        Py_XDECREF(pair);
    }
    Py_DECREF(context);
    if (rc < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(op_remove_done_callback_doc, "remove_done_callback($self, callback, /)\n--\n\nTake callbacks back; returns how many.");

static PyObject *
op_remove_done_callback(PyObject *obj, PyObject *callback)
{
    core_op_t *self = (core_op_t *)obj;
    long num = 0;
    if (self->callback != NULL) {
        PyObject *mine = Py_NewRef(self->callback);
        int same = PyObject_RichCompareBool(mine, callback, Py_EQ);
        Py_DECREF(mine);
        if (same < 0) {
            return NULL;
        }
        if (same) {
            Py_CLEAR(self->callback);
            Py_CLEAR(self->context);
            num++;
        }
    }
    if (self->more != NULL) {
        PyObject *old = self->more, *kept = PyList_New(0);
        int rc = kept == NULL ? -1 : 0;
        Py_INCREF(old);
        for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(old); i++) {
            PyObject *pair = Py_NewRef(PyList_GET_ITEM(old, i));
            int same = PyObject_RichCompareBool(PyTuple_GET_ITEM(pair, 0), callback, Py_EQ);
            if (same < 0 || (same == 0 && PyList_Append(kept, pair) < 0)) {
                rc = -1;
            }
            num += same > 0;
            Py_DECREF(pair);
        }
        Py_DECREF(old);
        if (rc < 0) {
            Py_XDECREF(kept);
            return NULL;
        }
        Py_XSETREF(self->more, kept);
    }
    return PyLong_FromLong(num);
}

PyDoc_STRVAR(op_cancel_doc, "cancel($self, /, msg=None)\n--\n\n"
                            "Ask for the end of the request; the waiting task gets CancelledError. False when it is over already.");

static PyObject *
op_cancel(PyObject *obj, PyObject *const *args, Py_ssize_t num, PyObject *kwnames)
{
    core_op_t *self = (core_op_t *)obj;
    if (num + (kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames)) > 1) {
        PyErr_SetString(PyExc_TypeError, "cancel takes at most one argument");
        return NULL;
    }
    if (self->state != OP_RUNNING) {
        Py_RETURN_FALSE;
    }
    if (num + (kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames)) == 1 && args[0] != Py_None) {
        Py_XSETREF(self->cancel_message, Py_NewRef(args[0]));
    }
    PyObject *callback = self->callback, *context = self->context, *more = self->more;
    self->callback = self->context = self->more = NULL;
    op_give_up(self);
    int rc = callback == NULL ? 0 : call_later(self, callback, context);
    if (rc == 0) {
        rc = schedule_callbacks(self, more);
    }
    Py_XDECREF(callback);
    Py_XDECREF(context);
    Py_XDECREF(more);
    if (rc < 0) {
        return NULL;
    }
    Py_RETURN_TRUE;
}

/* A task that is woken asks for the result only to learn of an exception; the value goes the way of the await. So the response is made once, by
 * op_step, and this answers None for success unless somebody other than a task asks. */
PyDoc_STRVAR(op_result_doc, "result($self, /)\n--\n\nNone when the request is done; raises CancelledError when it was cancelled.");

static PyObject *
op_get_result(PyObject *obj, PyObject *args)
{
    core_op_t *self = (core_op_t *)obj;
    TR_UNUSED(args);
    if (self->state == OP_DONE || self->state == OP_STREAMING) {
        Py_RETURN_NONE;
    }
    return op_result(self);
}

PyDoc_STRVAR(op_exception_doc, "exception($self, /)\n--\n\nNone; raises CancelledError when the request was cancelled.");

PyDoc_STRVAR(op_done_doc, "done($self, /)\n--\n\nTrue when the wait is over.");

static PyObject *
op_done(PyObject *obj, PyObject *args)
{
    TR_UNUSED(args);
    return PyBool_FromLong(((core_op_t *)obj)->state >= OP_DONE);
}

PyDoc_STRVAR(op_cancelled_doc, "cancelled($self, /)\n--\n\nTrue when the wait was cancelled.");

static PyObject *
op_cancelled(PyObject *obj, PyObject *args)
{
    TR_UNUSED(args);
    return PyBool_FromLong(((core_op_t *)obj)->state == OP_CANCELLED);
}

PyDoc_STRVAR(op_get_loop_doc, "get_loop($self, /)\n--\n\nThe loop that the request belongs to.");

static PyObject *
op_get_loop(PyObject *obj, PyObject *args)
{
    core_op_t *self = (core_op_t *)obj;
    TR_UNUSED(args);
    if (self->bridge == NULL || self->bridge->loop == NULL) {
        Py_RETURN_NONE;
    }
    return Py_NewRef(self->bridge->loop);
}

static PyObject *
op_get_blocking(PyObject *obj, void *closure)
{
    TR_UNUSED(closure);
    return PyBool_FromLong(((core_op_t *)obj)->blocking);
}

static int
op_set_blocking(PyObject *obj, PyObject *value, void *closure)
{
    TR_UNUSED(closure);
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute");
        return -1;
    }
    int truth = PyObject_IsTrue(value);
    if (truth < 0) {
        return -1;
    }
    ((core_op_t *)obj)->blocking = truth != 0;
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------ the type */

static int
op_traverse(PyObject *obj, visitproc visit, void *arg)
{
    core_op_t *self = (core_op_t *)obj;
    Py_VISIT(Py_TYPE(obj));
    Py_VISIT(self->method);
    Py_VISIT(self->url);
    Py_VISIT(self->request);
    Py_VISIT(self->encoding);
    Py_VISIT(self->timeout);
    Py_VISIT(self->proxy);
    Py_VISIT(self->info);
    Py_VISIT(self->bridge);
    Py_VISIT(self->callback);
    Py_VISIT(self->context);
    Py_VISIT(self->more);
    Py_VISIT(self->cancel_message);
    Py_VISIT(self->reader);
    Py_VISIT(self->writer);
    return 0;
}

static int
op_clear(PyObject *obj)
{
    core_op_t *self = (core_op_t *)obj;
    /* self->body is bytes, which no cycle goes through, and may be lent to the engine: it stays until dealloc. */
    Py_CLEAR(self->method);
    Py_CLEAR(self->url);
    Py_CLEAR(self->request);
    Py_CLEAR(self->encoding);
    Py_CLEAR(self->timeout);
    Py_CLEAR(self->proxy);
    Py_CLEAR(self->info);
    Py_CLEAR(self->bridge);
    Py_CLEAR(self->callback);
    Py_CLEAR(self->context);
    Py_CLEAR(self->more);
    Py_CLEAR(self->cancel_message);
    Py_CLEAR(self->reader);
    Py_CLEAR(self->writer);
    return 0;
}

/* A blocking request that nobody waits for any more. What it reads must outlive it. */
static void
op_end_blocking(core_op_t *self)
{
    tr_op_cancel(self->op);
    if (self->body == NULL && self->view.obj == NULL) {
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    while (!tr_op_is_done(self->op)) {
        (void)tr_op_wait(self->op, WAIT_SLICE_NS);
    }
    Py_END_ALLOW_THREADS
}

static void
op_dealloc(PyObject *obj)
{
    core_op_t *self = (core_op_t *)obj;
    PyTypeObject *type = Py_TYPE(obj);
    assert(!self->in_bridge);
    PyObject_GC_UnTrack(obj);
    op_clear(obj);
    if (self->op != NULL && self->bridge == NULL && self->state == OP_RUNNING && !tr_op_is_done(self->op)) {
        op_end_blocking(self);
    }
    tr_op_unref(self->op);
    Py_CLEAR(self->body);
    if (self->view.obj != NULL) {
        PyBuffer_Release(&self->view);
    }
    PyMem_Free(self->error);
    type->tp_free(obj);
    Py_DECREF(type);
}

static PyMethodDef op_methods[] = {
    {"send", op_send, METH_O, op_send_doc},
    {"throw", (PyCFunction)(void (*)(void))op_throw, METH_FASTCALL, op_throw_doc},
    {"close", op_close, METH_NOARGS, op_close_doc},
    {"add_done_callback", (PyCFunction)(void (*)(void))op_add_done_callback, METH_FASTCALL | METH_KEYWORDS,
     op_add_done_callback_doc},
    {"remove_done_callback", op_remove_done_callback, METH_O, op_remove_done_callback_doc},
    {"cancel", (PyCFunction)(void (*)(void))op_cancel, METH_FASTCALL | METH_KEYWORDS, op_cancel_doc},
    {"result", op_get_result, METH_NOARGS, op_result_doc},
    {"exception", op_get_result, METH_NOARGS, op_exception_doc},
    {"done", op_done, METH_NOARGS, op_done_doc},
    {"cancelled", op_cancelled, METH_NOARGS, op_cancelled_doc},
    {"get_loop", op_get_loop, METH_NOARGS, op_get_loop_doc},
    CORE_STREAM_METHODS
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef op_getset[] = {
    {"_asyncio_future_blocking", op_get_blocking, op_set_blocking, NULL, NULL},
    CORE_STREAM_GETSET
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot op_slots[] = {
    {Py_tp_doc, (void *)"A request under way: await it for the response."},
    {Py_tp_dealloc, (void *)op_dealloc},
    {Py_tp_traverse, (void *)op_traverse},
    {Py_tp_clear, (void *)op_clear},
    {Py_tp_methods, op_methods},
    {Py_tp_getset, op_getset},
    {Py_tp_iter, (void *)op_self},
    {Py_tp_iternext, (void *)op_iternext},
    {Py_am_await, (void *)op_self},
#ifdef TR_HAVE_AM_SEND
    {Py_am_send, (void *)op_am_send},
#endif
    {0, NULL},
};

PyType_Spec core_op_spec = {
    .name = "tls_requests._core._Op",
    .basicsize = sizeof(core_op_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = op_slots,
};
