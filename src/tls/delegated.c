/* Delegated credentials (RFC 9345): a short-lived key that the certificate's key has signed. */
#include "core/mem.h"
#include "tls/cert.h"

/* RFC 9345 4.1.3: "The maximum validity period is set to 7 days". */
#define MAX_VALID_S (7 * 24 * 3600)

/* --- the two facts about the leaf that only this needs, read from its DER (X.690 8.1) --- */

enum {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_OID = 0x06,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_CONTEXT_0 = 0xa0,
    DER_CONTEXT_3 = 0xa3
};

/* One element; lengths up to two bytes, which TR_TLS_MAX_CERTIFICATE needs three of. */
static bool
der_next(tr_rd_t *rd, uint8_t *tag, tr_rd_t *content)
{
    uint8_t first;
    uint64_t len;
    tr_slice_t bytes;
    if (!tr_rd_u8(rd, tag) || !tr_rd_u8(rd, &first)) {
        return false;
    }
    if (first < 0x80) {
        len = first;
    } else if (first < 0x81 || first > 0x83 || !tr_rd__uint(rd, &len, first & 0x7f)) {
        return false;
    }
    if (!tr_rd_bytes(rd, &bytes, (size_t)len)) {
        return false;
    }
    *content = tr_rd(bytes);
    return true;
}

static bool
der_expect(tr_rd_t *rd, uint8_t tag, tr_rd_t *content)
{
    uint8_t got;
    return der_next(rd, &got, content) && got == tag;
}

static bool
two_digits(tr_rd_t *rd, int *out)
{
    uint8_t a, b;
    if (!tr_rd_u8(rd, &a) || !tr_rd_u8(rd, &b) || a < '0' || a > '9' || b < '0' || b > '9') {
        return false;
    }
    *out = (a - '0') * 10 + (b - '0');
    return true;
}

/* RFC 5280 4.1.2.5: YYMMDDHHMMSSZ until 2049, YYYYMMDDHHMMSSZ later. Seconds since 1970. */
static bool
der_time(tr_rd_t *rd, int64_t *out)
{
    static const int before_month[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    uint8_t tag, z;
    tr_rd_t t;
    int century = 0, year, month, day, hour, minute, second;
    if (!der_next(rd, &tag, &t) || (tag != DER_UTC_TIME && tag != DER_GENERALIZED_TIME) ||
        (tag == DER_GENERALIZED_TIME && !two_digits(&t, &century)) || !two_digits(&t, &year) ||
        !two_digits(&t, &month) || !two_digits(&t, &day) || !two_digits(&t, &hour) || !two_digits(&t, &minute) ||
        !two_digits(&t, &second) || !tr_rd_u8(&t, &z) || z != 'Z' || !tr_rd_end(&t) || month < 1 || month > 12) {
        return false;
    }
    year += tag == DER_GENERALIZED_TIME ? century * 100 : (year < 50 ? 2000 : 1900);
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int64_t y = year - 1;
    int64_t days = y * 365 + y / 4 - y / 100 + y / 400 - 719162; /* days from 0001-01-01 to 1970-01-01 */
    days += before_month[month - 1] + (leap && month > 2 ? 1 : 0) + day - 1;
    *out = ((days * 24 + hour) * 60 + minute) * 60 + second;
    return true;
}

/* notBefore, and whether the DelegationUsage extension is there (RFC 9345 4.2: the certificate opts in by it). */
static bool
read_leaf(tr_slice_t der, int64_t *out_not_before, bool *out_usage)
{
    /* 1.3.6.1.4.1.44363.44 */
    static const uint8_t delegation_usage[] = {0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xda, 0x4b, 0x2c};
    tr_rd_t rd = tr_rd(der), cert, tbs, skipped, validity, wrapper, exts;
    uint8_t tag;
    *out_usage = false;
    if (!der_expect(&rd, DER_SEQUENCE, &cert) || !der_expect(&cert, DER_SEQUENCE, &tbs) ||
        !der_expect(&tbs, DER_CONTEXT_0, &skipped) ||  /* version: v3, for there must be extensions */
        !der_expect(&tbs, DER_INTEGER, &skipped) ||    /* serialNumber */
        !der_expect(&tbs, DER_SEQUENCE, &skipped) ||   /* signature */
        !der_expect(&tbs, DER_SEQUENCE, &skipped) ||   /* issuer */
        !der_expect(&tbs, DER_SEQUENCE, &validity) || !der_time(&validity, out_not_before)) {
        return false;
    }
    do { /* subject, key, unique ids */
        if (!der_next(&tbs, &tag, &wrapper)) {
            return false;
        }
    } while (tag != DER_CONTEXT_3);
    if (!der_expect(&wrapper, DER_SEQUENCE, &exts)) {
        return false;
    }
    while (!tr_rd_empty(&exts)) {
        tr_rd_t ext, oid;
        if (!der_expect(&exts, DER_SEQUENCE, &ext) || !der_expect(&ext, DER_OID, &oid)) {
            return false;
        }
        if (tr_slice_eq(tr_rd_rest(&oid), tr_slice(delegation_usage, sizeof(delegation_usage)))) {
            *out_usage = true;
        }
    }
    return true;
}

/* --- the credential --- */

static bool
offers_delegated(const tr_hello_t *hello, uint16_t scheme)
{
    const tr_profile_ext_t *ext = tr_profile_ext(hello->profile, TR_EXT_DELEGATED_CREDENTIALS);
    for (size_t i = 0; ext != NULL && i < ext->num_values; i++) {
        if (ext->values[i] == scheme && scheme != TR_GREASE) {
            return true;
        }
    }
    return false;
}

/* RFC 9345 4: what the certificate's key signs. */
static tr_code_t
signed_content(tr_buf_t *out, tr_slice_t leaf, tr_slice_t credential, uint16_t algorithm)
{
    static const char context[] = "TLS, server delegated credentials";
    tr_wr_t wr = tr_wr(out);
    tr_wr_fill(&wr, 0x20, 64);
    tr_wr_bytes(&wr, context, sizeof(context)); /* with its zero byte */
    tr_wr_slice(&wr, leaf);
    tr_wr_slice(&wr, credential);
    tr_wr_u16(&wr, algorithm);
    return tr_wr_end(&wr);
}

tr_code_t
tr_delegated_accept(tr_tls_t *tls, tr_slice_t in)
{
    static const char where[] = "tls.delegated_credential";
    tr_rd_t rd = tr_rd(in);
    tr_buf_t content = TR_BUF_INIT;
    tr_pkey_t *key = NULL;
    const char *why = NULL;
    uint32_t valid_s;
    uint16_t scheme, algorithm;
    tr_slice_t spki, signature;
    int64_t not_before;
    bool may_delegate;
    tr_code_t code = TR_OK;
    tr_rd_u32(&rd, &valid_s);
    tr_rd_u16(&rd, &scheme);
    tr_rd_vec(&rd, &spki, 3);
    size_t credential_len = in.len - rd.len;
    tr_rd_u16(&rd, &algorithm);
    tr_rd_vec(&rd, &signature, 2);
    if (!tr_rd_end(&rd) || spki.len == 0 || signature.len == 0) {
        code = tr_tls__decode_error(tls, where);
        goto done;
    }
    /* RFC 9345 4.1.3, in its order. */
    int64_t now = (int64_t)(tls->config.now_ms / 1000);
    if (!read_leaf(tls->certs[0], &not_before, &may_delegate)) {
        why = "its certificate cannot be read";
    } else if (now > not_before + (int64_t)valid_s) {
        why = "it has expired";
    } else if (not_before + (int64_t)valid_s - now > MAX_VALID_S) {
        why = "it is valid for longer than seven days";
    } else if (!offers_delegated(&tls->hello, scheme)) {
        why = "its signature scheme was not offered";
    } else if (!tr_hello_offers_signature(&tls->hello, algorithm) || !tr_sig_usable(algorithm, tls->peer_key, true)) {
        why = "it is signed with a scheme that was not offered or does not fit the certificate";
    } else if (!may_delegate || !tr_x509_allows_signing(tls->certs[0])) {
        why = "the certificate does not permit delegation";
    } else {
        code = signed_content(&content, tls->certs[0], tr_slice(in.data, credential_len), algorithm);
        if (code != TR_OK) {
            code = tr_tls__lower(tls, code, where);
            goto done;
        }
        key = tr_pkey_from_spki(spki);
        if (key == NULL || !tr_sig_usable(scheme, key, true)) {
            why = "its key cannot be used with its scheme";
        } else if (!tr_sig_verify(algorithm, tls->peer_key, tr_buf_slice(&content), signature)) {
            why = "its signature is wrong";
        }
    }
    if (why != NULL) {
        code = tr_tls__fail(tls, TR_ALERT_ILLEGAL_PARAMETER, where, "The server's delegated credential is refused: %s.",
                            why);
        goto done;
    }
    tr_pkey_free(tls->peer_key);
    tls->peer_key = key;
    tls->delegated_scheme = scheme;
    key = NULL;
done:
    tr_pkey_free(key);
    tr_buf_cleanup(&content);
    return code;
}
