/* Certificates: chains, names, times, trust stores, client identities. All certificates are made here with
 * libcrypto. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "crypto/hash.h"
#include "tls/x509.h"
#include "tr_test.h"

/* All certificates live around this moment (2027-01-15). */
#define NOW 1800000000
#define DAY 86400

#define SERVER_EKU "serverAuth"

typedef struct spec {
    const char *name;  /* common name */
    const char *san;   /* subjectAltName as libcrypto writes it; NULL: none */
    const char *md;    /* digest of the signature; NULL: SHA256 */
    const char *eku;   /* NULL: none */
    const char *usage; /* keyUsage; NULL: none */
    const char *basic; /* basicConstraints; NULL: none */
    const char *extra; /* nameConstraints; NULL: none */
    int from_days;     /* relative to NOW */
    int until_days;
} spec_t;

/* Keys are made once: they take most of the time. */
typedef enum key_id { KEY_ROOT, KEY_INTER, KEY_LEAF, KEY_OTHER_CA, KEY_RSA_2048, KEY_RSA_1024, NUM_KEYS } key_id_t;

static EVP_PKEY *keys[NUM_KEYS];

static EVP_PKEY *
key_of(key_id_t id)
{
    if (keys[id] == NULL) {
        keys[id] = id == KEY_RSA_2048   ? EVP_RSA_gen(2048)
                   : id == KEY_RSA_1024 ? EVP_RSA_gen(1024)
                                        : EVP_EC_gen("P-256");
    }
    TR_CHECK(keys[id] != NULL);
    return keys[id];
}

static void
add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    if (value == NULL) {
        return;
    }
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    TR_CHECK(ext != NULL && X509_add_ext(cert, ext, -1) == 1);
    X509_EXTENSION_free(ext);
}

/* issuer NULL: self-signed. The result is the caller's. */
static X509 *
make_cert(const spec_t *spec, key_id_t key, X509 *issuer, key_id_t issuer_key)
{
    static long serial = 1;
    X509 *cert = X509_new();
    X509_NAME *name = X509_NAME_new();
    TR_CHECK(cert != NULL && name != NULL);
    if (spec->name != NULL) {
        TR_CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)spec->name, -1, -1,
                                            0) == 1);
    }
    TR_CHECK(X509_set_version(cert, 2) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++) == 1);
    TR_CHECK(X509_set_subject_name(cert, name) == 1);
    TR_CHECK(X509_set_issuer_name(cert, issuer != NULL ? X509_get_subject_name(issuer) : name) == 1);
    TR_CHECK(ASN1_TIME_set(X509_getm_notBefore(cert), NOW + (time_t)spec->from_days * DAY) != NULL);
    TR_CHECK(ASN1_TIME_set(X509_getm_notAfter(cert), NOW + (time_t)spec->until_days * DAY) != NULL);
    TR_CHECK(X509_set_pubkey(cert, key_of(key)) == 1);
    X509_NAME_free(name);
    X509 *signer = issuer != NULL ? issuer : cert;
    add_ext(cert, signer, NID_subject_key_identifier, "hash");
    add_ext(cert, signer, NID_basic_constraints, spec->basic);
    add_ext(cert, signer, NID_subject_alt_name, spec->san);
    add_ext(cert, signer, NID_ext_key_usage, spec->eku);
    add_ext(cert, signer, NID_key_usage, spec->usage);
    add_ext(cert, signer, NID_name_constraints, spec->extra);
    const EVP_MD *md = EVP_get_digestbyname(spec->md != NULL ? spec->md : "SHA256");
    TR_CHECK(md != NULL && X509_sign(cert, key_of(issuer != NULL ? issuer_key : key), md) > 0);
    return cert;
}

#define MAX_DER 4096

typedef struct der {
    uint8_t data[MAX_DER];
    size_t len;
} der_t;

static tr_slice_t
der_of(der_t *out, X509 *cert)
{
    uint8_t *p = out->data;
    int len = i2d_X509(cert, NULL);
    TR_CHECK(len > 0 && len <= MAX_DER && i2d_X509(cert, &p) == len);
    out->len = (size_t)len;
    return tr_slice(out->data, out->len);
}

static const spec_t root_spec = {.name = "Root CA",
                                 .basic = "critical,CA:TRUE",
                                 .usage = "critical,keyCertSign,cRLSign",
                                 .from_days = -1000,
                                 .until_days = 3000};
static const spec_t inter_spec = {.name = "Intermediate CA",
                                  .basic = "critical,CA:TRUE,pathlen:0",
                                  .usage = "critical,keyCertSign",
                                  .from_days = -500,
                                  .until_days = 1000};
static const spec_t leaf_spec = {.name = "not.a.name",
                                 .san = "DNS:example.org,DNS:*.wild.example.org,DNS:b*r.example.org,DNS:*.top,"
                                        "IP:192.0.2.7,IP:2001:db8::5",
                                 .eku = SERVER_EKU,
                                 .usage = "digitalSignature",
                                 .basic = "CA:FALSE",
                                 .from_days = -10,
                                 .until_days = 80};

typedef struct pki {
    X509 *root, *inter, *leaf;
    der_t root_der, inter_der, leaf_der;
    tr_trust_t *trust; /* the root */
    char path[64];     /* of the root's PEM file */
} pki_t;

static void
write_pem(char path[64], X509 *const *certs, size_t num, const char *extra)
{
    (void)snprintf(path, 64, "/tmp/tr_x509_XXXXXX");
    int fd = mkstemp(path);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    TR_CHECK(file != NULL);
    if (extra != NULL) {
        (void)fputs(extra, file);
    }
    bool ok = true;
    for (size_t i = 0; i < num; i++) {
        ok = ok && PEM_write_X509(file, certs[i]) == 1;
    }
    TR_CHECK(fclose(file) == 0 && ok);
}

static tr_trust_t *
trust_of(X509 *const *certs, size_t num)
{
    char path[64];
    tr_trust_t *trust;
    tr_err_t err = TR_ERR_INIT;
    write_pem(path, certs, num, NULL);
    tr_code_t code = tr_trust_new_from(&trust, path, &err);
    (void)unlink(path);
    TR_CHECK_OK(code, &err);
    return trust;
}

/* root -> intermediate -> leaf, with one of the three replaced by a caller's. */
static void
pki_open(pki_t *pki, const spec_t *root, const spec_t *inter, const spec_t *leaf, key_id_t leaf_key)
{
    memset(pki, 0, sizeof(*pki));
    pki->root = make_cert(root != NULL ? root : &root_spec, KEY_ROOT, NULL, KEY_ROOT);
    pki->inter = make_cert(inter != NULL ? inter : &inter_spec, KEY_INTER, pki->root, KEY_ROOT);
    pki->leaf = make_cert(leaf != NULL ? leaf : &leaf_spec, leaf_key, pki->inter, KEY_INTER);
    (void)der_of(&pki->root_der, pki->root);
    (void)der_of(&pki->inter_der, pki->inter);
    (void)der_of(&pki->leaf_der, pki->leaf);
    pki->trust = trust_of(&pki->root, 1);
}

static void
pki_close(pki_t *pki)
{
    tr_trust_unref(pki->trust);
    X509_free(pki->root);
    X509_free(pki->inter);
    X509_free(pki->leaf);
}

#define SLICE(der) tr_slice((der).data, (der).len)

typedef struct outcome {
    tr_code_t code;
    uint8_t alert;
    tr_err_t err;
} outcome_t;

static outcome_t
verify(const tr_trust_t *trust, const tr_slice_t *certs, size_t num, const char *host, int64_t now_s)
{
    outcome_t out = {TR_OK, 0, TR_ERR_INIT};
    out.code = tr_x509_verify(trust, certs, num, host, now_s, &out.alert, &out.err);
    TR_CHECK(out.code == TR_OK || out.err.code == out.code);
    TR_CHECK(out.code == TR_OK || out.code == TR_ERR_NOMEM || strstr(out.err.msg, "certificate") != NULL);
    return out;
}

#define CHECK_OUTCOME(outcome, want_code, want_alert, want_detail)                                \
    do {                                                                                          \
        outcome_t o_ = (outcome);                                                                 \
        if (o_.code != (want_code) ||                                                             \
            (o_.code != TR_OK && (o_.alert != (want_alert) || o_.err.detail != (want_detail)))) { \
            tr_test_fail(__FILE__, __LINE__, "%s gives %s, alert %d, detail %d (%s)", #outcome,   \
                         tr_err_name(o_.code), o_.alert, (int)o_.err.detail, o_.err.msg);         \
        }                                                                                         \
    } while (0)

TR_TEST(x509_chain, "/tls/x509/chains")
{
    pki_t pki;
    pki_open(&pki, NULL, NULL, NULL, KEY_LEAF);
    tr_slice_t full[4] = {SLICE(pki.leaf_der), SLICE(pki.inter_der), SLICE(pki.root_der), SLICE(pki.inter_der)};
    tr_slice_t unordered[4] = {full[0], full[2], full[3], full[1]};
    CHECK_OUTCOME(verify(pki.trust, full, 2, "example.org", NOW), TR_OK, 0, 0);
    CHECK_OUTCOME(verify(pki.trust, full, 3, "example.org", NOW), TR_OK, 0, 0);
    CHECK_OUTCOME(verify(pki.trust, unordered, 4, "example.org", NOW), TR_OK, 0, 0);
    CHECK_OUTCOME(verify(pki.trust, full, 1, "example.org", NOW), TR_ERR_TLS_CERTIFICATE, 48,
                  X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
    CHECK_OUTCOME(verify(pki.trust, full, 0, "example.org", NOW), TR_ERR_TLS_CERTIFICATE, 42,
                  X509_V_ERR_UNSPECIFIED);
    /* Another root: unknown. And with the untrusted root in the chain: self-signed. */
    spec_t other_spec = root_spec;
    other_spec.name = "Another CA";
    X509 *other = make_cert(&other_spec, KEY_OTHER_CA, NULL, KEY_OTHER_CA);
    tr_trust_t *stranger = trust_of(&other, 1);
    CHECK_OUTCOME(verify(stranger, full, 2, "example.org", NOW), TR_ERR_TLS_CERTIFICATE, 48,
                  X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
    CHECK_OUTCOME(verify(stranger, full, 3, "example.org", NOW), TR_ERR_TLS_CERTIFICATE, 48,
                  X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN);
    tr_trust_unref(stranger);
    X509_free(other);
    /* A root of the same name and another key does not sign. */
    other = make_cert(&root_spec, KEY_OTHER_CA, NULL, KEY_OTHER_CA);
    stranger = trust_of(&other, 1);
    outcome_t got = verify(stranger, full, 2, "example.org", NOW);
    TR_CHECK_INT(got.code, TR_ERR_TLS_CERTIFICATE);
    /* ... and beside the right one does no harm. */
    X509 *both[2] = {other, pki.root};
    tr_trust_t *pair = trust_of(both, 2);
    CHECK_OUTCOME(verify(pair, full, 2, "example.org", NOW), TR_OK, 0, 0);
    tr_trust_unref(pair);
    tr_trust_unref(stranger);
    X509_free(other);
    /* A certificate that is not at the end of the line can be trusted: the intermediate, the leaf itself. */
    tr_trust_t *partial = trust_of(&pki.inter, 1);
    CHECK_OUTCOME(verify(partial, full, 1, "example.org", NOW), TR_OK, 0, 0);
    CHECK_OUTCOME(verify(partial, full, 3, "example.org", NOW), TR_OK, 0, 0);
    tr_trust_unref(partial);
    partial = trust_of(&pki.leaf, 1);
    CHECK_OUTCOME(verify(partial, full, 1, "example.org", NOW), TR_OK, 0, 0);
    CHECK_OUTCOME(verify(partial, full, 1, "example.com", NOW), TR_ERR_TLS_HOSTNAME, 42,
                  X509_V_ERR_HOSTNAME_MISMATCH);
    tr_trust_unref(partial);
    pki_close(&pki);
}

TR_TEST(x509_self_signed, "/tls/x509/self_signed")
{
    static const char *const basics[] = {NULL, "CA:FALSE", "critical,CA:TRUE"};
    static const char *const usages[] = {NULL, "digitalSignature", "digitalSignature,keyCertSign"};
    pki_t pki;
    pki_open(&pki, NULL, NULL, NULL, KEY_LEAF);
    for (size_t i = 0; i < TR_ARRAY_LEN(basics); i++) {
        for (size_t j = 0; j < TR_ARRAY_LEN(usages); j++) {
            der_t der;
            spec_t spec = leaf_spec;
            spec.basic = basics[i];
            spec.usage = usages[j];
            X509 *cert = make_cert(&spec, KEY_LEAF, NULL, KEY_LEAF);
            tr_slice_t chain = der_of(&der, cert);
            outcome_t got = verify(pki.trust, &chain, 1, "example.org", NOW);
            CHECK_OUTCOME(got, TR_ERR_TLS_CERTIFICATE, 48, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT);
            TR_CHECK(strstr(got.err.msg, "self-signed") != NULL && strstr(got.err.msg, "verify=") != NULL);
            tr_trust_t *trust = trust_of(&cert, 1);
            CHECK_OUTCOME(verify(trust, &chain, 1, "example.org", NOW), TR_OK, 0, 0);
            CHECK_OUTCOME(verify(trust, &chain, 1, "example.com", NOW), TR_ERR_TLS_HOSTNAME, 42,
                          X509_V_ERR_HOSTNAME_MISMATCH);
            CHECK_OUTCOME(verify(trust, &chain, 1, "example.org", NOW + 90LL * DAY), TR_ERR_TLS_CERTIFICATE, 45,
                          X509_V_ERR_CERT_HAS_EXPIRED);
            tr_trust_unref(trust);
            X509_free(cert);
        }
    }
    pki_close(&pki);
}

TR_TEST(x509_times, "/tls/x509/times")
{
    pki_t pki;
    pki_open(&pki, NULL, NULL, NULL, KEY_LEAF);
    tr_slice_t chain[2] = {SLICE(pki.leaf_der), SLICE(pki.inter_der)};
    const char *host = "example.org";
    /* To the second, in both directions; what was verified before is no excuse. */
    for (int turn = 0; turn < 2; turn++) {
        CHECK_OUTCOME(verify(pki.trust, chain, 2, host, NOW), TR_OK, 0, 0);
        CHECK_OUTCOME(verify(pki.trust, chain, 2, host, NOW - 10LL * DAY), TR_OK, 0, 0);
        CHECK_OUTCOME(verify(pki.trust, chain, 2, host, NOW + 80LL * DAY), TR_OK, 0, 0);
        CHECK_OUTCOME(verify(pki.trust, chain, 2, host, NOW + 80LL * DAY + 1), TR_ERR_TLS_CERTIFICATE, 45,
                      X509_V_ERR_CERT_HAS_EXPIRED);
        CHECK_OUTCOME(verify(pki.trust, chain, 2, host, NOW - 10LL * DAY - 1), TR_ERR_TLS_CERTIFICATE, 45,
                      X509_V_ERR_CERT_NOT_YET_VALID);
    }
    outcome_t got = verify(pki.trust, chain, 2, host, NOW + 81LL * DAY);
    TR_CHECK(strstr(got.err.msg, "expired") != NULL && strstr(got.err.msg, host) != NULL);
    TR_CHECK(strstr(got.err.msg, "2027-04-05") != NULL);
    pki_close(&pki);

    spec_t old = inter_spec;
    old.until_days = -1;
    pki_open(&pki, NULL, &old, NULL, KEY_LEAF);
    chain[0] = SLICE(pki.leaf_der);
    chain[1] = SLICE(pki.inter_der);
    got = verify(pki.trust, chain, 2, host, NOW);
    CHECK_OUTCOME(got, TR_ERR_TLS_CERTIFICATE, 45, X509_V_ERR_CERT_HAS_EXPIRED);
    TR_CHECK(strstr(got.err.msg, "Intermediate CA") != NULL);
    pki_close(&pki);

    /* The trusted certificate's own end bounds what is remembered. */
    old = root_spec;
    old.until_days = 5;
    pki_open(&pki, &old, NULL, NULL, KEY_LEAF);
    chain[0] = SLICE(pki.leaf_der);
    chain[1] = SLICE(pki.inter_der);
    CHECK_OUTCOME(verify(pki.trust, chain, 2, host, NOW), TR_OK, 0, 0);
    CHECK_OUTCOME(verify(pki.trust, chain, 2, host, NOW + 6LL * DAY), TR_ERR_TLS_CERTIFICATE, 45,
                  X509_V_ERR_CERT_HAS_EXPIRED);
    pki_close(&pki);
}

TR_TEST(x509_names, "/tls/x509/names")
{
    static const struct {
        const char *host;
        bool ok;
    } cases[] = {
        {"example.org", true},
        {"EXAMPLE.org", true},
        {"example.org.", true},
        {"www.example.org", false},
        {"example.org..", false},
        {"a.wild.example.org", true},
        {"A.WILD.example.org", true},
        {"a.b.wild.example.org", false}, /* one label only */
        {"wild.example.org", false},
        {".wild.example.org", false},
        {"bar.example.org", false}, /* the wildcard must be the whole label */
        {"b*r.example.org", false},
        {"x.top", false},      /* a wildcard right under a top-level domain */
        {"not.a.name", false}, /* the common name is not looked at */
        {"192.0.2.7", true},
        {"192.0.2.8", false},
        {"2001:db8::5", true},
        {"2001:db8:0:0:0:0:0:5", true},
        {"2001:db8::6", false},
        {"::ffff:192.0.2.7", false},
        {"", false},
        {".", false},
        {"example.org.evil.example", false},
        {"xample.org", false},
    };
    pki_t pki;
    pki_open(&pki, NULL, NULL, NULL, KEY_LEAF);
    tr_slice_t chain[2] = {SLICE(pki.leaf_der), SLICE(pki.inter_der)};
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < TR_ARRAY_LEN(cases); i++) {
            outcome_t got = verify(pki.trust, chain, 2, cases[i].host, NOW);
            if (got.code != (cases[i].ok ? TR_OK : TR_ERR_TLS_HOSTNAME)) {
                tr_test_fail(__FILE__, __LINE__, "%s: %s (%s)", cases[i].host, tr_err_name(got.code), got.err.msg);
            }
            TR_CHECK(cases[i].ok || got.alert == 42);
        }
    }
    outcome_t got = verify(pki.trust, chain, 2, "other.example", NOW);
    TR_CHECK(strstr(got.err.msg, "other.example") != NULL && strstr(got.err.msg, "example.org") != NULL);
    pki_close(&pki);

    /* No subjectAltName at all, and an address written as a DNS name. */
    spec_t plain = leaf_spec;
    plain.san = NULL;
    plain.name = "example.org";
    pki_open(&pki, NULL, NULL, &plain, KEY_LEAF);
    chain[0] = SLICE(pki.leaf_der);
    chain[1] = SLICE(pki.inter_der);
    CHECK_OUTCOME(verify(pki.trust, chain, 2, "example.org", NOW), TR_ERR_TLS_HOSTNAME, 42,
                  X509_V_ERR_HOSTNAME_MISMATCH);
    pki_close(&pki);
    plain.san = "DNS:192.0.2.7";
    pki_open(&pki, NULL, NULL, &plain, KEY_LEAF);
    chain[0] = SLICE(pki.leaf_der);
    chain[1] = SLICE(pki.inter_der);
    CHECK_OUTCOME(verify(pki.trust, chain, 2, "192.0.2.7", NOW), TR_ERR_TLS_HOSTNAME, 42,
                  X509_V_ERR_IP_ADDRESS_MISMATCH);
    pki_close(&pki);
}

TR_TEST(x509_weak, "/tls/x509/weak_keys_and_hashes")
{
    pki_t pki;
    tr_slice_t chain[2];
    spec_t spec = leaf_spec;
    pki_open(&pki, NULL, NULL, NULL, KEY_RSA_2048);
    chain[0] = SLICE(pki.leaf_der);
    chain[1] = SLICE(pki.inter_der);
    CHECK_OUTCOME(verify(pki.trust, chain, 2, "example.org", NOW), TR_OK, 0, 0);
    pki_close(&pki);
    pki_open(&pki, NULL, NULL, NULL, KEY_RSA_1024);
    chain[0] = SLICE(pki.leaf_der);
    chain[1] = SLICE(pki.inter_der);
    CHECK_OUTCOME(verify(pki.trust, chain, 2, "example.org", NOW), TR_ERR_TLS_CERTIFICATE, 42,
                  X509_V_ERR_EE_KEY_TOO_SMALL);
    pki_close(&pki);
    spec.md = "SHA1";
    pki_open(&pki, NULL, NULL, &spec, KEY_LEAF);
    chain[0] = SLICE(pki.leaf_der);
    chain[1] = SLICE(pki.inter_der);
    CHECK_OUTCOME(verify(pki.trust, chain, 2, "example.org", NOW), TR_ERR_TLS_CERTIFICATE, 42,
                  X509_V_ERR_CA_MD_TOO_WEAK);
    pki_close(&pki);
    spec = inter_spec;
    spec.md = "SHA1";
    pki_open(&pki, NULL, &spec, NULL, KEY_LEAF);
    chain[0] = SLICE(pki.leaf_der);
    chain[1] = SLICE(pki.inter_der);
    CHECK_OUTCOME(verify(pki.trust, chain, 2, "example.org", NOW), TR_ERR_TLS_CERTIFICATE, 42,
                  X509_V_ERR_CA_MD_TOO_WEAK);
    pki_close(&pki);
    /* Nobody relies on a root's own signature. */
    spec = root_spec;
    spec.md = "SHA1";
    pki_open(&pki, &spec, NULL, NULL, KEY_LEAF);
    chain[0] = SLICE(pki.leaf_der);
    chain[1] = SLICE(pki.inter_der);
    CHECK_OUTCOME(verify(pki.trust, chain, 2, "example.org", NOW), TR_OK, 0, 0);
    pki_close(&pki);
}

TR_TEST(x509_rules, "/tls/x509/purposes_and_constraints")
{
    pki_t pki;
    tr_slice_t chain[2];
    static const struct {
        const char *what;
        bool of_leaf;
        const char *eku, *usage, *basic, *extra;
        int detail; /* 0: accepted */
        uint8_t alert;
    } cases[] = {
        {"client certificate", true, "clientAuth", "digitalSignature", "CA:FALSE", NULL, X509_V_ERR_INVALID_PURPOSE,
         43},
        {"both purposes", true, "clientAuth,serverAuth", "digitalSignature", "CA:FALSE", NULL, 0, 0},
        {"no purpose named", true, NULL, NULL, NULL, NULL, 0, 0},
        {"may sign certificates only", true, SERVER_EKU, "keyCertSign", NULL, NULL, X509_V_ERR_INVALID_PURPOSE, 43},
        {"not a CA", false, NULL, NULL, "CA:FALSE", NULL, X509_V_ERR_INVALID_CA, 48},
        {"CA that may not sign", false, NULL, "digitalSignature", "CA:TRUE", NULL, X509_V_ERR_INVALID_CA, 48},
        {"CA for mail", false, "emailProtection", "keyCertSign", "CA:TRUE", NULL, X509_V_ERR_INVALID_PURPOSE, 43},
        {"permitted names", false, NULL, "keyCertSign", "CA:TRUE",
         "permitted;DNS:org,permitted;DNS:top,permitted;IP:0.0.0.0/0.0.0.0,permitted;IP:::/::", 0, 0},
        {"other names", false, NULL, "keyCertSign", "CA:TRUE", "permitted;DNS:com", X509_V_ERR_PERMITTED_VIOLATION,
         46},
        {"excluded name", false, NULL, "keyCertSign", "CA:TRUE", "excluded;DNS:example.org",
         X509_V_ERR_EXCLUDED_VIOLATION, 46},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(cases); i++) {
        spec_t spec = cases[i].of_leaf ? leaf_spec : inter_spec;
        spec.eku = cases[i].eku;
        spec.usage = cases[i].usage;
        spec.basic = cases[i].basic;
        spec.extra = cases[i].extra;
        pki_open(&pki, NULL, cases[i].of_leaf ? NULL : &spec, cases[i].of_leaf ? &spec : NULL, KEY_LEAF);
        chain[0] = SLICE(pki.leaf_der);
        chain[1] = SLICE(pki.inter_der);
        outcome_t got = verify(pki.trust, chain, 2, "example.org", NOW);
        if (got.code != (cases[i].detail == 0 ? TR_OK : TR_ERR_TLS_CERTIFICATE) ||
            (got.code != TR_OK && (got.err.detail != cases[i].detail || got.alert != cases[i].alert))) {
            tr_test_fail(__FILE__, __LINE__, "%s: %s, alert %d, detail %d (%s)", cases[i].what,
                         tr_err_name(got.code), got.alert, (int)got.err.detail, got.err.msg);
        }
        pki_close(&pki);
    }
}

TR_TEST(x509_damaged, "/tls/x509/every_byte_counts")
{
    pki_t pki;
    der_t bad;
    pki_open(&pki, NULL, NULL, NULL, KEY_LEAF);
    tr_slice_t chain[2] = {tr_slice(bad.data, pki.leaf_der.len), SLICE(pki.inter_der)};
    memcpy(bad.data, pki.leaf_der.data, pki.leaf_der.len);
    bad.data[pki.leaf_der.len - 1] ^= 1;
    CHECK_OUTCOME(verify(pki.trust, chain, 2, "example.org", NOW), TR_ERR_TLS_CERTIFICATE, 42,
                  X509_V_ERR_CERT_SIGNATURE_FAILURE);
    bad.data[pki.leaf_der.len - 1] ^= 1;
    CHECK_OUTCOME(verify(pki.trust, chain, 2, "example.org", NOW), TR_OK, 0, 0);
    for (size_t i = 0; i < pki.leaf_der.len; i++) {
        tr_pkey_t *key;
        tr_err_t err = TR_ERR_INIT;
        bad.data[i] ^= 0x20;
        TR_CHECK(verify(pki.trust, chain, 2, "example.org", NOW).code != TR_OK);
        (void)tr_x509_allows_signing(chain[0]);
        if (tr_x509_leaf_key(&key, chain[0], &err) == TR_OK) {
            tr_pkey_free(key);
        } else {
            TR_CHECK(err.code == TR_ERR_TLS_PROTOCOL && (err.detail == 42 || err.detail == 43));
        }
        bad.data[i] ^= 0x20;
    }
    for (size_t len = 0; len < pki.leaf_der.len; len += 5) {
        chain[0].len = len;
        CHECK_OUTCOME(verify(pki.trust, chain, 2, "example.org", NOW), TR_ERR_TLS_CERTIFICATE, 42,
                      X509_V_ERR_UNSPECIFIED);
    }
    /* Something behind the certificate; a damaged intermediate. */
    bad.data[pki.leaf_der.len] = 0;
    chain[0].len = pki.leaf_der.len + 1;
    CHECK_OUTCOME(verify(pki.trust, chain, 2, "example.org", NOW), TR_ERR_TLS_CERTIFICATE, 42,
                  X509_V_ERR_UNSPECIFIED);
    chain[0] = SLICE(pki.leaf_der);
    chain[1].len--;
    CHECK_OUTCOME(verify(pki.trust, chain, 2, "example.org", NOW), TR_ERR_TLS_CERTIFICATE, 42,
                  X509_V_ERR_UNSPECIFIED);
    pki_close(&pki);
}

TR_TEST_OOM(x509_verify_oom, "/tls/x509/verify_without_memory")
{
    /* Made by libcrypto, whose allocations do not fail here. */
    static pki_t pki;
    static bool ready;
    if (!ready) {
        memset(&pki, 0, sizeof(pki));
        pki.root = make_cert(&root_spec, KEY_ROOT, NULL, KEY_ROOT);
        pki.inter = make_cert(&inter_spec, KEY_INTER, pki.root, KEY_ROOT);
        pki.leaf = make_cert(&leaf_spec, KEY_LEAF, pki.inter, KEY_INTER);
        (void)der_of(&pki.inter_der, pki.inter);
        (void)der_of(&pki.leaf_der, pki.leaf);
        write_pem(pki.path, &pki.root, 1, NULL);
        ready = true;
    }
    tr_slice_t chain[2] = {SLICE(pki.leaf_der), SLICE(pki.inter_der)};
    tr_err_t err = TR_ERR_INIT;
    tr_trust_t *trust;
    tr_pkey_t *key;
    uint8_t hash[32];
    tr_code_t code = tr_trust_new_from(&trust, pki.path, &err);
    if (code == TR_OK) {
        outcome_t got = verify(trust, chain, 2, "example.org", NOW);
        TR_CHECK(got.code == TR_OK || (got.code == TR_ERR_NOMEM && tr_test_oom_running() && got.alert == 80));
        tr_trust_unref(trust);
    } else {
        TR_CHECK(code == TR_ERR_NOMEM && tr_test_oom_running() && trust == NULL);
    }
    code = tr_x509_leaf_key(&key, chain[0], &err);
    TR_CHECK(code == TR_OK || (code == TR_ERR_NOMEM && tr_test_oom_running() && key == NULL));
    tr_pkey_free(key);
    TR_CHECK_INT(tr_x509_spki_sha256(chain[0], hash, &err), TR_OK);
}

TR_TEST(x509_leaf, "/tls/x509/leaf")
{
    static const struct {
        const char *usage;
        bool signing, encipherment;
    } cases[] = {
        {NULL, true, true},
        {"digitalSignature", true, false},
        {"critical,digitalSignature,keyEncipherment", true, true},
        {"keyEncipherment", false, true},
        {"keyAgreement", false, false},
        {"decipherOnly", false, false}, /* the only bit of the second byte */
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(cases); i++) {
        spec_t spec = leaf_spec;
        der_t der;
        spec.usage = cases[i].usage;
        X509 *cert = make_cert(&spec, i % 2 == 0 ? KEY_LEAF : KEY_RSA_2048, NULL, 0);
        tr_slice_t bytes = der_of(&der, cert);
        TR_CHECK(tr_x509_allows_signing(bytes) == cases[i].signing);
        TR_CHECK(tr_x509_allows_encipherment(bytes) == cases[i].encipherment);
        /* The key and its hash are those that libcrypto reads. */
        tr_err_t err = TR_ERR_INIT;
        tr_pkey_t *key, *same;
        uint8_t *spki = NULL;
        uint8_t got[32], want[32];
        int len = i2d_PUBKEY(key_of(i % 2 == 0 ? KEY_LEAF : KEY_RSA_2048), &spki);
        TR_CHECK(len > 0);
        TR_CHECK_OK(tr_x509_leaf_key(&key, bytes, &err), &err);
        same = tr_pkey_from_spki(tr_slice(spki, (size_t)len));
        TR_CHECK(same != NULL && tr_pkey_same(key, same) && tr_pkey_is_rsa(key) == (i % 2 != 0));
        TR_CHECK_OK(tr_x509_spki_sha256(bytes, got, &err), &err);
        TR_CHECK_INT(tr_hash_once(TR_HASH_SHA256, want, tr_slice(spki, (size_t)len)), TR_OK);
        TR_CHECK_MEM(got, want, 32);
        tr_pkey_free(key);
        tr_pkey_free(same);
        OPENSSL_free(spki);
        X509_free(cert);
    }
    tr_err_t err = TR_ERR_INIT;
    tr_pkey_t *key;
    uint8_t hash[32];
    TR_CHECK_INT(tr_x509_leaf_key(&key, TR_SLICE_LIT("rubbish"), &err), TR_ERR_TLS_PROTOCOL);
    TR_CHECK_INT(err.detail, 42);
    TR_CHECK(!tr_x509_allows_signing(TR_SLICE_LIT("rubbish")) && !tr_x509_allows_encipherment(TR_SLICE_NULL));
    TR_CHECK_INT(tr_x509_spki_sha256(TR_SLICE_NULL, hash, &err), TR_ERR_TLS_PROTOCOL);
    /* A key that no signature scheme of TLS goes with. */
    der_t der;
    X509 *cert = make_cert(&leaf_spec, KEY_LEAF, NULL, 0);
    EVP_PKEY *x25519 = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    TR_CHECK(X509_set_pubkey(cert, x25519) == 1 && X509_sign(cert, key_of(KEY_LEAF), EVP_sha256()) > 0);
    tr_err_clear(&err);
    TR_CHECK_INT(tr_x509_leaf_key(&key, der_of(&der, cert), &err), TR_ERR_TLS_PROTOCOL);
    TR_CHECK_INT(err.detail, 43);
    EVP_PKEY_free(x25519);
    X509_free(cert);
}

/* ------------------------------------------------------------------------------------- trust stores */

TR_TEST(x509_trust_files, "/tls/x509/trust_files")
{
    tr_err_t err = TR_ERR_INIT;
    tr_trust_t *trust;
    char path[64], dir[64], name[128];
    pki_t pki;
    pki_open(&pki, NULL, NULL, NULL, KEY_LEAF);
    tr_slice_t chain[2] = {SLICE(pki.leaf_der), SLICE(pki.inter_der)};

    TR_CHECK_INT(tr_trust_new_from(&trust, "/nonexistent/ca.pem", &err), TR_ERR_TLS_TRUST_STORE);
    TR_CHECK(trust == NULL && strstr(err.msg, "/nonexistent/ca.pem") != NULL && err.detail != 0);
    write_pem(path, NULL, 0, "this is not PEM\n");
    TR_CHECK_INT(tr_trust_new_from(&trust, path, &err), TR_ERR_TLS_TRUST_STORE);
    (void)unlink(path);
    write_pem(path, NULL, 0, NULL);
    TR_CHECK_INT(tr_trust_new_from(&trust, path, &err), TR_ERR_TLS_TRUST_STORE);
    (void)unlink(path);
    /* Comments, a damaged block and a private key around the certificate do not matter. */
    write_pem(path, &pki.root, 1,
              "# a comment\n-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"
              "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
              "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    TR_CHECK_OK(tr_trust_new_from(&trust, path, &err), &err);
    CHECK_OUTCOME(verify(trust, chain, 2, "example.org", NOW), TR_OK, 0, 0);
    tr_trust_unref(trust);
    (void)unlink(path);
    /* DER */
    write_pem(path, NULL, 0, NULL);
    FILE *file = fopen(path, "wb");
    TR_CHECK(file != NULL && fwrite(pki.root_der.data, 1, pki.root_der.len, file) == pki.root_der.len);
    TR_CHECK(fclose(file) == 0);
    TR_CHECK_OK(tr_trust_new_from(&trust, path, &err), &err);
    CHECK_OUTCOME(verify(trust, chain, 2, "example.org", NOW), TR_OK, 0, 0);
    tr_trust_unref(trust);
    (void)unlink(path);

    /* A directory, with a hashed link beside the file, a sub-directory and a stranger. */
    (void)snprintf(dir, sizeof(dir), "/tmp/tr_x509_dir_XXXXXX");
    TR_CHECK(mkdtemp(dir) != NULL);
    TR_CHECK_INT(tr_trust_new_from(&trust, dir, &err), TR_ERR_TLS_TRUST_STORE); /* empty */
    write_pem(path, &pki.root, 1, NULL);
    (void)snprintf(name, sizeof(name), "%s/root.pem", dir);
    TR_CHECK(rename(path, name) == 0);
    (void)snprintf(name, sizeof(name), "%s/0a1b2c3d.0", dir);
    TR_CHECK(symlink("root.pem", name) == 0);
    (void)snprintf(name, sizeof(name), "%s/sub", dir);
    TR_CHECK(mkdir(name, 0700) == 0);
    TR_CHECK_OK(tr_trust_new_from(&trust, dir, &err), &err);
    CHECK_OUTCOME(verify(trust, chain, 2, "example.org", NOW), TR_OK, 0, 0);
    TR_CHECK(tr_trust_ref(trust) == trust);
    tr_trust_unref(trust);
    CHECK_OUTCOME(verify(trust, chain, 2, "a.wild.example.org", NOW), TR_OK, 0, 0);
    tr_trust_unref(trust);
    tr_trust_unref(NULL);

    /* The environment decides alone, and loudly. */
    char *old_file = getenv("SSL_CERT_FILE") != NULL ? strdup(getenv("SSL_CERT_FILE")) : NULL;
    char *old_dir = getenv("SSL_CERT_DIR") != NULL ? strdup(getenv("SSL_CERT_DIR")) : NULL;
    (void)unsetenv("SSL_CERT_FILE");
    (void)setenv("SSL_CERT_DIR", dir, 1);
    tr_code_t by_dir = tr_trust_new_default(&trust, &err);
    outcome_t got = {TR_ERR_INTERNAL, 0, TR_ERR_INIT};
    if (by_dir == TR_OK) {
        got = verify(trust, chain, 2, "example.org", NOW);
    }
    tr_trust_unref(trust);
    (void)snprintf(name, sizeof(name), "/nonexistent:%s:/nonexistent2", dir);
    (void)setenv("SSL_CERT_DIR", name, 1);
    tr_code_t by_list = tr_trust_new_default(&trust, &err);
    tr_trust_unref(trust);
    (void)unsetenv("SSL_CERT_DIR");
    (void)setenv("SSL_CERT_FILE", "/nonexistent/ca.pem", 1);
    tr_code_t by_nothing = tr_trust_new_default(&trust, &err);
    tr_trust_unref(trust);
    (void)snprintf(name, sizeof(name), "%s/root.pem", dir);
    (void)setenv("SSL_CERT_FILE", name, 1);
    tr_code_t by_file = tr_trust_new_default(&trust, &err);
    tr_trust_unref(trust);
    (void)unsetenv("SSL_CERT_FILE");
    tr_code_t by_system = tr_trust_new_default(&trust, &err);
    tr_trust_unref(trust);
    if (old_file != NULL) {
        (void)setenv("SSL_CERT_FILE", old_file, 1);
    }
    if (old_dir != NULL) {
        (void)setenv("SSL_CERT_DIR", old_dir, 1);
    }
    free(old_file);
    free(old_dir);
    TR_CHECK_INT(by_dir, TR_OK);
    TR_CHECK_INT(got.code, TR_OK);
    TR_CHECK_INT(by_list, TR_OK);
    TR_CHECK_INT(by_nothing, TR_ERR_TLS_TRUST_STORE);
    TR_CHECK_INT(by_file, TR_OK);
    /* A machine without any roots says so. */
    TR_CHECK(by_system == TR_OK || by_system == TR_ERR_TLS_TRUST_STORE);

    (void)unlink(name);
    (void)snprintf(name, sizeof(name), "%s/0a1b2c3d.0", dir);
    (void)unlink(name);
    (void)snprintf(name, sizeof(name), "%s/sub", dir);
    (void)rmdir(name);
    (void)rmdir(dir);
    pki_close(&pki);
}

TR_TEST(x509_cross, "/tls/x509/trusted_certificate_below_another")
{
    /* The store holds root and intermediate; the server sends the leaf alone, or a chain to a stranger. */
    pki_t pki;
    pki_open(&pki, NULL, NULL, NULL, KEY_LEAF);
    X509 *both[2] = {pki.inter, pki.root};
    tr_trust_t *trust = trust_of(both, 2);
    tr_slice_t chain[1] = {SLICE(pki.leaf_der)};
    CHECK_OUTCOME(verify(trust, chain, 1, "example.org", NOW), TR_OK, 0, 0);
    tr_trust_unref(trust);
    /* The same intermediate, certified by another root: either root will do. */
    spec_t other_spec = root_spec;
    other_spec.name = "Another CA";
    X509 *other = make_cert(&other_spec, KEY_OTHER_CA, NULL, KEY_OTHER_CA);
    X509 *crossed = make_cert(&inter_spec, KEY_INTER, other, KEY_OTHER_CA);
    der_t crossed_der;
    tr_slice_t two[3] = {SLICE(pki.leaf_der), der_of(&crossed_der, crossed), SLICE(pki.inter_der)};
    CHECK_OUTCOME(verify(pki.trust, two, 3, "example.org", NOW), TR_OK, 0, 0);
    trust = trust_of(&other, 1);
    CHECK_OUTCOME(verify(trust, two, 3, "example.org", NOW), TR_OK, 0, 0);
    CHECK_OUTCOME(verify(trust, two, 2, "example.org", NOW), TR_OK, 0, 0);
    tr_trust_unref(trust);
    X509_free(other);
    X509_free(crossed);
    pki_close(&pki);
}

typedef struct shared_run {
    const tr_trust_t *trust;
    const tr_slice_t *chain;
    unsigned failures;
} shared_run_t;

static void *
verify_often(void *arg)
{
    shared_run_t *run = arg;
    for (int i = 0; i < 60; i++) {
        char host[64];
        uint8_t alert;
        tr_err_t err = TR_ERR_INIT;
        (void)snprintf(host, sizeof(host), "h%d.wild.example.org", i % 20);
        if (tr_x509_verify(run->trust, run->chain, 2, host, NOW, &alert, &err) != TR_OK) {
            run->failures++;
        }
    }
    return NULL;
}

TR_TEST(x509_threads, "/tls/x509/two_threads_share_a_store")
{
    pki_t pki;
    pthread_t other;
    pki_open(&pki, NULL, NULL, NULL, KEY_LEAF);
    tr_slice_t chain[2] = {SLICE(pki.leaf_der), SLICE(pki.inter_der)};
    shared_run_t a = {pki.trust, chain, 0}, b = a;
    TR_CHECK_INT(pthread_create(&other, NULL, verify_often, &a), 0);
    (void)verify_often(&b);
    TR_CHECK_INT(pthread_join(other, NULL), 0);
    TR_CHECK_INT(a.failures + b.failures, 0);
    pki_close(&pki);
}

/* ------------------------------------------------------------------------------------- identities */

static size_t
pem_text(char *out, size_t cap, X509 *const *certs, size_t num, EVP_PKEY *key)
{
    char *text;
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok = bio != NULL;
    for (size_t i = 0; i < num; i++) {
        ok = ok && PEM_write_bio_X509(bio, certs[i]) == 1;
    }
    if (key != NULL) {
        ok = ok && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    }
    TR_CHECK(ok);
    long len = BIO_get_mem_data(bio, &text);
    TR_CHECK(len >= 0 && (size_t)len <= cap);
    memcpy(out, text, (size_t)len);
    BIO_free(bio);
    return (size_t)len;
}

TR_TEST_OOM(x509_identity, "/tls/x509/identities")
{
    static char chain[16384], key_text[4096], all[20000], other[4096];
    static size_t chain_len, key_len, all_len, other_len;
    static pki_t pki;
    tr_err_t err = TR_ERR_INIT;
    tr_identity_t *identity;
    if (chain_len == 0) {
        memset(&pki, 0, sizeof(pki));
        pki.root = make_cert(&root_spec, KEY_ROOT, NULL, KEY_ROOT);
        pki.inter = make_cert(&inter_spec, KEY_INTER, pki.root, KEY_ROOT);
        pki.leaf = make_cert(&leaf_spec, KEY_LEAF, pki.inter, KEY_INTER);
        X509 *certs[2] = {pki.leaf, pki.inter};
        (void)der_of(&pki.inter_der, pki.inter);
        (void)der_of(&pki.leaf_der, pki.leaf);
        key_len = pem_text(key_text, sizeof(key_text), NULL, 0, key_of(KEY_LEAF));
        all_len = pem_text(all, sizeof(all), certs, 2, key_of(KEY_LEAF));
        other_len = pem_text(other, sizeof(other), NULL, 0, key_of(KEY_INTER));
        chain_len = pem_text(chain, sizeof(chain), certs, 2, NULL);
    }
    for (int form = 0; form < 3; form++) {
        tr_code_t code =
            form == 0 ? tr_identity_new_from_pem(&identity, tr_slice(chain, chain_len), tr_slice(key_text, key_len),
                                                 NULL, &err)
            : form == 1
                ? tr_identity_new_from_pem(&identity, tr_slice(all, all_len), tr_slice(all, all_len), NULL, &err)
                : tr_identity_new_from_pem(&identity, tr_slice(all, all_len), TR_SLICE_NULL, NULL, &err);
        if (code == TR_ERR_NOMEM && tr_test_oom_running()) {
            TR_CHECK(identity == NULL);
            return;
        }
        TR_CHECK_OK(code, &err);
        TR_CHECK_INT(tr_identity_num_certs(identity), 2);
        TR_CHECK(tr_slice_eq(tr_identity_cert(identity, 0), SLICE(pki.leaf_der)));
        TR_CHECK(tr_slice_eq(tr_identity_cert(identity, 1), SLICE(pki.inter_der)));
        TR_CHECK_INT(tr_identity_cert(identity, 2).len, 0);
        TR_CHECK(tr_sig_usable(TR_SIG_ECDSA_P256_SHA256, tr_identity_key(identity), true));
        TR_CHECK(tr_identity_ref(identity) == identity);
        tr_identity_unref(identity);
        tr_identity_unref(identity);
    }
    tr_identity_unref(NULL);
    if (tr_test_oom_running()) {
        return;
    }
    TR_CHECK_INT(
        tr_identity_new_from_pem(&identity, tr_slice(chain, chain_len), tr_slice(other, other_len), NULL, &err),
        TR_ERR_TLS_IDENTITY);
    TR_CHECK(identity == NULL);
    TR_CHECK_INT(tr_identity_new_from_pem(&identity, tr_slice(chain, chain_len), TR_SLICE_NULL, NULL, &err),
                 TR_ERR_TLS_IDENTITY);
    TR_CHECK_INT(
        tr_identity_new_from_pem(&identity, tr_slice(key_text, key_len), tr_slice(key_text, key_len), NULL, &err),
        TR_ERR_TLS_IDENTITY);
    TR_CHECK_INT(tr_identity_new_from_pem(&identity, TR_SLICE_NULL, TR_SLICE_NULL, NULL, &err),
                 TR_ERR_TLS_IDENTITY);
    TR_CHECK_INT(tr_identity_new_from_pem(
                     &identity, TR_SLICE_LIT("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
                     tr_slice(key_text, key_len), NULL, &err),
                 TR_ERR_TLS_IDENTITY);
}

TR_TEST(x509_pins, "/tls/x509/pins")
{
    pki_t pki, other;
    tr_slice_t chain[4];
    uint8_t pins[2][32];
    tr_err_t err = TR_ERR_INIT;
    spec_t stranger = inter_spec;
    stranger.name = "Another CA";
    pki_open(&pki, NULL, NULL, NULL, KEY_LEAF);
    pki_open(&other, NULL, &stranger, NULL, KEY_RSA_2048);
    X509 *same_name = make_cert(&inter_spec, KEY_OTHER_CA, NULL, KEY_OTHER_CA); /* as the issuer, with another key */
    der_t same_name_der;
    memset(pins, 0, sizeof(pins));
    chain[0] = SLICE(pki.leaf_der);
    chain[1] = SLICE(other.leaf_der);
    chain[2] = SLICE(pki.inter_der);
    chain[3] = der_of(&same_name_der, same_name);
    const uint8_t(*const_pins)[32] = (const uint8_t(*)[32])pins;
    TR_CHECK(!tr_x509_pinned(chain, 4, const_pins, 2));
    TR_CHECK_OK(tr_x509_spki_sha256(chain[0], pins[1], &err), &err);
    TR_CHECK(tr_x509_pinned(chain, 1, const_pins, 2)); /* the leaf */
    TR_CHECK_OK(tr_x509_spki_sha256(SLICE(pki.inter_der), pins[1], &err), &err);
    TR_CHECK(tr_x509_pinned(chain, 4, const_pins, 2)); /* who signed it, behind one that did not */
    TR_CHECK(!tr_x509_pinned(chain, 2, const_pins, 2));
    /* what merely lies in the list, and what only has the issuer's name */
    TR_CHECK_OK(tr_x509_spki_sha256(chain[1], pins[1], &err), &err);
    TR_CHECK(!tr_x509_pinned(chain, 4, const_pins, 2));
    TR_CHECK_OK(tr_x509_spki_sha256(chain[3], pins[1], &err), &err);
    TR_CHECK(!tr_x509_pinned(chain, 4, const_pins, 2));
    /* two steps up */
    chain[1] = SLICE(pki.root_der);
    TR_CHECK_OK(tr_x509_spki_sha256(chain[1], pins[0], &err), &err);
    TR_CHECK(tr_x509_pinned(chain, 3, const_pins, 1));
    TR_CHECK(!tr_x509_pinned(chain, 2, const_pins, 1));
    TR_CHECK(!tr_x509_pinned(chain, 0, const_pins, 1) && !tr_x509_pinned(chain, 3, const_pins, 0));
    /* the root that was not sent */
    chain[1] = SLICE(pki.inter_der);
    tr_trust_t *trust = pki.trust;
    uint8_t alert;
    TR_CHECK_OK(tr_x509_verify(trust, chain, 2, "example.org", NOW, &alert, &err), &err);
    TR_CHECK(!tr_x509_pinned(chain, 2, const_pins, 1) && tr_x509_pinned_root(trust, chain, 2, const_pins, 1));
    memset(pins, 0, sizeof(pins));
    TR_CHECK(!tr_x509_pinned_root(trust, chain, 2, const_pins, 2) && !tr_x509_pinned_root(trust, chain, 0, const_pins, 2));
    chain[0] = TR_SLICE_LIT("rubbish");
    TR_CHECK(!tr_x509_pinned(chain, 3, const_pins, 1) && !tr_x509_pinned_root(trust, chain, 2, const_pins, 1));
    X509_free(same_name);
    pki_close(&pki);
    pki_close(&other);
}
