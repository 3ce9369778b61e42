/* timer: the loop's timers, a binary heap of (deadline, timer) pairs; the timers are intrusive and know their place. On the loop only. */
#ifndef TR_NET_TIMER_H
#define TR_NET_TIMER_H

#include "net/loop.h"

typedef struct tr_timers {
    struct tr_timers_entry {
        uint64_t deadline_ns; /* copied here: sifting touches no timer but those that move */
        tr_timer_t *timer;    /* the caller's */
    } *entries;               /* owned; a heap by deadline */
    size_t num;
    size_t cap;
    uint64_t running_ns;      /* inside tr_timers_run: its now; else 0 */
} tr_timers_t;

void tr_timers_init(tr_timers_t *timers);
/* tr_timers_cleanup disarms what is left. */
void tr_timers_cleanup(tr_timers_t *timers);
/* tr_timers_set arms or moves; NOMEM when the heap cannot grow (never for a timer that is armed). */
tr_code_t tr_timers_set(tr_timers_t *timers, tr_timer_t *timer, uint64_t deadline_ns);
void tr_timers_clear(tr_timers_t *timers, tr_timer_t *timer);
/* tr_timers_next gives the earliest deadline, UINT64_MAX when there is none. */
uint64_t tr_timers_next(const tr_timers_t *timers);
/* tr_timers_run calls what is due at now, earliest first. What a callback arms for the past waits for the next run. */
void tr_timers_run(tr_timers_t *timers, uint64_t now);

#endif
