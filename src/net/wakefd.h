/* wakefd: a descriptor that becomes readable when another thread (or a signal handler) says so: an eventfd, or a non-blocking pipe
 * where there is none. Signalling is async-signal-safe and possible from any thread; the rest belongs to the owner. */
#ifndef TR_NET_WAKEFD_H
#define TR_NET_WAKEFD_H

#include "core/err.h"

typedef struct tr_wakefd {
    int read_fd;  /* poll this one; -1: not open */
    int write_fd; /* the same as read_fd with an eventfd */
} tr_wakefd_t;

#define TR_WAKEFD_INIT ((tr_wakefd_t){-1, -1})

/* tr_wakefd_open: force_pipe takes the portable way (tests). SYSTEM with errno in detail. */
tr_code_t tr_wakefd_open(tr_wakefd_t *wake, bool force_pipe, tr_err_t *err);
void tr_wakefd_close(tr_wakefd_t *wake);
/* tr_wakefd_signal makes read_fd readable; errno is kept. */
void tr_wakefd_signal(const tr_wakefd_t *wake);
/* tr_wakefd_reset makes it unreadable again. */
void tr_wakefd_reset(const tr_wakefd_t *wake);
/* tr_wakefd_is_event: each signal is a new edge even when the last one was not reset. */
bool tr_wakefd_is_event(const tr_wakefd_t *wake);

#endif
