#include "core/err.h"

#include <stdarg.h>
#include <stdio.h>

typedef struct err_row {
    const char *name;
    tr_err_scope_t scope;
    const char *exception;
    const char *sentence;
} err_row_t;

static const err_row_t rows[] = {
#define TR_ERROR(name, scope, exception, sentence) {#name, TR_SCOPE_##scope, #exception, sentence},
#include "core/errors.def"
#undef TR_ERROR
};

static const err_row_t unknown_row = {"UNKNOWN", TR_SCOPE_OP, "HTTPError", "Unknown error."};

static const err_row_t *
row_of(tr_code_t code)
{
    int index = -1 - (int)code;
    return index >= 0 && index < TR__ERR_NUM_ROWS ? &rows[index] : &unknown_row;
}

tr_code_t
tr_err_set(tr_err_t *err, tr_code_t code, int32_t detail, const char *where, const char *fmt, ...)
{
    if (err == NULL) {
        return code;
    }
    err->code = code;
    err->detail = detail;
    err->where = where == NULL ? "" : where;
    if (fmt == NULL) {
        (void)snprintf(err->msg, sizeof(err->msg), "%s", tr_err_sentence(code));
    } else {
        va_list args;
        va_start(args, fmt);
        (void)vsnprintf(err->msg, sizeof(err->msg), fmt, args);
        va_end(args);
    }
    /* What a peer sent may be quoted in the text: keep it one harmless line. */
    for (unsigned char *p = (unsigned char *)err->msg; *p != 0; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            *p = '?';
        }
    }
    return code;
}

void
tr_err_clear(tr_err_t *err)
{
    if (err != NULL) {
        *err = TR_ERR_INIT;
    }
}

const char *
tr_err_name(tr_code_t code)
{
    switch ((int)code) {
    case TR_OK:
        return "OK";
    case TR_AGAIN:
        return "AGAIN";
    case TR_PAUSED:
        return "PAUSED";
    case TR_EOF:
        return "EOF";
    default:
        return row_of(code)->name;
    }
}

const char *
tr_err_sentence(tr_code_t code)
{
    return (int)code >= 0 ? "" : row_of(code)->sentence;
}

const char *
tr_err_exception(tr_code_t code)
{
    return (int)code >= 0 ? "" : row_of(code)->exception;
}

tr_err_scope_t
tr_err_scope(tr_code_t code)
{
    return row_of(code)->scope;
}
