/* flow: bodies in pieces. First the queues and the decoder without a network, whole and split everywhere, also out of memory; then over
 * sockets with several threads, for the race detector. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/client.h"
#include "client/file.h"
#include "client/flow.h"
#include "client/op.h"
#include "test_client_files.h"
#include "tr_test.h"

#define WAIT_NS UINT64_C(10000000000)

/* ------------------------------------------------------------------------------------------------------ without a network */

/* A prepared op whose answer was handed out, as the loop would; NULL: no memory. coding: of the body, or NULL. */
static tr_op_t *
answered_op(tr_session_t **out_session, const char *coding)
{
    tr_err_t err = TR_ERR_INIT;
    tr_op_request_t request = {.method = TR_SLICE_LIT("POST"), .url = TR_SLICE_LIT("http://a.test/"), .flags = TR_OP_STREAM};
    request.has_body = request.body_written = true;
    request.body_len = 10;
    *out_session = NULL;
    tr_op_t *op = tr_session_new(out_session, NULL, &err) == TR_OK ? tr_op_new(*out_session) : NULL;
    if (op == NULL || tr_op_prepare(op, &request, &err) != TR_OK || tr_op__new_hop(op) != TR_OK) {
        tr_op_unref(op);
        tr_session_unref(*out_session);
        return NULL;
    }
    if (coding != NULL) {
        bool unknown;
        tr_decoder_limits_t limits = {0, UINT64_C(64) << 20, 200};
        if (tr_decoder_new(&op->hop->decoder, &unknown, tr_slice_cstr(coding), &limits, &err) != TR_OK) {
            tr_op_unref(op);
            tr_session_unref(*out_session);
            return NULL;
        }
    }
    op->hop->listed = true;
    op->responses = op->last = &op->hop->response;
    op->flow->blocking = op->flow->published = true;
    atomic_store(&op->flow->answered, true);
    return op;
}

static void
drop(tr_op_t *op, tr_session_t *session)
{
    tr_op_unref(op);
    tr_session_unref(session);
}

/* Feeds `sent` in two parts and reads in pieces; whether `body` came out and then the end. NOMEM where memory failed. */
static tr_code_t
feed_and_read(const char *coding, tr_slice_t sent, size_t split, tr_slice_t body, size_t piece)
{
    tr_session_t *session;
    tr_err_t err = TR_ERR_INIT;
    tr_op_t *op = answered_op(&session, coding);
    if (op == NULL) {
        return TR_ERR_NOMEM;
    }
    uint8_t got[4096];
    size_t len = 0;
    tr_code_t code = TR_OK;
    for (int part = 0; part < 2 && code == TR_OK; part++) {
        tr_slice_t data = part == 0 ? tr_slice(sent.data, split) : tr_slice(sent.data + split, sent.len - split);
        code = data.len == 0 ? TR_OK : tr_flow__data(op, data, NULL, &err);
        if (part == 1 && code == TR_OK) {
            atomic_store(&op->done, true);
        }
        while (code == TR_OK) {
            size_t ready;
            code = tr_op_read_fill(op, &ready, piece, false, &err);
            if (code == TR_OK) {
                size_t take = TR_MIN(ready, piece);
                TR_CHECK(take <= sizeof(got) - len);
                tr_op_read_take(op, got + len, take);
                len += take;
            }
        }
        code = code == TR_AGAIN ? TR_OK : code;
    }
    bool same = len == body.len && memcmp(got, body.data, len) == 0;
    drop(op, session);
    if (code == TR_EOF) {
        TR_CHECK(same);
        return TR_OK;
    }
    return code;
}

TR_TEST_OOM(flow_split, "/client/flow/split_everywhere")
{
    uint8_t body[1500], sent[1600];
    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = (uint8_t)(i % 17 < 9 ? 'a' : byte_at(i));
    }
    size_t len = gzip_of(sent, sizeof(sent), body, sizeof(body));
    size_t step = tr_test_oom_running() ? len / 2 : 1;
    for (size_t split = 0; split <= len; split += step) {
        tr_code_t code = feed_and_read("gzip", tr_slice(sent, len), split, tr_slice(body, sizeof(body)), split % 5 == 0 ? 1 : 100 + split);
        if (tr_test_oom_running() && code == TR_ERR_NOMEM) {
            return;
        }
        TR_CHECK_INT(code, TR_OK);
        code = feed_and_read(NULL, tr_slice(body, sizeof(body)), TR_MIN(split, sizeof(body)), tr_slice(body, sizeof(body)), 64);
        if (tr_test_oom_running() && code == TR_ERR_NOMEM) {
            return;
        }
        TR_CHECK_INT(code, TR_OK);
    }
}

TR_TEST(flow_cut_coding, "/client/flow/cut_coding_at_each_byte")
{
    uint8_t body[300], sent[400];
    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = byte_at(i);
    }
    size_t len = gzip_of(sent, sizeof(sent), body, sizeof(body));
    for (size_t cut = 1; cut < len; cut++) {
        TR_CHECK_INT(feed_and_read("gzip", tr_slice(sent, cut), cut / 2, tr_slice(body, sizeof(body)), 50), TR_ERR_BODY_CODING);
    }
}

TR_TEST(flow_pause, "/client/flow/pauses_at_its_limit")
{
    tr_session_t *session;
    tr_err_t err = TR_ERR_INIT;
    tr_op_t *op = answered_op(&session, NULL);
    static uint8_t block[65536];
    size_t held = 0, ready;
    tr_code_t code = TR_OK;
    TR_CHECK(op != NULL);
    while (code == TR_OK && held < (size_t)8 << 20) {
        code = tr_flow__data(op, tr_slice(block, sizeof(block)), NULL, &err);
        held += sizeof(block);
    }
    TR_CHECK_INT(code, TR_PAUSED);
    TR_CHECK_INT(held, 1 << 20);
    TR_CHECK(tr_flow__is_held(op));
    /* What the window still lets in is taken, and the pause lasts until the loop ends it. */
    TR_CHECK_INT(tr_op_read_fill(op, &ready, 1, true, &err), TR_OK);
    TR_CHECK_INT(ready, held);
    TR_CHECK_INT(tr_flow__data(op, tr_slice(block, 10), NULL, &err), TR_PAUSED);
    drop(op, session);
}

TR_TEST(flow_chunks, "/client/flow/nearly_empty_chunks_are_copied")
{
    tr_session_t *session;
    tr_err_t err = TR_ERR_INIT;
    tr_op_t *op = answered_op(&session, NULL);
    size_t ready;
    uint8_t got[2];
    TR_CHECK(op != NULL);
    tr_chunk_t *small = tr_chunk_new(20000), *full = tr_chunk_new(20000);
    TR_CHECK(small != NULL && full != NULL);
    small->len = 1;
    small->data[0] = 'a';
    full->len = 20000;
    memset(full->data, 'b', full->len);
    TR_CHECK_INT(tr_flow__data(op, tr_chunk_slice(small), &small, &err), TR_OK);
    TR_CHECK(small != NULL);
    TR_CHECK_INT(tr_flow__data(op, tr_chunk_slice(full), &full, &err), TR_OK);
    TR_CHECK(full == NULL);
    tr_chunk_free(small);
    TR_CHECK_INT(tr_op_read_fill(op, &ready, 1, true, &err), TR_OK);
    TR_CHECK_INT(ready, 20001);
    tr_op_read_take(op, got, 2);
    TR_CHECK_MEM(got, "ab", 2);
    drop(op, session);
}

TR_TEST(flow_write, "/client/flow/written_lengths")
{
    static const struct {
        size_t len;
        tr_code_t write, end;
    } rows[] = {{10, TR_OK, TR_OK}, {9, TR_OK, TR_ERR_REQUEST_BODY}, {11, TR_ERR_REQUEST_BODY, TR_AGAIN}, {0, TR_OK, TR_ERR_REQUEST_BODY}};
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        tr_session_t *session;
        tr_err_t err = TR_ERR_INIT;
        uint32_t pass = 7;
        tr_op_t *op = answered_op(&session, NULL);
        TR_CHECK(op != NULL && tr_op_wants_body(op, &pass) && pass == 0);
        TR_CHECK_INT(tr_op_write(op, 1, TR_SLICE_LIT("stale"), &err), TR_AGAIN);
        TR_CHECK_INT(tr_op_write(op, 0, tr_slice("0123456789ab", rows[i].len), &err), rows[i].write);
        TR_CHECK_INT(tr_op_write_end(op, 0, &err), rows[i].end);
        TR_CHECK(!tr_op_wants_body(op, &pass));
        TR_CHECK_INT(tr_op_write(op, 0, TR_SLICE_LIT("late"), &err), TR_AGAIN);
        drop(op, session);
    }
}

/* ---------------------------------------------------------------------------------------------------------- over sockets */

static struct {
    int listener;
    uint16_t port;
    pthread_t thread;
    atomic_int open;
} site;

/* False: the client is gone. */
static bool
send_all(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t done = send(fd, at, len, MSG_NOSIGNAL);
        if (done <= 0) {
            return false;
        }
        at += done;
        len -= (size_t)done;
    }
    return true;
}

/* One connection: /N sends N bytes of the pattern; /sum counts a chunked body; /cut stops in the middle. */
static void *
serve_one(void *arg)
{
    int fd = (int)(intptr_t)arg;
    static const size_t max = 1 << 16;
    char *in = malloc(max + 1);
    size_t len = 0;
    bool more = in != NULL;
    while (more) {
        ssize_t got = recv(fd, in + len, max - len, 0);
        if (got <= 0) {
            break;
        }
        len += (size_t)got;
        in[len] = 0;
        char *body = strstr(in, "\r\n\r\n");
        if (body == NULL) {
            continue;
        }
        char out[4096];
        const char *path = strchr(in, ' ') + 2;
        if (strncmp(path, "sum", 3) == 0) {
            size_t total = 0;
            body += 4;
            while (memcmp(in + len - 5, "0\r\n\r\n", 5) != 0) {
                total += len;
                memmove(in, in + len - TR_MIN(len, (size_t)5), TR_MIN(len, (size_t)5));
                len = TR_MIN(len, (size_t)5);
                total -= len;
                got = recv(fd, in + len, max - len, 0);
                if (got <= 0) {
                    goto done;
                }
                len += (size_t)got;
            }
            total += len;
            int n = snprintf(out, sizeof(out), "%zu", total);
            char head[128];
            more = send_all(fd, head, (size_t)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n, out));
        } else {
            size_t size = strtoul(path, NULL, 10);
            bool cut = strncmp(path, "cut", 3) == 0;
            size = cut ? 100000 : size;
            more = send_all(fd, out, (size_t)snprintf(out, sizeof(out), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", size));
            for (size_t at = 0; more && at < (cut ? size / 2 : size); at += sizeof(out)) {
                for (size_t i = 0; i < sizeof(out); i++) {
                    out[i] = (char)byte_at(at + i);
                }
                more = send_all(fd, out, TR_MIN(sizeof(out), size - at));
            }
            more = more && !cut;
        }
        len = 0;
    }
done:
    free(in);
    (void)close(fd);
    atomic_fetch_sub(&site.open, 1);
    return NULL;
}

static void *
serve(void *arg)
{
    TR_UNUSED(arg);
    for (;;) {
        int fd = accept(site.listener, NULL, NULL);
        pthread_t thread;
        if (fd < 0) {
            return NULL;
        }
        atomic_fetch_add(&site.open, 1);
        if (pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd) == 0) {
            (void)pthread_detach(thread);
        }
    }
}

static tr_session_t *
begin(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    tr_err_t err = TR_ERR_INIT;
    tr_session_t *session;
    site.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    TR_CHECK(site.listener >= 0 && bind(site.listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    TR_CHECK(listen(site.listener, 64) == 0 && getsockname(site.listener, (struct sockaddr *)&address, &len) == 0);
    site.port = ntohs(address.sin_port);
    TR_CHECK(pthread_create(&site.thread, NULL, serve, NULL) == 0);
    TR_CHECK_OK(tr_session_new(&session, NULL, &err), &err);
    return session;
}

static void
finish(tr_session_t *session)
{
    tr_session_unref(session);
    tr_engine_stop(false);
    (void)shutdown(site.listener, SHUT_RDWR);
    (void)pthread_join(site.thread, NULL);
    (void)close(site.listener);
    for (int i = 0; i < 1000 && atomic_load(&site.open) > 0; i++) {
        struct timespec ts = {0, 5000000};
        (void)nanosleep(&ts, NULL);
    }
    TR_CHECK_INT(atomic_load(&site.open), 0);
}

static tr_op_t *
start_with(tr_session_t *session, const char *path, bool written, tr_sink_t *sink, uint32_t flags, const tr_op_file_t *file)
{
    tr_err_t err = TR_ERR_INIT;
    char url[64];
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/%s", site.port, path);
    tr_op_request_t request = {.method = TR_SLICE_LIT("GET"), .url = tr_slice_cstr(url), .flags = flags, .body_len = -1, .file = file};
    if (written) {
        request.method = TR_SLICE_LIT("POST");
        request.has_body = request.body_written = true;
        request.flags = 0;
    }
    tr_op_t *op = tr_op_new(session);
    TR_CHECK(op != NULL);
    TR_CHECK_OK(tr_op_prepare(op, &request, &err), &err);
    TR_CHECK_OK(tr_op_submit(op, sink, &err), &err);
    return op;
}

static tr_op_t *
start(tr_session_t *session, const char *path, bool written, tr_sink_t *sink)
{
    return start_with(session, path, written, sink, TR_OP_STREAM, NULL);
}

/* Takes what is ready. False: wrong bytes. *at counts. */
static tr_code_t
take(tr_op_t *op, size_t *at, bool *ok)
{
    uint8_t part[8192];
    size_t ready;
    tr_err_t err = TR_ERR_INIT;
    tr_code_t code = tr_op_read_fill(op, &ready, 1, false, &err);
    if (code == TR_OK) {
        size_t len = TR_MIN(ready, sizeof(part));
        tr_op_read_take(op, part, len);
        for (size_t i = 0; i < len; i++) {
            *ok = *ok && part[i] == byte_at(*at + i);
        }
        *at += len;
    }
    return code;
}

/* Reads a blocking op to its end; its last code. */
static tr_code_t
read_all(tr_op_t *op, size_t *out_len, bool *ok, bool slow)
{
    size_t at = 0, rested = 0;
    tr_code_t code = TR_OK;
    *ok = true;
    while (!tr_op_is_answered(op) && !tr_op_is_done(op)) {
        (void)tr_op_wait(op, WAIT_NS);
    }
    while (code == TR_OK || code == TR_AGAIN) {
        code = take(op, &at, ok);
        if (code == TR_AGAIN) {
            (void)tr_op_wait(op, WAIT_NS);
        } else if (slow && at > rested + 400000) {
            struct timespec ts = {0, 5000000}; /* longer than the I/O thread's patience: it drives meanwhile */
            (void)nanosleep(&ts, NULL);
            rested = at;
        }
    }
    *out_len = at;
    return code;
}

TR_TEST(flow_read, "/client/flow/blocking_reader")
{
    tr_session_t *session = begin();
    for (int slow = 0; slow < 2; slow++) {
        size_t len;
        bool ok;
        tr_op_t *op = start(session, "5000001", false, NULL);
        TR_CHECK_INT(read_all(op, &len, &ok, slow != 0), TR_EOF);
        TR_CHECK(ok);
        TR_CHECK_INT(len, 5000001);
        tr_op_unref(op);
    }
    finish(session);
}

TR_TEST(flow_truncated, "/client/flow/truncated_body")
{
    tr_session_t *session = begin();
    size_t len;
    bool ok;
    tr_op_t *op = start(session, "cut", false, NULL);
    TR_CHECK_INT(read_all(op, &len, &ok, false), TR_ERR_BODY_TRUNCATED);
    TR_CHECK(ok && len >= 49000);
    tr_op_unref(op);
    finish(session);
}

TR_TEST(flow_ends, "/client/flow/cancel_close_and_stop_with_readers")
{
    for (int how = 0; how < 3; how++) {
        static const tr_code_t codes[] = {TR_ERR_CANCELLED, TR_ERR_CLIENT_CLOSED, TR_ERR_CANCELLED};
        tr_session_t *session = begin();
        tr_op_t *op = start(session, "100000000", false, NULL);
        size_t len = 0;
        bool ok = true;
        while (len < 3000000) {
            if (!tr_op_is_answered(op) || take(op, &len, &ok) == TR_AGAIN) {
                (void)tr_op_wait(op, WAIT_NS);
            }
        }
        if (how == 0) {
            tr_op_cancel(op);
        } else if (how == 1) {
            tr_session_close(session);
        } else {
            tr_engine_stop(false);
        }
        tr_code_t code = TR_OK;
        while (code == TR_OK || code == TR_AGAIN) {
            code = take(op, &len, &ok);
            if (code == TR_AGAIN) {
                (void)tr_op_wait(op, WAIT_NS);
            }
        }
        TR_CHECK(ok);
        TR_CHECK_INT(code, codes[how]);
        tr_op_unref(op);
        finish(session);
    }
}

TR_TEST(flow_upload, "/client/flow/blocking_writer")
{
    tr_session_t *session = begin();
    static uint8_t block[100000];
    tr_err_t err = TR_ERR_INIT;
    size_t written = 0;
    uint32_t pass;
    tr_op_t *op = start(session, "sum", true, NULL);
    while (!tr_op_is_done(op)) {
        while (tr_op_wants_body(op, &pass)) {
            if (written < 20000000) {
                TR_CHECK_INT(tr_op_write(op, pass, tr_slice(block, sizeof(block)), &err), TR_OK);
                written += sizeof(block);
            } else {
                TR_CHECK_INT(tr_op_write_end(op, pass, &err), TR_OK);
            }
        }
        (void)tr_op_wait(op, WAIT_NS);
    }
    TR_CHECK(tr_op_error(op) == NULL);
    TR_CHECK_INT(tr_op_body_sent(op), 20000000);
    tr_op_unref(op);
    finish(session);
}

typedef struct job {
    pthread_t thread;
    tr_session_t *session;
    bool ok;
} job_t;

static void *
read_some(void *arg)
{
    job_t *job = arg;
    job->ok = true;
    for (int i = 0; i < 3; i++) {
        size_t len;
        bool same;
        tr_op_t *op = start(job->session, "1500000", false, NULL);
        tr_code_t code = read_all(op, &len, &same, i == 1);
        job->ok = job->ok && code == TR_EOF && same && len == 1500000;
        tr_op_unref(op);
    }
    return NULL;
}

/* Several blocking readers and one consumer of a sink at once: the drive changes hands all the time. */
TR_TEST(flow_threads, "/client/flow/readers_in_threads")
{
    enum { NUM_OPS = 6, NUM_JOBS = 3 };
    tr_session_t *session = begin();
    tr_err_t err = TR_ERR_INIT;
    tr_sink_t *sink;
    job_t jobs[NUM_JOBS];
    tr_op_t *ops[NUM_OPS];
    size_t at[NUM_OPS] = {0}, num_done = 0;
    bool ok = true;
    TR_CHECK_OK(tr_sink_new(&sink, &err), &err);
    for (size_t i = 0; i < NUM_JOBS; i++) {
        jobs[i].session = session;
        TR_CHECK(pthread_create(&jobs[i].thread, NULL, read_some, &jobs[i]) == 0);
    }
    for (size_t i = 0; i < NUM_OPS; i++) {
        ops[i] = start(session, "1500000", false, sink);
    }
    while (num_done < NUM_OPS) {
        struct pollfd fd = {tr_sink_fd(sink), POLLIN, 0};
        TR_CHECK(poll(&fd, 1, 10000) == 1);
        tr_op_t *events[4], *done[4];
        size_t num_events;
        size_t num = tr_sink_take_all(sink, events, 4, &num_events, done, 4);
        num_done += num;
        for (size_t i = 0; i < num_events; i++) {
            tr_op_unref(events[i]);
        }
        for (size_t i = 0; i < num; i++) {
            tr_op_unref(done[i]);
        }
        for (size_t i = 0; i < NUM_OPS; i++) {
            while (tr_op_is_answered(ops[i]) && take(ops[i], &at[i], &ok) == TR_OK) {
            }
        }
    }
    for (size_t i = 0; i < NUM_OPS; i++) {
        while (take(ops[i], &at[i], &ok) == TR_OK) {
        }
        ok = ok && at[i] == 1500000 && tr_op_error(ops[i]) == NULL;
        tr_op_unref(ops[i]);
    }
    for (size_t i = 0; i < NUM_JOBS; i++) {
        (void)pthread_join(jobs[i].thread, NULL);
        ok = ok && jobs[i].ok;
    }
    tr_sink_free(sink);
    TR_CHECK(ok);
    finish(session);
}

/* ------------------------------------------------------------------------------------------------------------ into a file */

/* How many bytes of the pattern the file has; -1: something else is in it. */
static int64_t
pattern_in(int fd)
{
    uint8_t part[8192];
    size_t at = 0;
    for (;;) {
        ssize_t got = pread(fd, part, sizeof(part), (off_t)at);
        if (got <= 0) {
            return got < 0 ? -1 : (int64_t)at;
        }
        for (size_t i = 0; i < (size_t)got; i++) {
            if (part[i] != byte_at(at + i)) {
                return -1;
            }
        }
        at += (size_t)got;
    }
}

static void
wait_answered(tr_op_t *op)
{
    while (!tr_op_is_answered(op) && !tr_op_is_done(op)) {
        (void)tr_op_wait(op, WAIT_NS);
    }
    TR_CHECK(tr_op_is_answered(op));
}

static tr_code_t
wait_done(tr_op_t *op)
{
    while (!tr_op_is_done(op)) {
        (void)tr_op_wait(op, WAIT_NS);
    }
    return tr_op_error(op) == NULL ? TR_OK : tr_op_error(op)->code;
}

static tr_op_t *
start_held(tr_session_t *session, const char *path)
{
    return start_with(session, path, false, NULL, TR_OP_STREAM | TR_OP_TO_FILE, NULL);
}

TR_TEST(flow_to_file, "/client/flow/to_file_once_answered")
{
    static const char *paths[] = {"0", "1", "16384", "262144", "300001", "5000001"};
    tr_session_t *session = begin();
    tr_err_t err = TR_ERR_INIT;
    for (size_t i = 0; i < TR_ARRAY_LEN(paths); i++) {
        for (int late = 0; late < 2; late++) {
            tr_op_file_t file = {.fd = temporary(), .max_len = UINT64_MAX, .has_digest = true, .digest = TR_HASH_SHA256, .events = late != 0};
            tr_op_t *op = start_held(session, paths[i]);
            wait_answered(op);
            TR_CHECK_INT(tr_op_responses(op)->status, 200);
            if (late) {
                /* All of a short body is there by then, and the op waits to hear where it goes. */
                for (int turn = 0; turn < 3; turn++) {
                    (void)tr_op_wait(op, UINT64_C(20000000));
                }
                TR_CHECK(!tr_op_is_done(op));
            }
            TR_CHECK(tr_op_file_digest(op).len == 0);
            TR_CHECK_OK(tr_op_read_to_file(op, &file, &err), &err);
            TR_CHECK_INT(tr_op_read_to_file(op, &file, &err), TR_ERR_INVALID_ARGUMENT);
            size_t ready;
            TR_CHECK_INT(tr_op_read_fill(op, &ready, 1, false, &err), TR_ERR_INVALID_ARGUMENT);
            TR_CHECK_INT(wait_done(op), TR_OK);
            TR_CHECK_INT(tr_op_file_wait(op, 0), TR_OK);
            TR_CHECK_INT(pattern_in(file.fd), strtoll(paths[i], NULL, 10));
            TR_CHECK_INT(tr_op_file_written(op), strtoll(paths[i], NULL, 10));
            TR_CHECK_INT(tr_op_file_digest(op).len, 32);
            tr_op_unref(op);
            (void)close(file.fd);
        }
    }
    finish(session);
    TR_CHECK(nothing_open());
}

TR_TEST(flow_whole_to_file, "/client/flow/to_file_as_a_whole")
{
    tr_session_t *session = begin();
    for (int again = 0; again < 2; again++) {
        tr_op_file_t file = {.fd = temporary(), .max_len = UINT64_MAX, .block = 1000, .tail = TR_SLICE_LIT("")};
        tr_op_t *op = start_with(session, "3000001", false, NULL, 0, &file);
        TR_CHECK_INT(wait_done(op), TR_OK);
        TR_CHECK(!tr_op_is_answered(op));
        TR_CHECK(tr_op_responses(op)->next == NULL);
        TR_CHECK_INT(tr_op_responses(op)->status, 200);
        TR_CHECK_INT(tr_op_responses(op)->body_len, 0);
        TR_CHECK_INT(pattern_in(file.fd), 3000001);
        tr_op_unref(op);
        (void)close(file.fd);
    }
    /* A body that is written up at the same time. */
    static uint8_t block[100000];
    tr_err_t err = TR_ERR_INIT;
    tr_op_file_t file = {.fd = temporary(), .max_len = UINT64_MAX};
    tr_op_t *op = start_with(session, "sum", true, NULL, 0, &file);
    size_t written = 0;
    uint32_t pass;
    while (!tr_op_is_done(op)) {
        while (tr_op_wants_body(op, &pass)) {
            TR_CHECK_INT(written < 3000000 ? tr_op_write(op, pass, tr_slice(block, sizeof(block)), &err) : tr_op_write_end(op, pass, &err), TR_OK);
            written += sizeof(block);
        }
        (void)tr_op_wait(op, WAIT_NS);
    }
    char text[16] = "";
    TR_CHECK(tr_op_error(op) == NULL);
    TR_CHECK_INT(pread(file.fd, text, sizeof(text), 0), 7);
    TR_CHECK(strtol(text, NULL, 10) >= 3000000); /* with its chunks' heads */
    tr_op_unref(op);
    (void)close(file.fd);
    finish(session);
    TR_CHECK(nothing_open());
}

TR_TEST(flow_held_read, "/client/flow/held_and_read_or_dropped")
{
    tr_session_t *session = begin();
    tr_err_t err = TR_ERR_INIT;
    for (int i = 0; i < 3; i++) {
        tr_op_file_t file = {.fd = temporary(), .max_len = UINT64_MAX};
        tr_op_t *op = start_held(session, i == 0 ? "3000001" : "100");
        size_t len;
        bool ok;
        wait_answered(op);
        if (i < 2) {
            /* Somebody reads it after all: then it is an answer as any. */
            TR_CHECK_INT(read_all(op, &len, &ok, false), TR_EOF);
            TR_CHECK(ok);
            TR_CHECK_INT(len, i == 0 ? 3000001 : 100);
            TR_CHECK_INT(wait_done(op), TR_OK);
            TR_CHECK_INT(tr_op_read_to_file(op, &file, &err), TR_ERR_INVALID_ARGUMENT);
        } else {
            tr_op_cancel(op);
            TR_CHECK_INT(wait_done(op), TR_ERR_CANCELLED);
        }
        TR_CHECK_INT(tr_op_file_wait(op, 0), TR_OK);
        tr_op_unref(op);
        (void)close(file.fd);
    }
    tr_op_file_t file = {.fd = temporary(), .max_len = UINT64_MAX};
    tr_op_t *plain = start(session, "100", false, NULL);
    wait_answered(plain);
    TR_CHECK_INT(tr_op_read_to_file(plain, &file, &err), TR_ERR_INVALID_ARGUMENT);
    tr_op_unref(plain);
    tr_op_request_t both = {.method = TR_SLICE_LIT("GET"), .url = TR_SLICE_LIT("http://a.test/"), .flags = TR_OP_STREAM, .file = &file};
    tr_op_t *op = tr_op_new(session);
    TR_CHECK(op != NULL);
    TR_CHECK_INT(tr_op_prepare(op, &both, &err), TR_ERR_INVALID_ARGUMENT);
    tr_op_unref(op);
    (void)close(file.fd);
    finish(session);
    TR_CHECK(nothing_open());
}

TR_TEST(flow_file_truncated, "/client/flow/what_came_before_the_cut_is_in_the_file")
{
    tr_session_t *session = begin();
    tr_err_t err = TR_ERR_INIT;
    for (int late = 0; late < 2; late++) {
        tr_op_file_t file = {.fd = temporary(), .max_len = UINT64_MAX};
        tr_op_t *op = start_held(session, "cut");
        wait_answered(op);
        if (late) {
            (void)wait_done(op);
        }
        TR_CHECK_OK(tr_op_read_to_file(op, &file, &err), &err);
        TR_CHECK_INT(wait_done(op), TR_ERR_BODY_TRUNCATED);
        TR_CHECK_INT(tr_op_file_wait(op, WAIT_NS), TR_OK);
        TR_CHECK(pattern_in(file.fd) >= 49000);
        TR_CHECK_INT(pattern_in(file.fd), tr_op_file_written(op));
        tr_op_unref(op);
        (void)close(file.fd);
    }
    tr_op_file_t file = {.fd = temporary(), .max_len = UINT64_MAX, .tail = TR_SLICE_LIT("tail")};
    tr_op_t *op = start_with(session, "cut", false, NULL, 0, &file);
    TR_CHECK_INT(wait_done(op), TR_ERR_BODY_TRUNCATED);
    TR_CHECK(tr_op_responses(op) == NULL);
    TR_CHECK_INT(tr_op_file_wait(op, WAIT_NS), TR_OK);
    TR_CHECK(pattern_in(file.fd) >= 49000);
    tr_op_unref(op);
    (void)close(file.fd);
    finish(session);
    TR_CHECK(nothing_open());
}

#ifdef __linux__
TR_TEST(flow_file_errors, "/client/flow/a_full_disk_ends_the_op")
{
    static const char *paths[] = {"1", "300000", "100000000"};
    tr_session_t *session = begin();
    tr_err_t err = TR_ERR_INIT;
    for (size_t i = 0; i < TR_ARRAY_LEN(paths); i++) {
        for (int whole = 0; whole < 2; whole++) {
            tr_op_file_t file = {.fd = open("/dev/full", O_WRONLY | O_CLOEXEC), .max_len = UINT64_MAX};
            tr_op_t *op = whole ? start_with(session, paths[i], false, NULL, 0, &file) : start_held(session, paths[i]);
            if (!whole) {
                wait_answered(op);
                TR_CHECK_OK(tr_op_read_to_file(op, &file, &err), &err);
            }
            TR_CHECK_INT(wait_done(op), TR_ERR_FILE_WRITE);
            TR_CHECK_INT(tr_op_error(op)->detail, ENOSPC);
            TR_CHECK_INT(tr_op_phase(op), TR_PHASE_BODY);
            TR_CHECK_INT(tr_op_file_wait(op, 0), TR_OK);
            TR_CHECK_INT(tr_op_file_written(op), 0);
            tr_op_unref(op);
            (void)close(file.fd);
        }
    }
    tr_op_file_t limited = {.fd = temporary(), .max_len = 1000};
    tr_op_t *op = start_with(session, "100000000", false, NULL, 0, &limited);
    TR_CHECK_INT(wait_done(op), TR_ERR_BODY_LIMIT);
    TR_CHECK_INT(pattern_in(limited.fd), 1000);
    tr_op_unref(op);
    (void)close(limited.fd);
    finish(session);
    TR_CHECK(nothing_open());
}
#endif

/* An op whose file is a pipe that nobody reads: it hangs in a write, paused. fds: the pipe, to be closed. */
static tr_op_t *
hanging(tr_session_t *session, int fds[2], uint32_t flags, uint32_t total_ms)
{
    tr_err_t err = TR_ERR_INIT;
    TR_CHECK(pipe(fds) == 0);
    tr_op_file_t file = {.fd = fds[1], .max_len = UINT64_MAX};
    char url[64];
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/100000000", site.port);
    tr_op_request_t request = {.method = TR_SLICE_LIT("GET"), .url = tr_slice_cstr(url), .flags = flags, .file = &file};
    request.timeouts.total_ms = total_ms;
    tr_op_t *op = tr_op_new(session);
    TR_CHECK(op != NULL);
    TR_CHECK_OK(tr_op_prepare(op, &request, &err), &err);
    TR_CHECK_OK(tr_op_submit(op, NULL, &err), &err);
    (void)close(fds[1]);
    struct pollfd reader = {fds[0], POLLIN, 0};
    for (int i = 0; i < 200 && poll(&reader, 1, 0) == 0; i++) {
        (void)tr_op_wait(op, WAIT_NS);
    }
    TR_CHECK_INT(poll(&reader, 1, 0), 1);
    return op;
}

TR_TEST(flow_file_ends, "/client/flow/ended_while_a_write_hangs")
{
    static const tr_code_t codes[] = {TR_ERR_CANCELLED, TR_ERR_CLIENT_CLOSED, TR_ERR_CANCELLED, TR_ERR_TIMEOUT_TOTAL};
    for (int how = 0; how < 4; how++) {
        int fds[2];
        tr_session_t *session = begin();
        tr_op_t *op = hanging(session, fds, 0, how == 3 ? 400 : 0);
        if (how == 0) {
            tr_op_cancel(op);
        } else if (how == 1) {
            tr_session_close(session);
        } else if (how == 2) {
            tr_engine_stop(false);
        }
        TR_CHECK_INT(wait_done(op), codes[how]);
        TR_CHECK_INT(tr_op_file_wait(op, UINT64_C(10000000)), TR_AGAIN);
        TR_CHECK_INT(tr_file__num_open(), 1);
        tr_op_unref(op);
        finish(session);
        /* The worker is alone, and goes when the call lets it. */
        TR_CHECK_INT(tr_file__num_open(), 1);
        (void)close(fds[0]);
        TR_CHECK(nothing_open());
    }
}

TR_TEST(flow_file_stall, "/client/flow/a_slow_file_is_no_stall_of_the_server")
{
    int fds[2];
    tr_session_t *session = begin();
    tr_op_t *op = hanging(session, fds, TR_OP_STALL_LIMIT, 200);
    for (int i = 0; i < 10; i++) {
        (void)tr_op_wait(op, WAIT_NS); /* 50 ms each */
    }
    TR_CHECK(!tr_op_is_done(op));
    (void)close(fds[0]);
    TR_CHECK_INT(wait_done(op), TR_ERR_FILE_WRITE);
    TR_CHECK_INT(tr_op_error(op)->detail, EPIPE);
    tr_op_unref(op);
    finish(session);
    TR_CHECK(nothing_open());
}

TR_TEST(flow_file_fork, "/client/flow/a_forked_child_leaves_the_file_alone")
{
    int fds[2];
    tr_session_t *session = begin();
    tr_op_t *op = hanging(session, fds, 0, 0);
    pid_t child = fork();
    if (child == 0) {
        bool good = tr_file__num_open() == 0 && tr_op_is_done(op) && tr_op_error(op)->code == TR_ERR_CANCELLED;
        good = good && tr_op_file_wait(op, 0) == TR_OK;
        tr_op_unref(op);
        _exit(good ? 0 : 1);
    }
    int status = -1;
    TR_CHECK(child > 0 && waitpid(child, &status, 0) == child);
    TR_CHECK_INT(status, 0);
    TR_CHECK_INT(tr_file__num_open(), 1);
    tr_op_cancel(op);
    TR_CHECK_INT(wait_done(op), TR_ERR_CANCELLED);
    tr_op_unref(op);
    finish(session);
    (void)close(fds[0]);
    TR_CHECK(nothing_open());
}

static void *
save_some(void *arg)
{
    job_t *job = arg;
    tr_err_t err = TR_ERR_INIT;
    job->ok = true;
    for (int i = 0; i < 4; i++) {
        tr_op_file_t file = {.fd = temporary(), .max_len = UINT64_MAX, .has_digest = i == 1, .digest = TR_HASH_SHA512, .events = i == 2};
        tr_op_t *op = i == 3 ? start_with(job->session, "1500000", false, NULL, 0, &file) : start_held(job->session, "1500000");
        if (i < 3) {
            while (!tr_op_is_answered(op) && !tr_op_is_done(op)) {
                (void)tr_op_wait(op, WAIT_NS);
            }
            job->ok = job->ok && tr_op_read_to_file(op, &file, &err) == TR_OK;
        }
        uint64_t before = 0;
        while (!tr_op_is_done(op)) {
            uint64_t now = tr_op_file_written(op);
            job->ok = job->ok && now >= before;
            before = now;
            if (i == 0 && now > 700000) {
                tr_op_cancel(op);
            }
            (void)tr_op_wait(op, WAIT_NS);
        }
        int64_t len = tr_op_file_wait(op, WAIT_NS) == TR_OK ? pattern_in(file.fd) : -2;
        job->ok = job->ok && (tr_op_error(op) == NULL ? len == 1500000 : i == 0 && len >= 0);
        tr_op_unref(op);
        (void)close(file.fd);
    }
    return NULL;
}

/* Blocking callers and a sink, all with files: loop, workers and callers hand over to each other all the time. */
TR_TEST(flow_file_threads, "/client/flow/files_in_threads")
{
    enum { NUM_OPS = 6, NUM_JOBS = 3 };
    tr_session_t *session = begin();
    tr_err_t err = TR_ERR_INIT;
    tr_sink_t *sink;
    job_t jobs[NUM_JOBS];
    tr_op_t *ops[NUM_OPS];
    tr_op_file_t files[NUM_OPS];
    bool given[NUM_OPS] = {false};
    size_t num_done = 0, num_events = 0;
    bool ok = true;
    TR_CHECK_OK(tr_sink_new(&sink, &err), &err);
    for (size_t i = 0; i < NUM_JOBS; i++) {
        jobs[i].session = session;
        TR_CHECK(pthread_create(&jobs[i].thread, NULL, save_some, &jobs[i]) == 0);
    }
    for (size_t i = 0; i < NUM_OPS; i++) {
        files[i] = (tr_op_file_t){.fd = temporary(), .max_len = UINT64_MAX, .events = true};
        ops[i] = start_with(session, i == 0 ? "10" : "1500000", false, sink, TR_OP_STREAM | TR_OP_TO_FILE, NULL);
    }
    while (num_done < NUM_OPS) {
        struct pollfd fd = {tr_sink_fd(sink), POLLIN, 0};
        TR_CHECK(poll(&fd, 1, 10000) == 1);
        tr_op_t *events[4], *done[4];
        size_t num_here;
        size_t num = tr_sink_take_all(sink, events, 4, &num_here, done, 4);
        num_done += num;
        num_events += num_here;
        for (size_t i = 0; i < num_here; i++) {
            tr_op_unref(events[i]);
        }
        for (size_t i = 0; i < num; i++) {
            tr_op_unref(done[i]);
        }
        for (size_t i = 0; i < NUM_OPS; i++) {
            if (!given[i] && tr_op_is_answered(ops[i])) {
                given[i] = true;
                ok = ok && tr_op_read_to_file(ops[i], &files[i], &err) == TR_OK;
            }
        }
    }
    for (size_t i = 0; i < NUM_OPS; i++) {
        ok = ok && tr_op_error(ops[i]) == NULL && pattern_in(files[i].fd) == (i == 0 ? 10 : 1500000);
        tr_op_unref(ops[i]);
        (void)close(files[i].fd);
    }
    for (size_t i = 0; i < NUM_JOBS; i++) {
        (void)pthread_join(jobs[i].thread, NULL);
        ok = ok && jobs[i].ok;
    }
    tr_sink_free(sink);
    TR_CHECK(ok);
    TR_CHECK(num_events > NUM_OPS);
    finish(session);
    TR_CHECK(nothing_open());
}

TR_TEST_OOM(flow_file_prepare, "/client/flow/prepared_with_a_file")
{
    tr_err_t err = TR_ERR_INIT;
    tr_session_t *session;
    tr_op_file_t file = {.fd = open("/dev/null", O_WRONLY | O_CLOEXEC), .max_len = UINT64_MAX, .tail = TR_SLICE_LIT("tail")};
    tr_op_request_t request = {.method = TR_SLICE_LIT("GET"), .url = TR_SLICE_LIT("http://a.test/"), .file = &file};
    TR_CHECK(file.fd >= 0);
    if (tr_session_new(&session, NULL, &err) == TR_OK) {
        tr_op_t *op = tr_op_new(session);
        if (op != NULL) {
            tr_code_t code = tr_op_prepare(op, &request, &err);
            TR_CHECK(code == TR_OK || (code == TR_ERR_NOMEM && tr_test_oom_running()));
            TR_CHECK(code != TR_OK || tr_file__num_open() == 1);
            tr_op_unref(op);
        }
        TR_CHECK_INT(tr_file__num_open(), 0);
        (void)close(file.fd);
        file.fd = -1;
        op = tr_op_new(session);
        if (op != NULL) {
            tr_code_t code = tr_op_prepare(op, &request, &err);
            TR_CHECK(code == TR_ERR_FILE_WRITE || (code == TR_ERR_NOMEM && tr_test_oom_running()));
            TR_CHECK(code != TR_ERR_FILE_WRITE || err.detail == EBADF);
            tr_op_unref(op);
        }
        tr_session_unref(session);
    }
    if (file.fd >= 0) {
        (void)close(file.fd);
    }
    TR_CHECK_INT(tr_file__num_open(), 0);
}
