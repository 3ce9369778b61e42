#include "http/url.h"

#include <stdio.h>

#include "core/limits.h"

/* A reference taken apart (RFC 3986 appendix B): lent pieces of the text, nothing decoded. */
typedef struct parts {
    tr_slice_t scheme; /* data NULL: none; so for the others but path */
    tr_slice_t authority;
    tr_slice_t path;
    tr_slice_t query;
    tr_slice_t fragment;
} parts_t;

/* A host name in a URL: 253 characters at most and a final dot (RFC 1035 3.1 in text form). */
#define HOST_MAX 254
/* A zone id is an interface's name or number: 15 characters on Linux and macOS. */
#define ZONE_MAX 32
/* The longest address text: eight groups of four digits. */
#define IPV6_TEXT_MAX 40

/* Which bytes are percent-encoded where, besides controls, blank and non-ASCII: the sets that browsers use (URL
 * Standard, section 1.3), and the backslash in a path, which they would turn into a slash. */
enum { IN_PATH = 1, IN_QUERY = 2, IN_FRAGMENT = 4, IN_USERINFO = 8 };

#define IN_ALL (IN_PATH | IN_QUERY | IN_FRAGMENT | IN_USERINFO)
static const uint8_t encode_sets[128] = {
    [' '] = IN_ALL,
    ['"'] = IN_ALL,
    ['<'] = IN_ALL,
    ['>'] = IN_ALL,
    ['`'] = IN_PATH | IN_FRAGMENT | IN_USERINFO,
    ['#'] = IN_PATH | IN_QUERY | IN_USERINFO,
    ['\''] = IN_QUERY,
    ['\\'] = IN_PATH | IN_USERINFO,
    ['^'] = IN_PATH | IN_USERINFO,
    ['{'] = IN_PATH | IN_USERINFO,
    ['}'] = IN_PATH | IN_USERINFO,
    ['@'] = IN_USERINFO,
    ['['] = IN_USERINFO,
    [']'] = IN_USERINFO,
    ['|'] = IN_USERINFO,
};

/* Whether c is to be encoded; controls never come so far (check_text). */
static bool
must_encode(uint8_t c, unsigned set)
{
    return c >= 0x80 || (encode_sets[c] & set) != 0;
}

static bool
is_alpha(uint8_t c)
{
    uint8_t lower = tr_ascii_lower(c);
    return lower >= 'a' && lower <= 'z';
}

static bool
is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static int
hex_value(uint8_t c)
{
    uint8_t lower = tr_ascii_lower(c);
    return is_digit(c) ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static tr_slice_t
slice_from(tr_slice_t text, size_t start)
{
    return start == 0 ? text : tr_slice(text.data + start, text.len - start);
}

/* Where the first of up to three characters stands; text.len: nowhere. */
static size_t
find_any(tr_slice_t text, uint8_t a, uint8_t b, uint8_t c)
{
    size_t i = 0;
    while (i < text.len && text.data[i] != a && text.data[i] != b && text.data[i] != c) {
        i++;
    }
    return i;
}

static size_t
find(tr_slice_t text, uint8_t c)
{
    const uint8_t *at = text.len == 0 ? NULL : memchr(text.data, c, text.len);
    return at == NULL ? text.len : (size_t)(at - text.data);
}

/* ------------------------------------------------------------------------------------- addresses */

static bool
parse_ipv4(tr_slice_t text, uint8_t out[4])
{
    size_t at = 0;
    for (size_t part = 0; part < 4; part++) {
        unsigned value = 0;
        size_t digits = 0;
        while (at < text.len && is_digit(text.data[at]) && digits < 4) {
            value = value * 10 + (unsigned)(text.data[at] - '0');
            at++;
            digits++;
        }
        /* A leading zero would be octal for some readers. */
        if (digits == 0 || value > 255 || (digits > 1 && text.data[at - digits] == '0')) {
            return false;
        }
        out[part] = (uint8_t)value;
        if (part < 3 && (at >= text.len || text.data[at++] != '.')) {
            return false;
        }
    }
    return at == text.len;
}

/* RFC 3986 3.2.2 IPv6address. */
static bool
parse_ipv6(tr_slice_t text, uint8_t out[16])
{
    uint8_t bytes[16] = {0};
    size_t len = 0;        /* bytes filled */
    size_t gap = SIZE_MAX; /* where "::" stands */
    size_t at = 0;
    if (text.len >= 2 && text.data[0] == ':' && text.data[1] == ':') {
        gap = 0;
        at = 2;
    }
    while (at < text.len) {
        unsigned value = 0;
        size_t start = at;
        while (at < text.len && hex_value(text.data[at]) >= 0 && at - start < 5) {
            value = value << 4 | (unsigned)hex_value(text.data[at++]);
        }
        if (at < text.len && text.data[at] == '.') {
            if (len > 12 || !parse_ipv4(slice_from(text, start), bytes + len)) {
                return false;
            }
            len += 4;
            at = text.len;
            break;
        }
        if (at == start || at - start > 4 || len > 14) {
            return false;
        }
        bytes[len++] = (uint8_t)(value >> 8);
        bytes[len++] = (uint8_t)value;
        if (at == text.len) {
            break;
        }
        if (text.data[at++] != ':' || at == text.len) {
            return false;
        }
        if (text.data[at] == ':') {
            if (gap != SIZE_MAX) {
                return false;
            }
            gap = len;
            at++;
        }
    }
    /* "::" stands for at least one group. */
    if (gap == SIZE_MAX ? len != 16 : len > 14) {
        return false;
    }
    memset(out, 0, 16);
    if (gap == SIZE_MAX) {
        gap = len;
    }
    memcpy(out, bytes, gap);
    memcpy(out + 16 - (len - gap), bytes + gap, len - gap);
    return true;
}

/* RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as "::".
 * Browsers write Host so. */
static size_t
print_ipv6(char out[IPV6_TEXT_MAX], const uint8_t bytes[16])
{
    size_t best = 8, best_len = 1;
    for (size_t i = 0; i < 8; i++) {
        size_t run = 0;
        while (i + run < 8 && bytes[2 * (i + run)] == 0 && bytes[2 * (i + run) + 1] == 0) {
            run++;
        }
        if (run > best_len) {
            best = i;
            best_len = run;
        }
    }
    size_t len = 0;
    for (size_t i = 0; i < 8; i++) {
        if (i == best) {
            out[len++] = ':';
            out[len++] = ':';
            i += best_len - 1;
            continue;
        }
        unsigned group = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
        bool colon = i > 0 && i != best + best_len;
        len += (size_t)snprintf(out + len, IPV6_TEXT_MAX - len, colon ? ":%x" : "%x", group);
    }
    return len;
}

static bool
is_zone(tr_slice_t zone)
{
    if (zone.len == 0 || zone.len > ZONE_MAX) {
        return false;
    }
    for (size_t i = 0; i < zone.len; i++) {
        uint8_t c = zone.data[i];
        if (!is_alpha(c) && !is_digit(c) && (c == 0 || strchr("-._~", c) == NULL)) {
            return false;
        }
    }
    return true;
}

bool
tr_host_is_ip(tr_slice_t host)
{
    uint8_t bytes[16];
    const uint8_t *percent = host.len == 0 ? NULL : memchr(host.data, '%', host.len);
    if (percent != NULL) {
        size_t len = (size_t)(percent - host.data);
        return is_zone(slice_from(host, len + 1)) && parse_ipv6(tr_slice(host.data, len), bytes);
    }
    return parse_ipv4(host, bytes) || parse_ipv6(host, bytes);
}

/* ----------------------------------------------------------------------------------------- parts */

/* The length of a scheme at the start of text, its colon not counted; 0: none (RFC 3986 3.1). */
static size_t
scheme_len(tr_slice_t text)
{
    size_t i = 0;
    while (i < text.len && (is_alpha(text.data[i]) || (i > 0 && (is_digit(text.data[i]) || text.data[i] == '+' ||
                                                                 text.data[i] == '-' || text.data[i] == '.')))) {
        i++;
    }
    return i < text.len && text.data[i] == ':' ? i : 0;
}

static parts_t
split(tr_slice_t text)
{
    parts_t parts = {TR_SLICE_NULL, TR_SLICE_NULL, TR_SLICE_NULL, TR_SLICE_NULL, TR_SLICE_NULL};
    size_t len = scheme_len(text);
    if (len > 0) {
        parts.scheme = tr_slice(text.data, len);
        text = slice_from(text, len + 1);
    }
    if (text.len >= 2 && text.data[0] == '/' && text.data[1] == '/') {
        text = slice_from(text, 2);
        parts.authority = tr_slice(text.data, find_any(text, '/', '?', '#'));
        text = slice_from(text, parts.authority.len);
    }
    parts.path = tr_slice(text.data, find_any(text, '?', '#', '#'));
    text = slice_from(text, parts.path.len);
    if (text.len > 0 && text.data[0] == '?') {
        text = slice_from(text, 1);
        parts.query = tr_slice(text.data, find(text, '#'));
        text = slice_from(text, parts.query.len);
    }
    if (text.len > 0) {
        parts.fragment = slice_from(text, 1);
    }
    return parts;
}

/* Refuses what no part of a URL may hold, so that later steps need not look for it. */
static tr_code_t
check_text(tr_slice_t text, const char *where, tr_err_t *err)
{
    if (text.len > TR_URL_MAX) {
        return tr_err_set(err, TR_ERR_URL_INVALID, 0, where, "The URL is longer than %u bytes.",
                          (unsigned)TR_URL_MAX);
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 0x20 || text.data[i] == 0x7f) {
            return tr_err_set(err, TR_ERR_URL_INVALID, 0, where, "The URL has a control character at offset %zu.",
                              i);
        }
    }
    return TR_OK;
}

/* ----------------------------------------------------------------------------------------- build */

/* Writes into one arena block whose size was computed before. */
typedef struct sink {
    uint8_t *next;
    uint8_t *end;
} sink_t;

static void
put(sink_t *sink, const void *data, size_t len)
{
    assert(len <= (size_t)(sink->end - sink->next));
    if (len > 0) {
        memcpy(sink->next, data, len);
        sink->next += len;
    }
}

/* How many bytes text has once the bytes of the set are percent-encoded. */
static size_t
encoded_len(tr_slice_t text, unsigned set)
{
    size_t len = text.len;
    for (size_t i = 0; i < text.len; i++) {
        len += must_encode(text.data[i], set) ? 2 : 0;
    }
    return len;
}

static void
put_encoded(sink_t *sink, tr_slice_t text, unsigned set)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t done = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (must_encode(c, set)) {
            char escape[3] = {'%', hex[c >> 4], hex[c & 15]};
            put(sink, text.data + done, i - done);
            put(sink, escape, 3);
            done = i + 1;
        }
    }
    if (done < text.len) {
        put(sink, text.data + done, text.len - done);
    }
}

/* Whether a path segment is "." (1) or ".." (2); browsers read %2e as a dot there (URL Standard 4.3). Else 0. */
static unsigned
dot_segment(tr_slice_t segment)
{
    unsigned dots = 0;
    size_t i = 0;
    while (i < segment.len) {
        if (segment.data[i] == '.') {
            i++;
        } else if (segment.len - i >= 3 && segment.data[i] == '%' && segment.data[i + 1] == '2' &&
                   tr_ascii_lower(segment.data[i + 2]) == 'e') {
            i += 3;
        } else {
            return 0;
        }
        if (++dots > 2) {
            return 0;
        }
    }
    return dots;
}

/* RFC 3986 5.2.4, in place, on a path that starts with '/'. Returns the new length. */
static size_t
remove_dot_segments(uint8_t *path, size_t len)
{
    size_t out = 0; /* what is done ends before a slash, or at the very end */
    size_t at = 0;
    while (at < len) {
        size_t end = at + 1;
        while (end < len && path[end] != '/') {
            end++;
        }
        unsigned dots = dot_segment(tr_slice(path + at + 1, end - at - 1));
        if (dots == 2) {
            while (out > 0 && path[--out] != '/') {
            }
        }
        if (dots == 0) {
            memmove(path + out, path + at, end - at);
            out += end - at;
        } else if (end == len) {
            path[out++] = '/';
        }
        at = end;
    }
    return out;
}

/* The parts of an authority; all lent but host, which is written to host_text. */
typedef struct authority {
    tr_slice_t userinfo;
    uint8_t host_text[HOST_MAX + 2];
    size_t host_len;
    size_t zone_len; /* of host_text, the '%' counted */
    uint16_t port;   /* 0: none */
    bool is_ipv6;
} authority_t;

static tr_code_t
read_port(authority_t *out, tr_slice_t text, tr_err_t *err)
{
    static const char where[] = "http.url_port";
    uint32_t port = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.data[i])) {
            return tr_err_set(err, TR_ERR_URL_INVALID, 0, where, "The URL's port is not a number.");
        }
        port = port * 10 + (uint32_t)(text.data[i] - '0');
        if (port > 65535) {
            return tr_err_set(err, TR_ERR_URL_INVALID, 0, where,
                              "The URL's port is out of range; it must be 0 to 65535.");
        }
    }
    out->port = (uint16_t)port;
    return TR_OK;
}

static tr_code_t
read_ipv6(authority_t *out, tr_slice_t text, tr_err_t *err)
{
    uint8_t bytes[16];
    tr_slice_t zone = TR_SLICE_NULL;
    const uint8_t *percent = text.len == 0 ? NULL : memchr(text.data, '%', text.len);
    if (percent != NULL) {
        /* RFC 6874 2: the zone's own '%' is written as %25. */
        size_t len = (size_t)(percent - text.data);
        zone = slice_from(text, len);
        text.len = len;
        zone = zone.len >= 3 && zone.data[1] == '2' && zone.data[2] == '5' ? slice_from(zone, 3) : TR_SLICE_NULL;
        if (!is_zone(zone)) {
            return tr_err_set(err, TR_ERR_URL_INVALID, 0, "http.url_host",
                              "The zone of the IPv6 address in the URL is not written as %%25 and a name.");
        }
    }
    if (!parse_ipv6(text, bytes)) {
        return tr_err_set(err, TR_ERR_URL_INVALID, 0, "http.url_host",
                          "The URL's host has brackets but is no IPv6 address.");
    }
    char printed[IPV6_TEXT_MAX];
    out->host_len = print_ipv6(printed, bytes);
    memcpy(out->host_text, printed, out->host_len);
    if (zone.len > 0) {
        out->host_text[out->host_len++] = '%';
        memcpy(out->host_text + out->host_len, zone.data, zone.len);
        out->host_len += zone.len;
        out->zone_len = zone.len + 1;
    }
    out->is_ipv6 = true;
    return TR_OK;
}

/* RFC 3986 3.2.2 reg-name without escapes: those would be decoded by some readers and not by others. */
static tr_code_t
read_name(authority_t *out, tr_slice_t text, tr_err_t *err)
{
    static const char where[] = "http.url_host";
    if (text.len > HOST_MAX) {
        return tr_err_set(err, TR_ERR_URL_INVALID, 0, where, "The URL's host is longer than %d characters.",
                          HOST_MAX);
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c >= 0x80) {
            return tr_err_set(
                err, TR_ERR_URL_INVALID, 0, where,
                "The URL's host has a non-ASCII character; write an internationalised name in its xn-- form.");
        }
        if (!is_alpha(c) && !is_digit(c) && c != '-' && c != '.' && strchr("_~!$&'()*+,;=", c) == NULL) {
            return tr_err_set(err, TR_ERR_URL_INVALID, 0, where,
                              "The URL's host has a character that no host has: '%c'.", c);
        }
        if (c == '.' && (i == 0 || text.data[i - 1] == '.')) {
            return tr_err_set(err, TR_ERR_URL_INVALID, 0, where, "The URL's host has an empty label.");
        }
        out->host_text[i] = tr_ascii_lower(c);
    }
    out->host_len = text.len;
    return TR_OK;
}

static tr_code_t
read_authority(authority_t *out, tr_slice_t text, tr_err_t *err)
{
    tr_slice_t host = text;
    tr_slice_t port = TR_SLICE_NULL;
    tr_code_t code;
    out->userinfo = TR_SLICE_NULL;
    out->host_len = out->zone_len = 0;
    out->port = 0;
    out->is_ipv6 = false;
    if (find(text, '\\') < text.len) {
        /* A browser reads it as the slash that ends the authority, others as a part of it: nobody means it well. */
        return tr_err_set(err, TR_ERR_URL_INVALID, 0, "http.url_authority",
                          "The URL has a backslash before its path.");
    }
    for (size_t i = text.len; i > 0; i--) {
        if (text.data[i - 1] == '@') {
            out->userinfo = tr_slice(text.data, i - 1);
            host = slice_from(text, i);
            break;
        }
    }
    if (host.len > 0 && host.data[0] == '[') {
        size_t end = find(host, ']');
        if (end == host.len || (end + 1 < host.len && host.data[end + 1] != ':')) {
            return tr_err_set(err, TR_ERR_URL_INVALID, 0, "http.url_host",
                              "The brackets of the URL's host do not match.");
        }
        if (end + 1 < host.len) {
            port = slice_from(host, end + 2);
        }
        code = read_ipv6(out, tr_slice(host.data + 1, end - 1), err);
    } else {
        size_t end = find(host, ':');
        if (end < host.len) {
            port = slice_from(host, end + 1);
        }
        if (end == 0 || (end == 1 && host.data[0] == '.')) {
            return tr_err_set(err, TR_ERR_URL_NO_HOST, 0, "http.url_host", NULL);
        }
        code = read_name(out, tr_slice(host.data, end), err);
    }
    return code == TR_OK ? read_port(out, port, err) : code;
}

/* Makes *out of parts, whose scheme and authority are there. clean: remove dot segments of the path. */
static tr_code_t
build(tr_url_t *out, tr_arena_t *arena, const parts_t *parts, bool clean, tr_err_t *err)
{
    static const char where[] = "http.url_build";
    authority_t authority;
    bool https = tr_slice_ieq(parts->scheme, TR_SLICE_LIT("https"));
    if (!https && !tr_slice_ieq(parts->scheme, TR_SLICE_LIT("http"))) {
        return tr_err_set(err, TR_ERR_URL_SCHEME, 0, "http.url_scheme",
                          "The URL's scheme is neither http nor https: %.*s",
                          (int)TR_MIN(parts->scheme.len, (size_t)32), (const char *)parts->scheme.data);
    }
    tr_code_t code = read_authority(&authority, parts->authority, err);
    if (code != TR_OK) {
        return code;
    }
    uint16_t default_port = https ? 443 : 80;
    bool has_port = authority.port != 0 && authority.port != default_port;
    char port_text[8] = "";
    if (has_port) {
        (void)snprintf(port_text, sizeof(port_text), ":%u", (unsigned)authority.port);
    }
    bool slash = parts->path.len == 0 || parts->path.data[0] != '/';
    bool has_query = parts->query.data != NULL;

    /* Every part is at most TR_URL_MAX, or for a resolved reference twice that: the sum cannot overflow. */
    size_t size = authority.host_len * 2 + sizeof(port_text) + 8;
    size += encoded_len(authority.userinfo, IN_USERINFO) + encoded_len(parts->path, IN_PATH);
    size += encoded_len(parts->query, IN_QUERY);
    size += encoded_len(parts->fragment, IN_FRAGMENT);
    uint8_t *block = tr_arena_alloc(arena, size);
    if (block == NULL) {
        return tr_err_nomem(err, where);
    }
    sink_t sink = {block, block + size};
    tr_url_t url = {0};
    url.scheme = https ? TR_SLICE_LIT("https") : TR_SLICE_LIT("http");
    url.port = authority.port != 0 ? authority.port : default_port;
    url.has_port = has_port;
    url.host_is_ipv6 = authority.is_ipv6;

    /* Host and :authority carry no zone: it means something on this machine only (RFC 6874 4). */
    uint8_t *start = sink.next;
    put(&sink, "[", authority.is_ipv6 ? 1 : 0);
    put(&sink, authority.host_text, authority.host_len - authority.zone_len);
    put(&sink, "]", authority.is_ipv6 ? 1 : 0);
    put(&sink, port_text, strlen(port_text));
    url.authority = tr_slice(start, (size_t)(sink.next - start));
    if (authority.zone_len > 0) {
        start = sink.next;
        put(&sink, authority.host_text, authority.host_len);
        url.host = tr_slice(start, authority.host_len);
    } else {
        url.host = tr_slice(start + (authority.is_ipv6 ? 1 : 0), authority.host_len);
    }

    start = sink.next;
    put_encoded(&sink, authority.userinfo, IN_USERINFO);
    url.userinfo = tr_slice(start, (size_t)(sink.next - start));

    start = sink.next;
    put(&sink, "/", slash ? 1 : 0);
    put_encoded(&sink, parts->path, IN_PATH);
    if (clean) {
        sink.next = start + remove_dot_segments(start, (size_t)(sink.next - start));
    }
    url.path = tr_slice(start, (size_t)(sink.next - start));
    put(&sink, "?", has_query ? 1 : 0);
    put_encoded(&sink, parts->query, IN_QUERY);
    url.target = tr_slice(start, (size_t)(sink.next - start));

    start = sink.next;
    put_encoded(&sink, parts->fragment, IN_FRAGMENT);
    url.fragment = tr_slice(start, (size_t)(sink.next - start));
    *out = url;
    return TR_OK;
}

tr_code_t
tr_url_parse(tr_url_t *out, tr_arena_t *arena, tr_slice_t text, tr_err_t *err)
{
    static const char where[] = "http.url_parse";
    tr_code_t code = check_text(text, where, err);
    if (code != TR_OK) {
        return code;
    }
    parts_t parts = split(text);
    if (parts.scheme.data == NULL) {
        return tr_err_set(err, TR_ERR_URL_SCHEME, 0, where,
                          "The URL has no scheme; it starts with neither http:// nor https://.");
    }
    if (parts.authority.data == NULL &&
        (tr_slice_ieq(parts.scheme, TR_SLICE_LIT("http")) || tr_slice_ieq(parts.scheme, TR_SLICE_LIT("https")))) {
        return tr_err_set(err, TR_ERR_URL_NO_HOST, 0, where, NULL);
    }
    return build(out, arena, &parts, false, err);
}

/* RFC 3986 5.2.3: everything of the base's path up to its last slash, and the reference's path behind it. */
static tr_code_t
merge_paths(tr_slice_t *out, tr_arena_t *arena, tr_slice_t base, tr_slice_t path)
{
    size_t keep = base.len;
    while (keep > 0 && base.data[keep - 1] != '/') {
        keep--;
    }
    uint8_t *merged = tr_arena_alloc(arena, keep + path.len);
    if (merged == NULL) {
        return TR_ERR_NOMEM;
    }
    if (keep > 0) {
        memcpy(merged, base.data, keep);
    }
    if (path.len > 0) {
        memcpy(merged + keep, path.data, path.len);
    }
    *out = tr_slice(merged, keep + path.len);
    return TR_OK;
}

/* The authority of a built URL as read_authority reads it, without userinfo. */
static tr_code_t
authority_text(tr_slice_t *out, tr_arena_t *arena, const tr_url_t *url)
{
    tr_url_t bare = {0};
    tr_slice_t text;
    bare.host = url->host;
    bare.port = url->port;
    bare.has_port = url->has_port;
    bare.host_is_ipv6 = url->host_is_ipv6;
    tr_code_t code = tr_url_text(&text, arena, &bare, false);
    if (code == TR_OK) {
        *out = slice_from(text, 3); /* the empty scheme's "://" */
    }
    return code;
}

/* RFC 3986 5.2.2. */
tr_code_t
tr_url_resolve(tr_url_t *out, tr_arena_t *arena, const tr_url_t *base, tr_slice_t reference, tr_err_t *err)
{
    static const char where[] = "http.url_resolve";
    tr_url_t url;
    bool own_userinfo = true;
    tr_code_t code = check_text(reference, where, err);
    if (code != TR_OK) {
        return code;
    }
    parts_t parts = split(reference);
    if (parts.scheme.data != NULL) {
        if (parts.authority.data == NULL && (tr_slice_ieq(parts.scheme, TR_SLICE_LIT("http")) ||
                                             tr_slice_ieq(parts.scheme, TR_SLICE_LIT("https")))) {
            return tr_err_set(err, TR_ERR_URL_NO_HOST, 0, where, NULL);
        }
    } else {
        parts.scheme = base->scheme;
        if (parts.authority.data == NULL) {
            own_userinfo = false;
            code = authority_text(&parts.authority, arena, base);
            if (code == TR_OK && parts.path.len == 0) {
                parts.path = base->path;
                if (parts.query.data == NULL && base->target.len > base->path.len) {
                    parts.query = slice_from(base->target, base->path.len + 1);
                }
            } else if (code == TR_OK && parts.path.data[0] != '/') {
                code = merge_paths(&parts.path, arena, base->path, parts.path);
            }
            if (code != TR_OK) {
                return tr_err_nomem(err, where);
            }
        }
    }
    if (parts.path.len + parts.query.len > TR_URL_MAX) {
        return tr_err_set(err, TR_ERR_URL_INVALID, 0, where, "The URL is longer than %u bytes.",
                          (unsigned)TR_URL_MAX);
    }
    if (parts.fragment.data == NULL) {
        parts.fragment = base->fragment;
    }
    code = build(&url, arena, &parts, true, err);
    if (code != TR_OK) {
        return code;
    }
    if (base->userinfo.len > 0 && (!own_userinfo || url.userinfo.len == 0) && tr_url_same_origin(&url, base)) {
        url.userinfo.data = tr_arena_dup(arena, base->userinfo);
        url.userinfo.len = base->userinfo.len;
        if (url.userinfo.data == NULL) {
            return tr_err_nomem(err, where);
        }
    }
    *out = url;
    return TR_OK;
}

/* ------------------------------------------------------------------------------------------- use */

tr_code_t
tr_url_text(tr_slice_t *out, tr_arena_t *arena, const tr_url_t *url, bool with_userinfo)
{
    char port_text[8] = "";
    if (url->has_port) {
        (void)snprintf(port_text, sizeof(port_text), ":%u", (unsigned)url->port);
    }
    size_t port_len = strlen(port_text);
    bool userinfo = with_userinfo && url->userinfo.len > 0;
    const uint8_t *percent = url->host_is_ipv6 ? memchr(url->host.data, '%', url->host.len) : NULL;
    size_t addr_len = percent == NULL ? url->host.len : (size_t)(percent - url->host.data);

    size_t size = url->scheme.len + 3 + url->host.len + 4 + port_len + url->target.len + 1;
    size += (userinfo ? url->userinfo.len + 1 : 0) + (url->fragment.len > 0 ? url->fragment.len + 1 : 0);
    uint8_t *block = tr_arena_alloc(arena, size);
    if (block == NULL) {
        return TR_ERR_NOMEM;
    }
    sink_t sink = {block, block + size};
    put(&sink, url->scheme.data, url->scheme.len);
    put(&sink, "://", 3);
    if (userinfo) {
        put(&sink, url->userinfo.data, url->userinfo.len);
        put(&sink, "@", 1);
    }
    put(&sink, "[", url->host_is_ipv6 ? 1 : 0);
    put(&sink, url->host.data, addr_len);
    if (percent != NULL) {
        put(&sink, "%25", 3);
        put(&sink, percent + 1, url->host.len - addr_len - 1);
    }
    put(&sink, "]", url->host_is_ipv6 ? 1 : 0);
    put(&sink, port_text, port_len);
    put(&sink, url->target.data, url->target.len);
    if (url->fragment.len > 0) {
        put(&sink, "#", 1);
        put(&sink, url->fragment.data, url->fragment.len);
    }
    *out = tr_slice(block, (size_t)(sink.next - block));
    put(&sink, "", 1);
    return TR_OK;
}

bool
tr_url_same_origin(const tr_url_t *a, const tr_url_t *b)
{
    return a->port == b->port && tr_slice_eq(a->scheme, b->scheme) && tr_slice_eq(a->host, b->host);
}

bool
tr_url_is_https(const tr_url_t *url)
{
    return url->scheme.len == 5;
}

bool
tr_url_is_trustworthy(const tr_url_t *url)
{
    const tr_slice_t suffix = TR_SLICE_LIT(".localhost"), loopback = TR_SLICE_LIT("127.");
    tr_slice_t host = url->host;
    if (tr_url_is_https(url) || tr_slice_eq(host, TR_SLICE_LIT("localhost")) || tr_slice_eq(host, TR_SLICE_LIT("::1"))) {
        return true;
    }
    if (host.len > suffix.len && tr_slice_eq(tr_slice(host.data + host.len - suffix.len, suffix.len), suffix)) {
        return true;
    }
    return host.len > loopback.len && tr_slice_eq(tr_slice(host.data, loopback.len), loopback) && tr_host_is_ip(host);
}
