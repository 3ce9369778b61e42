#include "crypto/keccak.h"

#include "core/mem.h"

/* DESIGN. One round is written once, as a macro over 25 variables of whatever type has ^ & ~ << >>: 64-bit words,
 * or vectors of four of them where the processor has AVX2. The matrix of a key needs nine independent streams, so
 * four at a time make it more than twice as fast. */

#if defined(__GNUC__) && defined(__x86_64__)
#define HAVE_AVX2 1
#else
#define HAVE_AVX2 0
#endif

#define NUM_ROUNDS 24

/* FIPS 202 3.2.5 */
static const uint64_t round_constants[NUM_ROUNDS] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000a, 0x000000008000808b, 0x800000000000008b, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};

#define ROL(v, n) (((v) << (n)) | ((v) >> (64 - (n))))

/* chi on one row of five (FIPS 202 3.2.4); E is the prefix of the new state, i0 the row's first lane. */
#define CHI(E, i0, i1, i2, i3, i4) \
    E##i0 = b0 ^ (~b1 & b2);       \
    E##i1 = b1 ^ (~b2 & b3);       \
    E##i2 = b2 ^ (~b3 & b4);       \
    E##i3 = b3 ^ (~b4 & b0);       \
    E##i4 = b4 ^ (~b0 & b1)

/* theta, rho, pi, chi, iota: from the variables A0..A24 to E0..E24. Lane x + 5y; rho's offsets are in the ROLs, pi
 * is in which lane each row takes. */
#define ROUND(A, E, rc)                       \
    c0 = A##0 ^ A##5 ^ A##10 ^ A##15 ^ A##20; \
    c1 = A##1 ^ A##6 ^ A##11 ^ A##16 ^ A##21; \
    c2 = A##2 ^ A##7 ^ A##12 ^ A##17 ^ A##22; \
    c3 = A##3 ^ A##8 ^ A##13 ^ A##18 ^ A##23; \
    c4 = A##4 ^ A##9 ^ A##14 ^ A##19 ^ A##24; \
    d0 = c4 ^ ROL(c1, 1);                     \
    d1 = c0 ^ ROL(c2, 1);                     \
    d2 = c1 ^ ROL(c3, 1);                     \
    d3 = c2 ^ ROL(c4, 1);                     \
    d4 = c3 ^ ROL(c0, 1);                     \
    b0 = A##0 ^ d0;                           \
    b1 = ROL(A##6 ^ d1, 44);                  \
    b2 = ROL(A##12 ^ d2, 43);                 \
    b3 = ROL(A##18 ^ d3, 21);                 \
    b4 = ROL(A##24 ^ d4, 14);                 \
    CHI(E, 0, 1, 2, 3, 4);                    \
    b0 = ROL(A##3 ^ d3, 28);                  \
    b1 = ROL(A##9 ^ d4, 20);                  \
    b2 = ROL(A##10 ^ d0, 3);                  \
    b3 = ROL(A##16 ^ d1, 45);                 \
    b4 = ROL(A##22 ^ d2, 61);                 \
    CHI(E, 5, 6, 7, 8, 9);                    \
    b0 = ROL(A##1 ^ d1, 1);                   \
    b1 = ROL(A##7 ^ d2, 6);                   \
    b2 = ROL(A##13 ^ d3, 25);                 \
    b3 = ROL(A##19 ^ d4, 8);                  \
    b4 = ROL(A##20 ^ d0, 18);                 \
    CHI(E, 10, 11, 12, 13, 14);               \
    b0 = ROL(A##4 ^ d4, 27);                  \
    b1 = ROL(A##5 ^ d0, 36);                  \
    b2 = ROL(A##11 ^ d1, 10);                 \
    b3 = ROL(A##17 ^ d2, 15);                 \
    b4 = ROL(A##23 ^ d3, 56);                 \
    CHI(E, 15, 16, 17, 18, 19);               \
    b0 = ROL(A##2 ^ d2, 62);                  \
    b1 = ROL(A##8 ^ d3, 55);                  \
    b2 = ROL(A##14 ^ d4, 39);                 \
    b3 = ROL(A##15 ^ d0, 41);                 \
    b4 = ROL(A##21 ^ d1, 2);                  \
    CHI(E, 20, 21, 22, 23, 24);               \
    E##0 ^= (rc)

#define DECLARE_LANES(type)                                                                                       \
    type a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, a21, a22, \
        a23, a24;                                                                                                 \
    type e0, e1, e2, e3, e4, e5, e6, e7, e8, e9, e10, e11, e12, e13, e14, e15, e16, e17, e18, e19, e20, e21, e22, \
        e23, e24;                                                                                                 \
    type b0, b1, b2, b3, b4, c0, c1, c2, c3, c4, d0, d1, d2, d3, d4

/* get and put name a lane of the caller's state by its number. */
#define LOAD_LANES(get) \
    a0 = get(0);        \
    a1 = get(1);        \
    a2 = get(2);        \
    a3 = get(3);        \
    a4 = get(4);        \
    a5 = get(5);        \
    a6 = get(6);        \
    a7 = get(7);        \
    a8 = get(8);        \
    a9 = get(9);        \
    a10 = get(10);      \
    a11 = get(11);      \
    a12 = get(12);      \
    a13 = get(13);      \
    a14 = get(14);      \
    a15 = get(15);      \
    a16 = get(16);      \
    a17 = get(17);      \
    a18 = get(18);      \
    a19 = get(19);      \
    a20 = get(20);      \
    a21 = get(21);      \
    a22 = get(22);      \
    a23 = get(23);      \
    a24 = get(24)

#define STORE_LANES(put) \
    put(0, a0);          \
    put(1, a1);          \
    put(2, a2);          \
    put(3, a3);          \
    put(4, a4);          \
    put(5, a5);          \
    put(6, a6);          \
    put(7, a7);          \
    put(8, a8);          \
    put(9, a9);          \
    put(10, a10);        \
    put(11, a11);        \
    put(12, a12);        \
    put(13, a13);        \
    put(14, a14);        \
    put(15, a15);        \
    put(16, a16);        \
    put(17, a17);        \
    put(18, a18);        \
    put(19, a19);        \
    put(20, a20);        \
    put(21, a21);        \
    put(22, a22);        \
    put(23, a23);        \
    put(24, a24)

static void
permute(uint64_t lane[25])
{
    DECLARE_LANES(uint64_t);
#define GET(i) lane[i]
#define PUT(i, v) lane[i] = (v)
    LOAD_LANES(GET);
    for (size_t i = 0; i < NUM_ROUNDS; i += 2) {
        ROUND(a, e, round_constants[i]);
        ROUND(e, a, round_constants[i + 1]);
    }
    STORE_LANES(PUT);
#undef GET
#undef PUT
}

#if HAVE_AVX2
typedef uint64_t lanes4_t __attribute__((vector_size(32)));

__attribute__((target("avx2"))) static void
permute4_avx2(uint64_t (*lane)[4])
{
    lanes4_t *state = (lanes4_t *)(void *)lane; /* tr_keccak4_t is aligned for it */
    DECLARE_LANES(lanes4_t);
#define GET(i) state[i]
#define PUT(i, v) state[i] = (v)
    LOAD_LANES(GET);
    for (size_t i = 0; i < NUM_ROUNDS; i += 2) {
        ROUND(a, e, round_constants[i]);
        ROUND(e, a, round_constants[i + 1]);
    }
    STORE_LANES(PUT);
#undef GET
#undef PUT
}
#endif

void
tr_keccak4_permute(tr_keccak4_t *k)
{
#if HAVE_AVX2
    if (TR_LIKELY(__builtin_cpu_supports("avx2"))) {
        permute4_avx2(k->lane);
        return;
    }
#endif
    uint64_t lane[25];
    for (size_t j = 0; j < 4; j++) {
        for (size_t i = 0; i < 25; i++) {
            lane[i] = k->lane[i][j];
        }
        permute(lane);
        for (size_t i = 0; i < 25; i++) {
            k->lane[i][j] = lane[i];
        }
    }
    tr_wipe(lane, sizeof(lane));
}

/* ------------------------------------------------------------------------------------- one sponge */

/* Little-endian, as FIPS 202 B.1 has it. One instruction where the processor is; gcc 12 makes loops of shifts. */
static inline uint64_t
load64_le(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static inline void
store64_le(uint8_t *p, uint64_t v)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    memcpy(p, &v, sizeof(v));
}

void
tr_keccak_init(tr_keccak_t *k, size_t rate)
{
    memset(k, 0, sizeof(*k));
    k->rate = rate;
}

void
tr_keccak_absorb(tr_keccak_t *k, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len > 0) {
        if (k->pos % 8 == 0 && len >= 8) {
            k->lane[k->pos / 8] ^= load64_le(p);
            k->pos += 8;
            p += 8;
            len -= 8;
        } else {
            k->lane[k->pos / 8] ^= (uint64_t)*p << (8 * (k->pos % 8));
            k->pos++;
            p++;
            len--;
        }
        if (k->pos == k->rate) {
            permute(k->lane);
            k->pos = 0;
        }
    }
}

void
tr_keccak_finish(tr_keccak_t *k, uint8_t suffix)
{
    k->lane[k->pos / 8] ^= (uint64_t)suffix << (8 * (k->pos % 8));
    k->lane[k->rate / 8 - 1] ^= (uint64_t)1 << 63;
    k->pos = k->rate; /* nothing squeezed yet: the first byte permutes */
}

void
tr_keccak_squeeze(tr_keccak_t *k, uint8_t *out, size_t len)
{
    while (len > 0) {
        if (k->pos == k->rate) {
            permute(k->lane);
            k->pos = 0;
        }
        if (k->pos % 8 == 0 && len >= 8) {
            store64_le(out, k->lane[k->pos / 8]);
            k->pos += 8;
            out += 8;
            len -= 8;
        } else {
            *out++ = (uint8_t)(k->lane[k->pos / 8] >> (8 * (k->pos % 8)));
            k->pos++;
            len--;
        }
    }
}

/* ------------------------------------------------------------------------------------- four sponges */

void
tr_keccak4_seed(tr_keccak4_t *k, size_t rate, const uint8_t shared[32], const uint8_t tail[4][2], size_t tail_len)
{
    assert(tail_len == 1 || tail_len == 2);
    memset(k, 0, sizeof(*k));
    for (size_t j = 0; j < 4; j++) {
        uint64_t last = (uint64_t)TR_KECCAK_SUFFIX_SHAKE << (8 * tail_len);
        for (size_t i = 0; i < tail_len; i++) {
            last |= (uint64_t)tail[j][i] << (8 * i);
        }
        for (size_t i = 0; i < 4; i++) {
            k->lane[i][j] = load64_le(shared + 8 * i);
        }
        k->lane[4][j] = last;
        k->lane[rate / 8 - 1][j] ^= (uint64_t)1 << 63;
    }
}

void
tr_keccak4_read(const tr_keccak4_t *k, size_t j, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len / 8; i++) {
        store64_le(out + 8 * i, k->lane[i][j]);
    }
}
