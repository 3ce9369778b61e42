/* send: from a call to an op. Two ways:
 *
 *   _verb, _averb             the short way of the verbs: straight from the call's arguments to the engine; when the call needs the Python chain (a
 *                             subclass overrides a step, auth, hooks, rotators, files, ...), they call self.request.
 *   _blocking, _awaitable     the same for `request`, which is the first step of the chain itself: they answer None then.
 *   _perform_*                the end of the Python chain: a finished Request's parts. */
#include "python/client_object.h"

static int
client_check_open(core_client_t *self)
{
    if (self->life == CLIENT_CLOSED) {
        PyErr_SetString(PyExc_RuntimeError, "Cannot send a request, as the client has been closed.");
        return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------------- the short way */

enum {
    ARG_METHOD,
    ARG_URL,
    ARG_PARAMS,
    ARG_HEADERS,
    ARG_COOKIES,
    ARG_AUTH,
    ARG_FOLLOW,
    ARG_TIMEOUT,
    ARG_DATA,
    ARG_FILES,
    ARG_JSON,
    ARG_CONTENT,
    ARG_REST, /* dict of further keywords */
    ARG_COUNT
};

/* True for a str that the URL class would keep as it is: http(s)://, a plain host with an optional port, visible ASCII. */
static bool
url_is_plain(PyObject *url)
{
    if (!PyUnicode_CheckExact(url) || !PyUnicode_IS_COMPACT_ASCII(url)) {
        return false;
    }
    const char *text = PyUnicode_DATA(url);
    size_t len = (size_t)PyUnicode_GET_LENGTH(url), at;
    if (len > 8 && memcmp(text, "https://", 8) == 0) {
        at = 8;
    } else if (len > 7 && memcmp(text, "http://", 7) == 0) {
        at = 7;
    } else {
        return false;
    }
    size_t start = at, colons = 0;
    for (; at < len; at++) {
        char c = text[at];
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-') {
            if (colons > 0 && !(c >= '0' && c <= '9')) {
                return false;
            }
        } else if (c == ':') {
            colons++;
        } else if (c == '/' || c == '?' || c == '#') {
            break;
        } else {
            return false;
        }
    }
    if (at == start || colons > 1 || text[start] == '-' || text[start] == '.' || text[at - 1] == '-' || text[at - 1] == ':') {
        return false;
    }
    size_t label = 0; /* RFC 1035 2.3.4; a port is never as long */
    for (size_t i = start; i < at; i++) {
        char next = i + 1 < at ? text[i + 1] : '/';
        if ((text[i] == '.' || text[i] == '-') && (next == '.' || next == ':')) {
            return false;
        }
        label = text[i] == '.' ? 0 : label + 1;
        if ((text[i] == '.' && next == '-') || label > 63 || i - start >= 253) {
            return false;
        }
    }
    for (; at < len; at++) {
        if (text[at] <= ' ' || text[at] == 0x7f) {
            return false;
        }
    }
    /* An empty query or fragment is dropped by the URL class. */
    return text[len - 1] != '?' && text[len - 1] != '#';
}

/* An object with a length of zero, or none at all. -1: raised. */
static int
is_empty(core_state_t *st, PyObject *value)
{
    if (!core_is_given(st, value)) {
        return 1;
    }
    Py_ssize_t len = PyObject_Size(value);
    return len < 0 ? -1 : len == 0;
}

#define COOKIES_SMALL 16

typedef struct call {
    core_fields_t fields;
    tr_cookie_t *cookies, small[COOKIES_SMALL];
    PyObject *routes; /* reference; NULL: no proxy */
    tr_op_request_t request;
    tr_op_file_t file; /* request.file points to it when there is one */
    const tr_profile_t *profile; /* reference: the client may be given another one meanwhile */
    bool platform_chosen; /* an option chose the profile's platform */
} call_t;

static void
call_cleanup(call_t *call)
{
    core_fields_cleanup(&call->fields);
    Py_XDECREF(call->routes);
    tr_profile_unref(call->profile);
    if (call->cookies != call->small) {
        PyMem_Free(call->cookies);
    }
}

/* Plain cookies: a dict of str to str. 1, 0 (another kind), -1. */
static int
call_add_cookies(core_state_t *st, call_t *call, PyObject *source)
{
    if (!PyDict_CheckExact(source)) {
        return 0;
    }
    size_t num = (size_t)PyDict_GET_SIZE(source);
    if (num > COOKIES_SMALL) {
        call->cookies = PyMem_New(tr_cookie_t, num);
        if (call->cookies == NULL) {
            call->cookies = call->small;
            PyErr_NoMemory();
            return -1;
        }
    }
    PyObject *key, *value;
    Py_ssize_t at = 0;
    int rc = 1;
    size_t len = 0;
    while (rc == 1 && len < num && PyDict_Next(source, &at, &key, &value)) {
        tr_cookie_t *cookie = &call->cookies[len++];
        *cookie = (tr_cookie_t){.domain = TR_SLICE_LIT(""), .path = TR_SLICE_LIT("/")};
        if (!PyUnicode_Check(key) || !PyUnicode_Check(value)) {
            rc = 0;
        } else if (core_field_text(st, key, &cookie->name, "a cookie name") < 0 ||
                   core_field_text(st, value, &cookie->value, "a cookie value") < 0) {
            rc = -1;
        }
    }
    call->request.cookies = call->cookies;
    call->request.num_cookies = len;
    return rc;
}

/* (bytes, content type or None) of the package's encoder. */
static int
take_encoded(call_t *call, core_op_t *op, PyObject *encoded)
{
    if (!PyTuple_Check(encoded) || PyTuple_GET_SIZE(encoded) != 2 || !PyBytes_CheckExact(PyTuple_GET_ITEM(encoded, 0))) {
        PyErr_SetString(PyExc_TypeError, "the encoder must return bytes and a content type");
        return -1;
    }
    PyObject *type = PyTuple_GET_ITEM(encoded, 1);
    op->body = Py_NewRef(PyTuple_GET_ITEM(encoded, 0));
    if (type == Py_None) {
        return 0;
    }
    /* The text must outlive the tuple until tr_op_prepare has copied it. */
    return core_text(type, &call->request.body_type, "a content type") < 0 ? -1 : core_fields_keep(&call->fields, type);
}

/* The body from data, json or content. 1 (self->body set when there is one), 0 (needs an encoder of the package), -1. */
static int
call_add_body(core_client_t *self, call_t *call, core_op_t *op, PyObject *const *args)
{
    core_state_t *st = self->st;
    PyObject *data = args[ARG_DATA], *json = args[ARG_JSON], *content = args[ARG_CONTENT];
    if (core_is_given(st, args[ARG_FILES])) {
        return 0;
    }
    if (core_is_given(st, content)) {
        if (core_is_given(st, data) || core_is_given(st, json)) {
            return 0;
        }
        data = content;
    }
    if (core_is_given(st, data)) {
        if (PyBytes_CheckExact(data)) {
            op->body = Py_NewRef(data);
        } else if (PyUnicode_CheckExact(data)) {
            op->body = PyUnicode_AsUTF8String(data);
            if (op->body == NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
                PyErr_Clear();
                PyErr_Format(PyExc_TypeError, "%s is not valid Unicode: surrogates not allowed.", data == content ? "content" : "data");
            }
            if (data != content) {
                call->request.body_type = TR_SLICE_LIT("application/x-www-form-urlencoded");
            }
        } else if (data != content) {
            PyObject *encoded = PyObject_CallOneArg(st->helpers.encode_data, data);
            if (encoded == Py_None) {
                Py_DECREF(encoded);
                return 0;
            }
            if (encoded == NULL || take_encoded(call, op, encoded) < 0) {
                Py_XDECREF(encoded);
                return -1;
            }
            Py_DECREF(encoded);
        } else {
            return 0;
        }
    } else if (core_is_given(st, json)) {
        if (st->helpers.encode_json == NULL) {
            return 0;
        }
        op->body = PyObject_CallOneArg(st->helpers.encode_json, json);
        if (op->body != NULL && !PyBytes_CheckExact(op->body)) {
            Py_CLEAR(op->body);
            PyErr_SetString(PyExc_TypeError, "the JSON encoder must return bytes");
        }
        call->request.body_type = TR_SLICE_LIT("application/json");
    } else {
        return 1;
    }
    if (op->body == NULL) {
        return -1;
    }
    call->request.has_body = true;
    call->request.body = tr_slice(PyBytes_AS_STRING(op->body), (size_t)PyBytes_GET_SIZE(op->body));
    call->request.body_owner = op;
    return 1;
}

/* What of the settings goes into each request. */
static void
call_take_settings(core_client_t *self, call_t *call)
{
    const settings_t *settings = &self->settings;
    tr_op_request_t *request = &call->request;
    call->profile = request->profile = tr_profile_ref(settings->profile);
    call->platform_chosen = settings->platform_chosen;
    request->trust = settings->trust;
    request->transport = settings->transport;
    request->timeouts = settings->timeouts;
    request->flags = settings->flags | (settings->follow ? TR_OP_FOLLOW_REDIRECTS : 0);
    request->max_redirects = settings->max_redirects;
    request->kind = (tr_kind_t)self->kind;
}

/* What the caller's fields say about the browser. */
typedef struct hints {
    tr_slice_t agent, brands, platform, mobile;
    bool any; /* of the last three */
} hints_t;

static hints_t
hints_of(const core_fields_t *fields)
{
    hints_t hints = {TR_SLICE_NULL, TR_SLICE_NULL, TR_SLICE_NULL, TR_SLICE_NULL, false};
    for (size_t i = 0; i < fields->len; i++) {
        const tr_field_t *field = &fields->at[i];
        tr_slice_t *hint = NULL;
        switch (field->name.len) {
        case 9:
            hint = tr_slice_ieq(field->name, TR_SLICE_LIT("sec-ch-ua")) ? &hints.brands : NULL;
            break;
        case 10:
            if (field->value.data != NULL && tr_slice_ieq(field->name, TR_SLICE_LIT("user-agent"))) {
                hints.agent = field->value;
            }
            break;
        case 16:
            hint = tr_slice_ieq(field->name, TR_SLICE_LIT("sec-ch-ua-mobile")) ? &hints.mobile : NULL;
            break;
        case 18:
            hint = tr_slice_ieq(field->name, TR_SLICE_LIT("sec-ch-ua-platform")) ? &hints.platform : NULL;
            break;
        default:
            break;
        }
        if (hint != NULL && field->value.data != NULL) {
            *hint = field->value;
            hints.any = true;
        }
    }
    return hints;
}

static PyObject *
text_or_none(tr_slice_t text)
{
    return text.data == NULL ? Py_NewRef(Py_None) : core_str(text);
}

/* Warns where the hints of the caller's contradict the user agent that goes out with them, his own or the browser's. */
static int
check_hints(core_client_t *self, const call_t *call, const hints_t *hints)
{
    const tr_profile_t *profile = call->request.profile == NULL ? tr_profile_default() : call->request.profile;
    tr_slice_t agent = hints->agent;
    if (self->st->helpers.check_hints == NULL) {
        return 0;
    }
    if (agent.data == NULL && !self->no_browser_headers && profile->user_agent != NULL) {
        agent = tr_slice_cstr(profile->user_agent);
    }
    tr_slice_t chosen = call->platform_chosen ? tr_slice_cstr(profile->os) : TR_SLICE_NULL;
    PyObject *args[5] = {text_or_none(agent), text_or_none(hints->brands), text_or_none(hints->platform), text_or_none(hints->mobile),
                         text_or_none(chosen)};
    PyObject *done = NULL;
    if (args[0] != NULL && args[1] != NULL && args[2] != NULL && args[3] != NULL && args[4] != NULL) {
        done = PyObject_Vectorcall(self->st->helpers.check_hints, args, 5, NULL);
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(args); i++) {
        Py_XDECREF(args[i]);
    }
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* The way through the client's one proxy. */
static int
call_take_proxy(core_client_t *self, call_t *call, core_op_t *op)
{
    PyObject *proxy = Py_NewRef(self->settings.proxy);
    op->proxy = proxy;
    call->routes = PyObject_GetAttr(proxy, self->st->names.routes);
    if (call->routes == Py_None) {
        Py_SETREF(call->routes, PyObject_CallMethodNoArgs(proxy, self->st->names.engine));
    }
    if (call->routes == NULL) {
        return -1;
    }
    if (!PyObject_TypeCheck(call->routes, self->st->routes_type)) {
        PyErr_SetString(PyExc_TypeError, "Proxy._engine must return ProxyRoutes");
        return -1;
    }
    PyObject *done = PyObject_CallMethodNoArgs(proxy, self->st->names.mark_used);
    if (done == NULL) {
        return -1;
    }
    Py_DECREF(done);
    call->request.routes = ((core_routes_t *)call->routes)->routes;
    return 0;
}

/* Hands the request to tr_op_prepare. A failure becomes the op's. */
static int
call_prepare(core_client_t *self, call_t *call, core_op_t *op)
{
    tr_err_t err = TR_ERR_INIT;
    tr_op_request_t *request = &call->request;
    request->headers = call->fields.at;
    request->num_headers = call->fields.len;
    hints_t hints = hints_of(&call->fields);
    if (self->no_browser_headers || hints.agent.data != NULL) {
        request->flags |= TR_OP_EXACT_HEADERS;
    }
    if (TR_UNLIKELY(hints.any || (hints.agent.data != NULL && call->platform_chosen)) && check_hints(self, call, &hints) < 0) {
        return -1;
    }
    tr_code_t rc = tr_op_prepare(op->op, request, &err);
    return tr_failed(rc) ? core_op_fail(op, &err) : 0;
}

/* Builds the op of a verb's call. 1 with *out, 0 when the Python chain must do it, -1. */
static int
send_build(core_client_t *self, PyObject *const *args, core_op_t **out)
{
    core_state_t *st = self->st;
    PyObject **attrs = self->attrs;
    *out = NULL;
    if (self->dirty && core_client_refresh(self) < 0) {
        return -1;
    }
    PyObject *hooks = attrs[ATTR__hooks];
    if (!self->settings.direct || st->diverted || (hooks != NULL && hooks != Py_None && (!PyDict_Check(hooks) || PyDict_GET_SIZE(hooks) != 0)) ||
        !core_client_untouched(self) || (core_is_given(st, args[ARG_AUTH]) && !core_is_pair(args[ARG_AUTH])) ||
        (args[ARG_REST] != Py_None && PyDict_GET_SIZE(args[ARG_REST]) != 0)) {
        return 0;
    }
    if (client_check_open(self) < 0) {
        return -1;
    }
    call_t call;
    int rc = 0;
    core_op_t *op = NULL;
    core_fields_init(&call.fields);
    call.cookies = call.small;
    call.routes = NULL;
    memset(&call.request, 0, sizeof(call.request));
    call.profile = NULL;
    if (core_is_given(st, attrs[ATTR__headers]) && (rc = core_fields_add(st, &call.fields, attrs[ATTR__headers], attrs[ATTR__spelled])) <= 0) {
        goto done;
    }
    if (core_is_given(st, args[ARG_HEADERS]) && (rc = core_fields_add(st, &call.fields, args[ARG_HEADERS], NULL)) <= 0) {
        goto done;
    }
    if (core_is_given(st, args[ARG_COOKIES]) && (rc = call_add_cookies(self->st, &call, args[ARG_COOKIES])) <= 0) {
        goto done;
    }
    rc = -1;
    PyObject *auth = core_is_given(st, args[ARG_AUTH]) ? args[ARG_AUTH] : attrs[ATTR_auth];
    if (core_is_given(st, auth)) {
        PyObject *value = PyObject_CallOneArg(st->helpers.basic_auth, auth);
        int failed = value == NULL ? -1 : core_fields_set(&call.fields, "authorization", value);
        Py_XDECREF(value);
        if (failed < 0) {
            goto done;
        }
    }
    call_take_settings(self, &call);
    if (core_is_given(st, args[ARG_FOLLOW])) {
        int follow = PyObject_IsTrue(args[ARG_FOLLOW]);
        if (follow < 0) {
            goto done;
        }
        call.request.flags = follow ? call.request.flags | TR_OP_FOLLOW_REDIRECTS
                                    : call.request.flags & ~(uint32_t)TR_OP_FOLLOW_REDIRECTS;
    }
    if (core_is_given(st, args[ARG_TIMEOUT]) && core_timeouts_from(st, args[ARG_TIMEOUT], &call.request.timeouts) < 0) {
        goto done;
    }
    tr_session_t *session = core_client_session(self);
    if (session == NULL || (op = core_op_new(st, session)) == NULL) {
        goto done;
    }
    rc = call_add_body(self, &call, op, args);
    if (rc <= 0) {
        goto done;
    }
    rc = -1;
    if (self->settings.proxy != NULL && call_take_proxy(self, &call, op) < 0) {
        goto done;
    }
    PyObject *url = args[ARG_URL];
    int no_params = is_empty(st, args[ARG_PARAMS]), no_client_params = is_empty(st, attrs[ATTR__params]);
    if (no_params < 0 || no_client_params < 0) {
        /* Something without a length: the package says what is wrong with it. */
        PyErr_Clear();
        no_params = 0;
    }
    bool plain = no_params > 0 && no_client_params > 0 && url_is_plain(url);
    if (plain) {
        op->url = Py_NewRef(url);
    } else {
        PyObject *helper_args[4] = {url, core_is_given(st, args[ARG_PARAMS]) ? args[ARG_PARAMS] : Py_None,
                                    core_is_given(st, attrs[ATTR__params]) ? attrs[ATTR__params] : Py_None,
                                    url_is_plain(url) ? Py_True : Py_False};
        op->url = PyObject_Vectorcall(st->helpers.normalize_url, helper_args, 4, NULL);
        if (op->url == NULL) {
            goto done;
        }
    }
    op->method = Py_NewRef(args[ARG_METHOD]);
    op->encoding = Py_XNewRef(attrs[ATTR_encoding]);
    op->timeout = Py_XNewRef(core_is_given(st, args[ARG_TIMEOUT]) ? args[ARG_TIMEOUT] : attrs[ATTR_timeout]);
    op->raise_on_error = self->settings.raise_on_error;
    if (!core_is_given(st, attrs[ATTR__session_id])) {
        PyObject *id = PyObject_CallOneArg(st->helpers.session_id, (PyObject *)self);
        if (id == NULL) {
            goto done;
        }
        Py_XSETREF(attrs[ATTR__session_id], id);
    }
    op->info = Py_NewRef(attrs[ATTR__session_id]);
    if (core_text(op->method, &call.request.method, "method") < 0 || core_text(op->url, &call.request.url, "url") < 0 ||
        call_prepare(self, &call, op) < 0) {
        goto done;
    }
    if (plain && op->error != NULL && op->error->code == TR_ERR_URL_INVALID) {
        /* What the URL class refuses is raised, whichever way it was found. */
        PyObject *text = PyObject_CallFunctionObjArgs(st->helpers.normalize_url, url, Py_None, Py_None, NULL);
        if (text == NULL) {
            goto done;
        }
        Py_DECREF(text);
    }
    rc = 1;
    self->life = CLIENT_OPENED;
    *out = op;
    op = NULL;
done:
    Py_XDECREF(op);
    call_cleanup(&call);
    return rc;
}

static int
check_num_args(Py_ssize_t num, Py_ssize_t expected, const char *name)
{
    if (num != expected) {
        PyErr_Format(PyExc_TypeError, "%s takes %zd arguments, not %zd", name, expected, num);
        return -1;
    }
    return 0;
}

PyObject *
core_send_blocking(PyObject *obj, PyObject *const *args, Py_ssize_t num)
{
    core_op_t *op;
    if (check_num_args(num, ARG_COUNT, "_blocking") < 0) {
        return NULL;
    }
    int rc = send_build((core_client_t *)obj, args, &op);
    if (rc <= 0) {
        return rc < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *response = core_op_run_blocking(op);
    Py_DECREF(op);
    return response;
}

/* The op, submitted: an op that failed before answers at once when it is awaited. */
static PyObject *
start(core_op_t *op)
{
    if (op->state == OP_NEW && core_op_start(op) < 0) {
        Py_CLEAR(op);
    }
    return (PyObject *)op;
}

PyObject *
core_send_awaitable(PyObject *obj, PyObject *const *args, Py_ssize_t num)
{
    core_op_t *op;
    if (check_num_args(num, ARG_COUNT, "_awaitable") < 0) {
        return NULL;
    }
    int rc = send_build((core_client_t *)obj, args, &op);
    return rc < 0 ? NULL : rc == 0 ? Py_NewRef(Py_None) : start(op);
}

/* What a verb hands over: the arguments up to the time-out, the further keywords, and the four of a body where the verb has one. */
enum { VERB_PLAIN = ARG_TIMEOUT + 2, VERB_BODY = VERB_PLAIN + ARG_REST - ARG_DATA };

static int
verb_arguments(core_client_t *self, PyObject *const *args, Py_ssize_t num, PyObject **full)
{
    if (num != VERB_PLAIN && check_num_args(num, VERB_BODY, "a verb") < 0) {
        return -1;
    }
    for (size_t i = 0; i <= ARG_TIMEOUT; i++) {
        full[i] = args[i];
    }
    full[ARG_REST] = args[ARG_TIMEOUT + 1];
    for (size_t i = ARG_DATA; i < ARG_REST; i++) {
        full[i] = num == VERB_BODY ? args[i + 1] : self->st->not_given;
    }
    return 0;
}

/* The verb by the chain: self.request(method, url, ...) with what was given. */
static PyObject *
verb_chain(PyObject *self, PyObject **full)
{
    static const char *const names[ARG_REST] = {[ARG_PARAMS] = "params",   [ARG_HEADERS] = "headers", [ARG_COOKIES] = "cookies",
                                                [ARG_AUTH] = "auth",       [ARG_FOLLOW] = "follow_redirects",
                                                [ARG_TIMEOUT] = "timeout", [ARG_DATA] = "data",       [ARG_FILES] = "files",
                                                [ARG_JSON] = "json",       [ARG_CONTENT] = "content"};
    core_state_t *st = ((core_client_t *)self)->st;
    PyObject *result = NULL, *method = PyObject_GetAttr(self, st->chain_names[CHAIN_request]);
    PyObject *given = full[ARG_REST] == Py_None ? PyDict_New() : PyDict_Copy(full[ARG_REST]);
    PyObject *positional = PyTuple_Pack(2, full[ARG_METHOD], full[ARG_URL]);
    if (method == NULL || given == NULL || positional == NULL) {
        goto done;
    }
    for (size_t i = ARG_PARAMS; i < ARG_REST; i++) {
        if (full[i] != st->not_given && PyDict_SetItemString(given, names[i], full[i]) < 0) {
            goto done;
        }
    }
    result = PyObject_Call(method, positional, given);
done:
    Py_XDECREF(method);
    Py_XDECREF(given);
    Py_XDECREF(positional);
    return result;
}

PyObject *
core_send_verb(PyObject *obj, PyObject *const *args, Py_ssize_t num)
{
    PyObject *full[ARG_COUNT];
    if (verb_arguments((core_client_t *)obj, args, num, full) < 0) {
        return NULL;
    }
    core_op_t *op;
    int rc = send_build((core_client_t *)obj, full, &op);
    if (rc <= 0) {
        return rc < 0 ? NULL : verb_chain(obj, full);
    }
    PyObject *response = core_op_run_blocking(op);
    Py_DECREF(op);
    return response;
}

PyObject *
core_send_averb(PyObject *obj, PyObject *const *args, Py_ssize_t num)
{
    PyObject *full[ARG_COUNT];
    if (verb_arguments((core_client_t *)obj, args, num, full) < 0) {
        return NULL;
    }
    core_op_t *op;
    int rc = send_build((core_client_t *)obj, full, &op);
    return rc < 0 ? NULL : rc == 0 ? verb_chain(obj, full) : start(op);
}

/* -------------------------------------------------------------------------------------------------------- the long way */

/* options[name], borrowed while options lives; NULL: absent or None. */
static PyObject *
option(PyObject *options, const char *name)
{
    PyObject *value = PyDict_GetItemString(options, name);
    return value == Py_None ? NULL : value;
}

typedef struct order {
    const char **names;
    PyObject *list; /* owns the texts */
} order_t;

static int
order_from(PyObject *source, order_t *order, call_t *call)
{
    order->list = PySequence_List(source);
    if (order->list == NULL) {
        return -1;
    }
    Py_ssize_t num = PyList_GET_SIZE(order->list);
    order->names = PyMem_New(const char *, (size_t)num + 1);
    if (order->names == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < num; i++) {
        order->names[i] = PyUnicode_Check(PyList_GET_ITEM(order->list, i)) ? PyUnicode_AsUTF8(PyList_GET_ITEM(order->list, i)) : NULL;
        if (order->names[i] == NULL) {
            if (!PyErr_Occurred()) {
                PyErr_SetString(PyExc_TypeError, "header_order must be a sequence of str");
            }
            return -1;
        }
    }
    call->request.header_order = order->names;
    call->request.num_header_order = (size_t)num;
    return 0;
}

/* Cookies of a finished request: tuples as the jar's items give them. */
static int
call_take_cookies(core_state_t *st, call_t *call, PyObject *cookies)
{
    Py_ssize_t num = PyList_GET_SIZE(cookies);
    if (num > COOKIES_SMALL) {
        call->cookies = PyMem_New(tr_cookie_t, (size_t)num);
        if (call->cookies == NULL) {
            call->cookies = call->small;
            PyErr_NoMemory();
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < num; i++) {
        tr_cookie_t *cookie = &call->cookies[i];
        PyObject *name, *value, *domain, *path;
        long long expires;
        unsigned int flags;
        *cookie = (tr_cookie_t){.flags = 0};
        if (!PyArg_ParseTuple(PyList_GET_ITEM(cookies, i), "OOOOLI", &name, &value, &domain, &path, &expires, &flags) ||
            core_field_text(st, name, &cookie->name, "a cookie name") < 0 ||
            core_field_text(st, value, &cookie->value, "a cookie value") < 0 ||
            core_field_text(st, domain, &cookie->domain, "a cookie domain") < 0 ||
            core_field_text(st, path, &cookie->path, "a cookie path") < 0) {
            return -1;
        }
        cookie->expires_s = expires;
        cookie->flags = flags;
    }
    call->request.cookies = call->cookies;
    call->request.num_cookies = (size_t)num;
    return 0;
}

/* The file that the body goes into: (descriptor, block, tail), lent until the request is prepared. */
static int
call_take_output(call_t *call, PyObject *output)
{
    PyObject *tail;
    Py_ssize_t block;
    tr_op_file_t *file = &call->file;
    *file = (tr_op_file_t){.max_len = UINT64_MAX};
    if (!PyArg_ParseTuple(output, "inS:output", &file->fd, &block, &tail)) {
        return -1;
    }
    file->block = (size_t)TR_MIN(TR_MAX(block, 0), (Py_ssize_t)TR_FILE_MAX_BLOCK);
    file->tail = tr_slice(PyBytes_AS_STRING(tail), (size_t)PyBytes_GET_SIZE(tail));
    call->request.file = file;
    return 0;
}

/* What a request says differently from its client. trust: reference, given back. */
static int
call_take_options(core_client_t *self, call_t *call, core_op_t *op, PyObject *options, tr_trust_t **trust)
{
    core_state_t *st = self->st;
    tr_op_request_t *request = &call->request;
    PyObject *value;
    if ((value = option(options, "timeout")) != NULL && core_timeouts_from(st, value, &request->timeouts) < 0) {
        return -1;
    }
    if ((value = option(options, "follow_redirects")) != NULL) {
        request->flags = PyObject_IsTrue(value) > 0 ? request->flags | TR_OP_FOLLOW_REDIRECTS
                                                    : request->flags & ~(uint32_t)TR_OP_FOLLOW_REDIRECTS;
    }
    if ((value = option(options, "max_redirects")) != NULL) {
        request->max_redirects = core_redirects_from(value);
    }
    if ((value = PyDict_GetItemString(options, "http2")) != NULL) {
        request->flags = (request->flags & ~(uint32_t)(TR_OP_HTTP1_ONLY | TR_OP_HTTP2_ASKED)) | core_http2_flags(st, value);
    }
    if ((value = PyDict_GetItemString(options, "verify")) != NULL) {
        if (core_verify_from(st, value, &request->flags, trust) < 0) {
            return -1;
        }
        request->trust = *trust;
    }
    if ((value = option(options, "transport")) != NULL && PyObject_TypeCheck(value, st->transport_type)) {
        request->transport = ((core_transport_t *)value)->transport; /* lent by the options until the request is prepared */
    }
    if ((value = option(options, "client_identifier")) != NULL) {
        request->profile = core_profile_from(self->st, value);
    }
    if ((value = option(options, "platform_chosen")) != NULL) {
        call->platform_chosen = PyObject_IsTrue(value) > 0;
    }
    if ((value = option(options, "raise_on_error")) != NULL) {
        op->raise_on_error = PyObject_IsTrue(value) > 0;
    }
    if ((value = option(options, "exact_headers")) != NULL && PyObject_IsTrue(value) > 0) {
        request->flags |= TR_OP_EXACT_HEADERS;
    }
    if ((value = option(options, "routes")) != NULL) {
        if (!PyObject_TypeCheck(value, st->routes_type)) {
            PyErr_SetString(PyExc_TypeError, "routes must be ProxyRoutes");
            return -1;
        }
        call->routes = Py_NewRef(value);
        request->routes = ((core_routes_t *)value)->routes;
    }
    if ((value = option(options, "new_tunnel")) != NULL && PyObject_IsTrue(value) > 0) {
        request->flags |= TR_OP_NEW_TUNNEL;
    }
    if ((value = PyDict_GetItemString(options, "early_data")) != NULL && PyObject_IsTrue(value) == 0) {
        request->flags |= TR_OP_NO_EARLY;
    }
    if ((value = option(options, "no_cookies")) != NULL && PyObject_IsTrue(value) > 0) {
        request->flags |= TR_OP_NO_COOKIES;
    }
    if ((value = option(options, "no_decode")) != NULL && PyObject_IsTrue(value) > 0) {
        request->flags |= TR_OP_NO_DECODE;
    }
    if ((value = option(options, "kind")) != NULL) {
        unsigned long kind = PyLong_AsUnsignedLong(value);
        if (kind == (unsigned long)-1 && PyErr_Occurred()) {
            return -1;
        }
        request->kind = kind < TR_KIND_COUNT ? (tr_kind_t)kind : TR_KIND_AUTO;
    }
    if ((value = option(options, "credentials")) != NULL) {
        unsigned long credentials = PyLong_AsUnsignedLong(value);
        if (credentials == (unsigned long)-1 && PyErr_Occurred()) {
            return -1;
        }
        request->credentials = (tr_credentials_t)TR_MIN(credentials, (unsigned long)TR_CREDENTIALS_INCLUDE);
    }
    if (((value = option(options, "page")) != NULL && core_text(value, &request->page, "page") < 0) ||
        ((value = option(options, "referrer")) != NULL && core_text(value, &request->referrer, "referrer") < 0) ||
        ((value = option(options, "referrer_policy")) != NULL && core_text(value, &request->referrer_policy, "referrer_policy") < 0) ||
        ((value = option(options, "origin")) != NULL && core_text(value, &request->origin, "origin") < 0)) {
        return -1;
    }
    request->no_referrer = (value = option(options, "no_referrer")) != NULL && PyObject_IsTrue(value) > 0;
    if ((value = option(options, "stream")) != NULL && PyObject_IsTrue(value) > 0) {
        request->flags |= TR_OP_STREAM;
    }
    if ((value = option(options, "to_file")) != NULL && PyObject_IsTrue(value) > 0) {
        request->flags |= TR_OP_TO_FILE;
    }
    if ((value = option(options, "output")) != NULL && call_take_output(call, value) < 0) {
        return -1;
    }
    if ((value = option(options, "head_limit")) != NULL && PyObject_IsTrue(value) > 0) {
        request->flags |= TR_OP_HEAD_LIMIT;
    }
    if ((value = option(options, "duplex")) != NULL && PyObject_IsTrue(value) > 0) {
        request->flags |= TR_OP_DUPLEX;
    }
    if ((value = option(options, "stall_limit")) != NULL && PyObject_IsTrue(value) > 0) {
        request->flags |= TR_OP_STALL_LIMIT;
    }
    if ((value = PyDict_GetItemString(options, "encoding")) != NULL) {
        Py_XSETREF(op->encoding, Py_NewRef(value));
    }
    return PyErr_Occurred() ? -1 : 0;
}

/* A body that is there: bytes or another buffer, lent until the op is gone; or (length, rewinds): one that will be written. */
static int
call_take_body(call_t *call, core_op_t *op, PyObject *body)
{
    tr_op_request_t *request = &call->request;
    request->has_body = true;
    if (PyTuple_CheckExact(body)) {
        long long len;
        int rewinds;
        if (!PyArg_ParseTuple(body, "Lp;a body that is written is (length, rewinds)", &len, &rewinds)) {
            return -1;
        }
        request->body_written = true;
        request->body_rewinds = rewinds != 0;
        request->body_len = len < 0 ? -1 : len;
        return 0;
    }
    if (PyBytes_Check(body)) {
        op->body = Py_NewRef(body);
        request->body = tr_slice(PyBytes_AS_STRING(body), (size_t)PyBytes_GET_SIZE(body));
    } else {
        if (PyObject_GetBuffer(body, &op->view, PyBUF_SIMPLE) < 0) {
            return -1;
        }
        request->body = tr_slice(op->view.buf, (size_t)op->view.len);
    }
    request->body_owner = op;
    return 0;
}

/* What _perform makes of its arguments: an op that is ready, or has failed already. */
static core_op_t *
send_perform(core_client_t *self, PyObject *args)
{
    PyObject *request, *method, *url, *headers, *cookies, *body, *body_type, *options;
    core_op_t *op = NULL, *result = NULL;
    tr_trust_t *trust = NULL;
    order_t order = {NULL, NULL};
    call_t call;
    core_fields_init(&call.fields);
    call.cookies = call.small;
    call.routes = NULL;
    memset(&call.request, 0, sizeof(call.request));
    call.profile = NULL;
    if (!PyArg_ParseTuple(args, "OUUOO!OOO!:_perform", &request, &method, &url, &headers, &PyList_Type, &cookies, &body, &body_type,
                          &PyDict_Type, &options) ||
        client_check_open(self) < 0 || (self->dirty && core_client_refresh(self) < 0)) {
        goto done;
    }
    tr_session_t *session = core_client_session(self);
    if (session == NULL || (op = core_op_new(self->st, session)) == NULL) {
        goto done;
    }
    op->method = Py_NewRef(method);
    op->url = Py_NewRef(url);
    op->request = request == Py_None ? NULL : Py_NewRef(request);
    op->encoding = Py_XNewRef(self->attrs[ATTR_encoding]);
    op->raise_on_error = self->settings.raise_on_error;
    call_take_settings(self, &call);
    if (core_fields_add_pairs(self->st, &call.fields, headers) < 0 || call_take_cookies(self->st, &call, cookies) < 0 ||
        call_take_options(self, &call, op, options, &trust) < 0 ||
        (body_type != Py_None && core_field_text(self->st, body_type, &call.request.body_type, "the content type") < 0) ||
        core_text(method, &call.request.method, "method") < 0 || core_text(url, &call.request.url, "url") < 0) {
        goto done;
    }
    PyObject *header_order = option(options, "header_order");
    if (header_order != NULL && order_from(header_order, &order, &call) < 0) {
        goto done;
    }
    if (body != Py_None && call_take_body(&call, op, body) < 0) {
        goto done;
    }
    if (call_prepare(self, &call, op) < 0) {
        goto done;
    }
    self->life = CLIENT_OPENED;
    result = op;
    op = NULL;
done:
    Py_XDECREF(op);
    tr_trust_unref(trust);
    PyMem_Free((void *)order.names);
    Py_XDECREF(order.list);
    call_cleanup(&call);
    return result;
}

PyObject *
core_send_perform_blocking(PyObject *obj, PyObject *args)
{
    core_op_t *op = send_perform((core_client_t *)obj, args);
    if (op == NULL) {
        return NULL;
    }
    PyObject *response = core_op_run_blocking(op);
    Py_DECREF(op);
    return response;
}

PyObject *
core_send_perform_open(PyObject *obj, PyObject *args)
{
    return (PyObject *)send_perform((core_client_t *)obj, args);
}

PyObject *
core_send_perform_awaitable(PyObject *obj, PyObject *args)
{
    core_op_t *op = send_perform((core_client_t *)obj, args);
    return op == NULL ? NULL : start(op);
}

PyObject *
core_send_failure(PyObject *obj, PyObject *args)
{
    core_client_t *self = (core_client_t *)obj;
    PyObject *request, *method, *url;
    const char *name, *message;
    if (!PyArg_ParseTuple(args, "OUUss:_failure", &request, &method, &url, &name, &message)) {
        return NULL;
    }
    tr_code_t code = TR_ERR_INTERNAL;
#define TR_ERROR(row, scope, exception, sentence)                                                                      \
    if (strcmp(name, #row) == 0) {                                                                                     \
        code = TR_ERR_##row;                                                                                           \
    }
#include "core/errors.def"
#undef TR_ERROR
    if (self->dirty && core_client_refresh(self) < 0) {
        return NULL;
    }
    tr_session_t *session = core_client_session(self);
    core_op_t *op = session == NULL ? NULL : core_op_new(self->st, session);
    if (op == NULL) {
        return NULL;
    }
    tr_err_t err = TR_ERR_INIT;
    tr_err_set(&err, code, 0, "client", "%s", message);
    op->method = Py_NewRef(method);
    op->url = Py_NewRef(url);
    op->request = request == Py_None ? NULL : Py_NewRef(request);
    op->encoding = Py_XNewRef(self->attrs[ATTR_encoding]);
    op->raise_on_error = self->settings.raise_on_error;
    PyObject *response = core_op_fail(op, &err) < 0 ? NULL : core_response_new(op);
    Py_DECREF(op);
    return response;
}
