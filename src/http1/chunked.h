/* chunked: the lines of the chunked transfer coding (RFC 9112 7.1) and how much of them there may be. The bytes
 * between them never pass through here. */
#ifndef TR_HTTP1_CHUNKED_H
#define TR_HTTP1_CHUNKED_H

#include "core/err.h"

typedef struct tr_h1_chunked {
    uint64_t excess; /* bytes of size lines that the data has not yet paid for */
} tr_h1_chunked_t;

void tr_h1__chunked_init(tr_h1_chunked_t *chunked);
/* tr_h1__chunked_size reads the line before a chunk's data (without CRLF); *out_size 0: the last chunk.
 * H1_PROTOCOL. */
tr_code_t tr_h1__chunked_size(tr_h1_chunked_t *chunked, uint64_t *out_size, tr_slice_t line, tr_err_t *err);

/* tr_h1__chunked_print writes size as the line before a chunk and returns its length, CRLF counted. */
#define TR_H1_CHUNK_HEAD_MAX 18
size_t tr_h1__chunked_print(uint8_t out[TR_H1_CHUNK_HEAD_MAX], uint64_t size);

#endif
