#include "http1/encode.h"

#include <stdio.h>

#include "http1/chunked.h"

/* A browser's request head is 500 to 900 bytes; cookies can make it longer. */
#define HEAD_TYPICAL 1024
/* What is written beside the caller's texts: the request line's blanks, version and CRLF, the longest framing field
 * ("Content-Length: " and 20 digits, or "Transfer-Encoding: chunked"), the last CRLF; and the most for one field:
 * ": ", CRLF, and "chunked" for a shorter transfer-encoding. */
#define HEAD_OWN 128
#define FIELD_OWN 16
/* A head buffer that grew past this is not kept for the next exchange. */
#define HEAD_KEEP 32768
/* Framing of one chunk whose data fits a TLS record: "4000", CRLF, the CRLF behind the data. */
#define CHUNK_FRAMING 8
#define CHUNK_DATA_MAX 65535
/* Less room than this is left for the next pull. */
#define CHUNK_DATA_MIN 256

static const char where_submit[] = "http1.request";
static const char where_body[] = "http1.request_body";

void
tr_h1__sender_init(tr_h1_sender_t *sender)
{
    *sender = (tr_h1_sender_t){0};
    tr_buf_init(&sender->head);
}

void
tr_h1__sender_cleanup(tr_h1_sender_t *sender)
{
    tr_buf_cleanup(&sender->head);
    tr_h1__sender_init(sender);
}

void
tr_h1__sender_stop(tr_h1_sender_t *sender)
{
    sender->cut = sender->cut || !tr_h1__sender_done(sender);
    if (sender->head.cap > HEAD_KEEP) {
        tr_buf_cleanup(&sender->head);
    } else {
        tr_buf_clear(&sender->head);
    }
    sender->state = TR_H1_SEND_DONE;
    sender->body = (tr_body_source_t){0};
    sender->paused = sender->duplex = sender->raw = false;
}

void
tr_h1__sender_switch(tr_h1_sender_t *sender)
{
    sender->raw = true;
    sender->state = sender->body.present ? TR_H1_SEND_BODY : TR_H1_SEND_DONE;
}

bool
tr_h1__sender_done(const tr_h1_sender_t *sender)
{
    return sender->head.len == 0 && sender->state != TR_H1_SEND_BODY;
}

/* ------------------------------------------------------------------------------------------ head */

/* RFC 9112 3.2: no blank, and no control or non-ASCII byte that a server would read in its own way. */
static bool
is_target(tr_slice_t target)
{
    for (size_t i = 0; i < target.len; i++) {
        if (target.data[i] <= 0x20 || target.data[i] >= 0x7f) {
            return false;
        }
    }
    return target.len > 0;
}

static bool
has_option(tr_slice_t value, tr_slice_t name)
{
    tr_slice_t option;
    while (tr_http_list_next(&value, &option)) {
        if (tr_slice_ieq(option, name)) {
            return true;
        }
    }
    return false;
}

static tr_code_t
check_field(const tr_field_t *field, tr_err_t *err)
{
    if (TR_UNLIKELY(!tr_http_is_token(field->name))) {
        return tr_err_set(
            err, TR_ERR_HEADER_INVALID, 0, where_submit, "The header name \"%.*s\" is not an HTTP token.",
            (int)TR_MIN(field->name.len, (size_t)64), field->name.len == 0 ? "" : (const char *)field->name.data);
    }
    if (TR_UNLIKELY(!tr_http_is_field_value(field->value))) {
        return tr_err_set(err, TR_ERR_HEADER_INVALID, 0, where_submit,
                          "The value of header \"%.*s\" has a CR, LF or NUL.",
                          (int)TR_MIN(field->name.len, (size_t)64), (const char *)field->name.data);
    }
    return TR_OK;
}

static uint8_t *
write_bytes(uint8_t *to, tr_slice_t bytes)
{
    if (bytes.len > 0) {
        memcpy(to, bytes.data, bytes.len);
    }
    return to + bytes.len;
}

/* Room for the field was reserved. An empty value is written as Chromium does, without a blank behind the colon. */
static void
write_field(tr_buf_t *out, tr_slice_t name, tr_slice_t value)
{
    uint8_t *start = tr_buf_tail(out);
    uint8_t *to = write_bytes(start, name);
    *to++ = ':';
    if (value.len > 0) {
        *to++ = ' ';
    }
    to = write_bytes(to, value);
    *to++ = '\r';
    *to++ = '\n';
    tr_buf_commit(out, (size_t)(to - start));
}

/* What the head is long at most. TR_ERR_NOMEM when that does not fit memory. */
static tr_code_t
head_room(size_t *out, const tr_request_head_t *head)
{
    size_t len = HEAD_OWN;
    const size_t max = SIZE_MAX / 4;
    if (head->method.len > max || head->target.len > max) {
        return TR_ERR_NOMEM;
    }
    len += head->method.len + head->target.len;
    for (size_t i = 0; i < head->num_fields; i++) {
        const tr_field_t *field = &head->fields[i];
        if (len > max || field->name.len > max || field->value.len > max) {
            return TR_ERR_NOMEM;
        }
        len += field->name.len + field->value.len + FIELD_OWN;
    }
    *out = len;
    return TR_OK;
}

/* A content-length that says something else than the body would be a second message for the server to find. */
static tr_code_t
check_length(const tr_h1_sender_t *sender, tr_slice_t value, bool again, tr_err_t *err)
{
    uint64_t length;
    if (again || !tr_http_parse_length(value, &length) || length != sender->left) {
        return tr_err_set(err, TR_ERR_HEADER_INVALID, 0, where_submit,
                          "The header \"content-length\" does not agree with the request's body.");
    }
    return TR_OK;
}

/* Framing is the engine's: a transfer-encoding of the caller keeps only its name and place, and only for a body of
 * unknown length; content-length must be right, and is added where it is missing. */
static tr_code_t
write_fields(tr_h1_sender_t *sender, const tr_request_head_t *head, tr_err_t *err)
{
    tr_buf_t *out = &sender->head;
    const tr_slice_t chunked = TR_SLICE_LIT("chunked");
    bool coding_written = false;
    bool length_written = false;
    for (size_t i = 0; i < head->num_fields; i++) {
        const tr_field_t *field = &head->fields[i];
        tr_slice_t value = field->value;
        tr_code_t code = check_field(field, err);
        if (code != TR_OK) {
            return code;
        }
        if (field->name.len == 17 && tr_slice_ieq(field->name, TR_SLICE_LIT("transfer-encoding"))) {
            if (!sender->chunked || coding_written) {
                continue;
            }
            value = chunked;
            coding_written = true;
        } else if (field->name.len == 14 && tr_slice_ieq(field->name, TR_SLICE_LIT("content-length"))) {
            if (sender->chunked) {
                continue;
            }
            code = check_length(sender, value, length_written, err);
            if (code != TR_OK) {
                return code;
            }
            length_written = true;
        } else if (field->name.len == 10 && tr_slice_ieq(field->name, TR_SLICE_LIT("connection"))) {
            sender->close = sender->close || has_option(value, TR_SLICE_LIT("close"));
        } else if (field->name.len == 7 && tr_slice_ieq(field->name, TR_SLICE_LIT("upgrade"))) {
            sender->upgrade = true;
        } else if (field->name.len == 19 && tr_slice_ieq(field->name, TR_SLICE_LIT("proxy-authorization"))) {
            out->secret = true; /* room was made before: the bytes move nowhere */
        }
        write_field(out, field->name, value);
    }
    if (sender->chunked && !coding_written) {
        write_field(out, TR_SLICE_LIT("Transfer-Encoding"), chunked);
    } else if (head->body.present && !sender->duplex && !sender->chunked && !length_written) {
        char text[24];
        (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)sender->left);
        write_field(out, TR_SLICE_LIT("Content-Length"), tr_slice_cstr(text));
    }
    return TR_OK;
}

static tr_code_t
start_body(tr_h1_sender_t *sender, const tr_request_head_t *head, tr_err_t *err)
{
    const tr_body_source_t *body = &head->body;
    sender->body = *body;
    sender->left = 0;
    sender->chunked = false;
    sender->state = TR_H1_SEND_DONE;
    sender->duplex = head->duplex;
    sender->raw = false;
    if (!body->present || head->duplex) {
        return TR_OK;
    }
    if (body->read == NULL) {
        if (body->len >= 0 && (uint64_t)body->len != body->bytes.len) {
            return tr_err_set(err, TR_ERR_REQUEST_BODY, 0, where_body,
                              "The body has another length than was said.");
        }
        sender->left = body->bytes.len;
    } else if (body->len < 0) {
        sender->chunked = true;
    } else {
        sender->left = (uint64_t)body->len;
    }
    if (sender->chunked || sender->left > 0) {
        sender->state = TR_H1_SEND_BODY;
    } else if (body->read != NULL) {
        sender->state = TR_H1_SEND_SURPLUS;
    }
    return TR_OK;
}

tr_code_t
tr_h1__sender_start(tr_h1_sender_t *sender, const tr_request_head_t *head, tr_err_t *err)
{
    tr_code_t code;
    size_t room;
    tr_buf_clear(&sender->head);
    sender->paused = sender->any = sender->cut = sender->close = sender->upgrade = false;
    sender->head.secret = false;
    if (!tr_http_is_token(head->method)) {
        code = tr_err_set(err, TR_ERR_METHOD_INVALID, 0, where_submit, NULL);
        goto done;
    }
    if (!is_target(head->target)) {
        code = tr_err_set(err, TR_ERR_URL_INVALID, 0, where_submit,
                          "The request target is empty or has a blank, a control or a non-ASCII character.");
        goto done;
    }
    code = start_body(sender, head, err);
    if (code != TR_OK) {
        goto done;
    }
    if (head_room(&room, head) != TR_OK ||
        tr_buf_reserve(&sender->head, TR_MAX(room, (size_t)HEAD_TYPICAL)) != TR_OK) {
        code = tr_err_nomem(err, where_submit);
        goto done;
    }
    uint8_t *start = tr_buf_tail(&sender->head);
    uint8_t *to = write_bytes(start, head->method);
    *to++ = ' ';
    to = write_bytes(to, head->target);
    to = write_bytes(to, TR_SLICE_LIT(" HTTP/1.1\r\n"));
    tr_buf_commit(&sender->head, (size_t)(to - start));
    code = write_fields(sender, head, err);
    if (code == TR_OK) {
        (void)write_bytes(tr_buf_tail(&sender->head), TR_SLICE_LIT("\r\n"));
        tr_buf_commit(&sender->head, 2);
    }
done:
    if (code != TR_OK) {
        tr_h1__sender_stop(sender);
    }
    return code;
}

/* ------------------------------------------------------------------------------------------ body */

/* Asks the source for up to max bytes. TR_OK: *out_len of them, *out_end when no more follow; TR_PAUSED; TR_AGAIN:
 * the exchange is gone; or a failure. */
static tr_code_t
read_source(tr_h1_sender_t *sender, uint8_t *into, size_t max, size_t *out_len, bool *out_end, tr_err_t *err)
{
    *out_len = 0;
    *out_end = false;
    tr_code_t code = sender->body.read(sender->body.arg, into, max, out_len, err);
    if (sender->state == TR_H1_SEND_DONE) {
        return TR_AGAIN; /* the source ended its own exchange */
    }
    if (tr_failed(code)) {
        return code;
    }
    if (*out_len > max || (code == TR_OK && *out_len == 0) || (code == TR_PAUSED && *out_len > 0) ||
        code == TR_AGAIN) {
        return tr_err_set(err, TR_ERR_INTERNAL, code, where_body, "The body source broke its contract.");
    }
    if (code == TR_PAUSED) {
        sender->paused = true;
        return TR_PAUSED;
    }
    *out_end = code == TR_EOF;
    return TR_OK;
}

static tr_code_t
too_long(tr_err_t *err)
{
    return tr_err_set(err, TR_ERR_REQUEST_BODY, 0, where_body,
                      "The request's body is longer than its declared length.");
}

/* Everything that was declared is out; the source must now be at its end. */
static tr_code_t
pull_surplus(tr_h1_sender_t *sender, tr_err_t *err)
{
    uint8_t byte;
    size_t len;
    bool end;
    tr_code_t code = read_source(sender, &byte, 1, &len, &end, err);
    if (code != TR_OK) {
        return code;
    }
    if (len > 0) {
        return too_long(err);
    }
    sender->state = TR_H1_SEND_DONE;
    return TR_OK;
}

/* Body of a known length: bytes as they are. */
static tr_code_t
pull_plain(tr_h1_sender_t *sender, tr_buf_t *out, size_t max, tr_err_t *err)
{
    size_t len = (size_t)TR_MIN((uint64_t)max, sender->left);
    bool end = false;
    if (tr_buf_reserve(out, len + 1) != TR_OK) {
        return tr_err_nomem(err, where_body);
    }
    if (sender->body.read == NULL) {
        memcpy(tr_buf_tail(out), sender->body.bytes.data + (sender->body.bytes.len - sender->left), len);
    } else {
        /* One byte more than is left is asked for at the end, so that a body that is too long is seen before its
         * last part goes. */
        size_t ask = len < max && len == sender->left ? len + 1 : len;
        tr_code_t code = read_source(sender, tr_buf_tail(out), ask, &len, &end, err);
        if (code != TR_OK) {
            return code;
        }
        if (len > sender->left) {
            return too_long(err);
        }
        if (end && len < sender->left) {
            return tr_err_set(err, TR_ERR_REQUEST_BODY, 0, where_body,
                              "The request's body is shorter than its declared length.");
        }
    }
    tr_buf_commit(out, len);
    sender->left -= len;
    if (sender->left == 0) {
        sender->state = end || sender->body.read == NULL ? TR_H1_SEND_DONE : TR_H1_SEND_SURPLUS;
    }
    return TR_OK;
}

/* Body of unknown length: one chunk, and the last one behind the end (RFC 9112 7.1). */
static tr_code_t
pull_chunk(tr_h1_sender_t *sender, tr_buf_t *out, size_t max, tr_err_t *err)
{
    uint8_t head[TR_H1_CHUNK_HEAD_MAX];
    size_t room = TR_MIN(TR_MAX(max, (size_t)CHUNK_DATA_MIN) - CHUNK_FRAMING, (size_t)CHUNK_DATA_MAX);
    size_t len;
    bool end;
    if (tr_buf_reserve(out, room + 2 * TR_H1_CHUNK_HEAD_MAX) != TR_OK) {
        return tr_err_nomem(err, where_body);
    }
    /* The size line's length is guessed from what was asked for; a source that gives less costs a move. */
    uint8_t *tail = tr_buf_tail(out);
    size_t guess = tr_h1__chunked_print(head, room);
    tr_code_t code = read_source(sender, tail + guess, room, &len, &end, err);
    if (code != TR_OK) {
        return code;
    }
    if (len > 0) {
        size_t head_len = tr_h1__chunked_print(head, len);
        if (head_len != guess) {
            memmove(tail + head_len, tail + guess, len);
        }
        memcpy(tail, head, head_len);
        memcpy(tail + head_len + len, "\r\n", 2);
        tr_buf_commit(out, head_len + len + 2);
    }
    if (end) {
        memcpy(tr_buf_tail(out), "0\r\n\r\n", 5);
        tr_buf_commit(out, 5);
        sender->state = TR_H1_SEND_DONE;
    }
    return TR_OK;
}

/* Behind a 101: whatever there is. */
static tr_code_t
pull_raw(tr_h1_sender_t *sender, tr_buf_t *out, size_t max, tr_err_t *err)
{
    size_t len;
    bool end;
    if (tr_buf_reserve(out, max) != TR_OK) {
        return tr_err_nomem(err, where_body);
    }
    tr_code_t code = read_source(sender, tr_buf_tail(out), max, &len, &end, err);
    if (code != TR_OK) {
        return code;
    }
    tr_buf_commit(out, len);
    if (end) {
        sender->state = TR_H1_SEND_DONE;
    }
    return TR_OK;
}

tr_code_t
tr_h1__sender_pull(tr_h1_sender_t *sender, tr_buf_t *out, size_t max, tr_err_t *err)
{
    size_t start = out->len;
    tr_code_t code = TR_OK;
    if (sender->head.len > 0) {
        size_t len = TR_MIN(sender->head.len, max);
        if (tr_buf_append(out, sender->head.data, len) != TR_OK) {
            return tr_err_nomem(err, where_submit);
        }
        tr_buf_consume(&sender->head, len);
        sender->any = sender->any || len > 0;
    }
    while (code == TR_OK && sender->head.len == 0 && sender->state != TR_H1_SEND_DONE && !sender->paused) {
        size_t used = out->len - start;
        size_t room = used < max ? max - used : 0;
        if (sender->state == TR_H1_SEND_SURPLUS) {
            code = pull_surplus(sender, err);
        } else if (room == 0 || (sender->chunked && used > 0 && room < CHUNK_DATA_MIN)) {
            break;
        } else if (sender->raw) {
            code = pull_raw(sender, out, room, err);
        } else if (sender->chunked) {
            code = pull_chunk(sender, out, room, err);
        } else {
            code = pull_plain(sender, out, room, err);
        }
    }
    if (tr_failed(code)) {
        return code;
    }
    return out->len > start ? TR_OK : sender->paused ? TR_PAUSED : TR_AGAIN;
}
