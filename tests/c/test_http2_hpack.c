/* Header blocks as the profiles' browsers write them. nghttp2's decoder says what they mean, the captures which forms they have. */
#include <nghttp2/nghttp2.h>

#include "http2/hpack.h"
#include "tr_test.h"

typedef struct field {
    const char *name, *value;
} field_t;

/* "i2 n16 w4:5 x62:14": indexed, never indexed, without indexing, incremental (0: a name of its own); behind the colon the value's length
 * on the wire with "p" where it is not Huffman-coded; "s4096": a table size update. */
static void
describe(char *out, size_t cap, tr_slice_t block)
{
    size_t at = 0, n = 0;
    out[0] = '\0';
    while (at < block.len) {
        uint8_t first = block.data[at];
        char form = (first & 0x80) != 0 ? 'i' : (first & 0x40) != 0 ? 'x' : (first & 0x20) != 0 ? 's' : (first & 0x10) != 0 ? 'n' : 'w';
        unsigned bits = form == 'i' ? 7 : form == 'x' ? 6 : form == 's' ? 5 : 4;
        for (int part = 0; part < 3; part++) {
            size_t mask = ((size_t)1 << bits) - 1, value = block.data[at] & mask, shift = 0;
            bool plain = (block.data[at] & 0x80) == 0;
            at++;
            if (value == mask) {
                do {
                    value += (size_t)(block.data[at] & 0x7f) << shift;
                    shift += 7;
                } while ((block.data[at++] & 0x80) != 0);
            }
            if (part == 0) {
                n += (size_t)snprintf(out + n, cap - n, "%s%c%zu", n > 0 ? " " : "", form, value);
                if (form == 'i' || form == 's') {
                    break;
                }
                part += value != 0; /* no name follows */
                bits = 7;
            } else {
                at += value;
                n += part == 2 ? (size_t)snprintf(out + n, cap - n, ":%zu%s", value, plain ? "p" : "") : 0;
            }
        }
        TR_CHECK(at <= block.len && n < cap);
    }
}

static void
encode(tr_hpack_t *hpack, tr_buf_t *out, const field_t *fields, size_t num)
{
    tr_buf_clear(out);
    TR_CHECK_INT(tr_hpack_begin(hpack, out), TR_OK);
    for (size_t i = 0; i < num; i++) {
        TR_CHECK_INT(tr_hpack_field(hpack, out, tr_slice_cstr(fields[i].name), tr_slice_cstr(fields[i].value)), TR_OK);
    }
}

/* What nghttp2's decoder makes of a block: the same fields in order. */
static void
check_decodes(nghttp2_hd_inflater *inflater, tr_slice_t block, const field_t *fields, size_t num)
{
    size_t seen = 0;
    for (;;) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t used = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, block.data, block.len, 1);
        TR_CHECK(used >= 0);
        block = tr_slice(block.data + used, block.len - (size_t)used);
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
            TR_CHECK(seen < num);
            TR_CHECK_SLICE(tr_slice(nv.name, nv.namelen), fields[seen].name);
            TR_CHECK_SLICE(tr_slice(nv.value, nv.valuelen), fields[seen].value);
            seen++;
        }
        if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
            break;
        }
    }
    TR_CHECK_INT(seen, num);
    TR_CHECK_INT(nghttp2_hd_inflate_end_headers(inflater), 0);
}

#define NUM(array) (sizeof(array) / sizeof((array)[0]))
#define CHECK_BLOCK(hpack_, inflater_, fields_, text_)                                                                 \
    do {                                                                                                               \
        tr_buf_t block_ = TR_BUF_INIT;                                                                                 \
        char form_[2048];                                                                                               \
        encode(hpack_, &block_, fields_, NUM(fields_));                                                                \
        describe(form_, sizeof(form_), tr_buf_slice(&block_));                                                           \
        check_decodes(inflater_, tr_buf_slice(&block_), fields_, NUM(fields_));                                        \
        tr_buf_cleanup(&block_);                                                                                       \
        TR_CHECK_SLICE(tr_slice_cstr(form_), text_);                                                                   \
    } while (0)

/* The first two requests of chromium_156_linux's connection_example: a navigation and the icon. */
TR_TEST(hpack_chromium, "/http2/hpack/chromium")
{
    static const field_t first[] = {
        {":method", "GET"}, {":authority", "n0.basic.test"}, {":scheme", "https"}, {":path", "/"},
        {"sec-ch-ua", "\"Not:A-Brand\";v=\"8\", \"Chromium\";v=\"156\""}, {"sec-ch-ua-mobile", "?0"}, {"sec-ch-ua-platform", "\"Linux\""},
        {"upgrade-insecure-requests", "1"}, {"accept-language", "en-US,en;q=0.9"},
    };
    static const field_t second[] = {
        {":method", "GET"}, {":authority", "n0.basic.test"}, {":scheme", "https"}, {":path", "/favicon.ico"},
        {"sec-ch-ua-platform", "\"Linux\""}, {"sec-ch-ua-mobile", "?0"}, {"accept-language", "de"}, {"cookie", "a=1"}, {"authorization", "x"},
    };
    /* The newest entry of a name that the static table has not; a method that it has not; a path twice. */
    static const field_t third[] = {
        {":method", "PURGE"}, {":path", "/favicon.ico"}, {"sec-ch-ua-mobile", "?1"}, {"sec-ch-ua-mobile", "?2"}, {"sec-ch-ua-mobile", "?1"}, {"cookie", "a=1"}, {"age", ""},
    };
    tr_hpack_t hpack;
    nghttp2_hd_inflater *inflater;
    TR_CHECK_INT(nghttp2_hd_inflate_new(&inflater), 0);
    tr_hpack_init(&hpack, TR_HPACK_CHROMIUM);
    CHECK_BLOCK(&hpack, inflater, first, "i2 x1:9 i7 i4 x0:34 x0:2p x0:7p x0:1p x17:11");
    CHECK_BLOCK(&hpack, inflater, second, "i2 i67 i7 w4:9 i64 i65 x17:2p x32:2 x23:1p");
    CHECK_BLOCK(&hpack, inflater, third, "w2:5p w4:9 x68:2p x62:2p i63 i65 i21");
    tr_hpack_cleanup(&hpack);
    nghttp2_hd_inflate_del(inflater);
}

/* Likewise of firefox_153_linux. */
TR_TEST(hpack_firefox, "/http2/hpack/firefox")
{
    static const field_t first[] = {
        {":method", "GET"}, {":path", "/"}, {":authority", "n0.basic.test"}, {":scheme", "https"},
        {"accept", "text/html"}, {"upgrade-insecure-requests", "1"}, {"sec-fetch-user", "?1"}, {"te", "trailers"},
    };
    static const field_t second[] = {
        {":method", "PUT"}, {":path", "/favicon.ico"}, {":authority", "n0.basic.test"}, {":scheme", "https"},
        {"accept", "image/*"}, {"accept", "*/*"}, {"te", "trailers"}, {"cookie", "a=1"}, {"cookie", "name=0123456789012345"}, {"authorization", "x"},
    };
    /* The oldest entry of a name; never-indexed fields also when an entry would match; a path twice. */
    static const field_t third[] = {
        {":method", "PUT"}, {":path", "/favicon.ico"}, {"accept", "image/png"}, {"accept", "*/*"}, {"cookie", "a=1"}, {"cookie", "name=0123456789012345"}, {"authorization", "x"},
    };
    tr_hpack_t hpack;
    nghttp2_hd_inflater *inflater;
    TR_CHECK_INT(nghttp2_hd_inflate_new(&inflater), 0);
    tr_hpack_init(&hpack, TR_HPACK_FIREFOX);
    CHECK_BLOCK(&hpack, inflater, first, "i2 w4:1 x1:9 i7 x19:7 x0:1 x0:2 x0:6");
    CHECK_BLOCK(&hpack, inflater, second, "x3:3 w5:9 i67 i7 x66:6 x67:3 i65 n32:2 x32:15 n23:1");
    CHECK_BLOCK(&hpack, inflater, third, "i65 w5:9 x69:7 i64 n63:2 i63 n23:1");
    tr_hpack_cleanup(&hpack);
    nghttp2_hd_inflate_del(inflater);
}

/* Captures: both answer a server's table size with an update, also upwards; a change back and forth is said with its lowest point (RFC 7541
 * 4.2). */
TR_TEST(hpack_size_updates, "/http2/hpack/size_updates")
{
    static const field_t fields[] = {{"x-name", "value"}, {"accept", "text/html"}};
    for (int style = TR_HPACK_CHROMIUM; style <= TR_HPACK_FIREFOX; style++) {
        bool chromium = style == TR_HPACK_CHROMIUM;
        tr_hpack_t hpack;
        nghttp2_hd_inflater *inflater;
        TR_CHECK_INT(nghttp2_hd_inflate_new(&inflater), 0);
        tr_hpack_init(&hpack, (tr_profile_hpack_t)style);
        CHECK_BLOCK(&hpack, inflater, fields, chromium ? "x0:4 x19:7" : "x0:4 x19:7");
        TR_CHECK_INT(nghttp2_hd_inflate_change_table_size(inflater, 16384), 0);
        tr_hpack_set_limit(&hpack, 16384);
        CHECK_BLOCK(&hpack, inflater, fields, "s16384 i63 i62");
        TR_CHECK_INT(nghttp2_hd_inflate_change_table_size(inflater, 0), 0);
        TR_CHECK_INT(nghttp2_hd_inflate_change_table_size(inflater, 4096), 0);
        tr_hpack_set_limit(&hpack, 0);
        TR_CHECK_INT(hpack.num, 0);
        tr_hpack_set_limit(&hpack, 4096);
        CHECK_BLOCK(&hpack, inflater, fields, "s0 s4096 x0:4 x19:7");
        tr_hpack_set_limit(&hpack, 4096);
        CHECK_BLOCK(&hpack, inflater, fields, chromium ? "i63 i62" : "s4096 i63 i62");
        TR_CHECK_INT(nghttp2_hd_inflate_change_table_size(inflater, 100), 0);
        tr_hpack_set_limit(&hpack, 100);
        /* Both entries fit; Firefox keeps nothing in so small a table, but uses what is there. */
        CHECK_BLOCK(&hpack, inflater, fields, "s100 i63 i62");
        TR_CHECK_INT(nghttp2_hd_inflate_change_table_size(inflater, 0), 0);
        tr_hpack_set_limit(&hpack, 0);
        CHECK_BLOCK(&hpack, inflater, fields, chromium ? "s0 x0:4 x19:7" : "s0 w0:4 w19:7");
        TR_CHECK_INT(hpack.size, 0);
        tr_hpack_set_limit(&hpack, UINT32_MAX);
        TR_CHECK_INT(hpack.max_size, TR_HPACK_MAX_SIZE);
        tr_hpack_cleanup(&hpack);
        nghttp2_hd_inflate_del(inflater);
    }
}

/* Pseudo-random fields of few names and many lengths, tables that come and go: the decoder always sees what was put in. */
static void
check_random(tr_profile_hpack_t style, uint32_t seed)
{
    char text[16][700];
    field_t fields[16];
    tr_hpack_t hpack;
    nghttp2_hd_inflater *inflater;
    tr_buf_t block = TR_BUF_INIT;
    static const char *const names[] = {":authority", ":path", ":method", "cookie", "accept", "x", "authorization", "a-longer-name-than-the-static-table-has"};
    TR_CHECK_INT(nghttp2_hd_inflate_new(&inflater), 0);
    tr_hpack_init(&hpack, style);
    for (int round = 0; round < 400; round++) {
#define NEXT(max) (seed = seed * 1664525u + 1013904223u, (seed >> 8) % (max))
        size_t num = NEXT(17);
        if (NEXT(20) == 0) {
            uint32_t limit = NEXT(4) == 0 ? NEXT(300) : NEXT(20000);
            TR_CHECK_INT(nghttp2_hd_inflate_change_table_size(inflater, limit), 0);
            tr_hpack_set_limit(&hpack, limit);
        }
        for (size_t i = 0; i < num; i++) {
            size_t len = NEXT(8) == 0 ? NEXT(699) : NEXT(12);
            bool binary = NEXT(4) == 0;
            for (size_t at = 0; at < len; at++) {
                text[i][at] = (char)(binary ? 0x80 + NEXT(128) : 'a' + NEXT(3));
            }
            text[i][len] = '\0';
            fields[i] = (field_t){names[NEXT(8)], text[i]};
        }
        encode(&hpack, &block, fields, num);
        check_decodes(inflater, tr_buf_slice(&block), fields, num);
        TR_CHECK(hpack.size <= hpack.max_size);
        TR_CHECK_INT(nghttp2_hd_inflate_get_num_table_entries(inflater), hpack.num + 61);
    }
    tr_buf_cleanup(&block);
    tr_hpack_cleanup(&hpack);
    nghttp2_hd_inflate_del(inflater);
}

TR_TEST(hpack_random, "/http2/hpack/random")
{
    for (uint32_t seed = 1; seed <= 10; seed++) {
        check_random(TR_HPACK_CHROMIUM, seed);
        check_random(TR_HPACK_FIREFOX, seed);
    }
}

TR_TEST_OOM(hpack_oom, "/http2/hpack/oom")
{
    tr_hpack_t hpack;
    tr_buf_t out = TR_BUF_INIT;
    tr_hpack_init(&hpack, TR_HPACK_CHROMIUM);
    tr_hpack_set_limit(&hpack, 16384);
    tr_code_t code = tr_hpack_begin(&hpack, &out);
    for (int i = 0; i < 80 && code == TR_OK; i++) {
        char value[16];
        snprintf(value, sizeof(value), "v%d", i);
        code = tr_hpack_field(&hpack, &out, TR_SLICE_LIT("x-name"), tr_slice_cstr(value));
    }
    TR_CHECK(code == TR_OK || (code == TR_ERR_NOMEM && tr_test_oom_running()));
    tr_buf_cleanup(&out);
    tr_hpack_cleanup(&hpack);
}
