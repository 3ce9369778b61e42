/* tr_test: the C test binary's own small framework. A test registers itself:
 *
 *     TR_TEST(buf_reserve, "/buf/reserve") { TR_CHECK(1 + 1 == 2); }
 *
 * `tr_tests` runs all, `tr_tests /buf` those whose name starts so, `tr_tests --oom` runs those marked
 * TR_TEST_OOM once per allocation with the n-th one failing. A failing check ends its test. */
#ifndef TR_TEST_H
#define TR_TEST_H

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/err.h"
#include "core/mem.h"

typedef struct tr_test {
    struct tr_test *next;
    const char *name;
    void (*run)(void);
    bool oom; /* also run with failing allocations: must not crash, leak or report success falsely */
} tr_test_t;

void tr_test_register(tr_test_t *test);
/* Prints and longjmps out of the test. */
_Noreturn void tr_test_fail(const char *file, int line, const char *fmt, ...) TR_PRINTF(3, 4);
/* tr_test_oom_running says that an allocation may fail in this run: a TR_TEST_OOM test returns early (after its
 * clean-up) when a call fails with NOMEM, and checks its results otherwise. */
bool tr_test_oom_running(void);
/* Directory of the test vectors, or NULL where they are not present. */
const char *tr_test_vectors(void);
/* tr_test_hex decodes hex (blanks ignored) into a malloc'ed block that is freed after the test. */
uint8_t *tr_test_hex(const char *hex, size_t *out_len);
/* tr_test_read_file reads a whole file likewise; NULL: cannot be read. */
uint8_t *tr_test_read_file(const char *path, size_t *out_len);

#define TR_TEST__DEF(id, test_name, with_oom)                                                                          \
    static void tr_test_run_##id(void);                                                                                \
    static tr_test_t tr_test_##id = {NULL, test_name, tr_test_run_##id, with_oom};                                     \
    __attribute__((constructor)) static void tr_test_reg_##id(void)                                                    \
    {                                                                                                                  \
        tr_test_register(&tr_test_##id);                                                                               \
    }                                                                                                                  \
    static void tr_test_run_##id(void)

#define TR_TEST(id, test_name) TR_TEST__DEF(id, test_name, false)
#define TR_TEST_OOM(id, test_name) TR_TEST__DEF(id, test_name, true)

#define TR_CHECK(cond)                                                                                                 \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            tr_test_fail(__FILE__, __LINE__, "%s", #cond);                                                             \
        }                                                                                                              \
    } while (0)

#define TR_CHECK_INT(got, expected)                                                                                    \
    do {                                                                                                               \
        long long got_ = (long long)(got), expected_ = (long long)(expected);                                          \
        if (got_ != expected_) {                                                                                       \
            tr_test_fail(__FILE__, __LINE__, "%s is %lld, not %lld", #got, got_, expected_);                           \
        }                                                                                                              \
    } while (0)

#define TR_CHECK_OK(call, err)                                                                                         \
    do {                                                                                                               \
        tr_code_t code_ = (call);                                                                                      \
        if (code_ != TR_OK) {                                                                                          \
            tr_test_fail(__FILE__, __LINE__, "%s: %s (%s)", #call, tr_err_name(code_), (err)->msg);                    \
        }                                                                                                              \
    } while (0)

#define TR_CHECK_MEM(got, expected, length)                                                                            \
    do {                                                                                                               \
        if (memcmp((got), (expected), (length)) != 0) {                                                                \
            tr_test_fail(__FILE__, __LINE__, "%s differs from %s", #got, #expected);                                   \
        }                                                                                                              \
    } while (0)

#define TR_CHECK_SLICE(got, text)                                                                                      \
    do {                                                                                                               \
        tr_slice_t got_ = (got);                                                                                       \
        tr_slice_t expected_ = tr_slice_cstr(text);                                                                    \
        if (!tr_slice_eq(got_, expected_)) {                                                                           \
            tr_test_fail(__FILE__, __LINE__, "%s is \"%.*s\", not \"%s\"", #got, (int)got_.len,                        \
                         (const char *)got_.data, text);                                                               \
        }                                                                                                              \
    } while (0)

#endif
