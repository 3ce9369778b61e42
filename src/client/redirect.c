#include "client/initiator.h"
#include "client/op.h"

/* The rules of RFC 9110 15.4 as browsers apply them (the Fetch standard, "HTTP-redirect fetch"). */

bool
tr_redirect_is(int status, const tr_headers_t *headers)
{
    if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308) {
        return false;
    }
    return tr_headers_get(headers, TR_SLICE_LIT("location")).data != NULL;
}

/* 301 turns POST into GET; 302 and 303 turn everything but HEAD into GET; 307 and 308 keep the method. */
static bool
becomes_get(int status, tr_slice_t method)
{
    switch (status) {
    case 301:
        return tr_slice_eq(method, TR_SLICE_LIT("POST"));
    case 302:
    case 303:
        return !tr_slice_eq(method, TR_SLICE_LIT("HEAD")) && !tr_slice_eq(method, TR_SLICE_LIT("GET"));
    default:
        return false;
    }
}

/* The same host on its default ports, from http to https: not another origin as far as credentials go. */
static bool
is_upgrade(const tr_url_t *from, const tr_url_t *to)
{
    return !tr_url_is_https(from) && tr_url_is_https(to) && from->port == 80 && to->port == 443 && tr_slice_eq(from->host, to->host);
}

static bool
is_one_of(tr_slice_t name, const char *const *names, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        if (tr_slice_ieq(name, tr_slice_cstr(names[i]))) {
            return true;
        }
    }
    return false;
}

/* Copies the headers that go along. A removed header (value NULL) stays removed. */
static tr_code_t
filter_headers(tr_op_t *op, tr_ask_t *ask, bool drop_body, bool drop_credentials)
{
    static const char *const of_body[] = {"content-type",     "content-length",   "transfer-encoding", "content-encoding",
                                          "content-language", "content-location", "expect"};
    static const char *const of_origin[] = {"authorization", "proxy-authorization", "cookie", "host"};
    if (ask->num_headers == 0 || (!drop_body && !drop_credentials)) {
        return TR_OK;
    }
    tr_field_t *fields = tr_arena_alloc(&op->arena, ask->num_headers * sizeof(*fields));
    if (fields == NULL) {
        return TR_ERR_NOMEM;
    }
    size_t num = 0;
    for (size_t i = 0; i < ask->num_headers; i++) {
        tr_field_t field = ask->headers[i];
        bool drop = field.value.data != NULL && ((drop_body && is_one_of(field.name, of_body, TR_ARRAY_LEN(of_body))) ||
                                                 (drop_credentials && is_one_of(field.name, of_origin, TR_ARRAY_LEN(of_origin))));
        if (!drop) {
            fields[num++] = field;
        }
    }
    ask->headers = fields;
    ask->num_headers = num;
    return TR_OK;
}

static tr_code_t
resolve(tr_op_t *op, tr_url_t *out, tr_err_t *err)
{
    tr_err_t why = TR_ERR_INIT;
    tr_slice_t location = tr_headers_get(&op->hop->response.headers, TR_SLICE_LIT("location"));
    if (location.len == 0) {
        /* An empty reference means the same document: asking for it again and again leads nowhere. */
        return tr_err_set(err, TR_ERR_REDIRECT_INVALID, 0, "redirect.location", "Redirect response without 'Location' header.");
    }
    tr_code_t code = tr_url_resolve(out, &op->arena, &op->ask.url, location, &why);
    if (code == TR_OK) {
        return TR_OK;
    }
    if (code == TR_ERR_NOMEM) {
        return tr_err_nomem(err, "redirect.resolve");
    }
    return tr_err_set(err, TR_ERR_REDIRECT_INVALID, 0, "redirect.location", "Invalid URL in 'Location' header: %s", why.msg);
}

tr_code_t
tr_redirect_next(tr_op_t *op, tr_err_t *err)
{
    tr_ask_t next = op->ask;
    if (op->num_redirects >= op->max_redirects) {
        return tr_err_set(err, TR_ERR_TOO_MANY_REDIRECTS, (int32_t)op->num_redirects, "redirect.limit", NULL);
    }
    tr_code_t code = resolve(op, &next.url, err);
    if (code != TR_OK) {
        return code;
    }
    if ((op->flags & TR_OP_HTTP2_ASKED) != 0 && tr_url_is_https(&op->ask.url) && !tr_url_is_https(&next.url)) {
        return tr_err_set(err, TR_ERR_REDIRECT_SCHEME, 0, "redirect.scheme", NULL);
    }
    bool to_get = becomes_get(op->hop->response.status, op->ask.method);
    bool same = tr_url_same_origin(&op->ask.url, &next.url);
    if (to_get) {
        next.method = TR_SLICE_LIT("GET");
        next.has_body = false;
        next.body = next.body_type = TR_SLICE_NULL;
    }
    next.method_changed = to_get;
    tr_slice_t policy;
    for (size_t at = 0; tr_headers_next(&op->hop->response.headers, &at, TR_SLICE_LIT("referrer-policy"), &policy);) {
        tr_initiator__set_policy(op, policy); /* Fetch, "HTTP-redirect fetch", step 19; Referrer Policy 8.2 */
    }
    tr_initiator__redirect(op, &op->ask.url, &next.url);
    bool upgrade = is_upgrade(&op->ask.url, &next.url);
    if (filter_headers(op, &next, to_get, !same && !upgrade) != TR_OK || tr_op__set_authorization(op, &next) != TR_OK ||
        tr_op__set_key(op, &next) != TR_OK || tr_url_text(&next.url_text, &op->arena, &next.url, false) != TR_OK) {
        return tr_err_nomem(err, "redirect.next");
    }
    op->ask = next;
    op->num_redirects++;
    return TR_OK;
}
