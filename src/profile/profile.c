#include "profile/profile.h"

#include <stdatomic.h>

/* The generated tables. Another file may be named to check captures that are not built in. */
#ifndef TR_PROFILES_INC
#define TR_PROFILES_INC "profile/profiles.inc"
#endif

const char tr_profile_same[] = "=";

#include TR_PROFILES_INC

static int
compare_name(tr_slice_t name, const char *row)
{
    size_t row_len = strlen(row);
    int order = memcmp(name.data, row, TR_MIN(name.len, row_len));
    if (order != 0) {
        return order;
    }
    return name.len < row_len ? -1 : name.len > row_len;
}

const tr_profile_t *
tr_profile_find(tr_slice_t name)
{
    size_t low = 0, high = TR_ARRAY_LEN(profile_names);
    if (name.len == 0) {
        return NULL;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_name(name, profile_names[middle].name);
        if (order == 0) {
            return &profiles[profile_names[middle].index];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const tr_profile_t *
tr_profile_default(void)
{
    return &profiles[PROFILE_DEFAULT];
}

const tr_profile_t *
tr_profile_at(size_t index)
{
    return index < TR_ARRAY_LEN(profiles) ? &profiles[index] : NULL;
}

const tr_profile_name_t *
tr_profile_name_at(size_t index)
{
    return index < TR_ARRAY_LEN(profile_names) ? &profile_names[index] : NULL;
}

/* --- made at run time --- */

typedef struct counted {
    tr_profile_t profile; /* first: the two convert */
    atomic_size_t refs;
    tr_arena_t arena;
} counted_t;

static counted_t *
counted_of(const tr_profile_t *profile)
{
    return profile != NULL && (profile->flags & TR_PROFILE_COUNTED) != 0 ? (counted_t *)(uintptr_t)profile : NULL;
}

tr_profile_t *
tr_profile_new(void)
{
    counted_t *self = tr_calloc(1, sizeof(*self));
    if (self == NULL) {
        return NULL;
    }
    atomic_init(&self->refs, 1);
    tr_arena_init(&self->arena);
    self->profile.flags = TR_PROFILE_COUNTED;
    return &self->profile;
}

void *
tr_profile_alloc(tr_profile_t *profile, size_t size)
{
    counted_t *self = counted_of(profile);
    return self == NULL ? NULL : tr_arena_alloc(&self->arena, size);
}

const tr_profile_t *
tr_profile_ref(const tr_profile_t *profile)
{
    counted_t *self = counted_of(profile);
    if (self != NULL) {
        atomic_fetch_add_explicit(&self->refs, 1, memory_order_relaxed);
    }
    return profile;
}

void
tr_profile_unref(const tr_profile_t *profile)
{
    counted_t *self = counted_of(profile);
    if (self != NULL && atomic_fetch_sub_explicit(&self->refs, 1, memory_order_acq_rel) == 1) {
        tr_arena_cleanup(&self->arena);
        tr_free(self);
    }
}

const tr_profile_ext_t *
tr_profile_ext(const tr_profile_t *profile, uint16_t type)
{
    for (size_t i = 0; i < profile->num_exts; i++) {
        if (profile->exts[i].type == type) {
            return &profile->exts[i];
        }
    }
    return NULL;
}

const tr_profile_kind_t *
tr_profile_kind(const tr_profile_t *profile, tr_kind_t kind)
{
    if (profile->kinds == NULL || kind <= TR_KIND_NAVIGATE || kind >= TR_KIND_COUNT) {
        return NULL;
    }
    const tr_profile_kind_t *row = &profile->kinds[kind];
    return row->num_h2_headers == 0 && row->num_h1_headers == 0 ? NULL : row;
}

const char *
tr_hint_name(tr_hint_t hint)
{
    static const char *const names[TR_HINT_COUNT] = {
#define X(name, text) [TR_HINT_##name] = text,
        TR_HINTS(X)
#undef X
    };
    return hint < TR_HINT_COUNT ? names[hint] : "";
}

const char *
tr_kind_name(tr_kind_t kind)
{
    static const char *const names[TR_KIND_COUNT] = {
        [TR_KIND_NAVIGATE] = "navigate", [TR_KIND_FETCH] = "fetch", [TR_KIND_XHR] = "xhr",
        [TR_KIND_FORM] = "form",         [TR_KIND_IMAGE] = "image", [TR_KIND_SCRIPT] = "script",
        [TR_KIND_STYLE] = "style",       [TR_KIND_IFRAME] = "iframe", [TR_KIND_WEBSOCKET] = "websocket",
        [TR_KIND_EVENTS] = "events",
    };
    return kind < TR_KIND_COUNT ? names[kind] : "";
}
