#include "core/wr.h"

void
tr_wr_fill(tr_wr_t *wr, uint8_t value, size_t len)
{
    if (wr->status == TR_OK && len > 0) {
        wr->status = tr_buf_reserve(wr->buf, len);
        if (wr->status == TR_OK) {
            memset(tr_buf_tail(wr->buf), value, len);
            tr_buf_commit(wr->buf, len);
        }
    }
}

size_t
tr_wr_open(tr_wr_t *wr, size_t prefix_bytes)
{
    tr_wr_fill(wr, 0, prefix_bytes);
    return wr->buf->len;
}

void
tr_wr_close(tr_wr_t *wr, size_t mark, size_t prefix_bytes)
{
    if (wr->status != TR_OK) {
        return;
    }
    assert(mark >= prefix_bytes && mark <= wr->buf->len);
    size_t len = wr->buf->len - mark;
    if (len >> (8 * prefix_bytes) != 0) {
        wr->status = TR_ERR_INTERNAL;
        return;
    }
    uint8_t *at = wr->buf->data + mark - prefix_bytes;
    for (size_t i = 0; i < prefix_bytes; i++) {
        at[i] = (uint8_t)(len >> (8 * (prefix_bytes - 1 - i)));
    }
}

void
tr_wr_vec(tr_wr_t *wr, tr_slice_t bytes, size_t prefix_bytes)
{
    size_t mark = tr_wr_open(wr, prefix_bytes);
    tr_wr_slice(wr, bytes);
    tr_wr_close(wr, mark, prefix_bytes);
}
