/* transport: how a client's connections are made and how many there may be: addresses, sockets, pins, certificate, limits. Made once on any thread,
 * then read-only and shared (atomic count). It is part of an origin's key by what it says, not by its address: two with equal contents share
 * connections and tickets, two that differ in anything do not. A request without one (NULL) has the defaults. */
#ifndef TR_CLIENT_TRANSPORT_H
#define TR_CLIENT_TRANSPORT_H

#include "net/conn.h"
#include "tls/x509.h"

typedef struct tr_transport tr_transport_t;

/* 0 means the default everywhere. */
typedef struct tr_limits {
    uint32_t max_total;         /* open connections of the session; none */
    uint32_t max_h1_per_host;   /* HTTP/1.1 connections to an origin; the session's, 6 */
    uint32_t max_h2_per_host;   /* HTTP/2 connections to an origin; 1, as browsers: what is more than its streams waits */
    uint32_t max_streams;       /* requests at once on an HTTP/2 connection, below the server's own limit; none */
    uint32_t max_idle;          /* kept connections of the session; none */
    uint32_t max_idle_per_host; /* kept connections to an origin; none */
    uint32_t idle_timeout_ms;   /* the session's, 90 s */
    uint32_t ping_interval_ms;  /* a PING so often on an idle HTTP/2 connection, which ends when none is answered; none, as browsers */
    uint32_t max_header_bytes;  /* of a header section; the session's */
    uint32_t max_ratio;         /* decoded to received bytes; the session's; UINT32_MAX: none */
    uint64_t max_decoded;       /* bytes of a body; the session's; UINT64_MAX: none */
    bool no_keep_alive;         /* a connection serves one request */
    bool no_coalescing;         /* an HTTP/2 connection serves its own host alone */
} tr_limits_t;

/* A pinned key: SHA-256 of a SubjectPublicKeyInfo. host may be "*.example.com": names below example.com, at any depth, not itself. */
typedef struct tr_host_pin {
    const char *host;
    uint8_t sha256[32];
} tr_host_pin_t;

/* An address of a host, in place of a look-up. port 0: any. */
typedef struct tr_host_address {
    const char *host;
    uint16_t port;
    const char *ip;
} tr_host_address_t;

/* Everything is copied (the identity: referenced). NULL and 0: the default. */
typedef struct tr_transport_options {
    int family; /* AF_UNSPEC, AF_INET, AF_INET6 */
    const char *local_ip;
    uint16_t local_port;
    const char *interface;
    uint32_t keepalive_s, keepalive_interval_s, keepalive_count;
    tr_slice_t unix_path; /* connections go to this socket, whatever the URL's host */
    const char *server_name; /* SNI and the name that the certificate must have, in place of the URL's host */
    const tr_host_pin_t *pins;
    size_t num_pins;
    const tr_host_address_t *addresses;
    size_t num_addresses;
    uint64_t dns_max_age_ns; /* of a kept look-up; 1: none is taken */
    bool deny_private;
    const char *keylog_path;
    tr_identity_t *identity;
    tr_limits_t limits;
} tr_transport_options_t;

/* tr_transport_new checks and copies. INVALID_ARGUMENT with a sentence that names what is wrong; NOMEM. */
tr_code_t tr_transport_new(tr_transport_t **out, const tr_transport_options_t *options, tr_err_t *err);
tr_transport_t *tr_transport_ref(tr_transport_t *transport); /* NULL stays NULL */
void tr_transport_unref(tr_transport_t *transport);
/* tr_transport_id lends a text of TR_TRANSPORT_ID_LEN characters that equal transports share. */
#define TR_TRANSPORT_ID_LEN 32
const char *tr_transport_id(const tr_transport_t *transport);
/* tr_transport_limits lends the limits; of NULL: all zero. */
const tr_limits_t *tr_transport_limits(const tr_transport_t *transport);
tr_identity_t *tr_transport_identity(const tr_transport_t *transport); /* lent; NULL: none */
const char *tr_transport_keylog(const tr_transport_t *transport);      /* NULL: not set */
/* tr_transport_fill sets what a connection to the host wants of this; all of it lent for the transport's life. Only *out's fields of that kind
 * are touched. */
void tr_transport_fill(const tr_transport_t *transport, const char *host, uint16_t port, tr_conn_options_t *out);
/* tr_transport_may_coalesce says whether the host may be served by another's HTTP/2 connection: the certificate has the one name that counts,
 * and no key is asked for. */
bool tr_transport_may_coalesce(const tr_transport_t *transport, const char *host);
/* tr_transport_pins lends the pins for a host; 0: the host is not pinned. */
size_t tr_transport_pins(const tr_transport_t *transport, const char *host, const uint8_t (**out)[32]);

#endif
