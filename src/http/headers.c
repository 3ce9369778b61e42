#include "http/headers.h"

#include "core/mem.h"

/* Fields of a usual response; nginx sends 5 to 10, sites behind a CDN 15 to 25. */
#define ENTRIES_MIN 16
/* Offsets and lengths are 32 bits wide: that halves the table. Sections are bounded far below (limits.h). */
#define BYTES_MAX UINT32_MAX

/* Field i's name starts at off, its value right behind it; the bytes of field i + 1 follow. */
typedef struct tr_headers_entry {
    uint32_t off;
    uint32_t name_len;
    uint32_t value_len;
} tr_headers_entry_t;

/* RFC 9110 5.6.2 tchar. */
static const uint8_t tchars[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,
    ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0'] = 1,  ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1,
    ['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1, ['A'] = 1,  ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1,
    ['F'] = 1, ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1,  ['L'] = 1, ['M'] = 1, ['N'] = 1, ['O'] = 1,
    ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1,  ['V'] = 1, ['W'] = 1, ['X'] = 1, ['Y'] = 1,
    ['Z'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1,  ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1,
    ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1,  ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1,
    ['t'] = 1, ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1,  ['z'] = 1,
};

void
tr_headers_init(tr_headers_t *headers)
{
    tr_buf_init(&headers->bytes);
    headers->entries = NULL;
    headers->len = 0;
    headers->cap = 0;
}

void
tr_headers_cleanup(tr_headers_t *headers)
{
    tr_buf_cleanup(&headers->bytes);
    tr_free(headers->entries);
    tr_headers_init(headers);
}

void
tr_headers_clear(tr_headers_t *headers)
{
    tr_buf_clear(&headers->bytes);
    headers->len = 0;
}

tr_code_t
tr_headers_reserve(tr_headers_t *headers, size_t num_fields, size_t num_bytes)
{
    if (num_fields > headers->cap - headers->len) {
        if (num_fields > SIZE_MAX / sizeof(*headers->entries) / 4) {
            return TR_ERR_NOMEM;
        }
        size_t cap = TR_MAX(headers->len + num_fields, TR_MAX(headers->cap * 2, (size_t)ENTRIES_MIN));
        tr_headers_entry_t *grown = tr_realloc(headers->entries, cap * sizeof(*grown));
        if (grown == NULL) {
            return TR_ERR_NOMEM;
        }
        headers->entries = grown;
        headers->cap = cap;
    }
    return tr_buf_reserve(&headers->bytes, num_bytes);
}

tr_code_t
tr_headers_add(tr_headers_t *headers, tr_slice_t name, tr_slice_t value)
{
    if (name.len > BYTES_MAX || value.len > BYTES_MAX - name.len ||
        headers->bytes.len > BYTES_MAX - name.len - value.len) {
        return TR_ERR_NOMEM;
    }
    size_t num_bytes = name.len + value.len;
    tr_code_t code = tr_headers_reserve(headers, 1, num_bytes);
    if (code != TR_OK) {
        return code;
    }
    tr_headers_entry_t *entry = &headers->entries[headers->len++];
    *entry = (tr_headers_entry_t){(uint32_t)headers->bytes.len, (uint32_t)name.len, (uint32_t)value.len};
    uint8_t *tail = tr_buf_tail(&headers->bytes);
    if (name.len > 0) {
        memcpy(tail, name.data, name.len);
    }
    if (value.len > 0) {
        memcpy(tail + name.len, value.data, value.len);
    }
    tr_buf_commit(&headers->bytes, num_bytes);
    return TR_OK;
}

static tr_slice_t
entry_name(const tr_headers_t *headers, size_t index)
{
    const tr_headers_entry_t *entry = &headers->entries[index];
    return tr_slice(headers->bytes.data + entry->off, entry->name_len);
}

static tr_slice_t
entry_value(const tr_headers_t *headers, size_t index)
{
    const tr_headers_entry_t *entry = &headers->entries[index];
    return tr_slice(headers->bytes.data + entry->off + entry->name_len, entry->value_len);
}

tr_field_t
tr_headers_at(const tr_headers_t *headers, size_t index)
{
    assert(index < headers->len);
    return (tr_field_t){entry_name(headers, index), entry_value(headers, index)};
}

uint32_t
tr_headers_marks(const tr_headers_t *headers)
{
    uint32_t marks = 0;
    for (size_t i = 0; i < headers->len; i++) {
        const tr_headers_entry_t *entry = &headers->entries[i];
        if (TR_LIKELY(entry->name_len > 0)) {
            marks |= tr_headers_mark(entry->name_len, headers->bytes.data[entry->off]);
        }
    }
    return marks;
}

bool
tr_headers_next(const tr_headers_t *headers, size_t *index, tr_slice_t name, tr_slice_t *out_value)
{
    for (size_t i = *index; i < headers->len; i++) {
        if (tr_slice_ieq(entry_name(headers, i), name)) {
            *out_value = entry_value(headers, i);
            *index = i + 1;
            return true;
        }
    }
    *index = headers->len;
    *out_value = TR_SLICE_NULL;
    return false;
}

tr_code_t
tr_headers_list(const tr_headers_t *headers, tr_slice_t name, tr_buf_t *joined, tr_slice_t *out)
{
    size_t index = 0;
    tr_slice_t value;
    tr_code_t code = TR_OK;
    if (!tr_headers_next(headers, &index, name, out)) {
        return TR_OK;
    }
    for (bool first = true; code == TR_OK && tr_headers_next(headers, &index, name, &value); first = false) {
        if (first) {
            code = tr_buf_append(joined, out->data, out->len);
        }
        if (code == TR_OK && (code = tr_buf_append(joined, ",", 1)) == TR_OK) {
            code = tr_buf_append(joined, value.data, value.len);
        }
        *out = tr_buf_slice(joined);
    }
    return code;
}

tr_slice_t
tr_headers_get(const tr_headers_t *headers, tr_slice_t name)
{
    size_t index = 0;
    tr_slice_t value;
    (void)tr_headers_next(headers, &index, name, &value);
    return value;
}

size_t
tr_headers_remove(tr_headers_t *headers, tr_slice_t name)
{
    size_t kept = 0;
    size_t kept_bytes = 0;
    for (size_t i = 0; i < headers->len; i++) {
        if (tr_slice_ieq(entry_name(headers, i), name)) {
            continue;
        }
        tr_headers_entry_t entry = headers->entries[i];
        size_t num_bytes = (size_t)entry.name_len + entry.value_len;
        if (kept_bytes != entry.off) {
            memmove(headers->bytes.data + kept_bytes, headers->bytes.data + entry.off, num_bytes);
            entry.off = (uint32_t)kept_bytes;
        }
        headers->entries[kept++] = entry;
        kept_bytes += num_bytes;
    }
    size_t removed = headers->len - kept;
    headers->len = kept;
    tr_buf_truncate(&headers->bytes, kept_bytes);
    return removed;
}

void
tr_headers_move(tr_headers_t *to, tr_headers_t *from)
{
    tr_headers_cleanup(to);
    *to = *from;
    tr_headers_init(from);
}

tr_code_t
tr_headers_copy(tr_headers_t *to, const tr_headers_t *from)
{
    tr_headers_clear(to);
    if (from->len == 0) {
        return TR_OK;
    }
    tr_code_t code = tr_headers_reserve(to, from->len, from->bytes.len);
    if (code != TR_OK) {
        return code;
    }
    memcpy(to->entries, from->entries, from->len * sizeof(*to->entries));
    to->len = from->len;
    return tr_buf_append(&to->bytes, from->bytes.data, from->bytes.len);
}

/* ------------------------------------------------------------------------------ field syntax */

size_t
tr_http_token_len(tr_slice_t text)
{
    size_t len = 0;
    while (len < text.len && tchars[text.data[len]] != 0) {
        len++;
    }
    return len;
}

bool
tr_http_is_token(tr_slice_t text)
{
    return text.len > 0 && tr_http_token_len(text) == text.len;
}

/* Each byte of word that is below n (n <= 128) gives a set high bit in the result; bytes from 128 on give none,
 * except that a borrow may mark the byte above one that is below: good enough to ask whether there is any. */
static bool
any_byte_below(uint64_t word, uint8_t n)
{
    const uint64_t ones = 0x0101010101010101u;
    return ((word - ones * n) & ~word & (ones << 7)) != 0;
}

bool
tr_http_is_field_value(tr_slice_t text)
{
    size_t i = 0;
    /* Eight bytes at a time: NUL, LF and CR are below 14, what is honest hardly ever (a tab only). */
    for (; text.len - i >= 8; i += 8) {
        uint64_t word;
        memcpy(&word, text.data + i, 8);
        if (TR_UNLIKELY(any_byte_below(word, '\r' + 1))) {
            break;
        }
    }
    for (; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == 0 || c == '\n' || c == '\r') {
            return false;
        }
    }
    return true;
}

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

tr_slice_t
tr_http_trim(tr_slice_t text)
{
    while (text.len > 0 && is_blank(text.data[0])) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && is_blank(text.data[text.len - 1])) {
        text.len--;
    }
    return text;
}

/* The length of the element at the start of text: up to the first comma outside a quoted-string (RFC 9110 5.6.4).
 */
static size_t
element_len(tr_slice_t text)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == '"') {
            quoted = !quoted;
        } else if (quoted && c == '\\' && i + 1 < text.len) {
            i++;
        } else if (!quoted && c == ',') {
            break;
        }
    }
    return i;
}

bool
tr_http_list_next(tr_slice_t *rest, tr_slice_t *out_element)
{
    while (rest->len > 0) {
        size_t len = element_len(*rest);
        tr_slice_t element = tr_http_trim(tr_slice(rest->data, len));
        size_t used = TR_MIN(len + 1, rest->len);
        rest->data += used;
        rest->len -= used;
        if (element.len > 0) {
            *out_element = element;
            return true;
        }
    }
    *out_element = TR_SLICE_NULL;
    return false;
}

/* One length: digits alone. Values above INT64_MAX are refused, so that sums and signed differences stay safe. */
static bool
parse_digits(tr_slice_t text, uint64_t *out)
{
    uint64_t value = 0;
    if (text.len == 0) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c < '0' || c > '9' || value > ((uint64_t)INT64_MAX - (c - '0')) / 10) {
            return false;
        }
        value = value * 10 + (c - '0');
    }
    *out = value;
    return true;
}

bool
tr_http_parse_length(tr_slice_t text, uint64_t *out)
{
    /* RFC 9112 6.3 rule 5: a list of identical values may be taken as one. An empty element is none of them. */
    bool first = true;
    for (;;) {
        const uint8_t *comma = text.len == 0 ? NULL : memchr(text.data, ',', text.len);
        size_t len = comma == NULL ? text.len : (size_t)(comma - text.data);
        uint64_t value;
        if (!parse_digits(tr_http_trim(tr_slice(text.data, len)), &value) || (!first && value != *out)) {
            return false;
        }
        *out = value;
        first = false;
        if (comma == NULL) {
            return true;
        }
        text = tr_slice(comma + 1, text.len - len - 1);
    }
}
