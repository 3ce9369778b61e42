/* routes: which way a client's requests take: through one proxy or chain for http:// URLs, through the same or another for https://, and
 * straight to hosts that are named as exceptions. Immutable, counted, shared between threads; asked again for each redirect. */
#ifndef TR_CLIENT_ROUTES_H
#define TR_CLIENT_ROUTES_H

#include "http/url.h"
#include "net/proxy.h"

typedef struct tr_routes tr_routes_t;

/* tr_routes_new references the proxies (NULL: straight) and reads the exceptions, separated by commas or blanks:
 *   "*"                        every host
 *   "example.com", ".example.com"   this host and those below it
 *   "example.com:8080"         on this port only
 *   "10.0.0.0/8", "::1", "[::1]:80"  addresses, as the URL has them (no name is looked up for this)
 * INVALID_ARGUMENT (more than TR_PROXY_MAX_EXCEPTIONS), NOMEM. Any thread. */
tr_code_t tr_routes_new(tr_routes_t **out, tr_proxy_t *http, tr_proxy_t *https, tr_slice_t exceptions, tr_err_t *err);
tr_routes_t *tr_routes_ref(tr_routes_t *routes);
void tr_routes_unref(tr_routes_t *routes);
/* tr_routes_pick lends the proxy for a URL; NULL: none. */
tr_proxy_t *tr_routes_pick(const tr_routes_t *routes, const tr_url_t *url);

#endif
