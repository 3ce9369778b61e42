/* filter: the layers of one connection's transport. A stack is a chain by `next`, at the bottom a socket or a stream within another connection;
 * each filter knows only its next one. The connection (conn.h) drives the top, proxies stand between bottom and TLS. On the loop only.
 *
 * Bytes out: write() of the top hands plaintext down into the wire buffer of the filter below, at once and without a system call; flush() walks
 * down and empties the wire buffers into the kernel. Bytes in: recv() of the top reads from below and appends plaintext to a queue. */
#ifndef TR_NET_FILTER_H
#define TR_NET_FILTER_H

#include "core/bufq.h"
#include "net/connect.h"
#include "net/dns.h"
#include "tls/tls.h"

typedef struct tr_filter tr_filter_t;

/* What the bottom of a stack can besides. */
typedef struct tr_bottom_type {
    /* on_ready says who is told about readiness (TR_WATCH_*). fn may free the filter; NULL: nobody. */
    void (*on_ready)(tr_filter_t *f, void (*fn)(void *arg, int events), void *arg);
    /* watch chooses what is awaited; TR_ERR_NOMEM or TR_ERR_SYSTEM. */
    tr_code_t (*watch)(tr_filter_t *f, int events, tr_err_t *err);
    int (*watched)(const tr_filter_t *f);
    /* probe peeks: TR_AGAIN: open and quiet; TR_OK: there are bytes; TR_EOF or a failure: it ended. */
    tr_code_t (*probe)(tr_filter_t *f, tr_err_t *err);
    /* written counts the bytes that the kernel, or whoever carries the stream, has taken. */
    uint64_t (*written)(const tr_filter_t *f);
    /* shut closes it now, dropping unsent bytes; the filter must then only be freed. */
    void (*shut)(tr_filter_t *f);
    /* texts writes both addresses of the socket, TR_ADDRESS_TEXT bytes each; the empty text where there is none. */
    void (*texts)(const tr_filter_t *f, char *out_peer, char *out_local);
} tr_bottom_type_t;

typedef struct tr_filter_type {
    const char *name; /* in traces */
    const tr_bottom_type_t *bottom; /* NULL: it stands on another */
    /* connect makes or continues the filter's own handshake; repeat it after each recv, or when the socket became ready, until it gives
     * something else than TR_AGAIN. Never calls next->type->connect: the stack is built upwards, on a filter that is connected. */
    tr_code_t (*connect)(tr_filter_t *f, tr_err_t *err);
    /* write queues all of the bytes or none (a failure; TR_AGAIN before the filter is connected). */
    tr_code_t (*write)(tr_filter_t *f, tr_slice_t in, tr_err_t *err);
    /* flush gives what is queued to the kernel, through next. TR_OK: all of it; TR_AGAIN: the kernel is full. */
    tr_code_t (*flush)(tr_filter_t *f, tr_err_t *err);
    /* pending counts queued bytes, those of next included. */
    size_t (*pending)(const tr_filter_t *f);
    /* recv does one read from below and appends to out what came of it (perhaps nothing). TR_OK: there may be more; TR_AGAIN: the kernel has
     * no more now; TR_EOF: the peer ended in order (err->detail 1: it said close_notify); or a failure. */
    tr_code_t (*recv)(tr_filter_t *f, tr_bufq_t *out, tr_err_t *err);
    /* wire lends the buffer into which the filter above puts what it wants sent; flush empties it. NULL: nothing can stand above. */
    tr_buf_t *(*wire)(tr_filter_t *f);
    /* read is recv for the filter above: at most cap bytes into dst. NULL as with wire. */
    tr_code_t (*read)(tr_filter_t *f, uint8_t *dst, size_t cap, size_t *out_len, tr_err_t *err);
    /* cleanup frees the filter and what it owns, never next. */
    void (*cleanup)(tr_filter_t *f);
} tr_filter_type_t;

struct tr_filter {
    const tr_filter_type_t *type; /* static */
    tr_filter_t *next;            /* owned through tr_filter_free; NULL at the bottom */
};

/* tr_filter_free frees f and all below it. */
void tr_filter_free(tr_filter_t *f);
/* tr_filter_pop frees f alone and returns what it stood on. */
tr_filter_t *tr_filter_pop(tr_filter_t *f);

/* ------------------------------------------------------------------------------------------------- the socket: filter_tcp.c */

/* tr_tcp_new makes the filter; connect opens the socket. address and local (NULL: any) are copied. */
tr_code_t tr_tcp_new(tr_filter_t **out, tr_loop_t *loop, const tr_address_t *address, const tr_address_t *local, tr_err_t *err);
/* Options of the socket itself. */
typedef struct tr_sockopts {
    char interface[16];   /* name of the network interface; empty: any */
    uint32_t keepalive_s; /* TCP keep-alive: idle seconds before the first probe; 0: off */
    uint32_t keepalive_interval_s, keepalive_count; /* between probes, and how many are lost before the end; 0: the system's */
} tr_sockopts_t;
/* tr_tcp_set_options before connect; lent until the socket is connected or closed. NULL: none. */
void tr_tcp_set_options(tr_filter_t *tcp, const tr_sockopts_t *options);
const tr_address_t *tr_tcp_address(const tr_filter_t *tcp);
/* tr_address_text writes "127.0.0.1:443", "[::1]:443" or "unix:/path". */
#define TR_ADDRESS_TEXT 120 /* room for any: a Unix socket's path has 108 bytes */
void tr_address_text(const tr_address_t *address, char *out, size_t cap);

/* -------------------------------------------------------------------------------------------------------- addresses: address.c */

/* tr_address_parse reads an IPv4 or IPv6 address without brackets (a scope as in fe80::1%eth0 may stand behind it). False: it is none. */
bool tr_address_parse(tr_address_t *out, const char *text, uint16_t port);
/* tr_address_unix makes the address of a Unix socket; a path that begins with NUL (path_len counts it) is Linux's abstract name. False: the
 * path is empty or too long. */
bool tr_address_unix(tr_address_t *out, const char *path, size_t path_len);
/* tr_address_equal compares family, address, port and, for IPv6, scope. Unix sockets are never equal. */
bool tr_address_equal(const tr_address_t *a, const tr_address_t *b);
/* tr_address_is_private says whether an address is not one of the public Internet's: loopback, private, link-local, shared, multicast,
 * reserved, documentation (RFC 6890 and the registries it made), IPv4 ones also inside of IPv6 forms. Unix sockets are not. */
bool tr_address_is_private(const tr_address_t *address);

/* ---------------------------------------------------------------------------------------------------- TLS: filter_tls.c */

/* tr_tls_filter_new stands on next, which is connected and is owned by the new filter on success. Its config's pointers are lent for the
 * filter's life. */
tr_code_t tr_tls_filter_new(tr_filter_t **out, tr_filter_t *next, tr_loop_t *loop, const tr_tls_config_t *config, const char *host,
                            tr_err_t *err);
const tr_tls_t *tr_tls_filter_engine(const tr_filter_t *f);
/* tr_tls_filter_buffered counts plaintext that a filter above can read without the socket becoming readable. 0 for other filters. */
size_t tr_tls_filter_buffered(const tr_filter_t *f);

/* ------------------------------------------------------------- a stream within another connection: filter_stream.c */

/* Called by the filter, never from inside of the functions below. */
typedef struct tr_stream_events {
    void (*wake)(void *arg);    /* there is output to take */
    void (*drained)(void *arg); /* after tr_stream_put said TR_PAUSED: there is room again */
    void (*shut)(void *arg);    /* the connection is done with it; nothing follows */
} tr_stream_events_t;

/* tr_stream_filter_new makes a bottom whose bytes are carried by whoever holds the other side: an HTTP/2 stream. The texts are copied. */
tr_code_t tr_stream_filter_new(tr_filter_t **out, tr_loop_t *loop, const tr_stream_events_t *events, void *arg, const char *peer_text,
                               const char *local_text, tr_err_t *err);
/* tr_stream_put adds received bytes, chunk as in tr_exchange_events_t. TR_PAUSED: taken, but the reader is slow. TR_ERR_NOMEM. */
tr_code_t tr_stream_put(tr_filter_t *f, tr_slice_t data, tr_chunk_t **chunk);
/* tr_stream_take moves at most max bytes of output to out and returns how many. */
size_t tr_stream_take(tr_filter_t *f, uint8_t *out, size_t max);
/* tr_stream_end says that no more comes: TR_EOF or a failure, after what was put before. The first one counts. */
void tr_stream_end(tr_filter_t *f, tr_code_t code, const tr_err_t *err);

/* ----------------------------------------------------------------------------- tunnels: filter_hproxy.c, filter_socks.c */

/* tr_hproxy_filter_new asks the proxy's hop below (over next, which is connected and owned by the new filter on success) for a tunnel to
 * host:port by CONNECT. Its connect gives TR_OK when the tunnel stands; failures are PROXY_*. proxy is lent for the filter's life. */
tr_code_t tr_hproxy_filter_new(tr_filter_t **out, tr_filter_t *next, const tr_proxy_t *proxy, size_t hop, const char *host, uint16_t port,
                               const tr_connect_style_t *style, tr_err_t *err);
/* tr_socks_filter_new does it by SOCKS. address NULL: the proxy looks host up (or it is an address as text). host and address are copied. */
tr_code_t tr_socks_filter_new(tr_filter_t **out, tr_filter_t *next, const tr_proxy_t *proxy, size_t hop, const char *host, uint16_t port,
                              const tr_address_t *address, tr_err_t *err);

#endif
