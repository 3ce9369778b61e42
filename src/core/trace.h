/* trace: what happens inside, by topic, on standard error. Off by default; the environment variable
 * TLS_REQUESTS_TRACE turns topics on ("tls,h2" or "all"). Arguments are not evaluated while a topic is
 * off. Never pass a secret. Any thread. */
#ifndef TR_CORE_TRACE_H
#define TR_CORE_TRACE_H

#include "core/base.h"

typedef enum tr_topic {
    TR_TOPIC_TLS = 1u << 0,
    TR_TOPIC_H1 = 1u << 1,
    TR_TOPIC_H2 = 1u << 2,
    TR_TOPIC_NET = 1u << 3,
    TR_TOPIC_DNS = 1u << 4,
    TR_TOPIC_POOL = 1u << 5,
    TR_TOPIC_OP = 1u << 6,
    TR_TOPIC_BRIDGE = 1u << 7
} tr_topic_t;

/* Read-only after tr_trace_init. */
extern unsigned tr_trace_topics;

/* tr_trace_init reads the environment; call it once, before any thread is started. */
void tr_trace_init(void);
void tr_trace_line(tr_topic_t topic, const char *fmt, ...) TR_PRINTF(2, 3);

#define TR_TRACE(topic, ...)                                                                       \
    do {                                                                                           \
        if (TR_UNLIKELY((tr_trace_topics & (unsigned)(topic)) != 0)) {                             \
            tr_trace_line((topic), __VA_ARGS__);                                                   \
        }                                                                                          \
    } while (0)

#endif
