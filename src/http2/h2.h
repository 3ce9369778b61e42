/* h2: HTTP/2 client side of one connection over nghttp2, bytes in and bytes out (RFC 9113), with the opening frames, stream ids,
 * priorities, pseudo-header order and record layout of a profile. The only user of nghttp2/. One thread. */
#ifndef TR_HTTP2_H2_H
#define TR_HTTP2_H2_H

#include "http/exchange.h"
#include "profile/profile.h"

typedef struct tr_h2 tr_h2_t;
typedef struct tr_h2_stream tr_h2_stream_t; /* valid from submit until end, fail or cancel */

typedef struct tr_h2_limits {
    size_t max_header_bytes;  /* TR_HTTP_MAX_HEADER_BYTES */
    size_t max_header_fields; /* TR_HTTP_MAX_HEADER_FIELDS */
} tr_h2_limits_t;

/* tr_h2_new makes the engine and queues preface, SETTINGS, WINDOW_UPDATE and PRIORITY frames as the profile says. peer_alps are
 * the server's settings agreed through ALPS (frames; empty: none). */
tr_code_t tr_h2_new(tr_h2_t **out, const tr_profile_t *profile, tr_slice_t peer_alps, const tr_h2_limits_t *limits,
                    tr_err_t *err);
void tr_h2_free(tr_h2_t *h2); /* running exchanges get no callback */

/* tr_h2_submit starts an exchange. TR_AGAIN: the server's MAX_CONCURRENT_STREAMS is reached, or the connection drains (see
 * tr_h2_can_submit); nothing was kept. HEADER_INVALID and others: nothing was sent. */
tr_code_t tr_h2_submit(tr_h2_t *h2, tr_h2_stream_t **out, const tr_request_head_t *head, const tr_exchange_events_t *events,
                       void *arg, tr_err_t *err);
/* tr_h2_pull appends the next TLS record's worth of frames to out: the preface group alone, then each HEADERS (with the stream's
 * WINDOW_UPDATE behind it where the profile sends one), then others, DATA up to the profile's size. TR_OK: out has bytes, call again;
 * TR_AGAIN: nothing to send now. Failures end the connection. */
tr_code_t tr_h2_pull(tr_h2_t *h2, tr_buf_t *out, tr_err_t *err);
/* tr_h2_feed consumes everything of in. TR_OK or a failure (every exchange's fail was called, GOAWAY may be left to pull). */
tr_code_t tr_h2_feed(tr_h2_t *h2, tr_bufq_t *in, tr_err_t *err);
/* tr_h2_abort fails all exchanges with err (the transport closed or died); those the server cannot have seen are not_processed. */
void tr_h2_abort(tr_h2_t *h2, const tr_err_t *err);

/* tr_h2_cancel ends an exchange with RST_STREAM(CANCEL); no callback follows. */
void tr_h2_cancel(tr_h2_t *h2, tr_h2_stream_t *stream);
void tr_h2_resume(tr_h2_t *h2, tr_h2_stream_t *stream);      /* after TR_PAUSED from data: the window opens again */
void tr_h2_resume_body(tr_h2_t *h2, tr_h2_stream_t *stream); /* after TR_PAUSED from the body source */
/* tr_h2_ping queues a PING as the profile's browser does after an idle time; acknowledged ones are counted. */
tr_code_t tr_h2_ping(tr_h2_t *h2, tr_err_t *err);

bool tr_h2_can_submit(const tr_h2_t *h2);   /* room for one more stream, not draining */
bool tr_h2_is_draining(const tr_h2_t *h2);  /* GOAWAY came, ids ran out, or a failure: no new exchange ever */
size_t tr_h2_num_streams(const tr_h2_t *h2);
size_t tr_h2_max_streams(const tr_h2_t *h2); /* the server's SETTINGS_MAX_CONCURRENT_STREAMS, or 100 until it says */
bool tr_h2_got_settings(const tr_h2_t *h2);
bool tr_h2_has_connect(const tr_h2_t *h2); /* the server takes extended CONNECT (RFC 8441 3); known once tr_h2_got_settings */
/* tr_h2_accept_ch lends the client hints that the server asked for within the handshake, for requests to that origin (ACCEPT_CH,
 * draft-davidben-http-client-hint-reliability 4), as a header field would have them; empty: none. */
tr_slice_t tr_h2_accept_ch(const tr_h2_t *h2, tr_slice_t scheme, tr_slice_t authority);
bool tr_h2_wants_write(const tr_h2_t *h2);
/* tr_h2_mark notes a number with the exchange of whose request (HEADERS, DATA) the last tr_h2_pull gave bytes out, if there is one;
 * tr_h2_stream_mark gives the last one, 0 at first. */
void tr_h2_mark(tr_h2_t *h2, uint64_t mark);
uint64_t tr_h2_stream_mark(const tr_h2_stream_t *stream);
/* tr_h2_stream_sent says whether the exchange's HEADERS were pulled. */
bool tr_h2_stream_sent(const tr_h2_stream_t *stream);
/* tr_h2_stream_was_too_many says, of one that the server refused, whether there were more under way than it takes: they went out before it had
 * said how many. For the exchange's fail. */
bool tr_h2_stream_was_too_many(const tr_h2_stream_t *stream);

#endif
