#include "client/pagemap.h"

/* Twice the names, and room below the half. */
#define SLOTS_MAX 256
#define SLOTS_MIN 8
#define EMPTY UINT8_MAX

/* rapidhash's three secrets and its seed. */
static const uint64_t secrets[3] = {UINT64_C(0x2d358dccaa6c78a5), UINT64_C(0x8bb84b93962eacc9), UINT64_C(0x4b33a62ed433d4a3)};
#define SEED UINT64_C(0xbdd89aa982704029)

/* The 128-bit product, its halves in place of the factors. In 32-bit parts: not every target has a wider type. */
static void
multiply(uint64_t *a, uint64_t *b)
{
    uint64_t al = (uint32_t)*a, ah = *a >> 32, bl = (uint32_t)*b, bh = *b >> 32;
    uint64_t low = al * bl, mid = ah * bl + (low >> 32), cross = al * bh + (uint32_t)mid;
    *b = ah * bh + (mid >> 32) + (cross >> 32);
    *a = cross << 32 | (uint32_t)low;
}

static uint64_t
mixed(uint64_t a, uint64_t b)
{
    multiply(&a, &b);
    return a ^ b;
}

/* Bytes of the name's UTF-16 (little-endian): names are ASCII, so each second one is zero. */
static uint64_t
word(tr_slice_t name, size_t at, size_t num_bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < num_bytes; i++) {
        size_t byte = at + i;
        if (byte % 2 == 0) {
            value |= (uint64_t)tr_ascii_lower(name.data[byte / 2]) << 8 * i;
        }
    }
    return value;
}

uint32_t
tr_pagemap_hash(tr_slice_t name)
{
    size_t len = 2 * name.len, at = 0, left = len;
    uint64_t seed = SEED ^ mixed(SEED ^ secrets[0], secrets[1]) ^ len;
    uint64_t a = 0, b = 0;
    if (len <= 16) {
        if (len >= 4) {
            size_t step = (len & 24) >> (len >> 3), last = len - 4;
            a = word(name, 0, 4) << 32 | word(name, last, 4);
            b = word(name, step, 4) << 32 | word(name, last - step, 4);
        } else if (len > 0) {
            a = word(name, 0, 1) << 56 | word(name, len >> 1, 1) << 32 | word(name, len - 1, 1);
        }
    } else {
        if (left > 48) {
            uint64_t second = seed, third = seed;
            do {
                seed = mixed(word(name, at, 8) ^ secrets[0], word(name, at + 8, 8) ^ seed);
                second = mixed(word(name, at + 16, 8) ^ secrets[1], word(name, at + 24, 8) ^ second);
                third = mixed(word(name, at + 32, 8) ^ secrets[2], word(name, at + 40, 8) ^ third);
                at += 48;
                left -= 48;
            } while (left >= 48);
            seed ^= second ^ third;
        }
        if (left > 16) {
            seed = mixed(word(name, at, 8) ^ secrets[2], word(name, at + 8, 8) ^ seed ^ secrets[1]);
            if (left > 32) {
                seed = mixed(word(name, at + 16, 8) ^ secrets[2], word(name, at + 24, 8) ^ seed);
            }
        }
        a = word(name, len - 16, 8);
        b = word(name, len - 8, 8);
    }
    a ^= secrets[1];
    b ^= seed;
    multiply(&a, &b);
    uint32_t hash = (uint32_t)mixed(a ^ secrets[0] ^ len, b ^ secrets[1]) & 0xffffff;
    return hash != 0 ? hash : 0x800000; /* zero means an empty slot there */
}

static void
insert(uint8_t *slots, size_t num_slots, const uint32_t *hashes, uint8_t index)
{
    size_t slot = hashes[index] & (num_slots - 1);
    for (size_t step = 1; slots[slot] != EMPTY; step++) {
        slot = (slot + step) & (num_slots - 1);
    }
    slots[slot] = index;
}

void
tr_pagemap_order(uint8_t *order, const tr_slice_t *names, size_t num)
{
    uint32_t hashes[TR_PAGEMAP_MAX];
    uint8_t slots[SLOTS_MAX], before[SLOTS_MAX];
    size_t num_slots = SLOTS_MIN, at = 0;
    memset(slots, EMPTY, sizeof(slots));
    for (size_t i = 0; i < num; i++) {
        hashes[i] = tr_pagemap_hash(names[i]);
        insert(slots, num_slots, hashes, (uint8_t)i);
        if (2 * (i + 1) >= num_slots) {
            memcpy(before, slots, num_slots);
            memset(slots, EMPTY, sizeof(slots));
            for (size_t k = 0; k < num_slots; k++) {
                if (before[k] != EMPTY) {
                    insert(slots, 2 * num_slots, hashes, before[k]);
                }
            }
            num_slots *= 2;
        }
    }
    for (size_t k = 0; k < num_slots; k++) {
        if (slots[k] != EMPTY) {
            order[at++] = slots[k];
        }
    }
}
