#include "client/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

#include "client/flow.h"
#include "client/op.h"

struct tr_sink {
    atomic_uint refs;
    pthread_mutex_t lock;
    /* --- under lock --- */
    tr_op_t *head; /* completed, oldest first, each with a reference */
    tr_op_t *tail;
    tr_op_t *events; /* with an event, oldest first, each with a reference; linked by flow->event_next */
    tr_op_t *events_tail;
    bool signaled; /* fd was written to since the last take that emptied the list */
    bool closed;   /* the consumer is gone */
    /* --- constant --- */
    int fd;       /* eventfd, or the pipe's end for reading */
    int write_fd; /* equal to fd, or the pipe's other end */
    /* --- the loop's --- */
    tr_op_t *batch; /* this turn's completions */
    tr_op_t *batch_tail;
    tr_link_t link;
};

static tr_code_t
open_descriptors(tr_sink_t *sink, tr_err_t *err)
{
#ifdef __linux__
    sink->fd = sink->write_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    bool ok = sink->fd >= 0;
#else
    int fds[2] = {-1, -1};
    bool ok = pipe(fds) == 0;
    for (int i = 0; ok && i < 2; i++) {
        ok = fcntl(fds[i], F_SETFL, O_NONBLOCK) == 0 && fcntl(fds[i], F_SETFD, FD_CLOEXEC) == 0;
    }
    sink->fd = fds[0];
    sink->write_fd = fds[1];
#endif
    return ok ? TR_OK : tr_err_set(err, TR_ERR_SYSTEM, errno, "sink.open", "No descriptor could be made (too many open files?).");
}

static void
close_descriptors(tr_sink_t *sink)
{
    if (sink->write_fd >= 0 && sink->write_fd != sink->fd) {
        (void)close(sink->write_fd);
    }
    if (sink->fd >= 0) {
        (void)close(sink->fd);
    }
}

tr_code_t
tr_sink_new(tr_sink_t **out, tr_err_t *err)
{
    tr_sink_t *sink = tr_calloc(1, sizeof(*sink));
    if (sink == NULL) {
        return tr_err_nomem(err, "sink.new");
    }
    tr_code_t code = open_descriptors(sink, err);
    if (code != TR_OK) {
        close_descriptors(sink);
        tr_free(sink);
        return code;
    }
    atomic_init(&sink->refs, 1);
    (void)pthread_mutex_init(&sink->lock, NULL);
    *out = sink;
    return TR_OK;
}

tr_sink_t *
tr_sink__ref(tr_sink_t *sink)
{
    atomic_fetch_add_explicit(&sink->refs, 1, memory_order_relaxed);
    return sink;
}

void
tr_sink__unref(tr_sink_t *sink)
{
    if (atomic_fetch_sub_explicit(&sink->refs, 1, memory_order_acq_rel) == 1) {
        close_descriptors(sink);
        (void)pthread_mutex_destroy(&sink->lock);
        tr_free(sink);
    }
}

static void
release_list(tr_op_t *op)
{
    while (op != NULL) {
        tr_op_t *next = op->sink_next;
        op->sink_next = NULL;
        tr_op_unref(op);
        op = next;
    }
}

static void
release_events(tr_op_t *op)
{
    while (op != NULL) {
        tr_op_t *next = op->flow->event_next;
        tr_op_unref(op);
        op = next;
    }
}

void
tr_sink_free(tr_sink_t *sink)
{
    if (sink == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&sink->lock);
    tr_op_t *left = sink->head;
    tr_op_t *events = sink->events;
    sink->head = sink->tail = NULL;
    sink->events = sink->events_tail = NULL;
    sink->closed = true;
    (void)pthread_mutex_unlock(&sink->lock);
    release_events(events);
    release_list(left);
    tr_sink__unref(sink);
}

int
tr_sink_fd(const tr_sink_t *sink)
{
    return sink->fd;
}

bool
tr_sink__add(tr_sink_t *sink, tr_op_t *op)
{
    bool first = sink->batch == NULL;
    op->sink_next = NULL;
    if (first) {
        sink->batch = op;
    } else {
        sink->batch_tail->sink_next = op;
    }
    sink->batch_tail = op;
    return first;
}

static void
write_signal(const tr_sink_t *sink)
{
    const uint64_t one = 1;
    ssize_t done;
    do {
        /* A full pipe is readable, which is all that is wanted. */
        done = write(sink->write_fd, &one, sizeof(one));
    } while (done < 0 && errno == EINTR);
}

void
tr_sink__flush(tr_sink_t *sink)
{
    tr_op_t *first = sink->batch;
    tr_op_t *last = sink->batch_tail;
    if (first == NULL) {
        return;
    }
    sink->batch = sink->batch_tail = NULL;
    (void)pthread_mutex_lock(&sink->lock);
    bool closed = sink->closed;
    bool signal = false;
    if (!closed) {
        if (sink->head == NULL) {
            sink->head = first;
        } else {
            sink->tail->sink_next = first;
        }
        sink->tail = last;
        signal = !sink->signaled;
        sink->signaled = true;
    }
    (void)pthread_mutex_unlock(&sink->lock);
    if (closed) {
        release_list(first);
    } else if (signal) {
        write_signal(sink);
    }
}

void
tr_sink__event(tr_sink_t *sink, tr_op_t *op)
{
    tr_flow_t *flow = op->flow;
    bool signal = false;
    (void)pthread_mutex_lock(&sink->lock);
    if (!sink->closed && !flow->in_events) {
        flow->in_events = true;
        flow->event_next = NULL;
        if (sink->events == NULL) {
            sink->events = op;
        } else {
            sink->events_tail->flow->event_next = op;
        }
        sink->events_tail = tr_op_ref(op);
        signal = !sink->signaled;
        sink->signaled = true;
    }
    (void)pthread_mutex_unlock(&sink->lock);
    if (signal) {
        write_signal(sink);
    }
}

tr_link_t *
tr_sink__link(tr_sink_t *sink)
{
    return &sink->link;
}

tr_sink_t *
tr_sink__from_link(tr_link_t *link)
{
    return TR_CONTAINER_OF(link, tr_sink_t, link);
}

size_t
tr_sink_take_all(tr_sink_t *sink, tr_op_t **events, size_t max_events, size_t *out_events, tr_op_t **out, size_t max)
{
    size_t num = 0;
    size_t num_events = 0;
    (void)pthread_mutex_lock(&sink->lock);
    while (num_events < max_events && sink->events != NULL) {
        tr_op_t *op = sink->events;
        sink->events = op->flow->event_next;
        op->flow->in_events = false;
        events[num_events++] = op;
    }
    /* Completions only when no event is left: an op's last event is never taken behind its completion. */
    while (num < max && sink->head != NULL && (sink->events == NULL || max_events == 0)) {
        tr_op_t *op = sink->head;
        sink->head = op->sink_next;
        op->sink_next = NULL;
        out[num++] = op;
    }
    if (sink->head == NULL && sink->events == NULL) {
        /* Read even when nothing was signaled: a flush that saw the flag unset may write only now, after an earlier take
         * already had its ops; that byte must not keep the descriptor readable for ever. */
        uint8_t bytes[64];
        ssize_t done;
        sink->tail = sink->events_tail = NULL;
        sink->signaled = false;
        do {
            done = read(sink->fd, bytes, sizeof(bytes));
        } while ((done < 0 && errno == EINTR) || done == (ssize_t)sizeof(bytes));
    }
    (void)pthread_mutex_unlock(&sink->lock);
    *out_events = num_events;
    return num;
}

size_t
tr_sink_take(tr_sink_t *sink, tr_op_t **out, size_t max)
{
    size_t none;
    return tr_sink_take_all(sink, NULL, 0, &none, out, max);
}
