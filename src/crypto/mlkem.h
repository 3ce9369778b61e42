/* mlkem: ML-KEM-768 (FIPS 203), for libcrypto versions without it. Constant-time in all secrets; no
 * allocation. Kyber768 round 3 (X25519Kyber768Draft00) differs only in the derivation of the secret. */
#ifndef TR_CRYPTO_MLKEM_H
#define TR_CRYPTO_MLKEM_H

#include "core/err.h"

#define TR_MLKEM768_EK_LEN 1184
#define TR_MLKEM768_DK_LEN 2400
#define TR_MLKEM768_CT_LEN 1088
#define TR_MLKEM768_SEED_LEN 64 /* d, then z */
#define TR_MLKEM_SECRET_LEN 32

/* tr_mlkem768_keygen expands a seed (FIPS 203 algorithm 16). */
void tr_mlkem768_keygen(uint8_t ek[TR_MLKEM768_EK_LEN], uint8_t dk[TR_MLKEM768_DK_LEN],
                        const uint8_t seed[TR_MLKEM768_SEED_LEN]);
/* tr_mlkem768_encaps is algorithm 17 with the given 32 random bytes. False: ek fails the modulus check. */
bool tr_mlkem768_encaps(uint8_t ct[TR_MLKEM768_CT_LEN], uint8_t secret[TR_MLKEM_SECRET_LEN],
                        const uint8_t ek[TR_MLKEM768_EK_LEN], const uint8_t rnd[32]);
/* tr_mlkem768_decaps is algorithm 18 with implicit rejection: it always gives a secret. */
void tr_mlkem768_decaps(uint8_t secret[TR_MLKEM_SECRET_LEN], const uint8_t ct[TR_MLKEM768_CT_LEN],
                        const uint8_t dk[TR_MLKEM768_DK_LEN]);
/* tr_mlkem768_check_dk is the hash check of FIPS 203 7.3 for an expanded key from outside. */
bool tr_mlkem768_check_dk(const uint8_t dk[TR_MLKEM768_DK_LEN]);
/* tr_kyber768_decaps is Kyber round 3's decapsulation with the same key. */
void tr_kyber768_decaps(uint8_t secret[TR_MLKEM_SECRET_LEN], const uint8_t ct[TR_MLKEM768_CT_LEN],
                        const uint8_t dk[TR_MLKEM768_DK_LEN]);

#endif
