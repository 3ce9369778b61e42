#include "http2/hpack.h"

#include "core/mem.h"

/* DESIGN. The choices, with their sources: the captures of chromium_156_linux and firefox_153_linux ("hpack_encoder", and each field's form
 * in "connection_example" and "requests").
 *
 *              Chromium                                     Firefox
 * Huffman      where it is shorter                          always
 * name index   static table first, then the newest entry    the last one that matches: the oldest entry, else the static table's last
 * indexed      all but pseudo-headers; :authority is        all but :path, which is always a literal, and fields larger than half the
 *              (fields larger than the table too: RFC       table; not in tables under 128 bytes
 *              7541 4.4 empties it)
 * never        nothing                                      authorization, cookies under 20 bytes
 * size update  when the size changed                        after each SETTINGS_HEADER_TABLE_SIZE
 */

/* ---------------------------------------------------------------------------------------------------------- Huffman code */

/* RFC 7541 Appendix B. Lengths in bits; the codes, right-aligned. */
static const uint8_t huffman_lens[256] = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11, 8,  6,  6,  6,  5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8,  15, 6,  12, 10,
    13, 6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8,  13, 19, 13, 14, 6,
    15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,  6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7,  15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
};
static const uint32_t huffman_codes[256] = {
    0x1ff8, 0x7fffd8, 0xfffffe2, 0xfffffe3, 0xfffffe4, 0xfffffe5, 0xfffffe6, 0xfffffe7,
    0xfffffe8, 0xffffea, 0x3ffffffc, 0xfffffe9, 0xfffffea, 0x3ffffffd, 0xfffffeb, 0xfffffec,
    0xfffffed, 0xfffffee, 0xfffffef, 0xffffff0, 0xffffff1, 0xffffff2, 0x3ffffffe, 0xffffff3,
    0xffffff4, 0xffffff5, 0xffffff6, 0xffffff7, 0xffffff8, 0xffffff9, 0xffffffa, 0xffffffb,
    0x14, 0x3f8, 0x3f9, 0xffa, 0x1ff9, 0x15, 0xf8, 0x7fa,
    0x3fa, 0x3fb, 0xf9, 0x7fb, 0xfa, 0x16, 0x17, 0x18,
    0x0, 0x1, 0x2, 0x19, 0x1a, 0x1b, 0x1c, 0x1d,
    0x1e, 0x1f, 0x5c, 0xfb, 0x7ffc, 0x20, 0xffb, 0x3fc,
    0x1ffa, 0x21, 0x5d, 0x5e, 0x5f, 0x60, 0x61, 0x62,
    0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a,
    0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72,
    0xfc, 0x73, 0xfd, 0x1ffb, 0x7fff0, 0x1ffc, 0x3ffc, 0x22,
    0x7ffd, 0x3, 0x23, 0x4, 0x24, 0x5, 0x25, 0x26,
    0x27, 0x6, 0x74, 0x75, 0x28, 0x29, 0x2a, 0x7,
    0x2b, 0x76, 0x2c, 0x8, 0x9, 0x2d, 0x77, 0x78,
    0x79, 0x7a, 0x7b, 0x7ffe, 0x7fc, 0x3ffd, 0x1ffd, 0xffffffc,
    0xfffe6, 0x3fffd2, 0xfffe7, 0xfffe8, 0x3fffd3, 0x3fffd4, 0x3fffd5, 0x7fffd9,
    0x3fffd6, 0x7fffda, 0x7fffdb, 0x7fffdc, 0x7fffdd, 0x7fffde, 0xffffeb, 0x7fffdf,
    0xffffec, 0xffffed, 0x3fffd7, 0x7fffe0, 0xffffee, 0x7fffe1, 0x7fffe2, 0x7fffe3,
    0x7fffe4, 0x1fffdc, 0x3fffd8, 0x7fffe5, 0x3fffd9, 0x7fffe6, 0x7fffe7, 0xffffef,
    0x3fffda, 0x1fffdd, 0xfffe9, 0x3fffdb, 0x3fffdc, 0x7fffe8, 0x7fffe9, 0x1fffde,
    0x7fffea, 0x3fffdd, 0x3fffde, 0xfffff0, 0x1fffdf, 0x3fffdf, 0x7fffeb, 0x7fffec,
    0x1fffe0, 0x1fffe1, 0x3fffe0, 0x1fffe2, 0x7fffed, 0x3fffe1, 0x7fffee, 0x7fffef,
    0xfffea, 0x3fffe2, 0x3fffe3, 0x3fffe4, 0x7ffff0, 0x3fffe5, 0x3fffe6, 0x7ffff1,
    0x3ffffe0, 0x3ffffe1, 0xfffeb, 0x7fff1, 0x3fffe7, 0x7ffff2, 0x3fffe8, 0x1ffffec,
    0x3ffffe2, 0x3ffffe3, 0x3ffffe4, 0x7ffffde, 0x7ffffdf, 0x3ffffe5, 0xfffff1, 0x1ffffed,
    0x7fff2, 0x1fffe3, 0x3ffffe6, 0x7ffffe0, 0x7ffffe1, 0x3ffffe7, 0x7ffffe2, 0xfffff2,
    0x1fffe4, 0x1fffe5, 0x3ffffe8, 0x3ffffe9, 0xffffffd, 0x7ffffe3, 0x7ffffe4, 0x7ffffe5,
    0xfffec, 0xfffff3, 0xfffed, 0x1fffe6, 0x3fffe9, 0x1fffe7, 0x1fffe8, 0x7ffff3,
    0x3fffea, 0x3fffeb, 0x1ffffee, 0x1ffffef, 0xfffff4, 0xfffff5, 0x3ffffea, 0x7ffff4,
    0x3ffffeb, 0x7ffffe6, 0x3ffffec, 0x3ffffed, 0x7ffffe7, 0x7ffffe8, 0x7ffffe9, 0x7ffffea,
    0x7ffffeb, 0xffffffe, 0x7ffffec, 0x7ffffed, 0x7ffffee, 0x7ffffef, 0x7fffff0, 0x3ffffee,
};

/* ---------------------------------------------------------------------------------------------------------- static table */

typedef struct static_field {
    tr_slice_t name, value;
} static_field_t;

#define F(name, value) {TR_SLICE_LIT(name), TR_SLICE_LIT(value)}
/* RFC 7541 Appendix A, from index 1. */
static const static_field_t static_table[62] = {
    {{NULL, 0}, {NULL, 0}},
    F(":authority", ""), F(":method", "GET"), F(":method", "POST"), F(":path", "/"), F(":path", "/index.html"), F(":scheme", "http"),
    F(":scheme", "https"), F(":status", "200"), F(":status", "204"), F(":status", "206"), F(":status", "304"), F(":status", "400"),
    F(":status", "404"), F(":status", "500"), F("accept-charset", ""), F("accept-encoding", "gzip, deflate"), F("accept-language", ""),
    F("accept-ranges", ""), F("accept", ""), F("access-control-allow-origin", ""), F("age", ""), F("allow", ""), F("authorization", ""),
    F("cache-control", ""), F("content-disposition", ""), F("content-encoding", ""), F("content-language", ""), F("content-length", ""),
    F("content-location", ""), F("content-range", ""), F("content-type", ""), F("cookie", ""), F("date", ""), F("etag", ""),
    F("expect", ""), F("expires", ""), F("from", ""), F("host", ""), F("if-match", ""), F("if-modified-since", ""),
    F("if-none-match", ""), F("if-range", ""), F("if-unmodified-since", ""), F("last-modified", ""), F("link", ""), F("location", ""),
    F("max-forwards", ""), F("proxy-authenticate", ""), F("proxy-authorization", ""), F("range", ""), F("referer", ""),
    F("refresh", ""), F("retry-after", ""), F("server", ""), F("set-cookie", ""), F("strict-transport-security", ""),
    F("transfer-encoding", ""), F("user-agent", ""), F("vary", ""), F("via", ""), F("www-authenticate", ""),
};
#undef F
#define NUM_STATIC 61

/* Indices of the static table by the length of the name, rising; those of length n begin at static_start[n]. */
#define STATIC_MAX_NAME 27
static const uint8_t static_order[NUM_STATIC] = {
    21, 60, 33, 34, 37, 38, 45, 59, 4, 5, 22, 50, 19, 32, 35, 54, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 36, 51, 52, 39, 42, 46, 1, 55, 58, 53, 31, 47, 18, 23, 24, 30, 41, 44, 15, 28, 16, 17, 26, 27, 29, 61, 40, 57, 48, 25, 43, 49, 56, 20,
};
static const uint8_t static_start[STATIC_MAX_NAME + 2] = {
    0, 0, 0, 0, 2, 8, 12, 16, 30, 33, 33, 36, 37, 39, 45, 47, 49, 53, 55, 56, 59, 59, 59, 59, 59, 59, 60, 60, 61,
};

/* --------------------------------------------------------------------------------------------------------------- entries */

typedef struct tr_hpack_entry {
    uint32_t hash; /* of name and value */
    uint32_t name_len, value_len;
    uint8_t *bytes; /* owned: name, then value */
} entry_t;

#define RING_MIN 64

void
tr_hpack_init(tr_hpack_t *hpack, tr_profile_hpack_t style)
{
    *hpack = (tr_hpack_t){.style = style, .max_size = TR_HPACK_DEFAULT_SIZE, .lowest_size = TR_HPACK_DEFAULT_SIZE};
}

/* The entry that is `age` insertions old. */
static entry_t *
entry_at(const tr_hpack_t *hpack, size_t age)
{
    return &hpack->ring[(hpack->newest - age) & (hpack->cap - 1)];
}

static uint32_t
size_of(size_t name_len, size_t value_len)
{
    return (uint32_t)(name_len + value_len + TR_HPACK_ENTRY_OVERHEAD);
}

/* Drops the oldest entries until the others take at most `size`. */
static void
evict(tr_hpack_t *hpack, uint32_t size)
{
    while (hpack->num > 0 && hpack->size > size) {
        entry_t *oldest = entry_at(hpack, hpack->num - 1);
        hpack->size -= size_of(oldest->name_len, oldest->value_len);
        tr_free(oldest->bytes);
        oldest->bytes = NULL;
        hpack->num--;
    }
}

void
tr_hpack_cleanup(tr_hpack_t *hpack)
{
    evict(hpack, 0);
    tr_free(hpack->ring);
    hpack->ring = NULL;
    hpack->cap = 0;
}

static tr_code_t
grow_ring(tr_hpack_t *hpack)
{
    size_t cap = hpack->cap == 0 ? RING_MIN : hpack->cap * 2; /* bounded by TR_HPACK_MAX_SIZE / TR_HPACK_ENTRY_OVERHEAD entries */
    entry_t *ring = tr_calloc(cap, sizeof(*ring));
    if (ring == NULL) {
        return TR_ERR_NOMEM;
    }
    for (size_t age = 0; age < hpack->num; age++) {
        ring[hpack->num - 1 - age] = *entry_at(hpack, age);
    }
    tr_free(hpack->ring);
    hpack->ring = ring;
    hpack->cap = cap;
    hpack->newest = hpack->num - 1; /* wraps while empty: the next one is at 0 */
    return TR_OK;
}

/* RFC 7541 4.4: room is made first; what is larger than the table empties it and is not kept. */
static tr_code_t
insert(tr_hpack_t *hpack, tr_slice_t name, tr_slice_t value, uint32_t hash)
{
    uint32_t size = size_of(name.len, value.len);
    evict(hpack, size > hpack->max_size ? 0 : hpack->max_size - size);
    if (size > hpack->max_size) {
        return TR_OK;
    }
    uint8_t *bytes = tr_malloc(name.len + value.len);
    if (bytes == NULL || (hpack->num == hpack->cap && grow_ring(hpack) != TR_OK)) {
        tr_free(bytes);
        return TR_ERR_NOMEM;
    }
    memcpy(bytes, name.data, name.len);
    if (value.len > 0) {
        memcpy(bytes + name.len, value.data, value.len);
    }
    hpack->newest = (hpack->newest + 1) & (hpack->cap - 1);
    hpack->ring[hpack->newest] = (entry_t){hash, (uint32_t)name.len, (uint32_t)value.len, bytes};
    hpack->num++;
    hpack->size += size;
    return TR_OK;
}

/* ----------------------------------------------------------------------------------------------------------------- look-up */

/* Tells entries apart quickly; equal ones are compared. Our own headers only: nobody gains from collisions. */
static uint32_t
hash_of(tr_slice_t name, tr_slice_t value)
{
    uint64_t hash = name.len * 31 + value.len;
    const tr_slice_t parts[2] = {name, value};
    for (size_t p = 0; p < 2; p++) {
        const uint8_t *at = parts[p].data;
        size_t left = parts[p].len;
        for (; left >= 8; left -= 8, at += 8) {
            uint64_t word;
            memcpy(&word, at, 8);
            hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
            hash ^= hash >> 29;
        }
        for (; left > 0; left--, at++) {
            hash = (hash ^ *at) * UINT64_C(0x100000001b3);
        }
    }
    return (uint32_t)(hash ^ hash >> 32);
}

typedef struct found {
    size_t pair;  /* index of name and value; 0: nowhere */
    size_t first; /* of the name: the static table's first, else the newest entry; 0: nowhere */
    size_t last;  /* of the name: the oldest entry, else the static table's last */
} found_t;

static bool
name_is(const entry_t *entry, tr_slice_t name)
{
    return entry->name_len == name.len && memcmp(entry->bytes, name.data, name.len) == 0;
}

static found_t
find(const tr_hpack_t *hpack, tr_slice_t name, tr_slice_t value, uint32_t hash)
{
    found_t found = {0, 0, 0};
    size_t from = 0, to = 0;
    if (name.len <= STATIC_MAX_NAME) {
        from = static_start[name.len];
        to = static_start[name.len + 1];
    }
    for (size_t i = from; i < to; i++) {
        size_t index = static_order[i];
        if (memcmp(static_table[index].name.data, name.data, name.len) == 0) {
            found.first = found.first == 0 ? index : found.first;
            found.last = index;
            /* Entries without a value in the table are names; a browser's field with an empty value matches them all the same. */
            if (tr_slice_eq(static_table[index].value, value)) {
                found.pair = index;
                return found;
            }
        }
    }
    for (size_t age = 0; age < hpack->num; age++) {
        const entry_t *entry = entry_at(hpack, age);
        if (entry->hash == hash && name_is(entry, name) &&
            tr_slice_eq(tr_slice(entry->bytes + entry->name_len, entry->value_len), value)) {
            found.pair = NUM_STATIC + 1 + age;
            return found;
        }
    }
    return found;
}

/* The entry of that name; 0: none. */
static size_t
find_name(const tr_hpack_t *hpack, tr_slice_t name, bool oldest)
{
    for (size_t i = 0; i < hpack->num; i++) {
        size_t age = oldest ? hpack->num - 1 - i : i;
        if (name_is(entry_at(hpack, age), name)) {
            return NUM_STATIC + 1 + age;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------------ output */

/* RFC 7541 5.1. first has the bits above the prefix; room for 6 bytes was made. */
static void
put_int(tr_buf_t *out, uint8_t first, unsigned prefix_bits, size_t value)
{
    uint8_t *at = tr_buf_tail(out);
    size_t max = ((size_t)1 << prefix_bits) - 1, len = 1;
    if (value < max) {
        at[0] = (uint8_t)(first | value);
    } else {
        at[0] = (uint8_t)(first | max);
        for (value -= max; value >= 128; value >>= 7) {
            at[len++] = (uint8_t)(0x80 | (value & 0x7f));
        }
        at[len++] = (uint8_t)value;
    }
    tr_buf_commit(out, len);
}

#define INT_MAX_LEN 10 /* a 64-bit number behind a prefix */

/* RFC 7541 5.2. */
static tr_code_t
put_string(const tr_hpack_t *hpack, tr_buf_t *out, tr_slice_t text)
{
    size_t bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        bits += huffman_lens[text.data[i]];
    }
    size_t len = (bits + 7) / 8;
    bool huffman = hpack->style == TR_HPACK_FIREFOX || len < text.len;
    if (tr_buf_reserve(out, INT_MAX_LEN + (huffman ? len : text.len)) != TR_OK) {
        return TR_ERR_NOMEM;
    }
    if (!huffman) {
        put_int(out, 0, 7, text.len);
        if (text.len > 0) {
            memcpy(tr_buf_tail(out), text.data, text.len);
        }
        tr_buf_commit(out, text.len);
        return TR_OK;
    }
    put_int(out, 0x80, 7, len);
    uint8_t *at = tr_buf_tail(out);
    uint64_t held = 0;
    unsigned num_held = 0;
    for (size_t i = 0; i < text.len; i++) {
        held = held << huffman_lens[text.data[i]] | huffman_codes[text.data[i]];
        num_held += huffman_lens[text.data[i]]; /* at most 31 + 30 bits */
        for (; num_held >= 8; num_held -= 8) {
            *at++ = (uint8_t)(held >> (num_held - 8));
        }
    }
    if (num_held > 0) { /* filled up with the first bits of the end-of-string symbol: ones */
        *at++ = (uint8_t)(held << (8 - num_held) | 0xffu >> num_held);
    }
    tr_buf_commit(out, len);
    return TR_OK;
}

typedef enum form { FORM_INCREMENTAL, FORM_WITHOUT, FORM_NEVER } form_t;

static tr_code_t
put_literal(const tr_hpack_t *hpack, tr_buf_t *out, form_t form, size_t name_index, tr_slice_t name, tr_slice_t value)
{
    if (tr_buf_reserve(out, INT_MAX_LEN) != TR_OK) {
        return TR_ERR_NOMEM;
    }
    put_int(out, form == FORM_INCREMENTAL ? 0x40 : form == FORM_NEVER ? 0x10 : 0, form == FORM_INCREMENTAL ? 6 : 4, name_index);
    if (name_index == 0 && put_string(hpack, out, name) != TR_OK) {
        return TR_ERR_NOMEM;
    }
    return put_string(hpack, out, value);
}

/* What Firefox keeps out of the tables of machines between. */
#define FIREFOX_COOKIE_MIN 20
#define FIREFOX_TABLE_MIN 128

static form_t
form_of(const tr_hpack_t *hpack, tr_slice_t name, tr_slice_t value)
{
    if (hpack->style == TR_HPACK_CHROMIUM) {
        return name.data[0] != ':' || tr_slice_eq(name, TR_SLICE_LIT(":authority")) ? FORM_INCREMENTAL : FORM_WITHOUT;
    }
    if (tr_slice_eq(name, TR_SLICE_LIT("authorization")) || (tr_slice_eq(name, TR_SLICE_LIT("cookie")) && value.len < FIREFOX_COOKIE_MIN)) {
        return FORM_NEVER;
    }
    bool small = hpack->max_size < FIREFOX_TABLE_MIN || size_of(name.len, value.len) > hpack->max_size / 2;
    return small || tr_slice_eq(name, TR_SLICE_LIT(":path")) ? FORM_WITHOUT : FORM_INCREMENTAL;
}

/* ---------------------------------------------------------------------------------------------------------------- interface */

void
tr_hpack_set_limit(tr_hpack_t *hpack, uint32_t size)
{
    size = TR_MIN(size, TR_HPACK_MAX_SIZE);
    if (size == hpack->max_size && hpack->style == TR_HPACK_CHROMIUM) {
        return;
    }
    hpack->lowest_size = hpack->update_due ? TR_MIN(hpack->lowest_size, size) : size;
    hpack->update_due = true;
    hpack->max_size = size;
    evict(hpack, size);
}

tr_code_t
tr_hpack_begin(tr_hpack_t *hpack, tr_buf_t *out)
{
    if (!hpack->update_due) {
        return TR_OK;
    }
    if (tr_buf_reserve(out, 2 * INT_MAX_LEN) != TR_OK) {
        return TR_ERR_NOMEM;
    }
    if (hpack->lowest_size < hpack->max_size) {
        put_int(out, 0x20, 5, hpack->lowest_size);
    }
    put_int(out, 0x20, 5, hpack->max_size);
    hpack->update_due = false;
    return TR_OK;
}

tr_code_t
tr_hpack_field(tr_hpack_t *hpack, tr_buf_t *out, tr_slice_t name, tr_slice_t value)
{
    uint32_t hash = hash_of(name, value);
    found_t found = find(hpack, name, value, hash);
    form_t form = form_of(hpack, name, value);
    /* Chromium takes an index whenever there is one; Firefox not for what it keeps literal. */
    bool literal = found.pair == 0 || (hpack->style == TR_HPACK_FIREFOX && form == FORM_NEVER) ||
                   (hpack->style == TR_HPACK_FIREFOX && tr_slice_eq(name, TR_SLICE_LIT(":path")));
    if (!literal) {
        if (tr_buf_reserve(out, INT_MAX_LEN) != TR_OK) {
            return TR_ERR_NOMEM;
        }
        put_int(out, 0x80, 7, found.pair);
        return TR_OK;
    }
    size_t name_index;
    if (hpack->style == TR_HPACK_FIREFOX) {
        /* Its search goes through static table and entries in order, remembers the last of that name, and stops at a pair. */
        name_index = found.pair;
        if (name_index == 0 && (name_index = find_name(hpack, name, true)) == 0) {
            name_index = found.last;
        }
    } else {
        name_index = found.first != 0 ? found.first : find_name(hpack, name, false);
    }
    tr_code_t code = put_literal(hpack, out, form, name_index, name, value);
    return code == TR_OK && form == FORM_INCREMENTAL ? insert(hpack, name, value, hash) : code;
}
