/* list: intrusive doubly linked list. A node lives inside its object and knows whether it is
 * linked; an unlinked node is all zero. Belongs to one thread, or to the holder of one lock. */
#ifndef TR_CORE_LIST_H
#define TR_CORE_LIST_H

#include "core/base.h"

typedef struct tr_link {
    struct tr_link *prev; /* NULL when not linked */
    struct tr_link *next;
} tr_link_t;

typedef struct tr_list {
    tr_link_t head; /* ring: head.next is the first node, head.prev the last */
} tr_list_t;

static inline void
tr_list_init(tr_list_t *list)
{
    list->head.prev = list->head.next = &list->head;
}

static inline bool
tr_list_empty(const tr_list_t *list)
{
    return list->head.next == &list->head;
}

static inline bool
tr_link_linked(const tr_link_t *link)
{
    return link->prev != NULL;
}

static inline void
tr_list_push(tr_list_t *list, tr_link_t *link)
{
    assert(!tr_link_linked(link));
    link->prev = list->head.prev;
    link->next = &list->head;
    list->head.prev->next = link;
    list->head.prev = link;
}

static inline void
tr_list_push_front(tr_list_t *list, tr_link_t *link)
{
    assert(!tr_link_linked(link));
    link->next = list->head.next;
    link->prev = &list->head;
    list->head.next->prev = link;
    list->head.next = link;
}

/* tr_list_remove unlinks a node; one that is not linked stays so. */
static inline void
tr_list_remove(tr_link_t *link)
{
    if (tr_link_linked(link)) {
        link->prev->next = link->next;
        link->next->prev = link->prev;
        link->prev = link->next = NULL;
    }
}

static inline tr_link_t *
tr_list_first(const tr_list_t *list)
{
    return tr_list_empty(list) ? NULL : list->head.next;
}

/* tr_list_next gives the node behind link, or NULL at the end. */
static inline tr_link_t *
tr_list_next(const tr_list_t *list, const tr_link_t *link)
{
    return link->next == &list->head ? NULL : link->next;
}

static inline tr_link_t *
tr_list_shift(tr_list_t *list)
{
    tr_link_t *link = tr_list_first(list);
    if (link != NULL) {
        tr_list_remove(link);
    }
    return link;
}

/* tr_list_splice appends all nodes of *from to *to and empties *from. */
static inline void
tr_list_splice(tr_list_t *to, tr_list_t *from)
{
    if (!tr_list_empty(from)) {
        from->head.next->prev = to->head.prev;
        to->head.prev->next = from->head.next;
        from->head.prev->next = &to->head;
        to->head.prev = from->head.prev;
        tr_list_init(from);
    }
}

#endif
