/* cookie_parse: the pure half of the cookie jar: reading a Set-Cookie value and a cookie date, and the matching rules (RFC 6265bis 5.1,
 * 5.6). No state, no allocation: what comes out points into what went in. Any thread. */
#ifndef TR_CLIENT_COOKIE_PARSE_H
#define TR_CLIENT_COOKIE_PARSE_H

#include "client/cookiejar.h"

/* One Set-Cookie value, read. */
typedef struct tr_set_cookie {
    tr_slice_t name, value;
    tr_slice_t domain; /* as written, without a leading dot; empty: none */
    tr_slice_t path;   /* data NULL: none, or not from '/' on: the default path */
    uint32_t flags;    /* TR_COOKIE_SECURE, _HTTP_ONLY, _SAMESITE_* */
    bool has_expiry;
    int64_t expires_s; /* with has_expiry; may lie in the past */
} tr_set_cookie_t;

/* tr_set_cookie_parse reads a value (RFC 6265bis 5.6); false: it must be ignored. */
bool tr_set_cookie_parse(tr_set_cookie_t *out, tr_slice_t text, int64_t now_s);
/* tr_cookie_date_parse reads a date as liberally as RFC 6265bis 5.1.1 wants; seconds since 1970. */
bool tr_cookie_date_parse(int64_t *out, tr_slice_t text);

/* RFC 6265bis 5.1.3; both lower case. */
bool tr_cookie_domain_match(tr_slice_t host, tr_slice_t domain);
/* RFC 6265bis 5.1.4. */
bool tr_cookie_path_match(tr_slice_t request_path, tr_slice_t cookie_path);
tr_slice_t tr_cookie_default_path(tr_slice_t request_path);
/* tr_cookie_prefix_holds checks the promises of a name that starts with __Secure- or __Host- (RFC 6265bis 4.1.3). */
bool tr_cookie_prefix_holds(const tr_set_cookie_t *cookie, bool host_only, tr_slice_t path);

#endif
