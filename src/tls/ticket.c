#include "tls/ticket.h"

#include <pthread.h>

#include "core/limits.h"
#include "core/list.h"
#include "core/map.h"
#include "core/mem.h"

/* Origins whose sessions one client keeps, the least recently used go first: a crawler visits more hosts than it
 * comes back to, and a session takes half a kilobyte to a few. */
#define MAX_KEYS 1024

/* RFC 8446 4.6.1: no session is used for longer than a week. */
#define MAX_LIFETIME_S (7u * 24 * 3600)

typedef struct entry {
    tr_link_t link; /* in tickets->recent */
    tr_session_ticket_t *sessions; /* owned; newest first, at most TR_TLS_MAX_TICKETS */
    size_t key_len;
    uint8_t key[];
} entry_t;

struct tr_tickets {
    pthread_mutex_t lock; /* guards everything below */
    tr_map_t by_key;      /* key -> entry_t, owned by `recent` */
    tr_list_t recent;     /* most recently used last */
};

void
tr_session_ticket_free(tr_session_ticket_t *session)
{
    if (session != NULL) {
        if (session->ticket != NULL) {
            tr_wipe(session->ticket, session->ticket_len);
            tr_free(session->ticket);
        }
        tr_wipe(session, sizeof(*session));
        tr_free(session);
    }
}

static tr_session_ticket_t *
session_dup(const tr_session_ticket_t *session)
{
    tr_session_ticket_t *copy = tr_memdup(session, sizeof(*session));
    if (copy == NULL) {
        return NULL;
    }
    copy->next = NULL;
    copy->ticket = tr_memdup(session->ticket, session->ticket_len);
    if (copy->ticket == NULL) {
        tr_session_ticket_free(copy);
        return NULL;
    }
    return copy;
}

static void
entry_free(entry_t *entry)
{
    while (entry->sessions != NULL) {
        tr_session_ticket_t *next = entry->sessions->next;
        tr_session_ticket_free(entry->sessions);
        entry->sessions = next;
    }
    tr_free(entry);
}

tr_tickets_t *
tr_tickets_new(void)
{
    uint64_t seeds[2];
    tr_tickets_t *tickets = tr_calloc(1, sizeof(*tickets));
    if (tickets == NULL) {
        return NULL;
    }
    if (tr_rand_system.fill(tr_rand_system.arg, (uint8_t *)seeds, sizeof(seeds)) != TR_OK ||
        pthread_mutex_init(&tickets->lock, NULL) != 0) {
        tr_free(tickets);
        return NULL;
    }
    tr_map_init(&tickets->by_key, seeds[0], seeds[1]);
    tr_list_init(&tickets->recent);
    return tickets;
}

void
tr_tickets_free(tr_tickets_t *tickets)
{
    tr_link_t *link;
    if (tickets == NULL) {
        return;
    }
    while ((link = tr_list_shift(&tickets->recent)) != NULL) {
        entry_free(TR_CONTAINER_OF(link, entry_t, link));
    }
    tr_map_cleanup(&tickets->by_key);
    pthread_mutex_destroy(&tickets->lock);
    tr_free(tickets);
}

/* With the lock held. */
static void
drop_entry(tr_tickets_t *tickets, entry_t *entry)
{
    tr_list_remove(&entry->link);
    (void)tr_map_remove(&tickets->by_key, tr_slice(entry->key, entry->key_len));
    entry_free(entry);
}

/* With the lock held. NULL: out of memory. */
static entry_t *
find_or_add(tr_tickets_t *tickets, tr_slice_t key)
{
    entry_t *entry = tr_map_get(&tickets->by_key, key);
    if (entry != NULL) {
        tr_list_remove(&entry->link);
        tr_list_push(&tickets->recent, &entry->link);
        return entry;
    }
    if (key.len > SIZE_MAX / 2) {
        return NULL;
    }
    entry = tr_calloc(1, sizeof(*entry) + key.len);
    if (entry == NULL) {
        return NULL;
    }
    entry->key_len = key.len;
    if (key.len > 0) {
        memcpy(entry->key, key.data, key.len);
    }
    if (tr_map_put(&tickets->by_key, NULL, key, entry) != TR_OK) {
        entry_free(entry);
        return NULL;
    }
    tr_list_push(&tickets->recent, &entry->link);
    if (tickets->by_key.len > MAX_KEYS) {
        drop_entry(tickets, TR_CONTAINER_OF(tr_list_first(&tickets->recent), entry_t, link));
    }
    return entry;
}

void
tr_tickets_put(tr_tickets_t *tickets, tr_slice_t key, tr_session_ticket_t *session)
{
    pthread_mutex_lock(&tickets->lock);
    entry_t *entry = find_or_add(tickets, key);
    if (entry == NULL) {
        tr_session_ticket_free(session); /* a session not kept costs a full handshake, nothing else */
    } else {
        session->next = entry->sessions;
        entry->sessions = session;
        tr_session_ticket_t *last = session;
        for (size_t num = 1; num < TR_TLS_MAX_TICKETS && last != NULL; num++) {
            last = last->next;
        }
        while (last != NULL && last->next != NULL) {
            tr_session_ticket_t *old = last->next;
            last->next = old->next;
            tr_session_ticket_free(old);
        }
    }
    pthread_mutex_unlock(&tickets->lock);
}

static bool
is_expired(const tr_session_ticket_t *session, uint64_t now_ms)
{
    uint64_t lifetime_ms = (uint64_t)TR_MIN(session->lifetime_s, MAX_LIFETIME_S) * 1000;
    /* A clock that was set back makes the age unknowable. */
    return now_ms < session->received_ms || now_ms - session->received_ms >= lifetime_ms;
}

tr_session_ticket_t *
tr_tickets_take(tr_tickets_t *tickets, tr_slice_t key, uint64_t now_ms, bool once12)
{
    tr_session_ticket_t *found = NULL;
    pthread_mutex_lock(&tickets->lock);
    entry_t *entry = tr_map_get(&tickets->by_key, key);
    while (entry != NULL && entry->sessions != NULL && found == NULL) {
        tr_session_ticket_t *first = entry->sessions;
        if (is_expired(first, now_ms)) {
            entry->sessions = first->next;
            tr_session_ticket_free(first);
        } else if (first->version == 0x0303 && !once12) {
            found = session_dup(first);
            break;
        } else {
            entry->sessions = first->next;
            first->next = NULL;
            found = first;
        }
    }
    if (entry != NULL && entry->sessions == NULL) {
        drop_entry(tickets, entry);
    }
    pthread_mutex_unlock(&tickets->lock);
    return found;
}

void
tr_tickets_forget(tr_tickets_t *tickets, tr_slice_t key)
{
    pthread_mutex_lock(&tickets->lock);
    entry_t *entry = tr_map_get(&tickets->by_key, key);
    if (entry != NULL) {
        drop_entry(tickets, entry);
    }
    pthread_mutex_unlock(&tickets->lock);
}
