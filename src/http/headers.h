/* headers: an ordered list of header fields with duplicates, as on the wire. Names keep their bytes; look-up ignores
 * ASCII case. All bytes live in one block, so a received header section costs two allocations. One thread at a time. */
#ifndef TR_HTTP_HEADERS_H
#define TR_HTTP_HEADERS_H

#include "core/buf.h"

typedef struct tr_field {
    tr_slice_t name;
    tr_slice_t value;
} tr_field_t;

typedef struct tr_headers {
    tr_buf_t bytes; /* names and values, back to back */
    struct tr_headers_entry *entries; /* owned */
    size_t len; /* fields */
    size_t cap;
} tr_headers_t;

void tr_headers_init(tr_headers_t *headers);
void tr_headers_cleanup(tr_headers_t *headers);
void tr_headers_clear(tr_headers_t *headers); /* keeps the memory */
/* tr_headers_add copies name and value behind the last field. TR_ERR_NOMEM. */
tr_code_t tr_headers_add(tr_headers_t *headers, tr_slice_t name, tr_slice_t value) TR_WARN_UNUSED;
/* tr_headers_reserve makes room for so many more fields and bytes of names and values. TR_ERR_NOMEM. */
tr_code_t tr_headers_reserve(tr_headers_t *headers, size_t num_fields, size_t num_bytes) TR_WARN_UNUSED;
/* tr_headers_at lends field index (below len); valid until the next change. */
tr_field_t tr_headers_at(const tr_headers_t *headers, size_t index);
/* tr_headers_get lends the first value of that name; data NULL: none. */
tr_slice_t tr_headers_get(const tr_headers_t *headers, tr_slice_t name);
/* tr_headers_marks gives a set of bits, made of the names' lengths and first letters: a name whose tr_headers_mark is not among them is not
 * there, and need not be looked for. */
uint32_t tr_headers_marks(const tr_headers_t *headers);
static inline uint32_t
tr_headers_mark(size_t name_len, uint8_t first)
{
    return UINT32_C(1) << ((name_len ^ first) & 31); /* five bits of a letter are those of both its cases */
}
/* tr_headers_next finds the next field of that name from *index on (start with 0); on true *index is behind it. */
bool tr_headers_next(const tr_headers_t *headers, size_t *index, tr_slice_t name, tr_slice_t *out_value);
/* tr_headers_list gives the value of a field that is a list (RFC 9110 5.3): lent of the only field, or made in `joined`, empty before, of
 * all of them. data NULL: none. TR_ERR_NOMEM. */
tr_code_t tr_headers_list(const tr_headers_t *headers, tr_slice_t name, tr_buf_t *joined, tr_slice_t *out) TR_WARN_UNUSED;
/* tr_headers_remove drops all fields of that name and returns how many there were. */
size_t tr_headers_remove(tr_headers_t *headers, tr_slice_t name);
/* tr_headers_move makes *to hold what *from held; *from is empty afterwards. */
void tr_headers_move(tr_headers_t *to, tr_headers_t *from);
tr_code_t tr_headers_copy(tr_headers_t *to, const tr_headers_t *from) TR_WARN_UNUSED;

/* RFC 9110 5.6.2 token; 5.5 field value without CR, LF, NUL (leading and trailing blanks are not looked at). */
bool tr_http_is_token(tr_slice_t text);
/* tr_http_token_len counts the token characters at the start of text. */
size_t tr_http_token_len(tr_slice_t text);
bool tr_http_is_field_value(tr_slice_t text);
/* tr_http_trim takes blanks (SP, HTAB: RFC 9110 5.6.3 OWS) off both ends. */
tr_slice_t tr_http_trim(tr_slice_t text);
/* tr_http_list_next splits a comma-separated field value (RFC 9110 5.6.1): gives the next non-empty element without
 * blanks around it; false at the end. *rest starts as the whole value. */
bool tr_http_list_next(tr_slice_t *rest, tr_slice_t *out_element);
/* tr_http_parse_length reads a Content-Length (digits only; several equal ones separated by commas are one). */
bool tr_http_parse_length(tr_slice_t text, uint64_t *out);

#endif
