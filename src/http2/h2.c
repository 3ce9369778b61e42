#include "http2/h2.h"

#include "core/mem.h"
#include "core/rd.h"
#include "core/trace.h"
#include "http2/h2_int.h"

/* RFC 9113 6.9.1. */
#define WINDOW_MAX 0x7fffffff
/* SETTINGS of a profile; browsers send four to eight. */
#define SETTINGS_MAX 64
/* What one request's fields may take (RFC 7541 4.1 sizes): a URL of TR_URL_MAX and more fits; nghttp2's own default is 64 KiB. */
#define REQUEST_FIELDS_MAX ((size_t)3 << 20)
#define REQUEST_BLOCK_MAX ((size_t)8 << 20)
/* HPACK table for requests: as large as the server offers, up to what browsers offer themselves. */
#define ENCODER_TABLE_MAX 65536
/* RFC 9113 6.5.2 recommends no less; Chromium assumes it until the server speaks. */
#define DEFAULT_MAX_STREAMS 100
/* Frames that go out when the connection ends with a failure: acknowledgements queued before, GOAWAY. */
#define LAST_WORDS_MAX 65536

/* CONTINUATION frames of one block. nghttp2's own limit is 8, which is below what our header limit allows (256 KiB take 16), and some
 * versions count each piece in which a frame's head arrives; the flood counter (limits.h) bounds empty ones. */
#define CONTINUATIONS_MAX 1024

/* Older nghttp2 has no such limit. */
extern void nghttp2_option_set_max_continuations(nghttp2_option *option, size_t val) __attribute__((weak));

/* ------------------------------------------------------------------------------------------------------------- memory */

static void *
mem_malloc(size_t size, void *user_data)
{
    TR_UNUSED(user_data);
    return tr_malloc(size);
}

static void
mem_free(void *ptr, void *user_data)
{
    TR_UNUSED(user_data);
    tr_free(ptr);
}

static void *
mem_calloc(size_t num, size_t size, void *user_data)
{
    TR_UNUSED(user_data);
    return tr_calloc(num, size);
}

static void *
mem_realloc(void *ptr, size_t size, void *user_data)
{
    TR_UNUSED(user_data);
    return tr_realloc(ptr, size);
}

/* nghttp2 never writes to it. */
static nghttp2_mem mem_functions = {NULL, mem_malloc, mem_free, mem_calloc, mem_realloc};

/* -------------------------------------------------------------------------------------------------------------- life */

static ssize_t
choose_data_len(nghttp2_session *session, uint8_t frame_type, int32_t id, int32_t session_window, int32_t stream_window,
                uint32_t peer_frame_max, void *user_data)
{
    TR_UNUSED(session);
    TR_UNUSED(frame_type);
    TR_UNUSED(id);
    TR_UNUSED(session_window);
    TR_UNUSED(stream_window);
    const tr_h2_t *h2 = user_data;
    return (ssize_t)TR_MIN(h2->rules.data_max, peer_frame_max); /* nghttp2 keeps to the windows */
}

static tr_code_t
make_session(tr_h2_t *h2)
{
    tr_code_t code = TR_ERR_NOMEM;
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0) {
        goto done;
    }
    tr_h2__set_callbacks(callbacks);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, choose_data_len);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_peer_max_concurrent_streams(option, DEFAULT_MAX_STREAMS);
    nghttp2_option_set_max_settings(option, TR_H2_MAX_SETTINGS_ENTRIES);
    if (nghttp2_option_set_max_continuations != NULL) {
        nghttp2_option_set_max_continuations(option, CONTINUATIONS_MAX);
    }
    nghttp2_option_set_max_send_header_block_length(option, REQUEST_BLOCK_MAX);
    nghttp2_option_set_max_deflate_dynamic_table_size(option, ENCODER_TABLE_MAX);
    /* Frames of unknown kinds are ignored (RFC 9113 5.5), but counted: nghttp2 tells only of kinds that were asked for. */
    for (unsigned type = TR_H2_CONTINUATION + 1; type <= UINT8_MAX; type++) {
        nghttp2_option_set_user_recv_extension_type(option, (uint8_t)type);
    }
    if (nghttp2_session_client_new3(&h2->session, callbacks, h2, option, &mem_functions) == 0) {
        code = TR_OK;
    }
done:
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return code;
}

/* Queues the opening: SETTINGS and WINDOW_UPDATE through nghttp2, which must know them; PRIORITY frames are written by pull.
 *
 * Of a HEADER_TABLE_SIZE below the default nghttp2 is not told (send_frame writes it): its decoder would ask every server for a size
 * update in the first block. RFC 9113 4.3.1 asks only those whose table is larger by then, which it is not at the start of a connection.
 * A decoder with a larger table than the encoder's reads the same: entries are counted from the newest. */
static tr_code_t
queue_opening(tr_h2_t *h2, tr_err_t *err)
{
    const tr_profile_t *profile = h2->profile;
    nghttp2_settings_entry settings[SETTINGS_MAX];
    uint64_t stream_window = 65535;
    if (profile->num_settings > SETTINGS_MAX) {
        return tr_err_set(err, TR_ERR_PROFILE_INVALID, 0, "h2.settings", "The profile has too many HTTP/2 settings.");
    }
    for (size_t i = 0; i < profile->num_settings; i++) {
        settings[i] = (nghttp2_settings_entry){profile->settings[i].id, profile->settings[i].value};
        if (profile->settings[i].id == NGHTTP2_SETTINGS_HEADER_TABLE_SIZE) {
            settings[i].value = TR_MAX(settings[i].value, (uint32_t)NGHTTP2_DEFAULT_HEADER_TABLE_SIZE);
        }
        if (profile->settings[i].id == NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE) {
            stream_window = profile->settings[i].value;
        }
    }
    if (stream_window + profile->stream_window_increment > WINDOW_MAX || (uint64_t)profile->window_increment + 65535 > WINDOW_MAX) {
        return tr_err_set(err, TR_ERR_PROFILE_INVALID, 0, "h2.window", "The profile's HTTP/2 windows are larger than 2^31 - 1.");
    }
    if (profile->first_stream_id > 1 && nghttp2_session_set_next_stream_id(h2->session, (int32_t)profile->first_stream_id) != 0) {
        return tr_err_set(err, TR_ERR_PROFILE_INVALID, 0, "h2.first_stream_id", "The profile's first HTTP/2 stream id is not odd.");
    }
    int rv = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, profile->num_settings);
    if (rv == NGHTTP2_ERR_INVALID_ARGUMENT) {
        return tr_err_set(err, TR_ERR_PROFILE_INVALID, 0, "h2.settings", "The profile has an HTTP/2 setting with a forbidden value.");
    }
    if (rv == 0 && profile->window_increment != 0) {
        rv = nghttp2_submit_window_update(h2->session, NGHTTP2_FLAG_NONE, 0, (int32_t)profile->window_increment);
    }
    return rv == 0 ? TR_OK : tr_err_nomem(err, "h2.opening");
}

/* An entry of ACCEPT_CH: two texts with their lengths. False: it is cut. */
static bool
read_accept_ch(tr_rd_t *rd, tr_slice_t *origin, tr_slice_t *value)
{
    return tr_rd_vec(rd, origin, 2) && tr_rd_vec(rd, value, 2);
}

static tr_code_t
take_accept_ch(tr_h2_t *h2, tr_slice_t payload, uint8_t flags, uint32_t stream_id, tr_err_t *err)
{
    tr_rd_t rd = tr_rd(payload);
    tr_slice_t origin, value;
    bool good = flags == 0 && stream_id == 0;
    while (good && !tr_rd_empty(&rd)) {
        good = read_accept_ch(&rd, &origin, &value);
    }
    if (!good) {
        return tr_err_set(err, TR_ERR_H2_PROTOCOL, TR_H2_ACCEPT_CH, "h2.alps", "The server's ACCEPT_CH frame is malformed.");
    }
    if (payload.len > TR_H2_MAX_ACCEPT_CH - h2->accept_ch.len) {
        return TR_OK; /* more than any server has hints and names: what is not remembered is not answered */
    }
    return tr_buf_append(&h2->accept_ch, payload.data, payload.len) == TR_OK ? TR_OK : tr_err_nomem(err, "h2.alps");
}

tr_slice_t
tr_h2_accept_ch(const tr_h2_t *h2, tr_slice_t scheme, tr_slice_t authority)
{
    tr_rd_t rd = tr_rd(tr_buf_slice(&h2->accept_ch));
    tr_slice_t origin, value;
    while (!tr_rd_empty(&rd) && read_accept_ch(&rd, &origin, &value)) {
        size_t host = scheme.len + 3;
        if (origin.len == host + authority.len && memcmp(origin.data, scheme.data, scheme.len) == 0 &&
            memcmp(origin.data + scheme.len, "://", 3) == 0 && memcmp(origin.data + host, authority.data, authority.len) == 0) {
            return value;
        }
    }
    return TR_SLICE_NULL;
}

/* The server's settings from ALPS are taken as if they had come in a SETTINGS frame, but are not acknowledged. */
static tr_code_t
take_alps(tr_h2_t *h2, tr_slice_t alps, tr_err_t *err)
{
    tr_rd_t rd = tr_rd(alps);
    tr_code_t code = TR_OK;
    h2->in_alps = true;
    while (code == TR_OK && !tr_rd_empty(&rd)) {
        const uint8_t *frame = rd.p;
        uint32_t len, stream_id;
        uint8_t type, flags;
        if (!tr_rd_u24(&rd, &len) || !tr_rd_u8(&rd, &type) || !tr_rd_u8(&rd, &flags) || !tr_rd_u32(&rd, &stream_id) ||
            !tr_rd_skip(&rd, len)) {
            code = tr_err_set(err, TR_ERR_H2_PROTOCOL, 0, "h2.alps", "The server's ALPS settings are cut.");
        } else if (type == TR_H2_SETTINGS) {
            if ((flags & TR_H2_FLAG_ACK) != 0 || stream_id != 0 || len % 6 != 0 || len / 6 > TR_H2_MAX_SETTINGS_ENTRIES) {
                code = tr_err_set(err, TR_ERR_H2_PROTOCOL, 0, "h2.alps", "The server's ALPS settings are malformed.");
                break;
            }
            ssize_t used = nghttp2_session_mem_recv(h2->session, frame, TR_H2_FRAME_HEAD_LEN + len);
            if (used == NGHTTP2_ERR_NOMEM) {
                code = tr_err_nomem(err, "h2.alps");
            } else if (used < 0 || nghttp2_session_check_request_allowed(h2->session) == 0) {
                code = tr_err_set(err, TR_ERR_H2_PROTOCOL, 0, "h2.alps", "The server's ALPS settings have a forbidden value.");
            }
            h2->num_unwanted_acks++;
        } else if (type == TR_H2_ACCEPT_CH) {
            code = take_accept_ch(h2, tr_slice(frame + TR_H2_FRAME_HEAD_LEN, len), flags, stream_id, err);
        } else if (type <= TR_H2_CONTINUATION) {
            code = tr_err_set(err, TR_ERR_H2_PROTOCOL, type, "h2.alps", "The server's ALPS settings hold a frame of a wrong kind.");
        }
    }
    h2->in_alps = false;
    return code;
}

tr_code_t
tr_h2_new(tr_h2_t **out, const tr_profile_t *profile, tr_slice_t peer_alps, const tr_h2_limits_t *limits, tr_err_t *err)
{
    tr_code_t code;
    *out = NULL;
    tr_h2_t *h2 = tr_calloc(1, sizeof(*h2));
    if (h2 == NULL) {
        return tr_err_nomem(err, "h2.new");
    }
    h2->profile = profile;
    h2->limits = limits != NULL ? *limits : (tr_h2_limits_t){TR_HTTP_MAX_HEADER_BYTES, TR_HTTP_MAX_HEADER_FIELDS};
    h2->max_streams = DEFAULT_MAX_STREAMS;
    h2->noticed = h2->err = TR_ERR_INIT;
    tr_list_init(&h2->live);
    tr_list_init(&h2->spare);
    tr_hpack_init(&h2->hpack, profile->hpack);
    tr_buf_init(&h2->block);
    tr_buf_init(&h2->last_words);
    tr_h2__rules(&h2->rules, profile);
    code = make_session(h2);
    if (code != TR_OK) {
        (void)tr_err_nomem(err, "h2.new");
        goto fail;
    }
    code = queue_opening(h2, err);
    if (code == TR_OK) {
        code = take_alps(h2, peer_alps, err);
    }
    if (code != TR_OK) {
        goto fail;
    }
    *out = h2;
    return TR_OK;
fail:
    tr_h2_free(h2);
    return code;
}

static void
free_streams(tr_list_t *list)
{
    tr_link_t *link;
    while ((link = tr_list_shift(list)) != NULL) {
        tr_h2_stream_t *stream = TR_CONTAINER_OF(link, tr_h2_stream_t, link);
        tr_headers_cleanup(&stream->headers);
        tr_buf_cleanup(&stream->fields);
        tr_free(stream);
    }
}

void
tr_h2_free(tr_h2_t *h2)
{
    if (h2 == NULL) {
        return;
    }
    nghttp2_session_del(h2->session);
    free_streams(&h2->live);
    free_streams(&h2->spare);
    tr_hpack_cleanup(&h2->hpack);
    tr_buf_cleanup(&h2->block);
    tr_buf_cleanup(&h2->last_words);
    tr_buf_cleanup(&h2->accept_ch);
    tr_free(h2->nva);
    tr_free(h2);
}

/* ----------------------------------------------------------------------------------------------------------- failure */

/* The connection is over: all exchanges fail, and every later call fails with the same error. */
static tr_code_t
die(tr_h2_t *h2, const tr_err_t *why, tr_err_t *err)
{
    if (!h2->dead) {
        h2->dead = true;
        h2->draining = true;
        h2->err = *why;
        TR_TRACE(TR_TOPIC_H2, "connection fails: %s: %s", tr_err_name(why->code), why->msg);
        tr_link_t *link;
        while ((link = tr_list_first(&h2->live)) != NULL) {
            tr_h2_stream_t *stream = TR_CONTAINER_OF(link, tr_h2_stream_t, link);
            tr_h2__fail(stream, &h2->err, !stream->sent);
        }
    }
    if (err != NULL) {
        *err = h2->err;
    }
    return h2->err.code;
}

/* As die, with a GOAWAY for pull. */
static tr_code_t
die_with_goaway(tr_h2_t *h2, uint32_t goaway_code, tr_err_t *err)
{
    /* Without memory for it the connection just closes. */
    (void)tr_h2__write_goaway(&h2->last_words, goaway_code);
    return die(h2, &h2->noticed, err);
}

/* nghttp2 has found the server guilty and queued GOAWAY with its verdict: fetch both. */
static tr_code_t
die_as_nghttp2_says(tr_h2_t *h2, tr_err_t *err)
{
    const uint8_t *data;
    ssize_t len;
    h2->draining = true;
    while (h2->last_words.len < LAST_WORDS_MAX && (len = nghttp2_session_mem_send(h2->session, &data)) > 0) {
        if (tr_buf_append(&h2->last_words, data, (size_t)len) != TR_OK) {
            break;
        }
    }
    if (h2->noticed.code == TR_OK) {
        (void)tr_err_set(&h2->noticed, TR_ERR_H2_PROTOCOL, NGHTTP2_PROTOCOL_ERROR, "h2.frame", NULL);
    }
    return die(h2, &h2->noticed, err);
}

/* Maps a failure that an nghttp2 call returned. */
static tr_code_t
die_of(tr_h2_t *h2, ssize_t rv, tr_err_t *err)
{
    uint32_t code = NGHTTP2_PROTOCOL_ERROR;
    if (h2->noticed.code != TR_OK) {
        code = h2->noticed.code == TR_ERR_H2_PROTOCOL ? (uint32_t)h2->noticed.detail : NGHTTP2_INTERNAL_ERROR;
    } else if (rv == NGHTTP2_ERR_NOMEM) {
        (void)tr_err_nomem(&h2->noticed, "h2.nghttp2");
        code = NGHTTP2_INTERNAL_ERROR;
    } else if (rv == NGHTTP2_ERR_FLOODED || rv == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) {
        code = NGHTTP2_ENHANCE_YOUR_CALM;
        (void)tr_err_set(&h2->noticed, TR_ERR_H2_PROTOCOL, NGHTTP2_ENHANCE_YOUR_CALM, "h2.flood", "The server floods the connection: %s",
                         nghttp2_strerror((int)rv));
    } else {
        (void)tr_err_set(&h2->noticed, TR_ERR_H2_PROTOCOL, (int32_t)rv, "h2.nghttp2", "The server broke the HTTP/2 protocol: %s",
                         nghttp2_strerror((int)rv));
    }
    return die_with_goaway(h2, code, err);
}

void
tr_h2_abort(tr_h2_t *h2, const tr_err_t *err)
{
    tr_err_t why = *err;
    if (h2->got_goaway && h2->goaway_code != NGHTTP2_NO_ERROR) {
        tr_h2__goaway_err(h2, &why); /* it said before why it would close */
    }
    (void)die(h2, &why, NULL);
}

/* ------------------------------------------------------------------------------------------------------------ requests */

/* The body, asked for by nghttp2 whenever the windows have room. */
static ssize_t
read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t max, uint32_t *flags, nghttp2_data_source *source,
          void *user_data)
{
    TR_UNUSED(session);
    TR_UNUSED(user_data);
    tr_h2_stream_t *stream = source->ptr;
    if (stream->id != id) {
        return NGHTTP2_ERR_DEFERRED; /* cancelled: RST_STREAM is queued before the next DATA */
    }
    const tr_body_source_t *body = &stream->body;
    tr_err_t err = TR_ERR_INIT;
    tr_code_t code = TR_OK;
    size_t len = 0;
    if (stream->body_len >= 0) {
        max = (size_t)TR_MIN((uint64_t)max, (uint64_t)stream->body_len - stream->body_sent);
    }
    if (body->read == NULL) {
        len = max;
        if (len > 0) {
            memcpy(buf, body->bytes.data + stream->body_sent, len);
        }
    } else if (max > 0) {
        code = body->read(body->arg, buf, max, &len, &err);
        if (stream->id != id) {
            return NGHTTP2_ERR_DEFERRED;
        }
        if (code == TR_PAUSED && len == 0) {
            return NGHTTP2_ERR_DEFERRED;
        }
        if (!tr_failed(code) && (len > max || (len == 0 && code != TR_EOF))) {
            code = tr_err_set(&err, TR_ERR_REQUEST_BODY, 0, "h2.body", "The request's body source gave an impossible length.");
        }
    }
    if (!tr_failed(code)) {
        stream->body_sent += len;
        bool complete = stream->body_len >= 0 && stream->body_sent == (uint64_t)stream->body_len;
        if (complete && body->read != NULL && code != TR_EOF) {
            /* END_STREAM belongs on the last DATA frame, so the end is asked for now. A source that pauses here has given what it
             * declared. */
            uint8_t extra;
            size_t extra_len = 0;
            tr_code_t extra_code = body->read(body->arg, &extra, 1, &extra_len, &err);
            if (tr_failed(extra_code)) {
                code = extra_code;
            } else if (extra_len > 0) {
                code = tr_err_set(&err, TR_ERR_REQUEST_BODY, 0, "h2.body", "The request's body is longer than declared.");
            }
            if (stream->id != id) {
                return NGHTTP2_ERR_DEFERRED;
            }
        }
        if (code == TR_EOF && !complete && stream->body_len >= 0) {
            code = tr_err_set(&err, TR_ERR_REQUEST_BODY, 0, "h2.body", "The request's body is shorter than declared.");
        }
        if (!tr_failed(code)) {
            if (complete || code == TR_EOF) {
                *flags |= NGHTTP2_DATA_FLAG_EOF;
            }
            return (ssize_t)len;
        }
    }
    tr_h2__reset(stream->h2, id, NGHTTP2_CANCEL);
    tr_h2__fail(stream, &err, false);
    return NGHTTP2_ERR_DEFERRED;
}

/* RFC 9113 8.2.2: connection-specific fields; and Host, which :authority replaces (8.3.1). */
static bool
is_dropped(const tr_field_t *field)
{
    tr_slice_t name = field->name;
    switch (name.len) {
    case 2:
        return tr_slice_ieq(name, TR_SLICE_LIT("te")) && !tr_slice_ieq(field->value, TR_SLICE_LIT("trailers"));
    case 4:
        return tr_slice_ieq(name, TR_SLICE_LIT("host"));
    case 7:
        return tr_slice_ieq(name, TR_SLICE_LIT("upgrade"));
    case 10:
        return tr_slice_ieq(name, TR_SLICE_LIT("connection")) || tr_slice_ieq(name, TR_SLICE_LIT("keep-alive"));
    case 16:
        return tr_slice_ieq(name, TR_SLICE_LIT("proxy-connection"));
    case 17:
        return tr_slice_ieq(name, TR_SLICE_LIT("transfer-encoding"));
    default:
        return false;
    }
}

/* Printable bytes and those above ASCII: what may stand in :path and :authority. */
static bool
is_visible(tr_slice_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] <= 0x20 || text.data[i] == 0x7f) {
            return false;
        }
    }
    return text.len > 0;
}

static nghttp2_nv *
put(nghttp2_nv *nv, tr_slice_t name, tr_slice_t value, uint8_t flags)
{
    *nv = (nghttp2_nv){(uint8_t *)(uintptr_t)name.data, (uint8_t *)(uintptr_t)value.data, name.len, value.len, flags};
    return nv + 1;
}

static tr_slice_t
trim(tr_slice_t value)
{
    while (value.len > 0 && (value.data[0] == ' ' || value.data[0] == '\t')) {
        value.data++;
        value.len--;
    }
    while (value.len > 0 && (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t')) {
        value.len--;
    }
    return value;
}

/* Both browsers send each cookie of a Cookie field as a field of its own (RFC 9113 8.2.3). */
static nghttp2_nv *
put_cookies(nghttp2_nv *nv, tr_slice_t name, tr_slice_t value)
{
    while (value.len > 0) {
        const uint8_t *end = memchr(value.data, ';', value.len);
        size_t len = end == NULL ? value.len : (size_t)(end - value.data);
        tr_slice_t crumb = trim(tr_slice(value.data, len));
        if (crumb.len > 0) {
            nv = put(nv, name, crumb, NGHTTP2_NV_FLAG_NONE);
        }
        len = TR_MIN(len + 1, value.len);
        value = tr_slice(value.data + len, value.len - len);
    }
    return nv;
}

static tr_code_t
check_head(const tr_request_head_t *head, size_t *out_num, tr_err_t *err)
{
    if (!tr_http_is_token(head->method)) {
        return tr_err_set(err, TR_ERR_METHOD_INVALID, 0, "h2.submit", NULL);
    }
    if (!is_visible(head->target) || !is_visible(head->authority) || head->scheme.len == 0) {
        return tr_err_set(err, TR_ERR_URL_INVALID, 0, "h2.submit", "The URL has characters that must not be sent.");
    }
    size_t num = 5;
    size_t size = head->method.len + head->target.len + head->authority.len + head->protocol.len + 5 * 32;
    for (size_t i = 0; i < head->num_fields; i++) {
        const tr_field_t *field = &head->fields[i];
        if (!tr_http_is_token(field->name) || !tr_http_is_field_value(field->value)) {
            return tr_err_set(err, TR_ERR_HEADER_INVALID, 0, "h2.submit", "The header \"%.*s\" has characters that must not be sent.",
                              (int)TR_MIN(field->name.len, (size_t)64), (const char *)field->name.data);
        }
        size += field->name.len + field->value.len + 32;
        num++;
        if (field->name.len == 6 && tr_slice_ieq(field->name, TR_SLICE_LIT("cookie"))) {
            for (size_t at = 0; at < field->value.len; at++) {
                bool splits = field->value.data[at] == ';';
                num += splits;
                size += splits ? 6 + 32 : 0;
            }
        }
        if (size > REQUEST_FIELDS_MAX) {
            return tr_err_set(err, TR_ERR_HEADER_INVALID, 0, "h2.submit", "The request's headers are too large.");
        }
    }
    *out_num = num;
    return TR_OK;
}

/* All that is emitted of a request's head, in order: pseudo-headers as the profile has them, then the fields. Returns how many, and
 * whether a content-length was among them. h2->nva has room. */
static size_t
fill_fields(tr_h2_t *h2, const tr_request_head_t *head, bool *out_has_length)
{
    nghttp2_nv *nv = h2->nva;
    /* RFC 9113 8.5: CONNECT has neither :scheme nor :path; RFC 8441 4: with :protocol it has. */
    bool connect = tr_slice_eq(head->method, TR_SLICE_LIT("CONNECT")) && head->protocol.len == 0;
    const char *order = h2->profile->pseudo_order[0] == '\0' ? "masp" : h2->profile->pseudo_order;
    for (size_t i = 0; i < 4 && order[i] != '\0'; i++) {
        switch (order[i]) {
        case 'm':
            nv = put(nv, TR_SLICE_LIT(":method"), head->method, NGHTTP2_NV_FLAG_NO_COPY_NAME);
            break;
        case 'a':
            nv = put(nv, TR_SLICE_LIT(":authority"), head->authority, NGHTTP2_NV_FLAG_NO_COPY_NAME);
            break;
        case 's':
            if (!connect) {
                nv = put(nv, TR_SLICE_LIT(":scheme"), head->scheme, NGHTTP2_NV_FLAG_NO_COPY_NAME);
            }
            break;
        default:
            if (!connect) {
                nv = put(nv, TR_SLICE_LIT(":path"), head->target, NGHTTP2_NV_FLAG_NO_COPY_NAME);
            }
            break;
        }
    }
    if (head->protocol.len > 0) { /* behind the others in both live captures */
        nv = put(nv, TR_SLICE_LIT(":protocol"), head->protocol, NGHTTP2_NV_FLAG_NO_COPY_NAME);
    }
    *out_has_length = false;
    for (size_t i = 0; i < head->num_fields; i++) {
        const tr_field_t *field = &head->fields[i];
        if (is_dropped(field)) {
            continue;
        }
        if (field->name.len == 6 && tr_slice_ieq(field->name, TR_SLICE_LIT("cookie"))) {
            nv = put_cookies(nv, field->name, field->value);
            continue;
        }
        if (field->name.len == 14 && tr_slice_ieq(field->name, TR_SLICE_LIT("content-length"))) {
            *out_has_length = true;
        }
        nv = put(nv, field->name, trim(field->value), NGHTTP2_NV_FLAG_NONE); /* nghttp2 copies and lower-cases */
    }
    return (size_t)(nv - h2->nva);
}

static tr_code_t
reserve_nva(tr_h2_t *h2, size_t num)
{
    if (num > h2->nva_cap) {
        size_t cap = TR_MAX(num, (size_t)64); /* bounded by REQUEST_FIELDS_MAX / 32 */
        nghttp2_nv *grown = tr_realloc(h2->nva, cap * sizeof(*grown));
        if (grown == NULL) {
            return TR_ERR_NOMEM;
        }
        h2->nva = grown;
        h2->nva_cap = cap;
    }
    return TR_OK;
}

/* The fields wait with the stream until nghttp2 lets its HEADERS go: the encoder's table depends on the order of sending. Each is two
 * lengths, the name in lower case, and the value. */
typedef struct packed_head {
    uint32_t name_len, value_len;
} packed_head_t;

static tr_code_t
pack_fields(tr_h2_stream_t *stream, const nghttp2_nv *nva, size_t num)
{
    tr_buf_t *out = &stream->fields;
    size_t total = 0;
    for (size_t i = 0; i < num; i++) {
        total += sizeof(packed_head_t) + nva[i].namelen + nva[i].valuelen; /* bounded by REQUEST_FIELDS_MAX */
    }
    tr_buf_clear(out);
    if (tr_buf_reserve(out, total) != TR_OK) {
        return TR_ERR_NOMEM;
    }
    for (size_t i = 0; i < num; i++) {
        packed_head_t head = {(uint32_t)nva[i].namelen, (uint32_t)nva[i].valuelen};
        uint8_t *at = tr_buf_tail(out);
        memcpy(at, &head, sizeof(head));
        at += sizeof(head);
        for (size_t n = 0; n < head.name_len; n++) {
            *at++ = tr_ascii_lower(nva[i].name[n]);
        }
        if (head.value_len > 0) {
            memcpy(at, nva[i].value, head.value_len);
        }
        tr_buf_commit(out, sizeof(head) + head.name_len + head.value_len);
    }
    return TR_OK;
}

/* h2->block becomes the header block of the packed fields. */
static tr_code_t
encode_fields(tr_h2_t *h2, tr_slice_t packed)
{
    tr_buf_clear(&h2->block);
    tr_code_t code = tr_hpack_begin(&h2->hpack, &h2->block);
    for (size_t at = 0; code == TR_OK && at < packed.len;) {
        packed_head_t head;
        memcpy(&head, packed.data + at, sizeof(head));
        at += sizeof(head);
        code = tr_hpack_field(&h2->hpack, &h2->block, tr_slice(packed.data + at, head.name_len),
                              tr_slice(packed.data + at + head.name_len, head.value_len));
        at += (size_t)head.name_len + head.value_len;
    }
    return code;
}

void
tr_h2__drop_fields(tr_h2_stream_t *stream)
{
    if (stream->fields.cap > TR_H2_FRAME_MAX) {
        tr_buf_cleanup(&stream->fields);
    }
    tr_buf_clear(&stream->fields);
}

static tr_h2_stream_t *
take_stream(tr_h2_t *h2)
{
    tr_link_t *link = tr_list_shift(&h2->spare);
    tr_h2_stream_t *stream;
    if (link != NULL) {
        stream = TR_CONTAINER_OF(link, tr_h2_stream_t, link);
        /* A response's own memory left with it; what a large section of trailers took is not kept. */
        if (stream->headers.bytes.cap > TR_H2_FRAME_MAX) {
            tr_headers_cleanup(&stream->headers);
        }
        tr_headers_t headers = stream->headers;
        tr_buf_t fields = stream->fields;
        memset(stream, 0, sizeof(*stream));
        stream->headers = headers;
        stream->fields = fields;
    } else {
        stream = tr_calloc(1, sizeof(*stream));
        if (stream == NULL) {
            return NULL;
        }
        tr_headers_init(&stream->headers);
        tr_buf_init(&stream->fields);
    }
    stream->h2 = h2;
    return stream;
}

tr_code_t
tr_h2_submit(tr_h2_t *h2, tr_h2_stream_t **out, const tr_request_head_t *head, const tr_exchange_events_t *events, void *arg,
             tr_err_t *err)
{
    *out = NULL;
    if (!tr_h2_can_submit(h2)) {
        return TR_AGAIN;
    }
    size_t num = 0;
    tr_code_t code = check_head(head, &num, err);
    if (code != TR_OK) {
        return code;
    }
    int64_t body_len = 0;
    if (head->body.present) {
        body_len = head->body.read == NULL ? (int64_t)head->body.bytes.len : TR_MAX(head->body.len, (int64_t)-1);
    }
    tr_h2_stream_t *stream = NULL;
    if (reserve_nva(h2, num) != TR_OK || (stream = take_stream(h2)) == NULL) {
        return tr_err_nomem(err, "h2.submit");
    }
    bool has_length;
    num = fill_fields(h2, head, &has_length);
    bool empty_data = (h2->profile->flags & TR_PROFILE_H2_EMPTY_DATA) != 0 && (head->body.present || has_length);
    nghttp2_data_provider provider = {{.ptr = stream}, read_body};
    const nghttp2_nv *nva = h2->nva;
    nghttp2_nv method_only;
    if (h2->profile->hpack != TR_HPACK_GENERIC) {
        if (pack_fields(stream, h2->nva, num) != TR_OK) {
            tr_list_push_front(&h2->spare, &stream->link);
            return tr_err_nomem(err, "h2.submit");
        }
        /* nghttp2's block is not sent; what it wants to know of the request is the method. */
        num = (size_t)(put(&method_only, TR_SLICE_LIT(":method"), head->method, NGHTTP2_NV_FLAG_NO_COPY_NAME) - &method_only);
        nva = &method_only;
    }
    /* No priority fields: they are put in when the frame goes out, and nghttp2's own tree stays flat. */
    int32_t id = nghttp2_submit_request(h2->session, NULL, nva, num, body_len != 0 || empty_data ? &provider : NULL, stream);
    if (id < 0) {
        tr_list_push_front(&h2->spare, &stream->link);
        if (id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE) {
            h2->draining = true;
            return TR_AGAIN;
        }
        return id == NGHTTP2_ERR_NOMEM ? tr_err_nomem(err, "h2.submit")
                                       : tr_err_set(err, TR_ERR_INTERNAL, id, "h2.submit", "nghttp2: %s", nghttp2_strerror(id));
    }
    stream->id = id;
    stream->body = head->body;
    stream->body_len = body_len;
    stream->weight = head->weight != 0 ? head->weight : h2->profile->priority.weight;
    stream->events = *events;
    stream->arg = arg;
    tr_list_push(&h2->live, &stream->link);
    h2->num_live++;
    h2->num_open++;
    h2->num_unsent++;
    *out = stream;
    return TR_OK;
}

void
tr_h2_cancel(tr_h2_t *h2, tr_h2_stream_t *stream)
{
    if (stream->id != 0) {
        tr_h2__reset(h2, stream->id, NGHTTP2_CANCEL);
        tr_h2__detach(stream);
    }
}

void
tr_h2_resume(tr_h2_t *h2, tr_h2_stream_t *stream)
{
    TR_UNUSED(h2);
    if (stream->id != 0) {
        stream->paused = false;
        tr_h2__give_window(stream);
    }
}

void
tr_h2_resume_body(tr_h2_t *h2, tr_h2_stream_t *stream)
{
    if (stream->id != 0 && !h2->dead) {
        int rv = nghttp2_session_resume_data(h2->session, stream->id);
        if (rv == NGHTTP2_ERR_NOMEM && h2->noticed.code == TR_OK) {
            (void)tr_err_nomem(&h2->noticed, "h2.resume_body");
        } /* any other: it was not waiting */
    }
}

tr_code_t
tr_h2_ping(tr_h2_t *h2, tr_err_t *err)
{
    if (h2->dead) {
        return die(h2, NULL, err);
    }
    h2->ping_due = true;
    return TR_OK;
}

/* ---------------------------------------------------------------------------------------------------------- frames out */

/* Frames in nghttp2's queues other than request HEADERS (and DATA, which wait with their streams). */
static bool
has_control(const tr_h2_t *h2)
{
    return nghttp2_session_get_outbound_queue_size(h2->session) > h2->num_unsent;
}

/* The last open stream of the same or higher weight (chromium_156_linux.json); 0: none. */
static uint32_t
last_open_of(const tr_h2_t *h2, const tr_h2_stream_t *stream)
{
    const tr_link_t *link = stream == NULL ? &h2->live.head : stream->link.prev;
    for (; link != &h2->live.head; link = link->prev) {
        const tr_h2_stream_t *other = TR_CONTAINER_OF(link, tr_h2_stream_t, link);
        if (other->weight >= stream->weight) {
            return (uint32_t)other->id;
        }
    }
    return 0;
}

/* Of a frame's head (RFC 9113 4.1). */
static uint32_t
stream_id(const uint8_t *frame)
{
    return ((uint32_t)frame[5] << 24 | (uint32_t)frame[6] << 16 | (uint32_t)frame[7] << 8 | frame[8]) & 0x7fffffffu;
}

/* Writes the request HEADERS that nghttp2 gave, with the profile's priority fields and cut. nghttp2's further frames of the same block
 * are fetched first. */
static tr_code_t
write_request(tr_h2_t *h2, const uint8_t *frame, size_t len, tr_buf_t *out)
{
    uint32_t id = stream_id(frame);
    bool end_stream = (frame[4] & TR_H2_FLAG_END_STREAM) != 0;
    tr_slice_t block = tr_slice(frame + TR_H2_FRAME_HEAD_LEN, len - TR_H2_FRAME_HEAD_LEN);
    tr_code_t code = TR_OK;
    if ((frame[4] & TR_H2_FLAG_END_HEADERS) == 0) {
        bool more = true;
        tr_buf_clear(&h2->block);
        code = tr_buf_append(&h2->block, block.data, block.len);
        while (code == TR_OK && more) {
            ssize_t n = nghttp2_session_mem_send(h2->session, &frame);
            if (n < TR_H2_FRAME_HEAD_LEN || frame[3] != TR_H2_CONTINUATION) {
                return n == NGHTTP2_ERR_NOMEM ? TR_ERR_NOMEM : TR_ERR_INTERNAL;
            }
            more = (frame[4] & TR_H2_FLAG_END_HEADERS) == 0;
            code = tr_buf_append(&h2->block, frame + TR_H2_FRAME_HEAD_LEN, (size_t)n - TR_H2_FRAME_HEAD_LEN);
        }
        block = tr_buf_slice(&h2->block);
    }
    tr_h2_stream_t *stream = nghttp2_session_get_stream_user_data(h2->session, (int32_t)id);
    h2->pulled = stream;
    uint16_t weight = stream != NULL ? stream->weight : h2->profile->priority.weight;
    if (code == TR_OK && h2->profile->hpack != TR_HPACK_GENERIC) {
        if (stream == NULL) {
            return TR_ERR_INTERNAL; /* nghttp2 sends no cancelled request */
        }
        code = encode_fields(h2, tr_buf_slice(&stream->fields));
        block = tr_buf_slice(&h2->block);
        tr_h2__drop_fields(stream);
    }
    if (code == TR_OK) {
        code = tr_h2__write_headers(out, &h2->rules, h2->profile, id, last_open_of(h2, stream), weight, end_stream, block);
    }
    if (h2->block.cap > 4 * TR_H2_FRAME_MAX) {
        tr_buf_cleanup(&h2->block);
    }
    return code;
}

typedef enum sent_kind { SENT_NOTHING, SENT_CONTROL, SENT_HEADERS, SENT_DATA } sent_kind_t;

/* The profile's SETTINGS frame, with the values that nghttp2 was not told. */
static tr_code_t
write_settings(tr_h2_t *h2, const uint8_t *frame, size_t len, tr_buf_t *out)
{
    size_t at = out->len + TR_H2_FRAME_HEAD_LEN;
    tr_code_t code = tr_buf_append(out, frame, len);
    if (code != TR_OK || len != TR_H2_FRAME_HEAD_LEN + 6 * h2->profile->num_settings) {
        return code;
    }
    for (size_t i = 0; i < h2->profile->num_settings; i++, at += 6) {
        uint32_t value = h2->profile->settings[i].value;
        for (size_t byte = 0; byte < 4; byte++) {
            out->data[at + 2 + byte] = (uint8_t)(value >> (24 - 8 * byte));
        }
    }
    return code;
}

/* Moves one frame of nghttp2's to out. */
static tr_code_t
send_frame(tr_h2_t *h2, tr_buf_t *out, sent_kind_t *out_kind)
{
    const uint8_t *data;
    *out_kind = SENT_NOTHING;
    ssize_t len = nghttp2_session_mem_send(h2->session, &data);
    if (len <= 0) {
        return len == 0 ? TR_OK : len == NGHTTP2_ERR_NOMEM ? TR_ERR_NOMEM : TR_ERR_INTERNAL;
    }
    *out_kind = SENT_CONTROL;
    if (len < TR_H2_FRAME_HEAD_LEN || (size_t)len == NGHTTP2_CLIENT_MAGIC_LEN) {
        if (memcmp(data, NGHTTP2_CLIENT_MAGIC, TR_MIN((size_t)len, (size_t)3)) == 0) {
            return tr_buf_append(out, data, (size_t)len);
        }
    }
    switch (data[3]) {
    case TR_H2_HEADERS:
        *out_kind = SENT_HEADERS;
        return write_request(h2, data, (size_t)len, out);
    case TR_H2_DATA:
        *out_kind = SENT_DATA;
        h2->pulled = nghttp2_session_get_stream_user_data(h2->session, (int32_t)stream_id(data));
        break;
    case TR_H2_SETTINGS:
        if ((data[4] & TR_H2_FLAG_ACK) != 0 && h2->num_unwanted_acks > 0) {
            h2->num_unwanted_acks--;
            return TR_OK;
        }
        if ((data[4] & TR_H2_FLAG_ACK) == 0) {
            return write_settings(h2, data, (size_t)len, out);
        }
        break;
    default:
        break;
    }
    return tr_buf_append(out, data, (size_t)len);
}

/* All waiting control frames; ends early should a request slip in between (a control frame that nghttp2 drops at the last moment makes
 * room for the next one). */
static tr_code_t
send_control(tr_h2_t *h2, tr_buf_t *out, sent_kind_t *out_kind)
{
    tr_code_t code = TR_OK;
    *out_kind = SENT_CONTROL;
    while (code == TR_OK && *out_kind == SENT_CONTROL && has_control(h2)) {
        code = send_frame(h2, out, out_kind);
    }
    return code;
}

/* A PING goes out behind the HEADERS that wait, as Chromium's does; its pings count from 1. */
static tr_code_t
queue_ping(tr_h2_t *h2)
{
    uint64_t number = h2->num_pings + 1;
    uint8_t payload[8];
    if (!h2->ping_due || h2->num_unsent > 0) {
        return TR_OK;
    }
    for (size_t i = 0; i < sizeof(payload); i++) {
        payload[i] = (uint8_t)(number >> (8 * (sizeof(payload) - 1 - i)));
    }
    if (nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, payload) != 0) {
        return TR_ERR_NOMEM;
    }
    h2->num_pings = number;
    h2->ping_due = false;
    return TR_OK;
}

/* One record: see tr_h2_pull. */
static tr_code_t
send_record(tr_h2_t *h2, tr_buf_t *out)
{
    sent_kind_t kind = SENT_CONTROL;
    size_t start = out->len;
    tr_code_t code = queue_ping(h2);
    if (code == TR_OK) {
        code = send_control(h2, out, &kind);
    }
    if (!h2->opened && code == TR_OK) {
        h2->opened = true;
        code = tr_h2__write_priority_frames(out, h2->profile);
        if (code == TR_OK && (h2->profile->flags & TR_PROFILE_H2_ONE_RECORD) != 0 && kind == SENT_CONTROL) {
            code = send_frame(h2, out, &kind);
        }
    } else if (code == TR_OK && out->len == start) {
        code = send_frame(h2, out, &kind);
    }
    if (code == TR_OK && kind == SENT_HEADERS && h2->profile->stream_window_increment != 0) {
        code = send_control(h2, out, &kind); /* the stream's WINDOW_UPDATE lies in the same record (Firefox) */
    }
    return code;
}

tr_code_t
tr_h2_pull(tr_h2_t *h2, tr_buf_t *out, tr_err_t *err)
{
    if (h2->dead) {
        if (h2->last_words.len > 0) {
            tr_code_t code = tr_buf_append(out, h2->last_words.data, h2->last_words.len);
            tr_buf_cleanup(&h2->last_words);
            if (code == TR_OK) {
                return TR_OK;
            }
        }
        return die(h2, NULL, err);
    }
    size_t start = out->len;
    h2->pulled = NULL;
    tr_code_t code = send_record(h2, out);
    if (code != TR_OK) {
        if (h2->noticed.code == TR_OK) {
            (void)tr_err_set(&h2->noticed, code, 0, "h2.pull", NULL);
        }
        return die(h2, &h2->noticed, err);
    }
    if (h2->noticed.code != TR_OK) {
        code = die(h2, &h2->noticed, err);
        return out->len > start ? TR_OK : code;
    }
    return out->len > start ? TR_OK : TR_AGAIN;
}

/* ------------------------------------------------------------------------------------------------------------ frames in */

/* nghttp2 ends a connection by queueing GOAWAY, and tells nobody: it then allows no request any more. */
static bool
was_terminated(const tr_h2_t *h2)
{
    return !h2->got_goaway && nghttp2_session_check_request_allowed(h2->session) == 0 &&
           nghttp2_session_get_next_stream_id(h2->session) <= WINDOW_MAX;
}

tr_code_t
tr_h2_feed(tr_h2_t *h2, tr_bufq_t *in, tr_err_t *err)
{
    tr_code_t code = TR_OK;
    if (h2->dead) {
        code = die(h2, NULL, err);
    }
    while (code == TR_OK && (h2->chunk = tr_bufq_shift(in)) != NULL) {
        tr_slice_t bytes = tr_chunk_slice(h2->chunk);
        h2->idle_bytes += bytes.len;
        ssize_t used = nghttp2_session_mem_recv(h2->session, bytes.data, bytes.len);
        if (h2->idle_bytes > TR_H2_MAX_IDLE_BYTES && h2->noticed.code == TR_OK) {
            (void)tr_err_set(&h2->noticed, TR_ERR_H2_PROTOCOL, NGHTTP2_ENHANCE_YOUR_CALM, "h2.flood",
                             "The server floods the HTTP/2 connection with data that nobody asked for.");
        }
        tr_chunk_free(h2->chunk); /* NULL when a callback took it over */
        h2->chunk = NULL;
        if (h2->dead) {
            code = die(h2, NULL, err); /* aborted by a callback */
        } else if (used < 0 || h2->noticed.code != TR_OK) {
            code = die_of(h2, used, err);
        } else if (was_terminated(h2)) {
            code = die_as_nghttp2_says(h2, err);
        } else {
            /* Ignored streams' DATA and padding are in nghttp2's count, so the connection's window never leaks. */
            int32_t unread = nghttp2_session_get_effective_recv_data_length(h2->session);
            if (unread > 0 && (uint32_t)unread >= h2->rules.conn_threshold &&
                nghttp2_submit_window_update(h2->session, NGHTTP2_FLAG_NONE, 0, unread) != 0) {
                (void)tr_err_nomem(&h2->noticed, "h2.window_update");
                code = die_with_goaway(h2, NGHTTP2_INTERNAL_ERROR, err);
            }
        }
    }
    if (code != TR_OK) {
        tr_bufq_cleanup(in);
    }
    return code;
}

/* ------------------------------------------------------------------------------------------------------------- questions */

bool
tr_h2_can_submit(const tr_h2_t *h2)
{
    return !h2->draining && h2->num_open < h2->max_streams;
}

bool
tr_h2_is_draining(const tr_h2_t *h2)
{
    return h2->draining || nghttp2_session_get_next_stream_id(h2->session) > WINDOW_MAX;
}

size_t
tr_h2_num_streams(const tr_h2_t *h2)
{
    return h2->num_live;
}

size_t
tr_h2_max_streams(const tr_h2_t *h2)
{
    return h2->max_streams;
}

bool
tr_h2_got_settings(const tr_h2_t *h2)
{
    return h2->got_settings;
}

bool
tr_h2_has_connect(const tr_h2_t *h2)
{
    return h2->got_settings && nghttp2_session_get_remote_settings(h2->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

bool
tr_h2_wants_write(const tr_h2_t *h2)
{
    return h2->dead ? h2->last_words.len > 0 : h2->ping_due || nghttp2_session_want_write(h2->session) != 0;
}

void
tr_h2_mark(tr_h2_t *h2, uint64_t mark)
{
    if (h2->pulled != NULL) {
        h2->pulled->mark = mark;
    }
}

uint64_t
tr_h2_stream_mark(const tr_h2_stream_t *stream)
{
    return stream->mark;
}

bool
tr_h2_stream_sent(const tr_h2_stream_t *stream)
{
    return stream->sent;
}

bool
tr_h2_stream_was_too_many(const tr_h2_stream_t *stream)
{
    return stream->too_many;
}
