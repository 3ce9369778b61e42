#include "net/timer.h"

#include "core/mem.h"

#define TIMERS_MIN 32

typedef struct tr_timers_entry entry_t;

void
tr_timers_init(tr_timers_t *timers)
{
    *timers = (tr_timers_t){NULL, 0, 0, 0};
}

void
tr_timers_cleanup(tr_timers_t *timers)
{
    for (size_t i = 0; i < timers->num; i++) {
        timers->entries[i].timer->deadline_ns = 0;
    }
    tr_free(timers->entries);
    tr_timers_init(timers);
}

static void
place(tr_timers_t *timers, size_t index, entry_t entry)
{
    timers->entries[index] = entry;
    entry.timer->index = index;
}

static void
sift_up(tr_timers_t *timers, size_t index, entry_t entry)
{
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (timers->entries[parent].deadline_ns <= entry.deadline_ns) {
            break;
        }
        place(timers, index, timers->entries[parent]);
        index = parent;
    }
    place(timers, index, entry);
}

static void
sift_down(tr_timers_t *timers, size_t index, entry_t entry)
{
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= timers->num) {
            break;
        }
        if (child + 1 < timers->num &&
            timers->entries[child + 1].deadline_ns < timers->entries[child].deadline_ns) {
            child++;
        }
        if (entry.deadline_ns <= timers->entries[child].deadline_ns) {
            break;
        }
        place(timers, index, timers->entries[child]);
        index = child;
    }
    place(timers, index, entry);
}

/* Puts entry where the place at index became free. */
static void
settle(tr_timers_t *timers, size_t index, entry_t entry)
{
    if (index > 0 && entry.deadline_ns < timers->entries[(index - 1) / 2].deadline_ns) {
        sift_up(timers, index, entry);
    } else {
        sift_down(timers, index, entry);
    }
}

tr_code_t
tr_timers_set(tr_timers_t *timers, tr_timer_t *timer, uint64_t deadline_ns)
{
    /* Zero means "not set"; and what a callback arms for the past is due in the next run, so that no timer holds this one. */
    deadline_ns = TR_MAX(deadline_ns, timers->running_ns + 1);
    entry_t entry = {deadline_ns, timer};
    if (timer->deadline_ns != 0) {
        timer->deadline_ns = deadline_ns;
        settle(timers, timer->index, entry);
        return TR_OK;
    }
    if (timers->num == timers->cap) {
        size_t cap = timers->cap == 0 ? TIMERS_MIN : timers->cap * 2;
        if (cap > SIZE_MAX / sizeof(entry_t)) {
            return TR_ERR_NOMEM;
        }
        entry_t *grown = tr_realloc(timers->entries, cap * sizeof(entry_t));
        if (grown == NULL) {
            return TR_ERR_NOMEM;
        }
        timers->entries = grown;
        timers->cap = cap;
    }
    timer->deadline_ns = deadline_ns;
    sift_up(timers, timers->num++, entry);
    return TR_OK;
}

void
tr_timers_clear(tr_timers_t *timers, tr_timer_t *timer)
{
    if (timer->deadline_ns == 0) {
        return;
    }
    size_t index = timer->index;
    assert(index < timers->num && timers->entries[index].timer == timer);
    timer->deadline_ns = 0;
    entry_t last = timers->entries[--timers->num];
    if (index < timers->num) {
        settle(timers, index, last);
    }
}

uint64_t
tr_timers_next(const tr_timers_t *timers)
{
    return timers->num == 0 ? UINT64_MAX : timers->entries[0].deadline_ns;
}

void
tr_timers_run(tr_timers_t *timers, uint64_t now)
{
    timers->running_ns = now;
    while (tr_timers_next(timers) <= now) {
        tr_timer_t *timer = timers->entries[0].timer;
        tr_timers_clear(timers, timer);
        timer->fn(timer->arg); /* may free the timer */
    }
    timers->running_ns = 0;
}
