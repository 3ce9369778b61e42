#include "http2/order.h"

#include "core/wr.h"

/* RFC 9113 6.5.2 and 6.9.2. */
#define SETTING_INITIAL_WINDOW_SIZE 4
#define DEFAULT_WINDOW 65535

static uint32_t
setting_of(const tr_profile_t *profile, uint16_t id, uint32_t fallback)
{
    for (size_t i = 0; i < profile->num_settings; i++) {
        if (profile->settings[i].id == id) {
            return profile->settings[i].value;
        }
    }
    return fallback;
}

/* Captures of 20,000,000 bytes: Chromium gives a window back once more than half of it was read (3145728 of 6291456; 7864320 of
 * 15728640 on the connection), Firefox, which opens each stream's window itself, at a third (4194304 of 12582912). */
static uint32_t
threshold_of(uint64_t window, bool opens_streams)
{
    uint64_t threshold = opens_streams ? window / 3 : window / 2 + 1;
    return (uint32_t)TR_MAX(threshold, 1);
}

void
tr_h2__rules(tr_h2_rules_t *out, const tr_profile_t *profile)
{
    bool opens_streams = profile->stream_window_increment != 0;
    uint64_t stream = (uint64_t)setting_of(profile, SETTING_INITIAL_WINDOW_SIZE, DEFAULT_WINDOW) + profile->stream_window_increment;
    uint64_t conn = (uint64_t)DEFAULT_WINDOW + profile->window_increment;
    out->stream_threshold = threshold_of(stream, opens_streams);
    out->conn_threshold = threshold_of(conn, opens_streams);
    out->data_max = profile->data_frame_max == 0 ? TR_H2_FRAME_MAX : TR_MIN(profile->data_frame_max, TR_H2_FRAME_MAX);
    out->headers_max = TR_H2_FRAME_MAX;
    /* A browser whose DATA frame fills one TLS record with its head (Chromium: 16375) keeps frames of header blocks one byte below
     * (16374 in the capture). */
    if (out->data_max + TR_H2_FRAME_HEAD_LEN == TR_H2_FRAME_MAX) {
        out->headers_max = out->data_max - 1;
    }
}

static void
write_head(tr_wr_t *wr, size_t len, uint8_t type, uint8_t flags, uint32_t stream_id)
{
    uint8_t head[TR_H2_FRAME_HEAD_LEN] = {(uint8_t)(len >> 16),       (uint8_t)(len >> 8),       (uint8_t)len,
                                          type,                       flags,                     (uint8_t)(stream_id >> 24),
                                          (uint8_t)(stream_id >> 16), (uint8_t)(stream_id >> 8), (uint8_t)stream_id};
    tr_wr_bytes(wr, head, sizeof(head));
}

/* RFC 9113 6.3: exclusive flag and dependency, then the weight less one. */
static void
write_priority(tr_wr_t *wr, uint32_t depends_on, bool exclusive, uint16_t weight)
{
    uint32_t dependency = (depends_on & 0x7fffffffu) | (exclusive ? 0x80000000u : 0);
    uint8_t bytes[5] = {(uint8_t)(dependency >> 24), (uint8_t)(dependency >> 16), (uint8_t)(dependency >> 8), (uint8_t)dependency,
                        (uint8_t)(weight == 0 ? 15 : weight - 1)};
    tr_wr_bytes(wr, bytes, sizeof(bytes));
}

tr_code_t
tr_h2__write_priority_frames(tr_buf_t *out, const tr_profile_t *profile)
{
    tr_wr_t wr = tr_wr(out);
    for (size_t i = 0; i < profile->num_priority_frames; i++) {
        const tr_profile_priority_t *frame = &profile->priority_frames[i];
        write_head(&wr, 5, TR_H2_PRIORITY, 0, frame->stream_id);
        write_priority(&wr, frame->depends_on, frame->exclusive, frame->weight);
    }
    return tr_wr_end(&wr);
}

tr_code_t
tr_h2__write_headers(tr_buf_t *out, const tr_h2_rules_t *rules, const tr_profile_t *profile, uint32_t stream_id,
                     uint32_t last_open, uint16_t weight, bool end_stream, tr_slice_t block)
{
    bool with_priority = profile->priority_mode != TR_PRIORITY_NONE;
    size_t max = rules->headers_max;
    size_t room = with_priority ? max - 5 : max;
    size_t part = TR_MIN(block.len, room);
    uint8_t flags = (uint8_t)((end_stream ? TR_H2_FLAG_END_STREAM : 0) | (with_priority ? TR_H2_FLAG_PRIORITY : 0) |
                              (part == block.len ? TR_H2_FLAG_END_HEADERS : 0));
    tr_wr_t wr = tr_wr(out);
    write_head(&wr, part + (with_priority ? 5 : 0), TR_H2_HEADERS, flags, stream_id);
    if (profile->priority_mode == TR_PRIORITY_CHROMIUM) {
        write_priority(&wr, last_open, true, weight);
    } else if (with_priority) {
        /* RFC 7540 5.3.1: no stream depends on itself; servers reset one that says so. */
        uint32_t depends_on = profile->priority.depends_on == stream_id ? 0 : profile->priority.depends_on;
        write_priority(&wr, depends_on, profile->priority.exclusive, weight);
    }
    tr_wr_bytes(&wr, block.data, part);
    for (size_t pos = part; pos < block.len; pos += part) {
        part = TR_MIN(block.len - pos, max);
        write_head(&wr, part, TR_H2_CONTINUATION, pos + part == block.len ? TR_H2_FLAG_END_HEADERS : 0, stream_id);
        tr_wr_bytes(&wr, block.data + pos, part);
    }
    return tr_wr_end(&wr);
}

tr_code_t
tr_h2__write_goaway(tr_buf_t *out, uint32_t code)
{
    tr_wr_t wr = tr_wr(out);
    write_head(&wr, 8, TR_H2_GOAWAY, 0, 0);
    tr_wr_u32(&wr, 0);
    tr_wr_u32(&wr, code);
    return tr_wr_end(&wr);
}
