/* bufq: a queue of byte chunks with a maximum. Chunks change owner without a copy: that is how a
 * body travels from the record layer to the response. Belongs to one thread at a time. */
#ifndef TR_CORE_BUFQ_H
#define TR_CORE_BUFQ_H

#include "core/err.h"

typedef struct tr_chunk {
    struct tr_chunk *next; /* within the queue that owns it */
    size_t off;            /* first unread byte in data */
    size_t len;            /* unread bytes */
    size_t cap;            /* bytes of data */
    uint8_t data[];
} tr_chunk_t;

/* tr_chunk_new allocates an empty chunk with room for cap bytes; NULL: out of memory. */
tr_chunk_t *tr_chunk_new(size_t cap) TR_WARN_UNUSED;
void tr_chunk_free(tr_chunk_t *chunk);

static inline uint8_t *
tr_chunk_tail(tr_chunk_t *chunk)
{
    return chunk->data + chunk->off + chunk->len;
}

static inline size_t
tr_chunk_room(const tr_chunk_t *chunk)
{
    return chunk->cap - chunk->off - chunk->len;
}

static inline tr_slice_t
tr_chunk_slice(const tr_chunk_t *chunk)
{
    return tr_slice(chunk->data + chunk->off, chunk->len);
}

typedef struct tr_bufq {
    tr_chunk_t *head;
    tr_chunk_t *tail;
    size_t len;       /* unread bytes of all chunks */
    size_t max;       /* TR_ERR_LIMIT past this; 0: none (the producer is bounded elsewhere) */
    size_t chunk_min; /* size of chunks that tr_bufq_append makes; 0: 16 KiB */
} tr_bufq_t;

void tr_bufq_init(tr_bufq_t *q, size_t max);
void tr_bufq_cleanup(tr_bufq_t *q);
/* tr_bufq_append copies bytes in. TR_ERR_NOMEM or TR_ERR_LIMIT, then nothing was added. */
tr_code_t tr_bufq_append(tr_bufq_t *q, const void *data, size_t len) TR_WARN_UNUSED;
/* tr_bufq_push takes the chunk over on success. */
tr_code_t tr_bufq_push(tr_bufq_t *q, tr_chunk_t *chunk) TR_WARN_UNUSED;
/* tr_bufq_take appends data: by taking *chunk, whose bytes they are, over (and setting it to NULL) when it is at least half full, else by a copy: one
 * that is mostly empty would hold memory for nothing. chunk or *chunk NULL: a copy. */
tr_code_t tr_bufq_take(tr_bufq_t *q, tr_slice_t data, tr_chunk_t **chunk) TR_WARN_UNUSED;
/* tr_bufq_shift gives the first chunk to the caller; NULL when empty. */
tr_chunk_t *tr_bufq_shift(tr_bufq_t *q);
/* tr_bufq_peek lends the first chunk's bytes (empty slice when there are none). */
tr_slice_t tr_bufq_peek(const tr_bufq_t *q);
void tr_bufq_consume(tr_bufq_t *q, size_t len);
/* tr_bufq_move appends all chunks of *from to *to without a copy; ignores to->max. */
void tr_bufq_move(tr_bufq_t *to, tr_bufq_t *from);

#endif
