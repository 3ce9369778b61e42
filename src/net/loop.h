/* loop: the event loop that owns sockets and timers, over libevent. Whoever runs it (the I/O thread, or a blocking caller that drives
 * it while it waits) holds it alone; only tr_loop_wake may be called from elsewhere. */
#ifndef TR_NET_LOOP_H
#define TR_NET_LOOP_H

#include "core/err.h"
#include "core/list.h"

typedef struct tr_loop tr_loop_t;

tr_code_t tr_loop_new(tr_loop_t **out, tr_err_t *err);
/* tr_loop_free closes what the loop itself opened. In a forked child it must not touch the kernel objects shared with the parent. */
void tr_loop_free(tr_loop_t *loop);
/* tr_loop_is_inherited is true in a forked child of the process that made the loop. Its owner then closes it (tr_loop_free closes every
 * watched descriptor and frees nothing: the fork may have come in the middle of a turn) and forgets what was built on it. */
bool tr_loop_is_inherited(const tr_loop_t *loop);

/* tr_loop_run_once waits for events (at most max_wait_ns; UINT64_MAX: no bound) and handles one batch of them, then due timers, then
 * deferred calls. Returns without waiting when tr_loop_wake was called, or when calls were deferred since the last turn (they run first).
 * It may return earlier than asked; a signal ends the wait only at max_wait_ns. */
void tr_loop_run_once(tr_loop_t *loop, uint64_t max_wait_ns);
/* tr_loop_wake makes the running or next tr_loop_run_once return soon, after calling the wake callback. Any thread; async-signal-safe;
 * cheap when a wake is pending already. */
void tr_loop_wake(tr_loop_t *loop);
/* tr_loop_on_wake sets what is called on the loop after a wake. */
void tr_loop_on_wake(tr_loop_t *loop, void (*fn)(void *arg), void *arg);

/* More listeners of the same wake: each is called after any wake and looks for work of its own. */
typedef struct tr_waker {
    tr_link_t link;
    void (*fn)(void *arg);
    void *arg;
} tr_waker_t;
void tr_loop_add_waker(tr_loop_t *loop, tr_waker_t *waker);
void tr_loop_remove_waker(tr_loop_t *loop, tr_waker_t *waker);

/* tr_loop_scratch lends the loop's one read buffer for the current call; NULL: out of memory. */
uint8_t *tr_loop_scratch(tr_loop_t *loop, size_t *out_len);

/* tr_loop_now is the monotonic clock in ns, read once a turn (tr_loop_update reads it again). */
uint64_t tr_loop_now(const tr_loop_t *loop);
uint64_t tr_loop_update(tr_loop_t *loop);

/* --- timers: intrusive, thousands of them, O(log n) at worst --- */
typedef struct tr_timer {
    uint64_t deadline_ns; /* 0: not set */
    void (*fn)(void *arg);
    void *arg;
    size_t index; /* place in the loop's heap */
} tr_timer_t;

void tr_timer_init(tr_timer_t *timer, void (*fn)(void *arg), void *arg);
/* tr_timer_set arms or moves the timer; the deadline is on tr_loop_now's clock. */
tr_code_t tr_timer_set(tr_loop_t *loop, tr_timer_t *timer, uint64_t deadline_ns);
void tr_timer_clear(tr_loop_t *loop, tr_timer_t *timer);

/* --- file descriptors: persistent watches, edge of the library's event API --- */
enum { TR_WATCH_READ = 1, TR_WATCH_WRITE = 2 };
typedef struct tr_watch tr_watch_t;
tr_code_t tr_watch_new(tr_watch_t **out, tr_loop_t *loop, int fd, void (*fn)(void *arg, int events), void *arg, tr_err_t *err);
/* tr_watch_set changes which events are awaited (0: none). Cheap when nothing changes. */
tr_code_t tr_watch_set(tr_watch_t *watch, int events);
void tr_watch_free(tr_watch_t *watch); /* allowed inside its own callback; does not close the fd */

/* --- deferred calls: run at the end of the turn, once, in order. That is how objects free themselves safely. --- */
typedef struct tr_defer {
    tr_link_t link;
    void (*fn)(void *arg);
    void *arg;
} tr_defer_t;
void tr_loop_defer(tr_loop_t *loop, tr_defer_t *defer);
/* tr_loop_run_deferred runs what is deferred now, outside of a turn: a caller that decides how long a turn may wait must know what that completes. */
void tr_loop_run_deferred(tr_loop_t *loop);

#endif
