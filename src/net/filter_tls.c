/* TLS over the filter below. Records are sealed straight into next's wire buffer, and opened straight from the loop's scratch buffer into
 * the queue of the reader: no byte is copied in between. */
#include "core/mem.h"
#include "net/filter.h"

/* What the engine itself may have queued (Finished, alerts, KeyUpdate answers) while the peer reads nothing: an honest peer asks for an
 * answer of some 30 bytes now and then. */
#define ANSWERS_MAX 65536

/* One read for a filter above: a record's worth. */
#define LOWER_READ 16384

typedef struct tls_filter {
    tr_filter_t base;
    tr_loop_t *loop; /* lent */
    tr_tls_t *tls;   /* owned */
    bool started;
    size_t answers;  /* bytes that feed() put into the wire buffer since it was last empty */
    /* --- with a filter above (TLS to a proxy) --- */
    tr_buf_t plain;      /* what it wants sent */
    tr_bufq_t opened;    /* what it has not read yet */
    uint8_t *ciphertext; /* owned; the loop's scratch buffer is the reader's */
    tr_code_t ended;     /* how the last read from below ended, when what came before it was handed out first */
    tr_err_t ended_err;
} tls_filter_t;

static tr_code_t
tls_connect(tr_filter_t *f, tr_err_t *err)
{
    tls_filter_t *self = (tls_filter_t *)f;
    if (!self->started) {
        self->started = true;
        tr_code_t code = tr_tls_start(self->tls, f->next->type->wire(f->next), err);
        if (code != TR_OK) {
            return code;
        }
    }
    return tr_tls_handshake_done(self->tls) ? TR_OK : TR_AGAIN;
}

static tr_code_t
tls_write(tr_filter_t *f, tr_slice_t in, tr_err_t *err)
{
    tls_filter_t *self = (tls_filter_t *)f;
    return tr_tls_write(self->tls, f->next->type->wire(f->next), in, err);
}

static tr_code_t
tls_flush(tr_filter_t *f, tr_err_t *err)
{
    tls_filter_t *self = (tls_filter_t *)f;
    tr_code_t code = TR_OK;
    if (self->plain.len > 0) {
        code = tr_tls_write(self->tls, f->next->type->wire(f->next), tr_buf_slice(&self->plain), err);
        tr_buf_clear(&self->plain);
        if (code != TR_OK) {
            return code;
        }
    }
    code = f->next->type->flush(f->next, err);
    if (code == TR_OK) {
        self->answers = 0;
    }
    return code;
}

static size_t
tls_pending(const tr_filter_t *f)
{
    return ((const tls_filter_t *)f)->plain.len + f->next->type->pending(f->next);
}

static tr_code_t
read_records(tls_filter_t *self, tr_bufq_t *out, uint8_t *scratch, size_t cap, tr_err_t *err)
{
    static const char where[] = "net.tls_recv";
    tr_filter_t *next = self->base.next;
    size_t len, used = 0;
    tr_code_t code = next->type->read(next, scratch, cap, &len, err);
    if (code == TR_EOF) {
        code = tr_tls_eof(self->tls, err);
        return code == TR_EOF ? tr_err_set(err, TR_EOF, 1, where, "the peer sent close_notify") : code;
    }
    if (code != TR_OK) {
        return code;
    }
    tr_buf_t *wire = next->type->wire(next);
    size_t before = wire->len;
    code = tr_tls_feed(self->tls, out, wire, tr_slice(scratch, len), &used, err);
    self->answers += wire->len - before;
    if (code == TR_EOF) {
        return tr_err_set(err, TR_EOF, 1, where, "the peer sent close_notify");
    }
    if (code != TR_OK) {
        return code;
    }
    if (used != len) {
        return tr_err_set(err, TR_ERR_INTERNAL, 0, where, "the TLS engine left bytes behind");
    }
    if (self->answers > ANSWERS_MAX) {
        return tr_err_set(err, TR_ERR_LIMIT, 0, where, "The peer asks for TLS answers and reads none of them.");
    }
    return len < cap ? TR_AGAIN : TR_OK;
}

static tr_code_t
tls_recv(tr_filter_t *f, tr_bufq_t *out, tr_err_t *err)
{
    tls_filter_t *self = (tls_filter_t *)f;
    size_t cap;
    uint8_t *scratch = tr_loop_scratch(self->loop, &cap);
    if (self->opened.len > 0) { /* read ahead for a filter that stood here meanwhile */
        tr_bufq_move(out, &self->opened);
        return TR_OK;
    }
    return scratch == NULL ? tr_err_nomem(err, "net.tls_recv") : read_records(self, out, scratch, cap, err);
}

static tr_buf_t *
tls_wire(tr_filter_t *f)
{
    return &((tls_filter_t *)f)->plain;
}

/* Fills dst as far as it goes without waiting: a short read tells the filter above that there is no more. */
static tr_code_t
tls_read(tr_filter_t *f, uint8_t *dst, size_t cap, size_t *out_len, tr_err_t *err)
{
    tls_filter_t *self = (tls_filter_t *)f;
    *out_len = 0;
    if (self->ciphertext == NULL && (self->ciphertext = tr_malloc(LOWER_READ)) == NULL) {
        return tr_err_nomem(err, "net.tls_read");
    }
    for (;;) {
        while (self->opened.len > 0 && *out_len < cap) {
            tr_slice_t part = tr_bufq_peek(&self->opened);
            size_t len = TR_MIN(part.len, cap - *out_len);
            memcpy(dst + *out_len, part.data, len);
            tr_bufq_consume(&self->opened, len);
            *out_len += len;
        }
        if (*out_len == cap) {
            return TR_OK;
        }
        if (self->ended != TR_OK && self->ended != TR_AGAIN) {
            break;
        }
        if (self->ended == TR_AGAIN) {
            self->ended = TR_OK;
            return *out_len > 0 ? TR_OK : TR_AGAIN;
        }
        self->ended = read_records(self, &self->opened, self->ciphertext, LOWER_READ, &self->ended_err);
    }
    if (*out_len > 0) {
        return TR_OK; /* the end comes with the next read */
    }
    if (err != NULL) {
        *err = self->ended_err;
    }
    return self->ended;
}

static void
tls_cleanup(tr_filter_t *f)
{
    tls_filter_t *self = (tls_filter_t *)f;
    tr_buf_cleanup(&self->plain);
    tr_bufq_cleanup(&self->opened);
    tr_free(self->ciphertext);
    tr_tls_free(self->tls);
    tr_free(self);
}

static const tr_filter_type_t tls_type = {
    .name = "tls",
    .bottom = NULL,
    .connect = tls_connect,
    .write = tls_write,
    .flush = tls_flush,
    .pending = tls_pending,
    .recv = tls_recv,
    .wire = tls_wire,
    .read = tls_read,
    .cleanup = tls_cleanup,
};

tr_code_t
tr_tls_filter_new(tr_filter_t **out, tr_filter_t *next, tr_loop_t *loop, const tr_tls_config_t *config, const char *host,
                  tr_err_t *err)
{
    *out = NULL;
    tls_filter_t *self = tr_calloc(1, sizeof(*self));
    if (self == NULL) {
        return tr_err_nomem(err, "net.tls_filter_new");
    }
    tr_code_t code = tr_tls_new(&self->tls, config, host, err);
    if (code != TR_OK) {
        tr_free(self);
        return code;
    }
    self->base = (tr_filter_t){&tls_type, next};
    self->loop = loop;
    self->plain.secret = true; /* a proxy's credentials, and the tunnel's bytes where there is no TLS in it */
    tr_bufq_init(&self->opened, 0); /* bounded by one read and a partial record */
    self->ended_err = TR_ERR_INIT;
    *out = &self->base;
    return TR_OK;
}

const tr_tls_t *
tr_tls_filter_engine(const tr_filter_t *f)
{
    return f != NULL && f->type == &tls_type ? ((const tls_filter_t *)f)->tls : NULL;
}

size_t
tr_tls_filter_buffered(const tr_filter_t *f)
{
    return f != NULL && f->type == &tls_type ? ((const tls_filter_t *)f)->opened.len : 0;
}
