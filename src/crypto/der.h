/* der: strict reading of DER (X.690): definite minimal lengths, single-byte tags. Built on tr_rd_t. */
#ifndef TR_CRYPTO_DER_H
#define TR_CRYPTO_DER_H

#include "core/rd.h"

enum {
    TR_DER_BOOLEAN = 0x01,
    TR_DER_INTEGER = 0x02,
    TR_DER_BIT_STRING = 0x03,
    TR_DER_OCTET_STRING = 0x04,
    TR_DER_NULL = 0x05,
    TR_DER_OID = 0x06,
    TR_DER_SEQUENCE = 0x30
};
/* [n], constructed */
#define TR_DER_CONTEXT(n) (0xa0 | (n))

/* tr_der__peek says whether an element with this tag comes next. */
static inline bool
tr_der__peek(const tr_rd_t *rd, uint8_t tag)
{
    return rd->len > 0 && rd->p[0] == tag;
}

/* tr_der__take reads one element. *out_body is its contents, *out_whole (may be NULL) the element with tag and
 * length. False, and the reader is failed: another tag, not DER, or too short. */
static inline bool
tr_der__take(tr_rd_t *rd, uint8_t tag, tr_slice_t *out_body, tr_slice_t *out_whole)
{
    const uint8_t *start = rd->p;
    uint8_t got_tag, first;
    uint64_t len;
    *out_body = TR_SLICE_NULL;
    if (!tr_rd_u8(rd, &got_tag) || got_tag != tag || !tr_rd_u8(rd, &first)) {
        goto fail;
    }
    len = first;
    if (first >= 0x80) {
        size_t num_bytes = first & 0x7f;
        if (num_bytes < 1 || num_bytes > 4 || !tr_rd__uint(rd, &len, num_bytes)) {
            goto fail;
        }
        /* X.690 10.1: the shortest form */
        if (len < 0x80 || len >> (8 * (num_bytes - 1)) == 0) {
            goto fail;
        }
    }
    if (!tr_rd_bytes(rd, out_body, (size_t)len)) {
        goto fail;
    }
    if (out_whole != NULL) {
        *out_whole = tr_slice(start, (size_t)(rd->p - start));
    }
    return true;
fail:
    rd->failed = true;
    rd->len = 0;
    if (out_whole != NULL) {
        *out_whole = TR_SLICE_NULL;
    }
    return false;
}

/* tr_der__sub is tr_der__take as a reader of its own, which must be ended. */
static inline bool
tr_der__sub(tr_rd_t *rd, uint8_t tag, tr_rd_t *out)
{
    tr_slice_t body;
    bool ok = tr_der__take(rd, tag, &body, NULL);
    *out = tr_rd(body);
    out->failed = !ok;
    return ok;
}

#endif
