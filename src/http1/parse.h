/* parse: the pieces of an HTTP/1.1 message head (RFC 9112 2 to 6), one line at a time. Lines come from a queue of
 * chunks however it is split; a line within one chunk is not copied. Strict where leniency has led to request
 * smuggling: a line ends with CRLF and nothing else (2.2 would allow a recipient to take a lone LF; we do not), CR
 * stands nowhere else. */
#ifndef TR_HTTP1_PARSE_H
#define TR_HTTP1_PARSE_H

#include "core/bufq.h"
#include "http/headers.h"

/* --- lines --- */
typedef struct tr_h1_lines {
    tr_buf_t partial; /* the start of a line that is split over chunks */
    size_t lent;      /* bytes of the queue's first chunk that are the lent line */
} tr_h1_lines_t;

/* tr_h1__line_next lends the next line: TR_OK with *out without its CRLF; call tr_h1__line_done when it was read.
 * TR_AGAIN: it is not complete, *out lends what there is so far. Failures: TR_ERR_LIMIT (longer than max, CRLF
 * counted), H1_PROTOCOL (ends without CR), NOMEM; *err is filled but for LIMIT, whose meaning the caller knows. */
tr_code_t tr_h1__line_next(tr_h1_lines_t *lines, tr_slice_t *out, size_t *out_len, tr_bufq_t *in, size_t max,
                           tr_err_t *err);
void tr_h1__line_done(tr_h1_lines_t *lines, tr_bufq_t *in);

/* --- head --- */
typedef struct tr_h1_status {
    int status; /* 100 to 999 */
    int minor;  /* of the version: 0 for HTTP/1.0, 1 for 1.1 (and for what is higher) */
} tr_h1_status_t;

/* tr_h1__status_starts says whether a line that is not complete can become a status line. */
bool tr_h1__status_starts(tr_slice_t partial);
/* tr_h1__parse_status reads a status line (RFC 9112 4). H1_PROTOCOL. */
tr_code_t tr_h1__parse_status(tr_h1_status_t *out, tr_slice_t line, tr_err_t *err);
/* tr_h1__parse_field reads a field line (RFC 9112 5) and adds it to into. H1_PROTOCOL, NOMEM. */
tr_code_t tr_h1__parse_field(tr_headers_t *into, tr_slice_t line, tr_err_t *err);

/* --- how long the body is --- */
typedef enum tr_h1_body_kind {
    TR_H1_BODY_NONE,    /* by the kind of message */
    TR_H1_BODY_LENGTH,  /* content-length */
    TR_H1_BODY_CHUNKED, /* transfer-encoding: chunked */
    TR_H1_BODY_EOF      /* until the connection closes */
} tr_h1_body_kind_t;

typedef struct tr_h1_framing {
    tr_h1_body_kind_t kind;
    uint64_t length;
    bool keep_alive; /* the peer is willing to take another request afterwards */
} tr_h1_framing_t;

typedef enum tr_h1_method { TR_H1_OTHER, TR_H1_HEAD, TR_H1_CONNECT } tr_h1_method_t;

/* tr_h1__parse_framing decides the body's length (RFC 9112 6.3) and whether the connection persists (9.3).
 * H1_PROTOCOL for what two readers could take differently: content-length with transfer-encoding, differing
 * content-lengths, a transfer coding other than one chunked. */
tr_code_t tr_h1__parse_framing(tr_h1_framing_t *out, const tr_headers_t *headers, tr_h1_status_t status,
                               tr_h1_method_t method, tr_err_t *err);

#endif
