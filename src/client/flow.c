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
/* Input of one call of the decoder: at the ratio limit of 200 it makes 400 KiB, at gzip's own maximum 2 MiB. */
#define DECODE_SLICE ((size_t)2048)
/* RFC 9110 10.1.1: do not wait for 100 (Continue) indefinitely. curl waits one second too. */
#define HOLD_NS UINT64_C(1000000000)

static void flow_msg(tr_msg_t *msg);

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
tr_flow__new(tr_op_t *op, const tr_op_request_t *request, bool expects)
{
    tr_flow_t *flow = tr_calloc(1, sizeof(*flow));
    if (flow == NULL) {
        return TR_ERR_NOMEM;
    }
    (void)pthread_mutex_init(&flow->lock, NULL);
    tr_bufq_init(&flow->down, 0); /* bounded by pausing */
    tr_bufq_init(&flow->up, 0);   /* bounded by what the writer is asked for */
    tr_bufq_init(&flow->raw, 0);
    tr_bufq_init(&flow->out, 0);
    flow->streams = (request->flags & TR_OP_STREAM) != 0;
    flow->written = request->has_body && request->body_written;
    flow->rewinds = request->body_rewinds;
    flow->up_len = request->body_len;
    flow->up_wanted = flow->written;
    flow->expects = expects && request->has_body;
    flow->op = op;
    op->flow = flow;
    return TR_OK;
}

void
tr_flow__free(tr_flow_t *flow)
{
    if (flow != NULL) {
        tr_bufq_cleanup(&flow->down);
        tr_bufq_cleanup(&flow->up);
        tr_bufq_cleanup(&flow->raw);
        tr_bufq_cleanup(&flow->out);
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

/* From the consumer, without the lock: the loop looks again. */
static void
post(tr_op_t *op)
{
    tr_flow_t *flow = op->flow;
    flow->msg.fn = flow_msg;
    tr_op_ref(op);
    if (!tr_engine__post(tr_engine__self(), &flow->msg, flow->blocking)) {
        tr_op_unref(op); /* the engine stops: it completes everything */
    }
}

static void
flow_msg(tr_msg_t *msg)
{
    tr_flow_t *flow = TR_CONTAINER_OF(msg, tr_flow_t, msg);
    tr_op_t *op = flow->op;
    lock(flow);
    flow->posted = false;
    bool resume = flow->paused && flow->down.len < DOWN_LOW;
    flow->paused = flow->paused && !resume;
    bool feed = flow->starved && (flow->up.len > 0 || flow->up_ended);
    bool failed = flow->up_failed;
    tr_err_t why = flow->up_err;
    unlock(flow);
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

tr_code_t
tr_flow__data(tr_op_t *op, tr_slice_t data, tr_chunk_t **chunk, tr_err_t *err)
{
    tr_flow_t *flow = op->flow;
    tr_code_t code;
    lock(flow);
    if (chunk != NULL && *chunk != NULL && (*chunk)->len >= (*chunk)->cap / 2) {
        code = tr_bufq_push(&flow->down, *chunk);
        if (code == TR_OK) {
            *chunk = NULL;
        }
    } else {
        code = tr_bufq_append(&flow->down, data.data, data.len); /* a chunk that is mostly empty would hold memory for nothing */
    }
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
tr_flow__completed(tr_op_t *op)
{
    end_hold(op->flow);
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
    bool tell = flow->paused && !flow->posted;
    flow->posted = flow->posted || tell;
    unlock(flow);
    if (tell) {
        post(op);
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
        part.len = TR_MIN(part.len, DECODE_SLICE);
        code = tr_decoder_feed(decoder, &flow->out, part, &flow->read_err);
        tr_bufq_consume(&flow->raw, part.len);
    }
    return code;
}

tr_code_t
tr_op_read_fill(tr_op_t *op, size_t *out_len, size_t min, bool raw, tr_err_t *err)
{
    tr_flow_t *flow = op->flow;
    tr_decoder_t *decoder = raw ? NULL : ((tr_hop_t *)op->last)->decoder;
    bool complete = false;
    *out_len = 0;
    if (flow->bad) {
        return read_failed(flow, err);
    }
    if (atomic_load_explicit(&op->orphaned, memory_order_relaxed)) {
        (void)tr_err_set(&flow->read_err, TR_ERR_CANCELLED, 0, "flow.fork", "The request belongs to the parent process.");
        return read_failed(flow, err);
    }
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

/* Under the lock. True: tell the loop. */
static bool
changed(tr_flow_t *flow)
{
    bool tell = !flow->posted;
    flow->posted = true;
    return tell;
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
        post(op);
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
        post(op);
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
        post(op);
    }
}
