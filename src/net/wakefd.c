#include "net/wakefd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

static tr_code_t
open_pipe(tr_wakefd_t *wake, tr_err_t *err)
{
    int fds[2];
    if (pipe(fds) != 0) {
        return tr_err_set(err, TR_ERR_SYSTEM, errno, "net.wakefd", "pipe failed: errno %d", errno);
    }
    for (int i = 0; i < 2; i++) {
        int flags = fcntl(fds[i], F_GETFL);
        if (flags < 0 || fcntl(fds[i], F_SETFL, flags | O_NONBLOCK) != 0 ||
            fcntl(fds[i], F_SETFD, FD_CLOEXEC) != 0) {
            int saved = errno;
            (void)close(fds[0]);
            (void)close(fds[1]);
            return tr_err_set(err, TR_ERR_SYSTEM, saved, "net.wakefd", "fcntl failed: errno %d", saved);
        }
    }
    *wake = (tr_wakefd_t){fds[0], fds[1]};
    return TR_OK;
}

tr_code_t
tr_wakefd_open(tr_wakefd_t *wake, bool force_pipe, tr_err_t *err)
{
    *wake = TR_WAKEFD_INIT;
#ifdef __linux__
    if (!force_pipe) {
        int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (fd >= 0) {
            *wake = (tr_wakefd_t){fd, fd};
            return TR_OK;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
            return tr_err_set(err, TR_ERR_SYSTEM, errno, "net.wakefd", "eventfd failed: errno %d", errno);
        }
        /* A sandbox without eventfd: the pipe does as well. */
    }
#endif
    TR_UNUSED(force_pipe);
    return open_pipe(wake, err);
}

void
tr_wakefd_close(tr_wakefd_t *wake)
{
    if (wake->write_fd >= 0 && wake->write_fd != wake->read_fd) {
        (void)close(wake->write_fd);
    }
    if (wake->read_fd >= 0) {
        (void)close(wake->read_fd);
    }
    *wake = TR_WAKEFD_INIT;
}

void
tr_wakefd_signal(const tr_wakefd_t *wake)
{
    /* Eight bytes are what an eventfd takes; a pipe that is full is readable already. */
    static const uint64_t one = 1;
    int saved = errno;
    ssize_t n;
    do {
        n = write(wake->write_fd, &one, sizeof(one));
    } while (n < 0 && errno == EINTR);
    errno = saved;
}

void
tr_wakefd_reset(const tr_wakefd_t *wake)
{
    uint64_t drain[64];
    if (tr_wakefd_is_event(wake)) {
        (void)!read(wake->read_fd, drain, sizeof(drain[0]));
        return;
    }
    /* A pipe holds at most 64 KiB or so: the bound ends the loop even against a signaller in a hurry. */
    for (int i = 0; i < 1024; i++) {
        ssize_t n = read(wake->read_fd, drain, sizeof(drain));
        if (n < (ssize_t)sizeof(drain)) {
            break;
        }
    }
}

bool
tr_wakefd_is_event(const tr_wakefd_t *wake)
{
    return wake->read_fd == wake->write_fd;
}
