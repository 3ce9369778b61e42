#include "client/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/cond.h"
#include "core/limits.h"
#include "core/mem.h"

/* How long less than a piece waits for more: what trickles in is in the file, and can be seen there, within that time. */
#define FLUSH_NS UINT64_C(100000000)
/* Parts of one system call. */
#define MAX_IOV 64

struct tr_file {
    atomic_uint refs;
    atomic_ullong written; /* bytes of the body */
    atomic_bool stop;      /* nothing more is to be written */
    /* --- constant once it is started --- */
    uint64_t max_len;
    size_t block;
    bool wants_events;
    bool has_digest;
    tr_hash_id_t digest_id;
    uint64_t digest_first;
    uint8_t *tail; /* owned */
    size_t tail_len;
    /* --- under open_files.lock --- */
    tr_link_t link;
    int fd; /* -1: closed. Read by the job without the lock: nobody else closes while there is one */
    /* --- under lock --- */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool closed; /* the descriptor is closed, and the call returned */
    /* --- the loop's --- */
    tr_file_shop_t shop;
    const tr_file_events_t *events;
    void *arg;
    tr_bufq_t queue; /* behind the batch */
    tr_timer_t flush_timer;
    tr_defer_t defer; /* of a failure that came within a call from above */
    bool running;     /* the job is the pool's */
    bool paused;      /* room is owed */
    bool ended;       /* the body is complete */
    bool left;        /* nobody waits */
    bool over;        /* the last job was made, or failed: nothing more is queued */
    uint64_t told;    /* of written, with moved */
    /* --- the job's while it runs, else the loop's --- */
    tr_job_t job;
    bool last;       /* no other comes behind it */
    bool flush;      /* what there is has waited long enough: parts of blocks, too */
    bool complete;   /* ... and the body is all there */
    tr_bufq_t batch; /* as received */
    tr_bufq_t out;   /* decoded, not written: less than a block between two jobs */
    tr_decoder_t *decoder; /* owned; NULL: none */
    tr_hash_ctx_t *hash;   /* owned; NULL: no digest, or not begun */
    uint8_t digest[TR_HASH_MAX];
    size_t digest_len;
    tr_err_t err; /* why it failed */
};

/* What a forked child inherits and must not keep. */
static struct {
    pthread_mutex_t lock;
    tr_list_t list;
    size_t num;
} open_files = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ------------------------------------------------------------------------------------------------------ the descriptor */

static tr_code_t
write_failed(tr_err_t *err, int reason)
{
    char text[96] = "";
#if defined(__GLIBC__) && defined(_GNU_SOURCE)
    const char *why = strerror_r(reason, text, sizeof(text));
#else
    const char *why = strerror_r(reason, text, sizeof(text)) == 0 ? text : "";
#endif
    return tr_err_set(err, TR_ERR_FILE_WRITE, reason, "file.write", "The body could not be written to its file: %s (errno %d).", why, reason);
}

/* Closes the descriptor when it is open, and tells who waits for that. The errno of close, 0: none. */
static int
close_fd(tr_file_t *file)
{
    (void)pthread_mutex_lock(&open_files.lock);
    int fd = file->fd;
    file->fd = -1;
    if (tr_link_linked(&file->link)) {
        tr_list_remove(&file->link);
        open_files.num--;
    }
    (void)pthread_mutex_unlock(&open_files.lock);
    /* Without the lock, for it may block: a child that is forked in between has one descriptor too many until it calls exec. */
    int reason = fd >= 0 && close(fd) != 0 ? errno : 0;
    (void)pthread_mutex_lock(&file->lock);
    file->closed = true;
    (void)pthread_cond_broadcast(&file->cond);
    (void)pthread_mutex_unlock(&file->lock);
    return reason == EINTR ? 0 : reason; /* it is closed all the same */
}

static void
add_open(tr_file_t *file)
{
    (void)pthread_mutex_lock(&open_files.lock);
    if (open_files.list.head.next == NULL) {
        tr_list_init(&open_files.list);
    }
    tr_list_push(&open_files.list, &file->link);
    open_files.num++;
    (void)pthread_mutex_unlock(&open_files.lock);
}

void
tr_file__before_fork(void)
{
    (void)pthread_mutex_lock(&open_files.lock);
}

void
tr_file__after_fork(bool child)
{
    tr_link_t *link;
    while (child && open_files.num > 0 && (link = tr_list_shift(&open_files.list)) != NULL) {
        tr_file_t *file = TR_CONTAINER_OF(link, tr_file_t, link);
        (void)close(file->fd); /* the open file is the parent's, too: nothing is flushed */
        file->fd = -1;
        open_files.num--;
    }
    (void)pthread_mutex_unlock(&open_files.lock);
}

size_t
tr_file__num_open(void)
{
    (void)pthread_mutex_lock(&open_files.lock);
    size_t num = open_files.num;
    (void)pthread_mutex_unlock(&open_files.lock);
    return num;
}

/* ------------------------------------------------------------------------------------------------------------- the job */

/* What was written leaves the queue, and goes into the digest while it is in the processor's cache. */
static tr_code_t
consume(tr_file_t *file, size_t len)
{
    tr_code_t code = TR_OK;
    while (len > 0) {
        tr_slice_t part = tr_bufq_peek(&file->out);
        part.len = TR_MIN(part.len, len);
        if (file->hash != NULL && code == TR_OK) {
            code = tr_hash_update(file->hash, part.data, part.len);
        }
        tr_bufq_consume(&file->out, part.len);
        len -= part.len;
    }
    return code == TR_OK ? TR_OK : tr_err_set(&file->err, code, 0, "file.digest", NULL);
}

static size_t
fill_iov(const tr_bufq_t *q, struct iovec *iov, size_t max, size_t *out_len)
{
    size_t num = 0, len = 0;
    for (tr_chunk_t *chunk = q->head; chunk != NULL && num < MAX_IOV && len < max; chunk = chunk->next) {
        if (chunk->len > 0) {
            size_t part = TR_MIN(chunk->len, max - len);
            iov[num++] = (struct iovec){chunk->data + chunk->off, part};
            len += part;
        }
    }
    *out_len = len;
    return num;
}

/* Cuts the last parts so that len bytes are left. */
static size_t
cut_iov(struct iovec *iov, size_t num, size_t from, size_t len)
{
    while (from > len) {
        size_t part = TR_MIN(iov[num - 1].iov_len, from - len);
        iov[num - 1].iov_len -= part;
        from -= part;
        num -= iov[num - 1].iov_len == 0 ? 1 : 0;
    }
    return num;
}

/* Writes what is decoded, all of it or whole blocks. TR_PAUSED: told to stop. */
static tr_code_t
write_out(tr_file_t *file, bool all)
{
    tr_code_t code = TR_OK;
    while (code == TR_OK && file->out.len > 0) {
        struct iovec iov[MAX_IOV];
        uint64_t written = atomic_load_explicit(&file->written, memory_order_relaxed);
        uint64_t room = file->max_len - written;
        bool over = file->out.len > room;
        size_t max = over ? (size_t)room : file->out.len;
        size_t len;
        size_t num = fill_iov(&file->out, iov, max, &len);
        size_t odd = file->block > 1 ? (size_t)((written + len) % file->block) : 0;
        if (odd > 0 && len > odd) {
            num = cut_iov(iov, num, len, len - odd);
            len -= odd;
        } else if (odd > 0 && len == max && !over && !all) {
            break; /* less than a block */
        }
        if (len == 0) {
            return tr_err_set(&file->err, TR_ERR_BODY_LIMIT, 0, "file.limit", "The body is longer than its file may be.");
        }
        if (atomic_load_explicit(&file->stop, memory_order_relaxed)) {
            return TR_PAUSED;
        }
        ssize_t done;
        do {
            done = writev(file->fd, iov, (int)num);
        } while (done < 0 && errno == EINTR);
        if (done < 0) {
            return write_failed(&file->err, errno);
        }
        code = consume(file, (size_t)done);
        atomic_fetch_add_explicit(&file->written, (uint64_t)done, memory_order_relaxed);
    }
    return code;
}

/* Removes the content coding from the batch and writes, a piece at a time. */
static tr_code_t
write_batch(tr_file_t *file)
{
    tr_code_t code = TR_OK;
    if (file->decoder == NULL) {
        tr_bufq_move(&file->out, &file->batch);
    }
    while (code == TR_OK && file->batch.len > 0) {
        while (code == TR_OK && file->batch.len > 0 && file->out.len < TR_FILE_PIECE) {
            tr_slice_t part = tr_bufq_peek(&file->batch);
            part.len = TR_MIN(part.len, TR_DECODER_SLICE);
            code = tr_decoder_feed(file->decoder, &file->out, part, &file->err);
            tr_bufq_consume(&file->batch, part.len);
        }
        if (code == TR_OK) {
            code = write_out(file, false);
        }
    }
    return code == TR_OK ? write_out(file, file->flush || (file->last && !file->complete)) : code;
}

static tr_code_t
write_tail(tr_file_t *file)
{
    size_t at = 0;
    while (at < file->tail_len) {
        ssize_t done = write(file->fd, file->tail + at, file->tail_len - at);
        if (done < 0 && errno != EINTR) {
            return write_failed(&file->err, errno);
        }
        at += done < 0 ? 0 : (size_t)done;
    }
    return TR_OK;
}

/* Begins the digest, with what stood in the file before. */
static tr_code_t
begin_digest(tr_file_t *file)
{
    static const char where[] = "file.digest";
    tr_code_t code = TR_OK;
    uint64_t at = 0;
    uint8_t *part = NULL;
    file->hash = tr_hash_new(file->digest_id);
    if (file->hash == NULL || (file->digest_first > 0 && (part = tr_malloc(TR_FILE_PIECE)) == NULL)) {
        return tr_err_nomem(&file->err, where);
    }
    while (code == TR_OK && at < file->digest_first) {
        if (atomic_load_explicit(&file->stop, memory_order_relaxed)) {
            code = TR_PAUSED;
            break;
        }
        ssize_t got = pread(file->fd, part, (size_t)TR_MIN((uint64_t)TR_FILE_PIECE, file->digest_first - at), (off_t)at);
        if (got > 0) {
            code = tr_hash_update(file->hash, part, (size_t)got) == TR_OK ? TR_OK : tr_err_set(&file->err, TR_ERR_INTERNAL, 0, where, NULL);
            at += (uint64_t)got;
        } else if (got == 0 || errno != EINTR) {
            code = write_failed(&file->err, got == 0 ? EIO : errno); /* shorter than its owner said: he did not lock it */
        }
    }
    tr_free(part);
    return code;
}

/* The body is complete: what is still in the decoder, the tail, the digest. */
static tr_code_t
finish(tr_file_t *file)
{
    tr_code_t code = TR_OK;
    if (file->decoder != NULL) {
        code = tr_decoder_finish(file->decoder, &file->out, &file->err);
    }
    if (code == TR_OK) {
        code = write_out(file, true);
    }
    if (code == TR_OK) {
        code = write_tail(file);
    }
    if (code == TR_OK && file->hash != NULL) {
        code = tr_hash_peek(file->hash, file->digest) == TR_OK ? TR_OK : tr_err_set(&file->err, TR_ERR_INTERNAL, 0, "file.digest", NULL);
        file->digest_len = code == TR_OK ? tr_hash_len(file->digest_id) : 0;
    }
    return code;
}

static void
run(tr_job_t *job)
{
    tr_file_t *file = TR_CONTAINER_OF(job, tr_file_t, job);
    tr_code_t code = atomic_load_explicit(&file->stop, memory_order_relaxed) ? TR_PAUSED : TR_OK;
    if (code == TR_OK && file->has_digest && file->hash == NULL) {
        code = begin_digest(file);
    }
    if (code == TR_OK) {
        code = write_batch(file);
    }
    if (code == TR_OK && file->complete) {
        code = finish(file);
    }
    if (file->last || code != TR_OK || atomic_load_explicit(&file->stop, memory_order_relaxed)) {
        int reason = close_fd(file);
        if (reason != 0 && code == TR_OK) {
            (void)write_failed(&file->err, reason); /* a file server may say only now that the disk was full */
        }
        file->last = true;
    }
}

/* The reference of the job, and its place among those that the loop is run for. */
static void
job_over(tr_file_t *file)
{
    atomic_fetch_sub(file->shop.num_busy, 1);
    tr_file__unref(file);
}

/* On any thread: the loop's side is gone. */
static void
drop(tr_job_t *job)
{
    tr_file_t *file = TR_CONTAINER_OF(job, tr_file_t, job);
    (void)close_fd(file);
    job_over(file);
}

/* ------------------------------------------------------------------------------------------------------------ the loop */

static void done(tr_job_t *job);

static void
clear_timer(tr_file_t *file)
{
    if (file->flush_timer.deadline_ns != 0) {
        tr_timer_clear(file->shop.loop, &file->flush_timer);
    }
}

static void
on_deferred(void *arg)
{
    tr_file_t *file = arg;
    if (!file->left) {
        file->left = true;
        file->events->done(file->arg, &file->err);
    }
    job_over(file);
}

/* Makes a job of what is queued. */
static void
submit(tr_file_t *file, bool flush)
{
    file->flush = flush;
    file->last = file->ended || file->left;
    file->complete = file->ended;
    file->over = file->last;
    tr_bufq_move(&file->batch, &file->queue);
    clear_timer(file);
    file->running = true;
    atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
    atomic_fetch_add(file->shop.num_busy, 1);
    if (tr_workers_submit(file->shop.workers, &file->job, &file->err) == TR_OK) {
        return;
    }
    /* No thread at all. The close may block, but where not even a thread can be had there is nobody else. */
    file->running = false;
    file->over = true;
    (void)close_fd(file);
    file->defer = (tr_defer_t){{NULL, NULL}, on_deferred, file};
    tr_loop_defer(file->shop.loop, &file->defer);
}

static void
on_flush(void *arg)
{
    tr_file_t *file = arg;
    if (!file->running) {
        submit(file, true);
    }
}

/* What waits is worth a job now, or in a while. */
static void
look(tr_file_t *file)
{
    if (file->running || file->over) {
        return;
    }
    if (file->queue.len >= TR_FILE_PIECE || file->ended || file->left) {
        submit(file, false);
    } else if (file->queue.len + file->out.len > 0 && file->flush_timer.deadline_ns == 0 &&
               tr_timer_set(file->shop.loop, &file->flush_timer, tr_loop_now(file->shop.loop) + FLUSH_NS) != TR_OK) {
        submit(file, true); /* no memory to wait */
    }
}

static void
done(tr_job_t *job)
{
    tr_file_t *file = TR_CONTAINER_OF(job, tr_file_t, job);
    file->running = false;
    bool failed = file->err.code != TR_OK;
    if (failed || file->last) {
        file->over = true;
        clear_timer(file);
        tr_bufq_cleanup(&file->queue);
        if (!file->left) {
            file->left = true;
            file->events->done(file->arg, failed ? &file->err : NULL);
        }
    } else {
        look(file); /* the worker goes on while the exchange does */
        uint64_t written = atomic_load_explicit(&file->written, memory_order_relaxed);
        bool room = file->paused && file->queue.len < TR_FILE_QUEUE_HIGH;
        file->paused = file->paused && !room;
        if (file->wants_events && !file->left && written != file->told) {
            file->told = written;
            file->events->moved(file->arg);
        }
        if (room && !file->left) {
            file->events->room(file->arg);
        }
    }
    job_over(file);
}

tr_code_t
tr_file__new(tr_file_t **out, const tr_op_file_t *spec, tr_err_t *err)
{
    static const char where[] = "file.new";
    if (spec->block > TR_FILE_MAX_BLOCK || spec->tail.len > TR_FILE_MAX_TAIL) {
        return tr_err_set(err, TR_ERR_INVALID_ARGUMENT, 0, where, "The file's block or tail is too long.");
    }
    int flags = fcntl(spec->fd, F_GETFL);
    if (flags < 0) {
        return write_failed(err, errno);
    }
    if ((flags & O_ACCMODE) == O_RDONLY) {
        return write_failed(err, EBADF);
    }
    tr_file_t *file = tr_calloc(1, sizeof(*file));
    if (file == NULL) {
        return tr_err_nomem(err, where);
    }
    atomic_init(&file->refs, 1);
    (void)pthread_mutex_init(&file->lock, NULL);
    (void)tr_cond_init(&file->cond);
    file->fd = -1;
    file->max_len = spec->max_len;
    file->block = spec->block;
    file->wants_events = spec->events;
    file->has_digest = spec->has_digest;
    file->digest_id = spec->digest;
    file->digest_first = spec->has_digest ? spec->digest_first : 0;
    file->job = (tr_job_t){{NULL, NULL}, run, done, drop};
    tr_bufq_init(&file->queue, 0); /* bounded by pausing */
    tr_bufq_init(&file->batch, 0);
    tr_bufq_init(&file->out, 0);
    file->tail_len = spec->tail.len;
    if (spec->tail.len > 0 && (file->tail = tr_memdup(spec->tail.data, spec->tail.len)) == NULL) {
        tr_file__unref(file);
        return tr_err_nomem(err, where);
    }
    file->fd = fcntl(spec->fd, F_DUPFD_CLOEXEC, 0);
    if (file->fd < 0) {
        int reason = errno;
        tr_file__unref(file);
        return write_failed(err, reason);
    }
    add_open(file);
    *out = file;
    return TR_OK;
}

void
tr_file__unref(tr_file_t *file)
{
    if (file == NULL || atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    (void)close_fd(file);
    tr_bufq_cleanup(&file->queue);
    tr_bufq_cleanup(&file->batch);
    tr_bufq_cleanup(&file->out);
    tr_decoder_free(file->decoder);
    tr_hash_free(file->hash);
    tr_free(file->tail);
    (void)pthread_cond_destroy(&file->cond);
    (void)pthread_mutex_destroy(&file->lock);
    tr_free(file);
}

void
tr_file__start(tr_file_t *file, const tr_file_shop_t *shop, tr_decoder_t *decoder, uint64_t max_len, tr_bufq_t *q, const tr_file_events_t *events,
               void *arg)
{
    file->shop = *shop;
    file->decoder = decoder;
    file->max_len = max_len != 0 ? TR_MIN(file->max_len, max_len) : file->max_len;
    file->events = events;
    file->arg = arg;
    tr_timer_init(&file->flush_timer, on_flush, file);
    tr_bufq_move(&file->queue, q);
    look(file);
}

tr_code_t
tr_file__data(tr_file_t *file, tr_slice_t data, tr_chunk_t **chunk)
{
    if (file->over || file->left) {
        return TR_OK; /* it failed, and whoever sends is about to be told */
    }
    tr_code_t code = tr_bufq_take(&file->queue, data, chunk);
    if (code != TR_OK) {
        return code;
    }
    look(file);
    file->paused = file->paused || file->queue.len >= TR_FILE_QUEUE_HIGH; /* until room is told, though HTTP/2's window lets more in */
    return file->paused ? TR_PAUSED : TR_OK;
}

void
tr_file__end(tr_file_t *file)
{
    file->ended = true;
    look(file);
}

void
tr_file__leave(tr_file_t *file, bool keep)
{
    if (file->left) {
        return;
    }
    file->left = true;
    clear_timer(file);
    if (!keep) {
        atomic_store_explicit(&file->stop, true, memory_order_relaxed);
        tr_bufq_cleanup(&file->queue);
    }
    look(file); /* whatever is queued, a job closes it */
}

/* --------------------------------------------------------------------------------------------------------- any thread */

void
tr_file__close(tr_file_t *file)
{
    (void)close_fd(file);
}

uint64_t
tr_file__written(const tr_file_t *file)
{
    return atomic_load_explicit(&file->written, memory_order_relaxed);
}

tr_code_t
tr_file__wait(tr_file_t *file, uint64_t max_ns)
{
    uint64_t now = tr_cond_now();
    uint64_t until = max_ns > UINT64_MAX - now ? UINT64_MAX : now + max_ns;
    (void)pthread_mutex_lock(&file->lock);
    while (!file->closed && tr_cond_wait(&file->cond, &file->lock, until)) {
    }
    bool closed = file->closed;
    (void)pthread_mutex_unlock(&file->lock);
    return closed ? TR_OK : TR_AGAIN;
}

tr_slice_t
tr_file__digest(tr_file_t *file)
{
    return tr_slice(file->digest, file->digest_len);
}
