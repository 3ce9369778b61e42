/* body: the received body of one response, as a list of segments. Small bodies lie in one heap block or in the chunks that
 * brought them; from TR_BODY_MAP_MIN on they lie in anonymous mappings, so that tr_body_drain can give the memory back while it
 * copies: the peak of a body's hand-over is one body and one step, not two bodies. One thread at a time. */
#ifndef TR_CLIENT_BODY_H
#define TR_CLIENT_BODY_H

#include "core/bufq.h"

/* Below this a mapping (two system calls, page faults) costs more than the heap. */
#define TR_BODY_MAP_MIN ((size_t)256 * 1024)

typedef struct tr_body_seg tr_body_seg_t;

typedef struct tr_body {
    tr_body_seg_t *head; /* owned */
    tr_body_seg_t *tail;
    uint64_t len;      /* bytes of all segments */
    uint64_t max;      /* TR_ERR_BODY_LIMIT past this; 0: none */
    uint64_t expected; /* declared length; 0: unknown */
} tr_body_t;

void tr_body_init(tr_body_t *body, uint64_t max);
void tr_body_cleanup(tr_body_t *body);
/* tr_body_expect tells the declared length, before the first byte. It is a hint: more may come. */
void tr_body_expect(tr_body_t *body, uint64_t len);
/* tr_body_append copies bytes in. TR_ERR_BODY_LIMIT: nothing was added; TR_ERR_NOMEM: the body is of no use any more. */
tr_code_t tr_body_append(tr_body_t *body, tr_slice_t data) TR_WARN_UNUSED;
/* tr_body_take takes *chunk over (and sets it to NULL) where that is cheaper than copying; else copies and leaves it. */
tr_code_t tr_body_take(tr_body_t *body, tr_chunk_t **chunk) TR_WARN_UNUSED;
/* tr_body_move empties q into the body. */
tr_code_t tr_body_move(tr_body_t *body, tr_bufq_t *q) TR_WARN_UNUSED;
/* tr_body_drain copies everything to dst (body->len bytes) and frees it piece by piece as it goes. */
void tr_body_drain(tr_body_t *body, uint8_t *dst);

#endif
