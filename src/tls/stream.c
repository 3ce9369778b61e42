/* The engine over a byte stream: records in and out, alerts, ChangeCipherSpec, application data. */
#include "core/mem.h"
#include "core/trace.h"
#include "tls/client.h"

/* Chunks of application data: as large as what this call can still bring, at most this, so that a bulk download
 * allocates once for several records and a small answer takes a small block. */
#define CHUNK_MAX 65536

/* AES-GCM: 2^24.5 full records under one key (RFC 8446 5.5); the key is renewed well before. */
#define KEY_UPDATE_AFTER ((uint64_t)1 << 24)

/* --- sending --- */

static tr_code_t
put_pending_ccs(tr_tls_t *tls)
{
    static const uint8_t ccs_record[6] = {TR_RECORD_CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1};
    if (!tls->ccs_pending) {
        return TR_OK;
    }
    tls->ccs_pending = false;
    tls->ccs_sent = true;
    return tr_buf_append(tls->wire, ccs_record, sizeof(ccs_record));
}

static tr_code_t
seal(tr_tls_t *tls, uint8_t type, uint16_t version, tr_slice_t data)
{
    tr_code_t code = put_pending_ccs(tls);
    if (code == TR_OK) {
        code = tr_record_seal(&tls->out, tls->wire, type, version, data, &tls->config.rnd);
    }
    return tr_tls__lower(tls, code, "tls.record.seal");
}

/* Puts the handshake messages that wait into records: those of one flight share them, as browsers do it. */
static tr_code_t
flush_flight(tr_tls_t *tls)
{
    if (tls->flight.len == 0) {
        return TR_OK;
    }
    /* RFC 8446 5.1: the first ClientHello alone may have another version in its header. */
    uint16_t version = tls->state == TR_EXPECT_NOTHING ? tls->config.profile->record_version : TR_VERSION_12;
    tr_code_t code = seal(tls, TR_RECORD_HANDSHAKE, version, tr_buf_slice(&tls->flight));
    tr_buf_cleanup(&tls->flight);
    return code;
}

static tr_code_t
stream_emit(tr_tls_t *tls, tr_tls_level_t level, tr_slice_t message)
{
    TR_UNUSED(level); /* keys are installed in order: what is emitted belongs to those of the moment */
    return tr_tls__lower(tls, tr_buf_append(&tls->flight, message.data, message.len), "tls.flight");
}

static tr_code_t
stream_install(tr_tls_t *tls, tr_tls_level_t level, bool sending, const tr_suite_t *suite, tr_slice_t secret)
{
    tr_code_t code = sending ? flush_flight(tls) : TR_OK;
    if (code == TR_OK && level == TR_LEVEL_EARLY) {
        /* Browsers send the ChangeCipherSpec with the ClientHello, whether there is early data at once or not (NSS, captured). */
        code = tr_tls__lower(tls, put_pending_ccs(tls), "tls.record.ccs");
    }
    if (code == TR_OK) {
        code = tr_tls__lower(tls, tr_record_set_13(sending ? &tls->out : &tls->in, suite, secret, sending),
                             "tls.record.keys");
    }
    return code;
}

static void
stream_uninstall(tr_tls_t *tls)
{
    tr_record_dir_cleanup(&tls->out);
}

static tr_code_t
stream_resend(tr_tls_t *tls, tr_slice_t data)
{
    return seal(tls, TR_RECORD_DATA, TR_VERSION_12, data);
}

static void
stream_compat_ccs(tr_tls_t *tls)
{
    /* RFC 8446 D.4: only with a session id, and once. */
    if (tls->hello.session_id_len > 0 && !tls->ccs_sent) {
        tls->ccs_pending = true;
    }
}

static tr_code_t
stream_change_cipher_spec(tr_tls_t *tls, bool sending)
{
    static const uint8_t one = 1;
    tr_record_lens_t lens = tr_record_lens_12(tls->suite);
    const uint8_t *mac_key = tls->key_block + (sending ? 0 : lens.mac_key);
    const uint8_t *key = tls->key_block + 2 * lens.mac_key + (sending ? 0 : lens.key);
    const uint8_t *iv = tls->key_block + 2 * (lens.mac_key + lens.key) + (sending ? 0 : lens.iv);
    tr_code_t code = TR_OK;
    if (sending) {
        code = flush_flight(tls);
        if (code == TR_OK) {
            code = seal(tls, TR_RECORD_CHANGE_CIPHER_SPEC, TR_VERSION_12, tr_slice(&one, 1));
        }
    }
    if (code == TR_OK) {
        code = tr_tls__lower(tls,
                             tr_record_set_12(sending ? &tls->out : &tls->in, tls->suite, tls->encrypt_then_mac, mac_key,
                                              key, iv, sending),
                             "tls.record.keys");
    }
    return code;
}

const tr_tls_sink_t tr_tls__stream_sink = {stream_emit,   stream_install,    stream_uninstall,
                                           stream_resend, stream_compat_ccs, stream_change_cipher_spec};

/* --- the end --- */

static void
send_alert(tr_tls_t *tls, uint8_t level, uint8_t alert)
{
    const uint8_t bytes[2] = {level, alert};
    tr_err_t kept = tls->err;
    if (level == TR_ALERT_FATAL) {
        tr_buf_clear(&tls->flight); /* messages that a failure overtook would only confuse */
    }
    uint16_t version = tls->version == 0 && tls->state <= TR_EXPECT_SERVER_HELLO ? tls->config.profile->record_version
                                                                                   : TR_VERSION_12;
    /* When memory is short the peer learns nothing, the caller does. */
    if (flush_flight(tls) == TR_OK && seal(tls, TR_RECORD_ALERT, version, tr_slice(bytes, sizeof(bytes))) == TR_OK) {
        tls->alert_sent = alert;
    }
    tls->err = kept;
}

/* The alert that goes with a failure which a lower layer reported. */
static uint8_t
alert_of(const tr_tls_t *tls, tr_code_t code)
{
    if (tls->alert != TR_ALERT_CLOSE_NOTIFY) {
        return tls->alert;
    }
    switch (code) {
    case TR_ERR_TLS_PROTOCOL:
        return tls->err.detail > 0 && tls->err.detail < 256 ? (uint8_t)tls->err.detail : TR_ALERT_INTERNAL_ERROR;
    case TR_ERR_TLS_ALERT:
    case TR_ERR_TLS_NOT_TLS:
    case TR_ERR_TLS_CLOSED:
    case TR_ERR_CLOSED_EARLY:
    case TR_ERR_TLS_VERSION: /* without an alert of ours: the peer sent one */
        return TR_ALERT_CLOSE_NOTIFY;
    case TR_ERR_TLS_BAD_RECORD:
        return TR_ALERT_BAD_RECORD_MAC;
    case TR_ERR_TLS_UNSUPPORTED:
        return TR_ALERT_HANDSHAKE_FAILURE;
    default:
        return TR_ALERT_INTERNAL_ERROR;
    }
}

/* Makes a failure stick, and says it to the peer once. */
static tr_code_t
finish(tr_tls_t *tls, tr_code_t code, tr_err_t *err)
{
    if (tr_failed(code)) {
        if (tls->failed == TR_OK) {
            tls->failed = code;
            uint8_t alert = alert_of(tls, code);
            if (alert != TR_ALERT_CLOSE_NOTIFY && tls->wire != NULL && !tls->sent_close) {
                send_alert(tls, TR_ALERT_FATAL, alert);
            }
            if (tls->session != NULL && !tls->secured && tls->config.tickets != NULL) {
                tr_tickets_forget(tls->config.tickets, tr_slice_cstr(tls->ticket_key));
            }
            TR_TRACE(TR_TOPIC_TLS, "%s: %s at %s, alert %u", tls->host, tr_err_name(code), tls->err.where, alert);
        }
        code = tls->failed;
        if (err != NULL) {
            *err = tls->err;
        }
    }
    tls->wire = NULL;
    return code;
}

/* --- receiving --- */

static tr_code_t
on_alert(tr_tls_t *tls, tr_slice_t body)
{
    static const char where[] = "tls.alert";
    if (body.len != 2) {
        return tr_tls__decode_error(tls, where);
    }
    uint8_t level = body.data[0];
    uint8_t alert = body.data[1];
    TR_TRACE(TR_TOPIC_TLS, "%s: alert %s (%u), level %u", tls->host, tr_alert_name(alert), alert, level);
    if (alert == TR_ALERT_CLOSE_NOTIFY) {
        tls->closed = true;
        if (!tr_tls_handshake_done(tls)) {
            return tr_err_set(&tls->err, TR_ERR_TLS_CLOSED, 0, where, NULL);
        }
        return TR_EOF;
    }
    if (level != TR_ALERT_WARNING && level != TR_ALERT_FATAL) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server sent an alert of an unknown level.");
    }
    /* RFC 8446 6: the level means nothing from 1.3 on, and only user_canceled is no error. */
    bool is_warning = tls->version == TR_VERSION_13 ? alert == TR_ALERT_USER_CANCELED : level == TR_ALERT_WARNING;
    if (is_warning) {
        if (++tls->num_warnings > TR_TLS_MAX_WARNING_ALERTS) {
            return tr_tls__fail(tls, TR_ALERT_DECODE_ERROR, where, "The server sends warning alerts without end.");
        }
        return TR_OK;
    }
    tls->alert_received = alert;
    if (alert == TR_ALERT_PROTOCOL_VERSION && tls->version == 0) {
        return tr_err_set(&tls->err, TR_ERR_TLS_VERSION, alert, where, NULL);
    }
    return tr_err_set(&tls->err, TR_ERR_TLS_ALERT, alert, where, "The server ended the connection with the alert %s (%u).",
                      tr_alert_name(alert), alert);
}

static tr_code_t
on_change_cipher_spec(tr_tls_t *tls, tr_slice_t body)
{
    static const char where[] = "tls.change_cipher_spec";
    bool good = body.len == 1 && body.data[0] == 1 && !tr_tls__mid_message(tls);
    if (good && tls->version == TR_VERSION_12 && tls->state == TR_EXPECT_12_CHANGE_CIPHER_SPEC) {
        return tr_tls12__change_cipher_spec(tls);
    }
    /* RFC 8446 5: dropped until the peer's Finished. Before its first hello nobody sends one. */
    if (good && tls->version == TR_VERSION_13 && !tls->secured) {
        if (++tls->num_ccs > TR_TLS_MAX_EMPTY_RECORDS) {
            return tr_tls__fail(tls, TR_ALERT_UNEXPECTED_MESSAGE, where,
                                "The server sends ChangeCipherSpec without end.");
        }
        return TR_OK;
    }
    return tr_tls__fail(tls, TR_ALERT_UNEXPECTED_MESSAGE, where, "The server sent a ChangeCipherSpec out of place.");
}

/* An empty fragment is allowed where it can hide traffic (RFC 8446 5.1), but not without end. */
static tr_code_t
on_empty(tr_tls_t *tls)
{
    if (++tls->num_empty > TR_TLS_MAX_EMPTY_RECORDS) {
        return tr_tls__fail(tls, TR_ALERT_UNEXPECTED_MESSAGE, "tls.record.empty",
                            "The server sends empty records without end.");
    }
    return TR_OK;
}

/* The content of a record that is not application data. */
static tr_code_t
on_content(tr_tls_t *tls, uint8_t type, tr_slice_t content)
{
    switch (type) {
    case TR_RECORD_HANDSHAKE:
        if (content.len == 0) {
            return tls->version == TR_VERSION_13
                       ? tr_tls__fail(tls, TR_ALERT_UNEXPECTED_MESSAGE, "tls.record.empty",
                                      "The server sent an empty handshake record.")
                       : on_empty(tls);
        }
        tls->num_empty = 0;
        return tr_tls__messages(tls, content);
    case TR_RECORD_ALERT:
        return on_alert(tls, content);
    default:
        break;
    }
    return tr_tls__fail(tls, TR_ALERT_UNEXPECTED_MESSAGE, "tls.record.type",
                        "The server sent a record of type %u out of place.", type);
}

/* A chunk with room for `need` bytes: the queue's last, else the spare one. NULL: out of memory. */
static tr_chunk_t *
chunk_for(tr_tls_t *tls, const tr_bufq_t *plain, size_t need, size_t coming)
{
    if (plain->tail != NULL && tr_chunk_room(plain->tail) >= need) {
        return plain->tail;
    }
    if (tls->spare != NULL && tr_chunk_room(tls->spare) < need) {
        tr_chunk_free(tls->spare);
        tls->spare = NULL;
    }
    if (tls->spare == NULL) {
        tls->spare = tr_chunk_new(TR_MAX(need, TR_MIN(coming, (size_t)CHUNK_MAX)));
    }
    return tls->spare;
}

static tr_code_t
on_data(tr_tls_t *tls, tr_bufq_t *plain, tr_chunk_t *chunk, size_t len)
{
    if (!tr_tls_handshake_done(tls) || tr_tls__mid_message(tls)) {
        return tr_tls__fail(tls, TR_ALERT_UNEXPECTED_MESSAGE, "tls.record.type",
                            "The server sent application data out of place.");
    }
    if (len == 0) {
        return on_empty(tls);
    }
    tls->num_empty = 0;
    tls->num_post = 0;
    tls->num_warnings = 0;
    chunk->len += len;
    if (chunk == plain->tail) {
        plain->len += len;
    } else {
        /* Pausing is what bounds the queue (see feed_records): a record that was opened must be kept. */
        size_t max = plain->max;
        plain->max = 0;
        tr_code_t code = tr_bufq_push(plain, chunk);
        plain->max = max;
        if (code != TR_OK) {
            return tr_tls__lower(tls, code, "tls.record.data");
        }
        tls->spare = NULL;
    }
    return TR_OK;
}

/* One whole record; `coming` bytes of input are there, this record's included. */
static tr_code_t
on_record(tr_tls_t *tls, tr_bufq_t *plain, const uint8_t *header, tr_slice_t body, size_t coming)
{
    static const char where[] = "tls.record";
    uint8_t type = header[0];
    uint8_t alert;
    size_t len;
    if (type == TR_RECORD_CHANGE_CIPHER_SPEC &&
        (tls->in.kind == TR_RECORD_PLAIN || tls->in.kind == TR_RECORD_AEAD13)) {
        return on_change_cipher_spec(tls, body);
    }
    if (tls->in.kind == TR_RECORD_PLAIN) {
        return on_content(tls, type, body);
    }
    if (tls->in.kind == TR_RECORD_AEAD13 && type != TR_RECORD_DATA) { /* RFC 8446 5.2 */
        return tr_tls__fail(tls, TR_ALERT_UNEXPECTED_MESSAGE, where, "The server sent an unprotected record.");
    }
    tr_chunk_t *chunk = chunk_for(tls, plain, body.len, coming);
    if (chunk == NULL) {
        return tr_tls__lower(tls, TR_ERR_NOMEM, where);
    }
    uint8_t *out = tr_chunk_tail(chunk);
    tr_code_t code = tr_record_open(&tls->in, out, &len, &type, header, body, &alert);
    if (code != TR_OK) {
        return tr_tls__fail_as(tls, code, alert, where, "A record of the server could not be opened: %s.",
                               tr_alert_name(alert));
    }
    if (TR_LIKELY(type == TR_RECORD_DATA)) {
        return on_data(tls, plain, chunk, len);
    }
    if (type == TR_RECORD_CHANGE_CIPHER_SPEC) {
        return tr_tls__fail(tls, TR_ALERT_UNEXPECTED_MESSAGE, where, "The server sent a protected ChangeCipherSpec.");
    }
    return on_content(tls, type, tr_slice(out, len));
}

/* Looks at the five bytes of a header; *out_len is the body's length. */
static tr_code_t
check_header(tr_tls_t *tls, const uint8_t *header, size_t *out_len)
{
    static const char where[] = "tls.record.header";
    bool type_ok = header[0] >= TR_RECORD_CHANGE_CIPHER_SPEC && header[0] <= TR_RECORD_DATA;
    uint16_t version = (uint16_t)(header[1] << 8 | header[2]);
    *out_len = (size_t)header[3] << 8 | header[4];
    if (!tls->got_record && (!type_ok || header[1] != 3)) {
        return tr_err_set(&tls->err, TR_ERR_TLS_NOT_TLS, 0, where, NULL);
    }
    tls->got_record = true;
    if (!type_ok) {
        return tr_tls__fail(tls, TR_ALERT_UNEXPECTED_MESSAGE, where, "The server sent a record of unknown type %u.",
                            header[0]);
    }
    /* RFC 5246 E.1: before the version is agreed any 3.x will do, then it is 3.3, in both versions. */
    if (tls->version == 0 ? header[1] != 3 : version != TR_VERSION_12) {
        return tr_tls__fail(tls, TR_ALERT_PROTOCOL_VERSION, where, "The server sent a record of version 0x%04x.", version);
    }
    if (*out_len > tr_record_max_body(&tls->in)) {
        return tr_tls__fail(tls, TR_ALERT_RECORD_OVERFLOW, where, "The server sent a record of %zu bytes.", *out_len);
    }
    return TR_OK;
}

/* Room in plain for one more record; an empty queue takes any. */
static bool
must_pause(const tr_tls_t *tls, const tr_bufq_t *plain, const uint8_t *header, size_t body_len)
{
    return plain->max != 0 && plain->len > 0 && header[0] == TR_RECORD_DATA && tr_tls_handshake_done(tls) &&
           (body_len > plain->max || plain->len > plain->max - body_len);
}

/* Completes the record in in_partial. Sets *out_done when it was handled; else input ran out, or TR_PAUSED. */
static tr_code_t
feed_partial(tr_tls_t *tls, tr_bufq_t *plain, tr_slice_t in, size_t *used, bool *out_done)
{
    tr_buf_t *buf = &tls->in_partial;
    size_t want = TR_RECORD_HEADER_LEN;
    size_t body_len = 0;
    tr_code_t code;
    *out_done = false;
    for (int step = 0; step < 2; step++) {
        if (buf->len < want) {
            size_t part = TR_MIN(want - buf->len, in.len - *used);
            code = tr_buf_append(buf, in.data + *used, part);
            if (code != TR_OK) {
                return tr_tls__lower(tls, code, "tls.record");
            }
            *used += part;
            if (buf->len < want) {
                return TR_OK;
            }
        }
        if (step == 0) {
            code = check_header(tls, buf->data, &body_len);
            if (code != TR_OK) {
                return code;
            }
            want += body_len;
        }
    }
    if (must_pause(tls, plain, buf->data, body_len)) {
        return TR_PAUSED;
    }
    code = on_record(tls, plain, buf->data, tr_slice(buf->data + TR_RECORD_HEADER_LEN, body_len),
                     body_len + (in.len - *used));
    tr_buf_clear(buf);
    *out_done = true;
    return code;
}

static tr_code_t
feed_records(tr_tls_t *tls, tr_bufq_t *plain, tr_slice_t in, size_t *used)
{
    tr_code_t code = TR_OK;
    bool done = true;
    if (tls->in_partial.len > 0) {
        code = feed_partial(tls, plain, in, used, &done);
    }
    while (code == TR_OK && done && in.len - *used >= TR_RECORD_HEADER_LEN) {
        const uint8_t *header = in.data + *used;
        size_t left = in.len - *used;
        size_t body_len;
        code = check_header(tls, header, &body_len);
        if (code != TR_OK || left - TR_RECORD_HEADER_LEN < body_len) {
            break;
        }
        if (must_pause(tls, plain, header, body_len)) {
            return TR_PAUSED;
        }
        *used += TR_RECORD_HEADER_LEN + body_len;
        code = on_record(tls, plain, header, tr_slice(header + TR_RECORD_HEADER_LEN, body_len),
                         left - TR_RECORD_HEADER_LEN);
    }
    if (code == TR_OK && *used < in.len) {
        size_t left = in.len - *used;
        size_t whole = left;
        if (left >= TR_RECORD_HEADER_LEN) { /* checked above: grow once */
            whole = TR_RECORD_HEADER_LEN + ((size_t)in.data[*used + 3] << 8 | in.data[*used + 4]);
        }
        code = tr_buf_reserve(&tls->in_partial, whole);
        if (code == TR_OK) {
            code = tr_buf_append(&tls->in_partial, in.data + *used, left);
        }
        *used = in.len;
        code = tr_tls__lower(tls, code, "tls.record");
    }
    return code;
}

/* --- the interface --- */

tr_code_t
tr_tls_start(tr_tls_t *tls, tr_buf_t *wire, tr_err_t *err)
{
    tr_buf_t hello = TR_BUF_INIT;
    tr_code_t code = tls->failed;
    tls->wire = wire;
    if (code != TR_OK) {
        goto done;
    }
    if (tls->state != TR_EXPECT_NOTHING) {
        code = tr_tls__lower(tls, TR_ERR_INTERNAL, "tls.start");
        goto done;
    }
    code = tr_hello_build(&tls->hello, &hello, tls->config.now_ms, NULL, &tls->err);
    if (code == TR_OK) {
        code = tr_tls__emit(tls, TR_LEVEL_INITIAL, tr_buf_slice(&hello));
    }
    if (code == TR_OK) {
        code = flush_flight(tls);
    }
    if (code == TR_OK) {
        tr_tls__set_state(tls, TR_EXPECT_SERVER_HELLO);
        if (tls->hello.offers_early_data) {
            code = tr_tls13__begin_early(tls);
        }
    }
done:
    tr_buf_cleanup(&hello);
    return finish(tls, code, err);
}

tr_code_t
tr_tls_feed(tr_tls_t *tls, tr_bufq_t *plain, tr_buf_t *wire, tr_slice_t in, size_t *out_used, tr_err_t *err)
{
    tr_code_t code = tls->failed;
    *out_used = 0;
    tls->wire = wire;
    if (code == TR_OK && tls->closed) {
        *out_used = in.len; /* RFC 8446 6.1: what comes behind close_notify is ignored */
        code = TR_EOF;
    } else if (code == TR_OK) {
        code = feed_records(tls, plain, in, out_used);
        if (code == TR_EOF) {
            *out_used = in.len;
        }
    }
    if (!tr_failed(code)) {
        tr_code_t sent = flush_flight(tls);
        code = sent == TR_OK ? code : sent;
    }
    /* Between calls only bytes are held that could not be handled yet. */
    tr_chunk_free(tls->spare);
    tls->spare = NULL;
    if (tls->in_partial.len == 0) {
        tr_buf_cleanup(&tls->in_partial);
    }
    return finish(tls, code, err);
}

tr_code_t
tr_tls_eof(tr_tls_t *tls, tr_err_t *err)
{
    tr_code_t code = tls->failed;
    if (code == TR_OK && tls->closed) {
        return TR_EOF;
    }
    if (code == TR_OK) {
        bool garbage = !tls->got_record && tls->in_partial.len > 0 &&
                       (tls->in_partial.data[0] < TR_RECORD_CHANGE_CIPHER_SPEC ||
                        tls->in_partial.data[0] > TR_RECORD_DATA);
        code = tr_err_set(&tls->err,
                          garbage                        ? TR_ERR_TLS_NOT_TLS
                          : tr_tls_handshake_done(tls) ? TR_ERR_CLOSED_EARLY
                                                       : TR_ERR_TLS_CLOSED,
                          0, "tls.eof", NULL);
    }
    return finish(tls, code, err);
}

/* Data before the handshake is over: kept, for the server may refuse it. */
static tr_code_t
write_early(tr_tls_t *tls, tr_slice_t data)
{
    if (data.len > tr_tls_early_room(tls)) {
        return TR_AGAIN;
    }
    tr_wr_t wr = tr_wr(&tls->early_sent);
    tr_wr_u32(&wr, (uint32_t)data.len); /* early_room is 32 bits */
    tr_wr_slice(&wr, data);
    tr_code_t code = tr_tls__lower(tls, tr_wr_end(&wr), "tls.early_data");
    if (code == TR_OK) {
        tls->early_room -= data.len;
        code = seal(tls, TR_RECORD_DATA, TR_VERSION_12, data);
    }
    return code;
}

tr_code_t
tr_tls_write(tr_tls_t *tls, tr_buf_t *wire, tr_slice_t data, tr_err_t *err)
{
    tr_code_t code = tls->failed;
    tls->wire = wire;
    if (code == TR_OK && !tr_tls_handshake_done(tls)) {
        return finish(tls, write_early(tls, data), err);
    }
    if (code == TR_OK && tls->sent_close) {
        code = tr_tls__lower(tls, TR_ERR_INTERNAL, "tls.write");
    }
    if (code == TR_OK && tls->version == TR_VERSION_13 && (tls->key_update_due || tls->out.seq >= KEY_UPDATE_AFTER)) {
        /* RFC 8446 4.6.3: the answer to a request goes before our next data, one for however many requests. */
        tls->key_update_due = false;
        code = tr_tls13__send_key_update(tls, false);
    }
    if (code == TR_OK) {
        code = seal(tls, TR_RECORD_DATA, TR_VERSION_12, data);
    }
    return finish(tls, code, err);
}

tr_code_t
tr_tls__renew_keys(tr_tls_t *tls, tr_buf_t *wire, bool ask, tr_err_t *err)
{
    tr_code_t code = tls->failed;
    tls->wire = wire;
    if (code == TR_OK && (!tr_tls_handshake_done(tls) || tls->version != TR_VERSION_13 || tls->sent_close)) {
        code = tr_tls__lower(tls, TR_ERR_INTERNAL, "tls.renew_keys");
    }
    if (code == TR_OK) {
        code = tr_tls13__send_key_update(tls, ask);
    }
    return finish(tls, code, err);
}

tr_code_t
tr_tls_close(tr_tls_t *tls, tr_buf_t *wire, tr_err_t *err)
{
    tr_code_t code = tls->failed;
    tls->wire = wire;
    if (code == TR_OK && !tls->sent_close && tls->state != TR_EXPECT_NOTHING) {
        send_alert(tls, TR_ALERT_WARNING, TR_ALERT_CLOSE_NOTIFY);
        tls->sent_close = true;
    }
    return finish(tls, code, err);
}
