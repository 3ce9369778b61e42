#include "client/engine.h"
#include "client/pool.h"
#include "core/mem.h"
#include "net/worker.h"
#include "tls/x509.h"

/* Threads for the one job, and how long they stay behind it. */
#define MAX_THREADS 1
#define IDLE_NS UINT64_C(1000000000)

/* Owned by the worker pool from submit to done or drop. */
typedef struct trust_job {
    tr_job_t job;
    tr_engine_t *engine;
    tr_trust_t *trust; /* result */
    tr_err_t err;
} trust_job_t;

/* On the loop, but read by no one else. The store itself lives as long as the process: it is the same for every engine, and for forked
 * children. */
static tr_trust_t *store;
static tr_workers_t *workers; /* of the running engine; NULL before the first load */
static bool loading;

static void
load(tr_job_t *job)
{
    trust_job_t *self = TR_CONTAINER_OF(job, trust_job_t, job);
    (void)tr_trust_new_default(&self->trust, &self->err);
}

static void
loaded(tr_job_t *job)
{
    trust_job_t *self = TR_CONTAINER_OF(job, trust_job_t, job);
    tr_engine_t *engine = self->engine;
    tr_err_t err = self->err;
    store = self->trust;
    loading = false;
    tr_free(self);
    tr_pool__trust_ready(engine, store == NULL ? &err : NULL);
    tr_engine__settle(engine);
}

static void
dropped(tr_job_t *job)
{
    trust_job_t *self = TR_CONTAINER_OF(job, trust_job_t, job);
    tr_trust_unref(self->trust);
    tr_free(self);
}

tr_code_t
tr_trust__default(tr_trust_t **out, tr_engine_t *engine, tr_err_t *err)
{
    tr_code_t code = TR_OK;
    if (store != NULL) {
        *out = store;
        return TR_OK;
    }
    if (loading) {
        return TR_AGAIN;
    }
    trust_job_t *self = tr_calloc(1, sizeof(*self));
    if (self == NULL) {
        return tr_err_nomem(err, "trust.default");
    }
    self->job = (tr_job_t){{NULL, NULL}, load, loaded, dropped};
    self->engine = engine;
    if (workers == NULL) {
        code = tr_workers_new(&workers, engine->loop, MAX_THREADS, IDLE_NS, err);
    }
    if (code == TR_OK) {
        code = tr_workers_submit(workers, &self->job, err);
    }
    if (code != TR_OK) {
        tr_free(self);
        return code;
    }
    loading = true;
    return TR_AGAIN;
}

void
tr_trust__stop(void)
{
    tr_workers_free(workers);
    workers = NULL;
    loading = false;
    tr_trust_unref(store);
    store = NULL;
}

void
tr_trust__after_fork(void)
{
    workers = NULL;
    loading = false;
}
