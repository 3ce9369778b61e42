/* file: an answer's body on its way into a file descriptor. File systems block, so all that touches the descriptor happens on a worker thread
 * (net/worker.h), a batch at a time; the loop only hands batches over. DESIGN
 *
 *   loop                                                  worker, one job at a time
 *   tr_file__data -> queue                                decoder -> out -> writev, digest
 *        a piece, or 100 ms passed:       -> batch ->       the last job also finishes the decoder, writes the tail and closes
 *   room, moved, done                     <- the job's end
 *
 * - What is in memory: a batch with the worker, and behind it at most TR_FILE_QUEUE_HIGH bytes before tr_file__data says TR_PAUSED, and what
 *   the connection lets in nevertheless.
 * - The file has a duplicate of the caller's descriptor: who lent it may close his at any time. The duplicate is closed by a worker, once:
 *   behind the last byte, a failure, or tr_file__leave. Only a file that no job ever had, or that no job can be made for, is closed by
 *   whoever lets go of it.
 * - No lock is held while the system is called. Batch, decoder and digest change hands with the job, under the pool's mutex.
 * - The object is counted (who made it, and the job): a worker that blocks in a call finishes alone, whatever became of op, loop and pool. */
#ifndef TR_CLIENT_FILE_H
#define TR_CLIENT_FILE_H

#include <stdatomic.h>

#include "client/client.h"
#include "core/bufq.h"
#include "http/coding.h"
#include "net/worker.h"

typedef struct tr_file tr_file_t;

/* All are called on the loop, never from within a function of the file, and may call tr_file__leave. arg: see tr_file__start. */
typedef struct tr_file_events {
    void (*room)(void *arg);                      /* behind TR_PAUSED: the exchange may go on */
    void (*moved)(void *arg);                     /* bytes were written; only when the caller asked for events */
    void (*done)(void *arg, const tr_err_t *err); /* once: all is written (NULL) or it failed. The descriptor is closed */
} tr_file_events_t;

/* tr_file__new duplicates the descriptor and copies the rest of spec: FILE_WRITE (it is none that can be written), INVALID_ARGUMENT, NOMEM.
 * Count 1. Any thread. */
tr_code_t tr_file__new(tr_file_t **out, const tr_op_file_t *spec, tr_err_t *err);
/* Any thread. */
void tr_file__unref(tr_file_t *file);

/* --- on the loop --- */
/* What a file works with. */
typedef struct tr_file_shop {
    tr_loop_t *loop;
    tr_workers_t *workers;
    atomic_uint *num_busy; /* counts jobs: while it is not zero somebody must run the loop, also behind tr_file__leave. For as long as there are
                              workers */
} tr_file_shop_t;

/* tr_file__start makes it ready. What the shop has is lent until the pool is freed; the decoder (NULL: none) is taken over. max_len, when it is
 * not 0, bounds what is written like the spec's, whichever is less. What q holds goes first. */
void tr_file__start(tr_file_t *file, const tr_file_shop_t *shop, tr_decoder_t *decoder, uint64_t max_len, tr_bufq_t *q,
                    const tr_file_events_t *events, void *arg);
/* tr_file__data takes bytes of the body, and the chunk where that spares a copy: TR_OK; TR_PAUSED (taken too, and room will come); NOMEM. */
tr_code_t tr_file__data(tr_file_t *file, tr_slice_t data, tr_chunk_t **chunk);
/* tr_file__end says that the body is complete: done will come. */
void tr_file__end(tr_file_t *file);
/* tr_file__leave ends the events: nobody waits any more. keep: what was handed in is still written, without an end (the body broke off); else
 * nothing is written behind the system call that is under way. A started file only; any number of times. */
void tr_file__leave(tr_file_t *file, bool keep);

/* --- any thread --- */
/* tr_file__close gives a file up that was not started. */
void tr_file__close(tr_file_t *file);
/* Bytes of the body that were written. */
uint64_t tr_file__written(const tr_file_t *file);
/* tr_file__wait waits for the descriptor to be closed: TR_OK, or TR_AGAIN when max_ns passed. Must not be called on the loop's thread. */
tr_code_t tr_file__wait(tr_file_t *file, uint64_t max_ns);
/* tr_file__digest lends the digest of a complete body; empty: there is none (yet), or none was asked for. */
tr_slice_t tr_file__digest(tr_file_t *file);

/* Around a fork: the child closes the descriptors that it inherited, and touches nothing else of them. */
void tr_file__before_fork(void);
void tr_file__after_fork(bool child);
/* Descriptors that are open, for tests. */
size_t tr_file__num_open(void);

#endif
