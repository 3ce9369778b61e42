/* file: bodies that a worker writes, without a network: a loop and a pool of the test's own, and descriptors that fill, fail, hang and
 * tell where one write ends. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/file.h"
#include "core/limits.h"
#include "test_client_files.h"
#include "tr_test.h"

#define SECOND UINT64_C(1000000000)

static tr_op_file_t
spec_of(int fd)
{
    return (tr_op_file_t){.fd = fd, .max_len = UINT64_MAX};
}

/* ------------------------------------------------------------------------------------------------------------- a writer */

typedef struct rig {
    tr_loop_t *loop;
    tr_workers_t *workers;
    tr_file_t *file;
    bool done;
    tr_err_t err; /* what done said */
    size_t num_room, num_moved;
    uint64_t moved_to;
    bool leaves;  /* in moved */
    bool stuck;   /* a worker stays behind */
    int64_t live; /* blocks before */
} rig_t;

static void
on_room(void *arg)
{
    ((rig_t *)arg)->num_room++;
}

static void
on_moved(void *arg)
{
    rig_t *rig = arg;
    uint64_t now = tr_file__written(rig->file);
    TR_CHECK(now > rig->moved_to);
    rig->moved_to = now;
    rig->num_moved++;
    if (rig->leaves) {
        tr_file__leave(rig->file, false);
    }
}

static void
on_done(void *arg, const tr_err_t *err)
{
    rig_t *rig = arg;
    TR_CHECK(!rig->done);
    rig->done = true;
    rig->err = err == NULL ? TR_ERR_INIT : *err;
    TR_CHECK_INT(tr_file__wait(rig->file, 0), TR_OK);
}

static atomic_uint num_busy; /* outlives whoever hangs */
static const tr_file_events_t events = {on_room, on_moved, on_done};

static void
rig_free(rig_t *rig)
{
    tr_file__unref(rig->file);
    tr_workers_free(rig->workers);
    tr_loop_free(rig->loop);
    rig->file = NULL;
    rig->workers = NULL;
    rig->loop = NULL;
    /* Threads that wait for a job leave the pool now, and the last of them frees it. */
    for (int i = 0; i < 2000 && !rig->stuck && tr_mem_live() > rig->live; i++) {
        struct timespec ts = {0, 5000000};
        (void)nanosleep(&ts, NULL);
    }
    TR_CHECK(rig->stuck || (tr_mem_live() <= rig->live && atomic_load(&num_busy) == 0));
}

/* False: no memory. The decoder is taken over in any case. live: blocks before it was made. */
static bool
rig_make_coded(rig_t *rig, const tr_op_file_t *spec, tr_decoder_t *decoder, int64_t live)
{
    tr_err_t err = TR_ERR_INIT;
    tr_bufq_t none;
    *rig = (rig_t){.err = TR_ERR_INIT, .live = live};
    tr_bufq_init(&none, 0);
    if (tr_loop_new(&rig->loop, &err) != TR_OK || tr_workers_new(&rig->workers, rig->loop, 4, SECOND, &err) != TR_OK ||
        tr_file__new(&rig->file, spec, &err) != TR_OK) {
        TR_CHECK(tr_test_oom_running());
        tr_decoder_free(decoder);
        rig_free(rig);
        return false;
    }
    tr_file_shop_t shop = {rig->loop, rig->workers, &num_busy};
    tr_file__start(rig->file, &shop, decoder, 0, &none, &events, rig);
    return true;
}

static bool
rig_make(rig_t *rig, const tr_op_file_t *spec)
{
    return rig_make_coded(rig, spec, NULL, tr_mem_live());
}

/* Turns the loop until the condition holds; false after ten seconds. */
#define RUN_UNTIL(rig, cond)                                                                                                                       \
    do {                                                                                                                                           \
        uint64_t until_ = tr_loop_update((rig)->loop) + 10 * SECOND;                                                                               \
        while (!(cond) && tr_loop_now((rig)->loop) < until_) {                                                                                     \
            tr_loop_run_once((rig)->loop, SECOND / 50);                                                                                            \
        }                                                                                                                                          \
        TR_CHECK(cond);                                                                                                                            \
    } while (0)

static tr_decoder_t *
gunzip(void)
{
    tr_decoder_t *decoder = NULL;
    bool unknown;
    tr_err_t err = TR_ERR_INIT;
    tr_decoder_limits_t limits = {0, UINT64_C(64) << 20, 200};
    tr_code_t code = tr_decoder_new(&decoder, &unknown, TR_SLICE_LIT("gzip"), &limits, &err);
    TR_CHECK(code == TR_OK || (code == TR_ERR_NOMEM && tr_test_oom_running()));
    return decoder;
}

/* What the file has is `before`, then the body, then the tail. */
static void
check_content(int fd, tr_slice_t before, tr_slice_t body, tr_slice_t tail)
{
    static uint8_t got[1 << 16];
    ssize_t len = pread(fd, got, sizeof(got), 0);
    TR_CHECK_INT(len, before.len + body.len + tail.len);
    TR_CHECK(before.len == 0 || memcmp(got, before.data, before.len) == 0);
    TR_CHECK(body.len == 0 || memcmp(got + before.len, body.data, body.len) == 0);
    TR_CHECK(tail.len == 0 || memcmp(got + before.len + body.len, tail.data, tail.len) == 0);
}

/* Feeds `sent` in two parts, the second when the loop had a turn; TR_OK: `body` is in the file, with what the spec asks for. */
static tr_code_t
feed(const tr_op_file_t *wanted, bool coded, tr_slice_t sent, size_t split, tr_slice_t body)
{
    static const char before[] = "before";
    tr_op_file_t spec = *wanted;
    rig_t rig;
    tr_code_t code = TR_OK;
    spec.fd = temporary();
    TR_CHECK(write(spec.fd, before, sizeof(before)) == sizeof(before));
    int64_t live = tr_mem_live();
    tr_decoder_t *decoder = coded ? gunzip() : NULL;
    if ((coded && decoder == NULL) || !rig_make_coded(&rig, &spec, decoder, live)) {
        (void)close(spec.fd);
        return TR_ERR_NOMEM;
    }
    for (int part = 0; part < 2 && code == TR_OK; part++) {
        tr_slice_t data = part == 0 ? tr_slice(sent.data, split) : tr_slice(sent.data + split, sent.len - split);
        code = data.len == 0 ? TR_OK : tr_file__data(rig.file, data, NULL);
        tr_loop_run_once(rig.loop, 0);
    }
    if (code == TR_OK) {
        tr_file__end(rig.file);
        RUN_UNTIL(&rig, rig.done);
        code = rig.err.code;
    } else {
        tr_file__leave(rig.file, false);
        RUN_UNTIL(&rig, tr_file__wait(rig.file, 0) == TR_OK);
    }
    if (code == TR_OK) {
        check_content(spec.fd, tr_slice(before, sizeof(before)), body, spec.tail);
        TR_CHECK_INT(tr_file__written(rig.file), body.len);
        if (spec.has_digest) {
            uint8_t whole[8192], digest[TR_HASH_MAX];
            memcpy(whole, before, spec.digest_first);
            memcpy(whole + spec.digest_first, body.data, body.len);
            TR_CHECK_INT(tr_hash_once(spec.digest, digest, tr_slice(whole, spec.digest_first + body.len)), TR_OK);
            TR_CHECK_INT(tr_file__digest(rig.file).len, tr_hash_len(spec.digest));
            TR_CHECK_MEM(tr_file__digest(rig.file).data, digest, tr_hash_len(spec.digest));
        }
    }
    rig_free(&rig);
    (void)close(spec.fd);
    TR_CHECK(nothing_open());
    return code;
}

TR_TEST_OOM(file_split, "/client/file/split_everywhere")
{
    uint8_t body[1500], sent[1600];
    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = (uint8_t)(i % 17 < 9 ? 'a' : byte_at(i));
    }
    size_t len = gzip_of(sent, sizeof(sent), body, sizeof(body));
    size_t step = tr_test_oom_running() ? len / 2 : 1;
    for (size_t split = 0; split <= len; split += step) {
        tr_op_file_t spec = {.max_len = split % 2 == 0 ? UINT64_MAX : sizeof(body), .block = split % 3 * 7};
        spec.tail = split % 5 == 0 ? TR_SLICE_LIT("tail") : TR_SLICE_NULL;
        spec.has_digest = split % 4 < 2;
        spec.digest = split % 8 == 0 ? TR_HASH_SHA512 : TR_HASH_SHA256;
        spec.digest_first = split % 6;
        for (int coded = 0; coded < 2; coded++) {
            tr_slice_t in = coded ? tr_slice(sent, len) : tr_slice(body, sizeof(body));
            tr_code_t code = feed(&spec, coded != 0, in, TR_MIN(split, in.len), tr_slice(body, sizeof(body)));
            if (tr_test_oom_running() && code != TR_OK) {
                TR_CHECK(code == TR_ERR_NOMEM || code == TR_ERR_SYSTEM || code == TR_ERR_INTERNAL || code == TR_ERR_BODY_CODING);
                return;
            }
            TR_CHECK_INT(code, TR_OK);
        }
    }
}

TR_TEST(file_cut, "/client/file/cut_coding_at_each_byte")
{
    uint8_t body[300], sent[400];
    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = byte_at(i);
    }
    tr_op_file_t spec = spec_of(-1);
    size_t len = gzip_of(sent, sizeof(sent), body, sizeof(body));
    for (size_t cut = 1; cut < len; cut++) {
        TR_CHECK_INT(feed(&spec, true, tr_slice(sent, cut), cut / 2, tr_slice(body, sizeof(body))), TR_ERR_BODY_CODING);
    }
}

TR_TEST(file_empty, "/client/file/empty_body")
{
    tr_op_file_t spec = spec_of(-1);
    spec.has_digest = true;
    spec.digest = TR_HASH_SHA256;
    spec.tail = TR_SLICE_LIT("end");
    TR_CHECK_INT(feed(&spec, false, TR_SLICE_NULL, 0, TR_SLICE_LIT("")), TR_OK);
    TR_CHECK_INT(feed(&spec, true, TR_SLICE_NULL, 0, TR_SLICE_LIT("")), TR_OK);
}

TR_TEST(file_limit, "/client/file/nothing_beyond_the_limit")
{
    uint8_t body[64];
    memset(body, 'x', sizeof(body));
    for (uint64_t max = 0; max < 70; max += 3) {
        for (size_t block = 0; block < 12; block += 5) {
            rig_t rig;
            tr_op_file_t spec = spec_of(temporary());
            spec.max_len = max;
            spec.block = block;
            TR_CHECK(rig_make(&rig, &spec));
            TR_CHECK_INT(tr_file__data(rig.file, tr_slice(body, sizeof(body)), NULL), TR_OK);
            tr_file__end(rig.file);
            RUN_UNTIL(&rig, rig.done);
            TR_CHECK_INT(rig.err.code, max < sizeof(body) ? TR_ERR_BODY_LIMIT : TR_OK);
            TR_CHECK_INT(lseek(spec.fd, 0, SEEK_END), TR_MIN(max, sizeof(body)));
            rig_free(&rig);
            (void)close(spec.fd);
        }
    }
}

/* --------------------------------------------------------------------------------------------------- descriptors that fail */

/* Writes len bytes to fd; what done said. */
static tr_err_t
write_to(const tr_op_file_t *spec, size_t len)
{
    static uint8_t block[65536];
    rig_t rig;
    TR_CHECK(rig_make(&rig, spec));
    for (size_t at = 0; at < len && !rig.done; at += sizeof(block)) {
        tr_code_t code = tr_file__data(rig.file, tr_slice(block, TR_MIN(sizeof(block), len - at)), NULL);
        size_t rooms = rig.num_room;
        if (code == TR_PAUSED) {
            RUN_UNTIL(&rig, rig.num_room > rooms || rig.done);
        } else {
            TR_CHECK_INT(code, TR_OK);
        }
    }
    if (!rig.done) {
        tr_file__end(rig.file);
        RUN_UNTIL(&rig, rig.done);
    }
    tr_err_t err = rig.err;
    /* After a failure nothing is taken and nothing is told any more. */
    TR_CHECK_INT(tr_file__data(rig.file, tr_slice(block, 10), NULL), TR_OK);
    tr_file__leave(rig.file, true);
    tr_loop_run_once(rig.loop, 0);
    rig_free(&rig);
    TR_CHECK(nothing_open());
    return err;
}

TR_TEST(file_errors, "/client/file/system_errors")
{
#ifdef __linux__
    tr_op_file_t full = spec_of(open("/dev/full", O_WRONLY | O_CLOEXEC));
    TR_CHECK(full.fd >= 0);
    for (size_t len = 1; len < 5000000; len = len * 7 + 1) {
        tr_err_t err = write_to(&full, len);
        TR_CHECK_INT(err.code, TR_ERR_FILE_WRITE);
        TR_CHECK_INT(err.detail, ENOSPC);
    }
    full.tail = TR_SLICE_LIT("end"); /* of an empty body */
    TR_CHECK_INT(write_to(&full, 0).detail, ENOSPC);
    (void)close(full.fd);
#endif
    /* A limit on files' sizes: what fits is written, the rest is EFBIG; its signal stays in the worker. */
    struct rlimit before, low;
    tr_op_file_t limited = spec_of(temporary());
    TR_CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    low = before;
    low.rlim_cur = 1000000;
    TR_CHECK(setrlimit(RLIMIT_FSIZE, &low) == 0);
    tr_err_t err = write_to(&limited, 3000000);
    TR_CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    TR_CHECK_INT(err.code, TR_ERR_FILE_WRITE);
    TR_CHECK_INT(err.detail, EFBIG);
    TR_CHECK_INT(lseek(limited.fd, 0, SEEK_END), 1000000);
    (void)close(limited.fd);
    /* Nobody reads the pipe any more. */
    int ends[2];
    TR_CHECK(pipe(ends) == 0);
    tr_op_file_t broken = spec_of(ends[1]);
    (void)close(ends[0]);
    TR_CHECK_INT(write_to(&broken, 10).detail, EPIPE);
    (void)close(ends[1]);
    /* What stands in the file and belongs to the digest cannot be read, or is less than was said. */
    tr_op_file_t blind = spec_of(open("/dev/null", O_WRONLY | O_CLOEXEC));
    blind.has_digest = true;
    blind.digest_first = 1;
    TR_CHECK_INT(write_to(&blind, 10).detail, EBADF);
    (void)close(blind.fd);
    tr_op_file_t shorter = spec_of(temporary());
    shorter.has_digest = true;
    shorter.digest_first = 1;
    TR_CHECK_INT(write_to(&shorter, 10).detail, EIO);
    (void)close(shorter.fd);
}

TR_TEST_OOM(file_refused, "/client/file/refused_at_once")
{
    tr_err_t err = TR_ERR_INIT;
    tr_file_t *file = NULL;
    tr_op_file_t spec = spec_of(-1);
    TR_CHECK_INT(tr_file__new(&file, &spec, &err), TR_ERR_FILE_WRITE);
    TR_CHECK_INT(err.detail, EBADF);
    spec.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    TR_CHECK_INT(tr_file__new(&file, &spec, &err), TR_ERR_FILE_WRITE);
    (void)close(spec.fd);
    spec.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    spec.block = TR_FILE_MAX_BLOCK + 1;
    TR_CHECK_INT(tr_file__new(&file, &spec, &err), TR_ERR_INVALID_ARGUMENT);
    spec.block = 0;
    spec.tail = tr_slice("", TR_FILE_MAX_TAIL + 1);
    TR_CHECK_INT(tr_file__new(&file, &spec, &err), TR_ERR_INVALID_ARGUMENT);
    spec.tail = TR_SLICE_LIT("end");
    if (tr_file__new(&file, &spec, &err) == TR_OK) {
        /* The caller's may go at once; one that was not started is closed by who lets go. */
        (void)close(spec.fd);
        TR_CHECK_INT(tr_file__wait(file, 0), TR_AGAIN);
        tr_file__close(file);
        TR_CHECK_INT(tr_file__wait(file, 0), TR_OK);
        tr_file__unref(file);
    } else {
        TR_CHECK(tr_test_oom_running());
        (void)close(spec.fd);
    }
    TR_CHECK_INT(tr_file__num_open(), 0);
}

/* ------------------------------------------------------------------------------------------------- sizes, time, back-pressure */

/* Gives the file num chunks of the pattern. */
static void
give_chunks(tr_file_t *file, size_t *sent, size_t num, size_t len)
{
    for (size_t i = 0; i < num; i++) {
        /* Chunks of their own, so that a call has several parts. */
        tr_chunk_t *chunk = tr_chunk_new(len);
        TR_CHECK(chunk != NULL);
        for (size_t j = 0; j < len; j++) {
            chunk->data[j] = byte_at(*sent + j);
        }
        chunk->len = len;
        TR_CHECK_INT(tr_file__data(file, tr_chunk_slice(chunk), &chunk), TR_OK);
        TR_CHECK(chunk == NULL);
        *sent += len;
    }
}

/* Takes the writes up to `sent`; those that did not end at a multiple of the block. */
static size_t
odd_writes(int fd, size_t *at, size_t sent, size_t block)
{
    static uint8_t got[TR_FILE_PIECE];
    size_t odd = 0;
    while (*at < sent) {
        ssize_t n = recv(fd, got, sizeof(got), 0);
        TR_CHECK(n > 0);
        for (size_t i = 0; i < (size_t)n; i++) {
            TR_CHECK(got[i] == byte_at(*at + i));
        }
        *at += (size_t)n;
        odd += *at % block != 0;
    }
    return odd;
}

TR_TEST(file_blocks, "/client/file/whole_blocks_in_one_call")
{
    int ends[2];
    TR_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0); /* keeps the borders of writes */
    static const size_t blocks[] = {1024, 1000, 7, 16384};
    for (size_t b = 0; b < TR_ARRAY_LEN(blocks); b++) {
        rig_t rig;
        tr_op_file_t spec = spec_of(ends[1]);
        size_t sent = 0, at = 0;
        spec.block = blocks[b];
        TR_CHECK(rig_make(&rig, &spec));
        give_chunks(rig.file, &sent, 40, 701);
        RUN_UNTIL(&rig, tr_file__written(rig.file) == sent); /* what waited long enough is written as it is */
        TR_CHECK_INT(odd_writes(ends[0], &at, sent, blocks[b]), sent % blocks[b] != 0);
        give_chunks(rig.file, &sent, 90, 703); /* more parts than one call has */
        tr_file__end(rig.file);
        RUN_UNTIL(&rig, rig.done);
        TR_CHECK_INT(rig.err.code, TR_OK);
        TR_CHECK_INT(odd_writes(ends[0], &at, sent, blocks[b]), sent % blocks[b] != 0);
        rig_free(&rig);
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
}

TR_TEST(file_tiny, "/client/file/many_tiny_chunks_below_a_block")
{
    rig_t rig;
    tr_op_file_t spec = spec_of(temporary());
    spec.block = TR_FILE_MAX_BLOCK;
    TR_CHECK(rig_make(&rig, &spec));
    /* More parts than one call may have, and together more than a piece: they must not wait for a block that no call can hold. */
    size_t sent = 0;
    for (; sent < TR_FILE_PIECE + 1000; sent += 1000) {
        tr_chunk_t *chunk = tr_chunk_new(1000);
        TR_CHECK(chunk != NULL);
        memset(chunk->data, 'x', 1000);
        chunk->len = 1000;
        TR_CHECK_INT(tr_file__data(rig.file, tr_chunk_slice(chunk), &chunk), TR_OK);
    }
    RUN_UNTIL(&rig, tr_file__written(rig.file) == sent);
    tr_file__end(rig.file);
    RUN_UNTIL(&rig, rig.done);
    TR_CHECK_INT(rig.err.code, TR_OK);
    TR_CHECK_INT(lseek(spec.fd, 0, SEEK_END), sent);
    rig_free(&rig);
    (void)close(spec.fd);
}

/* Takes what a pipe has; how much. */
static size_t
empty_pipe(int fd)
{
    uint8_t got[65536];
    size_t len = 0;
    struct pollfd poller = {fd, POLLIN, 0};
    while (poll(&poller, 1, 0) > 0 && (poller.revents & POLLIN) != 0) {
        ssize_t n = read(fd, got, sizeof(got));
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
    }
    return len;
}

TR_TEST(file_pressure, "/client/file/back_pressure")
{
    static uint8_t block[16384];
    int ends[2];
    rig_t rig;
    TR_CHECK(pipe(ends) == 0);
    tr_op_file_t spec = spec_of(ends[1]);
    spec.events = true;
    TR_CHECK(rig_make(&rig, &spec));
    size_t sent = 0, got = 0;
    tr_code_t code = TR_OK;
    while (code == TR_OK && sent < (size_t)8 << 20) {
        code = tr_file__data(rig.file, tr_slice(block, sizeof(block)), NULL);
        sent += sizeof(block);
        tr_loop_run_once(rig.loop, 0);
    }
    TR_CHECK_INT(code, TR_PAUSED);
    TR_CHECK(sent <= TR_FILE_PIECE + TR_FILE_QUEUE_HIGH + sizeof(block));
    /* What comes nevertheless is taken, and nothing says that there is room. */
    TR_CHECK_INT(tr_file__data(rig.file, tr_slice(block, 1), NULL), TR_PAUSED);
    sent++;
    tr_loop_run_once(rig.loop, SECOND / 50);
    TR_CHECK_INT(rig.num_room, 0);
    RUN_UNTIL(&rig, (got += empty_pipe(ends[0])) > 0 && rig.num_room == 1);
    TR_CHECK(rig.num_moved > 0);
    TR_CHECK_INT(tr_file__data(rig.file, tr_slice(block, 1), NULL), TR_OK);
    sent++;
    tr_file__end(rig.file);
    RUN_UNTIL(&rig, (got += empty_pipe(ends[0])) > 0 && rig.done);
    TR_CHECK_INT(rig.err.code, TR_OK);
    TR_CHECK_INT(got + empty_pipe(ends[0]), sent);
    TR_CHECK_INT(tr_file__written(rig.file), sent);
    rig_free(&rig);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

TR_TEST(file_flush, "/client/file/what_trickles_in_is_written")
{
    int ends[2];
    rig_t rig;
    TR_CHECK(pipe(ends) == 0);
    tr_op_file_t spec = spec_of(ends[1]);
    TR_CHECK(rig_make(&rig, &spec));
    for (int i = 0; i < 3; i++) {
        TR_CHECK_INT(tr_file__data(rig.file, TR_SLICE_LIT("x"), NULL), TR_OK);
        uint64_t before = tr_loop_update(rig.loop);
        RUN_UNTIL(&rig, tr_file__written(rig.file) == (uint64_t)i + 1);
        TR_CHECK(tr_loop_update(rig.loop) - before > SECOND / 100); /* ... but not each byte by a call */
        TR_CHECK_INT(empty_pipe(ends[0]), 1);
    }
    tr_file__leave(rig.file, true);
    TR_CHECK(atomic_load(&num_busy) > 0);
    RUN_UNTIL(&rig, atomic_load(&num_busy) == 0);
    TR_CHECK_INT(tr_file__wait(rig.file, 0), TR_OK);
    TR_CHECK(!rig.done);
    rig_free(&rig);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* ------------------------------------------------------------------------------------------------------------ giving up */

TR_TEST(file_leave, "/client/file/left_at_any_moment")
{
    static uint8_t block[100000];
    for (int moment = 0; moment < 6; moment++) {
        for (int keep = 0; keep < 2; keep++) {
            rig_t rig;
            tr_op_file_t spec = spec_of(temporary());
            spec.tail = TR_SLICE_LIT("tail");
            size_t sent = 0;
            TR_CHECK(rig_make(&rig, &spec));
            for (int i = 0; i < moment; i++) {
                TR_CHECK(!tr_failed(tr_file__data(rig.file, tr_slice(block, sizeof(block)), NULL)));
                sent += sizeof(block);
                if (i % 2 == 1) {
                    tr_loop_run_once(rig.loop, 0);
                }
            }
            tr_file__leave(rig.file, keep != 0);
            tr_file__leave(rig.file, true);
            /* A job under way comes back to the loop before the last is made. */
            RUN_UNTIL(&rig, atomic_load(&num_busy) == 0);
            TR_CHECK_INT(tr_file__wait(rig.file, 0), TR_OK);
            off_t len = lseek(spec.fd, 0, SEEK_END);
            TR_CHECK_INT(len, tr_file__written(rig.file));
            TR_CHECK(keep ? (size_t)len == sent : (size_t)len <= sent);
            TR_CHECK(!rig.done && rig.num_room == 0);
            rig_free(&rig);
            (void)close(spec.fd);
            TR_CHECK(nothing_open());
        }
    }
}

TR_TEST(file_leave_inside, "/client/file/left_within_an_event")
{
    static uint8_t block[TR_FILE_PIECE];
    rig_t rig;
    tr_op_file_t spec = spec_of(temporary());
    spec.events = true;
    TR_CHECK(rig_make(&rig, &spec));
    rig.leaves = true;
    for (int i = 0; i < 3; i++) {
        TR_CHECK(!tr_failed(tr_file__data(rig.file, tr_slice(block, sizeof(block)), NULL)));
    }
    RUN_UNTIL(&rig, tr_file__wait(rig.file, 0) == TR_OK);
    TR_CHECK_INT(rig.num_moved, 1);
    TR_CHECK(!rig.done && rig.num_room == 0);
    rig_free(&rig);
    (void)close(spec.fd);
}

TR_TEST(file_stuck, "/client/file/a_stuck_write_ends_alone")
{
    static uint8_t block[TR_FILE_PIECE];
    for (int way = 0; way < 4; way++) {
        int ends[2];
        rig_t rig;
        TR_CHECK(pipe(ends) == 0);
        tr_op_file_t spec = spec_of(ends[1]);
        TR_CHECK(rig_make(&rig, &spec));
        TR_CHECK_INT(tr_file__data(rig.file, tr_slice(block, sizeof(block)), NULL), TR_OK);
        RUN_UNTIL(&rig, poll(&(struct pollfd){ends[0], POLLIN, 0}, 1, 0) == 1);
        if (way % 2 == 0) {
            tr_file__leave(rig.file, false);
        }
        TR_CHECK_INT(tr_file__wait(rig.file, SECOND / 100), TR_AGAIN);
        /* Everything goes: file, pool and loop; and the caller's descriptor. */
        rig.stuck = true;
        rig_free(&rig);
        (void)close(ends[1]);
        TR_CHECK_INT(tr_file__num_open(), 1);
        if (way < 2) {
            (void)close(ends[0]); /* EPIPE */
            TR_CHECK(nothing_open());
        } else {
            size_t got = 0;
            for (int i = 0; i < 2000 && tr_file__num_open() > 0; i++) {
                (void)poll(&(struct pollfd){ends[0], POLLIN, 0}, 1, 5);
                got += empty_pipe(ends[0]);
            }
            TR_CHECK(nothing_open());
            TR_CHECK_INT(got + empty_pipe(ends[0]), sizeof(block)); /* the one call, to its end */
            (void)close(ends[0]);
        }
        for (int i = 0; i < 2000 && tr_mem_live() > rig.live; i++) {
            (void)poll(NULL, 0, 5);
        }
        TR_CHECK(tr_mem_live() <= rig.live);
    }
}

TR_TEST(file_no_thread, "/client/file/no_thread_can_be_had")
{
    rig_t rig;
    tr_op_file_t spec = spec_of(temporary());
    tr_err_t err = TR_ERR_INIT;
    tr_bufq_t q;
    for (int leaves = 0; leaves < 2; leaves++) {
        rig = (rig_t){.err = TR_ERR_INIT, .live = tr_mem_live()};
        TR_CHECK_OK(tr_loop_new(&rig.loop, &err), &err);
        TR_CHECK_OK(tr_workers_new(&rig.workers, rig.loop, 1, SECOND, &err), &err);
        TR_CHECK_OK(tr_file__new(&rig.file, &spec, &err), &err);
        tr_file_shop_t shop = {rig.loop, rig.workers, &num_busy};
        tr_bufq_init(&q, 0);
        struct rlimit before, low;
        TR_CHECK(getrlimit(RLIMIT_NPROC, &before) == 0);
        low = before;
        low.rlim_cur = 0;
        TR_CHECK(setrlimit(RLIMIT_NPROC, &low) == 0);
        tr_file__start(rig.file, &shop, NULL, 0, &q, &events, &rig);
        tr_file__end(rig.file);
        if (leaves) {
            tr_file__leave(rig.file, false);
        }
        (void)setrlimit(RLIMIT_NPROC, &before);
        TR_CHECK(!rig.done || leaves == 0); /* never from within a call */
        uint64_t until = tr_loop_update(rig.loop) + SECOND;
        while (!rig.done && tr_loop_now(rig.loop) < until && tr_file__wait(rig.file, 0) != TR_OK) {
            tr_loop_run_once(rig.loop, SECOND / 50);
        }
        tr_loop_run_once(rig.loop, 0);
        /* The limit holds for processes without the privilege to pass it; the others wrote their empty body. */
        TR_CHECK_INT(tr_file__wait(rig.file, 0), TR_OK);
        TR_CHECK(leaves || rig.err.code == TR_ERR_SYSTEM || rig.err.code == TR_OK);
        rig_free(&rig);
    }
    (void)close(spec.fd);
    TR_CHECK(nothing_open());
}

TR_TEST(file_fork, "/client/file/a_forked_child_closes_it")
{
    int ends[2];
    TR_CHECK(pipe(ends) == 0);
    tr_op_file_t spec = spec_of(ends[1]);
    tr_file_t *file;
    tr_err_t err = TR_ERR_INIT;
    TR_CHECK_OK(tr_file__new(&file, &spec, &err), &err);
    (void)close(ends[1]);
    tr_file__before_fork();
    pid_t child = fork();
    tr_file__after_fork(child == 0);
    if (child == 0) {
        /* The duplicate was the last writer's end here. */
        uint8_t byte;
        bool good = tr_file__num_open() == 0;
        (void)read(ends[0], &byte, 0);
        _exit(good ? 0 : 1);
    }
    int status = -1;
    TR_CHECK(child > 0 && waitpid(child, &status, 0) == child);
    TR_CHECK_INT(status, 0);
    TR_CHECK_INT(tr_file__num_open(), 1);
    tr_file__unref(file);
    uint8_t byte;
    TR_CHECK_INT(read(ends[0], &byte, 1), 0);
    (void)close(ends[0]);
}
