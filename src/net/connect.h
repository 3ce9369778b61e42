/* connect: the request for a tunnel and what an answer to it means (RFC 9110 9.3.6), whatever carries them: HTTP/1.1 (filter_hproxy.c) or a stream
 * of an HTTP/2 connection (client/tunnel.c). */
#ifndef TR_NET_CONNECT_H
#define TR_NET_CONNECT_H

#include "http1/h1.h"
#include "net/proxy.h"

/* How a CONNECT looks besides the caller's fields. Lent for the call. */
typedef struct tr_connect_style {
    const char *family;    /* of the profile: decides order and fields; NULL: Chromium's */
    tr_slice_t user_agent; /* empty: none is sent */
} tr_connect_style_t;

/* tr_connect_style_renames says whether the browser calls its Connection field Proxy-Connection in requests in absolute form. */
bool tr_connect_style_renames(const char *family);
/* tr_connect_style_weight gives the weight of the HTTP/2 stream; 0: the profile's. */
uint16_t tr_connect_style_weight(const char *family);

/* The browser's own fields and a caller's. */
#define TR_CONNECT_MAX_FIELDS (8 + TR_PROXY_MAX_FIELDS)

typedef struct tr_connect {
    const tr_proxy_hop_t *hop; /* who is asked; lent by the proxy */
    char *target;              /* owned; host:port */
    char *basic;               /* owned, secret; NULL: no credentials */
    size_t basic_len;
    tr_field_t fields[TR_CONNECT_MAX_FIELDS]; /* all that is sent over HTTP/1.1; over HTTP/2 without connection-specific ones and Host */
    size_t num_fields;
} tr_connect_t;

/* tr_connect_init makes the request to the proxy's hop for a tunnel to host:port. Lent: proxy, and the style until cleanup. TR_ERR_NOMEM. */
tr_code_t tr_connect_init(tr_connect_t *out, const tr_proxy_t *proxy, size_t hop, const char *host, uint16_t port,
                          const tr_connect_style_t *style);
void tr_connect_cleanup(tr_connect_t *connect);
/* tr_connect_head fills in the head to be submitted, without a body. */
void tr_connect_head(const tr_connect_t *connect, tr_request_head_t *out);
/* tr_connect_judge says what a final status means: TR_OK: the tunnel stands; PROXY_AUTH, PROXY_REFUSED. */
tr_code_t tr_connect_judge(const tr_connect_t *connect, int status, tr_err_t *err);

#endif
