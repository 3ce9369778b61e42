/* Requests through an https proxy: a small one in threads of its own, by libssl and nghttp2, that is the servers behind it as well. What it does is
 * asked for by the host's name. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/ec.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client/client.h"
#include "tr_test.h"

#define MAX_CONNS 64
#define MAX_STREAMS 64
#define BIG ((size_t)3 << 20)
#define WAIT_NS UINT64_C(10000000000)

/* -------------------------------------------------------------------------------------------------------------- proxy */

typedef struct stream {
    int32_t id; /* 0: free */
    char host[64], path[64];
    bool connect;
    char in[2048]; /* what came in the tunnel */
    size_t in_len;
    char head[128]; /* what is sent: a head, then zeros */
    size_t head_len, head_sent, zeros;
    bool ends;
} stream_t;

typedef struct conn {
    int fd;
    pthread_t thread;
    SSL *ssl;
    nghttp2_session *h2;
    stream_t streams[MAX_STREAMS];
    bool dies; /* after what is queued now */
} conn_t;

static struct {
    int listener, stop[2];
    uint16_t port;
    bool http1; /* by ALPN */
    uint32_t max_streams;
    pthread_t thread;
    SSL_CTX *ctx;
    atomic_bool stopping;
    atomic_uint num_conns, num_connects, num_resets;
    conn_t conns[MAX_CONNS];
} proxy;

static stream_t *
stream_of(conn_t *c, int32_t id)
{
    for (size_t i = 0; i < MAX_STREAMS; i++) {
        if (c->streams[i].id == id) {
            return &c->streams[i];
        }
    }
    return NULL;
}

static int
on_begin(nghttp2_session *h2, const nghttp2_frame *frame, void *arg)
{
    TR_UNUSED(h2);
    stream_t *s = frame->hd.type == NGHTTP2_HEADERS ? stream_of(arg, 0) : NULL;
    if (s != NULL) {
        memset(s, 0, sizeof(*s));
        s->id = frame->hd.stream_id;
    }
    return 0;
}

static int
on_field(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len,
         uint8_t flags, void *arg)
{
    TR_UNUSED(h2);
    TR_UNUSED(flags);
    stream_t *s = stream_of(arg, frame->hd.stream_id);
    tr_slice_t key = tr_slice(name, name_len);
    if (s != NULL && tr_slice_eq(key, TR_SLICE_LIT(":authority"))) {
        (void)snprintf(s->host, sizeof(s->host), "%.*s", (int)value_len, (const char *)value);
    } else if (s != NULL && tr_slice_eq(key, TR_SLICE_LIT(":path"))) {
        (void)snprintf(s->path, sizeof(s->path), "%.*s", (int)value_len, (const char *)value);
    } else if (s != NULL && tr_slice_eq(key, TR_SLICE_LIT(":method"))) {
        s->connect = value_len == 7 && memcmp(value, "CONNECT", 7) == 0;
    }
    return 0;
}

static ssize_t
read_out(nghttp2_session *h2, int32_t id, uint8_t *buf, size_t max, uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    TR_UNUSED(h2);
    TR_UNUSED(id);
    TR_UNUSED(arg);
    stream_t *s = source->ptr;
    size_t head = TR_MIN(max, s->head_len - s->head_sent);
    size_t zeros = TR_MIN(max - head, s->zeros);
    memcpy(buf, s->head + s->head_sent, head);
    memset(buf + head, 0, zeros);
    s->head_sent += head;
    s->zeros -= zeros;
    if (s->ends && s->head_sent == s->head_len && s->zeros == 0) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    } else if (head + zeros == 0) {
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)(head + zeros);
}

/* The answer to a GET, as HTTP/1.1 in a tunnel or as the stream's own body. */
static void
respond(stream_t *s, const char *path, bool http1)
{
    s->zeros = strcmp(path, "/big") == 0 ? BIG : 0;
    s->head_sent = 0;
    const char *body = s->zeros > 0 ? "" : "hello";
    int len = http1 ? snprintf(s->head, sizeof(s->head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", s->zeros + strlen(body), body)
                    : snprintf(s->head, sizeof(s->head), "%s", body);
    s->head_len = (size_t)len;
}

static bool
is_host(const char *host, const char *name)
{
    return strncmp(host, name, strlen(name)) == 0;
}

static void
asked(conn_t *c, stream_t *s)
{
    char status[4] = "200";
    nghttp2_data_provider body = {{.ptr = s}, read_out};
    if (!s->connect) {
        respond(s, s->path, false);
        s->ends = true;
    } else {
        unsigned nth = atomic_fetch_add(&proxy.num_connects, 1);
        if (is_host(s->host, "cancel.") || is_host(s->host, "unprocessed.") || (is_host(s->host, "once.") && nth == 0)) {
            uint32_t code = is_host(s->host, "cancel.") ? NGHTTP2_CANCEL : NGHTTP2_REFUSED_STREAM;
            (void)nghttp2_submit_rst_stream(c->h2, NGHTTP2_FLAG_NONE, s->id, code);
            s->id = 0;
            return;
        }
        if (is_host(s->host, "die.")) {
            c->dies = true;
            return;
        }
        if (is_host(s->host, "never.")) {
            return;
        }
        s->ends = is_host(s->host, "ends.");
        (void)snprintf(status, sizeof(status), is_host(s->host, "auth.") ? "407" : is_host(s->host, "refused.") ? "403" : "200");
    }
    nghttp2_nv nv = {(uint8_t *)(uintptr_t)":status", (uint8_t *)status, 7, 3, NGHTTP2_NV_FLAG_NONE};
    (void)nghttp2_submit_response(c->h2, s->id, &nv, 1, status[0] == '2' ? &body : NULL);
}

static int
on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *arg)
{
    TR_UNUSED(h2);
    conn_t *c = arg;
    stream_t *s = stream_of(c, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_HEADERS && s != NULL) {
        asked(c, s);
    } else if (frame->hd.type == NGHTTP2_RST_STREAM) {
        atomic_fetch_add(&proxy.num_resets, 1);
    }
    return 0;
}

static int
on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *arg)
{
    TR_UNUSED(flags);
    char path[64];
    stream_t *s = stream_of(arg, id);
    if (s == NULL || len > sizeof(s->in) - 1 - s->in_len) {
        return 0;
    }
    if (is_host(s->host, "breaks.")) {
        (void)nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, id, NGHTTP2_CONNECT_ERROR);
        return 0;
    }
    memcpy(s->in + s->in_len, data, len);
    s->in_len += len;
    s->in[s->in_len] = 0;
    if (strstr(s->in, "\r\n\r\n") != NULL && sscanf(s->in, "GET %63s", path) == 1) {
        s->in_len = 0;
        respond(s, path, true);
        (void)nghttp2_session_resume_data(h2, id);
    }
    return 0;
}

static int
on_close(nghttp2_session *h2, int32_t id, uint32_t code, void *arg)
{
    TR_UNUSED(h2);
    TR_UNUSED(code);
    stream_t *s = stream_of(arg, id);
    if (s != NULL) {
        s->id = 0;
    }
    return 0;
}

static bool
say(conn_t *c, const void *data, size_t len)
{
    while (len > 0) {
        int n = SSL_write(c->ssl, data, (int)len);
        if (n <= 0) {
            return false;
        }
        data = (const uint8_t *)data + n;
        len -= (size_t)n;
    }
    return true;
}

/* Waits for bytes. False: the end. */
static bool
hear(conn_t *c, char *out, size_t cap, size_t *out_len)
{
    struct pollfd fds[2] = {{c->fd, POLLIN, 0}, {proxy.stop[0], POLLIN, 0}};
    if (SSL_pending(c->ssl) == 0 && (poll(fds, 2, -1) < 0 || fds[1].revents != 0)) {
        return false;
    }
    int n = SSL_read(c->ssl, out, (int)cap);
    *out_len = n > 0 ? (size_t)n : 0;
    return n > 0;
}

static void
run_http2(conn_t *c)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, proxy.max_streams}};
    char in[16384];
    size_t len;
    bool more = nghttp2_session_callbacks_new(&callbacks) == 0;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_field);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    more = more && nghttp2_session_server_new(&c->h2, callbacks, c) == 0;
    nghttp2_session_callbacks_del(callbacks);
    (void)nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, settings, 1);
    while (more) {
        const uint8_t *out;
        ssize_t n;
        while (more && (n = nghttp2_session_mem_send(c->h2, &out)) > 0) {
            more = say(c, out, (size_t)n);
        }
        more = more && !c->dies && hear(c, in, sizeof(in), &len) &&
               nghttp2_session_mem_recv(c->h2, (const uint8_t *)in, len) == (ssize_t)len;
    }
    nghttp2_session_del(c->h2);
}

static void
run_http1(conn_t *c)
{
    char in[4096], url[256];
    stream_t s = {0};
    size_t have = 0, len;
    while (hear(c, in + have, sizeof(in) - 1 - have, &len)) {
        have += len;
        in[have] = 0;
        if (strstr(in, "\r\n\r\n") == NULL) {
            continue;
        }
        have = 0;
        if (sscanf(in, "CONNECT %255s", url) == 1) {
            atomic_fetch_add(&proxy.num_connects, 1);
            const char *answer = is_host(url, "refused.") ? "HTTP/1.1 403 x\r\n\r\n" : "HTTP/1.1 200 x\r\n\r\n";
            (void)say(c, answer, strlen(answer));
        } else if (sscanf(in, "GET %255s", url) == 1) {
            const char *at = url[0] == '/' ? url : strchr(url + 7, '/');
            respond(&s, at, true);
            (void)say(c, s.head, s.head_len);
            for (; s.zeros > 0; s.zeros -= TR_MIN(s.zeros, sizeof(in))) {
                memset(in, 0, sizeof(in));
                (void)say(c, in, TR_MIN(s.zeros, sizeof(in)));
            }
        }
    }
}

static void *
serve_conn(void *arg)
{
    conn_t *c = arg;
    sigset_t pipes; /* libssl writes without MSG_NOSIGNAL */
    const unsigned char *alpn;
    (void)sigemptyset(&pipes);
    (void)sigaddset(&pipes, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipes, NULL);
    unsigned alpn_len;
    c->ssl = SSL_new(proxy.ctx);
    if (c->ssl != NULL && SSL_set_fd(c->ssl, c->fd) == 1 && SSL_accept(c->ssl) == 1) {
        SSL_get0_alpn_selected(c->ssl, &alpn, &alpn_len);
        if (alpn_len == 2) {
            run_http2(c);
        } else {
            run_http1(c);
        }
    }
    SSL_free(c->ssl);
    (void)shutdown(c->fd, SHUT_RDWR);
    return NULL;
}

static void *
serve(void *arg)
{
    TR_UNUSED(arg);
    for (;;) {
        struct pollfd fds[2] = {{proxy.listener, POLLIN, 0}, {proxy.stop[0], POLLIN, 0}};
        if ((poll(fds, 2, -1) < 0 && errno != EINTR) || fds[1].revents != 0) {
            return NULL;
        }
        int fd = accept(proxy.listener, NULL, NULL);
        unsigned slot = atomic_load(&proxy.num_conns);
        if (fd >= 0 && slot < MAX_CONNS) {
            conn_t *c = &proxy.conns[slot];
            int one = 1;
            memset(c, 0, sizeof(*c));
            c->fd = fd;
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
            if (pthread_create(&c->thread, NULL, serve_conn, c) == 0) {
                atomic_store(&proxy.num_conns, slot + 1);
            }
        }
    }
}

static int
choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char h2[] = "\2h2", http1[] = "\10http/1.1";
    TR_UNUSED(ssl);
    TR_UNUSED(arg);
    unsigned char *chosen;
    int rc = SSL_select_next_proto(&chosen, out_len, proxy.http1 ? http1 : h2, proxy.http1 ? 9 : 3, in, in_len);
    *out = chosen;
    return rc == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* The same for all tests: keys take time. */
static SSL_CTX *
make_ctx(void)
{
    static SSL_CTX *ctx;
    if (ctx == NULL) {
        EVP_PKEY *key = EVP_EC_gen("P-256");
        X509 *cert = X509_new();
        ctx = SSL_CTX_new(TLS_server_method());
        TR_CHECK(key != NULL && cert != NULL && ctx != NULL);
        TR_CHECK(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) == 1 && X509_gmtime_adj(X509_getm_notBefore(cert), 0) != NULL);
        TR_CHECK(X509_gmtime_adj(X509_getm_notAfter(cert), 86400) != NULL && X509_set_pubkey(cert, key) == 1);
        TR_CHECK(X509_sign(cert, key, EVP_sha256()) > 0);
        TR_CHECK(SSL_CTX_use_certificate(ctx, cert) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1);
        SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
        X509_free(cert);
        EVP_PKEY_free(key);
    }
    return ctx;
}

static void
start_proxy(bool http1, uint32_t max_streams)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    proxy.ctx = make_ctx();
    proxy.http1 = http1;
    proxy.max_streams = max_streams;
    atomic_store(&proxy.num_conns, 0);
    atomic_store(&proxy.num_connects, 0);
    atomic_store(&proxy.num_resets, 0);
    proxy.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    TR_CHECK(proxy.listener >= 0 && bind(proxy.listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    TR_CHECK(listen(proxy.listener, 64) == 0 && getsockname(proxy.listener, (struct sockaddr *)&address, &len) == 0);
    TR_CHECK(pipe(proxy.stop) == 0);
    proxy.port = ntohs(address.sin_port);
    TR_CHECK(pthread_create(&proxy.thread, NULL, serve, NULL) == 0);
}

static void
stop_proxy(void)
{
    TR_CHECK(write(proxy.stop[1], "x", 1) == 1);
    (void)pthread_join(proxy.thread, NULL);
    for (unsigned i = 0; i < atomic_load(&proxy.num_conns); i++) {
        (void)pthread_join(proxy.conns[i].thread, NULL);
        (void)close(proxy.conns[i].fd);
    }
    (void)close(proxy.listener);
    (void)close(proxy.stop[0]);
    (void)close(proxy.stop[1]);
}

/* ----------------------------------------------------------------------------------------------------------- requests */

typedef struct rig {
    tr_session_t *session;
    tr_routes_t *tunnels, *plain; /* http:// through a tunnel; in absolute form */
} rig_t;

static tr_code_t
make_routes(tr_routes_t **out, tr_proxy_forward_t forward, tr_err_t *err)
{
    char text[64];
    tr_proxy_t *way = NULL;
    (void)snprintf(text, sizeof(text), "https://u:p@127.0.0.1:%u", (unsigned)proxy.port);
    tr_slice_t url = tr_slice_cstr(text);
    tr_code_t code = tr_proxy_new(&way, &url, 1, forward, NULL, 0, err);
    if (code == TR_OK) {
        code = tr_routes_new(out, way, way, TR_SLICE_NULL, err);
    }
    tr_proxy_unref(way);
    return code;
}

static tr_code_t
begin(rig_t *rig, bool http1, uint32_t max_streams)
{
    tr_err_t err = TR_ERR_INIT;
    *rig = (rig_t){0};
    start_proxy(http1, max_streams);
    tr_code_t code = tr_session_new(&rig->session, NULL, &err);
    if (code == TR_OK && (code = make_routes(&rig->tunnels, TR_FORWARD_NEVER, &err)) == TR_OK) {
        code = make_routes(&rig->plain, TR_FORWARD_ALWAYS, &err);
    }
    TR_CHECK(code == TR_OK || tr_test_oom_running());
    return code;
}

static void
finish(rig_t *rig)
{
    tr_session_unref(rig->session);
    tr_routes_unref(rig->tunnels);
    tr_routes_unref(rig->plain);
    tr_engine_stop(false);
    stop_proxy();
}

/* NULL: out of memory. */
static tr_op_t *
start(rig_t *rig, const char *host, const char *path, bool plain, uint32_t flags, uint32_t connect_ms)
{
    char url[160];
    tr_err_t err = TR_ERR_INIT;
    (void)snprintf(url, sizeof(url), "http://%s%s", host, path);
    tr_op_request_t request = {.method = TR_SLICE_LIT("GET"),
                               .url = tr_slice_cstr(url),
                               .flags = TR_OP_NO_VERIFY | flags,
                               .timeouts = {.connect_ms = connect_ms},
                               .routes = plain ? rig->plain : rig->tunnels};
    tr_op_t *op = tr_op_new(rig->session);
    tr_code_t code = op == NULL ? TR_ERR_NOMEM : tr_op_prepare(op, &request, &err);
    code = code == TR_OK ? tr_op_submit(op, NULL, &err) : code;
    if (code != TR_OK) {
        TR_CHECK(tr_test_oom_running());
        tr_op_unref(op);
        return NULL;
    }
    return op;
}

static uint64_t
now_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* How it ended; the op is gone. */
static tr_code_t
end(tr_op_t *op, size_t body_len)
{
    uint64_t deadline = now_ns() + WAIT_NS;
    while (tr_op_wait(op, UINT64_MAX) != TR_OK) {
        TR_CHECK(now_ns() < deadline);
    }
    const tr_err_t *err = tr_op_error(op);
    tr_code_t code = err == NULL ? TR_OK : err->code;
    if (code == TR_OK) {
        TR_CHECK_INT(tr_op_responses(op)->status, 200);
        TR_CHECK_INT(tr_op_responses(op)->body_len, body_len);
    }
    tr_op_unref(op);
    return code;
}

static tr_code_t
get(rig_t *rig, const char *host, bool plain)
{
    return end(start(rig, host, "/", plain, 0, 5000), 5);
}

static tr_session_stats_t
stats_of(const rig_t *rig)
{
    tr_session_stats_t stats;
    tr_session_stats(rig->session, &stats);
    return stats;
}

/* --------------------------------------------------------------------------------------------------------------- tests */

/* Tunnels and plain http of one site share a connection, and the tunnels are kept. */
TR_TEST(tunnel_one_connection, "/client/tunnel/one_connection")
{
    rig_t rig;
    (void)begin(&rig, false, 100);
    for (int i = 0; i < 2; i++) {
        TR_CHECK_INT(get(&rig, "a.site.test", false), TR_OK);
        TR_CHECK_INT(get(&rig, "b.site.test", false), TR_OK);
        TR_CHECK_INT(get(&rig, "c.site.test", true), TR_OK);
    }
    TR_CHECK_INT(atomic_load(&proxy.num_conns), 1);
    TR_CHECK_INT(atomic_load(&proxy.num_connects), 2);
    tr_session_stats_t stats = stats_of(&rig);
    TR_CHECK_INT(stats.conns_opened, 3); /* two tunnels, and what carries them and the rest */
    TR_CHECK_INT(stats.conns_open, 3);
    TR_CHECK_INT(stats.conns_idle, 2);
    TR_CHECK(stats.requests_h1 == 4 && stats.requests_h2 == 2);
    /* Another site's page does not share it. */
    TR_CHECK_INT(get(&rig, "a.other.test", true), TR_OK);
    TR_CHECK_INT(atomic_load(&proxy.num_conns), 2);
    finish(&rig);
}

/* With HTTP/1.1 each tunnel has a connection, and is one. */
TR_TEST(tunnel_http1, "/client/tunnel/http1")
{
    rig_t rig;
    (void)begin(&rig, true, 100);
    for (int i = 0; i < 2; i++) {
        TR_CHECK_INT(get(&rig, "a.site.test", false), TR_OK);
        TR_CHECK_INT(get(&rig, "b.site.test", false), TR_OK);
        TR_CHECK_INT(get(&rig, "c.site.test", true), TR_OK);
    }
    TR_CHECK_INT(atomic_load(&proxy.num_conns), 3);
    TR_CHECK_INT(atomic_load(&proxy.num_connects), 2);
    tr_session_stats_t stats = stats_of(&rig);
    TR_CHECK(stats.conns_opened == 3 && stats.conns_open == 3 && stats.conns_idle == 3);
    TR_CHECK_INT(get(&rig, "refused.test", false), TR_ERR_PROXY_REFUSED);
    TR_CHECK_INT(stats_of(&rig).conns_open, 3);
    finish(&rig);
}

TR_TEST(tunnel_refused, "/client/tunnel/refused")
{
    static const struct {
        const char *host;
        tr_code_t code;
        unsigned connects;
    } rows[] = {
        {"refused.test", TR_ERR_PROXY_REFUSED, 1},    {"auth.test", TR_ERR_PROXY_AUTH, 1},   {"cancel.test", TR_ERR_PROXY_CLOSED, 1},
        {"unprocessed.test", TR_ERR_PROXY_CLOSED, 3}, {"once.test", TR_OK, 2},               {"die.test", TR_ERR_PROXY_CLOSED, 1},
        {"breaks.test", TR_ERR_CONNECT_RESET, 1},     {"ends.test", TR_ERR_CLOSED_EARLY, 1}, {"never.test", TR_ERR_PROXY_TIMEOUT, 1},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        rig_t rig;
        (void)begin(&rig, false, 100);
        tr_code_t code = end(start(&rig, rows[i].host, "/", false, 0, rows[i].code == TR_ERR_PROXY_TIMEOUT ? 200 : 5000), 5);
        if (code != rows[i].code || atomic_load(&proxy.num_connects) != rows[i].connects) {
            tr_test_fail(__FILE__, __LINE__, "%s: %s after %u CONNECT", rows[i].host, tr_err_name(code), atomic_load(&proxy.num_connects));
        }
        /* It is of no consequence for what comes next. */
        TR_CHECK_INT(get(&rig, "fine.test", false), TR_OK);
        finish(&rig);
    }
}

/* Windows, queues and limits: several at a time, more than there is room for. */
TR_TEST(tunnel_many, "/client/tunnel/many")
{
    rig_t rig;
    tr_op_t *ops[24];
    (void)begin(&rig, false, 3);
    for (size_t i = 0; i < TR_ARRAY_LEN(ops); i++) {
        char host[32];
        (void)snprintf(host, sizeof(host), "h%zu.site.test", i % 8);
        ops[i] = start(&rig, host, i % 2 == 0 ? "/big" : "/", i % 3 == 0, 0, 8000);
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(ops); i++) {
        TR_CHECK_INT(end(ops[i], i % 2 == 0 ? BIG : 5), TR_OK);
    }
    TR_CHECK_INT(atomic_load(&proxy.num_conns), 1);
    finish(&rig);
}

/* Whoever waits for a stream gets that of a tunnel as soon as it is idle, be it when it is asked for or later. */
TR_TEST(tunnel_one_stream, "/client/tunnel/one_stream")
{
    rig_t rig;
    (void)begin(&rig, false, 1);
    TR_CHECK_INT(get(&rig, "warm.site.test", false), TR_OK);
    for (int i = 0; i < 3; i++) {
        tr_op_t *first = start(&rig, i == 1 ? "b.site.test" : "a.site.test", "/big", false, 0, 5000);
        tr_op_t *second = start(&rig, "c.site.test", "/", false, 0, 5000);
        tr_op_t *third = start(&rig, "d.site.test", "/", i == 2, 0, 5000);
        TR_CHECK_INT(end(first, BIG), TR_OK);
        TR_CHECK_INT(end(second, 5), TR_OK);
        TR_CHECK_INT(end(third, 5), TR_OK);
    }
    TR_CHECK_INT(atomic_load(&proxy.num_conns), 1);
    finish(&rig);
}

/* A connection for each request, where the exit is to change. */
TR_TEST(tunnel_new, "/client/tunnel/new_for_each")
{
    rig_t rig;
    (void)begin(&rig, false, 100);
    for (int i = 0; i < 3; i++) {
        TR_CHECK_INT(end(start(&rig, "a.site.test", "/", i == 2, TR_OP_NEW_TUNNEL, 5000), 5), TR_OK);
    }
    TR_CHECK_INT(atomic_load(&proxy.num_conns), 3);
    finish(&rig);
}

/* The session ends while tunnels are asked for, stand, and are in use. */
TR_TEST(tunnel_abandoned, "/client/tunnel/abandoned")
{
    for (int round = 0; round < 8; round++) {
        rig_t rig;
        tr_op_t *ops[4];
        (void)begin(&rig, round % 2 == 1, 100);
        TR_CHECK_INT(get(&rig, "a.site.test", false), TR_OK);
        ops[0] = start(&rig, "b.site.test", "/big", false, 0, 5000);
        ops[1] = start(&rig, "never.site.test", "/", false, 0, 5000);
        ops[2] = start(&rig, "c.site.test", "/", true, 0, 5000);
        ops[3] = start(&rig, "c.other.test", "/", false, 0, 5000);
        for (int i = 0; i < round; i++) {
            (void)tr_op_wait(ops[3], 100000);
        }
        if (round < 4) {
            tr_session_close(rig.session);
        } else {
            for (size_t i = 0; i < TR_ARRAY_LEN(ops); i++) {
                tr_op_cancel(ops[i]);
            }
        }
        for (size_t i = 0; i < TR_ARRAY_LEN(ops); i++) {
            tr_code_t code = end(ops[i], i == 0 ? BIG : 5);
            TR_CHECK(code == TR_OK || code == TR_ERR_CLIENT_CLOSED || code == TR_ERR_CANCELLED);
        }
        finish(&rig);
    }
}

/* Any allocation may fail: the answer is an error, never a crash or a leak. */
static void
run_with_failures(bool http1)
{
    rig_t rig;
    if (begin(&rig, http1, 100) == TR_OK) {
        for (int i = 0; i < 3; i++) {
            tr_op_t *op = start(&rig, i == 1 ? "b.site.test" : "a.site.test", "/", i == 2, 0, 5000);
            if (op != NULL) {
                TR_CHECK(end(op, 5) == TR_OK || tr_test_oom_running());
            }
        }
    }
    finish(&rig);
}

TR_TEST_OOM(tunnel_oom, "/client/tunnel/oom")
{
    run_with_failures(false);
}

TR_TEST_OOM(tunnel_oom_http1, "/client/tunnel/oom_http1")
{
    run_with_failures(true);
}
