/* sink: completed ops on their way to one consumer. The loop collects a turn's completions and hands them over with one lock and one write
 * to the descriptor. */
#ifndef TR_CLIENT_SINK_H
#define TR_CLIENT_SINK_H

#include "client/client.h"
#include "core/list.h"

/* tr_sink__ref and _unref count ops under way and the consumer. */
tr_sink_t *tr_sink__ref(tr_sink_t *sink);
void tr_sink__unref(tr_sink_t *sink);
/* tr_sink__add appends a completed op to the turn's batch, with the engine's reference. On the loop. True: the batch was empty. */
bool tr_sink__add(tr_sink_t *sink, tr_op_t *op);
/* tr_sink__event puts the op into the list of those with an event, with a reference, unless it is in there. On the loop; the op must have a flow. */
void tr_sink__event(tr_sink_t *sink, tr_op_t *op);
/* tr_sink__flush hands the batch over. On the loop. */
void tr_sink__flush(tr_sink_t *sink);
/* The node in the engine's list of sinks with a batch. */
tr_link_t *tr_sink__link(tr_sink_t *sink);
tr_sink_t *tr_sink__from_link(tr_link_t *link);

#endif
