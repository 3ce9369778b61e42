#include "core/map.h"

#include "core/mem.h"

typedef struct tr_map_node {
    struct tr_map_node *next; /* same slot */
    void *value;
    uint64_t hash;
    size_t key_len;
    uint8_t key[];
} tr_map_node_t;

static inline uint64_t
rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

#define SIP_ROUND                                                                                  \
    do {                                                                                           \
        v0 += v1;                                                                                  \
        v1 = rotl(v1, 13) ^ v0;                                                                    \
        v0 = rotl(v0, 32);                                                                         \
        v2 += v3;                                                                                  \
        v3 = rotl(v3, 16) ^ v2;                                                                    \
        v0 += v3;                                                                                  \
        v3 = rotl(v3, 21) ^ v0;                                                                    \
        v2 += v1;                                                                                  \
        v1 = rotl(v1, 17) ^ v2;                                                                    \
        v2 = rotl(v2, 32);                                                                         \
    } while (0)

/* SipHash (Aumasson, Bernstein 2012) with one compression and three finalisation rounds. */
uint64_t
tr_siphash(uint64_t k0, uint64_t k1, tr_slice_t bytes)
{
    uint64_t v0 = k0 ^ 0x736f6d6570736575u;
    uint64_t v1 = k1 ^ 0x646f72616e646f6du;
    uint64_t v2 = k0 ^ 0x6c7967656e657261u;
    uint64_t v3 = k1 ^ 0x7465646279746573u;
    size_t i = 0;
    for (; i + 8 <= bytes.len; i += 8) {
        uint64_t m = 0;
        for (unsigned b = 0; b < 8; b++) {
            m |= (uint64_t)bytes.data[i + b] << (8 * b);
        }
        v3 ^= m;
        SIP_ROUND;
        v0 ^= m;
    }
    uint64_t last = (uint64_t)bytes.len << 56;
    for (unsigned b = 0; i + b < bytes.len; b++) {
        last |= (uint64_t)bytes.data[i + b] << (8 * b);
    }
    v3 ^= last;
    SIP_ROUND;
    v0 ^= last;
    v2 ^= 0xff;
    SIP_ROUND;
    SIP_ROUND;
    SIP_ROUND;
    return v0 ^ v1 ^ v2 ^ v3;
}

void
tr_map_init(tr_map_t *map, uint64_t seed0, uint64_t seed1)
{
    *map = (tr_map_t){NULL, 0, 0, {seed0, seed1}};
}

void
tr_map_cleanup(tr_map_t *map)
{
    for (size_t i = 0; i < map->num_slots; i++) {
        tr_map_node_t *node = map->slots[i];
        while (node != NULL) {
            tr_map_node_t *next = node->next;
            tr_free(node);
            node = next;
        }
    }
    tr_free(map->slots);
    map->slots = NULL;
    map->num_slots = 0;
    map->len = 0;
}

/* The link that points at the key's node, or at the NULL where it would go. */
static tr_map_node_t **
find(const tr_map_t *map, tr_slice_t key, uint64_t hash)
{
    tr_map_node_t **link = &map->slots[hash & (map->num_slots - 1)];
    while (*link != NULL &&
           !((*link)->hash == hash && tr_slice_eq(tr_slice((*link)->key, (*link)->key_len), key))) {
        link = &(*link)->next;
    }
    return link;
}

void *
tr_map_get(const tr_map_t *map, tr_slice_t key)
{
    if (map->len == 0) {
        return NULL;
    }
    tr_map_node_t *node = *find(map, key, tr_siphash(map->seed[0], map->seed[1], key));
    return node == NULL ? NULL : node->value;
}

static tr_code_t
grow(tr_map_t *map)
{
    size_t num = map->num_slots == 0 ? 8 : map->num_slots * 2;
    tr_map_node_t **slots = tr_calloc(num, sizeof(*slots));
    if (slots == NULL) {
        return TR_ERR_NOMEM;
    }
    for (size_t i = 0; i < map->num_slots; i++) {
        tr_map_node_t *node = map->slots[i];
        while (node != NULL) {
            tr_map_node_t *next = node->next;
            node->next = slots[node->hash & (num - 1)];
            slots[node->hash & (num - 1)] = node;
            node = next;
        }
    }
    tr_free(map->slots);
    map->slots = slots;
    map->num_slots = num;
    return TR_OK;
}

tr_code_t
tr_map_put(tr_map_t *map, void **out_old, tr_slice_t key, void *value)
{
    if (out_old != NULL) {
        *out_old = NULL;
    }
    if (map->len >= map->num_slots) {
        tr_code_t code = grow(map);
        if (code != TR_OK) {
            return code;
        }
    }
    uint64_t hash = tr_siphash(map->seed[0], map->seed[1], key);
    tr_map_node_t **link = find(map, key, hash);
    if (*link != NULL) {
        if (out_old != NULL) {
            *out_old = (*link)->value;
        }
        (*link)->value = value;
        return TR_OK;
    }
    tr_map_node_t *node = tr_malloc(sizeof(*node) + key.len);
    if (node == NULL) {
        return TR_ERR_NOMEM;
    }
    node->next = NULL;
    node->value = value;
    node->hash = hash;
    node->key_len = key.len;
    if (key.len > 0) {
        memcpy(node->key, key.data, key.len);
    }
    *link = node;
    map->len++;
    return TR_OK;
}

void *
tr_map_remove(tr_map_t *map, tr_slice_t key)
{
    if (map->len == 0) {
        return NULL;
    }
    tr_map_node_t **link = find(map, key, tr_siphash(map->seed[0], map->seed[1], key));
    tr_map_node_t *node = *link;
    if (node == NULL) {
        return NULL;
    }
    void *value = node->value;
    *link = node->next;
    tr_free(node);
    map->len--;
    return value;
}

void
tr_map_each(const tr_map_t *map, bool (*fn)(void *arg, tr_slice_t key, void *value), void *arg)
{
    for (size_t i = 0; i < map->num_slots; i++) {
        for (tr_map_node_t *node = map->slots[i]; node != NULL; node = node->next) {
            if (!fn(arg, tr_slice(node->key, node->key_len), node->value)) {
                return;
            }
        }
    }
}
