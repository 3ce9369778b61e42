/* tunnel: what connections want of https proxies. A connection to such a proxy is an hconn of an origin of its own (tr_origin_t.is_proxy): as the
 * proxy agrees, it speaks HTTP/2 and carries tunnels and requests of any number of origins, or is handed over to the one connection that asked for
 * it. DESIGN
 *
 *   - An hconn whose way has an https proxy is given the bottom of its stack: conn.h asks by events.tunnel, a tr_tunnel_t waits with the proxy's
 *     origin until there is a connection that takes it, oldest first.
 *   - HTTP/2 (RFC 9113 8.5): CONNECT goes out as one more exchange on the proxy's hconn; when it is answered with 2xx, a stream filter becomes the
 *     bottom. Plain http in absolute form needs no tunnel: the origin borrows the proxy's hconn, as coalesced hosts do, and the one that
 *     asked ends.
 *   - HTTP/1.1: TCP and TLS move into the hconn that asked; the proxy's is gone.
 *   - The proxy's hconns are in no limit and no count of connections but one: an HTTP/2 connection is one opened and open.
 *   - What comes for a tunnel is told at the end of the turn: no callback of the HTTP/2 engine reaches the connection above. */
#ifndef TR_CLIENT_TUNNEL_H
#define TR_CLIENT_TUNNEL_H

#include "client/pool.h"
#include "net/conn.h"

typedef struct tr_tunnel tr_tunnel_t;

/* tr_tunnel__ask is tr_conn_events_t.tunnel for an hconn; hconn->tunnel is what is asked from then on. */
tr_code_t tr_tunnel__ask(struct tr_hconn *hconn, size_t hop, const char *host, uint16_t port, const tr_connect_style_t *style, tr_err_t *err);
/* tr_tunnel__free ends it: the tunnel is closed, or not waited for any more. NULL allowed. */
void tr_tunnel__free(tr_tunnel_t *tunnel);
/* tr_tunnel__rests: its connection is idle, and may be given up for one that waits for a stream. NULL allowed. */
void tr_tunnel__rests(const tr_tunnel_t *tunnel);
/* tr_tunnel__info lends what is known of the connection that brings the tunnel, while it is awaited; NULL: nothing, or it stands. */
const tr_conn_info_t *tr_tunnel__info(const tr_tunnel_t *tunnel);

/* tr_tunnels__dispatch gives those who wait what there is, and opens what is missing. */
void tr_tunnels__dispatch(tr_origin_t *proxy);
/* tr_tunnels__connected: a connection to the proxy is up. */
void tr_tunnels__connected(struct tr_hconn *hconn);
/* tr_tunnels__failed: one could not be made (hconn), or none can be (NULL). */
void tr_tunnels__failed(tr_origin_t *proxy, const struct tr_hconn *hconn, const tr_err_t *err);
/* tr_tunnels__lost: the hconn is closed; what it carries has ended. */
void tr_tunnels__lost(struct tr_hconn *hconn);
/* tr_tunnels__orphaned: the origin is freed; nobody may wait with it. */
void tr_tunnels__orphaned(tr_origin_t *proxy);

#endif
