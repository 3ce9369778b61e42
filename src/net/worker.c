/* The pool's state is shared by the loop's side and the threads, with a count: whoever leaves last frees it. After the loop's side has
 * left (`closed`), threads touch neither the loop nor anything but their job. */
#include "net/worker.h"

#include <pthread.h>
#include <signal.h>

#include "core/cond.h"
#include "core/mem.h"

struct tr_workers {
    pthread_mutex_t lock;
    pthread_cond_t more;   /* jobs came, or closed */
    tr_list_t jobs;        /* lock; tr_job_t not begun */
    tr_list_t finished;    /* lock; tr_job_t whose done is due */
    size_t num_jobs;       /* lock; length of jobs */
    size_t num_threads;    /* lock */
    size_t num_idle;       /* lock; threads in the wait */
    size_t num_refs;       /* lock; threads and the loop's side */
    bool closed;           /* lock */
    tr_loop_t *loop;       /* lent; not used once closed */
    tr_waker_t waker;      /* loop's side only */
    size_t max_threads;    /* constant */
    uint64_t idle_ns;      /* constant */
};

/* Lock held; gives it up. */
static void
unref_and_unlock(tr_workers_t *workers)
{
    bool last = --workers->num_refs == 0;
    (void)pthread_mutex_unlock(&workers->lock);
    if (last) {
        (void)pthread_cond_destroy(&workers->more);
        (void)pthread_mutex_destroy(&workers->lock);
        tr_free(workers);
    }
}

/* Waits for work for idle_ns at most. Lock held. */
static void
wait_idle(tr_workers_t *workers)
{
    uint64_t until = tr_cond_now() + workers->idle_ns;
    workers->num_idle++;
    while (tr_list_empty(&workers->jobs) && !workers->closed) {
        if (!tr_cond_wait(&workers->more, &workers->lock, until)) {
            break;
        }
    }
    workers->num_idle--;
}

static void *
thread_main(void *arg)
{
    tr_workers_t *workers = arg;
    (void)pthread_mutex_lock(&workers->lock);
    for (;;) {
        if (tr_list_empty(&workers->jobs) && !workers->closed) {
            wait_idle(workers);
        }
        tr_link_t *link = tr_list_shift(&workers->jobs);
        if (link == NULL) {
            break; /* closed, or nothing to do for long enough */
        }
        workers->num_jobs--;
        tr_job_t *job = TR_CONTAINER_OF(link, tr_job_t, link);
        (void)pthread_mutex_unlock(&workers->lock);
        job->run(job);
        (void)pthread_mutex_lock(&workers->lock);
        if (workers->closed) {
            (void)pthread_mutex_unlock(&workers->lock);
            job->drop(job);
            (void)pthread_mutex_lock(&workers->lock);
        } else {
            tr_list_push(&workers->finished, &job->link);
            /* Under the lock: the loop's side cannot leave, and the loop cannot go, meanwhile. */
            tr_loop_wake(workers->loop);
        }
    }
    workers->num_threads--;
    unref_and_unlock(workers);
    return NULL;
}

/* On the loop after any wake. */
static void
on_wake(void *arg)
{
    tr_workers_t *workers = arg;
    tr_link_t *link;
    (void)pthread_mutex_lock(&workers->lock);
    workers->num_refs++; /* done may free the pool */
    while ((link = tr_list_shift(&workers->finished)) != NULL) {
        tr_job_t *job = TR_CONTAINER_OF(link, tr_job_t, link);
        (void)pthread_mutex_unlock(&workers->lock);
        job->done(job);
        (void)pthread_mutex_lock(&workers->lock);
    }
    unref_and_unlock(workers);
}

tr_code_t
tr_workers_new(tr_workers_t **out, tr_loop_t *loop, size_t max_threads, uint64_t idle_ns, tr_err_t *err)
{
    static const char where[] = "net.workers_new";
    *out = NULL;
    tr_workers_t *workers = tr_calloc(1, sizeof(*workers));
    if (workers == NULL) {
        return tr_err_nomem(err, where);
    }
    if (pthread_mutex_init(&workers->lock, NULL) != 0) {
        tr_free(workers);
        return tr_err_set(err, TR_ERR_SYSTEM, 0, where, "a mutex cannot be made");
    }
    if (!tr_cond_init(&workers->more)) {
        (void)pthread_mutex_destroy(&workers->lock);
        tr_free(workers);
        return tr_err_set(err, TR_ERR_SYSTEM, 0, where, "a condition variable cannot be made");
    }
    tr_list_init(&workers->jobs);
    tr_list_init(&workers->finished);
    workers->num_refs = 1;
    workers->loop = loop;
    workers->max_threads = max_threads;
    workers->idle_ns = idle_ns;
    workers->waker = (tr_waker_t){{NULL, NULL}, on_wake, workers};
    tr_loop_add_waker(loop, &workers->waker);
    *out = workers;
    return TR_OK;
}

static void
drop_all(tr_list_t *jobs)
{
    tr_link_t *link;
    while ((link = tr_list_shift(jobs)) != NULL) {
        tr_job_t *job = TR_CONTAINER_OF(link, tr_job_t, link);
        job->drop(job);
    }
}

void
tr_workers_free(tr_workers_t *workers)
{
    if (workers == NULL || tr_loop_is_inherited(workers->loop)) {
        return;
    }
    tr_list_t jobs;
    tr_list_init(&jobs);
    tr_loop_remove_waker(workers->loop, &workers->waker);
    (void)pthread_mutex_lock(&workers->lock);
    workers->closed = true;
    workers->num_jobs = 0;
    tr_list_splice(&jobs, &workers->jobs);
    tr_list_splice(&jobs, &workers->finished);
    (void)pthread_cond_broadcast(&workers->more);
    unref_and_unlock(workers);
    drop_all(&jobs);
}

static tr_code_t
start_thread(tr_workers_t *workers)
{
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, old;
    if (pthread_attr_init(&attr) != 0) {
        return TR_ERR_SYSTEM;
    }
    /* The process's signals are for threads that expect them. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int result = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (result == 0) {
        result = pthread_create(&thread, &attr, thread_main, workers);
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    (void)pthread_attr_destroy(&attr);
    return result == 0 ? TR_OK : TR_ERR_SYSTEM;
}

tr_code_t
tr_workers_submit(tr_workers_t *workers, tr_job_t *job, tr_err_t *err)
{
    tr_code_t code = TR_OK;
    (void)pthread_mutex_lock(&workers->lock);
    tr_list_push(&workers->jobs, &job->link);
    workers->num_jobs++;
    bool start = workers->num_jobs > workers->num_idle && workers->num_threads < workers->max_threads;
    if (start) {
        workers->num_threads++; /* counted before it runs: it may end before we look again */
        workers->num_refs++;
    } else {
        (void)pthread_cond_signal(&workers->more);
    }
    (void)pthread_mutex_unlock(&workers->lock);
    if (start && start_thread(workers) != TR_OK) {
        (void)pthread_mutex_lock(&workers->lock);
        workers->num_threads--;
        workers->num_refs--;
        /* With other threads alive the job only waits longer. */
        if (workers->num_threads == 0) {
            tr_list_remove(&job->link);
            workers->num_jobs--;
            code = tr_err_set(err, TR_ERR_SYSTEM, 0, "net.workers_submit", "no thread can be started");
        }
        (void)pthread_mutex_unlock(&workers->lock);
    }
    return code;
}

bool
tr_workers_cancel(tr_workers_t *workers, tr_job_t *job)
{
    bool found = false;
    (void)pthread_mutex_lock(&workers->lock);
    for (tr_link_t *link = tr_list_first(&workers->jobs); link != NULL && !found;
         link = tr_list_next(&workers->jobs, link)) {
        found = link == &job->link;
    }
    if (found) {
        tr_list_remove(&job->link);
        workers->num_jobs--;
    }
    (void)pthread_mutex_unlock(&workers->lock);
    return found;
}

size_t
tr_workers_num_threads(tr_workers_t *workers)
{
    (void)pthread_mutex_lock(&workers->lock);
    size_t num = workers->num_threads;
    (void)pthread_mutex_unlock(&workers->lock);
    return num;
}
