/* client over real sockets: a small HTTP/1.1 server in a thread of its own, with the misbehaviour that a test asks for by path. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/client.h"
#include "tr_test.h"

#define MAX_CONNS 64
#define WAIT_NS UINT64_C(10000000000)

/* ------------------------------------------------------------------------------------------------------------- server */

typedef struct conn {
    int fd;
    size_t len;
    char in[8192];
    unsigned num; /* requests seen */
} conn_t;

static struct {
    int listener;
    uint16_t port;
    pthread_t thread;
    int stop[2]; /* pipe: written to end the thread */
    conn_t conns[MAX_CONNS];
    atomic_uint num_accepted, num_requests, num_closed;
} server;

static void
say(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t done = send(fd, text, len, MSG_NOSIGNAL);
        if (done <= 0) {
            return;
        }
        text += done;
        len -= (size_t)done;
    }
}

static void
answer(int fd, const char *head, const char *body)
{
    char out[16384];
    int len = snprintf(out, sizeof(out), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", head, strlen(body), body);
    say(fd, out, (size_t)len);
}

static void
close_conn(conn_t *c, bool reset)
{
    if (reset) {
        struct linger linger = {1, 0};
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    (void)close(c->fd);
    c->fd = -1;
    atomic_fetch_add(&server.num_closed, 1);
}

/* One complete request at the start of c->in. */
static void
handle(conn_t *c, const char *request)
{
    const char *path = strchr(request, ' ');
    char text[8300];
    c->num++;
    atomic_fetch_add(&server.num_requests, 1);
    path = path == NULL ? "" : path + 1;
#define IS(name) (strncmp(path, name, strlen(name)) == 0)
    if (IS("/echo")) {
        answer(c->fd, "200 OK", request);
    } else if (IS("/drop")) {
        close_conn(c, false);
    } else if (IS("/reset")) {
        close_conn(c, true);
    } else if (IS("/second-drops")) {
        /* the first request of a connection is answered, the next one finds it closing without an answer */
        if (c->num == 1) {
            answer(c->fd, "200 OK", "first");
        } else {
            close_conn(c, false);
        }
    } else if (IS("/then-close")) {
        answer(c->fd, "200 OK", "closing");
        close_conn(c, false);
    } else if (IS("/never")) {
        return;
    } else if (IS("/half")) {
        say(c->fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", 42);
        close_conn(c, false);
    } else if (IS("/stall")) {
        say(c->fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", 42);
    } else if (IS("/extra")) {
        /* at once: what comes after the next request was sent is that one's answer */
        static const char both[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n";
        say(c->fd, both, sizeof(both) - 1);
    } else if (IS("/eof")) {
        say(c->fd, "HTTP/1.0 200 OK\r\n\r\nuntil the end", 32);
        close_conn(c, false);
    } else if (IS("/loop")) {
        answer(c->fd, "302 Found\r\nLocation: /loop", "again");
    } else if (IS("/go?")) {
        /* what follows the question mark is where to */
        size_t len = strcspn(path, " ");
        (void)snprintf(text, sizeof(text), "307 Temporary Redirect\r\nLocation: %.*s", (int)(len - 4), path + 4);
        answer(c->fd, text, "moved");
    } else if (IS("/cookie")) {
        answer(c->fd, "200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2; HttpOnly", "set");
    } else {
        answer(c->fd, "200 OK", "hello");
    }
#undef IS
}

static void
receive(conn_t *c)
{
    ssize_t got = recv(c->fd, c->in + c->len, sizeof(c->in) - 1 - c->len, 0);
    if (got <= 0) {
        close_conn(c, false);
        return;
    }
    c->len += (size_t)got;
    c->in[c->len] = 0;
    while (c->fd >= 0) {
        char *end = strstr(c->in, "\r\n\r\n");
        if (end == NULL) {
            return;
        }
        const char *length = strstr(c->in, "ontent-Length: ");
        size_t body = length != NULL && length < end ? strtoul(length + 15, NULL, 10) : 0;
        size_t total = (size_t)(end + 4 - c->in) + body;
        if (c->len < total) {
            return;
        }
        char request[8192];
        memcpy(request, c->in, total);
        request[total] = 0;
        memmove(c->in, c->in + total, c->len - total + 1);
        c->len -= total;
        handle(c, request);
    }
}

static void *
serve(void *arg)
{
    TR_UNUSED(arg);
    for (;;) {
        struct pollfd fds[MAX_CONNS + 2] = {{server.stop[0], POLLIN, 0}, {server.listener, POLLIN, 0}};
        for (size_t i = 0; i < MAX_CONNS; i++) {
            fds[i + 2] = (struct pollfd){server.conns[i].fd, POLLIN, 0};
        }
        if (poll(fds, MAX_CONNS + 2, -1) < 0 && errno != EINTR) {
            return NULL;
        }
        if (fds[0].revents != 0) {
            return NULL;
        }
        for (size_t i = 0; i < MAX_CONNS; i++) {
            if (server.conns[i].fd >= 0 && fds[i + 2].revents != 0) {
                receive(&server.conns[i]);
            }
        }
        if (fds[1].revents != 0) {
            int fd = accept(server.listener, NULL, NULL);
            int one = 1;
            size_t slot = 0;
            while (slot < MAX_CONNS && server.conns[slot].fd >= 0) {
                slot++;
            }
            if (fd >= 0 && slot == MAX_CONNS) {
                (void)close(fd);
            } else if (fd >= 0) {
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
                server.conns[slot].fd = fd;
                server.conns[slot].len = 0;
                server.conns[slot].num = 0;
                atomic_fetch_add(&server.num_accepted, 1);
            }
        }
    }
}

static void
start_server(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (size_t i = 0; i < MAX_CONNS; i++) {
        server.conns[i].fd = -1;
    }
    atomic_store(&server.num_accepted, 0);
    atomic_store(&server.num_requests, 0);
    atomic_store(&server.num_closed, 0);
    TR_CHECK(server.listener >= 0 && bind(server.listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    TR_CHECK(listen(server.listener, 64) == 0 && getsockname(server.listener, (struct sockaddr *)&address, &len) == 0);
    TR_CHECK(pipe(server.stop) == 0);
    server.port = ntohs(address.sin_port);
    TR_CHECK(pthread_create(&server.thread, NULL, serve, NULL) == 0);
}

static void
stop_server(void)
{
    TR_CHECK(write(server.stop[1], "x", 1) == 1);
    (void)pthread_join(server.thread, NULL);
    for (size_t i = 0; i < MAX_CONNS; i++) {
        if (server.conns[i].fd >= 0) {
            (void)close(server.conns[i].fd);
        }
    }
    (void)close(server.listener);
    (void)close(server.stop[0]);
    (void)close(server.stop[1]);
}

/* ------------------------------------------------------------------------------------------------------------ requests */

static tr_op_request_t
ask(char url[256], const char *method, const char *path)
{
    (void)snprintf(url, 256, "http://127.0.0.1:%u%s", server.port, path);
    return (tr_op_request_t){
        .method = tr_slice_cstr(method), .url = tr_slice_cstr(url), .flags = TR_OP_FOLLOW_REDIRECTS, .max_redirects = 3};
}

static tr_op_t *
submit(tr_session_t *session, const tr_op_request_t *request, tr_sink_t *sink)
{
    tr_err_t err = TR_ERR_INIT;
    tr_op_t *op = tr_op_new(session);
    TR_CHECK(op != NULL);
    TR_CHECK_OK(tr_op_prepare(op, request, &err), &err);
    TR_CHECK_OK(tr_op_submit(op, sink, &err), &err);
    return op;
}

static uint64_t
now_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool
await(tr_op_t *op)
{
    uint64_t deadline = now_ns() + WAIT_NS;
    while (tr_op_wait(op, UINT64_MAX) != TR_OK) {
        if (now_ns() > deadline) {
            return false;
        }
    }
    return true;
}

static tr_op_t *
fetch(tr_session_t *session, const tr_op_request_t *request)
{
    tr_op_t *op = submit(session, request, NULL);
    TR_CHECK(await(op));
    return op;
}

static tr_op_t *
get(tr_session_t *session, const char *method, const char *path)
{
    char url[256];
    tr_op_request_t request = ask(url, method, path);
    return fetch(session, &request);
}

static tr_code_t
code_of(const tr_op_t *op)
{
    return tr_op_error(op) == NULL ? TR_OK : tr_op_error(op)->code;
}

static tr_response_t *
last_of(const tr_op_t *op)
{
    tr_response_t *r = tr_op_responses(op);
    while (r != NULL && r->next != NULL) {
        r = r->next;
    }
    return r;
}

/* Checks the answer's body and drops the op. */
static void
check_body(tr_op_t *op, const char *text)
{
    char body[16384] = "";
    tr_response_t *r = last_of(op);
    if (code_of(op) != TR_OK) {
        tr_test_fail(__FILE__, __LINE__, "%s: %s", tr_err_name(code_of(op)), tr_op_error(op)->msg);
    }
    TR_CHECK(r != NULL && r->body_len < sizeof(body));
    tr_op_take_body(op, r, (uint8_t *)body);
    TR_CHECK_SLICE(tr_slice(body, r->body_len), text);
    tr_op_unref(op);
}

static void
check_code(tr_op_t *op, tr_code_t code)
{
    if (code_of(op) != code) {
        tr_test_fail(__FILE__, __LINE__, "%s, not %s", tr_err_name(code_of(op)), tr_err_name(code));
    }
    tr_op_unref(op);
}

static tr_session_t *
begin(const tr_session_options_t *options)
{
    tr_err_t err = TR_ERR_INIT;
    tr_session_t *session;
    start_server();
    TR_CHECK_OK(tr_session_new(&session, options, &err), &err);
    return session;
}

static void
finish(tr_session_t *session)
{
    tr_session_unref(session);
    tr_engine_stop(false);
    stop_server();
}

/* --------------------------------------------------------------------------------------------------------------- tests */

TR_TEST(client_get, "/client/net/get")
{
    tr_session_t *s = begin(NULL);
    for (int i = 0; i < 20; i++) {
        tr_op_t *op = get(s, "GET", "/");
        tr_response_t *r = tr_op_responses(op);
        TR_CHECK(r != NULL && r->status == 200 && r->http_version == 11 && r->next == NULL);
        TR_CHECK_INT(r->resumed_connection, i > 0);
        TR_CHECK(tr_op_request_sent(op) && !tr_op_safe_to_retry(op));
        TR_CHECK_SLICE(tr_headers_get(&r->headers, TR_SLICE_LIT("content-length")), "5");
        TR_CHECK(tr_op_timing(op)->first_byte_ns >= 0 && tr_op_timing(op)->total_ns >= tr_op_timing(op)->first_byte_ns);
        TR_CHECK((tr_op_timing(op)->connect_ns >= 0) == (i == 0));
        check_body(op, "hello");
    }
    TR_CHECK_INT(atomic_load(&server.num_accepted), 1);
    check_body(get(s, "GET", "/eof"), "until the end");
    check_body(get(s, "GET", "/extra"), "ok"); /* what follows ends the connection */
    check_body(get(s, "GET", "/"), "hello");
    finish(s);
}

TR_TEST(client_post, "/client/net/post")
{
    tr_session_t *s = begin(NULL);
    char url[256];
    tr_op_request_t request = ask(url, "POST", "/echo");
    tr_field_t header = {TR_SLICE_LIT("X-Test"), TR_SLICE_LIT("value")};
    request.headers = &header;
    request.num_headers = 1;
    request.has_body = true;
    request.body = TR_SLICE_LIT("a=1");
    request.body_type = TR_SLICE_LIT("application/x-www-form-urlencoded");
    tr_op_t *op = fetch(s, &request);
    tr_response_t *r = last_of(op);
    char body[8192] = "";
    TR_CHECK(r != NULL && r->body_len < sizeof(body));
    TR_CHECK_SLICE(tr_headers_get(&r->sent, TR_SLICE_LIT("content-length")), "3");
    TR_CHECK_SLICE(tr_headers_get(&r->sent, TR_SLICE_LIT("x-test")), "value");
    tr_op_take_body(op, r, (uint8_t *)body);
    TR_CHECK(strncmp(body, "POST /echo HTTP/1.1\r\nHost: ", 27) == 0);
    TR_CHECK(strstr(body, "X-Test: value\r\n") != NULL && strstr(body, "\r\n\r\na=1") != NULL);
    tr_op_unref(op);
    finish(s);
}

TR_TEST(client_replay, "/client/net/replay")
{
    tr_session_t *s = begin(NULL);
    /* a new connection that dies is no stale one: not replayed */
    tr_op_t *op = get(s, "GET", "/drop");
    TR_CHECK(tr_op_request_sent(op) && !tr_op_safe_to_retry(op));
    check_code(op, TR_ERR_CLOSED_EARLY);
    TR_CHECK_INT(atomic_load(&server.num_requests), 1);
    /* a kept one: an idempotent request goes out again */
    check_body(get(s, "GET", "/second-drops"), "first");
    check_body(get(s, "GET", "/second-drops"), "first");
    TR_CHECK_INT(atomic_load(&server.num_requests), 4);
    /* a POST that was received does not */
    op = get(s, "POST", "/second-drops");
    TR_CHECK(tr_op_request_sent(op) && !tr_op_safe_to_retry(op));
    check_code(op, TR_ERR_CLOSED_EARLY);
    TR_CHECK_INT(atomic_load(&server.num_requests), 5);
    /* closed while idle, and noticed: the POST takes a new connection */
    check_body(get(s, "GET", "/then-close"), "closing");
    while (atomic_load(&server.num_closed) < 4) {
        (void)sched_yield();
    }
    check_body(get(s, "POST", "/"), "hello");
    check_code(get(s, "GET", "/half"), TR_ERR_BODY_TRUNCATED);
    finish(s);
}

TR_TEST(client_timeouts, "/client/net/timeouts")
{
    tr_session_options_t options = {.max_h1_per_origin = 1};
    tr_session_t *s = begin(&options);
    char url[256];
    tr_op_request_t request = ask(url, "GET", "/never");
    uint64_t start = now_ns();
    request.timeouts.total_ms = 60;
    check_code(fetch(s, &request), TR_ERR_TIMEOUT_TOTAL);
    TR_CHECK(now_ns() - start >= 59000000 && now_ns() - start < 2000000000);
    request.timeouts = (tr_timeouts_t){.read_ms = 60};
    check_code(fetch(s, &request), TR_ERR_TIMEOUT_READ);
    request = ask(url, "GET", "/stall");
    request.timeouts = (tr_timeouts_t){.read_ms = 60, .total_ms = 5000};
    check_code(fetch(s, &request), TR_ERR_TIMEOUT_READ);
    /* one connection, taken by a request that is not answered */
    request = ask(url, "GET", "/never");
    tr_op_t *first = submit(s, &request, NULL);
    request.timeouts = (tr_timeouts_t){.pool_ms = 60};
    tr_op_t *second = fetch(s, &request);
    TR_CHECK(!tr_op_request_sent(second) && tr_op_safe_to_retry(second));
    check_code(second, TR_ERR_TIMEOUT_POOL);
    tr_op_cancel(first);
    TR_CHECK(await(first));
    check_code(first, TR_ERR_CANCELLED);
    check_body(get(s, "GET", "/"), "hello");
    finish(s);
}

/* A listener whose backlog is full never answers a SYN: the connect timeout ends it. */
TR_TEST(client_connect_timeout, "/client/net/connect-timeout")
{
    tr_session_t *s = begin(NULL);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fillers[4];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    TR_CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 0) == 0);
    TR_CHECK(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    for (size_t i = 0; i < TR_ARRAY_LEN(fillers); i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&address, sizeof(address));
    }
    char url[256];
    tr_op_request_t request = ask(url, "GET", "/");
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/", ntohs(address.sin_port));
    request.url = tr_slice_cstr(url);
    request.timeouts = (tr_timeouts_t){.connect_ms = 80, .total_ms = 5000};
    tr_op_t *slow = submit(s, &request, NULL);
    /* who allows less time ends earlier; who allows more is not failed with the others */
    request.timeouts = (tr_timeouts_t){.connect_ms = 30};
    check_code(fetch(s, &request), TR_ERR_TIMEOUT_CONNECT);
    TR_CHECK(await(slow));
    check_code(slow, TR_ERR_TIMEOUT_CONNECT);
    for (size_t i = 0; i < TR_ARRAY_LEN(fillers); i++) {
        (void)close(fillers[i]);
    }
    (void)close(fd);
    finish(s);
}

TR_TEST(client_redirect, "/client/net/redirect")
{
    tr_session_t *s = begin(NULL);
    tr_op_t *op = get(s, "GET", "/loop");
    size_t num = 0;
    for (tr_response_t *r = tr_op_responses(op); r != NULL; r = r->next, num++) {
        TR_CHECK_INT(r->status, 302);
        TR_CHECK_INT(r->body_len, 5);
    }
    TR_CHECK_INT(num, 4); /* three followed, the fourth answer is one too many */
    check_code(op, TR_ERR_TOO_MANY_REDIRECTS);
    op = get(s, "GET", "/go?/echo");
    TR_CHECK_INT(tr_op_responses(op)->status, 307);
    TR_CHECK(tr_op_responses(op)->next == last_of(op) && last_of(op)->status == 200 && !last_of(op)->method_changed);
    tr_op_unref(op);
    /* not asked to follow */
    char url[256];
    tr_op_request_t request = ask(url, "GET", "/loop");
    request.flags = 0;
    op = fetch(s, &request);
    TR_CHECK(code_of(op) == TR_OK && tr_op_responses(op) == last_of(op) && last_of(op)->status == 302);
    tr_op_unref(op);
    check_code(get(s, "GET", "/go?ftp://x/"), TR_ERR_REDIRECT_INVALID);
    /* cookies of a hop go to the next one, over the jar */
    check_body(get(s, "GET", "/cookie"), "set");
    finish(s);
}

typedef struct counts {
    size_t num, ok, cancelled, closed, other;
} counts_t;

static counts_t
drain(tr_sink_t *sink, size_t expected)
{
    counts_t counts = {0, 0, 0, 0, 0};
    tr_op_t *ops[7];
    while (counts.num < expected) {
        struct pollfd fd = {tr_sink_fd(sink), POLLIN, 0};
        if (poll(&fd, 1, 10000) <= 0) {
            break;
        }
        size_t num = tr_sink_take(sink, ops, TR_ARRAY_LEN(ops));
        for (size_t i = 0; i < num; i++) {
            tr_code_t code = code_of(ops[i]);
            counts.num++;
            counts.ok += code == TR_OK;
            counts.cancelled += code == TR_ERR_CANCELLED;
            counts.closed += code == TR_ERR_CLIENT_CLOSED;
            counts.other += code != TR_OK && code != TR_ERR_CANCELLED && code != TR_ERR_CLIENT_CLOSED;
            tr_op_unref(ops[i]);
        }
    }
    return counts;
}

static tr_sink_t *
new_sink(void)
{
    tr_err_t err = TR_ERR_INIT;
    tr_sink_t *sink;
    TR_CHECK_OK(tr_sink_new(&sink, &err), &err);
    return sink;
}

TR_TEST(client_sink, "/client/net/sink")
{
    tr_session_t *s = begin(NULL);
    tr_sink_t *sink = new_sink();
    char url[256];
    tr_op_request_t request = ask(url, "GET", "/");
    for (int i = 0; i < 300; i++) {
        tr_op_unref(submit(s, &request, sink));
    }
    counts_t counts = drain(sink, 300);
    TR_CHECK_INT(counts.ok, 300);
    TR_CHECK_INT(atomic_load(&server.num_requests), 300);
    TR_CHECK(atomic_load(&server.num_accepted) <= 6);
    /* an emptied sink is silent */
    struct pollfd fd = {tr_sink_fd(sink), POLLIN, 0};
    TR_CHECK_INT(poll(&fd, 1, 20), 0);
    tr_sink_free(sink);
    finish(s);
}

TR_TEST(client_cancel, "/client/net/cancel")
{
    tr_session_t *s = begin(NULL);
    tr_sink_t *sink = new_sink();
    char url[256];
    tr_op_t *ops[20];
    tr_op_request_t request = ask(url, "GET", "/never");
    for (size_t i = 0; i < TR_ARRAY_LEN(ops); i++) {
        ops[i] = submit(s, &request, sink); /* six on connections, the others wait for one */
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(ops); i++) {
        tr_op_cancel(ops[i]);
        tr_op_cancel(ops[i]);
        tr_op_unref(ops[i]);
    }
    counts_t counts = drain(sink, TR_ARRAY_LEN(ops));
    TR_CHECK_INT(counts.cancelled, TR_ARRAY_LEN(ops));
    check_body(get(s, "GET", "/"), "hello");
    /* a cancel after the end changes nothing */
    tr_op_t *op = get(s, "GET", "/");
    tr_op_cancel(op);
    check_body(op, "hello");
    tr_sink_free(sink);
    finish(s);
}

TR_TEST(client_close, "/client/net/close")
{
    tr_session_t *s = begin(NULL);
    tr_sink_t *sink = new_sink();
    char url[256];
    tr_op_request_t request = ask(url, "GET", "/never");
    for (int i = 0; i < 10; i++) {
        tr_op_unref(submit(s, &request, sink));
    }
    tr_session_close(s);
    tr_op_unref(submit(s, &request, sink));
    counts_t counts = drain(sink, 11);
    TR_CHECK_INT(counts.closed, 11);
    tr_sink_free(sink);
    finish(s);
}

/* Ops whose sink went away complete without it; the engine's end cancels what is left. */
TR_TEST(client_stop, "/client/net/stop")
{
    tr_session_t *s = begin(NULL);
    tr_sink_t *sink = new_sink();
    char url[256];
    tr_op_request_t request = ask(url, "GET", "/never");
    tr_op_t *kept = submit(s, &request, sink);
    for (int i = 0; i < 10; i++) {
        tr_op_unref(submit(s, &request, sink));
    }
    tr_sink_free(sink);
    tr_engine_stop(false);
    TR_CHECK(tr_op_is_done(kept));
    check_code(kept, TR_ERR_CANCELLED);
    /* a later submit starts it again */
    check_body(get(s, "GET", "/"), "hello");
    finish(s);
}

typedef struct hammer {
    tr_session_t *session;
    unsigned num, ok;
} hammer_t;

static void *
hammer(void *arg)
{
    hammer_t *h = arg;
    for (unsigned i = 0; i < h->num; i++) {
        char url[256];
        tr_err_t err = TR_ERR_INIT;
        tr_op_request_t request = ask(url, "GET", i % 16 == 7 ? "/then-close" : "/");
        tr_op_t *op = tr_op_new(h->session);
        if (op != NULL && tr_op_prepare(op, &request, &err) == TR_OK && tr_op_submit(op, NULL, &err) == TR_OK && await(op)) {
            h->ok += code_of(op) == TR_OK;
        }
        tr_op_unref(op);
    }
    return NULL;
}

/* Callers that wait, a sink's user, and sessions that come and go, all at once: the drive changes hands all the time. */
TR_TEST(client_threads, "/client/net/threads")
{
    tr_session_t *s = begin(NULL);
    tr_sink_t *sink = new_sink();
    pthread_t threads[4];
    hammer_t hammers[4];
    char url[256];
    tr_op_request_t request = ask(url, "GET", "/");
    for (size_t i = 0; i < TR_ARRAY_LEN(threads); i++) {
        hammers[i] = (hammer_t){s, 100, 0};
        TR_CHECK(pthread_create(&threads[i], NULL, hammer, &hammers[i]) == 0);
    }
    size_t ok = 0;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 10; i++) {
            tr_op_t *op = submit(s, &request, sink);
            if (i == 3) {
                tr_op_cancel(op);
            }
            tr_op_unref(op);
        }
        counts_t counts = drain(sink, 10);
        TR_CHECK_INT(counts.num, 10);
        ok += counts.ok + counts.cancelled;
    }
    TR_CHECK_INT(ok, 200);
    for (size_t i = 0; i < TR_ARRAY_LEN(threads); i++) {
        (void)pthread_join(threads[i], NULL);
        TR_CHECK_INT(hammers[i].ok, 100);
    }
    tr_sink_free(sink);
    finish(s);
}

static void *
come_and_go(void *arg)
{
    hammer_t *h = arg;
    for (unsigned i = 0; i < h->num; i++) {
        tr_err_t err = TR_ERR_INIT;
        hammer_t one = {NULL, 1, 0};
        if (tr_session_new(&one.session, NULL, &err) != TR_OK) {
            continue;
        }
        (void)hammer(&one);
        if (i % 3 != 2) { /* else its last reference ends it */
            tr_session_close(one.session);
        }
        h->ok += one.ok;
        tr_session_unref(one.session);
    }
    return NULL;
}

/* Sessions are closed by their callers, who drive the loop for it when nobody else does. */
TR_TEST(client_sessions, "/client/net/sessions")
{
    tr_session_t *s = begin(NULL);
    tr_sink_t *sink = new_sink();
    pthread_t threads[4];
    hammer_t hammers[4];
    char url[256];
    tr_op_request_t request = ask(url, "GET", "/");
    for (size_t i = 0; i < TR_ARRAY_LEN(threads); i++) {
        hammers[i] = (hammer_t){NULL, 60, 0};
        TR_CHECK(pthread_create(&threads[i], NULL, come_and_go, &hammers[i]) == 0);
    }
    for (int round = 0; round < 20; round++) { /* now and then there is somebody who waits for a sink */
        tr_op_unref(submit(s, &request, sink));
        TR_CHECK_INT(drain(sink, 1).ok, 1);
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(threads); i++) {
        (void)pthread_join(threads[i], NULL);
        TR_CHECK_INT(hammers[i].ok, 60);
    }
    tr_sink_free(sink);
    finish(s);
}

#ifndef __SANITIZE_THREAD__ /* which ends a child that starts threads */
/* The child of a fork starts over with the same client; what the parent had under way is the parent's alone. */
TR_TEST(client_fork, "/client/net/fork")
{
    tr_session_t *s = begin(NULL);
    tr_sink_t *sink = new_sink();
    char url[256];
    check_body(get(s, "GET", "/"), "hello");
    unsigned accepted = atomic_load(&server.num_accepted);
    tr_op_request_t request = ask(url, "GET", "/never");
    tr_op_t *pending = submit(s, &request, sink);
    tr_op_t *waited = submit(s, &request, NULL);
    TR_CHECK(tr_op_wait(waited, 20000000) == TR_AGAIN);
    pid_t child = fork();
    if (child == 0) {
        /* no test framework in here: its exit must not run the parent's tests */
        request = ask(url, "GET", "/");
        tr_err_t err = TR_ERR_INIT;
        tr_op_t *op = tr_op_new(s);
        bool ok = tr_op_is_done(pending) && code_of(pending) == TR_ERR_CANCELLED && tr_op_wait(waited, 1000000) == TR_OK &&
                  code_of(waited) == TR_ERR_CANCELLED;
        ok = ok && op != NULL && tr_op_prepare(op, &request, &err) == TR_OK && tr_op_submit(op, NULL, &err) == TR_OK && await(op);
        ok = ok && code_of(op) == TR_OK && !tr_op_responses(op)->resumed_connection;
        tr_op_unref(op);
        tr_engine_stop(true);
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    TR_CHECK(child > 0 && waitpid(child, &status, 0) == child);
    TR_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    TR_CHECK(!tr_op_is_done(pending));
    /* the parent's connections are what they were */
    check_body(get(s, "GET", "/"), "hello");
    TR_CHECK_INT(atomic_load(&server.num_accepted), accepted + 3); /* two that are not answered, and the child's */
    tr_op_cancel(pending);
    tr_op_cancel(waited);
    TR_CHECK(await(waited));
    check_code(waited, TR_ERR_CANCELLED);
    TR_CHECK_INT(drain(sink, 1).cancelled, 1);
    tr_op_unref(pending);
    tr_sink_free(sink);
    finish(s);
}
#endif

/* A request with a transport: its key, its limits, its connections. */
TR_TEST_OOM(client_transport, "/client/net/transport")
{
    tr_err_t err = TR_ERR_INIT;
    tr_session_t *session = NULL;
    tr_transport_t *transport = NULL, *same = NULL;
    char url[256];
    start_server();
    tr_host_address_t address = {"given.invalid", server.port, "127.0.0.1"};
    tr_transport_options_t options = {.addresses = &address, .num_addresses = 1, .limits = {.max_total = 1, .max_idle = 1}};
    bool ready = tr_session_new(&session, NULL, &err) == TR_OK && tr_transport_new(&transport, &options, &err) == TR_OK &&
                 tr_transport_new(&same, &options, &err) == TR_OK;
    for (int i = 0; ready && i < 3; i++) {
        tr_op_request_t request = ask(url, "GET", "/go?/echo");
        (void)snprintf(url, sizeof(url), "http://given.invalid:%u/go?/echo", server.port);
        request.url = tr_slice_cstr(url);
        request.transport = i == 1 ? same : transport;
        tr_op_t *op = tr_op_new(session);
        if (op != NULL && tr_op_prepare(op, &request, &err) == TR_OK && tr_op_submit(op, NULL, &err) == TR_OK) {
            TR_CHECK(await(op));
            TR_CHECK(code_of(op) == TR_OK || tr_test_oom_running());
        }
        tr_op_unref(op);
    }
    if (ready && !tr_test_oom_running()) {
        tr_session_stats_t stats;
        tr_session_stats(session, &stats);
        TR_CHECK(stats.ops_started == 3 && stats.ops_succeeded == 3 && stats.conns_opened == 1 && stats.conns_idle == 1);
    }
    tr_transport_unref(transport);
    tr_transport_unref(same);
    tr_session_unref(session);
    tr_engine_stop(false);
    stop_server();
}

/* Any allocation may fail: the answer is an error, never a crash or a leak. */
TR_TEST_OOM(client_oom, "/client/net/oom")
{
    tr_err_t err = TR_ERR_INIT;
    tr_session_t *session = NULL;
    char url[256];
    start_server();
    if (tr_session_new(&session, NULL, &err) == TR_OK) {
        tr_op_request_t request = ask(url, "GET", "/go?/echo");
        for (int i = 0; i < 2; i++) {
            tr_op_t *op = tr_op_new(session);
            if (op != NULL && tr_op_prepare(op, &request, &err) == TR_OK && tr_op_submit(op, NULL, &err) == TR_OK) {
                bool done = await(op);
                tr_code_t code = code_of(op);
                bool ok = done && (code == TR_OK ? last_of(op)->status == 200 : tr_test_oom_running());
                tr_op_unref(op);
                if (!ok) {
                    tr_test_fail(__FILE__, __LINE__, "done %d, %s", done, tr_err_name(code));
                }
            } else {
                tr_op_unref(op);
            }
        }
    }
    tr_session_unref(session);
    tr_engine_stop(false);
    stop_server();
}
