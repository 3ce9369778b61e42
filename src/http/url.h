/* url: absolute http and https URLs, and references resolved against them (RFC 3986). The host must be ASCII (an
 * internationalised name is encoded by the caller); other non-ASCII bytes and blanks of path and query are
 * percent-encoded, existing escapes are left alone. Everything lives in the arena that was given. */
#ifndef TR_HTTP_URL_H
#define TR_HTTP_URL_H

#include "core/err.h"
#include "core/mem.h"

typedef struct tr_url {
    tr_slice_t scheme;   /* "http" or "https", lower case */
    tr_slice_t host;     /* lower case; an IPv6 address without brackets, as RFC 5952 writes it, "%zone" behind it */
    uint16_t port;       /* never 0: the scheme's default where none is written */
    bool has_port;       /* a port other than the scheme's default was written */
    bool host_is_ipv6;
    tr_slice_t userinfo; /* "user:password" as written, percent-encoded where it must be; empty: none */
    tr_slice_t target;   /* path and query as sent: starts with '/' */
    tr_slice_t path;     /* part of target before '?' */
    tr_slice_t fragment; /* without '#' */
    tr_slice_t authority; /* host[:port] as Host and :authority want it, IPv6 in brackets without zone, no default port */
} tr_url_t;

/* tr_url_parse reads an absolute URL. Errors: URL_INVALID, URL_SCHEME (detail 0), URL_NO_HOST; nothing is kept then but
 * arena memory. Control characters, and backslashes before the path, are refused; TR_URL_MAX bounds the length. Dot segments stay: they
 * are the caller's. Port 0 is none. What browsers encode in a path or query besides (quotes, angle brackets, ...) is encoded too. */
tr_code_t tr_url_parse(tr_url_t *out, tr_arena_t *arena, tr_slice_t text, tr_err_t *err);
/* tr_url_resolve resolves a reference (a Location value) against base, dot segments removed. The base's fragment is
 * inherited when the reference has none (RFC 9110 10.2.2). userinfo of the base is kept on the same origin only. */
tr_code_t tr_url_resolve(tr_url_t *out, tr_arena_t *arena, const tr_url_t *base, tr_slice_t reference, tr_err_t *err);
/* tr_url_text writes the whole URL (userinfo included when with_userinfo) into the arena, with a NUL behind it. */
tr_code_t tr_url_text(tr_slice_t *out, tr_arena_t *arena, const tr_url_t *url, bool with_userinfo);
/* Same scheme, host and port. */
bool tr_url_same_origin(const tr_url_t *a, const tr_url_t *b);
bool tr_url_is_https(const tr_url_t *url);
/* tr_url_is_trustworthy says whether browsers take the URL for a secure one (Secure Contexts 3.1): https, or this machine. */
bool tr_url_is_trustworthy(const tr_url_t *url);
/* tr_host_is_ip says whether a host text is an IPv4 or IPv6 address (no brackets). */
bool tr_host_is_ip(tr_slice_t host);

#endif
