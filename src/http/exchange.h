/* exchange: one request and its response, as the HTTP/1.1 and HTTP/2 engines see it. The engines do no I/O; what a
 * response brings is told by callbacks, during feed, on the engine's thread. */
#ifndef TR_HTTP_EXCHANGE_H
#define TR_HTTP_EXCHANGE_H

#include "core/bufq.h"
#include "http/headers.h"

/* The body of a request. */
typedef struct tr_body_source {
    bool present;     /* false: no body at all (no content-length is sent by the engine) */
    int64_t len;      /* total length; -1: unknown (chunked over HTTP/1.1) */
    tr_slice_t bytes; /* the whole body when read is NULL; lent until the exchange ends */
    /* Gives up to max bytes: TR_OK with *out_len > 0; TR_PAUSED: nothing now, the engine's _resume_body is called later;
     * TR_EOF: no more (may come with *out_len > 0); failure: the exchange ends with it. Fewer or more than len bytes is
     * REQUEST_BODY. */
    tr_code_t (*read)(void *arg, uint8_t *out, size_t max, size_t *out_len, tr_err_t *err);
    void *arg;
} tr_body_source_t;

/* What is sent. All slices are lent until the call returns; the engine writes or copies them. Header fields are complete and
 * in order (host, content-length, cookie... included): the engine adds only framing (transfer-encoding: chunked for an unknown
 * length over HTTP/1.1). For HTTP/2 names are lower-cased, connection-specific fields and Host dropped, cookie split at "; "
 * into one field each. */
typedef struct tr_request_head {
    tr_slice_t method;
    tr_slice_t scheme;
    tr_slice_t authority;
    tr_slice_t target; /* path and query */
    const tr_field_t *fields;
    size_t num_fields;
    tr_body_source_t body;
    uint16_t weight; /* HTTP/2: of the HEADERS frame, where the profile sends priorities; 0: the profile's */
    /* The exchange may become a stream of bytes both ways: after 101 over HTTP/1.1 (RFC 9110 7.8), after 2xx to an extended CONNECT over
     * HTTP/2 (RFC 8441; method CONNECT, protocol not empty). The body is what is sent then; the end of the peer's stream is end. */
    bool duplex;
    tr_slice_t protocol;
} tr_request_head_t;

/* Callbacks of one exchange; `arg` is the one given with it. They may cancel or submit exchanges on the same engine; they must
 * not free the engine. Exactly one of end and fail is called, last; none after a cancel. */
typedef struct tr_exchange_events {
    /* A 1xx response other than 101. Headers are lent. NULL: not of interest. */
    void (*informational)(void *arg, int status, const tr_headers_t *headers);
    /* The final response head. Headers may be moved out (tr_headers_move). */
    void (*head)(void *arg, int status, tr_headers_t *headers);
    /* Body bytes, transfer coding removed, content coding not. When *chunk is not NULL it holds exactly these bytes and the callee
     * may take it over by setting *chunk to NULL; else it copies. TR_OK; TR_PAUSED: taken, but stop feeding this exchange (HTTP/1.1:
     * the engine's feed returns TR_PAUSED; HTTP/2: its flow-control window is not reopened) until _resume; a failure ends the
     * exchange with it. */
    tr_code_t (*data)(void *arg, tr_slice_t data, tr_chunk_t **chunk, tr_err_t *err);
    /* Everything came. Trailers are lent (empty when none). */
    void (*end)(void *arg, const tr_headers_t *trailers);
    /* The exchange died. not_processed: the server cannot have acted on it (RFC 9113 8.7, RFC 9110 9.2.2): it may be sent again. */
    void (*fail)(void *arg, const tr_err_t *err, bool not_processed);
} tr_exchange_events_t;

#endif
