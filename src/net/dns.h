/* dns: host names to addresses by getaddrinfo on a small pool of worker threads, with a short cache and one query for equal ones
 * under way. Callbacks come on the loop. */
#ifndef TR_NET_DNS_H
#define TR_NET_DNS_H

#include <sys/socket.h>

#include "net/loop.h"

typedef struct tr_dns tr_dns_t;
typedef struct tr_dns_query tr_dns_query_t;

typedef struct tr_address {
    struct sockaddr_storage storage;
    socklen_t len;
} tr_address_t;

#define TR_DNS_MAX_ADDRESSES 16

/* tr_dns_new starts no thread before the first query. */
tr_code_t tr_dns_new(tr_dns_t **out, tr_loop_t *loop, tr_err_t *err);
/* tr_dns_free waits for no worker: a thread stuck in getaddrinfo finishes alone and touches nothing of ours. */
void tr_dns_free(tr_dns_t *dns);
/* tr_dns_resolve looks host up (addresses are answered without a worker). family: AF_UNSPEC, AF_INET, AF_INET6. done is called later on
 * the loop, never inside this call, unless the query is cancelled; addresses are lent for the callback, in the resolver's order
 * (RFC 6724), port filled in. err: DNS_NOT_FOUND or DNS_FAILED with detail EAI_*. */
tr_code_t tr_dns_resolve(tr_dns_t *dns, tr_dns_query_t **out, const char *host, uint16_t port, int family,
                         void (*done)(void *arg, const tr_address_t *addresses, size_t num, const tr_err_t *err), void *arg,
                         tr_err_t *err);
/* The age up to which tr_dns_resolve takes a kept answer. */
#define TR_DNS_MAX_AGE_NS ((uint64_t)30 * 1000000000u)
/* tr_dns_resolve_within is tr_dns_resolve with another age; 0: always ask (a lookup of the same name that is under way is joined). */
tr_code_t tr_dns_resolve_within(tr_dns_t *dns, tr_dns_query_t **out, const char *host, uint16_t port, int family, uint64_t max_age_ns,
                                void (*done)(void *arg, const tr_address_t *addresses, size_t num, const tr_err_t *err), void *arg,
                                tr_err_t *err);
/* tr_dns_answer is a query whose answer the caller has: those of the addresses (copied; port goes where they have none) that are of the family, or of
 * none such as a Unix socket's. */
tr_code_t tr_dns_answer(tr_dns_t *dns, tr_dns_query_t **out, const char *host, uint16_t port, const tr_address_t *addresses, size_t num, int family,
                        void (*done)(void *arg, const tr_address_t *addresses, size_t num, const tr_err_t *err), void *arg,
                        tr_err_t *err);
/* tr_dns_cancel ends the query without a callback. A query is gone once its done was called. */
void tr_dns_cancel(tr_dns_query_t *query);

/* tr_dns_set_lookup replaces getaddrinfo for names that need a worker (tests, fixed tables). lookup runs on a worker: it writes at most
 * TR_DNS_MAX_ADDRESSES addresses and returns 0 or EAI_* (EAI_SYSTEM: errno says more). */
typedef int (*tr_dns_lookup_t)(const char *host, int family, tr_address_t *out, size_t *out_num);
void tr_dns_set_lookup(tr_dns_t *dns, tr_dns_lookup_t lookup);

#endif
