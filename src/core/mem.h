/* mem: the only allocator below python/, swappable in tests, and the arena of a request.
 * All functions accept NULL and size 0. Any thread; an arena belongs to one thread at a time. */
#ifndef TR_CORE_MEM_H
#define TR_CORE_MEM_H

#include "core/base.h"

void *tr_malloc(size_t size) TR_WARN_UNUSED;
void *tr_calloc(size_t num, size_t size) TR_WARN_UNUSED;
/* tr_realloc keeps the old block when it returns NULL. */
void *tr_realloc(void *ptr, size_t size) TR_WARN_UNUSED;
void tr_free(void *ptr);

/* tr_memdup copies len bytes (at least one byte is allocated). NULL: out of memory. */
void *tr_memdup(const void *data, size_t len) TR_WARN_UNUSED;
/* tr_strndup copies len bytes and adds a NUL. */
char *tr_strndup(const void *data, size_t len) TR_WARN_UNUSED;

/* tr_wipe overwrites memory in a way that the compiler does not remove. */
void tr_wipe(void *ptr, size_t len);

/* tr_memeq_ct compares in a time that depends on len alone. */
bool tr_memeq_ct(const void *a, const void *b, size_t len);

/* For tests: the n-th allocation from now (1 is the next) and none other returns NULL; 0 turns it off.
 * tr_mem_fail_hit says whether that allocation was reached. Allocations of all threads count. */
void tr_mem_fail_at(uint64_t nth);
bool tr_mem_fail_hit(void);
/* Blocks allocated and not freed. */
int64_t tr_mem_live(void);

/* An arena: many small allocations with one life. Nothing in it is freed singly. */
typedef struct tr_arena {
    struct tr_arena_block *blocks; /* owned; newest first */
    uint8_t *next;                 /* free room of the newest block */
    size_t room;
    size_t total; /* bytes of all blocks */
} tr_arena_t;

void tr_arena_init(tr_arena_t *arena);
void tr_arena_cleanup(tr_arena_t *arena);
/* tr_arena_alloc gives memory aligned for any type, or NULL. */
void *tr_arena_alloc(tr_arena_t *arena, size_t size) TR_WARN_UNUSED;
/* tr_arena_dup copies bytes and adds a NUL behind them. */
uint8_t *tr_arena_dup(tr_arena_t *arena, tr_slice_t bytes) TR_WARN_UNUSED;

#endif
