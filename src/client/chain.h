/* chain: the certificates that a server sent, kept for those who look at them after the connection is gone. Made on the loop when a connection is
 * up, shared by its ops (atomic count), read-only. */
#ifndef TR_CLIENT_CHAIN_H
#define TR_CLIENT_CHAIN_H

#include <stdatomic.h>

#include "core/limits.h"
#include "core/mem.h"
#include "tls/tls.h"

typedef struct tr_chain {
    atomic_uint refs;
    size_t num;
    tr_slice_t certs[TR_TLS_MAX_CHAIN_CERTS]; /* into bytes */
    uint8_t bytes[];
} tr_chain_t;

/* tr_chain__new copies the chain of a finished handshake. NULL: there is none, or no memory: it is not worth a failure. */
static inline tr_chain_t *
tr_chain__new(const tr_tls_t *tls, size_t num)
{
    size_t total = 0, at = 0;
    num = TR_MIN(num, (size_t)TR_TLS_MAX_CHAIN_CERTS);
    for (size_t i = 0; i < num; i++) {
        total += tr_tls_peer_cert(tls, i).len; /* of one message: no overflow */
    }
    tr_chain_t *chain = total == 0 ? NULL : tr_malloc(sizeof(*chain) + total);
    if (chain == NULL) {
        return NULL;
    }
    atomic_init(&chain->refs, 1);
    chain->num = num;
    for (size_t i = 0; i < num; i++) {
        tr_slice_t cert = tr_tls_peer_cert(tls, i);
        memcpy(chain->bytes + at, cert.data, cert.len);
        chain->certs[i] = tr_slice(chain->bytes + at, cert.len);
        at += cert.len;
    }
    return chain;
}

static inline tr_chain_t *
tr_chain__ref(tr_chain_t *chain)
{
    if (chain != NULL) {
        atomic_fetch_add_explicit(&chain->refs, 1, memory_order_relaxed);
    }
    return chain;
}

static inline void
tr_chain__unref(tr_chain_t *chain)
{
    if (chain != NULL && atomic_fetch_sub_explicit(&chain->refs, 1, memory_order_acq_rel) == 1) {
        tr_free(chain);
    }
}

#endif
