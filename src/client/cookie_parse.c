#include "client/cookie_parse.h"

#include "core/limits.h"

/* RFC 6265bis 5.6: browsers keep no cookie for longer than 400 days. */
#define MAX_AGE_S ((int64_t)400 * 24 * 3600)

static tr_slice_t
trim(tr_slice_t text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

/* Cuts text at the first separator: gives the part before it, leaves the part behind; found says whether there was one. */
static tr_slice_t
cut(tr_slice_t *text, uint8_t separator, bool *found)
{
    const uint8_t *at = text->len == 0 ? NULL : memchr(text->data, separator, text->len);
    tr_slice_t before = at == NULL ? *text : tr_slice(text->data, (size_t)(at - text->data));
    *found = at != NULL;
    *text = at == NULL ? TR_SLICE_NULL : tr_slice(at + 1, text->len - before.len - 1);
    return before;
}

static bool
is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool
starts_ieq(tr_slice_t text, tr_slice_t prefix)
{
    return text.len >= prefix.len && tr_slice_ieq(tr_slice(text.data, prefix.len), prefix);
}

/* ------------------------------------------------------------------------------------------------------------- dates */

static bool
is_delimiter(uint8_t c)
{
    return c == 0x09 || (c >= 0x20 && c <= 0x2f) || (c >= 0x3b && c <= 0x40) || (c >= 0x5b && c <= 0x60) || (c >= 0x7b && c <= 0x7e);
}

/* Reads min to max digits at *pos which no further digit follows. */
static bool
read_number(tr_slice_t token, size_t *pos, size_t min, size_t max, int *out)
{
    size_t n = 0;
    int value = 0;
    while (n < max && *pos + n < token.len && is_digit(token.data[*pos + n])) {
        value = value * 10 + (token.data[*pos + n] - '0');
        n++;
    }
    if (n < min || (*pos + n < token.len && is_digit(token.data[*pos + n]))) {
        return false;
    }
    *pos += n;
    *out = value;
    return true;
}

static bool
read_time(tr_slice_t token, int *hour, int *minute, int *second)
{
    size_t pos = 0;
    int h, m, s;
    if (!read_number(token, &pos, 1, 2, &h) || pos >= token.len || token.data[pos++] != ':' || !read_number(token, &pos, 1, 2, &m) ||
        pos >= token.len || token.data[pos++] != ':' || !read_number(token, &pos, 1, 2, &s)) {
        return false;
    }
    *hour = h;
    *minute = m;
    *second = s;
    return true;
}

static bool
read_month(tr_slice_t token, int *out)
{
    static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";
    for (int i = 0; token.len >= 3 && i < 12; i++) {
        if (tr_slice_ieq(tr_slice(token.data, 3), tr_slice(names + 3 * i, 3))) {
            *out = i + 1;
            return true;
        }
    }
    return false;
}

static int
days_in_month(int year, int month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* Days since 1970-01-01 in the Gregorian calendar; year from 1601 on. */
static int64_t
days_since_epoch(int year, int month, int day)
{
    int64_t y = year - 1;
    int64_t days = y * 365 + y / 4 - y / 100 + y / 400; /* of the years before */
    for (int m = 1; m < month; m++) {
        days += days_in_month(year, m);
    }
    return days + day - 1 - 719162; /* 1970-01-01 */
}

bool
tr_cookie_date_parse(int64_t *out, tr_slice_t text)
{
    bool has_time = false, has_day = false, has_month = false, has_year = false;
    int hour = 0, minute = 0, second = 0, day = 0, month = 0, year = 0;
    size_t i = 0;
    while (i < text.len) {
        while (i < text.len && is_delimiter(text.data[i])) {
            i++;
        }
        size_t start = i;
        while (i < text.len && !is_delimiter(text.data[i])) {
            i++;
        }
        tr_slice_t token = tr_slice(text.data + start, i - start);
        size_t pos = 0;
        if (token.len == 0) {
            continue;
        }
        if (!has_time && read_time(token, &hour, &minute, &second)) {
            has_time = true;
        } else if (!has_day && read_number(token, &pos, 1, 2, &day)) {
            has_day = true;
        } else if (!has_month && read_month(token, &month)) {
            has_month = true;
        } else if (!has_year && read_number(token, &pos, 2, 4, &year)) {
            has_year = true;
        }
    }
    if (!has_time || !has_day || !has_month || !has_year) {
        return false;
    }
    year += year >= 70 && year <= 99 ? 1900 : year <= 69 ? 2000 : 0;
    if (year < 1601 || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    *out = days_since_epoch(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}

/* -------------------------------------------------------------------------------------------------------- Set-Cookie */

/* RFC 6265bis 5.6.2: a minus sign and digits; anything else is no attribute. */
static bool
read_max_age(tr_slice_t text, int64_t *out)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    size_t i = negative ? 1 : 0;
    int64_t value = 0;
    if (i == text.len) {
        return false;
    }
    for (; i < text.len; i++) {
        if (!is_digit(text.data[i])) {
            return false;
        }
        value = TR_MIN(value * 10 + (text.data[i] - '0'), MAX_AGE_S);
    }
    *out = negative ? -value : value;
    return true;
}

typedef struct expiry {
    bool has_max_age, has_expires;
    int64_t max_age_s, expires_s;
} expiry_t;

static void
read_attribute(tr_set_cookie_t *out, expiry_t *expiry, tr_slice_t name, tr_slice_t value)
{
    if (value.len > TR_COOKIE_MAX_ATTRIBUTE) {
        return; /* RFC 6265bis 5.6: this attribute is ignored, not the cookie */
    }
    if (tr_slice_ieq(name, TR_SLICE_LIT("expires"))) {
        expiry->has_expires = tr_cookie_date_parse(&expiry->expires_s, value) || expiry->has_expires;
    } else if (tr_slice_ieq(name, TR_SLICE_LIT("max-age"))) {
        expiry->has_max_age = read_max_age(value, &expiry->max_age_s) || expiry->has_max_age;
    } else if (tr_slice_ieq(name, TR_SLICE_LIT("domain"))) {
        if (value.len > 0 && value.data[0] == '.') {
            value = tr_slice(value.data + 1, value.len - 1);
        }
        out->domain = value;
    } else if (tr_slice_ieq(name, TR_SLICE_LIT("path"))) {
        out->path = value.len > 0 && value.data[0] == '/' ? value : TR_SLICE_NULL;
    } else if (tr_slice_ieq(name, TR_SLICE_LIT("secure"))) {
        out->flags |= TR_COOKIE_SECURE;
    } else if (tr_slice_ieq(name, TR_SLICE_LIT("httponly"))) {
        out->flags |= TR_COOKIE_HTTP_ONLY;
    } else if (tr_slice_ieq(name, TR_SLICE_LIT("samesite"))) {
        out->flags &= ~(uint32_t)(TR_COOKIE_SAMESITE_LAX | TR_COOKIE_SAMESITE_STRICT | TR_COOKIE_SAMESITE_NONE);
        if (tr_slice_ieq(value, TR_SLICE_LIT("strict"))) {
            out->flags |= TR_COOKIE_SAMESITE_STRICT;
        } else if (tr_slice_ieq(value, TR_SLICE_LIT("lax"))) {
            out->flags |= TR_COOKIE_SAMESITE_LAX;
        } else if (tr_slice_ieq(value, TR_SLICE_LIT("none"))) {
            out->flags |= TR_COOKIE_SAMESITE_NONE;
        }
    }
}

bool
tr_set_cookie_parse(tr_set_cookie_t *out, tr_slice_t text, int64_t now_s)
{
    bool found;
    expiry_t expiry = {false, false, 0, 0};
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < text.len; i++) {
        if ((text.data[i] < 0x20 && text.data[i] != '\t') || text.data[i] == 0x7f) {
            return false;
        }
    }
    tr_slice_t value = cut(&text, ';', &found);
    tr_slice_t name = cut(&value, '=', &found);
    if (!found) { /* a cookie without a name */
        value = name;
        name = TR_SLICE_NULL;
    }
    out->name = trim(name);
    out->value = trim(value);
    if (out->name.len + out->value.len == 0 || out->name.len + out->value.len > TR_COOKIE_MAX_PAIR) {
        return false;
    }
    while (text.len > 0) {
        value = cut(&text, ';', &found);
        name = cut(&value, '=', &found);
        read_attribute(out, &expiry, trim(name), trim(value));
    }
    /* RFC 6265bis 5.7: Max-Age goes before Expires. */
    out->has_expiry = expiry.has_max_age || expiry.has_expires;
    if (expiry.has_max_age) {
        out->expires_s = expiry.max_age_s <= 0 ? INT64_MIN : now_s + expiry.max_age_s;
    } else if (expiry.has_expires) {
        out->expires_s = TR_MIN(expiry.expires_s, now_s + MAX_AGE_S);
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------------------- matching */

bool
tr_cookie_domain_match(tr_slice_t host, tr_slice_t domain)
{
    if (host.len == domain.len) {
        return tr_slice_eq(host, domain);
    }
    return domain.len > 0 && host.len > domain.len && host.data[host.len - domain.len - 1] == '.' &&
           memcmp(host.data + host.len - domain.len, domain.data, domain.len) == 0 && !tr_host_is_ip(host);
}

bool
tr_cookie_path_match(tr_slice_t request_path, tr_slice_t cookie_path)
{
    if (cookie_path.len == 0) {
        return true;
    }
    if (request_path.len < cookie_path.len || memcmp(request_path.data, cookie_path.data, cookie_path.len) != 0) {
        return false;
    }
    return request_path.len == cookie_path.len || cookie_path.data[cookie_path.len - 1] == '/' || request_path.data[cookie_path.len] == '/';
}

tr_slice_t
tr_cookie_default_path(tr_slice_t request_path)
{
    size_t len = request_path.len;
    if (len > 0 && request_path.data[0] == '/') {
        while (len > 1 && request_path.data[len - 1] != '/') {
            len--;
        }
        if (len > 1) {
            return tr_slice(request_path.data, len - 1);
        }
    }
    return TR_SLICE_LIT("/");
}

bool
tr_cookie_prefix_holds(const tr_set_cookie_t *cookie, bool host_only, tr_slice_t path)
{
    static const tr_slice_t secure = {(const uint8_t *)"__Secure-", 9}, host = {(const uint8_t *)"__Host-", 7};
    if (cookie->name.len == 0) {
        /* it would be sent without a name, and look like one that has it */
        return !starts_ieq(cookie->value, secure) && !starts_ieq(cookie->value, host);
    }
    bool is_secure = (cookie->flags & TR_COOKIE_SECURE) != 0;
    if (starts_ieq(cookie->name, secure)) {
        return is_secure;
    }
    if (starts_ieq(cookie->name, host)) {
        return is_secure && host_only && cookie->path.data != NULL && tr_slice_eq(path, TR_SLICE_LIT("/"));
    }
    return true;
}

bool
tr_cookie_matches(const tr_cookie_t *cookie, const tr_url_t *url)
{
    if ((cookie->flags & TR_COOKIE_SECURE) != 0 && !tr_url_is_trustworthy(url)) {
        return false;
    }
    if (cookie->domain.len > 0) {
        bool match = (cookie->flags & TR_COOKIE_HOST_ONLY) != 0 ? tr_slice_eq(cookie->domain, url->host)
                                                                : tr_cookie_domain_match(url->host, cookie->domain);
        if (!match) {
            return false;
        }
    }
    return tr_cookie_path_match(url->path, cookie->path);
}
