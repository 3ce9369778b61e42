/* Content codings: each body is decoded whole, byte by byte and in two parts at each place. */
#include <zlib.h>
#include <zstd.h>

#include "core/limits.h"
#include "http/coding.h"
#include "tr_test.h"

static const tr_decoder_limits_t usual = {TR_BODY_MAX_DECODED, TR_BODY_RATIO_ALLOWANCE, TR_BODY_MAX_RATIO};

/* "hello hello hello hello" by brotli 1.0.9, quality 11. */
#define BR_HELLO "1b1600f88d946ede445586966c206f214f1ce038"
/* gzip of "hello" (no time), then brotli. */
#define BR_GZIP_HELLO "0b0c801f8b0800000000000203cb48cdc9c9070086a610360500000003"
/* 64 MiB of zeros by brotli, quality 9. */
#define BR_BOMB                                                                                                    \
    "cbffff3f002400e2b14072effff8ffff078004401c1680eefd1fffffff00900088c302d0bdffe3ffff1f001200715800baf77ffcffff" \
    "0340"                                                                                                         \
    "02200e0b40f7fe8fffff7f004800c46101e8defff1ffff0f000980382c00ddfbbffcffff032001108705a07bff07"

/* Compresses with zlib: window_bits as for deflateInit2 (31 gzip, 15 zlib, -15 raw). Returns the length. */
static size_t
zlib_pack(uint8_t *out, size_t max, const void *data, size_t len, int window_bits)
{
    z_stream z = {0};
    TR_CHECK_INT(deflateInit2(&z, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)len;
    z.next_out = out;
    z.avail_out = (uInt)max;
    int result = deflate(&z, Z_FINISH);
    size_t out_len = max - z.avail_out;
    (void)deflateEnd(&z);
    TR_CHECK_INT(result, Z_STREAM_END);
    return out_len;
}

typedef struct outcome {
    tr_code_t code;     /* of the first failing call, or of finish */
    bool at_end;        /* it failed in finish */
    uint8_t text[4096]; /* what came out, cut */
    size_t len;
    char msg[TR_ERR_MSG_LEN];
} outcome_t;

static void
decode(outcome_t *out, const char *codings, tr_slice_t body, const tr_decoder_limits_t *limits, size_t split)
{
    tr_decoder_t *decoder = NULL;
    tr_err_t err = TR_ERR_INIT;
    tr_bufq_t q;
    bool unknown;
    size_t at = 0;
    memset(out, 0, sizeof(*out));
    tr_bufq_init(&q, 0);
    out->code = tr_decoder_new(&decoder, &unknown, tr_slice_cstr(codings), limits, &err);
    if (out->code == TR_OK) {
        TR_CHECK(decoder != NULL && !unknown);
    }
    size_t part = split == 0 ? body.len : split == SIZE_MAX ? 1 : split;
    while (out->code == TR_OK && at < body.len) {
        out->code = tr_decoder_feed(decoder, &q, tr_slice(body.data + at, part), &err);
        at += part;
        part = split == SIZE_MAX ? 1 : body.len - at;
    }
    if (out->code == TR_OK) {
        out->at_end = true;
        out->code = tr_decoder_finish(decoder, &q, &err);
    } else if (decoder != NULL) {
        tr_err_t again = TR_ERR_INIT;
        TR_CHECK_INT(tr_decoder_feed(decoder, &q, TR_SLICE_LIT("x"), &again), out->code);
        TR_CHECK_INT(tr_decoder_finish(decoder, &q, &again), out->code);
        TR_CHECK(strcmp(again.msg, err.msg) == 0);
    }
    while (q.len > 0) {
        tr_slice_t data = tr_bufq_peek(&q);
        size_t len = TR_MIN(data.len, sizeof(out->text) - TR_MIN(out->len, sizeof(out->text)));
        memcpy(out->text + TR_MIN(out->len, sizeof(out->text)), data.data, len);
        out->len += data.len;
        tr_bufq_consume(&q, data.len);
    }
    memcpy(out->msg, err.msg, sizeof(out->msg));
    tr_bufq_cleanup(&q);
    tr_decoder_free(decoder);
}

static void
expect(const char *codings, tr_slice_t body, const char *expected)
{
    for (size_t i = 0; i <= body.len; i++) {
        outcome_t out;
        decode(&out, codings, body, &usual, i == body.len ? SIZE_MAX : i);
        if (out.code == TR_ERR_NOMEM && tr_test_oom_running()) {
            return;
        }
        if (out.code != TR_OK) {
            tr_test_fail(__FILE__, __LINE__, "%s split %zu: %s %s", codings, i, tr_err_name(out.code), out.msg);
        }
        TR_CHECK_SLICE(tr_slice(out.text, out.len), expected);
        if (tr_test_oom_running()) {
            return;
        }
    }
}

static void
expect_bad(const char *codings, tr_slice_t body, bool at_end)
{
    for (size_t i = 0; i <= body.len; i++) {
        outcome_t out;
        decode(&out, codings, body, &usual, i == body.len ? SIZE_MAX : i);
        TR_CHECK_INT(out.code, TR_ERR_BODY_CODING);
        TR_CHECK_INT(out.at_end, at_end);
        TR_CHECK_INT(strstr(out.msg, "unexpected EOF") != NULL, at_end);
    }
}

TR_TEST_OOM(coding_gzip, "/http/coding/gzip")
{
    uint8_t body[300];
    size_t one = zlib_pack(body, sizeof(body), "hello hello hello", 17, 31);
    expect("gzip", tr_slice(body, one), "hello hello hello");
    expect(" X-GZip ,", tr_slice(body, one), "hello hello hello");
    /* Members follow each other, empty ones too. */
    size_t two = one + zlib_pack(body + one, sizeof(body) - one, "", 0, 31);
    two += zlib_pack(body + two, sizeof(body) - two, " world", 6, 31);
    expect("gzip", tr_slice(body, two), "hello hello hello world");
    /* Padding and garbage behind the last one are ignored. */
    memset(body + two, 0, 20);
    expect("gzip", tr_slice(body, two + 1), "hello hello hello world");
    expect("gzip", tr_slice(body, two + 20), "hello hello hello world");
    memcpy(body + two, "garbage", 7);
    expect("gzip", tr_slice(body, two + 7), "hello hello hello world");
    memcpy(body + two, "\x1f garbage", 9);
    expect("gzip", tr_slice(body, two + 1), "hello hello hello world");
    expect("gzip", tr_slice(body, two + 9), "hello hello hello world");
}

TR_TEST(coding_gzip_header, "/http/coding/gzip_header_fields")
{
    /* RFC 1952 2.3: FEXTRA, FNAME, FCOMMENT and FHCRC, around the deflate data of "hello". */
    uint8_t plain[100], body[200];
    size_t len = zlib_pack(plain, sizeof(plain), "hello", 5, 31);
    static const uint8_t head[] = {0x1f, 0x8b, 8, 0x1e, 0, 0, 0, 0, 0, 3, 4, 0, 'e', 'x', 't', 'r', 'n', 0, 'c', 0};
    memcpy(body, head, sizeof(head));
    unsigned long crc = crc32(crc32(0, NULL, 0), head, sizeof(head));
    body[sizeof(head)] = (uint8_t)crc;
    body[sizeof(head) + 1] = (uint8_t)(crc >> 8);
    memcpy(body + sizeof(head) + 2, plain + 10, len - 10);
    expect("gzip", tr_slice(body, sizeof(head) + 2 + len - 10), "hello");
    body[sizeof(head)] ^= 1;
    expect_bad("gzip", tr_slice(body, sizeof(head) + 2 + len - 10), false);
}

TR_TEST_OOM(coding_deflate, "/http/coding/deflate")
{
    uint8_t body[200];
    size_t len = zlib_pack(body, sizeof(body), "hello hello hello", 17, 15);
    expect("deflate", tr_slice(body, len), "hello hello hello");
    memcpy(body + len, "\0\0x", 3);
    expect("deflate", tr_slice(body, len + 3), "hello hello hello");
    len = zlib_pack(body, sizeof(body), "hello hello hello", 17, -15);
    expect("deflate", tr_slice(body, len), "hello hello hello");
    len = zlib_pack(body, sizeof(body), "hello hello hello", 17, 9); /* a small window */
    expect("deflate", tr_slice(body, len), "hello hello hello");
    len = zlib_pack(body, sizeof(body), "", 0, -15);
    expect("deflate", tr_slice(body, len), "");
    /* Raw, stored: the block's header could be taken for zlib's if its padding bits were set (78 01 would be). */
    expect("deflate", TR_SLICE_LIT("\x01\x05\x00\xfa\xffhello"), "hello");
}

TR_TEST_OOM(coding_br, "/http/coding/br")
{
    size_t len;
    uint8_t *body = tr_test_hex(BR_HELLO, &len);
    expect("br", tr_slice(body, len), "hello hello hello hello");
    body = tr_test_hex(BR_HELLO "0000", &len);
    expect("br", tr_slice(body, len), "hello hello hello hello");
    expect("br", TR_SLICE_LIT("\x06"), "");
}

TR_TEST_OOM(coding_zstd, "/http/coding/zstd")
{
    uint8_t body[400];
    size_t len = ZSTD_compress(body, sizeof(body), "hello hello hello", 17, 3);
    TR_CHECK(!ZSTD_isError(len));
    expect("zstd", tr_slice(body, len), "hello hello hello");
    /* Frames follow each other; a skippable one (RFC 8878 3.1.2) gives nothing. */
    memcpy(body + len, "\x50\x2a\x4d\x18\x03\x00\x00\x00xyz", 11);
    size_t two = len + 11;
    two += ZSTD_compress(body + two, sizeof(body) - two, " world", 6, 19);
    expect("zstd", tr_slice(body, two), "hello hello hello world");
}

/* A frame says 112 bytes and has none; 2 and has 3. However it arrives it is refused. */
TR_TEST(coding_zstd_size, "/http/coding/zstd_content_size_that_lies")
{
    expect_bad("zstd", TR_SLICE_LIT("\x28\xb5\x2f\xfd\x20\x70\x01\x00\x00"), false);
    expect_bad("zstd", TR_SLICE_LIT("\x28\xb5\x2f\xfd\x20\x02\x19\x00\x00xyz"), false);
    expect("zstd", TR_SLICE_LIT("\x28\xb5\x2f\xfd\x20\x03\x19\x00\x00xyz"), "xyz");
}

TR_TEST(coding_none, "/http/coding/none_and_unknown")
{
    static const struct {
        const char *value;
        bool unknown;
    } rows[] = {{"", false},        {" , ", false},       {"identity", false}, {"Identity, identity", false},
                {"compress", true}, {"gzip, foo", true},  {"foo, gzip", true}, {"gzip;q=1", true},
                {"\"gzip\"", true}, {"aws-chunked", true}};
    tr_err_t err = TR_ERR_INIT;
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        tr_decoder_t *decoder = (tr_decoder_t *)&err;
        bool unknown = !rows[i].unknown;
        TR_CHECK_OK(tr_decoder_new(&decoder, &unknown, tr_slice_cstr(rows[i].value), &usual, &err), &err);
        TR_CHECK(decoder == NULL);
        TR_CHECK_INT(unknown, rows[i].unknown);
    }
    tr_decoder_t *decoder = (tr_decoder_t *)&err;
    bool unknown;
    TR_CHECK_INT(tr_decoder_new(&decoder, &unknown, TR_SLICE_LIT("gzip,gzip,gzip,gzip,gzip,gzip"), &usual, &err),
                 TR_ERR_BODY_CODING);
    TR_CHECK(decoder == NULL);
    tr_decoder_free(NULL);
}

TR_TEST(coding_empty, "/http/coding/empty_body")
{
    static const char *const codings[] = {"gzip", "deflate", "br", "zstd", "gzip, br"};
    for (size_t i = 0; i < TR_ARRAY_LEN(codings); i++) {
        outcome_t out;
        decode(&out, codings[i], TR_SLICE_NULL, &usual, 0);
        TR_CHECK_INT(out.code, TR_OK);
        TR_CHECK_INT(out.len, 0);
    }
}

TR_TEST_OOM(coding_stacked, "/http/coding/stacked")
{
    uint8_t first[200], second[200], third[400];
    size_t len;
    uint8_t *body = tr_test_hex(BR_GZIP_HELLO, &len);
    expect("gzip, br", tr_slice(body, len), "hello");
    expect("identity, gzip, identity, br", tr_slice(body, len), "hello");
    len = zlib_pack(first, sizeof(first), "hello hello", 11, -15);
    len = ZSTD_compress(second, sizeof(second), first, len, 3);
    len = zlib_pack(third, sizeof(third), second, len, 31);
    expect("deflate, zstd, gzip", tr_slice(third, len), "hello hello");
}

TR_TEST(coding_order, "/http/coding/stacked_order_matters")
{
    size_t len;
    uint8_t *body = tr_test_hex(BR_GZIP_HELLO, &len);
    expect_bad("br, gzip", tr_slice(body, len), false);
    expect_bad("gzip", tr_slice(body, len), false);
}

TR_TEST(coding_truncated, "/http/coding/truncated")
{
    uint8_t body[200];
    size_t len = zlib_pack(body, sizeof(body), "hello hello hello", 17, 31);
    for (size_t cut = 1; cut < len; cut++) {
        outcome_t out;
        decode(&out, "gzip", tr_slice(body, cut), &usual, 0);
        TR_CHECK_INT(out.code, TR_ERR_BODY_CODING);
        TR_CHECK(out.at_end && strstr(out.msg, "unexpected EOF") != NULL);
    }
    expect_bad("gzip", tr_slice(body, len - 1), true);
    /* A second member that was begun must end. */
    memcpy(body + len, body, 12);
    expect_bad("gzip", tr_slice(body, len + 2), true);
    expect_bad("gzip", tr_slice(body, len + 12), true);
    len = zlib_pack(body, sizeof(body), "hello hello hello", 17, 15);
    expect_bad("deflate", tr_slice(body, 1), true);
    expect_bad("deflate", tr_slice(body, len - 1), true);
    len = zlib_pack(body, sizeof(body), "hello hello hello", 17, -15);
    expect_bad("deflate", tr_slice(body, len - 1), true);
    uint8_t *br = tr_test_hex(BR_HELLO, &len);
    for (size_t cut = 1; cut < len; cut++) {
        expect_bad("br", tr_slice(br, cut), true);
    }
    len = ZSTD_compress(body, sizeof(body), "hello hello hello", 17, 3);
    for (size_t cut = 1; cut < len; cut++) {
        expect_bad("zstd", tr_slice(body, cut), true);
    }
    br = tr_test_hex(BR_GZIP_HELLO, &len);
    expect_bad("gzip, br", tr_slice(br, len - 3), true);
    /* The outer coding is complete, the inner is not. */
    size_t inner = zlib_pack(body, sizeof(body), "hello", 5, 31);
    uint8_t outer[200];
    len = zlib_pack(outer, sizeof(outer), body, inner - 1, 15);
    expect_bad("gzip, deflate", tr_slice(outer, len), true);
}

TR_TEST(coding_corrupt, "/http/coding/corrupt")
{
    uint8_t body[200];
    size_t len = zlib_pack(body, sizeof(body), "hello hello hello", 17, 31);
    expect_bad("gzip", TR_SLICE_LIT("<html>not gzip at all</html>"), false);
    body[len - 1] ^= 1; /* length */
    expect_bad("gzip", tr_slice(body, len), false);
    body[len - 1] ^= 1;
    body[len - 8] ^= 1; /* check sum */
    expect_bad("gzip", tr_slice(body, len), false);
    body[len - 8] ^= 1;
    memcpy(body + len, "\x1f\x8b\x07\x00", 4); /* a member of an unknown method */
    expect_bad("gzip", tr_slice(body, len + 4), false);
    expect_bad("deflate", TR_SLICE_LIT("\xff\xff\xff\xff"), false);
    expect_bad("deflate", TR_SLICE_LIT("\x78\xbb\x00\x00\x00\x01xx"), false); /* a preset dictionary */
    expect_bad("br", TR_SLICE_LIT("\xff\xff\xff\xff\xff\xff\xff\xff"), false);
    expect_bad("zstd", TR_SLICE_LIT("hello hello"), false);
    len = ZSTD_compress(body, sizeof(body), "hello", 5, 3);
    memcpy(body + len, "garbage", 7);
    expect_bad("zstd", tr_slice(body, len + 7), false);
    /* A zstd window of 16 MiB (RFC 9659 allows 8): magic, descriptor 0, window descriptor 14 << 3. */
    expect_bad("zstd", TR_SLICE_LIT("\x28\xb5\x2f\xfd\x00\x70\x01\x00\x00"), false);
    expect("zstd", TR_SLICE_LIT("\x28\xb5\x2f\xfd\x00\x68\x01\x00\x00"), ""); /* 8 MiB */
}

/* ---------------------------------------------------------------------------------------- limits */

TR_TEST(coding_limit_size, "/http/coding/limit_size")
{
    static uint8_t text[100000], body[2000];
    tr_decoder_limits_t limits = {sizeof(text), 0, 0};
    size_t len = zlib_pack(body, sizeof(body), text, sizeof(text), 31);
    outcome_t out;
    decode(&out, "gzip", tr_slice(body, len), &limits, 0);
    TR_CHECK_INT(out.code, TR_OK);
    TR_CHECK_INT(out.len, sizeof(text));
    limits.max_decoded--;
    decode(&out, "gzip", tr_slice(body, len), &limits, 0);
    TR_CHECK_INT(out.code, TR_ERR_BODY_LIMIT);
    TR_CHECK(out.len <= limits.max_decoded);
    decode(&out, "gzip", tr_slice(body, len), &limits, SIZE_MAX);
    TR_CHECK_INT(out.code, TR_ERR_BODY_LIMIT);
    TR_CHECK(out.len <= limits.max_decoded);
}

/* The size as a limit for each coding, exact to the byte. */
TR_TEST(coding_limit_each, "/http/coding/limit_each_coding")
{
    uint8_t bodies[3][300];
    size_t lens[3];
    const char *const codings[] = {"deflate", "br", "zstd"};
    lens[0] = zlib_pack(bodies[0], 300, "hello hello hello hello", 23, -15);
    size_t br_len;
    const uint8_t *br = tr_test_hex(BR_HELLO, &br_len);
    memcpy(bodies[1], br, br_len);
    lens[1] = br_len;
    lens[2] = ZSTD_compress(bodies[2], 300, "hello hello hello hello", 23, 3);
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t max = 1; max < 30; max++) {
            outcome_t out;
            tr_decoder_limits_t limits = {max, 0, 0};
            decode(&out, codings[i], tr_slice(bodies[i], lens[i]), &limits, 0);
            TR_CHECK_INT(out.code, max >= 23 ? TR_OK : TR_ERR_BODY_LIMIT);
            decode(&out, codings[i], tr_slice(bodies[i], lens[i]), &limits, SIZE_MAX);
            TR_CHECK_INT(out.code, max >= 23 ? TR_OK : TR_ERR_BODY_LIMIT);
        }
    }
}

TR_TEST(coding_limit_ratio, "/http/coding/limit_ratio")
{
    static uint8_t text[1 << 20], body[4000];
    outcome_t out;
    size_t len = zlib_pack(body, sizeof(body), text, sizeof(text), 31);
    TR_CHECK(len > 1000 && len < 1100); /* ratio about 1000 */
    tr_decoder_limits_t limits = {0, 0, 1100};
    decode(&out, "gzip", tr_slice(body, len), &limits, 0);
    TR_CHECK_INT(out.code, TR_OK);
    limits.max_ratio = 900;
    decode(&out, "gzip", tr_slice(body, len), &limits, 0);
    TR_CHECK_INT(out.code, TR_ERR_BODY_LIMIT);
    TR_CHECK(out.len <= 900 * len);
    limits.ratio_allowance = sizeof(text);
    decode(&out, "gzip", tr_slice(body, len), &limits, 0);
    TR_CHECK_INT(out.code, TR_OK);
    limits.ratio_allowance--;
    decode(&out, "gzip", tr_slice(body, len), &limits, SIZE_MAX);
    TR_CHECK_INT(out.code, TR_ERR_BODY_LIMIT);
}

/* 64 MiB in 103 bytes: what a single call gives is bounded by the limits, not by the bomb. */
TR_TEST(coding_bomb, "/http/coding/bomb")
{
    size_t len;
    uint8_t *bomb = tr_test_hex(BR_BOMB, &len);
    outcome_t out;
    tr_decoder_limits_t limits = {0, 1 << 20, TR_BODY_MAX_RATIO};
    decode(&out, "br", tr_slice(bomb, len), &limits, 0);
    TR_CHECK_INT(out.code, TR_ERR_BODY_LIMIT);
    TR_CHECK(out.len <= 1 << 20);
    limits = (tr_decoder_limits_t){3 << 20, 0, 0};
    decode(&out, "br", tr_slice(bomb, len), &limits, 0);
    TR_CHECK_INT(out.code, TR_ERR_BODY_LIMIT);
    TR_CHECK(out.len <= 3 << 20);
}

/* A bomb within a harmless-looking coding: what is between the two counts as well, and is never held whole. */
TR_TEST(coding_bomb_inside, "/http/coding/bomb_between_codings")
{
    static uint8_t zeros[1 << 20], once[1 << 12], twice[1 << 12];
    outcome_t out;
    /* zeros -> gzip -> gzip */
    size_t len = zlib_pack(once, sizeof(once), zeros, sizeof(zeros), 31);
    len = zlib_pack(twice, sizeof(twice), once, len, 31);
    TR_CHECK(len < 200);
    tr_decoder_limits_t limits = {0, 100000, 200};
    decode(&out, "gzip, gzip", tr_slice(twice, len), &limits, 0);
    TR_CHECK_INT(out.code, TR_ERR_BODY_LIMIT);
    TR_CHECK(out.len <= 100000);
    limits = (tr_decoder_limits_t){sizeof(zeros), 0, 0};
    decode(&out, "gzip, gzip", tr_slice(twice, len), &limits, 0);
    TR_CHECK_INT(out.code, TR_OK);
    TR_CHECK_INT(out.len, sizeof(zeros));

    /* 64 MiB of zeros between the codings: the first of them stop the inner reader. */
    size_t bomb_len;
    uint8_t *bomb = tr_test_hex(BR_BOMB, &bomb_len);
    limits = (tr_decoder_limits_t){1 << 20, 0, 0};
    int64_t before = tr_mem_live();
    decode(&out, "gzip, br", tr_slice(bomb, bomb_len), &limits, 0);
    TR_CHECK_INT(out.code, TR_ERR_BODY_CODING); /* zeros are no gzip */
    TR_CHECK_INT(tr_mem_live(), before);
    /* A raw deflate stream that ends at once, with 1 MiB behind it: the outer coding's output alone passes the
     * limit. */
    zeros[0] = 0x03;
    len = zlib_pack(once, sizeof(once), zeros, sizeof(zeros), 31);
    limits = (tr_decoder_limits_t){100000, 0, 0};
    decode(&out, "deflate, gzip", tr_slice(once, len), &limits, 0);
    TR_CHECK_INT(out.code, TR_ERR_BODY_LIMIT);
    TR_CHECK_INT(out.len, 0);
    zeros[0] = 0;
}

TR_TEST(coding_empty_members, "/http/coding/empty_members")
{
    uint8_t member[40];
    static uint8_t body[60000];
    outcome_t out;
    size_t len = zlib_pack(member, sizeof(member), "", 0, 31);
    size_t total = 0;
    for (int i = 0; i < 1100; i++) {
        memcpy(body + total, member, len);
        total += len;
    }
    decode(&out, "gzip", tr_slice(body, 1000 * len), &usual, 0);
    TR_CHECK_INT(out.code, TR_OK);
    decode(&out, "gzip", tr_slice(body, total), &usual, 0);
    TR_CHECK_INT(out.code, TR_ERR_BODY_CODING);
}

/* A large body in network-sized parts: everything comes out, in chunks of a good size. */
TR_TEST(coding_large, "/http/coding/large_body")
{
    enum { SIZE = 3 << 20 };
    uint8_t *text = malloc(SIZE);
    uint8_t *body = malloc(SIZE + 10000);
    TR_CHECK(text != NULL && body != NULL);
    uint32_t x = 1;
    for (size_t i = 0; i < SIZE; i++) {
        x = x * 1664525 + 1013904223;
        text[i] = (uint8_t)("etaoin shrdlu...."[x >> 28]);
    }
    static const char *const codings[] = {"gzip", "deflate", "zstd"};
    for (size_t c = 0; c < TR_ARRAY_LEN(codings); c++) {
        size_t len = c == 2 ? ZSTD_compress(body, SIZE + 10000, text, SIZE, 1)
                            : zlib_pack(body, SIZE + 10000, text, SIZE, c == 0 ? 31 : -15);
        tr_decoder_t *decoder;
        bool unknown;
        tr_err_t err = TR_ERR_INIT;
        tr_bufq_t q;
        tr_bufq_init(&q, 0);
        TR_CHECK_OK(tr_decoder_new(&decoder, &unknown, tr_slice_cstr(codings[c]), &usual, &err), &err);
        for (size_t at = 0; at < len; at += 16384) {
            TR_CHECK_OK(tr_decoder_feed(decoder, &q, tr_slice(body + at, TR_MIN(len - at, (size_t)16384)), &err),
                        &err);
        }
        TR_CHECK_OK(tr_decoder_finish(decoder, &q, &err), &err);
        TR_CHECK_INT(q.len, SIZE);
        size_t at = 0, chunks = 0;
        for (const tr_chunk_t *chunk = q.head; chunk != NULL; chunk = chunk->next) {
            TR_CHECK(memcmp(chunk->data + chunk->off, text + at, chunk->len) == 0);
            at += chunk->len;
            chunks++;
        }
        TR_CHECK_INT(at, SIZE);
        TR_CHECK(chunks <= SIZE / 65536 + 2);
        tr_bufq_cleanup(&q);
        tr_decoder_free(decoder);
    }
    free(text);
    free(body);
}

TR_TEST(coding_queue_max, "/http/coding/queue_with_a_maximum")
{
    uint8_t body[200];
    size_t len = zlib_pack(body, sizeof(body), "hello hello hello", 17, 31);
    tr_decoder_t *decoder;
    bool unknown;
    tr_err_t err = TR_ERR_INIT;
    tr_bufq_t q;
    tr_bufq_init(&q, 16);
    TR_CHECK_OK(tr_decoder_new(&decoder, &unknown, TR_SLICE_LIT("gzip"), &usual, &err), &err);
    TR_CHECK_INT(tr_decoder_feed(decoder, &q, tr_slice(body, len), &err), TR_ERR_BODY_LIMIT);
    TR_CHECK_INT(q.len, 0);
    tr_bufq_cleanup(&q);
    tr_decoder_free(decoder);
}
