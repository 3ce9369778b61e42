/* flow: the bodies of an op in pieces, down to a reader and up from a writer, with back-pressure both ways. An op has one when its answer is
 * streamed (TR_OP_STREAM), when its body is written piece by piece (tr_op_request_t.body_written), or when it asks for 100 (Continue). DESIGN
 *
 *   loop                                    lock                      consumer (the caller's thread)
 *   data of the exchange     -> append ->   down   -> tr_op_read_fill -> decoder -> out -> tr_op_read_take
 *   source of the exchange   <- take  <-    up     <- tr_op_write
 *
 * - The op still completes once. Before that the consumer is woken by events (answered, bytes came, body wanted): by the sink's list of
 *   events, or, for a blocking caller, by `awake`. An event says "look again" and nothing else; it may come too often, never too seldom.
 * - The answer is published when its head is there (`answered`): from then on the loop writes nothing of the response but its trailers, which
 *   are read after completion.
 * - Past TR_FLOW_DOWN_HIGH the exchange is paused; the consumer's message un-pauses it below half of it. What waits is bounded by that and what
 *   HTTP/2's window or HTTP/1.1's input queue lets in behind it.
 * - Content codings are removed on the consumer's side, in slices, so that a small piece of input cannot fill memory before somebody reads.
 * - With a file (file.h) a worker is the reader: it takes what the loop hands over, decodes and writes it. The op completes when that is done.
 * - The body goes up in passes: a replay or a redirect begins a new one, and what was written for an older pass is dropped. */
#ifndef TR_CLIENT_FLOW_H
#define TR_CLIENT_FLOW_H

#include <pthread.h>
#include <stdatomic.h>

#include "client/client.h"
#include "client/file.h"
#include "client/queue.h"
#include "core/bufq.h"
#include "http/exchange.h"
#include "net/loop.h"

typedef struct tr_flow {
    pthread_mutex_t lock;
    /* --- under lock --- */
    tr_bufq_t down;      /* received, content coding not removed */
    bool down_wanted;    /* the reader found nothing and waits */
    tr_bufq_t up;        /* written, not taken by the engine */
    bool up_wanted;      /* the writer shall write */
    bool up_ended;       /* everything of this pass was written */
    bool up_stopped;     /* nobody wants the rest: an answer came that needs none, or a redirect dropped the body */
    uint64_t up_written; /* bytes of this pass */
    uint64_t up_taken;   /* of them, by the engine */
    uint32_t up_pass;
    bool up_failed;      /* the writer gave up */
    tr_err_t up_err;
    bool posted;         /* msg is on its way */
    bool let_go;         /* of one that holds: it is read by tr_op_read_fill */
    tr_file_t *file;     /* owned; NULL: none (yet). Set once, by tr_op_prepare or tr_op_read_to_file */
    /* --- any thread --- */
    atomic_bool answered; /* release by the loop: the response may be read */
    atomic_bool awake;    /* of a blocking op: an event came */
    atomic_ullong sent;   /* bytes of the body taken by the engine in this pass */
    /* --- constant once the op is prepared or submitted --- */
    bool streams;    /* the answer is */
    bool written;    /* the request's body is */
    bool rewinds;    /* the writer can begin again */
    bool expects;    /* the request has expect: 100-continue */
    bool blocking;   /* no sink */
    bool holds;      /* TR_OP_TO_FILE: where the body goes is said when the answer is looked at */
    int64_t up_len;  /* declared; -1: unknown */
    /* --- the sink's, under its lock --- */
    tr_op_t *event_next;
    bool in_events;
    /* --- the loop's --- */
    bool published;  /* the body is the flow's: answered was set, or it goes into the file */
    bool in_file;    /* the file was started: it takes the body */
    bool over;       /* the exchange is, the op waits for its file or its reader */
    bool paused;     /* data said TR_PAUSED */
    bool starved;    /* the source said TR_PAUSED because nothing was written */
    bool held;       /* ... because 100 (Continue) is awaited */
    bool up_done;    /* the source said TR_EOF */
    tr_timer_t hold_timer;
    tr_op_t *op; /* whose flow it is */
    tr_msg_t msg;
    /* --- the reader's --- */
    tr_bufq_t raw;   /* on its way into the decoder */
    tr_bufq_t out;   /* to be taken */
    bool ended;      /* the decoder was finished */
    bool bad;        /* decoding failed: read_err */
    tr_err_t read_err;
} tr_flow_t;

/* tr_flow__new makes the op's flow from its request: NOMEM, and what the request's file cannot be used for. */
tr_code_t tr_flow__new(tr_op_t *op, const tr_op_request_t *request, bool expects, tr_err_t *err);
void tr_flow__free(tr_flow_t *flow);

/* All on the loop. */
/* tr_flow__source is what tr_op__source gives for an op with a flow that has a body. Begins a pass. */
tr_body_source_t tr_flow__source(tr_op_t *op);
/* tr_flow__can_resend says whether the request can be made again: nothing of the body was taken, or the writer can begin again. */
bool tr_flow__can_resend(const tr_op_t *op);
/* tr_flow__continue: 100 came, or enough time passed. */
void tr_flow__continue(tr_op_t *op);
/* tr_flow__stop_body: the rest of the request's body is not wanted. */
void tr_flow__stop_body(tr_op_t *op);
/* tr_flow__publish hands the response out: it is in op->responses. */
void tr_flow__publish(tr_op_t *op);
/* tr_flow__divert has the body of this hop go into the request's file. NOMEM, SYSTEM. */
tr_code_t tr_flow__divert(tr_op_t *op, tr_err_t *err);
/* tr_flow__data takes body bytes of a published response: TR_OK, TR_PAUSED, TR_ERR_NOMEM. */
tr_code_t tr_flow__data(tr_op_t *op, tr_slice_t data, tr_chunk_t **chunk, tr_err_t *err);
/* tr_flow__is_held says that the op waits for its own caller, so that no limit on the server's time counts. */
bool tr_flow__is_held(const tr_op_t *op);
/* tr_flow__end says that the body is complete. False: the op's file, or who reads it, ends the op later. */
bool tr_flow__end(tr_op_t *op);
/* tr_flow__completed: the last thing before the op's completion is announced. err: why it failed; NULL: it did not. */
void tr_flow__completed(tr_op_t *op, const tr_err_t *err);

#endif
