/* Connections with TLS on top: the peer is `openssl s_server`, or a bare socket where the point is what a broken peer does. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/conn.h"
#include "tls/x509.h"
#include "tr_test.h"

#define MS ((uint64_t)1000000)

typedef struct rig {
    tr_loop_t *loop;
    tr_dns_t *dns;
    tr_conn_t *conn;
    tr_tls_config_t tls;
    int listener;
    uint16_t port;
    int peer;
    tr_err_t err;
    int connected, readable, writable, closed;
    tr_code_t code;
    tr_err_t closed_err;
    char close_in;
    const char *first; /* written as soon as it is up */
    char text[256];
    size_t received;
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
    if (rig->first != NULL) {
        TR_CHECK_OK(tr_conn_write(rig->conn, tr_slice_cstr(rig->first), &rig->err), &rig->err);
    }
    maybe_close(rig, 'c');
}

static void
on_readable(void *arg)
{
    rig_t *rig = arg;
    tr_bufq_t *input = tr_conn_input(rig->conn);
    rig->readable++;
    while (input->len > 0) {
        tr_slice_t part = tr_bufq_peek(input);
        size_t room = rig->received < sizeof(rig->text) - 1 ? sizeof(rig->text) - 1 - rig->received : 0;
        memcpy(rig->text + (room > 0 ? rig->received : 0), part.data, TR_MIN(room, part.len));
        rig->received += part.len;
        tr_bufq_consume(input, part.len);
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
listen_any(uint16_t *port)
{
    struct sockaddr_in in;
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    memset(&in, 0, sizeof(in));
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    TR_CHECK(fd >= 0);
    TR_CHECK(bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0);
    TR_CHECK(listen(fd, 16) == 0);
    TR_CHECK(getsockname(fd, (struct sockaddr *)&in, &len) == 0);
    *port = ntohs(in.sin_port);
    return fd;
}

static tr_code_t
rig_open(rig_t *rig)
{
    memset(rig, 0, sizeof(*rig));
    rig->peer = -1;
    rig->listener = listen_any(&rig->port);
    rig->tls = (tr_tls_config_t){.profile = tr_profile_default(),
                                 .flags = TR_TLS_NO_VERIFY | TR_TLS_HTTP1_ONLY,
                                 .rnd = tr_rand_system};
    tr_code_t code = tr_loop_new(&rig->loop, &rig->err);
    return code == TR_OK ? tr_dns_new(&rig->dns, rig->loop, &rig->err) : code;
}

static void
rig_close(rig_t *rig)
{
    tr_conn_close(rig->conn);
    tr_dns_free(rig->dns);
    tr_loop_free(rig->loop);
    if (rig->listener >= 0) {
        (void)close(rig->listener);
    }
    if (rig->peer >= 0) {
        (void)close(rig->peer);
    }
}

static tr_code_t
open_conn(rig_t *rig, uint64_t tls_timeout_ns)
{
    tr_conn_options_t options = {.host = "127.0.0.1",
                                 .port = rig->port,
                                 .family = AF_UNSPEC,
                                 .tls = &rig->tls,
                                 .connect_timeout_ns = 5000 * MS,
                                 .tls_timeout_ns = tls_timeout_ns};
    return tr_conn_open(&rig->conn, rig->loop, rig->dns, &options, &events, rig, &rig->err);
}

static void
run_until(rig_t *rig, const int *value, int wanted)
{
    uint64_t end = tr_loop_update(rig->loop) + 10000 * MS;
    while (*value < wanted && tr_loop_now(rig->loop) < end) {
        tr_loop_run_once(rig->loop, 20 * MS);
    }
    if (*value != wanted) {
        tr_test_fail(__FILE__, __LINE__, "%d of %d; closed %d: %s %s", *value, wanted, rig->closed,
                     tr_err_name(rig->code), rig->closed_err.msg);
    }
}

/* ----------------------------------------------------------------------------------------------------- a bare peer */

/* Opens a connection to our own listener and reads the ClientHello. */
static size_t
meet(rig_t *rig, uint8_t *hello, size_t cap, uint64_t tls_timeout_ns)
{
    TR_CHECK_OK(rig_open(rig), &rig->err);
    TR_CHECK_OK(open_conn(rig, tls_timeout_ns), &rig->err);
    uint64_t end = tr_loop_update(rig->loop) + 5000 * MS;
    ssize_t got = -1;
    while (got <= 0 && tr_loop_now(rig->loop) < end) {
        tr_loop_run_once(rig->loop, MS);
        if (rig->peer < 0) {
            rig->peer = accept(rig->listener, NULL, NULL);
        }
        if (rig->peer >= 0) {
            got = recv(rig->peer, hello, cap, MSG_DONTWAIT);
        }
    }
    TR_CHECK(got > 5 && hello[0] == 22);
    return (size_t)got;
}

TR_TEST(net_tls_timeout, "/net/tls/timeout")
{
    rig_t rig;
    uint8_t hello[8192];
    (void)meet(&rig, hello, sizeof(hello), 50 * MS);
    run_until(&rig, &rig.closed, 1);
    TR_CHECK_INT(rig.code, TR_ERR_TIMEOUT_TLS);
    TR_CHECK_INT(rig.connected, 0);
    rig_close(&rig);
}

TR_TEST(net_tls_eof, "/net/tls/eof_in_handshake")
{
    rig_t rig;
    uint8_t hello[8192];
    (void)meet(&rig, hello, sizeof(hello), 0);
    TR_CHECK(shutdown(rig.peer, SHUT_WR) == 0);
    run_until(&rig, &rig.closed, 1);
    TR_CHECK_INT(rig.code, TR_ERR_TLS_CLOSED);
    rig_close(&rig);
}

TR_TEST(net_tls_reset, "/net/tls/reset_in_handshake")
{
    rig_t rig;
    uint8_t hello[8192];
    struct linger linger = {1, 0};
    (void)meet(&rig, hello, sizeof(hello), 0);
    TR_CHECK(setsockopt(rig.peer, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
    (void)close(rig.peer);
    rig.peer = -1;
    run_until(&rig, &rig.closed, 1);
    TR_CHECK_INT(rig.code, TR_ERR_CONNECT_RESET);
    rig_close(&rig);
}

/* The alert that the engine queued leaves before `closed` comes, also when the callback closes at once. */
TR_TEST(net_tls_alert, "/net/tls/alert_is_sent")
{
    rig_t rig;
    uint8_t bytes[8192];
    /* A handshake record with a ServerHello that is not one. */
    static const uint8_t nonsense[] = {22, 3, 3, 0, 8, 2, 0, 0, 4, 1, 2, 3, 4};
    (void)meet(&rig, bytes, sizeof(bytes), 0);
    rig.close_in = 'x';
    TR_CHECK(send(rig.peer, nonsense, sizeof(nonsense), 0) == sizeof(nonsense));
    run_until(&rig, &rig.closed, 1);
    TR_CHECK(tr_failed(rig.code));
    ssize_t got = recv(rig.peer, bytes, sizeof(bytes), 0);
    TR_CHECK_INT(got, 7);
    TR_CHECK_INT(bytes[0], 21);
    TR_CHECK_INT(bytes[5], 2); /* fatal */
    rig_close(&rig);

    (void)meet(&rig, bytes, sizeof(bytes), 0);
    TR_CHECK(send(rig.peer, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, 0) == 28);
    run_until(&rig, &rig.closed, 1);
    TR_CHECK_INT(rig.code, TR_ERR_TLS_NOT_TLS);
    rig_close(&rig);
}

/* Up to the ClientHello. */
TR_TEST_OOM(net_tls_oom, "/net/tls/oom")
{
    rig_t rig;
    uint8_t hello[8192];
    ssize_t got = -1;
    if (rig_open(&rig) != TR_OK || open_conn(&rig, 1000 * MS) != TR_OK) {
        TR_CHECK_INT(rig.err.code, TR_ERR_NOMEM);
        rig_close(&rig);
        return;
    }
    uint64_t end = tr_loop_update(rig.loop) + 5000 * MS;
    while (got <= 0 && rig.closed == 0 && tr_loop_now(rig.loop) < end) {
        tr_loop_run_once(rig.loop, MS);
        if (rig.peer < 0) {
            rig.peer = accept(rig.listener, NULL, NULL);
        }
        if (rig.peer >= 0) {
            got = recv(rig.peer, hello, sizeof(hello), MSG_DONTWAIT);
        }
    }
    TR_CHECK(rig.closed == 1 ? rig.code == TR_ERR_NOMEM && tr_test_oom_running() : got > 5 && hello[0] == 22);
    rig_close(&rig);
}

/* -------------------------------------------------------------------------------------------------- openssl s_server */

typedef struct server {
    char dir[64];
    pid_t pid;
    uint16_t port;
} server_t;

static const char *const openssl = "/usr/bin/openssl";

static pid_t
spawn(const char *const *argv)
{
    pid_t pid = fork();
    TR_CHECK(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        (void)dup2(null, 0);
        (void)dup2(null, 1);
        (void)dup2(null, 2);
        (void)execv(openssl, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    return pid;
}

/* False: there is no openssl program here. */
static bool
server_start(server_t *server, const char *extra1, const char *extra2)
{
    char cert[96], key[96], accept_text[32];
    int status;
    if (access(openssl, X_OK) != 0) {
        (void)printf("no %s: skipped\n", openssl);
        return false;
    }
    (void)snprintf(server->dir, sizeof(server->dir), "/tmp/tr_net_tls.XXXXXX");
    TR_CHECK(mkdtemp(server->dir) != NULL);
    (void)snprintf(cert, sizeof(cert), "%s/cert.pem", server->dir);
    (void)snprintf(key, sizeof(key), "%s/key.pem", server->dir);
    const char *const make[] = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                                "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext",
                                "subjectAltName=IP:127.0.0.1", NULL};
    pid_t pid = spawn(make);
    TR_CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    /* A port that is free now; s_server takes it a moment later. */
    (void)close(listen_any(&server->port));
    (void)snprintf(accept_text, sizeof(accept_text), "127.0.0.1:%u", (unsigned)server->port);
    const char *const serve[] = {"openssl", "s_server", "-accept", accept_text, "-cert", cert, "-key", key, "-quiet",
                                 "-rev", extra1, extra2, NULL};
    server->pid = spawn(serve);
    struct sockaddr_in in;
    memset(&in, 0, sizeof(in));
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in.sin_port = htons(server->port);
    for (int i = 0; i < 500; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int result = connect(fd, (struct sockaddr *)&in, sizeof(in));
        (void)close(fd);
        if (result == 0) {
            return true;
        }
        (void)usleep(10000);
    }
    tr_test_fail(__FILE__, __LINE__, "s_server does not start");
}

static void
server_stop(server_t *server)
{
    char path[96];
    int status;
    (void)kill(server->pid, SIGKILL);
    (void)waitpid(server->pid, &status, 0);
    (void)snprintf(path, sizeof(path), "%s/cert.pem", server->dir);
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s/key.pem", server->dir);
    (void)unlink(path);
    (void)rmdir(server->dir);
}

static void
check_reversed(server_t *server, uint16_t version)
{
    rig_t rig;
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    rig.port = server->port;
    rig.first = "hello\n"; /* leaves with the end of the handshake */
    TR_CHECK_OK(open_conn(&rig, 5000 * MS), &rig.err);
    run_until(&rig, &rig.readable, 1);
    TR_CHECK(strcmp(rig.text, "olleh\n") == 0);
    const tr_conn_info_t *info = tr_conn_info(rig.conn);
    TR_CHECK(info->has_tls && tr_conn_tls(rig.conn) != NULL);
    TR_CHECK_INT(info->tls.version, version);
    TR_CHECK(info->tls_done_ns >= info->tcp_done_ns && info->tcp_done_ns > 0);
    TR_CHECK(rig.writable >= 1);
    /* Tickets that wait unread in an idle connection do not make it a dead one. */
    TR_CHECK(tr_conn_is_alive(rig.conn));
    /* A long line, several records in both directions. */
    static char line[100001];
    memset(line, 'x', sizeof(line) - 1);
    line[0] = 'a';
    line[sizeof(line) - 2] = '\n';
    size_t before = rig.received;
    TR_CHECK_OK(tr_conn_write(rig.conn, tr_slice(line, sizeof(line) - 1), &rig.err), &rig.err);
    uint64_t end = tr_loop_update(rig.loop) + 10000 * MS;
    while (rig.received < before + sizeof(line) - 1 && rig.closed == 0 && tr_loop_now(rig.loop) < end) {
        tr_loop_run_once(rig.loop, 20 * MS);
    }
    /* s_server turns each of its reads around, and ends each with a line end of its own. */
    TR_CHECK(rig.received - before >= sizeof(line) - 1 && rig.received - before < sizeof(line) + 64);
    /* s_server ends the connection at this word, with a close_notify. */
    TR_CHECK_OK(tr_conn_write(rig.conn, TR_SLICE_LIT("CLOSE\n"), &rig.err), &rig.err);
    run_until(&rig, &rig.closed, 1);
    TR_CHECK_INT(rig.code, TR_EOF);
    TR_CHECK_INT(rig.closed_err.detail, 1);
    TR_CHECK(!tr_conn_is_alive(rig.conn));
    rig_close(&rig);
}

TR_TEST(net_tls_s_server, "/net/tls/s_server")
{
    server_t server;
    if (!server_start(&server, "-tls1_3", NULL)) {
        return;
    }
    check_reversed(&server, 0x0304);
    /* The server dies: no close_notify, not an orderly end. */
    rig_t rig;
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    rig.port = server.port;
    TR_CHECK_OK(open_conn(&rig, 5000 * MS), &rig.err);
    run_until(&rig, &rig.connected, 1);
    TR_CHECK(tr_conn_is_alive(rig.conn));
    server_stop(&server);
    run_until(&rig, &rig.closed, 1);
    TR_CHECK(rig.code == TR_ERR_CLOSED_EARLY || rig.code == TR_ERR_CONNECT_RESET);
    rig_close(&rig);
}

TR_TEST(net_tls_12, "/net/tls/s_server_tls12")
{
    server_t server;
    if (server_start(&server, "-tls1_2", NULL)) {
        check_reversed(&server, 0x0303);
        server_stop(&server);
    }
}

TR_TEST(net_tls_close_inside, "/net/tls/close_in_callbacks")
{
    static const char places[] = "crw";
    server_t server;
    if (!server_start(&server, "-tls1_3", NULL)) {
        return;
    }
    for (size_t i = 0; places[i] != 0; i++) {
        rig_t rig;
        TR_CHECK_OK(rig_open(&rig), &rig.err);
        rig.port = server.port;
        rig.first = "hello\n";
        rig.close_in = places[i];
        TR_CHECK_OK(open_conn(&rig, 5000 * MS), &rig.err);
        for (int turn = 0; turn < 250 && rig.conn != NULL; turn++) {
            tr_loop_run_once(rig.loop, 20 * MS);
        }
        TR_CHECK(rig.conn == NULL);
        TR_CHECK_INT(rig.closed, 0);
        rig_close(&rig);
    }
    server_stop(&server);
}

/* The server's certificate is not ours to trust: it learns why. */
TR_TEST(net_tls_untrusted, "/net/tls/untrusted")
{
    server_t server;
    if (!server_start(&server, "-tls1_3", NULL)) {
        return;
    }
    rig_t rig;
    tr_trust_t *trust;
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    TR_CHECK_OK(tr_trust_new_default(&trust, &rig.err), &rig.err);
    rig.port = server.port;
    rig.tls.flags = 0;
    rig.tls.trust = trust;
    TR_CHECK_OK(open_conn(&rig, 5000 * MS), &rig.err);
    run_until(&rig, &rig.closed, 1);
    TR_CHECK_INT(rig.code, TR_ERR_TLS_CERTIFICATE);
    TR_CHECK_INT(rig.connected, 0);
    TR_CHECK(tr_tls_alert_sent(tr_conn_tls(rig.conn)) >= 0);
    rig_close(&rig);
    tr_trust_unref(trust);
    server_stop(&server);
}
