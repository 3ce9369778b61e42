/* pagemap: in which order Chromium writes what a page's requests (fetch, XHR, images, ...) have of headers: the renderer keeps them in a hash
 * table (WTF::HashMap) and writes them as they lie there. The hash is rapidhash, 64 bits cut to 24, over the name in lower case as UTF-16;
 * the table has a power of two of slots, grows when half of them are taken, and is probed by 1, 2, 3, ...
 *
 * Found with Chromium 156: the orders of 1040 requests with drawn sets of client hints and headers of a page come out, collisions included.
 * Pure; any thread. */
#ifndef TR_CLIENT_PAGEMAP_H
#define TR_CLIENT_PAGEMAP_H

#include "core/base.h"

/* More names than a request has that is written so. */
#define TR_PAGEMAP_MAX 96

/* tr_pagemap_order writes into order[0..num) the indices of names (given in the order of insertion) in the order of the table.
 * num is at most TR_PAGEMAP_MAX. */
void tr_pagemap_order(uint8_t *order, const tr_slice_t *names, size_t num);
/* tr_pagemap_hash is the hash of a name, for tests. */
uint32_t tr_pagemap_hash(tr_slice_t name);

#endif
