/* engine: the process's one event loop and who runs it. Whoever holds the drive runs the loop: a blocking caller while it waits
 * for its op, else the I/O thread. DESIGN:
 *
 *   - The lock guards queue, drive and waiters; it is never held while the loop runs.
 *   - A blocking caller takes the drive when nobody has it; so one request after another costs no context switch. When its op is done it
 *     leaves the drive to the next waiting caller, or to nobody.
 *   - The I/O thread drives while ops with a sink are under way; after GRACE_NS without a driver also for blocking ops whose
 *     caller does something else; and it looks at idle connections at growing intervals (POLL_*). A waiting caller displaces it
 *     unless there are ops with a sink.
 *   - Everything named `loop's` belongs to the holder of the drive.
 *
 * There is one engine, never freed; each start gets its own loop. */
#ifndef TR_CLIENT_ENGINE_H
#define TR_CLIENT_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "client/client.h"
#include "client/queue.h"
#include "core/buf.h"
#include "core/limits.h"
#include "core/list.h"
#include "core/trace.h"
#include "net/conn.h"
#include "net/dns.h"
#include "net/loop.h"
#include "net/worker.h"

struct tr_origin;
struct tr_hconn;

typedef enum tr_engine_state { TR_ENGINE_STOPPED, TR_ENGINE_RUNNING, TR_ENGINE_STOPPING } tr_engine_state_t;

/* A caller inside tr_op_wait that does not drive. On its stack. */
typedef struct tr_waiter {
    tr_link_t link; /* engine's waiters */
    tr_op_t *op;
    pthread_cond_t cond;
    bool leads; /* the drive was given to it */
} tr_waiter_t;

typedef struct tr_engine {
    /* --- under lock --- */
    pthread_mutex_t lock;
    pthread_cond_t io_cond;    /* the I/O thread's */
    pthread_cond_t drive_cond; /* stop and fork: the drive became free */
    tr_engine_state_t state;
    bool forever;      /* stopped for good */
    bool driving;      /* somebody runs the loop */
    bool io_drives;    /* it is the I/O thread */
    bool io_sleeps;    /* the I/O thread waits with no deadline */
    bool urgent;       /* the queue holds what no blocking caller will come for */
    bool has_thread;
    pthread_t thread;
    pthread_t driver;
    tr_queue_t queue;
    tr_list_t waiters;
    uint64_t left_ns;  /* when the drive was left last */
    uint64_t generation; /* counts starts */

    /* --- any thread --- */
    atomic_bool filled;    /* the queue is not empty */
    atomic_bool yield;     /* stop or fork wants the drive */
    atomic_bool displace;  /* a caller waits while the I/O thread drives */
    atomic_uint posters;   /* threads about to call tr_loop_wake */
    atomic_uint num_async; /* ops with a sink under way */
    atomic_uint num_ops;   /* ops under way, and jobs of files, whose ops may have failed: while there are some the loop is run */
    atomic_ullong turns;
    struct {
        atomic_ullong ops_submitted, ops_completed, conns_opened, conns_open, handshakes, resumed, requests_h1, requests_h2;
    } stats;

    /* --- the loop's --- */
    tr_loop_t *loop;
    tr_dns_t *dns;
    tr_workers_t *writers; /* of files; NULL: none was written yet */
    tr_op_t *leading_op;   /* whose caller drives; it needs no signal */
    tr_list_t sessions;    /* with a pool */
    tr_list_t ready;       /* ops to start, by link */
    tr_list_t origins;     /* to dispatch, by dirty_link */
    tr_list_t hconns;      /* with output to pull, by dirty_link */
    tr_list_t sinks;       /* with completions */
    tr_defer_t settle;     /* tr_engine__settle_later */
    bool settling;
    bool stopping;         /* ops that start are cancelled */
    tr_buf_t scratch;      /* output between an HTTP engine and its connection */
} tr_engine_t;

/* tr_engine__self is the one engine. */
tr_engine_t *tr_engine__self(void);
/* tr_engine__post queues a message for the loop. wait: a blocking caller comes for it, so nobody else needs to wake. False: the engine does
 * not run (nothing was queued). */
bool tr_engine__post(tr_engine_t *engine, tr_msg_t *msg, bool wait);
/* tr_engine__do is tr_engine__post for what is worth no switch of threads: where nobody drives, the caller does it, in one turn that waits for
 * nothing. Not on the loop. */
bool tr_engine__do(tr_engine_t *engine, tr_msg_t *msg);
/* tr_engine__outlives_pools waits for a stop that is under way to end: then there are no pools any more (true). On the stopping thread
 * itself it returns false at once. For an engine that does not run. */
bool tr_engine__outlives_pools(tr_engine_t *engine);
/* tr_engine__settle does what callbacks left to do: starts ready ops, dispatches origins, pulls output. Each entry from the loop
 * into client/ ends with it. On the loop. */
void tr_engine__settle(tr_engine_t *engine);
/* tr_engine__settle_later settles before the turn ends: for callbacks in the middle of something. */
void tr_engine__settle_later(tr_engine_t *engine);
/* tr_engine__hold lets settle do nothing until tr_engine__release, which is given what hold returned and settles. */
bool tr_engine__hold(tr_engine_t *engine);
void tr_engine__release(tr_engine_t *engine, bool held);
/* tr_engine__completed counts and announces a completed op, taking over the engine's reference. On the loop. */
void tr_engine__completed(tr_engine_t *engine, tr_op_t *op);

/* tr_engine__wake_caller brings the blocking caller of an op with a flow back from tr_op_wait. On the loop. */
void tr_engine__wake_caller(tr_engine_t *engine, tr_op_t *op);

/* tr_engine__writers lends the threads that write files. On the loop. */
tr_code_t tr_engine__writers(tr_workers_t **out, tr_engine_t *engine, tr_err_t *err);

/* --- trust.c: the process-wide default trust store, loaded on a thread of its own --- */
/* tr_trust__default gives the store: TR_OK with *out lent for the process's life; TR_AGAIN: it is being loaded and tr_pool__trust_ready will be
 * called on the loop; TLS_TRUST_STORE (the next call tries again). On the loop. */
tr_code_t tr_trust__default(tr_trust_t **out, tr_engine_t *engine, tr_err_t *err);
/* tr_trust__stop drops the store and a load under way, before the loop is freed. */
void tr_trust__stop(void);
/* In a forked child: a load under way is forgotten. */
void tr_trust__after_fork(void);

/* --- keylog_file.c --- */
/* tr_keylog__open gives the log for path (NULL: SSLKEYLOGFILE), opened once a process; NULL: none, or it cannot be opened. */
struct tr_keylog *tr_keylog__open(const char *path);
/* tr_keylog__line is a tr_tls_config_t.keylog; arg is the log. */
void tr_keylog__line(void *arg, const char *line);
/* Around a fork: the log's lock is free in the child. */
void tr_keylog__before_fork(void);
void tr_keylog__after_fork(void);

#endif
