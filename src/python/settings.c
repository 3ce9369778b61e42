/* settings: what the engine needs of a client's attributes, computed once after a change. */
#include <math.h>

#include "python/client_object.h"

static bool
str_is(PyObject *value, PyObject *text)
{
    return value == text || (PyUnicode_Check(value) && PyUnicode_Compare(value, text) == 0);
}

/* Seconds as milliseconds: 1 with *out, 0 when the value means "the default" (none, zero, negative, not finite), -1 raised. */
static int
timeout_ms(PyObject *value, uint32_t *out)
{
    double s;
    if (PyFloat_CheckExact(value)) {
        s = PyFloat_AS_DOUBLE(value);
    } else if (PyFloat_Check(value) || PyLong_Check(value)) {
        s = PyFloat_AsDouble(value);
        if (s == -1.0 && PyErr_Occurred()) {
            PyErr_Clear(); /* an int beyond a double */
            return 0;
        }
    } else {
        return 0;
    }
    if (!(s > 0) || !isfinite(s)) {
        return 0;
    }
    double ms = ceil(s * 1000.0);
    *out = ms >= (double)UINT32_MAX ? 0 : (uint32_t)ms; /* seven weeks and more: no limit */
    return 1;
}

/* A number of seconds for the whole, or a mapping with any of connect, tls, write, first_byte, read, pool, total; what the package makes of other
 * objects. *out comes with the defaults in it. */
int
core_timeouts_from(core_state_t *st, PyObject *value, tr_timeouts_t *out)
{
    if (!PyDict_Check(value)) {
        uint32_t ms;
        if (!PyFloat_Check(value) && !PyLong_Check(value) && !PyUnicode_Check(value)) {
            PyObject *made = PyObject_CallFunction(st->helpers.convert_attribute, "sO", "timeout", value);
            int failed = made == NULL ? -1 : 0;
            if (made != NULL && (PyDict_Check(made) || PyFloat_Check(made))) {
                failed = core_timeouts_from(st, made, out);
            }
            Py_XDECREF(made);
            return failed;
        }
        int rc = timeout_ms(value, &ms);
        if (rc > 0) {
            *out = (tr_timeouts_t){.total_ms = ms};
        }
        return rc < 0 ? -1 : 0;
    }
    struct {
        PyObject *name;
        uint32_t *out;
    } parts[] = {
        {st->names.connect, &out->connect_ms}, {st->names.tls, &out->tls_ms},   {st->names.write, &out->write_ms},
        {st->names.read, &out->read_ms},       {st->names.pool, &out->pool_ms}, {st->names.total, &out->total_ms},
        {st->names.first_byte, &out->first_byte_ms},
    };
    Py_ssize_t num_known = 0;
    for (size_t i = 0; i < TR_ARRAY_LEN(parts); i++) {
        PyObject *part;
        int rc = PyDict_GetItemRef(value, parts[i].name, &part);
        if (rc < 0) {
            return -1;
        }
        if (rc > 0) {
            num_known++;
            if (part == Py_None) {
                *parts[i].out = 0;
            } else if (!PyFloat_Check(part) && !PyLong_Check(part)) {
                PyErr_Format(PyExc_TypeError, "timeout: the value of %R must be a number of seconds or None, not %.100s", parts[i].name,
                             Py_TYPE(part)->tp_name);
                rc = -1;
            } else if (timeout_ms(part, parts[i].out) < 0) {
                rc = -1;
            }
            Py_DECREF(part);
            if (rc < 0) {
                return -1;
            }
        }
    }
    if (num_known != PyDict_GET_SIZE(value)) {
        PyErr_SetString(PyExc_ValueError,
                        "timeout has an unknown part: it may have connect, tls, write, first_byte, read, pool and total");
        return -1;
    }
    return 0;
}

uint32_t
core_http2_flags(core_state_t *st, PyObject *value)
{
    if (value == NULL || value == Py_None || str_is(value, st->names.auto_)) {
        return 0;
    }
    if (value == Py_True || str_is(value, st->names.http2)) {
        return TR_OP_HTTP2_ASKED;
    }
    return TR_OP_HTTP1_ONLY;
}

/* Another object: the package makes PEM bytes of what looks like an ssl.SSLContext, and None of anything else (then the system's roots count). */
static int
verify_from_object(core_state_t *st, PyObject *value, tr_trust_t **trust)
{
    PyObject *pem = PyObject_CallFunction(st->helpers.convert_attribute, "sO", "verify", value);
    int rc = pem == NULL ? -1 : 0;
    if (pem != NULL && PyBytes_Check(pem)) {
        tr_err_t err = TR_ERR_INIT;
        tr_slice_t text = tr_slice(PyBytes_AS_STRING(pem), (size_t)PyBytes_GET_SIZE(pem));
        if (tr_trust_new_from_pem(trust, text, &err) != TR_OK) {
            *trust = NULL;
            core_raise(st, &err);
            rc = -1;
        }
    }
    Py_XDECREF(pem);
    return rc;
}

/* verify: NULL, None or any true value: check; a false one: do not; str or path-like: with these roots. */
int
core_verify_from(core_state_t *st, PyObject *value, uint32_t *flags, tr_trust_t **trust)
{
    *flags &= ~(uint32_t)TR_OP_NO_VERIFY;
    tr_trust_unref(*trust);
    *trust = NULL;
    if (value == NULL || value == Py_None || value == Py_True) {
        return 0;
    }
    bool is_path = PyUnicode_Check(value) || PyBytes_Check(value) || PyObject_HasAttr(value, st->names.fspath);
    int truth = is_path && !PyUnicode_Check(value) ? 1 : PyObject_IsTrue(value);
    if (truth <= 0) {
        if (truth == 0) {
            *flags |= TR_OP_NO_VERIFY;
        }
        return truth;
    }
    if (!is_path && PyBool_Check(value)) {
        return 0;
    }
    if (!is_path) {
        return verify_from_object(st, value, trust);
    }
    PyObject *path = NULL;
    if (!PyUnicode_FSConverter(value, &path)) {
        if (PyErr_ExceptionMatches(PyExc_ValueError)) {
            PyErr_SetString(PyExc_ValueError, "verify must be True, False or the path of a file or directory of trusted certificates");
        }
        return -1;
    }
    tr_err_t err = TR_ERR_INIT;
    tr_code_t rc;
    Py_BEGIN_ALLOW_THREADS
    rc = tr_trust_shared(trust, PyBytes_AS_STRING(path), &err);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    if (tr_failed(rc)) {
        *trust = NULL;
        core_raise(st, &err);
        return -1;
    }
    return 0;
}

/* NULL: unknown. */
static const tr_profile_t *
find_profile(core_state_t *st, PyObject *value)
{
    tr_slice_t name;
    if (value == NULL || !PyUnicode_Check(value)) {
        return core_profile_of(st, value);
    }
    if (core_text(value, &name, "client_identifier") < 0) {
        PyErr_Clear();
        return NULL;
    }
    return tr_profile_find(name);
}

const tr_profile_t *
core_profile_from(core_state_t *st, PyObject *value)
{
    const tr_profile_t *profile = find_profile(st, value);
    return profile == NULL ? tr_profile_default() : profile;
}

bool
core_profile_is_known(core_state_t *st, PyObject *value)
{
    return !core_is_given(st, value) || find_profile(st, value) != NULL;
}

uint32_t
core_redirects_from(PyObject *value)
{
    if (value == NULL || !PyLong_Check(value)) {
        return TR_MAX_REDIRECTS_DEFAULT;
    }
    int overflow = 0;
    long num = PyLong_AsLongAndOverflow(value, &overflow);
    if (overflow > 0 || num > 10000) {
        return 10000; /* nobody waits for more; bounds the history */
    }
    return overflow < 0 || num < 0 ? 0 : (uint32_t)num;
}

/* settings->profile: of the identifier, with what the persona changes. *known becomes false when the two do not go together. */
static int
take_persona(core_client_t *self, PyObject *identifier, bool *known)
{
    core_state_t *st = self->st;
    settings_t *settings = &self->settings;
    PyObject *persona = self->attrs[ATTR__persona], *made = NULL;
    settings->platform_chosen = false;
    if (core_is_given(st, persona)) {
        PyObject *platform = PyObject_GetAttr(persona, st->names.platform);
        settings->platform_chosen = platform != NULL && platform != Py_None;
        Py_XDECREF(platform);
        PyObject *args[2] = {core_is_given(st, identifier) ? identifier : Py_None, persona};
        made = platform == NULL ? NULL : PyObject_Vectorcall(st->helpers.persona_profile, args, 2, NULL);
        if (made == NULL) {
            return -1;
        }
        *known = *known && made != Py_None;
        identifier = made;
    }
    const tr_profile_t *profile = tr_profile_ref(core_profile_from(st, identifier));
    tr_profile_unref(settings->profile);
    settings->profile = profile;
    Py_XDECREF(made);
    return 0;
}

int
core_client_refresh(core_client_t *self)
{
    core_state_t *st = self->st;
    settings_t *settings = &self->settings;
    PyObject **attrs = self->attrs;
    settings->timeouts = (tr_timeouts_t){.total_ms = DEFAULT_TIMEOUT_MS};
    if (core_is_given(st, attrs[ATTR_timeout]) && core_timeouts_from(st, attrs[ATTR_timeout], &settings->timeouts) < 0) {
        return -1;
    }
    settings->flags = (settings->flags & TR_OP_NO_VERIFY) | core_http2_flags(st, attrs[ATTR_http2]);
    if (self->no_jar) {
        settings->flags |= TR_OP_NO_COOKIES;
    }
    int follow = attrs[ATTR_follow_redirects] == NULL ? 1 : PyObject_IsTrue(attrs[ATTR_follow_redirects]);
    int raises = attrs[ATTR_raise_on_error] == NULL ? 0 : PyObject_IsTrue(attrs[ATTR_raise_on_error]);
    if (follow < 0 || raises < 0) {
        return -1;
    }
    settings->follow = follow > 0;
    settings->raise_on_error = raises > 0;
    settings->max_redirects = core_redirects_from(attrs[ATTR_max_redirects]);
    PyObject *transport = attrs[ATTR__transport];
    bool has_transport = transport != NULL && PyObject_TypeCheck(transport, st->transport_type);
    settings->transport = has_transport ? ((core_transport_t *)transport)->transport : NULL;
    Py_CLEAR(settings->proxy);
    if (core_is_given(st, attrs[ATTR_proxy])) {
        settings->proxy = PyObject_CallOneArg(st->helpers.plain_proxy, attrs[ATTR_proxy]);
        if (settings->proxy == NULL) {
            return -1;
        }
        if (settings->proxy == Py_None) {
            Py_CLEAR(settings->proxy);
        }
    }
    bool no_choice = settings->proxy != NULL || !core_is_given(st, attrs[ATTR_proxy]);
    PyObject *identifier = attrs[ATTR_client_identifier];
    bool is_one = identifier == NULL || PyUnicode_CheckExact(identifier) || identifier == Py_None || core_profile_of(st, identifier) != NULL;
    if (take_persona(self, is_one ? identifier : NULL, &is_one) < 0) {
        return -1;
    }
    settings->direct = (!core_is_given(st, attrs[ATTR_auth]) || core_is_pair(attrs[ATTR_auth])) && no_choice &&
                       !core_is_given(st, attrs[ATTR_stream_id]) &&
                       !core_is_given(st, attrs[ATTR__header_rotator]) && !core_is_given(st, attrs[ATTR__extra]) && is_one;
    self->dirty = false;
    return 0;
}

/* Says whether the class of self is one of the package's, or overrides no step of the chain. */
bool
core_client_untouched(core_client_t *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->overridden) {
        return false;
    }
    if (TR_LIKELY(self->chain_type == type && self->chain_version != 0 && self->chain_version == type->tp_version_tag)) {
        return self->chain_untouched;
    }
    core_state_t *st = self->st;
    bool untouched = false;
    PyObject *mro = Py_XNewRef(type->tp_mro);
    for (Py_ssize_t i = 0; st->chain_classes != NULL && mro != NULL && i < PyTuple_GET_SIZE(mro); i++) {
        PyObject *own = NULL;
        if (PyDict_GetItemRef(st->chain_classes, PyTuple_GET_ITEM(mro, i), &own) <= 0) {
            PyErr_Clear();
            continue;
        }
        untouched = true;
        for (Py_ssize_t k = 0; untouched && k < CHAIN_COUNT; k++) {
            PyObject *method = PyObject_GetAttr((PyObject *)type, st->chain_names[k]);
            PyErr_Clear();
            PyObject *expected = PyTuple_GET_ITEM(own, k);
            untouched = method == expected || (method == NULL && expected == Py_None);
            Py_XDECREF(method);
        }
        Py_DECREF(own);
        break;
    }
    Py_XDECREF(mro);
    self->chain_type = type;
    self->chain_version = type->tp_version_tag;
    self->chain_untouched = untouched;
    return untouched;
}

tr_session_t *
core_client_session(core_client_t *self)
{
    if (self->session == NULL) {
        tr_err_t err = TR_ERR_INIT;
        self->options.jar = self->jar == NULL ? NULL : self->jar->jar;
        self->options.keylog_path = self->keylog == NULL ? NULL : PyBytes_AS_STRING(self->keylog);
        if (tr_failed(tr_session_new(&self->session, &self->options, &err))) {
            self->session = NULL;
            core_raise(self->st, &err);
        }
    }
    return self->session;
}
