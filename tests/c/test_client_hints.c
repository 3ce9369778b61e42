#include "client/compose.h"
#include "client/hints.h"
#include "client/pagemap.h"
#include "tr_test.h"

/* ------------------------------------------------------------------------------------------------------------- Accept-CH */

static bool
parse(tr_hint_set_t *set, const char *first, const char *second)
{
    tr_headers_t headers;
    tr_headers_init(&headers);
    bool added = tr_headers_add(&headers, TR_SLICE_LIT("x"), TR_SLICE_LIT("dpr")) == TR_OK;
    added = added && (first == NULL || tr_headers_add(&headers, TR_SLICE_LIT("Accept-CH"), tr_slice_cstr(first)) == TR_OK);
    added = added && (second == NULL || tr_headers_add(&headers, TR_SLICE_LIT("accept-ch"), tr_slice_cstr(second)) == TR_OK);
    bool found = added && tr_hints_parse(set, &headers, TR_SLICE_LIT("accept-ch"));
    tr_headers_cleanup(&headers);
    return found;
}

#define BIT(name) ((tr_hint_set_t)1 << TR_HINT_##name)

TR_TEST(hints_lists, "/hints/lists")
{
    static const struct {
        const char *value;
        tr_hint_set_t set;
    } good[] = {
        {"", 0},
        {" ", 0},
        {"dpr", BIT(DPR)},
        {"DPR", BIT(DPR)},
        {"Sec-CH-UA-Arch,Sec-CH-UA-Model", BIT(UA_ARCH) | BIT(UA_MODEL)},
        {"  dpr \t,\t  rtt  ", BIT(DPR) | BIT(RTT)},
        {"dpr, nonsense, *x:/y", BIT(DPR)},
        {"dpr;x, rtt;x=1;y=?0;z=\"a\\\"b\", ect; a=:YQ==:;b=-1.5;c=tok/en", BIT(DPR) | BIT(RTT) | BIT(ECT)},
        {"save-data, width", BIT(SAVE_DATA) | BIT(WIDTH)},
        {"sec-ch-ua-form-factor", 0},
    };
    static const char *const bad[] = {
        ",", "dpr,", "dpr,,rtt", "dpr rtt", "\"dpr\"", "1", "?1", "(dpr)", "dpr;", "dpr;X", "dpr;x=", "dpr;x=\"a", "dpr;x=\"a\\b\"", "dpr;x=?2",
        "dpr;x=:YQ==", "dpr;x=-", "dpr;x=1.", "dpr;=1", "-dpr", "dpr; ;x", "dpr;x=\"\x01\"",
    };
    tr_hint_set_t set;
    for (size_t i = 0; i < TR_ARRAY_LEN(good); i++) {
        TR_CHECK(parse(&set, good[i].value, NULL));
        TR_CHECK_INT(set, good[i].set);
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(bad); i++) {
        if (parse(&set, bad[i], NULL)) {
            fprintf(stderr, "taken: %s\n", bad[i]);
        }
        TR_CHECK(!parse(&set, bad[i], NULL));
        TR_CHECK(!parse(&set, "dpr", bad[i]));
    }
    TR_CHECK(!parse(&set, NULL, NULL));
    TR_CHECK(parse(&set, "dpr", "rtt, ect"));
    TR_CHECK_INT(set, BIT(DPR) | BIT(RTT) | BIT(ECT));
}

/* Each name is found, and no other bytes are read: every cut of a list that has all. */
TR_TEST(hints_all, "/hints/all")
{
    char text[1024];
    size_t len = 0;
    tr_hint_set_t set;
    for (int i = 0; i < TR_HINT_COUNT; i++) {
        TR_CHECK(parse(&set, tr_hint_name((tr_hint_t)i), NULL));
        TR_CHECK_INT(set, (tr_hint_set_t)1 << i);
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s;v=1", i > 0 ? ", " : "", tr_hint_name((tr_hint_t)i));
    }
    TR_CHECK(parse(&set, text, NULL));
    TR_CHECK_INT(set, ((tr_hint_set_t)1 << TR_HINT_COUNT) - 1);
    for (size_t cut = 0; cut <= len; cut++) {
        tr_headers_t headers;
        char *copy = tr_malloc(cut + 1); /* its own block: a byte too far is seen */
        TR_CHECK(copy != NULL);
        memcpy(copy, text, cut);
        tr_headers_init(&headers);
        TR_CHECK_INT(tr_headers_add(&headers, TR_SLICE_LIT("accept-ch"), tr_slice(copy, cut)), TR_OK);
        (void)tr_hints_parse(&set, &headers, TR_SLICE_LIT("accept-ch"));
        tr_headers_cleanup(&headers);
        tr_free(copy);
    }
    TR_CHECK_SLICE(tr_slice_cstr(tr_hint_name(TR_HINT_COUNT)), "");
}

/* --------------------------------------------------------------------------------------------------------------- pagemap */

static size_t
split(tr_slice_t *names, size_t max, const char *text)
{
    size_t num = 0;
    while (*text != '\0' && num < max) {
        size_t len = strcspn(text, " ");
        names[num++] = tr_slice(text, len);
        text += len + (text[len] == ' ' ? 1 : 0);
    }
    return num;
}

static bool
same_order(const char *inserted, const char *expected)
{
    tr_slice_t in[TR_PAGEMAP_MAX], wanted[TR_PAGEMAP_MAX];
    uint8_t order[TR_PAGEMAP_MAX];
    size_t num = split(in, TR_PAGEMAP_MAX, inserted), num_wanted = split(wanted, TR_PAGEMAP_MAX, expected);
    if (num != num_wanted) {
        return false;
    }
    tr_pagemap_order(order, in, num);
    for (size_t i = 0; i < num; i++) {
        if (!tr_slice_eq(in[order[i]], wanted[i])) {
            return false;
        }
    }
    return true;
}

TR_TEST(pagemap_order, "/pagemap/order")
{
    /* chromium_156_linux.json, requests.http2.fetch_get. */
    TR_CHECK(same_order("sec-ch-ua-platform sec-ch-ua-mobile sec-ch-ua user-agent", "sec-ch-ua-platform user-agent sec-ch-ua sec-ch-ua-mobile"));
    TR_CHECK(same_order("SEC-CH-UA-Platform Sec-CH-UA-Mobile sec-ch-ua User-Agent", "SEC-CH-UA-Platform User-Agent sec-ch-ua Sec-CH-UA-Mobile"));
    TR_CHECK(same_order("", ""));
    TR_CHECK(same_order("a", "a"));
}

/* A table that has grown as far as it may; each index once. */
TR_TEST(pagemap_full, "/pagemap/full")
{
    tr_slice_t names[TR_PAGEMAP_MAX];
    char text[TR_PAGEMAP_MAX][64];
    uint8_t order[TR_PAGEMAP_MAX];
    bool seen[TR_PAGEMAP_MAX] = {false};
    for (size_t i = 0; i < TR_PAGEMAP_MAX; i++) {
        /* of each length, so that each branch of the hash reads to the last byte */
        memset(text[i], 'a' + (int)(i % 26), sizeof(text[i]));
        char *copy = tr_malloc(i % 64 + 1);
        TR_CHECK(copy != NULL);
        memcpy(copy, text[i], i % 64 + 1);
        TR_CHECK(tr_pagemap_hash(tr_slice(copy, i % 64 + 1)) != 0);
        tr_free(copy);
        names[i] = tr_slice(text[i], i % 64 + 1);
    }
    tr_pagemap_order(order, names, TR_PAGEMAP_MAX);
    for (size_t i = 0; i < TR_PAGEMAP_MAX; i++) {
        TR_CHECK(order[i] < TR_PAGEMAP_MAX && !seen[order[i]]);
        seen[order[i]] = true;
    }
    TR_CHECK(tr_pagemap_hash(TR_SLICE_LIT("")) != 0);
}

/* --------------------------------------------------------------------------------------------------------------- compose */

/* Chromium 156.0.8078.108: what fetch() sent with drawn sets of hints asked for; the last ones with content-type, accept, x-custom and
 * x-b of a script. Without what lies before and behind the renderer's own. */
static const char *const sent_by_pages[] = {
    "sec-ch-ua-platform user-agent device-memory sec-ch-ua sec-ch-ua-mobile",
    "sec-ch-ua-platform sec-ch-viewport-height ect device-memory sec-ch-ua sec-ch-dpr sec-ch-ua-bitness sec-ch-device-memory sec-ch-ua-mobile user-agent sec-ch-ua-platform-version",
    "sec-ch-ua-full-version-list sec-ch-ua-platform viewport-width device-memory sec-ch-ua sec-ch-dpr sec-ch-ua-model sec-ch-ua-mobile sec-ch-ua-form-factors sec-ch-ua-bitness sec-ch-ua-arch sec-ch-prefers-reduced-transparency sec-ch-ua-full-version downlink ect sec-ch-device-memory sec-ch-prefers-reduced-motion dpr sec-ch-prefers-color-scheme user-agent rtt",
    "sec-ch-ua-platform viewport-width sec-ch-ua sec-ch-dpr sec-ch-ua-model sec-ch-ua-mobile sec-ch-ua-wow64 sec-ch-prefers-reduced-transparency sec-ch-ua-full-version sec-ch-viewport-width downlink sec-ch-device-memory dpr sec-ch-prefers-color-scheme user-agent sec-ch-ua-platform-version",
    "downlink sec-ch-ua-full-version-list sec-ch-ua-platform ect sec-ch-ua sec-ch-ua-bitness sec-ch-ua-model sec-ch-ua-mobile sec-ch-ua-form-factors sec-ch-prefers-reduced-transparency sec-ch-ua-full-version user-agent sec-ch-viewport-width sec-ch-ua-platform-version",
    "x-custom sec-ch-ua-platform device-memory sec-ch-ua sec-ch-ua-mobile user-agent accept content-type x-b",
    "sec-ch-ua-full-version-list sec-ch-ua-platform viewport-width device-memory sec-ch-ua sec-ch-dpr sec-ch-ua-model sec-ch-ua-mobile sec-ch-ua-form-factors sec-ch-ua-bitness sec-ch-ua-wow64 sec-ch-ua-arch sec-ch-ua-full-version accept content-type sec-ch-viewport-width x-b downlink x-custom sec-ch-viewport-height ect sec-ch-device-memory sec-ch-prefers-reduced-motion dpr sec-ch-prefers-color-scheme user-agent rtt sec-ch-ua-platform-version",
    "sec-ch-ua-full-version-list sec-ch-ua-platform viewport-width device-memory sec-ch-ua sec-ch-dpr sec-ch-ua-bitness sec-ch-ua-mobile sec-ch-ua-form-factors sec-ch-prefers-reduced-transparency sec-ch-ua-full-version accept content-type x-b downlink x-custom sec-ch-viewport-height ect sec-ch-device-memory sec-ch-prefers-reduced-motion sec-ch-prefers-color-scheme user-agent rtt sec-ch-ua-platform-version",
    "x-custom sec-ch-ua-platform sec-ch-ua sec-ch-ua-mobile sec-ch-prefers-reduced-transparency user-agent accept content-type x-b",
};

static tr_hint_set_t
set_of(const char *names)
{
    tr_slice_t list[TR_PAGEMAP_MAX];
    tr_hint_set_t set = 0;
    size_t num = split(list, TR_PAGEMAP_MAX, names);
    for (size_t i = 0; i < num; i++) {
        for (int hint = 0; hint < TR_HINT_COUNT; hint++) {
            if (tr_slice_eq(list[i], tr_slice_cstr(tr_hint_name((tr_hint_t)hint)))) {
                set |= (tr_hint_set_t)1 << hint;
            }
        }
    }
    return set;
}

/* The names of the fields, between blanks. */
static tr_code_t
compose(const tr_compose_t *in, char *text, size_t cap)
{
    tr_arena_t arena;
    tr_err_t err = TR_ERR_INIT;
    tr_field_t *fields;
    size_t num, n = 0;
    tr_arena_init(&arena);
    text[0] = '\0';
    tr_code_t code = tr_compose_fields(in, &arena, &fields, &num, &err);
    for (size_t i = 0; code == TR_OK && i < num; i++) {
        n += (size_t)snprintf(text + n, cap - n, "%s%.*s", i > 0 ? " " : "", (int)fields[i].name.len, (const char *)fields[i].name.data);
        TR_CHECK(n < cap);
    }
    tr_arena_cleanup(&arena);
    return code;
}

static const tr_profile_t *
chromium(void)
{
    return tr_profile_find(TR_SLICE_LIT("chromium_156"));
}

TR_TEST_OOM(hints_of_pages, "/hints/compose/pages")
{
    static const tr_field_t of_script[] = {
        {{(const uint8_t *)"x-custom", 8}, {(const uint8_t *)"1", 1}},
        {{(const uint8_t *)"accept", 6}, {(const uint8_t *)"text/x", 6}},
        {{(const uint8_t *)"x-b", 3}, {(const uint8_t *)"1", 1}},
    };
    char text[2048], expected[2048];
    for (size_t i = 0; i < TR_ARRAY_LEN(sent_by_pages); i++) {
        bool script = strstr(sent_by_pages[i], "x-custom") != NULL;
        tr_compose_t in = {.profile = chromium(),
                           .http2 = true,
                           .method = script ? TR_SLICE_LIT("POST") : TR_SLICE_LIT("GET"),
                           .authority = TR_SLICE_LIT("a.test"),
                           .kind = TR_KIND_FETCH,
                           .hints = set_of(sent_by_pages[i])};
        if (script) {
            in.headers = of_script;
            in.num_headers = TR_ARRAY_LEN(of_script);
            in.has_body = true;
            in.body_len = 2;
            in.body_type = TR_SLICE_LIT("application/json");
        }
        tr_code_t code = compose(&in, text, sizeof(text));
        if (code != TR_OK) {
            TR_CHECK_INT(code, TR_ERR_NOMEM);
            return;
        }
        snprintf(expected, sizeof(expected), "%s%s %ssec-fetch-site", script ? "content-length " : "", sent_by_pages[i], script ? "" : "accept ");
        text[TR_MIN(strlen(expected), strlen(text))] = '\0';
        TR_CHECK_SLICE(tr_slice_cstr(text), expected);
    }
}

/* The same browser's navigations: of its own, after a redirect, made once more, made once more after a redirect, and on a connection that asks
 * for more (seen with a server that sends ACCEPT_CH within the handshake). */
TR_TEST_OOM(hints_of_visits, "/hints/compose/visits")
{
    static const struct {
        bool redirected, restarted;
        const char *names;
        tr_hint_set_t late;
    } visits[] = {
        {false, false, "dpr sec-ch-ua sec-ch-ua-mobile sec-ch-ua-arch sec-ch-ua-platform upgrade-insecure-requests user-agent accept "
                       "sec-fetch-site sec-fetch-mode sec-fetch-user sec-fetch-dest accept-encoding accept-language priority", 0},
        {true, false, "upgrade-insecure-requests user-agent accept sec-fetch-site sec-fetch-mode sec-fetch-user sec-fetch-dest dpr "
                      "sec-ch-ua sec-ch-ua-mobile sec-ch-ua-arch sec-ch-ua-platform accept-encoding accept-language priority", 0},
        {false, true, "upgrade-insecure-requests user-agent accept dpr sec-ch-ua sec-ch-ua-mobile sec-ch-ua-arch sec-ch-ua-platform "
                      "sec-fetch-site sec-fetch-mode sec-fetch-user sec-fetch-dest accept-encoding accept-language priority", 0},
        {true, true, "upgrade-insecure-requests user-agent accept sec-fetch-site sec-fetch-mode sec-fetch-user sec-fetch-dest dpr "
                     "sec-ch-ua sec-ch-ua-mobile sec-ch-ua-arch sec-ch-ua-platform accept-encoding accept-language priority", 0},
        {false, false, "dpr sec-ch-ua sec-ch-ua-mobile sec-ch-ua-arch sec-ch-ua-platform upgrade-insecure-requests user-agent accept rtt "
                       "sec-ch-ua-model sec-fetch-site sec-fetch-mode sec-fetch-user sec-fetch-dest accept-encoding accept-language priority",
         BIT(UA_MODEL) | BIT(RTT) | BIT(UA)},
    };
    char text[2048];
    for (size_t i = 0; i < TR_ARRAY_LEN(visits); i++) {
        tr_compose_t in = {.profile = chromium(),
                           .http2 = true,
                           .method = TR_SLICE_LIT("GET"),
                           .authority = TR_SLICE_LIT("a.test"),
                           .redirected = visits[i].redirected,
                           .restarted = visits[i].restarted,
                           .late_hints = visits[i].late,
                           /* width is never sent, sec-ch-ua always */
                           .hints = BIT(DPR) | BIT(UA_ARCH) | BIT(WIDTH) | BIT(UA)};
        tr_code_t code = compose(&in, text, sizeof(text));
        if (code != TR_OK) {
            TR_CHECK_INT(code, TR_ERR_NOMEM);
            return;
        }
        TR_CHECK_SLICE(tr_slice_cstr(text), visits[i].names);
    }
}

/* A caller's field takes the place of the hint; a removed one is not sent; exact fields have none. */
TR_TEST(hints_of_the_caller, "/hints/compose/caller")
{
    static const tr_field_t own[] = {
        {{(const uint8_t *)"Sec-CH-UA-Arch", 14}, {(const uint8_t *)"\"arm\"", 5}},
        {{(const uint8_t *)"dpr", 3}, {NULL, 0}},
    };
    char text[2048];
    tr_compose_t in = {.profile = chromium(),
                       .http2 = true,
                       .method = TR_SLICE_LIT("GET"),
                       .authority = TR_SLICE_LIT("a.test"),
                       .headers = own,
                       .num_headers = TR_ARRAY_LEN(own),
                       .hints = BIT(DPR) | BIT(UA_ARCH) | BIT(UA_MODEL)};
    TR_CHECK_INT(compose(&in, text, sizeof(text)), TR_OK);
    TR_CHECK(strncmp(text, "sec-ch-ua sec-ch-ua-mobile sec-ch-ua-arch sec-ch-ua-platform sec-ch-ua-model upgrade", 84) == 0);
    in.exact = true;
    TR_CHECK_INT(compose(&in, text, sizeof(text)), TR_OK);
    TR_CHECK_SLICE(tr_slice_cstr(text), "sec-ch-ua-arch");
}
