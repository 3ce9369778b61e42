/* rd: checked reading of network-order bytes. Every getter returns false (and leaves the reader
 * failed and empty) when the input is too short; tr_rd_end must be called and says that everything
 * was read and nothing failed. The reader lends: the bytes must outlive it. */
#ifndef TR_CORE_RD_H
#define TR_CORE_RD_H

#include "core/base.h"

typedef struct tr_rd {
    const uint8_t *p;
    size_t len;
    bool failed;
} tr_rd_t;

static inline tr_rd_t
tr_rd(tr_slice_t in)
{
    return (tr_rd_t){in.data, in.len, false};
}

static inline bool
tr_rd_bytes(tr_rd_t *rd, tr_slice_t *out, size_t len)
{
    if (TR_UNLIKELY(rd->failed || rd->len < len)) {
        rd->failed = true;
        rd->len = 0;
        *out = TR_SLICE_NULL;
        return false;
    }
    *out = tr_slice(rd->p, len);
    if (len > 0) {
        rd->p += len;
        rd->len -= len;
    }
    return true;
}

static inline bool
tr_rd__uint(tr_rd_t *rd, uint64_t *out, size_t num_bytes)
{
    tr_slice_t bytes;
    *out = 0;
    if (!tr_rd_bytes(rd, &bytes, num_bytes)) {
        return false;
    }
    for (size_t i = 0; i < num_bytes; i++) {
        *out = *out << 8 | bytes.data[i];
    }
    return true;
}

static inline bool
tr_rd_u8(tr_rd_t *rd, uint8_t *out)
{
    uint64_t v;
    bool ok = tr_rd__uint(rd, &v, 1);
    *out = (uint8_t)v;
    return ok;
}

static inline bool
tr_rd_u16(tr_rd_t *rd, uint16_t *out)
{
    uint64_t v;
    bool ok = tr_rd__uint(rd, &v, 2);
    *out = (uint16_t)v;
    return ok;
}

static inline bool
tr_rd_u24(tr_rd_t *rd, uint32_t *out)
{
    uint64_t v;
    bool ok = tr_rd__uint(rd, &v, 3);
    *out = (uint32_t)v;
    return ok;
}

static inline bool
tr_rd_u32(tr_rd_t *rd, uint32_t *out)
{
    uint64_t v;
    bool ok = tr_rd__uint(rd, &v, 4);
    *out = (uint32_t)v;
    return ok;
}

/* tr_rd_vec reads a length of prefix_bytes (1 to 3) bytes and lends that many bytes. */
static inline bool
tr_rd_vec(tr_rd_t *rd, tr_slice_t *out, size_t prefix_bytes)
{
    uint64_t len;
    if (!tr_rd__uint(rd, &len, prefix_bytes)) {
        *out = TR_SLICE_NULL;
        return false;
    }
    return tr_rd_bytes(rd, out, (size_t)len);
}

/* tr_rd_sub is tr_rd_vec as a reader of its own; it too must be ended. */
static inline bool
tr_rd_sub(tr_rd_t *rd, tr_rd_t *out, size_t prefix_bytes)
{
    tr_slice_t bytes;
    bool ok = tr_rd_vec(rd, &bytes, prefix_bytes);
    *out = tr_rd(bytes);
    out->failed = !ok;
    return ok;
}

static inline bool
tr_rd_skip(tr_rd_t *rd, size_t len)
{
    tr_slice_t bytes;
    return tr_rd_bytes(rd, &bytes, len);
}

static inline bool
tr_rd_empty(const tr_rd_t *rd)
{
    return rd->len == 0;
}

/* tr_rd_rest lends what is left and empties the reader. */
static inline tr_slice_t
tr_rd_rest(tr_rd_t *rd)
{
    tr_slice_t out = tr_slice(rd->p, rd->len);
    rd->p += rd->len;
    rd->len = 0;
    return out;
}

static inline bool
tr_rd_end(const tr_rd_t *rd)
{
    return !rd->failed && rd->len == 0;
}

#endif
