#include "crypto/sig.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "core/mem.h"
#include "crypto/der.h"
#include "crypto/evp.h"

typedef enum key_kind {
    KEY_OTHER,
    KEY_RSA,
    KEY_RSA_PSS, /* its algorithm identifier allows nothing but PSS */
    KEY_EC,
    KEY_ED25519,
    KEY_ED448,
    KEY_MLDSA44,
    KEY_MLDSA65,
    KEY_MLDSA87
} key_kind_t;

struct tr_pkey {
    EVP_PKEY *evp; /* owned reference */
    key_kind_t kind;
    int curve; /* NID of KEY_EC; else 0 */
    unsigned bits;
};

#define NO_HASH TR_HASH__NUM

typedef struct sig_row {
    uint16_t scheme;
    uint8_t kind; /* key_kind_t */
    uint8_t hash; /* tr_hash_id_t, or NO_HASH: the scheme has its own */
    bool pss;
    bool legacy; /* RFC 8446 4.2.3: not for TLS 1.3's CertificateVerify */
    int curve;   /* TLS 1.3 only; 0: any */
    const char *name;
} sig_row_t;

static const sig_row_t rows[] = {
    {TR_SIG_ECDSA_P256_SHA256, KEY_EC, TR_HASH_SHA256, false, false, NID_X9_62_prime256v1,
     "ecdsa_secp256r1_sha256"},
    {TR_SIG_RSA_PSS_RSAE_SHA256, KEY_RSA, TR_HASH_SHA256, true, false, 0, "rsa_pss_rsae_sha256"},
    {TR_SIG_RSA_PKCS1_SHA256, KEY_RSA, TR_HASH_SHA256, false, true, 0, "rsa_pkcs1_sha256"},
    {TR_SIG_ECDSA_P384_SHA384, KEY_EC, TR_HASH_SHA384, false, false, NID_secp384r1, "ecdsa_secp384r1_sha384"},
    {TR_SIG_RSA_PSS_RSAE_SHA384, KEY_RSA, TR_HASH_SHA384, true, false, 0, "rsa_pss_rsae_sha384"},
    {TR_SIG_RSA_PKCS1_SHA384, KEY_RSA, TR_HASH_SHA384, false, true, 0, "rsa_pkcs1_sha384"},
    {TR_SIG_ECDSA_P521_SHA512, KEY_EC, TR_HASH_SHA512, false, false, NID_secp521r1, "ecdsa_secp521r1_sha512"},
    {TR_SIG_RSA_PSS_RSAE_SHA512, KEY_RSA, TR_HASH_SHA512, true, false, 0, "rsa_pss_rsae_sha512"},
    {TR_SIG_RSA_PKCS1_SHA512, KEY_RSA, TR_HASH_SHA512, false, true, 0, "rsa_pkcs1_sha512"},
    {TR_SIG_ED25519, KEY_ED25519, NO_HASH, false, false, 0, "ed25519"},
    {TR_SIG_ED448, KEY_ED448, NO_HASH, false, false, 0, "ed448"},
    {TR_SIG_RSA_PSS_PSS_SHA256, KEY_RSA_PSS, TR_HASH_SHA256, true, false, 0, "rsa_pss_pss_sha256"},
    {TR_SIG_RSA_PSS_PSS_SHA384, KEY_RSA_PSS, TR_HASH_SHA384, true, false, 0, "rsa_pss_pss_sha384"},
    {TR_SIG_RSA_PSS_PSS_SHA512, KEY_RSA_PSS, TR_HASH_SHA512, true, false, 0, "rsa_pss_pss_sha512"},
    {TR_SIG_RSA_PKCS1_SHA1, KEY_RSA, TR_HASH_SHA1, false, true, 0, "rsa_pkcs1_sha1"},
    {TR_SIG_ECDSA_SHA1, KEY_EC, TR_HASH_SHA1, false, true, 0, "ecdsa_sha1"},
    {TR_SIG_RSA_PKCS1_SHA224, KEY_RSA, TR_HASH_SHA224, false, true, 0, "rsa_pkcs1_sha224"},
    {TR_SIG_ECDSA_SHA224, KEY_EC, TR_HASH_SHA224, false, true, 0, "ecdsa_sha224"},
    {TR_SIG_MLDSA44, KEY_MLDSA44, NO_HASH, false, false, 0, "mldsa44"},
    {TR_SIG_MLDSA65, KEY_MLDSA65, NO_HASH, false, false, 0, "mldsa65"},
    {TR_SIG_MLDSA87, KEY_MLDSA87, NO_HASH, false, false, 0, "mldsa87"},
};

static const sig_row_t *
find_row(uint16_t scheme)
{
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        if (rows[i].scheme == scheme) {
            return &rows[i];
        }
    }
    return NULL;
}

const char *
tr_sig_name(uint16_t scheme)
{
    const sig_row_t *row = find_row(scheme);
    return row != NULL ? row->name : "unknown";
}

bool
tr_sig_known(uint16_t scheme)
{
    const sig_row_t *row = find_row(scheme);
    const tr_evp_t *evp = tr_crypto__evp();
    if (row == NULL || evp == NULL) {
        return false;
    }
    return row->kind < KEY_MLDSA44 || evp->mldsa;
}

/* ------------------------------------------------------------------------------------- signatures */

/* Prepares a signature or its check. *out is the caller's to free, also on failure. */
static bool
begin(EVP_MD_CTX **out, const sig_row_t *row, const tr_pkey_t *key, bool sign)
{
    const tr_evp_t *evp = tr_crypto__evp();
    EVP_PKEY_CTX *pctx = NULL; /* owned by *out */
    *out = EVP_MD_CTX_new();
    if (*out == NULL || evp == NULL) {
        return false;
    }
    const char *md = row->hash == NO_HASH ? NULL : EVP_MD_get0_name(evp->md[row->hash]);
    int ok = sign ? EVP_DigestSignInit_ex(*out, &pctx, md, NULL, NULL, key->evp, NULL)
                  : EVP_DigestVerifyInit_ex(*out, &pctx, md, NULL, NULL, key->evp, NULL);
    if (ok == 1 && row->pss) {
        /* RFC 8446 4.2.3: the salt is as long as the digest. */
        ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    }
    return ok == 1;
}

bool
tr_sig_usable(uint16_t scheme, const tr_pkey_t *key, bool tls13)
{
    const sig_row_t *row = find_row(scheme);
    if (row == NULL || key == NULL || row->kind != key->kind || (tls13 && row->legacy)) {
        return false;
    }
    if (row->kind == KEY_EC && tls13 && row->curve != key->curve) {
        return false;
    }
    if (row->pss) {
        /* RFC 8017 9.1.1: the encoded message holds digest, salt and two bytes more. A key of 1024 bits cannot
         * carry SHA-512. */
        size_t hash_len = tr_hash_len((tr_hash_id_t)row->hash);
        if ((size_t)(key->bits + 6) / 8 < 2 * hash_len + 2) {
            return false;
        }
    }
    if (row->kind == KEY_RSA_PSS) {
        /* Such a key may be bound to one digest and salt length. */
        EVP_MD_CTX *ctx = NULL;
        bool ok = begin(&ctx, row, key, false);
        EVP_MD_CTX_free(ctx);
        if (!ok) {
            ERR_clear_error();
            return false;
        }
    }
    return row->kind < KEY_MLDSA44 || tr_sig_known(scheme);
}

bool
tr_sig_verify(uint16_t scheme, const tr_pkey_t *key, tr_slice_t msg, tr_slice_t sig)
{
    const sig_row_t *row = find_row(scheme);
    EVP_MD_CTX *ctx = NULL;
    if (row == NULL || key == NULL || row->kind != key->kind || sig.len == 0) {
        return false;
    }
    bool ok = begin(&ctx, row, key, false) && EVP_DigestVerify(ctx, sig.data, sig.len, msg.data, msg.len) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok) {
        ERR_clear_error();
    }
    return ok;
}

tr_code_t
tr_sig_sign(uint16_t scheme, const tr_pkey_t *key, tr_buf_t *out, tr_slice_t msg, tr_err_t *err)
{
    const sig_row_t *row = find_row(scheme);
    EVP_MD_CTX *ctx = NULL;
    tr_code_t code = TR_OK;
    if (row == NULL || key == NULL || row->kind != key->kind) {
        return tr_err_set(err, TR_ERR_TLS_IDENTITY, 0, "sig.sign", "the client key cannot sign with %s",
                          tr_sig_name(scheme));
    }
    int max_len = EVP_PKEY_get_size(key->evp);
    size_t len = max_len > 0 ? (size_t)max_len : 0;
    if (tr_buf_reserve(out, len) != TR_OK) {
        return tr_err_nomem(err, "sig.sign");
    }
    if (!begin(&ctx, row, key, true) || EVP_DigestSign(ctx, tr_buf_tail(out), &len, msg.data, msg.len) != 1) {
        unsigned long reason = ERR_peek_error();
        ERR_clear_error();
        code = tr_err_set(err, TR_ERR_TLS_IDENTITY, ERR_GET_REASON(reason), "sig.sign",
                          "the client key could not sign with %s", row->name);
        goto done;
    }
    tr_buf_commit(out, len);
done:
    EVP_MD_CTX_free(ctx);
    return code;
}

/* ------------------------------------------------------------------------------------- keys */

static key_kind_t
kind_of(const EVP_PKEY *evp)
{
    static const struct {
        const char *name;
        key_kind_t kind;
    } kinds[] = {
        {"RSA", KEY_RSA},           {"EC", KEY_EC},
        {"ED25519", KEY_ED25519},   {"RSA-PSS", KEY_RSA_PSS},
        {"ED448", KEY_ED448},       {"ML-DSA-44", KEY_MLDSA44},
        {"ML-DSA-65", KEY_MLDSA65}, {"ML-DSA-87", KEY_MLDSA87},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(kinds); i++) {
        if (EVP_PKEY_is_a(evp, kinds[i].name) == 1) {
            return kinds[i].kind;
        }
    }
    return KEY_OTHER;
}

static int
curve_of(const EVP_PKEY *evp)
{
    char name[64];
    size_t len;
    if (EVP_PKEY_get_group_name(evp, name, sizeof(name), &len) != 1) {
        return NID_undef;
    }
    int nid = OBJ_sn2nid(name);
    return nid != NID_undef ? nid : EC_curve_nist2nid(name);
}

tr_pkey_t *
tr_pkey__new(EVP_PKEY *evp)
{
    tr_pkey_t *key = tr_calloc(1, sizeof(*key));
    if (key == NULL) {
        EVP_PKEY_free(evp);
        return NULL;
    }
    int bits = EVP_PKEY_get_bits(evp);
    key->evp = evp;
    key->kind = kind_of(evp);
    key->curve = key->kind == KEY_EC ? curve_of(evp) : 0;
    key->bits = bits > 0 ? (unsigned)bits : 0;
    ERR_clear_error(); /* an unnamed curve is no error here: it fits no scheme of TLS 1.3 */
    return key;
}

void
tr_pkey_free(tr_pkey_t *key)
{
    if (key != NULL) {
        EVP_PKEY_free(key->evp);
        tr_free(key);
    }
}

bool
tr_pkey__for_tls(const tr_pkey_t *key)
{
    return key->kind != KEY_OTHER;
}

/* libcrypto 3.0's d2i_PUBKEY tries its decoders one after another: 150 to 200 us a key. The two types that nearly
 * all certificates have are taken apart here and given to libcrypto as numbers, which takes 10 (RSA) or 35 us (EC).
 */

/* AlgorithmIdentifier with NULL parameters (RFC 3279 2.3.1), contents of the SEQUENCE */
static const uint8_t rsa_algorithm[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                        0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
/* id-ecPublicKey, then the curve (RFC 5480 2.1.1) */
static const uint8_t ec_p256[] = {0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                                  0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t ec_p384[] = {0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
                                  0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
static const uint8_t ec_p521[] = {0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
                                  0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23};

static EVP_PKEY *
key_from_params(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY *evp = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &evp, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        evp = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return evp;
}

/* A positive INTEGER as a number. NULL: it is none. */
static BIGNUM *
take_number(tr_rd_t *rd)
{
    tr_slice_t bytes;
    if (!tr_der__take(rd, TR_DER_INTEGER, &bytes, NULL) || bytes.len == 0 || bytes.len > INT_MAX ||
        (bytes.data[0] & 0x80) != 0) {
        return NULL;
    }
    return BN_bin2bn(bytes.data, (int)bytes.len, NULL);
}

static EVP_PKEY *
rsa_from_bits(tr_slice_t bits)
{
    tr_rd_t outer = tr_rd(bits);
    tr_rd_t rd;
    EVP_PKEY *evp = NULL;
    BIGNUM *n = NULL;
    BIGNUM *e = NULL;
    OSSL_PARAM *params = NULL;
    OSSL_PARAM_BLD *build = NULL;
    /* RSAPublicKey (RFC 8017 A.1.1) */
    if (!tr_der__sub(&outer, TR_DER_SEQUENCE, &rd) || !tr_rd_end(&outer)) {
        goto done;
    }
    n = take_number(&rd);
    e = take_number(&rd);
    build = OSSL_PARAM_BLD_new();
    if (n == NULL || e == NULL || !tr_rd_end(&rd) || build == NULL ||
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) != 1) {
        goto done;
    }
    params = OSSL_PARAM_BLD_to_param(build);
    if (params != NULL) {
        evp = key_from_params("RSA", params);
    }
done:
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);
    return evp;
}

static EVP_PKEY *
ec_from_bits(const char *curve, tr_slice_t bits)
{
    /* The parameters' types lack const; nothing is written to. */
    OSSL_PARAM params[3] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)curve, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)bits.data, bits.len),
        OSSL_PARAM_construct_end(),
    };
    return bits.len == 0 ? NULL : key_from_params("EC", params);
}

static EVP_PKEY *
evp_from_spki(tr_slice_t der)
{
    tr_slice_t algorithm, bits;
    tr_rd_t outer = tr_rd(der);
    tr_rd_t rd;
    /* SubjectPublicKeyInfo (RFC 5280 4.1) */
    if (!tr_der__sub(&outer, TR_DER_SEQUENCE, &rd) || !tr_rd_end(&outer) ||
        !tr_der__take(&rd, TR_DER_SEQUENCE, &algorithm, NULL) ||
        !tr_der__take(&rd, TR_DER_BIT_STRING, &bits, NULL) || !tr_rd_end(&rd) || bits.len < 1 ||
        bits.data[0] != 0) {
        return NULL;
    }
    bits = tr_slice(bits.data + 1, bits.len - 1); /* after the count of unused bits */
    if (tr_slice_eq(algorithm, tr_slice(rsa_algorithm, sizeof(rsa_algorithm)))) {
        return rsa_from_bits(bits);
    }
    if (tr_slice_eq(algorithm, tr_slice(ec_p256, sizeof(ec_p256)))) {
        return ec_from_bits("P-256", bits);
    }
    if (tr_slice_eq(algorithm, tr_slice(ec_p384, sizeof(ec_p384)))) {
        return ec_from_bits("P-384", bits);
    }
    if (tr_slice_eq(algorithm, tr_slice(ec_p521, sizeof(ec_p521)))) {
        return ec_from_bits("P-521", bits);
    }
    if (der.len > LONG_MAX) {
        return NULL;
    }
    const uint8_t *p = der.data;
    return d2i_PUBKEY(NULL, &p, (long)der.len);
}

tr_code_t
tr_pkey__from_spki(tr_pkey_t **out, tr_slice_t der)
{
    *out = NULL;
    EVP_PKEY *evp = evp_from_spki(der);
    if (evp == NULL) {
        ERR_clear_error();
        return TR_ERR_TLS_PROTOCOL;
    }
    *out = tr_pkey__new(evp);
    return *out != NULL ? TR_OK : TR_ERR_NOMEM;
}

tr_pkey_t *
tr_pkey_from_spki(tr_slice_t der)
{
    tr_pkey_t *key;
    (void)tr_pkey__from_spki(&key, der); /* the key is the answer */
    return key;
}

typedef struct password_arg {
    const char *password; /* may be NULL */
    bool asked;
} password_arg_t;

/* Without it libcrypto would ask on the terminal. */
static int
give_password(char *buf, int size, int writing, void *arg)
{
    password_arg_t *password = arg;
    TR_UNUSED(writing);
    password->asked = true;
    size_t len = password->password == NULL ? 0 : strlen(password->password);
    if (password->password == NULL || size < 0 || len > (size_t)size) {
        return -1;
    }
    memcpy(buf, password->password, len);
    return (int)len;
}

tr_code_t
tr_pkey_from_pem(tr_pkey_t **out, tr_slice_t pem, const char *password, tr_err_t *err)
{
    password_arg_t arg = {password, false};
    EVP_PKEY *evp = NULL;
    tr_code_t code = TR_OK;
    BIO *bio = NULL;
    *out = NULL;
    if (pem.len == 0 || pem.len > INT_MAX) {
        return tr_err_set(err, TR_ERR_TLS_IDENTITY, 0, "pkey.from_pem", "the private key's PEM text is empty");
    }
    bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    if (bio == NULL) {
        return tr_err_nomem(err, "pkey.from_pem");
    }
    evp = PEM_read_bio_PrivateKey(bio, NULL, give_password, &arg);
    if (evp == NULL) {
        unsigned long reason = ERR_peek_last_error();
        const char *text = "there is no private key in the PEM text";
        if (arg.asked) {
            text = password == NULL ? "the private key is encrypted: give its password"
                                    : "the private key could not be decrypted: is the password right?";
        }
        ERR_clear_error();
        code = tr_err_set(err, TR_ERR_TLS_IDENTITY, ERR_GET_REASON(reason), "pkey.from_pem", "%s", text);
        goto done;
    }
    *out = tr_pkey__new(evp);
    if (*out == NULL) {
        code = tr_err_nomem(err, "pkey.from_pem");
    }
done:
    BIO_free(bio);
    return code;
}

bool
tr_pkey_is_rsa(const tr_pkey_t *key)
{
    return key->kind == KEY_RSA || key->kind == KEY_RSA_PSS;
}

unsigned
tr_pkey_bits(const tr_pkey_t *key)
{
    return key->bits;
}

bool
tr_pkey_same(const tr_pkey_t *a, const tr_pkey_t *b)
{
    bool same = EVP_PKEY_eq(a->evp, b->evp) == 1;
    ERR_clear_error();
    return same;
}

tr_code_t
tr_pkey_rsa_encrypt(const tr_pkey_t *key, tr_buf_t *out, tr_slice_t in, tr_err_t *err)
{
    EVP_PKEY_CTX *ctx = NULL;
    tr_code_t code = TR_OK;
    size_t len = 0;
    if (key->kind != KEY_RSA) {
        return tr_err_set(err, TR_ERR_TLS_PROTOCOL, 43, "pkey.rsa_encrypt",
                          "the server's certificate has no RSA key, which the cipher suite needs");
    }
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->evp, NULL);
    if (ctx == NULL || EVP_PKEY_encrypt_init(ctx) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) != 1 ||
        EVP_PKEY_encrypt(ctx, NULL, &len, in.data, in.len) != 1) {
        code = tr_crypto__fail(err, "pkey.rsa_encrypt");
        goto done;
    }
    if (tr_buf_reserve(out, len) != TR_OK) {
        code = tr_err_nomem(err, "pkey.rsa_encrypt");
        goto done;
    }
    if (EVP_PKEY_encrypt(ctx, tr_buf_tail(out), &len, in.data, in.len) != 1) {
        code = tr_crypto__fail(err, "pkey.rsa_encrypt");
        goto done;
    }
    tr_buf_commit(out, len);
done:
    EVP_PKEY_CTX_free(ctx);
    return code;
}
