/* conn: one transport connection for the layer above: name look-up, happy eyeballs (RFC 8305), TCP, tunnels through proxies and, for https,
 * TLS, as a stack of filters (filter.h). Bytes in by a queue, bytes out by a buffer that is written when the turn ends. On the loop only. */
#ifndef TR_NET_CONN_H
#define TR_NET_CONN_H

#include "core/bufq.h"
#include "net/dns.h"
#include "net/filter.h"
#include "net/loop.h"
#include "tls/tls.h"

typedef struct tr_conn tr_conn_t;

typedef struct tr_conn_options {
    const char *host; /* ASCII name or address without brackets; copied */
    uint16_t port;
    int family;                     /* AF_UNSPEC, AF_INET, AF_INET6 */
    const tr_tls_config_t *tls;     /* NULL: plain TCP. Copied; now_ms is filled in here */
    uint64_t connect_timeout_ns;    /* look-up, TCP and all that proxies take until the tunnel stands; 0: none */
    uint64_t tls_timeout_ns;        /* handshake with host; 0: none */
    const tr_address_t *local;      /* address to bind; NULL: any. Copied */
    /* All that follows is lent until the connection is up or closed. */
    const tr_sockopts_t *socket;    /* NULL: none */
    const char *tls_host;           /* name for SNI and for the certificate's check; NULL: host */
    const tr_address_t *addresses;  /* to be used in place of a look-up, with ports; NULL: look host up */
    size_t num_addresses;
    uint64_t dns_max_age_ns;        /* of a kept look-up that is taken; 0: TR_DNS_MAX_AGE_NS; 1: none */
    bool deny_private;              /* addresses that are not of the public Internet are not connected to: CONNECT_PRIVATE */
    const tr_proxy_t *proxy;        /* NULL: straight to host. Referenced */
    bool forward;                   /* the last proxy gets requests for host in absolute form: no tunnel through it, and no tls */
    bool to_proxy;                  /* with forward: the connection is one to the last proxy, for others: host is its name */
    const tr_tls_config_t *proxy_tls; /* for https proxies; its ticket_key is the last one's, others resume nothing. Copied */
    tr_connect_style_t connect_style; /* for CONNECT; copied */
} tr_conn_options_t;

/* All callbacks come on the loop, never inside tr_conn_open; any of them may call tr_conn_close. */
typedef struct tr_conn_events {
    void (*connected)(void *arg); /* TCP, and TLS where asked, are up */
    void (*readable)(void *arg);  /* tr_conn_input grew */
    void (*writable)(void *arg);  /* all output left for the kernel */
    /* TR_EOF: the peer ended in order (TCP FIN, and close_notify with TLS when detail is 1); else a failure. Once, last; the
     * connection must still be closed with tr_conn_close. Input that came before stays readable. */
    void (*closed)(void *arg, tr_code_t code, const tr_err_t *err);
    /* The ClientHello was made and early data may follow it (TR_TLS_EARLY_DATA, tr_tls_early_room): tr_conn_write takes bytes from now on, in
     * the protocol of tr_tls_early_alpn; TR_AGAIN: not before `connected`. Only what may be repeated belongs there. NULL: not of interest. */
    void (*early)(void *arg);
    /* The host's addresses are known and none is connected to yet (not with a proxy). True: the connection is not wanted any more, and was
     * closed. NULL: not of interest. */
    bool (*resolved)(void *arg, const tr_address_t *addresses, size_t num);
    /* A tunnel to host:port is wanted through the way's hop of that index, an https proxy; host NULL: a connection to it. May come inside
     * tr_conn_open. TR_OK: tr_conn_take or tr_conn_not_taken will be called (later, and not once the connection is closed). Asked again when
     * a proxy further on has to be tried with another address. NULL: https proxies are climbed as others are, over HTTP/1.1. */
    tr_code_t (*tunnel)(void *arg, size_t hop, const char *host, uint16_t port, const tr_connect_style_t *style, tr_err_t *err);
} tr_conn_events_t;

tr_code_t tr_conn_open(tr_conn_t **out, tr_loop_t *loop, tr_dns_t *dns, const tr_conn_options_t *options,
                       const tr_conn_events_t *events, void *arg, tr_err_t *err);
/* tr_conn_close ends it at once: unsent output is dropped, no callback follows, memory is freed at the end of the turn. No close_notify
 * (browsers send none). */
void tr_conn_close(tr_conn_t *conn);

/* tr_conn_input lends the queue of received plaintext; consume from it. Reading stops while it holds more than its limit (a few
 * records) and goes on by itself once it is drained (tr_conn_read_more after consuming outside of readable). */
tr_bufq_t *tr_conn_input(tr_conn_t *conn);
void tr_conn_read_more(tr_conn_t *conn);
/* tr_conn_pause stops (true) or restarts reading from the socket. */
void tr_conn_pause(tr_conn_t *conn, bool paused);
/* tr_conn_write queues bytes; with TLS each call starts a record of its own. They are written to the socket at the end of the turn, all
 * in one system call where they fit. */
tr_code_t tr_conn_write(tr_conn_t *conn, tr_slice_t data, tr_err_t *err);
/* Bytes queued and not yet taken by the kernel. */
size_t tr_conn_pending(const tr_conn_t *conn);
/* Bytes that the kernel has taken (a tunnel over HTTP/2: its carrier), handshakes included: what was queued when this and the pending ones were n is
 * out when this is n. */
uint64_t tr_conn_written(const tr_conn_t *conn);
bool tr_conn_is_connected(const tr_conn_t *conn);
/* tr_conn_is_alive looks at an idle connection's socket without blocking: false when it was closed or has unexpected bytes. */
bool tr_conn_is_alive(tr_conn_t *conn);

typedef struct tr_conn_info {
    tr_tls_info_t tls; /* all zero without TLS */
    bool has_tls;
    char peer_text[TR_ADDRESS_TEXT]; /* "127.0.0.1:443", "[::1]:443", "unix:/path" */
    char local_text[TR_ADDRESS_TEXT];
    uint64_t start_ns, dns_done_ns, tcp_done_ns, tls_done_ns; /* on the loop's clock; 0: not reached. tcp_done: the way to host is open */
    bool has_proxy;        /* peer_text is the first proxy's */
    bool reached_proxy;    /* what happens from here on is a proxy's doing, until tcp_done_ns */
} tr_conn_info_t;
/* tr_conn_info lends what is known; valid until the next call on the connection. */
const tr_conn_info_t *tr_conn_info(const tr_conn_t *conn);
/* tr_conn_take gives the connection what events.tunnel asked for: filters that are connected, owned by it from now on. is_tunnel: it leads to the
 * host that was named; else to the hop, which is still to be asked. */
void tr_conn_take(tr_conn_t *conn, tr_filter_t *top, tr_filter_t *bottom, bool is_tunnel);
/* tr_conn_not_taken says that there will be none; info: how far whoever tried came. */
void tr_conn_not_taken(tr_conn_t *conn, const tr_conn_info_t *info, const tr_err_t *err);
/* tr_conn_give takes the filters from a connection that is up (to_proxy) for tr_conn_take of another; it must then only be closed.
 * PROXY_PROTOCOL: bytes came on it. */
tr_code_t tr_conn_give(tr_conn_t *conn, tr_filter_t **out_top, tr_filter_t **out_bottom, tr_err_t *err);
/* tr_conn_peer lends the address that is connected to; NULL: none, or a proxy's. */
const tr_address_t *tr_conn_peer(const tr_conn_t *conn);
/* The engine under it: the host's, or with to_proxy the proxy's; NULL without TLS. Lent. */
const tr_tls_t *tr_conn_tls(const tr_conn_t *conn);

#endif
