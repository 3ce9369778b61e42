/* coding: removes content codings (RFC 9110 8.4) as bytes arrive: gzip (all members), deflate (zlib-wrapped and raw), br,
 * zstd, several in sequence, within limits of size and ratio. One thread at a time; decoders on several threads are independent (the one
 * thing shared is an idle zstd context, handed over atomically). */
#ifndef TR_HTTP_CODING_H
#define TR_HTTP_CODING_H

#include "core/bufq.h"

typedef struct tr_decoder tr_decoder_t;

/* Input of one tr_decoder_feed for who wants little output at once: at the ratio limit of 200 it makes 400 KiB, at gzip's own maximum 2 MiB. */
#define TR_DECODER_SLICE ((size_t)2048)

typedef struct tr_decoder_limits {
    uint64_t max_decoded;      /* bytes; 0: none. TR_BODY_MAX_DECODED is the usual default */
    uint64_t ratio_allowance;  /* decoded bytes before the ratio counts; TR_BODY_RATIO_ALLOWANCE */
    uint32_t max_ratio;        /* decoded / received; 0: none. TR_BODY_MAX_RATIO */
} tr_decoder_limits_t;

/* tr_decoder_new reads a Content-Encoding value. *out is NULL with TR_OK when nothing is to be removed (empty, identity).
 * An unknown coding: TR_OK, *out NULL, *out_unknown true (the body is given as it is). More than TR_BODY_MAX_CODINGS:
 * BODY_CODING. */
tr_code_t tr_decoder_new(tr_decoder_t **out, bool *out_unknown, tr_slice_t content_encoding,
                         const tr_decoder_limits_t *limits, tr_err_t *err);
void tr_decoder_free(tr_decoder_t *decoder);
/* tr_decoder_feed decodes all of in and appends to out. BODY_CODING (corrupt), BODY_LIMIT (size or ratio), NOMEM. */
tr_code_t tr_decoder_feed(tr_decoder_t *decoder, tr_bufq_t *out, tr_slice_t in, tr_err_t *err);
/* tr_decoder_finish says that the body ended: BODY_CODING when a stream was cut. An empty body is fine. */
tr_code_t tr_decoder_finish(tr_decoder_t *decoder, tr_bufq_t *out, tr_err_t *err);

#endif
