/* map: hash table from byte strings to pointers, keyed per table against chosen collisions.
 * Copies its keys; values are the caller's. Belongs to one thread, or to the holder of one lock. */
#ifndef TR_CORE_MAP_H
#define TR_CORE_MAP_H

#include "core/err.h"

typedef struct tr_map {
    struct tr_map_node **slots; /* owned; power of two, NULL while empty */
    size_t num_slots;
    size_t len;       /* entries */
    uint64_t seed[2]; /* SipHash key */
} tr_map_t;

/* tr_map_init takes the hash key from the caller, so that a fixed seed gives a fixed order. */
void tr_map_init(tr_map_t *map, uint64_t seed0, uint64_t seed1);
/* tr_map_cleanup frees table and keys, not the values. */
void tr_map_cleanup(tr_map_t *map);
void *tr_map_get(const tr_map_t *map, tr_slice_t key);
/* tr_map_put adds or replaces; *out_old (may be NULL) receives the replaced value or NULL. */
tr_code_t tr_map_put(tr_map_t *map, void **out_old, tr_slice_t key, void *value) TR_WARN_UNUSED;
/* tr_map_remove returns the removed value or NULL. */
void *tr_map_remove(tr_map_t *map, tr_slice_t key);
/* tr_map_each calls fn for each entry until it returns false. fn must not change the map. */
void tr_map_each(const tr_map_t *map, bool (*fn)(void *arg, tr_slice_t key, void *value), void *arg);

/* tr_siphash is SipHash-1-3 of the bytes. */
uint64_t tr_siphash(uint64_t k0, uint64_t k1, tr_slice_t bytes);

#endif
