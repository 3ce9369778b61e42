#include "core/bufq.h"

#include "core/mem.h"

/* One TLS record's plaintext fits one chunk. */
#define CHUNK_DEFAULT 16384

tr_chunk_t *
tr_chunk_new(size_t cap)
{
    if (cap > SIZE_MAX / 2) {
        return NULL;
    }
    tr_chunk_t *chunk = tr_malloc(sizeof(*chunk) + cap);
    if (chunk != NULL) {
        chunk->next = NULL;
        chunk->off = 0;
        chunk->len = 0;
        chunk->cap = cap;
    }
    return chunk;
}

void
tr_chunk_free(tr_chunk_t *chunk)
{
    tr_free(chunk);
}

void
tr_bufq_init(tr_bufq_t *q, size_t max)
{
    *q = (tr_bufq_t){NULL, NULL, 0, max, 0};
}

void
tr_bufq_cleanup(tr_bufq_t *q)
{
    tr_chunk_t *chunk = q->head;
    while (chunk != NULL) {
        tr_chunk_t *next = chunk->next;
        tr_chunk_free(chunk);
        chunk = next;
    }
    q->head = q->tail = NULL;
    q->len = 0;
}

static bool
over_limit(const tr_bufq_t *q, size_t extra)
{
    return q->max != 0 && (extra > q->max || q->len > q->max - extra);
}

static void
link_chunk(tr_bufq_t *q, tr_chunk_t *chunk)
{
    chunk->next = NULL;
    if (q->tail == NULL) {
        q->head = chunk;
    } else {
        q->tail->next = chunk;
    }
    q->tail = chunk;
    q->len += chunk->len;
}

tr_code_t
tr_bufq_append(tr_bufq_t *q, const void *data, size_t len)
{
    if (len == 0) {
        return TR_OK;
    }
    if (over_limit(q, len)) {
        return TR_ERR_LIMIT;
    }
    const uint8_t *src = data;
    size_t room = q->tail == NULL ? 0 : tr_chunk_room(q->tail);
    size_t first = TR_MIN(room, len);
    tr_chunk_t *chunk = NULL;
    if (first < len) {
        size_t rest = len - first;
        chunk = tr_chunk_new(TR_MAX(rest, q->chunk_min == 0 ? (size_t)CHUNK_DEFAULT : q->chunk_min));
        if (chunk == NULL) {
            return TR_ERR_NOMEM;
        }
        memcpy(chunk->data, src + first, rest);
        chunk->len = rest;
    }
    if (first > 0) {
        memcpy(tr_chunk_tail(q->tail), src, first);
        q->tail->len += first;
        q->len += first;
    }
    if (chunk != NULL) {
        link_chunk(q, chunk);
    }
    return TR_OK;
}

tr_code_t
tr_bufq_push(tr_bufq_t *q, tr_chunk_t *chunk)
{
    if (over_limit(q, chunk->len)) {
        return TR_ERR_LIMIT;
    }
    link_chunk(q, chunk);
    return TR_OK;
}

tr_code_t
tr_bufq_take(tr_bufq_t *q, tr_slice_t data, tr_chunk_t **chunk)
{
    if (chunk == NULL || *chunk == NULL || (*chunk)->len < (*chunk)->cap / 2) {
        return tr_bufq_append(q, data.data, data.len);
    }
    tr_code_t code = tr_bufq_push(q, *chunk);
    if (code == TR_OK) {
        *chunk = NULL;
    }
    return code;
}

tr_chunk_t *
tr_bufq_shift(tr_bufq_t *q)
{
    tr_chunk_t *chunk = q->head;
    if (chunk != NULL) {
        q->head = chunk->next;
        if (q->head == NULL) {
            q->tail = NULL;
        }
        q->len -= chunk->len;
        chunk->next = NULL;
    }
    return chunk;
}

tr_slice_t
tr_bufq_peek(const tr_bufq_t *q)
{
    return q->head == NULL ? TR_SLICE_NULL : tr_chunk_slice(q->head);
}

void
tr_bufq_consume(tr_bufq_t *q, size_t len)
{
    while (len > 0 && q->head != NULL) {
        tr_chunk_t *chunk = q->head;
        size_t part = TR_MIN(len, chunk->len);
        chunk->off += part;
        chunk->len -= part;
        q->len -= part;
        len -= part;
        if (chunk->len == 0) {
            (void)tr_bufq_shift(q);
            tr_chunk_free(chunk);
        }
    }
}

void
tr_bufq_move(tr_bufq_t *to, tr_bufq_t *from)
{
    if (from->head == NULL) {
        return;
    }
    if (to->tail == NULL) {
        to->head = from->head;
    } else {
        to->tail->next = from->head;
    }
    to->tail = from->tail;
    to->len += from->len;
    from->head = from->tail = NULL;
    from->len = 0;
}
