/* worker: a few threads for calls that block (getaddrinfo, reading a trust store). Jobs go in on the loop, come back on the loop. Threads
 * start when there is work and leave after a while without; all signals are blocked in them. Nobody ever waits for one: a thread stuck in
 * a call finishes alone, after the pool is gone. */
#ifndef TR_NET_WORKER_H
#define TR_NET_WORKER_H

#include "net/loop.h"

typedef struct tr_workers tr_workers_t;

/* Embedded in the caller's object, which the pool owns from tr_workers_submit until exactly one of done and drop is called. */
typedef struct tr_job {
    tr_link_t link;                    /* lock: the pool's mutex */
    void (*run)(struct tr_job *job);   /* on a worker: may block, touches the job's object only */
    void (*done)(struct tr_job *job);  /* on the loop, after run: the job is the caller's again */
    void (*drop)(struct tr_job *job);  /* instead of done, when the pool was freed: on any thread; frees the object and touches nothing else */
} tr_job_t;

/* tr_workers_new starts no thread. idle_ns: how long a thread waits for the next job. */
tr_code_t tr_workers_new(tr_workers_t **out, tr_loop_t *loop, size_t max_threads, uint64_t idle_ns, tr_err_t *err);
/* tr_workers_free drops what has not begun now, and what is running when it is over. On the loop. In a forked child it leaves
 * everything as it is: the threads and the state of the lock stayed behind. */
void tr_workers_free(tr_workers_t *workers);
/* tr_workers_submit queues the job. On the loop. SYSTEM when no thread can be started; the job is then still the caller's. */
tr_code_t tr_workers_submit(tr_workers_t *workers, tr_job_t *job, tr_err_t *err);
/* tr_workers_cancel: true: the job had not begun and is the caller's again; false: done will come. On the loop. */
bool tr_workers_cancel(tr_workers_t *workers, tr_job_t *job);
/* Threads alive, for tests. */
size_t tr_workers_num_threads(tr_workers_t *workers);

#endif
