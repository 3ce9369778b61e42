/* buf: one growing block of bytes with a read offset. May start on a caller's small array; with
 * `secret` set, memory is wiped when it is freed, moved or consumed. The zero state (TR_BUF_INIT)
 * is legal everywhere. Belongs to one thread at a time. */
#ifndef TR_CORE_BUF_H
#define TR_CORE_BUF_H

#include "core/err.h"

typedef struct tr_buf {
    uint8_t *data; /* first unread byte; NULL only when nothing was ever reserved */
    size_t len;    /* unread bytes */
    size_t cap;    /* bytes from base to the end of the block */
    uint8_t *base; /* start of the block: owned, or the caller's small array */
    bool on_small; /* base is the caller's */
    bool secret;   /* wipe on free, move and consume */
} tr_buf_t;

#define TR_BUF_INIT ((tr_buf_t){NULL, 0, 0, NULL, false, false})

void tr_buf_init(tr_buf_t *buf);
/* tr_buf_init_small starts on the caller's array, which must outlive the buffer. */
void tr_buf_init_small(tr_buf_t *buf, uint8_t *small, size_t cap);
void tr_buf_cleanup(tr_buf_t *buf);
/* tr_buf_clear drops the contents and keeps the block. */
void tr_buf_clear(tr_buf_t *buf);

/* tr_buf_reserve makes room for extra bytes behind the contents: write at tr_buf_tail, then
 * tr_buf_commit. Fails with TR_ERR_NOMEM (no err record: the caller knows where it is). */
tr_code_t tr_buf_reserve(tr_buf_t *buf, size_t extra) TR_WARN_UNUSED;
tr_code_t tr_buf_append(tr_buf_t *buf, const void *data, size_t len) TR_WARN_UNUSED;
/* tr_buf_consume drops len bytes (at most all) from the front. */
void tr_buf_consume(tr_buf_t *buf, size_t len);
/* tr_buf_truncate cuts the contents to len bytes. */
void tr_buf_truncate(tr_buf_t *buf, size_t len);
/* tr_buf_move makes *to own what *from held; *from is empty afterwards. */
tr_code_t tr_buf_move(tr_buf_t *to, tr_buf_t *from) TR_WARN_UNUSED;

static inline uint8_t *
tr_buf_tail(tr_buf_t *buf)
{
    return buf->data + buf->len;
}

/* Room behind the contents. */
static inline size_t
tr_buf_room(const tr_buf_t *buf)
{
    return buf->base == NULL ? 0 : buf->cap - (size_t)(buf->data - buf->base) - buf->len;
}

static inline void
tr_buf_commit(tr_buf_t *buf, size_t len)
{
    assert(len <= tr_buf_room(buf));
    buf->len += len;
}

static inline tr_slice_t
tr_buf_slice(const tr_buf_t *buf)
{
    return tr_slice(buf->data, buf->len);
}

#endif
