/* The loop: timers, wakes, deferred calls, watches, fork; the descriptor to wake with; the worker pool. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "net/loop.h"
#include "net/timer.h"
#include "net/wakefd.h"
#include "net/worker.h"
#include "tr_test.h"

#define MS ((uint64_t)1000000)

static uint64_t
clock_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ------------------------------------------------------------------------------------------------------------- timers */

#define NUM_TIMERS 300

typedef struct heap_case {
    tr_timers_t timers;
    tr_timer_t items[NUM_TIMERS];
    uint64_t last;
    size_t fired;
    bool ordered;
} heap_case_t;

typedef struct heap_item {
    heap_case_t *c;
    size_t index;
    uint64_t deadline;
} heap_item_t;

static void
heap_fire(void *arg)
{
    heap_item_t *item = arg;
    if (item->deadline < item->c->last) {
        item->c->ordered = false;
    }
    item->c->last = item->deadline;
    item->c->fired++;
}

TR_TEST_OOM(net_timer_heap, "/net/timer/heap")
{
    static heap_case_t c;
    static heap_item_t items[NUM_TIMERS];
    uint32_t random = 12345;
    size_t armed = 0;
    bool nomem = false;
    memset(&c, 0, sizeof(c));
    c.ordered = true;
    tr_timers_init(&c.timers);
    TR_CHECK(tr_timers_next(&c.timers) == UINT64_MAX);
    for (size_t i = 0; i < NUM_TIMERS; i++) {
        items[i] = (heap_item_t){&c, i, 0};
        tr_timer_init(&c.items[i], heap_fire, &items[i]);
    }
    /* Arm, move and clear at random; the heap must agree with a plain look at all of them. */
    for (size_t step = 0; step < 5000 && !nomem; step++) {
        random = random * 1664525u + 1013904223u;
        size_t i = (random >> 8) % NUM_TIMERS;
        if (random % 3 == 0) {
            armed -= c.items[i].deadline_ns != 0;
            tr_timers_clear(&c.timers, &c.items[i]);
        } else {
            bool was = c.items[i].deadline_ns != 0;
            items[i].deadline = 1 + (random >> 4) % 1000;
            if (tr_timers_set(&c.timers, &c.items[i], items[i].deadline) != TR_OK) {
                TR_CHECK(!was && c.items[i].deadline_ns == 0);
                nomem = true;
            } else {
                armed += !was;
            }
        }
        uint64_t least = UINT64_MAX;
        for (size_t k = 0; k < NUM_TIMERS; k++) {
            if (c.items[k].deadline_ns != 0 && c.items[k].deadline_ns < least) {
                least = c.items[k].deadline_ns;
            }
        }
        if (tr_timers_next(&c.timers) != least || c.timers.num != armed) {
            tr_test_fail(__FILE__, __LINE__, "the heap is wrong at step %zu", step);
        }
    }
    TR_CHECK(nomem == false || tr_test_oom_running());
    tr_timers_run(&c.timers, 500);
    TR_CHECK(tr_timers_next(&c.timers) > 500);
    tr_timers_run(&c.timers, 2000);
    TR_CHECK_INT(c.fired, armed);
    TR_CHECK(c.ordered);
    TR_CHECK_INT(c.timers.num, 0);
    tr_timers_cleanup(&c.timers);
}

typedef struct timer_log {
    tr_loop_t *loop;
    tr_timer_t timers[3];
    char text[32];
    size_t len;
} timer_log_t;

static void
log_timer(timer_log_t *log, char c)
{
    if (log->len + 1 < sizeof(log->text)) {
        log->text[log->len++] = c;
        log->text[log->len] = 0;
    }
}

static void
timer_a(void *arg)
{
    timer_log_t *log = arg;
    log_timer(log, 'a');
    tr_timer_clear(log->loop, &log->timers[1]); /* due in the same turn */
    (void)tr_timer_set(log->loop, &log->timers[0], 1); /* long ago: next turn, not now */
}

static void
timer_b(void *arg)
{
    log_timer(arg, 'b');
}

static void
timer_c(void *arg)
{
    log_timer(arg, 'c');
}

TR_TEST(net_loop_timers, "/net/loop/timers")
{
    timer_log_t log = {NULL, {{0, NULL, NULL, 0}}, "", 0};
    tr_err_t err;
    TR_CHECK_OK(tr_loop_new(&log.loop, &err), &err);
    uint64_t now = tr_loop_update(log.loop);
    tr_timer_init(&log.timers[0], timer_a, &log);
    tr_timer_init(&log.timers[1], timer_b, &log);
    tr_timer_init(&log.timers[2], timer_c, &log);
    TR_CHECK_INT(tr_timer_set(log.loop, &log.timers[2], now + 30 * MS), TR_OK);
    TR_CHECK_INT(tr_timer_set(log.loop, &log.timers[1], now - 1), TR_OK);
    TR_CHECK_INT(tr_timer_set(log.loop, &log.timers[0], now - 2), TR_OK);
    tr_loop_run_once(log.loop, 0);
    TR_CHECK(strcmp(log.text, "a") == 0);
    tr_loop_run_once(log.loop, UINT64_MAX); /* due already: no wait */
    TR_CHECK(strcmp(log.text, "aa") == 0);
    tr_timer_clear(log.loop, &log.timers[0]);
    while (log.len < 3 && clock_ns() < now + 2000 * MS) {
        tr_loop_run_once(log.loop, UINT64_MAX); /* only the timer ends this wait */
    }
    TR_CHECK(strcmp(log.text, "aac") == 0);
    uint64_t late = clock_ns() - (now + 30 * MS);
    TR_CHECK(clock_ns() >= now + 30 * MS);
    TR_CHECK(late < 200 * MS);
    /* max_wait bounds a turn without events; a deadline that moved nearer is kept. */
    now = tr_loop_update(log.loop);
    TR_CHECK_INT(tr_timer_set(log.loop, &log.timers[2], now + 10000 * MS), TR_OK);
    tr_loop_run_once(log.loop, 20 * MS);
    TR_CHECK(clock_ns() - now < 1000 * MS);
    TR_CHECK_INT(log.len, 3);
    tr_timer_clear(log.loop, &log.timers[2]);
    tr_loop_free(log.loop);
}

/* -------------------------------------------------------------------------------------------------------------- wakes */

typedef struct wake_case {
    tr_loop_t *loop;
    atomic_int wakes_sent;
    int calls;
    tr_waker_t waker;
    int waker_calls;
} wake_case_t;

static void
count_call(void *arg)
{
    ((wake_case_t *)arg)->calls++;
}

static void
count_waker(void *arg)
{
    ((wake_case_t *)arg)->waker_calls++;
}

static void *
wake_main(void *arg)
{
    wake_case_t *c = arg;
    for (int i = 0; i < 2000; i++) {
        atomic_fetch_add(&c->wakes_sent, 1);
        tr_loop_wake(c->loop);
        if (i % 50 == 0) {
            struct timespec ts = {0, 200000};
            (void)nanosleep(&ts, NULL);
        }
    }
    return NULL;
}

TR_TEST(net_loop_wake, "/net/loop/wake")
{
    wake_case_t c = {.calls = 0};
    tr_err_t err;
    pthread_t threads[3];
    TR_CHECK_OK(tr_loop_new(&c.loop, &err), &err);
    tr_loop_on_wake(c.loop, count_call, &c);
    c.waker = (tr_waker_t){{NULL, NULL}, count_waker, &c};
    tr_loop_add_waker(c.loop, &c.waker);
    /* A wake before the turn ends it at once, and several are one. */
    tr_loop_wake(c.loop);
    tr_loop_wake(c.loop);
    tr_loop_run_once(c.loop, UINT64_MAX);
    TR_CHECK_INT(c.calls, 1);
    TR_CHECK_INT(c.waker_calls, 1);
    uint64_t before = clock_ns();
    tr_loop_run_once(c.loop, 10 * MS);
    TR_CHECK_INT(c.calls, 1);
    TR_CHECK(clock_ns() - before >= 5 * MS);
    tr_loop_remove_waker(c.loop, &c.waker);
    for (size_t i = 0; i < TR_ARRAY_LEN(threads); i++) {
        TR_CHECK(pthread_create(&threads[i], NULL, wake_main, &c) == 0);
    }
    /* No wake is lost: the last one is followed by a call. A lost one would leave the loop in its wait, which has no bound. */
    int turns = 0;
    while (atomic_load(&c.wakes_sent) < 6000 && turns < 100000) {
        tr_loop_run_once(c.loop, 100 * MS);
        turns++;
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(threads); i++) {
        TR_CHECK(pthread_join(threads[i], NULL) == 0);
    }
    int calls = c.calls;
    tr_loop_wake(c.loop);
    tr_loop_run_once(c.loop, UINT64_MAX);
    TR_CHECK(c.calls > calls);
    TR_CHECK_INT(c.waker_calls, 1);
    tr_loop_free(c.loop);
}

/* Each wake is answered before the next is sent, with waits that have no bound: one lost wake would hang (the alarm ends the test). */
typedef struct pong_case {
    tr_loop_t *loop;
    atomic_int seen;
    int sent;
} pong_case_t;

static void
pong(void *arg)
{
    pong_case_t *c = arg;
    atomic_fetch_add(&c->seen, 1);
}

static void *
ping_main(void *arg)
{
    pong_case_t *c = arg;
    uint64_t end = clock_ns() + 20000 * MS;
    for (int i = 0; i < 3000; i++) {
        int seen = atomic_load(&c->seen);
        tr_loop_wake(c->loop);
        while (atomic_load(&c->seen) == seen) {
            if (clock_ns() > end) {
                return (void *)1;
            }
        }
    }
    return NULL;
}

TR_TEST(net_loop_wake_each, "/net/loop/wake_each")
{
    pong_case_t c = {.sent = 0};
    tr_err_t err;
    pthread_t thread;
    void *failed;
    TR_CHECK_OK(tr_loop_new(&c.loop, &err), &err);
    tr_loop_on_wake(c.loop, pong, &c);
    TR_CHECK(pthread_create(&thread, NULL, ping_main, &c) == 0);
    uint64_t end = clock_ns() + 25000 * MS;
    while (atomic_load(&c.seen) < 3000 && clock_ns() < end) {
        tr_loop_run_once(c.loop, 5000 * MS);
    }
    TR_CHECK(pthread_join(thread, &failed) == 0);
    TR_CHECK(failed == NULL);
    TR_CHECK(atomic_load(&c.seen) >= 3000);
    tr_loop_free(c.loop);
}

TR_TEST(net_wakefd, "/net/wakefd")
{
    for (int force_pipe = 0; force_pipe < 2; force_pipe++) {
        tr_wakefd_t wake;
        tr_err_t err;
        uint64_t value;
        TR_CHECK_OK(tr_wakefd_open(&wake, force_pipe != 0, &err), &err);
        TR_CHECK(force_pipe == 0 || !tr_wakefd_is_event(&wake));
        TR_CHECK(read(wake.read_fd, &value, sizeof(value)) < 0 && errno == EAGAIN);
        for (int i = 0; i < 20000; i++) { /* more than a pipe holds */
            tr_wakefd_signal(&wake);
        }
        tr_wakefd_reset(&wake);
        TR_CHECK(read(wake.read_fd, &value, sizeof(value)) < 0 && errno == EAGAIN);
        tr_wakefd_signal(&wake);
        TR_CHECK(read(wake.read_fd, &value, sizeof(value)) == sizeof(value));
        tr_wakefd_close(&wake);
        tr_wakefd_close(&wake);
    }
}

/* A signal that interrupts the kernel's wait: the turn ends within max_wait. */
static void
on_alarm(int number)
{
    TR_UNUSED(number);
}

TR_TEST(net_loop_signal, "/net/loop/signal")
{
    tr_loop_t *loop;
    tr_err_t err;
    struct sigaction action, old;
    struct itimerval soon = {{0, 0}, {0, 10000}};
    TR_CHECK_OK(tr_loop_new(&loop, &err), &err);
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_alarm;
    TR_CHECK(sigaction(SIGALRM, &action, &old) == 0);
    TR_CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    uint64_t before = clock_ns();
    tr_loop_run_once(loop, 50 * MS);
    TR_CHECK(clock_ns() - before < 1000 * MS);
    TR_CHECK(sigaction(SIGALRM, &old, NULL) == 0);
    tr_loop_free(loop);
}

/* ----------------------------------------------------------------------------------------------------- deferred calls */

typedef struct defer_case {
    tr_loop_t *loop;
    tr_defer_t a, b, again, freeing;
    char text[64];
    size_t len;
    int left;
} defer_case_t;

static void
defer_a(void *arg)
{
    defer_case_t *c = arg;
    c->text[c->len++] = 'a';
    tr_loop_defer(c->loop, &c->b);
}

static void
defer_b(void *arg)
{
    defer_case_t *c = arg;
    c->text[c->len++] = 'b';
}

static void
defer_again(void *arg)
{
    defer_case_t *c = arg;
    if (c->left-- > 0) {
        tr_loop_defer(c->loop, &c->again);
    }
}

static void
defer_free(void *arg)
{
    tr_free(arg);
}

TR_TEST_OOM(net_loop_defer, "/net/loop/defer")
{
    tr_err_t err;
    defer_case_t *c = tr_calloc(1, sizeof(*c));
    if (c == NULL) {
        return;
    }
    tr_code_t code = tr_loop_new(&c->loop, &err);
    if (code != TR_OK) {
        TR_CHECK_INT(code, TR_ERR_NOMEM);
        tr_free(c);
        return;
    }
    c->a = (tr_defer_t){{NULL, NULL}, defer_a, c};
    c->b = (tr_defer_t){{NULL, NULL}, defer_b, c};
    c->again = (tr_defer_t){{NULL, NULL}, defer_again, c};
    c->freeing = (tr_defer_t){{NULL, NULL}, defer_free, c};
    tr_loop_defer(c->loop, &c->a);
    tr_loop_defer(c->loop, &c->a); /* once */
    tr_loop_run_once(c->loop, 0);
    TR_CHECK_SLICE(tr_slice(c->text, c->len), "ab");
    /* One that always defers again does not hold the turn, and the loop does not sleep on it. */
    c->left = 1000;
    tr_loop_defer(c->loop, &c->again);
    tr_loop_run_once(c->loop, 0);
    TR_CHECK(c->left > 900);
    for (int i = 0; i < 200; i++) {
        tr_loop_run_once(c->loop, i < 20 ? UINT64_MAX : 0);
    }
    TR_CHECK(c->left < 0);
    /* What is left at the end runs with the loop's own end. */
    tr_loop_t *loop = c->loop;
    tr_loop_defer(loop, &c->freeing);
    tr_loop_free(loop);
}

/* ------------------------------------------------------------------------------------------------------------ watches */

typedef struct watch_case {
    tr_watch_t *watch;
    int fd;
    int reads, writes;
    bool free_inside;
} watch_case_t;

static void
on_watch(void *arg, int events)
{
    watch_case_t *c = arg;
    char byte;
    if ((events & TR_WATCH_READ) != 0) {
        c->reads++;
        (void)!read(c->fd, &byte, 1);
    }
    if ((events & TR_WATCH_WRITE) != 0) {
        c->writes++;
    }
    if (c->free_inside) {
        tr_watch_free(c->watch);
        c->watch = NULL;
    }
}

TR_TEST_OOM(net_loop_watch, "/net/loop/watch")
{
    tr_loop_t *loop;
    tr_err_t err;
    int fds[2];
    watch_case_t c = {.watch = NULL};
    if (tr_loop_new(&loop, &err) != TR_OK) {
        TR_CHECK_INT(err.code, TR_ERR_NOMEM);
        return;
    }
    TR_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    c.fd = fds[0];
    tr_code_t code = tr_watch_new(&c.watch, loop, fds[0], on_watch, &c, &err);
    if (code != TR_OK) {
        TR_CHECK_INT(code, TR_ERR_NOMEM);
        goto done;
    }
    TR_CHECK(write(fds[1], "xyz", 3) == 3);
    tr_loop_run_once(loop, 0);
    TR_CHECK_INT(c.reads, 0); /* nothing is awaited yet */
    TR_CHECK_INT(tr_watch_set(c.watch, TR_WATCH_READ), TR_OK);
    TR_CHECK_INT(tr_watch_set(c.watch, TR_WATCH_READ), TR_OK);
    tr_loop_run_once(loop, 0);
    tr_loop_run_once(loop, UINT64_MAX); /* level triggered: a byte is left */
    TR_CHECK_INT(c.reads, 2);
    TR_CHECK_INT(c.writes, 0);
    TR_CHECK_INT(tr_watch_set(c.watch, TR_WATCH_READ | TR_WATCH_WRITE), TR_OK);
    tr_loop_run_once(loop, 0);
    TR_CHECK_INT(c.reads, 3);
    TR_CHECK_INT(c.writes, 1);
    TR_CHECK(write(fds[1], "x", 1) == 1);
    c.free_inside = true; /* both are due: the first callback frees the watch */
    tr_loop_run_once(loop, 0);
    TR_CHECK_INT(c.reads + c.writes, 5);
    tr_loop_run_once(loop, 0);
    TR_CHECK_INT(c.reads + c.writes, 5);
done:
    tr_watch_free(c.watch);
    (void)close(fds[0]);
    (void)close(fds[1]);
    tr_loop_free(loop);
}

/* A forked child drops what it inherited; the parent's loop does not notice. */
TR_TEST(net_loop_fork, "/net/loop/fork")
{
    enum { NUM = 100 };
    static int fds[NUM][2];
    static watch_case_t cases[NUM];
    tr_loop_t *loop;
    tr_err_t err;
    TR_CHECK_OK(tr_loop_new(&loop, &err), &err);
    for (size_t i = 0; i < NUM; i++) {
        TR_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds[i]) == 0);
        cases[i] = (watch_case_t){.fd = fds[i][0]};
        TR_CHECK_OK(tr_watch_new(&cases[i].watch, loop, fds[i][0], on_watch, &cases[i], &err), &err);
        TR_CHECK_INT(tr_watch_set(cases[i].watch, TR_WATCH_READ), TR_OK);
    }
    /* Holes in the table of descriptors, and one slot used again. */
    tr_watch_free(cases[3].watch);
    tr_watch_free(cases[70].watch);
    cases[70].watch = NULL;
    TR_CHECK_OK(tr_watch_new(&cases[3].watch, loop, fds[3][0], on_watch, &cases[3], &err), &err);
    TR_CHECK_INT(tr_watch_set(cases[3].watch, TR_WATCH_READ), TR_OK);
    TR_CHECK(!tr_loop_is_inherited(loop));
    pid_t pid = fork();
    TR_CHECK(pid >= 0);
    if (pid == 0) {
        int wrong = tr_loop_is_inherited(loop) ? 0 : 1;
        tr_loop_free(loop);
        for (size_t i = 0; i < NUM; i++) {
            bool open = write(fds[i][0], "x", 1) == 1 || errno != EBADF;
            wrong += open != (i == 70); /* unwatched: not ours to close */
        }
        _exit(wrong);
    }
    int status;
    TR_CHECK(waitpid(pid, &status, 0) == pid);
    TR_CHECK(WIFEXITED(status));
    TR_CHECK_INT(WEXITSTATUS(status), 0);
    for (size_t i = 0; i < NUM; i++) {
        TR_CHECK(write(fds[i][1], "x", 1) == 1);
    }
    for (int turn = 0; turn < 10; turn++) {
        tr_loop_run_once(loop, 0);
    }
    for (size_t i = 0; i < NUM; i++) {
        TR_CHECK_INT(cases[i].reads, i == 70 ? 0 : 1);
        tr_watch_free(cases[i].watch);
        (void)close(fds[i][0]);
        (void)close(fds[i][1]);
    }
    tr_loop_free(loop);
}

/* --------------------------------------------------------------------------------------------------------- worker pool */

typedef struct work {
    tr_job_t job;
    struct work_case *c;
} work_t;

typedef struct work_case {
    tr_loop_t *loop;
    tr_workers_t *workers;
    atomic_int ran;
    atomic_int dropped;
    int done;
    bool free_in_done;
    pthread_mutex_t gate; /* held: jobs wait */
} work_case_t;

static void
work_run(tr_job_t *job)
{
    work_case_t *c = ((work_t *)job)->c;
    (void)pthread_mutex_lock(&c->gate);
    (void)pthread_mutex_unlock(&c->gate);
    atomic_fetch_add(&c->ran, 1);
}

static void
work_done(tr_job_t *job)
{
    work_case_t *c = ((work_t *)job)->c;
    c->done++;
    tr_free(job);
    if (c->free_in_done) {
        tr_workers_free(c->workers);
        c->workers = NULL;
        c->free_in_done = false;
    }
}

static void
work_drop(tr_job_t *job)
{
    atomic_fetch_add(&((work_t *)job)->c->dropped, 1);
    tr_free(job);
}

static work_t *
work_new(work_case_t *c)
{
    work_t *work = tr_calloc(1, sizeof(*work));
    if (work != NULL) {
        work->job = (tr_job_t){{NULL, NULL}, work_run, work_done, work_drop};
        work->c = c;
    }
    return work;
}

/* Threads are detached: their memory is back when the blocks are. */
static bool
wait_blocks(int64_t blocks)
{
    for (int i = 0; i < 5000; i++) {
        if (tr_mem_live() == blocks) {
            return true;
        }
        struct timespec ts = {0, 1000000};
        (void)nanosleep(&ts, NULL);
    }
    return false;
}

TR_TEST(net_workers, "/net/workers/run")
{
    enum { NUM = 40 };
    int64_t blocks = tr_mem_live();
    work_case_t c = {.done = 0, .gate = PTHREAD_MUTEX_INITIALIZER};
    tr_err_t err;
    TR_CHECK_OK(tr_loop_new(&c.loop, &err), &err);
    TR_CHECK_OK(tr_workers_new(&c.workers, c.loop, 4, 50 * MS, &err), &err);
    TR_CHECK_INT(tr_workers_num_threads(c.workers), 0);
    (void)pthread_mutex_lock(&c.gate);
    work_t *last = NULL;
    for (int i = 0; i < NUM; i++) {
        last = work_new(&c);
        TR_CHECK_OK(tr_workers_submit(c.workers, &last->job, &err), &err);
    }
    TR_CHECK(tr_workers_num_threads(c.workers) <= 4);
    TR_CHECK(tr_workers_cancel(c.workers, &last->job)); /* not begun: four threads wait at the gate */
    TR_CHECK(!tr_workers_cancel(c.workers, &last->job));
    tr_free(last);
    (void)pthread_mutex_unlock(&c.gate);
    uint64_t end = clock_ns() + 5000 * MS;
    while (c.done < NUM - 1 && clock_ns() < end) {
        tr_loop_run_once(c.loop, 1000 * MS);
    }
    TR_CHECK_INT(c.done, NUM - 1);
    TR_CHECK_INT(atomic_load(&c.ran), NUM - 1);
    /* Idle threads leave. */
    while (tr_workers_num_threads(c.workers) > 0 && clock_ns() < end) {
        struct timespec ts = {0, 5000000};
        (void)nanosleep(&ts, NULL);
    }
    TR_CHECK_INT(tr_workers_num_threads(c.workers), 0);
    tr_workers_free(c.workers);
    tr_loop_free(c.loop);
    TR_CHECK(wait_blocks(blocks));
}

TR_TEST(net_workers_stuck, "/net/workers/free_while_stuck")
{
    int64_t blocks = tr_mem_live();
    static work_case_t c; /* outlives the thread */
    tr_err_t err;
    memset(&c, 0, sizeof(c));
    TR_CHECK(pthread_mutex_init(&c.gate, NULL) == 0);
    TR_CHECK_OK(tr_loop_new(&c.loop, &err), &err);
    TR_CHECK_OK(tr_workers_new(&c.workers, c.loop, 2, 10000 * MS, &err), &err);
    (void)pthread_mutex_lock(&c.gate);
    for (int i = 0; i < 5; i++) {
        TR_CHECK_OK(tr_workers_submit(c.workers, &work_new(&c)->job, &err), &err);
    }
    tr_loop_run_once(c.loop, 0);
    uint64_t before = clock_ns();
    tr_workers_free(c.workers); /* returns although two threads are stuck */
    tr_loop_free(c.loop);
    TR_CHECK(clock_ns() - before < 1000 * MS);
    TR_CHECK(atomic_load(&c.dropped) >= 3);
    TR_CHECK_INT(c.done, 0);
    (void)pthread_mutex_unlock(&c.gate);
    TR_CHECK(wait_blocks(blocks));
    TR_CHECK_INT(atomic_load(&c.dropped), 5);
}

TR_TEST(net_workers_free_in_done, "/net/workers/free_in_done")
{
    int64_t blocks = tr_mem_live();
    static work_case_t c;
    tr_err_t err;
    memset(&c, 0, sizeof(c));
    TR_CHECK(pthread_mutex_init(&c.gate, NULL) == 0);
    c.free_in_done = true;
    TR_CHECK_OK(tr_loop_new(&c.loop, &err), &err);
    TR_CHECK_OK(tr_workers_new(&c.workers, c.loop, 2, 10000 * MS, &err), &err);
    for (int i = 0; i < 5; i++) {
        TR_CHECK_OK(tr_workers_submit(c.workers, &work_new(&c)->job, &err), &err);
    }
    uint64_t end = clock_ns() + 5000 * MS;
    while (c.workers != NULL && clock_ns() < end) {
        tr_loop_run_once(c.loop, 1000 * MS);
    }
    tr_loop_free(c.loop);
    TR_CHECK(wait_blocks(blocks));
    TR_CHECK_INT(c.done, 1);
    TR_CHECK_INT(atomic_load(&c.dropped), 4);
}
