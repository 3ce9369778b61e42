/* Proxies: addresses and digests, CONNECT and SOCKS over a scripted filter in every split, and a whole connection through a bare socket. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/conn.h"
#include "net/filter.h"
#include "tr_test.h"

#define MS ((uint64_t)1000000)

/* ------------------------------------------------------------------------------------------------ a scripted filter */

typedef struct script {
    tr_filter_t base;
    tr_buf_t wire;   /* what the filter above sent */
    tr_slice_t in;   /* what it reads */
    size_t split;    /* bytes a read, at most */
    bool eof;        /* after in; else it waits */
} script_t;

static tr_code_t
script_connect(tr_filter_t *f, tr_err_t *err)
{
    TR_UNUSED(f);
    TR_UNUSED(err);
    return TR_OK;
}

static tr_code_t
script_write(tr_filter_t *f, tr_slice_t in, tr_err_t *err)
{
    TR_UNUSED(err);
    return tr_buf_append(&((script_t *)f)->wire, in.data, in.len);
}

static tr_code_t
script_flush(tr_filter_t *f, tr_err_t *err)
{
    TR_UNUSED(f);
    TR_UNUSED(err);
    return TR_OK;
}

static size_t
script_pending(const tr_filter_t *f)
{
    TR_UNUSED(f);
    return 0;
}

static tr_code_t
script_recv(tr_filter_t *f, tr_bufq_t *out, tr_err_t *err)
{
    TR_UNUSED(f);
    TR_UNUSED(out);
    TR_UNUSED(err);
    return TR_AGAIN;
}

static tr_buf_t *
script_wire(tr_filter_t *f)
{
    return &((script_t *)f)->wire;
}

static tr_code_t
script_read(tr_filter_t *f, uint8_t *dst, size_t cap, size_t *out_len, tr_err_t *err)
{
    script_t *self = (script_t *)f;
    size_t len = TR_MIN(TR_MIN(cap, self->split), self->in.len);
    *out_len = len;
    if (len == 0) {
        return self->eof ? tr_err_set(err, TR_EOF, 0, "script", "end") : TR_AGAIN;
    }
    memcpy(dst, self->in.data, len);
    self->in = tr_slice(self->in.data + len, self->in.len - len);
    return TR_OK;
}

static void
script_cleanup(tr_filter_t *f)
{
    TR_UNUSED(f);
}

static const tr_filter_type_t script_type = {"script",       NULL, script_connect, script_write, script_flush, script_pending,
                                             script_recv,    script_wire,    script_read,  script_cleanup};

static void
script_init(script_t *script, tr_slice_t in, size_t split, bool eof)
{
    *script = (script_t){.base = {&script_type, NULL}, .wire = TR_BUF_INIT, .in = in, .split = split, .eof = eof};
}

/* Drives a filter over the script to its end. */
static tr_code_t
run(tr_filter_t *f, tr_err_t *err)
{
    tr_bufq_t out;
    tr_bufq_init(&out, 0);
    tr_code_t code = f->type->connect(f, err);
    for (int turns = 0; code == TR_AGAIN && turns < 1000; turns++) {
        tr_code_t got = f->type->recv(f, &out, err);
        if (tr_failed(got)) {
            code = got;
            break;
        }
        code = f->type->connect(f, err);
        if (code == TR_AGAIN && got == TR_AGAIN) {
            break;
        }
    }
    TR_CHECK_INT(out.len, 0);
    return code;
}

static tr_proxy_t *
make_proxy(const char *url)
{
    tr_err_t err = TR_ERR_INIT;
    tr_proxy_t *proxy = NULL;
    tr_slice_t text = tr_slice_cstr(url);
    TR_CHECK_OK(tr_proxy_new(&proxy, &text, 1, TR_FORWARD_REFUSED, NULL, 0, &err), &err);
    return proxy;
}

/* ---------------------------------------------------------------------------------------------------------- addresses */

TR_TEST(net_proxy_parse, "/net/proxy/parse")
{
    static const struct {
        const char *url, *host, *user, *password;
        int kind, port;
    } good[] = {
        {"http://a", "a", NULL, NULL, TR_PROXY_HTTP, 80},
        {"HTTPS://a.b-c_d:1/path?q#f", "a.b-c_d", NULL, NULL, TR_PROXY_HTTPS, 1},
        {"https://a", "a", NULL, NULL, TR_PROXY_HTTPS, 443},
        {"socks5://[::1]", "::1", NULL, NULL, TR_PROXY_SOCKS5, 1080},
        {"socks5h://u:p@[2001:db8::1]:65535", "2001:db8::1", "u", "p", TR_PROXY_SOCKS5H, 65535},
        {"socks4://u@1.2.3.4:", "1.2.3.4", "u", "", TR_PROXY_SOCKS4, 1080},
        {"socks4a://a", "a", NULL, NULL, TR_PROXY_SOCKS4A, 1080},
        {"http://u%40x:p%3a%2F%zz@h", "h", "u@x", "p:/%zz", TR_PROXY_HTTP, 80},
        {"http://u:a:b@c@h", "h", "u", "a:b@c", TR_PROXY_HTTP, 80},
        {"http://@h", "h", NULL, NULL, TR_PROXY_HTTP, 80},
        {"http://:@h", "h", "", "", TR_PROXY_HTTP, 80},
    };
    static const char *const bad[] = {
        "", "http", "http:/a", "ftp://a", "http://", "http://:80", "http://a:65536", "http://a:x", "http://a:-1", "http://[::1",
        "http://[::1]x", "http://[1.2.3]", "http://a b", "http://a\r\nX: y", "http://u%00:p@h", "socks4://u:p@h", "socks5://u@h",
        "socks5://:p@h", "http://\xc3\xa4", "http://a::1",
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(good); i++) {
        tr_proxy_t *proxy = make_proxy(good[i].url);
        const tr_proxy_hop_t *hop = tr_proxy_hop(proxy, 0);
        TR_CHECK_SLICE(tr_slice_cstr(hop->host), good[i].host);
        TR_CHECK_INT(hop->kind, good[i].kind);
        TR_CHECK_INT(hop->port, good[i].port);
        TR_CHECK_INT(hop->has_auth, good[i].user != NULL);
        if (hop->has_auth) {
            TR_CHECK_SLICE(tr_slice_cstr(hop->user), good[i].user);
            TR_CHECK_SLICE(tr_slice_cstr(hop->password), good[i].password);
        }
        tr_proxy_unref(proxy);
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(bad); i++) {
        tr_err_t err = TR_ERR_INIT;
        tr_proxy_t *proxy = NULL;
        tr_slice_t text = tr_slice_cstr(bad[i]);
        tr_code_t code = tr_proxy_new(&proxy, &text, 1, TR_FORWARD_REFUSED, NULL, 0, &err);
        if (code != TR_ERR_PROXY_INVALID || proxy != NULL) {
            tr_test_fail(__FILE__, __LINE__, "\"%s\" gives %s", bad[i], tr_err_name(code));
        }
    }
}

TR_TEST(net_proxy_digest, "/net/proxy/digest")
{
    static const char *const urls[] = {"http://a",     "https://a",    "http://b",      "http://a:81",    "http://u@a",   "http://u:@a",
                                       "http://u:p@a", "http://up:@a", "http://:up@a", "socks5h://u:p@a", "http://U:p@a", "http://:@a"};
    tr_proxy_t *made[TR_ARRAY_LEN(urls)];
    for (size_t i = 0; i < TR_ARRAY_LEN(urls); i++) {
        made[i] = make_proxy(urls[i]);
        TR_CHECK_INT(strlen(tr_proxy_digest(made[i])), TR_PROXY_DIGEST_LEN);
        TR_CHECK(strstr(tr_proxy_digest(made[i]), "u") == NULL); /* hexadecimal digits alone */
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(urls); i++) {
        for (size_t k = 0; k < TR_ARRAY_LEN(urls); k++) {
            bool twins = (i == 4 && k == 5) || (i == 5 && k == 4); /* no password, and an empty one */
            TR_CHECK_INT(strcmp(tr_proxy_digest(made[i]), tr_proxy_digest(made[k])) == 0, i == k || twins);
        }
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(urls); i++) {
        tr_proxy_unref(made[i]);
    }
    tr_err_t err = TR_ERR_INIT;
    tr_proxy_t *one = NULL, *other = NULL;
    tr_slice_t chain[] = {TR_SLICE_LIT("http://a"), TR_SLICE_LIT("http://b")};
    tr_proxy_field_t field = {TR_SLICE_LIT("X"), TR_SLICE_LIT("y")};
    TR_CHECK_OK(tr_proxy_new(&one, chain, 2, TR_FORWARD_REFUSED, NULL, 0, &err), &err);
    TR_CHECK_OK(tr_proxy_new(&other, chain, 2, TR_FORWARD_REFUSED, &field, 1, &err), &err);
    TR_CHECK(strcmp(tr_proxy_digest(one), tr_proxy_digest(other)) != 0);
    tr_proxy_unref(other);
    TR_CHECK_OK(tr_proxy_new(&other, chain, 2, TR_FORWARD_ALWAYS, NULL, 0, &err), &err);
    TR_CHECK(strcmp(tr_proxy_digest(one), tr_proxy_digest(other)) != 0);
    tr_proxy_unref(one);
    tr_proxy_unref(other);
}

TR_TEST(net_proxy_basic, "/net/proxy/basic")
{
    static const char *const rows[][2] = {{"http://u:p@h", "Basic dTpw"}, {"http://us:p@h", "Basic dXM6cA=="}, {"http://:@h", "Basic Og=="}};
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        tr_proxy_t *proxy = make_proxy(rows[i][0]);
        char *text;
        size_t len;
        TR_CHECK(tr_proxy_basic(&text, &len, tr_proxy_hop(proxy, 0)) == TR_OK);
        TR_CHECK_SLICE(tr_slice(text, len), rows[i][1]);
        tr_free(text);
        tr_proxy_unref(proxy);
    }
}

/* ------------------------------------------------------------------------------------------------------------ CONNECT */

TR_TEST(net_hproxy_splits, "/net/hproxy/splits")
{
    static const struct {
        const char *answer;
        tr_code_t code;
        int detail;
    } rows[] = {
        {"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n", TR_OK, 0},
        {"HTTP/1.0 200\r\n\r\n", TR_OK, 0},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x\r\nContent-Length: 3\r\n\r\n", TR_OK, 0},
        {"HTTP/1.1 407 x\r\nContent-Length: 5\r\n\r\nhello", TR_ERR_PROXY_AUTH, 407},
        {"HTTP/1.1 502 x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", TR_ERR_PROXY_REFUSED, 502},
        {"HTTP/1.1 302 x\r\nLocation: /\r\n\r\n", TR_ERR_PROXY_REFUSED, 302},
        {"nonsense\r\n", TR_ERR_PROXY_PROTOCOL, 0},
        {"HTTP/1.1 200 x\r\nA b: c\r\n\r\n", TR_ERR_PROXY_PROTOCOL, 0},
        {"HTTP/1.1 101 x\r\n\r\n", TR_ERR_PROXY_PROTOCOL, 0},
        {"", TR_ERR_PROXY_CLOSED, 0},
        {"HTTP/1.1 200 x\r\n", TR_ERR_PROXY_CLOSED, 0},
    };
    tr_proxy_t *proxy = make_proxy("http://u:p@proxy");
    tr_connect_style_t style = {NULL, TR_SLICE_LIT("agent/1")};
    for (size_t row = 0; row < TR_ARRAY_LEN(rows); row++) {
        tr_slice_t answer = tr_slice_cstr(rows[row].answer);
        for (size_t split = 1; split <= answer.len + 1; split++) {
            script_t script;
            tr_filter_t *filter;
            tr_err_t err = TR_ERR_INIT;
            script_init(&script, answer, split, true);
            TR_CHECK_OK(tr_hproxy_filter_new(&filter, &script.base, proxy, 0, "::1", 8443, &style, &err), &err);
            tr_code_t code = run(filter, &err);
            if (code != rows[row].code || (tr_failed(code) && rows[row].detail != 0 && err.detail != rows[row].detail)) {
                tr_test_fail(__FILE__, __LINE__, "row %zu, split %zu: %s %d: %s", row, split, tr_err_name(code), (int)err.detail, err.msg);
            }
            TR_CHECK_SLICE(tr_buf_slice(&script.wire),
                           "CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\nProxy-Connection: keep-alive\r\nUser-Agent: agent/1\r\n"
                           "Proxy-Authorization: Basic dTpw\r\n\r\n");
            TR_CHECK(strstr(err.msg, "dTpw") == NULL);
            TR_CHECK(tr_filter_pop(filter) == &script.base);
            tr_buf_cleanup(&script.wire);
        }
    }
    tr_proxy_unref(proxy);
}

/* What lies behind the head is refused when it came with it. */
TR_TEST(net_hproxy_behind, "/net/hproxy/bytes_behind")
{
    tr_proxy_t *proxy = make_proxy("http://proxy");
    tr_connect_style_t style = {"firefox", TR_SLICE_NULL};
    script_t script;
    tr_filter_t *filter;
    tr_err_t err = TR_ERR_INIT;
    script_init(&script, TR_SLICE_LIT("HTTP/1.1 200 x\r\n\r\nx"), 100, false);
    TR_CHECK_OK(tr_hproxy_filter_new(&filter, &script.base, proxy, 0, "host", 1, &style, &err), &err);
    TR_CHECK_INT(run(filter, &err), TR_ERR_PROXY_PROTOCOL);
    TR_CHECK_SLICE(tr_buf_slice(&script.wire),
                   "CONNECT host:1 HTTP/1.1\r\nProxy-Connection: keep-alive\r\nConnection: keep-alive\r\nHost: host:1\r\n\r\n");
    TR_CHECK_INT(filter->type->connect(filter, &err), TR_ERR_PROXY_PROTOCOL); /* stays */
    (void)tr_filter_pop(filter);
    tr_buf_cleanup(&script.wire);
    tr_proxy_unref(proxy);
}

/* -------------------------------------------------------------------------------------------------------------- SOCKS */

typedef struct socks_row {
    const char *url, *host;
    const char *answer;
    size_t answer_len;
    const char *sent;
    size_t sent_len;
    tr_code_t code;
    int detail;
    size_t left; /* of the answer: the tunnel's bytes */
} socks_row_t;

#define BYTES(text) text, sizeof(text) - 1

static const socks_row_t socks_rows[] = {
    {"socks5h://h", "a.b", BYTES("\5\0\5\0\0\1\1\2\3\4\0\1rest"), BYTES("\5\1\0\5\1\0\3\3a.b\1\xbb"), TR_OK, 0, 4},
    {"socks5h://h", "1.2.3.4", BYTES("\5\0\5\0\0\3\2xy\0\1"), BYTES("\5\1\0\5\1\0\1\1\2\3\4\1\xbb"), TR_OK, 0, 0},
    {"socks5://h", "::1", BYTES("\5\0\5\0\0\4zzzzzzzzzzzzzzzz\0\1"), BYTES("\5\1\0\5\1\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\1\xbb"), TR_OK, 0, 0},
    {"socks5h://u:pw@h", "a", BYTES("\5\2\1\0\5\0\0\1\1\2\3\4\0\1"), BYTES("\5\2\0\2\1\1u\2pw\5\1\0\3\1a\1\xbb"), TR_OK, 0, 0},
    {"socks5h://u:pw@h", "a", BYTES("\5\0\5\0\0\1\1\2\3\4\0\1"), BYTES("\5\2\0\2\5\1\0\3\1a\1\xbb"), TR_OK, 0, 0},
    {"socks5h://u:pw@h", "a", BYTES("\5\2\1\7"), BYTES("\5\2\0\2\1\1u\2pw"), TR_ERR_PROXY_AUTH, 7, 0},
    {"socks5h://h", "a", BYTES("\5\xff"), BYTES("\5\1\0"), TR_ERR_PROXY_AUTH, 255, 0},
    {"socks5h://h", "a", BYTES("\5\2"), BYTES("\5\1\0"), TR_ERR_PROXY_PROTOCOL, 0, 0},
    {"socks5h://h", "a", BYTES("\5\0\5\4\0\1\0\0\0\0\0\0"), BYTES("\5\1\0\5\1\0\3\1a\1\xbb"), TR_ERR_PROXY_REFUSED, 4, 5},
    {"socks5h://h", "a", BYTES("\5\0\5\0\0\1\1"), BYTES("\5\1\0\5\1\0\3\1a\1\xbb"), TR_ERR_PROXY_CLOSED, 0, 0},
    {"socks4a://u@h", "a.b", BYTES("\0\x5a......rest"), BYTES("\4\1\1\xbb\0\0\0\1u\0a.b\0"), TR_OK, 0, 4},
    {"socks4://h", "1.2.3.4", BYTES("\0\x5a......"), BYTES("\4\1\1\xbb\1\2\3\4\0"), TR_OK, 0, 0},
    {"socks4://h", "1.2.3.4", BYTES("\0\x5b......"), BYTES("\4\1\1\xbb\1\2\3\4\0"), TR_ERR_PROXY_REFUSED, 0x5b, 0},
    {"socks4a://h", "a", BYTES("\0\x5c......"), BYTES("\4\1\1\xbb\0\0\0\1\0a\0"), TR_ERR_PROXY_AUTH, 0x5c, 0},
    {"socks4a://h", "a", BYTES("\4\x5a......"), BYTES("\4\1\1\xbb\0\0\0\1\0a\0"), TR_ERR_PROXY_PROTOCOL, 0, 0},
};

TR_TEST(net_socks_splits, "/net/socks/splits")
{
    for (size_t i = 0; i < TR_ARRAY_LEN(socks_rows); i++) {
        const socks_row_t *row = &socks_rows[i];
        tr_proxy_t *proxy = make_proxy(row->url);
        for (size_t split = 1; split <= row->answer_len + 1; split++) {
            script_t script;
            tr_filter_t *filter;
            tr_err_t err = TR_ERR_INIT;
            script_init(&script, tr_slice(row->answer, row->answer_len), split, true);
            TR_CHECK_OK(tr_socks_filter_new(&filter, &script.base, proxy, 0, row->host, 443, NULL, &err), &err);
            tr_code_t code = run(filter, &err);
            if (code != row->code || (tr_failed(code) && err.detail != row->detail) || script.in.len != row->left) {
                tr_test_fail(__FILE__, __LINE__, "row %zu, split %zu: %s %d, %zu left: %s", i, split, tr_err_name(code), (int)err.detail,
                             script.in.len, err.msg);
            }
            TR_CHECK_INT(script.wire.len, row->sent_len);
            TR_CHECK_MEM(script.wire.data, row->sent, row->sent_len);
            (void)tr_filter_pop(filter);
            tr_buf_cleanup(&script.wire);
        }
        tr_proxy_unref(proxy);
    }
}

TR_TEST(net_socks_limits, "/net/socks/limits")
{
    char name[300];
    tr_err_t err = TR_ERR_INIT;
    tr_filter_t *filter;
    script_t script;
    memset(name, 'a', sizeof(name));
    name[256] = 0;
    script_init(&script, TR_SLICE_NULL, 1, true);
    tr_proxy_t *proxy = make_proxy("socks5h://h");
    TR_CHECK_INT(tr_socks_filter_new(&filter, &script.base, proxy, 0, name, 1, NULL, &err), TR_ERR_PROXY_REFUSED);
    name[255] = 0;
    TR_CHECK_OK(tr_socks_filter_new(&filter, &script.base, proxy, 0, name, 1, NULL, &err), &err);
    (void)tr_filter_pop(filter);
    tr_proxy_unref(proxy);
    proxy = make_proxy("socks4a://h");
    TR_CHECK_INT(tr_socks_filter_new(&filter, &script.base, proxy, 0, "::1", 1, NULL, &err), TR_ERR_PROXY_REFUSED);
    tr_proxy_unref(proxy);
    tr_buf_cleanup(&script.wire);
}

/* ------------------------------------------------------------------------------------------------------ out of memory */

TR_TEST_OOM(net_proxy_oom, "/net/proxy/oom")
{
    static const char *const hops[] = {"http://u:p@proxy", "socks5h://u:p@proxy", "socks4a://u@proxy"};
    static const tr_slice_t answers[] = {TR_SLICE_LIT("HTTP/1.1 200 x\r\nA: b\r\n\r\n"), TR_SLICE_LIT("\5\2\1\0\5\0\0\1\1\2\3\4\0\1"),
                                         TR_SLICE_LIT("\0\x5a......")};
    for (size_t i = 0; i < TR_ARRAY_LEN(hops); i++) {
        tr_err_t err = TR_ERR_INIT;
        tr_proxy_t *proxy = NULL;
        tr_filter_t *filter = NULL;
        tr_slice_t url = tr_slice_cstr(hops[i]);
        tr_proxy_field_t fields[] = {{TR_SLICE_LIT("X-One"), TR_SLICE_LIT("1")}, {TR_SLICE_LIT("User-Agent"), TR_SLICE_NULL}};
        tr_connect_style_t style = {NULL, TR_SLICE_LIT("agent")};
        script_t script;
        script_init(&script, answers[i], 3, true);
        tr_code_t code = tr_proxy_new(&proxy, &url, 1, TR_FORWARD_REFUSED, fields, 2, &err);
        if (code == TR_OK) {
            code = i == 0 ? tr_hproxy_filter_new(&filter, &script.base, proxy, 0, "host", 443, &style, &err)
                          : tr_socks_filter_new(&filter, &script.base, proxy, 0, "host", 443, NULL, &err);
        }
        if (code == TR_OK) {
            code = run(filter, &err);
        }
        TR_CHECK(code == TR_OK || (tr_test_oom_running() && code == TR_ERR_NOMEM));
        TR_CHECK(code == TR_OK || err.code == TR_ERR_NOMEM);
        if (filter != NULL) {
            (void)tr_filter_pop(filter);
        }
        tr_buf_cleanup(&script.wire);
        tr_proxy_unref(proxy);
    }
}

/* --------------------------------------------------------------------------------------------------- a whole connection */

typedef struct rig {
    tr_loop_t *loop;
    tr_dns_t *dns;
    tr_conn_t *conn;
    int listener, peer;
    uint16_t port;
    int connected, closed;
    tr_err_t err, closed_err;
    char seen[1024];
    size_t seen_len;
} rig_t;

static void
on_connected(void *arg)
{
    ((rig_t *)arg)->connected++;
}

static void
on_nothing(void *arg)
{
    TR_UNUSED(arg);
}

static void
on_closed(void *arg, tr_code_t code, const tr_err_t *err)
{
    rig_t *rig = arg;
    TR_UNUSED(code);
    rig->closed++;
    rig->closed_err = *err;
}

static const tr_conn_events_t events = {on_connected, on_nothing, on_nothing, on_closed, NULL, NULL, NULL};

static int
listen_any(uint16_t *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    TR_CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0 && listen(fd, 16) == 0);
    TR_CHECK(getsockname(fd, (struct sockaddr *)&in, &len) == 0);
    *port = ntohs(in.sin_port);
    return fd;
}

/* One turn of both sides: what the client sent is noted, and answered once it ends with `end`. */
static void
turn(rig_t *rig, const char *end, const char *answer)
{
    tr_loop_run_once(rig->loop, MS);
    if (rig->peer < 0) {
        rig->peer = accept(rig->listener, NULL, NULL);
    }
    ssize_t got = rig->peer < 0 ? -1 : recv(rig->peer, rig->seen + rig->seen_len, sizeof(rig->seen) - 1 - rig->seen_len, MSG_DONTWAIT);
    if (got > 0) {
        rig->seen_len += (size_t)got;
        size_t len = strlen(end);
        if (rig->seen_len >= len && memcmp(rig->seen + rig->seen_len - len, end, len) == 0) {
            TR_CHECK(send(rig->peer, answer, strlen(answer), MSG_NOSIGNAL) == (ssize_t)strlen(answer));
        }
    }
}

/* Two hops of http on one socket: each is asked through the one before. */
TR_TEST_OOM(net_conn_proxy_oom, "/net/conn/proxy_oom")
{
    rig_t rig = {.peer = -1};
    tr_proxy_t *proxy = NULL;
    char first[64];
    rig.listener = listen_any(&rig.port);
    (void)snprintf(first, sizeof(first), "http://127.0.0.1:%u", (unsigned)rig.port);
    tr_slice_t urls[] = {tr_slice_cstr(first), TR_SLICE_LIT("http://u:p@second.test:8080")};
    tr_code_t code = tr_proxy_new(&proxy, urls, 2, TR_FORWARD_REFUSED, NULL, 0, &rig.err);
    if (code == TR_OK && (code = tr_loop_new(&rig.loop, &rig.err)) == TR_OK) {
        code = tr_dns_new(&rig.dns, rig.loop, &rig.err);
    }
    if (code == TR_OK) {
        tr_conn_options_t options = {.host = "origin.test", .port = 80, .family = AF_UNSPEC, .proxy = proxy};
        options.connect_timeout_ns = 5000 * MS;
        options.connect_style.user_agent = TR_SLICE_LIT("agent");
        options.connect_style.family = "chrome";
        code = tr_conn_open(&rig.conn, rig.loop, rig.dns, &options, &events, &rig, &rig.err);
    }
    if (code == TR_OK) {
        uint64_t end = tr_loop_update(rig.loop) + 8000 * MS;
        while (rig.connected == 0 && rig.closed == 0 && tr_loop_now(rig.loop) < end) {
            turn(&rig, "\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n");
        }
        TR_CHECK_INT(rig.connected + rig.closed, 1);
        if (rig.connected == 1) {
            TR_CHECK_SLICE(tr_slice(rig.seen, rig.seen_len),
                           "CONNECT second.test:8080 HTTP/1.1\r\nHost: second.test:8080\r\nProxy-Connection: keep-alive\r\nUser-Agent: agent\r\n"
                           "\r\nCONNECT origin.test:80 HTTP/1.1\r\nHost: origin.test:80\r\nProxy-Connection: keep-alive\r\nUser-Agent: agent\r\n"
                           "Proxy-Authorization: Basic dTpw\r\n\r\n");
            TR_CHECK(tr_conn_info(rig.conn)->has_proxy && tr_conn_tls(rig.conn) == NULL);
        } else {
            TR_CHECK(tr_test_oom_running() && rig.closed_err.code == TR_ERR_NOMEM);
        }
    } else {
        TR_CHECK(tr_test_oom_running() && code == TR_ERR_NOMEM);
    }
    tr_conn_close(rig.conn);
    tr_dns_free(rig.dns);
    tr_loop_free(rig.loop);
    tr_proxy_unref(proxy);
    (void)close(rig.listener);
    if (rig.peer >= 0) {
        (void)close(rig.peer);
    }
}

TR_TEST(net_conn_proxy_timeout, "/net/conn/proxy_timeout")
{
    rig_t rig = {.peer = -1};
    rig.listener = listen_any(&rig.port);
    char url[64];
    (void)snprintf(url, sizeof(url), "socks5h://127.0.0.1:%u", (unsigned)rig.port);
    tr_proxy_t *proxy = make_proxy(url);
    TR_CHECK_OK(tr_loop_new(&rig.loop, &rig.err), &rig.err);
    TR_CHECK_OK(tr_dns_new(&rig.dns, rig.loop, &rig.err), &rig.err);
    tr_conn_options_t options = {.host = "origin.test", .port = 80, .family = AF_UNSPEC, .proxy = proxy, .connect_timeout_ns = 60 * MS};
    TR_CHECK_OK(tr_conn_open(&rig.conn, rig.loop, rig.dns, &options, &events, &rig, &rig.err), &rig.err);
    uint64_t end = tr_loop_update(rig.loop) + 8000 * MS;
    while (rig.closed == 0 && tr_loop_now(rig.loop) < end) {
        turn(&rig, "nothing", "");
    }
    TR_CHECK_INT(rig.closed_err.code, TR_ERR_PROXY_TIMEOUT);
    tr_conn_close(rig.conn);
    tr_dns_free(rig.dns);
    tr_loop_free(rig.loop);
    tr_proxy_unref(proxy);
    (void)close(rig.listener);
    (void)close(rig.peer);
}
