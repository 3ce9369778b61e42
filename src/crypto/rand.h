/* rand: where random bytes come from. Engines receive a tr_rand_t, so that a fixed seed gives fixed
 * bytes on the wire. */
#ifndef TR_CRYPTO_RAND_H
#define TR_CRYPTO_RAND_H

#include "core/err.h"

typedef struct tr_rand {
    /* fills out with len bytes; a failure is TR_ERR_INTERNAL */
    tr_code_t (*fill)(void *arg, uint8_t *out, size_t len);
    void *arg; /* lent; outlives the users */
} tr_rand_t;

/* The operating system's generator, through libcrypto. Thread-safe. */
extern const tr_rand_t tr_rand_system;

/* A reproducible stream (ChaCha20 under the seed) for tests and golden files. Never for real use. */
typedef struct tr_rand_seeded {
    uint8_t key[32];
    uint64_t counter;
} tr_rand_seeded_t;

void tr_rand_seeded_init(tr_rand_seeded_t *seeded, uint64_t seed);
tr_rand_t tr_rand_seeded(tr_rand_seeded_t *seeded);

/* tr_rand_below gives a number below bound (bound > 0) without bias. */
tr_code_t tr_rand_below(const tr_rand_t *rnd, uint32_t *out, uint32_t bound);

#endif
