/* ticket: sessions kept for resumption, by key (origin and whatever else must not mix). Shared by the
 * connections of one client; guarded by a mutex of its own, so it may be used from any thread. */
#ifndef TR_TLS_TICKET_H
#define TR_TLS_TICKET_H

#include "core/err.h"
#include "tls/tls.h"

/* A session, TLS 1.3 or 1.2. Owned by who holds it; secret and ticket are wiped on free. */
typedef struct tr_session_ticket {
    struct tr_session_ticket *next; /* inside the store */
    uint16_t version;               /* 0x0304 or 0x0303 */
    uint16_t suite;
    bool ems;              /* TLS 1.2: extended master secret was used (RFC 7627 5.3) */
    uint32_t lifetime_s;   /* at most 7 days (RFC 8446 4.6.1) */
    uint32_t age_add;      /* TLS 1.3 */
    uint32_t max_early_data;
    uint64_t received_ms;  /* wall clock */
    uint8_t secret[64];    /* TLS 1.3: PSK; TLS 1.2: master secret (48) */
    size_t secret_len;
    uint8_t *ticket; /* owned */
    size_t ticket_len;
    uint8_t session_id[32]; /* TLS 1.2 resumption by session id */
    size_t session_id_len;
    uint8_t alpn[32]; /* agreed then: early data needs the same */
    size_t alpn_len;
} tr_session_ticket_t;

tr_tickets_t *tr_tickets_new(void);
void tr_tickets_free(tr_tickets_t *tickets);
/* tr_tickets_put takes the session over, always. Keeps at most TR_TLS_MAX_TICKETS a key, the newest. */
void tr_tickets_put(tr_tickets_t *tickets, tr_slice_t key, tr_session_ticket_t *session);
/* tr_tickets_take gives the newest session for the key that has not expired. TLS 1.3 sessions leave the store
 * (each is offered once, RFC 8446 C.4); a TLS 1.2 session stays unless `once12`, then a copy is given. NULL: none. */
tr_session_ticket_t *tr_tickets_take(tr_tickets_t *tickets, tr_slice_t key, uint64_t now_ms, bool once12);
/* tr_tickets_forget drops all sessions of a key (a resumption was refused with a failure). */
void tr_tickets_forget(tr_tickets_t *tickets, tr_slice_t key);
void tr_session_ticket_free(tr_session_ticket_t *session);

#endif
