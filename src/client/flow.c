#include "client/flow.h"

#include "client/engine.h"
#include "client/hconn.h"
#include "client/op.h"
#include "client/session.h"
#include "client/sink.h"
#include "core/limits.h"
#include "core/mem.h"

/* Below this a paused exchange goes on. */
#define DOWN_LOW (TR_FLOW_DOWN_HIGH / 2)
/* Written bytes of a request's body below which more are asked for: the writer is a piece ahead of the connection. */
#define UP_LOW ((size_t)256 * 1024)
/* RFC 9110 10.1.1: do not wait for 100 (Continue) indefinitely. curl waits one second too. */
#define HOLD_NS UINT64_C(1000000000)

static void flow_msg(tr_msg_t *msg);
static void begin_file(tr_op_t *op, tr_file_t *file);

static void
lock(tr_flow_t *flow)
{
    (void)pthread_mutex_lock(&flow->lock);
}

static void
unlock(tr_flow_t *flow)
{
    (void)pthread_mutex_unlock(&flow->lock);
}

tr_code_t
tr_flow__new(tr_op_t *op, const tr_op_request_t *request, bool expects, tr_err_t *err)
{
    tr_flow_t *flow = tr_calloc(1, sizeof(*flow));
    if (flow == NULL) {
        return tr_err_nomem(err, "op.prepare");
    }
    (void)pthread_mutex_init(&flow->lock, NULL);
    tr_bufq_init(&flow->down, 0); /* bounded by pausing */
    tr_bufq_init(&flow->up, 0);   /* bounded by what the writer is asked for */
    tr_bufq_init(&flow->raw, 0);
    tr_bufq_init(&flow->out, 0);
    flow->streams = (request->flags & TR_OP_STREAM) != 0;
    flow->holds = flow->streams && (request->flags & TR_OP_TO_FILE) != 0;
    flow->written = request->has_body && request->body_written;
    flow->rewinds = request->body_rewinds;
    flow->up_len = request->body_len;
    flow->up_wanted = flow->written;
    flow->expects = expects && request->has_body;
    flow->op = op;
    op->flow = flow;
    return request->file == NULL ? TR_OK : tr_file__new(&flow->file, request->file, err);
}

void
tr_flow__free(tr_flow_t *flow)
{
    if (flow != NULL) {
        tr_bufq_cleanup(&flow->down);
        tr_bufq_cleanup(&flow->up);
        tr_bufq_cleanup(&flow->raw);
        tr_bufq_cleanup(&flow->out);
        tr_file__unref(flow->file);
        (void)pthread_mutex_destroy(&flow->lock);
        tr_free(flow);
    }
}

/* --------------------------------------------------------------------------------------------------- events, messages */

/* On the loop: the consumer looks again. */
static void
wake_consumer(tr_op_t *op)
{
    if (op->sink != NULL) {
        tr_sink__event(op->sink, op);
    } else {
        tr_engine__wake_caller(tr_engine__self(), op);
    }
}

/* From the consumer, without the lock: the loop looks again. waits: the caller of a blocking op comes for it. False: the engine does not run. */
static bool
post(tr_op_t *op, bool waits)
{
    tr_flow_t *flow = op->flow;
    flow->msg.fn = flow_msg;
    tr_op_ref(op);
    bool posted = tr_engine__post(tr_engine__self(), &flow->msg, waits);
    if (!posted) {
        tr_op_unref(op); /* the engine stops: it completes everything */
    }
    return posted;
}

static void
flow_msg(tr_msg_t *msg)
{
    tr_flow_t *flow = TR_CONTAINER_OF(msg, tr_flow_t, msg);
    tr_op_t *op = flow->op;
    lock(flow);
    flow->posted = false;
    tr_file_t *file = flow->holds && !flow->in_file ? flow->file : NULL;
    bool resume = flow->paused && !flow->in_file && (file != NULL || flow->down.len < DOWN_LOW);
    flow->paused = flow->paused && !resume;
    bool feed = flow->starved && (flow->up.len > 0 || flow->up_ended);
    bool failed = flow->up_failed;
    tr_err_t why = flow->up_err;
    bool read = flow->let_go;
    unlock(flow);
    if (file != NULL) {
        begin_file(op, file);
    } else if (read && flow->over && op->state == TR_OP_WRITING) {
        tr_op__complete(op, NULL); /* it waited to hear where its body goes */
    }
    if (failed && op->state != TR_OP_COMPLETED) {
        tr_op__abort(op, &why); /* wherever it is: the connection may not ask for more for long */
    }
    if (op->state == TR_OP_ACTIVE && feed) {
        flow->starved = false;
        op->activity_ns = tr_loop_now(tr_engine__self()->loop);
        tr_op__arm(op);
        tr_hconn__resume_body(op->hconn, op);
    }
    if (op->state == TR_OP_ACTIVE && resume) {
        op->activity_ns = tr_loop_now(tr_engine__self()->loop);
        tr_op__arm(op);
        tr_hconn__resume(op->hconn, op);
    }
    tr_op_unref(op);
}

/* ----------------------------------------------------------------------------------------------------------------- up */

static void
on_hold_timer(void *arg)
{
    tr_flow__continue(arg);
    tr_engine__settle(tr_engine__self());
}

/* The body source of the exchange: what was written, or the memory that was lent. */
static tr_code_t
read_source(void *arg, uint8_t *out, size_t max, size_t *out_len, tr_err_t *err)
{
    tr_op_t *op = arg;
    tr_flow_t *flow = op->flow;
    tr_code_t code = TR_OK;
    bool wake = false;
    size_t len = 0;
    *out_len = 0;
    if (flow->held || flow->up_stopped) {
        return TR_PAUSED; /* up_stopped is the loop's to write */
    }
    if (!flow->written) {
        len = TR_MIN(max, op->ask.body.len - op->body_sent);
        if (len > 0) {
            memcpy(out, op->ask.body.data + op->body_sent, len);
        }
        code = op->body_sent + len == op->ask.body.len ? TR_EOF : TR_OK;
    } else {
        lock(flow);
        if (flow->up_failed) {
            *err = flow->up_err;
            code = err->code;
        } else {
            /* The last bytes of a declared length wait for the end: were they sent, the server could answer before it shows that the body is
             * too long. */
            bool waits = flow->up_len >= 0 && !flow->up_ended && flow->up_written == (uint64_t)flow->up_len && flow->up.len <= max;
            while (!waits && len < max && flow->up.len > 0) {
                tr_slice_t part = tr_bufq_peek(&flow->up);
                part.len = TR_MIN(part.len, max - len);
                if (part.len > 0) {
                    memcpy(out + len, part.data, part.len);
                }
                tr_bufq_consume(&flow->up, part.len);
                len += part.len;
            }
            flow->up_taken += len;
            if (flow->up.len == 0 && flow->up_ended) {
                code = TR_EOF;
            } else if (len == 0) {
                code = TR_PAUSED;
                flow->starved = true;
            }
            if (!flow->up_ended && !flow->up_wanted && flow->up.len < UP_LOW) {
                flow->up_wanted = wake = true;
            }
        }
        unlock(flow);
    }
    if (len > 0) {
        op->body_sent += len;
        op->activity_ns = tr_loop_now(tr_engine__self()->loop);
        atomic_store_explicit(&flow->sent, op->body_sent, memory_order_relaxed);
    }
    flow->up_done = code == TR_EOF;
    if (wake) {
        wake_consumer(op);
    }
    *out_len = len;
    return code;
}

static void
end_hold(tr_flow_t *flow)
{
    flow->held = false;
    if (flow->hold_timer.deadline_ns != 0) {
        tr_timer_clear(tr_engine__self()->loop, &flow->hold_timer);
    }
}

tr_body_source_t
tr_flow__source(tr_op_t *op)
{
    tr_flow_t *flow = op->flow;
    bool wake = false;
    op->body_sent = 0;
    op->sending_body = true;
    atomic_store_explicit(&flow->sent, 0, memory_order_relaxed);
    flow->starved = flow->up_done = false;
    lock(flow);
    if (flow->up_taken > 0) {
        /* Again from the start. */
        tr_bufq_cleanup(&flow->up);
        flow->up_pass++;
        flow->up_ended = false;
        flow->up_written = flow->up_taken = 0;
        flow->up_wanted = wake = true;
    }
    unlock(flow);
    if (wake) {
        wake_consumer(op);
    }
    end_hold(flow);
    flow->held = flow->expects;
    if (flow->held) {
        tr_loop_t *loop = tr_engine__self()->loop;
        tr_timer_init(&flow->hold_timer, on_hold_timer, op);
        if (tr_timer_set(loop, &flow->hold_timer, tr_loop_now(loop) + HOLD_NS) != TR_OK) {
            flow->held = false; /* no memory to wait: nothing is lost by sending */
        }
    }
    int64_t len = flow->written ? flow->up_len : (int64_t)op->ask.body.len;
    return (tr_body_source_t){true, len, TR_SLICE_NULL, read_source, op};
}

bool
tr_flow__can_resend(const tr_op_t *op)
{
    return !op->flow->written || op->flow->rewinds || op->flow->up_taken == 0; /* up_taken changes on the loop alone */
}

void
tr_flow__continue(tr_op_t *op)
{
    tr_flow_t *flow = op->flow;
    if (flow->held) {
        end_hold(flow);
        if (op->state == TR_OP_ACTIVE) {
            tr_hconn__resume_body(op->hconn, op);
        }
    }
}

void
tr_flow__stop_body(tr_op_t *op)
{
    tr_flow_t *flow = op->flow;
    lock(flow);
    flow->up_stopped = true;
    flow->up_wanted = false;
    tr_bufq_cleanup(&flow->up);
    unlock(flow);
    flow->starved = false;
    end_hold(flow);
}

/* --------------------------------------------------------------------------------------------------------------- down */

void
tr_flow__publish(tr_op_t *op)
{
    op->flow->published = true;
    atomic_store_explicit(&op->flow->answered, true, memory_order_release);
    wake_consumer(op);
}

static void
set_paused(tr_flow_t *flow, bool paused)
{
    lock(flow);
    flow->paused = paused;
    unlock(flow);
}

/* The file has room again. */
static void
file_room(void *arg)
{
    tr_op_t *op = arg;
    tr_engine_t *engine = tr_engine__self();
    set_paused(op->flow, false);
    if (op->state == TR_OP_ACTIVE) {
        op->activity_ns = tr_loop_now(engine->loop);
        tr_op__arm(op);
        tr_hconn__resume(op->hconn, op);
        tr_engine__settle(engine);
    }
}

static void
file_moved(void *arg)
{
    wake_consumer(arg);
}

static void
file_done(void *arg, const tr_err_t *err)
{
    tr_op__written(arg, err);
    tr_engine__settle(tr_engine__self());
}

/* A failure behind which nothing is written: it is the caller's own, or the file's. */
static bool
ends_file(const tr_err_t *err)
{
    return err->code == TR_ERR_CANCELLED || err->code == TR_ERR_CLIENT_CLOSED || err->code == TR_ERR_FILE_WRITE;
}

/* Gives the file the body of this hop, from what came already. A failure leaves the file unused. */
static tr_code_t
start_file(tr_op_t *op, tr_file_t *file, tr_err_t *err)
{
    static const tr_file_events_t events = {file_room, file_moved, file_done};
    tr_flow_t *flow = op->flow;
    tr_engine_t *engine = tr_engine__self();
    tr_file_shop_t shop = {.loop = engine->loop, .num_busy = &engine->num_ops};
    tr_code_t code = tr_engine__writers(&shop.workers, engine, err);
    if (code != TR_OK) {
        return code;
    }
    lock(flow);
    tr_bufq_t came = flow->down;
    tr_bufq_init(&flow->down, 0);
    unlock(flow);
    tr_decoder_t *decoder = op->hop->decoder;
    op->hop->decoder = NULL;
    flow->in_file = true;
    uint64_t max = flow->streams ? 0 : tr_session__max_file(op->session, op->transport);
    tr_file__start(file, &shop, decoder, max, &came, &events, op);
    return TR_OK;
}

/* On the loop, behind tr_op_read_to_file. */
static void
begin_file(tr_op_t *op, tr_file_t *file)
{
    tr_err_t err = TR_ERR_INIT;
    if (start_file(op, file, &err) != TR_OK) {
        tr_file__close(file); /* nothing was written: nothing is flushed, so this does not block */
        tr_op__abort(op, &err);
    } else if (op->state == TR_OP_COMPLETED) {
        tr_file__leave(file, op->has_error && !ends_file(&op->error));
    } else if (op->flow->over) {
        tr_file__end(file);
    }
}

tr_code_t
tr_flow__divert(tr_op_t *op, tr_err_t *err)
{
    op->flow->published = true;
    return start_file(op, op->flow->file, err);
}

bool
tr_flow__end(tr_op_t *op)
{
    tr_flow_t *flow = op->flow;
    lock(flow);
    bool waits = flow->file != NULL || (flow->holds && !flow->let_go);
    unlock(flow);
    if (waits) {
        flow->over = true;
        op->state = TR_OP_WRITING;
        op->origin = NULL;
        if (flow->in_file) {
            tr_file__end(flow->file);
        }
    }
    return !waits;
}

tr_code_t
tr_flow__data(tr_op_t *op, tr_slice_t data, tr_chunk_t **chunk, tr_err_t *err)
{
    tr_flow_t *flow = op->flow;
    tr_code_t code;
    if (flow->in_file) {
        code = tr_file__data(flow->file, data, chunk);
        if (code == TR_PAUSED) {
            set_paused(flow, true);
        }
        return tr_failed(code) ? tr_err_nomem(err, "flow.data") : code;
    }
    lock(flow);
    code = tr_bufq_take(&flow->down, data, chunk);
    bool wake = flow->down_wanted;
    flow->down_wanted = false;
    flow->paused = flow->paused || flow->down.len >= TR_FLOW_DOWN_HIGH; /* until flow_msg ends it, though HTTP/2's window lets more in */
    bool paused = flow->paused;
    unlock(flow);
    if (code != TR_OK) {
        return tr_err_nomem(err, "flow.data");
    }
    if (wake) {
        wake_consumer(op);
    }
    return paused ? TR_PAUSED : TR_OK;
}

bool
tr_flow__is_held(const tr_op_t *op)
{
    const tr_flow_t *flow = op->flow;
    /* A WebSocket's stream waits to be written to from the start; during its handshake the server's time counts. */
    return flow->paused || (flow->starved && (op->flags & TR_OP_DUPLEX) == 0);
}

void
tr_flow__completed(tr_op_t *op, const tr_err_t *err)
{
    tr_flow_t *flow = op->flow;
    end_hold(flow);
    if (flow->in_file) {
        tr_file__leave(flow->file, err != NULL && !ends_file(err));
    } else if (!flow->holds && flow->file != NULL) {
        tr_file__close(flow->file); /* nothing came for it */
    }
}

/* -------------------------------------------------------------------------------------------------- the consumer's side */

bool
tr_op_is_answered(const tr_op_t *op)
{
    return op->flow != NULL && atomic_load_explicit(&op->flow->answered, memory_order_acquire);
}

/* Moves everything that was received into `to` and tells the loop when it may go on. The number of bytes. */
static size_t
take_down(tr_op_t *op, tr_bufq_t *to, bool want)
{
    tr_flow_t *flow = op->flow;
    lock(flow);
    size_t len = flow->down.len;
    tr_bufq_move(to, &flow->down);
    flow->down_wanted = want && len == 0;
    bool tell = (flow->paused || (flow->holds && !flow->let_go)) && !flow->posted;
    flow->let_go = flow->holds;
    flow->posted = flow->posted || tell;
    unlock(flow);
    if (tell) {
        (void)post(op, flow->blocking);
    }
    return len;
}

static tr_code_t
read_failed(tr_flow_t *flow, tr_err_t *err)
{
    flow->bad = true;
    if (err != NULL) {
        *err = flow->read_err;
    }
    return flow->read_err.code;
}

/* Decodes from raw until out has `min` bytes. */
static tr_code_t
decode(tr_op_t *op, tr_decoder_t *decoder, size_t min)
{
    tr_flow_t *flow = op->flow;
    TR_UNUSED(op);
    tr_code_t code = TR_OK;
    while (code == TR_OK && flow->raw.len > 0 && flow->out.len < min) {
        tr_slice_t part = tr_bufq_peek(&flow->raw);
        part.len = TR_MIN(part.len, TR_DECODER_SLICE);
        code = tr_decoder_feed(decoder, &flow->out, part, &flow->read_err);
        tr_bufq_consume(&flow->raw, part.len);
    }
    return code;
}

tr_code_t
tr_op_read_fill(tr_op_t *op, size_t *out_len, size_t min, bool raw, tr_err_t *err)
{
    tr_flow_t *flow = op->flow;
    bool complete = false;
    *out_len = 0;
    if (flow->bad) {
        return read_failed(flow, err);
    }
    if (atomic_load_explicit(&op->orphaned, memory_order_relaxed)) {
        (void)tr_err_set(&flow->read_err, TR_ERR_CANCELLED, 0, "flow.fork", "The request belongs to the parent process.");
        return read_failed(flow, err);
    }
    if (flow->file != NULL) {
        return tr_err_set(err, TR_ERR_INVALID_ARGUMENT, 0, "flow.read", "The body goes into a file.");
    }
    tr_decoder_t *decoder = raw ? NULL : ((tr_hop_t *)op->last)->decoder;
    while (flow->out.len < min) {
        if (decoder != NULL && flow->raw.len > 0) {
            if (decode(op, decoder, min) != TR_OK) {
                return read_failed(flow, err);
            }
            continue;
        }
        if (complete) {
            break;
        }
        /* Completion first: what came before it is in the queue then. */
        complete = tr_op_is_done(op);
        if (take_down(op, decoder != NULL ? &flow->raw : &flow->out, !complete) == 0 && !complete) {
            return TR_AGAIN;
        }
    }
    if (flow->out.len < min && complete && op->has_error) {
        if (flow->out.len == 0) {
            flow->read_err = op->error;
            return read_failed(flow, err);
        }
    } else if (flow->out.len < min && complete && !flow->ended && decoder != NULL) {
        flow->ended = true;
        if (tr_decoder_finish(decoder, &flow->out, &flow->read_err) != TR_OK) {
            return read_failed(flow, err);
        }
    }
    *out_len = flow->out.len;
    return flow->out.len == 0 ? TR_EOF : TR_OK;
}

void
tr_op_read_take(tr_op_t *op, uint8_t *dst, size_t len)
{
    tr_bufq_t *q = &op->flow->out;
    while (len > 0) {
        tr_slice_t part = tr_bufq_peek(q);
        part.len = TR_MIN(part.len, len);
        if (part.len > 0) {
            memcpy(dst, part.data, part.len);
        }
        tr_bufq_consume(q, part.len);
        dst += part.len;
        len -= part.len;
    }
}

/* Under the lock. True: tell the loop. */
static bool
changed(tr_flow_t *flow)
{
    bool tell = !flow->posted;
    flow->posted = true;
    return tell;
}

tr_code_t
tr_op_read_to_file(tr_op_t *op, const tr_op_file_t *spec, tr_err_t *err)
{
    static const char where[] = "flow.to_file";
    tr_flow_t *flow = op->flow;
    tr_file_t *file;
    if (flow == NULL || !flow->holds || !tr_op_is_answered(op)) {
        return tr_err_set(err, TR_ERR_INVALID_ARGUMENT, 0, where, "The request is not one whose body may go into a file now.");
    }
    if (atomic_load_explicit(&op->orphaned, memory_order_relaxed)) {
        return tr_err_set(err, TR_ERR_CANCELLED, 0, "flow.fork", "The request belongs to the parent process.");
    }
    tr_code_t code = tr_file__new(&file, spec, err);
    if (code != TR_OK) {
        return code;
    }
    lock(flow);
    bool late = flow->file != NULL || flow->let_go;
    if (!late) {
        flow->file = file;
    }
    bool tell = !late && changed(flow);
    unlock(flow);
    if (late) {
        tr_file__unref(file);
        return tr_err_set(err, TR_ERR_INVALID_ARGUMENT, 0, where, "The body was read from, or goes into a file already.");
    }
    /* Also the caller of a blocking op may not come: one that failed is over. */
    if (tell && !post(op, false)) {
        tr_file__close(file);
    }
    return TR_OK;
}

/* The consumer's view of it: he set it, or it was there from the start. */
static tr_file_t *
file_of(const tr_op_t *op)
{
    return op->flow == NULL ? NULL : op->flow->file;
}

uint64_t
tr_op_file_written(const tr_op_t *op)
{
    const tr_file_t *file = file_of(op);
    return file == NULL ? 0 : tr_file__written(file);
}

tr_code_t
tr_op_file_wait(tr_op_t *op, uint64_t max_ns)
{
    tr_file_t *file = file_of(op);
    /* In a forked child the worker stayed behind, perhaps with the file's lock. */
    return file == NULL || atomic_load_explicit(&op->orphaned, memory_order_relaxed) ? TR_OK : tr_file__wait(file, max_ns);
}

tr_slice_t
tr_op_file_digest(const tr_op_t *op)
{
    tr_file_t *file = file_of(op);
    return file == NULL || !tr_op_is_done(op) || op->has_error ? TR_SLICE_NULL : tr_file__digest(file);
}

bool
tr_op_wants_body(tr_op_t *op, uint32_t *out_pass)
{
    tr_flow_t *flow = op->flow;
    if (flow == NULL || !flow->written || tr_op_is_done(op)) {
        return false;
    }
    lock(flow);
    bool wanted = flow->up_wanted && !flow->up_ended && !flow->up_stopped && !flow->up_failed;
    *out_pass = flow->up_pass;
    unlock(flow);
    return wanted;
}

uint64_t
tr_op_body_sent(const tr_op_t *op)
{
    return op->flow == NULL ? 0 : atomic_load_explicit(&op->flow->sent, memory_order_relaxed);
}

/* Under the lock. */
static void
fail_up(tr_flow_t *flow, const tr_err_t *why)
{
    flow->up_failed = true;
    flow->up_err = *why;
    flow->up_wanted = false;
    tr_bufq_cleanup(&flow->up);
}

tr_code_t
tr_op_write(tr_op_t *op, uint32_t pass, tr_slice_t data, tr_err_t *err)
{
    tr_flow_t *flow = op->flow;
    tr_code_t code = TR_OK;
    bool tell = false;
    if (tr_op_is_done(op)) {
        return TR_AGAIN;
    }
    lock(flow);
    if (pass != flow->up_pass || flow->up_ended || flow->up_stopped || flow->up_failed) {
        code = TR_AGAIN;
    } else if (flow->up_len >= 0 && data.len > (uint64_t)flow->up_len - flow->up_written) {
        code = tr_err_set(err, TR_ERR_REQUEST_BODY, 0, "flow.write", "The request's body is longer than its declared length.");
        fail_up(flow, err);
        tell = changed(flow);
    } else if (data.len > 0) {
        code = tr_bufq_append(&flow->up, data.data, data.len) == TR_OK ? TR_OK : tr_err_nomem(err, "flow.write");
        if (code == TR_OK) {
            flow->up_written += data.len;
            flow->up_wanted = flow->up.len < UP_LOW;
            tell = changed(flow);
        }
    }
    unlock(flow);
    if (tell) {
        (void)post(op, flow->blocking);
    }
    return code;
}

tr_code_t
tr_op_write_end(tr_op_t *op, uint32_t pass, tr_err_t *err)
{
    tr_flow_t *flow = op->flow;
    tr_code_t code = TR_OK;
    bool tell = false;
    if (tr_op_is_done(op)) {
        return TR_AGAIN;
    }
    lock(flow);
    if (pass != flow->up_pass || flow->up_ended || flow->up_stopped || flow->up_failed) {
        code = TR_AGAIN;
    } else if (flow->up_len >= 0 && flow->up_written < (uint64_t)flow->up_len) {
        code = tr_err_set(err, TR_ERR_REQUEST_BODY, 0, "flow.write", "The request's body is shorter than its declared length.");
        fail_up(flow, err);
        tell = changed(flow);
    } else {
        flow->up_ended = true;
        flow->up_wanted = false;
        tell = changed(flow);
    }
    unlock(flow);
    if (tell) {
        (void)post(op, flow->blocking);
    }
    return code;
}

void
tr_op_write_fail(tr_op_t *op, const char *why)
{
    tr_flow_t *flow = op->flow;
    tr_err_t err = TR_ERR_INIT;
    if (tr_op_is_done(op)) {
        return;
    }
    (void)tr_err_set(&err, TR_ERR_REQUEST_BODY, 0, "flow.write", "%s", why);
    lock(flow);
    fail_up(flow, &err);
    bool tell = changed(flow);
    unlock(flow);
    if (tell) {
        (void)post(op, flow->blocking);
    }
}
