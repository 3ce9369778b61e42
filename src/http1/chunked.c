#include "http1/chunked.h"

#include "core/limits.h"
#include "http/headers.h"

/* Digits of a size; more than 15 would pass INT64_MAX or be padding that nobody needs. */
#define SIZE_DIGITS_MAX 15
/* A chunk pays for so many bytes of its own size line, and each byte of data for two more: what is above adds up,
 * and a body that is mostly framing (tiny chunks with long extensions, RFC 9112 7.1.1) is refused. */
#define CHUNK_ALLOWANCE 16
#define EXCESS_MAX 16384

static const char where[] = "http1.chunk_size";

static int
hex_value(uint8_t c)
{
    uint8_t lower = tr_ascii_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

void
tr_h1__chunked_init(tr_h1_chunked_t *chunked)
{
    chunked->excess = 0;
}

/* chunk-size [ chunk-ext ]: chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ). Extensions
 * are skipped (7.1.1). Blanks alone behind the size are no extension, but servers pad sizes with them to a fixed width
 * and every browser takes it; nobody reads another size there. One that is not hexadecimal digits is refused. */
tr_code_t
tr_h1__chunked_size(tr_h1_chunked_t *chunked, uint64_t *out_size, tr_slice_t line, tr_err_t *err)
{
    uint64_t size = 0;
    size_t i = 0;
    while (i < line.len && hex_value(line.data[i]) >= 0) {
        if (i == SIZE_DIGITS_MAX) {
            return tr_err_set(err, TR_ERR_H1_PROTOCOL, 0, where,
                              "A chunk size of the server's answer has too many digits.");
        }
        size = size << 4 | (unsigned)hex_value(line.data[i++]);
    }
    if (i == 0) {
        return tr_err_set(err, TR_ERR_H1_PROTOCOL, 0, where, "A chunk of the server's answer has no size.");
    }
    tr_slice_t rest = tr_slice(line.data + i, line.len - i);
    tr_slice_t extension = tr_http_trim(rest);
    if (extension.len > 0 && (extension.data[0] != ';' || !tr_http_is_field_value(rest))) {
        return tr_err_set(err, TR_ERR_H1_PROTOCOL, 0, where,
                          "A chunk size of the server's answer is not a hexadecimal number.");
    }
    chunked->excess += line.len + 2;
    uint64_t paid = size > EXCESS_MAX ? UINT64_MAX : CHUNK_ALLOWANCE + 2 * size;
    chunked->excess -= TR_MIN(chunked->excess, paid);
    if (chunked->excess > EXCESS_MAX) {
        return tr_err_set(err, TR_ERR_H1_PROTOCOL, 0, where,
                          "The chunks of the server's answer are mostly extensions.");
    }
    *out_size = size;
    return TR_OK;
}

size_t
tr_h1__chunked_print(uint8_t out[TR_H1_CHUNK_HEAD_MAX], uint64_t size)
{
    static const char hex[] = "0123456789abcdef";
    size_t digits = 1;
    while (digits < 16 && size >> (4 * digits) != 0) {
        digits++;
    }
    for (size_t i = 0; i < digits; i++) {
        out[i] = (uint8_t)hex[size >> (4 * (digits - 1 - i)) & 15];
    }
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}
