/* hpack: an encoder of header blocks (RFC 7541) that makes a given browser's choices: which fields are indexed, by which name, and when
 * strings are Huffman-coded. nghttp2 decodes, and encodes for profiles whose browser's choices are not known. One thread. */
#ifndef TR_HTTP2_HPACK_H
#define TR_HTTP2_HPACK_H

#include "core/buf.h"
#include "profile/profile.h"

/* RFC 7541 4.1: what an entry takes beyond its two strings. */
#define TR_HPACK_ENTRY_OVERHEAD 32
/* RFC 9113 6.5.2: the table until the peer has said something else. */
#define TR_HPACK_DEFAULT_SIZE 4096
/* The largest table that is used, whatever the peer allows: it holds what we sent, on every connection. Browsers' own offers are 64 KiB. */
#define TR_HPACK_MAX_SIZE 65536

typedef struct tr_hpack {
    tr_profile_hpack_t style;
    uint32_t max_size;   /* of the table */
    uint32_t size;       /* of its entries */
    struct tr_hpack_entry *ring; /* owned; the entries, each with one block of its own */
    size_t cap, num;     /* of the ring; cap is a power of two */
    size_t newest;       /* its place */
    bool update_due;     /* the size changed: the next block begins by saying so */
    uint32_t lowest_size; /* since the last block */
} tr_hpack_t;

void tr_hpack_init(tr_hpack_t *hpack, tr_profile_hpack_t style);
void tr_hpack_cleanup(tr_hpack_t *hpack);

/* tr_hpack_set_limit takes the peer's SETTINGS_HEADER_TABLE_SIZE. */
void tr_hpack_set_limit(tr_hpack_t *hpack, uint32_t size);
/* tr_hpack_begin appends the table size updates that are due at a block's start (RFC 7541 4.2). */
tr_code_t tr_hpack_begin(tr_hpack_t *hpack, tr_buf_t *out) TR_WARN_UNUSED;
/* tr_hpack_field appends one field; the name is in lower case. TR_ERR_NOMEM: the block must not be sent, nor any further one. */
tr_code_t tr_hpack_field(tr_hpack_t *hpack, tr_buf_t *out, tr_slice_t name, tr_slice_t value) TR_WARN_UNUSED;

#endif
