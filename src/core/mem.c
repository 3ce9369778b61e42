#include "core/mem.h"

#include <stdatomic.h>
#include <stdlib.h>

/* The counters cost one relaxed atomic each; they are what makes leaks and out-of-memory paths
 * testable in every build. */
static atomic_llong live_blocks;
static atomic_ullong fail_countdown;
static atomic_bool fail_hit;

static bool
must_fail(void)
{
    if (TR_LIKELY(atomic_load_explicit(&fail_countdown, memory_order_relaxed) == 0)) {
        return false;
    }
    if (atomic_fetch_sub_explicit(&fail_countdown, 1, memory_order_relaxed) == 1) {
        atomic_store(&fail_hit, true);
        return true;
    }
    return false;
}

void *
tr_malloc(size_t size)
{
    if (must_fail()) {
        return NULL;
    }
    void *ptr = malloc(size == 0 ? 1 : size);
    if (ptr != NULL) {
        atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    }
    return ptr;
}

void *
tr_calloc(size_t num, size_t size)
{
    if (must_fail()) {
        return NULL;
    }
    void *ptr = num == 0 || size == 0 ? calloc(1, 1) : calloc(num, size);
    if (ptr != NULL) {
        atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    }
    return ptr;
}

void *
tr_realloc(void *ptr, size_t size)
{
    if (ptr == NULL) {
        return tr_malloc(size);
    }
    if (must_fail()) {
        return NULL;
    }
    return realloc(ptr, size == 0 ? 1 : size);
}

void
tr_free(void *ptr)
{
    if (ptr != NULL) {
        atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
        free(ptr);
    }
}

void *
tr_memdup(const void *data, size_t len)
{
    void *copy = tr_malloc(len);
    if (copy != NULL && len > 0) {
        memcpy(copy, data, len);
    }
    return copy;
}

char *
tr_strndup(const void *data, size_t len)
{
    if (len == SIZE_MAX) {
        return NULL;
    }
    char *copy = tr_malloc(len + 1);
    if (copy != NULL) {
        if (len > 0) {
            memcpy(copy, data, len);
        }
        copy[len] = 0;
    }
    return copy;
}

void
tr_wipe(void *ptr, size_t len)
{
    if (ptr == NULL || len == 0) {
        return;
    }
    memset(ptr, 0, len);
#if defined(__GNUC__)
    __asm__ __volatile__("" : : "r"(ptr) : "memory");
#else
    volatile uint8_t *p = ptr;
    while (len-- > 0) {
        *p++ = 0;
    }
#endif
}

bool
tr_memeq_ct(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a;
    const uint8_t *y = b;
    uint8_t diff = 0;
    for (size_t i = 0; i < len; i++) {
        diff |= (uint8_t)(x[i] ^ y[i]);
    }
    return diff == 0;
}

void
tr_mem_fail_at(uint64_t nth)
{
    atomic_store(&fail_hit, false);
    atomic_store(&fail_countdown, nth);
}

bool
tr_mem_fail_hit(void)
{
    return atomic_load(&fail_hit);
}

int64_t
tr_mem_live(void)
{
    return atomic_load(&live_blocks);
}

/* ------------------------------------------------------------------------------------- arena */

/* A request's strings rarely pass 1 KB; a larger first block would make idle requests heavy. */
#define ARENA_BLOCK 1024
#define ARENA_ALIGN _Alignof(max_align_t)

typedef struct tr_arena_block {
    struct tr_arena_block *older;
    size_t size;
    _Alignas(max_align_t) uint8_t data[];
} tr_arena_block_t;

void
tr_arena_init(tr_arena_t *arena)
{
    *arena = (tr_arena_t){NULL, NULL, 0, 0};
}

void
tr_arena_cleanup(tr_arena_t *arena)
{
    tr_arena_block_t *block = arena->blocks;
    while (block != NULL) {
        tr_arena_block_t *older = block->older;
        tr_free(block);
        block = older;
    }
    tr_arena_init(arena);
}

void *
tr_arena_alloc(tr_arena_t *arena, size_t size)
{
    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    size = (size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
    if (size > arena->room) {
        size_t block_size = TR_MAX(size, (size_t)ARENA_BLOCK);
        tr_arena_block_t *block = tr_malloc(sizeof(*block) + block_size);
        if (block == NULL) {
            return NULL;
        }
        block->older = arena->blocks;
        block->size = block_size;
        arena->blocks = block;
        arena->next = block->data;
        arena->room = block_size;
        arena->total += block_size;
    }
    void *ptr = arena->next;
    arena->next += size;
    arena->room -= size;
    return ptr;
}

uint8_t *
tr_arena_dup(tr_arena_t *arena, tr_slice_t bytes)
{
    uint8_t *copy = bytes.len == SIZE_MAX ? NULL : tr_arena_alloc(arena, bytes.len + 1);
    if (copy != NULL) {
        if (bytes.len > 0) {
            memcpy(copy, bytes.data, bytes.len);
        }
        copy[bytes.len] = 0;
    }
    return copy;
}
