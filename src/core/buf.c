#include "core/buf.h"

#include "core/mem.h"

/* The smallest block worth allocating: a TLS record header and a small HTTP/2 frame fit. */
#define BUF_MIN 256

void
tr_buf_init(tr_buf_t *buf)
{
    *buf = TR_BUF_INIT;
}

void
tr_buf_init_small(tr_buf_t *buf, uint8_t *small, size_t cap)
{
    *buf = (tr_buf_t){small, 0, cap, small, true, false};
}

void
tr_buf_cleanup(tr_buf_t *buf)
{
    if (buf->base != NULL) {
        if (buf->secret) {
            tr_wipe(buf->base, buf->cap);
        }
        if (!buf->on_small) {
            tr_free(buf->base);
        }
    }
    bool secret = buf->secret;
    *buf = TR_BUF_INIT;
    buf->secret = secret;
}

void
tr_buf_clear(tr_buf_t *buf)
{
    if (buf->secret && buf->base != NULL) {
        tr_wipe(buf->base, (size_t)(buf->data - buf->base) + buf->len);
    }
    buf->data = buf->base;
    buf->len = 0;
}

tr_code_t
tr_buf_reserve(tr_buf_t *buf, size_t extra)
{
    if (extra <= tr_buf_room(buf) && buf->base != NULL) {
        return TR_OK;
    }
    if (extra > SIZE_MAX / 4 || buf->len > SIZE_MAX / 4) {
        return TR_ERR_NOMEM;
    }
    size_t need = buf->len + extra;
    size_t offset = buf->base == NULL ? 0 : (size_t)(buf->data - buf->base);
    /* Sliding down is enough when at least half of the block is read: amortised O(1) a byte. */
    if (buf->base != NULL && need <= buf->cap && offset >= buf->cap / 2) {
        memmove(buf->base, buf->data, buf->len);
        if (buf->secret) {
            tr_wipe(buf->base + buf->len, offset);
        }
        buf->data = buf->base;
        return TR_OK;
    }
    size_t cap = TR_MAX(need, TR_MAX(buf->cap + buf->cap / 2, (size_t)BUF_MIN));
    if (!buf->secret && !buf->on_small && offset == 0) {
        uint8_t *grown = tr_realloc(buf->base, cap);
        if (grown == NULL) {
            return TR_ERR_NOMEM;
        }
        buf->base = buf->data = grown;
        buf->cap = cap;
        return TR_OK;
    }
    uint8_t *base = tr_malloc(cap);
    if (base == NULL) {
        return TR_ERR_NOMEM;
    }
    if (buf->len > 0) {
        memcpy(base, buf->data, buf->len);
    }
    if (buf->base != NULL) {
        if (buf->secret) {
            tr_wipe(buf->base, buf->cap);
        }
        if (!buf->on_small) {
            tr_free(buf->base);
        }
    }
    buf->base = buf->data = base;
    buf->cap = cap;
    buf->on_small = false;
    return TR_OK;
}

tr_code_t
tr_buf_append(tr_buf_t *buf, const void *data, size_t len)
{
    if (len == 0) {
        return TR_OK;
    }
    tr_code_t code = tr_buf_reserve(buf, len);
    if (code == TR_OK) {
        memcpy(tr_buf_tail(buf), data, len);
        buf->len += len;
    }
    return code;
}

void
tr_buf_consume(tr_buf_t *buf, size_t len)
{
    len = TR_MIN(len, buf->len);
    if (len == 0) {
        return;
    }
    if (buf->secret) {
        tr_wipe(buf->data, len);
    }
    buf->len -= len;
    buf->data = buf->len == 0 ? buf->base : buf->data + len;
}

void
tr_buf_truncate(tr_buf_t *buf, size_t len)
{
    if (len < buf->len) {
        if (buf->secret) {
            tr_wipe(buf->data + len, buf->len - len);
        }
        buf->len = len;
    }
}

tr_code_t
tr_buf_move(tr_buf_t *to, tr_buf_t *from)
{
    if (from->on_small) {
        tr_buf_clear(to);
        to->secret = to->secret || from->secret;
        tr_code_t code = tr_buf_append(to, from->data, from->len);
        if (code == TR_OK) {
            tr_buf_clear(from);
        }
        return code;
    }
    tr_buf_cleanup(to);
    *to = *from;
    bool secret = from->secret;
    *from = TR_BUF_INIT;
    from->secret = secret;
    return TR_OK;
}
