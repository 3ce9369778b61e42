#include "core/trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

unsigned tr_trace_topics;

static const char *const names[] = {"tls", "h1", "h2", "net", "dns", "pool", "op", "bridge"};

void
tr_trace_init(void)
{
    const char *text = getenv("TLS_REQUESTS_TRACE");
    unsigned topics = 0;
    while (text != NULL && *text != 0) {
        size_t len = strcspn(text, ", ");
        if (len == 3 && memcmp(text, "all", 3) == 0) {
            topics = ~0u;
        }
        for (size_t i = 0; i < TR_ARRAY_LEN(names); i++) {
            if (strlen(names[i]) == len && memcmp(text, names[i], len) == 0) {
                topics |= 1u << i;
            }
        }
        text += len + (text[len] != 0 ? 1 : 0);
    }
    tr_trace_topics = topics;
}

void
tr_trace_line(tr_topic_t topic, const char *fmt, ...)
{
    char line[512];
    unsigned index = 0;
    while ((unsigned)topic >> (index + 1) != 0 && index + 1 < TR_ARRAY_LEN(names)) {
        index++;
    }
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    int n = snprintf(line, sizeof(line), "%ld.%06ld %-6s ", (long)now.tv_sec % 100000, now.tv_nsec / 1000,
                     names[index]);
    if (n < 0) {
        return;
    }
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, args);
    va_end(args);
    size_t len = strlen(line);
    line[len] = '\n';
    /* One write a line, so that threads do not mix theirs. */
    (void)fwrite(line, 1, len + 1, stderr);
}
