/* Writes the ClientHello (RFC 8446 4.1.2) from what tr_hello_init drew. */
#include "core/mem.h"
#include "core/wr.h"
#include "tls/hello_int.h"

/* Room for a hello with a hybrid key share and a ticket, so that a buffer grows once. */
#define ROOM 2560

/* RFC 8446 4.2.8 with RFC 8701 3.1: a GREASE key share has one byte. */
static const uint8_t grease_share[1] = {0};

static void
write_values(tr_wr_t *wr, const tr_profile_ext_t *ext, size_t prefix_bytes, uint16_t grease)
{
    size_t mark = tr_wr_open(wr, prefix_bytes);
    for (size_t i = 0; i < ext->num_values; i++) {
        tr_wr_u16(wr, ext->values[i] == TR_GREASE ? grease : ext->values[i]);
    }
    tr_wr_close(wr, mark, prefix_bytes);
}

/* RFC 6066 3. */
static void
write_server_name(tr_wr_t *wr, const tr_hello_t *hello)
{
    size_t list = tr_wr_open(wr, 2);
    tr_wr_u8(wr, 0); /* host_name */
    tr_wr_vec(wr, tr_hello__server_name(hello), 2);
    tr_wr_close(wr, list, 2);
}

static void
write_share(tr_wr_t *wr, uint16_t group, tr_slice_t share)
{
    tr_wr_u16(wr, group);
    tr_wr_vec(wr, share, 2);
}

/* RFC 8446 4.2.8: after a HelloRetryRequest with a group the list has that group's share alone. */
static void
write_key_share(tr_wr_t *wr, const tr_hello_t *hello, const tr_profile_ext_t *ext)
{
    bool keeps_grease = hello->retry_group == 0 || (hello->profile->flags & TR_PROFILE_RETRY_KEEPS_GREASE) != 0;
    const uint8_t *raw = hello->raw_shares;
    size_t list = tr_wr_open(wr, 2);
    for (size_t i = 0; i < ext->num_values; i++) {
        uint16_t group = ext->values[i];
        size_t raw_len = tr_hello__raw_share_len(ext, i);
        if (raw_len > 0) {
            if (hello->retry_group == 0) {
                write_share(wr, group, tr_slice(raw, raw_len));
                raw += raw_len;
            }
        } else if (group == TR_GREASE) {
            if (keeps_grease) {
                write_share(wr, hello->grease_group, tr_slice(grease_share, sizeof(grease_share)));
            }
        } else if (hello->retry_group == 0) {
            write_share(wr, group, tr_kex_share(tr_hello_share(hello, group)));
        }
    }
    if (hello->retry_group != 0) {
        write_share(wr, hello->retry_group, tr_kex_share(hello->shares[0]));
    }
    tr_wr_close(wr, list, 2);
}

/* The body that draw_bodies drew for one of the profile's extensions. */
static tr_slice_t
drawn_body(const tr_hello_t *hello, const tr_profile_ext_t *ext)
{
    size_t at = 0;
    for (const tr_profile_ext_t *other = hello->profile->exts; other != ext; other++) {
        at += tr_hello__drawn_len(other);
    }
    return tr_slice(hello->drawn + at, tr_hello__drawn_len(ext));
}

static void
write_ext_body(tr_wr_t *wr, const tr_hello_t *hello, const tr_profile_ext_t *ext)
{
    switch (ext->type) {
    case TR_EXT_SERVER_NAME:
        write_server_name(wr, hello);
        break;
    case TR_EXT_SUPPORTED_GROUPS:
        write_values(wr, ext, 2, hello->grease_group);
        break;
    case TR_EXT_SIGNATURE_ALGORITHMS:
    case TR_EXT_SIGNATURE_ALGORITHMS_CERT:
    case TR_EXT_DELEGATED_CREDENTIALS:
        write_values(wr, ext, 2, hello->grease_sigalg);
        break;
    case TR_EXT_SUPPORTED_VERSIONS:
        write_values(wr, ext, 1, hello->grease_version);
        break;
    case TR_EXT_COMPRESS_CERTIFICATE:
        write_values(wr, ext, 1, hello->grease_sigalg);
        break;
    case TR_EXT_ALPN:
        if ((hello->tls_flags & TR_TLS_HTTP1_ONLY) != 0) {
            tr_wr_slice(wr, TR_SLICE_LIT("\x00\x09\x08http/1.1"));
        } else {
            tr_wr_slice(wr, ext->data);
        }
        break;
    case TR_EXT_SESSION_TICKET:
        if (hello->session != NULL && !tr_hello__psk(hello)) {
            tr_wr_bytes(wr, hello->session->ticket, hello->session->ticket_len); /* RFC 5077 3.2 */
        }
        break;
    case TR_EXT_COOKIE:
        tr_wr_vec(wr, hello->cookie, 2);
        break;
    case TR_EXT_KEY_SHARE:
        write_key_share(wr, hello, ext);
        break;
    case TR_EXT_ECH:
        tr_wr_bytes(wr, hello->ech, hello->ech_len);
        break;
    case TR_EXT_EARLY_DATA:
        break; /* empty in a ClientHello (RFC 8446 4.2.10) */
    default:
        tr_wr_slice(wr, tr_hello__drawn_len(ext) > 0 ? drawn_body(hello, ext) : ext->data);
        break;
    }
}

static void
write_exts(tr_wr_t *wr, const tr_hello_t *hello)
{
    const tr_profile_ext_t *exts = hello->profile->exts;
    unsigned num_grease = 0;
    for (size_t i = 0; i < hello->num_exts; i++) {
        const tr_profile_ext_t *ext = &exts[hello->order[i]];
        uint16_t type = ext->type;
        if (!tr_hello__sends(hello, ext)) {
            continue;
        }
        if (type == TR_GREASE) {
            type = num_grease++ == 0 ? hello->grease_ext1 : hello->grease_ext2;
        }
        tr_wr_u16(wr, type);
        size_t mark = tr_wr_open(wr, 2);
        write_ext_body(wr, hello, ext);
        tr_wr_close(wr, mark, 2);
    }
}

/* BoringSSL's rule against a bug of F5's: a hello of 256 to 511 bytes is brought to 512, counting a pre_shared_key
 * that is still to come (RFC 7685 4). Where less than an extension with one byte is missing it gets longer than 512. */
static void
write_padding(tr_wr_t *wr, size_t hello_len)
{
    if (hello_len <= 0xff || hello_len >= 0x200) {
        return;
    }
    size_t room = 0x200 - hello_len;
    size_t len = room >= 4 + 1 ? room - 4 : 1;
    tr_wr_u16(wr, TR_EXT_PADDING);
    tr_wr_u16(wr, (uint16_t)len);
    tr_wr_fill(wr, 0, len);
}

/* RFC 8446 4.2.11, with a binder of zeros. */
static void
write_psk(tr_wr_t *wr, const tr_hello_t *hello, uint64_t now_ms)
{
    const tr_session_ticket_t *session = hello->session;
    uint64_t age_ms = now_ms > session->received_ms ? now_ms - session->received_ms : 0;
    size_t hash_len = tr_hash_len(tr_hello__psk_hash(hello));
    tr_wr_u16(wr, TR_EXT_PRE_SHARED_KEY);
    size_t body = tr_wr_open(wr, 2);
    size_t identities = tr_wr_open(wr, 2);
    tr_wr_vec(wr, tr_slice(session->ticket, session->ticket_len), 2);
    tr_wr_u32(wr, (uint32_t)age_ms + session->age_add); /* modulo 2^32, RFC 8446 4.2.11.1 */
    tr_wr_close(wr, identities, 2);
    size_t binders = tr_wr_open(wr, 2);
    tr_wr_u8(wr, (uint8_t)hash_len);
    tr_wr_fill(wr, 0, hash_len);
    tr_wr_close(wr, binders, 2);
    tr_wr_close(wr, body, 2);
}

/* RFC 8446 4.2.11.2: the binder is an HMAC over the transcript up to and with this hello, without its list of binders;
 * hello_bytes is that truncated hello. */
static tr_code_t
compute_binder(const tr_hello_t *hello, uint8_t *out, tr_slice_t hello_bytes, const tr_hash_ctx_t *transcript)
{
    tr_hash_id_t id = tr_hello__psk_hash(hello);
    size_t len = tr_hash_len(id);
    uint8_t early[TR_HASH_MAX], binder_key[TR_HASH_MAX], finished[TR_HASH_MAX], empty[TR_HASH_MAX], hash[TR_HASH_MAX];
    tr_slice_t parts[1] = {tr_slice(hash, len)};
    tr_hash_ctx_t *ctx = transcript != NULL ? tr_hash_dup(transcript) : tr_hash_new(id);
    tr_code_t code;
    if (ctx == NULL) {
        code = TR_ERR_NOMEM;
        goto done;
    }
    if ((code = tr_hash_update(ctx, hello_bytes.data, hello_bytes.len)) != TR_OK ||
        (code = tr_hash_peek(ctx, hash)) != TR_OK ||
        (code = tr_hash_once(id, empty, TR_SLICE_NULL)) != TR_OK ||
        (code = tr_hkdf_extract(id, early, TR_SLICE_NULL,
                                tr_slice(hello->session->secret, hello->session->secret_len))) != TR_OK ||
        (code = tr_hkdf_expand_label(id, binder_key, len, tr_slice(early, len), "res binder",
                                     tr_slice(empty, len))) != TR_OK ||
        (code = tr_hkdf_expand_label(id, finished, len, tr_slice(binder_key, len), "finished", TR_SLICE_NULL)) !=
            TR_OK) {
        goto done;
    }
    code = tr_hmac(id, out, tr_slice(finished, len), parts, 1);
done:
    tr_hash_free(ctx);
    tr_wipe(early, sizeof(early));
    tr_wipe(binder_key, sizeof(binder_key));
    tr_wipe(finished, sizeof(finished));
    return code;
}

tr_code_t
tr_hello_build(tr_hello_t *hello, tr_buf_t *out, uint64_t now_ms, const tr_hash_ctx_t *transcript, tr_err_t *err)
{
    const tr_profile_t *profile = hello->profile;
    size_t start = out->len;
    tr_code_t code = tr_buf_reserve(out, ROOM);
    if (code != TR_OK) {
        goto done;
    }
    tr_wr_t wr = tr_wr(out);
    tr_wr_u8(&wr, 1); /* client_hello */
    size_t message = tr_wr_open(&wr, 3);
    tr_wr_u16(&wr, profile->legacy_version);
    tr_wr_bytes(&wr, hello->random, sizeof(hello->random));
    tr_wr_vec(&wr, tr_slice(hello->session_id, hello->session_id_len), 1);
    size_t suites = tr_wr_open(&wr, 2);
    for (size_t i = 0; i < profile->num_suites; i++) {
        tr_wr_u16(&wr, profile->suites[i] == TR_GREASE ? hello->grease_suite : profile->suites[i]);
    }
    tr_wr_close(&wr, suites, 2);
    tr_wr_u8(&wr, 1);
    tr_wr_u8(&wr, 0); /* compression: null alone (RFC 8446 4.1.2) */
    size_t exts = tr_wr_open(&wr, 2);
    write_exts(&wr, hello);
    if ((profile->flags & TR_PROFILE_PADDING_BORINGSSL) != 0) {
        write_padding(&wr, out->len - start + tr_hello__psk_ext_len(hello));
    }
    if (tr_hello__psk(hello)) {
        write_psk(&wr, hello, now_ms);
    }
    tr_wr_close(&wr, exts, 2);
    tr_wr_close(&wr, message, 3);
    code = tr_wr_end(&wr);
    if (code == TR_OK && tr_hello__psk(hello)) {
        size_t binder_len = tr_hash_len(tr_hello__psk_hash(hello));
        uint8_t *bytes = out->data + start;
        size_t len = out->len - start;
        code = compute_binder(hello, bytes + len - binder_len, tr_slice(bytes, len - binder_len - 3), transcript);
    }
done:
    if (code != TR_OK) {
        tr_buf_truncate(out, start);
        code = tr_err_set(err, code, 0, "tls.hello.build", NULL);
    }
    return code;
}
