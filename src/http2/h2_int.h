/* h2_int: what the files of the HTTP/2 engine share: h2.c (life, requests, frames out, frames in) and h2_events.c (what nghttp2 tells
 * of a response). Private to http2/. */
#ifndef TR_HTTP2_H2_INT_H
#define TR_HTTP2_H2_INT_H

#include <nghttp2/nghttp2.h>

#include "core/limits.h"
#include "core/list.h"
#include "http2/h2.h"
#include "http2/hpack.h"
#include "http2/order.h"

typedef enum tr_h2_expect {
    EXPECT_HEAD, /* interim responses and the final head */
    EXPECT_BODY, /* DATA, then perhaps trailers */
    EXPECT_TRAILERS_END /* a section of trailers has begun */
} tr_h2_expect_t;

/* DESIGN. A stream lives in three places: our object (from submit to end, fail or cancel), nghttp2's request queue, nghttp2's stream
 * (until both sides closed, or RST_STREAM went out). They are tied by nghttp2's stream user data; tr_h2__detach cuts the tie, so that
 * nghttp2's later news of that stream reach nobody. Objects are never freed before the engine is: after a callback of the user's,
 * `stream->id == id` says whether the exchange still runs, also when the object was used again. */
struct tr_h2_stream {
    tr_link_t link; /* in live, in the order of submission, or in spare */
    tr_h2_t *h2;    /* owner */
    int32_t id;     /* 0: spare */
    tr_h2_expect_t expect;
    bool sent;      /* HEADERS were pulled */
    bool too_many;  /* the server's limit was passed when it was refused */
    bool paused;    /* the consumer wants no more: the window stays as it is */
    bool was_reset; /* RST_STREAM came */
    int status;
    unsigned num_informational;
    uint32_t window_used; /* bytes received since the last WINDOW_UPDATE; padding counts */
    uint64_t body_sent;
    uint64_t mark;        /* tr_h2_mark */
    int64_t body_len;     /* -1: unknown */
    size_t header_bytes;  /* of the section under way */
    tr_headers_t headers; /* likewise */
    tr_buf_t fields;      /* of the request, packed (pack_fields), until its HEADERS are pulled; empty where nghttp2 encodes */
    tr_body_source_t body;
    tr_exchange_events_t events;
    void *arg; /* of the caller's callbacks */
    uint16_t weight; /* of its HEADERS */
};

struct tr_h2 {
    nghttp2_session *session; /* owned */
    const tr_profile_t *profile;
    tr_h2_rules_t rules;
    tr_h2_limits_t limits;
    tr_list_t live;
    tr_list_t spare;
    size_t num_live;
    size_t num_open;   /* as nghttp2 counts: queued, or not closed yet by both sides; the peer's limit counts these */
    size_t num_unsent; /* request HEADERS in nghttp2's queue, cancelled ones too */
    size_t max_streams;
    tr_h2_stream_t *section; /* whose header section is being received; NULL: nobody's */
    tr_h2_stream_t *pulled;  /* whose HEADERS or DATA the last pull gave; NULL: nobody's */
    tr_chunk_t *chunk;       /* owned; being fed */
    tr_hpack_t hpack;        /* unused where the profile's is TR_HPACK_GENERIC: nghttp2 encodes */
    tr_buf_t block;          /* a header block: ours, or one that nghttp2 cut into several frames */
    tr_buf_t last_words;     /* what pull gives out when dead */
    nghttp2_nv *nva;         /* owned; the fields of a request while it is submitted */
    size_t nva_cap;
    unsigned num_unwanted_acks; /* SETTINGS acknowledgements for ALPS: dropped */
    bool opened;         /* the opening frames were pulled */
    bool in_alps;
    tr_buf_t accept_ch; /* entries of ACCEPT_CH frames, as received and checked */
    bool ping_due;       /* asked for, not queued yet */
    bool got_first;      /* the server's first frame came */
    bool got_settings;
    bool got_goaway;
    bool draining;
    bool dead;
    uint32_t goaway_code;
    int32_t goaway_last;
    size_t idle_bytes;    /* received since something useful came */
    uint32_t num_control; /* frames that bring nothing, against useful ones (limits.h) */
    uint32_t num_empty_data;
    uint64_t num_pings, num_pongs;
    tr_err_t noticed; /* connection failure met in a callback, handled when nghttp2 has returned */
    tr_err_t err;     /* dead: what each later call returns */
};

/* tr_h2__set_callbacks fills in the receiving side's callbacks. */
void tr_h2__set_callbacks(nghttp2_session_callbacks *callbacks);
/* tr_h2__drop_fields forgets a request's fields. */
void tr_h2__drop_fields(tr_h2_stream_t *stream);
/* tr_h2__detach ends the object's life without a callback. */
void tr_h2__detach(tr_h2_stream_t *stream);
/* tr_h2__fail detaches and calls fail. */
void tr_h2__fail(tr_h2_stream_t *stream, const tr_err_t *err, bool not_processed);
/* tr_h2__reset queues RST_STREAM for an id. */
void tr_h2__reset(tr_h2_t *h2, int32_t id, uint32_t code);
/* tr_h2__give_window queues a WINDOW_UPDATE for a stream when enough was used. */
void tr_h2__give_window(tr_h2_stream_t *stream);
/* tr_h2__goaway_err says in which words the server said good-bye. */
void tr_h2__goaway_err(const tr_h2_t *h2, tr_err_t *err);
/* tr_h2__useful lowers the flood counters. */
void tr_h2__useful(tr_h2_t *h2, uint32_t worth);

#endif
