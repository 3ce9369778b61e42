/* ct: masks instead of branches, for values that depend on a secret. A mask is all ones or zero. */
#ifndef TR_CRYPTO_CT_H
#define TR_CRYPTO_CT_H

#include "core/base.h"

/* tr_ct__hide keeps the compiler from learning that a mask has only two values, and branching on it. */
static inline size_t
tr_ct__hide(size_t value)
{
#if defined(__GNUC__)
    __asm__("" : "+r"(value));
#endif
    return value;
}

static inline size_t
tr_ct__msb(size_t value)
{
    return tr_ct__hide((size_t)0 - (value >> (sizeof(value) * 8 - 1)));
}

static inline size_t
tr_ct__is_zero(size_t value)
{
    return tr_ct__msb(~value & (value - 1));
}

static inline size_t
tr_ct__eq(size_t a, size_t b)
{
    return tr_ct__is_zero(a ^ b);
}

/* a < b */
static inline size_t
tr_ct__lt(size_t a, size_t b)
{
    return tr_ct__msb(a ^ ((a ^ b) | ((a - b) ^ b)));
}

static inline size_t
tr_ct__ge(size_t a, size_t b)
{
    return ~tr_ct__lt(a, b);
}

static inline size_t
tr_ct__select(size_t mask, size_t if_set, size_t if_clear)
{
    return (tr_ct__hide(mask) & if_set) | (~tr_ct__hide(mask) & if_clear);
}

#endif
