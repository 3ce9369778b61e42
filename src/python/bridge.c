/* bridge: brings completions from the engine to one asyncio loop. The loop's reader on the sink's descriptor owns the bridge (loop -> handle ->
 * bridge -> ops), and the bridge refers to the loop: a cycle that ends when the loop is closed, or that the collector sees whole.
 *
 * A drain takes a bounded batch and runs each waiting task's step right away, in the task's context, as the loop's own handle would: no future,
 * no handle and no pass through the loop's queue for each answer. Everything here runs on the loop's thread with the GIL held. */
#include "python/state.h"

/* Answers handled in one go: beyond that the descriptor stays readable and other callbacks have their turn first. */
#define BRIDGE_BATCH 64

static core_bridge_t *
bridge_new(core_state_t *st, PyObject *loop)
{
    tr_err_t err = TR_ERR_INIT;
    core_bridge_t *self = (core_bridge_t *)st->bridge_type->tp_alloc(st->bridge_type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->st = st;
    tr_list_init(&self->ops);
    self->loop = Py_NewRef(loop);
    self->ready = PyMem_New(core_op_t *, BRIDGE_BATCH);
    if (self->ready == NULL) {
        Py_DECREF(self);
        return (core_bridge_t *)PyErr_NoMemory();
    }
    if (tr_failed(tr_sink_new(&self->sink, &err))) {
        PyErr_SetString(PyExc_OSError, err.msg);
        Py_DECREF(self);
        return NULL;
    }
    PyObject *drain = PyObject_GetAttr((PyObject *)self, st->names.drain);
    PyObject *fd = PyLong_FromLong(tr_sink_fd(self->sink));
    PyObject *done = NULL;
    if (drain != NULL && fd != NULL) {
        PyObject *args[3] = {loop, fd, drain};
        done = PyObject_VectorcallMethod(st->names.add_reader, args, 3, NULL);
        self->has_reader = done != NULL;
        if (done == NULL &&
            (PyErr_ExceptionMatches(PyExc_NotImplementedError) || PyErr_ExceptionMatches(PyExc_AttributeError))) {
            PyErr_Clear();
            done = PyObject_Vectorcall(st->helpers.thread_waker, args, 3, NULL);
            self->waker = Py_XNewRef(done);
        }
    }
    Py_XDECREF(drain);
    Py_XDECREF(fd);
    if (done == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    Py_DECREF(done);
    tr_list_push(&st->bridges, &self->link);
    return self;
}

/* Gives up what still runs and closes the sink: the loop is gone. May run twice. */
static void
bridge_dispose(core_bridge_t *self)
{
    tr_list_remove(&self->link);
    tr_link_t *link;
    while ((link = tr_list_shift(&self->ops)) != NULL) {
        core_op_t *op = TR_CONTAINER_OF(link, core_op_t, link);
        op->in_bridge = false;
        core_op_abandon(op);
        Py_DECREF(op);
    }
    while (self->ready_at < self->ready_len) {
        core_op_t *op = self->ready[self->ready_at++];
        Py_DECREF(op);
    }
    self->num_running = 0;
    tr_sink_free(self->sink);
    self->sink = NULL;
    if (self->waker != NULL) {
        PyObject *waker = self->waker;
        self->waker = NULL;
        PyObject *done = PyObject_CallMethodNoArgs(waker, self->st->names.stop);
        if (done == NULL) {
            PyErr_WriteUnraisable(waker);
        }
        Py_XDECREF(done);
        Py_DECREF(waker);
    }
}

void
core_bridges_close(core_state_t *st, bool all)
{
    tr_link_t *link = tr_list_first(&st->bridges);
    while (link != NULL) {
        core_bridge_t *self = (core_bridge_t *)Py_NewRef((PyObject *)TR_CONTAINER_OF(link, core_bridge_t, link));
        bool closed = all;
        if (!all) {
            PyObject *answer = PyObject_CallMethodNoArgs(self->loop, st->names.is_closed);
            closed = answer != NULL && PyObject_IsTrue(answer) == 1;
            Py_XDECREF(answer);
            PyErr_Clear();
        }
        /* is_closed may be Python code: look where we stand only now. */
        tr_link_t *next = tr_link_linked(&self->link) ? tr_list_next(&st->bridges, &self->link) : NULL;
        if (closed) {
            bridge_dispose(self);
        }
        Py_DECREF(self);
        link = next;
    }
}

core_bridge_t *
core_bridge_get(core_state_t *st)
{
    core_bridge_t *self = NULL;
    if (st->get_running_loop == NULL) {
        PyObject *asyncio = PyImport_ImportModule("asyncio");
        if (asyncio == NULL) {
            return NULL;
        }
        PyObject *get_running_loop = PyObject_GetAttrString(asyncio, "get_running_loop");
        PyObject *cancelled_error = PyObject_GetAttrString(asyncio, "CancelledError");
        PyObject *invalid_state_error = PyObject_GetAttrString(asyncio, "InvalidStateError");
        Py_DECREF(asyncio);
        if (get_running_loop == NULL || cancelled_error == NULL || invalid_state_error == NULL) {
            Py_XDECREF(get_running_loop);
            Py_XDECREF(cancelled_error);
            Py_XDECREF(invalid_state_error);
            return NULL;
        }
        st->get_running_loop = get_running_loop;
        st->cancelled_error = cancelled_error;
        st->invalid_state_error = invalid_state_error;
    }
    PyObject *loop = PyObject_CallNoArgs(st->get_running_loop);
    if (loop == NULL) {
        return NULL;
    }
    for (tr_link_t *link = tr_list_first(&st->bridges); link != NULL; link = tr_list_next(&st->bridges, link)) {
        core_bridge_t *bridge = TR_CONTAINER_OF(link, core_bridge_t, link);
        if (bridge->loop == loop) {
            if (TR_UNLIKELY(link != tr_list_first(&st->bridges))) {
                tr_list_remove(link);
                tr_list_push_front(&st->bridges, link);
            }
            self = (core_bridge_t *)Py_NewRef((PyObject *)bridge);
            break;
        }
    }
    if (self == NULL) {
        /* Loops that were closed with requests under way are noticed here at the latest. */
        core_bridges_close(st, false);
        self = bridge_new(st, loop);
    }
    Py_DECREF(loop);
    return self;
}

int
core_bridge_submit(core_bridge_t *self, core_op_t *op, tr_err_t *err)
{
    tr_op_set_user(op->op, op);
    tr_code_t rc = tr_op_submit(op->op, self->sink, err);
    if (tr_failed(rc)) {
        return -1;
    }
    Py_INCREF(op);
    op->in_bridge = true;
    tr_list_push(&self->ops, &op->link);
    self->num_running++;
    return 0;
}

/* Runs what the ready ring holds. -1: KeyboardInterrupt or SystemExit out of a task; the rest runs in the loop's next turn. */
static int
bridge_run_ready(core_bridge_t *self)
{
    int rc = 0;
    while (rc == 0 && self->ready_at < self->ready_len) {
        core_op_t *op = self->ready[self->ready_at++];
        rc = core_op_completed(op);
        Py_DECREF(op);
    }
    if (rc < 0 && self->ready_at < self->ready_len) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyObject *drain = PyObject_GetAttr((PyObject *)self, self->st->names.drain);
        if (drain != NULL) {
            PyObject *args[2] = {self->loop, drain};
            PyObject *done = PyObject_VectorcallMethod(self->st->names.call_soon, args, 2, NULL);
            Py_XDECREF(done);
            Py_DECREF(drain);
        }
        PyErr_Restore(type, value, traceback);
    }
    return rc;
}

PyDoc_STRVAR(bridge_drain_doc, "drain($self, /)\n--\n\nWake the tasks whose requests are done.");

static PyObject *
bridge_drain(PyObject *obj, PyObject *args)
{
    core_bridge_t *self = (core_bridge_t *)obj;
    tr_op_t *batch[BRIDGE_BATCH], *events[BRIDGE_BATCH];
    size_t num_events = 0;
    core_op_t *woken[BRIDGE_BATCH];
    int rc = 0;
    TR_UNUSED(args);
    Py_INCREF(self); /* a task's step may close the loop */
    if (self->ready_at == self->ready_len && self->sink != NULL) {
        size_t num = tr_sink_take_all(self->sink, events, BRIDGE_BATCH, &num_events, batch, BRIDGE_BATCH);
        /* Before anything runs: the bridge's reference on the user lasts until the completion is taken. */
        for (size_t i = 0; i < num_events; i++) {
            woken[i] = (core_op_t *)Py_NewRef((PyObject *)tr_op_user(events[i]));
            tr_op_unref(events[i]);
        }
        self->ready_at = 0;
        self->ready_len = num;
        for (size_t i = 0; i < num; i++) {
            core_op_t *op = tr_op_user(batch[i]);
            tr_list_remove(&op->link);
            op->in_bridge = false;
            self->ready[i] = op; /* takes the list's reference */
            self->num_running--;
            tr_op_unref(batch[i]);
        }
    }
    for (size_t i = 0; i < num_events; i++) {
        rc = rc < 0 ? rc : core_op_event(woken[i]);
        Py_DECREF(woken[i]);
    }
    rc = rc < 0 ? rc : bridge_run_ready(self);
    Py_DECREF(self);
    if (rc < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int
bridge_traverse(PyObject *obj, visitproc visit, void *arg)
{
    core_bridge_t *self = (core_bridge_t *)obj;
    Py_VISIT(Py_TYPE(obj));
    Py_VISIT(self->loop);
    Py_VISIT(self->waker);
    if (self->sink == NULL) {
        return 0; /* not fully made, or disposed of */
    }
    for (tr_link_t *link = tr_list_first(&self->ops); link != NULL; link = tr_list_next(&self->ops, link)) {
        Py_VISIT(TR_CONTAINER_OF(link, core_op_t, link));
    }
    for (size_t i = self->ready_at; i < self->ready_len; i++) {
        Py_VISIT(self->ready[i]);
    }
    return 0;
}

static int
bridge_clear(PyObject *obj)
{
    core_bridge_t *self = (core_bridge_t *)obj;
    if (self->sink != NULL) {
        bridge_dispose(self);
    }
    Py_CLEAR(self->loop);
    return 0;
}

static void
bridge_dealloc(PyObject *obj)
{
    core_bridge_t *self = (core_bridge_t *)obj;
    PyTypeObject *type = Py_TYPE(obj);
    PyObject_GC_UnTrack(obj);
    bridge_clear(obj);
    PyMem_Free(self->ready);
    type->tp_free(obj);
    Py_DECREF(type);
}

static PyMethodDef bridge_methods[] = {
    {"drain", bridge_drain, METH_NOARGS, bridge_drain_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef bridge_members[] = {
    {"num_running", T_PYSSIZET, offsetof(core_bridge_t, num_running), READONLY, "Requests under way on this loop."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot bridge_slots[] = {
    {Py_tp_doc, (void *)"Brings answers to one asyncio loop."},
    {Py_tp_dealloc, (void *)bridge_dealloc},
    {Py_tp_traverse, (void *)bridge_traverse},
    {Py_tp_clear, (void *)bridge_clear},
    {Py_tp_methods, bridge_methods},
    {Py_tp_members, bridge_members},
    {0, NULL},
};

PyType_Spec core_bridge_spec = {
    .name = "tls_requests._core._Bridge",
    .basicsize = sizeof(core_bridge_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = bridge_slots,
};
