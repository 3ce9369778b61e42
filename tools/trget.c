/* trget: a command-line client over the C library. One request and its answer, or many requests for measuring. It is what the tests of the
 * client layer drive, and what shows that nothing below python/ needs Python. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/client.h"
#include "core/buf.h"
#include "core/mem.h"
#include "crypto/hash.h"

#define MAX_HEADERS 64
#define MAX_COOKIES 32
#define MAX_URLS 16
#define MAX_THREADS 64
#define TAKE 256

static const char usage[] =
    "usage: trget [options] URL...\n"
    "  -X METHOD            method (default GET, POST with -d)\n"
    "  -H 'Name: value'     a header; 'Name:' removes the browser's\n"
    "  -b name=value        a cookie of this request\n"
    "  -d DATA, -d @FILE    body\n"
    "  -L, --max-redirects N  follow redirects (default at most 9)\n"
    "  --profile ID, --http1, --http2-asked, --exact, --no-cookies, --no-decode\n"
    "  --no-verify, --cacert FILE, --cert FILE (chain and key)\n"
    "  --proxy URL          http, https, socks4, socks4a, socks5, socks5h; given again: the next of a chain, in the order of travel\n"
    "  --connect-header 'Name: value'  of CONNECT; 'Name:' removes the browser's\n"
    "  --forward            plain http in absolute form; --no-forward: never (else where the proxy makes no tunnel for it)\n"
    "  --no-proxy LIST      hosts, addresses and networks that are asked straight\n"
    "  --timeout MS, --connect-timeout, --tls-timeout, --read-timeout, --write-timeout, --pool-timeout MS\n"
    "  --max-h1 N, --idle-timeout MS, --max-ratio N, --max-decoded BYTES, --keylog FILE\n"
    "  -i                   show response headers; --json: one object instead of the body; --save FILE; --sha256\n"
    "  -n N -c N            N requests in all, c at a time, through a sink; --wait: one after another, each waited for\n"
    "  --threads N          with --wait: so many callers; --pause MS: between two requests of a caller\n"
    "  --cancel MS          cancel each request after MS\n"
    "  --fork               with --wait: after the first request the child of a fork does the rest, and the parent too\n"
    "  --fresh              a new session for each request\n";

typedef struct options {
    const char *urls[MAX_URLS];
    size_t num_urls;
    tr_field_t headers[MAX_HEADERS];
    size_t num_headers;
    tr_cookie_t cookies[MAX_COOKIES];
    size_t num_cookies;
    const char *method;
    const char *profile;
    const char *cacert;
    const char *cert;
    const char *save;
    tr_slice_t proxies[TR_PROXY_MAX_HOPS];
    size_t num_proxies;
    tr_proxy_field_t connect_headers[TR_PROXY_MAX_FIELDS];
    size_t num_connect_headers;
    const char *no_proxy;
    bool forward, no_forward;
    tr_buf_t body;
    bool has_body;
    bool show_headers, json, wait, do_fork, fresh, sha256;
    uint32_t flags;
    uint32_t max_redirects;
    uint32_t pause_ms, cancel_ms, threads;
    uint64_t num, at_once;
    tr_timeouts_t timeouts;
    tr_session_options_t session;
} options_t;

static options_t opt = {.max_redirects = 9, .num = 1, .at_once = 1, .threads = 1};
static tr_trust_t *trust;
static tr_identity_t *identity;
static tr_routes_t *routes;
static const tr_profile_t *profile;
static tr_session_t *session;

static uint64_t
now_ns(clockid_t clock)
{
    struct timespec ts;
    (void)clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
sleep_ms(uint32_t ms)
{
    struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&ts, &ts) != 0 && errno == EINTR) {
    }
}

static int
complain(const char *what, const tr_err_t *err)
{
    (void)fprintf(stderr, "trget: %s: %s: %s\n", what, tr_err_name(err->code), err->msg);
    return 2;
}

/* ----------------------------------------------------------------------------------------------------------- options */

static bool
read_file(const char *path, tr_buf_t *out)
{
    FILE *file = fopen(path, "rb");
    size_t got = 1;
    while (file != NULL && got > 0 && tr_buf_reserve(out, 65536) == TR_OK) {
        got = fread(tr_buf_tail(out), 1, 65536, file);
        tr_buf_commit(out, got);
    }
    bool ok = file != NULL && got == 0;
    if (file != NULL) {
        (void)fclose(file);
    }
    if (!ok) {
        (void)fprintf(stderr, "trget: cannot read %s\n", path);
    }
    return ok;
}

/* Name and value of a field; value NULL when there is none. */
static bool
split_field(const char *text, tr_slice_t *name, tr_slice_t *value)
{
    const char *colon = strchr(text, ':');
    if (colon == NULL) {
        return false;
    }
    const char *rest = colon + 1;
    while (*rest == ' ') {
        rest++;
    }
    *name = tr_slice(text, (size_t)(colon - text));
    *value = *rest == 0 ? TR_SLICE_NULL : tr_slice_cstr(rest);
    return true;
}

static bool
add_header(const char *text)
{
    if (opt.num_headers == MAX_HEADERS) {
        return false;
    }
    tr_field_t *field = &opt.headers[opt.num_headers++];
    return split_field(text, &field->name, &field->value);
}

static bool
add_connect_header(const char *text)
{
    if (opt.num_connect_headers == TR_PROXY_MAX_FIELDS) {
        return false;
    }
    tr_proxy_field_t *field = &opt.connect_headers[opt.num_connect_headers++];
    return split_field(text, &field->name, &field->value);
}

static bool
add_proxy(const char *url)
{
    if (opt.num_proxies == TR_PROXY_MAX_HOPS) {
        return false;
    }
    opt.proxies[opt.num_proxies++] = tr_slice_cstr(url);
    return true;
}

static bool
add_cookie(const char *text)
{
    const char *equal = strchr(text, '=');
    if (equal == NULL || opt.num_cookies == MAX_COOKIES) {
        return false;
    }
    tr_cookie_t *cookie = &opt.cookies[opt.num_cookies++];
    cookie->name = tr_slice(text, (size_t)(equal - text));
    cookie->value = tr_slice_cstr(equal + 1);
    return true;
}

static bool
set_body(const char *text)
{
    opt.has_body = true;
    tr_buf_clear(&opt.body);
    if (text[0] == '@') {
        return read_file(text + 1, &opt.body);
    }
    return tr_buf_append(&opt.body, text, strlen(text)) == TR_OK;
}

static bool
take_flag(const char *name)
{
    static const struct {
        const char *name;
        uint32_t flag;
    } flags[] = {{"-L", TR_OP_FOLLOW_REDIRECTS},       {"--http1", TR_OP_HTTP1_ONLY},      {"--http2-asked", TR_OP_HTTP2_ASKED},
                 {"--exact", TR_OP_EXACT_HEADERS},     {"--no-cookies", TR_OP_NO_COOKIES}, {"--no-decode", TR_OP_NO_DECODE},
                 {"--no-verify", TR_OP_NO_VERIFY}};
    const struct {
        const char *name;
        bool *value;
    } switches[] = {{"-i", &opt.show_headers}, {"--json", &opt.json},     {"--wait", &opt.wait},
                    {"--fork", &opt.do_fork},  {"--fresh", &opt.fresh},   {"--sha256", &opt.sha256},
                    {"--forward", &opt.forward}, {"--no-forward", &opt.no_forward}};
    for (size_t i = 0; i < TR_ARRAY_LEN(flags); i++) {
        if (strcmp(name, flags[i].name) == 0) {
            opt.flags |= flags[i].flag;
            return true;
        }
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(switches); i++) {
        if (strcmp(name, switches[i].name) == 0) {
            *switches[i].value = true;
            return true;
        }
    }
    return false;
}

static bool
take_value(const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **value;
    } texts[] = {{"-X", &opt.method},         {"--profile", &opt.profile}, {"--cacert", &opt.cacert},
                 {"--cert", &opt.cert},       {"--save", &opt.save},       {"--keylog", &opt.session.keylog_path},
                 {"--no-proxy", &opt.no_proxy}};
    const struct {
        const char *name;
        uint32_t *value;
    } numbers[] = {{"--timeout", &opt.timeouts.total_ms},    {"--connect-timeout", &opt.timeouts.connect_ms},
                   {"--tls-timeout", &opt.timeouts.tls_ms},  {"--read-timeout", &opt.timeouts.read_ms},
                   {"--write-timeout", &opt.timeouts.write_ms}, {"--pool-timeout", &opt.timeouts.pool_ms},
                   {"--max-h1", &opt.session.max_h1_per_origin}, {"--idle-timeout", &opt.session.idle_timeout_ms},
                   {"--max-ratio", &opt.session.max_ratio},  {"--pause", &opt.pause_ms},
                   {"--cancel", &opt.cancel_ms},             {"--threads", &opt.threads},
                   {"--max-redirects", &opt.max_redirects}};
    const struct {
        const char *name;
        uint64_t *value;
    } longs[] = {{"-n", &opt.num}, {"-c", &opt.at_once}, {"--max-decoded", &opt.session.max_decoded}};
    for (size_t i = 0; i < TR_ARRAY_LEN(texts); i++) {
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].value = value;
            return true;
        }
    }
    char *end = NULL;
    unsigned long long number = strtoull(value, &end, 10);
    bool is_number = *value != 0 && *end == 0;
    for (size_t i = 0; is_number && i < TR_ARRAY_LEN(numbers); i++) {
        if (strcmp(name, numbers[i].name) == 0 && number <= UINT32_MAX) {
            *numbers[i].value = (uint32_t)number;
            if (numbers[i].value == &opt.max_redirects) {
                opt.flags |= TR_OP_FOLLOW_REDIRECTS;
            }
            return true;
        }
    }
    for (size_t i = 0; is_number && i < TR_ARRAY_LEN(longs); i++) {
        if (strcmp(name, longs[i].name) == 0) {
            *longs[i].value = number;
            return true;
        }
    }
    return (strcmp(name, "-H") == 0 && add_header(value)) || (strcmp(name, "-b") == 0 && add_cookie(value)) ||
           (strcmp(name, "-d") == 0 && set_body(value)) || (strcmp(name, "--proxy") == 0 && add_proxy(value)) ||
           (strcmp(name, "--connect-header") == 0 && add_connect_header(value));
}

static bool
parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            if (opt.num_urls == MAX_URLS) {
                return false;
            }
            opt.urls[opt.num_urls++] = argv[i];
        } else if (!take_flag(argv[i])) {
            if (i + 1 >= argc || !take_value(argv[i], argv[i + 1])) {
                (void)fprintf(stderr, "trget: what is %s?\n", argv[i]);
                return false;
            }
            i++;
        }
    }
    return opt.num_urls > 0 && !(opt.forward && opt.no_forward) && opt.threads >= 1 && opt.threads <= MAX_THREADS && opt.at_once >= 1;
}

static tr_code_t
load_proxies(tr_err_t *err)
{
    tr_proxy_t *proxy;
    tr_proxy_forward_t forward = opt.forward ? TR_FORWARD_ALWAYS : opt.no_forward ? TR_FORWARD_NEVER : TR_FORWARD_REFUSED;
    tr_code_t code = tr_proxy_new(&proxy, opt.proxies, opt.num_proxies, forward, opt.connect_headers, opt.num_connect_headers, err);
    if (code == TR_OK) {
        code = tr_routes_new(&routes, proxy, proxy, opt.no_proxy == NULL ? TR_SLICE_NULL : tr_slice_cstr(opt.no_proxy), err);
        tr_proxy_unref(proxy);
    }
    return code;
}

static int
load_settings(void)
{
    tr_err_t err = TR_ERR_INIT;
    if (tr_engine_start(&err) != TR_OK) {
        return complain("engine", &err);
    }
    if (opt.cacert != NULL && tr_trust_new_from(&trust, opt.cacert, &err) != TR_OK) {
        return complain(opt.cacert, &err);
    }
    if (opt.cert != NULL) {
        tr_buf_t pem = TR_BUF_INIT;
        bool ok = read_file(opt.cert, &pem) &&
                  tr_identity_new_from_pem(&identity, tr_buf_slice(&pem), tr_buf_slice(&pem), NULL, &err) == TR_OK;
        tr_buf_cleanup(&pem);
        if (!ok) {
            return complain(opt.cert, &err);
        }
    }
    if (opt.profile != NULL && (profile = tr_profile_find(tr_slice_cstr(opt.profile))) == NULL) {
        (void)fprintf(stderr, "trget: no profile is called %s\n", opt.profile);
        return 2;
    }
    if (opt.num_proxies > 0 && load_proxies(&err) != TR_OK) {
        return complain("proxy", &err);
    }
    if (tr_session_new(&session, &opt.session, &err) != TR_OK) {
        return complain("session", &err);
    }
    return 0;
}

/* ---------------------------------------------------------------------------------------------------------- requests */

static tr_op_t *
prepare(const char *url, const tr_op_file_t *file, tr_err_t *err)
{
    const char *method = opt.method != NULL ? opt.method : (opt.has_body ? "POST" : "GET");
    tr_op_request_t request = {
        .method = tr_slice_cstr(method),
        .url = tr_slice_cstr(url),
        .headers = opt.headers,
        .num_headers = opt.num_headers,
        .cookies = opt.cookies,
        .num_cookies = opt.num_cookies,
        .has_body = opt.has_body,
        .body = tr_buf_slice(&opt.body),
        .body_owner = &opt.body, /* lives longer than any op */
        .body_type = opt.has_body ? TR_SLICE_LIT("application/x-www-form-urlencoded") : TR_SLICE_NULL,
        .profile = profile,
        .trust = trust,
        .identity = identity,
        .routes = routes,
        .timeouts = opt.timeouts,
        .flags = opt.flags,
        .max_redirects = opt.max_redirects,
        .file = file,
    };
    tr_session_t *own = session;
    if (opt.fresh) {
        if (tr_session_new(&own, &opt.session, err) != TR_OK) {
            return NULL;
        }
    }
    tr_op_t *op = tr_op_new(own);
    if (opt.fresh) {
        tr_session_unref(own); /* the op keeps it */
    }
    if (op == NULL) {
        (void)tr_err_nomem(err, "trget");
        return NULL;
    }
    if (tr_op_prepare(op, &request, err) != TR_OK) {
        tr_op_unref(op);
        return NULL;
    }
    return op;
}

/* Waits, cancelling when it is time to. */
static void
await(tr_op_t *op)
{
    uint64_t cancel_ns = opt.cancel_ms == 0 ? UINT64_MAX : now_ns(CLOCK_MONOTONIC) + opt.cancel_ms * UINT64_C(1000000);
    while (tr_op_wait(op, opt.cancel_ms == 0 ? UINT64_MAX : 1000000) != TR_OK) {
        if (now_ns(CLOCK_MONOTONIC) >= cancel_ns) {
            tr_op_cancel(op);
        }
    }
}

/* ------------------------------------------------------------------------------------------------------------ --save
 *
 * The engine writes the body while it comes, into a file of its own beside the place, which takes the place when it is complete: what was there
 * before stays until then, and stays when the request fails. What is no regular file (a pipe, a device) is written to as it is. Where the folder
 * takes no new files the body is written when it is there as a whole. */

/* The file that is not complete, and whether there is one: the handler of signals removes it. */
static char unfinished[PATH_MAX];
static volatile sig_atomic_t has_unfinished;

static void
remove_unfinished(int number)
{
    if (has_unfinished) {
        (void)unlink(unfinished);
    }
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void
catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < TR_ARRAY_LEN(numbers); i++) {
        if (signal(numbers[i], remove_unfinished) == SIG_IGN) {
            (void)signal(numbers[i], SIG_IGN);
        }
    }
}

/* A new file in the folder of `place`, with the rights of the one that is there; -1: none. Its name is in `unfinished`. */
static int
open_beside(const char *place, const struct stat *there)
{
    const char *slash = strrchr(place, '/');
    int folder_len = slash == NULL ? 0 : (int)(slash - place) + 1;
    for (unsigned i = 0; i < 100; i++) {
        int len = snprintf(unfinished, sizeof(unfinished), "%.*s.trget-%ld-%u", folder_len, place, (long)getpid(), i);
        int fd = len < (int)sizeof(unfinished) ? open(unfinished, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666) : -1;
        if (fd >= 0) {
            has_unfinished = 1;
            if (there != NULL) {
                (void)!fchown(fd, there->st_uid, there->st_gid); /* root's privilege; else it is the caller's */
                (void)fchmod(fd, there->st_mode & 07777);
            }
            return fd;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    return -1;
}

/* Where the body goes: a descriptor, and in `place` (PATH_MAX) the name that the file takes in the end. -1: there is no such way. */
static int
save_open(char *place)
{
    struct stat there;
    if (stat(opt.save, &there) != 0) {
        /* A symbolic link to nowhere is left to fopen, which makes what it names. */
        bool is_new = lstat(opt.save, &there) != 0 && errno == ENOENT;
        return is_new && snprintf(place, PATH_MAX, "%s", opt.save) < PATH_MAX ? open_beside(place, NULL) : -1;
    }
    if (!S_ISREG(there.st_mode)) {
        return open(opt.save, O_WRONLY | O_CLOEXEC);
    }
    /* Behind symbolic links, which stay. */
    return access(opt.save, W_OK) == 0 && realpath(opt.save, place) != NULL ? open_beside(place, &there) : -1;
}

/* The request is over. 0, or the errno of what the file could not be completed for. */
static int
save_finish(int fd, const char *place, bool complete)
{
    int error = complete && has_unfinished && fsync(fd) != 0 ? errno : 0;
    if (close(fd) != 0 && error == 0) {
        error = errno;
    }
    if (has_unfinished && complete && error == 0 && rename(unfinished, place) != 0) {
        error = errno;
    }
    if (has_unfinished && (!complete || error != 0)) {
        (void)unlink(unfinished);
    }
    has_unfinished = 0;
    return error;
}

/* ------------------------------------------------------------------------------------------------------------ output */

static void
put_json(FILE *out, tr_slice_t text)
{
    (void)fputc('"', out);
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == '"' || c == '\\') {
            (void)fprintf(out, "\\%c", c);
        } else if (c < 0x20 || c >= 0x7f) {
            (void)fprintf(out, "\\u%04x", c);
        } else {
            (void)fputc(c, out);
        }
    }
    (void)fputc('"', out);
}

static void
put_headers(FILE *out, const tr_headers_t *headers)
{
    (void)fputc('[', out);
    for (size_t i = 0; i < headers->len; i++) {
        tr_field_t field = tr_headers_at(headers, i);
        (void)fputs(i == 0 ? "[" : ", [", out);
        put_json(out, field.name);
        (void)fputs(", ", out);
        put_json(out, field.value);
        (void)fputc(']', out);
    }
    (void)fputc(']', out);
}

static void
put_hash(FILE *out, tr_slice_t body)
{
    uint8_t hash[TR_HASH_MAX];
    char text[2 * 32 + 1] = "";
    if (tr_hash_once(TR_HASH_SHA256, hash, body) == TR_OK) {
        for (size_t i = 0; i < 32; i++) {
            (void)snprintf(text + 2 * i, 3, "%02x", hash[i]);
        }
    }
    (void)fprintf(out, ", \"sha256\": \"%s\"", text);
}

static void
put_response(FILE *out, tr_op_t *op, tr_response_t *r)
{
    (void)fprintf(out, "{\"status\": %d, \"version\": %d, \"reused\": %s, \"method\": ", r->status, r->http_version,
                  r->resumed_connection ? "true" : "false");
    put_json(out, r->method);
    (void)fputs(", \"url\": ", out);
    put_json(out, r->url);
    (void)fputs(", \"headers\": ", out);
    put_headers(out, &r->headers);
    (void)fputs(", \"trailers\": ", out);
    put_headers(out, &r->trailers);
    (void)fputs(", \"sent\": ", out);
    put_headers(out, &r->sent);
    (void)fprintf(out, ", \"body_len\": %llu", (unsigned long long)r->body_len);
    uint8_t *body = tr_malloc((size_t)r->body_len);
    if (body != NULL) {
        tr_op_take_body(op, r, body);
        put_hash(out, tr_slice(body, (size_t)r->body_len));
        if (r->body_len <= 65536) {
            (void)fputs(", \"body\": ", out);
            put_json(out, tr_slice(body, (size_t)r->body_len));
        }
    }
    tr_free(body);
    (void)fputc('}', out);
}

/* This program's peak of resident memory. Linux counts in ru_maxrss what the process had before exec, too: that of whoever started it. */
static long
peak_kb(void)
{
    struct rusage usage_now;
    char line[256];
    long kb = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && kb == 0 && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            kb = strtol(line + 6, NULL, 10);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    if (kb == 0) {
        (void)getrusage(RUSAGE_SELF, &usage_now);
        kb = usage_now.ru_maxrss;
    }
    return kb;
}

static void
put_stats(FILE *out)
{
    tr_engine_stats_t s;
    tr_engine_stats(&s);
    (void)fprintf(out,
                  "{\"submitted\": %llu, \"completed\": %llu, \"conns_opened\": %llu, \"conns_open\": %llu, \"handshakes\": %llu, "
                  "\"resumed\": %llu, \"requests_h1\": %llu, \"requests_h2\": %llu, \"max_rss_kb\": %ld}",
                  (unsigned long long)s.ops_submitted, (unsigned long long)s.ops_completed, (unsigned long long)s.conns_opened,
                  (unsigned long long)s.conns_open, (unsigned long long)s.handshakes, (unsigned long long)s.resumed,
                  (unsigned long long)s.requests_h1, (unsigned long long)s.requests_h2, peak_kb());
}

static void
put_op(FILE *out, tr_op_t *op)
{
    const tr_err_t *err = tr_op_error(op);
    const tr_op_timing_t *t = tr_op_timing(op);
    (void)fputs("{\"error\": ", out);
    if (err == NULL) {
        (void)fputs("null", out);
    } else {
        put_json(out, tr_slice_cstr(tr_err_name(err->code)));
        (void)fputs(", \"message\": ", out);
        put_json(out, tr_slice_cstr(err->msg));
        (void)fputs(", \"where\": ", out);
        put_json(out, tr_slice_cstr(err->where));
    }
    (void)fprintf(out, ", \"request_sent\": %s, \"safe_to_retry\": %s, \"elapsed_ms\": %.3f, \"url\": ",
                  tr_op_request_sent(op) ? "true" : "false", tr_op_safe_to_retry(op) ? "true" : "false",
                  (double)tr_op_elapsed_ns(op) / 1e6);
    put_json(out, tr_op_url(op));
    (void)fprintf(out,
                  ", \"timing\": {\"dns_ns\": %lld, \"connect_ns\": %lld, \"tls_ns\": %lld, \"first_byte_ns\": %lld, \"tls_version\": %u, "
                  "\"tls_resumed\": %s, \"peer\": \"%s\"}",
                  (long long)t->dns_ns, (long long)t->connect_ns, (long long)t->tls_ns, (long long)t->first_byte_ns, t->tls_version,
                  t->tls_resumed ? "true" : "false", t->peer);
    (void)fputs(", \"responses\": [", out);
    for (tr_response_t *r = tr_op_responses(op); r != NULL; r = r->next) {
        put_response(out, op, r);
        (void)fputs(r->next != NULL ? ", " : "", out);
    }
    (void)fputs("]}", out);
}

static tr_response_t *
last_response(const tr_op_t *op)
{
    tr_response_t *r = tr_op_responses(op);
    while (r != NULL && r->next != NULL) {
        r = r->next;
    }
    return r;
}

/* saved: the body went into its file. */
static int
show_text(tr_op_t *op, bool saved)
{
    const tr_err_t *err = tr_op_error(op);
    tr_response_t *r = last_response(op);
    if (err != NULL) {
        return complain("request", err);
    }
    if (opt.show_headers) {
        (void)printf("HTTP/%d.%d %d\n", r->http_version / 10, r->http_version % 10, r->status);
        for (size_t i = 0; i < r->headers.len; i++) {
            tr_field_t f = tr_headers_at(&r->headers, i);
            (void)printf("%.*s: %.*s\n", (int)f.name.len, (const char *)f.name.data, (int)f.value.len, (const char *)f.value.data);
        }
        (void)printf("\n");
    }
    if (saved) {
        return 0;
    }
    int result = 0;
    uint8_t *body = tr_malloc((size_t)r->body_len);
    FILE *out = opt.save == NULL ? stdout : fopen(opt.save, "wb");
    if (body == NULL || out == NULL) {
        (void)fprintf(stderr, "trget: the body cannot be written\n");
        result = 2;
    } else {
        tr_op_take_body(op, r, body);
        if (opt.sha256) {
            put_hash(out, tr_slice(body, (size_t)r->body_len));
            (void)fputc('\n', out);
        } else if (fwrite(body, 1, (size_t)r->body_len, out) != r->body_len) {
            result = 2;
        }
    }
    if (out != NULL && out != stdout) {
        (void)fclose(out);
    }
    tr_free(body);
    return result;
}

/* ------------------------------------------------------------------------------------------------------------- modes */

static int
run_one(void)
{
    int result = 0;
    catch_signals();
    if (opt.json) {
        (void)printf("[");
    }
    for (size_t i = 0; i < opt.num_urls; i++) {
        tr_err_t err = TR_ERR_INIT;
        char place[PATH_MAX];
        tr_op_file_t file = {.fd = -1, .max_len = UINT64_MAX};
        if (opt.save != NULL && !opt.json && !opt.sha256) { /* else nothing, or the hash, is saved */
            file.fd = save_open(place);
        }
        bool saving = file.fd >= 0;
        tr_op_t *op = prepare(opt.urls[i], saving ? &file : NULL, &err);
        bool begun = op != NULL && tr_op_submit(op, NULL, &err) == TR_OK;
        if (begun) {
            await(op);
        }
        int error = saving ? save_finish(file.fd, place, begun && tr_op_error(op) == NULL) : 0;
        if (!begun || error != 0) {
            if (error != 0) {
                (void)fprintf(stderr, "trget: %s: the body cannot be written: %s\n", opt.save, strerror(error));
                result = 2;
            } else {
                result = complain(opt.urls[i], &err);
            }
            tr_op_unref(op);
            continue;
        }
        if (opt.json) {
            put_op(stdout, op);
            (void)printf(i + 1 < opt.num_urls ? ",\n" : "");
            result = tr_op_error(op) != NULL ? 1 : result;
        } else {
            result |= show_text(op, saving);
        }
        tr_op_unref(op);
        if (opt.pause_ms != 0 && i + 1 < opt.num_urls) {
            sleep_ms(opt.pause_ms);
        }
    }
    if (opt.json) {
        (void)printf("]\n");
    }
    return result;
}

typedef struct tally {
    uint64_t num, failed, bytes, reused;
    uint64_t statuses[6]; /* by hundreds */
    tr_err_t first;       /* first error */
} tally_t;

static void
count(tally_t *tally, tr_op_t *op)
{
    const tr_err_t *err = tr_op_error(op);
    tally->num++;
    if (err != NULL) {
        if (tally->failed++ == 0) {
            tally->first = *err;
        }
        return;
    }
    tr_response_t *r = last_response(op);
    tally->bytes += r->body_len;
    tally->reused += r->resumed_connection ? 1 : 0;
    tally->statuses[r->status / 100 % 6]++;
}

static void
add(tally_t *sum, const tally_t *part)
{
    if (sum->failed == 0) {
        sum->first = part->first;
    }
    sum->num += part->num;
    sum->failed += part->failed;
    sum->bytes += part->bytes;
    sum->reused += part->reused;
    for (size_t i = 0; i < TR_ARRAY_LEN(sum->statuses); i++) {
        sum->statuses[i] += part->statuses[i];
    }
}

static void
report(const tally_t *t, uint64_t wall_ns, uint64_t cpu_ns)
{
    double num = t->num == 0 ? 1 : (double)t->num;
    (void)printf("{\"requests\": %llu, \"failed\": %llu, \"error\": \"%s\", \"message\": ", (unsigned long long)t->num,
                 (unsigned long long)t->failed, tr_err_name(t->first.code));
    put_json(stdout, tr_slice_cstr(t->first.msg));
    (void)printf(", \"bytes\": %llu, \"reused\": %llu, \"2xx\": %llu, \"3xx\": %llu, \"4xx\": %llu, \"5xx\": %llu, \"seconds\": %.3f, "
                 "\"per_second\": %.0f, \"cpu_us_each\": %.2f, \"stats\": ",
                 (unsigned long long)t->bytes, (unsigned long long)t->reused, (unsigned long long)t->statuses[2],
                 (unsigned long long)t->statuses[3], (unsigned long long)t->statuses[4], (unsigned long long)t->statuses[5],
                 (double)wall_ns / 1e9, num / ((double)wall_ns / 1e9), (double)cpu_ns / 1e3 / num);
    put_stats(stdout);
    (void)printf("}\n");
    (void)fflush(stdout);
}

/* One caller after another's example: each request is waited for. */
static void *
wait_loop(void *arg)
{
    tally_t *tally = arg;
    uint64_t num = opt.num / opt.threads;
    for (uint64_t i = 0; i < num; i++) {
        tr_err_t err = TR_ERR_INIT;
        tr_op_t *op = prepare(opt.urls[i % opt.num_urls], NULL, &err);
        if (op == NULL || tr_op_submit(op, NULL, &err) != TR_OK) {
            tally->num++;
            tally->failed++;
            tally->first = err;
            tr_op_unref(op);
            continue;
        }
        await(op);
        count(tally, op);
        tr_op_unref(op);
        if (opt.pause_ms != 0) {
            sleep_ms(opt.pause_ms);
        }
    }
    return NULL;
}

static int
run_wait(void)
{
    pthread_t threads[MAX_THREADS];
    tally_t parts[MAX_THREADS] = {{0, 0, 0, 0, {0}, TR_ERR_INIT}};
    tally_t sum = {0, 0, 0, 0, {0}, TR_ERR_INIT};
    pid_t child = -1;
    if (opt.do_fork) {
        uint64_t all = opt.num;
        opt.num = 1;
        (void)wait_loop(&parts[0]);
        opt.num = all;
        child = fork();
    }
    uint64_t wall = now_ns(CLOCK_MONOTONIC);
    uint64_t cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    uint32_t started = 0;
    while (started + 1 < opt.threads && pthread_create(&threads[started], NULL, wait_loop, &parts[started + 1]) == 0) {
        started++;
    }
    (void)wait_loop(&parts[0]);
    for (uint32_t i = 0; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    wall = now_ns(CLOCK_MONOTONIC) - wall;
    cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    for (uint32_t i = 0; i <= started; i++) {
        add(&sum, &parts[i]);
    }
    int result = sum.failed > 0 ? 1 : 0;
    if (child > 0) {
        int status = 0;
        (void)waitpid(child, &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            (void)fprintf(stderr, "trget: the child ended with %d\n", status);
            result = 1;
        }
    }
    report(&sum, wall, cpu);
    return result;
}

static bool
launch(tr_sink_t *sink, uint64_t index, tally_t *tally)
{
    tr_err_t err = TR_ERR_INIT;
    tr_op_t *op = prepare(opt.urls[index % opt.num_urls], NULL, &err);
    bool ok = op != NULL && tr_op_submit(op, sink, &err) == TR_OK;
    if (!ok) {
        tally->num++;
        if (tally->failed++ == 0) {
            tally->first = err;
        }
    } else if (opt.cancel_ms == 1) {
        tr_op_cancel(op); /* at once: before the loop saw it, mostly */
    }
    tr_op_unref(op); /* the engine keeps its own */
    return ok;
}

static int
run_load(void)
{
    tally_t tally = {0, 0, 0, 0, {0}, TR_ERR_INIT};
    tr_err_t err = TR_ERR_INIT;
    tr_sink_t *sink;
    if (tr_sink_new(&sink, &err) != TR_OK) {
        return complain("sink", &err);
    }
    uint64_t started = 0, running = 0;
    uint64_t wall = now_ns(CLOCK_MONOTONIC);
    uint64_t cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    tr_op_t *done[TAKE];
    while (started < opt.num || running > 0) {
        while (started < opt.num && running < opt.at_once) {
            running += launch(sink, started++, &tally) ? 1 : 0;
        }
        struct pollfd pollfd = {tr_sink_fd(sink), POLLIN, 0};
        if (running == 0 || poll(&pollfd, 1, 60000) <= 0) {
            break;
        }
        size_t num = tr_sink_take(sink, done, TAKE);
        for (size_t i = 0; i < num; i++) {
            count(&tally, done[i]);
            tr_op_unref(done[i]);
        }
        running -= num;
    }
    wall = now_ns(CLOCK_MONOTONIC) - wall;
    cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    report(&tally, wall, cpu);
    tr_sink_free(sink);
    return running > 0 || tally.failed > 0 ? 1 : 0;
}

int
main(int argc, char **argv)
{
    if (!parse(argc, argv)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    int result = load_settings();
    if (result == 0) {
        result = opt.num == 1 && !opt.wait ? run_one() : (opt.wait ? run_wait() : run_load());
    }
    tr_session_unref(session);
    tr_engine_stop(true);
    tr_trust_unref(trust);
    tr_identity_unref(identity);
    tr_routes_unref(routes);
    tr_buf_cleanup(&opt.body);
    return result;
}
