/* Connections over plain TCP on loopback: opening, racing, reading, writing, every way of ending. The peer is played by the test itself
 * on non-blocking sockets, in the same thread. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/conn.h"
#include "net/eyeballs.h"
#include "tr_test.h"

#define MS ((uint64_t)1000000)
#define INPUT_BOUND ((size_t)(512 + 256) * 1024)

typedef struct rig {
    tr_loop_t *loop;
    tr_dns_t *dns;
    tr_conn_t *conn;
    int listener;
    uint16_t port;
    int peer; /* accepted socket; -1: none */
    tr_err_t err;
    /* what the callbacks saw */
    int connected, readable, writable, closed;
    tr_code_t code;
    tr_err_t closed_err;
    bool consume;      /* readable takes everything */
    char close_in;     /* 'c', 'r', 'w', 'x': close the connection in that callback */
    char text[64];     /* first bytes received */
    size_t received;
    uint8_t sum;       /* xor of all bytes received */
} rig_t;

static void
maybe_close(rig_t *rig, char where)
{
    if (rig->close_in == where) {
        tr_conn_close(rig->conn);
        rig->conn = NULL;
    }
}

static void
on_connected(void *arg)
{
    rig_t *rig = arg;
    rig->connected++;
    maybe_close(rig, 'c');
}

static void
take(rig_t *rig)
{
    tr_bufq_t *input = tr_conn_input(rig->conn);
    while (input->len > 0) {
        tr_slice_t part = tr_bufq_peek(input);
        for (size_t i = 0; i < part.len; i++) {
            if (rig->received < sizeof(rig->text) - 1) {
                rig->text[rig->received] = (char)part.data[i];
            }
            rig->received++;
            rig->sum ^= part.data[i];
        }
        tr_bufq_consume(input, part.len);
    }
}

static void
on_readable(void *arg)
{
    rig_t *rig = arg;
    rig->readable++;
    if (rig->consume) {
        take(rig);
    }
    maybe_close(rig, 'r');
}

static void
on_writable(void *arg)
{
    rig_t *rig = arg;
    rig->writable++;
    maybe_close(rig, 'w');
}

static void
on_closed(void *arg, tr_code_t code, const tr_err_t *err)
{
    rig_t *rig = arg;
    rig->closed++;
    rig->code = code;
    rig->closed_err = *err;
    maybe_close(rig, 'x');
}

static const tr_conn_events_t events = {on_connected, on_readable, on_writable, on_closed, NULL, NULL, NULL};

static int
listen_on(uint32_t address, uint16_t *port, int backlog)
{
    struct sockaddr_in in;
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    memset(&in, 0, sizeof(in));
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(address);
    TR_CHECK(fd >= 0);
    TR_CHECK(bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0);
    TR_CHECK(listen(fd, backlog) == 0);
    TR_CHECK(getsockname(fd, (struct sockaddr *)&in, &len) == 0);
    *port = ntohs(in.sin_port);
    return fd;
}

static tr_code_t
rig_open(rig_t *rig)
{
    memset(rig, 0, sizeof(*rig));
    rig->peer = -1;
    rig->consume = true;
    rig->listener = listen_on(INADDR_LOOPBACK, &rig->port, 16);
    tr_code_t code = tr_loop_new(&rig->loop, &rig->err);
    return code == TR_OK ? tr_dns_new(&rig->dns, rig->loop, &rig->err) : code;
}

static void
rig_close(rig_t *rig)
{
    tr_conn_close(rig->conn);
    tr_dns_free(rig->dns);
    tr_loop_free(rig->loop);
    (void)close(rig->listener);
    if (rig->peer >= 0) {
        (void)close(rig->peer);
    }
}

static tr_code_t
open_conn(rig_t *rig, const char *host, uint64_t connect_timeout_ns)
{
    tr_conn_options_t options = {.host = host,
                                 .port = rig->port,
                                 .family = AF_UNSPEC,
                                 .connect_timeout_ns = connect_timeout_ns};
    tr_code_t code = tr_conn_open(&rig->conn, rig->loop, rig->dns, &options, &events, rig, &rig->err);
    TR_CHECK_INT(rig->connected + rig->closed, 0); /* never inside */
    return code;
}

/* Runs the loop until *value reaches wanted. */
static void
run_until(rig_t *rig, const int *value, int wanted)
{
    uint64_t end = tr_loop_update(rig->loop) + 5000 * MS;
    while (*value < wanted && tr_loop_now(rig->loop) < end) {
        tr_loop_run_once(rig->loop, 20 * MS);
    }
    TR_CHECK_INT(*value, wanted);
}

static void
turns(rig_t *rig, int num)
{
    for (int i = 0; i < num; i++) {
        tr_loop_run_once(rig->loop, 0);
    }
}

static void
accept_peer(rig_t *rig)
{
    rig->peer = accept(rig->listener, NULL, NULL);
    TR_CHECK(rig->peer >= 0);
    TR_CHECK(fcntl(rig->peer, F_SETFL, O_NONBLOCK) == 0);
}

/* A connected pair. */
static void
rig_connect(rig_t *rig)
{
    TR_CHECK_OK(rig_open(rig), &rig->err);
    TR_CHECK_OK(open_conn(rig, "127.0.0.1", 0), &rig->err);
    run_until(rig, &rig->connected, 1);
    accept_peer(rig);
}

static void
reset_peer(rig_t *rig)
{
    struct linger linger = {1, 0};
    TR_CHECK(setsockopt(rig->peer, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
    (void)close(rig->peer);
    rig->peer = -1;
}

TR_TEST_OOM(net_conn_echo, "/net/conn/echo")
{
    rig_t rig;
    char bytes[32];
    if (rig_open(&rig) != TR_OK || open_conn(&rig, "127.0.0.1", 1000 * MS) != TR_OK) {
        TR_CHECK_INT(rig.err.code, TR_ERR_NOMEM);
        goto done;
    }
    uint64_t end = tr_loop_update(rig.loop) + 5000 * MS;
    while (rig.connected + rig.closed == 0 && tr_loop_now(rig.loop) < end) {
        tr_loop_run_once(rig.loop, 20 * MS);
    }
    if (rig.closed != 0) {
        TR_CHECK(tr_test_oom_running());
        TR_CHECK_INT(rig.code, TR_ERR_NOMEM);
        goto done;
    }
    TR_CHECK_INT(rig.connected, 1);
    TR_CHECK(tr_conn_is_connected(rig.conn));
    accept_peer(&rig);
    const tr_conn_info_t *info = tr_conn_info(rig.conn);
    char expected[64];
    (void)snprintf(expected, sizeof(expected), "127.0.0.1:%u", (unsigned)rig.port);
    TR_CHECK(strcmp(info->peer_text, expected) == 0);
    TR_CHECK(strncmp(info->local_text, "127.0.0.1:", 10) == 0);
    TR_CHECK(info->start_ns > 0 && info->dns_done_ns >= info->start_ns && info->tcp_done_ns >= info->dns_done_ns);
    TR_CHECK(!info->has_tls && tr_conn_tls(rig.conn) == NULL);
    /* Two writes of a turn are one segment on the wire. */
    if (tr_conn_write(rig.conn, TR_SLICE_LIT("hello "), &rig.err) != TR_OK ||
        tr_conn_write(rig.conn, TR_SLICE_LIT("world"), &rig.err) != TR_OK) {
        TR_CHECK_INT(rig.err.code, TR_ERR_NOMEM);
        goto done;
    }
    TR_CHECK_INT(tr_conn_pending(rig.conn), 11);
    TR_CHECK_INT(tr_conn_written(rig.conn), 0);
    TR_CHECK(recv(rig.peer, bytes, sizeof(bytes), 0) < 0 && errno == EAGAIN);
    tr_loop_run_once(rig.loop, 0);
    TR_CHECK_INT(tr_conn_pending(rig.conn), 0);
    TR_CHECK_INT(tr_conn_written(rig.conn), 11);
    TR_CHECK_INT(rig.writable, 1);
    TR_CHECK_INT(recv(rig.peer, bytes, sizeof(bytes), 0), 11);
    TR_CHECK(memcmp(bytes, "hello world", 11) == 0);
    TR_CHECK(send(rig.peer, "answer", 6, 0) == 6);
    end = tr_loop_update(rig.loop) + 5000 * MS;
    while (rig.readable + rig.closed == 0 && tr_loop_now(rig.loop) < end) {
        tr_loop_run_once(rig.loop, 20 * MS);
    }
    if (rig.closed != 0) {
        TR_CHECK_INT(rig.code, TR_ERR_NOMEM);
        goto done;
    }
    TR_CHECK(strcmp(rig.text, "answer") == 0);
    TR_CHECK(tr_conn_is_alive(rig.conn));
    /* The peer's FIN is an orderly end; what it sent before comes first. */
    TR_CHECK(send(rig.peer, "bye", 3, 0) == 3);
    TR_CHECK(shutdown(rig.peer, SHUT_WR) == 0);
    run_until(&rig, &rig.closed, 1);
    if (rig.code != TR_EOF) {
        TR_CHECK_INT(rig.code, TR_ERR_NOMEM);
        goto done;
    }
    TR_CHECK_INT(rig.closed_err.detail, 0);
    TR_CHECK(strcmp(rig.text, "answerbye") == 0);
    TR_CHECK(!tr_conn_is_connected(rig.conn));
    TR_CHECK(!tr_conn_is_alive(rig.conn));
    TR_CHECK(tr_failed(tr_conn_write(rig.conn, TR_SLICE_LIT("x"), &rig.err)));
    turns(&rig, 3);
    TR_CHECK_INT(rig.closed, 1);
done:
    rig_close(&rig);
}

TR_TEST(net_conn_refused, "/net/conn/refused")
{
    rig_t rig;
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    (void)close(rig.listener);
    TR_CHECK_OK(open_conn(&rig, "127.0.0.1", 0), &rig.err);
    run_until(&rig, &rig.closed, 1);
    TR_CHECK_INT(rig.code, TR_ERR_CONNECT_REFUSED);
    TR_CHECK_INT(rig.closed_err.detail, ECONNREFUSED);
    TR_CHECK(strstr(rig.closed_err.msg, "connection refused") != NULL);
    TR_CHECK_INT(rig.connected, 0);
    /* localhost: both families refuse. */
    tr_conn_close(rig.conn);
    rig.closed = 0;
    TR_CHECK_OK(open_conn(&rig, "localhost", 0), &rig.err);
    run_until(&rig, &rig.closed, 1);
    TR_CHECK_INT(rig.code, TR_ERR_CONNECT_REFUSED);
    rig.listener = dup(0);
    rig_close(&rig);
}

TR_TEST(net_conn_reset, "/net/conn/reset")
{
    rig_t rig;
    rig_connect(&rig);
    reset_peer(&rig);
    run_until(&rig, &rig.closed, 1);
    TR_CHECK_INT(rig.code, TR_ERR_CONNECT_RESET);
    TR_CHECK_INT(rig.closed_err.detail, ECONNRESET);
    rig_close(&rig);
}

/* The peer answers, does not read what we send, and goes: the answer is read although our write fails, and the end is a reset, not an
 * orderly one. */
TR_TEST(net_conn_last_words, "/net/conn/last_words")
{
    rig_t rig;
    rig_connect(&rig);
    TR_CHECK_OK(tr_conn_write(rig.conn, TR_SLICE_LIT("request"), &rig.err), &rig.err);
    turns(&rig, 1);
    TR_CHECK(send(rig.peer, "413 too large", 13, 0) == 13);
    (void)close(rig.peer); /* with unread bytes: RST */
    rig.peer = -1;
    TR_CHECK_OK(tr_conn_write(rig.conn, TR_SLICE_LIT("more"), &rig.err), &rig.err);
    run_until(&rig, &rig.closed, 1);
    TR_CHECK(strcmp(rig.text, "413 too large") == 0);
    TR_CHECK_INT(rig.code, TR_ERR_CONNECT_RESET);
    rig_close(&rig);
}

TR_TEST(net_conn_close_inside, "/net/conn/close_in_callbacks")
{
    static const char places[] = "crwx";
    for (size_t i = 0; places[i] != 0; i++) {
        rig_t rig;
        TR_CHECK_OK(rig_open(&rig), &rig.err);
        rig.close_in = places[i];
        TR_CHECK_OK(open_conn(&rig, "127.0.0.1", 0), &rig.err);
        run_until(&rig, &rig.connected, 1);
        accept_peer(&rig);
        if (rig.conn != NULL) {
            TR_CHECK(send(rig.peer, "data", 4, 0) == 4);
            TR_CHECK(shutdown(rig.peer, SHUT_WR) == 0);
            TR_CHECK_OK(tr_conn_write(rig.conn, TR_SLICE_LIT("x"), &rig.err), &rig.err);
        }
        for (int turn = 0; turn < 50 && rig.conn != NULL; turn++) {
            tr_loop_run_once(rig.loop, 20 * MS);
        }
        TR_CHECK(rig.conn == NULL);
        int sum = rig.connected + rig.readable * 10 + rig.closed * 100;
        turns(&rig, 3);
        TR_CHECK_INT(rig.connected + rig.readable * 10 + rig.closed * 100, sum); /* nothing follows */
        TR_CHECK_INT(rig.closed, places[i] == 'x');
        rig_close(&rig);
    }
}

TR_TEST(net_conn_backpressure, "/net/conn/backpressure")
{
    enum { TOTAL = 6 * 1024 * 1024 };
    rig_t rig;
    rig_connect(&rig);
    uint8_t block[65536];
    uint8_t sum = 0;
    size_t sent = 0, most = 0;
    rig.consume = false;
    for (size_t i = 0; i < sizeof(block); i++) {
        block[i] = (uint8_t)(i * 7 + i / 255);
    }
    uint64_t end = tr_loop_update(rig.loop) + 10000 * MS;
    int stalls = 0;
    while (rig.received < TOTAL && tr_loop_now(rig.loop) < end) {
        ssize_t n = sent < TOTAL ? send(rig.peer, block, TR_MIN(sizeof(block), TOTAL - sent), 0) : 0;
        for (ssize_t i = 0; i < n; i++) {
            sum ^= block[i];
        }
        sent += n > 0 ? (size_t)n : 0;
        tr_loop_run_once(rig.loop, 0);
        size_t held = tr_conn_input(rig.conn)->len;
        most = TR_MAX(most, held);
        TR_CHECK(held <= INPUT_BOUND);
        if (n <= 0) { /* the kernel's queues are full, or all is sent: nothing comes without us */
            stalls++;
            turns(&rig, 3);
            TR_CHECK_INT(tr_conn_input(rig.conn)->len > 0, 1);
            take(&rig);
            tr_conn_read_more(rig.conn);
        }
    }
    TR_CHECK_INT(rig.received, TOTAL);
    TR_CHECK_INT(rig.sum, sum);
    TR_CHECK(stalls > 2);
    TR_CHECK(most >= 512 * 1024);
    rig_close(&rig);
}

TR_TEST(net_conn_pause, "/net/conn/pause")
{
    rig_t rig;
    rig_connect(&rig);
    tr_conn_pause(rig.conn, true);
    TR_CHECK(send(rig.peer, "abc", 3, 0) == 3);
    for (int i = 0; i < 5; i++) {
        tr_loop_run_once(rig.loop, 2 * MS);
    }
    TR_CHECK_INT(rig.readable, 0);
    tr_conn_pause(rig.conn, false);
    run_until(&rig, &rig.readable, 1);
    TR_CHECK(strcmp(rig.text, "abc") == 0);
    tr_conn_pause(rig.conn, true); /* and back before anything came: no trace */
    tr_conn_pause(rig.conn, false);
    TR_CHECK(send(rig.peer, "def", 3, 0) == 3);
    run_until(&rig, &rig.readable, 2);
    TR_CHECK(strcmp(rig.text, "abcdef") == 0);
    rig_close(&rig);
}

TR_TEST(net_conn_output, "/net/conn/output")
{
    enum { TOTAL = 12 * 1024 * 1024 };
    rig_t rig;
    rig_connect(&rig);
    static uint8_t block[256 * 1024];
    size_t got = 0;
    for (size_t i = 0; i < sizeof(block); i++) {
        block[i] = (uint8_t)(i * 31 + i / 251);
    }
    for (size_t sent = 0; sent < TOTAL; sent += sizeof(block)) {
        TR_CHECK_OK(tr_conn_write(rig.conn, tr_slice(block, sizeof(block)), &rig.err), &rig.err);
    }
    TR_CHECK_INT(tr_conn_pending(rig.conn), TOTAL);
    turns(&rig, 2);
    TR_CHECK(tr_conn_pending(rig.conn) > 0 && tr_conn_pending(rig.conn) < TOTAL); /* the kernel is full */
    TR_CHECK_INT(rig.writable, 0);
    static uint8_t in[256 * 1024];
    uint64_t end = tr_loop_update(rig.loop) + 10000 * MS;
    bool same = true;
    while (got < TOTAL && tr_loop_now(rig.loop) < end) {
        ssize_t n = recv(rig.peer, in, sizeof(in), 0);
        for (ssize_t i = 0; i < n; i++) {
            same = same && in[i] == block[(got + (size_t)i) % sizeof(block)];
        }
        got += n > 0 ? (size_t)n : 0;
        tr_loop_run_once(rig.loop, n > 0 ? 0 : 5 * MS);
    }
    TR_CHECK_INT(got, TOTAL);
    TR_CHECK(same);
    TR_CHECK_INT(tr_conn_pending(rig.conn), 0);
    TR_CHECK_INT(rig.writable, 1);
    /* The peer talks while we are blocked; reading goes on. */
    for (size_t sent = 0; sent < TOTAL; sent += sizeof(block)) {
        TR_CHECK_OK(tr_conn_write(rig.conn, tr_slice(block, sizeof(block)), &rig.err), &rig.err);
    }
    turns(&rig, 2);
    TR_CHECK(send(rig.peer, "early", 5, 0) == 5);
    run_until(&rig, &rig.readable, 1);
    /* And its reset while we are blocked is seen. */
    reset_peer(&rig);
    run_until(&rig, &rig.closed, 1);
    TR_CHECK_INT(rig.code, TR_ERR_CONNECT_RESET);
    rig_close(&rig);
}

TR_TEST(net_conn_alive, "/net/conn/is_alive")
{
    rig_t rig;
    rig_connect(&rig);
    TR_CHECK(tr_conn_is_alive(rig.conn));
    TR_CHECK(send(rig.peer, "?", 1, 0) == 1);
    TR_CHECK(!tr_conn_is_alive(rig.conn)); /* bytes that nobody asked for */
    TR_CHECK_INT(rig.readable, 0);
    run_until(&rig, &rig.readable, 1);
    TR_CHECK(tr_conn_is_alive(rig.conn));
    TR_CHECK(shutdown(rig.peer, SHUT_WR) == 0);
    TR_CHECK(!tr_conn_is_alive(rig.conn));
    TR_CHECK_INT(rig.closed, 0);
    run_until(&rig, &rig.closed, 1);
    TR_CHECK_INT(rig.code, TR_EOF);
    rig_close(&rig);

    rig_connect(&rig);
    reset_peer(&rig);
    TR_CHECK(!tr_conn_is_alive(rig.conn));
    TR_CHECK(!tr_conn_is_alive(rig.conn));
    run_until(&rig, &rig.closed, 1);
    TR_CHECK_INT(rig.code, TR_ERR_CONNECT_RESET);
    rig_close(&rig);
}

TR_TEST(net_conn_local, "/net/conn/local_address")
{
    rig_t rig;
    tr_address_t local = {.len = sizeof(struct sockaddr_in)};
    struct sockaddr_in *in = (struct sockaddr_in *)&local.storage;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(0x7f000002);
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    tr_conn_options_t options = {.host = "localhost", .port = rig.port, .family = AF_UNSPEC, .local = &local};
    TR_CHECK_OK(tr_conn_open(&rig.conn, rig.loop, rig.dns, &options, &events, &rig, &rig.err), &rig.err);
    run_until(&rig, &rig.connected, 1);
    TR_CHECK(strncmp(tr_conn_info(rig.conn)->local_text, "127.0.0.2:", 10) == 0);
    tr_conn_close(rig.conn);
    /* No address of that family. */
    options.host = "::1";
    TR_CHECK_OK(tr_conn_open(&rig.conn, rig.loop, rig.dns, &options, &events, &rig, &rig.err), &rig.err);
    run_until(&rig, &rig.closed, 1);
    TR_CHECK_INT(rig.code, TR_ERR_CONNECT_UNREACHABLE);
    rig_close(&rig);
}

/* Addresses in place of a look-up; those that are not public; options of the socket. */
TR_TEST(net_conn_given, "/net/conn/given_addresses")
{
    rig_t rig;
    tr_address_t given[2];
    tr_sockopts_t socket = {.interface = "lo", .keepalive_s = 9, .keepalive_count = 3};
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    TR_CHECK(tr_address_parse(&given[0], "127.0.0.1", 0) && tr_address_parse(&given[1], "10.0.0.1", 0));
    tr_conn_options_t options = {
        .host = "nowhere.invalid", .port = rig.port, .addresses = given, .num_addresses = 1, .socket = &socket};
#ifndef __linux__
    socket.interface[0] = 0;
#endif
    TR_CHECK_OK(tr_conn_open(&rig.conn, rig.loop, rig.dns, &options, &events, &rig, &rig.err), &rig.err);
    run_until(&rig, &rig.connected, 1);
    tr_conn_close(rig.conn);
    options.num_addresses = 2;
    options.deny_private = true;
    TR_CHECK_OK(tr_conn_open(&rig.conn, rig.loop, rig.dns, &options, &events, &rig, &rig.err), &rig.err);
    run_until(&rig, &rig.closed, 1);
    TR_CHECK_INT(rig.code, TR_ERR_CONNECT_PRIVATE);
    tr_conn_close(rig.conn);
    options.deny_private = false;
    options.family = AF_INET6;
    TR_CHECK_OK(tr_conn_open(&rig.conn, rig.loop, rig.dns, &options, &events, &rig, &rig.err), &rig.err);
    run_until(&rig, &rig.closed, 2);
    TR_CHECK_INT(rig.code, TR_ERR_DNS_NOT_FOUND);
    tr_conn_close(rig.conn);
#ifdef __linux__
    options.family = AF_UNSPEC;
    memcpy(socket.interface, "nowhere9", 9);
    TR_CHECK_OK(tr_conn_open(&rig.conn, rig.loop, rig.dns, &options, &events, &rig, &rig.err), &rig.err);
    run_until(&rig, &rig.closed, 3);
    TR_CHECK_INT(rig.code, TR_ERR_CONNECT_FAILED);
#endif
    rig_close(&rig);
}

/* ----------------------------------------------------------------------------------------------------------- timeouts */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool looked;

static int
slow_lookup(const char *host, int family, tr_address_t *out, size_t *out_num)
{
    TR_UNUSED(host);
    TR_UNUSED(family);
    (void)pthread_mutex_lock(&gate);
    (void)pthread_mutex_unlock(&gate);
    memset(out, 0, sizeof(*out));
    ((struct sockaddr_in *)&out->storage)->sin_family = AF_INET;
    ((struct sockaddr_in *)&out->storage)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    out->len = sizeof(struct sockaddr_in);
    *out_num = 1;
    atomic_store(&looked, true);
    return 0;
}

static bool
blocks_settle(int64_t blocks)
{
    for (int i = 0; i < 5000; i++) {
        if (tr_mem_live() == blocks) {
            return true;
        }
        (void)usleep(1000);
    }
    return false;
}

TR_TEST(net_conn_dns_timeout, "/net/conn/dns_timeout")
{
    int64_t blocks = tr_mem_live();
    rig_t rig;
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    tr_dns_set_lookup(rig.dns, slow_lookup);
    (void)pthread_mutex_lock(&gate);
    TR_CHECK_OK(open_conn(&rig, "slow.example", 30 * MS), &rig.err);
    run_until(&rig, &rig.closed, 1);
    TR_CHECK_INT(rig.code, TR_ERR_TIMEOUT_CONNECT);
    tr_conn_close(rig.conn);
    rig.conn = NULL;
    (void)pthread_mutex_unlock(&gate);
    /* The answer that came too late serves the next connection. */
    while (!atomic_load(&looked)) {
        (void)usleep(1000);
    }
    rig.closed = 0;
    TR_CHECK_OK(open_conn(&rig, "slow.example", 1000 * MS), &rig.err);
    run_until(&rig, &rig.connected, 1);
    rig_close(&rig);
    TR_CHECK(blocks_settle(blocks));
}

/* A listening socket whose queue is full drops every further SYN: an address that answers nothing. */
typedef struct black_hole {
    int listener;
    uint16_t port;
    int fillers[8];
} black_hole_t;

static void
black_hole_open(black_hole_t *hole)
{
    struct sockaddr_in in;
    hole->listener = listen_on(INADDR_LOOPBACK, &hole->port, 0);
    memset(&in, 0, sizeof(in));
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in.sin_port = htons(hole->port);
    for (size_t i = 0; i < TR_ARRAY_LEN(hole->fillers); i++) {
        hole->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(hole->fillers[i], (struct sockaddr *)&in, sizeof(in));
    }
}

static void
black_hole_close(black_hole_t *hole)
{
    for (size_t i = 0; i < TR_ARRAY_LEN(hole->fillers); i++) {
        (void)close(hole->fillers[i]);
    }
    (void)close(hole->listener);
}

TR_TEST(net_conn_timeout, "/net/conn/connect_timeout")
{
    rig_t rig;
    black_hole_t hole;
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    black_hole_open(&hole);
    rig.port = hole.port;
    uint64_t before = tr_loop_update(rig.loop);
    TR_CHECK_OK(open_conn(&rig, "127.0.0.1", 60 * MS), &rig.err);
    run_until(&rig, &rig.closed, 1);
    TR_CHECK_INT(rig.code, TR_ERR_TIMEOUT_CONNECT);
    uint64_t took = tr_loop_update(rig.loop) - before;
    TR_CHECK(took >= 60 * MS && took < 1000 * MS);
    black_hole_close(&hole);
    rig_close(&rig);
}

static void
close_by_timer(void *arg)
{
    rig_t *rig = arg;
    tr_conn_close(rig->conn);
    rig->conn = NULL;
}

/* Closed from elsewhere in every phase before it is up. */
TR_TEST(net_conn_close_early, "/net/conn/close_early")
{
    rig_t rig;
    black_hole_t hole;
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    TR_CHECK_OK(open_conn(&rig, "127.0.0.1", 1000 * MS), &rig.err);
    tr_conn_close(rig.conn);
    rig.conn = NULL;
    turns(&rig, 3);
    TR_CHECK_INT(rig.connected + rig.closed, 0);
    tr_timer_t timer;
    tr_timer_init(&timer, close_by_timer, &rig);
    black_hole_open(&hole);
    rig.port = hole.port;
    TR_CHECK_OK(open_conn(&rig, "127.0.0.1", 1000 * MS), &rig.err);
    TR_CHECK_INT(tr_timer_set(rig.loop, &timer, tr_loop_now(rig.loop) + 5 * MS), TR_OK);
    for (int i = 0; i < 20; i++) {
        tr_loop_run_once(rig.loop, 2 * MS);
    }
    TR_CHECK(rig.conn == NULL);
    TR_CHECK_INT(rig.connected + rig.closed, 0);
    black_hole_close(&hole);
    rig_close(&rig);
}

/* ---------------------------------------------------------------------------------------------------------- eyeballs */

typedef struct race_case {
    int calls;
    tr_filter_t *tcp;
    tr_err_t err;
} race_case_t;

static void
on_race(void *arg, tr_filter_t *tcp, const tr_err_t *err)
{
    race_case_t *c = arg;
    c->calls++;
    c->tcp = tcp;
    c->err = err == NULL ? TR_ERR_INIT : *err;
}

static tr_address_t
address4(uint32_t host, uint16_t port)
{
    tr_address_t address;
    memset(&address, 0, sizeof(address));
    struct sockaddr_in *in = (struct sockaddr_in *)&address.storage;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(host);
    in->sin_port = htons(port);
    address.len = sizeof(*in);
    return address;
}

static tr_address_t
address6(uint16_t port)
{
    tr_address_t address;
    memset(&address, 0, sizeof(address));
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address.storage;
    in6->sin6_family = AF_INET6;
    in6->sin6_addr = in6addr_loopback;
    in6->sin6_port = htons(port);
    address.len = sizeof(*in6);
    return address;
}

/* Runs a race; returns how long it took. */
static uint64_t
race(tr_loop_t *loop, race_case_t *c, const tr_address_t *addresses, size_t num)
{
    tr_eyeballs_t *eyeballs;
    tr_err_t err;
    memset(c, 0, sizeof(*c));
    uint64_t start = tr_loop_update(loop);
    TR_CHECK_OK(tr_eyeballs_new(&eyeballs, loop, addresses, num, NULL, on_race, c, &err), &err);
    tr_code_t code = tr_eyeballs_start(eyeballs, &c->tcp, &c->err);
    if (code == TR_AGAIN) {
        while (c->calls == 0 && tr_loop_now(loop) < start + 5000 * MS) {
            tr_loop_run_once(loop, 100 * MS);
        }
        TR_CHECK_INT(c->calls, 1);
    } else {
        TR_CHECK(code == TR_OK ? c->tcp != NULL : c->err.code == code);
    }
    uint64_t took = tr_loop_update(loop) - start;
    tr_eyeballs_free(eyeballs);
    return took;
}

static void
check_winner(race_case_t *c, const char *address, uint16_t port)
{
    char expected[64], got[64];
    TR_CHECK(c->tcp != NULL);
    tr_address_text(tr_tcp_address(c->tcp), got, sizeof(got));
    (void)snprintf(expected, sizeof(expected), "%s:%u", address, (unsigned)port);
    if (strcmp(got, expected) != 0) {
        tr_test_fail(__FILE__, __LINE__, "%s won, not %s", got, expected);
    }
    tr_filter_free(c->tcp);
}

TR_TEST(net_eyeballs, "/net/eyeballs/race")
{
    tr_loop_t *loop;
    tr_err_t err;
    race_case_t c;
    black_hole_t hole, second_hole;
    uint16_t good, dead;
    TR_CHECK_OK(tr_loop_new(&loop, &err), &err);
    int listener = listen_on(INADDR_LOOPBACK, &good, 16);
    int closed = listen_on(INADDR_LOOPBACK, &dead, 16);
    (void)close(closed); /* refuses from now on */
    black_hole_open(&hole);
    black_hole_open(&second_hole);

    /* One that is silent: the next is tried 250 ms later and wins; two of them: 500 ms. */
    tr_address_t silent_first[] = {address4(INADDR_LOOPBACK, hole.port), address4(INADDR_LOOPBACK, good)};
    uint64_t took = race(loop, &c, silent_first, 2);
    check_winner(&c, "127.0.0.1", good);
    TR_CHECK(took >= 240 * MS && took < 450 * MS);
    tr_address_t two_silent[] = {address4(INADDR_LOOPBACK, hole.port), address4(INADDR_LOOPBACK, second_hole.port),
                                 address4(INADDR_LOOPBACK, good)};
    took = race(loop, &c, two_silent, 3);
    check_winner(&c, "127.0.0.1", good);
    TR_CHECK(took >= 490 * MS && took < 800 * MS);

    /* One that refuses: the next is tried at once. */
    tr_address_t refused_first[] = {address4(INADDR_LOOPBACK, dead), address4(INADDR_LOOPBACK, good)};
    took = race(loop, &c, refused_first, 2);
    check_winner(&c, "127.0.0.1", good);
    TR_CHECK(took < 200 * MS);

    /* The refusal is told, though the silent one came first and the unreachable one last. */
    tr_address_t all_fail[] = {address4(0xffffffff, dead), address4(INADDR_LOOPBACK, dead), address4(0xffffffff, good)};
    (void)race(loop, &c, all_fail, 3);
    TR_CHECK(c.tcp == NULL);
    TR_CHECK_INT(c.err.code, TR_ERR_CONNECT_REFUSED);

    /* Freed with attempts under way: nothing follows. */
    tr_eyeballs_t *eyeballs;
    tr_filter_t *tcp;
    memset(&c, 0, sizeof(c));
    TR_CHECK_OK(tr_eyeballs_new(&eyeballs, loop, two_silent, 3, NULL, on_race, &c, &err), &err);
    TR_CHECK_INT(tr_eyeballs_start(eyeballs, &tcp, &err), TR_AGAIN);
    tr_loop_run_once(loop, 5 * MS);
    tr_eyeballs_free(eyeballs);
    tr_loop_run_once(loop, 5 * MS);
    TR_CHECK_INT(c.calls, 0);

    black_hole_close(&hole);
    black_hole_close(&second_hole);
    (void)close(listener);
    tr_loop_free(loop);
}

/* RFC 8305 4: after an IPv4 address an IPv6 one is tried, though the resolver names it last. */
TR_TEST(net_eyeballs_families, "/net/eyeballs/families")
{
    tr_loop_t *loop;
    tr_err_t err;
    race_case_t c;
    uint16_t good, dead;
    int six = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
    tr_address_t any6 = address6(0);
    socklen_t len = sizeof(any6.storage);
    TR_CHECK_OK(tr_loop_new(&loop, &err), &err);
    int listener = listen_on(INADDR_LOOPBACK, &good, 16);
    int closed = listen_on(INADDR_LOOPBACK, &dead, 16);
    (void)close(closed);
    tr_address_t addresses[] = {address4(INADDR_LOOPBACK, dead), address4(INADDR_LOOPBACK, good), address6(1)};
    if (six >= 0 && bind(six, (struct sockaddr *)&any6.storage, any6.len) == 0 && listen(six, 4) == 0 &&
        getsockname(six, (struct sockaddr *)&any6.storage, &len) == 0) {
        uint16_t port = ntohs(((struct sockaddr_in6 *)&any6.storage)->sin6_port);
        addresses[2] = address6(port);
        (void)race(loop, &c, addresses, 3);
        check_winner(&c, "[::1]", port);
    } else { /* no IPv6 here: it fails at once and the other IPv4 address is next */
        (void)race(loop, &c, addresses, 3);
        check_winner(&c, "127.0.0.1", good);
    }
    if (six >= 0) {
        (void)close(six);
    }
    (void)close(listener);
    tr_loop_free(loop);
}
