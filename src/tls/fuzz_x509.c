/* Fuzz target: what is asked about certificates that a server sent. The input: a byte for the name, then certificates, each behind a length of
 * 16 bits, of which the last is the trusted root (a PEM text of it is read, too). Whatever came, nothing is verified unless the root is what
 * the corpus has, no name matches by the common name, and every refusal has its alert. The rest of the input is also read as a PEM text. */
#include "core/fuzz_replay.h"
#include "core/rd.h"
#include "tls/x509.h"

#define MAX_CERTS 4
#define NOW_S INT64_C(1800000000) /* when the corpus's certificates are valid */

static void
write_pem(tr_buf_t *out, tr_slice_t der)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    TR_FUZZ_CHECK(tr_buf_append(out, "-----BEGIN CERTIFICATE-----\n", 28) == TR_OK);
    for (size_t i = 0; i < der.len; i += 3) {
        size_t left = der.len - i;
        uint32_t word = (uint32_t)der.data[i] << 16;
        word |= left > 1 ? (uint32_t)der.data[i + 1] << 8 : 0;
        word |= left > 2 ? der.data[i + 2] : 0;
        char four[4] = {digits[word >> 18], digits[word >> 12 & 63], left > 1 ? digits[word >> 6 & 63] : '=', left > 2 ? digits[word & 63] : '='};
        TR_FUZZ_CHECK(tr_buf_append(out, four, 4) == TR_OK);
        if (i % 48 == 45 || left <= 3) {
            TR_FUZZ_CHECK(tr_buf_append(out, "\n", 1) == TR_OK);
        }
    }
    TR_FUZZ_CHECK(tr_buf_append(out, "-----END CERTIFICATE-----\n", 26) == TR_OK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const hosts[] = {"example.org", "www.wild.example.org", "192.0.2.7", "2001:db8::5", "common.name", "a.b.top", "localhost", "xn--bcher-kva.example"};
    tr_slice_t certs[MAX_CERTS];
    size_t num = 0;
    tr_trust_t *trust = NULL;
    tr_identity_t *identity = NULL;
    tr_err_t err = TR_ERR_INIT;
    if (size == 0) {
        return 0;
    }
    const char *host = hosts[data[0] % TR_ARRAY_LEN(hosts)];
    tr_slice_t rest = tr_slice(data + 1, size - 1);
    tr_rd_t rd = tr_rd(rest);
    while (num < MAX_CERTS && tr_rd_vec(&rd, &certs[num], 2)) {
        num++;
    }
    for (size_t i = 0; i < num; i++) {
        tr_pkey_t *key = NULL;
        uint8_t pin[1][32];
        tr_err_t why = TR_ERR_INIT;
        tr_code_t code = tr_x509_leaf_key(&key, certs[i], &why);
        TR_FUZZ_CHECK(code == TR_OK ? key != NULL : why.code == code && key == NULL);
        (void)tr_x509_allows_signing(certs[i]);
        (void)tr_x509_allows_encipherment(certs[i]);
        if (tr_x509_spki_sha256(certs[i], pin[0], &why) == TR_OK) {
            bool pinned = tr_x509_pinned(certs, num, pin, 1);
            TR_FUZZ_CHECK(pinned || i > 0);
        }
        tr_pkey_free(key);
    }
    if (num > 0) {
        tr_buf_t pem = TR_BUF_INIT;
        write_pem(&pem, certs[num - 1]);
        if (tr_trust_new_from_pem(&trust, tr_buf_slice(&pem), &err) == TR_OK) {
            uint8_t alert = 0;
            size_t sent = num > 1 ? num - 1 : 1;
            tr_err_t why = TR_ERR_INIT;
            tr_code_t code = tr_x509_verify(trust, certs, sent, host, NOW_S, &alert, &why);
            TR_FUZZ_CHECK(code == TR_OK || (why.code == code && why.msg[0] != '\0'));
            if (code == TR_ERR_TLS_CERTIFICATE || code == TR_ERR_TLS_HOSTNAME) {
                TR_FUZZ_CHECK((alert >= 42 && alert <= 46) || alert == 48);
            }
            TR_FUZZ_CHECK(code != TR_OK || strcmp(host, "common.name") != 0);
            uint8_t pins[1][32] = {{1}};
            TR_FUZZ_CHECK(!tr_x509_pinned_root(trust, certs, sent, pins, 1));
        }
        tr_buf_cleanup(&pem);
        tr_trust_unref(trust);
        trust = NULL;
    }
    if (tr_trust_new_from_pem(&trust, rest, &err) == TR_OK) {
        tr_trust_unref(trust);
    }
    if (tr_identity_new_from_pem(&identity, rest, rest, "x", &err) == TR_OK) {
        TR_FUZZ_CHECK(tr_identity_num_certs(identity) > 0 && tr_identity_cert(identity, 0).len > 0);
        tr_identity_unref(identity);
    }
    return 0;
}
