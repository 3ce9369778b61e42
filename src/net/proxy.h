/* proxy: the way to an origin that leads through proxies: a chain of hops with their credentials. Immutable once made, counted, shared between
 * threads. Passwords live here alone, are wiped with it, and appear in no text that leaves the layer: what names a way elsewhere (pool keys,
 * ticket keys) is its digest. */
#ifndef TR_NET_PROXY_H
#define TR_NET_PROXY_H

#include "core/err.h"
#include "core/limits.h"

typedef enum tr_proxy_kind {
    TR_PROXY_HTTP,
    TR_PROXY_HTTPS,
    TR_PROXY_SOCKS4,  /* names are looked up here, IPv4 only */
    TR_PROXY_SOCKS4A, /* names are looked up by the proxy */
    TR_PROXY_SOCKS5,  /* names are looked up here */
    TR_PROXY_SOCKS5H  /* names are looked up by the proxy */
} tr_proxy_kind_t;

/* What is done with plain http:// where the last hop speaks HTTP. */
typedef enum tr_proxy_forward {
    TR_FORWARD_REFUSED, /* a tunnel; when the proxy does not make one, absolute form */
    TR_FORWARD_NEVER,   /* a tunnel or nothing */
    TR_FORWARD_ALWAYS   /* absolute form, as browsers do */
} tr_proxy_forward_t;

typedef struct tr_proxy_hop {
    tr_proxy_kind_t kind;
    char *host; /* owned; no brackets */
    uint16_t port;
    bool has_auth;
    char *user; /* owned, percent-decoded; may hold any byte but NUL */
    char *password;
} tr_proxy_hop_t;

/* A field for CONNECT. value.data NULL: the browser's field of that name is left out. */
typedef struct tr_proxy_field {
    tr_slice_t name;
    tr_slice_t value;
} tr_proxy_field_t;

typedef struct tr_proxy tr_proxy_t;

/* tr_proxy_new reads the addresses of num_urls hops in the order of travel, `scheme://[user[:password]@]host[:port]`: host ASCII, IPv6 in
 * brackets; ports 80, 443, 1080 by default. fields go to each hop that is asked by CONNECT. All is copied. PROXY_INVALID, NOMEM. Any thread. */
tr_code_t tr_proxy_new(tr_proxy_t **out, const tr_slice_t *urls, size_t num_urls, tr_proxy_forward_t forward,
                       const tr_proxy_field_t *fields, size_t num_fields, tr_err_t *err);
/* tr_proxy_prefix gives the way to and with the first num_hops hops, referenced. TR_ERR_NOMEM. */
tr_code_t tr_proxy_prefix(tr_proxy_t **out, tr_proxy_t *proxy, size_t num_hops, tr_err_t *err);
tr_proxy_t *tr_proxy_ref(tr_proxy_t *proxy);
void tr_proxy_unref(tr_proxy_t *proxy);

size_t tr_proxy_num_hops(const tr_proxy_t *proxy);
const tr_proxy_hop_t *tr_proxy_hop(const tr_proxy_t *proxy, size_t index);
tr_proxy_forward_t tr_proxy_forward(const tr_proxy_t *proxy);
size_t tr_proxy_num_fields(const tr_proxy_t *proxy);
const tr_proxy_field_t *tr_proxy_field(const tr_proxy_t *proxy, size_t index);
/* tr_proxy_last_is_http says whether the last hop can be given requests in absolute form. */
bool tr_proxy_last_is_http(const tr_proxy_t *proxy);

/* tr_proxy_has_tls says whether a hop is an https proxy. */
bool tr_proxy_has_tls(const tr_proxy_t *proxy);

/* tr_proxy_digest lends 64 hexadecimal digits that name the way: addresses, credentials, fields, forward. */
#define TR_PROXY_DIGEST_LEN 64
const char *tr_proxy_digest(const tr_proxy_t *proxy);
/* tr_proxy_way_digest is the same without `forward`: what the last proxy itself is known by. */
const char *tr_proxy_way_digest(const tr_proxy_t *proxy);

/* tr_proxy_basic gives a new buffer with "Basic ..." (RFC 7617) for a hop that has credentials; the caller wipes and frees it. */
tr_code_t tr_proxy_basic(char **out, size_t *out_len, const tr_proxy_hop_t *hop);

/* tr_proxy_is_ip says whether a host text is an address; *out_family AF_INET or AF_INET6. */
bool tr_proxy_is_ip(const char *host, int *out_family);

/* tr_proxy_blame turns a failure on the way to or at the hop into the proxy's: what nobody should take for the origin's. Failures of our own
 * side (memory, descriptors) and PROXY_* stay. */
void tr_proxy_blame(tr_err_t *err, const tr_proxy_hop_t *hop);

#endif
