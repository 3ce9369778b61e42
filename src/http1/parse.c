#include "http1/parse.h"

static const char where_line[] = "http1.line";
static const char where_status[] = "http1.status_line";
static const char where_field[] = "http1.field";
static const char where_framing[] = "http1.framing";

/* ----------------------------------------------------------------------------------------- lines */

tr_code_t
tr_h1__line_next(tr_h1_lines_t *lines, tr_slice_t *out, size_t *out_len, tr_bufq_t *in, size_t max, tr_err_t *err)
{
    *out_len = 0;
    for (;;) {
        tr_slice_t data = tr_bufq_peek(in);
        if (data.len == 0) {
            if (in->head != NULL) {
                tr_chunk_free(tr_bufq_shift(in));
                continue;
            }
            *out = tr_buf_slice(&lines->partial);
            return TR_AGAIN;
        }
        size_t had = lines->partial.len;
        const uint8_t *lf = memchr(data.data, '\n', data.len);
        size_t part = lf == NULL ? data.len : (size_t)(lf - data.data) + 1;
        bool over = part > max || had > max - part;
        if (lf != NULL && had == 0 && !over) {
            *out = tr_slice(data.data, part);
            lines->lent = part;
        } else {
            /* Of a line that is too long only its start is kept, for the caller to look at. */
            size_t keep = over ? max + 1 - TR_MIN(had, max) : part;
            tr_code_t code = tr_buf_append(&lines->partial, data.data, TR_MIN(keep, part));
            if (code != TR_OK) {
                return tr_err_nomem(err, where_line);
            }
            tr_bufq_consume(in, part);
            *out = tr_buf_slice(&lines->partial);
            if (over) {
                return TR_ERR_LIMIT;
            }
            if (lf == NULL) {
                continue;
            }
        }
        *out_len = out->len;
        if (out->len < 2 || out->data[out->len - 2] != '\r') {
            lines->lent = 0;
            return tr_err_set(err, TR_ERR_H1_PROTOCOL, 0, where_line,
                              "A line of the server's answer ends with LF alone.");
        }
        out->len -= 2;
        return TR_OK;
    }
}

void
tr_h1__line_done(tr_h1_lines_t *lines, tr_bufq_t *in)
{
    if (lines->lent > 0) {
        tr_bufq_consume(in, lines->lent);
        lines->lent = 0;
    } else {
        tr_buf_clear(&lines->partial);
    }
}

/* ------------------------------------------------------------------------------------------ head */

static bool
is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

bool
tr_h1__status_starts(tr_slice_t partial)
{
    static const char start[] = "HTTP/1.";
    size_t len = TR_MIN(partial.len, sizeof(start) - 1);
    return len == 0 || memcmp(partial.data, start, len) == 0;
}

/* RFC 9112 4: HTTP-version SP status-code SP [ reason-phrase ]. The second blank is left out by many servers that
 * send no reason. Status codes above 599 are in use; three digits are the rule (RFC 9110 15). */
tr_code_t
tr_h1__parse_status(tr_h1_status_t *out, tr_slice_t line, tr_err_t *err)
{
    const uint8_t *p = line.data;
    if (!tr_h1__status_starts(line) || line.len < 7) {
        return tr_err_set(err, TR_ERR_H1_PROTOCOL, 0, where_status,
                          "The server's answer does not start with HTTP/1.x.");
    }
    if (line.len < 12 || !is_digit(p[7]) || p[8] != ' ' || p[9] < '1' || p[9] > '9' || !is_digit(p[10]) ||
        !is_digit(p[11]) || (line.len > 12 && p[12] != ' ')) {
        return tr_err_set(err, TR_ERR_H1_PROTOCOL, 0, where_status,
                          "The status line of the server's answer is malformed.");
    }
    if (!tr_http_is_field_value(tr_slice(p + 12, line.len - 12))) {
        return tr_err_set(err, TR_ERR_H1_PROTOCOL, 0, where_status,
                          "The reason phrase of the server's answer has a CR or NUL.");
    }
    out->minor = p[7] == '0' ? 0 : 1;
    out->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
    return TR_OK;
}

/* What is wrong with a line whose token of token_len characters is no name. */
static const char *
field_fault(tr_slice_t line, size_t token_len)
{
    if (token_len == line.len) {
        return "has no colon";
    }
    uint8_t c = line.data[token_len];
    if (c == ':') {
        return "has no name";
    }
    if (c != ' ' && c != '\t') {
        return "has a character in its name that is not allowed";
    }
    return token_len == 0 ? "is folded or starts with a blank" : "has a blank before the colon";
}

/* RFC 9112 5 and 5.1: field-name ":" OWS field-value OWS; a blank before the colon is refused, as is a line that
 * continues the one before (5.2, obs-fold). */
tr_code_t
tr_h1__parse_field(tr_headers_t *into, tr_slice_t line, tr_err_t *err)
{
    size_t len = tr_http_token_len(line);
    if (TR_UNLIKELY(len == 0 || len == line.len || line.data[len] != ':')) {
        return tr_err_set(err, TR_ERR_H1_PROTOCOL, 0, where_field, "A header line of the server's answer %s.",
                          field_fault(line, len));
    }
    tr_slice_t value = tr_http_trim(tr_slice(line.data + len + 1, line.len - len - 1));
    if (TR_UNLIKELY(!tr_http_is_field_value(value))) {
        return tr_err_set(err, TR_ERR_H1_PROTOCOL, 0, where_field,
                          "A header value of the server's answer has a CR or NUL.");
    }
    tr_code_t code = tr_headers_add(into, tr_slice(line.data, len), value);
    return code == TR_OK ? TR_OK : tr_err_nomem(err, where_field);
}

/* --------------------------------------------------------------------------------------- framing */

/* What the framing fields say, collected in one pass. */
typedef struct fields {
    bool has_length;
    uint64_t length;
    size_t num_codings; /* transfer-encoding fields */
    tr_slice_t coding;
    bool close;
    bool keep_alive;
} fields_t;

static tr_code_t
collect(fields_t *out, const tr_headers_t *headers, tr_err_t *err)
{
    *out = (fields_t){0};
    for (size_t i = 0; i < headers->len; i++) {
        tr_field_t field = tr_headers_at(headers, i);
        if (field.name.len == 14 && tr_slice_ieq(field.name, TR_SLICE_LIT("content-length"))) {
            uint64_t length;
            if (!tr_http_parse_length(field.value, &length)) {
                return tr_err_set(err, TR_ERR_H1_PROTOCOL, 0, where_framing,
                                  "The content-length of the server's answer is not one number.");
            }
            if (out->has_length && out->length != length) {
                return tr_err_set(err, TR_ERR_H1_PROTOCOL, 0, where_framing,
                                  "The server's answer has two content-lengths that differ.");
            }
            out->has_length = true;
            out->length = length;
        } else if (field.name.len == 17 && tr_slice_ieq(field.name, TR_SLICE_LIT("transfer-encoding"))) {
            out->num_codings++;
            out->coding = field.value;
        } else if (field.name.len == 10 && tr_slice_ieq(field.name, TR_SLICE_LIT("connection"))) {
            tr_slice_t rest = field.value;
            tr_slice_t option;
            while (tr_http_list_next(&rest, &option)) {
                out->close = out->close || tr_slice_ieq(option, TR_SLICE_LIT("close"));
                out->keep_alive = out->keep_alive || tr_slice_ieq(option, TR_SLICE_LIT("keep-alive"));
            }
        }
    }
    return TR_OK;
}

tr_code_t
tr_h1__parse_framing(tr_h1_framing_t *out, const tr_headers_t *headers, tr_h1_status_t status,
                     tr_h1_method_t method, tr_err_t *err)
{
    fields_t fields;
    *out = (tr_h1_framing_t){TR_H1_BODY_NONE, 0, false};
    /* A tunnel or another protocol follows: length fields mean nothing (RFC 9110 9.3.6, RFC 9112 6.3 rule 2). */
    if ((method == TR_H1_CONNECT && status.status / 100 == 2) || status.status == 101) {
        return TR_OK;
    }
    /* RFC 9112 6.3 rule 1: the fields of an interim response frame nothing. */
    if (status.status / 100 == 1) {
        return TR_OK;
    }
    tr_code_t code = collect(&fields, headers, err);
    if (code != TR_OK) {
        return code;
    }
    if (fields.num_codings > 0) {
        if (fields.has_length) {
            return tr_err_set(err, TR_ERR_H1_PROTOCOL, 0, where_framing,
                              "The server's answer has both content-length and transfer-encoding.");
        }
        if (fields.num_codings > 1 || !tr_slice_ieq(fields.coding, TR_SLICE_LIT("chunked"))) {
            return tr_err_set(err, TR_ERR_H1_PROTOCOL, 0, where_framing,
                              "The server's answer has a transfer-encoding other than one chunked.");
        }
        if (status.minor == 0) { /* RFC 9112 6.1, last paragraph */
            return tr_err_set(err, TR_ERR_H1_PROTOCOL, 0, where_framing,
                              "The server's answer has a transfer-encoding, but its version is HTTP/1.0.");
        }
    }
    out->keep_alive = !fields.close && (status.minor > 0 || fields.keep_alive);
    if (method == TR_H1_HEAD || status.status == 204 || status.status == 304) {
        out->kind = TR_H1_BODY_NONE;
    } else if (fields.num_codings > 0) {
        out->kind = TR_H1_BODY_CHUNKED;
    } else if (fields.has_length) {
        out->kind = TR_H1_BODY_LENGTH;
        out->length = fields.length;
    } else {
        out->kind = TR_H1_BODY_EOF;
        out->keep_alive = false;
    }
    return TR_OK;
}
