/* hints: which client hints servers asked for by Accept-CH, by origin, and which of them a request has. One store a session; the loop's alone.
 *
 * What is obeyed was seen in Chromium 156: answers to navigations of the page itself (redirects and errors among them), not to frames or to
 * what pages load; a later field takes the place of an earlier one, an empty one ends it, one that is no list of tokens is as good as none. */
#ifndef TR_CLIENT_HINTS_H
#define TR_CLIENT_HINTS_H

#include "client/compose.h"
#include "core/map.h"
#include "http/headers.h"

struct tr_op;

/* Bits of a set of hints: 1 << tr_hint_t. */
typedef uint32_t tr_hint_set_t;

/* tr_hints_parse reads all fields of that name (RFC 8941 3.1: a list of tokens with parameters); names that are no hints are passed over.
 * False: there is none, or they cannot be read. */
bool tr_hints_parse(tr_hint_set_t *out, const tr_headers_t *headers, tr_slice_t name);

/* tr_hints__received stores what an answer asks for. True when the request shall be made once more at once, because it lacked hints that
 * Critical-CH names (the answer is then not looked at further). Out of memory: as if it had not been asked. */
bool tr_hints__received(struct tr_op *op, const tr_headers_t *headers);
/* tr_hints__compose fills in what the present hop answers, and notes it in the op. of_connection: what the server asked for within the handshake
 * (tr_h2_accept_ch): for visits on that connection, and not stored. */
void tr_hints__compose(struct tr_op *op, tr_slice_t of_connection, tr_compose_t *out);
/* tr_hints__free frees a session's store; NULL is legal. */
void tr_hints__free(tr_map_t *store);

#endif
