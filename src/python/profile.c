/* profile: browser profiles as Python objects. A BrowserProfile holds a built-in profile, or one made of a dict of rows (the package checks
 * them, tls_requests/_fingerprint/rows.py; here only what keeps the engine within its memory is looked at again). The dict:
 *
 *   id, family, version, os: str; key, flags, record_version, legacy_version, session_id_len, pinned_first, pinned_last, window,
 *   first_stream_id, stream_window, priority_mode, hpack, data_frame_max: int; suites: list of int; exts: list of (type, list of int, bytes);
 *   ech: (payload, kdf, list of aeads, list of lengths, length of enc); settings: list of (id, value);
 *   priority_frames: list of (stream, dependency, weight, exclusive); priority: one such; pseudo_order: str;
 *   h2_headers, h1_headers: list of (str, str or None); user_agent, kinds_of: str or None; kinds: None, or a row for each tr_kind_t:
 *   (HTTP/2 headers, HTTP/1.1 headers, weight), in which a header's value may be True for tr_profile_same; hints: None, or str or None for
 *   each tr_hint_t. */
#include "python/client_object.h"

/* More than any check of the package lets through; keeps the casts below right. */
#define MAX_ITEMS 1024

/* What a row is read from. Every function that reads is a no-op after a failure (an exception is set then). */
typedef struct reader {
    PyObject *fields; /* borrowed dict */
    tr_profile_t *profile;
    bool failed;
} reader_t;

static void
fail(reader_t *r, const char *name)
{
    if (!r->failed && !PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "profile: %s cannot be used", name);
    }
    r->failed = true;
}

static PyObject *
item(reader_t *r, const char *name)
{
    PyObject *value = r->failed ? NULL : PyDict_GetItemString(r->fields, name);
    if (value == NULL) {
        fail(r, name);
    }
    return value;
}

static uint64_t
number(reader_t *r, PyObject *value, uint64_t max, const char *name)
{
    uint64_t result = 0;
    if (value != NULL && !r->failed) {
        result = PyLong_Check(value) ? PyLong_AsUnsignedLongLong(value) : max;
        if (!PyLong_Check(value) || PyErr_Occurred() || result > max) {
            fail(r, name);
            result = 0;
        }
    }
    return result;
}

static uint64_t
number_item(reader_t *r, const char *name, uint64_t max)
{
    return number(r, item(r, name), max, name);
}

static void *
memory(reader_t *r, size_t num, size_t size)
{
    void *block = r->failed || num == 0 ? NULL : tr_profile_alloc(r->profile, num * size);
    if (block == NULL && num > 0 && !r->failed) {
        PyErr_NoMemory();
        r->failed = true;
    }
    return block;
}

static const char *
text(reader_t *r, PyObject *value, const char *name)
{
    Py_ssize_t len;
    const char *utf8 = r->failed || value == NULL || !PyUnicode_Check(value) ? NULL : PyUnicode_AsUTF8AndSize(value, &len);
    if (utf8 == NULL || strlen(utf8) != (size_t)len) {
        fail(r, name);
        return "";
    }
    char *copy = memory(r, (size_t)len + 1, 1);
    if (copy == NULL) {
        return "";
    }
    memcpy(copy, utf8, (size_t)len + 1);
    return copy;
}

/* The number of items of a list or tuple. */
static size_t
length(reader_t *r, PyObject *value, const char *name)
{
    if (r->failed || value == NULL || !(PyList_Check(value) || PyTuple_Check(value)) || PySequence_Fast_GET_SIZE(value) > MAX_ITEMS) {
        fail(r, name);
        return 0;
    }
    return (size_t)PySequence_Fast_GET_SIZE(value);
}

/* The i-th item, borrowed: sequences are the package's own and nobody else has them. */
static PyObject *
at(PyObject *sequence, size_t i)
{
    return PySequence_Fast_GET_ITEM(sequence, (Py_ssize_t)i);
}

static const uint16_t *
u16s(reader_t *r, PyObject *value, size_t *out_num, const char *name)
{
    size_t num = length(r, value, name);
    uint16_t *values = memory(r, num, sizeof(*values));
    for (size_t i = 0; values != NULL && i < num; i++) {
        values[i] = (uint16_t)number(r, at(value, i), UINT16_MAX, name);
    }
    *out_num = values == NULL ? 0 : num;
    return values;
}

/* A tuple of exactly num items. */
static bool
is_row(reader_t *r, PyObject *value, size_t num, const char *name)
{
    if (length(r, value, name) != num) {
        fail(r, name);
    }
    return !r->failed;
}

static void
read_exts(reader_t *r)
{
    static const char name[] = "exts";
    PyObject *list = item(r, name);
    size_t num = length(r, list, name);
    tr_profile_ext_t *exts = memory(r, num, sizeof(*exts));
    for (size_t i = 0; exts != NULL && i < num; i++) {
        PyObject *row = at(list, i);
        size_t num_values;
        memset(&exts[i], 0, sizeof(exts[i]));
        if (!is_row(r, row, 3, name)) {
            break;
        }
        exts[i].type = (uint16_t)number(r, at(row, 0), UINT16_MAX, name);
        exts[i].values = u16s(r, at(row, 1), &num_values, name);
        exts[i].num_values = (uint16_t)num_values;
        PyObject *data = at(row, 2);
        if (r->failed || !PyBytes_Check(data) || PyBytes_GET_SIZE(data) > UINT16_MAX) {
            fail(r, name);
            break;
        }
        size_t len = (size_t)PyBytes_GET_SIZE(data);
        uint8_t *copy = memory(r, len, 1);
        if (copy != NULL) {
            memcpy(copy, PyBytes_AS_STRING(data), len);
            exts[i].data = tr_slice(copy, len);
        }
    }
    r->profile->exts = exts;
    r->profile->num_exts = (uint16_t)(exts == NULL ? 0 : num);
}

static tr_profile_priority_t
read_priority(reader_t *r, PyObject *row, const char *name)
{
    tr_profile_priority_t priority = {0, 0, 16, false};
    if (is_row(r, row, 4, name)) {
        priority.stream_id = (uint32_t)number(r, at(row, 0), INT32_MAX, name);
        priority.depends_on = (uint32_t)number(r, at(row, 1), INT32_MAX, name);
        priority.weight = (uint16_t)number(r, at(row, 2), 256, name);
        priority.exclusive = at(row, 3) == Py_True;
    }
    return priority;
}

static const tr_profile_header_t *
headers_from(reader_t *r, PyObject *list, const char *name, size_t *out_num)
{
    size_t num = length(r, list, name);
    tr_profile_header_t *headers = memory(r, num, sizeof(*headers));
    for (size_t i = 0; headers != NULL && i < num && is_row(r, at(list, i), 2, name); i++) {
        PyObject *value = at(at(list, i), 1);
        headers[i].name = text(r, at(at(list, i), 0), name);
        headers[i].value = value == Py_None ? NULL : value == Py_True ? tr_profile_same : text(r, value, name);
    }
    *out_num = headers == NULL ? 0 : num;
    return headers;
}

static const tr_profile_header_t *
read_headers(reader_t *r, const char *name, size_t *out_num)
{
    return headers_from(r, item(r, name), name, out_num);
}

/* Tables of its own for other requests than navigations. */
static void
read_kinds(reader_t *r, PyObject *list)
{
    static const char name[] = "kinds";
    if (!is_row(r, list, TR_KIND_COUNT, name)) {
        return;
    }
    tr_profile_kind_t *kinds = memory(r, TR_KIND_COUNT, sizeof(*kinds));
    for (size_t i = 0; kinds != NULL && i < TR_KIND_COUNT; i++) {
        memset(&kinds[i], 0, sizeof(kinds[i]));
        if (is_row(r, at(list, i), 3, name)) {
            kinds[i].h2_headers = headers_from(r, at(at(list, i), 0), name, &kinds[i].num_h2_headers);
            kinds[i].h1_headers = headers_from(r, at(at(list, i), 1), name, &kinds[i].num_h1_headers);
            kinds[i].weight = (uint16_t)number(r, at(at(list, i), 2), 256, name);
        }
    }
    r->profile->kinds = kinds;
}

static void
read_hints(reader_t *r, PyObject *list)
{
    static const char name[] = "hints";
    if (!is_row(r, list, TR_HINT_COUNT, name)) {
        return;
    }
    const char **hints = memory(r, TR_HINT_COUNT, sizeof(*hints));
    for (size_t i = 0; hints != NULL && i < TR_HINT_COUNT; i++) {
        hints[i] = at(list, i) == Py_None ? NULL : text(r, at(list, i), name);
    }
    r->profile->hints = hints;
}

static void
read_http2(reader_t *r)
{
    tr_profile_t *p = r->profile;
    PyObject *list = item(r, "settings");
    size_t num = length(r, list, "settings");
    tr_profile_setting_t *settings = memory(r, num, sizeof(*settings));
    for (size_t i = 0; settings != NULL && i < num && is_row(r, at(list, i), 2, "settings"); i++) {
        settings[i].id = (uint16_t)number(r, at(at(list, i), 0), UINT16_MAX, "settings");
        settings[i].value = (uint32_t)number(r, at(at(list, i), 1), UINT32_MAX, "settings");
    }
    p->settings = settings;
    p->num_settings = num;
    list = item(r, "priority_frames");
    num = length(r, list, "priority_frames");
    tr_profile_priority_t *frames = memory(r, num, sizeof(*frames));
    for (size_t i = 0; frames != NULL && i < num; i++) {
        frames[i] = read_priority(r, at(list, i), "priority_frames");
    }
    p->priority_frames = frames;
    p->num_priority_frames = num;
    p->window_increment = (uint32_t)number_item(r, "window", INT32_MAX);
    p->first_stream_id = (uint32_t)number_item(r, "first_stream_id", INT32_MAX);
    p->stream_window_increment = (uint32_t)number_item(r, "stream_window", INT32_MAX);
    p->priority_mode = (tr_profile_priority_mode_t)number_item(r, "priority_mode", TR_PRIORITY_CHROMIUM);
    p->priority = read_priority(r, item(r, "priority"), "priority");
    p->hpack = (tr_profile_hpack_t)number_item(r, "hpack", TR_HPACK_FIREFOX);
    p->data_frame_max = (uint16_t)number_item(r, "data_frame_max", 16384);
    const char *order = text(r, item(r, "pseudo_order"), "pseudo_order");
    if (strlen(order) != 4 || strspn(order, "masp") != 4 || strchr(order, 'm') == NULL || strchr(order, 'a') == NULL ||
        strchr(order, 's') == NULL || strchr(order, 'p') == NULL || p->first_stream_id % 2 == 0) {
        fail(r, "pseudo_order or first_stream_id");
        return;
    }
    memcpy(p->pseudo_order, order, 5);
}

static void
read_ech(reader_t *r)
{
    tr_profile_ech_t *ech = &r->profile->ech;
    PyObject *row = item(r, "ech");
    if (is_row(r, row, 5, "ech")) {
        ech->payload = (tr_ech_payload_t)number(r, at(row, 0), TR_ECH_PAYLOAD_NSS, "ech");
        ech->kdf = (uint16_t)number(r, at(row, 1), UINT16_MAX, "ech");
        ech->aeads = u16s(r, at(row, 2), &ech->num_aeads, "ech");
        ech->payload_lens = u16s(r, at(row, 3), &ech->num_payload_lens, "ech");
        ech->enc_len = (uint16_t)number(r, at(row, 4), 8192, "ech");
    }
}

static const tr_profile_t *
profile_from(PyObject *fields)
{
    tr_profile_t *p = tr_profile_new();
    if (p == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    reader_t r = {fields, p, false};
    size_t num_suites;
    p->key = number_item(&r, "key", UINT64_MAX) | UINT64_C(1) << 63;
    p->id = text(&r, item(&r, "id"), "id");
    p->family = text(&r, item(&r, "family"), "family");
    p->version = text(&r, item(&r, "version"), "version");
    p->os = text(&r, item(&r, "os"), "os");
    p->flags = (uint32_t)number_item(&r, "flags", TR_PROFILE_COUNTED - 1) | TR_PROFILE_COUNTED;
    p->record_version = (uint16_t)number_item(&r, "record_version", 0x0303);
    p->legacy_version = (uint16_t)number_item(&r, "legacy_version", 0x0303);
    p->session_id_len = (uint8_t)number_item(&r, "session_id_len", 32);
    p->suites = u16s(&r, item(&r, "suites"), &num_suites, "suites");
    p->num_suites = (uint16_t)num_suites;
    read_exts(&r);
    p->num_pinned_first = (uint16_t)number_item(&r, "pinned_first", p->num_exts);
    p->num_pinned_last = (uint16_t)number_item(&r, "pinned_last", p->num_exts);
    read_ech(&r);
    read_http2(&r);
    p->h2_headers = read_headers(&r, "h2_headers", &p->num_h2_headers);
    p->h1_headers = read_headers(&r, "h1_headers", &p->num_h1_headers);
    PyObject *kinds = item(&r, "kinds");
    if (!r.failed && kinds != Py_None) {
        read_kinds(&r, kinds);
    }
    PyObject *kinds_of = item(&r, "kinds_of");
    if (!r.failed && kinds_of != Py_None) {
        const tr_profile_t *other = tr_profile_find(tr_slice_cstr(text(&r, kinds_of, "kinds_of")));
        if (other == NULL) {
            fail(&r, "kinds_of");
        } else {
            p->kinds = other->kinds; /* static */
        }
    }
    PyObject *hints = item(&r, "hints");
    if (!r.failed && hints != Py_None) {
        read_hints(&r, hints);
    }
    PyObject *agent = item(&r, "user_agent");
    p->user_agent = r.failed || agent == Py_None ? NULL : text(&r, agent, "user_agent");
    if (r.failed) {
        tr_profile_unref(p);
        return NULL;
    }
    return p;
}

/* --------------------------------------------------------------------------------------------------------- to Python */

static PyObject *
list_of_u16(const uint16_t *values, size_t num)
{
    PyObject *list = PyList_New((Py_ssize_t)num);
    for (size_t i = 0; list != NULL && i < num; i++) {
        PyObject *value = PyLong_FromLong(values[i]);
        if (value == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, value);
        }
    }
    return list;
}

/* Appends row (a new reference, or NULL with an exception) to *list; on failure *list becomes NULL. */
static void
append(PyObject **list, PyObject *row)
{
    if (*list != NULL && (row == NULL || PyList_Append(*list, row) < 0)) {
        Py_CLEAR(*list);
    }
    Py_XDECREF(row);
}

static PyObject *
priority_row(const tr_profile_priority_t *priority)
{
    return Py_BuildValue("(IIiO)", priority->stream_id, priority->depends_on, (int)priority->weight, priority->exclusive ? Py_True : Py_False);
}

static PyObject *
header_rows(const tr_profile_header_t *headers, size_t num)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < num; i++) {
        append(&list, headers[i].value == tr_profile_same ? Py_BuildValue("(sO)", headers[i].name, Py_True)
                                                          : Py_BuildValue("(sz)", headers[i].name, headers[i].value));
    }
    return list;
}

static PyObject *
ext_rows(const tr_profile_t *p)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < p->num_exts; i++) {
        const tr_profile_ext_t *ext = &p->exts[i];
        append(&list, Py_BuildValue("(iNy#)", (int)ext->type, list_of_u16(ext->values, ext->num_values),
                                    ext->data.len == 0 ? "" : (const char *)ext->data.data, (Py_ssize_t)ext->data.len));
    }
    return list;
}

/* The first built-in profile with the same tables for other requests than navigations; NULL: none. */
static const char *
kinds_of(const tr_profile_t *p)
{
    const tr_profile_t *other;
    for (size_t i = 0; p->kinds != NULL && (other = tr_profile_at(i)) != NULL; i++) {
        if (other->kinds == p->kinds) {
            return other->id;
        }
    }
    return NULL;
}

/* The tables of other requests than navigations, None where there are none. */
static PyObject *
kind_rows(const tr_profile_t *p)
{
    if (p->kinds == NULL) {
        return Py_NewRef(Py_None);
    }
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < TR_KIND_COUNT; i++) {
        const tr_profile_kind_t *kind = &p->kinds[i];
        append(&list, Py_BuildValue("(NNi)", header_rows(kind->h2_headers, kind->num_h2_headers),
                                    header_rows(kind->h1_headers, kind->num_h1_headers), (int)kind->weight));
    }
    return list;
}

static PyObject *
hint_rows(const tr_profile_t *p)
{
    if (p->hints == NULL) {
        return Py_NewRef(Py_None);
    }
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < TR_HINT_COUNT; i++) {
        append(&list, Py_BuildValue("z", p->hints[i]));
    }
    return list;
}

static PyObject *
rows_of(const tr_profile_t *p)
{
    PyObject *settings = PyList_New(0), *frames = PyList_New(0);
    for (size_t i = 0; settings != NULL && i < p->num_settings; i++) {
        append(&settings, Py_BuildValue("(iI)", (int)p->settings[i].id, p->settings[i].value));
    }
    for (size_t i = 0; frames != NULL && i < p->num_priority_frames; i++) {
        append(&frames, priority_row(&p->priority_frames[i]));
    }
    const tr_profile_ech_t *ech = &p->ech;
    /* N takes the new references over, those of failed ones too: Py_BuildValue then fails. */
    return Py_BuildValue(
        "{s:K,s:s,s:s,s:s,s:s,s:I,s:i,s:i,s:i,s:N,s:N,s:i,s:i,s:(iiNNi),s:N,s:I,s:N,s:s,s:I,s:I,s:i,s:N,s:i,s:i,s:N,s:N,s:z,s:z,s:N,s:N}", "key",
        (unsigned long long)p->key, "id", p->id, "family", p->family, "version", p->version, "os", p->os, "flags",
        (unsigned int)(p->flags & ~(uint32_t)TR_PROFILE_COUNTED), "record_version", (int)p->record_version, "legacy_version",
        (int)p->legacy_version, "session_id_len", (int)p->session_id_len, "suites", list_of_u16(p->suites, p->num_suites), "exts", ext_rows(p),
        "pinned_first", (int)p->num_pinned_first, "pinned_last", (int)p->num_pinned_last, "ech", (int)ech->payload, (int)ech->kdf,
        list_of_u16(ech->aeads, ech->num_aeads), list_of_u16(ech->payload_lens, ech->num_payload_lens), (int)ech->enc_len, "settings", settings,
        "window", p->window_increment, "priority_frames", frames, "pseudo_order", p->pseudo_order, "first_stream_id", p->first_stream_id,
        "stream_window", p->stream_window_increment, "priority_mode", (int)p->priority_mode, "priority", priority_row(&p->priority),
        "hpack", (int)p->hpack, "data_frame_max", (int)p->data_frame_max, "h2_headers", header_rows(p->h2_headers, p->num_h2_headers), "h1_headers",
        header_rows(p->h1_headers, p->num_h1_headers), "user_agent", p->user_agent, "kinds_of", kinds_of(p), "kinds", kind_rows(p), "hints", hint_rows(p));
}

/* ------------------------------------------------------------------------------------------------------------ the type */

typedef struct core_profile {
    PyObject_HEAD
    const tr_profile_t *profile; /* referenced */
} core_profile_t;

const tr_profile_t *
core_profile_of(core_state_t *st, PyObject *value)
{
    return value != NULL && PyObject_TypeCheck(value, st->profile_type) ? ((core_profile_t *)value)->profile : NULL;
}

static PyObject *
profile_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *source;
    const tr_profile_t *profile;
    if (PyTuple_GET_SIZE(args) != 1 || (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0)) {
        PyErr_SetString(PyExc_TypeError, "a profile is made by Profile.load(), Profile.named() or Profile.from_ja3()");
        return NULL;
    }
    source = PyTuple_GET_ITEM(args, 0);
    if (PyUnicode_Check(source)) {
        tr_slice_t name;
        if (core_text(source, &name, "a profile's name") < 0) {
            return NULL;
        }
        profile = tr_profile_find(name);
        if (profile == NULL) {
            PyErr_Format(PyExc_KeyError, "no profile %R", source);
            return NULL;
        }
    } else if (PyDict_Check(source)) {
        profile = profile_from(source);
    } else {
        PyErr_SetString(PyExc_TypeError, "a profile is made by Profile.load(), Profile.named() or Profile.from_ja3()");
        return NULL;
    }
    if (profile == NULL) {
        return NULL;
    }
    core_profile_t *self = (core_profile_t *)type->tp_alloc(type, 0);
    if (self == NULL) {
        tr_profile_unref(profile);
        return NULL;
    }
    self->profile = profile;
    return (PyObject *)self;
}

static int
profile_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void
profile_dealloc(PyObject *obj)
{
    core_profile_t *self = (core_profile_t *)obj;
    PyTypeObject *type = Py_TYPE(obj);
    PyObject_GC_UnTrack(obj);
    tr_profile_unref(self->profile);
    type->tp_free(obj);
    Py_DECREF(type);
}

PyDoc_STRVAR(profile_rows_doc, "_rows($self, /)\n--\n\nThe profile as the engine has it.");

static PyObject *
profile_get_rows(PyObject *obj, PyObject *args)
{
    TR_UNUSED(args);
    return rows_of(((core_profile_t *)obj)->profile);
}

PyDoc_STRVAR(profile_key_doc, "Names the contents: equal for equal profiles.");

static PyObject *
profile_get_key(PyObject *obj, void *closure)
{
    TR_UNUSED(closure);
    return PyLong_FromUnsignedLongLong(((core_profile_t *)obj)->profile->key);
}

static PyMethodDef profile_methods[] = {
    {"_rows", profile_get_rows, METH_NOARGS, profile_rows_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef profile_getset[] = {
    {"_key", profile_get_key, NULL, profile_key_doc, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot profile_slots[] = {
    {Py_tp_doc, (void *)"BrowserProfile(source, /)\n--\n\nA browser profile that the engine can use."},
    {Py_tp_new, (void *)profile_new},
    {Py_tp_dealloc, (void *)profile_dealloc},
    {Py_tp_traverse, (void *)profile_traverse},
    {Py_tp_methods, profile_methods},
    {Py_tp_getset, profile_getset},
    {0, NULL},
};

PyType_Spec core_profile_spec = {
    .name = "tls_requests._core.BrowserProfile",
    .basicsize = sizeof(core_profile_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = profile_slots,
};

PyObject *
core_profile_names(void)
{
    static const char *const bases[] = {"capture", "derived", "nearest"};
    PyObject *list = PyList_New(0);
    const tr_profile_name_t *row;
    for (size_t i = 0; list != NULL && (row = tr_profile_name_at(i)) != NULL; i++) {
        append(&list, Py_BuildValue("(siss)", row->name, (int)row->index, row->entry, bases[row->basis]));
    }
    return list;
}
