/* Secrets must not steer branches or memory accesses. Under valgrind, memory that holds a secret is marked
 * undefined, and memcheck then reports every branch and every index that depends on it; elsewhere these tests only
 * run the code. tests/crypto/test_constant_time.py runs them under valgrind. */
#include "core/mem.h"
#include "crypto/mlkem.h"
#include "tr_test.h"

/* Its static functions are looked at one by one: in between, libcrypto compares lengths. */
#include "../../src/crypto/cbc.c"

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define HAVE_VALGRIND 1
#endif
#endif

#if defined(HAVE_VALGRIND) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define MARK_SECRET(p, len) ((void)VALGRIND_MAKE_MEM_UNDEFINED((p), (len)))
#define MARK_PUBLIC(p, len) ((void)VALGRIND_MAKE_MEM_DEFINED((p), (len)))
#define NUM_ERRORS() ((unsigned)VALGRIND_COUNT_ERRORS)
#else
#define MARK_SECRET(p, len) ((void)(p))
#define MARK_PUBLIC(p, len) ((void)(p))
#define NUM_ERRORS() 0u
#endif

TR_TEST(ct_mlkem, "/crypto/constant_time/mlkem")
{
    uint8_t ek[TR_MLKEM768_EK_LEN], dk[TR_MLKEM768_DK_LEN], ct[TR_MLKEM768_CT_LEN];
    uint8_t secret[TR_MLKEM_SECRET_LEN], other[TR_MLKEM_SECRET_LEN];
    uint8_t seed[TR_MLKEM768_SEED_LEN] = {1};
    uint8_t m[32] = {2};
    unsigned before = NUM_ERRORS();
    tr_mlkem768_keygen(ek, dk, seed);
    MARK_SECRET(m, sizeof(m));
    bool ok = tr_mlkem768_encaps(ct, secret, ek, m);
    MARK_PUBLIC(&ok, sizeof(ok));
    MARK_PUBLIC(ct, sizeof(ct));
    TR_CHECK(ok);
    /* A right and a wrong ciphertext: whether it was rejected must not show. */
    for (int wrong = 0; wrong < 2; wrong++) {
        MARK_SECRET(dk, 1152);                                 /* s */
        MARK_SECRET(dk + TR_MLKEM768_DK_LEN - 32, (size_t)32); /* z */
        tr_mlkem768_decaps(other, ct, dk);
        MARK_PUBLIC(other, sizeof(other));
        MARK_PUBLIC(secret, sizeof(secret));
        TR_CHECK((memcmp(secret, other, sizeof(secret)) == 0) == (wrong == 0));
        tr_kyber768_decaps(other, ct, dk);
        MARK_PUBLIC(other, sizeof(other));
        ct[1] ^= 1;
    }
    TR_CHECK_INT(NUM_ERRORS() - before, 0);
}

TR_TEST(ct_cbc, "/crypto/constant_time/cbc")
{
    static const size_t mac_lens[] = {20, 32, 48};
    unsigned before = NUM_ERRORS();
    for (size_t m = 0; m < TR_ARRAY_LEN(mac_lens); m++) {
        for (size_t body_len = 64; body_len <= 640; body_len += 64) {
            for (size_t padding = 1; padding <= 256; padding += 51) {
                uint8_t body[640];
                uint8_t mac[TR_HASH_MAX];
                size_t data_len;
                size_t mac_len = mac_lens[m];
                if (padding + mac_len > body_len) {
                    continue;
                }
                for (size_t i = 0; i < body_len; i++) {
                    body[i] = (uint8_t)(i * 7 + 3);
                }
                memset(body + body_len - padding, (int)(padding - 1), padding);
                MARK_SECRET(body, body_len);
                size_t good = check_padding(&data_len, body, body_len, mac_len);
                copy_mac(mac, body, body_len, data_len, mac_len);
                MARK_PUBLIC(&good, sizeof(good));
                MARK_PUBLIC(&data_len, sizeof(data_len));
                MARK_PUBLIC(mac, sizeof(mac));
                MARK_PUBLIC(body, body_len);
                TR_CHECK(good == SIZE_MAX);
                TR_CHECK_INT(data_len, body_len - mac_len - padding);
                TR_CHECK_MEM(mac, body + data_len, mac_len);
            }
        }
    }
    TR_CHECK_INT(NUM_ERRORS() - before, 0);
}
