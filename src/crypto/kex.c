#include "crypto/kex.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include "core/mem.h"
#include "crypto/evp.h"
#include "crypto/mlkem.h"

/* DESIGN. A group is a classical part, an ML-KEM part, or both; a row says which, and in which order the two stand
 * in shares and secret. X25519 and X448 go through EVP_PKEY. The NIST curves and finite fields go through EC_POINT
 * and BIGNUM directly: EVP_PKEY has no way to make such a key from given bytes, and the private numbers come from
 * the caller's generator so that a fixed seed gives a fixed ClientHello. The functions used (EC_POINT_mul with one
 * scalar, BN_mod_exp_mont_consttime) are libcrypto's constant-time ones. */

typedef enum kex_kind {
    KEX_X,  /* X25519, X448: param is not used */
    KEX_EC, /* param is a tr_evp_curve_t */
    KEX_FF  /* param is the length of p */
} kex_kind_t;

typedef enum kex_hybrid { HYBRID_NONE, HYBRID_MLKEM_FIRST, HYBRID_MLKEM_LAST, HYBRID_KYBER_LAST } kex_hybrid_t;

typedef struct kex_row {
    uint16_t group;
    uint8_t kind;   /* kex_kind_t */
    uint8_t hybrid; /* kex_hybrid_t */
    const char *name;
    const char *algorithm; /* libcrypto's name of the key type or finite-field group */
    size_t param;
    size_t share_len;  /* classical part */
    size_t secret_len; /* classical part */
} kex_row_t;

static const kex_row_t rows[] = {
    {TR_GROUP_X25519_MLKEM768, KEX_X, HYBRID_MLKEM_FIRST, "X25519MLKEM768", "X25519", 0, 32, 32},
    {TR_GROUP_X25519, KEX_X, HYBRID_NONE, "x25519", "X25519", 0, 32, 32},
    {TR_GROUP_P256, KEX_EC, HYBRID_NONE, "secp256r1", NULL, TR_EVP_P256, 65, 32},
    {TR_GROUP_P384, KEX_EC, HYBRID_NONE, "secp384r1", NULL, TR_EVP_P384, 97, 48},
    {TR_GROUP_P521, KEX_EC, HYBRID_NONE, "secp521r1", NULL, TR_EVP_P521, 133, 66},
    {TR_GROUP_X448, KEX_X, HYBRID_NONE, "x448", "X448", 0, 56, 56},
    {TR_GROUP_FFDHE2048, KEX_FF, HYBRID_NONE, "ffdhe2048", "ffdhe2048", 256, 256, 256},
    {TR_GROUP_FFDHE3072, KEX_FF, HYBRID_NONE, "ffdhe3072", "ffdhe3072", 384, 384, 384},
    {TR_GROUP_FFDHE4096, KEX_FF, HYBRID_NONE, "ffdhe4096", "ffdhe4096", 512, 512, 512},
    {TR_GROUP_FFDHE6144, KEX_FF, HYBRID_NONE, "ffdhe6144", "ffdhe6144", 768, 768, 768},
    {TR_GROUP_FFDHE8192, KEX_FF, HYBRID_NONE, "ffdhe8192", "ffdhe8192", 1024, 1024, 1024},
    {TR_GROUP_P256_MLKEM768, KEX_EC, HYBRID_MLKEM_LAST, "SecP256r1MLKEM768", NULL, TR_EVP_P256, 65, 32},
    {TR_GROUP_X25519_KYBER768, KEX_X, HYBRID_KYBER_LAST, "X25519Kyber768Draft00", "X25519", 0, 32, 32},
};

/* The server's own prime: no group number. */
static const kex_row_t dhe_row = {0, KEX_FF, HYBRID_NONE, "DHE", NULL, 0, 0, 0};

#define DHE_MIN_BITS 1024
#define DHE_MAX_BITS 8192
#define MAX_EC_SCALAR 66
/* The longest private exponent, twice the strength of a prime of 8192 bits and more. */
#define MAX_FF_EXPONENT 64

struct tr_kex {
    const kex_row_t *row;
    EVP_PKEY *key;     /* KEX_X; owned */
    BIGNUM *scalar;    /* KEX_EC, KEX_FF: private; owned */
    BIGNUM *p;         /* KEX_FF; owned */
    uint8_t *mlkem_dk; /* owned; TR_MLKEM768_DK_LEN bytes, hybrids only */
    uint8_t *share;    /* owned */
    size_t share_len;
};

static const kex_row_t *
find_row(uint16_t group)
{
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        if (rows[i].group == group) {
            return &rows[i];
        }
    }
    return NULL;
}

bool
tr_kex_supported(uint16_t group)
{
    return find_row(group) != NULL;
}

const char *
tr_kex_name(uint16_t group)
{
    const kex_row_t *row = find_row(group);
    return row != NULL ? row->name : "unknown";
}

size_t
tr_kex_share_len(uint16_t group)
{
    const kex_row_t *row = find_row(group);
    if (row == NULL) {
        return 0;
    }
    return row->share_len + (row->hybrid != HYBRID_NONE ? TR_MLKEM768_EK_LEN : 0);
}

uint16_t
tr_kex_group(const tr_kex_t *kex)
{
    return kex->row->group;
}

tr_slice_t
tr_kex_share(const tr_kex_t *kex)
{
    return tr_slice(kex->share, kex->share_len);
}

void
tr_kex_free(tr_kex_t *kex)
{
    if (kex == NULL) {
        return;
    }
    EVP_PKEY_free(kex->key);
    BN_clear_free(kex->scalar);
    BN_free(kex->p);
    tr_wipe(kex->mlkem_dk, kex->mlkem_dk != NULL ? TR_MLKEM768_DK_LEN : 0);
    tr_free(kex->mlkem_dk);
    tr_free(kex->share);
    tr_free(kex);
}

static tr_code_t
refuse(tr_err_t *err, const kex_row_t *row)
{
    ERR_clear_error();
    return tr_err_set(err, TR_ERR_TLS_PROTOCOL, 47, "kex.derive", "the server's %s key share is invalid",
                      row->name);
}

/* ------------------------------------------------------------------------------------- X25519, X448 */

static tr_code_t
x_make(tr_kex_t *kex, uint8_t *share, const tr_rand_t *rnd, tr_err_t *err)
{
    uint8_t bytes[56];
    size_t len = kex->row->share_len;
    size_t share_len = len;
    tr_code_t code = rnd->fill(rnd->arg, bytes, len);
    if (code != TR_OK) {
        (void)tr_err_set(err, code, 0, "kex.new", NULL);
        goto done;
    }
    /* RFC 7748 5: the function itself clamps the scalar. */
    kex->key = EVP_PKEY_new_raw_private_key_ex(NULL, kex->row->algorithm, NULL, bytes, len);
    if (kex->key == NULL || EVP_PKEY_get_raw_public_key(kex->key, share, &share_len) != 1 || share_len != len) {
        code = tr_crypto__fail(err, "kex.new");
        goto done;
    }
done:
    tr_wipe(bytes, sizeof(bytes));
    return code;
}

static tr_code_t
x_derive(const tr_kex_t *kex, uint8_t *out, tr_slice_t peer, tr_err_t *err)
{
    tr_code_t code = TR_OK;
    size_t out_len = kex->row->secret_len;
    EVP_PKEY_CTX *ctx = NULL;
    EVP_PKEY *peer_key = EVP_PKEY_new_raw_public_key_ex(NULL, kex->row->algorithm, NULL, peer.data, peer.len);
    if (peer_key == NULL) {
        code = refuse(err, kex->row);
        goto done;
    }
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, kex->key, NULL);
    if (ctx == NULL || EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer_ex(ctx, peer_key, 0) != 1) {
        code = tr_crypto__fail(err, "kex.derive");
        goto done;
    }
    /* Fails for an all-zero result, which RFC 8446 7.4.2 asks to refuse. */
    if (EVP_PKEY_derive(ctx, out, &out_len) != 1 || out_len != kex->row->secret_len) {
        code = refuse(err, kex->row);
    }
done:
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer_key);
    return code;
}

/* ------------------------------------------------------------------------------------- NIST curves */

static tr_code_t
ec_make(tr_kex_t *kex, uint8_t *share, const tr_rand_t *rnd, tr_err_t *err)
{
    const EC_GROUP *group = tr_crypto__evp()->curve[kex->row->param];
    const BIGNUM *order = EC_GROUP_get0_order(group);
    size_t len = kex->row->secret_len;
    unsigned top_bits = (unsigned)BN_num_bits(order) % 8;
    uint8_t bytes[MAX_EC_SCALAR];
    tr_code_t code = TR_OK;
    BN_CTX *ctx = BN_CTX_new();
    EC_POINT *point = EC_POINT_new(group);
    kex->scalar = BN_new();
    if (ctx == NULL || point == NULL || kex->scalar == NULL) {
        code = tr_err_nomem(err, "kex.new");
        goto done;
    }
    BN_set_flags(kex->scalar, BN_FLG_CONSTTIME);
    /* Uniform below the order by rejection. A draw is refused with a chance of 2^-32 at most (P-256), so a second
     * refusal already means a broken generator. */
    for (int tries = 0;; tries++) {
        code = tries < 8 ? rnd->fill(rnd->arg, bytes, len) : TR_ERR_INTERNAL;
        if (code != TR_OK) {
            (void)tr_err_set(err, code, 0, "kex.new", NULL);
            goto done;
        }
        if (top_bits != 0) {
            bytes[0] &= (uint8_t)((1u << top_bits) - 1);
        }
        if (BN_bin2bn(bytes, (int)len, kex->scalar) == NULL) {
            code = tr_err_nomem(err, "kex.new");
            goto done;
        }
        if (!BN_is_zero(kex->scalar) && BN_ucmp(kex->scalar, order) < 0) {
            break;
        }
    }
    if (EC_POINT_mul(group, point, kex->scalar, NULL, NULL, ctx) != 1 ||
        EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, share, kex->row->share_len, ctx) !=
            kex->row->share_len) {
        code = tr_crypto__fail(err, "kex.new");
    }
done:
    tr_wipe(bytes, sizeof(bytes));
    EC_POINT_free(point);
    BN_CTX_free(ctx);
    return code;
}

static tr_code_t
ec_derive(const tr_kex_t *kex, uint8_t *out, tr_slice_t peer, tr_err_t *err)
{
    const EC_GROUP *group = tr_crypto__evp()->curve[kex->row->param];
    tr_code_t code = TR_OK;
    BN_CTX *ctx = BN_CTX_new();
    EC_POINT *point = EC_POINT_new(group);
    BIGNUM *x = BN_new();
    if (ctx == NULL || point == NULL || x == NULL) {
        code = tr_err_nomem(err, "kex.derive");
        goto done;
    }
    /* RFC 8446 4.2.8.2: uncompressed form only, on the curve. EC_POINT_oct2point checks the equation; the point at
     * infinity has another length. */
    if (peer.data[0] != POINT_CONVERSION_UNCOMPRESSED ||
        EC_POINT_oct2point(group, point, peer.data, peer.len, ctx) != 1) {
        code = refuse(err, kex->row);
        goto done;
    }
    if (EC_POINT_mul(group, point, NULL, point, kex->scalar, ctx) != 1 ||
        EC_POINT_get_affine_coordinates(group, point, x, NULL, ctx) != 1 ||
        BN_bn2binpad(x, out, (int)kex->row->secret_len) != (int)kex->row->secret_len) {
        code = tr_crypto__fail(err, "kex.derive");
    }
done:
    BN_clear_free(x);
    EC_POINT_clear_free(point);
    BN_CTX_free(ctx);
    return code;
}

/* ------------------------------------------------------------------------------------- finite fields */

static tr_code_t
ff_make(tr_kex_t *kex, uint8_t *share, size_t share_len, const BIGNUM *g, const tr_rand_t *rnd, tr_err_t *err)
{
    /* RFC 7919 5.2 asks for exponents of 225 and 275 bits for the groups of 2048 and 3072 bits, of 400 for that of 8192. */
    size_t len = share_len <= 256 ? 32 : share_len <= 384 ? 40 : MAX_FF_EXPONENT;
    uint8_t bytes[MAX_FF_EXPONENT];
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *y = BN_new();
    tr_code_t code = rnd->fill(rnd->arg, bytes, len);
    if (code != TR_OK) {
        (void)tr_err_set(err, code, 0, "kex.new", NULL);
        goto done;
    }
    bytes[0] |= 0x80; /* never zero, and always the same length */
    kex->scalar = BN_bin2bn(bytes, (int)len, NULL);
    if (ctx == NULL || y == NULL || kex->scalar == NULL) {
        code = tr_err_nomem(err, "kex.new");
        goto done;
    }
    BN_set_flags(kex->scalar, BN_FLG_CONSTTIME);
    if (BN_mod_exp_mont_consttime(y, g, kex->scalar, kex->p, ctx, NULL) != 1 ||
        BN_bn2binpad(y, share, (int)share_len) != (int)share_len) {
        code = tr_crypto__fail(err, "kex.new");
    }
done:
    tr_wipe(bytes, sizeof(bytes));
    BN_free(y);
    BN_CTX_free(ctx);
    return code;
}

/* The prime of a group of RFC 7919, from libcrypto's table. */
static tr_code_t
ff_named_prime(BIGNUM **out_p, const char *name, tr_err_t *err)
{
    /* The parameter's type lacks const; the name is not written to. */
    OSSL_PARAM params[2] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)name, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *key = NULL;
    tr_code_t code = TR_OK;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEY_PARAMETERS, params) != 1 ||
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_FFC_P, out_p) != 1) {
        code = tr_crypto__fail(err, "kex.new");
    }
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(ctx);
    return code;
}

static tr_code_t
ff_derive(const tr_kex_t *kex, uint8_t *out, size_t *out_len, tr_slice_t peer, tr_err_t *err)
{
    size_t p_len = kex->share_len;
    tr_code_t code = TR_OK;
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *limit = BN_dup(kex->p);
    BIGNUM *y = BN_bin2bn(peer.data, (int)peer.len, NULL);
    BIGNUM *secret = BN_new();
    if (ctx == NULL || limit == NULL || y == NULL || secret == NULL || BN_sub_word(limit, 1) != 1) {
        code = tr_err_nomem(err, "kex.derive");
        goto done;
    }
    /* RFC 8446 4.2.8.1: 1 < Y < p - 1 */
    if (BN_is_zero(y) || BN_is_one(y) || BN_cmp(y, limit) >= 0) {
        code = refuse(err, kex->row);
        goto done;
    }
    if (BN_mod_exp_mont_consttime(secret, y, kex->scalar, kex->p, ctx, NULL) != 1 ||
        BN_bn2binpad(secret, out, (int)p_len) != (int)p_len) {
        code = tr_crypto__fail(err, "kex.derive");
        goto done;
    }
    *out_len = p_len;
    if (kex->row == &dhe_row) {
        /* RFC 5246 8.1.2: leading zero bytes are stripped (TLS 1.3 keeps them, RFC 8446 7.4.1). The Raccoon attack
         * on the timing of this needs a server that reuses its key; ours is used once. */
        size_t zeros = 0;
        while (zeros + 1 < p_len && out[zeros] == 0) {
            zeros++;
        }
        memmove(out, out + zeros, p_len - zeros);
        *out_len = p_len - zeros;
    }
done:
    BN_clear_free(secret);
    BN_free(y);
    BN_free(limit);
    BN_CTX_free(ctx);
    return code;
}

/* ------------------------------------------------------------------------------------- all groups */

static tr_code_t
make_mlkem(tr_kex_t *kex, uint8_t *share, const tr_rand_t *rnd, tr_err_t *err)
{
    uint8_t seed[TR_MLKEM768_SEED_LEN];
    kex->mlkem_dk = tr_malloc(TR_MLKEM768_DK_LEN);
    if (kex->mlkem_dk == NULL) {
        return tr_err_nomem(err, "kex.new");
    }
    memset(kex->mlkem_dk, 0, TR_MLKEM768_DK_LEN);
    tr_code_t code = rnd->fill(rnd->arg, seed, sizeof(seed));
    if (code == TR_OK) {
        tr_mlkem768_keygen(share, kex->mlkem_dk, seed);
    } else {
        (void)tr_err_set(err, code, 0, "kex.new", NULL);
    }
    tr_wipe(seed, sizeof(seed));
    return code;
}

/* Where the classical part of the client's share starts. */
static uint8_t *
classical_share(const tr_kex_t *kex)
{
    return kex->share + (kex->row->hybrid == HYBRID_MLKEM_FIRST ? TR_MLKEM768_EK_LEN : 0);
}

static tr_kex_t *
kex_alloc(const kex_row_t *row, size_t share_len)
{
    tr_kex_t *kex = tr_calloc(1, sizeof(*kex));
    if (kex == NULL) {
        return NULL;
    }
    kex->row = row;
    kex->share_len = share_len;
    kex->share = tr_calloc(1, share_len);
    if (kex->share == NULL) {
        tr_free(kex);
        return NULL;
    }
    return kex;
}

tr_code_t
tr_kex_new(tr_kex_t **out, uint16_t group, const tr_rand_t *rnd, tr_err_t *err)
{
    const kex_row_t *row = find_row(group);
    tr_kex_t *kex = NULL;
    BIGNUM *g = NULL;
    tr_code_t code;
    *out = NULL;
    if (row == NULL) {
        return tr_err_set(err, TR_ERR_TLS_UNSUPPORTED, group, "kex.new", "key exchange group %u is not supported",
                          group);
    }
    if (tr_crypto__evp() == NULL) {
        return tr_err_set(err, TR_ERR_INTERNAL, 0, "kex.new", "libcrypto lacks an algorithm");
    }
    kex = kex_alloc(row, tr_kex_share_len(group));
    if (kex == NULL) {
        return tr_err_nomem(err, "kex.new");
    }
    if (row->hybrid != HYBRID_NONE) {
        uint8_t *ek = kex->share + (row->hybrid == HYBRID_MLKEM_FIRST ? 0 : row->share_len);
        code = make_mlkem(kex, ek, rnd, err);
        if (code != TR_OK) {
            goto done;
        }
    }
    switch ((kex_kind_t)row->kind) {
    case KEX_X:
        code = x_make(kex, classical_share(kex), rnd, err);
        break;
    case KEX_EC:
        code = ec_make(kex, classical_share(kex), rnd, err);
        break;
    case KEX_FF:
        code = ff_named_prime(&kex->p, row->algorithm, err);
        if (code != TR_OK) {
            break;
        }
        g = BN_new();
        if (g == NULL || BN_set_word(g, 2) != 1) {
            code = tr_err_nomem(err, "kex.new");
            break;
        }
        code = ff_make(kex, classical_share(kex), row->share_len, g, rnd, err);
        break;
    default:
        code = tr_err_set(err, TR_ERR_INTERNAL, 0, "kex.new", NULL);
        break;
    }
done:
    BN_free(g);
    if (code == TR_OK) {
        *out = kex;
    } else {
        tr_kex_free(kex);
    }
    return code;
}

tr_code_t
tr_kex_new_from_x25519(tr_kex_t **out, const tr_kex_t *other, tr_err_t *err)
{
    *out = NULL;
    if (other->row->group != TR_GROUP_X25519_MLKEM768 && other->row->group != TR_GROUP_X25519_KYBER768) {
        return tr_err_set(err, TR_ERR_INTERNAL, 0, "kex.new_from_x25519", NULL);
    }
    const kex_row_t *row = find_row(TR_GROUP_X25519);
    tr_kex_t *kex = kex_alloc(row, row->share_len);
    if (kex == NULL) {
        return tr_err_nomem(err, "kex.new_from_x25519");
    }
    if (EVP_PKEY_up_ref(other->key) != 1) {
        tr_kex_free(kex);
        return tr_crypto__fail(err, "kex.new_from_x25519");
    }
    kex->key = other->key;
    memcpy(kex->share, classical_share(other), row->share_len);
    *out = kex;
    return TR_OK;
}

tr_code_t
tr_kex_new_dhe(tr_kex_t **out, tr_slice_t p, tr_slice_t g, const tr_rand_t *rnd, tr_err_t *err)
{
    tr_kex_t *kex = NULL;
    BIGNUM *prime = NULL;
    BIGNUM *base = NULL;
    tr_code_t code = TR_OK;
    *out = NULL;
    /* Leading zeros are no reason to refuse; anything longer than the limit is, before it becomes a number. */
    while (p.len > 0 && p.data[0] == 0) {
        p = tr_slice(p.data + 1, p.len - 1);
    }
    if (p.len > DHE_MAX_BITS / 8 || p.len < DHE_MIN_BITS / 8) {
        return tr_err_set(err, TR_ERR_TLS_PROTOCOL, 71, "kex.new_dhe",
                          "the server's DHE prime has %zu bits: refused", p.len * 8);
    }
    if (g.len > p.len + 8) {
        return tr_err_set(err, TR_ERR_TLS_PROTOCOL, 47, "kex.new_dhe", "the server's DHE generator is invalid");
    }
    prime = BN_bin2bn(p.data, (int)p.len, NULL);
    base = BN_bin2bn(g.data, (int)g.len, NULL);
    kex = kex_alloc(&dhe_row, p.len);
    if (prime == NULL || base == NULL || kex == NULL) {
        code = tr_err_nomem(err, "kex.new_dhe");
        goto done;
    }
    if (BN_num_bits(prime) < DHE_MIN_BITS) {
        code = tr_err_set(err, TR_ERR_TLS_PROTOCOL, 71, "kex.new_dhe",
                          "the server's DHE prime has %d bits: refused", BN_num_bits(prime));
        goto done;
    }
    if (!BN_is_odd(prime) || BN_is_zero(base) || BN_is_one(base) || BN_ucmp(base, prime) >= 0) {
        code = tr_err_set(err, TR_ERR_TLS_PROTOCOL, 47, "kex.new_dhe", "the server's DHE parameters are invalid");
        goto done;
    }
    kex->p = prime;
    prime = NULL;
    code = ff_make(kex, kex->share, kex->share_len, base, rnd, err);
done:
    BN_free(prime);
    BN_free(base);
    if (code == TR_OK) {
        *out = kex;
    } else {
        tr_kex_free(kex);
    }
    return code;
}

/* The classical part of an exchange. */
static tr_code_t
derive_classical(const tr_kex_t *kex, uint8_t *out, size_t *out_len, tr_slice_t peer, tr_err_t *err)
{
    size_t want = kex->row == &dhe_row ? kex->share_len : kex->row->share_len;
    /* TLS 1.2's dh_Ys may be shorter than the prime. */
    if (peer.len != want && !(kex->row == &dhe_row && peer.len > 0 && peer.len < want)) {
        return refuse(err, kex->row);
    }
    *out_len = kex->row->secret_len;
    switch ((kex_kind_t)kex->row->kind) {
    case KEX_X:
        return x_derive(kex, out, peer, err);
    case KEX_EC:
        return ec_derive(kex, out, peer, err);
    case KEX_FF:
        return ff_derive(kex, out, out_len, peer, err);
    default:
        return tr_err_set(err, TR_ERR_INTERNAL, 0, "kex.derive", NULL);
    }
}

tr_code_t
tr_kex_derive(const tr_kex_t *kex, uint8_t *out, size_t *out_len, tr_slice_t peer, tr_err_t *err)
{
    const kex_row_t *row = kex->row;
    uint8_t *mlkem_out = out;
    uint8_t *classical_out = out;
    *out_len = 0;
    if (row->hybrid == HYBRID_NONE) {
        return derive_classical(kex, out, out_len, peer, err);
    }
    if (peer.len != TR_MLKEM768_CT_LEN + row->share_len) {
        return refuse(err, row);
    }
    tr_slice_t ct = peer;
    tr_slice_t classical = peer;
    ct.len = TR_MLKEM768_CT_LEN;
    classical.len = row->share_len;
    if (row->hybrid == HYBRID_MLKEM_FIRST) {
        classical.data += ct.len;
        classical_out += TR_MLKEM_SECRET_LEN;
    } else {
        ct.data += classical.len;
        mlkem_out += row->secret_len;
    }
    tr_code_t code = derive_classical(kex, classical_out, out_len, classical, err);
    if (code != TR_OK) {
        *out_len = 0;
        return code;
    }
    if (row->hybrid == HYBRID_KYBER_LAST) {
        tr_kyber768_decaps(mlkem_out, ct.data, kex->mlkem_dk);
    } else {
        tr_mlkem768_decaps(mlkem_out, ct.data, kex->mlkem_dk);
    }
    *out_len += TR_MLKEM_SECRET_LEN;
    return TR_OK;
}
