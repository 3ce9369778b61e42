/* Key exchange and signatures: known answers from RFCs, agreement with libcrypto's own implementation as the peer,
 * and what must be refused. */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "core/mem.h"
#include "crypto/kex.h"
#include "crypto/mlkem.h"
#include "crypto/sig.h"
#include "tr_test.h"

static tr_slice_t
hex(const char *text)
{
    size_t len;
    uint8_t *data = tr_test_hex(text, &len);
    return tr_slice(data, len);
}

#define CHECK_HEX(got, got_len, text)               \
    do {                                            \
        tr_slice_t want_ = hex(text);               \
        TR_CHECK_INT((got_len), want_.len);         \
        TR_CHECK_MEM((got), want_.data, want_.len); \
    } while (0)

/* A generator that gives these bytes, in order, and fails when they are used up. */
static tr_code_t
fixed_fill(void *arg, uint8_t *out, size_t len)
{
    tr_slice_t *rest = arg;
    if (rest->len < len) {
        memset(out, 0, len);
        return TR_ERR_INTERNAL;
    }
    memcpy(out, rest->data, len);
    *rest = tr_slice(rest->data + len, rest->len - len);
    return TR_OK;
}

static tr_rand_t
fixed(tr_slice_t *bytes)
{
    return (tr_rand_t){fixed_fill, bytes};
}

/* ------------------------------------------------------------------------------------- key exchange */

typedef struct kex_answer {
    uint16_t group;
    const char *private_key, *share, *peer, *secret;
} kex_answer_t;

static const kex_answer_t kex_answers[] = {
    /* RFC 7748 6.1, from both sides */
    {TR_GROUP_X25519, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
     "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
     "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
     "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"},
    {TR_GROUP_X25519, "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
     "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
     "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
     "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"},
    /* RFC 8448 3: the client's key of the simple handshake */
    {TR_GROUP_X25519, "49af42ba7f7994852d713ef2784bcbcaa7911de26adc5642cb634540e7ea5005",
     "99381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c",
     "c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f",
     "8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d"},
    /* RFC 5903 8.1 */
    {TR_GROUP_P256, "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
     "04dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180"
     "5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
     "04d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"
     "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
     "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"},
};

TR_TEST_OOM(kex_known, "/crypto/kex/known_answers")
{
    for (size_t i = 0; i < TR_ARRAY_LEN(kex_answers); i++) {
        const kex_answer_t *answer = &kex_answers[i];
        tr_err_t err = TR_ERR_INIT;
        tr_kex_t *kex;
        uint8_t out[TR_KEX_MAX_SECRET];
        size_t out_len;
        tr_slice_t bytes = hex(answer->private_key);
        tr_rand_t rnd = fixed(&bytes);
        tr_code_t code = tr_kex_new(&kex, answer->group, &rnd, &err);
        if (code == TR_ERR_NOMEM && tr_test_oom_running()) {
            return;
        }
        TR_CHECK_OK(code, &err);
        TR_CHECK_INT(tr_kex_group(kex), answer->group);
        CHECK_HEX(tr_kex_share(kex).data, tr_kex_share(kex).len, answer->share);
        TR_CHECK_INT(tr_kex_share(kex).len, tr_kex_share_len(answer->group));
        code = tr_kex_derive(kex, out, &out_len, hex(answer->peer), &err);
        tr_kex_free(kex);
        TR_CHECK_OK(code, &err);
        CHECK_HEX(out, out_len, answer->secret);
    }
}

/* The peer by libcrypto: makes a key of the type, gives its share in TLS's form, and derives from ours. */
static void
libcrypto_peer(EVP_PKEY *key, tr_slice_t share, uint8_t *out_share, size_t *out_share_len, uint8_t *out_secret,
               size_t *out_secret_len)
{
    uint8_t *encoded = NULL;
    EVP_PKEY *other = EVP_PKEY_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    size_t len = EVP_PKEY_get1_encoded_public_key(key, &encoded);
    bool ok = len > 0 && other != NULL && ctx != NULL && EVP_PKEY_copy_parameters(other, key) == 1 &&
              EVP_PKEY_set1_encoded_public_key(other, share.data, share.len) == 1 && EVP_PKEY_derive_init(ctx) == 1;
    if (ok && EVP_PKEY_is_a(key, "DH")) {
        ok = EVP_PKEY_CTX_set_dh_pad(ctx, 1) == 1;
    }
    *out_secret_len = TR_KEX_MAX_SECRET;
    ok = ok && EVP_PKEY_derive_set_peer(ctx, other) == 1 && EVP_PKEY_derive(ctx, out_secret, out_secret_len) == 1;
    if (ok) {
        memcpy(out_share, encoded, len);
        *out_share_len = len;
    }
    OPENSSL_free(encoded);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(other);
    TR_CHECK(ok);
}

static EVP_PKEY *
dh_key(const char *group)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM params[2] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)group, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
    bool ok = ctx != NULL && EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_CTX_set_params(ctx, params) == 1 &&
              EVP_PKEY_generate(ctx, &key) == 1;
    EVP_PKEY_CTX_free(ctx);
    TR_CHECK(ok);
    return key;
}

TR_TEST(kex_libcrypto, "/crypto/kex/libcrypto_as_peer")
{
    static const struct {
        uint16_t group;
        const char *type, *curve;
    } cases[] = {
        {TR_GROUP_X25519, "X25519", NULL},       {TR_GROUP_X448, "X448", NULL},
        {TR_GROUP_P256, "EC", "P-256"},          {TR_GROUP_P384, "EC", "P-384"},
        {TR_GROUP_P521, "EC", "P-521"},          {TR_GROUP_FFDHE2048, "DH", "ffdhe2048"},
        {TR_GROUP_FFDHE3072, "DH", "ffdhe3072"},
        {TR_GROUP_FFDHE4096, "DH", "ffdhe4096"}, {TR_GROUP_FFDHE6144, "DH", "ffdhe6144"},
        {TR_GROUP_FFDHE8192, "DH", "ffdhe8192"},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(cases); i++) {
        tr_err_t err = TR_ERR_INIT;
        tr_kex_t *kex, *again, *fourth;
        uint8_t share[TR_KEX_MAX_SECRET], theirs[TR_KEX_MAX_SECRET], ours[TR_KEX_MAX_SECRET];
        size_t share_len, theirs_len, ours_len;
        tr_rand_seeded_t seeded;
        tr_rand_seeded_init(&seeded, i);
        tr_rand_t rnd = tr_rand_seeded(&seeded);
        TR_CHECK(tr_kex_supported(cases[i].group));
        TR_CHECK_OK(tr_kex_new(&kex, cases[i].group, &rnd, &err), &err);
        EVP_PKEY *peer = strcmp(cases[i].type, "DH") == 0   ? dh_key(cases[i].curve)
                         : strcmp(cases[i].type, "EC") == 0 ? EVP_EC_gen(cases[i].curve)
                                                            : EVP_PKEY_Q_keygen(NULL, NULL, cases[i].type);
        TR_CHECK(peer != NULL);
        libcrypto_peer(peer, tr_kex_share(kex), share, &share_len, theirs, &theirs_len);
        EVP_PKEY_free(peer);
        TR_CHECK_OK(tr_kex_derive(kex, ours, &ours_len, tr_slice(share, share_len), &err), &err);
        TR_CHECK_INT(ours_len, theirs_len);
        TR_CHECK_MEM(ours, theirs, ours_len);
        /* The same seed gives the same share, another one another. */
        tr_rand_seeded_init(&seeded, i);
        TR_CHECK_OK(tr_kex_new(&again, cases[i].group, &rnd, &err), &err);
        TR_CHECK(tr_slice_eq(tr_kex_share(kex), tr_kex_share(again)));
        TR_CHECK_OK(tr_kex_new(&fourth, cases[i].group, &rnd, &err), &err);
        TR_CHECK(!tr_slice_eq(tr_kex_share(kex), tr_kex_share(fourth)));
        tr_kex_free(again);
        tr_kex_free(fourth);
        /* Too short, too long, nothing. */
        size_t bad_lens[4] = {0, 1, share_len - 1, share_len + 1};
        uint8_t longer[TR_KEX_MAX_SECRET + 1] = {0};
        memcpy(longer, share, share_len);
        for (size_t j = 0; j < 4; j++) {
            tr_err_clear(&err);
            TR_CHECK_INT(tr_kex_derive(kex, ours, &ours_len, tr_slice(longer, bad_lens[j]), &err),
                         TR_ERR_TLS_PROTOCOL);
            TR_CHECK_INT(err.detail, 47);
        }
        tr_kex_free(kex);
    }
}

static void
check_refused(const tr_kex_t *kex, tr_slice_t peer)
{
    tr_err_t err = TR_ERR_INIT;
    uint8_t out[TR_KEX_MAX_SECRET];
    size_t out_len;
    TR_CHECK_INT(tr_kex_derive(kex, out, &out_len, peer, &err), TR_ERR_TLS_PROTOCOL);
    TR_CHECK_INT(err.detail, 47);
}

TR_TEST(kex_refused, "/crypto/kex/invalid_shares")
{
    tr_err_t err = TR_ERR_INIT;
    tr_kex_t *kex;
    uint8_t share[384];
    TR_CHECK_OK(tr_kex_new(&kex, TR_GROUP_X25519, &tr_rand_system, &err), &err);
    /* RFC 7748 6.1: points of small order give zero. */
    check_refused(kex, hex("0000000000000000000000000000000000000000000000000000000000000000"));
    check_refused(kex, hex("0100000000000000000000000000000000000000000000000000000000000000"));
    check_refused(kex, hex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"));
    check_refused(kex, hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"));
    tr_kex_free(kex);

    TR_CHECK_OK(tr_kex_new(&kex, TR_GROUP_P256, &tr_rand_system, &err), &err);
    tr_slice_t point = hex(kex_answers[3].peer);
    memcpy(share, point.data, point.len);
    share[64] ^= 1; /* not on the curve */
    check_refused(kex, tr_slice(share, point.len));
    share[64] ^= 1;
    share[0] = 0x06; /* the hybrid form of X9.62 */
    check_refused(kex, tr_slice(share, point.len));
    memset(share, 0, sizeof(share));
    check_refused(kex, tr_slice(share, 65));
    share[0] = 0x04;
    check_refused(kex, tr_slice(share, 65));
    memset(share + 1, 0xff, 64); /* coordinates above the prime */
    check_refused(kex, tr_slice(share, 65));
    share[0] = 0x02;
    check_refused(kex, tr_slice(share, 33)); /* compressed */
    tr_kex_free(kex);

    TR_CHECK_OK(tr_kex_new(&kex, TR_GROUP_FFDHE2048, &tr_rand_system, &err), &err);
    memset(share, 0, sizeof(share));
    check_refused(kex, tr_slice(share, 256)); /* 0 */
    share[255] = 1;
    check_refused(kex, tr_slice(share, 256)); /* 1 */
    memset(share, 0xff, sizeof(share));
    check_refused(kex, tr_slice(share, 256)); /* above p */
    /* p - 1: RFC 7919 A.1 */
    tr_slice_t p =
        hex("FFFFFFFFFFFFFFFFADF85458A2BB4A9AAFDC5620273D3CF1D8B9C583CE2D3695A9E13641146433FBCC939DCE249B3EF9"
            "7D2FE363630C75D8F681B202AEC4617AD3DF1ED5D5FD65612433F51F5F066ED0856365553DED1AF3B557135E7F57C935"
            "984F0C70E0E68B77E2A689DAF3EFE8721DF158A136ADE73530ACCA4F483A797ABC0AB182B324FB61D108A94BB2C8E3FB"
            "B96ADAB760D7F4681D4F42A3DE394DF4AE56EDE76372BB190B07A7C8EE0A6D709E02FCE1CDF7E2ECC03404CD28342F61"
            "9172FE9CE98583FF8E4F1232EEF28183C3FE3B1B4C6FAD733BB5FCBC2EC22005C58EF1837D1683B2C6F34A26C1B2EFFA"
            "886B423861285C97FFFFFFFFFFFFFFFF");
    TR_CHECK_INT(p.len, 256);
    memcpy(share, p.data, p.len);
    share[255]--;
    check_refused(kex, tr_slice(share, 256));
    share[255]--; /* p - 2 is a share like any other */
    uint8_t out[TR_KEX_MAX_SECRET];
    size_t out_len;
    TR_CHECK_OK(tr_kex_derive(kex, out, &out_len, tr_slice(share, 256), &err), &err);
    tr_kex_free(kex);

    TR_CHECK(!tr_kex_supported(0x1234));
    TR_CHECK_INT(tr_kex_share_len(0x1234), 0);
    TR_CHECK_INT(tr_kex_new(&kex, 0x1234, &tr_rand_system, &err), TR_ERR_TLS_UNSUPPORTED);
    TR_CHECK(kex == NULL);
    tr_slice_t nothing = TR_SLICE_NULL;
    tr_rand_t broken = fixed(&nothing);
    static const uint16_t groups[] = {TR_GROUP_X25519, TR_GROUP_P256, TR_GROUP_FFDHE2048, TR_GROUP_X25519_MLKEM768};
    for (size_t i = 0; i < TR_ARRAY_LEN(groups); i++) {
        TR_CHECK_INT(tr_kex_new(&kex, groups[i], &broken, &err), TR_ERR_INTERNAL);
        TR_CHECK(kex == NULL);
    }
}

TR_TEST(kex_scalar, "/crypto/kex/scalars_are_rejection_sampled")
{
    tr_err_t err = TR_ERR_INIT;
    tr_kex_t *kex;
    uint8_t bytes[96];
    /* Zero and the order itself (FIPS 186-4 D.1.2.3) are passed over; then the key of RFC 5903 is taken. */
    memset(bytes, 0, 32);
    memcpy(bytes + 32, hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").data, 32);
    memcpy(bytes + 64, hex(kex_answers[3].private_key).data, 32);
    tr_slice_t rest = tr_slice(bytes, sizeof(bytes));
    tr_rand_t rnd = fixed(&rest);
    TR_CHECK_OK(tr_kex_new(&kex, TR_GROUP_P256, &rnd, &err), &err);
    CHECK_HEX(tr_kex_share(kex).data, tr_kex_share(kex).len, kex_answers[3].share);
    tr_kex_free(kex);
    /* A generator that only gives zeros ends in an error. */
    uint8_t zeros[66 * 20] = {0};
    rest = tr_slice(zeros, sizeof(zeros));
    TR_CHECK_INT(tr_kex_new(&kex, TR_GROUP_P521, &rnd, &err), TR_ERR_INTERNAL);
}

TR_TEST_OOM(kex_hybrids, "/crypto/kex/hybrids")
{
    static const struct {
        uint16_t group, classical;
        size_t classical_len;
        bool mlkem_first;
    } cases[] = {
        {TR_GROUP_X25519_MLKEM768, TR_GROUP_X25519, 32, true},
        {TR_GROUP_P256_MLKEM768, TR_GROUP_P256, 65, false},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(cases); i++) {
        static const uint8_t m[32] = {42};
        tr_err_t err = TR_ERR_INIT;
        tr_kex_t *ours = NULL, *theirs = NULL;
        uint8_t out[TR_KEX_MAX_SECRET], classical_secret[TR_KEX_MAX_SECRET], mlkem_secret[TR_MLKEM_SECRET_LEN];
        uint8_t answer[TR_MLKEM768_CT_LEN + 65];
        size_t out_len = 0, classical_len = 0;
        tr_rand_seeded_t seeded;
        tr_rand_seeded_init(&seeded, 3);
        tr_rand_t rnd = tr_rand_seeded(&seeded);
        tr_code_t code = tr_kex_new(&ours, cases[i].group, &rnd, &err);
        if (code == TR_OK) {
            code = tr_kex_new(&theirs, cases[i].classical, &rnd, &err);
        }
        if (code == TR_ERR_NOMEM && tr_test_oom_running()) {
            tr_kex_free(ours);
            return;
        }
        TR_CHECK_OK(code, &err);
        size_t n = cases[i].classical_len;
        tr_slice_t share = tr_kex_share(ours);
        TR_CHECK_INT(share.len, TR_MLKEM768_EK_LEN + n);
        TR_CHECK_INT(tr_kex_share_len(cases[i].group), share.len);
        /* draft-ietf-tls-ecdhe-mlkem 4: X25519MLKEM768 has ML-KEM first, SecP256r1MLKEM768 the curve. */
        const uint8_t *ek = share.data + (cases[i].mlkem_first ? 0 : n);
        const uint8_t *point = share.data + (cases[i].mlkem_first ? TR_MLKEM768_EK_LEN : 0);
        uint8_t *ct = answer + (cases[i].mlkem_first ? 0 : n);
        uint8_t *answer_point = answer + (cases[i].mlkem_first ? TR_MLKEM768_CT_LEN : 0);
        TR_CHECK(tr_mlkem768_encaps(ct, mlkem_secret, ek, m));
        memcpy(answer_point, tr_kex_share(theirs).data, n);
        TR_CHECK_OK(tr_kex_derive(theirs, classical_secret, &classical_len, tr_slice(point, n), &err), &err);
        TR_CHECK_OK(tr_kex_derive(ours, out, &out_len, tr_slice(answer, TR_MLKEM768_CT_LEN + n), &err), &err);
        TR_CHECK_INT(out_len, 64);
        TR_CHECK_MEM(out + (cases[i].mlkem_first ? 0 : 32), mlkem_secret, 32);
        TR_CHECK_MEM(out + (cases[i].mlkem_first ? 32 : 0), classical_secret, 32);
        /* Wrong lengths, and a bad point behind a good ciphertext. */
        check_refused(ours, tr_slice(answer, TR_MLKEM768_CT_LEN + n - 1));
        check_refused(ours, tr_slice(answer, n));
        check_refused(ours, TR_SLICE_NULL);
        memset(answer_point, 0, n);
        check_refused(ours, tr_slice(answer, TR_MLKEM768_CT_LEN + n));
        tr_kex_free(theirs);
        theirs = NULL;
        code = tr_kex_new_from_x25519(&theirs, ours, &err);
        if (cases[i].classical == TR_GROUP_X25519 && code != TR_ERR_NOMEM) {
            /* The same X25519 share by itself. */
            TR_CHECK_OK(code, &err);
            TR_CHECK_INT(tr_kex_group(theirs), TR_GROUP_X25519);
            TR_CHECK_INT(tr_kex_share(theirs).len, 32);
            TR_CHECK_MEM(tr_kex_share(theirs).data, point, 32);
            tr_kex_t *peer = NULL;
            code = tr_kex_new(&peer, TR_GROUP_X25519, &rnd, &err);
            if (code == TR_OK) {
                uint8_t a[TR_KEX_MAX_SECRET], b[TR_KEX_MAX_SECRET];
                size_t len;
                TR_CHECK_OK(tr_kex_derive(theirs, a, &len, tr_kex_share(peer), &err), &err);
                TR_CHECK_OK(tr_kex_derive(peer, b, &len, tr_kex_share(theirs), &err), &err);
                TR_CHECK_MEM(a, b, 32);
            } else {
                TR_CHECK(tr_test_oom_running());
            }
            tr_kex_free(peer);
        } else {
            TR_CHECK(code == TR_ERR_INTERNAL || (code == TR_ERR_NOMEM && tr_test_oom_running()));
            TR_CHECK(theirs == NULL);
        }
        tr_kex_free(theirs);
        tr_kex_free(ours);
    }
}

TR_TEST(kex_kyber, "/crypto/kex/x25519_kyber768_layout")
{
    /* draft-tls-westerbaan-xyber768d00 3: X25519 first, in both shares and in the secret. A ciphertext made of
     * anything has a secret too (implicit rejection), so the layout shows without an encapsulation. */
    tr_err_t err = TR_ERR_INIT;
    tr_kex_t *ours, *theirs;
    uint8_t seed[TR_MLKEM768_SEED_LEN], ek[TR_MLKEM768_EK_LEN], dk[TR_MLKEM768_DK_LEN];
    uint8_t answer[32 + TR_MLKEM768_CT_LEN], out[TR_KEX_MAX_SECRET], classical[TR_KEX_MAX_SECRET], kyber[32];
    size_t out_len, classical_len;
    tr_rand_seeded_t seeded;
    tr_rand_t rnd = tr_rand_seeded(&seeded);
    tr_rand_seeded_init(&seeded, 11);
    TR_CHECK_INT(rnd.fill(rnd.arg, seed, sizeof(seed)), TR_OK); /* the first draw is ML-KEM's seed */
    tr_mlkem768_keygen(ek, dk, seed);
    tr_rand_seeded_init(&seeded, 11);
    TR_CHECK_OK(tr_kex_new(&ours, TR_GROUP_X25519_KYBER768, &rnd, &err), &err);
    TR_CHECK_OK(tr_kex_new(&theirs, TR_GROUP_X25519, &rnd, &err), &err);
    tr_slice_t share = tr_kex_share(ours);
    TR_CHECK_INT(share.len, 32 + TR_MLKEM768_EK_LEN);
    TR_CHECK_MEM(share.data + 32, ek, sizeof(ek));
    memset(answer, 0x5c, sizeof(answer));
    memcpy(answer, tr_kex_share(theirs).data, 32);
    TR_CHECK_OK(tr_kex_derive(theirs, classical, &classical_len, tr_slice(share.data, 32), &err), &err);
    TR_CHECK_OK(tr_kex_derive(ours, out, &out_len, tr_slice(answer, sizeof(answer)), &err), &err);
    TR_CHECK_INT(out_len, 64);
    TR_CHECK_MEM(out, classical, 32);
    tr_kyber768_decaps(kyber, answer + 32, dk);
    TR_CHECK_MEM(out + 32, kyber, 32);
    tr_kex_free(ours);
    tr_kex_free(theirs);
}

TR_TEST(kex_dhe, "/crypto/kex/server_chosen_prime")
{
    tr_err_t err = TR_ERR_INIT;
    tr_kex_t *a, *b;
    uint8_t out_a[TR_KEX_MAX_SECRET], out_b[TR_KEX_MAX_SECRET];
    size_t a_len, b_len;
    uint8_t big[1032];
    /* RFC 2409 6.2: the second Oakley group, 1024 bits */
    tr_slice_t p =
        hex("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
            "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
            "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF");
    tr_slice_t g = hex("02");
    TR_CHECK_OK(tr_kex_new_dhe(&a, p, g, &tr_rand_system, &err), &err);
    TR_CHECK_OK(tr_kex_new_dhe(&b, p, g, &tr_rand_system, &err), &err);
    TR_CHECK_INT(tr_kex_share(a).len, 128);
    TR_CHECK_OK(tr_kex_derive(a, out_a, &a_len, tr_kex_share(b), &err), &err);
    TR_CHECK_OK(tr_kex_derive(b, out_b, &b_len, tr_kex_share(a), &err), &err);
    TR_CHECK_INT(a_len, b_len);
    TR_CHECK_MEM(out_a, out_b, a_len);
    /* RFC 5246 8.1.2: no leading zero byte. A peer's share without its own leading zeros is taken: 2 is such a one,
     * and to the power of our exponent gives our share. */
    TR_CHECK_OK(tr_kex_derive(a, out_a, &a_len, g, &err), &err);
    tr_slice_t share = tr_kex_share(a);
    size_t zeros = 0;
    while (zeros < share.len && share.data[zeros] == 0) {
        zeros++;
    }
    TR_CHECK_INT(a_len, share.len - zeros);
    TR_CHECK_MEM(out_a, share.data + zeros, a_len);
    TR_CHECK(out_a[0] != 0);
    check_refused(a, hex("01"));
    check_refused(a, hex("00"));
    check_refused(a, TR_SLICE_NULL);
    tr_kex_free(a);
    tr_kex_free(b);
    /* Lengths at the bounds, even primes, bad generators */
    TR_CHECK_INT(tr_kex_new_dhe(&a, tr_slice(p.data + 1, p.len - 1), g, &tr_rand_system, &err),
                 TR_ERR_TLS_PROTOCOL);
    TR_CHECK_INT(err.detail, 71);
    memset(big, 0xff, sizeof(big));
    TR_CHECK_INT(tr_kex_new_dhe(&a, tr_slice(big, 1025), g, &tr_rand_system, &err), TR_ERR_TLS_PROTOCOL);
    TR_CHECK_INT(err.detail, 71);
    TR_CHECK_INT(tr_kex_new_dhe(&a, TR_SLICE_NULL, g, &tr_rand_system, &err), TR_ERR_TLS_PROTOCOL);
    TR_CHECK_INT(err.detail, 71);
    big[127] = 0xfe;
    TR_CHECK_INT(tr_kex_new_dhe(&a, tr_slice(big, 128), g, &tr_rand_system, &err), TR_ERR_TLS_PROTOCOL);
    TR_CHECK_INT(err.detail, 47);
    TR_CHECK_INT(tr_kex_new_dhe(&a, p, hex("01"), &tr_rand_system, &err), TR_ERR_TLS_PROTOCOL);
    TR_CHECK_INT(tr_kex_new_dhe(&a, p, TR_SLICE_NULL, &tr_rand_system, &err), TR_ERR_TLS_PROTOCOL);
    TR_CHECK_INT(tr_kex_new_dhe(&a, p, p, &tr_rand_system, &err), TR_ERR_TLS_PROTOCOL);
    /* Leading zeros of the prime do not count; the share is as long as the prime. */
    memset(big, 0, 4);
    memcpy(big + 4, p.data, p.len);
    TR_CHECK_OK(tr_kex_new_dhe(&a, tr_slice(big, p.len + 4), g, &tr_rand_system, &err), &err);
    TR_CHECK_INT(tr_kex_share(a).len, p.len);
    tr_kex_free(a);
    /* The longest prime: 8192 bits, odd. (It need not be prime for the arithmetic.) */
    memset(big, 0xff, sizeof(big));
    TR_CHECK_OK(tr_kex_new_dhe(&a, tr_slice(big, 1024), hex("05"), &tr_rand_system, &err), &err);
    TR_CHECK_OK(tr_kex_derive(a, out_a, &a_len, hex("03"), &err), &err);
    TR_CHECK(a_len <= TR_KEX_MAX_SECRET);
    tr_kex_free(a);
}

/* ------------------------------------------------------------------------------------- signatures */

static const uint16_t all_schemes[] = {
    TR_SIG_RSA_PKCS1_SHA1,
    TR_SIG_ECDSA_SHA1,
    TR_SIG_RSA_PKCS1_SHA224,
    TR_SIG_ECDSA_SHA224,
    TR_SIG_RSA_PKCS1_SHA256,
    TR_SIG_ECDSA_P256_SHA256,
    TR_SIG_RSA_PKCS1_SHA384,
    TR_SIG_ECDSA_P384_SHA384,
    TR_SIG_RSA_PKCS1_SHA512,
    TR_SIG_ECDSA_P521_SHA512,
    TR_SIG_RSA_PSS_RSAE_SHA256,
    TR_SIG_RSA_PSS_RSAE_SHA384,
    TR_SIG_RSA_PSS_RSAE_SHA512,
    TR_SIG_ED25519,
    TR_SIG_ED448,
    TR_SIG_RSA_PSS_PSS_SHA256,
    TR_SIG_RSA_PSS_PSS_SHA384,
    TR_SIG_RSA_PSS_PSS_SHA512,
    TR_SIG_MLDSA44,
    TR_SIG_MLDSA65,
    TR_SIG_MLDSA87,
};

static EVP_PKEY *
make_rsa(const char *type, int bits, const char *pss_md)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    bool ok = ctx != NULL && EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, bits) == 1;
    if (ok && pss_md != NULL) {
        ok = EVP_PKEY_CTX_set_rsa_pss_keygen_md_name(ctx, pss_md, NULL) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_keygen_mgf1_md_name(ctx, pss_md) == 1;
    }
    ok = ok && EVP_PKEY_generate(ctx, &key) == 1;
    EVP_PKEY_CTX_free(ctx);
    TR_CHECK(ok);
    return key;
}

/* A private key through PEM, a public one through SubjectPublicKeyInfo. Takes the EVP_PKEY over. */
static void
make_keys(tr_pkey_t **out_private, tr_pkey_t **out_public, EVP_PKEY *evp)
{
    tr_err_t err = TR_ERR_INIT;
    uint8_t *der = NULL;
    char *text;
    TR_CHECK(evp != NULL);
    BIO *bio = BIO_new(BIO_s_mem());
    TR_CHECK(bio != NULL && PEM_write_bio_PrivateKey(bio, evp, NULL, NULL, 0, NULL, NULL) == 1);
    long len = BIO_get_mem_data(bio, &text);
    tr_code_t code = tr_pkey_from_pem(out_private, tr_slice(text, (size_t)len), NULL, &err);
    BIO_free(bio);
    int der_len = i2d_PUBKEY(evp, &der);
    *out_public = der_len > 0 ? tr_pkey_from_spki(tr_slice(der, (size_t)der_len)) : NULL;
    OPENSSL_free(der);
    EVP_PKEY_free(evp);
    TR_CHECK_OK(code, &err);
    TR_CHECK(*out_public != NULL);
}

static bool
in_list(uint16_t scheme, const uint16_t *list)
{
    for (size_t i = 0; list[i] != 0; i++) {
        if (list[i] == scheme) {
            return true;
        }
    }
    return false;
}

typedef struct sig_case {
    const char *type;  /* "RSA", "RSA-PSS", "EC", "ED25519", "ED448" */
    const char *param; /* curve or digest */
    int bits;
    uint16_t tls13[9]; /* usable, ends in 0 */
    uint16_t tls12[9];
} sig_case_t;

static const sig_case_t sig_cases[] = {
    {"RSA",
     NULL,
     2048,
     {TR_SIG_RSA_PSS_RSAE_SHA256, TR_SIG_RSA_PSS_RSAE_SHA384, TR_SIG_RSA_PSS_RSAE_SHA512},
     {TR_SIG_RSA_PSS_RSAE_SHA256, TR_SIG_RSA_PSS_RSAE_SHA384, TR_SIG_RSA_PSS_RSAE_SHA512, TR_SIG_RSA_PKCS1_SHA1,
      TR_SIG_RSA_PKCS1_SHA224, TR_SIG_RSA_PKCS1_SHA256, TR_SIG_RSA_PKCS1_SHA384, TR_SIG_RSA_PKCS1_SHA512}},
    /* too short for SHA-512 with a salt of 64 bytes */
    {"RSA",
     NULL,
     1024,
     {TR_SIG_RSA_PSS_RSAE_SHA256, TR_SIG_RSA_PSS_RSAE_SHA384},
     {TR_SIG_RSA_PSS_RSAE_SHA256, TR_SIG_RSA_PSS_RSAE_SHA384, TR_SIG_RSA_PKCS1_SHA1, TR_SIG_RSA_PKCS1_SHA224,
      TR_SIG_RSA_PKCS1_SHA256, TR_SIG_RSA_PKCS1_SHA384, TR_SIG_RSA_PKCS1_SHA512}},
    {"RSA-PSS",
     NULL,
     2048,
     {TR_SIG_RSA_PSS_PSS_SHA256, TR_SIG_RSA_PSS_PSS_SHA384, TR_SIG_RSA_PSS_PSS_SHA512},
     {TR_SIG_RSA_PSS_PSS_SHA256, TR_SIG_RSA_PSS_PSS_SHA384, TR_SIG_RSA_PSS_PSS_SHA512}},
    {"RSA-PSS", "SHA384", 2048, {TR_SIG_RSA_PSS_PSS_SHA384}, {TR_SIG_RSA_PSS_PSS_SHA384}},
    {"EC",
     "P-256",
     256,
     {TR_SIG_ECDSA_P256_SHA256},
     {TR_SIG_ECDSA_P256_SHA256, TR_SIG_ECDSA_P384_SHA384, TR_SIG_ECDSA_P521_SHA512, TR_SIG_ECDSA_SHA1,
      TR_SIG_ECDSA_SHA224}},
    {"EC",
     "P-384",
     384,
     {TR_SIG_ECDSA_P384_SHA384},
     {TR_SIG_ECDSA_P256_SHA256, TR_SIG_ECDSA_P384_SHA384, TR_SIG_ECDSA_P521_SHA512, TR_SIG_ECDSA_SHA1,
      TR_SIG_ECDSA_SHA224}},
    {"EC",
     "P-521",
     521,
     {TR_SIG_ECDSA_P521_SHA512},
     {TR_SIG_ECDSA_P256_SHA256, TR_SIG_ECDSA_P384_SHA384, TR_SIG_ECDSA_P521_SHA512, TR_SIG_ECDSA_SHA1,
      TR_SIG_ECDSA_SHA224}},
    {"ED25519", NULL, 253, {TR_SIG_ED25519}, {TR_SIG_ED25519}},
    {"ED448", NULL, 448, {TR_SIG_ED448}, {TR_SIG_ED448}},
};

TR_TEST(sig_matrix, "/crypto/sig/every_scheme_with_every_key")
{
    static const uint8_t msg_bytes[] = "to be signed";
    tr_slice_t msg = tr_slice(msg_bytes, sizeof(msg_bytes));
    for (size_t i = 0; i < TR_ARRAY_LEN(sig_cases); i++) {
        const sig_case_t *c = &sig_cases[i];
        tr_pkey_t *private_key, *public_key;
        bool rsa = strncmp(c->type, "RSA", 3) == 0;
        EVP_PKEY *evp = rsa                          ? make_rsa(c->type, c->bits, c->param)
                        : strcmp(c->type, "EC") == 0 ? EVP_EC_gen(c->param)
                                                     : EVP_PKEY_Q_keygen(NULL, NULL, c->type);
        make_keys(&private_key, &public_key, evp);
        TR_CHECK(tr_pkey_same(private_key, public_key));
        TR_CHECK(tr_pkey_is_rsa(public_key) == rsa);
        if (strncmp(c->type, "ED", 2) != 0) {
            TR_CHECK_INT(tr_pkey_bits(public_key), c->bits);
        }
        for (size_t j = 0; j < TR_ARRAY_LEN(all_schemes); j++) {
            uint16_t scheme = all_schemes[j];
            tr_err_t err = TR_ERR_INIT;
            tr_buf_t sig = TR_BUF_INIT;
            TR_CHECK(tr_sig_usable(scheme, public_key, true) == in_list(scheme, c->tls13));
            TR_CHECK(tr_sig_usable(scheme, public_key, false) == in_list(scheme, c->tls12));
            TR_CHECK(tr_sig_usable(scheme, private_key, false) == in_list(scheme, c->tls12));
            TR_CHECK_INT(tr_buf_append(&sig, "x", 1), TR_OK);
            tr_code_t code = tr_sig_sign(scheme, private_key, &sig, msg, &err);
            if (!in_list(scheme, c->tls12)) {
                TR_CHECK_INT(code, TR_ERR_TLS_IDENTITY);
                TR_CHECK_INT(sig.len, 1);
                TR_CHECK(!tr_sig_verify(scheme, public_key, msg, tr_buf_slice(&sig)));
                tr_buf_cleanup(&sig);
                continue;
            }
            TR_CHECK_OK(code, &err);
            TR_CHECK(sig.data[0] == 'x');
            TR_CHECK(tr_sig_known(scheme));
            tr_buf_consume(&sig, 1);
            TR_CHECK(tr_sig_verify(scheme, public_key, msg, tr_buf_slice(&sig)));
            TR_CHECK(!tr_sig_verify(scheme, public_key, tr_slice(msg.data, msg.len - 1), tr_buf_slice(&sig)));
            TR_CHECK(!tr_sig_verify(scheme, public_key, msg, tr_slice(sig.data, sig.len - 1)));
            TR_CHECK(!tr_sig_verify(scheme, public_key, msg, TR_SLICE_NULL));
            sig.data[sig.len / 2] ^= 1;
            TR_CHECK(!tr_sig_verify(scheme, public_key, msg, tr_buf_slice(&sig)));
            sig.data[sig.len / 2] ^= 1;
            /* The signature of one scheme is none of another. */
            for (size_t k = 0; k < TR_ARRAY_LEN(all_schemes); k++) {
                if (all_schemes[k] != scheme) {
                    TR_CHECK(!tr_sig_verify(all_schemes[k], public_key, msg, tr_buf_slice(&sig)));
                }
            }
            tr_buf_cleanup(&sig);
        }
        tr_pkey_free(private_key);
        tr_pkey_free(public_key);
    }
    TR_CHECK(!tr_sig_known(0x1234) && !tr_sig_usable(0x1234, NULL, false));
    TR_CHECK(strcmp(tr_sig_name(TR_SIG_ED25519), "ed25519") == 0 && strcmp(tr_sig_name(0), "unknown") == 0);
    tr_pkey_free(NULL);
}

TR_TEST(sig_pss_salt, "/crypto/sig/pss_salt_length")
{
    /* RFC 8446 4.2.3: a salt of another length than the digest's is no signature of the scheme. */
    static const uint8_t msg[] = "m";
    EVP_PKEY *evp = make_rsa("RSA", 2048, NULL);
    TR_CHECK(EVP_PKEY_up_ref(evp) == 1);
    tr_pkey_t *private_key, *public_key;
    make_keys(&private_key, &public_key, evp);
    static const int salts[] = {32, 20, 0, 64};
    for (size_t i = 0; i < TR_ARRAY_LEN(salts); i++) {
        EVP_PKEY_CTX *pctx = NULL;
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        uint8_t sig[256];
        size_t sig_len = sizeof(sig);
        TR_CHECK(EVP_DigestSignInit_ex(ctx, &pctx, "SHA256", NULL, NULL, evp, NULL) == 1);
        TR_CHECK(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1);
        TR_CHECK(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salts[i]) == 1);
        TR_CHECK(EVP_DigestSign(ctx, sig, &sig_len, msg, sizeof(msg)) == 1);
        EVP_MD_CTX_free(ctx);
        TR_CHECK(tr_sig_verify(TR_SIG_RSA_PSS_RSAE_SHA256, public_key, tr_slice(msg, sizeof(msg)),
                               tr_slice(sig, sig_len)) == (salts[i] == 32));
    }
    EVP_PKEY_free(evp);
    tr_pkey_free(private_key);
    tr_pkey_free(public_key);
}

TR_TEST_OOM(sig_known, "/crypto/sig/known_answers")
{
    /* RFC 6979 A.2.5: P-256, SHA-256, message "sample"; the key as SubjectPublicKeyInfo, r and s as DER */
    tr_slice_t spki = hex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"
                          "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
                          "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
    tr_slice_t sig = hex("3046"
                         "022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
                         "022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8");
    tr_pkey_t *key = tr_pkey_from_spki(spki);
    if (key == NULL) {
        TR_CHECK(tr_test_oom_running());
        return;
    }
    TR_CHECK(tr_sig_verify(TR_SIG_ECDSA_P256_SHA256, key, TR_SLICE_LIT("sample"), sig));
    TR_CHECK(!tr_sig_verify(TR_SIG_ECDSA_P256_SHA256, key, TR_SLICE_LIT("Sample"), sig));
    tr_pkey_free(key);
    /* RFC 8032 7.1, test 2 */
    key = tr_pkey_from_spki(
        hex("302a300506032b65700321003d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"));
    if (key == NULL) {
        TR_CHECK(tr_test_oom_running());
        return;
    }
    TR_CHECK(tr_sig_verify(TR_SIG_ED25519, key, hex("72"),
                           hex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                               "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")));
    tr_pkey_free(key);
}

TR_TEST(sig_spki, "/crypto/sig/bad_public_keys")
{
    static const int bits[] = {2048, 3072, 0};
    for (size_t kind = 0; kind < 3; kind++) {
        uint8_t *der = NULL;
        EVP_PKEY *evp = bits[kind] != 0 ? make_rsa("RSA", bits[kind], NULL) : EVP_EC_gen("P-384");
        int der_len = i2d_PUBKEY(evp, &der);
        TR_CHECK(der_len > 0);
        size_t len = (size_t)der_len;
        /* The same key as libcrypto's own reading gives. */
        tr_pkey_t *key = tr_pkey_from_spki(tr_slice(der, len));
        TR_CHECK(key != NULL);
        tr_pkey_free(key);
        for (size_t cut = 0; cut < len; cut++) {
            TR_CHECK(tr_pkey_from_spki(tr_slice(der, cut)) == NULL);
        }
        uint8_t *longer = malloc(len + 1);
        TR_CHECK(longer != NULL);
        memcpy(longer, der, len);
        longer[len] = 0;
        TR_CHECK(tr_pkey_from_spki(tr_slice(longer, len + 1)) == NULL);
        /* Any changed byte: a key or none, and never a crash. A point off the curve is none. */
        for (size_t i = 0; i < len; i++) {
            longer[i] ^= 0x01;
            key = tr_pkey_from_spki(tr_slice(longer, len));
            TR_CHECK(bits[kind] != 0 || key == NULL);
            tr_pkey_free(key);
            longer[i] ^= 0x01;
        }
        free(longer);
        OPENSSL_free(der);
        EVP_PKEY_free(evp);
    }
    TR_CHECK(tr_pkey_from_spki(TR_SLICE_NULL) == NULL);
}

TR_TEST(sig_pem, "/crypto/sig/private_keys_from_pem")
{
    tr_err_t err = TR_ERR_INIT;
    tr_pkey_t *key;
    char *text;
    EVP_PKEY *evp = EVP_EC_gen("P-256");
    EVP_PKEY *rsa = make_rsa("RSA", 1024, NULL);
    BIO *plain = BIO_new(BIO_s_mem()), *locked = BIO_new(BIO_s_mem()), *sec1 = BIO_new(BIO_s_mem()),
        *pkcs1 = BIO_new(BIO_s_mem());
    TR_CHECK(PEM_write_bio_PrivateKey(plain, evp, NULL, NULL, 0, NULL, NULL) == 1);
    TR_CHECK(PEM_write_bio_PrivateKey(locked, evp, EVP_aes_128_cbc(), (const unsigned char *)"open", 4, NULL,
                                      NULL) == 1);
    TR_CHECK(PEM_write_bio_PrivateKey_traditional(sec1, evp, NULL, NULL, 0, NULL, NULL) == 1);
    TR_CHECK(PEM_write_bio_PrivateKey_traditional(pkcs1, rsa, NULL, NULL, 0, NULL, NULL) == 1);
    BIO *good[3] = {plain, sec1, pkcs1};
    for (size_t i = 0; i < 3; i++) {
        long len = BIO_get_mem_data(good[i], &text);
        TR_CHECK_OK(tr_pkey_from_pem(&key, tr_slice(text, (size_t)len), NULL, &err), &err);
        tr_pkey_free(key);
    }
    long len = BIO_get_mem_data(locked, &text);
    tr_slice_t pem = tr_slice(text, (size_t)len);
    TR_CHECK_OK(tr_pkey_from_pem(&key, pem, "open", &err), &err);
    tr_pkey_free(key);
    TR_CHECK_INT(tr_pkey_from_pem(&key, pem, "shut", &err), TR_ERR_TLS_IDENTITY);
    TR_CHECK(key == NULL && strstr(err.msg, "shut") == NULL);
    TR_CHECK_INT(tr_pkey_from_pem(&key, pem, NULL, &err), TR_ERR_TLS_IDENTITY);
    TR_CHECK_INT(tr_pkey_from_pem(&key, pem, "", &err), TR_ERR_TLS_IDENTITY);
    TR_CHECK_INT(tr_pkey_from_pem(&key, TR_SLICE_NULL, NULL, &err), TR_ERR_TLS_IDENTITY);
    TR_CHECK_INT(tr_pkey_from_pem(&key,
                                  TR_SLICE_LIT("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
                                  NULL, &err),
                 TR_ERR_TLS_IDENTITY);
    BIO_free(plain);
    BIO_free(locked);
    BIO_free(sec1);
    BIO_free(pkcs1);
    EVP_PKEY_free(evp);
    EVP_PKEY_free(rsa);
}

TR_TEST(sig_rsa_encrypt, "/crypto/sig/rsa_encrypt")
{
    tr_err_t err = TR_ERR_INIT;
    tr_pkey_t *private_key, *public_key;
    tr_buf_t out = TR_BUF_INIT;
    uint8_t premaster[48] = {3, 3, 7};
    uint8_t got[256];
    size_t got_len = sizeof(got);
    EVP_PKEY *evp = make_rsa("RSA", 2048, NULL);
    TR_CHECK(EVP_PKEY_up_ref(evp) == 1);
    make_keys(&private_key, &public_key, evp);
    TR_CHECK_OK(tr_pkey_rsa_encrypt(public_key, &out, tr_slice(premaster, sizeof(premaster)), &err), &err);
    TR_CHECK_INT(out.len, 256);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, evp, NULL);
    TR_CHECK(EVP_PKEY_decrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1);
    TR_CHECK(EVP_PKEY_decrypt(ctx, got, &got_len, out.data, out.len) == 1);
    TR_CHECK_INT(got_len, sizeof(premaster));
    TR_CHECK_MEM(got, premaster, sizeof(premaster));
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(evp);
    tr_pkey_free(private_key);
    tr_pkey_free(public_key);
    tr_buf_cleanup(&out);
    make_keys(&private_key, &public_key, EVP_EC_gen("P-256"));
    TR_CHECK_INT(tr_pkey_rsa_encrypt(public_key, &out, tr_slice(premaster, sizeof(premaster)), &err),
                 TR_ERR_TLS_PROTOCOL);
    tr_pkey_free(private_key);
    tr_pkey_free(public_key);
    tr_buf_cleanup(&out);
}
