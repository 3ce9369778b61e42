/* err: result codes and the error record that travels with them. One row per failure in
 * errors.def. A fallible function returns tr_code_t: zero is success, positive is a named wait,
 * negative is a failure whose *err was filled once, at the line where it happened; layers above
 * hand it on unchanged. Any thread. */
#ifndef TR_CORE_ERR_H
#define TR_CORE_ERR_H

#include "core/base.h"

enum {
#define TR_ERROR(name, scope, exception, sentence) TR__ERR_ROW_##name,
#include "core/errors.def"
#undef TR_ERROR
    TR__ERR_NUM_ROWS
};

typedef enum tr_code {
    TR_OK = 0,
    TR_AGAIN = 1,  /* would block: call again when there is input, room or time */
    TR_PAUSED = 2, /* the consumer asked to stop; resume explicitly */
    TR_EOF = 3,    /* orderly end */
#define TR_ERROR(name, scope, exception, sentence) TR_ERR_##name = -1 - TR__ERR_ROW_##name,
#include "core/errors.def"
#undef TR_ERROR
} tr_code_t;

typedef enum tr_err_scope {
    TR_SCOPE_OP,     /* this request */
    TR_SCOPE_STREAM, /* one exchange; its connection lives on */
    TR_SCOPE_CONN    /* the connection and all its exchanges */
} tr_err_scope_t;

#define TR_ERR_MSG_LEN 160

typedef struct tr_err {
    tr_code_t code;
    int32_t detail;           /* by code: errno, TLS alert, HTTP/2 error code, X509_V_ERR_*, EAI_* */
    const char *where;        /* static and stable, e.g. "tls.certificate_verify"; tests may match it */
    char msg[TR_ERR_MSG_LEN]; /* one sentence for people, no newline, no secrets; tests never match it */
} tr_err_t;

#define TR_ERR_INIT ((tr_err_t){TR_OK, 0, "", ""})

/* tr_err_set fills *err (which may be NULL) and returns code. fmt may be NULL: the row's own
 * sentence is used. The text is cut to fit; control bytes become '?'. */
tr_code_t tr_err_set(tr_err_t *err, tr_code_t code, int32_t detail, const char *where, const char *fmt,
                     ...) TR_PRINTF(5, 6);

/* tr_err_clear puts *err back to TR_OK. */
void tr_err_clear(tr_err_t *err);

/* tr_err_name gives a code's stable name, e.g. "TLS_ALERT", "OK", "AGAIN". Never NULL. */
const char *tr_err_name(tr_code_t code);

/* tr_err_sentence gives the row's default sentence. Never NULL. */
const char *tr_err_sentence(tr_code_t code);

/* tr_err_exception gives the name of the Python exception class of a failure. Never NULL. */
const char *tr_err_exception(tr_code_t code);

/* tr_err_scope says what dies with a failure. */
tr_err_scope_t tr_err_scope(tr_code_t code);

/* tr_err_nomem is tr_err_set for a failed allocation at `where`. */
static inline tr_code_t
tr_err_nomem(tr_err_t *err, const char *where)
{
    return tr_err_set(err, TR_ERR_NOMEM, 0, where, NULL);
}

static inline bool
tr_failed(tr_code_t code)
{
    return (int)code < 0;
}

#endif
