/* eyeballs: happy eyeballs (RFC 8305): the addresses of a host are tried in turn, families alternating, a new attempt every 250 ms or as soon
 * as one failed; the first that connects wins, the others are closed. Only TCP is raced. On the loop only. */
#ifndef TR_NET_EYEBALLS_H
#define TR_NET_EYEBALLS_H

#include "net/filter.h"

typedef struct tr_eyeballs tr_eyeballs_t;

/* tr_eyeballs_new copies the addresses (at most TR_DNS_MAX_ADDRESSES) and local (NULL: any; addresses of another family are then left out).
 * done comes on the loop, once, never inside a call here: with the connected socket, which it owns, or with NULL and the most telling
 * error. It may free the race. */
tr_code_t tr_eyeballs_new(tr_eyeballs_t **out, tr_loop_t *loop, const tr_address_t *addresses, size_t num, const tr_address_t *local,
                          void (*done)(void *arg, tr_filter_t *tcp, const tr_err_t *err), void *arg, tr_err_t *err);
/* tr_eyeballs_set_options before start: for every socket of the race; lent as with tr_tcp_set_options. */
void tr_eyeballs_set_options(tr_eyeballs_t *race, const tr_sockopts_t *options);
/* tr_eyeballs_start: TR_OK: *out_tcp is connected already and the caller's; TR_AGAIN: done will come; else all attempts failed.
 * After TR_OK or a failure done does not come. */
tr_code_t tr_eyeballs_start(tr_eyeballs_t *race, tr_filter_t **out_tcp, tr_err_t *err);
/* tr_eyeballs_free closes the attempts; done does not come any more. */
void tr_eyeballs_free(tr_eyeballs_t *race);

#endif
