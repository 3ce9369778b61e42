/* base: the types and macros that every module uses. No policy, no allocation, any thread. */
#ifndef TR_CORE_BASE_H
#define TR_CORE_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TR_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define TR_UNUSED(x) ((void)(x))
#define TR_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define TR_MIN(a, b) ((a) < (b) ? (a) : (b))
#define TR_MAX(a, b) ((a) > (b) ? (a) : (b))

#if defined(__GNUC__)
#define TR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define TR_LIKELY(x) __builtin_expect(!!(x), 1)
#define TR_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define TR_WARN_UNUSED __attribute__((warn_unused_result))
#else
#define TR_PRINTF(fmt, args)
#define TR_LIKELY(x) (x)
#define TR_UNLIKELY(x) (x)
#define TR_WARN_UNUSED
#endif

/* Bytes that somebody else owns: lent until the next call on their owner. */
typedef struct tr_slice {
    const uint8_t *data; /* may be NULL when len is 0 */
    size_t len;
} tr_slice_t;

#define TR_SLICE_NULL ((tr_slice_t){NULL, 0})
/* A slice over a string literal, without its NUL. */
#define TR_SLICE_LIT(s) ((tr_slice_t){(const uint8_t *)("" s), sizeof(s) - 1})

static inline tr_slice_t
tr_slice(const void *data, size_t len)
{
    return (tr_slice_t){(const uint8_t *)data, len};
}

static inline tr_slice_t
tr_slice_cstr(const char *s)
{
    return (tr_slice_t){(const uint8_t *)s, s == NULL ? 0 : strlen(s)};
}

static inline bool
tr_slice_eq(tr_slice_t a, tr_slice_t b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline uint8_t
tr_ascii_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* ASCII case-insensitive equality, for header names, schemes and hosts. */
static inline bool
tr_slice_ieq(tr_slice_t a, tr_slice_t b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (tr_ascii_lower(a.data[i]) != tr_ascii_lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

#endif
