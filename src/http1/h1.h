/* h1: HTTP/1.1 client side of one connection, bytes in and bytes out (RFC 9112). Strict: no bare CR or LF in the wrong place, no
 * blank before the colon, no obs-fold, one Content-Length, chunked last and alone; a violation ends the connection. One exchange
 * at a time. One thread.
 * A 101 answers only a request with an upgrade field: head, then end; the connection is the new protocol's, as after a 2xx to
 * CONNECT. What of the queue is left then is its first bytes. With tr_request_head_t.duplex the exchange goes on instead: data is what
 * comes, the body what goes out, until the peer closes. */
#ifndef TR_HTTP1_H1_H
#define TR_HTTP1_H1_H

#include "http/exchange.h"

typedef struct tr_h1 tr_h1_t;

typedef struct tr_h1_limits {
    size_t max_header_bytes;  /* TR_HTTP_MAX_HEADER_BYTES */
    size_t max_header_fields; /* TR_HTTP_MAX_HEADER_FIELDS */
} tr_h1_limits_t;

/* tr_h1_new makes the engine; limits NULL, or a limit of 0: defaults. */
tr_code_t tr_h1_new(tr_h1_t **out, const tr_h1_limits_t *limits, tr_err_t *err);
void tr_h1_free(tr_h1_t *h1);

/* tr_h1_submit starts an exchange; only when tr_h1_is_idle. Validates method, target, names and values (HEADER_INVALID...: nothing
 * was written). The head is queued for tr_h1_pull. */
tr_code_t tr_h1_submit(tr_h1_t *h1, const tr_request_head_t *head, const tr_exchange_events_t *events, void *arg, tr_err_t *err);
/* tr_h1_pull appends bytes to send to out, about max at most: TR_OK (call again when they were sent), TR_AGAIN (nothing to send now),
 * TR_PAUSED (the body source paused). Head and body share one pull where they fit, so that a small POST is one record. */
tr_code_t tr_h1_pull(tr_h1_t *h1, tr_buf_t *out, size_t max, tr_err_t *err);
/* tr_h1_feed consumes from in. TR_OK (all consumed, or the exchange ended: what is left belongs to nobody and makes the connection
 * unusable), TR_PAUSED, or a failure (the exchange's fail was called). Bytes before a request are a failure when not idle-closed. */
tr_code_t tr_h1_feed(tr_h1_t *h1, tr_bufq_t *in, tr_err_t *err);
/* tr_h1_eof tells that the peer closed: ends a close-delimited body, or fails the exchange with CLOSED_EARLY (nothing came; then
 * not_processed is false) or BODY_TRUNCATED. */
tr_code_t tr_h1_eof(tr_h1_t *h1, tr_err_t *err);
/* tr_h1_abort fails a running exchange with err (transport died). */
void tr_h1_abort(tr_h1_t *h1, const tr_err_t *err);
/* tr_h1_cancel ends a running exchange without a callback; the connection cannot be reused. */
void tr_h1_cancel(tr_h1_t *h1);

/* After TR_PAUSED from feed. Then feed again, even with an empty queue. (A body that ends with the bytes that were paused on has
 * ended: end was called, feed returned TR_OK.) */
void tr_h1_resume(tr_h1_t *h1);
void tr_h1_resume_body(tr_h1_t *h1); /* after TR_PAUSED from pull */
bool tr_h1_is_paused(const tr_h1_t *h1);   /* feed does nothing until tr_h1_resume */
bool tr_h1_is_idle(const tr_h1_t *h1);     /* no exchange under way */
bool tr_h1_can_reuse(const tr_h1_t *h1);   /* idle, and the connection may carry another exchange */
bool tr_h1_got_bytes(const tr_h1_t *h1);   /* of the current exchange's response at least one byte came */
bool tr_h1_wrote_all(const tr_h1_t *h1);   /* the request is completely pulled */
bool tr_h1_wrote_any(const tr_h1_t *h1);   /* at least one byte of the request was pulled */
unsigned tr_h1_version(const tr_h1_t *h1); /* of the last response's status line: 10 or 11; 0 before the first */

#endif
