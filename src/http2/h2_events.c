#include "core/trace.h"
#include "http2/h2_int.h"

/* What one frame that moves an exchange on pays for: a server that answers may send that many frames that bring nothing. A PING or
 * SETTINGS in an honest connection is far rarer than one in four frames; WINDOW_UPDATEs are two for each DATA frame sent. */
#define WORTH_OF_DATA 4
#define WORTH_OF_HEAD 16
/* DATA below this size is paid for only when it is accepted. */
#define SMALL_DATA 16

void
tr_h2__detach(tr_h2_stream_t *stream)
{
    tr_h2_t *h2 = stream->h2;
    if (stream->id == 0) {
        return;
    }
    /* Fails only when nghttp2 knows the stream no more, and then it has no news of it either. */
    (void)nghttp2_session_set_stream_user_data(h2->session, stream->id, NULL);
    if (h2->section == stream) {
        h2->section = NULL;
    }
    if (h2->pulled == stream) {
        h2->pulled = NULL;
    }
    stream->id = 0;
    tr_headers_clear(&stream->headers);
    tr_h2__drop_fields(stream);
    tr_list_remove(&stream->link);
    tr_list_push_front(&h2->spare, &stream->link);
    h2->num_live--;
}

void
tr_h2__fail(tr_h2_stream_t *stream, const tr_err_t *err, bool not_processed)
{
    tr_err_t copy = *err;
    void (*fail)(void *, const tr_err_t *, bool) = stream->events.fail;
    void *arg = stream->arg;
    TR_TRACE(TR_TOPIC_H2, "stream %d fails: %s: %s", (int)stream->id, tr_err_name(err->code), err->msg);
    tr_h2__detach(stream);
    fail(arg, &copy, not_processed);
}

void
tr_h2__reset(tr_h2_t *h2, int32_t id, uint32_t code)
{
    if (h2->dead) {
        return;
    }
    if (nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, id, code) != 0 && h2->noticed.code == TR_OK) {
        (void)tr_err_nomem(&h2->noticed, "h2.rst_stream");
    }
}

void
tr_h2__give_window(tr_h2_stream_t *stream)
{
    tr_h2_t *h2 = stream->h2;
    if (stream->paused || stream->window_used < h2->rules.stream_threshold || h2->dead) {
        return;
    }
    /* nghttp2's own count: what it gave back for padding is not in it. */
    int32_t used = nghttp2_session_get_stream_effective_recv_data_length(h2->session, stream->id);
    stream->window_used = 0;
    if (used > 0 && nghttp2_submit_window_update(h2->session, NGHTTP2_FLAG_NONE, stream->id, used) != 0 &&
        h2->noticed.code == TR_OK) {
        (void)tr_err_nomem(&h2->noticed, "h2.window_update");
    }
}

void
tr_h2__goaway_err(const tr_h2_t *h2, tr_err_t *err)
{
    tr_code_t code = TR_ERR_H2_GOAWAY;
    if (h2->goaway_code == NGHTTP2_ENHANCE_YOUR_CALM) {
        code = TR_ERR_H2_CALM;
    } else if (h2->goaway_code == NGHTTP2_HTTP_1_1_REQUIRED) {
        code = TR_ERR_H2_HTTP11_REQUIRED;
    }
    (void)tr_err_set(err, code, (int32_t)h2->goaway_code, "h2.goaway", "The server ended the HTTP/2 connection (GOAWAY, %s).",
                     nghttp2_http2_strerror(h2->goaway_code));
}

void
tr_h2__useful(tr_h2_t *h2, uint32_t worth)
{
    h2->num_control -= TR_MIN(worth, h2->num_control);
    h2->num_empty_data -= TR_MIN(worth, h2->num_empty_data);
    h2->idle_bytes = 0;
}

static tr_h2_stream_t *
stream_of(tr_h2_t *h2, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h2->session, id);
}

/* The response cannot be understood (RFC 9113 8.1.1): RST_STREAM(PROTOCOL_ERROR) goes out. */
static void
fail_malformed(tr_h2_stream_t *stream, const char *where, const char *what)
{
    tr_err_t err;
    (void)tr_err_set(&err, TR_ERR_H2_STREAM_PROTOCOL, NGHTTP2_PROTOCOL_ERROR, where, "The server's HTTP/2 answer is malformed: %s.",
                     what);
    tr_h2__reset(stream->h2, stream->id, NGHTTP2_PROTOCOL_ERROR);
    tr_h2__fail(stream, &err, false);
}

static void
fail_cancelled(tr_h2_stream_t *stream, const tr_err_t *err)
{
    tr_h2__reset(stream->h2, stream->id, NGHTTP2_CANCEL);
    tr_h2__fail(stream, err, false);
}

static int
flooded(tr_h2_t *h2, const char *what)
{
    if (h2->noticed.code == TR_OK) {
        (void)tr_err_set(&h2->noticed, TR_ERR_H2_PROTOCOL, NGHTTP2_ENHANCE_YOUR_CALM, "h2.flood",
                         "The server floods the HTTP/2 connection with %s.", what);
    }
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* Each frame that comes costs one; tr_h2__useful pays for those that bring something. */
static int
on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user_data)
{
    TR_UNUSED(session);
    tr_h2_t *h2 = user_data;
    if (h2->in_alps) {
        return 0;
    }
    if (!h2->got_first) {
        h2->got_first = true;
        /* RFC 9113 3.4. nghttp2 looks at this too, but not once it has taken the settings of ALPS for the first. */
        if (hd->type != NGHTTP2_SETTINGS || (hd->flags & NGHTTP2_FLAG_ACK) != 0) {
            (void)tr_err_set(&h2->noticed, TR_ERR_H2_PROTOCOL, NGHTTP2_PROTOCOL_ERROR, "h2.preface",
                             "The server does not begin with SETTINGS; it may not speak HTTP/2.");
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
    }
    if ((hd->type != NGHTTP2_DATA || hd->length < SMALL_DATA) && ++h2->num_control > TR_H2_MAX_CONTROL_FRAMES) {
        return flooded(h2, "frames that bring nothing");
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------------- header sections */

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    TR_UNUSED(session);
    tr_h2_t *h2 = user_data;
    h2->section = NULL;
    if (frame->hd.type == NGHTTP2_PUSH_PROMISE) {
        /* Only a profile without ENABLE_PUSH 0 comes here; browsers have no use for pushes any more. */
        tr_h2__reset(h2, frame->push_promise.promised_stream_id, NGHTTP2_CANCEL);
        return 0;
    }
    tr_h2_stream_t *stream = stream_of(h2, frame->hd.stream_id);
    if (stream == NULL) {
        return 0;
    }
    h2->section = stream;
    stream->header_bytes = 0;
    tr_headers_clear(&stream->headers);
    if (stream->expect == EXPECT_BODY) {
        stream->expect = EXPECT_TRAILERS_END;
    }
    return 0;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len, const uint8_t *value,
          size_t value_len, uint8_t flags, void *user_data)
{
    TR_UNUSED(session);
    TR_UNUSED(flags);
    tr_h2_t *h2 = user_data;
    tr_h2_stream_t *stream = h2->section;
    if (stream == NULL || stream->id != frame->hd.stream_id) {
        return 0;
    }
    if (name_len > 0 && name[0] == ':') {
        /* nghttp2 let only :status through, once, with three bytes. */
        int status = 0;
        for (size_t i = 0; i < value_len && i < 3; i++) {
            status = value[i] >= '0' && value[i] <= '9' ? status * 10 + (value[i] - '0') : -1000;
        }
        stream->status = status;
        return 0;
    }
    /* RFC 9113 6.5.2: the size of a field list counts 32 bytes for each field. */
    size_t size = name_len + value_len + 32;
    tr_err_t err;
    if (size > h2->limits.max_header_bytes - TR_MIN(stream->header_bytes, h2->limits.max_header_bytes) ||
        stream->headers.len >= h2->limits.max_header_fields) {
        (void)tr_err_set(&err, TR_ERR_HEADER_LIMIT, 0, "h2.header", NULL);
        fail_cancelled(stream, &err);
        return 0;
    }
    stream->header_bytes += size;
    if (tr_headers_add(&stream->headers, tr_slice(name, name_len), tr_slice(value, value_len)) != TR_OK) {
        (void)tr_err_nomem(&err, "h2.header");
        fail_cancelled(stream, &err);
    }
    return 0;
}

/* RFC 9113 8.2.1: a field with forbidden bytes makes the message malformed; nghttp2 would only skip it. */
static int
on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len, const uint8_t *value,
                  size_t value_len, uint8_t flags, void *user_data)
{
    TR_UNUSED(session);
    TR_UNUSED(frame);
    TR_UNUSED(name);
    TR_UNUSED(name_len);
    TR_UNUSED(value);
    TR_UNUSED(value_len);
    TR_UNUSED(flags);
    TR_UNUSED(user_data);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* nghttp2 refused a frame: for a stream's it has queued RST_STREAM, for others GOAWAY (seen by tr_h2_feed). */
static int
on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int lib_code, void *user_data)
{
    TR_UNUSED(session);
    tr_h2_t *h2 = user_data;
    if (lib_code != NGHTTP2_ERR_HTTP_HEADER && lib_code != NGHTTP2_ERR_HTTP_MESSAGING) {
        return 0;
    }
    tr_h2_stream_t *stream = stream_of(h2, frame->hd.stream_id);
    if (stream != NULL) {
        tr_err_t err;
        (void)tr_err_set(&err, TR_ERR_H2_STREAM_PROTOCOL, NGHTTP2_PROTOCOL_ERROR, "h2.header",
                         "The server's HTTP/2 answer is malformed: a header section breaks the rules.");
        tr_h2__fail(stream, &err, false);
    }
    return 0;
}

static void
finish(tr_h2_stream_t *stream)
{
    tr_h2_t *h2 = stream->h2;
    /* The callback lends the trailers; they leave the object, which may be used again by a submit in the callback. */
    tr_headers_t trailers;
    tr_headers_init(&trailers);
    if (stream->expect == EXPECT_TRAILERS_END) {
        tr_headers_move(&trailers, &stream->headers);
    }
    void (*end)(void *, const tr_headers_t *) = stream->events.end;
    void *arg = stream->arg;
    /* RFC 9113 8.1: a complete answer before the whole request was sent counts; as browsers do, the rest is not sent. */
    if (nghttp2_session_get_stream_local_close(h2->session, stream->id) == 0) {
        tr_h2__reset(h2, stream->id, NGHTTP2_CANCEL);
    }
    tr_h2__detach(stream);
    end(arg, &trailers);
    tr_headers_cleanup(&trailers);
}

static void
on_section(tr_h2_stream_t *stream, bool end_stream)
{
    tr_h2_t *h2 = stream->h2;
    int32_t id = stream->id;
    h2->section = NULL;
    if (stream->expect == EXPECT_HEAD) {
        if (stream->status < 100) {
            fail_malformed(stream, "h2.status", "its status is not a number from 100 on");
            return;
        }
        if (stream->status < 200) {
            if (++stream->num_informational > TR_HTTP_MAX_INFORMATIONAL) {
                fail_malformed(stream, "h2.informational", "too many interim responses");
            } else if (stream->events.informational != NULL) {
                stream->events.informational(stream->arg, stream->status, &stream->headers);
            }
            return;
        }
        tr_h2__useful(h2, WORTH_OF_HEAD);
        stream->expect = EXPECT_BODY;
        stream->events.head(stream->arg, stream->status, &stream->headers);
        if (stream->id != id) {
            return;
        }
    }
    if (end_stream) {
        finish(stream);
    }
}

/* ------------------------------------------------------------------------------------------------------------ body */

static int
on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user_data)
{
    TR_UNUSED(session);
    TR_UNUSED(flags);
    tr_h2_t *h2 = user_data;
    tr_h2_stream_t *stream = stream_of(h2, id);
    if (stream == NULL || len == 0) {
        return 0;
    }
    tr_err_t err = TR_ERR_INIT;
    tr_chunk_t *none = NULL;
    tr_chunk_t **chunk = &none;
    /* The end of what is being fed may go on without a copy: nghttp2 reads nothing behind it. Small ends are copied, or they would
     * hold a whole record's memory. */
    if (h2->chunk != NULL && data + len == tr_chunk_tail(h2->chunk) && len >= h2->chunk->cap / 2) {
        size_t off = (size_t)(data - h2->chunk->data);
        h2->chunk->off = off;
        h2->chunk->len = len;
        chunk = &h2->chunk;
    }
    tr_code_t code = stream->events.data(stream->arg, tr_slice(data, len), chunk, &err);
    if (stream->id != id || code == TR_OK) {
        return 0;
    }
    if (code == TR_PAUSED) {
        stream->paused = true;
    } else if (tr_failed(code)) {
        fail_cancelled(stream, &err);
    }
    return 0;
}

static int
on_data(tr_h2_t *h2, const nghttp2_frame *frame)
{
    size_t len = frame->hd.length - TR_MIN(frame->data.padlen, frame->hd.length);
    bool end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (len == 0 && !end_stream) {
        if (++h2->num_empty_data > TR_H2_MAX_EMPTY_DATA) {
            return flooded(h2, "empty DATA frames");
        }
    } else {
        tr_h2__useful(h2, WORTH_OF_DATA);
    }
    tr_h2_stream_t *stream = stream_of(h2, frame->hd.stream_id);
    if (stream == NULL) {
        return 0;
    }
    if (end_stream) {
        finish(stream);
    } else {
        stream->window_used += (uint32_t)frame->hd.length;
        tr_h2__give_window(stream);
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------------- whole frames */

static void
on_goaway(tr_h2_t *h2, const nghttp2_goaway *goaway)
{
    /* nghttp2 closes the streams above last_stream_id right after this: on_stream_close. */
    h2->got_goaway = true;
    h2->draining = true;
    h2->goaway_code = goaway->error_code;
    h2->goaway_last = goaway->last_stream_id;
    TR_TRACE(TR_TOPIC_H2, "GOAWAY last stream %d, %s", (int)goaway->last_stream_id, nghttp2_http2_strerror(goaway->error_code));
}

static int
on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    tr_h2_t *h2 = user_data;
    tr_h2_stream_t *stream;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
        return on_data(h2, frame);
    case NGHTTP2_HEADERS:
        stream = stream_of(h2, frame->hd.stream_id);
        if (stream != NULL) {
            on_section(stream, (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
        }
        return 0;
    case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
            uint32_t max = nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
            if (max != UINT32_MAX) { /* the server said it */
                h2->max_streams = max;
            }
            if (h2->profile->hpack != TR_HPACK_GENERIC) {
                for (size_t i = 0; i < frame->settings.niv; i++) {
                    if (frame->settings.iv[i].settings_id == NGHTTP2_SETTINGS_HEADER_TABLE_SIZE) {
                        tr_hpack_set_limit(&h2->hpack, frame->settings.iv[i].value);
                    }
                }
            }
            h2->got_settings = true;
        }
        return 0;
    case NGHTTP2_RST_STREAM:
        stream = stream_of(h2, frame->hd.stream_id);
        if (stream != NULL) {
            stream->was_reset = true;
        }
        return 0;
    case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) {
            h2->num_pongs++;
        }
        return 0;
    case NGHTTP2_GOAWAY:
        on_goaway(h2, &frame->goaway);
        return 0;
    default:
        return 0;
    }
}

/* RFC 9113 7 and 8.7: what the server's RST_STREAM means for the exchange. */
static void
fail_reset(tr_h2_stream_t *stream, uint32_t code)
{
    bool not_processed = false;
    tr_code_t err_code = TR_ERR_H2_RESET;
    if (code == NGHTTP2_REFUSED_STREAM) {
        err_code = TR_ERR_H2_REFUSED;
        not_processed = stream->expect == EXPECT_HEAD; /* else it has answered, whatever it says now */
        stream->too_many = stream->h2->num_open >= stream->h2->max_streams; /* it is not counted any more */
    } else if (code == NGHTTP2_HTTP_1_1_REQUIRED) {
        err_code = TR_ERR_H2_HTTP11_REQUIRED;
        not_processed = stream->expect == EXPECT_HEAD;
    } else if (code == NGHTTP2_ENHANCE_YOUR_CALM) {
        err_code = TR_ERR_H2_CALM;
    }
    tr_err_t err;
    (void)tr_err_set(&err, err_code, (int32_t)code, "h2.rst_stream", "The server reset the HTTP/2 stream (%s).",
                     nghttp2_http2_strerror(code));
    tr_h2__fail(stream, &err, not_processed);
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user_data)
{
    tr_h2_t *h2 = user_data;
    if ((id & 1) == 0) {
        return 0; /* a refused push */
    }
    if (h2->num_open > 0) {
        h2->num_open--;
    }
    tr_h2_stream_t *stream = nghttp2_session_get_stream_user_data(session, id);
    if (stream == NULL) {
        return 0;
    }
    tr_err_t err;
    if (stream->was_reset) {
        fail_reset(stream, code);
    } else if (h2->got_goaway && id > h2->goaway_last) {
        tr_h2__goaway_err(h2, &err);
        tr_h2__fail(stream, &err, true);
    } else {
        /* nghttp2's own verdict: a body that is not as long as it was declared, and the like. */
        (void)tr_err_set(&err, TR_ERR_H2_STREAM_PROTOCOL, (int32_t)code, "h2.stream", NULL);
        tr_h2__fail(stream, &err, false);
    }
    return 0;
}

/* ---------------------------------------------------------------------------------------------------------- sending */

static int
on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    tr_h2_t *h2 = user_data;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        h2->num_unsent -= h2->num_unsent > 0;
        tr_h2_stream_t *stream = stream_of(h2, frame->hd.stream_id);
        if (stream != NULL) {
            stream->sent = true;
        }
        if (h2->profile->stream_window_increment != 0 &&
            nghttp2_submit_window_update(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                         (int32_t)h2->profile->stream_window_increment) != 0) {
            (void)tr_err_nomem(&h2->noticed, "h2.window_update");
        }
    } else if (frame->hd.type == NGHTTP2_DATA) {
        tr_h2__useful(h2, WORTH_OF_DATA);
    } else if (frame->hd.type == NGHTTP2_GOAWAY && h2->noticed.code == TR_OK) {
        /* Only nghttp2 itself sends one: when the server broke a rule, or (INTERNAL_ERROR) when it found no memory for a header block. */
        if (frame->goaway.error_code == NGHTTP2_INTERNAL_ERROR) {
            (void)tr_err_nomem(&h2->noticed, "h2.nghttp2");
            return 0;
        }
        (void)tr_err_set(&h2->noticed, TR_ERR_H2_PROTOCOL, (int32_t)frame->goaway.error_code, "h2.frame",
                         "The server broke the HTTP/2 protocol (%s): %.*s", nghttp2_http2_strerror(frame->goaway.error_code),
                         (int)TR_MIN(frame->goaway.opaque_data_len, (size_t)80),
                         frame->goaway.opaque_data == NULL ? "" : (const char *)frame->goaway.opaque_data);
    }
    return 0;
}

static int
on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int lib_code, void *user_data)
{
    TR_UNUSED(session);
    tr_h2_t *h2 = user_data;
    if (frame->hd.type != NGHTTP2_HEADERS) {
        return 0;
    }
    h2->num_unsent -= h2->num_unsent > 0;
    tr_h2_stream_t *stream = stream_of(h2, frame->hd.stream_id);
    if (stream != NULL) {
        tr_err_t err;
        if (h2->got_goaway) {
            tr_h2__goaway_err(h2, &err);
        } else if (h2->noticed.code != TR_OK) {
            err = h2->noticed;
        } else if (lib_code == NGHTTP2_ERR_HEADER_COMP || lib_code == NGHTTP2_ERR_NOMEM) {
            (void)tr_err_nomem(&err, "h2.headers"); /* what the encoder makes of a lack of memory */
        } else {
            (void)tr_err_set(&err, TR_ERR_H2_PROTOCOL, lib_code, "h2.headers", "The request could not be sent: %s.",
                             nghttp2_strerror(lib_code));
        }
        tr_h2__fail(stream, &err, true);
    }
    return 0;
}

/* A frame of a kind that we do not know: ignored. */
static int
on_extension(nghttp2_session *session, void **payload, const nghttp2_frame_hd *hd, void *user_data)
{
    TR_UNUSED(session);
    TR_UNUSED(hd);
    TR_UNUSED(user_data);
    *payload = NULL;
    return NGHTTP2_ERR_CANCEL;
}

void
tr_h2__set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_unpack_extension_callback(callbacks, on_extension);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
}
