/* The engine with the built-in profiles, against what the browsers were seen to send. */
#include "test_http2_peer.h"

static size_t
fields_of(const tr_profile_t *profile, tr_field_t *fields, size_t max)
{
    size_t num = 0;
    for (size_t i = 0; i < profile->num_h2_headers && num < max; i++) {
        if (profile->h2_headers[i].value != NULL) {
            fields[num++] = (tr_field_t){tr_slice_cstr(profile->h2_headers[i].name), tr_slice_cstr(profile->h2_headers[i].value)};
        }
    }
    return num;
}

/* Opening and two navigations of every profile: what its data says, in its records; a server understands it. */
TR_TEST(http2_all_profiles, "/http2/profiles/all")
{
    const tr_profile_t *profile;
    size_t num_profiles = 0;
    for (; (profile = tr_profile_at(num_profiles)) != NULL; num_profiles++) {
        tr_err_t err = TR_ERR_INIT;
        tr_h2_t *h2;
        exchange_t ex[2];
        tr_field_t fields[64];
        char text[4096], expected[4096];
        size_t n = 0;
        tr_buf_t raw = TR_BUF_INIT;
        size_t num = fields_of(profile, fields, 64);
        if (profile->num_settings == 0 && profile->pseudo_order[0] == '\0') {
            continue; /* speaks HTTP/1.1 only */
        }
        tr_request_head_t head = head_of("GET", "/", fields, num);
        if (tr_h2_new(&h2, profile, TR_SLICE_NULL, NULL, &err) != TR_OK) {
            tr_test_fail(__FILE__, __LINE__, "%s: %s", profile->id, err.msg);
        }
        TR_CHECK_OK(start(h2, &ex[0], &head, &err), &err);
        TR_CHECK_OK(start(h2, &ex[1], &head, &err), &err);
        TR_CHECK_INT(pull(h2, text, sizeof(text), &raw, &err), TR_AGAIN);

        n += (size_t)snprintf(expected + n, sizeof(expected) - n, "PREFACE SETTINGS");
        if (profile->window_increment != 0) {
            n += (size_t)snprintf(expected + n, sizeof(expected) - n, " WU/0:%u", profile->window_increment);
        }
        for (size_t i = 0; i < profile->num_priority_frames; i++) {
            const tr_profile_priority_t *p = &profile->priority_frames[i];
            n += (size_t)snprintf(expected + n, sizeof(expected) - n, " PRIORITY/%u[%s%u,%u]", p->stream_id, p->exclusive ? "x" : "", p->depends_on,
                                  p->weight);
        }
        uint32_t first = TR_MAX(profile->first_stream_id, 1);
        for (uint32_t id = first; id <= first + 2; id += 2) {
            bool one = id == first && (profile->flags & TR_PROFILE_H2_ONE_RECORD) != 0;
            const tr_profile_priority_t *p = &profile->priority;
            n += (size_t)snprintf(expected + n, sizeof(expected) - n, "%s HEADERS/%ues", one ? "" : " |", id);
            if (profile->priority_mode == TR_PRIORITY_CHROMIUM) {
                n += (size_t)snprintf(expected + n, sizeof(expected) - n, "[x%u,%u]", id == first ? 0 : first, p->weight);
            } else if (profile->priority_mode == TR_PRIORITY_FIXED) {
                n += (size_t)snprintf(expected + n, sizeof(expected) - n, "[%s%u,%u]", p->exclusive ? "x" : "", p->depends_on, p->weight);
            }
            if (profile->stream_window_increment != 0) {
                n += (size_t)snprintf(expected + n, sizeof(expected) - n, " WU/%u:%u", id, profile->stream_window_increment);
            }
        }
        if (strcmp(text, expected) != 0) {
            tr_test_fail(__FILE__, __LINE__, "%s: \"%s\", not \"%s\"", profile->id, text, expected);
        }
        for (size_t i = 0; i < profile->num_settings; i++) {
            const uint8_t *entry = raw.data + 24 + 9 + 6 * i;
            TR_CHECK_INT((unsigned)entry[0] << 8 | entry[1], profile->settings[i].id);
            TR_CHECK_INT((uint32_t)entry[2] << 24 | (uint32_t)entry[3] << 16 | (uint32_t)entry[4] << 8 | entry[5], profile->settings[i].value);
        }
        tr_buf_cleanup(&raw);
        tr_h2_free(h2);
    }
    TR_CHECK(num_profiles >= 3);
}

/* The captures' first HEADERS: their opening frames, the length of their block, the fields in the order seen. */
static void
check_capture(const char *id, const char *frames, size_t len)
{
    tr_err_t err = TR_ERR_INIT;
    tr_h2_t *h2;
    exchange_t ex;
    tr_field_t fields[64];
    char text[1024];
    tr_buf_t raw = TR_BUF_INIT;
    const tr_profile_t *profile = tr_profile_find(tr_slice_cstr(id));
    TR_CHECK(profile != NULL);
    tr_request_head_t head = head_of("GET", "/", fields, fields_of(profile, fields, 64));
    head.authority = TR_SLICE_LIT("n0.basic.test");
    TR_CHECK_OK(tr_h2_new(&h2, profile, TR_SLICE_NULL, NULL, &err), &err);
    TR_CHECK_OK(start(h2, &ex, &head, &err), &err);
    TR_CHECK_INT(pull(h2, text, sizeof(text), &raw, &err), TR_AGAIN);
    TR_CHECK_SLICE(tr_slice_cstr(text), frames);
    TR_CHECK_INT(raw.len, len);
    tr_buf_cleanup(&raw);
    tr_h2_free(h2);
}

TR_TEST(http2_capture_chromium, "/http2/profiles/chromium_156")
{
    check_capture("chromium_156_linux", "PREFACE SETTINGS WU/0:15663105 | HEADERS/1es[x0,256]", 70 + 9 + 5 + 425);
}

TR_TEST(http2_capture_firefox, "/http2/profiles/firefox_153")
{
    check_capture("firefox_153_linux", "PREFACE SETTINGS WU/0:12517377 | HEADERS/3es[0,42] WU/3:12451840", 70 + 9 + 5 + 270 + 13);
}

/* Weights by kind of request (the captures' page with its parts): Chromium hangs each stream on the last open one of the same or higher weight. */
TR_TEST(http2_weights, "/http2/profiles/weights")
{
    static const uint16_t weights[] = {0, 220, 256, 147, 183, 110, 220};
    static const struct {
        const char *id, *expected[TR_ARRAY_LEN(weights)];
    } rows[] = {
        {"chromium_156_linux",
         {"HEADERS/1es[x0,256]", "HEADERS/3es[x1,220]", "HEADERS/5es[x1,256]", "HEADERS/7es[x5,147]", "HEADERS/9es[x5,183]",
          "HEADERS/11es[x9,110]", "HEADERS/13es[x5,220]"}},
        {"firefox_153_linux",
         {"HEADERS/3es[0,42]", "HEADERS/5es[0,220]", "HEADERS/7es[0,256]", "HEADERS/9es[0,147]", "HEADERS/11es[0,183]",
          "HEADERS/13es[0,110]", "HEADERS/15es[0,220]"}},
    };
    for (size_t r = 0; r < TR_ARRAY_LEN(rows); r++) {
        tr_err_t err = TR_ERR_INIT;
        tr_h2_t *h2;
        exchange_t ex[TR_ARRAY_LEN(weights)];
        char text[4096];
        tr_buf_t raw = TR_BUF_INIT;
        TR_CHECK_OK(tr_h2_new(&h2, tr_profile_find(tr_slice_cstr(rows[r].id)), TR_SLICE_NULL, NULL, &err), &err);
        for (size_t i = 0; i < TR_ARRAY_LEN(weights); i++) {
            tr_request_head_t head = head_of("GET", "/", NULL, 0);
            head.weight = weights[i];
            TR_CHECK_OK(start(h2, &ex[i], &head, &err), &err);
            TR_CHECK_INT(pull(h2, text, sizeof(text), &raw, &err), TR_AGAIN);
            if (strstr(text, rows[r].expected[i]) == NULL) {
                tr_test_fail(__FILE__, __LINE__, "%s: \"%s\" has no \"%s\"", rows[r].id, text, rows[r].expected[i]);
            }
        }
        tr_buf_cleanup(&raw);
        tr_h2_free(h2);
    }
}
