/* ML-KEM-768 on public vectors: project Wycheproof (testvectors_v1, JSON), CCTV (text), and a few answers that
 * stand here. The large files are read from tr_test_vectors() where they are present. */
#include <zlib.h>

#include "core/mem.h"
#include "crypto/keccak.h"
#include "crypto/mlkem.h"
#include "tr_test.h"

#define MAX_FIELD 2600 /* longer than any valid field: a decapsulation key one byte too long must fit */

typedef struct field {
    uint8_t data[MAX_FIELD];
    size_t len;
    bool present;
} field_t;

static int
hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t
read_hex(field_t *out, const char *p)
{
    size_t used = 0;
    out->len = 0;
    out->present = true;
    while (hex_value(p[used]) >= 0 && hex_value(p[used + 1]) >= 0) {
        TR_CHECK(out->len < MAX_FIELD);
        out->data[out->len++] = (uint8_t)(hex_value(p[used]) << 4 | hex_value(p[used + 1]));
        used += 2;
    }
    return used;
}

/* The text of "key": "..." between p and end; NULL: no such key there. */
static const char *
find_text(const char *p, const char *end, const char *key)
{
    char quoted[32];
    (void)snprintf(quoted, sizeof(quoted), "\"%s\": \"", key);
    const char *found = strstr(p, quoted);
    return found != NULL && found < end ? found + strlen(quoted) : NULL;
}

static void
find_hex(field_t *out, const char *p, const char *end, const char *key)
{
    const char *text = find_text(p, end, key);
    out->present = false;
    out->len = 0;
    if (text != NULL) {
        size_t used = read_hex(out, text);
        TR_CHECK(text[used] == '"');
    }
}

typedef void (*json_case_fn)(const char *p, const char *end, bool valid);

/* Calls fn for each test case of a Wycheproof file; returns how many there were, 0 where the file is not present.
 */
static unsigned
each_case(const char *name, json_case_fn fn)
{
    char path[300];
    size_t len;
    unsigned num = 0;
    const char *dir = tr_test_vectors();
    if (dir == NULL) {
        return 0;
    }
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    const char *text = (const char *)tr_test_read_file(path, &len);
    if (text == NULL) {
        return 0;
    }
    const char *file_end = text + len;
    for (const char *p = strstr(text, "\"tcId\""); p != NULL;) {
        const char *next = strstr(p + 1, "\"tcId\"");
        const char *end = next != NULL ? next : file_end;
        const char *result = find_text(p, end, "result");
        TR_CHECK(result != NULL);
        fn(p, end, strncmp(result, "valid\"", 6) == 0);
        num++;
        p = next;
    }
    /* numberOfTests of the file's head: none may be missed by the scan. */
    const char *total = strstr(text, "\"numberOfTests\": ");
    TR_CHECK(total != NULL);
    TR_CHECK_INT(num, strtol(total + strlen("\"numberOfTests\": "), NULL, 10));
    return num;
}

static void
keygen_case(const char *p, const char *end, bool valid)
{
    static field_t seed, ek, dk;
    uint8_t got_ek[TR_MLKEM768_EK_LEN];
    uint8_t got_dk[TR_MLKEM768_DK_LEN];
    find_hex(&seed, p, end, "seed");
    find_hex(&ek, p, end, "ek");
    find_hex(&dk, p, end, "dk");
    TR_CHECK(valid);
    TR_CHECK_INT(seed.len, TR_MLKEM768_SEED_LEN);
    TR_CHECK_INT(ek.len, TR_MLKEM768_EK_LEN);
    TR_CHECK_INT(dk.len, TR_MLKEM768_DK_LEN);
    tr_mlkem768_keygen(got_ek, got_dk, seed.data);
    TR_CHECK_MEM(got_ek, ek.data, sizeof(got_ek));
    TR_CHECK_MEM(got_dk, dk.data, sizeof(got_dk));
    TR_CHECK(tr_mlkem768_check_dk(got_dk));
}

TR_TEST(mlkem_keygen, "/crypto/mlkem/vectors/keygen")
{
    (void)each_case("mlkem_768_keygen_seed_test.json", keygen_case);
}

static void
encaps_case(const char *p, const char *end, bool valid)
{
    static field_t ek, m, c, secret;
    uint8_t got_ct[TR_MLKEM768_CT_LEN];
    uint8_t got_secret[TR_MLKEM_SECRET_LEN];
    find_hex(&ek, p, end, "ek");
    find_hex(&m, p, end, "m");
    find_hex(&c, p, end, "c");
    find_hex(&secret, p, end, "K");
    TR_CHECK_INT(m.len, 32);
    if (ek.len != TR_MLKEM768_EK_LEN) {
        /* a length that the interface cannot express */
        TR_CHECK(!valid);
        return;
    }
    TR_CHECK(tr_mlkem768_encaps(got_ct, got_secret, ek.data, m.data) == valid);
    if (valid) {
        TR_CHECK_INT(c.len, TR_MLKEM768_CT_LEN);
        TR_CHECK_INT(secret.len, TR_MLKEM_SECRET_LEN);
        TR_CHECK_MEM(got_ct, c.data, sizeof(got_ct));
        TR_CHECK_MEM(got_secret, secret.data, sizeof(got_secret));
    }
}

TR_TEST(mlkem_encaps, "/crypto/mlkem/vectors/encaps")
{
    (void)each_case("mlkem_768_encaps_test.json", encaps_case);
}

static void
decaps_case(const char *p, const char *end, bool valid)
{
    static field_t seed, ek, c, secret;
    uint8_t got_ek[TR_MLKEM768_EK_LEN];
    uint8_t dk[TR_MLKEM768_DK_LEN];
    uint8_t got_secret[TR_MLKEM_SECRET_LEN];
    find_hex(&seed, p, end, "seed");
    find_hex(&ek, p, end, "ek");
    find_hex(&c, p, end, "c");
    find_hex(&secret, p, end, "K");
    if (seed.len != TR_MLKEM768_SEED_LEN || c.len != TR_MLKEM768_CT_LEN) {
        TR_CHECK(!valid);
        return;
    }
    TR_CHECK(valid);
    tr_mlkem768_keygen(got_ek, dk, seed.data);
    if (ek.present) {
        TR_CHECK_MEM(got_ek, ek.data, sizeof(got_ek));
    }
    tr_mlkem768_decaps(got_secret, c.data, dk);
    TR_CHECK_INT(secret.len, TR_MLKEM_SECRET_LEN);
    TR_CHECK_MEM(got_secret, secret.data, sizeof(got_secret));
}

TR_TEST(mlkem_decaps, "/crypto/mlkem/vectors/decaps")
{
    (void)each_case("mlkem_768_test.json", decaps_case);
}

static void
expanded_case(const char *p, const char *end, bool valid)
{
    static field_t dk, c, secret;
    uint8_t got_secret[TR_MLKEM_SECRET_LEN];
    find_hex(&dk, p, end, "dk");
    find_hex(&c, p, end, "c");
    find_hex(&secret, p, end, "K");
    if (dk.len != TR_MLKEM768_DK_LEN || c.len != TR_MLKEM768_CT_LEN) {
        TR_CHECK(!valid);
        return;
    }
    TR_CHECK(tr_mlkem768_check_dk(dk.data) == valid);
    if (valid) {
        tr_mlkem768_decaps(got_secret, c.data, dk.data);
        TR_CHECK_INT(secret.len, TR_MLKEM_SECRET_LEN);
        TR_CHECK_MEM(got_secret, secret.data, sizeof(got_secret));
    }
}

TR_TEST(mlkem_expanded, "/crypto/mlkem/vectors/expanded")
{
    (void)each_case("mlkem_768_semi_expanded_decaps_test.json", expanded_case);
}

/* Reads "name = hex" out of a CCTV file. False: the file is not present. */
static bool
read_cctv(field_t *out, const char *file, const char *name)
{
    char path[300];
    char line_start[16];
    size_t len;
    const char *dir = tr_test_vectors();
    if (dir == NULL) {
        return false;
    }
    (void)snprintf(path, sizeof(path), "%s/cctv/%s", dir, file);
    const char *text = (const char *)tr_test_read_file(path, &len);
    if (text == NULL) {
        return false;
    }
    (void)snprintf(line_start, sizeof(line_start), "%s = ", name);
    const char *p = text;
    while (p != NULL && strncmp(p, line_start, strlen(line_start)) != 0) {
        p = strchr(p, '\n');
        p = p != NULL ? p + 1 : NULL;
    }
    TR_CHECK(p != NULL);
    TR_CHECK(read_hex(out, p + strlen(line_start)) > 0);
    return true;
}

TR_TEST(mlkem_cctv_strcmp, "/crypto/mlkem/vectors/cctv_strcmp")
{
    static field_t dk, c, secret;
    uint8_t got[TR_MLKEM_SECRET_LEN];
    if (!read_cctv(&dk, "strcmp.txt", "dk")) {
        return;
    }
    TR_CHECK(read_cctv(&c, "strcmp.txt", "c") && read_cctv(&secret, "strcmp.txt", "K"));
    TR_CHECK(dk.len == TR_MLKEM768_DK_LEN && c.len == TR_MLKEM768_CT_LEN && secret.len == sizeof(got));
    tr_mlkem768_decaps(got, c.data, dk.data);
    TR_CHECK_MEM(got, secret.data, sizeof(got));
}

TR_TEST(mlkem_cctv_unlucky, "/crypto/mlkem/vectors/cctv_unlucky_sample")
{
    /* Sampling the matrix of this key needs more of the stream than usual. The file's d is of the draft of FIPS
     * 203: its rho is the first half of G(d), where the final standard has G(d || k). So the key is not made again
     * from d; encapsulation and decapsulation sample the same matrix. */
    static field_t d, z, ek, dk, m, secret, c;
    uint8_t g[64];
    uint8_t got_ct[TR_MLKEM768_CT_LEN];
    uint8_t got[TR_MLKEM_SECRET_LEN];
    tr_keccak_t k;
    if (!read_cctv(&d, "unluckysample.txt", "d")) {
        return;
    }
    TR_CHECK(read_cctv(&z, "unluckysample.txt", "z") && read_cctv(&ek, "unluckysample.txt", "ek"));
    TR_CHECK(read_cctv(&dk, "unluckysample.txt", "dk") && read_cctv(&m, "unluckysample.txt", "m"));
    TR_CHECK(read_cctv(&secret, "unluckysample.txt", "K") && read_cctv(&c, "unluckysample.txt", "c"));
    TR_CHECK(d.len == 32 && z.len == 32 && m.len == 32 && ek.len == TR_MLKEM768_EK_LEN &&
             dk.len == TR_MLKEM768_DK_LEN);
    tr_keccak_init(&k, TR_KECCAK_RATE_512);
    tr_keccak_absorb(&k, d.data, 32);
    tr_keccak_finish(&k, TR_KECCAK_SUFFIX_SHA3);
    tr_keccak_squeeze(&k, g, sizeof(g));
    TR_CHECK_MEM(g, ek.data + ek.len - 32, 32);
    TR_CHECK(tr_mlkem768_check_dk(dk.data));
    TR_CHECK(tr_mlkem768_encaps(got_ct, got, ek.data, m.data));
    TR_CHECK_MEM(got_ct, c.data, sizeof(got_ct));
    TR_CHECK_MEM(got, secret.data, sizeof(got));
    memset(got, 0, sizeof(got));
    tr_mlkem768_decaps(got, got_ct, dk.data);
    TR_CHECK_MEM(got, secret.data, sizeof(got));
}

TR_TEST(mlkem_cctv_modulus, "/crypto/mlkem/vectors/cctv_modulus")
{
    static char line[2 * TR_MLKEM768_EK_LEN + 8];
    static field_t ek;
    static const uint8_t m[32] = {1};
    uint8_t ct[TR_MLKEM768_CT_LEN];
    uint8_t secret[TR_MLKEM_SECRET_LEN];
    char path[300];
    unsigned num = 0;
    const char *dir = tr_test_vectors();
    if (dir == NULL) {
        return;
    }
    (void)snprintf(path, sizeof(path), "%s/cctv/modulus.txt.gz", dir);
    gzFile file = gzopen(path, "rb");
    if (file == NULL) {
        return;
    }
    bool all_refused = true;
    while (gzgets(file, line, sizeof(line)) != NULL) {
        if (read_hex(&ek, line) == 0) {
            continue;
        }
        all_refused = all_refused && ek.len == TR_MLKEM768_EK_LEN && !tr_mlkem768_encaps(ct, secret, ek.data, m);
        num++;
    }
    (void)gzclose(file);
    TR_CHECK(all_refused);
    TR_CHECK(num >= 256 * 3); /* at least one for each coefficient */
}

static void
sponge(uint8_t *out, size_t out_len, size_t rate, uint8_t suffix, const char *in)
{
    tr_keccak_t k;
    tr_keccak_init(&k, rate);
    tr_keccak_absorb(&k, in, strlen(in));
    tr_keccak_finish(&k, suffix);
    tr_keccak_squeeze(&k, out, out_len);
}

static void
check_hex(const uint8_t *got, size_t got_len, const char *hex)
{
    size_t len;
    uint8_t *expected = tr_test_hex(hex, &len);
    TR_CHECK_INT(got_len, len);
    TR_CHECK_MEM(got, expected, len);
}

TR_TEST(mlkem_keccak, "/crypto/keccak/known_answers")
{
    uint8_t out[64];
    /* NIST's example values for FIPS 202: the empty message, and "abc" */
    sponge(out, 32, TR_KECCAK_RATE_256, TR_KECCAK_SUFFIX_SHA3, "");
    check_hex(out, 32, "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a");
    sponge(out, 32, TR_KECCAK_RATE_256, TR_KECCAK_SUFFIX_SHA3, "abc");
    check_hex(out, 32, "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532");
    sponge(out, 64, TR_KECCAK_RATE_512, TR_KECCAK_SUFFIX_SHA3, "abc");
    check_hex(out, 64,
              "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e"
              "10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0");
    sponge(out, 32, TR_KECCAK_RATE_128, TR_KECCAK_SUFFIX_SHAKE, "");
    check_hex(out, 32, "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26");
    sponge(out, 32, TR_KECCAK_RATE_256, TR_KECCAK_SUFFIX_SHAKE, "");
    check_hex(out, 32, "46b9dd2b0ba88d13233b3feb743eeb243fcd52ea62b81b82b50c27646ed5762f");
}

TR_TEST(mlkem_keccak4, "/crypto/keccak/four_at_once")
{
    /* Each of the four equals a sponge of its own, over several blocks and for both message lengths. */
    static const uint8_t tail[4][2] = {{0, 0}, {1, 2}, {255, 254}, {3, 0}};
    uint8_t shared[32];
    uint8_t expected[TR_KECCAK_RATE_128 * 3];
    uint8_t got[TR_KECCAK_RATE_128];
    for (size_t i = 0; i < sizeof(shared); i++) {
        shared[i] = (uint8_t)(i * 7 + 1);
    }
    for (size_t tail_len = 1; tail_len <= 2; tail_len++) {
        size_t rate = tail_len == 2 ? TR_KECCAK_RATE_128 : TR_KECCAK_RATE_256;
        tr_keccak4_t four;
        tr_keccak4_seed(&four, rate, shared, tail, tail_len);
        for (size_t block = 0; block < 3; block++) {
            tr_keccak4_permute(&four);
            for (size_t j = 0; j < 4; j++) {
                tr_keccak_t one;
                tr_keccak_init(&one, rate);
                tr_keccak_absorb(&one, shared, sizeof(shared));
                tr_keccak_absorb(&one, tail[j], tail_len);
                tr_keccak_finish(&one, TR_KECCAK_SUFFIX_SHAKE);
                tr_keccak_squeeze(&one, expected, rate * (block + 1));
                tr_keccak4_read(&four, j, got, rate);
                TR_CHECK_MEM(got, expected + rate * block, rate);
            }
        }
    }
}

/* Everything that a known answer fixes, as one digest: the vectors' own files stay out of this one. */
static void
digest(uint8_t out[32], const void *data, size_t len)
{
    tr_keccak_t k;
    tr_keccak_init(&k, TR_KECCAK_RATE_256);
    tr_keccak_absorb(&k, data, len);
    tr_keccak_finish(&k, TR_KECCAK_SUFFIX_SHA3);
    tr_keccak_squeeze(&k, out, 32);
}

TR_TEST(mlkem_known, "/crypto/mlkem/known_answer")
{
    /* Wycheproof mlkem_768_test.json, tcId 2 (and keygen tcId 1): seed, message and secret as they stand there, the
     * keys and the ciphertext as their SHA3-256. */
    uint8_t ek[TR_MLKEM768_EK_LEN];
    uint8_t dk[TR_MLKEM768_DK_LEN];
    uint8_t ct[TR_MLKEM768_CT_LEN];
    uint8_t secret[TR_MLKEM_SECRET_LEN];
    uint8_t other[TR_MLKEM_SECRET_LEN];
    uint8_t hash[32];
    size_t len;
    uint8_t *seed = tr_test_hex("7c9935a0b07694aa0c6d10e4db6b1add2fd81a25ccb148032dcd739936737f2d"
                                "8626ed79d451140800e03b59b956f8210e556067407d13dc90fa9e8b872bfb8f",
                                &len);
    TR_CHECK_INT(len, TR_MLKEM768_SEED_LEN);
    uint8_t *m = tr_test_hex("147c03f7a5bebba406c8fae1874d7f13c80efe79a3a9a874cc09fe76f6997615", &len);
    TR_CHECK_INT(len, 32);
    tr_mlkem768_keygen(ek, dk, seed);
    digest(hash, ek, sizeof(ek));
    check_hex(hash, 32, "f57262661358cde8d3ebf990e5fd1d5b896c992ccfaadb5256b68bbf5943b132");
    digest(hash, dk, sizeof(dk));
    check_hex(hash, 32, "7deef44965b03d76de543ad6ef9e74a2772fa5a9fa0e761120dac767cf0152ef");
    TR_CHECK(tr_mlkem768_encaps(ct, secret, ek, m));
    digest(hash, ct, sizeof(ct));
    check_hex(hash, 32, "6e777e2cf8054659136a971d9e70252f301226930c19c470ee0688163a63c15b");
    check_hex(secret, sizeof(secret), "e7184a0975ee3470878d2d159ec83129c8aec253d4ee17b4810311d198cd0368");
    tr_mlkem768_decaps(other, ct, dk);
    TR_CHECK_MEM(other, secret, sizeof(secret));

    /* FIPS 203 algorithm 18 lines 7 to 11: a changed ciphertext gives J(z || c), whatever bit was changed. */
    for (size_t bit = 0; bit < sizeof(ct) * 8; bit += 61) {
        uint8_t expected[32];
        tr_keccak_t k;
        ct[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        tr_keccak_init(&k, TR_KECCAK_RATE_256);
        tr_keccak_absorb(&k, dk + sizeof(dk) - 32, 32);
        tr_keccak_absorb(&k, ct, sizeof(ct));
        tr_keccak_finish(&k, TR_KECCAK_SUFFIX_SHAKE);
        tr_keccak_squeeze(&k, expected, sizeof(expected));
        tr_mlkem768_decaps(other, ct, dk);
        TR_CHECK_MEM(other, expected, sizeof(expected));
        ct[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    tr_mlkem768_decaps(other, ct, dk);
    TR_CHECK_MEM(other, secret, sizeof(secret));
}

TR_TEST(mlkem_bad_keys, "/crypto/mlkem/bad_keys")
{
    static const uint8_t seed[TR_MLKEM768_SEED_LEN] = {9};
    static const uint8_t m[32] = {7};
    uint8_t ek[TR_MLKEM768_EK_LEN];
    uint8_t dk[TR_MLKEM768_DK_LEN];
    uint8_t ct[TR_MLKEM768_CT_LEN];
    uint8_t secret[TR_MLKEM_SECRET_LEN];
    uint8_t zero[TR_MLKEM_SECRET_LEN] = {0};
    tr_mlkem768_keygen(ek, dk, seed);
    TR_CHECK(tr_mlkem768_encaps(ct, secret, ek, m));
    TR_CHECK(tr_mlkem768_check_dk(dk));
    /* Any change of the public key inside a decapsulation key, or of its hash, is found. */
    for (size_t i = 1152; i < 2400 - 32; i += 97) {
        dk[i] ^= 1;
        TR_CHECK(!tr_mlkem768_check_dk(dk));
        dk[i] ^= 1;
    }
    /* FIPS 203 7.2: q itself (0xd01) is the smallest value refused, q - 1 the largest taken. */
    ek[0] = 0x01;
    ek[1] = (uint8_t)((ek[1] & 0xf0) | 0x0d);
    TR_CHECK(!tr_mlkem768_encaps(ct, secret, ek, m));
    TR_CHECK_MEM(secret, zero, sizeof(zero));
    ek[0] = 0x00;
    TR_CHECK(tr_mlkem768_encaps(ct, secret, ek, m));
}

TR_TEST(mlkem_kyber, "/crypto/mlkem/kyber768_known_answer")
{
    /* Kyber768 round 3: the key of the seed 00 01 .. 3f (the expanded form is ML-KEM's), a ciphertext and its
     * secret made with Cloudflare's CIRCL v1.3.7 (kem/kyber/kyber768, EncapsulateTo with SHA-256("kyber768 known
     * answer") as seed), and the secret that its DecapsulateTo gives when bit 0 of byte 5 of the ciphertext is
     * changed. */
    uint8_t ek[TR_MLKEM768_EK_LEN];
    uint8_t dk[TR_MLKEM768_DK_LEN];
    uint8_t seed[TR_MLKEM768_SEED_LEN];
    uint8_t secret[TR_MLKEM_SECRET_LEN];
    uint8_t other[TR_MLKEM_SECRET_LEN];
    size_t len;
    uint8_t *ct = tr_test_hex(
        "00cfe5928bcb8d1e55c29bdfaf51c12589efbe05b09d3698f707e072056ca776547a84c822ac147e21f0c5ca6b1420d0"
        "0360dfc716d0f85b0f0f5ddb12ee1e503b871a380da84127df72bf67cf735bc6e2a6255f1d86d0a9439c3dd23ed05c6d"
        "d55582fc82df194b0bef98bc03cda25f4743f297a5888d70af7f634fad52d45721d1257a6f279585bf19c3ffd1ce5063"
        "99862fcb3d8a5bf6554ea5c08ba61245a79a61631dea2f7b931a770b99c06753e170a26a72b8366ec767295a05ff6802"
        "390a37d6975248af1c8692bc93f93f2b26114fbb4b2e7b721ab97c074c91d29071665cfd9b0f348a349aedafd1ca923e"
        "72947db44862bb7ed4228b7ae098fc1ce80c81900ed0c1d59cd4f8dd580ce911e8cd92759c2bab2d79f02103dfea7186"
        "9c3680116938c0ea3be501efca3bfb6e68bdf4cf414aeb90042cb958e5e9fddc9042a6d4efa94a417f2bdf474de5236b"
        "6b896433e614083468b1bc4fc1d1daacff050df95c58b30ca486f8ad8ad969e9842f913f8427f9e1e3f352ca1de55037"
        "2067ff4da7d84848e0b2d3e7ad195595a9a0dea19dbdca9370d8b51c1d5d50ab5981780738463e197e8156638201a307"
        "3d5534351db73645993f5ad11058aba6ab2d430e3e888236213d3c3234e47391fc3a76f48f450506d1d3398b054e17e3"
        "39752d8d66df76a787f17cba743a6e8d520731492502e094a95282dd2ab3e63d8d7065625713c37b3dd65679e6322908"
        "e249ddc264ee5e384f6b5ada225b2da66a1411ea45bbad658126737ffdc80fb220e64745048fef7a2a37e91c5f63578d"
        "f9fda3ed045165ccaa401cb5349c963d7fc3179a047083af0f3b8e508240734c2f6b0b354e36c2f374fa34958f314d69"
        "0aed7f264245bd80b2cecb95f1e0391b511de5f560c0cb9dcd6de0729d43cd63d17169e001e4bbdfd76de1760475d5bf"
        "84a1d63a38c625b68c27908b5c7b31d7698da8a5078cff1a86915443a8a5aecabc956544fde94bfcf3683875b1c416d0"
        "001fc65a330bca003805b2791f39859e685f9be7ba914fa76beb510a157cee4e7c3d9c83ee8a5f2dff63a36b094920a9"
        "52ce45803613beeff8adc18bb48d59faab703ad42578457c38c77b8299875e692aaac1298b4f224b2389df88134a2432"
        "25f1a4a56bb199128501d8e11ea785db7fac669398d5361071cbe36b746d3f93c4321ee24a14762d32751ca3cf3d4bb3"
        "29cd56395f550cd4d9e1aacec42485b7f949b4433d50a7e8a8b4514b2b2bd3e0874028a8d5e68e9af11ca068e96da99f"
        "98d5c18beb457594a24a5a8045ca1f32fd0bf8e6ddc9160b67b8a9bcc613d02a36873d7a936732bc9dd0a82a21971563"
        "d7c30a5a0d51c99961be08452cc2736b85af17eb0a8e9e7dec04e07a7b0905c80659e92dcde46dffd8155cf423abe8f1"
        "21907bbf37d67047187daa2dd5cb0493e4a567e207e29f4374c487da0b94585dadd943cb256dc1b96f9ee5d5b7a58014"
        "ab5fc58373ae9d149e4a875307aa06d0982ca1fb3172fc89741cc7500c674126",
        &len);
    TR_CHECK_INT(len, TR_MLKEM768_CT_LEN);
    for (size_t i = 0; i < sizeof(seed); i++) {
        seed[i] = (uint8_t)i;
    }
    tr_mlkem768_keygen(ek, dk, seed);
    tr_kyber768_decaps(secret, ct, dk);
    check_hex(secret, sizeof(secret), "d0ba39187c201e5747e130e53484fe1b21d8a3474650b9cc3df6e20947346b4a");
    /* The two differ in the last step alone. */
    tr_mlkem768_decaps(other, ct, dk);
    TR_CHECK(memcmp(secret, other, sizeof(secret)) != 0);
    ct[5] ^= 1;
    tr_kyber768_decaps(secret, ct, dk);
    check_hex(secret, sizeof(secret), "a80326d4b10feebc555a90bf2906bcdb3a0c45f531f594ff17b0af78f6078a0b");
}
