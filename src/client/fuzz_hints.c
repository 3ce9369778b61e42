/* Fuzz target: lines as fields of Accept-CH, and then as the names of a page's header fields. Whatever came, a set has known hints alone, a list
 * that cannot be read leaves the others unread, and the order of the renderer's table has each name once. */
#include "client/hints.h"
#include "client/pagemap.h"
#include "http/fuzz_replay.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tr_headers_t headers;
    tr_slice_t names[TR_PAGEMAP_MAX];
    uint8_t order[TR_PAGEMAP_MAX];
    bool seen[TR_PAGEMAP_MAX] = {false};
    tr_hint_set_t all = 0, one;
    size_t num = 0, num_fields = 0;
    bool readable = true;
    tr_headers_init(&headers);
    for (size_t pos = 0; pos <= size;) {
        const uint8_t *end = pos == size ? NULL : memchr(data + pos, '\n', size - pos);
        size_t len = end == NULL ? size - pos : (size_t)(end - data) - pos;
        tr_slice_t line = tr_slice(data + pos, len);
        tr_headers_t alone;
        tr_headers_init(&alone);
        TR_FUZZ_CHECK(tr_headers_add(&alone, TR_SLICE_LIT("accept-ch"), line) == TR_OK);
        TR_FUZZ_CHECK(tr_headers_add(&headers, TR_SLICE_LIT("Accept-CH"), line) == TR_OK);
        if (tr_hints_parse(&one, &alone, TR_SLICE_LIT("accept-ch"))) {
            TR_FUZZ_CHECK(one >> TR_HINT_COUNT == 0);
            all |= one;
        } else {
            readable = false;
        }
        tr_headers_cleanup(&alone);
        if (num < TR_PAGEMAP_MAX) {
            names[num++] = line;
        }
        num_fields++;
        pos += len + 1;
    }
    TR_FUZZ_CHECK(num_fields > 0);
    TR_FUZZ_CHECK(tr_hints_parse(&one, &headers, TR_SLICE_LIT("accept-ch")) == readable);
    TR_FUZZ_CHECK(!readable || one == all);
    tr_headers_cleanup(&headers);
    tr_pagemap_order(order, names, num);
    for (size_t i = 0; i < num; i++) {
        TR_FUZZ_CHECK(order[i] < num && !seen[order[i]]);
        seen[order[i]] = true;
    }
    return 0;
}
