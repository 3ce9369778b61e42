/* psl: which domains are public suffixes (com, co.uk, github.io), under which strangers live side by side, and to which site a host belongs.
 * The list is libpsl's: the newer of the one compiled into it and the system's file. It is opened at the first question and kept for the
 * life of the process. Any thread. */
#ifndef TR_CLIENT_PSL_H
#define TR_CLIENT_PSL_H

#include "core/base.h"

struct psl_ctx_st;

/* tr_psl_is_suffix says whether a domain (lower case, IDNA names in their xn-- form) is a public suffix. A single label always is one, as the
 * list's default rule says; so is everything where libpsl has no list at all: then no site can set cookies for another. */
bool tr_psl_is_suffix(tr_slice_t domain);
/* tr_psl_site gives the part of a host that its owner registered (example.co.uk of www.example.co.uk), lent from host; the host itself when
 * it is a public suffix or an address. */
tr_slice_t tr_psl_site(tr_slice_t host);

/* For the functions above and their tests: the same with a list of the caller's; NULL: there is none. */
bool tr_psl__is_suffix_in(const struct psl_ctx_st *list, tr_slice_t domain);

#endif
