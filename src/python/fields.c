/* fields: header fields and texts of the caller's as bytes, without building Python objects on the way. */
#include "http/headers.h"
#include "python/state.h"

int
core_text(PyObject *obj, tr_slice_t *out, const char *what)
{
    Py_ssize_t len;
    if (PyUnicode_Check(obj)) {
        const char *text = PyUnicode_AsUTF8AndSize(obj, &len);
        if (text == NULL) {
            return -1;
        }
        *out = tr_slice(text, (size_t)len);
        return 0;
    }
    if (PyBytes_Check(obj)) {
        *out = tr_slice(PyBytes_AS_STRING(obj), (size_t)PyBytes_GET_SIZE(obj));
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "%s must be str or bytes, not %.100s", what, Py_TYPE(obj)->tp_name);
    return -1;
}

int
core_field_text(core_state_t *st, PyObject *obj, tr_slice_t *out, const char *what)
{
    if (core_text(obj, out, what) == 0) {
        return 0;
    }
    if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        tr_err_t err = TR_ERR_INIT;
        PyErr_Clear();
        (void)tr_err_set(&err, TR_ERR_HEADER_INVALID, 0, "python.text", "%c%s is not valid Unicode: surrogates not allowed.",
                         Py_TOUPPER(what[0]), what + 1);
        core_raise(st, &err);
    }
    return -1;
}

PyObject *
core_str(tr_slice_t bytes)
{
    const char *text = bytes.len == 0 ? "" : (const char *)bytes.data;
    PyObject *str = PyUnicode_DecodeUTF8(text, (Py_ssize_t)bytes.len, NULL);
    if (str == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        str = PyUnicode_DecodeLatin1(text, (Py_ssize_t)bytes.len, NULL);
    }
    return str;
}

void
core_fields_init(core_fields_t *fields)
{
    fields->at = fields->small;
    fields->len = 0;
    fields->cap = FIELDS_SMALL;
    fields->owned = NULL;
}

void
core_fields_cleanup(core_fields_t *fields)
{
    if (fields->at != fields->small) {
        PyMem_Free(fields->at);
    }
    fields->at = fields->small;
    fields->len = 0;
    Py_CLEAR(fields->owned);
}

static int
fields_push(core_fields_t *fields, tr_slice_t name, tr_slice_t value)
{
    if (fields->len == fields->cap) {
        size_t cap = fields->cap * 2;
        tr_field_t *at = PyMem_Malloc(cap * sizeof(*at));
        if (at == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        memcpy(at, fields->at, fields->len * sizeof(*at));
        if (fields->at != fields->small) {
            PyMem_Free(fields->at);
        }
        fields->at = at;
        fields->cap = cap;
    }
    fields->at[fields->len].name = name;
    fields->at[fields->len].value = value;
    fields->len++;
    return 0;
}

/* Drops fields of that name among the first num. Returns how many of the first num are left. */
static size_t
fields_drop(core_fields_t *fields, tr_slice_t name, size_t num)
{
    size_t kept = 0;
    for (size_t i = 0; i < fields->len; i++) {
        if (i >= num || !tr_slice_ieq(fields->at[i].name, name)) {
            fields->at[kept++] = fields->at[i];
        }
    }
    size_t dropped = fields->len - kept;
    fields->len = kept;
    return num - dropped;
}

int
core_fields_keep(core_fields_t *fields, PyObject *obj)
{
    if (fields->owned == NULL) {
        fields->owned = PyList_New(0);
        if (fields->owned == NULL) {
            return -1;
        }
    }
    return PyList_Append(fields->owned, obj);
}

/* The text of a value that needs no conversion by the package. 1, 0 (another kind), -1. */
static int
plain_text(PyObject *obj, tr_slice_t *out)
{
    if (PyUnicode_Check(obj)) {
        if (core_text(obj, out, "header") < 0) {
            /* A lone surrogate has no UTF-8: the package says what is wrong. */
            PyErr_Clear();
            return 0;
        }
        return 1;
    }
    if (PyBytes_CheckExact(obj)) {
        *out = tr_slice(PyBytes_AS_STRING(obj), (size_t)PyBytes_GET_SIZE(obj));
        for (size_t i = 0; i < out->len; i++) {
            if (out->data[i] >= 0x80) {
                return 0; /* the package decodes it, and fails where it must */
            }
        }
        return 1;
    }
    return 0;
}

/* removed: the helper, or NULL. */
static int
add_one(core_fields_t *fields, PyObject *key, PyObject *value, PyObject *removed, size_t *num_before)
{
    tr_slice_t name, text;
    int rc = plain_text(key, &name);
    if (rc <= 0) {
        return rc;
    }
    if (value == Py_None || (removed != NULL && value == removed)) {
        text = TR_SLICE_NULL;
    } else {
        rc = plain_text(value, &text);
        if (rc <= 0) {
            return rc;
        }
        if (text.data == NULL) {
            text = TR_SLICE_LIT("");
        }
    }
    if (*num_before > 0) {
        *num_before = fields_drop(fields, name, *num_before);
    }
    return fields_push(fields, name, text) < 0 ? -1 : 1;
}

/* The package's Headers keep a list of (name, [values]). 1, 0 (another shape), -1. */
static int
add_items(core_fields_t *fields, PyObject *items, PyObject *spelling, PyObject *removed, size_t *num_before)
{
    int rc = 1;
    for (Py_ssize_t i = 0; rc == 1 && i < PyList_GET_SIZE(items); i++) {
        PyObject *item = PyList_GET_ITEM(items, i);
        if (!PyTuple_CheckExact(item) || PyTuple_GET_SIZE(item) != 2) {
            return 0;
        }
        PyObject *key = PyTuple_GET_ITEM(item, 0);
        PyObject *value = PyTuple_GET_ITEM(item, 1);
        if (spelling != NULL && PyDict_CheckExact(spelling)) {
            PyObject *spelled = PyDict_GetItemWithError(spelling, key); /* held by the client as long as this call */
            if (spelled != NULL) {
                key = spelled;
            } else if (PyErr_Occurred()) {
                return -1;
            }
        }
        if (!PyList_CheckExact(value)) {
            rc = add_one(fields, key, value, removed, num_before);
            continue;
        }
        if (PyList_GET_SIZE(value) == 1) {
            rc = add_one(fields, key, PyList_GET_ITEM(value, 0), removed, num_before);
            continue;
        }
        PyObject *comma = PyUnicode_FromString(",");
        if (comma == NULL) {
            return -1;
        }
        PyObject *joined = PyUnicode_Join(comma, value);
        Py_DECREF(comma);
        if (joined == NULL) {
            return -1;
        }
        rc = core_fields_keep(fields, joined) < 0 ? -1 : add_one(fields, key, joined, NULL, num_before);
        Py_DECREF(joined);
    }
    return rc;
}

int
core_fields_add(core_state_t *st, core_fields_t *fields, PyObject *source, PyObject *spelling)
{
    size_t num_before = fields->len;
    int rc = 1;
    if (PyDict_CheckExact(source)) {
        PyObject *key, *value;
        Py_ssize_t at = 0;
        TR_BEGIN_CRITICAL(source)
        while (rc == 1 && PyDict_Next(source, &at, &key, &value)) {
            rc = add_one(fields, key, value, NULL, &num_before);
        }
        TR_END_CRITICAL()
    } else {
        PyObject *items = PyObject_GetAttr(source, st->names.items_field);
        if (items == NULL) {
            PyErr_Clear();
            return 0;
        }
        if (PyList_CheckExact(items)) {
            rc = add_items(fields, items, spelling, st->helpers.removed, &num_before);
            /* The strings are held by the caller's object; a change from another thread must not free them under us. */
            if (rc == 1) {
                rc = core_fields_keep(fields, items) < 0 ? -1 : 1;
            }
        } else {
            rc = 0;
        }
        Py_DECREF(items);
    }
    return rc;
}

int
core_fields_set(core_fields_t *fields, const char *name, PyObject *value)
{
    tr_slice_t text;
    if (core_text(value, &text, name) < 0 || core_fields_keep(fields, value) < 0) {
        return -1;
    }
    bool done = false;
    size_t kept = 0;
    for (size_t i = 0; i < fields->len; i++) {
        tr_field_t field = fields->at[i];
        if (tr_slice_ieq(field.name, tr_slice_cstr(name))) {
            if (done) {
                continue;
            }
            field.value = text;
            done = true;
        }
        fields->at[kept++] = field;
    }
    fields->len = kept;
    return done ? 0 : fields_push(fields, tr_slice_cstr(name), text);
}

/* The text of a field's value; the error names the field. */
static int
value_text(core_state_t *st, tr_slice_t name, PyObject *obj, tr_slice_t *out)
{
    char what[100] = "the header's value";
    if (tr_http_is_token(name)) {
        (void)snprintf(what, sizeof(what), "the value of the header \"%.*s\"", (int)TR_MIN(name.len, (size_t)64), (const char *)name.data);
    }
    return core_field_text(st, obj, out, what);
}

int
core_fields_add_pairs(core_state_t *st, core_fields_t *fields, PyObject *pairs)
{
    PyObject *seq = PySequence_Fast(pairs, "headers must be a sequence of pairs");
    if (seq == NULL) {
        return -1;
    }
    int rc = core_fields_keep(fields, seq);
    for (Py_ssize_t i = 0; rc == 0 && i < PySequence_Fast_GET_SIZE(seq); i++) {
        PyObject *pair = PySequence_Fast_GET_ITEM(seq, i);
        tr_slice_t name, value;
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "headers must be pairs");
            rc = -1;
        } else if (core_field_text(st, PyTuple_GET_ITEM(pair, 0), &name, "a header name") < 0) {
            rc = -1;
        } else if (PyTuple_GET_ITEM(pair, 1) == Py_None) {
            rc = fields_push(fields, name, TR_SLICE_NULL); /* drops the browser's field of that name */
        } else if (value_text(st, name, PyTuple_GET_ITEM(pair, 1), &value) < 0) {
            rc = -1;
        } else {
            if (value.data == NULL) {
                value = TR_SLICE_LIT("");
            }
            rc = fields_push(fields, name, value);
        }
    }
    Py_DECREF(seq);
    return rc;
}
