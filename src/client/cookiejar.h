/* cookiejar: RFC 6265bis cookie store of one client. Shared by the I/O thread (Set-Cookie of every hop) and the caller's threads; guarded
 * by a mutex of its own; reference counted. */
#ifndef TR_CLIENT_COOKIEJAR_H
#define TR_CLIENT_COOKIEJAR_H

#include "core/buf.h"
#include "http/url.h"

typedef struct tr_cookiejar tr_cookiejar_t;

enum {
    TR_COOKIE_SECURE = 1u << 0,
    TR_COOKIE_HTTP_ONLY = 1u << 1,
    TR_COOKIE_HOST_ONLY = 1u << 2,    /* no Domain attribute */
    TR_COOKIE_SAMESITE_LAX = 1u << 3,
    TR_COOKIE_SAMESITE_STRICT = 1u << 4,
    TR_COOKIE_SAMESITE_NONE = 1u << 5,
    TR_COOKIE_ABSENT = 1u << 6        /* in a list of a request's own cookies: a mark, the jar's cookie like this one is not sent */
};

/* A cookie as seen from outside. domain empty: sent to every host (set by the caller without one). */
typedef struct tr_cookie {
    tr_slice_t name, value, domain, path; /* domain lower case, without a leading dot */
    int64_t expires_s; /* seconds since 1970; 0: with the session */
    uint32_t flags;    /* TR_COOKIE_* */
} tr_cookie_t;

tr_cookiejar_t *tr_cookiejar_new(void) TR_WARN_UNUSED;
tr_cookiejar_t *tr_cookiejar_ref(tr_cookiejar_t *jar);
void tr_cookiejar_unref(tr_cookiejar_t *jar);

/* tr_cookiejar_receive handles one Set-Cookie value from url at time now_s: stores, replaces or deletes (RFC 6265bis 5.7, as for a top-level
 * navigation: SameSite is kept and refuses nothing but None without Secure). A value that must be ignored is ignored (TR_OK). Limits:
 * TR_COOKIE_MAX_*; the expired leave first, then those without Secure, each time the one that was set or sent longest ago. */
tr_code_t tr_cookiejar_receive(tr_cookiejar_t *jar, const tr_url_t *url, tr_slice_t set_cookie, int64_t now_s);
/* tr_cookiejar_set stores a cookie of the caller's; same name, domain and path replace. */
tr_code_t tr_cookiejar_set(tr_cookiejar_t *jar, const tr_cookie_t *cookie, tr_err_t *err);
/* tr_cookiejar_header appends "a=1; b=2" for a request to url (longer paths first, then older first; RFC 6265bis 5.8.3); nothing when none
 * match. Expired cookies leave. jar may be NULL. own: num_own cookies of the request alone, each with a domain: one that matches goes out in
 * place of the jar's of that name, path and domain (or of none), else behind the jar's of its path length. Marks (TR_COOKIE_ABSENT) take
 * out what has the same value besides. */
tr_code_t tr_cookiejar_header(tr_cookiejar_t *jar, tr_buf_t *out, const tr_url_t *url, int64_t now_s, const tr_cookie_t *own,
                              size_t num_own);
/* tr_cookiejar_each calls fn for each live cookie in order of creation, under the lock (fn must not call the jar), until it returns false. */
void tr_cookiejar_each(tr_cookiejar_t *jar, int64_t now_s, bool (*fn)(void *arg, const tr_cookie_t *cookie), void *arg);
/* Whose cookies tr_cookiejar_remove looks at. */
typedef enum tr_cookie_scope {
    TR_COOKIE_ANY_SCOPE,
    TR_COOKIE_OF_HOST,  /* of one host alone (TR_COOKIE_HOST_ONLY) */
    TR_COOKIE_OF_DOMAIN /* of a domain and what is below it, or of every host */
} tr_cookie_scope_t;

/* tr_cookiejar_remove drops matches and returns how many; a slice with data NULL matches anything. */
size_t tr_cookiejar_remove(tr_cookiejar_t *jar, tr_slice_t name, tr_slice_t domain, tr_slice_t path, tr_cookie_scope_t scope);
size_t tr_cookiejar_len(tr_cookiejar_t *jar);
/* tr_cookie_matches is the retrieval rule for one cookie and URL (domain, path, Secure). */
bool tr_cookie_matches(const tr_cookie_t *cookie, const tr_url_t *url);

#endif
