#include "tls/cert.h"

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

#include "core/mem.h"
#include "core/trace.h"

/* RFC 8879 7.3 */
enum {
    COMPRESSION_ZLIB = 1,
    COMPRESSION_BROTLI = 2,
    COMPRESSION_ZSTD = 3
};

/* --- compressed certificates --- */

static bool
inflate_exactly(uint8_t *out, size_t out_len, tr_slice_t in)
{
    uLongf written = (uLongf)out_len;
    uLong consumed = (uLong)in.len;
    return uncompress2(out, &written, in.data, &consumed) == Z_OK && written == out_len && consumed == in.len;
}

static bool
unbrotli_exactly(uint8_t *out, size_t out_len, tr_slice_t in)
{
    /* The function for whole buffers would ignore bytes behind the stream. */
    BrotliDecoderState *state = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    size_t in_left = in.len;
    size_t out_left = out_len;
    const uint8_t *next_in = in.data;
    bool ok = state != NULL && BrotliDecoderDecompressStream(state, &in_left, &next_in, &out_left, &out, NULL) ==
                                   BROTLI_DECODER_RESULT_SUCCESS;
    BrotliDecoderDestroyInstance(state);
    return ok && in_left == 0 && out_left == 0;
}

static bool
unzstd_exactly(uint8_t *out, size_t out_len, tr_slice_t in)
{
    return ZSTD_decompress(out, out_len, in.data, in.len) == out_len;
}

tr_code_t
tr_cert_decompress(tr_tls_t *tls, tr_buf_t *out, tr_slice_t body)
{
    static const char where[] = "tls.compressed_certificate";
    tr_rd_t rd = tr_rd(body);
    uint16_t algorithm;
    uint32_t len;
    tr_slice_t compressed;
    bool ok = false;
    tr_rd_u16(&rd, &algorithm);
    tr_rd_u24(&rd, &len);
    tr_rd_vec(&rd, &compressed, 3);
    if (!tr_rd_end(&rd) || compressed.len == 0) {
        return tr_tls__decode_error(tls, where);
    }
    if (!tr_hello_offers_compression(&tls->hello, algorithm)) {
        return tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where,
                            "The server compressed its certificate in a way that was not offered (%u).", algorithm);
    }
    if (len == 0 || len > TR_TLS_MAX_CERTIFICATE) {
        return tr_tls__fail(tls, TR_ALERT_BAD_CERTIFICATE, where,
                            "The server's compressed certificate says it has %u bytes.", (unsigned)len);
    }
    tr_buf_clear(out);
    tr_code_t code = tr_buf_reserve(out, len);
    if (code != TR_OK) {
        return tr_tls__lower(tls, code, where);
    }
    switch (algorithm) {
    case COMPRESSION_ZLIB:
        ok = inflate_exactly(tr_buf_tail(out), len, compressed);
        break;
    case COMPRESSION_BROTLI:
        ok = unbrotli_exactly(tr_buf_tail(out), len, compressed);
        break;
    case COMPRESSION_ZSTD:
        ok = unzstd_exactly(tr_buf_tail(out), len, compressed);
        break;
    default:
        return tr_tls__fail_as(tls, TR_ERR_TLS_UNSUPPORTED, TR_ALERT_ILLEGAL_PARAMETER, where,
                               "Certificate compression %u was offered, but this engine cannot undo it.", algorithm);
    }
    if (!ok) {
        return tr_tls__fail(tls, TR_ALERT_BAD_CERTIFICATE, where, "The server's compressed certificate is corrupt.");
    }
    tr_buf_commit(out, len);
    return TR_OK;
}

/* --- the list --- */

/* RFC 6066 8, RFC 6962 3.3: form only. Browsers take stapled answers from no one who verifies without them. */
static bool
status_ok(tr_rd_t rd)
{
    uint8_t type;
    tr_slice_t response;
    tr_rd_u8(&rd, &type);
    tr_rd_vec(&rd, &response, 3);
    return tr_rd_end(&rd) && type == 1 && response.len > 0;
}

bool
tr_cert_scts_ok(tr_rd_t rd)
{
    tr_rd_t list;
    tr_slice_t sct;
    bool ok = tr_rd_sub(&rd, &list, 2) && tr_rd_end(&rd) && !tr_rd_empty(&list);
    while (ok && !tr_rd_empty(&list)) {
        ok = tr_rd_vec(&list, &sct, 2) && sct.len > 0;
    }
    return ok;
}

/* The extensions of one entry; *out_delegated lends the credential of the leaf's. */
static tr_code_t
entry_extensions(tr_tls_t *tls, tr_slice_t block, bool is_leaf, tr_slice_t *out_delegated)
{
    tr_ext_set_t set;
    tr_rd_t rd;
    uint8_t alert = tr_ext_parse(&set, TR_EXT_IN_CERTIFICATE, block, &tls->hello);
    if (alert != 0) {
        return tr_tls__fail(tls, alert, "tls.certificate.extensions",
                            "The server's certificate has an extension that cannot stand there.");
    }
    if ((tr_ext_get(&set, TR_EXT_STATUS_REQUEST, &rd) && !status_ok(rd)) ||
        (tr_ext_get(&set, TR_EXT_SCT, &rd) && !tr_cert_scts_ok(rd))) {
        return tr_tls__decode_error(tls, "tls.certificate.extensions");
    }
    if (is_leaf && tr_ext_get(&set, TR_EXT_DELEGATED_CREDENTIALS, &rd)) {
        *out_delegated = tr_rd_rest(&rd); /* RFC 9345 4.1.1: elsewhere in the chain it is ignored */
    }
    return TR_OK;
}

static size_t
count_entries(tr_slice_t list, bool tls13)
{
    tr_rd_t rd = tr_rd(list);
    tr_slice_t bytes;
    size_t num = 0;
    while (!tr_rd_empty(&rd) && tr_rd_vec(&rd, &bytes, 3) && (!tls13 || tr_rd_vec(&rd, &bytes, 2))) {
        num++;
    }
    return num;
}

tr_code_t
tr_cert_take_list(tr_tls_t *tls, tr_slice_t list, bool tls13)
{
    static const char where[] = "tls.certificate";
    tr_code_t code;
    tr_slice_t delegated = TR_SLICE_NULL;
    size_t num = TR_MIN(count_entries(list, tls13), (size_t)TR_TLS_MAX_CHAIN_CERTS);
    if (list.len == 0) {
        /* RFC 8446 4.4.2.4, RFC 5246 7.4.2: a server's list is never empty. */
        return tr_tls__decode_error(tls, where);
    }
    /* A decompressed message lies in certs_bytes already. */
    bool inside = tls->certs_bytes.data != NULL && list.data >= tls->certs_bytes.data &&
                  list.data <= tls->certs_bytes.data + tls->certs_bytes.len;
    if (!inside) {
        tr_buf_clear(&tls->certs_bytes);
        code = tr_buf_append(&tls->certs_bytes, list.data, list.len);
        if (code != TR_OK) {
            return tr_tls__lower(tls, code, where);
        }
        list = tr_buf_slice(&tls->certs_bytes);
    }
    tr_free(tls->certs);
    tls->num_certs = 0;
    tls->certs = tr_calloc(num + 1, sizeof(*tls->certs));
    if (tls->certs == NULL) {
        return tr_tls__lower(tls, TR_ERR_NOMEM, where);
    }
    tr_rd_t rd = tr_rd(list);
    while (!tr_rd_empty(&rd)) {
        tr_slice_t der, exts;
        if (!tr_rd_vec(&rd, &der, 3) || der.len == 0 || (tls13 && !tr_rd_vec(&rd, &exts, 2))) {
            return tr_tls__decode_error(tls, where);
        }
        if (tls13) {
            code = entry_extensions(tls, exts, tls->num_certs == 0, &delegated);
            if (code != TR_OK) {
                return code;
            }
        }
        if (tls->num_certs < num) { /* what is behind the limit is checked for its form alone */
            tls->certs[tls->num_certs++] = der;
        }
    }
    tr_pkey_free(tls->peer_key);
    tls->peer_key = NULL;
    code = tr_x509_leaf_key(&tls->peer_key, tls->certs[0], &tls->err);
    if (code == TR_OK && delegated.len > 0) {
        code = tr_delegated_accept(tls, delegated);
    }
    return code;
}

/* --- verification --- */

static tr_code_t
check_pins(tr_tls_t *tls)
{
    const tr_tls_config_t *config = &tls->config;
    if (config->num_pins == 0 || tr_x509_pinned(tls->certs, tls->num_certs, config->pins, config->num_pins)) {
        return TR_OK;
    }
    if ((config->flags & TR_TLS_NO_VERIFY) == 0 &&
        tr_x509_pinned_root(config->trust, tls->certs, tls->num_certs, config->pins, config->num_pins)) {
        return TR_OK;
    }
    return tr_tls__fail_as(tls, TR_ERR_TLS_PIN, TR_ALERT_BAD_CERTIFICATE, "tls.pins", NULL);
}

tr_code_t
tr_cert_verify(tr_tls_t *tls)
{
    if ((tls->config.flags & TR_TLS_NO_VERIFY) == 0) {
        uint8_t alert = TR_ALERT_BAD_CERTIFICATE;
        tr_code_t code = tr_x509_verify(tls->config.trust, tls->certs, tls->num_certs, tls->host,
                                        (int64_t)(tls->config.now_ms / 1000), &alert, &tls->err);
        if (code != TR_OK) {
            tls->alert = alert;
            return code;
        }
    }
    return check_pins(tls);
}

/* --- our own signature --- */

bool
tr_cert_scheme_list_ok(tr_slice_t schemes)
{
    return schemes.len > 0 && schemes.len % 2 == 0;
}

tr_code_t
tr_cert_pick_scheme(tr_tls_t *tls, tr_slice_t schemes)
{
    /* In BoringSSL's order of preference for signing. */
    static const uint16_t ours[] = {
        TR_SIG_ED25519,          TR_SIG_ECDSA_P256_SHA256, TR_SIG_RSA_PSS_RSAE_SHA256, TR_SIG_RSA_PKCS1_SHA256,
        TR_SIG_ECDSA_P384_SHA384, TR_SIG_RSA_PSS_RSAE_SHA384, TR_SIG_RSA_PKCS1_SHA384,  TR_SIG_ECDSA_P521_SHA512,
        TR_SIG_RSA_PSS_RSAE_SHA512, TR_SIG_RSA_PKCS1_SHA512, TR_SIG_RSA_PSS_PSS_SHA256,  TR_SIG_RSA_PSS_PSS_SHA384,
        TR_SIG_RSA_PSS_PSS_SHA512, TR_SIG_ED448,             TR_SIG_ECDSA_SHA1,          TR_SIG_RSA_PKCS1_SHA1,
    };
    const tr_identity_t *identity = tls->config.identity;
    tls->client_scheme = 0;
    if (identity == NULL) {
        return TR_OK;
    }
    const tr_pkey_t *key = tr_identity_key(identity);
    for (size_t i = 0; i < TR_ARRAY_LEN(ours); i++) {
        tr_rd_t rd = tr_rd(schemes);
        uint16_t scheme;
        /* PSS needs two digests and two bytes (RFC 8017 9.1.1): a 1024-bit key is too short for SHA-512. */
        if ((ours[i] == TR_SIG_RSA_PSS_RSAE_SHA512 || ours[i] == TR_SIG_RSA_PSS_PSS_SHA512) && tr_pkey_bits(key) < 1040) {
            continue;
        }
        if (!tr_sig_usable(ours[i], key, tls->version == TR_VERSION_13)) {
            continue;
        }
        while (tr_rd_u16(&rd, &scheme)) {
            if (scheme == ours[i]) {
                tls->client_scheme = scheme;
                return TR_OK;
            }
        }
    }
    return tr_tls__fail_as(tls, TR_ERR_TLS_IDENTITY, TR_ALERT_HANDSHAKE_FAILURE, "tls.client_certificate",
                           "The server takes no signature that the client certificate's key can make.");
}
