/* cond: condition variables with a bounded wait on the monotonic clock, which macOS can only have relative to now. Any thread. */
#ifndef TR_CORE_COND_H
#define TR_CORE_COND_H

#include <pthread.h>
#include <time.h>

#include "core/base.h"

/* tr_cond_init makes a condition for tr_cond_wait. False: the system has no room for it. */
static inline bool
tr_cond_init(pthread_cond_t *cond)
{
#ifdef __APPLE__
    return pthread_cond_init(cond, NULL) == 0;
#else
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0) {
        return false;
    }
    bool ok = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 && pthread_cond_init(cond, &attr) == 0;
    (void)pthread_condattr_destroy(&attr);
    return ok;
#endif
}

/* The clock of tr_cond_wait. */
static inline uint64_t
tr_cond_now(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/* tr_cond_wait waits until until_ns (UINT64_MAX: no bound); false when that was reached. As ever with conditions it may come back for nothing. */
static inline bool
tr_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until_ns)
{
    if (until_ns == UINT64_MAX) {
        return pthread_cond_wait(cond, mutex) == 0;
    }
#ifdef __APPLE__
    uint64_t now = tr_cond_now();
    uint64_t ns = until_ns > now ? until_ns - now : 0;
    struct timespec ts = {(time_t)(ns / UINT64_C(1000000000)), (long)(ns % UINT64_C(1000000000))};
    return pthread_cond_timedwait_relative_np(cond, mutex, &ts) == 0;
#else
    struct timespec ts = {(time_t)(until_ns / UINT64_C(1000000000)), (long)(until_ns % UINT64_C(1000000000))};
    return pthread_cond_timedwait(cond, mutex, &ts) == 0;
#endif
}

#endif
