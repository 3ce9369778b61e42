/* initiator: the page that makes a request, and what a browser says about it: sec-fetch-site, Origin, Referer, and whether cookies go along
 * (the Fetch standard, "HTTP-network-or-cache fetch"; Fetch Metadata; Referrer Policy, the page's and that of redirects).
 * Lives in the op's arena; changed on the loop at each redirect. */
#ifndef TR_CLIENT_INITIATOR_H
#define TR_CLIENT_INITIATOR_H

#include "client/client.h"
#include "client/compose.h"
#include "http/url.h"

struct tr_op;

/* The worst relation between the page and any URL of a redirect chain so far. */
typedef enum tr_site { TR_SITE_SAME_ORIGIN, TR_SITE_SAME_SITE, TR_SITE_CROSS_SITE } tr_site_t;

/* Referrer Policy 3. The first is what browsers do unless told otherwise. */
typedef enum tr_referrer_policy {
    TR_POLICY_STRICT_ORIGIN_WHEN_CROSS_ORIGIN,
    TR_POLICY_NO_REFERRER,
    TR_POLICY_NO_REFERRER_WHEN_DOWNGRADE,
    TR_POLICY_SAME_ORIGIN,
    TR_POLICY_ORIGIN,
    TR_POLICY_STRICT_ORIGIN,
    TR_POLICY_ORIGIN_WHEN_CROSS_ORIGIN,
    TR_POLICY_UNSAFE_URL
} tr_referrer_policy_t;

typedef struct tr_initiator {
    tr_url_t page;
    tr_url_t referrer;
    bool has_referrer;
    tr_referrer_policy_t policy;
    tr_slice_t origin;   /* the caller's own Origin; empty: made from the page */
    tr_slice_t key;      /* a WebSocket handshake's; empty: none */
    tr_credentials_t credentials;
    tr_site_t site;
    bool tainted;        /* a redirect went from one foreign origin to another: the origin is "null" from there on */
} tr_initiator_t;

/* tr_initiator__prepare fills op->kind and, when a page asks, op->initiator. URL_INVALID, URL_SCHEME, URL_NO_HOST and NOMEM; HEADER_INVALID for an
 * origin that cannot be sent. */
tr_code_t tr_initiator__prepare(struct tr_op *op, const tr_op_request_t *request, tr_err_t *err);
/* tr_initiator__set_policy takes a Referrer-Policy field, the page's or a redirect's: the last policy in it that is known counts. */
void tr_initiator__set_policy(struct tr_op *op, tr_slice_t field);
/* tr_initiator__redirect notes that the op goes from one URL to another. */
void tr_initiator__redirect(struct tr_op *op, const tr_url_t *from, const tr_url_t *to);
/* tr_initiator__compose fills in what it says of the op's present hop. NOMEM. */
tr_code_t tr_initiator__compose(struct tr_op *op, tr_compose_t *out);
/* tr_initiator__has_credentials says whether the present hop may carry and receive cookies of the jar. */
bool tr_initiator__has_credentials(const struct tr_op *op, const tr_url_t *url);
/* tr_initiator__other_site gives the page whose part of a browser the request belongs to when that is not the part of the URL's own site: browsers
 * share no connection and no ticket between what different sites have them ask (network state partitioning). NULL: it is the URL's own. */
const tr_url_t *tr_initiator__other_site(const struct tr_op *op, const tr_url_t *url);
/* tr_initiator__uses_jar says whether the present hop sends and stores cookies of the jar at all. */
bool tr_initiator__uses_jar(const struct tr_op *op);

#endif
