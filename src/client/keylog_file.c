#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client/engine.h"
#include "core/mem.h"

/* Logs stay open for the process's life: there are as many as distinct paths, that is one or none. A client that is given a new path each
 * time would leak descriptors, so past this nothing is logged. */
#define MAX_LOGS 64

typedef struct tr_keylog {
    struct tr_keylog *next;
    int fd;
    char path[];
} tr_keylog_t;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static tr_keylog_t *logs; /* mutex */
static unsigned num_logs; /* mutex */

static tr_keylog_t *
open_locked(const char *path)
{
    for (tr_keylog_t *log = logs; log != NULL; log = log->next) {
        if (strcmp(log->path, path) == 0) {
            return log;
        }
    }
    size_t len = strlen(path);
    tr_keylog_t *log = num_logs >= MAX_LOGS ? NULL : tr_malloc(sizeof(*log) + len + 1);
    if (log == NULL) {
        return NULL;
    }
    memcpy(log->path, path, len + 1);
    log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log->fd < 0) {
        tr_free(log);
        return NULL;
    }
    log->next = logs;
    logs = log;
    num_logs++;
    return log;
}

struct tr_keylog *
tr_keylog__open(const char *path)
{
    if (path == NULL) {
        path = getenv("SSLKEYLOGFILE");
    }
    if (path == NULL || *path == 0) {
        return NULL;
    }
    (void)pthread_mutex_lock(&mutex);
    tr_keylog_t *log = open_locked(path);
    (void)pthread_mutex_unlock(&mutex);
    return log;
}

void
tr_keylog__line(void *arg, const char *line)
{
    const tr_keylog_t *log = arg;
    char newline = '\n';
    struct iovec parts[2] = {{(void *)(uintptr_t)line, strlen(line)}, {&newline, 1}};
    (void)pthread_mutex_lock(&mutex);
    ssize_t done = writev(log->fd, parts, 2); /* one call: other processes append to the same file */
    (void)pthread_mutex_unlock(&mutex);
    TR_UNUSED(done);
}

void
tr_keylog__before_fork(void)
{
    (void)pthread_mutex_lock(&mutex);
}

void
tr_keylog__after_fork(void)
{
    (void)pthread_mutex_unlock(&mutex);
}
