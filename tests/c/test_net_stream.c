/* The bottom of a stack that is a stream of another connection: readiness, limits, ends. */
#include "net/filter.h"
#include "net/loop.h"
#include "tr_test.h"

#define MS ((uint64_t)1000000)

typedef struct rig {
    tr_loop_t *loop;
    tr_filter_t *stream;
    int woken, drained, shut; /* told to the other side */
    int readable, writable;   /* told to the reader */
    bool reads;               /* in its callback */
    bool shuts;
    size_t got;
    tr_code_t code; /* of its last read */
    tr_err_t err;
} rig_t;

static void
on_wake(void *arg)
{
    ((rig_t *)arg)->woken++;
}

static void
on_drained(void *arg)
{
    ((rig_t *)arg)->drained++;
}

static void
on_shut(void *arg)
{
    ((rig_t *)arg)->shut++;
}

static const tr_stream_events_t stream_events = {on_wake, on_drained, on_shut};

static void
on_ready(void *arg, int events)
{
    rig_t *rig = arg;
    uint8_t byte[1000];
    size_t len;
    rig->readable += (events & TR_WATCH_READ) != 0;
    rig->writable += (events & TR_WATCH_WRITE) != 0;
    if (rig->reads && (events & TR_WATCH_READ) != 0) {
        rig->code = rig->stream->type->read(rig->stream, byte, sizeof(byte), &len, &rig->err);
        rig->got += len;
        if (rig->code == TR_EOF || tr_failed(rig->code)) {
            (void)rig->stream->type->bottom->watch(rig->stream, 0, NULL);
        }
    }
    if (rig->shuts) {
        rig->stream->type->bottom->shut(rig->stream);
    }
}

static tr_code_t
begin(rig_t *rig)
{
    tr_err_t err = TR_ERR_INIT;
    *rig = (rig_t){.err = TR_ERR_INIT};
    tr_code_t code = tr_loop_new(&rig->loop, &err);
    if (code == TR_OK) {
        code = tr_stream_filter_new(&rig->stream, rig->loop, &stream_events, rig, "192.0.2.1:443", "192.0.2.2:1", &err);
    }
    if (code == TR_OK) {
        rig->stream->type->bottom->on_ready(rig->stream, on_ready, rig);
    }
    TR_CHECK(code == TR_OK || tr_test_oom_running());
    return code;
}

static void
finish(rig_t *rig)
{
    tr_filter_free(rig->stream);
    tr_loop_free(rig->loop);
}

static void
turns(const rig_t *rig, int num)
{
    for (int i = 0; i < num; i++) {
        tr_loop_run_once(rig->loop, 0);
    }
}

static tr_code_t
put(const rig_t *rig, size_t len)
{
    static const uint8_t zeros[65536];
    return tr_stream_put(rig->stream, tr_slice(zeros, len), NULL);
}

TR_TEST_OOM(stream_readiness, "/net/stream/readiness")
{
    rig_t rig;
    if (begin(&rig) == TR_OK) {
        const tr_bottom_type_t *bottom = rig.stream->type->bottom;
        bool bad = put(&rig, 10) != TR_OK;
        turns(&rig, 3);
        TR_CHECK_INT(rig.readable, 0); /* nobody watches */
        TR_CHECK(bad || bottom->probe(rig.stream, NULL) == TR_OK);
        (void)bottom->watch(rig.stream, TR_WATCH_READ, NULL);
        turns(&rig, 1);
        TR_CHECK(bad || rig.readable > 0);
        int before = rig.readable;
        turns(&rig, 2);
        TR_CHECK(bad || rig.readable > before); /* again, as long as it is so */
        rig.reads = true;
        turns(&rig, 3);
        before = rig.readable;
        turns(&rig, 3);
        TR_CHECK_INT(rig.readable, before);
        TR_CHECK(bad || rig.got == 10);
        TR_CHECK(bottom->probe(rig.stream, NULL) == TR_AGAIN);
        TR_CHECK(bottom->watched(rig.stream) == TR_WATCH_READ);
        char peer[TR_ADDRESS_TEXT], local[TR_ADDRESS_TEXT];
        bottom->texts(rig.stream, peer, local);
        TR_CHECK_SLICE(tr_slice_cstr(peer), "192.0.2.1:443");
        TR_CHECK_SLICE(tr_slice_cstr(local), "192.0.2.2:1");
    }
    finish(&rig);
}

/* HTTP/2's open window brings bytes to a stream that is full, also while the reader is halfway: the room that is owed is told all the same. */
TR_TEST_OOM(stream_still_full, "/net/stream/still_full")
{
    rig_t rig;
    if (begin(&rig) == TR_OK) {
        tr_code_t code = TR_OK;
        while (code == TR_OK) {
            code = put(&rig, 65536);
        }
        if (code == TR_PAUSED) {
            static uint8_t part[150000];
            size_t len;
            TR_CHECK_INT(rig.stream->type->read(rig.stream, part, sizeof(part), &len, &rig.err), TR_OK);
            TR_CHECK_INT(len, sizeof(part));
            TR_CHECK_INT(rig.drained, 0);
            code = put(&rig, 1000);
            TR_CHECK(code == TR_PAUSED || code == TR_ERR_NOMEM);
            do {
                code = rig.stream->type->read(rig.stream, part, sizeof(part), &len, &rig.err);
            } while (code == TR_OK && len > 0);
            TR_CHECK_INT(code, TR_AGAIN);
            TR_CHECK_INT(rig.drained, 1);
        }
    }
    finish(&rig);
}

TR_TEST_OOM(stream_input, "/net/stream/input")
{
    rig_t rig;
    if (begin(&rig) == TR_OK) {
        tr_code_t code = TR_OK;
        size_t sent = 0;
        while (code == TR_OK) {
            code = put(&rig, 65536);
            sent += code == TR_ERR_NOMEM ? 0 : 65536;
        }
        if (code == TR_PAUSED) {
            TR_CHECK_INT(sent, 512 * 1024);
            rig.reads = true;
            (void)rig.stream->type->bottom->watch(rig.stream, TR_WATCH_READ, NULL);
            while (rig.drained == 0) {
                turns(&rig, 1);
            }
            TR_CHECK(rig.got > sent / 2 && rig.got < sent / 2 + 20000); /* some reads a turn */
            /* The end comes behind what was put before, once. */
            tr_err_t err = TR_ERR_INIT;
            tr_stream_end(rig.stream, tr_err_set(&err, TR_ERR_CONNECT_RESET, 7, "test", "first"), &err);
            tr_stream_end(rig.stream, TR_EOF, &err);
            while (rig.code == TR_OK || rig.code == TR_AGAIN) {
                turns(&rig, 1);
            }
            TR_CHECK(rig.got == sent && rig.code == TR_ERR_CONNECT_RESET && rig.err.detail == 7);
            TR_CHECK_INT(rig.drained, 1);
            turns(&rig, 3);
        } else {
            TR_CHECK(tr_test_oom_running());
        }
    }
    finish(&rig);
}

/* Who waits for room may write on before it hears that all was taken: the other side, which found nothing more, is woken though nobody flushes. */
TR_TEST_OOM(stream_still_blocked, "/net/stream/still_blocked")
{
    static uint8_t bytes[70000];
    rig_t rig;
    if (begin(&rig) == TR_OK) {
        const tr_filter_type_t *type = rig.stream->type;
        tr_err_t err = TR_ERR_INIT;
        tr_code_t code = type->write(rig.stream, tr_slice(bytes, sizeof(bytes)), &err);
        if (code == TR_OK) {
            TR_CHECK_INT(type->flush(rig.stream, &err), TR_AGAIN);
            TR_CHECK_INT(rig.woken, 1);
            (void)type->bottom->watch(rig.stream, TR_WATCH_WRITE, NULL);
            TR_CHECK_INT(tr_stream_take(rig.stream, bytes, sizeof(bytes)), sizeof(bytes));
            TR_CHECK_INT(tr_stream_take(rig.stream, bytes, sizeof(bytes)), 0);
            code = type->write(rig.stream, tr_slice(bytes, sizeof(bytes)), &err);
        }
        if (code == TR_OK) {
            turns(&rig, 2);
            TR_CHECK_INT(rig.writable, 0);
            TR_CHECK_INT(rig.woken, 2);
            TR_CHECK_INT(tr_stream_take(rig.stream, bytes, sizeof(bytes)), sizeof(bytes));
            turns(&rig, 1);
            TR_CHECK(rig.writable > 0);
        }
    }
    finish(&rig);
}

TR_TEST_OOM(stream_output, "/net/stream/output")
{
    static uint8_t bytes[100000];
    rig_t rig;
    if (begin(&rig) == TR_OK) {
        const tr_filter_type_t *type = rig.stream->type;
        tr_err_t err = TR_ERR_INIT;
        TR_CHECK(type->flush(rig.stream, &err) == TR_OK && rig.woken == 0);
        if (type->write(rig.stream, tr_slice(bytes, 1000), &err) == TR_OK) {
            TR_CHECK(type->flush(rig.stream, &err) == TR_OK && rig.woken == 1 && type->pending(rig.stream) == 1000);
            TR_CHECK_INT(tr_stream_take(rig.stream, bytes, 5000), 1000);
        }
        if (type->write(rig.stream, tr_slice(bytes, sizeof(bytes)), &err) == TR_OK) {
            TR_CHECK_INT(type->flush(rig.stream, &err), TR_AGAIN);
            (void)type->bottom->watch(rig.stream, TR_WATCH_WRITE, NULL);
            turns(&rig, 2);
            TR_CHECK_INT(rig.writable, 0);
            size_t left = sizeof(bytes);
            while (left > 32768) {
                left -= tr_stream_take(rig.stream, bytes, 16384);
            }
            turns(&rig, 1);
            TR_CHECK(rig.writable > 0);
            TR_CHECK_INT(type->flush(rig.stream, &err), TR_OK);
            (void)tr_err_set(&err, TR_EOF, 0, "test", "closed");
            tr_stream_end(rig.stream, TR_EOF, &err);
            int woken = rig.woken;
            TR_CHECK(type->flush(rig.stream, &err) == TR_ERR_CONNECT_RESET && rig.woken == woken);
        }
    }
    finish(&rig);
}

TR_TEST(stream_shut, "/net/stream/shut")
{
    rig_t rig;
    (void)begin(&rig);
    rig.shuts = true;
    TR_CHECK_INT(put(&rig, 10), TR_OK);
    (void)rig.stream->type->bottom->watch(rig.stream, TR_WATCH_READ | TR_WATCH_WRITE, NULL);
    turns(&rig, 3);
    TR_CHECK(rig.readable == 1 && rig.writable == 1 && rig.shut == 1);
    finish(&rig);
    TR_CHECK_INT(rig.shut, 1);
}
