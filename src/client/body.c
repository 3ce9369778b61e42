#include "client/body.h"

#include <sys/mman.h>
#include <unistd.h>

#include "core/mem.h"

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

/* How much is copied before the source's pages go back. Two MiB is a huge page: giving back less would split it. */
#define DRAIN_STEP ((size_t)2 << 20)
#define HUGE_PAGE ((size_t)2 << 20)
/* Mappings double up to this. Untouched pages cost nothing, so the size only bounds how many mappings a body has. */
#define MAP_MAX ((size_t)64 << 20)
/* A declared length is believed up to here in one mapping (address space only); what is longer takes several. */
#define MAP_DECLARED_MAX ((uint64_t)1 << 32)
/* The first block of a body of unknown length. */
#define HEAP_FIRST ((size_t)4096)
/* A chunk that is nearly empty holds memory for nothing: its bytes are copied. */
#define CHUNK_WASTE_MAX ((size_t)20 * 1024)

/* From here on a body's pages change owner instead of being copied (see move_pages). Above 32 MiB glibc's malloc gives each block a
 * mapping of its own, so no heap is ever taken apart; and so few bodies are this large that the process's number of mappings does not
 * matter. */
#define MOVE_MIN ((size_t)64 << 20)
/* Where the bytes of a large bytes object lie within their first page: behind malloc's header and the object's. Pages can change owner only
 * when source and destination agree in this; where they do not, everything is copied. */
#define DATA_OFFSET ((size_t)48)

struct tr_body_seg {
    tr_body_seg_t *next;
    uint8_t *data; /* behind the struct (heap), in chunk, or in the mapping */
    size_t len;
    size_t cap;        /* 0 with a chunk: it is not written to */
    tr_chunk_t *chunk; /* owned; NULL: none */
    void *map;         /* owned; NULL: none */
    size_t map_len;
};

void
tr_body_init(tr_body_t *body, uint64_t max)
{
    *body = (tr_body_t){NULL, NULL, 0, max, 0};
}

static void
free_seg(tr_body_seg_t *seg)
{
    if (seg->map != NULL) {
        (void)munmap(seg->map, seg->map_len);
    }
    tr_chunk_free(seg->chunk);
    tr_free(seg);
}

void
tr_body_cleanup(tr_body_t *body)
{
    tr_body_seg_t *seg = body->head;
    while (seg != NULL) {
        tr_body_seg_t *next = seg->next;
        free_seg(seg);
        seg = next;
    }
    body->head = body->tail = NULL;
    body->len = 0;
}

void
tr_body_expect(tr_body_t *body, uint64_t len)
{
    body->expected = len;
}

static void
link_seg(tr_body_t *body, tr_body_seg_t *seg)
{
    seg->next = NULL;
    if (body->tail == NULL) {
        body->head = seg;
    } else {
        body->tail->next = seg;
    }
    body->tail = seg;
    body->len += seg->len;
}

/* A mapping of cap bytes, on a huge page's border when it is that large: a page fault for every 2 MiB instead of one
 * for every 4 KiB is what a large body's time mostly consists of. */
static tr_body_seg_t *
new_map(size_t cap)
{
    tr_body_seg_t *seg = tr_calloc(1, sizeof(*seg));
    if (seg == NULL) {
        return NULL;
    }
    bool huge = cap >= 2 * HUGE_PAGE;
    size_t map_len = huge ? cap + HUGE_PAGE + DATA_OFFSET : cap;
    void *map = mmap(NULL, map_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        tr_free(seg);
        return NULL;
    }
    seg->map = map;
    seg->map_len = map_len;
    seg->data = map;
    seg->cap = cap;
    if (huge) {
        uint8_t *start = (uint8_t *)(((uintptr_t)map + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
#ifdef MADV_HUGEPAGE
        (void)madvise(start, cap & ~(HUGE_PAGE - 1), MADV_HUGEPAGE);
#endif
        seg->data = start + DATA_OFFSET;
    }
    return seg;
}

static tr_body_seg_t *
new_heap(size_t cap)
{
    tr_body_seg_t *seg = tr_malloc(sizeof(*seg) + cap);
    if (seg != NULL) {
        *seg = (tr_body_seg_t){NULL, (uint8_t *)(seg + 1), 0, cap, NULL, NULL, 0};
    }
    return seg;
}

/* Makes a segment with room for at least one of the `want` bytes that follow. */
static tr_body_seg_t *
grow(const tr_body_t *body, size_t want)
{
    if (body->expected > body->len) {
        uint64_t rest = body->expected - body->len;
        if (rest < TR_BODY_MAP_MIN) {
            return new_heap((size_t)rest);
        }
        rest = TR_MIN(rest, MAP_DECLARED_MAX);
        if (body->max != 0) {
            rest = TR_MIN(rest, body->max);
        }
        tr_body_seg_t *seg = rest > SIZE_MAX / 4 ? NULL : new_map((size_t)rest);
        if (seg != NULL) {
            return seg;
        }
        /* The address space is limited: take what comes. */
    }
    uint64_t cap = body->len == 0 ? TR_MAX((uint64_t)want, HEAP_FIRST) : TR_MAX(body->len, (uint64_t)want);
    if (body->len == 0 && want >= HEAP_FIRST / 2) {
        /* More than a page at once: there will be more. */
        cap = TR_MAX(cap, (uint64_t)want * 2);
    }
    cap = TR_MIN(cap, MAP_MAX);
    if (cap < TR_BODY_MAP_MIN) {
        return new_heap((size_t)cap);
    }
    return new_map(((size_t)cap + 65535) & ~(size_t)65535);
}

static bool
over_limit(const tr_body_t *body, size_t extra)
{
    return body->max != 0 && (extra > body->max || body->len > body->max - extra);
}

tr_code_t
tr_body_append(tr_body_t *body, tr_slice_t data)
{
    if (over_limit(body, data.len)) {
        return TR_ERR_BODY_LIMIT;
    }
    while (data.len > 0) {
        tr_body_seg_t *seg = body->tail;
        if (seg == NULL || seg->cap <= seg->len) {
            seg = grow(body, data.len);
            if (seg == NULL) {
                return TR_ERR_NOMEM;
            }
            link_seg(body, seg);
        }
        size_t part = TR_MIN(seg->cap - seg->len, data.len);
        memcpy(seg->data + seg->len, data.data, part);
        seg->len += part;
        body->len += part;
        data = tr_slice(data.data + part, data.len - part);
    }
    return TR_OK;
}

tr_code_t
tr_body_take(tr_body_t *body, tr_chunk_t **chunk)
{
    tr_chunk_t *c = *chunk;
    bool fits_block = body->tail != NULL && body->tail->cap - body->tail->len >= c->len && body->tail->cap > 0;
    /* A large body lies in mappings: a heap full of its chunks would not go back to the system while it is drained. */
    bool large = body->len + c->len >= TR_BODY_MAP_MIN || body->expected >= TR_BODY_MAP_MIN;
    if (fits_block || large || c->cap - c->len > CHUNK_WASTE_MAX || c->len < 256) {
        return tr_body_append(body, tr_chunk_slice(c));
    }
    if (over_limit(body, c->len)) {
        return TR_ERR_BODY_LIMIT;
    }
    tr_body_seg_t *seg = tr_malloc(sizeof(*seg));
    if (seg == NULL) {
        return TR_ERR_NOMEM;
    }
    *seg = (tr_body_seg_t){NULL, c->data + c->off, c->len, 0, c, NULL, 0};
    link_seg(body, seg);
    *chunk = NULL;
    return TR_OK;
}

tr_code_t
tr_body_move(tr_body_t *body, tr_bufq_t *q)
{
    tr_code_t code = TR_OK;
    tr_chunk_t *chunk;
    while (code == TR_OK && (chunk = tr_bufq_shift(q)) != NULL) {
        code = tr_body_take(body, &chunk);
        tr_chunk_free(chunk);
    }
    return code;
}

#if defined(__linux__) && defined(MREMAP_FIXED)
/* Moves whole pages of a large mapping under the destination, which costs a table entry a page where a copy costs reading it, having the
 * destination's page cleared, and writing it. Returns how many bytes of the segment are in place: 0 where pages cannot be moved. The moved pages
 * leave the mapping. */
static size_t
move_pages(tr_body_seg_t *seg, uint8_t *dst)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (seg->len < MOVE_MIN || (((uintptr_t)seg->data ^ (uintptr_t)dst) & (page - 1)) != 0) {
        return 0;
    }
    size_t first = (page - ((uintptr_t)dst & (page - 1))) & (page - 1);
    size_t whole = (seg->len - first) & ~(page - 1);
    memcpy(dst, seg->data, first);
    if (mremap(seg->data + first, whole, whole, MREMAP_MAYMOVE | MREMAP_FIXED, dst + first) == MAP_FAILED) {
        /* The kernel may have taken the destination's pages away before it failed: put fresh ones there, and copy. */
        void *again = mmap(dst + first, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        return again == MAP_FAILED ? 0 : first;
    }
    return first + whole;
}
#else
static size_t
move_pages(tr_body_seg_t *seg, uint8_t *dst)
{
    TR_UNUSED(seg);
    TR_UNUSED(dst);
    return 0;
}
#endif

/* Moves or copies a mapping; what is copied gives its pages back every DRAIN_STEP. */
static void
drain_map(tr_body_seg_t *seg, uint8_t *dst)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t done = move_pages(seg, dst);
    while (done < seg->len) {
        size_t part = TR_MIN(DRAIN_STEP, seg->len - done);
        memcpy(dst + done, seg->data + done, part);
        done += part;
        if (part == DRAIN_STEP) {
            uintptr_t from = ((uintptr_t)(seg->data + done - part) + page - 1) & ~(uintptr_t)(page - 1);
            uintptr_t to = (uintptr_t)(seg->data + done) & ~(uintptr_t)(page - 1);
            (void)madvise((void *)from, to - from, MADV_DONTNEED);
        }
    }
}

void
tr_body_drain(tr_body_t *body, uint8_t *dst)
{
    tr_body_seg_t *seg = body->head;
    while (seg != NULL) {
        tr_body_seg_t *next = seg->next;
        if (seg->map != NULL) {
            drain_map(seg, dst);
        } else {
            memcpy(dst, seg->data, seg->len);
        }
        dst += seg->len;
        free_seg(seg);
        seg = next;
    }
    body->head = body->tail = NULL;
    body->len = 0;
}
