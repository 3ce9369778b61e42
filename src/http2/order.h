/* order: what a profile decides about frames, as plain bytes and numbers: window thresholds, PRIORITY frames, how a header block is
 * cut into HEADERS and CONTINUATION and which priority fields it carries. Knows no nghttp2 session. Any thread. */
#ifndef TR_HTTP2_ORDER_H
#define TR_HTTP2_ORDER_H

#include "core/buf.h"
#include "profile/profile.h"

#define TR_H2_FRAME_HEAD_LEN 9
/* RFC 9113 4.2: what every peer takes; larger frames would only need more memory. */
#define TR_H2_FRAME_MAX 16384

/* Frame types and flags (RFC 9113 6). */
enum {
    TR_H2_DATA = 0,
    TR_H2_HEADERS = 1,
    TR_H2_PRIORITY = 2,
    TR_H2_RST_STREAM = 3,
    TR_H2_SETTINGS = 4,
    TR_H2_PUSH_PROMISE = 5,
    TR_H2_PING = 6,
    TR_H2_GOAWAY = 7,
    TR_H2_WINDOW_UPDATE = 8,
    TR_H2_CONTINUATION = 9,
    TR_H2_ACCEPT_CH = 0x89
};
enum {
    TR_H2_FLAG_END_STREAM = 0x1,
    TR_H2_FLAG_ACK = 0x1,
    TR_H2_FLAG_END_HEADERS = 0x4,
    TR_H2_FLAG_PRIORITY = 0x20
};

/* Numbers that follow from a profile. */
typedef struct tr_h2_rules {
    uint32_t stream_threshold; /* received bytes after which a stream's window is given back */
    uint32_t conn_threshold;   /* the same for the connection */
    uint32_t headers_max;      /* largest HEADERS or CONTINUATION payload */
    uint32_t data_max;         /* largest DATA payload */
} tr_h2_rules_t;

void tr_h2__rules(tr_h2_rules_t *out, const tr_profile_t *profile);

/* tr_h2__write_priority_frames appends the profile's PRIORITY frames of a connection's opening. */
tr_code_t tr_h2__write_priority_frames(tr_buf_t *out, const tr_profile_t *profile);
/* tr_h2__write_headers appends a header block as HEADERS and CONTINUATION frames. last_open is the stream that a
 * TR_PRIORITY_CHROMIUM profile's dependency names (0: none). */
tr_code_t tr_h2__write_headers(tr_buf_t *out, const tr_h2_rules_t *rules, const tr_profile_t *profile, uint32_t stream_id,
                               uint32_t last_open, uint16_t weight, bool end_stream, tr_slice_t block);
/* tr_h2__write_goaway appends a GOAWAY with last stream 0 (a client accepts no pushes). */
tr_code_t tr_h2__write_goaway(tr_buf_t *out, uint32_t code);

#endif
