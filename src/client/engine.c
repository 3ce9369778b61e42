#include "client/engine.h"

#include <signal.h>
#include <time.h>

#include "client/file.h"
#include "client/flow.h"
#include "client/hconn.h"
#include "client/op.h"
#include "client/pool.h"
#include "client/session.h"
#include "client/sink.h"
#include "core/cond.h"
#include "crypto/crypto.h"

#define NS_PER_MS UINT64_C(1000000)
/* How long nobody may drive a blocking op before the I/O thread does: a caller that comes back from looking at signals needs less. */
#define GRACE_NS (2 * NS_PER_MS)
/* Between two looks at idle connections: short after traffic (a GOAWAY, a PING, a FIN that came behind an answer), then rarer. */
#define POLL_MIN_NS (64 * NS_PER_MS)
#define POLL_MAX_NS (1000 * NS_PER_MS)
/* How long a thread that wrote a file waits for the next. */
#define WRITER_IDLE_NS (1000 * NS_PER_MS)
/* A wait inside tr_op_wait is cut here so that the caller can look at signals. */
#define WAIT_MAX_NS (50 * NS_PER_MS)

static tr_engine_t the_engine = {.lock = PTHREAD_MUTEX_INITIALIZER, .state = TR_ENGINE_STOPPED};
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void before_fork(void);
static void after_fork_parent(void);
static void after_fork_child(void);

static void
lock(tr_engine_t *e)
{
    (void)pthread_mutex_lock(&e->lock);
}

static void
unlock(tr_engine_t *e)
{
    (void)pthread_mutex_unlock(&e->lock);
}

/* A bounded wait on a condition. */
static void
wait_cond(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t now_ns, uint64_t until_ns)
{
    if (until_ns > now_ns) {
        (void)tr_cond_wait(cond, mutex, until_ns);
    }
}

static void
on_settle(void *arg)
{
    tr_engine__settle(arg);
}

static void
init_lists(tr_engine_t *e)
{
    e->settle = (tr_defer_t){{NULL, NULL}, on_settle, e};
    tr_list_init(&e->waiters);
    tr_list_init(&e->sessions);
    tr_list_init(&e->ready);
    tr_list_init(&e->origins);
    tr_list_init(&e->hconns);
    tr_list_init(&e->sinks);
    e->queue = (tr_queue_t){NULL, NULL};
}

static void
init_once(void)
{
    tr_engine_t *e = &the_engine;
    tr_trace_init();
    (void)tr_cond_init(&e->io_cond);
    (void)tr_cond_init(&e->drive_cond);
    init_lists(e);
    (void)pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

tr_engine_t *
tr_engine__self(void)
{
    return &the_engine;
}

/* ---------------------------------------------------------------------------------------------------------- the loop */

static void
flush_sinks(tr_engine_t *e)
{
    tr_link_t *link;
    while ((link = tr_list_shift(&e->sinks)) != NULL) {
        tr_sink_t *sink = tr_sink__from_link(link);
        tr_sink__flush(sink);
        tr_sink__unref(sink);
    }
}

void
tr_engine__settle_later(tr_engine_t *e)
{
    tr_loop_defer(e->loop, &e->settle);
}

bool
tr_engine__hold(tr_engine_t *e)
{
    bool held = e->settling;
    e->settling = true;
    return held;
}

void
tr_engine__release(tr_engine_t *e, bool held)
{
    e->settling = held;
    tr_engine__settle(e);
}

void
tr_engine__settle(tr_engine_t *e)
{
    if (e->settling) {
        return;
    }
    e->settling = true;
    bool more = true;
    while (more) {
        tr_link_t *link;
        more = false;
        while ((link = tr_list_shift(&e->ready)) != NULL) {
            tr_op__start(TR_CONTAINER_OF(link, tr_op_t, link));
        }
        while ((link = tr_list_shift(&e->origins)) != NULL) {
            tr_origin__dispatch(TR_CONTAINER_OF(link, tr_origin_t, dirty_link));
            more = true;
        }
        if (!more && tr_list_empty(&e->ready)) {
            while ((link = tr_list_shift(&e->hconns)) != NULL) {
                tr_hconn__flush(TR_CONTAINER_OF(link, tr_hconn_t, dirty_link));
            }
        }
        more = !tr_list_empty(&e->ready) || !tr_list_empty(&e->origins) || !tr_list_empty(&e->hconns);
    }
    e->settling = false;
}

static void
run_queue(tr_engine_t *e)
{
    lock(e);
    tr_msg_t *msg = tr_queue_detach(&e->queue);
    atomic_store_explicit(&e->filled, false, memory_order_relaxed);
    e->urgent = false;
    unlock(e);
    if (msg == NULL) {
        return;
    }
    /* One dispatch and one flush for the whole batch; and of many ops that are cancelled together none starts because another made room. */
    bool held = tr_engine__hold(e);
    while (msg != NULL) {
        tr_msg_t *next = msg->next; /* its object may go with it */
        msg->fn(msg);
        msg = next;
    }
    tr_engine__release(e, held);
}

static void
on_wake(void *arg)
{
    run_queue(arg);
}

/* One turn of the loop, and the completions that it brought. */
static void
run_turn(tr_engine_t *e, uint64_t wait_ns)
{
    (void)tr_loop_update(e->loop); /* ops begin with the present, however long nobody drove */
    if (atomic_load_explicit(&e->filled, memory_order_acquire)) {
        run_queue(e);
    }
    /* A connection that fails at once says so here; after the look at num_ops below the loop would sleep on it. */
    tr_loop_run_deferred(e->loop);
    if (!tr_list_empty(&e->sinks)) {
        flush_sinks(e);
    }
    if (atomic_load(&e->num_ops) == 0 || (e->leading_op != NULL && tr_op__has_news(e->leading_op))) {
        wait_ns = 0; /* what the queue brought is over already */
    }
    tr_loop_run_once(e->loop, wait_ns);
    flush_sinks(e);
    atomic_fetch_add_explicit(&e->turns, 1, memory_order_relaxed);
}

void
tr_engine__completed(tr_engine_t *e, tr_op_t *op)
{
    tr_sink_t *sink = op->sink;
    atomic_fetch_add_explicit(&e->stats.ops_completed, 1, memory_order_relaxed);
    if (sink != NULL) {
        /* The reference of the op on its sink goes with the entry in e->sinks, or now. */
        op->sink = NULL;
        atomic_store_explicit(&op->done, true, memory_order_release);
        if (tr_sink__add(sink, op)) {
            tr_list_push(&e->sinks, tr_sink__link(sink));
        } else {
            tr_sink__unref(sink);
        }
        atomic_fetch_sub(&e->num_async, 1);
        atomic_fetch_sub(&e->num_ops, 1);
        return;
    }
    atomic_fetch_sub(&e->num_ops, 1);
    if (op == e->leading_op) {
        atomic_store_explicit(&op->done, true, memory_order_release);
    } else {
        lock(e);
        atomic_store_explicit(&op->done, true, memory_order_release);
        if (op->waiter != NULL) {
            (void)pthread_cond_signal(&op->waiter->cond);
        }
        unlock(e);
    }
    tr_op_unref(op);
}

void
tr_engine__wake_caller(tr_engine_t *e, tr_op_t *op)
{
    if (op == e->leading_op) {
        atomic_store_explicit(&op->flow->awake, true, memory_order_release);
        return;
    }
    lock(e);
    atomic_store_explicit(&op->flow->awake, true, memory_order_release);
    if (op->waiter != NULL) {
        (void)pthread_cond_signal(&op->waiter->cond);
    }
    unlock(e);
}

tr_code_t
tr_engine__writers(tr_workers_t **out, tr_engine_t *e, tr_err_t *err)
{
    tr_code_t code = e->writers != NULL ? TR_OK : tr_workers_new(&e->writers, e->loop, TR_FILE_MAX_THREADS, WRITER_IDLE_NS, err);
    *out = e->writers;
    return code;
}

/* ------------------------------------------------------------------------------------------------------------ posting */

bool
tr_engine__post(tr_engine_t *e, tr_msg_t *msg, bool wait)
{
    lock(e);
    if (e->state != TR_ENGINE_RUNNING) {
        unlock(e);
        return false;
    }
    bool was_empty = e->queue.head == NULL;
    tr_queue_push(&e->queue, msg);
    atomic_store_explicit(&e->filled, true, memory_order_release);
    bool wake = e->driving && was_empty;
    bool start = !e->driving && !e->urgent && (!wait || e->io_sleeps);
    e->urgent = e->urgent || !wait;
    if (wake) {
        atomic_fetch_add(&e->posters, 1);
    }
    if (start && wait) {
        e->left_ns = tr_cond_now(); /* the caller is about to drive: the thread shall only watch */
    }
    unlock(e);
    if (wake) {
        tr_loop_wake(e->loop);
        atomic_fetch_sub(&e->posters, 1);
    }
    if (start) {
        (void)pthread_cond_signal(&e->io_cond);
    }
    return true;
}

/* -------------------------------------------------------------------------------------------------------- the drive */

/* Under the lock. Gives the drive up, to whoever needs it next. */
static void
leave_drive(tr_engine_t *e)
{
    e->driving = false;
    e->io_drives = false;
    e->leading_op = NULL;
    if (atomic_load_explicit(&e->yield, memory_order_relaxed)) {
        (void)pthread_cond_broadcast(&e->drive_cond);
        return;
    }
    if (atomic_load(&e->num_async) == 0) {
        for (tr_link_t *link = tr_list_first(&e->waiters); link != NULL; link = tr_list_next(&e->waiters, link)) {
            tr_waiter_t *waiter = TR_CONTAINER_OF(link, tr_waiter_t, link);
            if (!tr_op__has_news(waiter->op)) {
                e->driving = true;
                waiter->leads = true;
                (void)pthread_cond_signal(&waiter->cond);
                return;
            }
        }
    }
    if (e->urgent || atomic_load(&e->num_ops) > 0) {
        e->left_ns = tr_cond_now();
        (void)pthread_cond_signal(&e->io_cond);
    }
}

bool
tr_engine__do(tr_engine_t *e, tr_msg_t *msg)
{
    lock(e);
    bool free = e->state == TR_ENGINE_RUNNING && !e->driving && tr_list_empty(&e->waiters) &&
                !atomic_load_explicit(&e->yield, memory_order_relaxed) && atomic_load(&e->num_async) == 0;
    if (!free) {
        unlock(e);
        return tr_engine__post(e, msg, false);
    }
    tr_queue_push(&e->queue, msg);
    atomic_store_explicit(&e->filled, true, memory_order_release);
    e->driving = true;
    e->driver = pthread_self();
    unlock(e);
    run_turn(e, 0);
    lock(e);
    leave_drive(e);
    unlock(e);
    return true;
}

/* Under the lock. They look for themselves at what changed. */
static void
signal_waiters(tr_engine_t *e)
{
    for (tr_link_t *link = tr_list_first(&e->waiters); link != NULL; link = tr_list_next(&e->waiters, link)) {
        (void)pthread_cond_signal(&TR_CONTAINER_OF(link, tr_waiter_t, link)->cond);
    }
}

static bool
must_leave(const tr_engine_t *e)
{
    return atomic_load_explicit(&e->yield, memory_order_relaxed);
}

/* The I/O thread's turns, until nothing needs it. Called and left under the lock. */
static void
io_drive(tr_engine_t *e, bool look_only)
{
    e->driving = e->io_drives = true;
    e->driver = pthread_self();
    unlock(e);
    if (look_only) {
        run_turn(e, 0);
    }
    while (!must_leave(e)) {
        bool async = atomic_load(&e->num_async) > 0;
        if (!async) {
            bool displaced = atomic_exchange(&e->displace, false);
            if (displaced || atomic_load(&e->num_ops) == 0) {
                break;
            }
        }
        run_turn(e, UINT64_MAX);
    }
    /* Messages that came for no op: run them before the drive is left. */
    if (!must_leave(e) && atomic_load_explicit(&e->filled, memory_order_acquire)) {
        run_turn(e, 0);
    }
    lock(e);
    leave_drive(e);
}

static void *
io_main(void *arg)
{
    tr_engine_t *e = arg;
    uint64_t poll_ns = POLL_MIN_NS;
    uint64_t seen_turns = 0;
    lock(e);
    uint64_t generation = e->generation;
    uint64_t poll_at = tr_cond_now() + poll_ns;
    while (e->state == TR_ENGINE_RUNNING && e->generation == generation) {
        uint64_t now = tr_cond_now();
        if (must_leave(e)) {
            wait_cond(&e->io_cond, &e->lock, now, now + NS_PER_MS); /* a fork waits for the drive and the lock */
            continue;
        }
        bool must_drive = e->urgent || atomic_load(&e->num_async) > 0;
        uint64_t turns = atomic_load_explicit(&e->turns, memory_order_relaxed);
        if (turns != seen_turns) {
            /* Somebody was active since the last look: that one saw everything up to then. */
            seen_turns = turns;
            poll_ns = POLL_MIN_NS;
            poll_at = now + poll_ns;
        }
        uint64_t until = UINT64_MAX;
        if (!e->driving) {
            if (must_drive) {
                io_drive(e, false);
                continue;
            }
            if (atomic_load(&e->num_ops) > 0) {
                if (now >= e->left_ns + GRACE_NS) {
                    io_drive(e, false);
                    continue;
                }
                until = e->left_ns + GRACE_NS;
            }
        }
        bool has_conns = atomic_load_explicit(&e->stats.conns_open, memory_order_relaxed) > 0;
        if (has_conns && !e->driving && now >= poll_at) {
            io_drive(e, true);
            seen_turns = atomic_load_explicit(&e->turns, memory_order_relaxed);
            poll_ns = TR_MIN(poll_ns * 2, POLL_MAX_NS);
            poll_at = tr_cond_now() + poll_ns;
            continue;
        }
        if (has_conns || e->driving) {
            until = TR_MIN(until, TR_MAX(poll_at, now + NS_PER_MS));
        }
        e->io_sleeps = until == UINT64_MAX;
        wait_cond(&e->io_cond, &e->lock, now, until);
        e->io_sleeps = false;
    }
    unlock(e);
    return NULL;
}

/* The caller's turns until its op is done, its time is over, or the drive is asked back. */
static void
caller_drive(tr_engine_t *e, tr_op_t *op, uint64_t deadline_ns)
{
    /* What happened to the connections since somebody looked last: a request must not go out on one that was closed meanwhile. */
    tr_loop_run_once(e->loop, 0);
    uint64_t now = tr_loop_now(e->loop);
    while (!tr_op__has_news(op) && now < deadline_ns && !must_leave(e)) {
        run_turn(e, deadline_ns - now);
        now = tr_loop_now(e->loop);
    }
    if (!tr_list_empty(&e->sinks)) {
        flush_sinks(e);
    }
}

/* Waits without the drive until the op is done, the drive is given to us (then true) or free, or the time is over. Under the lock. */
static bool
follow(tr_engine_t *e, tr_op_t *op, uint64_t deadline_ns)
{
    tr_waiter_t waiter = {.op = op};
    (void)tr_cond_init(&waiter.cond);
    tr_list_push(&e->waiters, &waiter.link);
    op->waiter = &waiter;
    if (e->io_drives && atomic_load(&e->num_async) == 0) {
        atomic_store(&e->displace, true);
        tr_loop_wake(e->loop); /* under the lock: the loop cannot be freed */
    }
    uint64_t now = tr_cond_now();
    while (!waiter.leads && !tr_op__has_news(op) && now < deadline_ns && e->driving) {
        wait_cond(&waiter.cond, &e->lock, now, deadline_ns);
        now = tr_cond_now();
    }
    op->waiter = NULL;
    tr_list_remove(&waiter.link);
    (void)pthread_cond_destroy(&waiter.cond);
    return waiter.leads;
}

/* What a wait ended with; an event is told once. */
static tr_code_t
waited(tr_op_t *op)
{
    bool news = tr_op_is_done(op);
    if (op->flow != NULL) {
        news = atomic_exchange_explicit(&op->flow->awake, false, memory_order_acq_rel) || news;
    }
    return news ? TR_OK : TR_AGAIN;
}

tr_code_t
tr_op_wait(tr_op_t *op, uint64_t max_ns)
{
    tr_engine_t *e = &the_engine;
    if (tr_op__has_news(op)) {
        return waited(op);
    }
    uint64_t now = tr_cond_now();
    uint64_t deadline = now + TR_MIN(max_ns, WAIT_MAX_NS);
    bool leads = false;
    lock(e);
    while (!tr_op__has_news(op) && now < deadline) {
        if (!leads && e->driving) {
            leads = follow(e, op, deadline);
        } else if (e->state != TR_ENGINE_RUNNING || must_leave(e)) {
            /* Stop and fork are about to take or return the drive; both end soon. */
            if (leads) {
                leads = false;
                leave_drive(e);
            }
            wait_cond(&e->drive_cond, &e->lock, now, TR_MIN(deadline, now + NS_PER_MS));
        } else {
            e->driving = true;
            e->driver = pthread_self();
            e->leading_op = op;
            leads = false;
            unlock(e);
            caller_drive(e, op, deadline);
            lock(e);
            leave_drive(e);
        }
        now = tr_cond_now();
    }
    if (leads) {
        leave_drive(e);
    }
    unlock(e);
    return waited(op);
}

/* ----------------------------------------------------------------------------------------------------- start and stop */

/* Under the lock, with the drive free. */
static tr_code_t
start_locked(tr_engine_t *e, tr_err_t *err)
{
    sigset_t all, before;
    tr_code_t code = tr_crypto_init(err);
    if (code != TR_OK) {
        return code;
    }
    code = tr_loop_new(&e->loop, err);
    if (code != TR_OK) {
        return code;
    }
    code = tr_dns_new(&e->dns, e->loop, err);
    if (code != TR_OK) {
        goto fail;
    }
    tr_loop_on_wake(e->loop, on_wake, e);
    tr_buf_init(&e->scratch);
    e->generation++;
    e->urgent = false;
    e->state = TR_ENGINE_RUNNING;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&e->thread, NULL, io_main, e);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        e->state = TR_ENGINE_STOPPED;
        code = tr_err_set(err, TR_ERR_SYSTEM, failed, "engine.start", "The I/O thread cannot be started.");
        goto fail;
    }
    e->has_thread = true;
    tr_op__recycle(true);
    return TR_OK;
fail:
    tr_dns_free(e->dns);
    e->dns = NULL;
    tr_loop_free(e->loop);
    e->loop = NULL;
    return code;
}

tr_code_t
tr_engine_start(tr_err_t *err)
{
    tr_engine_t *e = &the_engine;
    tr_code_t code = TR_OK;
    (void)pthread_once(&once, init_once);
    lock(e);
    while (e->state == TR_ENGINE_STOPPING) {
        uint64_t now = tr_cond_now();
        wait_cond(&e->drive_cond, &e->lock, now, now + NS_PER_MS);
    }
    if (e->state == TR_ENGINE_STOPPED) {
        code = e->forever ? tr_err_set(err, TR_ERR_CLIENT_CLOSED, 0, "engine.start", "The process is ending.") : start_locked(e, err);
    }
    unlock(e);
    return code;
}

/* On the loop: completes every op and closes every connection. */
static void
shut_down(tr_engine_t *e)
{
    tr_err_t err = TR_ERR_INIT;
    tr_link_t *link;
    (void)tr_err_set(&err, TR_ERR_CANCELLED, 0, "engine.stop", NULL);
    e->stopping = true;
    run_queue(e); /* ops that start now are cancelled at once */
    while ((link = tr_list_first(&e->sessions)) != NULL) {
        tr_session__stop(TR_CONTAINER_OF(link, tr_session_t, link), &err);
    }
    tr_engine__settle(e);
    flush_sinks(e);
}

void
tr_engine_stop(bool forever)
{
    tr_engine_t *e = &the_engine;
    (void)pthread_once(&once, init_once);
    lock(e);
    e->forever = e->forever || forever;
    if (e->state != TR_ENGINE_RUNNING) {
        unlock(e);
        return;
    }
    e->state = TR_ENGINE_STOPPING;
    atomic_store(&e->yield, true);
    while (e->driving) {
        uint64_t now = tr_cond_now();
        tr_loop_wake(e->loop);
        wait_cond(&e->drive_cond, &e->lock, now, now + NS_PER_MS);
    }
    e->driving = true;
    e->driver = pthread_self();
    unlock(e);
    while (atomic_load(&e->posters) > 0) {
        struct timespec ts = {0, 1000};
        (void)nanosleep(&ts, NULL);
    }
    shut_down(e);
    /* Connections free themselves at the end of a turn. */
    tr_loop_run_once(e->loop, 0);
    e->stopping = false;
    tr_trust__stop();
    tr_workers_free(e->writers);
    e->writers = NULL;
    tr_dns_free(e->dns);
    tr_loop_free(e->loop);
    e->dns = NULL;
    e->loop = NULL;
    tr_buf_cleanup(&e->scratch);
    tr_op__recycle(false);
    (void)pthread_cond_broadcast(&e->io_cond);
    (void)pthread_join(e->thread, NULL);
    lock(e);
    e->has_thread = false;
    atomic_store(&e->yield, false);
    e->driving = false;
    e->state = TR_ENGINE_STOPPED;
    signal_waiters(e);
    (void)pthread_cond_broadcast(&e->drive_cond);
    unlock(e);
}

bool
tr_engine__outlives_pools(tr_engine_t *e)
{
    lock(e);
    bool here = e->driving && pthread_equal(e->driver, pthread_self());
    while (!here && e->state == TR_ENGINE_STOPPING) {
        uint64_t now = tr_cond_now();
        wait_cond(&e->drive_cond, &e->lock, now, now + NS_PER_MS);
    }
    unlock(e);
    return !here;
}

/* -------------------------------------------------------------------------------------------------------------- fork */

/* The loop is stopped between two turns, so that the child finds every structure whole, and no lock of ours held. */
static void
before_fork(void)
{
    tr_engine_t *e = &the_engine;
    lock(e);
    /* A fork from a signal handler inside the loop has nothing to wait for. */
    if (!(e->driving && pthread_equal(e->driver, pthread_self()))) {
        atomic_store(&e->yield, true);
        while (e->driving && e->loop != NULL) {
            uint64_t now = tr_cond_now();
            tr_loop_wake(e->loop);
            wait_cond(&e->drive_cond, &e->lock, now, now + NS_PER_MS);
        }
        atomic_store(&e->yield, e->state == TR_ENGINE_STOPPING);
    }
    /* Only now: the loop takes them, too, and would never come to its turn's end. Nobody who holds one waits for the engine's lock. */
    tr_keylog__before_fork();
    tr_op__before_fork();
    tr_file__before_fork();
}

static void
after_fork_parent(void)
{
    tr_engine_t *e = &the_engine;
    signal_waiters(e);
    (void)pthread_cond_broadcast(&e->drive_cond);
    (void)pthread_cond_signal(&e->io_cond);
    unlock(e);
    tr_file__after_fork(false);
    tr_op__after_fork();
    tr_keylog__after_fork();
}

/* In the child: an op that the parent's engine had, as cancelled. The engine's reference on it is left behind. */
static void
orphan_op(tr_op_t *op)
{
    (void)tr_err_set(&op->error, TR_ERR_CANCELLED, 0, "engine.fork", "The request belongs to the parent process.");
    op->has_error = true;
    op->state = TR_OP_COMPLETED;
    op->waiter = NULL;
    atomic_store(&op->orphaned, true);
    atomic_store(&op->done, true);
}

/* What a child leaves behind stays reachable, so that leak checkers see that it is meant. The table's size is no limit on anything else. */
static void
leave_behind(void *object)
{
    static void *left[64];
    static size_t num;
    if (num < TR_ARRAY_LEN(left)) {
        left[num++] = object;
    }
}

/* The child drops what it inherited: descriptors are closed without a word on the wire, memory of the loop and of what hangs on it stays
 * (it may be in use by no one, but freeing it would touch kernel objects shared with the parent). Sessions keep settings and jar. */
static void
after_fork_child(void)
{
    tr_engine_t *e = &the_engine;
    tr_link_t *link;
    for (tr_msg_t *msg = tr_queue_detach(&e->queue); msg != NULL; msg = msg->next) {
        if (msg->fn == tr_op__submit_msg) {
            orphan_op(TR_CONTAINER_OF(msg, tr_op_t, submit_msg));
        }
    }
    while ((link = tr_list_shift(&e->sessions)) != NULL) {
        tr_session_t *session = TR_CONTAINER_OF(link, tr_session_t, link);
        tr_link_t *op_link;
        while ((op_link = tr_list_shift(&session->ops)) != NULL) {
            orphan_op(TR_CONTAINER_OF(op_link, tr_op_t, session_link));
        }
        leave_behind(session->pool);
        session->pool = NULL;
    }
    if (e->loop != NULL) {
        tr_loop_free(e->loop);
        leave_behind(e->loop);
        leave_behind(e->dns);
        leave_behind(e->writers);
    }
    e->loop = NULL;
    e->dns = NULL;
    e->writers = NULL;
    tr_buf_cleanup(&e->scratch);
    tr_trust__after_fork();
    init_lists(e);
    (void)tr_cond_init(&e->io_cond);
    (void)tr_cond_init(&e->drive_cond);
    e->state = TR_ENGINE_STOPPED;
    e->driving = e->io_drives = e->io_sleeps = e->urgent = e->has_thread = e->settling = e->stopping = false;
    e->leading_op = NULL;
    atomic_store(&e->yield, false);
    atomic_store(&e->displace, false);
    atomic_store(&e->filled, false);
    atomic_store(&e->posters, 0);
    atomic_store(&e->num_async, 0);
    atomic_store(&e->num_ops, 0);
    atomic_store(&e->stats.conns_open, 0);
    (void)pthread_mutex_unlock(&e->lock);
    tr_file__after_fork(true);
    tr_op__after_fork();
    tr_keylog__after_fork();
}

void
tr_engine_stats(tr_engine_stats_t *out)
{
    tr_engine_t *e = &the_engine;
#define TAKE(name) out->name = atomic_load_explicit(&e->stats.name, memory_order_relaxed)
    TAKE(ops_submitted);
    TAKE(ops_completed);
    TAKE(conns_opened);
    TAKE(conns_open);
    TAKE(handshakes);
    TAKE(resumed);
    TAKE(requests_h1);
    TAKE(requests_h2);
#undef TAKE
}
