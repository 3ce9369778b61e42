/* Fuzz target: what a server sends to a client. The first byte says how: bit 0, records for the whole engine, or handshake messages for
 * the handshake alone (no keys, so that a mutation gets past the first flight); bit 1, which browser; bits 2 and 3, a session of TLS
 * 1.3 or 1.2 to resume. In a build for fuzzing signatures and Finished are taken as good. Whatever came, the engine ends in one of its
 * states, a failure sticks, and nothing is application data before the handshake is done. */
#include "core/fuzz_replay.h"
#include "core/mem.h"
#include "tls/client.h"

#define NOW_MS UINT64_C(1700000000000)

/* A message of this type stands for a ChangeCipherSpec. */
#define MSG_CHANGE_CIPHER_SPEC 0xcc

static tr_code_t
fill_fixed(void *arg, uint8_t *out, size_t len)
{
    TR_UNUSED(arg);
    memset(out, 0x42, len);
    return TR_OK;
}

static tr_code_t
drop_message(tr_tls_t *tls, tr_tls_level_t level, tr_slice_t message)
{
    TR_UNUSED(tls);
    TR_UNUSED(level);
    TR_FUZZ_CHECK(message.len >= TR_MSG_HEADER_LEN);
    return TR_OK;
}

static tr_code_t
drop_secret(tr_tls_t *tls, tr_tls_level_t level, bool sending, const tr_suite_t *suite, tr_slice_t secret)
{
    TR_UNUSED(level);
    TR_UNUSED(sending);
    TR_UNUSED(suite);
    TR_FUZZ_CHECK(secret.len == tr_hash_len(tls->suite->hash));
    return TR_OK;
}

static void
drop_compat(tr_tls_t *tls)
{
    TR_UNUSED(tls);
}

static tr_code_t
drop_change(tr_tls_t *tls, bool sending)
{
    TR_UNUSED(sending);
    TR_FUZZ_CHECK(tls->suite != NULL);
    return TR_OK;
}

static tr_code_t
drop_data(tr_tls_t *tls, tr_slice_t data)
{
    TR_UNUSED(tls);
    TR_UNUSED(data);
    return TR_OK;
}

static const tr_tls_sink_t drop_sink = {drop_message, drop_secret, drop_compat, drop_data, drop_compat, drop_change};

static void
put_session(tr_tickets_t *tickets, uint16_t version)
{
    tr_session_ticket_t *session = tr_calloc(1, sizeof(*session));
    TR_FUZZ_CHECK(session != NULL);
    session->version = version;
    session->suite = version == TR_VERSION_13 ? 0x1301 : 0xc02b;
    session->ems = true;
    session->lifetime_s = 1000;
    session->received_ms = NOW_MS;
    session->secret_len = version == TR_VERSION_13 ? 32 : 48;
    session->ticket = tr_memdup("ticket", 6);
    session->ticket_len = 6;
    TR_FUZZ_CHECK(session->ticket != NULL);
    tr_tickets_put(tickets, TR_SLICE_LIT("localhost"), session);
}

static void
feed_messages(tr_tls_t *tls, tr_slice_t in)
{
    tr_code_t code = TR_OK;
    tr_buf_t hello = TR_BUF_INIT;
    tls->sink = &drop_sink;
    TR_FUZZ_CHECK(tr_hello_build(&tls->hello, &hello, NOW_MS, NULL, &tls->err) == TR_OK);
    TR_FUZZ_CHECK(tr_tls__emit(tls, TR_LEVEL_INITIAL, tr_buf_slice(&hello)) == TR_OK);
    tr_tls__set_state(tls, TR_EXPECT_SERVER_HELLO);
    while (code == TR_OK && in.len > 0) {
        if (in.data[0] == MSG_CHANGE_CIPHER_SPEC && !tr_tls__mid_message(tls)) {
            in = tr_slice(in.data + 1, in.len - 1);
            if (tls->state == TR_EXPECT_12_CHANGE_CIPHER_SPEC) {
                code = tr_tls12__change_cipher_spec(tls);
            }
            continue;
        }
        /* One message at a time: more than one of a flight may follow without excess. */
        size_t len = in.len < TR_MSG_HEADER_LEN
                         ? in.len
                         : TR_MIN(in.len, TR_MSG_HEADER_LEN + ((size_t)in.data[1] << 16 | (size_t)in.data[2] << 8 | in.data[3]));
        code = tr_tls__messages(tls, tr_slice(in.data, len));
        in = tr_slice(in.data + len, in.len - len);
    }
    TR_FUZZ_CHECK(code == TR_OK || (tr_failed(code) && tls->err.code == code));
    tr_buf_cleanup(&hello);
}

static void
feed_records(tr_tls_t *tls, tr_slice_t in)
{
    tr_buf_t wire = TR_BUF_INIT;
    tr_bufq_t plain;
    tr_err_t err = TR_ERR_INIT, again = TR_ERR_INIT;
    size_t used;
    tr_bufq_init(&plain, 0);
    tr_code_t code = tr_tls_start(tls, &wire, &err);
    TR_FUZZ_CHECK(code == TR_OK);
    for (size_t at = 0; code == TR_OK && at < in.len;) {
        size_t piece = TR_MIN((size_t)in.data[at] + 1, in.len - at); /* uneven pieces, from the input itself */
        code = tr_tls_feed(tls, &plain, &wire, tr_slice(in.data + at, piece), &used, &err);
        TR_FUZZ_CHECK(plain.len == 0 || tls->secured);
        TR_FUZZ_CHECK(tr_failed(code) || used == piece);
        at += piece;
    }
    if (tr_failed(code)) {
        TR_FUZZ_CHECK(err.code == code);
        TR_FUZZ_CHECK(tr_tls_feed(tls, &plain, &wire, in, &used, &again) == code && again.code == code);
        TR_FUZZ_CHECK(!tr_tls_handshake_done(tls));
    } else {
        code = tr_tls_eof(tls, &err);
        TR_FUZZ_CHECK(code == TR_EOF || tr_failed(code));
    }
    tr_buf_cleanup(&wire);
    tr_bufq_cleanup(&plain);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const profiles[] = {"chrome_133_macos", "firefox_153_linux"};
    if (size == 0) {
        return 0;
    }
    uint8_t mode = data[0];
    tr_err_t err = TR_ERR_INIT;
    tr_tls_t *tls;
    tr_tickets_t *tickets = tr_tickets_new();
    TR_FUZZ_CHECK(tickets != NULL);
    if ((mode & 4) != 0) {
        put_session(tickets, (mode & 8) != 0 ? TR_VERSION_12 : TR_VERSION_13);
    }
    tr_tls_config_t config = {
        .profile = tr_profile_find(tr_slice_cstr(profiles[mode >> 1 & 1])),
        .flags = TR_TLS_NO_VERIFY | TR_TLS_FUZZ_NO_SIGNATURES,
        .tickets = tickets,
        .rnd = {fill_fixed, NULL},
        .now_ms = NOW_MS,
    };
    TR_FUZZ_CHECK(config.profile != NULL && tr_tls_new(&tls, &config, "localhost", &err) == TR_OK);
    if ((mode & 1) != 0) {
        feed_records(tls, tr_slice(data + 1, size - 1));
    } else {
        feed_messages(tls, tr_slice(data + 1, size - 1));
    }
    tr_tls_free(tls);
    tr_tickets_free(tickets);
    return 0;
}
