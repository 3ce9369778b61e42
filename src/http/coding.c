#include "http/coding.h"

#include <brotli/decode.h>
#include <stdatomic.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "core/limits.h"
#include "core/mem.h"
#include "http/headers.h"

/* Chunks of output: the first as large as a small answer is likely to need, then up to the size at which a copy
 * into one final block costs least. */
#define OUT_MIN 1024
#define OUT_MAX 65536
/* A tail with less room than this is not worth another call of a decoder. */
#define OUT_ROOM_MIN 256
/* Between two codings. */
#define BETWEEN 16384
/* RFC 9659 3: a zstd content coding needs a window of 8 MB at most. Without it a frame could ask for 2 GiB (we
 * would for 128 MiB). */
#define ZSTD_WINDOW_LOG 23
/* A zstd decoder of up to this size is kept for the next body: without a large window it has 95 KiB, and making a
 * new one costs 14 us, twenty times what decoding a small answer does (measured; the others cost 1 to 3 us and
 * cannot be reset as cheaply). */
#define ZSTD_KEEP (512 * 1024)
/* RFC 8878 3.1.1: magic number, descriptor, window, dictionary, content size. */
#define ZSTD_HEAD_MAX (4 + 1 + 1 + 4 + 8)
/* Frames or members without any output, in a row: each costs a reset, and nobody honest sends them. */
#define EMPTY_MEMBERS_MAX 1024

static const char where_decode[] = "http.decode";
static const char where_limit[] = "http.decode_limit";

typedef enum stage_kind { STAGE_GZIP, STAGE_DEFLATE, STAGE_BR, STAGE_ZSTD } stage_kind_t;

typedef enum stage_state {
    STAGE_NEW,      /* nothing came; the decoder may not exist yet */
    STAGE_SNIFF,    /* deflate: one byte is held, the second says whether it is zlib's header */
    STAGE_RUNNING,  /* within a stream */
    STAGE_BOUNDARY, /* gzip: between members; zstd: between frames. The body may end here */
    STAGE_MAGIC,    /* gzip: between members, and the first byte of a member's magic came */
    STAGE_DONE      /* what still comes is ignored, as browsers do */
} stage_state_t;

/* One coding. The decoder is made when the first byte comes, for many answers that name a coding have no body. */
typedef struct stage {
    stage_kind_t kind;
    stage_state_t state;
    bool open;      /* the decoder exists */
    uint8_t held;   /* in STAGE_SNIFF */
    bool produced;  /* the current member or frame gave output */
    unsigned empty; /* members without output in a row */
    uint64_t total; /* bytes that came out */
    union {
        z_stream zlib;
        BrotliDecoderState *br;
        ZSTD_DCtx *zstd;
    } u;
    uint8_t frame_head[ZSTD_HEAD_MAX]; /* zstd: the first bytes of the current frame, at least its header when it is that long */
    size_t frame_head_len;
    uint64_t frame_out; /* zstd: bytes of the current frame that came out */
    uint8_t *between; /* owned; output of a stage that is not the last */
} stage_t;

struct tr_decoder {
    tr_decoder_limits_t limits;
    uint64_t received;
    size_t out_size; /* of the next chunk of output */
    bool failed;
    tr_err_t error;
    size_t num_stages;
    stage_t stages[]; /* in the order in which they are removed: last applied first */
};

static const char *
kind_name(stage_kind_t kind)
{
    static const char *const names[] = {"gzip", "deflate", "br", "zstd"};
    return names[kind];
}

/* --------------------------------------------------------------------------------- the libraries */

static void *
zlib_alloc(void *opaque, uInt num, uInt size)
{
    TR_UNUSED(opaque);
    return size != 0 && num > SIZE_MAX / size ? NULL : tr_malloc((size_t)num * size);
}

static void *
br_alloc(void *opaque, size_t size)
{
    TR_UNUSED(opaque);
    return tr_malloc(size);
}

static void
any_free(void *opaque, void *ptr)
{
    TR_UNUSED(opaque);
    tr_free(ptr);
}

static tr_code_t
corrupt(const stage_t *stage, const char *why, tr_err_t *err)
{
    return tr_err_set(err, TR_ERR_BODY_CODING, 0, where_decode, "The %s body is corrupt: %s.",
                      kind_name(stage->kind), why);
}

static tr_code_t
open_zlib(stage_t *stage, int window_bits, tr_err_t *err)
{
    memset(&stage->u.zlib, 0, sizeof(stage->u.zlib));
    stage->u.zlib.zalloc = zlib_alloc;
    stage->u.zlib.zfree = any_free;
    if (inflateInit2(&stage->u.zlib, window_bits) != Z_OK) {
        return tr_err_nomem(err, where_decode);
    }
    stage->open = true;
    return TR_OK;
}

static tr_code_t
open_br(stage_t *stage, tr_err_t *err)
{
    stage->u.br = BrotliDecoderCreateInstance(br_alloc, any_free, NULL);
    if (stage->u.br == NULL) {
        return tr_err_nomem(err, where_decode);
    }
    stage->open = true;
    return TR_OK;
}

/* The kept decoder, or NULL. Any thread: whoever exchanges it for NULL owns it. */
static _Atomic(ZSTD_DCtx *) spare_zstd;

static tr_code_t
open_zstd(stage_t *stage, tr_err_t *err)
{
    stage->u.zstd = atomic_exchange(&spare_zstd, NULL);
    if (stage->u.zstd == NULL) {
        stage->u.zstd = ZSTD_createDCtx();
    }
    if (stage->u.zstd == NULL) {
        return tr_err_nomem(err, where_decode);
    }
    stage->open = true;
    if (ZSTD_isError(ZSTD_DCtx_setParameter(stage->u.zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG))) {
        return tr_err_set(err, TR_ERR_INTERNAL, 0, where_decode, NULL);
    }
    return TR_OK;
}

static void
close_zstd(ZSTD_DCtx *zstd)
{
    if (ZSTD_sizeof_DCtx(zstd) <= ZSTD_KEEP &&
        !ZSTD_isError(ZSTD_DCtx_reset(zstd, ZSTD_reset_session_and_parameters))) {
        zstd = atomic_exchange(&spare_zstd, zstd);
    }
    (void)ZSTD_freeDCtx(zstd);
}

static void
close_stage(stage_t *stage)
{
    tr_free(stage->between);
    stage->between = NULL;
    if (!stage->open) {
        return;
    }
    stage->open = false;
    switch (stage->kind) {
    case STAGE_GZIP:
    case STAGE_DEFLATE:
        (void)inflateEnd(&stage->u.zlib);
        break;
    case STAGE_BR:
        BrotliDecoderDestroyInstance(stage->u.br);
        break;
    case STAGE_ZSTD:
        close_zstd(stage->u.zstd);
        break;
    }
}

/* What one call of a decoder did. */
typedef struct turn {
    tr_slice_t in; /* advanced over what was used */
    uint8_t *out;
    size_t out_len;  /* room; then what was written */
    bool stream_end; /* a member, frame or stream is complete */
} turn_t;

static tr_code_t
turn_zlib(stage_t *stage, turn_t *turn, tr_err_t *err)
{
    z_stream *z = &stage->u.zlib;
    uInt in_len = (uInt)TR_MIN(turn->in.len, (size_t)1 << 30);
    z->next_in = (Bytef *)(uintptr_t)turn->in.data; /* zlib's pointer is not const, but it only reads */
    z->avail_in = in_len;
    z->next_out = turn->out;
    z->avail_out = (uInt)turn->out_len;
    /* Z_FINISH: "no sliding window where the stream completes in this call", which small answers do. */
    int result = inflate(z, Z_FINISH);
    size_t used = in_len - z->avail_in;
    turn->in = tr_slice(turn->in.data + used, turn->in.len - used);
    turn->out_len -= z->avail_out;
    switch (result) {
    case Z_STREAM_END:
        turn->stream_end = true;
        return TR_OK;
    case Z_OK:
    case Z_BUF_ERROR:
        return TR_OK;
    case Z_MEM_ERROR:
        return tr_err_nomem(err, where_decode);
    case Z_NEED_DICT:
        return corrupt(stage, "it needs a dictionary", err);
    default:
        return corrupt(stage, z->msg == NULL ? "bad data" : z->msg, err);
    }
}

static tr_code_t
turn_br(stage_t *stage, turn_t *turn, tr_err_t *err)
{
    size_t in_len = turn->in.len;
    const uint8_t *next_in = turn->in.data;
    size_t out_room = turn->out_len;
    uint8_t *next_out = turn->out;
    BrotliDecoderResult result =
        BrotliDecoderDecompressStream(stage->u.br, &in_len, &next_in, &out_room, &next_out, NULL);
    turn->in = tr_slice(next_in, in_len);
    turn->out_len -= out_room;
    if (result == BROTLI_DECODER_RESULT_ERROR) {
        BrotliDecoderErrorCode code = BrotliDecoderGetErrorCode(stage->u.br);
        if (code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
            code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES) {
            return tr_err_nomem(err, where_decode);
        }
        return corrupt(stage, BrotliDecoderErrorString(code), err);
    }
    turn->stream_end = result == BROTLI_DECODER_RESULT_SUCCESS;
    return TR_OK;
}

/* A frame that says how long its content is has to keep its word (RFC 8878 3.1.1.4). libzstd looks at that only when it gets the whole frame
 * in one piece. */
static bool
is_frame_whole(stage_t *stage, const uint8_t *in, size_t in_len, size_t out_len, bool end)
{
    size_t len = TR_MIN(sizeof(stage->frame_head) - stage->frame_head_len, in_len);
    if (len > 0) {
        memcpy(stage->frame_head + stage->frame_head_len, in, len);
        stage->frame_head_len += len;
    }
    stage->frame_out += out_len;
    if (!end) {
        return true;
    }
    unsigned long long declared = ZSTD_getFrameContentSize(stage->frame_head, stage->frame_head_len);
    bool whole = declared == ZSTD_CONTENTSIZE_UNKNOWN || declared == ZSTD_CONTENTSIZE_ERROR || declared == stage->frame_out;
    stage->frame_head_len = 0;
    stage->frame_out = 0;
    return whole;
}

static tr_code_t
turn_zstd(stage_t *stage, turn_t *turn, tr_err_t *err)
{
    ZSTD_inBuffer in = {turn->in.data, turn->in.len, 0};
    ZSTD_outBuffer out = {turn->out, turn->out_len, 0};
    size_t result = ZSTD_decompressStream(stage->u.zstd, &out, &in);
    if (ZSTD_isError(result)) {
        if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation) {
            return tr_err_nomem(err, where_decode);
        }
        return corrupt(stage, ZSTD_getErrorName(result), err);
    }
    if (!is_frame_whole(stage, turn->in.data, in.pos, out.pos, result == 0)) {
        return corrupt(stage, "a frame's content is not as long as it says", err);
    }
    turn->in = tr_slice(turn->in.data + in.pos, turn->in.len - in.pos);
    turn->out_len = out.pos;
    turn->stream_end = result == 0;
    return TR_OK;
}

/* ------------------------------------------------------------------------------------ one stage */

/* RFC 1950 2.2: method 8, a window of at most 32 KiB, and a check that makes the two bytes a multiple of 31. A raw
 * stream (which many servers send for "deflate", RFC 9110 8.4.1.2) could look so only in a stored block with
 * non-zero padding bits. */
static bool
is_zlib_header(uint8_t first, uint8_t second)
{
    return (first & 15) == 8 && first >> 4 <= 7 && ((unsigned)first << 8 | second) % 31 == 0;
}

/* Feeds bytes that were read before their meaning was known; they are headers, so that nothing comes out. */
static tr_code_t
replay(stage_t *stage, uint8_t byte, tr_err_t *err)
{
    uint8_t none;
    turn_t turn = {tr_slice(&byte, 1), &none, 0, false};
    return turn_zlib(stage, &turn, err);
}

/* A stream ended: what may follow? */
static tr_code_t
end_stream(stage_t *stage, tr_err_t *err)
{
    stage->empty = stage->produced ? 0 : stage->empty + 1;
    stage->produced = false;
    if (stage->empty > EMPTY_MEMBERS_MAX) {
        return corrupt(stage, "too many empty members", err);
    }
    stage->state = stage->kind == STAGE_GZIP || stage->kind == STAGE_ZSTD ? STAGE_BOUNDARY : STAGE_DONE;
    return TR_OK;
}

/* Reads what stands before the decoder may run: decides about its existence and about gzip's further members. May
 * use up bytes of *in. TR_OK with state STAGE_RUNNING: run it. */
static tr_code_t
prepare(stage_t *stage, tr_slice_t *in, tr_err_t *err)
{
    tr_code_t code = TR_OK;
    uint8_t byte = in->data[0];
    switch (stage->state) {
    case STAGE_NEW:
        if (stage->kind == STAGE_DEFLATE) {
            stage->held = byte;
            stage->state = STAGE_SNIFF;
            *in = tr_slice(in->data + 1, in->len - 1);
            return TR_OK;
        }
        code = stage->kind == STAGE_GZIP ? open_zlib(stage, 15 + 16, err)
               : stage->kind == STAGE_BR ? open_br(stage, err)
                                         : open_zstd(stage, err);
        break;
    case STAGE_SNIFF:
        code = open_zlib(stage, is_zlib_header(stage->held, byte) ? 15 : -15, err);
        code = code == TR_OK ? replay(stage, stage->held, err) : code;
        break;
    case STAGE_BOUNDARY:
        if (stage->kind == STAGE_ZSTD) {
            break;
        }
        /* RFC 1952 2.2: members follow each other. Padding and garbage behind the last are ignored. */
        stage->state = byte == 0x1f ? STAGE_MAGIC : STAGE_DONE;
        *in = tr_slice(in->data + 1, in->len - 1);
        return TR_OK;
    case STAGE_MAGIC:
        if (byte != 0x8b) {
            stage->state = STAGE_DONE;
            return TR_OK;
        }
        code = inflateReset(&stage->u.zlib) == Z_OK ? replay(stage, 0x1f, err)
                                                    : tr_err_set(err, TR_ERR_INTERNAL, 0, where_decode, NULL);
        break;
    case STAGE_RUNNING:
    case STAGE_DONE:
        return TR_OK;
    }
    if (code == TR_OK) {
        stage->state = STAGE_RUNNING;
    }
    return code;
}

/* ------------------------------------------------------------------------------------- pipeline */

/* How many more bytes a stage may give. */
static uint64_t
budget(const tr_decoder_t *decoder, const stage_t *stage)
{
    const tr_decoder_limits_t *limits = &decoder->limits;
    uint64_t max = limits->max_decoded == 0 ? UINT64_MAX : limits->max_decoded;
    if (limits->max_ratio != 0) {
        uint64_t by_ratio =
            decoder->received > UINT64_MAX / limits->max_ratio ? UINT64_MAX : decoder->received * limits->max_ratio;
        max = TR_MIN(max, TR_MAX(by_ratio, limits->ratio_allowance));
    }
    return stage->total < max ? max - stage->total : 0;
}

/* Counts what a decoder wrote; it was given room for one byte more than the budget, so that a body of exactly the
 * limit passes. */
static tr_code_t
count(tr_decoder_t *decoder, stage_t *stage, size_t len, tr_err_t *err)
{
    if (len > budget(decoder, stage)) {
        bool size = decoder->limits.max_decoded != 0 && stage->total + len > decoder->limits.max_decoded;
        return size ? tr_err_set(err, TR_ERR_BODY_LIMIT, 0, where_limit,
                                 "The decoded body is larger than %llu bytes.",
                                 (unsigned long long)decoder->limits.max_decoded)
                    : tr_err_set(err, TR_ERR_BODY_LIMIT, 0, where_limit,
                                 "The body decodes to more than %u times its size (decompression bomb?).",
                                 (unsigned)decoder->limits.max_ratio);
    }
    stage->total += len;
    stage->produced = stage->produced || len > 0;
    return TR_OK;
}

/* Runs the stage's decoder once, from *in into at most room bytes at out, within the budget. */
static tr_code_t
run_once(tr_decoder_t *decoder, stage_t *stage, tr_slice_t *in, uint8_t *out, size_t room, size_t *out_len,
         tr_err_t *err)
{
    uint64_t left = budget(decoder, stage);
    turn_t turn = {*in, out, left < room ? (size_t)left + 1 : room, false};
    *out_len = 0;
    tr_code_t code = stage->kind == STAGE_BR     ? turn_br(stage, &turn, err)
                     : stage->kind == STAGE_ZSTD ? turn_zstd(stage, &turn, err)
                                                 : turn_zlib(stage, &turn, err);
    if (code != TR_OK) {
        return code;
    }
    code = count(decoder, stage, turn.out_len, err);
    if (code != TR_OK) {
        return code;
    }
    *in = turn.in;
    *out_len = turn.out_len;
    return turn.stream_end ? end_stream(stage, err) : TR_OK;
}

/* Room at the tail of the output, in a chunk of the queue or in a new one, which is *out_fresh then. */
static tr_code_t
make_room(tr_decoder_t *decoder, tr_bufq_t *out, tr_chunk_t **out_fresh, tr_err_t *err)
{
    *out_fresh = NULL;
    if (out->tail != NULL && tr_chunk_room(out->tail) >= OUT_ROOM_MIN) {
        return TR_OK;
    }
    *out_fresh = tr_chunk_new(decoder->out_size);
    if (*out_fresh == NULL) {
        return tr_err_nomem(err, where_decode);
    }
    decoder->out_size = TR_MIN(decoder->out_size * 2, (size_t)OUT_MAX);
    return TR_OK;
}

/* The last stage writes into the chunks of out. */
static tr_code_t
run_last(tr_decoder_t *decoder, stage_t *stage, tr_slice_t *in, tr_bufq_t *out, bool *out_full, tr_err_t *err)
{
    tr_chunk_t *fresh;
    size_t len;
    tr_code_t code = make_room(decoder, out, &fresh, err);
    if (code != TR_OK) {
        return code;
    }
    tr_chunk_t *chunk = fresh != NULL ? fresh : out->tail;
    size_t room = tr_chunk_room(chunk);
    code = run_once(decoder, stage, in, tr_chunk_tail(chunk), room, &len, err);
    *out_full = len == room;
    if (code == TR_OK && out->max != 0 && (len > out->max || out->len > out->max - len)) {
        code = tr_err_set(err, TR_ERR_BODY_LIMIT, 0, where_limit, "The decoded body does not fit its queue.");
    }
    if (code == TR_OK && len > 0) {
        chunk->len += len;
        if (fresh == NULL) {
            out->len += len;
        } else {
            code = tr_bufq_push(out, fresh);
            fresh = code == TR_OK ? NULL : fresh;
        }
    }
    tr_chunk_free(fresh);
    return code;
}

static tr_code_t run_stage(tr_decoder_t *decoder, size_t index, tr_slice_t in, tr_bufq_t *out, tr_err_t *err);

/* Any other stage hands its output to the next before it goes on: memory is bounded, and the next one's limits are
 * seen at once. */
static tr_code_t
run_inner(tr_decoder_t *decoder, size_t index, tr_slice_t *in, tr_bufq_t *out, bool *out_full, tr_err_t *err)
{
    stage_t *stage = &decoder->stages[index];
    size_t len;
    if (stage->between == NULL) {
        stage->between = tr_malloc(BETWEEN);
        if (stage->between == NULL) {
            return tr_err_nomem(err, where_decode);
        }
    }
    tr_code_t code = run_once(decoder, stage, in, stage->between, BETWEEN, &len, err);
    *out_full = len == BETWEEN;
    return code == TR_OK && len > 0 ? run_stage(decoder, index + 1, tr_slice(stage->between, len), out, err) : code;
}

/* Decodes all of in. Recursion is bounded by TR_BODY_MAX_CODINGS. */
static tr_code_t
run_stage(tr_decoder_t *decoder, size_t index, tr_slice_t in, tr_bufq_t *out, tr_err_t *err)
{
    stage_t *stage = &decoder->stages[index];
    bool last = index + 1 == decoder->num_stages;
    bool full = false; /* the decoder filled its room: it may hold more, even without input */
    while (stage->state != STAGE_DONE && (in.len > 0 || full)) {
        tr_code_t code;
        if (stage->state != STAGE_RUNNING) {
            full = false;
            if (in.len == 0) {
                break;
            }
            code = prepare(stage, &in, err);
            if (code != TR_OK) {
                return code;
            }
            continue;
        }
        size_t before = in.len;
        bool was_full = full;
        code =
            last ? run_last(decoder, stage, &in, out, &full, err) : run_inner(decoder, index, &in, out, &full, err);
        if (code != TR_OK) {
            return code;
        }
        if (in.len == before && !full && !was_full && stage->state == STAGE_RUNNING) {
            return corrupt(stage, "the decoder makes no progress", err);
        }
    }
    return TR_OK;
}

/* ------------------------------------------------------------------------------------------ API */

static bool
coding_kind(stage_kind_t *out, tr_slice_t name)
{
    static const struct {
        const char *name;
        stage_kind_t kind;
    } rows[] = {
        {"gzip", STAGE_GZIP},       {"br", STAGE_BR},       {"zstd", STAGE_ZSTD},
        {"deflate", STAGE_DEFLATE}, {"x-gzip", STAGE_GZIP},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        if (tr_slice_ieq(name, tr_slice_cstr(rows[i].name))) {
            *out = rows[i].kind;
            return true;
        }
    }
    return false;
}

tr_code_t
tr_decoder_new(tr_decoder_t **out, bool *out_unknown, tr_slice_t content_encoding,
               const tr_decoder_limits_t *limits, tr_err_t *err)
{
    stage_kind_t kinds[TR_BODY_MAX_CODINGS];
    size_t num = 0;
    bool unknown = false;
    tr_slice_t rest = content_encoding;
    tr_slice_t name;
    *out = NULL;
    *out_unknown = false;
    while (tr_http_list_next(&rest, &name)) {
        if (tr_slice_ieq(name, TR_SLICE_LIT("identity"))) {
            continue;
        }
        if (num == TR_BODY_MAX_CODINGS) {
            return tr_err_set(err, TR_ERR_BODY_CODING, 0, "http.content_encoding",
                              "The body has more than %d content codings.", TR_BODY_MAX_CODINGS);
        }
        if (!coding_kind(&kinds[num++], name)) {
            unknown = true;
        }
    }
    if (num == 0 || unknown) {
        *out_unknown = unknown;
        return TR_OK;
    }
    tr_decoder_t *decoder = tr_calloc(1, sizeof(*decoder) + num * sizeof(decoder->stages[0]));
    if (decoder == NULL) {
        return tr_err_nomem(err, "http.decoder_new");
    }
    decoder->limits = *limits;
    decoder->num_stages = num;
    /* RFC 9110 8.4: they are listed in the order in which they were applied. */
    for (size_t i = 0; i < num; i++) {
        decoder->stages[i].kind = kinds[num - 1 - i];
    }
    *out = decoder;
    return TR_OK;
}

void
tr_decoder_free(tr_decoder_t *decoder)
{
    if (decoder != NULL) {
        for (size_t i = 0; i < decoder->num_stages; i++) {
            close_stage(&decoder->stages[i]);
        }
        tr_free(decoder);
    }
}

static tr_code_t
fail(tr_decoder_t *decoder, tr_code_t code, tr_err_t *err)
{
    decoder->failed = true;
    if (err != NULL) {
        *err = decoder->error;
    }
    return code;
}

tr_code_t
tr_decoder_feed(tr_decoder_t *decoder, tr_bufq_t *out, tr_slice_t in, tr_err_t *err)
{
    if (decoder->failed) {
        return fail(decoder, decoder->error.code, err);
    }
    if (in.len == 0) {
        return TR_OK;
    }
    if (decoder->out_size == 0) {
        /* Text shrinks to a third or a fifth. */
        decoder->out_size = in.len > OUT_MAX / 4 ? OUT_MAX : TR_MAX((size_t)OUT_MIN, in.len * 4);
    }
    decoder->received = in.len > UINT64_MAX - decoder->received ? UINT64_MAX : decoder->received + in.len;
    tr_code_t code = run_stage(decoder, 0, in, out, &decoder->error);
    return code == TR_OK ? TR_OK : fail(decoder, code, err);
}

tr_code_t
tr_decoder_finish(tr_decoder_t *decoder, tr_bufq_t *out, tr_err_t *err)
{
    TR_UNUSED(out); /* every feed gives all that its input holds */
    if (decoder->failed) {
        return fail(decoder, decoder->error.code, err);
    }
    for (size_t i = 0; i < decoder->num_stages; i++) {
        const stage_t *stage = &decoder->stages[i];
        if (stage->state == STAGE_RUNNING || stage->state == STAGE_SNIFF) {
            return fail(decoder,
                        tr_err_set(&decoder->error, TR_ERR_BODY_CODING, 0, "http.decode_end",
                                   "unexpected EOF: the %s body is not complete.", kind_name(stage->kind)),
                        err);
        }
    }
    return TR_OK;
}
