#include "client/op.h"

/* A request is replayed once: on a connection made for it, so that what happens there is no coincidence. */
#define MAX_REPLAYS 1

bool
tr_method_is_idempotent(tr_slice_t method)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};
    for (size_t i = 0; i < TR_ARRAY_LEN(names); i++) {
        if (tr_slice_eq(method, tr_slice_cstr(names[i]))) {
            return true;
        }
    }
    return false;
}

bool
tr_op__may_be_early(const tr_op_t *op)
{
    static const char *const names[] = {"GET", "HEAD", "OPTIONS", "TRACE"};
    bool safe = false;
    for (size_t i = 0; i < TR_ARRAY_LEN(names); i++) {
        safe = safe || tr_slice_eq(op->ask.method, tr_slice_cstr(names[i]));
    }
    return safe && !op->ask.has_body && op->flow == NULL && op->num_replays == 0 && (op->flags & TR_OP_NO_EARLY) == 0;
}

/* The connection is gone, and not because either side broke a rule. */
static bool
is_death(tr_code_t code)
{
    switch ((int)code) {
    case TR_ERR_CLOSED_EARLY:
    case TR_ERR_CONNECT_RESET:
    case TR_ERR_SYSTEM:
    case TR_ERR_H2_GOAWAY:
        return true;
    default:
        return false;
    }
}

tr_retry_t
tr_retry_decide(const tr_retry_facts_t *facts)
{
    if (facts->got_bytes || facts->code == TR_ERR_H2_CALM || facts->num_replays >= MAX_REPLAYS) {
        return TR_RETRY_NO;
    }
    /* RFC 9113 7: HTTP_1_1_REQUIRED; nothing was done. */
    if (facts->code == TR_ERR_H2_HTTP11_REQUIRED) {
        return TR_RETRY_HTTP1;
    }
    /* More than the server takes (RFC 9113 5.1.2), which nobody knew then; others are under way there. */
    if (facts->too_many && facts->not_processed && facts->code == TR_ERR_H2_REFUSED) {
        return TR_RETRY_SAME;
    }
    /* RFC 9113 8.7: REFUSED_STREAM, or above GOAWAY's last stream. */
    if (facts->not_processed && tr_err_scope(facts->code) != TR_SCOPE_OP) {
        return TR_RETRY_FRESH;
    }
    /* RFC 8446 D.3: some servers fail over early data; what was sent as such may be repeated, and now goes without. */
    if (facts->early && tr_err_scope(facts->code) != TR_SCOPE_OP) {
        return TR_RETRY_FRESH;
    }
    /* RFC 9110 9.2.2, RFC 9112 9.3.1: a kept connection that the server had closed meanwhile. */
    if (facts->reused && is_death(facts->code) && (!facts->sent || tr_method_is_idempotent(facts->method))) {
        return TR_RETRY_FRESH;
    }
    return TR_RETRY_NO;
}
