/* keccak: the permutation of FIPS 202 and the few sponges that ML-KEM needs, without allocation. libcrypto's SHAKE
 * allocates a context for each of the forty short streams of a key generation. Constant-time. Any thread. */
#ifndef TR_CRYPTO_KECCAK_H
#define TR_CRYPTO_KECCAK_H

#include "core/base.h"

#define TR_KECCAK_RATE_128 168 /* SHAKE128 */
#define TR_KECCAK_RATE_256 136 /* SHAKE256, SHA3-256 */
#define TR_KECCAK_RATE_512 72  /* SHA3-512 */

#define TR_KECCAK_SUFFIX_SHA3 0x06
#define TR_KECCAK_SUFFIX_SHAKE 0x1f

/* A sponge that absorbs everything and then squeezes. Zero it and set rate before use. */
typedef struct tr_keccak {
    uint64_t lane[25];
    size_t rate;
    size_t pos; /* bytes of the current block used */
} tr_keccak_t;

/* Four sponges side by side: lane i of sponge j is lane[i][j]. */
typedef struct tr_keccak4 {
    _Alignas(32) uint64_t lane[25][4];
} tr_keccak4_t;

void tr_keccak_init(tr_keccak_t *k, size_t rate);
void tr_keccak_absorb(tr_keccak_t *k, const void *data, size_t len);
/* tr_keccak_finish pads; from then on the sponge squeezes. */
void tr_keccak_finish(tr_keccak_t *k, uint8_t suffix);
void tr_keccak_squeeze(tr_keccak_t *k, uint8_t *out, size_t len);

/* tr_keccak4_seed starts four SHAKE sponges, each with a message of 34 or 33 bytes: the 32 bytes that they share,
 * then tail_len bytes of its own. The first tr_keccak4_permute is then due. */
void tr_keccak4_seed(tr_keccak4_t *k, size_t rate, const uint8_t shared[32], const uint8_t tail[4][2],
                     size_t tail_len);
void tr_keccak4_permute(tr_keccak4_t *k);
/* tr_keccak4_read copies the first len bytes (a multiple of 8) of sponge j's state. */
void tr_keccak4_read(const tr_keccak4_t *k, size_t j, uint8_t *out, size_t len);

#endif
