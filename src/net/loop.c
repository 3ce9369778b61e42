/* The event loop over libevent's event_base. DESIGN
 *
 * - libevent is used without its locks (EVENT_BASE_FLAG_NOLOCK): one thread at a time holds the loop. The one thing that other threads
 *   do, tr_loop_wake, is an atomic flag and, only while the loop sleeps, a write to a descriptor that the base watches edge-triggered:
 *   an eventfd then needs no read on the waking side.
 * - Timers are ours (timer.h): libevent's own would allocate a struct event each. libevent sees a single timeout event, moved only when
 *   the next deadline came nearer; when it fires too early the turn ends without work and the next one arms the rest.
 * - libevent's epoll backend swallows EINTR and waits again, so a caller that must notice signals passes a bounded max_wait.
 * - Watches are two struct events each, so that awaiting writability is one epoll_ctl and not a removal and an addition.
 * - Fork: the child shares epoll and eventfd with the parent. epoll_ctl there would change the parent's registrations, and the heap may
 *   have been copied in the middle of a change. So the child only closes descriptors, found in a table that is readable at any
 *   moment (fds below), and leaves memory and the epoll descriptor behind. */
#include "net/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/trace.h"
#include "net/timer.h"
#include "net/wakefd.h"

/* Deferred calls that defer again run in the same turn, so many times; the rest waits until sockets were looked at. A request written
 * in a callback, sent, answered "writable" and written again takes two. */
#define DEFER_ROUNDS 8
/* One read from a socket: four TLS records. Scratch and what is decrypted from it fit the second-level cache together, and the memory for
 * the plaintext stays below what allocators give back to the system (128 KiB) only to fault it in again. */
#define SCRATCH_LEN ((size_t)64 * 1024)
/* libevent adds the timeout to its own clock: a year is far enough from overflow. */
#define WAIT_MAX_NS ((uint64_t)365 * 86400 * 1000000000u)
#define FDS_MIN 64

/* Open descriptors of watches, for the forked child. A slot holds a descriptor, or -2 - (next free slot). Tables are never freed before
 * the loop: a child may have been forked while a larger one was put in place. */
typedef struct fd_table {
    struct fd_table *older; /* owned */
    size_t cap;
    atomic_int fds[];
} fd_table_t;

struct tr_loop {
    struct event_base *base;   /* owned */
    struct event timeout;      /* the one timer that libevent knows */
    uint64_t armed_ns;         /* its deadline; UINT64_MAX: not armed */
    struct event wake_event;   /* on wake.read_fd */
    bool has_wake_event;
    tr_wakefd_t wake;
    atomic_bool wake_pending;  /* set by any thread, taken by the loop */
    atomic_bool sleeping;      /* the loop may be inside the kernel's wait: a wake must write */
    void (*on_wake)(void *arg);
    void *on_wake_arg;
    tr_list_t wakers;          /* tr_waker_t, the callers' */
    tr_timers_t timers;
    tr_list_t deferred;        /* tr_defer_t, the callers' */
    uint64_t now;              /* tr_loop_now */
    uint8_t *scratch;          /* owned; SCRATCH_LEN once needed */
    _Atomic(fd_table_t *) fds; /* owned, newest */
    int fds_free;              /* first free slot; -1: none */
    pid_t pid;                 /* process that made it */
    bool running;              /* inside tr_loop_run_once */
    bool waited;               /* the kernel's wait may be just over: now is from before it */
};

struct tr_watch {
    struct event read_event;
    struct event write_event;
    tr_loop_t *loop; /* lent; outlives the watch */
    void (*fn)(void *arg, int events);
    void *arg;
    int events; /* TR_WATCH_* that are awaited */
    int slot;   /* in loop->fds */
};

/* ------------------------------------------------------------------------------------------------------------- clock */

uint64_t
tr_loop_update(tr_loop_t *loop)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    loop->now = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
    return loop->now;
}

uint64_t
tr_loop_now(const tr_loop_t *loop)
{
    return loop->now;
}

/* ---------------------------------------------------------------------------------------------- descriptors for forks */

static tr_code_t
fds_grow(tr_loop_t *loop)
{
    fd_table_t *old = atomic_load_explicit(&loop->fds, memory_order_relaxed);
    size_t old_cap = old == NULL ? 0 : old->cap;
    size_t cap = old == NULL ? FDS_MIN : old_cap * 2;
    if (cap > (size_t)INT32_MAX / 2) {
        return TR_ERR_LIMIT;
    }
    fd_table_t *table = tr_malloc(sizeof(*table) + cap * sizeof(table->fds[0]));
    if (table == NULL) {
        return TR_ERR_NOMEM;
    }
    table->older = old;
    table->cap = cap;
    for (size_t i = 0; i < cap; i++) {
        int value = i < old_cap ? atomic_load_explicit(&old->fds[i], memory_order_relaxed)
                                : (i + 1 < cap ? -2 - (int)(i + 1) : -1);
        atomic_init(&table->fds[i], value);
    }
    loop->fds_free = (int)old_cap;
    atomic_store_explicit(&loop->fds, table, memory_order_release);
    return TR_OK;
}

static tr_code_t
fds_add(tr_loop_t *loop, int *out_slot, int fd)
{
    if (loop->fds_free < 0) {
        tr_code_t code = fds_grow(loop);
        if (code != TR_OK) {
            return code;
        }
    }
    fd_table_t *table = atomic_load_explicit(&loop->fds, memory_order_relaxed);
    int slot = loop->fds_free;
    int value = atomic_load_explicit(&table->fds[slot], memory_order_relaxed);
    loop->fds_free = value == -1 ? -1 : -2 - value;
    atomic_store_explicit(&table->fds[slot], fd, memory_order_relaxed);
    *out_slot = slot;
    return TR_OK;
}

static void
fds_remove(tr_loop_t *loop, int slot)
{
    fd_table_t *table = atomic_load_explicit(&loop->fds, memory_order_relaxed);
    atomic_store_explicit(&table->fds[slot], loop->fds_free < 0 ? -1 : -2 - loop->fds_free, memory_order_relaxed);
    loop->fds_free = slot;
}

static void
fds_close_all(tr_loop_t *loop)
{
    fd_table_t *table = atomic_load_explicit(&loop->fds, memory_order_acquire);
    for (size_t i = 0; table != NULL && i < table->cap; i++) {
        int fd = atomic_load_explicit(&table->fds[i], memory_order_relaxed);
        if (fd >= 0) {
            (void)close(fd);
        }
    }
}

/* -------------------------------------------------------------------------------------------------------------- life */

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
    tr_loop_t *loop = arg;
    TR_UNUSED(fd);
    TR_UNUSED(what);
    loop->armed_ns = UINT64_MAX; /* the heap is looked at after the batch, whoever ended the wait */
}

static void
on_wake_event(evutil_socket_t fd, short what, void *arg)
{
    tr_loop_t *loop = arg;
    TR_UNUSED(fd);
    TR_UNUSED(what);
    if (!tr_wakefd_is_event(&loop->wake)) {
        tr_wakefd_reset(&loop->wake);
    }
}

static tr_code_t
base_open(tr_loop_t *loop, tr_err_t *err)
{
    static const char where[] = "net.loop_new";
    tr_code_t code = TR_OK;
    struct event_config *config = event_config_new();
    if (config == NULL) {
        code = tr_err_nomem(err, where);
        goto done;
    }
    if (event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV) != 0 ||
        (loop->base = event_base_new_with_config(config)) == NULL) {
        code = tr_err_set(err, TR_ERR_SYSTEM, errno, where, "the event loop cannot be opened: errno %d", errno);
        goto done;
    }
    code = tr_wakefd_open(&loop->wake, false, err);
    if (code != TR_OK) {
        goto done;
    }
    short edge = tr_wakefd_is_event(&loop->wake) ? EV_ET : 0;
    if (event_assign(&loop->timeout, loop->base, -1, 0, on_timeout, loop) != 0 ||
        event_assign(&loop->wake_event, loop->base, loop->wake.read_fd, (short)(EV_READ | EV_PERSIST | edge),
                     on_wake_event, loop) != 0 ||
        event_add(&loop->wake_event, NULL) != 0) {
        code = tr_err_set(err, TR_ERR_SYSTEM, errno, where, "the event loop cannot be opened: errno %d", errno);
        goto done;
    }
    loop->has_wake_event = true;
done:
    if (config != NULL) {
        event_config_free(config);
    }
    return code;
}

tr_code_t
tr_loop_new(tr_loop_t **out, tr_err_t *err)
{
    tr_loop_t *loop = tr_calloc(1, sizeof(*loop));
    *out = NULL;
    if (loop == NULL) {
        return tr_err_nomem(err, "net.loop_new");
    }
    loop->wake = TR_WAKEFD_INIT;
    loop->armed_ns = UINT64_MAX;
    loop->fds_free = -1;
    loop->pid = getpid();
    tr_list_init(&loop->wakers);
    tr_list_init(&loop->deferred);
    tr_timers_init(&loop->timers);
    (void)tr_loop_update(loop);
    tr_code_t code = base_open(loop, err);
    if (code != TR_OK) {
        tr_loop_free(loop);
        return code;
    }
    *out = loop;
    return TR_OK;
}

bool
tr_loop_is_inherited(const tr_loop_t *loop)
{
    return loop->pid != getpid();
}

void
tr_loop_run_deferred(tr_loop_t *loop)
{
    for (int round = 0; round < DEFER_ROUNDS && !tr_list_empty(&loop->deferred); round++) {
        tr_list_t batch;
        tr_link_t *link;
        tr_list_init(&batch);
        tr_list_splice(&batch, &loop->deferred);
        while ((link = tr_list_shift(&batch)) != NULL) {
            tr_defer_t *defer = TR_CONTAINER_OF(link, tr_defer_t, link);
            defer->fn(defer->arg); /* may free the object around it */
        }
    }
}

void
tr_loop_free(tr_loop_t *loop)
{
    if (loop == NULL) {
        return;
    }
    if (tr_loop_is_inherited(loop)) {
        fds_close_all(loop);
        tr_wakefd_close(&loop->wake);
        return;
    }
    assert(!loop->running);
    tr_loop_run_deferred(loop); /* objects that were closed last free themselves here */
    if (loop->has_wake_event) {
        (void)event_del(&loop->wake_event);
    }
    if (loop->base != NULL) {
        (void)event_del(&loop->timeout);
        event_base_free(loop->base);
    }
    tr_wakefd_close(&loop->wake);
    tr_timers_cleanup(&loop->timers);
    tr_free(loop->scratch);
    fd_table_t *table = atomic_load_explicit(&loop->fds, memory_order_relaxed);
    while (table != NULL) {
        fd_table_t *older = table->older;
        tr_free(table);
        table = older;
    }
    tr_free(loop);
}

uint8_t *
tr_loop_scratch(tr_loop_t *loop, size_t *out_len)
{
    if (loop->scratch == NULL) {
        loop->scratch = tr_malloc(SCRATCH_LEN);
    }
    *out_len = loop->scratch == NULL ? 0 : SCRATCH_LEN;
    return loop->scratch;
}

/* ------------------------------------------------------------------------------------------------------------- a turn */

/* Makes libevent's wait end at the deadline at the latest. */
static void
arm(tr_loop_t *loop, uint64_t deadline_ns)
{
    if (deadline_ns >= loop->armed_ns) {
        return;
    }
    /* Rounded up: a wait that ends just before the deadline would only be repeated. */
    uint64_t wait_us = (TR_MIN(deadline_ns - loop->now, WAIT_MAX_NS) + 999) / 1000;
    struct timeval tv = {(time_t)(wait_us / 1000000), (suseconds_t)(wait_us % 1000000)};
    /* Only the growth of libevent's heap can fail, and that only once. The timer is then late by what the next event takes. */
    if (event_add(&loop->timeout, &tv) == 0) {
        loop->armed_ns = deadline_ns;
    }
}

/* True: there was a wake, and its listeners were called. */
static bool
take_wake(tr_loop_t *loop)
{
    if (!atomic_load_explicit(&loop->wake_pending, memory_order_relaxed) ||
        !atomic_exchange(&loop->wake_pending, false)) {
        return false;
    }
    for (tr_link_t *link = tr_list_first(&loop->wakers); link != NULL;) {
        tr_waker_t *waker = TR_CONTAINER_OF(link, tr_waker_t, link);
        link = tr_list_next(&loop->wakers, link); /* a listener may remove itself, not its neighbours */
        waker->fn(waker->arg);
    }
    if (loop->on_wake != NULL) {
        loop->on_wake(loop->on_wake_arg);
    }
    return true;
}

void
tr_loop_run_once(tr_loop_t *loop, uint64_t max_wait_ns)
{
    int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;
    assert(!loop->running);
    loop->running = true;
    (void)tr_loop_update(loop);
    /* A wake that came before the turn, and what was written, opened or freed since the last one. Either may have done what the caller
     * waits for, so the turn then only looks at the sockets. */
    if (take_wake(loop) || !tr_list_empty(&loop->deferred)) {
        max_wait_ns = 0;
    }
    tr_loop_run_deferred(loop);
    uint64_t deadline = max_wait_ns > UINT64_MAX - loop->now ? UINT64_MAX : loop->now + max_wait_ns;
    deadline = TR_MIN(deadline, tr_timers_next(&loop->timers));
    if (deadline <= loop->now || !tr_list_empty(&loop->deferred)) {
        flags |= EVLOOP_NONBLOCK;
    } else {
        arm(loop, deadline);
        /* Pairs with tr_loop_wake: it sets wake_pending, then looks at sleeping. One of the two sees the other's store. */
        atomic_store(&loop->sleeping, true);
        if (atomic_load(&loop->wake_pending)) {
            flags |= EVLOOP_NONBLOCK;
        }
    }
    loop->waited = true;
    if (event_base_loop(loop->base, flags) < 0) {
        TR_TRACE(TR_TOPIC_NET, "event loop: errno %d", errno);
    }
    atomic_store_explicit(&loop->sleeping, false, memory_order_relaxed);
    (void)tr_loop_update(loop);
    (void)take_wake(loop);
    tr_timers_run(&loop->timers, loop->now);
    tr_loop_run_deferred(loop);
    loop->running = false;
}

void
tr_loop_wake(tr_loop_t *loop)
{
    if (!atomic_exchange(&loop->wake_pending, true) && atomic_load(&loop->sleeping)) {
        tr_wakefd_signal(&loop->wake);
    }
}

void
tr_loop_on_wake(tr_loop_t *loop, void (*fn)(void *arg), void *arg)
{
    loop->on_wake = fn;
    loop->on_wake_arg = arg;
}

void
tr_loop_add_waker(tr_loop_t *loop, tr_waker_t *waker)
{
    tr_list_push(&loop->wakers, &waker->link);
}

void
tr_loop_remove_waker(tr_loop_t *loop, tr_waker_t *waker)
{
    TR_UNUSED(loop);
    tr_list_remove(&waker->link);
}

void
tr_loop_defer(tr_loop_t *loop, tr_defer_t *defer)
{
    if (!tr_link_linked(&defer->link)) {
        tr_list_push(&loop->deferred, &defer->link);
    }
}

/* ------------------------------------------------------------------------------------------------------------- timers */

void
tr_timer_init(tr_timer_t *timer, void (*fn)(void *arg), void *arg)
{
    *timer = (tr_timer_t){0, fn, arg, 0};
}

tr_code_t
tr_timer_set(tr_loop_t *loop, tr_timer_t *timer, uint64_t deadline_ns)
{
    return tr_timers_set(&loop->timers, timer, deadline_ns);
}

void
tr_timer_clear(tr_loop_t *loop, tr_timer_t *timer)
{
    tr_timers_clear(&loop->timers, timer);
}

/* ------------------------------------------------------------------------------------------------------------ watches */

static void
on_ready(evutil_socket_t fd, short what, void *arg)
{
    tr_watch_t *watch = arg;
    TR_UNUSED(fd);
    if (watch->loop->waited) {
        watch->loop->waited = false;
        (void)tr_loop_update(watch->loop); /* the first of the batch: time limits count from here, not from before the wait */
    }
    int events = ((what & EV_READ) != 0 ? TR_WATCH_READ : 0) | ((what & EV_WRITE) != 0 ? TR_WATCH_WRITE : 0);
    watch->fn(watch->arg, events); /* may free the watch: nothing of it is used afterwards */
}

tr_code_t
tr_watch_new(tr_watch_t **out, tr_loop_t *loop, int fd, void (*fn)(void *arg, int events), void *arg, tr_err_t *err)
{
    static const char where[] = "net.watch_new";
    *out = NULL;
    tr_watch_t *watch = tr_malloc(sizeof(*watch));
    if (watch == NULL) {
        return tr_err_nomem(err, where);
    }
    watch->loop = loop;
    watch->fn = fn;
    watch->arg = arg;
    watch->events = 0;
    tr_code_t code = fds_add(loop, &watch->slot, fd);
    if (code != TR_OK) {
        tr_free(watch);
        return tr_err_set(err, code, 0, where, NULL);
    }
    if (event_assign(&watch->read_event, loop->base, fd, EV_READ | EV_PERSIST, on_ready, watch) != 0 ||
        event_assign(&watch->write_event, loop->base, fd, EV_WRITE | EV_PERSIST, on_ready, watch) != 0) {
        fds_remove(loop, watch->slot);
        tr_free(watch);
        return tr_err_set(err, TR_ERR_INTERNAL, 0, where, NULL);
    }
    *out = watch;
    return TR_OK;
}

static tr_code_t
switch_event(tr_watch_t *watch, struct event *event, int bit, int events)
{
    if (((watch->events ^ events) & bit) == 0) {
        return TR_OK;
    }
    int result = (events & bit) != 0 ? event_add(event, NULL) : event_del(event);
    if (result != 0) {
        return TR_ERR_SYSTEM;
    }
    watch->events ^= bit;
    return TR_OK;
}

tr_code_t
tr_watch_set(tr_watch_t *watch, int events)
{
    tr_code_t code = switch_event(watch, &watch->read_event, TR_WATCH_READ, events);
    if (code == TR_OK) {
        code = switch_event(watch, &watch->write_event, TR_WATCH_WRITE, events);
    }
    return code;
}

void
tr_watch_free(tr_watch_t *watch)
{
    if (watch == NULL) {
        return;
    }
    (void)tr_watch_set(watch, 0);
    fds_remove(watch->loop, watch->slot);
    tr_free(watch);
}
