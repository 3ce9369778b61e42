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
PyObject *core_stream_to_file(PyObject *self, PyObject *const *args, Py_ssize_t num);
PyObject *core_stream_file_wait(PyObject *self, PyObject *arg);
PyObject *core_stream_raise_failure(PyObject *self, PyObject *args);
PyObject *core_stream_get_file_written(PyObject *self, void *closure);
PyObject *core_stream_get_file_digest(PyObject *self, void *closure);
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
    {"_to_file", (PyCFunction)(void (*)(void))core_stream_to_file, METH_FASTCALL, "_to_file($self, fd, limit, events, digest, before, /)\n--\n\n" "Have the answer's body written to a descriptor by the engine, from where it stands; the request is over when that is done.\n" "False: it is not a request that can (made without `to_file`, read from already). The descriptor is duplicated. limit: bytes, or None. events: wake who\n" "waits when bytes were written. digest: \"sha256\", \"sha512\" or None, of the file with `before` bytes that stand in it already.\n" "Raises OutputError, whose errno is the system's."}, \
    {"_file_wait", core_stream_file_wait, METH_O, "_file_wait($self, seconds, /)\n--\n\n" "Block until nothing more is written to the request's file, for so many seconds at most; whether that is so."}, \
    {"_raise_failure", core_stream_raise_failure, METH_NOARGS, "_raise_failure($self, /)\n--\n\nRaise what a request that is over failed with, if it did."}, \
    {"_abort", core_stream_abort, METH_NOARGS, "_abort($self, /)\n--\n\nEnd the request wherever it is. No effect on one that is over."},

#define CORE_STREAM_GETSET \
    {"_answered", core_stream_get_answered, NULL, "The response can be had.", NULL}, \
    {"_over", core_stream_get_over, NULL, "The engine is done with the request.", NULL}, \
    {"_file_written", core_stream_get_file_written, NULL, "Bytes of the answer's body that were written to the file.", NULL}, \
    {"_file_digest", core_stream_get_file_digest, NULL, "The digest that _to_file was asked for, once all is written; else b\"\".", NULL}, \
    {"_sent", core_stream_get_sent, NULL, "Bytes of the body that were handed to the connection.", NULL}, \
    {"_facts", core_stream_get_facts, NULL, "(request sent, seconds, address) of a request that is _over.", NULL}, \
    {"_reader", core_stream_get_waiter, core_stream_set_waiter, "The future of who waits for bytes.", (void *)offsetof(core_op_t, reader)}, \
    {"_writer", core_stream_get_waiter, core_stream_set_waiter, "The future of who waits to write.", (void *)offsetof(core_op_t, writer)},

#endif
