#include "client/initiator.h"

#include "client/op.h"
#include "client/psl.h"
#include "crypto/rand.h"

static bool
is_method(tr_slice_t method, const char *name)
{
    return tr_slice_eq(method, tr_slice_cstr(name));
}

static bool
starts_with(tr_slice_t text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && tr_slice_ieq(tr_slice(text.data, len), tr_slice(prefix, len));
}

/* --------------------------------------------------------------------------------------------------------------- the kind */

static tr_slice_t
content_type(const tr_op_t *op)
{
    tr_slice_t type = op->ask.body_type;
    for (size_t i = 0; i < op->ask.num_headers; i++) {
        if (tr_slice_ieq(op->ask.headers[i].name, TR_SLICE_LIT("content-type")) && op->ask.headers[i].value.data != NULL) {
            type = op->ask.headers[i].value;
        }
    }
    return type;
}

/* A page can be visited with GET, or with POST by a form, whose body has one of two types here (HTML, "form submission"; the third,
 * text/plain, is no more usual than a script's). Everything else is a script's doing. */
static tr_kind_t
kind_of_call(const tr_op_t *op)
{
    if (!op->ask.has_body) {
        return is_method(op->ask.method, "GET") ? TR_KIND_NAVIGATE : TR_KIND_FETCH;
    }
    tr_slice_t type = content_type(op);
    bool form = starts_with(type, "application/x-www-form-urlencoded") || starts_with(type, "multipart/form-data");
    return form && is_method(op->ask.method, "POST") ? TR_KIND_FORM : TR_KIND_FETCH;
}

/* "cors" in the Fetch standard: the answer may be read by the page's scripts, so its origin must be told. */
static bool
is_cors(tr_kind_t kind)
{
    return kind == TR_KIND_FETCH || kind == TR_KIND_XHR || kind == TR_KIND_EVENTS;
}

/* ---------------------------------------------------------------------------------------------------------------- the site */

/* HTML, "schemelessly same site", and the scheme. */
static bool
same_site(const tr_url_t *a, const tr_url_t *b)
{
    if (!tr_slice_eq(a->scheme, b->scheme)) {
        return false;
    }
    if (tr_slice_eq(a->host, b->host)) {
        return true;
    }
    return !tr_host_is_ip(a->host) && !tr_host_is_ip(b->host) && tr_slice_eq(tr_psl_site(a->host), tr_psl_site(b->host));
}

static void
note_url(tr_initiator_t *initiator, const tr_url_t *url)
{
    tr_site_t site = tr_url_same_origin(&initiator->page, url) ? TR_SITE_SAME_ORIGIN
                     : same_site(&initiator->page, url)        ? TR_SITE_SAME_SITE
                                                               : TR_SITE_CROSS_SITE;
    initiator->site = TR_MAX(initiator->site, site);
}

void
tr_initiator__redirect(tr_op_t *op, const tr_url_t *from, const tr_url_t *to)
{
    tr_initiator_t *initiator = op->initiator;
    if (initiator == NULL) {
        return;
    }
    if (!tr_url_same_origin(from, to) && !tr_url_same_origin(&initiator->page, from)) {
        initiator->tainted = true;
    }
    note_url(initiator, to);
}

bool
tr_initiator__has_credentials(const tr_op_t *op, const tr_url_t *url)
{
    const tr_initiator_t *initiator = op->initiator;
    if (initiator == NULL) {
        return true;
    }
    switch (initiator->credentials) {
    case TR_CREDENTIALS_OMIT:
        return false;
    case TR_CREDENTIALS_SAME_ORIGIN:
        return initiator->site == TR_SITE_SAME_ORIGIN && tr_url_same_origin(&initiator->page, url);
    default:
        return true;
    }
}

const tr_url_t *
tr_initiator__other_site(const tr_op_t *op, const tr_url_t *url)
{
    const tr_initiator_t *initiator = op->initiator;
    if (TR_LIKELY(initiator == NULL) || op->profile->kinds == NULL || op->kind == TR_KIND_NAVIGATE || op->kind == TR_KIND_FORM) {
        return NULL; /* what fills the window has its own site */
    }
    return same_site(&initiator->page, url) ? NULL : &initiator->page;
}

bool
tr_initiator__uses_jar(const tr_op_t *op)
{
    return (op->flags & TR_OP_NO_COOKIES) == 0 && tr_initiator__has_credentials(op, &op->ask.url);
}

/* ------------------------------------------------------------------------------------------------------------------ fields */

/* scheme://authority, with a slash behind it when it is a referrer. */
static tr_slice_t
origin_text(tr_arena_t *arena, const tr_url_t *url, bool slash)
{
    size_t len = url->scheme.len + 3 + url->authority.len + (slash ? 1 : 0);
    uint8_t *text = tr_arena_alloc(arena, len);
    if (text == NULL) {
        return TR_SLICE_NULL;
    }
    memcpy(text, url->scheme.data, url->scheme.len);
    memcpy(text + url->scheme.len, "://", 3);
    memcpy(text + url->scheme.len + 3, url->authority.data, url->authority.len);
    if (slash) {
        text[len - 1] = '/';
    }
    return tr_slice(text, len);
}

static tr_referrer_policy_t
policy_named(tr_slice_t name, tr_referrer_policy_t otherwise)
{
    static const char *const names[] = {
        [TR_POLICY_STRICT_ORIGIN_WHEN_CROSS_ORIGIN] = "strict-origin-when-cross-origin",
        [TR_POLICY_NO_REFERRER] = "no-referrer",
        [TR_POLICY_NO_REFERRER_WHEN_DOWNGRADE] = "no-referrer-when-downgrade",
        [TR_POLICY_SAME_ORIGIN] = "same-origin",
        [TR_POLICY_ORIGIN] = "origin",
        [TR_POLICY_STRICT_ORIGIN] = "strict-origin",
        [TR_POLICY_ORIGIN_WHEN_CROSS_ORIGIN] = "origin-when-cross-origin",
        [TR_POLICY_UNSAFE_URL] = "unsafe-url",
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(names); i++) {
        if (tr_slice_ieq(name, tr_slice_cstr(names[i]))) {
            return (tr_referrer_policy_t)i;
        }
    }
    return otherwise;
}

/* Referrer Policy 8.1: what is not known is left out, so that pages can name a new policy behind an old one. */
static tr_referrer_policy_t
policy_of(tr_slice_t field, tr_referrer_policy_t before)
{
    tr_referrer_policy_t policy = before;
    for (size_t start = 0, end; start <= field.len; start = end + 1) {
        size_t last, first = start;
        for (end = start; end < field.len && field.data[end] != ','; end++) {
        }
        for (last = end; last > first && (field.data[last - 1] == ' ' || field.data[last - 1] == '\t'); last--) {
        }
        for (; first < last && (field.data[first] == ' ' || field.data[first] == '\t'); first++) {
        }
        policy = policy_named(tr_slice(field.data + first, last - first), policy);
    }
    return policy;
}

void
tr_initiator__set_policy(tr_op_t *op, tr_slice_t field)
{
    if (op->initiator != NULL && field.len > 0) {
        op->initiator->policy = policy_of(field, op->initiator->policy);
    }
}

static bool
is_downgrade(const tr_url_t *from, const tr_url_t *to)
{
    return tr_url_is_https(from) && !tr_url_is_https(to);
}

/* Referrer Policy 8.3, the table of policies: how much of the referrer is told. */
typedef enum told { TELL_NOTHING, TELL_ORIGIN, TELL_URL } told_t;

static told_t
what_is_told(tr_referrer_policy_t policy, const tr_url_t *from, const tr_url_t *to)
{
    bool same = tr_url_same_origin(from, to);
    bool downgrade = is_downgrade(from, to);
    switch (policy) {
    case TR_POLICY_NO_REFERRER:
        return TELL_NOTHING;
    case TR_POLICY_NO_REFERRER_WHEN_DOWNGRADE:
        return downgrade ? TELL_NOTHING : TELL_URL;
    case TR_POLICY_SAME_ORIGIN:
        return same ? TELL_URL : TELL_NOTHING;
    case TR_POLICY_ORIGIN:
        return TELL_ORIGIN;
    case TR_POLICY_STRICT_ORIGIN:
        return downgrade ? TELL_NOTHING : TELL_ORIGIN;
    case TR_POLICY_ORIGIN_WHEN_CROSS_ORIGIN:
        return same ? TELL_URL : TELL_ORIGIN;
    case TR_POLICY_UNSAFE_URL:
        return TELL_URL;
    default:
        return same ? TELL_URL : downgrade ? TELL_NOTHING : TELL_ORIGIN;
    }
}

/* Referrer Policy 8.3: a referrer that is longer is cut to its origin. */
#define MAX_REFERRER 4096

/* The page's policy, or the default where the browser takes no laxer one for what a page embeds from another site. */
static tr_referrer_policy_t
policy_for(const tr_op_t *op, const tr_url_t *from, const tr_url_t *to)
{
    tr_referrer_policy_t policy = op->initiator->policy;
    bool embedded = op->kind != TR_KIND_NAVIGATE && op->kind != TR_KIND_FORM;
    bool lax = policy == TR_POLICY_UNSAFE_URL || policy == TR_POLICY_NO_REFERRER_WHEN_DOWNGRADE || policy == TR_POLICY_ORIGIN_WHEN_CROSS_ORIGIN;
    bool strict = (op->profile->flags & TR_PROFILE_STRICT_REFERRERS) != 0 && embedded && lax;
    return strict && !same_site(from, to) ? TR_POLICY_STRICT_ORIGIN_WHEN_CROSS_ORIGIN : policy;
}

static tr_code_t
make_referer(tr_op_t *op, tr_slice_t *out)
{
    const tr_initiator_t *initiator = op->initiator;
    const tr_url_t *from = &initiator->referrer, *to = &op->ask.url;
    told_t told = what_is_told(policy_for(op, from, to), from, to);
    if (!initiator->has_referrer || op->kind == TR_KIND_WEBSOCKET || told == TELL_NOTHING) {
        return TR_OK;
    }
    *out = origin_text(&op->arena, from, true);
    if (out->data != NULL && told == TELL_URL && out->len - 1 + from->target.len <= MAX_REFERRER) {
        size_t start = out->len - 1; /* the target begins with a slash */
        uint8_t *text = tr_arena_alloc(&op->arena, start + from->target.len);
        if (text != NULL) {
            memcpy(text, out->data, start);
            memcpy(text + start, from->target.data, from->target.len);
        }
        *out = tr_slice(text, start + from->target.len);
    }
    return out->data == NULL ? TR_ERR_NOMEM : TR_OK;
}

/* Fetch, "append a request Origin header", the switch on the referrer policy. */
static bool
hides_origin(tr_referrer_policy_t policy, const tr_url_t *page, const tr_url_t *url)
{
    switch (policy) {
    case TR_POLICY_NO_REFERRER:
        return true;
    case TR_POLICY_SAME_ORIGIN:
        return !tr_url_same_origin(page, url);
    case TR_POLICY_NO_REFERRER_WHEN_DOWNGRADE:
    case TR_POLICY_STRICT_ORIGIN:
    case TR_POLICY_STRICT_ORIGIN_WHEN_CROSS_ORIGIN:
        return is_downgrade(page, url);
    default:
        return false;
    }
}

/* Fetch, "append a request Origin header". */
static tr_code_t
make_origin(tr_op_t *op, tr_slice_t *out)
{
    const tr_initiator_t *initiator = op->initiator;
    bool unsafe = !is_method(op->ask.method, "GET") && !is_method(op->ask.method, "HEAD");
    bool cors = op->kind == TR_KIND_WEBSOCKET || (is_cors(op->kind) && initiator->site != TR_SITE_SAME_ORIGIN);
    if (initiator->origin.len > 0) {
        *out = initiator->origin;
        return TR_OK;
    }
    if (!cors && !unsafe) {
        return TR_OK;
    }
    /* A form's origin is told to whom its referrer is told, and not to who would not get one. */
    bool hidden = !is_cors(op->kind) && op->kind != TR_KIND_WEBSOCKET && hides_origin(initiator->policy, &initiator->page, &op->ask.url);
    if (initiator->tainted || hidden) {
        *out = TR_SLICE_LIT("null");
        return TR_OK;
    }
    *out = origin_text(&op->arena, &initiator->page, false);
    return out->data == NULL ? TR_ERR_NOMEM : TR_OK;
}

tr_code_t
tr_initiator__compose(tr_op_t *op, tr_compose_t *out)
{
    static const char *const names[] = {"same-origin", "same-site", "cross-site"};
    const tr_initiator_t *initiator = op->initiator;
    out->kind = op->kind;
    if (initiator == NULL) {
        return TR_OK;
    }
    out->site = names[initiator->site];
    out->websocket_key = initiator->key;
    tr_code_t code = make_origin(op, &out->origin);
    return code == TR_OK ? make_referer(op, &out->referer) : code;
}

/* ----------------------------------------------------------------------------------------------------------------- prepare */

/* RFC 6455 4.1: 16 random bytes in base64. */
static tr_code_t
make_key(tr_op_t *op, tr_initiator_t *initiator, tr_err_t *err)
{
    uint8_t bytes[16];
    if (tr_rand_system.fill(tr_rand_system.arg, bytes, sizeof(bytes)) != TR_OK) {
        return tr_err_set(err, TR_ERR_INTERNAL, 0, "initiator.key", "The system gives no random numbers.");
    }
    uint8_t *text = tr_arena_alloc(&op->arena, 24);
    if (text == NULL) {
        return tr_err_nomem(err, "initiator.key");
    }
    initiator->key = tr_slice(text, tr_op__base64(text, bytes, sizeof(bytes)));
    return TR_OK;
}

tr_code_t
tr_initiator__prepare(tr_op_t *op, const tr_op_request_t *request, tr_err_t *err)
{
    tr_err_t why = TR_ERR_INIT;
    op->kind = request->kind < TR_KIND_AUTO ? request->kind : kind_of_call(op);
    bool told = request->page.len > 0 || request->origin.len > 0;
    if (!told && (op->kind == TR_KIND_NAVIGATE || (op->profile->kinds == NULL && op->kind != TR_KIND_WEBSOCKET)) && request->credentials == TR_CREDENTIALS_DEFAULT) {
        return TR_OK; /* the address bar; or no browser */
    }
    if (!tr_http_is_field_value(request->origin)) {
        return tr_err_set(err, TR_ERR_HEADER_INVALID, 0, "op.origin", "The origin cannot be sent.");
    }
    tr_initiator_t *initiator = tr_arena_alloc(&op->arena, sizeof(*initiator));
    if (initiator == NULL) {
        return tr_err_nomem(err, "op.initiator");
    }
    *initiator = (tr_initiator_t){.page = op->ask.url, .has_referrer = !request->no_referrer};
    if (request->page.len > 0) {
        tr_code_t code = tr_url_parse(&initiator->page, &op->arena, request->page, &why);
        if (code != TR_OK) {
            return code == TR_ERR_NOMEM ? tr_err_nomem(err, "op.page") : tr_err_set(err, code, 0, "op.page", "page: %s", why.msg);
        }
        initiator->referrer = initiator->page;
    } else {
        /* Some page asks: the root of the same origin. */
        initiator->referrer = initiator->page;
        initiator->referrer.target = TR_SLICE_LIT("/");
        if (op->kind == TR_KIND_NAVIGATE) {
            initiator->has_referrer = false;
        }
    }
    if (request->referrer.len > 0) {
        tr_code_t code = tr_url_parse(&initiator->referrer, &op->arena, request->referrer, &why);
        if (code != TR_OK) {
            return code == TR_ERR_NOMEM ? tr_err_nomem(err, "op.referrer")
                                        : tr_err_set(err, code, 0, "op.referrer", "referrer: %s", why.msg);
        }
        initiator->has_referrer = true;
    }
    if (request->origin.len > 0) {
        uint8_t *copy = tr_arena_dup(&op->arena, request->origin);
        if (copy == NULL) {
            return tr_err_nomem(err, "op.origin");
        }
        initiator->origin = tr_slice(copy, request->origin.len);
    }
    initiator->credentials = request->credentials;
    if (initiator->credentials == TR_CREDENTIALS_DEFAULT) {
        /* Fetch and XHR send no cookies to other origins unless told to; what the page embeds or visits does. */
        initiator->credentials = is_cors(op->kind) ? TR_CREDENTIALS_SAME_ORIGIN : TR_CREDENTIALS_INCLUDE;
    }
    note_url(initiator, &op->ask.url);
    op->initiator = initiator;
    tr_initiator__set_policy(op, request->referrer_policy);
    return op->kind == TR_KIND_WEBSOCKET ? make_key(op, initiator, err) : TR_OK;
}
