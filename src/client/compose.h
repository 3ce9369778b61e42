/* compose: the header fields of one request in the order in which its browser sends them: the profile's own fields, the caller's over
 * them, and host, content-length, content-type, cookie, authorization in their places. Pure: no state, no I/O. Any thread. */
#ifndef TR_CLIENT_COMPOSE_H
#define TR_CLIENT_COMPOSE_H

#include "core/mem.h"
#include "http/headers.h"
#include "profile/profile.h"

typedef struct tr_compose {
    const tr_profile_t *profile;
    bool http2;
    bool exact;              /* the caller's fields are all there is (he gave a user-agent, or turned the browser's headers off) */
    tr_slice_t method;
    tr_slice_t authority;    /* host[:port] */
    const tr_field_t *headers; /* the caller's, in order; value.data NULL removes the browser's field of that name */
    size_t num_headers;
    bool has_body;
    int64_t body_len;        /* -1: unknown. A body-less POST, PUT or PATCH gets content-length 0 */
    tr_slice_t body_type;    /* content-type unless the caller gave one; empty: none */
    tr_slice_t cookie;       /* "a=1; b=2"; empty: none. Merged behind a cookie header of the caller's (one field) */
    tr_slice_t authorization; /* from the URL's userinfo; empty: none; a caller's authorization wins */
    const char *const *order; /* headerOrder: names that go first, in this order; NULL: none */
    size_t num_order;
    tr_kind_t kind;          /* which of the profile's tables; TR_KIND_NAVIGATE: the navigation's */
    bool redirected;         /* this hop follows a redirect */
    bool untrustworthy;      /* tr_url_is_trustworthy of the URL is false: browsers say less of themselves, and take no br and zstd */
    bool restarted;          /* it is made once more, because hints were missing */
    uint32_t hints;          /* 1 << tr_hint_t: which of the profile's hints it has besides those of every request */
    uint32_t late_hints;     /* likewise, for which the connection asked, none of them in hints: they come behind accept */
    const char *site;        /* value of sec-fetch-site where the browser sends one; NULL: as in the table */
    tr_slice_t origin;       /* empty: none; a caller's wins. Not sent when exact */
    tr_slice_t referer;      /* likewise */
    tr_slice_t websocket_key; /* likewise */
} tr_compose_t;

/* tr_compose_fields writes the fields into the arena. Rules (spec 16.3, 21.3): not exact: the browser's set is the base; the caller's values
 * replace values in the browser's place and keep the browser's name case; removals drop; fields the browser does not send go in the caller's
 * order where that browser puts a page's own headers (before accept-encoding's neighbours: the profile's places say where). exact: the caller's
 * order and spelling, host first over HTTP/1.1, content-length, content-type and cookie where the browser puts them. A caller's content-length is
 * ignored. For HTTP/2 names are lower-case, host and connection-specific fields (connection, keep-alive, proxy-connection, transfer-encoding,
 * upgrade, te other than trailers) are left out. For HTTP/1.1 a caller's field that the browser knows takes the browser's case, others the
 * Title-Case that browsers give to... nothing: they keep the caller's spelling. HEADER_INVALID names the field. */
tr_code_t tr_compose_fields(const tr_compose_t *in, tr_arena_t *arena, tr_field_t **out, size_t *out_num, tr_err_t *err);

#endif
