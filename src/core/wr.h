/* wr: building network-order bytes into a tr_buf_t. After one failure the rest are no-ops and
 * tr_wr_end reports it, so a message is written straight down and checked once. */
#ifndef TR_CORE_WR_H
#define TR_CORE_WR_H

#include "core/buf.h"

typedef struct tr_wr {
    tr_buf_t *buf;    /* lent; appended to */
    tr_code_t status; /* TR_OK, TR_ERR_NOMEM, or TR_ERR_INTERNAL (a length did not fit its prefix) */
} tr_wr_t;

static inline tr_wr_t
tr_wr(tr_buf_t *buf)
{
    return (tr_wr_t){buf, TR_OK};
}

static inline void
tr_wr_bytes(tr_wr_t *wr, const void *data, size_t len)
{
    if (wr->status == TR_OK) {
        wr->status = tr_buf_append(wr->buf, data, len);
    }
}

static inline void
tr_wr_slice(tr_wr_t *wr, tr_slice_t bytes)
{
    tr_wr_bytes(wr, bytes.data, bytes.len);
}

static inline void
tr_wr__uint(tr_wr_t *wr, uint64_t value, size_t num_bytes)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < num_bytes; i++) {
        bytes[i] = (uint8_t)(value >> (8 * (num_bytes - 1 - i)));
    }
    tr_wr_bytes(wr, bytes, num_bytes);
}

static inline void
tr_wr_u8(tr_wr_t *wr, uint8_t value)
{
    tr_wr_bytes(wr, &value, 1);
}

static inline void
tr_wr_u16(tr_wr_t *wr, uint16_t value)
{
    tr_wr__uint(wr, value, 2);
}

static inline void
tr_wr_u24(tr_wr_t *wr, uint32_t value)
{
    tr_wr__uint(wr, value, 3);
}

static inline void
tr_wr_u32(tr_wr_t *wr, uint32_t value)
{
    tr_wr__uint(wr, value, 4);
}

static inline void
tr_wr_u64(tr_wr_t *wr, uint64_t value)
{
    tr_wr__uint(wr, value, 8);
}

/* tr_wr_fill appends len times the same byte. */
void tr_wr_fill(tr_wr_t *wr, uint8_t value, size_t len);

/* tr_wr_open starts a child with a length prefix of prefix_bytes (1 to 3) and returns its mark;
 * tr_wr_close writes the child's length. Children nest. */
size_t tr_wr_open(tr_wr_t *wr, size_t prefix_bytes);
void tr_wr_close(tr_wr_t *wr, size_t mark, size_t prefix_bytes);

/* tr_wr_vec is open, bytes, close. */
void tr_wr_vec(tr_wr_t *wr, tr_slice_t bytes, size_t prefix_bytes);

static inline tr_code_t
tr_wr_end(const tr_wr_t *wr)
{
    return wr->status;
}

#endif
