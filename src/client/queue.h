/* queue: messages to the loop, as an intrusive FIFO. A message lives inside its object (op, session), is sent at most once in
 * that object's life, and whoever sends it keeps the object alive until it has run. The queue has no lock of its own: the
 * engine's guards it. */
#ifndef TR_CLIENT_QUEUE_H
#define TR_CLIENT_QUEUE_H

#include "core/base.h"

typedef struct tr_msg {
    struct tr_msg *next;
    void (*fn)(struct tr_msg *msg); /* on the loop; may free what contains the message */
} tr_msg_t;

typedef struct tr_queue {
    tr_msg_t *head;
    tr_msg_t *tail;
} tr_queue_t;

static inline void
tr_queue_push(tr_queue_t *q, tr_msg_t *msg)
{
    msg->next = NULL;
    if (q->head == NULL) {
        q->head = msg;
    } else {
        q->tail->next = msg;
    }
    q->tail = msg;
}

/* tr_queue_detach empties the queue and gives its messages, oldest first. */
static inline tr_msg_t *
tr_queue_detach(tr_queue_t *q)
{
    tr_msg_t *head = q->head;
    q->head = q->tail = NULL;
    return head;
}

#endif
