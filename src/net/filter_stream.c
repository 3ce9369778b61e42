/* The bottom of a stack that is no socket: a stream within another connection. Two queues; whoever holds the other side puts received bytes into
 * one and takes what is to be sent out of the other. Readiness is told at the end of the turn, again and again while it lasts, as the kernel
 * does for a socket: what reads and writes above need not know the difference. */
#include <stdio.h>

#include "core/mem.h"
#include "net/filter.h"

/* Received bytes beyond which the other side is asked to bring no more: what a socket's receive buffer holds. Flow-control windows that are
 * open by then (RFC 9113 6.9.1) come on top. */
#define INPUT_MAX ((size_t)512 * 1024)
/* Output that may wait here while the layer above goes on: as in a socket's send buffer. Below what the layer above itself keeps back, so that it is
 * never left with output that nobody asks for. */
#define OUTPUT_MAX ((size_t)32 * 1024)
/* An output block larger than this is given back once it is empty. */
#define OUT_KEEP 32768

typedef struct stream {
    tr_filter_t base;
    tr_loop_t *loop; /* lent */
    tr_stream_events_t events;
    void *arg; /* of them */
    bool open; /* the other side is there */
    bool full; /* the other side waits for `drained` */
    bool starved; /* ... for `wake`: there was nothing to take */
    tr_bufq_t in;
    tr_buf_t out;
    uint64_t written; /* taken of it */
    tr_code_t ended; /* TR_OK: it has not */
    tr_err_t err;
    int watched; /* TR_WATCH_* */
    void (*on_ready)(void *arg, int events);
    void *on_ready_arg;
    tr_defer_t tell;
    char peer_text[TR_ADDRESS_TEXT], local_text[TR_ADDRESS_TEXT];
} stream_t;

/* ---------------------------------------------------------------------------------------------------------- readiness */

static int
ready(const stream_t *self)
{
    int events = self->in.len > 0 || self->ended != TR_OK ? TR_WATCH_READ : 0;
    events |= self->out.len <= OUTPUT_MAX || self->ended != TR_OK ? TR_WATCH_WRITE : 0;
    return events & self->watched;
}

static void
tell_later(stream_t *self)
{
    if (self->on_ready != NULL && ready(self) != 0) {
        tr_loop_defer(self->loop, &self->tell);
    }
}

static void
wake(stream_t *self)
{
    if (self->open && self->out.len > 0) {
        self->starved = false;
        self->events.wake(self->arg);
    }
}

static void
on_tell(void *arg)
{
    stream_t *self = arg;
    int events = ready(self);
    if (self->starved && self->out.len > OUTPUT_MAX) {
        wake(self); /* all was taken, and who waits for room wrote so much before hearing of it that there is none again: it will not flush */
    }
    if (self->on_ready != NULL && events != 0) {
        tell_later(self); /* before the call, which may free the filter */
        self->on_ready(self->on_ready_arg, events);
    }
}

static void
stream_on_ready(tr_filter_t *f, void (*fn)(void *arg, int events), void *arg)
{
    stream_t *self = (stream_t *)f;
    self->on_ready = fn;
    self->on_ready_arg = arg;
    tell_later(self);
}

static tr_code_t
stream_watch(tr_filter_t *f, int events, tr_err_t *err)
{
    stream_t *self = (stream_t *)f;
    TR_UNUSED(err);
    self->watched = events;
    tell_later(self);
    return TR_OK;
}

static int
stream_watched(const tr_filter_t *f)
{
    return ((const stream_t *)f)->watched;
}

/* ---------------------------------------------------------------------------------------------------------- bytes out */

static tr_code_t
how_it_ended(const stream_t *self, tr_err_t *err)
{
    if (err != NULL) {
        *err = self->err;
    }
    return self->ended;
}

static tr_code_t
stream_connect(tr_filter_t *f, tr_err_t *err)
{
    TR_UNUSED(f);
    TR_UNUSED(err);
    return TR_OK;
}

static tr_code_t
stream_write(tr_filter_t *f, tr_slice_t in, tr_err_t *err)
{
    stream_t *self = (stream_t *)f;
    return tr_buf_append(&self->out, in.data, in.len) == TR_OK ? TR_OK : tr_err_nomem(err, "net.write");
}

static tr_code_t
stream_flush(tr_filter_t *f, tr_err_t *err)
{
    stream_t *self = (stream_t *)f;
    if (self->out.len == 0) {
        return TR_OK;
    }
    if (self->ended != TR_OK) {
        tr_code_t code = how_it_ended(self, err);
        return code == TR_EOF ? tr_err_set(err, TR_ERR_CONNECT_RESET, 0, "net.send", "the other side has closed the tunnel") : code;
    }
    wake(self);
    return self->out.len <= OUTPUT_MAX ? TR_OK : TR_AGAIN;
}

static size_t
stream_pending(const tr_filter_t *f)
{
    return ((const stream_t *)f)->out.len;
}

static tr_buf_t *
stream_wire(tr_filter_t *f)
{
    return &((stream_t *)f)->out;
}

size_t
tr_stream_take(tr_filter_t *f, uint8_t *out, size_t max)
{
    stream_t *self = (stream_t *)f;
    size_t len = TR_MIN(max, self->out.len);
    if (len > 0) {
        memcpy(out, self->out.data, len);
        tr_buf_consume(&self->out, len);
        self->written += len;
    }
    self->starved = len == 0;
    if (self->out.len == 0 && self->out.cap > OUT_KEEP) {
        tr_buf_cleanup(&self->out);
    }
    tell_later(self);
    return len;
}

/* ---------------------------------------------------------------------------------------------------------- bytes in */

tr_code_t
tr_stream_put(tr_filter_t *f, tr_slice_t data, tr_chunk_t **chunk)
{
    stream_t *self = (stream_t *)f;
    if (tr_bufq_take(&self->in, data, chunk) != TR_OK) {
        return TR_ERR_NOMEM;
    }
    tell_later(self);
    self->full = self->full || self->in.len >= INPUT_MAX; /* until `drained` was said, though HTTP/2's window lets more in */
    return self->full ? TR_PAUSED : TR_OK;
}

void
tr_stream_end(tr_filter_t *f, tr_code_t code, const tr_err_t *err)
{
    stream_t *self = (stream_t *)f;
    if (self->ended == TR_OK) {
        self->ended = code;
        self->err = *err;
        self->err.code = code;
        self->open = false;
        tell_later(self);
    }
}

static void
was_read(stream_t *self)
{
    if (self->full && self->in.len < INPUT_MAX / 2) {
        self->full = false;
        if (self->open) {
            self->events.drained(self->arg);
        }
    }
}

static tr_code_t
stream_read(tr_filter_t *f, uint8_t *dst, size_t cap, size_t *out_len, tr_err_t *err)
{
    stream_t *self = (stream_t *)f;
    *out_len = 0;
    while (self->in.len > 0 && *out_len < cap) {
        tr_slice_t part = tr_bufq_peek(&self->in);
        size_t len = TR_MIN(part.len, cap - *out_len);
        memcpy(dst + *out_len, part.data, len);
        tr_bufq_consume(&self->in, len);
        *out_len += len;
    }
    was_read(self);
    if (*out_len > 0) {
        return TR_OK; /* an end comes with the next read */
    }
    return self->ended == TR_OK ? TR_AGAIN : how_it_ended(self, err);
}

static tr_code_t
stream_recv(tr_filter_t *f, tr_bufq_t *out, tr_err_t *err)
{
    stream_t *self = (stream_t *)f;
    if (self->in.len == 0) {
        return self->ended == TR_OK ? TR_AGAIN : how_it_ended(self, err);
    }
    tr_bufq_move(out, &self->in);
    was_read(self);
    return self->ended == TR_OK ? TR_AGAIN : TR_OK;
}

static tr_code_t
stream_probe(tr_filter_t *f, tr_err_t *err)
{
    const stream_t *self = (const stream_t *)f;
    if (self->in.len > 0) {
        return TR_OK;
    }
    return self->ended == TR_OK ? TR_AGAIN : how_it_ended(self, err);
}

/* --------------------------------------------------------------------------------------------------------------- life */

static void
stream_texts(const tr_filter_t *f, char *out_peer, char *out_local)
{
    const stream_t *self = (const stream_t *)f;
    memcpy(out_peer, self->peer_text, TR_ADDRESS_TEXT);
    memcpy(out_local, self->local_text, TR_ADDRESS_TEXT);
}

static uint64_t
stream_written(const tr_filter_t *f)
{
    return ((const stream_t *)f)->written;
}

static void
stream_shut(tr_filter_t *f)
{
    stream_t *self = (stream_t *)f;
    bool was_open = self->open;
    tr_list_remove(&self->tell.link);
    self->on_ready = NULL;
    self->open = false;
    if (was_open) {
        self->events.shut(self->arg);
    }
}

static void
stream_cleanup(tr_filter_t *f)
{
    stream_t *self = (stream_t *)f;
    stream_shut(f);
    tr_bufq_cleanup(&self->in);
    tr_buf_cleanup(&self->out);
    tr_free(self);
}

static const tr_bottom_type_t stream_bottom = {
    .on_ready = stream_on_ready,
    .watch = stream_watch,
    .watched = stream_watched,
    .probe = stream_probe,
    .written = stream_written,
    .shut = stream_shut,
    .texts = stream_texts,
};

static const tr_filter_type_t stream_type = {
    .name = "stream",
    .bottom = &stream_bottom,
    .connect = stream_connect,
    .write = stream_write,
    .flush = stream_flush,
    .pending = stream_pending,
    .recv = stream_recv,
    .wire = stream_wire,
    .read = stream_read,
    .cleanup = stream_cleanup,
};

tr_code_t
tr_stream_filter_new(tr_filter_t **out, tr_loop_t *loop, const tr_stream_events_t *events, void *arg, const char *peer_text,
                     const char *local_text, tr_err_t *err)
{
    *out = NULL;
    stream_t *self = tr_calloc(1, sizeof(*self));
    if (self == NULL) {
        return tr_err_nomem(err, "net.stream_new");
    }
    self->base.type = &stream_type;
    self->loop = loop;
    self->events = *events;
    self->arg = arg;
    self->open = true;
    self->err = TR_ERR_INIT;
    self->out.secret = true; /* a next proxy's credentials, and the tunnel's bytes where there is no TLS in it */
    self->tell = (tr_defer_t){{NULL, NULL}, on_tell, self};
    tr_bufq_init(&self->in, 0); /* bounded by INPUT_MAX and the open window */
    (void)snprintf(self->peer_text, sizeof(self->peer_text), "%s", peer_text);
    (void)snprintf(self->local_text, sizeof(self->local_text), "%s", local_text);
    *out = &self->base;
    return TR_OK;
}
