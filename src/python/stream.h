/* stream: the methods and attributes of _Op for bodies in pieces (stream.c); op.c puts them into the type's tables. */
#ifndef TR_PYTHON_STREAM_H
#define TR_PYTHON_STREAM_H

#include "python/state.h"

PyObject *core_stream_submit(PyObject *self, PyObject *args);
PyObject *core_stream_wait_event(PyObject *self, PyObject *args);
PyObject *core_stream_response(PyObject *self, PyObject *args);
PyObject *core_stream_read(PyObject *self, PyObject *const *args, Py_ssize_t num);
PyObject *core_stream_wants_body(PyObject *self, PyObject *args);
PyObject *core_stream_write(PyObject *self, PyObject *const *args, Py_ssize_t num);
PyObject *core_stream_write_end(PyObject *self, PyObject *arg);
PyObject *core_stream_write_fail(PyObject *self, PyObject *arg);
PyObject *core_stream_abort(PyObject *self, PyObject *args);
PyObject *core_stream_get_answered(PyObject *self, void *closure);
PyObject *core_stream_get_over(PyObject *self, void *closure);
PyObject *core_stream_get_sent(PyObject *self, void *closure);
PyObject *core_stream_get_facts(PyObject *self, void *closure);
PyObject *core_stream_get_waiter(PyObject *self, void *closure);
int core_stream_set_waiter(PyObject *self, PyObject *value, void *closure);

#define CORE_STREAM_METHODS \
    {"_submit", core_stream_submit, METH_NOARGS, "_submit($self, /)\n--\n\nHand a blocking request to the engine; a failure is what _response gives."}, \
    {"_wait_event", core_stream_wait_event, METH_NOARGS, "_wait_event($self, /)\n--\n\nBlock until something happened to the request. Signals are seen."}, \
    {"_response", core_stream_response, METH_NOARGS, "_response($self, /)\n--\n\nThe response, once _answered; raises as the request's settings say."}, \
    {"_read", (PyCFunction)(void (*)(void))core_stream_read, METH_FASTCALL, "_read($self, least, most, raw, /)\n--\n\n" "Bytes of the answer's body, between least (fewer at the end) and most; None: nothing there yet; b\"\": the end.\n" "raw: content codings are left. Raises what the request failed with."}, \
    {"_wants_body", core_stream_wants_body, METH_NOARGS, "_wants_body($self, /)\n--\n\n" "The number of the pass over the body that more is wanted for, or None. A new number: from the start."}, \
    {"_write", (PyCFunction)(void (*)(void))core_stream_write, METH_FASTCALL, "_write($self, body_pass, data, /)\n--\n\n" "Add a piece to the request's body. False: it is not wanted any more, or not for that pass.\n" "Raises ProtocolError when the body is longer than declared."}, \
    {"_write_end", core_stream_write_end, METH_O, "_write_end($self, body_pass, /)\n--\n\n" "The request's body is complete. Raises ProtocolError when it is shorter than declared."}, \
    {"_write_fail", core_stream_write_fail, METH_O, "_write_fail($self, why, /)\n--\n\nThe request's body cannot be completed: the request fails."}, \
    {"_abort", core_stream_abort, METH_NOARGS, "_abort($self, /)\n--\n\nEnd the request wherever it is. No effect on one that is over."},

#define CORE_STREAM_GETSET \
    {"_answered", core_stream_get_answered, NULL, "The response can be had.", NULL}, \
    {"_over", core_stream_get_over, NULL, "The engine is done with the request.", NULL}, \
    {"_sent", core_stream_get_sent, NULL, "Bytes of the body that were handed to the connection.", NULL}, \
    {"_facts", core_stream_get_facts, NULL, "(request sent, seconds, address) of a request that is _over.", NULL}, \
    {"_reader", core_stream_get_waiter, core_stream_set_waiter, "The future of who waits for bytes.", (void *)offsetof(core_op_t, reader)}, \
    {"_writer", core_stream_get_waiter, core_stream_set_waiter, "The future of who waits to write.", (void *)offsetof(core_op_t, writer)},

#endif
