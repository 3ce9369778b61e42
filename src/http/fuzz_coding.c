/* Fuzz target: content codings. The first byte chooses the codings, the second how the body is split. What comes
 * out, and the verdict, do not depend on the split; the limits hold. */
#include "http/coding.h"
#include "http/fuzz_replay.h"

#define DECODED_MAX (1 << 16)

static const tr_decoder_limits_t limits = {DECODED_MAX, 1 << 12, 100};

static const char *const codings[] = {"gzip",     "deflate",       "br",         "zstd",
                                      "gzip, br", "deflate, zstd", "zstd, gzip", "br, deflate, gzip"};

static tr_code_t
decode(tr_bufq_t *out, const char *coding, tr_slice_t body, size_t part)
{
    tr_decoder_t *decoder;
    bool unknown;
    tr_err_t err = TR_ERR_INIT;
    tr_code_t code = tr_decoder_new(&decoder, &unknown, tr_slice_cstr(coding), &limits, &err);
    if (code != TR_OK) {
        return code;
    }
    for (size_t at = 0; at < body.len && code == TR_OK; at += part) {
        code = tr_decoder_feed(decoder, out, tr_slice(body.data + at, TR_MIN(part, body.len - at)), &err);
    }
    code = code == TR_OK ? tr_decoder_finish(decoder, out, &err) : code;
    TR_FUZZ_CHECK(code == TR_OK || code == TR_ERR_BODY_CODING || code == TR_ERR_BODY_LIMIT || code == TR_ERR_NOMEM);
    TR_FUZZ_CHECK(code == TR_OK || (err.code == code && err.msg[0] != 0));
    TR_FUZZ_CHECK(out->len <= DECODED_MAX);
    tr_decoder_free(decoder);
    return code;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    tr_bufq_t whole, split;
    tr_slice_t body = tr_slice(data + 2, size - 2);
    const char *coding = codings[data[0] % TR_ARRAY_LEN(codings)];
    tr_bufq_init(&whole, 0);
    tr_bufq_init(&split, 0);
    split.chunk_min = 300;
    tr_code_t a = decode(&whole, coding, body, TR_MAX(body.len, (size_t)1));
    tr_code_t b = decode(&split, coding, body, 1 + (size_t)data[1]);
    /* The ratio grows with what was received: in parts, a bomb may be seen earlier. */
    if (a != TR_ERR_BODY_LIMIT && b != TR_ERR_BODY_LIMIT && a != TR_ERR_NOMEM && b != TR_ERR_NOMEM) {
        TR_FUZZ_CHECK(a == b);
        if (a == TR_OK) {
            TR_FUZZ_CHECK(whole.len == split.len);
            while (whole.len > 0) {
                tr_slice_t x = tr_bufq_peek(&whole);
                tr_slice_t y = tr_bufq_peek(&split);
                size_t len = TR_MIN(x.len, y.len);
                TR_FUZZ_CHECK(memcmp(x.data, y.data, len) == 0);
                tr_bufq_consume(&whole, len);
                tr_bufq_consume(&split, len);
            }
        }
    }
    tr_bufq_cleanup(&whole);
    tr_bufq_cleanup(&split);
    return 0;
}
