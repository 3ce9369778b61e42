/* Fuzz target: the encoder of header blocks against nghttp2's decoder. The input is lists of fields and what the peer says about its table,
 * in lines: "name: value", an empty line ends a block, "=N" is the peer's SETTINGS_HEADER_TABLE_SIZE. The first byte chooses the browser. Whatever
 * came, the decoder reads the same fields in the same order, and the table stays within its size. */
#include <nghttp2/nghttp2.h>

#include "http/fuzz_replay.h"
#include "http2/hpack.h"

#define MAX_FIELDS 64

typedef struct field {
    tr_slice_t name, value;
} field_t;

static void
check_block(tr_hpack_t *hpack, nghttp2_hd_inflater *inflater, const field_t *fields, size_t num)
{
    tr_buf_t out = TR_BUF_INIT;
    size_t seen = 0;
    TR_FUZZ_CHECK(tr_hpack_begin(hpack, &out) == TR_OK);
    for (size_t i = 0; i < num; i++) {
        TR_FUZZ_CHECK(tr_hpack_field(hpack, &out, fields[i].name, fields[i].value) == TR_OK);
        TR_FUZZ_CHECK(hpack->size <= hpack->max_size && hpack->max_size <= TR_HPACK_MAX_SIZE);
    }
    tr_slice_t block = out.len > 0 ? tr_buf_slice(&out) : TR_SLICE_LIT("");
    for (;;) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t used = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, block.data, block.len, 1);
        TR_FUZZ_CHECK(used >= 0 && (size_t)used <= block.len);
        block = tr_slice(block.data + used, block.len - (size_t)used);
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
            TR_FUZZ_CHECK(seen < num && tr_slice_eq(tr_slice(nv.name, nv.namelen), fields[seen].name));
            TR_FUZZ_CHECK(tr_slice_eq(tr_slice(nv.value, nv.valuelen), fields[seen].value));
            seen++;
        }
        if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
            break;
        }
    }
    TR_FUZZ_CHECK(seen == num && nghttp2_hd_inflate_end_headers(inflater) == 0);
    tr_buf_cleanup(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    field_t fields[MAX_FIELDS];
    tr_hpack_t hpack;
    nghttp2_hd_inflater *inflater;
    size_t num = 0;
    if (size == 0) {
        return 0;
    }
    TR_FUZZ_CHECK(nghttp2_hd_inflate_new(&inflater) == 0);
    tr_hpack_init(&hpack, (data[0] & 1) != 0 ? TR_HPACK_CHROMIUM : TR_HPACK_FIREFOX);
    data++;
    size--;
    for (size_t pos = 0; pos < size;) {
        const uint8_t *end = memchr(data + pos, '\n', size - pos);
        size_t len = end == NULL ? size - pos : (size_t)(end - data) - pos;
        tr_slice_t line = tr_slice(data + pos, len);
        pos += len + 1;
        if (line.len > 0 && line.data[0] == '=') {
            uint32_t table = 0;
            for (size_t i = 1; i < line.len && i < 8; i++) {
                table = table * 10 + line.data[i] % 10;
            }
            check_block(&hpack, inflater, fields, num);
            num = 0;
            tr_hpack_set_limit(&hpack, table);
            TR_FUZZ_CHECK(nghttp2_hd_inflate_change_table_size(inflater, table) == 0);
            continue;
        }
        if (line.len > 0) {
            const uint8_t *colon = memchr(line.data + 1, ':', line.len - 1);
            size_t name_len = colon == NULL ? line.len : (size_t)(colon - line.data);
            fields[num].name = tr_slice(line.data, name_len);
            fields[num].value = colon == NULL ? TR_SLICE_LIT("") : tr_slice(colon + 1, line.len - name_len - 1);
            num++;
        }
        if (line.len == 0 || num == MAX_FIELDS) {
            check_block(&hpack, inflater, fields, num);
            num = 0;
        }
    }
    check_block(&hpack, inflater, fields, num);
    tr_hpack_cleanup(&hpack);
    nghttp2_hd_inflate_del(inflater);
    return 0;
}
