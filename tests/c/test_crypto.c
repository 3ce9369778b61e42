/* Random numbers, hashes, key derivation and record protection: known answers from RFCs and NIST, and what must be
 * refused. Key exchange and signatures are in test_crypto_keys.c, ML-KEM in test_crypto_mlkem.c. */
#include <openssl/evp.h>

#include "core/mem.h"
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "crypto/rand.h"
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

/* ------------------------------------------------------------------------------------- random numbers */

TR_TEST(crypto_init, "/crypto/init")
{
    tr_err_t err = TR_ERR_INIT;
    TR_CHECK_OK(tr_crypto_init(&err), &err);
    TR_CHECK_OK(tr_crypto_init(&err), &err);
}

TR_TEST(crypto_rand_seeded, "/crypto/rand/seeded")
{
    tr_rand_seeded_t a, b, c;
    uint8_t x[100], y[100], z[100];
    uint8_t zero[100] = {0};
    tr_rand_seeded_init(&a, 7);
    tr_rand_seeded_init(&b, 7);
    tr_rand_seeded_init(&c, 8);
    tr_rand_t ra = tr_rand_seeded(&a), rb = tr_rand_seeded(&b), rc = tr_rand_seeded(&c);
    TR_CHECK_INT(ra.fill(ra.arg, x, sizeof(x)), TR_OK);
    TR_CHECK_INT(rb.fill(rb.arg, y, sizeof(y)), TR_OK);
    TR_CHECK_INT(rc.fill(rc.arg, z, sizeof(z)), TR_OK);
    TR_CHECK_MEM(x, y, sizeof(x));
    TR_CHECK(memcmp(x, z, sizeof(x)) != 0 && memcmp(x, zero, sizeof(x)) != 0);
    TR_CHECK_INT(ra.fill(ra.arg, z, sizeof(z)), TR_OK);
    TR_CHECK(memcmp(x, z, sizeof(x)) != 0);
    /* RFC 8439 2.3.2's cipher with key and nonce of zeros (appendix A.1, test vector 1) is what seed 0 gives. */
    tr_rand_seeded_init(&a, 0);
    TR_CHECK_INT(ra.fill(ra.arg, x, 16), TR_OK);
    CHECK_HEX(x, 16, "76b8e0ada0f13d90405d6ae55386bd28");
    TR_CHECK_INT(ra.fill(ra.arg, x, 0), TR_OK);
    TR_CHECK_INT(tr_rand_system.fill(tr_rand_system.arg, x, sizeof(x)), TR_OK);
    TR_CHECK_INT(tr_rand_system.fill(tr_rand_system.arg, y, sizeof(y)), TR_OK);
    TR_CHECK(memcmp(x, y, sizeof(x)) != 0);
}

static tr_code_t
broken_fill(void *arg, uint8_t *out, size_t len)
{
    TR_UNUSED(arg);
    memset(out, 0, len);
    return TR_ERR_INTERNAL;
}

static tr_code_t
zero_fill(void *arg, uint8_t *out, size_t len)
{
    TR_UNUSED(arg);
    memset(out, 0, len);
    return TR_OK;
}

TR_TEST(crypto_rand_below, "/crypto/rand/below")
{
    tr_rand_seeded_t seeded;
    tr_rand_seeded_init(&seeded, 1);
    tr_rand_t rnd = tr_rand_seeded(&seeded);
    tr_rand_t broken = {broken_fill, NULL};
    tr_rand_t zeros = {zero_fill, NULL};
    unsigned seen[6] = {0};
    uint32_t v;
    for (size_t i = 0; i < 6000; i++) {
        TR_CHECK_INT(tr_rand_below(&rnd, &v, 6), TR_OK);
        TR_CHECK(v < 6);
        seen[v]++;
    }
    for (size_t i = 0; i < 6; i++) {
        TR_CHECK(seen[i] > 800 && seen[i] < 1200);
    }
    TR_CHECK_INT(tr_rand_below(&rnd, &v, 1), TR_OK);
    TR_CHECK_INT(v, 0);
    TR_CHECK_INT(tr_rand_below(&rnd, &v, 0xffffffff), TR_OK);
    TR_CHECK(v < 0xffffffff);
    TR_CHECK_INT(tr_rand_below(&rnd, &v, 0), TR_ERR_INTERNAL);
    TR_CHECK_INT(tr_rand_below(&broken, &v, 5), TR_ERR_INTERNAL);
    /* 2^32 mod 0x80000001 is 0x7fffffff: a draw of 0 is always refused, and that ends. */
    TR_CHECK_INT(tr_rand_below(&zeros, &v, 0x80000001), TR_ERR_INTERNAL);
    TR_CHECK_INT(tr_rand_below(&zeros, &v, 16), TR_OK);
}

/* ------------------------------------------------------------------------------------- hashes and derivation */

TR_TEST_OOM(crypto_hash, "/crypto/hash/digests")
{
    uint8_t out[TR_HASH_MAX];
    /* FIPS 180-4 examples: "abc" */
    TR_CHECK_INT(tr_hash_once(TR_HASH_SHA1, out, TR_SLICE_LIT("abc")), TR_OK);
    CHECK_HEX(out, tr_hash_len(TR_HASH_SHA1), "a9993e364706816aba3e25717850c26c9cd0d89d");
    TR_CHECK_INT(tr_hash_once(TR_HASH_SHA256, out, TR_SLICE_LIT("abc")), TR_OK);
    CHECK_HEX(out, tr_hash_len(TR_HASH_SHA256), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    TR_CHECK_INT(tr_hash_once(TR_HASH_SHA384, out, TR_SLICE_LIT("abc")), TR_OK);
    CHECK_HEX(out, tr_hash_len(TR_HASH_SHA384),
              "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
              "8086072ba1e7cc2358baeca134c825a7");
    TR_CHECK_INT(tr_hash_once(TR_HASH_SHA512, out, TR_SLICE_LIT("abc")), TR_OK);
    CHECK_HEX(out, tr_hash_len(TR_HASH_SHA512),
              "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
              "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
    TR_CHECK_INT(tr_hash_once(TR_HASH_SHA256, out, TR_SLICE_NULL), TR_OK);
    CHECK_HEX(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

    /* A running digest: peeking and copying leave it running. */
    tr_hash_ctx_t *copy = NULL;
    tr_hash_ctx_t *ctx = tr_hash_new(TR_HASH_SHA256);
    if (ctx == NULL) {
        TR_CHECK(tr_test_oom_running());
        return;
    }
    TR_CHECK_INT(tr_hash_update(ctx, "a", 1), TR_OK);
    TR_CHECK_INT(tr_hash_update(ctx, NULL, 0), TR_OK);
    copy = tr_hash_dup(ctx);
    if (copy != NULL) {
        TR_CHECK_INT(tr_hash_update(copy, "bc", 2), TR_OK);
        TR_CHECK_INT(tr_hash_peek(ctx, out), TR_OK);
        CHECK_HEX(out, 32, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
        TR_CHECK_INT(tr_hash_peek(copy, out), TR_OK);
        CHECK_HEX(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        TR_CHECK_INT(tr_hash_update(ctx, "bc", 2), TR_OK);
        TR_CHECK_INT(tr_hash_peek(ctx, out), TR_OK);
        CHECK_HEX(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    } else {
        TR_CHECK(tr_test_oom_running());
    }
    tr_hash_free(copy);
    tr_hash_free(ctx);
    tr_hash_free(NULL);
}

TR_TEST(crypto_hmac, "/crypto/hash/hmac")
{
    uint8_t out[TR_HASH_MAX];
    /* RFC 4231 test cases 2 and 6, RFC 2202 case 2 */
    tr_slice_t parts[3] = {TR_SLICE_LIT("what do ya want "), TR_SLICE_NULL, TR_SLICE_LIT("for nothing?")};
    TR_CHECK_INT(tr_hmac(TR_HASH_SHA256, out, TR_SLICE_LIT("Jefe"), parts, 3), TR_OK);
    CHECK_HEX(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    TR_CHECK_INT(tr_hmac(TR_HASH_SHA384, out, TR_SLICE_LIT("Jefe"), parts, 3), TR_OK);
    CHECK_HEX(out, 48,
              "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649");
    TR_CHECK_INT(tr_hmac(TR_HASH_SHA1, out, TR_SLICE_LIT("Jefe"), parts, 3), TR_OK);
    CHECK_HEX(out, 20, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    uint8_t key[131];
    memset(key, 0xaa, sizeof(key));
    tr_slice_t text = TR_SLICE_LIT("Test Using Larger Than Block-Size Key - Hash Key First");
    TR_CHECK_INT(tr_hmac(TR_HASH_SHA256, out, tr_slice(key, sizeof(key)), &text, 1), TR_OK);
    CHECK_HEX(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    TR_CHECK_INT(tr_hmac(TR_HASH_SHA512, out, tr_slice(key, sizeof(key)), &text, 1), TR_OK);
    CHECK_HEX(out, 64,
              "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
              "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598");
}

TR_TEST(crypto_hkdf, "/crypto/hash/hkdf")
{
    uint8_t prk[TR_HASH_MAX];
    uint8_t okm[255 * 32];
    /* RFC 5869 appendix A.1 */
    TR_CHECK_INT(tr_hkdf_extract(TR_HASH_SHA256, prk, hex("000102030405060708090a0b0c"),
                                 hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b")),
                 TR_OK);
    CHECK_HEX(prk, 32, "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
    TR_CHECK_INT(tr_hkdf_expand(TR_HASH_SHA256, okm, 42, tr_slice(prk, 32), hex("f0f1f2f3f4f5f6f7f8f9")), TR_OK);
    CHECK_HEX(okm, 42, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    /* A.3: no salt, no info */
    TR_CHECK_INT(
        tr_hkdf_extract(TR_HASH_SHA256, prk, TR_SLICE_NULL, hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b")),
        TR_OK);
    CHECK_HEX(prk, 32, "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04");
    TR_CHECK_INT(tr_hkdf_expand(TR_HASH_SHA256, okm, 42, tr_slice(prk, 32), TR_SLICE_NULL), TR_OK);
    CHECK_HEX(okm, 42, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
    /* The longest output, and one byte more. */
    TR_CHECK_INT(tr_hkdf_expand(TR_HASH_SHA256, okm, sizeof(okm), tr_slice(prk, 32), TR_SLICE_NULL), TR_OK);
    CHECK_HEX(okm, 8, "8da4e775a563c18f");
    TR_CHECK_INT(tr_hkdf_expand(TR_HASH_SHA256, okm, sizeof(okm) + 1, tr_slice(prk, 32), TR_SLICE_NULL),
                 TR_ERR_INTERNAL);
}

TR_TEST(crypto_expand_label, "/crypto/hash/expand_label")
{
    /* RFC 8448 3: the key schedule of the simple 1-RTT handshake */
    uint8_t early[32], derived[32], secret[32], traffic[32], key[16], iv[12], empty[32];
    static const uint8_t zeros[32] = {0};
    tr_slice_t transcript = hex("860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8");
    TR_CHECK_INT(tr_hkdf_extract(TR_HASH_SHA256, early, TR_SLICE_NULL, tr_slice(zeros, 32)), TR_OK);
    CHECK_HEX(early, 32, "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a");
    TR_CHECK_INT(tr_hash_once(TR_HASH_SHA256, empty, TR_SLICE_NULL), TR_OK);
    TR_CHECK_INT(
        tr_hkdf_expand_label(TR_HASH_SHA256, derived, 32, tr_slice(early, 32), "derived", tr_slice(empty, 32)),
        TR_OK);
    CHECK_HEX(derived, 32, "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba");
    TR_CHECK_INT(tr_hkdf_extract(TR_HASH_SHA256, secret, tr_slice(derived, 32),
                                 hex("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d")),
                 TR_OK);
    CHECK_HEX(secret, 32, "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac");
    TR_CHECK_INT(
        tr_hkdf_expand_label(TR_HASH_SHA256, traffic, 32, tr_slice(secret, 32), "c hs traffic", transcript), TR_OK);
    CHECK_HEX(traffic, 32, "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21");
    TR_CHECK_INT(
        tr_hkdf_expand_label(TR_HASH_SHA256, traffic, 32, tr_slice(secret, 32), "s hs traffic", transcript), TR_OK);
    CHECK_HEX(traffic, 32, "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38");
    TR_CHECK_INT(tr_hkdf_expand_label(TR_HASH_SHA256, key, 16, tr_slice(traffic, 32), "key", TR_SLICE_NULL), TR_OK);
    CHECK_HEX(key, 16, "3fce516009c21727d0f2e4e86ee403bc");
    TR_CHECK_INT(tr_hkdf_expand_label(TR_HASH_SHA256, iv, 12, tr_slice(traffic, 32), "iv", TR_SLICE_NULL), TR_OK);
    CHECK_HEX(iv, 12, "5d313eb2671276ee13000b30");
    /* A context that does not fit its length byte */
    uint8_t big[256] = {0};
    TR_CHECK_INT(tr_hkdf_expand_label(TR_HASH_SHA256, iv, 12, tr_slice(traffic, 32), "iv", tr_slice(big, 256)),
                 TR_ERR_INTERNAL);
}

TR_TEST(crypto_prf, "/crypto/hash/tls12_prf")
{
    /* The vector that the TLS working group's list agreed on for P_SHA256 (2009), 100 bytes */
    uint8_t out[100];
    uint8_t part[100];
    tr_slice_t secret = hex("9bbe436ba940f017b17652849a71db35");
    tr_slice_t seed = hex("a0ba9f936cda311827a6f796ffd5198c");
    TR_CHECK_INT(tr_tls12_prf(TR_HASH_SHA256, out, sizeof(out), secret, "test label", seed, TR_SLICE_NULL), TR_OK);
    CHECK_HEX(out, sizeof(out),
              "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af"
              "0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701"
              "87347b66");
    /* The seed in two pieces, and shorter outputs, are the same stream. */
    for (size_t len = 0; len <= sizeof(part); len += 9) {
        TR_CHECK_INT(tr_tls12_prf(TR_HASH_SHA256, part, len, secret, "test label", tr_slice(seed.data, 5),
                                  tr_slice(seed.data + 5, seed.len - 5)),
                     TR_OK);
        TR_CHECK_MEM(part, out, len);
    }
}

/* ------------------------------------------------------------------------------------- AEADs */

typedef struct aead_answer {
    tr_aead_id_t id;
    const char *key, *nonce, *aad, *text, *sealed;
} aead_answer_t;

static const aead_answer_t aead_answers[] = {
    /* The GCM specification (McGrew, Viega), test cases 4 and 16 */
    {TR_AEAD_AES_128_GCM, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de"
     "657ba637b39",
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aa"
     "c973d58e091"
     "5bc94fbc3221a5db94fae95ae7121a47"},
    {TR_AEAD_AES_256_GCM, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de"
     "657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7"
     "a0abcc9f662"
     "76fc6ece0f4e1768cddf8853bb2d551b"},
    /* RFC 8439 2.8.2 */
    {TR_AEAD_CHACHA20_POLY1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a204966204920636f756c64206f6"
     "666657220"
     "796f75206f6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73637265656e20776f756c642062652069742"
     "e",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060"
     "b2905d6a5"
     "b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b611"
     "6"
     "1ae10b594f09e26a7e902ecbd0600691"},
};

TR_TEST_OOM(crypto_aead_known, "/crypto/aead/known_answers")
{
    for (size_t i = 0; i < TR_ARRAY_LEN(aead_answers); i++) {
        const aead_answer_t *answer = &aead_answers[i];
        tr_slice_t key = hex(answer->key), nonce = hex(answer->nonce), aad = hex(answer->aad);
        tr_slice_t text = hex(answer->text), sealed = hex(answer->sealed);
        uint8_t buf[256];
        TR_CHECK_INT(key.len, tr_aead_key_len(answer->id));
        TR_CHECK_INT(nonce.len, TR_AEAD_NONCE_LEN);
        TR_CHECK_INT(sealed.len, text.len + TR_AEAD_TAG_LEN);
        tr_aead_t *seal = tr_aead_new(answer->id, key.data, true);
        tr_aead_t *open = tr_aead_new(answer->id, key.data, false);
        if (seal == NULL || open == NULL) {
            TR_CHECK(tr_test_oom_running());
            tr_aead_free(seal);
            tr_aead_free(open);
            return;
        }
        /* Apart, in place, and cut into contents and tail at each place. */
        TR_CHECK_INT(tr_aead_seal(seal, buf, nonce.data, aad, text, TR_SLICE_NULL), TR_OK);
        TR_CHECK_MEM(buf, sealed.data, sealed.len);
        for (size_t cut = 0; cut <= text.len; cut++) {
            memset(buf, 0, sizeof(buf));
            memcpy(buf, text.data, cut);
            TR_CHECK_INT(tr_aead_seal(seal, buf, nonce.data, aad, tr_slice(buf, cut),
                                      tr_slice(text.data + cut, text.len - cut)),
                         TR_OK);
            TR_CHECK_MEM(buf, sealed.data, sealed.len);
        }
        TR_CHECK_INT(tr_aead_open(open, buf, nonce.data, aad, tr_slice(buf, sealed.len)), TR_OK);
        TR_CHECK_MEM(buf, text.data, text.len);
        /* Each bit counts; a failure leaves the object usable. */
        for (size_t bit = 0; bit < sealed.len * 8; bit += 3) {
            memcpy(buf, sealed.data, sealed.len);
            buf[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            TR_CHECK_INT(tr_aead_open(open, buf, nonce.data, aad, tr_slice(buf, sealed.len)),
                         TR_ERR_TLS_BAD_RECORD);
        }
        for (size_t len = 0; len < sealed.len; len++) {
            memcpy(buf, sealed.data, sealed.len);
            TR_CHECK_INT(tr_aead_open(open, buf, nonce.data, aad, tr_slice(buf, len)), TR_ERR_TLS_BAD_RECORD);
        }
        memcpy(buf, sealed.data, sealed.len);
        TR_CHECK_INT(
            tr_aead_open(open, buf, nonce.data, tr_slice(aad.data, aad.len - 1), tr_slice(buf, sealed.len)),
            TR_ERR_TLS_BAD_RECORD);
        memcpy(buf, sealed.data, sealed.len);
        TR_CHECK_INT(tr_aead_open(open, buf, nonce.data, aad, tr_slice(buf, sealed.len)), TR_OK);
        TR_CHECK_MEM(buf, text.data, text.len);
        tr_aead_free(seal);
        tr_aead_free(open);
    }
    tr_aead_free(NULL);
}

TR_TEST(crypto_aead_lengths, "/crypto/aead/lengths")
{
    static uint8_t text[16384], buf[16384 + TR_AEAD_TAG_LEN];
    static const size_t lens[] = {0, 1, 15, 16, 17, 255, 256, 1000, 16383, 16384};
    uint8_t key[TR_AEAD_MAX_KEY] = {1, 2, 3};
    uint8_t nonce[TR_AEAD_NONCE_LEN] = {9};
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (uint8_t)(i * 31);
    }
    for (size_t id = 0; id < TR_AEAD__NUM; id++) {
        tr_aead_t *seal = tr_aead_new((tr_aead_id_t)id, key, true);
        tr_aead_t *open = tr_aead_new((tr_aead_id_t)id, key, false);
        TR_CHECK(seal != NULL && open != NULL);
        for (size_t i = 0; i < TR_ARRAY_LEN(lens); i++) {
            nonce[11] = (uint8_t)i;
            TR_CHECK_INT(tr_aead_seal(seal, buf, nonce, TR_SLICE_NULL, tr_slice(text, lens[i]), TR_SLICE_NULL),
                         TR_OK);
            TR_CHECK_INT(tr_aead_open(open, buf, nonce, TR_SLICE_NULL, tr_slice(buf, lens[i] + TR_AEAD_TAG_LEN)),
                         TR_OK);
            TR_CHECK_MEM(buf, text, lens[i]);
        }
        tr_aead_free(seal);
        tr_aead_free(open);
    }
    TR_CHECK(tr_aead_new(TR_AEAD__NUM, key, true) == NULL);
}

/* ------------------------------------------------------------------------------------- CBC */

#define CBC_MAX (1024)

static const uint8_t cbc_key[32] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
static const uint8_t cbc_mac_key[48] = {7, 7, 7};
static const uint8_t cbc_iv[16] = {0xa0, 0xa1, 0xa2};
static const uint8_t cbc_aad[11] = {0, 0, 0, 0, 0, 0, 0, 5, 23, 3, 3};

static const struct {
    tr_cbc_id_t id;
    tr_hash_id_t hash;
    const char *cipher;
} cbc_cases[] = {
    {TR_CBC_AES_128_SHA1, TR_HASH_SHA1, "AES-128-CBC"},     {TR_CBC_AES_256_SHA1, TR_HASH_SHA1, "AES-256-CBC"},
    {TR_CBC_AES_128_SHA256, TR_HASH_SHA256, "AES-128-CBC"}, {TR_CBC_AES_256_SHA256, TR_HASH_SHA256, "AES-256-CBC"},
    {TR_CBC_AES_256_SHA384, TR_HASH_SHA384, "AES-256-CBC"}, {TR_CBC_3DES_SHA1, TR_HASH_SHA1, "DES-EDE3-CBC"},
};

/* Encrypts a body of whole blocks as it stands: a record with any padding that a test wants. */
static void
raw_cbc(const char *cipher, size_t block_len, uint8_t *out, const uint8_t *body, size_t body_len)
{
    int len = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_CIPHER *alg = EVP_CIPHER_fetch(NULL, cipher, NULL);
    memcpy(out, cbc_iv, block_len);
    bool ok = ctx != NULL && alg != NULL && EVP_EncryptInit_ex2(ctx, alg, cbc_key, cbc_iv, NULL) == 1 &&
              EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 &&
              EVP_EncryptUpdate(ctx, out + block_len, &len, body, (int)body_len) == 1 && (size_t)len == body_len;
    EVP_CIPHER_free(alg);
    EVP_CIPHER_CTX_free(ctx);
    TR_CHECK(ok);
}

/* data, MAC, and padding bytes of the value padding - 1; returns the length, a multiple of the block. */
static size_t
make_body(uint8_t *body, tr_hash_id_t hash, const uint8_t *data, size_t data_len, size_t padding)
{
    uint8_t len_bytes[2] = {(uint8_t)(data_len >> 8), (uint8_t)data_len};
    tr_slice_t parts[3] = {tr_slice(cbc_aad, 11), tr_slice(len_bytes, 2), tr_slice(data, data_len)};
    size_t mac_len = tr_hash_len(hash);
    memcpy(body, data, data_len);
    TR_CHECK_INT(tr_hmac(hash, body + data_len, tr_slice(cbc_mac_key, mac_len), parts, 3), TR_OK);
    memset(body + data_len + mac_len, (int)(padding - 1), padding);
    return data_len + mac_len + padding;
}

TR_TEST_OOM(crypto_cbc_round_trip, "/crypto/cbc/round_trip")
{
    uint8_t data[200], record[400], out[400];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 13 + 5);
    }
    for (size_t c = 0; c < TR_ARRAY_LEN(cbc_cases); c++) {
        size_t block_len = tr_cbc_block_len(cbc_cases[c].id);
        size_t mac_len = tr_cbc_mac_len(cbc_cases[c].id);
        tr_cbc_t *seal = tr_cbc_new(cbc_cases[c].id, cbc_key, cbc_mac_key, true);
        tr_cbc_t *open = tr_cbc_new(cbc_cases[c].id, cbc_key, cbc_mac_key, false);
        if (seal == NULL || open == NULL) {
            TR_CHECK(tr_test_oom_running());
            tr_cbc_free(seal);
            tr_cbc_free(open);
            return;
        }
        TR_CHECK_INT(mac_len, tr_hash_len(cbc_cases[c].hash));
        for (size_t len = 0; len <= sizeof(data); len += 7) {
            size_t record_len, out_len;
            TR_CHECK_INT(tr_cbc_seal(seal, record, &record_len, cbc_iv, cbc_aad, tr_slice(data, len)), TR_OK);
            TR_CHECK(record_len % block_len == 0 && record_len <= block_len + len + mac_len + 2 * block_len);
            /* The same bytes as MAC and padding made apart. */
            uint8_t body[400], expected[400];
            size_t padding = block_len - (len + mac_len) % block_len;
            size_t body_len = make_body(body, cbc_cases[c].hash, data, len, padding);
            raw_cbc(cbc_cases[c].cipher, block_len, expected, body, body_len);
            TR_CHECK_INT(record_len, block_len + body_len);
            TR_CHECK_MEM(record, expected, record_len);
            TR_CHECK_INT(tr_cbc_open(open, out, &out_len, cbc_aad, tr_slice(record, record_len)), TR_OK);
            TR_CHECK_INT(out_len, len);
            TR_CHECK_MEM(out, data, len);
            /* In place, as a record layer does it. */
            TR_CHECK_INT(tr_cbc_open(open, record, &out_len, cbc_aad, tr_slice(record, record_len)), TR_OK);
            TR_CHECK_INT(out_len, len);
            TR_CHECK_MEM(record, data, len);
        }
        tr_cbc_free(seal);
        tr_cbc_free(open);
    }
    tr_cbc_free(NULL);
    TR_CHECK(tr_cbc_new(TR_CBC__NUM, cbc_key, cbc_mac_key, true) == NULL);
}

TR_TEST(crypto_cbc_padding, "/crypto/cbc/every_padding")
{
    uint8_t data[CBC_MAX], body[CBC_MAX], record[CBC_MAX], out[CBC_MAX];
    memset(data, 0xab, sizeof(data));
    for (size_t c = 0; c < TR_ARRAY_LEN(cbc_cases); c++) {
        size_t block_len = tr_cbc_block_len(cbc_cases[c].id);
        size_t mac_len = tr_cbc_mac_len(cbc_cases[c].id);
        size_t out_len;
        tr_cbc_t *open = tr_cbc_new(cbc_cases[c].id, cbc_key, cbc_mac_key, false);
        TR_CHECK(open != NULL);
        for (size_t padding = 1; padding <= 256; padding++) {
            /* The data's length makes whole blocks; a long and a short record for each. */
            for (size_t more = 0; more <= 320; more += 320) {
                size_t data_len = more + (block_len - (mac_len + padding) % block_len) % block_len;
                size_t body_len = make_body(body, cbc_cases[c].hash, data, data_len, padding);
                raw_cbc(cbc_cases[c].cipher, block_len, record, body, body_len);
                TR_CHECK_INT(tr_cbc_open(open, out, &out_len, cbc_aad, tr_slice(record, block_len + body_len)),
                             TR_OK);
                TR_CHECK_INT(out_len, data_len);
                TR_CHECK_MEM(out, data, data_len);
                /* One wrong padding byte, at either end and in the middle. */
                size_t wrong[3] = {body_len - padding, body_len - 1 - padding / 2, body_len - 2};
                for (size_t i = 0; i < 3 && padding > 1; i++) {
                    size_t at = wrong[i] == body_len - 1 ? body_len - 2 : wrong[i];
                    body[at] ^= 0x40;
                    raw_cbc(cbc_cases[c].cipher, block_len, record, body, body_len);
                    TR_CHECK_INT(tr_cbc_open(open, out, &out_len, cbc_aad, tr_slice(record, block_len + body_len)),
                                 TR_ERR_TLS_BAD_RECORD);
                    TR_CHECK_INT(out_len, 0);
                    body[at] ^= 0x40;
                }
                /* One wrong bit in the MAC, first and last byte; in the data; and another length byte. */
                size_t changed[4] = {data_len, data_len + mac_len - 1, 0, body_len - 1};
                for (size_t i = 0; i < 4; i++) {
                    body[changed[i]] ^= 0x01;
                    raw_cbc(cbc_cases[c].cipher, block_len, record, body, body_len);
                    TR_CHECK_INT(tr_cbc_open(open, out, &out_len, cbc_aad, tr_slice(record, block_len + body_len)),
                                 TR_ERR_TLS_BAD_RECORD);
                    body[changed[i]] ^= 0x01;
                }
            }
        }
        tr_cbc_free(open);
    }
}

TR_TEST(crypto_cbc_refused, "/crypto/cbc/refused")
{
    uint8_t body[512], record[512], out[512];
    for (size_t c = 0; c < TR_ARRAY_LEN(cbc_cases); c++) {
        size_t block_len = tr_cbc_block_len(cbc_cases[c].id);
        size_t out_len;
        tr_cbc_t *open = tr_cbc_new(cbc_cases[c].id, cbc_key, cbc_mac_key, false);
        TR_CHECK(open != NULL);
        /* Padding that claims more than the record holds beside a MAC, for all lengths; also all-padding records.
         */
        for (size_t body_len = block_len; body_len <= 320; body_len += block_len) {
            for (unsigned value = 0; value < 256; value++) {
                memset(body, (int)value, body_len);
                raw_cbc(cbc_cases[c].cipher, block_len, record, body, body_len);
                TR_CHECK_INT(tr_cbc_open(open, out, &out_len, cbc_aad, tr_slice(record, block_len + body_len)),
                             TR_ERR_TLS_BAD_RECORD);
            }
        }
        /* Not whole blocks, or nothing. */
        for (size_t len = 0; len < 3 * block_len; len++) {
            TR_CHECK_INT(tr_cbc_open(open, out, &out_len, cbc_aad, tr_slice(record, len)), TR_ERR_TLS_BAD_RECORD);
        }
        /* A sequence number that is not this record's. */
        uint8_t other_aad[11];
        size_t mac_len = tr_cbc_mac_len(cbc_cases[c].id);
        size_t data_len = (block_len - (mac_len + 1) % block_len) % block_len;
        memcpy(other_aad, cbc_aad, 11);
        other_aad[7]++;
        uint8_t data[16] = {1};
        size_t body_len = make_body(body, cbc_cases[c].hash, data, data_len, 1);
        raw_cbc(cbc_cases[c].cipher, block_len, record, body, body_len);
        TR_CHECK_INT(tr_cbc_open(open, out, &out_len, other_aad, tr_slice(record, block_len + body_len)),
                     TR_ERR_TLS_BAD_RECORD);
        TR_CHECK_INT(tr_cbc_open(open, out, &out_len, cbc_aad, tr_slice(record, block_len + body_len)), TR_OK);
        tr_cbc_free(open);
    }
}

TR_TEST(crypto_cbc_etm, "/crypto/cbc/encrypt_then_mac")
{
    uint8_t data[100], record[300], out[300], mac[TR_HASH_MAX];
    memset(data, 0x5a, sizeof(data));
    for (size_t c = 0; c < TR_ARRAY_LEN(cbc_cases); c++) {
        size_t block_len = tr_cbc_block_len(cbc_cases[c].id);
        size_t mac_len = tr_cbc_mac_len(cbc_cases[c].id);
        tr_cbc_t *seal = tr_cbc_new(cbc_cases[c].id, cbc_key, cbc_mac_key, true);
        tr_cbc_t *open = tr_cbc_new(cbc_cases[c].id, cbc_key, cbc_mac_key, false);
        TR_CHECK(seal != NULL && open != NULL);
        tr_cbc_set_etm(seal);
        tr_cbc_set_etm(open);
        for (size_t len = 0; len <= sizeof(data); len += 9) {
            size_t record_len, out_len;
            TR_CHECK_INT(tr_cbc_seal(seal, record, &record_len, cbc_iv, cbc_aad, tr_slice(data, len)), TR_OK);
            /* RFC 7366 3: the MAC covers sequence number, type, version, the length of IV and ciphertext, and
             * these. */
            size_t sealed_len = record_len - mac_len;
            uint8_t len_bytes[2] = {(uint8_t)(sealed_len >> 8), (uint8_t)sealed_len};
            tr_slice_t parts[3] = {tr_slice(cbc_aad, 11), tr_slice(len_bytes, 2), tr_slice(record, sealed_len)};
            TR_CHECK_INT(tr_hmac(cbc_cases[c].hash, mac, tr_slice(cbc_mac_key, mac_len), parts, 3), TR_OK);
            TR_CHECK_MEM(mac, record + sealed_len, mac_len);
            TR_CHECK_INT(sealed_len, block_len + len + block_len - len % block_len);
            TR_CHECK_INT(tr_cbc_open(open, out, &out_len, cbc_aad, tr_slice(record, record_len)), TR_OK);
            TR_CHECK_INT(out_len, len);
            TR_CHECK_MEM(out, data, len);
            for (size_t i = 0; i < record_len; i += 5) {
                record[i] ^= 0x10;
                TR_CHECK_INT(tr_cbc_open(open, out, &out_len, cbc_aad, tr_slice(record, record_len)),
                             TR_ERR_TLS_BAD_RECORD);
                record[i] ^= 0x10;
            }
            for (size_t cut = 0; cut < record_len; cut++) {
                TR_CHECK_INT(tr_cbc_open(open, out, &out_len, cbc_aad, tr_slice(record, cut)),
                             TR_ERR_TLS_BAD_RECORD);
            }
        }
        /* A right MAC over a wrong padding: too long, and uneven. */
        static const uint8_t last[2] = {255, 1};
        for (size_t i = 0; i < 2; i++) {
            uint8_t body[32] = {0};
            size_t out_len;
            body[2 * block_len - 1] = last[i];
            raw_cbc(cbc_cases[c].cipher, block_len, record, body, 2 * block_len);
            uint8_t len_bytes[2] = {0, (uint8_t)(3 * block_len)};
            tr_slice_t parts[3] = {tr_slice(cbc_aad, 11), tr_slice(len_bytes, 2), tr_slice(record, 3 * block_len)};
            TR_CHECK_INT(
                tr_hmac(cbc_cases[c].hash, record + 3 * block_len, tr_slice(cbc_mac_key, mac_len), parts, 3),
                TR_OK);
            TR_CHECK_INT(tr_cbc_open(open, out, &out_len, cbc_aad, tr_slice(record, 3 * block_len + mac_len)),
                         TR_ERR_TLS_BAD_RECORD);
        }
        tr_cbc_free(seal);
        tr_cbc_free(open);
    }
}
