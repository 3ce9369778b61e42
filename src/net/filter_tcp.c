/* The bottom of a stack: a non-blocking TCP socket and the one output buffer of the connection. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/trace.h"
#include "net/filter.h"

/* An output block larger than this is given back once it is empty: idle connections stay small. */
#define OUT_KEEP 32768
/* Room asked for by a read: the first, for a short answer, and the largest, for a body in full flow. Larger reads are slower: the bytes
 * leave the second-level cache, and allocators give blocks beyond 128 KiB back to the system and take page faults for the next one. */
#define READ_MIN ((size_t)16 * 1024)
#define READ_MAX ((size_t)64 * 1024)
/* Free room at the end of the queue that is worth a read of its own. */
#define READ_ROOM 4096

#ifdef MSG_NOSIGNAL
#define SEND_FLAGS MSG_NOSIGNAL
#else
#define SEND_FLAGS 0 /* SO_NOSIGPIPE on the socket */
#endif

typedef struct tcp {
    tr_filter_t base;
    tr_loop_t *loop;   /* lent */
    int fd;            /* owned; -1: not open */
    bool connected;
    int events;        /* TR_WATCH_* awaited */
    tr_watch_t *watch; /* owned; NULL until needed */
    void (*on_ready)(void *arg, int events);
    void *on_ready_arg;
    tr_buf_t out;      /* what the kernel has not taken yet */
    uint64_t written;  /* bytes that it has taken */
    size_t read_size;  /* room for the next read */
    tr_address_t address;
    tr_address_t local; /* len 0: any */
    const tr_sockopts_t *options; /* lent until connected; NULL: none */
} tcp_t;

void
tr_filter_free(tr_filter_t *f)
{
    while (f != NULL) {
        tr_filter_t *next = f->next;
        f->type->cleanup(f);
        f = next;
    }
}

tr_filter_t *
tr_filter_pop(tr_filter_t *f)
{
    tr_filter_t *next = f->next;
    f->type->cleanup(f);
    return next;
}

/* ------------------------------------------------------------------------------------------------------------- errors */

typedef struct errno_row {
    int value;
    tr_code_t connecting; /* while the connection is being opened */
    tr_code_t open;       /* afterwards */
    const char *text;
} errno_row_t;

static const errno_row_t errno_rows[] = {
    {ECONNREFUSED, TR_ERR_CONNECT_REFUSED, TR_ERR_CONNECT_RESET, "connection refused"},
    {ENETUNREACH, TR_ERR_CONNECT_UNREACHABLE, TR_ERR_CONNECT_RESET, "network is unreachable"},
    {EHOSTUNREACH, TR_ERR_CONNECT_UNREACHABLE, TR_ERR_CONNECT_RESET, "no route to host"},
    {ENETDOWN, TR_ERR_CONNECT_UNREACHABLE, TR_ERR_CONNECT_RESET, "network is down"},
    {EHOSTDOWN, TR_ERR_CONNECT_UNREACHABLE, TR_ERR_CONNECT_RESET, "host is down"},
    {EADDRNOTAVAIL, TR_ERR_CONNECT_UNREACHABLE, TR_ERR_CONNECT_RESET, "cannot assign requested address"},
    {EAFNOSUPPORT, TR_ERR_CONNECT_UNREACHABLE, TR_ERR_CONNECT_RESET, "address family not supported"},
    {ETIMEDOUT, TR_ERR_TIMEOUT_CONNECT, TR_ERR_CONNECT_RESET, "connection timed out"},
    {ECONNRESET, TR_ERR_CONNECT_RESET, TR_ERR_CONNECT_RESET, "connection reset by peer"},
    {ECONNABORTED, TR_ERR_CONNECT_RESET, TR_ERR_CONNECT_RESET, "connection aborted"},
    {EPIPE, TR_ERR_CONNECT_RESET, TR_ERR_CONNECT_RESET, "broken pipe"},
    {EACCES, TR_ERR_CONNECT_FAILED, TR_ERR_CONNECT_RESET, "permission denied"},
    {EPERM, TR_ERR_CONNECT_FAILED, TR_ERR_CONNECT_RESET, "operation not permitted"},
    {ENODEV, TR_ERR_CONNECT_FAILED, TR_ERR_CONNECT_RESET, "no such network interface"},
    {ENOENT, TR_ERR_CONNECT_FAILED, TR_ERR_CONNECT_RESET, "no such socket"},
    {EAGAIN, TR_ERR_CONNECT_FAILED, TR_ERR_CONNECT_RESET, "the socket's queue is full"},
    {EADDRINUSE, TR_ERR_CONNECT_FAILED, TR_ERR_CONNECT_RESET, "address already in use"},
    {EMFILE, TR_ERR_SYSTEM, TR_ERR_SYSTEM, "too many open files"},
    {ENFILE, TR_ERR_SYSTEM, TR_ERR_SYSTEM, "too many open files in the system"},
    {ENOBUFS, TR_ERR_SYSTEM, TR_ERR_SYSTEM, "no buffer space available"},
    {ENOMEM, TR_ERR_NOMEM, TR_ERR_NOMEM, "out of memory"},
};

static tr_code_t
set_errno(const tcp_t *tcp, tr_err_t *err, int value, const char *where)
{
    static const errno_row_t other = {0, TR_ERR_CONNECT_FAILED, TR_ERR_CONNECT_RESET, "system error"};
    const errno_row_t *row = &other;
    char peer[TR_ADDRESS_TEXT];
    for (size_t i = 0; i < TR_ARRAY_LEN(errno_rows); i++) {
        if (errno_rows[i].value == value) {
            row = &errno_rows[i];
            break;
        }
    }
    tr_address_text(&tcp->address, peer, sizeof(peer));
    return tr_err_set(err, tcp->connected ? row->open : row->connecting, value, where, "%s: %s (errno %d)", peer, row->text,
                      value);
}

/* ------------------------------------------------------------------------------------------------------------ opening */

static int
open_socket(int family)
{
    int protocol = family == AF_UNIX ? 0 : IPPROTO_TCP;
#ifdef SOCK_NONBLOCK
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
#else
    int fd = socket(family, SOCK_STREAM, protocol);
    if (fd >= 0) {
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
            int saved = errno;
            (void)close(fd);
            errno = saved;
            fd = -1;
        }
    }
#ifdef SO_NOSIGPIPE
    if (fd >= 0) {
        int one = 1;
        (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &one, sizeof(one));
    }
#endif
    return fd;
#endif
}

static int
bind_interface(int fd, int family, const char *name)
{
#if defined(SO_BINDTODEVICE)
    TR_UNUSED(family);
    return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name));
#elif defined(IP_BOUND_IF)
    int index = (int)if_nametoindex(name);
    if (index == 0) {
        errno = ENODEV;
        return -1;
    }
    return family == AF_INET6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_BOUND_IF, &index, sizeof(index))
                              : setsockopt(fd, IPPROTO_IP, IP_BOUND_IF, &index, sizeof(index));
#else
    errno = ENOTSUP;
    return -1;
#endif
}

static int
set_number(int fd, int level, int name, uint32_t value)
{
    int number = value > INT_MAX ? INT_MAX : (int)value;
    return value == 0 ? 0 : setsockopt(fd, level, name, &number, sizeof(number));
}

/* 0, or -1 with errno. */
static int
apply_options(const tcp_t *tcp)
{
    const tr_sockopts_t *o = tcp->options;
    int family = tcp->address.storage.ss_family;
    int rc = 0;
    if (o == NULL || family == AF_UNIX) {
        return 0;
    }
    if (o->interface[0] != 0) {
        rc = bind_interface(tcp->fd, family, o->interface);
    }
    if (rc == 0 && o->keepalive_s != 0) {
        rc = set_number(tcp->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
#if defined(TCP_KEEPIDLE)
        rc = rc != 0 ? rc : set_number(tcp->fd, IPPROTO_TCP, TCP_KEEPIDLE, o->keepalive_s);
#elif defined(TCP_KEEPALIVE)
        rc = rc != 0 ? rc : set_number(tcp->fd, IPPROTO_TCP, TCP_KEEPALIVE, o->keepalive_s);
#endif
#if defined(TCP_KEEPINTVL) && defined(TCP_KEEPCNT)
        rc = rc != 0 ? rc : set_number(tcp->fd, IPPROTO_TCP, TCP_KEEPINTVL, o->keepalive_interval_s);
        rc = rc != 0 ? rc : set_number(tcp->fd, IPPROTO_TCP, TCP_KEEPCNT, o->keepalive_count);
#endif
    }
    return rc;
}

/* The local address. A port that is given is to serve for several peers; where none is, it is chosen when the peer is known. */
static int
bind_local(const tcp_t *tcp)
{
    const struct sockaddr *local = (const struct sockaddr *)&tcp->local.storage;
    uint16_t port = local->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)&tcp->local.storage)->sin6_port
                                                 : ((const struct sockaddr_in *)&tcp->local.storage)->sin_port;
    int one = 1;
    if (port != 0) {
        (void)setsockopt(tcp->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    }
#ifdef IP_BIND_ADDRESS_NO_PORT
    if (port == 0) {
        (void)setsockopt(tcp->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    }
#endif
    return bind(tcp->fd, local, tcp->local.len);
}

static tr_code_t
start(tcp_t *tcp, tr_err_t *err)
{
    static const char where[] = "net.connect";
    int one = 1;
    int result;
    tcp->fd = open_socket(tcp->address.storage.ss_family);
    if (tcp->fd < 0) {
        return set_errno(tcp, err, errno, where);
    }
    /* Requests leave in one write; waiting for more (Nagle) would only delay the second one. */
    (void)setsockopt(tcp->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (apply_options(tcp) != 0) {
        return set_errno(tcp, err, errno, "net.socket_options");
    }
    if (tcp->local.len != 0 && bind_local(tcp) != 0) {
        return set_errno(tcp, err, errno, "net.bind");
    }
    do {
        result = connect(tcp->fd, (const struct sockaddr *)&tcp->address.storage, tcp->address.len);
    } while (result != 0 && errno == EINTR);
    if (result != 0 && errno != EINPROGRESS && errno != EALREADY && errno != EISCONN) {
        return set_errno(tcp, err, errno, where);
    }
    return TR_AGAIN;
}

static tr_code_t
tcp_connect(tr_filter_t *f, tr_err_t *err)
{
    tcp_t *tcp = (tcp_t *)f;
    if (tcp->connected) {
        return TR_OK;
    }
    if (tcp->fd < 0) {
        tr_code_t code = start(tcp, err);
        if (code != TR_AGAIN) {
            return code;
        }
    }
    /* getpeername tells established from under way; over loopback the handshake is over before connect returns, and asking saves the
     * wait for writability. */
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    if (getpeername(tcp->fd, (struct sockaddr *)&peer, &len) == 0) {
        tcp->connected = true;
        return TR_OK;
    }
    int value = 0;
    len = sizeof(value);
    if (getsockopt(tcp->fd, SOL_SOCKET, SO_ERROR, &value, &len) != 0) {
        value = errno;
    }
    return value == 0 ? TR_AGAIN : set_errno(tcp, err, value, "net.connect");
}

/* --------------------------------------------------------------------------------------------------------- bytes out */

static tr_code_t
tcp_write(tr_filter_t *f, tr_slice_t in, tr_err_t *err)
{
    tcp_t *tcp = (tcp_t *)f;
    if (!tcp->connected) {
        return TR_AGAIN;
    }
    return tr_buf_append(&tcp->out, in.data, in.len) == TR_OK ? TR_OK : tr_err_nomem(err, "net.write");
}

static tr_code_t
tcp_flush(tr_filter_t *f, tr_err_t *err)
{
    tcp_t *tcp = (tcp_t *)f;
    while (tcp->out.len > 0) {
        ssize_t sent = send(tcp->fd, tcp->out.data, tcp->out.len, SEND_FLAGS);
        if (sent < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno == EAGAIN || errno == EWOULDBLOCK) {
                return TR_AGAIN;
            }
            return set_errno(tcp, err, errno, "net.send");
        }
        bool all = (size_t)sent == tcp->out.len;
        tcp->written += (uint64_t)sent;
        tr_buf_consume(&tcp->out, (size_t)sent);
        if (!all) {
            return TR_AGAIN; /* the kernel took what fits: trying again would only say so */
        }
    }
    if (tcp->out.cap > OUT_KEEP) {
        tr_buf_cleanup(&tcp->out);
    }
    return TR_OK;
}

static size_t
tcp_pending(const tr_filter_t *f)
{
    return ((const tcp_t *)f)->out.len;
}

static uint64_t
tcp_written(const tr_filter_t *f)
{
    return ((const tcp_t *)f)->written;
}

static tr_buf_t *
tcp_wire(tr_filter_t *f)
{
    return &((tcp_t *)f)->out;
}

/* ---------------------------------------------------------------------------------------------------------- bytes in */

static tr_code_t
tcp_read(tr_filter_t *f, uint8_t *dst, size_t cap, size_t *out_len, tr_err_t *err)
{
    tcp_t *tcp = (tcp_t *)f;
    ssize_t got;
    *out_len = 0;
    do {
        got = recv(tcp->fd, dst, cap, 0);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        *out_len = (size_t)got;
        return TR_OK;
    }
    if (got == 0) {
        return tr_err_set(err, TR_EOF, 0, "net.recv", "the peer closed the connection");
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return TR_AGAIN;
    }
    return set_errno(tcp, err, errno, "net.recv");
}

/* Straight into the queue: the room at its end first, else a new chunk whose size follows what the last reads gave. */
static tr_code_t
tcp_recv(tr_filter_t *f, tr_bufq_t *out, tr_err_t *err)
{
    tcp_t *tcp = (tcp_t *)f;
    tr_chunk_t *chunk = out->tail;
    bool fresh = chunk == NULL || tr_chunk_room(chunk) < READ_ROOM;
    size_t len;
    if (fresh) {
        chunk = tr_chunk_new(tcp->read_size);
        if (chunk == NULL) {
            return tr_err_nomem(err, "net.recv");
        }
    }
    size_t cap = tr_chunk_room(chunk);
    tr_code_t code = tcp_read(f, tr_chunk_tail(chunk), cap, &len, err);
    if (code != TR_OK) {
        goto done;
    }
    chunk->len += len;
    if (fresh) {
        code = tr_bufq_push(out, chunk);
        if (code != TR_OK) {
            code = tr_err_set(err, code, 0, "net.recv", NULL);
            goto done;
        }
    } else {
        out->len += len;
    }
    chunk = NULL;
    if (len == cap) {
        tcp->read_size = TR_MIN(tcp->read_size * 2, READ_MAX);
    } else {
        if (fresh && len < cap / 4) {
            tcp->read_size = TR_MAX(tcp->read_size / 2, READ_MIN);
        }
        code = TR_AGAIN; /* a short read emptied the kernel's queue; what comes later is a new event */
    }
done:
    if (fresh && chunk != NULL) {
        tr_chunk_free(chunk);
    }
    return code;
}

static tr_code_t
tcp_probe(tr_filter_t *f, tr_err_t *err)
{
    tcp_t *tcp = (tcp_t *)f;
    uint8_t byte;
    ssize_t got;
    do {
        got = recv(tcp->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        return TR_OK;
    }
    if (got == 0) {
        return tr_err_set(err, TR_EOF, 0, "net.recv", "the peer closed the connection");
    }
    return errno == EAGAIN || errno == EWOULDBLOCK ? TR_AGAIN : set_errno(tcp, err, errno, "net.recv");
}

/* ---------------------------------------------------------------------------------------------------------- readiness */

static void
on_watch(void *arg, int events)
{
    tcp_t *tcp = arg;
    if (tcp->on_ready != NULL) {
        tcp->on_ready(tcp->on_ready_arg, events);
    }
}

void
tr_tcp_set_options(tr_filter_t *f, const tr_sockopts_t *options)
{
    ((tcp_t *)f)->options = options;
}

static void
tcp_on_ready(tr_filter_t *f, void (*fn)(void *arg, int events), void *arg)
{
    tcp_t *tcp = (tcp_t *)f;
    tcp->on_ready = fn;
    tcp->on_ready_arg = arg;
}

static tr_code_t
tcp_watch(tr_filter_t *f, int events, tr_err_t *err)
{
    tcp_t *tcp = (tcp_t *)f;
    if (events == tcp->events) {
        return TR_OK;
    }
    if (tcp->watch == NULL) {
        tr_code_t code = tr_watch_new(&tcp->watch, tcp->loop, tcp->fd, on_watch, tcp, err);
        if (code != TR_OK) {
            return code;
        }
    }
    tr_code_t code = tr_watch_set(tcp->watch, events);
    if (code != TR_OK) {
        return tr_err_set(err, code, errno, "net.watch", "the socket cannot be watched: errno %d", errno);
    }
    tcp->events = events;
    return TR_OK;
}

static int
tcp_watched(const tr_filter_t *f)
{
    return ((const tcp_t *)f)->events;
}

const tr_address_t *
tr_tcp_address(const tr_filter_t *f)
{
    return &((const tcp_t *)f)->address;
}

static void
tcp_texts(const tr_filter_t *f, char *out_peer, char *out_local)
{
    const tcp_t *tcp = (const tcp_t *)f;
    tr_address_t local = {.len = sizeof(local.storage)};
    tr_address_text(&tcp->address, out_peer, TR_ADDRESS_TEXT);
    out_local[0] = 0;
    if (tcp->fd >= 0 && getsockname(tcp->fd, (struct sockaddr *)&local.storage, &local.len) == 0) {
        tr_address_text(&local, out_local, TR_ADDRESS_TEXT);
    }
}

/* --------------------------------------------------------------------------------------------------------------- life */

static void
tcp_shut(tr_filter_t *f)
{
    tcp_t *tcp = (tcp_t *)f;
    tr_watch_free(tcp->watch); /* before close: the number may be another's at once */
    tcp->watch = NULL;
    tcp->events = 0;
    if (tcp->fd >= 0) {
        (void)close(tcp->fd);
        tcp->fd = -1;
    }
}

static void
tcp_cleanup(tr_filter_t *f)
{
    tcp_t *tcp = (tcp_t *)f;
    tcp_shut(f);
    tr_buf_cleanup(&tcp->out);
    tr_free(tcp);
}

static const tr_bottom_type_t tcp_bottom = {
    .on_ready = tcp_on_ready,
    .watch = tcp_watch,
    .watched = tcp_watched,
    .probe = tcp_probe,
    .written = tcp_written,
    .shut = tcp_shut,
    .texts = tcp_texts,
};

static const tr_filter_type_t tcp_type = {
    .name = "tcp",
    .bottom = &tcp_bottom,
    .connect = tcp_connect,
    .write = tcp_write,
    .flush = tcp_flush,
    .pending = tcp_pending,
    .recv = tcp_recv,
    .wire = tcp_wire,
    .read = tcp_read,
    .cleanup = tcp_cleanup,
};

tr_code_t
tr_tcp_new(tr_filter_t **out, tr_loop_t *loop, const tr_address_t *address, const tr_address_t *local, tr_err_t *err)
{
    *out = NULL;
    tcp_t *tcp = tr_calloc(1, sizeof(*tcp));
    if (tcp == NULL) {
        return tr_err_nomem(err, "net.tcp_new");
    }
    tcp->base.type = &tcp_type;
    tcp->loop = loop;
    tcp->fd = -1;
    tcp->read_size = READ_MIN;
    tcp->address = *address;
    if (local != NULL) {
        tcp->local = *local;
    }
    *out = &tcp->base;
    return TR_OK;
}
