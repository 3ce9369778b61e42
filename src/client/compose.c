#include "client/compose.h"

#include "client/pagemap.h"
#include "core/limits.h"

/* Fields of a profile; browsers send 10 to 25. */
#define ENTRIES_MAX 64
#define NONE UINT16_MAX

/* Fields that this module makes or treats itself. */
typedef enum kind {
    KIND_OTHER,
    KIND_HOST,
    KIND_CONTENT_LENGTH,
    KIND_CONTENT_TYPE,
    KIND_COOKIE,
    KIND_AUTHORIZATION,
    KIND_ORIGIN,
    KIND_REFERER,
    KIND_DROPPED /* not for this version of HTTP, or the engine's own business */
} kind_t;

/* How browsers spell, over HTTP/1.1, fields that they send now and then and no navigation has. Only for names that the caller wrote in
 * lower case: most callers' header containers fold the case. */
static const char *const spellings[] = {
    "Authorization",     "Cache-Control",       "Content-Length",  "Content-Type",     "Cookie",
    "Host",              "If-Match",            "If-None-Match",   "If-Modified-Since", "If-Range",
    "If-Unmodified-Since", "Origin",            "Pragma",          "Range",            "Referer",
    "Upgrade",           "Connection",          "Accept",          "Accept-Encoding",  "Accept-Language",
    "User-Agent",        "X-Requested-With",    "Proxy-Authorization",
};

/* One run. A field's place among the profile's is a rank: 4 * index + 2 for the profile's own; fields without a place of their own lie
 * between them. */
typedef struct run {
    const tr_compose_t *in;
    tr_arena_t *arena; /* lent */
    size_t num_entries; /* the profile's, for this kind of request and version */
    tr_slice_t names[ENTRIES_MAX];
    const char *values[ENTRIES_MAX]; /* NULL: a place */
    kind_t kinds[ENTRIES_MAX];
    uint16_t first[ENTRIES_MAX]; /* the caller's first field of that name; chained through next */
    uint16_t last[ENTRIES_MAX];
    uint16_t *next;  /* by the caller's index */
    uint16_t *known; /* likewise: the profile's entry, or NONE */
    size_t custom;   /* the entry before which fields go that the browser does not send */
    bool custom_leads; /* what follows is content-length: authorization lies behind the custom fields, not before them */
    int rank_empty; /* of an empty body's content-length; 0: as others */
    int rank_length, rank_type, rank_cookie, rank_authorization;
    bool has_type, has_cookie, has_authorization; /* the caller speaks of them (perhaps to remove them) */
    bool has_origin, has_referer;
    tr_slice_t host;
    tr_slice_t length;  /* text of content-length; empty: none */
    tr_slice_t cookie;  /* merged; empty: none */
    tr_field_t *out;
    size_t num_out;
} run_t;

static bool
is_name(tr_slice_t name, const char *lower, size_t len)
{
    return name.len == len && tr_slice_ieq(name, tr_slice(lower, len));
}

#define IS(name, lit) is_name(name, lit, sizeof(lit) - 1)

/* RFC 9113 8.2.2 names the connection-specific fields; Host is :authority there (8.3.1). Over HTTP/1.1 the engine alone frames the
 * body: a caller's transfer-encoding would smuggle. */
static kind_t
kind_of(tr_slice_t name, bool http2)
{
    switch (name.len) {
    case 4:
        return IS(name, "host") ? (http2 ? KIND_DROPPED : KIND_HOST) : KIND_OTHER;
    case 6:
        return IS(name, "cookie") ? KIND_COOKIE : IS(name, "origin") ? KIND_ORIGIN : KIND_OTHER;
    case 7:
        return IS(name, "referer") ? KIND_REFERER : http2 && IS(name, "upgrade") ? KIND_DROPPED : KIND_OTHER;
    case 10:
        return http2 && (IS(name, "connection") || IS(name, "keep-alive")) ? KIND_DROPPED : KIND_OTHER;
    case 12:
        return IS(name, "content-type") ? KIND_CONTENT_TYPE : KIND_OTHER;
    case 13:
        return IS(name, "authorization") ? KIND_AUTHORIZATION : KIND_OTHER;
    case 14:
        return IS(name, "content-length") ? KIND_CONTENT_LENGTH : KIND_OTHER;
    case 16:
        return http2 && IS(name, "proxy-connection") ? KIND_DROPPED : KIND_OTHER;
    case 17:
        return IS(name, "transfer-encoding") ? KIND_DROPPED : KIND_OTHER;
    default:
        return KIND_OTHER;
    }
}

/* Fetch Metadata and client hints go to potentially trustworthy URLs alone (https, and this machine), and there alone browsers take encodings that
 * old proxies on the way did not know. All three engines: tests/fingerprint/test_browser_proxies.py shows two. */
static const char *
for_plain_http(const char *name, const char *value)
{
    tr_slice_t what = tr_slice_cstr(name);
    if ((what.len > 7 && is_name(tr_slice(what.data, 7), "sec-ch-", 7)) || (what.len > 10 && is_name(tr_slice(what.data, 10), "sec-fetch-", 10))) {
        return NULL;
    }
    return IS(what, "accept-encoding") && strncmp(value, "gzip, deflate,", 14) == 0 ? "gzip, deflate" : value;
}

static void
add_entry(run_t *run, const char *name, const char *value)
{
    size_t e = run->num_entries;
    if (e == ENTRIES_MAX) {
        return;
    }
    if (TR_UNLIKELY(run->in->untrustworthy) && value != NULL && run->in->profile->kinds != NULL) {
        value = for_plain_http(name, value);
    }
    run->names[e] = tr_slice_cstr(name);
    run->kinds[e] = kind_of(run->names[e], run->in->http2);
    run->values[e] = value;
    if (value != NULL && run->kinds[e] == KIND_CONTENT_LENGTH) {
        run->rank_empty = 4 * (int)e + 2;
    }
    run->first[e] = run->last[e] = NONE;
    if (run->in->site != NULL && value != NULL && IS(run->names[e], "sec-fetch-site")) {
        run->values[e] = run->in->site;
    }
    run->num_entries++;
}

/* The row of a navigation by name; NULL: it has none. */
static const tr_profile_header_t *
find_row(const tr_profile_header_t *rows, size_t num_rows, tr_slice_t name)
{
    uint8_t first = name.len == 0 ? 0 : tr_ascii_lower(name.data[0]);
    for (size_t i = 0; i < num_rows; i++) {
        if (tr_ascii_lower((uint8_t)rows[i].name[0]) == first && strlen(rows[i].name) == name.len && tr_slice_ieq(tr_slice_cstr(rows[i].name), name)) {
            return &rows[i];
        }
    }
    return NULL;
}

/* RFC 6455 4.1. */
static const tr_profile_header_t plain_handshake[] = {
    {"Host", NULL},
    {"Connection", "Upgrade"},
    {"Upgrade", "websocket"},
    {"User-Agent", tr_profile_same},
    {"Origin", NULL},
    {"Sec-WebSocket-Version", "13"},
    {"Accept-Encoding", tr_profile_same},
    {"Accept-Language", tr_profile_same},
    {"Cookie", NULL},
    {"Sec-WebSocket-Key", NULL},
    {"Sec-WebSocket-Extensions", "permessage-deflate"},
    {"Sec-WebSocket-Protocol", NULL},
};

static bool
is_hint(const tr_profile_header_t *row)
{
    return strncmp(row->name, "sec-ch-ua", 9) == 0;
}

/* TR_HINT_COUNT: it is none. */
static tr_hint_t
hint_of(tr_slice_t name)
{
    int hint = 0;
    while (hint < TR_HINT_COUNT && !tr_slice_ieq(name, tr_slice_cstr(tr_hint_name((tr_hint_t)hint)))) {
        hint++;
    }
    return (tr_hint_t)hint;
}

/* The hints of a request: those of the navigation, and those that were asked for, in Chromium's order. */
static void
add_hints(run_t *run, const tr_profile_header_t *page, size_t num_page)
{
    for (int hint = 0; hint < TR_HINT_COUNT; hint++) {
        const char *name = tr_hint_name((tr_hint_t)hint);
        const tr_profile_header_t *row = find_row(page, num_page, tr_slice_cstr(name));
        bool asked = (run->in->hints >> hint & 1) != 0 && run->in->profile->hints[hint] != NULL;
        if (row != NULL) {
            add_entry(run, row->name, row->value);
        } else if (asked) {
            add_entry(run, name, run->in->profile->hints[hint]);
        }
    }
}

/* Those that the connection asks for (ACCEPT_CH) are set when the rest is there already. */
static void
add_late_hints(run_t *run, const tr_profile_header_t *page, size_t num_page)
{
    for (int hint = 0; run->in->late_hints != 0 && hint < TR_HINT_COUNT; hint++) {
        const char *name = tr_hint_name((tr_hint_t)hint);
        if ((run->in->late_hints >> hint & 1) != 0 && run->in->profile->hints[hint] != NULL && find_row(page, num_page, tr_slice_cstr(name)) == NULL) {
            add_entry(run, name, run->in->profile->hints[hint]);
        }
    }
}

/* A navigation with hints that were asked for. behind: the row that they follow; NULL: they are where the navigation has its own. */
static void
read_hinted(run_t *run, const tr_profile_header_t *page, size_t num_page, const char *behind)
{
    bool done = false;
    if (behind != NULL && find_row(page, num_page, tr_slice_cstr(behind)) == NULL) {
        behind = NULL;
    }
    for (size_t i = 0; i < num_page; i++) {
        tr_slice_t name = tr_slice_cstr(page[i].name);
        bool is_own = hint_of(name) != TR_HINT_COUNT;
        if (is_own && behind == NULL && !done) {
            add_hints(run, page, num_page);
            done = true;
        }
        if (!is_own) {
            add_entry(run, page[i].name, page[i].value);
        }
        if (behind != NULL && tr_slice_ieq(name, tr_slice_cstr(behind))) {
            add_hints(run, page, num_page);
        }
        if (IS(name, "accept")) {
            add_late_hints(run, page, num_page);
        }
    }
}

/* A redirected navigation of Chromium: `python -m tls_requests capture` shows it, its client hints are set anew, behind the rest of what the
 * page's loader says. Over both versions they are lower case. */
static void
read_redirected(run_t *run, const tr_profile_header_t *page, size_t num_page)
{
    for (size_t i = 0; i < num_page; i++) {
        if (!is_hint(&page[i])) {
            add_entry(run, page[i].name, page[i].value);
        }
        for (size_t k = 0; tr_slice_ieq(tr_slice_cstr(page[i].name), TR_SLICE_LIT("sec-fetch-dest")) && k < num_page; k++) {
            if (is_hint(&page[k])) {
                add_entry(run, page[k].name, page[k].value);
            }
        }
    }
}

/* What the profile sends for this kind of request: profile.h says how a kind's table is read. */
static void
read_profile(run_t *run)
{
    const tr_compose_t *in = run->in;
    const tr_profile_t *profile = in->profile;
    const tr_profile_header_t *page = in->http2 ? profile->h2_headers : profile->h1_headers;
    size_t num_page = in->http2 ? profile->num_h2_headers : profile->num_h1_headers;
    const tr_profile_kind_t *kind = in->kind == TR_KIND_NAVIGATE ? NULL : tr_profile_kind(profile, in->kind);
    const tr_profile_header_t *rows = kind == NULL ? NULL : in->http2 ? kind->h2_headers : kind->h1_headers;
    size_t num_rows = kind == NULL ? 0 : in->http2 ? kind->num_h2_headers : kind->num_h1_headers;
    if (num_rows == 0 && in->kind == TR_KIND_WEBSOCKET) {
        rows = plain_handshake; /* no capture has one: what RFC 6455 asks for, with what the browser says of itself */
        num_rows = TR_ARRAY_LEN(plain_handshake);
    }
    if (TR_UNLIKELY((in->hints | in->late_hints) != 0) && num_rows == 0) {
        /* Seen in Chromium 156: what is made once more for hints has them behind accept, unless they have been moved already. */
        bool moved = in->redirected && (profile->flags & TR_PROFILE_REDIRECT_MOVES_HINTS) != 0;
        read_hinted(run, page, num_page, moved ? "sec-fetch-dest" : in->restarted ? "accept" : NULL);
        return;
    }
    if (in->redirected && in->kind == TR_KIND_NAVIGATE && (profile->flags & TR_PROFILE_REDIRECT_MOVES_HINTS) != 0 &&
        find_row(page, num_page, TR_SLICE_LIT("sec-fetch-dest")) != NULL) {
        read_redirected(run, page, num_page);
        return;
    }
    if (num_rows == 0) {
        for (size_t i = 0; i < num_page; i++) {
            add_entry(run, page[i].name, page[i].value);
        }
        return;
    }
    bool hinted = false;
    for (size_t i = 0; i < num_rows; i++) {
        tr_slice_t name = tr_slice_cstr(rows[i].name);
        const char *value = rows[i].value;
        if (TR_UNLIKELY(in->hints != 0) && hint_of(name) != TR_HINT_COUNT) {
            if (!hinted) {
                add_hints(run, page, num_page);
            }
            hinted = true;
            continue;
        }
        if (value != NULL) {
            bool same = value == tr_profile_same;
            bool by_version = IS(name, "priority") || (name.len > 10 && is_name(tr_slice(name.data, 10), "sec-fetch-", 10));
            const tr_profile_header_t *row = same || by_version ? find_row(page, num_page, name) : NULL;
            if ((same || by_version) && (row == NULL || row->value == NULL)) {
                continue;
            }
            value = same ? row->value : value;
        }
        add_entry(run, rows[i].name, value);
        if (TR_UNLIKELY(in->late_hints != 0) && IS(name, "accept")) {
            add_late_hints(run, page, num_page);
        }
    }
}

static uint16_t
find_entry(const run_t *run, tr_slice_t name)
{
    for (size_t e = 0; e < run->num_entries; e++) {
        if (run->names[e].len == name.len && tr_slice_ieq(run->names[e], name)) {
            return (uint16_t)e;
        }
    }
    return NONE;
}

/* Where the browser puts what its navigations do not send. Captures (fetch_get_with_headers, fetch_post_json, xhr_post): a page's own
 * fields lie beside content-length, on accept-encoding's side: Chromium's behind it (content-length, x-custom, sec-ch-ua...,
 * accept-encoding), Firefox's before it (accept-encoding, content-type, x-custom, content-length). Chromium puts credentials of a URL
 * straight behind content-length, Firefox behind the page's fields. A profile without that place: before accept-encoding. */
static void
find_places(run_t *run)
{
    uint16_t length = find_entry(run, TR_SLICE_LIT("content-length"));
    uint16_t encoding = find_entry(run, TR_SLICE_LIT("accept-encoding"));
    if (length == NONE) {
        run->custom = encoding == NONE ? run->num_entries : encoding;
    } else {
        run->custom_leads = encoding != NONE && encoding < length;
        run->custom = run->custom_leads ? length : (size_t)length + 1;
    }
    uint16_t type = find_entry(run, TR_SLICE_LIT("content-type"));
    uint16_t cookie = find_entry(run, TR_SLICE_LIT("cookie"));
    uint16_t authorization = find_entry(run, TR_SLICE_LIT("authorization"));
    int custom = 4 * (int)run->custom;
    run->rank_length = length != NONE ? 4 * length + 2 : custom - 1;
    run->rank_type = type != NONE ? 4 * type + 2 : custom + 1;
    run->rank_cookie = cookie != NONE ? 4 * cookie + 2 : 4 * (int)run->num_entries + 4;
    run->rank_authorization = authorization != NONE ? 4 * authorization + 2 : run->custom_leads ? custom + 1 : custom - 1;
}

static tr_code_t
invalid(tr_err_t *err, tr_slice_t name)
{
    return tr_err_set(err, TR_ERR_HEADER_INVALID, 0, "compose", "The header \"%.*s\" has characters that must not be sent.",
                      (int)TR_MIN(name.len, (size_t)64), (const char *)name.data);
}

/* Reads the caller's fields: checks them and ties them to the profile's. */
static tr_code_t
read_caller(run_t *run, tr_err_t *err)
{
    const tr_compose_t *in = run->in;
    if (in->num_headers > TR_HTTP_MAX_HEADER_FIELDS) {
        return tr_err_set(err, TR_ERR_HEADER_INVALID, 0, "compose", "The request has more than %d headers.", TR_HTTP_MAX_HEADER_FIELDS);
    }
    run->next = tr_arena_alloc(run->arena, 2 * (in->num_headers + 1) * sizeof(*run->next));
    if (run->next == NULL) {
        return tr_err_nomem(err, "compose");
    }
    run->known = run->next + in->num_headers + 1;
    for (size_t i = 0; i < in->num_headers; i++) {
        const tr_field_t *field = &in->headers[i];
        if (!tr_http_is_token(field->name) || !tr_http_is_field_value(field->value)) {
            return invalid(err, field->name);
        }
        uint16_t e = find_entry(run, field->name);
        run->known[i] = e;
        run->next[i] = NONE;
        if (e != NONE) {
            if (run->first[e] == NONE) {
                run->first[e] = (uint16_t)i;
            } else {
                run->next[run->last[e]] = (uint16_t)i;
            }
            run->last[e] = (uint16_t)i;
        }
        switch (kind_of(field->name, in->http2)) {
        case KIND_HOST:
            if (field->value.data != NULL) {
                run->host = field->value;
            }
            break;
        case KIND_CONTENT_TYPE:
            run->has_type = true;
            break;
        case KIND_COOKIE:
            run->has_cookie = true;
            break;
        case KIND_AUTHORIZATION:
            run->has_authorization = true;
            break;
        case KIND_ORIGIN:
            run->has_origin = true;
            break;
        case KIND_REFERER:
            run->has_referer = true;
            break;
        default:
            break;
        }
    }
    if (!tr_http_is_field_value(in->cookie)) {
        return invalid(err, TR_SLICE_LIT("cookie"));
    }
    if (!tr_http_is_field_value(in->body_type)) {
        return invalid(err, TR_SLICE_LIT("content-type"));
    }
    if (!tr_http_is_field_value(in->authorization)) {
        return invalid(err, TR_SLICE_LIT("authorization"));
    }
    if (!tr_http_is_field_value(run->host)) {
        return invalid(err, TR_SLICE_LIT("host"));
    }
    return TR_OK;
}

/* RFC 9110 8.6: a method that expects content says that there is none. */
static bool
says_zero(tr_slice_t method)
{
    return tr_slice_eq(method, TR_SLICE_LIT("POST")) || tr_slice_eq(method, TR_SLICE_LIT("PUT")) ||
           tr_slice_eq(method, TR_SLICE_LIT("PATCH"));
}

static tr_code_t
make_length(run_t *run)
{
    const tr_compose_t *in = run->in;
    if (in->has_body ? in->body_len < 0 : !says_zero(in->method)) {
        return TR_OK;
    }
    uint64_t value = in->has_body ? (uint64_t)in->body_len : 0;
    uint8_t digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    run->length = tr_slice(tr_arena_dup(run->arena, tr_slice(digits + at, sizeof(digits) - at)), sizeof(digits) - at);
    return run->length.data == NULL ? TR_ERR_NOMEM : TR_OK;
}

/* One Cookie field (RFC 6265 5.4): the caller's, then the jar's. A caller's removal removes all. */
static tr_code_t
make_cookie(run_t *run)
{
    const tr_compose_t *in = run->in;
    if (!run->has_cookie) {
        run->cookie = in->cookie;
        return TR_OK;
    }
    size_t len = in->cookie.len;
    bool some = false;
    for (size_t i = 0; i < in->num_headers; i++) {
        if (in->headers[i].value.data != NULL && IS(in->headers[i].name, "cookie")) {
            some = true;
            len += in->headers[i].value.len + 2;
        }
    }
    if (!some) {
        return TR_OK;
    }
    uint8_t *text = tr_arena_alloc(run->arena, len + 1);
    if (text == NULL) {
        return TR_ERR_NOMEM;
    }
    size_t at = 0;
    for (size_t i = 0; i <= in->num_headers; i++) {
        tr_slice_t part = in->cookie;
        if (i < in->num_headers) {
            part = IS(in->headers[i].name, "cookie") ? in->headers[i].value : TR_SLICE_NULL;
        }
        if (part.len > 0) {
            if (at > 0) {
                text[at++] = ';';
                text[at++] = ' ';
            }
            memcpy(text + at, part.data, part.len);
            at += part.len;
        }
    }
    run->cookie = tr_slice(text, at);
    return TR_OK;
}

/* ------------------------------------------------------------------------------------------------------------ names */

static bool
has_upper(tr_slice_t name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] >= 'A' && name.data[i] <= 'Z') {
            return true;
        }
    }
    return false;
}

/* The name as it is sent. browser: the profile's spelling, data NULL when it does not know the field. */
static tr_slice_t
spell(run_t *run, tr_slice_t name, tr_slice_t browser)
{
    bool upper = has_upper(name);
    if (run->in->http2) { /* RFC 9113 8.2: lower case */
        if (!upper) {
            return name;
        }
        uint8_t *copy = tr_arena_dup(run->arena, name);
        for (size_t i = 0; copy != NULL && i < name.len; i++) {
            copy[i] = tr_ascii_lower(copy[i]);
        }
        return tr_slice(copy, name.len);
    }
    if (browser.data != NULL && !(run->in->exact && upper)) {
        return browser;
    }
    for (size_t i = 0; !upper && i < TR_ARRAY_LEN(spellings); i++) {
        tr_slice_t spelling = tr_slice_cstr(spellings[i]);
        if (spelling.len == name.len && tr_slice_ieq(spelling, name)) {
            return spelling;
        }
    }
    return name;
}

static void
put(run_t *run, tr_slice_t name, tr_slice_t value)
{
    run->out[run->num_out++] = (tr_field_t){name, value};
}

static void
put_caller(run_t *run, size_t i)
{
    const tr_field_t *field = &run->in->headers[i];
    uint16_t e = run->known[i];
    put(run, spell(run, field->name, e == NONE ? TR_SLICE_NULL : run->names[e]), field->value);
}

static tr_slice_t
own_name(run_t *run, const char *lower)
{
    tr_slice_t name = tr_slice_cstr(lower);
    uint16_t e = find_entry(run, name);
    return spell(run, name, e == NONE ? TR_SLICE_NULL : run->names[e]);
}

/* ------------------------------------------------------------------------------------------------------- the two orders */

#define ADDED_MAX 7

/* What the caller did not give: content-length, content-type, cookie, authorization, origin, referer, each with its rank; sorted. */
typedef struct added {
    int rank;
    tr_slice_t name;
    tr_slice_t value;
} added_t;

static int
rank_of_place(const run_t *run, const char *name)
{
    uint16_t e = find_entry(run, tr_slice_cstr(name));
    return e != NONE ? 4 * e + 2 : 4 * (int)run->custom + 1;
}

/* What says which page asks. */
static size_t
list_of_page(run_t *run, added_t *list)
{
    const tr_compose_t *in = run->in;
    size_t num = 0;
    if (!run->has_origin && in->origin.len > 0) {
        list[num++] = (added_t){rank_of_place(run, "origin"), own_name(run, "origin"), in->origin};
    }
    if (!run->has_referer && in->referer.len > 0) {
        list[num++] = (added_t){rank_of_place(run, "referer"), own_name(run, "referer"), in->referer};
    }
    if (in->websocket_key.len > 0 && !in->http2) { /* RFC 8441 5: there is none */
        list[num++] = (added_t){rank_of_place(run, "sec-websocket-key"), own_name(run, "sec-websocket-key"), in->websocket_key};
    }
    return num;
}

static size_t
list_added(run_t *run, added_t *list)
{
    const tr_compose_t *in = run->in;
    size_t num = 0;
    if (run->length.len > 0) {
        bool empty = run->rank_empty != 0 && run->length.len == 1 && run->length.data[0] == '0';
        list[num++] = (added_t){empty ? run->rank_empty : run->rank_length, own_name(run, "content-length"), run->length};
    }
    if (!run->has_authorization && in->authorization.len > 0) {
        list[num++] = (added_t){run->rank_authorization, own_name(run, "authorization"), in->authorization};
    }
    if (!run->has_type && in->body_type.len > 0) {
        list[num++] = (added_t){run->rank_type, own_name(run, "content-type"), in->body_type};
    }
    if (!run->has_cookie && run->cookie.len > 0) {
        list[num++] = (added_t){run->rank_cookie, own_name(run, "cookie"), run->cookie};
    }
    if (!in->exact) {
        num += list_of_page(run, list + num);
    }
    for (size_t i = 1; i < num; i++) {
        for (size_t j = i; j > 0 && list[j].rank < list[j - 1].rank; j--) {
            added_t swap = list[j];
            list[j] = list[j - 1];
            list[j - 1] = swap;
        }
    }
    return num;
}

/* A caller's field that is not sent where he put it. */
static bool
is_skipped(const run_t *run, size_t i, bool *cookie_done)
{
    const tr_field_t *field = &run->in->headers[i];
    switch (kind_of(field->name, run->in->http2)) {
    case KIND_HOST:
    case KIND_CONTENT_LENGTH:
    case KIND_DROPPED:
        return true;
    case KIND_COOKIE:
        if (*cookie_done || field->value.data == NULL) {
            return true; /* merged into the first one */
        }
        *cookie_done = true;
        return run->cookie.len == 0;
    case KIND_OTHER:
        if (run->in->http2 && IS(field->name, "te") && !tr_slice_ieq(field->value, TR_SLICE_LIT("trailers"))) {
            return true;
        }
        break;
    default:
        break;
    }
    return field->value.data == NULL;
}

static void
put_caller_or_cookie(run_t *run, size_t i)
{
    put_caller(run, i);
    if (kind_of(run->in->headers[i].name, run->in->http2) == KIND_COOKIE) {
        run->out[run->num_out - 1].value = run->cookie;
    }
}

static int
rank_of(const run_t *run, size_t i)
{
    return run->known[i] == NONE ? 4 * (int)run->custom : 4 * run->known[i] + 2;
}

/* Where a field of that rank goes among the caller's that are sent (kept): before the one that leaves the fewest pairs in an order that is
 * not the browser's. */
static size_t
best_place(const run_t *run, const uint16_t *kept, size_t num_kept, int rank)
{
    size_t best = 0;
    int cost = 0, best_cost = 0; /* against the place before all */
    for (size_t k = 0; k < num_kept; k++) {
        int other = rank_of(run, kept[k]);
        cost += other < rank ? -1 : other > rank;
        if (cost < best_cost) {
            best_cost = cost;
            best = k + 1;
        }
    }
    return best;
}

/* The caller's order, and what is added where it disturbs the browser's least. */
static tr_code_t
compose_exact(run_t *run)
{
    added_t added[ADDED_MAX];
    size_t places[ADDED_MAX];
    size_t num_added = list_added(run, added);
    size_t num_kept = 0, at = 0;
    bool cookie_done = false;
    uint16_t *kept = tr_arena_alloc(run->arena, (run->in->num_headers + 1) * sizeof(*kept));
    if (kept == NULL) {
        return TR_ERR_NOMEM;
    }
    for (size_t i = 0; i < run->in->num_headers; i++) {
        if (!is_skipped(run, i, &cookie_done)) {
            kept[num_kept++] = (uint16_t)i;
        }
    }
    for (size_t a = 0; a < num_added; a++) {
        places[a] = best_place(run, kept, num_kept, added[a].rank);
        if (a > 0 && places[a] < places[a - 1]) {
            places[a] = places[a - 1];
        }
    }
    for (size_t k = 0; k <= num_kept; k++) {
        while (at < num_added && places[at] == k) {
            put(run, added[at].name, added[at].value);
            at++;
        }
        if (k < num_kept) {
            put_caller_or_cookie(run, kept[k]);
        }
    }
    return TR_OK;
}

/* The browser's order, with the caller's fields in it. */
static void
compose_browser(run_t *run)
{
    const tr_compose_t *in = run->in;
    added_t added[ADDED_MAX];
    size_t num_added = list_added(run, added);
    size_t at = 0;
    bool cookie_done = false;
    for (size_t e = 0; e <= run->num_entries; e++) {
        if (e == run->custom) {
            while (at < num_added && added[at].rank < 4 * (int)e) {
                put(run, added[at].name, added[at].value);
                at++;
            }
            for (size_t i = 0; i < in->num_headers; i++) {
                if (run->known[i] == NONE && !is_skipped(run, i, &cookie_done)) {
                    put_caller_or_cookie(run, i);
                }
            }
        }
        int rank = 4 * (int)e + 2;
        while (at < num_added && added[at].rank <= rank) {
            put(run, added[at].name, added[at].value);
            at++;
        }
        if (e == run->num_entries) {
            break;
        }
        if (run->first[e] != NONE) {
            for (uint16_t i = run->first[e]; i != NONE; i = run->next[i]) {
                if (!is_skipped(run, i, &cookie_done)) {
                    put_caller_or_cookie(run, i);
                }
            }
        } else if (run->values[e] != NULL && (run->kinds[e] == KIND_OTHER || run->kinds[e] == KIND_CONTENT_TYPE)) {
            put(run, run->names[e], tr_slice_cstr(run->values[e]));
        }
    }
    for (; at < num_added; at++) {
        put(run, added[at].name, added[at].value);
    }
}

/* ------------------------------------------------------------------------------------------------- what a page asks for */

/* In which order the renderer puts them into its table, as far as that decides where a field lies (pagemap.h). What a script sets is there
 * before. */
static const char *const insertion[] = {
    "device-memory", "sec-ch-device-memory", "rtt", "downlink", "ect", "sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-arch", "sec-ch-ua-platform",
    "sec-ch-ua-platform-version", "sec-ch-ua-model", "sec-ch-ua-full-version", "sec-ch-ua-full-version-list", "sec-ch-ua-bitness",
    "sec-ch-ua-wow64", "sec-ch-ua-form-factors", "sec-ch-prefers-color-scheme", "sec-ch-prefers-reduced-motion",
    "sec-ch-prefers-reduced-transparency", "dpr", "sec-ch-dpr", "viewport-width", "sec-ch-viewport-width", "sec-ch-viewport-height",
    "user-agent",
};

/* Whether the renderer's table has that field: its place in `insertion`, or 0 for what a script sets; -1: no. */
static int
place_in_table(const run_t *run, tr_slice_t name)
{
    for (size_t i = 0; i < TR_ARRAY_LEN(insertion); i++) {
        if (tr_slice_ieq(name, tr_slice_cstr(insertion[i]))) {
            return (int)i + 1;
        }
    }
    uint16_t e = find_entry(run, name);
    kind_t kind = kind_of(name, run->in->http2);
    if (IS(name, "accept")) {
        return run->in->kind == TR_KIND_EVENTS || (e != NONE && run->first[e] != NONE) ? 0 : -1;
    }
    return kind == KIND_CONTENT_TYPE || (kind == KIND_OTHER && e == NONE) ? 0 : -1;
}

/* With hints, the fields of a page's request lie in the order of the renderer's table; the rest stays as it is. */
static tr_code_t
apply_table(run_t *run)
{
    size_t fixed = run->in->http2 ? 0 : 1; /* host */
    tr_slice_t names[TR_PAGEMAP_MAX];
    uint16_t from[TR_PAGEMAP_MAX];
    uint8_t order[TR_PAGEMAP_MAX];
    size_t num = 0;
    for (int place = 0; place <= (int)TR_ARRAY_LEN(insertion); place++) {
        for (size_t i = fixed; i < run->num_out; i++) {
            if (run->out[i].name.data != NULL && place_in_table(run, run->out[i].name) == place && num < TR_PAGEMAP_MAX) {
                names[num] = run->out[i].name;
                from[num++] = (uint16_t)i;
            }
        }
    }
    tr_field_t *sorted = tr_arena_alloc(run->arena, (run->num_out + 1) * sizeof(*sorted));
    if (sorted == NULL) {
        return TR_ERR_NOMEM;
    }
    tr_pagemap_order(order, names, num);
    size_t at = 0;
    bool done = false;
    for (size_t i = 0; i < run->num_out; i++) {
        bool taken = false;
        for (size_t k = 0; k < num && !taken; k++) {
            taken = from[k] == i;
        }
        for (size_t k = 0; taken && !done && k < num; k++) {
            sorted[at++] = run->out[from[order[k]]];
        }
        done = done || taken;
        if (!taken) {
            sorted[at++] = run->out[i];
        }
    }
    memcpy(run->out, sorted, at * sizeof(*sorted));
    return TR_OK;
}

static bool
is_of_page(tr_kind_t kind)
{
    return kind == TR_KIND_FETCH || kind == TR_KIND_XHR || kind == TR_KIND_IMAGE || kind == TR_KIND_SCRIPT || kind == TR_KIND_STYLE ||
           kind == TR_KIND_EVENTS;
}

/* headerOrder: the listed fields first, the rest as they are. Host stays where it is (RFC 9110 7.2: first). */
static tr_code_t
apply_order(run_t *run)
{
    const tr_compose_t *in = run->in;
    size_t fixed = in->http2 ? 0 : 1;
    size_t num = run->num_out - fixed;
    if (in->num_order == 0 || num < 2) {
        return TR_OK;
    }
    tr_field_t *sorted = tr_arena_alloc(run->arena, run->num_out * sizeof(*sorted));
    if (sorted == NULL) {
        return TR_ERR_NOMEM;
    }
    tr_field_t *from = run->out + fixed;
    size_t done = 0;
    for (size_t o = 0; o < in->num_order && done < num; o++) {
        tr_slice_t name = tr_slice_cstr(in->order[o]);
        for (size_t i = 0; i < num; i++) {
            if (from[i].name.len == name.len && from[i].name.data != NULL && tr_slice_ieq(from[i].name, name)) {
                sorted[done++] = from[i];
                from[i].name = TR_SLICE_NULL; /* taken */
            }
        }
    }
    for (size_t i = 0; i < num; i++) {
        if (from[i].name.data != NULL) {
            sorted[done++] = from[i];
        }
    }
    memcpy(from, sorted, num * sizeof(*from));
    return TR_OK;
}

tr_code_t
tr_compose_fields(const tr_compose_t *in, tr_arena_t *arena, tr_field_t **out, size_t *out_num, tr_err_t *err)
{
    run_t run;
    run.in = in;
    run.arena = arena;
    run.num_entries = 0;
    run.rank_empty = 0;
    run.custom_leads = false;
    run.has_type = run.has_cookie = run.has_authorization = run.has_origin = run.has_referer = false;
    run.host = in->authority;
    run.length = run.cookie = TR_SLICE_NULL;
    run.num_out = 0;
    *out = NULL;
    *out_num = 0;
    read_profile(&run);
    find_places(&run);
    tr_code_t code = read_caller(&run, err);
    if (code != TR_OK) {
        return code;
    }
    /* the caller's, the profile's, host and what is added */
    run.out = tr_arena_alloc(arena, (in->num_headers + run.num_entries + 1 + ADDED_MAX) * sizeof(*run.out));
    if (run.out == NULL || make_length(&run) != TR_OK || make_cookie(&run) != TR_OK) {
        return tr_err_nomem(err, "compose");
    }
    if (!in->http2) {
        put(&run, own_name(&run, "host"), run.host);
    }
    if (!in->exact) {
        compose_browser(&run);
    } else if (compose_exact(&run) != TR_OK) {
        return tr_err_nomem(err, "compose");
    }
    for (size_t i = 0; i < run.num_out; i++) {
        if (run.out[i].name.data == NULL) {
            return tr_err_nomem(err, "compose");
        }
    }
    if (TR_UNLIKELY(in->hints != 0) && !in->exact && is_of_page(in->kind) && apply_table(&run) != TR_OK) {
        return tr_err_nomem(err, "compose");
    }
    if (apply_order(&run) != TR_OK) {
        return tr_err_nomem(err, "compose");
    }
    *out = run.out;
    *out_num = run.num_out;
    return TR_OK;
}
