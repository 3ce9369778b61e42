/* encode: the sending half of an HTTP/1.1 exchange: request head (RFC 9112 3 and 5), body with its framing. Nothing
 * is written before everything of the head was checked. */
#ifndef TR_HTTP1_ENCODE_H
#define TR_HTTP1_ENCODE_H

#include "core/buf.h"
#include "http/exchange.h"

typedef enum tr_h1_send_state {
    TR_H1_SEND_DONE,   /* nothing (more) to send */
    TR_H1_SEND_BODY,   /* body bytes are to come */
    TR_H1_SEND_SURPLUS /* everything was pulled, but the source has not said yet that it is at its end */
} tr_h1_send_state_t;

typedef struct tr_h1_sender {
    tr_buf_t head;         /* of the head: what was not pulled yet */
    tr_body_source_t body; /* source and bytes are the caller's */
    uint64_t left;         /* body bytes not pulled, where the length is known */
    tr_h1_send_state_t state;
    bool chunked; /* the length is not known */
    bool paused;  /* the source said so */
    bool any;     /* at least one byte was pulled */
    bool cut;     /* stopped before everything was pulled */
    bool close;   /* the request has "connection: close" */
    bool upgrade; /* the request has an upgrade field: 101 is an answer to it */
    bool duplex;  /* body is what follows a 101 */
    bool raw;     /* it does now: bytes as they are, until the source ends */
} tr_h1_sender_t;

void tr_h1__sender_init(tr_h1_sender_t *sender);
void tr_h1__sender_cleanup(tr_h1_sender_t *sender);
/* tr_h1__sender_start checks the head and writes it into sender->head. METHOD_INVALID, URL_INVALID, HEADER_INVALID,
 * REQUEST_BODY, NOMEM: then nothing is to be sent. */
tr_code_t tr_h1__sender_start(tr_h1_sender_t *sender, const tr_request_head_t *head, tr_err_t *err);
/* tr_h1__sender_stop drops what was not pulled; the source is not asked again. */
void tr_h1__sender_stop(tr_h1_sender_t *sender);
/* tr_h1__sender_pull is tr_h1_pull. */
tr_code_t tr_h1__sender_pull(tr_h1_sender_t *sender, tr_buf_t *out, size_t max, tr_err_t *err);
/* tr_h1__sender_switch: 101 came; from here on the body goes out as it is. */
void tr_h1__sender_switch(tr_h1_sender_t *sender);
/* tr_h1__sender_done says that the whole request was pulled. */
bool tr_h1__sender_done(const tr_h1_sender_t *sender);

#endif
