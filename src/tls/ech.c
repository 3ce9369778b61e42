/* The GREASE encrypted_client_hello extension (RFC 9849 6.2): looks like a real one, means nothing. */
#include "core/mem.h"
#include "core/wr.h"
#include "tls/hello_int.h"

#define AEAD_TAG_LEN 16
/* The first byte of the extension says which hello this is (RFC 9849 5). */
#define ECH_OUTER 0
/* Longest body that is built: far above what any browser's rule gives, below what a 16-bit length holds. */
#define ECH_MAX_PAYLOAD 32768

/* NSS measures the inner hello that it would have sent with its "maximum name length" set to 100, and rounds so
 * that the payload without tag is 31 modulo 32 (not 0; seen in firefox_153_linux.json: 239 = 223 + 16). */
#define NSS_NAME_LEN 100
#define NSS_ROUND 32

/* The extensions that NSS leaves out of the inner hello: they belong to TLS 1.2 and older. */
static bool
is_tls12_only(uint16_t type)
{
    switch (type) {
    case TR_EXT_EC_POINT_FORMATS:
    case TR_EXT_ENCRYPT_THEN_MAC:
    case TR_EXT_EXTENDED_MASTER_SECRET:
    case TR_EXT_SESSION_TICKET:
    case TR_EXT_NEXT_PROTOCOL:
    case TR_EXT_RENEGOTIATION_INFO:
        return true;
    default:
        return false;
    }
}

/* Length of the payload that NSS would encrypt: a hello without session id, where server_name, supported_versions
 * (TLS 1.3 only), encrypted_client_hello and pre_shared_key are written out and all others are named in one
 * ech_outer_extensions. Explains every length in firefox_153_linux.json. */
static size_t
nss_payload_len(const tr_hello_t *hello)
{
    size_t len = 2 + 32 + 1 + 2 + 2 * (size_t)hello->profile->num_suites + 2 + 2;
    size_t num_outer = 0;
    size_t name_len = tr_hello__server_name(hello).len;
    len += 4 + 1; /* encrypted_client_hello: inner */
    for (size_t i = 0; i < hello->num_exts; i++) {
        const tr_profile_ext_t *ext = &hello->profile->exts[i];
        if (!tr_hello__sends(hello, ext) || is_tls12_only(ext->type) || ext->type == TR_EXT_ECH) {
            continue;
        }
        if (ext->type == TR_EXT_SERVER_NAME) {
            len += 4 + 2 + 1 + 2 + name_len;
        } else if (ext->type == TR_EXT_SUPPORTED_VERSIONS) {
            len += 4 + 1 + 2;
        } else {
            num_outer++;
        }
    }
    if (num_outer > 0) {
        len += 4 + 1 + 2 * num_outer;
    }
    len += tr_hello__psk_ext_len(hello);
    if (name_len < NSS_NAME_LEN) {
        len += NSS_NAME_LEN - name_len;
    }
    return len + (NSS_ROUND - 1 - len % NSS_ROUND) + AEAD_TAG_LEN;
}

/* BoringSSL makes a real X25519 public key for `enc`, NSS takes random bytes (the top bit tells them apart). */
static tr_code_t
draw_enc(tr_hello_t *hello, uint8_t *out, tr_err_t *err)
{
    const tr_profile_ech_t *ech = &hello->profile->ech;
    tr_kex_t *kex = NULL;
    tr_code_t code;
    if (ech->payload == TR_ECH_PAYLOAD_NSS || ech->enc_len != tr_kex_share_len(TR_GROUP_X25519)) {
        code = hello->rnd.fill(hello->rnd.arg, out, ech->enc_len);
        return code == TR_OK ? TR_OK : tr_err_set(err, code, 0, "tls.hello.ech", NULL);
    }
    code = tr_kex_new(&kex, TR_GROUP_X25519, &hello->rnd, err);
    if (code == TR_OK) {
        memcpy(out, tr_kex_share(kex).data, ech->enc_len);
    }
    tr_kex_free(kex);
    return code;
}

static tr_code_t
draw_index(tr_hello_t *hello, size_t *out, size_t bound, tr_err_t *err)
{
    uint32_t drawn = 0;
    tr_code_t code = bound > 1 ? tr_rand_below(&hello->rnd, &drawn, (uint32_t)bound) : TR_OK;
    *out = drawn;
    return code == TR_OK ? TR_OK : tr_err_set(err, code, 0, "tls.hello.ech", NULL);
}

tr_code_t
tr_hello__grease_ech(tr_hello_t *hello, tr_err_t *err)
{
    const tr_profile_ech_t *ech = &hello->profile->ech;
    uint8_t *body = NULL;
    size_t which_aead, which_len, payload_len;
    tr_code_t code;
    if (ech->num_aeads == 0 || ech->enc_len == 0 ||
        (ech->payload == TR_ECH_PAYLOAD_DRAWN && ech->num_payload_lens == 0)) {
        code = tr_err_set(err, TR_ERR_PROFILE_INVALID, 0, "tls.hello.ech",
                          "The profile's encrypted_client_hello has no AEAD, enc length or payload length.");
        goto done;
    }
    if ((code = draw_index(hello, &which_aead, ech->num_aeads, err)) != TR_OK) {
        goto done;
    }
    if (ech->payload == TR_ECH_PAYLOAD_NSS) {
        payload_len = nss_payload_len(hello);
    } else {
        if ((code = draw_index(hello, &which_len, ech->num_payload_lens, err)) != TR_OK) {
            goto done;
        }
        payload_len = ech->payload_lens[which_len];
    }
    if (payload_len > ECH_MAX_PAYLOAD) {
        code = tr_err_set(err, TR_ERR_PROFILE_INVALID, 0, "tls.hello.ech", "The hello is too long for an ECH payload.");
        goto done;
    }
    size_t enc_at = 1 + 2 + 2 + 1 + 2;
    size_t payload_at = enc_at + ech->enc_len + 2;
    size_t body_len = payload_at + payload_len;
    body = tr_malloc(body_len);
    if (body == NULL) {
        code = tr_err_nomem(err, "tls.hello.ech");
        goto done;
    }
    body[0] = ECH_OUTER;
    body[1] = (uint8_t)(ech->kdf >> 8);
    body[2] = (uint8_t)ech->kdf;
    body[3] = (uint8_t)(ech->aeads[which_aead] >> 8);
    body[4] = (uint8_t)ech->aeads[which_aead];
    body[6] = (uint8_t)(ech->enc_len >> 8);
    body[7] = (uint8_t)ech->enc_len;
    body[payload_at - 2] = (uint8_t)(payload_len >> 8);
    body[payload_at - 1] = (uint8_t)payload_len;
    if ((code = hello->rnd.fill(hello->rnd.arg, &body[5], 1)) != TR_OK || /* config_id */
        (code = hello->rnd.fill(hello->rnd.arg, body + payload_at, payload_len)) != TR_OK) {
        code = tr_err_set(err, code, 0, "tls.hello.ech", NULL);
        goto done;
    }
    if ((code = draw_enc(hello, body + enc_at, err)) != TR_OK) {
        goto done;
    }
    tr_free(hello->ech);
    hello->ech = body;
    hello->ech_len = body_len;
    body = NULL;
done:
    tr_free(body);
    return code;
}
