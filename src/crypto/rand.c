#include "crypto/rand.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/rand.h>

#include "core/mem.h"
#include "crypto/evp.h"

static tr_code_t
system_fill(void *arg, uint8_t *out, size_t len)
{
    TR_UNUSED(arg);
    /* The private generator: private keys come from here too, and nothing public reveals its state. */
    if (len > INT_MAX || RAND_priv_bytes(out, (int)len) != 1) {
        ERR_clear_error();
        tr_wipe(out, len);
        return TR_ERR_INTERNAL;
    }
    return TR_OK;
}

const tr_rand_t tr_rand_system = {system_fill, NULL};

/* Each call is a ChaCha20 stream of its own: the call's number is the nonce, the block counter starts at 0. */
static tr_code_t
seeded_fill(void *arg, uint8_t *out, size_t len)
{
    tr_rand_seeded_t *seeded = arg;
    const tr_evp_t *evp = tr_crypto__evp();
    uint8_t iv[16] = {0};
    int done = 0;
    tr_code_t code = TR_ERR_INTERNAL;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (evp == NULL || ctx == NULL || len > INT_MAX) {
        goto done;
    }
    for (size_t i = 0; i < 8; i++) {
        iv[8 + i] = (uint8_t)(seeded->counter >> (8 * i));
    }
    seeded->counter++;
    if (len > 0) {
        memset(out, 0, len);
        if (EVP_EncryptInit_ex2(ctx, evp->chacha20, seeded->key, iv, NULL) != 1 ||
            EVP_EncryptUpdate(ctx, out, &done, out, (int)len) != 1 || (size_t)done != len) {
            goto done;
        }
    }
    code = TR_OK;
done:
    EVP_CIPHER_CTX_free(ctx);
    if (code != TR_OK) {
        ERR_clear_error();
    }
    return code;
}

void
tr_rand_seeded_init(tr_rand_seeded_t *seeded, uint64_t seed)
{
    memset(seeded, 0, sizeof(*seeded));
    for (size_t i = 0; i < 8; i++) {
        seeded->key[i] = (uint8_t)(seed >> (8 * i));
    }
}

tr_rand_t
tr_rand_seeded(tr_rand_seeded_t *seeded)
{
    return (tr_rand_t){seeded_fill, seeded};
}

tr_code_t
tr_rand_below(const tr_rand_t *rnd, uint32_t *out, uint32_t bound)
{
    *out = 0;
    if (bound == 0) {
        return TR_ERR_INTERNAL;
    }
    /* Draws below 2^32 mod bound would make the small remainders likelier. A draw is refused with a chance
     * below one half, so 128 refusals in a row mean a broken generator. */
    uint32_t refuse_below = (uint32_t)(0u - bound) % bound;
    for (int tries = 0; tries < 128; tries++) {
        uint8_t bytes[4];
        tr_code_t code = rnd->fill(rnd->arg, bytes, sizeof(bytes));
        if (code != TR_OK) {
            return code;
        }
        uint32_t draw = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
        if (draw >= refuse_below) {
            *out = draw % bound;
            return TR_OK;
        }
    }
    return TR_ERR_INTERNAL;
}
