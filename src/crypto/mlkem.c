#include "crypto/mlkem.h"

#include "core/mem.h"
#include "crypto/keccak.h"

/* DESIGN. FIPS 203 with k = 3. Names follow the standard; "algorithm n" below is its numbering. Coefficients are
 * int16_t, signed, not always reduced: each function says what it takes and gives. Products are Montgomery products
 * with R = 2^16 (no division, the same time for all values). Nothing branches or indexes on a secret; the sampling
 * of the matrix does, on public bytes. */

#if defined(__GNUC__) && !defined(__clang__)
/* At -O2 gcc 12 does not vectorise the butterflies; it costs a factor of two. */
#pragma GCC optimize("O3")
#endif

#define N 256
#define K 3
#define Q 3329
#define DU 10
#define DV 4
#define POLY12_LEN 384        /* 256 coefficients of 12 bits */
#define POLY_DU_LEN (DU * 32) /* of 10 bits */
#define POLY_DV_LEN (DV * 32) /* of 4 bits */
#define DK_PKE_LEN (K * POLY12_LEN)
#define OFFSET_EK DK_PKE_LEN /* in a decapsulation key: dk_pke, ek, H(ek), z */
#define OFFSET_H (OFFSET_EK + TR_MLKEM768_EK_LEN)
#define OFFSET_Z (OFFSET_H + 32)

/* 2^-16 mod q's partner: q^-1 mod 2^16 */
#define Q_INV 62209
#define R_SQUARED 1353     /* 2^32 mod q */
#define INV_NTT_SCALE 1441 /* 2^32 / 128 mod q */
/* floor(2^35 / q) + 1: (n * it) >> 35 is n / q for all n below 2^23 */
#define DIV_Q 10321340

typedef struct poly {
    int16_t c[N];
} poly_t;

/* 17^bitrev7(i) * 2^16 mod q, centred (FIPS 203 appendix A, in Montgomery form) */
static const int16_t zetas[128] = {
    -1044, -758,  -359,  -1517, 1493,  1422,  287,   202,   -171,  622,  1577,  182,   962,   -1202, -1474, 1468,
    573,   -1325, 264,   383,   -829,  1458,  -1602, -130,  -681,  1017, 732,   608,   -1542, 411,   -205,  -1571,
    1223,  652,   -552,  1015,  -1293, 1491,  -282,  -1544, 516,   -8,   -320,  -666,  -1618, -1162, 126,   1469,
    -853,  -90,   -271,  830,   107,   -1421, -247,  -951,  -398,  961,  -1508, -725,  448,   -1065, 677,   -1275,
    -1103, 430,   555,   843,   -1251, 871,   1550,  105,   422,   587,  177,   -235,  -291,  -460,  1574,  1653,
    -246,  778,   1159,  -147,  -777,  1483,  -602,  1119,  -1590, 644,  -872,  349,   418,   329,   -156,  -75,
    817,   1097,  603,   610,   1322,  -1285, -1465, 384,   -1215, -136, 1218,  -1335, -874,  220,   -1187, -1659,
    -1185, -1530, -1278, 794,   -1510, -854,  -870,  478,   -108,  -308, 996,   991,   958,   -1460, 1522,  1628,
};

/* ------------------------------------------------------------------------------------- arithmetic modulo q */

/* a * b / 2^16 mod q, in (-q, q), for |a * b| < q * 2^15. */
static inline int16_t
mont_mul(int16_t a, int16_t b)
{
    int16_t high = (int16_t)(((int32_t)a * b) >> 16);
    int16_t low = (int16_t)((uint16_t)a * (uint32_t)(uint16_t)b);
    int16_t m = (int16_t)((uint16_t)low * (uint32_t)Q_INV);
    return (int16_t)(high - (int16_t)(((int32_t)m * Q) >> 16));
}

/* a mod q in [-q/2, q/2] */
static inline int16_t
barrett(int16_t a)
{
    int16_t quotient = (int16_t)(((int32_t)a * 20159 + (1 << 25)) >> 26); /* 20159 = round(2^26 / q) */
    return (int16_t)(a - quotient * Q);
}

/* a in (-q, q) to [0, q) */
static inline int16_t
to_positive(int16_t a)
{
    return (int16_t)(a + ((a >> 15) & Q));
}

static void
poly_reduce(poly_t *a)
{
    for (size_t i = 0; i < N; i++) {
        a->c[i] = barrett(a->c[i]);
    }
}

/* The sums below stay within int16_t: the callers add few reduced polynomials. */
static void
poly_add(poly_t *a, const poly_t *b)
{
    for (size_t i = 0; i < N; i++) {
        a->c[i] = (int16_t)(a->c[i] + b->c[i]);
    }
}

/* Algorithm 9. Takes |c| < 2q, gives |c| <= q/2. Each layer adds less than q: 9q < 2^15. */
static void
ntt(poly_t *a)
{
    size_t z = 1;
    for (size_t len = N / 2; len >= 2; len /= 2) {
        for (size_t start = 0; start < N; start += 2 * len) {
            int16_t zeta = zetas[z++];
            int16_t *lo = a->c + start;
            int16_t *hi = lo + len;
            for (size_t i = 0; i < len; i++) {
                int16_t t = mont_mul(zeta, hi[i]);
                hi[i] = (int16_t)(lo[i] - t);
                lo[i] = (int16_t)(lo[i] + t);
            }
        }
    }
    poly_reduce(a);
}

/* Algorithm 10, times 2^16, which makes up for the factor that basemul leaves. Takes |c| <= q, gives |c| < q. */
static void
ntt_inverse(poly_t *a)
{
    size_t z = 127;
    for (size_t len = 2; len <= N / 2; len *= 2) {
        for (size_t start = 0; start < N; start += 2 * len) {
            int16_t zeta = zetas[z--];
            int16_t *lo = a->c + start;
            int16_t *hi = lo + len;
            for (size_t i = 0; i < len; i++) {
                int16_t t = lo[i];
                lo[i] = barrett((int16_t)(t + hi[i]));
                hi[i] = mont_mul(zeta, (int16_t)(hi[i] - t));
            }
        }
    }
    for (size_t i = 0; i < N; i++) {
        a->c[i] = mont_mul(a->c[i], INV_NTT_SCALE);
    }
}

/* Algorithms 11 and 12: out = sum of a[i] * b[i] / 2^16 in the NTT domain, |c| <= q/2. Takes |c| < q. */
static void
dot(poly_t *out, const poly_t a[K], const poly_t b[K])
{
    memset(out, 0, sizeof(*out));
    for (size_t j = 0; j < K; j++) {
        for (size_t i = 0; i < N / 4; i++) {
            const int16_t *x = a[j].c + 4 * i;
            const int16_t *y = b[j].c + 4 * i;
            int16_t *r = out->c + 4 * i;
            int16_t zeta = zetas[64 + i];
            /* Two products modulo X^2 - zeta and X^2 + zeta. |r| grows by less than 2q a turn. */
            r[0] = (int16_t)(r[0] + mont_mul(mont_mul(x[1], y[1]), zeta) + mont_mul(x[0], y[0]));
            r[1] = (int16_t)(r[1] + mont_mul(x[0], y[1]) + mont_mul(x[1], y[0]));
            r[2] = (int16_t)(r[2] - mont_mul(mont_mul(x[3], y[3]), zeta) + mont_mul(x[2], y[2]));
            r[3] = (int16_t)(r[3] + mont_mul(x[2], y[3]) + mont_mul(x[3], y[2]));
        }
    }
    poly_reduce(out);
}

/* ------------------------------------------------------------------------------------- bytes and bits */

/* Algorithm 5, d = 12. Takes |c| < q. */
static void
encode12(uint8_t out[POLY12_LEN], const poly_t *a)
{
    for (size_t i = 0; i < N / 2; i++) {
        uint16_t lo = (uint16_t)to_positive(a->c[2 * i]);
        uint16_t hi = (uint16_t)to_positive(a->c[2 * i + 1]);
        out[3 * i] = (uint8_t)lo;
        out[3 * i + 1] = (uint8_t)(lo >> 8 | hi << 4);
        out[3 * i + 2] = (uint8_t)(hi >> 4);
    }
}

/* Algorithm 6, d = 12. False: a value was not below q; it is then reduced. Gives [0, q). */
static bool
decode12(poly_t *out, const uint8_t in[POLY12_LEN])
{
    int16_t too_large = 0;
    for (size_t i = 0; i < N / 2; i++) {
        int16_t lo = (int16_t)(in[3 * i] | (in[3 * i + 1] & 0x0f) << 8);
        int16_t hi = (int16_t)(in[3 * i + 1] >> 4 | in[3 * i + 2] << 4);
        lo = (int16_t)(lo - Q);
        hi = (int16_t)(hi - Q);
        too_large |= (int16_t)(~lo | ~hi); /* sign bit: lo or hi was at least q */
        out->c[2 * i] = to_positive(lo);
        out->c[2 * i + 1] = to_positive(hi);
    }
    return too_large >= 0;
}

/* FIPS 203 4.2.1: round(2^d / q * x) mod 2^d, for x in (-q, q). */
static inline uint16_t
compress(int16_t x, unsigned d)
{
    uint64_t n = ((uint64_t)(uint16_t)to_positive(x) << d) + Q / 2;
    return (uint16_t)((n * DIV_Q >> 35) & ((1u << d) - 1));
}

/* round(q / 2^d * y) */
static inline int16_t
decompress(uint16_t y, unsigned d)
{
    return (int16_t)(((uint32_t)y * Q + (1u << (d - 1))) >> d);
}

static void
encode_du(uint8_t out[POLY_DU_LEN], const poly_t *a)
{
    for (size_t i = 0; i < N / 4; i++) {
        uint64_t bits = 0;
        for (size_t j = 0; j < 4; j++) {
            bits |= (uint64_t)compress(a->c[4 * i + j], DU) << (DU * j);
        }
        for (size_t j = 0; j < 5; j++) {
            out[5 * i + j] = (uint8_t)(bits >> (8 * j));
        }
    }
}

static void
decode_du(poly_t *out, const uint8_t in[POLY_DU_LEN])
{
    for (size_t i = 0; i < N / 4; i++) {
        uint64_t bits = 0;
        for (size_t j = 0; j < 5; j++) {
            bits |= (uint64_t)in[5 * i + j] << (8 * j);
        }
        for (size_t j = 0; j < 4; j++) {
            out->c[4 * i + j] = decompress((uint16_t)(bits >> (DU * j) & 0x3ff), DU);
        }
    }
}

static void
encode_dv(uint8_t out[POLY_DV_LEN], const poly_t *a)
{
    for (size_t i = 0; i < N / 2; i++) {
        out[i] = (uint8_t)(compress(a->c[2 * i], DV) | compress(a->c[2 * i + 1], DV) << 4);
    }
}

static void
decode_dv(poly_t *out, const uint8_t in[POLY_DV_LEN])
{
    for (size_t i = 0; i < N / 2; i++) {
        out->c[2 * i] = decompress(in[i] & 0x0f, DV);
        out->c[2 * i + 1] = decompress(in[i] >> 4, DV);
    }
}

static void
encode_message(uint8_t out[32], const poly_t *a)
{
    for (size_t i = 0; i < 32; i++) {
        uint8_t byte = 0;
        for (size_t j = 0; j < 8; j++) {
            byte |= (uint8_t)(compress(a->c[8 * i + j], 1) << j);
        }
        out[i] = byte;
    }
}

static void
decode_message(poly_t *out, const uint8_t in[32])
{
    for (size_t i = 0; i < 32; i++) {
        for (size_t j = 0; j < 8; j++) {
            int16_t mask = (int16_t) - (in[i] >> j & 1);
            out->c[8 * i + j] = (int16_t)(mask & ((Q + 1) / 2));
        }
    }
}

/* ------------------------------------------------------------------------------------- hashing and sampling */

static void
hash(uint8_t *out, size_t out_len, size_t rate, uint8_t suffix, tr_slice_t a, tr_slice_t b)
{
    tr_keccak_t k;
    tr_keccak_init(&k, rate);
    tr_keccak_absorb(&k, a.data, a.len);
    tr_keccak_absorb(&k, b.data, b.len);
    tr_keccak_finish(&k, suffix);
    tr_keccak_squeeze(&k, out, out_len);
    tr_wipe(&k, sizeof(k));
}

/* FIPS 203 4.1: H is SHA3-256, J is SHAKE256 of 32 bytes, G is SHA3-512. */
static void
hash_h(uint8_t out[32], tr_slice_t in)
{
    hash(out, 32, TR_KECCAK_RATE_256, TR_KECCAK_SUFFIX_SHA3, in, TR_SLICE_NULL);
}

static void
hash_j(uint8_t out[32], tr_slice_t a, tr_slice_t b)
{
    hash(out, 32, TR_KECCAK_RATE_256, TR_KECCAK_SUFFIX_SHAKE, a, b);
}

static void
hash_g(uint8_t out[64], tr_slice_t a, tr_slice_t b)
{
    hash(out, 64, TR_KECCAK_RATE_512, TR_KECCAK_SUFFIX_SHA3, a, b);
}

/* The loop of algorithm 7 over a stretch of the stream; returns how many coefficients there are now. */
static size_t
take_uniform(poly_t *out, size_t have, const uint8_t *in, size_t len)
{
    for (size_t i = 0; i + 3 <= len && have < N; i += 3) {
        uint16_t d1 = (uint16_t)(in[i] | (in[i + 1] & 0x0f) << 8);
        uint16_t d2 = (uint16_t)(in[i + 1] >> 4 | in[i + 2] << 4);
        if (d1 < Q) {
            out->c[have++] = (int16_t)d1;
        }
        if (d2 < Q && have < N) {
            out->c[have++] = (int16_t)d2;
        }
    }
    return have;
}

/* Algorithm 7 for the nine entries of the matrix A, or of its transpose. Entry (i, j) comes from rho, j, i. */
static void
sample_matrix(poly_t a[K][K], const uint8_t rho[32], bool transposed)
{
    tr_keccak4_t k;
    uint8_t block[TR_KECCAK_RATE_128]; /* a multiple of 3: no candidate spans two blocks */
    for (size_t first = 0; first < (size_t)K * K; first += 4) {
        uint8_t tail[4][2] = {{0}};
        size_t have[4] = {0};
        size_t num = TR_MIN((size_t)4, K * K - first);
        for (size_t j = 0; j < num; j++) {
            uint8_t row = (uint8_t)((first + j) / K);
            uint8_t column = (uint8_t)((first + j) % K);
            tail[j][0] = transposed ? row : column;
            tail[j][1] = transposed ? column : row;
        }
        tr_keccak4_seed(&k, TR_KECCAK_RATE_128, rho, tail, 2);
        for (bool more = true; more;) {
            more = false;
            tr_keccak4_permute(&k);
            for (size_t j = 0; j < num; j++) {
                poly_t *out = &a[(first + j) / K][(first + j) % K];
                if (have[j] < N) {
                    tr_keccak4_read(&k, j, block, sizeof(block));
                    have[j] = take_uniform(out, have[j], block, sizeof(block));
                    more = more || have[j] < N;
                }
            }
        }
    }
}

/* Algorithm 8 with eta = 2: 128 bytes, four bits a coefficient. */
static void
take_binomial(poly_t *out, const uint8_t in[128])
{
    for (size_t i = 0; i < N / 8; i++) {
        uint32_t bits = (uint32_t)in[4 * i] | (uint32_t)in[4 * i + 1] << 8 | (uint32_t)in[4 * i + 2] << 16 |
                        (uint32_t)in[4 * i + 3] << 24;
        uint32_t pairs = (bits & 0x55555555) + (bits >> 1 & 0x55555555);
        for (size_t j = 0; j < 8; j++) {
            out->c[8 * i + j] = (int16_t)((int)(pairs >> (4 * j) & 3) - (int)(pairs >> (4 * j + 2) & 3));
        }
    }
}

/* PRF and algorithm 8 for num polynomials with the counters from first on. */
static void
sample_noise(poly_t *const *out, size_t num, const uint8_t seed[32], uint8_t first)
{
    tr_keccak4_t k;
    uint8_t bytes[128];
    for (size_t i = 0; i < num; i += 4) {
        uint8_t tail[4][2] = {{0}};
        for (size_t j = 0; j < 4; j++) {
            tail[j][0] = (uint8_t)(first + i + j);
        }
        tr_keccak4_seed(&k, TR_KECCAK_RATE_256, seed, tail, 1);
        tr_keccak4_permute(&k);
        for (size_t j = 0; j < 4 && i + j < num; j++) {
            tr_keccak4_read(&k, j, bytes, sizeof(bytes));
            take_binomial(out[i + j], bytes);
        }
    }
    tr_wipe(&k, sizeof(k));
    tr_wipe(bytes, sizeof(bytes));
}

/* ------------------------------------------------------------------------------------- K-PKE */

/* Algorithm 13. dk receives dk_pke. */
static void
pke_keygen(uint8_t ek[TR_MLKEM768_EK_LEN], uint8_t dk[DK_PKE_LEN], const uint8_t d[32])
{
    static const uint8_t k_byte[1] = {K};
    uint8_t seeds[64]; /* rho, sigma */
    poly_t a[K][K];
    poly_t s[K];
    poly_t e[K];
    poly_t *const noise[2 * K] = {&s[0], &s[1], &s[2], &e[0], &e[1], &e[2]};
    hash_g(seeds, tr_slice(d, 32), tr_slice(k_byte, 1));
    sample_matrix(a, seeds, false);
    sample_noise(noise, 2 * K, seeds + 32, 0);
    for (size_t i = 0; i < K; i++) {
        ntt(&s[i]);
        ntt(&e[i]);
    }
    for (size_t i = 0; i < K; i++) {
        poly_t t;
        dot(&t, a[i], s);
        for (size_t j = 0; j < N; j++) {
            t.c[j] = barrett((int16_t)(mont_mul(t.c[j], R_SQUARED) + e[i].c[j]));
        }
        encode12(ek + i * POLY12_LEN, &t);
        encode12(dk + i * POLY12_LEN, &s[i]);
    }
    memcpy(ek + K * POLY12_LEN, seeds, 32);
    tr_wipe(seeds, sizeof(seeds));
    tr_wipe(s, sizeof(s));
    tr_wipe(e, sizeof(e));
}

/* Algorithm 14. False: ek has a coefficient that is not reduced (FIPS 203 7.2); ct is then of the reduced key. */
static bool
pke_encrypt(uint8_t ct[TR_MLKEM768_CT_LEN], const uint8_t ek[TR_MLKEM768_EK_LEN], const uint8_t m[32],
            const uint8_t r[32])
{
    bool ok = true;
    poly_t a[K][K]; /* transposed */
    poly_t t[K];
    poly_t y[K];
    poly_t e1[K];
    poly_t e2;
    poly_t u;
    poly_t v;
    poly_t *const noise[2 * K + 1] = {&y[0], &y[1], &y[2], &e1[0], &e1[1], &e1[2], &e2};
    for (size_t i = 0; i < K; i++) {
        ok = decode12(&t[i], ek + i * POLY12_LEN) && ok;
    }
    sample_matrix(a, ek + K * POLY12_LEN, true);
    sample_noise(noise, 2 * K + 1, r, 0);
    for (size_t i = 0; i < K; i++) {
        ntt(&y[i]);
    }
    for (size_t i = 0; i < K; i++) {
        dot(&u, a[i], y);
        ntt_inverse(&u);
        poly_add(&u, &e1[i]);
        poly_reduce(&u);
        encode_du(ct + i * POLY_DU_LEN, &u);
    }
    dot(&v, t, y);
    ntt_inverse(&v);
    poly_add(&v, &e2);
    decode_message(&u, m);
    poly_add(&v, &u);
    poly_reduce(&v);
    encode_dv(ct + K * POLY_DU_LEN, &v);
    tr_wipe(y, sizeof(y));
    tr_wipe(e1, sizeof(e1));
    tr_wipe(&e2, sizeof(e2));
    tr_wipe(&u, sizeof(u));
    tr_wipe(&v, sizeof(v));
    return ok;
}

/* Algorithm 15 */
static void
pke_decrypt(uint8_t m[32], const uint8_t ct[TR_MLKEM768_CT_LEN], const uint8_t dk[DK_PKE_LEN])
{
    poly_t s[K];
    poly_t u[K];
    poly_t v;
    poly_t w;
    for (size_t i = 0; i < K; i++) {
        (void)decode12(&s[i], dk + i * POLY12_LEN); /* an expanded key from outside may hold anything: reduced */
        decode_du(&u[i], ct + i * POLY_DU_LEN);
        ntt(&u[i]);
    }
    decode_dv(&v, ct + K * POLY_DU_LEN);
    dot(&w, s, u);
    ntt_inverse(&w);
    for (size_t i = 0; i < N; i++) {
        w.c[i] = barrett((int16_t)(v.c[i] - w.c[i]));
    }
    encode_message(m, &w);
    tr_wipe(s, sizeof(s));
    tr_wipe(&w, sizeof(w));
}

/* ------------------------------------------------------------------------------------- ML-KEM */

void
tr_mlkem768_keygen(uint8_t ek[TR_MLKEM768_EK_LEN], uint8_t dk[TR_MLKEM768_DK_LEN],
                   const uint8_t seed[TR_MLKEM768_SEED_LEN])
{
    pke_keygen(ek, dk, seed);
    memcpy(dk + OFFSET_EK, ek, TR_MLKEM768_EK_LEN);
    hash_h(dk + OFFSET_H, tr_slice(ek, TR_MLKEM768_EK_LEN));
    memcpy(dk + OFFSET_Z, seed + 32, 32);
}

bool
tr_mlkem768_encaps(uint8_t ct[TR_MLKEM768_CT_LEN], uint8_t secret[TR_MLKEM_SECRET_LEN],
                   const uint8_t ek[TR_MLKEM768_EK_LEN], const uint8_t rnd[32])
{
    uint8_t h[32];
    uint8_t g[64]; /* K, r */
    hash_h(h, tr_slice(ek, TR_MLKEM768_EK_LEN));
    hash_g(g, tr_slice(rnd, 32), tr_slice(h, sizeof(h)));
    bool ok = pke_encrypt(ct, ek, rnd, g + 32);
    if (ok) {
        memcpy(secret, g, TR_MLKEM_SECRET_LEN);
    } else {
        memset(ct, 0, TR_MLKEM768_CT_LEN);
        memset(secret, 0, TR_MLKEM_SECRET_LEN);
    }
    tr_wipe(g, sizeof(g));
    return ok;
}

/* The part that ML-KEM and Kyber share: decrypts, encrypts again. g receives K' and r'. Returns 0xff where the
 * ciphertexts are equal, else 0. */
static uint8_t
decrypt_and_compare(uint8_t g[64], const uint8_t ct[TR_MLKEM768_CT_LEN], const uint8_t dk[TR_MLKEM768_DK_LEN])
{
    uint8_t m[32];
    uint8_t again[TR_MLKEM768_CT_LEN];
    uint32_t differs = 0;
    pke_decrypt(m, ct, dk);
    hash_g(g, tr_slice(m, sizeof(m)), tr_slice(dk + OFFSET_H, 32));
    (void)pke_encrypt(again, dk + OFFSET_EK, m, g + 32);
    for (size_t i = 0; i < sizeof(again); i++) {
        differs |= (uint32_t)(ct[i] ^ again[i]);
    }
    tr_wipe(m, sizeof(m));
    tr_wipe(again, sizeof(again));
    return (uint8_t)((differs - 1) >> 24);
}

/* out = mask is 0xff ? a : b */
static void
select_bytes(uint8_t out[32], uint8_t mask, const uint8_t a[32], const uint8_t b[32])
{
#if defined(__GNUC__)
    __asm__("" : "+r"(mask)); /* its two values must not become a branch */
#endif
    for (size_t i = 0; i < 32; i++) {
        out[i] = (uint8_t)((a[i] & mask) | (b[i] & (uint8_t)~mask));
    }
}

void
tr_mlkem768_decaps(uint8_t secret[TR_MLKEM_SECRET_LEN], const uint8_t ct[TR_MLKEM768_CT_LEN],
                   const uint8_t dk[TR_MLKEM768_DK_LEN])
{
    uint8_t g[64];
    uint8_t rejected[32];
    uint8_t equal = decrypt_and_compare(g, ct, dk);
    hash_j(rejected, tr_slice(dk + OFFSET_Z, 32), tr_slice(ct, TR_MLKEM768_CT_LEN));
    select_bytes(secret, equal, g, rejected);
    tr_wipe(g, sizeof(g));
    tr_wipe(rejected, sizeof(rejected));
}

bool
tr_mlkem768_check_dk(const uint8_t dk[TR_MLKEM768_DK_LEN])
{
    uint8_t h[32];
    hash_h(h, tr_slice(dk + OFFSET_EK, TR_MLKEM768_EK_LEN));
    return tr_memeq_ct(h, dk + OFFSET_H, sizeof(h));
}

void
tr_kyber768_decaps(uint8_t secret[TR_MLKEM_SECRET_LEN], const uint8_t ct[TR_MLKEM768_CT_LEN],
                   const uint8_t dk[TR_MLKEM768_DK_LEN])
{
    /* Kyber round 3, CCAKEM decapsulation: K = KDF(K' or z, H(ct)), the KDF being SHAKE256. */
    uint8_t g[64];
    uint8_t h[32];
    uint8_t chosen[32];
    uint8_t equal = decrypt_and_compare(g, ct, dk);
    hash_h(h, tr_slice(ct, TR_MLKEM768_CT_LEN));
    select_bytes(chosen, equal, g, dk + OFFSET_Z);
    hash_j(secret, tr_slice(chosen, sizeof(chosen)), tr_slice(h, sizeof(h)));
    tr_wipe(g, sizeof(g));
    tr_wipe(chosen, sizeof(chosen));
}
